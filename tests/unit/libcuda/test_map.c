/* SPDX-License-Identifier: Apache-2.0 */
/* The map of allocations decides which way a copy goes: a wrong answer copies to a wrong place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "guest/libcuda/guest.h"

static int init(void **state)
{
    return vgpu_map_init();
}

static int add(uint64_t base, uint64_t size, uint32_t context, uint64_t owner)
{
    struct vgpu_range range = {
        .base = base, .size = size, .kind = VGPU_DEVICE, .context_handle = context, .owner = owner};
    return vgpu_map_insert(&range);
}

static bool has(uint64_t address)
{
    struct vgpu_range range;
    return vgpu_map_find(address, &range);
}

static void addresses_are_found_inside_only(void **state)
{
    struct vgpu_range range;
    assert_int_equal(add(0x3000, 0x1000, 1, 0), 0);
    assert_int_equal(add(0x1000, 0x800, 1, 0), 0);
    assert_false(has(0xfff));
    assert_true(has(0x1000));
    assert_true(has(0x17ff));
    assert_false(has(0x1800));
    assert_true(vgpu_map_find(0x3fff, &range));
    assert_int_equal(range.base, 0x3000);
    assert_int_equal(range.size, 0x1000);
    assert_false(has(0x4000));
    assert_false(has(0));
    assert_false(has(UINT64_MAX));
    assert_true(vgpu_map_remove(0x1000, &range));
    assert_int_equal(range.size, 0x800);
    assert_false(has(0x1000));
    assert_false(vgpu_map_remove(0x1000, NULL));
    assert_false(vgpu_map_remove(0x3001, NULL));
    assert_true(vgpu_map_remove(0x3000, NULL));
}

static void overlapping_ranges_are_refused(void **state)
{
    assert_int_equal(add(0x10000, 0x1000, 1, 0), 0);
    assert_int_equal(add(0x10000, 0x10, 1, 0), -1);
    assert_int_equal(add(0x10fff, 0x10, 1, 0), -1);
    assert_int_equal(add(0xff00, 0x101, 1, 0), -1);
    assert_int_equal(add(0x20000, 0, 1, 0), -1);
    assert_int_equal(add(0x11000, 0x1000, 1, 0), 0);
    assert_int_equal(add(0xf000, 0x1000, 1, 0), 0);
    vgpu_map_drop(1, 0);
    assert_false(has(0x10000));
}

static void copies_may_not_cross_the_end(void **state)
{
    enum vgpu_memory_kind kind;
    assert_int_equal(add(0x50000, 0x1000, 1, 0), 0);
    assert_int_equal(vgpu_memory_check(0x50000, 0x1000, &kind), CUDA_SUCCESS);
    assert_int_equal(kind, VGPU_DEVICE);
    assert_int_equal(vgpu_memory_check(0x50fff, 1, &kind), CUDA_SUCCESS);
    assert_int_equal(vgpu_memory_check(0x50fff, 2, &kind), CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(vgpu_memory_check(0x50000, UINT64_MAX, &kind), CUDA_ERROR_INVALID_VALUE);
    vgpu_map_drop(1, 0);
}

static void ranges_go_with_their_context_or_module(void **state)
{
    add(0x1000, 0x100, 1, 0);
    add(0x2000, 0x100, 2, 0);
    add(0x3000, 0x100, 2, 77);
    add(0x4000, 0x100, 1, 78);
    vgpu_map_drop(0, 77);
    assert_false(has(0x3000));
    assert_true(has(0x2000));
    vgpu_map_drop(2, 0);
    assert_false(has(0x2000));
    assert_true(has(0x1000));
    assert_true(has(0x4000));
    vgpu_map_drop(1, 0);
    assert_false(has(0x4000));
}

static _Atomic bool stop;

static void *change(void *unused)
{
    /* Around the stable range, so that its place in the array moves all the time. */
    while (!atomic_load(&stop)) {
        for (uint64_t i = 0; i < 64; i++)
            add(0x100000 + i * 0x1000, 0x1000, 3, 0);
        for (uint64_t i = 0; i < 64; i++)
            vgpu_map_remove(0x100000 + (i * 7 % 64) * 0x1000, NULL);
    }
    return NULL;
}

static void readers_see_whole_ranges_while_others_change(void **state)
{
    pthread_t writer;
    assert_int_equal(add(0x200000, 0x1000, 4, 42), 0);
    assert_int_equal(pthread_create(&writer, NULL, change, NULL), 0);
    for (int i = 0; i < 200000; i++) {
        struct vgpu_range range;
        assert_true(vgpu_map_find(0x200800, &range));
        assert_int_equal(range.base, 0x200000);
        assert_int_equal(range.owner, 42);
        if (vgpu_map_find(0x100000 + (uint64_t)(i % 64) * 0x1000, &range))
            assert_int_equal(range.base, 0x100000 + (uint64_t)(i % 64) * 0x1000);
    }
    atomic_store(&stop, true);
    pthread_join(writer, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_found_inside_only),
        cmocka_unit_test(overlapping_ranges_are_refused),
        cmocka_unit_test(copies_may_not_cross_the_end),
        cmocka_unit_test(ranges_go_with_their_context_or_module),
        cmocka_unit_test(readers_see_whole_ranges_while_others_change),
    };
    return cmocka_run_group_tests(tests, init, NULL);
}
