/* SPDX-License-Identifier: Apache-2.0 */
/*
 * internal.h - what the decoder hands to the executor, and the executor's state
 *
 * Registers are stored as structures of arrays: one slot per PTX register and warp, 32 lanes wide
 * (64, 128 or 256 bytes for 16, 32 and 64 bits; one 32-bit lane mask for a predicate). An operand
 * is a reference: its low two bits choose the base (enum sg_base), the rest is the byte offset of
 * the slot. Constants are slots too, filled for all lanes when the module is loaded, so that every
 * operand of an instruction is read the same way.
 */
#ifndef VGPU_SOFTGPU_INTERNAL_H
#define VGPU_SOFTGPU_INTERNAL_H

#include "engine.h"
#include "memmap.h"
#include "opcodes.h"
#include "windows.h"

#define LANES 32
#define FULL_MASK 0xffffffffu
#define MAX_WARPS 32
#define MAX_THREADS 1024

enum sg_base {
    BASE_FRAME,   /* registers of the running function */
    BASE_CONST,   /* constants of the module */
    BASE_WARP,    /* special registers that differ between warps */
    BASE_UNIFORM, /* special registers equal in all warps of the CTA */
};

/* Reference 0 names the first 256 bytes of a frame, which no register uses: the sink. */
#define REF_SINK 0u
#define FRAME_HEAD 256u

enum sg_type {
    T_NONE,
    T_B8,
    T_U8,
    T_S8,
    T_B16,
    T_U16,
    T_S16,
    T_F16,
    T_BF16,
    T_B32,
    T_U32,
    T_S32,
    T_F32,
    T_F16X2,
    T_BF16X2,
    T_B64,
    T_U64,
    T_S64,
    T_F64,
    T_PRED,
};

enum sg_space {
    SP_GENERIC,
    SP_GLOBAL,
    SP_CONST,
    SP_SHARED,
    SP_LOCAL,
    SP_PARAM, /* parameters of a kernel */
};

enum sg_round {
    R_NONE,
    R_RN,
    R_RZ,
    R_RM,
    R_RP,
    R_RNA,
};

enum {
    F_FTZ = 1,
    F_SAT = 2,
    F_NAN = 4,
    F_XORSIGN = 8,
    F_RELU = 16,
    F_ABS = 32,       /* .abs of min and max */
    F_FENCE = 1,      /* ld, st: more than weak ordering */
    F_FRAME = 2,      /* ld, st: the offset counts from the frame's local memory */
    F_INT_ROUND = 64, /* cvt: round to an integral value */
};

/* Comparison: which of the four outcomes count as true. */
enum {
    CMP_LT = 1,
    CMP_EQ = 2,
    CMP_GT = 4,
    CMP_UN = 8,
};

enum {
    BOOL_NONE,
    BOOL_AND,
    BOOL_OR,
    BOOL_XOR,
};

struct warp;
struct ins;
typedef void (*op_fn)(struct warp *w, const struct ins *i, uint32_t m);

struct ins {
    op_fn fn;
    uint32_t d, a, b, c, e; /* operand references; d: destination */
    uint32_t guard;         /* 0: none; else frame offset of the predicate | 1 | 2 if negated */
    union {
        int64_t imm; /* byte offset of an address, lookup table of lop3, ... */
        const struct ins *target;
    };
    uint32_t line;
    uint32_t ext; /* first index of a list in function.ext, or of a call site or branch table */
    uint16_t op;
    uint8_t type, type2;
    uint8_t dsize,
        asize; /* bytes per lane of the registers d and a (of the address, for ld and st) */
    uint8_t n; /* vector length */
    uint8_t sub;
    uint8_t round;
    uint8_t space;
    uint8_t flags;
    uint8_t flags2;
};

/* Where an argument or a result lives on one side of a call. */
struct arg {
    bool is_reg;
    bool is_const; /* ref names a constant: actual arguments only */
    uint32_t ref;  /* register or constant */
    uint32_t off;  /* else: byte offset in the frame's local memory */
    uint32_t size; /* bytes */
    uint32_t align;
};

struct signature {
    uint32_t nargs, nrets;
    struct arg *args, *rets;
};

enum builtin {
    BUILTIN_NONE,
    BUILTIN_VPRINTF,
    BUILTIN_MALLOC,
    BUILTIN_FREE,
    BUILTIN_ASSERTFAIL,
};

struct callsite {
    struct sg_function *fn; /* NULL: indirect */
    uint32_t ref;           /* indirect: register with the function's address */
    struct signature actual;
    struct signature *proto; /* indirect: the prototype */
};

struct branch_table {
    uint32_t n;
    const struct ins **targets;
};

struct var {
    const char *name;
    uint8_t space;
    bool dynamic; /* extern shared array without a size */
    bool external;
    uint32_t align;
    uint64_t size;
    uint64_t addr; /* global, const: host address; shared, local, param: offset */
    struct sg_function *owner;
    uint32_t index; /* shared: in module.shared */
    struct var *next;
};

struct sg_function {
    struct sg_function_info info;
    struct sg_module *module;
    uint32_t index;
    bool entry, defined, called, address_taken, noreturn;
    enum builtin builtin;
    struct signature sig;
    uint32_t *param_offset, *param_size; /* entry */
    struct ins *code;
    uint32_t ncode;
    uint32_t *ext;
    uint32_t next;
    struct callsite **calls;
    uint32_t ncalls;
    struct branch_table *tables;
    uint32_t ntables;
    uint32_t frame_bytes;
    uint32_t local_bytes;
    uint32_t static_shared;
    bool indirect_calls;
    bool uses_local;
    /* link time: the module-scope shared variables and functions that the code names */
    uint32_t *shared_refs;
    uint32_t nshared_refs;
    uint32_t *callees;
    uint32_t ncallees;
    struct sg_function *hash_next;
};

