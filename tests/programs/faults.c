/* SPDX-License-Identifier: Apache-2.0 */
/*
 * faults - errors a program can cause, and what it must see then
 *
 * Each mode runs in a process of its own, because some leave the process without a usable GPU. Mode
 * "all", the default, runs every mode but "wild", whose made-up handles are undefined on a native
 * driver (it may crash); behind a mediator they must be refused.
 */
#include "program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern const char faults_ptx[];

static void open_device(void)
{
    CHECK(cuInit(0));
    CHECK(cuDeviceGet(&program.dev, program.ordinal));
    CHECK(cuDevicePrimaryCtxRetain(&program.ctx, program.dev));
    CHECK(cuCtxSetCurrent(program.ctx));
    CHECK(cuModuleLoadData(&program.mod, faults_ptx));
}

/* The context must work: a kernel stores, a copy fetches. */
static void still_usable(void)
{
    CUdeviceptr ptr = device_alloc(sizeof(uint32_t));
    uint32_t value = 0x600df00d, got = 0;

    CHECK(cuMemsetD32(ptr, 0, 1));
    launch_1d(kernel("store"), NULL, 1, 1, PARAMS(&ptr, &value));
    CHECK(cuMemcpyDtoH(&got, ptr, sizeof(got)));
    if (got != value)
        fail("the context no longer works: a kernel stored %#x, %#x came back", value, got);
    CHECK(cuMemFree(ptr));
}

/* Error 700 comes with the next synchronisation and stays, whatever is called then. */
static void illegal_address(void)
{
    CUdeviceptr ptr = device_alloc(4096), wild = 0x10;
    uint32_t value = 1, got;
    CUevent event;
    CUfunction store = kernel("store");

    still_usable();
    CHECK(cuEventCreate(&event, CU_EVENT_DEFAULT));
    launch_1d(store, NULL, 1, 1, PARAMS(&wild, &value));
    EXPECT(CUDA_ERROR_ILLEGAL_ADDRESS, cuCtxSynchronize());
    EXPECT(CUDA_ERROR_ILLEGAL_ADDRESS, cuCtxSynchronize());
    EXPECT(CUDA_ERROR_ILLEGAL_ADDRESS, cuMemcpyDtoH(&got, ptr, sizeof(got)));
    EXPECT(CUDA_ERROR_ILLEGAL_ADDRESS,
           cuLaunchKernel(store, 1, 1, 1, 1, 1, 1, 0, NULL, PARAMS(&ptr, &value), NULL));
    EXPECT(CUDA_ERROR_ILLEGAL_ADDRESS, cuEventRecord(event, NULL));
    EXPECT(CUDA_ERROR_ILLEGAL_ADDRESS, cuMemAlloc(&ptr, 4096));
}

static void trap(void)
{
    CUresult result;

    CHECK(cuLaunchKernel(kernel("trap"), 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL));
    result = cuCtxSynchronize();
    /* NVIDIA reports a trap as 715 on some GPUs and as 719 on others. */
    if (result != CUDA_ERROR_ILLEGAL_INSTRUCTION && result != CUDA_ERROR_LAUNCH_FAILED)
        fail("a trap ended with %s (%d)", result_name(result), result);
    EXPECT(result, cuCtxSynchronize());
}

/* Too much, in one piece and in many, then again a little. */
static void out_of_memory(void)
{
    enum { pieces_max = 4096 };
    static CUdeviceptr pieces[pieces_max];
    size_t free_bytes, total, piece;
    CUdeviceptr ptr = 0;
    int count = 0;
    CUresult result = CUDA_SUCCESS;

    CHECK(cuMemGetInfo(&free_bytes, &total));
    EXPECT(CUDA_ERROR_OUT_OF_MEMORY, cuMemAlloc(&ptr, total * 2));
    EXPECT(CUDA_ERROR_OUT_OF_MEMORY, cuMemAlloc(&ptr, (size_t)1 << 60));
    still_usable();
    piece = free_bytes / 64;
    while (count < pieces_max) {
        result = cuMemAlloc(&pieces[count], piece);
        if (result != CUDA_SUCCESS)
            break;
        count++;
    }
    if (result != CUDA_ERROR_OUT_OF_MEMORY || count == 0)
        fail("after %d allocations of a 64th of the free memory: %s (%d)", count,
             result_name(result), result);
    for (int i = 0; i < count; i++)
        CHECK(cuMemFree(pieces[i]));
    still_usable();
}

