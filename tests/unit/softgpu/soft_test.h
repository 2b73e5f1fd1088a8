/* SPDX-License-Identifier: Apache-2.0 */
/*
 * soft_test.h - what the tests of the software GPU's driver share
 *
 * A faulted or differently configured driver cannot be put right within its process, so tests that
 * need one run in a child: in_child() forks before the parent has touched the driver.
 */
#ifndef VGPU_SOFT_TEST_H
#define VGPU_SOFT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "protocol/cuda_abi.h"

#define MIB (1ull << 20)

#define expect(want, call)                                                                         \
    do {                                                                                           \
        CUresult got_ = (call);                                                                    \
        if (got_ != (want)) {                                                                      \
            fprintf(stderr, "%s:%d: %s gave %d, not %d\n", __FILE__, __LINE__, #call, (int)got_,   \
                    (int)(want));                                                                  \
            assert_int_equal(got_, want);                                                          \
        }                                                                                          \
    } while (0)
#define ok(call) expect(CUDA_SUCCESS, call)

/* Kernels the tests launch; each does one thing. */
static const char soft_kernels[] =
    ".version 7.0\n"
    ".target sm_70\n"
    ".address_size 64\n"
    ".visible .global .align 4 .u32 counter = 7;\n"
    ".visible .const .align 4 .u32 factor = 3;\n"
    ".extern .shared .align 4 .b8 dynamic[];\n"
    ".extern .func (.param .b32 r) vprintf (.param .b64 f, .param .b64 a);\n"
    ".global .align 1 .b8 text[4] = {104, 105, 10, 0};\n"
    ".visible .entry nop() { ret; }\n"
    /* p[i] = value for i < n */
    ".visible .entry fill(.param .u64 p, .param .u32 value, .param .u32 n) {\n"
    ".reg .b64 %a<3>; .reg .b32 %r<6>; .reg .pred %q;\n"
    "ld.param.u64 %a0, [p]; ld.param.u32 %r0, [value]; ld.param.u32 %r1, [n];\n"
    "mov.u32 %r2, %ctaid.x; mov.u32 %r3, %ntid.x; mov.u32 %r4, %tid.x;\n"
    "mad.lo.u32 %r5, %r2, %r3, %r4; setp.ge.u32 %q, %r5, %r1; @%q ret;\n"
    "mul.wide.u32 %a1, %r5, 4; add.u64 %a2, %a0, %a1; st.global.u32 [%a2], %r0; ret; }\n"
    /* p[0] = p[0] * 10 + digit: the order of launches can be read from the result */
    ".visible .entry digit(.param .u64 p, .param .u32 d) {\n"
    ".reg .b64 %a; .reg .b32 %r<3>;\n"
    "ld.param.u64 %a, [p]; ld.param.u32 %r0, [d]; ld.volatile.global.u32 %r1, [%a];\n"
    "mad.lo.u32 %r2, %r1, 10, %r0; st.volatile.global.u32 [%a], %r2; ret; }\n"
    /* Runs until the word at p is not zero. */
    ".visible .entry wait(.param .u64 p) {\n"
    ".reg .b64 %a; .reg .b32 %r; .reg .pred %q;\n"
    "ld.param.u64 %a, [p];\n"
    "again: ld.volatile.global.u32 %r, [%a]; setp.eq.u32 %q, %r, 0; @%q bra again; ret; }\n"
    ".visible .entry forever() { again: bra again; }\n"
    ".visible .entry poke(.param .u64 p) {\n"
    ".reg .b64 %a; .reg .b32 %r; ld.param.u64 %a, [p]; mov.u32 %r, 1;\n"
    "st.global.u32 [%a], %r; ret; }\n"
    ".visible .entry crash() { trap; }\n"
    ".visible .entry hello() { .param .b64 f; .param .b64 a; .param .b32 r; .reg .b64 %a<3>;\n"
    "mov.u64 %a0, text; cvta.global.u64 %a1, %a0; mov.u64 %a2, 0;\n"
    "st.param.b64 [f], %a1; st.param.b64 [a], %a2; call (r), vprintf, (f, a); ret; }\n"
    /* p[0] = counter * factor */
    ".visible .entry scaled(.param .u64 p) { .reg .b64 %a; .reg .b32 %r<3>;\n"
    "ld.param.u64 %a, [p]; ld.global.u32 %r0, [counter]; ld.const.u32 %r1, [factor];\n"
    "mul.lo.u32 %r2, %r0, %r1; st.global.u32 [%a], %r2; ret; }\n"
    /* Writes the last word of n bytes of dynamic shared memory and hands it back. */
    ".visible .entry shared(.param .u64 p, .param .u32 n) {\n"
    ".reg .b64 %a; .reg .b32 %r<5>;\n"
    "ld.param.u64 %a, [p]; ld.param.u32 %r0, [n]; mov.u32 %r1, dynamic; add.u32 %r2, %r1, %r0;\n"
    "st.shared.u32 [%r2+-4], %r0; ld.shared.u32 %r3, [%r2+-4]; st.global.u32 [%a], %r3; ret; }\n"
    /* Parameters of several sizes, for their layout. */
    ".visible .entry layout(.param .u8 a, .param .u64 b, .param .u16 c, .param .align 16 .b8 "
    "d[20],\n"
    ".param .u32 e) { ret; }\n";

