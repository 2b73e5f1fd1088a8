/* SPDX-License-Identifier: Apache-2.0 */
#include "mediator/daemon/daemon.h"

#include <stdio.h>
#include <string.h>

#define ROUNDS 4
#define FLICKER_NS 200000ull /* until a look at workers whose state changed too fast */
#define SECOND 1000000000ull
#define SWEEP_MAX_NS 250000000ull /* between two looks of the watchdog */
#define SWEEP_MIN_NS 1000000ull

static uint64_t claim(_Atomic uint64_t *word)
{
    uint64_t value = atomic_load_explicit(word, memory_order_relaxed);

    return value > ACCOUNT_MAX ? ACCOUNT_MAX : value;
}

static struct sched_pool *pool_of(struct daemon *d, const struct vm *vm)
{
    uint32_t index = vm->identity.pool - 'A';

    return &d->pools[index < CONFIG_POOLS ? index : 0];
}

static uint32_t weight_of(const struct daemon *d, const struct vm *vm)
{
    uint32_t priority = vm->identity.priority < 3 ? vm->identity.priority : 0;

    return vm->identity.limits.weight ? vm->identity.limits.weight : d->config.weights[priority];
}

/* ---- configuration ---- */

void schedule_start(struct daemon *d)
{
    sched_init(&d->sched, &d->config.scheduler, now_ns());
    for (unsigned i = 0; i < CONFIG_POOLS; i++)
        sched_pool_join(&d->sched, &d->pools[i], d->config.pools[i]);
    d->decide_at = d->sweep_at = NEVER;
}

void schedule_configure(struct daemon *d)
{
    sched_configure(&d->sched, &d->config.scheduler);
    for (unsigned i = 0; i < CONFIG_POOLS; i++)
        d->pools[i].weight = d->config.pools[i];
    for (struct vm *vm = d->vms; vm; vm = vm->next)
        schedule_vm_configure(d, vm);
    schedule_update(d);
}

void schedule_vm_configure(struct daemon *d, struct vm *vm)
{
    const struct config_limits *limits = &vm->identity.limits;
    struct sched_member *member = &vm->member;
    uint64_t now = now_ns(), burst = limits->submission_burst;

    member->weight = weight_of(d, vm);
    sched_move(&d->sched, member, pool_of(d, vm));
    bucket_set(&member->gpu_time, limits->gpu_percent * 10000000u, limits->gpu_burst, now);
    if (!burst)
        burst = limits->submissions / 10 + 1;
    bucket_set(&member->submissions, limits->submissions, burst, now);
}

void schedule_vm_join(struct daemon *d, struct vm *vm)
{
    vm->quarantined_until = NEVER;
    vm->member.measured = schedule_measures(d, vm);
    sched_join(&d->sched, pool_of(d, vm), &vm->member, weight_of(d, vm));
    schedule_vm_configure(d, vm);
}

void schedule_vm_leave(struct daemon *d, struct vm *vm)
{
    sched_leave(&d->sched, &vm->member);
}

/* ---- gates ---- */

/* Whether a change of wants or in_flight was seen. */
static bool sample(struct daemon *d)
{
    bool changed = false;

    for (struct vm *vm = d->vms; vm; vm = vm->next) {
        vm->wants_now = vm->in_flight_now = false;
        vm->member.gpu_ns = vm->past_gpu_ns;
        vm->member.submitted = vm->past_submitted;
        vm->member.held = schedule_is_quarantined(vm);
    }
    for (struct worker *w = d->workers; w; w = w->next) {
        struct vm *vm = w->vm;

        if (!vm || !w->page)
            continue;
        vm->member.gpu_ns += claim(&w->page->gpu_ns);
        vm->member.submitted += claim(&w->page->submissions);
        if (w->state != WORKER_RUNNING)
            continue;
        if (atomic_load_explicit(&w->page->backlog, memory_order_relaxed))
            vm->wants_now = true;
        if (atomic_load_explicit(&w->page->in_flight, memory_order_relaxed))
            vm->in_flight_now = true;
    }
    for (struct vm *vm = d->vms; vm; vm = vm->next) {
        struct sched_member *member = &vm->member;

        changed =
            changed || vm->wants_now != member->wants || vm->in_flight_now != member->in_flight;
        member->wants = vm->wants_now;
        member->in_flight = vm->in_flight_now;
    }
    return changed;
}

static unsigned count_wanting(const struct daemon *d, const struct vm *vm)
{
    unsigned n = 0;

    for (const struct worker *w = d->workers; w; w = w->next)
        n += w->vm == vm && w->state == WORKER_RUNNING &&
             atomic_load_explicit(&w->page->backlog, memory_order_relaxed);
    return n;
}

