/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client.h - a guest process's connection to its worker
 *
 * Two transports behind one channel: a unix socket to a mediator on the same host (environment
 * VGPU_SOCKET; the arena is a sealed memfd, sleepers use futexes), or /dev/vgpu0 (the arena is the
 * driver's, sleepers use its WAIT call). Everything above is the same.
 *
 * Environment: VGPU_SOCKET path of the mediator's socket; VGPU_ARENA_MB arena size; VGPU_SPIN_US
 * longest spin before sleeping, in microseconds.
 *
 * After fork() the child must not use its parent's client: every call gives EPERM there, and the
 * arena is not mapped in the child. It may connect anew.
 */
#ifndef VGPU_TRANSPORT_CLIENT_H
#define VGPU_TRANSPORT_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/transport/channel.h"
#include "protocol/transport/heap.h"
#include "protocol/transport/reply.h"
#include "protocol/transport/ring.h"

#define VGPU_CLIENT_ERROR_BYTES 256

/* Zero-initialise; zero and NULL mean the default in every member. */
struct vgpu_client_options {
    const char *socket_path; /* NULL: environment VGPU_SOCKET; neither: the device */
    const char *device_path; /* "/dev/vgpu0" */
    uint64_t arena_bytes; /* rounded up to 2 MiB; 0: VGPU_ARENA_MB, else 1 GiB (socket) or 64 MiB */
    uint32_t ring_slots;  /* 16384 */
    uint32_t reply_count; /* 128 */
    uint32_t timeout_ms;  /* for the whole of connecting; 60000 */
    uint32_t vm_id, pool_id, priority; /* said in HELLO; the mediator only compares them */
    /* Stands in for ioctl() on the device (tests). */
    int (*device_ioctl)(int fd, unsigned long request, void *argument);
    /* Out, unless NULL: VGPU_CLIENT_ERROR_BYTES, one line on what failed and what to do. */
    char *error;
};

/* Everything a guest library needs, ready for use. Members are set by connect and then constant. */
struct vgpu_client {
    struct vgpu_channel channel;
    struct vgpu_producer ring;
    struct vgpu_replies *replies;
    struct vgpu_heap *heap;
    uint32_t vm_id, pool_id, priority; /* from the device; as given for a socket */
    uint32_t reason;                   /* VGPU_REASON_* once dead, when the host said one */
};

/*
 * Connects, creates the arena, opens the channel and waits until the worker is ready. Returns 0, or
 * -ENOENT (no mediator: neither socket nor device), -EACCES, -EPROTO (version or protocol),
 * -ECONNREFUSED (the host said why: see error), -ETIMEDOUT, -ENOMEM, or another negative errno.
 * Nothing is left behind on failure.
 */
int vgpu_client_connect(const struct vgpu_client_options *options, struct vgpu_client **client);

/* Closes the channel and unmaps the arena. No call may be in progress. In a child of fork(): frees
 * only what is private to it. */
void vgpu_client_close(struct vgpu_client *client);

/* Whether no record will be served any more. Makes a system call; not for the fast path. */
bool vgpu_client_dead(struct vgpu_client *client);

#endif
