/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nvml_abi.h - the part of NVML's binary interface that this library serves
 *
 * Names, numbers and layouts are NVML's (source: NVML API reference); programs compiled against
 * NVIDIA's header link with it. Structures that carry a version hold their own size in the low 24
 * bits and the version's number above.
 */
#ifndef VGPU_NVML_ABI_H
#define VGPU_NVML_ABI_H

#include <stddef.h>
#include <stdint.h>

#define NVML_API __attribute__((visibility("default")))

typedef struct nvml_device *nvmlDevice_t;

typedef enum {
    NVML_SUCCESS = 0,
    NVML_ERROR_UNINITIALIZED = 1,
    NVML_ERROR_INVALID_ARGUMENT = 2,
    NVML_ERROR_NOT_SUPPORTED = 3,
    NVML_ERROR_NO_PERMISSION = 4,
    NVML_ERROR_ALREADY_INITIALIZED = 5,
    NVML_ERROR_NOT_FOUND = 6,
    NVML_ERROR_INSUFFICIENT_SIZE = 7,
    NVML_ERROR_INSUFFICIENT_POWER = 8,
    NVML_ERROR_DRIVER_NOT_LOADED = 9,
    NVML_ERROR_TIMEOUT = 10,
    NVML_ERROR_IRQ_ISSUE = 11,
    NVML_ERROR_LIBRARY_NOT_FOUND = 12,
    NVML_ERROR_FUNCTION_NOT_FOUND = 13,
    NVML_ERROR_CORRUPTED_INFOROM = 14,
    NVML_ERROR_GPU_IS_LOST = 15,
    NVML_ERROR_RESET_REQUIRED = 16,
    NVML_ERROR_OPERATING_SYSTEM = 17,
    NVML_ERROR_LIB_RM_VERSION_MISMATCH = 18,
    NVML_ERROR_IN_USE = 19,
    NVML_ERROR_MEMORY = 20,
    NVML_ERROR_NO_DATA = 21,
    NVML_ERROR_VGPU_ECC_NOT_SUPPORTED = 22,
    NVML_ERROR_INSUFFICIENT_RESOURCES = 23,
    NVML_ERROR_FREQ_NOT_SUPPORTED = 24,
    NVML_ERROR_ARGUMENT_VERSION_MISMATCH = 25,
    NVML_ERROR_DEPRECATED = 26,
    NVML_ERROR_NOT_READY = 27,
    NVML_ERROR_GPU_NOT_FOUND = 28,
    NVML_ERROR_INVALID_STATE = 29,
    NVML_ERROR_UNKNOWN = 999,
} nvmlReturn_t;

#define NVML_VERSION_OF(type, number) ((unsigned)sizeof(type) | (unsigned)(number) << 24)

#define NVML_INIT_FLAG_NO_GPUS 1u
#define NVML_INIT_FLAG_NO_ATTACH 2u

#define NVML_VALUE_NOT_AVAILABLE (~0ull)
#define NVML_NO_INSTANCE 0xffffffffu /* of MIG */

#define NVML_TEMPERATURE_GPU 0
#define NVML_CLOCK_TYPES 4 /* graphics, SM, memory, video */

typedef struct {
    char busId[16];
    unsigned domain, bus, device;
    unsigned pciDeviceId;
} nvml_pci_v1;

typedef struct {
    char busId[16];
    unsigned domain, bus, device;
    unsigned pciDeviceId, pciSubSystemId;
    unsigned reserved[4];
} nvml_pci_v2;

typedef struct {
    char busIdLegacy[16];
    unsigned domain, bus, device;
    unsigned pciDeviceId, pciSubSystemId;
    char busId[32];
} nvml_pci_v3;

typedef struct {
    unsigned version;
    unsigned domain, bus, device;
    unsigned pciDeviceId, pciSubSystemId;
    unsigned baseClass, subClass;
    char busId[32];
} nvml_pci_ext;

typedef struct {
    unsigned long long total, free, used;
} nvml_memory;

typedef struct {
    unsigned version;
    unsigned long long total, reserved, free, used;
} nvml_memory_v2;

typedef struct {
    unsigned long long bar1Total, bar1Free, bar1Used;
} nvml_bar1;

typedef struct {
    unsigned gpu, memory; /* percent */
} nvml_utilization;

typedef struct {
    unsigned pid;
    unsigned long long usedGpuMemory;
} nvml_process_v1;

typedef struct {
    unsigned pid;
    unsigned long long usedGpuMemory;
    unsigned gpuInstanceId, computeInstanceId;
} nvml_process_v2;

typedef struct {
    unsigned pid;
    unsigned long long usedGpuMemory;
    unsigned gpuInstanceId, computeInstanceId;
    unsigned long long usedGpuCcProtectedMemory;
} nvml_process_detail;

typedef struct {
    unsigned version;
    unsigned mode; /* 0 compute, 1 graphics, 2 MPS */
    unsigned numProcArrayEntries;
    nvml_process_detail *procArray;
} nvml_process_list;

typedef struct {
    unsigned version;
    unsigned sensorType;
    int temperature;
} nvml_temperature;

typedef struct {
    unsigned fieldId, scopeId;
    long long timestamp;   /* us since 1970 */
    long long latencyUsec; /* of the reading */
    unsigned valueType;
    nvmlReturn_t nvmlReturn;
    uint64_t value; /* bits of a union */
} nvml_field;

_Static_assert(sizeof(nvml_pci_v3) == 68 && offsetof(nvml_pci_v3, busId) == 36, "NVML's layout");
_Static_assert(sizeof(nvml_pci_ext) == 64, "NVML's layout");
_Static_assert(sizeof(nvml_memory_v2) == 40, "NVML's layout");
_Static_assert(sizeof(nvml_process_v2) == 24, "NVML's layout");
_Static_assert(sizeof(nvml_process_detail) == 32, "NVML's layout");
_Static_assert(sizeof(nvml_process_list) == 24, "NVML's layout");
_Static_assert(sizeof(nvml_field) == 40, "NVML's layout");

#endif
