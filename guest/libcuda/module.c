/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Modules and libraries: an image is uploaded in pieces into a buffer of the worker, then loaded
 * from there. Names that were looked up are kept, so that a second lookup gives the same handle.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest/libcuda/guest.h"
#include "guest/libcuda/image.h"
#include "vgpu_rpc.h"

#define OPTIONS_MAX 64
#define NAME_MAX_BYTES 4096
#define LOG_MAX (64u << 10)

/* Of the lists of functions, kernels and modules that objects own. */
static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;

static struct vgpu_client *client(void)
{
    return atomic_load_explicit(&vgpu.client, memory_order_acquire);
}

/* ---- uploading ---------------------------------------------------------------------------------
 */

static CUresult upload(const struct vgpu_image *image, struct vgpu_object **blob)
{
    struct vgpu_object *object = vgpu_object_new(VGPU_TYPE_BLOB, NULL);
    if (!object)
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult result = vgpu_rpc_BlobCreate(vgpu_wire(object), image->bytes);
    size_t most = vgpu_heap_stage_max(client()->heap);
    for (size_t done = 0; done < image->bytes && result == CUDA_SUCCESS;) {
        size_t now = image->bytes - done < most ? image->bytes - done : most;
        struct vgpu_stage stage;
        if (vgpu_stage_get(client()->heap, now, true, &stage) < 0) {
            result = vgpu_ready() != CUDA_SUCCESS ? vgpu_unusable() : CUDA_ERROR_OUT_OF_MEMORY;
            break;
        }
        vgpu_memcpy(stage.address, (const uint8_t *)image->data + done, now);
        result = vgpu_rpc_BlobWrite(vgpu_wire(object), done, (uint64_t)stage.address, now,
                                    stage.word + 1);
        if (result == CUDA_SUCCESS)
            vgpu_stage_submit(client()->heap, &stage);
        else
            vgpu_stage_put(client()->heap, &stage);
        done += now;
    }
    if (result != CUDA_SUCCESS) {
        vgpu_rpc_BlobFree(vgpu_wire(object));
        vgpu_object_free(object);
        return result;
    }
    *blob = object;
    return CUDA_SUCCESS;
}

static void drop_blob(struct vgpu_object *blob)
{
    vgpu_rpc_BlobFree(vgpu_wire(blob));
    vgpu_object_free(blob);
}

/* ---- options of the just-in-time compiler
 * -------------------------------------------------------- */

struct log_buffer {
    char *buffer; /* the program's, or NULL */
    uint32_t size, used;
    void **size_value; /* where the used size is written back */
    uint64_t remote;   /* in the stage */
};

struct options {
    struct vgpu_jit_option list[OPTIONS_MAX];
    uint32_t count;
    struct log_buffer info, error;
    void **wall_time;
    struct vgpu_stage stage;
    bool staged;
};

