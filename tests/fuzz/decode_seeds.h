/* SPDX-License-Identifier: Apache-2.0 */
/* decode_seeds.h - what decode_fuzz and the maker of its first inputs agree on */
#ifndef TESTS_FUZZ_DECODE_SEEDS_H
#define TESTS_FUZZ_DECODE_SEEDS_H

/* Stands at the start of the arena's heap. */
#define FUZZ_PTX                                                                                   \
    ".version 7.0\n.target sm_70\n.address_size 64\n"                                              \
    ".visible .global .align 4 .b8 table[64];\n"                                                   \
    ".visible .entry fill(.param .u64 to, .param .u32 value, .param .u32 count)\n{\n"              \
    ".reg .pred %p1; .reg .b32 %r<6>; .reg .b64 %rd<4>;\n"                                         \
    "ld.param.u64 %rd1, [to]; ld.param.u32 %r1, [value]; ld.param.u32 %r2, [count];\n"             \
    "mov.u32 %r3, %ctaid.x; mov.u32 %r4, %ntid.x; mov.u32 %r5, %tid.x;\n"                          \
    "mad.lo.s32 %r5, %r3, %r4, %r5; setp.ge.u32 %p1, %r5, %r2;\n"                                  \
    "mul.wide.u32 %rd2, %r5, 4; add.s64 %rd3, %rd1, %rd2;\n"                                       \
    "@!%p1 st.global.u32 [%rd3], %r1; ret;\n}\n"                                                   \
    ".visible .entry nothing()\n{\nret;\n}\n"

#endif
