/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_bench - what single driver calls cost the program that makes them
 *
 * Each figure is the median over many repetitions after a warm-up, with the 99th percentile beside
 * it. Copies are checked, so that a path that loses bytes gives no figure. Where the device has too
 * little memory for a case, the case is reported as skipped, with the error.
 *
 * Process start is measured in children forked before the driver library is loaded: from loading it
 * to a context that has run one kernel.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/programs/cuda_loader.h"
#include "tests/programs/program.h"

extern const char noop_ptx[];

#define MIB ((size_t)1 << 20)
#define RESULTS_MAX 32
#define LAUNCH_BATCH                                                                               \
    128 /* launches between two synchronisations: fewer than a channel's queue holds */

static struct {
    int launches; /* of the throughput case */
    int calls;    /* repetitions of cases of microseconds */
    int copies;   /* repetitions of cases of milliseconds */
    int starts;
} reps = {100000, 2000, 20, 5};

static struct result {
    const char *id, *name, *unit;
    double median, p99, least;
    size_t count;
    size_t bytes; /* moved per repetition; 0: none */
    const char *skipped;
} results[RESULTS_MAX];
static size_t result_count;

static const char *only; /* comma-separated ids, or NULL */
static CUfunction noop;
static CUstream stream;
static double *samples;
static size_t sample_count;

