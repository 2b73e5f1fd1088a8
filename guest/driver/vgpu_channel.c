// SPDX-License-Identifier: GPL-2.0
/*
 * Channels: the device's slots, from OPEN to the host's last use of the pages
 */
#include <linux/jiffies.h>
#include <linux/moduleparam.h>
#include <linux/slab.h>

#include "vgpu_drv.h"

#define VGPU_OVERDUE (30 * HZ) /* a host this slow to let go is reported */
#define VGPU_REMOVE_WAIT (5 * HZ)

static unsigned int open_timeout_ms = 10000;
module_param(open_timeout_ms, uint, 0644);
MODULE_PARM_DESC(open_timeout_ms, "how long OPEN waits for the host");

static void vgpu_channel_free(struct kref *ref)
{
	kfree(container_of(ref, struct vgpu_channel, ref));
}

void vgpu_channel_put(struct vgpu_channel *channel)
{
	kref_put(&channel->ref, vgpu_channel_free);
}

static void vgpu_channel_free_table(struct vgpu_channel *channel)
{
	if (channel->table)
		free_pages_exact(channel->table, channel->table_bytes);
	channel->table = NULL;
}

static struct vgpu_channel *vgpu_channel_create(struct vgpu_arena *arena)
{
	struct vgpu_channel *channel;
	u32 runs = vgpu_arena_runs(arena);

	channel = kzalloc(sizeof(*channel), GFP_KERNEL_ACCOUNT);
	if (!channel)
		return NULL;
	kref_init(&channel->ref);
	init_waitqueue_head(&channel->wait);
	channel->state = VGPU_CH_OPENING;
	channel->table_bytes = runs * sizeof(struct vgpu_run);
	/*
	 * Guest physical like what it lists: the host reads it through its own
	 * map of guest memory, where an IOMMU address would mean nothing.
	 */
	channel->table = alloc_pages_exact(channel->table_bytes,
					   GFP_KERNEL_ACCOUNT | __GFP_ZERO |
						   __GFP_NOWARN);
	if (!channel->table) {
		vgpu_channel_put(channel);
		return NULL;
	}
	vgpu_arena_fill(arena, channel->table);
	return channel;
}

static u32 vgpu_select_state(struct vgpu_device *dev, u32 index)
{
	vgpu_write(dev, VGPU_REG_CH_SELECT, index);
	return vgpu_read(dev, VGPU_REG_CH_STATE);
}

static void vgpu_channel_set_state(struct vgpu_channel *channel, u32 state,
				   u32 reason)
{
	WRITE_ONCE(channel->reason, reason);
	/* Pairs with the acquire in whoever finds the channel dead. */
	smp_store_release(&channel->state, state);
	wake_up_all(&channel->wait);
}

static void vgpu_slot_set(struct vgpu_device *dev, u32 index,
			  struct vgpu_channel *channel)
{
	unsigned long flags;

	spin_lock_irqsave(&dev->slots_lock, flags);
	dev->slot[index] = channel;
	if (channel)
		dev->active |= BIT_ULL(index);
	else
		dev->active &= ~BIT_ULL(index);
	spin_unlock_irqrestore(&dev->slots_lock, flags);
}

/* The device reported FREE: the host uses neither table nor pages any more. */
static void vgpu_channel_release(struct vgpu_device *dev,
				 struct vgpu_channel *channel)
{
	lockdep_assert_held(&dev->ctl);
	vgpu_slot_set(dev, channel->index, NULL);
	vgpu_channel_free_table(channel);
	vgpu_arena_put(channel->arena);
	channel->arena = NULL;
	vgpu_channel_put(channel);
	wake_up_all(&dev->released);
}

/* Afterwards the slot may be gone, and with it the slot's reference. */
static void vgpu_channel_end(struct vgpu_device *dev,
			     struct vgpu_channel *channel, u32 reason)
{
	lockdep_assert_held(&dev->ctl);
	if (!channel->arena || channel->closing)
		return;
	channel->closing = true;
	channel->closing_since = jiffies;
	vgpu_channel_set_state(channel, VGPU_CH_DEAD, reason);

