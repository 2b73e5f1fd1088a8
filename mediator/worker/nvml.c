/* SPDX-License-Identifier: Apache-2.0 */
#include "nvml.h"

#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "guest/libnvml/nvml_abi.h"
#include "mediator/common/log.h"
#include "protocol/vgpu_nvml.h"

#define DAEMON_PATIENCE_MS 1000
#define DAEMON_SPACING_NS 1000000 /* between two questions, whatever the guest wants */
#define HOST_PROCESSES 1024

/* Pointers of one type, called through the type that the shape says. */
typedef void nvml_call(void);

struct worker_nvml {
    bool started; /* nvmlInit_v2 has been called; result below */
    nvmlReturn_t start;
    bool found[WORKER_DEVICES_MAX]; /* device has been looked for */
    nvmlDevice_t devices[WORKER_DEVICES_MAX];
    nvmlReturn_t (*init)(void);
    nvmlReturn_t (*by_uuid)(const char *, nvmlDevice_t *);
    nvmlReturn_t (*driver_version)(char *, unsigned);
    nvmlReturn_t (*nvml_version)(char *, unsigned);
    nvmlReturn_t (*memory_v2)(nvmlDevice_t, nvml_memory_v2 *);
    nvmlReturn_t (*memory)(nvmlDevice_t, nvml_memory *);
    nvmlReturn_t (*bar1)(nvmlDevice_t, nvml_bar1 *);
    nvmlReturn_t (*pci)(nvmlDevice_t, nvml_pci_v3 *);
    nvmlReturn_t (*pci_ext)(nvmlDevice_t, nvml_pci_ext *);
    nvmlReturn_t (*fields)(nvmlDevice_t, int, nvml_field *);
    nvmlReturn_t (*processes)(nvmlDevice_t, unsigned *, nvml_process_v2 *);
    nvml_call *reads[VGPU_NVML_READ_LIMIT];
};

enum shape { U32, U32A, U32AA, U32X2, U64, U64AA, U64AAA, TEXT, TEXTA };

static const struct {
    const char *name;
    enum shape shape;
} reads[VGPU_NVML_READ_LIMIT] = {
#define ROW(shape, name) [VGPU_NVML_READ_##name] = {#name, shape},
    VGPU_NVML_READS(ROW)
#undef ROW
};

void worker_nvml_load(struct vgpu_worker *worker)
{
    void *library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    struct worker_nvml *nvml;

    if (!library)
        return;
    nvml = calloc(1, sizeof(*nvml));
    if (!nvml)
        return;
    *(void **)&nvml->init = dlsym(library, "nvmlInit_v2");
    *(void **)&nvml->by_uuid = dlsym(library, "nvmlDeviceGetHandleByUUID");
    *(void **)&nvml->driver_version = dlsym(library, "nvmlSystemGetDriverVersion");
    *(void **)&nvml->nvml_version = dlsym(library, "nvmlSystemGetNVMLVersion");
    *(void **)&nvml->memory_v2 = dlsym(library, "nvmlDeviceGetMemoryInfo_v2");
    *(void **)&nvml->memory = dlsym(library, "nvmlDeviceGetMemoryInfo");
    *(void **)&nvml->bar1 = dlsym(library, "nvmlDeviceGetBAR1MemoryInfo");
    *(void **)&nvml->pci = dlsym(library, "nvmlDeviceGetPciInfo_v3");
    *(void **)&nvml->pci_ext = dlsym(library, "nvmlDeviceGetPciInfoExt");
    *(void **)&nvml->fields = dlsym(library, "nvmlDeviceGetFieldValues");
    *(void **)&nvml->processes = dlsym(library, "nvmlDeviceGetComputeRunningProcesses_v3");
    for (unsigned i = 0; i < VGPU_NVML_READ_LIMIT; i++) {
        if (reads[i].name)
            *(void **)&nvml->reads[i] = dlsym(library, reads[i].name);
    }
    if (!nvml->init || !nvml->by_uuid) {
        free(nvml);
        return;
    }
    worker->nvml = nvml;
}

