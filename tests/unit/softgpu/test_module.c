/* SPDX-License-Identifier: Apache-2.0 */
/* Programs bring their kernels in many wrappings; what is damaged must be refused, not read. */
#include "soft_test.h"

#include <fcntl.h>
#include <lz4.h>
#include <sys/mman.h>
#include <zstd.h>

/* ---- building fat binaries ------------------------------------------------------------------- */

enum packing { STORED, LZ4, ZSTD };

struct fatbin {
    uint8_t bytes[65536];
    size_t size;
};

static void put(struct fatbin *f, size_t at, const void *value, size_t n)
{
    memcpy(f->bytes + at, value, n);
}

static void put16(struct fatbin *f, size_t at, uint16_t v)
{
    put(f, at, &v, 2);
}

static void put32(struct fatbin *f, size_t at, uint32_t v)
{
    put(f, at, &v, 4);
}

static void put64(struct fatbin *f, size_t at, uint64_t v)
{
    put(f, at, &v, 8);
}

static void fatbin_open(struct fatbin *f)
{
    memset(f, 0, sizeof(*f));
    put32(f, 0, 0xba55ed50);
    put16(f, 4, 1);
    put16(f, 6, 16);
    f->size = 16;
}

static void fatbin_add(struct fatbin *f, unsigned kind, unsigned arch, const char *payload,
                       size_t len, enum packing packing)
{
    size_t head = f->size, body = head + 64, packed = len, padded;
    static char work[65536];

    if (packing == LZ4)
        packed = (size_t)LZ4_compress_default(payload, work, (int)len, sizeof(work));
    else if (packing == ZSTD)
        packed = ZSTD_compress(work, sizeof(work), payload, len, 3);
    else
        memcpy(work, payload, len);
    padded = (packed + 7) & ~7ul;
    put16(f, head, (uint16_t)kind);
    put16(f, head + 2, 0x101);
    put32(f, head + 4, 64);
    put64(f, head + 8, padded);
    put32(f, head + 16, packing == STORED ? 0 : (uint32_t)packed);
    put32(f, head + 28, arch);
    put64(f, head + 40, packing == LZ4 ? 0x2000 : packing == ZSTD ? 0x8000 : 0);
    put64(f, head + 56, packing == STORED ? 0 : len);
    put(f, body, work, packed);
    f->size = body + padded;
    put64(f, 8, f->size - 16);
}

struct wrapper {
    uint32_t magic, version;
    const void *data, *unused;
};

/* ---- PTX ------------------------------------------------------------------------------------- */

static void ptx_errors_name_the_line(void **state)
{
    static const char bad[] =
        ".version 7.0\n.target sm_70\n.address_size 64\n"
        ".visible .entry k() {\n.reg .b32 %r;\nfrobnicate.u32 %r, 1;\nret;\n}\n";
    char info[256] = "x", error[256] = "";
    CUmodule m = NULL;
    float ms;
    void *values[] = {info, (void *)sizeof(info), error, (void *)sizeof(error), NULL};
    CUjit_option options[] = {CU_JIT_INFO_LOG_BUFFER, CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES,
                              CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES,
                              CU_JIT_WALL_TIME};

    (void)state;
    expect(CUDA_ERROR_INVALID_PTX, cuModuleLoadDataEx(&m, bad, 5, options, values));
    assert_non_null(strstr(error, "6"));
    assert_int_equal((uintptr_t)values[3], strlen(error));
    memcpy(&ms, &values[4], sizeof(ms));
    assert_true(ms >= 0);
    /* A small buffer is filled, not overrun. */
    values[1] = (void *)sizeof(info);
    values[3] = (void *)8;
    memset(error, 'x', sizeof(error));
    expect(CUDA_ERROR_INVALID_PTX, cuModuleLoadDataEx(&m, bad, 5, options, values));
    assert_true(strlen(error) < 8);
    assert_int_equal(error[8], 'x');
    expect(CUDA_ERROR_INVALID_PTX, cuModuleLoadData(&m, bad));

    expect(CUDA_ERROR_UNSUPPORTED_PTX_VERSION,
           cuModuleLoadData(&m, ".version 99.0\n.target sm_70\n.address_size 64\n"));
    expect(CUDA_ERROR_INVALID_VALUE, cuModuleLoadData(&m, NULL));
    expect(CUDA_ERROR_INVALID_VALUE, cuModuleLoadData(NULL, soft_kernels));
    expect(CUDA_ERROR_INVALID_IMAGE, cuModuleLoadData(&m, ""));
    expect(CUDA_ERROR_INVALID_PTX, cuModuleLoadData(&m, "x"));
    options[0] = (CUjit_option)5000;
    expect(CUDA_ERROR_INVALID_VALUE, cuModuleLoadDataEx(&m, soft_kernels, 1, options, values));
    expect(CUDA_ERROR_INVALID_VALUE, cuModuleLoadDataEx(&m, soft_kernels, 1, NULL, NULL));
    expect(CUDA_ERROR_FILE_NOT_FOUND, cuModuleLoad(&m, "/nonexistent/file.ptx"));
    assert_null(m);
}

