/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec.c - runs CTAs: scheduling of warps and of diverged lanes, calls, barriers, warp operations
 *
 * Diverged lanes of a warp form splits, each with its own program counter and frame. The split
 * deepest in calls, then lowest in the program, runs first; splits that reach the same instruction
 * in the same frame join. Lanes waiting for each other (a lock within a warp) make progress because
 * a split that runs for long without a join has to let the one that waited longest run for a while.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "internal.h"
#include "parse.h"

#define SLICE 1024           /* warp instructions between polls of the cancel flag */
#define QUANTUM (16 * SLICE) /* warp instructions before another warp of the CTA runs */
#define PATIENCE 32          /* slices before a waiting split gets its turn */
#define MAX_CALL_DEPTH 8192
#define MAX_FRAME_MEMORY (UINT64_C(512) << 20)
#define FRAME_BUCKETS 32
#define NBARRIERS 16
#define MAX_PRINT (64u << 10) /* bytes of one vprintf call */

struct sg_runner {
    uint32_t sm_id;
    const struct sg_launch *launch;
    const struct sg_function *fn;
    uint32_t ctaid[3];
    struct mem_env env;
    const struct sg_ranges *ranges;
    uint8_t *shared;
    size_t shared_size;
    uint8_t *local; /* address space for local_warps warps, reserved when first needed */
    uint32_t local_warps;
    uint32_t local_high;
    uint8_t *uniform;
    uint8_t *warp_specials;
    uint32_t nwarps, block[3];
    uint32_t live; /* threads of the CTA that have not exited */
    struct cta_barrier barriers[NBARRIERS];
    struct frame *free_frames[FRAME_BUCKETS];
    uint64_t frame_memory;
    uint64_t instructions;
    struct sg_fault fault;
    struct warp warps[MAX_WARPS];
};

const char *sg_status_text(enum sg_status status)
{
    static const char *const text[] = {
        [SG_OK] = "success",
        [SG_INVALID_PTX] = "invalid PTX",
        [SG_UNSUPPORTED_VERSION] = "unsupported PTX version or target",
        [SG_NO_MEMORY] = "out of memory",
        [SG_NOT_FOUND] = "not found",
        [SG_INVALID_VALUE] = "invalid value",
        [SG_FAULT_ILLEGAL_ADDRESS] = "illegal address",
        [SG_FAULT_MISALIGNED] = "misaligned address",
        [SG_FAULT_TRAP] = "trap",
        [SG_FAULT_ILLEGAL_INSTRUCTION] = "illegal instruction",
        [SG_FAULT_STACK] = "call stack or local memory exhausted",
        [SG_FAULT_DEADLOCK] = "barrier that can never complete",
        [SG_CANCELLED] = "cancelled",
    };

    return (size_t)status < sizeof(text) / sizeof(text[0]) ? text[status] : "unknown status";
}

/* ---- runner ---------------------------------------------------------------------------------- */

struct sg_runner *sg_runner_new(uint32_t sm_id)
{
    struct sg_runner *r = calloc(1, sizeof(*r));

    if (!r)
        return NULL;
    r->sm_id = sm_id;
    if (posix_memalign((void **)&r->uniform, 64, U_BYTES) ||
        posix_memalign((void **)&r->warp_specials, 64, (size_t)W_BYTES * MAX_WARPS)) {
        sg_runner_free(r);
        return NULL;
    }
    memset(r->uniform, 0, U_BYTES);
    memset(r->warp_specials, 0, (size_t)W_BYTES * MAX_WARPS);
    for (uint32_t k = 0; k < MAX_WARPS; k++) {
        uint32_t *s = (uint32_t *)(void *)(r->warp_specials + (size_t)W_BYTES * k);

        for (uint32_t l = 0; l < LANES; l++) {
            s[W_LANEID / 4 + l] = l;
            s[W_WARPID / 4 + l] = k;
            s[W_MASK_EQ / 4 + l] = 1u << l;
            s[W_MASK_LT / 4 + l] = (1u << l) - 1;
            s[W_MASK_LE / 4 + l] = (1u << l) | ((1u << l) - 1);
            s[W_MASK_GT / 4 + l] = ~((1u << l) | ((1u << l) - 1));
            s[W_MASK_GE / 4 + l] = ~((1u << l) - 1);
        }
    }
    return r;
}

static size_t local_bytes(const struct sg_runner *r)
{
    return (size_t)r->local_warps * LANES * SG_LOCAL_MAX;
}

void sg_runner_free(struct sg_runner *r)
{
    if (!r)
        return;
    for (int k = 0; k < FRAME_BUCKETS; k++) {
        while (r->free_frames[k]) {
            struct frame *f = r->free_frames[k];

            r->free_frames[k] = f->parent;
            free(f->regs);
            free(f);
        }
    }
    if (r->local)
        munmap(r->local, local_bytes(r));
    free(r->shared);
    free(r->uniform);
    free(r->warp_specials);
    free(r);
}

const struct mem_env *sg_env(const struct warp *w)
{
    return &w->runner->env;
}

bool sg_lookup(struct warp *w, uint64_t addr, struct range_cache *out)
{
    struct sg_runner *r = w->runner;
    const struct sg_range *found;

    if (addr - SG_WINDOWS_BASE < SG_WINDOWS_END - SG_WINDOWS_BASE) {
        if (addr - SG_SHARED_WINDOW >= r->env.shared_size)
            return false;
        out->base = SG_SHARED_WINDOW;
        out->size = r->env.shared_size;
        out->delta = (uint64_t)(uintptr_t)r->env.shared - SG_SHARED_WINDOW;
        out->writable = true;
        return true;
    }
    found = sg_ranges_find(r->ranges, addr);
    if (!found && sg_memmap_generation(r->launch->map) != r->ranges->generation) {
        sg_ranges_release(r->ranges);
        r->ranges = sg_memmap_acquire(r->launch->map);
        found = sg_ranges_find(r->ranges, addr);
    }
    if (!found)
        return false;
    out->base = found->base;
    out->size = found->size;
    out->delta = 0;
    out->writable = found->writable;
    return true;
}

void sg_raise(struct warp *w, const struct ins *i, enum sg_status status, uint64_t addr, int lane)
{
    struct sg_runner *r = w->runner;
    uint32_t thread = w->index * LANES + (uint32_t)lane;

    w->event = EV_FAULT;
    if (r->fault.status != SG_OK)
        return;
    r->fault.status = status;
    r->fault.address = addr;
    r->fault.ptx_line = i ? i->line : 0;
    memcpy(r->fault.ctaid, r->ctaid, sizeof(r->ctaid));
    r->fault.tid[0] = thread % r->block[0];
    r->fault.tid[1] = thread / r->block[0] % r->block[1];
    r->fault.tid[2] = thread / r->block[0] / r->block[1];
}

/* ---- frames ---------------------------------------------------------------------------------- */