	vgpu_write(dev, VGPU_REG_CH_SELECT, channel->index);
	vgpu_write(dev, VGPU_REG_CH_COMMAND, VGPU_CH_CMD_CLOSE);
	if (vgpu_read(dev, VGPU_REG_CH_STATE) == VGPU_CH_FREE)
		vgpu_channel_release(dev, channel);
	else
		schedule_delayed_work(&dev->overdue, VGPU_OVERDUE);
}

/* Follows the device; the slot may be gone afterwards. */
static void vgpu_channel_refresh(struct vgpu_device *dev,
				 struct vgpu_channel *channel)
{
	u32 state = vgpu_select_state(dev, channel->index);

	lockdep_assert_held(&dev->ctl);
	if (channel->closing) {
		if (state == VGPU_CH_FREE)
			vgpu_channel_release(dev, channel);
		return;
	}
	switch (state) {
	case VGPU_CH_OPEN:
		if (channel->state == VGPU_CH_OPENING)
			vgpu_channel_set_state(channel, VGPU_CH_OPEN,
					       VGPU_REASON_NONE);
		break;
	case VGPU_CH_DEAD:
		/* The process has been told; the slot is for someone else. */
		vgpu_channel_end(dev, channel,
				 vgpu_read(dev, VGPU_REG_CH_REASON));
		break;
	case VGPU_CH_FREE:
		/* The device was reset behind our back. */
		vgpu_channel_set_state(channel, VGPU_CH_DEAD,
				       VGPU_REASON_LINK_LOST);
		vgpu_channel_release(dev, channel);
		break;
	default:
		break;
	}
}

static void vgpu_channels_refresh_locked(struct vgpu_device *dev)
{
	u32 i;

	for (i = 0; i < dev->channel_count; i++)
		if (dev->slot[i])
			vgpu_channel_refresh(dev, dev->slot[i]);
}

void vgpu_channels_refresh(struct vgpu_device *dev)
{
	u32 link;

	mutex_lock(&dev->ctl);
	link = vgpu_read(dev, VGPU_REG_STATUS) & VGPU_STATUS_LINK;
	if (link != dev->link)
		dev_info_ratelimited(&dev->pdev->dev, "host link %s\n",
				     link ? "up" : "down");
	dev->link = link;
	vgpu_channels_refresh_locked(dev);
	mutex_unlock(&dev->ctl);
}

static int vgpu_slot_find(struct vgpu_device *dev)
{
	u32 i;

	for (i = 0; i < dev->channel_count; i++) {
		if (dev->slot[i])
			continue;
		/* With fewer vectors, some channels could never interrupt. */
		if (1 + i % 8 >= dev->vector_count)
			continue;
		/* One that an earlier driver left may not be free yet. */
		if (vgpu_select_state(dev, i) == VGPU_CH_FREE)
			return i;
	}
	return -EBUSY;
}

/* Puts the channel into a slot and tells the device. */
static int vgpu_channel_start(struct vgpu_device *dev, struct vgpu_arena *arena,
			      struct vgpu_channel *channel)
{
	phys_addr_t table = virt_to_phys(channel->table);
	int index;

	lockdep_assert_held(&dev->ctl);
	if (dev->gone)
		return -ENODEV;
	index = vgpu_slot_find(dev);
	if (index < 0)
		return index;

	channel->index = index;
	vgpu_arena_get(arena);
	channel->arena = arena;
	kref_get(&channel->ref);
	vgpu_slot_set(dev, index, channel);

	/* A bit left over from the slot's last user would hold back ours. */
	if (index < 32)
		vgpu_write(dev, VGPU_REG_ACK_CHANNEL_LO, BIT(index));
	else
		vgpu_write(dev, VGPU_REG_ACK_CHANNEL_HI, BIT(index - 32));
	vgpu_write(dev, VGPU_REG_CH_SELECT, index);
	vgpu_write(dev, VGPU_REG_CH_TABLE_LO, lower_32_bits(table));
	vgpu_write(dev, VGPU_REG_CH_TABLE_HI, upper_32_bits(table));
	vgpu_write(dev, VGPU_REG_CH_RUNS, vgpu_arena_runs(arena));
	vgpu_write(dev, VGPU_REG_CH_PAGES, arena->pages);
	vgpu_write(dev, VGPU_REG_CH_COMMAND, VGPU_CH_CMD_OPEN);
	vgpu_channel_refresh(dev, channel);
	return 0;
}

