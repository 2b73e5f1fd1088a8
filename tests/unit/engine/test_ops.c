/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each data instruction against the same computation in C, over edge values and random ones.
 * A case names its PTX text and computes the expected result from operands a, b and c.
 */
#include <fenv.h>
#include <math.h>

#include "harness.h"

typedef uint8_t u8;
typedef int8_t s8;
typedef uint16_t u16;
typedef int16_t s16;
typedef uint32_t u32;
typedef int32_t s32;
typedef uint64_t u64;
typedef int64_t s64;
typedef float f32;
typedef double f64;
typedef _Float16 f16;

#define N 3000 /* operand triples per case */

struct op_case {
    const char *name, *text; /* text uses %d, %a, %b, %c, %p, %q, %t (b32) */
    uint8_t sd, sa, sb, sc;  /* bytes */
    char kind;               /* 'f': any two NaN are equal; 'g': also a relative error of 2^-20 */
    void (*expect)(const uint64_t *v, void *out);
};

#define CASE(id, k, ptx, TD, TA, TB, TC, expr)                                                     \
    static void id(const uint64_t *v, void *out)                                                   \
    {                                                                                              \
        TA a;                                                                                      \
        TB b;                                                                                      \
        TC c;                                                                                      \
        TD r;                                                                                      \
        memcpy(&a, &v[0], sizeof(a));                                                              \
        memcpy(&b, &v[1], sizeof(b));                                                              \
        memcpy(&c, &v[2], sizeof(c));                                                              \
        r = (TD)(expr);                                                                            \
        memcpy(out, &r, sizeof(r));                                                                \
    }
#include "op_cases.h"
#undef CASE

