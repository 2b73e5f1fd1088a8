/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostile.c - a guest process that breaks the ring protocol in one chosen way
 *
 *   hostile MODE [SEED]
 *
 * Connects as the guest library does (VGPU_SOCKET, or /dev/vgpu0), checks that the channel serves a
 * correct record, misbehaves, and says what became of the channel. Exit status 0 when the host
 * reacted as it should: "closed" for a broken protocol, "served" where nothing was broken.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "protocol/cuda_abi.h"
#include "protocol/transport/client.h"
#include "vgpu_ops.h"

static struct vgpu_client *client;
static uint64_t state;

static uint64_t next_random(void)
{
    /* xorshift64 (Marsaglia, 2003) */
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void fill_random(void *to, size_t bytes)
{
    uint8_t *at = to;

    for (size_t i = 0; i < bytes; i++)
        at[i] = (uint8_t)next_random();
}

/* Sends one record; claimed may differ from size. False once the channel takes no more. */
static bool send_record(uint16_t opcode, uint16_t reply, uint32_t size, uint32_t claimed,
                        const void *body)
{
    uint64_t position;
    struct vgpu_record *record = vgpu_ring_reserve(&client->ring, size, 0, &position);

    if (!record)
        return false;
    *record = (struct vgpu_record){.opcode = opcode, .reply = reply, .size = claimed};
    if (size > sizeof(*record)) {
        if (body)
            memcpy(record + 1, body, size - sizeof(*record));
        else
            memset(record + 1, 0, size - sizeof(*record));
    }
    vgpu_ring_commit(&client->ring, position);
    return true;
}

/* A correct call: Init answers with a device count. */
static bool served(void)
{
    const struct vgpu_reply *reply;
    int slot = vgpu_reply_begin(client->replies);
    bool good;

    if (slot < 0)
        return false;
    if (!send_record(VGPU_OP_Init, (uint16_t)slot, VGPU_REQ_BYTES_Init, VGPU_REQ_BYTES_Init, NULL)) {
        vgpu_reply_end(client->replies, slot);
        return false;
    }
    good = vgpu_reply_wait(client->replies, slot, &reply) == 0 && reply->result == CUDA_SUCCESS &&
           reply->size == VGPU_RSP_BYTES_Init;
    vgpu_reply_end(client->replies, slot);
    return good;
}

static int closed(void)
{
    for (int i = 0; i < 2000; i++) {
        if (vgpu_client_dead(client)) {
            puts("hostile: closed");
            return 0;
        }
        usleep(10000);
    }
    puts("hostile: the channel is still open");
    return 1;
}

/* ---- broken protocol: the channel must be closed ---- */

static int mode_garbage(void)
{
    struct vgpu_view *view = &client->channel.view;

    for (int i = 0; i < 200 && !vgpu_client_dead(client); i++) {
        fill_random(view->ring, (size_t)view->header.ring_slots * VGPU_SLOT_BYTES);
        for (uint32_t slot = 0; slot < view->header.ring_slots; slot++)
            atomic_store(&view->commit[slot], 1 + (i & 1));
        atomic_store(&view->shared->head, next_random() >> (i % 64));
        client->channel.ops->doorbell(client->channel.transport);
        usleep(1000);
    }
    return closed();
}

static int mode_head(void)
{
    atomic_store(&client->channel.view.shared->head, 1ull << 60);
    client->channel.ops->doorbell(client->channel.transport);
    for (uint32_t slot = 0; slot < client->channel.view.header.ring_slots; slot++)
        atomic_store(&client->channel.view.commit[slot], 1);
    client->channel.ops->doorbell(client->channel.transport);
    return closed();
}

static int mode_size(void)
{
    send_record(VGPU_OP_EventRecord, VGPU_REPLY_NONE, 64, 0xffffffff, NULL);
    return closed();
}

static int mode_short(void)
{
    send_record(VGPU_OP_Copy, VGPU_REPLY_NONE, sizeof(struct vgpu_record) + 4,
                sizeof(struct vgpu_record) + 4, NULL);
    return closed();
}

static int mode_long(void)
{
    send_record(VGPU_OP_EventRecord, VGPU_REPLY_NONE, 4096, 4096, NULL);
    return closed();
}

static int mode_opcode(void)
{
    send_record(VGPU_OP_LIMIT - 1 - 2, VGPU_REPLY_NONE, 64, 64, NULL);
    send_record(0xfffe, VGPU_REPLY_NONE, 64, 64, NULL);
    return closed();
}

static int mode_reply(void)
{
    send_record(VGPU_OP_Init, 0xfffe, VGPU_REQ_BYTES_Init, VGPU_REQ_BYTES_Init, NULL);
    return closed();
}

static int mode_class(void)
{
    send_record(VGPU_OP_Init, VGPU_REPLY_NONE, VGPU_REQ_BYTES_Init, VGPU_REQ_BYTES_Init, NULL);
    return closed();
}

static int mode_handle(void)
{
    uint32_t body[3] = {0xffffffff, 0, 0};

    send_record(VGPU_OP_EventCreate, VGPU_REPLY_NONE, VGPU_REQ_BYTES_EventCreate,
                VGPU_REQ_BYTES_EventCreate, body);
    return closed();
}

static int mode_heap(void)
{
    struct vgpu_req_BlobCreate create = {.size = 4096, .blob = 5};
    struct vgpu_req_BlobWrite write = {.size = 0xfffffffffffff000ull, .blob = 5};

    write.data = (uint64_t)(uintptr_t)client->channel.view.heap + 4096;
    send_record(VGPU_OP_BlobCreate, VGPU_REPLY_NONE, VGPU_REQ_BYTES_BlobCreate,
                VGPU_REQ_BYTES_BlobCreate, &create.record + 1);
    send_record(VGPU_OP_BlobWrite, VGPU_REPLY_NONE, VGPU_REQ_BYTES_BlobWrite,
                VGPU_REQ_BYTES_BlobWrite, &write.record + 1);
    return closed();
}

static int mode_upload(void)
{
    struct vgpu_req_BlobCreate create = {.size = 4096, .blob = 5};
    struct vgpu_req_BlobWrite write = {.size = 4096, .offset = 1, .blob = 5};

    write.data = (uint64_t)(uintptr_t)client->channel.view.heap;
    send_record(VGPU_OP_BlobCreate, VGPU_REPLY_NONE, VGPU_REQ_BYTES_BlobCreate,
                VGPU_REQ_BYTES_BlobCreate, &create.record + 1);
    send_record(VGPU_OP_BlobWrite, VGPU_REPLY_NONE, VGPU_REQ_BYTES_BlobWrite,
                VGPU_REQ_BYTES_BlobWrite, &write.record + 1);
    return closed();
}

static int mode_release(void)
{
    struct vgpu_req_Copy copy = {.release = 257};

    send_record(VGPU_OP_Copy, VGPU_REPLY_NONE, VGPU_REQ_BYTES_Copy, VGPU_REQ_BYTES_Copy,
                &copy.record + 1);
    return closed();
}

static int mode_window(void)
{
    struct vgpu_req_Window window = {.base = 0x1000, .bytes = 0xfffffffffffff000ull};

    send_record(VGPU_OP_Window, 0, VGPU_REQ_BYTES_Window, VGPU_REQ_BYTES_Window,
                &window.record + 1);
    return closed();
}

/* ---- nothing broken, only unpleasant: the channel must go on ---- */

static int mode_doorbells(void)
{
    for (int i = 0; i < 100000; i++)
        client->channel.ops->doorbell(client->channel.transport);
    if (!served()) {
        puts("hostile: not served after a doorbell storm");
        return 1;
    }
    puts("hostile: served");
    return 0;
}

/* Operations in their right form with random arguments: errors, never a crash. */
static int mode_random(void)
{
    static uint8_t body[VGPU_RECORD_MAX];
    unsigned sent = 0;

    while (sent < 3000) {
        uint16_t opcode = (uint16_t)(next_random() % VGPU_OP_LIMIT);
        const struct vgpu_op_info *info = &vgpu_op_table[opcode];
        if (info->op_class != VGPU_CLASS_DEFERRED)
            continue;
        uint32_t tail = info->request_tail_max ? (uint32_t)(next_random() % info->request_tail_max) : 0;
        if (tail > 512)
            tail = 512;
        fill_random(body, info->request_bytes + tail);
        /* Half of the words small: handles and counts that come closer to being valid. */
        for (uint32_t i = 0; i + 4 <= info->request_bytes + tail; i += 4) {
            uint32_t small = (uint32_t)(next_random() % 8);
            if (next_random() & 1)
                memcpy(body + i, &small, 4);
        }
        if (!send_record(opcode, VGPU_REPLY_NONE, info->request_bytes + tail,
                         info->request_bytes + tail, body))
            break;
        sent++;
    }
    /* Some random handles do break the protocol; both ends are right, a dead worker is not. */
    usleep(200000);
    puts(vgpu_client_dead(client) ? "hostile: closed" : "hostile: served");
    return 0;
}

static atomic_bool flipping;

static void *flip(void *unused)
{
    struct vgpu_view *view = &client->channel.view;
    uint64_t seed = state | 1;

    while (atomic_load(&flipping)) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        ((volatile uint8_t *)view->ring)[seed % ((uint64_t)view->header.ring_slots * VGPU_SLOT_BYTES)] ^=
            (uint8_t)(1u << (seed >> 60));
    }
    return unused;
}

