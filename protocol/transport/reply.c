/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/transport/reply.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/transport/futex.h"

/*
 * Who has a slot: 0 nobody, else thread token << 2 | state. KEPT slots are idle but remembered by
 * their thread; anybody may take one by compare-and-swap, so a kept slot never makes another thread
 * wait.
 */
enum { SLOT_FREE = 0, SLOT_KEPT = 1, SLOT_BUSY = 2 };

struct slot_owner {
    _Alignas(64) _Atomic uint64_t owner;
};

/*
 * Pools are recycled, never freed: a thread that ends long after its pool was destroyed may still
 * look at the owner word of the slot it kept, and then finds that it is not its own.
 */
struct vgpu_replies {
    struct vgpu_channel *channel;
    struct vgpu_replies *next; /* in idle_pools */
    uint64_t id;               /* unique over the life of the process */
    uint32_t count;
    struct vgpu_spin spin;
    _Atomic uint32_t hint;    /* where a search for a free slot starts */
    _Atomic uint32_t waiters; /* threads waiting for any slot */
    _Atomic uint32_t
        returned; /* private futex word: counts slots given back while somebody waited */
    struct slot_owner slots[VGPU_REPLY_COUNT_MAX];
};

struct thread_slot {
    uint64_t token; /* 0: thread has none yet */
    uint64_t pool_id;
    struct vgpu_replies *pool;
    uint32_t slot;
};

static _Thread_local struct thread_slot mine;
static _Atomic uint64_t last_token;
static _Atomic uint64_t last_pool;
static pthread_mutex_t idle_lock = PTHREAD_MUTEX_INITIALIZER;
static struct vgpu_replies *idle_pools;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t exit_key;
static bool have_key;

static void give_kept_back(void)
{
    uint64_t kept = mine.token << 2 | SLOT_KEPT;

    if (mine.pool)
        atomic_compare_exchange_strong(&mine.pool->slots[mine.slot].owner, &kept, SLOT_FREE);
    mine.pool = NULL;
    mine.pool_id = 0;
}

static void thread_ends(void *unused)
{
    give_kept_back();
}

static void make_key(void)
{
    have_key = pthread_key_create(&exit_key, thread_ends) == 0;
}

/* Without this a thread that outlives a dlclose() would end in unmapped code. */
__attribute__((destructor)) static void delete_key(void)
{
    if (have_key)
        pthread_key_delete(exit_key);
}

struct vgpu_replies *vgpu_replies_create(struct vgpu_channel *channel)
{
    struct vgpu_replies *r;

    pthread_once(&key_once, make_key);
    pthread_mutex_lock(&idle_lock);
    r = idle_pools;
    if (r)
        idle_pools = r->next;
    pthread_mutex_unlock(&idle_lock);
    if (!r && posix_memalign((void **)&r, 64, sizeof(*r))) {
        errno = ENOMEM;
        return NULL;
    }
    r->channel = channel;
    r->next = NULL;
    r->id = atomic_fetch_add(&last_pool, 1) + 1;
    r->count = channel->view.header.reply_count;
    vgpu_spin_init(&r->spin, vgpu_spin_answer_ns());
    atomic_store(&r->hint, 0);
    atomic_store(&r->waiters, 0);
    atomic_store(&r->returned, 0);
    for (uint32_t i = 0; i < VGPU_REPLY_COUNT_MAX; i++)
        atomic_store(&r->slots[i].owner, SLOT_FREE);
    return r;
}

void vgpu_replies_destroy(struct vgpu_replies *r)
{
    if (!r)
        return;
    for (uint32_t i = 0; i < VGPU_REPLY_COUNT_MAX; i++)
        atomic_store(&r->slots[i].owner, SLOT_FREE);
    pthread_mutex_lock(&idle_lock);
    r->next = idle_pools;
    idle_pools = r;
    pthread_mutex_unlock(&idle_lock);
}

static int search(struct vgpu_replies *r, uint64_t busy)
{
    uint32_t start = atomic_load_explicit(&r->hint, memory_order_relaxed);

    for (uint32_t i = 0; i < r->count; i++) {
        uint32_t slot = (start + i) % r->count;
        uint64_t none = SLOT_FREE;
        if (atomic_load_explicit(&r->slots[slot].owner, memory_order_relaxed) == SLOT_FREE &&
            atomic_compare_exchange_strong(&r->slots[slot].owner, &none, busy)) {
            atomic_store_explicit(&r->hint, slot + 1, memory_order_relaxed);
            return (int)slot;
        }
    }
    for (uint32_t slot = 0; slot < r->count; slot++) {
        uint64_t owner = atomic_load(&r->slots[slot].owner);
        if ((owner & 3) != SLOT_BUSY &&
            atomic_compare_exchange_strong(&r->slots[slot].owner, &owner, busy))
            return (int)slot;
    }
    return -1;
}

