/* SPDX-License-Identifier: Apache-2.0 */
/* The arena's heap: nothing overlaps, everything comes back, exhaustion is an answer. */
#include "test.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rig.h"

static struct rig rig;
static struct vgpu_heap *heap;

static int set_up(void **state)
{
    rig_create(&rig, 64u << 20, 2048, 16);
    heap = vgpu_heap_create(&rig.channel);
    return heap ? 0 : -1;
}

static int tear_down(void **state)
{
    vgpu_heap_destroy(heap);
    rig_destroy(&rig);
    return 0;
}

static uint64_t largest_free(void)
{
    struct vgpu_heap_usage usage;
    vgpu_heap_usage(heap, &usage);
    return usage.largest_free;
}

static bool inside(const void *address, size_t size)
{
    const uint8_t *p = address, *start = rig.channel.view.heap;
    return p >= start && size <= rig.channel.view.heap_bytes &&
           (uint64_t)(p - start) <= rig.channel.view.heap_bytes - size;
}

/* Allocations of every size, freed in random order, each filled with its own pattern meanwhile. */
static void allocations_never_overlap_and_coalesce(void **state)
{
    enum { LIVE = 200 };
    struct {
        uint8_t *at;
        size_t size;
        uint8_t fill;
    } a[LIVE] = {{0}};
    const uint64_t before = largest_free();
    uint64_t seed = 3;
    unsigned failed = 0;

    for (int i = 0; i < 20000; i++) {
        unsigned k = rig_random(&seed) % LIVE;
        if (a[k].at) {
            assert_int_equal(a[k].at[0], a[k].fill);
            assert_int_equal(a[k].at[a[k].size - 1], a[k].fill);
            assert_int_equal(vgpu_heap_free(heap, a[k].at), 0);
            a[k].at = NULL;
            continue;
        }
        a[k].size = 1 + rig_random(&seed) % (rig_random(&seed) % 3 ? 40000 : 4u << 20);
        size_t align = 4096ull << rig_random(&seed) % 3;
        a[k].fill = (uint8_t)i;
        a[k].at = vgpu_heap_alloc(heap, a[k].size, align);
        if (!a[k].at) {
            assert_int_equal(errno, ENOMEM);
            failed++;
            continue;
        }
        assert_int_equal((uintptr_t)a[k].at % align, 0);
        assert_true(inside(a[k].at, a[k].size));
        /* Ends are enough to notice an overlap, and quicker. */
        a[k].at[0] = a[k].fill;
        a[k].at[a[k].size - 1] = a[k].fill;
    }
    for (unsigned k = 0; k < LIVE; k++)
        if (a[k].at)
            assert_int_equal(vgpu_heap_free(heap, a[k].at), 0);
    assert_int_equal(largest_free(), before);
    assert_true(failed > 0); /* the heap was full at times */
}

static void all_of_the_heap_can_be_used_and_is_given_back(void **state)
{
    void *pages[20000];
    unsigned n = 0;
    uint64_t before = largest_free();

    while (n < 20000 && (pages[n] = vgpu_heap_alloc(heap, 4096, 0)))
        n++;
    assert_int_equal(errno, ENOMEM);
    assert_int_equal(n, before / 4096);
    for (unsigned i = 0; i < n; i += 2)
        vgpu_heap_free(heap, pages[i]);
    assert_int_equal(largest_free(), 4096);
    assert_null(vgpu_heap_alloc(heap, 8192, 0));
    for (unsigned i = 1; i < n; i += 2)
        vgpu_heap_free(heap, pages[i]);
    assert_int_equal(largest_free(), before);
}

static void bad_requests_are_refused(void **state)
{
    assert_null(vgpu_heap_alloc(heap, 0, 0));
    assert_int_equal(errno, EINVAL);
    assert_null(vgpu_heap_alloc(heap, 4096, 12288));
    assert_int_equal(errno, EINVAL);
    assert_null(vgpu_heap_alloc(heap, 4096, 1u << 30));
    assert_int_equal(errno, EINVAL);
    assert_null(vgpu_heap_alloc(heap, SIZE_MAX, 0));
    assert_int_equal(errno, ENOMEM);
    assert_null(vgpu_heap_alloc(heap, 64u << 20, 0));
    assert_int_equal(errno, ENOMEM);
}

