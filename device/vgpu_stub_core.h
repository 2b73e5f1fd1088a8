/* SPDX-License-Identifier: GPL-2.0 */
/*
 * vgpu_stub_core.h - the vgpu-stub device without its surroundings
 *
 * Registers (vgpu_regs.h), channels and the link to the mediator daemon (vgpu_link.h). What a
 * device model has to lend - interrupts, eventfds, a socket, a log, a clock - comes through
 * vgpu_stub_ops, so that the QEMU device and a stand-alone device model behave alike.
 *
 * Trust: everything that comes in through vgpu_stub_read/write is the guest's and only ever selects
 * among what is checked here. Messages of the mediator are checked as well; a bad one costs the
 * link, never the VM. The core allocates nothing, never blocks and never looks at guest memory.
 *
 * Threads: none. The caller serialises all calls (in QEMU: the big lock). Operations are called
 * from inside the functions below and must not call back into the core, except where an operation
 * says so.
 */
#ifndef VGPU_STUB_CORE_H
#define VGPU_STUB_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vgpu_link.h"
#include "vgpu_regs.h"

/* Who the device is; from the host's configuration. */
struct vgpu_stub_identity {
    uint32_t vm_id;    /* not 0 */
    uint32_t pool_id;  /* ASCII letter */
    uint32_t priority; /* 0 low, 1 medium, 2 high */
    uint32_t backend;  /* VGPU_BACKEND_MEMFD or VGPU_BACKEND_GRANT */
};

/* One piece of guest RAM that the mediator can map. The descriptor stays the device model's. */
struct vgpu_stub_region {
    struct vgpu_region where;
    int fd;
};

/* What the device model lends. opaque is what vgpu_stub_init was given. All are needed but memory.
 */
struct vgpu_stub_ops {
    /* Raises an MSI-X vector, below VGPU_MSIX_VECTORS. */
    void (*raise)(void *opaque, unsigned int vector);

    /* One line about what the guest did wrong. Already limited in rate; text without line end. */
    void (*guest_error)(void *opaque, const char *text);

    /* One line about the link, for the host's log. Already limited in rate. */
    void (*log)(void *opaque, const char *text);

    /* Monotonic time in nanoseconds. */
    uint64_t (*now_ns)(void *opaque);

    /*
     * Makes the two eventfds of a channel and stores them in fds: [0] the doorbell, [1] the
     * interrupt, on which the device model then calls vgpu_stub_interrupt. 0, or -1 with nothing
     * made. They live until eventfds_close.
     */
    int (*eventfds_create)(void *opaque, unsigned int channel, int fds[2]);

    /* From now on the guest's doorbell reaches this channel's eventfd, or no longer does
     * (optional). */
    void (*doorbell_enable)(void *opaque, unsigned int channel, bool on);

    /* Signals the doorbell eventfd. */
    void (*doorbell_signal)(void *opaque, unsigned int channel);

    void (*eventfds_close)(void *opaque, unsigned int channel);

    /*
     * Queues one message for the mediator, all of it or nothing. Bytes and descriptors are the
     * caller's again on return. Never blocks. 0, or -1 when it does not fit or cannot be sent.
     */
    int (*send)(void *opaque, const void *bytes, size_t size, const int *fds, unsigned int nfds);

    /*
     * Ends the connection to the mediator. The core has already forgotten it; the device model need
     * not report it with vgpu_stub_link_down, but may.
     */
    void (*disconnect)(void *opaque);

    /*
     * Fills regions (room for VGPU_LINK_REGIONS) with the guest RAM as it is now and returns their
     * number; 0 means that guest RAM cannot be shared. NULL for VGPU_BACKEND_GRANT.
     */
    unsigned int (*memory)(void *opaque, struct vgpu_stub_region *regions);
};