static uint64_t submit_until(const struct daemon *d, struct worker *worker)
{
    uint64_t tokens = worker->vm->member.submit_tokens, each;
    unsigned wanting;

    if (tokens == SCHED_NO_LIMIT)
        return 0;
    wanting = count_wanting(d, worker->vm);
    each = wanting ? tokens / wanting : tokens;
    /* 0 would be no limit; without tokens the gate is shut. */
    return claim(&worker->page->submissions) + (each ? each : 1);
}

static uint64_t in_flight_limit(const struct sched_member *member)
{
    return member->in_flight_ns == SCHED_NO_LIMIT ? 0 : member->in_flight_ns;
}

/* What would change the decision before its time. */
static uint32_t wake_on(const struct daemon *d, const struct sched_member *member)
{
    if (d->sched.contended || bucket_is_limited(&member->gpu_time)) {
        if (!member->wants && !member->in_flight)
            return SHM_WAKE_WORK;
        return member->open ? SHM_WAKE_IDLE : 0;
    }
    return member->wants || member->in_flight ? 0 : SHM_WAKE_WORK;
}

static void apply(struct daemon *d)
{
    for (struct worker *w = d->workers; w; w = w->next) {
        const struct sched_member *member;

        if (w->state != WORKER_RUNNING)
            continue;
        member = &w->vm->member;
        shm_allowance_set(w->page, submit_until(d, w), in_flight_limit(member));
        shm_gate_set(w->page, member->open);
        atomic_store_explicit(&w->page->wake_on, wake_on(d, member), memory_order_relaxed);
    }
    atomic_thread_fence(memory_order_seq_cst);
}

static void log_throttles(struct daemon *d)
{
    for (struct vm *vm = d->vms; vm; vm = vm->next) {
        if (vm->member.throttles == vm->throttles_logged)
            continue;
        /* Once for the first time, then for every tenfold: a limit at work is no news. */
        if (!vm->throttles_logged || vm->member.throttles >= 10 * vm->throttles_logged) {
            vm->throttles_logged = vm->member.throttles;
            vgpu_log(VGPU_LOG_INFO, "vm_throttled", LOG_U("vm", vm->identity.vm_id),
                     LOG_S("name", vm->identity.name), LOG_U("times", vm->member.throttles),
                     LOG_S("by", vm->member.dry ? "gpu_percent" : "submissions_per_s"));
        }
    }
}

void schedule_update(struct daemon *d)
{
    sample(d);
    for (int round = 0;; round++) {
        d->decide_at = sched_decide(&d->sched, now_ns());
        apply(d);
        if (!sample(d))
            break;
        if (round == ROUNDS) {
            /* Workers that flicker must not keep the daemon here. */
            uint64_t soon = now_ns() + FLICKER_NS;

            if (soon < d->decide_at)
                d->decide_at = soon;
            break;
        }
    }
    log_throttles(d);
}

/* ---- workers ---- */

bool schedule_measures(const struct daemon *d, const struct vm *vm)
{
    return d->config.measure || vm->identity.limits.watchdog || vm->identity.limits.gpu_percent;
}

void schedule_worker_start(struct daemon *d, struct worker *worker)
{
    struct sched_member *member = &worker->vm->member;

    member->measured = schedule_measures(d, worker->vm);
    atomic_store(&worker->page->gate, member->open ? SHM_GATE_OPEN : 0);
    atomic_store(&worker->page->submit_until, member->submit_tokens == SCHED_NO_LIMIT ? 0 : 1);
    atomic_store(&worker->page->in_flight_limit_ns, in_flight_limit(member));
    atomic_store(&worker->page->wake_on, SHM_WAKE_WORK);
    worker->progress_at = now_ns();
}

void schedule_worker_end(struct daemon *d, struct worker *worker)
{
    worker->vm->past_gpu_ns += claim(&worker->page->gpu_ns);
    worker->vm->past_submitted += claim(&worker->page->submissions);
}

/* ---- faults and quarantine ---- */

bool schedule_is_quarantined(const struct vm *vm)
{
    return vm->quarantined_until != NEVER;
}

void schedule_release(struct daemon *d, struct vm *vm)
{
    vm->window_faults = 0;
    if (!schedule_is_quarantined(vm))
        return;
    vm->quarantined_until = NEVER;
    vgpu_log(VGPU_LOG_WARN, "vm_released", LOG_U("vm", vm->identity.vm_id),
             LOG_S("name", vm->identity.name));
}

static void quarantine(struct daemon *d, struct vm *vm, uint64_t now)
{
    uint64_t time = vm->identity.limits.quarantine;

    vm->quarantined_until = now + time;
    vm->quarantines++;
    vm->window_faults = 0;
    if (vm->quarantined_until < d->sweep_at)
        d->sweep_at = vm->quarantined_until;
    vgpu_log(VGPU_LOG_WARN, "vm_quarantined", LOG_U("vm", vm->identity.vm_id),
             LOG_S("name", vm->identity.name), LOG_U("faults", vm->faults),
             LOG_U("seconds", time / 1000000000u));
    /* What still runs would wait at its gate without a word: it is told instead. */
    for (struct worker *w = d->workers; w; w = w->next) {
        if (w->vm == vm && (w->state == WORKER_RUNNING || w->state == WORKER_STARTING))
            worker_fail(d, w, VGPU_REASON_REFUSED, "the VM is quarantined after repeated faults");
    }
}