static CUresult read_options(struct options *o, const CUjit_option *options, void **values,
                             unsigned count)
{
    *o = (struct options){0};
    if (count && (!options || !values))
        return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; i < count; i++) {
        uint64_t value = (uint64_t)values[i];
        switch (options[i]) {
        case CU_JIT_WALL_TIME:
            o->wall_time = &values[i];
            continue;
        case CU_JIT_INFO_LOG_BUFFER:
            o->info.buffer = values[i];
            continue;
        case CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES:
            o->info.size = (uint32_t)value;
            o->info.size_value = &values[i];
            continue;
        case CU_JIT_ERROR_LOG_BUFFER:
            o->error.buffer = values[i];
            continue;
        case CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES:
            o->error.size = (uint32_t)value;
            o->error.size_value = &values[i];
            continue;
        case CU_JIT_GLOBAL_SYMBOL_NAMES:
        case CU_JIT_GLOBAL_SYMBOL_ADDRESSES:
        case CU_JIT_REFERENCED_KERNEL_NAMES:
        case CU_JIT_REFERENCED_VARIABLE_NAMES:
            if (value)
                return VGPU_REFUSE("just-in-time options that name symbols");
            continue;
        case CU_JIT_GLOBAL_SYMBOL_COUNT:
        case CU_JIT_REFERENCED_KERNEL_COUNT:
        case CU_JIT_REFERENCED_VARIABLE_COUNT:
            continue;
        default:
            if ((unsigned)options[i] >= CU_JIT_NUM_OPTIONS || o->count == OPTIONS_MAX)
                return CUDA_ERROR_INVALID_VALUE;
            o->list[o->count++] = (struct vgpu_jit_option){.option = options[i], .value = value};
        }
    }
    /* Where the host writes the logs; without any, an empty range of the heap. */
    o->info.remote = o->error.remote = (uint64_t)client()->channel.view.heap;
    struct log_buffer *logs[] = {&o->info, &o->error};
    for (int i = 0; i < 2; i++) {
        if (!logs[i]->buffer)
            logs[i]->size = 0;
        if (logs[i]->size > LOG_MAX)
            logs[i]->size = LOG_MAX;
    }
    uint32_t need = o->info.size + o->error.size;
    if (need && vgpu_stage_get(client()->heap, need, true, &o->stage) == 0) {
        o->staged = true;
        memset(o->stage.address, 0, need);
        o->info.remote = (uint64_t)o->stage.address;
        o->error.remote = o->info.remote + o->info.size;
    } else {
        o->info.size = o->error.size = 0;
    }
    return CUDA_SUCCESS;
}

static void give_log(struct log_buffer *log)
{
    if (log->used > log->size)
        log->used = log->size;
    if (log->buffer && log->size) {
        memcpy(log->buffer, (const void *)log->remote, log->used);
        log->buffer[log->used < log->size ? log->used : log->size - 1] = '\0';
    }
    if (log->size_value)
        *log->size_value = (void *)(uintptr_t)log->used;
}

/*
 * A failed load has no payload that says how long the logs are: they end at the first zero.
 */
static void write_back(struct options *o, CUresult result, uint64_t started)
{
    if (result != CUDA_SUCCESS && o->staged) {
        o->info.used = (uint32_t)strnlen((const char *)o->info.remote, o->info.size);
        o->error.used = (uint32_t)strnlen((const char *)o->error.remote, o->error.size);
    }
    give_log(&o->info);
    give_log(&o->error);
    if (o->wall_time) {
        float ms = (float)(vgpu_now_ns() - started) / 1e6f;
        uint64_t bits = 0;
        memcpy(&bits, &ms, sizeof(ms));
        *o->wall_time = (void *)bits;
    }
    if (o->staged)
        vgpu_stage_put(client()->heap, &o->stage);
}

/* ---- modules -----------------------------------------------------------------------------------
 */

static CUresult load_module(CUmodule *module, const struct vgpu_image *image, unsigned count,
                            const CUjit_option *options, void **values, bool fat_binary)
{
    struct vgpu_object *context, *blob, *object;
    CUresult result = vgpu_current(&context);
    if (result != CUDA_SUCCESS)
        return result;
    if (!module)
        return CUDA_ERROR_INVALID_VALUE;
    uint64_t started = vgpu_now_ns();
    result = upload(image, &blob);
    if (result != CUDA_SUCCESS)
        return result;
    struct options o;
    result = read_options(&o, options, values, count);
    object = result == CUDA_SUCCESS ? vgpu_object_new(VGPU_TYPE_MODULE, context) : NULL;
    if (object) {
        result =
            vgpu_rpc_ModuleLoad(vgpu_wire(object), vgpu_wire(blob), o.info.remote, o.error.remote,
                                o.info.size, o.error.size, fat_binary, o.list,
                                o.count * (uint32_t)sizeof(o.list[0]), &o.info.used, &o.error.used);
        write_back(&o, result, started);
        if (result == CUDA_SUCCESS)
            *module = (CUmodule)object;
        else
            vgpu_object_free(object);
    } else if (result == CUDA_SUCCESS) {
        write_back(&o, result, started);
        result = CUDA_ERROR_OUT_OF_MEMORY;
    }
    drop_blob(blob);
    return result;
}

