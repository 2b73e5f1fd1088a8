// SPDX-License-Identifier: GPL-2.0
/*
 * /dev/vgpuN: vgpu_uapi.h says what it promises
 */
#include <linux/compat.h>
#include <linux/fs.h>
#include <linux/idr.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/version.h>

#include "vgpu_drv.h"

#define VGPU_MINORS 16
#define VGPU_WAIT_MAX_MS 10000

struct vgpu_file {
	struct vgpu_device *dev;
	struct mm_struct *mm; /* of the process that opened it: its owner */
	struct mutex setup;
	struct vgpu_channel *channel; /* set once, under setup */
	spinlock_t arena_lock;
	struct vgpu_arena *arena; /* until the channel's last mapping goes */
	atomic_t mappings;	  /* in mm */
};

static dev_t vgpu_devt;
static DEFINE_IDA(vgpu_minors);

static bool vgpu_file_owned(const struct vgpu_file *vf)
{
	/* vf->mm is held, so no later mm can have its address. */
	return current->mm == vf->mm;
}

/* A reference for the caller, or NULL. */
static struct vgpu_arena *vgpu_file_arena(struct vgpu_file *vf)
{
	struct vgpu_arena *arena;

	spin_lock(&vf->arena_lock);
	arena = vf->arena;
	if (arena)
		vgpu_arena_get(arena);
	spin_unlock(&vf->arena_lock);
	return arena;
}

static void vgpu_file_set_arena(struct vgpu_file *vf, struct vgpu_arena *arena)
{
	spin_lock(&vf->arena_lock);
	swap(vf->arena, arena);
	spin_unlock(&vf->arena_lock);
	if (arena)
		vgpu_arena_put(arena);
}

static struct vgpu_channel *vgpu_file_channel(struct vgpu_file *vf)
{
	return smp_load_acquire(&vf->channel);
}

/*
 * Without its mapping the process cannot use the channel any more. A child
 * that still has the file need not keep the memory allocated.
 */
static void vgpu_file_end(struct vgpu_file *vf, struct vgpu_channel *channel)
{
	vgpu_channel_close(vf->dev, channel);
	vgpu_file_set_arena(vf, NULL);
}

static int vgpu_open(struct inode *inode, struct file *file)
{
	struct vgpu_file *vf;

	if (!current->mm)
		return -EPERM;
	vf = kzalloc(sizeof(*vf), GFP_KERNEL_ACCOUNT);
	if (!vf)
		return -ENOMEM;
	/* The open file holds the cdev, and the cdev holds the device. */
	vf->dev = container_of(inode->i_cdev, struct vgpu_device, cdev);
	mutex_init(&vf->setup);
	spin_lock_init(&vf->arena_lock);
	mmgrab(current->mm);
	vf->mm = current->mm;
	file->private_data = vf;
	return nonseekable_open(inode, file);
}

/* No mapping is left by now: each holds a reference to the file. */
static int vgpu_release(struct inode *inode, struct file *file)
{
	struct vgpu_file *vf = file->private_data;

	if (vf->channel) {
		vgpu_channel_close(vf->dev, vf->channel);
		vgpu_channel_put(vf->channel);
	}
	vgpu_file_set_arena(vf, NULL);
	mmdrop(vf->mm);
	mutex_destroy(&vf->setup);
	kfree(vf);
	return 0;
}

static int vgpu_ioc_info(struct vgpu_file *vf, void __user *user)
{
	struct vgpu_device *dev = vf->dev;
	struct vgpu_ioc_info info = {
		.abi = dev->abi,
		.vm_id = dev->vm_id,
		.pool_id = dev->pool_id,
		.priority = dev->priority,
		.features = dev->features,
		.arena_max = vgpu_arena_max(),
	};

	mutex_lock(&dev->ctl);
	if (dev->gone) {
		mutex_unlock(&dev->ctl);
		return -ENODEV;
	}
	info.status = vgpu_read(dev, VGPU_REG_STATUS);
	mutex_unlock(&dev->ctl);
	return copy_to_user(user, &info, sizeof(info)) ? -EFAULT : 0;
}

static int vgpu_ioc_arena(struct vgpu_file *vf, void __user *user)
{
	struct vgpu_ioc_arena request;
	struct vgpu_arena *arena;
	int rc = 0;

	if (copy_from_user(&request, user, sizeof(request)))
		return -EFAULT;
	if (mutex_lock_killable(&vf->setup))
		return -EINTR;
	/* Nobody else sets it, and only a file with a channel drops it. */
	if (vf->arena || vf->channel) {
		rc = -EBUSY;
	} else {
		arena = vgpu_arena_create(vf->dev, request.bytes);
		if (IS_ERR(arena))
			rc = PTR_ERR(arena);
		else
			vgpu_file_set_arena(vf, arena);
	}
	mutex_unlock(&vf->setup);
	return rc;
}

