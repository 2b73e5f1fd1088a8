/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ring.h - the record ring of an arena, both sides
 *
 * Producers: any number of threads of the guest process. Reserving is one compare-and-swap,
 * committing one sequentially consistent store; no lock, no system call, no allocation unless the
 * ring is full or the consumer sleeps. Between reserve and commit a thread must not block for long:
 * everything reserved later waits for it.
 *
 * Consumer: one thread of the worker. It believes nothing in shared memory: its position is
 * private, a record's header is read once into private memory and checked there, its body is copied
 * once into the caller's buffer, and an inconsistency is reported as a violation, after which the
 * channel is to be ended. A commit word that never comes only stalls the channel it belongs to.
 *
 * Source: bounded multi-producer queue with per-slot sequence numbers (Vyukov), with records of
 * several slots; sleep by announcement as in futex-based condition variables (Dekker's argument,
 * see docs/protocol.md).
 */
#ifndef VGPU_TRANSPORT_RING_H
#define VGPU_TRANSPORT_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/transport/channel.h"
#include "protocol/transport/host.h"
#include "protocol/transport/spin.h"

/* ---- producer side ---- */

struct vgpu_producer {
    struct vgpu_channel *channel;
    uint32_t slots;
    uint32_t shift; /* slots == 1 << shift */
    struct vgpu_spin spin;
    _Alignas(64) _Atomic uint64_t tail; /* last tail seen; spares the consumer's cache line */
};

#define VGPU_RING_NONBLOCK 1u /* reserve: fail with EAGAIN when full */

void vgpu_producer_init(struct vgpu_producer *producer, struct vgpu_channel *channel);

/*
 * Reserves room for a record of size bytes (sizeof(struct vgpu_record) to VGPU_RECORD_MAX) and
 * returns where to write it, 64-byte aligned and contiguous; *position is to be handed to commit or
 * cancel. The caller writes all of struct vgpu_record. Blocks while the ring is full. NULL with
 * errno: EINVAL (size), EAGAIN (VGPU_RING_NONBLOCK), EPIPE (channel dead), EPERM (child of fork()).
 */
void *vgpu_ring_reserve(struct vgpu_producer *producer, uint32_t size, uint32_t flags,
                        uint64_t *position);

/* Publishes the record; rings the doorbell when the consumer sleeps. */
void vgpu_ring_commit(struct vgpu_producer *producer, uint64_t position);

/* Gives a reservation of size bytes up: the consumer skips it. */
void vgpu_ring_cancel(struct vgpu_producer *producer, uint64_t position, uint32_t size);

/* ---- consumer side ---- */

enum vgpu_ring_status {
    VGPU_RING_EMPTY = 0,
    VGPU_RING_RECORD = 1,
    VGPU_RING_VIOLATION = -1, /* the guest broke the protocol; vgpu_consumer.violation says how */
};

struct vgpu_consumer {
    struct vgpu_host *host;
    uint32_t slots;
    uint32_t shift;
    uint32_t opcodes;      /* opcodes are below this */
    uint64_t position;     /* next to consume */
    uint64_t woken_at;     /* position when producers waiting for space were last looked for */
    const char *violation; /* NULL, or what the guest did (constant string); sticky */
    struct vgpu_spin spin;
};

/* opcodes: one more than the largest valid opcode (enum vgpu_op). */
void vgpu_consumer_init(struct vgpu_consumer *consumer, struct vgpu_host *host, uint32_t opcodes);

/* Whether a record is committed at the consumer's position. */
bool vgpu_ring_ready(const struct vgpu_consumer *consumer);

/*
 * Copies the next record to buffer (VGPU_RECORD_MAX bytes, 8-byte aligned, private memory), frees
 * its slots and wakes producers that wait for space. buffer then holds a struct vgpu_record with
 * size between sizeof(struct vgpu_record) and VGPU_RECORD_MAX, opcode between 1 and opcodes - 1,
 * reply below reply_count or VGPU_REPLY_NONE, reserved 0; everything behind it is as the guest
 * wrote it. Never blocks and does a bounded amount of work.
 */
int vgpu_ring_next(struct vgpu_consumer *consumer, void *buffer);

/*
 * Waits for a record: spins for the learned budget, then announces that it sleeps and blocks on
 * doorbell_fd (an eventfd) and, unless -1, other_fd (any pollable descriptor, left unread).
 * VGPU_RING_RECORD: call next. VGPU_RING_EMPTY: timeout (milliseconds, -1 none), other_fd is
 * readable or hung up, or a signal. VGPU_RING_VIOLATION.
 */
int vgpu_ring_wait(struct vgpu_consumer *consumer, int doorbell_fd, int other_fd, int timeout_ms);

/*
 * The same in pieces, for callers with their own poll loop: after true, block on the doorbell (and
 * whatever else), read it, then call finish. False: a record is ready or the protocol is broken, do
 * not block.
 */
bool vgpu_ring_sleep_prepare(struct vgpu_consumer *consumer);
void vgpu_ring_sleep_finish(struct vgpu_consumer *consumer);

#endif
