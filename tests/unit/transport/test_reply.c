/* SPDX-License-Identifier: Apache-2.0 */
/* Reply slots: who gets which, when they come back, and what a wrong slot number can do. */
#include "test.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "rig.h"

#define REPLIES 4u

static struct rig rig;
static struct vgpu_replies *replies;

static int set_up(void **state)
{
    rig_create(&rig, 4u << 20, 2048, REPLIES);
    replies = vgpu_replies_create(&rig.channel);
    return replies ? 0 : -1;
}

static int tear_down(void **state)
{
    vgpu_replies_destroy(replies);
    rig_destroy(&rig);
    return 0;
}

static void a_thread_keeps_its_slot(void **state)
{
    int slot = vgpu_reply_begin(replies);

    assert_in_range(slot, 0, REPLIES - 1);
    for (int i = 0; i < 100; i++) {
        vgpu_reply_end(replies, slot);
        assert_int_equal(vgpu_reply_begin(replies), slot);
    }
    vgpu_reply_end(replies, slot);
}

static void slots_in_use_are_never_given_twice(void **state)
{
    int slots[REPLIES];
    unsigned seen = 0;

    for (unsigned i = 0; i < REPLIES; i++) {
        slots[i] = vgpu_reply_begin(replies);
        assert_in_range(slots[i], 0, REPLIES - 1);
        assert_false(seen >> slots[i] & 1);
        seen |= 1u << slots[i];
    }
    for (unsigned i = 0; i < REPLIES; i++)
        vgpu_reply_end(replies, slots[i]);
    for (unsigned i = 0; i < REPLIES; i++)
        slots[i] = vgpu_reply_begin(replies);
    for (unsigned i = 0; i < REPLIES; i++)
        vgpu_reply_end(replies, slots[i]);
}

static void *use_one(void *unused)
{
    int slot = vgpu_reply_begin(replies);
    if (slot >= 0)
        vgpu_reply_end(replies, slot);
    return (void *)(intptr_t)slot;
}

static void threads_that_end_give_their_slots_back(void **state)
{
    int slots[REPLIES];

    for (int i = 0; i < 100; i++) {
        pthread_t thread;
        void *slot;
        pthread_create(&thread, NULL, use_one, NULL);
        pthread_join(thread, &slot);
        assert_true((intptr_t)slot >= 0);
    }
    for (unsigned i = 0; i < REPLIES; i++) {
        slots[i] = vgpu_reply_begin(replies);
        assert_true(slots[i] >= 0);
    }
    for (unsigned i = 0; i < REPLIES; i++)
        vgpu_reply_end(replies, slots[i]);
}

static pthread_barrier_t barrier;

static void *keep_one(void *unused)
{
    use_one(NULL);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    /* It was taken meanwhile; the thread gets another. */
    return use_one(NULL);
}

static void a_kept_slot_is_taken_when_others_need_it(void **state)
{
    pthread_t threads[REPLIES];
    int slots[REPLIES];
    void *result;

    pthread_barrier_init(&barrier, NULL, REPLIES + 1);
    for (unsigned i = 0; i < REPLIES; i++)
        pthread_create(&threads[i], NULL, keep_one, NULL);
    pthread_barrier_wait(&barrier);
    for (unsigned i = 0; i < REPLIES; i++) {
        slots[i] = vgpu_reply_begin(replies);
        assert_true(slots[i] >= 0);
    }
    for (unsigned i = 0; i < REPLIES; i++)
        vgpu_reply_end(replies, slots[i]);
    pthread_barrier_wait(&barrier);
    for (unsigned i = 0; i < REPLIES; i++) {
        pthread_join(threads[i], &result);
        assert_true((intptr_t)result >= 0);
    }
    pthread_barrier_destroy(&barrier);
}

static void a_caller_without_a_slot_waits_for_one(void **state)
{
    int slots[REPLIES];
    pthread_t thread;
    void *result;

    for (unsigned i = 0; i < REPLIES; i++)
        slots[i] = vgpu_reply_begin(replies);
    pthread_create(&thread, NULL, use_one, NULL);
    usleep(20000);
    vgpu_reply_end(replies, slots[2]);
    pthread_join(thread, &result);
    assert_int_equal((intptr_t)result, slots[2]);
    for (unsigned i = 0; i < REPLIES; i++)
        if (i != 2)
            vgpu_reply_end(replies, slots[i]);
}

static void a_caller_without_a_slot_learns_of_death(void **state)
{
    int slots[REPLIES];

    for (unsigned i = 0; i < REPLIES; i++)
        slots[i] = vgpu_reply_begin(replies);
    atomic_store(&rig.dead, true);
    assert_int_equal(vgpu_reply_begin(replies), -EPIPE);
    for (unsigned i = 0; i < REPLIES; i++)
        vgpu_reply_end(replies, slots[i]);
}

