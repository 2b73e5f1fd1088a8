/* SPDX-License-Identifier: Apache-2.0 */
/*
 * waits.c - work in flight: measurements, release words, answers that wait for the GPU
 *
 * Nothing here blocks. Every piece of work has a number; a stream knows up to which number its work
 * is done. Who wants to hear of a piece puts an entry with a CUDA event behind it into the stream's
 * queue. A stream's work ends in order, so one look at the first event of each queue finds
 * everything that has ended, and a stream that is stuck holds up none but itself. A stream without
 * an event is asked as a whole (cuStreamQuery). How long to rest between looks is serve.c's
 * business.
 */
#include "worker.h"

#include <stdlib.h>
#include <string.h>

#include "mediator/common/log.h"

#define MEASURED_MAX 4096 /* measured pieces in flight; beyond, work goes unmeasured */
#define LOOKS_BUSY 4      /* streams looked at between two batches of records */
#define LOOKS_IDLE 32
#define RELEASE_WORDS 256u

struct pooled_event {
    TAILQ_ENTRY(pooled_event) link;
    CUevent event;
};

struct work_entry {
    TAILQ_ENTRY(work_entry) link;
    uint64_t number;            /* everything of the stream up to here is done with it */
    struct pooled_event *start; /* NULL: not measured */
    struct pooled_event *end;   /* NULL: done when a later entry or the whole stream is */
    uint64_t submitted;         /* ns */
    uint64_t kind, estimate;    /* measured: key in the table of estimates, ns */
    uint32_t release;           /* index + 1, or 0 */
    uint16_t opcode;
};

/* One per reply slot. */
struct wait_entry {
    TAILQ_ENTRY(wait_entry) link;
    bool used;
    struct worker_context *context;
    struct worker_stream *stream; /* NULL: the whole context, or an event */
    uint64_t number;              /* done when work up to here is */
    uint32_t event;               /* handle; 0: waits for work */
    uint32_t payload_bytes;
    uint16_t opcode;
    wait_finish *finish;
    uint64_t argument;
};

int worker_waits_init(struct vgpu_worker *worker)
{
    worker->wait_slots = calloc(worker->host.view.header.reply_count, sizeof(*worker->wait_slots));
    TAILQ_INIT(&worker->waits);
    TAILQ_INIT(&worker->active);
    TAILQ_INIT(&worker->free_work);
    return worker->wait_slots ? 0 : -1;
}

/* ---- events kept for reuse ---- */