/* Under setup, with a reference to the arena. */
static int vgpu_file_connect(struct vgpu_file *vf, struct vgpu_arena *arena,
			     struct vgpu_ioc_open *answer)
{
	struct vgpu_channel *channel;
	int rc;

	if (!atomic_read(&vf->mappings))
		return -EINVAL;
	rc = vgpu_channel_open(vf->dev, arena, &channel, &answer->reason);
	if (rc)
		return rc;
	answer->channel = channel->index;
	/* Pairs with the acquire in vgpu_file_channel(). */
	smp_store_release(&vf->channel, channel);
	/*
	 * The last mapping may have gone meanwhile; whichever of us comes
	 * second sees the other and ends the channel.
	 */
	smp_mb();
	if (!atomic_read(&vf->mappings))
		vgpu_file_end(vf, channel);
	return 0;
}

static int vgpu_ioc_open(struct vgpu_file *vf, void __user *user)
{
	struct vgpu_ioc_open answer = {};
	struct vgpu_arena *arena;
	int rc = -EINVAL;

	if (mutex_lock_killable(&vf->setup))
		return -EINTR;
	if (vf->channel) {
		rc = -EBUSY;
	} else {
		arena = vgpu_file_arena(vf);
		if (arena) {
			rc = vgpu_file_connect(vf, arena, &answer);
			vgpu_arena_put(arena);
		}
	}
	mutex_unlock(&vf->setup);
	if (copy_to_user(user, &answer, sizeof(answer)))
		return -EFAULT;
	return rc;
}

static int vgpu_ioc_doorbell(struct vgpu_file *vf)
{
	struct vgpu_channel *channel = vgpu_file_channel(vf);
	int rc = 0;

	if (!channel)
		return -ENOTCONN;
	/*
	 * The grace period keeps the registers mapped. A channel that dies
	 * right now costs nothing: the device ignores doorbells of closed
	 * channels, and a new owner of the slot takes one more for a wake-up.
	 */
	rcu_read_lock();
	if (READ_ONCE(channel->state) != VGPU_CH_OPEN ||
	    READ_ONCE(vf->dev->gone))
		rc = -EPIPE;
	else
		vgpu_write(vf->dev, VGPU_REG_DOORBELL, channel->index);
	rcu_read_unlock();
	return rc;
}

static int vgpu_ioc_wait(struct vgpu_file *vf, void __user *user)
{
	struct vgpu_channel *channel = vgpu_file_channel(vf);
	struct vgpu_ioc_wait wait;
	long left;
	int rc = 0;

	if (copy_from_user(&wait, user, sizeof(wait)))
		return -EFAULT;
	if (!channel)
		return -ENOTCONN;
	if (wait.timeout_ms > VGPU_WAIT_MAX_MS)
		return -EINVAL;

	if (wait.timeout_ms) {
		left = wait_event_interruptible_timeout(
			channel->wait,
			atomic64_read(&channel->events) != wait.events ||
				READ_ONCE(channel->state) == VGPU_CH_DEAD,
			msecs_to_jiffies(wait.timeout_ms));
		if (left < 0)
			rc = -EINTR;
		else if (!left)
			rc = -ETIMEDOUT;
	}
	wait.events = atomic64_read(&channel->events);
	wait.reason = VGPU_REASON_NONE;
	if (smp_load_acquire(&channel->state) == VGPU_CH_DEAD) {
		wait.reason = READ_ONCE(channel->reason);
		rc = -EPIPE;
	}
	if (copy_to_user(user, &wait, sizeof(wait)))
		return -EFAULT;
	return rc;
}

/* The layout is the same for 32-bit programs. */
static long vgpu_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct vgpu_file *vf = file->private_data;
	void __user *user = (void __user *)arg;

	if (cmd == VGPU_IOC_INFO)
		return vgpu_ioc_info(vf, user);
	if (!vgpu_file_owned(vf))
		return -EPERM;
	switch (cmd) {
	case VGPU_IOC_ARENA:
		return vgpu_ioc_arena(vf, user);
	case VGPU_IOC_OPEN:
		return vgpu_ioc_open(vf, user);
	case VGPU_IOC_DOORBELL:
		return vgpu_ioc_doorbell(vf);
	case VGPU_IOC_WAIT:
		return vgpu_ioc_wait(vf, user);
	default:
		return -ENOTTY;
	}
}

/* Every mapping has a reference to the arena. */
static void vgpu_vma_open(struct vm_area_struct *vma)
{
	struct vgpu_file *vf = vma->vm_file->private_data;

	vgpu_arena_get(vma->vm_private_data);
	if (vma->vm_mm == vf->mm)
		atomic_inc(&vf->mappings);
}

