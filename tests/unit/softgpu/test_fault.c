/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults are what the mediator must contain, so they must happen here as they do on hardware: one
 * error, for every call, until the process ends.
 */
#include "soft_test.h"

#include <fcntl.h>
#include <signal.h>

static CUmodule module;
static CUcontext ctx;

static void child_open(void)
{
    setenv("VGPU_SOFT_CORES", "2", 0);
    setenv("VGPU_SOFT_MEMORY_MB", "64", 0);
    child_expect(CUDA_SUCCESS, cuInit(0));
    child_expect(CUDA_SUCCESS, cuCtxCreate(&ctx, 0, 0));
    child_expect(CUDA_SUCCESS, cuModuleLoadData(&module, soft_kernels));
}

static CUresult run(const char *name, void **params)
{
    CUfunction fn;

    child_expect(CUDA_SUCCESS, cuModuleGetFunction(&fn, module, name));
    return cuLaunchKernel(fn, 1, 1, 1, 1, 1, 1, 0, NULL, params, NULL);
}

/* Every call gets the error, in new contexts too; what needs no context still answers. */
static void child_stuck_with(CUresult error)
{
    CUcontext fresh;
    CUstream stream;
    CUevent event;
    CUdeviceptr p;
    CUfunction fn;
    size_t size;
    uint32_t word;
    int n;

    child_expect(error, cuCtxSynchronize());
    child_expect(error, cuStreamSynchronize(NULL));
    child_expect(error, cuMemAlloc(&p, 1));
    child_expect(error, cuMemcpyDtoH(&word, 0x1000, 4));
    child_expect(error, cuMemsetD8(0x1000, 0, 1));
    child_expect(error, cuStreamCreate(&stream, 0));
    child_expect(error, cuEventCreate(&event, 0));
    child_expect(error, cuModuleGetFunction(&fn, module, "nop"));
    child_expect(error, cuCtxCreate(&fresh, 0, 0));
    child_expect(error, cuDevicePrimaryCtxRetain(&fresh, 0));
    child_expect(error, cuMemGetInfo(&size, &size));
    child_expect(error, cuMemAddressReserve(&p, 2 * MIB, 0, 0, 0));
    child_expect(CUDA_SUCCESS, cuDeviceGetCount(&n));
    child_expect(CUDA_SUCCESS, cuDriverGetVersion(&n));
    child_expect(CUDA_SUCCESS, cuCtxGetCurrent(&fresh));
    child_check(fresh == ctx);
    child_expect(error, cuCtxDestroy(ctx));
    child_expect(error, cuCtxCreate(&fresh, 0, 0));
}

static void wild_pointer(void)
{
    CUdeviceptr wild = 0x123456789000;

    child_open();
    child_expect(CUDA_SUCCESS, run("poke", (void *[]){&wild}));
    child_expect(CUDA_ERROR_ILLEGAL_ADDRESS, cuCtxSynchronize());
    child_stuck_with(CUDA_ERROR_ILLEGAL_ADDRESS);
}

static void just_past_the_end(void)
{
    CUdeviceptr p;

    child_open();
    child_expect(CUDA_SUCCESS, cuMemAlloc(&p, 8));
    p += 8;
    child_expect(CUDA_SUCCESS, run("poke", (void *[]){&p}));
    child_stuck_with(CUDA_ERROR_ILLEGAL_ADDRESS);
}

static void after_free(void)
{
    CUdeviceptr p, other;

    child_open();
    child_expect(CUDA_SUCCESS, cuMemAlloc(&p, 64));
    child_expect(CUDA_SUCCESS, cuMemAlloc(&other, 64)); /* keeps the chunk mapped */
    child_expect(CUDA_SUCCESS, run("poke", (void *[]){&p}));
    child_expect(CUDA_SUCCESS, cuMemFree(p));
    child_expect(CUDA_SUCCESS, run("poke", (void *[]){&other}));
    child_expect(CUDA_SUCCESS, cuCtxSynchronize());
    child_expect(CUDA_SUCCESS, run("poke", (void *[]){&p}));
    child_stuck_with(CUDA_ERROR_ILLEGAL_ADDRESS);
}

