/* SPDX-License-Identifier: Apache-2.0 */
#include "driver.h"

#include <stdlib.h>
#include <string.h>

#define STREAM_ID_LEGACY 1
#define STREAM_ID_PER_THREAD 2

void stream_init(struct stream *s, struct context *ctx, unsigned flags, int priority)
{
    memset(s, 0, sizeof(*s));
    list_init(&s->of_context);
    list_init(&s->active);
    s->ctx = ctx;
    s->flags = flags;
    s->nonblocking = flags & CU_STREAM_NON_BLOCKING;
    s->priority = priority;
    s->tail = &s->head;
    s->id = drv.next_id++;
    s->sync_policy.syncPolicy = CU_SYNC_POLICY_AUTO;
    s->sync_map.memSyncDomainMap.remote = 1;
}

void stream_release(struct stream *s)
{
    if (s->head || s->refs)
        return;
    list_remove(&s->of_context);
    free(s);
}

static struct stream *stream_new(struct context *ctx, unsigned flags, int priority)
{
    struct stream *s = malloc(sizeof(*s));

    if (!s)
        return NULL;
    stream_init(s, ctx, flags, priority);
    list_append(&ctx->streams, &s->of_context);
    return s;
}

static struct stream *thread_stream(struct context *ctx)
{
    struct thread *self = thread_self();
    struct stream *s;
    size_t slot;
    void *grown;

    if (!self)
        return NULL;
    for (slot = 0; slot < self->stream_count; slot++)
        if (self->streams[slot].ctx == ctx && self->streams[slot].ctx_handle == ctx->handle)
            return self->streams[slot].stream;
    /* A slot whose context is gone can be taken over: the stream went with it. */
    for (slot = 0; slot < self->stream_count; slot++)
        if (!handle_get(self->streams[slot].ctx_handle, OBJECT_CONTEXT))
            break;
    if (slot == self->stream_count) {
        grown = realloc(self->streams, (slot + 1) * sizeof(*self->streams));
        if (!grown)
            return NULL;
        self->streams = grown;
    }
    s = stream_new(ctx, CU_STREAM_DEFAULT, 0);
    if (!s)
        return NULL;
    s->per_thread = true;
    s->id = STREAM_ID_PER_THREAD;
    self->streams[slot].ctx = ctx;
    self->streams[slot].ctx_handle = ctx->handle;
    self->streams[slot].stream = s;
    if (slot == self->stream_count)
        self->stream_count++;
    return s;
}

struct stream *stream_get(struct context *ctx, CUstream handle)
{
    struct stream *s;

    if (!handle || handle == CU_STREAM_LEGACY)
        return &ctx->legacy;
    if (handle == CU_STREAM_PER_THREAD)
        return thread_stream(ctx);
    s = handle_get(HANDLE(handle), OBJECT_STREAM);
    return s;
}

CUresult stream_for_work(struct context *ctx, CUstream handle, struct stream **out)
{
    uint64_t ctx_handle = ctx->handle;

    for (;;) {
        *out = stream_get(ctx, handle);
        if (!*out)
            return CUDA_ERROR_INVALID_HANDLE;
        if ((*out)->queued < SOFT_QUEUE_MAX)
            return CUDA_SUCCESS;
        ctx->users++;
        wait_done();
        ctx->users--;
        if (handle_get(ctx_handle, OBJECT_CONTEXT) != ctx) {
            wake_done();
            return CUDA_ERROR_CONTEXT_IS_DESTROYED;
        }
        if (atomic_load(&drv.sticky))
            return (CUresult)atomic_load(&drv.sticky);
    }
}

/* Enters, and finds the stream; on success the lock is held. */
static CUresult enter_stream(CUstream handle, struct context **ctx, struct stream **s)
{
    CUresult r = enter_context(ctx);

    if (r)
        return r;
    *s = stream_get(*ctx, handle);
    return *s ? CUDA_SUCCESS : leave(CUDA_ERROR_INVALID_HANDLE);
}

