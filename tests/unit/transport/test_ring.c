/* SPDX-License-Identifier: Apache-2.0 */
/* The ring, both sides in one process: order, wrap, back-pressure, sleep, and what a guest may
 * break. */
#include "test.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rig.h"

#define BYTES (4ull << 20)
#define SLOTS 2048u
#define OPCODES 100u

static struct rig rig;
static struct vgpu_producer producer;
static struct vgpu_consumer consumer;
static _Alignas(8) uint8_t buffer[VGPU_RECORD_MAX];

static int set_up(void **state)
{
    rig_create(&rig, BYTES, SLOTS, 16);
    vgpu_producer_init(&producer, &rig.channel);
    vgpu_consumer_init(&consumer, &rig.host, OPCODES);
    return 0;
}

static int tear_down(void **state)
{
    rig_destroy(&rig);
    return 0;
}

/* A record whose body is filled with `fill`. */
static int produce(uint16_t opcode, uint32_t size, uint8_t fill)
{
    uint64_t position;
    struct vgpu_record *r = vgpu_ring_reserve(&producer, size, VGPU_RING_NONBLOCK, &position);

    if (!r)
        return -errno;
    *r = (struct vgpu_record){.opcode = opcode, .reply = VGPU_REPLY_NONE, .size = size};
    memset(r + 1, fill, size - sizeof(*r));
    vgpu_ring_commit(&producer, position);
    return 0;
}

static void consume(uint16_t opcode, uint32_t size, uint8_t fill)
{
    const struct vgpu_record *r = (const void *)buffer;

    assert_int_equal(vgpu_ring_next(&consumer, buffer), VGPU_RING_RECORD);
    assert_int_equal(r->opcode, opcode);
    assert_int_equal(r->size, size);
    for (uint32_t i = sizeof(*r); i < size; i++)
        if (buffer[i] != fill)
            fail_msg("byte %u of a record is %u, not %u", i, buffer[i], fill);
}

static void records_arrive_in_order(void **state)
{
    for (uint32_t i = 0; i < 50; i++)
        assert_int_equal(produce((uint16_t)(1 + i), 16 + i * 7, (uint8_t)i), 0);
    for (uint32_t i = 0; i < 50; i++)
        consume((uint16_t)(1 + i), 16 + i * 7, (uint8_t)i);
    assert_int_equal(vgpu_ring_next(&consumer, buffer), VGPU_RING_EMPTY);
}

static void records_of_every_size_survive_many_laps(void **state)
{
    uint64_t seed = 1;

    for (int i = 0; i < 20000; i++) {
        uint32_t size = 16 + rig_random(&seed) % (i % 10 ? 600 : VGPU_RECORD_MAX - 15);
        assert_int_equal(produce(5, size, (uint8_t)i), 0);
        consume(5, size, (uint8_t)i);
    }
    assert_true(consumer.position > 20 * SLOTS);
}

static void sizes_out_of_range_are_refused(void **state)
{
    uint64_t position;

    assert_null(vgpu_ring_reserve(&producer, 15, 0, &position));
    assert_int_equal(errno, EINVAL);
    assert_null(vgpu_ring_reserve(&producer, VGPU_RECORD_MAX + 1, 0, &position));
    assert_int_equal(errno, EINVAL);
    assert_null(vgpu_ring_reserve(&producer, 0, 0, &position));
    assert_null(vgpu_ring_reserve(&producer, UINT32_MAX, 0, &position));
    assert_int_equal(atomic_load(&rig.channel.view.shared->head), 0);
}

static void a_full_ring_refuses_and_recovers(void **state)
{
    unsigned n = 0;

    while (produce(1, 128, 0) == 0)
        n++;
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(n, SLOTS / 2);
    consume(1, 128, 0);
    assert_int_equal(produce(2, 128, 0), 0);
    assert_int_equal(produce(2, 16, 0), -EAGAIN);
    for (unsigned i = 1; i < n; i++)
        consume(1, 128, 0);
    consume(2, 128, 0);
}

static void a_cancelled_reservation_is_skipped(void **state)
{
    uint64_t position;

    produce(1, 64, 1);
    assert_non_null(vgpu_ring_reserve(&producer, 1000, 0, &position));
    produce(2, 64, 2);
    consume(1, 64, 1);
    assert_int_equal(vgpu_ring_next(&consumer, buffer), VGPU_RING_EMPTY);
    vgpu_ring_cancel(&producer, position, 1000);
    consume(2, 64, 2);
}

