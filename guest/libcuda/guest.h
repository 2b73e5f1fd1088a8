/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest.h - what the files of the guest's libcuda.so.1 share
 *
 * One process has one client (transport) and one table of objects. Every handle that a program
 * holds is the address of a struct vgpu_object in one reserved range, and the object's place in
 * that range is the index of its wire handle: a pointer is validated by two comparisons and a look
 * at its type, without touching foreign memory, and creating an object needs no answer from the
 * host.
 *
 * Threads: each has a struct vgpu_thread with its stack of contexts. Nothing a launch, an
 * asynchronous copy or an event record does takes a lock, allocates or makes a system call.
 */
#ifndef VGPU_GUEST_H
#define VGPU_GUEST_H

#define VGPU_CUDA_NO_ALIASES
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest/libcuda/refuse.h"
#include "protocol/cuda_abi.h"
#include "protocol/transport/client.h"
#include "protocol/vgpu_arena.h"

#define VGPU_DEVICES_MAX 16
#define VGPU_ATTRIBUTES 192
/* The newest API version this library serves, whatever the host's driver says. */
#define VGPU_DRIVER_VERSION_MAX 13000

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* Defines an exported call that cuda_abi.h does not declare (per-thread-stream spellings and such).
 */
#define VGPU_EXPORT(name, ...)                                                                     \
    VGPU_CUDA_API CUresult name(__VA_ARGS__);                                                      \
    CUresult name(__VA_ARGS__)

/* ---- log ------------------------------------------------------------------------------------- */

enum { VGPU_LOG_QUIET, VGPU_LOG_ERRORS, VGPU_LOG_INFO, VGPU_LOG_DEBUG };

/* One line on stderr, prefixed "vgpu: ", when environment VGPU_LOG (0 to 3, default 1) is at least
 * level. No newline in format. */
