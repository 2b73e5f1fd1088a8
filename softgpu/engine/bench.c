/* SPDX-License-Identifier: Apache-2.0 */
/* Prints the engine's speed on one core, in million thread-instructions per second. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine.h"

#define HEAD ".version 7.0\n.target sm_70\n.address_size 64\n"
#define ENTRY                                                                                      \
    ".visible .entry k(.param .u64 buf, .param .u32 n) {\n"                                        \
    ".reg .b32 %r<20>; .reg .b64 %rd<10>; .reg .f32 %f<10>; .reg .pred %p<5>;\n"                   \
    "ld.param.u64 %rd1, [buf]; ld.param.u32 %r1, [n]; mov.u32 %r2, %tid.x; mov.u32 %r3, 0;\n"      \
    "mul.wide.u32 %rd2, %r2, 4; add.s64 %rd3, %rd1, %rd2; mov.u32 %r4, %r2; mov.f32 %f1, "         \
    "0f3F800000;\n"
#define TAIL                                                                                       \
    "add.u32 %r3, %r3, 1; setp.lt.u32 %p1, %r3, %r1; @%p1 bra L;\n"                                \
    "st.global.u32 [%rd3], %r4; ret; }\n"

static const struct {
    const char *name, *ptx;
} kernels[] = {
    {"integer", HEAD ENTRY "L: mad.lo.s32 %r4, %r4, 1664525, 1013904223; shr.u32 %r5, %r4, 13; "
                           "xor.b32 %r4, %r4, %r5; add.s32 %r4, %r4, %r2; shl.b32 %r6, %r4, 3; "
                           "and.b32 %r6, %r6, 255; sub.s32 %r4, %r4, %r6;\n" TAIL},
    {"float", HEAD ENTRY "L: fma.rn.f32 %f1, %f1, 0f3F7FFF00, 0f3A83126F; mul.f32 %f2, %f1, %f1; "
                         "add.f32 %f1, %f2, 0f3DCCCCCD; sub.f32 %f3, %f1, %f2; "
                         "fma.rn.f32 %f1, %f3, %f1, %f2; min.f32 %f1, %f1, 0f3F800000;\n"
                         "cvt.rzi.s32.f32 %r4, %f1;\n" TAIL},
    {"memory", HEAD ENTRY "L: ld.global.u32 %r5, [%rd3]; add.s32 %r5, %r5, 1; "
                          "st.global.u32 [%rd3], %r5; ld.global.u32 %r6, [%rd1]; "
                          "add.s32 %r4, %r5, %r6;\n" TAIL},
    {"divergent",
     HEAD ENTRY "L: and.b32 %r5, %r2, 1; setp.eq.s32 %p2, %r5, 0; @%p2 bra E; "
                "mul.lo.s32 %r4, %r4, 7; add.s32 %r4, %r4, 3; bra J; "
                "E: xor.b32 %r4, %r4, 85; add.s32 %r4, %r4, 9; J: add.s32 %r4, %r4, 1;\n" TAIL},
    {"atomic", HEAD ENTRY "L: atom.global.add.u32 %r4, [%rd3], 1; add.s32 %r5, %r4, %r4;\n" TAIL},
};

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(void)
{
    for (size_t k = 0; k < sizeof(kernels) / sizeof(kernels[0]); k++) {
        char text[256];
        struct sg_log log = {text, sizeof(text), 0};
        struct sg_memmap *map = sg_memmap_new();
        struct sg_runner *runner = sg_runner_new(0);
        struct sg_module *mod;
        atomic_ullong count = 0;
        uint32_t *buf = calloc(1, 4096);
        struct {
            uint32_t *buf;
            uint32_t n;
        } params = {buf, 100000};
        struct sg_fault fault;
        double start;

        if (!map || !runner || !buf || sg_memmap_add(map, (uint64_t)(uintptr_t)buf, 4096, true)) {
            fprintf(stderr, "engine-bench: out of memory\n");
            return 1;
        }
        if (sg_module_load(map, kernels[k].ptx, strlen(kernels[k].ptx), NULL, &log, &mod)) {
            fprintf(stderr, "engine-bench: %s: %s", kernels[k].name, text);
            return 1;
        }
        struct sg_launch l = {.fn = sg_module_function(mod, "k"),
                              .map = map,
                              .grid = {1, 1, 1},
                              .block = {256, 1, 1},
                              .params = &params,
                              .sm_count = 1,
                              .instructions = &count};

        start = seconds();
        if (sg_run_cta(runner, &l, (uint32_t[3]){0, 0, 0}, &fault)) {
            fprintf(stderr, "engine-bench: %s: %s\n", kernels[k].name,
                    sg_status_text(fault.status));
            return 1;
        }
        printf("%-10s %8.0f M thread-instr/s\n", kernels[k].name,
               (double)count / (seconds() - start) / 1e6);
        sg_module_free(mod);
        sg_runner_free(runner);
        sg_memmap_free(map);
        free(buf);
    }
    return 0;
}
