/* SPDX-License-Identifier: Apache-2.0 */
#include "mediator/daemon/daemon.h"

#include <stdio.h>
#include <stdlib.h>

#define LATENCY_FIRST_BITS 10 /* the histogram's first bound: 2^10 ns */
#define LATENCY_LAST_BITS 34  /* and its last: 2^34 ns */

/* What one scrape needs of a VM. */
struct row {
    const struct vm *vm;
    struct account sum;
    uint64_t submissions, in_flight, in_flight_ns;
    unsigned open;
};

enum unit { COUNT, SECONDS };

struct metric {
    const char *name, *type, *help;
    enum unit unit;
    uint64_t (*value)(const struct row *row);
};

#define VALUE(name, expression)                                                                    \
    static uint64_t name(const struct row *r)                                                      \
    {                                                                                              \
        return (uint64_t)(expression);                                                             \
    }

VALUE(gpu_ns, r->sum.total.gpu_ns)
VALUE(charged_ns, r->vm->member.charged_ns)
VALUE(calls, r->sum.total.calls)
VALUE(bytes, r->sum.total.bytes)
VALUE(host_ns, r->sum.total.host_ns)
VALUE(submissions, r->submissions)
VALUE(gate_wait_ns, r->sum.gate_wait_ns)
VALUE(waited_ns, r->vm->member.waited_ns)
VALUE(wait_max_ns, r->vm->member.wait_max_ns)
VALUE(turns, r->vm->member.turns)
VALUE(preempted, r->vm->member.preempted)
VALUE(throttles, r->vm->member.throttles)
VALUE(throttled, r->vm->member.throttled)
VALUE(backlogged, r->vm->member.wants)
VALUE(in_flight, r->in_flight)
VALUE(in_flight_ns, r->in_flight_ns)
VALUE(weight, r->vm->member.weight)
VALUE(channels_open, r->open)
VALUE(channels_opened, r->vm->opened)
VALUE(channels_refused, r->vm->refused)
VALUE(channels_lost, r->vm->died)
VALUE(violations, r->vm->violations)
VALUE(faults, r->vm->faults)
VALUE(overruns, r->vm->overruns)
VALUE(quarantines, r->vm->quarantines)
VALUE(quarantined, schedule_is_quarantined(r->vm))
VALUE(device_memory, r->sum.device_memory)
VALUE(device_memory_peak, r->sum.device_memory_peak)

static const struct metric metrics[] = {
    {"gpu_seconds_total", "counter", "GPU time measured.", SECONDS, gpu_ns},
    {"gpu_charged_seconds_total", "counter", "GPU time charged by the scheduler.", SECONDS,
     charged_ns},
    {"calls_total", "counter", "Calls executed.", COUNT, calls},
    {"bytes_total", "counter", "Bytes of calls and of what they copied.", COUNT, bytes},
    {"host_seconds_total", "counter", "CPU time of calls in workers.", SECONDS, host_ns},
    {"submissions_total", "counter", "Launches, copies and fills submitted.", COUNT, submissions},
    {"gate_wait_seconds_total", "counter", "Time that workers waited to submit.", SECONDS,
     gate_wait_ns},
    {"wait_seconds_total", "counter", "Time that the VM wanted the GPU and others had it.", SECONDS,
     waited_ns},
    {"wait_max_seconds", "gauge", "Longest such wait.", SECONDS, wait_max_ns},
    {"turns_total", "counter", "Turns got while others wanted the GPU.", COUNT, turns},
    {"preemptions_total", "counter", "Turns ended by a more urgent VM.", COUNT, preempted},
    {"throttles_total", "counter", "Times that a limit stopped the VM.", COUNT, throttles},
    {"throttled", "gauge", "1 while a limit stops the VM.", COUNT, throttled},
    {"backlogged", "gauge", "1 while the VM has work to submit.", COUNT, backlogged},
    {"in_flight", "gauge", "Streams and measured pieces of work on the GPU.", COUNT, in_flight},
    {"in_flight_estimated_seconds", "gauge", "Estimated GPU time of work in flight.", SECONDS,
     in_flight_ns},
    {"weight", "gauge", "Weight in its pool.", COUNT, weight},
    {"channels_open", "gauge", "Channels in use.", COUNT, channels_open},
    {"channels_opened_total", "counter", "Channels opened.", COUNT, channels_opened},
    {"channels_refused_total", "counter", "Channels refused.", COUNT, channels_refused},
    {"channels_lost_total", "counter", "Channels ended by the host.", COUNT, channels_lost},
    {"violations_total", "counter", "Violations of the protocol.", COUNT, violations},
    {"faults_total", "counter", "Faults that count towards quarantine.", COUNT, faults},
    {"overruns_total", "counter", "Workers ended by the watchdog.", COUNT, overruns},
    {"quarantines_total", "counter", "Times the VM was quarantined.", COUNT, quarantines},
    {"quarantined", "gauge", "1 while the VM is quarantined.", COUNT, quarantined},
    {"device_memory_bytes", "gauge", "GPU memory allocated.", COUNT, device_memory},
    {"device_memory_peak_bytes", "gauge", "Most GPU memory that one process had.", COUNT,
     device_memory_peak},
};

