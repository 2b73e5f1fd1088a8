/* SPDX-License-Identifier: Apache-2.0 */
/* modules - loading by every way, globals, attributes, parameter layout, occupancy, every way to
 * launch */
#include "program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern const char modules_ptx[];

#define TABLE 64

struct triple {
    int a, b, c;
};

/* The packed parameters of kernel "params": natural alignment, as the PTX ABI has it. */
struct packed {
    char small;
    double real;
    struct triple three;
    short word;
    CUdeviceptr out;
};

static CUdeviceptr device_out;

static void expect_params(void)
{
    uint64_t got[4];

    CHECK(cuMemcpyDtoH(got, device_out, sizeof(got)));
    REQUIRE((int64_t)got[0] == -3 && (int64_t)got[1] == 10);
    REQUIRE(got[2] == 1 * 1 + 2 * 10 + 3 * 100 && (int64_t)got[3] == -1234);
    CHECK(cuMemsetD8(device_out, 0, sizeof(got)));
}

static void launches(CUfunction fn)
{
    struct packed p = {-3, 2.5, {1, 2, 3}, -1234, device_out};
    size_t size = sizeof(p);
    void *params[] = {&p.small, &p.real, &p.three, &p.word, &p.out};
    void *extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, &p, CU_LAUNCH_PARAM_BUFFER_SIZE, &size,
                     CU_LAUNCH_PARAM_END};
    CUlaunchConfig config = {.gridDimX = 1,
                             .gridDimY = 1,
                             .gridDimZ = 1,
                             .blockDimX = 1,
                             .blockDimY = 1,
                             .blockDimZ = 1};

    CHECK(cuLaunchKernel(fn, 1, 1, 1, 1, 1, 1, 0, NULL, params, NULL));
    expect_params();
    CHECK(cuLaunchKernel(fn, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, extra));
    expect_params();
    CHECK(cuLaunchKernelEx(&config, fn, params, NULL));
    expect_params();
}

static void globals(CUmodule mod)
{
    CUdeviceptr counter, table, weights;
    size_t bytes;
    uint32_t value = 0, words[TABLE], n = TABLE;
    int scale[4] = {2, 20, 200, 2000};
    CUfunction fn;

    CHECK(cuModuleGetFunction(&fn, mod, "use_globals"));
    CHECK(cuModuleGetGlobal(&counter, &bytes, mod, "counter"));
    REQUIRE(bytes == sizeof(value));
    CHECK(cuModuleGetGlobal(&table, &bytes, mod, "table"));
    REQUIRE(bytes == sizeof(words));
    CHECK(cuModuleGetGlobal(&weights, NULL, mod, "weights"));
    CHECK(cuMemcpyDtoH(&value, counter, sizeof(value)));
    REQUIRE(value == 7);
    CHECK(cuMemcpyDtoH(words, table, sizeof(words)));
    for (uint32_t i = 0; i < TABLE; i++)
        REQUIRE(words[i] == 0);
    launch_1d(fn, NULL, n, 32, PARAMS(&n));
    CHECK(cuMemcpyDtoH(&value, counter, sizeof(value)));
    REQUIRE(value == 7 + TABLE);
    CHECK(cuMemcpyDtoH(words, table, sizeof(words)));
    for (uint32_t i = 0; i < TABLE; i++)
        REQUIRE(words[i] == i * (i % 4 == 0 ? 1 : i % 4 == 1 ? 10 : i % 4 == 2 ? 100 : 1000));
    /* Constant memory is written by the host between launches. */
    CHECK(cuMemcpyHtoD(weights, scale, sizeof(scale)));
    launch_1d(fn, NULL, n, 32, PARAMS(&n));
    CHECK(cuMemcpyDtoH(words, table, sizeof(words)));
    for (uint32_t i = 0; i < TABLE; i++)
        REQUIRE(words[i] == i * (uint32_t)scale[i % 4]);
}

static void attributes(CUmodule mod, CUfunction fn)
{
    static const size_t offsets[] = {offsetof(struct packed, small), offsetof(struct packed, real),
                                     offsetof(struct packed, three), offsetof(struct packed, word),
                                     offsetof(struct packed, out)};
    static const size_t sizes[] = {1, 8, 12, 2, 8};
    int value, blocks, grid, block;
    size_t offset, size, shared;
    const char *name = NULL;
    CUmodule of;

    CHECK(cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, fn));
    REQUIRE(value >= 32 && value <= 1024);
    CHECK(cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_NUM_REGS, fn));
    REQUIRE(value > 0 && value <= 255);
    CHECK(cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_PTX_VERSION, fn));
    REQUIRE(value >= 70);
    CHECK(cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, fn));
    REQUIRE(value == 0);
    CHECK(cuFuncSetAttribute(fn, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 4096));
    CHECK(cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, fn));
    REQUIRE(value == 4096);
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuFuncGetAttribute(&value, (CUfunction_attribute)1000, fn));
    CHECK(cuFuncSetCacheConfig(fn, CU_FUNC_CACHE_PREFER_L1));
    CHECK(cuFuncGetModule(&of, fn));
    REQUIRE(of == mod);
    CHECK(cuFuncGetName(&name, fn));
    REQUIRE(name && strcmp(name, "params") == 0);
    for (size_t i = 0; i < 5; i++) {
        CHECK(cuFuncGetParamInfo(fn, i, &offset, &size));
        if (offset != offsets[i] || size != sizes[i])
            fail("parameter %zu is %zu bytes at %zu, expected %zu at %zu", i, size, offset,
                 sizes[i], offsets[i]);
    }
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuFuncGetParamInfo(fn, 5, &offset, &size));
    CHECK(cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, fn, 128, 0));
    REQUIRE(blocks >= 1 && blocks <= 64);
    CHECK(cuOccupancyMaxPotentialBlockSize(&grid, &block, fn, NULL, 0, 0));
    REQUIRE(grid >= 1 && block >= 32 && block <= 1024);
    CHECK(cuOccupancyAvailableDynamicSMemPerBlock(&shared, fn, 1, 128));
    REQUIRE(shared >= 4096);
}

