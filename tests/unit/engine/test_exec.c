/* SPDX-License-Identifier: Apache-2.0 */
/* Warps and CTAs: divergence, barriers, warp operations, atomics between CPU threads, memory,
 * faults. */
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"

#define KERNEL(body)                                                                               \
    HEAD ".visible .entry k(.param .u64 out, .param .u64 in) {\n"                                  \
         ".reg .b32 %r<40>; .reg .b64 %rd<20>; .reg .pred %p<10>; .reg .b16 %h<10>; .reg .f32 "    \
         "%f<10>; .reg .f64 %fd<10>;\n"                                                            \
         "ld.param.u64 %rd1, [out]; ld.param.u64 %rd2, [in]; mov.u32 %r1, %tid.x;\n"               \
         "mul.wide.u32 %rd3, %r1, 4; add.s64 %rd3, %rd3, %rd1;\n" body                             \
         "\nst.global.u32 [%rd3], %r2;\nret;\n}\n"

/* Runs one CTA; out[t] holds what thread t left in %r2. */
static enum sg_status run(const char *ptx, uint32_t threads, uint32_t *out, struct sg_fault *fault)
{
    struct rig r;
    struct {
        uint32_t *out;
        uint32_t *in;
    } p;
    enum sg_status s;

    rig_open(&r, ptx);
    p.out = rig_alloc(&r, 4096);
    p.in = rig_alloc(&r, 4096);
    for (uint32_t i = 0; i < 1024; i++)
        p.in[i] = i * 3;
    s = rig_run(&r, "k", 1, threads, &p);
    memcpy(out, p.out, 4096);
    if (fault)
        *fault = r.fault;
    rig_free(&r, p.out);
    rig_free(&r, p.in);
    rig_close(&r);
    return s;
}

static uint32_t out[1024];

static void nested_divergence_reconverges_before_a_barrier(void **state)
{
    /* Lanes take four paths, loop different numbers of times, some exit early. */
    static const char ptx[] = KERNEL(
        ".shared .align 4 .u32 total;\n"
        "setp.eq.u32 %p1, %r1, 0; mov.u32 %r2, 0; @%p1 st.shared.u32 [total], %r2; bar.sync 0;\n"
        "and.b32 %r3, %r1, 3; setp.eq.u32 %p1, %r3, 0; @%p1 bra A; setp.eq.u32 %p1, %r3, 1; @%p1 "
        "bra B;\n"
        "setp.eq.u32 %p1, %r3, 3; @%p1 exit; mov.u32 %r4, 100; bra J;\n"
        "A: mov.u32 %r4, 0; mov.u32 %r5, 0;\n"
        "LA: setp.ge.u32 %p2, %r5, %r1; @%p2 bra J; add.u32 %r4, %r4, 2; add.u32 %r5, %r5, 1; bra "
        "LA;\n"
        "B: mov.u32 %r4, 1000;\n"
        "LB: sub.u32 %r4, %r4, 7; setp.gt.u32 %p3, %r4, %r1; @!%p3 bra J; setp.lt.u32 %p4, %r4, "
        "500; "
        "@%p4 bra J; bra LB;\n"
        "J: activemask.b32 %r6; red.shared.add.u32 [total], %r4; bar.sync 0; ld.shared.u32 %r2, "
        "[total];\n");
    uint32_t sum = 0;

    for (uint32_t t = 0; t < 100; t++) {
        uint32_t v = 0;

        switch (t & 3) {
        case 0:
            v = 2 * t;
            break;
        case 1:
            for (v = 1000;;) {
                v -= 7;
                if (!(v > t) || v < 500)
                    break;
            }
            break;
        case 2:
            v = 100;
            break;
        default:
            continue;
        }
        sum += v;
    }
    memset(out, 0, sizeof(out));
    assert_int_equal(run(ptx, 100, out, NULL), SG_OK);
    for (uint32_t t = 0; t < 100; t++)
        assert_int_equal(out[t], (t & 3) == 3 ? 0 : sum);
}

static void if_and_else_join_again(void **state)
{
    static const char ptx[] =
        KERNEL("and.b32 %r3, %r1, 1; setp.eq.u32 %p1, %r3, 1; @%p1 bra O; mov.u32 %r4, 5; "
               "bra J; O: mov.u32 %r4, 6; J: activemask.b32 %r2;\n");

    assert_int_equal(run(ptx, 32, out, NULL), SG_OK);
    for (int t = 0; t < 32; t++)
        assert_int_equal(out[t], 0xffffffff);
}

