/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that is not where, what or whose the driver said it is corrupts a program silently. */
#include "soft_test.h"

#include <sys/mman.h>

static const CUmemAllocationProp device_memory = {
    .type = CU_MEM_ALLOCATION_TYPE_PINNED,
    .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0},
};
static const CUmemAccessDesc read_write = {{CU_MEM_LOCATION_TYPE_DEVICE, 0},
                                           CU_MEM_ACCESS_FLAGS_PROT_READWRITE};

static bool all_bytes(CUdeviceptr p, size_t n, unsigned char value)
{
    unsigned char *copy = malloc(n);
    bool same = true;

    assert_non_null(copy);
    ok(cuMemcpyDtoH(copy, p, n));
    for (size_t i = 0; i < n; i++)
        same &= copy[i] == value;
    free(copy);
    return same;
}

static void new_memory_holds_nobodys_data(void **state)
{
    CUdeviceptr p[8];

    (void)state;
    for (int round = 0; round < 2; round++) {
        static const size_t sizes[8] = {1, 100, 512, 513, 70000, 3 * MIB, 5, 2 * MIB + 1};

        for (int i = 0; i < 8; i++) {
            ok(cuMemAlloc(&p[i], sizes[i]));
            assert_int_equal(p[i] % 512, 0);
            assert_true(all_bytes(p[i], sizes[i], 0));
            ok(cuMemsetD8(p[i], 0xee, sizes[i]));
        }
        for (int i = 0; i < 8; i++)
            ok(cuMemFree(p[i]));
    }
}

static void freed_memory_cannot_be_used(void **state)
{
    CUdeviceptr p, q;
    char byte;

    (void)state;
    ok(cuMemAlloc(&p, 1000));
    ok(cuMemAlloc(&q, 3 * MIB));
    ok(cuMemFree(p));
    ok(cuMemFree(q));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemFree(p));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemFree(q));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemcpyDtoH(&byte, p, 1));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemcpyDtoH(&byte, q, 1));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemsetD8(p, 0, 1));
    ok(cuMemFree(0));
    ok(cuMemAlloc(&p, 4096));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemFree(p + 512));
    ok(cuMemFree(p));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemAlloc(&p, 0));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemAlloc(NULL, 1));
    expect(CUDA_ERROR_OUT_OF_MEMORY, cuMemAlloc(&p, SIZE_MAX));
}

static void memory_runs_out_and_comes_back(void **state)
{
    CUdeviceptr p[64], one;
    size_t free_bytes, total, before;
    unsigned n = 0;
    CUresult r;

    (void)state;
    ok(cuMemGetInfo(&before, &total));
    assert_int_equal(total, 64 * MIB);
    assert_true(before <= total);
    expect(CUDA_ERROR_OUT_OF_MEMORY, cuMemAlloc(&one, total + 1));
    while ((r = cuMemAlloc(&p[n], 3 * MIB)) == CUDA_SUCCESS)
        n++;
    expect(CUDA_ERROR_OUT_OF_MEMORY, r);
    assert_true(n >= 14 && n <= 16);
    ok(cuMemGetInfo(&free_bytes, &total));
    assert_true(free_bytes < 4 * MIB);
    /* Every other block goes, so what follows has to be put together from pieces. */
    for (unsigned i = 0; i < n; i += 2)
        ok(cuMemFree(p[i]));
    ok(cuMemAlloc(&one, 20 * MIB));
    assert_true(all_bytes(one, 20 * MIB, 0));
    ok(cuMemsetD8(one, 1, 20 * MIB));
    assert_true(all_bytes(p[1], 3 * MIB, 0));
    ok(cuMemFree(one));
    for (unsigned i = 1; i < n; i += 2)
        ok(cuMemFree(p[i]));
    ok(cuMemGetInfo(&free_bytes, &total));
    assert_int_equal(free_bytes, before);
}

static void small_blocks_pack(void **state)
{
    CUdeviceptr p[2000];
    size_t before, after, total;

    (void)state;
    ok(cuMemGetInfo(&before, &total));
    for (int i = 0; i < 2000; i++) {
        ok(cuMemAlloc(&p[i], 8));
        ok(cuMemsetD8(p[i], (unsigned char)i, 8));
    }
    ok(cuMemGetInfo(&after, &total));
    assert_true(before - after <= 2 * MIB);
    for (int i = 0; i < 2000; i++) {
        assert_true(all_bytes(p[i], 8, (unsigned char)i));
        ok(cuMemFree(p[i]));
    }
}

