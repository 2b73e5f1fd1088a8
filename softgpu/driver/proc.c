/* SPDX-License-Identifier: Apache-2.0 */
#include "driver.h"
#include "entries.h"

#include <string.h>

static CUresult look_up(const char *name, void **fn, int version, cuuint64_t flags,
                        CUdriverProcAddressQueryResult *status)
{
    const struct soft_entry *best = NULL;
    bool known = false;

    if (!name || !fn)
        return CUDA_ERROR_INVALID_VALUE;
    *fn = NULL;
    if (version > SOFT_DRIVER_VERSION || version < 0 ||
        flags & ~(cuuint64_t)(CU_GET_PROC_ADDRESS_LEGACY_STREAM |
                              CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM))
        return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < soft_entry_count; i++) {
        const struct soft_entry *e = &soft_entries[i];

        if (strcmp(e->name, name))
            continue;
        known = true;
        if (e->version <= version)
            best = e;
    }
    *status = best    ? CU_GET_PROC_ADDRESS_SUCCESS
              : known ? CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT
                      : CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
    if (!best)
        return CUDA_SUCCESS;
    if (flags & CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM && best->own_stream &&
        version >= best->own_stream_version)
        *fn = (void *)best->own_stream;
    else
        *fn = (void *)best->symbol;
    return CUDA_SUCCESS;
}

CUresult cuGetProcAddress_v2(const char *symbol, void **fn, int version, cuuint64_t flags,
                             CUdriverProcAddressQueryResult *status)
{
    CUdriverProcAddressQueryResult found = CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
    CUresult r = look_up(symbol, fn, version, flags, &found);

    if (status)
        *status = found;
    return r;
}

/* The first form of the call has no status to tell a missing symbol by. */
CUresult cuGetProcAddress(const char *symbol, void **fn, int version, cuuint64_t flags)
{
    CUdriverProcAddressQueryResult found = CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
    CUresult r = look_up(symbol, fn, version, flags, &found);

    return r == CUDA_SUCCESS && found != CU_GET_PROC_ADDRESS_SUCCESS ? CUDA_ERROR_NOT_FOUND : r;
}