static void lanes_of_one_warp_can_take_a_lock_in_turn(void **state)
{
    /* A spin lock whose holder must run while its neighbours spin. */
    static const char ptx[] =
        KERNEL(".shared .align 4 .u32 lock; .shared .align 4 .u32 count;\n"
               "setp.ne.u32 %p1, %r1, 0; @%p1 bra S; st.shared.u32 [lock], 0; st.shared.u32 "
               "[count], 0; S: bar.sync 0;\n"
               "T: atom.shared.cas.b32 %r3, [lock], 0, 1; setp.ne.u32 %p2, %r3, 0; @%p2 bra T;\n"
               "ld.volatile.shared.u32 %r4, [count]; add.u32 %r4, %r4, 1; st.volatile.shared.u32 "
               "[count], %r4;\n"
               "membar.cta; atom.shared.exch.b32 %r5, [lock], 0;\n"
               "bar.sync 0; ld.shared.u32 %r2, [count];\n");

    assert_int_equal(run(ptx, 64, out, NULL), SG_OK);
    for (int t = 0; t < 64; t++)
        assert_int_equal(out[t], 64);
}

static void barriers_with_counts_and_reductions_work(void **state)
{
    /* Warp 0 and 1 meet at barrier 1 (64 threads); warps 2 and 3 at barrier 2; then all reduce. */
    static const char ptx[] = KERNEL(
        ".shared .align 4 .b8 s[512];\n"
        "shl.b32 %r3, %r1, 2; mov.u32 %r4, s; add.u32 %r4, %r4, %r3; st.shared.u32 [%r4], %r1;\n"
        "setp.lt.u32 %p1, %r1, 64; @%p1 bar.sync 1, 64; @!%p1 bar.sync 2, 64;\n"
        "xor.b32 %r5, %r3, 128; mov.u32 %r6, s; add.u32 %r5, %r5, %r6; ld.shared.u32 %r7, [%r5];\n"
        "setp.lt.u32 %p2, %r1, 70; bar.red.popc.u32 %r8, 0, %p2; bar.red.and.pred %p3, 0, %p2;\n"
        "bar.red.or.pred %p4, 0, !%p2; selp.u32 %r9, 1000, 0, %p3; selp.u32 %r10, 2000, 0, %p4;\n"
        "shl.b32 %r8, %r8, 16; add.u32 %r2, %r7, %r8; add.u32 %r2, %r2, %r9; add.u32 %r2, %r2, "
        "%r10;\n");

    assert_int_equal(run(ptx, 128, out, NULL), SG_OK);
    for (uint32_t t = 0; t < 128; t++)
        assert_int_equal(out[t], (t ^ 32) + (70 << 16) + 2000);
}

static void producers_arrive_and_consumers_wait(void **state)
{
    static const char ptx[] = KERNEL(".shared .align 4 .u32 v;\n"
                                     "setp.lt.u32 %p1, %r1, 32; @!%p1 bra C; st.shared.u32 [v], "
                                     "42; membar.cta; bar.arrive 3, 64; mov.u32 %r2, 1; "
                                     "bra E; C: bar.sync 3, 64; ld.shared.u32 %r2, [v]; E:\n");

    assert_int_equal(run(ptx, 64, out, NULL), SG_OK);
    for (int t = 0; t < 64; t++)
        assert_int_equal(out[t], t < 32 ? 1 : 42);
}

static void shuffles_follow_the_isa(void **state)
{
    static const char *const modes[] = {"up", "down", "bfly", "idx"};

    for (int mode = 0; mode < 4; mode++) {
        for (int c = 0; c < 3; c++) {
            static const unsigned cs[][2] = {{0, 31}, {0x1800, 0x181f}, {0x1c00, 0x1c1f}};
            unsigned cv = cs[c][mode != 0];

            for (int b = 0; b < 32; b += 5) {
                char ptx[2048], body[512];

                snprintf(body, sizeof(body),
                         "add.u32 %%r3, %%r1, 100; shfl.sync.%s.b32 %%r2|%%p1, %%r3, %d, %u, -1; "
                         "@!%%p1 add.u32 %%r2, %%r2, 1000;\n",
                         modes[mode], b, cv);
                snprintf(ptx, sizeof(ptx), "%s%s%s",
                         HEAD
                         ".visible .entry k(.param .u64 out, .param .u64 in) { .reg .b32 %r<9>; "
                         ".reg .b64 "
                         "%rd<4>; .reg .pred %p<4>; ld.param.u64 %rd1, [out]; mov.u32 %r1, %tid.x; "
                         "mad.wide.u32 %rd3, %r1, 4, %rd1;\n",
                         body, "st.global.u32 [%rd3], %r2; ret; }\n");
                assert_int_equal(run(ptx, 32, out, NULL), SG_OK);
                for (int l = 0; l < 32; l++) {
                    int seg = (int)(cv >> 8 & 31), cl = (int)(cv & 31),
                        max = (l & seg) | (cl & ~seg);
                    int j = mode == 0   ? l - b
                            : mode == 1 ? l + b
                            : mode == 2 ? l ^ b
                                        : (l & seg) | (b & ~seg);
                    int in = mode == 0 ? j >= max : j <= max;

                    assert_int_equal(out[l], in ? 100 + j : 1100 + l);
                }
            }
        }
    }
}