/* Releases of the driver differ in which of the two a null object gets. */
static void refused(CUresult result, const char *call)
{
    if (result != CUDA_ERROR_INVALID_HANDLE && result != CUDA_ERROR_INVALID_VALUE)
        fail("%s of a null object returned %s (%d)", call, result_name(result), result);
}

/* Null and stale objects, for which every driver has an answer. */
static void bad_handles(void)
{
    CUdeviceptr ptr = device_alloc(4096);
    uint32_t value = 0, got;
    size_t bytes;
    CUfunction fn;
    CUdevice dev;
    int attribute;

    refused(cuEventRecord(NULL, NULL), "cuEventRecord");
    refused(cuEventSynchronize(NULL), "cuEventSynchronize");
    refused(cuLaunchKernel(NULL, 1, 1, 1, 1, 1, 1, 0, NULL, PARAMS(&ptr, &value), NULL),
            "cuLaunchKernel");
    refused(cuModuleGetFunction(&fn, NULL, "store"), "cuModuleGetFunction");
    EXPECT(CUDA_ERROR_INVALID_DEVICE, cuDeviceGet(&dev, 1000));
    EXPECT(CUDA_ERROR_INVALID_DEVICE,
           cuDeviceGetAttribute(&attribute, CU_DEVICE_ATTRIBUTE_WARP_SIZE, 1000));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemFree(ptr + 256));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemcpyDtoH(&got, 0x10, sizeof(got)));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoD(0x10, &value, sizeof(value)));
    EXPECT(CUDA_ERROR_NOT_FOUND, cuModuleGetFunction(&fn, program.mod, "no_such_kernel"));
    EXPECT(CUDA_ERROR_NOT_FOUND, cuModuleGetGlobal(&ptr, &bytes, program.mod, "no_such_variable"));
    still_usable();
}

/* Pointers that no driver gave out. */
static void wild_handles(void)
{
    static const uintptr_t wild[] = {0x3, 0xdeadbeef, 0x7fffffffffffffff, UINTPTR_MAX};
    uint32_t value = 0;
    CUdeviceptr ptr = device_alloc(4096);

    for (size_t i = 0; i < sizeof(wild) / sizeof(wild[0]); i++) {
        CUfunction fn = (CUfunction)wild[i];
        CUstream stream = (CUstream)wild[i];
        CUevent event = (CUevent)wild[i];

        REQUIRE(cuLaunchKernel(fn, 1, 1, 1, 1, 1, 1, 0, NULL, PARAMS(&ptr, &value), NULL) !=
                CUDA_SUCCESS);
        REQUIRE(cuStreamSynchronize(stream) != CUDA_SUCCESS);
        REQUIRE(cuStreamDestroy(stream) != CUDA_SUCCESS);
        REQUIRE(cuEventSynchronize(event) != CUDA_SUCCESS);
        REQUIRE(cuEventDestroy(event) != CUDA_SUCCESS);
        REQUIRE(cuModuleUnload((CUmodule)wild[i]) != CUDA_SUCCESS);
        REQUIRE(cuCtxSetCurrent((CUcontext)wild[i]) != CUDA_SUCCESS);
    }
    still_usable();
}

static void bad_launches(void)
{
    CUfunction store = kernel("store");
    CUdeviceptr ptr = device_alloc(4096);
    uint32_t value = 0;
    void **params = PARAMS(&ptr, &value);
    int threads, shared;

    CHECK(cuDeviceGetAttribute(&threads, CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, program.dev));
    CHECK(cuDeviceGetAttribute(&shared, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
                               program.dev));
    EXPECT(CUDA_ERROR_INVALID_VALUE,
           cuLaunchKernel(store, 0, 1, 1, 1, 1, 1, 0, NULL, params, NULL));
    EXPECT(CUDA_ERROR_INVALID_VALUE,
           cuLaunchKernel(store, 1, 1, 1, 0, 1, 1, 0, NULL, params, NULL));
    EXPECT(CUDA_ERROR_INVALID_VALUE,
           cuLaunchKernel(store, 1, 1, 1, (unsigned int)threads + 1, 1, 1, 0, NULL, params, NULL));
    EXPECT(CUDA_ERROR_INVALID_VALUE,
           cuLaunchKernel(store, 1, 1 << 20, 1, 1, 1, 1, 0, NULL, params, NULL));
    EXPECT(CUDA_ERROR_INVALID_VALUE,
           cuLaunchKernel(store, 1, 1, 1, 1, 1, 1, (unsigned int)shared * 2, NULL, params, NULL));
    CHECK(cuCtxSynchronize());
    still_usable();
}