static void a_thread_outlives_the_pool_it_used(void **state)
{
    struct vgpu_replies *other = vgpu_replies_create(&rig.channel);
    int slot = vgpu_reply_begin(other);
    vgpu_reply_end(other, slot);
    vgpu_replies_destroy(other);
    /* The next pool may be the same memory: what this thread remembers must not count. */
    other = vgpu_replies_create(&rig.channel);
    int slots[REPLIES];
    for (unsigned i = 0; i < REPLIES; i++) {
        slots[i] = vgpu_reply_begin(other);
        for (unsigned k = 0; k < i; k++)
            assert_int_not_equal(slots[i], slots[k]);
    }
    for (unsigned i = 0; i < REPLIES; i++)
        vgpu_reply_end(other, slots[i]);
    vgpu_replies_destroy(other);
}

static void *answer_late(void *slot)
{
    usleep(20000);
    vgpu_reply_post(&rig.host, (uint32_t)(uintptr_t)slot, 42, "hello", 6);
    return NULL;
}

static void an_answer_reaches_a_sleeping_caller(void **state)
{
    const struct vgpu_reply *reply;
    pthread_t thread;
    int slot = vgpu_reply_begin(replies);

    pthread_create(&thread, NULL, answer_late, (void *)(uintptr_t)slot);
    assert_int_equal(vgpu_reply_wait(replies, slot, &reply), 0);
    assert_int_equal(reply->result, 42);
    assert_string_equal((const char *)reply->payload, "hello");
    pthread_join(thread, NULL);
    vgpu_reply_end(replies, slot);
    assert_int_equal(atomic_load(&rig.lost), 0);
}

static void *die_late(void *unused)
{
    usleep(20000);
    vgpu_host_state(&rig.host, VGPU_HOST_DEAD, 719);
    atomic_store(&rig.dead, true);
    vgpu_host_state(&rig.host, VGPU_HOST_DEAD, 719);
    return NULL;
}

static void a_sleeping_caller_learns_of_the_workers_death(void **state)
{
    const struct vgpu_reply *reply;
    pthread_t thread;
    int slot = vgpu_reply_begin(replies);

    pthread_create(&thread, NULL, die_late, NULL);
    assert_int_equal(vgpu_reply_wait(replies, slot, &reply), -EPIPE);
    pthread_join(thread, NULL);
    vgpu_reply_end(replies, slot);
}

static void an_answer_from_just_before_death_counts(void **state)
{
    const struct vgpu_reply *reply;
    int slot = vgpu_reply_begin(replies);

    vgpu_reply_post(&rig.host, (uint32_t)slot, 7, NULL, 0);
    atomic_store(&rig.dead, true);
    assert_int_equal(vgpu_reply_wait(replies, slot, &reply), 0);
    assert_int_equal(reply->result, 7);
    vgpu_reply_end(replies, slot);
}

static void posts_out_of_range_write_nothing(void **state)
{
    static uint8_t big[VGPU_REPLY_PAYLOAD + 1];
    uint8_t *heap = rig.channel.view.heap;

    memset(big, 0xff, sizeof(big));
    assert_int_equal(vgpu_reply_post(&rig.host, REPLIES - 1, 0, big, VGPU_REPLY_PAYLOAD), 0);
    assert_int_equal(vgpu_reply_post(&rig.host, REPLIES - 1, 0, big, VGPU_REPLY_PAYLOAD + 1), -1);
    assert_int_equal(vgpu_reply_post(&rig.host, REPLIES - 1, 0, big, UINT32_MAX), -1);
    assert_int_equal(vgpu_reply_post(&rig.host, REPLIES, 0, big, 8), -1);
    assert_int_equal(vgpu_reply_post(&rig.host, VGPU_REPLY_NONE, 0, big, 8), -1);
    assert_int_equal(vgpu_reply_post(&rig.host, UINT32_MAX, 0, big, 8), -1);
    assert_null(vgpu_reply_payload(&rig.host, REPLIES));
    assert_null(vgpu_reply_payload(&rig.host, UINT32_MAX));
    assert_non_null(vgpu_reply_payload(&rig.host, REPLIES - 1));
    for (int i = 0; i < 4096; i++)
        assert_int_equal(heap[i], 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_thread_keeps_its_slot),
        TEST(slots_in_use_are_never_given_twice),
        TEST(threads_that_end_give_their_slots_back),
        TEST(a_kept_slot_is_taken_when_others_need_it),
        TEST(a_caller_without_a_slot_waits_for_one),
        TEST(a_caller_without_a_slot_learns_of_death),
        TEST(a_thread_outlives_the_pool_it_used),
        TEST(an_answer_reaches_a_sleeping_caller),
        TEST(a_sleeping_caller_learns_of_the_workers_death),
        TEST(an_answer_from_just_before_death_counts),
        TEST(posts_out_of_range_write_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
