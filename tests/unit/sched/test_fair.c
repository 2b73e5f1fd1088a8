/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fair queueing and limits over simulated time: if these fail, a VM starves, gets more than its
 * share or its limit, or the GPU idles while one waits.
 *
 * The simulated GPU executes pieces of work one after the other, in the order of submission. A VM
 * has jobs, each of some pieces of random length, and thinks between jobs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "mediator/sched/sched.h"

#define US 1000ull
#define MS 1000000ull
#define S 1000000000ull
#define VMS 16
#define POOLS 3
#define QUEUE 64
#define NEVER UINT64_MAX

struct demand {
    uint64_t piece_min, piece_max; /* GPU time of a piece of work */
    unsigned pieces;               /* of a job */
    uint64_t think_min, think_max; /* between jobs; 0: always busy */
};

struct vm {
    struct sched_member member;
    struct demand demand;
    unsigned left;       /* pieces of the job not submitted */
    unsigned in_flight;  /* pieces */
    uint64_t flight_ns;  /* their length */
    uint64_t think_end;  /* NEVER: not thinking */
    uint64_t next_piece; /* length of the next one */
    uint64_t service;    /* GPU time got */
    uint64_t asked_at;   /* NEVER: nothing waits */
    uint64_t wait_max;   /* from asking to the first piece's start */
    bool lies;           /* about its GPU time */
    bool asleep;         /* told to have nothing to do */
};

struct piece {
    struct vm *vm;
    uint64_t length, asked_at;
};

struct sim {
    struct sched sched;
    struct sched_pool pools[POOLS];
    struct vm vms[VMS];
    unsigned count;
    uint64_t now, gpu_end; /* NEVER: the GPU is idle */
    struct piece queue[QUEUE];
    unsigned queued;
    uint64_t idle_while_wanted, turns;
    unsigned random;
    bool unmeasured;
};

static struct sim sim;

static uint64_t between(uint64_t low, uint64_t high)
{
    sim.random = sim.random * 1103515245 + 12345;
    return low + (uint64_t)(sim.random >> 8) * (high - low + 1) / (1u << 24);
}

static const struct sched_params fair = {
    .policy = SCHED_FAIR, .quantum_ns = 10 * MS, .quantum_min_ns = MS, .in_flight_ns = 2 * MS};

static void sim_start(const struct sched_params *params, unsigned seed)
{
    memset(&sim, 0, sizeof(sim));
    sim.random = seed;
    sim.gpu_end = NEVER;
    sched_init(&sim.sched, params, 0);
    for (unsigned i = 0; i < POOLS; i++)
        sched_pool_join(&sim.sched, &sim.pools[i], 100);
}

static struct vm *sim_add(unsigned pool, uint32_t weight, struct demand demand)
{
    struct vm *vm = &sim.vms[sim.count++];

    vm->demand = demand;
    vm->think_end = demand.think_max ? sim.now + between(0, demand.think_max) : NEVER;
    vm->left = demand.think_max ? 0 : demand.pieces;
    vm->next_piece = between(demand.piece_min, demand.piece_max);
    vm->asked_at = NEVER;
    vm->member.measured = !sim.unmeasured;
    sched_join(&sim.sched, &sim.pools[pool], &vm->member, weight);
    return vm;
}

static const struct demand busy = {50 * US, 2 * MS, 10, 0, 0};

static void gpu_start(void)
{
    struct piece *head = &sim.queue[0];

    sim.gpu_end = sim.queued ? sim.now + head->length : NEVER;
    if (sim.queued && head->asked_at != NEVER && sim.now - head->asked_at > head->vm->wait_max)
        head->vm->wait_max = sim.now - head->asked_at;
}