static struct frame *frame_new(struct sg_runner *r, const struct sg_function *fn)
{
    uint32_t bucket = 12;
    struct frame *f;

    while ((UINT64_C(1) << bucket) < fn->frame_bytes)
        bucket++;
    f = r->free_frames[bucket];
    if (f) {
        r->free_frames[bucket] = f->parent;
    } else {
        size_t bytes = (size_t)1 << bucket;

        if (r->frame_memory + bytes > MAX_FRAME_MEMORY)
            return NULL;
        f = calloc(1, sizeof(*f));
        if (!f)
            return NULL;
        if (posix_memalign((void **)&f->regs, 64, bytes)) {
            free(f);
            return NULL;
        }
        /* Registers that a program reads before it writes them must not show this process' memory.
         */
        memset(f->regs, 0, bytes);
        r->frame_memory += bytes;
        f->bucket = bucket;
    }
    f->fn = fn;
    f->parent = NULL;
    f->ret = NULL;
    f->site = NULL;
    return f;
}

static void frame_put(struct sg_runner *r, struct frame *f)
{
    f->parent = r->free_frames[f->bucket];
    r->free_frames[f->bucket] = f;
}

/* Lanes in m have left f and, if exited, all its callers. */
static void frames_drop(struct sg_runner *r, struct frame *f, uint32_t m, bool all)
{
    while (f) {
        struct frame *parent = f->parent;

        f->lanes &= ~m;
        if (!f->lanes)
            frame_put(r, f);
        if (!all)
            return;
        f = parent;
    }
}

/* ---- splits ---------------------------------------------------------------------------------- */

static void count_steps(struct warp *w)
{
    w->runner->instructions += w->steps * (unsigned)__builtin_popcount(w->active);
    w->steps = 0;
}

/* Lanes must already be out of every other split, so there is always room. */
static struct split *split_new(struct warp *w, uint32_t mask, const struct ins *ip, struct frame *f)
{
    struct split *s = &w->splits[w->nsplits++];

    memset(s, 0, sizeof(*s));
    s->mask = mask;
    s->ip = ip;
    s->frame = f;
    s->last_run = w->clock;
    w->event = w->event ? w->event : EV_PICK;
    return s;
}

static void save_current(struct warp *w)
{
    struct split *s;

    if (w->current == ~0u)
        return;
    count_steps(w);
    s = &w->splits[w->current];
    s->mask = w->active;
    s->ip = w->ip;
    s->frame = w->frame;
    if (w->active)
        return;
    *s = w->splits[--w->nsplits];
    w->current = ~0u;
}

static void join_splits(struct warp *w)
{
    for (uint32_t a = 0; a < w->nsplits; a++) {
        struct split *s = &w->splits[a];

        if (s->state == S_BARRIER)
            continue;
        for (uint32_t b = a + 1; b < w->nsplits;) {
            struct split *t = &w->splits[b];

            if (t->state == S_BARRIER || t->ip != s->ip || t->frame != s->frame) {
                b++;
                continue;
            }
            s->mask |= t->mask;
            s->state = S_READY;
            s->forced = false;
            if (w->current == b)
                w->current = a;
            *t = w->splits[--w->nsplits];
            if (w->current == w->nsplits)
                w->current = b;
        }
    }
}

/* Warp-synchronous instructions that wait for lanes which themselves wait elsewhere. */
static bool release_sync(struct warp *w, bool any)
{
    uint32_t waiting = 0;
    bool released = false;

    for (uint32_t k = 0; k < w->nsplits; k++)
        if (w->splits[k].state == S_SYNC)
            waiting |= w->splits[k].mask;
    for (uint32_t k = 0; k < w->nsplits; k++) {
        struct split *s = &w->splits[k];

        if (s->state != S_SYNC || (!any && (s->need & ~waiting & ~w->dead)))
            continue;
        s->state = S_READY;
        s->forced = true;
        released = true;
    }
    return released;
}

/* Chooses the split to run. False when none can. */
static bool pick(struct warp *w, bool longest_waiting)
{
    struct split *best = NULL;
    bool keep;

    save_current(w);
    join_splits(w);
    keep = w->pinned && w->current != ~0u && w->splits[w->current].state == S_READY;
    for (int round = 0; round < 2 && !best; round++) {
        for (uint32_t k = 0; k < w->nsplits; k++) {
            struct split *s = &w->splits[k];

            if (s->state != S_READY)
                continue;
            if (keep) {
                if (k == w->current)
                    best = s;
            } else if (!best) {
                best = s;
            } else if (longest_waiting) {
                if (s->last_run < best->last_run)
                    best = s;
            } else if (s->frame->depth > best->frame->depth ||
                       (s->frame->depth == best->frame->depth && s->ip < best->ip)) {
                best = s;
            }
        }
        if (!best && !release_sync(w, false))
            break;
    }
    w->event = EV_NONE;
    w->stop = NULL;
    if (!best) {
        w->current = ~0u;
        w->active = 0;
        return false;
    }
    if (best != &w->splits[w->current == ~0u ? 0 : w->current] || w->current == ~0u)
        w->slices = 0;
    w->current = (uint32_t)(best - w->splits);
    best->last_run = ++w->clock;
    w->active = best->mask;
    w->ip = best->ip;
    w->frame = best->frame;
    w->base[BASE_FRAME] = best->frame->regs;
    w->forced = best->forced;
    best->forced = false;
    for (uint32_t k = 0; k < w->nsplits; k++) {
        const struct split *s = &w->splits[k];

        if (k != w->current && s->state != S_BARRIER && s->frame == w->frame && s->ip > w->ip &&
            (!w->stop || s->ip < w->stop))
            w->stop = s->ip;
    }
    return true;
}

static bool has_ready(const struct warp *w)
{
    for (uint32_t k = 0; k < w->nsplits; k++)
        if (w->splits[k].state != S_BARRIER)
            return true;
    return false;
}

static bool cancelled(const struct sg_runner *r)
{
    return r->launch->cancel && atomic_load_explicit(r->launch->cancel, memory_order_relaxed);
}

