/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sched.c - the order in which work starts
 *
 * Every op gets a number when it is queued. The op at the head of a stream may start when
 *   - the stream is non-blocking, or
 *   - it is in the legacy stream and no blocking stream holds an op with a lower number, or
 *   - it is in a blocking stream and the legacy stream holds no op with a lower number.
 * Numbers are a total order, so these rules cannot wait for each other in a circle.
 */
#include "driver.h"

#include <stdlib.h>
#include <string.h>

/* Copies up to this size are cheaper to carry out at once than to hand to a thread. */
#define INLINE_COPY_BYTES (32u << 10)
#define INLINE_COPY_ROWS 64u
#define FREE_OPS_MAX 256u

static struct op *free_ops;
static unsigned free_op_count;

struct marker *marker_new(void)
{
    struct marker *m = calloc(1, sizeof(*m));

    if (m)
        m->refs = 1;
    return m;
}

void marker_drop(struct marker *m)
{
    if (m && --m->refs == 0)
        free(m);
}

struct op *op_new(enum op_kind kind)
{
    struct op *op = free_ops;

    if (op) {
        free_ops = op->next;
        free_op_count--;
    } else {
        op = malloc(sizeof(*op));
        if (!op)
            return NULL;
    }
    /* The inline parameter buffer needs no clearing; everything before it does. */
    memset(op, 0, offsetof(struct op, grid.small));
    op->kind = kind;
    return op;
}

void op_discard(struct op *op)
{
    free(op->staging);
    if (op->kind == OP_KERNEL && op->grid.params != op->grid.small)
        free(op->grid.params);
    if (op->kind == OP_RECORD || op->kind == OP_WAIT_EVENT)
        marker_drop(op->marker);
    if (op->on_stack)
        return;
    if (free_op_count >= FREE_OPS_MAX) {
        free(op);
        return;
    }
    op->next = free_ops;
    free_ops = op;
    free_op_count++;
}

static bool counts_as_blocking(const struct stream *s)
{
    return !s->legacy && !s->nonblocking;
}

static void finish(struct op *op)
{
    struct stream *s = op->stream;

    s->head = op->next;
    if (!s->head) {
        s->tail = &s->head;
        list_remove(&s->active);
    }
    s->queued--;
    if (counts_as_blocking(s))
        s->ctx->blocking_ops--;
    if (op->counted_wait)
        drv.value_waits--;
    op_discard(op);
    if (s->destroyed)
        stream_release(s);
    wake_done();
}

static bool ready(const struct stream *s, const struct op *op)
{
    const struct context *ctx = s->ctx;

    if (s->nonblocking)
        return true;
    if (!s->legacy)
        return !ctx->legacy.head || ctx->legacy.head->seq > op->seq;
    if (!ctx->blocking_ops)
        return true;
    LIST_EACH(it, &drv.active)
    {
        const struct stream *other = CONTAINER(it, struct stream, active);

        if (other->ctx == ctx && counts_as_blocking(other) && other->head->seq < op->seq)
            return false;
    }
    return true;
}

static bool value_reached(const struct op *op)
{
    uint64_t now = op->value.wide ? __atomic_load_n((uint64_t *)op->value.addr, __ATOMIC_ACQUIRE)
                                  : __atomic_load_n((uint32_t *)op->value.addr, __ATOMIC_ACQUIRE);

    switch (op->value.flags & 3) {
    case CU_STREAM_WAIT_VALUE_GEQ:
        return op->value.wide ? (int64_t)(now - op->value.value) >= 0
                              : (int32_t)((uint32_t)now - (uint32_t)op->value.value) >= 0;
    case CU_STREAM_WAIT_VALUE_EQ:
        return now == op->value.value;
    case CU_STREAM_WAIT_VALUE_AND:
        return now & op->value.value;
    default: /* CU_STREAM_WAIT_VALUE_NOR */
        return op->value.wide ? ~(now | op->value.value) : (uint32_t) ~(now | op->value.value);
    }
}

/* Starts the op at the head of s, and those after it that end at once. True: something ended. */
static bool step(struct stream *s)
{
    bool ended = false;

    while (s->head && !s->head->running && !atomic_load(&drv.sticky)) {
        struct op *op = s->head;

        if (!ready(s, op))
            return ended;
        switch (op->kind) {
        case OP_KERNEL:
            op->running = true;
            pool_push_grid(op);
            return ended;
        case OP_COPY:
        case OP_FILL:
            if (op->kind == OP_COPY
                    ? copy_bytes(&op->copy) > INLINE_COPY_BYTES ||
                          op->copy.height * op->copy.depth > INLINE_COPY_ROWS
                    : op->fill.width * op->fill.height * op->fill.element > INLINE_COPY_BYTES) {
                op->running = true;
                pool_push_copy(op);
                return ended;
            }
            if (!(op->kind == OP_COPY ? copy_run(&op->copy) : fill_run(&op->fill))) {
                fault(CUDA_ERROR_ILLEGAL_ADDRESS, "a copy or fill reached memory that was freed");
                return ended;
            }
            break;
        case OP_CALLER:
            op->running = true;
            wake_done();
            return ended;
        case OP_HOST:
        case OP_CALLBACK:
            op->running = true;
            pool_push_host(op);
            return ended;
        case OP_RECORD:
            op->marker->time_ns = now_ns();
            op->marker->done = true;
            break;
        case OP_WAIT_EVENT:
            if (!op->marker->done)
                return ended;
            break;
        case OP_WAIT_VALUE:
        case OP_WRITE_VALUE:
            if (!memory_live(op->value.addr, op->value.wide ? 8 : 4, op->kind == OP_WRITE_VALUE)) {
                fault(CUDA_ERROR_ILLEGAL_ADDRESS, "a stream memory operation reached freed memory");
                return ended;
            }
            if (op->kind == OP_WRITE_VALUE) {
                if (op->value.wide)
                    __atomic_store_n((uint64_t *)op->value.addr, op->value.value, __ATOMIC_RELEASE);
                else
                    __atomic_store_n((uint32_t *)op->value.addr, (uint32_t)op->value.value,
                                     __ATOMIC_RELEASE);
                break;
            }
            if (!value_reached(op)) {
                if (!op->counted_wait) {
                    op->counted_wait = true;
                    drv.value_waits++;
                    pool_poll();
                }
                return ended;
            }
            break;
        case OP_FREE:
            memory_release(op->block);
            break;
        case OP_NONE:
            break;
        }
        {
            /* finish may free a destroyed stream with its last op. */
            bool last = !op->next;

            finish(op);
            ended = true;
            if (last)
                return true;
        }
    }
    return ended;
}