/* ---- creation and queries -------------------------------------------------------------------- */

CUresult cuStreamCreateWithPriority(CUstream *stream, unsigned int flags, int priority)
{
    struct context *ctx;
    struct stream *s;
    CUresult r;

    if (!stream || flags & ~(unsigned)CU_STREAM_NON_BLOCKING)
        return CUDA_ERROR_INVALID_VALUE;
    r = enter_context(&ctx);
    if (r)
        return r;
    /* Priorities outside the range are moved to its ends, as the manual says. */
    if (priority > 0)
        priority = 0;
    if (priority < SOFT_PRIORITY_GREATEST)
        priority = SOFT_PRIORITY_GREATEST;
    s = stream_new(ctx, flags, priority);
    if (!s)
        return leave(CUDA_ERROR_OUT_OF_MEMORY);
    s->handle = handle_new(OBJECT_STREAM, s);
    if (!s->handle) {
        stream_release(s);
        return leave(CUDA_ERROR_OUT_OF_MEMORY);
    }
    *stream = AS_HANDLE(CUstream, s->handle);
    return leave(CUDA_SUCCESS);
}

CUresult cuStreamCreate(CUstream *stream, unsigned int flags)
{
    return cuStreamCreateWithPriority(stream, flags, 0);
}

CUresult cuStreamDestroy_v2(CUstream stream)
{
    struct context *ctx;
    struct stream *s;
    CUresult r = enter_context(&ctx);

    if (r)
        return r;
    s = handle_get(HANDLE(stream), OBJECT_STREAM);
    if (!s)
        return leave(CUDA_ERROR_INVALID_HANDLE);
    handle_free(s->handle);
    capture_stream_destroyed(s);
    /* Queued work still runs; the stream goes with its last op. */
    s->destroyed = true;
    stream_release(s);
    return leave(CUDA_SUCCESS);
}

EXTRA(cuStreamDestroy, (CUstream stream))
{
    return cuStreamDestroy_v2(stream);
}

CUresult cuStreamSynchronize(CUstream stream)
{
    struct context *ctx;
    struct stream *s;
    CUresult r = enter_stream(stream, &ctx, &s);

    if (r)
        return r;
    r = capture_forbids(s);
    if (r)
        return leave(r);
    ctx = s->ctx; /* the stream may be gone once waited for */
    r = stream_wait(s);
    return leave_synchronised(ctx, r);
}

CUresult cuStreamQuery(CUstream stream)
{
    struct context *ctx;
    struct stream *s;
    CUresult r = enter_stream(stream, &ctx, &s);

    if (r)
        return r;
    r = capture_forbids(s);
    if (r)
        return leave(r);
    if (stream_busy(s))
        return leave(CUDA_ERROR_NOT_READY);
    return leave_synchronised(s->ctx, CUDA_SUCCESS);
}

CUresult cuStreamGetPriority(CUstream stream, int *priority)
{
    struct context *ctx;
    struct stream *s;
    CUresult r = enter_stream(stream, &ctx, &s);

    if (r)
        return r;
    if (!priority)
        return leave(CUDA_ERROR_INVALID_VALUE);
    *priority = s->priority;
    return leave(CUDA_SUCCESS);
}

CUresult cuStreamGetFlags(CUstream stream, unsigned int *flags)
{
    struct context *ctx;
    struct stream *s;
    CUresult r = enter_stream(stream, &ctx, &s);

    if (r)
        return r;
    if (!flags)
        return leave(CUDA_ERROR_INVALID_VALUE);
    *flags = s->flags;
    return leave(CUDA_SUCCESS);
}

CUresult cuStreamGetCtx(CUstream stream, CUcontext *out)
{
    struct context *ctx;
    struct stream *s;
    CUresult r = enter_stream(stream, &ctx, &s);

    if (r)
        return r;
    if (!out)
        return leave(CUDA_ERROR_INVALID_VALUE);
    *out = AS_HANDLE(CUcontext, s->ctx->handle);
    return leave(CUDA_SUCCESS);
}

