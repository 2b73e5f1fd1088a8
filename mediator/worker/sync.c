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
    return worker_wait_work(worker, worker->current, NULL, 0, NULL, 0);
}

CUresult worker_do_StreamSynchronize(struct vgpu_worker *worker,
                                     const struct worker_args_StreamSynchronize *args,
                                     struct vgpu_answer *answer)
{
    struct worker_stream *stream = worker_stream_enter(worker, args->stream_handle);

    if (!stream)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (stream->capture) {
        /* The driver refuses, and drops what was captured. */
        CUresult result = worker->driver->cuStreamQuery(stream->stream);
        return result == CUDA_SUCCESS ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED : result;
    }
    return worker_wait_work(worker, stream->context, stream, 0, NULL, 0);
}

/*
 * The stream has something to wait for from now on, though no work of its own. An event of a
 * capture makes it part of that.
 */
CUresult worker_do_StreamWaitEvent(struct vgpu_worker *worker,
                                   const struct worker_args_StreamWaitEvent *args,
                                   struct vgpu_answer *answer)
{
    struct worker_stream *stream = worker_stream_enter(worker, args->stream_handle);

    if (!stream)
        return CUDA_ERROR_INVALID_CONTEXT;
    struct worker_object *event = worker_object(worker, VGPU_TYPE_EVENT, args->event_handle);
    uint32_t capture = args->flags & CU_EVENT_WAIT_EXTERNAL ? 0 : event->capture;
    if (capture && worker->captures && !stream->capture) {
        worker_stream_mark(worker, stream);
        worker_stream_mark(worker, &stream->context->default_stream);
    }
    CUresult result = worker->driver->cuStreamWaitEvent(args->stream, args->event, args->flags);
    if (result != CUDA_SUCCESS)
        return result;
    CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
    if (capture && worker->captures && !stream->capture && stream->stream &&
        worker->driver->cuStreamIsCapturing &&
        worker->driver->cuStreamIsCapturing(args->stream, &status) == CUDA_SUCCESS &&
        status != CU_STREAM_CAPTURE_STATUS_NONE)
        stream->capture = capture;
    if (!stream->capture)
        worker_submitted(worker, stream);
    return CUDA_SUCCESS;
}

CUresult worker_do_EventSynchronize(struct vgpu_worker *worker,
                                    const struct worker_args_EventSynchronize *args,
                                    struct vgpu_answer *answer)
{
    struct worker_object *event = worker_object(worker, VGPU_TYPE_EVENT, args->event_handle);

    return worker_wait_event(worker, event->context, args->event_handle);
}

CUresult worker_do_EventRecord(struct vgpu_worker *worker,
                               const struct worker_args_EventRecord *args,
                               struct vgpu_answer *answer)
{
    struct worker_stream *stream = worker_stream_enter(worker, args->stream_handle);

    if (!stream)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (args->flags) {
        if (!worker->driver->cuEventRecordWithFlags)
            return CUDA_ERROR_NOT_SUPPORTED;
        return worker->driver->cuEventRecordWithFlags(args->event, args->stream, args->flags);
    }
    CUresult result = worker->driver->cuEventRecord(args->event, args->stream);
    if (result == CUDA_SUCCESS)
        worker_object(worker, VGPU_TYPE_EVENT, args->event_handle)->capture = stream->capture;
    return result;
}

CUresult worker_do_EventDestroy(struct vgpu_worker *worker,
                                const struct worker_args_EventDestroy *args,
                                struct vgpu_answer *answer)
{
    struct worker_object *event = worker_object(worker, VGPU_TYPE_EVENT, args->event_handle);
    CUresult result = worker_context_use(worker, event->context);

    if (result == CUDA_SUCCESS)
        result = worker->driver->cuEventDestroy_v2(args->event);
    worker_remove(worker, VGPU_TYPE_EVENT, args->event_handle);
    return result;
}