static void votes_matches_and_reductions_see_the_warp(void **state)
{
    static const char ptx[] = KERNEL(
        "setp.lt.u32 %p1, %r1, 40; vote.sync.ballot.b32 %r3, %p1, -1; vote.sync.all.pred %p2, %p1, "
        "-1;\n"
        "vote.sync.any.pred %p3, %p1, -1; vote.sync.uni.pred %p4, %p1, -1;\n"
        "shr.u32 %r4, %r1, 2; match.any.sync.b32 %r5, %r4, -1; match.all.sync.b32 %r6|%p5, %r4, "
        "-1;\n"
        "redux.sync.add.u32 %r7, %r1, -1; redux.sync.max.s32 %r8, %r1, -1; redux.sync.xor.b32 %r9, "
        "%r5, -1;\n"
        "elect.sync %r10|%p6, -1;\n"
        "mov.u32 %r2, %r3; xor.b32 %r2, %r2, %r5; add.u32 %r2, %r2, %r7; add.u32 %r2, %r2, %r8; "
        "add.u32 %r2, %r2, %r9; add.u32 %r2, %r2, %r6; add.u32 %r2, %r2, %r10;\n"
        "@%p2 add.u32 %r2, %r2, 0x100; @%p3 add.u32 %r2, %r2, 0x200; @%p4 add.u32 %r2, %r2, 0x400; "
        "@%p5 add.u32 %r2, %r2, 0x800; @%p6 add.u32 %r2, %r2, 0x1000;\n");

    assert_int_equal(run(ptx, 64, out, NULL), SG_OK);
    for (uint32_t t = 0; t < 64; t++) {
        uint32_t w = t / 32, l = t % 32, ballot = w ? 0xff : 0xffffffff, any = 15u << (l & ~3u);
        uint32_t sum = w ? 32 * 47 + 16 : 16 * 31, max = w ? 63 : 31, x = 0;

        for (uint32_t k = 0; k < 32; k++)
            x ^= 15u << (k & ~3u);
        assert_int_equal(out[t], (ballot ^ any) + sum + max + x + 0 + 0 + (w ? 0 : 0x100) + 0x200 +
                                     (w ? 0 : 0x400) + (l == 0 ? 0x1000 : 0));
    }
}

static void diverged_lanes_meet_at_a_warp_synchronous_instruction(void **state)
{
    /* Both sides of a branch wait for the whole warp, once at different instructions. */
    static const char ptx[] = KERNEL("and.b32 %r3, %r1, 1; setp.eq.u32 %p1, %r3, 1; mov.u32 %r4, "
                                     "%r1; @%p1 bra O; mov.u32 %r5, 0;\n"
                                     "L: add.u32 %r5, %r5, 1; add.u32 %r4, %r4, 1; setp.lt.u32 "
                                     "%p2, %r5, 10; @%p2 bra L; bar.warp.sync -1; bra J;\n"
                                     "O: bar.warp.sync -1;\n"
                                     "J: shfl.sync.bfly.b32 %r2, %r4, 1, 31, -1;\n");

    assert_int_equal(run(ptx, 32, out, NULL), SG_OK);
    for (uint32_t t = 0; t < 32; t++)
        assert_int_equal(out[t], t & 1 ? (t ^ 1) + 10 : t ^ 1);
}

