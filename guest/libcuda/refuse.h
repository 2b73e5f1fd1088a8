/* SPDX-License-Identifier: Apache-2.0 */
/*
 * refuse.h - the answer to calls that this library does not serve
 */
#ifndef VGPU_REFUSE_H
#define VGPU_REFUSE_H

#include <stdatomic.h>

#include "protocol/cuda_abi.h"

/* Logs "NAME is not supported" the first time (once starts 0) and returns CUDA_ERROR_NOT_SUPPORTED.
 */
CUresult vgpu_refuse(atomic_int *once, const char *name);

/* For a part of a served call, e.g. VGPU_REFUSE("cuMemcpy2D with CUDA arrays"). */
#define VGPU_REFUSE(what)                                                                          \
    ({                                                                                             \
        static atomic_int refused_once;                                                            \
        vgpu_refuse(&refused_once, what);                                                          \
    })

#endif