static void collect(struct daemon *d, struct vm *vm, struct row *row)
{
    row->vm = vm;
    row->submissions = vm->past_submitted;
    for (struct worker *w = d->workers; w; w = w->next) {
        if (w->vm != vm || !w->page)
            continue;
        row->open += w->state == WORKER_RUNNING;
        row->submissions += atomic_load_explicit(&w->page->submissions, memory_order_relaxed);
        row->in_flight += atomic_load_explicit(&w->page->in_flight, memory_order_relaxed);
        row->in_flight_ns += atomic_load_explicit(&w->page->in_flight_ns, memory_order_relaxed);
        account_add_page(&row->sum, w->page, 0);
    }
    account_add(&row->sum, &vm->past);
}

static void put_value(FILE *f, enum unit unit, uint64_t value)
{
    if (unit == SECONDS)
        fprintf(f, "%llu.%09llu\n", (unsigned long long)(value / 1000000000u),
                (unsigned long long)(value % 1000000000u));
    else
        fprintf(f, "%llu\n", (unsigned long long)value);
}

static void put_head(FILE *f, const char *scope, const char *name, const char *type,
                     const char *help)
{
    fprintf(f, "# HELP vgpu_%s%s %s\n# TYPE vgpu_%s%s %s\n", scope, name, help, scope, name, type);
}

/* Names are of A-Z a-z 0-9 . _ - only, so nothing needs escaping. */
static void put_labels(FILE *f, const struct vm *vm)
{
    fprintf(f, "vm=\"%u\",name=\"%s\",pool=\"%c\",priority=\"%s\"", vm->identity.vm_id,
            vm->identity.name, (char)vm->identity.pool,
            config_priority_name(vm->identity.priority));
}

static void put_latency(FILE *f, const struct row *rows, size_t count)
{
    put_head(f, "vm_", "latency_seconds", "histogram",
             "From submission to completion of measured work; the sum is of bucket centres.");
    for (const struct row *row = rows; row < rows + count; row++) {
        uint64_t seen = 0, sum = 0;
        uint32_t bucket = 0;

        for (unsigned bits = LATENCY_FIRST_BITS; bits <= LATENCY_LAST_BITS; bits += 2) {
            uint64_t bound = 1ull << bits;

            for (; bucket < SHM_HISTOGRAM_BUCKETS && shm_histogram_floor(bucket + 1) <= bound;
                 bucket++)
                seen += row->sum.latency[bucket];
            fprintf(f, "vgpu_vm_latency_seconds_bucket{");
            put_labels(f, row->vm);
            fprintf(f, ",le=\"%llu.%09llu\"} %llu\n", (unsigned long long)(bound / 1000000000u),
                    (unsigned long long)(bound % 1000000000u), (unsigned long long)seen);
        }
        seen = 0;
        for (bucket = 0; bucket < SHM_HISTOGRAM_BUCKETS; bucket++) {
            uint64_t centre = (shm_histogram_floor(bucket) + shm_histogram_floor(bucket + 1)) / 2;
            uint64_t value;

            seen += row->sum.latency[bucket];
            if (__builtin_mul_overflow(centre, row->sum.latency[bucket], &value) ||
                __builtin_add_overflow(sum, value, &sum))
                sum = ACCOUNT_MAX;
        }
        fprintf(f, "vgpu_vm_latency_seconds_bucket{");
        put_labels(f, row->vm);
        fprintf(f, ",le=\"+Inf\"} %llu\nvgpu_vm_latency_seconds_sum{", (unsigned long long)seen);
        put_labels(f, row->vm);
        fprintf(f, "} ");
        put_value(f, SECONDS, sum);
        fprintf(f, "vgpu_vm_latency_seconds_count{");
        put_labels(f, row->vm);
        fprintf(f, "} %llu\n", (unsigned long long)seen);
    }
}