static void calls_diverge_recurse_and_return_through_registers(void **state)
{
    static const char ptx[] =
        HEAD ".func (.reg .b32 r) depth(.reg .b32 n, .reg .pred q) { .reg .pred p; .reg .b32 m; "
             ".local .align 4 .b8 a[16];\n"
             "st.local.u32 [a+4], n; setp.eq.u32 p, n, 0; mov.u32 r, 1; @p ret; sub.u32 m, n, 1;\n"
             "call (m), depth, (m, q); ld.local.u32 n, [a+4]; add.u32 r, m, n; @q add.u32 r, r, 1; "
             "ret; }\n"
             ".func (.param .align 16 .b8 o[24]) wide(.param .align 16 .b8 i[24], .param .u8 k) { "
             ".reg .b64 x<4>; .reg .b16 h;\n"
             "ld.param.u8 h, [k]; ld.param.v2.u64 {x0, x1}, [i]; ld.param.u64 x2, [i+16]; "
             "cvt.u64.u16 x3, h; add.u64 x0, x0, x3;\n"
             "st.param.v2.u64 [o], {x2, x1}; st.param.u64 [o+16], x0; ret; }\n"
             ".visible .entry k(.param .u64 out, .param .u64 in) { .reg .b32 %r<9>; .reg .b64 "
             "%rd<9>; .reg .pred %p<4>;\n"
             "ld.param.u64 %rd1, [out]; mov.u32 %r1, %tid.x; mad.wide.u32 %rd3, %r1, 4, %rd1; "
             "and.b32 %r3, %r1, 7;\n"
             "setp.lt.u32 %p1, %r1, 16; setp.ne.u32 %p2, %r3, 5; mov.u32 %r2, 77; @%p2 call (%r2), "
             "depth, (%r3, %p1);\n"
             "{ .param .align 16 .b8 a[24]; .param .u8 b; .param .align 16 .b8 c[24];\n"
             "cvt.u64.u32 %rd4, %r2; st.param.u64 [a], %rd4; st.param.u64 [a+8], 3; st.param.u64 "
             "[a+16], 4; st.param.u8 [b], 9;\n"
             "call (c), wide, (a, b); ld.param.u64 %rd4, [c+16]; ld.param.u64 %rd5, [c]; "
             "ld.param.u64 %rd6, [c+8]; }\n"
             "add.u64 %rd4, %rd4, %rd5; add.u64 %rd4, %rd4, %rd6; cvt.u32.u64 %r2, %rd4; "
             "st.global.u32 [%rd3], %r2; ret; }\n";

    assert_int_equal(run(ptx, 32, out, NULL), SG_OK);
    for (uint32_t t = 0; t < 32; t++) {
        uint32_t n = t & 7, v = n == 5 ? 77 : 1 + n * (n + 1) / 2 + (t < 16 ? n : 0);

        assert_int_equal(out[t], v + 9 + 4 + 3);
    }
}

static void a_table_of_branches_sends_each_lane_its_way(void **state)
{
    static const char ptx[] =
        KERNEL("ts: .branchtargets A, B, C, A;\nand.b32 %r3, %r1, 3; brx.idx %r3, ts;\n"
               "A: mov.u32 %r2, 10; bra J; B: mov.u32 %r2, 20; bra J; C: mov.u32 %r2, 30; J:\n");
    static const uint32_t want[] = {10, 20, 30, 10};

    assert_int_equal(run(ptx, 32, out, NULL), SG_OK);
    for (int t = 0; t < 32; t++)
        assert_int_equal(out[t], want[t & 3]);
}

static void generic_addresses_reach_every_space(void **state)
{
    static const char ptx[] = KERNEL(".shared .align 8 .b8 s[1024]; .local .align 8 .b8 l[16];\n"
                                     "mov.u64 %rd4, s; mul.wide.u32 %rd5, %r1, 8; add.u64 %rd4, "
                                     "%rd4, %rd5; cvta.shared.u64 %rd6, %rd4;\n"
                                     "mov.u64 %rd7, l; cvta.local.u64 %rd8, %rd7; and.b32 %r3, "
                                     "%r1, 1; setp.eq.u32 %p1, %r3, 1;\n"
                                     "selp.b64 %rd9, %rd6, %rd8, %p1; add.u32 %r4, %r1, 7; st.u32 "
                                     "[%rd9], %r4; st.u8 [%rd9+4], %r4;\n"
                                     "ld.u32 %r5, [%rd9]; ld.s8 %r6, [%rd9+4]; isspacep.shared "
                                     "%p2, %rd9; isspacep.local %p3, %rd9;\n"
                                     "isspacep.global %p4, %rd2; add.u32 %r2, %r5, %r6; @%p2 "
                                     "add.u32 %r2, %r2, 1000; @%p3 add.u32 %r2, %r2, 2000;\n"
                                     "@%p4 add.u32 %r2, %r2, 4000; cvta.to.shared.u64 %rd10, %rd9; "
                                     "@%p1 ld.shared.u32 %r7, [%rd10]; "
                                     "@!%p1 mov.u32 %r7, %r4; add.u32 %r2, %r2, %r7;\n");

    assert_int_equal(run(ptx, 64, out, NULL), SG_OK);
    for (uint32_t t = 0; t < 64; t++)
        assert_int_equal(out[t], (t + 7) * 3 + (t & 1 ? 1000 : 2000) + 4000);
}

