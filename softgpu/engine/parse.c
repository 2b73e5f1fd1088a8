/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parse.c - directives, variables, functions and operands of a PTX module
 *
 * The text comes from a hostile guest. Every nesting depth, count and size is bounded here; the
 * decoder relies on operands being well formed and on register references having the size of their
 * type.
 */
#include "parse.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define MAX_DEPTH 128                   /* nested blocks, braces of initialisers, parentheses */
#define MAX_FRAME (8u << 20)            /* bytes of registers of one function, for a warp */
#define MAX_CODE (8u << 20)             /* instructions of one function */
#define MAX_CONSTS (256u << 20)         /* bytes of constants of a module */
#define MAX_STORAGE (UINT64_C(4) << 30) /* bytes of .global and .const of a module */
#define MAX_ALIGN 4096
#define MAX_PARAM_BYTES 32764    /* of a kernel: CUDA's limit */
#define MAX_FUNCTIONS (1u << 19) /* addresses of functions must fit their window */

/* ---- memory and errors ----------------------------------------------------------------------- */

void *arena_alloc(struct arena *a, size_t size)
{
    struct arena_chunk *c = a->head;
    void *p;

    if (size > SIZE_MAX / 2)
        return NULL;
    size = (size + 15) & ~(size_t)15;
    if (!c || c->size - c->used < size) {
        size_t want = size > 65536 ? size : 65536;

        c = calloc(1, sizeof(*c) + want);
        if (!c)
            return NULL;
        c->size = want;
        c->next = a->head;
        a->head = c;
    }
    p = c->data + c->used;
    c->used += size;
    return p;
}

void arena_free(struct arena *a)
{
    while (a->head) {
        struct arena_chunk *next = a->head->next;

        free(a->head);
        a->head = next;
    }
}

void sg_log_printf(struct sg_log *log, const char *fmt, ...)
{
    va_list ap;
    int n;

    if (!log || !log->text || log->size == 0 || log->used >= log->size)
        return;
    va_start(ap, fmt);
    n = vsnprintf(log->text + log->used, log->size - log->used, fmt, ap);
    va_end(ap);
    if (n > 0) {
        log->used += (size_t)n;
        if (log->used > log->size - 1)
            log->used = log->size - 1;
    }
}

_Noreturn void parse_fail(struct parser *p, uint32_t line, const char *fmt, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < ' ' || (unsigned char)*c > 126)
            *c = '?';
    sg_log_printf(p->error, "ptx, line %u; error: %s\n", line, text);
    if (p->status == SG_OK)
        p->status = SG_INVALID_PTX;
    longjmp(p->fail, 1);
}

_Noreturn void parse_no_memory(struct parser *p)
{
    p->status = SG_NO_MEMORY;
    parse_fail(p, p->tok.line, "out of memory");
}

void *parse_grow(struct parser *p, void *data, uint32_t n, uint32_t *cap, size_t size)
{
    uint32_t want;
    void *q;

    if (n < *cap)
        return data;
    want = *cap ? *cap * 2 : 64;
    if (want > (1u << 28))
        parse_no_memory(p);
    q = realloc(data, want * size);
    if (!q)
        parse_no_memory(p);
    *cap = want;
    return q;
}

#define PUSH(p, vec, n, cap)                                                                       \
    ((p)->vec = parse_grow((p), (p)->vec, (p)->n, &(p)->cap, sizeof((p)->vec[0])),                 \
     &(p)->vec[(p)->n++])

void *parse_alloc(struct parser *p, size_t size)
{
    void *q = arena_alloc(&p->arena, size);

    if (!q)
        parse_no_memory(p);
    return q;
}

void *parse_keep(struct parser *p, size_t size)
{
    void *q = arena_alloc(&p->mod->arena, size);

    if (!q)
        parse_no_memory(p);
    return q;
}

static char *keep_name(struct parser *p, const char *s, size_t n)
{
    char *q = parse_keep(p, n + 1);

    memcpy(q, s, n);
    return q;
}

/* ---- tokens ---------------------------------------------------------------------------------- */

static int shown(size_t n)
{
    return n > 80 ? 80 : (int)n;
}

void parse_advance(struct parser *p)
{
    p->tok = lexer_next(&p->lx);
    if (p->tok.kind == TK_BAD)
        parse_fail(p, p->tok.line, "syntax error near '%.*s'", shown(p->tok.n), p->tok.s);
}

static _Noreturn void unexpected(struct parser *p)
{
    if (p->tok.kind == TK_END)
        parse_fail(p, p->tok.line, "syntax error: unexpected end of text");
    parse_fail(p, p->tok.line, "syntax error near '%s%.*s'", p->tok.kind == TK_DOT ? "." : "",
               shown(p->tok.n), p->tok.s);
}

bool parse_is(const struct parser *p, char punct)
{
    return p->tok.kind == TK_PUNCT && p->tok.punct == punct;
}

bool parse_accept(struct parser *p, char punct)
{
    if (!parse_is(p, punct))
        return false;
    parse_advance(p);
    return true;
}

void parse_expect(struct parser *p, char punct)
{
    if (!parse_accept(p, punct))
        unexpected(p);
}

bool token_is(const struct token *t, const char *text)
{
    return strlen(text) == t->n && memcmp(t->s, text, t->n) == 0;
}

static bool at_dot(const struct parser *p, const char *text)
{
    return p->tok.kind == TK_DOT && token_is(&p->tok, text);
}

static bool accept_dot(struct parser *p, const char *text)
{
    if (!at_dot(p, text))
        return false;
    parse_advance(p);
    return true;
}

static struct token take_ident(struct parser *p)
{
    struct token t = p->tok;

    if (t.kind != TK_IDENT)
        unexpected(p);
    parse_advance(p);
    return t;
}

/* ---- types ----------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    uint8_t type, size;
} types[] = {
    {"b8", T_B8, 1},       {"u8", T_U8, 1},         {"s8", T_S8, 1},     {"b16", T_B16, 2},
    {"u16", T_U16, 2},     {"s16", T_S16, 2},       {"f16", T_F16, 2},   {"bf16", T_BF16, 2},
    {"b32", T_B32, 4},     {"u32", T_U32, 4},       {"s32", T_S32, 4},   {"f32", T_F32, 4},
    {"f16x2", T_F16X2, 4}, {"bf16x2", T_BF16X2, 4}, {"b64", T_B64, 8},   {"u64", T_U64, 8},
    {"s64", T_S64, 8},     {"f64", T_F64, 8},       {"pred", T_PRED, 0},
};

enum sg_type type_from(const struct token *t)
{
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (token_is(t, types[i].name))
            return types[i].type;
    return T_NONE;
}

int type_size(enum sg_type t)
{
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (types[i].type == t)
            return types[i].size;
    return 0;
}

int reg_size(enum sg_type t)
{
    int n = type_size(t);

    return n == 1 ? 2 : n;
}

static enum sg_type take_type(struct parser *p)
{
    enum sg_type t = p->tok.kind == TK_DOT ? type_from(&p->tok) : T_NONE;

    if (t == T_NONE) {
        if (p->tok.kind == TK_DOT)
            parse_fail(p, p->tok.line, "unknown type '.%.*s'", shown(p->tok.n), p->tok.s);
        unexpected(p);
    }
    parse_advance(p);
    return t;
}

/* ---- symbols --------------------------------------------------------------------------------- */

static uint64_t hash_text(const char *s, size_t n, uint64_t h)
{
    h ^= UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)s[i]) * UINT64_C(0x100000001b3);
    return h ^ h >> 29;
}

static struct sym *find_sym(struct parser *p, const char *s, size_t n, uint64_t id, uint64_t hash)
{
    for (struct sym *y = p->buckets[hash % SYM_BUCKETS]; y; y = y->hnext)
        if (y->hash == hash && y->n == n && y->id == id && memcmp(y->name, s, n) == 0)
            return y;
    return NULL;
}

/* id 0 for names in the text; registers of a range are filed under the range's id. */
static struct sym *add_sym(struct parser *p, const char *s, size_t n, uint64_t id, enum sym_kind k)
{
    struct sym *y = parse_alloc(p, sizeof(*y));

    y->name = s;
    y->n = n;
    y->id = id;
    y->hash = hash_text(s, n, id);
    y->kind = k;
    y->hnext = p->buckets[y->hash % SYM_BUCKETS];
    p->buckets[y->hash % SYM_BUCKETS] = y;
    if (id == 0) {
        y->stack = p->scope;
        p->scope = y;
    }
    return y;
}

/* Registers of a range stay filed until the function ends: ids are never used again. */
static void forget_ranges(struct parser *p)
{
    for (size_t b = 0; b < SYM_BUCKETS; b++) {
        struct sym **at = &p->buckets[b];

        while (*at) {
            if ((*at)->id)
                *at = (*at)->hnext;
            else
                at = &(*at)->hnext;
        }
    }
}

static void pop_scope(struct parser *p, struct sym *mark)
{
    while (p->scope != mark) {
        struct sym *y = p->scope, **at = &p->buckets[y->hash % SYM_BUCKETS];

        while (*at != y)
            at = &(*at)->hnext;
        *at = y->hnext;
        p->scope = y->stack;
    }
}

struct sym *parse_lookup(struct parser *p, const char *s, size_t n)
{
    struct sym *y = find_sym(p, s, n, 0, hash_text(s, n, 0)), *range;
    uint64_t index = 0, scale = 1;
    size_t k = n;

    if (y)
        return y->kind == SYM_RANGE ? NULL : y;
    while (k > 1 && s[k - 1] >= '0' && s[k - 1] <= '9' && n - k < 10) {
        k--;
        index += (uint64_t)(s[k] - '0') * scale;
        scale *= 10;
        if (s[k] == '0' && k != n - 1)
            continue; /* %r10 is number 10; %r01 names no register: see below */
        range = find_sym(p, s, k, 0, hash_text(s, k, 0));
        if (!range || range->kind != SYM_RANGE || index >= range->count)
            continue;
        y = find_sym(p, s, n, range->ref + UINT64_C(1), hash_text(s, n, range->ref + UINT64_C(1)));
        if (y)
            return y;
        y = add_sym(p, s, n, range->ref + UINT64_C(1), SYM_REG);
        y->type = range->type;
        y->ref = parse_slot(p, range->type);
        return y;
    }
    return NULL;
}

