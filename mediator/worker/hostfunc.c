/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostfunc.c - functions of the program in stream order, and values in memory
 *
 * A host function runs in the guest: the driver calls us on a thread of its own, which asks for the
 * call through the mailbox and waits until it has returned. Neither way goes over the ring, so the
 * worker's thread may meanwhile be inside a driver call that waits for the stream. A guest that
 * never answers blocks its own streams only, and the thread ends with the worker.
 */
#include "worker.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "protocol/transport/spin.h"

#define ANSWER_SPIN_NS 30000u
#define ANSWER_REST_NS 20000

struct host_call {
    struct vgpu_worker *worker;
    uint64_t function, data, stream;
    bool owned; /* by a graph: the call is made again */
};

static pthread_mutex_t calling = PTHREAD_MUTEX_INITIALIZER;
static uint32_t posted;

static void ask(struct host_call *call, bool callback, CUresult status)
{
    struct vgpu_mailbox *box = call->worker->mailbox;

    pthread_mutex_lock(&calling);
    uint32_t number = ++posted;
    box->function = call->function;
    box->data = call->data;
    box->stream = call->stream;
    box->callback = callback;
    box->status = status;
    atomic_store(&box->posted, number);
    vgpu_host_wake(&call->worker->host, &box->posted);
    uint64_t start = vgpu_now_ns();
    while (atomic_load_explicit(&box->done, memory_order_acquire) != number) {
        const struct timespec pause = {.tv_nsec = ANSWER_REST_NS};
        if (vgpu_now_ns() - start < ANSWER_SPIN_NS)
            vgpu_cpu_relax();
        else
            nanosleep(&pause, NULL);
    }
    pthread_mutex_unlock(&calling);
    if (!call->owned)
        free(call);
}

static void host_function(void *pointer)
{
    ask(pointer, false, CUDA_SUCCESS);
}

static void stream_callback(CUstream stream, CUresult status, void *pointer)
{
    ask(pointer, true, status);
}

CUresult worker_do_HostMailbox(struct vgpu_worker *worker,
                               const struct worker_args_HostMailbox *args,
                               struct vgpu_answer *answer)
{
    if (args->address % VGPU_MAILBOX_BYTES || worker->mailbox) {
        answer->violation = 1;
        answer->reason = "a second or misplaced mailbox";
        return CUDA_ERROR_INVALID_VALUE;
    }
    worker->mailbox = (void *)(uintptr_t)args->address;
    return CUDA_SUCCESS;
}

CUresult worker_do_HostFunction(struct vgpu_worker *worker,
                                const struct worker_args_HostFunction *args,
                                struct vgpu_answer *answer)
{
    const struct vgpu_driver *driver = worker->driver;
    struct worker_stream *stream = worker_stream_enter(worker, args->stream_handle);

    if (!stream)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (!worker->mailbox)
        return CUDA_ERROR_NOT_INITIALIZED;
    if (args->callback ? !driver->cuStreamAddCallback : !driver->cuLaunchHostFunc)
        return CUDA_ERROR_NOT_SUPPORTED;
    struct host_call *call = calloc(1, sizeof(*call));
    if (!call)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *call = (struct host_call){.worker = worker,
                               .function = args->function,
                               .data = args->data,
                               .stream = args->shown_stream};
    if (!args->callback && stream->capture) {
        CUresult result = worker_capture_own(worker, args->stream, call, free);
        if (result != CUDA_SUCCESS) {
            free(call);
            return result;
        }
        call->owned = true;
        return driver->cuLaunchHostFunc(args->stream, host_function, call);
    }
    struct work_entry *work = worker_work_begin(worker, stream, 0, false);
    CUresult result = args->callback
                          ? driver->cuStreamAddCallback(args->stream, stream_callback, call, 0)
                          : driver->cuLaunchHostFunc(args->stream, host_function, call);
    if (result != CUDA_SUCCESS)
        free(call);
    return worker_work_end(worker, work, stream, result);
}

CUresult worker_do_StreamValue(struct vgpu_worker *worker,
                               const struct worker_args_StreamValue *args,
                               struct vgpu_answer *answer)
{
    const struct vgpu_driver *driver = worker->driver;
    struct worker_stream *stream = worker_stream_enter(worker, args->stream_handle);
    bool wide = args->bytes == 8;
    CUresult result;

    if (!stream)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (args->bytes != 4 && args->bytes != 8)
        return CUDA_ERROR_INVALID_VALUE;
    if (!driver->cuStreamWaitValue32_v2 || !driver->cuStreamWaitValue64_v2 ||
        !driver->cuStreamWriteValue32_v2 || !driver->cuStreamWriteValue64_v2)
        return CUDA_ERROR_NOT_SUPPORTED;
    struct work_entry *work = worker_work_begin(worker, stream, 0, false);
    if (args->write)
        result = wide ? driver->cuStreamWriteValue64_v2(args->stream, args->address, args->value,
                                                        args->flags)
                      : driver->cuStreamWriteValue32_v2(args->stream, args->address,
                                                        (uint32_t)args->value, args->flags);
    else
        result = wide ? driver->cuStreamWaitValue64_v2(args->stream, args->address, args->value,
                                                       args->flags)
                      : driver->cuStreamWaitValue32_v2(args->stream, args->address,
                                                       (uint32_t)args->value, args->flags);
    return worker_work_end(worker, work, stream, result);
}

/* ---- tensor maps ---- */

CUresult worker_do_TensorMapEncode(struct vgpu_worker *worker,
                                   const struct worker_args_TensorMapEncode *args,
                                   struct vgpu_rsp_TensorMapEncode *out, struct vgpu_answer *answer)
{
    const struct vgpu_driver *driver = worker->driver;
    _Alignas(64) CUtensorMap map;
    CUresult result;

    if (!args->rank || args->rank > 5)
        return CUDA_ERROR_INVALID_VALUE;
    void *address = (void *)(uintptr_t)args->address;
    if (args->im2col) {
        if (!driver->cuTensorMapEncodeIm2col)
            return CUDA_ERROR_NOT_SUPPORTED;
        result = driver->cuTensorMapEncodeIm2col(
            &map, (CUtensorMapDataType)args->type, args->rank, address, args->dims, args->strides,
            args->lower, args->upper, args->channels, args->pixels, args->element_strides,
            (CUtensorMapInterleave)args->interleave, (CUtensorMapSwizzle)args->swizzle,
            (CUtensorMapL2promotion)args->promotion, (CUtensorMapFloatOOBfill)args->fill);
    } else {
        if (!driver->cuTensorMapEncodeTiled)
            return CUDA_ERROR_NOT_SUPPORTED;
        result = driver->cuTensorMapEncodeTiled(
            &map, (CUtensorMapDataType)args->type, args->rank, address, args->dims, args->strides,
            args->box, args->element_strides, (CUtensorMapInterleave)args->interleave,
            (CUtensorMapSwizzle)args->swizzle, (CUtensorMapL2promotion)args->promotion,
            (CUtensorMapFloatOOBfill)args->fill);
    }
    if (result == CUDA_SUCCESS)
        __builtin_memcpy(out->map, &map, sizeof(out->map));
    return result;
}
