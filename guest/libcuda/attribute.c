/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attributes of streams: kept by the host's driver, but for the access policy window, a hint that
 * is not taken here and never set.
 */
#include <string.h>

#include "guest/libcuda/guest.h"
#include "vgpu_rpc.h"

_Static_assert(sizeof(CUlaunchAttributeValue) == 64, "a value as it travels");

struct place {
    struct vgpu_object *context;
    uint32_t wire;
};

static CUresult place_of(CUstream stream, struct place *place)
{
    struct vgpu_object *object;
    CUresult result = vgpu_able();
    if (result == CUDA_SUCCESS)
        result = vgpu_stream_find(stream, &object, &place->context);
    if (result == CUDA_SUCCESS)
        place->wire = object ? vgpu_wire(object) : VGPU_STREAM_DEFAULT;
    return result;
}

static CUresult check(CUstreamAttrID attr)
{
    switch ((int)attr) {
    case CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW:
    case CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY:
    case CU_LAUNCH_ATTRIBUTE_PRIORITY:
    case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN:
    case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP:
        return CUDA_SUCCESS;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

static CUresult get(CUstream stream, CUstreamAttrID attr, CUstreamAttrValue *value)
{
    struct place place;
    uint8_t bytes[sizeof(*value)];
    CUresult result = place_of(stream, &place);
    if (result != CUDA_SUCCESS)
        return result;
    if (!value || check(attr) != CUDA_SUCCESS)
        return CUDA_ERROR_INVALID_VALUE;
    if (attr == CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW) {
        memset(value, 0, sizeof(*value));
        return CUDA_SUCCESS;
    }
    struct vgpu_thread *thread = vgpu_thread();
    struct vgpu_object *current = thread->current;
    thread->current = place.context;
    result = vgpu_rpc_StreamGetAttribute(place.wire, attr, bytes);
    thread->current = current;
    if (result == CUDA_SUCCESS)
        memcpy(value, bytes, sizeof(bytes));
    return result;
}

static CUresult set(CUstream stream, CUstreamAttrID attr, const CUstreamAttrValue *value)
{
    struct place place;
    uint8_t bytes[sizeof(*value)];
    CUresult result = place_of(stream, &place);
    if (result != CUDA_SUCCESS)
        return result;
    if (!value || check(attr) != CUDA_SUCCESS)
        return CUDA_ERROR_INVALID_VALUE;
    if (attr == CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW)
        return value->accessPolicyWindow.num_bytes
                   ? VGPU_REFUSE("stream attribute CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW")
                   : CUDA_SUCCESS;
    memcpy(bytes, value, sizeof(bytes));
    struct vgpu_thread *thread = vgpu_thread();
    struct vgpu_object *current = thread->current;
    thread->current = place.context;
    result = vgpu_rpc_StreamSetAttribute(place.wire, attr, bytes);
    thread->current = current;
    if (result == CUDA_SUCCESS && attr == CU_LAUNCH_ATTRIBUTE_PRIORITY && place.wire)
        vgpu_objects[VGPU_HANDLE_INDEX(place.wire)].stream.priority = value->priority;
    return result;
}

static CUresult copy(CUstream to, CUstream from)
{
    struct place a, b;
    CUresult result = place_of(to, &a);
    if (result == CUDA_SUCCESS)
        result = place_of(from, &b);
    if (result != CUDA_SUCCESS)
        return result;
    if (a.context != b.context)
        return CUDA_ERROR_INVALID_CONTEXT;
    struct vgpu_thread *thread = vgpu_thread();
    struct vgpu_object *current = thread->current;
    thread->current = a.context;
    result = vgpu_rpc_StreamCopyAttributes(a.wire, b.wire);
    thread->current = current;
    return result;
}

CUresult cuStreamGetAttribute(CUstream stream, CUstreamAttrID attr, CUstreamAttrValue *value)
{
    return get(stream, attr, value);
}

VGPU_EXPORT(cuStreamGetAttribute_ptsz, CUstream stream, CUstreamAttrID attr,
            CUstreamAttrValue *value)
{
    return get(VGPU_PTSZ(stream), attr, value);
}

CUresult cuStreamSetAttribute(CUstream stream, CUstreamAttrID attr, const CUstreamAttrValue *value)
{
    return set(stream, attr, value);
}

VGPU_EXPORT(cuStreamSetAttribute_ptsz, CUstream stream, CUstreamAttrID attr,
            const CUstreamAttrValue *value)
{
    return set(VGPU_PTSZ(stream), attr, value);
}

CUresult cuStreamCopyAttributes(CUstream dst, CUstream src)
{
    return copy(dst, src);
}

VGPU_EXPORT(cuStreamCopyAttributes_ptsz, CUstream dst, CUstream src)
{
    return copy(VGPU_PTSZ(dst), VGPU_PTSZ(src));
}