void sched_run(void)
{
    bool ended;

    if (atomic_load(&drv.sticky)) {
        /* Nothing starts any more; callbacks are still owed, with the error as their status. */
        LIST_EACH(it, &drv.active)
        {
            for (struct op *op = CONTAINER(it, struct stream, active)->head; op; op = op->next) {
                if (op->kind == OP_CALLBACK && !op->running) {
                    op->running = true;
                    pool_push_host(op);
                }
            }
        }
        return;
    }
    do {
        ended = false;
        /* A step may free a stream other than its own only by way of its own list removal, so the
         * list is walked anew after every end. */
        LIST_EACH(it, &drv.active)
        {
            if (step(CONTAINER(it, struct stream, active))) {
                ended = true;
                break;
            }
        }
    } while (ended);
}

void op_submit(struct stream *s, struct op *op)
{
    if (s->capture && !op->on_stack) {
        capture_op(s, op);
        return;
    }
    op->next = NULL;
    op->stream = s;
    op->seq = drv.next_seq++;
    s->last_seq = op->seq;
    if (!s->head)
        list_append(&drv.active, &s->active);
    *s->tail = op;
    s->tail = &op->next;
    s->queued++;
    if (counts_as_blocking(s))
        s->ctx->blocking_ops++;
    if (s->head == op && step(s))
        sched_run();
}

void op_complete(struct op *op)
{
    if (atomic_load(&drv.sticky)) {
        /* The queues stand still for good; only what lives on its caller's stack must leave them.
         */
        if (op == op->stream->head)
            finish(op);
        wake_done();
        return;
    }
    finish(op);
    sched_run();
}

/* Takes an op out of the middle of its queue. */
static void unlink_op(struct op *op)
{
    struct stream *s = op->stream;

    for (struct op **p = &s->head; *p; p = &(*p)->next) {
        if (*p != op)
            continue;
        *p = op->next;
        if (s->tail == &op->next)
            s->tail = p;
        if (!s->head)
            list_remove(&s->active);
        s->queued--;
        if (counts_as_blocking(s))
            s->ctx->blocking_ops--;
        break;
    }
}

CUresult op_begin_caller(struct stream *s, struct op *op)
{
    CUresult forbidden = capture_forbids(s);

    if (forbidden)
        return forbidden;
    memset(op, 0, offsetof(struct op, grid.small));
    op->kind = OP_CALLER;
    op->on_stack = true;
    op_submit(s, op);
    s->ctx->users++;
    while (!op->running && !atomic_load(&drv.sticky))
        wait_done();
    s->ctx->users--;
    if (!op->running) {
        unlink_op(op);
        return (CUresult)atomic_load(&drv.sticky);
    }
    return CUDA_SUCCESS;
}

bool stream_busy(struct stream *s)
{
    return s->head || (s->legacy && s->ctx->blocking_ops);
}

CUresult stream_wait(struct stream *s)
{
    struct context *ctx = s->ctx;
    uint64_t target;

    if (s->legacy && ctx->blocking_ops) {
        struct op *op = op_new(OP_NONE);

        if (!op)
            return CUDA_ERROR_OUT_OF_MEMORY;
        op_submit(s, op);
    }
    target = s->last_seq;
    s->refs++;
    ctx->users++;
    while (!atomic_load(&drv.sticky) && s->head && s->head->seq <= target)
        wait_done();
    ctx->users--;
    if (--s->refs == 0 && s->destroyed)
        stream_release(s);
    if (ctx->destroyed)
        wake_done();
    return (CUresult)atomic_load(&drv.sticky);
}

CUresult context_wait(struct context *ctx)
{
    uint64_t target = drv.next_seq;
    bool found;

    if (ctx)
        ctx->users++;
    do {
        found = false;
        LIST_EACH(it, &drv.active)
        {
            struct stream *s = CONTAINER(it, struct stream, active);

            if ((!ctx || s->ctx == ctx) && s->head->seq < target)
                found = true;
        }
        if (found && !atomic_load(&drv.sticky))
            wait_done();
    } while (found && !atomic_load(&drv.sticky));
    if (ctx) {
        ctx->users--;
        if (ctx->destroyed)
            wake_done();
    }
    return (CUresult)atomic_load(&drv.sticky);
}
