/* SPDX-License-Identifier: Apache-2.0 */
/* Start-up, devices, contexts and handles: where a program that cannot start would fail. */
#include "soft_test.h"

#include <dlfcn.h>
#include <pthread.h>

static void nothing_works_before_init(void)
{
    CUcontext ctx;
    CUdeviceptr p;
    int n;

    child_expect(CUDA_ERROR_NOT_INITIALIZED, cuDeviceGetCount(&n));
    child_expect(CUDA_ERROR_NOT_INITIALIZED, cuCtxGetCurrent(&ctx));
    child_expect(CUDA_ERROR_NOT_INITIALIZED, cuMemAlloc(&p, 1));
    child_expect(CUDA_ERROR_NOT_INITIALIZED, cuEventQuery(NULL));
    child_expect(CUDA_SUCCESS, cuDriverGetVersion(&n));
    child_check(n == 12040);
    child_expect(CUDA_ERROR_INVALID_VALUE, cuInit(1));
    child_expect(CUDA_SUCCESS, cuInit(0));
    child_expect(CUDA_ERROR_INVALID_CONTEXT, cuMemAlloc(&p, 1));
    child_expect(CUDA_ERROR_INVALID_CONTEXT, cuCtxSynchronize());
}

static void the_driver_must_be_initialised(void **state)
{
    (void)state;
    in_child(nothing_works_before_init);
}

static void many_devices(void)
{
    CUuuid a, b;
    CUcontext ctx, peer;
    CUdeviceptr p, q;
    int n, value;

    setenv("VGPU_SOFT_DEVICES", "3", 1);
    setenv("VGPU_SOFT_MEMORY_MB", "100", 1);
    setenv("VGPU_SOFT_CORES", "2", 1);
    child_expect(CUDA_SUCCESS, cuInit(0));
    child_expect(CUDA_SUCCESS, cuDeviceGetCount(&n));
    child_check(n == 3);
    child_expect(CUDA_SUCCESS, cuDeviceGetUuid(&a, 0));
    child_expect(CUDA_SUCCESS, cuDeviceGetUuid(&b, 2));
    child_check(memcmp(&a, &b, sizeof(a)));
    child_expect(CUDA_SUCCESS,
                 cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 1));
    child_check(value == 2);
    child_expect(CUDA_ERROR_INVALID_DEVICE, cuDeviceGet(&n, 3));
    child_expect(CUDA_SUCCESS, cuCtxCreate(&ctx, 0, 0));
    child_expect(CUDA_SUCCESS, cuMemAlloc(&p, MIB));
    child_expect(CUDA_SUCCESS, cuMemsetD8(p, 9, MIB));
    child_expect(CUDA_SUCCESS, cuCtxCreate(&peer, 0, 1));
    child_expect(CUDA_SUCCESS, cuMemAlloc(&q, MIB));
    child_expect(CUDA_SUCCESS, cuCtxEnablePeerAccess(ctx, 0));
    child_expect(CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED, cuCtxEnablePeerAccess(ctx, 0));
    child_expect(CUDA_SUCCESS, cuMemcpyPeer(q, peer, p, ctx, MIB));
    child_expect(CUDA_SUCCESS, cuMemcpyDtoH(&n, q, 4));
    child_check(n == 0x09090909);
    child_expect(CUDA_SUCCESS, cuPointerGetAttribute(&n, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, q));
    child_check(n == 1);
}

static void no_devices(void)
{
    setenv("VGPU_SOFT_DEVICES", "0", 1);
    child_expect(CUDA_ERROR_NO_DEVICE, cuInit(0));
}

static void the_number_of_devices_can_be_set(void **state)
{
    (void)state;
    in_child(many_devices);
    in_child(no_devices);
}

static void every_attribute_has_an_answer(void **state)
{
    int value, major, minor;
    size_t total;
    char name[64], id[32];
    CUuuid uuid, again;
    CUdevice dev;

    (void)state;
    for (int a = 1; a < CU_DEVICE_ATTRIBUTE_MAX; a++)
        ok(cuDeviceGetAttribute(&value, (CUdevice_attribute)a, 0));
    expect(CUDA_ERROR_INVALID_VALUE, cuDeviceGetAttribute(&value, 0, 0));
    expect(CUDA_ERROR_INVALID_VALUE, cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_MAX, 0));
    expect(CUDA_ERROR_INVALID_DEVICE,
           cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_WARP_SIZE, -1));
    ok(cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_WARP_SIZE, 0));
    assert_int_equal(value, 32);
    ok(cuDeviceComputeCapability(&major, &minor, 0));
    ok(cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 0));
    assert_int_equal(value, major);
    ok(cuDeviceTotalMem(&total, 0));
    assert_int_equal(total, 64 * MIB);
    ok(cuDeviceGetName(name, sizeof(name), 0));
    assert_string_equal(name, "vGPU software GPU");
    ok(cuDeviceGetName(name, 5, 0));
    assert_string_equal(name, "vGPU");
    ok(cuDeviceGetUuid(&uuid, 0));
    ok(cuDeviceGetUuid_v2(&again, 0));
    assert_memory_equal(&uuid, &again, 16);
    ok(cuDeviceGetPCIBusId(id, sizeof(id), 0));
    ok(cuDeviceGetByPCIBusId(&dev, id));
    assert_int_equal(dev, 0);
    expect(CUDA_ERROR_INVALID_DEVICE, cuDeviceGetByPCIBusId(&dev, "0000:01:00.0"));
    expect(CUDA_ERROR_INVALID_VALUE, cuDeviceGetByPCIBusId(&dev, "nonsense"));
}