static void check_new(struct parser *p, const struct token *t, struct sym *mark)
{
    for (struct sym *y = p->buckets[hash_text(t->s, t->n, 0) % SYM_BUCKETS]; y; y = y->hnext) {
        if (y->id || y->n != t->n || memcmp(y->name, t->s, t->n) != 0)
            continue;
        /* shadowing an outer name is allowed; only the same block may not hold it twice */
        for (struct sym *z = p->scope; z != mark; z = z->stack)
            if (z == y)
                parse_fail(p, t->line, "duplicate definition of '%.*s'", shown(t->n), t->s);
        return;
    }
}

/* ---- slots and constants --------------------------------------------------------------------- */

uint32_t parse_slot(struct parser *p, enum sg_type type)
{
    uint32_t size = (uint32_t)reg_size(type) * LANES, at;

    if (!p->fn)
        parse_fail(p, p->tok.line, "register outside of a function");
    if (type == T_PRED) {
        if (p->pred_next == p->pred_end) {
            p->pred_next = p->frame_bytes;
            p->frame_bytes += 64;
            p->pred_end = p->frame_bytes;
        }
        at = p->pred_next;
        p->pred_next += 4;
    } else {
        at = p->frame_bytes;
        p->frame_bytes += size;
        p->regs32 += size == 256 ? 2 : 1;
    }
    if (p->frame_bytes > MAX_FRAME)
        parse_fail(p, p->tok.line, "too many registers in '%s'", p->fn->info.name);
    return at | BASE_FRAME;
}

static void konst_rehash(struct parser *p)
{
    uint32_t size = p->konst_hash_size ? p->konst_hash_size * 2 : 256;
    uint32_t *h = calloc(size, sizeof(*h));

    if (!h)
        parse_no_memory(p);
    free(p->konst_hash);
    p->konst_hash = h;
    p->konst_hash_size = size;
    for (uint32_t i = 0; i < p->nkonst; i++) {
        struct konst *k = &p->konst[i];
        uint64_t at = (k->value * UINT64_C(0x9e3779b97f4a7c15) ^ (uintptr_t)k->var * 31) + k->size;

        for (at ^= at >> 31;; at++)
            if (!h[at % size]) {
                h[at % size] = i + 1;
                break;
            }
    }
}

uint32_t parse_konst(struct parser *p, unsigned size, uint64_t value, struct var *shared)
{
    uint64_t at;
    struct konst *k;

    if (size == 1)
        value = value ? FULL_MASK : 0;
    else if (size < 8)
        value &= (UINT64_C(1) << (size * 8)) - 1;
    if (p->nkonst * 2 >= p->konst_hash_size)
        konst_rehash(p);
    at = (value * UINT64_C(0x9e3779b97f4a7c15) ^ (uintptr_t)shared * 31) + size;
    for (at ^= at >> 31; p->konst_hash[at % p->konst_hash_size]; at++) {
        k = &p->konst[p->konst_hash[at % p->konst_hash_size] - 1];
        if (k->size == size && k->value == value && k->var == shared)
            return k->off | BASE_CONST;
    }
    p->konst_hash[at % p->konst_hash_size] = p->nkonst + 1;
    k = PUSH(p, konst, nkonst, ckonst);
    *k = (struct konst){value, shared, (uint32_t)p->mod->consts_used, (uint8_t)size};
    p->mod->consts_used += size == 1 ? 64 : size * LANES;
    if (p->mod->consts_used > MAX_CONSTS)
        parse_fail(p, p->tok.line, "too many constants");
    return k->off | BASE_CONST;
}

static void fill_konsts(struct parser *p)
{
    size_t bytes = (p->mod->consts_used + 255) & ~(size_t)255;

    if (!bytes)
        bytes = 256;
    if (posix_memalign((void **)&p->mod->consts, 64, bytes))
        parse_no_memory(p);
    memset(p->mod->consts, 0, bytes);
    for (uint32_t i = 0; i < p->nkonst; i++) {
        const struct konst *k = &p->konst[i];
        uint64_t v = k->value + (k->var ? k->var->addr : 0);
        uint8_t *d = p->mod->consts + k->off;

        if (k->size == 1)
            memcpy(d, &(uint32_t){(uint32_t)v}, 4);
        else
            for (int l = 0; l < LANES; l++)
                memcpy(d + (size_t)l * k->size, &v, k->size); /* little-endian host */
    }
}

void parse_use_shared(struct parser *p, struct var *v)
{
    for (uint32_t i = 0; i < p->nshared_refs; i++)
        if (p->shared_refs[i] == v->index)
            return;
    *PUSH(p, shared_refs, nshared_refs, cshared_refs) = v->index;
}

uint64_t parse_function_token(struct sg_function *fn)
{
    fn->address_taken = true;
    return SG_FUNCTION_WINDOW + UINT64_C(16) * fn->index;
}

/* ---- constant expressions -------------------------------------------------------------------- */

static int64_t expr(struct parser *p, int level, int depth);

static int64_t expr_primary(struct parser *p, int depth)
{
    int64_t v;

    if (depth > MAX_DEPTH)
        parse_fail(p, p->tok.line, "expression nested too deeply");
    if (parse_accept(p, '-'))
        return (int64_t)(0 - (uint64_t)expr_primary(p, depth + 1));
    if (parse_accept(p, '+'))
        return expr_primary(p, depth + 1);
    if (parse_accept(p, '~'))
        return ~expr_primary(p, depth + 1);
    if (parse_accept(p, '!'))
        return !expr_primary(p, depth + 1);
    if (parse_accept(p, '(')) {
        if (p->tok.kind == TK_DOT && (at_dot(p, "s64") || at_dot(p, "u64"))) {
            parse_advance(p);
            parse_expect(p, ')');
            return expr_primary(p, depth + 1);
        }
        v = expr(p, 0, depth + 1);
        parse_expect(p, ')');
        return v;
    }
    if (p->tok.kind == TK_IDENT && token_is(&p->tok, "WARP_SZ")) {
        parse_advance(p);
        return LANES;
    }
    if (p->tok.kind != TK_INT)
        unexpected(p);
    v = (int64_t)p->tok.value;
    parse_advance(p);
    return v;
}

static int expr_operator(struct parser *p, int level)
{
    static const char *const ops[] = {"|", "^", "&", "<>", "+-", "*/%"};
    char c;

    if (p->tok.kind != TK_PUNCT)
        return 0;
    c = p->tok.punct;
    if (!strchr(ops[level], c))
        return 0;
    if (level == 3 && (p->lx.p == p->lx.end || *p->lx.p != c))
        return 0; /* the '>' that ends a register count */
    parse_advance(p);
    if (level == 3)
        parse_expect(p, c); /* << and >> */
    return c;
}

static int64_t expr(struct parser *p, int level, int depth)
{
    int64_t v, r;
    uint64_t u;
    int op;

    if (level > 5)
        return expr_primary(p, depth);
    v = expr(p, level + 1, depth);
    while ((op = expr_operator(p, level)) != 0) {
        uint32_t line = p->tok.line;

        r = expr(p, level + 1, depth);
        u = (uint64_t)v;
        switch (op) {
        case '|':
            u |= (uint64_t)r;
            break;
        case '^':
            u ^= (uint64_t)r;
            break;
        case '&':
            u &= (uint64_t)r;
            break;
        case '<':
            u = (uint64_t)r > 63 ? 0 : u << r;
            break;
        case '>':
            u = (uint64_t)(v >> ((uint64_t)r > 63 ? 63 : r));
            break;
        case '+':
            u += (uint64_t)r;
            break;
        case '-':
            u -= (uint64_t)r;
            break;
        case '*':
            u *= (uint64_t)r;
            break;
        default:
            if (r == 0 || (v == INT64_MIN && r == -1))
                parse_fail(p, line, "division by zero in a constant expression");
            u = (uint64_t)(op == '/' ? v / r : v % r);
        }
        v = (int64_t)u;
    }
    return v;
}

int64_t parse_const_int(struct parser *p)
{
    return expr(p, 0, 0);
}

/* ---- operands -------------------------------------------------------------------------------- */