/* The context is current. */
static struct pooled_event *event_get(struct vgpu_worker *worker, struct worker_context *context,
                                      bool timing)
{
    struct event_pool *pool = timing ? &context->timing_events : &context->plain_events;
    struct pooled_event *pooled = TAILQ_FIRST(pool);

    if (pooled) {
        TAILQ_REMOVE(pool, pooled, link);
        return pooled;
    }
    pooled = calloc(1, sizeof(*pooled));
    if (!pooled)
        return NULL;
    if (worker->driver->cuEventCreate(&pooled->event,
                                      timing ? CU_EVENT_DEFAULT : CU_EVENT_DISABLE_TIMING)) {
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

static void drop_pool(struct event_pool *pool)
{
    struct pooled_event *pooled;

    while ((pooled = TAILQ_FIRST(pool))) {
        TAILQ_REMOVE(pool, pooled, link);
        free(pooled); /* the event itself dies with its context */
    }
}

/* ---- streams ---- */

void worker_stream_init(struct worker_stream *stream, struct worker_context *context,
                        CUstream driver_stream)
{
    memset(stream, 0, sizeof(*stream));
    stream->context = context;
    stream->stream = driver_stream;
    TAILQ_INIT(&stream->work);
}

static void free_if_over(struct worker_stream *stream)
{
    if (stream->destroyed && !stream->active && !stream->waits)
        free(stream);
}

static void deactivate(struct vgpu_worker *worker, struct worker_stream *stream)
{
    stream->active = false;
    TAILQ_REMOVE(&worker->active, stream, link);
    worker->active_count--;
}

static struct work_entry *entry_get(struct vgpu_worker *worker)
{
    struct work_entry *entry = TAILQ_FIRST(&worker->free_work);

    if (entry)
        TAILQ_REMOVE(&worker->free_work, entry, link);
    else
        entry = malloc(sizeof(*entry));
    if (entry)
        memset(entry, 0, sizeof(*entry));
    return entry;
}

static void entry_free(struct vgpu_worker *worker, struct worker_context *context,
                       struct work_entry *entry)
{
    event_put(context, entry->end, entry->start != NULL);
    event_put(context, entry->start, true);
    TAILQ_INSERT_HEAD(&worker->free_work, entry, link);
}

static void entry_queue(struct vgpu_worker *worker, struct worker_stream *stream,
                        struct work_entry *entry)
{
    entry->number = stream->submitted;
    TAILQ_INSERT_TAIL(&stream->work, entry, link);
    worker->work_count++;
    worker->release_count += entry->release != 0;
    if (entry->start) {
        entry->estimate = estimate_get(&worker->estimates, entry->kind);
        atomic_fetch_add_explicit(&worker->page->in_flight_ns, entry->estimate,
                                  memory_order_relaxed);
    }
}

static void work_measured(struct vgpu_worker *worker, const struct work_entry *entry, uint64_t ns)
{
    shm_gpu_add(worker->page, entry->opcode, ns);
    estimate_learn(&worker->estimates, entry->kind, ns);
}

static void entry_done(struct vgpu_worker *worker, struct worker_stream *stream,
                       struct work_entry *entry, bool ended_well)
{
    if (ended_well && entry->start) {
        float milliseconds = 0;
        if (worker->driver->cuEventElapsedTime(&milliseconds, entry->start->event,
                                               entry->end->event) == CUDA_SUCCESS)
            work_measured(worker, entry, (uint64_t)((double)milliseconds * 1e6));
        shm_latency_add(worker->page, vgpu_now_ns() - entry->submitted);
    }
    if (entry->release)
        vgpu_host_release(&worker->host, entry->release - 1);
    TAILQ_REMOVE(&stream->work, entry, link);
    worker->work_count--;
    worker->release_count -= entry->release != 0;
    if (entry->estimate)
        atomic_fetch_sub_explicit(&worker->page->in_flight_ns, entry->estimate,
                                  memory_order_relaxed);
    entry_free(worker, stream->context, entry);
}

/* Everything in the stream up to number is done. */
static void finish_up_to(struct vgpu_worker *worker, struct worker_stream *stream, uint64_t number,
                         CUresult result)
{
    struct work_entry *entry;

    if (result != CUDA_SUCCESS)
        stream->context->error = result;
    stream->finished = number;
    while ((entry = TAILQ_FIRST(&stream->work)) && entry->number <= number)
        entry_done(worker, stream, entry, result == CUDA_SUCCESS);
}

/* The first entry with an event, which tells of all before it too. */
static struct work_entry *next_event(const struct worker_stream *stream)
{
    struct work_entry *entry;

    TAILQ_FOREACH(entry, &stream->work, link)
    {
        if (entry->end)
            break;
    }
    return entry;
}

/*
 * Finds out how far an active stream has come; a stream that is done is active no more, and freed
 * when its handle is gone. whole: ask the stream itself when no event tells.
 */
static bool poll_stream(struct vgpu_worker *worker, struct worker_stream *stream, bool whole)
{
    CUresult current = worker_context_use(worker, stream->context);
    struct work_entry *entry;
    bool any = false;

    while ((entry = next_event(stream))) {
        CUresult result = current ? current : worker->driver->cuEventQuery(entry->end->event);
        if (result == CUDA_ERROR_NOT_READY)
            return any;
        finish_up_to(worker, stream, entry->number, result);
        any = true;
    }
    if (stream->finished < stream->submitted) {
        if (!whole)
            return any;
        /* A stream is only destroyed with an event behind its work, or when it is done. */
        CUresult result = current             ? current
                          : stream->destroyed ? CUDA_SUCCESS
                                              : worker->driver->cuStreamQuery(stream->stream);
        if (result == CUDA_ERROR_NOT_READY)
            return any;
        finish_up_to(worker, stream, stream->submitted, result);
    }
    deactivate(worker, stream);
    free_if_over(stream);
    return true;
}

/* An event behind everything submitted to the stream, unless there is one. The context is current.
 */
static bool mark_end(struct vgpu_worker *worker, struct worker_stream *stream)
{
    struct work_entry *last = TAILQ_LAST(&stream->work, work_list);

    if (last && last->number == stream->submitted && last->end)
        return true;
    struct work_entry *entry = entry_get(worker);
    if (!entry)
        return false;
    entry->end = event_get(worker, stream->context, false);
    if (!entry->end ||
        worker->driver->cuEventRecord(entry->end->event, stream->stream) != CUDA_SUCCESS) {
        entry_free(worker, stream->context, entry);
        return false;
    }
    entry_queue(worker, stream, entry);
    return true;
}

void worker_stream_mark(struct vgpu_worker *worker, struct worker_stream *stream)
{
    if (!stream->active || worker_context_use(worker, stream->context) != CUDA_SUCCESS)
        return;
    poll_stream(worker, stream, true);
    if (stream->active && !mark_end(worker, stream)) {
        worker->driver->cuStreamSynchronize(stream->stream);
        finish_up_to(worker, stream, stream->submitted, CUDA_SUCCESS);
    }
}

/* Has the stream's last piece stand for everything submitted anywhere up to number. */
static void raise_end(struct vgpu_worker *worker, struct worker_stream *stream, uint64_t number)
{
    struct work_entry *last = TAILQ_LAST(&stream->work, work_list);

    if (last && last->number == stream->submitted)
        last->number = number;
    stream->submitted = number;
}

void worker_submitted(struct vgpu_worker *worker, struct worker_stream *stream)
{
    stream->submitted = ++worker->submitted;
    if (stream->active)
        return;
    stream->finished = stream->submitted - 1;
    stream->active = true;
    TAILQ_INSERT_TAIL(&worker->active, stream, link);
    worker->active_count++;
}

void worker_stream_drop(struct vgpu_worker *worker, struct worker_stream *stream)
{
    stream->destroyed = true;
    if (stream->active && stream->finished == stream->submitted && TAILQ_EMPTY(&stream->work))
        deactivate(worker, stream);
    free_if_over(stream);
}

CUresult worker_do_StreamDestroy(struct vgpu_worker *worker,
                                 const struct worker_args_StreamDestroy *args,
                                 struct vgpu_answer *answer)
{
    struct worker_stream *stream =
        worker_object(worker, VGPU_TYPE_STREAM, args->stream_handle)->object;
    CUresult result = worker_context_use(worker, stream->context);

    if (result == CUDA_SUCCESS) {
        /* What is in the stream goes on without it, and others may wait for that. */
        if (stream->active)
            poll_stream(worker, stream, true);
        if (stream->active && !mark_end(worker, stream)) {
            worker->driver->cuStreamSynchronize(stream->stream);
            finish_up_to(worker, stream, stream->submitted, CUDA_SUCCESS);
        }
        result = worker->driver->cuStreamDestroy_v2(stream->stream);
    }
    worker_remove(worker, VGPU_TYPE_STREAM, args->stream_handle);
    return result;
}

/* ---- measured work and release words ---- */

struct work_entry *worker_work_begin(struct vgpu_worker *worker, struct worker_stream *stream,
                                     uint32_t release, bool watched)
{
    const struct vgpu_driver *driver = worker->driver;
    bool measure = worker->page && (worker->assign.flags & WORKER_ASSIGN_MEASURE) &&
                   worker->work_count < MEASURED_MAX;

    if (!measure && !release && !watched)
        return NULL;
    if (stream->capture) {
        /* No correct guest has a captured copy use a stage, which is gone when the graph runs. */
        if (release)
            vgpu_host_release(&worker->host, release - 1);
        return NULL;
    }
    if (release && worker->release_count >= RELEASE_WORDS) {
        worker->violation = "a release word is named again before it was set";
        return NULL;
    }
    struct work_entry *entry = entry_get(worker);
    if (!entry)
        abort(); /* a lost release word would hang the guest without a reason to be found */
    entry->opcode = worker->record->opcode;
    entry->release = release;
    entry->submitted = worker->now;
    if (measure) {
        entry->kind = estimate_key(worker->record);
        entry->start = event_get(worker, stream->context, true);
        entry->end = entry->start ? event_get(worker, stream->context, true) : NULL;
        if (entry->end &&
            driver->cuEventRecord(entry->start->event, stream->stream) == CUDA_SUCCESS)
            return entry;
        event_put(stream->context, entry->end, true);
        event_put(stream->context, entry->start, true);
        entry->start = NULL;
    }
    entry->end = event_get(worker, stream->context, false);
    return entry;
}

CUresult worker_work_end(struct vgpu_worker *worker, struct work_entry *entry,
                         struct worker_stream *stream, CUresult result)
{
    if (result != CUDA_SUCCESS) {
        if (entry)
            entry_free(worker, stream->context, entry);
        return result;
    }
    if (stream->capture)
        return CUDA_SUCCESS; /* the graph's work, later */
    worker_submitted(worker, stream);
    stream->context->error = CUDA_SUCCESS;
    if (!entry)
        return CUDA_SUCCESS;
    if (entry->end &&
        worker->driver->cuEventRecord(entry->end->event, stream->stream) != CUDA_SUCCESS) {
        event_put(stream->context, entry->end, entry->start != NULL);
        event_put(stream->context, entry->start, true);
        entry->start = entry->end = NULL;
    }
    entry_queue(worker, stream, entry);
    return CUDA_SUCCESS;
}

/* ---- answers that wait ---- */

/* NOT_READY, or how waiting has ended. */
static CUresult wait_state(struct vgpu_worker *worker, const struct wait_entry *wait)
{
    if (wait->event) {
        struct worker_object *event = worker_object(worker, VGPU_TYPE_EVENT, wait->event);
        if (!event)
            return CUDA_ERROR_INVALID_HANDLE; /* destroyed by another thread of the guest */
        CUresult result = worker_context_use(worker, event->context);
        return result == CUDA_SUCCESS ? worker->driver->cuEventQuery(event->object) : result;
    }
    struct worker_stream *stream = wait->stream;
    if (stream)
        return stream->active && stream->finished < wait->number ? CUDA_ERROR_NOT_READY
                                                                 : wait->context->error;
    TAILQ_FOREACH(stream, &worker->active, link)
    {
        if (stream->context == wait->context && stream->finished < wait->number)
            return CUDA_ERROR_NOT_READY;
    }
    return wait->context->error;
}

/*
 * The driver hands out what kernels printed only in its own synchronising calls: one that has
 * nothing to wait for any more.
 */
static void flush_prints(struct vgpu_worker *worker, const struct wait_entry *wait)
{
    const struct vgpu_driver *driver = worker->driver;
    struct worker_context *context = wait->context;
    struct worker_stream *stream;
    bool busy = false;

    if (worker_context_use(worker, context) != CUDA_SUCCESS)
        return;
    TAILQ_FOREACH(stream, &worker->active, link)
    {
        busy |= stream->context == context;
    }
    if (!busy && !wait->event) {
        driver->cuCtxSynchronize();
    } else if (wait->stream && !wait->stream->active && !wait->stream->destroyed) {
        driver->cuStreamSynchronize(wait->stream->stream);
    } else {
        struct pooled_event *done = event_get(worker, context, false);
        if (done)
            driver->cuEventSynchronize(done->event);
        event_put(context, done, false);
    }
    worker_output_publish(worker);
}

static CUresult finish_wait(struct vgpu_worker *worker, const struct wait_entry *wait,
                            CUresult result)
{
    if (result == CUDA_SUCCESS && worker->prints && !worker->captures)
        flush_prints(worker, wait);
    if (result != CUDA_SUCCESS || !wait->finish)
        return result;
    result = worker_context_use(worker, wait->context);
    return result == CUDA_SUCCESS ? wait->finish(worker, wait->context, wait->argument) : result;
}

static CUresult wait_later(struct vgpu_worker *worker, const struct wait_entry *wait)
{
    CUresult result = wait_state(worker, wait);

    if (result != CUDA_ERROR_NOT_READY) {
        result = finish_wait(worker, wait, result);
        if (wait->payload_bytes && result == CUDA_SUCCESS) {
            worker->answered_later = true;
            worker_answer(worker, wait->opcode, worker->record->reply, result, NULL,
                          wait->payload_bytes);
        }
        return result;
    }
    /* Slots still promised were refused when the record came. */
    struct wait_entry *entry = &worker->wait_slots[worker->record->reply];
    *entry = *wait;
    entry->used = true;
    if (entry->stream)
        entry->stream->waits++;
    TAILQ_INSERT_TAIL(&worker->waits, entry, link);
    worker->wait_count++;
    worker->answered_later = true;
    return CUDA_SUCCESS;
}

CUresult worker_wait_work(struct vgpu_worker *worker, struct worker_context *context,
                          struct worker_stream *stream, uint32_t payload_bytes, wait_finish *finish,
                          uint64_t argument)
{
    struct wait_entry wait = {
        .context = context,
        .stream = stream,
        .number = worker->submitted,
        .payload_bytes = payload_bytes,
        .opcode = worker->record->opcode,
        .finish = finish,
        .argument = argument,
    };
    struct worker_stream *each, *next;
    bool busy = false;

    CUresult result = worker_context_use(worker, context);
    if (result != CUDA_SUCCESS)
        return result;
    for (each = TAILQ_FIRST(&worker->active); each; each = next) {
        next = TAILQ_NEXT(each, link);
        if (each->context == context && (!stream || each == stream))
            poll_stream(worker, each, true);
    }
    TAILQ_FOREACH(each, &worker->active, link)
    {
        if (each->context != context || (stream && each != stream))
            continue;
        busy = true;
        raise_end(worker, each, wait.number);
        /*
         * An event, so that what others submit from now on does not prolong the wait. Not in the
         * default stream: there it would have all other streams of the context wait for each other.
         */
        if (each->stream && !each->destroyed)
            mark_end(worker, each);
    }
    if (!busy && context->error == CUDA_SUCCESS && !worker->captures) {
        /* The driver may know of more than was given to it here: a fault elsewhere, say. */
        each = stream ? stream : &context->default_stream;
        result = worker->driver->cuStreamQuery(each->stream);
        if (result != CUDA_SUCCESS && result != CUDA_ERROR_NOT_READY)
            return result;
        if (result == CUDA_ERROR_NOT_READY) {
            worker_submitted(worker, each);
            wait.number = each->submitted;
        }
    }
    return wait_later(worker, &wait);
}

CUresult worker_wait_event(struct vgpu_worker *worker, struct worker_context *context,
                           uint32_t event_handle)
{
    struct wait_entry wait = {
        .context = context, .event = event_handle, .opcode = worker->record->opcode};

    return wait_later(worker, &wait);
}

bool worker_reply_promised(const struct vgpu_worker *worker, uint32_t reply)
{
    return worker->wait_slots[reply].used;
}

static void answer_wait(struct vgpu_worker *worker, struct wait_entry *wait, CUresult result)
{
    TAILQ_REMOVE(&worker->waits, wait, link);
    worker->wait_count--;
    wait->used = false;
    if (wait->stream) {
        wait->stream->waits--;
        free_if_over(wait->stream);
    }
    worker_answer(worker, wait->opcode, (uint32_t)(wait - worker->wait_slots), result, NULL,
                  result == CUDA_SUCCESS ? wait->payload_bytes : 0);
}

bool worker_in_flight(const struct vgpu_worker *worker)
{
    return worker->active_count || worker->wait_count;
}

bool worker_poll(struct vgpu_worker *worker, bool idle)
{
    struct wait_entry *wait, *next;
    uint32_t looks = idle ? LOOKS_IDLE : LOOKS_BUSY;
    bool whole = idle || worker->wait_count > 0, any = false;

    if (looks > worker->active_count)
        looks = worker->active_count;
    while (looks--) {
        struct worker_stream *stream = TAILQ_FIRST(&worker->active);
        /* First to the end: whoever cannot be looked at now is next. */
        TAILQ_REMOVE(&worker->active, stream, link);
        TAILQ_INSERT_TAIL(&worker->active, stream, link);
        any |= poll_stream(worker, stream, whole);
    }
    for (wait = TAILQ_FIRST(&worker->waits); wait; wait = next) {
        next = TAILQ_NEXT(wait, link);
        CUresult result = wait_state(worker, wait);
        if (result == CUDA_ERROR_NOT_READY)
            continue;
        answer_wait(worker, wait, finish_wait(worker, wait, result));
        any = true;
    }
    return any;
}

void worker_waits_purge(struct vgpu_worker *worker, struct worker_context *context)
{
    struct wait_entry *wait, *next;
    struct worker_stream *stream, *next_stream;
    CUresult result = worker_context_use(worker, context);

    if (result == CUDA_SUCCESS)
        result = worker->driver->cuCtxSynchronize();
    for (wait = TAILQ_FIRST(&worker->waits); wait; wait = next) {
        next = TAILQ_NEXT(wait, link);
        if (wait->context == context)
            answer_wait(worker, wait, CUDA_ERROR_CONTEXT_IS_DESTROYED);
    }
    for (stream = TAILQ_FIRST(&worker->active); stream; stream = next_stream) {
        next_stream = TAILQ_NEXT(stream, link);
        if (stream->context != context)
            continue;
        finish_up_to(worker, stream, stream->submitted, result);
        deactivate(worker, stream);
        free_if_over(stream);
    }
    drop_pool(&context->timing_events);
    drop_pool(&context->plain_events);
}
