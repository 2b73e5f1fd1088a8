/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memtest - device memory of many sizes, reached by every kind of copy and fill
 *
 * Every byte has a value computed from its place, so that a byte moved to a wrong place shows, and
 * guard bytes around each target show what was written beside it.
 */
#include "program.h"

#include <stdlib.h>
#include <string.h>

#define GUARD 64u
#define GUARD_BYTE 0xa5

static uint8_t *source, *target; /* pageable, --size bytes and guards on both sides */
static uint8_t *pinned;
static size_t sizes_done;

static void pattern(uint8_t *to, size_t bytes, uint32_t salt)
{
    for (size_t i = 0; i < bytes; i++) {
        uint32_t x = (uint32_t)i * 2654435761u + salt * 40503u;

        to[i] = (uint8_t)(x >> 24 ^ x >> 11);
    }
}

static void same(const uint8_t *got, const uint8_t *expected, size_t bytes, const char *what,
                 size_t size)
{
    if (memcmp(got, expected, bytes) == 0)
        return;
    for (size_t i = 0; i < bytes; i++)
        if (got[i] != expected[i])
            fail("%s, size %zu: byte %zu is %#x, expected %#x", what, size, i, got[i], expected[i]);
}

static void filled(const uint8_t *got, uint8_t value, size_t bytes, const char *what, size_t size)
{
    for (size_t i = 0; i < bytes; i++)
        if (got[i] != value)
            fail("%s, size %zu: byte %zu is %#x, expected %#x", what, size, i, got[i], value);
}

/* Reads [ptr, ptr + bytes) into the middle of target and checks that only that was written. */
static const uint8_t *fetch(CUdeviceptr ptr, size_t bytes, size_t size)
{
    memset(target, GUARD_BYTE, GUARD);
    memset(target + GUARD + bytes, GUARD_BYTE, GUARD);
    CHECK(cuMemcpyDtoH(target + GUARD, ptr, bytes));
    filled(target, GUARD_BYTE, GUARD, "guard before a copy to the host", size);
    filled(target + GUARD + bytes, GUARD_BYTE, GUARD, "guard after a copy to the host", size);
    return target + GUARD;
}

static void one_size(size_t size, uint32_t salt)
{
    CUdeviceptr a = device_alloc(size), b = device_alloc(size), base;
    size_t range, third = size / 3;

    REQUIRE(a % 256 == 0 && b % 256 == 0);
    REQUIRE(a + size <= b || b + size <= a);
    CHECK(cuMemGetAddressRange(&base, &range, a + size - 1));
    REQUIRE(base == a && range >= size);

    /* Pageable, there and back. */
    pattern(source, size, salt);
    CHECK(cuMemcpyHtoD(a, source, size));
    same(fetch(a, size, size), source, size, "pageable round trip", size);

    /* Device to device, and the generic copy that finds out the direction by itself. */
    CHECK(cuMemcpyDtoD(b, a, size));
    same(fetch(b, size, size), source, size, "device to device", size);
    CHECK(cuMemsetD8(b, 0, size));
    CHECK(cuMemcpy(b, a, size));
    same(fetch(b, size, size), source, size, "unified copy", size);

    /* Pinned, asynchronous, on the default stream. */
    memcpy(pinned, source, size);
    CHECK(cuMemsetD8Async(b, 0x11, size, NULL));
    CHECK(cuMemcpyHtoDAsync(b, pinned, size, NULL));
    CHECK(cuStreamSynchronize(NULL));
    memset(pinned, 0, size);
    CHECK(cuMemcpyDtoHAsync(pinned, b, size, NULL));
    CHECK(cuStreamSynchronize(NULL));
    same(pinned, source, size, "pinned round trip", size);

    /* Part of the range, at odd offsets on both sides; the rest must stay. */
    if (size >= 3) {
        pattern(target, third, salt + 1);
        CHECK(cuMemcpyHtoD(b + third, target, third));
        memcpy(source + third, target, third);
        same(fetch(b, size, size), source, size, "copy into the middle", size);
        CHECK(cuMemcpyDtoD(a + 1, b + third, third));
        same(fetch(a + 1, third, size), source + third, third, "unaligned device to device", size);
    }

    /* Fills of each width, over the part that divides evenly. */
    CHECK(cuMemsetD8(a, 0x5c, size));
    filled(fetch(a, size, size), 0x5c, size, "8-bit fill", size);
    if (size >= 2) {
        CHECK(cuMemsetD16(a, 0x1234, size / 2));
        for (size_t i = 0; i < size / 2; i++) {
            source[2 * i] = 0x34;
            source[2 * i + 1] = 0x12;
        }
        same(fetch(a, size / 2 * 2, size), source, size / 2 * 2, "16-bit fill", size);
    }
    if (size >= 4) {
        CHECK(cuMemsetD32(a, 0x89abcdef, size / 4));
        for (size_t i = 0; i < size / 4; i++) {
            uint32_t word = 0x89abcdef;

            memcpy(source + 4 * i, &word, 4);
        }
        same(fetch(a, size / 4 * 4, size), source, size / 4 * 4, "32-bit fill", size);
    }
    CHECK(cuMemFree(a));
    CHECK(cuMemFree(b));
    sizes_done++;
}

