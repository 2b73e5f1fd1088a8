/* SPDX-License-Identifier: Apache-2.0 */
/* Generated from protocol/api/ by protocol/gen/vgpu_gen.py: do not edit. */
#include <string.h>
#include "guest/libcuda/rpc.h"
#include "vgpu_rpc.h"

CUresult vgpu_rpc_Scalars(uint32_t small, uint64_t large, int32_t number, float ratio, const uint32_t triple[3], uint8_t digest_out[16], uint32_t *count_out, uint64_t *total_out, int32_t list_out[4], float *share_out)
{
    struct vgpu_rpc rpc;
    struct vgpu_req_Scalars *request = vgpu_rpc_begin(&rpc, VGPU_OP_Scalars, VGPU_REQ_BYTES_Scalars, true);
    if (!request)
        return rpc.result;
    request->large = large;
    request->small = small;
    request->number = number;
    request->ratio = ratio;
    memcpy(request->triple, triple, sizeof(request->triple));
    const struct vgpu_rsp_Scalars *reply = vgpu_rpc_call(&rpc, VGPU_RSP_BYTES_Scalars);
    if (reply) {
        if (total_out)
            *total_out = reply->total;
        if (count_out)
            *count_out = reply->count;
        if (list_out)
            memcpy(list_out, reply->list, sizeof(reply->list));
        if (share_out)
            *share_out = reply->share;
        if (digest_out)
            memcpy(digest_out, reply->digest, sizeof(reply->digest));
    }
    return vgpu_rpc_end(&rpc);
}

CUresult vgpu_rpc_Handles(int32_t device, uint32_t context, uint32_t module, uint32_t plain, uint32_t library, uint32_t kernel, uint32_t either, uint32_t stream, uint32_t event, uint32_t blob)
{
    struct vgpu_rpc rpc;
    struct vgpu_req_Handles *request = vgpu_rpc_begin(&rpc, VGPU_OP_Handles, VGPU_REQ_BYTES_Handles, true);
    if (!request)
        return rpc.result;
    request->device = device;
    request->context = context;
    request->module = module;
    request->plain = plain;
    request->library = library;
    request->kernel = kernel;
    request->either = either;
    request->stream = stream;
    request->event = event;
    request->blob = blob;
    vgpu_rpc_call(&rpc, 0);
    return vgpu_rpc_end(&rpc);
}

CUresult vgpu_rpc_Memory(uint64_t destination, uint64_t source, uint64_t address, uint64_t bytes)
{
    struct vgpu_rpc rpc;
    struct vgpu_req_Memory *request = vgpu_rpc_begin(&rpc, VGPU_OP_Memory, VGPU_REQ_BYTES_Memory, true);
    if (!request)
        return rpc.result;
    request->destination = destination;
    request->source = source;
    request->address = address;
    request->bytes = bytes;
    vgpu_rpc_call(&rpc, 0);
    return vgpu_rpc_end(&rpc);
}

CUresult vgpu_rpc_Create(uint32_t stream, uint32_t flags)
{
    struct vgpu_rpc rpc;
    struct vgpu_req_Create *request = vgpu_rpc_begin(&rpc, VGPU_OP_Create, VGPU_REQ_BYTES_Create, false);
    if (!request)
        return rpc.result;
    request->stream = stream;
    request->flags = flags;
    return vgpu_rpc_post(&rpc);
}

CUresult vgpu_rpc_Destroy(uint32_t stream)
{
    struct vgpu_rpc rpc;
    struct vgpu_req_Destroy *request = vgpu_rpc_begin(&rpc, VGPU_OP_Destroy, VGPU_REQ_BYTES_Destroy, false);
    if (!request)
        return rpc.result;
    request->stream = stream;
    return vgpu_rpc_post(&rpc);
}

CUresult vgpu_rpc_Unload(uint32_t module)
{
    struct vgpu_rpc rpc;
    struct vgpu_req_Unload *request = vgpu_rpc_begin(&rpc, VGPU_OP_Unload, VGPU_REQ_BYTES_Unload, true);
    if (!request)
        return rpc.result;
    request->module = module;
    vgpu_rpc_call(&rpc, 0);
    return vgpu_rpc_end(&rpc);
}

CUresult vgpu_rpc_Tails(uint32_t module, const void *name, uint32_t name_bytes, uint32_t *count_out, void *names, uint32_t *names_bytes)
{
    struct vgpu_rpc rpc;
    if (name_bytes > 64)
        return CUDA_ERROR_INVALID_VALUE;
    struct vgpu_req_Tails *request = vgpu_rpc_begin(&rpc, VGPU_OP_Tails, VGPU_REQ_BYTES_Tails + name_bytes, true);
    if (!request)
        return rpc.result;
    request->module = module;
    if (name_bytes)
        memcpy((uint8_t *)request + VGPU_REQ_BYTES_Tails, name, name_bytes);
    const struct vgpu_rsp_Tails *reply = vgpu_rpc_call(&rpc, VGPU_RSP_BYTES_Tails);
    if (reply) {
        if (count_out)
            *count_out = reply->count;
        uint32_t extra = rpc.reply_bytes - VGPU_RSP_BYTES_Tails;
        if (extra > *names_bytes)
            extra = *names_bytes;
        memcpy(names, (const uint8_t *)reply + VGPU_RSP_BYTES_Tails, extra);
        *names_bytes = extra;
    }
    return vgpu_rpc_end(&rpc);
}

CUresult vgpu_rpc_Upload(uint64_t data, uint32_t bytes, uint32_t release)
{
    struct vgpu_rpc rpc;
    struct vgpu_req_Upload *request = vgpu_rpc_begin(&rpc, VGPU_OP_Upload, VGPU_REQ_BYTES_Upload, false);
    if (!request)
        return rpc.result;
    request->data = data;
    request->bytes = bytes;
    request->release = release;
    return vgpu_rpc_post(&rpc);
}

CUresult vgpu_rpc_Ask(uint32_t stream, uint64_t *value_out)
{
    struct vgpu_rpc rpc;
    struct vgpu_req_Ask *request = vgpu_rpc_begin(&rpc, VGPU_OP_Ask, VGPU_REQ_BYTES_Ask, true);
    if (!request)
        return rpc.result;
    request->stream = stream;
    const struct vgpu_rsp_Ask *reply = vgpu_rpc_call(&rpc, VGPU_RSP_BYTES_Ask);
    if (reply) {
        if (value_out)
            *value_out = reply->value;
    }
    return vgpu_rpc_end(&rpc);
}

CUresult vgpu_rpc_Nothing(void)
{
    struct vgpu_rpc rpc;
    struct vgpu_req_Nothing *request = vgpu_rpc_begin(&rpc, VGPU_OP_Nothing, VGPU_REQ_BYTES_Nothing, true);
    if (!request)
        return rpc.result;
    vgpu_rpc_call(&rpc, 0);
    return vgpu_rpc_end(&rpc);
}

