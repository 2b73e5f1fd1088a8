/* SPDX-License-Identifier: Apache-2.0 */
/* module.c - images, modules, libraries, functions */
#include "worker.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define BLOB_BYTES_MAX (2ull << 30) /* all blobs of a process together */
#define LOG_BYTES_MAX (1u << 20)
#define PARAM_BYTES_MAX 32768u
#define PARAM_COUNT_MAX 4096u

CUresult worker_do_BlobCreate(struct vgpu_worker *worker, const struct worker_args_BlobCreate *args,
                              struct vgpu_answer *answer)
{
    uint64_t page = 4096;

    if (!args->size || args->size > BLOB_BYTES_MAX)
        return CUDA_ERROR_OUT_OF_MEMORY;
    /* A zero byte ends the text; an inaccessible page stops a parser that believes a header. */
    uint64_t mapped = ((args->size + 1 + page - 1) & ~(page - 1)) + page;
    if (worker->blob_bytes + mapped > BLOB_BYTES_MAX)
        return CUDA_ERROR_OUT_OF_MEMORY;
    struct vgpu_blob *blob = calloc(1, sizeof(*blob));
    if (!blob)
        return CUDA_ERROR_OUT_OF_MEMORY;
    blob->data = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (blob->data == MAP_FAILED) {
        free(blob);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    if (mprotect(blob->data + mapped - page, page, PROT_NONE) != 0) {
        munmap(blob->data, mapped);
        free(blob);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    blob->size = args->size;
    blob->mapped = mapped;
    worker->blob_bytes += mapped;
    worker_insert(worker, VGPU_TYPE_BLOB, args->blob, blob);
    return CUDA_SUCCESS;
}

CUresult worker_do_BlobWrite(struct vgpu_worker *worker, const struct worker_args_BlobWrite *args,
                             struct vgpu_answer *answer)
{
    const struct vgpu_blob *blob = args->blob;

    if (args->offset > blob->size || args->size > blob->size - args->offset) {
        answer->violation = 1;
        answer->reason = "image upload outside its blob";
        return CUDA_ERROR_INVALID_VALUE;
    }
    if (args->size) /* an empty piece may name any address */
        memcpy(blob->data + args->offset, (const void *)(uintptr_t)args->data, args->size);
    if (args->release)
        vgpu_host_release(&worker->host, args->release - 1);
    return CUDA_SUCCESS;
}

CUresult worker_do_BlobFree(struct vgpu_worker *worker, const struct worker_args_BlobFree *args,
                            struct vgpu_answer *answer)
{
    worker_remove(worker, VGPU_TYPE_BLOB, args->blob_handle);
    return CUDA_SUCCESS;
}

/* Options that are plain numbers to the driver. Pointers never come from the guest. */
static bool jit_option_allowed(uint32_t option)
{
    switch (option) {
    case CU_JIT_MAX_REGISTERS:
    case CU_JIT_THREADS_PER_BLOCK:
    case CU_JIT_OPTIMIZATION_LEVEL:
    case CU_JIT_TARGET_FROM_CUCONTEXT:
    case CU_JIT_TARGET:
    case CU_JIT_FALLBACK_STRATEGY:
    case CU_JIT_GENERATE_DEBUG_INFO:
    case CU_JIT_LOG_VERBOSE:
    case CU_JIT_GENERATE_LINE_INFO:
    case CU_JIT_CACHE_MODE:
    case CU_JIT_FAST_COMPILE:
    case CU_JIT_LTO:
    case CU_JIT_FTZ:
    case CU_JIT_PREC_DIV:
    case CU_JIT_PREC_SQRT:
    case CU_JIT_FMA:
    case CU_JIT_OPTIMIZE_UNUSED_DEVICE_VARIABLES:
    case CU_JIT_POSITION_INDEPENDENT_CODE:
    case CU_JIT_MIN_CTA_PER_SM:
    case CU_JIT_MAX_THREADS_PER_BLOCK:
    case CU_JIT_OVERRIDE_DIRECTIVE_VALUES:
    case CU_JIT_SPLIT_COMPILE:
        return true;
    default:
        return false;
    }
}

#define OPTIONS_MAX (1024 / sizeof(struct vgpu_jit_option))

/* Options and log buffers of one load; the logs are private until the driver is done with them. */
struct load {
    CUjit_option jit[OPTIONS_MAX + 4];
    void *jit_values[OPTIONS_MAX + 4];
    unsigned jit_count;
    CUlibraryOption library[OPTIONS_MAX];
    void *library_values[OPTIONS_MAX];
    unsigned library_count;
    char *info, *error;
};

static void add_log(struct load *load, CUjit_option buffer, CUjit_option size_option, char **text,
                    uint32_t bytes)
{
    if (!bytes)
        return;
    *text = calloc(1, bytes);
    if (!*text)
        return;
    load->jit[load->jit_count] = buffer;
    load->jit_values[load->jit_count++] = *text;
    load->jit[load->jit_count] = size_option;
    load->jit_values[load->jit_count++] = (void *)(uintptr_t)bytes;
}

#define WRAPPER_MAGIC 0x466243b1u

static CUresult load_begin(struct load *load, const struct vgpu_blob *blob, const uint8_t *options,
                           uint32_t bytes, uint32_t jit_count, uint32_t info_size,
                           uint32_t error_size)
{
    struct vgpu_jit_option option;
    uint32_t count = bytes / sizeof(option), magic = 0;

    memset(load, 0, sizeof(*load));
    /* What a compiler wraps round an image holds a pointer, which the driver would follow. */
    memcpy(&magic, blob->data, blob->size < sizeof(magic) ? blob->size : sizeof(magic));
    if (magic == WRAPPER_MAGIC)
        return CUDA_ERROR_INVALID_IMAGE;
    if (bytes % sizeof(option) || jit_count > count || info_size > LOG_BYTES_MAX ||
        error_size > LOG_BYTES_MAX)
        return CUDA_ERROR_INVALID_VALUE;
    for (uint32_t i = 0; i < count; i++) {
        memcpy(&option, options + i * sizeof(option), sizeof(option)); /* not aligned */
        if (i < jit_count) {
            if (!jit_option_allowed(option.option))
                return CUDA_ERROR_NOT_SUPPORTED;
            load->jit[load->jit_count] = (CUjit_option)option.option;
            load->jit_values[load->jit_count++] = (void *)(uintptr_t)option.value;
        } else {
            /* BINARY_IS_PRESERVED would have the driver keep our blob: it may not. */
            if (option.option != CU_LIBRARY_HOST_UNIVERSAL_FUNCTION_AND_DATA_TABLE &&
                option.option != CU_LIBRARY_BINARY_IS_PRESERVED)
                return CUDA_ERROR_NOT_SUPPORTED;
        }
    }
    add_log(load, CU_JIT_INFO_LOG_BUFFER, CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES, &load->info,
            info_size);
    add_log(load, CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES, &load->error,
            error_size);
    return CUDA_SUCCESS;
}

static uint32_t give_log(char *text, uint64_t to, uint32_t size)
{
    if (!text)
        return 0;
    uint32_t used = (uint32_t)strnlen(text, size - 1);
    text[used] = 0;
    memcpy((void *)(uintptr_t)to, text, used + 1);
    free(text);
    return used;
}

CUresult worker_do_ModuleLoad(struct vgpu_worker *worker, const struct worker_args_ModuleLoad *args,
                              struct vgpu_rsp_ModuleLoad *out, struct vgpu_answer *answer)
{
    struct load load;
    CUmodule module = NULL;
    CUresult result = load_begin(&load, args->blob, args->options, args->options_bytes,
                                 args->options_bytes / sizeof(struct vgpu_jit_option),
                                 args->info_size, args->error_size);

    worker_output_scan(worker, args->blob);
    if (result == CUDA_SUCCESS)
        result = args->fat_binary
                     ? worker->driver->cuModuleLoadFatBinary(&module, args->blob->data)
                     : worker->driver->cuModuleLoadDataEx(&module, args->blob->data, load.jit_count,
                                                          load.jit, load.jit_values);
    out->info_used = give_log(load.info, args->info_log, args->info_size);
    out->error_used = give_log(load.error, args->error_log, args->error_size);
    if (result == CUDA_SUCCESS)
        worker_insert(worker, VGPU_TYPE_MODULE, args->module, module);
    return result;
}

CUresult worker_do_LibraryLoad(struct vgpu_worker *worker,
                               const struct worker_args_LibraryLoad *args,
                               struct vgpu_rsp_LibraryLoad *out, struct vgpu_answer *answer)
{
    struct load load;
    CUlibrary library = NULL;
    CUresult result = load_begin(&load, args->blob, args->options, args->options_bytes,
                                 args->jit_count, args->info_size, args->error_size);

    worker_output_scan(worker, args->blob);
    if (result == CUDA_SUCCESS)
        result = worker->driver->cuLibraryLoadData(&library, args->blob->data, load.jit,
                                                   load.jit_values, load.jit_count, load.library,
                                                   load.library_values, load.library_count);
    out->info_used = give_log(load.info, args->info_log, args->info_size);
    out->error_used = give_log(load.error, args->error_log, args->error_size);
    if (result == CUDA_SUCCESS)
        worker_insert(worker, VGPU_TYPE_LIBRARY, args->library, library);
    return result;
}

CUresult worker_do_LibraryGetModule(struct vgpu_worker *worker,
                                    const struct worker_args_LibraryGetModule *args,
                                    struct vgpu_answer *answer)
{
    CUmodule module = NULL;
    CUresult result = worker->driver->cuLibraryGetModule(&module, args->library);

    if (result != CUDA_SUCCESS)
        return result;
    worker_insert(worker, VGPU_TYPE_MODULE, args->module, module);
    worker_object(worker, VGPU_TYPE_MODULE, args->module)->parent = args->library_handle;
    return CUDA_SUCCESS;
}

/* A name from a record's tail, as a string of its own. */
static const char *name_of(const uint8_t *name, uint32_t bytes, char *buffer, size_t room)
{
    if (!bytes || bytes >= room || memchr(name, 0, bytes))
        return NULL;
    memcpy(buffer, name, bytes);
    buffer[bytes] = 0;
    return buffer;
}

#define NAME_ROOM 4097

CUresult worker_do_ModuleGetFunction(struct vgpu_worker *worker,
                                     const struct worker_args_ModuleGetFunction *args,
                                     struct vgpu_answer *answer)
{
    char buffer[NAME_ROOM];
    const char *name = name_of(args->name, args->name_bytes, buffer, sizeof(buffer));
    CUfunction found = NULL;

    if (!name)
        return CUDA_ERROR_NOT_FOUND;
    CUresult result = worker->driver->cuModuleGetFunction(&found, args->module, name);
    if (result != CUDA_SUCCESS)
        return result;
    struct worker_function *function = calloc(1, sizeof(*function));
    if (!function)
        return CUDA_ERROR_OUT_OF_MEMORY;
    function->function = found;
    function->context = worker->current;
    function->parent = args->module_handle;
    worker_insert(worker, VGPU_TYPE_FUNCTION, args->function, function);
    return CUDA_SUCCESS;
}

CUresult worker_do_LibraryGetKernel(struct vgpu_worker *worker,
                                    const struct worker_args_LibraryGetKernel *args,
                                    struct vgpu_answer *answer)
{
    char buffer[NAME_ROOM];
    const char *name = name_of(args->name, args->name_bytes, buffer, sizeof(buffer));
    CUkernel found = NULL;

    if (!name)
        return CUDA_ERROR_NOT_FOUND;
    CUresult result = worker->driver->cuLibraryGetKernel(&found, args->library, name);
    if (result != CUDA_SUCCESS)
        return result;
    struct worker_function *function = calloc(1, sizeof(*function));
    if (!function)
        return CUDA_ERROR_OUT_OF_MEMORY;
    function->kernel = found;
    function->parent = args->library_handle;
    worker_insert(worker, VGPU_TYPE_KERNEL, args->kernel, function);
    return CUDA_SUCCESS;
}

CUresult worker_do_ModuleGetGlobal(struct vgpu_worker *worker,
                                   const struct worker_args_ModuleGetGlobal *args,
                                   struct vgpu_rsp_ModuleGetGlobal *out, struct vgpu_answer *answer)
{
    char buffer[NAME_ROOM];
    const char *name = name_of(args->name, args->name_bytes, buffer, sizeof(buffer));
    CUdeviceptr address = 0;
    size_t size = 0;

    if (!name)
        return CUDA_ERROR_NOT_FOUND;
    CUresult result = worker->driver->cuModuleGetGlobal_v2(&address, &size, args->module, name);
    if (result == CUDA_SUCCESS)
        result = worker_global_add(worker, args->module_handle, address, size);
    out->address = address;
    out->size = size;
    return result;
}

CUresult worker_do_LibraryGetGlobal(struct vgpu_worker *worker,
                                    const struct worker_args_LibraryGetGlobal *args,
                                    struct vgpu_rsp_LibraryGetGlobal *out,
                                    struct vgpu_answer *answer)
{
    char buffer[NAME_ROOM];
    const char *name = name_of(args->name, args->name_bytes, buffer, sizeof(buffer));
    CUdeviceptr address = 0;
    size_t size = 0;

    if (!name)
        return CUDA_ERROR_NOT_FOUND;
    CUresult result = worker->driver->cuLibraryGetGlobal(&address, &size, args->library, name);
    if (result == CUDA_SUCCESS)
        result = worker_global_add(worker, args->library_handle, address, size);
    out->address = address;
    out->size = size;
    return result;
}

CUresult worker_do_LibraryGetManaged(struct vgpu_worker *worker,
                                     const struct worker_args_LibraryGetManaged *args,
                                     struct vgpu_rsp_LibraryGetManaged *out,
                                     struct vgpu_answer *answer)
{
    /* Managed memory is not offered; a library without managed variables has none to find. */
    return CUDA_ERROR_NOT_FOUND;
}

/* Writes names into the answer's tail from index first on, as many as fit. */
struct name_list {
    struct vgpu_answer *answer;
    uint32_t first, index;
    bool full;
};

static void add_name(struct name_list *list, const char *name)
{
    size_t bytes = strlen(name) + 1;

    if (list->index++ < list->first || list->full)
        return;
    if (bytes > sizeof(list->answer->payload) - list->answer->size) {
        list->full = true;
        return;
    }
    memcpy(list->answer->payload + list->answer->size, name, bytes);
    list->answer->size += (uint32_t)bytes;
}

CUresult worker_do_ModuleNames(struct vgpu_worker *worker,
                               const struct worker_args_ModuleNames *args,
                               struct vgpu_rsp_ModuleNames *out, struct vgpu_answer *answer)
{
    const struct vgpu_driver *driver = worker->driver;
    struct name_list list = {.answer = answer, .first = args->first};
    unsigned count = 0;

    if (!driver->cuModuleGetFunctionCount || !driver->cuModuleEnumerateFunctions ||
        !driver->cuFuncGetName)
        return CUDA_ERROR_NOT_SUPPORTED;
    CUresult result = driver->cuModuleGetFunctionCount(&count, args->module);
    if (result != CUDA_SUCCESS)
        return result;
    CUfunction *functions = calloc(count + 1, sizeof(*functions));
    if (!functions)
        return CUDA_ERROR_OUT_OF_MEMORY;
    result = driver->cuModuleEnumerateFunctions(functions, count, args->module);
    for (unsigned i = 0; result == CUDA_SUCCESS && i < count; i++) {
        const char *name = NULL;
        result = driver->cuFuncGetName(&name, functions[i]);
        if (result == CUDA_SUCCESS)
            add_name(&list, name);
    }
    free(functions);
    out->count = count;
    return result;
}

CUresult worker_do_LibraryNames(struct vgpu_worker *worker,
                                const struct worker_args_LibraryNames *args,
                                struct vgpu_rsp_LibraryNames *out, struct vgpu_answer *answer)
{
    const struct vgpu_driver *driver = worker->driver;
    struct name_list list = {.answer = answer, .first = args->first};
    unsigned count = 0;

    if (!driver->cuLibraryGetKernelCount || !driver->cuLibraryEnumerateKernels ||
        !driver->cuKernelGetName)
        return CUDA_ERROR_NOT_SUPPORTED;
    CUresult result = driver->cuLibraryGetKernelCount(&count, args->library);
    if (result != CUDA_SUCCESS)
        return result;
    CUkernel *kernels = calloc(count + 1, sizeof(*kernels));
    if (!kernels)
        return CUDA_ERROR_OUT_OF_MEMORY;
    result = driver->cuLibraryEnumerateKernels(kernels, count, args->library);
    for (unsigned i = 0; result == CUDA_SUCCESS && i < count; i++) {
        const char *name = NULL;
        result = driver->cuKernelGetName(&name, kernels[i]);
        if (result == CUDA_SUCCESS)
            add_name(&list, name);
    }
    free(kernels);
    out->count = count;
    return result;
}

/* Size of a function's parameter block, from the driver's layout; 0 when it has none to tell. */
static CUresult learn_params(struct vgpu_worker *worker, struct worker_function *function,
                             CUfunction driver_function, struct vgpu_answer *answer,
                             uint32_t *count_out)
{
    uint32_t count = 0, bytes = 0;

    while (worker->driver->cuFuncGetParamInfo && count < PARAM_COUNT_MAX) {
        size_t offset = 0, size = 0;
        if (worker->driver->cuFuncGetParamInfo(driver_function, count, &offset, &size) !=
            CUDA_SUCCESS)
            break;
        if (offset > PARAM_BYTES_MAX || size > PARAM_BYTES_MAX - offset)
            return CUDA_ERROR_NOT_SUPPORTED;
        if (offset + size > bytes)
            bytes = (uint32_t)(offset + size);
        if (answer) {
            uint16_t pair[2] = {(uint16_t)offset, (uint16_t)size};
            if (sizeof(pair) > sizeof(answer->payload) - answer->size)
                return CUDA_ERROR_NOT_SUPPORTED;
            memcpy(answer->payload + answer->size, pair, sizeof(pair));
            answer->size += sizeof(pair);
        }
        count++;
    }
    function->params_known = worker->driver->cuFuncGetParamInfo != NULL;
    function->param_bytes = bytes;
    if (count_out)
        *count_out = count;
    return CUDA_SUCCESS;
}

CUresult worker_params_fit(struct vgpu_worker *worker, struct worker_function *function,
                           CUfunction driver_function, size_t bytes)
{
    if (!function->params_known) {
        CUresult result = learn_params(worker, function, driver_function, NULL, NULL);
        if (result != CUDA_SUCCESS)
            return result;
    }
    return function->params_known && bytes < function->param_bytes ? CUDA_ERROR_INVALID_VALUE
                                                                   : CUDA_SUCCESS;
}

CUresult worker_do_FunctionInfo(struct vgpu_worker *worker,
                                const struct worker_args_FunctionInfo *args,
                                struct vgpu_rsp_FunctionInfo *out, struct vgpu_answer *answer)
{
    struct worker_function *function = worker_function(worker, args->function_handle);

    for (int i = 0; i < CU_FUNC_ATTRIBUTE_MAX && i < 24; i++) {
        int value = 0;
        CUresult result =
            worker->driver->cuFuncGetAttribute(&value, (CUfunction_attribute)i, args->function);
        if (result != CUDA_SUCCESS)
            continue;
        out->attributes[i] = value;
        out->attribute_valid |= 1u << i;
    }
    if (!worker->driver->cuFuncGetParamInfo)
        return CUDA_ERROR_NOT_SUPPORTED;
    CUresult result = learn_params(worker, function, args->function, answer, &out->param_count);
    out->param_bytes = function->param_bytes;
    return result;
}

/* ---- launch ---- */

/* Attributes whose value holds no pointer and no handle. */
static bool attribute_allowed(uint32_t id)
{
    switch (id) {
    case CU_LAUNCH_ATTRIBUTE_IGNORE:
    case CU_LAUNCH_ATTRIBUTE_COOPERATIVE:
    case CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY:
    case CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION:
    case CU_LAUNCH_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
    case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION:
    case CU_LAUNCH_ATTRIBUTE_PRIORITY:
    case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP:
    case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN:
    case CU_LAUNCH_ATTRIBUTE_PREFERRED_CLUSTER_DIMENSION:
    case CU_LAUNCH_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
        return true;
    default:
        return false;
    }
}

#define ATTRIBUTES_MAX 32

struct launch {
    CUlaunchConfig config;
    CUlaunchAttribute attributes[ATTRIBUTES_MAX];
};

static CUresult launch_config(struct launch *launch, const uint32_t grid[3],
                              const uint32_t block[3], uint32_t shared, CUstream stream,
                              const uint8_t *attributes, uint32_t bytes, uint32_t count)
{
    const struct vgpu_launch_attribute *list = (const void *)attributes;

    if (count > ATTRIBUTES_MAX || count * sizeof(*list) > bytes)
        return CUDA_ERROR_INVALID_VALUE;
    launch->config = (CUlaunchConfig){
        .gridDimX = grid[0],
        .gridDimY = grid[1],
        .gridDimZ = grid[2],
        .blockDimX = block[0],
        .blockDimY = block[1],
        .blockDimZ = block[2],
        .sharedMemBytes = shared,
        .hStream = stream,
        .attrs = launch->attributes,
        .numAttrs = count,
    };
    for (uint32_t i = 0; i < count; i++) {
        if (!attribute_allowed(list[i].id))
            return CUDA_ERROR_NOT_SUPPORTED;
        memset(&launch->attributes[i], 0, sizeof(launch->attributes[i]));
        launch->attributes[i].id = (CUlaunchAttributeID)list[i].id;
        memcpy(&launch->attributes[i].value, list[i].value, sizeof(list[i].value));
    }
    return CUDA_SUCCESS;
}

CUresult worker_do_Launch(struct vgpu_worker *worker, const struct worker_args_Launch *args,
                          struct vgpu_answer *answer)
{
    struct worker_function *function = worker_function(worker, args->function_handle);
    struct worker_context *context = worker->current;
    struct worker_stream *stream = worker_stream_enter(worker, args->stream_handle);
    const uint8_t *params;
    CUresult result;

    if (!context || !stream)
        return CUDA_ERROR_INVALID_CONTEXT;
    /* Unlike a copy, a kernel runs in the caller's context only. */
    if (stream->context != context)
        return CUDA_ERROR_INVALID_HANDLE;
    uint64_t skip = (uint64_t)args->attribute_count * sizeof(struct vgpu_launch_attribute);
    if (skip > args->arguments_bytes) {
        answer->violation = 1;
        answer->reason = "launch attributes exceed their record";
        return CUDA_ERROR_INVALID_VALUE;
    }
    params = args->arguments + skip;
    size_t bytes = args->arguments_bytes - skip;
    result = worker_params_fit(worker, function, args->function, bytes);
    if (result != CUDA_SUCCESS)
        return result;
    void *extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, (void *)params, CU_LAUNCH_PARAM_BUFFER_SIZE,
                     &bytes, CU_LAUNCH_PARAM_END};
    void **packed = bytes ? extra : NULL;

    if (!args->attribute_count) {
        struct work_entry *work = worker_work_begin(worker, stream, 0, false);
        result = worker->driver->cuLaunchKernel(
            args->function, args->grid[0], args->grid[1], args->grid[2], args->block[0],
            args->block[1], args->block[2], args->shared, args->stream, NULL, packed);
        return worker_work_end(worker, work, stream, result);
    }
    struct launch launch;
    result = launch_config(&launch, args->grid, args->block, args->shared, args->stream,
                           args->arguments, args->arguments_bytes, args->attribute_count);
    if (result != CUDA_SUCCESS)
        return result;
    struct work_entry *work = worker_work_begin(worker, stream, 0, false);
    result = worker->driver->cuLaunchKernelEx(&launch.config, args->function, NULL, packed);
    return worker_work_end(worker, work, stream, result);
}

CUresult worker_do_OccupancyMaxActiveClusters(
    struct vgpu_worker *worker, const struct worker_args_OccupancyMaxActiveClusters *args,
    struct vgpu_rsp_OccupancyMaxActiveClusters *out, struct vgpu_answer *answer)
{
    struct launch launch;

