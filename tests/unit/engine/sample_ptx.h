/* SPDX-License-Identifier: Apache-2.0 */
/* One module that uses most of the syntax the engine reads, for tests that damage it. */
#ifndef VGPU_TESTS_ENGINE_SAMPLE_PTX_H
#define VGPU_TESTS_ENGINE_SAMPLE_PTX_H

static const char sample_ptx[] =
    "// a comment\n.version 7.8\n.target sm_90, debug\n.address_size 64\n/* another\n one */\n"
    ".extern .func (.param .b32 r) vprintf (.param .b64 a, .param .b64 b);\n"
    ".extern .shared .align 16 .b8 dyn[];\n"
    ".global .align 8 .u32 tab[2][3] = {{1, 2}, {4, 5, 6}};\n"
    ".const .f32 consts[] = {1.5, 0f40000000, -2};\n"
    ".global .u64 pointer = generic(tab)+4;\n"
    ".visible .global .align 1 .b8 text[8] = {37, 100, 32, 37, 115, 10, 0};\n"
    ".func (.param .b32 o) twice(.param .b32 i, .param .align 8 .b8 s[12])\n{\n"
    ".reg .b32 %r<4>; .local .align 8 .b8 depot[16]; .reg .b64 %SP;\n"
    "mov.u64 %SP, depot; cvta.local.u64 %SP, %SP; ld.param.u32 %r1, [i]; st.u32 [%SP+4], %r1;\n"
    "ld.param.u32 %r2, [s+8]; ld.u32 %r3, [%SP+4]; add.s32 %r3, %r3, %r2; st.param.b32 [o+0], %r3; ret;\n}\n"
    ".func (.reg .b32 r) down(.reg .b32 n, .reg .pred q) { .reg .pred p; setp.eq.s32 p, n, 0; mov.b32 r, 1; @p ret;\n"
    "sub.s32 n, n, 1; call (n), down, (n, q); add.s32 r, n, 1; ret; }\n"
    ".global .u64 functions[2] = {twice, down};\n"
    ".visible .entry kernel(\n.param .u64 out,\n.param .align 8 .b8 blob[24],\n.param .f32 x\n)\n"
    ".maxntid 128, 1, 1\n.minnctapersm 2\n{\n"
    ".reg .pred %p<6>; .reg .b16 %h<8>; .reg .b32 %r<24>; .reg .f32 %f<8>; .reg .b64 %rd<16>; .reg .f64 %fd<6>;\n"
    ".shared .align 8 .b8 sh[1024];\n.file 1 \"a.cu\"\n.loc 1 5 3\n.pragma \"nounroll\";\n"
    "ld.param.u64 %rd1, [out]; ld.param.v2.u32 {%r1, %r2}, [blob+8]; ld.param.f32 %f1, [x];\n"
    "cvta.to.global.u64 %rd1, %rd1; mov.u32 %r3, %tid.x; mad.wide.u32 %rd2, %r3, 4, %rd1;\n"
    "mov.u64 %rd3, sh; mul.wide.u32 %rd4, %r3, 8; add.s64 %rd4, %rd3, %rd4; st.shared.v2.u32 [%rd4], {%r3, 7};\n"
    "st.shared.u32 [dyn+8], %r3; bar.sync 0; ld.shared.v2.u32 {%r4, _}, [%rd4]; membar.gl;\n"
    "setp.lt.and.u32 %p1|%p2, %r3, 17, !%p3; @%p1 bra ELSE; cvt.rn.f32.u32 %f2, %r3; fma.rn.f32 %f2, %f2, %f1, 0f3F800000;\n"
    "sqrt.approx.ftz.f32 %f3, %f2; cvt.rzi.sat.u8.f32 %h1, %f3; bra.uni JOIN;\n"
    "ELSE: add.cc.u32 %r5, %r4, -1; addc.u32 %r6, 0, 0; lop3.b32 %r7, %r5, %r6, %r3, 0xe8; prmt.b32 %r8, %r7, %r5, 0x3210;\n"
    "shf.l.wrap.b32 %r9, %r8, %r7, %r3; bfe.s32 %r10, %r9, 3, %r3;\n"
    "JOIN: shfl.sync.bfly.b32 %r11|%p4, %r4, 1, 31, -1; vote.sync.ballot.b32 %r12, %p1, 0xffffffff;\n"
    "atom.global.add.u32 %r13, [%rd1+64], 1; red.shared.max.s32 [sh+4], %r3; mov.b64 {%r14, %r15}, %rd4;\n"
    "{ .param .b32 p0; st.param.b32 [p0], %r3; .param .align 8 .b8 p1[12]; st.param.b32 [p1+8], 5; .param .b32 r0;\n"
    "call.uni (r0), twice, (p0, p1); ld.param.b32 %r16, [r0]; }\n"
    "call (%r17), down, (%r4, %p1); ld.global.u64 %rd5, [functions+8];\n"
    "proto: .callprototype (.reg .b32 _) _ (.reg .b32 _, .reg .pred _);\ncall (%r18), %rd5, (%r3, %p1), proto;\n"
    "targets: .branchtargets A, B, A;\nrem.u32 %r19, %r3, 3; brx.idx %r19, targets;\n"
    "A: cvt.f64.f32 %fd1, %f1; div.rn.f64 %fd2, %fd1, 0d4008000000000000; B: cvt.rn.f16.f32 %h2, %f1; add.f16 %h3, %h2, %h2;\n"
    "{ .reg .b64 t; cvta.global.u64 t, text; .param .b64 a; st.param.b64 [a], t; .param .b64 b; st.param.b64 [b], %rd1;\n"
    ".param .b32 r; call (r), vprintf, (a, b); }\n"
    "mov.u32 %r20, %clock; isspacep.shared %p5, %rd3; selp.b32 %r21, %r20, %r12, %p5; slct.u32.s32 %r22, %r21, %r3, %r4;\n"
    "ld.const.f32 %f4, [consts+4]; min.NaN.f32 %f5, %f4, %f1; testp.finite.f32 %p3, %f5; st.global.u32 [%rd2], %r22;\n"
    "@!%p3 exit; ret;\n}\n"
    ".section .debug_info {\n.b8 1, 2\n}\n";

#endif
