/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/transport/heap.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "protocol/transport/futex.h"

#define PAGE 4096u
#define BINS 20 /* 2^19 pages is the largest arena */
#define NONE UINT32_MAX
#define RELEASE_WORDS 256u
#define STAGE_CLASSES 3
#define STAGE_LARGE (2u << 20)
#define STAGE_LARGE_SMALL_ARENA (256u << 10)
#define SMALL_ARENA (32ull << 20)
#define BEST_FIT_LOOKS 64 /* entries of one bin that are compared; after that any that fits */

enum page_state { PAGES_FREE = 1, PAGES_PINNED, PAGES_STAGE };

/*
 * One per heap page, in private memory. Valid at a block's first page; at its last page only
 * `pages` is (the block's length, for joining with what follows). A tag inside a block holds
 * leftovers.
 */
struct tag {
    uint32_t pages;
    uint32_t state;
    uint32_t next,
        previous; /* free: links of the bin. pinned: next is bytes unused in the last page */
};

struct vgpu_heap {
    struct vgpu_channel *channel;
    pthread_mutex_t lock;
    struct tag *tags;
    uint64_t *starts; /* bit per page: a block starts here */
    uint32_t pages;
    uint32_t bins[BINS];
    uint64_t pinned, staged;

    /* Stages that are not in use, by class, as stacks of page numbers chained through idle_next. */
    uint32_t class_bytes[STAGE_CLASSES];
    uint32_t idle[STAGE_CLASSES];
    uint32_t idle_count[STAGE_CLASSES];
    uint32_t idle_reserve; /* large stages that are never trimmed */

    /* A stage holds a release word from get to put or release. */
    uint8_t free_words[RELEASE_WORDS];
    uint32_t free_word_count;
    uint32_t
        in_flight[RELEASE_WORDS]; /* page number of the stage submitted with this word, or NONE */
    uint32_t in_flight_count;
    uint32_t held;             /* stages taken and neither submitted nor put back yet */
    _Atomic uint32_t put_back; /* private futex word: counts stages put back */
};

static int bin_of(uint32_t pages)
{
    int bin = 31 - __builtin_clz(pages);
    return bin < BINS ? bin : BINS - 1;
}

static void bin_remove(struct vgpu_heap *h, uint32_t page)
{
    struct tag *t = &h->tags[page];
    if (t->previous != NONE)
        h->tags[t->previous].next = t->next;
    else
        h->bins[bin_of(t->pages)] = t->next;
    if (t->next != NONE)
        h->tags[t->next].previous = t->previous;
}

static void mark_start(struct vgpu_heap *h, uint32_t page, bool start)
{
    if (start)
        h->starts[page / 64] |= 1ull << page % 64;
    else
        h->starts[page / 64] &= ~(1ull << page % 64);
}

static bool is_start(const struct vgpu_heap *h, uint32_t page)
{
    return h->starts[page / 64] >> page % 64 & 1;
}

static void set_block(struct vgpu_heap *h, uint32_t page, uint32_t pages, enum page_state state)
{
    h->tags[page + pages - 1].pages = pages;
    h->tags[page] = (struct tag){.pages = pages, .state = state};
    mark_start(h, page, true);
}

static void add_free(struct vgpu_heap *h, uint32_t page, uint32_t pages)
{
    set_block(h, page, pages, PAGES_FREE);
    int bin = bin_of(pages);
    struct tag *t = &h->tags[page];
    t->previous = NONE;
    t->next = h->bins[bin];
    if (t->next != NONE)
        h->tags[t->next].previous = page;
    h->bins[bin] = page;
}

static void free_pages(struct vgpu_heap *h, uint32_t page)
{
    uint32_t pages = h->tags[page].pages;

    if (page + pages < h->pages && h->tags[page + pages].state == PAGES_FREE) {
        uint32_t next = page + pages;
        bin_remove(h, next);
        mark_start(h, next, false);
        pages += h->tags[next].pages;
    }
    if (page) {
        uint32_t before = page - h->tags[page - 1].pages;
        if (h->tags[before].state == PAGES_FREE) {
            bin_remove(h, before);
            mark_start(h, page, false);
            pages += h->tags[before].pages;
            page = before;
        }
    }
    add_free(h, page, pages);
}