static void submit(struct vm *vm)
{
    while (vm->left && vm->member.open && vm->in_flight < 8 && sim.queued < QUEUE &&
           vm->member.submitted < (vm->member.submit_tokens == SCHED_NO_LIMIT
                                       ? NEVER
                                       : vm->member.seen_submitted + vm->member.submit_tokens) &&
           (!vm->in_flight || vm->flight_ns < vm->member.in_flight_ns)) {
        sim.queue[sim.queued++] = (struct piece){vm, vm->next_piece, vm->asked_at};
        vm->asked_at = NEVER;
        vm->flight_ns += vm->next_piece;
        vm->in_flight++;
        vm->left--;
        vm->member.submitted++;
        vm->next_piece = between(vm->demand.piece_min, vm->demand.piece_max);
        if (!vm->left && !vm->demand.think_max && !vm->asleep)
            vm->left = vm->demand.pieces;
        if (sim.queued == 1)
            gpu_start();
    }
}

static void inputs(struct vm *vm)
{
    if (vm->left && vm->asked_at == NEVER && !vm->in_flight)
        vm->asked_at = sim.now;
    vm->member.wants = vm->left > 0;
    vm->member.in_flight = vm->in_flight > 0;
}

static void finish_piece(void)
{
    struct piece done = sim.queue[0];
    struct vm *vm = done.vm;

    memmove(sim.queue, sim.queue + 1, --sim.queued * sizeof(sim.queue[0]));
    vm->in_flight--;
    vm->flight_ns -= done.length;
    vm->service += done.length;
    if (vm->member.measured)
        vm->member.gpu_ns += vm->lies ? 1 : done.length;
    if (!vm->in_flight && !vm->left && vm->demand.think_max && vm->think_end == NEVER &&
        !vm->asleep)
        vm->think_end = sim.now + between(vm->demand.think_min, vm->demand.think_max);
    gpu_start();
}

typedef void sim_check(void);

static bool somebody_may_run(void)
{
    for (unsigned i = 0; i < sim.count; i++) {
        if (sim.vms[i].left && !sim.vms[i].member.throttled && !sim.vms[i].member.held)
            return true;
    }
    return false;
}

static void sim_run(uint64_t end, sim_check *check)
{
    while (sim.now < end) {
        uint64_t next = NEVER, at;

        for (int round = 0; round < 3; round++) {
            for (unsigned i = 0; i < sim.count; i++)
                inputs(&sim.vms[i]);
            next = sched_decide(&sim.sched, sim.now);
            assert_true(next > sim.now);
            for (unsigned i = 0; i < sim.count; i++)
                submit(&sim.vms[i]);
        }
        if (check)
            check();
        at = next < sim.gpu_end ? next : sim.gpu_end;
        for (unsigned i = 0; i < sim.count; i++) {
            if (sim.vms[i].think_end < at)
                at = sim.vms[i].think_end;
        }
        if (at > end)
            at = end;
        assert_true(at > sim.now || at == end);
        if (!sim.queued && somebody_may_run())
            sim.idle_while_wanted += at - sim.now;
        sim.now = at;
        sim.turns++;
        if (sim.now == sim.gpu_end)
            finish_piece();
        for (unsigned i = 0; i < sim.count; i++) {
            struct vm *vm = &sim.vms[i];

            if (sim.now >= vm->think_end) {
                vm->think_end = NEVER;
                if (!vm->asleep)
                    vm->left = vm->demand.pieces;
            }
        }
    }
}

static double share(const struct vm *vm)
{
    uint64_t all = 0;

    for (unsigned i = 0; i < sim.count; i++)
        all += sim.vms[i].service;
    return (double)vm->service / (double)all;
}

static void assert_near(double value, double expected, double tolerance)
{
    if (value < expected - tolerance || value > expected + tolerance)
        fail_msg("%.4f is not within %.4f of %.4f", value, tolerance, expected);
}

/* ---- shares ---- */

static void equal_weights_get_equal_time_whatever_their_pieces(void **state)
{
    for (int unmeasured = 0; unmeasured < 2; unmeasured++) {
        double sum = 0, squares = 0;

        sim_start(&fair, 1);
        sim.unmeasured = unmeasured;
        for (unsigned i = 0; i < 8; i++)
            sim_add(0, 100, (struct demand){(i + 1) * 20 * US, (i + 1) * 400 * US, 10, 0, 0});
        sim_run(5 * S, NULL);
        for (unsigned i = 0; i < 8; i++) {
            sum += share(&sim.vms[i]);
            squares += share(&sim.vms[i]) * share(&sim.vms[i]);
        }
        assert_true(sum * sum / (8 * squares) >= 0.995);
    }
}