static void an_uncommitted_record_holds_later_ones_back(void **state)
{
    uint64_t first;
    struct vgpu_record *r = vgpu_ring_reserve(&producer, 64, 0, &first);

    produce(2, 64, 2);
    assert_false(vgpu_ring_ready(&consumer));
    assert_int_equal(vgpu_ring_next(&consumer, buffer), VGPU_RING_EMPTY);
    *r = (struct vgpu_record){.opcode = 1, .reply = VGPU_REPLY_NONE, .size = 64};
    memset(r + 1, 1, 48);
    vgpu_ring_commit(&producer, first);
    consume(1, 64, 1);
    consume(2, 64, 2);
}

static void no_doorbell_while_the_consumer_is_awake(void **state)
{
    for (int i = 0; i < 100; i++) {
        produce(1, 64, 0);
        consume(1, 64, 0);
    }
    assert_int_equal(atomic_load(&rig.doorbells), 0);
    assert_true(vgpu_ring_sleep_prepare(&consumer));
    for (int i = 0; i < 100; i++)
        produce(1, 64, 0);
    assert_int_equal(atomic_load(&rig.doorbells), 1);
    vgpu_ring_sleep_finish(&consumer);
}

static void a_consumer_does_not_sleep_over_a_record(void **state)
{
    produce(1, 64, 0);
    assert_false(vgpu_ring_sleep_prepare(&consumer));
    assert_int_equal(vgpu_ring_wait(&consumer, rig.doorbell, -1, 0), VGPU_RING_RECORD);
    consume(1, 64, 0);
    assert_int_equal(vgpu_ring_wait(&consumer, rig.doorbell, -1, 1), VGPU_RING_EMPTY);
}

static void *produce_one_late(void *unused)
{
    usleep(20000);
    produce(7, 64, 7);
    return NULL;
}

static void a_doorbell_ends_the_consumers_sleep(void **state)
{
    pthread_t thread;

    pthread_create(&thread, NULL, produce_one_late, NULL);
    assert_int_equal(vgpu_ring_wait(&consumer, rig.doorbell, -1, -1), VGPU_RING_RECORD);
    consume(7, 64, 7);
    pthread_join(thread, NULL);
}

static void another_descriptor_ends_the_consumers_sleep(void **state)
{
    int pipe_fds[2];

    assert_int_equal(pipe(pipe_fds), 0);
    close(pipe_fds[1]);
    assert_int_equal(vgpu_ring_wait(&consumer, rig.doorbell, pipe_fds[0], -1), VGPU_RING_EMPTY);
    close(pipe_fds[0]);
}

static void a_broken_doorbell_is_a_violation(void **state)
{
    int pipe_fds[2];

    assert_int_equal(pipe(pipe_fds), 0);
    close(pipe_fds[1]);
    assert_int_equal(vgpu_ring_wait(&consumer, pipe_fds[0], -1, -1), VGPU_RING_VIOLATION);
    assert_non_null(consumer.violation);
    close(pipe_fds[0]);
}

static void *consume_all_late(void *unused)
{
    usleep(20000);
    while (vgpu_ring_next(&consumer, buffer) == VGPU_RING_RECORD)
        ;
    return NULL;
}

static void a_blocked_producer_wakes_when_there_is_room(void **state)
{
    pthread_t thread;
    uint64_t position;

    while (produce(1, 64, 0) == 0)
        ;
    pthread_create(&thread, NULL, consume_all_late, NULL);
    assert_non_null(vgpu_ring_reserve(&producer, VGPU_RECORD_MAX, 0, &position));
    vgpu_ring_cancel(&producer, position, VGPU_RECORD_MAX);
    pthread_join(thread, NULL);
}

static void *die_late(void *unused)
{
    usleep(20000);
    vgpu_host_state(&rig.host, VGPU_HOST_DEAD, 719);
    return NULL;
}

static void a_blocked_producer_learns_of_the_workers_death(void **state)
{
    pthread_t thread;
    uint64_t position;

    while (produce(1, 64, 0) == 0)
        ;
    pthread_create(&thread, NULL, die_late, NULL);
    assert_null(vgpu_ring_reserve(&producer, 64, 0, &position));
    assert_int_equal(errno, EPIPE);
    pthread_join(thread, NULL);
}

static void a_dead_or_inherited_channel_is_refused(void **state)
{
    uint64_t position;

    atomic_store(&rig.owner, VGPU_OWNER_DEAD);
    assert_null(vgpu_ring_reserve(&producer, 64, 0, &position));
    assert_int_equal(errno, EPIPE);
    atomic_store(&rig.owner, VGPU_OWNER_FORKED);
    assert_null(vgpu_ring_reserve(&producer, 64, 0, &position));
    assert_int_equal(errno, EPERM);
}

/* ---- what a hostile guest writes ---- */

