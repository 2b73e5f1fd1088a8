/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decode.c - turns one parsed instruction into the executor's form
 *
 * Each decoder takes the modifiers it knows; one that is left over makes the instruction unknown.
 * Operand sizes are checked here, so that handlers can trust every register reference.
 */
#include <stdlib.h>
#include <string.h>

#include "parse.h"

#define PUSH(p, vec, n, cap)                                                                       \
    ((p)->vec = parse_grow((p), (p)->vec, (p)->n, &(p)->cap, sizeof((p)->vec[0])),                 \
     &(p)->vec[(p)->n++])

struct ins *decode_emit(struct parser *p, enum sg_opcode op)
{
    struct ins *i = PUSH(p, code, ncode, ccode);

    memset(i, 0, sizeof(*i));
    i->op = (uint16_t)op;
    i->line = p->line;
    i->guard = p->guard;
    return i;
}

void decode_add_label_ref(struct parser *p, const struct token *name, uint32_t ins, uint32_t table,
                          uint32_t slot)
{
    struct label_ref *r = PUSH(p, refs, nrefs, crefs);

    *r = (struct label_ref){name->s, name->n, p->block, name->line, ins, table, slot};
}

static int shown(size_t n)
{
    return n > 80 ? 80 : (int)n;
}

static _Noreturn void unknown(struct parser *p)
{
    parse_fail(p, p->line, "unknown instruction '%.*s'", shown(p->op_len), p->op_text);
}

static _Noreturn void bad_operands(struct parser *p)
{
    parse_fail(p, p->line, "arguments mismatch for instruction '%.*s'", shown(p->op_len),
               p->op_text);
}

/* ---- modifiers ------------------------------------------------------------------------------- */

static bool mod(struct parser *p, const char *text)
{
    for (uint32_t k = 0; k < p->nmods; k++) {
        if (!p->used[k] && token_is(&p->mods[k], text)) {
            p->used[k] = true;
            return true;
        }
    }
    return false;
}

static bool mod_prefix(struct parser *p, const char *text)
{
    size_t n = strlen(text);

    for (uint32_t k = 0; k < p->nmods; k++) {
        if (!p->used[k] && p->mods[k].n >= n && memcmp(p->mods[k].s, text, n) == 0) {
            p->used[k] = true;
            return true;
        }
    }
    return false;
}

static enum sg_type maybe_type(struct parser *p)
{
    for (uint32_t k = 0; k < p->nmods; k++) {
        enum sg_type t;

        if (p->used[k])
            continue;
        t = type_from(&p->mods[k]);
        if (t != T_NONE) {
            p->used[k] = true;
            return t;
        }
    }
    return T_NONE;
}

static enum sg_type need_type(struct parser *p)
{
    enum sg_type t = maybe_type(p);

    if (t == T_NONE)
        unknown(p);
    return t;
}

static void end_mods(struct parser *p)
{
    for (uint32_t k = 0; k < p->nmods; k++)
        if (!p->used[k])
            unknown(p);
}

static void operands(struct parser *p, uint32_t n)
{
    end_mods(p);
    if (p->nopnd != n)
        bad_operands(p);
}

static enum sg_round rounding(struct parser *p)
{
    if (mod(p, "rn"))
        return R_RN;
    if (mod(p, "rz"))
        return R_RZ;
    if (mod(p, "rm"))
        return R_RM;
    if (mod(p, "rp"))
        return R_RP;
    return R_NONE;
}

static bool one_of(enum sg_type t, const char *set)
{
    /* set: letters of type classes: u/s integers by size digit, b bits, f floats */
    static const struct {
        uint8_t type;
        const char *name;
    } names[] = {
        {T_B8, "b8"},   {T_U8, "u8"},   {T_S8, "s8"},       {T_B16, "b16"},       {T_U16, "u16"},
        {T_S16, "s16"}, {T_F16, "f16"}, {T_BF16, "bf16"},   {T_B32, "b32"},       {T_U32, "u32"},
        {T_S32, "s32"}, {T_F32, "f32"}, {T_F16X2, "f16x2"}, {T_BF16X2, "bf16x2"}, {T_B64, "b64"},
        {T_U64, "u64"}, {T_S64, "s64"}, {T_F64, "f64"},     {T_PRED, "pred"},
    };

    for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
        size_t n = strlen(names[k].name);

        if (names[k].type != t)
            continue;
        for (const char *s = strstr(set, names[k].name); s; s = strstr(s + 1, names[k].name))
            if ((s == set || s[-1] == ' ') && (s[n] == 0 || s[n] == ' '))
                return true;
    }
    return false;
}

#define INTS "u16 u32 u64 s16 s32 s64"

static enum sg_type type_in(struct parser *p, const char *set)
{
    enum sg_type t = need_type(p);

    if (!one_of(t, set))
        unknown(p);
    return t;
}

static bool is_signed(enum sg_type t)
{
    return t == T_S8 || t == T_S16 || t == T_S32 || t == T_S64;
}

static bool is_float(enum sg_type t)
{
    return t == T_F16 || t == T_BF16 || t == T_F32 || t == T_F64;
}

static bool is_half(enum sg_type t)
{
    return t == T_F16 || t == T_BF16 || t == T_F16X2 || t == T_BF16X2;
}

/* Offset of a type's handler within a group made by SG_N3 or SG_S6. */
static int by_size(enum sg_type t)
{
    switch (type_size(t)) {
    case 2:
        return 0;
    case 4:
        return 1;
    default:
        return 2;
    }
}

static int by_sign(enum sg_type t)
{
    return by_size(t) * 2 + is_signed(t);
}

/* ---- operands -------------------------------------------------------------------------------- */

static uint32_t dst(struct parser *p, uint32_t k, enum sg_type t)
{
    const struct operand *o = &p->opnd[k];

    if (o->kind == O_SINK && !o->pair)
        return REF_SINK;
    if (o->kind != O_REG || o->negated || o->pair || (o->ref & 3) != BASE_FRAME)
        bad_operands(p);
    if ((t == T_PRED) != (o->type == T_PRED) || reg_size(o->type) != reg_size(t))
        bad_operands(p);
    return o->ref;
}

/* As dst, but the register may be wider than the type. Its size goes to *size. */
static uint32_t wide_dst(struct parser *p, uint32_t k, enum sg_type t, uint8_t *size)
{
    const struct operand *o = &p->opnd[k];

    if (o->kind == O_SINK && !o->pair) {
        *size = (uint8_t)reg_size(t);
        return REF_SINK;
    }
    if (o->kind != O_REG || o->negated || o->pair || (o->ref & 3) != BASE_FRAME ||
        o->type == T_PRED || reg_size(o->type) < reg_size(t))
        bad_operands(p);
    *size = (uint8_t)reg_size(o->type);
    return o->ref;
}

static uint32_t temp(struct parser *p, enum sg_type t)
{
    return parse_slot(p, t);
}

static uint64_t float_bits(struct parser *p, const struct operand *o, enum sg_type t)
{
    if (o->kind == O_F32 && t == T_F64) {
        float f;
        double d;
        uint32_t u = (uint32_t)o->imm;
        uint64_t r;

        memcpy(&f, &u, 4);
        d = f;
        memcpy(&r, &d, 8);
        return r;
    }
    if (o->kind == O_F64 && type_size(t) == 4) {
        double d;
        float f;
        uint32_t u;

        memcpy(&d, &o->imm, 8);
        f = (float)d;
        memcpy(&u, &f, 4);
        return u;
    }
    if (type_size(t) < 4)
        bad_operands(p);
    return o->imm;
}

/* The address of a variable in its own space, as a value of size bytes. */
static uint32_t address_of(struct parser *p, struct var *v, int64_t off, int size)
{
    struct ins *i;
    uint32_t r;

    if (size != 4 && size != 8)
        bad_operands(p);
    switch (v->space) {
    case SP_SHARED:
        parse_use_shared(p, v);
        if (v->dynamic) {
            r = size == 8 ? U_DYN_BASE | BASE_UNIFORM : U_DYN_BASE32 | BASE_UNIFORM;
            if (off) {
                uint32_t base = r, k = parse_konst(p, (unsigned)size, (uint64_t)off, NULL),
                         guard = p->guard;

                r = temp(p, size == 8 ? T_B64 : T_B32);
                p->guard = 0;
                i = decode_emit(p, size == 8 ? OP_add_64 : OP_add_32);
                p->guard = guard;
                i->d = r;
                i->a = base;
                i->b = k;
            }
            return r;
        }
        return parse_konst(p, (unsigned)size, (uint64_t)off, v);
    case SP_LOCAL: {
        uint32_t guard = p->guard;

        r = temp(p, size == 8 ? T_B64 : T_B32);
        p->guard = 0;
        i = decode_emit(p, OP_mov_local);
        p->guard = guard;
        i->d = r;
        i->dsize = (uint8_t)size;
        i->imm = (int64_t)(v->addr + (uint64_t)off);
        return r;
    }
    case SP_PARAM:
        return parse_konst(p, (unsigned)size, v->addr + (uint64_t)off, NULL);
    default:
        if (v->external)
            parse_fail(p, p->line, "undefined symbol '%s'", v->name);
        if (size != 8)
            bad_operands(p);
        return parse_konst(p, 8, v->addr + (uint64_t)off, NULL);
    }
}

static uint32_t read_clock(struct parser *p, const struct operand *o)
{
    uint32_t r = temp(p, o->type), guard = p->guard;
    struct ins *i;

    p->guard = 0;
    i = decode_emit(p, OP_clock);
    p->guard = guard;
    i->d = r;
    i->dsize = (uint8_t)type_size(o->type);
    i->sub = (uint8_t)o->imm;
    return r;
}

