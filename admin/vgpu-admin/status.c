/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "admin/vgpu-admin/admin.h"

static uint64_t number(const json_t *object, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(object, key));
}

static json_t *duration(uint64_t ns)
{
    char text[32];

    format_ns(ns, text, sizeof(text));
    return json_string(text);
}

/* The mediator's entries by vm_id, so that a thousand VMs are joined in one pass. */
static int by_id(const void *a, const void *b)
{
    uint64_t x = number(*(json_t *const *)a, "vm_id"), y = number(*(json_t *const *)b, "vm_id");

    return x < y ? -1 : x > y;
}

struct known {
    json_t **entries;
    size_t count;
};

static struct known known_vms(json_t *stats)
{
    json_t *list = json_object_get(stats, "vms"), *entry;
    struct known k = {calloc(json_array_size(list) + 1, sizeof(json_t *)), 0};
    size_t i;

    json_array_foreach(list, i, entry)
    {
        const char *backend = json_string_value(json_object_get(entry, "backend"));

        if (k.entries && backend && !strcmp(backend, "device"))
            k.entries[k.count++] = entry;
    }
    if (k.count)
        qsort(k.entries, k.count, sizeof(json_t *), by_id);
    return k;
}

static json_t *find_known(const struct known *k, uint32_t vm_id)
{
    size_t low = 0, high = k->count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        uint64_t id = number(k->entries[middle], "vm_id");

        if (id == vm_id)
            return k->entries[middle];
        if (id < vm_id)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static const char *state_of(const struct vgpu_vm *vm, const struct vgpu_pool *pool,
                            const json_t *stats, const json_t *entry)
{
    if (vm->quarantined)
        return "quarantined";
    if (pool && !pool->enabled)
        return "pool disabled";
    if (!stats)
        return "-";
    if (!entry)
        return "not served";
    if (json_is_true(json_object_get(entry, "quarantined")))
        return "quarantined";
    if (!number(entry, "clients"))
        return "off";
    return number(entry, "channels_open") ? "running" : "idle";
}

int cmd_status(struct context *c)
{
    static const struct column pool_columns[] = {
        {"pool", "POOL"},         {"name", "NAME"},
        {"enabled", "ENABLED"},   {"gpu", "GPU"},
        {"weight", "WEIGHT"},     {"vms", "VMS"},
        {"running", "RUNNING"},   {"quarantined", "QUARANTINED"},
        {"gpu_percent", "GPU %"}, {NULL, NULL}};
    static const struct column vm_columns[] = {{"vm_id", "VM-ID"},
                                               {"name", "NAME"},
                                               {"pool", "POOL"},
                                               {"priority", "PRIORITY"},
                                               {"state", "STATE"},
                                               {"channels_open", "CHANNELS"},
                                               {"gpu_percent", "GPU %"},
                                               {"gpu_time", "GPU TIME"},
                                               {"calls", "CALLS"},
                                               {"faults", "FAULTS"},
                                               {"channels_lost", "LOST"},
                                               {"violations", "VIOLATIONS"},
                                               {NULL, NULL}};
    char error[512] = "", text[32];
    json_t *stats = daemon_stats(c, error, sizeof(error)), *gpu, *root, *pool_rows, *vm_rows;
    struct known known = known_vms(stats);
    unsigned running[26] = {0}, quarantined[26] = {0};
    double use[26] = {0};
    struct vgpu_pool *pools = NULL;
    struct vgpu_vm *vms = NULL;
    size_t pool_count = 0, vm_count = 0;
    int code = vgpu_list_pools(c->db, &pools, &pool_count);

    if (!code)
        code = vgpu_list_vms(c->db, NULL, &vms, &vm_count);
    if (code) {
        free(pools);
        free(known.entries);
        json_decref(stats);
        return fail_db(c, code);
    }
    vm_rows = json_array();
    for (size_t i = 0; i < vm_count; i++) {
        json_t *entry = find_known(&known, vms[i].vm_id), *row = vm_json(&vms[i]);
        const struct vgpu_pool *pool = NULL;
        const char *state;
        double share;

        for (size_t k = 0; k < pool_count && !pool; k++)
            pool = pools[k].pool_id == vms[i].pool_id ? &pools[k] : NULL;
        state = state_of(&vms[i], pool, stats, entry);
        json_object_set_new(row, "state", json_string(state));
        running[vms[i].pool_id - 'A'] += !strcmp(state, "running");
        quarantined[vms[i].pool_id - 'A'] += !strcmp(state, "quarantined");
        if (entry) {
            static const char *const keys[] = {"channels_open", "calls",         "bytes",
                                               "gpu_ns",        "channels_lost", "violations",
                                               "device_memory", "utilization",   "throttled",
                                               "faults",        "submissions"};

            for (unsigned k = 0; k < sizeof(keys) / sizeof(keys[0]); k++)
                json_object_set(row, keys[k], json_object_get(entry, keys[k]));
            if (!c->json)
                json_object_set_new(row, "gpu_time", duration(number(entry, "gpu_ns")));
            share = json_number_value(json_object_get(entry, "utilization")) * 100;
            use[vms[i].pool_id - 'A'] += share;
            json_object_set_new(row, "gpu_percent", json_real(share));
        }
        json_array_append_new(vm_rows, row);
    }
    pool_rows = json_array();
    for (size_t i = 0; i < pool_count; i++) {
        char letter[2] = {pools[i].pool_id};

        json_array_append_new(pool_rows,
                              json_pack("{s:s, s:s, s:b, s:s, s:I, s:I, s:I, s:I, s:f}", "pool",
                                        letter, "name", pools[i].name, "enabled", pools[i].enabled,
                                        "gpu", pools[i].gpu, "weight", (json_int_t)pools[i].weight,
                                        "vms", (json_int_t)pools[i].vms, "running",
                                        (json_int_t)running[letter[0] - 'A'], "quarantined",
                                        (json_int_t)quarantined[letter[0] - 'A'], "gpu_percent",
                                        use[letter[0] - 'A']));
    }
    gpu = json_object_get(stats, "gpu");
    if (!c->json) {
        const char *device = json_string_value(json_object_get(gpu, "device"));
        const char *failure = json_string_value(json_object_get(gpu, "failure"));

        if (!stats) {
            say(c, "Mediator: not running (%s)", error);
        } else {
            format_ns(number(stats, "uptime_ns"), text, sizeof(text));
            say(c, "Mediator: running for %s, %llu workers", text,
                (unsigned long long)number(stats, "workers"));
            if (failure)
                say(c, "GPU:      fault: %s", failure);
            else
                say(c, "GPU:      %s, %llu MiB", device ? device : "not ready yet",
                    (unsigned long long)(number(gpu, "memory_bytes") >> 20));
        }
        say(c, "%s", "");
        print_table(pool_rows, pool_columns);
        if (vm_count) {
            say(c, "%s", "");
            print_table(vm_rows, vm_columns);
        }
    }
    root = json_pack("{s:b, s:o, s:o}", "mediator_running", stats != NULL, "pools", pool_rows,
                     "vms", vm_rows);
    if (gpu)
        json_object_set(root, "gpu", gpu);
    print_json(c, root);
    json_decref(stats);
    free(known.entries);
    free(pools);
    free(vms);
    return STATUS_OK;
}

int cmd_metrics(struct context *c)
{
    static const struct column columns[] = {{"vm_id", "VM-ID"},
                                            {"name", "NAME"},
                                            {"channels_open", "CHANNELS"},
                                            {"calls", "CALLS"},
                                            {"bytes", "BYTES"},
                                            {"gpu_time", "GPU TIME"},
                                            {"wait", "WAIT"},
                                            {"p50", "P50"},
                                            {"p95", "P95"},
                                            {"p99", "P99"},
                                            {"device_memory", "GPU MEMORY"},
                                            {"channels_lost", "LOST"},
                                            {NULL, NULL}};
    static const char *const percentiles[] = {"p50", "p95", "p99"};
    char error[512];
    json_t *stats = daemon_stats(c, error, sizeof(error)), *entry;
    size_t i;

    if (!stats)
        return fail(c, STATUS_FAILED, "%s; start it, or name its directory with --run-dir", error);
    if (!c->json) {
        json_array_foreach(json_object_get(stats, "vms"), i, entry)
        {
            json_t *latency = json_object_get(entry, "latency_ns");

            json_object_set_new(entry, "gpu_time", duration(number(entry, "gpu_ns")));
            json_object_set_new(entry, "wait", duration(number(entry, "gate_wait_ns")));
            for (unsigned k = 0; k < 3; k++)
                json_object_set_new(entry, percentiles[k],
                                    duration(number(latency, percentiles[k])));
        }
        print_table(json_object_get(stats, "vms"), columns);
    }
    print_json(c, stats);
    return STATUS_OK;
}

static volatile sig_atomic_t interrupted;

static void interrupt(int signal)
{
    interrupted = 1;
}

static int busier(const void *a, const void *b)
{
    double x = json_real_value(json_object_get(*(json_t *const *)a, "gpu_percent"));
    double y = json_real_value(json_object_get(*(json_t *const *)b, "gpu_percent"));

    return x < y ? 1 : x > y ? -1 : 0;
}

/* Rates of each VM between two answers. */
static json_t *rates(json_t *before, json_t *now)
{
    double seconds = (double)(number(now, "uptime_ns") - number(before, "uptime_ns")) / 1e9;
    json_t *entry, *old, *rows = json_array(), **sorted, *result = json_array();
    size_t i, k;

    json_array_foreach(json_object_get(now, "vms"), i, entry)
    {
        static const char *const keys[] = {"gpu_ns", "calls", "bytes"};
        double rate[3] = {0};

        json_array_foreach(json_object_get(before, "vms"), k, old)
        {
            if (json_equal(json_object_get(old, "name"), json_object_get(entry, "name")) &&
                number(old, "vm_id") == number(entry, "vm_id")) {
                for (unsigned n = 0; n < 3 && seconds > 0; n++) {
                    if (number(entry, keys[n]) >= number(old, keys[n]))
                        rate[n] = (double)(number(entry, keys[n]) - number(old, keys[n])) / seconds;
                }
            }
        }
        json_array_append_new(
            rows, json_pack("{s:I, s:O, s:O, s:O, s:I, s:f, s:f, s:f, s:f}", "vm_id",
                            (json_int_t)number(entry, "vm_id"), "name",
                            json_object_get(entry, "name"), "pool", json_object_get(entry, "pool"),
                            "priority", json_object_get(entry, "priority"), "channels_open",
                            (json_int_t)number(entry, "channels_open"), "gpu_percent",
                            rate[0] / 1e7, "calls_per_s", rate[1], "mib_per_s", rate[2] / 1048576,
                            "memory_mib", (double)number(entry, "device_memory") / 1048576));
    }
    sorted = calloc(json_array_size(rows) + 1, sizeof(*sorted));
    if (sorted) {
        json_array_foreach(rows, i, entry) sorted[i] = entry;
        qsort(sorted, json_array_size(rows), sizeof(*sorted), busier);
        for (i = 0; i < json_array_size(rows); i++)
            json_array_append(result, sorted[i]);
    }
    free(sorted);
    json_decref(rows);
    return result;
}

int cmd_top(struct context *c)
{
    static const struct column columns[] = {{"vm_id", "VM-ID"},
                                            {"name", "NAME"},
                                            {"pool", "POOL"},
                                            {"priority", "PRIORITY"},
                                            {"channels_open", "CHANNELS"},
                                            {"gpu_percent", "GPU %"},
                                            {"calls_per_s", "CALLS/S"},
                                            {"mib_per_s", "MIB/S"},
                                            {"memory_mib", "GPU MIB"},
                                            {NULL, NULL}};
    uint32_t interval = 2, pictures = 0;
    char error[512], at[32];
    json_t *before, *now;

    if (!take_number(c, OPT_INTERVAL, 1, 3600, &interval) ||
        !take_number(c, OPT_COUNT_OF, 1, 1000000000, &pictures))
        return STATUS_USAGE;
    before = daemon_stats(c, error, sizeof(error));
    if (!before)
        return fail(c, STATUS_FAILED, "%s; start it, or name its directory with --run-dir", error);
    /* Not SA_RESTART: the sleep has to end. */
    sigaction(SIGINT, &(struct sigaction){.sa_handler = interrupt}, NULL);
    for (uint32_t i = 0; !interrupted && (!pictures || i < pictures); i++) {
        time_t clock;
        struct tm tm;
        json_t *rows;

        sleep(interval);
        if (interrupted)
            break;
        now = daemon_stats(c, error, sizeof(error));
        if (!now) {
            json_decref(before);
            return fail(c, STATUS_FAILED, "%s", error);
        }
        rows = rates(before, now);
        if (!c->json) {
            const char *device =
                json_string_value(json_object_get(json_object_get(now, "gpu"), "device"));

            clock = time(NULL);
            localtime_r(&clock, &tm);
            strftime(at, sizeof(at), "%H:%M:%S", &tm);
            if (isatty(1))
                fputs("\033[H\033[J", stdout);
            else if (i)
                putchar('\n');
            say(c, "%s  %s  %llu workers", at, device ? device : "GPU not ready",
                (unsigned long long)number(now, "workers"));
            print_table(rows, columns);
            fflush(stdout);
        }
        print_json(c, rows);
        json_decref(before);
        before = now;
    }
    json_decref(before);
    return STATUS_OK;
}
