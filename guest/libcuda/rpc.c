/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/libcuda/rpc.h"

#include "protocol/vgpu_regs.h"

CUresult vgpu_transport_result(int error)
{
    switch (error) {
    case -EPERM:
        return CUDA_ERROR_NOT_INITIALIZED;
    case -EPIPE:
        return vgpu_unusable();
    case -ENOMEM:
        return CUDA_ERROR_OUT_OF_MEMORY;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

const void *vgpu_rpc_wait(struct vgpu_rpc *rpc, uint32_t fixed_bytes)
{
    const struct vgpu_reply *reply;
    int error = vgpu_reply_wait(rpc->client->replies, rpc->slot, &reply);
    if (unlikely(error < 0)) {
        rpc->result = vgpu_transport_result(error);
        return NULL;
    }
    rpc->result = (CUresult)reply->result;
    if (rpc->result != CUDA_SUCCESS)
        return NULL;
    rpc->reply_bytes = reply->size;
    if (unlikely(rpc->reply_bytes < fixed_bytes || rpc->reply_bytes > VGPU_REPLY_PAYLOAD)) {
        rpc->result = CUDA_ERROR_UNKNOWN;
        return NULL;
    }
    return reply->payload;
}
