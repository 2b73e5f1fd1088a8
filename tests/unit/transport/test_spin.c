/* SPDX-License-Identifier: Apache-2.0 */
/* How long to spin: short waits are spun for, long ones are not, and a change is noticed. */
#include "test.h"

#include <stdlib.h>

#include "protocol/transport/spin.h"

#define MAX_NS 50000u

/* One wait of a given true length; true when it was spun to its end. */
static bool wait_of(struct vgpu_spin *spin, uint32_t length_ns)
{
    bool slept = vgpu_spin_budget(spin) < length_ns;
    vgpu_spin_learn(spin, slept ? 0 : length_ns, slept);
    return !slept;
}

static unsigned spun_of_100(struct vgpu_spin *spin, uint32_t length_ns)
{
    unsigned n = 0;
    for (int i = 0; i < 100; i++)
        n += wait_of(spin, length_ns);
    return n;
}

static struct vgpu_spin fresh(void)
{
    return (struct vgpu_spin){.max_ns = MAX_NS, .budget_ns = MAX_NS / 2};
}

static void short_waits_are_spun_for(void **state)
{
    struct vgpu_spin spin = fresh();
    assert_int_equal(spun_of_100(&spin, 800), 100);
    assert_true(atomic_load(&spin.budget_ns) < MAX_NS / 3);
}

static void long_waits_are_slept_for(void **state)
{
    struct vgpu_spin spin = fresh();
    spun_of_100(&spin, 10 * MAX_NS);
    assert_int_equal(spun_of_100(&spin, 10 * MAX_NS), 0);
    assert_int_equal(atomic_load(&spin.budget_ns), VGPU_SPIN_FLOOR_NS);
}

/* After a while of long waits, short ones are found again although every sleep hides their length.
 */
static void waits_that_become_short_are_noticed(void **state)
{
    struct vgpu_spin spin = fresh();
    spun_of_100(&spin, 10 * MAX_NS);
    spun_of_100(&spin, 2 * VGPU_SPIN_FLOOR_NS);
    assert_int_equal(spun_of_100(&spin, 2 * VGPU_SPIN_FLOOR_NS), 100);
    spun_of_100(&spin, 10 * MAX_NS);
    spun_of_100(&spin, MAX_NS - 1000);
    assert_int_equal(spun_of_100(&spin, MAX_NS - 1000), 100);
}

static void the_environment_bounds_it(void **state)
{
    struct vgpu_spin spin;

    setenv("VGPU_SPIN_US", "0", 1);
    vgpu_spin_init(&spin, MAX_NS);
    assert_int_equal(spin.max_ns, 0);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(vgpu_spin_budget(&spin), 0);
        vgpu_spin_learn(&spin, 100, i % 2);
    }
    setenv("VGPU_SPIN_US", "99999999999", 1);
    vgpu_spin_init(&spin, MAX_NS);
    assert_true(spin.max_ns <= 10000000);
    setenv("VGPU_SPIN_US", "7 potatoes", 1);
    vgpu_spin_init(&spin, 0);
    assert_int_equal(spin.max_ns, 0);
    unsetenv("VGPU_SPIN_US");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_waits_are_spun_for),
        cmocka_unit_test(long_waits_are_slept_for),
        cmocka_unit_test(waits_that_become_short_are_noticed),
        cmocka_unit_test(the_environment_bounds_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
