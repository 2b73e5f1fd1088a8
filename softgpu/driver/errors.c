/* SPDX-License-Identifier: Apache-2.0 */
#include "driver.h"

#define ERRORS(X)                                                                                  \
    X(CUDA_SUCCESS, "success")                                                                     \
    X(CUDA_ERROR_INVALID_VALUE, "a parameter has an invalid value")                                \
    X(CUDA_ERROR_OUT_OF_MEMORY, "not enough memory")                                               \
    X(CUDA_ERROR_NOT_INITIALIZED, "the driver is not initialised")                                 \
    X(CUDA_ERROR_DEINITIALIZED, "the driver is shutting down")                                     \
    X(CUDA_ERROR_PROFILER_DISABLED, "the profiler is disabled")                                    \
    X(CUDA_ERROR_PROFILER_NOT_INITIALIZED, "the profiler is not initialised")                      \
    X(CUDA_ERROR_PROFILER_ALREADY_STARTED, "the profiler runs already")                            \
    X(CUDA_ERROR_PROFILER_ALREADY_STOPPED, "the profiler is stopped already")                      \
    X(CUDA_ERROR_STUB_LIBRARY, "a stub library was loaded instead of the driver")                  \
    X(CUDA_ERROR_CALL_REQUIRES_NEWER_DRIVER, "the call needs a newer driver")                      \
    X(CUDA_ERROR_DEVICE_UNAVAILABLE, "the device is busy or unavailable")                          \
    X(CUDA_ERROR_NO_DEVICE, "no CUDA device is present")                                           \
    X(CUDA_ERROR_INVALID_DEVICE, "no such device")                                                 \
    X(CUDA_ERROR_DEVICE_NOT_LICENSED, "the device has no licence")                                 \
    X(CUDA_ERROR_INVALID_IMAGE, "the kernel image is invalid")                                     \
    X(CUDA_ERROR_INVALID_CONTEXT, "no valid context")                                              \
    X(CUDA_ERROR_CONTEXT_ALREADY_CURRENT, "the context is current already")                        \
    X(CUDA_ERROR_MAP_FAILED, "mapping failed")                                                     \
    X(CUDA_ERROR_UNMAP_FAILED, "unmapping failed")                                                 \
    X(CUDA_ERROR_ARRAY_IS_MAPPED, "the array is mapped")                                           \
    X(CUDA_ERROR_ALREADY_MAPPED, "the resource is mapped already")                                 \
    X(CUDA_ERROR_NO_BINARY_FOR_GPU, "the image holds no code for this device")                     \
    X(CUDA_ERROR_ALREADY_ACQUIRED, "the resource is acquired already")                             \
    X(CUDA_ERROR_NOT_MAPPED, "the resource is not mapped")                                         \
    X(CUDA_ERROR_NOT_MAPPED_AS_ARRAY, "the resource is not mapped as an array")                    \
    X(CUDA_ERROR_NOT_MAPPED_AS_POINTER, "the resource is not mapped as a pointer")                 \
    X(CUDA_ERROR_ECC_UNCORRECTABLE, "uncorrectable memory error")                                  \
    X(CUDA_ERROR_UNSUPPORTED_LIMIT, "the limit is not supported")                                  \
    X(CUDA_ERROR_CONTEXT_ALREADY_IN_USE, "the context is in use by another thread")                \
    X(CUDA_ERROR_PEER_ACCESS_UNSUPPORTED, "no peer access between these devices")                  \
    X(CUDA_ERROR_INVALID_PTX, "the PTX does not compile")                                          \
    X(CUDA_ERROR_INVALID_GRAPHICS_CONTEXT, "invalid graphics context")                             \
    X(CUDA_ERROR_NVLINK_UNCORRECTABLE, "uncorrectable NVLink error")                               \
    X(CUDA_ERROR_JIT_COMPILER_NOT_FOUND, "no PTX compiler found")                                  \
    X(CUDA_ERROR_UNSUPPORTED_PTX_VERSION, "the PTX version is not supported")                      \
    X(CUDA_ERROR_JIT_COMPILATION_DISABLED, "PTX compilation is disabled")                          \
    X(CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY, "the execution affinity is not supported")             \
    X(CUDA_ERROR_UNSUPPORTED_DEVSIDE_SYNC, "device-side synchronisation is not supported")         \
    X(CUDA_ERROR_CONTAINED, "a contained error ended the work")                                    \
    X(CUDA_ERROR_INVALID_SOURCE, "invalid source")                                                 \
    X(CUDA_ERROR_FILE_NOT_FOUND, "file not found")                                                 \
    X(CUDA_ERROR_SHARED_OBJECT_SYMBOL_NOT_FOUND, "a shared object's symbol was not found")         \
    X(CUDA_ERROR_SHARED_OBJECT_INIT_FAILED, "a shared object failed to initialise")                \
    X(CUDA_ERROR_OPERATING_SYSTEM, "an operating system call failed")                              \
    X(CUDA_ERROR_INVALID_HANDLE, "invalid handle")                                                 \
    X(CUDA_ERROR_ILLEGAL_STATE, "a required resource is in the wrong state")                       \
    X(CUDA_ERROR_LOSSY_QUERY, "the query would lose meaning")                                      \
    X(CUDA_ERROR_NOT_FOUND, "not found")                                                           \
    X(CUDA_ERROR_NOT_READY, "not finished yet")                                                    \
    X(CUDA_ERROR_ILLEGAL_ADDRESS, "a kernel touched memory that is not its own")                   \
    X(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "the launch asks for more than the device has")          \
    X(CUDA_ERROR_LAUNCH_TIMEOUT, "a kernel ran too long and was ended")                            \
    X(CUDA_ERROR_LAUNCH_INCOMPATIBLE_TEXTURING, "incompatible texturing mode")                     \
    X(CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED, "peer access is enabled already")                    \
    X(CUDA_ERROR_PEER_ACCESS_NOT_ENABLED, "peer access is not enabled")                            \
    X(CUDA_ERROR_PRIMARY_CONTEXT_ACTIVE, "the primary context is active")                          \
    X(CUDA_ERROR_CONTEXT_IS_DESTROYED, "the context is destroyed")                                 \
    X(CUDA_ERROR_ASSERT, "an assertion in a kernel failed")                                        \
    X(CUDA_ERROR_TOO_MANY_PEERS, "too many peers")                                                 \
    X(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED, "the memory is registered already")               \
    X(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED, "the memory is not registered")                       \
    X(CUDA_ERROR_HARDWARE_STACK_ERROR, "call stack error in a kernel")                             \
    X(CUDA_ERROR_ILLEGAL_INSTRUCTION, "illegal instruction in a kernel")                           \
    X(CUDA_ERROR_MISALIGNED_ADDRESS, "misaligned address in a kernel")                             \
    X(CUDA_ERROR_INVALID_ADDRESS_SPACE, "wrong address space in a kernel")                         \
    X(CUDA_ERROR_INVALID_PC, "invalid program counter in a kernel")                                \
    X(CUDA_ERROR_LAUNCH_FAILED, "a kernel failed")                                                 \
    X(CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE, "the cooperative grid cannot be resident at once")  \
    X(CUDA_ERROR_TENSOR_MEMORY_LEAK, "tensor memory was not freed")                                \
    X(CUDA_ERROR_NOT_PERMITTED, "not permitted")                                                   \
    X(CUDA_ERROR_NOT_SUPPORTED, "not supported")                                                   \
    X(CUDA_ERROR_SYSTEM_NOT_READY, "the system is not ready")                                      \
    X(CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, "driver versions do not match")                           \
    X(CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE, "no forward compatibility on this device")        \
    X(CUDA_ERROR_MPS_CONNECTION_FAILED, "no connection to the MPS server")                         \
    X(CUDA_ERROR_MPS_RPC_FAILURE, "a call to the MPS server failed")                               \
    X(CUDA_ERROR_MPS_SERVER_NOT_READY, "the MPS server is not ready")                              \
    X(CUDA_ERROR_MPS_MAX_CLIENTS_REACHED, "too many MPS clients")                                  \
    X(CUDA_ERROR_MPS_MAX_CONNECTIONS_REACHED, "too many MPS connections")                          \
    X(CUDA_ERROR_MPS_CLIENT_TERMINATED, "the MPS server ended this client")                        \
    X(CUDA_ERROR_CDP_NOT_SUPPORTED, "dynamic parallelism is not supported")                        \
    X(CUDA_ERROR_CDP_VERSION_MISMATCH, "dynamic parallelism versions do not match")                \
    X(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "not possible while a stream captures")               \
    X(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "the capture was invalidated")                        \
    X(CUDA_ERROR_STREAM_CAPTURE_MERGE, "the call would merge two captures")                        \
    X(CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, "the capture began in another stream")                  \
    X(CUDA_ERROR_STREAM_CAPTURE_UNJOINED, "captured work was not joined")                          \
    X(CUDA_ERROR_STREAM_CAPTURE_ISOLATION, "the call would cross a capture's boundary")            \
    X(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, "implicit dependency on the legacy stream in a capture") \
    X(CUDA_ERROR_CAPTURED_EVENT, "the event was recorded in a capture")                            \
    X(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, "the capture began in another thread")               \
    X(CUDA_ERROR_TIMEOUT, "timed out")                                                             \
    X(CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE, "the graph cannot be updated so")                      \
    X(CUDA_ERROR_EXTERNAL_DEVICE, "an external device failed")                                     \
    X(CUDA_ERROR_INVALID_CLUSTER_SIZE, "invalid cluster size")                                     \
    X(CUDA_ERROR_FUNCTION_NOT_LOADED, "the function is not loaded")                                \
    X(CUDA_ERROR_INVALID_RESOURCE_TYPE, "invalid resource type")                                   \
    X(CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION, "invalid resource configuration")                 \
    X(CUDA_ERROR_KEY_ROTATION, "a key rotation is in progress")                                    \
    X(CUDA_ERROR_UNKNOWN, "unknown error")

CUresult cuGetErrorName(CUresult error, const char **name)
{
    if (!name)
        return CUDA_ERROR_INVALID_VALUE;
    switch (error) {
#define X(id, text)                                                                                \
    case id:                                                                                       \
        *name = #id;                                                                               \
        return CUDA_SUCCESS;
        ERRORS(X)
#undef X
    }
    *name = NULL;
    return CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGetErrorString(CUresult error, const char **text)
{
    if (!text)
        return CUDA_ERROR_INVALID_VALUE;
    switch (error) {
#define X(id, words)                                                                               \
    case id:                                                                                       \
        *text = words;                                                                             \
        return CUDA_SUCCESS;
        ERRORS(X)
#undef X
    }
    *text = NULL;
    return CUDA_ERROR_INVALID_VALUE;
}
