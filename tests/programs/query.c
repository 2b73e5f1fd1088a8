/* SPDX-License-Identifier: Apache-2.0 */
/* query - what the driver says of its devices; the answers are also checked against each other */
#include "program.h"

#include <stdio.h>
#include <string.h>

struct attribute {
    CUdevice_attribute id;
    const char *name;
};

/* clang-format off */
static const struct attribute attributes[] = {
    {CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, "multiprocessors"},
    {CU_DEVICE_ATTRIBUTE_CLOCK_RATE, "clock_khz"},
    {CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE, "memory_clock_khz"},
    {CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH, "memory_bus_bits"},
    {CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE, "l2_cache_bytes"},
    {CU_DEVICE_ATTRIBUTE_TOTAL_CONSTANT_MEMORY, "constant_memory_bytes"},
    {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK, "shared_memory_per_block_bytes"},
    {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, "shared_memory_per_block_optin_bytes"},
    {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR, "shared_memory_per_multiprocessor_bytes"},
    {CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK, "registers_per_block"},
    {CU_DEVICE_ATTRIBUTE_WARP_SIZE, "warp_size"},
    {CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR, "threads_per_multiprocessor"},
    {CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, "threads_per_block"},
    {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X, "block_dim_x"},
    {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y, "block_dim_y"},
    {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z, "block_dim_z"},
    {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X, "grid_dim_x"},
    {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y, "grid_dim_y"},
    {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z, "grid_dim_z"},
    {CU_DEVICE_ATTRIBUTE_MAX_PITCH, "max_pitch_bytes"},
    {CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT, "texture_alignment_bytes"},
    {CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT, "copy_engines"},
    {CU_DEVICE_ATTRIBUTE_CONCURRENT_KERNELS, "concurrent_kernels"},
    {CU_DEVICE_ATTRIBUTE_KERNEL_EXEC_TIMEOUT, "kernel_timeout"},
    {CU_DEVICE_ATTRIBUTE_INTEGRATED, "integrated"},
    {CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY, "maps_host_memory"},
    {CU_DEVICE_ATTRIBUTE_COMPUTE_MODE, "compute_mode"},
    {CU_DEVICE_ATTRIBUTE_ECC_ENABLED, "ecc"},
    {CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING, "unified_addressing"},
    {CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY, "managed_memory"},
    {CU_DEVICE_ATTRIBUTE_COMPUTE_PREEMPTION_SUPPORTED, "compute_preemption"},
    {CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH, "cooperative_launch"},
    {CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED, "memory_pools"},
    {CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, "virtual_memory_management"},
};
/* clang-format on */

static int attribute(CUdevice dev, CUdevice_attribute id)
{
    int value;

    CHECK(cuDeviceGetAttribute(&value, id, dev));
    return value;
}

static void query(CUdevice dev, int ordinal)
{
    char name[256] = "", bus[32] = "", short_name[8];
    int major, minor;
    unsigned int domain, number, slot;
    size_t total;
    CUuuid uuid;
    CUdevice found;

    CHECK(cuDeviceGetName(name, sizeof(name), dev));
    CHECK(cuDeviceTotalMem(&total, dev));
    CHECK(cuDeviceGetUuid(&uuid, dev));
    CHECK(cuDeviceGetPCIBusId(bus, sizeof(bus), dev));
    CHECK(cuDeviceComputeCapability(&major, &minor, dev));

    /* A short buffer gets a cut name that still ends in NUL. */
    memset(short_name, 'x', sizeof(short_name));
    CHECK(cuDeviceGetName(short_name, sizeof(short_name), dev));
    REQUIRE(memchr(short_name, '\0', sizeof(short_name)));
    REQUIRE(strncmp(short_name, name, strlen(short_name)) == 0);

    REQUIRE(name[0] && total > 0);
    REQUIRE(major == attribute(dev, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR));
    REQUIRE(minor == attribute(dev, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR));
    REQUIRE(sscanf(bus, "%x:%x:%x", &domain, &number, &slot) == 3);
    REQUIRE((int)domain == attribute(dev, CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID));
    REQUIRE((int)number == attribute(dev, CU_DEVICE_ATTRIBUTE_PCI_BUS_ID));
    REQUIRE((int)slot == attribute(dev, CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID));
    CHECK(cuDeviceGetByPCIBusId(&found, bus));
    REQUIRE(found == dev);
    REQUIRE(attribute(dev, CU_DEVICE_ATTRIBUTE_WARP_SIZE) == 32);
    REQUIRE(attribute(dev, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT) > 0);

    if (program.json)
        return;
    printf("device %d: %s\n", ordinal, name);
    printf("  uuid                                      GPU-");
    for (int i = 0; i < 16; i++)
        printf("%02x%s", (unsigned char)uuid.bytes[i],
               i == 3 || i == 5 || i == 7 || i == 9 ? "-" : "");
    printf("\n  %-41s %s\n  %-41s %d.%d\n  %-41s %zu\n", "pci", bus, "compute_capability", major,
           minor, "memory_bytes", total);
    for (size_t i = 0; i < sizeof(attributes) / sizeof(attributes[0]); i++)
        printf("  %-41s %d\n", attributes[i].name, attribute(dev, attributes[i].id));
}

static void job(void)
{
    int count, version, value;
    CUdevice dev;

    CHECK(cuInit(0));
    CHECK(cuDriverGetVersion(&version));
    REQUIRE(version >= 11000);
    CHECK(cuDeviceGetCount(&count));
    if (count == 0)
        fail("no device");
    for (int i = 0; i < count; i++) {
        CHECK(cuDeviceGet(&dev, i));
        query(dev, i);
    }
    EXPECT(CUDA_ERROR_INVALID_DEVICE, cuDeviceGet(&dev, count));
    EXPECT(CUDA_ERROR_INVALID_DEVICE, cuDeviceGet(&dev, -1));
    CHECK(cuDeviceGet(&dev, 0));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuDeviceGetAttribute(&value, (CUdevice_attribute)100000, dev));
    if (program.seconds == 0)
        details("devices=%d driver=%d.%d", count, version / 1000, version % 1000 / 10);
}

int main(int argc, char **argv)
{
    static const struct program p = {
        .name = "query",
        .usage = "prints every device",
        .own_context = true,
        .job = job,
    };

    return program_main(&p, argc, argv);
}
