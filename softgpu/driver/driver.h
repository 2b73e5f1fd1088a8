/* SPDX-License-Identifier: Apache-2.0 */
/*
 * driver.h - what the files of the software GPU's driver share
 *
 * The library is a CUDA driver: cuda_abi.h says what each exported call promises. Inside, one mutex
 * (drv.lock) guards every object, queue and table; it is never held while a kernel, a large copy or
 * a function of the program runs. A call goes: enter (takes the lock, refuses when the driver is
 * not initialised, the device has faulted, or no context is current), look handles up, act, leave.
 *
 * Work is an op in a stream's queue. Ops start in stream order when ready (sched.c): kernels on the
 * pool of CPU threads (pool.c), copies on copy threads, functions of the program on a thread of
 * their own, markers at once. A synchronous copy is an op that its own caller carries out.
 */
#ifndef VGPU_SOFTGPU_DRIVER_H
#define VGPU_SOFTGPU_DRIVER_H

#define VGPU_CUDA_NO_ALIASES
#include "protocol/cuda_abi.h"
#include "softgpu/engine/engine.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#define SOFT_DRIVER_VERSION                                                                        \
    12040 /* the newest release whose first set of calls is complete here                          \
           */
#define SOFT_CC_MAJOR 8
#define SOFT_CC_MINOR 0
#define SOFT_MAX_DEVICES 16
#define SOFT_MAX_CORES 1024
#define SOFT_CHUNK (2ull << 20)      /* granularity of device memory, bytes */
#define SOFT_SMALL_UNIT 512u         /* granularity of small allocations, bytes */
#define SOFT_MAX_PITCH 0x7fffffffull /* bytes */
#define SOFT_PITCH_ALIGN 512u        /* of cuMemAllocPitch, bytes */
#define SOFT_SHARED_DEFAULT (48u << 10)
#define SOFT_SHARED_OPTIN (163u << 10) /* per CTA when asked for by attribute */
#define SOFT_SHARED_SM (164u << 10)
#define SOFT_SHARED_RESERVED 1024u /* per resident CTA */
#define SOFT_THREADS_SM 2048u
#define SOFT_BLOCKS_SM 32u
#define SOFT_REGISTERS_SM 65536u
#define SOFT_PARAM_MAX 4096u /* bytes of kernel parameters */
#define SOFT_PRIORITY_GREATEST (-5)
#define SOFT_QUEUE_MAX                                                                             \
    16384u /* ops in a stream; a call that would queue more waits, as on hardware */

/* Defines a call that cuda_abi.h does not declare. */
#define EXTRA(name, params)                                                                        \
    VGPU_CUDA_API CUresult name params;                                                            \
    CUresult name params

/* ---- lists ----------------------------------------------------------------------------------- */

struct link {
    struct link *prev, *next;
};