static void functions_and_variables_are_found(void **state)
{
    struct soft *s = *state;
    CUfunction all[64], fn;
    CUdeviceptr p, counter, factor;
    CUmodule of;
    const char *name;
    size_t bytes, offset, size;
    unsigned count;
    uint32_t got, five = 5;
    int value;

    ok(cuModuleGetFunctionCount(&count, s->module));
    assert_int_equal(count, 11);
    ok(cuModuleEnumerateFunctions(all, count, s->module));
    for (unsigned i = 0; i < count; i++) {
        ok(cuFuncGetName(&name, all[i]));
        ok(cuModuleGetFunction(&fn, s->module, name));
        assert_ptr_equal(fn, all[i]);
    }
    expect(CUDA_ERROR_NOT_FOUND, cuModuleGetFunction(&fn, s->module, "absent"));
    expect(CUDA_ERROR_INVALID_VALUE, cuModuleGetFunction(&fn, s->module, ""));
    ok(cuFuncGetModule(&of, all[0]));
    assert_ptr_equal(of, s->module);

    ok(cuModuleGetGlobal(&counter, &bytes, s->module, "counter"));
    assert_int_equal(bytes, 4);
    ok(cuModuleGetGlobal(&factor, NULL, s->module, "factor"));
    expect(CUDA_ERROR_NOT_FOUND, cuModuleGetGlobal(&p, NULL, s->module, "nothing"));
    ok(cuMemAlloc(&p, 4));
    ok(launch1(function(s, "scaled"), NULL, (void *[]){&p}));
    ok(cuMemcpyDtoH(&got, p, 4));
    assert_int_equal(got, 21);
    /* Constants are the host's to write. */
    ok(cuMemcpyHtoD(factor, &five, 4));
    ok(launch1(function(s, "scaled"), NULL, (void *[]){&p}));
    ok(cuMemcpyDtoH(&got, p, 4));
    assert_int_equal(got, 35);
    ok(cuMemFree(p));

    fn = function(s, "layout");
    static const size_t want[5][2] = {{0, 1}, {8, 8}, {16, 2}, {32, 20}, {52, 4}};
    for (size_t i = 0; i < 5; i++) {
        ok(cuFuncGetParamInfo(fn, i, &offset, &size));
        assert_int_equal(offset, want[i][0]);
        assert_int_equal(size, want[i][1]);
    }
    expect(CUDA_ERROR_INVALID_VALUE, cuFuncGetParamInfo(fn, 5, &offset, &size));
    expect(CUDA_ERROR_INVALID_VALUE, cuFuncGetParamInfo(fn, SIZE_MAX, &offset, &size));
    for (int a = 0; a < CU_FUNC_ATTRIBUTE_MAX; a++)
        ok(cuFuncGetAttribute(&value, (CUfunction_attribute)a, fn));
    expect(CUDA_ERROR_INVALID_VALUE, cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_MAX, fn));
}