struct soft {
    CUcontext ctx;
    CUmodule module;
    CUstream a, b;  /* non-blocking */
    uint32_t *flag; /* pinned, zero */
};

static inline CUfunction function(const struct soft *s, const char *name)
{
    CUfunction fn;

    ok(cuModuleGetFunction(&fn, s->module, name));
    return fn;
}

static inline CUresult launch1(CUfunction fn, CUstream stream, void **params)
{
    return cuLaunchKernel(fn, 1, 1, 1, 1, 1, 1, 0, stream, params, NULL);
}

/* A kernel that keeps stream busy until *flag is not zero. */
static inline void hold(const struct soft *s, CUstream stream, uint32_t *flag)
{
    CUdeviceptr p = (CUdeviceptr)(uintptr_t)flag;

    ok(launch1(function(s, "wait"), stream, (void *[]){&p}));
}

static inline void append_digit(const struct soft *s, CUstream stream, CUdeviceptr p, uint32_t d)
{
    ok(launch1(function(s, "digit"), stream, (void *[]){&p, &d}));
}

static inline void let_go(uint32_t *flag)
{
    __atomic_store_n(flag, 1, __ATOMIC_RELEASE);
}

static inline void soft_open(struct soft *s)
{
    memset(s, 0, sizeof(*s));
    /* Kernels that wait hold a core each. */
    setenv("VGPU_SOFT_CORES", "4", 0);
    setenv("VGPU_SOFT_MEMORY_MB", "64", 0);
    ok(cuInit(0));
    ok(cuCtxCreate(&s->ctx, 0, 0));
    ok(cuModuleLoadData(&s->module, soft_kernels));
    ok(cuStreamCreate(&s->a, CU_STREAM_NON_BLOCKING));
    ok(cuStreamCreate(&s->b, CU_STREAM_NON_BLOCKING));
    ok(cuMemHostAlloc((void **)&s->flag, 4096, CU_MEMHOSTALLOC_DEVICEMAP));
}

static inline int soft_setup(void **state)
{
    static struct soft s;

    soft_open(&s);
    *state = &s;
    return 0;
}

static inline int soft_teardown(void **state)
{
    struct soft *s = *state;

    ok(cuCtxSynchronize());
    ok(cuCtxDestroy(s->ctx));
    return 0;
}

/* Runs fn in a child process with its own driver; its last act must be to return. */
static inline void in_child(void (*fn)(void))
{
    int status;
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        alarm(30);
        fn();
        fflush(NULL);
        _exit(0);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        fail_msg("child ended with status 0x%x", (unsigned)status);
}

/* In a child there is no cmocka to report to. */
#define child_check(condition)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);              \
            fflush(NULL);                                                                          \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)
#define child_expect(want, call)                                                                   \
    do {                                                                                           \
        CUresult got_ = (call);                                                                    \
        if (got_ != (want)) {                                                                      \
            fprintf(stderr, "%s:%d: %s gave %d, not %d\n", __FILE__, __LINE__, #call, (int)got_,   \
                    (int)(want));                                                                  \
            fflush(NULL);                                                                          \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

#endif