/* The host's handle of a GPU of the driver, or NULL: then *result says why. */
static nvmlDevice_t host_device(struct vgpu_worker *worker, CUdevice device, nvmlReturn_t *result)
{
    struct worker_nvml *nvml = worker->nvml;
    CUuuid uuid;
    char text[48];
    int n = 0;

    *result = NVML_ERROR_NOT_SUPPORTED;
    if (!nvml)
        return NULL;
    if (!nvml->started) {
        nvml->started = true;
        nvml->start = nvml->init();
        if (nvml->start != NVML_SUCCESS)
            vgpu_log(VGPU_LOG_WARN, "host_nvml_unavailable", LOG_U("result", nvml->start));
    }
    if (nvml->start != NVML_SUCCESS)
        return NULL;
    if (!nvml->found[device] && worker->driver->cuDeviceGetUuid_v2) {
        nvml->found[device] = true;
        if (worker->driver->cuDeviceGetUuid_v2(&uuid, device) == CUDA_SUCCESS) {
            n = snprintf(text, sizeof(text), "GPU-");
            for (int i = 0; i < 16; i++)
                n += snprintf(text + n, sizeof(text) - (size_t)n, "%s%02x",
                              i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
                              (unsigned char)uuid.bytes[i]);
            if (nvml->by_uuid(text, &nvml->devices[device]) != NVML_SUCCESS)
                nvml->devices[device] = NULL;
        }
    }
    return nvml->devices[device];
}

CUresult worker_do_NvmlSystem(struct vgpu_worker *worker, const struct worker_args_NvmlSystem *args,
                              struct vgpu_rsp_NvmlSystem *out, struct vgpu_answer *answer)
{
    nvmlReturn_t result;

    /* A host may have both an NVIDIA driver and this worker the software GPU. */
    if (host_device(worker, 0, &result)) {
        result = worker->nvml->driver_version && worker->nvml->nvml_version
                     ? NVML_SUCCESS
                     : NVML_ERROR_NOT_SUPPORTED;
        if (result == NVML_SUCCESS)
            result = worker->nvml->driver_version((char *)out->driver_version,
                                                  sizeof(out->driver_version) - 1);
        if (result == NVML_SUCCESS)
            result = worker->nvml->nvml_version((char *)out->nvml_version,
                                                sizeof(out->nvml_version) - 1);
    }
    out->result = (int32_t)result;
    return CUDA_SUCCESS;
}

/* ---- readings -------------------------------------------------------------------------------- */

static nvmlReturn_t read_special(struct worker_nvml *nvml, nvmlDevice_t device, uint32_t read,
                                 uint32_t argument, uint64_t values[3])
{
    nvmlReturn_t result = NVML_ERROR_NOT_SUPPORTED;

    if (read == VGPU_NVML_READ_FIELD && nvml->fields && vgpu_nvml_field_served(argument & 0xffff)) {
        nvml_field field = {.fieldId = argument & 0xffff, .scopeId = argument >> 16};

        result = nvml->fields(device, 1, &field);
        if (result == NVML_SUCCESS)
            result = field.nvmlReturn;
        values[0] = field.value;
        values[1] = field.valueType;
    } else if (read == VGPU_NVML_READ_PCI && nvml->pci) {
        nvml_pci_v3 pci = {0};

        result = nvml->pci(device, &pci);
        values[0] = pci.pciDeviceId;
        values[1] = pci.pciSubSystemId;
    } else if (read == VGPU_NVML_READ_PCI_CLASS && nvml->pci_ext) {
        nvml_pci_ext pci = {.version = NVML_VERSION_OF(nvml_pci_ext, 1)};

        result = nvml->pci_ext(device, &pci);
        values[0] = pci.baseClass;
        values[1] = pci.subClass;
    } else if (read == VGPU_NVML_READ_BAR1 && nvml->bar1) {
        nvml_bar1 bar1 = {0};

        result = nvml->bar1(device, &bar1);
        values[0] = bar1.bar1Total;
        values[1] = bar1.bar1Free;
        values[2] = bar1.bar1Used;
    }
    return result;
}

