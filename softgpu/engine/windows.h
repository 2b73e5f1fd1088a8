/* SPDX-License-Identifier: Apache-2.0 */
/*
 * windows.h - generic addresses of memory that has no address of its own on the host
 *
 * Host user addresses lie below 2^47, so the windows start at 2^48: no allocation can overlap them.
 */
#ifndef VGPU_SOFTGPU_WINDOWS_H
#define VGPU_SOFTGPU_WINDOWS_H

#include <stdint.h>

#define SG_WINDOW_SIZE UINT64_C(0x01000000)
#define SG_WINDOWS_BASE (UINT64_C(1) << 48)
#define SG_SHARED_WINDOW SG_WINDOWS_BASE
#define SG_LOCAL_WINDOW (SG_WINDOWS_BASE + SG_WINDOW_SIZE)
#define SG_PARAM_WINDOW (SG_WINDOWS_BASE + 2 * SG_WINDOW_SIZE)
/* The value of a function's address: SG_FUNCTION_WINDOW + 16 * (index in the module). */
#define SG_FUNCTION_WINDOW (SG_WINDOWS_BASE + 3 * SG_WINDOW_SIZE)
#define SG_WINDOWS_END (SG_WINDOWS_BASE + 4 * SG_WINDOW_SIZE)

/* Local memory of one thread, in bytes: the limit CUDA documents for compute capability 5.0 and up.
 */
#define SG_LOCAL_MAX (512u << 10)
/* Shared memory of one CTA, in bytes, as much as compute capability 9.0 offers. */
#define SG_SHARED_MAX (227u << 10)

#endif