static void put_pools(FILE *f, const struct daemon *d, const struct row *rows, size_t count)
{
    for (int what = 0; what < 2; what++) {
        put_head(f, "pool_", what ? "weight" : "gpu_seconds_total", what ? "gauge" : "counter",
                 what ? "Weight of the pool."
                      : "GPU time measured, of all VMs that are configured.");
        for (unsigned i = 0; i < CONFIG_POOLS; i++) {
            uint64_t sum = 0;
            bool any = false;

            for (const struct row *row = rows; row < rows + count; row++) {
                if (row->vm->identity.pool != 'A' + i)
                    continue;
                any = true;
                sum += row->sum.total.gpu_ns;
            }
            if (!any)
                continue;
            fprintf(f, "vgpu_pool_%s{pool=\"%c\"} ", what ? "weight" : "gpu_seconds_total",
                    (char)('A' + i));
            put_value(f, what ? COUNT : SECONDS, what ? d->pools[i].weight : sum);
        }
    }
}

static void put_host(FILE *f, const struct daemon *d)
{
    const struct {
        const char *name, *type, *help;
        enum unit unit;
        uint64_t value;
    } all[] = {
        {"gpu_ready", "gauge", "1 when a GPU driver has started.", COUNT, d->driver_settled},
        {"gpu_busy_seconds_total", "counter", "Time with work in flight, as seen by the scheduler.",
         SECONDS, d->sched.busy_ns},
        {"contended_seconds_total", "counter", "Time with more than one VM at work.", SECONDS,
         d->sched.contended_ns},
        {"switches_total", "counter", "Times the GPU went from one VM to another.", COUNT,
         d->sched.switches},
        {"workers", "gauge", "Worker processes, spare ones included.", COUNT, d->worker_count},
        {"uptime_seconds", "gauge", "Since the mediator's start.", SECONDS, now_ns() - d->started},
    };

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        put_head(f, "", all[i].name, all[i].type, all[i].help);
        fprintf(f, "vgpu_%s ", all[i].name);
        put_value(f, all[i].unit, all[i].value);
    }
}

char *metrics_text(struct daemon *d)
{
    struct row *rows;
    size_t count = 0, size;
    char *text = NULL;
    FILE *f;

    for (struct vm *vm = d->vms; vm; vm = vm->next)
        count++;
    rows = calloc(count + 1, sizeof(*rows));
    f = rows ? open_memstream(&text, &size) : NULL;
    if (!f) {
        free(rows);
        return NULL;
    }
    count = 0;
    for (struct vm *vm = d->vms; vm; vm = vm->next) {
        if (vm->uid != (uid_t)-1 && !vm->removed)
            collect(d, vm, &rows[count++]);
    }
    put_host(f, d);
    for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++) {
        put_head(f, "vm_", metrics[i].name, metrics[i].type, metrics[i].help);
        for (size_t k = 0; k < count; k++) {
            fprintf(f, "vgpu_vm_%s{", metrics[i].name);
            put_labels(f, rows[k].vm);
            fprintf(f, "} ");
            put_value(f, metrics[i].unit, metrics[i].value(&rows[k]));
        }
    }
    put_head(f, "vm_", "utilization_ratio", "gauge", "GPU time per second, of the last second.");
    for (size_t k = 0; k < count; k++) {
        fprintf(f, "vgpu_vm_utilization_ratio{");
        put_labels(f, rows[k].vm);
        fprintf(f, "} %.4f\n", (double)rows[k].vm->utilization_ppm / 1e6);
    }
    put_latency(f, rows, count);
    put_pools(f, d, rows, count);
    free(rows);
    if (fclose(f) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
