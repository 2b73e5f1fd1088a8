/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The numbers and layouts of protocol/cuda_abi.h that the rest of the tree relies on, as literals:
 * a program built against NVIDIA's header and a library built against ours must mean the same
 * bytes. Most is decided when this compiles; what the aliases expand to is checked when it runs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "protocol/cuda_abi.h"

#define IS(name, value) _Static_assert((name) == (value), #name)
#define AT(type, member, offset)                                                                   \
    _Static_assert(offsetof(type, member) == (offset), #type "." #member)

IS(CUDA_ERROR_OUT_OF_MEMORY, 2);
IS(CUDA_ERROR_NOT_INITIALIZED, 3);
IS(CUDA_ERROR_INVALID_CONTEXT, 201);
IS(CUDA_ERROR_INVALID_PTX, 218);
IS(CUDA_ERROR_UNSUPPORTED_PTX_VERSION, 222);
IS(CUDA_ERROR_INVALID_HANDLE, 400);
IS(CUDA_ERROR_NOT_FOUND, 500);
IS(CUDA_ERROR_NOT_READY, 600);
IS(CUDA_ERROR_ILLEGAL_ADDRESS, 700);
IS(CUDA_ERROR_LAUNCH_TIMEOUT, 702);
IS(CUDA_ERROR_CONTEXT_IS_DESTROYED, 709);
IS(CUDA_ERROR_MISALIGNED_ADDRESS, 716);
IS(CUDA_ERROR_LAUNCH_FAILED, 719);
IS(CUDA_ERROR_NOT_SUPPORTED, 801);
IS(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, 900);
IS(CUDA_ERROR_KEY_ROTATION, 916);
IS(CUDA_ERROR_UNKNOWN, 999);

IS(CU_DEVICE_ATTRIBUTE_WARP_SIZE, 10);
IS(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 16);
IS(CU_DEVICE_ATTRIBUTE_PCI_BUS_ID, 33);
IS(CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING, 41);
IS(CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID, 50);
IS(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 75);
IS(CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY, 83);
IS(CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH, 95);
IS(CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, 102);
IS(CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED, 115);
IS(CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH, 120);
IS(CU_DEVICE_ATTRIBUTE_UNIFIED_FUNCTION_POINTERS, 129);
IS(CU_DEVICE_ATTRIBUTE_ONLY_PARTIAL_HOST_NATIVE_ATOMIC_SUPPORTED, 147);

IS(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 8);
IS(CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE, 15);
IS(CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, 11);
IS(CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE, 17);
IS(CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES, 6);
IS(CU_JIT_FAST_COMPILE, 16);
IS(CU_JIT_SPLIT_COMPILE, 34);
IS(CU_LIMIT_PERSISTING_L2_CACHE_SIZE, 6);
IS(CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION, 4);
IS(CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION, 6);
IS(CU_LAUNCH_ATTRIBUTE_PRIORITY, 8);
IS(CU_LAUNCH_ATTRIBUTE_NVLINK_UTIL_CENTRIC_SCHEDULING, 16);
IS(CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, 4);
IS(CU_MODULE_LAZY_LOADING, 2);
IS(CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM, 2);
IS(CU_CTX_SCHED_BLOCKING_SYNC, 4);
IS(CU_EVENT_DISABLE_TIMING, 2);
IS(CU_MEMHOSTREGISTER_READ_ONLY, 8);

IS(sizeof(CUdevprop), 56);
IS(sizeof(CUDA_MEMCPY2D), 128);
AT(CUDA_MEMCPY2D, srcMemoryType, 16);
AT(CUDA_MEMCPY2D, srcDevice, 32);
AT(CUDA_MEMCPY2D, dstXInBytes, 56);
AT(CUDA_MEMCPY2D, dstHost, 80);
AT(CUDA_MEMCPY2D, dstDevice, 88);
AT(CUDA_MEMCPY2D, WidthInBytes, 112);
IS(sizeof(CUDA_MEMCPY3D), 200);
AT(CUDA_MEMCPY3D, srcMemoryType, 32);
AT(CUDA_MEMCPY3D, srcDevice, 48);
AT(CUDA_MEMCPY3D, srcHeight, 80);
AT(CUDA_MEMCPY3D, dstDevice, 136);
AT(CUDA_MEMCPY3D, dstHeight, 168);
AT(CUDA_MEMCPY3D, WidthInBytes, 176);
IS(sizeof(CUlaunchConfig), 56);
AT(CUlaunchConfig, sharedMemBytes, 24);
IS(sizeof(CUlaunchAttribute), 72);
AT(CUlaunchAttributeValue, programmaticEvent.triggerAtBlockStart, 12);
AT(CUlaunchAttributeValue, deviceUpdatableKernelNode.devNode, 8);
IS(sizeof(CUmemAllocationProp), 32);
AT(CUmemAllocationProp, win32HandleMetaData, 16);
AT(CUmemAllocationProp, allocFlags.usage, 26);
IS(sizeof(CUmemAccessDesc), 12);
IS(sizeof(CUmemPoolProps), 88);
IS(sizeof(CUctxCreateParams), 24);

#define TEXT(x) #x
#define EXPANDED(x) TEXT(x)

static void usual_spellings_name_the_exported_symbols(void **state)
{
    assert_string_equal(EXPANDED(cuMemAlloc), "cuMemAlloc_v2");
    assert_string_equal(EXPANDED(cuMemFree), "cuMemFree_v2");
    assert_string_equal(EXPANDED(cuMemcpyHtoDAsync), "cuMemcpyHtoDAsync_v2");
    assert_string_equal(EXPANDED(cuMemcpyAsync), "cuMemcpyAsync");
    assert_string_equal(EXPANDED(cuMemsetD8), "cuMemsetD8_v2");
    assert_string_equal(EXPANDED(cuMemsetD8Async), "cuMemsetD8Async");
    assert_string_equal(EXPANDED(cuCtxCreate), "cuCtxCreate_v2");
    assert_string_equal(EXPANDED(cuStreamDestroy), "cuStreamDestroy_v2");
    assert_string_equal(EXPANDED(cuGetProcAddress), "cuGetProcAddress_v2");
    assert_string_equal(EXPANDED(cuModuleGetGlobal), "cuModuleGetGlobal_v2");
}

static void a_launch_attribute_value_holds_later_ones(void **state)
{
    CUlaunchAttribute attribute;

    memset(&attribute, 0xff, sizeof(attribute));
    attribute.value.clusterDim.z = 3;
    assert_ptr_equal(&attribute.value.clusterDim.z, (char *)&attribute + 16);
    assert_int_equal((unsigned char)attribute.value.pad[63], 0xff);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usual_spellings_name_the_exported_symbols),
        cmocka_unit_test(a_launch_attribute_value_holds_later_ones),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