static void weights_are_kept_within_three_percent(void **state)
{
    sim_start(&fair, 2);
    sim_add(0, 400, busy);
    sim_add(0, 200, busy);
    sim_add(0, 100, busy);
    sim_run(20 * S, NULL);
    assert_near(share(&sim.vms[0]), 4 / 7.0, 0.03 * 4 / 7);
    assert_near(share(&sim.vms[1]), 2 / 7.0, 0.03 * 2 / 7);
    assert_near(share(&sim.vms[2]), 1 / 7.0, 0.03 / 7);
}

static void aging_does_not_level_weights(void **state)
{
    struct sched_params params = fair;

    params.aging_ns = 100 * MS;
    sim_start(&params, 3);
    sim_add(0, 1600, busy);
    for (int i = 0; i < 8; i++)
        sim_add(0, 100, busy);
    sim_run(20 * S, NULL);
    assert_near(share(&sim.vms[0]), 16 / 24.0, 0.03);
}

static void pools_divide_the_gpu_by_their_weights(void **state)
{
    sim_start(&fair, 4);
    sim.pools[0].weight = 300;
    sim_add(0, 100, busy);
    for (int i = 0; i < 4; i++)
        sim_add(1, 1600, busy);
    sim_run(20 * S, NULL);
    assert_near(share(&sim.vms[0]), 0.75, 0.02);
    for (int i = 1; i < 5; i++)
        assert_near(share(&sim.vms[i]), 0.25 / 4, 0.005);
}

static uint64_t service_before[VMS];
static uint64_t bound_c[VMS];

static void check_bound(void)
{
    for (unsigned i = 0; i < sim.count; i++) {
        for (unsigned k = i + 1; k < sim.count; k++) {
            const struct vm *a = &sim.vms[i], *b = &sim.vms[k];
            double wa = a->member.weight, wb = b->member.weight;
            double difference = (double)(a->service - service_before[i]) / wa -
                                (double)(b->service - service_before[k]) / wb;
            double bound = 2 * ((double)bound_c[i] / wa + (double)bound_c[k] / wb);

            if (difference > bound || -difference > bound)
                fail_msg("VMs %u and %u are %.0f apart, allowed %.0f", i, k, difference, bound);
        }
    }
}

static void service_stays_within_the_bound_of_the_weights(void **state)
{
    for (unsigned seed = 1; seed <= 20; seed++) {
        sim_start(&fair, seed);
        for (unsigned i = 0; i < 3 + seed % 6; i++) {
            uint64_t longest = between(100 * US, 30 * MS);

            sim_add(0, (uint32_t)between(50, 1000), (struct demand){10 * US, longest, 5, 0, 0});
            service_before[i] = 0;
            /* A turn, and what was in flight at its end: 2 ms and the piece that went beyond. */
            bound_c[i] = fair.quantum_ns + fair.in_flight_ns + longest;
        }
        sim_run(S, check_bound);
        for (unsigned i = 0; i < sim.count; i++)
            service_before[i] = sim.vms[i].service;
        sim_run(3 * S, check_bound); /* from any moment on, not only from the start */
    }
}

/* ---- nobody waits for ever, and nothing is left idle ---- */

static void any_demand(unsigned seed)
{
    for (unsigned i = 0; i < 12; i++) {
        bool thinks = between(0, 1);

        sim_add((unsigned)between(0, POOLS - 1), (uint32_t)between(10, 2000),
                (struct demand){5 * US, between(10 * US, 20 * MS), (unsigned)between(1, 20), 0,
                                thinks ? between(10 * US, 50 * MS) : 0});
    }
}

