/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker.h - one guest CUDA process, executed on the real GPU
 *
 * One thread does everything: it takes records off the ring in program order, calls the driver, and
 * between records looks after what has not finished. No driver call here may block for long:
 * waiting operations are submitted, put on the list of waits, and polled (waits.c), so one program
 * thread that synchronises never holds up another that launches.
 *
 * Trust: records and handles come from a hostile guest. The generated decoder checks sizes, ranges
 * and handles; handlers see only checked arguments. What the GPU driver itself makes of a hostile
 * image or parameter is contained by the process: own user, seccomp, nothing to reach but the GPU.
 */
#ifndef VGPU_WORKER_H
#define VGPU_WORKER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "mediator/common/arena_map.h"
#include "mediator/common/shm_stats.h"
#include "mediator/common/worker_link.h"
#include "mediator/worker/estimate.h"
#include "protocol/transport/host.h"
#include "protocol/transport/reply.h"
#include "protocol/transport/ring.h"
#include "vgpu_decode.h"

#define WORKER_DEVICES_MAX 16

#define WORKER_CONTEXTS_MAX 32 /* each costs the GPU hundreds of MiB that no quota counts */

struct device_heap;
struct worker_context;

/*
 * A stream, and what it has been given. Pieces of work are numbered through the whole worker, in
 * the order of submission, so "everything until now" is a number.
 */
struct worker_stream {
    TAILQ_ENTRY(worker_stream) link; /* in vgpu_worker.active, while finished < submitted */
    struct worker_context *context;
    CUstream stream;              /* NULL: the context's default stream */
    uint64_t submitted, finished; /* numbers of the last piece given, and known to be done */
    TAILQ_HEAD(work_list, work_entry) work; /* what is looked for, in order */
    uint32_t waits;                         /* answers that wait for it */
    uint32_t capture;       /* number of the capture it is part of, or 0 */
    uint32_t capture_graph; /* where a capture began: handle of its graph */
    bool active;
    bool destroyed; /* the driver's stream is gone; freed when it is done and nobody waits */
};

struct worker_context {
    LIST_ENTRY(worker_context) link;
    uint32_t handle;
    CUcontext context;
    CUdevice device;
    bool primary;
    bool replies_registered; /* the reply slots were pinned while this context was current */
    CUresult error;          /* of the work that finished last, when it failed */
    struct device_heap *heap;
    uint64_t malloc_bytes, printf_bytes; /* limits set by the guest, counted as device memory */
    struct worker_stream default_stream;
    TAILQ_HEAD(event_pool, pooled_event) timing_events, plain_events;
};

struct worker_function {
    CUfunction function; /* in context */
    CUkernel kernel;     /* not NULL: function is looked up per context */
    struct worker_context *context;
    uint32_t parent; /* handle of its module or library */
    bool params_known;
    uint32_t param_bytes;
};

/* One slot of the handle table. */
struct worker_object {
    uint32_t handle; /* 0: free */
    uint32_t type;   /* enum vgpu_handle_type */
    void *object;    /* the driver's handle, or ours for CONTEXT, FUNCTION, KERNEL, STREAM, BLOB */
    struct worker_context *context; /* NULL: belongs to the process */
    uint32_t parent;                /* MODULE: handle of the library it came from, or 0 */
    uint32_t capture;               /* EVENT: number of the capture it was recorded in last, or 0 */
};

struct vgpu_blob {
    uint64_t size;
    uint64_t mapped;
    uint8_t *data; /* size bytes, then at least one zero byte, then an inaccessible page */
};

/* A variable of a module or library. */
struct worker_global {
    uint64_t address, bytes;
    uint32_t parent; /* handle of its module or library */
    struct worker_context *context;
};

/* Addresses of the window without memory, in order. */
struct window_hole {
    TAILQ_ENTRY(window_hole) link;
    uint64_t base, bytes;
};

struct wait_entry;
struct work_entry;
struct worker_nvml;

struct vgpu_worker {
    const struct vgpu_driver *driver;
    void *driver_library;
    int device_count;
    int driver_version;

    int link_fd, doorbell_fd, interrupt_fd;
    struct worker_msg_assign assign;
    struct vgpu_arena_map arena;
    struct vgpu_host host;
    struct vgpu_consumer consumer;
    struct shm_page *page;

    uint64_t window_base, window_bytes; /* bytes 0: not placed yet */
    TAILQ_HEAD(window_holes, window_hole) holes;
    uint64_t device_memory; /* bytes mapped in all heaps, and set aside by limits */

    struct worker_object *objects; /* VGPU_HANDLE_MAX slots */
    uint32_t objects_used;         /* highest index in use + 1 */
    uint64_t blob_bytes;
    struct worker_global *globals; /* sorted by address, no two overlap */
    uint32_t global_count, global_room;

    LIST_HEAD(, worker_context) contexts;
    uint32_t context_count;
    struct worker_context *current; /* NULL: none; always what the driver has as current */