static const struct {
    const char *name, *part;
    uint8_t type; /* T_NONE: read by OP_clock */
    uint32_t ref;
} specials[] = {
    {"%tid", "x", T_U32, W_TID_X | BASE_WARP},
    {"%tid", "y", T_U32, W_TID_Y | BASE_WARP},
    {"%tid", "z", T_U32, W_TID_Z | BASE_WARP},
    {"%tid", "w", T_U32, U_ZERO | BASE_UNIFORM},
    {"%ntid", "x", T_U32, U_NTID_X | BASE_UNIFORM},
    {"%ntid", "y", T_U32, U_NTID_Y | BASE_UNIFORM},
    {"%ntid", "z", T_U32, U_NTID_Z | BASE_UNIFORM},
    {"%ntid", "w", T_U32, U_ONE | BASE_UNIFORM},
    {"%ctaid", "x", T_U32, U_CTAID_X | BASE_UNIFORM},
    {"%ctaid", "y", T_U32, U_CTAID_Y | BASE_UNIFORM},
    {"%ctaid", "z", T_U32, U_CTAID_Z | BASE_UNIFORM},
    {"%ctaid", "w", T_U32, U_ZERO | BASE_UNIFORM},
    {"%nctaid", "x", T_U32, U_NCTAID_X | BASE_UNIFORM},
    {"%nctaid", "y", T_U32, U_NCTAID_Y | BASE_UNIFORM},
    {"%nctaid", "z", T_U32, U_NCTAID_Z | BASE_UNIFORM},
    {"%nctaid", "w", T_U32, U_ONE | BASE_UNIFORM},
    {"%laneid", NULL, T_U32, W_LANEID | BASE_WARP},
    {"%warpid", NULL, T_U32, W_WARPID | BASE_WARP},
    {"%nwarpid", NULL, T_U32, U_NWARPID | BASE_UNIFORM},
    {"%smid", NULL, T_U32, U_SMID | BASE_UNIFORM},
    {"%nsmid", NULL, T_U32, U_NSMID | BASE_UNIFORM},
    {"%gridid", NULL, T_U64, U_GRIDID | BASE_UNIFORM},
    {"%lanemask_eq", NULL, T_U32, W_MASK_EQ | BASE_WARP},
    {"%lanemask_le", NULL, T_U32, W_MASK_LE | BASE_WARP},
    {"%lanemask_lt", NULL, T_U32, W_MASK_LT | BASE_WARP},
    {"%lanemask_ge", NULL, T_U32, W_MASK_GE | BASE_WARP},
    {"%lanemask_gt", NULL, T_U32, W_MASK_GT | BASE_WARP},
    {"%dynamic_smem_size", NULL, T_U32, U_DYN_SIZE | BASE_UNIFORM},
    {"%total_smem_size", NULL, T_U32, U_TOTAL_SIZE | BASE_UNIFORM},
    {"%aggr_smem_size", NULL, T_U32, U_TOTAL_SIZE | BASE_UNIFORM},
    {"%reserved_smem_offset_begin", NULL, T_U32, U_ZERO | BASE_UNIFORM},
    {"%reserved_smem_offset_end", NULL, T_U32, U_ZERO | BASE_UNIFORM},
    {"%reserved_smem_offset_cap", NULL, T_U32, U_ZERO | BASE_UNIFORM},
    {"%reserved_smem_offset_0", NULL, T_U32, U_ZERO | BASE_UNIFORM},
    {"%reserved_smem_offset_1", NULL, T_U32, U_ZERO | BASE_UNIFORM},
    {"%is_explicit_cluster", NULL, T_PRED, U_ZERO | BASE_UNIFORM},
    {"%clusterid", "x", T_U32, U_CTAID_X | BASE_UNIFORM},
    {"%clusterid", "y", T_U32, U_CTAID_Y | BASE_UNIFORM},
    {"%clusterid", "z", T_U32, U_CTAID_Z | BASE_UNIFORM},
    {"%nclusterid", "x", T_U32, U_NCTAID_X | BASE_UNIFORM},
    {"%nclusterid", "y", T_U32, U_NCTAID_Y | BASE_UNIFORM},
    {"%nclusterid", "z", T_U32, U_NCTAID_Z | BASE_UNIFORM},
    {"%cluster_ctaid", "x", T_U32, U_ZERO | BASE_UNIFORM},
    {"%cluster_ctaid", "y", T_U32, U_ZERO | BASE_UNIFORM},
    {"%cluster_ctaid", "z", T_U32, U_ZERO | BASE_UNIFORM},
    {"%cluster_nctaid", "x", T_U32, U_ONE | BASE_UNIFORM},
    {"%cluster_nctaid", "y", T_U32, U_ONE | BASE_UNIFORM},
    {"%cluster_nctaid", "z", T_U32, U_ONE | BASE_UNIFORM},
    {"%cluster_ctarank", NULL, T_U32, U_ZERO | BASE_UNIFORM},
    {"%cluster_nctarank", NULL, T_U32, U_ONE | BASE_UNIFORM},
    {"%clock", NULL, T_NONE, CLOCK_LO},
    {"%clock_hi", NULL, T_NONE, CLOCK_HI},
    {"%clock64", NULL, T_NONE, CLOCK_64},
    {"%globaltimer", NULL, T_NONE, CLOCK_GLOBAL},
    {"%globaltimer_lo", NULL, T_NONE, CLOCK_GLOBAL_LO},
    {"%globaltimer_hi", NULL, T_NONE, CLOCK_GLOBAL_HI},
};

/* %pm0 to %pm7, their _64 forms and %envreg0 to %envreg31 read as zero. */
static bool zero_special(const struct token *t, uint8_t *type)
{
    unsigned k;
    char text[32], rest[8] = "";

    if (t->n >= sizeof(text))
        return false;
    memcpy(text, t->s, t->n);
    text[t->n] = 0;
    *type = T_U32;
    if (sscanf(text, "%%envreg%u%7s", &k, rest) == 1)
        return k < 32;
    rest[0] = 0;
    if (sscanf(text, "%%pm%u%7s", &k, rest) >= 1 && k < 8) {
        if (strcmp(rest, "_64") == 0)
            *type = T_U64;
        return rest[0] == 0 || *type == T_U64;
    }
    return false;
}

static bool special_register(struct parser *p, const struct token *name, struct operand *o)
{
    struct token part = {.kind = TK_END};
    bool known = false;
    uint8_t type;

    if (name->s[0] != '%')
        return false;
    for (size_t i = 0; i < sizeof(specials) / sizeof(specials[0]); i++)
        known |= token_is(name, specials[i].name);
    if (!known) {
        if (!zero_special(name, &type))
            return false;
        o->kind = O_REG;
        o->type = type;
        o->ref = U_ZERO | BASE_UNIFORM;
        return true;
    }
    if (p->tok.kind == TK_DOT) {
        part = p->tok;
        parse_advance(p);
    }
    for (size_t i = 0; i < sizeof(specials) / sizeof(specials[0]); i++) {
        if (!token_is(name, specials[i].name))
            continue;
        if (!specials[i].part ? part.kind != TK_END
                              : part.kind != TK_DOT || !token_is(&part, specials[i].part))
            continue;
        o->type = specials[i].type;
        o->kind = o->type == T_NONE ? O_CLOCK : O_REG;
        o->ref = specials[i].ref;
        o->imm = specials[i].ref;
        if (o->kind == O_CLOCK)
            o->type = o->imm == CLOCK_64 || o->imm == CLOCK_GLOBAL ? T_U64 : T_U32;
        return true;
    }
    parse_fail(p, name->line, "unknown special register '%.*s'", shown(name->n), name->s);
}

static void number_operand(struct parser *p, struct operand *o)
{
    bool minus = false;

    if (p->tok.kind == TK_PUNCT && (p->tok.punct == '-' || p->tok.punct == '+')) {
        struct lexer save = p->lx;
        struct token t = p->tok;

        parse_advance(p);
        if (p->tok.kind == TK_F32 || p->tok.kind == TK_F64) {
            minus = t.punct == '-';
        } else {
            p->lx = save;
            p->tok = t;
        }
    }
    if (p->tok.kind == TK_F32 || p->tok.kind == TK_F64) {
        o->kind = p->tok.kind == TK_F32 ? O_F32 : O_F64;
        o->imm =
            p->tok.value ^ (minus ? (o->kind == O_F32 ? UINT64_C(1) << 31 : UINT64_C(1) << 63) : 0);
        parse_advance(p);
        return;
    }
    o->kind = O_INT;
    o->imm = (uint64_t)parse_const_int(p);
}

static int64_t optional_offset(struct parser *p)
{
    if (!parse_is(p, '+') && !parse_is(p, '-'))
        return 0;
    if (parse_accept(p, '+'))
        return parse_const_int(p);
    return parse_const_int(p); /* takes the minus sign itself */
}

static void name_operand(struct parser *p, struct operand *o)
{
    struct token t = take_ident(p);
    struct sym *y;

    o->name = t;
    if (token_is(&t, "_")) {
        o->kind = O_SINK;
        o->ref = REF_SINK;
        return;
    }
    if (token_is(&t, "WARP_SZ")) {
        o->kind = O_INT;
        o->imm = LANES;
        return;
    }
    y = parse_lookup(p, t.s, t.n);
    if (!y) {
        if (!special_register(p, &t, o))
            o->kind = O_NAME;
        return;
    }
    switch (y->kind) {
    case SYM_REG:
        o->kind = O_REG;
        o->type = y->type;
        o->ref = y->ref;
        break;
    case SYM_VAR:
        o->kind = O_VAR;
        o->var = y->var;
        break;
    case SYM_FUNC:
        o->kind = O_FUNC;
        o->fn = y->fn;
        break;
    default:
        o->kind = O_NAME;
    }
}

void parse_operand(struct parser *p, struct operand *o)
{
    uint32_t line = p->tok.line;

    memset(o, 0, sizeof(*o));
    o->name = p->tok;
    if (parse_accept(p, '{')) {
        o->kind = O_VECTOR;
        do {
            struct operand e;

            if (o->n == MAX_VECTOR)
                parse_fail(p, line, "vector operand too long");
            memset(&e, 0, sizeof(e));
            if (p->tok.kind == TK_IDENT)
                name_operand(p, &e);
            else
                number_operand(p, &e);
            if (e.kind != O_REG && e.kind != O_SINK && e.kind != O_INT && e.kind != O_F32 &&
                e.kind != O_F64)
                parse_fail(p, line, "'%.*s' is no register", shown(e.name.n), e.name.s);
            o->v[o->n].kind = e.kind;
            o->v[o->n].type = e.type;
            o->v[o->n].ref = e.ref;
            o->v[o->n].imm = e.imm;
            o->n++;
        } while (parse_accept(p, ','));
        parse_expect(p, '}');
        return;
    }
    if (parse_accept(p, '[')) {
        struct operand e;

        memset(&e, 0, sizeof(e));
        o->kind = O_ADDR;
        if (p->tok.kind == TK_IDENT) {
            name_operand(p, &e);
            if (e.kind != O_REG && e.kind != O_VAR && e.kind != O_INT)
                parse_fail(p, line, "unknown symbol '%.*s'", shown(e.name.n), e.name.s);
            o->off = optional_offset(p);
        } else {
            number_operand(p, &e);
            if (e.kind != O_INT)
                parse_fail(p, line, "an address cannot be a floating-point number");
        }
        o->addr = e.kind;
        o->type = e.type;
        o->ref = e.ref;
        o->var = e.var;
        o->imm = e.imm;
        parse_expect(p, ']');
        return;
    }
    if (parse_is(p, '!')) {
        struct lexer save = p->lx;
        struct token t = p->tok;

        parse_advance(p);
        if (p->tok.kind == TK_IDENT) {
            name_operand(p, o);
            if (o->kind != O_REG || o->type != T_PRED)
                parse_fail(p, line, "'!' needs a predicate");
            o->negated = true;
            return;
        }
        p->lx = save;
        p->tok = t;
    }
    if (p->tok.kind != TK_IDENT) {
        number_operand(p, o);
        return;
    }
    name_operand(p, o);
    if ((o->kind == O_REG || o->kind == O_SINK) && parse_accept(p, '|')) {
        struct operand q;

        memset(&q, 0, sizeof(q));
        name_operand(p, &q);
        if (q.kind != O_SINK && (q.kind != O_REG || q.type != T_PRED || (q.ref & 3) != BASE_FRAME))
            parse_fail(p, line, "'|' needs a predicate");
        o->pair = true;
        o->ref2 = q.ref;
        o->sink2 = q.kind == O_SINK;
    } else if (o->kind == O_VAR) {
        o->off = optional_offset(p);
    }
}

