/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * vgpu_nvml.h - which of a GPU's readings the guest may ask for, and how processes are listed
 *
 * VGPU_NVML_READS names NVML's calls that the worker makes on the host's NVML and whose answer it
 * passes on: properties of the board and its sensors, nothing that tells what another VM does. The
 * order is part of the protocol: append only. A call's shape says what it takes after the device:
 *
 *   U32      unsigned *                       values[0]
 *   U32A     unsigned, unsigned *             argument byte 0; values[0]
 *   U32AA    unsigned, unsigned, unsigned *   argument bytes 0 and 1; values[0]
 *   U32X2    unsigned *, unsigned *           values[0], values[1]
 *   U64      unsigned long long *             values[0]
 *   U64AA    two enumerations, unsigned long long *    argument bytes 0 and 1; values[0]
 *   U64AAA   three enumerations, unsigned long long *  argument bytes 0 to 2; values[0]
 *   TEXT     char *, unsigned                 text
 *   TEXTA    unsigned, char *, unsigned       argument byte 0; text
 *
 * The remaining readings have a number below VGPU_NVML_READ_SPECIAL and code of their own.
 *
 * Source: NVML API reference (names, arguments, meaning).
 */
#ifndef VGPU_NVML_H
#define VGPU_NVML_H

#include <stdint.h>

#define VGPU_NVML_READS(X)                                                                         \
    X(U32, nvmlDeviceGetBoardId)                                                                   \
    X(U32, nvmlDeviceGetBrand)                                                                     \
    X(U32, nvmlDeviceGetPerformanceState)                                                          \
    X(U32, nvmlDeviceGetPowerState)                                                                \
    X(U32, nvmlDeviceGetPowerManagementMode)                                                       \
    X(U32, nvmlDeviceGetPowerManagementLimit)                                                      \
    X(U32, nvmlDeviceGetPowerManagementDefaultLimit)                                               \
    X(U32, nvmlDeviceGetPowerUsage)                                                                \
    X(U32, nvmlDeviceGetEnforcedPowerLimit)                                                        \
    X(U32, nvmlDeviceGetPowerSource)                                                               \
    X(U32, nvmlDeviceGetComputeMode)                                                               \
    X(U32, nvmlDeviceGetPersistenceMode)                                                           \
    X(U32, nvmlDeviceGetDisplayMode)                                                               \
    X(U32, nvmlDeviceGetDisplayActive)                                                             \
    X(U32, nvmlDeviceGetMultiGpuBoard)                                                             \
    X(U32, nvmlDeviceGetMaxPcieLinkGeneration)                                                     \
    X(U32, nvmlDeviceGetGpuMaxPcieLinkGeneration)                                                  \
    X(U32, nvmlDeviceGetMaxPcieLinkWidth)                                                          \
    X(U32, nvmlDeviceGetCurrPcieLinkGeneration)                                                    \
    X(U32, nvmlDeviceGetCurrPcieLinkWidth)                                                         \
    X(U32, nvmlDeviceGetPcieLinkMaxSpeed)                                                          \
    X(U32, nvmlDeviceGetPcieSpeed)                                                                 \
    X(U32, nvmlDeviceGetArchitecture)                                                              \
    X(U32, nvmlDeviceGetNumGpuCores)                                                               \
    X(U32, nvmlDeviceGetMemoryBusWidth)                                                            \
    X(U32, nvmlDeviceGetBusType)                                                                   \
    X(U32, nvmlDeviceGetAdaptiveClockInfoStatus)                                                   \
    X(U32, nvmlDeviceGetDefaultEccMode)                                                            \
    X(U32, nvmlDeviceGetModuleId)                                                                  \
    X(U32A, nvmlDeviceGetTemperature)                                                              \
    X(U32A, nvmlDeviceGetTemperatureThreshold)                                                     \
    X(U32A, nvmlDeviceGetClockInfo)                                                                \
    X(U32A, nvmlDeviceGetMaxClockInfo)                                                             \
    X(U32A, nvmlDeviceGetApplicationsClock)                                                        \
    X(U32A, nvmlDeviceGetDefaultApplicationsClock)                                                 \
    X(U32A, nvmlDeviceGetMaxCustomerBoostClock)                                                    \
    X(U32AA, nvmlDeviceGetClock)                                                                   \
    X(U32X2, nvmlDeviceGetEccMode)                                                                 \
    X(U32X2, nvmlDeviceGetPowerManagementLimitConstraints)                                         \
    X(U32X2, nvmlDeviceGetAutoBoostedClocksEnabled)                                                \
    X(U32X2, nvmlDeviceGetGpuOperationMode)                                                        \
    X(U64, nvmlDeviceGetCurrentClocksThrottleReasons)                                              \
    X(U64, nvmlDeviceGetCurrentClocksEventReasons)                                                 \
    X(U64, nvmlDeviceGetSupportedClocksThrottleReasons)                                            \
    X(U64, nvmlDeviceGetSupportedClocksEventReasons)                                               \
    X(U64, nvmlDeviceGetTotalEnergyConsumption)                                                    \
    X(U64AA, nvmlDeviceGetTotalEccErrors)                                                          \
    X(U64AAA, nvmlDeviceGetMemoryErrorCounter)                                                     \
    X(TEXT, nvmlDeviceGetVbiosVersion)                                                             \
    X(TEXT, nvmlDeviceGetSerial)                                                                   \
    X(TEXT, nvmlDeviceGetBoardPartNumber)                                                          \
    X(TEXT, nvmlDeviceGetInforomImageVersion)                                                      \
    X(TEXTA, nvmlDeviceGetInforomVersion)                                                          \
    X(U32X2, nvmlDeviceGetGspFirmwareMode)                                                         \
    X(U32, nvmlDeviceGetPcieReplayCounter)                                                         \
    X(U32, nvmlDeviceGetRetiredPagesPendingStatus)

enum vgpu_nvml_read {
    VGPU_NVML_READ_NONE,
    VGPU_NVML_READ_FIELD, /* argument: field | scope << 16; values: the union's bits, its type */
    VGPU_NVML_READ_PCI,   /* values: device id, subsystem id */
    VGPU_NVML_READ_PCI_CLASS, /* values: base class, subclass */
    VGPU_NVML_READ_BAR1,      /* values: total, free, used; bytes */
    VGPU_NVML_READ_SPECIAL = 16,
#define VGPU_NVML_READ(shape, name) VGPU_NVML_READ_##name,
    VGPU_NVML_READS(VGPU_NVML_READ)
#undef VGPU_NVML_READ
        VGPU_NVML_READ_LIMIT
};

#define VGPU_NVML_TEXT 96 /* bytes of the longest text, NUL included */

/* Fields of nvmlDeviceGetFieldValues() that are sensors or limits of the board. */
static inline int vgpu_nvml_field_served(uint32_t field)
{
    return field == 82 ||                  /* memory temperature */
           field == 83 ||                  /* total energy */
           (field >= 185 && field <= 196); /* power: average to requested limit; thresholds */
}

/* One process of the VM with a context on the device that was asked about. */
struct vgpu_nvml_process {
    uint64_t memory;     /* bytes; VGPU_NVML_UNKNOWN */
    uint32_t process_id; /* as the guest process gave it */
    uint32_t reserved;
    char name[16]; /* as the guest process gave it, NUL-terminated */
};

#define VGPU_NVML_UNKNOWN (~0ull)

#endif
