/* SPDX-License-Identifier: Apache-2.0 */
/* Generated from protocol/api/ by protocol/gen/vgpu_gen.py: do not edit. */
#ifndef VGPU_EXPORTS_H
#define VGPU_EXPORTS_H
#include <stdbool.h>
#include <stddef.h>

/* Every exported cu* symbol, sorted by name with strcmp(). */
struct vgpu_export {
    const char *name;
    void *address;
    bool served; /* false: returns CUDA_ERROR_NOT_SUPPORTED and logs once */
};
extern const struct vgpu_export vgpu_exports[];
extern const size_t vgpu_export_count;

#endif