static void every_error_has_a_name(void **state)
{
    const char *name, *text;

    (void)state;
    ok(cuGetErrorName(CUDA_ERROR_ILLEGAL_ADDRESS, &name));
    assert_string_equal(name, "CUDA_ERROR_ILLEGAL_ADDRESS");
    ok(cuGetErrorString(CUDA_ERROR_ILLEGAL_ADDRESS, &text));
    assert_true(strlen(text) > 4);
    expect(CUDA_ERROR_INVALID_VALUE, cuGetErrorName((CUresult)12345, &name));
    assert_null(name);
}

static void entry_points_are_found_by_version(void **state)
{
    CUdriverProcAddressQueryResult status;
    const CUuuid unknown = {{1, 2, 3}};
    const void *table = &unknown;
    void *fn, *other;

    (void)state;
    ok(cuGetProcAddress_v2("cuMemAlloc", &fn, 3020, 0, &status));
    assert_ptr_equal(fn, dlsym(RTLD_DEFAULT, "cuMemAlloc_v2"));
    ok(cuGetProcAddress_v2("cuMemAlloc", &fn, 2000, 0, &status));
    assert_null(fn);
    assert_int_equal(status, CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT);
    ok(cuGetProcAddress_v2("cuNoSuchCall", &fn, 12000, 0, &status));
    assert_null(fn);
    assert_int_equal(status, CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND);
    expect(CUDA_ERROR_INVALID_VALUE, cuGetProcAddress_v2("cuInit", &fn, 99000, 0, &status));
    expect(CUDA_ERROR_INVALID_VALUE, cuGetProcAddress_v2("cuInit", &fn, 12000, 64, &status));
    ok(cuGetProcAddress_v2("cuLaunchKernel", &fn, 12000, 0, NULL));
    assert_ptr_equal(fn, dlsym(RTLD_DEFAULT, "cuLaunchKernel"));
    ok(cuGetProcAddress_v2("cuLaunchKernel", &other, 12000,
                           CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM, NULL));
    assert_ptr_equal(other, dlsym(RTLD_DEFAULT, "cuLaunchKernel_ptsz"));
    ok(cuGetProcAddress_v2("cuMemcpyHtoD", &other, 12000,
                           CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM, NULL));
    assert_ptr_equal(other, dlsym(RTLD_DEFAULT, "cuMemcpyHtoD_v2_ptds"));
    ok(cuGetProcAddress_v2("cuStreamGetCaptureInfo", &fn, 10010, 0, NULL));
    ok(cuGetProcAddress_v2("cuStreamGetCaptureInfo", &other, 12030, 0, NULL));
    assert_ptr_not_equal(fn, other);
    expect(CUDA_ERROR_INVALID_VALUE, cuGetExportTable(&table, &unknown));
    assert_null(table);
}