static void rows_are_padded_to_a_pitch(void **state)
{
    CUdeviceptr p;
    size_t pitch, size;

    (void)state;
    ok(cuMemAllocPitch(&p, &pitch, 1000, 10, 4));
    assert_int_equal(pitch, 1024);
    ok(cuMemGetAddressRange(NULL, &size, p + 5000));
    assert_int_equal(size, 10240);
    ok(cuMemFree(p));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemAllocPitch(&p, &pitch, 1000, 10, 3));
    expect(CUDA_ERROR_OUT_OF_MEMORY, cuMemAllocPitch(&p, &pitch, 1 << 30, SIZE_MAX / 2, 4));
}

#define WINDOW 0x200000000000ull

static void virtual_memory_lies_where_asked(void **state)
{
    struct soft *s = *state;
    CUmemGenericAllocationHandle h, again;
    CUdeviceptr base, other;
    CUmemLocation here = {CU_MEM_LOCATION_TYPE_DEVICE, 0};
    unsigned long long access;
    size_t granularity, free_bytes, before, total;
    uint32_t value = 77, got, one = 1;

    ok(cuMemGetInfo(&before, &total));
    ok(cuMemGetAllocationGranularity(&granularity, &device_memory,
                                     CU_MEM_ALLOC_GRANULARITY_MINIMUM));
    assert_int_equal(granularity, 2 * MIB);
    ok(cuMemAddressReserve(&base, 1024 * MIB, 0, WINDOW, 0));
    assert_int_equal(base, WINDOW);
    ok(cuMemCreate(&h, 4 * MIB, &device_memory, 0));
    ok(cuMemGetInfo(&free_bytes, &total));
    assert_int_equal(before - free_bytes, 4 * MIB);
    ok(cuMemMap(base + 6 * MIB, 4 * MIB, 0, h, 0));
    /* Mapped, but not for this device yet. */
    expect(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoD(base + 6 * MIB, &value, 4));
    ok(cuMemGetAccess(&access, &here, base + 6 * MIB));
    assert_int_equal(access, CU_MEM_ACCESS_FLAGS_PROT_NONE);
    ok(cuMemSetAccess(base + 6 * MIB, 4 * MIB, &read_write, 1));
    ok(cuMemGetAccess(&access, &here, base + 6 * MIB));
    assert_int_equal(access, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
    assert_true(all_bytes(base + 6 * MIB, 4 * MIB, 0));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoD(base + 10 * MIB - 2, &value, 4));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoD(base, &value, 4));

    /* A kernel writes it, and the same memory shows at a second address. */
    base += 8 * MIB;
    ok(launch1(function(s, "fill"), NULL, (void *[]){&base, &value, &one}));
    base -= 8 * MIB;
    ok(cuMemMap(base, 4 * MIB, 0, h, 0));
    ok(cuMemSetAccess(base, 4 * MIB, &read_write, 1));
    ok(cuMemcpyDtoH(&got, base + 2 * MIB, 4));
    assert_int_equal(got, 77);

    /* Neighbouring mappings can be used and unmapped as one. */
    ok(cuMemMap(base + 4 * MIB, 2 * MIB, 0, h, 0));
    ok(cuMemSetAccess(base + 4 * MIB, 2 * MIB, &read_write, 1));
    ok(cuMemsetD8(base, 3, 10 * MIB));

    ok(cuMemRetainAllocationHandle(&again, (void *)(uintptr_t)(base + MIB)));
    assert_int_equal(again, h);
    ok(cuMemRelease(h));
    ok(cuMemRelease(h));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemRelease(h));
    /* The mappings still hold the memory. */
    ok(cuMemGetInfo(&free_bytes, &total));
    assert_int_equal(before - free_bytes, 4 * MIB);
    expect(CUDA_ERROR_INVALID_VALUE, cuMemAddressFree(base, 1024 * MIB));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemUnmap(base, 2 * MIB));
    ok(cuMemUnmap(base, 10 * MIB));
    ok(cuMemGetInfo(&free_bytes, &total));
    assert_int_equal(before, free_bytes);
    expect(CUDA_ERROR_INVALID_VALUE, cuMemcpyDtoH(&got, base, 4));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemMap(base, 2 * MIB, 0, h, 0));

    /* The next owner of the same chunks finds zeroes. */
    ok(cuMemCreate(&h, 4 * MIB, &device_memory, 0));
    ok(cuMemMap(base, 4 * MIB, 0, h, 0));
    ok(cuMemRelease(h));
    ok(cuMemSetAccess(base, 4 * MIB, &read_write, 1));
    assert_true(all_bytes(base, 4 * MIB, 0));
    ok(cuMemUnmap(base, 4 * MIB));

    /* The hint is taken: another range is found. */
    ok(cuMemAddressReserve(&other, 2 * MIB, 1ull << 30, WINDOW, 0));
    assert_int_not_equal(other, WINDOW);
    assert_int_equal(other % (1ull << 30), 0);
    ok(cuMemAddressFree(other, 2 * MIB));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemAddressFree(base, 2 * MIB));
    ok(cuMemAddressFree(base, 1024 * MIB));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemAddressFree(base, 1024 * MIB));
}