static void the_gpu_never_idles_while_work_waits(void **state)
{
    for (unsigned seed = 1; seed <= 20; seed++) {
        struct sched_params params = fair;

        params.policy = seed % 2 ? SCHED_FAIR : SCHED_RR;
        sim_start(&params, seed);
        any_demand(seed);
        sim_run(3 * S, NULL);
        assert_true(sim.idle_while_wanted == 0);
    }
}

static void the_grace_time_bounds_what_a_pause_wastes(void **state)
{
    struct sched_params params = fair;

    params.grace_ns = 200 * US;
    sim_start(&params, 5);
    sim_add(0, 100, (struct demand){20 * US, 20 * US, 1, 10 * US, 50 * US});
    sim_add(0, 100, busy);
    sim_run(5 * S, NULL);
    /* One pause of at most 50 us per 20 us of work; without a grace time it would lose its turns.
     */
    assert_true(sim.sched.switches < 5 * S / (3 * MS));
    assert_true(sim.vms[1].service > 2 * S);
    /* Somebody who pauses for longer has no turn to keep. */
    sim_start(&params, 6);
    sim_add(0, 100, (struct demand){20 * US, 20 * US, 1, 5 * MS, 9 * MS});
    sim_add(0, 100, busy);
    sim_run(5 * S, NULL);
    assert_true(sim.idle_while_wanted < 5 * S / 50);
}

static void nobody_starves_under_any_demand(void **state)
{
    for (unsigned seed = 1; seed <= 20; seed++) {
        struct sched_params params = fair;

        params.aging_ns = 500 * MS;
        sim_start(&params, seed);
        any_demand(seed);
        sim_run(10 * S, NULL);
        for (unsigned i = 0; i < sim.count; i++) {
            /* Its smallest fair share of a second, at the least. */
            assert_true(sim.vms[i].member.turns > 0 || sim.vms[i].service > 0);
            assert_true(sim.vms[i].wait_max < 10 * S);
        }
    }
}

static void a_debtor_is_served_after_the_aging_time(void **state)
{
    struct sched_params params = fair;

    params.aging_ns = 300 * MS;
    sim_start(&params, 7);
    sim_add(0, 10, (struct demand){4 * S, 4 * S, 1, 0, 0}); /* 4 s at the lowest weight */
    sim_add(0, 1000, busy);
    sim_run(4 * S + 100 * MS, NULL);
    assert_true(sim.vms[0].service == 4 * S);
    sim.vms[0].demand.piece_min = sim.vms[0].demand.piece_max = sim.vms[0].next_piece = MS;
    sim.vms[0].wait_max = 0;
    sim.vms[0].asked_at = sim.now;
    sim_run(8 * S, NULL);
    /* By its debt it would wait 400 s; aging and one fair round (1010 ms) bound it. */
    assert_true(sim.vms[0].wait_max > 0 && sim.vms[0].wait_max < 2 * S);
}

/* ---- sleeping ---- */

static void sleep_and_wake(unsigned pool_of_sleeper)
{
    uint64_t before[2];

    sim_start(&fair, 8);
    sim_add(0, 100, busy);
    sim_add(pool_of_sleeper, 100, busy);
    sim.vms[1].asleep = true;
    sim.vms[1].left = 0;
    sim_run(10 * S, NULL);
    assert_true(sim.vms[1].service == 0);
    sim.vms[1].asleep = false;
    sim.vms[1].left = 10;
    before[0] = sim.vms[0].service;
    before[1] = sim.vms[1].service;
    sim_run(10 * S + 200 * MS, NULL);
    assert_true(sim.vms[1].service - before[1] < 130 * MS);
    assert_true(sim.vms[0].service - before[0] > 70 * MS);
}

static void sleeping_earns_no_credit(void **state)
{
    sleep_and_wake(0);
}

static void a_sleeping_pool_earns_no_credit(void **state)
{
    sleep_and_wake(1);
}

static void sleeping_pays_no_debt(void **state)
{
    /* One runs a long kernel, then pauses for an instant, again and again. */
    sim_start(&fair, 9);
    sim_add(0, 100, (struct demand){200 * MS, 200 * MS, 1, 10 * US, MS});
    sim_add(0, 100, busy);
    sim_run(20 * S, NULL);
    assert_true(share(&sim.vms[0]) < 0.53);
    assert_true(share(&sim.vms[1]) > 0.47);
}