/* Runs a warp until it blocks, ends, faults or has used its quantum. False: nothing could run. */
static bool run_warp(struct warp *w)
{
    int budget = SLICE, slices = QUANTUM / SLICE;

    w->pinned = false;
    if (!pick(w, false))
        return false;
    for (;;) {
        const struct ins *i = w->ip;
        uint32_t m = w->active;

        if (__builtin_expect(i == w->stop, 0)) {
            pick(w, false); /* joins; the current split is ready, so there is one to run */
            continue;
        }
        if (__builtin_expect(--budget < 0, 0)) {
            bool turn;

            budget = SLICE;
            if (cancelled(w->runner)) {
                sg_raise(w, i, SG_CANCELLED, 0, __builtin_ctz(m));
                break;
            }
            if (--slices <= 0)
                break;
            turn = w->spins > 16 || ++w->slices > PATIENCE;
            w->spins = 0;
            if (w->nsplits > 1 && (turn || w->pinned)) {
                bool was = w->pinned;

                w->pinned = false;
                pick(w, !was);
                w->pinned = !was;
            }
            continue;
        }
        w->ip = i + 1;
        w->steps++;
        if (i->guard) {
            uint32_t p;

            memcpy(&p, w->base[BASE_FRAME] + (i->guard & ~3u), sizeof(p));
            m &= i->guard & 2 ? ~p : p;
            if (!m)
                continue;
        }
        i->fn(w, i, m);
        if (__builtin_expect(w->event, 0)) {
            if (w->event == EV_FAULT)
                break;
            if (w->yield) {
                w->yield = false;
                w->pinned = false;
                if (!pick(w, true))
                    return true;
                w->pinned = true;
            } else if (!pick(w, false)) {
                return true;
            }
        }
    }
    save_current(w);
    w->current = ~0u;
    w->active = 0;
    return true;
}

/* ---- control flow ---------------------------------------------------------------------------- */

#define OP(name) void sg_op_##name(struct warp *w, const struct ins *i, uint32_t m)
#define REF(T, r) ((T *)(void *)(w->base[(r)&3] + ((r) & ~3u)))

static void again(struct warp *w)
{
    if (w->nsplits > 1 && !w->event)
        w->event = EV_PICK;
}

OP(bra)
{
    if (m == w->active) {
        w->ip = i->target;
        again(w);
        return;
    }
    count_steps(w);
    w->active &= ~m;
    split_new(w, m, i->target, w->frame);
}

OP(brx)
{
    const struct branch_table *t = &w->frame->fn->tables[i->ext];
    const uint32_t *index = REF(uint32_t, i->a);
    uint32_t rest = m;

    for (uint32_t k = rest; k; k &= k - 1) {
        int l = __builtin_ctz(k);

        if (index[l] >= t->n) {
            sg_raise(w, i, SG_FAULT_ILLEGAL_INSTRUCTION, index[l], l);
            return;
        }
    }
    count_steps(w);
    while (rest) {
        const struct ins *to = t->targets[index[__builtin_ctz(rest)]];
        uint32_t same = 0;

        for (uint32_t k = rest; k; k &= k - 1)
            if (t->targets[index[__builtin_ctz(k)]] == to)
                same |= k & -k;
        if (same == w->active) {
            w->ip = to;
            again(w);
            return;
        }
        w->active &= ~same;
        split_new(w, same, to, w->frame);
        rest &= ~same;
    }
}

static bool complete(const struct sg_runner *r, const struct cta_barrier *b)
{
    return b->active && (b->expected ? b->padded >= b->expected : b->arrived >= r->live);
}

static void release_barrier(struct sg_runner *r, uint32_t id)
{
    struct cta_barrier *b = &r->barriers[id];

    for (uint32_t k = 0; k < r->nwarps; k++) {
        struct warp *w = &r->warps[k];

        for (uint32_t j = 0; j < w->nsplits; j++) {
            struct split *s = &w->splits[j];
            const struct ins *i;

            if (s->state != S_BARRIER || s->barrier != id)
                continue;
            s->state = S_READY;
            i = s->ip - 1;
            if (i->op != OP_bar || i->sub < 2)
                continue;
            if (i->type == T_PRED) {
                uint32_t *d = (uint32_t *)(void *)(s->frame->regs + (i->d & ~3u));
                bool v = i->sub == 3 ? b->and_all : b->or_any;

                *d = v ? *d | s->mask : *d & ~s->mask;
            } else {
                uint32_t *d = (uint32_t *)(void *)(s->frame->regs + (i->d & ~3u));

                for (int l = 0; l < LANES; l++)
                    if (s->mask >> l & 1)
                        d[l] = b->popc;
            }
        }
    }
    memset(b, 0, sizeof(*b));
}

OP(exit)
{
    struct sg_runner *r = w->runner;

    count_steps(w);
    w->dead |= m;
    w->active &= ~m;
    r->live -= (uint32_t)__builtin_popcount(m);
    frames_drop(r, w->frame, m, true);
    for (uint32_t k = 0; k < w->nsplits; k++)
        if (w->splits[k].state == S_SYNC)
            w->splits[k].state = S_READY; /* it may have waited for these lanes */
    for (uint32_t k = 0; k < NBARRIERS; k++)
        if (complete(r, &r->barriers[k]))
            release_barrier(r, k);
    if (!w->active)
        w->event = EV_PICK;
}

OP(trap)
{
    sg_raise(w, i, SG_FAULT_TRAP, 0, __builtin_ctz(m));
}

OP(nop)
{
}

OP(fence)
{
    atomic_thread_fence(memory_order_seq_cst);
}

OP(nanosleep)
{
    w->yield = true;
    w->event = EV_PICK;
}

