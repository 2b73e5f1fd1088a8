/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/transport/ring.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define SPIN_STEP 32     /* looks between two readings of the clock */
#define PADS_PER_CALL 64 /* fillers skipped before next() lets its caller have a say */
#define WAKE_FRACTION 8  /* producers are woken when this part of the ring was freed */

static uint32_t slots_of(uint32_t size)
{
    return (size + VGPU_SLOT_BYTES - 1) / VGPU_SLOT_BYTES;
}

static uint32_t shift_of(uint32_t slots)
{
    return (uint32_t)__builtin_ctz(slots);
}

static uint32_t lap_of(uint64_t position, uint32_t shift)
{
    return (uint32_t)(position >> shift) + 1;
}

/* ---- producer side ---- */

void vgpu_producer_init(struct vgpu_producer *producer, struct vgpu_channel *channel)
{
    producer->channel = channel;
    producer->slots = channel->view.header.ring_slots;
    producer->shift = shift_of(producer->slots);
    vgpu_spin_init(&producer->spin, VGPU_SPIN_DEFAULT_NS);
    atomic_init(&producer->tail, 0);
}

/* Signed: a head that was read before the tail may be older than it. */
static bool has_room(const struct vgpu_producer *p, uint64_t end, uint64_t tail)
{
    return (int64_t)(end - tail) <= (int64_t)p->slots;
}

static int wait_for_tail(struct vgpu_producer *p, uint64_t end)
{
    struct vgpu_channel *channel = p->channel;
    struct vgpu_arena_shared *shared = channel->view.shared;
    uint64_t start = vgpu_now_ns();
    uint64_t budget = vgpu_spin_budget(&p->spin);
    uint64_t tail = atomic_load_explicit(&shared->tail, memory_order_acquire);
    int err = 0;

    while (!has_room(p, end, tail) && vgpu_now_ns() - start < budget) {
        for (int i = 0; i < SPIN_STEP && !has_room(p, end, tail); i++) {
            vgpu_cpu_relax();
            tail = atomic_load_explicit(&shared->tail, memory_order_acquire);
        }
    }
    bool slept = !has_room(p, end, tail);
    uint64_t spun = vgpu_now_ns() - start;
    while (!has_room(p, end, tail)) {
        if (channel->ops->dead(channel->transport)) {
            err = -EPIPE;
            break;
        }
        uint32_t wanted = atomic_fetch_or(&shared->space_wanted, 1) | 1;
        tail = atomic_load(&shared->tail);
        if (has_room(p, end, tail))
            break;
        err = channel->ops->wait(channel->transport, &shared->space_wanted, wanted,
                                 VGPU_WAIT_SLICE_MS);
        if (err == -EPIPE)
            break;
        err = 0;
        tail = atomic_load_explicit(&shared->tail, memory_order_acquire);
    }
    vgpu_spin_learn(&p->spin, spun, slept);
    atomic_store_explicit(&p->tail, tail, memory_order_release);
    return err;
}

void *vgpu_ring_reserve(struct vgpu_producer *p, uint32_t size, uint32_t flags, uint64_t *position)
{
    struct vgpu_channel *channel = p->channel;
    struct vgpu_arena_shared *shared = channel->view.shared;
    int err = vgpu_channel_usable(channel);

    if (err) {
        errno = -err;
        return NULL;
    }
    if (size < sizeof(struct vgpu_record) || size > VGPU_RECORD_MAX) {
        errno = EINVAL;
        return NULL;
    }

    uint32_t need = slots_of(size);
    uint64_t head = atomic_load_explicit(&shared->head, memory_order_relaxed);
    uint32_t index, pad;
    for (;;) {
        index = (uint32_t)head & (p->slots - 1);
        pad = index + need > p->slots ? p->slots - index : 0;
        uint64_t end = head + pad + need;

        if (!has_room(p, end, atomic_load_explicit(&p->tail, memory_order_acquire))) {
            uint64_t tail = atomic_load_explicit(&shared->tail, memory_order_acquire);
            atomic_store_explicit(&p->tail, tail, memory_order_release);
            if (!has_room(p, end, tail)) {
                if (flags & VGPU_RING_NONBLOCK) {
                    errno = EAGAIN;
                    return NULL;
                }
                err = wait_for_tail(p, end);
                if (err) {
                    errno = -err;
                    return NULL;
                }
                head = atomic_load_explicit(&shared->head, memory_order_relaxed);
            }
            continue;
        }
        if (atomic_compare_exchange_weak_explicit(&shared->head, &head, end, memory_order_acq_rel,
                                                  memory_order_relaxed))
            break;
    }

    if (pad) {
        vgpu_ring_cancel(p, head, pad * VGPU_SLOT_BYTES);
        head += pad;
        index = 0;
    }
    *position = head;
    return channel->view.ring + (size_t)index * VGPU_SLOT_BYTES;
}