static uint32_t source(struct parser *p, const struct operand *o, enum sg_type t)
{
    int size = reg_size(t);

    if (o->negated || o->pair)
        bad_operands(p);
    switch (o->kind) {
    case O_REG:
        if ((t == T_PRED) != (o->type == T_PRED) || reg_size(o->type) != size)
            bad_operands(p);
        return o->ref;
    case O_CLOCK:
        if (reg_size(o->type) != size)
            bad_operands(p);
        return read_clock(p, o);
    case O_INT:
        if (is_float(t) && t != T_F16 && t != T_BF16 && o->imm != 0)
            bad_operands(p);
        if (t == T_PRED)
            return parse_konst(p, 1, o->imm, NULL);
        if (t == T_B8 || t == T_U8)
            return parse_konst(p, 2, o->imm & 0xff, NULL);
        return parse_konst(p, (unsigned)size, o->imm, NULL);
    case O_F32:
    case O_F64:
        if (t == T_PRED)
            bad_operands(p);
        return parse_konst(p, (unsigned)size, float_bits(p, o, t), NULL);
    case O_VAR:
        if (t == T_PRED)
            bad_operands(p);
        return address_of(p, o->var, o->off, size);
    case O_FUNC:
        if (size != 8 || t == T_PRED || o->fn->entry)
            bad_operands(p);
        return parse_konst(p, 8, parse_function_token(o->fn), NULL);
    case O_NAME:
        parse_fail(p, p->line, "unknown symbol '%.*s'", shown(o->name.n), o->name.s);
    default:
        bad_operands(p);
    }
}

static uint32_t src(struct parser *p, uint32_t k, enum sg_type t)
{
    return source(p, &p->opnd[k], t);
}

/* A source whose register may be wider than its type. */
static uint32_t wide_src(struct parser *p, uint32_t k, enum sg_type t, uint8_t *size)
{
    const struct operand *o = &p->opnd[k];

    *size = (uint8_t)reg_size(t);
    if (o->kind == O_REG && o->type != T_PRED && !o->negated && !o->pair &&
        reg_size(o->type) >= reg_size(t)) {
        *size = (uint8_t)reg_size(o->type);
        return o->ref;
    }
    if (o->kind == O_CLOCK && reg_size(o->type) >= reg_size(t)) {
        *size = (uint8_t)reg_size(o->type);
        return read_clock(p, o);
    }
    return src(p, k, t);
}

/* A predicate source, which may be negated: bit is set in *flags then. */
static uint32_t pred_src(struct parser *p, uint32_t k, unsigned bit, uint8_t *flags)
{
    struct operand *o = &p->opnd[k];

    if (o->kind == O_REG && o->type == T_PRED && !o->pair) {
        if (o->negated)
            *flags |= (uint8_t)bit;
        return o->ref;
    }
    return src(p, k, T_PRED);
}

/* Sources can emit instructions of their own, so an instruction is built first and added last. */
static struct ins *add(struct parser *p, enum sg_opcode op, const struct ins *from)
{
    struct ins *i = decode_emit(p, op), keep = *i;

    *i = *from;
    i->op = keep.op;
    i->line = keep.line;
    i->guard = keep.guard;
    return i;
}

static uint32_t begin_ext(struct parser *p)
{
    return p->next;
}

static void push_ext(struct parser *p, uint32_t v)
{
    *PUSH(p, ext, next, cext) = v;
}

/* ---- arithmetic ------------------------------------------------------------------------------ */

static void float_flags(struct parser *p, struct ins *i)
{
    if (mod(p, "ftz"))
        i->flags |= F_FTZ;
    if (mod(p, "sat"))
        i->flags |= F_SAT;
}

/* Emits a float operation whose operands are d, a, ... all of type t. */
static void float_op(struct parser *p, struct ins *i, enum sg_float_op sub, enum sg_type t,
                     uint32_t n)
{
    enum sg_opcode op;

    i->sub = (uint8_t)sub;
    i->type = (uint8_t)t;
    if ((i->flags & F_FTZ) && t == T_F64)
        unknown(p);
    operands(p, n + 1);
    i->d = dst(p, 0, t);
    i->a = src(p, 1, t);
    if (n > 1)
        i->b = src(p, 2, t);
    if (n > 2)
        i->c = src(p, 3, t);
    if (is_half(t))
        op = OP_half;
    else if (i->flags == 0 && i->round <= R_RN && sub <= FL_FMA)
        op = (t == T_F32 ? OP_add_f32 : OP_add_f64) + sub;
    else
        op = t == T_F32 ? OP_float32 : OP_float64;
    add(p, op, i);
}

static void d_addsub(struct parser *p)
{
    bool sub = p->op_text[0] == 's', cc = mod(p, "cc");
    struct ins i = {0};
    enum sg_type t;

    i.round = (uint8_t)rounding(p);
    float_flags(p, &i);
    t = need_type(p);
    if (is_float(t) || t == T_F16X2 || t == T_BF16X2) {
        if (cc)
            unknown(p);
        float_op(p, &i, sub ? FL_SUB : FL_ADD, t, 2);
        return;
    }
    if (i.round || (i.flags & F_FTZ))
        unknown(p);
    if ((t == T_U32 || t == T_S32) && p->nopnd == 3 && (i.flags & F_SAT) && t != T_S32)
        unknown(p);
    operands(p, 3);
    if (one_of(t, "u16 s16 u32 s32 u64 s64 b32 b64")) {
        if ((i.flags & F_SAT) && (t != T_S32 || cc))
            unknown(p);
        i.d = dst(p, 0, t);
        i.a = src(p, 1, t);
        i.b = src(p, 2, t);
        i.dsize = (uint8_t)reg_size(t);
        if (cc) {
            if (type_size(t) < 4)
                unknown(p);
            i.sub = 1;
            add(p, sub ? OP_subc : OP_addc, &i);
        } else if (i.flags & F_SAT) {
            add(p, sub ? OP_subsat_s32 : OP_addsat_s32, &i);
        } else {
            add(p, (sub ? OP_sub_16 : OP_add_16) + by_size(t), &i);
        }
        return;
    }
    unknown(p);
}

static void d_addc(struct parser *p)
{
    bool sub = p->op_text[0] == 's';
    struct ins i = {0};
    enum sg_type t;

    i.sub = mod(p, "cc") ? 3 : 2;
    t = type_in(p, "u32 s32 u64 s64 b32 b64");
    operands(p, 3);
    i.d = dst(p, 0, t);
    i.a = src(p, 1, t);
    i.b = src(p, 2, t);
    i.dsize = (uint8_t)reg_size(t);
    add(p, sub ? OP_subc : OP_addc, &i);
}

static enum sg_type wider(struct parser *p, enum sg_type t)
{
    switch (t) {
    case T_U16:
        return T_U32;
    case T_S16:
        return T_S32;
    case T_U32:
        return T_U64;
    case T_S32:
        return T_S64;
    default:
        unknown(p);
    }
}

static void d_mul(struct parser *p)
{
    bool mad = p->op_text[1] == 'a';
    bool lo = mod(p, "lo"), hi = mod(p, "hi"), wide = mod(p, "wide"), cc = mad && mod(p, "cc");
    struct ins i = {0};
    enum sg_type t;

    i.round = (uint8_t)rounding(p);
    float_flags(p, &i);
    t = need_type(p);
    if (is_float(t) || t == T_F16X2 || t == T_BF16X2) {
        if (lo || hi || wide || cc || (mad && is_half(t)))
            unknown(p);
        float_op(p, &i, mad ? FL_FMA : FL_MUL, t, mad ? 3 : 2);
        return;
    }
    if (!one_of(t, INTS) || i.round || (i.flags & F_FTZ) || lo + hi + wide != 1)
        unknown(p);
    if ((i.flags & F_SAT) && (!mad || !hi || t != T_S32 || cc))
        unknown(p);
    operands(p, mad ? 4 : 3);
    i.d = dst(p, 0, wide ? wider(p, t) : t);
    i.a = src(p, 1, t);
    i.b = src(p, 2, t);
    if (mad)
        i.c = src(p, 3, wide ? wider(p, t) : t);
    if (cc) {
        if (wide || type_size(t) < 4)
            unknown(p);
        i.sub = (uint8_t)(1 | (hi ? 4 : 0) | (is_signed(t) ? 8 : 0));
        i.dsize = (uint8_t)reg_size(t);
        add(p, OP_madc, &i);
    } else if (wide) {
        add(p, (mad ? OP_madwide_u16 : OP_mulwide_u16) + by_sign(t), &i);
    } else if (hi) {
        if (i.flags & F_SAT)
            add(p, OP_madhisat_s32, &i);
        else
            add(p, (mad ? OP_madhi_u16 : OP_mulhi_u16) + by_sign(t), &i);
    } else {
        add(p, (mad ? OP_mad_16 : OP_mul_16) + by_size(t), &i);
    }
}

static void d_madc(struct parser *p)
{
    bool lo = mod(p, "lo"), hi = mod(p, "hi"), cc = mod(p, "cc");
    struct ins i = {0};
    enum sg_type t = type_in(p, "u32 s32 u64 s64");

    if (lo + hi != 1)
        unknown(p);
    operands(p, 4);
    i.sub = (uint8_t)(2 | cc | (hi ? 4 : 0) | (is_signed(t) ? 8 : 0));
    i.dsize = (uint8_t)reg_size(t);
    i.d = dst(p, 0, t);
    i.a = src(p, 1, t);
    i.b = src(p, 2, t);
    i.c = src(p, 3, t);
    add(p, OP_madc, &i);
}

static void d_mul24(struct parser *p)
{
    bool mad = p->op_text[1] == 'a', lo = mod(p, "lo"), hi = mod(p, "hi"), sat = mod(p, "sat");
    struct ins i = {0};
    enum sg_type t = type_in(p, "u32 s32");

    if (lo + hi != 1 || (sat && (!mad || !hi || t != T_S32)))
        unknown(p);
    operands(p, mad ? 4 : 3);
    i.sub = (uint8_t)((t == T_S32) | (hi ? 2 : 0) | (mad ? 4 : 0) | (sat ? 8 : 0));
    i.d = dst(p, 0, t);
    i.a = src(p, 1, t);
    i.b = src(p, 2, t);
    if (mad)
        i.c = src(p, 3, t);
    add(p, OP_mul24, &i);
}