/* Rows of `width` bytes between host and pitched device memory, and a rectangle inside it. */
static void two_dimensional(void)
{
    enum { width = 301, height = 77, host_pitch = 320, x = 5, y = 7, w = 100, h = 20 };
    static uint8_t host[host_pitch * height], back[host_pitch * height],
        expected[host_pitch * height];
    CUdeviceptr ptr;
    CUDA_MEMCPY2D copy = {0};
    size_t pitch;

    CHECK(cuMemAllocPitch(&ptr, &pitch, width, height, 4));
    REQUIRE(pitch >= width && pitch % 4 == 0);
    pattern(host, sizeof(host), 77);
    memset(back, GUARD_BYTE, sizeof(back));
    memset(expected, GUARD_BYTE, sizeof(expected));
    for (int r = 0; r < height; r++)
        memcpy(expected + r * host_pitch, host + r * host_pitch, width);

    copy.srcMemoryType = CU_MEMORYTYPE_HOST;
    copy.srcHost = host;
    copy.srcPitch = host_pitch;
    copy.dstMemoryType = CU_MEMORYTYPE_DEVICE;
    copy.dstDevice = ptr;
    copy.dstPitch = pitch;
    copy.WidthInBytes = width;
    copy.Height = height;
    CHECK(cuMemcpy2D(&copy));

    memset(&copy, 0, sizeof(copy));
    copy.srcMemoryType = CU_MEMORYTYPE_DEVICE;
    copy.srcDevice = ptr;
    copy.srcPitch = pitch;
    copy.dstMemoryType = CU_MEMORYTYPE_HOST;
    copy.dstHost = back;
    copy.dstPitch = host_pitch;
    copy.WidthInBytes = width;
    copy.Height = height;
    CHECK(cuMemcpy2DUnaligned(&copy));
    same(back, expected, sizeof(back), "pitched round trip", sizeof(back));

    /* Fill a rectangle that starts inside the allocation, then read it back by offsets. */
    CHECK(cuMemsetD2D8(ptr + y * pitch + x, pitch, 0x3d, w, h));
    for (int r = 0; r < h; r++)
        memset(expected + (y + r) * host_pitch + x, 0x3d, w);
    copy.srcXInBytes = x;
    copy.srcY = y;
    copy.dstXInBytes = x;
    copy.dstY = y;
    copy.WidthInBytes = w + 10;
    copy.Height = h + 3;
    CHECK(cuMemcpy2DAsync(&copy, NULL));
    CHECK(cuStreamSynchronize(NULL));
    same(back, expected, sizeof(back), "rectangle", sizeof(back));

    CHECK(cuMemsetD2D32(ptr, pitch, 0x01020304, width / 4, height));
    CHECK(cuMemcpyDtoH(back, ptr + (height - 1) * pitch, width / 4 * 4));
    for (int i = 0; i < width / 4; i++)
        REQUIRE(back[4 * i] == 4 && back[4 * i + 3] == 1);
    CHECK(cuMemFree(ptr));
}