static void naps_gain_nothing_over_working(void **state)
{
    sim_start(&fair, 10);
    sim_add(0, 100, (struct demand){100 * US, 2 * MS, 12, 20 * US, 300 * US});
    for (int i = 0; i < 3; i++)
        sim_add(0, 100, busy);
    sim_run(20 * S, NULL);
    assert_true(share(&sim.vms[0]) < 0.26);
}

static void leaving_and_joining_again_is_no_way_out_for_a_pool(void **state)
{
    /* Pool 1 has one VM that naps; pool 0 works all the time: equal weights. */
    sim_start(&fair, 11);
    sim_add(1, 100, (struct demand){50 * MS, 50 * MS, 1, 10 * US, 100 * US});
    sim_add(0, 100, busy);
    sim_add(0, 100, busy);
    sim_run(20 * S, NULL);
    assert_true(share(&sim.vms[0]) < 0.53);
}

/* ---- limits ---- */

static double leak[VMS];
static uint64_t leak_service[VMS], leak_submitted[VMS], leak_at;
static double leak_rate, leak_most;

static void check_gpu_limit(void)
{
    leak[0] -= (double)(sim.now - leak_at) * leak_rate;
    leak[0] = leak[0] < 0 ? 0 : leak[0];
    leak[0] += (double)(sim.vms[0].service - leak_service[0]);
    leak_service[0] = sim.vms[0].service;
    leak_at = sim.now;
    if (leak[0] > leak_most)
        fail_msg("%.0f ns over the limit", leak[0] - leak_most);
}

static void a_gpu_time_limit_holds_even_alone(void **state)
{
    for (unsigned others = 0; others < 3; others++) {
        sim_start(&fair, 12 + others);
        sim_add(0, 100, busy);
        bucket_set(&sim.vms[0].member.gpu_time, S / 10, 20 * MS, 0);
        for (unsigned i = 0; i < others; i++)
            sim_add(0, 100, busy);
        leak[0] = leak_service[0] = leak_at = 0;
        leak_rate = 0.1;
        /* The burst, and what runs when the bucket falls empty: in flight, and the piece beyond. */
        leak_most = (double)(20 * MS + fair.in_flight_ns + 2 * MS + MS);
        sim_run(20 * S, check_gpu_limit);
        assert_near((double)sim.vms[0].service / (20.0 * (double)S), 0.1, 0.003);
        assert_true(sim.vms[0].member.throttles > 10);
    }
}

static void what_a_limited_one_leaves_is_used(void **state)
{
    sim_start(&fair, 15);
    sim_add(0, 1600, busy);
    sim_add(0, 100, busy);
    bucket_set(&sim.vms[0].member.gpu_time, S / 5, 20 * MS, 0);
    sim_run(10 * S, NULL);
    assert_near(share(&sim.vms[0]), 0.2, 0.01);
    assert_true(sim.idle_while_wanted == 0);
}

static void check_submissions(void)
{
    leak[0] -= (double)(sim.now - leak_at) * 1e-9 * leak_rate;
    leak[0] = leak[0] < 0 ? 0 : leak[0];
    leak[0] += (double)(sim.vms[0].member.submitted - leak_submitted[0]);
    leak_submitted[0] = sim.vms[0].member.submitted;
    leak_at = sim.now;
    assert_true(leak[0] <= leak_most);
}

static void a_submission_limit_is_never_exceeded(void **state)
{
    sim_start(&fair, 16);
    sim_add(0, 100, (struct demand){5 * US, 10 * US, 1000, 0, 0});
    sim_add(0, 100, busy);
    bucket_set(&sim.vms[0].member.submissions, 2000, 50, 0);
    leak[0] = leak_at = leak_submitted[0] = 0;
    leak_rate = 2000;
    leak_most = 50 + 1;
    sim_run(10 * S, check_submissions);
    assert_true(sim.vms[0].member.submitted > 15000 && sim.vms[0].member.submitted <= 20051);
}

