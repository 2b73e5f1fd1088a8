/* SPDX-License-Identifier: Apache-2.0 */
/* The arena header: what a guest may plan and what a host accepts. */
#include "test.h"

#include <string.h>

#include "protocol/transport/layout.h"
#include "protocol/vgpu_regs.h"

#define BYTES (64ull << 20)

static struct vgpu_arena_header plan(void)
{
    struct vgpu_arena_header header;
    assert_int_equal(
        vgpu_layout_plan(&header, VGPU_ARENA_ADDRESS_MIN, BYTES, 0, 0, VGPU_NOTIFY_EVENTFD), 0);
    return header;
}

static int check(const struct vgpu_arena_header *header, uint64_t bytes)
{
    const char *why = NULL;
    int reason = vgpu_layout_check(header, bytes, &why);
    if (reason)
        assert_non_null(why);
    return reason;
}

static void planned_headers_are_accepted(void **state)
{
    static const uint64_t sizes[] = {4ull << 20, 64ull << 20, 1ull << 30, 2ull << 30};
    static const uint32_t slots[] = {0, 2048, 16384, 1u << 20};
    static const uint32_t replies[] = {0, 1, 1024};
    unsigned accepted = 0;

    for (unsigned i = 0; i < 4; i++)
        for (unsigned k = 0; k < 4; k++)
            for (unsigned r = 0; r < 3; r++) {
                struct vgpu_arena_header h;
                if (vgpu_layout_plan(&h, VGPU_ARENA_ADDRESS_MIN, sizes[i], slots[k], replies[r],
                                     VGPU_NOTIFY_FUTEX))
                    continue;
                assert_int_equal(check(&h, sizes[i]), VGPU_REASON_NONE);
                accepted++;
            }
    /* The largest ring does not fit 4 or 64 MiB, 1024 replies do not fit 4 MiB. */
    assert_int_equal(accepted, 4 * 4 * 3 - 2 * 3 - 3);
}

static void impossible_plans_are_refused(void **state)
{
    struct vgpu_arena_header h;
    const uint64_t base = VGPU_ARENA_ADDRESS_MIN;

    assert_int_equal(vgpu_layout_plan(&h, base, BYTES, 3000, 0, VGPU_NOTIFY_FUTEX), -1);
    assert_int_equal(vgpu_layout_plan(&h, base, BYTES, 1024, 0, VGPU_NOTIFY_FUTEX), -1);
    assert_int_equal(vgpu_layout_plan(&h, base, BYTES, 1u << 31, 0, VGPU_NOTIFY_FUTEX), -1);
    assert_int_equal(vgpu_layout_plan(&h, base, BYTES, 0, 1025, VGPU_NOTIFY_FUTEX), -1);
    assert_int_equal(vgpu_layout_plan(&h, base, BYTES, 0, 0, 0), -1);
    assert_int_equal(vgpu_layout_plan(&h, base + 4096, BYTES, 0, 0, VGPU_NOTIFY_FUTEX), -1);
    assert_int_equal(vgpu_layout_plan(&h, 0, BYTES, 0, 0, VGPU_NOTIFY_FUTEX), -1);
    assert_int_equal(vgpu_layout_plan(&h, base, BYTES + 4096, 0, 0, VGPU_NOTIFY_FUTEX), -1);
    assert_int_equal(vgpu_layout_plan(&h, base, 4ull << 30, 0, 0, VGPU_NOTIFY_FUTEX), -1);
}

static void versions_are_told_apart(void **state)
{
    struct vgpu_arena_header h = plan();

    h.major++;
    assert_int_equal(check(&h, BYTES), VGPU_REASON_VERSION);
    h.major -= 2;
    assert_int_equal(check(&h, BYTES), VGPU_REASON_VERSION);
    h = plan();
    h.minor++;
    assert_int_equal(check(&h, BYTES), VGPU_REASON_VERSION);
    h = plan();
    h.magic++;
    assert_int_equal(check(&h, BYTES), VGPU_REASON_PROTOCOL);
}