static void modules_have_storage_of_their_own(void **state)
{
    struct soft *s = *state;
    CUmodule other;
    CUdeviceptr a, b;
    uint32_t value = 99, got;

    ok(cuModuleLoadData(&other, soft_kernels));
    ok(cuModuleGetGlobal(&a, NULL, s->module, "counter"));
    ok(cuModuleGetGlobal(&b, NULL, other, "counter"));
    assert_true(a != b);
    ok(cuMemcpyHtoD(b, &value, 4));
    ok(cuMemcpyDtoH(&got, a, 4));
    assert_int_equal(got, 7);
    ok(cuModuleUnload(other));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoD(b, &value, 4));
    expect(CUDA_ERROR_INVALID_HANDLE, cuModuleUnload(other));
}

/* ---- fat binaries ---------------------------------------------------------------------------- */

static char *ptx_for(const char *target, const char *kernel)
{
    static char text[512];

    snprintf(text, sizeof(text),
             ".version 7.0\n.target %s\n.address_size 64\n.visible .entry %s() { ret; }\n", target,
             kernel);
    return text;
}

static void add_ptx(struct fatbin *f, unsigned arch, const char *kernel, enum packing packing)
{
    char target[16];
    char *text;

    snprintf(target, sizeof(target), "sm_%u", arch);
    text = ptx_for(target, kernel);
    fatbin_add(f, 1, arch, text, strlen(text) + 1, packing);
}

static void fat_binaries_of_every_packing_load(void **state)
{
    static struct fatbin f;

    (void)state;
    for (int packing = STORED; packing <= ZSTD; packing++) {
        struct wrapper w = {0x466243b1, 1, f.bytes, NULL};
        CUmodule m;
        CUfunction fn;

        fatbin_open(&f);
        fatbin_add(&f, 2, 80, "\177ELF machine code", 17, STORED);
        add_ptx(&f, 60, "for60", packing);
        add_ptx(&f, 75, "for75", packing);
        add_ptx(&f, 70, "for70", packing);
        add_ptx(&f, 90, "for90", packing);
        /* The best that the device can run. */
        ok(cuModuleLoadFatBinary(&m, f.bytes));
        ok(cuModuleGetFunction(&fn, m, "for75"));
        expect(CUDA_ERROR_NOT_FOUND, cuModuleGetFunction(&fn, m, "for60"));
        ok(cuModuleUnload(m));
        ok(cuModuleLoadData(&m, &w));
        ok(cuModuleGetFunction(&fn, m, "for75"));
        ok(cuModuleUnload(m));
        w.version = 2;
        ok(cuModuleLoadData(&m, &w));
        ok(cuModuleUnload(m));
    }
}

static void machine_code_alone_is_refused(void **state)
{
    static struct fatbin f;
    static const char elf[64] = "\177ELF\2\1\1";
    CUmodule m;

    (void)state;
    expect(CUDA_ERROR_NO_BINARY_FOR_GPU, cuModuleLoadData(&m, elf));
    fatbin_open(&f);
    fatbin_add(&f, 2, 80, elf, sizeof(elf), STORED);
    expect(CUDA_ERROR_NO_BINARY_FOR_GPU, cuModuleLoadData(&m, f.bytes));
    add_ptx(&f, 90, "later", STORED);
    expect(CUDA_ERROR_NO_BINARY_FOR_GPU, cuModuleLoadData(&m, f.bytes));
    fatbin_open(&f);
    expect(CUDA_ERROR_INVALID_IMAGE, cuModuleLoadData(&m, f.bytes));
}