/* A box out of a larger one on the host, into packed device memory, and back into another box. */
static void three_dimensional(void)
{
    enum { pitch = 48, rows = 20, slices = 6, w = 31, h = 11, d = 4, x = 3, y = 5, z = 1 };
    static uint8_t host[pitch * rows * slices], back[pitch * rows * slices];
    CUdeviceptr ptr = device_alloc(w * h * d);
    CUDA_MEMCPY3D copy = {0};

    pattern(host, sizeof(host), 99);
    memset(back, GUARD_BYTE, sizeof(back));
    copy.srcXInBytes = x;
    copy.srcY = y;
    copy.srcZ = z;
    copy.srcMemoryType = CU_MEMORYTYPE_HOST;
    copy.srcHost = host;
    copy.srcPitch = pitch;
    copy.srcHeight = rows;
    copy.dstMemoryType = CU_MEMORYTYPE_DEVICE;
    copy.dstDevice = ptr;
    copy.dstPitch = w;
    copy.dstHeight = h;
    copy.WidthInBytes = w;
    copy.Height = h;
    copy.Depth = d;
    CHECK(cuMemcpy3D(&copy));

    memset(&copy, 0, sizeof(copy));
    copy.srcMemoryType = CU_MEMORYTYPE_DEVICE;
    copy.srcDevice = ptr;
    copy.srcPitch = w;
    copy.srcHeight = h;
    copy.dstZ = z;
    copy.dstMemoryType = CU_MEMORYTYPE_HOST;
    copy.dstHost = back;
    copy.dstPitch = pitch;
    copy.dstHeight = rows;
    copy.WidthInBytes = w;
    copy.Height = h;
    copy.Depth = d;
    CHECK(cuMemcpy3D(&copy));
    for (int k = 0; k < slices; k++) {
        for (int j = 0; j < rows; j++) {
            for (int i = 0; i < pitch; i++) {
                bool inside = k >= z && k < z + d && j < h && i < w;
                uint8_t expected = GUARD_BYTE;

                if (inside)
                    expected = host[(k * rows + j + y) * pitch + i + x];
                if (back[(k * rows + j) * pitch + i] != expected)
                    fail("box: byte %d,%d,%d is %#x, expected %#x", i, j, k,
                         back[(k * rows + j) * pitch + i], expected);
            }
        }
    }
    CHECK(cuMemFree(ptr));
}

static void host_memory(void)
{
    enum { bytes = 1 << 20 };
    unsigned int flags, type = 0;
    void *mapped;
    uint8_t *own;
    CUdeviceptr device, ptr = device_alloc(bytes);
    CUresult result;

    /* Memory the driver allocates and the device sees. */
    CHECK(cuMemHostAlloc(&mapped, bytes, CU_MEMHOSTALLOC_DEVICEMAP));
    CHECK(cuMemHostGetDevicePointer(&device, mapped, 0));
    CHECK(cuMemHostGetFlags(&flags, mapped));
    REQUIRE(flags & CU_MEMHOSTALLOC_DEVICEMAP);
    CHECK(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, device));
    REQUIRE(type == CU_MEMORYTYPE_HOST);
    pattern(mapped, bytes, 5);
    memcpy(source, mapped, bytes);
    CHECK(cuMemcpyDtoD(ptr, device, bytes));
    same(fetch(ptr, bytes, bytes), source, bytes, "copy from mapped host memory", bytes);
    CHECK(cuMemFreeHost(mapped));
    type = 0;
    CHECK(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, ptr));
    REQUIRE(type == CU_MEMORYTYPE_DEVICE);

    /* Memory of the program's own, registered. */
    own = aligned_alloc(4096, bytes);
    if (!own)
        fail("no host memory");
    pattern(own, bytes, 6);
    memcpy(source, own, bytes);
    result = cuMemHostRegister(own, bytes, 0);
    if (result == CUDA_ERROR_NOT_SUPPORTED) { /* a mediated GPU may refuse it */
        details("no-host-register ");
    } else {
        CHECK(result);
        EXPECT(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED, cuMemHostRegister(own, bytes, 0));
        CHECK(cuMemcpyHtoDAsync(ptr, own, bytes, NULL));
        CHECK(cuStreamSynchronize(NULL));
        CHECK(cuMemHostUnregister(own));
        EXPECT(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED, cuMemHostUnregister(own));
        same(fetch(ptr, bytes, bytes), source, bytes, "copy from registered memory", bytes);
    }
    free(own);
    CHECK(cuMemFree(ptr));
}