void vgpu_ring_commit(struct vgpu_producer *p, uint64_t position)
{
    struct vgpu_channel *channel = p->channel;
    struct vgpu_arena_shared *shared = channel->view.shared;

    atomic_store(&channel->view.commit[position & (p->slots - 1)], lap_of(position, p->shift));
    if (__builtin_expect(atomic_load(&shared->consumer_sleeping), 0) &&
        atomic_exchange(&shared->consumer_sleeping, 0))
        channel->ops->doorbell(channel->transport);
}

void vgpu_ring_cancel(struct vgpu_producer *p, uint64_t position, uint32_t size)
{
    size_t index = position & (p->slots - 1);
    struct vgpu_record *record = (void *)(p->channel->view.ring + index * VGPU_SLOT_BYTES);

    *record = (struct vgpu_record){.opcode = VGPU_OP_PAD, .reply = VGPU_REPLY_NONE, .size = size};
    vgpu_ring_commit(p, position);
}

/* ---- consumer side ---- */

void vgpu_consumer_init(struct vgpu_consumer *c, struct vgpu_host *host, uint32_t opcodes)
{
    memset(c, 0, sizeof(*c));
    c->host = host;
    c->slots = host->view.header.ring_slots;
    c->shift = shift_of(c->slots);
    c->opcodes = opcodes;
    vgpu_spin_init(&c->spin, VGPU_SPIN_DEFAULT_NS);
}

static int violate(struct vgpu_consumer *c, const char *what)
{
    if (!c->violation)
        c->violation = what;
    return VGPU_RING_VIOLATION;
}

static bool committed(const struct vgpu_consumer *c)
{
    _Atomic uint32_t *word = &c->host->view.commit[c->position & (c->slots - 1)];
    return atomic_load_explicit(word, memory_order_acquire) == lap_of(c->position, c->shift);
}

bool vgpu_ring_ready(const struct vgpu_consumer *c)
{
    return !c->violation && committed(c);
}

/* Sequentially consistent on both words: a producer either sees the tail or is seen waiting. */
static void wake_producers(struct vgpu_consumer *c)
{
    if (c->woken_at == c->position)
        return;
    c->woken_at = c->position;
    atomic_store(&c->host->view.shared->tail, c->position);
    vgpu_host_space(c->host);
}

/*
 * Looked at now and then only, and always before sleep: producers fight for this cache line, and
 * nothing the consumer touches depends on it.
 */
static bool check_head(struct vgpu_consumer *c)
{
    uint64_t ahead =
        atomic_load_explicit(&c->host->view.shared->head, memory_order_acquire) - c->position;

    if (ahead <= c->slots)
        return true;
    violate(c, "head is not within one ring of what was consumed");
    return false;
}

/* One fetch of the record's header; every decision is made on the copy. */
static struct vgpu_record fetch_header(const uint8_t *from)
{
    const volatile uint64_t *words = (const volatile void *)from;
    uint64_t copy[2] = {words[0], words[1]};
    struct vgpu_record header;

    memcpy(&header, copy, sizeof(header));
    return header;
}

static const char *header_fault(const struct vgpu_consumer *c, const struct vgpu_record *h)
{
    if (h->size < sizeof(struct vgpu_record) || h->size > VGPU_RECORD_MAX)
        return "record size is out of range";
    if ((c->position & (c->slots - 1)) + slots_of(h->size) > c->slots)
        return "record runs past the ring's end";
    if (h->opcode == VGPU_OP_PAD)
        return NULL;
    if (h->opcode >= c->opcodes)
        return "record opcode is unknown";
    if (h->reply >= c->host->view.header.reply_count && h->reply != VGPU_REPLY_NONE)
        return "record names a reply slot that is not there";
    if (h->reserved)
        return "record has reserved bits set";
    return NULL;
}

