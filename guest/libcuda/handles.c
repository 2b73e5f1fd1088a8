/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of objects. A place that is freed goes to the end of a first-in first-out list, so that
 * a program's stale handle stays invalid for as long as possible, and its generation advances, so
 * that the host finds a stale wire handle invalid for ever after (until 4096 generations later).
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "guest/libcuda/guest.h"

struct vgpu_object *vgpu_objects;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t used = 1; /* places that were ever used; place 0 would be handle 0 */
static uint32_t free_first, free_last;

int vgpu_objects_init(void)
{
    if (vgpu_objects)
        return 0;
    void *range = mmap(NULL, VGPU_HANDLE_MAX * sizeof(struct vgpu_object), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (range == MAP_FAILED)
        return -1;
    vgpu_objects = range;
    return 0;
}

static uint32_t handle_of(const struct vgpu_object *object)
{
    uint32_t generation = object->generation & ((1u << (32 - VGPU_HANDLE_INDEX_BITS)) - 1);
    return generation << VGPU_HANDLE_INDEX_BITS | (uint32_t)(object - vgpu_objects);
}

struct vgpu_object *vgpu_object_new(enum vgpu_handle_type type, struct vgpu_object *context)
{
    struct vgpu_object *object = NULL;

    pthread_mutex_lock(&lock);
    /* Fresh places first, up to a few thousand, so that freed ones rest before they are used again.
     */
    if (free_first && (used >= 4096 || used == VGPU_HANDLE_MAX)) {
        object = &vgpu_objects[free_first];
        free_first = object->next_free;
        if (!free_first)
            free_last = 0;
    } else if (used < VGPU_HANDLE_MAX) {
        object = &vgpu_objects[used++];
    }
    if (object) {
        uint16_t generation = object->generation;
        memset(object, 0, sizeof(*object));
        object->generation = generation;
        object->context = context;
        object->context_handle = context ? vgpu_wire(context) : 0;
        object->type = (uint16_t)type;
        atomic_store_explicit(&object->handle, handle_of(object), memory_order_release);
    }
    pthread_mutex_unlock(&lock);
    if (!object)
        vgpu_say(VGPU_LOG_ERRORS,
                 "too many objects: %u events, streams, modules and functions exist",
                 VGPU_HANDLE_MAX - 1);
    return object;
}

static void release_function(struct vgpu_object *object)
{
    struct vgpu_function_info *info = atomic_load(&object->function.info);
    while (info) {
        struct vgpu_function_info *next = info->next;
        free(info);
        info = next;
    }
    free(object->function.name);
}

uint32_t vgpu_objects_end(void)
{
    pthread_mutex_lock(&lock);
    uint32_t end = used;
    pthread_mutex_unlock(&lock);
    return end;
}

void vgpu_object_free(struct vgpu_object *object)
{
    if (object->type == VGPU_TYPE_FUNCTION || object->type == VGPU_TYPE_KERNEL)
        release_function(object);
    if (object->type == VGPU_TYPE_GRAPH)
        vgpu_graph_release(object);

    pthread_mutex_lock(&lock);
    object->type = 0;
    atomic_store_explicit(&object->handle, 0, memory_order_release);
    object->generation++;
    object->next_free = 0;
    uint32_t index = (uint32_t)(object - vgpu_objects);
    if (free_last)
        vgpu_objects[free_last].next_free = index;
    else
        free_first = index;
    free_last = index;
    pthread_mutex_unlock(&lock);
}

void vgpu_object_retire(struct vgpu_object *object)
{
    if (object->type == VGPU_TYPE_FUNCTION || object->type == VGPU_TYPE_KERNEL)
        release_function(object);
    object->type = 0;
    atomic_store_explicit(&object->handle, 0, memory_order_release);
}

void vgpu_object_renew(struct vgpu_object *object)
{
    pthread_mutex_lock(&lock);
    object->generation++;
    atomic_store_explicit(&object->handle, handle_of(object), memory_order_release);
    pthread_mutex_unlock(&lock);
}

void vgpu_objects_drop_context(struct vgpu_object *context)
{
    pthread_mutex_lock(&lock);
    uint32_t end = used;
    pthread_mutex_unlock(&lock);
    for (uint32_t i = 1; i < end; i++) {
        struct vgpu_object *object = &vgpu_objects[i];
        if (object->type && object->context == context) {
            /* A library outlives the context that it has a module in. */
            if (object->type == VGPU_TYPE_MODULE && object->module.library) {
                struct vgpu_object **link = &object->module.library->module.functions;
                while (*link && *link != object)
                    link = &(*link)->sibling;
                if (*link)
                    *link = object->sibling;
            }
            vgpu_object_free(object);
        }
    }
}