    uint64_t submitted; /* number of the last piece of GPU work */
    TAILQ_HEAD(, worker_stream) active;
    uint32_t active_count;
    struct work_list free_work;
    struct estimates estimates;
    uint32_t work_count, release_count; /* entries in streams; those with a release word */
    struct wait_entry *wait_slots;      /* by reply slot */
    TAILQ_HEAD(, wait_entry) waits;
    uint32_t wait_count;

    uint32_t captures, last_capture; /* going on; number of the newest */
    struct vgpu_mailbox *mailbox;    /* in the arena; NULL: not told yet */

    /* The record being executed. */
    const struct vgpu_record *record;
    bool held;    /* it waits for the gate */
    uint64_t busy_since; /* ns, when something last went on: taken, finished, or awoken for */
    uint64_t now; /* ns, taken before it; after a batch, when that ended */
    bool answered_later;
    uint64_t moved; /* payload bytes it copied or filled, for the statistics */

    struct worker_nvml *nvml; /* NULL: the host has no NVML */

    int output_fd;        /* what kernels print, -1: not caught */
    uint64_t output_read; /* bytes of it that the guest has fetched */
    bool prints;          /* a loaded image may print: synchronisations must let the driver flush */

    CUresult deferred_error; /* first since a synchronising call reported one */
    uint16_t deferred_opcode;
    const char *violation;
    bool stop;
};

/* ---- driver.c ---- */
/* Opens the driver library and resolves its calls. 0, or -1 with a line of text in error. */
int worker_driver_load(struct vgpu_worker *worker, const char *path, char *error, size_t bytes);
/* "CUDA_ERROR_..." for a result; never NULL. */
const char *worker_result_name(struct vgpu_worker *worker, CUresult result);

/* ---- objects.c ---- */
int worker_objects_init(struct vgpu_worker *worker);
struct worker_object *worker_object(struct vgpu_worker *worker, enum vgpu_handle_type type,
                                    uint32_t handle); /* NULL: none such */
/* A handle's function entry, kernel or function; NULL: none such. */
struct worker_function *worker_function(struct vgpu_worker *worker, uint32_t handle);
/* Forgets every object that belongs to a context that the driver has destroyed. */
void worker_objects_purge(struct vgpu_worker *worker, struct worker_context *context);

/*
 * Variables of modules lie outside the window, where the driver put them: remembers one of the
 * current context until its module, library or context goes, so that copies may name it.
 * CUDA_ERROR_OUT_OF_MEMORY when there are too many.
 */
CUresult worker_global_add(struct vgpu_worker *worker, uint32_t parent, uint64_t address,
                           uint64_t bytes);

/* ---- context.c ---- */
/* Makes a context current in the driver; handle 0: none. Costs nothing when it already is. */
CUresult worker_context_enter(struct vgpu_worker *worker, uint32_t handle);
CUresult worker_context_use(struct vgpu_worker *worker, struct worker_context *context);
/*
 * The stream a record names, 0 the current context's default stream. As CUDA has it, a stream of
 * another context is served too: that context is then current. NULL: there is no current context.
 */
struct worker_stream *worker_stream_enter(struct vgpu_worker *worker, uint32_t handle);

/* ---- heap.c: device memory inside the guest's window ---- */
struct device_heap *device_heap_new(struct vgpu_worker *worker, CUdevice device);
/* Unmaps everything; nothing on the GPU may use it any more. */
void device_heap_free(struct vgpu_worker *worker, struct device_heap *heap);
CUresult device_heap_alloc(struct vgpu_worker *worker, struct device_heap *heap, uint64_t bytes,
                           uint64_t *address);
/* CUDA_ERROR_INVALID_VALUE when address is no allocation's start. */
CUresult device_heap_release(struct vgpu_worker *worker, struct device_heap *heap,
                             uint64_t address);
/* Is address an allocation's start? */
bool device_heap_owns(const struct device_heap *heap, uint64_t address);
/* Counts device memory, for the quota and the statistics. */
void worker_account(struct vgpu_worker *worker, int64_t change);
/* Makes a part of the window available for memory. */
void worker_window_give(struct vgpu_worker *worker, uint64_t base, uint64_t bytes);
/* Free bytes that an allocation could still get without asking the driver. */
uint64_t device_heap_idle(const struct device_heap *heap);

/* ---- waits.c: work in flight ---- */
int worker_waits_init(struct vgpu_worker *worker);
void worker_stream_init(struct worker_stream *stream, struct worker_context *context,
                        CUstream driver_stream);
/* Notes that the stream of the current context was given something to do. */
void worker_submitted(struct vgpu_worker *worker, struct worker_stream *stream);
/* Ends a stream that no handle names any more; what it has been given is still looked after. */
void worker_stream_drop(struct vgpu_worker *worker, struct worker_stream *stream);

/*
 * Around a piece of GPU work in a stream of the current context: begin before the driver call, end
 * after it with its result. Measures GPU time when the daemon asked for it, and sets release
 * (index + 1, or 0) once it is done; after a failure that is the caller's business. watched: an
 * answer will wait for this piece.
 */
struct work_entry *worker_work_begin(struct vgpu_worker *worker, struct worker_stream *stream,
                                     uint32_t release, bool watched);
