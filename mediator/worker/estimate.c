/* SPDX-License-Identifier: Apache-2.0 */
#include "mediator/worker/estimate.h"

#include <stddef.h>
#include <string.h>

#include "vgpu_ops.h"

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9e3779b97f4a7c15u; /* 2^64 divided by the golden ratio */
    return hash ^ hash >> 29;
}

uint64_t estimate_key(const struct vgpu_record *record)
{
    uint64_t hash = mix(1, (uint64_t)record->opcode << 32 | record->context);

    if (record->opcode == VGPU_OP_Launch && record->size >= VGPU_REQ_BYTES_Launch) {
        const struct vgpu_req_Launch *launch = (const void *)record;

        hash = mix(hash, launch->function);
        for (unsigned i = 0; i < 3; i++)
            hash = mix(hash, (uint64_t)launch->grid[i] << 32 | launch->block[i]);
    }
    if (record->opcode == VGPU_OP_GraphLaunch && record->size >= VGPU_REQ_BYTES_GraphLaunch)
        hash = mix(hash, ((const struct vgpu_req_GraphLaunch *)(const void *)record)->exec);
    return hash ? hash : 1;
}

uint64_t estimate_get(const struct estimates *estimates, uint64_t key)
{
    size_t slot = key % ESTIMATE_SLOTS;

    return estimates->slots[slot].key == key ? estimates->slots[slot].ns : ESTIMATE_UNKNOWN_NS;
}

void estimate_learn(struct estimates *estimates, uint64_t key, uint64_t ns)
{
    size_t slot = key % ESTIMATE_SLOTS;
    uint64_t known = estimates->slots[slot].key == key ? estimates->slots[slot].ns : ns;

    if (ns > ESTIMATE_MAX_NS)
        ns = ESTIMATE_MAX_NS;
    if (known > ESTIMATE_MAX_NS)
        known = ESTIMATE_MAX_NS;
    estimates->slots[slot].key = key;
    estimates->slots[slot].ns = (3 * known + ns) / 4;
}
