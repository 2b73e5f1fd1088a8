/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * vgpu_regs.h - what a guest sees of the vgpu-stub PCI device
 *
 * Shared by the device core, its QEMU and Xen front ends, the guest kernel driver and the tests.
 * docs/device-registers.md explains each register; this file is the authority on the numbers.
 *
 * BAR0 is 4 KiB of 32-bit little-endian registers. Only aligned 32-bit accesses are served. Reads of
 * reserved offsets give 0. Any other access, and any bad value, is logged as a guest error and has no
 * effect.
 */
#ifndef VGPU_REGS_H
#define VGPU_REGS_H

#define VGPU_PCI_VENDOR 0x1af4
#define VGPU_PCI_DEVICE 0x1111
#define VGPU_PCI_CLASS 0x1200 /* processing accelerator */
#define VGPU_PCI_REVISION 1

#define VGPU_BAR0_BYTES 4096
#define VGPU_MSIX_BAR 1
#define VGPU_MSIX_VECTORS 9 /* vector 0: control; vector 1 + (channel % 8): that channel */
#define VGPU_CHANNELS 64

#define VGPU_REG_MAGIC 0x000     /* RO 'V' 'G' 'P' 'U' */
#define VGPU_REG_ABI 0x004       /* RO major << 16 | minor */
#define VGPU_REG_POOL_ID 0x008   /* RO ASCII letter */
#define VGPU_REG_PRIORITY 0x00c  /* RO 0 low, 1 medium, 2 high */
#define VGPU_REG_VM_ID 0x010     /* RO */
#define VGPU_REG_FEATURES 0x014  /* RO VGPU_FEATURE_* */
#define VGPU_REG_STATUS 0x018    /* RO VGPU_STATUS_* */
#define VGPU_REG_CHANNELS 0x01c  /* RO number of channels */

/* Channel control. CH_SELECT names the channel that the CH_* registers act on. */
#define VGPU_REG_CH_SELECT 0x020   /* RW channel index */
#define VGPU_REG_CH_TABLE_LO 0x024 /* RW guest physical address of the run table, 8-byte aligned */
#define VGPU_REG_CH_TABLE_HI 0x028 /* RW */
#define VGPU_REG_CH_RUNS 0x02c     /* RW entries in the run table, 1 to VGPU_RUNS_MAX */
#define VGPU_REG_CH_PAGES 0x030    /* RW pages in all runs together, 1 to VGPU_PAGES_MAX */
#define VGPU_REG_CH_COMMAND 0x034  /* WO VGPU_CH_CMD_* */
#define VGPU_REG_CH_STATE 0x038    /* RO VGPU_CH_* */
#define VGPU_REG_CH_REASON 0x03c   /* RO VGPU_REASON_*: why the channel was refused or is dead */

#define VGPU_REG_DOORBELL 0x040    /* WO channel index; ignored unless that channel is open */

/* Interrupts. A status bit raises its vector when it goes from 0 to 1 while unmasked. */
#define VGPU_REG_IRQ_CONTROL 0x050   /* RO bit 0: a channel's state or STATUS changed */
#define VGPU_REG_IRQ_CHANNEL_LO 0x054 /* RO bit n: channel n has replies */
#define VGPU_REG_IRQ_CHANNEL_HI 0x058 /* RO bit n: channel 32 + n */
#define VGPU_REG_ACK_CONTROL 0x060   /* WO write 1 to clear */
#define VGPU_REG_ACK_CHANNEL_LO 0x064 /* WO */
#define VGPU_REG_ACK_CHANNEL_HI 0x068 /* WO */
#define VGPU_REG_IRQ_ENABLE 0x070    /* RW bit 0: interrupts on; reset value 0 */
#define VGPU_REG_END 0x074           /* everything from here to the BAR's end is reserved */

#define VGPU_MAGIC 0x55504756u /* "VGPU" as bytes in memory */
#define VGPU_ABI_MAJOR 1
#define VGPU_ABI_MINOR 0
#define VGPU_ABI ((VGPU_ABI_MAJOR << 16) | VGPU_ABI_MINOR)

#define VGPU_FEATURE_GUEST_PHYSICAL (1u << 0) /* run tables hold guest physical addresses */
#define VGPU_FEATURE_GRANTS (1u << 1)         /* run tables hold Xen grant references */

#define VGPU_STATUS_LINK (1u << 0) /* a mediator is connected and has accepted this device */

#define VGPU_CH_CMD_OPEN 1
#define VGPU_CH_CMD_CLOSE 2

#define VGPU_CH_FREE 0    /* nothing; OPEN is accepted */
#define VGPU_CH_OPENING 1 /* the mediator has been asked */
#define VGPU_CH_OPEN 2    /* doorbells are delivered */
#define VGPU_CH_CLOSING 3 /* CLOSE sent; becomes FREE once the mediator has unmapped the pages */
/*
 * Refused, or ended by the host: CH_REASON says why. CLOSE makes it FREE, by way of CLOSING while the
 * host may still have the pages mapped.
 */
#define VGPU_CH_DEAD 4

#define VGPU_REASON_NONE 0
#define VGPU_REASON_NO_MEDIATOR 1  /* no mediator connected */
#define VGPU_REASON_LINK_LOST 2    /* the mediator went away */
#define VGPU_REASON_BAD_TABLE 3    /* the run table is not valid */
#define VGPU_REASON_VERSION 4      /* ring protocol version not spoken by the mediator */
#define VGPU_REASON_LIMIT 5        /* too many channels or too much memory for this VM */
#define VGPU_REASON_REFUSED 6      /* by configuration */
#define VGPU_REASON_NO_WORKER 7    /* no worker could be started */
#define VGPU_REASON_WORKER_DIED 8  /* the worker ended */
#define VGPU_REASON_PROTOCOL 9     /* the guest broke the ring protocol */
#define VGPU_REASON_GPU 10         /* the GPU is lost or its driver does not start */
#define VGPU_REASON_TIMEOUT 11     /* work on the GPU took longer than this VM may */
#define VGPU_REASON_LAST VGPU_REASON_TIMEOUT

/*
 * Run table entry, 16 bytes, in guest memory: count pages of 4 KiB from address on. With
 * VGPU_FEATURE_GRANTS address is a grant reference and count is 1.
 */
struct vgpu_run {
    unsigned long long address; /* 4 KiB aligned */
    unsigned int count;         /* pages, at least 1 */
    unsigned int reserved;      /* 0 */
};

#define VGPU_PAGE_SHIFT 12
#define VGPU_RUNS_MAX 32768
#define VGPU_PAGES_MAX (1u << 19) /* 2 GiB */

#endif
