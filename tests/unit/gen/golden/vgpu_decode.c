/* SPDX-License-Identifier: Apache-2.0 */
/* Generated from protocol/api/ by protocol/gen/vgpu_gen.py: do not edit. */
#include <stddef.h>
#include <string.h>
#include "vgpu_decode.h"

const struct vgpu_driver_symbol vgpu_driver_symbols[] = {
    {"cuAsk", offsetof(struct vgpu_driver, cuAsk), false},
    {"cuMaybe", offsetof(struct vgpu_driver, cuMaybe), false},
    {"cuModuleUnload", offsetof(struct vgpu_driver, cuModuleUnload), true},
    {"cuOne", offsetof(struct vgpu_driver, cuOne), true},
    {"cuStreamCreate", offsetof(struct vgpu_driver, cuStreamCreate), true},
    {"cuStreamDestroy_v2", offsetof(struct vgpu_driver, cuStreamDestroy_v2), true},
    {"cuTwo", offsetof(struct vgpu_driver, cuTwo), true},
    {NULL, 0, false},
};

static CUresult violation(struct vgpu_answer *answer, const char *reason)
{
    answer->violation = 1;
    answer->reason = reason;
    return CUDA_ERROR_INVALID_VALUE;
}

static CUresult decode_Scalars(struct vgpu_worker *worker, const struct vgpu_record *record, uint32_t size, struct vgpu_answer *answer)
{
    const struct vgpu_req_Scalars *request = (const void *)record;
    struct worker_args_Scalars args = {0};
    (void)request;
    (void)size;
    (void)args;
    args.small = request->small;
    args.large = request->large;
    args.number = request->number;
    args.ratio = request->ratio;
    memcpy(args.triple, request->triple, sizeof(args.triple));
    answer->size = VGPU_RSP_BYTES_Scalars;
    struct vgpu_rsp_Scalars *rsp = (void *)answer->payload;
    (void)rsp;
    return worker_do_Scalars(worker, &args, rsp, answer);
}

static CUresult decode_Handles(struct vgpu_worker *worker, const struct vgpu_record *record, uint32_t size, struct vgpu_answer *answer)
{
    const struct vgpu_req_Handles *request = (const void *)record;
    struct worker_args_Handles args = {0};
    (void)request;
    (void)size;
    (void)args;
    CUresult result;
    args.device = request->device;
    if (args.device < 0 || args.device >= worker_device_count(worker))
        return CUDA_ERROR_INVALID_DEVICE;
    args.context_handle = request->context;
    result = worker_find(worker, VGPU_TYPE_CONTEXT, request->context, (void **)&args.context);
    if (result != CUDA_SUCCESS)
        return result;
    args.module_handle = request->module;
    result = worker_find(worker, VGPU_TYPE_MODULE, request->module, (void **)&args.module);
    if (result != CUDA_SUCCESS)
        return result;
    args.plain_handle = request->plain;
    result = worker_find(worker, VGPU_TYPE_FUNCTION, request->plain, (void **)&args.plain);
    if (result != CUDA_SUCCESS)
        return result;
    args.library_handle = request->library;
    result = worker_find(worker, VGPU_TYPE_LIBRARY, request->library, (void **)&args.library);
    if (result != CUDA_SUCCESS)
        return result;
    args.kernel_handle = request->kernel;
    result = worker_find(worker, VGPU_TYPE_KERNEL, request->kernel, (void **)&args.kernel);
    if (result != CUDA_SUCCESS)
        return result;
    args.either_handle = request->either;
    result = worker_resolve(worker, request->either, &args.either);
    if (result != CUDA_SUCCESS)
        return result;
    args.stream_handle = request->stream;
    result = request->stream ? worker_find(worker, VGPU_TYPE_STREAM, request->stream, (void **)&args.stream) : CUDA_SUCCESS;
    if (result != CUDA_SUCCESS)
        return result;
    args.event_handle = request->event;
    result = worker_find(worker, VGPU_TYPE_EVENT, request->event, (void **)&args.event);
    if (result != CUDA_SUCCESS)
        return result;
    args.blob_handle = request->blob;
    result = worker_find(worker, VGPU_TYPE_BLOB, request->blob, (void **)&args.blob);
    if (result != CUDA_SUCCESS)
        return result;
    return worker_do_Handles(worker, &args, answer);
}

