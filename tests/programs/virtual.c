/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtual - memory mapped piece by piece into reserved addresses, as growing allocators do
 *
 * A job reserves --size pieces of addresses, maps memory into each, fills and reads across the
 * seams, unmaps half, and gives everything back.
 */
#include "program.h"

#include <stdlib.h>
#include <string.h>

static CUmemAllocationProp prop;
static CUmemAccessDesc access;
static size_t piece;
static uint32_t *host;

static CUmemGenericAllocationHandle map_piece(CUdeviceptr at)
{
    CUmemGenericAllocationHandle memory;

    CHECK(cuMemCreate(&memory, piece, &prop, 0));
    CHECK(cuMemMap(at, piece, 0, memory, 0));
    CHECK(cuMemSetAccess(at, piece, &access, 1));
    return memory;
}

static void job(void)
{
    size_t count = program.size, words = count * piece / 4;
    CUmemGenericAllocationHandle memory[64], again;
    CUmemAllocationProp shown;
    unsigned long long flags;
    CUdeviceptr base;
    unsigned type;

    CHECK(cuMemAddressReserve(&base, count * piece, 0, 0, 0));
    REQUIRE(base % piece == 0);
    for (size_t i = 0; i < count; i++)
        memory[i] = map_piece(base + i * piece);
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemAddressFree(base, count * piece));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemFree(base));

    /* Fills and copies do not see the seams. */
    CHECK(cuMemsetD32(base, 0x1234, words));
    for (size_t i = 0; i < words; i++)
        host[i] = (uint32_t)(i * 2654435761u);
    CHECK(cuMemcpyHtoD(base + 4, host, words * 4 - 8));
    memset(host, 0, words * 4);
    CHECK(cuMemcpyDtoH(host, base, words * 4));
    if (host[0] != 0x1234 || host[words - 1] != 0x1234)
        fail("the ends are %u and %u", host[0], host[words - 1]);
    for (size_t i = 1; i + 1 < words; i++)
        if (host[i] != (uint32_t)((i - 1) * 2654435761u))
            fail("word %zu is %u", i, host[i]);
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemcpyDtoH(host, base + 4, words * 4));

    CHECK(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, base + piece + 8));
    REQUIRE(type == CU_MEMORYTYPE_DEVICE);
    CHECK(cuMemGetAccess(&flags, &access.location, base));
    REQUIRE(flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
    CHECK(cuMemRetainAllocationHandle(&again, (void *)(uintptr_t)(base + 16)));
    REQUIRE(again == memory[0]);
    CHECK(cuMemGetAllocationPropertiesFromHandle(&shown, again));
    REQUIRE(shown.location.id == prop.location.id);
    CHECK(cuMemRelease(again));

    /* A mapping outlives its handle, and one handle may be mapped anew. */
    for (size_t i = 1; i < count; i++)
        CHECK(cuMemRelease(memory[i]));
    CHECK(cuMemUnmap(base + piece, (count - 1) * piece));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemcpyDtoH(host, base + piece, 4));
    CHECK(cuMemUnmap(base, piece));
    CHECK(cuMemMap(base + piece, piece, 0, memory[0], 0));
    CHECK(cuMemSetAccess(base + piece, piece, &access, 1));
    CHECK(cuMemcpyDtoH(host, base + piece, 4));
    if (host[0] != 0x1234)
        fail("memory mapped again holds %u", host[0]);
    CHECK(cuMemUnmap(base + piece, piece));
    CHECK(cuMemRelease(memory[0]));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemRelease(memory[0]));
    CHECK(cuMemAddressFree(base, count * piece));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemAddressFree(base, count * piece));
}

static void setup(void)
{
    int supported;

    CHECK(cuDeviceGetAttribute(&supported, CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED,
                               program.dev));
    REQUIRE(supported);
    if (program.size < 2 || program.size > 64)
        fail("--size is 2 to 64");
    prop.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    prop.location = (CUmemLocation){CU_MEM_LOCATION_TYPE_DEVICE, program.dev};
    access.location = prop.location;
    access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
    CHECK(cuMemGetAllocationGranularity(&piece, &prop, CU_MEM_ALLOC_GRANULARITY_MINIMUM));
    host = host_alloc(program.size * piece + 8);
    details("pieces=%zu of %zu KiB", program.size, piece >> 10);
}

static void teardown(void)
{
    free(host);
}

int main(int argc, char **argv)
{
    static const struct program p = {
        .name = "virtual",
        .usage = "--size: pieces mapped side by side, 2 to 64",
        .default_size = 4,
        .setup = setup,
        .job = job,
        .teardown = teardown,
    };

    return program_main(&p, argc, argv);
}