static void virtual_memory_refuses_nonsense(void **state)
{
    CUmemGenericAllocationHandle h;
    CUmemAllocationProp prop = device_memory;
    CUdeviceptr base, p;

    (void)state;
    expect(CUDA_ERROR_INVALID_VALUE, cuMemAddressReserve(&base, 4096, 0, 0, 0));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemAddressReserve(&base, 2 * MIB, 3, 0, 0));
    expect(CUDA_ERROR_OUT_OF_MEMORY, cuMemAddressReserve(&base, 1ull << 60, 0, 0, 0));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemCreate(&h, 4096, &device_memory, 0));
    expect(CUDA_ERROR_OUT_OF_MEMORY, cuMemCreate(&h, 1ull << 40, &device_memory, 0));
    prop.location.id = 9;
    expect(CUDA_ERROR_INVALID_DEVICE, cuMemCreate(&h, 2 * MIB, &prop, 0));
    prop = device_memory;
    prop.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
    expect(CUDA_ERROR_NOT_SUPPORTED, cuMemCreate(&h, 2 * MIB, &prop, 0));
    ok(cuMemAddressReserve(&base, 4 * MIB, 0, 0, 0));
    ok(cuMemCreate(&h, 2 * MIB, &device_memory, 0));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemMap(base, 4 * MIB, 0, h, 0));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemMap(base + 4 * MIB, 2 * MIB, 0, h, 0));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemMap(base + 4096, 2 * MIB, 0, h, 0));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemMap(base, 2 * MIB, 2 * MIB, h, 0));
    ok(cuMemMap(base, 2 * MIB, 0, h, 0));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemMap(base, 2 * MIB, 0, h, 0));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemFree(base));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemSetAccess(base, 4 * MIB, &read_write, 1));
    ok(cuMemUnmap(base, 2 * MIB));
    ok(cuMemRelease(h));
    /* The addresses that cuMemAlloc uses are not the caller's to map or free. */
    ok(cuMemAlloc(&p, 2 * MIB));
    ok(cuMemCreate(&h, 2 * MIB, &device_memory, 0));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemMap(p, 2 * MIB, 0, h, 0));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemUnmap(p, 2 * MIB));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemAddressFree(p, 2 * MIB));
    ok(cuMemRelease(h));
    ok(cuMemFree(p));
    ok(cuMemAddressFree(base, 4 * MIB));
}

static void kernels_reach_registered_memory_at_its_own_address(void **state)
{
    struct soft *s = *state;
    size_t size = 3 * MIB;
    uint32_t *host = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint32_t value = 0xabcd, n = 1000;
    CUdeviceptr p;
    unsigned flags;

    assert_ptr_not_equal(host, MAP_FAILED);
    expect(CUDA_ERROR_INVALID_VALUE, cuMemHostGetDevicePointer(&p, host, 0));
    ok(cuMemHostRegister(host, size, CU_MEMHOSTREGISTER_DEVICEMAP));
    expect(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED, cuMemHostRegister(host + 5, 4096, 0));
    ok(cuMemHostGetDevicePointer(&p, host + 10, 0));
    assert_int_equal(p, (uintptr_t)(host + 10));
    ok(cuLaunchKernel(function(s, "fill"), 8, 1, 1, 128, 1, 1, 0, NULL, (void *[]){&p, &value, &n},
                      NULL));
    ok(cuStreamSynchronize(NULL));
    assert_int_equal(host[9], 0);
    assert_int_equal(host[10], 0xabcd);
    assert_int_equal(host[1009], 0xabcd);
    assert_int_equal(host[1010], 0);
    ok(cuMemHostUnregister(host));
    expect(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED, cuMemHostUnregister(host));
    munmap(host, size);
    expect(CUDA_ERROR_INVALID_VALUE, cuMemHostRegister(host, size, 0));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemHostRegister(NULL, 4096, 0));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemHostRegister(s, SIZE_MAX, 0));

    ok(cuMemHostAlloc((void **)&host, 5000, CU_MEMHOSTALLOC_PORTABLE));
    ok(cuMemHostGetFlags(&flags, host));
    assert_int_equal(flags, CU_MEMHOSTALLOC_PORTABLE);
    expect(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED, cuMemHostRegister(host, 4096, 0));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemFree((CUdeviceptr)(uintptr_t)host));
    ok(cuMemFreeHost(host));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemFreeHost(host));
}

