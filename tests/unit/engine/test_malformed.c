/* SPDX-License-Identifier: Apache-2.0 */
/* PTX that a hostile guest might send: every refusal names its line, and nothing crashes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "ptx_once.h"
#include "sample_ptx.h"

#define HEAD ".version 7.8\n.target sm_90\n.address_size 64\n"
#define BODY(b)                                                                                    \
    HEAD ".visible .entry k(.param .u64 a) {\n.reg .b32 %r<9>; .reg .b64 %rd<9>; .reg .pred "      \
         "%p<9>; .reg .b16 %h<9>;\n" b "\nret;\n}\n"

static const struct {
    const char *ptx;
    enum sg_status status;
    const char *says;
} bad[] = {
    {"", SG_INVALID_PTX, "missing .version"},
    {"\x7f"
     "ELF",
     SG_INVALID_PTX, "line 1; error: syntax error"},
    {".version 42.0\n.target sm_90\n", SG_UNSUPPORTED_VERSION,
     "line 1; error: unsupported .version"},
    {".version 7.0\n.target sm_999\n", SG_UNSUPPORTED_VERSION,
     "line 2; error: unsupported .target"},
    {".version 7.0\n.target sm_70\n.address_size 32\n", SG_INVALID_PTX,
     "line 3; error: only .address_size"},
    {BODY("foo.bar %r1;"), SG_INVALID_PTX, "ptx, line 6; error: unknown instruction 'foo.bar'"},
    {BODY("add.u32.bogus %r1, %r2, %r3;"), SG_INVALID_PTX,
     "line 6; error: unknown instruction 'add.u32.bogus'"},
    {BODY("add.f16.s32 %r1, %r2, %r3;"), SG_INVALID_PTX, "line 6"},
    {BODY("\n\nwgmma.fence.sync.aligned;"), SG_INVALID_PTX,
     "line 8; error: unknown instruction 'wgmma.fence.sync.aligned'"},
    {BODY("add.u32 %r1, %r2;"), SG_INVALID_PTX, "line 6; error: arguments mismatch"},
    {BODY("add.u32 %r1, %r2, %rd3;"), SG_INVALID_PTX, "arguments mismatch"},
    {BODY("add.u64 %r1, %rd2, %rd3;"), SG_INVALID_PTX, "arguments mismatch"},
    {BODY("add.u32 %r1, %r2, %p3;"), SG_INVALID_PTX, "arguments mismatch"},
    {BODY("add.u32 3, %r2, %r1;"), SG_INVALID_PTX, "arguments mismatch"},
    {BODY("add.u32 %tid.x, %r2, %r1;"), SG_INVALID_PTX, "arguments mismatch"},
    {BODY("add.u32 %r9, %r2, %r1;"), SG_INVALID_PTX, "line 6"},
    {BODY("add.u32 %r1, %r2, nowhere;"), SG_INVALID_PTX, "unknown symbol 'nowhere'"},
    {BODY("bra nowhere;"), SG_INVALID_PTX, "line 6; error: unknown label 'nowhere'"},
    {BODY("L: L: ret;"), SG_INVALID_PTX, "duplicate label"},
    {BODY("@%r1 ret;"), SG_INVALID_PTX, "no predicate"},
    {BODY("ld.global.u32 %h1, [%rd1];"), SG_INVALID_PTX, "arguments mismatch"},
    {BODY("ld.global.v4.u32 {%r1, %r2}, [%rd1];"), SG_INVALID_PTX, "arguments mismatch"},
    {BODY("ld.global.v2.u32 {%r1, %rd2}, [%rd1];"), SG_INVALID_PTX, "arguments mismatch"},
    {BODY("ld.param.u64 %rd1, [a+8];"), SG_INVALID_PTX, "parameter offset"},
    {BODY("ld.param.u64 %rd1, [a-8];"), SG_INVALID_PTX, "parameter offset"},
    {BODY("st.param.u64 [a], %rd1;"), SG_INVALID_PTX, "arguments mismatch"},
    {BODY("st.global.u32 [a], %r1;"), SG_INVALID_PTX, "arguments mismatch"},
    {BODY("call nobody;"), SG_INVALID_PTX, "unknown function"},
    {BODY("call k;"), SG_INVALID_PTX, "kernel cannot be called"},
    {BODY("call %rd1;"), SG_INVALID_PTX, "prototype"},
    {BODY("mov.b64 {%r1, %r2, %r3}, %rd1;"), SG_INVALID_PTX, "arguments mismatch"},
    {BODY("mov.b64 {%r1, %h2}, %rd1;"), SG_INVALID_PTX, "arguments mismatch"},
    {BODY("lop3.b32 %r1, %r2, %r3, %r4, 256;"), SG_INVALID_PTX, "arguments mismatch"},
    {BODY(".reg .b32 %r1, x; .reg .b32 x;"), SG_INVALID_PTX, "duplicate"},
    {BODY(".local .b8 l[600000];"), SG_INVALID_PTX, "too much local"},
    {BODY(".local .b8 l[99999999999999999999];"), SG_INVALID_PTX, "syntax error"},
    {BODY(".local .b8 l[-1];"), SG_INVALID_PTX, "array size"},
    {BODY(".shared .b8 l[300000];"), SG_INVALID_PTX, "too much shared"},
    {BODY(".shared .b64 l[4611686018427387904][4];"), SG_INVALID_PTX, "array"},
    {BODY(".reg .b32 x<99999999999>;"), SG_INVALID_PTX, "register count"},
    {BODY("mov.u32 %r1, 1/0;"), SG_INVALID_PTX, "division by zero"},
    {HEAD ".global .u32 x = {1, 2};\n", SG_INVALID_PTX, "too many initialisers"},
    {HEAD ".global .u32 x[2] = {1, 2, 3};\n", SG_INVALID_PTX, "too many initialisers"},
    {HEAD ".global .u64 x = y;\n", SG_INVALID_PTX, "cannot initialise"},
    {HEAD ".global .align 3 .u64 x;\n", SG_INVALID_PTX, "alignment"},
    {HEAD ".global .u64 x[];\n", SG_INVALID_PTX, "no size"},
    {HEAD ".global .b8 x[1000000000000000];\n", SG_INVALID_PTX, "array"},
    {HEAD ".extern .global .u32 x;\n.entry k() { .reg .b32 r; ld.global.u32 r, [x]; ret; }\n",
     SG_INVALID_PTX, "undefined symbol 'x'"},
    {HEAD ".extern .func f();\n.entry k() { call f; }\n", SG_INVALID_PTX,
     "unresolved function 'f'"},
    {HEAD ".func f(.param .u32 a) { ret; }\n.entry k() { call f; }\n", SG_INVALID_PTX,
     "arguments mismatch"},
    {HEAD ".func f(.param .u32 a) { ret; }\n.entry k() { .param .u64 p; call f, (p); }\n",
     SG_INVALID_PTX, "arguments mismatch"},
    {HEAD ".func f(.param .u32 a);\n.func f(.param .u64 a) { ret; }\n", SG_INVALID_PTX,
     "other parameters"},
    {HEAD ".entry k() { ret; }\n.entry k() { ret; }\n", SG_INVALID_PTX,
     "duplicate definition of 'k'"},
    {HEAD ".entry k(.param .b8 a[40000]) { ret; }\n", SG_INVALID_PTX, "parameter too large"},
    {HEAD ".entry k() { ret;\n", SG_INVALID_PTX, "unexpected end"},
    {HEAD ".entry k() { /* ret; }\n", SG_INVALID_PTX, "syntax error"},
};

static void malformed_texts_are_refused_with_their_line(void **state)
{
    for (size_t k = 0; k < sizeof(bad) / sizeof(bad[0]); k++) {
        char text[512];
        struct sg_log log = {text, sizeof(text), 0};
        enum sg_status s = ptx_once(bad[k].ptx, strlen(bad[k].ptx), &log);

        if (s != bad[k].status || !strstr(text, bad[k].says))
            print_message("%s\n-> %s: %s (expected: %s)\n", bad[k].ptx, sg_status_text(s), text,
                          bad[k].says);
        assert_int_equal(s, bad[k].status);
        assert_non_null(strstr(text, bad[k].says));
        assert_int_equal(strlen(text), log.used);
    }
}

static void a_short_log_is_cut_not_overrun(void **state)
{
    for (size_t size = 0; size < 60; size++) {
        char text[64];
        struct sg_log log = {text, size, 0};

        memset(text, '#', sizeof(text));
        ptx_once(BODY("foo.bar;"), strlen(BODY("foo.bar;")), &log);
        for (size_t k = size; k < sizeof(text); k++)
            assert_int_equal(text[k], '#');
        if (size)
            assert_int_equal(strlen(text), log.used);
    }
}

static void the_sample_itself_is_valid(void **state)
{
    char text[512];
    struct sg_log log = {text, sizeof(text), 0};
    enum sg_status s = ptx_once(sample_ptx, strlen(sample_ptx), &log);

    if (s)
        print_message("%s", text);
    assert_int_equal(s, SG_OK);
}

static void a_text_cut_at_any_byte_does_no_harm(void **state)
{
    size_t n = strlen(sample_ptx), whole = (size_t)(strstr(sample_ptx, ".section") - sample_ptx);

    for (size_t k = 0; k < n; k++) {
        enum sg_status s = ptx_once(sample_ptx, k, NULL);

        /* inside the kernel every cut is an error */
        if (k > (size_t)(strstr(sample_ptx, ".visible .entry") - sample_ptx) + 16 && k < whole - 2)
            assert_int_equal(s, SG_INVALID_PTX);
    }
}

