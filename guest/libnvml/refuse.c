/* SPDX-License-Identifier: Apache-2.0 */
/*
 * refuse.c - every name of NVML that no other file of this library defines
 *
 * Programs look names up one by one and take a missing one for a broken installation, so all names
 * of names.txt exist. The definitions here are weak: one that serves takes their place.
 */
/* Not nvml_guest.h: served calls have other types there. */
#include "guest/libnvml/refuse.h"

#define NVML_NAME(name)                                                                            \
    __attribute__((weak)) NVML_API nvmlReturn_t name(void);                                        \
    nvmlReturn_t name(void)                                                                        \
    {                                                                                              \
        return nvml_refuse(#name);                                                                 \
    }
#include "nvml_names.h"
