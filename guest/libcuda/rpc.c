/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/libcuda/rpc.h"

#include <pthread.h>
#include <stdio.h>

#include "vgpu_ops.h"
#include "vgpu_rpc.h"

CUresult vgpu_transport_result(const struct vgpu_client *client, int error)
{
    switch (error) {
    case -EPERM:
        return CUDA_ERROR_NOT_INITIALIZED;
    case -EPIPE:
        return vgpu_gone(client);
    case -ENOMEM:
        return CUDA_ERROR_OUT_OF_MEMORY;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

void vgpu_print_fetch(struct vgpu_client *client)
{
    static pthread_mutex_t printing = PTHREAD_MUTEX_INITIALIZER;
    uint32_t left = 1;

    /* The calls made here end in vgpu_rpc_end() too, which must not come back. */
    if (!atomic_exchange(&client->channel.view.shared->print_pending, 0))
        return;
    pthread_mutex_lock(&printing);
    while (left) {
        char text[VGPU_REPLY_PAYLOAD];
        uint32_t bytes = sizeof(text);
        left = 0;
        if (vgpu_rpc_PrintRead(&left, text, &bytes) != CUDA_SUCCESS || !bytes)
            break;
        fwrite(text, 1, bytes, stdout);
    }
    pthread_mutex_unlock(&printing);
}

/* Errors after which the driver refuses all further work of the process. */
static bool fatal(CUresult result)
{
    switch (result) {
    case CUDA_ERROR_ECC_UNCORRECTABLE:
    case CUDA_ERROR_NVLINK_UNCORRECTABLE:
    case CUDA_ERROR_CONTAINED:
    case CUDA_ERROR_ILLEGAL_ADDRESS:
    case CUDA_ERROR_LAUNCH_TIMEOUT:
    case CUDA_ERROR_ASSERT:
    case CUDA_ERROR_HARDWARE_STACK_ERROR:
    case CUDA_ERROR_ILLEGAL_INSTRUCTION:
    case CUDA_ERROR_MISALIGNED_ADDRESS:
    case CUDA_ERROR_INVALID_ADDRESS_SPACE:
    case CUDA_ERROR_INVALID_PC:
    case CUDA_ERROR_LAUNCH_FAILED:
    case CUDA_ERROR_TENSOR_MEMORY_LEAK:
        return true;
    default:
        return false;
    }
}

const void *vgpu_rpc_wait(struct vgpu_rpc *rpc, uint32_t fixed_bytes)
{
    const struct vgpu_reply *reply;
    int error = vgpu_reply_wait(rpc->client->replies, rpc->slot, &reply);
    if (unlikely(error < 0)) {
        rpc->result = vgpu_transport_result(rpc->client, error);
        return NULL;
    }
    rpc->result = (CUresult)reply->result;
    if (unlikely(rpc->result != CUDA_SUCCESS)) {
        /* Remembered, because asynchronous calls have no answer to bring it in. */
        uint32_t none = 0;
        if (rpc->result != CUDA_ERROR_NOT_READY)
            vgpu_say(VGPU_LOG_DEBUG, "%s: %s", vgpu_op_name(rpc->op), vgpu_error_name(rpc->result));
        if (fatal(rpc->result))
            atomic_compare_exchange_strong(&vgpu.fault, &none, rpc->result);
        return NULL;
    }
    rpc->reply_bytes = reply->size;
    if (unlikely(rpc->reply_bytes < fixed_bytes || rpc->reply_bytes > VGPU_REPLY_PAYLOAD)) {
        rpc->result = CUDA_ERROR_UNKNOWN;
        return NULL;
    }
    return reply->payload;
}