static const struct op_case cases[] = {
#define CASE(id, k, ptx, TD, TA, TB, TC, expr)                                                     \
    {#id, ptx, sizeof(TD), sizeof(TA), sizeof(TB), sizeof(TC), k, id},
#include "op_cases.h"
#undef CASE
};

static const uint64_t edges[] = {
    0,
    1,
    2,
    3,
    5,
    7,
    8,
    15,
    16,
    31,
    32,
    33,
    63,
    64,
    65,
    127,
    128,
    255,
    256,
    0x7fff,
    0x8000,
    0xffff,
    0x10000,
    0x3c00,
    0x7c00,
    0xfc00,
    0x7bff,
    0x0400,
    0x03ff,
    0x7e00,
    0x7fffff,
    0x800000,
    0xffffff,
    0x7fffffff,
    0x80000000,
    0x80000001,
    0xffffffff,
    0xfffffffe,
    0x3f800000,
    0xbf800000,
    0x7f800000,
    0xff800000,
    0x7fc00000,
    0x00800000,
    0x007fffff,
    0x00000001,
    0x7f7fffff,
    0x4f000000,
    0xcf000000,
    0x4f800000,
    0x3f000000,
    0x40200000,
    0xc0200000,
    0x12345678,
    0x9abcdef0,
    0x100000000,
    0x7fffffffffffffff,
    0x8000000000000000,
    0x8000000000000001,
    0xffffffffffffffff,
    0x3ff0000000000000,
    0xbff0000000000000,
    0x7ff0000000000000,
    0x7ff8000000000000,
    0x0010000000000000,
    0x000fffffffffffff,
    0x4330000000000000,
    0x43e0000000000000,
    0xc3e0000000000000,
    0x41dfffffffc00000,
    0x3fe0000000000000,
    0x4004000000000000,
    0x0123456789abcdef,
    0x8000800080008000,
    0x7f7f7f7f80808080,
};
#define NEDGES (sizeof(edges) / sizeof(edges[0]))

static uint64_t random64(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s;
}

static void operands(uint64_t *v)
{
    uint64_t seed = 88172645463325252ull;

    for (size_t i = 0; i < N; i++) {
        for (int k = 0; k < 3; k++) {
            uint64_t x = random64(&seed);

            switch (random64(&seed) % 6) {
            case 0:
            case 1:
            case 2:
                v[i * 3 + (size_t)k] = edges[x % NEDGES];
                break;
            case 3:
                v[i * 3 + (size_t)k] = x % 100;
                break;
            case 4: { /* a float of moderate size */
                float f = (float)((int64_t)x % 100000) / 64.0f;
                uint32_t u;

                memcpy(&u, &f, 4);
                v[i * 3 + (size_t)k] = u;
                break;
            }
            default:
                v[i * 3 + (size_t)k] = x;
            }
        }
    }
    for (size_t i = 0; i < NEDGES; i++) /* every edge with itself and with one */
        for (size_t k = 0; k < 3; k++) {
            v[i * 6 + k] = edges[i];
            v[i * 6 + 3 + k] = k == 0 ? edges[i] : edges[(i * 7 + k) % NEDGES];
        }
}

static int equal(const struct op_case *c, const void *x, const void *y)
{
    double dx, dy;

    if (memcmp(x, y, c->sd) == 0)
        return 1;
    if (c->kind == 0)
        return 0;
    if (c->sd == 2) {
        _Float16 a, b;

        memcpy(&a, x, 2);
        memcpy(&b, y, 2);
        dx = (double)a;
        dy = (double)b;
    } else if (c->sd == 4) {
        float a, b;

        memcpy(&a, x, 4);
        memcpy(&b, y, 4);
        dx = a;
        dy = b;
    } else {
        memcpy(&dx, x, 8);
        memcpy(&dy, y, 8);
    }
    if (isnan(dx) && isnan(dy))
        return 1;
    if (c->kind == 'g')
        return fabs(dx - dy) <= fabs(dy) * 0x1p-20 + 0x1p-126;
    return 0;
}

static void each_instruction_matches_c(void **state)
{
    static uint64_t v[N * 3 + 6];
    int failed = 0;

    operands(v);
    for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
        const struct op_case *c = &cases[k];
        struct rig r;
        char ptx[4096];
        enum sg_status s;
        struct {
            void *in, *out;
        } p;
        uint8_t *out;
        int wrong = 0;

        snprintf(ptx, sizeof(ptx),
                 HEAD
                 ".visible .entry k(.param .u64 in, .param .u64 out) {\n"
                 ".reg .b64 %%rd<9>; .reg .b32 %%r<9>, %%t; .reg .pred %%p, %%q;\n"
                 ".reg .b%d %%d; .reg .b%d %%a; .reg .b%d %%b; .reg .b%d %%c;\n"
                 "ld.param.u64 %%rd1, [in]; ld.param.u64 %%rd2, [out];\n"
                 "mov.u32 %%r1, %%ctaid.x; mov.u32 %%r2, %%ntid.x; mov.u32 %%r3, %%tid.x;\n"
                 "mad.lo.u32 %%r4, %%r1, %%r2, %%r3; mad.wide.u32 %%rd3, %%r4, 24, %%rd1;\n"
                 "mad.wide.u32 %%rd4, %%r4, 8, %%rd2;\n"
                 "setp.ge.u32 %%p, %%r4, %d; @%%p ret;\n"
                 "ld.global.b%d %%a, [%%rd3]; ld.global.b%d %%b, [%%rd3+8]; ld.global.b%d %%c, "
                 "[%%rd3+16];\n%s\nst.global.b%d [%%rd4], %%d; ret; }\n",
                 c->sd * 8, c->sa * 8, c->sb * 8, c->sc * 8, N, c->sa * 8, c->sb * 8, c->sc * 8,
                 c->text, c->sd * 8);
        s = rig_load(&r, ptx);
        if (s != SG_OK) {
            print_message("%s: %s: %s", c->name, c->text, r.log);
            failed = 1;
            rig_close(&r);
            continue;
        }
        p.in = rig_alloc(&r, sizeof(v));
        p.out = out = rig_alloc(&r, N * 8);
        memcpy(p.in, v, sizeof(v));
        /* 96 threads a block: full warps and a last block that is cut off by divergence */
        assert_int_equal(rig_run(&r, "k", (N + 95) / 96, 96, &p), SG_OK);
        for (size_t i = 0; i < N && wrong < 4; i++) {
            uint64_t want = 0, got = 0;

            c->expect(&v[i * 3], &want);
            memcpy(&got, out + i * 8, c->sd);
            if (!equal(c, &got, &want)) {
                print_message("%s: %s: a %llx b %llx c %llx gives %llx, not %llx\n", c->name,
                              c->text, (unsigned long long)v[i * 3],
                              (unsigned long long)v[i * 3 + 1], (unsigned long long)v[i * 3 + 2],
                              (unsigned long long)got, (unsigned long long)want);
                wrong++;
                failed = 1;
            }
        }
        rig_free(&r, p.in);
        rig_free(&r, p.out);
        rig_close(&r);
    }
    assert_int_equal(failed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_instruction_matches_c),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