/*
 * This is also what closes the channel when the process dies or calls exec()
 * while a child it forked still has the file.
 */
static void vgpu_vma_close(struct vm_area_struct *vma)
{
	struct vgpu_file *vf = vma->vm_file->private_data;
	struct vgpu_channel *channel;

	if (vma->vm_mm == vf->mm && atomic_dec_and_test(&vf->mappings)) {
		channel = vgpu_file_channel(vf);
		if (channel)
			vgpu_file_end(vf, channel);
	}
	vgpu_arena_put(vma->vm_private_data);
}

static vm_fault_t vgpu_vma_fault(struct vm_fault *vmf)
{
	return vgpu_arena_fault(vmf->vma->vm_private_data, vmf);
}

static const struct vm_operations_struct vgpu_vm_ops = {
	.open = vgpu_vma_open,
	.close = vgpu_vma_close,
	.fault = vgpu_vma_fault,
};

static void vgpu_vma_set_flags(struct vm_area_struct *vma)
{
	/* VM_MIXEDMAP: vgpu_vma_fault() may not change the flags. */
	unsigned long set =
		VM_DONTEXPAND | VM_DONTDUMP | VM_DONTCOPY | VM_MIXEDMAP;

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
	vm_flags_mod(vma, set, VM_MAYEXEC);
#else
	vma->vm_flags = (vma->vm_flags | set) & ~VM_MAYEXEC;
#endif
}

static int vgpu_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct vgpu_file *vf = file->private_data;
	struct vgpu_arena *arena;
	int rc = -EINVAL;

	if (!vgpu_file_owned(vf) || vma->vm_flags & VM_EXEC)
		return -EPERM;
	arena = vgpu_file_arena(vf);
	if (!arena)
		return -EINVAL;
	if (!vma->vm_pgoff && vma->vm_flags & VM_SHARED &&
	    vma_pages(vma) == arena->pages) {
		vgpu_vma_set_flags(vma);
		rc = vgpu_arena_map(arena, vma);
	}
	if (!rc) {
		vma->vm_private_data = arena;
		vma->vm_ops = &vgpu_vm_ops;
		vgpu_vma_open(vma);
	}
	vgpu_arena_put(arena);
	return rc;
}

static const struct file_operations vgpu_fops = {
	.owner = THIS_MODULE,
	.open = vgpu_open,
	.release = vgpu_release,
	.unlocked_ioctl = vgpu_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = vgpu_mmap,
};

/* The group is for a udev rule to set; nobody else gets in meanwhile. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
static char *vgpu_devnode(const struct device *device, umode_t *mode)
#else
static char *vgpu_devnode(struct device *device, umode_t *mode)
#endif
{
	if (mode)
		*mode = 0660;
	return NULL;
}

static struct class vgpu_class = {
	.name = "vgpu",
	.devnode = vgpu_devnode,
};

static void vgpu_device_release(struct device *device)
{
	struct vgpu_device *dev =
		container_of(device, struct vgpu_device, device);

	ida_free(&vgpu_minors, MINOR(device->devt));
	mutex_destroy(&dev->ctl);
	kfree(dev);
}

int vgpu_file_prepare(struct vgpu_device *dev)
{
	int minor = ida_alloc_max(&vgpu_minors, VGPU_MINORS - 1, GFP_KERNEL);

	if (minor < 0)
		return minor;
	device_initialize(&dev->device);
	dev->device.class = &vgpu_class;
	dev->device.parent = &dev->pdev->dev;
	dev->device.devt = MKDEV(MAJOR(vgpu_devt), minor);
	dev->device.release = vgpu_device_release;
	cdev_init(&dev->cdev, &vgpu_fops);
	dev->cdev.owner = THIS_MODULE;
	return 0;
}

int vgpu_file_add(struct vgpu_device *dev)
{
	int rc = dev_set_name(&dev->device, "vgpu%u", MINOR(dev->device.devt));

	return rc ? rc : cdev_device_add(&dev->cdev, &dev->device);
}

void vgpu_file_remove(struct vgpu_device *dev)
{
	cdev_device_del(&dev->cdev, &dev->device);
}

int vgpu_file_init(void)
{
	int rc = class_register(&vgpu_class);

	if (rc)
		return rc;
	rc = alloc_chrdev_region(&vgpu_devt, 0, VGPU_MINORS, "vgpu");
	if (rc)
		class_unregister(&vgpu_class);
	return rc;
}

void vgpu_file_exit(void)
{
	unregister_chrdev_region(vgpu_devt, VGPU_MINORS);
	class_unregister(&vgpu_class);
}