/* ---- storage of variables -------------------------------------------------------------------- */

static uint8_t *allocate_storage(struct parser *p, uint64_t size, uint64_t align)
{
    struct storage *s = p->mod->storage;
    size_t at, bytes;

    if (align < 16)
        align = 16;
    if (s) {
        at = (s->used + align - 1) & ~(align - 1);
        if (at <= s->size && s->size - at >= size) {
            s->used = at + size;
            return s->base + at;
        }
    }
    if (size > MAX_STORAGE)
        parse_no_memory(p);
    bytes = size > (256u << 10) ? (size + 4095) & ~(size_t)4095 : 256u << 10;
    if (bytes > MAX_STORAGE - p->mod->storage_bytes)
        parse_no_memory(p);
    s = parse_keep(p, sizeof(*s));
    s->base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    if (s->base == MAP_FAILED)
        parse_no_memory(p);
    s->size = bytes;
    p->mod->storage_bytes += bytes;
    s->next = p->mod->storage;
    p->mod->storage = s;
    switch (sg_memmap_add(p->mod->map, (uint64_t)(uintptr_t)s->base, bytes, true)) {
    case 0:
        s->mapped = true;
        break;
    default:
        parse_no_memory(p);
    }
    s->used = size;
    return s->base;
}

/* One value of an initialiser. 8-bit elements may take one byte of an address: 0xFF00(symbol). */
static uint64_t init_value(struct parser *p, enum sg_type type, int depth)
{
    struct operand o;
    uint64_t mask = 0, v;
    uint32_t line = p->tok.line;

    memset(&o, 0, sizeof(o));
    if (p->tok.kind == TK_IDENT) {
        struct token t = p->tok;

        if (token_is(&t, "generic") && depth < 2) {
            parse_advance(p);
            parse_expect(p, '(');
            v = init_value(p, type, depth + 1);
            parse_expect(p, ')');
            return v + (uint64_t)optional_offset(p);
        }
        name_operand(p, &o);
        if (o.kind == O_INT)
            return o.imm;
        if (o.kind == O_FUNC) {
            if (o.fn->entry)
                parse_fail(p, line, "the address of an entry cannot be taken");
            return parse_function_token(o.fn);
        }
        if (o.kind != O_VAR || (o.var->space != SP_GLOBAL && o.var->space != SP_CONST) ||
            o.var->external)
            parse_fail(p, line, "'%.*s' cannot initialise a variable", shown(t.n), t.s);
        return o.var->addr + (uint64_t)optional_offset(p);
    }
    number_operand(p, &o);
    if (o.kind == O_INT && parse_is(p, '(') && depth < 2) {
        int shift = 0;

        mask = o.imm;
        parse_advance(p);
        v = init_value(p, T_B64, depth + 1);
        parse_expect(p, ')');
        while (shift < 56 && mask && !(mask >> shift & 0xff))
            shift += 8;
        return (v & mask) >> shift;
    }
    switch (type) {
    case T_F32:
        if (o.kind == O_F64) {
            double d;
            float f;
            uint32_t u;

            memcpy(&d, &o.imm, 8);
            f = (float)d;
            memcpy(&u, &f, 4);
            return u;
        }
        if (o.kind == O_INT) {
            float f = (float)(int64_t)o.imm;
            uint32_t u;

            memcpy(&u, &f, 4);
            return u;
        }
        return o.imm;
    case T_F64:
        if (o.kind == O_F32) {
            float f;
            double d;
            uint32_t u = (uint32_t)o.imm;

            memcpy(&f, &u, 4);
            d = f;
            memcpy(&o.imm, &d, 8);
        } else if (o.kind == O_INT) {
            double d = (double)(int64_t)o.imm;

            memcpy(&o.imm, &d, 8);
        }
        return o.imm;
    default:
        if (o.kind == O_F64 && type_size(type) < 8)
            parse_fail(p, line, "floating-point initialiser for an integer variable");
        return o.imm;
    }
}

struct init {
    uint8_t *data; /* NULL while the size is still unknown */
    uint64_t count, cap;
    uint64_t *values;
};

static void init_push(struct parser *p, struct init *in, uint64_t limit, uint64_t v)
{
    if (in->count >= limit)
        parse_fail(p, p->tok.line, "too many initialisers");
    if (in->count == in->cap) {
        uint64_t cap = in->cap ? in->cap * 2 : 256;
        uint64_t *q = parse_alloc(p, cap * sizeof(*q)); /* doubling: at most twice the text */

        if (in->count)
            memcpy(q, in->values, in->count * sizeof(*q));
        in->values = q;
        in->cap = cap;
    }
    in->values[in->count++] = v;
}

/* inner[depth]: elements in one brace at that depth, so that short rows are padded. */
static void init_list(struct parser *p, struct init *in, enum sg_type type, const uint64_t *inner,
                      int ndims, int depth, uint64_t limit)
{
    parse_expect(p, '{');
    while (!parse_is(p, '}')) {
        if (parse_is(p, '{')) {
            uint64_t start = in->count;

            if (depth + 1 >= ndims)
                parse_fail(p, p->tok.line, "initialiser nested too deeply");
            init_list(p, in, type, inner, ndims, depth + 1, limit);
            if (in->count - start > inner[depth + 1])
                parse_fail(p, p->tok.line, "too many initialisers");
            while (in->count - start < inner[depth + 1])
                init_push(p, in, limit, 0);
        } else {
            init_push(p, in, limit, init_value(p, type, 0));
        }
        if (!parse_accept(p, ','))
            break;
    }
    parse_expect(p, '}');
}

enum linkage {
    L_NONE,
    L_EXTERN,
    L_VISIBLE,
    L_WEAK,
    L_COMMON,
};

static uint32_t take_align(struct parser *p)
{
    int64_t a = parse_const_int(p);

    if (a <= 0 || a > MAX_ALIGN || (a & (a - 1)))
        parse_fail(p, p->tok.line, "bad alignment");
    return (uint32_t)a;
}

static struct var *new_var(struct parser *p, const struct token *name, int space, uint64_t size,
                           uint32_t align)
{
    struct var *v = parse_keep(p, sizeof(*v));
    struct sym *y;

    v->name = keep_name(p, name->s, name->n);
    v->space = (uint8_t)space;
    v->size = size;
    v->align = align;
    v->owner = p->fn;
    y = add_sym(p, name->s, name->n, 0, SYM_VAR);
    y->var = v;
    return v;
}

static uint32_t place_local(struct parser *p, uint64_t size, uint32_t align)
{
    uint64_t at = ((uint64_t)p->local_now + align - 1) & ~(uint64_t)(align - 1);

    if (size > SG_LOCAL_MAX || at + size > SG_LOCAL_MAX)
        parse_fail(p, p->tok.line, "too much local memory");
    p->local_now = (uint32_t)(at + size);
    if (p->local_now > p->fn->local_bytes)
        p->fn->local_bytes = p->local_now;
    return (uint32_t)at;
}

/* Sizes of an array declarator: [n][m]... Returns the number of dimensions. */
static int dimensions(struct parser *p, uint64_t *dims, int max, bool *open)
{
    int n = 0;

    *open = false;
    while (parse_accept(p, '[')) {
        if (n == max)
            parse_fail(p, p->tok.line, "too many dimensions");
        if (parse_is(p, ']')) {
            if (n)
                parse_fail(p, p->tok.line, "only the first dimension may be open");
            *open = true;
            dims[n++] = 1;
        } else {
            int64_t d = parse_const_int(p);

            if (d < 0 || (uint64_t)d > MAX_STORAGE)
                parse_fail(p, p->tok.line, "bad array size");
            dims[n++] = (uint64_t)d;
        }
        parse_expect(p, ']');
    }
    return n;
}

#define MAX_DIMS 8

/* A variable in .global, .const, .shared or .local (the space is already read), up to its
 * semicolon. */
static void variable(struct parser *p, int space, enum linkage linkage, struct sym *mark)
{
    uint32_t align = 0, vec = 1;
    enum sg_type type = T_NONE;

    for (;;) {
        if (accept_dot(p, "align"))
            align = take_align(p);
        else if (accept_dot(p, "v2"))
            vec = 2;
        else if (accept_dot(p, "v4"))
            vec = 4;
        else if (at_dot(p, "attribute")) {
            parse_advance(p);
            parse_expect(p, '(');
            for (int n = 0; !parse_is(p, ')'); n++) {
                if (p->tok.kind == TK_END)
                    unexpected(p);
                parse_advance(p);
            }
            parse_advance(p);
        } else
            break;
    }
    type = take_type(p);
    if (type == T_PRED)
        parse_fail(p, p->tok.line, "a predicate cannot be in memory");
    do {
        struct token name = take_ident(p);
        uint64_t dims[MAX_DIMS], inner[MAX_DIMS + 1], size = (uint64_t)type_size(type) * vec, total;
        bool open, has_init = false;
        int nd;
        struct init in = {0};
        struct var *v;
        struct sym *old;
        uint32_t al = align > size ? align : align ? align : (uint32_t)size;

        nd = dimensions(p, dims, MAX_DIMS, &open);
        total = 1;
        for (int k = nd - 1; k >= 0; k--) {
            inner[k] = 0;
            if (total && dims[k] > MAX_STORAGE / total)
                parse_fail(p, name.line, "array too large");
            total *= dims[k];
            inner[k] = total * vec; /* elements within one brace at depth k */
        }
        if (nd == 0)
            inner[0] = vec;
        if (total > MAX_STORAGE / size)
            parse_fail(p, name.line, "array too large");
        if (parse_accept(p, '=')) {
            if (space == SP_SHARED || space == SP_LOCAL || linkage == L_EXTERN)
                parse_fail(p, name.line, "'%.*s' cannot have an initialiser", shown(name.n),
                           name.s);
            has_init = true;
            if (parse_is(p, '{')) {
                uint64_t limit = open ? UINT64_C(1) << 28 : total * vec;

                init_list(p, &in, type, inner, nd ? nd : 1, 0, limit);
            } else {
                init_push(p, &in, 1, init_value(p, type, 0));
            }
            if (open) {
                uint64_t row = inner[0] ? inner[0] : 1;

                total = (in.count + row - 1) / row * (row / vec);
            }
        } else if (open && linkage != L_EXTERN) {
            parse_fail(p, name.line, "array '%.*s' has no size", shown(name.n), name.s);
        } else if (open) {
            total = 0;
        }
        total *= size;
        old = find_sym(p, name.s, name.n, 0, hash_text(name.s, name.n, 0));
        if (old && !p->fn && old->kind == SYM_VAR && old->var->space == space &&
            (linkage == L_EXTERN || old->var->external ||
             (linkage == L_WEAK || linkage == L_COMMON))) {
            v = old->var;
            if (linkage == L_EXTERN || !v->external)
                continue; /* a declaration of what is known, or a second weak definition */
            if (v->space == SP_GLOBAL || v->space == SP_CONST)
                parse_fail(p, name.line, "'%.*s' is defined after its use as external",
                           shown(name.n), name.s);
            continue;
        }
        check_new(p, &name, mark);
        if (space == SP_LOCAL && !p->fn)
            parse_fail(p, name.line, "local variable outside of a function");
        v = new_var(p, &name, space, total, al);
        switch (space) {
        case SP_LOCAL:
            v->addr = place_local(p, total, al);
            p->fn->uses_local = true;
            break;
        case SP_SHARED:
            v->index = p->nshared;
            v->dynamic = linkage == L_EXTERN;
            if (total > SG_SHARED_MAX)
                parse_fail(p, name.line, "too much shared memory");
            *PUSH(p, shared, nshared, cshared) = v;
            break;
        default:
            v->external = linkage == L_EXTERN;
            if (v->external)
                break;
            v->addr = (uint64_t)(uintptr_t)allocate_storage(p, total, al);
            v->next = p->mod->globals;
            p->mod->globals = v;
            if (space == SP_CONST)
                p->mod->const_bytes += (uint32_t)total;
            if (has_init) {
                int es = type_size(type);

                for (uint64_t k = 0; k < in.count; k++)
                    memcpy((uint8_t *)(uintptr_t)v->addr + k * (uint64_t)es, &in.values[k],
                           (size_t)es);
            }
        }
    } while (parse_accept(p, ','));
    parse_expect(p, ';');
}