/* Enumerations are unsigned int to the caller of a shared library. */
static nvmlReturn_t read_shape(nvml_call *call, enum shape shape, nvmlDevice_t device,
                               uint32_t argument, uint64_t values[3], char *text)
{
    unsigned a = argument & 0xff, b = argument >> 8 & 0xff, c = argument >> 16 & 0xff;
    unsigned small[2] = {0};
    unsigned long long large = 0;
    nvmlReturn_t result = NVML_ERROR_NOT_SUPPORTED;

    switch (shape) {
    case U32:
        result = ((nvmlReturn_t(*)(nvmlDevice_t, unsigned *))call)(device, small);
        break;
    case U32A:
        result = ((nvmlReturn_t(*)(nvmlDevice_t, unsigned, unsigned *))call)(device, a, small);
        break;
    case U32AA:
        result = ((nvmlReturn_t(*)(nvmlDevice_t, unsigned, unsigned, unsigned *))call)(device, a, b,
                                                                                       small);
        break;
    case U32X2:
        result = ((nvmlReturn_t(*)(nvmlDevice_t, unsigned *, unsigned *))call)(device, &small[0],
                                                                               &small[1]);
        break;
    case U64:
        result = ((nvmlReturn_t(*)(nvmlDevice_t, unsigned long long *))call)(device, &large);
        break;
    case U64AA:
        result = ((nvmlReturn_t(*)(nvmlDevice_t, unsigned, unsigned, unsigned long long *))call)(
            device, a, b, &large);
        break;
    case U64AAA:
        result = ((nvmlReturn_t(*)(nvmlDevice_t, unsigned, unsigned, unsigned,
                                   unsigned long long *))call)(device, a, b, c, &large);
        break;
    case TEXT:
        result =
            ((nvmlReturn_t(*)(nvmlDevice_t, char *, unsigned))call)(device, text, VGPU_NVML_TEXT);
        break;
    case TEXTA:
        result = ((nvmlReturn_t(*)(nvmlDevice_t, unsigned, char *, unsigned))call)(device, a, text,
                                                                                   VGPU_NVML_TEXT);
        break;
    }
    values[0] = shape == U64 || shape == U64AA || shape == U64AAA ? large : small[0];
    values[1] = small[1];
    return result;
}

CUresult worker_do_NvmlRead(struct vgpu_worker *worker, const struct worker_args_NvmlRead *args,
                            struct vgpu_rsp_NvmlRead *out, struct vgpu_answer *answer)
{
    char text[VGPU_NVML_TEXT] = "";
    nvmlReturn_t result;
    nvmlDevice_t device = host_device(worker, args->device, &result);

    if (device) {
        result = NVML_ERROR_NOT_SUPPORTED;
        if (args->read < VGPU_NVML_READ_SPECIAL)
            result = read_special(worker->nvml, device, args->read, args->argument, out->values);
        else if (args->read < VGPU_NVML_READ_LIMIT && worker->nvml->reads[args->read])
            result = read_shape(worker->nvml->reads[args->read], reads[args->read].shape, device,
                                args->argument, out->values, text);
    }
    out->result = (int32_t)result;
    if (result != NVML_SUCCESS) {
        memset(out->values, 0, sizeof(out->values));
        return CUDA_SUCCESS;
    }
    text[sizeof(text) - 1] = 0;
    size_t length = text[0] ? strlen(text) + 1 : 0;
    memcpy(answer->payload + VGPU_RSP_BYTES_NvmlRead, text, length);
    answer->size += (uint32_t)length;
    return CUDA_SUCCESS;
}

/* ---- the VM ---------------------------------------------------------------------------------- */

/* Asks the daemon; false when it does not answer. Its STOP is heeded. */
static bool ask_daemon(struct vgpu_worker *worker, uint32_t first, struct worker_msg_vm_info *info)
{
    struct worker_msg_vm_query query = {.first = first};
    struct pollfd p = {worker->link_fd, POLLIN, 0};
    struct timespec spacing = {0, DAEMON_SPACING_NS};

    nanosleep(&spacing, NULL);
    if (worker_link_send(worker->link_fd, WORKER_MSG_VM_QUERY, &query, sizeof(query), NULL, 0, 0))
        return false;
    while (!worker->stop && poll(&p, 1, DAEMON_PATIENCE_MS) == 1) {
        union worker_msg message;
        int fds[WORKER_LINK_FDS_MAX];
        size_t count = WORKER_LINK_FDS_MAX;
        int got = worker_link_receive(worker->link_fd, &message, fds, &count, MSG_DONTWAIT);

        if (got < 0 && errno == EAGAIN)
            continue;
        if (got <= 0)
            _exit(0); /* the daemon is gone: nobody is left to tell */
        if (message.msg.type == WORKER_MSG_STOP)
            worker->stop = true;
        /* The answer to a question that was given up may still come. */
        if (message.msg.type == WORKER_MSG_VM_INFO && message.vm_info.first == first &&
            message.vm_info.count <= WORKER_VM_PROCESSES) {
            *info = message.vm_info;
            return true;
        }
    }
    return false;
}

