/* SPDX-License-Identifier: Apache-2.0 */
/* Generated from protocol/api/ by protocol/gen/vgpu_gen.py: do not edit. */
#ifndef VGPU_RPC_GENERATED_H
#define VGPU_RPC_GENERATED_H
#include <stdint.h>
#include "protocol/cuda_abi.h"
#include "vgpu_ops.h"

/*
 * One function per operation. Arguments as in ops.api; NAME_out receives a result and may be NULL;
 * a tail result takes the room in *NAME_bytes and leaves the bytes received there. A deferred
 * operation returns as soon as it is on the ring: CUDA_SUCCESS says no more than that.
 */
CUresult vgpu_rpc_Scalars(uint32_t small, uint64_t large, int32_t number, float ratio, const uint32_t triple[3], uint8_t digest_out[16], uint32_t *count_out, uint64_t *total_out, int32_t list_out[4], float *share_out);
CUresult vgpu_rpc_Handles(int32_t device, uint32_t context, uint32_t module, uint32_t plain, uint32_t library, uint32_t kernel, uint32_t either, uint32_t stream, uint32_t event, uint32_t blob);
CUresult vgpu_rpc_Memory(uint64_t destination, uint64_t source, uint64_t address, uint64_t bytes);
CUresult vgpu_rpc_Create(uint32_t stream, uint32_t flags);
CUresult vgpu_rpc_Destroy(uint32_t stream);
CUresult vgpu_rpc_Unload(uint32_t module);
CUresult vgpu_rpc_Tails(uint32_t module, const void *name, uint32_t name_bytes, uint32_t *count_out, void *names, uint32_t *names_bytes);
CUresult vgpu_rpc_Upload(uint64_t data, uint32_t bytes, uint32_t release);
CUresult vgpu_rpc_Ask(uint32_t stream, uint64_t *value_out);
CUresult vgpu_rpc_Nothing(void);

#endif