static uint32_t next_random(uint32_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 17;
    *s ^= *s << 5;
    return *s;
}

static void random_damage_does_no_harm(void **state)
{
    static const char *const words[] = {
        "%r1",     "%rd4",       "%p1",    "%h1",        "%f1",
        "%fd1",    "0",          "-1",     "4294967295", "0x8000000000000000",
        "sh",      "dyn",        "tab",    "consts",     "depot",
        "twice",   "down",       "kernel", "vprintf",    "out",
        "blob",    "[%rd1]",     "[sh]",   "{",          "}",
        "(",       ")",          ";",      ",",          ":",
        "@%p1",    ".u64",       ".s8",    ".pred",      ".v4",
        ".shared", ".local",     ".param", ".reg",       "bar.sync 0;",
        "exit;",   "ret;",       "%tid.x", "%clock64",   "_",
        "1.5",     "0f00000000", "A",      "JOIN",       "targets",
        "proto",   "call",       ".b8",    "[1]",
    };
    size_t n = strlen(sample_ptx), accepted = 0;
    char *text = malloc(2 * n + 64);
    uint32_t seed = 2463534242u;

    assert_non_null(text);

    for (int round = 0; round < 4000; round++) {
        size_t len = n;
        uint32_t edits = 1 + (round % 8 == 0) * (next_random(&seed) % 3);

        memcpy(text, sample_ptx, n);
        while (edits--) {
            size_t at = next_random(&seed) % len, k;

            switch (next_random(&seed) % 4) {
            case 0:
                text[at] = (char)next_random(&seed);
                break;
            case 1: /* remove a few bytes */
                k = 1 + next_random(&seed) % 12;
                if (k > len - at)
                    k = len - at;
                memmove(text + at, text + at + k, len - at - k);
                len -= k;
                break;
            default: { /* replace a word by another */
                const char *w = words[next_random(&seed) % (sizeof(words) / sizeof(words[0]))];
                size_t end, wn = strlen(w);

                while (at && !strchr(" ,;\n[]{}()", text[at - 1]))
                    at--;
                for (end = at; end < len && !strchr(" ,;\n[]{}()", text[end]); end++)
                    ;
                memmove(text + at + wn, text + end, len - end);
                memcpy(text + at, w, wn);
                len = len - (end - at) + wn;
            }
            }
            if (len == 0)
                break;
        }
        accepted += ptx_once(text, len, NULL) == SG_OK;
    }
    free(text);
    /* The damage must be small enough that some programs still load, or nothing would be run. */
    print_message("%zu of 4000 damaged texts still load\n", accepted);
    assert_true(accepted > 100);
}

static void deep_nesting_is_refused(void **state)
{
    static const char *const opens[] = {"{", "mov.u32 %r1, (", "mov.u32 %r1, -"};

    for (int k = 0; k < 3; k++) {
        size_t n = 100000, w = strlen(opens[k]), tail = k ? strlen(opens[k]) - 1 : 0;
        char *text = malloc(n * w + 4096), *p = text;

        if (!text)
            abort();
        p += sprintf(p, "%s", HEAD ".entry k() { .reg .b32 %r<3>;\n");
        if (k)
            p += sprintf(p, "%.*s", (int)tail, opens[k]);
        for (size_t j = 0; j < n; j++)
            *p++ = opens[k][tail];
        assert_int_equal(ptx_once(text, (size_t)(p - text), NULL), SG_INVALID_PTX);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malformed_texts_are_refused_with_their_line),
        cmocka_unit_test(a_short_log_is_cut_not_overrun),
        cmocka_unit_test(the_sample_itself_is_valid),
        cmocka_unit_test(a_text_cut_at_any_byte_does_no_harm),
        cmocka_unit_test(random_damage_does_no_harm),
        cmocka_unit_test(deep_nesting_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
