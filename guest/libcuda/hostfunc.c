/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions of the program in stream order, and stream operations on values in memory. A thread of
 * its own runs the functions, one after the other, while the GPU's work behind them waits; it is
 * started with the first one and stays until the process ends.
 */
#include <signal.h>
#include <string.h>

#include "guest/libcuda/guest.h"
#include "vgpu_rpc.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct vgpu_client *served; /* the client whose mailbox has a thread */

static void *serve(void *pointer)
{
    struct vgpu_mailbox *box = pointer;
    struct vgpu_client *client = atomic_load_explicit(&vgpu.client, memory_order_acquire);
    struct vgpu_channel *channel = &client->channel;
    uint32_t seen = 0;

    /* Known to the library as a thread, so that the channel is not closed under it. */
    (void)vgpu_thread();
    for (;;) {
        uint32_t now = atomic_load_explicit(&box->posted, memory_order_acquire);
        if (now == seen) {
            int failed =
                channel->ops->wait(channel->transport, &box->posted, seen, VGPU_WAIT_SLICE_MS);
            if (failed == -EPIPE ||
                (failed == -ETIMEDOUT && channel->ops->dead(channel->transport)))
                return NULL;
            continue;
        }
        seen = now;
        if (box->callback)
            ((CUstreamCallback)box->function)((CUstream)box->stream, (CUresult)box->status,
                                              (void *)box->data);
        else
            ((CUhostFn)box->function)((void *)box->data);
        atomic_store_explicit(&box->done, now, memory_order_release);
    }
}

/* The thread, and the mailbox it reads. */
static CUresult start(void)
{
    struct vgpu_client *client = atomic_load_explicit(&vgpu.client, memory_order_acquire);
    CUresult result = CUDA_SUCCESS;

    if (likely(__atomic_load_n(&served, __ATOMIC_ACQUIRE) == client))
        return CUDA_SUCCESS;
    pthread_mutex_lock(&lock);
    if (served != client) {
        void *box = vgpu_heap_alloc(client->heap, VGPU_MAILBOX_BYTES, 4096);
        pthread_t thread;
        sigset_t all, before;
        if (!box) {
            pthread_mutex_unlock(&lock);
            return CUDA_ERROR_OUT_OF_MEMORY;
        }
        memset(box, 0, VGPU_MAILBOX_BYTES);
        /* The program's signals are not for this thread. */
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        int failed = pthread_create(&thread, NULL, serve, box);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (failed) {
            vgpu_heap_free(client->heap, box);
            result = CUDA_ERROR_OPERATING_SYSTEM;
        } else {
            pthread_detach(thread);
            result = vgpu_rpc_HostMailbox((uint64_t)box);
            if (result == CUDA_SUCCESS)
                __atomic_store_n(&served, client, __ATOMIC_RELEASE);
        }
    }
    pthread_mutex_unlock(&lock);
    return result;
}

static CUresult call(CUstream stream, uint64_t function, void *data, bool callback)
{
    struct vgpu_object *object, *context;
    CUresult result = vgpu_able();
    if (result != CUDA_SUCCESS)
        return result;
    if (!function)
        return CUDA_ERROR_INVALID_VALUE;
    result = vgpu_stream_find(stream, &object, &context);
    if (result != CUDA_SUCCESS)
        return result;
    uint32_t wire = object ? vgpu_wire(object) : VGPU_STREAM_DEFAULT;
    uint32_t capture = vgpu_stream_capture(wire);
    if (callback && capture) { /* only cuLaunchHostFunc can be captured */
        vgpu_capture_invalidate(capture);
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
    result = start();
    if (result != CUDA_SUCCESS)
        return result;
    struct vgpu_thread *thread = vgpu_thread();
    struct vgpu_object *current = thread->current;
    thread->current = context;
    result = vgpu_rpc_HostFunction(function, (uint64_t)data, (uint64_t)stream, callback, wire);
    thread->current = current;
    return result;
}

CUresult cuLaunchHostFunc(CUstream stream, CUhostFn fn, void *user_data)
{
    return call(stream, (uint64_t)fn, user_data, false);
}

VGPU_EXPORT(cuLaunchHostFunc_ptsz, CUstream stream, CUhostFn fn, void *user_data)
{
    return call(VGPU_PTSZ(stream), (uint64_t)fn, user_data, false);
}

CUresult cuStreamAddCallback(CUstream stream, CUstreamCallback fn, void *user_data,
                             unsigned int flags)
{
    return flags ? CUDA_ERROR_INVALID_VALUE : call(stream, (uint64_t)fn, user_data, true);
}

VGPU_EXPORT(cuStreamAddCallback_ptsz, CUstream stream, CUstreamCallback fn, void *user_data,
            unsigned int flags)
{
    return flags ? CUDA_ERROR_INVALID_VALUE
                 : call(VGPU_PTSZ(stream), (uint64_t)fn, user_data, true);
}

/* ---- values in memory --------------------------------------------------------------------------
 */

static CUresult value_op(CUstream stream, CUdeviceptr address, uint64_t value, unsigned flags,
                         unsigned bytes, bool write)
{
    struct vgpu_object *context;
    enum vgpu_memory_kind kind;
    uint32_t wire;
    const unsigned allowed =
        write ? CU_STREAM_WRITE_VALUE_NO_MEMORY_BARRIER : 3u | CU_STREAM_WAIT_VALUE_FLUSH;
    CUresult result = vgpu_current(&context);
    if (result != CUDA_SUCCESS)
        return result;
    result = vgpu_stream(stream, context, &wire);
    if (result != CUDA_SUCCESS)
        return result;
    if (address % bytes || flags & ~allowed)
        return CUDA_ERROR_INVALID_VALUE;
    /* The attribute of the device says that there is nothing to flush with. */
    if (!write && flags & CU_STREAM_WAIT_VALUE_FLUSH)
        return CUDA_ERROR_NOT_SUPPORTED;
    result = vgpu_memory_check(address, bytes, &kind);
    if (result != CUDA_SUCCESS)
        return result;
    return vgpu_rpc_StreamValue(address, value, bytes, flags, write, wire);
}

#define VALUE_CALLS(suffix, STREAM)                                                                \
    VGPU_EXPORT(cuStreamWaitValue32##suffix, CUstream stream, CUdeviceptr address,                 \
                cuuint32_t value, unsigned int flags)                                              \
    {                                                                                              \
        return value_op(STREAM, address, value, flags, 4, false);                                  \
    }                                                                                              \
    VGPU_EXPORT(cuStreamWaitValue64##suffix, CUstream stream, CUdeviceptr address,                 \
                cuuint64_t value, unsigned int flags)                                              \
    {                                                                                              \
        return value_op(STREAM, address, value, flags, 8, false);                                  \
    }                                                                                              \
    VGPU_EXPORT(cuStreamWriteValue32##suffix, CUstream stream, CUdeviceptr address,                \
                cuuint32_t value, unsigned int flags)                                              \
    {                                                                                              \
        return value_op(STREAM, address, value, flags, 4, true);                                   \
    }                                                                                              \
    VGPU_EXPORT(cuStreamWriteValue64##suffix, CUstream stream, CUdeviceptr address,                \
                cuuint64_t value, unsigned int flags)                                              \
    {                                                                                              \
        return value_op(STREAM, address, value, flags, 8, true);                                   \
    }

VALUE_CALLS(, stream)
VALUE_CALLS(_ptsz, VGPU_PTSZ(stream))
VALUE_CALLS(_v2, stream)
VALUE_CALLS(_v2_ptsz, VGPU_PTSZ(stream))
