/* SPDX-License-Identifier: Apache-2.0 */
/*
 * half.h - binary16 and bfloat16 (IEEE 754-2019; bfloat16 is binary32 cut to its upper half)
 *
 * Every value of either format is exact in a double, so operations are done in double with the
 * result rounded to odd, which makes the second rounding (to 16 bits) exact.
 */
#ifndef VGPU_SOFTGPU_HALF_H
#define VGPU_SOFTGPU_HALF_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "internal.h"

static inline float bits_f32(uint32_t u)
{
    float f;

    memcpy(&f, &u, sizeof(f));
    return f;
}

static inline uint32_t f32_bits(float f)
{
    uint32_t u;

    memcpy(&u, &f, sizeof(u));
    return u;
}

static inline double bits_f64(uint64_t u)
{
    double f;

    memcpy(&f, &u, sizeof(f));
    return f;
}

static inline uint64_t f64_bits(double f)
{
    uint64_t u;

    memcpy(&u, &f, sizeof(u));
    return u;
}

/* Rounds v to a 16-bit format with mant fraction bits and 15 - mant exponent bits. */
static inline uint16_t round_to_16(double v, int mant, int mode)
{
    uint64_t u = f64_bits(v);
    uint16_t sign = (uint16_t)(u >> 48 & 0x8000);
    int ebits = 15 - mant, bias = (1 << (ebits - 1)) - 1;
    int e = (int)(u >> 52 & 0x7ff), exp, drop;
    uint64_t frac = u & ((UINT64_C(1) << 52) - 1), q, rest, half;
    uint16_t inf = (uint16_t)(((1u << ebits) - 1) << mant);

    if (e == 0x7ff)
        return frac ? 0x7fff : (uint16_t)(sign | inf);
    if (e == 0)
        exp = -1022;
    else {
        frac |= UINT64_C(1) << 52;
        exp = e - 1023;
    }
    if (frac == 0)
        return sign;
    drop = 52 - mant;
    if (exp < 1 - bias)
        drop += 1 - bias - exp;
    if (drop > 62)
        drop = 62;
    q = frac >> drop;
    rest = frac & ((UINT64_C(1) << drop) - 1);
    half = UINT64_C(1) << (drop - 1);
    switch (mode) {
    case R_RZ:
        break;
    case R_RM:
        q += sign && rest;
        break;
    case R_RP:
        q += !sign && rest;
        break;
    case R_RNA:
        q += rest >= half;
        break;
    default:
        q += rest > half || (rest == half && (q & 1));
    }
    if (exp < 1 - bias)
        exp = 1 - bias; /* subnormal, or just rounded up into the normal range */
    /* q holds the implicit bit, if any, at position mant; a carry moves into the exponent. */
    q += (uint64_t)(exp + bias - 1) << mant;
    if (q >= inf) {
        if (mode == R_RZ || (mode == R_RM && !sign) || (mode == R_RP && sign))
            return (uint16_t)(sign | (inf - 1));
        return sign | inf;
    }
    return (uint16_t)(sign | q);
}

static inline uint16_t f64_to_half(double v, int mode)
{
    return round_to_16(v, 10, mode);
}

static inline uint16_t f64_to_bf16(double v, int mode)
{
    return round_to_16(v, 7, mode);
}

static inline double half_to_f64(uint16_t h)
{
    uint64_t sign = (uint64_t)(h >> 15) << 63;
    int e = h >> 10 & 31;
    unsigned f = h & 1023;

    if (e == 31)
        return bits_f64(sign | UINT64_C(0x7ff) << 52 | (uint64_t)f << 42);
    if (e == 0)
        return bits_f64(sign | f64_bits(f * 0x1p-24));
    return bits_f64(sign | (uint64_t)(e - 15 + 1023) << 52 | (uint64_t)f << 42);
}

static inline double bf16_to_f64(uint16_t h)
{
    return bits_f32((uint32_t)h << 16);
}

/* a + b rounded to odd. */
static inline double add_odd(double a, double b)
{
    double s = a + b, t = s - a, err = (a - (s - t)) + (b - t);
    uint64_t u = f64_bits(s);

    if (err == 0 || isnan(err) || isinf(s) || (u & 1))
        return s;
    /* s is even and inexact: the odd neighbour on the side of the true sum */
    return bits_f64((err > 0) == (s > 0) ? u + 1 : u - 1);
}

#endif
