/* SPDX-License-Identifier: Apache-2.0 */
#include "mediator/daemon/account.h"

#include "vgpu_ops.h"

static void add(uint64_t *sum, uint64_t value)
{
    if (value > ACCOUNT_MAX)
        value = ACCOUNT_MAX;
    *sum = *sum + value > ACCOUNT_MAX ? ACCOUNT_MAX : *sum + value;
}

static uint64_t take(_Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static void add_call(struct account_call *sum, const struct account_call *call)
{
    add(&sum->calls, call->calls);
    add(&sum->bytes, call->bytes);
    add(&sum->gpu_ns, call->gpu_ns);
    add(&sum->host_ns, call->host_ns);
}

void account_add_page(struct account *account, struct shm_page *page, int ended)
{
    uint64_t peak = take(&page->device_memory_peak);

    for (unsigned i = 0; i < SHM_OPCODES; i++) {
        struct shm_call *claim = &page->calls[i];
        struct account_call call = {take(&claim->calls), take(&claim->bytes), take(&claim->gpu_ns),
                                    take(&claim->host_ns)};

        add_call(&account->calls[i], &call);
        add_call(&account->total, &call);
    }
    for (unsigned i = 0; i < SHM_HISTOGRAM_BUCKETS; i++)
        add(&account->latency[i], take(&page->latency[i]));
    add(&account->gate_wait_ns, take(&page->gate_wait_ns));
    if (!ended)
        add(&account->device_memory, take(&page->device_memory));
    if (peak > account->device_memory_peak)
        account->device_memory_peak = peak > ACCOUNT_MAX ? ACCOUNT_MAX : peak;
}

void account_add(struct account *account, const struct account *other)
{
    add_call(&account->total, &other->total);
    for (unsigned i = 0; i < SHM_OPCODES; i++)
        add_call(&account->calls[i], &other->calls[i]);
    for (unsigned i = 0; i < SHM_HISTOGRAM_BUCKETS; i++)
        add(&account->latency[i], other->latency[i]);
    add(&account->gate_wait_ns, other->gate_wait_ns);
    add(&account->device_memory, other->device_memory);
    if (other->device_memory_peak > account->device_memory_peak)
        account->device_memory_peak = other->device_memory_peak;
}

static uint64_t count_all(const uint64_t *counts)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < SHM_HISTOGRAM_BUCKETS; i++)
        add(&sum, counts[i]);
    return sum;
}

uint64_t account_percentile(const uint64_t *counts, unsigned percent)
{
    uint64_t all = count_all(counts), seen = 0;
    /* The rank is rounded up: the 50th percentile of one value is that value. */
    uint64_t rank = all / 100 * percent + (all % 100 * percent + 99) / 100;

    for (uint32_t i = 0; all && i < SHM_HISTOGRAM_BUCKETS; i++) {
        add(&seen, counts[i]);
        if (seen >= rank && seen > 0)
            return shm_histogram_floor(i + 1);
    }
    return 0;
}

static void put(json_t *object, const char *key, uint64_t value)
{
    json_object_set_new(object, key, json_integer((json_int_t)value));
}

static void put_call(json_t *object, const struct account_call *call)
{
    put(object, "calls", call->calls);
    put(object, "bytes", call->bytes);
    put(object, "gpu_ns", call->gpu_ns);
    put(object, "host_ns", call->host_ns);
}

void account_to_json(const struct account *account, json_t *object)
{
    json_t *latency = json_object(), *ops = json_array();

    put_call(object, &account->total);
    put(object, "gate_wait_ns", account->gate_wait_ns);
    put(object, "device_memory", account->device_memory);
    put(object, "device_memory_peak", account->device_memory_peak);
    put(latency, "count", count_all(account->latency));
    put(latency, "p50", account_percentile(account->latency, 50));
    put(latency, "p95", account_percentile(account->latency, 95));
    put(latency, "p99", account_percentile(account->latency, 99));
    json_object_set_new(object, "latency_ns", latency);
    for (unsigned i = 0; i < SHM_OPCODES; i++) {
        json_t *op;

        if (!account->calls[i].calls)
            continue;
        op = json_object();
        put(op, "op", i);
        json_object_set_new(op, "name", json_string(vgpu_op_name(i)));
        put_call(op, &account->calls[i]);
        json_array_append_new(ops, op);
    }
    json_object_set_new(object, "ops", ops);
}