/* Every 32-bit field at one more, one less, zero and the maximum: never a wrong layout accepted. */
static void every_field_is_bounded(void **state)
{
    static const size_t fields[] = {
        offsetof(struct vgpu_arena_header, commit_offset),
        offsetof(struct vgpu_arena_header, ring_offset),
        offsetof(struct vgpu_arena_header, ring_slots),
        offsetof(struct vgpu_arena_header, reply_offset),
        offsetof(struct vgpu_arena_header, reply_count),
        offsetof(struct vgpu_arena_header, heap_offset),
        offsetof(struct vgpu_arena_header, notify),
    };
    const struct vgpu_arena_header good = plan();

    for (unsigned f = 0; f < sizeof(fields) / sizeof(fields[0]); f++) {
        uint32_t value;
        memcpy(&value, (const uint8_t *)&good + fields[f], sizeof(value));
        const uint32_t tries[] = {value + 1,    value - 1,  value + 64, value - 64, value + 4096,
                                  value - 4096, value * 2,  value / 2,  0,          UINT32_MAX,
                                  0x80000000u,  0xfffff000u};
        for (unsigned i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
            struct vgpu_arena_header h = good;
            memcpy((uint8_t *)&h + fields[f], &tries[i], sizeof(value));
            if (check(&h, BYTES))
                continue;
            /* Accepted: then every area lies inside, in order. */
            assert_true(h.commit_offset >= VGPU_SHARED_OFFSET + sizeof(struct vgpu_arena_shared));
            assert_true(h.commit_offset + 4ull * h.ring_slots <= h.ring_offset);
            assert_true(h.ring_offset + 64ull * h.ring_slots <= h.reply_offset);
            assert_true(h.reply_offset + 4096ull * h.reply_count <= h.heap_offset);
            assert_true(h.heap_offset < BYTES);
            assert_int_equal(h.ring_slots & (h.ring_slots - 1), 0);
        }
    }
}

static void neighbouring_areas_may_not_overlap(void **state)
{
    struct vgpu_arena_header h = plan();

    h.commit_offset -= 64;
    assert_int_equal(check(&h, BYTES), VGPU_REASON_PROTOCOL);
    h = plan();
    h.ring_offset -= 4096;
    assert_int_equal(check(&h, BYTES), VGPU_REASON_PROTOCOL);
    h = plan();
    h.reply_offset -= 4096;
    assert_int_equal(check(&h, BYTES), VGPU_REASON_PROTOCOL);
    h = plan();
    h.heap_offset -= 4096;
    assert_int_equal(check(&h, BYTES), VGPU_REASON_PROTOCOL);
    h = plan();
    h.heap_offset = (uint32_t)BYTES;
    assert_int_equal(check(&h, BYTES), VGPU_REASON_PROTOCOL);
    h = plan();
    h.reply_count++;
    assert_int_equal(check(&h, BYTES), VGPU_REASON_PROTOCOL);
    h = plan();
    h.ring_slots *= 2;
    assert_int_equal(check(&h, BYTES), VGPU_REASON_PROTOCOL);
}

static void base_stays_in_the_arena_addresses(void **state)
{
    struct vgpu_arena_header h = plan();

    h.base = VGPU_ARENA_ADDRESS_MAX - BYTES;
    assert_int_equal(check(&h, BYTES), VGPU_REASON_NONE);
    const uint64_t bad[] = {0,
                            1,
                            VGPU_ARENA_ADDRESS_MIN - VGPU_ARENA_ALIGN,
                            VGPU_ARENA_ADDRESS_MIN + 4096,
                            VGPU_ARENA_ADDRESS_MAX - BYTES + VGPU_ARENA_ALIGN,
                            VGPU_ARENA_ADDRESS_MAX,
                            UINT64_MAX,
                            UINT64_MAX - VGPU_ARENA_ALIGN + 1};
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        h.base = bad[i];
        assert_int_equal(check(&h, BYTES), VGPU_REASON_PROTOCOL);
    }
}

static void size_must_be_the_arenas_own(void **state)
{
    struct vgpu_arena_header h = plan();

    assert_int_equal(check(&h, BYTES / 2), VGPU_REASON_PROTOCOL);
    assert_int_equal(check(&h, BYTES + VGPU_ARENA_ALIGN), VGPU_REASON_PROTOCOL);
    h.bytes = UINT64_MAX;
    assert_int_equal(check(&h, BYTES), VGPU_REASON_PROTOCOL);
    assert_int_equal(check(&h, UINT64_MAX), VGPU_REASON_PROTOCOL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(planned_headers_are_accepted),
        cmocka_unit_test(impossible_plans_are_refused),
        cmocka_unit_test(versions_are_told_apart),
        cmocka_unit_test(every_field_is_bounded),
        cmocka_unit_test(neighbouring_areas_may_not_overlap),
        cmocka_unit_test(base_stays_in_the_arena_addresses),
        cmocka_unit_test(size_must_be_the_arenas_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
