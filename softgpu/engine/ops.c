/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops.c - handlers that compute on registers and memory
 *
 * Each handler works on all 32 lanes with a loop that the compiler vectorises, then keeps the
 * results of the lanes in m only. Lanes that exited may hold anything, so they count as enabled: a
 * partial last warp runs as fast as a full one. The file is built twice; SG_OPS_TABLE names the
 * table it defines.
 */
#include <fenv.h>
#include <math.h>
#include <string.h>

#include "half.h"
#include "internal.h"

#define OP(name) static void op_##name(struct warp *w, const struct ins *i, uint32_t m)
#define REF(T, r) ((T *)(void *)(w->base[(r)&3] + ((r) & ~3u)))
#define IS_FULL ((m | w->dead) == FULL_MASK)
#define EACH for (int l = 0; l < LANES; l++)
/* Slots never overlap in part, so lanes are independent. */
#ifdef __clang__
#define VECTOR EACH
#else
#define VECTOR _Pragma("GCC ivdep") EACH
#endif
#define EACH_IN(m)                                                                                 \
    for (uint32_t left_ = (m), l = 0; left_ && (l = (uint32_t)__builtin_ctz(left_), 1);            \
         left_ &= left_ - 1)

static const uint32_t lane_bit[LANES] = {
    1u << 0,  1u << 1,  1u << 2,  1u << 3,  1u << 4,  1u << 5,  1u << 6,  1u << 7,
    1u << 8,  1u << 9,  1u << 10, 1u << 11, 1u << 12, 1u << 13, 1u << 14, 1u << 15,
    1u << 16, 1u << 17, 1u << 18, 1u << 19, 1u << 20, 1u << 21, 1u << 22, 1u << 23,
    1u << 24, 1u << 25, 1u << 26, 1u << 27, 1u << 28, 1u << 29, 1u << 30, 1u << 31,
};

#define BLEND(T)                                                                                   \
    static inline void blend_##T(T *d, const T *s, uint32_t m)                                     \
    {                                                                                              \
        VECTOR d[l] = m & lane_bit[l] ? s[l] : d[l];                                               \
    }
BLEND(uint16_t)
BLEND(int16_t)
BLEND(uint32_t)
BLEND(int32_t)
BLEND(uint64_t)
BLEND(int64_t)
BLEND(float)
BLEND(double)

#define COMPUTE(TD, expr)                                                                          \
    TD tmp[LANES], *d = REF(TD, i->d), *o = IS_FULL ? d : tmp;                                     \
    VECTOR o[l] = (TD)(expr);                                                                      \
    if (o == tmp)                                                                                  \
        blend_##TD(d, tmp, m);

#define UNARY(name, T, expr)                                                                       \
    OP(name)                                                                                       \
    {                                                                                              \
        const T *ap = REF(T, i->a);                                                                \
        COMPUTE(T, ({                                                                              \
                    T a = ap[l];                                                                   \
                    expr;                                                                          \
                }))                                                                                \
    }
#define BINARY2(name, TD, T, TB, expr)                                                             \
    OP(name)                                                                                       \
    {                                                                                              \
        const T *ap = REF(T, i->a);                                                                \
        const TB *bp = REF(TB, i->b);                                                              \
        COMPUTE(TD, ({                                                                             \
                    T a = ap[l];                                                                   \
                    TB b = bp[l];                                                                  \
                    expr;                                                                          \
                }))                                                                                \
    }
#define BINARY(name, T, expr) BINARY2(name, T, T, T, expr)
#define TERNARY2(name, TD, T, TC, expr)                                                            \
    OP(name)                                                                                       \
    {                                                                                              \
        const T *ap = REF(T, i->a);                                                                \
        const T *bp = REF(T, i->b);                                                                \
        const TC *cp = REF(TC, i->c);                                                              \
        COMPUTE(TD, ({                                                                             \
                    T a = ap[l];                                                                   \
                    T b = bp[l];                                                                   \
                    TC c = cp[l];                                                                  \
                    expr;                                                                          \
                }))                                                                                \
    }
#define TERNARY(name, T, expr) TERNARY2(name, T, T, T, expr)

