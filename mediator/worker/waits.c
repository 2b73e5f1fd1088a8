/* SPDX-License-Identifier: Apache-2.0 */
/*
 * waits.c - work in flight: measurements, release words, answers that wait for the GPU
 *
 * Nothing here blocks. What waits is looked at whenever the ring is idle, and every few records
 * otherwise; how long to rest between looks is serve.c's business.
 */
#include "worker.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "mediator/common/log.h"

#define TIMED_MAX 4096        /* pieces of measured work in flight; more wait for a place */
#define TIMED_LOOKS 16        /* unfinished ones looked at per poll */

struct pooled_event {
    TAILQ_ENTRY(pooled_event) link;
    CUevent event;
};

struct timed_entry {
    TAILQ_ENTRY(timed_entry) link;
    struct worker_context *context;
    struct pooled_event *start, *end; /* start NULL: not measured */
    uint64_t submitted;               /* ns */
    uint32_t release;                 /* index + 1, or 0 */
    uint16_t opcode;
};

struct wait_entry {
    TAILQ_ENTRY(wait_entry) link;
    enum wait_kind kind;
    struct worker_context *context;
    uint32_t stream_handle;
    CUstream stream;
    CUevent event;              /* EVENT: the guest's */
    struct pooled_event *own;   /* STREAM after a copy: completes with it */
    uint32_t reply, payload_bytes;
    uint16_t opcode;
    wait_finish *finish;
    uint64_t argument0, argument1;
};

int worker_waits_init(struct vgpu_worker *worker)
{
    uint32_t count = worker->host.view.header.reply_count;
    struct wait_entry *waits = calloc(count, sizeof(*waits));
    struct timed_entry *timed = calloc(TIMED_MAX, sizeof(*timed));

    worker->dirty_room = 64;
    worker->dirty = calloc(worker->dirty_room, sizeof(*worker->dirty));
    if (!waits || !timed || !worker->dirty)
        return -1;
    TAILQ_INIT(&worker->waits);
    TAILQ_INIT(&worker->free_waits);
    TAILQ_INIT(&worker->timed);
    TAILQ_INIT(&worker->free_timed);
    for (uint32_t i = 0; i < count; i++)
        TAILQ_INSERT_TAIL(&worker->free_waits, &waits[i], link);
    for (uint32_t i = 0; i < TIMED_MAX; i++)
        TAILQ_INSERT_TAIL(&worker->free_timed, &timed[i], link);
    return 0;
}

static struct pooled_event *event_get(struct vgpu_worker *worker, bool timing);
static void event_put(struct worker_context *context, struct pooled_event *pooled, bool timing);

/* ---- dirty streams ---- */

void worker_mark_dirty(struct vgpu_worker *worker, uint32_t stream_handle, CUstream stream)
{
    if (stream_handle) {
        struct worker_object *object = worker_object(worker, VGPU_TYPE_STREAM, stream_handle);
        if (!object || object->dirty)
            return;
        object->dirty = true;
    } else {
        for (uint32_t i = 0; i < worker->dirty_count; i++) {
            if (!worker->dirty[i].handle && worker->dirty[i].context == worker->current)
                return;
        }
    }
    if (worker->dirty_count == worker->dirty_room) {
        struct dirty_stream *more =
            realloc(worker->dirty, 2 * worker->dirty_room * sizeof(*worker->dirty));
        if (!more)
            abort(); /* a lost entry would end a synchronisation too early */
        worker->dirty = more;
        worker->dirty_room *= 2;
    }
    worker->dirty[worker->dirty_count++] =
        (struct dirty_stream){worker->current, stream_handle, stream, NULL};
}

static void drop_dirty(struct vgpu_worker *worker, uint32_t index)
{
    struct dirty_stream *entry = &worker->dirty[index];

    if (entry->handle) {
        struct worker_object *object = worker_object(worker, VGPU_TYPE_STREAM, entry->handle);
        if (object)
            object->dirty = false;
    }
    event_put(entry->context, entry->mark, false);
    *entry = worker->dirty[--worker->dirty_count];
}

void worker_forget_stream(struct vgpu_worker *worker, uint32_t handle)
{
    for (uint32_t i = 0; i < worker->dirty_count; i++) {
        if (worker->dirty[i].handle == handle) {
            drop_dirty(worker, i);
            return;
        }
    }
}