static void only_what_was_allocated_can_be_freed(void **state)
{
    uint8_t *p = vgpu_heap_alloc(heap, 3 * 4096, 0);
    struct vgpu_stage stage;
    int local;

    assert_int_equal(vgpu_heap_free(heap, p + 4096), -EINVAL);
    assert_int_equal(vgpu_heap_free(heap, p + 1), -EINVAL);
    assert_int_equal(vgpu_heap_free(heap, NULL), -EINVAL);
    assert_int_equal(vgpu_heap_free(heap, &local), -EINVAL);
    assert_int_equal(vgpu_heap_free(heap, rig.memory), -EINVAL);
    assert_int_equal(vgpu_heap_free(heap, (uint8_t *)rig.memory + rig.bytes), -EINVAL);
    assert_int_equal(vgpu_stage_get(heap, 1, false, &stage), 0);
    assert_int_equal(vgpu_heap_free(heap, stage.address), -EINVAL);
    assert_int_equal(vgpu_heap_free(heap, p), 0);
    assert_int_equal(vgpu_heap_free(heap, p), -EINVAL);
}

static void an_inner_address_finds_its_allocation(void **state)
{
    uint8_t *a = vgpu_heap_alloc(heap, 10u << 20, 0);
    uint8_t *b = vgpu_heap_alloc(heap, 5000, 0);
    void *start;
    size_t size;

    assert_true(vgpu_heap_find(heap, a, &start, &size));
    assert_ptr_equal(start, a);
    assert_int_equal(size, 10u << 20);
    assert_true(vgpu_heap_find(heap, a + (10u << 20) - 1, &start, &size));
    assert_ptr_equal(start, a);
    assert_true(vgpu_heap_find(heap, b + 4999, &start, &size));
    assert_ptr_equal(start, b);
    assert_int_equal(size, 5000);
    assert_false(vgpu_heap_find(heap, b + 5000, &start, &size));
    vgpu_heap_free(heap, b);
    assert_false(vgpu_heap_find(heap, b, &start, &size));
    assert_false(vgpu_heap_find(heap, &start, &start, &size));
    vgpu_heap_free(heap, a);
}

static void released_stages_come_back(void **state)
{
    struct vgpu_stage s[100];
    struct vgpu_heap_usage usage;
    unsigned n = 0;

    while (n < 100 && vgpu_stage_get(heap, 2u << 20, false, &s[n]) == 0) {
        assert_true(inside(s[n].address, s[n].size));
        assert_int_equal(atomic_load(&rig.channel.view.shared->release[s[n].word]), 0);
        for (unsigned k = 0; k < n; k++) {
            assert_int_not_equal(s[k].word, s[n].word);
            assert_ptr_not_equal(s[k].address, s[n].address);
        }
        vgpu_stage_submit(heap, &s[n++]);
    }
    assert_in_range(n, 20, 31);
    assert_int_equal(vgpu_stage_get(heap, 2u << 20, false, &s[n]), -ENOMEM);
    vgpu_host_release(&rig.host, s[3].word);
    assert_int_equal(vgpu_stage_get(heap, 2u << 20, false, &s[n]), 0);
    assert_ptr_equal(s[n].address, s[3].address);
    vgpu_stage_put(heap, &s[n]);
    for (unsigned i = 0; i < n; i++)
        vgpu_host_release(&rig.host, s[i].word);
    /* Idle stages make way for pinned memory, but for the ones set aside. */
    void *big = vgpu_heap_alloc(heap, 40u << 20, 0);
    assert_non_null(big);
    vgpu_heap_usage(heap, &usage);
    assert_true(usage.staged >= 2u << 20 && usage.staged < 20u << 20);
    vgpu_heap_free(heap, big);
}

static void copies_go_on_when_everything_is_pinned(void **state)
{
    struct vgpu_stage stage;

    while (vgpu_heap_alloc(heap, 4096, 0))
        ;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(vgpu_stage_get(heap, 1 + (size_t)i * 20000, false, &stage), 0);
        vgpu_stage_put(heap, &stage);
    }
}

