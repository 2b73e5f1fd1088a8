/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load - one tenant's load for the scheduling benchmark
 *
 * A job is --launches kernels of --rounds rounds each, one after the other, and optionally a copy
 * of
 * --copy-bytes to the device and back, and one synchronisation. Jobs follow each other at once, or
 * start every --period-us; a job that starts late because the one before took too long counts from
 * when it should have started, so that waiting is not left out of the latencies.
 *
 * With --wait it prints "ready" and starts at the first line on its standard input. Prints one JSON
 * object: jobs, work (rounds executed, which is GPU time in units of its own), seconds, latency_us,
 * and work_per_slot, the work done in each --slot-ms of the run.
 *
 * --calibrate US prints how many rounds take the GPU about US microseconds.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/programs/cuda_loader.h"
#include "tests/programs/program.h"

extern const char load_ptx[];

#define THREADS 64u
#define BLOCKS 4u
#define SLOTS_MAX 100000
#define SAMPLES_MAX 4000000

static struct {
    size_t rounds, launches, copy_bytes, slot_ms;
    double period_us, seconds, calibrate_us;
    bool wait;
} options = {.rounds = 1000, .launches = 1, .slot_ms = 100, .seconds = 1};

static CUdeviceptr device_out, device_copy;
static void *host_copy;
static CUfunction spin;
static CUstream stream;

static void launch(uint32_t rounds)
{
    uint32_t seed = 1;

    CHECK(cuLaunchKernel(spin, BLOCKS, 1, 1, THREADS, 1, 1, 0, stream,
                         PARAMS(&device_out, &seed, &rounds), NULL));
}

static void job(void)
{
    for (size_t i = 0; i < options.launches; i++)
        launch((uint32_t)options.rounds);
    if (options.copy_bytes) {
        CHECK(cuMemcpyHtoDAsync(device_copy, host_copy, options.copy_bytes, stream));
        CHECK(cuMemcpyDtoHAsync(host_copy, device_copy, options.copy_bytes, stream));
    }
    CHECK(cuStreamSynchronize(stream));
}

static double time_of(uint32_t rounds)
{
    double best = 1e18;

    for (int i = 0; i < 20; i++) {
        uint64_t start = now_ns();

        launch(rounds);
        CHECK(cuStreamSynchronize(stream));
        if ((double)(now_ns() - start) < best)
            best = (double)(now_ns() - start);
    }
    return best;
}

static void calibrate(void)
{
    uint32_t rounds = 1000;
    double empty = time_of(1), one;

    while ((one = time_of(rounds) - empty) < 200e3 && rounds < 1u << 30)
        rounds *= 2;
    printf("%.0f\n", options.calibrate_us * 1e3 / one * rounds + 1);
}

static void sleep_until(uint64_t at)
{
    struct timespec t = {(time_t)(at / 1000000000u), (long)(at % 1000000000u)};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        ;
}

static void run(void)
{
    static double samples[SAMPLES_MAX], slots[SLOTS_MAX];
    double per_job = (double)options.launches * (double)options.rounds, most = 0;
    uint64_t start = now_ns(), end = start + (uint64_t)(options.seconds * 1e9), due = start, now;
    size_t count = 0, used = (size_t)(options.seconds * 1e3) / options.slot_ms + 1;

    while ((now = now_ns()) < end) {
        uint64_t from = now, slot;

        if (options.period_us > 0) {
            if (due > now)
                sleep_until(due);
            from = due;
            due += (uint64_t)(options.period_us * 1e3);
        }
        job();
        now = now_ns();
        if (count < SAMPLES_MAX)
            samples[count++] = (double)(now - from) / 1e3;
        slot = (now - start) / 1000000u / options.slot_ms;
        if (slot < used && slot < SLOTS_MAX)
            slots[slot] += per_job;
    }
    now = now_ns();
    for (size_t i = 0; i < count; i++)
        most = samples[i] > most ? samples[i] : most;
    printf("{\"jobs\": %zu, \"work\": %.0f, \"seconds\": %.6f, \"latency_us\": {", count,
           per_job * (double)count, (double)(now - start) / 1e9);
    if (count)
        printf("\"p50\": %.1f, \"p95\": %.1f, \"p99\": %.1f, \"max\": %.1f",
               quantile(samples, count, 0.5), quantile(samples, count, 0.95),
               quantile(samples, count, 0.99), most);
    printf("}, \"slot_ms\": %zu, \"work_per_slot\": [", options.slot_ms);
    for (size_t i = 0; i < used && i < SLOTS_MAX; i++)
        printf("%s%.0f", i ? ", " : "", slots[i]);
    printf("]}\n");
}

static void parse(int argc, char **argv)
{
    static const struct option known[] = {{"rounds", required_argument, NULL, 'r'},
                                          {"launches", required_argument, NULL, 'l'},
                                          {"copy-bytes", required_argument, NULL, 'c'},
                                          {"period-us", required_argument, NULL, 'p'},
                                          {"seconds", required_argument, NULL, 's'},
                                          {"slot-ms", required_argument, NULL, 't'},
                                          {"calibrate", required_argument, NULL, 'k'},
                                          {"wait", no_argument, NULL, 'w'},
                                          {NULL, 0, NULL, 0}};
    int option;

    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case 'r':
            options.rounds = strtoul(optarg, NULL, 10);
            break;
        case 'l':
            options.launches = strtoul(optarg, NULL, 10);
            break;
        case 'c':
            options.copy_bytes = strtoul(optarg, NULL, 10);
            break;
        case 'p':
            options.period_us = strtod(optarg, NULL);
            break;
        case 's':
            options.seconds = strtod(optarg, NULL);
            break;
        case 't':
            options.slot_ms = strtoul(optarg, NULL, 10);
            break;
        case 'k':
            options.calibrate_us = strtod(optarg, NULL);
            break;
        case 'w':
            options.wait = true;
            break;
        default:
            exit(2);
        }
    }
    if (!options.slot_ms || options.rounds > UINT32_MAX)
        fail("--slot-ms must not be 0, and --rounds must fit in 32 bits");
}

int main(int argc, char **argv)
{
    CUdevice device;
    CUcontext context;
    CUmodule module;
    char line[16];

    program.name = "load";
    parse(argc, argv);
    cuda_load();
    CHECK(cuInit(0));
    CHECK(cuDeviceGet(&device, 0));
    CHECK(cuDevicePrimaryCtxRetain(&context, device));
    CHECK(cuCtxSetCurrent(context));
    CHECK(cuModuleLoadData(&module, load_ptx));
    CHECK(cuModuleGetFunction(&spin, module, "spin"));
    CHECK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    CHECK(cuMemAlloc(&device_out, BLOCKS * THREADS * sizeof(uint32_t)));
    if (options.copy_bytes) {
        CHECK(cuMemAlloc(&device_copy, options.copy_bytes));
        CHECK(cuMemAllocHost(&host_copy, options.copy_bytes));
    }
    launch(1); /* whatever happens only the first time */
    CHECK(cuStreamSynchronize(stream));
    if (options.wait) {
        puts("ready");
        fflush(stdout);
        if (!fgets(line, sizeof(line), stdin))
            return 1;
    }
    if (options.calibrate_us > 0)
        calibrate();
    else
        run();
    fflush(stdout);
    CHECK(cuDevicePrimaryCtxRelease(device));
    return 0;
}