void worker_mark_stream(struct vgpu_worker *worker, uint32_t handle)
{
    for (uint32_t i = 0; i < worker->dirty_count; i++) {
        struct dirty_stream *entry = &worker->dirty[i];
        if (entry->handle != handle || entry->context != worker->current || entry->mark)
            continue;
        entry->mark = event_get(worker, false);
        if (entry->mark &&
            worker->driver->cuEventRecord(entry->mark->event, entry->stream) != CUDA_SUCCESS) {
            event_put(entry->context, entry->mark, false);
            entry->mark = NULL;
        }
    }
}

void worker_unmark_streams(struct vgpu_worker *worker)
{
    for (uint32_t i = 0; i < worker->dirty_count; i++) {
        event_put(worker->dirty[i].context, worker->dirty[i].mark, false);
        worker->dirty[i].mark = NULL;
    }
}

/* NOT_READY, or the driver's answer once nothing of the context is in flight. */
static CUresult poll_context(struct vgpu_worker *worker, struct worker_context *context)
{
    bool any = false;

    for (uint32_t i = 0; i < worker->dirty_count;) {
        struct dirty_stream *entry = &worker->dirty[i];
        if (context && entry->context != context) {
            i++;
            continue;
        }
        if (worker_context_use(worker, entry->context) != CUDA_SUCCESS)
            return CUDA_ERROR_INVALID_CONTEXT;
        CUresult result = entry->mark ? worker->driver->cuEventQuery(entry->mark->event)
                                      : worker->driver->cuStreamQuery(entry->stream);
        if (result == CUDA_ERROR_NOT_READY)
            return result;
        drop_dirty(worker, i);
        if (result != CUDA_SUCCESS)
            return result;
        any = true;
    }
    /* Nothing was in flight: the driver may still know of an error. */
    if (!any && context && !worker->captures && worker_context_use(worker, context) == CUDA_SUCCESS)
        return worker->driver->cuCtxSynchronize();
    return CUDA_SUCCESS;
}

/* ---- events kept for reuse ---- */

static struct pooled_event *event_get(struct vgpu_worker *worker, bool timing)
{
    struct event_pool *pool =
        timing ? &worker->current->timing_events : &worker->current->plain_events;
    struct pooled_event *pooled = TAILQ_FIRST(pool);

    if (pooled) {
        TAILQ_REMOVE(pool, pooled, link);
        return pooled;
    }
    pooled = calloc(1, sizeof(*pooled));
    if (!pooled)
        return NULL;
    if (worker->driver->cuEventCreate(&pooled->event, timing ? CU_EVENT_DEFAULT
                                                             : CU_EVENT_DISABLE_TIMING)) {
        free(pooled);
        return NULL;
    }
    return pooled;
}

static void event_put(struct worker_context *context, struct pooled_event *pooled, bool timing)
{
    if (pooled)
        TAILQ_INSERT_HEAD(timing ? &context->timing_events : &context->plain_events, pooled, link);
}

/* ---- measured work and release words ---- */

static void timed_done(struct vgpu_worker *worker, struct timed_entry *entry, bool measured)
{
    bool timing = entry->start != NULL;

    if (measured && timing) {
        float milliseconds = 0;
        if (worker_context_use(worker, entry->context) == CUDA_SUCCESS &&
            worker->driver->cuEventElapsedTime(&milliseconds, entry->start->event,
                                               entry->end->event) == CUDA_SUCCESS)
            shm_gpu_add(worker->page, entry->opcode, (uint64_t)((double)milliseconds * 1e6));
        shm_latency_add(worker->page, vgpu_now_ns() - entry->submitted);
    }
    if (entry->release)
        vgpu_host_release(&worker->host, entry->release - 1);
    event_put(entry->context, entry->start, true);
    event_put(entry->context, entry->end, timing);
    TAILQ_REMOVE(&worker->timed, entry, link);
    TAILQ_INSERT_HEAD(&worker->free_timed, entry, link);
    worker->timed_count--;
}

static bool poll_timed(struct vgpu_worker *worker)
{
    struct timed_entry *entry = TAILQ_FIRST(&worker->timed), *next;
    bool any = false;

    for (unsigned looks = 0; entry && looks < TIMED_LOOKS; entry = next) {
        next = TAILQ_NEXT(entry, link);
        CUresult result = worker->driver->cuEventQuery(entry->end->event);
        if (result == CUDA_ERROR_NOT_READY) {
            looks++;
            continue;
        }
        timed_done(worker, entry, result == CUDA_SUCCESS);
        any = true;
    }
    return any;
}

struct timed_entry *worker_work_begin(struct vgpu_worker *worker, CUstream stream, uint32_t release)
{
    bool measure = worker->page && (worker->assign.flags & WORKER_ASSIGN_MEASURE);

