/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cuGetProcAddress: which of the exported spellings a name means for a program built against a
 * given CUDA release. A call whose signature changed got a new spelling (_v2, _v3 ...) with the
 * release that changed it; a program is given the newest one that is no newer than itself. With the
 * per-thread default stream asked for, the _ptsz or _ptds spelling of that one, where it exists.
 *
 * Calls that this library refuses are handed out as well: a CUDA runtime asks for some 440 names
 * when it starts and most programs use few of them, so the refusal comes, with the call's name,
 * from the call and not from the start.
 */
#include <stdio.h>
#include <string.h>

#include "guest/libcuda/guest.h"
#include "guest/libcuda/trace.h"
#include "vgpu_exports.h"

#define VARIANTS_MAX 4

/* Releases that brought the first, second ... spelling. Sorted by name. Source: CUDA 13.0
 * reference. */
static const struct variants {
    const char *name;
    uint16_t since[VARIANTS_MAX];
} variants[] = {
    {"cuArray3DCreate", {2000, 3020}},
    {"cuArray3DGetDescriptor", {2000, 3020}},
    {"cuArrayCreate", {2000, 3020}},
    {"cuArrayGetDescriptor", {2000, 3020}},
    {"cuCtxCreate", {2000, 3020, 11040, 12050}},
    {"cuCtxDestroy", {2000, 4000}},
    {"cuCtxGetDevice", {2000, 13000}},
    {"cuCtxPopCurrent", {2000, 4000}},
    {"cuCtxPushCurrent", {2000, 4000}},
    {"cuCtxSynchronize", {2000, 13000}},
    {"cuDeviceGetUuid", {9020, 11040}},
    {"cuDevicePrimaryCtxRelease", {7000, 11000}},
    {"cuDevicePrimaryCtxReset", {7000, 11000}},
    {"cuDevicePrimaryCtxSetFlags", {7000, 11000}},
    {"cuDeviceTotalMem", {2000, 3020}},
    {"cuEventDestroy", {2000, 4000}},
    {"cuEventElapsedTime", {2000, 12080}},
    {"cuGetProcAddress", {11030, 12000}},
    {"cuGraphAddDependencies", {10000, 12030}},
    {"cuGraphAddKernelNode", {10000, 12000}},
    {"cuGraphAddNode", {12020, 12030}},
    {"cuGraphExecKernelNodeSetParams", {10010, 12000}},
    {"cuGraphExecUpdate", {10020, 12000}},
    {"cuGraphGetEdges", {10000, 12030}},
    {"cuGraphInstantiate", {10000, 11000}},
    {"cuGraphKernelNodeGetParams", {10000, 12000}},
    {"cuGraphKernelNodeSetParams", {10000, 12000}},
    {"cuGraphNodeGetDependencies", {10000, 12030}},
    {"cuGraphNodeGetDependentNodes", {10000, 12030}},
    {"cuGraphRemoveDependencies", {10000, 12030}},
    {"cuGraphicsResourceGetMappedPointer", {3000, 3020}},
    {"cuGraphicsResourceSetMapFlags", {3000, 6050}},
    {"cuIpcOpenMemHandle", {4010, 11000}},
    {"cuLinkAddData", {5050, 6050}},
    {"cuLinkAddFile", {5050, 6050}},
    {"cuLinkCreate", {5050, 6050}},
    {"cuMemAdvise", {8000, 12020}},
    {"cuMemAlloc", {2000, 3020}},
    {"cuMemAllocHost", {2000, 3020}},
    {"cuMemAllocPitch", {2000, 3020}},
    {"cuMemFree", {2000, 3020}},
    {"cuMemGetAddressRange", {2000, 3020}},
    {"cuMemGetInfo", {2000, 3020}},
    {"cuMemHostGetDevicePointer", {2020, 3020}},
    {"cuMemHostRegister", {4000, 6050}},
    {"cuMemPrefetchAsync", {8000, 12020}},
    {"cuMemcpy2D", {2000, 3020}},
    {"cuMemcpy2DAsync", {2000, 3020}},
    {"cuMemcpy2DUnaligned", {2000, 3020}},
    {"cuMemcpy3D", {2000, 3020}},
    {"cuMemcpy3DAsync", {2000, 3020}},
    {"cuMemcpy3DBatchAsync", {12080, 13000}},
    {"cuMemcpyAtoA", {2000, 3020}},
    {"cuMemcpyAtoD", {2000, 3020}},
    {"cuMemcpyAtoH", {2000, 3020}},
    {"cuMemcpyAtoHAsync", {2000, 3020}},
    {"cuMemcpyBatchAsync", {12080, 13000}},
    {"cuMemcpyDtoA", {2000, 3020}},
    {"cuMemcpyDtoD", {2000, 3020}},
    {"cuMemcpyDtoDAsync", {3000, 3020}},
    {"cuMemcpyDtoH", {2000, 3020}},
    {"cuMemcpyDtoHAsync", {2000, 3020}},
    {"cuMemcpyHtoA", {2000, 3020}},
    {"cuMemcpyHtoAAsync", {2000, 3020}},
    {"cuMemcpyHtoD", {2000, 3020}},
    {"cuMemcpyHtoDAsync", {2000, 3020}},
    {"cuMemsetD16", {2000, 3020}},
    {"cuMemsetD2D16", {2000, 3020}},
    {"cuMemsetD2D32", {2000, 3020}},
    {"cuMemsetD2D8", {2000, 3020}},
    {"cuMemsetD32", {2000, 3020}},
    {"cuMemsetD8", {2000, 3020}},
    {"cuModuleGetGlobal", {2000, 3020}},
    {"cuStreamBatchMemOp", {8000, 11070}},
    {"cuStreamBeginCapture", {10000, 10010}},
    {"cuStreamDestroy", {2000, 4000}},
    {"cuStreamGetCaptureInfo", {10010, 11030, 12030}},
    {"cuStreamGetCtx", {9020, 12050}},
    {"cuStreamUpdateCaptureDependencies", {11030, 12030}},
    {"cuStreamWaitValue32", {8000, 11070}},
    {"cuStreamWaitValue64", {9000, 11070}},
    {"cuStreamWriteValue32", {8000, 11070}},
    {"cuStreamWriteValue64", {9000, 11070}},
    {"cuTexRefGetAddress", {2000, 3020}},
    {"cuTexRefSetAddress", {2000, 3020}},
    {"cuTexRefSetAddress2D", {2020, 3020, 4010}},
};

