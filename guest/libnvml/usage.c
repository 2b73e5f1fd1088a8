/* SPDX-License-Identifier: Apache-2.0 */
/* usage.c - memory, utilisation and processes: what this VM has and does, never another's */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "guest/libnvml/nvml_guest.h"
#include "vgpu_ops.h"

/* Natively a sample period is between 1/6 s and 1 s; a caller waits for this one. */
#define BUSY_SAMPLES 20
#define BUSY_STEP_NS 5000000

#define CALL(name, ...)                                                                            \
    NVML_API nvmlReturn_t name(__VA_ARGS__);                                                       \
    nvmlReturn_t name(__VA_ARGS__)

#define CHECK(device, pointer)                                                                     \
    do {                                                                                           \
        nvmlReturn_t checked = nvml_check(device);                                                 \
        if (checked != NVML_SUCCESS)                                                               \
            return checked;                                                                        \
        if (!(pointer))                                                                            \
            return NVML_ERROR_INVALID_ARGUMENT;                                                    \
    } while (0)

/* ---- memory ---- */

static nvmlReturn_t memory(nvmlDevice_t device, struct vgpu_rsp_NvmlMemory *out)
{
    int32_t ordinal = device->ordinal;

    return nvml_call(VGPU_OP_NvmlMemory, &ordinal, sizeof(ordinal), out, VGPU_RSP_BYTES_NvmlMemory,
                     NULL, NULL);
}

CALL(nvmlDeviceGetMemoryInfo, nvmlDevice_t device, nvml_memory *out)
{
    struct vgpu_rsp_NvmlMemory m;

    CHECK(device, out);
    nvmlReturn_t result = memory(device, &m);
    if (result == NVML_SUCCESS) /* the short form counts what is reserved as used */
        *out = (nvml_memory){.total = m.total, .free = m.free, .used = m.used + m.reserved};
    return result;
}

CALL(nvmlDeviceGetMemoryInfo_v2, nvmlDevice_t device, nvml_memory_v2 *out)
{
    struct vgpu_rsp_NvmlMemory m;

    CHECK(device, out);
    if (out->version != NVML_VERSION_OF(*out, 2))
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    nvmlReturn_t result = memory(device, &m);
    if (result == NVML_SUCCESS) {
        out->total = m.total;
        out->reserved = m.reserved;
        out->free = m.free;
        out->used = m.used;
    }
    return result;
}

/* ---- utilisation ---- */

/*
 * Percent of a sample period during which a program of this VM had work on a GPU: looked at
 * BUSY_SAMPLES times. How busy the memory was cannot be told apart by VM and is given as 0.
 */
CALL(nvmlDeviceGetUtilizationRates, nvmlDevice_t device, nvml_utilization *out)
{
    unsigned busy = 0;

    CHECK(device, out);
    for (int i = 0; i < BUSY_SAMPLES; i++) {
        struct vgpu_rsp_NvmlBusy reply;
        struct timespec step = {0, BUSY_STEP_NS};
        nvmlReturn_t result =
            nvml_call(VGPU_OP_NvmlBusy, NULL, 0, &reply, VGPU_RSP_BYTES_NvmlBusy, NULL, NULL);

        if (result != NVML_SUCCESS)
            return result;
        busy += reply.busy != 0;
        nanosleep(&step, NULL);
    }
    out->gpu = busy * 100 / BUSY_SAMPLES;
    out->memory = 0;
    return NVML_SUCCESS;
}

/* ---- processes ---- */

nvmlReturn_t nvml_processes(nvmlDevice_t device, struct vgpu_nvml_process *out, unsigned room,
                            unsigned *count)
{
    struct {
        int32_t device;
        uint32_t first;
    } in = {device->ordinal, 0};

    *count = 0;
    do {
        struct vgpu_nvml_process some[64];
        struct vgpu_rsp_NvmlProcesses reply;
        uint32_t bytes = sizeof(some);
        nvmlReturn_t result = nvml_call(VGPU_OP_NvmlProcesses, &in, sizeof(in), &reply,
                                        VGPU_RSP_BYTES_NvmlProcesses, some, &bytes);

        if (result != NVML_SUCCESS)
            return result;
        for (uint32_t i = 0; i < bytes / sizeof(some[0]); i++, ++*count) {
            if (*count < room)
                out[*count] = some[i];
        }
        if (reply.next && reply.next <= in.first) /* it must get on */
            return NVML_ERROR_UNKNOWN;
        in.first = reply.next;
    } while (in.first);
    return NVML_SUCCESS;
}

