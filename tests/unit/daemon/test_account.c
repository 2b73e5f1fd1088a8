/* SPDX-License-Identifier: Apache-2.0 */
/* Statistics: if these fail, an operator is shown wrong latencies, or a worker can spoil the sums.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "mediator/daemon/account.h"

static void every_duration_lands_in_the_bucket_that_holds_it(void **state)
{
    uint32_t last = 0;

    for (uint64_t ns = 0; ns < 1ull << SHM_HISTOGRAM_TOP_BITS; ns += 1 + ns / 40) {
        uint32_t bucket = shm_histogram_bucket(ns);

        assert_true(bucket < SHM_HISTOGRAM_BUCKETS && bucket >= last);
        assert_true(shm_histogram_floor(bucket) <= ns && ns < shm_histogram_floor(bucket + 1));
        /* known to 1/16 */
        assert_true(shm_histogram_floor(bucket + 1) - shm_histogram_floor(bucket) <=
                    (ns < 1024 ? 64 : ns / 16));
        last = bucket;
    }
    assert_int_equal(shm_histogram_bucket(UINT64_MAX), SHM_HISTOGRAM_BUCKETS - 1);
}

static void percentiles_are_those_of_the_values(void **state)
{
    static struct shm_page page;
    static struct account account;

    memset(&account, 0, sizeof(account));
    assert_int_equal(account_percentile(account.latency, 99), 0);
    for (uint64_t us = 1; us <= 1000; us++)
        shm_latency_add(&page, us * 1000);
    account_add_page(&account, &page, 0);
    for (unsigned p = 1; p <= 100; p++) {
        uint64_t value = account_percentile(account.latency, p), exact = p * 10000;

        assert_true(value >= exact && value <= exact + exact / 8 + 128);
    }
}

static void claims_of_a_worker_saturate(void **state)
{
    static struct shm_page page;
    static struct account account;

    memset(&account, 0, sizeof(account));
    for (unsigned i = 0; i < SHM_OPCODES; i++) {
        atomic_store(&page.calls[i].calls, UINT64_MAX);
        atomic_store(&page.calls[i].gpu_ns, UINT64_MAX - i);
    }
    for (unsigned i = 0; i < SHM_HISTOGRAM_BUCKETS; i++)
        atomic_store(&page.latency[i], UINT64_MAX);
    atomic_store(&page.device_memory, UINT64_MAX);
    for (int i = 0; i < 3; i++)
        account_add_page(&account, &page, 0);
    assert_true(account.total.calls == ACCOUNT_MAX);
    assert_true(account.total.gpu_ns == ACCOUNT_MAX);
    assert_true(account.device_memory == ACCOUNT_MAX);
    assert_true(account_percentile(account.latency, 50) <=
                shm_histogram_floor(SHM_HISTOGRAM_BUCKETS));
}

static void an_opcode_out_of_range_counts_as_none(void **state)
{
    static struct shm_page page;

    shm_call_add(&page, SHM_OPCODES, 1, 1);
    shm_call_add(&page, UINT32_MAX, 1, 1);
    shm_gpu_add(&page, SHM_OPCODES + 5, 7);
    assert_int_equal(atomic_load(&page.calls[0].calls), 2);
    assert_int_equal(atomic_load(&page.calls[0].gpu_ns), 7);
    assert_int_equal(atomic_load(&page.records), 2);
}

static void what_an_ended_worker_held_is_free(void **state)
{
    static struct shm_page page;
    static struct account account;

    atomic_store(&page.device_memory, 4096);
    atomic_store(&page.device_memory_peak, 8192);
    account_add_page(&account, &page, 1);
    assert_int_equal(account.device_memory, 0);
    assert_int_equal(account.device_memory_peak, 8192);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_duration_lands_in_the_bucket_that_holds_it),
        cmocka_unit_test(percentiles_are_those_of_the_values),
        cmocka_unit_test(claims_of_a_worker_saturate),
        cmocka_unit_test(an_opcode_out_of_range_counts_as_none),
        cmocka_unit_test(what_an_ended_worker_held_is_free),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
