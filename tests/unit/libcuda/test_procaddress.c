/* SPDX-License-Identifier: Apache-2.0 */
/* A program gets the spelling of a call that its CUDA release means; another one would crash it. */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "guest/libcuda/guest.h"
#include "vgpu_exports.h"

static void *symbol(const char *name)
{
    for (size_t i = 0; i < vgpu_export_count; i++)
        if (!__builtin_strcmp(vgpu_exports[i].name, name))
            return vgpu_exports[i].address;
    fail_msg("%s is not exported", name);
    return NULL;
}

static void *ask(const char *name, int version, uint64_t flags)
{
    CUdriverProcAddressQueryResult status = (CUdriverProcAddressQueryResult)-1;
    void *found = vgpu_proc_address(name, version, flags, &status);
    assert_int_equal(status == CU_GET_PROC_ADDRESS_SUCCESS, found != NULL);
    return found;
}

static void table_is_sorted_for_the_search(void **state)
{
    for (size_t i = 1; i < vgpu_export_count; i++)
        assert_true(__builtin_strcmp(vgpu_exports[i - 1].name, vgpu_exports[i].name) < 0);
    for (size_t i = 0; i < vgpu_export_count; i++)
        assert_non_null(vgpu_exports[i].address);
}

static void release_decides_the_spelling(void **state)
{
    static const struct {
        const char *name;
        int version;
        const char *expected;
    } cases[] = {
        {"cuMemAlloc", 13000, "cuMemAlloc_v2"},
        {"cuMemAlloc", 3020, "cuMemAlloc_v2"},
        {"cuMemAlloc", 3010, "cuMemAlloc"},
        {"cuCtxGetDevice", 12080, "cuCtxGetDevice"},
        {"cuCtxGetDevice", 13000, "cuCtxGetDevice_v2"},
        {"cuCtxSynchronize", 2000, "cuCtxSynchronize"},
        {"cuCtxSynchronize", 13000, "cuCtxSynchronize_v2"},
        {"cuCtxCreate", 3020, "cuCtxCreate_v2"},
        {"cuCtxCreate", 11040, "cuCtxCreate_v3"},
        {"cuCtxCreate", 12050, "cuCtxCreate_v4"},
        {"cuGetProcAddress", 11030, "cuGetProcAddress"},
        {"cuGetProcAddress", 12000, "cuGetProcAddress_v2"},
        {"cuStreamGetCaptureInfo", 10010, "cuStreamGetCaptureInfo"},
        {"cuStreamGetCaptureInfo", 11030, "cuStreamGetCaptureInfo_v2"},
        {"cuStreamGetCaptureInfo", 12030, "cuStreamGetCaptureInfo_v3"},
        {"cuDevicePrimaryCtxRelease", 7000, "cuDevicePrimaryCtxRelease"},
        {"cuDevicePrimaryCtxRelease", 11000, "cuDevicePrimaryCtxRelease_v2"},
        {"cuEventElapsedTime", 12080, "cuEventElapsedTime_v2"},
        {"cuDeviceGetUuid", 9020, "cuDeviceGetUuid"},
        {"cuLaunchKernel", 4000, "cuLaunchKernel"},
        {"cuInit", 2000, "cuInit"},
        {"cuGraphCreate", 10000, "cuGraphCreate"}, /* refused when called, but handed out */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_ptr_equal(ask(cases[i].name, cases[i].version, 0), symbol(cases[i].expected));
}

static void per_thread_streams_have_their_spelling(void **state)
{
    const uint64_t per_thread = CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM;
    assert_ptr_equal(ask("cuLaunchKernel", 13000, per_thread), symbol("cuLaunchKernel_ptsz"));
    assert_ptr_equal(ask("cuMemcpyHtoD", 13000, per_thread), symbol("cuMemcpyHtoD_v2_ptds"));
    assert_ptr_equal(ask("cuMemcpyHtoDAsync", 13000, per_thread),
                     symbol("cuMemcpyHtoDAsync_v2_ptsz"));
    assert_ptr_equal(ask("cuMemAlloc", 13000, per_thread), symbol("cuMemAlloc_v2"));
    assert_ptr_equal(ask("cuLaunchKernel", 13000, CU_GET_PROC_ADDRESS_LEGACY_STREAM),
                     symbol("cuLaunchKernel"));
}

static void unknown_names_and_old_releases_are_told_apart(void **state)
{
    CUdriverProcAddressQueryResult status;
    assert_null(vgpu_proc_address("cuNoSuchCall", 13000, 0, &status));
    assert_int_equal(status, CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND);
    assert_null(vgpu_proc_address("", 13000, 0, &status));
    assert_int_equal(status, CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND);
    assert_null(vgpu_proc_address("cuGraphInstantiate", 9000, 0, &status));
    assert_int_equal(status, CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT);
    char long_name[4096];
    __builtin_memset(long_name, 'c', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = '\0';
    assert_null(vgpu_proc_address(long_name, 13000, 0, &status));
}

static void exported_call_checks_its_arguments(void **state)
{
    void *found = (void *)1;
    CUdriverProcAddressQueryResult status;
    assert_int_equal(cuGetProcAddress_v2(NULL, &found, 13000, 0, &status),
                     CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(cuGetProcAddress_v2("cuInit", NULL, 13000, 0, &status),
                     CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(cuGetProcAddress_v2("cuInit", &found, 13000, 64, &status),
                     CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(cuGetProcAddress_v2("cuNone", &found, 13000, 0, NULL), CUDA_ERROR_NOT_FOUND);
    assert_null(found);
    assert_int_equal(cuGetProcAddress("cuInit", &found, 11030, 0), CUDA_SUCCESS);
    assert_ptr_equal(found, symbol("cuInit"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_is_sorted_for_the_search),
        cmocka_unit_test(release_decides_the_spelling),
        cmocka_unit_test(per_thread_streams_have_their_spelling),
        cmocka_unit_test(unknown_names_and_old_releases_are_told_apart),
        cmocka_unit_test(exported_call_checks_its_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