/* What the worker has checked changes under its hands. */
static int mode_flip(void)
{
    pthread_t thread;
    uint32_t event[3] = {0};

    atomic_store(&flipping, true);
    if (pthread_create(&thread, NULL, flip, NULL) != 0)
        return 1;
    for (int i = 0; i < 20000; i++) {
        if (!send_record(VGPU_OP_EventRecord, VGPU_REPLY_NONE, VGPU_REQ_BYTES_EventRecord,
                         VGPU_REQ_BYTES_EventRecord, event))
            break;
    }
    atomic_store(&flipping, false);
    pthread_join(thread, NULL);
    puts(vgpu_client_dead(client) ? "hostile: closed" : "hostile: served");
    return 0;
}

static const struct {
    const char *name;
    int (*run)(void);
} modes[] = {
    {"garbage", mode_garbage}, {"head", mode_head},       {"size", mode_size},
    {"short", mode_short},     {"long", mode_long},       {"opcode", mode_opcode},
    {"reply", mode_reply},     {"class", mode_class},     {"handle", mode_handle},
    {"heap", mode_heap},       {"upload", mode_upload},   {"release", mode_release},
    {"window", mode_window},   {"doorbells", mode_doorbells}, {"random", mode_random},
    {"flip", mode_flip},
};

int main(int argc, char **argv)
{
    char error[VGPU_CLIENT_ERROR_BYTES] = "";
    struct vgpu_client_options options = {.error = error, .arena_bytes = 16 << 20};

    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
            puts(modes[i].name);
        return 0;
    }
    state = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL);
    state = state * 2654435761u + 88172645463325252ull;
    for (size_t i = 0; argc > 1 && i < sizeof(modes) / sizeof(modes[0]); i++) {
        if (strcmp(argv[1], modes[i].name) != 0)
            continue;
        if (vgpu_client_connect(&options, &client) != 0) {
            fprintf(stderr, "hostile: %s\n", error);
            return 1;
        }
        if (!served()) {
            fputs("hostile: a correct call was not served\n", stderr);
            return 1;
        }
        return modes[i].run();
    }
    fputs("usage: hostile MODE [SEED]; hostile --list names the modes\n", stderr);
    return 2;
}