static void d_fma(struct parser *p)
{
    struct ins i = {0};
    enum sg_type t;

    i.round = (uint8_t)rounding(p);
    float_flags(p, &i);
    if (mod(p, "relu"))
        i.flags |= F_RELU;
    t = type_in(p, "f16 f16x2 bf16 bf16x2 f32 f64");
    if (i.round == R_NONE || ((i.flags & F_RELU) && !is_half(t)))
        unknown(p);
    float_op(p, &i, FL_FMA, t, 3);
}

static void d_div(struct parser *p)
{
    bool approx = mod(p, "approx"), full = mod(p, "full");
    struct ins i = {0};
    enum sg_type t;

    i.round = (uint8_t)rounding(p);
    if (mod(p, "ftz"))
        i.flags |= F_FTZ;
    t = need_type(p);
    if (t == T_F32 || t == T_F64) {
        if ((approx || full) && (t == T_F64 || i.round))
            unknown(p);
        float_op(p, &i, FL_DIV, t, 2);
        return;
    }
    if (!one_of(t, INTS) || approx || full || i.round || i.flags)
        unknown(p);
    operands(p, 3);
    i.d = dst(p, 0, t);
    i.a = src(p, 1, t);
    i.b = src(p, 2, t);
    add(p, OP_div_u16 + by_sign(t), &i);
}

static void d_rem(struct parser *p)
{
    struct ins i = {0};
    enum sg_type t = type_in(p, INTS);

    operands(p, 3);
    i.d = dst(p, 0, t);
    i.a = src(p, 1, t);
    i.b = src(p, 2, t);
    add(p, OP_rem_u16 + by_sign(t), &i);
}

static void d_sad(struct parser *p)
{
    struct ins i = {0};
    enum sg_type t = type_in(p, INTS);

    operands(p, 4);
    i.d = dst(p, 0, t);
    i.a = src(p, 1, t);
    i.b = src(p, 2, t);
    i.c = src(p, 3, t);
    add(p, OP_sad_u16 + by_sign(t), &i);
}

static void d_minmax(struct parser *p)
{
    bool max = p->op_text[1] == 'a';
    struct ins i = {0};
    enum sg_type t = T_NONE;

    if (mod(p, "ftz"))
        i.flags |= F_FTZ;
    if (mod(p, "NaN"))
        i.flags |= F_NAN;
    if (mod(p, "xorsign")) {
        if (!mod(p, "abs"))
            unknown(p);
        i.flags |= F_XORSIGN | F_ABS;
    } else if (mod(p, "abs")) {
        i.flags |= F_ABS;
    }
    if (mod(p, "relu"))
        i.flags |= F_RELU;
    if (mod(p, "u16x2"))
        i.sub = 8;
    else if (mod(p, "s16x2"))
        i.sub = 9;
    else
        t = need_type(p);
    if (i.sub) {
        i.sub = (uint8_t)((i.sub & 1) | (max ? 2 : 0));
        if (i.flags)
            unknown(p);
        operands(p, 3);
        i.d = dst(p, 0, T_B32);
        i.a = src(p, 1, T_B32);
        i.b = src(p, 2, T_B32);
        add(p, OP_minmax16x2, &i);
        return;
    }
    if (is_float(t) || t == T_F16X2 || t == T_BF16X2) {
        bool three = t == T_F32 && p->nopnd == 4;

        if (t == T_F64 && i.flags)
            unknown(p);
        float_op(p, &i,
                 three ? (max ? FL_MAX3 : FL_MIN3)
                 : max ? FL_MAX
                       : FL_MIN,
                 t, three ? 3 : 2);
        return;
    }
    if (!one_of(t, INTS) || i.flags)
        unknown(p);
    operands(p, 3);
    i.d = dst(p, 0, t);
    i.a = src(p, 1, t);
    i.b = src(p, 2, t);
    add(p, (max ? OP_max_u16 : OP_min_u16) + by_sign(t), &i);
}

static void d_absneg(struct parser *p)
{
    bool neg = p->op_text[0] == 'n';
    struct ins i = {0};
    enum sg_type t;

    if (mod(p, "ftz"))
        i.flags |= F_FTZ;
    t = need_type(p);
    if (is_float(t) || t == T_F16X2 || t == T_BF16X2) {
        float_op(p, &i, neg ? FL_NEG : FL_ABS, t, 1);
        return;
    }
    if (!one_of(t, "s16 s32 s64") || i.flags)
        unknown(p);
    operands(p, 2);
    i.d = dst(p, 0, t);
    i.a = src(p, 1, t);
    add(p, (neg ? OP_neg_16 : OP_abs_16) + by_size(t), &i);
}

/* rcp sqrt rsqrt sin cos lg2 ex2 tanh */
static void d_special(struct parser *p, enum sg_float_op sub, const char *set, bool exact)
{
    struct ins i = {0};
    bool approx = mod(p, "approx");
    enum sg_type t;

    i.round = (uint8_t)rounding(p);
    if (mod(p, "ftz"))
        i.flags |= F_FTZ;
    t = type_in(p, set);
    if (approx ? i.round != R_NONE : !exact || i.round == R_NONE)
        unknown(p);
    /* .ftz.f64 exists only for the approximate forms, whose results are normal numbers anyway */
    if (t == T_F64 && approx)
        i.flags &= (uint8_t)~F_FTZ;
    float_op(p, &i, sub, t, 1);
}

static void d_rcp(struct parser *p)
{
    d_special(p, FL_RCP, "f32 f64", true);
}

static void d_sqrt(struct parser *p)
{
    d_special(p, FL_SQRT, "f32 f64", true);
}

static void d_rsqrt(struct parser *p)
{
    d_special(p, FL_RSQRT, "f32 f64", false);
}

static void d_sin(struct parser *p)
{
    d_special(p, FL_SIN, "f32", false);
}

static void d_cos(struct parser *p)
{
    d_special(p, FL_COS, "f32", false);
}

static void d_lg2(struct parser *p)
{
    d_special(p, FL_LG2, "f32", false);
}

static void d_ex2(struct parser *p)
{
    d_special(p, FL_EX2, "f32 f16 f16x2 bf16 bf16x2", false);
}

static void d_tanh(struct parser *p)
{
    d_special(p, FL_TANH, "f32 f16 f16x2 bf16 bf16x2", false);
}

static void d_copysign(struct parser *p)
{
    struct ins i = {0};

    i.round = R_RN;
    i.flags = 0;
    float_op(p, &i, FL_COPYSIGN, type_in(p, "f32 f64"), 2);
}

static void d_testp(struct parser *p)
{
    static const char *const names[] = {"finite",     "infinite", "number",
                                        "notanumber", "normal",   "subnormal"};
    struct ins i = {0};
    bool found = false;

    for (unsigned k = 0; k < 6 && !found; k++) {
        if (mod(p, names[k])) {
            i.sub = (uint8_t)k;
            found = true;
        }
    }
    if (!found)
        unknown(p);
    i.type = (uint8_t)type_in(p, "f32 f64");
    operands(p, 2);
    i.d = dst(p, 0, T_PRED);
    i.a = src(p, 1, i.type);
    add(p, OP_testp, &i);
}

/* ---- logic and bits -------------------------------------------------------------------------- */

static void d_logic(struct parser *p)
{
    struct ins i = {0};
    enum sg_type t = type_in(p, "pred b16 b32 b64");
    char c = p->op_text[0];

    operands(p, 3);
    i.d = dst(p, 0, t);
    if (t == T_PRED) {
        i.a = pred_src(p, 1, 1, &i.flags2);
        i.b = pred_src(p, 2, 2, &i.flags2);
        add(p, c == 'a' ? OP_pand : c == 'o' ? OP_por : OP_pxor, &i);
        return;
    }
    i.a = src(p, 1, t);
    i.b = src(p, 2, t);
    add(p, (c == 'a' ? OP_and_16 : c == 'o' ? OP_or_16 : OP_xor_16) + by_size(t), &i);
}

static void d_not(struct parser *p)
{
    struct ins i = {0};
    bool cnot = p->op_text[0] == 'c';
    enum sg_type t = type_in(p, cnot ? "b16 b32 b64" : "pred b16 b32 b64");

    operands(p, 2);
    i.d = dst(p, 0, t);
    if (t == T_PRED) {
        i.a = pred_src(p, 1, 1, &i.flags2);
        add(p, OP_pnot, &i);
        return;
    }
    i.a = src(p, 1, t);
    add(p, (cnot ? OP_cnot_16 : OP_not_16) + by_size(t), &i);
}

static void d_shift(struct parser *p)
{
    struct ins i = {0};
    bool left = p->op_text[2] == 'l';
    enum sg_type t = type_in(p, left ? "b16 b32 b64" : "b16 b32 b64 u16 u32 u64 s16 s32 s64");

    operands(p, 3);
    i.d = dst(p, 0, t);
    i.a = src(p, 1, t);
    i.b = src(p, 2, T_U32);
    add(p, left ? OP_shl_16 + by_size(t) : OP_shr_u16 + by_sign(t), &i);
}

static void d_count(struct parser *p)
{
    struct ins i = {0};
    enum sg_type t = type_in(p, "b32 b64");
    int wide = type_size(t) == 8;
    char c = p->op_text[0];

    operands(p, 2);
    i.d = dst(p, 0, c == 'b' ? t : T_U32);
    i.a = src(p, 1, t);
    add(p, (c == 'p' ? OP_popc_32 : c == 'c' ? OP_clz_32 : OP_brev_32) + wide, &i);
}