/* PTX that is no PTX: an error at once, and a log that says something. */
static void invalid_ptx(void)
{
    static const char bad[] = ".version 7.0\n.target sm_70\n.address_size 64\n"
                              ".visible .entry broken()\n{\n\tno.such.instruction %r1, %r2;\n"
                              "\tret;\n}\n";
    char info[512] = "", error[2048] = "";
    CUjit_option options[] = {CU_JIT_INFO_LOG_BUFFER, CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES,
                              CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
    void *values[] = {info, (void *)sizeof(info), error, (void *)sizeof(error)};
    CUmodule mod = NULL;

    EXPECT(CUDA_ERROR_INVALID_PTX, cuModuleLoadDataEx(&mod, bad, 4, options, values));
    REQUIRE(memchr(error, '\0', sizeof(error)) && error[0] != '\0');
    EXPECT(CUDA_ERROR_INVALID_PTX, cuModuleLoadData(&mod, bad));
    EXPECT(CUDA_ERROR_FILE_NOT_FOUND, cuModuleLoad(&mod, "/no/such/file.ptx"));

    /* A small log buffer is filled up to its end at most. */
    memset(error, '#', sizeof(error));
    values[3] = (void *)16;
    EXPECT(CUDA_ERROR_INVALID_PTX, cuModuleLoadDataEx(&mod, bad, 4, options, values));
    REQUIRE(error[0] != '#' && error[16] == '#');
    still_usable();
}

/* Before cuInit, and without a context. */
static void no_context(void)
{
    CUdeviceptr ptr;
    int count;
    CUcontext ctx = (CUcontext)1;

    EXPECT(CUDA_ERROR_NOT_INITIALIZED, cuDeviceGetCount(&count));
    EXPECT(CUDA_ERROR_NOT_INITIALIZED, cuMemAlloc(&ptr, 4));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuInit(1));
    CHECK(cuInit(0));
    CHECK(cuCtxGetCurrent(&ctx));
    REQUIRE(ctx == NULL);
    EXPECT(CUDA_ERROR_INVALID_CONTEXT, cuMemAlloc(&ptr, 4));
    EXPECT(CUDA_ERROR_INVALID_CONTEXT, cuCtxSynchronize());
}

static const struct mode {
    const char *name;
    void (*run)(void);
    bool opened; /* wants a device and module */
    bool in_all;
} modes[] = {
    {"illegal", illegal_address, true, true}, {"trap", trap, true, true},
    {"oom", out_of_memory, true, true},       {"handles", bad_handles, true, true},
    {"launch", bad_launches, true, true},     {"ptx", invalid_ptx, true, true},
    {"context", no_context, false, true},     {"wild", wild_handles, true, false},
};

static void in_child(const struct mode *m)
{
    pid_t child;
    int status;

    fflush(stdout);
    child = fork();
    if (child < 0)
        fail("cannot fork");
    if (child == 0) {
        if (m->opened)
            open_device();
        m->run();
        fflush(stdout);
        _exit(0); /* after a fault the driver's own clean-up may complain; only the answers count */
    }
    if (waitpid(child, &status, 0) != child)
        fail("cannot wait for mode %s", m->name);
    if (WIFSIGNALED(status))
        fail("mode %s died of signal %d", m->name, WTERMSIG(status));
    if (WEXITSTATUS(status) != 0)
        fail("mode %s failed", m->name);
    if (program.seconds == 0)
        details("%s%s", strcmp(m->name, modes[0].name) && !program.mode ? " " : "", m->name);
}

static void job(void)
{
    bool any = false;

    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        bool wanted = program.mode && strcmp(program.mode, "all") != 0
                          ? strcmp(program.mode, modes[i].name) == 0
                          : modes[i].in_all;

        if (wanted)
            in_child(&modes[i]);
        any |= wanted;
    }
    if (!any)
        fail("no such mode: %s", program.mode);
}

int main(int argc, char **argv)
{
    static const struct program p = {
        .name = "faults",
        .usage = "--mode all|illegal|trap|oom|handles|launch|ptx|context|wild",
        .own_context = true,
        .job = job,
    };

    return program_main(&p, argc, argv);
}