static void damaged_fat_binaries_are_refused(void **state)
{
    static struct fatbin f, g;
    static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    CUmodule m;
    unsigned refused = 0, loaded = 0;
    /* At the end of what is mapped: a read beyond it is a crash. */
    uint8_t *pages =
        mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)state;
    assert_ptr_not_equal(pages, MAP_FAILED);
    munmap(pages + 2 * 4096, 4096);
    for (int packing = STORED; packing <= ZSTD; packing++) {
        fatbin_open(&f);
        add_ptx(&f, 70, "first", packing);
        add_ptx(&f, 75, "second", packing);
        assert_true(f.size < 2 * 4096);
        for (size_t i = 0; i < f.size; i++) {
            for (size_t v = 0; v <= sizeof(values); v++) {
                uint8_t *image = pages + 2 * 4096 - f.size;

                memcpy(&g, &f, sizeof(g));
                g.bytes[i] = v < sizeof(values) ? values[v] : (uint8_t)(g.bytes[i] ^ 0x10);
                /* A file that no longer starts like one is text, and text ends with a NUL. */
                if (i < 4)
                    continue;
                memcpy(image, g.bytes, f.size);
                if (cuModuleLoadData(&m, image) == CUDA_SUCCESS) {
                    loaded++;
                    ok(cuModuleUnload(m));
                } else {
                    refused++;
                }
            }
        }
        /* Cut short at every byte, with the header still saying the full size. */
        for (size_t cut = 16; cut < f.size; cut++) {
            uint8_t *image = pages + 2 * 4096 - cut;

            memcpy(image, f.bytes, cut);
            expect(CUDA_ERROR_INVALID_IMAGE, cuModuleLoadData(&m, image));
            /* ... and with the header agreeing. */
            put64((struct fatbin *)memcpy(&g, &f, sizeof(g)), 8, cut - 16);
            memcpy(image, g.bytes, cut);
            if (cuModuleLoadData(&m, image) == CUDA_SUCCESS)
                ok(cuModuleUnload(m));
        }
    }
    munmap(pages, 2 * 4096);
    assert_true(refused > 500);
    assert_true(loaded > 100); /* flipped padding and names do no harm */
}

static void wrappers_are_checked(void **state)
{
    static struct fatbin f;
    struct wrapper w = {0x466243b1, 1, f.bytes, NULL};
    CUmodule m;

    (void)state;
    fatbin_open(&f);
    add_ptx(&f, 70, "k", STORED);
    w.version = 3;
    expect(CUDA_ERROR_INVALID_IMAGE, cuModuleLoadData(&m, &w));
    w.version = 1;
    w.data = NULL;
    expect(CUDA_ERROR_INVALID_IMAGE, cuModuleLoadData(&m, &w));
    w.data = (void *)0x10000000;
    expect(CUDA_ERROR_INVALID_IMAGE, cuModuleLoadData(&m, &w));
    w.data = (void *)(UINTPTR_MAX - 4);
    expect(CUDA_ERROR_INVALID_IMAGE, cuModuleLoadData(&m, &w));
    w.data = &w;
    expect(CUDA_ERROR_INVALID_IMAGE, cuModuleLoadData(&m, &w));
    /* A wish for more memory than the text could ever need. */
    add_ptx(&f, 75, "k", ZSTD);
    put64(&f, 16 + 64 + 120 + 56, UINT64_MAX);
    cuModuleLoadData(&m, f.bytes);
}

/* ---- libraries ------------------------------------------------------------------------------- */

