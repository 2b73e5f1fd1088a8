/* SPDX-License-Identifier: Apache-2.0 */
#include "worker.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

int worker_objects_init(struct vgpu_worker *worker)
{
    /* Sparse: only the part a program uses is ever backed by memory. */
    void *table = mmap(NULL, VGPU_HANDLE_MAX * sizeof(struct worker_object), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (table == MAP_FAILED)
        return -1;
    worker->objects = table;
    LIST_INIT(&worker->contexts);
    TAILQ_INIT(&worker->holes);
    return 0;
}

struct worker_object *worker_object(struct vgpu_worker *worker, enum vgpu_handle_type type,
                                    uint32_t handle)
{
    uint32_t index = VGPU_HANDLE_INDEX(handle);

    if (!handle || index >= VGPU_HANDLE_MAX)
        return NULL;
    struct worker_object *object = &worker->objects[index];
    return object->handle == handle && object->type == type ? object : NULL;
}

struct worker_function *worker_function(struct vgpu_worker *worker, uint32_t handle)
{
    struct worker_object *object = worker_object(worker, VGPU_TYPE_FUNCTION, handle);

    if (!object)
        object = worker_object(worker, VGPU_TYPE_KERNEL, handle);
    return object ? object->object : NULL;
}

CUresult worker_find(struct vgpu_worker *worker, enum vgpu_handle_type type, uint32_t handle,
                     void **out)
{
    struct worker_object *object = worker_object(worker, type, handle);

    if (!object)
        return type == VGPU_TYPE_CONTEXT ? CUDA_ERROR_INVALID_CONTEXT : CUDA_ERROR_INVALID_HANDLE;
    switch (type) {
    case VGPU_TYPE_CONTEXT:
        *out = ((struct worker_context *)object->object)->context;
        break;
    case VGPU_TYPE_FUNCTION:
        *out = ((struct worker_function *)object->object)->function;
        break;
    case VGPU_TYPE_KERNEL:
        *out = ((struct worker_function *)object->object)->kernel;
        break;
    case VGPU_TYPE_STREAM:
        *out = ((struct worker_stream *)object->object)->stream;
        break;
    default:
        *out = object->object;
    }
    return CUDA_SUCCESS;
}

CUresult worker_resolve(struct vgpu_worker *worker, uint32_t handle, CUfunction *out)
{
    struct worker_function *function = worker_function(worker, handle);

    if (!function)
        return CUDA_ERROR_INVALID_HANDLE;
    if (function->kernel && (!function->function || function->context != worker->current)) {
        CUfunction found = NULL;
        CUresult result = worker->driver->cuKernelGetFunction(&found, function->kernel);
        if (result != CUDA_SUCCESS)
            return result;
        function->function = found;
        function->context = worker->current;
    }
    *out = function->function;
    return CUDA_SUCCESS;
}

bool worker_handle_free(struct vgpu_worker *worker, uint32_t handle)
{
    uint32_t index = VGPU_HANDLE_INDEX(handle);

    return handle && index < VGPU_HANDLE_MAX && !worker->objects[index].handle;
}

void worker_insert(struct vgpu_worker *worker, enum vgpu_handle_type type, uint32_t handle,
                   void *object)
{
    uint32_t index = VGPU_HANDLE_INDEX(handle);
    struct worker_object *slot = &worker->objects[index];

    if (type == VGPU_TYPE_STREAM) {
        struct worker_stream *stream = malloc(sizeof(*stream));
        if (!stream)
            abort(); /* the guest counts on a handle that the driver has accepted */
        worker_stream_init(stream, worker->current, object);
        object = stream;
    }
    slot->handle = handle;
    slot->type = type;
    slot->object = object;
    /* Libraries and kernels belong to the process, everything else to the context. */
    bool shared = type == VGPU_TYPE_LIBRARY || type == VGPU_TYPE_KERNEL || type == VGPU_TYPE_BLOB ||
                  type == VGPU_TYPE_CONTEXT;
    slot->context = shared ? NULL : worker->current;
    slot->parent = 0;
    slot->capture = 0;
    if (index >= worker->objects_used)
        worker->objects_used = index + 1;
}

static void globals_drop(struct vgpu_worker *worker, const struct worker_context *context,
                         uint32_t parent)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < worker->global_count; i++) {
        const struct worker_global *global = &worker->globals[i];
        if (context ? global->context != context : global->parent != parent)
            worker->globals[kept++] = *global;
    }
    worker->global_count = kept;
}

