/* SPDX-License-Identifier: Apache-2.0 */
/* Generated from protocol/api/ by protocol/gen/vgpu_gen.py: do not edit. */
#include <stddef.h>
#include "vgpu_ops.h"

_Static_assert(offsetof(struct vgpu_req_Scalars, triple) + 12 == VGPU_REQ_BYTES_Scalars, "no padding");
_Static_assert(offsetof(struct vgpu_req_Handles, blob) + 4 == VGPU_REQ_BYTES_Handles, "no padding");
_Static_assert(offsetof(struct vgpu_req_Memory, bytes) + 8 == VGPU_REQ_BYTES_Memory, "no padding");
_Static_assert(offsetof(struct vgpu_req_Create, flags) + 4 == VGPU_REQ_BYTES_Create, "no padding");
_Static_assert(offsetof(struct vgpu_req_Destroy, stream) + 4 == VGPU_REQ_BYTES_Destroy, "no padding");
_Static_assert(offsetof(struct vgpu_req_Unload, module) + 4 == VGPU_REQ_BYTES_Unload, "no padding");
_Static_assert(offsetof(struct vgpu_req_Tails, module) + 4 == VGPU_REQ_BYTES_Tails, "no padding");
_Static_assert(offsetof(struct vgpu_req_Upload, release) + 4 == VGPU_REQ_BYTES_Upload, "no padding");
_Static_assert(offsetof(struct vgpu_req_Ask, stream) + 4 == VGPU_REQ_BYTES_Ask, "no padding");

const struct vgpu_op_info vgpu_op_table[VGPU_OP_LIMIT] = {
    [VGPU_OP_Scalars] = {"Scalars", VGPU_CLASS_SYNC, 48, 0, 48, 0},
    [VGPU_OP_Handles] = {"Handles", VGPU_CLASS_SYNC, 56, 0, 0, 0},
    [VGPU_OP_Memory] = {"Memory", VGPU_CLASS_WAIT, 48, 0, 0, 0},
    [VGPU_OP_Create] = {"Create", VGPU_CLASS_DEFERRED, 24, 0, 0, 0},
    [VGPU_OP_Destroy] = {"Destroy", VGPU_CLASS_DEFERRED, 20, 0, 0, 0},
    [VGPU_OP_Unload] = {"Unload", VGPU_CLASS_SYNC, 20, 0, 0, 0},
    [VGPU_OP_Tails] = {"Tails", VGPU_CLASS_SYNC, 20, 64, 4, 0},
    [VGPU_OP_Upload] = {"Upload", VGPU_CLASS_DEFERRED, 32, 0, 0, offsetof(struct vgpu_req_Upload, release)},
    [VGPU_OP_Ask] = {"Ask", VGPU_CLASS_SYNC, 20, 0, 8, 0},
    [VGPU_OP_Nothing] = {"Nothing", VGPU_CLASS_WAIT, 16, 0, 0, 0},
};

const char *vgpu_op_name(unsigned op)
{
    return op < VGPU_OP_LIMIT && vgpu_op_table[op].name ? vgpu_op_table[op].name : "unknown";
}
