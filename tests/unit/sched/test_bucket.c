/* SPDX-License-Identifier: Apache-2.0 */
/* Token buckets: if these fail, a VM gets more than its limit, or less than it paid for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "mediator/sched/bucket.h"

#define SECOND 1000000000ull

static void without_a_limit_nothing_is_counted(void **state)
{
    struct bucket b = {0};

    bucket_refill(&b, 5 * SECOND);
    bucket_take(&b, 1000);
    assert_false(bucket_is_limited(&b));
    assert_true(bucket_ready_at(&b, 1000) == 0);
    assert_true(b.tokens == 0);
}

static void it_starts_full_and_never_holds_more(void **state)
{
    struct bucket b = {0};

    bucket_set(&b, 100, 30, SECOND);
    assert_true(b.tokens == 30);
    bucket_refill(&b, 1000 * SECOND);
    assert_true(b.tokens == 30);
    bucket_take(&b, -10);
    assert_true(b.tokens == 30);
}

static void a_charge_beyond_it_is_owed(void **state)
{
    struct bucket b = {0};

    bucket_set(&b, 100, 30, 0);
    bucket_take(&b, 130);
    assert_true(b.tokens == -100);
    assert_true(bucket_ready_at(&b, 1) == SECOND + SECOND / 100);
    bucket_refill(&b, SECOND);
    assert_true(b.tokens == 0);
    bucket_refill(&b, SECOND + SECOND / 100);
    assert_true(b.tokens == 1);
}

static void looking_often_loses_nothing(void **state)
{
    struct bucket b = {0};

    bucket_set(&b, 7, 1000000, 0);
    bucket_take(&b, 1000000);
    for (uint64_t now = 0; now <= 1000 * SECOND; now += 3333333)
        bucket_refill(&b, now);
    bucket_refill(&b, 1000 * SECOND);
    assert_true(b.tokens == 7000);
}

static void a_changed_limit_forgives_no_debt(void **state)
{
    struct bucket b = {0};

    bucket_set(&b, 100, 30, 0);
    bucket_take(&b, 130);
    bucket_set(&b, 200, 50, 0);
    assert_true(b.tokens == -100);
    bucket_set(&b, 200, 10, 100 * SECOND);
    assert_true(b.tokens == 10);
}

static void absurd_amounts_do_not_overflow(void **state)
{
    struct bucket b = {0};

    bucket_set(&b, UINT64_MAX, UINT64_MAX, 0);
    for (int i = 0; i < 10; i++)
        bucket_take(&b, INT64_MAX);
    assert_true(b.tokens < 0);
    bucket_refill(&b, UINT64_MAX);
    assert_true(b.tokens > 0);
    bucket_set(&b, 1, 1, UINT64_MAX);
    bucket_take(&b, INT64_MAX);
    assert_true(bucket_ready_at(&b, 1) == BUCKET_NEVER);
}

static void over_any_time_no_more_than_rate_and_burst_is_taken(void **state)
{
    enum { RATE = 1000, SIZE = 50, CHARGE = 20 };
    struct bucket b = {0};
    double level = 0; /* of a bucket that leaks at RATE: never above SIZE + CHARGE */
    uint64_t now = 0, taken = 0;

    srand(4711);
    bucket_set(&b, RATE, SIZE, 0);
    for (int i = 0; i < 200000; i++) {
        uint64_t step = (uint64_t)(rand() % 4000000);

        now += step;
        level -= (double)step * RATE / 1e9;
        if (level < 0)
            level = 0;
        bucket_refill(&b, now);
        if (b.tokens > 0) {
            int amount = rand() % CHARGE + 1;

            bucket_take(&b, amount);
            taken += (uint64_t)amount;
            level += amount;
        }
        assert_true(level <= SIZE + CHARGE + 1);
    }
    assert_true(taken > now / SECOND * RATE * 9 / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_limit_nothing_is_counted),
        cmocka_unit_test(it_starts_full_and_never_holds_more),
        cmocka_unit_test(a_charge_beyond_it_is_owed),
        cmocka_unit_test(looking_often_loses_nothing),
        cmocka_unit_test(a_changed_limit_forgives_no_debt),
        cmocka_unit_test(absurd_amounts_do_not_overflow),
        cmocka_unit_test(over_any_time_no_more_than_rate_and_burst_is_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
