/* SPDX-License-Identifier: Apache-2.0 */
/*
 * device.h - what CUDA's own headers would declare, for kernels built by clang alone
 *
 * Only builtins of clang's NVPTX back end and PTX approximations; libdevice is not needed. Errors
 * of the approximate functions are those of the PTX manual: ex2, lg2 about 2 ulp, sqrt, rcp about 1
 * ulp.
 */
#ifndef VGPU_TESTS_DEVICE_H
#define VGPU_TESTS_DEVICE_H

#define __global__ __attribute__((global))
#define __device__ __attribute__((device))
#define __shared__ __attribute__((shared))
#define __constant__ __attribute__((constant))
#define __launch_bounds__(...) __attribute__((launch_bounds(__VA_ARGS__)))
#define KERNEL extern "C" __global__ void
#define INLINE static __device__ __attribute__((always_inline)) inline

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

INLINE u32 tid_x()
{
    return __nvvm_read_ptx_sreg_tid_x();
}
INLINE u32 tid_y()
{
    return __nvvm_read_ptx_sreg_tid_y();
}
INLINE u32 cta_x()
{
    return __nvvm_read_ptx_sreg_ctaid_x();
}
INLINE u32 cta_y()
{
    return __nvvm_read_ptx_sreg_ctaid_y();
}
INLINE u32 cta_dim_x()
{
    return __nvvm_read_ptx_sreg_ntid_x();
}
INLINE u32 cta_dim_y()
{
    return __nvvm_read_ptx_sreg_ntid_y();
}
INLINE u32 grid_dim_x()
{
    return __nvvm_read_ptx_sreg_nctaid_x();
}
INLINE u32 thread_x()
{
    return cta_x() * cta_dim_x() + tid_x();
}
INLINE u32 thread_y()
{
    return cta_y() * cta_dim_y() + tid_y();
}
INLINE u32 stride_x()
{
    return grid_dim_x() * cta_dim_x();
}

INLINE void barrier()
{
    __syncthreads();
}

INLINE u32 shfl_down(u32 value, u32 delta)
{
    return (u32)__nvvm_shfl_sync_down_i32(0xffffffffu, (int)value, (int)delta, 0x1f);
}

INLINE u32 shfl_up(u32 value, u32 delta)
{
    return (u32)__nvvm_shfl_sync_up_i32(0xffffffffu, (int)value, (int)delta, 0);
}

INLINE u32 atomic_add(u32 *where, u32 value)
{
    return (u32)__nvvm_atom_add_gen_i((int *)where, (int)value);
}

INLINE u64 atomic_add(u64 *where, u64 value)
{
    return (u64)__nvvm_atom_add_gen_ll((long long *)where, (long long)value);
}

INLINE u32 atomic_max(u32 *where, u32 value)
{
    return __nvvm_atom_max_gen_ui(where, value);
}

INLINE float ex2(float x)
{
    float y;
    asm("ex2.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

INLINE float lg2(float x)
{
    float y;
    asm("lg2.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

INLINE float root(float x)
{
    float y;
    asm("sqrt.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

INLINE float reciprocal(float x)
{
    float y;
    asm("rcp.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

INLINE float exponential(float x)
{
    return ex2(x * 1.4426950408889634f);
}
INLINE float logarithm(float x)
{
    return lg2(x) * 0.6931471805599453f;
}

#endif
