/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker.h - one guest CUDA process, executed on the real GPU
 *
 * One thread does everything: it takes records off the ring in program order, calls the driver, and
 * between records looks after what has not finished. No driver call here may block for long:
 * waiting operations are submitted, put on the list of waits, and polled (waits.h), so one program
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
#include "protocol/transport/host.h"
#include "protocol/transport/reply.h"
#include "protocol/transport/ring.h"
#include "vgpu_decode.h"

#define WORKER_DEVICES_MAX 16

struct device_heap;

struct worker_context {
    LIST_ENTRY(worker_context) link;
    uint32_t handle;
    CUcontext context;
    CUdevice device;
    bool primary;
    bool replies_registered; /* the reply slots were pinned while this context was current */
    struct device_heap *heap;
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
    void *object;    /* the driver's handle, or ours for CONTEXT, FUNCTION, KERNEL, BLOB */
    struct worker_context *context;
    bool dirty; /* STREAM: has work that is not known to be finished */
};

struct vgpu_blob {
    uint64_t size;
    uint64_t mapped;
    uint8_t *data; /* size bytes, then at least one zero byte, then an inaccessible page */
};

struct vgpu_range {
    uint64_t address, bytes;
};

struct dirty_stream {
    struct worker_context *context;
    uint32_t handle; /* 0: the context's default stream */
    CUstream stream;
};

struct wait_entry;
struct timed_entry;
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
    uint64_t device_memory;             /* bytes mapped in all heaps */

    struct worker_object *objects; /* VGPU_HANDLE_MAX slots */
    uint32_t objects_used;         /* highest index in use + 1 */
    uint64_t blob_bytes;
    struct vgpu_range *globals; /* sorted by address */
    uint32_t global_count, global_room;

    LIST_HEAD(, worker_context) contexts;
    struct worker_context *current; /* NULL: none */

    struct dirty_stream *dirty;
    uint32_t dirty_count, dirty_room;

    TAILQ_HEAD(wait_list, wait_entry) waits, free_waits;
    TAILQ_HEAD(timed_list, timed_entry) timed, free_timed;
    uint32_t timed_count;

    /* The record being executed. */
    const struct vgpu_record *record;
    uint64_t now; /* ns, taken when the record was fetched */
    bool answered_later;
    uint64_t moved; /* payload bytes it copied or filled, for the statistics */

    struct worker_nvml *nvml; /* NULL: the host has no NVML */

    int output_fd;       /* what kernels print, -1: not caught */
    uint64_t output_read; /* bytes of it that the guest has fetched */
    bool prints;         /* a loaded image may print: synchronisations must let the driver flush */

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
 * Variables of modules lie outside the window, where the driver put them: remembers one, so that
 * copies may name it. CUDA_ERROR_OUT_OF_MEMORY when there are too many.
 */
CUresult worker_global_add(struct vgpu_worker *worker, uint64_t address, uint64_t bytes);

/* ---- context.c ---- */
/* Makes a context current in the driver; handle 0: none. Costs nothing when it already is. */
CUresult worker_context_enter(struct vgpu_worker *worker, uint32_t handle);
CUresult worker_context_use(struct vgpu_worker *worker, struct worker_context *context);

/* ---- heap.c: device memory inside the guest's window ---- */
struct device_heap *device_heap_new(struct vgpu_worker *worker, CUdevice device);
/* Unmaps everything; the context must be current or already gone. */
void device_heap_free(struct vgpu_worker *worker, struct device_heap *heap);
CUresult device_heap_alloc(struct vgpu_worker *worker, struct device_heap *heap, uint64_t bytes,
                           uint64_t *address);
/* CUDA_ERROR_INVALID_VALUE when address is no allocation's start. */
CUresult device_heap_release(struct vgpu_worker *worker, struct device_heap *heap,
                             uint64_t address);
/* Is address an allocation's start? */
bool device_heap_owns(const struct device_heap *heap, uint64_t address);
/* Free bytes that an allocation could still get without asking the driver. */
uint64_t device_heap_idle(const struct device_heap *heap);

/* ---- waits.c: work in flight ---- */
int worker_waits_init(struct vgpu_worker *worker);
/* Notes that work was submitted to a stream of the current context. */
void worker_mark_dirty(struct vgpu_worker *worker, uint32_t stream_handle, CUstream stream);
void worker_forget_stream(struct vgpu_worker *worker, uint32_t handle);

/*
 * Around a piece of GPU work: begin before the driver call, end after it with its result. Measures
 * GPU time when the daemon asked for it, and sets release (index + 1, or 0) once it is done.
 */
struct timed_entry *worker_work_begin(struct vgpu_worker *worker, CUstream stream,
                                      uint32_t release);
CUresult worker_work_end(struct vgpu_worker *worker, struct timed_entry *entry,
                         uint32_t stream_handle, CUstream stream, CUresult result);

enum wait_kind {
    WAIT_STREAM,  /* until everything submitted to a stream is done */
    WAIT_EVENT,   /* until an event has completed */
    WAIT_CONTEXT, /* until everything submitted in the context is done */
};
/*
 * Answers the current record later. For WAIT_STREAM with own_event the wait ends with the work
 * submitted so far. payload_bytes: size of the answer, already in the reply slot. finish, when not
 * NULL, runs once waiting has ended well and gives the result.
 */
typedef CUresult wait_finish(struct vgpu_worker *worker, struct worker_context *context,
                             uint64_t argument0, uint64_t argument1);
CUresult worker_wait_later(struct vgpu_worker *worker, enum wait_kind kind, uint32_t stream_handle,
                           CUstream stream, CUevent event, uint32_t payload_bytes,
                           wait_finish *finish, uint64_t argument0, uint64_t argument1);
/* Looks at what is in flight. Returns whether anything finished. */
bool worker_poll(struct vgpu_worker *worker);
bool worker_in_flight(const struct vgpu_worker *worker);
/* A context is about to be destroyed: answers its waits, drops its measurements. */
void worker_waits_purge(struct vgpu_worker *worker, struct worker_context *context);

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
/* Serves the ring until the daemon says STOP, the daemon is gone, or the guest breaks the protocol. */
void worker_serve(struct vgpu_worker *worker);

/* ---- sandbox.c ---- */
/* Gives up what serving needs no more. Returns 0, or -1 with a line of text. */
int worker_sandbox(char *error, size_t bytes);

#endif
