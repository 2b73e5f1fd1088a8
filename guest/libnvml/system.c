/* SPDX-License-Identifier: Apache-2.0 */
/* system.c - versions, error texts, processes' names, and what a VM does not have */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "guest/libnvml/nvml_guest.h"
#include "vgpu_ops.h"

#define CALL(name, ...)                                                                            \
    NVML_API nvmlReturn_t name(__VA_ARGS__);                                                       \
    nvmlReturn_t name(__VA_ARGS__)

nvmlReturn_t nvml_text(char *out, unsigned length, const char *text)
{
    size_t bytes = strlen(text) + 1;

    if (!out)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (length < bytes)
        return NVML_ERROR_INSUFFICIENT_SIZE;
    memcpy(out, text, bytes);
    return NVML_SUCCESS;
}

nvmlReturn_t nvml_refuse(const char *name)
{
    nvml_say(NVML_LOG_INFO, "%s is not supported", name);
    nvmlReturn_t result = nvml_ready();
    return result == NVML_SUCCESS ? NVML_ERROR_NOT_SUPPORTED : result;
}

static nvmlReturn_t versions(struct vgpu_rsp_NvmlSystem *system)
{
    nvmlReturn_t result =
        nvml_call(VGPU_OP_NvmlSystem, NULL, 0, system, VGPU_RSP_BYTES_NvmlSystem, NULL, NULL);

    if (result == NVML_SUCCESS)
        result = (nvmlReturn_t)system->result;
    system->driver_version[sizeof(system->driver_version) - 1] = 0;
    system->nvml_version[sizeof(system->nvml_version) - 1] = 0;
    return result;
}

CALL(nvmlSystemGetDriverVersion, char *version, unsigned length)
{
    struct vgpu_rsp_NvmlSystem system = {0};

    if (!version)
        return NVML_ERROR_INVALID_ARGUMENT;
    nvmlReturn_t result = versions(&system);
    return result == NVML_SUCCESS ? nvml_text(version, length, (const char *)system.driver_version)
                                  : result;
}

/* Natively this needs no nvmlInit; here only the host can tell, so before it the answer is ours. */
CALL(nvmlSystemGetNVMLVersion, char *version, unsigned length)
{
    struct vgpu_rsp_NvmlSystem system = {0};

    if (!version)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (versions(&system) == NVML_SUCCESS)
        return nvml_text(version, length, (const char *)system.nvml_version);
    return nvml_text(version, length, VGPU_PACKAGE_VERSION);
}

CALL(nvmlSystemGetCudaDriverVersion_v2, int *version)
{
    if (!version)
        return NVML_ERROR_INVALID_ARGUMENT;
    nvmlReturn_t result = nvml_ready();
    if (result == NVML_SUCCESS)
        *version = nvml_state.cuda_version;
    return result;
}

CALL(nvmlSystemGetCudaDriverVersion, int *version)
{
    return nvmlSystemGetCudaDriverVersion_v2(version);
}

nvmlReturn_t nvml_process_name(unsigned pid, char *name, unsigned length)
{
    char path[48];

    snprintf(path, sizeof(path), "/proc/%u/cmdline", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NVML_ERROR_NOT_FOUND;
    ssize_t got = read(fd, name, length - 1); /* the first of its NUL-terminated strings */
    close(fd);
    if (got <= 0)
        return NVML_ERROR_NOT_FOUND;
    name[got] = 0;
    return NVML_SUCCESS;
}

CALL(nvmlSystemGetProcessName, unsigned pid, char *name, unsigned length)
{
    if (!name || !length)
        return NVML_ERROR_INVALID_ARGUMENT;
    nvmlReturn_t result = nvml_ready();
    return result == NVML_SUCCESS ? nvml_process_name(pid, name, length) : result;
}

/* ---- things of which there are none ---- */

static nvmlReturn_t none(unsigned *count)
{
    if (!count)
        return NVML_ERROR_INVALID_ARGUMENT;
    nvmlReturn_t result = nvml_ready();
    if (result == NVML_SUCCESS)
        *count = 0;
    return result;
}

CALL(nvmlUnitGetCount, unsigned *count)
{
    return none(count);
}

CALL(nvmlSystemGetHicVersion, unsigned *count, void *entries)
{
    return none(count);
}

CALL(nvmlGetExcludedDeviceCount, unsigned *count)
{
    return none(count);
}

/* ---- errors ---- */

NVML_API const char *nvmlErrorString(nvmlReturn_t result);

const char *nvmlErrorString(nvmlReturn_t result)
{
    switch (result) {
    case NVML_SUCCESS:
        return "Success";
    case NVML_ERROR_UNINITIALIZED:
        return "Uninitialized";
    case NVML_ERROR_INVALID_ARGUMENT:
        return "Invalid Argument";
    case NVML_ERROR_NOT_SUPPORTED:
        return "Not Supported";
    case NVML_ERROR_NO_PERMISSION:
        return "Insufficient Permissions";
    case NVML_ERROR_ALREADY_INITIALIZED:
        return "Already Initialized";
    case NVML_ERROR_NOT_FOUND:
        return "Not Found";
    case NVML_ERROR_INSUFFICIENT_SIZE:
        return "Insufficient Size";
    case NVML_ERROR_INSUFFICIENT_POWER:
        return "Insufficient External Power";
    case NVML_ERROR_DRIVER_NOT_LOADED:
        return "Driver Not Loaded";
    case NVML_ERROR_TIMEOUT:
        return "Timeout";
    case NVML_ERROR_IRQ_ISSUE:
        return "Interrupt Request Issue";
    case NVML_ERROR_LIBRARY_NOT_FOUND:
        return "NVML Shared Library Not Found";
    case NVML_ERROR_FUNCTION_NOT_FOUND:
        return "Function Not Found";
    case NVML_ERROR_CORRUPTED_INFOROM:
        return "Corrupted infoROM";
    case NVML_ERROR_GPU_IS_LOST:
        return "GPU is lost";
    case NVML_ERROR_RESET_REQUIRED:
        return "GPU requires restart";
    case NVML_ERROR_OPERATING_SYSTEM:
        return "The operating system has blocked the request";
    case NVML_ERROR_LIB_RM_VERSION_MISMATCH:
        return "Driver/library version mismatch";
    case NVML_ERROR_IN_USE:
        return "In use by another client";
    case NVML_ERROR_MEMORY:
        return "Insufficient Memory";
    case NVML_ERROR_NO_DATA:
        return "No data";
    case NVML_ERROR_VGPU_ECC_NOT_SUPPORTED:
        return "vGPU ECC not supported";
    case NVML_ERROR_INSUFFICIENT_RESOURCES:
        return "Insufficient resources";
    case NVML_ERROR_FREQ_NOT_SUPPORTED:
        return "Requested frequency not supported";
    case NVML_ERROR_ARGUMENT_VERSION_MISMATCH:
        return "Argument version mismatch";
    case NVML_ERROR_DEPRECATED:
        return "Deprecated";
    case NVML_ERROR_NOT_READY:
        return "System not ready";
    case NVML_ERROR_GPU_NOT_FOUND:
        return "GPU not found";
    case NVML_ERROR_INVALID_STATE:
        return "Invalid state";
    default:
        return "Unknown Error";
    }
}
