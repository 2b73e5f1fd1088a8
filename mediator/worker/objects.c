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

    slot->handle = handle;
    slot->type = type;
    slot->object = object;
    /* Libraries and kernels belong to the process, everything else to the context. */
    bool shared = type == VGPU_TYPE_LIBRARY || type == VGPU_TYPE_KERNEL || type == VGPU_TYPE_BLOB ||
                  type == VGPU_TYPE_CONTEXT;
    slot->context = shared ? NULL : worker->current;
    slot->dirty = false;
    slot->capture = slot->capture_graph = 0;
    if (index >= worker->objects_used)
        worker->objects_used = index + 1;
}

static void clear_slot(struct vgpu_worker *worker, struct worker_object *slot)
{
    if (slot->type == VGPU_TYPE_FUNCTION || slot->type == VGPU_TYPE_KERNEL)
        free(slot->object);
    if (slot->type == VGPU_TYPE_STREAM) {
        worker_forget_stream(worker, slot->handle);
        if (slot->capture_graph)
            worker_capture_drop(worker, slot);
    }
    if (slot->type == VGPU_TYPE_BLOB) {
        struct vgpu_blob *blob = slot->object;
        worker->blob_bytes -= blob->mapped;
        munmap(blob->data, blob->mapped);
        free(blob);
    }
    if (slot->type == VGPU_TYPE_GRAPH)
        worker_graph_forget(slot->object);
    *slot = (struct worker_object){0};
}

void worker_remove(struct vgpu_worker *worker, enum vgpu_handle_type type, uint32_t handle)
{
    struct worker_object *slot = worker_object(worker, type, handle);

    if (!slot)
        return;
    /* A module's functions and a library's kernels die with it. */
    if (type == VGPU_TYPE_MODULE || type == VGPU_TYPE_LIBRARY) {
        enum vgpu_handle_type child = type == VGPU_TYPE_MODULE ? VGPU_TYPE_FUNCTION : VGPU_TYPE_KERNEL;
        for (uint32_t i = 0; i < worker->objects_used; i++) {
            struct worker_object *object = &worker->objects[i];
            if (object->handle && object->type == child &&
                ((struct worker_function *)object->object)->parent == handle)
                clear_slot(worker, object);
        }
    }
    clear_slot(worker, slot);
}

void worker_objects_purge(struct vgpu_worker *worker, struct worker_context *context)
{
    for (uint32_t i = 0; i < worker->objects_used; i++) {
        struct worker_object *object = &worker->objects[i];
        if (!object->handle)
            continue;
        if (object->context == context)
            clear_slot(worker, object);
        else if (object->type == VGPU_TYPE_KERNEL) {
            struct worker_function *function = object->object;
            if (function->context == context)
                function->context = NULL, function->function = NULL;
        }
    }
}

int worker_device_count(struct vgpu_worker *worker)
{
    return worker->device_count;
}

static bool within(uint64_t address, uint64_t bytes, uint64_t base, uint64_t size)
{
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

CUresult worker_global_add(struct vgpu_worker *worker, uint64_t address, uint64_t bytes)
{
    uint32_t at = global_above(worker, address);

    if (at && worker->globals[at - 1].address == address) {
        if (worker->globals[at - 1].bytes < bytes)
            worker->globals[at - 1].bytes = bytes;
        return CUDA_SUCCESS;
    }
    if (worker->global_count == worker->global_room) {
        uint32_t room = worker->global_room ? 2 * worker->global_room : 64;
        struct vgpu_range *more = room > GLOBALS_MAX ? NULL
                                                     : realloc(worker->globals, room * sizeof(*more));
        if (!more)
            return CUDA_ERROR_OUT_OF_MEMORY;
        worker->globals = more;
        worker->global_room = room;
    }
    memmove(&worker->globals[at + 1], &worker->globals[at],
            (worker->global_count - at) * sizeof(*worker->globals));
    worker->globals[at] = (struct vgpu_range){address, bytes};
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