static void note_prelinked(const struct vgpu_image *image)
{
    static atomic_int once;
    if (image->prelinked > 1 && !atomic_exchange(&once, 1))
        vgpu_say(VGPU_LOG_ERRORS,
                 "a fat binary has %u prelinked parts; only the linked one is used",
                 image->prelinked);
}

CUresult vgpu_module_load(CUmodule *module, const void *image, unsigned count,
                          const CUjit_option *options, void **values, bool fat_binary)
{
    struct vgpu_object *context;
    CUresult result = vgpu_current(&context);
    if (result != CUDA_SUCCESS)
        return result;
    struct vgpu_image found;
    if (!module || !image)
        return CUDA_ERROR_INVALID_VALUE;
    result = vgpu_image_measure(image, SIZE_MAX, &found);
    if (result != CUDA_SUCCESS)
        return result;
    note_prelinked(&found);
    return load_module(module, &found, count, options, values, fat_binary);
}

CUresult cuModuleLoadData(CUmodule *mod, const void *image)
{
    return vgpu_module_load(mod, image, 0, NULL, NULL, false);
}

CUresult cuModuleLoadDataEx(CUmodule *mod, const void *image, unsigned int count,
                            CUjit_option *options, void **values)
{
    return vgpu_module_load(mod, image, count, options, values, false);
}

CUresult cuModuleLoadFatBinary(CUmodule *mod, const void *image)
{
    return vgpu_module_load(mod, image, 0, NULL, NULL, true);
}

/* Reads a file, with a zero behind it that ends PTX, and finds the image in it. *file: to be freed.
 */
static CUresult read_file(const char *path, void **file, struct vgpu_image *image)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return CUDA_ERROR_FILE_NOT_FOUND;
    struct stat status;
    CUresult result = CUDA_ERROR_INVALID_IMAGE;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0 &&
        (uint64_t)status.st_size < VGPU_IMAGE_BYTES_MAX) {
        size_t bytes = (size_t)status.st_size;
        char *copy = malloc(bytes + 1);
        size_t got = 0;
        while (copy && got < bytes) {
            ssize_t now = read(fd, copy + got, bytes - got);
            if (now <= 0)
                break;
            got += (size_t)now;
        }
        if (!copy)
            result = CUDA_ERROR_OUT_OF_MEMORY;
        else if (got == bytes) {
            copy[bytes] = '\0';
            result = vgpu_image_measure(copy, bytes + 1, image);
        }
        if (result == CUDA_SUCCESS) {
            *file = copy;
        } else {
            free(copy);
        }
    }
    close(fd);
    return result;
}

CUresult cuModuleLoad(CUmodule *mod, const char *path)
{
    struct vgpu_object *context;
    CUresult result = vgpu_current(&context);
    if (result != CUDA_SUCCESS)
        return result;
    if (!mod || !path)
        return CUDA_ERROR_INVALID_VALUE;
    void *file;
    struct vgpu_image image;
    result = read_file(path, &file, &image);
    if (result == CUDA_SUCCESS) {
        result = load_module(mod, &image, 0, NULL, NULL, false);
        free(file);
    }
    return result;
}

static void free_list(struct vgpu_object *first)
{
    while (first) {
        struct vgpu_object *next = first->sibling;
        vgpu_object_free(first);
        first = next;
    }
}

