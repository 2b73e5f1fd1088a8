/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vgpu_arena.h - layout of the memory a guest process shares with its worker
 *
 * The guest process owns the arena: it allocates it, writes struct vgpu_arena_header, and only then
 * opens the channel. The worker copies the header once, validates the copy, and never reads it again.
 * Both sides map the arena at the same address (header.base), so an address inside it means the same
 * to both. docs/protocol.md is the specification in prose.
 *
 *   0x0000  struct vgpu_arena_header     written by the guest before the channel opens
 *   0x0100  struct vgpu_arena_shared     indices and flags, one cache line per writer
 *   ....    commit array                 one u32 per ring slot
 *   ....    ring                         slots of 64 bytes
 *   ....    reply slots                  4096 bytes each
 *   ....    heap                         staging and pinned memory, allocated by the guest
 *
 * Ring. Positions are 64-bit slot counts that never wrap in practice; slot = position % slots. A
 * producer reserves ceil(size / 64) contiguous slots by compare-and-swap on head (first padding to
 * the ring's end when the record would wrap), writes the record, and commits by storing
 * (uint32_t)(position / slots) + 1 to commit[slot of the first] with release order. The consumer
 * takes records in position order, which is program order: of two calls of which one happens before
 * the other, the first reserves first. It copies a record out once, then advances tail. A record with
 * opcode VGPU_OP_PAD is skipped, wherever it stands: the filler before the ring's end, or a reservation
 * that its producer gave up.
 *
 * Sleep. Each side announces that it sleeps, then looks again, then blocks; the other side publishes,
 * then looks for the announcement and rings. All four accesses are sequentially consistent, so at
 * least one side sees the other. The announcements:
 *   consumer_sleeping  set to 1 by the consumer; the producer that exchanges it with 0 rings the doorbell
 *   space_wanted, release_wanted  odd while somebody sleeps: the sleeper sets bit 0 and waits for the
 *                      value it then has to change, the worker adds 1 to an odd value and wakes
 *   vgpu_reply.sleeping  set to 1 by the caller, who waits for state to change; only read by the worker
 */
#ifndef VGPU_ARENA_H
#define VGPU_ARENA_H

#include <stdatomic.h>
#include <stdint.h>

#define VGPU_ARENA_MAGIC 0x414e5247u
#define VGPU_PROTOCOL_MAJOR 1 /* differs: refused (VGPU_REASON_VERSION) */
#define VGPU_PROTOCOL_MINOR 0 /* the worker serves any minor up to its own */

/* Both processes keep these address ranges free for the arena and for device memory. */
#define VGPU_ARENA_ADDRESS_MIN 0x1e0000000000ull
#define VGPU_ARENA_ADDRESS_MAX 0x1f0000000000ull
#define VGPU_WINDOW_ADDRESS_MIN 0x200000000000ull
#define VGPU_WINDOW_ADDRESS_MAX 0x2f0000000000ull
#define VGPU_WINDOW_ALIGN (1ull << 30)

#define VGPU_ARENA_BYTES_MIN (4ull << 20)
#define VGPU_ARENA_BYTES_MAX (2ull << 30)

#define VGPU_SLOT_BYTES 64u
#define VGPU_RECORD_MAX (64u << 10) /* bytes, header included; larger data goes through the heap */
#define VGPU_REPLY_BYTES 4096u
#define VGPU_REPLY_PAYLOAD 4032u
#define VGPU_REPLY_NONE 0xffffu

enum vgpu_notify {
    VGPU_NOTIFY_EVENTFD = 1, /* the worker writes the interrupt eventfd */
    VGPU_NOTIFY_FUTEX = 2,   /* the worker wakes the futex word itself (shared, same host) */
};

/* The areas stand in the order of the offsets below and do not overlap. */
struct vgpu_arena_header {
    uint32_t magic;
    uint16_t major, minor;
    uint64_t base;          /* address of the arena in the guest process, 2 MiB aligned */
    uint64_t bytes;         /* of the whole arena, a multiple of 2 MiB */
    uint32_t commit_offset; /* bytes from the arena's start, like all offsets; 64-byte aligned */
    uint32_t ring_offset;   /* 4096-byte aligned */
    uint32_t ring_slots;    /* power of two, 2048 to 1 << 20 */
    uint32_t reply_offset;  /* 4096-byte aligned */
    uint32_t reply_count;   /* 1 to 1024 */
    uint32_t heap_offset;   /* 4096-byte aligned; the heap runs to the arena's end */
    uint32_t notify;        /* enum vgpu_notify */
    uint32_t process_id;    /* of the guest process, for the log only */
    char process_name[16];  /* for the log only, NUL-terminated */
};

enum vgpu_host_state {
    VGPU_HOST_STARTING = 0,
    VGPU_HOST_READY = 1,
    VGPU_HOST_DEAD = 2, /* no record will be served any more; error says why */
};

struct vgpu_arena_shared {
    _Alignas(64) _Atomic uint64_t head; /* producers: next free position */
    _Alignas(64) _Atomic uint64_t tail; /* consumer: everything below is consumed */
    _Alignas(64) _Atomic uint32_t consumer_sleeping; /* 1: ring the doorbell after a commit */
    _Alignas(64) _Atomic uint32_t space_wanted; /* odd: a producer sleeps for ring space; futex word */
    _Alignas(64) _Atomic uint32_t host_state;   /* enum vgpu_host_state; futex word */
    _Atomic uint32_t error;                     /* CUresult that ended the worker, or 0 */
    /* First error of a deferred call since the last synchronising call took it (exchange with 0). */
    _Alignas(64) _Atomic uint32_t deferred_error; /* CUresult */
    _Atomic uint32_t deferred_opcode;
    /* 1: kernels have printed text, to be fetched with PrintRead; exchanged with 0 before that. */
    _Atomic uint32_t print_pending;
    /* Release words: deferred records may name one; the worker sets it to 1 when the heap range the
     * record used may be reused, and wakes sleepers when release_wanted is odd. */
    _Alignas(64) _Atomic uint32_t release_wanted; /* odd: a thread sleeps for a release; futex word */
    _Alignas(64) _Atomic uint32_t release[256];
};

/* Every record starts with this; the call's packed arguments follow. */
struct vgpu_record {
    uint16_t opcode;  /* generated: enum vgpu_op; 0 is padding */
    uint16_t reply;   /* reply slot, or VGPU_REPLY_NONE */
    uint32_t size;    /* bytes, this header included */
    uint32_t context; /* handle of the context that is current in the calling thread; 0: none */
    uint32_t reserved; /* 0 */
};

#define VGPU_OP_PAD 0

enum vgpu_reply_state {
    VGPU_REPLY_PENDING = 0,
    VGPU_REPLY_DONE = 1,
};

struct vgpu_reply {
    _Atomic uint32_t state;    /* enum vgpu_reply_state; futex word */
    _Atomic uint32_t sleeping; /* the caller sleeps: notify */
    uint32_t result;           /* CUresult */
    uint32_t size;             /* bytes of payload */
    uint32_t reserved[12];
    uint8_t payload[VGPU_REPLY_PAYLOAD];
};

_Static_assert(sizeof(struct vgpu_arena_header) <= 256, "header fits its place");
_Static_assert(sizeof(struct vgpu_record) == 16, "record header is 16 bytes");
_Static_assert(sizeof(struct vgpu_reply) == VGPU_REPLY_BYTES, "a reply slot is one page");

#define VGPU_SHARED_OFFSET 256u

/*
 * Handles. An object's handle is chosen by the guest so that creation can be deferred: low 20 bits
 * index, high 12 bits generation. The worker's table accepts a new handle only at a free index below
 * its limit, and finds an object only when the whole handle and the type agree. 0 is no object.
 */
#define VGPU_HANDLE_INDEX_BITS 20
#define VGPU_HANDLE_INDEX(h) ((h) & ((1u << VGPU_HANDLE_INDEX_BITS) - 1))
#define VGPU_HANDLE_MAX (1u << 18) /* live objects per process */

enum vgpu_handle_type {
    VGPU_TYPE_CONTEXT = 1,
    VGPU_TYPE_MODULE,
    VGPU_TYPE_FUNCTION,
    VGPU_TYPE_LIBRARY,
    VGPU_TYPE_KERNEL,
    VGPU_TYPE_STREAM,
    VGPU_TYPE_EVENT,
    VGPU_TYPE_BLOB,
    VGPU_TYPE_GRAPH,
    VGPU_TYPE_GRAPH_EXEC,
    VGPU_TYPE_GRAPH_NODE, /* the guest library's own: on the wire a node is its index in its graph */
};

#define VGPU_STREAM_DEFAULT 0u /* the legacy default stream; names no object */

/* Tail of ModuleLoad and LibraryLoad: options without pointers; logs travel in their own fields. */
struct vgpu_jit_option {
    uint32_t option; /* CUjit_option, or CUlibraryOption after the first jit_count */
    uint32_t reserved;
    uint64_t value;
};

/*
 * Where the worker asks the guest library to run a function of the program, in stream order. It
 * lies in the heap; the library has a thread that waits on posted. The GPU's work waits for done.
 */
struct vgpu_mailbox {
    _Atomic uint32_t posted; /* worker: calls asked for so far; changed last, futex word */
    _Atomic uint32_t done;   /* guest: calls that have returned */
    uint64_t function, data; /* as the record said */
    uint64_t stream;         /* for a callback */
    uint32_t status;         /* CUresult for a callback */
    uint32_t callback;       /* 1: of cuStreamAddCallback, 0: of cuLaunchHostFunc */
};
#define VGPU_MAILBOX_BYTES 64u

/* An edge of a graph, or a dependency of a new node (to: 0). Nodes are named by index. */
struct vgpu_graph_edge {
    uint32_t from, to;
    uint8_t data[8]; /* CUgraphEdgeData; zero: an ordinary edge */
};
struct vgpu_graph_node {
    uint32_t node;
    uint32_t type; /* CUgraphNodeType */
};
#define VGPU_NODE_NONE 0xffffffffu

/* Tail of Launch and the cluster occupancy calls. */
struct vgpu_launch_attribute {
    uint32_t id; /* CUlaunchAttributeID */
    uint32_t reserved;
    uint8_t value[64]; /* CUlaunchAttributeValue; pointers and handles inside are not allowed */
};

_Static_assert(sizeof(struct vgpu_mailbox) <= VGPU_MAILBOX_BYTES, "a mailbox fits its place");

#endif