/* ---- functions ------------------------------------------------------------------------------- */

struct formal {
    struct token name;
    bool is_reg;
    enum sg_type type;
    uint32_t size, align;
};

#define MAX_FORMALS 1024

/* (.param .b32 a, .param .align 8 .b8 b[16], .reg .b32 c) */
static uint32_t formals(struct parser *p, struct formal **out)
{
    uint32_t n = 0, cap = 0;
    struct formal *list = NULL;

    parse_expect(p, '(');
    while (!parse_is(p, ')')) {
        struct formal f;
        uint64_t count = 1, dims[MAX_DIMS];
        uint32_t vec = 1;
        bool open;
        int nd;

        memset(&f, 0, sizeof(f));
        if (accept_dot(p, "reg"))
            f.is_reg = true;
        else if (!accept_dot(p, "param"))
            unexpected(p);
        for (;;) {
            if (accept_dot(p, "align"))
                f.align = take_align(p);
            else if (accept_dot(p, "v2"))
                vec = 2;
            else if (accept_dot(p, "v4"))
                vec = 4;
            else
                break;
        }
        f.type = take_type(p);
        if (accept_dot(p, "ptr")) {
            /* .ptr .space .align N: what the pointer names, of no interest here */
            for (;;) {
                if (accept_dot(p, "align"))
                    take_align(p);
                else if (!accept_dot(p, "global") && !accept_dot(p, "shared") &&
                         !accept_dot(p, "local") && !accept_dot(p, "const"))
                    break;
            }
        }
        if (f.type == T_PRED && !f.is_reg)
            parse_fail(p, p->tok.line, "a predicate cannot be in memory");
        f.name = take_ident(p);
        nd = dimensions(p, dims, MAX_DIMS, &open);
        if (open && nd == 1 && parse_is(p, ')'))
            count = 0; /* a variable argument list: callers pass their own buffer */
        for (int k = 0; k < nd && !open; k++) {
            count *= dims[k];
            if (count > MAX_PARAM_BYTES)
                parse_fail(p, f.name.line, "parameter too large");
        }
        if (f.is_reg && (nd || vec > 1))
            parse_fail(p, f.name.line, "a register parameter cannot be an array");
        f.size = (uint32_t)((uint64_t)type_size(f.type) * vec * count);
        if (f.size > MAX_PARAM_BYTES)
            parse_fail(p, f.name.line, "parameter too large");
        if (!f.align)
            f.align = type_size(f.type) ? (uint32_t)type_size(f.type) * vec : 4;
        if (n == cap) {
            struct formal *q;

            if (n == MAX_FORMALS)
                parse_fail(p, f.name.line, "too many parameters");
            cap = cap ? cap * 2 : 16;
            q = parse_alloc(p, cap * sizeof(*q));
            if (n)
                memcpy(q, list, n * sizeof(*q));
            list = q;
        }
        list[n++] = f;
        if (!parse_accept(p, ','))
            break;
    }
    parse_expect(p, ')');
    *out = list;
    return n;
}

/* Lays parameters out in a frame's local memory, results first. */
static void make_signature(struct parser *p, struct signature *sig, const struct formal *rets,
                           uint32_t nrets, const struct formal *args, uint32_t nargs, uint32_t *end)
{
    uint64_t at = 0;

    sig->nrets = nrets;
    sig->nargs = nargs;
    sig->rets = parse_keep(p, (nrets + 1) * sizeof(struct arg));
    sig->args = parse_keep(p, (nargs + 1) * sizeof(struct arg));
    for (uint32_t k = 0; k < nrets + nargs; k++) {
        const struct formal *f = k < nrets ? &rets[k] : &args[k - nrets];
        struct arg *a = k < nrets ? &sig->rets[k] : &sig->args[k - nrets];

        a->is_reg = f->is_reg;
        a->size = f->size;
        a->align = f->align;
        if (f->is_reg)
            continue;
        at = (at + f->align - 1) & ~(uint64_t)(f->align - 1);
        a->off = (uint32_t)at;
        at += f->size;
        if (at > SG_LOCAL_MAX)
            parse_fail(p, p->tok.line, "too many parameters");
    }
    *end = (uint32_t)at;
}

static bool same_signature(const struct signature *a, const struct signature *b)
{
    if (a->nargs != b->nargs || a->nrets != b->nrets)
        return false;
    for (uint32_t k = 0; k < a->nargs; k++)
        if (a->args[k].is_reg != b->args[k].is_reg || a->args[k].size != b->args[k].size)
            return false;
    for (uint32_t k = 0; k < a->nrets; k++)
        if (a->rets[k].is_reg != b->rets[k].is_reg || a->rets[k].size != b->rets[k].size)
            return false;
    return true;
}

struct signature *parse_prototype(struct parser *p)
{
    struct formal *rets = NULL, *args = NULL;
    uint32_t nrets = 0, nargs = 0, end;
    struct signature *sig = parse_keep(p, sizeof(*sig));

    if (parse_is(p, '('))
        nrets = formals(p, &rets);
    take_ident(p); /* the name is a placeholder */
    if (parse_is(p, '('))
        nargs = formals(p, &args);
    accept_dot(p, "noreturn");
    if (accept_dot(p, "abi_preserve") || accept_dot(p, "abi_preserve_control"))
        parse_const_int(p);
    parse_expect(p, ';');
    make_signature(p, sig, rets, nrets, args, nargs, &end);
    return sig;
}

static struct sg_function *new_function(struct parser *p, const struct token *name, bool entry)
{
    struct sg_function *fn = parse_keep(p, sizeof(*fn));
    struct sym *y;

    if (p->mod->nfuncs == MAX_FUNCTIONS)
        parse_fail(p, name->line, "too many functions");
    fn->info.name = keep_name(p, name->s, name->n);
    fn->entry = entry;
    fn->module = p->mod;
    fn->index = p->mod->nfuncs;
    p->mod->funcs = parse_grow(p, p->mod->funcs, p->mod->nfuncs, &p->cfuncs, sizeof(fn));
    p->mod->funcs[p->mod->nfuncs++] = fn;
    y = add_sym(p, name->s, name->n, 0, SYM_FUNC);
    y->fn = fn;
    return fn;
}

static void define_reg(struct parser *p, const struct token *name, enum sg_type type)
{
    struct sym *y = add_sym(p, name->s, name->n, 0, SYM_REG);

    y->type = (uint8_t)type;
    y->ref = parse_slot(p, type);
}

/* .reg .b32 a, %r<10>; */
static void registers(struct parser *p, struct sym *mark)
{
    enum sg_type type;

    if (at_dot(p, "v2") || at_dot(p, "v4"))
        parse_fail(p, p->tok.line, "vector registers are not supported");
    type = take_type(p);
    do {
        struct token name = take_ident(p);

        check_new(p, &name, mark);
        if (parse_accept(p, '<')) {
            int64_t n = parse_const_int(p);
            struct sym *y;

            if (n < 0 || n > INT32_MAX)
                parse_fail(p, name.line, "bad register count");
            parse_expect(p, '>');
            y = add_sym(p, name.s, name.n, 0, SYM_RANGE);
            y->type = (uint8_t)type;
            y->count = (uint64_t)n;
            y->ref = (uint32_t)p->next_range++;
        } else {
            define_reg(p, &name, type);
        }
    } while (parse_accept(p, ','));
    parse_expect(p, ';');
}

/* .param declared in a body: a buffer for the arguments or results of a call. */
static void call_params(struct parser *p, struct sym *mark)
{
    uint32_t align = 0, vec = 1;
    enum sg_type type;

    for (;;) {
        if (accept_dot(p, "align"))
            align = take_align(p);
        else if (accept_dot(p, "v2"))
            vec = 2;
        else if (accept_dot(p, "v4"))
            vec = 4;
        else
            break;
    }
    type = take_type(p);
    if (type == T_PRED)
        parse_fail(p, p->tok.line, "a predicate cannot be in memory");
    do {
        struct token name = take_ident(p);
        uint64_t dims[MAX_DIMS], size = (uint64_t)type_size(type) * vec;
        uint32_t al = align ? align : (uint32_t)size;
        bool open;
        int nd = dimensions(p, dims, MAX_DIMS, &open);
        struct var *v;

        if (open)
            parse_fail(p, name.line, "array '%.*s' has no size", shown(name.n), name.s);
        for (int k = 0; k < nd; k++) {
            size *= dims[k];
            if (size > MAX_PARAM_BYTES)
                parse_fail(p, name.line, "parameter too large");
        }
        check_new(p, &name, mark);
        v = new_var(p, &name, SP_LOCAL, size, al);
        v->addr = place_local(p, size, al);
        p->fn->uses_local = true;
    } while (parse_accept(p, ','));
    parse_expect(p, ';');
}