void schedule_fault(struct daemon *d, struct vm *vm, const char *what)
{
    const struct config_limits *limits = &vm->identity.limits;
    uint64_t now = now_ns();

    vm->faults++;
    vgpu_log(VGPU_LOG_WARN, "vm_fault", LOG_U("vm", vm->identity.vm_id),
             LOG_S("name", vm->identity.name), LOG_S("what", what), LOG_U("faults", vm->faults));
    if (now - vm->fault_window > limits->quarantine) {
        vm->fault_window = now;
        vm->window_faults = 0;
    }
    vm->window_faults++;
    if (limits->quarantine_faults && vm->window_faults >= limits->quarantine_faults &&
        !schedule_is_quarantined(vm))
        quarantine(d, vm, now);
}

/* ---- watchdog ---- */

/* Until when the worker's present work may last; NEVER: nothing to watch. */
static uint64_t overrun_at(struct worker *worker, uint64_t now)
{
    uint64_t limit = worker->vm->identity.limits.watchdog, progress;

    progress = claim(&worker->page->completions) + claim(&worker->page->gpu_ns);
    if (!limit || !atomic_load_explicit(&worker->page->in_flight, memory_order_relaxed) ||
        progress != worker->progress) {
        worker->progress = progress;
        worker->progress_at = now;
    }
    return limit ? worker->progress_at + limit : NEVER;
}

bool schedule_saw_fault(struct worker *worker)
{
    return atomic_load_explicit(&worker->page->faults, memory_order_relaxed) != 0;
}

static void look_for_faults(struct daemon *d, struct worker *worker)
{
    /* One per worker: its context is of no more use after the first. */
    if (worker->blamed || !schedule_saw_fault(worker))
        return;
    worker->blamed = true;
    schedule_fault(d, worker->vm, "its work failed on the GPU");
}

static void measure_utilization(struct daemon *d, uint64_t now)
{
    uint64_t time = now - d->utilization_at;

    if (time < SECOND)
        return;
    sample(d);
    for (struct vm *vm = d->vms; vm; vm = vm->next) {
        uint64_t used = vm->member.gpu_ns - vm->utilization_gpu_ns;

        /* Kernels side by side count once; so does what a longer time ago began. */
        vm->utilization_ppm = used >= time ? 1000000 : used * 1000 / (time / 1000);
        vm->utilization_gpu_ns = vm->member.gpu_ns;
    }
    d->utilization_at = now;
}

static uint64_t sweep(struct daemon *d, uint64_t now)
{
    uint64_t next = NEVER;

    measure_utilization(d, now);

    for (struct worker *w = d->workers; w; w = w->next) {
        uint64_t limit, at;

        if (w->state != WORKER_RUNNING)
            continue;
        limit = w->vm->identity.limits.watchdog;
        look_for_faults(d, w);
        if (w->state != WORKER_RUNNING)
            continue;
        at = overrun_at(w, now);
        if (now >= at) {
            w->vm->overruns++;
            worker_fail(d, w, VGPU_REASON_TIMEOUT,
                        "its work on the GPU took longer than watchdog_ms");
            schedule_fault(d, w->vm, "its work on the GPU took longer than watchdog_ms");
            continue;
        }
        next = now + SECOND < next ? now + SECOND : next;
        if (limit || w->vm->identity.limits.quarantine_faults) {
            uint64_t step = limit ? limit / 4 : SWEEP_MAX_NS;

            step = step > SWEEP_MAX_NS ? SWEEP_MAX_NS : step < SWEEP_MIN_NS ? SWEEP_MIN_NS : step;
            next = now + step < next ? now + step : next;
        }
    }
    for (struct vm *vm = d->vms; vm; vm = vm->next) {
        if (vm->utilization_ppm)
            next = now + SECOND < next ? now + SECOND : next;
        if (schedule_is_quarantined(vm) && now >= vm->quarantined_until) {
            schedule_release(d, vm);
            d->decide_at = now;
        } else if (vm->quarantined_until < next) {
            next = vm->quarantined_until;
        }
    }
    return next;
}

uint64_t schedule_tick(struct daemon *d, uint64_t now)
{
    if (now >= d->sweep_at)
        d->sweep_at = sweep(d, now);
    if (now >= d->decide_at)
        schedule_update(d);
    return d->decide_at < d->sweep_at ? d->decide_at : d->sweep_at;
}
