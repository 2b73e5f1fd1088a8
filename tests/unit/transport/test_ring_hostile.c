/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that rewrites everything it shares while the consumer reads it. Whatever it does, the
 * consumer hands out only records that keep the promises of ring.h, or reports a violation; it
 * never crashes (run under the address sanitizer to make the most of it) and never hangs.
 */
#include "test.h"

#include <pthread.h>
#include <string.h>

#include "rig.h"

#define SLOTS 2048u
#define OPCODES 40u
#define REPLIES 8u
#define ROUNDS 300
#define CALLS_PER_ROUND 2000

static struct rig rig;
static _Atomic bool stop;
static _Atomic bool quiet; /* the attacker leaves head alone, so that records are accepted */

static void flip(uint64_t *seed)
{
    struct vgpu_arena_shared *shared = rig.channel.view.shared;
    uint32_t slot = rig_random(seed) % SLOTS;
    volatile uint32_t *words = (volatile void *)(rig.channel.view.ring + slot * 64ull);

    switch (rig_random(seed) % 12) {
    case 0: /* a plausible header */
    case 1:
    case 2:
    case 3:
        words[0] = rig_random(seed) % OPCODES | (rig_random(seed) % 2 ? 0xffffu : 3u) << 16;
        words[1] = 16 + rig_random(seed) % 256;
        words[3] = 0;
        break;
    case 4:
        words[1] = rig_random(seed);
        break;
    case 5:
        words[rig_random(seed) % 16] = rig_random(seed);
        break;
    case 6:
    case 7:
    case 8:
        for (uint32_t i = 0; i < SLOTS; i++)
            atomic_store_explicit(&rig.channel.view.commit[i], 1 + rig_random(seed) % 2,
                                  memory_order_relaxed);
        break;
    case 9:
        if (!atomic_load(&quiet))
            atomic_store(&shared->head, rig_random(seed) % (2 * SLOTS));
        break;
    case 10:
        atomic_store(&shared->tail, (uint64_t)rig_random(seed) << 32 | rig_random(seed));
        atomic_store(&shared->space_wanted, rig_random(seed));
        atomic_store(&shared->consumer_sleeping, rig_random(seed));
        break;
    case 11: {
        /* The header in shared memory is not what the consumer goes by. */
        struct vgpu_arena_header *h = rig.memory;
        ((volatile uint32_t *)h)[rig_random(seed) % (sizeof(*h) / 4)] = rig_random(seed);
        break;
    }
    }
}

static void *attack(void *argument)
{
    uint64_t seed = (uint64_t)(uintptr_t)argument;
    while (!atomic_load_explicit(&stop, memory_order_relaxed))
        flip(&seed);
    return NULL;
}

/* A ring full of good records, so that the attackers have something to spoil. */
static void refill(void)
{
    for (uint32_t i = 0; i < SLOTS; i++) {
        volatile struct vgpu_record *r = (volatile void *)(rig.channel.view.ring + i * 64ull);
        r->opcode = 1;
        r->reply = 1;
        r->size = 64;
        r->reserved = 0;
        atomic_store_explicit(&rig.channel.view.commit[i], 1, memory_order_relaxed);
    }
    atomic_store(&rig.channel.view.shared->head, SLOTS);
}

static void records_stay_within_bounds_whatever_the_guest_writes(void **state)
{
    static struct {
        _Alignas(8) uint8_t bytes[VGPU_RECORD_MAX];
        uint8_t canary[64];
    } out;
    const struct vgpu_record *r = (const void *)out.bytes;
    struct vgpu_consumer consumer;
    pthread_t attackers[2];
    unsigned records = 0, violations = 0;

    rig_create(&rig, 4u << 20, SLOTS, REPLIES);
    memset(out.canary, 0x5a, sizeof(out.canary));
    for (uintptr_t i = 0; i < 2; i++)
        pthread_create(&attackers[i], NULL, attack, (void *)(i + 1));
    /* A loaded machine may give the attackers little time: until enough was tried. */
    for (int round = 0; round < ROUNDS || (violations <= 10 && round < 100 * ROUNDS); round++) {
        vgpu_consumer_init(&consumer, &rig.host, OPCODES);
        atomic_store(&quiet, round % 2);
        refill();
        for (int i = 0; i < CALLS_PER_ROUND; i++) {
            int status = vgpu_ring_next(&consumer, out.bytes);
            if (status == VGPU_RING_VIOLATION) {
                assert_non_null(consumer.violation);
                violations++;
                break;
            }
            if (status == VGPU_RING_EMPTY) {
                vgpu_ring_wait(&consumer, rig.doorbell, -1, 0);
                continue;
            }
            records++;
            /* The copy keeps its word, however the original changes meanwhile. */
            assert_in_range(r->opcode, 1, OPCODES - 1);
            assert_in_range(r->size, sizeof(*r), VGPU_RECORD_MAX);
            assert_true(r->reply < REPLIES || r->reply == VGPU_REPLY_NONE);
            assert_int_equal(r->reserved, 0);
            vgpu_reply_post(&rig.host, r->reply, 0, out.bytes, r->size);
        }
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 2; i++)
        pthread_join(attackers[i], NULL);
    for (unsigned i = 0; i < sizeof(out.canary); i++)
        assert_int_equal(out.canary[i], 0x5a);
    /* Otherwise nothing was tried. */
    assert_true(records > 1000);
    assert_true(violations > 10);
    print_message("%u records, %u violations\n", records, violations);
    rig_destroy(&rig);
}

static void *change_sizes(void *unused)
{
    /* Both sizes are valid, so only a consumer that looks twice is confused. */
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        uint64_t near = atomic_load_explicit(&rig.channel.view.shared->tail, memory_order_relaxed);
        for (uint64_t i = 0; i < 4; i++) {
            uint64_t slot = (near + i) % SLOTS;
            volatile struct vgpu_record *r =
                (volatile void *)(rig.channel.view.ring + slot * VGPU_SLOT_BYTES);
            if (slot < SLOTS - 16)
                r->size = r->size == 64 ? 1024 : 64;
        }
    }
    return NULL;
}

static void a_header_is_fetched_once(void **state)
{
    static _Alignas(8) uint8_t buffer[VGPU_RECORD_MAX];
    const struct vgpu_record *r = (const void *)buffer;
    struct vgpu_consumer consumer;
    pthread_t attacker;
    unsigned small = 0, large = 0;

    rig_create(&rig, 4u << 20, SLOTS, REPLIES);
    atomic_store(&stop, false);
    pthread_create(&attacker, NULL, change_sizes, NULL);
    for (int round = 0; round < 1000 || ((!small || !large) && round < 1000000); round++) {
        refill();
        vgpu_consumer_init(&consumer, &rig.host, OPCODES);
        uint64_t before = 0;
        while (vgpu_ring_next(&consumer, buffer) == VGPU_RING_RECORD) {
            /* What was consumed is what was copied. */
            assert_int_equal(consumer.position - before,
                             (r->size + VGPU_SLOT_BYTES - 1) / VGPU_SLOT_BYTES);
            before = consumer.position;
            if (r->size == 64)
                small++;
            else
                large++;
        }
        assert_null(consumer.violation);
    }
    atomic_store(&stop, true);
    pthread_join(attacker, NULL);
    assert_true(small && large);
    rig_destroy(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_stay_within_bounds_whatever_the_guest_writes),
        cmocka_unit_test(a_header_is_fetched_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