#define N3(M, name, expr)                                                                          \
    M(name##_16, uint16_t, expr)                                                                   \
    M(name##_32, uint32_t, expr)                                                                   \
    M(name##_64, uint64_t, expr)
#define S6(M, name, expr)                                                                          \
    M(name##_u16, uint16_t, expr)                                                                  \
    M(name##_s16, int16_t, expr)                                                                   \
    M(name##_u32, uint32_t, expr)                                                                  \
    M(name##_s32, int32_t, expr)                                                                   \
    M(name##_u64, uint64_t, expr)                                                                  \
    M(name##_s64, int64_t, expr)

/* ---- integer arithmetic ---------------------------------------------------------------------- */

N3(UNARY, mov, a)
N3(BINARY, add, a + b)
N3(BINARY, sub, a - b)
BINARY(mul_16, uint16_t, (uint32_t)a *b)
BINARY(mul_32, uint32_t, a *b)
BINARY(mul_64, uint64_t, a *b)
TERNARY(mad_16, uint16_t, (uint32_t)a *b + c)
TERNARY(mad_32, uint32_t, a *b + c)
TERNARY(mad_64, uint64_t, a *b + c)
N3(UNARY, neg, 0 - a)
N3(BINARY, and, a &b)
N3(BINARY, or, a | b)
N3(BINARY, xor, a ^ b)
N3(UNARY, not, ~a)
N3(UNARY, cnot, a == 0)
UNARY(abs_16, uint16_t, (uint16_t)(a >> 15 ? 0 - a : a))
UNARY(abs_32, uint32_t, a >> 31 ? 0 - a : a)
UNARY(abs_64, uint64_t, a >> 63 ? 0 - a : a)

BINARY2(shl_16, uint16_t, uint16_t, uint32_t, b > 15 ? 0 : (uint32_t)a << (b & 15))
BINARY2(shl_32, uint32_t, uint32_t, uint32_t, b > 31 ? 0 : a << (b & 31))
BINARY2(shl_64, uint64_t, uint64_t, uint32_t, b > 63 ? 0 : a << (b & 63))
BINARY2(shr_u16, uint16_t, uint16_t, uint32_t, b > 15 ? 0 : a >> (b & 15))
BINARY2(shr_u32, uint32_t, uint32_t, uint32_t, b > 31 ? 0 : a >> (b & 31))
BINARY2(shr_u64, uint64_t, uint64_t, uint32_t, b > 63 ? 0 : a >> (b & 63))
BINARY2(shr_s16, int16_t, int16_t, uint32_t, a >> (b > 15 ? 15 : b))
BINARY2(shr_s32, int32_t, int32_t, uint32_t, a >> (b > 31 ? 31 : b))
BINARY2(shr_s64, int64_t, int64_t, uint32_t, a >> (b > 63 ? 63 : b))

#define HI16(a, b) ((uint32_t)((uint32_t)(a) * (uint32_t)(b)) >> 16)
#define HIU32(a, b) ((uint64_t)(a) * (b) >> 32)
#define HIS32(a, b) ((uint64_t)((int64_t)(a) * (b)) >> 32)
#define HIU64(a, b) ((unsigned __int128)(a) * (b) >> 64)
#define HIS64(a, b) ((unsigned __int128)((__int128)(a) * (b)) >> 64)
BINARY(mulhi_u16, uint16_t, HI16(a, b))
BINARY(mulhi_s16, int16_t, ((int32_t)a * b) >> 16)
BINARY(mulhi_u32, uint32_t, HIU32(a, b))
BINARY(mulhi_s32, int32_t, HIS32(a, b))
BINARY(mulhi_u64, uint64_t, HIU64(a, b))
BINARY(mulhi_s64, int64_t, HIS64(a, b))
TERNARY(madhi_u16, uint16_t, HI16(a, b) + c)
TERNARY(madhi_s16, int16_t, (((int32_t)a * b) >> 16) + c)
TERNARY(madhi_u32, uint32_t, HIU32(a, b) + c)
TERNARY(madhi_s32, int32_t, HIS32(a, b) + (uint64_t)c)
TERNARY(madhi_u64, uint64_t, (uint64_t)HIU64(a, b) + c)
TERNARY(madhi_s64, int64_t, (uint64_t)HIS64(a, b) + (uint64_t)c)
BINARY2(mulwide_u16, uint32_t, uint16_t, uint16_t, (uint32_t)a *b)
BINARY2(mulwide_s16, int32_t, int16_t, int16_t, (int32_t)a *b)
BINARY2(mulwide_u32, uint64_t, uint32_t, uint32_t, (uint64_t)a *b)
BINARY2(mulwide_s32, int64_t, int32_t, int32_t, (int64_t)a *b)
TERNARY2(madwide_u16, uint32_t, uint16_t, uint32_t, (uint32_t)a *b + c)
TERNARY2(madwide_s16, uint32_t, int16_t, uint32_t, (uint32_t)((int32_t)a *b) + c)
TERNARY2(madwide_u32, uint64_t, uint32_t, uint64_t, (uint64_t)a *b + c)
TERNARY2(madwide_s32, uint64_t, int32_t, uint64_t, (uint64_t)((int64_t)a *b) + c)

/* Division by zero yields all ones, as the GPU's own sequence does; the remainder is then a. */
#define UDIV(a, b, T) ((b) == 0 ? (T) ~(T)0 : (a) / (b))
#define UREM(a, b) ((b) == 0 ? (a) : (a) % (b))
#define SDIV(a, b, U) ((b) == 0 ? (U) ~(U)0 : (b) == -1 ? (U)((U)0 - (U)(a)) : (U)((a) / (b)))
#define SREM(a, b) ((b) == 0 ? (a) : (b) == -1 ? 0 : (a) % (b))
BINARY(div_u16, uint16_t, UDIV(a, b, uint16_t))
BINARY(div_s16, int16_t, SDIV(a, b, uint16_t))
BINARY(div_u32, uint32_t, UDIV(a, b, uint32_t))
BINARY(div_s32, int32_t, SDIV(a, b, uint32_t))
BINARY(div_u64, uint64_t, UDIV(a, b, uint64_t))
BINARY(div_s64, int64_t, SDIV(a, b, uint64_t))
BINARY(rem_u16, uint16_t, UREM(a, b))
BINARY(rem_s16, int16_t, SREM(a, b))
BINARY(rem_u32, uint32_t, UREM(a, b))
BINARY(rem_s32, int32_t, SREM(a, b))
BINARY(rem_u64, uint64_t, UREM(a, b))
BINARY(rem_s64, int64_t, SREM(a, b))
S6(BINARY, min, a < b ? a : b)
S6(BINARY, max, a > b ? a : b)
TERNARY(sad_u16, uint16_t, (a < b ? b - a : a - b) + c)
TERNARY(sad_s16, int16_t, (a < b ? b - a : a - b) + c)
TERNARY(sad_u32, uint32_t, (a < b ? b - a : a - b) + c)
TERNARY(sad_s32, int32_t,
        (a < b ? (uint32_t)b - (uint32_t)a : (uint32_t)a - (uint32_t)b) + (uint32_t)c)
TERNARY(sad_u64, uint64_t, (a < b ? b - a : a - b) + c)
TERNARY(sad_s64, int64_t,
        (a < b ? (uint64_t)b - (uint64_t)a : (uint64_t)a - (uint64_t)b) + (uint64_t)c)

static inline int32_t clamp_s32(int64_t v)
{
    return v > INT32_MAX ? INT32_MAX : v < INT32_MIN ? INT32_MIN : (int32_t)v;
}
BINARY(addsat_s32, int32_t, clamp_s32((int64_t)a + b))
BINARY(subsat_s32, int32_t, clamp_s32((int64_t)a - b))
TERNARY(madhisat_s32, int32_t, clamp_s32(((int64_t)a * b >> 32) + c))

/* sub: bit 0 signed, bit 1 high part, bit 2 add c, bit 3 saturate */
OP(mul24)
{
    const uint32_t *ap = REF(uint32_t, i->a), *bp = REF(uint32_t, i->b), *cp = REF(uint32_t, i->c);
    unsigned sub = i->sub;

    COMPUTE(uint32_t, ({
                int64_t a = sub & 1 ? (int32_t)(ap[l] << 8) >> 8 : (int32_t)(ap[l] & 0xffffff);
                int64_t b = sub & 1 ? (int32_t)(bp[l] << 8) >> 8 : (int32_t)(bp[l] & 0xffffff);
                int64_t p = a * b;
                uint32_t r = sub & 2 ? (uint32_t)(p >> 16) : (uint32_t)p;

                if (sub & 8)
                    r = (uint32_t)clamp_s32((int64_t)(int32_t)r + (int32_t)cp[l]);
                else if (sub & 4)
                    r += cp[l];
                r;
            }))
}

/* Two 16-bit integers in 32 bits; sub: bit 0 signed, bit 1 max, bit 2 add */
OP(minmax16x2)
{
    const uint32_t *ap = REF(uint32_t, i->a), *bp = REF(uint32_t, i->b);
    unsigned sub = i->sub;

    COMPUTE(uint32_t, ({
                uint32_t r = 0;

                for (int s = 0; s < 32; s += 16) {
                    uint32_t ua = ap[l] >> s & 0xffff, ub = bp[l] >> s & 0xffff;
                    bool less = sub & 1 ? (int16_t)ua < (int16_t)ub : ua < ub;

                    r |= (sub & 4 ? (ua + ub) & 0xffff : less == !(sub & 2) ? ua : ub) << s;
                }
                r;
            }))
}

/* sub: bit 0 sets the carry, bit 1 uses it. The carry of a subtraction is its borrow. */
OP(addc)
{
    bool set = i->sub & 1, use = i->sub & 2;
    uint32_t cc = 0;

    EACH_IN(m)
    {
        uint64_t cin = use && w->cc >> l & 1, r;
        bool cout;

        if (i->dsize == 4) {
            r = (uint64_t)REF(uint32_t, i->a)[l] + REF(uint32_t, i->b)[l] + cin;
            REF(uint32_t, i->d)[l] = (uint32_t)r;
            cout = r >> 32;
        } else {
            uint64_t s;

            cout = __builtin_add_overflow(REF(uint64_t, i->a)[l], REF(uint64_t, i->b)[l], &s);
            cout |= __builtin_add_overflow(s, cin, &r);
            REF(uint64_t, i->d)[l] = r;
        }
        cc |= (uint32_t)cout << l;
    }
    if (set)
        w->cc = (w->cc & ~m) | cc;
}

OP(subc)
{
    bool set = i->sub & 1, use = i->sub & 2;
    uint32_t cc = 0;

    EACH_IN(m)
    {
        uint64_t cin = use && w->cc >> l & 1, r, s;
        bool cout;

        if (i->dsize == 4) {
            r = (uint64_t)REF(uint32_t, i->a)[l] - REF(uint32_t, i->b)[l] - cin;
            REF(uint32_t, i->d)[l] = (uint32_t)r;
            cout = r >> 63;
        } else {
            cout = __builtin_sub_overflow(REF(uint64_t, i->a)[l], REF(uint64_t, i->b)[l], &s);
            cout |= __builtin_sub_overflow(s, cin, &r);
            REF(uint64_t, i->d)[l] = r;
        }
        cc |= (uint32_t)cout << l;
    }
    if (set)
        w->cc = (w->cc & ~m) | cc;
}

/* sub: bit 0 sets the carry, bit 1 uses it, bit 2 high part, bit 3 signed */
OP(madc)
{
    bool set = i->sub & 1, use = i->sub & 2, high = i->sub & 4, sgn = i->sub & 8;
    uint32_t cc = 0;

    EACH_IN(m)
    {
        uint64_t cin = use && w->cc >> l & 1;
        bool cout;

        if (i->dsize == 4) {
            uint32_t a = REF(uint32_t, i->a)[l], b = REF(uint32_t, i->b)[l];
            uint64_t p = sgn ? (uint64_t)((int64_t)(int32_t)a * (int32_t)b) : (uint64_t)a * b;
            uint64_t r = (high ? p >> 32 : (uint32_t)p) + REF(uint32_t, i->c)[l] + cin;

            REF(uint32_t, i->d)[l] = (uint32_t)r;
            cout = r >> 32;
        } else {
            uint64_t a = REF(uint64_t, i->a)[l], b = REF(uint64_t, i->b)[l], s, r;
            unsigned __int128 p = sgn ? (unsigned __int128)((__int128)(int64_t)a * (int64_t)b)
                                      : (unsigned __int128)a * b;

            cout = __builtin_add_overflow(high ? (uint64_t)(p >> 64) : (uint64_t)p,
                                          REF(uint64_t, i->c)[l], &s);
            cout |= __builtin_add_overflow(s, cin, &r);
            REF(uint64_t, i->d)[l] = r;
        }
        cc |= (uint32_t)cout << l;
    }
    if (set)
        w->cc = (w->cc & ~m) | cc;
}

/* ---- bits ------------------------------------------------------------------------------------ */

#define TO32(name, T, expr)                                                                        \
    OP(name)                                                                                       \
    {                                                                                              \
        const T *ap = REF(T, i->a);                                                                \
        COMPUTE(uint32_t, ({                                                                       \
                    T a = ap[l];                                                                   \
                    expr;                                                                          \
                }))                                                                                \
    }
TO32(popc_32, uint32_t, __builtin_popcount(a))
TO32(popc_64, uint64_t, __builtin_popcountll(a))
TO32(clz_32, uint32_t, a ? __builtin_clz(a) : 32)
TO32(clz_64, uint64_t, a ? __builtin_clzll(a) : 64)

static inline uint32_t reverse32(uint32_t v)
{
    v = (v >> 1 & 0x55555555) | (v & 0x55555555) << 1;
    v = (v >> 2 & 0x33333333) | (v & 0x33333333) << 2;
    v = (v >> 4 & 0x0f0f0f0f) | (v & 0x0f0f0f0f) << 4;
    return __builtin_bswap32(v);
}
UNARY(brev_32, uint32_t, reverse32(a))
UNARY(brev_64, uint64_t, (uint64_t)reverse32((uint32_t)a) << 32 | reverse32((uint32_t)(a >> 32)))

/* sub: 1 yields the shift amount that moves the bit to the top */
OP(bfind)
{
    const uint32_t *a32 = REF(uint32_t, i->a);
    const uint64_t *a64 = REF(uint64_t, i->a);
    int type = i->type, shift = i->sub;

    COMPUTE(uint32_t, ({
                int wide = type == T_U64 || type == T_S64;
                uint64_t v = wide ? a64[l] : a32[l];
                int r;

                if (type == T_S32 && (int32_t)v < 0)
                    v = (uint32_t)~v;
                if (type == T_S64 && (int64_t)v < 0)
                    v = ~v;
                r = v ? 63 - __builtin_clzll(v) : -1;
                if (shift && r >= 0)
                    r = (wide ? 63 : 31) - r;
                r;
            }))
}

static inline uint64_t extract(uint64_t a, uint32_t pos, uint32_t len, uint32_t width, bool sgn)
{
    uint32_t n, top;
    uint64_t v, mask;

    pos &= 0xff;
    len &= 0xff;
    if (len == 0)
        return 0;
    top = pos + len - 1;
    n = pos >= width ? 0 : len < width - pos ? len : width - pos;
    mask = n >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << n) - 1;
    v = n ? a >> pos & mask : 0;
    if (sgn && a >> (top < width - 1 ? top : width - 1) & 1)
        v |= ~mask;
    return v;
}

static inline uint64_t insert(uint64_t a, uint64_t b, uint32_t pos, uint32_t len, uint32_t width)
{
    uint64_t mask;

    pos &= 0xff;
    len &= 0xff;
    if (pos >= width || len == 0)
        return b;
    if (len > width - pos)
        len = width - pos;
    mask = (len >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << len) - 1) << pos;
    return (b & ~mask) | (a << pos & mask);
}

#define BFE(name, T, width, sgn)                                                                   \
    OP(name)                                                                                       \
    {                                                                                              \
        const T *ap = REF(T, i->a);                                                                \
        const uint32_t *bp = REF(uint32_t, i->b), *cp = REF(uint32_t, i->c);                       \
        COMPUTE(T, extract(ap[l], bp[l], cp[l], width, sgn))                                       \
    }
BFE(bfe_u32, uint32_t, 32, false)
BFE(bfe_s32, uint32_t, 32, true)
BFE(bfe_u64, uint64_t, 64, false)
BFE(bfe_s64, uint64_t, 64, true)

#define BFI(name, T, width)                                                                        \
    OP(name)                                                                                       \
    {                                                                                              \
        const T *ap = REF(T, i->a), *bp = REF(T, i->b);                                            \
        const uint32_t *cp = REF(uint32_t, i->c), *ep = REF(uint32_t, i->e);                       \
        COMPUTE(T, insert(ap[l], bp[l], cp[l], ep[l], width))                                      \
    }
BFI(bfi_32, uint32_t, 32)
BFI(bfi_64, uint64_t, 64)

static inline uint32_t permute(uint32_t a, uint32_t b, uint32_t c, unsigned mode)
{
    uint64_t bytes = (uint64_t)b << 32 | a;
    uint32_t r = 0;

    for (unsigned k = 0; k < 4; k++) {
        unsigned s = c & 3, nibble;
        uint32_t byte;

        switch (mode) {
        case 1: /* f4e */
            nibble = s + k;
            break;
        case 2: /* b4e */
            nibble = (s - k) & 7;
            break;
        case 3: /* rc8 */
            nibble = s;
            break;
        case 4: /* ecl */
            nibble = k > s ? k : s;
            break;
        case 5: /* ecr */
            nibble = k < s ? k : s;
            break;
        case 6: /* rc16 */
            nibble = (s & 1) * 2 + (k & 1);
            break;
        default:
            nibble = c >> (4 * k) & 15;
        }
        byte = bytes >> (8 * (nibble & 7)) & 0xff;
        if (nibble & 8)
            byte = byte & 0x80 ? 0xff : 0;
        r |= byte << (8 * k);
    }
    return r;
}

OP(prmt)
{
    const uint32_t *ap = REF(uint32_t, i->a), *bp = REF(uint32_t, i->b), *cp = REF(uint32_t, i->c);

    COMPUTE(uint32_t, permute(ap[l], bp[l], cp[l], i->sub))
}

OP(lop3)
{
    const uint32_t *ap = REF(uint32_t, i->a), *bp = REF(uint32_t, i->b), *cp = REF(uint32_t, i->c);
    uint32_t t[8];

    for (int k = 0; k < 8; k++)
        t[k] = i->imm >> k & 1 ? FULL_MASK : 0;
    COMPUTE(uint32_t, ({
                uint32_t a = ap[l], b = bp[l], c = cp[l];
                uint32_t lo = (~b & ((~c & t[0]) | (c & t[1]))) | (b & ((~c & t[2]) | (c & t[3])));
                uint32_t hi = (~b & ((~c & t[4]) | (c & t[5]))) | (b & ((~c & t[6]) | (c & t[7])));
                (~a & lo) | (a & hi);
            }))
}

/* sub: bit 0 right, bit 1 clamp */
OP(shf)
{
    const uint32_t *ap = REF(uint32_t, i->a), *bp = REF(uint32_t, i->b), *cp = REF(uint32_t, i->c);
    unsigned sub = i->sub;

    COMPUTE(uint32_t, ({
                uint64_t v = (uint64_t)bp[l] << 32 | ap[l];
                uint32_t n = sub & 2 ? (cp[l] > 32 ? 32 : cp[l]) : cp[l] & 31;
                sub & 1 ? v >> n : v << n >> 32;
            }))
}

/* sub: bit 0 signed, bit 1 clamp */
OP(szext)
{
    const uint32_t *ap = REF(uint32_t, i->a), *bp = REF(uint32_t, i->b);
    unsigned sub = i->sub;

    COMPUTE(uint32_t, ({
                uint32_t n = sub & 2 ? bp[l] : bp[l] & 31;
                uint32_t r;

                if (n >= 32)
                    r = ap[l];
                else if (n == 0)
                    r = 0;
                else
                    r = sub & 1 ? (uint32_t)((int32_t)(ap[l] << (32 - n)) >> (32 - n))
                                : ap[l] << (32 - n) >> (32 - n);
                r;
            }))
}

/* sub: bit 1 clamp */
OP(bmsk)
{
    const uint32_t *ap = REF(uint32_t, i->a), *bp = REF(uint32_t, i->b);
    unsigned sub = i->sub;

    COMPUTE(uint32_t, ({
                uint32_t pos = sub & 2 ? ap[l] : ap[l] & 31, n = sub & 2 ? bp[l] : bp[l] & 31;
                uint64_t mask = n >= 32 ? FULL_MASK : (UINT64_C(1) << n) - 1;
                pos >= 32 ? 0 : mask << pos;
            }))
}

/* The position of the c-th set bit of a, counted from bit b upwards (c > 0) or downwards (c < 0).
 */
OP(fns)
{
    const uint32_t *ap = REF(uint32_t, i->a), *bp = REF(uint32_t, i->b);
    const int32_t *cp = REF(int32_t, i->c);

    EACH_IN(m)
    {
        uint32_t a = ap[l], r = FULL_MASK;
        int32_t c = cp[l];
        int64_t pos = bp[l];

        if (pos < 32) {
            if (c == 0) {
                if (a >> pos & 1)
                    r = (uint32_t)pos;
            } else {
                int step = c > 0 ? 1 : -1;
                int64_t want = c > 0 ? c : -(int64_t)c;

                for (; pos >= 0 && pos < 32; pos += step) {
                    if ((a >> pos & 1) && --want == 0) {
                        r = (uint32_t)pos;
                        break;
                    }
                }
            }
        }
        REF(uint32_t, i->d)[l] = r;
    }
}

/* sub: bit 0 a signed, bit 1 b signed, bit 2 (dp2a) high half of b */
OP(dp4a)
{
    const uint32_t *ap = REF(uint32_t, i->a), *bp = REF(uint32_t, i->b), *cp = REF(uint32_t, i->c);
    unsigned sub = i->sub;

    COMPUTE(uint32_t, ({
                uint32_t r = cp[l];

                for (int s = 0; s < 32; s += 8) {
                    int32_t a = sub & 1 ? (int8_t)(ap[l] >> s) : (uint8_t)(ap[l] >> s);
                    int32_t b = sub & 2 ? (int8_t)(bp[l] >> s) : (uint8_t)(bp[l] >> s);

                    r += (uint32_t)(a * b);
                }
                r;
            }))
}

OP(dp2a)
{
    const uint32_t *ap = REF(uint32_t, i->a), *bp = REF(uint32_t, i->b), *cp = REF(uint32_t, i->c);
    unsigned sub = i->sub;

    COMPUTE(uint32_t, ({
                uint32_t r = cp[l], bv = sub & 4 ? bp[l] >> 16 : bp[l];

                for (int k = 0; k < 2; k++) {
                    int32_t a =
                        sub & 1 ? (int16_t)(ap[l] >> (16 * k)) : (uint16_t)(ap[l] >> (16 * k));
                    int32_t b = sub & 2 ? (int8_t)(bv >> (8 * k)) : (uint8_t)(bv >> (8 * k));

                    r += (uint32_t)a * (uint32_t)b;
                }
                r;
            }))
}

/* ---- predicates and selection ---------------------------------------------------------------- */

static inline uint32_t pred_in(struct warp *w, uint32_t ref, bool negate)
{
    uint32_t v = *REF(uint32_t, ref);

    return negate ? ~v : v;
}

static inline void pred_out(struct warp *w, uint32_t ref, uint32_t v, uint32_t m)
{
    uint32_t *d = REF(uint32_t, ref);

    *d = (*d & ~m) | (v & m);
}

/* flags2: bit 0 negates a, bit 1 b, bit 2 c */
OP(pand)
{
    pred_out(w, i->d, pred_in(w, i->a, i->flags2 & 1) & pred_in(w, i->b, i->flags2 & 2), m);
}

OP(por)
{
    pred_out(w, i->d, pred_in(w, i->a, i->flags2 & 1) | pred_in(w, i->b, i->flags2 & 2), m);
}

OP(pxor)
{
    pred_out(w, i->d, pred_in(w, i->a, i->flags2 & 1) ^ pred_in(w, i->b, i->flags2 & 2), m);
}

OP(pnot)
{
    pred_out(w, i->d, ~pred_in(w, i->a, i->flags2 & 1), m);
}

OP(pmov)
{
    pred_out(w, i->d, pred_in(w, i->a, i->flags2 & 1), m);
}

#define SELP(name, T)                                                                              \
    OP(name)                                                                                       \
    {                                                                                              \
        const T *ap = REF(T, i->a), *bp = REF(T, i->b);                                            \
        uint32_t p = pred_in(w, i->c, i->flags2 & 4);                                              \
        COMPUTE(T, p &lane_bit[l] ? ap[l] : bp[l])                                                 \
    }
SELP(selp_16, uint16_t)
SELP(selp_32, uint32_t)
SELP(selp_64, uint64_t)

/* type2 holds how c is combined; d gets the result, e its complement combined the same way. */
static void finish_setp(struct warp *w, const struct ins *i, uint32_t m, uint32_t r)
{
    uint32_t n = ~r;

    if (i->type2 != BOOL_NONE) {
        uint32_t c = pred_in(w, i->c, i->flags2 & 4);

        switch (i->type2) {
        case BOOL_AND:
            r &= c;
            n &= c;
            break;
        case BOOL_OR:
            r |= c;
            n |= c;
            break;
        default:
            r ^= c;
            n ^= c;
        }
    }
    pred_out(w, i->d, r, m);
    if (i->e != REF_SINK)
        pred_out(w, i->e, n, m);
}

static inline uint32_t outcome(unsigned sub, uint32_t lt, uint32_t eq, uint32_t gt)
{
    return (sub & CMP_LT ? lt : 0) | (sub & CMP_EQ ? eq : 0) | (sub & CMP_GT ? gt : 0) |
           (sub & CMP_UN ? ~(lt | eq | gt) : 0);
}

#define SETP(name, T)                                                                              \
    OP(name)                                                                                       \
    {                                                                                              \
        const T *ap = REF(T, i->a), *bp = REF(T, i->b);                                            \
        uint32_t lt = 0, eq = 0;                                                                   \
        VECTOR                                                                                     \
        {                                                                                          \
            lt |= ap[l] < bp[l] ? lane_bit[l] : 0;                                                 \
            eq |= ap[l] == bp[l] ? lane_bit[l] : 0;                                                \
        }                                                                                          \
        finish_setp(w, i, m, outcome(i->sub, lt, eq, ~(lt | eq)));                                 \
    }
SETP(setp_u16, uint16_t)
SETP(setp_s16, int16_t)
SETP(setp_u32, uint32_t)
SETP(setp_s32, int32_t)
SETP(setp_u64, uint64_t)
SETP(setp_s64, int64_t)

static inline float flush(float v)
{
    uint32_t u = f32_bits(v);

    return bits_f32((u & 0x7f800000) == 0 ? u & 0x80000000 : u);
}

OP(setp_f32)
{
    const float *ap = REF(float, i->a), *bp = REF(float, i->b);
    uint32_t lt = 0, eq = 0, gt = 0;
    bool ftz = i->flags & F_FTZ;

    VECTOR
    {
        float a = ftz ? flush(ap[l]) : ap[l], b = ftz ? flush(bp[l]) : bp[l];

        lt |= a < b ? lane_bit[l] : 0;
        eq |= a == b ? lane_bit[l] : 0;
        gt |= a > b ? lane_bit[l] : 0;
    }
    finish_setp(w, i, m, outcome(i->sub, lt, eq, gt));
}

OP(setp_f64)
{
    const double *ap = REF(double, i->a), *bp = REF(double, i->b);
    uint32_t lt = 0, eq = 0, gt = 0;

    VECTOR
    {
        lt |= ap[l] < bp[l] ? lane_bit[l] : 0;
        eq |= ap[l] == bp[l] ? lane_bit[l] : 0;
        gt |= ap[l] > bp[l] ? lane_bit[l] : 0;
    }
    finish_setp(w, i, m, outcome(i->sub, lt, eq, gt));
}

static inline double load_half(uint16_t v, bool bf, bool ftz)
{
    if (ftz && (v & (bf ? 0x7f80 : 0x7c00)) == 0)
        v &= 0x8000;
    return bf ? bf16_to_f64(v) : half_to_f64(v);
}

static void half_compare(const void *pa, const void *pb, int shift, bool packed, bool bf, bool ftz,
                         uint32_t *lt, uint32_t *eq, uint32_t *gt)
{
    *lt = *eq = *gt = 0;
    EACH
    {
        uint32_t ua = packed ? ((const uint32_t *)pa)[l] >> shift : ((const uint16_t *)pa)[l];
        uint32_t ub = packed ? ((const uint32_t *)pb)[l] >> shift : ((const uint16_t *)pb)[l];
        double a = load_half((uint16_t)ua, bf, ftz), b = load_half((uint16_t)ub, bf, ftz);

        *lt |= (uint32_t)(a < b) << l;
        *eq |= (uint32_t)(a == b) << l;
        *gt |= (uint32_t)(a > b) << l;
    }
}

OP(setp_half)
{
    uint32_t lt, eq, gt;

    half_compare(REF(void, i->a), REF(void, i->b), 0, false, i->type == T_BF16, i->flags & F_FTZ,
                 &lt, &eq, &gt);
    finish_setp(w, i, m, outcome(i->sub, lt, eq, gt));
}

/* d gets the result of the low halves, e that of the high halves. */
OP(setp_half2)
{
    uint32_t r[2];

    for (int k = 0; k < 2; k++) {
        uint32_t lt, eq, gt;

        half_compare(REF(void, i->a), REF(void, i->b), 16 * k, true, i->type == T_BF16X2,
                     i->flags & F_FTZ, &lt, &eq, &gt);
        r[k] = outcome(i->sub, lt, eq, gt);
        if (i->type2 != BOOL_NONE) {
            uint32_t c = pred_in(w, i->c, i->flags2 & 4);

            r[k] = i->type2 == BOOL_AND ? r[k] & c : i->type2 == BOOL_OR ? r[k] | c : r[k] ^ c;
        }
    }
    pred_out(w, i->d, r[0], m);
    pred_out(w, i->e, r[1], m);
}

/* ---- floating point -------------------------------------------------------------------------- */

#define CANON(e)                                                                                   \
    ({                                                                                             \
        float r_ = (e);                                                                            \
        r_ != r_ ? bits_f32(0x7fffffff) : r_;                                                      \
    })
BINARY(add_f32, float, CANON(a + b))
BINARY(sub_f32, float, CANON(a - b))
BINARY(mul_f32, float, CANON(a *b))
TERNARY(fma_f32, float, CANON(__builtin_fmaf(a, b, c)))
BINARY(add_f64, double, a + b)
BINARY(sub_f64, double, a - b)
BINARY(mul_f64, double, a *b)
TERNARY(fma_f64, double, __builtin_fma(a, b, c))

static int host_round(int mode)
{
    switch (mode) {
    case R_RZ:
        return FE_TOWARDZERO;
    case R_RM:
        return FE_DOWNWARD;
    case R_RP:
        return FE_UPWARD;
    default:
        return FE_TONEAREST;
    }
}

/* The barriers keep the compiler from moving arithmetic across the change of mode. */
static void enter_round(int mode)
{
    if (mode > R_RN)
        fesetround(host_round(mode));
    __asm__ volatile("" ::: "memory");
}

static void leave_round(int mode)
{
    __asm__ volatile("" ::: "memory");
    if (mode > R_RN)
        fesetround(FE_TONEAREST);
}

/* Of two zeros the negative one is the lesser. */
static inline float fmin_f32(float a, float b, bool nan)
{
    if (a != a || b != b)
        return nan || (a != a && b != b) ? NAN : a != a ? b : a;
    if (a == b)
        return signbit(a) ? a : b;
    return a < b ? a : b;
}

static inline float fmax_f32(float a, float b, bool nan)
{
    if (a != a || b != b)
        return nan || (a != a && b != b) ? NAN : a != a ? b : a;
    if (a == b)
        return signbit(a) ? b : a;
    return a > b ? a : b;
}

static inline double fmin_f64(double a, double b, bool nan)
{
    if (a != a || b != b)
        return nan || (a != a && b != b) ? (double)NAN : a != a ? b : a;
    if (a == b)
        return signbit(a) ? a : b;
    return a < b ? a : b;
}

static inline double fmax_f64(double a, double b, bool nan)
{
    if (a != a || b != b)
        return nan || (a != a && b != b) ? (double)NAN : a != a ? b : a;
    if (a == b)
        return signbit(a) ? b : a;
    return a > b ? a : b;
}

static inline float signed_like(float r, uint32_t sign)
{
    return bits_f32((f32_bits(r) & 0x7fffffff) | (sign & 0x80000000));
}

OP(float32)
{
    float a[LANES], b[LANES], c[LANES], r[LANES], *d = REF(float, i->d);
    const float *ap = REF(float, i->a), *bp = REF(float, i->b), *cp = REF(float, i->c);
    bool ftz = i->flags & F_FTZ, nan = i->flags & F_NAN;

    VECTOR
    {
        a[l] = ftz ? flush(ap[l]) : ap[l];
        b[l] = ftz ? flush(bp[l]) : bp[l];
        c[l] = ftz ? flush(cp[l]) : cp[l];
    }
    if (i->flags & F_ABS)
        VECTOR
        {
            a[l] = __builtin_fabsf(a[l]);
            b[l] = __builtin_fabsf(b[l]);
        }
    enter_round(i->round);
#define R(e)                                                                                       \
    EACH                                                                                           \
    {                                                                                              \
        r[l] = (e);                                                                                \
    }                                                                                              \
    break
    switch (i->sub) {
    case FL_ADD:
        R(a[l] + b[l]);
    case FL_SUB:
        R(a[l] - b[l]);
    case FL_MUL:
        R(a[l] * b[l]);
    case FL_FMA:
        R(__builtin_fmaf(a[l], b[l], c[l]));
    case FL_DIV:
        R(a[l] / b[l]);
    case FL_RCP:
        R(1.0f / a[l]);
    case FL_SQRT:
        R(__builtin_sqrtf(a[l]));
    case FL_RSQRT:
        R(a[l] == 0 ? copysignf(INFINITY, a[l]) : (float)(1.0 / sqrt((double)a[l])));
    case FL_MIN:
        R(fmin_f32(a[l], b[l], nan));
    case FL_MAX:
        R(fmax_f32(a[l], b[l], nan));
    case FL_MIN3:
        R(fmin_f32(fmin_f32(a[l], b[l], nan), c[l], nan));
    case FL_MAX3:
        R(fmax_f32(fmax_f32(a[l], b[l], nan), c[l], nan));
    case FL_SIN:
        R(sinf(a[l]));
    case FL_COS:
        R(cosf(a[l]));
    case FL_LG2:
        R(log2f(a[l]));
    case FL_EX2:
        R(exp2f(a[l]));
    case FL_TANH:
        R(tanhf(a[l]));
    case FL_ABS:
        R(__builtin_fabsf(a[l]));
    case FL_NEG:
        R(-a[l]);
    default: /* copysign: the sign of a, the magnitude of b */
        R(signed_like(b[l], f32_bits(a[l])));
    }
    leave_round(i->round);
    if (i->flags & F_XORSIGN)
        VECTOR r[l] = signed_like(r[l], f32_bits(ap[l]) ^ f32_bits(bp[l]));
    if (ftz)
        VECTOR r[l] = flush(r[l]);
    if (i->flags & F_SAT)
        VECTOR r[l] = r[l] > 1.0f ? 1.0f : r[l] > 0.0f ? r[l] : 0.0f; /* NaN becomes 0 */
    if (i->flags & F_RELU)
        VECTOR r[l] = r[l] < 0.0f ? 0.0f : r[l];
    if (i->sub != FL_ABS && i->sub != FL_NEG && i->sub != FL_COPYSIGN)
        VECTOR r[l] = r[l] != r[l] ? bits_f32(0x7fffffff) : r[l];
    blend_float(d, r, m);
}

OP(float64)
{
    double r[LANES], *d = REF(double, i->d);
    const double *a = REF(double, i->a), *b = REF(double, i->b), *c = REF(double, i->c);

    enter_round(i->round);
    switch (i->sub) {
    case FL_ADD:
        R(a[l] + b[l]);
    case FL_SUB:
        R(a[l] - b[l]);
    case FL_MUL:
        R(a[l] * b[l]);
    case FL_FMA:
        R(__builtin_fma(a[l], b[l], c[l]));
    case FL_DIV:
        R(a[l] / b[l]);
    case FL_RCP:
        R(1.0 / a[l]);
    case FL_SQRT:
        R(__builtin_sqrt(a[l]));
    case FL_RSQRT:
        R(a[l] == 0 ? copysign(INFINITY, a[l]) : 1.0 / sqrt(a[l]));
    case FL_MIN:
        R(fmin_f64(a[l], b[l], false));
    case FL_MAX:
        R(fmax_f64(a[l], b[l], false));
    case FL_ABS:
        R(__builtin_fabs(a[l]));
    case FL_NEG:
        R(-a[l]);
    default:
        R(__builtin_copysign(b[l], a[l]));
    }
    leave_round(i->round);
    blend_double(d, r, m);
}

static inline double half_op(unsigned sub, double a, double b, double c, bool nan)
{
    switch (sub) {
    case FL_ADD:
        return add_odd(a, b);
    case FL_SUB:
        return add_odd(a, -b);
    case FL_MUL:
        return a * b;
    case FL_FMA:
        return add_odd(a * b, c);
    case FL_MIN:
        return fmin_f64(a, b, nan);
    case FL_MAX:
        return fmax_f64(a, b, nan);
    case FL_EX2:
        return exp2(a);
    case FL_TANH:
        return tanh(a);
    default:
        return a;
    }
}

/* One or two 16-bit floats per lane. */
OP(half)
{
    bool bf = i->type == T_BF16 || i->type == T_BF16X2;
    bool packed = i->type == T_F16X2 || i->type == T_BF16X2;
    bool ftz = i->flags & F_FTZ, nan = i->flags & F_NAN;
    uint16_t tiny = bf ? 0x7f80 : 0x7c00;

    EACH_IN(m)
    {
        uint32_t ua = packed ? REF(uint32_t, i->a)[l] : REF(uint16_t, i->a)[l];
        uint32_t ub = packed ? REF(uint32_t, i->b)[l] : REF(uint16_t, i->b)[l];
        uint32_t uc = packed ? REF(uint32_t, i->c)[l] : REF(uint16_t, i->c)[l];
        uint32_t out = 0;

        for (int s = 0; s < (packed ? 32 : 16); s += 16) {
            uint16_t ha = (uint16_t)(ua >> s), hb = (uint16_t)(ub >> s), h;

            if (i->sub == FL_ABS || i->sub == FL_NEG) {
                h = i->sub == FL_ABS ? ha & 0x7fff : ha ^ 0x8000;
            } else {
                double a, b, c, v;

                if (i->flags & F_ABS) {
                    ha &= 0x7fff;
                    hb &= 0x7fff;
                }
                a = load_half(ha, bf, ftz);
                b = load_half(hb, bf, ftz);
                c = load_half((uint16_t)(uc >> s), bf, ftz);
                v = half_op(i->sub, a, b, c, nan);
                if (i->flags & F_XORSIGN)
                    v = copysign(v, (ua ^ ub) >> s & 0x8000 ? -1.0 : 1.0);
                if (i->flags & F_SAT)
                    v = v > 1 ? 1 : v > 0 ? v : 0;
                if (i->flags & F_RELU)
                    v = v < 0 ? 0 : v;
                h = round_to_16(v, bf ? 7 : 10, i->round ? i->round : R_RN);
            }
            if (ftz && (h & tiny) == 0)
                h &= 0x8000;
            out |= (uint32_t)h << s;
        }
        if (packed)
            REF(uint32_t, i->d)[l] = out;
        else
            REF(uint16_t, i->d)[l] = (uint16_t)out;
    }
}

OP(testp)
{
    uint32_t r = 0;

    EACH
    {
        int k =
            i->type == T_F32 ? fpclassify(REF(float, i->a)[l]) : fpclassify(REF(double, i->a)[l]);
        bool t;

        switch (i->sub) {
        case TP_FINITE:
            t = k != FP_NAN && k != FP_INFINITE;
            break;
        case TP_INFINITE:
            t = k == FP_INFINITE;
            break;
        case TP_NUMBER:
            t = k != FP_NAN;
            break;
        case TP_NAN:
            t = k == FP_NAN;
            break;
        case TP_NORMAL:
            t = k == FP_NORMAL;
            break;
        default:
            t = k == FP_SUBNORMAL;
        }
        r |= (uint32_t)t << l;
    }
    pred_out(w, i->d, r, m);
}

/* ---- conversion ------------------------------------------------------------------------------ */

static void load_int(const void *p, int size, int type, int64_t *v)
{
#define LOAD(T) VECTOR v[l] = (int64_t)((const T *)p)[l]
    uint64_t raw[LANES];

    if (size == 2)
        VECTOR raw[l] = ((const uint16_t *)p)[l];
    else if (size == 4)
        VECTOR raw[l] = ((const uint32_t *)p)[l];
    else
        VECTOR raw[l] = ((const uint64_t *)p)[l];
    switch (type) {
#define CASE(t, T)                                                                                 \
    case t:                                                                                        \
        VECTOR v[l] = (int64_t)(T)raw[l];                                                          \
        break
        CASE(T_U8, uint8_t);
        CASE(T_S8, int8_t);
        CASE(T_U16, uint16_t);
        CASE(T_S16, int16_t);
        CASE(T_U32, uint32_t);
        CASE(T_S32, int32_t);
    default:
        VECTOR v[l] = (int64_t)raw[l];
#undef CASE
    }
#undef LOAD
}

static void store_int(void *p, int size, const int64_t *v, uint32_t m)
{
    if (size == 2) {
        uint16_t t[LANES];

        VECTOR t[l] = (uint16_t)v[l];
        blend_uint16_t(p, t, m);
    } else if (size == 4) {
        uint32_t t[LANES];

        VECTOR t[l] = (uint32_t)v[l];
        blend_uint32_t(p, t, m);
    } else {
        blend_int64_t(p, v, m);
    }
}

static bool is_float(int t)
{
    return t == T_F32 || t == T_F64 || t == T_F16 || t == T_BF16;
}

static bool is_signed(int t)
{
    return t == T_S8 || t == T_S16 || t == T_S32 || t == T_S64;
}

static int bits_of(int t)
{
    switch (t) {
    case T_U8:
    case T_S8:
    case T_B8:
        return 8;
    case T_U16:
    case T_S16:
    case T_B16:
    case T_F16:
    case T_BF16:
        return 16;
    case T_U64:
    case T_S64:
    case T_B64:
    case T_F64:
        return 64;
    default:
        return 32;
    }
}

static inline double round_integral(double v, int mode)
{
    switch (mode) {
    case R_RZ:
        return trunc(v);
    case R_RM:
        return floor(v);
    case R_RP:
        return ceil(v);
    case R_RNA:
        return round(v);
    default:
        return nearbyint(v);
    }
}

/* type: destination, type2: source */
OP(cvt)
{
    int dt = i->type, st = i->type2;
    void *dp = REF(void, i->d);
    const void *sp = REF(void, i->a);
    bool ftz = i->flags & F_FTZ, sat = i->flags & F_SAT;

    if (!is_float(st) && !is_float(dt)) {
        int64_t v[LANES];

        load_int(sp, i->asize, st, v);
        if (sat) {
            int bits = bits_of(dt);
            bool su = st == T_U64;
            int64_t hi = is_signed(dt) ? (int64_t)(UINT64_MAX >> (65 - bits))
                                       : (int64_t)(UINT64_MAX >> (64 - bits));
            int64_t lo = is_signed(dt) ? -hi - 1 : 0;

            EACH
            {
                if (su) {
                    if ((uint64_t)v[l] > (uint64_t)hi)
                        v[l] = hi;
                } else if (v[l] < lo) {
                    v[l] = lo;
                } else if (dt != T_U64 && v[l] > hi) {
                    v[l] = hi;
                }
            }
        }
        /* The result has dt's width; a wider register gets it extended by dt's sign. */
        if (bits_of(dt) < i->dsize * 8) {
            int64_t t[LANES];

            memcpy(t, v, sizeof(t));
            load_int(t, 8, dt, v);
        }
        store_int(dp, i->dsize, v, m);
        return;
    }
    if (!is_float(st)) {
        int64_t v[LANES];
        bool su = st == T_U64;

        load_int(sp, i->asize, st, v);
        if (dt == T_F32) {
            float r[LANES];

            enter_round(i->round);
            EACH r[l] = su ? (float)(uint64_t)v[l] : (float)v[l];
            leave_round(i->round);
            if (sat)
                EACH r[l] = r[l] > 1 ? 1 : r[l] > 0 ? r[l] : 0;
            blend_float(dp, r, m);
        } else if (dt == T_F64) {
            double r[LANES];

            enter_round(i->round);
            EACH r[l] = su ? (double)(uint64_t)v[l] : (double)v[l];
            leave_round(i->round);
            if (sat)
                EACH r[l] = r[l] > 1 ? 1 : r[l] > 0 ? r[l] : 0;
            blend_double(dp, r, m);
        } else {
            uint16_t r[LANES];

            EACH
            {
                /* Beyond 2^53 a sticky lowest bit keeps the second rounding exact. */
                uint64_t u = su || v[l] >= 0 ? (uint64_t)v[l] : 0 - (uint64_t)v[l];
                double f;

                if (u >> 53)
                    u = (u & ~UINT64_C(0xfff)) | (u & 0xfff ? 0x1000 : 0);
                f = (double)u;
                if (!su && v[l] < 0)
                    f = -f;
                r[l] = round_to_16(f, dt == T_BF16 ? 7 : 10, i->round);
            }
            blend_uint16_t(dp, r, m);
        }
        return;
    }
    double s[LANES];

    switch (st) {
    case T_F32:
        EACH s[l] = ftz ? flush(((const float *)sp)[l]) : ((const float *)sp)[l];
        break;
    case T_F64:
        EACH s[l] = ((const double *)sp)[l];
        break;
    default:
        EACH s[l] = load_half(((const uint16_t *)sp)[l], st == T_BF16, false);
    }
    if (!is_float(dt)) {
        int64_t v[LANES];
        int bits = bits_of(dt);
        bool sgn = is_signed(dt);
        double hi = sgn ? ldexp(1, bits - 1) : ldexp(1, bits), lo = sgn ? -hi : 0;
        int64_t vmax = (int64_t)(UINT64_MAX >> (sgn ? 65 - bits : 64 - bits));
        int64_t vmin = sgn ? -vmax - 1 : 0;

        EACH
        {
            double f = round_integral(s[l], i->round);

            if (f != f)
                v[l] = 0;
            else if (f >= hi)
                v[l] = vmax;
            else if (f < lo)
                v[l] = vmin;
            else
                v[l] = sgn ? (int64_t)f : (int64_t)(uint64_t)f;
        }
        store_int(dp, i->dsize, v, m);
        return;
    }
    if (i->flags & F_INT_ROUND)
        EACH s[l] = round_integral(s[l], i->round);
    if (sat)
        EACH s[l] = s[l] > 1 ? 1 : s[l] > 0 ? s[l] : 0;
    if (i->flags & F_RELU)
        EACH s[l] = s[l] < 0 ? 0 : s[l];
    if (dt == T_F64) {
        blend_double(dp, s, m);
    } else if (dt == T_F32) {
        float r[LANES];
        int mode = i->flags & F_INT_ROUND ? R_RN : i->round;

        enter_round(mode);
        EACH r[l] = (float)s[l];
        leave_round(mode);
        EACH r[l] = r[l] != r[l] ? bits_f32(0x7fffffff) : ftz ? flush(r[l]) : r[l];
        blend_float(dp, r, m);
    } else {
        uint16_t r[LANES];

        EACH r[l] = round_to_16(s[l], dt == T_BF16 ? 7 : 10, i->round);
        blend_uint16_t(dp, r, m);
    }
}

/* Two f32 to one f16x2 or bf16x2: a becomes the upper half. */
OP(cvt_pack)
{
    int mant = i->type == T_BF16X2 ? 7 : 10;

    EACH_IN(m)
    {
        double a = REF(float, i->a)[l], b = REF(float, i->b)[l];
        uint32_t ha, hb;

        if (i->flags & F_RELU) {
            a = a < 0 ? 0 : a;
            b = b < 0 ? 0 : b;
        }
        ha = round_to_16(a, mant, i->round);
        hb = round_to_16(b, mant, i->round);
        REF(uint32_t, i->d)[l] = ha << 16 | hb;
    }
}

OP(cvta)
{
    const uint64_t *ap = REF(uint64_t, i->a);
    uint64_t delta = (uint64_t)i->imm;

    COMPUTE(uint64_t, ap[l] + delta)
}

static inline bool in_window(uint64_t addr, uint64_t window)
{
    return addr - window < SG_WINDOW_SIZE;
}

OP(isspacep)
{
    const uint64_t *ap = REF(uint64_t, i->a);
    uint32_t r = 0;

    EACH
    {
        uint64_t a = ap[l];
        bool t;

        switch (i->space) {
        case SP_SHARED:
            t = in_window(a, SG_SHARED_WINDOW);
            break;
        case SP_LOCAL:
            t = in_window(a, SG_LOCAL_WINDOW);
            break;
        case SP_PARAM:
            t = in_window(a, SG_PARAM_WINDOW);
            break;
        case SP_CONST:
            t = false; /* constant memory is part of the global range here */
            break;
        default:
            t = a - SG_WINDOWS_BASE >= SG_WINDOWS_END - SG_WINDOWS_BASE;
        }
        r |= (uint32_t)t << l;
    }
    pred_out(w, i->d, r, m);
}

/* ---- moves between scalars and vectors ------------------------------------------------------- */

static inline uint64_t get_lane(struct warp *w, uint32_t ref, int size, int l)
{
    switch (size) {
    case 2:
        return REF(uint16_t, ref)[l];
    case 4:
        return REF(uint32_t, ref)[l];
    default:
        return REF(uint64_t, ref)[l];
    }
}

static inline void put_lane(struct warp *w, uint32_t ref, int size, int l, uint64_t v)
{
    switch (size) {
    case 2:
        REF(uint16_t, ref)[l] = (uint16_t)v;
        break;
    case 4:
        REF(uint32_t, ref)[l] = (uint32_t)v;
        break;
    default:
        REF(uint64_t, ref)[l] = v;
    }
}

/* n elements of type bytes each (i->type holds the element's size) make one register of dsize. */
OP(pack)
{
    const uint32_t *e = w->frame->fn->ext + i->ext;

    EACH_IN(m)
    {
        uint64_t v = 0;

        for (int k = 0; k < i->n; k++) {
            uint64_t x = get_lane(w, e[k], i->type == 1 ? 2 : i->type, (int)l);

            if (i->type == 1)
                x &= 0xff;
            v |= x << (8 * i->type * k);
        }
        put_lane(w, i->d, i->dsize, (int)l, v);
    }
}

OP(unpack)
{
    const uint32_t *e = w->frame->fn->ext + i->ext;

    EACH_IN(m)
    {
        uint64_t v = get_lane(w, i->a, i->asize, (int)l);

        for (int k = 0; k < i->n; k++) {
            uint64_t x = v >> (8 * i->type * k);

            if (i->type == 1)
                x &= 0xff;
            if (e[k] != REF_SINK)
                put_lane(w, e[k], i->type == 1 ? 2 : i->type, (int)l, x);
        }
    }
}

/* The address of a variable in the frame's local memory. */
OP(mov_local)
{
    uint64_t v = (uint64_t)i->imm + w->frame->local_base;

    EACH_IN(m)
    put_lane(w, i->d, i->dsize, (int)l, v);
}

/* ---- memory ---------------------------------------------------------------------------------- */

struct access {
    uint8_t *p[LANES];
    uint32_t local; /* lanes whose pointer is into interleaved local memory */
    bool contiguous;
};

static void lane_addresses(struct warp *w, const struct ins *i, uint64_t *addr)
{
    uint64_t off = (uint64_t)i->imm;

    if (i->flags & F_FRAME)
        off += w->frame->local_base;
    if (i->asize == 4) {
        const uint32_t *a = REF(uint32_t, i->a);

        VECTOR addr[l] = (uint32_t)(a[l] + (uint32_t)off);
    } else {
        const uint64_t *a = REF(uint64_t, i->a);

        VECTOR addr[l] = a[l] + off;
    }
}

/* The slow way: each lane may be in another space. size is a power of two. */
static bool resolve_lanes(struct warp *w, const struct ins *i, uint32_t m, const uint64_t *addr,
                          uint64_t size, bool write, struct access *ac)
{
    const struct mem_env *env = sg_env(w);

    EACH_IN(m)
    {
        uint64_t a = addr[l];
        int space = i->space;
        struct range_cache *rc = &w->cache;

        if (a & (size - 1)) {
            sg_raise(w, i, SG_FAULT_MISALIGNED, a, (int)l);
            return false;
        }
        if (space == SP_GENERIC && a - SG_WINDOWS_BASE < SG_WINDOWS_END - SG_WINDOWS_BASE) {
            if (in_window(a, SG_SHARED_WINDOW)) {
                space = SP_SHARED;
                a -= SG_SHARED_WINDOW;
            } else if (in_window(a, SG_LOCAL_WINDOW)) {
                space = SP_LOCAL;
                a -= SG_LOCAL_WINDOW;
            } else if (in_window(a, SG_PARAM_WINDOW)) {
                space = SP_PARAM;
                a -= SG_PARAM_WINDOW;
            }
        }
        switch (space) {
        case SP_SHARED:
            if (a >= env->shared_size || size > env->shared_size - a)
                goto bad;
            ac->p[l] = env->shared + a;
            break;
        case SP_LOCAL:
            if (a >= env->local_size || size > env->local_size - a)
                goto bad;
            ac->p[l] = local_ptr(w->local, a, (int)l);
            ac->local |= lane_bit[l];
            break;
        case SP_PARAM:
            if (write || a >= env->param_size || size > env->param_size - a)
                goto bad;
            ac->p[l] = (uint8_t *)env->params + a;
            break;
        default:
            if (a - rc->base >= rc->size && !sg_lookup(w, a, rc))
                goto bad;
            if (size > rc->size - (a - rc->base) || (write && !rc->writable))
                goto bad;
            ac->p[l] = (uint8_t *)(uintptr_t)(a + rc->delta);
        }
        continue;
    bad:
        sg_raise(w, i, SG_FAULT_ILLEGAL_ADDRESS, addr[l], (int)l);
        return false;
    }
    return true;
}

static bool resolve(struct warp *w, const struct ins *i, uint32_t m, uint64_t size, bool write,
                    struct access *ac)
{
    uint64_t addr[LANES], lo, limit, delta, bad = 0, odd = 0, stride = 0, first;
    const struct mem_env *env = sg_env(w);

    lane_addresses(w, i, addr);
    ac->local = 0;
    ac->contiguous = false;
    first = addr[__builtin_ctz(m)];
    switch (i->space) {
    case SP_SHARED:
        lo = 0;
        limit = env->shared_size;
        delta = (uint64_t)(uintptr_t)env->shared;
        break;
    case SP_GENERIC:
    case SP_GLOBAL:
    case SP_CONST:
        if (first - w->cache.base >= w->cache.size && !sg_lookup(w, first, &w->cache))
            return resolve_lanes(w, i, m, addr, size, write, ac);
        if (write && !w->cache.writable)
            return resolve_lanes(w, i, m, addr, size, write, ac);
        lo = w->cache.base;
        limit = w->cache.size;
        delta = w->cache.delta;
        break;
    default:
        return resolve_lanes(w, i, m, addr, size, write, ac);
    }
    if (limit < size)
        return resolve_lanes(w, i, m, addr, size, write, ac);
    limit -= size;
    if (m == FULL_MASK) {
        VECTOR
        {
            bad |= (uint64_t)(addr[l] - lo > limit);
            odd |= addr[l];
            stride |= addr[l] ^ (first + (uint64_t)l * size);
        }
        ac->contiguous = stride == 0;
    } else {
        VECTOR
        {
            uint64_t on = m & lane_bit[l] ? ~UINT64_C(0) : 0;

            bad |= (uint64_t)(addr[l] - lo > limit) & on;
            odd |= addr[l] & on;
        }
    }
    if (bad || (odd & (size - 1)))
        return resolve_lanes(w, i, m, addr, size, write, ac);
    VECTOR ac->p[l] = (uint8_t *)(uintptr_t)(addr[l] + delta);
    return true;
}

/* Where element number k of size bytes lies, for a vector access that starts at ac->p[l]. */
static inline uint8_t *element(const struct access *ac, uint32_t l, unsigned off)
{
    if (ac->local & lane_bit[l])
        return ac->p[l] + ((off >> 3) << 8) + (off & 7);
    return ac->p[l] + off;
}

#define LOAD_LOOP(TD, TS)                                                                          \
    do {                                                                                           \
        TD *d = REF(TD, ref);                                                                      \
        if (m == FULL_MASK && !ac.local)                                                           \
            EACH d[l] = (TD) * (const TS *)(const void *)(ac.p[l] + off);                          \
        else                                                                                       \
            EACH_IN(m)                                                                             \
        d[l] = (TD) * (const TS *)(const void *)element(&ac, l, off);                              \
    } while (0)

#define STORE_LOOP(TD, TS)                                                                         \
    do {                                                                                           \
        const TS *s = REF(TS, ref);                                                                \
        EACH_IN(m)                                                                                 \
        *(TD *)(void *)element(&ac, l, off) = (TD)s[l];                                            \
    } while (0)

static int mem_size(int type)
{
    return bits_of(type) / 8;
}

OP(ld)
{
    struct access ac;
    int ms = mem_size(i->type), ds = i->dsize;
    bool sgn = is_signed(i->type);

    if (i->flags & F_FENCE) {
        w->spins++;
        atomic_thread_fence(memory_order_seq_cst);
    }
    if (!resolve(w, i, m, (uint64_t)ms * i->n, false, &ac))
        return;
    if (ac.contiguous && i->n == 1 && ms == ds) {
        memcpy(REF(void, i->d), ac.p[0], (size_t)ms * LANES);
        return;
    }
    for (int k = 0; k < i->n; k++) {
        uint32_t ref = i->n == 1 ? i->d : w->frame->fn->ext[i->ext + (unsigned)k];
        unsigned off = (unsigned)(k * ms);

        if (ref == REF_SINK)
            continue;
        switch (ms << 8 | ds << 1 | (sgn && ms < ds)) {
        case 1 << 8 | 2 << 1:
            LOAD_LOOP(uint16_t, uint8_t);
            break;
        case 1 << 8 | 2 << 1 | 1:
            LOAD_LOOP(uint16_t, int8_t);
            break;
        case 1 << 8 | 4 << 1:
            LOAD_LOOP(uint32_t, uint8_t);
            break;
        case 1 << 8 | 4 << 1 | 1:
            LOAD_LOOP(uint32_t, int8_t);
            break;
        case 1 << 8 | 8 << 1:
            LOAD_LOOP(uint64_t, uint8_t);
            break;
        case 1 << 8 | 8 << 1 | 1:
            LOAD_LOOP(uint64_t, int8_t);
            break;
        case 2 << 8 | 2 << 1:
            LOAD_LOOP(uint16_t, uint16_t);
            break;
        case 2 << 8 | 4 << 1:
            LOAD_LOOP(uint32_t, uint16_t);
            break;
        case 2 << 8 | 4 << 1 | 1:
            LOAD_LOOP(uint32_t, int16_t);
            break;
        case 2 << 8 | 8 << 1:
            LOAD_LOOP(uint64_t, uint16_t);
            break;
        case 2 << 8 | 8 << 1 | 1:
            LOAD_LOOP(uint64_t, int16_t);
            break;
        case 4 << 8 | 4 << 1:
            LOAD_LOOP(uint32_t, uint32_t);
            break;
        case 4 << 8 | 8 << 1:
            LOAD_LOOP(uint64_t, uint32_t);
            break;
        case 4 << 8 | 8 << 1 | 1:
            LOAD_LOOP(uint64_t, int32_t);
            break;
        default:
            LOAD_LOOP(uint64_t, uint64_t);
        }
    }
    if (i->flags & F_FENCE)
        atomic_thread_fence(memory_order_seq_cst);
}

OP(st)
{
    struct access ac;
    int ms = mem_size(i->type), ds = i->dsize;

    if (i->flags & F_FENCE)
        atomic_thread_fence(memory_order_seq_cst);
    if (!resolve(w, i, m, (uint64_t)ms * i->n, true, &ac))
        return;
    if (ac.contiguous && i->n == 1 && ms == ds) {
        memcpy(ac.p[0], REF(void, i->d), (size_t)ms * LANES);
        return;
    }
    for (int k = 0; k < i->n; k++) {
        uint32_t ref = i->n == 1 ? i->d : w->frame->fn->ext[i->ext + (unsigned)k];
        unsigned off = (unsigned)(k * ms);

        switch (ms << 4 | ds) {
        case 1 << 4 | 2:
            STORE_LOOP(uint8_t, uint16_t);
            break;
        case 1 << 4 | 4:
            STORE_LOOP(uint8_t, uint32_t);
            break;
        case 1 << 4 | 8:
            STORE_LOOP(uint8_t, uint64_t);
            break;
        case 2 << 4 | 2:
            STORE_LOOP(uint16_t, uint16_t);
            break;
        case 2 << 4 | 4:
            STORE_LOOP(uint16_t, uint32_t);
            break;
        case 2 << 4 | 8:
            STORE_LOOP(uint16_t, uint64_t);
            break;
        case 4 << 4 | 4:
            STORE_LOOP(uint32_t, uint32_t);
            break;
        case 4 << 4 | 8:
            STORE_LOOP(uint32_t, uint64_t);
            break;
        default:
            STORE_LOOP(uint64_t, uint64_t);
        }
    }
    if (i->flags & F_FENCE)
        atomic_thread_fence(memory_order_seq_cst);
}

/* A kernel parameter at a fixed offset, which the decoder has checked: the same for all lanes. */
OP(ldparam)
{
    const uint8_t *p = sg_env(w)->params + i->imm;
    int ms = mem_size(i->type);

    for (int k = 0; k < i->n; k++, p += ms) {
        uint32_t ref = i->n == 1 ? i->d : w->frame->fn->ext[i->ext + (unsigned)k];
        uint64_t v = 0;
        int64_t all[LANES];

        if (ref == REF_SINK)
            continue;
        memcpy(&v, p, (size_t)ms);
        if (is_signed(i->type) && ms < 8)
            v = (uint64_t)((int64_t)(v << (64 - 8 * ms)) >> (64 - 8 * ms));
        VECTOR all[l] = (int64_t)v;
        store_int(REF(void, ref), i->dsize, all, m | w->dead);
    }
}

/* ---- atomics --------------------------------------------------------------------------------- */

static inline uint64_t atom_apply(unsigned sub, int type, uint64_t old, uint64_t b, uint64_t c)
{
    switch (sub) {
    case AT_ADD:
        switch (type) {
        case T_F32:
            return f32_bits(bits_f32((uint32_t)old) + bits_f32((uint32_t)b));
        case T_F64:
            return f64_bits(bits_f64(old) + bits_f64(b));
        case T_F16:
        case T_F16X2:
        case T_BF16:
        case T_BF16X2: {
            bool bf = type == T_BF16 || type == T_BF16X2;
            uint64_t r = 0;

            for (int s = 0; s < (type == T_F16X2 || type == T_BF16X2 ? 32 : 16); s += 16) {
                double x = load_half((uint16_t)(old >> s), bf, false);
                double y = load_half((uint16_t)(b >> s), bf, false);

                r |= (uint64_t)round_to_16(add_odd(x, y), bf ? 7 : 10, R_RN) << s;
            }
            return r;
        }
        default:
            return old + b;
        }
    case AT_INC:
        return (uint32_t)old >= (uint32_t)b ? 0 : old + 1;
    case AT_DEC:
        return (uint32_t)old == 0 || (uint32_t)old > (uint32_t)b ? b : old - 1;
    case AT_MIN:
        switch (type) {
        case T_S32:
            return (int32_t)old < (int32_t)b ? old : b;
        case T_S64:
            return (int64_t)old < (int64_t)b ? old : b;
        default:
            return old < b ? old : b;
        }
    case AT_MAX:
        switch (type) {
        case T_S32:
            return (int32_t)old > (int32_t)b ? old : b;
        case T_S64:
            return (int64_t)old > (int64_t)b ? old : b;
        default:
            return old > b ? old : b;
        }
    case AT_AND:
        return old & b;
    case AT_OR:
        return old | b;
    case AT_XOR:
        return old ^ b;
    case AT_EXCH:
        return b;
    default: /* compare b, swap in c */
        return old == b ? c : old;
    }
}

#define ATOM_LOOP(T)                                                                               \
    do {                                                                                           \
        const T *bp = REF(T, i->b), *cp = REF(T, i->c);                                            \
        T *d = REF(T, i->d);                                                                       \
        EACH_IN(m)                                                                                 \
        {                                                                                          \
            T *p = (T *)(void *)ac.p[l], old, b = bp[l], c = cp[l];                                \
            if (i->sub == AT_ADD && integer) {                                                     \
                old = __atomic_fetch_add(p, b, __ATOMIC_SEQ_CST);                                  \
            } else if (i->sub == AT_EXCH) {                                                        \
                old = __atomic_exchange_n(p, b, __ATOMIC_SEQ_CST);                                 \
            } else {                                                                               \
                old = __atomic_load_n(p, __ATOMIC_RELAXED);                                        \
                while (!__atomic_compare_exchange_n(p, &old,                                       \
                                                    (T)atom_apply(i->sub, i->type, old, b, c),     \
                                                    false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))    \
                    ;                                                                              \
            }                                                                                      \
            if (i->d != REF_SINK)                                                                  \
                d[l] = old;                                                                        \
        }                                                                                          \
    } while (0)

OP(atom)
{
    struct access ac;
    int ms = mem_size(i->type);
    bool integer = !is_float(i->type) && i->type != T_F16X2 && i->type != T_BF16X2;

    w->spins++;
    if (!resolve(w, i, m, (uint64_t)ms, true, &ac))
        return;
    if (ac.local) {
        int l = __builtin_ctz(ac.local);
        uint64_t addr[LANES];

        lane_addresses(w, i, addr);
        sg_raise(w, i, SG_FAULT_ILLEGAL_ADDRESS, addr[l], l);
        return;
    }
    if (ms == 2)
        ATOM_LOOP(uint16_t);
    else if (ms == 4)
        ATOM_LOOP(uint32_t);
    else
        ATOM_LOOP(uint64_t);
}

/* cp.async, done at once: shared [d] <- global [a], n bytes, of which the first c come from memory.
 */
OP(cpasync)
{
    struct access from, to;
    struct ins src = *i, dst = *i;

    src.space = SP_GLOBAL;
    src.imm = (int32_t)i->imm;
    dst.space = SP_SHARED;
    dst.a = i->d;
    dst.asize = i->dsize;
    dst.imm = (int32_t)(i->imm >> 32);
    if (!resolve(w, &dst, m, i->n, true, &to))
        return;
    if (!resolve(w, &src, m, i->n, false, &from))
        return;
    EACH_IN(m)
    {
        uint32_t n = i->c == REF_SINK ? i->n : REF(uint32_t, i->c)[l];

        if (n > i->n)
            n = i->n;
        memset(to.p[l], 0, i->n);
        memcpy(to.p[l], from.p[l], n);
    }
}

#define X(n) [OP_##n] = op_##n,
#define C(n) [OP_##n] = sg_op_##n,
const op_fn SG_OPS_TABLE[OP_COUNT] = {SG_DATA_OPS(X) SG_CONTROL_OPS(C)};