/* Whether lines of that level are wanted. */
bool vgpu_says(int level);
void vgpu_say(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- objects --------------------------------------------------------------------------------- */

struct vgpu_local_storage;

struct vgpu_context {
    int device;
    unsigned flags;
    bool primary;
    atomic_int users; /* of cuCtxAttach and cuCtxDetach */
    uint64_t id;
    _Atomic uint64_t synced; /* event records up to this number are complete */
    bool priorities_known;
    int least_priority, greatest_priority;
    _Atomic(struct vgpu_local_storage *) storage; /* entries, newest first */
};

/* What a launch needs to know of a function on one device; immutable but for attributes. */
struct vgpu_function_info {
    struct vgpu_function_info *next; /* of other devices */
    int device;
    uint32_t attribute_valid;
    _Atomic int attributes[24];
    uint32_t param_bytes, param_count;
    struct {
        uint16_t offset, size;
    } params[];
};

struct vgpu_object {
    _Atomic uint32_t handle; /* wire handle; 0: this place is free */
    uint16_t type;           /* enum vgpu_handle_type; 0: free */
    uint16_t generation;
    uint32_t next_free;
    uint32_t context_handle;     /* of context when the object was made */
    struct vgpu_object *context; /* NULL for contexts, libraries and kernels */
    struct vgpu_object *sibling; /* next in the owner's list */
    union {
        struct vgpu_context state[1]; /* context */
        struct {
            unsigned flags;
            int priority;
            uint64_t id;
            _Atomic uint64_t synced;  /* records up to this number are complete */
            _Atomic uint32_t capture; /* number of the capture it is part of, or 0 */
        } stream;
        struct {
            unsigned flags;
            _Atomic uint32_t stream;   /* wire handle of the stream recorded in last */
            _Atomic uint64_t recorded; /* number of the last record; 0: never */
            _Atomic uint64_t complete; /* the highest record known to be complete */
            _Atomic uint32_t capture;  /* number of the capture it was recorded in last, or 0 */
            _Atomic bool external;     /* graphs record it: only the host knows when */
        } event;
        struct vgpu_graph *graph; /* what is known of its nodes (graph.c) */
        struct {
            struct vgpu_object *graph;
            uint32_t number, type; /* in its graph; CUgraphNodeType, or VGPU_NODE_NONE: not known */
        } node;
        struct {
            uint64_t flags;
        } exec;
        struct {
            _Atomic(struct vgpu_function_info *) info;
            struct vgpu_object *owner; /* module, or library of a kernel */
            char *name;
        } function; /* functions and kernels */
        struct {
            struct vgpu_object *functions;
            struct vgpu_object *library; /* a library's module in one context */
        } module;                        /* modules and libraries */
    };
};

extern struct vgpu_object *vgpu_objects; /* VGPU_HANDLE_MAX of them */

/* Reserves the range of objects. 0 or -1. */
int vgpu_objects_init(void);
/* A new object with a wire handle and everything else zero; NULL when VGPU_HANDLE_MAX are alive. */
struct vgpu_object *vgpu_object_new(enum vgpu_handle_type type, struct vgpu_object *context);
/* Gives the object and its wire handle back, with everything it owns in this process. */
void vgpu_object_free(struct vgpu_object *object);
/* As vgpu_object_free(), but the place is never used again: the host still knows its wire handle.
 */
void vgpu_object_retire(struct vgpu_object *object);
/* Gives a living object a new wire handle (a primary context that is made again). */
void vgpu_object_renew(struct vgpu_object *object);
/* Places up to this one may be in use. */
uint32_t vgpu_objects_end(void);
/* Frees every object that was made in context. */
void vgpu_objects_drop_context(struct vgpu_object *context);

/* Whether pointer is a living object of type. Any pointer value may be asked about. */
static inline bool vgpu_object_is(const void *pointer, unsigned type)
{
    uintptr_t distance = (uintptr_t)pointer - (uintptr_t)vgpu_objects;
    return distance < VGPU_HANDLE_MAX * sizeof(struct vgpu_object) &&
           distance % sizeof(struct vgpu_object) == 0 &&
           ((const struct vgpu_object *)pointer)->type == type;
}

static inline uint32_t vgpu_wire(const struct vgpu_object *object)
{
    return atomic_load_explicit(&object->handle, memory_order_relaxed);
}

/* ---- process and threads --------------------------------------------------------------------- */

struct vgpu_device {
    pthread_mutex_t lock; /* of the primary context's state */
    struct vgpu_object *primary;
    unsigned primary_flags;
    unsigned primary_count;
    _Atomic bool known; /* the members below are set */
    uint64_t total_memory;
    uint8_t uuid[16], luid[8];
    uint32_t luid_mask;
    char name[256];
    int pci_domain, pci_bus, pci_device;
    int attributes[VGPU_ATTRIBUTES];
    uint32_t attribute_valid[VGPU_ATTRIBUTES / 32];
};

struct vgpu_process {
    _Atomic(struct vgpu_client *) client; /* what operations travel on */
    _Atomic(struct vgpu_client *) ready;  /* the same, once cuInit has succeeded; else NULL */
    _Atomic uint32_t fault; /* CUresult that ended all GPU work of this process, or 0 */
    _Atomic bool ended;     /* the library is being unloaded */
    int driver_version;
    int device_count;
    uint64_t window, window_bytes; /* where device memory is */
    uint64_t arena, arena_bytes;
    struct vgpu_device devices[VGPU_DEVICES_MAX];
    _Atomic uint64_t next_id;     /* of contexts and streams */
    _Atomic uint64_t next_record; /* of event records and synchronisations */
    _Atomic uint32_t captures;    /* going on */
};

extern struct vgpu_process vgpu;

struct vgpu_thread_stream {
    struct vgpu_object *context;
    uint32_t context_handle;
    struct vgpu_object *stream;
};

struct vgpu_thread {
    struct vgpu_object *current; /* top of the stack, or NULL */
    struct vgpu_object **stack;  /* below it */
    unsigned depth, room;
    int capture_mode;
    struct vgpu_thread_stream *streams; /* default streams of this thread */
    unsigned stream_count;
    struct vgpu_thread *next, *prev;
};

extern __thread struct vgpu_thread *vgpu_thread_self __attribute__((tls_model("initial-exec")));
struct vgpu_thread *vgpu_thread_make(void);

static inline struct vgpu_thread *vgpu_thread(void)
{
    struct vgpu_thread *thread = vgpu_thread_self;
    return likely(thread != NULL) ? thread : vgpu_thread_make();
}

/* Number of threads that have used the library and still run. */
unsigned vgpu_thread_count(void);
/* Called at thread exit for the thread's default streams. */
void vgpu_thread_streams_end(struct vgpu_thread *thread);

/* CUDA_SUCCESS when calls can be made: initialised, alive, not a child of fork(). */
static inline CUresult vgpu_ready(void);
/* The result for a client that vgpu_ready() or the transport found unusable. */
CUresult vgpu_unusable(void);
/* The same for a channel that is dead: the worker's error, if it left one. */
CUresult vgpu_gone(const struct vgpu_client *client);

static inline CUresult vgpu_ready(void)
{
    struct vgpu_client *client = atomic_load_explicit(&vgpu.ready, memory_order_acquire);
    if (likely(client != NULL && vgpu_channel_usable(&client->channel) == 0))
        return CUDA_SUCCESS;
    return vgpu_unusable();
}

/* As vgpu_ready(), for work on the GPU: after an illegal access and the like CUDA refuses all of
 * it. */
static inline CUresult vgpu_able(void)
{
    CUresult result = vgpu_ready();
    if (unlikely(result != CUDA_SUCCESS))
        return result;
    return (CUresult)atomic_load_explicit(&vgpu.fault, memory_order_relaxed);
}

/* Ready, and a living context is current: *context. */
static inline CUresult vgpu_context_only(struct vgpu_object **context)
{
    CUresult result = vgpu_ready();
    if (unlikely(result != CUDA_SUCCESS))
        return result;
    struct vgpu_object *current = vgpu_thread()->current;
    if (unlikely(!current))
        return CUDA_ERROR_INVALID_CONTEXT;
    if (unlikely(current->type != VGPU_TYPE_CONTEXT || !vgpu_wire(current)))
        return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    *context = current;
    return CUDA_SUCCESS;
}

/* The same, for work on the GPU. */
static inline CUresult vgpu_current(struct vgpu_object **context)
{
    CUresult result = vgpu_context_only(context);
    if (unlikely(result != CUDA_SUCCESS))
        return result;
    return (CUresult)atomic_load_explicit(&vgpu.fault, memory_order_relaxed);
}

/* ---- contexts -------------------------------------------------------------------------------- */

/* The current context's device, for an object found by vgpu_current(). */
static inline int vgpu_context_device(const struct vgpu_object *context)
{
    return context->state->device;
}

/* Runs while a context dies: context-local storage (export_tables.c). */
void vgpu_storage_destroy(struct vgpu_context *context, CUcontext handle);
CUresult vgpu_primary_retain(CUcontext *ctx, int device);
/* The handle that the primary context has or will have, without making it. */
CUresult vgpu_primary_handle(CUcontext *ctx, int device);
/* Answered by op DeviceInfo once. device must be in range. */
CUresult vgpu_device_info(int device, const struct vgpu_device **info);
CUresult vgpu_device_attribute(int *value, int attribute, int device);

/* ---- streams --------------------------------------------------------------------------------- */

/* The calling thread's default stream in context, made on first use. */
CUresult vgpu_thread_stream(struct vgpu_object *context, struct vgpu_object **stream);
CUresult vgpu_stream_slow(CUstream stream, struct vgpu_object *context, uint32_t *wire);

/* What goes on the ring for a stream argument. */
static inline CUresult vgpu_stream(CUstream stream, struct vgpu_object *context, uint32_t *wire)
{
    if (stream == NULL || stream == CU_STREAM_LEGACY) {
        *wire = VGPU_STREAM_DEFAULT;
        return CUDA_SUCCESS;
    }
    struct vgpu_object *object = (struct vgpu_object *)stream;
    if (likely(vgpu_object_is(object, VGPU_TYPE_STREAM) && object->context == context)) {
        *wire = vgpu_wire(object);
        return CUDA_SUCCESS;
    }
    return vgpu_stream_slow(stream, context, wire);
}

/* A null stream in the spelling for per-thread default streams. */
#define VGPU_PTSZ(stream) ((stream) ? (stream) : CU_STREAM_PER_THREAD)

/* Everything recorded in stream (wire handle; context-wide when whole) before sequence is done. */
void vgpu_synced(struct vgpu_object *context, uint32_t stream, bool whole, uint64_t sequence);

/* ---- capture (capture.c) ----------------------------------------------------------------------
 */

uint32_t vgpu_capture_of(uint32_t wire);

/* Number of the capture that a stream (wire handle) is part of; 0: none. */
static inline uint32_t vgpu_stream_capture(uint32_t wire)
{
    if (likely(!atomic_load_explicit(&vgpu.captures, memory_order_relaxed)))
        return 0;
    return vgpu_capture_of(wire);
}

/* A stream joins the capture in which the event that it waits for was recorded. */
void vgpu_capture_join(struct vgpu_object *stream, uint32_t capture);
/* The capture cannot be ended well any more. */
void vgpu_capture_invalidate(uint32_t capture);
/* A stream is destroyed; the capture that began there goes with it. */
void vgpu_capture_destroyed(struct vgpu_object *stream);
CUresult vgpu_capture_check_slow(void);

/* For calls that CUDA forbids in some threads while a capture goes on, such as allocation. */
static inline CUresult vgpu_capture_check(void)
{
    if (likely(!atomic_load_explicit(&vgpu.captures, memory_order_relaxed)))
        return CUDA_SUCCESS;
    return vgpu_capture_check_slow();
}

/* The object of a stream argument, NULL for the legacy default stream, and its context. */
CUresult vgpu_stream_find(CUstream stream, struct vgpu_object **object,
                          struct vgpu_object **context);

/* ---- graphs (graph.c) ------------------------------------------------------------------------ */

/* A graph object with its list of nodes; NULL: out of memory. */
struct vgpu_object *vgpu_graph_new(struct vgpu_object *context);
/* The node with a number in its graph, made when first asked for; NULL: out of memory. */
struct vgpu_object *vgpu_graph_node(struct vgpu_object *graph, uint32_t number, uint32_t type);
/* Gives a graph and all its nodes back. */
void vgpu_graph_free(struct vgpu_object *graph);
/* For vgpu_object_free() only. */
void vgpu_graph_release(struct vgpu_object *graph);
/* Wire form of nodes of one graph that something depends on; data may be NULL. */
CUresult vgpu_graph_edges(struct vgpu_object *graph, const CUgraphNode *nodes,
                          const CUgraphEdgeData *data, size_t count, struct vgpu_graph_edge *out);

/* ---- memory ---------------------------------------------------------------------------------- */

enum vgpu_memory_kind { VGPU_PAGEABLE, VGPU_DEVICE, VGPU_PINNED };

/* One allocation; the map of them is read without locks. */
struct vgpu_range {
    uint64_t base, size;
    struct vgpu_object *context;
    uint64_t id;
    uint32_t context_handle;
    uint8_t kind; /* enum vgpu_memory_kind */
    uint8_t device;
    uint8_t global; /* a module's variable: not to be freed by itself */
    uint8_t flags;  /* CU_MEMHOSTALLOC_* of pinned memory */
    uint64_t owner; /* address of the module or library of a global */
};

int vgpu_map_init(void);
/* 0, -1 when it overlaps another range or there is no room. The map numbers the range (id). */
int vgpu_map_insert(const struct vgpu_range *range);
/* Removes the range starting at base; false when there is none. */
bool vgpu_map_remove(uint64_t base, struct vgpu_range *removed);
/* The range that address lies in. */
bool vgpu_map_find(uint64_t address, struct vgpu_range *range);
/* Removes what was allocated in a context, or belongs to a module or library. */
void vgpu_map_drop(uint32_t context_handle, uint64_t owner);

/* Whether [address, address + bytes) is device or pinned memory, and if not, what it is. */
CUresult vgpu_memory_check(uint64_t address, uint64_t bytes, enum vgpu_memory_kind *kind);

/* A three-dimensional copy as it travels: op Copy3D's first nine fields. */
struct vgpu_box {
    uint64_t to, from, to_pitch, from_pitch, to_rows, from_rows, width, height, depth;
    bool pageable; /* an end is memory that the GPU cannot reach */
};
/* Checks a copy's description (copy.c); an empty one has a width, height or depth of 0. */
CUresult vgpu_box_of(const CUDA_MEMCPY3D *copy, struct vgpu_box *box);

/* ---- staging --------------------------------------------------------------------------------- */

/*
 * As vgpu_stage_get(); the stage is registered with the GPU on its first use. A thread that holds a
 * stage must not wait for another: two such threads could wait for each other.
 */
CUresult vgpu_staging(size_t size, bool wait, struct vgpu_stage *stage);
/* Waits until the worker has set the stage's release word (a copy into it has finished). */
CUresult vgpu_staging_wait(const struct vgpu_stage *stage);
/* Context handle is gone: ranges registered in it are not registered any more. */
void vgpu_staging_forget(uint32_t context_handle);

/* memcpy(), with helper threads for large sizes. */
void vgpu_memcpy(void *to, const void *from, size_t bytes);
/* Ends the helpers; from then on copies are made alone. Not in a child of fork(). */
void vgpu_memcpy_end(void);

/* ---- functions ------------------------------------------------------------------------------- */

CUresult vgpu_function_load(struct vgpu_object *function, int device,
                            const struct vgpu_function_info **info);

/* Attributes and parameters of a function or kernel on device (the current context's). */
static inline CUresult vgpu_function_info(struct vgpu_object *function, int device,
                                          const struct vgpu_function_info **info)
{
    struct vgpu_function_info *known =
        atomic_load_explicit(&function->function.info, memory_order_acquire);
    if (likely(known && known->device == device)) {
        *info = known;
        return CUDA_SUCCESS;
    }
    return vgpu_function_load(function, device, info);
}

static inline struct vgpu_object *vgpu_function_of(CUfunction fn)
{
    if (likely(vgpu_object_is(fn, VGPU_TYPE_FUNCTION) || vgpu_object_is(fn, VGPU_TYPE_KERNEL)))
        return (struct vgpu_object *)fn;
    return NULL;
}

/* Checks and packs launch attributes for the wire; *count receives how many there are. */
CUresult vgpu_launch_attributes(const CUlaunchAttribute *attributes, unsigned attribute_count,
                                struct vgpu_launch_attribute *out, uint32_t *count);
#define VGPU_LAUNCH_ATTRIBUTES_MAX 32

/*
 * Packs parameters at out (info->param_bytes long) from either of the two forms that a launch
 * takes. Pure; unit-tested.
 */
CUresult vgpu_pack_params(const struct vgpu_function_info *info, void **params, void **extra,
                          uint8_t *out);

/* Module of an image in memory: what cuModuleLoadData and the export tables share. */
CUresult vgpu_module_load(CUmodule *module, const void *image, unsigned count,
                          const CUjit_option *options, void **values, bool fat_binary);

/* Process-wide errors and names (errors.c). */
const char *vgpu_error_name(CUresult error);

/* cuGetProcAddress's choice (procaddress.c): NULL with *status. Pure; unit-tested. */
void *vgpu_proc_address(const char *symbol, int version, uint64_t flags,
                        CUdriverProcAddressQueryResult *status);

#endif
