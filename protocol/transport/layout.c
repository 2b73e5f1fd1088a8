/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/transport/layout.h"

#include <string.h>

#include "protocol/vgpu_regs.h"

#define DEFAULT_RING_SLOTS 16384u
#define DEFAULT_REPLY_COUNT 128u

static uint64_t round_up(uint64_t value, uint64_t to)
{
    return (value + to - 1) & ~(to - 1);
}

int vgpu_layout_plan(struct vgpu_arena_header *header, uint64_t base, uint64_t bytes,
                     uint32_t ring_slots, uint32_t reply_count, uint32_t notify)
{
    const char *why;

    if (!ring_slots)
        ring_slots = DEFAULT_RING_SLOTS;
    if (!reply_count)
        reply_count = DEFAULT_REPLY_COUNT;
    if (ring_slots > VGPU_RING_SLOTS_MAX || reply_count > VGPU_REPLY_COUNT_MAX)
        return -1;

    uint64_t commit = round_up(VGPU_SHARED_OFFSET + sizeof(struct vgpu_arena_shared), 64);
    uint64_t ring = round_up(commit + (uint64_t)ring_slots * sizeof(uint32_t), 4096);
    uint64_t reply = round_up(ring + (uint64_t)ring_slots * VGPU_SLOT_BYTES, 4096);
    uint64_t heap = reply + (uint64_t)reply_count * VGPU_REPLY_BYTES;

    memset(header, 0, sizeof(*header));
    header->magic = VGPU_ARENA_MAGIC;
    header->major = VGPU_PROTOCOL_MAJOR;
    header->minor = VGPU_PROTOCOL_MINOR;
    header->base = base;
    header->bytes = bytes;
    header->commit_offset = (uint32_t)commit;
    header->ring_offset = (uint32_t)ring;
    header->ring_slots = ring_slots;
    header->reply_offset = (uint32_t)reply;
    header->reply_count = reply_count;
    header->heap_offset = (uint32_t)heap;
    header->notify = notify;
    return vgpu_layout_check(header, bytes, &why) == VGPU_REASON_NONE ? 0 : -1;
}

int vgpu_layout_check(const struct vgpu_arena_header *header, uint64_t bytes, const char **why)
{
    const struct vgpu_arena_header *h = header;

#define REQUIRE(condition, text)                                                                   \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            *why = text;                                                                           \
            return VGPU_REASON_PROTOCOL;                                                           \
        }                                                                                          \
    } while (0)

    REQUIRE(h->magic == VGPU_ARENA_MAGIC, "arena header has no magic");
    if (h->major != VGPU_PROTOCOL_MAJOR || h->minor > VGPU_PROTOCOL_MINOR) {
        *why = "ring protocol version is not spoken here";
        return VGPU_REASON_VERSION;
    }
    REQUIRE(bytes >= VGPU_ARENA_BYTES_MIN && bytes <= VGPU_ARENA_BYTES_MAX &&
                bytes % VGPU_ARENA_ALIGN == 0,
            "arena size is out of range");
    REQUIRE(h->bytes == bytes, "arena header's size is not the arena's");
    REQUIRE(h->base % VGPU_ARENA_ALIGN == 0, "arena base is not aligned");
    REQUIRE(h->base >= VGPU_ARENA_ADDRESS_MIN && h->base <= VGPU_ARENA_ADDRESS_MAX - bytes,
            "arena base is outside the arena addresses");

    /* Offsets are 32 bits and every length below is under 2^27, so 64-bit sums cannot overflow. */
    REQUIRE(h->ring_slots >= VGPU_RING_SLOTS_MIN && h->ring_slots <= VGPU_RING_SLOTS_MAX &&
                (h->ring_slots & (h->ring_slots - 1)) == 0,
            "ring_slots is not a power of two in range");
    REQUIRE(h->reply_count >= 1 && h->reply_count <= VGPU_REPLY_COUNT_MAX,
            "reply_count is out of range");
    REQUIRE(h->commit_offset % 64 == 0 && h->ring_offset % 4096 == 0 &&
                h->reply_offset % 4096 == 0 && h->heap_offset % 4096 == 0,
            "an area is not aligned");
    REQUIRE(h->commit_offset >= VGPU_SHARED_OFFSET + sizeof(struct vgpu_arena_shared),
            "commit array overlaps the shared words");
    REQUIRE(h->commit_offset + (uint64_t)h->ring_slots * sizeof(uint32_t) <= h->ring_offset,
            "commit array and ring overlap");
    REQUIRE(h->ring_offset + (uint64_t)h->ring_slots * VGPU_SLOT_BYTES <= h->reply_offset,
            "ring and reply slots overlap");
    REQUIRE(h->reply_offset + (uint64_t)h->reply_count * VGPU_REPLY_BYTES <= h->heap_offset,
            "reply slots and heap overlap");
    REQUIRE(h->heap_offset < bytes, "an area runs past the arena's end");
    REQUIRE(h->notify == VGPU_NOTIFY_EVENTFD || h->notify == VGPU_NOTIFY_FUTEX,
            "notify is unknown");
#undef REQUIRE
    return VGPU_REASON_NONE;
}

void vgpu_view_init(struct vgpu_view *view, void *base, const struct vgpu_arena_header *header)
{
    uint8_t *at = base;

    view->base = at;
    view->header = *header;
    view->header.process_name[sizeof(view->header.process_name) - 1] = 0;
    view->shared = (struct vgpu_arena_shared *)(void *)(at + VGPU_SHARED_OFFSET);
    view->commit = (_Atomic uint32_t *)(void *)(at + header->commit_offset);
    view->ring = at + header->ring_offset;
    view->replies = (struct vgpu_reply *)(void *)(at + header->reply_offset);
    view->heap = at + header->heap_offset;
    view->heap_bytes = header->bytes - header->heap_offset;
}

const char *vgpu_reason_name(uint32_t reason)
{
    static const char *const names[] = {
        [VGPU_REASON_NONE] = "no reason given",
        [VGPU_REASON_NO_MEDIATOR] = "no mediator is connected to this device",
        [VGPU_REASON_LINK_LOST] = "the mediator went away",
        [VGPU_REASON_BAD_TABLE] = "the arena's pages cannot be mapped",
        [VGPU_REASON_VERSION] = "the mediator does not speak this protocol version",
        [VGPU_REASON_LIMIT] = "too many channels or too much memory for this VM",
        [VGPU_REASON_REFUSED] = "refused by the host's configuration",
        [VGPU_REASON_NO_WORKER] = "no worker could be started",
        [VGPU_REASON_WORKER_DIED] = "the worker ended",
        [VGPU_REASON_PROTOCOL] = "the ring protocol was broken",
        [VGPU_REASON_GPU] = "the GPU is lost or its driver does not start",
        [VGPU_REASON_TIMEOUT] = "its work on the GPU took longer than this VM may",
    };
    if (reason < sizeof(names) / sizeof(names[0]))
        return names[reason];
    return "unknown reason";
}
