/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events.c - sets of events, always empty: no GPU here offers any
 * (nvmlDeviceGetSupportedEventTypes)
 *
 * Sets exist because programs make one whether or not they will find an event to put into it, and
 * take a refusal for a broken installation.
 */
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "guest/libnvml/nvml_guest.h"

#define SET_MAGIC 0x53544e56u

struct nvml_event_set {
    uint32_t magic;
};

#define CALL(name, ...)                                                                            \
    NVML_API nvmlReturn_t name(__VA_ARGS__);                                                       \
    nvmlReturn_t name(__VA_ARGS__)

CALL(nvmlEventSetCreate, struct nvml_event_set **set)
{
    nvmlReturn_t result = nvml_ready();

    if (result != NVML_SUCCESS)
        return result;
    if (!set)
        return NVML_ERROR_INVALID_ARGUMENT;
    *set = calloc(1, sizeof(**set));
    if (!*set)
        return NVML_ERROR_MEMORY;
    (*set)->magic = SET_MAGIC;
    return NVML_SUCCESS;
}

CALL(nvmlEventSetFree, struct nvml_event_set *set)
{
    nvmlReturn_t result = nvml_ready();

    if (result != NVML_SUCCESS)
        return result;
    if (!set || set->magic != SET_MAGIC)
        return NVML_ERROR_INVALID_ARGUMENT;
    set->magic = 0;
    free(set);
    return NVML_SUCCESS;
}

CALL(nvmlDeviceRegisterEvents, nvmlDevice_t device, unsigned long long types,
     struct nvml_event_set *set)
{
    nvmlReturn_t result = nvml_check(device);

    if (result != NVML_SUCCESS)
        return result;
    if (!set || set->magic != SET_MAGIC)
        return NVML_ERROR_INVALID_ARGUMENT;
    return types ? NVML_ERROR_NOT_SUPPORTED : NVML_SUCCESS;
}

/* Nothing will happen: waits as long as asked. */
CALL(nvmlEventSetWait_v2, struct nvml_event_set *set, void *data, unsigned timeout_ms)
{
    struct timespec left = {timeout_ms / 1000, (long)(timeout_ms % 1000) * 1000000};
    nvmlReturn_t result = nvml_ready();

    if (result != NVML_SUCCESS)
        return result;
    if (!set || set->magic != SET_MAGIC || !data)
        return NVML_ERROR_INVALID_ARGUMENT;
    while (nanosleep(&left, &left) != 0)
        ;
    return NVML_ERROR_TIMEOUT;
}

CALL(nvmlEventSetWait, struct nvml_event_set *set, void *data, unsigned timeout_ms)
{
    return nvmlEventSetWait_v2(set, data, timeout_ms);
}
