/* SPDX-License-Identifier: Apache-2.0 */
/* Generated from protocol/api/ by protocol/gen/vgpu_gen.py: do not edit. */
#include <stddef.h>
#include "protocol/cuda_abi.h"
#include <stdatomic.h>
#include "guest/libcuda/refuse.h"
#include "vgpu_exports.h"

extern char served_cuOne[] __asm__("cuOne");
extern char served_cuTwo[] __asm__("cuTwo");
__attribute__((visibility("default"))) CUresult refused_cuThree(void) __asm__("cuThree");
CUresult refused_cuThree(void)
{
    static atomic_int once;
    return vgpu_refuse(&once, "cuThree");
}
__attribute__((visibility("default"))) CUresult cudbgFour(void);
CUresult cudbgFour(void)
{
    return CUDA_ERROR_NOT_SUPPORTED;
}

const struct vgpu_export vgpu_exports[] = {
    {"cuOne", (void *)served_cuOne, true},
    {"cuThree", (void *)refused_cuThree, false},
    {"cuTwo", (void *)served_cuTwo, true},
};
const size_t vgpu_export_count = sizeof(vgpu_exports) / sizeof(vgpu_exports[0]);