static bool wanted(const char *id)
{
    size_t length = strlen(id);

    for (const char *at = only; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (strncmp(at, id, length) == 0 && (at[length] == ',' || at[length] == '\0'))
            return true;
    return !only;
}

static void start_case(size_t most)
{
    sample_count = 0;
    samples = realloc(samples, most * sizeof(*samples));
    if (!samples)
        fail("no host memory");
}

static void sample(uint64_t from, double scale)
{
    samples[sample_count++] = (double)(now_ns() - from) / scale;
}

static void finish_case(const char *id, const char *name, const char *unit, size_t bytes)
{
    struct result *r = &results[result_count++];

    r->id = id;
    r->name = name;
    r->unit = unit;
    r->bytes = bytes;
    r->count = sample_count;
    r->median = quantile(samples, sample_count, 0.50);
    r->p99 = quantile(samples, sample_count, 0.99);
    r->least = samples[0];
}

static void skip_case(const char *id, const char *name, const char *unit, CUresult why)
{
    struct result *r = &results[result_count++];

    r->id = id;
    r->name = name;
    r->unit = unit;
    r->skipped = result_name(why);
}

static void launch(void)
{
    CHECK(cuLaunchKernel(noop, 1, 1, 1, 1, 1, 1, 0, stream, NULL, NULL));
}

static void open_device(void)
{
    cuda_load();
    CHECK(cuInit(0));
    CHECK(cuDeviceGet(&program.dev, program.ordinal));
    CHECK(cuDevicePrimaryCtxRetain(&program.ctx, program.dev));
    CHECK(cuCtxSetCurrent(program.ctx));
    CHECK(cuModuleLoadData(&program.mod, noop_ptx));
    noop = kernel("noop");
}

/* Must come before the driver library is loaded in this process: a forked CUDA process is unusable.
 */
static void process_start(void)
{
    start_case((size_t)reps.starts);
    for (int i = 0; i < reps.starts; i++) {
        int ends[2], status;
        uint64_t ns = 0;
        pid_t child;

        if (pipe(ends) != 0 || (child = fork()) < 0)
            fail("cannot start a child: %s", strerror(errno));
        if (child == 0) {
            uint64_t from = now_ns();

            close(ends[0]);
            open_device();
            CHECK(cuLaunchKernel(noop, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL));
            CHECK(cuCtxSynchronize());
            ns = now_ns() - from;
            exit(write(ends[1], &ns, sizeof(ns)) == (ssize_t)sizeof(ns) ? 0 : 1);
        }
        close(ends[1]);
        if (read(ends[0], &ns, sizeof(ns)) != (ssize_t)sizeof(ns))
            ns = 0;
        close(ends[0]);
        if (waitpid(child, &status, 0) != child)
            fail("cannot wait for a child: %s", strerror(errno));
        if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
            exit(77);
        if (status != 0 || ns == 0)
            fail("a child that opens the device ended with wait status %#x", status);
        samples[sample_count++] = (double)ns / 1e6;
    }
    finish_case("process_start", "process start: library load to first kernel done", "ms", 0);
}

static void launches(void)
{
    for (int i = 0; i < 4 * LAUNCH_BATCH; i++)
        launch();
    CHECK(cuStreamSynchronize(stream));

    if (wanted("launch_async")) {
        start_case((size_t)reps.calls);
        for (int i = 0; i < reps.calls; i++) {
            uint64_t from = now_ns();

            launch();
            sample(from, 1e3);
            if (i % LAUNCH_BATCH == LAUNCH_BATCH - 1)
                CHECK(cuStreamSynchronize(stream));
        }
        CHECK(cuStreamSynchronize(stream));
        finish_case("launch_async", "kernel launch, asynchronous", "us", 0);
    }
    if (wanted("launch_throughput")) {
        start_case(5);
        for (int round = 0; round < 5; round++) {
            uint64_t from = now_ns();

            for (int i = 0; i < reps.launches; i++)
                launch();
            CHECK(cuStreamSynchronize(stream));
            sample(from, 1e3 * reps.launches);
        }
        finish_case("launch_throughput", "many launches, then synchronise; per launch", "us", 0);
    }
    if (wanted("launch_sync")) {
        start_case((size_t)reps.calls);
        for (int i = 0; i < reps.calls; i++) {
            uint64_t from = now_ns();

            launch();
            CHECK(cuStreamSynchronize(stream));
            sample(from, 1e3);
        }
        finish_case("launch_sync", "launch + synchronise", "us", 0);
    }
}

static void events(void)
{
    CUevent event;

    CHECK(cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
    start_case((size_t)reps.calls);
    for (int i = -reps.calls / 10; i < reps.calls; i++) {
        uint64_t from = now_ns();

        CHECK(cuEventRecord(event, stream));
        CHECK(cuEventSynchronize(event));
        if (i >= 0)
            sample(from, 1e3);
    }
    finish_case("event_sync", "event record + synchronise", "us", 0);
    CHECK(cuEventDestroy(event));
}

static void memory_calls(void)
{
    if (wanted("mem_get_info")) {
        start_case((size_t)reps.calls);
        for (int i = -reps.calls / 10; i < reps.calls; i++) {
            size_t free_bytes, total;
            uint64_t from = now_ns();

            CHECK(cuMemGetInfo(&free_bytes, &total));
            if (i >= 0)
                sample(from, 1e3);
        }
        finish_case("mem_get_info", "cuMemGetInfo", "us", 0);
    }
    if (wanted("alloc_free")) {
        start_case((size_t)reps.calls);
        for (int i = -reps.calls / 10; i < reps.calls; i++) {
            CUdeviceptr ptr;
            uint64_t from = now_ns();

            CHECK(cuMemAlloc(&ptr, MIB));
            CHECK(cuMemFree(ptr));
            if (i >= 0)
                sample(from, 1e3);
        }
        finish_case("alloc_free", "cuMemAlloc + cuMemFree, 1 MiB", "us", 0);
    }
}

static void mark(uint8_t *to, size_t bytes, uint8_t salt)
{
    for (size_t i = 0; i < bytes; i++)
        to[i] = (uint8_t)((i >> 12) * 31 + i + salt);
}

/* One size and one kind of host memory, both ways. */
static void copy(size_t bytes, bool pinned, int repetitions, const char *id_to, const char *name_to,
                 const char *id_from, const char *name_from)
{
    const char *unit = bytes >= MIB ? "ms" : "us";
    double scale = bytes >= MIB ? 1e6 : 1e3;
    int warm = repetitions / 10 + 2;
    uint8_t *out, *back;
    CUdeviceptr ptr = 0;
    CUresult result;

    if (!wanted(id_to) && !wanted(id_from))
        return;
    result = cuMemAlloc(&ptr, bytes);
    if (result == CUDA_ERROR_OUT_OF_MEMORY) {
        skip_case(id_to, name_to, unit, result);
        skip_case(id_from, name_from, unit, result);
        return;
    }
    CHECK(result);
    if (pinned) {
        CHECK(cuMemAllocHost((void **)&out, bytes));
        CHECK(cuMemAllocHost((void **)&back, bytes));
    } else {
        out = host_alloc(bytes);
        back = host_alloc(bytes);
    }
    mark(out, bytes, 1);
    memset(back, 0, bytes);
    start_case((size_t)repetitions);
    for (int i = -warm; i < repetitions; i++) {
        uint64_t from = now_ns();

        CHECK(cuMemcpyHtoD(ptr, out, bytes));
        /* A small pageable copy may return before it is done, as its bytes are taken along. */
        if (i >= 0)
            sample(from, scale);
    }
    finish_case(id_to, name_to, unit, bytes);
    start_case((size_t)repetitions);
    for (int i = -warm; i < repetitions; i++) {
        uint64_t from = now_ns();

        CHECK(cuMemcpyDtoH(back, ptr, bytes));
        if (i >= 0)
            sample(from, scale);
    }
    finish_case(id_from, name_from, unit, bytes);
    if (memcmp(out, back, bytes) != 0)
        fail("%zu bytes came back changed", bytes);
    CHECK(cuMemFree(ptr));
    if (pinned) {
        CHECK(cuMemFreeHost(out));
        CHECK(cuMemFreeHost(back));
    } else {
        free(out);
        free(back);
    }
}

static void print_table(FILE *to)
{
    fprintf(to, "%-48s %6s %12s %12s %12s %8s %10s\n", "case", "unit", "median", "p99", "least",
            "n", "GB/s");
    for (size_t i = 0; i < result_count; i++) {
        const struct result *r = &results[i];
        double seconds = r->median / (strcmp(r->unit, "ms") == 0 ? 1e3 : 1e6);

        if (r->skipped) {
            fprintf(to, "%-48s %6s skipped: %s\n", r->name, r->unit, r->skipped);
            continue;
        }
        fprintf(to, "%-48s %6s %12.3f %12.3f %12.3f %8zu", r->name, r->unit, r->median, r->p99,
                r->least, r->count);
        if (r->bytes >= MIB)
            fprintf(to, " %10.2f", (double)r->bytes / seconds / 1e9);
        fputc('\n', to);
    }
}

/* Names are literals of this file; the device's is the driver's, so it is escaped. */
static void print_json(FILE *to)
{
    char device[256] = "";
    int version = 0;

    CHECK(cuDeviceGetName(device, sizeof(device), program.dev));
    CHECK(cuDriverGetVersion(&version));
    fprintf(to, "{\"bench\": \"api\", \"device\": \"");
    for (const char *c = device; *c; c++)
        if ((unsigned char)*c >= ' ')
            fprintf(to, "%s%c", *c == '"' || *c == '\\' ? "\\" : "", *c);
    fprintf(to, "\", \"cuda_driver\": %d, \"results\": [", version);
    for (size_t i = 0; i < result_count; i++) {
        const struct result *r = &results[i];

        fprintf(to, "%s\n  {\"id\": \"%s\", \"name\": \"%s\", \"unit\": \"%s\", ", i ? "," : "",
                r->id, r->name, r->unit);
        if (r->skipped)
            fprintf(to, "\"skipped\": \"%s\"}", r->skipped);
        else
            fprintf(to,
                    "\"median\": %.4f, \"p99\": %.4f, \"least\": %.4f, \"n\": %zu, \"bytes\": %zu}",
                    r->median, r->p99, r->least, r->count, r->bytes);
    }
    fprintf(to, "\n]}\n");
}

__attribute__((noreturn)) static void usage(FILE *to, int status)
{
    fprintf(to, "usage: api_bench [--quick] [--only ID,ID...] [--json FILE] [--device N]\n"
                "                 [--launches N] [--calls N] [--copies N] [--starts N]\n"
                "  --quick     few repetitions, for a device that is slow\n"
                "  --json FILE also writes JSON there; - writes it to standard output instead\n"
                "              of the table\n"
                "  --launches  launches per synchronisation of launch_throughput (100000)\n"
                "  --calls     repetitions of each case that takes microseconds (2000)\n"
                "  --copies    repetitions of each case that takes milliseconds (20)\n"
                "  --starts    processes started for process_start (5)\n");
    exit(status);
}

static int positive(const char *text)
{
    char *end;
    long value = strtol(text, &end, 0);

    if (*end || end == text || value < 1 || value > 100000000)
        usage(stderr, 2);
    return (int)value;
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {
        {"quick", no_argument, NULL, 'q'},          {"only", required_argument, NULL, 'o'},
        {"json", required_argument, NULL, 'j'},     {"device", required_argument, NULL, 'd'},
        {"launches", required_argument, NULL, 'l'}, {"calls", required_argument, NULL, 'c'},
        {"copies", required_argument, NULL, 'p'},   {"starts", required_argument, NULL, 's'},
        {"help", no_argument, NULL, 'h'},           {NULL, 0, NULL, 0},
    };
    const char *json = NULL;
    int c;

    program.name = "api_bench";
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (c) {
        case 'q':
            reps.launches = 2000;
            reps.calls = 200;
            reps.copies = 3;
            reps.starts = 2;
            break;
        case 'o':
            only = optarg;
            break;
        case 'j':
            json = optarg;
            break;
        case 'd':
            program.ordinal = (int)strtol(optarg, NULL, 0);
            break;
        case 'l':
            reps.launches = positive(optarg);
            break;
        case 'c':
            reps.calls = positive(optarg);
            break;
        case 'p':
            reps.copies = positive(optarg);
            break;
        case 's':
            reps.starts = positive(optarg);
            break;
        case 'h':
            usage(stdout, 0);
        default:
            usage(stderr, 2);
        }
    }
    if (optind != argc)
        usage(stderr, 2);

    if (wanted("process_start"))
        process_start();
    open_device();
    CHECK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    if (wanted("launch_async") || wanted("launch_throughput") || wanted("launch_sync"))
        launches();
    if (wanted("event_sync"))
        events();
    memory_calls();
    copy(4, false, reps.calls, "copy_4B_to", "copy 4 B to device", "copy_4B_from",
         "copy 4 B from device");
    copy(16 * MIB, false, reps.copies, "copy_16M_to", "copy 16 MiB pageable to device",
         "copy_16M_from", "copy 16 MiB pageable from device");
    copy(256 * MIB, false, reps.copies, "copy_256M_to", "copy 256 MiB pageable to device",
         "copy_256M_from", "copy 256 MiB pageable from device");
    copy(256 * MIB, true, reps.copies, "copy_256M_pinned_to", "copy 256 MiB pinned to device",
         "copy_256M_pinned_from", "copy 256 MiB pinned from device");

    if (result_count == 0)
        fail("no such case: %s", only);
    if (!json || strcmp(json, "-") != 0)
        print_table(stdout);
    if (json) {
        FILE *to = strcmp(json, "-") == 0 ? stdout : fopen(json, "w");

        if (!to)
            fail("cannot write %s: %s", json, strerror(errno));
        print_json(to);
        if (to != stdout && fclose(to) != 0)
            fail("cannot write %s: %s", json, strerror(errno));
    }
    free(samples);
    return fflush(stdout) == 0 ? 0 : 1;
}