CUresult cuStreamGetId(CUstream stream, unsigned long long *id)
{
    struct context *ctx;
    struct stream *s;
    CUresult r = enter_stream(stream, &ctx, &s);

    if (r)
        return r;
    if (!id)
        return leave(CUDA_ERROR_INVALID_VALUE);
    *id = s->id;
    return leave(CUDA_SUCCESS);
}

CUresult cuStreamGetDevice(CUstream stream, CUdevice *dev)
{
    struct context *ctx;
    struct stream *s;
    CUresult r = enter_stream(stream, &ctx, &s);

    if (r)
        return r;
    if (!dev)
        return leave(CUDA_ERROR_INVALID_VALUE);
    *dev = s->ctx->dev->ordinal;
    return leave(CUDA_SUCCESS);
}

static CUlaunchAttributeValue *attribute_of(struct stream *s, CUlaunchAttributeID attr)
{
    switch ((int)attr) {
    case CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW:
        return &s->window;
    case CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY:
        return &s->sync_policy;
    case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN:
        return &s->sync_domain;
    case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP:
        return &s->sync_map;
    default:
        return NULL;
    }
}

EXTRA(cuStreamGetAttribute,
      (CUstream stream, CUlaunchAttributeID attr, CUlaunchAttributeValue *value))
{
    struct context *ctx;
    struct stream *s;
    const CUlaunchAttributeValue *stored;
    CUresult r = enter_stream(stream, &ctx, &s);

    if (r)
        return r;
    if (!value)
        return leave(CUDA_ERROR_INVALID_VALUE);
    if (attr == CU_LAUNCH_ATTRIBUTE_PRIORITY) {
        memset(value, 0, sizeof(*value));
        value->priority = s->priority;
        return leave(CUDA_SUCCESS);
    }
    stored = attribute_of(s, attr);
    if (!stored)
        return leave(CUDA_ERROR_INVALID_VALUE);
    *value = *stored;
    return leave(CUDA_SUCCESS);
}

EXTRA(cuStreamSetAttribute,
      (CUstream stream, CUlaunchAttributeID attr, const CUlaunchAttributeValue *value))
{
    struct context *ctx;
    struct stream *s;
    CUlaunchAttributeValue *stored;
    CUresult r = enter_stream(stream, &ctx, &s);

    if (r)
        return r;
    stored = value ? attribute_of(s, attr) : NULL;
    if (value && attr == CU_LAUNCH_ATTRIBUTE_PRIORITY && value->priority <= 0 &&
        value->priority >= SOFT_PRIORITY_GREATEST) {
        s->priority = value->priority;
        return leave(CUDA_SUCCESS);
    }
    if (!stored)
        return leave(CUDA_ERROR_INVALID_VALUE);
    *stored = *value;
    return leave(CUDA_SUCCESS);
}

EXTRA(cuStreamCopyAttributes, (CUstream dst, CUstream src))
{
    struct context *ctx;
    struct stream *to, *from;
    CUresult r = enter_stream(dst, &ctx, &to);

    if (r)
        return r;
    from = stream_get(ctx, src);
    if (!from)
        return leave(CUDA_ERROR_INVALID_HANDLE);
    to->window = from->window;
    to->sync_policy = from->sync_policy;
    to->sync_domain = from->sync_domain;
    to->sync_map = from->sync_map;
    return leave(CUDA_SUCCESS);
}

CUresult cuStreamAttachMemAsync(CUstream stream, CUdeviceptr ptr, size_t bytes, unsigned int flags)
{
    struct context *ctx;
    struct stream *s;
    CUresult r = enter_stream(stream, &ctx, &s);

    (void)ptr;
    (void)bytes;
    (void)flags;
    /* There is no managed memory, so no address can be one that may be attached. */
    return r ? r : leave(CUDA_ERROR_INVALID_VALUE);
}

