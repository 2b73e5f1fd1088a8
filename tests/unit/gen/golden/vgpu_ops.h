/* SPDX-License-Identifier: Apache-2.0 */
/* Generated from protocol/api/ by protocol/gen/vgpu_gen.py: do not edit. */
#ifndef VGPU_OPS_H
#define VGPU_OPS_H
#include <stdint.h>
#include "protocol/vgpu_arena.h"

enum vgpu_op {
    VGPU_OP_Scalars = 1,
    VGPU_OP_Handles = 2,
    VGPU_OP_Memory = 5,
    VGPU_OP_Create = 7,
    VGPU_OP_Destroy = 8,
    VGPU_OP_Unload = 9,
    VGPU_OP_Tails = 10,
    VGPU_OP_Upload = 11,
    VGPU_OP_Ask = 12,
    VGPU_OP_Nothing = 511,
};
#define VGPU_OP_LIMIT 512

/* Numbers and arrays, sorted by size. */
struct vgpu_req_Scalars {
    struct vgpu_record record;
    uint64_t large;
    uint32_t small;
    int32_t number;
    float ratio;
    uint32_t triple[3];
};
#define VGPU_REQ_BYTES_Scalars 48u
struct vgpu_rsp_Scalars {
    uint64_t total;
    uint32_t count;
    int32_t list[4];
    float share;
    uint8_t digest[16];
};
#define VGPU_RSP_BYTES_Scalars 48u

/* Looked up in order; ? may be 0. */
struct vgpu_req_Handles {
    struct vgpu_record record;
    int32_t device;
    uint32_t context;
    uint32_t module;
    uint32_t plain;
    uint32_t library;
    uint32_t kernel;
    uint32_t either;
    uint32_t stream;
    uint32_t event;
    uint32_t blob;
};
#define VGPU_REQ_BYTES_Handles 56u

/* Ranges by a field and by a number. */
struct vgpu_req_Memory {
    struct vgpu_record record;
    uint64_t destination;
    uint64_t source;
    uint64_t address;
    uint64_t bytes;
};
#define VGPU_REQ_BYTES_Memory 48u

struct vgpu_req_Create {
    struct vgpu_record record;
    uint32_t stream;
    uint32_t flags;
};
#define VGPU_REQ_BYTES_Create 24u

struct vgpu_req_Destroy {
    struct vgpu_record record;
    uint32_t stream;
};
#define VGPU_REQ_BYTES_Destroy 20u

struct vgpu_req_Unload {
    struct vgpu_record record;
    uint32_t module;
};
#define VGPU_REQ_BYTES_Unload 20u

struct vgpu_req_Tails {
    struct vgpu_record record;
    uint32_t module;
    /* then: name, at most 64 bytes */
};
#define VGPU_REQ_BYTES_Tails 20u
struct vgpu_rsp_Tails {
    uint32_t count;
};
#define VGPU_RSP_BYTES_Tails 4u

struct vgpu_req_Upload {
    struct vgpu_record record;
    uint64_t data;
    uint32_t bytes;
    uint32_t release;
};
#define VGPU_REQ_BYTES_Upload 32u

struct vgpu_req_Ask {
    struct vgpu_record record;
    uint32_t stream;
};
#define VGPU_REQ_BYTES_Ask 20u
struct vgpu_rsp_Ask {
    uint64_t value;
};
#define VGPU_RSP_BYTES_Ask 8u

struct vgpu_req_Nothing {
    struct vgpu_record record;
};
#define VGPU_REQ_BYTES_Nothing 16u

enum vgpu_op_class { VGPU_CLASS_NONE, VGPU_CLASS_DEFERRED, VGPU_CLASS_SYNC, VGPU_CLASS_WAIT };

/* What a decoder or fuzzer must know of an operation before looking at its arguments. */
struct vgpu_op_info {
    const char *name;           /* NULL: no such operation */
    uint8_t op_class;           /* enum vgpu_op_class */
    uint32_t request_bytes;     /* the fixed part, record header included */
    uint32_t request_tail_max;  /* bytes that may follow it */
    uint32_t reply_bytes;       /* the fixed part of the payload */
    uint32_t release_offset;    /* of the field that names a release word, in the record; 0: none */
};
extern const struct vgpu_op_info vgpu_op_table[VGPU_OP_LIMIT];

/* Name of an operation for logs and tables; "unknown" for a number that names none. */
const char *vgpu_op_name(unsigned op);

#endif
