/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda_loader.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

/* clang-format off */
#define CALLS(X) \
    X(cuInit) X(cuDriverGetVersion) X(cuGetErrorName) X(cuGetErrorString) X(cuGetProcAddress_v2) \
    X(cuDeviceGet) X(cuDeviceGetCount) X(cuDeviceGetName) X(cuDeviceGetUuid) X(cuDeviceGetAttribute) \
    X(cuDeviceTotalMem_v2) X(cuDeviceGetPCIBusId) X(cuDeviceGetByPCIBusId) X(cuDeviceComputeCapability) \
    X(cuDevicePrimaryCtxRetain) X(cuDevicePrimaryCtxRelease_v2) X(cuDevicePrimaryCtxReset_v2) \
    X(cuDevicePrimaryCtxGetState) X(cuCtxCreate_v2) X(cuCtxDestroy_v2) X(cuCtxPushCurrent_v2) \
    X(cuCtxPopCurrent_v2) X(cuCtxSetCurrent) X(cuCtxGetCurrent) X(cuCtxGetDevice) X(cuCtxGetFlags) \
    X(cuCtxGetApiVersion) X(cuCtxSynchronize) X(cuCtxGetLimit) X(cuCtxSetLimit) \
    X(cuCtxGetStreamPriorityRange) X(cuModuleLoad) X(cuModuleLoadData) X(cuModuleLoadDataEx) \
    X(cuModuleUnload) X(cuModuleGetFunction) X(cuModuleGetGlobal_v2) X(cuModuleGetLoadingMode) \
    X(cuLibraryLoadData) X(cuLibraryUnload) X(cuLibraryGetKernel) X(cuLibraryGetKernelCount) \
    X(cuLibraryGetModule) X(cuLibraryGetGlobal) X(cuKernelGetFunction) X(cuKernelGetAttribute) \
    X(cuKernelGetName) X(cuKernelGetParamInfo) X(cuFuncGetAttribute) X(cuFuncSetAttribute) \
    X(cuFuncSetCacheConfig) X(cuFuncGetModule) X(cuFuncGetName) X(cuFuncGetParamInfo) \
    X(cuOccupancyMaxActiveBlocksPerMultiprocessor) X(cuOccupancyMaxPotentialBlockSize) \
    X(cuOccupancyAvailableDynamicSMemPerBlock) X(cuMemGetInfo_v2) X(cuMemAlloc_v2) X(cuMemAllocPitch_v2) \
    X(cuMemFree_v2) X(cuMemGetAddressRange_v2) X(cuMemAllocHost_v2) X(cuMemFreeHost) X(cuMemHostAlloc) \
    X(cuMemHostGetDevicePointer_v2) X(cuMemHostGetFlags) X(cuMemHostRegister_v2) X(cuMemHostUnregister) \
    X(cuPointerGetAttribute) X(cuMemcpy) X(cuMemcpyAsync) X(cuMemcpyHtoD_v2) X(cuMemcpyDtoH_v2) \
    X(cuMemcpyDtoD_v2) X(cuMemcpyHtoDAsync_v2) X(cuMemcpyDtoHAsync_v2) X(cuMemcpyDtoDAsync_v2) \
    X(cuMemcpy2D_v2) X(cuMemcpy2DUnaligned_v2) X(cuMemcpy2DAsync_v2) X(cuMemcpy3D_v2) X(cuMemsetD8_v2) \
    X(cuMemsetD16_v2) X(cuMemsetD32_v2) X(cuMemsetD2D8_v2) X(cuMemsetD2D16_v2) X(cuMemsetD2D32_v2) \
    X(cuMemsetD8Async) X(cuMemsetD16Async) X(cuMemsetD32Async) X(cuStreamCreate) \
    X(cuStreamCreateWithPriority) X(cuStreamDestroy_v2) X(cuStreamSynchronize) X(cuStreamQuery) \
    X(cuStreamWaitEvent) X(cuStreamGetPriority) X(cuStreamGetFlags) X(cuStreamGetCtx) X(cuLaunchHostFunc) \
    X(cuEventCreate) X(cuEventDestroy_v2) X(cuEventRecord) X(cuEventQuery) X(cuEventSynchronize) \
    X(cuEventElapsedTime) X(cuLaunchKernel) X(cuLaunchKernelEx) X(cuStreamBeginCapture_v2) \
    X(cuStreamEndCapture) X(cuStreamIsCapturing) X(cuStreamGetCaptureInfo_v2) \
    X(cuStreamUpdateCaptureDependencies) X(cuThreadExchangeStreamCaptureMode) X(cuGraphCreate) \
    X(cuGraphClone) X(cuGraphDestroy) X(cuGraphGetNodes) X(cuGraphGetRootNodes) X(cuGraphNodeGetType) \
    X(cuGraphGetEdges) X(cuGraphAddKernelNode_v2) X(cuGraphAddMemcpyNode) X(cuGraphAddMemsetNode) \
    X(cuGraphAddEmptyNode) X(cuGraphAddChildGraphNode) X(cuGraphAddEventRecordNode) \
    X(cuGraphAddDependencies) X(cuGraphDestroyNode) X(cuGraphNodeFindInClone) X(cuGraphNodeSetEnabled) \
    X(cuGraphInstantiateWithFlags) X(cuGraphExecGetFlags) X(cuGraphExecKernelNodeSetParams_v2) \
    X(cuGraphExecUpdate_v2) X(cuGraphExecDestroy) X(cuGraphUpload) X(cuGraphLaunch) \
    X(cuStreamAddCallback) X(cuStreamWaitValue32_v2) X(cuStreamWaitValue64_v2) \
    X(cuStreamWriteValue32_v2) X(cuStreamWriteValue64_v2)
/* clang-format on */

#define SLOT(name) __attribute__((used)) static void *slot_##name;
CALLS(SLOT)

/* Each call is a jump to where its slot points: arguments and result pass through untouched. */
#define JUMP(name)                                                                                 \
    __asm__(".pushsection .text\n"                                                                 \
            ".globl " #name "\n.hidden " #name "\n.type " #name ", @function\n" #name ":\n"        \
            "\tjmp *slot_" #name "(%rip)\n"                                                        \
            ".size " #name ", . - " #name "\n"                                                     \
            ".popsection\n");
CALLS(JUMP)

__attribute__((noreturn)) static void missing(const char *name)
{
    fprintf(stderr, "%s does not export %s\n", cuda_library(), name);
    exit(1);
}

#define MISSING(name)                                                                              \
    static void missing_##name(void)                                                               \
    {                                                                                              \
        missing(#name);                                                                            \
    }
CALLS(MISSING)

const char *cuda_library(void)
{
    const char *path = getenv("VGPU_LIBCUDA");

    return path && *path ? path : "libcuda.so.1";
}

void cuda_load(void)
{
    void *library = dlopen(cuda_library(), RTLD_NOW | RTLD_LOCAL);

    if (!library) {
        fprintf(stderr, "no CUDA driver library: %s\n", dlerror());
        exit(getenv("VGPU_LIBCUDA") ? 1 : 77);
    }
#define BIND(name)                                                                                 \
    slot_##name = dlsym(library, #name);                                                           \
    if (!slot_##name)                                                                              \
        slot_##name = (void *)missing_##name;
    CALLS(BIND)
}
