/* SPDX-License-Identifier: Apache-2.0 */
/* device.c - handles, identity, and the readings that the host answers */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "guest/libnvml/nvml_guest.h"
#include "vgpu_ops.h"

#define CALL(name, ...)                                                                            \
    NVML_API nvmlReturn_t name(__VA_ARGS__);                                                       \
    nvmlReturn_t name(__VA_ARGS__)

/* Returns from the calling function unless handle and result pointer are good. */
#define CHECK(device, pointer)                                                                     \
    do {                                                                                           \
        nvmlReturn_t checked = nvml_check(device);                                                 \
        if (checked != NVML_SUCCESS)                                                               \
            return checked;                                                                        \
        if (!(pointer))                                                                            \
            return NVML_ERROR_INVALID_ARGUMENT;                                                    \
    } while (0)

/* ---- readings ---- */

nvmlReturn_t nvml_read(nvmlDevice_t device, enum vgpu_nvml_read read, uint32_t argument,
                       uint64_t values[3], char *text)
{
    struct vgpu_rsp_NvmlRead reply;
    char room[VGPU_NVML_TEXT];
    uint32_t bytes = sizeof(room);
    struct {
        int32_t device;
        uint32_t read, argument;
    } in = {device->ordinal, read, argument};
    _Static_assert(sizeof(in) + sizeof(struct vgpu_record) == VGPU_REQ_BYTES_NvmlRead, "layout");

    nvmlReturn_t result =
        nvml_call(VGPU_OP_NvmlRead, &in, sizeof(in), &reply, VGPU_RSP_BYTES_NvmlRead, room, &bytes);
    if (result == NVML_SUCCESS)
        result = (nvmlReturn_t)reply.result;
    if (result != NVML_SUCCESS)
        return result;
    if (values)
        memcpy(values, reply.values, sizeof(reply.values));
    if (text)
        snprintf(text, VGPU_NVML_TEXT, "%.*s", (int)bytes, room);
    return NVML_SUCCESS;
}

static bool fits(unsigned a, unsigned b, unsigned c)
{
    return a < 256 && b < 256 && c < 256;
}

