/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parse.h - the state of a module while it is read
 *
 * The first error is written to the log and ends the load by longjmp to sg_module_load; everything
 * allocated until then belongs to the module's or the parser's arena, or to the vectors below.
 */
#ifndef VGPU_SOFTGPU_PARSE_H
#define VGPU_SOFTGPU_PARSE_H

#include <setjmp.h>

#include "internal.h"
#include "lexer.h"

#define MAX_OPERANDS 12
#define MAX_MODIFIERS 16
#define MAX_VECTOR 8

enum sym_kind {
    SYM_REG,
    SYM_RANGE, /* .reg .b32 %r<10>: a slot is made when %r3 is first named */
    SYM_VAR,
    SYM_FUNC,
    SYM_PROTO,
    SYM_TABLE,
};

struct sym {
    const char *name;
    size_t n;
    uint64_t hash;
    uint64_t id; /* SYM_RANGE: of the range; registers of a range: the same, their number in name */
    struct sym *hnext, *stack;
    uint8_t kind, type;
    uint32_t ref;
    uint64_t count;
    union {
        struct var *var;
        struct sg_function *fn;
        struct signature *proto;
        uint32_t table;
    };
};

enum operand_kind {
    O_REG, /* a register, or a special register that has a slot */
    O_INT,
    O_F32,
    O_F64,
    O_VECTOR,
    O_ADDR,
    O_VAR,
    O_FUNC,
    O_SINK,
    O_CLOCK, /* a special register read by an instruction of its own */
    O_NAME,  /* not defined (yet): a label, or an error */
};

struct operand {
    enum operand_kind kind;
    uint8_t type; /* of a register */
    bool negated; /* !p */
    bool pair;    /* d|p */
    bool sink2;
    uint32_t ref, ref2;
    uint64_t imm; /* O_INT, O_F32, O_F64: value or bits; O_CLOCK: which */
    struct var *var;
    struct sg_function *fn;
    int64_t off;            /* O_ADDR, O_VAR */
    enum operand_kind addr; /* O_ADDR: O_REG, O_VAR or O_INT */
    struct token name;
    uint32_t n; /* O_VECTOR */
    struct vec_element {
        enum operand_kind kind;
        uint8_t type;
        uint32_t ref;
        uint64_t imm;
    } v[MAX_VECTOR];
};

struct konst {
    uint64_t value;
    struct var *var; /* shared variable whose address is added at link time */
    uint32_t off;
    uint8_t size; /* 2, 4, 8; 1: predicate */
};

struct label {
    const char *s;
    size_t n;
    uint32_t scope, at, line;
    uint32_t next;
};

struct label_ref {
    const char *s;
    size_t n;
    uint32_t scope, line;
    uint32_t ins;   /* bra */
    uint32_t table; /* branch table and slot, when ins is ~0 */
    uint32_t slot;
};

#define SYM_BUCKETS 4096
#define LABEL_BUCKETS 1024

struct parser {
    struct lexer lx;
    struct token tok;
    struct sg_module *mod;
    struct sg_log *error;
    enum sg_status status;
    jmp_buf fail;
    struct arena arena;
    struct sym *buckets[SYM_BUCKETS];
    struct sym *scope; /* the newest symbol: scopes are popped from here */
    uint64_t next_range;
    bool have_version, have_target;

    /* vectors: data, length, capacity */
    struct ins *code;
    uint32_t ncode, ccode;
    uint32_t *ext;
    uint32_t next, cext;
    struct konst *konst;
    uint32_t nkonst, ckonst;
    uint32_t *konst_hash;
    uint32_t konst_hash_size;
    struct label *labels;
    uint32_t nlabels, clabels;
    uint32_t label_buckets[LABEL_BUCKETS]; /* index + 1 */
    struct label_ref *refs;
    uint32_t nrefs, crefs;
    uint32_t *scopes; /* parent of each block */
    uint32_t nscopes, cscopes;
    struct branch_table *tables;
    uint32_t ntables, ctables;
    struct callsite **calls;
    uint32_t ncalls, ccalls;
    uint32_t cfuncs;
    struct var **shared;
    uint32_t nshared, cshared;
    uint32_t *shared_refs;
    uint32_t nshared_refs, cshared_refs;
    uint32_t *callees;
    uint32_t ncallees, ccallees;