/* First page at or after `page` whose address is aligned; align is in bytes. */
static uint32_t align_page(const struct vgpu_heap *h, uint32_t page, size_t align)
{
    uintptr_t at = (uintptr_t)h->channel->view.heap + (uintptr_t)page * PAGE;
    return page + (uint32_t)((((at + align - 1) & ~(uintptr_t)(align - 1)) - at) / PAGE);
}

static uint32_t alloc_pages(struct vgpu_heap *h, uint32_t pages, size_t align,
                            enum page_state state)
{
    uint32_t best = NONE;

    for (int bin = bin_of(pages); bin < BINS && best == NONE; bin++) {
        int looks = 0;
        for (uint32_t p = h->bins[bin]; p != NONE; p = h->tags[p].next) {
            uint64_t waste = align_page(h, p, align) - p;
            if (waste + pages > h->tags[p].pages)
                continue;
            if (best == NONE || h->tags[p].pages < h->tags[best].pages)
                best = p;
            if (++looks == BEST_FIT_LOOKS || h->tags[best].pages == pages)
                break;
        }
    }
    if (best == NONE)
        return NONE;

    uint32_t total = h->tags[best].pages;
    uint32_t at = align_page(h, best, align);
    bin_remove(h, best);
    if (at > best)
        add_free(h, best, at - best);
    if (at - best + pages < total)
        add_free(h, at + pages, total - (at - best) - pages);
    set_block(h, at, pages, state);
    return at;
}

static void *page_address(const struct vgpu_heap *h, uint32_t page)
{
    return h->channel->view.heap + (size_t)page * PAGE;
}

/* ---- stages ---- */

static void push_idle(struct vgpu_heap *h, int class, uint32_t page)
{
    h->tags[page].next = h->idle[class];
    h->idle[class] = page;
    h->idle_count[class]++;
}

static uint32_t pop_idle(struct vgpu_heap *h, int class)
{
    uint32_t page = h->idle[class];
    if (page != NONE) {
        h->idle[class] = h->tags[page].next;
        h->idle_count[class]--;
    }
    return page;
}

static int class_of_block(const struct vgpu_heap *h, uint32_t page)
{
    int class = 0;
    while (h->class_bytes[class] != (uint64_t)h->tags[page].pages * PAGE)
        class ++;
    return class;
}

static uint32_t make_stage(struct vgpu_heap *h, int class)
{
    uint32_t page = alloc_pages(h, h->class_bytes[class] / PAGE, PAGE, PAGES_STAGE);
    if (page != NONE)
        h->staged += h->class_bytes[class];
    return page;
}

static void collect_released(struct vgpu_heap *h)
{
    struct vgpu_arena_shared *shared = h->channel->view.shared;

    for (uint32_t w = 0; w < RELEASE_WORDS && h->in_flight_count; w++) {
        uint32_t page = h->in_flight[w];
        if (page == NONE || !atomic_load(&shared->release[w]))
            continue;
        h->in_flight[w] = NONE;
        h->in_flight_count--;
        h->free_words[h->free_word_count++] = (uint8_t)w;
        push_idle(h, class_of_block(h, page), page);
    }
}

/* Gives idle stages back to the pages; true when any was. */
static bool trim(struct vgpu_heap *h)
{
    bool any = false;

    collect_released(h);
    for (int class = 0; class < STAGE_CLASSES; class ++) {
        uint32_t keep = class == STAGE_CLASSES - 1 ? h->idle_reserve : 0;
        while (h->idle_count[class] > keep) {
            uint32_t page = pop_idle(h, class);
            h->staged -= h->class_bytes[class];
            free_pages(h, page);
            any = true;
        }
    }
    return any;
}

struct vgpu_heap *vgpu_heap_create(struct vgpu_channel *channel)
{
    struct vgpu_heap *h = calloc(1, sizeof(*h));
    uint64_t bytes = channel->view.heap_bytes;

