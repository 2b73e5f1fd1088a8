/* SPDX-License-Identifier: Apache-2.0 */
/*
 * export_table.c - the private table that nvidia-smi asks NVML for
 *
 * The table's first word is its size in bytes, the others are functions; what a function does goes
 * by its place. Served are the places that are known and that concern a VM: whether a GPU can be
 * monitored (72), the handle of a GPU by index (81), and lists of processes with their names (213
 * compute, 214 graphics, 215 MPS). Every other place refuses, and says which it is at VGPU_LOG=3.
 *
 * Source: NVIDIA's mock NVML in github.com/NVIDIA/k8s-test-infra (Apache-2.0), whose authors
 * observed nvidia-smi 580.65; size observed with driver 610. Place 72: observed from outside with
 * nvidia-smi 535.261, whose dmon and pmon go on when it gives 1 and else say "Not supported".
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "guest/libnvml/nvml_guest.h"

#define WORDS 297
#define PLACE_CAN_BE_MONITORED 72
#define PLACE_HANDLE_BY_INDEX 81
#define PLACE_COMPUTE_PROCESSES 213
#define PLACE_GRAPHICS_PROCESSES 214
#define PLACE_MPS_PROCESSES 215

static const uint8_t table_id[16] = {0xc4, 0xfe, 0x3e, 0x6c, 0xc9, 0x8f, 0x6c, 0x4e,
                                     0xa3, 0x27, 0xee, 0x69, 0x6e, 0x12, 0xf7, 0xc4};

struct named_process {
    nvml_process_detail detail;
    char name[4096];
};
_Static_assert(sizeof(struct named_process) == 4128, "as nvidia-smi steps through the list");

static nvmlReturn_t handle_by_index(unsigned index, nvmlDevice_t *device, unsigned kind)
{
    return nvmlDeviceGetHandleByIndex_v2(index, device);
}

static nvmlReturn_t can_be_monitored(nvmlDevice_t device, unsigned *can)
{
    nvmlReturn_t result = nvml_check(device);

    if (result != NVML_SUCCESS)
        return result;
    if (!can)
        return NVML_ERROR_INVALID_ARGUMENT;
    *can = 1;
    return NVML_SUCCESS;
}

static nvmlReturn_t no_processes(nvmlDevice_t device, unsigned *count, struct named_process *list)
{
    nvmlReturn_t result = nvml_check(device);

    if (result != NVML_SUCCESS)
        return result;
    if (!count)
        return NVML_ERROR_INVALID_ARGUMENT;
    *count = 0;
    return NVML_SUCCESS;
}

static nvmlReturn_t compute_processes(nvmlDevice_t device, unsigned *count,
                                      struct named_process *list)
{
    struct vgpu_nvml_process *found;
    unsigned have = 0, room;
    nvmlReturn_t result = nvml_check(device);

    if (result != NVML_SUCCESS)
        return result;
    if (!count || (*count && !list) || *count > 1u << 16)
        return NVML_ERROR_INVALID_ARGUMENT;
    room = *count;
    found = calloc(room ? room : 1, sizeof(*found));
    if (!found)
        return NVML_ERROR_MEMORY;
    result = nvml_processes(device, found, room, &have);
    if (result == NVML_SUCCESS) {
        *count = have;
        if (have > room)
            result = NVML_ERROR_INSUFFICIENT_SIZE;
    }
    for (unsigned i = 0; result == NVML_SUCCESS && i < have; i++) {
        list[i].detail = (nvml_process_detail){found[i].process_id, found[i].memory,
                                               NVML_NO_INSTANCE, NVML_NO_INSTANCE, 0};
        /* The short name serves for a process of another container. */
        if (nvml_process_name(found[i].process_id, list[i].name, sizeof(list[i].name)) !=
            NVML_SUCCESS)
            memcpy(list[i].name, found[i].name, sizeof(found[i].name));
    }
    free(found);
    return result;
}

/* How many arguments a call has is not known: what is logged may be left from earlier calls. */
static nvmlReturn_t refuse_place(unsigned place, uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d)
{
    nvml_say(NVML_LOG_DEBUG,
             "place %u of NVML's private table is not supported (%#lx, %#lx, %#lx, %#lx)", place,
             (unsigned long)a, (unsigned long)b, (unsigned long)c, (unsigned long)d);
    return NVML_ERROR_NOT_SUPPORTED;
}

#define REFUSAL(hundred, ten, one)                                                                 \
    static nvmlReturn_t place_##hundred##ten##one(uintptr_t a, uintptr_t b, uintptr_t c,           \
                                                  uintptr_t d)                                     \
    {                                                                                              \
        return refuse_place(hundred * 100 + ten * 10 + one, a, b, c, d);                           \
    }
#define ADDRESS(hundred, ten, one) (uintptr_t) place_##hundred##ten##one,
#define TEN(M, h, t)                                                                               \
    M(h, t, 0)                                                                                     \
    M(h, t, 1)                                                                                     \
    M(h, t, 2) M(h, t, 3) M(h, t, 4) M(h, t, 5) M(h, t, 6) M(h, t, 7) M(h, t, 8) M(h, t, 9)
#define HUNDRED(M, h)                                                                              \
    TEN(M, h, 0)                                                                                   \
    TEN(M, h, 1)                                                                                   \
    TEN(M, h, 2)                                                                                   \
    TEN(M, h, 3) TEN(M, h, 4) TEN(M, h, 5) TEN(M, h, 6) TEN(M, h, 7) TEN(M, h, 8) TEN(M, h, 9)

HUNDRED(REFUSAL, 0)
HUNDRED(REFUSAL, 1)
HUNDRED(REFUSAL, 2)

static const uintptr_t refusals[300] = {HUNDRED(ADDRESS, 0) HUNDRED(ADDRESS, 1)
                                            HUNDRED(ADDRESS, 2)};
static uintptr_t table[WORDS];

__attribute__((constructor)) static void fill(void)
{
    memcpy(table, refusals, sizeof(table));
    table[0] = sizeof(table);
    table[PLACE_CAN_BE_MONITORED] = (uintptr_t)can_be_monitored;
    table[PLACE_HANDLE_BY_INDEX] = (uintptr_t)handle_by_index;
    table[PLACE_COMPUTE_PROCESSES] = (uintptr_t)compute_processes;
    table[PLACE_GRAPHICS_PROCESSES] = (uintptr_t)no_processes;
    table[PLACE_MPS_PROCESSES] = (uintptr_t)no_processes;
}

NVML_API nvmlReturn_t nvmlInternalGetExportTable(const void **out, const void *id);

nvmlReturn_t nvmlInternalGetExportTable(const void **out, const void *id)
{
    if (!out || !id)
        return NVML_ERROR_INVALID_ARGUMENT;
    *out = NULL;
    if (memcmp(id, table_id, sizeof(table_id))) {
        nvml_say(NVML_LOG_INFO, "a private table of NVML that is not known is not supported");
        return NVML_ERROR_NOT_SUPPORTED;
    }
    *out = table;
    return NVML_SUCCESS;
}