    /* the function being read */
    struct sg_function *fn;
    uint32_t frame_bytes, pred_next, pred_end;
    uint32_t local_now;
    uint32_t regs32;
    uint32_t depth, block;

    /* the instruction being read */
    const char *op_text;
    size_t op_len;
    uint32_t line;
    uint32_t guard;
    struct token mods[MAX_MODIFIERS];
    bool used[MAX_MODIFIERS];
    uint32_t nmods;
    struct operand opnd[MAX_OPERANDS];
    uint32_t nopnd;
};

_Noreturn void parse_fail(struct parser *p, uint32_t line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
_Noreturn void parse_no_memory(struct parser *p);
void parse_advance(struct parser *p);
bool parse_is(const struct parser *p, char punct);
bool parse_accept(struct parser *p, char punct);
void parse_expect(struct parser *p, char punct);
bool token_is(const struct token *t, const char *text);
void *parse_grow(struct parser *p, void *data, uint32_t n, uint32_t *cap, size_t size);
void *parse_alloc(struct parser *p, size_t size); /* lives as long as the parser */
void *parse_keep(struct parser *p, size_t size);  /* lives as long as the module */

struct sym *parse_lookup(struct parser *p, const char *s, size_t n);
void parse_operand(struct parser *p, struct operand *o);
int64_t parse_const_int(struct parser *p);

/* A slot for a new register of the given type. */
uint32_t parse_slot(struct parser *p, enum sg_type type);
/* A constant for all lanes. size: 1 predicate, 2, 4 or 8 bytes. */
uint32_t parse_konst(struct parser *p, unsigned size, uint64_t value, struct var *shared);
void parse_use_shared(struct parser *p, struct var *v);
struct signature *parse_prototype(struct parser *p);
uint64_t parse_function_token(struct sg_function *fn);

int type_size(enum sg_type t); /* bytes; 0 for a predicate */
enum sg_type type_from(const struct token *t);
int reg_size(enum sg_type t); /* bytes a register of the type takes per lane; 0 for a predicate */

/* decode.c: turns the instruction in p into code. */
void decode_instruction(struct parser *p);
void decode_call(struct parser *p);
struct ins *decode_emit(struct parser *p, enum sg_opcode op);
void decode_add_label_ref(struct parser *p, const struct token *name, uint32_t ins, uint32_t table,
                          uint32_t slot);

/* Offsets of special registers in the areas BASE_WARP and BASE_UNIFORM. */
enum {
    W_TID_X = 0,
    W_TID_Y = 128,
    W_TID_Z = 256,
    W_LANEID = 384,
    W_WARPID = 512,
    W_MASK_EQ = 640,
    W_MASK_LE = 768,
    W_MASK_LT = 896,
    W_MASK_GE = 1024,
    W_MASK_GT = 1152,
    W_BYTES = 1280,

    U_ZERO = 0, /* 64 bits wide */
    U_ONE = 256,
    U_NTID_X = 384,
    U_NTID_Y = 512,
    U_NTID_Z = 640,
    U_CTAID_X = 768,
    U_CTAID_Y = 896,
    U_CTAID_Z = 1024,
    U_NCTAID_X = 1152,
    U_NCTAID_Y = 1280,
    U_NCTAID_Z = 1408,
    U_NWARPID = 1536,
    U_SMID = 1664,
    U_NSMID = 1792,
    U_DYN_SIZE = 1920,
    U_TOTAL_SIZE = 2048,
    U_DYN_BASE32 = 2176,
    U_DYN_BASE = 2304, /* 64 bits wide */
    U_GRIDID = 2560,   /* 64 bits wide; the low half is read as 32 bits from the next */
    U_GRIDID32 = 2816,
    U_BYTES = 2944,
};

enum {
    CLOCK_LO,
    CLOCK_HI,
    CLOCK_64,
    CLOCK_GLOBAL,
    CLOCK_GLOBAL_LO,
    CLOCK_GLOBAL_HI,
};

#endif