static void current_contexts_stack(void **state)
{
    struct soft *s = *state;
    CUcontext a, b, got;
    CUdevice dev;
    size_t value;
    unsigned long long id_a, id_b;
    unsigned flags;

    ok(cuCtxCreate(&a, CU_CTX_SCHED_BLOCKING_SYNC, 0));
    ok(cuCtxGetCurrent(&got));
    assert_ptr_equal(got, a);
    ok(cuCtxGetFlags(&flags));
    assert_int_equal(flags, CU_CTX_SCHED_BLOCKING_SYNC);
    ok(cuCtxCreate(&b, 0, 0));
    ok(cuCtxPopCurrent(&got));
    assert_ptr_equal(got, b);
    ok(cuCtxGetCurrent(&got));
    assert_ptr_equal(got, a);
    ok(cuCtxPushCurrent(b));
    ok(cuCtxSetCurrent(a)); /* replaces b */
    ok(cuCtxPopCurrent(&got));
    ok(cuCtxPopCurrent(&got));
    assert_ptr_equal(got, a);
    ok(cuCtxGetCurrent(&got));
    assert_ptr_equal(got, s->ctx);
    ok(cuCtxGetId(a, &id_a));
    ok(cuCtxGetId(b, &id_b));
    assert_true(id_a != id_b);
    ok(cuCtxGetDevice(&dev));
    assert_int_equal(dev, 0);

    /* A destroyed context stays current elsewhere on the stack, and says so. */
    ok(cuCtxPushCurrent(a));
    ok(cuCtxPushCurrent(b));
    ok(cuCtxDestroy(a));
    ok(cuCtxPopCurrent(NULL));
    expect(CUDA_ERROR_CONTEXT_IS_DESTROYED, cuCtxSynchronize());
    expect(CUDA_ERROR_INVALID_CONTEXT, cuCtxSetCurrent(a));
    expect(CUDA_ERROR_INVALID_CONTEXT, cuCtxDestroy(a));
    ok(cuCtxPopCurrent(NULL));
    ok(cuCtxDestroy(b));

    ok(cuCtxSetLimit(CU_LIMIT_STACK_SIZE, 4096));
    ok(cuCtxGetLimit(&value, CU_LIMIT_STACK_SIZE));
    assert_int_equal(value, 4096);
    expect(CUDA_ERROR_UNSUPPORTED_LIMIT, cuCtxGetLimit(&value, CU_LIMIT_SHMEM_SIZE));
    expect(CUDA_ERROR_INVALID_VALUE, cuCtxGetLimit(&value, 77));
    expect(CUDA_ERROR_INVALID_VALUE, cuCtxCreate(&a, 3, 0));
    expect(CUDA_ERROR_INVALID_DEVICE, cuCtxCreate(&a, 0, 1));
}

static void the_primary_context_is_counted(void **state)
{
    struct soft *s = *state;
    CUcontext one, two;
    CUdeviceptr p;
    unsigned flags;
    int active;

    ok(cuDevicePrimaryCtxGetState(0, &flags, &active));
    assert_int_equal(active, 0);
    expect(CUDA_ERROR_INVALID_CONTEXT, cuDevicePrimaryCtxRelease(0));
    ok(cuDevicePrimaryCtxSetFlags(0, CU_CTX_SCHED_YIELD));
    ok(cuDevicePrimaryCtxRetain(&one, 0));
    ok(cuDevicePrimaryCtxRetain(&two, 0));
    assert_ptr_equal(one, two);
    expect(CUDA_ERROR_INVALID_CONTEXT, cuCtxDestroy(one));
    ok(cuDevicePrimaryCtxGetState(0, &flags, &active));
    assert_int_equal(active, 1);
    assert_int_equal(flags, CU_CTX_SCHED_YIELD);
    ok(cuCtxPushCurrent(one));
    ok(cuMemAlloc(&p, 100));
    ok(cuDevicePrimaryCtxRelease(0));
    ok(cuMemsetD8(p, 0, 100));
    ok(cuDevicePrimaryCtxRelease(0));
    expect(CUDA_ERROR_CONTEXT_IS_DESTROYED, cuMemAlloc(&p, 100));
    ok(cuDevicePrimaryCtxGetState(0, &flags, &active));
    assert_int_equal(active, 0);
    ok(cuCtxPopCurrent(NULL));
    /* Its memory went with it. */
    expect(CUDA_ERROR_INVALID_VALUE, cuMemsetD8(p, 0, 100));
    ok(cuDevicePrimaryCtxReset(0));
    ok(cuMemsetD8((CUdeviceptr)(uintptr_t)s->flag, 0, 4));
}

static void a_context_takes_all_it_owns_along(void **state)
{
    struct soft *s = *state;
    CUcontext ctx;
    CUstream stream;
    CUevent event;
    CUmodule module;
    CUfunction fn;
    CUdeviceptr p, counter;
    size_t before, after, total;

    ok(cuMemGetInfo(&before, &total));
    ok(cuCtxCreate(&ctx, 0, 0));
    ok(cuStreamCreate(&stream, 0));
    ok(cuEventCreate(&event, 0));
    ok(cuModuleLoadData(&module, soft_kernels));
    ok(cuModuleGetFunction(&fn, module, "nop"));
    ok(cuModuleGetGlobal(&counter, NULL, module, "counter"));
    ok(cuMemAlloc(&p, 10 * MIB));
    ok(launch1(fn, stream, NULL));
    ok(cuCtxDestroy(ctx));
    expect(CUDA_ERROR_INVALID_HANDLE, cuStreamQuery(stream));
    expect(CUDA_ERROR_INVALID_HANDLE, cuEventQuery(event));
    expect(CUDA_ERROR_INVALID_HANDLE, cuModuleUnload(module));
    expect(CUDA_ERROR_INVALID_HANDLE, launch1(fn, NULL, NULL));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemFree(p));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemsetD8(counter, 0, 4));
    ok(cuMemGetInfo(&after, &total));
    assert_int_equal(before, after);
    /* What belongs to one context cannot be used in another. */
    ok(cuCtxCreate(&ctx, 0, 0));
    expect(CUDA_ERROR_INVALID_CONTEXT, launch1(function(s, "nop"), NULL, NULL));
    ok(cuCtxDestroy(ctx));
}