/* ---- function bodies ------------------------------------------------------------------------- */

static uint32_t label_bucket(const char *s, size_t n, uint32_t scope)
{
    return (uint32_t)(hash_text(s, n, scope) % LABEL_BUCKETS);
}

static struct label *find_label(struct parser *p, const char *s, size_t n, uint32_t scope)
{
    for (uint32_t k = p->label_buckets[label_bucket(s, n, scope)]; k; k = p->labels[k - 1].next) {
        struct label *lb = &p->labels[k - 1];

        if (lb->scope == scope && lb->n == n && memcmp(lb->s, s, n) == 0)
            return lb;
    }
    return NULL;
}

static void define_label(struct parser *p, const struct token *t)
{
    uint32_t b = label_bucket(t->s, t->n, p->block);
    struct label *lb;

    if (find_label(p, t->s, t->n, p->block))
        parse_fail(p, t->line, "duplicate label '%.*s'", shown(t->n), t->s);
    lb = PUSH(p, labels, nlabels, clabels);
    *lb = (struct label){t->s, t->n, p->block, p->ncode, t->line, p->label_buckets[b]};
    p->label_buckets[b] = p->nlabels;
}

static uint32_t resolve_label(struct parser *p, const struct label_ref *r)
{
    uint32_t scope = r->scope;

    for (;;) {
        struct label *lb = find_label(p, r->s, r->n, scope);

        if (lb)
            return lb->at;
        if (scope == 0)
            parse_fail(p, r->line, "unknown label '%.*s'", shown(r->n), r->s);
        scope = p->scopes[scope];
    }
}

/* NAME: .branchtargets, .calltargets or .callprototype, after the colon */
static void label_directive(struct parser *p, const struct token *name)
{
    struct sym *y;

    if (accept_dot(p, "callprototype")) {
        struct signature *sig = parse_prototype(p);

        y = add_sym(p, name->s, name->n, 0, SYM_PROTO);
        y->proto = sig;
        return;
    }
    if (accept_dot(p, "calltargets")) {
        struct signature *sig = NULL;

        do {
            struct token t = take_ident(p);
            struct sym *f = parse_lookup(p, t.s, t.n);

            if (!f || f->kind != SYM_FUNC || f->fn->entry)
                parse_fail(p, t.line, "'%.*s' is no function", shown(t.n), t.s);
            if (sig && !same_signature(sig, &f->fn->sig))
                parse_fail(p, t.line, "call targets differ in their parameters");
            sig = &f->fn->sig;
        } while (parse_accept(p, ','));
        parse_expect(p, ';');
        y = add_sym(p, name->s, name->n, 0, SYM_PROTO);
        y->proto = sig;
        return;
    }
    parse_advance(p); /* branchtargets */
    {
        struct branch_table *t = PUSH(p, tables, ntables, ctables);
        uint32_t index = p->ntables - 1, n = 0;

        memset(t, 0, sizeof(*t));
        do {
            struct token l = take_ident(p);

            decode_add_label_ref(p, &l, ~0u, index, n++);
        } while (parse_accept(p, ','));
        parse_expect(p, ';');
        p->tables[index].n = n;
        y = add_sym(p, name->s, name->n, 0, SYM_TABLE);
        y->table = index;
    }
}

static void skip_to(struct parser *p, uint32_t line)
{
    while (p->tok.kind != TK_END && p->tok.line == line)
        parse_advance(p);
}

/* .file, .loc, .pragma, .section: debug information and hints */
static bool skipped_directive(struct parser *p)
{
    uint32_t line = p->tok.line;

    if (at_dot(p, "file") || at_dot(p, "loc")) {
        skip_to(p, line);
        return true;
    }
    if (accept_dot(p, "pragma")) {
        while (p->tok.kind == TK_STRING || parse_is(p, ','))
            parse_advance(p);
        parse_expect(p, ';');
        return true;
    }
    if (at_dot(p, "section")) {
        int depth = 0;

        do {
            if (p->tok.kind == TK_END)
                unexpected(p);
            if (parse_is(p, '{'))
                depth++;
            if (parse_is(p, '}') && --depth == 0)
                break;
            parse_advance(p);
        } while (true);
        parse_advance(p);
        return true;
    }
    return false;
}

static void instruction(struct parser *p, const struct token *op)
{
    p->op_text = op->s;
    p->op_len = op->n;
    p->line = op->line;
    p->nmods = 0;
    p->nopnd = 0;
    while (p->tok.kind == TK_DOT) {
        if (p->nmods == MAX_MODIFIERS)
            parse_fail(p, op->line, "too many modifiers");
        p->used[p->nmods] = false;
        p->mods[p->nmods++] = p->tok;
        p->op_len = (size_t)(p->tok.s + p->tok.n - p->op_text);
        parse_advance(p);
    }
    if (op->n == 4 && memcmp(op->s, "call", 4) == 0) {
        decode_call(p);
        return;
    }
    if (!parse_is(p, ';')) {
        do {
            if (p->nopnd == MAX_OPERANDS)
                parse_fail(p, op->line, "too many operands");
            parse_operand(p, &p->opnd[p->nopnd++]);
        } while (parse_accept(p, ','));
    }
    if (!parse_is(p, ';'))
        unexpected(p);
    decode_instruction(p);
    parse_expect(p, ';');
    if (p->ncode > MAX_CODE)
        parse_fail(p, op->line, "function too long");
}

static void block(struct parser *p)
{
    struct sym *mark = p->scope;
    uint32_t local = p->local_now, outer = p->block;

    if (++p->depth > MAX_DEPTH)
        parse_fail(p, p->tok.line, "blocks nested too deeply");
    p->block = p->nscopes;
    *PUSH(p, scopes, nscopes, cscopes) = outer;
    while (!parse_is(p, '}')) {
        p->guard = 0;
        if (p->tok.kind == TK_END)
            unexpected(p);
        if (parse_accept(p, '{')) {
            block(p);
            parse_expect(p, '}');
            continue;
        }
        if (parse_accept(p, ';'))
            continue;
        if (p->tok.kind == TK_DOT) {
            if (accept_dot(p, "reg"))
                registers(p, mark);
            else if (accept_dot(p, "local"))
                variable(p, SP_LOCAL, L_NONE, mark);
            else if (accept_dot(p, "shared"))
                variable(p, SP_SHARED, L_NONE, mark);
            else if (accept_dot(p, "global"))
                variable(p, SP_GLOBAL, L_NONE, mark);
            else if (accept_dot(p, "const"))
                variable(p, SP_CONST, L_NONE, mark);
            else if (accept_dot(p, "param"))
                call_params(p, mark);
            else if (!skipped_directive(p))
                parse_fail(p, p->tok.line, "unknown directive '.%.*s'", shown(p->tok.n), p->tok.s);
            continue;
        }
        if (parse_accept(p, '@')) {
            bool negate = parse_accept(p, '!');
            struct token t = take_ident(p);
            struct sym *y = parse_lookup(p, t.s, t.n);

            if (!y || y->kind != SYM_REG || y->type != T_PRED)
                parse_fail(p, t.line, "'%.*s' is no predicate", shown(t.n), t.s);
            p->guard = y->ref | 1 | (negate ? 2 : 0);
        }
        struct token t = take_ident(p);

        if (!p->guard && parse_accept(p, ':')) {
            if (at_dot(p, "callprototype") || at_dot(p, "calltargets") ||
                at_dot(p, "branchtargets"))
                label_directive(p, &t);
            else
                define_label(p, &t);
            continue;
        }
        instruction(p, &t);
    }
    pop_scope(p, mark);
    p->local_now = local;
    p->block = outer;
    p->depth--;
}

static void *keep_copy(struct parser *p, const void *data, size_t n, size_t size)
{
    void *q = parse_keep(p, (n + 1) * size);

    if (n)
        memcpy(q, data, n * size);
    return q;
}

static void finish_body(struct parser *p)
{
    struct sg_function *fn = p->fn;

    /* Falling off the end returns, and every label has an instruction to name. */
    p->guard = 0;
    p->line = p->tok.line;
    decode_emit(p, OP_ret);
    fn->code = keep_copy(p, p->code, p->ncode, sizeof(*p->code));
    fn->ncode = p->ncode;
    fn->ext = keep_copy(p, p->ext, p->next, sizeof(*p->ext));
    fn->next = p->next;
    fn->calls = keep_copy(p, p->calls, p->ncalls, sizeof(*p->calls));
    fn->ncalls = p->ncalls;
    fn->tables = keep_copy(p, p->tables, p->ntables, sizeof(*p->tables));
    fn->ntables = p->ntables;
    fn->shared_refs = keep_copy(p, p->shared_refs, p->nshared_refs, sizeof(*p->shared_refs));
    fn->nshared_refs = p->nshared_refs;
    fn->callees = keep_copy(p, p->callees, p->ncallees, sizeof(*p->callees));
    fn->ncallees = p->ncallees;
    for (uint32_t k = 0; k < fn->ntables; k++)
        fn->tables[k].targets = parse_keep(p, (fn->tables[k].n + 1) * sizeof(struct ins *));
    for (uint32_t k = 0; k < p->nrefs; k++) {
        const struct label_ref *r = &p->refs[k];
        const struct ins *to = &fn->code[resolve_label(p, r)];

        if (r->ins != ~0u)
            fn->code[r->ins].target = to;
        else
            fn->tables[r->table].targets[r->slot] = to;
    }
    fn->frame_bytes = p->frame_bytes;
    fn->defined = true;
    fn->info.registers = p->regs32 < 16 ? 16 : p->regs32 > 255 ? 255 : p->regs32;
}

static void start_body(struct parser *p, struct sg_function *fn)
{
    p->fn = fn;
    p->ncode = p->next = p->nlabels = p->nrefs = p->nscopes = 0;
    p->ntables = p->ncalls = p->nshared_refs = p->ncallees = 0;
    memset(p->label_buckets, 0, sizeof(p->label_buckets));
    p->frame_bytes = FRAME_HEAD;
    p->pred_next = p->pred_end = 0;
    p->regs32 = 0;
    p->depth = 0;
    p->block = 0;
    p->local_now = 0;
}

