// SPDX-License-Identifier: GPL-2.0
/*
 * vgpu.ko: PCI driver for the vgpu-stub device (1af4:1111)
 */
#include <linux/ctype.h>
#include <linux/interrupt.h>
#include <linux/module.h>
#include <linux/pm.h>
#include <linux/slab.h>

#include "vgpu_drv.h"

static unsigned int vectors = VGPU_MSIX_VECTORS;
module_param(vectors, uint, 0444);
MODULE_PARM_DESC(
	vectors,
	"MSI-X vectors to use, 2 to 9; each but one serves 8 channels");

static irqreturn_t vgpu_irq_control(int irq, void *data)
{
	struct vgpu_vector *vector = data;

	/* Before looking, so that a change after the look interrupts again. */
	vgpu_write(vector->dev, VGPU_REG_ACK_CONTROL, 1);
	return IRQ_WAKE_THREAD;
}

static irqreturn_t vgpu_irq_control_thread(int irq, void *data)
{
	struct vgpu_vector *vector = data;

	vgpu_channels_refresh(vector->dev);
	return IRQ_HANDLED;
}

static irqreturn_t vgpu_irq_channel(int irq, void *data)
{
	struct vgpu_vector *vector = data;
	struct vgpu_device *dev = vector->dev;
	u64 pending;

	spin_lock(&dev->slots_lock);
	pending = dev->active & (0x0101010101010101ULL << (vector->index - 1));
	/*
	 * Every register access leaves the VM. With one candidate there is
	 * nothing to ask; a wake-up too many does no harm.
	 */
	if (hweight64(pending) > 1) {
		u64 status = 0;

		if (lower_32_bits(pending))
			status |= vgpu_read(dev, VGPU_REG_IRQ_CHANNEL_LO);
		if (upper_32_bits(pending))
			status |= (u64)vgpu_read(dev, VGPU_REG_IRQ_CHANNEL_HI)
				  << 32;
		pending &= status;
	}
	/*
	 * Acknowledged first: what the host signals from here on raises the
	 * vector again, and what it signalled before is counted below.
	 */
	if (lower_32_bits(pending))
		vgpu_write(dev, VGPU_REG_ACK_CHANNEL_LO,
			   lower_32_bits(pending));
	if (upper_32_bits(pending))
		vgpu_write(dev, VGPU_REG_ACK_CHANNEL_HI,
			   upper_32_bits(pending));
	while (pending) {
		struct vgpu_channel *channel = dev->slot[__ffs64(pending)];

		atomic64_inc(&channel->events);
		wake_up_all(&channel->wait);
		pending &= pending - 1;
	}
	spin_unlock(&dev->slots_lock);
	return IRQ_HANDLED;
}

static void vgpu_free_irqs(struct vgpu_device *dev, int count)
{
	while (count--)
		free_irq(pci_irq_vector(dev->pdev, count),
			 &dev->vectors[count]);
}

static int vgpu_request_irqs(struct vgpu_device *dev)
{
	struct pci_dev *pdev = dev->pdev;
	const char *name = dev_name(&pdev->dev);
	int i, rc;

	for (i = 0; i < dev->vector_count; i++) {
		struct vgpu_vector *vector = &dev->vectors[i];

		vector->dev = dev;
		vector->index = i;
		if (i)
			rc = request_irq(pci_irq_vector(pdev, i),
					 vgpu_irq_channel, 0, name, vector);
		else
			rc = request_threaded_irq(
				pci_irq_vector(pdev, i), vgpu_irq_control,
				vgpu_irq_control_thread, 0, name, vector);
		if (rc) {
			vgpu_free_irqs(dev, i);
			return rc;
		}
	}
	return 0;
}

/* Refuses a device this driver would misunderstand. */
static int vgpu_identify(struct vgpu_device *dev)
{
	struct device *d = &dev->pdev->dev;
	u32 magic = vgpu_read(dev, VGPU_REG_MAGIC);

	if (magic != VGPU_MAGIC) {
		dev_err(d, "not a vgpu device: magic %#x\n", magic);
		return -ENODEV;
	}
	dev->abi = vgpu_read(dev, VGPU_REG_ABI);
	if (dev->abi >> 16 != VGPU_ABI_MAJOR) {
		dev_err(d, "device speaks ABI %u.%u, this driver %u.%u\n",
			dev->abi >> 16, dev->abi & 0xffff, VGPU_ABI_MAJOR,
			VGPU_ABI_MINOR);
		return -EPROTONOSUPPORT;
	}
	dev->features = vgpu_read(dev, VGPU_REG_FEATURES);
	if (!(dev->features & VGPU_FEATURE_GUEST_PHYSICAL)) {
		dev_err(d, "device does not take guest physical addresses\n");
		return -EOPNOTSUPP;
	}
	dev->pool_id = vgpu_read(dev, VGPU_REG_POOL_ID);
	dev->priority = vgpu_read(dev, VGPU_REG_PRIORITY);
	dev->vm_id = vgpu_read(dev, VGPU_REG_VM_ID);
	dev->channel_count =
		min_t(u32, vgpu_read(dev, VGPU_REG_CHANNELS), VGPU_CHANNELS);
	return 0;
}