#define READ(name, argument, ...)                                                                  \
    CHECK(device, (__VA_ARGS__));                                                                  \
    uint64_t values[3];                                                                            \
    nvmlReturn_t result = nvml_read(device, VGPU_NVML_READ_##name, argument, values, NULL);        \
    if (result != NVML_SUCCESS)                                                                    \
    return result

#define DEFINE_U32(name)                                                                           \
    CALL(name, nvmlDevice_t device, unsigned *out)                                                 \
    {                                                                                              \
        READ(name, 0, out);                                                                        \
        *out = (unsigned)values[0];                                                                \
        return NVML_SUCCESS;                                                                       \
    }
#define DEFINE_U32A(name)                                                                          \
    CALL(name, nvmlDevice_t device, unsigned a, unsigned *out)                                     \
    {                                                                                              \
        READ(name, a, out &&fits(a, 0, 0));                                                        \
        *out = (unsigned)values[0];                                                                \
        return NVML_SUCCESS;                                                                       \
    }
#define DEFINE_U32AA(name)                                                                         \
    CALL(name, nvmlDevice_t device, unsigned a, unsigned b, unsigned *out)                         \
    {                                                                                              \
        READ(name, a | b << 8, out && fits(a, b, 0));                                              \
        *out = (unsigned)values[0];                                                                \
        return NVML_SUCCESS;                                                                       \
    }
#define DEFINE_U32X2(name)                                                                         \
    CALL(name, nvmlDevice_t device, unsigned *first, unsigned *second)                             \
    {                                                                                              \
        READ(name, 0, first &&second);                                                             \
        *first = (unsigned)values[0];                                                              \
        *second = (unsigned)values[1];                                                             \
        return NVML_SUCCESS;                                                                       \
    }
#define DEFINE_U64(name)                                                                           \
    CALL(name, nvmlDevice_t device, unsigned long long *out)                                       \
    {                                                                                              \
        READ(name, 0, out);                                                                        \
        *out = values[0];                                                                          \
        return NVML_SUCCESS;                                                                       \
    }
#define DEFINE_U64AA(name)                                                                         \
    CALL(name, nvmlDevice_t device, unsigned a, unsigned b, unsigned long long *out)               \
    {                                                                                              \
        READ(name, a | b << 8, out && fits(a, b, 0));                                              \
        *out = values[0];                                                                          \
        return NVML_SUCCESS;                                                                       \
    }
#define DEFINE_U64AAA(name)                                                                        \
    CALL(name, nvmlDevice_t device, unsigned a, unsigned b, unsigned c, unsigned long long *out)   \
    {                                                                                              \
        READ(name, a | b << 8 | c << 16, out && fits(a, b, c));                                    \
        *out = values[0];                                                                          \
        return NVML_SUCCESS;                                                                       \
    }
#define DEFINE_TEXT(name)                                                                          \
    CALL(name, nvmlDevice_t device, char *out, unsigned length)                                    \
    {                                                                                              \
        char text[VGPU_NVML_TEXT];                                                                 \
        CHECK(device, out);                                                                        \
        nvmlReturn_t result = nvml_read(device, VGPU_NVML_READ_##name, 0, NULL, text);             \
        return result == NVML_SUCCESS ? nvml_text(out, length, text) : result;                     \
    }
#define DEFINE_TEXTA(name)                                                                         \
    CALL(name, nvmlDevice_t device, unsigned a, char *out, unsigned length)                        \
    {                                                                                              \
        char text[VGPU_NVML_TEXT];                                                                 \
        CHECK(device, out &&fits(a, 0, 0));                                                        \
        nvmlReturn_t result = nvml_read(device, VGPU_NVML_READ_##name, a, NULL, text);             \
        return result == NVML_SUCCESS ? nvml_text(out, length, text) : result;                     \
    }
#define DEFINE(shape, name) DEFINE_##shape(name)
VGPU_NVML_READS(DEFINE)

CALL(nvmlDeviceGetTemperatureV, nvmlDevice_t device, nvml_temperature *out)
{
    unsigned value;

    CHECK(device, out);
    if (out->version != NVML_VERSION_OF(*out, 1))
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    nvmlReturn_t result = nvmlDeviceGetTemperature(device, out->sensorType, &value);
    if (result == NVML_SUCCESS)
        out->temperature = (int)value;
    return result;
}

CALL(nvmlDeviceGetBAR1MemoryInfo, nvmlDevice_t device, nvml_bar1 *out)
{
    READ(BAR1, 0, out);
    *out = (nvml_bar1){values[0], values[1], values[2]};
    return NVML_SUCCESS;
}

CALL(nvmlDeviceGetFieldValues, nvmlDevice_t device, int count, nvml_field *fields)
{
    CHECK(device, fields && count > 0);
    for (int i = 0; i < count; i++) {
        nvml_field *field = &fields[i];
        uint64_t values[3] = {0};
        struct timespec now;

        field->nvmlReturn = NVML_ERROR_NOT_SUPPORTED;
        if (vgpu_nvml_field_served(field->fieldId) && field->scopeId < 65536)
            field->nvmlReturn = nvml_read(device, VGPU_NVML_READ_FIELD,
                                          field->fieldId | field->scopeId << 16, values, NULL);
        else
            nvml_say(NVML_LOG_INFO, "NVML field %u is not supported", field->fieldId);
        clock_gettime(CLOCK_REALTIME, &now);
        field->timestamp = now.tv_sec * 1000000ll + now.tv_nsec / 1000;
        field->latencyUsec = 0;
        field->value = values[0];
        field->valueType = (unsigned)values[1];
    }
    return NVML_SUCCESS;
}

/* ---- handles ---- */

CALL(nvmlDeviceGetCount_v2, unsigned *count)
{
    nvmlReturn_t result = nvml_ready();

    if (result != NVML_SUCCESS)
        return result;
    if (!count)
        return NVML_ERROR_INVALID_ARGUMENT;
    *count = nvml_state.device_count;
    return NVML_SUCCESS;
}

CALL(nvmlDeviceGetCount, unsigned *count)
{
    return nvmlDeviceGetCount_v2(count);
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *device)
{
    nvmlReturn_t result = nvml_ready();

    if (result != NVML_SUCCESS)
        return result;
    if (!device || index >= nvml_state.device_count)
        return NVML_ERROR_INVALID_ARGUMENT;
    *device = &nvml_state.devices[index];
    return NVML_SUCCESS;
}

CALL(nvmlDeviceGetHandleByIndex, unsigned index, nvmlDevice_t *device)
{
    return nvmlDeviceGetHandleByIndex_v2(index, device);
}

CALL(nvmlDeviceGetHandleByUUID, const char *uuid, nvmlDevice_t *device)
{
    nvmlReturn_t result = nvml_ready();

    if (result != NVML_SUCCESS)
        return result;
    if (!uuid || !device)
        return NVML_ERROR_INVALID_ARGUMENT;
    for (unsigned i = 0; i < nvml_state.device_count; i++) {
        if (!strcasecmp(uuid, nvml_state.devices[i].uuid)) {
            *device = &nvml_state.devices[i];
            return NVML_SUCCESS;
        }
    }
    return NVML_ERROR_NOT_FOUND;
}

CALL(nvmlDeviceGetHandleByPciBusId_v2, const char *id, nvmlDevice_t *device)
{
    unsigned domain = 0, bus, number, function = 0;
    nvmlReturn_t result = nvml_ready();

    if (result != NVML_SUCCESS)
        return result;
    if (!id || !device)
        return NVML_ERROR_INVALID_ARGUMENT;
    /* domain:bus:device.function, the domain and the function may be left out */
    if (sscanf(id, "%x:%x:%x.%x", &domain, &bus, &number, &function) < 3) {
        domain = 0;
        if (sscanf(id, "%x:%x.%x", &bus, &number, &function) < 2)
            return NVML_ERROR_INVALID_ARGUMENT;
    }
    for (unsigned i = 0; i < nvml_state.device_count; i++) {
        struct nvml_device *d = &nvml_state.devices[i];

        if (d->domain == domain && d->bus == bus && d->device == number && !function) {
            *device = d;
            return NVML_SUCCESS;
        }
    }
    return NVML_ERROR_NOT_FOUND;
}

CALL(nvmlDeviceGetHandleByPciBusId, const char *id, nvmlDevice_t *device)
{
    return nvmlDeviceGetHandleByPciBusId_v2(id, device);
}

CALL(nvmlDeviceGetHandleBySerial, const char *serial, nvmlDevice_t *device)
{
    nvmlReturn_t result = nvml_ready();

    if (result != NVML_SUCCESS)
        return result;
    if (!serial || !device)
        return NVML_ERROR_INVALID_ARGUMENT;
    for (unsigned i = 0; i < nvml_state.device_count; i++) {
        char text[VGPU_NVML_TEXT];

        result =
            nvml_read(&nvml_state.devices[i], VGPU_NVML_READ_nvmlDeviceGetSerial, 0, NULL, text);
        if (result == NVML_SUCCESS && !strcmp(serial, text)) {
            *device = &nvml_state.devices[i];
            return NVML_SUCCESS;
        }
    }
    return NVML_ERROR_NOT_FOUND;
}

/* ---- identity ---- */

CALL(nvmlDeviceGetName, nvmlDevice_t device, char *name, unsigned length)
{
    CHECK(device, name);
    return nvml_text(name, length, device->name);
}

CALL(nvmlDeviceGetUUID, nvmlDevice_t device, char *uuid, unsigned length)
{
    CHECK(device, uuid);
    return nvml_text(uuid, length, device->uuid);
}

CALL(nvmlDeviceGetIndex, nvmlDevice_t device, unsigned *index)
{
    CHECK(device, index);
    *index = (unsigned)device->ordinal;
    return NVML_SUCCESS;
}

/* There is no /dev/nvidiaN here; programs use the number to tell GPUs apart. */
CALL(nvmlDeviceGetMinorNumber, nvmlDevice_t device, unsigned *number)
{
    return nvmlDeviceGetIndex(device, number);
}

CALL(nvmlDeviceGetCudaComputeCapability, nvmlDevice_t device, int *major, int *minor)
{
    CHECK(device, major && minor);
    *major = device->capability_major;
    *minor = device->capability_minor;
    return NVML_SUCCESS;
}

/* The bus address is the one that CUDA gives: programs match the two. */
CALL(nvmlDeviceGetPciInfo_v3, nvmlDevice_t device, nvml_pci_v3 *out)
{
    uint64_t values[3] = {0};

    CHECK(device, out);
    memset(out, 0, sizeof(*out));
    out->domain = device->domain;
    out->bus = device->bus;
    out->device = device->device;
    snprintf(out->busIdLegacy, sizeof(out->busIdLegacy), "%04X:%02X:%02X.0",
             device->domain & 0xffff, device->bus & 0xff, device->device & 0xff);
    snprintf(out->busId, sizeof(out->busId), "%08X:%02X:%02X.0", device->domain, device->bus & 0xff,
             device->device & 0xff);
    /* The ids stay 0 on a GPU that is no PCI device. */
    nvmlReturn_t result = nvml_read(device, VGPU_NVML_READ_PCI, 0, values, NULL);
    if (result != NVML_SUCCESS && result != NVML_ERROR_NOT_SUPPORTED)
        return result;
    out->pciDeviceId = (unsigned)values[0];
    out->pciSubSystemId = (unsigned)values[1];
    return NVML_SUCCESS;
}

CALL(nvmlDeviceGetPciInfo_v2, nvmlDevice_t device, nvml_pci_v2 *out)
{
    nvml_pci_v3 pci;

    CHECK(device, out);
    nvmlReturn_t result = nvmlDeviceGetPciInfo_v3(device, &pci);
    if (result != NVML_SUCCESS)
        return result;
    memset(out, 0, sizeof(*out));
    memcpy(out->busId, pci.busIdLegacy, sizeof(out->busId));
    out->domain = pci.domain;
    out->bus = pci.bus;
    out->device = pci.device;
    out->pciDeviceId = pci.pciDeviceId;
    out->pciSubSystemId = pci.pciSubSystemId;
    return NVML_SUCCESS;
}

CALL(nvmlDeviceGetPciInfo, nvmlDevice_t device, nvml_pci_v1 *out)
{
    nvml_pci_v2 pci;

    CHECK(device, out);
    nvmlReturn_t result = nvmlDeviceGetPciInfo_v2(device, &pci);
    if (result == NVML_SUCCESS)
        memcpy(out, &pci, sizeof(*out));
    return result;
}

CALL(nvmlDeviceGetPciInfoExt, nvmlDevice_t device, nvml_pci_ext *out)
{
    nvml_pci_v3 pci;
    uint64_t class[3];

    CHECK(device, out);
    if (out->version != NVML_VERSION_OF(*out, 1))
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    nvmlReturn_t result = nvml_read(device, VGPU_NVML_READ_PCI_CLASS, 0, class, NULL);
    if (result == NVML_SUCCESS)
        result = nvmlDeviceGetPciInfo_v3(device, &pci);
    if (result != NVML_SUCCESS)
        return result;
    out->domain = pci.domain;
    out->bus = pci.bus;
    out->device = pci.device;
    out->pciDeviceId = pci.pciDeviceId;
    out->pciSubSystemId = pci.pciSubSystemId;
    out->baseClass = (unsigned)class[0];
    out->subClass = (unsigned)class[1];
    memcpy(out->busId, pci.busId, sizeof(out->busId));
    return NVML_SUCCESS;
}

/* ---- what a vGPU of ours does not have ---- */

static nvmlReturn_t zero(nvmlDevice_t device, unsigned *out)
{
    CHECK(device, out);
    *out = 0;
    return NVML_SUCCESS;
}

CALL(nvmlDeviceGetMigMode, nvmlDevice_t device, unsigned *current, unsigned *pending)
{
    CHECK(device, current && pending);
    *current = *pending = 0; /* disabled */
    return NVML_SUCCESS;
}

CALL(nvmlDeviceGetMaxMigDeviceCount, nvmlDevice_t device, unsigned *count)
{
    return zero(device, count);
}

CALL(nvmlDeviceIsMigDeviceHandle, nvmlDevice_t device, unsigned *is)
{
    return zero(device, is);
}

CALL(nvmlDeviceGetAccountingMode, nvmlDevice_t device, unsigned *mode)
{
    return zero(device, mode); /* disabled */
}

/* None of NVIDIA's modes: to programs "vGPU" means NVIDIA's own, with its licences. */
CALL(nvmlDeviceGetVirtualizationMode, nvmlDevice_t device, unsigned *mode)
{
    return zero(device, mode);
}

CALL(nvmlDeviceGetSupportedEventTypes, nvmlDevice_t device, unsigned long long *types)
{
    CHECK(device, types);
    *types = 0;
    return NVML_SUCCESS;
}

/* ---- topology: all that a VM can know ---- */

CALL(nvmlDeviceGetTopologyCommonAncestor, nvmlDevice_t one, nvmlDevice_t other, unsigned *level)
{
    CHECK(one, level);
    CHECK(other, level);
    *level = one == other ? 0 /* the same GPU */ : 50 /* the system */;
    return NVML_SUCCESS;
}

/* Every processor of the VM is as near as any other. */
CALL(nvmlDeviceGetCpuAffinity, nvmlDevice_t device, unsigned words, unsigned long *set)
{
    CHECK(device, set && words);
    long processors = sysconf(_SC_NPROCESSORS_CONF);

    memset(set, 0, words * sizeof(*set));
    for (long i = 0; i < processors && i < (long)words * 64; i++)
        set[i / 64] |= 1ul << i % 64;
    return NVML_SUCCESS;
}

CALL(nvmlDeviceGetCpuAffinityWithinScope, nvmlDevice_t device, unsigned words, unsigned long *set,
     unsigned scope)
{
    return nvmlDeviceGetCpuAffinity(device, words, set);
}