/* Commits a raw header at position 0 and says how the consumer took it. */
static int feed(struct vgpu_record header, uint64_t head)
{
    struct vgpu_arena_shared *shared = rig.channel.view.shared;

    vgpu_consumer_init(&consumer, &rig.host, OPCODES);
    atomic_store(&shared->head, head);
    memcpy(rig.channel.view.ring, &header, sizeof(header));
    atomic_store(&rig.channel.view.commit[0], 1);
    int status = vgpu_ring_next(&consumer, buffer);
    if (status == VGPU_RING_VIOLATION) {
        assert_non_null(consumer.violation);
        /* Sticky: nothing is served after it. */
        assert_int_equal(vgpu_ring_next(&consumer, buffer), VGPU_RING_VIOLATION);
        assert_int_equal(vgpu_ring_wait(&consumer, rig.doorbell, -1, -1), VGPU_RING_VIOLATION);
        assert_false(vgpu_ring_sleep_prepare(&consumer));
    } else {
        assert_null(consumer.violation);
    }
    return status;
}

static void every_header_field_is_checked(void **state)
{
    const struct vgpu_record good = {.opcode = 1, .reply = VGPU_REPLY_NONE, .size = 64};
    struct vgpu_record r;

    assert_int_equal(feed(good, 1), VGPU_RING_RECORD);
    const uint32_t bad_sizes[] = {0,
                                  1,
                                  15,
                                  VGPU_RECORD_MAX + 1,
                                  SLOTS * 64,
                                  SLOTS * 64 + 1,
                                  0x7fffffff,
                                  0x80000000u,
                                  UINT32_MAX - 62,
                                  UINT32_MAX};
    for (unsigned i = 0; i < sizeof(bad_sizes) / sizeof(bad_sizes[0]); i++) {
        r = good;
        r.size = bad_sizes[i];
        assert_int_equal(feed(r, SLOTS), VGPU_RING_VIOLATION);
        r.opcode = VGPU_OP_PAD;
        assert_int_equal(feed(r, SLOTS), VGPU_RING_VIOLATION);
    }
    r = good;
    r.opcode = OPCODES - 1;
    assert_int_equal(feed(r, 1), VGPU_RING_RECORD);
    r.opcode = OPCODES;
    assert_int_equal(feed(r, 1), VGPU_RING_VIOLATION);
    r.opcode = UINT16_MAX;
    assert_int_equal(feed(r, 1), VGPU_RING_VIOLATION);
    r = good;
    r.reply = 15;
    assert_int_equal(feed(r, 1), VGPU_RING_RECORD);
    r.reply = 16;
    assert_int_equal(feed(r, 1), VGPU_RING_VIOLATION);
    r.reply = UINT16_MAX - 1;
    assert_int_equal(feed(r, 1), VGPU_RING_VIOLATION);
    r = good;
    r.reserved = 1;
    assert_int_equal(feed(r, 1), VGPU_RING_VIOLATION);
    r.reserved = UINT32_MAX;
    assert_int_equal(feed(r, 1), VGPU_RING_VIOLATION);
}

/* Not before every record, for the sake of the producers' cache line, but before the consumer
 * sleeps. */
static void head_must_agree_with_what_was_consumed(void **state)
{
    const struct vgpu_record two_slots = {.opcode = 1, .reply = VGPU_REPLY_NONE, .size = 65};
    const uint64_t bad[] = {0, 1, SLOTS + 3, 1ull << 63, UINT64_MAX};

    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(feed(two_slots, bad[i]), VGPU_RING_RECORD);
        assert_int_equal(vgpu_ring_wait(&consumer, rig.doorbell, -1, -1), VGPU_RING_VIOLATION);
    }
    assert_int_equal(feed(two_slots, 2), VGPU_RING_RECORD);
    assert_int_equal(vgpu_ring_wait(&consumer, rig.doorbell, -1, 0), VGPU_RING_EMPTY);
    assert_int_equal(feed(two_slots, SLOTS + 2), VGPU_RING_RECORD);
    assert_int_equal(vgpu_ring_wait(&consumer, rig.doorbell, -1, 0), VGPU_RING_EMPTY);
}

/* A consumer that is never idle notices as well. */
static void a_wrong_head_is_noticed_within_a_lap(void **state)
{
    int status = VGPU_RING_RECORD;
    uint32_t n = 0;

    for (uint32_t i = 0; i < SLOTS; i++)
        assert_int_equal(produce(1, 64, 0), 0);
    atomic_store(&rig.channel.view.shared->head, 5);
    while (status == VGPU_RING_RECORD && n++ < SLOTS)
        status = vgpu_ring_next(&consumer, buffer);
    assert_int_equal(status, VGPU_RING_VIOLATION);
    assert_true(n < SLOTS);
}