static CUresult decode_Memory(struct vgpu_worker *worker, const struct vgpu_record *record, uint32_t size, struct vgpu_answer *answer)
{
    const struct vgpu_req_Memory *request = (const void *)record;
    struct worker_args_Memory args = {0};
    (void)request;
    (void)size;
    (void)args;
    args.destination = request->destination;
    args.source = request->source;
    args.address = request->address;
    args.bytes = request->bytes;
    if (!worker_in_memory(worker, request->destination, request->bytes))
        return CUDA_ERROR_INVALID_VALUE;
    if (!worker_in_heap(worker, request->source, request->bytes))
        return violation(answer, "source lies outside the heap");
    if (!worker_in_memory(worker, request->address, 1))
        return CUDA_ERROR_INVALID_VALUE;
    return worker_do_Memory(worker, &args, answer);
}

static CUresult decode_Create(struct vgpu_worker *worker, const struct vgpu_record *record, uint32_t size, struct vgpu_answer *answer)
{
    const struct vgpu_req_Create *request = (const void *)record;
    struct worker_args_Create args = {0};
    (void)request;
    (void)size;
    (void)args;
    if (!worker_handle_free(worker, request->stream))
        return violation(answer, "handle for stream is in use or out of range");
    args.stream = request->stream;
    args.flags = request->flags;
    CUstream created = NULL;
    CUresult made = worker_driver(worker)->cuStreamCreate(&created, args.flags);
    if (made == CUDA_SUCCESS)
        worker_insert(worker, VGPU_TYPE_STREAM, args.stream, created);
    return made;
}

static CUresult decode_Destroy(struct vgpu_worker *worker, const struct vgpu_record *record, uint32_t size, struct vgpu_answer *answer)
{
    const struct vgpu_req_Destroy *request = (const void *)record;
    struct worker_args_Destroy args = {0};
    (void)request;
    (void)size;
    (void)args;
    CUresult result;
    args.stream_handle = request->stream;
    result = worker_find(worker, VGPU_TYPE_STREAM, request->stream, (void **)&args.stream);
    if (result != CUDA_SUCCESS)
        return result;
    CUresult made = worker_driver(worker)->cuStreamDestroy_v2(args.stream);
    worker_remove(worker, VGPU_TYPE_STREAM, args.stream_handle);
    return made;
}

static CUresult decode_Unload(struct vgpu_worker *worker, const struct vgpu_record *record, uint32_t size, struct vgpu_answer *answer)
{
    const struct vgpu_req_Unload *request = (const void *)record;
    struct worker_args_Unload args = {0};
    (void)request;
    (void)size;
    (void)args;
    CUresult result;
    args.module_handle = request->module;
    result = worker_find(worker, VGPU_TYPE_MODULE, request->module, (void **)&args.module);
    if (result != CUDA_SUCCESS)
        return result;
    CUresult made = worker_driver(worker)->cuModuleUnload(args.module);
    if (made == CUDA_SUCCESS)
        worker_remove(worker, VGPU_TYPE_MODULE, args.module_handle);
    return made;
}

static CUresult decode_Tails(struct vgpu_worker *worker, const struct vgpu_record *record, uint32_t size, struct vgpu_answer *answer)
{
    const struct vgpu_req_Tails *request = (const void *)record;
    struct worker_args_Tails args = {0};
    (void)request;
    (void)size;
    (void)args;
    CUresult result;
    args.module_handle = request->module;
    result = worker_find(worker, VGPU_TYPE_MODULE, request->module, (void **)&args.module);
    if (result != CUDA_SUCCESS)
        return result;
    args.name = (const uint8_t *)record + VGPU_REQ_BYTES_Tails;
    args.name_bytes = size - VGPU_REQ_BYTES_Tails;
    answer->size = VGPU_RSP_BYTES_Tails;
    struct vgpu_rsp_Tails *rsp = (void *)answer->payload;
    (void)rsp;
    return worker_do_Tails(worker, &args, rsp, answer);
}

