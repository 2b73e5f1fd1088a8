/* SPDX-License-Identifier: GPL-2.0 */
/*
 * vgpu_drv.h - what the parts of vgpu.ko promise each other
 *
 * An arena is the memory a process shares with its worker on the host; a
 * channel is one arena that the host has been told about. A channel occupies
 * one of the device's slots from OPEN until the device reports FREE, and keeps
 * its arena and run table alive for that long, whatever became of the process:
 * pages the host may still write to are never given back to the kernel.
 *
 * Locks, outermost first:
 *   mmap_lock         taken by the kernel around vgpu_arena_map() and the
 * vm_ops vgpu_file.setup   ARENA and OPEN of one file; no user memory is
 * touched vgpu_device.ctl   the channel registers (CH_SELECT makes them one
 * unit) and every change of a channel's state; held briefly slots_lock slot[]
 * and active, also in interrupt context
 */
#ifndef VGPU_DRV_H
#define VGPU_DRV_H

#include <linux/atomic.h>
#include <linux/cdev.h>
#include <linux/device.h>
#include <linux/io.h>
#include <linux/kref.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "vgpu_regs.h"
#include "vgpu_uapi.h"

#define VGPU_CHUNK_ORDER (21 - PAGE_SHIFT) /* 2 MiB */
#define VGPU_CHUNK_BYTES (1UL << 21)

struct vgpu_chunk {
	struct page *page; /* head of 1 << order pages */
	u32 first;	   /* index of the first page within the arena */
	u32 order;
};

struct vgpu_arena {
	struct kref ref;
	struct vgpu_device *dev;
	u32 pages;
	u32 chunk_count;
	u32 chunk_room;
	struct vgpu_chunk *chunks; /* ascending first */
};

struct vgpu_channel {
	struct kref ref; /* one for the slot, one for the file */
	u32 index;
	/*
	 * As the process sees it: VGPU_CH_OPENING, OPEN or DEAD. Written under
	 * ctl, read anywhere.
	 */
	u32 state;
	u32 reason; /* VGPU_REASON_*, valid once state is DEAD */
	atomic64_t events;
	wait_queue_head_t wait; /* state or events changed */

	/* Under ctl: what the host may use until the device reports FREE. */
	bool closing;		     /* CLOSE has been sent */
	unsigned long closing_since; /* jiffies */
	struct vgpu_arena *arena;    /* NULL once the slot is given up */
	struct vgpu_run *table;
	size_t table_bytes;
};

struct vgpu_vector {
	struct vgpu_device *dev;
	u32 index; /* 0: control */
};

struct vgpu_device {
	struct device device; /* its release frees this structure */
	struct cdev cdev;
	struct pci_dev *pdev;
	void __iomem *regs; /* not after gone and a grace period */
	bool gone;	    /* written under ctl, read under rcu or ctl */

	u32 abi, pool_id, priority, vm_id, features;
	u32 channel_count;
	u32 link; /* last seen VGPU_STATUS_LINK, for the log */

	int vector_count;
	struct vgpu_vector vectors[VGPU_MSIX_VECTORS];

	struct mutex ctl;
	spinlock_t slots_lock;
	u64 active; /* bit n: slot[n] is set */
	struct vgpu_channel *slot[VGPU_CHANNELS];
	wait_queue_head_t released; /* a slot was given up */
	struct delayed_work overdue;
	bool overdue_warned;

	atomic_long_t pages; /* of all arenas that still hold memory */
};

/* vgpu_arena.c */

/* Largest arena in bytes that the module parameters allow now. */
u64 vgpu_arena_max(void);

/* Zeroed pages; ERR_PTR(-EINVAL, -ENOMEM or -EINTR). */
struct vgpu_arena *vgpu_arena_create(struct vgpu_device *dev, u64 bytes);
void vgpu_arena_get(struct vgpu_arena *arena);
void vgpu_arena_put(struct vgpu_arena *arena);

/* 0, or a negative errno with some pages mapped; the caller unmaps them. */
int vgpu_arena_map(struct vgpu_arena *arena, struct vm_area_struct *vma);
vm_fault_t vgpu_arena_fault(struct vgpu_arena *arena, struct vm_fault *vmf);

/* Entries the run table needs, 1 to VGPU_RUNS_MAX. */
u32 vgpu_arena_runs(const struct vgpu_arena *arena);
/* Describes the arena by guest physical addresses. */
void vgpu_arena_fill(const struct vgpu_arena *arena, struct vgpu_run *table);

/* vgpu_channel.c */

/*
 * Takes a slot and waits for the host's answer. 0: *out is open and the caller
 * holds a reference. -EBUSY: no slot free. -ECONNREFUSED: *reason says why.
 * -ETIMEDOUT, -EINTR (killed), -ENOMEM, -ENODEV. The arena may be used for
 * another attempt after a failure.
 */
int vgpu_channel_open(struct vgpu_device *dev, struct vgpu_arena *arena,
		      struct vgpu_channel **out, u32 *reason);
/* Sends CLOSE unless done already. The reference stays with the caller. */
void vgpu_channel_close(struct vgpu_device *dev, struct vgpu_channel *channel);
void vgpu_channel_put(struct vgpu_channel *channel);

/* Looks at every channel in use; called after the control interrupt. */
void vgpu_channels_refresh(struct vgpu_device *dev);
/* Sends CLOSE for every channel, ours or an earlier driver's. */
void vgpu_channels_shutdown(struct vgpu_device *dev);
/*
 * After vgpu_channels_shutdown(): waits for the host to let go, then gives up
 * what it did not let go of: that memory is lost rather than reused.
 */
void vgpu_channels_abandon(struct vgpu_device *dev);
void vgpu_channels_overdue(struct work_struct *work);

/* vgpu_file.c */

int vgpu_file_init(void);
void vgpu_file_exit(void);
/* Makes /dev/vgpuN appear; 0 or a negative errno. */
int vgpu_file_add(struct vgpu_device *dev);
void vgpu_file_remove(struct vgpu_device *dev);
/* Initialises dev->device; from then on put_device() frees dev. */
int vgpu_file_prepare(struct vgpu_device *dev);

static inline u32 vgpu_read(struct vgpu_device *dev, u32 reg)
{
	return readl(dev->regs + reg);
}

static inline void vgpu_write(struct vgpu_device *dev, u32 reg, u32 value)
{
	writel(value, dev->regs + reg);
}

#endif