    if (!h)
        return NULL;
    h->channel = channel;
    h->pages = (uint32_t)(bytes / PAGE);
    /* Untouched tags cost nothing: the map is sparse like the heap it describes. */
    h->tags = mmap(NULL, h->pages * sizeof(struct tag), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    h->starts = calloc(h->pages / 64 + 1, sizeof(uint64_t));
    if (h->tags == MAP_FAILED || !h->starts) {
        if (h->tags != MAP_FAILED)
            munmap(h->tags, h->pages * sizeof(struct tag));
        free(h->starts);
        free(h);
        errno = ENOMEM;
        return NULL;
    }
    pthread_mutex_init(&h->lock, NULL);
    for (int i = 0; i < BINS; i++)
        h->bins[i] = NONE;
    for (int i = 0; i < STAGE_CLASSES; i++)
        h->idle[i] = NONE;
    for (uint32_t w = 0; w < RELEASE_WORDS; w++) {
        h->in_flight[w] = NONE;
        h->free_words[w] = (uint8_t)(RELEASE_WORDS - 1 - w);
    }
    h->free_word_count = RELEASE_WORDS;
    bool small = bytes < SMALL_ARENA - (4u << 20);
    h->class_bytes[2] = small ? STAGE_LARGE_SMALL_ARENA : STAGE_LARGE;
    h->class_bytes[1] = h->class_bytes[2] / 4;
    h->class_bytes[0] = h->class_bytes[2] / 16;
    add_free(h, 0, h->pages);

    uint64_t want = bytes / 16 / h->class_bytes[2];
    want = want < 2 ? 2 : want > 8 ? 8 : want;
    for (uint64_t i = 0; i < want; i++) {
        uint32_t page = make_stage(h, STAGE_CLASSES - 1);
        if (page == NONE)
            break;
        push_idle(h, STAGE_CLASSES - 1, page);
        h->idle_reserve++;
    }
    return h;
}

void vgpu_heap_destroy(struct vgpu_heap *h)
{
    if (!h)
        return;
    munmap(h->tags, h->pages * sizeof(struct tag));
    free(h->starts);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

void *vgpu_heap_alloc(struct vgpu_heap *h, size_t size, size_t align)
{
    if (align < PAGE)
        align = PAGE;
    if (!size || (align & (align - 1)) || align > VGPU_ARENA_ALIGN) {
        errno = EINVAL;
        return NULL;
    }
    if (size > h->channel->view.heap_bytes) {
        errno = ENOMEM;
        return NULL;
    }
    uint32_t pages = (uint32_t)((size + PAGE - 1) / PAGE);
    void *address = NULL;

    pthread_mutex_lock(&h->lock);
    uint32_t page = alloc_pages(h, pages, align, PAGES_PINNED);
    if (page == NONE && trim(h))
        page = alloc_pages(h, pages, align, PAGES_PINNED);
    if (page != NONE) {
        h->tags[page].next = (uint32_t)((size_t)pages * PAGE - size);
        h->pinned += (uint64_t)pages * PAGE;
        address = page_address(h, page);
    }
    pthread_mutex_unlock(&h->lock);
    if (!address)
        errno = ENOMEM;
    return address;
}

static bool page_of(const struct vgpu_heap *h, const void *address, uint32_t *page)
{
    uintptr_t offset = (uintptr_t)address - (uintptr_t)h->channel->view.heap;
    if (offset >= (uint64_t)h->pages * PAGE)
        return false;
    *page = (uint32_t)(offset / PAGE);
    return true;
}

int vgpu_heap_free(struct vgpu_heap *h, void *address)
{
    uint32_t page;
    int err = -EINVAL;

    if (!page_of(h, address, &page) || (uintptr_t)address % PAGE)
        return -EINVAL;
    pthread_mutex_lock(&h->lock);
    if (is_start(h, page) && h->tags[page].state == PAGES_PINNED) {
        h->pinned -= (uint64_t)h->tags[page].pages * PAGE;
        free_pages(h, page);
        err = 0;
    }
    pthread_mutex_unlock(&h->lock);
    return err;
}

bool vgpu_heap_find(struct vgpu_heap *h, const void *address, void **start, size_t *size)
{
    uint32_t page;
    bool found = false;

    if (!page_of(h, address, &page))
        return false;
    pthread_mutex_lock(&h->lock);
    uint32_t word = page / 64;
    uint64_t bits = h->starts[word] & (~0ull >> (63 - page % 64));
    while (!bits && word)
        bits = h->starts[--word];
    if (bits) {
        uint32_t first = word * 64 + 63 - (uint32_t)__builtin_clzll(bits);
        const struct tag *t = &h->tags[first];
        size_t bytes = (size_t)t->pages * PAGE - t->next;
        uint8_t *at = page_address(h, first);
        if (t->state == PAGES_PINNED && (const uint8_t *)address < at + bytes) {
            *start = at;
            *size = bytes;
            found = true;
        }
    }
    pthread_mutex_unlock(&h->lock);
    return found;
}

size_t vgpu_heap_stage_max(const struct vgpu_heap *h)
{
    return h->class_bytes[STAGE_CLASSES - 1];
}

static bool try_stage(struct vgpu_heap *h, int class, struct vgpu_stage *stage)
{
    uint32_t page = NONE;

    if (!h->free_word_count)
        collect_released(h);
    if (!h->free_word_count)
        return false;
    page = pop_idle(h, class);
    if (page == NONE) {
        collect_released(h);
        page = pop_idle(h, class);
    }
    if (page == NONE)
        page = make_stage(h, class);
    /* A larger idle one will do; only then take pages from the other classes. */
    for (int larger = class + 1; page == NONE && larger < STAGE_CLASSES; larger++)
        page = pop_idle(h, larger);
    if (page == NONE && trim(h))
        page = make_stage(h, class);
    if (page == NONE)
        return false;
    stage->word = h->free_words[--h->free_word_count];
    h->held++;
    stage->address = page_address(h, page);
    stage->size = h->tags[page].pages * PAGE;
    atomic_store(&h->channel->view.shared->release[stage->word], 0);
    return true;
}

int vgpu_stage_get(struct vgpu_heap *h, size_t size, bool wait, struct vgpu_stage *stage)
{
    struct vgpu_channel *channel = h->channel;
    int class = 0;
    int err = vgpu_channel_usable(channel);

    if (err)
        return err;
    if (!size || size > vgpu_heap_stage_max(h))
        return -EINVAL;
    while (h->class_bytes[class] < size)
        class ++;

    for (;;) {
        struct vgpu_arena_shared *shared = channel->view.shared;
        uint32_t wanted = 0;
        pthread_mutex_lock(&h->lock);
        bool got = try_stage(h, class, stage);
        if (!got && wait) {
            wanted = atomic_fetch_or(&shared->release_wanted, 1) | 1;
            got = try_stage(h, class, stage);
        }
        bool in_flight = h->in_flight_count;
        bool held = h->held;
        uint32_t seen = atomic_load(&h->put_back);
        pthread_mutex_unlock(&h->lock);
        if (got)
            return 0;
        if (!wait || (!in_flight && !held))
            return -ENOMEM;
        if (in_flight)
            err = channel->ops->wait(channel->transport, &shared->release_wanted, wanted,
                                     VGPU_WAIT_SLICE_MS);
        else
            err = vgpu_futex_wait(&h->put_back, seen, VGPU_WAIT_SLICE_MS, false);
        if (err == -EPIPE || (err == -ETIMEDOUT && channel->ops->dead(channel->transport)))
            return -EPIPE;
    }
}

void vgpu_stage_submit(struct vgpu_heap *h, const struct vgpu_stage *stage)
{
    uint32_t page;

    if (!page_of(h, stage->address, &page) || stage->word >= RELEASE_WORDS)
        return;
    pthread_mutex_lock(&h->lock);
    if (h->in_flight[stage->word] == NONE && h->held) {
        h->in_flight[stage->word] = page;
        h->in_flight_count++;
        h->held--;
    }
    pthread_mutex_unlock(&h->lock);
}

void vgpu_stage_put(struct vgpu_heap *h, const struct vgpu_stage *stage)
{
    uint32_t page;

    if (!page_of(h, stage->address, &page) || stage->word >= RELEASE_WORDS)
        return;
    pthread_mutex_lock(&h->lock);
    if (h->held) {
        h->held--;
        h->free_words[h->free_word_count++] = (uint8_t)stage->word;
        push_idle(h, class_of_block(h, page), page);
    }
    atomic_fetch_add(&h->put_back, 1);
    pthread_mutex_unlock(&h->lock);
    vgpu_futex_wake(&h->put_back, INT_MAX, false);
}

void vgpu_heap_usage(struct vgpu_heap *h, struct vgpu_heap_usage *usage)
{
    uint32_t largest = 0;

    pthread_mutex_lock(&h->lock);
    for (int bin = BINS - 1; bin >= 0 && !largest; bin--)
        for (uint32_t p = h->bins[bin]; p != NONE; p = h->tags[p].next)
            if (h->tags[p].pages > largest)
                largest = h->tags[p].pages;
    *usage = (struct vgpu_heap_usage){.bytes = (uint64_t)h->pages * PAGE,
                                      .pinned = h->pinned,
                                      .staged = h->staged,
                                      .largest_free = (uint64_t)largest * PAGE};
    pthread_mutex_unlock(&h->lock);
}
