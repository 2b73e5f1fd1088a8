/* SPDX-License-Identifier: Apache-2.0 */
/*
 * program.h - the frame every test program shares: options, device and context, timing, the report
 *
 * A program is a set of callbacks. setup() prepares inputs and the expected result once; job() is
 * the unit that is repeated and timed; check() compares what the last job left behind with the
 * expectation. Any CUDA error or wrong byte ends the process with status 1 and one line saying what
 * differed.
 *
 * Output: "NAME: ok (details)", and with --seconds also
 * "NAME jobs=N p50_us=.. p95_us=.. p99_us=.."; with --json one JSON object instead of both.
 */
#ifndef VGPU_TESTS_PROGRAM_H
#define VGPU_TESTS_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/cuda_abi.h"

struct program {
    const char *name;
    const char *usage;   /* what --size counts and which modes there are; for --help */
    const char *ptx;     /* NUL-terminated PTX, loaded before setup(); NULL: none */
    size_t default_size; /* 0: --size is refused */
    bool own_context;    /* main() leaves device and context to the program, before cuInit */
    void (*setup)(void); /* may be NULL, as may check and teardown */
    void (*job)(void);
    void (*check)(void);
    void (*teardown)(void);
};

/* Options and objects common to all; filled before setup(). Without a context of ours: dev, ctx,
 * mod unset. */
struct program_state {
    const char *name;
    size_t size;
    double seconds;   /* 0: one job */
    const char *mode; /* --mode, or NULL */
    int ordinal;
    bool json;
    CUdevice dev;
    CUcontext ctx; /* the device's primary context, current on the main thread */
    CUmodule mod;
};
extern struct program_state program;

/* Runs everything; returns the exit status of main(). */
int program_main(const struct program *p, int argc, char **argv);

/* Ends the process with "NAME: message" on stderr and status 1. */
__attribute__((noreturn, format(printf, 1, 2))) void fail(const char *format, ...);
/* Adds to the details of the "ok" line. */
__attribute__((format(printf, 1, 2))) void details(const char *format, ...);

/* Ends the process when call did not return CUDA_SUCCESS. */
#define CHECK(call) check_result((call), #call, __FILE__, __LINE__)
/* Ends the process when call returned anything but expected. */
#define EXPECT(expected, call) expect_result((expected), (call), #call, __FILE__, __LINE__)
/* Ends the process when a condition that the CUDA API promises does not hold. */
#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fail("%s:%d: not so: %s", __FILE__, __LINE__, #condition);                             \
    } while (0)

void check_result(CUresult result, const char *call, const char *file, int line);
void expect_result(CUresult expected, CUresult result, const char *call, const char *file,
                   int line);
const char *result_name(CUresult result);

CUfunction kernel(const char *name); /* of program.mod */
/* Launches over at least `threads` threads in CTAs of `block`. */
void launch_1d(CUfunction fn, CUstream stream, size_t threads, unsigned int block, void **params);
#define PARAMS(...) ((void *[]){__VA_ARGS__})

CUdeviceptr device_alloc(size_t bytes);
CUdeviceptr device_copy_of(const void *host, size_t bytes);
void *host_alloc(size_t bytes); /* malloc that ends the process instead of returning NULL */

uint64_t now_ns(void); /* monotonic */
/* A reproducible sequence: same seed, same numbers, on every machine. */
uint32_t random_u32(uint64_t *state);
float random_float(uint64_t *state, float low, float high);

/* Value at quantile q (0 to 1) of samples, which get sorted. */
double quantile(double *samples, size_t count, double q);

#endif
