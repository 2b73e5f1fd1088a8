/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * vgpu_link.h - messages between a client and the mediator daemon over a unix stream socket
 *
 * A client is a vgpu-stub device (it listens, the daemon connects, so that either may restart) or a
 * program on the host itself (backend `local`: it connects to the daemon's socket). Both speak the
 * same messages. Little-endian, naturally aligned, no implicit padding.
 *
 * Every message starts with struct vgpu_msg. File descriptors travel as SCM_RIGHTS with the
 * message's first byte. A message that is too long, of unknown type, out of order or with the wrong
 * number of descriptors ends the connection with a logged reason.
 *
 * Order: client HELLO; daemon WELCOME; client MEMORY (it need not wait for WELCOME); then
 * CHANNEL_OPEN / CHANNEL_CLOSE from the client and CHANNEL_STATE from the daemon. MEMORY may be sent
 * again before any CHANNEL_OPEN that needs it.
 *
 * The daemon takes identity from its own configuration for the socket; what HELLO says is only
 * compared with it and logged when different.
 */
#ifndef VGPU_LINK_H
#define VGPU_LINK_H

#include <stdint.h>

#define VGPU_LINK_MAGIC 0x4b4e4c56u /* "VLNK" */
#define VGPU_LINK_VERSION 1
#define VGPU_LINK_MSG_MAX 512 /* bytes, header included */
#define VGPU_LINK_REGIONS 8
#define VGPU_LINK_FDS_MAX 8

enum vgpu_msg_type {
    VGPU_MSG_HELLO = 1,     /* client to daemon */
    VGPU_MSG_MEMORY = 2,    /* client to daemon, one descriptor per region */
    VGPU_MSG_CHANNEL_OPEN = 3, /* client to daemon, two descriptors: doorbell, interrupt (eventfds) */
    VGPU_MSG_CHANNEL_CLOSE = 4, /* client to daemon */
    VGPU_MSG_WELCOME = 16,  /* daemon to client */
    VGPU_MSG_CHANNEL_STATE = 17, /* daemon to client */
};

struct vgpu_msg {
    uint32_t type; /* enum vgpu_msg_type */
    uint32_t size; /* bytes of the whole message */
};

enum vgpu_backend {
    VGPU_BACKEND_MEMFD = 1, /* guest RAM in memfds; run tables hold guest physical addresses */
    VGPU_BACKEND_GRANT = 2, /* Xen grant references */
    VGPU_BACKEND_LOCAL = 3, /* one memfd is the arena; no run table */
};

struct vgpu_msg_hello {
    struct vgpu_msg msg;
    uint32_t magic;
    uint32_t version;
    uint32_t backend; /* enum vgpu_backend */
    uint32_t vm_id;
    uint32_t pool_id; /* ASCII letter */
    uint32_t priority;
};

struct vgpu_region {
    uint64_t guest_address; /* guest physical; 0 for LOCAL */
    uint64_t size;          /* bytes */
    uint64_t fd_offset;     /* bytes into the descriptor */
};

struct vgpu_msg_memory {
    struct vgpu_msg msg;
    uint32_t count; /* regions that follow, 1 to VGPU_LINK_REGIONS */
    uint32_t reserved;
    struct vgpu_region regions[VGPU_LINK_REGIONS]; /* only count are sent */
};

struct vgpu_msg_channel_open {
    struct vgpu_msg msg;
    uint32_t channel;       /* below VGPU_CHANNELS */
    uint32_t serial;        /* changes with every OPEN of a channel; answers repeat it */
    uint64_t table_address; /* guest physical address of the run table; 0 for LOCAL */
    uint32_t runs;          /* 0 for LOCAL */
    uint32_t pages;         /* arena size in 4 KiB pages */
};

struct vgpu_msg_channel_close {
    struct vgpu_msg msg;
    uint32_t channel;
    uint32_t serial;
};

struct vgpu_msg_welcome {
    struct vgpu_msg msg;
    uint32_t version;
    uint32_t reason; /* VGPU_REASON_NONE, or why the daemon will serve no channels */
};

struct vgpu_msg_channel_state {
    struct vgpu_msg msg;
    uint32_t channel;
    uint32_t serial;
    uint32_t state;  /* VGPU_CH_OPEN, VGPU_CH_DEAD, or VGPU_CH_FREE (closed, pages unmapped) */
    uint32_t reason; /* VGPU_REASON_* */
};

#endif