    if (!worker->driver->cuOccupancyMaxActiveClusters)
        return CUDA_ERROR_NOT_SUPPORTED;
    CUresult result =
        launch_config(&launch, args->grid, args->block, args->shared, NULL, args->attributes,
                      args->attributes_bytes, args->attribute_count);
    if (result != CUDA_SUCCESS)
        return result;
    return worker->driver->cuOccupancyMaxActiveClusters(&out->clusters, args->function,
                                                        &launch.config);
}

CUresult worker_do_OccupancyMaxPotentialClusterSize(
    struct vgpu_worker *worker, const struct worker_args_OccupancyMaxPotentialClusterSize *args,
    struct vgpu_rsp_OccupancyMaxPotentialClusterSize *out, struct vgpu_answer *answer)
{
    struct launch launch;

    if (!worker->driver->cuOccupancyMaxPotentialClusterSize)
        return CUDA_ERROR_NOT_SUPPORTED;
    CUresult result =
        launch_config(&launch, args->grid, args->block, args->shared, NULL, args->attributes,
                      args->attributes_bytes, args->attribute_count);
    if (result != CUDA_SUCCESS)
        return result;
    return worker->driver->cuOccupancyMaxPotentialClusterSize(&out->cluster_size, args->function,
                                                              &launch.config);
}
