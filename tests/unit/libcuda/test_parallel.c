/* SPDX-License-Identifier: Apache-2.0 */
/* Copies shared out among threads arrive whole, whoever else copies at the same time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guest/libcuda/guest.h"

static void fill(uint8_t *at, size_t bytes, uint64_t seed)
{
    for (size_t i = 0; i < bytes; i++) {
        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
        at[i] = (uint8_t)(seed >> 56);
    }
}

static void every_size_arrives_and_nothing_more(void **state)
{
    const size_t sizes[] = {0,          1,
                            4096,       (512u << 10) - 1,
                            512u << 10, (512u << 10) + 1,
                            1u << 20,   (2u << 20) - 4097,
                            3u << 20};
    uint8_t *from = malloc(4u << 20), *to = malloc(4u << 20);
    fill(from, 4u << 20, 1);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        memset(to, 0xa5, 4u << 20);
        vgpu_memcpy(to + 3, from + 1, sizes[i]);
        assert_memory_equal(to + 3, from + 1, sizes[i]);
        assert_int_equal(to[2], 0xa5);
        assert_int_equal(to[3 + sizes[i]], 0xa5);
    }
    free(from);
    free(to);
}

static void *copy_often(void *argument)
{
    size_t bytes = 1u << 20;
    uint8_t *from = malloc(bytes), *to = malloc(bytes);
    uintptr_t wrong = 0;
    for (int i = 0; i < 60; i++) {
        fill(from, bytes, (uintptr_t)argument * 1000 + (unsigned)i);
        vgpu_memcpy(to, from, bytes);
        wrong += memcmp(to, from, bytes) != 0;
    }
    free(from);
    free(to);
    return (void *)wrong;
}

static void threads_do_not_mix(void **state)
{
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, copy_often, (void *)(i + 1)), 0);
    for (int i = 0; i < 4; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
}

static void copies_go_on_without_helpers(void **state)
{
    vgpu_memcpy_end();
    every_size_arrives_and_nothing_more(state);
    vgpu_memcpy_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_arrives_and_nothing_more),
        cmocka_unit_test(threads_do_not_mix),
        cmocka_unit_test(copies_go_on_without_helpers),
    };
    setenv("VGPU_COPY_THREADS", "3", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