CUresult cuModuleUnload(CUmodule mod)
{
    struct vgpu_object *context, *object = (struct vgpu_object *)mod;
    CUresult result = vgpu_current(&context);
    if (result != CUDA_SUCCESS)
        return result;
    if (!vgpu_object_is(object, VGPU_TYPE_MODULE) || object->module.library)
        return CUDA_ERROR_INVALID_HANDLE;
    result = vgpu_rpc_ModuleUnload(vgpu_wire(object));
    if (result != CUDA_SUCCESS)
        return result;
    vgpu_map_drop(0, (uint64_t)object);
    pthread_mutex_lock(&list_lock);
    struct vgpu_object *functions = object->module.functions;
    object->module.functions = NULL;
    pthread_mutex_unlock(&list_lock);
    free_list(functions);
    vgpu_object_free(object);
    return CUDA_SUCCESS;
}

/* The function or kernel of that name that owner already has. */
static struct vgpu_object *known_name(struct vgpu_object *owner, unsigned type, const char *name)
{
    struct vgpu_object *found;
    pthread_mutex_lock(&list_lock);
    for (found = owner->module.functions; found; found = found->sibling)
        if (found->type == type && !strcmp(found->function.name, name))
            break;
    pthread_mutex_unlock(&list_lock);
    return found;
}