static void vectors_and_narrow_types_are_loaded_and_stored(void **state)
{
    static const char ptx[] = KERNEL(
        ".shared .align 16 .b8 s[2048];\n"
        "mov.u32 %r20, s; shl.b32 %r21, %r1, 4; add.u32 %r20, %r20, %r21;\n"
        "st.shared.v4.u32 [%r20], {%r1, 2, 3, %r20}; ld.shared.v2.u64 {%rd4, %rd5}, [%r20];\n"
        "ld.shared.v4.u8 {%h1, %h2, %h3, %h4}, [%r20]; ld.shared.v2.s16 {%r5, _}, [%r20];\n"
        "mov.b64 {%r6, %r7}, %rd4; cvt.u32.u16 %r8, %h1; add.u32 %r2, %r6, %r7; add.u32 %r2, %r2, "
        "%r8; add.u32 %r2, %r2, %r5;\n"
        "ld.global.nc.L1::no_allocate.v2.u32 {%r9, %r10}, [%rd2+8]; add.u32 %r2, %r2, %r9; add.u32 "
        "%r2, %r2, %r10;\n"
        "st.shared.s8 [%r20+3], -1; ld.shared.s8 %r11, [%r20+3]; add.u32 %r2, %r2, %r11; "
        "ld.acquire.gpu.global.u32 %r12, [%rd2+4]; add.u32 %r2, %r2, %r12;\n");

    assert_int_equal(run(ptx, 64, out, NULL), SG_OK);
    for (uint32_t t = 0; t < 64; t++)
        assert_int_equal(out[t], t + 2 + (t & 255) + t + 6 + 9 - 1 + 3);
}

static void initialisers_fill_variables(void **state)
{
    static const char ptx[] =
        HEAD ".global .align 8 .u32 a[2][3] = {{1, 2}, {4, 5, 6}};\n.const .f32 f[] = {1.5, "
             "0f40000000, -2};\n"
             ".global .u64 pa = generic(a)+4;\n.global .s8 c[4] = {-1, 0x7f, 'x'};\n"
             ".visible .entry k(.param .u64 out, .param .u64 in) { ret; }\n";
    static const char good[] =
        HEAD ".global .align 8 .u32 a[2][3] = {{1, 2}, {4, 5, 6}};\n.const .f32 f[] = {1.5, "
             "0f40000000, -2};\n"
             ".global .u64 pa = generic(a)+4;\n.global .s8 c[4] = {-1, 0x7f};\n.extern .shared "
             ".align 16 .b8 dyn[];\n"
             ".visible .entry k(.param .u64 out, .param .u64 in) { .reg .b64 %rd<3>; .reg .b32 "
             "%r<5>; mov.u64 %rd1, dyn;\n"
             " st.shared.u32 [%rd1+4], 9; mov.u32 %r1, %dynamic_smem_size; ret; }\n";
    struct rig r;
    uint64_t addr, size, pa;

    assert_int_equal(rig_load(&r, ptx), SG_INVALID_PTX);
    rig_close(&r);
    rig_open(&r, good);
    assert_true(sg_module_global(r.mod, "a", &addr, &size));
    assert_int_equal(size, 24);
    assert_memory_equal((void *)(uintptr_t)addr, ((uint32_t[]){1, 2, 0, 4, 5, 6}), 24);
    pa = addr + 4;
    assert_true(sg_module_global(r.mod, "f", &addr, &size));
    assert_int_equal(size, 12);
    assert_memory_equal((void *)(uintptr_t)addr, ((float[]){1.5f, 2.0f, -2.0f}), 12);
    assert_true(sg_module_global(r.mod, "pa", &addr, &size));
    assert_int_equal(*(uint64_t *)(uintptr_t)addr, pa);
    assert_true(sg_module_global(r.mod, "c", &addr, &size));
    assert_memory_equal((void *)(uintptr_t)addr, "\xff\x7f\0\0", 4);
    assert_false(sg_module_global(r.mod, "nothing", &addr, &size));
    assert_int_equal(rig_grid(&r, "k", (uint32_t[]){1, 1, 1}, (uint32_t[]){1, 1, 1}, 64, &addr),
                     SG_OK);
    assert_int_equal(rig_grid(&r, "k", (uint32_t[]){1, 1, 1}, (uint32_t[]){1, 1, 1}, 4, &addr),
                     SG_FAULT_ILLEGAL_ADDRESS);
    rig_close(&r);
}

/* ---- atomics --------------------------------------------------------------------------------- */

struct job {
    struct rig *r;
    struct sg_launch l;
    uint32_t first;
    enum sg_status status;
};

static void *run_ctas(void *arg)
{
    struct job *j = arg;
    struct sg_runner *runner = sg_runner_new(j->first);
    struct sg_fault f;

    for (uint32_t c = j->first; c < j->l.grid[0] && j->status == SG_OK; c += 4)
        j->status = sg_run_cta(runner, &j->l, (uint32_t[3]){c, 0, 0}, &f);
    sg_runner_free(runner);
    return NULL;
}