static inline void list_init(struct link *l)
{
    l->prev = l->next = l;
}
static inline bool list_empty(const struct link *l)
{
    return l->next == l;
}
static inline void list_append(struct link *list, struct link *item)
{
    item->prev = list->prev;
    item->next = list;
    list->prev->next = item;
    list->prev = item;
}
static inline void list_remove(struct link *item)
{
    item->prev->next = item->next;
    item->next->prev = item->prev;
    list_init(item);
}
#define CONTAINER(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define LIST_EACH(it, list)                                                                        \
    for (struct link *it = (list)->next, *it##_next = it->next; it != (list);                      \
         it = it##_next, it##_next = it->next)

/* ---- handles --------------------------------------------------------------------------------- */

/*
 * A handle is type, generation and index, not an address: a stale or made-up one is refused, never
 * dereferenced. Handles are non-zero, differ from CU_STREAM_LEGACY and CU_STREAM_PER_THREAD, and
 * are not reused until 2^20 other objects have had the same index.
 */
enum object_type {
    OBJECT_CONTEXT = 1,
    OBJECT_MODULE,
    OBJECT_FUNCTION,
    OBJECT_LIBRARY,
    OBJECT_KERNEL,
    OBJECT_STREAM,
    OBJECT_EVENT,
    OBJECT_POOL,
    OBJECT_PHYSICAL,
    OBJECT_GRAPH,
    OBJECT_NODE,
    OBJECT_EXEC,
    OBJECT_USER,
};

uint64_t handle_new(enum object_type type, void *object); /* 0: no memory */
void *handle_get(uint64_t handle, enum object_type type); /* NULL: no such live object */
void handle_free(uint64_t handle);
#define HANDLE(h) ((uint64_t)(uintptr_t)(h))
#define AS_HANDLE(type, h) ((type)(uintptr_t)(h))

/* ---- devices, contexts ----------------------------------------------------------------------- */

struct device {
    int ordinal;
    CUuuid uuid;
    size_t total; /* bytes, a multiple of SOFT_CHUNK */
    /* Physical memory: a sparse file, handed out in chunks. */
    int memory_fd; /* -1 until memory is first asked for */
    uint64_t *chunk_used;
    size_t chunk_count, chunks_free;
    struct link segments;    /* struct segment */
    struct context *primary; /* NULL: inactive */
    unsigned primary_refs, primary_flags;
    uint64_t pool; /* handle of the default memory pool */
    uint64_t pool_threshold, pool_reserved_high, pool_used, pool_used_high;
    int pool_reuse[3];
};

struct op;
struct capture;
struct node;

struct stream {
    struct link of_context; /* in context.streams; the legacy stream is not listed */
    struct link active;     /* in drv.active while ops are queued */
    struct context *ctx;
    uint64_t handle; /* 0: legacy or per-thread */
    uint64_t id;
    unsigned flags;
    int priority;
    bool legacy, nonblocking, per_thread, destroyed;
    unsigned refs; /* waiters that look at it */
    struct op *head, **tail;
    uint64_t last_seq; /* of the last op queued */
    size_t queued;     /* ops */
    CUlaunchAttributeValue window, sync_policy, sync_domain, sync_map;
    struct capture *capture; /* NULL: what is submitted is queued */
    struct node **capture_deps;
    size_t capture_dep_count;
};

struct context {
    struct link all; /* in drv.contexts */
    uint64_t handle;
    uint64_t id;
    struct device *dev;
    bool primary, destroyed;
    unsigned flags;
    unsigned api_version;
    unsigned users; /* threads waiting inside it */
    struct stream legacy;
    struct link streams;
    struct link modules; /* struct module */
    struct link events;  /* struct event */
    size_t blocking_ops; /* queued in blocking streams, the legacy stream excepted */
    size_t limits[CU_LIMIT_MAX];
    CUfunc_cache cache;
    CUsharedconfig shared;
    uint32_t peers; /* bit per device ordinal */
    /* What kernels printed since the last synchronisation. Guarded by print_lock, not drv.lock. */
    pthread_mutex_t print_lock;
    char *print_text;
    size_t print_used, print_size;
};

/* Per-thread state; made on a thread's first call that needs it. */
struct thread {
    uint64_t *stack; /* context handles, current last */
    size_t depth, capacity;
    struct { /* this thread's CU_STREAM_PER_THREAD, by context */
        struct context *ctx;
        uint64_t ctx_handle;
        struct stream *stream;
    } * streams;
    size_t stream_count;
    CUstreamCaptureMode capture_mode;
};

struct thread *thread_self(void); /* NULL: no memory */
struct context *context_current(void);
CUresult context_new(struct device *dev, unsigned flags, struct context **out);
/* Waits for its work, frees all it owns. Lock held; given up while waiting. */
void context_destroy(struct context *ctx);

/* ---- the driver ------------------------------------------------------------------------------ */

enum fault_kind { FAULT_NONE, FAULT_HANG, FAULT_ILLEGAL, FAULT_VANISH };

struct driver {
    pthread_mutex_t lock;
    pthread_cond_t done; /* something completed, a caller's op may start, or an error struck */
    unsigned waiters;    /* on done */
    bool initialised;
    bool forked;       /* in a child of an initialised process: unusable, as CUDA is */
    atomic_int sticky; /* CUresult that ends the process's use of CUDA, or 0 */
    atomic_int cancel; /* set with sticky: running CTAs stop */

    int device_count;
    struct device devices[SOFT_MAX_DEVICES];
    unsigned cores;
    int poison; /* byte that new memory holds, or -1: zero */
    struct sg_memmap *map;
    struct link contexts;
    struct link active; /* struct stream */
    uint64_t next_seq, next_id;

    /* Threads that touch device memory outside the lock, and requests that they pause. */
    unsigned running;
    unsigned paused;
    atomic_uint resched; /* bumped when a pool thread should look for other work */
    atomic_uint runnable_grids;
    struct link deferred; /* struct block: freed, to be unmapped when nothing runs */
    unsigned value_waits; /* heads of streams that wait for a value in memory */
};

extern struct driver drv;

/*
 * enter takes the lock. On an error it has not, and the caller returns that error; else the caller
 * ends with leave, which releases it and returns its argument.
 */
CUresult enter(void);                         /* initialised, nothing else */
CUresult enter_context(struct context **ctx); /* and no sticky error, and a live current context */
CUresult enter_healthy(void);                 /* initialised and no sticky error */
CUresult leave(CUresult result);
/* Releases the lock, prints what the context's kernels printed, returns result. */
CUresult leave_synchronised(struct context *ctx, CUresult result);
/* Lock held: sleeps until drv.done is signalled. */
void wait_done(void);
void wake_done(void);
void fault(CUresult sticky, const char *why);
void print_append(void *context, const char *text, size_t len);
void print_flush(struct context *ctx);

/* One line on standard error, with the library's name in front. */
void soft_log(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Logs once per call site that call is not served, and yields CUDA_ERROR_NOT_SUPPORTED. */
#define UNSUPPORTED(call, why)                                                                     \
    ({                                                                                             \
        static atomic_flag said = ATOMIC_FLAG_INIT;                                                \
        if (!atomic_flag_test_and_set(&said))                                                      \
            soft_log("%s: %s is not supported", call, why);                                        \
        CUDA_ERROR_NOT_SUPPORTED;                                                                  \
    })
struct device *device_get(CUdevice dev); /* NULL: no such device */
/* The value of a VGPU_SOFT_* variable, bounded; fallback when it is unset or not a number. */
long long soft_setting(const char *name, long long fallback, long long min, long long max);
uint64_t now_ns(void);
/* Starts a detached thread with all signals blocked. False: the system refused. */
bool thread_start(void *(*fn)(void *), void *arg);

/* ---- memory ---------------------------------------------------------------------------------- */

struct physical { /* device memory without an address: cuMemCreate, or under a segment */
    struct device *dev;
    uint64_t handle; /* 0 once released */
    size_t size;
    unsigned refs; /* the handle's references and the mappings */
    unsigned handle_refs;
    CUmemAllocationProp prop;
    size_t extent_count;
    struct extent {
        size_t first, count; /* chunks */
    } extents[];
};

struct segment { /* mapped device memory that cuMemAlloc hands out: one block, or 512-byte units */
    struct link of_device;
    struct physical *phys;
    uint64_t base;
    size_t size;
    bool small;
    size_t units_used;
    uint64_t bitmap[SOFT_CHUNK / SOFT_SMALL_UNIT / 64];
};

enum block_kind {
    BLOCK_DEVICE,     /* cuMemAlloc, cuMemAllocAsync */
    BLOCK_MAPPED,     /* cuMemMap */
    BLOCK_HOST,       /* cuMemAllocHost, cuMemHostAlloc */
    BLOCK_REGISTERED, /* cuMemHostRegister */
};

struct block { /* a live range of addresses; in a table sorted by base */
    uint64_t base, size;
    enum block_kind kind;
    struct context *ctx; /* NULL: BLOCK_MAPPED */
    struct device *dev;
    struct segment *segment; /* BLOCK_DEVICE */
    struct physical *phys;   /* BLOCK_MAPPED */
    uint64_t id;
    unsigned flags;
    bool accessible, readonly, pooled, sync_memops;
    bool freeing; /* by cuMemFreeAsync */
    struct link deferred;
};

enum space {
    SPACE_DEVICE,
    SPACE_PINNED,
    SPACE_PAGEABLE, /* any other address of the process */
    SPACE_DEAD,     /* inside device address space, but nothing lives there */
};

struct block *block_find(uint64_t addr);
enum space memory_space(uint64_t addr);
/* True when a copy may read (write) all of [addr, addr + size): live, and not read-only. */
bool memory_live(uint64_t addr, uint64_t size, bool write);
/* False when part of the range is known not to be mapped in this process. */
bool memory_mapped(const void *addr, size_t size);
/* Waits until nothing outside the lock touches device memory; then resume. Lock held. */
void memory_quiesce(void);
void memory_resume(void);
/* Frees a device block whose use has ended in stream order; unmaps it when nothing runs. */
void memory_release(struct block *block);
/* Carries out what memory_release put off. Lock held and nothing running. */
void memory_collect(void);
void memory_context_destroyed(struct context *ctx);
void device_memory_init(struct device *dev);

/* ---- streams, events, ops -------------------------------------------------------------------- */

struct marker { /* one recording of an event; shared by the event and those who wait for it */
    unsigned refs;
    bool done;
    uint64_t time_ns;
};

struct event {
    struct link of_context;
    struct context *ctx;
    uint64_t handle;
    unsigned flags;
    struct marker *marker; /* NULL: never recorded */
    bool captured;           /* recorded in a capture last */
    struct capture *capture; /* which one, while that goes on */
    struct node **capture_deps;
    size_t capture_dep_count;
};

struct marker *marker_new(void);
void marker_drop(struct marker *marker);

struct copy { /* a box of bytes; linear: height and depth 1 */
    uint64_t dst, src;
    size_t width, height, depth; /* bytes, rows, slices */
    size_t dst_pitch, dst_slice, src_pitch, src_slice;
    bool dst_device, src_device; /* must be live when carried out */
};

struct fill {
    uint64_t dst;
    size_t pitch, width, height; /* bytes, elements, rows */
    unsigned element;            /* bytes: 1, 2, 4 */
    uint32_t value;
};

struct function;

struct grid {             /* a kernel launch */
    struct link runnable; /* in the pool's list while CTAs are unclaimed */
    struct sg_launch launch;
    atomic_ullong next; /* first CTA not claimed */
    uint64_t total, done;
    unsigned active; /* pool threads that hold it */
    int priority;    /* lower runs first */
    enum fault_kind fault;
    uint8_t *params; /* small or from malloc */
    uint8_t small[512];
};

enum op_kind {
    OP_NONE, /* only its place in the order */
    OP_KERNEL,
    OP_COPY,
    OP_FILL,
    OP_CALLER, /* the submitting thread acts when running becomes true, then op_complete */
    OP_RECORD,
    OP_WAIT_EVENT,
    OP_HOST,
    OP_CALLBACK,
    OP_WAIT_VALUE,
    OP_WRITE_VALUE,
    OP_FREE,
};

struct op {
    struct op *next;
    struct stream *stream;
    enum op_kind kind;
    bool running, on_stack, counted_wait;
    uint64_t seq;
    void *staging; /* freed with the op */
    union {
        struct grid grid;
        struct copy copy;
        struct fill fill;
        struct marker *marker;
        struct {
            void (*fn)(void);
            void *data;
            CUstream stream;
        } host;
        struct {
            uint64_t addr, value;
            unsigned flags;
            bool wide;
        } value;
        struct block *block;
    };
};

/* All with the lock held. */
struct op *op_new(enum op_kind kind); /* NULL: no memory */
void op_discard(struct op *op);       /* never submitted */
void op_submit(struct stream *stream, struct op *op);
void op_complete(struct op *op);
/* Puts an op of the calling thread in order and waits until its turn; then op_complete ends it. */
CUresult op_begin_caller(struct stream *stream, struct op *op);
void sched_run(void); /* starts everything that is ready */
struct stream *stream_get(struct context *ctx, CUstream handle); /* NULL: invalid */
/* The same for a call that queues work: waits while the stream is full. May give the lock up, so
 * what was looked up before must be looked up again. On an error the lock is still held. */
CUresult stream_for_work(struct context *ctx, CUstream handle, struct stream **out);
CUresult stream_wait(struct stream *stream);
bool stream_busy(struct stream *stream);
CUresult context_wait(struct context *ctx); /* all that is queued now; null: in every context */
void stream_init(struct stream *stream, struct context *ctx, unsigned flags, int priority);
void stream_release(struct stream *stream); /* destroyed: freed when idle */
void event_free(struct event *event);

static inline CUstream per_thread(CUstream stream)
{
    return stream ? stream : CU_STREAM_PER_THREAD;
}

bool copy_run(const struct copy *copy); /* false: an address was not live */
bool fill_run(const struct fill *fill);
size_t copy_bytes(const struct copy *copy);

/* graph.c. Lock held. */
void capture_op(struct stream *stream, struct op *op); /* takes op over */
/* For what a capturing stream may not do, which invalidates the capture. */
CUresult capture_forbids(struct stream *stream);
CUresult capture_record(struct stream *stream, struct event *event, unsigned flags);
CUresult capture_wait(struct stream *stream, struct event *event, unsigned flags);
void capture_event_over(struct event *event);
void capture_stream_destroyed(struct stream *stream);

/* pool.c: take over an op that has become ready. False: no thread could be started. */
bool pool_start_kernels(void);
bool pool_start_copies(void);
bool pool_start_host(void);
bool pool_start_poller(void);
void pool_push_grid(struct op *op);
void pool_push_copy(struct op *op);
void pool_push_host(struct op *op);
void pool_poll(void); /* drv.value_waits rose */
void pool_resume(void);
void pool_ended_running(void); /* a thread counted in drv.running is done with memory */

/* ---- modules --------------------------------------------------------------------------------- */

struct function {
    uint64_t handle;
    struct module *module;
    struct sg_function *code;
    int max_dynamic_shared; /* bytes; -1: what fits under SOFT_SHARED_DEFAULT */
    int carveout;
    int nonportable_cluster, cluster_policy;
    CUfunc_cache cache;
};

struct module {
    struct link of_context;
    uint64_t handle;
    struct context *ctx;
    struct library *library; /* the library it is an instance of, or NULL */
    struct sg_module *code;
    size_t function_count;
    struct function *functions;
};

struct kernel {
    uint64_t handle;
    struct library *library;
    const char *name; /* from malloc */
    int max_dynamic_shared, carveout, nonportable_cluster, cluster_policy;
};

void module_free(struct module *module); /* nothing runs */
/* A function, or a kernel's function in ctx. Lock held. */
CUresult function_resolve(struct context *ctx, CUfunction handle, struct function **out);
unsigned function_registers(const struct function *fn);
unsigned function_max_dynamic_shared(const struct function *fn);

/* image.c: the PTX texts inside a module image, best first. */
struct image_text {
    const char *text;
    size_t len;
    unsigned arch; /* 80 for sm_80; 0: not said */
    char *owned;   /* to free, or NULL */
};
struct image {
    struct image_text *texts;
    size_t count;
};
CUresult image_open(const void *data, struct image *image);
void image_close(struct image *image);

/* launch faults, from VGPU_SOFT_FAULT and VGPU_SOFT_FAULT_FILE */
void fault_switch_init(void);
enum fault_kind fault_switch_next(void);

#endif
