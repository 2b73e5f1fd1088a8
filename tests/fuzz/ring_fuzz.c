/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libFuzzer target: an arena as a hostile guest may leave it, read by the host's side.
 *
 * The input's first bytes are laid over a good header, so that the header check is fuzzed; if it
 * accepts, the areas are where the input wants them in an allocation of exactly the arena's size.
 * The rest is a program of writes to shared memory and calls of the consumer. Broken promises of
 * ring.h abort.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "protocol/transport/ring.h"
#include "protocol/transport/reply.h"
#include "protocol/vgpu_regs.h"

#define BYTES VGPU_ARENA_BYTES_MIN
#define OPCODES 64u
#define CALLS_MAX 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *at;
    size_t left;
};

static uint32_t take(struct input *in, unsigned bytes)
{
    uint32_t value = 0;

    if (bytes > in->left)
        bytes = (unsigned)in->left;
    memcpy(&value, in->at, bytes);
    in->at += bytes;
    in->left -= bytes;
    return value;
}

static void require(bool ok)
{
    if (!ok)
        abort();
}

static void write_shared(struct vgpu_view *view, uint64_t position, struct input *in)
{
    struct vgpu_arena_shared *shared = view->shared;
    uint32_t slots = view->header.ring_slots;
    /* Mostly where the consumer will look next. */
    uint32_t where = take(in, 2);
    uint32_t slot = (uint32_t)(where & 1 ? where / 2 : position + where / 2 % 4) % slots;
    uint8_t *record = view->ring + (size_t)slot * VGPU_SLOT_BYTES;

    switch (take(in, 1) % 8) {
    case 0: { /* a record as it should be, but for what the input changes */
        struct vgpu_record r = {.opcode = (uint16_t)take(in, 1), .reply = VGPU_REPLY_NONE};
        r.size = take(in, 3);
        memcpy(record, &r, sizeof(r));
        atomic_store(&view->commit[slot], (uint32_t)(position / slots) + 1 + take(in, 1) % 4 / 3);
        break;
    }
    case 1: {
        uint32_t raw[4] = {take(in, 4), take(in, 4), take(in, 4), take(in, 4)};
        memcpy(record, raw, sizeof(raw));
        break;
    }
    case 2:
        atomic_store(&view->commit[slot], take(in, 4));
        break;
    case 3:
        for (uint32_t i = slot; i < slots; i++)
            atomic_store(&view->commit[i], (uint32_t)(position / slots) + 1);
        break;
    case 4:
        atomic_store(&shared->head, take(in, 2));
        break;
    case 5:
        atomic_store(&shared->head, (uint64_t)take(in, 4) << 32 | take(in, 4));
        break;
    case 6:
        atomic_store(&shared->tail, take(in, 4));
        atomic_store(&shared->consumer_sleeping, take(in, 4));
        atomic_store(&shared->space_wanted, take(in, 4));
        break;
    case 7:
        atomic_store(&shared->release_wanted, take(in, 4));
        memset(view->base, (int)take(in, 1), VGPU_SHARED_OFFSET);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static _Alignas(8) uint8_t buffer[VGPU_RECORD_MAX];
    static uint8_t *arena;
    static int doorbell = -1;
    const struct vgpu_record *record = (const void *)buffer;
    struct input in = {data, size};
    struct vgpu_arena_header header;
    struct vgpu_consumer consumer;
    struct vgpu_view view;
    struct vgpu_host host;
    const char *why = NULL;

    if (!arena) {
        arena = aligned_alloc(4096, BYTES);
        doorbell = eventfd(0, EFD_NONBLOCK);
    }
    require(vgpu_layout_plan(&header, VGPU_ARENA_ADDRESS_MIN, BYTES, 2048, 4,
                             VGPU_NOTIFY_EVENTFD) == 0);
    for (unsigned n = take(&in, 1) % 4; n; n--) {
        uint32_t field = take(&in, 1) % (sizeof(header) / 4);
        uint32_t value = take(&in, 4);
        memcpy((uint8_t *)&header + field * 4, &value, sizeof(value));
    }
    if (vgpu_layout_check(&header, BYTES, &why) != VGPU_REASON_NONE) {
        require(why != NULL);
        return 0;
    }
    memset(arena, 0, header.reply_offset);
    vgpu_view_init(&view, arena, &header);
    vgpu_host_init(&host, &view, -1);
    vgpu_consumer_init(&consumer, &host, OPCODES);
    /* As after some laps, so that the ring's end is near. */
    consumer.position = consumer.woken_at = take(&in, 2);
    atomic_store(&view.shared->head, consumer.position + take(&in, 1));
    consumer.spin.max_ns = 0; /* waiting finds nothing new here */
    atomic_store(&consumer.spin.budget_ns, 0);

    for (unsigned calls = 0; in.left && calls < CALLS_MAX; calls++) {
        uint64_t before = consumer.position;
        switch (take(&in, 1) % 4) {
        case 0:
        case 1:
            write_shared(&view, consumer.position, &in);
            break;
        case 2: {
            int status = vgpu_ring_next(&consumer, buffer);
            require(consumer.position >= before);
            require((status == VGPU_RING_VIOLATION) == (consumer.violation != NULL));
            if (status != VGPU_RING_RECORD)
                break;
            require(record->opcode >= 1 && record->opcode < OPCODES && !record->reserved);
            require(record->size >= sizeof(*record) && record->size <= VGPU_RECORD_MAX);
            require(record->reply < header.reply_count || record->reply == VGPU_REPLY_NONE);
            require(consumer.position > before);
            uint64_t slots = (record->size + VGPU_SLOT_BYTES - 1) / VGPU_SLOT_BYTES;
            require((consumer.position - slots) / header.ring_slots ==
                    (consumer.position - 1) / header.ring_slots);
            vgpu_reply_post(&host, record->reply, 0, buffer, record->size);
            vgpu_host_release(&host, record->context);
            break;
        }
        case 3:
            vgpu_ring_wait(&consumer, doorbell, -1, 0);
            break;
        }
    }
    return 0;
}