static void libraries_serve_every_context(void **state)
{
    struct soft *s = *state;
    CUlibrary lib, of;
    CUkernel kernel, all[16];
    CUfunction fn, again;
    CUcontext second;
    CUdeviceptr a, b, out;
    CUmodule mod;
    size_t bytes, offset;
    uint32_t got, value = 10;
    unsigned count;
    const char *name;
    int attr;

    ok(cuLibraryLoadData(&lib, soft_kernels, NULL, NULL, 0, NULL, NULL, 0));
    ok(cuLibraryGetKernelCount(&count, lib));
    assert_int_equal(count, 11);
    ok(cuLibraryEnumerateKernels(all, 16, lib));
    ok(cuLibraryGetKernel(&kernel, lib, "scaled"));
    expect(CUDA_ERROR_NOT_FOUND, cuLibraryGetKernel(&kernel, lib, "absent"));
    ok(cuKernelGetName(&name, kernel));
    assert_string_equal(name, "scaled");
    ok(cuKernelGetLibrary(&of, kernel));
    assert_ptr_equal(of, lib);
    ok(cuKernelGetParamInfo(kernel, 0, &offset, &bytes));
    assert_int_equal(bytes, 8);
    ok(cuKernelGetFunction(&fn, kernel));
    ok(cuKernelGetFunction(&again, kernel));
    assert_ptr_equal(fn, again);
    ok(cuLibraryGetGlobal(&a, &bytes, lib, "counter"));
    ok(cuMemcpyHtoD(a, &value, 4));
    ok(cuMemAlloc(&out, 4));
    /* The kernel itself can be launched, too. */
    ok(launch1((CUfunction)kernel, NULL, (void *[]){&out}));
    ok(cuMemcpyDtoH(&got, out, 4));
    assert_int_equal(got, 30);

    ok(cuCtxCreate(&second, 0, 0));
    ok(cuLibraryGetGlobal(&b, &bytes, lib, "counter"));
    assert_true(a != b);
    ok(launch1((CUfunction)kernel, NULL, (void *[]){&out}));
    ok(cuMemcpyDtoH(&got, out, 4));
    assert_int_equal(got, 21);
    ok(cuCtxDestroy(second));

    ok(cuKernelSetAttribute(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 100000, kernel, 0));
    ok(cuFuncGetAttribute(&attr, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, fn));
    assert_int_equal(attr, 100000);
    ok(cuKernelGetAttribute(&attr, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, kernel, 0));
    assert_int_equal(attr, 100000);
    ok(cuLibraryGetModule(&mod, lib));
    expect(CUDA_ERROR_INVALID_HANDLE, cuModuleUnload(mod)); /* it is the library's */
    ok(cuLibraryUnload(lib));
    expect(CUDA_ERROR_INVALID_HANDLE, cuLibraryUnload(lib));
    expect(CUDA_ERROR_INVALID_HANDLE, cuKernelGetName(&name, kernel));
    expect(CUDA_ERROR_INVALID_HANDLE, launch1((CUfunction)kernel, NULL, (void *[]){&out}));
    expect(CUDA_ERROR_INVALID_HANDLE, launch1(fn, NULL, (void *[]){&out}));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoD(a, &value, 4));
    ok(cuMemFree(out));
    ok(cuCtxSetCurrent(s->ctx));
}

static void files_load(void **state)
{
    char path[] = "/tmp/vgpu-soft-module-XXXXXX";
    int fd = mkstemp(path);
    CUlibrary lib;
    CUmodule m;

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, soft_kernels, sizeof(soft_kernels) - 1), sizeof(soft_kernels) - 1);
    close(fd);
    ok(cuModuleLoad(&m, path));
    ok(cuModuleUnload(m));
    ok(cuLibraryLoadFromFile(&lib, path, NULL, NULL, 0, NULL, NULL, 0));
    ok(cuLibraryUnload(lib));
    unlink(path);
}

/* ---- launches -------------------------------------------------------------------------------- */

static CUresult shape(CUfunction fn, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                      unsigned by, unsigned bz, unsigned shared)
{
    return cuLaunchKernel(fn, gx, gy, gz, bx, by, bz, shared, NULL, NULL, NULL);
}

