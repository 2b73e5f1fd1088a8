/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tensor maps: descriptors for the GPU's tensor memory accelerator, in a format that only the
 * host's driver knows. They hold device addresses, which mean the same here and there.
 */
#include <string.h>

#include "guest/libcuda/guest.h"
#include "vgpu_rpc.h"

#define RANK_MAX 5u

struct description {
    uint32_t im2col, type, rank;
    uint64_t address;
    const cuuint64_t *dims, *strides;
    const cuuint32_t *box, *element_strides;
    const int *lower, *upper;
    uint32_t channels, pixels, interleave, swizzle, promotion, fill;
};

static CUresult encode(CUtensorMap *map, const struct description *d)
{
    CUresult result = vgpu_ready();
    uint64_t dims[RANK_MAX] = {0}, strides[RANK_MAX] = {0};
    uint32_t box[RANK_MAX] = {0}, element_strides[RANK_MAX] = {0};
    int32_t lower[3] = {0}, upper[3] = {0};
    uint8_t encoded[sizeof(*map)];

    if (result != CUDA_SUCCESS)
        return result;
    if (!map || !d->rank || d->rank > RANK_MAX || !d->dims || (d->rank > 1 && !d->strides) ||
        !d->element_strides || (d->im2col ? d->rank < 3 || !d->lower || !d->upper : !d->box))
        return CUDA_ERROR_INVALID_VALUE;
    memcpy(dims, d->dims, d->rank * sizeof(dims[0]));
    if (d->rank > 1)
        memcpy(strides, d->strides, (d->rank - 1) * sizeof(strides[0]));
    memcpy(element_strides, d->element_strides, d->rank * sizeof(element_strides[0]));
    if (d->im2col) {
        memcpy(lower, d->lower, (d->rank - 2) * sizeof(lower[0]));
        memcpy(upper, d->upper, (d->rank - 2) * sizeof(upper[0]));
    } else {
        memcpy(box, d->box, d->rank * sizeof(box[0]));
    }
    result = vgpu_rpc_TensorMapEncode(d->im2col, d->type, d->rank, d->address, dims, strides, box,
                                      lower, upper, d->channels, d->pixels, element_strides,
                                      d->interleave, d->swizzle, d->promotion, d->fill, encoded);
    if (result == CUDA_SUCCESS)
        memcpy(map, encoded, sizeof(*map));
    return result;
}

CUresult cuTensorMapEncodeTiled(CUtensorMap *map, CUtensorMapDataType type, cuuint32_t rank,
                                void *address, const cuuint64_t *dims, const cuuint64_t *strides,
                                const cuuint32_t *box, const cuuint32_t *element_strides,
                                CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
                                CUtensorMapL2promotion promotion, CUtensorMapFloatOOBfill fill)
{
    const struct description d = {
        .type = type,
        .rank = rank,
        .address = (uint64_t)address,
        .dims = dims,
        .strides = strides,
        .box = box,
        .element_strides = element_strides,
        .interleave = interleave,
        .swizzle = swizzle,
        .promotion = promotion,
        .fill = fill,
    };
    return encode(map, &d);
}

CUresult cuTensorMapEncodeIm2col(CUtensorMap *map, CUtensorMapDataType type, cuuint32_t rank,
                                 void *address, const cuuint64_t *dims, const cuuint64_t *strides,
                                 const int *lower, const int *upper, cuuint32_t channels,
                                 cuuint32_t pixels, const cuuint32_t *element_strides,
                                 CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
                                 CUtensorMapL2promotion promotion, CUtensorMapFloatOOBfill fill)
{
    const struct description d = {
        .im2col = 1,
        .type = type,
        .rank = rank,
        .address = (uint64_t)address,
        .dims = dims,
        .strides = strides,
        .lower = lower,
        .upper = upper,
        .channels = channels,
        .pixels = pixels,
        .element_strides = element_strides,
        .interleave = interleave,
        .swizzle = swizzle,
        .promotion = promotion,
        .fill = fill,
    };
    return encode(map, &d);
}
