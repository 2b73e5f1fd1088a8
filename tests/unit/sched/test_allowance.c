/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stops a worker at its gate, and the estimates behind it: if these fail, a VM submits past
 * its limit, or stops for ever.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "mediator/common/shm_stats.h"
#include "mediator/worker/estimate.h"
#include "vgpu_ops.h"

static void a_page_of_zeros_but_for_the_gate_limits_nothing(void **state)
{
    static struct shm_page page;

    assert_false(shm_gate_may_pass(&page));
    shm_gate_set(&page, 1);
    assert_true(shm_gate_may_pass(&page));
    atomic_store(&page.in_flight_ns, UINT64_MAX);
    atomic_store(&page.submissions, UINT64_MAX);
    assert_true(shm_gate_may_pass(&page));
}

static void submissions_stop_at_their_allowance(void **state)
{
    static struct shm_page page;
    unsigned passed = 0;

    shm_gate_set(&page, 1);
    shm_allowance_set(&page, 3, 0);
    for (int i = 0; i < 10 && shm_gate_may_pass(&page); i++, passed++)
        shm_submission_add(&page);
    assert_int_equal(passed, 3);
    assert_false(shm_gate_wait(&page, 1000));
    shm_allowance_set(&page, 4, 0);
    assert_true(shm_gate_wait(&page, 1000));
}

static void work_in_flight_stops_at_its_limit_and_never_what_would_be_alone(void **state)
{
    static struct shm_page page;

    shm_gate_set(&page, 1);
    shm_allowance_set(&page, 0, 500);
    assert_true(shm_gate_may_pass(&page));
    atomic_store(&page.in_flight_ns, 499);
    assert_true(shm_gate_may_pass(&page));
    atomic_store(&page.in_flight_ns, 500);
    assert_false(shm_gate_may_pass(&page));
    assert_true(shm_gate_allows(&page));
}

static struct vgpu_req_Launch launch(uint32_t function, uint32_t grid, uint32_t block)
{
    struct vgpu_req_Launch r = {.function = function};

    r.record.opcode = VGPU_OP_Launch;
    r.record.size = VGPU_REQ_BYTES_Launch;
    r.grid[0] = grid;
    r.block[0] = block;
    return r;
}

static void launches_are_told_apart_by_function_grid_and_block(void **state)
{
    struct vgpu_req_Launch base = launch(5, 10, 32), same = launch(5, 10, 32);
    struct vgpu_req_Launch others[] = {launch(6, 10, 32), launch(5, 11, 32), launch(5, 10, 33)};
    uint64_t key = estimate_key(&base.record);

    same.shared = 1000; /* what differs per launch is no part of it */
    assert_true(estimate_key(&same.record) == key);
    for (unsigned i = 0; i < 3; i++)
        assert_true(estimate_key(&others[i].record) != key);
    /* A record cut short is not read past its end. */
    base.record.size = sizeof(struct vgpu_record);
    assert_true(estimate_key(&base.record) != key);
}

static void estimates_follow_what_is_measured(void **state)
{
    static struct estimates estimates;

    assert_true(estimate_get(&estimates, 77) == ESTIMATE_UNKNOWN_NS);
    estimate_learn(&estimates, 77, 40000);
    assert_true(estimate_get(&estimates, 77) == 40000);
    for (int i = 0; i < 40; i++)
        estimate_learn(&estimates, 77, 80000);
    assert_in_range(estimate_get(&estimates, 77), 79000, 80000);
    estimate_learn(&estimates, 77 + ESTIMATE_SLOTS, 5); /* takes its place */
    assert_true(estimate_get(&estimates, 77) == ESTIMATE_UNKNOWN_NS);
    estimate_learn(&estimates, 78, UINT64_MAX);
    assert_true(estimate_get(&estimates, 78) == ESTIMATE_MAX_NS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_of_zeros_but_for_the_gate_limits_nothing),
        cmocka_unit_test(submissions_stop_at_their_allowance),
        cmocka_unit_test(work_in_flight_stops_at_its_limit_and_never_what_would_be_alone),
        cmocka_unit_test(launches_are_told_apart_by_function_grid_and_block),
        cmocka_unit_test(estimates_follow_what_is_measured),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
