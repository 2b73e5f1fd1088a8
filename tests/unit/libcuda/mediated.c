/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guest library adds to the driver's calls, through a mediator and the software GPU:
 * copies by every way there is, default streams of threads, cached answers, handles after
 * destruction. Run by vgpu-run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <pthread.h>
#include <unistd.h>

#include <cmocka.h>

#include "protocol/cuda_abi.h"

CUresult cuStreamSynchronize_ptsz(CUstream stream);
CUresult cuMemcpyHtoD_v2_ptds(CUdeviceptr dst, const void *src, size_t bytes);
CUresult cuMemcpyDtoH_v2_ptds(void *dst, CUdeviceptr src, size_t bytes);
CUresult cuMemsetD8Async_ptsz(CUdeviceptr dst, unsigned char value, size_t count, CUstream stream);
CUresult cuStreamGetId_ptsz(CUstream stream, unsigned long long *id);

#define OK(call) assert_int_equal((call), CUDA_SUCCESS)

/* add(p, n, v): p[i] += v for i < n */
static const char ptx[] = ".version 7.0\n.target sm_70\n.address_size 64\n"
                          ".visible .global .align 4 .u32 counter = 7;\n"
                          ".visible .entry add(.param .u64 p, .param .u32 n, .param .u32 v)\n"
                          "{\n"
                          "  .reg .pred %q; .reg .b32 %r<8>; .reg .b64 %d<4>;\n"
                          "  mov.u32 %r0, %ctaid.x; mov.u32 %r1, %ntid.x; mov.u32 %r2, %tid.x;\n"
                          "  mad.lo.s32 %r3, %r0, %r1, %r2;\n"
                          "  ld.param.u32 %r4, [n];\n"
                          "  setp.ge.u32 %q, %r3, %r4;\n"
                          "  @%q bra done;\n"
                          "  ld.param.u64 %d0, [p]; cvta.to.global.u64 %d0, %d0;\n"
                          "  mul.wide.u32 %d1, %r3, 4; add.s64 %d2, %d0, %d1;\n"
                          "  ld.global.u32 %r5, [%d2]; ld.param.u32 %r6, [v];\n"
                          "  add.u32 %r7, %r5, %r6; st.global.u32 [%d2], %r7;\n"
                          "done:\n"
                          "  ret;\n"
                          "}\n"
                          ".visible .entry nothing()\n{\n  ret;\n}\n";

static CUcontext primary;

static int start(void **state)
{
    CUdevice dev;
    int version = 0, count, status = -1;
    /* Asking for the version is no initialisation; a child may still start by itself. */
    if (cuDriverGetVersion(&version) || version < 11000 ||
        cuDeviceGetCount(&count) != CUDA_ERROR_NOT_INITIALIZED)
        return 1;
    pid_t child = fork();
    if (!child)
        _exit(cuInit(0) || cuDeviceGetCount(&count));
    if (child < 0 || waitpid(child, &status, 0) != child || status)
        return 1;
    return cuInit(0) || cuDeviceGet(&dev, 0) || cuDevicePrimaryCtxRetain(&primary, dev) ||
           cuCtxSetCurrent(primary);
}

static void fill(uint8_t *at, size_t bytes, uint64_t seed)
{
    for (size_t i = 0; i < bytes; i++) {
        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
        at[i] = (uint8_t)(seed >> 56);
    }
}