static CUresult get_named(struct vgpu_object *owner, unsigned type, const char *name,
                          struct vgpu_object **function)
{
    size_t length = strnlen(name, NAME_MAX_BYTES + 1);
    if (!length || length > NAME_MAX_BYTES)
        return CUDA_ERROR_NOT_FOUND;
    *function = known_name(owner, type, name);
    if (*function)
        return CUDA_SUCCESS;
    bool kernel = type == VGPU_TYPE_KERNEL;
    struct vgpu_object *object = vgpu_object_new(type, kernel ? NULL : owner->context);
    char *copy = object ? strdup(name) : NULL;
    if (!copy) {
        if (object)
            vgpu_object_free(object);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    object->function.owner = owner;
    object->function.name = copy;
    CUresult result = kernel ? vgpu_rpc_LibraryGetKernel(vgpu_wire(owner), vgpu_wire(object), name,
                                                         (uint32_t)length)
                             : vgpu_rpc_ModuleGetFunction(vgpu_wire(owner), vgpu_wire(object), name,
                                                          (uint32_t)length);
    if (result != CUDA_SUCCESS) {
        vgpu_object_free(object);
        return result;
    }
    pthread_mutex_lock(&list_lock);
    object->sibling = owner->module.functions;
    owner->module.functions = object;
    pthread_mutex_unlock(&list_lock);
    *function = object;
    return CUDA_SUCCESS;
}

CUresult cuModuleGetFunction(CUfunction *fn, CUmodule mod, const char *name)
{
    struct vgpu_object *context, *object;
    CUresult result = vgpu_current(&context);
    if (result != CUDA_SUCCESS)
        return result;
    if (!fn || !name)
        return CUDA_ERROR_INVALID_VALUE;
    if (!vgpu_object_is(mod, VGPU_TYPE_MODULE))
        return CUDA_ERROR_INVALID_HANDLE;
    result = get_named((struct vgpu_object *)mod, VGPU_TYPE_FUNCTION, name, &object);
    if (result == CUDA_SUCCESS)
        *fn = (CUfunction)object;
    return result;
}

/* Makes a module's variable known to copies. */
static CUresult know_global(struct vgpu_object *context, struct vgpu_object *owner,
                            uint64_t address, uint64_t size, CUdeviceptr *ptr, size_t *bytes)
{
    struct vgpu_range range;
    if (size && !(vgpu_map_find(address, &range) && range.base == address)) {
        range = (struct vgpu_range){
            .base = address,
            .size = size,
            .context = context,
            .context_handle = vgpu_wire(context),
            .kind = VGPU_DEVICE,
            .device = (uint8_t)vgpu_context_device(context),
            .global = 1,
            .owner = (uint64_t)owner,
        };
        vgpu_map_insert(&range);
    }
    if (ptr)
        *ptr = address;
    if (bytes)
        *bytes = size;
    return CUDA_SUCCESS;
}

static CUresult
get_global(CUdeviceptr *ptr, size_t *bytes, void *owner, unsigned type, const char *name,
           CUresult (*operation)(uint32_t, const void *, uint32_t, uint64_t *, uint64_t *))
{
    struct vgpu_object *context;
    CUresult result = vgpu_current(&context);
    if (result != CUDA_SUCCESS)
        return result;
    uint64_t address, size;
    if (!name || (!ptr && !bytes))
        return CUDA_ERROR_INVALID_VALUE;
    if (!vgpu_object_is(owner, type))
        return CUDA_ERROR_INVALID_HANDLE;
    size_t length = strnlen(name, NAME_MAX_BYTES + 1);
    if (!length || length > NAME_MAX_BYTES)
        return CUDA_ERROR_NOT_FOUND;
    result = operation(vgpu_wire(owner), name, (uint32_t)length, &address, &size);
    return result == CUDA_SUCCESS ? know_global(context, owner, address, size, ptr, bytes) : result;
}

CUresult cuModuleGetGlobal_v2(CUdeviceptr *ptr, size_t *bytes, CUmodule mod, const char *name)
{
    return get_global(ptr, bytes, mod, VGPU_TYPE_MODULE, name, vgpu_rpc_ModuleGetGlobal);
}

/* ---- names of what a module or library has
 * ------------------------------------------------------- */

typedef CUresult names_operation(uint32_t, uint32_t, uint32_t *, void *, uint32_t *);

static CUresult count_names(struct vgpu_object *owner, names_operation *operation, unsigned *count)
{
    char names[VGPU_REPLY_PAYLOAD];
    uint32_t bytes = sizeof(names), all;
    CUresult result = operation(vgpu_wire(owner), 0, &all, names, &bytes);
    if (result == CUDA_SUCCESS)
        *count = all;
    return result;
}

static CUresult enumerate(struct vgpu_object *owner, names_operation *operation, unsigned type,
                          void **out, unsigned count)
{
    unsigned done = 0;
    while (done < count) {
        char names[VGPU_REPLY_PAYLOAD + 1];
        uint32_t bytes = VGPU_REPLY_PAYLOAD, all;
        CUresult result = operation(vgpu_wire(owner), done, &all, names, &bytes);
        if (result != CUDA_SUCCESS)
            return result;
        names[bytes] = '\0';
        if (done >= all || !bytes)
            break;
        for (uint32_t at = 0; at < bytes && done < count;) {
            struct vgpu_object *object;
            result = get_named(owner, type, names + at, &object);
            if (result != CUDA_SUCCESS)
                return result;
            out[done++] = object;
            at += (uint32_t)strlen(names + at) + 1;
        }
    }
    return CUDA_SUCCESS;
}

CUresult cuModuleGetFunctionCount(unsigned int *count, CUmodule mod)
{
    struct vgpu_object *context;
    CUresult result = vgpu_current(&context);
    if (result != CUDA_SUCCESS)
        return result;
    if (!count)
        return CUDA_ERROR_INVALID_VALUE;
    if (!vgpu_object_is(mod, VGPU_TYPE_MODULE))
        return CUDA_ERROR_INVALID_HANDLE;
    return count_names((struct vgpu_object *)mod, vgpu_rpc_ModuleNames, count);
}

CUresult cuModuleEnumerateFunctions(CUfunction *fns, unsigned int count, CUmodule mod)
{
    struct vgpu_object *context;
    CUresult result = vgpu_current(&context);
    if (result != CUDA_SUCCESS)
        return result;
    if (!fns || !count)
        return CUDA_ERROR_INVALID_VALUE;
    if (!vgpu_object_is(mod, VGPU_TYPE_MODULE))
        return CUDA_ERROR_INVALID_HANDLE;
    return enumerate((struct vgpu_object *)mod, vgpu_rpc_ModuleNames, VGPU_TYPE_FUNCTION,
                     (void **)fns, count);
}

/* ---- libraries ---------------------------------------------------------------------------------
 */

static CUresult load_library(CUlibrary *lib, const struct vgpu_image *image,
                             CUjit_option *jit_options, void **jit_values, unsigned jit_count,
                             CUlibraryOption *options, void **values, unsigned count)
{
    struct vgpu_object *blob, *object;
    if (count && !options)
        return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; i < count; i++) {
        if (options[i] == CU_LIBRARY_BINARY_IS_PRESERVED)
            continue; /* a promise about this process's memory; the host has its own copy */
        if (options[i] != CU_LIBRARY_HOST_UNIVERSAL_FUNCTION_AND_DATA_TABLE)
            return CUDA_ERROR_INVALID_VALUE;
        /* Without values (cuBLAS passes none) there is no table either. */
        const CUlibraryHostUniversalFunctionAndDataTable *table = values ? values[i] : NULL;
        if (table && (table->functionWindowSize || table->dataWindowSize))
            return VGPU_REFUSE("cuLibraryLoadData with host universal functions");
    }
    uint64_t started = vgpu_now_ns();
    CUresult result = upload(image, &blob);
    if (result != CUDA_SUCCESS)
        return result;
    struct options o;
    result = read_options(&o, jit_options, jit_values, jit_count);
    object = result == CUDA_SUCCESS ? vgpu_object_new(VGPU_TYPE_LIBRARY, NULL) : NULL;
    if (object) {
        result = vgpu_rpc_LibraryLoad(vgpu_wire(object), vgpu_wire(blob), o.info.remote,
                                      o.error.remote, o.info.size, o.error.size, o.count, o.list,
                                      o.count * (uint32_t)sizeof(o.list[0]), &o.info.used,
                                      &o.error.used);
        write_back(&o, result, started);
        if (result == CUDA_SUCCESS)
            *lib = (CUlibrary)object;
        else
            vgpu_object_free(object);
    } else if (result == CUDA_SUCCESS) {
        write_back(&o, result, started);
        result = CUDA_ERROR_OUT_OF_MEMORY;
    }
    drop_blob(blob);
    return result;
}