static void a_held_member_submits_nothing_and_others_do_not_wait(void **state)
{
    sim_start(&fair, 17);
    sim_add(0, 100, busy);
    sim_add(0, 100, busy);
    sim.vms[0].member.held = true;
    sim_run(S, NULL);
    assert_true(sim.vms[0].service == 0 && sim.vms[1].service > S - 3 * MS);
    sim.vms[0].member.held = false;
    sim_run(2 * S, NULL);
    assert_true(sim.vms[0].service > 450 * MS);
}

/* ---- urgency ---- */

static void a_heavy_member_ends_a_light_ones_turn(void **state)
{
    for (unsigned seed = 1; seed < 5; seed++) {
        sim_start(&fair, seed);
        sim_add(0, 1600, (struct demand){20 * US, 20 * US, 1, 300 * US, 600 * US});
        for (int i = 0; i < 7; i++)
            sim_add(0, 100, (struct demand){50 * US, 50 * US, 10, 0, 0});
        sim_run(2 * S, NULL);
        /* It waits for what is in flight, of one or two turns, and for no turn's end. */
        assert_true(sim.vms[0].wait_max <= 2 * fair.in_flight_ns + 200 * US);
        assert_true(sim.vms[0].service > 40 * MS);
    }
}

static void work_in_flight_is_short_while_somebody_urgent_is_about(void **state)
{
    struct sched_params params = fair;

    params.in_flight_urgent_ns = 200 * US;
    sim_start(&params, 22);
    sim_add(0, 1600, (struct demand){20 * US, 20 * US, 1, 300 * US, 600 * US});
    for (int i = 0; i < 7; i++)
        sim_add(0, 100, (struct demand){50 * US, 50 * US, 10, 0, 0});
    sim_run(100 * MS, NULL); /* it is not known yet that its bursts are short */
    sim.vms[0].wait_max = 0;
    sim_run(2 * S, NULL);
    assert_true(sim.vms[0].wait_max <= 2 * params.in_flight_urgent_ns + 100 * US);
    /* Without it about, as much as ever. */
    sim.vms[0].asleep = true;
    sim_run(4 * S, NULL);
    assert_true(sim.vms[1].member.in_flight_ns == params.in_flight_ns);
}

static void interruptions_do_not_end_the_turns_of_others(void **state)
{
    uint64_t turns = 0;

    sim_start(&fair, 23);
    sim_add(0, 1600, (struct demand){20 * US, 20 * US, 1, 400 * US, 500 * US});
    for (int i = 0; i < 7; i++)
        sim_add(0, 100, (struct demand){50 * US, 50 * US, 10, 0, 0});
    sim_run(2 * S, NULL);
    assert_true(sim.vms[0].service > 2000 * 20 * US);
    /* One turn of 10 ms after the other, and each is interrupted about twenty times. */
    for (int i = 1; i < 8; i++)
        turns += sim.vms[i].member.turns;
    assert_in_range(turns, 2 * S / (12 * MS), 2 * S / (7 * MS));
    for (int i = 1; i < 8; i++)
        assert_near(share(&sim.vms[i]), (1 - share(&sim.vms[0])) / 7, 0.01);
}

static void a_light_member_does_not_interrupt_a_heavy_one(void **state)
{
    sim_start(&fair, 18);
    sim_add(0, 1600, busy);
    sim_add(0, 100, (struct demand){8 * MS, 9 * MS, 1, MS, 2 * MS});
    sim_run(2 * S, NULL);
    assert_true(sim.vms[0].member.preempted == 0);
}

static void short_bursts_get_short_turns_and_long_ones_the_quantum(void **state)
{
    sim_start(&fair, 19);
    sim_add(0, 100, (struct demand){100 * US, 200 * US, 2, 5 * MS, 20 * MS});
    sim_add(0, 100, busy);
    sim_run(2 * S, NULL);
    assert_true(sim.vms[0].member.burst_average < MS);
    assert_true(sim.vms[1].member.burst_average >= fair.quantum_ns);
}

