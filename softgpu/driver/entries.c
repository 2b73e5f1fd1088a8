/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entries.c - which symbol cuGetProcAddress yields for a name and a version
 *
 * X(name, version, symbol): symbol is what name means to a program that asks for version or a later
 * one, until a higher row of the same name takes over. Y has also the symbol for programs whose
 * null stream is the thread's own, and the version that one came with. Versions are 1000 * major +
 * 10 * minor. The symbols appear here without their types, so the header that declares them is not
 * used.
 */
#include "entries.h"

#include <stddef.h>

#define ENTRIES(X, Y)                                                                              \
    X(cuCtxCreate, 3020, cuCtxCreate_v2)                                                           \
    X(cuCtxCreate, 11040, cuCtxCreate_v3)                                                          \
    X(cuCtxCreate, 12050, cuCtxCreate_v4)                                                          \
    X(cuCtxDestroy, 2000, cuCtxDestroy)                                                            \
    X(cuCtxDestroy, 4000, cuCtxDestroy_v2)                                                         \
    X(cuCtxDisablePeerAccess, 4000, cuCtxDisablePeerAccess)                                        \
    X(cuCtxEnablePeerAccess, 4000, cuCtxEnablePeerAccess)                                          \
    X(cuCtxGetApiVersion, 3020, cuCtxGetApiVersion)                                                \
    X(cuCtxGetCacheConfig, 3020, cuCtxGetCacheConfig)                                              \
    X(cuCtxGetCurrent, 4000, cuCtxGetCurrent)                                                      \
    X(cuCtxGetDevice, 2000, cuCtxGetDevice)                                                        \
    X(cuCtxGetDevice, 13000, cuCtxGetDevice_v2)                                                    \
    X(cuCtxGetExecAffinity, 11040, cuCtxGetExecAffinity)                                           \
    X(cuCtxGetFlags, 7000, cuCtxGetFlags)                                                          \
    X(cuCtxGetId, 12000, cuCtxGetId)                                                               \
    X(cuCtxGetLimit, 3010, cuCtxGetLimit)                                                          \
    X(cuCtxGetSharedMemConfig, 4020, cuCtxGetSharedMemConfig)                                      \
    X(cuCtxGetStreamPriorityRange, 5050, cuCtxGetStreamPriorityRange)                              \
    X(cuCtxPopCurrent, 2000, cuCtxPopCurrent)                                                      \
    X(cuCtxPopCurrent, 4000, cuCtxPopCurrent_v2)                                                   \
    X(cuCtxPushCurrent, 2000, cuCtxPushCurrent)                                                    \
    X(cuCtxPushCurrent, 4000, cuCtxPushCurrent_v2)                                                 \
    X(cuCtxResetPersistingL2Cache, 11000, cuCtxResetPersistingL2Cache)                             \
    X(cuCtxSetCacheConfig, 3020, cuCtxSetCacheConfig)                                              \
    X(cuCtxSetCurrent, 4000, cuCtxSetCurrent)                                                      \
    X(cuCtxSetFlags, 12010, cuCtxSetFlags)                                                         \
    X(cuCtxSetLimit, 3010, cuCtxSetLimit)                                                          \
    X(cuCtxSetSharedMemConfig, 4020, cuCtxSetSharedMemConfig)                                      \
    X(cuCtxSynchronize, 2000, cuCtxSynchronize)                                                    \
    X(cuCtxSynchronize, 13000, cuCtxSynchronize_v2)                                                \
    X(cuDeviceCanAccessPeer, 4000, cuDeviceCanAccessPeer)                                          \
    X(cuDeviceComputeCapability, 2000, cuDeviceComputeCapability)                                  \
    X(cuDeviceGet, 2000, cuDeviceGet)                                                              \
    X(cuDeviceGetAttribute, 2000, cuDeviceGetAttribute)                                            \
    X(cuDeviceGetByPCIBusId, 4010, cuDeviceGetByPCIBusId)                                          \
    X(cuDeviceGetCount, 2000, cuDeviceGetCount)                                                    \
    X(cuDeviceGetDefaultMemPool, 11020, cuDeviceGetDefaultMemPool)                                 \
    X(cuDeviceGetExecAffinitySupport, 11040, cuDeviceGetExecAffinitySupport)                       \
    X(cuDeviceGetLuid, 10000, cuDeviceGetLuid)                                                     \
    X(cuDeviceGetMemPool, 11020, cuDeviceGetMemPool)                                               \
    X(cuDeviceGetName, 2000, cuDeviceGetName)                                                      \
    X(cuDeviceGetP2PAttribute, 8000, cuDeviceGetP2PAttribute)                                      \
    X(cuDeviceGetPCIBusId, 4010, cuDeviceGetPCIBusId)                                              \
    X(cuDeviceGetProperties, 2000, cuDeviceGetProperties)                                          \
    X(cuDeviceGetTexture1DLinearMaxWidth, 11010, cuDeviceGetTexture1DLinearMaxWidth)               \
    X(cuDeviceGetUuid, 9020, cuDeviceGetUuid)                                                      \
    X(cuDeviceGetUuid, 11040, cuDeviceGetUuid_v2)                                                  \
    X(cuDevicePrimaryCtxGetState, 7000, cuDevicePrimaryCtxGetState)                                \
    X(cuDevicePrimaryCtxRelease, 7000, cuDevicePrimaryCtxRelease)                                  \
    X(cuDevicePrimaryCtxRelease, 11000, cuDevicePrimaryCtxRelease_v2)                              \
    X(cuDevicePrimaryCtxReset, 7000, cuDevicePrimaryCtxReset)                                      \
    X(cuDevicePrimaryCtxReset, 11000, cuDevicePrimaryCtxReset_v2)                                  \
    X(cuDevicePrimaryCtxRetain, 7000, cuDevicePrimaryCtxRetain)                                    \
    X(cuDevicePrimaryCtxSetFlags, 7000, cuDevicePrimaryCtxSetFlags)                                \
    X(cuDevicePrimaryCtxSetFlags, 11000, cuDevicePrimaryCtxSetFlags_v2)                            \
    X(cuDeviceSetMemPool, 11020, cuDeviceSetMemPool)                                               \
    X(cuDeviceTotalMem, 3020, cuDeviceTotalMem_v2)                                                 \
    X(cuDriverGetVersion, 2020, cuDriverGetVersion)                                                \
    X(cuEventCreate, 2000, cuEventCreate)                                                          \
    X(cuEventDestroy, 2000, cuEventDestroy)                                                        \
    X(cuEventDestroy, 4000, cuEventDestroy_v2)                                                     \
    X(cuEventElapsedTime, 2000, cuEventElapsedTime)                                                \
    X(cuEventElapsedTime, 12080, cuEventElapsedTime_v2)                                            \
    X(cuEventQuery, 2000, cuEventQuery)                                                            \
    Y(cuEventRecord, 2000, cuEventRecord, cuEventRecord_ptsz, 7000)                                \
    Y(cuEventRecordWithFlags, 11010, cuEventRecordWithFlags, cuEventRecordWithFlags_ptsz, 11010)   \
    X(cuEventSynchronize, 2000, cuEventSynchronize)                                                \
    X(cuFuncGetAttribute, 2020, cuFuncGetAttribute)                                                \
    X(cuFuncGetModule, 11000, cuFuncGetModule)                                                     \
    X(cuFuncGetName, 12030, cuFuncGetName)                                                         \
    X(cuFuncGetParamInfo, 12040, cuFuncGetParamInfo)                                               \
    X(cuFuncIsLoaded, 12040, cuFuncIsLoaded)                                                       \
    X(cuFuncLoad, 12040, cuFuncLoad)                                                               \
    X(cuFuncSetAttribute, 9000, cuFuncSetAttribute)                                                \
    X(cuFuncSetCacheConfig, 3000, cuFuncSetCacheConfig)                                            \
    X(cuFuncSetSharedMemConfig, 4020, cuFuncSetSharedMemConfig)                                    \
    X(cuGetErrorName, 6000, cuGetErrorName)                                                        \
    X(cuGetErrorString, 6000, cuGetErrorString)                                                    \
    X(cuGetExportTable, 3000, cuGetExportTable)                                                    \
    X(cuGetProcAddress, 11030, cuGetProcAddress)                                                   \
    X(cuGetProcAddress, 12000, cuGetProcAddress_v2)                                                \
    X(cuInit, 2000, cuInit)                                                                        \
    X(cuKernelGetAttribute, 12000, cuKernelGetAttribute)                                           \
    X(cuKernelGetFunction, 12000, cuKernelGetFunction)                                             \
    X(cuKernelGetLibrary, 12050, cuKernelGetLibrary)                                               \
    X(cuKernelGetName, 12030, cuKernelGetName)                                                     \
    X(cuKernelGetParamInfo, 12040, cuKernelGetParamInfo)                                           \
    X(cuKernelSetAttribute, 12000, cuKernelSetAttribute)                                           \
    X(cuKernelSetCacheConfig, 12000, cuKernelSetCacheConfig)                                       \
    Y(cuLaunchCooperativeKernel, 9000, cuLaunchCooperativeKernel, cuLaunchCooperativeKernel_ptsz,  \
      9000)                                                                                        \
    Y(cuLaunchHostFunc, 10000, cuLaunchHostFunc, cuLaunchHostFunc_ptsz, 10000)                     \
    Y(cuLaunchKernel, 4000, cuLaunchKernel, cuLaunchKernel_ptsz, 7000)                             \
    Y(cuLaunchKernelEx, 11060, cuLaunchKernelEx, cuLaunchKernelEx_ptsz, 11060)                     \
    X(cuLibraryEnumerateKernels, 12040, cuLibraryEnumerateKernels)                                 \
    X(cuLibraryGetGlobal, 12000, cuLibraryGetGlobal)                                               \
    X(cuLibraryGetKernel, 12000, cuLibraryGetKernel)                                               \
    X(cuLibraryGetKernelCount, 12040, cuLibraryGetKernelCount)                                     \
    X(cuLibraryGetManaged, 12000, cuLibraryGetManaged)                                             \
    X(cuLibraryGetModule, 12000, cuLibraryGetModule)                                               \
    X(cuLibraryGetUnifiedFunction, 12000, cuLibraryGetUnifiedFunction)                             \
    X(cuLibraryLoadData, 12000, cuLibraryLoadData)                                                 \
    X(cuLibraryLoadFromFile, 12000, cuLibraryLoadFromFile)                                         \
    X(cuLibraryUnload, 12000, cuLibraryUnload)                                                     \
    X(cuMemAddressFree, 10020, cuMemAddressFree)                                                   \
    X(cuMemAddressReserve, 10020, cuMemAddressReserve)                                             \
    X(cuMemAlloc, 3020, cuMemAlloc_v2)                                                             \
    Y(cuMemAllocAsync, 11020, cuMemAllocAsync, cuMemAllocAsync_ptsz, 11020)                        \
    Y(cuMemAllocFromPoolAsync, 11020, cuMemAllocFromPoolAsync, cuMemAllocFromPoolAsync_ptsz,       \
      11020)                                                                                       \
    X(cuMemAllocHost, 3020, cuMemAllocHost_v2)                                                     \
    X(cuMemAllocManaged, 6000, cuMemAllocManaged)                                                  \
    X(cuMemAllocPitch, 3020, cuMemAllocPitch_v2)                                                   \
    X(cuMemCreate, 10020, cuMemCreate)                                                             \
    X(cuMemFree, 3020, cuMemFree_v2)                                                               \
    Y(cuMemFreeAsync, 11020, cuMemFreeAsync, cuMemFreeAsync_ptsz, 11020)                           \
    X(cuMemFreeHost, 2000, cuMemFreeHost)                                                          \
    X(cuMemGetAccess, 10020, cuMemGetAccess)                                                       \
    X(cuMemGetAddressRange, 3020, cuMemGetAddressRange_v2)                                         \
    X(cuMemGetAllocationGranularity, 10020, cuMemGetAllocationGranularity)                         \
    X(cuMemGetAllocationPropertiesFromHandle, 10020, cuMemGetAllocationPropertiesFromHandle)       \
    X(cuMemGetInfo, 3020, cuMemGetInfo_v2)                                                         \
    X(cuMemHostAlloc, 2020, cuMemHostAlloc)                                                        \
    X(cuMemHostGetDevicePointer, 3020, cuMemHostGetDevicePointer_v2)                               \
    X(cuMemHostGetFlags, 2030, cuMemHostGetFlags)                                                  \
    X(cuMemHostRegister, 4000, cuMemHostRegister)                                                  \
    X(cuMemHostRegister, 6050, cuMemHostRegister_v2)                                               \
    X(cuMemHostUnregister, 4000, cuMemHostUnregister)                                              \
    X(cuMemMap, 10020, cuMemMap)                                                                   \
    X(cuMemPoolCreate, 11020, cuMemPoolCreate)                                                     \
    X(cuMemPoolDestroy, 11020, cuMemPoolDestroy)                                                   \
    X(cuMemPoolGetAttribute, 11020, cuMemPoolGetAttribute)                                         \
    X(cuMemPoolSetAttribute, 11020, cuMemPoolSetAttribute)                                         \
    X(cuMemPoolTrimTo, 11020, cuMemPoolTrimTo)                                                     \
    X(cuMemRelease, 10020, cuMemRelease)                                                           \
    X(cuMemRetainAllocationHandle, 11000, cuMemRetainAllocationHandle)                             \
    X(cuMemSetAccess, 10020, cuMemSetAccess)                                                       \
    X(cuMemUnmap, 10020, cuMemUnmap)                                                               \
    Y(cuMemcpy, 4000, cuMemcpy, cuMemcpy_ptds, 7000)                                               \
    Y(cuMemcpy2D, 3020, cuMemcpy2D_v2, cuMemcpy2D_v2_ptds, 7000)                                   \
    Y(cuMemcpy2DAsync, 3020, cuMemcpy2DAsync_v2, cuMemcpy2DAsync_v2_ptsz, 7000)                    \
    Y(cuMemcpy2DUnaligned, 3020, cuMemcpy2DUnaligned_v2, cuMemcpy2DUnaligned_v2_ptds, 7000)        \
    Y(cuMemcpy3D, 3020, cuMemcpy3D_v2, cuMemcpy3D_v2_ptds, 7000)                                   \
    Y(cuMemcpy3DAsync, 3020, cuMemcpy3DAsync_v2, cuMemcpy3DAsync_v2_ptsz, 7000)                    \
    Y(cuMemcpyAsync, 4000, cuMemcpyAsync, cuMemcpyAsync_ptsz, 7000)                                \
    Y(cuMemcpyDtoD, 3020, cuMemcpyDtoD_v2, cuMemcpyDtoD_v2_ptds, 7000)                             \
    Y(cuMemcpyDtoDAsync, 3020, cuMemcpyDtoDAsync_v2, cuMemcpyDtoDAsync_v2_ptsz, 7000)              \
    Y(cuMemcpyDtoH, 3020, cuMemcpyDtoH_v2, cuMemcpyDtoH_v2_ptds, 7000)                             \
    Y(cuMemcpyDtoHAsync, 3020, cuMemcpyDtoHAsync_v2, cuMemcpyDtoHAsync_v2_ptsz, 7000)              \
    Y(cuMemcpyHtoD, 3020, cuMemcpyHtoD_v2, cuMemcpyHtoD_v2_ptds, 7000)                             \
    Y(cuMemcpyHtoDAsync, 3020, cuMemcpyHtoDAsync_v2, cuMemcpyHtoDAsync_v2_ptsz, 7000)              \
    Y(cuMemcpyPeer, 4000, cuMemcpyPeer, cuMemcpyPeer_ptds, 7000)                                   \
    Y(cuMemcpyPeerAsync, 4000, cuMemcpyPeerAsync, cuMemcpyPeerAsync_ptsz, 7000)                    \
    Y(cuMemsetD16, 3020, cuMemsetD16_v2, cuMemsetD16_v2_ptds, 7000)                                \
    Y(cuMemsetD16Async, 3020, cuMemsetD16Async, cuMemsetD16Async_ptsz, 7000)                       \
    Y(cuMemsetD2D16, 3020, cuMemsetD2D16_v2, cuMemsetD2D16_v2_ptds, 7000)                          \
    Y(cuMemsetD2D16Async, 3020, cuMemsetD2D16Async, cuMemsetD2D16Async_ptsz, 7000)                 \
    Y(cuMemsetD2D32, 3020, cuMemsetD2D32_v2, cuMemsetD2D32_v2_ptds, 7000)                          \
    Y(cuMemsetD2D32Async, 3020, cuMemsetD2D32Async, cuMemsetD2D32Async_ptsz, 7000)                 \
    Y(cuMemsetD2D8, 3020, cuMemsetD2D8_v2, cuMemsetD2D8_v2_ptds, 7000)                             \
    Y(cuMemsetD2D8Async, 3020, cuMemsetD2D8Async, cuMemsetD2D8Async_ptsz, 7000)                    \
    Y(cuMemsetD32, 3020, cuMemsetD32_v2, cuMemsetD32_v2_ptds, 7000)                                \
    Y(cuMemsetD32Async, 3020, cuMemsetD32Async, cuMemsetD32Async_ptsz, 7000)                       \
    Y(cuMemsetD8, 3020, cuMemsetD8_v2, cuMemsetD8_v2_ptds, 7000)                                   \
    Y(cuMemsetD8Async, 3020, cuMemsetD8Async, cuMemsetD8Async_ptsz, 7000)                          \
    X(cuModuleEnumerateFunctions, 12040, cuModuleEnumerateFunctions)                               \
    X(cuModuleGetFunction, 2000, cuModuleGetFunction)                                              \
    X(cuModuleGetFunctionCount, 12040, cuModuleGetFunctionCount)                                   \
    X(cuModuleGetGlobal, 3020, cuModuleGetGlobal_v2)                                               \
    X(cuModuleGetLoadingMode, 11070, cuModuleGetLoadingMode)                                       \
    X(cuModuleLoad, 2000, cuModuleLoad)                                                            \
    X(cuModuleLoadData, 2000, cuModuleLoadData)                                                    \
    X(cuModuleLoadDataEx, 2010, cuModuleLoadDataEx)                                                \
    X(cuModuleLoadFatBinary, 2000, cuModuleLoadFatBinary)                                          \
    X(cuModuleUnload, 2000, cuModuleUnload)                                                        \
    X(cuOccupancyAvailableDynamicSMemPerBlock, 10020, cuOccupancyAvailableDynamicSMemPerBlock)     \
    X(cuOccupancyMaxActiveBlocksPerMultiprocessor, 6050,                                           \
      cuOccupancyMaxActiveBlocksPerMultiprocessor)                                                 \
    X(cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags, 7000,                                  \
      cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags)                                        \
    X(cuOccupancyMaxActiveClusters, 11070, cuOccupancyMaxActiveClusters)                           \
    X(cuOccupancyMaxPotentialBlockSize, 6050, cuOccupancyMaxPotentialBlockSize)                    \
    X(cuOccupancyMaxPotentialBlockSizeWithFlags, 7000, cuOccupancyMaxPotentialBlockSizeWithFlags)  \
    X(cuOccupancyMaxPotentialClusterSize, 11070, cuOccupancyMaxPotentialClusterSize)               \
    X(cuPointerGetAttribute, 4000, cuPointerGetAttribute)                                          \
    X(cuPointerGetAttributes, 7000, cuPointerGetAttributes)                                        \
    X(cuPointerSetAttribute, 6000, cuPointerSetAttribute)                                          \
    X(cuProfilerStart, 4000, cuProfilerStart)                                                      \
    X(cuProfilerStop, 4000, cuProfilerStop)                                                        \
    Y(cuStreamAddCallback, 5000, cuStreamAddCallback, cuStreamAddCallback_ptsz, 7000)              \
    Y(cuStreamAttachMemAsync, 6000, cuStreamAttachMemAsync, cuStreamAttachMemAsync_ptsz, 7000)     \
    Y(cuStreamBeginCapture, 10000, cuStreamBeginCapture, cuStreamBeginCapture_ptsz, 10000)         \
    Y(cuStreamBeginCapture, 10010, cuStreamBeginCapture_v2, cuStreamBeginCapture_v2_ptsz, 10010)   \
    Y(cuStreamCopyAttributes, 11000, cuStreamCopyAttributes, cuStreamCopyAttributes_ptsz, 11000)   \
    X(cuStreamCreate, 2000, cuStreamCreate)                                                        \
    X(cuStreamCreateWithPriority, 5050, cuStreamCreateWithPriority)                                \
    X(cuStreamDestroy, 2000, cuStreamDestroy)                                                      \
    X(cuStreamDestroy, 4000, cuStreamDestroy_v2)                                                   \
    Y(cuStreamEndCapture, 10000, cuStreamEndCapture, cuStreamEndCapture_ptsz, 10000)               \
    Y(cuStreamGetAttribute, 11000, cuStreamGetAttribute, cuStreamGetAttribute_ptsz, 11000)         \
    Y(cuStreamGetCaptureInfo, 10010, cuStreamGetCaptureInfo, cuStreamGetCaptureInfo_ptsz, 10010)   \
    Y(cuStreamGetCaptureInfo, 11030, cuStreamGetCaptureInfo_v2, cuStreamGetCaptureInfo_v2_ptsz,    \
      11030)                                                                                       \
    Y(cuStreamGetCaptureInfo, 12030, cuStreamGetCaptureInfo_v3, cuStreamGetCaptureInfo_v3_ptsz,    \
      12030)                                                                                       \
    Y(cuStreamGetCtx, 9020, cuStreamGetCtx, cuStreamGetCtx_ptsz, 9020)                             \
    Y(cuStreamGetDevice, 12080, cuStreamGetDevice, cuStreamGetDevice_ptsz, 12080)                  \
    Y(cuStreamGetFlags, 5050, cuStreamGetFlags, cuStreamGetFlags_ptsz, 7000)                       \
    Y(cuStreamGetId, 12000, cuStreamGetId, cuStreamGetId_ptsz, 12000)                              \
    Y(cuStreamGetPriority, 5050, cuStreamGetPriority, cuStreamGetPriority_ptsz, 7000)              \
    Y(cuStreamIsCapturing, 10000, cuStreamIsCapturing, cuStreamIsCapturing_ptsz, 10000)            \
    Y(cuStreamQuery, 2000, cuStreamQuery, cuStreamQuery_ptsz, 7000)                                \
    Y(cuStreamSetAttribute, 11000, cuStreamSetAttribute, cuStreamSetAttribute_ptsz, 11000)         \
    Y(cuStreamSynchronize, 2000, cuStreamSynchronize, cuStreamSynchronize_ptsz, 7000)              \
    Y(cuStreamWaitEvent, 3020, cuStreamWaitEvent, cuStreamWaitEvent_ptsz, 7000)                    \
    Y(cuStreamWaitValue32, 8000, cuStreamWaitValue32, cuStreamWaitValue32_ptsz, 8000)              \
    Y(cuStreamWaitValue32, 11070, cuStreamWaitValue32_v2, cuStreamWaitValue32_v2_ptsz, 11070)      \
    Y(cuStreamWaitValue64, 9000, cuStreamWaitValue64, cuStreamWaitValue64_ptsz, 9000)              \
    Y(cuStreamWaitValue64, 11070, cuStreamWaitValue64_v2, cuStreamWaitValue64_v2_ptsz, 11070)      \
    Y(cuStreamWriteValue32, 8000, cuStreamWriteValue32, cuStreamWriteValue32_ptsz, 8000)           \
    Y(cuStreamWriteValue32, 11070, cuStreamWriteValue32_v2, cuStreamWriteValue32_v2_ptsz, 11070)   \
    Y(cuStreamWriteValue64, 9000, cuStreamWriteValue64, cuStreamWriteValue64_ptsz, 9000)           \
    Y(cuStreamWriteValue64, 11070, cuStreamWriteValue64_v2, cuStreamWriteValue64_v2_ptsz, 11070)   \
    X(cuThreadExchangeStreamCaptureMode, 10010, cuThreadExchangeStreamCaptureMode)

#define DECLARE(symbol) __attribute__((visibility("default"))) extern void symbol(void);
#define DECLARE_X(name, version, symbol) DECLARE(symbol)
#define DECLARE_Y(name, version, symbol, own, own_version) DECLARE(symbol) DECLARE(own)
ENTRIES(DECLARE_X, DECLARE_Y)

#define ROW_X(name, version, symbol) {#name, version, symbol, NULL, 0},
#define ROW_Y(name, version, symbol, own, own_version) {#name, version, symbol, own, own_version},
const struct soft_entry soft_entries[] = {ENTRIES(ROW_X, ROW_Y)};
const size_t soft_entry_count = sizeof(soft_entries) / sizeof(soft_entries[0]);
