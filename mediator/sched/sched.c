/* SPDX-License-Identifier: Apache-2.0 */
#include "mediator/sched/sched.h"

#include <stddef.h>

#define V_SCALE 1024          /* virtual time has this many units per ns and weight */
#define HOLD_DIVISOR 4        /* a turn costs at least its length divided by this */
#define URGENT_NS 1000000000u /* how long somebody urgent is expected back */
#define LIMIT_TICK 1000000u   /* ns; how often a member with limits is looked at */
#define LIMIT_TICK_MIN 100000u

/* Virtual times may wrap; they are compared by their distance. */
static bool v_before(uint64_t a, uint64_t b)
{
    return (int64_t)(a - b) < 0;
}

static uint64_t v_cost(uint64_t ns, uint32_t weight)
{
    return ns * V_SCALE / (weight ? weight : 1);
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

uint64_t sched_virtual_time(const struct sched_member *member)
{
    return member->v;
}

void sched_init(struct sched *sched, const struct sched_params *params, uint64_t now)
{
    *sched = (struct sched){.now = now, .idle_end = SCHED_NEVER};
    sched_configure(sched, params);
}

void sched_configure(struct sched *sched, const struct sched_params *params)
{
    sched->params = *params;
    sched->params.quantum_ns = larger(params->quantum_ns, 1);
    sched->params.quantum_min_ns =
        smaller(larger(params->quantum_min_ns, 1), sched->params.quantum_ns);
}

void sched_pool_join(struct sched *sched, struct sched_pool *pool, uint32_t weight)
{
    struct sched_pool **at = &sched->pools;

    *pool = (struct sched_pool){.weight = weight, .v = sched->v_min};
    while (*at)
        at = &(*at)->next;
    *at = pool;
}

void sched_pool_leave(struct sched *sched, struct sched_pool *pool)
{
    struct sched_pool **at = &sched->pools;

    while (*at != pool)
        at = &(*at)->next;
    *at = pool->next;
}

static bool has_work(const struct sched_member *m)
{
    return (m->wants && !m->held && !m->throttled) || m->in_flight;
}

static bool is_eligible(const struct sched_member *m)
{
    return m->wants && !m->held && !m->throttled;
}

void sched_join(struct sched *sched, struct sched_pool *pool, struct sched_member *m,
                uint32_t weight)
{
    if (!sched->first) {
        sched->first = m->next = m->previous = m;
    } else {
        m->next = sched->first;
        m->previous = sched->first->previous;
        m->previous->next = m;
        m->next->previous = m;
    }
    m->pool = pool;
    m->weight = weight;
    m->v = pool->v_min;
    m->wants = m->in_flight = m->was_in_flight = false;
    m->active = m->had_work = m->fresh = m->throttled = m->dry = false;
    m->burst_average = sched->params.quantum_ns;
    m->idle_since = sched->now;
    m->waiting_since = SCHED_NEVER;
    m->seen_gpu_ns = m->gpu_ns;
    m->seen_submitted = m->submitted;
    m->pending_ns = m->headroom_ns = m->burst_ns = 0;
    m->submit_tokens = m->in_flight_ns = SCHED_NO_LIMIT;
    m->open = m->was_open = !sched->contended && !m->held;
}

void sched_leave(struct sched *sched, struct sched_member *m)
{
    bool alone = m->next == m;

    if (sched->holder == m) {
        /* The one before holds an ended turn, so that the next decision goes on after the leaver.
         */
        sched->holder = alone ? NULL : m->previous;
        sched->turn_end = sched->turn_start = sched->now;
        sched->turn_charged = 0;
        sched->idle_end = SCHED_NEVER;
    }
    if (sched->interrupted == m)
        sched->interrupted = NULL;
    if (sched->first == m)
        sched->first = alone ? NULL : m->next;
    m->previous->next = m->next;
    m->next->previous = m->previous;
    m->next = m->previous = NULL;
}

void sched_move(struct sched *sched, struct sched_member *m, struct sched_pool *pool)
{
    if (m->pool == pool)
        return;
    m->pool = pool;
    m->v = pool->v_min;
    m->active = false;
    if (sched->holder == m)
        sched->turn_end = sched->now;
}

/* ---- charging ---- */

static void charge(struct sched *sched, struct sched_member *m, int64_t ns)
{
    uint64_t amount = (uint64_t)(ns < 0 ? -ns : ns);

    if (ns < 0) {
        m->v -= v_cost(amount, m->weight);
        m->pool->v -= v_cost(amount, m->pool->weight);
        m->charged_ns -= smaller(m->charged_ns, amount);
        m->burst_ns -= smaller(m->burst_ns, amount);
    } else {
        m->v += v_cost(amount, m->weight);
        m->pool->v += v_cost(amount, m->pool->weight);
        m->charged_ns += amount;
        m->burst_ns += amount;
    }
    bucket_take(&m->gpu_time, ns);
    /* What is given back may be of earlier turns: no turn is charged less than nothing. */
    if (m == sched->holder && ns < 0)
        sched->turn_charged -= smaller(sched->turn_charged, amount);
    else if (m == sched->holder)
        sched->turn_charged += amount;
}

/* Whether the member was on the GPU from the last decision to this one, as far as can be seen. */
static bool ran_through(const struct sched_member *m)
{
    if (m->was_in_flight && (m->in_flight || !m->measured))
        return true;
    return !m->measured && m->was_open && m->wants;
}

static void charge_use(struct sched *sched, struct sched_member *m, uint64_t dt, unsigned running)
{
    uint64_t delta = m->gpu_ns > m->seen_gpu_ns ? m->gpu_ns - m->seen_gpu_ns : 0;
    uint64_t share;

    m->seen_gpu_ns += delta;
    if (!m->measured)
        delta = 0;
    if (!m->in_flight && !m->was_in_flight && !delta && !ran_through(m)) {
        m->headroom_ns = 0;
        return;
    }
    share = running && ran_through(m) ? dt / running : dt;
    /*
     * The estimate shares the time, but the measurement may be of all of it: whether a GPU executes
     * the work of two members in turns or one after the other is not known here.
     */
    m->headroom_ns += dt;
    if (delta) {
        /* The measurement takes the estimate's place. */
        uint64_t fresh = delta > m->pending_ns ? delta - m->pending_ns : 0;
        uint64_t surplus = delta < m->pending_ns ? m->pending_ns - delta : 0;

        fresh = smaller(fresh, m->headroom_ns);
        charge(sched, m, fresh ? (int64_t)fresh : -(int64_t)surplus);
        m->headroom_ns = m->headroom_ns - fresh + surplus;
        m->pending_ns = 0;
    } else if (ran_through(m)) {
        share = smaller(share, m->headroom_ns);
        charge(sched, m, (int64_t)share);
        m->headroom_ns -= share;
        if (m->measured)
            m->pending_ns += share;
    } else if (m->pending_ns && !m->in_flight) {
        charge(sched, m, -(int64_t)m->pending_ns); /* it has ended, and was not worth measuring */
        m->pending_ns = 0;
    }
    if (!m->in_flight)
        m->headroom_ns = 0;
}

static void account(struct sched *sched, uint64_t now)
{
    uint64_t dt = now > sched->now ? now - sched->now : 0;
    struct sched_member *m = sched->first;
    unsigned running = 0;

    if (sched->any_in_flight)
        sched->busy_ns += dt;
    if (sched->contended)
        sched->contended_ns += dt;
    sched->any_in_flight = false;
    if (!m)
        return;
    do {
        running += ran_through(m);
        m = m->next;
    } while (m != sched->first);
    do {
        uint64_t submitted =
            m->submitted > m->seen_submitted ? m->submitted - m->seen_submitted : 0;

        bucket_refill(&m->gpu_time, now);
        bucket_refill(&m->submissions, now);
        charge_use(sched, m, dt, running);
        m->seen_submitted += submitted;
        bucket_take(&m->submissions, submitted > INT64_MAX ? INT64_MAX : (int64_t)submitted);
        if (m->waiting_since != SCHED_NEVER)
            m->waited_ns += dt;
        m->was_in_flight = m->in_flight;
        sched->any_in_flight = sched->any_in_flight || m->in_flight;
        m = m->next;
    } while (m != sched->first);
}

/* ---- limits ---- */

static uint64_t gpu_time_to_resume(const struct sched *sched, const struct sched_member *m)
{
    return smaller(m->gpu_time.size, sched->params.quantum_min_ns);
}

static void check_limits(const struct sched *sched, struct sched_member *m)
{
    bool before = m->throttled;

    if (!bucket_is_limited(&m->gpu_time))
        m->dry = false;
    else if (m->gpu_time.tokens <= 0)
        m->dry = true;
    else if (m->gpu_time.tokens >= (int64_t)gpu_time_to_resume(sched, m))
        m->dry = false;
    m->submit_tokens = SCHED_NO_LIMIT;
    if (bucket_is_limited(&m->submissions))
        m->submit_tokens = m->submissions.tokens > 0 ? (uint64_t)m->submissions.tokens : 0;
    m->throttled = m->wants && (m->dry || !m->submit_tokens);
    m->throttles += m->throttled && !before;
}

static uint64_t limits_look_at(const struct sched *sched, const struct sched_member *m,
                               uint64_t now)
{
    uint64_t next = SCHED_NEVER, tick;

    if (m->throttled) {
        next = 0;
        if (m->dry)
            next = bucket_ready_at(&m->gpu_time, gpu_time_to_resume(sched, m));
        if (!m->submit_tokens)
            next = larger(next, bucket_ready_at(&m->submissions, 1));
        return larger(next, now + 1);
    }
    if (!has_work(m))
        return next;
    if (bucket_is_limited(&m->gpu_time) && m->gpu_time.tokens > 0) {
        tick = larger(LIMIT_TICK_MIN, (uint64_t)m->gpu_time.tokens);
        next = now + smaller(tick, LIMIT_TICK);
    }
    if (bucket_is_limited(&m->submissions))
        next = smaller(next, now + LIMIT_TICK);
    return next;
}

/* ---- who has work ---- */

static bool in_grace(const struct sched *sched, const struct sched_member *m, uint64_t now)
{
    return now - m->idle_since < sched->params.grace_ns;
}

static void update_minimum(uint64_t *v_min, uint64_t lowest)
{
    if (v_before(*v_min, lowest))
        *v_min = lowest;
}

/* The smallest virtual times of those with work, which never go back. */
static void update_minima(struct sched *sched)
{
    struct sched_pool *lowest_pool = NULL;

    for (struct sched_pool *pool = sched->pools; pool; pool = pool->next) {
        struct sched_member *m = sched->first, *lowest = NULL;

        do {
            if (m->pool == pool && m->active && (!lowest || v_before(m->v, lowest->v)))
                lowest = m;
            m = m->next;
        } while (m != sched->first);
        pool->active = lowest != NULL;
        if (!lowest)
            continue;
        update_minimum(&pool->v_min, lowest->v);
        if (!lowest_pool || v_before(pool->v, lowest_pool->v))
            lowest_pool = pool;
    }
    if (lowest_pool)
        update_minimum(&sched->v_min, lowest_pool->v);
}

static void fall_asleep(struct sched *sched, struct sched_member *m, uint64_t now)
{
    if (has_work(m)) {
        return;
    } else if (m->had_work) {
        m->had_work = false;
        m->idle_since = now;
    }
    /* Shorter pauses are part of a burst, and cost nobody his place. */
    if (m->active && !in_grace(sched, m, now)) {
        m->active = false;
        m->burst_average = (3 * m->burst_average + m->burst_ns) / 4;
        m->burst_ns = 0;
    }
}

static void wake_up(struct sched *sched, struct sched_member *m, uint64_t now)
{
    uint64_t pause;

    if (!has_work(m) || m->had_work)
        return;
    pause = smaller(now - m->idle_since, 4 * sched->params.grace_ns);
    m->think_average = (3 * m->think_average + pause) / 4;
    m->had_work = m->fresh = true;
    if (m->active)
        return;
    m->active = true;
    if (v_before(m->v, m->pool->v_min))
        m->v = m->pool->v_min;
    if (!m->pool->active) {
        m->pool->active = true;
        if (v_before(m->pool->v, sched->v_min))
            m->pool->v = sched->v_min;
    }
}

static bool keeps_turn_idle(const struct sched *sched, const struct sched_member *m, uint64_t now)
{
    return sched->params.grace_ns && m->active && !has_work(m) && !m->wants &&
           in_grace(sched, m, now) && m->think_average < sched->params.grace_ns;
}

/* ---- turns ---- */

static uint64_t slice(const struct sched *sched, const struct sched_member *m)
{
    uint64_t wanted = larger(m->burst_average + m->burst_average / 4, m->burst_ns);

    if (sched->params.policy == SCHED_RR)
        return sched->params.quantum_ns;
    return smaller(larger(wanted, sched->params.quantum_min_ns), sched->params.quantum_ns);
}

static void end_turn(struct sched *sched, uint64_t now)
{
    uint64_t least = (now - sched->turn_start) / HOLD_DIVISOR;

    if (sched->holder && sched->contended && sched->turn_charged < least)
        charge(sched, sched->holder, (int64_t)(least - sched->turn_charged));
    sched->turn_charged = 0;
    sched->turn_start = now;
}

static void start_turn(struct sched *sched, struct sched_member *m, uint64_t now)
{
    uint64_t length = slice(sched, m);

    end_turn(sched, now);
    if (sched->holder && sched->holder != m)
        sched->switches++;
    sched->holder = m;
    sched->turn_end = now + length;
    sched->turn_deadline = m->v + v_cost(length, m->weight);
    sched->turn_pool_deadline = m->pool->v + v_cost(length, m->pool->weight);
    sched->idle_end = SCHED_NEVER;
    m->fresh = false;
    m->turns++;
}

/* How long a member waits for its next turn when all others use their shares to the full. */
static uint64_t fair_wait(const struct sched *sched, const struct sched_member *of)
{
    const struct sched_member *m = sched->first;
    uint64_t weights = 0, pool_weights = 0;
    unsigned __int128 wait = sched->params.quantum_ns;

    do {
        if (m->active && m->pool == of->pool)
            weights += m->weight;
        m = m->next;
    } while (m != sched->first);
    for (const struct sched_pool *pool = sched->pools; pool; pool = pool->next)
        pool_weights += pool->active ? pool->weight : 0;
    wait = wait * larger(weights, of->weight) / (of->weight ? of->weight : 1);
    wait =
        wait * larger(pool_weights, of->pool->weight) / (of->pool->weight ? of->pool->weight : 1);
    return wait > SCHED_NEVER / 4 ? SCHED_NEVER / 4 : (uint64_t)wait;
}

static struct sched_member *oldest_overdue(const struct sched *sched, uint64_t now)
{
    struct sched_member *m = sched->first, *oldest = NULL;

    if (!sched->params.aging_ns)
        return NULL;
    do {
        if (is_eligible(m) && m->waiting_since != SCHED_NEVER &&
            now - m->waiting_since > sched->params.aging_ns &&
            now - m->waiting_since > sched->params.aging_ns + fair_wait(sched, m) &&
            (!oldest || m->waiting_since < oldest->waiting_since))
            oldest = m;
        m = m->next;
    } while (m != sched->first);
    return oldest;
}

/* Who gets the next turn; NULL: nobody wants. The holder comes last among equals. */
static struct sched_member *pick(const struct sched *sched, uint64_t now)
{
    struct sched_member *start = sched->holder ? sched->holder->next : sched->first, *m = start;
    struct sched_member *best = NULL;

    if (sched->params.policy == SCHED_FAIR)
        best = oldest_overdue(sched, now);
    if (best)
        return best;
    do {
        if (!is_eligible(m)) {
            m = m->next;
            continue;
        }
        if (sched->params.policy == SCHED_RR)
            return m;
        if (!best || (m->pool != best->pool && v_before(m->pool->v, best->pool->v)) ||
            (m->pool == best->pool && v_before(m->v, best->v)))
            best = m;
        m = m->next;
    } while (m != start);
    return best;
}

/*
 * A member that has just got work and is more urgent than the holder, or NULL. *look_at: when there
 * will be one, as the shortest turn is not over yet.
 */
static struct sched_member *preemptor(const struct sched *sched, uint64_t now, uint64_t *look_at)
{
    uint64_t least = sched->turn_start + sched->params.quantum_min_ns;
    const struct sched_member *holder = sched->holder;
    struct sched_member *m = sched->first, *best = NULL;
    uint64_t best_distance = 0;

    if (sched->params.policy != SCHED_FAIR)
        return NULL;
    do {
        uint64_t deadline, against, distance;

        if (m != holder && m->fresh && is_eligible(m)) {
            if (m->pool == holder->pool) {
                deadline = m->v + v_cost(slice(sched, m), m->weight);
                against = sched->turn_deadline;
            } else {
                deadline = m->pool->v + v_cost(slice(sched, m), m->pool->weight);
                against = sched->turn_pool_deadline;
            }
            distance = against - deadline;
            if (!v_before(deadline, against)) {
                /* The holder goes first. */
            } else if (now < least && m->weight <= holder->weight) {
                *look_at = least;
            } else if (!best || distance > best_distance) {
                best = m;
                best_distance = distance;
            }
        }
        m = m->next;
    } while (m != sched->first);
    return best;
}

static void interrupt(struct sched *sched, struct sched_member *by, uint64_t now)
{
    struct sched_member *holder = sched->holder;
    uint64_t left = sched->turn_end - now;

    holder->preempted++;
    /* Who interrupts an interruption does not end the turn below it. */
    if (!sched->interrupted) {
        sched->interrupted = holder;
        sched->interrupted_left = left;
        sched->interrupted_deadline = sched->turn_deadline;
        sched->interrupted_pool_deadline = sched->turn_pool_deadline;
    }
    start_turn(sched, by, now);
}

/* Lets an interrupted turn go on; whether there was one. */
static bool resume(struct sched *sched, uint64_t now)
{
    struct sched_member *m = sched->interrupted;
    uint64_t left = sched->interrupted_left;

    sched->interrupted = NULL;
    if (!m || m == sched->holder || !is_eligible(m) || sched->params.policy != SCHED_FAIR)
        return false;
    /* What it had in flight may have been more than the turn. */
    if (!v_before(m->v, sched->interrupted_deadline) ||
        !v_before(m->pool->v, sched->interrupted_pool_deadline))
        return false;
    start_turn(sched, m, now);
    m->turns--;
    sched->turn_end = now + left;
    sched->turn_deadline = sched->interrupted_deadline;
    sched->turn_pool_deadline = sched->interrupted_pool_deadline;
    return true;
}

static uint64_t pass_turn(struct sched *sched, uint64_t now)
{
    uint64_t look_at = SCHED_NEVER;
    struct sched_member *holder = sched->holder, *next;
    bool keeps = holder && (has_work(holder) || keeps_turn_idle(sched, holder, now)) &&
                 !holder->throttled && !holder->held;

    sched->idle_end = SCHED_NEVER;
    if (keeps && now < sched->turn_end) {
        next = preemptor(sched, now, &look_at);
        if (next) {
            interrupt(sched, next, now);
        } else if (!has_work(holder)) {
            sched->idle_end = holder->idle_since + sched->params.grace_ns;
        }
        return smaller(look_at, smaller(sched->turn_end, sched->idle_end));
    }
    if (resume(sched, now))
        return sched->turn_end;
    next = pick(sched, now);
    if (next)
        start_turn(sched, next, now);
    else if (now >= sched->turn_end)
        sched->turn_end = now + sched->params.quantum_ns; /* all only wait for the GPU */
    return sched->turn_end;
}

/* Whether somebody of more weight, who never needs the GPU for long, may be back any moment. */
static bool urgent_about(const struct sched *sched, const struct sched_member *than, uint64_t now)
{
    const struct sched_member *m = sched->first;

    do {
        if (m != than && m->weight > than->weight &&
            m->burst_average < sched->params.quantum_min_ns &&
            (m->active || now - m->idle_since < URGENT_NS))
            return true;
        m = m->next;
    } while (m != sched->first);
    return false;
}

static void set_open(struct sched *sched, struct sched_member *m, bool open, uint64_t now)
{
    bool waits = m->wants && !open;

    if (waits && m->waiting_since == SCHED_NEVER) {
        m->waiting_since = now;
    } else if (!waits && m->waiting_since != SCHED_NEVER) {
        m->wait_max_ns = larger(m->wait_max_ns, now - m->waiting_since);
        m->waiting_since = SCHED_NEVER;
    }
    m->open = m->was_open = open;
    m->in_flight_ns = SCHED_NO_LIMIT;
    if (sched->params.in_flight_ns && ((sched->contended && sched->params.policy == SCHED_FAIR) ||
                                       bucket_is_limited(&m->gpu_time)))
        m->in_flight_ns = sched->params.in_flight_ns;
    if (sched->params.in_flight_urgent_ns && sched->params.policy == SCHED_FAIR && m->wants &&
        urgent_about(sched, m, now))
        m->in_flight_ns = smaller(m->in_flight_ns, sched->params.in_flight_urgent_ns);
}

uint64_t sched_decide(struct sched *sched, uint64_t now)
{
    struct sched_member *m = sched->first, *only = NULL;
    uint64_t next = SCHED_NEVER;
    unsigned active = 0;

    if (now < sched->now)
        now = sched->now;
    account(sched, now);
    sched->now = now;
    if (!m) {
        sched->contended = false;
        return SCHED_NEVER;
    }
    do {
        check_limits(sched, m);
        fall_asleep(sched, m, now);
        m = m->next;
    } while (m != sched->first);
    update_minima(sched);
    do {
        wake_up(sched, m, now);
        if (has_work(m)) {
            active++;
            only = m;
        }
        m = m->next;
    } while (m != sched->first);
    if (sched->holder && keeps_turn_idle(sched, sched->holder, now))
        active++;

    if (active > 1 && !sched->contended) {
        /* What was used while nobody else wanted is no turn. */
        sched->turn_charged = 0;
        sched->turn_start = now;
    } else if (active <= 1 && sched->contended) {
        end_turn(sched, now);
    }
    sched->contended = active > 1;
    if (!sched->contended) {
        if (only && only != sched->holder) {
            start_turn(sched, only, now);
            only->turns--;
        }
    } else {
        next = pass_turn(sched, now);
    }
    do {
        bool open = !sched->contended || m == sched->holder;

        set_open(sched, m, open && !m->held && !m->throttled, now);
        next = smaller(next, limits_look_at(sched, m, now));
        m = m->next;
    } while (m != sched->first);
    return next;
}