CUresult cuLibraryLoadData(CUlibrary *lib, const void *code, CUjit_option *jit_options,
                           void **jit_values, unsigned int jit_count, CUlibraryOption *options,
                           void **values, unsigned int count)
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    struct vgpu_image image;
    if (!lib || !code)
        return CUDA_ERROR_INVALID_VALUE;
    result = vgpu_image_measure(code, SIZE_MAX, &image);
    if (result != CUDA_SUCCESS)
        return result;
    note_prelinked(&image);
    return load_library(lib, &image, jit_options, jit_values, jit_count, options, values, count);
}

CUresult cuLibraryLoadFromFile(CUlibrary *lib, const char *path, CUjit_option *jit_options,
                               void **jit_values, unsigned int jit_count, CUlibraryOption *options,
                               void **values, unsigned int count)
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    void *file;
    struct vgpu_image image;
    if (!lib || !path)
        return CUDA_ERROR_INVALID_VALUE;
    result = read_file(path, &file, &image);
    if (result == CUDA_SUCCESS) {
        result =
            load_library(lib, &image, jit_options, jit_values, jit_count, options, values, count);
        free(file);
    }
    return result;
}

CUresult cuLibraryUnload(CUlibrary lib)
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    struct vgpu_object *object = (struct vgpu_object *)lib;
    if (!vgpu_object_is(object, VGPU_TYPE_LIBRARY))
        return CUDA_ERROR_INVALID_HANDLE;
    result = vgpu_rpc_LibraryUnload(vgpu_wire(object));
    if (result != CUDA_SUCCESS)
        return result;
    vgpu_map_drop(0, (uint64_t)object);
    pthread_mutex_lock(&list_lock);
    struct vgpu_object *owned = object->module.functions;
    object->module.functions = NULL;
    pthread_mutex_unlock(&list_lock);
    /*
     * Kernels, and modules of this library with functions of their own. The host forgets a
     * library's kernels with it, but not what was made of its modules: those handles stay taken
     * there.
     */
    for (struct vgpu_object *o = owned, *next; o; o = next) {
        next = o->sibling;
        if (o->type != VGPU_TYPE_MODULE) {
            vgpu_object_free(o);
            continue;
        }
        vgpu_map_drop(0, (uint64_t)o);
        for (struct vgpu_object *f = o->module.functions, *after; f; f = after) {
            after = f->sibling;
            vgpu_object_retire(f);
        }
        vgpu_object_retire(o);
    }
    vgpu_object_free(object);
    return CUDA_SUCCESS;
}