static void d_bfind(struct parser *p)
{
    struct ins i = {0};

    i.sub = mod(p, "shiftamt");
    i.type = (uint8_t)type_in(p, "u32 s32 u64 s64");
    operands(p, 2);
    i.d = dst(p, 0, T_U32);
    i.a = src(p, 1, i.type);
    add(p, OP_bfind, &i);
}

static void d_bfe(struct parser *p)
{
    struct ins i = {0};
    enum sg_type t = type_in(p, "u32 s32 u64 s64");

    operands(p, 4);
    i.d = dst(p, 0, t);
    i.a = src(p, 1, t);
    i.b = src(p, 2, T_U32);
    i.c = src(p, 3, T_U32);
    add(p, OP_bfe_u32 + by_sign(t) - 2, &i);
}

static void d_bfi(struct parser *p)
{
    struct ins i = {0};
    enum sg_type t = type_in(p, "b32 b64");

    operands(p, 5);
    i.d = dst(p, 0, t);
    i.a = src(p, 1, t);
    i.b = src(p, 2, t);
    i.c = src(p, 3, T_U32);
    i.e = src(p, 4, T_U32);
    add(p, type_size(t) == 8 ? OP_bfi_64 : OP_bfi_32, &i);
}

static void d_prmt(struct parser *p)
{
    static const char *const names[] = {"", "f4e", "b4e", "rc8", "ecl", "ecr", "rc16"};
    struct ins i = {0};

    type_in(p, "b32");
    for (unsigned k = 1; k < 7 && !i.sub; k++)
        if (mod(p, names[k]))
            i.sub = (uint8_t)k;
    operands(p, 4);
    i.d = dst(p, 0, T_B32);
    i.a = src(p, 1, T_B32);
    i.b = src(p, 2, T_B32);
    i.c = src(p, 3, T_B32);
    add(p, OP_prmt, &i);
}

static void d_lop3(struct parser *p)
{
    struct ins i = {0};

    type_in(p, "b32");
    operands(p, 5);
    if (p->opnd[4].kind != O_INT || p->opnd[4].imm > 255)
        bad_operands(p);
    i.d = dst(p, 0, T_B32);
    i.a = src(p, 1, T_B32);
    i.b = src(p, 2, T_B32);
    i.c = src(p, 3, T_B32);
    i.imm = (int64_t)p->opnd[4].imm;
    add(p, OP_lop3, &i);
}

static void d_shf(struct parser *p)
{
    struct ins i = {0};
    bool l = mod(p, "l"), r = mod(p, "r"), clamp = mod(p, "clamp"), wrap = mod(p, "wrap");

    if (l == r || clamp == wrap)
        unknown(p);
    type_in(p, "b32");
    operands(p, 4);
    i.sub = (uint8_t)(r | (clamp ? 2 : 0));
    i.d = dst(p, 0, T_B32);
    i.a = src(p, 1, T_B32);
    i.b = src(p, 2, T_B32);
    i.c = src(p, 3, T_U32);
    add(p, OP_shf, &i);
}

static void d_szext(struct parser *p)
{
    struct ins i = {0};
    bool clamp = mod(p, "clamp"), wrap = mod(p, "wrap");
    enum sg_type t = type_in(p, "u32 s32");

    if (clamp == wrap)
        unknown(p);
    operands(p, 3);
    i.sub = (uint8_t)(is_signed(t) | (clamp ? 2 : 0));
    i.d = dst(p, 0, t);
    i.a = src(p, 1, t);
    i.b = src(p, 2, T_U32);
    add(p, OP_szext, &i);
}

static void d_bmsk(struct parser *p)
{
    struct ins i = {0};
    bool clamp = mod(p, "clamp"), wrap = mod(p, "wrap");

    if (clamp == wrap)
        unknown(p);
    type_in(p, "b32");
    operands(p, 3);
    i.sub = clamp ? 2 : 0;
    i.d = dst(p, 0, T_B32);
    i.a = src(p, 1, T_U32);
    i.b = src(p, 2, T_U32);
    add(p, OP_bmsk, &i);
}

static void d_fns(struct parser *p)
{
    struct ins i = {0};

    type_in(p, "b32");
    operands(p, 4);
    i.d = dst(p, 0, T_B32);
    i.a = src(p, 1, T_B32);
    i.b = src(p, 2, T_B32);
    i.c = src(p, 3, T_S32);
    add(p, OP_fns, &i);
}

static void d_dp(struct parser *p)
{
    struct ins i = {0};
    bool two = p->op_text[2] == '2', lo = two && mod(p, "lo"), hi = two && mod(p, "hi");
    enum sg_type ta = type_in(p, "u32 s32"), tb = type_in(p, "u32 s32"), t;

    if (two && lo == hi)
        unknown(p);
    t = is_signed(ta) || is_signed(tb) ? T_S32 : T_U32;
    operands(p, 4);
    i.sub = (uint8_t)(is_signed(ta) | (is_signed(tb) ? 2 : 0) | (hi ? 4 : 0));
    i.d = dst(p, 0, t);
    i.a = src(p, 1, ta);
    i.b = src(p, 2, tb);
    i.c = src(p, 3, t);
    add(p, two ? OP_dp2a : OP_dp4a, &i);
}

/* ---- comparison and selection ---------------------------------------------------------------- */

static void comparison(struct parser *p, struct ins *i, bool *ordered_only)
{
    static const struct {
        const char *name;
        uint8_t sub;
        uint8_t kind; /* 0 any type, 1 floats only, 2 unsigned only */
    } cmps[] = {
        {"eq", CMP_EQ, 0},
        {"ne", CMP_LT | CMP_GT, 0},
        {"lt", CMP_LT, 0},
        {"le", CMP_LT | CMP_EQ, 0},
        {"gt", CMP_GT, 0},
        {"ge", CMP_GT | CMP_EQ, 0},
        {"lo", CMP_LT, 2},
        {"ls", CMP_LT | CMP_EQ, 2},
        {"hi", CMP_GT, 2},
        {"hs", CMP_GT | CMP_EQ, 2},
        {"equ", CMP_EQ | CMP_UN, 1},
        {"neu", CMP_LT | CMP_GT | CMP_UN, 1},
        {"ltu", CMP_LT | CMP_UN, 1},
        {"leu", CMP_LT | CMP_EQ | CMP_UN, 1},
        {"gtu", CMP_GT | CMP_UN, 1},
        {"geu", CMP_GT | CMP_EQ | CMP_UN, 1},
        {"num", CMP_LT | CMP_EQ | CMP_GT, 1},
        {"nan", CMP_UN, 1},
    };

    for (size_t k = 0; k < sizeof(cmps) / sizeof(cmps[0]); k++) {
        if (mod(p, cmps[k].name)) {
            i->sub = cmps[k].sub;
            i->round = cmps[k].kind; /* checked against the type, then cleared */
            *ordered_only = false;
            return;
        }
    }
    unknown(p);
}

/* Fills in everything but the destinations. first: index of the first source operand. */
static enum sg_opcode compare_op(struct parser *p, struct ins *i, enum sg_type t)
{
    uint8_t kind = i->round;

    i->round = 0;
    i->type = (uint8_t)t;
    if (is_float(t) || t == T_F16X2 || t == T_BF16X2) {
        if (kind == 2 || (t == T_F64 && i->flags))
            unknown(p);
        return t == T_F32          ? OP_setp_f32
               : t == T_F64        ? OP_setp_f64
               : type_size(t) == 4 ? OP_setp_half2
                                   : OP_setp_half;
    }
    if (kind == 1 || i->flags || !one_of(t, "b16 b32 b64 u16 u32 u64 s16 s32 s64"))
        unknown(p);
    if (kind == 2 && is_signed(t))
        unknown(p);
    if (one_of(t, "b16 b32 b64") && i->sub != CMP_EQ && i->sub != (CMP_LT | CMP_GT))
        unknown(p);
    return OP_setp_u16 + by_sign(t);
}

static void bool_op(struct parser *p, struct ins *i)
{
    if (mod(p, "and"))
        i->type2 = BOOL_AND;
    else if (mod(p, "or"))
        i->type2 = BOOL_OR;
    else if (mod(p, "xor"))
        i->type2 = BOOL_XOR;
}

static void d_setp(struct parser *p)
{
    struct ins i = {0};
    struct operand *d = &p->opnd[0];
    enum sg_opcode op;
    enum sg_type t;
    bool any;

    comparison(p, &i, &any);
    bool_op(p, &i);
    if (mod(p, "ftz"))
        i.flags |= F_FTZ;
    t = need_type(p);
    op = compare_op(p, &i, t);
    operands(p, i.type2 == BOOL_NONE ? 3 : 4);
    if (d->kind == O_SINK) {
        i.d = REF_SINK;
    } else {
        if (d->kind != O_REG || d->type != T_PRED || d->negated || (d->ref & 3) != BASE_FRAME)
            bad_operands(p);
        i.d = d->ref;
    }
    i.e = d->pair ? d->ref2 : REF_SINK;
    i.a = src(p, 1, t);
    i.b = src(p, 2, t);
    if (i.type2 != BOOL_NONE)
        i.c = pred_src(p, 3, 4, &i.flags2);
    add(p, op, &i);
}

/* set: a comparison, then a selection between two constants */
static void d_set(struct parser *p)
{
    struct ins i = {0}, s = {0};
    enum sg_opcode op;
    enum sg_type dt, t;
    uint64_t yes;
    bool any;

    comparison(p, &i, &any);
    bool_op(p, &i);
    if (mod(p, "ftz"))
        i.flags |= F_FTZ;
    dt = type_in(p, "u32 s32 f32 u16 s16 f16 bf16");
    t = need_type(p);
    if (t == T_F16X2 || t == T_BF16X2)
        unknown(p);
    op = compare_op(p, &i, t);
    operands(p, i.type2 == BOOL_NONE ? 3 : 4);
    i.d = temp(p, T_PRED);
    i.e = REF_SINK;
    i.a = src(p, 1, t);
    i.b = src(p, 2, t);
    if (i.type2 != BOOL_NONE)
        i.c = pred_src(p, 3, 4, &i.flags2);
    add(p, op, &i);
    yes = dt == T_F32 ? 0x3f800000 : dt == T_F16 ? 0x3c00 : dt == T_BF16 ? 0x3f80 : UINT64_MAX;
    s.d = dst(p, 0, dt);
    s.a = parse_konst(p, (unsigned)type_size(dt), yes, NULL);
    s.b = parse_konst(p, (unsigned)type_size(dt), 0, NULL);
    s.c = i.d;
    add(p, OP_selp_16 + by_size(dt), &s);
}

