/* SPDX-License-Identifier: Apache-2.0 */
/* Without a mediator every call has an answer, at once, and a later cuInit may succeed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guest/libcuda/guest.h"
#include "vgpu_exports.h"
#include "vgpu_rpc.h"

static void calls_before_init_say_so(void **state)
{
    int count;
    CUdevice dev;
    CUcontext ctx;
    CUdeviceptr ptr;
    assert_int_equal(cuDeviceGetCount(&count), CUDA_ERROR_NOT_INITIALIZED);
    assert_int_equal(cuDeviceGet(&dev, 0), CUDA_ERROR_NOT_INITIALIZED);
    assert_int_equal(cuCtxGetCurrent(&ctx), CUDA_ERROR_NOT_INITIALIZED);
    assert_int_equal(cuDevicePrimaryCtxRetain(&ctx, 0), CUDA_ERROR_NOT_INITIALIZED);
    assert_int_equal(cuMemAlloc_v2(&ptr, 1), CUDA_ERROR_NOT_INITIALIZED);
    assert_int_equal(cuMemcpyHtoD_v2(4096, &ptr, 1), CUDA_ERROR_NOT_INITIALIZED);
    assert_int_equal(cuCtxSynchronize(), CUDA_ERROR_NOT_INITIALIZED);
    assert_int_equal(cuLaunchKernel(NULL, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL),
                     CUDA_ERROR_NOT_INITIALIZED);
    assert_int_equal(cuStreamSynchronize(NULL), CUDA_ERROR_NOT_INITIALIZED);
    assert_int_equal(cuEventRecord(NULL, NULL), CUDA_ERROR_NOT_INITIALIZED);
    /* Operations themselves too. */
    assert_int_equal(vgpu_rpc_CtxSynchronize(), CUDA_ERROR_NOT_INITIALIZED);
    assert_int_equal(vgpu_rpc_StreamDestroy(5), CUDA_ERROR_NOT_INITIALIZED);
}

static void init_without_a_mediator_finds_no_device(void **state)
{
    int count;
    assert_int_equal(cuInit(1), CUDA_ERROR_INVALID_VALUE);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(cuInit(0), CUDA_ERROR_NO_DEVICE);
        assert_int_equal(cuDeviceGetCount(&count), CUDA_ERROR_NOT_INITIALIZED);
    }
}

static void errors_have_names(void **state)
{
    const char *text;
    assert_int_equal(cuGetErrorName(CUDA_ERROR_ILLEGAL_ADDRESS, &text), CUDA_SUCCESS);
    assert_string_equal(text, "CUDA_ERROR_ILLEGAL_ADDRESS");
    assert_int_equal(cuGetErrorName(CUDA_SUCCESS, &text), CUDA_SUCCESS);
    assert_string_equal(text, "CUDA_SUCCESS");
    assert_int_equal(cuGetErrorName(CUDA_ERROR_UNKNOWN, &text), CUDA_SUCCESS);
    assert_string_equal(text, "CUDA_ERROR_UNKNOWN");
    assert_int_equal(cuGetErrorName((CUresult)12345, &text), CUDA_ERROR_INVALID_VALUE);
    assert_null(text);
    assert_int_equal(cuGetErrorString(CUDA_ERROR_OUT_OF_MEMORY, &text), CUDA_SUCCESS);
    assert_string_equal(text, "out of memory");
    /* In order, or the search would miss some. */
    for (int error = 0, known = 0; error < 1000; error++) {
        if (cuGetErrorName((CUresult)error, &text) == CUDA_SUCCESS) {
            assert_int_equal(strncmp(text, "CUDA_", 5), 0);
            known++;
        }
        if (error == 999)
            assert_in_range(known, 95, 130);
    }
}

static void refused_calls_answer(void **state)
{
    unsigned refused = 0;
    for (size_t i = 0; i < vgpu_export_count; i++) {
        typedef CUresult call(void);
        if (vgpu_exports[i].served)
            continue;
        refused++;
        assert_int_equal(((call *)vgpu_exports[i].address)(), CUDA_ERROR_NOT_SUPPORTED);
    }
    assert_in_range(refused, 1, vgpu_export_count - 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_before_init_say_so),
        cmocka_unit_test(init_without_a_mediator_finds_no_device),
        cmocka_unit_test(errors_have_names),
        cmocka_unit_test(refused_calls_answer),
    };
    setenv("VGPU_LOG", "0", 1);
    setenv("VGPU_SOCKET", "/nonexistent/vgpu.sock", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