static CUresult library_check(CUlibrary lib, const void *out)
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    if (!out)
        return CUDA_ERROR_INVALID_VALUE;
    return vgpu_object_is(lib, VGPU_TYPE_LIBRARY) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

CUresult cuLibraryGetKernel(CUkernel *kernel, CUlibrary lib, const char *name)
{
    struct vgpu_object *object;
    CUresult result = library_check(lib, kernel);
    if (result != CUDA_SUCCESS)
        return result;
    if (!name)
        return CUDA_ERROR_INVALID_VALUE;
    result = get_named((struct vgpu_object *)lib, VGPU_TYPE_KERNEL, name, &object);
    if (result == CUDA_SUCCESS)
        *kernel = (CUkernel)object;
    return result;
}

CUresult cuLibraryGetKernelCount(unsigned int *count, CUlibrary lib)
{
    CUresult result = library_check(lib, count);
    return result == CUDA_SUCCESS
               ? count_names((struct vgpu_object *)lib, vgpu_rpc_LibraryNames, count)
               : result;
}

CUresult cuLibraryEnumerateKernels(CUkernel *kernels, unsigned int count, CUlibrary lib)
{
    CUresult result = library_check(lib, kernels);
    return result == CUDA_SUCCESS ? enumerate((struct vgpu_object *)lib, vgpu_rpc_LibraryNames,
                                              VGPU_TYPE_KERNEL, (void **)kernels, count)
                                  : result;
}

CUresult cuLibraryGetModule(CUmodule *mod, CUlibrary lib)
{
    struct vgpu_object *context, *object, *library = (struct vgpu_object *)lib;
    CUresult result = library_check(lib, mod);
    if (result == CUDA_SUCCESS)
        result = vgpu_current(&context);
    if (result != CUDA_SUCCESS)
        return result;
    pthread_mutex_lock(&list_lock);
    for (object = library->module.functions; object; object = object->sibling)
        if (object->type == VGPU_TYPE_MODULE && object->context_handle == vgpu_wire(context))
            break;
    pthread_mutex_unlock(&list_lock);
    if (!object) {
        object = vgpu_object_new(VGPU_TYPE_MODULE, context);
        if (!object)
            return CUDA_ERROR_OUT_OF_MEMORY;
        result = vgpu_rpc_LibraryGetModule(vgpu_wire(library), vgpu_wire(object));
        if (result != CUDA_SUCCESS) {
            vgpu_object_free(object);
            return result;
        }
        object->module.library = library;
        pthread_mutex_lock(&list_lock);
        object->sibling = library->module.functions;
        library->module.functions = object;
        pthread_mutex_unlock(&list_lock);
    }
    *mod = (CUmodule)object;
    return CUDA_SUCCESS;
}

CUresult cuLibraryGetGlobal(CUdeviceptr *ptr, size_t *bytes, CUlibrary lib, const char *name)
{
    return get_global(ptr, bytes, lib, VGPU_TYPE_LIBRARY, name, vgpu_rpc_LibraryGetGlobal);
}

CUresult cuLibraryGetManaged(CUdeviceptr *ptr, size_t *bytes, CUlibrary lib, const char *name)
{
    return get_global(ptr, bytes, lib, VGPU_TYPE_LIBRARY, name, vgpu_rpc_LibraryGetManaged);
}
