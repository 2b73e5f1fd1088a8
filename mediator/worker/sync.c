/* SPDX-License-Identifier: Apache-2.0 */
/* sync.c - synchronisation and events */
#include "worker.h"

CUresult worker_do_CtxSynchronize(struct vgpu_worker *worker,
                                  const struct worker_args_CtxSynchronize *args,
                                  struct vgpu_answer *answer)
{
    if (!worker->current)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (worker->captures)
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    return worker_wait_later(worker, WAIT_CONTEXT, 0, NULL, NULL, 0, NULL, 0, 0);
}

CUresult worker_do_StreamSynchronize(struct vgpu_worker *worker,
                                     const struct worker_args_StreamSynchronize *args,
                                     struct vgpu_answer *answer)
{
    if (!worker->current)
        return CUDA_ERROR_INVALID_CONTEXT;
    return worker_wait_later(worker, WAIT_STREAM, args->stream_handle, args->stream, NULL, 0, NULL,
                             0, 0);
}

CUresult worker_do_EventSynchronize(struct vgpu_worker *worker,
                                    const struct worker_args_EventSynchronize *args,
                                    struct vgpu_answer *answer)
{
    return worker_wait_later(worker, WAIT_EVENT, 0, NULL, args->event, 0, NULL, 0, 0);
}

CUresult worker_do_EventRecord(struct vgpu_worker *worker, const struct worker_args_EventRecord *args,
                               struct vgpu_answer *answer)
{
    if (args->flags) {
        if (!worker->driver->cuEventRecordWithFlags)
            return CUDA_ERROR_NOT_SUPPORTED;
        return worker->driver->cuEventRecordWithFlags(args->event, args->stream, args->flags);
    }
    CUresult result = worker->driver->cuEventRecord(args->event, args->stream);
    if (result == CUDA_SUCCESS)
        worker_capture_event(worker, args->event_handle, args->stream_handle);
    return result;
}