static void dynamic_shared(CUmodule mod)
{
    enum { threads = 96, ctas = 5, words = threads * ctas };
    uint32_t data[words];
    CUdeviceptr ptr;
    CUfunction fn;

    for (uint32_t i = 0; i < words; i++)
        data[i] = i * 7;
    ptr = device_copy_of(data, sizeof(data));
    CHECK(cuModuleGetFunction(&fn, mod, "reverse"));
    CHECK(cuLaunchKernel(fn, ctas, 1, 1, threads, 1, 1, threads * sizeof(uint32_t), NULL,
                         PARAMS(&ptr), NULL));
    CHECK(cuMemcpyDtoH(data, ptr, sizeof(data)));
    for (uint32_t i = 0; i < words; i++)
        REQUIRE(data[i] == (i / threads * threads + threads - 1 - i % threads) * 7);
    CHECK(cuMemFree(ptr));
}

/* Context-independent loading, as the CUDA 12 runtime does it. */
static void library(void)
{
    CUlibrary lib;
    CUkernel kern;
    CUfunction fn;
    CUmodule mod;
    CUdeviceptr counter;
    unsigned int count = 0;
    size_t bytes, offset, size;
    const char *name = NULL;
    int value;

    CHECK(cuLibraryLoadData(&lib, modules_ptx, NULL, NULL, 0, NULL, NULL, 0));
    CHECK(cuLibraryGetKernelCount(&count, lib));
    REQUIRE(count == 3);
    CHECK(cuLibraryGetKernel(&kern, lib, "params"));
    EXPECT(CUDA_ERROR_NOT_FOUND, cuLibraryGetKernel(&kern, lib, "no_such_kernel"));
    CHECK(cuLibraryGetKernel(&kern, lib, "params"));
    CHECK(cuKernelGetName(&name, kern));
    REQUIRE(name && strcmp(name, "params") == 0);
    CHECK(cuKernelGetAttribute(&value, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, kern, program.dev));
    REQUIRE(value >= 32 && value <= 1024);
    CHECK(cuKernelGetParamInfo(kern, 4, &offset, &size));
    REQUIRE(offset == offsetof(struct packed, out) && size == 8);
    CHECK(cuKernelGetFunction(&fn, kern));
    launches(fn);
    launches((CUfunction)kern); /* launches take a CUkernel in a CUfunction's place */
    CHECK(cuLibraryGetGlobal(&counter, &bytes, lib, "counter"));
    REQUIRE(bytes == sizeof(uint32_t));
    CHECK(cuLibraryGetModule(&mod, lib));
    globals(mod);
    CHECK(cuLibraryUnload(lib));
}

static void from_file(void)
{
    char path[] = "/tmp/vgpu-modules-XXXXXX";
    size_t bytes = strlen(modules_ptx);
    int fd = mkstemp(path);
    CUmodule mod;

    if (fd < 0 || write(fd, modules_ptx, bytes) != (ssize_t)bytes || close(fd) != 0)
        fail("cannot write %s", path);
    CHECK(cuModuleLoad(&mod, path));
    unlink(path);
    globals(mod);
    CHECK(cuModuleUnload(mod));
}

static void entry_points(void)
{
    CUdriverProcAddressQueryResult found;
    CUresult result;
    void *address = NULL;
    int version = 0;

    CHECK(cuGetProcAddress("cuDriverGetVersion", &address, 12000, CU_GET_PROC_ADDRESS_DEFAULT,
                           &found));
    REQUIRE(address && found == CU_GET_PROC_ADDRESS_SUCCESS);
    CHECK(((CUresult(CUDAAPI *)(int *))address)(&version));
    REQUIRE(version >= 11000);
    /* Releases differ in the result; the documented part is the status and the null pointer. */
    address = &version;
    result = cuGetProcAddress("cuNoSuchCall", &address, 12000, CU_GET_PROC_ADDRESS_DEFAULT, &found);
    REQUIRE(result == CUDA_SUCCESS || result == CUDA_ERROR_NOT_FOUND);
    REQUIRE(address == NULL && found == CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND);
}

static void setup(void)
{
    device_out = device_alloc(4 * sizeof(uint64_t));
    CHECK(cuMemsetD8(device_out, 0, 4 * sizeof(uint64_t)));
}

static void job(void)
{
    char info[256] = "", error[256] = "";
    CUjit_option options[] = {CU_JIT_INFO_LOG_BUFFER, CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES,
                              CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES,
                              CU_JIT_OPTIMIZATION_LEVEL};
    void *values[] = {info, (void *)sizeof(info), error, (void *)sizeof(error), (void *)4};
    CUmodule mod;
    CUfunction fn;

    CHECK(cuModuleLoadDataEx(&mod, modules_ptx, 5, options, values));
    CHECK(cuModuleGetFunction(&fn, mod, "params"));
    launches(fn);
    globals(mod);
    attributes(mod, fn);
    dynamic_shared(mod);
    CHECK(cuModuleUnload(mod));
    library();
    from_file();
    entry_points();
    if (program.seconds == 0)
        details("parameters, globals, attributes, occupancy, library, file");
}

static void teardown(void)
{
    CHECK(cuMemFree(device_out));
}

int main(int argc, char **argv)
{
    static const struct program p = {
        .name = "modules",
        .usage = "loads the same kernels in every way",
        .setup = setup,
        .job = job,
        .teardown = teardown,
    };

    return program_main(&p, argc, argv);
}
