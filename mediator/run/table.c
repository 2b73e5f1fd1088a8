/* SPDX-License-Identifier: Apache-2.0 */
#include "mediator/run/table.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static void scaled(char *out, double value, double step, const char *const *units, int count)
{
    int unit = 0;

    /* From 999.5 on, three digits would round up to four. */
    while (unit + 1 < count && value >= step - 0.5) {
        value /= step;
        unit++;
    }
    snprintf(out, 16, unit == 0 || value >= 99.95 ? "%.0f %s" : "%.1f %s", value, units[unit]);
}

void table_time(char *out, double ns)
{
    static const char *const units[] = {"ns", "us", "ms", "s"};

    scaled(out, ns, 1000, units, 4);
}

void table_bytes(char *out, double bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};

    scaled(out, bytes, 1024, units, 5);
}

static json_int_t integer(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static const char *string(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "unknown";
}

static int by_use(const void *a, const void *b)
{
    const json_t *x = *(const json_t *const *)a, *y = *(const json_t *const *)b;
    json_int_t d = integer(y, "gpu_ns") - integer(x, "gpu_ns");

    if (!d)
        d = integer(y, "calls") - integer(x, "calls");
    return d > 0 ? 1 : d < 0 ? -1 : strcmp(string(x, "name"), string(y, "name"));
}

static void print_row(FILE *out, int width, const char *name, const json_t *row)
{
    json_int_t calls = integer(row, "calls");
    char bytes[16], gpu[16], gpu_each[16], host_each[16];

    table_bytes(bytes, (double)integer(row, "bytes"));
    table_time(gpu, (double)integer(row, "gpu_ns"));
    table_time(gpu_each, calls ? (double)integer(row, "gpu_ns") / (double)calls : 0);
    table_time(host_each, calls ? (double)integer(row, "host_ns") / (double)calls : 0);
    fprintf(out, "%-*s %12lld %10s %10s %10s %10s\n", width, name, (long long)calls, bytes,
            integer(row, "gpu_ns") ? gpu : "-", integer(row, "gpu_ns") ? gpu_each : "-", host_each);
}

static void print_vm(FILE *out, const json_t *vm)
{
    json_t *ops = json_object_get(vm, "ops"), *latency = json_object_get(vm, "latency_ns");
    size_t count = json_array_size(ops);
    const json_t **rows = calloc(count ? count : 1, sizeof(*rows));
    char p50[16], p95[16], p99[16];
    int width = 5;

    if (!rows)
        return;
    for (size_t i = 0; i < count; i++) {
        int length = (int)strlen(string(json_array_get(ops, i), "name"));

        rows[i] = json_array_get(ops, i);
        if (length > width)
            width = length;
    }
    qsort(rows, count, sizeof(*rows), by_use);
    fprintf(out, "%s: VM %lld, pool %s, priority %s\n", string(vm, "name"),
            (long long)integer(vm, "vm_id"), string(vm, "pool"), string(vm, "priority"));
    fprintf(out, "%-*s %12s %10s %10s %10s %10s\n", width, "call", "calls", "bytes", "GPU time",
            "GPU/call", "host/call");
    for (size_t i = 0; i < count; i++)
        print_row(out, width, string(rows[i], "name"), rows[i]);
    print_row(out, width, "total", vm);
    if (integer(latency, "count")) {
        table_time(p50, (double)integer(latency, "p50"));
        table_time(p95, (double)integer(latency, "p95"));
        table_time(p99, (double)integer(latency, "p99"));
        fprintf(out, "latency of GPU work, submission to completion: p50 %s, p95 %s, p99 %s\n", p50,
                p95, p99);
    }
    free(rows);
}

void table_print(FILE *out, const json_t *stats)
{
    json_t *vms = json_object_get(stats, "vms"), *gpu = json_object_get(stats, "gpu"), *vm;
    bool any = false;
    size_t i;

    fprintf(out, "GPU: %s (%s)\n", string(gpu, "device"), string(gpu, "driver"));
    json_array_foreach(vms, i, vm)
    {
        if (!integer(vm, "calls"))
            continue;
        any = true;
        print_vm(out, vm);
    }
    if (!any)
        fputs("no calls were made\n", out);
}