/* ---- capture (the rest is in graph.c) ---- */

CUresult cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode *mode)
{
    struct thread *self;
    CUstreamCaptureMode old;
    CUresult r;

    if (!mode || (unsigned)*mode > CU_STREAM_CAPTURE_MODE_RELAXED)
        return CUDA_ERROR_INVALID_VALUE;
    r = enter();
    if (r)
        return r;
    self = thread_self();
    if (!self)
        return leave(CUDA_ERROR_OUT_OF_MEMORY);
    old = self->capture_mode;
    self->capture_mode = *mode;
    *mode = old;
    return leave(CUDA_SUCCESS);
}

/* ---- functions of the program, values in memory ---------------------------------------------- */

static CUresult submit_host(CUstream stream, enum op_kind kind, void (*fn)(void), void *data)
{
    struct context *ctx;
    struct stream *s;
    struct op *op;
    CUresult r;

    if (!fn)
        return CUDA_ERROR_INVALID_VALUE;
    r = enter_context(&ctx);
    if (r)
        return r;
    r = stream_for_work(ctx, stream, &s);
    if (r)
        return leave(r);
    op = pool_start_host() ? op_new(kind) : NULL;
    if (!op)
        return leave(CUDA_ERROR_OUT_OF_MEMORY);
    op->host.fn = fn;
    op->host.data = data;
    op->host.stream = stream;
    op_submit(s, op);
    return leave(CUDA_SUCCESS);
}

CUresult cuLaunchHostFunc(CUstream stream, CUhostFn fn, void *user_data)
{
    return submit_host(stream, OP_HOST, (void (*)(void))fn, user_data);
}

CUresult cuStreamAddCallback(CUstream stream, CUstreamCallback fn, void *user_data,
                             unsigned int flags)
{
    if (flags)
        return CUDA_ERROR_INVALID_VALUE;
    return submit_host(stream, OP_CALLBACK, (void (*)(void))fn, user_data);
}

static CUresult submit_value(CUstream stream, enum op_kind kind, CUdeviceptr addr, uint64_t value,
                             unsigned flags, bool wide)
{
    unsigned allowed = kind == OP_WAIT_VALUE ? 3u | CU_STREAM_WAIT_VALUE_FLUSH
                                             : CU_STREAM_WRITE_VALUE_NO_MEMORY_BARRIER;
    struct context *ctx;
    struct stream *s;
    struct op *op;
    CUresult r = enter_context(&ctx);

    if (r)
        return r;
    r = stream_for_work(ctx, stream, &s);
    if (r)
        return leave(r);
    if (flags & ~allowed || addr % (wide ? 8 : 4) ||
        !memory_live(addr, wide ? 8 : 4, kind == OP_WRITE_VALUE))
        return leave(CUDA_ERROR_INVALID_VALUE);
    op = kind == OP_WRITE_VALUE || pool_start_poller() ? op_new(kind) : NULL;
    if (!op)
        return leave(CUDA_ERROR_OUT_OF_MEMORY);
    op->value.addr = addr;
    op->value.value = value;
    op->value.flags = flags;
    op->value.wide = wide;
    op_submit(s, op);
    return leave(CUDA_SUCCESS);
}

#define VALUE_CALLS(suffix, resolve)                                                               \
    EXTRA(cuStreamWaitValue32##suffix,                                                             \
          (CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags))               \
    {                                                                                              \
        return submit_value(resolve(stream), OP_WAIT_VALUE, addr, value, flags, false);            \
    }                                                                                              \
    EXTRA(cuStreamWaitValue64##suffix,                                                             \
          (CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags))               \
    {                                                                                              \
        return submit_value(resolve(stream), OP_WAIT_VALUE, addr, value, flags, true);             \
    }                                                                                              \
    EXTRA(cuStreamWriteValue32##suffix,                                                            \
          (CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags))               \
    {                                                                                              \
        return submit_value(resolve(stream), OP_WRITE_VALUE, addr, value, flags, false);           \
    }                                                                                              \
    EXTRA(cuStreamWriteValue64##suffix,                                                            \
          (CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags))               \
    {                                                                                              \
        return submit_value(resolve(stream), OP_WRITE_VALUE, addr, value, flags, true);            \
    }