static void atomics_of_ctas_on_different_threads_do_not_lose_updates(void **state)
{
    static const char ptx[] =
        HEAD ".visible .entry k(.param .u64 out) { .reg .b64 %rd<4>; .reg .b32 %r<9>; .reg .f32 "
             "%f<3>; .reg .f64 %d<3>;\n"
             "ld.param.u64 %rd1, [out]; mov.u32 %r1, %ctaid.x; mov.u32 %r2, %tid.x; mad.lo.u32 "
             "%r3, %r1, 64, %r2;\n"
             "atom.global.add.u32 %r4, [%rd1], 1; red.global.add.f32 [%rd1+4], 0f3F800000;\n"
             "red.add.f64 [%rd1+8], 0d3FE0000000000000; red.global.max.u32 [%rd1+16], %r3; "
             "red.global.min.s32 [%rd1+20], -5;\n"
             "red.global.inc.u32 [%rd1+24], 9; cvt.u64.u32 %rd2, %r3; red.global.add.u64 "
             "[%rd1+32], %rd2;\n"
             "red.global.xor.b32 [%rd1+40], %r3; red.global.add.noftz.f16x2 [%rd1+44], 0x3c003c00; "
             "ret; }\n";
    struct rig r;
    struct job jobs[4];
    pthread_t threads[4];
    uint8_t *out8;
    struct {
        void *out;
    } p;
    uint32_t n = 64 * 64, x = 0;

    rig_open(&r, ptx);
    p.out = out8 = rig_alloc(&r, 64);
    for (int k = 0; k < 4; k++) {
        jobs[k] = (struct job){.r = &r,
                               .l = {.fn = sg_module_function(r.mod, "k"),
                                     .map = r.map,
                                     .grid = {64, 1, 1},
                                     .block = {64, 1, 1},
                                     .params = &p},
                               .first = (uint32_t)k};
        assert_int_equal(pthread_create(&threads[k], NULL, run_ctas, &jobs[k]), 0);
    }
    for (int k = 0; k < 4; k++) {
        pthread_join(threads[k], NULL);
        assert_int_equal(jobs[k].status, SG_OK);
    }
    for (uint32_t k = 0; k < n; k++)
        x ^= k;
    assert_int_equal(*(uint32_t *)(void *)out8, n);
    assert_true(*(float *)(void *)(out8 + 4) == (float)n);
    assert_true(*(double *)(void *)(out8 + 8) == n / 2.0);
    assert_int_equal(*(uint32_t *)(void *)(out8 + 16), n - 1);
    assert_int_equal(*(int32_t *)(void *)(out8 + 20), -5);
    assert_int_equal(*(uint32_t *)(void *)(out8 + 24), n % 10);
    assert_int_equal(*(uint64_t *)(void *)(out8 + 32), (uint64_t)n * (n - 1) / 2);
    assert_int_equal(*(uint32_t *)(void *)(out8 + 40), x);
    assert_int_equal(*(uint16_t *)(void *)(out8 + 44),
                     0x6800); /* 2048: adding 1 no longer changes it */
    rig_free(&r, p.out);
    rig_close(&r);
}

/* ---- faults ---------------------------------------------------------------------------------- */

static void expect_fault(const char *ptx, enum sg_status want, int line)
{
    struct sg_fault f;

    assert_int_equal(run(ptx, 64, out, &f), want);
    assert_int_equal(f.status, want);
    if (line)
        assert_int_equal(f.ptx_line, line);
}

static void bad_accesses_are_faults_that_name_thread_and_line(void **state)
{
    struct sg_fault f;

    /* the fifth thread runs past its 4096 bytes */
    assert_int_equal(
        run(KERNEL("mul.lo.u32 %r3, %r1, 1000; cvt.u64.u32 %rd4, %r3; add.u64 %rd4, %rd4, %rd2;\n"
                   "ld.global.u32 %r2, [%rd4];\n"),
            64, out, &f),
        SG_FAULT_ILLEGAL_ADDRESS);
    assert_int_equal(f.tid[0], 5);
    assert_int_equal(f.ptx_line, 9);
    expect_fault(KERNEL("ld.global.u32 %r2, [0];\n"), SG_FAULT_ILLEGAL_ADDRESS, 8);
    expect_fault(KERNEL("mov.u64 %rd4, -4; st.u32 [%rd4], %r1;\n"), SG_FAULT_ILLEGAL_ADDRESS, 8);
    expect_fault(KERNEL("st.global.u32 [%rd1+4093], %r1;\n"), SG_FAULT_MISALIGNED, 8);
    expect_fault(KERNEL("ld.global.v4.u32 {%r2, %r3, %r4, %r5}, [%rd1+8];\n"), SG_FAULT_MISALIGNED,
                 8);
    expect_fault(KERNEL("st.global.u64 [%rd1+4092], %rd1;\n"), SG_FAULT_MISALIGNED, 8);
    expect_fault(KERNEL("st.global.u64 [%rd1+4096], %rd1;\n"), SG_FAULT_ILLEGAL_ADDRESS, 8);
    expect_fault(KERNEL("atom.global.add.u32 %r2, [%rd1+4096], 1;\n"), SG_FAULT_ILLEGAL_ADDRESS, 8);
    expect_fault(KERNEL(".shared .u32 s[4]; st.shared.u32 [s+16], %r1;\n"),
                 SG_FAULT_ILLEGAL_ADDRESS, 8);
    expect_fault(KERNEL(".shared .u32 s[4]; mov.u64 %rd4, s; cvta.shared.u64 %rd4, %rd4; ld.u32 "
                        "%r2, [%rd4+-4];\n"),
                 SG_FAULT_ILLEGAL_ADDRESS, 8);
    expect_fault(KERNEL(".local .u32 s[4]; ld.local.u32 %r2, [s+524288];\n"),
                 SG_FAULT_ILLEGAL_ADDRESS, 8);
    expect_fault(KERNEL("mov.u64 %rd4, 0; cvta.local.u64 %rd4, %rd4; ld.u32 %r2, [%rd4];\n"),
                 SG_FAULT_ILLEGAL_ADDRESS, 8);
    expect_fault(KERNEL("ld.param.u32 %r2, [%rd1];\n"), SG_FAULT_ILLEGAL_ADDRESS, 8);
}