/* Many blocks at once must not overlap, and freed ones must be usable again. */
static void many_blocks(void)
{
    enum { blocks = 256 };
    CUdeviceptr ptr[blocks];
    size_t before, after, total, bytes[blocks];
    uint64_t seed = 10;

    CHECK(cuMemGetInfo(&before, &total));
    REQUIRE(before <= total);
    for (int i = 0; i < blocks; i++) {
        bytes[i] = 4 + random_u32(&seed) % 70000;
        ptr[i] = device_alloc(bytes[i]);
        CHECK(cuMemsetD8(ptr[i], (unsigned char)i, bytes[i]));
    }
    for (int i = 0; i < blocks; i += 2)
        CHECK(cuMemFree(ptr[i]));
    for (int i = 0; i < blocks; i += 2) {
        bytes[i] = 4 + random_u32(&seed) % 70000;
        ptr[i] = device_alloc(bytes[i]);
        CHECK(cuMemsetD8(ptr[i], (unsigned char)i, bytes[i]));
    }
    for (int i = 0; i < blocks; i++) {
        filled(fetch(ptr[i], bytes[i], bytes[i]), (uint8_t)i, bytes[i], "one block of many",
               bytes[i]);
        CHECK(cuMemFree(ptr[i]));
    }
    CHECK(cuMemGetInfo(&after, &total));
    REQUIRE(after <= total);
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemFree(ptr[0]));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemAlloc(&ptr[0], 0));
}

static void setup(void)
{
    source = host_alloc(program.size + 2 * GUARD);
    target = host_alloc(program.size + 2 * GUARD);
    CHECK(cuMemAllocHost((void **)&pinned, program.size));
    if (program.size < 1 << 20)
        fail("--size must be at least 1048576");
}

static void job(void)
{
    /* Around the sizes where transports change: words, cache lines, pages, staging and ring sizes.
     */
    static const size_t sizes[] = {1,       2,
                                   3,       4,
                                   7,       8,
                                   15,      63,
                                   64,      65,
                                   255,     256,
                                   1000,    4095,
                                   4096,    4097,
                                   65535,   65536,
                                   65537,   (1 << 20) - 1,
                                   1 << 20, (2 << 20) + 1};
    size_t last = 0;

    sizes_done = 0;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]) && sizes[i] <= program.size; i++)
        one_size(last = sizes[i], (uint32_t)i);
    for (size_t size = 8u << 20; size <= program.size; size *= 8)
        one_size(last = size, (uint32_t)size);
    if (last != program.size)
        one_size(program.size, 1);
    two_dimensional();
    three_dimensional();
    host_memory();
    many_blocks();
}

static void teardown(void)
{
    CHECK(cuMemFreeHost(pinned));
    free(source);
    free(target);
    details("sizes=%zu largest=%zu", sizes_done, program.size);
}

int main(int argc, char **argv)
{
    static const struct program p = {
        .name = "memtest",
        .usage = "--size: bytes of the largest block, at least 1048576",
        .default_size = 64u << 20,
        .setup = setup,
        .job = job,
        .teardown = teardown,
    };

    return program_main(&p, argc, argv);
}
