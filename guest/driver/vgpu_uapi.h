/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR Apache-2.0 */
/*
 * vgpu_uapi.h - /dev/vgpu0 as user space sees it
 *
 * One open file is one channel at most: INFO, then ARENA, then mmap() of the whole arena at offset 0,
 * then OPEN, then DOORBELL and WAIT as often as needed. Closing the file (also by dying) closes the
 * channel; the pages are freed once the host has let go of them and no mapping is left.
 * A child of fork() may not use its parent's file: every call but INFO gives EPERM there.
 */
#ifndef VGPU_UAPI_H
#define VGPU_UAPI_H

#include <linux/ioctl.h>
#include <linux/types.h>

struct vgpu_ioc_info {
	__u32 abi;       /* major << 16 | minor, from the device */
	__u32 vm_id;
	__u32 pool_id;   /* ASCII letter */
	__u32 priority;
	__u32 features;  /* VGPU_FEATURE_* */
	__u32 status;    /* VGPU_STATUS_* */
	__u64 arena_max; /* bytes; module parameter arena_max_mb */
};

struct vgpu_ioc_arena {
	__u64 bytes; /* in: multiple of 2 MiB. ENOMEM, EINVAL, EBUSY (already has one) */
};

struct vgpu_ioc_open {
	__u32 channel; /* out */
	__u32 reason;  /* out: VGPU_REASON_* when the call fails with ECONNREFUSED */
};

struct vgpu_ioc_wait {
	__u64 events;     /* in: the count the caller has seen; out: the count now */
	__u32 timeout_ms; /* in: 0 returns the count at once; no more than 10000 */
	__u32 reason;     /* out: VGPU_REASON_* when the call fails with EPIPE */
};

#define VGPU_IOC_INFO _IOR('V', 1, struct vgpu_ioc_info)
#define VGPU_IOC_ARENA _IOW('V', 2, struct vgpu_ioc_arena)
/* Blocks until the host has answered: 0, ECONNREFUSED with a reason, EBUSY (no channel free), ETIMEDOUT. */
#define VGPU_IOC_OPEN _IOR('V', 3, struct vgpu_ioc_open)
#define VGPU_IOC_DOORBELL _IO('V', 4)
/*
 * Waits until the channel's event count differs from events: 0; ETIMEDOUT; EINTR; EPIPE when the
 * channel is dead. Look at shared memory after taking the count and before waiting, and no wake-up
 * is lost.
 */
#define VGPU_IOC_WAIT _IOWR('V', 5, struct vgpu_ioc_wait)

#endif