static void a_measurement_that_is_too_small_does_not_buy_the_gpu(void **state)
{
    sim_start(&fair, 20);
    sim_add(0, 100, busy);
    sim_add(0, 100, busy);
    sim.vms[0].lies = true;
    sim_run(10 * S, NULL);
    /* A quarter of its turns, and nothing of what it leaves in flight at their ends. */
    assert_true(share(&sim.vms[1]) > 0.12);
}

static void changes_while_running_do_not_break_anything(void **state)
{
    struct sched_params params = fair;

    sim_start(&fair, 21);
    any_demand(21);
    for (uint64_t end = 10 * MS; end < 5 * S; end += 10 * MS) {
        struct vm *vm = &sim.vms[between(0, sim.count - 1)];

        sim_run(end, NULL);
        switch (between(0, 5)) {
        case 0:
            vm->member.weight = (uint32_t)between(1, SCHED_WEIGHT_MAX);
            break;
        case 1:
            sched_move(&sim.sched, &vm->member, &sim.pools[between(0, POOLS - 1)]);
            break;
        case 2:
            bucket_set(&vm->member.gpu_time, between(0, 1) * between(1, S), 10 * MS, sim.now);
            break;
        case 3:
            sched_leave(&sim.sched, &vm->member);
            sched_join(&sim.sched, &sim.pools[0], &vm->member, 100);
            break;
        case 4:
            vm->member.held = between(0, 1);
            break;
        case 5:
            params.policy = between(0, 1) ? SCHED_FAIR : SCHED_RR;
            params.quantum_ns = between(MS, 20 * MS);
            params.grace_ns = between(0, 300 * US);
            sched_configure(&sim.sched, &params);
            break;
        }
    }
    for (unsigned i = 0; i < sim.count; i++) {
        sim.vms[i].member.held = false;
        bucket_set(&sim.vms[i].member.gpu_time, 0, 1, sim.now);
        sim.vms[i].service = 0;
    }
    sim_run(60 * S, NULL);
    for (unsigned i = 0; i < sim.count; i++)
        assert_true(sim.vms[i].service > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_weights_get_equal_time_whatever_their_pieces),
        cmocka_unit_test(weights_are_kept_within_three_percent),
        cmocka_unit_test(aging_does_not_level_weights),
        cmocka_unit_test(pools_divide_the_gpu_by_their_weights),
        cmocka_unit_test(service_stays_within_the_bound_of_the_weights),
        cmocka_unit_test(the_gpu_never_idles_while_work_waits),
        cmocka_unit_test(the_grace_time_bounds_what_a_pause_wastes),
        cmocka_unit_test(nobody_starves_under_any_demand),
        cmocka_unit_test(a_debtor_is_served_after_the_aging_time),
        cmocka_unit_test(sleeping_earns_no_credit),
        cmocka_unit_test(a_sleeping_pool_earns_no_credit),
        cmocka_unit_test(sleeping_pays_no_debt),
        cmocka_unit_test(naps_gain_nothing_over_working),
        cmocka_unit_test(leaving_and_joining_again_is_no_way_out_for_a_pool),
        cmocka_unit_test(a_gpu_time_limit_holds_even_alone),
        cmocka_unit_test(what_a_limited_one_leaves_is_used),
        cmocka_unit_test(a_submission_limit_is_never_exceeded),
        cmocka_unit_test(a_held_member_submits_nothing_and_others_do_not_wait),
        cmocka_unit_test(a_heavy_member_ends_a_light_ones_turn),
        cmocka_unit_test(work_in_flight_is_short_while_somebody_urgent_is_about),
        cmocka_unit_test(interruptions_do_not_end_the_turns_of_others),
        cmocka_unit_test(a_light_member_does_not_interrupt_a_heavy_one),
        cmocka_unit_test(short_bursts_get_short_turns_and_long_ones_the_quantum),
        cmocka_unit_test(a_measurement_that_is_too_small_does_not_buy_the_gpu),
        cmocka_unit_test(changes_while_running_do_not_break_anything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