struct arena_chunk {
    struct arena_chunk *next;
    size_t used, size;
    _Alignas(16) unsigned char data[];
};

struct arena {
    struct arena_chunk *head;
};

void *arena_alloc(struct arena *a, size_t size); /* zeroed; NULL when out of memory */
void arena_free(struct arena *a);

struct storage {
    struct storage *next;
    uint8_t *base;
    size_t size, used;
    bool mapped; /* added to the memory map */
};

struct device_heap;

struct sg_module {
    struct sg_memmap *map;
    struct arena arena;
    struct var *globals; /* global and const, for lookup by name */
    struct storage *storage;
    uint64_t storage_bytes;
    struct sg_function **funcs; /* all, by index */
    uint32_t nfuncs;
    struct sg_function **entries;
    uint32_t nentries;
    uint8_t *consts; /* 64-byte aligned */
    size_t consts_used, consts_size;
    uint32_t const_bytes;
    uint32_t ptx_version, target;
    struct device_heap *heap;
};

/* ---- execution ------------------------------------------------------------------------------- */

struct frame {
    struct frame *parent;
    const struct sg_function *fn;
    const struct ins *ret;       /* where the caller goes on */
    const struct callsite *site; /* NULL in the outermost frame */
    uint32_t lanes;              /* lanes that have not returned yet */
    uint32_t depth;
    uint32_t local_base; /* byte offset of the frame in the thread's local memory */
    uint32_t bucket;
    uint8_t *regs;
};

enum split_state {
    S_READY,
    S_SYNC,    /* waits for the other lanes of its member mask */
    S_BARRIER, /* waits at a CTA barrier */
};

/* Lanes of a warp that share a program counter. */
struct split {
    uint32_t mask;
    uint8_t state;
    uint8_t barrier;
    bool forced; /* the member mask can never be complete: run with the lanes that came */
    uint32_t need;
    uint64_t last_run;
    const struct ins *ip;
    struct frame *frame;
};

enum event {
    EV_NONE,
    EV_PICK, /* choose another split */
    EV_FAULT,
};

struct range_cache {
    uint64_t base, size; /* generic addresses */
    uint64_t delta;      /* host address - generic address */
    bool writable;
};

struct warp {
    uint8_t *base[4];
    uint32_t active; /* lanes of the running split */
    uint32_t dead;   /* lanes that exited or never existed */
    uint32_t cc;     /* carry flag of each lane */
    int event;
    const struct ins *ip;
    const struct ins *stop; /* another split waits here to join */
    struct frame *frame;
    struct range_cache cache;
    uint8_t *local; /* local memory of the warp: 8-byte cells, lane by lane */
    struct sg_runner *runner;
    uint64_t steps; /* warp instructions since the last change of the active mask */
    uint64_t clock; /* counts choices of a split, to know which waited longest */
    uint32_t
        spins; /* atomics and strong loads in this slice: signs of a lane waiting for another */
    uint32_t slices; /* slices run since another split had its turn */
    uint32_t nsplits, current;
    bool forced; /* run the next warp-synchronous instruction without its missing lanes */
    bool pinned; /* the current split keeps running until its slice ends */
    bool yield;
    uint32_t index;
    struct split splits[LANES];
    uint8_t *specials;
};

struct cta_barrier {
    uint32_t expected; /* threads; 0: all that live */
    uint32_t arrived, padded;
    uint32_t popc;
    bool and_all, or_any, active;
};

/* Lane l's byte at offset o of its local memory. */
static inline uint8_t *local_ptr(uint8_t *local, uint64_t o, int l)
{
    return local + ((o >> 3) << 8) + ((unsigned)l << 3) + (o & 7);
}

/* What the data handlers need of the runner. */
struct mem_env {
    uint8_t *shared;
    uint64_t shared_size;
    uint64_t local_size; /* 0: no local memory */
    const uint8_t *params;
    uint64_t param_size;
};

void sg_raise(struct warp *w, const struct ins *i, enum sg_status status, uint64_t addr, int lane);
const struct mem_env *sg_env(const struct warp *w);
/* Finds the range that holds addr in the newest memory map and caches it. */
bool sg_lookup(struct warp *w, uint64_t addr, struct range_cache *out);

/* Handlers by opcode, built once for any x86-64 and once for CPUs with AVX2 and FMA. */
extern const op_fn sg_ops_base[OP_COUNT];
#ifdef SG_HAVE_AVX2
extern const op_fn sg_ops_avx2[OP_COUNT];
#endif

#define CONTROL(name) void sg_op_##name(struct warp *w, const struct ins *i, uint32_t m);
SG_CONTROL_OPS(CONTROL)
#undef CONTROL

/* Device heap (malloc and free in kernels). Addresses are host addresses inside the heap's range.
 */
struct device_heap *sg_heap_new(struct sg_memmap *map);
void sg_heap_destroy(struct device_heap *heap, struct sg_memmap *map);
uint64_t sg_heap_alloc(struct device_heap *heap, uint64_t size); /* 0: exhausted */
bool sg_heap_release(struct device_heap *heap, uint64_t addr);

void sg_log_printf(struct sg_log *log, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