static void unaligned(void)
{
    CUdeviceptr p;

    child_open();
    child_expect(CUDA_SUCCESS, cuMemAlloc(&p, 64));
    p += 2;
    child_expect(CUDA_SUCCESS, run("poke", (void *[]){&p}));
    child_stuck_with(CUDA_ERROR_MISALIGNED_ADDRESS);
}

static void trapped(void)
{
    child_open();
    child_expect(CUDA_SUCCESS, run("crash", NULL));
    child_stuck_with(CUDA_ERROR_LAUNCH_FAILED);
}

/* Work elsewhere ends too, and whoever waits for it hears of it. */
static void beside_other_work(void)
{
    CUfunction fn;
    CUstream stream;

    child_open();
    child_expect(CUDA_SUCCESS, cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    child_expect(CUDA_SUCCESS, cuModuleGetFunction(&fn, module, "forever"));
    child_expect(CUDA_SUCCESS, cuLaunchKernel(fn, 1, 1, 1, 1, 1, 1, 0, stream, NULL, NULL));
    child_expect(CUDA_SUCCESS, run("crash", NULL));
    child_expect(CUDA_ERROR_LAUNCH_FAILED, cuStreamSynchronize(stream));
    child_stuck_with(CUDA_ERROR_LAUNCH_FAILED);
}

static void reset_after_fault(void)
{
    CUcontext primary;
    CUdeviceptr p;

    child_open();
    child_expect(CUDA_SUCCESS, cuDevicePrimaryCtxRetain(&primary, 0));
    child_expect(CUDA_SUCCESS, run("crash", NULL));
    child_expect(CUDA_ERROR_LAUNCH_FAILED, cuCtxSynchronize());
    child_expect(CUDA_SUCCESS, cuCtxSetCurrent(primary));
    child_expect(CUDA_ERROR_LAUNCH_FAILED, cuMemAlloc(&p, 1));
    child_expect(CUDA_ERROR_LAUNCH_FAILED, cuDevicePrimaryCtxReset(0));
    child_expect(CUDA_ERROR_CONTEXT_IS_DESTROYED, cuMemAlloc(&p, 1));
    child_expect(CUDA_ERROR_LAUNCH_FAILED, cuDevicePrimaryCtxRetain(&primary, 0));
}

static void a_fault_ends_the_process_use_of_cuda(void **state)
{
    (void)state;
    in_child(wild_pointer);
    in_child(just_past_the_end);
    in_child(after_free);
    in_child(unaligned);
    in_child(trapped);
    in_child(beside_other_work);
    in_child(reset_after_fault);
}

static CUresult callback_status;

static void note_status(CUstream stream, CUresult status, void *arg)
{
    (void)stream;
    __atomic_store_n((int *)arg, 1, __ATOMIC_RELEASE);
    callback_status = status;
}

static void must_not_run(void *arg)
{
    (void)arg;
    _exit(9);
}

static void callbacks_owed(void)
{
    int called = 0;

    child_open();
    child_expect(CUDA_SUCCESS, run("crash", NULL));
    /* The fault may come first: then these calls fail with it, which is right too. */
    if (cuLaunchHostFunc(NULL, must_not_run, NULL) == CUDA_SUCCESS &&
        cuStreamAddCallback(NULL, note_status, &called, 0) == CUDA_SUCCESS) {
        while (!__atomic_load_n(&called, __ATOMIC_ACQUIRE))
            usleep(1000);
        child_check(callback_status == CUDA_ERROR_LAUNCH_FAILED);
    }
    child_expect(CUDA_ERROR_LAUNCH_FAILED, cuCtxSynchronize());
}

static void callbacks_hear_of_a_fault(void **state)
{
    (void)state;
    in_child(callbacks_owed);
}

static void third_kernel_illegal(void)
{
    setenv("VGPU_SOFT_FAULT", "illegal:after=2", 1);
    child_open();
    for (int i = 0; i < 2; i++) {
        child_expect(CUDA_SUCCESS, run("nop", NULL));
        child_expect(CUDA_SUCCESS, cuCtxSynchronize());
    }
    child_expect(CUDA_SUCCESS, run("nop", NULL));
    child_stuck_with(CUDA_ERROR_ILLEGAL_ADDRESS);
}

static void vanished(void)
{
    setenv("VGPU_SOFT_FAULT", "vanish", 1);
    child_open();
    child_expect(CUDA_ERROR_UNKNOWN, run("nop", NULL));
    child_stuck_with(CUDA_ERROR_UNKNOWN);
}

static void bad_switch(void)
{
    setenv("VGPU_SOFT_FAULT", "explode:after=x", 1);
    child_open();
    child_expect(CUDA_SUCCESS, run("nop", NULL));
    child_expect(CUDA_SUCCESS, cuCtxSynchronize());
}

static void triggered_by_file(void)
{
    char path[] = "/tmp/vgpu-soft-fault-XXXXXX";
    int fd = mkstemp(path);

    child_check(fd >= 0);
    setenv("VGPU_SOFT_FAULT_FILE", path, 1);
    child_open();
    child_expect(CUDA_SUCCESS, run("nop", NULL));
    child_expect(CUDA_SUCCESS, cuCtxSynchronize());
    child_check(write(fd, "illegal:after=1\n", 16) == 16);
    child_expect(CUDA_SUCCESS, run("nop", NULL));
    child_expect(CUDA_SUCCESS, cuCtxSynchronize());
    child_expect(CUDA_SUCCESS, run("nop", NULL));
    unlink(path);
    child_stuck_with(CUDA_ERROR_ILLEGAL_ADDRESS);
}

/* A hang: the kernel never ends, others on other streams do, and the process can still exit. */
static void hung(void)
{
    CUstream stream;
    CUfunction fn;

    setenv("VGPU_SOFT_FAULT", "hang", 1);
    child_open();
    child_expect(CUDA_SUCCESS, run("nop", NULL));
    usleep(20000);
    child_expect(CUDA_ERROR_NOT_READY, cuStreamQuery(NULL));
    child_expect(CUDA_SUCCESS, cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    child_expect(CUDA_SUCCESS, cuModuleGetFunction(&fn, module, "nop"));
    child_expect(CUDA_SUCCESS, cuLaunchKernel(fn, 50, 1, 1, 1, 1, 1, 0, stream, NULL, NULL));
    child_expect(CUDA_SUCCESS, cuStreamSynchronize(stream));
    child_expect(CUDA_ERROR_NOT_READY, cuStreamQuery(NULL));
    exit(0); /* runs destructors */
}

/* The same for a kernel that really loops. */
static void looping(void)
{
    child_open();
    child_expect(CUDA_SUCCESS, run("forever", NULL));
    usleep(20000);
    child_expect(CUDA_ERROR_NOT_READY, cuStreamQuery(NULL));
    exit(0);
}

static void faults_can_be_ordered(void **state)
{
    (void)state;
    in_child(third_kernel_illegal);
    in_child(vanished);
    in_child(bad_switch);
    in_child(triggered_by_file);
}

static void a_hung_kernel_does_not_keep_the_process(void **state)
{
    (void)state;
    in_child(hung);
    in_child(looping);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fault_ends_the_process_use_of_cuda),
        cmocka_unit_test(callbacks_hear_of_a_fault),
        cmocka_unit_test(faults_can_be_ordered),
        cmocka_unit_test(a_hung_kernel_does_not_keep_the_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