static void a_jumping_head_is_noticed_before_sleep(void **state)
{
    atomic_store(&rig.channel.view.shared->head, SLOTS + 1);
    assert_int_equal(vgpu_ring_wait(&consumer, rig.doorbell, -1, -1), VGPU_RING_VIOLATION);
}

static void garbage_in_the_commit_array_is_no_record(void **state)
{
    const uint32_t garbage[] = {2, 3, 0x80000000u, UINT32_MAX};

    for (unsigned i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
        atomic_store(&rig.channel.view.commit[0], garbage[i]);
        assert_int_equal(vgpu_ring_next(&consumer, buffer), VGPU_RING_EMPTY);
    }
    assert_null(consumer.violation);
}

static void a_record_may_not_run_past_the_rings_end(void **state)
{
    uint64_t position;

    for (uint32_t i = 0; i < SLOTS - 1; i++) {
        produce(1, 16, 0);
        assert_int_equal(vgpu_ring_next(&consumer, buffer), VGPU_RING_RECORD);
    }
    struct vgpu_record *r = vgpu_ring_reserve(&producer, 64, 0, &position);
    *r = (struct vgpu_record){.opcode = 1, .reply = VGPU_REPLY_NONE, .size = 65};
    atomic_fetch_add(&rig.channel.view.shared->head, 10);
    vgpu_ring_commit(&producer, position);
    assert_int_equal(vgpu_ring_next(&consumer, buffer), VGPU_RING_VIOLATION);
}

static void endless_padding_does_not_hold_the_consumer(void **state)
{
    uint64_t position;

    for (int i = 0; i < 200; i++) {
        assert_non_null(vgpu_ring_reserve(&producer, 16, 0, &position));
        vgpu_ring_cancel(&producer, position, 16);
    }
    /* Gives its caller a chance in between, and does not sleep over what is left. */
    assert_int_equal(vgpu_ring_next(&consumer, buffer), VGPU_RING_EMPTY);
    assert_true(consumer.position < 200);
    assert_int_equal(vgpu_ring_wait(&consumer, rig.doorbell, -1, -1), VGPU_RING_RECORD);
    produce(3, 64, 3);
    int status = VGPU_RING_EMPTY;
    for (int i = 0; i < 10 && status == VGPU_RING_EMPTY; i++)
        status = vgpu_ring_next(&consumer, buffer);
    assert_int_equal(status, VGPU_RING_RECORD);
}

static void release_words_and_errors_are_bounded(void **state)
{
    struct vgpu_arena_shared *shared = rig.channel.view.shared;
    uint32_t opcode = 0;

    assert_int_equal(vgpu_host_release(&rig.host, 255), 0);
    assert_int_equal(atomic_load(&shared->release[255]), 1);
    assert_int_equal(vgpu_host_release(&rig.host, 256), -1);
    assert_int_equal(vgpu_host_release(&rig.host, UINT32_MAX), -1);

    assert_int_equal(vgpu_channel_take_deferred(&rig.channel, &opcode), 0);
    vgpu_host_deferred_error(&rig.host, 700, 12);
    vgpu_host_deferred_error(&rig.host, 1, 13);
    assert_int_equal(vgpu_channel_take_deferred(&rig.channel, &opcode), 700);
    assert_int_equal(opcode, 12);
    assert_int_equal(vgpu_channel_take_deferred(&rig.channel, &opcode), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(records_arrive_in_order),
        TEST(records_of_every_size_survive_many_laps),
        TEST(sizes_out_of_range_are_refused),
        TEST(a_full_ring_refuses_and_recovers),
        TEST(a_cancelled_reservation_is_skipped),
        TEST(an_uncommitted_record_holds_later_ones_back),
        TEST(no_doorbell_while_the_consumer_is_awake),
        TEST(a_consumer_does_not_sleep_over_a_record),
        TEST(a_doorbell_ends_the_consumers_sleep),
        TEST(another_descriptor_ends_the_consumers_sleep),
        TEST(a_broken_doorbell_is_a_violation),
        TEST(a_blocked_producer_wakes_when_there_is_room),
        TEST(a_blocked_producer_learns_of_the_workers_death),
        TEST(a_dead_or_inherited_channel_is_refused),
        TEST(every_header_field_is_checked),
        TEST(head_must_agree_with_what_was_consumed),
        TEST(a_wrong_head_is_noticed_within_a_lap),
        TEST(a_jumping_head_is_noticed_before_sleep),
        TEST(garbage_in_the_commit_array_is_no_record),
        TEST(a_record_may_not_run_past_the_rings_end),
        TEST(endless_padding_does_not_hold_the_consumer),
        TEST(release_words_and_errors_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
