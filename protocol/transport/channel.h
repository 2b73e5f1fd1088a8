/* SPDX-License-Identifier: Apache-2.0 */
/*
 * channel.h - what ring, replies and heap of the guest side need from a transport
 *
 * The client (client.h) fills one of these in; tests may do so themselves.
 */
#ifndef VGPU_TRANSPORT_CHANNEL_H
#define VGPU_TRANSPORT_CHANNEL_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "protocol/transport/layout.h"

/* A blocked caller looks at least this often whether its channel is still alive. */
#define VGPU_WAIT_SLICE_MS 100

struct vgpu_channel_ops {
    /* Wakes the consumer. Never blocks. */
    void (*doorbell)(void *transport);
    /*
     * Sleeps while *word == expected, as a futex does: returns 0 when woken, when the word differs
     * already or for no reason, -ETIMEDOUT after timeout_ms, -EPIPE when the channel is dead. Many
     * threads may wait at once.
     */
    int (*wait)(void *transport, _Atomic uint32_t *word, uint32_t expected, uint32_t timeout_ms);
    /* Whether the channel is dead. May make a system call, never blocks; once true, always true. */
    bool (*dead)(void *transport);
};

/*
 * owner lives in a page that the kernel wipes in a child of fork(), so one load tells a usable
 * channel (VGPU_OWNER_ALIVE) from one that died and from one that this process only inherited.
 */
enum vgpu_owner {
    VGPU_OWNER_FORKED = 0,
    VGPU_OWNER_ALIVE = 1,
    VGPU_OWNER_DEAD = 2,
};

struct vgpu_channel {
    struct vgpu_view view;
    _Atomic uint32_t *owner; /* enum vgpu_owner */
    const struct vgpu_channel_ops *ops;
    void *transport;
};

/* 0, -EPERM in a child of fork(), -EPIPE when the channel is known to be dead. One load. */
static inline int vgpu_channel_usable(const struct vgpu_channel *channel)
{
    uint32_t owner = atomic_load_explicit(channel->owner, memory_order_relaxed);
    if (__builtin_expect(owner == VGPU_OWNER_ALIVE, 1))
        return 0;
    return owner == VGPU_OWNER_FORKED ? -EPERM : -EPIPE;
}

/* The first error of a deferred call since the last take (CUresult), or 0; *opcode when not NULL.
 */
uint32_t vgpu_channel_take_deferred(struct vgpu_channel *channel, uint32_t *opcode);

#endif