static CUresult decode_Upload(struct vgpu_worker *worker, const struct vgpu_record *record, uint32_t size, struct vgpu_answer *answer)
{
    const struct vgpu_req_Upload *request = (const void *)record;
    struct worker_args_Upload args = {0};
    (void)request;
    (void)size;
    (void)args;
    args.data = request->data;
    args.bytes = request->bytes;
    args.release = request->release;
    if (args.release > 256)
        return violation(answer, "release index out of range");
    if (!worker_in_heap(worker, request->data, request->bytes))
        return violation(answer, "data lies outside the heap");
    return worker_do_Upload(worker, &args, answer);
}

static CUresult decode_Ask(struct vgpu_worker *worker, const struct vgpu_record *record, uint32_t size, struct vgpu_answer *answer)
{
    const struct vgpu_req_Ask *request = (const void *)record;
    struct worker_args_Ask args = {0};
    (void)request;
    (void)size;
    (void)args;
    CUresult result;
    args.stream_handle = request->stream;
    result = request->stream ? worker_find(worker, VGPU_TYPE_STREAM, request->stream, (void **)&args.stream) : CUDA_SUCCESS;
    if (result != CUDA_SUCCESS)
        return result;
    answer->size = VGPU_RSP_BYTES_Ask;
    struct vgpu_rsp_Ask *rsp = (void *)answer->payload;
    (void)rsp;
    if (!worker_driver(worker)->cuAsk)
        return CUDA_ERROR_NOT_SUPPORTED;
    CUresult made = worker_driver(worker)->cuAsk((size_t *)&rsp->value, args.stream);
    return made;
}

static CUresult decode_Nothing(struct vgpu_worker *worker, const struct vgpu_record *record, uint32_t size, struct vgpu_answer *answer)
{
    const struct vgpu_req_Nothing *request = (const void *)record;
    struct worker_args_Nothing args = {0};
    (void)request;
    (void)size;
    (void)args;
    return worker_do_Nothing(worker, &args, answer);
}

typedef CUresult decoder(struct vgpu_worker *, const struct vgpu_record *, uint32_t, struct vgpu_answer *);
static decoder *const decoders[VGPU_OP_LIMIT] = {
    [VGPU_OP_Scalars] = decode_Scalars,
    [VGPU_OP_Handles] = decode_Handles,
    [VGPU_OP_Memory] = decode_Memory,
    [VGPU_OP_Create] = decode_Create,
    [VGPU_OP_Destroy] = decode_Destroy,
    [VGPU_OP_Unload] = decode_Unload,
    [VGPU_OP_Tails] = decode_Tails,
    [VGPU_OP_Upload] = decode_Upload,
    [VGPU_OP_Ask] = decode_Ask,
    [VGPU_OP_Nothing] = decode_Nothing,
};

CUresult worker_execute(struct vgpu_worker *worker, const struct vgpu_record *record, uint32_t size,
                           struct vgpu_answer *answer)
{
    answer->size = 0;
    answer->violation = 0;
    answer->reason = NULL;
    if (record->opcode >= VGPU_OP_LIMIT || !decoders[record->opcode])
        return violation(answer, "unknown operation");
    const struct vgpu_op_info *info = &vgpu_op_table[record->opcode];
    if (size < info->request_bytes || size - info->request_bytes > info->request_tail_max)
        return violation(answer, "record size does not fit its operation");
    if ((record->reply == VGPU_REPLY_NONE) != (info->op_class == VGPU_CLASS_DEFERRED))
        return violation(answer, "reply slot does not fit the operation's class");
    /* What a handler does not write must not show what an earlier answer held. */
    memset(answer->payload, 0, info->reply_bytes);
    return decoders[record->opcode](worker, record, size, answer);
}
