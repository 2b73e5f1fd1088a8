/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_nvml.c - a host's libnvidia-ml.so.1 for tests: knows one GPU, by any UUID, and tells fixed
 * readings, so that a test can see them arrive in the guest
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "guest/libnvml/nvml_abi.h"
#include "tests/unit/nvml/host_nvml.h"

static struct nvml_device *const gpu = (struct nvml_device *)0x1000;

#define HOST(name, ...)                                                                            \
    NVML_API nvmlReturn_t name(__VA_ARGS__);                                                       \
    nvmlReturn_t name(__VA_ARGS__)
#define IS_GPU(device)                                                                             \
    if ((device) != gpu)                                                                           \
    return NVML_ERROR_INVALID_ARGUMENT

HOST(nvmlInit_v2, void)
{
    return NVML_SUCCESS;
}

HOST(nvmlDeviceGetHandleByUUID, const char *uuid, nvmlDevice_t *device)
{
    if (strncmp(uuid, "GPU-", 4) || strlen(uuid) != 40)
        return NVML_ERROR_NOT_FOUND;
    *device = gpu;
    return NVML_SUCCESS;
}

HOST(nvmlSystemGetDriverVersion, char *text, unsigned length)
{
    snprintf(text, length, "%s", HOST_DRIVER_VERSION);
    return NVML_SUCCESS;
}

HOST(nvmlSystemGetNVMLVersion, char *text, unsigned length)
{
    snprintf(text, length, "%s", HOST_NVML_VERSION);
    return NVML_SUCCESS;
}

HOST(nvmlDeviceGetPowerUsage, nvmlDevice_t device, unsigned *out)
{
    IS_GPU(device);
    *out = HOST_POWER;
    return NVML_SUCCESS;
}

HOST(nvmlDeviceGetTemperature, nvmlDevice_t device, unsigned sensor, unsigned *out)
{
    IS_GPU(device);
    if (sensor)
        return NVML_ERROR_INVALID_ARGUMENT;
    *out = HOST_TEMPERATURE;
    return NVML_SUCCESS;
}

HOST(nvmlDeviceGetClockInfo, nvmlDevice_t device, unsigned type, unsigned *out)
{
    IS_GPU(device);
    *out = HOST_CLOCK + type;
    return NVML_SUCCESS;
}

HOST(nvmlDeviceGetClock, nvmlDevice_t device, unsigned type, unsigned id, unsigned *out)
{
    IS_GPU(device);
    *out = HOST_CLOCK + type * 10 + id;
    return NVML_SUCCESS;
}

HOST(nvmlDeviceGetEccMode, nvmlDevice_t device, unsigned *current, unsigned *pending)
{
    IS_GPU(device);
    *current = 1;
    *pending = 0;
    return NVML_SUCCESS;
}

HOST(nvmlDeviceGetTotalEnergyConsumption, nvmlDevice_t device, unsigned long long *out)
{
    IS_GPU(device);
    *out = HOST_ENERGY;
    return NVML_SUCCESS;
}

HOST(nvmlDeviceGetTotalEccErrors, nvmlDevice_t device, unsigned type, unsigned counter,
     unsigned long long *out)
{
    IS_GPU(device);
    *out = HOST_ENERGY + type * 10 + counter;
    return NVML_SUCCESS;
}

HOST(nvmlDeviceGetMemoryErrorCounter, nvmlDevice_t device, unsigned type, unsigned counter,
     unsigned location, unsigned long long *out)
{
    IS_GPU(device);
    *out = HOST_ENERGY + type * 100 + counter * 10 + location;
    return NVML_SUCCESS;
}

HOST(nvmlDeviceGetSerial, nvmlDevice_t device, char *text, unsigned length)
{
    IS_GPU(device);
    snprintf(text, length, "%s", HOST_SERIAL);
    return NVML_SUCCESS;
}

HOST(nvmlDeviceGetInforomVersion, nvmlDevice_t device, unsigned object, char *text, unsigned length)
{
    IS_GPU(device);
    snprintf(text, length, "%u.0", object);
    return NVML_SUCCESS;
}

HOST(nvmlDeviceGetPciInfo_v3, nvmlDevice_t device, nvml_pci_v3 *out)
{
    IS_GPU(device);
    memset(out, 0x5a, sizeof(*out));
    out->pciDeviceId = HOST_PCI_ID;
    out->pciSubSystemId = HOST_PCI_SUBSYSTEM;
    return NVML_SUCCESS;
}

HOST(nvmlDeviceGetPciInfoExt, nvmlDevice_t device, nvml_pci_ext *out)
{
    IS_GPU(device);
    if (out->version != NVML_VERSION_OF(*out, 1))
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    out->baseClass = 3;
    out->subClass = 2;
    return NVML_SUCCESS;
}

HOST(nvmlDeviceGetMemoryInfo_v2, nvmlDevice_t device, nvml_memory_v2 *out)
{
    IS_GPU(device);
    if (out->version != NVML_VERSION_OF(*out, 2))
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    *out = (nvml_memory_v2){out->version, HOST_TOTAL, HOST_RESERVED,
                            HOST_TOTAL - HOST_RESERVED - HOST_USED, HOST_USED};
    return NVML_SUCCESS;
}

HOST(nvmlDeviceGetBAR1MemoryInfo, nvmlDevice_t device, nvml_bar1 *out)
{
    IS_GPU(device);
    *out = (nvml_bar1){3, 2, 1};
    return NVML_SUCCESS;
}

HOST(nvmlDeviceGetFieldValues, nvmlDevice_t device, int count, nvml_field *fields)
{
    IS_GPU(device);
    for (int i = 0; i < count; i++) {
        fields[i].nvmlReturn = NVML_SUCCESS;
        fields[i].valueType = 1;
        fields[i].value = fields[i].fieldId * 1000 + fields[i].scopeId;
    }
    return NVML_SUCCESS;
}

/* Another tenant's process alone: what the guest must never see. */
HOST(nvmlDeviceGetComputeRunningProcesses_v3, nvmlDevice_t device, unsigned *count,
     nvml_process_v2 *out)
{
    IS_GPU(device);
    out[0] = (nvml_process_v2){1, 1ull << 40, NVML_NO_INSTANCE, NVML_NO_INSTANCE};
    *count = 1;
    return NVML_SUCCESS;
}
