/* SPDX-License-Identifier: Apache-2.0 */
/* The private tables: what the CUDA runtime asks before anything works. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guest/libcuda/guest.h"

static CUuuid uuid(const char *hex)
{
    CUuuid id;
    for (int i = 0; i < 16; i++) {
        char byte[3] = {hex[2 * i], hex[2 * i + 1], 0};
        id.bytes[i] = (char)strtoul(byte, NULL, 16);
    }
    return id;
}

static const void *const *table(const char *hex)
{
    CUuuid id = uuid(hex);
    const void *found = NULL;
    return cuGetExportTable(&found, &id) == CUDA_SUCCESS ? found : NULL;
}

static void tables_begin_with_their_size(void **state)
{
    static const struct {
        const char *id;
        size_t words;
    } sizes[] = {
        {"6bd5fb6c5bf4e74a8987d93912fd9df9", 13}, {"a094798c2e742e7493f20800200c0a66", 7},
        {"42d85a8123f6cb478298f6e78a3aecdc", 3},  {"263e88607cd2614392f6bbd5006dfa7e", 15},
        {"d4082055bde6704b8d34ba123c66e1f2", 3},  {"21318c60971432488ca641ff7324c8f2", 93},
        {"da9151d33ae6cc41a5c04f26d533e328", 7},  {"1734dc26800d47458726c0f1e7dd8bca", 17},
        {"0ca50b8c1004929a89a7d0df10e77286", 2},  {"195bcbf4d67d024aacc51d29cea631ae", 3},
        {"b10541e1f7c7c74a9f64f223be99f1e2", 26},
    };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        const void *const *t = table(sizes[i].id);
        assert_non_null(t);
        assert_int_equal((uintptr_t)t[0], sizes[i].words * 8);
        for (size_t slot = 1; slot < sizes[i].words; slot++)
            if (!(i == 0 && slot == 10)) /* empty in the driver too */
                assert_non_null(t[slot]);
    }
}

static void unknown_tables_are_refused(void **state)
{
    CUuuid id = uuid("00112233445566778899aabbccddeeff");
    const void *found = (void *)1;
    assert_int_equal(cuGetExportTable(&found, &id), CUDA_ERROR_INVALID_VALUE);
    assert_null(found);
    id = uuid("f8cff95121468b4eb9e2fb469e7c0dd9");
    found = (void *)1;
    assert_int_equal(cuGetExportTable(&found, &id), CUDA_ERROR_NOT_FOUND);
    assert_null(found);
    assert_int_equal(cuGetExportTable(NULL, &id), CUDA_ERROR_INVALID_VALUE);
}

static void slots_not_served_refuse_one_by_one(void **state)
{
    typedef CUresult slot_function(void);
    const void *const *t = table("21318c60971432488ca641ff7324c8f2");
    for (int slot = 1; slot < 93; slot++) {
        if (slot == 4 || slot == 39 || slot == 51)
            continue;
        assert_int_equal(((slot_function *)t[slot])(), CUDA_ERROR_NOT_SUPPORTED);
        for (int other = 1; other < slot; other++)
            assert_ptr_not_equal(t[other], t[slot]);
    }
}

static void tools_buffers_are_zero(void **state)
{
    typedef void buffer_function(void **, size_t *);
    const void *const *t = table("a094798c2e742e7493f20800200c0a66");
    static const struct {
        int slot;
        size_t size;
    } buffers[] = {{2, 1024}, {6, 14}};
    for (int i = 0; i < 2; i++) {
        void *buffer = NULL;
        size_t size = 0;
        ((buffer_function *)t[buffers[i].slot])(&buffer, &size);
        assert_int_equal(size, buffers[i].size);
        for (size_t j = 0; j < size; j++)
            assert_int_equal(((const char *)buffer)[j], 0);
    }
}

static void fixed_answers_of_the_self_test(void **state)
{
    typedef CUresult self_test(uint32_t, uint64_t, uint64_t[2]);
    const void *const *t = table("d4082055bde6704b8d34ba123c66e1f2");
    uint64_t out[2];
    assert_int_equal(((self_test *)t[1])(13000, 1, out), CUDA_SUCCESS);
    assert_true(out[0] == 0x3341181c03cb675cull && out[1] == 0x8ed383aa1f4cd1e8ull);
    assert_int_equal(((self_test *)t[1])(13001, 1, out), CUDA_SUCCESS);
    assert_true(out[0] == 0x1841181c03cb675cull && out[1] == 0x8ed383aa1f4cd1e8ull);
}

static void storage_without_a_context_says_so(void **state)
{
    typedef CUresult get(void **, CUcontext, void *);
    const void *const *t = table("c693336e1121df11a8c368f355d89593");
    void *value;
    assert_int_equal(((get *)t[2])(&value, NULL, &value), CUDA_ERROR_INVALID_CONTEXT);
    assert_int_equal(((get *)t[2])(&value, (CUcontext)0x1234, &value), CUDA_ERROR_INVALID_CONTEXT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_begin_with_their_size),
        cmocka_unit_test(unknown_tables_are_refused),
        cmocka_unit_test(slots_not_served_refuse_one_by_one),
        cmocka_unit_test(tools_buffers_are_zero),
        cmocka_unit_test(fixed_answers_of_the_self_test),
        cmocka_unit_test(storage_without_a_context_says_so),
    };
    setenv("VGPU_LOG", "0", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