static uint64_t now_ns(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

OP(clock)
{
    uint64_t v = now_ns(i->sub >= CLOCK_GLOBAL ? CLOCK_REALTIME : CLOCK_MONOTONIC);

    if (i->sub == CLOCK_HI || i->sub == CLOCK_GLOBAL_HI)
        v >>= 32;
    for (int l = 0; l < LANES; l++) {
        if (!(m >> l & 1))
            continue;
        if (i->dsize == 8)
            REF(uint64_t, i->d)[l] = v;
        else
            REF(uint32_t, i->d)[l] = (uint32_t)v;
    }
    w->spins++;
}

/* ---- calls ----------------------------------------------------------------------------------- */

static const uint8_t *base_of(const struct warp *w, const struct frame *f, uint32_t ref)
{
    return ((ref & 3) == BASE_FRAME ? f->regs : w->base[ref & 3]) + (ref & ~3u);
}

static void read_arg(const struct warp *w, const struct frame *f, const struct arg *a,
                     uint32_t from, uint32_t n, int l, uint8_t *out)
{
    if (a->is_reg) {
        uint32_t size = a->size == 1 ? 2 : a->size;
        const uint8_t *p = base_of(w, f, a->ref);

        memcpy(out, p + (a->is_const ? 0 : (size_t)l * size) + from, n);
        return;
    }
    for (uint32_t k = 0; k < n;) {
        uint64_t o = (uint64_t)f->local_base + a->off + from + k;
        uint32_t part = 8 - (uint32_t)(o & 7);

        if (part > n - k)
            part = n - k;
        memcpy(out + k, local_ptr(w->local, o, l), part);
        k += part;
    }
}

static void write_arg(const struct warp *w, const struct frame *f, const struct arg *a,
                      uint32_t from, uint32_t n, int l, const uint8_t *in)
{
    if (a->is_reg) {
        uint32_t size = a->size == 1 ? 2 : a->size;

        if (a->ref != REF_SINK)
            memcpy((uint8_t *)base_of(w, f, a->ref) + (size_t)l * size + from, in, n);
        return;
    }
    for (uint32_t k = 0; k < n;) {
        uint64_t o = (uint64_t)f->local_base + a->off + from + k;
        uint32_t part = 8 - (uint32_t)(o & 7);

        if (part > n - k)
            part = n - k;
        memcpy(local_ptr(w->local, o, l), in + k, part);
        k += part;
    }
}

static void copy_arg(const struct warp *w, const struct frame *ff, const struct arg *from,
                     const struct frame *tf, const struct arg *to, uint32_t m)
{
    uint8_t buf[64];

    if (from->size == 0 && from->is_reg && to->is_reg) { /* predicates */
        uint32_t s, d;

        if (to->ref == REF_SINK)
            return;
        memcpy(&s, base_of(w, ff, from->ref), 4);
        memcpy(&d, base_of(w, tf, to->ref), 4);
        d = (d & ~m) | (s & m);
        memcpy((uint8_t *)base_of(w, tf, to->ref), &d, 4);
        return;
    }
    for (uint32_t k = m; k; k &= k - 1) {
        int l = __builtin_ctz(k);

        for (uint32_t at = 0; at < to->size; at += sizeof(buf)) {
            uint32_t n = to->size - at < sizeof(buf) ? to->size - at : (uint32_t)sizeof(buf);

            read_arg(w, ff, from, at, n, l, buf);
            write_arg(w, tf, to, at, n, l, buf);
        }
    }
}

static bool call_builtin(struct warp *w, const struct ins *i, uint32_t m,
                         const struct sg_function *fn, const struct callsite *cs);

static bool fits(const struct signature *a, const struct signature *b)
{
    if (a->nargs != b->nargs || a->nrets != b->nrets)
        return false;
    for (uint32_t k = 0; k < a->nargs; k++)
        if (a->args[k].size != b->args[k].size ||
            (a->args[k].size == 0 && a->args[k].is_reg != b->args[k].is_reg))
            return false;
    for (uint32_t k = 0; k < a->nrets; k++)
        if (a->rets[k].size != b->rets[k].size ||
            (a->rets[k].size == 0 && a->rets[k].is_reg != b->rets[k].is_reg))
            return false;
    return true;
}

/* Keeps only the lanes in m running this instruction; others: those in again_mask repeat it later.
 */
static void isolate(struct warp *w, const struct ins *i, uint32_t m, uint32_t again_mask)
{
    uint32_t after = w->active & ~m & ~again_mask;

    count_steps(w);
    w->active = m;
    if (again_mask)
        split_new(w, again_mask, i, w->frame);
    if (after)
        split_new(w, after, i + 1, w->frame);
}

OP(call)
{
    const struct callsite *cs = w->frame->fn->calls[i->ext];
    const struct sg_function *fn = cs->fn;
    struct sg_runner *r = w->runner;
    struct frame *f, *caller = w->frame;
    uint64_t base;

    if (!fn) {
        const uint64_t *target = REF(uint64_t, cs->ref);
        const struct sg_module *mod = caller->fn->module;
        int first = __builtin_ctz(m);
        uint64_t v = target[first], index = (v - SG_FUNCTION_WINDOW) >> 4;
        uint32_t same = 0;

        if ((v & 15) || v < SG_FUNCTION_WINDOW || index >= mod->nfuncs) {
            sg_raise(w, i, SG_FAULT_ILLEGAL_INSTRUCTION, v, first);
            return;
        }
        fn = mod->funcs[index];
        if (fn->entry || (!fn->defined && !fn->builtin) || !fits(&fn->sig, &cs->actual)) {
            sg_raise(w, i, SG_FAULT_ILLEGAL_INSTRUCTION, v, first);
            return;
        }
        for (uint32_t k = m; k; k &= k - 1)
            if (target[__builtin_ctz(k)] == v)
                same |= k & -k;
        if (same != m) {
            isolate(w, i, same, m & ~same);
            m = same;
        }
    }
    if (!fn->defined) {
        call_builtin(w, i, m, fn, cs);
        return;
    }
    base = ((uint64_t)caller->local_base + caller->fn->local_bytes + 15) & ~UINT64_C(15);
    if (caller->depth >= MAX_CALL_DEPTH || base + fn->local_bytes > SG_LOCAL_MAX) {
        sg_raise(w, i, SG_FAULT_STACK, 0, __builtin_ctz(m));
        return;
    }
    f = frame_new(r, fn);
    if (!f) {
        sg_raise(w, i, SG_FAULT_STACK, 0, __builtin_ctz(m));
        return;
    }
    f->parent = caller;
    f->ret = i + 1;
    f->site = cs;
    f->lanes = m;
    f->depth = caller->depth + 1;
    f->local_base = (uint32_t)base;
    if (base + fn->local_bytes > r->local_high)
        r->local_high = (uint32_t)(base + fn->local_bytes);
    for (uint32_t k = 0; k < fn->sig.nargs; k++)
        copy_arg(w, caller, &cs->actual.args[k], f, &fn->sig.args[k], m);
    if (m != w->active)
        isolate(w, i, m, 0);
    w->frame = f;
    w->base[BASE_FRAME] = f->regs;
    w->ip = fn->code;
    again(w);
}

OP(ret)
{
    struct frame *f = w->frame, *caller = f->parent;
    const struct ins *back = f->ret;

    if (!caller) {
        sg_op_exit(w, i, m);
        return;
    }
    for (uint32_t k = 0; k < f->fn->sig.nrets; k++)
        copy_arg(w, f, &f->fn->sig.rets[k], caller, &f->site->actual.rets[k], m);
    if (m != w->active) {
        count_steps(w);
        w->active &= ~m;
        frames_drop(w->runner, f, m, false);
        split_new(w, m, back, caller);
        return;
    }
    frames_drop(w->runner, f, m, false);
    w->frame = caller;
    w->base[BASE_FRAME] = caller->regs;
    w->ip = back;
    again(w);
}

/* ---- functions the engine provides ----------------------------------------------------------- */

/* One byte at a generic address; -1 when it lies nowhere. */
static int guest_byte(struct warp *w, uint64_t a, int l)
{
    struct sg_runner *r = w->runner;
    struct range_cache rc;

    if (a - SG_LOCAL_WINDOW < r->env.local_size)
        return *local_ptr(w->local, a - SG_LOCAL_WINDOW, l);
    if (a - SG_PARAM_WINDOW < r->env.param_size)
        return r->env.params[a - SG_PARAM_WINDOW];
    if (!sg_lookup(w, a, &rc))
        return -1;
    return *(const uint8_t *)(uintptr_t)(a + rc.delta);
}

static bool guest_read(struct warp *w, uint64_t a, void *out, size_t n, int l)
{
    for (size_t k = 0; k < n; k++) {
        int c = guest_byte(w, a + k, l);

        if (c < 0)
            return false;
        ((uint8_t *)out)[k] = (uint8_t)c;
    }
    return true;
}

static uint64_t arg_value(struct warp *w, const struct callsite *cs, uint32_t k, int l)
{
    uint8_t buf[8] = {0};
    uint64_t v;

    if (k >= cs->actual.nargs)
        return 0;
    read_arg(w, w->frame, &cs->actual.args[k], 0,
             cs->actual.args[k].size > 8 ? 8 : cs->actual.args[k].size, l, buf);
    memcpy(&v, buf, 8);
    return v;
}

static void set_result(struct warp *w, const struct callsite *cs, uint64_t v, int l)
{
    uint8_t buf[8];
    const struct arg *a;

    if (cs->actual.nrets == 0)
        return;
    a = &cs->actual.rets[0];
    memcpy(buf, &v, 8);
    write_arg(w, w->frame, a, 0, a->size > 8 ? 8 : a->size, l, buf);
}

struct text {
    char *s;
    size_t n, size;
};

static void text_put(struct text *t, const char *s, size_t n)
{
    if (n > t->size - t->n)
        n = t->size - t->n;
    memcpy(t->s + t->n, s, n);
    t->n += n;
}

/* The packed argument buffer of vprintf: each value aligned to its size. */
struct varargs {
    uint64_t at;
    uint64_t bad; /* address that could not be read, when failed */
    bool failed;
};

static uint64_t next_vararg(struct warp *w, struct varargs *va, size_t size, int l)
{
    uint64_t v = 0;

    va->at = (va->at + size - 1) & ~(uint64_t)(size - 1);
    if (!va->failed && !guest_read(w, va->at, &v, size, l)) {
        va->failed = true;
        va->bad = va->at;
    }
    va->at += size;
    return v;
}

static void put_string(struct warp *w, struct text *t, uint64_t a, const char *spec, int prec,
                       int l, struct varargs *va)
{
    char buf[1024];
    size_t n = 0, limit = prec >= 0 && prec < (int)sizeof(buf) - 1 ? (size_t)prec : sizeof(buf) - 1;
    char out[2 * sizeof(buf) + 64];
    int len;

    while (n < limit) {
        int c = guest_byte(w, a + n, l);

        if (c < 0) {
            va->failed = true;
            va->bad = a + n;
            return;
        }
        if (c == 0)
            break;
        buf[n++] = (char)c;
    }
    buf[n] = 0;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    len = snprintf(out, sizeof(out), spec, buf);
#pragma GCC diagnostic pop
    if (len > 0)
        text_put(t, out, (size_t)len < sizeof(out) ? (size_t)len : sizeof(out) - 1);
}

/*
 * Formats for one lane. The conversion specifications handed to snprintf are rebuilt here from
 * checked parts, never taken from the guest. Returns the number of arguments, or -1 with va->bad
 * set.
 */
static int format_print(struct warp *w, struct text *t, uint64_t fmt, uint64_t args, int l,
                        struct varargs *va)
{
    int count = 0;

    va->at = args;
    for (size_t steps = 0; steps < MAX_PRINT; steps++) {
        int c = guest_byte(w, fmt++, l), width = -1, prec = -1, lng = 0;
        char flags[8] = "", spec[48], out[1536], ch;
        size_t nf = 0;
        int len = 0;

        if (c < 0) {
            va->failed = true;
            va->bad = fmt - 1;
            return -1;
        }
        if (c == 0)
            return count;
        ch = (char)c;
        if (c != '%') {
            text_put(t, &ch, 1);
            continue;
        }
        c = guest_byte(w, fmt++, l);
        while (c > 0 && strchr("-+ #0", c)) {
            if (nf < 5 && !strchr(flags, c)) {
                flags[nf++] = (char)c;
                flags[nf] = 0;
            }
            c = guest_byte(w, fmt++, l);
        }
        if (c == '*') {
            int32_t v = (int32_t)next_vararg(w, va, 4, l);

            if (v < 0 && v > INT32_MIN) {
                v = -v;
                if (nf < 5 && !strchr(flags, '-')) {
                    flags[nf++] = '-';
                    flags[nf] = 0;
                }
            }
            width = v;
            c = guest_byte(w, fmt++, l);
        } else {
            while (c >= '0' && c <= '9') {
                width = (width < 0 ? 0 : width) * 10 + (c - '0');
                width = width > 1000 ? 1000 : width;
                c = guest_byte(w, fmt++, l);
            }
        }
        if (c == '.') {
            prec = 0;
            c = guest_byte(w, fmt++, l);
            if (c == '*') {
                prec = (int32_t)next_vararg(w, va, 4, l);
                c = guest_byte(w, fmt++, l);
            } else {
                while (c >= '0' && c <= '9') {
                    prec = prec * 10 + (c - '0');
                    prec = prec > 1000 ? 1000 : prec;
                    c = guest_byte(w, fmt++, l);
                }
            }
        }
        width = width > 1000 ? 1000 : width;
        prec = prec > 1000 ? 1000 : prec;
        while (c > 0 && strchr("lhjzt", c)) {
            lng += c == 'h' ? -1 : c == 'l' ? 1 : 2;
            c = guest_byte(w, fmt++, l);
        }
        if (c <= 0) {
            if (c == 0)
                return count;
            va->failed = true;
            va->bad = fmt - 1;
            return -1;
        }
        {
            char wtext[12] = "", ptext[13] = "";

            if (width >= 0)
                snprintf(wtext, sizeof(wtext), "%d", width);
            if (prec >= 0)
                snprintf(ptext, sizeof(ptext), ".%d", prec);
            snprintf(spec, sizeof(spec), "%%%s%s%s%s%c", flags, wtext, ptext,
                     strchr("diouxX", c) ? "ll" : "", c);
        }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        switch (c) {
        case 'd':
        case 'i': {
            /* long is 64 bits wide, int 32; shorter ones are passed as int */
            int64_t v =
                lng > 0 ? (int64_t)next_vararg(w, va, 8, l) : (int32_t)next_vararg(w, va, 4, l);

            v = lng == -1 ? (int16_t)v : lng == -2 ? (int8_t)v : v;
            len = snprintf(out, sizeof(out), spec, (long long)v);
            break;
        }
        case 'u':
        case 'o':
        case 'x':
        case 'X': {
            uint64_t v = lng > 0 ? next_vararg(w, va, 8, l) : next_vararg(w, va, 4, l);

            v = lng == -1 ? (uint16_t)v : lng == -2 ? (uint8_t)v : v;
            len = snprintf(out, sizeof(out), spec, (unsigned long long)v);
            break;
        }
        case 'c':
            len = snprintf(out, sizeof(out), spec, (int)next_vararg(w, va, 4, l));
            break;
        case 'p':
            len = snprintf(out, sizeof(out), spec, (void *)(uintptr_t)next_vararg(w, va, 8, l));
            break;
        case 'f':
        case 'F':
        case 'e':
        case 'E':
        case 'g':
        case 'G':
        case 'a':
        case 'A': {
            uint64_t u = next_vararg(w, va, 8, l);
            double v;

            memcpy(&v, &u, 8);
            len = snprintf(out, sizeof(out), spec, v);
            break;
        }
        case 's':
            put_string(w, t, next_vararg(w, va, 8, l), spec, prec, l, va);
            break;
        case '%':
            len = snprintf(out, sizeof(out), "%%");
            count--;
            break;
        default:
            len = snprintf(out, sizeof(out), "%%%c", c);
            count--;
        }
#pragma GCC diagnostic pop
        if (va->failed)
            return -1;
        count++;
        if (len > 0)
            text_put(t, out, (size_t)len < sizeof(out) ? (size_t)len : sizeof(out) - 1);
    }
    return count;
}

static void emit_text(const struct sg_runner *r, const struct text *t)
{
    if (r->launch->print)
        r->launch->print(r->launch->print_opaque, t->s, t->n);
}

static void assert_failed(struct warp *w, const struct ins *i, const struct callsite *cs, int l)
{
    struct sg_runner *r = w->runner;
    char parts[3][512], all[2048];
    static const uint32_t which[3] = {1, 3, 0}; /* file, function, message */
    struct text t = {all, 0, sizeof(all)};
    uint32_t thread = w->index * LANES + (uint32_t)l;
    int n;

    for (int k = 0; k < 3; k++) {
        uint64_t a = arg_value(w, cs, which[k], l);
        size_t j = 0;
        int c;

        while (j < sizeof(parts[k]) - 1 && (c = guest_byte(w, a + j, l)) > 0)
            parts[k][j++] = (char)c;
        parts[k][j] = 0;
    }
    n = snprintf(all, sizeof(all),
                 "%s:%u: %s: block: [%u,%u,%u], thread: [%u,%u,%u] Assertion `%s` failed.\n",
                 parts[0], (uint32_t)arg_value(w, cs, 2, l), parts[1], r->ctaid[0], r->ctaid[1],
                 r->ctaid[2], thread % r->block[0], thread / r->block[0] % r->block[1],
                 thread / r->block[0] / r->block[1], parts[2]);
    t.n = n < 0 ? 0 : (size_t)n < sizeof(all) ? (size_t)n : sizeof(all) - 1;
    emit_text(r, &t);
    sg_raise(w, i, SG_FAULT_TRAP, 0, l);
}

static bool call_builtin(struct warp *w, const struct ins *i, uint32_t m,
                         const struct sg_function *fn, const struct callsite *cs)
{
    struct sg_runner *r = w->runner;
    struct device_heap *heap = w->frame->fn->module->heap;
    struct text t = {NULL, 0, MAX_PRINT};

    if (fn->builtin == BUILTIN_VPRINTF) {
        t.s = malloc(t.size);
        if (!t.s)
            return true;
    }
    for (uint32_t k = m; k; k &= k - 1) {
        int l = __builtin_ctz(k);

        switch (fn->builtin) {
        case BUILTIN_VPRINTF: {
            struct varargs va = {0};
            int n;

            t.n = 0;
            n = format_print(w, &t, arg_value(w, cs, 0, l), arg_value(w, cs, 1, l), l, &va);
            if (va.failed) {
                sg_raise(w, i, SG_FAULT_ILLEGAL_ADDRESS, va.bad, l);
                free(t.s);
                return false;
            }
            emit_text(r, &t);
            set_result(w, cs, (uint64_t)(int64_t)n, l);
            break;
        }
        case BUILTIN_MALLOC:
            set_result(w, cs, heap ? sg_heap_alloc(heap, arg_value(w, cs, 0, l)) : 0, l);
            break;
        case BUILTIN_FREE: {
            uint64_t a = arg_value(w, cs, 0, l);

            if (a && (!heap || !sg_heap_release(heap, a))) {
                sg_raise(w, i, SG_FAULT_ILLEGAL_ADDRESS, a, l);
                return false;
            }
            break;
        }
        default:
            assert_failed(w, i, cs, l);
            return false;
        }
    }
    free(t.s);
    return true;
}

/* ---- barriers and warp operations ------------------------------------------------------------ */

OP(bar)
{
    struct sg_runner *r = w->runner;
    const uint32_t *ids = REF(uint32_t, i->a), *counts = REF(uint32_t, i->b);
    int first = __builtin_ctz(m);
    uint32_t id = ids[first], count = i->n ? counts[first] : 0, same = 0;
    struct cta_barrier *b;

    for (uint32_t k = m; k; k &= k - 1) {
        int l = __builtin_ctz(k);

        if (ids[l] == id && (!i->n || counts[l] == count))
            same |= k & -k;
    }
    if (id >= NBARRIERS || (i->n && (count == 0 || count % LANES || count > MAX_THREADS))) {
        sg_raise(w, i, SG_FAULT_ILLEGAL_INSTRUCTION, 0, first);
        return;
    }
    if (same != w->active) {
        isolate(w, i, same, m & ~same);
        m = same;
    }
    b = &r->barriers[id];
    if (!b->active) {
        b->active = true;
        b->and_all = true;
        b->expected = count;
    }
    b->arrived += (uint32_t)__builtin_popcount(m);
    b->padded += (m | w->dead) == FULL_MASK ? LANES : (uint32_t)__builtin_popcount(m);
    if (i->sub >= 2) {
        uint32_t p = *REF(uint32_t, i->c);

        if (i->flags2 & 4)
            p = ~p;
        b->popc += (uint32_t)__builtin_popcount(p & m);
        b->and_all &= (p & m) == m;
        b->or_any |= (p & m) != 0;
    }
    if (i->sub != 1) {
        save_current(w);
        w->splits[w->current].state = S_BARRIER;
        w->splits[w->current].barrier = (uint8_t)id;
        w->event = EV_PICK;
    }
    if (complete(r, b))
        release_barrier(r, id);
}

/* True when all lanes of the member mask are here; else the split waits and repeats i. */
static bool sync_ready(struct warp *w, const struct ins *i, uint32_t m, uint32_t members)
{
    uint32_t need = members & ~w->dead;
    struct split *s;

    if (w->forced) {
        w->forced = false;
        return true;
    }
    if (!(need & ~m) || !(need & ~w->active))
        return true;
    w->ip = i;
    w->steps--;
    save_current(w);
    s = &w->splits[w->current];
    s->state = S_SYNC;
    s->need = need;
    w->event = EV_PICK;
    return false;
}

static uint32_t members_of(struct warp *w, uint32_t ref, uint32_t m)
{
    return REF(uint32_t, ref)[__builtin_ctz(m)];
}

OP(barwarp)
{
    if (sync_ready(w, i, m, members_of(w, i->c, m)))
        atomic_thread_fence(memory_order_seq_cst);
}

OP(shfl)
{
    const uint32_t *a = REF(uint32_t, i->a), *b = REF(uint32_t, i->b), *c = REF(uint32_t, i->c);
    uint32_t *d = REF(uint32_t, i->d), out[LANES], p = 0;

    if (i->n && !sync_ready(w, i, m, members_of(w, w->frame->fn->ext[i->ext], m)))
        return;
    for (int l = 0; l < LANES; l++) {
        int seg = (int)(c[l] >> 8 & 31), cv = (int)(c[l] & 31), bv = (int)(b[l] & 31), j;
        int max = (l & seg) | (cv & ~seg), min = l & seg;
        bool in;

        switch (i->sub) {
        case 0:
            j = l - bv;
            in = j >= max;
            break;
        case 1:
            j = l + bv;
            in = j <= max;
            break;
        case 2:
            j = l ^ bv;
            in = j <= max;
            break;
        default:
            j = min | (bv & ~seg);
            in = j <= max;
        }
        if (!in)
            j = l;
        out[l] = a[j & 31];
        p |= (uint32_t)in << l;
    }
    for (int l = 0; l < LANES; l++)
        if (m >> l & 1)
            d[l] = out[l];
    if (i->flags) {
        uint32_t *q = REF(uint32_t, i->e);

        *q = (*q & ~m) | (p & m);
    }
}

static void broadcast(struct warp *w, uint32_t ref, uint32_t v, uint32_t m)
{
    uint32_t *d = REF(uint32_t, ref);

    for (int l = 0; l < LANES; l++)
        if (m >> l & 1)
            d[l] = v;
}

static void put_pred(struct warp *w, uint32_t ref, uint32_t v, uint32_t m)
{
    uint32_t *d = REF(uint32_t, ref);

    *d = (*d & ~m) | (v & m);
}

OP(vote)
{
    uint32_t p = *REF(uint32_t, i->a), in = m;

    if (i->n) {
        uint32_t members = members_of(w, i->c, m);

        if (!sync_ready(w, i, m, members))
            return;
        in = m & members ? m & members : m;
    }
    if (i->flags2 & 1)
        p = ~p;
    p &= in;
    switch (i->sub) {
    case 0:
        put_pred(w, i->d, p == in ? FULL_MASK : 0, m);
        break;
    case 1:
        put_pred(w, i->d, p ? FULL_MASK : 0, m);
        break;
    case 2:
        put_pred(w, i->d, p == 0 || p == in ? FULL_MASK : 0, m);
        break;
    default:
        broadcast(w, i->d, p, m);
    }
}

static uint64_t lane64(struct warp *w, const struct ins *i, int l)
{
    return i->asize == 8 ? REF(uint64_t, i->a)[l] : REF(uint32_t, i->a)[l];
}

OP(match)
{
    uint32_t members = members_of(w, i->c, m), in, *d = REF(uint32_t, i->d), out[LANES] = {0};

    if (!sync_ready(w, i, m, members))
        return;
    in = m & members ? m & members : m;
    for (uint32_t k = m; k; k &= k - 1) {
        int l = __builtin_ctz(k);

        for (uint32_t j = in; j; j &= j - 1)
            if (lane64(w, i, __builtin_ctz(j)) == lane64(w, i, l))
                out[l] |= j & -j;
    }
    if (i->sub == 1) {
        bool all = out[__builtin_ctz(in)] == in;

        broadcast(w, i->d, all ? in : 0, m);
        if (i->flags)
            put_pred(w, i->e, all ? FULL_MASK : 0, m);
        return;
    }
    for (uint32_t k = m; k; k &= k - 1)
        d[__builtin_ctz(k)] = out[__builtin_ctz(k)];
}

OP(redux)
{
    const uint32_t *a = REF(uint32_t, i->a);
    uint32_t members = members_of(w, i->c, m), in, v = 0;
    bool first = true;

    if (!sync_ready(w, i, m, members))
        return;
    in = m & members ? m & members : m;
    for (uint32_t k = in; k; k &= k - 1) {
        uint32_t x = a[__builtin_ctz(k)];

        if (first) {
            v = x;
            first = false;
            continue;
        }
        switch (i->sub) {
        case 0:
            v += x;
            break;
        case 1:
            v = i->type == T_S32 ? ((int32_t)x < (int32_t)v ? x : v) : x < v ? x : v;
            break;
        case 2:
            v = i->type == T_S32 ? ((int32_t)x > (int32_t)v ? x : v) : x > v ? x : v;
            break;
        case 3:
            v &= x;
            break;
        case 4:
            v |= x;
            break;
        default:
            v ^= x;
        }
    }
    broadcast(w, i->d, v, m);
}

OP(elect)
{
    uint32_t members = members_of(w, i->c, m), in;

    if (!sync_ready(w, i, m, members))
        return;
    in = m & members ? m & members : m;
    if (i->d != REF_SINK)
        broadcast(w, i->d, (uint32_t)__builtin_ctz(in), m);
    if (i->flags)
        put_pred(w, i->e, in & -in, m);
}

OP(activemask)
{
    broadcast(w, i->d, m, m);
}

/* ---- CTAs ------------------------------------------------------------------------------------ */

static void fill32(uint8_t *area, uint32_t at, uint32_t v)
{
    uint32_t *p = (uint32_t *)(void *)(area + at);

    for (int l = 0; l < LANES; l++)
        p[l] = v;
}

static void fill64(uint8_t *area, uint32_t at, uint64_t v)
{
    uint64_t *p = (uint64_t *)(void *)(area + at);

    for (int l = 0; l < LANES; l++)
        p[l] = v;
}

static void fill_specials(struct sg_runner *r, const struct sg_launch *launch, uint32_t dyn_base)
{
    uint8_t *u = r->uniform;
    const uint32_t *b = launch->block;

    fill32(u, U_ONE, 1);
    fill32(u, U_NTID_X, b[0]);
    fill32(u, U_NTID_Y, b[1]);
    fill32(u, U_NTID_Z, b[2]);
    fill32(u, U_CTAID_X, r->ctaid[0]);
    fill32(u, U_CTAID_Y, r->ctaid[1]);
    fill32(u, U_CTAID_Z, r->ctaid[2]);
    fill32(u, U_NCTAID_X, launch->grid[0]);
    fill32(u, U_NCTAID_Y, launch->grid[1]);
    fill32(u, U_NCTAID_Z, launch->grid[2]);
    fill32(u, U_NWARPID, MAX_WARPS);
    fill32(u, U_SMID, r->sm_id);
    fill32(u, U_NSMID, launch->sm_count);
    fill32(u, U_DYN_SIZE, launch->dynamic_shared_bytes);
    fill32(u, U_TOTAL_SIZE, (uint32_t)r->env.shared_size);
    fill32(u, U_DYN_BASE32, dyn_base);
    fill64(u, U_DYN_BASE, dyn_base);
    fill64(u, U_GRIDID, launch->grid_id);
    fill32(u, U_GRIDID32, (uint32_t)launch->grid_id);
    if (memcmp(r->block, b, sizeof(r->block)) == 0)
        return;
    memcpy(r->block, b, sizeof(r->block));
    for (uint32_t t = 0; t < MAX_THREADS; t++) {
        uint32_t *s = (uint32_t *)(void *)(r->warp_specials + (size_t)W_BYTES * (t / LANES));

        s[W_TID_X / 4 + t % LANES] = t % b[0];
        s[W_TID_Y / 4 + t % LANES] = t / b[0] % b[1];
        s[W_TID_Z / 4 + t % LANES] = t / b[0] / b[1];
    }
}

static enum sg_status prepare(struct sg_runner *r, const struct sg_launch *launch)
{
    const struct sg_function *fn = launch->fn;
    uint64_t shared, dyn_base;
    size_t threads;
    uint32_t warps;

    dyn_base = ((uint64_t)fn->static_shared + 1023) & ~UINT64_C(1023);
    shared =
        launch->dynamic_shared_bytes ? dyn_base + launch->dynamic_shared_bytes : fn->static_shared;
    if (shared > SG_SHARED_MAX + 1024)
        return SG_INVALID_VALUE;
    if (r->shared_size < shared) {
        uint8_t *p;

        if (posix_memalign((void **)&p, 1024, shared))
            return SG_NO_MEMORY;
        memset(p, 0, shared);
        free(r->shared);
        r->shared = p;
        r->shared_size = shared;
    }
    threads = (size_t)launch->block[0] * launch->block[1] * launch->block[2];
    warps = (uint32_t)((threads + LANES - 1) / LANES);
    if (fn->uses_local && r->local_warps < warps) {
        void *p;

        if (r->local)
            munmap(r->local, local_bytes(r));
        r->local = NULL;
        r->local_warps = warps;
        p = mmap(NULL, local_bytes(r), PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED) {
            r->local_warps = 0;
            return SG_NO_MEMORY;
        }
        r->local = p;
    }
    r->env.shared = r->shared;
    r->env.shared_size = shared;
    r->env.local_size = fn->uses_local ? SG_LOCAL_MAX : 0;
    r->env.params = launch->params;
    r->env.param_size = fn->info.param_bytes;
    fill_specials(r, launch, (uint32_t)dyn_base);
    r->live = (uint32_t)threads;
    r->nwarps = warps;
    r->local_high = fn->local_bytes;
    memset(r->barriers, 0, sizeof(r->barriers));
    for (uint32_t k = 0; k < r->nwarps; k++) {
        struct warp *w = &r->warps[k];
        size_t lanes = threads - (size_t)k * LANES;
        uint32_t exist = lanes >= LANES ? FULL_MASK : (1u << lanes) - 1;
        struct frame *f = frame_new(r, fn);

        memset(w, 0, offsetof(struct warp, splits));
        w->current = ~0u;
        w->runner = r;
        w->index = k;
        w->dead = ~exist;
        w->local = fn->uses_local ? r->local + (size_t)k * LANES * SG_LOCAL_MAX : NULL;
        w->base[BASE_CONST] = fn->module->consts;
        w->base[BASE_WARP] = r->warp_specials + (size_t)W_BYTES * k;
        w->base[BASE_UNIFORM] = r->uniform;
        if (!f)
            return SG_NO_MEMORY;
        f->lanes = exist;
        f->depth = 0;
        f->local_base = 0;
        split_new(w, exist, fn->code, f);
        w->event = EV_NONE;
    }
    return SG_OK;
}

/* After a fault: frames still held by splits go back to the pool. */
static void abandon(struct sg_runner *r)
{
    for (uint32_t k = 0; k < r->nwarps; k++) {
        struct warp *w = &r->warps[k];

        for (uint32_t j = 0; j < w->nsplits; j++)
            frames_drop(r, w->splits[j].frame, w->splits[j].mask, true);
        w->nsplits = 0;
    }
}

enum sg_status sg_run_cta(struct sg_runner *r, const struct sg_launch *launch,
                          const uint32_t ctaid[3], struct sg_fault *fault)
{
    enum sg_status status;
    uint64_t threads = (uint64_t)launch->block[0] * launch->block[1];

    memset(fault, 0, sizeof(*fault));
    if (!launch->fn || !launch->fn->entry || !launch->fn->defined || !launch->map ||
        (launch->fn->info.param_bytes && !launch->params))
        return fault->status = SG_INVALID_VALUE;
    for (int k = 0; k < 3; k++)
        if (!launch->block[k] || launch->block[k] > MAX_THREADS || ctaid[k] >= launch->grid[k])
            return fault->status = SG_INVALID_VALUE;
    threads *= launch->block[2];
    if (threads > MAX_THREADS)
        return fault->status = SG_INVALID_VALUE;
    r->launch = launch;
    r->fn = launch->fn;
    r->nwarps = 0;
    r->instructions = 0;
    memcpy(r->ctaid, ctaid, sizeof(r->ctaid));
    memset(&r->fault, 0, sizeof(r->fault));
    r->ranges = sg_memmap_acquire(launch->map);
    status = prepare(r, launch);
    if (status != SG_OK)
        r->fault.status = status;
    while (r->fault.status == SG_OK && r->live) {
        bool progress = false;

        for (uint32_t k = 0; k < r->nwarps && r->fault.status == SG_OK; k++)
            if (has_ready(&r->warps[k]))
                progress |= run_warp(&r->warps[k]);
        if (cancelled(r) && r->live && r->fault.status == SG_OK) {
            sg_raise(&r->warps[0], NULL, SG_CANCELLED, 0, 0);
        } else if (!progress && r->fault.status == SG_OK) {
            const struct warp *w = NULL;

            for (uint32_t k = 0; k < r->nwarps && !w; k++)
                if (r->warps[k].nsplits)
                    w = &r->warps[k];
            sg_raise((struct warp *)w,
                     w->splits[0].state == S_BARRIER ? w->splits[0].ip - 1 : w->splits[0].ip,
                     SG_FAULT_DEADLOCK, 0, __builtin_ctz(w->splits[0].mask));
        }
    }
    abandon(r);
    sg_ranges_release(r->ranges);
    r->ranges = NULL;
    /* Deep recursion is rare: give its pages back rather than keep them for every thread. */
    if (r->local && r->local_high > 65536 + r->fn->local_bytes)
        madvise(r->local, local_bytes(r), MADV_DONTNEED);
    if (launch->instructions)
        atomic_fetch_add_explicit(launch->instructions, r->instructions, memory_order_relaxed);
    *fault = r->fault;
    return r->fault.status;
}