#define AS_GIVEN(stream) (stream)

VALUE_CALLS(, AS_GIVEN)
VALUE_CALLS(_ptsz, per_thread)
VALUE_CALLS(_v2, AS_GIVEN)
VALUE_CALLS(_v2_ptsz, per_thread)

/* ---- the spellings whose null stream is the calling thread's own ------------------------------
 */

#define PTSZ(name, params, args)                                                                   \
    EXTRA(name##_ptsz, params)                                                                     \
    {                                                                                              \
        return name args;                                                                          \
    }

PTSZ(cuStreamSynchronize, (CUstream s), (per_thread(s)))
PTSZ(cuStreamQuery, (CUstream s), (per_thread(s)))
PTSZ(cuStreamGetPriority, (CUstream s, int *p), (per_thread(s), p))
PTSZ(cuStreamGetFlags, (CUstream s, unsigned int *f), (per_thread(s), f))
PTSZ(cuStreamGetCtx, (CUstream s, CUcontext *c), (per_thread(s), c))
PTSZ(cuStreamGetId, (CUstream s, unsigned long long *i), (per_thread(s), i))
PTSZ(cuStreamGetDevice, (CUstream s, CUdevice *d), (per_thread(s), d))
PTSZ(cuStreamGetAttribute, (CUstream s, CUlaunchAttributeID a, CUlaunchAttributeValue *v),
     (per_thread(s), a, v))
PTSZ(cuStreamSetAttribute, (CUstream s, CUlaunchAttributeID a, const CUlaunchAttributeValue *v),
     (per_thread(s), a, v))
PTSZ(cuStreamCopyAttributes, (CUstream d, CUstream s), (per_thread(d), per_thread(s)))
PTSZ(cuStreamAttachMemAsync, (CUstream s, CUdeviceptr p, size_t b, unsigned int f),
     (per_thread(s), p, b, f))
PTSZ(cuStreamBeginCapture_v2, (CUstream s, CUstreamCaptureMode m), (per_thread(s), m))
EXTRA(cuStreamBeginCapture_ptsz, (CUstream s))
{
    return cuStreamBeginCapture_v2(per_thread(s), CU_STREAM_CAPTURE_MODE_GLOBAL);
}
PTSZ(cuStreamEndCapture, (CUstream s, CUgraph *g), (per_thread(s), g))
PTSZ(cuStreamIsCapturing, (CUstream s, CUstreamCaptureStatus *c), (per_thread(s), c))
EXTRA(cuStreamGetCaptureInfo_ptsz, (CUstream s, CUstreamCaptureStatus *c, cuuint64_t *i))
{
    return cuStreamGetCaptureInfo_v2(per_thread(s), c, i, NULL, NULL, NULL);
}
PTSZ(cuStreamGetCaptureInfo_v2,
     (CUstream s, CUstreamCaptureStatus *c, cuuint64_t *i, CUgraph *g, const CUgraphNode **d,
      size_t *n),
     (per_thread(s), c, i, g, d, n))
PTSZ(cuStreamGetCaptureInfo_v3,
     (CUstream s, CUstreamCaptureStatus *c, cuuint64_t *i, CUgraph *g, const CUgraphNode **d,
      const CUgraphEdgeData **e, size_t *n),
     (per_thread(s), c, i, g, d, e, n))
PTSZ(cuLaunchHostFunc, (CUstream s, CUhostFn f, void *u), (per_thread(s), f, u))
PTSZ(cuStreamAddCallback, (CUstream s, CUstreamCallback f, void *u, unsigned int x),
     (per_thread(s), f, u, x))
