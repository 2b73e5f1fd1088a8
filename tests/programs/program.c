/* SPDX-License-Identifier: Apache-2.0 */
#include "program.h"

#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cuda_loader.h"

struct program_state program;

static char detail_text[512];

/* Latencies kept for the quantiles; beyond this many, every n-th job is sampled. */
#define SAMPLES_MAX (1u << 16)

void fail(const char *format, ...)
{
    va_list args;

    fflush(stdout);
    fprintf(stderr, "%s: ", program.name);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

void details(const char *format, ...)
{
    size_t used = strlen(detail_text);
    va_list args;

    va_start(args, format);
    vsnprintf(detail_text + used, sizeof(detail_text) - used, format, args);
    va_end(args);
}

const char *result_name(CUresult result)
{
    const char *name = NULL;

    if (cuGetErrorName(result, &name) != CUDA_SUCCESS || !name)
        return "unknown result";
    return name;
}

void check_result(CUresult result, const char *call, const char *file, int line)
{
    const char *text = NULL;

    if (result == CUDA_SUCCESS)
        return;
    if (cuGetErrorString(result, &text) != CUDA_SUCCESS || !text)
        text = "no text";
    fail("%s:%d: %s returned %s (%d): %s", file, line, call, result_name(result), result, text);
}

void expect_result(CUresult expected, CUresult result, const char *call, const char *file, int line)
{
    if (result != expected)
        fail("%s:%d: %s returned %s (%d), expected %s (%d)", file, line, call, result_name(result),
             result, result_name(expected), expected);
}

CUfunction kernel(const char *name)
{
    CUfunction fn;

    CHECK(cuModuleGetFunction(&fn, program.mod, name));
    return fn;
}

void launch_1d(CUfunction fn, CUstream stream, size_t threads, unsigned int block, void **params)
{
    size_t ctas = (threads + block - 1) / block;

    if (ctas == 0)
        return;
    CHECK(cuLaunchKernel(fn, (unsigned int)ctas, 1, 1, block, 1, 1, 0, stream, params, NULL));
}

CUdeviceptr device_alloc(size_t bytes)
{
    CUdeviceptr ptr;

    CHECK(cuMemAlloc(&ptr, bytes));
    return ptr;
}

CUdeviceptr device_copy_of(const void *host, size_t bytes)
{
    CUdeviceptr ptr = device_alloc(bytes);

    CHECK(cuMemcpyHtoD(ptr, host, bytes));
    return ptr;
}

void *host_alloc(size_t bytes)
{
    void *ptr = malloc(bytes ? bytes : 1);

    if (!ptr)
        fail("no host memory for %zu bytes", bytes);
    return ptr;
}

uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* SplitMix64 (Steele, Lea, Flood, 2014). */
uint32_t random_u32(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ (z >> 31)) >> 32);
}

float random_float(uint64_t *state, float low, float high)
{
    return low + (high - low) * (float)(random_u32(state) >> 8) * 0x1p-24f;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

double quantile(double *samples, size_t count, double q)
{
    size_t rank;

    if (count == 0)
        return 0;
    qsort(samples, count, sizeof(*samples), by_value);
    rank = (size_t)ceil(q * (double)count);
    return samples[rank ? rank - 1 : 0];
}

__attribute__((noreturn)) static void usage(const struct program *p, FILE *to, int status)
{
    fprintf(to,
            "usage: %s [--size N] [--seconds S] [--device N] [--mode MODE] [--json]\n"
            "  %s\n"
            "  --seconds S   repeat until S seconds have passed, then report jobs and latencies\n"
            "  VGPU_LIBCUDA in the environment names the driver library to load\n",
            p->name, p->usage ? p->usage : "");
    exit(status);
}

static void parse(const struct program *p, int argc, char **argv)
{
    static const struct option longs[] = {
        {"size", required_argument, NULL, 's'},
        {"seconds", required_argument, NULL, 't'},
        {"device", required_argument, NULL, 'd'},
        {"mode", required_argument, NULL, 'm'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int c;

    program.name = p->name;
    program.size = p->default_size;
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        char *end = "";

        switch (c) {
        case 's':
            program.size = strtoull(optarg, &end, 0);
            if (p->default_size == 0 || program.size == 0)
                usage(p, stderr, 2);
            break;
        case 't':
            program.seconds = strtod(optarg, &end);
            if (!(program.seconds > 0))
                usage(p, stderr, 2);
            break;
        case 'd':
            program.ordinal = (int)strtol(optarg, &end, 0);
            break;
        case 'm':
            program.mode = optarg;
            break;
        case 'j':
            program.json = true;
            break;
        case 'h':
            usage(p, stdout, 0);
        default:
            usage(p, stderr, 2);
        }
        if (*end)
            usage(p, stderr, 2);
    }
    if (optind != argc)
        usage(p, stderr, 2);
}

/* The process ends here and the driver cleans up; what is released by hand is released to test
 * releasing. */
static void close_device(void)
{
    if (program.mod)
        CHECK(cuModuleUnload(program.mod));
    CHECK(cuDevicePrimaryCtxRelease(program.dev));
}

static void open_device(const struct program *p)
{
    CHECK(cuInit(0));
    CHECK(cuDeviceGet(&program.dev, program.ordinal));
    CHECK(cuDevicePrimaryCtxRetain(&program.ctx, program.dev));
    CHECK(cuCtxSetCurrent(program.ctx));
    if (p->ptx)
        CHECK(cuModuleLoadData(&program.mod, p->ptx));
}

static void report(size_t jobs, double elapsed, double *samples, size_t count)
{
    double p50 = quantile(samples, count, 0.50);
    double p95 = quantile(samples, count, 0.95);
    double p99 = quantile(samples, count, 0.99);

    if (program.json) {
        printf("{\"program\": \"%s\", \"ok\": true, \"details\": \"%s\", \"jobs\": %zu, "
               "\"seconds\": %.3f, \"p50_us\": %.1f, \"p95_us\": %.1f, \"p99_us\": %.1f}\n",
               program.name, detail_text, jobs, elapsed, p50, p95, p99);
        return;
    }
    printf("%s: ok (%s)\n", program.name, detail_text);
    if (program.seconds > 0)
        printf("%s jobs=%zu p50_us=%.1f p95_us=%.1f p99_us=%.1f\n", program.name, jobs, p50, p95,
               p99);
}

int program_main(const struct program *p, int argc, char **argv)
{
    size_t jobs = 0, count = 0, every = 1;
    uint64_t start, end;
    double *samples;

    parse(p, argc, argv);
    cuda_load();
    if (!p->own_context)
        open_device(p);
    samples = host_alloc(SAMPLES_MAX * sizeof(*samples));
    if (p->setup)
        p->setup();
    start = now_ns();
    do {
        uint64_t before = now_ns();

        p->job();
        end = now_ns();
        if (p->check)
            p->check();
        if (jobs++ % every == 0)
            samples[count++] = (double)(end - before) / 1e3;
        if (count == SAMPLES_MAX) {
            /* Keep every second sample and sample half as often from here on. */
            for (count = 0; count < SAMPLES_MAX / 2; count++)
                samples[count] = samples[2 * count];
            every *= 2;
        }
    } while ((double)(end - start) < program.seconds * 1e9);
    if (p->teardown)
        p->teardown();
    if (!p->own_context)
        close_device();
    report(jobs, (double)(end - start) / 1e9, samples, count);
    free(samples);
    return fflush(stdout) == 0 ? 0 : 1;
}