static void d_selp(struct parser *p)
{
    struct ins i = {0};
    enum sg_type t = type_in(p, "b16 b32 b64 u16 u32 u64 s16 s32 s64 f16 bf16 f32 f64");

    operands(p, 4);
    i.d = dst(p, 0, t);
    i.a = src(p, 1, t);
    i.b = src(p, 2, t);
    i.c = pred_src(p, 3, 4, &i.flags2);
    add(p, OP_selp_16 + by_size(t), &i);
}

static void d_slct(struct parser *p)
{
    struct ins c = {0}, s = {0};
    enum sg_type t, ct;

    if (mod(p, "ftz"))
        c.flags |= F_FTZ;
    t = type_in(p, "b16 b32 b64 u16 u32 u64 s16 s32 s64 f32 f64");
    ct = type_in(p, "s32 f32");
    if (c.flags && ct != T_F32)
        unknown(p);
    operands(p, 4);
    c.sub = CMP_GT | CMP_EQ;
    c.type = (uint8_t)ct;
    c.d = temp(p, T_PRED);
    c.e = REF_SINK;
    c.a = src(p, 3, ct);
    c.b = parse_konst(p, 4, 0, NULL);
    add(p, ct == T_S32 ? OP_setp_s32 : OP_setp_f32, &c);
    s.d = dst(p, 0, t);
    s.a = src(p, 1, t);
    s.b = src(p, 2, t);
    s.c = c.d;
    add(p, OP_selp_16 + by_size(t), &s);
}

/* ---- moves and conversions ------------------------------------------------------------------- */

static uint32_t element_ref(struct parser *p, const struct vec_element *e, enum sg_type t,
                            bool write)
{
    if (e->kind == O_SINK)
        return REF_SINK;
    if (e->kind == O_REG) {
        if (e->type == T_PRED || reg_size(e->type) != reg_size(t) ||
            (write && (e->ref & 3) != BASE_FRAME))
            bad_operands(p);
        return e->ref;
    }
    if (write)
        bad_operands(p);
    if (e->kind == O_INT)
        return parse_konst(p, (unsigned)reg_size(t), e->imm, NULL);
    if ((e->kind == O_F32 && type_size(t) == 4) || (e->kind == O_F64 && type_size(t) == 8))
        return parse_konst(p, (unsigned)reg_size(t), e->imm, NULL);
    bad_operands(p);
}

static enum sg_type part_type(struct parser *p, enum sg_type t, uint32_t n)
{
    if (n == 0 || type_size(t) % (int)n)
        bad_operands(p);
    switch (type_size(t) / (int)n) {
    case 1:
        return T_B8;
    case 2:
        return T_B16;
    case 4:
        return T_B32;
    default:
        bad_operands(p);
    }
}

static void d_mov(struct parser *p)
{
    struct ins i = {0};
    enum sg_type t =
        type_in(p, "pred b16 b32 b64 u16 u32 u64 s16 s32 s64 f16 bf16 f16x2 bf16x2 f32 f64");
    struct operand *d = &p->opnd[0], *s = &p->opnd[1];

    operands(p, 2);
    if (t == T_PRED) {
        i.d = dst(p, 0, t);
        i.a = pred_src(p, 1, 1, &i.flags2);
        add(p, OP_pmov, &i);
        return;
    }
    if (d->kind == O_VECTOR) {
        enum sg_type e = part_type(p, t, d->n);

        i.n = (uint8_t)d->n;
        i.type = (uint8_t)type_size(e);
        i.asize = (uint8_t)reg_size(t);
        i.a = src(p, 1, t);
        i.ext = begin_ext(p);
        for (uint32_t k = 0; k < d->n; k++)
            push_ext(p, element_ref(p, &d->v[k], e, true));
        add(p, OP_unpack, &i);
        return;
    }
    if (s->kind == O_VECTOR) {
        enum sg_type e = part_type(p, t, s->n);

        i.n = (uint8_t)s->n;
        i.type = (uint8_t)type_size(e);
        i.dsize = (uint8_t)reg_size(t);
        i.d = dst(p, 0, t);
        i.ext = begin_ext(p);
        for (uint32_t k = 0; k < s->n; k++) {
            if (s->v[k].kind == O_SINK)
                bad_operands(p);
            push_ext(p, element_ref(p, &s->v[k], e, false));
        }
        add(p, OP_pack, &i);
        return;
    }
    i.d = dst(p, 0, t);
    /* %gridid was 32 bits wide before PTX 3.0 and may still be read so */
    if (s->kind == O_REG && s->ref == (U_GRIDID | BASE_UNIFORM) && type_size(t) == 4)
        i.a = U_GRIDID32 | BASE_UNIFORM;
    else
        i.a = src(p, 1, t);
    add(p, OP_mov_16 + by_size(t), &i);
}

static void d_cvt(struct parser *p)
{
    struct ins i = {0};
    bool integral = false;
    enum sg_type dt, st;

    if (mod(p, "pack"))
        unknown(p);
    i.round = (uint8_t)rounding(p);
    if (i.round == R_NONE) {
        if (mod(p, "rni"))
            i.round = R_RN, integral = true;
        else if (mod(p, "rzi"))
            i.round = R_RZ, integral = true;
        else if (mod(p, "rmi"))
            i.round = R_RM, integral = true;
        else if (mod(p, "rpi"))
            i.round = R_RP, integral = true;
    }
    float_flags(p, &i);
    if (mod(p, "relu"))
        i.flags |= F_RELU;
    dt = need_type(p);
    st = need_type(p);
    if ((dt == T_F16X2 || dt == T_BF16X2) && st == T_F32) {
        if ((i.round != R_RN && i.round != R_RZ) || integral || (i.flags & ~F_RELU))
            unknown(p);
        i.type = (uint8_t)dt;
        operands(p, 3);
        i.d = dst(p, 0, T_B32);
        i.a = src(p, 1, T_F32);
        i.b = src(p, 2, T_F32);
        add(p, OP_cvt_pack, &i);
        return;
    }
    if (!one_of(dt, "u8 u16 u32 u64 s8 s16 s32 s64 f16 bf16 f32 f64") ||
        !one_of(st, "u8 u16 u32 u64 s8 s16 s32 s64 f16 bf16 f32 f64"))
        unknown(p);
    if (is_float(dt) && is_float(st)) {
        bool narrows =
            type_size(dt) < type_size(st) || (dt != st && type_size(dt) == type_size(st));

        if (integral) {
            if (dt != st)
                unknown(p);
            i.flags |= F_INT_ROUND;
        } else if (narrows ? i.round == R_NONE : i.round != R_NONE && dt == st) {
            /* cvt.rn.f32.f32 has no meaning: a same-size conversion rounds to an integer */
            if (!narrows && i.round != R_NONE)
                i.flags |= F_INT_ROUND;
            else
                unknown(p);
        }
        if ((i.flags & F_RELU) && type_size(dt) != 2)
            unknown(p);
    } else if (is_float(dt)) {
        if (i.round == R_NONE || integral || (i.flags & F_RELU))
            unknown(p);
    } else if (is_float(st)) {
        /* old texts write .rz for .rzi */
        if (i.round == R_NONE || (i.flags & F_RELU))
            unknown(p);
    } else if (i.round != R_NONE || (i.flags & ~F_SAT)) {
        unknown(p);
    }
    i.type = (uint8_t)dt;
    i.type2 = (uint8_t)st;
    operands(p, 2);
    if (is_float(dt)) {
        i.d = dst(p, 0, dt);
        i.dsize = (uint8_t)type_size(dt);
    } else {
        i.d = wide_dst(p, 0, dt, &i.dsize);
    }
    if (is_float(st)) {
        i.a = src(p, 1, st);
        i.asize = (uint8_t)type_size(st);
    } else {
        i.a = wide_src(p, 1, st, &i.asize);
    }
    add(p, OP_cvt, &i);
}

static bool maybe_space(struct parser *p, enum sg_space *space)
{
    if (mod(p, "global"))
        *space = SP_GLOBAL;
    else if (mod(p, "shared") || mod(p, "shared::cta") || mod(p, "shared::cluster"))
        *space = SP_SHARED;
    else if (mod(p, "local"))
        *space = SP_LOCAL;
    else if (mod(p, "const"))
        *space = SP_CONST;
    else if (mod(p, "param") || mod(p, "param::entry") || mod(p, "param::func"))
        *space = SP_PARAM;
    else
        return false;
    return true;
}

static uint64_t window_of(enum sg_space s)
{
    switch (s) {
    case SP_SHARED:
        return SG_SHARED_WINDOW;
    case SP_LOCAL:
        return SG_LOCAL_WINDOW;
    case SP_PARAM:
        return SG_PARAM_WINDOW;
    default:
        return 0;
    }
}

static void d_cvta(struct parser *p)
{
    struct ins i = {0};
    bool to = mod(p, "to");
    enum sg_space space;
    struct operand *s = &p->opnd[1];

    if (!maybe_space(p, &space))
        unknown(p);
    type_in(p, "u64");
    operands(p, 2);
    i.d = dst(p, 0, T_U64);
    /* A parameter of a device function lies in local memory here: so does its generic address. */
    if (s->kind == O_VAR && s->var->space == SP_LOCAL && space == SP_PARAM)
        space = SP_LOCAL;
    if (s->kind == O_VAR && s->var->space != space &&
        !(space == SP_GLOBAL && s->var->space == SP_CONST))
        bad_operands(p);
    if (!p->fn->entry && space == SP_PARAM)
        space = SP_LOCAL;
    i.a = src(p, 1, T_U64);
    i.imm = (int64_t)(to ? 0 - window_of(space) : window_of(space));
    add(p, OP_cvta, &i);
}