int vgpu_channel_open(struct vgpu_device *dev, struct vgpu_arena *arena,
		      struct vgpu_channel **out, u32 *reason)
{
	struct vgpu_channel *channel;
	long left;
	int rc;

	channel = vgpu_channel_create(arena);
	if (!channel)
		return -ENOMEM;

	mutex_lock(&dev->ctl);
	rc = vgpu_channel_start(dev, arena, channel);
	mutex_unlock(&dev->ctl);
	if (rc) {
		vgpu_channel_free_table(channel);
		vgpu_channel_put(channel);
		return rc;
	}

	left = wait_event_killable_timeout(
		channel->wait, READ_ONCE(channel->state) != VGPU_CH_OPENING,
		msecs_to_jiffies(READ_ONCE(open_timeout_ms)));

	mutex_lock(&dev->ctl);
	/* In the slot still, so the device is still there. */
	if (channel->state == VGPU_CH_OPENING)
		vgpu_channel_refresh(dev, channel);
	if (channel->state == VGPU_CH_OPENING) {
		vgpu_channel_end(dev, channel, VGPU_REASON_NONE);
		rc = left < 0 ? -EINTR : -ETIMEDOUT;
	} else if (channel->state == VGPU_CH_DEAD) {
		*reason = channel->reason;
		rc = -ECONNREFUSED;
	}
	mutex_unlock(&dev->ctl);

	if (rc)
		vgpu_channel_put(channel);
	else
		*out = channel;
	return rc;
}

void vgpu_channel_close(struct vgpu_device *dev, struct vgpu_channel *channel)
{
	mutex_lock(&dev->ctl);
	vgpu_channel_end(dev, channel, VGPU_REASON_NONE);
	mutex_unlock(&dev->ctl);
}

void vgpu_channels_shutdown(struct vgpu_device *dev)
{
	u32 i, state;

	mutex_lock(&dev->ctl);
	for (i = 0; i < dev->channel_count; i++) {
		if (dev->slot[i]) {
			vgpu_channel_end(dev, dev->slot[i],
					 VGPU_REASON_LINK_LOST);
			continue;
		}
		state = vgpu_select_state(dev, i);
		if (state != VGPU_CH_FREE && state != VGPU_CH_CLOSING)
			vgpu_write(dev, VGPU_REG_CH_COMMAND, VGPU_CH_CMD_CLOSE);
	}
	mutex_unlock(&dev->ctl);
}

void vgpu_channels_abandon(struct vgpu_device *dev)
{
	unsigned long lost = 0;
	u32 i;

	wait_event_timeout(dev->released, !READ_ONCE(dev->active),
			   VGPU_REMOVE_WAIT);
	mutex_lock(&dev->ctl);
	vgpu_channels_refresh_locked(dev);
	for (i = 0; i < dev->channel_count; i++) {
		struct vgpu_channel *channel = dev->slot[i];

		if (!channel)
			continue;
		lost += channel->arena->pages;
		vgpu_slot_set(dev, i, NULL);
		/* The references to table and arena are never dropped. */
		channel->arena = NULL;
		channel->table = NULL;
		vgpu_channel_put(channel);
	}
	mutex_unlock(&dev->ctl);
	if (lost)
		dev_warn(&dev->pdev->dev,
			 "host still holds %lu pages; they stay allocated\n",
			 lost);
}

void vgpu_channels_overdue(struct work_struct *work)
{
	struct vgpu_device *dev =
		container_of(work, struct vgpu_device, overdue.work);
	unsigned long pages = 0;
	bool waiting = false;
	u32 i;

	mutex_lock(&dev->ctl);
	vgpu_channels_refresh_locked(dev);
	for (i = 0; i < dev->channel_count; i++) {
		struct vgpu_channel *channel = dev->slot[i];

		if (!channel || !channel->closing)
			continue;
		waiting = true;
		if (time_after_eq(jiffies,
				  channel->closing_since + VGPU_OVERDUE))
			pages += channel->arena->pages;
	}
	mutex_unlock(&dev->ctl);
	if (pages && !dev->overdue_warned) {
		dev->overdue_warned = true;
		dev_warn(&dev->pdev->dev,
			 "host has not released %lu pages of closed channels\n",
			 pages);
	}
	if (waiting)
		schedule_delayed_work(&dev->overdue, VGPU_OVERDUE);
}