static enum builtin builtin_named(const char *name)
{
    if (strcmp(name, "vprintf") == 0)
        return BUILTIN_VPRINTF;
    if (strcmp(name, "malloc") == 0)
        return BUILTIN_MALLOC;
    if (strcmp(name, "free") == 0)
        return BUILTIN_FREE;
    if (strcmp(name, "__assertfail") == 0)
        return BUILTIN_ASSERTFAIL;
    return BUILTIN_NONE;
}

static void thread_counts(struct parser *p, uint64_t *product)
{
    uint64_t n = 1;

    do {
        int64_t v = parse_const_int(p);

        if (v < 0 || v > UINT32_MAX)
            parse_fail(p, p->tok.line, "bad thread count");
        n = n * (uint64_t)v > UINT32_MAX ? UINT32_MAX : n * (uint64_t)v;
    } while (parse_accept(p, ','));
    if (product)
        *product = n;
}

static void entry_params(struct parser *p, struct sg_function *fn, const struct formal *f,
                         uint32_t n)
{
    uint32_t at = 0;

    fn->param_offset = parse_keep(p, (n + 1) * sizeof(uint32_t));
    fn->param_size = parse_keep(p, (n + 1) * sizeof(uint32_t));
    for (uint32_t k = 0; k < n; k++) {
        if (f[k].is_reg)
            parse_fail(p, f[k].name.line, "a kernel cannot have register parameters");
        at = (at + f[k].align - 1) & ~(f[k].align - 1);
        fn->param_offset[k] = at;
        fn->param_size[k] = f[k].size;
        at += f[k].size;
        if (at > MAX_PARAM_BYTES)
            parse_fail(p, f[k].name.line, "too many parameters");
    }
    fn->info.param_count = n;
    fn->info.param_bytes = at;
}

static void function(struct parser *p, bool entry, enum linkage linkage)
{
    struct formal *rets = NULL, *args = NULL;
    uint32_t nrets = 0, nargs = 0, end = 0;
    uint64_t threads = 1024;
    bool noreturn = false;
    struct signature sig = {0};
    struct token name;
    struct sg_function *fn;
    struct sym *y, *mark;

    if (accept_dot(p, "attribute")) {
        parse_expect(p, '(');
        while (!parse_is(p, ')')) {
            if (p->tok.kind == TK_END)
                unexpected(p);
            parse_advance(p);
        }
        parse_advance(p);
    }
    if (!entry && parse_is(p, '('))
        nrets = formals(p, &rets);
    name = take_ident(p);
    if (parse_is(p, '('))
        nargs = formals(p, &args);
    for (;;) {
        if (accept_dot(p, "maxntid") || accept_dot(p, "reqntid"))
            thread_counts(p, &threads);
        else if (accept_dot(p, "minnctapersm") || accept_dot(p, "maxnreg") ||
                 accept_dot(p, "maxnctapersm") || accept_dot(p, "reqnctapercluster") ||
                 accept_dot(p, "maxclusterrank") || accept_dot(p, "abi_preserve") ||
                 accept_dot(p, "abi_preserve_control"))
            thread_counts(p, NULL);
        else if (accept_dot(p, "noreturn"))
            noreturn = true;
        else if (accept_dot(p, "explicitcluster") || accept_dot(p, "unified") ||
                 accept_dot(p, "blocksareclusters"))
            continue;
        else if (!skipped_directive(p))
            break;
    }
    y = parse_lookup(p, name.s, name.n);
    if (y && (y->kind != SYM_FUNC || y->fn->entry != entry))
        parse_fail(p, name.line, "duplicate definition of '%.*s'", shown(name.n), name.s);
    fn = y ? y->fn : new_function(p, &name, entry);
    if (!entry)
        make_signature(p, &sig, rets, nrets, args, nargs, &end);
    if (y && !entry && !same_signature(&sig, &fn->sig))
        parse_fail(p, name.line, "'%s' is declared with other parameters", fn->info.name);
    if (!y)
        fn->sig = sig;
    fn->noreturn |= noreturn;
    if (parse_accept(p, ';'))
        return;
    if (!parse_is(p, '{'))
        unexpected(p);
    if (fn->defined) {
        if (linkage != L_WEAK)
            parse_fail(p, name.line, "duplicate definition of '%s'", fn->info.name);
    }
    start_body(p, fn);
    parse_expect(p, '{');
    mark = p->scope;
    if (entry) {
        entry_params(p, fn, args, nargs);
        for (uint32_t k = 0; k < nargs; k++) {
            struct var *v;

            check_new(p, &args[k].name, mark);
            v = new_var(p, &args[k].name, SP_PARAM, args[k].size, args[k].align);
            v->addr = fn->param_offset[k];
        }
        if (threads == 0 || threads > MAX_THREADS)
            threads = threads ? MAX_THREADS : 1;
        fn->info.max_threads = (uint32_t)threads;
    } else {
        fn->sig = sig;
        p->local_now = end;
        fn->local_bytes = end;
        if (end)
            fn->uses_local = true;
        for (uint32_t k = 0; k < nrets + nargs; k++) {
            const struct formal *f = k < nrets ? &rets[k] : &args[k - nrets];
            struct arg *a = k < nrets ? &fn->sig.rets[k] : &fn->sig.args[k - nrets];

            if (token_is(&f->name, "_"))
                continue;
            check_new(p, &f->name, mark);
            if (f->is_reg) {
                define_reg(p, &f->name, f->type);
                a->ref = p->scope->ref;
            } else {
                struct var *v = new_var(p, &f->name, SP_LOCAL, f->size, f->align);

                v->addr = a->off;
            }
        }
    }
    block(p);
    if (!parse_is(p, '}'))
        unexpected(p);
    finish_body(p);
    forget_ranges(p);
    pop_scope(p, mark);
    p->fn = NULL;
    parse_advance(p);
}

/* ---- linking --------------------------------------------------------------------------------- */

/* Marks the functions that fn may call. Indirect calls may reach any whose address is taken. */
static void reach(struct parser *p, uint32_t start, uint8_t *seen, uint32_t *stack)
{
    uint32_t n = 0;
    bool indirect = false;

    memset(seen, 0, p->mod->nfuncs);
    seen[start] = 1;
    stack[n++] = start;
    while (n) {
        struct sg_function *fn = p->mod->funcs[stack[--n]];

        for (uint32_t k = 0; k < fn->ncallees; k++)
            if (!seen[fn->callees[k]]) {
                seen[fn->callees[k]] = 1;
                stack[n++] = fn->callees[k];
            }
        if (fn->indirect_calls && !indirect) {
            indirect = true;
            for (uint32_t k = 0; k < p->mod->nfuncs; k++)
                if (p->mod->funcs[k]->address_taken && !seen[k]) {
                    seen[k] = 1;
                    stack[n++] = k;
                }
        }
    }
}

/*
 * Two shared variables may overlap unless some kernel uses both. Each kernel's variables are placed
 * where earlier kernels put them; new ones go behind everything the kernel already has.
 */
static void place_shared(struct parser *p)
{
    struct sg_module *mod = p->mod;
    uint8_t *seen = parse_alloc(p, mod->nfuncs + 1);
    uint32_t *stack = parse_alloc(p, (mod->nfuncs + 1) * sizeof(*stack));
    uint8_t *used = parse_alloc(p, p->nshared + 1), *placed = parse_alloc(p, p->nshared + 1);
    uint64_t high = 0;

    /* Variables that several kernels use must have one place: put those below all others. */
    uint8_t *users = parse_alloc(p, p->nshared + 1);

    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t e = 0; e < mod->nentries; e++) {
            struct sg_function *fn = mod->entries[e];
            uint64_t at = 0;
            bool local = false;

            reach(p, fn->index, seen, stack);
            memset(used, 0, p->nshared);
            for (uint32_t f = 0; f < mod->nfuncs; f++) {
                struct sg_function *g = mod->funcs[f];

                if (!seen[f])
                    continue;
                local |= g->uses_local;
                for (uint32_t k = 0; k < g->nshared_refs; k++)
                    used[g->shared_refs[k]] = 1;
            }
            fn->uses_local |= local || fn->indirect_calls;
            for (uint32_t k = 0; k < p->nshared; k++) {
                struct var *v = p->shared[k];

                if (!used[k] || v->dynamic)
                    continue;
                if (pass == 0) {
                    users[k] = (uint8_t)(users[k] ? 2 : 1);
                    continue;
                }
                if (users[k] == 2) {
                    if (!placed[k]) {
                        high = (high + v->align - 1) & ~(uint64_t)(v->align - 1);
                        v->addr = high;
                        high += v->size;
                        placed[k] = 1;
                    }
                    if (v->addr + v->size > at)
                        at = v->addr + v->size;
                }
            }
            if (pass == 0)
                continue;
            fn->static_shared = (uint32_t)(at > SG_SHARED_MAX ? SG_SHARED_MAX + 1 : at);
        }
    }
    /* Variables of one kernel each start behind the common ones. */
    for (uint32_t e = 0; e < mod->nentries; e++) {
        struct sg_function *fn = mod->entries[e];
        uint64_t at = high;
        bool own = false;

        reach(p, fn->index, seen, stack);
        for (uint32_t f = 0; f < mod->nfuncs; f++) {
            struct sg_function *g = mod->funcs[f];

            if (!seen[f])
                continue;
            for (uint32_t k = 0; k < g->nshared_refs; k++) {
                struct var *v = p->shared[g->shared_refs[k]];

                if (v->dynamic || users[v->index] != 1 || placed[v->index])
                    continue;
                at = (at + v->align - 1) & ~(uint64_t)(v->align - 1);
                v->addr = at;
                at += v->size;
                placed[v->index] = 1;
                own = true;
            }
        }
        if (own)
            fn->static_shared = (uint32_t)(at > SG_SHARED_MAX ? SG_SHARED_MAX + 1 : at);
        fn->info.static_shared_bytes = fn->static_shared;
        if (fn->static_shared > SG_SHARED_MAX)
            parse_fail(p, 0, "kernel '%s' uses too much shared memory", fn->info.name);
    }
}

