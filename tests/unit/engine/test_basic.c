/* SPDX-License-Identifier: Apache-2.0 */
/* Whole kernels as clang writes them: loops, shared memory with barriers, calls, recursion, printf.
 */
#include <math.h>

#include "harness.h"
#include "kernels_ptx.h"

static const char *const levels[] = {kernels_O0, kernels_O2};

static void vector_add_is_correct_in_every_element(void **state)
{
    for (int k = 0; k < 2; k++) {
        struct rig r;
        struct {
            float *c;
            const float *a, *b;
            int n;
        } p;
        int n = 1000;

        rig_open(&r, levels[k]);
        float *a = rig_alloc(&r, 4000), *b = rig_alloc(&r, 4000), *c = rig_alloc(&r, 4000);

        for (int i = 0; i < n; i++) {
            a[i] = (float)i;
            b[i] = 0.5f * (float)i;
        }
        p.a = a;
        p.b = b;
        p.c = c;
        p.n = n;
        assert_int_equal(rig_run(&r, "vector_add", 8, 128, &p), SG_OK);
        for (int i = 0; i < n; i++)
            assert_true(c[i] == 1.5f * (float)i);
        rig_free(&r, a);
        rig_free(&r, b);
        rig_free(&r, c);
        rig_close(&r);
    }
}

static void divergent_loops_count_right_for_each_thread(void **state)
{
    for (int k = 0; k < 2; k++) {
        struct rig r;
        struct {
            int *out;
        } p;

        rig_open(&r, levels[k]);
        p.out = rig_alloc(&r, 256 * 4);
        assert_int_equal(rig_run(&r, "collatz", 2, 128, &p), SG_OK);
        for (int i = 0; i < 256; i++) {
            unsigned v = (unsigned)i + 1;
            int steps = 0;

            while (v != 1) {
                v = v & 1 ? 3 * v + 1 : v / 2;
                steps++;
            }
            assert_int_equal(p.out[i], steps);
        }
        rig_free(&r, p.out);
        rig_close(&r);
    }
}

static void block_reduction_through_shared_memory_sums_all(void **state)
{
    for (int k = 0; k < 2; k++) {
        struct rig r;
        struct {
            const int *in;
            int *out;
        } p;

        rig_open(&r, levels[k]);
        int *in = rig_alloc(&r, 1024 * 4), sum[4] = {0};

        for (int i = 0; i < 1024; i++) {
            in[i] = i * i - 7 * i;
            sum[i / 256] += in[i];
        }
        p.in = in;
        p.out = rig_alloc(&r, 16);
        assert_int_equal(rig_run(&r, "reduce", 4, 256, &p), SG_OK);
        for (int i = 0; i < 4; i++)
            assert_int_equal(p.out[i], sum[i]);
        rig_free(&r, in);
        rig_free(&r, p.out);
        rig_close(&r);
    }
}

static int fib(int n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static void calls_recursion_structs_and_function_pointers_work(void **state)
{
    for (int k = 0; k < 2; k++) {
        struct rig r;
        struct {
            int *out;
        } p;

        rig_open(&r, levels[k]);
        p.out = rig_alloc(&r, 64 * 4);
        assert_int_equal(rig_run(&r, "calls", 1, 64, &p), SG_OK);
        for (int i = 0; i < 64; i++) {
            int n = i % 12;
            int x = i & 1 ? fib(n) : n * n;

            assert_int_equal(p.out[i], fib(n) + (i + 3) + 2 * i + x);
        }
        rig_free(&r, p.out);
        rig_close(&r);
    }
}

static void printf_formats_the_guests_arguments(void **state)
{
    for (int k = 0; k < 2; k++) {
        struct rig r;

        rig_open(&r, levels[k]);
        assert_int_equal(rig_run(&r, "hello", 1, 2, NULL), SG_OK);
        assert_string_equal(r.out, "thread 0 of 2: 1.50 abc 0x10 5000000000 %\n"
                                   "thread 1 of 2: 2.50 abc 0x11 5000000001 %\n");
        rig_close(&r);
    }
}

static void constant_tables_and_local_arrays_are_indexed(void **state)
{
    for (int k = 0; k < 2; k++) {
        struct rig r;
        struct {
            int *out;
        } p;
        static const int table[8] = {3, 1, 4, 1, 5, 9, 2, 6};

        rig_open(&r, levels[k]);
        p.out = rig_alloc(&r, 40 * 4);
        assert_int_equal(rig_run(&r, "tables", 1, 40, &p), SG_OK);
        for (int i = 0; i < 40; i++) {
            int s = 0;

            for (int j = 0; j <= i % 8; j++)
                s += table[j] * (j + i);
            assert_int_equal(p.out[i], s);
        }
        rig_free(&r, p.out);
        rig_close(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vector_add_is_correct_in_every_element),
        cmocka_unit_test(divergent_loops_count_right_for_each_thread),
        cmocka_unit_test(block_reduction_through_shared_memory_sums_all),
        cmocka_unit_test(calls_recursion_structs_and_function_pointers_work),
        cmocka_unit_test(printf_formats_the_guests_arguments),
        cmocka_unit_test(constant_tables_and_local_arrays_are_indexed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