/* All processes in *list, to be freed by the caller; *count of them. */
static nvmlReturn_t list_all(nvmlDevice_t device, struct vgpu_nvml_process **list, unsigned *count)
{
    unsigned room = 64;

    for (;;) {
        *list = calloc(room, sizeof(**list));
        if (!*list)
            return NVML_ERROR_MEMORY;
        nvmlReturn_t result = nvml_processes(device, *list, room, count);
        if (result == NVML_SUCCESS && *count <= room)
            return NVML_SUCCESS;
        free(*list);
        *list = NULL;
        if (result != NVML_SUCCESS)
            return result;
        room = *count + 16;
    }
}

/* NVML's way with lists: *count is room in, and number out; too little room is an error of its own,
 * and asking with room 0 is how to learn the number. */
static nvmlReturn_t running(nvmlDevice_t device, unsigned *count, void *infos, size_t entry_bytes)
{
    struct vgpu_nvml_process *list = NULL;
    unsigned have = 0;

    CHECK(device, count);
    unsigned room = *count;
    if (room && !infos)
        return NVML_ERROR_INVALID_ARGUMENT;
    nvmlReturn_t result = list_all(device, &list, &have);
    if (result != NVML_SUCCESS)
        return result;
    *count = have;
    for (unsigned i = 0; i < have && have <= room; i++) {
        nvml_process_v2 entry = {list[i].process_id, list[i].memory, NVML_NO_INSTANCE,
                                 NVML_NO_INSTANCE};

        memcpy((char *)infos + i * entry_bytes, &entry, entry_bytes);
    }
    free(list);
    return have > room ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;
}

CALL(nvmlDeviceGetComputeRunningProcesses, nvmlDevice_t device, unsigned *count,
     nvml_process_v1 *infos)
{
    return running(device, count, infos, sizeof(*infos));
}

CALL(nvmlDeviceGetComputeRunningProcesses_v2, nvmlDevice_t device, unsigned *count,
     nvml_process_v2 *infos)
{
    return running(device, count, infos, sizeof(*infos));
}

CALL(nvmlDeviceGetComputeRunningProcesses_v3, nvmlDevice_t device, unsigned *count,
     nvml_process_v2 *infos)
{
    return running(device, count, infos, sizeof(*infos));
}

/* Neither graphics nor MPS exists in the VM. */
static nvmlReturn_t none(nvmlDevice_t device, unsigned *count)
{
    CHECK(device, count);
    *count = 0;
    return NVML_SUCCESS;
}

#define DEFINE_NONE(name)                                                                          \
    CALL(name, nvmlDevice_t device, unsigned *count, void *infos)                                  \
    {                                                                                              \
        return none(device, count);                                                                \
    }
DEFINE_NONE(nvmlDeviceGetGraphicsRunningProcesses)
DEFINE_NONE(nvmlDeviceGetGraphicsRunningProcesses_v2)
DEFINE_NONE(nvmlDeviceGetGraphicsRunningProcesses_v3)
DEFINE_NONE(nvmlDeviceGetMPSComputeRunningProcesses)
DEFINE_NONE(nvmlDeviceGetMPSComputeRunningProcesses_v2)
DEFINE_NONE(nvmlDeviceGetMPSComputeRunningProcesses_v3)

CALL(nvmlDeviceGetRunningProcessDetailList, nvmlDevice_t device, nvml_process_list *out)
{
    struct vgpu_nvml_process *list = NULL;
    unsigned have = 0;

    CHECK(device, out);
    if (out->version != NVML_VERSION_OF(*out, 1))
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    unsigned room = out->numProcArrayEntries;
    if (out->mode > 2 || (room && !out->procArray))
        return NVML_ERROR_INVALID_ARGUMENT;
    if (out->mode == 0) {
        nvmlReturn_t result = list_all(device, &list, &have);
        if (result != NVML_SUCCESS)
            return result;
    }
    out->numProcArrayEntries = have;
    for (unsigned i = 0; i < have && have <= room; i++)
        out->procArray[i] = (nvml_process_detail){.pid = list[i].process_id,
                                                  .usedGpuMemory = list[i].memory,
                                                  .gpuInstanceId = NVML_NO_INSTANCE,
                                                  .computeInstanceId = NVML_NO_INSTANCE,
                                                  .usedGpuCcProtectedMemory = 0};
    free(list);
    return have > room ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;
}