static void pointers_tell_what_they_are(void **state)
{
    struct soft *s = *state;
    CUdeviceptr p, q, start, counter;
    unsigned type, mapped, managed, access;
    size_t size, bytes;
    CUcontext ctx;
    int device, local = 0;
    void *host;

    ok(cuMemAlloc(&p, 10000));
    ok(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, p + 9999));
    assert_int_equal(type, CU_MEMORYTYPE_DEVICE);
    expect(CUDA_ERROR_INVALID_VALUE,
           cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, p + 10000));
    ok(cuPointerGetAttribute(&ctx, CU_POINTER_ATTRIBUTE_CONTEXT, p));
    assert_ptr_equal(ctx, s->ctx);
    ok(cuPointerGetAttribute(&start, CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, p + 77));
    assert_int_equal(start, p);
    ok(cuPointerGetAttribute(&size, CU_POINTER_ATTRIBUTE_RANGE_SIZE, p + 77));
    assert_int_equal(size, 10000);
    expect(CUDA_ERROR_INVALID_VALUE,
           cuPointerGetAttribute(&host, CU_POINTER_ATTRIBUTE_HOST_POINTER, p));
    ok(cuPointerGetAttribute(&host, CU_POINTER_ATTRIBUTE_HOST_POINTER,
                             (CUdeviceptr)(uintptr_t)s->flag));
    assert_ptr_equal(host, s->flag);
    ok(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
                             (CUdeviceptr)(uintptr_t)s->flag));
    assert_int_equal(type, CU_MEMORYTYPE_HOST);

    ok(cuPointerGetAttributes(
        6,
        (CUpointer_attribute[]){
            CU_POINTER_ATTRIBUTE_MEMORY_TYPE, CU_POINTER_ATTRIBUTE_MAPPED,
            CU_POINTER_ATTRIBUTE_IS_MANAGED, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL,
            CU_POINTER_ATTRIBUTE_HOST_POINTER, CU_POINTER_ATTRIBUTE_ACCESS_FLAGS},
        (void *[]){&type, &mapped, &managed, &device, &host, &access}, p));
    assert_int_equal(type, CU_MEMORYTYPE_DEVICE);
    assert_int_equal(mapped, 1);
    assert_int_equal(managed, 0);
    assert_int_equal(device, 0);
    assert_null(host);
    assert_int_equal(access, CU_POINTER_ATTRIBUTE_ACCESS_FLAG_READWRITE);
    /* An address that CUDA knows nothing of is no error here. */
    ok(cuPointerGetAttributes(2,
                              (CUpointer_attribute[]){CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
                                                      CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL},
                              (void *[]){&type, &device}, (CUdeviceptr)(uintptr_t)&local));
    assert_int_equal(type, 0);
    assert_int_equal(device, CU_DEVICE_INVALID);

    ok(cuModuleGetGlobal(&counter, &bytes, s->module, "counter"));
    ok(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, counter));
    assert_int_equal(type, CU_MEMORYTYPE_DEVICE);
    ok(cuMemGetAddressRange(&start, &size, counter));
    assert_true(start <= counter && counter + bytes <= start + size);

    ok(cuMemAddressReserve(&q, 2 * MIB, 0, 0, 0));
    ok(cuPointerGetAttribute(&mapped, CU_POINTER_ATTRIBUTE_MAPPED, q));
    assert_int_equal(mapped, 0);
    ok(cuMemAddressFree(q, 2 * MIB));
    ok(cuMemFree(p));
}