static void traps_bad_calls_and_deadlocks_are_faults(void **state)
{
    expect_fault(KERNEL("setp.eq.u32 %p1, %r1, 33; @%p1 trap;\n"), SG_FAULT_TRAP, 8);
    expect_fault(KERNEL("brkpt;\n"), SG_FAULT_TRAP, 8);
    expect_fault(KERNEL("P: .callprototype _ (); mov.u64 %rd4, 4096; call %rd4, P;\n"),
                 SG_FAULT_ILLEGAL_INSTRUCTION, 8);
    expect_fault(KERNEL("ts: .branchtargets A; brx.idx %r1, ts; A:\n"),
                 SG_FAULT_ILLEGAL_INSTRUCTION, 8);
    expect_fault(KERNEL("bar.sync 16;\n"), SG_FAULT_ILLEGAL_INSTRUCTION, 8);
    expect_fault(KERNEL("bar.sync 1, 128;\n"), SG_FAULT_DEADLOCK, 8);
    expect_fault(KERNEL("setp.lt.u32 %p1, %r1, 32; @%p1 bar.sync 1, 64; bar.sync 2, 64;\n"),
                 SG_FAULT_DEADLOCK, 8);
}

static void endless_recursion_exhausts_the_stack(void **state)
{
    expect_fault(HEAD ".func f(.param .u32 a) { .reg .b32 r; .param .u32 b; ld.param.u32 r, [a]; "
                      "st.param.u32 [b], r;\n"
                      "call f, (b); ret; }\n.visible .entry k(.param .u64 o, .param .u64 i) { "
                      ".param .u32 b; call f, (b); }\n",
                 SG_FAULT_STACK, 5);
    expect_fault(HEAD ".func f() {\ncall f; ret; }\n.visible .entry k(.param .u64 o, .param .u64 "
                      "i) { call f; }\n",
                 SG_FAULT_STACK, 5);
}

static void *cancel_soon(void *arg)
{
    struct rig *r = arg;

    usleep(20000);
    atomic_store(&r->cancel, 1);
    return NULL;
}

static void an_infinite_loop_ends_when_cancelled(void **state)
{
    static const char *const loops[] = {
        HEAD ".visible .entry k() { L: bra L; }\n",
        HEAD ".visible .entry k() { .reg .pred p; .reg .b32 r; mov.u32 r, %tid.x; setp.lt.u32 p, "
             "r, 7; @p bra L;\n"
             "bar.sync 0; L: nanosleep.u32 100; bra L; }\n",
    };

    for (int k = 0; k < 2; k++) {
        struct rig r;
        pthread_t t;

        rig_open(&r, loops[k]);
        assert_int_equal(pthread_create(&t, NULL, cancel_soon, &r), 0);
        assert_int_equal(rig_run(&r, "k", 1, 64, NULL), SG_CANCELLED);
        pthread_join(t, NULL);
        rig_close(&r);
    }
}

static void a_runner_works_again_after_a_fault(void **state)
{
    static const char ptx[] = HEAD
        ".func f(.reg .b32 n) { .reg .pred p; setp.gt.u32 p, n, 3; @p trap; add.u32 n, n, 1;\n"
        "call f, (n); ret; }\n.visible .entry bad() { .reg .b32 r; mov.u32 r, 0; call f, (r); }\n"
        ".visible .entry good(.param .u64 out) { .reg .b64 d; .reg .b32 r; ld.param.u64 d, [out];\n"
        "mov.u32 r, %nsmid; st.global.u32 [d], r; mov.u32 r, %smid; st.global.u32 [d+4], r; ret; "
        "}\n";
    struct rig r;
    struct {
        uint32_t *out;
    } p;

    rig_open(&r, ptx);
    p.out = rig_alloc(&r, 64);
    for (int k = 0; k < 50; k++)
        assert_int_equal(rig_run(&r, "bad", 1, 256, NULL), SG_FAULT_TRAP);
    assert_int_equal(rig_run(&r, "good", 1, 1, &p), SG_OK);
    assert_int_equal(p.out[0], 9);
    assert_int_equal(p.out[1], 3);
    rig_free(&r, p.out);
    rig_close(&r);
}