    if (!measure && !release)
        return NULL;
    if (worker->captures && worker_capturing(worker, stream)) {
        /* No correct guest has a captured copy use a stage, which is gone when the graph runs. */
        if (release)
            vgpu_host_release(&worker->host, release - 1);
        return NULL;
    }
    while (TAILQ_EMPTY(&worker->free_timed)) {
        if (!poll_timed(worker))
            sched_yield();
    }
    struct timed_entry *entry = TAILQ_FIRST(&worker->free_timed);
    entry->context = worker->current;
    entry->opcode = worker->record->opcode;
    entry->release = release;
    entry->submitted = worker->now;
    entry->start = measure ? event_get(worker, true) : NULL;
    entry->end = event_get(worker, entry->start != NULL);
    if (entry->start && entry->end &&
        worker->driver->cuEventRecord(entry->start->event, stream) != CUDA_SUCCESS) {
        event_put(worker->current, entry->start, true);
        event_put(worker->current, entry->end, true);
        return NULL;
    }
    TAILQ_REMOVE(&worker->free_timed, entry, link);
    return entry;
}

CUresult worker_work_end(struct vgpu_worker *worker, struct timed_entry *entry,
                         uint32_t stream_handle, CUstream stream, CUresult result)
{
    if (result == CUDA_SUCCESS && !(worker->captures && worker_capturing(worker, stream)))
        worker_mark_dirty(worker, stream_handle, stream);
    if (!entry)
        return result;
    if (result == CUDA_SUCCESS && entry->end &&
        worker->driver->cuEventRecord(entry->end->event, stream) == CUDA_SUCCESS) {
        TAILQ_INSERT_TAIL(&worker->timed, entry, link);
        worker->timed_count++;
        return result;
    }
    /* Without an event the only way to know is to wait. A failed call releases in serve.c. */
    if (result == CUDA_SUCCESS) {
        worker->driver->cuStreamSynchronize(stream);
        if (entry->release)
            vgpu_host_release(&worker->host, entry->release - 1);
    }
    event_put(entry->context, entry->end, entry->start != NULL);
    event_put(entry->context, entry->start, true);
    TAILQ_INSERT_HEAD(&worker->free_timed, entry, link);
    return result;
}

/* ---- answers that wait ---- */

static CUresult wait_state(struct vgpu_worker *worker, struct wait_entry *wait)
{
    CUresult result = worker_context_use(worker, wait->context);

    if (result != CUDA_SUCCESS)
        return result;
    if (wait->own)
        return worker->driver->cuEventQuery(wait->own->event);
    switch (wait->kind) {
    case WAIT_STREAM:
        return worker->driver->cuStreamQuery(wait->stream);
    case WAIT_EVENT:
        return worker->driver->cuEventQuery(wait->event);
    case WAIT_CONTEXT:
        return poll_context(worker, wait->context);
    }
    return CUDA_ERROR_UNKNOWN;
}

/* The driver hands out what kernels printed only in its own synchronising calls. */
static void flush_prints(struct vgpu_worker *worker, const struct wait_entry *wait)
{
    if (!worker->prints || worker->captures || worker_context_use(worker, wait->context) != CUDA_SUCCESS)
        return;
    if (wait->kind == WAIT_EVENT)
        worker->driver->cuEventSynchronize(wait->event);
    else if (wait->kind == WAIT_STREAM)
        worker->driver->cuStreamSynchronize(wait->stream);
    else
        worker->driver->cuCtxSynchronize();
    worker_output_publish(worker);
}

static CUresult finish_wait(struct vgpu_worker *worker, struct wait_entry *wait, CUresult result)
{
    if (result == CUDA_SUCCESS)
        flush_prints(worker, wait);
    if (result == CUDA_SUCCESS && wait->finish) {
        result = worker_context_use(worker, wait->context);
        if (result == CUDA_SUCCESS)
            result = wait->finish(worker, wait->context, wait->argument0, wait->argument1);
    }
    event_put(wait->context, wait->own, false);
    return result;
}