static int take_any(struct vgpu_replies *r)
{
    struct vgpu_channel *channel = r->channel;
    uint64_t busy = mine.token << 2 | SLOT_BUSY;
    int slot = search(r, busy);

    while (slot < 0) {
        atomic_fetch_add(&r->waiters, 1);
        uint32_t seen = atomic_load(&r->returned);
        slot = search(r, busy);
        if (slot < 0)
            vgpu_futex_wait(&r->returned, seen, VGPU_WAIT_SLICE_MS, false);
        atomic_fetch_sub(&r->waiters, 1);
        if (slot < 0) {
            if (channel->ops->dead(channel->transport))
                return -EPIPE;
            slot = search(r, busy);
        }
    }
    return slot;
}

int vgpu_reply_begin(struct vgpu_replies *r)
{
    int err = vgpu_channel_usable(r->channel);
    int slot;

    if (err)
        return err;
    uint64_t kept = mine.token << 2 | SLOT_KEPT;
    if (mine.pool_id == r->id && atomic_compare_exchange_strong(&r->slots[mine.slot].owner, &kept,
                                                                mine.token << 2 | SLOT_BUSY)) {
        slot = (int)mine.slot;
    } else {
        if (!mine.token) {
            mine.token = atomic_fetch_add(&last_token, 1) + 1;
            if (have_key)
                pthread_setspecific(exit_key, &mine);
        }
        slot = take_any(r);
        if (slot < 0)
            return slot;
        /* Remember this one, unless the remembered one is ours and merely in use. */
        if (mine.pool_id != r->id || atomic_load(&r->slots[mine.slot].owner) >> 2 != mine.token) {
            give_kept_back();
            mine.pool = r;
            mine.pool_id = r->id;
            mine.slot = (uint32_t)slot;
        }
    }
    struct vgpu_reply *reply = &r->channel->view.replies[slot];
    atomic_store_explicit(&reply->sleeping, 0, memory_order_relaxed);
    atomic_store_explicit(&reply->state, VGPU_REPLY_PENDING, memory_order_relaxed);
    return slot;
}

static bool answered(const struct vgpu_reply *reply)
{
    return atomic_load_explicit(&reply->state, memory_order_acquire) == VGPU_REPLY_DONE;
}

static int sleep_for_answer(struct vgpu_channel *channel, struct vgpu_reply *reply)
{
    for (;;) {
        atomic_store(&reply->sleeping, 1);
        if (atomic_load(&reply->state) == VGPU_REPLY_DONE)
            return 0;
        int err = channel->ops->wait(channel->transport, &reply->state, VGPU_REPLY_PENDING,
                                     VGPU_WAIT_SLICE_MS);
        if (answered(reply))
            return 0;
        if (err == -EPIPE || (err == -ETIMEDOUT && channel->ops->dead(channel->transport)))
            /* The worker may have answered just before it ended. */
            return answered(reply) ? 0 : -EPIPE;
    }
}

int vgpu_reply_wait(struct vgpu_replies *r, int slot, const struct vgpu_reply **out)
{
    struct vgpu_channel *channel = r->channel;
    int err = vgpu_channel_usable(channel);

    if (err == -EPERM)
        return err;
    struct vgpu_reply *reply = &channel->view.replies[slot];
    if (!answered(reply)) {
        uint64_t budget = vgpu_spin_budget(&r->spin);
        uint64_t start = vgpu_now_ns();
        do {
            for (int i = 0; i < 32 && !answered(reply); i++)
                vgpu_cpu_relax();
        } while (!answered(reply) && vgpu_now_ns() - start < budget);
        if (answered(reply)) {
            vgpu_spin_learn(&r->spin, vgpu_now_ns() - start, false);
        } else {
            vgpu_spin_learn(&r->spin, 0, true);
            err = sleep_for_answer(channel, reply);
            if (err)
                return err;
        }
    }
    if (reply->size > VGPU_REPLY_PAYLOAD)
        return -EPIPE;
    *out = reply;
    return 0;
}

void vgpu_reply_end(struct vgpu_replies *r, int slot)
{
    if (atomic_load_explicit(r->channel->owner, memory_order_relaxed) == VGPU_OWNER_FORKED)
        return;
    bool keep = mine.pool_id == r->id && mine.slot == (uint32_t)slot;
    atomic_store(&r->slots[slot].owner, keep ? mine.token << 2 | SLOT_KEPT : SLOT_FREE);
    if (atomic_load(&r->waiters)) {
        atomic_fetch_add(&r->returned, 1);
        vgpu_futex_wake(&r->returned, 1, false);
    }
}

/* ---- host side ---- */

void *vgpu_reply_payload(struct vgpu_host *host, uint32_t slot)
{
    return slot < host->view.header.reply_count ? host->view.replies[slot].payload : NULL;
}

int vgpu_reply_post(struct vgpu_host *host, uint32_t slot, uint32_t result, const void *payload,
                    uint32_t size)
{
    if (slot >= host->view.header.reply_count || size > VGPU_REPLY_PAYLOAD)
        return -1;

    struct vgpu_reply *reply = &host->view.replies[slot];
    if (payload && size)
        memcpy(reply->payload, payload, size);
    reply->result = result;
    reply->size = size;
    atomic_store(&reply->state, VGPU_REPLY_DONE);
    /* Only read: clearing it could take back the announcement of the slot's next user. */
    if (atomic_load(&reply->sleeping))
        vgpu_host_wake(host, &reply->state);
    return 0;
}
