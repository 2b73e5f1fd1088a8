/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rpc.h - putting operations on the ring and taking their answers
 *
 * The generated functions (vgpu_rpc.h) use this as
 *   request = vgpu_rpc_begin(&rpc, op, size, reply); fill in; vgpu_rpc_post(&rpc);       deferred
 *   request = ...; vgpu_rpc_call(&rpc, fixed) or NULL; read the payload; vgpu_rpc_end(&rpc);
 * and copies do so themselves to keep several answers outstanding. Between begin and post or call a
 * thread must do nothing that blocks.
 */
#ifndef VGPU_GUEST_RPC_H
#define VGPU_GUEST_RPC_H

#include <errno.h>

#include "guest/libcuda/guest.h"

struct vgpu_rpc {
    CUresult result;
    uint32_t reply_bytes; /* of the payload */
    int slot;
    uint16_t op;
    uint64_t position;
    struct vgpu_client *client;
};

/* The result for an error of the transport (negative errno). */
CUresult vgpu_transport_result(const struct vgpu_client *client, int error);

/*
 * Reserves room for a record of size bytes and fills its header. NULL with rpc->result set when the
 * library is not initialised or the channel is gone.
 */
static inline void *vgpu_rpc_begin(struct vgpu_rpc *rpc, uint16_t op, uint32_t size, bool reply)
{
    struct vgpu_client *client = atomic_load_explicit(&vgpu.client, memory_order_acquire);
    rpc->client = client;
    rpc->reply_bytes = 0;
    rpc->slot = -1;
    rpc->op = op;
    if (unlikely(!client)) {
        rpc->result = vgpu_unusable();
        return NULL;
    }
    const struct vgpu_object *current = vgpu_thread()->current;
    if (reply) {
        rpc->slot = vgpu_reply_begin(client->replies);
        if (unlikely(rpc->slot < 0)) {
            rpc->result = vgpu_transport_result(client, rpc->slot);
            return NULL;
        }
    }
    struct vgpu_record *record = vgpu_ring_reserve(&client->ring, size, 0, &rpc->position);
    if (unlikely(!record)) {
        rpc->result = vgpu_transport_result(client, -errno);
        if (reply)
            vgpu_reply_end(client->replies, rpc->slot);
        return NULL;
    }
    record->opcode = op;
    record->reply = reply ? (uint16_t)rpc->slot : VGPU_REPLY_NONE;
    record->size = size;
    record->context = current ? vgpu_wire(current) : 0;
    record->reserved = 0;
    rpc->result = CUDA_SUCCESS;
    return record;
}

/* Commits a deferred operation. */
static inline CUresult vgpu_rpc_post(struct vgpu_rpc *rpc)
{
    vgpu_ring_commit(&rpc->client->ring, rpc->position);
    return CUDA_SUCCESS;
}

/* Waits for the answer of an operation committed by vgpu_rpc_post(); as vgpu_rpc_call() from there.
 */
const void *vgpu_rpc_wait(struct vgpu_rpc *rpc, uint32_t fixed_bytes);

/* Commits and waits: the payload when the result is success and it has fixed_bytes, else NULL. */
static inline const void *vgpu_rpc_call(struct vgpu_rpc *rpc, uint32_t fixed_bytes)
{
    vgpu_ring_commit(&rpc->client->ring, rpc->position);
    return vgpu_rpc_wait(rpc, fixed_bytes);
}

/* Fetches what kernels have printed and prints it in this process, as the driver does natively. */
void vgpu_print_fetch(struct vgpu_client *client);

/* Gives the reply slot back. Returns the operation's result. */
static inline CUresult vgpu_rpc_end(struct vgpu_rpc *rpc)
{
    struct vgpu_client *client = rpc->client;
    vgpu_reply_end(client->replies, rpc->slot);
    if (unlikely(atomic_load_explicit(&client->channel.view.shared->print_pending,
                                      memory_order_relaxed)))
        vgpu_print_fetch(client);
    return rpc->result;
}

#endif
