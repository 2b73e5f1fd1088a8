/* SPDX-License-Identifier: Apache-2.0 */
#include "driver.h"

#include <stdlib.h>

void event_free(struct event *event)
{
    list_remove(&event->of_context);
    handle_free(event->handle);
    free(event->capture_deps);
    marker_drop(event->marker);
    free(event);
}

static CUresult enter_event(CUevent handle, struct event **event)
{
    struct context *ctx;
    CUresult r = enter_context(&ctx);

    if (r)
        return r;
    *event = handle_get(HANDLE(handle), OBJECT_EVENT);
    return *event ? CUDA_SUCCESS : leave(CUDA_ERROR_INVALID_HANDLE);
}

CUresult cuEventCreate(CUevent *event, unsigned int flags)
{
    const unsigned known = CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING | CU_EVENT_INTERPROCESS;
    struct context *ctx;
    struct event *e;
    CUresult r;

    if (!event || flags & ~known)
        return CUDA_ERROR_INVALID_VALUE;
    /* An interprocess event cannot carry a time. */
    if (flags & CU_EVENT_INTERPROCESS && !(flags & CU_EVENT_DISABLE_TIMING))
        return CUDA_ERROR_INVALID_VALUE;
    r = enter_context(&ctx);
    if (r)
        return r;
    if (flags & CU_EVENT_INTERPROCESS)
        return leave(UNSUPPORTED("cuEventCreate", "an interprocess event"));
    e = calloc(1, sizeof(*e));
    if (!e)
        return leave(CUDA_ERROR_OUT_OF_MEMORY);
    list_init(&e->of_context);
    e->ctx = ctx;
    e->flags = flags;
    e->handle = handle_new(OBJECT_EVENT, e);
    if (!e->handle) {
        free(e);
        return leave(CUDA_ERROR_OUT_OF_MEMORY);
    }
    list_append(&ctx->events, &e->of_context);
    *event = AS_HANDLE(CUevent, e->handle);
    return leave(CUDA_SUCCESS);
}

CUresult cuEventDestroy_v2(CUevent event)
{
    struct event *e;
    CUresult r = enter_event(event, &e);

    if (r)
        return r;
    event_free(e);
    return leave(CUDA_SUCCESS);
}

EXTRA(cuEventDestroy, (CUevent event))
{
    return cuEventDestroy_v2(event);
}

CUresult cuEventRecordWithFlags(CUevent event, CUstream stream, unsigned int flags)
{
    struct event *e;
    struct stream *s;
    struct marker *m;
    struct op *op;
    CUresult r = enter_event(event, &e);

    if (r)
        return r;
    if (flags & ~(unsigned)CU_EVENT_RECORD_EXTERNAL)
        return leave(CUDA_ERROR_INVALID_VALUE);
    r = stream_for_work(context_current(), stream, &s);
    if (r)
        return leave(r);
    e = handle_get(HANDLE(event), OBJECT_EVENT);
    if (!e || s->ctx != e->ctx)
        return leave(CUDA_ERROR_INVALID_HANDLE);
    if (s->capture)
        return leave(capture_record(s, e, flags));
    if (flags & CU_EVENT_RECORD_EXTERNAL) /* only inside a capture */
        return leave(CUDA_ERROR_ILLEGAL_STATE);
    capture_event_over(e);
    m = marker_new();
    op = m ? op_new(OP_RECORD) : NULL;
    if (!op) {
        marker_drop(m);
        return leave(CUDA_ERROR_OUT_OF_MEMORY);
    }
    marker_drop(e->marker);
    e->marker = m;
    m->refs++;
    op->marker = m;
    op_submit(s, op);
    return leave(CUDA_SUCCESS);
}

CUresult cuEventRecord(CUevent event, CUstream stream)
{
    return cuEventRecordWithFlags(event, stream, CU_EVENT_RECORD_DEFAULT);
}

CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned int flags)
{
    struct event *e;
    struct stream *s;
    struct op *op;
    CUresult r = enter_event(event, &e);

    if (r)
        return r;
    if (flags & ~(unsigned)CU_EVENT_WAIT_EXTERNAL)
        return leave(CUDA_ERROR_INVALID_VALUE);
    r = stream_for_work(context_current(), stream, &s);
    if (r)
        return leave(r);
    e = handle_get(HANDLE(event), OBJECT_EVENT);
    if (!e)
        return leave(CUDA_ERROR_INVALID_HANDLE);
    if (s->capture || (e->capture && !(flags & CU_EVENT_WAIT_EXTERNAL)))
        return leave(capture_wait(s, e, flags));
    if (flags & CU_EVENT_WAIT_EXTERNAL)
        return leave(CUDA_ERROR_ILLEGAL_STATE);
    if (!e->marker || e->marker->done)
        return leave(CUDA_SUCCESS);
    op = op_new(OP_WAIT_EVENT);
    if (!op)
        return leave(CUDA_ERROR_OUT_OF_MEMORY);
    op->marker = e->marker;
    op->marker->refs++;
    op_submit(s, op);
    return leave(CUDA_SUCCESS);
}

CUresult cuEventQuery(CUevent event)
{
    struct event *e;
    CUresult r = enter_event(event, &e);

    if (r)
        return r;
    if (e->captured)
        return leave(CUDA_ERROR_CAPTURED_EVENT);
    if (e->marker && !e->marker->done)
        return leave(CUDA_ERROR_NOT_READY);
    return leave_synchronised(e->ctx, CUDA_SUCCESS);
}

static CUresult wait_marker(struct context *ctx, struct marker *m)
{
    m->refs++;
    ctx->users++;
    while (!m->done && !atomic_load(&drv.sticky))
        wait_done();
    ctx->users--;
    if (ctx->destroyed)
        wake_done();
    marker_drop(m);
    return (CUresult)atomic_load(&drv.sticky);
}

CUresult cuEventSynchronize(CUevent event)
{
    struct event *e;
    struct context *ctx;
    CUresult r = enter_event(event, &e);

    if (r)
        return r;
    if (e->captured)
        return leave(CUDA_ERROR_CAPTURED_EVENT);
    ctx = e->ctx;
    if (e->marker)
        r = wait_marker(ctx, e->marker);
    return leave_synchronised(ctx, r);
}

CUresult cuEventElapsedTime_v2(float *ms, CUevent start, CUevent end)
{
    struct event *a, *b;
    CUresult r;

    if (!ms)
        return CUDA_ERROR_INVALID_VALUE;
    r = enter_event(start, &a);
    if (r)
        return r;
    b = handle_get(HANDLE(end), OBJECT_EVENT);
    if (!b || a->ctx != b->ctx || !a->marker || !b->marker ||
        (a->flags | b->flags) & CU_EVENT_DISABLE_TIMING)
        return leave(CUDA_ERROR_INVALID_HANDLE);
    if (!a->marker->done || !b->marker->done)
        return leave(CUDA_ERROR_NOT_READY);
    *ms = (float)((double)((int64_t)(b->marker->time_ns - a->marker->time_ns)) / 1e6);
    return leave(CUDA_SUCCESS);
}

CUresult cuEventElapsedTime(float *ms, CUevent start, CUevent end)
{
    return cuEventElapsedTime_v2(ms, start, end);
}

EXTRA(cuEventRecord_ptsz, (CUevent event, CUstream stream))
{
    return cuEventRecord(event, per_thread(stream));
}

EXTRA(cuEventRecordWithFlags_ptsz, (CUevent event, CUstream stream, unsigned int flags))
{
    return cuEventRecordWithFlags(event, per_thread(stream), flags);
}

EXTRA(cuStreamWaitEvent_ptsz, (CUstream stream, CUevent event, unsigned int flags))
{
    return cuStreamWaitEvent(per_thread(stream), event, flags);
}