CUresult worker_wait_later(struct vgpu_worker *worker, enum wait_kind kind, uint32_t stream_handle,
                           CUstream stream, CUevent event, uint32_t payload_bytes,
                           wait_finish *finish, uint64_t argument0, uint64_t argument1)
{
    struct wait_entry wait = {
        .kind = kind,
        .context = worker->current,
        .stream_handle = stream_handle,
        .stream = stream,
        .event = event,
        .reply = worker->record->reply,
        .payload_bytes = payload_bytes,
        .opcode = worker->record->opcode,
        .finish = finish,
        .argument0 = argument0,
        .argument1 = argument1,
    };
    /* A copy ends with itself, not with what other threads put on the stream behind it. */
    bool copied = worker->record->opcode == VGPU_OP_CopyOutInline ||
                  worker->record->opcode == VGPU_OP_CopyWait ||
                  worker->record->opcode == VGPU_OP_Copy3DWait;

    if (copied) {
        wait.own = event_get(worker, false);
        if (wait.own && worker->driver->cuEventRecord(wait.own->event, stream) != CUDA_SUCCESS) {
            event_put(worker->current, wait.own, false);
            wait.own = NULL;
        }
    }
    CUresult result = wait_state(worker, &wait);
    if (result != CUDA_ERROR_NOT_READY) {
        result = finish_wait(worker, &wait, result);
        if (payload_bytes && result == CUDA_SUCCESS) {
            worker->answered_later = true;
            worker_answer(worker, wait.opcode, wait.reply, result, NULL, payload_bytes);
        }
        return result;
    }
    struct wait_entry *entry = TAILQ_FIRST(&worker->free_waits);
    if (!entry) {
        /* Each reply slot waits once; a guest that reuses one in flight breaks the protocol. */
        event_put(worker->current, wait.own, false);
        worker->violation = "more calls wait than there are reply slots";
        return CUDA_ERROR_UNKNOWN;
    }
    TAILQ_REMOVE(&worker->free_waits, entry, link);
    *entry = wait;
    TAILQ_INSERT_TAIL(&worker->waits, entry, link);
    worker->answered_later = true;
    return CUDA_SUCCESS;
}

static void answer_wait(struct vgpu_worker *worker, struct wait_entry *entry, CUresult result)
{
    TAILQ_REMOVE(&worker->waits, entry, link);
    worker_answer(worker, entry->opcode, entry->reply, result, NULL,
                  result == CUDA_SUCCESS ? entry->payload_bytes : 0);
    TAILQ_INSERT_HEAD(&worker->free_waits, entry, link);
}

bool worker_in_flight(const struct vgpu_worker *worker)
{
    return !TAILQ_EMPTY(&worker->waits) || !TAILQ_EMPTY(&worker->timed) || worker->dirty_count;
}

bool worker_poll(struct vgpu_worker *worker)
{
    struct wait_entry *entry, *next;
    bool any = false;

    for (entry = TAILQ_FIRST(&worker->waits); entry; entry = next) {
        next = TAILQ_NEXT(entry, link);
        CUresult result = wait_state(worker, entry);
        if (result == CUDA_ERROR_NOT_READY)
            continue;
        answer_wait(worker, entry, finish_wait(worker, entry, result));
        any = true;
    }
    if (!TAILQ_EMPTY(&worker->timed))
        any |= poll_timed(worker);
    /* Only with nothing else to look at: what is still running, for the daemon's turns. */
    if (!any && TAILQ_EMPTY(&worker->waits) && worker->dirty_count) {
        uint32_t before = worker->dirty_count;
        CUresult result = poll_context(worker, NULL);
        if (result != CUDA_SUCCESS && result != CUDA_ERROR_NOT_READY && !worker->deferred_error) {
            worker->deferred_error = result;
            worker->deferred_opcode = VGPU_OP_StreamQuery;
        }
        any = worker->dirty_count != before;
    }
    return any;
}

static void drop_pool(struct event_pool *pool)
{
    struct pooled_event *pooled;

    while ((pooled = TAILQ_FIRST(pool))) {
        TAILQ_REMOVE(pool, pooled, link);
        free(pooled); /* the event itself dies with its context */
    }
}

void worker_waits_purge(struct vgpu_worker *worker, struct worker_context *context)
{
    struct wait_entry *entry, *next;
    struct timed_entry *timed, *next_timed;

    for (entry = TAILQ_FIRST(&worker->waits); entry; entry = next) {
        next = TAILQ_NEXT(entry, link);
        if (entry->context == context) {
            event_put(context, entry->own, false);
            answer_wait(worker, entry, CUDA_ERROR_CONTEXT_IS_DESTROYED);
        }
    }
    if (worker_context_use(worker, context) == CUDA_SUCCESS)
        worker->driver->cuCtxSynchronize();
    for (timed = TAILQ_FIRST(&worker->timed); timed; timed = next_timed) {
        next_timed = TAILQ_NEXT(timed, link);
        if (timed->context == context)
            timed_done(worker, timed, true);
    }
    for (uint32_t i = 0; i < worker->dirty_count;) {
        if (worker->dirty[i].context == context)
            drop_dirty(worker, i);
        else
            i++;
    }
    drop_pool(&context->timing_events);
    drop_pool(&context->plain_events);
}