static void stage_sizes_are_bounded(void **state)
{
    struct vgpu_stage stage;

    assert_int_equal(vgpu_heap_stage_max(heap), 2u << 20);
    assert_int_equal(vgpu_stage_get(heap, 0, false, &stage), -EINVAL);
    assert_int_equal(vgpu_stage_get(heap, (2u << 20) + 1, true, &stage), -EINVAL);
    assert_int_equal(vgpu_stage_get(heap, SIZE_MAX, true, &stage), -EINVAL);
}

static void release_words_bound_what_is_in_flight(void **state)
{
    struct vgpu_stage s[257];

    for (int i = 0; i < 256; i++) {
        assert_int_equal(vgpu_stage_get(heap, 100, false, &s[i]), 0);
        vgpu_stage_submit(heap, &s[i]);
    }
    assert_int_equal(vgpu_stage_get(heap, 100, false, &s[256]), -ENOMEM);
    vgpu_host_release(&rig.host, s[255].word);
    assert_int_equal(vgpu_stage_get(heap, 100, false, &s[256]), 0);
    assert_int_equal(s[256].word, s[255].word);
}

static void *release_late(void *word)
{
    usleep(20000);
    vgpu_host_release(&rig.host, (uint32_t)(uintptr_t)word);
    return NULL;
}

static void *put_late(void *stage)
{
    usleep(20000);
    vgpu_stage_put(heap, stage);
    return NULL;
}

static void a_blocked_copy_goes_on_when_a_stage_is_free(void **state)
{
    struct vgpu_stage s[64], last;
    pthread_t thread;
    unsigned n = 0;

    while (vgpu_stage_get(heap, 2u << 20, false, &s[n]) == 0)
        n++;
    pthread_create(&thread, NULL, put_late, &s[0]);
    assert_int_equal(vgpu_stage_get(heap, 2u << 20, true, &last), 0);
    pthread_join(thread, NULL);
    vgpu_stage_submit(heap, &last);
    pthread_create(&thread, NULL, release_late, (void *)(uintptr_t)last.word);
    assert_int_equal(vgpu_stage_get(heap, 2u << 20, true, &last), 0);
    pthread_join(thread, NULL);
    assert_int_equal(atomic_load(&rig.lost), 0);
}

static _Atomic unsigned bad;

static void *churn(void *argument)
{
    uint64_t seed = (uint64_t)(uintptr_t)argument;
    uint8_t *kept[16] = {0};
    size_t sizes[16] = {0};

    for (int i = 0; i < 20000; i++) {
        unsigned k = rig_random(&seed) % 16;
        if (kept[k]) {
            if (kept[k][sizes[k] - 1] != (uint8_t)(uintptr_t)argument ||
                vgpu_heap_free(heap, kept[k]))
                atomic_fetch_add(&bad, 1);
            kept[k] = NULL;
        } else {
            sizes[k] = 1 + rig_random(&seed) % 100000;
            kept[k] = vgpu_heap_alloc(heap, sizes[k], 0);
            if (kept[k])
                kept[k][sizes[k] - 1] = (uint8_t)(uintptr_t)argument;
        }
    }
    for (int k = 0; k < 16; k++)
        if (kept[k])
            vgpu_heap_free(heap, kept[k]);
    return NULL;
}

static void threads_share_the_heap(void **state)
{
    pthread_t threads[4];
    uint64_t before = largest_free();

    for (uintptr_t i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, churn, (void *)(i + 1));
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&bad), 0);
    assert_int_equal(largest_free(), before);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(allocations_never_overlap_and_coalesce),
        TEST(all_of_the_heap_can_be_used_and_is_given_back),
        TEST(bad_requests_are_refused),
        TEST(only_what_was_allocated_can_be_freed),
        TEST(an_inner_address_finds_its_allocation),
        TEST(released_stages_come_back),
        TEST(copies_go_on_when_everything_is_pinned),
        TEST(stage_sizes_are_bounded),
        TEST(release_words_bound_what_is_in_flight),
        TEST(a_blocked_copy_goes_on_when_a_stage_is_free),
        TEST(threads_share_the_heap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
