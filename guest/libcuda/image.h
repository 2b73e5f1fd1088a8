/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image.h - finding the extent of a device code image
 *
 * A program hands over a pointer without a size: to PTX text, an ELF file, a fat binary container
 * or the wrapper that the compiler puts in front of one. Sources: NVIDIA CUDA Driver API reference
 * (cuModuleLoadData), System V ABI (ELF), and what public projects document of the fat binary
 * container: wrapper magic 0x466243b1, container magic 0xba55ed50 with a 16-byte header.
 */
#ifndef VGPU_GUEST_IMAGE_H
#define VGPU_GUEST_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/cuda_abi.h"

enum vgpu_image_kind { VGPU_IMAGE_PTX, VGPU_IMAGE_ELF, VGPU_IMAGE_FAT_BINARY };

#define VGPU_IMAGE_BYTES_MAX (4ull << 30)

struct vgpu_image {
    enum vgpu_image_kind kind;
    const void *data;   /* what to send: of a wrapper, the container behind it */
    size_t bytes;       /* with the terminating zero of PTX when limit leaves room for it */
    unsigned prelinked; /* containers in the second pointer of a version 2 wrapper */
};

/*
 * Reads no byte at or behind image + limit (SIZE_MAX: the end is not known, the image must say). A
 * wrapper's pointers are followed only when limit is SIZE_MAX: a file has none. CUDA_SUCCESS, or
 * CUDA_ERROR_INVALID_IMAGE.
 */
CUresult vgpu_image_measure(const void *image, size_t limit, struct vgpu_image *out);

#endif