static void d_isspacep(struct parser *p)
{
    struct ins i = {0};
    enum sg_space space;

    if (!maybe_space(p, &space))
        unknown(p);
    operands(p, 2);
    i.d = dst(p, 0, T_PRED);
    i.a = src(p, 1, T_U64);
    i.space = (uint8_t)space;
    add(p, OP_isspacep, &i);
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* Fills in the address of operand k. Returns false when it is a kernel parameter at a fixed offset.
 */
static bool address(struct parser *p, uint32_t k, enum sg_space space, struct ins *i)
{
    const struct operand *o = &p->opnd[k];

    if (o->kind != O_ADDR)
        bad_operands(p);
    i->space = (uint8_t)space;
    i->asize = 8;
    i->imm = o->off;
    if (!p->fn->entry && space == SP_PARAM)
        i->space = SP_LOCAL;
    switch (o->addr) {
    case O_REG:
        if (o->type == T_PRED || (reg_size(o->type) != 8 && reg_size(o->type) != 4))
            bad_operands(p);
        i->asize = (uint8_t)reg_size(o->type);
        i->a = o->ref;
        return true;
    case O_INT:
        i->a = parse_konst(p, 8, o->imm, NULL);
        return true;
    default:
        break;
    }
    switch (o->var->space) {
    case SP_PARAM:
        if (space != SP_PARAM)
            bad_operands(p);
        i->imm = (int64_t)(o->var->addr + (uint64_t)o->off);
        return false;
    case SP_LOCAL:
        if (space != SP_LOCAL && space != SP_PARAM && space != SP_GENERIC)
            bad_operands(p);
        i->space = SP_LOCAL;
        i->flags |= F_FRAME;
        i->a = parse_konst(p, 8, 0, NULL);
        i->imm = (int64_t)(o->var->addr + (uint64_t)o->off);
        return true;
    case SP_SHARED:
        if (space != SP_SHARED && space != SP_GENERIC)
            bad_operands(p);
        i->space = SP_SHARED;
        i->a = address_of(p, o->var, 0, 8);
        return true;
    default:
        if (space != o->var->space && space != SP_GENERIC)
            bad_operands(p);
        i->a = address_of(p, o->var, 0, 8);
        return true;
    }
}

static void access_hints(struct parser *p, struct ins *i)
{
    static const char *const hints[] = {
        "ca",
        "cg",
        "cs",
        "lu",
        "cv",
        "wb",
        "wt",
        "nc",
        "weak",
        "L1::evict_normal",
        "L1::evict_unchanged",
        "L1::evict_first",
        "L1::evict_last",
        "L1::no_allocate",
        "L2::evict_normal",
        "L2::evict_first",
        "L2::evict_last",
        "L2::64B",
        "L2::128B",
        "L2::256B",
        "unified",
    };
    static const char *const orders[] = {"volatile", "relaxed", "acquire",
                                         "release",  "acq_rel", "mmio"};
    static const char *const scopes[] = {"cta", "cluster", "gpu", "sys"};

    for (size_t k = 0; k < sizeof(hints) / sizeof(hints[0]); k++)
        mod(p, hints[k]);
    for (size_t k = 0; k < sizeof(orders) / sizeof(orders[0]); k++)
        if (mod(p, orders[k]))
            i->flags |= F_FENCE;
    for (size_t k = 0; k < sizeof(scopes) / sizeof(scopes[0]); k++)
        mod(p, scopes[k]);
}

static uint32_t vector_length(struct parser *p)
{
    if (mod(p, "v2"))
        return 2;
    if (mod(p, "v4"))
        return 4;
    if (mod(p, "v8"))
        return 8;
    return 1;
}

/* The registers that a load fills or a store reads: i->d or a list in ext, all of one size. */
static void data_registers(struct parser *p, uint32_t k, enum sg_type t, uint32_t n, struct ins *i,
                           bool write)
{
    struct operand *o = &p->opnd[k];
    int size = 0;

    i->n = (uint8_t)n;
    i->type = (uint8_t)t;
    if (n == 1 && o->kind == O_VECTOR && o->n == 1) {
        struct vec_element e = o->v[0];

        memset(o, 0, sizeof(*o));
        o->kind = e.kind;
        o->type = e.type;
        o->ref = e.ref;
        o->imm = e.imm;
    }
    if (n == 1) {
        if (write)
            i->d = wide_dst(p, k, t, &i->dsize);
        else
            i->d = wide_src(p, k, t, &i->dsize);
        return;
    }
    if (o->kind != O_VECTOR || o->n != n)
        bad_operands(p);
    for (uint32_t j = 0; j < n; j++) {
        const struct vec_element *e = &o->v[j];

        if (e->kind != O_REG)
            continue;
        if (e->type == T_PRED || reg_size(e->type) < reg_size(t) ||
            (size && size != reg_size(e->type)))
            bad_operands(p);
        size = reg_size(e->type);
    }
    if (!size)
        size = reg_size(t);
    i->dsize = (uint8_t)size;
    i->ext = begin_ext(p);
    for (uint32_t j = 0; j < n; j++)
        push_ext(p, element_ref(p, &o->v[j], size == 2 ? T_B16 : size == 4 ? T_B32 : T_B64, write));
}

#define MEMTYPES "b8 u8 s8 b16 u16 s16 f16 bf16 b32 u32 s32 f32 f16x2 bf16x2 b64 u64 s64 f64"

static void d_ld(struct parser *p)
{
    struct ins i = {0};
    enum sg_space space = SP_GENERIC;
    bool any = maybe_space(p, &space), fixed, policy;
    enum sg_type t;
    uint32_t n;

    if (p->op_len > 2 && p->op_text[2] == 'u' && any && space != SP_GLOBAL)
        unknown(p);
    access_hints(p, &i);
    policy = mod(p, "L2::cache_hint");
    n = vector_length(p);
    t = type_in(p, MEMTYPES);
    if (type_size(t) * (int)n > 32)
        unknown(p);
    if (policy && p->nopnd == 3 && p->opnd[2].kind == O_REG && p->opnd[2].type != T_PRED &&
        reg_size(p->opnd[2].type) == 8)
        p->nopnd = 2;
    operands(p, 2);
    data_registers(p, 0, t, n, &i, true);
    fixed = !address(p, 1, space, &i);
    if (fixed) {
        uint64_t bytes = (uint64_t)type_size(t) * n, end = p->fn->info.param_bytes;

        if (i.imm < 0 || (uint64_t)i.imm > end || bytes > end - (uint64_t)i.imm)
            parse_fail(p, p->line, "parameter offset out of range");
        if ((uint64_t)i.imm & (bytes - 1))
            parse_fail(p, p->line, "misaligned parameter offset");
        add(p, OP_ldparam, &i);
        return;
    }
    add(p, OP_ld, &i);
}

static void d_st(struct parser *p)
{
    struct ins i = {0};
    enum sg_space space = SP_GENERIC;
    enum sg_type t;
    bool policy;
    uint32_t n;

    maybe_space(p, &space);
    if (space == SP_CONST)
        unknown(p);
    access_hints(p, &i);
    policy = mod(p, "L2::cache_hint");
    n = vector_length(p);
    t = type_in(p, MEMTYPES);
    if (type_size(t) * (int)n > 32)
        unknown(p);
    if (policy && p->nopnd == 3 && p->opnd[2].kind == O_REG && p->opnd[2].type != T_PRED &&
        reg_size(p->opnd[2].type) == 8)
        p->nopnd = 2;
    operands(p, 2);
    data_registers(p, 1, t, n, &i, false);
    if (!address(p, 0, space, &i))
        bad_operands(p); /* kernel parameters are read-only */
    add(p, OP_st, &i);
}

static void d_atom(struct parser *p)
{
    static const char *const names[] = {"add", "inc", "dec", "min",  "max",
                                        "and", "or",  "xor", "exch", "cas"};
    static const char *const allowed[] = {
        "u32 s32 u64 s64 f32 f64 f16 f16x2 bf16 bf16x2",
        "u32",
        "u32",
        "u32 s32 u64 s64",
        "u32 s32 u64 s64",
        "b32 b64",
        "b32 b64",
        "b32 b64",
        "b32 b64",
        "b16 b32 b64",
    };
    struct ins i = {0};
    bool red = p->op_text[0] == 'r', found = false, policy, noftz;
    enum sg_space space = SP_GENERIC;
    uint32_t k = red ? 0 : 1, n;
    enum sg_type t;

    maybe_space(p, &space);
    if (space != SP_GENERIC && space != SP_GLOBAL && space != SP_SHARED)
        unknown(p);
    access_hints(p, &i);
    i.flags = 0; /* every atomic is sequentially consistent */
    policy = mod(p, "L2::cache_hint");
    noftz = mod(p, "noftz");
    for (unsigned s = 0; s < 10 && !found; s++) {
        if (mod(p, names[s])) {
            i.sub = (uint8_t)s;
            found = true;
        }
    }
    if (!found)
        unknown(p);
    t = type_in(p, allowed[i.sub]);
    if (is_half(t) != noftz || (red && i.sub >= AT_EXCH))
        unknown(p);
    n = k + (i.sub == AT_CAS ? 3 : 2);
    if (policy && p->nopnd == n + 1 && p->opnd[n].kind == O_REG && p->opnd[n].type != T_PRED &&
        reg_size(p->opnd[n].type) == 8)
        p->nopnd = n;
    operands(p, n);
    i.type = (uint8_t)t;
    i.d = red ? REF_SINK : dst(p, 0, t);
    i.b = src(p, k + 1, t);
    if (i.sub == AT_CAS)
        i.c = src(p, k + 2, t);
    if (!address(p, k, space, &i))
        bad_operands(p);
    add(p, OP_atom, &i);
}

/* prefetch, prefetchu, discard, applypriority: hints whose address is not looked at */
static void d_hint(struct parser *p)
{
    enum sg_space space;

    maybe_space(p, &space);
    if (!mod(p, "L1") && !mod(p, "L2") && !mod_prefix(p, "L2::"))
        unknown(p);
    mod_prefix(p, "L2::");
    end_mods(p);
    if (p->nopnd < 1 || p->nopnd > 2 || p->opnd[0].kind != O_ADDR)
        bad_operands(p);
    decode_emit(p, OP_nop);
}

static void d_cpasync(struct parser *p)
{
    struct ins i = {0};
    struct operand *dsto = &p->opnd[0], *srco = &p->opnd[1];

    if (!mod(p, "async") || mod_prefix(p, "bulk"))
        unknown(p);
    if (mod(p, "commit_group") || mod(p, "wait_all")) {
        operands(p, 0);
        decode_emit(p, OP_nop);
        return;
    }
    if (mod(p, "wait_group")) {
        operands(p, 1);
        decode_emit(p, OP_nop);
        return;
    }
    if (!mod(p, "ca") && !mod(p, "cg"))
        unknown(p);
    mod_prefix(p, "L2::");
    if (!mod(p, "shared") && !mod(p, "shared::cta"))
        unknown(p);
    if (!mod(p, "global"))
        unknown(p);
    end_mods(p);
    if (p->nopnd != 3 && p->nopnd != 4)
        bad_operands(p);
    if (dsto->kind != O_ADDR || srco->kind != O_ADDR || srco->addr != O_REG ||
        dsto->addr != O_REG || dsto->type == T_PRED || srco->type == T_PRED ||
        reg_size(dsto->type) < 4 || reg_size(srco->type) != 8 || p->opnd[2].kind != O_INT ||
        (p->opnd[2].imm != 4 && p->opnd[2].imm != 8 && p->opnd[2].imm != 16))
        bad_operands(p);
    if (dsto->off < INT32_MIN || dsto->off > INT32_MAX || srco->off < INT32_MIN ||
        srco->off > INT32_MAX)
        bad_operands(p);
    i.n = (uint8_t)p->opnd[2].imm;
    i.d = dsto->ref;
    i.dsize = (uint8_t)reg_size(dsto->type);
    i.a = srco->ref;
    i.asize = 8;
    i.imm = (int64_t)((uint64_t)(uint32_t)dsto->off << 32 | (uint32_t)srco->off);
    if (p->nopnd == 4)
        i.c = src(p, 3, T_U32);
    add(p, OP_cpasync, &i);
}

/* ---- control flow ---------------------------------------------------------------------------- */

static void d_bra(struct parser *p)
{
    struct operand *o = &p->opnd[0];

    mod(p, "uni");
    operands(p, 1);
    if (o->kind != O_NAME && o->kind != O_REG && o->kind != O_VAR && o->kind != O_FUNC)
        bad_operands(p);
    decode_emit(p, OP_bra);
    decode_add_label_ref(p, &o->name, p->ncode - 1, 0, 0);
}

static void d_brx(struct parser *p)
{
    struct ins i = {0};
    struct sym *y;

    if (!mod(p, "idx"))
        unknown(p);
    mod(p, "uni");
    operands(p, 2);
    i.a = src(p, 0, T_U32);
    y = parse_lookup(p, p->opnd[1].name.s, p->opnd[1].name.n);
    if (p->opnd[1].kind != O_NAME || !y || y->kind != SYM_TABLE)
        bad_operands(p);
    i.ext = y->table;
    add(p, OP_brx, &i);
}

static void d_ret(struct parser *p)
{
    mod(p, "uni");
    operands(p, 0);
    decode_emit(p, OP_ret);
}

static void d_exit(struct parser *p)
{
    operands(p, 0);
    decode_emit(p, OP_exit);
}

static void d_trap(struct parser *p)
{
    operands(p, 0);
    decode_emit(p, OP_trap);
}

static void d_nanosleep(struct parser *p)
{
    struct ins i = {0};

    type_in(p, "u32");
    operands(p, 1);
    i.a = src(p, 0, T_U32);
    add(p, OP_nanosleep, &i);
}

/* One actual argument or result of a call. */
static struct arg actual(struct parser *p, bool result)
{
    struct operand o;
    struct arg a = {0};

    parse_operand(p, &o);
    switch (o.kind) {
    case O_VAR:
        if (o.var->space != SP_LOCAL || o.off)
            parse_fail(p, p->line, "'%s' cannot be passed to a function", o.var->name);
        a.off = (uint32_t)o.var->addr;
        a.size = (uint32_t)o.var->size;
        a.align = o.var->align;
        return a;
    case O_REG:
        if (o.negated || o.pair || (result && (o.ref & 3) != BASE_FRAME))
            bad_operands(p);
        a.is_reg = true;
        a.ref = o.ref;
        a.size = (uint32_t)type_size(o.type);
        return a;
    case O_INT:
    case O_F32:
    case O_F64:
        if (result)
            bad_operands(p);
        a.is_reg = true;
        a.is_const = true;
        a.size = o.kind == O_F32 ? 4 : 8;
        a.ref = parse_konst(p, a.size, o.imm, NULL);
        return a;
    default:
        parse_fail(p, p->line, "bad argument '%.*s' of a call", shown(o.name.n), o.name.s);
    }
}

static struct arg *actuals(struct parser *p, bool result, uint32_t *n)
{
    struct arg *list = NULL;
    uint32_t cap = 0;

    *n = 0;
    parse_expect(p, '(');
    while (!parse_is(p, ')')) {
        struct arg a = actual(p, result);

        if (*n == cap) {
            struct arg *q;

            if (cap >= 2048)
                bad_operands(p);
            cap = cap ? cap * 2 : 8;
            q = parse_keep(p, cap * sizeof(*q));
            if (*n)
                memcpy(q, list, *n * sizeof(*q));
            list = q;
        }
        list[(*n)++] = a;
        if (!parse_accept(p, ','))
            break;
    }
    parse_expect(p, ')');
    return list;
}

/* A constant argument takes the size of its parameter. Everything else must match it. */
static void match_args(struct parser *p, struct arg *have, uint32_t nhave, const struct arg *want,
                       uint32_t nwant)
{
    if (nhave != nwant)
        bad_operands(p);
    for (uint32_t k = 0; k < nhave; k++) {
        if (have[k].is_const && want[k].size <= 8 && want[k].size) {
            have[k].size = want[k].size;
            continue;
        }
        if (have[k].size != want[k].size)
            bad_operands(p);
    }
}

void decode_call(struct parser *p)
{
    struct callsite *cs = parse_keep(p, sizeof(*cs));
    const struct signature *want;
    struct operand target;
    struct ins *i;

    mod(p, "uni");
    end_mods(p);
    if (parse_is(p, '(')) {
        cs->actual.rets = actuals(p, true, &cs->actual.nrets);
        parse_expect(p, ',');
    }
    parse_operand(p, &target);
    if (parse_accept(p, ',')) {
        if (parse_is(p, '(')) {
            cs->actual.args = actuals(p, false, &cs->actual.nargs);
            if (parse_accept(p, ','))
                goto proto;
        } else {
        proto:;
            struct token t = p->tok;
            struct sym *y = t.kind == TK_IDENT ? parse_lookup(p, t.s, t.n) : NULL;

            if (!y || y->kind != SYM_PROTO)
                bad_operands(p);
            parse_advance(p);
            cs->proto = y->proto;
        }
    }
    if (target.kind == O_FUNC) {
        uint32_t k;

        if (target.fn->entry)
            parse_fail(p, p->line, "a kernel cannot be called");
        cs->fn = target.fn;
        cs->fn->called = true;
        want = &cs->fn->sig;
        for (k = 0; k < p->ncallees && p->callees[k] != cs->fn->index; k++)
            ;
        if (k == p->ncallees)
            *PUSH(p, callees, ncallees, ccallees) = cs->fn->index;
    } else if (target.kind == O_REG && target.type != T_PRED && reg_size(target.type) == 8 &&
               !target.negated && !target.pair) {
        if (!cs->proto)
            parse_fail(p, p->line, "an indirect call needs a prototype");
        cs->ref = target.ref;
        want = cs->proto;
        p->fn->indirect_calls = true;
    } else {
        parse_fail(p, p->line, "unknown function '%.*s'", shown(target.name.n), target.name.s);
    }
    match_args(p, cs->actual.args, cs->actual.nargs, want->args, want->nargs);
    match_args(p, cs->actual.rets, cs->actual.nrets, want->rets, want->nrets);
    *PUSH(p, calls, ncalls, ccalls) = cs;
    i = decode_emit(p, OP_call);
    i->ext = p->ncalls - 1;
    if (!parse_is(p, ';'))
        bad_operands(p);
    parse_advance(p);
}

/* ---- synchronisation and warp operations ----------------------------------------------------- */

enum {
    BAR_SYNC,
    BAR_ARRIVE,
    BAR_POPC,
    BAR_AND,
    BAR_OR,
};

static void d_bar(struct parser *p)
{
    struct ins i = {0};
    uint32_t k = 0;
    enum sg_type t = T_NONE;

    if (p->op_text[3] == '.' && mod(p, "warp")) {
        if (!mod(p, "sync"))
            unknown(p);
        operands(p, 1);
        i.c = src(p, 0, T_U32);
        add(p, OP_barwarp, &i);
        return;
    }
    mod(p, "cta");
    if (mod(p, "cluster"))
        unknown(p);
    if (mod(p, "sync")) {
        i.sub = BAR_SYNC;
    } else if (mod(p, "arrive")) {
        i.sub = BAR_ARRIVE;
    } else if (mod(p, "red")) {
        i.sub = mod(p, "popc") ? BAR_POPC : mod(p, "and") ? BAR_AND : mod(p, "or") ? BAR_OR : 0;
        if (!i.sub)
            unknown(p);
        t = type_in(p, i.sub == BAR_POPC ? "u32" : "pred");
    } else {
        unknown(p);
    }
    mod(p, "aligned");
    end_mods(p);
    if (i.sub >= BAR_POPC) {
        if (p->nopnd != 3 && p->nopnd != 4)
            bad_operands(p);
        i.d = dst(p, 0, t);
        i.type = (uint8_t)t;
        k = 1;
        i.c = pred_src(p, p->nopnd - 1, 4, &i.flags2);
        p->nopnd--;
    }
    if (p->nopnd - k < 1 || p->nopnd - k > 2 || (i.sub == BAR_ARRIVE && p->nopnd - k != 2))
        bad_operands(p);
    i.a = src(p, k, T_U32);
    i.n = p->nopnd - k == 2;
    if (i.n)
        i.b = src(p, k + 1, T_U32);
    add(p, OP_bar, &i);
}

static void d_barrier(struct parser *p)
{
    if (mod(p, "cluster")) {
        /* a cluster is one CTA here: arrive and wait are satisfied by program order */
        if (!mod(p, "arrive") && !mod(p, "wait"))
            unknown(p);
        mod(p, "aligned");
        mod(p, "release");
        mod(p, "relaxed");
        mod(p, "acquire");
        operands(p, 0);
        decode_emit(p, OP_fence);
        return;
    }
    d_bar(p);
}

static void d_fence(struct parser *p)
{
    static const char *const words[] = {
        "cta", "cluster", "gpu",     "sys",     "gl",
        "sc",  "acq_rel", "acquire", "release", "sync_restrict::shared::cta"};

    for (size_t k = 0; k < sizeof(words) / sizeof(words[0]); k++)
        mod(p, words[k]);
    if (mod(p, "proxy") && !mod(p, "alias") && !mod(p, "async") && !mod_prefix(p, "async."))
        unknown(p);
    mod(p, "global");
    mod(p, "shared::cta");
    operands(p, 0);
    decode_emit(p, OP_fence);
}

static void d_shfl(struct parser *p)
{
    struct ins i = {0};
    struct operand *d = &p->opnd[0];
    bool sync = mod(p, "sync");

    i.sub = mod(p, "up") ? 0 : mod(p, "down") ? 1 : mod(p, "bfly") ? 2 : mod(p, "idx") ? 3 : 4;
    if (i.sub == 4)
        unknown(p);
    type_in(p, "b32 u32 s32 f32");
    operands(p, sync ? 5 : 4);
    i.e = REF_SINK;
    if (d->pair) {
        i.e = d->ref2;
        i.flags = !d->sink2;
        d->pair = false;
    }
    i.d = dst(p, 0, T_B32);
    i.a = src(p, 1, T_B32);
    i.b = src(p, 2, T_B32);
    i.c = src(p, 3, T_B32);
    i.n = sync;
    if (sync) {
        i.ext = begin_ext(p);
        push_ext(p, src(p, 4, T_B32));
    }
    add(p, OP_shfl, &i);
}

static void d_vote(struct parser *p)
{
    struct ins i = {0};
    bool sync = mod(p, "sync");

    i.sub = mod(p, "all") ? 0 : mod(p, "any") ? 1 : mod(p, "uni") ? 2 : mod(p, "ballot") ? 3 : 4;
    if (i.sub == 4)
        unknown(p);
    type_in(p, i.sub == 3 ? "b32" : "pred");
    operands(p, sync ? 3 : 2);
    i.d = dst(p, 0, i.sub == 3 ? T_B32 : T_PRED);
    i.a = pred_src(p, 1, 1, &i.flags2);
    i.n = sync;
    if (sync)
        i.c = src(p, 2, T_B32);
    add(p, OP_vote, &i);
}

static void d_match(struct parser *p)
{
    struct ins i = {0};
    struct operand *d = &p->opnd[0];
    enum sg_type t;

    i.sub = mod(p, "any") ? 0 : mod(p, "all") ? 1 : 2;
    if (i.sub == 2 || !mod(p, "sync"))
        unknown(p);
    t = type_in(p, "b32 b64");
    operands(p, 3);
    if (d->pair) {
        if (i.sub == 0)
            bad_operands(p);
        i.e = d->ref2;
        i.flags = !d->sink2;
        d->pair = false;
    }
    i.d = dst(p, 0, T_B32);
    i.asize = (uint8_t)type_size(t);
    i.a = src(p, 1, t);
    i.c = src(p, 2, T_B32);
    i.n = 1;
    add(p, OP_match, &i);
}

static void d_redux(struct parser *p)
{
    static const char *const names[] = {"add", "min", "max", "and", "or", "xor"};
    struct ins i = {0};
    unsigned k;

    if (!mod(p, "sync"))
        unknown(p);
    for (k = 0; k < 6 && !mod(p, names[k]); k++)
        ;
    if (k == 6)
        unknown(p);
    i.sub = (uint8_t)k;
    i.type = (uint8_t)type_in(p, k < 3 ? "u32 s32" : "b32");
    operands(p, 3);
    i.d = dst(p, 0, T_B32);
    i.a = src(p, 1, T_B32);
    i.c = src(p, 2, T_B32);
    i.n = 1;
    add(p, OP_redux, &i);
}

static void d_elect(struct parser *p)
{
    struct ins i = {0};
    struct operand *d = &p->opnd[0];

    if (!mod(p, "sync"))
        unknown(p);
    operands(p, 2);
    if (!d->pair)
        bad_operands(p);
    i.e = d->ref2;
    i.flags = !d->sink2;
    d->pair = false;
    i.d = dst(p, 0, T_B32);
    i.c = src(p, 1, T_B32);
    i.n = 1;
    add(p, OP_elect, &i);
}

static void d_activemask(struct parser *p)
{
    struct ins i = {0};

    type_in(p, "b32");
    operands(p, 1);
    i.d = dst(p, 0, T_B32);
    add(p, OP_activemask, &i);
}

static void d_nop(struct parser *p)
{
    for (uint32_t k = 0; k < p->nmods; k++)
        p->used[k] = true;
    decode_emit(p, OP_nop);
}

/* Kept sorted by name. */
static const struct {
    const char *name;
    void (*decode)(struct parser *p);
} decoders[] = {
    {"abs", d_absneg},
    {"activemask", d_activemask},
    {"add", d_addsub},
    {"addc", d_addc},
    {"and", d_logic},
    {"applypriority", d_hint},
    {"atom", d_atom},
    {"bar", d_bar},
    {"barrier", d_barrier},
    {"bfe", d_bfe},
    {"bfi", d_bfi},
    {"bfind", d_bfind},
    {"bmsk", d_bmsk},
    {"bra", d_bra},
    {"brev", d_count},
    {"brkpt", d_trap},
    {"brx", d_brx},
    {"clz", d_count},
    {"cnot", d_not},
    {"copysign", d_copysign},
    {"cos", d_cos},
    {"cp", d_cpasync},
    {"cvt", d_cvt},
    {"cvta", d_cvta},
    {"discard", d_hint},
    {"div", d_div},
    {"dp2a", d_dp},
    {"dp4a", d_dp},
    {"elect", d_elect},
    {"ex2", d_ex2},
    {"exit", d_exit},
    {"fence", d_fence},
    {"fma", d_fma},
    {"fns", d_fns},
    {"griddepcontrol", d_nop},
    {"isspacep", d_isspacep},
    {"ld", d_ld},
    {"ldu", d_ld},
    {"lg2", d_lg2},
    {"lop3", d_lop3},
    {"mad", d_mul},
    {"mad24", d_mul24},
    {"madc", d_madc},
    {"match", d_match},
    {"max", d_minmax},
    {"membar", d_fence},
    {"min", d_minmax},
    {"mov", d_mov},
    {"mul", d_mul},
    {"mul24", d_mul24},
    {"nanosleep", d_nanosleep},
    {"neg", d_absneg},
    {"not", d_not},
    {"or", d_logic},
    {"popc", d_count},
    {"prefetch", d_hint},
    {"prefetchu", d_hint},
    {"prmt", d_prmt},
    {"rcp", d_rcp},
    {"red", d_atom},
    {"redux", d_redux},
    {"rem", d_rem},
    {"ret", d_ret},
    {"rsqrt", d_rsqrt},
    {"sad", d_sad},
    {"selp", d_selp},
    {"set", d_set},
    {"setp", d_setp},
    {"shf", d_shf},
    {"shfl", d_shfl},
    {"shl", d_shift},
    {"shr", d_shift},
    {"sin", d_sin},
    {"slct", d_slct},
    {"sqrt", d_sqrt},
    {"st", d_st},
    {"sub", d_addsub},
    {"subc", d_addc},
    {"szext", d_szext},
    {"tanh", d_tanh},
    {"testp", d_testp},
    {"trap", d_trap},
    {"vote", d_vote},
    {"xor", d_logic},
};

void decode_instruction(struct parser *p)
{
    size_t n = p->nmods ? (size_t)(p->mods[0].s - 1 - p->op_text) : p->op_len, lo = 0;
    size_t hi = sizeof(decoders) / sizeof(decoders[0]);

    while (n && (p->op_text[n - 1] == ' ' || p->op_text[n - 1] == '\t'))
        n--;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2, len = strlen(decoders[mid].name);
        int c = memcmp(p->op_text, decoders[mid].name, n < len ? n : len);

        if (c == 0)
            c = n < len ? -1 : n > len;
        if (c == 0) {
            decoders[mid].decode(p);
            return;
        }
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    unknown(p);
}