static void launches_out_of_bounds_are_refused(void **state)
{
    struct rig r;

    rig_open(&r, HEAD ".visible .entry k() { ret; }\n");
    assert_int_equal(rig_grid(&r, "k", (uint32_t[]){1, 1, 1}, (uint32_t[]){1025, 1, 1}, 0, NULL),
                     SG_INVALID_VALUE);
    assert_int_equal(rig_grid(&r, "k", (uint32_t[]){1, 1, 1}, (uint32_t[]){1024, 2, 1}, 0, NULL),
                     SG_INVALID_VALUE);
    assert_int_equal(rig_grid(&r, "k", (uint32_t[]){1, 1, 1}, (uint32_t[]){0, 1, 1}, 0, NULL),
                     SG_INVALID_VALUE);
    assert_int_equal(rig_grid(&r, "k", (uint32_t[]){1, 1, 1}, (uint32_t[]){1, 1, 1}, 1 << 20, NULL),
                     SG_INVALID_VALUE);
    assert_int_equal(rig_grid(&r, "k", (uint32_t[]){1, 1, 1}, (uint32_t[]){8, 4, 32}, 0, NULL),
                     SG_OK);
    assert_int_equal(atomic_load(&r.instructions), 1024);
    rig_close(&r);
}

static void memory_ranges_are_exact(void **state)
{
    struct sg_memmap *m = sg_memmap_new();
    uint64_t base, size;

    assert_int_equal(sg_memmap_add(m, 0x10000, 0x1000, true), 0);
    assert_int_equal(sg_memmap_add(m, 0x11000, 0x1000, false), 0);
    assert_int_not_equal(sg_memmap_add(m, 0x10fff, 1, true), 0);
    assert_int_not_equal(sg_memmap_add(m, 0xf000, 0x1001, true), 0);
    assert_int_not_equal(sg_memmap_add(m, 0x9000, 0x10000, true), 0);
    assert_int_not_equal(sg_memmap_add(m, 0x9000, 0, true), 0);
    assert_int_not_equal(sg_memmap_add(m, UINT64_MAX - 3, 8, true), 0);
    assert_int_not_equal(sg_memmap_add(m, UINT64_C(1) << 48, 8, true), 0);
    assert_true(sg_memmap_check(m, 0x10000, 0x1000, true));
    assert_false(sg_memmap_check(m, 0x10000, 0x1001, false));
    assert_false(sg_memmap_check(m, 0xffff, 1, false));
    assert_true(sg_memmap_check(m, 0x11fff, 1, false));
    assert_false(sg_memmap_check(m, 0x11fff, 1, true));
    assert_true(sg_memmap_find(m, 0x10800, &base, &size));
    assert_int_equal(base, 0x10000);
    assert_int_equal(size, 0x1000);
    assert_int_equal(sg_memmap_remove(m, 0x10000), 0);
    assert_int_not_equal(sg_memmap_remove(m, 0x10000), 0);
    assert_false(sg_memmap_find(m, 0x10800, &base, &size));
    sg_memmap_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nested_divergence_reconverges_before_a_barrier),
        cmocka_unit_test(if_and_else_join_again),
        cmocka_unit_test(lanes_of_one_warp_can_take_a_lock_in_turn),
        cmocka_unit_test(barriers_with_counts_and_reductions_work),
        cmocka_unit_test(producers_arrive_and_consumers_wait),
        cmocka_unit_test(shuffles_follow_the_isa),
        cmocka_unit_test(votes_matches_and_reductions_see_the_warp),
        cmocka_unit_test(diverged_lanes_meet_at_a_warp_synchronous_instruction),
        cmocka_unit_test(calls_diverge_recurse_and_return_through_registers),
        cmocka_unit_test(a_table_of_branches_sends_each_lane_its_way),
        cmocka_unit_test(generic_addresses_reach_every_space),
        cmocka_unit_test(vectors_and_narrow_types_are_loaded_and_stored),
        cmocka_unit_test(initialisers_fill_variables),
        cmocka_unit_test(atomics_of_ctas_on_different_threads_do_not_lose_updates),
        cmocka_unit_test(bad_accesses_are_faults_that_name_thread_and_line),
        cmocka_unit_test(traps_bad_calls_and_deadlocks_are_faults),
        cmocka_unit_test(endless_recursion_exhausts_the_stack),
        cmocka_unit_test(an_infinite_loop_ends_when_cancelled),
        cmocka_unit_test(a_runner_works_again_after_a_fault),
        cmocka_unit_test(launches_out_of_bounds_are_refused),
        cmocka_unit_test(memory_ranges_are_exact),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