static void copies_of_every_size_come_back(void **state)
{
    /* Around each limit: reply, record, stage, several stages. */
    static const size_t sizes[] = {1,        4031,           4032,    4033,     49151,
                                   49152,    49153,          262143,  262145,   (2u << 20) - 1,
                                   2u << 20, (2u << 20) + 1, 9000001, 20u << 20};
    size_t most = 20u << 20;
    uint8_t *from = malloc(most), *to = malloc(most + 1);
    void *pinned;
    CUdeviceptr a, b;
    CUstream stream;
    OK(cuMemAlloc(&a, most));
    OK(cuMemAlloc(&b, most));
    OK(cuMemAllocHost(&pinned, most));
    OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t n = sizes[i];
        fill(from, n, i);
        memset(to, 0x5a, n + 1);
        OK(cuMemcpyHtoD(a, from, n));
        OK(cuMemcpyDtoD(b, a, n));
        OK(cuMemcpyDtoH(to, b, n));
        assert_memory_equal(to, from, n);
        assert_int_equal(to[n], 0x5a);

        /* In a stream, through pinned memory, and by addresses alone. */
        fill(from, n, i + 100);
        OK(cuMemcpyHtoDAsync(a, from, n, stream));
        memset(from, 0, n); /* the source is free again on return */
        OK(cuMemcpyDtoHAsync(pinned, a, n, stream));
        OK(cuStreamSynchronize(stream));
        fill(to, n, i + 100);
        assert_memory_equal(pinned, to, n);
        OK(cuMemcpy(b, (CUdeviceptr)pinned, n));
        memset(to, 0, n);
        OK(cuMemcpyAsync((CUdeviceptr)to, b, n, stream));
        assert_memory_equal(to, pinned, n);
        OK(cuMemcpy((CUdeviceptr)from, (CUdeviceptr)to, n));
        assert_memory_equal(from, to, n);
    }
    assert_int_equal(cuMemcpyHtoD(a + 1, from, most), CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(cuMemcpyHtoD((CUdeviceptr)from, from, 1), CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(cuMemcpyDtoH(to, a, SIZE_MAX), CUDA_ERROR_INVALID_VALUE);
    OK(cuStreamDestroy(stream));
    OK(cuMemFreeHost(pinned));
    OK(cuMemFree(a));
    OK(cuMemFree(b));
    free(from);
    free(to);
}

/* A box out of the middle of one volume into the middle of another, by all pairs of memory kinds.
 */
static void boxes_arrive_in_place(void **state)
{
    enum { px = 1000, py = 40, pz = 5, qx = 1200, qy = 37, qz = 6, w = 700, h = 30, d = 4 };
    static uint8_t from[px * py * pz], to[qx * qy * qz], expected[qx * qy * qz];
    void *pinned_from, *pinned_to;
    CUdeviceptr device_from, device_to;
    OK(cuMemAlloc(&device_from, sizeof(from)));
    OK(cuMemAlloc(&device_to, sizeof(to)));
    OK(cuMemAllocHost(&pinned_from, sizeof(from)));
    OK(cuMemAllocHost(&pinned_to, sizeof(to)));
    fill(from, sizeof(from), 3);
    memset(expected, 0x11, sizeof(expected));
    for (int z = 0; z < d; z++)
        for (int y = 0; y < h; y++)
            memcpy(&expected[((z + 2) * qy + y + 3) * qx + 5],
                   &from[((z + 1) * py + y + 7) * px + 9], w);
    OK(cuMemcpyHtoD(device_from, from, sizeof(from)));
    memcpy(pinned_from, from, sizeof(from));
    for (int pair = 0; pair < 9; pair++) {
        CUDA_MEMCPY3D c = {.srcXInBytes = 9,
                           .srcY = 7,
                           .srcZ = 1,
                           .srcPitch = px,
                           .srcHeight = py,
                           .dstXInBytes = 5,
                           .dstY = 3,
                           .dstZ = 2,
                           .dstPitch = qx,
                           .dstHeight = qy,
                           .WidthInBytes = w,
                           .Height = h,
                           .Depth = d};
        void *got = pair % 3 == 1 ? pinned_to : to;
        c.srcMemoryType = pair / 3 == 2 ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST;
        c.srcHost = pair / 3 == 1 ? pinned_from : from;
        c.srcDevice = device_from;
        c.dstMemoryType = pair % 3 == 2 ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST;
        c.dstHost = got;
        c.dstDevice = device_to;
        memset(got, 0x11, sizeof(to));
        OK(cuMemsetD8(device_to, 0x11, sizeof(to)));
        OK(cuCtxSynchronize());
        OK(cuMemcpy3D(&c));
        OK(cuCtxSynchronize());
        if (pair % 3 == 2)
            OK(cuMemcpyDtoH(to, device_to, sizeof(to)));
        assert_memory_equal(got, expected, sizeof(expected));
    }
    CUDA_MEMCPY2D flat = {.srcMemoryType = CU_MEMORYTYPE_HOST,
                          .srcHost = from,
                          .srcPitch = px,
                          .dstMemoryType = CU_MEMORYTYPE_DEVICE,
                          .dstDevice = device_to,
                          .dstPitch = 100, /* shorter than a row */
                          .WidthInBytes = 200,
                          .Height = 2};
    assert_int_equal(cuMemcpy2D(&flat), CUDA_ERROR_INVALID_VALUE);
    flat.dstPitch = 1u << 20;
    flat.Height = 40; /* beyond the allocation */
    assert_int_equal(cuMemcpy2D(&flat), CUDA_ERROR_INVALID_VALUE);
    flat.dstMemoryType = CU_MEMORYTYPE_ARRAY;
    assert_int_equal(cuMemcpy2D(&flat), CUDA_ERROR_NOT_SUPPORTED);
    OK(cuMemFree(device_from));
    OK(cuMemFree(device_to));
    OK(cuMemFreeHost(pinned_from));
    OK(cuMemFreeHost(pinned_to));
}

static void modules_give_the_same_function_twice(void **state)
{
    CUmodule mod;
    CUfunction add, again, list[2];
    CUdeviceptr p, counter;
    uint32_t n = 1000, v = 5, value;
    unsigned count;
    size_t bytes, offset;
    const char *name;
    OK(cuModuleLoadData(&mod, ptx));
    OK(cuModuleGetFunction(&add, mod, "add"));
    OK(cuModuleGetFunction(&again, mod, "add"));
    assert_ptr_equal(add, again);
    assert_int_equal(cuModuleGetFunction(&again, mod, "subtract"), CUDA_ERROR_NOT_FOUND);
    OK(cuModuleGetFunctionCount(&count, mod));
    assert_int_equal(count, 2);
    OK(cuModuleEnumerateFunctions(list, 2, mod));
    assert_true(list[0] == add || list[1] == add);
    OK(cuFuncGetName(&name, add));
    assert_string_equal(name, "add");
    OK(cuFuncGetParamInfo(add, 2, &offset, &bytes));
    assert_int_equal(offset, 12);
    assert_int_equal(bytes, 4);
    assert_int_equal(cuFuncGetParamInfo(add, 3, &offset, &bytes), CUDA_ERROR_INVALID_VALUE);

    OK(cuMemAlloc(&p, n * 4));
    OK(cuMemsetD32(p, 37, n));
    void *params[] = {&p, &n, &v};
    OK(cuLaunchKernel(add, 8, 1, 1, 128, 1, 1, 0, NULL, params, NULL));
    OK(cuMemcpyDtoH(&value, p + 4 * (n - 1), 4));
    assert_int_equal(value, 42);
    struct {
        CUdeviceptr p;
        uint32_t n, v;
    } packed = {p, n, 8};
    size_t size = sizeof(packed);
    void *extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, &packed, CU_LAUNCH_PARAM_BUFFER_SIZE, &size,
                     CU_LAUNCH_PARAM_END};
    OK(cuLaunchKernel(add, 8, 1, 1, 128, 1, 1, 0, NULL, NULL, extra));
    OK(cuMemcpyDtoH(&value, p, 4));
    assert_int_equal(value, 50);
    assert_int_equal(cuLaunchKernel(add, 0, 1, 1, 1, 1, 1, 0, NULL, params, NULL),
                     CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(cuLaunchKernel(add, 1, 1, 1, 4096, 1, 1, 0, NULL, params, NULL),
                     CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(cuLaunchKernel(add, 1, 1, 1, 1, 1, 1, 1u << 30, NULL, params, NULL),
                     CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(cuLaunchKernel(add, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL),
                     CUDA_ERROR_INVALID_VALUE);

    OK(cuModuleGetGlobal(&counter, &bytes, mod, "counter"));
    assert_int_equal(bytes, 4);
    OK(cuMemcpyDtoH(&value, counter, 4));
    assert_int_equal(value, 7);
    OK(cuModuleUnload(mod));
    assert_int_equal(cuLaunchKernel(add, 1, 1, 1, 1, 1, 1, 0, NULL, params, NULL),
                     CUDA_ERROR_INVALID_HANDLE);
    assert_int_equal(cuMemcpyDtoH(&value, counter, 4), CUDA_ERROR_INVALID_VALUE);
    OK(cuMemFree(p));
}

static void kernels_of_a_library_are_functions(void **state)
{
    CUlibrary lib;
    CUkernel kernel;
    CUfunction fn;
    CUmodule mod;
    CUdeviceptr p;
    CUdevice dev;
    uint32_t n = 4, v = 1, value;
    int attribute;
    OK(cuCtxGetDevice(&dev));
    OK(cuLibraryLoadData(&lib, ptx, NULL, NULL, 0, NULL, NULL, 0));
    OK(cuLibraryGetKernel(&kernel, lib, "add"));
    OK(cuKernelGetFunction(&fn, kernel));
    OK(cuKernelGetAttribute(&attribute, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, kernel, dev));
    assert_in_range(attribute, 1, 4096);
    OK(cuLibraryGetModule(&mod, lib));
    assert_int_equal(cuModuleUnload(mod), CUDA_ERROR_INVALID_HANDLE); /* it is the library's */
    OK(cuMemAlloc(&p, 16));
    OK(cuMemsetD8(p, 0, 16));
    void *params[] = {&p, &n, &v};
    OK(cuLaunchKernel((CUfunction)kernel, 1, 1, 1, 4, 1, 1, 0, NULL, params, NULL));
    OK(cuLaunchKernel(fn, 1, 1, 1, 4, 1, 1, 0, NULL, params, NULL));
    OK(cuMemcpyDtoH(&value, p, 4));
    assert_int_equal(value, 2);
    OK(cuMemFree(p));
    OK(cuLibraryUnload(lib));
    assert_int_equal(cuKernelGetFunction(&fn, kernel), CUDA_ERROR_INVALID_HANDLE);
}

static void *thread_stream(void *argument)
{
    CUdeviceptr p = *(CUdeviceptr *)argument;
    unsigned long long id = 0;
    uint8_t value = 0;
    if (cuCtxSetCurrent(primary) || cuStreamGetId_ptsz(NULL, &id) ||
        cuMemsetD8Async_ptsz(p, 9, 1, NULL) || cuStreamSynchronize_ptsz(NULL) ||
        cuMemcpyDtoH_v2_ptds(&value, p, 1) || value != 9)
        return NULL;
    value = 3;
    return cuMemcpyHtoD_v2_ptds(p, &value, 1) ? NULL : (void *)(uintptr_t)id;
}

static void threads_have_default_streams_of_their_own(void **state)
{
    pthread_t threads[4];
    void *ids[4];
    CUdeviceptr p[4];
    unsigned long long legacy;
    OK(cuStreamGetId(NULL, &legacy));
    for (int i = 0; i < 4; i++) {
        OK(cuMemAlloc(&p[i], 1));
        assert_int_equal(pthread_create(&threads[i], NULL, thread_stream, &p[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], &ids[i]);
        assert_non_null(ids[i]);
        assert_int_not_equal((uintptr_t)ids[i], legacy);
        for (int j = 0; j < i; j++)
            assert_ptr_not_equal(ids[i], ids[j]);
        OK(cuMemFree(p[i]));
    }
}

static void events_know_when_they_are_done(void **state)
{
    CUevent a, b, untimed;
    CUstream stream;
    float ms;
    OK(cuStreamCreateWithPriority(&stream, CU_STREAM_NON_BLOCKING, -1));
    OK(cuEventCreate(&a, CU_EVENT_DEFAULT));
    OK(cuEventCreate(&b, CU_EVENT_DEFAULT));
    OK(cuEventCreate(&untimed, CU_EVENT_DISABLE_TIMING));
    OK(cuEventQuery(a)); /* never recorded: nothing to wait for */
    OK(cuEventSynchronize(a));
    assert_int_equal(cuEventElapsedTime(&ms, a, b), CUDA_ERROR_INVALID_HANDLE);
    for (int i = 0; i < 100; i++) {
        OK(cuEventRecord(a, stream));
        OK(cuStreamWaitEvent(NULL, a, 0));
        OK(cuEventRecord(b, NULL));
        if (i % 3 == 0)
            OK(cuEventSynchronize(b));
        else if (i % 3 == 1)
            OK(cuCtxSynchronize());
        else
            OK(cuStreamSynchronize(NULL));
        OK(cuEventQuery(a));
        OK(cuEventQuery(b));
    }
    OK(cuEventElapsedTime(&ms, a, b));
    assert_true(ms >= 0);
    OK(cuEventRecord(untimed, NULL));
    assert_int_equal(cuEventElapsedTime(&ms, a, untimed), CUDA_ERROR_INVALID_HANDLE);
    OK(cuEventDestroy(a));
    assert_int_equal(cuEventQuery(a), CUDA_ERROR_INVALID_HANDLE);
    assert_int_equal(cuEventDestroy(a), CUDA_ERROR_INVALID_HANDLE);
    OK(cuEventDestroy(b));
    OK(cuEventDestroy(untimed));
    OK(cuStreamDestroy(stream));
    assert_int_equal(cuStreamSynchronize(stream), CUDA_ERROR_INVALID_HANDLE);
}

static void pointers_tell_what_they_are(void **state)
{
    CUdeviceptr p, base;
    void *pinned;
    size_t size;
    unsigned type;
    int ordinal, stack_variable = 0;
    OK(cuMemAlloc(&p, 1000));
    OK(cuMemHostAlloc(&pinned, 1000, CU_MEMHOSTALLOC_PORTABLE));
    OK(cuMemGetAddressRange(&base, &size, p + 999));
    assert_true(base == p && size == 1000);
    assert_int_equal(cuMemGetAddressRange(&base, &size, p + 1000), CUDA_ERROR_NOT_FOUND);
    OK(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, p + 5));
    assert_int_equal(type, CU_MEMORYTYPE_DEVICE);
    OK(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, (CUdeviceptr)pinned));
    assert_int_equal(type, CU_MEMORYTYPE_HOST);
    OK(cuMemHostGetDevicePointer(&base, pinned, 0));
    assert_true(base == (CUdeviceptr)pinned);
    assert_int_equal(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
                                           (CUdeviceptr)&stack_variable),
                     CUDA_ERROR_INVALID_VALUE);
    CUpointer_attribute wanted[] = {CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
                                    CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL};
    void *into[] = {&type, &ordinal};
    OK(cuPointerGetAttributes(2, wanted, into, (CUdeviceptr)&stack_variable));
    assert_int_equal(type, 0);
    assert_int_equal(ordinal, -2);
    OK(cuPointerGetAttributes(2, wanted, into, p));
    assert_int_equal(ordinal, 0);
    assert_int_equal(cuMemFree(p + 1), CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(cuMemFreeHost((void *)p), CUDA_ERROR_INVALID_VALUE);
    OK(cuMemFree(p));
    assert_int_equal(cuMemFree(p), CUDA_ERROR_INVALID_VALUE);
    OK(cuMemFreeHost(pinned));
    assert_int_equal(cuMemFreeHost(pinned), CUDA_ERROR_INVALID_VALUE);
    OK(cuMemFree(0));
}

static void objects_die_with_their_context(void **state)
{
    CUcontext ctx, current;
    CUstream stream;
    CUdeviceptr p;
    CUdevice dev;
    unsigned flags;
    int active;
    OK(cuCtxGetDevice(&dev));
    for (int i = 0; i < 5; i++) { /* the handles of one round are free in the next */
        OK(cuCtxCreate(&ctx, 0, dev));
        OK(cuCtxGetCurrent(&current));
        assert_ptr_equal(current, ctx);
        OK(cuStreamCreate(&stream, 0));
        OK(cuMemAlloc(&p, 4096));
        OK(cuMemsetD8Async(p, 1, 4096, stream));
        OK(cuCtxDestroy(ctx));
        OK(cuCtxGetCurrent(&current));
        assert_ptr_equal(current, primary);
        assert_int_equal(cuStreamSynchronize(stream), CUDA_ERROR_INVALID_HANDLE);
        assert_int_equal(cuMemcpyDtoH(&flags, p, 4), CUDA_ERROR_INVALID_VALUE);
        assert_int_equal(cuCtxSetCurrent(ctx), CUDA_ERROR_INVALID_CONTEXT);
    }
    /* Reset ends the primary context; the next retain makes it again under the same handle. */
    OK(cuMemAlloc(&p, 4096));
    OK(cuDevicePrimaryCtxReset(dev));
    OK(cuDevicePrimaryCtxGetState(dev, &flags, &active));
    assert_int_equal(active, 0);
    assert_int_equal(cuMemAlloc(&p, 1), CUDA_ERROR_CONTEXT_IS_DESTROYED);
    OK(cuDevicePrimaryCtxRetain(&current, dev));
    assert_ptr_equal(current, primary);
    assert_int_equal(cuMemFree(p), CUDA_ERROR_INVALID_VALUE);
    OK(cuMemAlloc(&p, 1));
    OK(cuMemFree(p));
}

static void compiler_messages_come_back(void **state)
{
    char info[512] = "", error[512] = "";
    CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES,
                              CU_JIT_INFO_LOG_BUFFER, CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES,
                              CU_JIT_OPTIMIZATION_LEVEL};
    void *values[] = {error, (void *)sizeof(error), info, (void *)sizeof(info), (void *)2};
    CUmodule mod;
    assert_int_not_equal(
        cuModuleLoadDataEx(&mod, ".version 7.0\n.target sm_70\n.address_size 64\nnonsense;\n", 5,
                           options, values),
        CUDA_SUCCESS);
    assert_true(strlen(error) > 0);
    assert_true((size_t)values[1] <= sizeof(error));
    values[1] = values[3] = (void *)sizeof(error);
    OK(cuModuleLoadDataEx(&mod, ptx, 5, options, values));
    OK(cuModuleUnload(mod));
}

static void child_of_fork_gets_an_error(void **state)
{
    pid_t child = fork();
    if (!child) {
        int count;
        CUdeviceptr p;
        _exit(cuMemAlloc(&p, 1) == CUDA_ERROR_NOT_INITIALIZED &&
                      cuDeviceGetCount(&count) == CUDA_ERROR_NOT_INITIALIZED &&
                      cuInit(0) == CUDA_ERROR_NOT_INITIALIZED
                  ? 0
                  : 1);
    }
    int status = -1;
    assert_true(child > 0 && waitpid(child, &status, 0) == child);
    assert_int_equal(status, 0);
    OK(cuCtxSynchronize());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_of_every_size_come_back),
        cmocka_unit_test(boxes_arrive_in_place),
        cmocka_unit_test(modules_give_the_same_function_twice),
        cmocka_unit_test(kernels_of_a_library_are_functions),
        cmocka_unit_test(threads_have_default_streams_of_their_own),
        cmocka_unit_test(events_know_when_they_are_done),
        cmocka_unit_test(pointers_tell_what_they_are),
        cmocka_unit_test(objects_die_with_their_context),
        cmocka_unit_test(compiler_messages_come_back),
        cmocka_unit_test(child_of_fork_gets_an_error),
    };
    setenv("VGPU_LOG", "0", 0);
    return cmocka_run_group_tests(tests, start, NULL);
}