static void launches_are_checked(void **state)
{
    struct soft *s = *state;
    CUfunction nop = function(s, "nop"), fill = function(s, "fill"), shared = function(s, "shared");
    CUdeviceptr p;
    uint32_t value = 3, n = 4, got[4];
    struct {
        CUdeviceptr p;
        uint32_t value, n;
    } packed;
    size_t size = sizeof(packed);
    void *extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, &packed, CU_LAUNCH_PARAM_BUFFER_SIZE, &size,
                     CU_LAUNCH_PARAM_END};
    CUlaunchAttribute attrs[2] = {
        {.id = CU_LAUNCH_ATTRIBUTE_PRIORITY, .value.priority = -1},
        {.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION, .value.clusterDim = {1, 1, 1}}};
    CUlaunchConfig config = {1, 1, 1, 4, 1, 1, 0, NULL, attrs, 2};

    ok(shape(nop, 3, 2, 2, 16, 8, 8, 0));
    ok(shape(nop, 1, 65535, 1, 1, 1, 1, 0));
    expect(CUDA_ERROR_INVALID_VALUE, shape(nop, 0, 1, 1, 1, 1, 1, 0));
    expect(CUDA_ERROR_INVALID_VALUE, shape(nop, 1, 1, 1, 1, 0, 1, 0));
    expect(CUDA_ERROR_INVALID_VALUE, shape(nop, 0x80000000u, 1, 1, 1, 1, 1, 0));
    expect(CUDA_ERROR_INVALID_VALUE, shape(nop, 1, 65536, 1, 1, 1, 1, 0));
    expect(CUDA_ERROR_INVALID_VALUE, shape(nop, 1, 1, 65536, 1, 1, 1, 0));
    expect(CUDA_ERROR_INVALID_VALUE, shape(nop, 1, 1, 1, 1025, 1, 1, 0));
    expect(CUDA_ERROR_INVALID_VALUE, shape(nop, 1, 1, 1, 64, 32, 1, 0));
    expect(CUDA_ERROR_INVALID_VALUE, shape(nop, 1, 1, 1, 1, 1, 65, 0));
    expect(CUDA_ERROR_INVALID_VALUE, shape(nop, 1, 1, 1, 0x10000, 0x10000, 1, 0));
    expect(CUDA_ERROR_INVALID_VALUE, shape(nop, 1, 1, 1, 1, 1, 1, 49153));
    expect(CUDA_ERROR_INVALID_VALUE, shape(fill, 1, 1, 1, 1, 1, 1, 0)); /* no parameters */
    expect(CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE,
           cuLaunchCooperativeKernel(nop, 2, 1, 1, 1, 1, 1, 0, NULL, NULL));
    ok(cuLaunchCooperativeKernel(nop, 1, 1, 1, 64, 1, 1, 0, NULL, NULL));

    ok(cuMemAlloc(&p, 16));
    packed.p = p;
    packed.value = 8;
    packed.n = n;
    ok(cuLaunchKernel(fill, 1, 1, 1, 4, 1, 1, 0, NULL, NULL, extra));
    ok(cuMemcpyDtoH(got, p, 16));
    assert_int_equal(got[3], 8);
    size = 15;
    expect(CUDA_ERROR_INVALID_VALUE, cuLaunchKernel(fill, 1, 1, 1, 4, 1, 1, 0, NULL, NULL, extra));
    size = 16;
    expect(CUDA_ERROR_INVALID_VALUE,
           cuLaunchKernel(fill, 1, 1, 1, 4, 1, 1, 0, NULL, (void *[]){&p, &value, &n}, extra));
    extra[0] = (void *)7;
    expect(CUDA_ERROR_INVALID_VALUE, cuLaunchKernel(fill, 1, 1, 1, 4, 1, 1, 0, NULL, NULL, extra));
    expect(CUDA_ERROR_INVALID_VALUE,
           cuLaunchKernel(fill, 1, 1, 1, 4, 1, 1, 0, NULL, (void *[]){&p, NULL, &n}, NULL));

    ok(cuLaunchKernelEx(&config, fill, (void *[]){&p, &value, &n}, NULL));
    ok(cuMemcpyDtoH(got, p, 16));
    assert_int_equal(got[0], 3);
    attrs[1].value.clusterDim.x = 2;
    expect(CUDA_ERROR_INVALID_CLUSTER_SIZE,
           cuLaunchKernelEx(&config, fill, (void *[]){&p, &value, &n}, NULL));
    attrs[1].id = (CUlaunchAttributeID)99;
    expect(CUDA_ERROR_INVALID_VALUE,
           cuLaunchKernelEx(&config, fill, (void *[]){&p, &value, &n}, NULL));
    expect(CUDA_ERROR_INVALID_VALUE, cuLaunchKernelEx(NULL, fill, NULL, NULL));

    /* Shared memory beyond 48 KiB has to be asked for first. */
    value = 100000;
    expect(CUDA_ERROR_INVALID_VALUE,
           cuLaunchKernel(shared, 1, 1, 1, 1, 1, 1, value, NULL, (void *[]){&p, &value}, NULL));
    expect(CUDA_ERROR_INVALID_VALUE,
           cuFuncSetAttribute(shared, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 200000));
    ok(cuFuncSetAttribute(shared, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 100000));
    ok(cuLaunchKernel(shared, 1, 1, 1, 1, 1, 1, value, NULL, (void *[]){&p, &value}, NULL));
    ok(cuMemcpyDtoH(got, p, 4));
    assert_int_equal(got[0], 100000);
    ok(cuMemFree(p));
}