static void clear_slot(struct vgpu_worker *worker, struct worker_object *slot)
{
    switch (slot->type) {
    case VGPU_TYPE_FUNCTION:
    case VGPU_TYPE_KERNEL:
        free(slot->object);
        break;
    case VGPU_TYPE_STREAM:
        if (((struct worker_stream *)slot->object)->capture_graph)
            worker_capture_drop(worker, slot->object);
        worker_stream_drop(worker, slot->object);
        break;
    case VGPU_TYPE_GRAPH:
        worker_graph_forget(slot->object);
        break;
    case VGPU_TYPE_MODULE:
    case VGPU_TYPE_LIBRARY:
        globals_drop(worker, NULL, slot->handle);
        break;
    case VGPU_TYPE_BLOB: {
        struct vgpu_blob *blob = slot->object;
        worker->blob_bytes -= blob->mapped;
        munmap(blob->data, blob->mapped);
        free(blob);
        break;
    }
    }
    *slot = (struct worker_object){0};
    while (worker->objects_used && !worker->objects[worker->objects_used - 1].handle)
        worker->objects_used--;
}

/* Forgets the functions of a module, or the kernels and modules of a library: they die with it. */
static void remove_children(struct vgpu_worker *worker, enum vgpu_handle_type type, uint32_t parent)
{
    for (uint32_t i = 0; i < worker->objects_used; i++) {
        struct worker_object *object = &worker->objects[i];
        if (type == VGPU_TYPE_LIBRARY && object->handle && object->type == VGPU_TYPE_MODULE &&
            object->parent == parent) {
            remove_children(worker, VGPU_TYPE_MODULE, object->handle);
            clear_slot(worker, object);
        } else if (object->handle &&
                   object->type ==
                       (type == VGPU_TYPE_MODULE ? VGPU_TYPE_FUNCTION : VGPU_TYPE_KERNEL) &&
                   ((struct worker_function *)object->object)->parent == parent) {
            clear_slot(worker, object);
        }
    }
}

void worker_remove(struct vgpu_worker *worker, enum vgpu_handle_type type, uint32_t handle)
{
    struct worker_object *slot = worker_object(worker, type, handle);

    if (!slot)
        return;
    if (type == VGPU_TYPE_MODULE || type == VGPU_TYPE_LIBRARY)
        remove_children(worker, type, handle);
    clear_slot(worker, slot);
}

void worker_objects_purge(struct vgpu_worker *worker, struct worker_context *context)
{
    for (uint32_t i = 0; i < worker->objects_used; i++) {
        struct worker_object *object = &worker->objects[i];
        if (!object->handle)
            continue;
        if (object->context == context) {
            clear_slot(worker, object);
        } else if (object->type == VGPU_TYPE_KERNEL) {
            struct worker_function *function = object->object;
            if (function->context == context) {
                function->context = NULL;
                function->function = NULL;
            }
        }
    }
    globals_drop(worker, context, 0);
}

int worker_device_count(struct vgpu_worker *worker)
{
    return worker->device_count;
}

/* An empty range lies anywhere: a copy of no bytes may name any address. */
static bool within(uint64_t address, uint64_t bytes, uint64_t base, uint64_t size)
{
    if (!bytes)
        return true;
    return address >= base && address - base <= size && bytes <= size - (address - base);
}

bool worker_in_heap(struct vgpu_worker *worker, uint64_t address, uint64_t bytes)
{
    return within(address, bytes, (uint64_t)(uintptr_t)worker->host.view.heap,
                  worker->host.view.heap_bytes);
}

#define GLOBALS_MAX 65536u

/* Index of the first global whose address is above the given one. */
static uint32_t global_above(const struct vgpu_worker *worker, uint64_t address)
{
    uint32_t low = 0, high = worker->global_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (worker->globals[middle].address <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

CUresult worker_global_add(struct vgpu_worker *worker, uint32_t parent, uint64_t address,
                           uint64_t bytes)
{
    struct worker_global global = {address, bytes, parent, worker->current};
    uint32_t at = global_above(worker, address);

    if (at && worker->globals[at - 1].address == address) {
        /* Found again, or what was there has gone without our hearing of it. */
        worker->globals[at - 1] = global;
        return CUDA_SUCCESS;
    }
    if (worker->global_count == worker->global_room) {
        uint32_t room = worker->global_room ? 2 * worker->global_room : 64;
        struct worker_global *more =
            room > GLOBALS_MAX ? NULL : realloc(worker->globals, room * sizeof(*more));
        if (!more)
            return CUDA_ERROR_OUT_OF_MEMORY;
        worker->globals = more;
        worker->global_room = room;
    }
    memmove(&worker->globals[at + 1], &worker->globals[at],
            (worker->global_count - at) * sizeof(*worker->globals));
    worker->globals[at] = global;
    worker->global_count++;
    return CUDA_SUCCESS;
}

bool worker_in_memory(struct vgpu_worker *worker, uint64_t address, uint64_t bytes)
{
    if (within(address, bytes, worker->window_base, worker->window_bytes) ||
        worker_in_heap(worker, address, bytes))
        return true;
    uint32_t above = global_above(worker, address);
    return above && within(address, bytes, worker->globals[above - 1].address,
                           worker->globals[above - 1].bytes);
}
