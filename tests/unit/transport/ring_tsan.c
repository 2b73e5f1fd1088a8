/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many producers and one consumer as threads of one process, so that the thread sanitizer sees both
 * sides. Checks that every record arrives once, that each thread's records arrive in its order,
 * that calls ordered between threads stay ordered, that replies belong to their calls, and that
 * stages come back. Sizes, pauses and sleeps vary; the ring is small, so that it fills.
 *
 * usage: ring_tsan [records per thread [threads [calls]]]
 * With `calls` every record is a call that waits for its reply, so that (with VGPU_SPIN_US=0) both
 * sides sleep and wake all the time. Exits non-zero on the first difference.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rig.h"

#define THREADS_MAX 16

enum { OP_DATA = 1, OP_ORDERED, OP_CALL, OP_STAGE, OP_END, OPCODES };

struct body {
    struct vgpu_record record;
    uint32_t thread;
    uint32_t word;
    uint64_t sequence;
};

static struct rig rig;
static struct vgpu_producer producer;
static struct vgpu_replies *replies;
static struct vgpu_heap *heap;
static unsigned per_thread = 20000;
static unsigned thread_count = 6;
static bool only_calls;
static pthread_mutex_t order_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t order;

static void check(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "ring_tsan: %s\n", what);
        _exit(1);
    }
}

static void send_record(uint16_t opcode, uint32_t thread, uint64_t sequence, uint16_t reply,
                        uint32_t word, uint32_t size)
{
    bool ordered = opcode == OP_ORDERED;
    uint64_t position;

    if (ordered) {
        pthread_mutex_lock(&order_lock);
        sequence = order++;
    }
    struct body *b = vgpu_ring_reserve(&producer, size, 0, &position);
    check(b, "reserve failed");
    if (ordered)
        pthread_mutex_unlock(&order_lock);
    b->record = (struct vgpu_record){.opcode = opcode, .reply = reply, .size = size};
    b->thread = thread;
    b->word = word;
    b->sequence = sequence;
    memset(b + 1, (int)(sequence + thread), size - sizeof(*b));
    vgpu_ring_commit(&producer, position);
}

static void *produce(void *argument)
{
    uint32_t thread = (uint32_t)(uintptr_t)argument;
    uint64_t seed = thread + 1;
    struct vgpu_stage stage;

    for (unsigned i = 0; i < per_thread; i++) {
        uint32_t size = sizeof(struct body) + rig_random(&seed) % 400;
        switch (only_calls ? 0 : rig_random(&seed) % 16) {
        case 0: {
            int slot = vgpu_reply_begin(replies);
            const struct vgpu_reply *reply;
            uint64_t echo;
            /* Every moment of the consumer's way to sleep is to be met. */
            for (uint32_t n = only_calls ? rig_random(&seed) % 256 : 0; n; n--)
                vgpu_cpu_relax();
            check(slot >= 0, "no reply slot");
            send_record(OP_CALL, thread, i, (uint16_t)slot, 0, size);
            check(vgpu_reply_wait(replies, slot, &reply) == 0, "no reply");
            memcpy(&echo, reply->payload, sizeof(echo));
            check(reply->result == thread && reply->size == sizeof(echo) && echo == i,
                  "a reply of another call");
            vgpu_reply_end(replies, slot);
            break;
        }
        case 1:
            check(vgpu_stage_get(heap, 1 + rig_random(&seed) % vgpu_heap_stage_max(heap), true,
                                 &stage) == 0,
                  "no stage");
            memset(stage.address, (int)thread, 64);
            send_record(OP_STAGE, thread, i, VGPU_REPLY_NONE, stage.word, size);
            vgpu_stage_submit(heap, &stage);
            break;
        case 2:
            send_record(OP_DATA, thread, i, VGPU_REPLY_NONE, 0, size);
            send_record(OP_ORDERED, thread, 0, VGPU_REPLY_NONE, 0, size);
            break;
        case 3:
            send_record(OP_DATA, thread, i, VGPU_REPLY_NONE, 0,
                        size + rig_random(&seed) % (VGPU_RECORD_MAX - size));
            if (rig_random(&seed) % 64 == 0)
                usleep(200);
            break;
        default:
            send_record(OP_DATA, thread, i, VGPU_REPLY_NONE, 0, size);
        }
    }
    send_record(OP_END, thread, per_thread, VGPU_REPLY_NONE, 0, sizeof(struct body));
    return NULL;
}

static void *consume(void *unused)
{
    static _Alignas(8) uint8_t buffer[VGPU_RECORD_MAX];
    const struct body *b = (const void *)buffer;
    struct vgpu_consumer consumer;
    uint64_t next[THREADS_MAX] = {0};
    uint64_t next_ordered = 0;
    unsigned running = thread_count;

    vgpu_consumer_init(&consumer, &rig.host, OPCODES);
    while (running) {
        int status = vgpu_ring_next(&consumer, buffer);
        if (status == VGPU_RING_EMPTY) {
            vgpu_ring_wait(&consumer, rig.doorbell, -1, -1);
            continue;
        }
        check(status == VGPU_RING_RECORD, consumer.violation ? consumer.violation : "violation");
        check(b->thread < thread_count, "a record of no thread");
        for (const uint8_t *p = buffer + sizeof(*b); p < buffer + b->record.size; p++)
            check(*p == (uint8_t)(b->sequence + b->thread), "a record's body is torn");
        if (b->record.opcode == OP_ORDERED) {
            check(b->sequence == next_ordered++, "calls ordered between threads were reordered");
            continue;
        }
        check(b->sequence == next[b->thread]++, "a thread's records are lost or out of order");
        switch (b->record.opcode) {
        case OP_CALL:
            check(vgpu_reply_post(&rig.host, b->record.reply, b->thread, &b->sequence,
                                  sizeof(b->sequence)) == 0,
                  "post failed");
            break;
        case OP_STAGE:
            check(vgpu_host_release(&rig.host, b->word) == 0, "release failed");
            break;
        case OP_END:
            running--;
        }
    }
    check(next_ordered == order, "ordered calls are missing");
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS_MAX], consumer;

    if (argc > 1)
        per_thread = (unsigned)strtoul(argv[1], NULL, 10);
    if (argc > 2)
        thread_count = (unsigned)strtoul(argv[2], NULL, 10);
    only_calls = argc > 3 && strcmp(argv[3], "calls") == 0;
    check(thread_count >= 1 && thread_count <= THREADS_MAX, "threads out of range");
    /* Fewer slots than threads, and a heap small enough that stages run out. */
    rig_create(&rig, 4u << 20, 2048, 3);
    vgpu_producer_init(&producer, &rig.channel);
    replies = vgpu_replies_create(&rig.channel);
    heap = vgpu_heap_create(&rig.channel);
    check(replies && heap, "out of memory");
    pthread_create(&consumer, NULL, consume, NULL);
    for (uintptr_t i = 0; i < thread_count; i++)
        pthread_create(&threads[i], NULL, produce, (void *)i);
    for (unsigned i = 0; i < thread_count; i++)
        pthread_join(threads[i], NULL);
    pthread_join(consumer, NULL);
    check(!atomic_load(&rig.lost), "a wake-up was lost");
    printf("ring_tsan: %u threads, %u records each, %u doorbells\n", thread_count, per_thread,
           atomic_load(&rig.doorbells));
    vgpu_heap_destroy(heap);
    vgpu_replies_destroy(replies);
    rig_destroy(&rig);
    return 0;
}