static void stream_ordered_memory_goes_in_stream_order(void **state)
{
    struct soft *s = *state;
    CUdeviceptr p, big;
    CUmemoryPool pool;
    cuuint64_t in_use;
    size_t before, after, total;

    ok(cuMemGetInfo(&before, &total));
    s->flag[0] = 0;
    ok(cuMemAllocAsync(&p, 4096, s->a));
    hold(s, s->a, &s->flag[0]);
    append_digit(s, s->a, p, 4);
    ok(cuMemFreeAsync(p, s->a));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemFreeAsync(p, s->a));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemFree(p));
    ok(cuDeviceGetDefaultMemPool(&pool, 0));
    ok(cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &in_use));
    assert_int_equal(in_use, 4096);
    let_go(&s->flag[0]);
    ok(cuStreamSynchronize(s->a));
    ok(cuMemAllocFromPoolAsync(&big, 40 * MIB, pool, s->a));
    /* Freed while a kernel runs elsewhere, and wanted again at once. */
    s->flag[1] = 0;
    ok(cuMemFreeAsync(big, s->a));
    ok(cuMemAllocAsync(&big, 40 * MIB, s->b));
    ok(cuMemFreeAsync(big, s->b));
    ok(cuCtxSynchronize());
    ok(cuMemGetInfo(&after, &total));
    assert_int_equal(before, after);
    expect(CUDA_ERROR_INVALID_VALUE,
           cuMemAllocFromPoolAsync(&p, 1, (CUmemoryPool)(uintptr_t)0x1234, s->a));
    ok(cuMemAllocAsync(&p, 0, s->a));
    assert_int_equal(p, 0);
}

static void poisoned(void)
{
    CUcontext ctx;
    CUdeviceptr p, q;
    CUmemGenericAllocationHandle h;
    unsigned char got[3];

    setenv("VGPU_SOFT_POISON", "0xa5", 1);
    setenv("VGPU_SOFT_MEMORY_MB", "8", 1);
    child_expect(CUDA_SUCCESS, cuInit(0));
    child_expect(CUDA_SUCCESS, cuCtxCreate(&ctx, 0, 0));
    for (int i = 0; i < 3; i++) {
        child_expect(CUDA_SUCCESS, cuMemAlloc(&p, 1000));
        child_expect(CUDA_SUCCESS, cuMemAlloc(&q, 3 * MIB));
        child_expect(CUDA_SUCCESS, cuMemcpyDtoH(got, p + 997, 3));
        child_check(got[0] == 0xa5 && got[2] == 0xa5);
        child_expect(CUDA_SUCCESS, cuMemcpyDtoH(got, q + 3 * MIB - 3, 3));
        child_check(got[0] == 0xa5 && got[2] == 0xa5);
        child_expect(CUDA_SUCCESS, cuMemsetD8(p, 0, 1000));
        child_expect(CUDA_SUCCESS, cuMemFree(p));
        child_expect(CUDA_SUCCESS, cuMemFree(q));
    }
    child_expect(CUDA_SUCCESS, cuMemCreate(&h, 2 * MIB, &device_memory, 0));
    child_expect(CUDA_SUCCESS, cuMemAddressReserve(&p, 2 * MIB, 0, 0, 0));
    child_expect(CUDA_SUCCESS, cuMemMap(p, 2 * MIB, 0, h, 0));
    child_expect(CUDA_SUCCESS, cuMemSetAccess(p, 2 * MIB, &read_write, 1));
    child_expect(CUDA_SUCCESS, cuMemcpyDtoH(got, p, 3));
    child_check(got[0] == 0xa5);
}

static void memory_can_be_poisoned(void **state)
{
    (void)state;
    in_child(poisoned);
}

int main(void)
{
    const struct CMUnitTest alone[] = {cmocka_unit_test(memory_can_be_poisoned)};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_memory_holds_nobodys_data),
        cmocka_unit_test(freed_memory_cannot_be_used),
        cmocka_unit_test(memory_runs_out_and_comes_back),
        cmocka_unit_test(small_blocks_pack),
        cmocka_unit_test(rows_are_padded_to_a_pitch),
        cmocka_unit_test(virtual_memory_lies_where_asked),
        cmocka_unit_test(virtual_memory_refuses_nonsense),
        cmocka_unit_test(kernels_reach_registered_memory_at_its_own_address),
        cmocka_unit_test(pointers_tell_what_they_are),
        cmocka_unit_test(stream_ordered_memory_goes_in_stream_order),
    };
    int failed = cmocka_run_group_tests(alone, NULL, NULL);

    return failed + cmocka_run_group_tests(tests, soft_setup, soft_teardown);
}