enum vgpu_stub_link {
    VGPU_STUB_LINK_DOWN,    /* no connection */
    VGPU_STUB_LINK_HELLO,   /* HELLO and MEMORY sent, WELCOME awaited */
    VGPU_STUB_LINK_READY,   /* welcomed */
    VGPU_STUB_LINK_REFUSED, /* connected, but the daemon serves no channels: refused_reason */
};

/*
 * A token bucket for log lines: burst at once, then one per interval. Guards the host's log against
 * a guest that does the same wrong thing in a loop.
 */
struct vgpu_stub_limit {
    uint32_t tokens;
    uint64_t refilled_ns;
    uint64_t suppressed; /* lines not logged since the last one that was */
};

struct vgpu_stub_channel {
    uint64_t table; /* CH_TABLE_HI:LO */
    uint32_t runs;
    uint32_t pages;
    uint8_t state;  /* VGPU_CH_* */
    uint8_t reason; /* VGPU_REASON_* */
    bool has_eventfds;
    bool held; /* the mediator was asked with serial and has not said FREE: it may have pages mapped
                */
    /*
     * A device reset frees the channel for the guest at once, but the mediator still has to let go.
     * Until it has answered for drain_serial an OPEN is held back.
     */
    bool draining;
    uint32_t drain_serial;
    uint32_t serial; /* of the last CHANNEL_OPEN sent */
};

struct vgpu_stub_core {
    struct vgpu_stub_identity id;
    const struct vgpu_stub_ops *ops;
    void *opaque;

    struct vgpu_stub_channel channels[VGPU_CHANNELS];
    uint64_t open_channels; /* bit n: channel n is VGPU_CH_OPEN */
    uint32_t select;
    uint32_t next_serial;

    uint32_t irq_control;
    uint64_t irq_channels;
    uint32_t irq_enable;

    enum vgpu_stub_link link;
    uint32_t refused_reason;
    uint32_t in_used; /* bytes of in that are valid */
    uint8_t in[VGPU_LINK_MSG_MAX];
    bool memory_stale; /* the mediator's picture of guest RAM is older than ours */
    struct vgpu_stub_limit memory_limit;

    struct vgpu_stub_limit guest_limit;
    struct vgpu_stub_limit link_limit;
};

/* NULL when id can be served, otherwise what is wrong with it, as a constant string. */
const char *vgpu_stub_check_identity(const struct vgpu_stub_identity *id);

/* id must have passed vgpu_stub_check_identity. ops and opaque stay the caller's and must outlive
 * core. */
void vgpu_stub_init(struct vgpu_stub_core *core, const struct vgpu_stub_identity *id,
                    const struct vgpu_stub_ops *ops, void *opaque);

/* Closes every channel and its eventfds. The link, if up, is ended. */
void vgpu_stub_fini(struct vgpu_stub_core *core);

/* Device reset: registers to their reset values, channels closed. The link to the mediator stays.
 */
void vgpu_stub_reset(struct vgpu_stub_core *core);

/* An access of the guest to BAR0: any offset, any size, any value. */
uint64_t vgpu_stub_read(struct vgpu_stub_core *core, uint64_t offset, unsigned int size);
void vgpu_stub_write(struct vgpu_stub_core *core, uint64_t offset, uint64_t value,
                     unsigned int size);

/* The interrupt eventfd of a channel fired. */
void vgpu_stub_interrupt(struct vgpu_stub_core *core, unsigned int channel);

/* The guest's RAM map changed. */
void vgpu_stub_memory_changed(struct vgpu_stub_core *core);

/* A mediator connected, sent bytes (in pieces of any size) with nfds descriptors, or went away. */
void vgpu_stub_link_up(struct vgpu_stub_core *core);
void vgpu_stub_link_receive(struct vgpu_stub_core *core, const void *bytes, size_t size,
                            unsigned int nfds);
void vgpu_stub_link_down(struct vgpu_stub_core *core);

/* Ends the link because of why (shown in the log), as after a bad message. For the device model's
 * errors. */
void vgpu_stub_link_drop(struct vgpu_stub_core *core, const char *why);

#endif