int vgpu_ring_next(struct vgpu_consumer *c, void *buffer)
{
    struct vgpu_arena_shared *shared = c->host->view.shared;

    if (c->violation)
        return VGPU_RING_VIOLATION;
    for (int pads = 0; pads < PADS_PER_CALL; pads++) {
        if (!committed(c)) {
            wake_producers(c);
            return VGPU_RING_EMPTY;
        }

        size_t index = c->position & (c->slots - 1);
        const uint8_t *from = c->host->view.ring + index * VGPU_SLOT_BYTES;
        struct vgpu_record header = fetch_header(from);
        const char *fault = header_fault(c, &header);
        if (fault)
            return violate(c, fault);
        uint32_t need = slots_of(header.size);

        if (header.opcode != VGPU_OP_PAD) {
            memcpy(buffer, &header, sizeof(header));
            memcpy((uint8_t *)buffer + sizeof(header), from + sizeof(header),
                   header.size - sizeof(header));
            /* What the caller sees is the copy, whatever an optimiser knows about memcpy. */
            __asm__ volatile("" ::: "memory");
        }
        c->position += need;
        atomic_store_explicit(&shared->tail, c->position, memory_order_release);
        if (c->position - c->woken_at >= c->slots / WAKE_FRACTION) {
            wake_producers(c);
            if (!check_head(c))
                return VGPU_RING_VIOLATION;
        }
        if (header.opcode != VGPU_OP_PAD)
            return VGPU_RING_RECORD;
    }
    return VGPU_RING_EMPTY;
}

bool vgpu_ring_sleep_prepare(struct vgpu_consumer *c)
{
    struct vgpu_arena_shared *shared = c->host->view.shared;

    if (c->violation)
        return false;
    wake_producers(c);
    atomic_store(&shared->consumer_sleeping, 1);
    if (atomic_load(&c->host->view.commit[c->position & (c->slots - 1)]) ==
            lap_of(c->position, c->shift) ||
        !check_head(c)) {
        vgpu_ring_sleep_finish(c);
        return false;
    }
    return true;
}

void vgpu_ring_sleep_finish(struct vgpu_consumer *c)
{
    atomic_store_explicit(&c->host->view.shared->consumer_sleeping, 0, memory_order_relaxed);
}

static bool spin_for_record(struct vgpu_consumer *c, uint64_t start)
{
    uint64_t budget = vgpu_spin_budget(&c->spin);

    do {
        for (int i = 0; i < SPIN_STEP; i++) {
            if (committed(c))
                return true;
            vgpu_cpu_relax();
        }
    } while (vgpu_now_ns() - start < budget);
    return false;
}

int vgpu_ring_wait(struct vgpu_consumer *c, int doorbell_fd, int other_fd, int timeout_ms)
{
    if (c->violation)
        return VGPU_RING_VIOLATION;
    if (committed(c))
        return VGPU_RING_RECORD;

    uint64_t start = vgpu_now_ns();
    uint64_t deadline = start + (uint64_t)(timeout_ms > 0 ? timeout_ms : 0) * 1000000u;
    if (spin_for_record(c, start)) {
        vgpu_spin_learn(&c->spin, vgpu_now_ns() - start, false);
        return VGPU_RING_RECORD;
    }
    vgpu_spin_learn(&c->spin, 0, true);

    while (vgpu_ring_sleep_prepare(c)) {
        struct pollfd fds[2] = {{.fd = doorbell_fd, .events = POLLIN},
                                {.fd = other_fd, .events = POLLIN}};
        int left = -1;
        if (timeout_ms >= 0) {
            uint64_t now = vgpu_now_ns();
            left = now >= deadline ? 0 : (int)((deadline - now + 999999) / 1000000);
        }
        int n = poll(fds, 2, left);
        int err = errno;
        vgpu_ring_sleep_finish(c);
        if (n > 0 && fds[0].revents) {
            uint64_t count;
            if (!(fds[0].revents & POLLIN) ||
                (read(doorbell_fd, &count, sizeof(count)) != sizeof(count) && errno != EAGAIN &&
                 errno != EINTR))
                return violate(c, "the doorbell is not a working eventfd");
        }
        if (committed(c))
            break;
        if (n == 0 || (n < 0 && err == EINTR) || (n > 0 && fds[1].revents))
            return VGPU_RING_EMPTY;
        if (n < 0)
            return violate(c, "the doorbell cannot be waited for");
    }
    if (c->violation)
        return VGPU_RING_VIOLATION;
    return VGPU_RING_RECORD;
}
