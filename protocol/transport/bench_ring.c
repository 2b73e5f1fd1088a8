/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the ring costs: a record of 128 bytes in the producer, alone and with neighbours, and a
 * round trip of a call and its reply while both sides spin. Medians and 99th percentiles of many
 * short runs; everything in one process, producers and consumer as threads.
 *
 * usage: bench_ring [seconds per row]
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "protocol/transport/futex.h"
#include "protocol/transport/reply.h"
#include "protocol/transport/ring.h"

#define BYTES (8ull << 20)
#define RECORD 128u
#define BATCH                                                                                      \
    1024 /* records per timed run: fits the ring, so a run never waits for the consumer            \
          */
#define SAMPLES_MAX 1000000

enum { OP_NOTHING = 1, OP_CALL, OPCODES };

static struct vgpu_channel channel;
static struct vgpu_host host;
static _Atomic uint32_t owner = VGPU_OWNER_ALIVE;
static int doorbell;
static struct vgpu_producer producer;
static struct vgpu_replies *replies;
static _Atomic bool stop, pause_consumer, paused;
static double seconds = 1;

static void ring_doorbell(void *transport)
{
    uint64_t one = 1;
    if (write(doorbell, &one, sizeof(one)) != sizeof(one))
        abort();
}

static int wait_word(void *transport, _Atomic uint32_t *word, uint32_t expected, uint32_t ms)
{
    return vgpu_futex_wait(word, expected, ms, true);
}

static bool is_dead(void *transport)
{
    return false;
}

static const struct vgpu_channel_ops ops = {ring_doorbell, wait_word, is_dead};

static void *consume(void *unused)
{
    static _Alignas(8) uint8_t buffer[VGPU_RECORD_MAX];
    const struct vgpu_record *r = (const void *)buffer;
    struct vgpu_consumer consumer;

    vgpu_consumer_init(&consumer, &host, OPCODES);
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        if (atomic_load_explicit(&pause_consumer, memory_order_relaxed)) {
            atomic_store(&paused, true);
            sched_yield();
            continue;
        }
        int status = vgpu_ring_next(&consumer, buffer);
        if (status == VGPU_RING_VIOLATION) {
            fprintf(stderr, "bench_ring: %s\n", consumer.violation);
            exit(1);
        }
        if (status == VGPU_RING_RECORD && r->opcode == OP_CALL)
            vgpu_reply_post(&host, r->reply, 0, NULL, 0);
        if (status == VGPU_RING_EMPTY)
            vgpu_ring_wait(&consumer, doorbell, -1, 1);
    }
    return NULL;
}

static void produce(uint16_t opcode, uint16_t reply)
{
    uint64_t position;
    struct vgpu_record *r = vgpu_ring_reserve(&producer, RECORD, 0, &position);

    if (!r)
        exit(1);
    *r = (struct vgpu_record){.opcode = opcode, .reply = reply, .size = RECORD};
    memset(r + 1, 0x11, RECORD - sizeof(*r));
    vgpu_ring_commit(&producer, position);
}

static void drain(void)
{
    struct vgpu_arena_shared *shared = channel.view.shared;
    while (atomic_load(&shared->tail) != atomic_load(&shared->head))
        sched_yield();
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void report(const char *what, double *samples, size_t n)
{
    if (!n)
        return;
    qsort(samples, n, sizeof(*samples), compare);
    printf("%-52s p50 %8.1f ns  p99 %8.1f ns  (%zu runs)\n", what, samples[n / 2],
           samples[n * 99 / 100], n);
}

/* idle: the consumer does nothing during a run, so only the producer's own work is timed. */
static void bench_producer(const char *what, bool idle, double *samples)
{
    uint64_t end = vgpu_now_ns() + (uint64_t)(seconds * 1e9);
    size_t n = 0;

    while (vgpu_now_ns() < end && n < SAMPLES_MAX) {
        drain();
        if (idle) {
            atomic_store(&paused, false);
            atomic_store(&pause_consumer, true);
            while (!atomic_load(&paused))
                sched_yield();
        }
        uint64_t start = vgpu_now_ns();
        for (int i = 0; i < BATCH; i++)
            produce(OP_NOTHING, VGPU_REPLY_NONE);
        samples[n++] = (double)(vgpu_now_ns() - start) / BATCH;
        atomic_store(&pause_consumer, false);
    }
    report(what, samples, n);
}

static _Atomic uint64_t produced;

static void *produce_until_stopped(void *flag)
{
    uint64_t n = 0;
    while (!atomic_load_explicit((_Atomic bool *)flag, memory_order_relaxed)) {
        produce(OP_NOTHING, VGPU_REPLY_NONE);
        n++;
    }
    atomic_fetch_add(&produced, n);
    return NULL;
}

static void bench_throughput(unsigned threads)
{
    pthread_t thread[64];
    _Atomic bool end = false;
    uint64_t start = vgpu_now_ns();

    atomic_store(&produced, 0);
    for (unsigned i = 0; i < threads; i++)
        pthread_create(&thread[i], NULL, produce_until_stopped, &end);
    usleep((useconds_t)(seconds * 1e6));
    atomic_store(&end, true);
    for (unsigned i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
    drain();
    double ns = (double)(vgpu_now_ns() - start);
    printf("through the ring, %2u producers                        %8.1f ns per record\n", threads,
           ns / (double)atomic_load(&produced));
}

static void bench_round_trip(double *samples)
{
    uint64_t end = vgpu_now_ns() + (uint64_t)(seconds * 1e9);
    const struct vgpu_reply *reply;
    size_t n = 0;

    while (vgpu_now_ns() < end && n < SAMPLES_MAX) {
        uint64_t start = vgpu_now_ns();
        for (int i = 0; i < 16; i++) {
            int slot = vgpu_reply_begin(replies);
            produce(OP_CALL, (uint16_t)slot);
            if (vgpu_reply_wait(replies, slot, &reply))
                exit(1);
            vgpu_reply_end(replies, slot);
        }
        samples[n++] = (double)(vgpu_now_ns() - start) / 16;
    }
    report("call and reply, both sides spinning", samples, n);
}

int main(int argc, char **argv)
{
    struct vgpu_arena_header header;
    pthread_t consumer;
    double *samples = malloc(SAMPLES_MAX * sizeof(*samples));
    void *memory =
        mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    if (argc > 1)
        seconds = strtod(argv[1], NULL);
    doorbell = eventfd(0, EFD_NONBLOCK);
    if (!samples || memory == MAP_FAILED || doorbell < 0 ||
        vgpu_layout_plan(&header, VGPU_ARENA_ADDRESS_MIN, BYTES, 0, 0, VGPU_NOTIFY_FUTEX)) {
        perror("bench_ring");
        return 1;
    }
    channel.owner = &owner;
    channel.ops = &ops;
    vgpu_view_init(&channel.view, memory, &header);
    vgpu_host_init(&host, &channel.view, -1);
    vgpu_producer_init(&producer, &channel);
    replies = vgpu_replies_create(&channel);
    if (!replies)
        return 1;
    pthread_create(&consumer, NULL, consume, NULL);
    bench_producer("128-byte record in the producer, consumer idle", true, samples);
    bench_producer("128-byte record in the producer, consumer running", false, samples);
    bench_round_trip(samples);
    for (unsigned threads = 1; threads <= 4; threads *= 2)
        bench_throughput(threads);
    atomic_store(&stop, true);
    pthread_join(consumer, NULL);
    vgpu_replies_destroy(replies);
    free(samples);
    return 0;
}