static void link_module(struct parser *p)
{
    struct sg_module *mod = p->mod;
    bool wants_heap = false;
    uint32_t n = 0;

    for (uint32_t k = 0; k < mod->nfuncs; k++) {
        struct sg_function *fn = mod->funcs[k];

        if (!fn->defined && !fn->entry) {
            fn->builtin = builtin_named(fn->info.name);
            if (fn->called && fn->builtin == BUILTIN_NONE)
                parse_fail(p, p->tok.line, "unresolved function '%s'", fn->info.name);
            wants_heap |= fn->builtin == BUILTIN_MALLOC || fn->builtin == BUILTIN_FREE;
        }
        n += fn->entry && fn->defined;
    }
    mod->entries = parse_keep(p, (n + 1) * sizeof(*mod->entries));
    for (uint32_t k = 0; k < mod->nfuncs; k++) {
        struct sg_function *fn = mod->funcs[k];

        if (fn->entry && fn->defined)
            mod->entries[mod->nentries++] = fn;
    }
    place_shared(p);
    for (uint32_t k = 0; k < mod->nentries; k++) {
        struct sg_function *fn = mod->entries[k];

        fn->info.local_bytes = fn->local_bytes;
        fn->info.const_bytes = mod->const_bytes;
        fn->info.ptx_version = mod->ptx_version;
        fn->info.target_version = mod->target;
    }
    fill_konsts(p);
    if (wants_heap) {
        mod->heap = sg_heap_new(mod->map);
        if (!mod->heap)
            parse_no_memory(p);
    }
}

static const op_fn *best_ops(void)
{
#ifdef SG_HAVE_AVX2
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        __builtin_cpu_supports("bmi2"))
        return sg_ops_avx2;
#endif
    return sg_ops_base;
}

static void bind_handlers(struct sg_module *mod)
{
    const op_fn *ops = best_ops();

    for (uint32_t k = 0; k < mod->nfuncs; k++)
        for (uint32_t j = 0; j < mod->funcs[k]->ncode; j++)
            mod->funcs[k]->code[j].fn = ops[mod->funcs[k]->code[j].op];
}

/* ---- module scope ---------------------------------------------------------------------------- */

/* The version must be a plain "7.0": the token rules make that a decimal number. */
static void version(struct parser *p)
{
    struct token t = p->tok;
    unsigned major = 0, minor = 0;
    char text[32];
    int end = 0;

    if ((t.kind != TK_F64 && t.kind != TK_INT) || t.n >= sizeof(text))
        unexpected(p);
    memcpy(text, t.s, t.n);
    text[t.n] = 0;
    if (sscanf(text, "%2u.%2u%n", &major, &minor, &end) != 2 || (size_t)end != t.n)
        parse_fail(p, t.line, "bad version '%s'", text);
    if (major < 1 || major > 9 || minor > 9) {
        p->status = SG_UNSUPPORTED_VERSION;
        parse_fail(p, t.line, "unsupported .version %s; the newest known is 9.9", text);
    }
    p->mod->ptx_version = major * 10 + minor;
    p->have_version = true;
    parse_advance(p);
}

static void target(struct parser *p)
{
    do {
        struct token t = take_ident(p);

        if (t.n > 3 && memcmp(t.s, "sm_", 3) == 0) {
            unsigned v = 0;
            size_t k = 3;

            while (k < t.n && t.s[k] >= '0' && t.s[k] <= '9' && v < 1000)
                v = v * 10 + (unsigned)(t.s[k++] - '0');
            if (k == 3 || t.n - k > 1 || (k < t.n && t.s[k] != 'a' && t.s[k] != 'f'))
                parse_fail(p, t.line, "bad target '%.*s'", shown(t.n), t.s);
            if (v > 129) {
                p->status = SG_UNSUPPORTED_VERSION;
                parse_fail(p, t.line, "unsupported .target %.*s", shown(t.n), t.s);
            }
            p->mod->target = v;
            p->have_target = true;
        } else if (!token_is(&t, "texmode_unified") && !token_is(&t, "texmode_independent") &&
                   !token_is(&t, "debug") && !token_is(&t, "map_f64_to_f32")) {
            parse_fail(p, t.line, "bad target '%.*s'", shown(t.n), t.s);
        }
    } while (parse_accept(p, ','));
    if (!p->have_target)
        parse_fail(p, p->tok.line, "the target names no architecture");
}

static void module_text(struct parser *p)
{
    parse_advance(p);
    for (;;) {
        enum linkage linkage = L_NONE;

        if (p->tok.kind == TK_END)
            break;
        if (parse_accept(p, ';'))
            continue;
        if (p->tok.kind != TK_DOT)
            unexpected(p);
        if (accept_dot(p, "version")) {
            version(p);
            continue;
        }
        if (!p->have_version)
            parse_fail(p, p->tok.line, "the text must begin with .version");
        if (accept_dot(p, "target")) {
            target(p);
            continue;
        }
        if (accept_dot(p, "address_size")) {
            uint32_t line = p->tok.line;

            if (parse_const_int(p) != 64)
                parse_fail(p, line, "only .address_size 64 is supported");
            continue;
        }
        if (skipped_directive(p))
            continue;
        if (!p->have_target)
            parse_fail(p, p->tok.line, "missing .target");
        if (accept_dot(p, "alias")) {
            struct token a = take_ident(p), b;
            struct sym *ya, *yb;

            parse_expect(p, ',');
            b = take_ident(p);
            parse_expect(p, ';');
            ya = parse_lookup(p, a.s, a.n);
            yb = parse_lookup(p, b.s, b.n);
            if (!ya || !yb || ya->kind != SYM_FUNC || yb->kind != SYM_FUNC || ya->fn->defined)
                parse_fail(p, a.line, "bad alias '%.*s'", shown(a.n), a.s);
            parse_fail(p, a.line, ".alias is not supported");
        }
        if (accept_dot(p, "extern"))
            linkage = L_EXTERN;
        else if (accept_dot(p, "visible"))
            linkage = L_VISIBLE;
        else if (accept_dot(p, "weak"))
            linkage = L_WEAK;
        else if (accept_dot(p, "common"))
            linkage = L_COMMON;
        if (accept_dot(p, "func"))
            function(p, false, linkage);
        else if (accept_dot(p, "entry"))
            function(p, true, linkage);
        else if (accept_dot(p, "global"))
            variable(p, SP_GLOBAL, linkage, NULL);
        else if (accept_dot(p, "const"))
            variable(p, SP_CONST, linkage, NULL);
        else if (accept_dot(p, "shared"))
            variable(p, SP_SHARED, linkage, NULL);
        else if (p->tok.kind == TK_DOT)
            parse_fail(p, p->tok.line, "unknown directive '.%.*s'", shown(p->tok.n), p->tok.s);
        else
            unexpected(p);
    }
    if (!p->have_version || !p->have_target)
        parse_fail(p, p->tok.line, "missing .version or .target");
}

static void parser_free(struct parser *p)
{
    arena_free(&p->arena);
    free(p->code);
    free(p->ext);
    free(p->konst);
    free(p->konst_hash);
    free(p->labels);
    free(p->refs);
    free(p->scopes);
    free(p->tables);
    free(p->calls);
    free(p->shared);
    free(p->shared_refs);
    free(p->callees);
    free(p);
}

static void log_reset(struct sg_log *log)
{
    if (!log)
        return;
    log->used = 0;
    if (log->text && log->size)
        log->text[0] = 0;
}

enum sg_status sg_module_load(struct sg_memmap *map, const char *ptx, size_t len,
                              struct sg_log *info, struct sg_log *error, struct sg_module **out)
{
    struct parser *p = calloc(1, sizeof(*p));
    struct sg_module *mod = calloc(1, sizeof(*mod));
    enum sg_status status;

    *out = NULL;
    log_reset(info);
    log_reset(error);
    if (!p || !mod) {
        free(p);
        free(mod);
        return SG_NO_MEMORY;
    }
    mod->map = map;
    p->mod = mod;
    p->error = error;
    lexer_init(&p->lx, ptx, len);
    if (setjmp(p->fail)) {
        status = p->status;
        parser_free(p);
        sg_module_free(mod);
        return status;
    }
    module_text(p);
    link_module(p);
    bind_handlers(mod);
    for (uint32_t k = 0; k < mod->nentries; k++)
        sg_log_printf(info, "'%s': %u registers, %u bytes shared, %u bytes local\n",
                      mod->entries[k]->info.name, mod->entries[k]->info.registers,
                      mod->entries[k]->info.static_shared_bytes, mod->entries[k]->info.local_bytes);
    parser_free(p);
    *out = mod;
    return SG_OK;
}

void sg_module_free(struct sg_module *mod)
{
    if (!mod)
        return;
    for (struct storage *s = mod->storage; s; s = s->next) {
        if (s->mapped)
            sg_memmap_remove(mod->map, (uint64_t)(uintptr_t)s->base);
        if (s->base && s->base != MAP_FAILED)
            munmap(s->base, s->size);
    }
    if (mod->heap)
        sg_heap_destroy(mod->heap, mod->map);
    free(mod->consts);
    free(mod->funcs);
    arena_free(&mod->arena);
    free(mod);
}

bool sg_module_global(const struct sg_module *mod, const char *name, uint64_t *addr, uint64_t *size)
{
    for (const struct var *v = mod->globals; v; v = v->next) {
        if (strcmp(v->name, name) == 0 && !v->owner) {
            *addr = v->addr;
            *size = v->size;
            return true;
        }
    }
    return false;
}

size_t sg_module_function_count(const struct sg_module *mod)
{
    return mod->nentries;
}

struct sg_function *sg_module_function_at(struct sg_module *mod, size_t index)
{
    return index < mod->nentries ? mod->entries[index] : NULL;
}

struct sg_function *sg_module_function(struct sg_module *mod, const char *name)
{
    for (uint32_t k = 0; k < mod->nentries; k++)
        if (strcmp(mod->entries[k]->info.name, name) == 0)
            return mod->entries[k];
    return NULL;
}

const struct sg_function_info *sg_function_info(const struct sg_function *fn)
{
    return &fn->info;
}

bool sg_function_param(const struct sg_function *fn, uint32_t index, uint32_t *offset,
                       uint32_t *size)
{
    if (index >= fn->info.param_count)
        return false;
    *offset = fn->param_offset[index];
    *size = fn->param_size[index];
    return true;
}