CUresult worker_work_end(struct vgpu_worker *worker, struct work_entry *entry,
                         struct worker_stream *stream, CUresult result);

/*
 * Answers the current record once the work submitted so far is done: in a stream, or in all streams
 * of a context (stream NULL). payload_bytes: size of the answer, which the GPU puts into the reply
 * slot. finish, when not NULL, runs once waiting has ended well and gives the result. It may be
 * answered at once: return what is returned here from the handler.
 */
typedef CUresult wait_finish(struct vgpu_worker *worker, struct worker_context *context,
                             uint64_t argument);
CUresult worker_wait_work(struct vgpu_worker *worker, struct worker_context *context,
                          struct worker_stream *stream, uint32_t payload_bytes, wait_finish *finish,
                          uint64_t argument);
/* The same until an event has completed. */
CUresult worker_wait_event(struct vgpu_worker *worker, struct worker_context *context,
                           uint32_t event_handle);
/* Is the reply slot promised to a wait that has not ended? */
bool worker_reply_promised(const struct vgpu_worker *worker, uint32_t reply);

/*
 * Looks at what is in flight, a bounded part per call. idle: nothing else is to be done, so look
 * also at what nobody waits for. Returns whether anything finished.
 */
bool worker_poll(struct vgpu_worker *worker, bool idle);
bool worker_in_flight(const struct vgpu_worker *worker);
/*
 * A context is about to be destroyed: answers its waits with CUDA_ERROR_CONTEXT_IS_DESTROYED, waits
 * for the GPU, sets the release words of its work.
 */
void worker_waits_purge(struct vgpu_worker *worker, struct worker_context *context);

/*
 * The stream may not be asked any more, because it is to be captured or, a default stream, because a
 * blocking stream is: an event stands for what it has been given.
 */
void worker_stream_mark(struct vgpu_worker *worker, struct worker_stream *stream);

/* ---- graph.c: capture and graphs ---- */
/* An inline copy into a graph, which keeps the bytes from then on. */
CUresult worker_capture_inline(struct vgpu_worker *worker, CUdeviceptr destination,
                               const void *data, size_t bytes, CUstream stream);
/* A stream where a capture began is being destroyed: the driver drops the capture. */
void worker_capture_drop(struct vgpu_worker *worker, struct worker_stream *stream);
/*
 * pointer goes to release when the graph that is being captured in stream, and all that is made of
 * it, are gone. On failure it stays the caller's.
 */
CUresult worker_capture_own(struct vgpu_worker *worker, CUstream stream, void *pointer,
                            CUhostFn release);
/* Frees what the worker keeps of a graph; the driver's graph is not touched. */
void worker_graph_forget(struct worker_graph *graph);

/* ---- memory.c, module.c: checks that graphs need, too ---- */
/* The driver's box for a copy; CUDA_ERROR_INVALID_VALUE: an end is not in the guest's memory. */
CUresult worker_copy_box(struct vgpu_worker *worker, uint64_t destination, uint64_t source,
                         uint64_t destination_pitch, uint64_t source_pitch,
                         uint64_t destination_rows, uint64_t source_rows, uint64_t width,
                         uint64_t height, uint64_t depth, CUDA_MEMCPY3D *box);
/* Whether a fill stays inside memory, and how many bytes it writes. */
CUresult worker_fill_area(struct vgpu_worker *worker, uint64_t destination, uint64_t pitch,
                          uint64_t width, uint64_t height, uint32_t element, uint64_t *bytes);
/* Learns the size of a function's parameters; bytes must be enough for them. */
CUresult worker_params_fit(struct vgpu_worker *worker, struct worker_function *function,
                           CUfunction driver_function, size_t bytes);

/* ---- output.c: what kernels print ---- */
/* Has the driver's standard output caught. Before any thread is started. 0 or -1. */
int worker_output_init(struct vgpu_worker *worker);
/* Remembers whether kernels of an image may print. */
void worker_output_scan(struct vgpu_worker *worker, const struct vgpu_blob *blob);
/* After a synchronisation: tells the guest when text has come. */
void worker_output_publish(struct vgpu_worker *worker);

/* ---- serve.c ---- */
void worker_answer(struct vgpu_worker *worker, uint16_t opcode, uint32_t reply, CUresult result,
                   const void *payload, uint32_t bytes);
/* Executes one record (a private copy). */
void worker_execute_record(struct vgpu_worker *worker, const struct vgpu_record *record);
/*
 * Serves up to count records from the ring, until it is empty, the gate shuts or the guest breaks
 * the protocol. record: VGPU_RECORD_MAX bytes that stay the caller's, 64-byte aligned, and keep
 * what waits for the gate until the next call (vgpu_worker.held). Returns how many were served.
 */
unsigned worker_serve_batch(struct vgpu_worker *worker, struct vgpu_record *record, unsigned count);
/* Serves the ring until the daemon says STOP, the daemon is gone, or the guest breaks the protocol.
 */
void worker_serve(struct vgpu_worker *worker);

/* ---- sandbox.c ---- */
/* Gives up what serving needs no more. Returns 0, or -1 with a line of text. */
int worker_sandbox(char *error, size_t bytes);

#endif