CUresult worker_do_NvmlMemory(struct vgpu_worker *worker, const struct worker_args_NvmlMemory *args,
                              struct vgpu_rsp_NvmlMemory *out, struct vgpu_answer *answer)
{
    uint64_t limit = worker->assign.device_memory_limit;
    struct worker_nvml *nvml = worker->nvml;
    struct worker_msg_vm_info info;
    size_t total = 0;
    CUresult result = worker->driver->cuDeviceTotalMem_v2(&total, args->device);
    nvmlReturn_t unused;

    if (result != CUDA_SUCCESS)
        return result;
    if (!limit || limit >= total) {
        nvmlDevice_t device = host_device(worker, args->device, &unused);
        nvml_memory_v2 long_form = {.version = NVML_VERSION_OF(nvml_memory_v2, 2)};
        nvml_memory form;

        if (device && nvml->memory_v2 && nvml->memory_v2(device, &long_form) == NVML_SUCCESS) {
            out->total = long_form.total;
            out->reserved = long_form.reserved;
            out->free = long_form.free;
            out->used = long_form.used;
            return CUDA_SUCCESS;
        }
        if (device && nvml->memory && nvml->memory(device, &form) == NVML_SUCCESS) {
            out->total = form.total;
            out->free = form.free;
            out->used = form.used;
            return CUDA_SUCCESS;
        }
    }
    /* Of the driver nothing more is to be had without a context: what this VM has allocated. */
    if (!ask_daemon(worker, 0, &info))
        return CUDA_ERROR_NOT_READY;
    out->total = limit && limit < total ? limit : total;
    out->used = info.device_memory < out->total ? info.device_memory : out->total;
    out->free = out->total - out->used;
    return CUDA_SUCCESS;
}

CUresult worker_do_NvmlBusy(struct vgpu_worker *worker, const struct worker_args_NvmlBusy *args,
                            struct vgpu_rsp_NvmlBusy *out, struct vgpu_answer *answer)
{
    struct worker_msg_vm_info info;

    if (!ask_daemon(worker, 0, &info))
        return CUDA_ERROR_NOT_READY;
    out->busy = info.busy != 0;
    return CUDA_SUCCESS;
}

/* What the host's driver says a process has on a GPU, its context included; else unknown. */
static uint64_t host_memory(const nvml_process_v2 *list, unsigned count, uint32_t pid)
{
    for (unsigned i = 0; i < count; i++) {
        if (list[i].pid == pid)
            return list[i].usedGpuMemory;
    }
    return VGPU_NVML_UNKNOWN;
}

CUresult worker_do_NvmlProcesses(struct vgpu_worker *worker,
                                 const struct worker_args_NvmlProcesses *args,
                                 struct vgpu_rsp_NvmlProcesses *out, struct vgpu_answer *answer)
{
    static nvml_process_v2 list[HOST_PROCESSES];
    struct vgpu_nvml_process entry;
    struct worker_msg_vm_info info;
    unsigned count = HOST_PROCESSES;
    nvmlReturn_t unused;
    nvmlDevice_t device = host_device(worker, args->device, &unused);

    if (!ask_daemon(worker, args->first, &info))
        return CUDA_ERROR_NOT_READY;
    if (!device || !worker->nvml->processes ||
        worker->nvml->processes(device, &count, list) != NVML_SUCCESS)
        count = 0;
    for (uint32_t i = 0; i < info.count; i++) {
        const struct worker_vm_process *process = &info.processes[i];

        if (!(process->devices & 1u << args->device))
            continue;
        memset(&entry, 0, sizeof(entry));
        entry.process_id = process->process_id;
        snprintf(entry.name, sizeof(entry.name), "%.15s", process->process_name);
        entry.memory = host_memory(list, count, process->worker_pid);
        /* Its own count has no GPU: right where it uses only one. */
        if (entry.memory == VGPU_NVML_UNKNOWN && process->devices == 1u << args->device)
            entry.memory = process->device_memory;
        memcpy(answer->payload + answer->size, &entry, sizeof(entry));
        answer->size += sizeof(entry);
        out->count++;
    }
    if (info.count && info.total > args->first + info.count)
        out->next = args->first + info.count;
    return CUDA_SUCCESS;
}
