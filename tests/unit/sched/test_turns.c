/* SPDX-License-Identifier: Apache-2.0 */
/* Round robin with simulated time: if these fail, a VM starves, or the GPU idles while one waits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "mediator/sched/sched.h"

#define MS 1000000ull
#define QUANTUM (10 * MS)

static unsigned count_open(const struct sched_member *m, unsigned n)
{
    unsigned open = 0;

    for (unsigned i = 0; i < n; i++)
        open += m[i].open;
    return open;
}

static void setup(struct sched *t, struct sched_member *m, unsigned n)
{
    static struct sched_pool pool;
    const struct sched_params params = {.policy = SCHED_RR, .quantum_ns = QUANTUM};

    sched_init(t, &params, 0);
    sched_pool_join(t, &pool, 100);
    for (unsigned i = 0; i < n; i++) {
        m[i] = (struct sched_member){0};
        sched_join(t, &pool, &m[i], 100);
    }
}

static void nobody_is_gated_while_one_has_work(void **state)
{
    struct sched_member m[3];
    struct sched t;

    setup(&t, m, 3);
    assert_true(sched_decide(&t, 0) == SCHED_NEVER);
    assert_int_equal(count_open(m, 3), 3);
    m[1].wants = true;
    assert_true(sched_decide(&t, 5 * MS) == SCHED_NEVER);
    assert_int_equal(count_open(m, 3), 3);
    assert_true(sched_decide(&t, 500 * MS) == SCHED_NEVER);
    assert_true(m[1].open);
}

static void a_newcomer_gets_its_turn_at_once_after_a_long_turn(void **state)
{
    struct sched_member m[2];
    struct sched t;

    setup(&t, m, 2);
    m[0].wants = true;
    sched_decide(&t, 0);
    m[1].wants = true;
    assert_true(sched_decide(&t, 100 * MS) == 110 * MS);
    assert_true(m[1].open && !m[0].open);
}

static void turns_go_round_in_order_of_joining(void **state)
{
    struct sched_member m[4];
    struct sched t;
    uint64_t now = 0;

    setup(&t, m, 4);
    m[0].wants = m[1].wants = m[3].wants = true; /* 2 has nothing to do */
    for (int round = 0; round < 30; round++) {
        static const int order[] = {0, 1, 3};
        uint64_t next = sched_decide(&t, now);

        assert_int_equal(count_open(m, 4), 1);
        assert_true(m[order[round % 3]].open);
        assert_true(next == now + QUANTUM);
        now = next;
    }
}

static void a_turn_lasts_its_quantum_whatever_happens_around_it(void **state)
{
    struct sched_member m[3];
    struct sched t;

    setup(&t, m, 3);
    m[0].wants = m[1].wants = true;
    sched_decide(&t, 0);
    for (uint64_t now = 0; now < QUANTUM; now += MS) {
        m[2].wants = now / MS % 2;
        assert_true(sched_decide(&t, now) == QUANTUM);
        assert_true(m[0].open);
    }
    sched_decide(&t, QUANTUM);
    assert_true(!m[0].open && m[1].open);
}

static void a_holder_without_work_gives_its_turn_away_at_once(void **state)
{
    struct sched_member m[3];
    struct sched t;

    setup(&t, m, 3);
    m[0].wants = m[1].wants = m[2].wants = true;
    sched_decide(&t, 0);
    assert_true(m[0].open);
    m[0].wants = false;
    m[0].in_flight = true; /* the GPU is still busy for it */
    sched_decide(&t, 2 * MS);
    assert_true(m[0].open);
    m[0].in_flight = false;
    assert_true(sched_decide(&t, 3 * MS) == 13 * MS);
    assert_true(m[1].open && !m[0].open);
}

static void the_last_one_with_work_is_not_gated(void **state)
{
    struct sched_member m[2];
    struct sched t;

    setup(&t, m, 2);
    m[0].wants = m[1].wants = true;
    sched_decide(&t, 0);
    assert_false(m[1].open);
    m[0].wants = false;
    assert_true(sched_decide(&t, MS) == SCHED_NEVER);
    assert_true(m[0].open && m[1].open);
}

static void a_holder_alone_in_wanting_keeps_the_turn(void **state)
{
    struct sched_member m[2];
    struct sched t;

    setup(&t, m, 2);
    m[0].wants = true;
    m[1].in_flight = true;
    sched_decide(&t, 0);
    for (uint64_t now = 0; now < 100 * MS; now += 5 * MS) {
        assert_true(sched_decide(&t, now) > now);
        assert_true(m[0].open);
    }
}

static void a_member_that_leaves_does_not_break_the_order(void **state)
{
    struct sched_member m[4];
    struct sched t;

    setup(&t, m, 4);
    for (int i = 0; i < 4; i++)
        m[i].wants = true;
    sched_decide(&t, 0);
    sched_decide(&t, QUANTUM);
    assert_true(m[1].open);
    sched_leave(&t, &m[1]); /* the holder: 2 follows, not 0 */
    sched_decide(&t, QUANTUM + MS);
    assert_true(m[2].open);
    sched_leave(&t, &m[0]); /* the first */
    sched_decide(&t, QUANTUM + 20 * MS);
    assert_true(m[3].open);
    sched_leave(&t, &m[2]);
    sched_leave(&t, &m[3]);
    assert_null(t.first);
    assert_null(t.holder);
    assert_true(sched_decide(&t, QUANTUM + 40 * MS) == SCHED_NEVER);
}

/* What a VM with work gets and waits, whatever the others do. */
static void nobody_waits_longer_than_one_round(void **state)
{
    enum { N = 30 };
    struct sched_member m[N];
    uint64_t waited[N] = {0}, open_ns = 0, now = 0;
    struct sched t;
    unsigned seed = 12345;

    setup(&t, m, N);
    for (int step = 0; step < 200000; step++) {
        unsigned wanting = 0, open_wanting = 0;

        seed = seed * 1103515245 + 12345;
        m[(seed >> 16) % N].in_flight = (seed >> 8) & 1;
        /* Half of them always want; the others come and go. */
        for (int i = 0; i < N; i++)
            m[i].wants = i % 2 || ((seed >> (i % 16)) & 1);
        sched_decide(&t, now);
        for (int i = 0; i < N; i++) {
            wanting += m[i].wants;
            open_wanting += m[i].wants && m[i].open;
            waited[i] = m[i].wants && !m[i].open ? waited[i] + MS : 0;
            assert_true(waited[i] <= N * QUANTUM);
        }
        assert_true(count_open(m, N) == 1);
        open_ns += open_wanting ? MS : 0;
        now += MS;
    }
    assert_true(open_ns > 0);
    assert_true(t.switches > 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_is_gated_while_one_has_work),
        cmocka_unit_test(a_newcomer_gets_its_turn_at_once_after_a_long_turn),
        cmocka_unit_test(turns_go_round_in_order_of_joining),
        cmocka_unit_test(a_turn_lasts_its_quantum_whatever_happens_around_it),
        cmocka_unit_test(a_holder_without_work_gives_its_turn_away_at_once),
        cmocka_unit_test(the_last_one_with_work_is_not_gated),
        cmocka_unit_test(a_holder_alone_in_wanting_keeps_the_turn),
        cmocka_unit_test(a_member_that_leaves_does_not_break_the_order),
        cmocka_unit_test(nobody_waits_longer_than_one_round),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