static size_t no_shared(int block)
{
    return (size_t)block * 64;
}

static void occupancy_follows_the_limits(void **state)
{
    struct soft *s = *state;
    CUfunction nop = function(s, "nop"), shared = function(s, "shared");
    int blocks, grid, block;
    size_t bytes;

    ok(cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, nop, 1024, 0));
    assert_int_equal(blocks, 2); /* 2048 threads */
    ok(cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, nop, 32, 0));
    assert_int_equal(blocks, 32); /* CTAs */
    ok(cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, nop, 32, 48 << 10));
    assert_int_equal(blocks, 3); /* 164 KiB / (48 + 1) */
    ok(cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, nop, 32, 50 << 10));
    assert_int_equal(blocks, 0);
    expect(CUDA_ERROR_INVALID_VALUE,
           cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, nop, 0, 0));
    ok(cuOccupancyMaxPotentialBlockSize(&grid, &block, nop, NULL, 0, 0));
    assert_int_equal(block, 1024);
    assert_int_equal(grid, 8); /* two on each of four cores */
    ok(cuOccupancyMaxPotentialBlockSize(&grid, &block, shared, no_shared, 0, 500));
    assert_true(block > 0 && block <= 500);
    ok(cuOccupancyAvailableDynamicSMemPerBlock(&bytes, nop, 4, 128));
    assert_int_equal(bytes, 40 << 10);
}

static void printed_text_comes_out_when_synchronised(void **state)
{
    struct soft *s = *state;
    char path[] = "/tmp/vgpu-soft-print-XXXXXX", text[64] = "";
    int out = dup(STDOUT_FILENO), fd = mkstemp(path);
    ssize_t before, after;

    assert_true(fd >= 0);
    fflush(stdout);
    dup2(fd, STDOUT_FILENO);
    s->flag[0] = 0;
    ok(cuLaunchKernel(function(s, "hello"), 3, 1, 1, 1, 1, 1, 0, s->a, NULL, NULL));
    hold(s, s->a, &s->flag[0]);
    usleep(2000);
    fflush(stdout);
    before = pread(fd, text, sizeof(text), 0);
    let_go(&s->flag[0]);
    ok(cuStreamSynchronize(s->a));
    after = pread(fd, text, sizeof(text), 0);
    dup2(out, STDOUT_FILENO);
    close(out);
    close(fd);
    unlink(path);
    assert_int_equal(before, 0);
    assert_int_equal(after, 9);
    assert_memory_equal(text, "hi\nhi\nhi\n", 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ptx_errors_name_the_line),
        cmocka_unit_test(functions_and_variables_are_found),
        cmocka_unit_test(modules_have_storage_of_their_own),
        cmocka_unit_test(fat_binaries_of_every_packing_load),
        cmocka_unit_test(machine_code_alone_is_refused),
        cmocka_unit_test(damaged_fat_binaries_are_refused),
        cmocka_unit_test(wrappers_are_checked),
        cmocka_unit_test(libraries_serve_every_context),
        cmocka_unit_test(files_load),
        cmocka_unit_test(launches_are_checked),
        cmocka_unit_test(occupancy_follows_the_limits),
        cmocka_unit_test(printed_text_comes_out_when_synchronised),
    };

    return cmocka_run_group_tests(tests, soft_setup, soft_teardown);
}
