/* SPDX-License-Identifier: Apache-2.0 */
/* Generated from protocol/api/ by protocol/gen/vgpu_gen.py: do not edit. */
#ifndef VGPU_DECODE_H
#define VGPU_DECODE_H
#include <stdbool.h>
#include <stdint.h>
#include "protocol/cuda_abi.h"
#include "vgpu_ops.h"

struct vgpu_worker;
struct vgpu_blob;
struct worker_graph;

/* The driver library's entry points; those marked optional may be NULL. */
struct vgpu_driver {
    __typeof__(&cuAsk) cuAsk; /* optional */
    __typeof__(&cuMaybe) cuMaybe; /* optional */
    __typeof__(&cuModuleUnload) cuModuleUnload;
    __typeof__(&cuOne) cuOne;
    __typeof__(&cuStreamCreate) cuStreamCreate;
    __typeof__(&cuStreamDestroy_v2) cuStreamDestroy_v2;
    __typeof__(&cuTwo) cuTwo;
};
struct vgpu_driver_symbol {
    const char *name;
    size_t offset; /* of the pointer in struct vgpu_driver */
    bool required;
};
extern const struct vgpu_driver_symbol vgpu_driver_symbols[]; /* ends with name NULL */

/* What a handler answers. payload starts zeroed; size is set to the fixed part before the handler. */
struct vgpu_answer {
    uint32_t size; /* bytes of payload to send; a handler with a tail adds to it */
    uint32_t violation; /* not 0: the record broke the protocol; the channel is closed */
    const char *reason; /* for the log, with a violation */
    _Alignas(16) uint8_t payload[VGPU_REPLY_PAYLOAD];
};

/*
 * Services the generated decoders need from the worker. find: the driver's handle of that type, or
 * CUDA_ERROR_INVALID_HANDLE / INVALID_CONTEXT. resolve: a function, or a kernel's function in the
 * current context. insert never fails for a handle that worker_handle_free() accepted just before.
 */
const struct vgpu_driver *worker_driver(struct vgpu_worker *worker);
CUresult worker_find(struct vgpu_worker *worker, enum vgpu_handle_type type, uint32_t handle, void **out);
CUresult worker_resolve(struct vgpu_worker *worker, uint32_t handle, CUfunction *out);
bool worker_handle_free(struct vgpu_worker *worker, uint32_t handle);
void worker_insert(struct vgpu_worker *worker, enum vgpu_handle_type type, uint32_t handle, void *object);
void worker_remove(struct vgpu_worker *worker, enum vgpu_handle_type type, uint32_t handle);
int worker_device_count(struct vgpu_worker *worker);
/* Does [address, address + bytes) lie in the device window or the arena / in the arena's heap? */
bool worker_in_memory(struct vgpu_worker *worker, uint64_t address, uint64_t bytes);
bool worker_in_heap(struct vgpu_worker *worker, uint64_t address, uint64_t bytes);

/*
 * Decodes and executes one record. record: a private copy, size bytes, 8-byte aligned, size checked
 * to be at least a record header and at most VGPU_RECORD_MAX. Sets answer->violation for a record
 * that no correct guest library sends.
 */
CUresult worker_execute(struct vgpu_worker *worker, const struct vgpu_record *record, uint32_t size,
                           struct vgpu_answer *answer);

/* Arguments after decoding: handles found, ranges checked. */
struct worker_args_Scalars {
    uint32_t small;
    uint64_t large;
    int32_t number;
    float ratio;
    uint32_t triple[3];
};
struct worker_args_Handles {
    int32_t device;
    CUcontext context;
    uint32_t context_handle;
    CUmodule module;
    uint32_t module_handle;
    CUfunction plain;
    uint32_t plain_handle;
    CUlibrary library;
    uint32_t library_handle;
    CUkernel kernel;
    uint32_t kernel_handle;
    CUfunction either;
    uint32_t either_handle;
    CUstream stream;
    uint32_t stream_handle;
    CUevent event;
    uint32_t event_handle;
    struct vgpu_blob *blob;
    uint32_t blob_handle;
};
struct worker_args_Memory {
    uint64_t destination;
    uint64_t source;
    uint64_t address;
    uint64_t bytes;
};
struct worker_args_Create {
    uint32_t stream; /* free handle */
    uint32_t flags;
};
struct worker_args_Destroy {
    CUstream stream;
    uint32_t stream_handle;
};
struct worker_args_Unload {
    CUmodule module;
    uint32_t module_handle;
};
struct worker_args_Tails {
    CUmodule module;
    uint32_t module_handle;
    const uint8_t *name; /* private copy, name_bytes long, 4-byte aligned */
    uint32_t name_bytes;
};
struct worker_args_Upload {
    uint64_t data;
    uint32_t bytes;
    uint32_t release;
};
struct worker_args_Ask {
    CUstream stream;
    uint32_t stream_handle;
};
struct worker_args_Nothing {
    int none;
};

/* Handlers written by hand, in mediator/worker/. out points into the answer's payload. */
CUresult worker_do_Scalars(struct vgpu_worker *worker, const struct worker_args_Scalars *args, struct vgpu_rsp_Scalars *out, struct vgpu_answer *answer);
CUresult worker_do_Handles(struct vgpu_worker *worker, const struct worker_args_Handles *args, struct vgpu_answer *answer);
CUresult worker_do_Memory(struct vgpu_worker *worker, const struct worker_args_Memory *args, struct vgpu_answer *answer);
CUresult worker_do_Tails(struct vgpu_worker *worker, const struct worker_args_Tails *args, struct vgpu_rsp_Tails *out, struct vgpu_answer *answer);
CUresult worker_do_Upload(struct vgpu_worker *worker, const struct worker_args_Upload *args, struct vgpu_answer *answer);
CUresult worker_do_Nothing(struct vgpu_worker *worker, const struct worker_args_Nothing *args, struct vgpu_answer *answer);

#endif