static const struct vgpu_export *find(const char *name)
{
    size_t low = 0, high = vgpu_export_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, vgpu_exports[middle].name);
        if (!order)
            return &vgpu_exports[middle];
        if (order > 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static const struct variants *find_variants(const char *name)
{
    size_t low = 0, high = sizeof(variants) / sizeof(variants[0]);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, variants[middle].name);
        if (!order)
            return &variants[middle];
        if (order > 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

void *vgpu_proc_address(const char *symbol, int version, uint64_t flags,
                        CUdriverProcAddressQueryResult *status)
{
    char name[128];
    size_t length = strlen(symbol);

    *status = CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
    /* Room for the suffixes below. */
    if (!length || length > sizeof(name) - 16)
        return NULL;
    memcpy(name, symbol, length + 1);

    const struct variants *known = find_variants(symbol);
    if (known) {
        int chosen = -1;
        for (int i = 0; i < VARIANTS_MAX && known->since[i]; i++)
            if (version >= known->since[i])
                chosen = i;
        if (chosen < 0) {
            *status = CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT;
            return NULL;
        }
        if (chosen > 0)
            length += (size_t)snprintf(name + length, sizeof(name) - length, "_v%d", chosen + 1);
    }
    const struct vgpu_export *found = NULL;
    if (flags & CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM) {
        memcpy(name + length, "_ptsz", 6);
        found = find(name);
        if (!found) {
            memcpy(name + length, "_ptds", 6);
            found = find(name);
        }
        name[length] = '\0';
    }
    if (!found)
        found = find(name);
    if (!found)
        return NULL;
    *status = CU_GET_PROC_ADDRESS_SUCCESS;
    return vgpu_trace(found->name, found->address);
}

static CUresult get(const char *symbol, void **fn, int version, cuuint64_t flags,
                    CUdriverProcAddressQueryResult *status)
{
    CUdriverProcAddressQueryResult ignored;
    if (!symbol || !fn ||
        flags & ~(cuuint64_t)(CU_GET_PROC_ADDRESS_LEGACY_STREAM |
                              CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM) ||
        flags ==
            (CU_GET_PROC_ADDRESS_LEGACY_STREAM | CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM))
        return CUDA_ERROR_INVALID_VALUE;
    *fn = vgpu_proc_address(symbol, version, flags, status ? status : &ignored);
    if (*fn)
        return CUDA_SUCCESS;
    vgpu_say(VGPU_LOG_INFO, "cuGetProcAddress: no %s for version %d", symbol, version);
    /* As the driver has it: the newer form reports by status, and by the result without one. */
    return CUDA_ERROR_NOT_FOUND;
}

CUresult cuGetProcAddress(const char *symbol, void **fn, int version, cuuint64_t flags)
{
    return get(symbol, fn, version, flags, NULL);
}

CUresult cuGetProcAddress_v2(const char *symbol, void **fn, int version, cuuint64_t flags,
                             CUdriverProcAddressQueryResult *status)
{
    return get(symbol, fn, version, flags, status);
}
