/* SPDX-License-Identifier: Apache-2.0 */
/*
 * opcodes.h - the executor's operations
 *
 * One per handler. A suffix gives the width or type the handler works on; operations without a
 * suffix look at the instruction's type fields.
 */
#ifndef VGPU_SOFTGPU_OPCODES_H
#define VGPU_SOFTGPU_OPCODES_H

/* Handlers that work on any integer of a width, in this order. */
#define SG_N3(X, n) X(n##_16) X(n##_32) X(n##_64)
/* Handlers that differ by sign, in this order. */
#define SG_S6(X, n) X(n##_u16) X(n##_s16) X(n##_u32) X(n##_s32) X(n##_u64) X(n##_s64)
#define SG_S4(X, n) X(n##_u16) X(n##_s16) X(n##_u32) X(n##_s32)

#define SG_DATA_OPS(X)                                                                             \
    SG_N3(X, mov)                                                                                  \
    SG_N3(X, add) SG_N3(X, sub) SG_N3(X, mul) SG_N3(X, mad) SG_N3(X, neg) SG_N3(X, and) SG_N3(     \
        X, or) SG_N3(X, xor) SG_N3(X, not ) SG_N3(X, cnot) SG_N3(X, shl) SG_N3(X, selp)            \
        SG_N3(X, abs) SG_S6(X, mulhi) SG_S6(X, madhi) SG_S4(X, mulwide) SG_S4(X, madwide)          \
            SG_S6(X, div) SG_S6(X, rem) SG_S6(X, min) SG_S6(X, max) SG_S6(X, shr) SG_S6(X, sad)    \
                SG_S6(X, setp) X(setp_f32) X(setp_f64) X(setp_half) X(setp_half2) X(addsat_s32)    \
                    X(subsat_s32) X(madhisat_s32) X(mul24) X(minmax16x2) X(addc) X(subc) X(madc)   \
                        X(pand) X(por) X(pxor) X(pnot) X(pmov) X(popc_32) X(popc_64) X(clz_32)     \
                            X(clz_64) X(brev_32) X(brev_64) X(bfind) X(bfe_u32) X(bfe_s32)         \
                                X(bfe_u64) X(bfe_s64) X(bfi_32) X(bfi_64) X(prmt) X(lop3) X(shf)   \
                                    X(szext) X(bmsk) X(dp4a) X(dp2a) X(fns) X(add_f32) X(sub_f32)  \
                                        X(mul_f32) X(fma_f32) X(add_f64) X(sub_f64) X(mul_f64)     \
                                            X(fma_f64) X(float32) X(float64) X(half) X(testp)      \
                                                X(cvt) X(cvt_pack) X(cvta) X(isspacep) X(pack)     \
                                                    X(unpack) X(mov_local) X(ld) X(st) X(ldparam)  \
                                                        X(atom) X(cpasync)

/* Handlers that touch the warp's control state or the world outside. */
#define SG_CONTROL_OPS(X)                                                                          \
    X(bra)                                                                                         \
    X(brx) X(call) X(ret) X(exit) X(trap) X(bar) X(barwarp) X(fence) X(nop) X(shfl) X(vote)        \
        X(match) X(redux) X(elect) X(activemask) X(clock) X(nanosleep)

enum sg_opcode {
#define X(n) OP_##n,
    SG_DATA_OPS(X) SG_CONTROL_OPS(X)
#undef X
        OP_COUNT
};

/* ins.sub of the floating-point handlers */
enum sg_float_op {
    FL_ADD,
    FL_SUB,
    FL_MUL,
    FL_FMA,
    FL_DIV,
    FL_RCP,
    FL_SQRT,
    FL_RSQRT,
    FL_MIN,
    FL_MAX,
    FL_ABS,
    FL_NEG,
    FL_SIN,
    FL_COS,
    FL_LG2,
    FL_EX2,
    FL_TANH,
    FL_COPYSIGN,
    FL_MIN3,
    FL_MAX3,
};

enum sg_atom_op {
    AT_ADD,
    AT_INC,
    AT_DEC,
    AT_MIN,
    AT_MAX,
    AT_AND,
    AT_OR,
    AT_XOR,
    AT_EXCH,
    AT_CAS,
};

enum sg_testp_op {
    TP_FINITE,
    TP_INFINITE,
    TP_NUMBER,
    TP_NAN,
    TP_NORMAL,
    TP_SUBNORMAL,
};

#endif
