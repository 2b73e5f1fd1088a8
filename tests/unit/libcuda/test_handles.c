/* SPDX-License-Identifier: Apache-2.0 */
/* A stale or invented handle must get an error, never a crash and never another object. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "guest/libcuda/guest.h"

static int init(void **state)
{
    return vgpu_objects_init();
}

static void any_pointer_may_be_asked_about(void **state)
{
    struct vgpu_object *event = vgpu_object_new(VGPU_TYPE_EVENT, NULL);
    const uintptr_t wild[] = {0,
                              1,
                              2,
                              0xdeadbeef,
                              (uintptr_t)-1,
                              (uintptr_t)&event,
                              (uintptr_t)event + 8,
                              (uintptr_t)event - 8,
                              (uintptr_t)vgpu_objects - 1,
                              (uintptr_t)(vgpu_objects + VGPU_HANDLE_MAX),
                              (uintptr_t)(event + 1)};
    assert_true(vgpu_object_is(event, VGPU_TYPE_EVENT));
    assert_false(vgpu_object_is(event, VGPU_TYPE_STREAM));
    for (size_t i = 0; i < sizeof(wild) / sizeof(wild[0]); i++)
        assert_false(vgpu_object_is((void *)wild[i], VGPU_TYPE_EVENT));
    vgpu_object_free(event);
    assert_false(vgpu_object_is(event, VGPU_TYPE_EVENT));
}

static void wire_handles_differ_and_are_not_zero(void **state)
{
    enum { count = 2000 };
    static struct vgpu_object *objects[count];
    static bool taken[VGPU_HANDLE_MAX];
    for (int i = 0; i < count; i++) {
        objects[i] = vgpu_object_new(VGPU_TYPE_STREAM, NULL);
        assert_non_null(objects[i]);
        uint32_t index = VGPU_HANDLE_INDEX(vgpu_wire(objects[i]));
        assert_int_not_equal(vgpu_wire(objects[i]), 0);
        assert_in_range(index, 1, VGPU_HANDLE_MAX - 1);
        assert_false(taken[index]);
        assert_ptr_equal(&vgpu_objects[index], objects[i]);
        taken[index] = true;
    }
    for (int i = 0; i < count; i++)
        vgpu_object_free(objects[i]);
}

static void place_that_is_used_again_has_another_handle(void **state)
{
    struct vgpu_object *first = vgpu_object_new(VGPU_TYPE_EVENT, NULL);
    uint32_t handle = vgpu_wire(first);
    vgpu_object_free(first);
    struct vgpu_object *again;
    int tries = 0;
    while ((again = vgpu_object_new(VGPU_TYPE_EVENT, NULL)) != first && tries++ < 10000)
        vgpu_object_free(again);
    assert_ptr_equal(again, first);
    assert_int_not_equal(vgpu_wire(again), handle);
    assert_int_equal(VGPU_HANDLE_INDEX(vgpu_wire(again)), VGPU_HANDLE_INDEX(handle));
    vgpu_object_free(again);
}

static void primary_context_keeps_its_address(void **state)
{
    struct vgpu_object *context = vgpu_object_new(VGPU_TYPE_CONTEXT, NULL);
    uint32_t handle = vgpu_wire(context);
    vgpu_object_renew(context);
    assert_int_not_equal(vgpu_wire(context), handle);
    assert_true(vgpu_object_is(context, VGPU_TYPE_CONTEXT));
    vgpu_object_free(context);
}

static void objects_go_with_their_context(void **state)
{
    struct vgpu_object *a = vgpu_object_new(VGPU_TYPE_CONTEXT, NULL);
    struct vgpu_object *b = vgpu_object_new(VGPU_TYPE_CONTEXT, NULL);
    struct vgpu_object *of_a = vgpu_object_new(VGPU_TYPE_STREAM, a);
    struct vgpu_object *of_b = vgpu_object_new(VGPU_TYPE_STREAM, b);
    struct vgpu_object *kernel = vgpu_object_new(VGPU_TYPE_KERNEL, NULL);
    vgpu_objects_drop_context(a);
    assert_false(vgpu_object_is(of_a, VGPU_TYPE_STREAM));
    assert_true(vgpu_object_is(of_b, VGPU_TYPE_STREAM));
    assert_true(vgpu_object_is(kernel, VGPU_TYPE_KERNEL));
    vgpu_object_free(of_b);
    vgpu_object_free(kernel);
    vgpu_object_free(a);
    vgpu_object_free(b);
}

/* Last: it uses up every place. */
static void too_many_objects_are_refused_and_freed_ones_come_back(void **state)
{
    struct vgpu_object **all = calloc(VGPU_HANDLE_MAX, sizeof(*all));
    uint32_t count = 0;
    assert_non_null(all);
    while (count < VGPU_HANDLE_MAX && (all[count] = vgpu_object_new(VGPU_TYPE_EVENT, NULL)))
        count++;
    assert_in_range(count, VGPU_HANDLE_MAX - 100, VGPU_HANDLE_MAX - 1);
    vgpu_object_free(all[5]);
    assert_ptr_equal(vgpu_object_new(VGPU_TYPE_EVENT, NULL), all[5]);
    for (uint32_t i = 0; i < count; i++)
        vgpu_object_free(all[i]);
    free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_pointer_may_be_asked_about),
        cmocka_unit_test(wire_handles_differ_and_are_not_zero),
        cmocka_unit_test(place_that_is_used_again_has_another_handle),
        cmocka_unit_test(primary_context_keeps_its_address),
        cmocka_unit_test(objects_go_with_their_context),
        cmocka_unit_test(too_many_objects_are_refused_and_freed_ones_come_back),
    };
    setenv("VGPU_LOG", "0", 1);
    return cmocka_run_group_tests(tests, init, NULL);
}