static int vgpu_start(struct vgpu_device *dev)
{
	struct pci_dev *pdev = dev->pdev;
	int rc;

	rc = pci_alloc_irq_vectors(
		pdev, 2, clamp_t(unsigned int, vectors, 2, VGPU_MSIX_VECTORS),
		PCI_IRQ_MSIX);
	if (rc < 0) {
		dev_err(&pdev->dev, "no MSI-X vectors: %d\n", rc);
		return rc;
	}
	dev->vector_count = rc;
	rc = vgpu_request_irqs(dev);
	if (rc)
		goto err_vectors;

	/* Whatever ran here before, a crashed kernel for one, left nothing. */
	vgpu_channels_shutdown(dev);
	vgpu_write(dev, VGPU_REG_ACK_CONTROL, 1);
	vgpu_write(dev, VGPU_REG_IRQ_ENABLE, 1);
	dev->link = vgpu_read(dev, VGPU_REG_STATUS) & VGPU_STATUS_LINK;

	rc = vgpu_file_add(dev);
	if (rc)
		goto err_irqs;
	return 0;

err_irqs:
	vgpu_write(dev, VGPU_REG_IRQ_ENABLE, 0);
	vgpu_free_irqs(dev, dev->vector_count);
err_vectors:
	pci_free_irq_vectors(pdev);
	return rc;
}

static int vgpu_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct vgpu_device *dev;
	int rc;

	dev = kzalloc(sizeof(*dev), GFP_KERNEL);
	if (!dev)
		return -ENOMEM;
	dev->pdev = pdev;
	mutex_init(&dev->ctl);
	spin_lock_init(&dev->slots_lock);
	init_waitqueue_head(&dev->released);
	INIT_DELAYED_WORK(&dev->overdue, vgpu_channels_overdue);
	rc = vgpu_file_prepare(dev);
	if (rc) {
		kfree(dev);
		return rc;
	}

	rc = pci_enable_device(pdev);
	if (rc)
		goto err_put;
	rc = pci_request_regions(pdev, "vgpu");
	if (rc)
		goto err_disable;
	if (pci_resource_len(pdev, 0) >= VGPU_BAR0_BYTES)
		dev->regs = pci_iomap(pdev, 0, VGPU_BAR0_BYTES);
	if (!dev->regs) {
		rc = -ENODEV;
		goto err_regions;
	}
	rc = vgpu_identify(dev);
	if (rc)
		goto err_unmap;
	pci_set_master(pdev); /* MSI-X messages are memory writes */
	rc = vgpu_start(dev);
	if (rc)
		goto err_master;

	pci_set_drvdata(pdev, dev);
	dev_info(&pdev->dev,
		 "%s: VM %u, pool %c, priority %u, %u channels, host link %s\n",
		 dev_name(&dev->device), dev->vm_id,
		 isalpha(dev->pool_id & 0x7f) ? dev->pool_id & 0x7f : '?',
		 dev->priority, dev->channel_count, dev->link ? "up" : "down");
	return 0;

err_master:
	pci_clear_master(pdev);
err_unmap:
	pci_iounmap(pdev, dev->regs);
err_regions:
	pci_release_regions(pdev);
err_disable:
	pci_disable_device(pdev);
err_put:
	put_device(&dev->device);
	return rc;
}

static void vgpu_remove(struct pci_dev *pdev)
{
	struct vgpu_device *dev = pci_get_drvdata(pdev);

	vgpu_file_remove(dev);
	mutex_lock(&dev->ctl);
	WRITE_ONCE(dev->gone, true);
	mutex_unlock(&dev->ctl);
	vgpu_channels_shutdown(dev);
	vgpu_channels_abandon(dev);
	cancel_delayed_work_sync(&dev->overdue);
	vgpu_write(dev, VGPU_REG_IRQ_ENABLE, 0);
	vgpu_free_irqs(dev, dev->vector_count);
	synchronize_rcu(); /* the last doorbell has been rung */
	pci_free_irq_vectors(pdev);
	pci_clear_master(pdev);
	pci_iounmap(pdev, dev->regs);
	pci_release_regions(pdev);
	pci_disable_device(pdev);
	put_device(&dev->device);
}

/* Before a reboot or kexec: the next kernel owns the memory then. */
static void vgpu_shutdown(struct pci_dev *pdev)
{
	struct vgpu_device *dev = pci_get_drvdata(pdev);

	mutex_lock(&dev->ctl);
	WRITE_ONCE(dev->gone, true);
	mutex_unlock(&dev->ctl);
	vgpu_channels_shutdown(dev);
	wait_event_timeout(dev->released, !READ_ONCE(dev->active), HZ);
	vgpu_write(dev, VGPU_REG_IRQ_ENABLE, 0);
}

/* A worker's state on the host cannot be saved, so neither can the guest's. */
static int vgpu_pm_prepare(struct device *device)
{
	dev_warn(device, "a VM with a vGPU cannot be suspended\n");
	return -EBUSY;
}

static const struct dev_pm_ops vgpu_pm_ops = {
	.prepare = vgpu_pm_prepare,
};

static const struct pci_device_id vgpu_ids[] = {
	{PCI_DEVICE(VGPU_PCI_VENDOR, VGPU_PCI_DEVICE)},
	{},
};
MODULE_DEVICE_TABLE(pci, vgpu_ids);

static struct pci_driver vgpu_driver = {
	.name = "vgpu",
	.id_table = vgpu_ids,
	.probe = vgpu_probe,
	.remove = vgpu_remove,
	.shutdown = vgpu_shutdown,
	.driver.pm = &vgpu_pm_ops,
};

static int __init vgpu_init(void)
{
	int rc = vgpu_file_init();

	if (rc)
		return rc;
	rc = pci_register_driver(&vgpu_driver);
	if (rc)
		vgpu_file_exit();
	return rc;
}

static void __exit vgpu_exit(void)
{
	pci_unregister_driver(&vgpu_driver);
	vgpu_file_exit();
}

module_init(vgpu_init);
module_exit(vgpu_exit);

MODULE_DESCRIPTION("Mediated GPU for virtual machines: guest driver");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