static void made_up_handles_are_refused(void **state)
{
    struct soft *s = *state;
    CUfunction nop = function(s, "nop");
    uint64_t seed = 88172645463325252ull;
    CUlibrary lib;
    int value;
    float ms;

    for (int i = 0; i < 200000; i++) {
        uint64_t h =
            i < 64 ? 1ull << i : (seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17);
        void *p;

        /* Near misses too: a valid handle with a bit flipped. */
        if (i >= 64 && i < 128)
            h = (uint64_t)(uintptr_t)s->a ^ 1ull << (i - 64);
        if (h <= 2 || h == (uint64_t)(uintptr_t)s->b)
            continue;
        p = (void *)(uintptr_t)h;
        expect(CUDA_ERROR_INVALID_HANDLE, cuStreamQuery(p));
        expect(CUDA_ERROR_INVALID_HANDLE, cuEventQuery(p));
        if (i > 500)
            continue;
        expect(CUDA_ERROR_INVALID_HANDLE, cuStreamDestroy(p));
        expect(CUDA_ERROR_INVALID_HANDLE, cuEventRecord(p, NULL));
        expect(CUDA_ERROR_INVALID_HANDLE, cuEventElapsedTime(&ms, p, p));
        expect(CUDA_ERROR_INVALID_HANDLE, cuModuleUnload(p));
        expect(CUDA_ERROR_INVALID_HANDLE, launch1(p, NULL, NULL));
        expect(CUDA_ERROR_INVALID_HANDLE, cuFuncGetAttribute(&value, 0, p));
        expect(CUDA_ERROR_INVALID_HANDLE, cuLibraryUnload(p));
        expect(CUDA_ERROR_INVALID_HANDLE, cuKernelGetLibrary(&lib, p));
        expect(CUDA_ERROR_INVALID_CONTEXT, cuCtxSetCurrent(p));
        expect(CUDA_ERROR_INVALID_CONTEXT, cuCtxDestroy(p));
        expect(CUDA_ERROR_INVALID_VALUE, cuMemRelease(h));
        expect(CUDA_ERROR_INVALID_HANDLE, launch1(nop, p, NULL));
    }
    /* One kind of handle is not another. */
    expect(CUDA_ERROR_INVALID_HANDLE, cuEventQuery((CUevent)s->a));
    expect(CUDA_ERROR_INVALID_HANDLE, cuStreamQuery((CUstream)s->ctx));
    expect(CUDA_ERROR_INVALID_HANDLE, cuModuleUnload((CUmodule)nop));
}

static void *without_context(void *arg)
{
    CUcontext ctx = arg;
    CUdeviceptr p;

    ok(cuCtxGetCurrent(&ctx));
    assert_null(ctx);
    expect(CUDA_ERROR_INVALID_CONTEXT, cuMemAlloc(&p, 1));
    ok(cuCtxSetCurrent(arg));
    ok(cuMemAlloc(&p, 1));
    return (void *)(uintptr_t)p;
}

static void each_thread_has_its_own_current_context(void **state)
{
    struct soft *s = *state;
    pthread_t t;
    void *p;

    assert_int_equal(pthread_create(&t, NULL, without_context, s->ctx), 0);
    pthread_join(t, &p);
    ok(cuMemFree((CUdeviceptr)(uintptr_t)p));
}

static void a_forked_child_is_told(void **state)
{
    int status;
    pid_t pid = fork();

    (void)state;
    if (pid == 0) {
        CUdeviceptr p;

        alarm(10);
        child_expect(CUDA_ERROR_NOT_INITIALIZED, cuMemAlloc(&p, 1));
        child_expect(CUDA_ERROR_NOT_INITIALIZED, cuInit(0));
        _exit(0);
    }
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest alone[] = {
        cmocka_unit_test(the_driver_must_be_initialised),
        cmocka_unit_test(the_number_of_devices_can_be_set),
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_attribute_has_an_answer),
        cmocka_unit_test(every_error_has_a_name),
        cmocka_unit_test(entry_points_are_found_by_version),
        cmocka_unit_test(current_contexts_stack),
        cmocka_unit_test(the_primary_context_is_counted),
        cmocka_unit_test(a_context_takes_all_it_owns_along),
        cmocka_unit_test(made_up_handles_are_refused),
        cmocka_unit_test(each_thread_has_its_own_current_context),
        cmocka_unit_test(a_forked_child_is_told),
    };
    int failed = cmocka_run_group_tests(alone, NULL, NULL);

    return failed + cmocka_run_group_tests(tests, soft_setup, soft_teardown);
}
