/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory.c - device memory, host memory that kernels may touch, and the addresses of both
 *
 * A device's memory is one sparse file of the configured size, handed out in chunks of 2 MiB and
 * mapped at the address that CUDA's caller sees, so a device address is an address of this process.
 * Freed chunks are punched out of the file: they read as zero when handed out again and cost
 * nothing meanwhile. cuMemAlloc takes whole chunks, or 512-byte units of a shared chunk when small.
 */
#include "driver.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SMALL_MAX (SOFT_CHUNK / 2)
#define PAGE 4096ull
#define SMALL_UNITS (SOFT_CHUNK / SOFT_SMALL_UNIT)
/* x86-64 user addresses end here; a hint above can never be honoured. */
#define ADDRESS_END (1ull << 47)

/* ---- tables of ranges ------------------------------------------------------------------------ */

struct reservation { /* cuMemAddressReserve, or the addresses of a segment */
    uint64_t base, size;
    bool segment;
};

/* Sorted by base, never overlapping. Items start with uint64_t base, size. */
struct table {
    void **items;
    size_t count, size;
};
static struct table blocks, reservations;

static uint64_t base_of(const void *item)
{
    return ((const uint64_t *)item)[0];
}

static uint64_t size_of(const void *item)
{
    return ((const uint64_t *)item)[1];
}

static size_t above(const struct table *t, uint64_t addr)
{
    size_t lo = 0, hi = t->count;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (base_of(t->items[mid]) <= addr)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static void *find(const struct table *t, uint64_t addr)
{
    size_t i = above(t, addr);
    void *item = i ? t->items[i - 1] : NULL;

    return item && addr - base_of(item) < size_of(item) ? item : NULL;
}

static bool overlaps(const struct table *t, uint64_t base, uint64_t size)
{
    size_t i = above(t, base);

    return find(t, base) || (i < t->count && base_of(t->items[i]) - base < size);
}

static bool insert(struct table *t, void *item)
{
    size_t i = above(t, base_of(item));

    if (t->count == t->size) {
        size_t size = t->size ? t->size * 2 : 64;
        void **grown = realloc(t->items, size * sizeof(*grown));

        if (!grown)
            return false;
        t->items = grown;
        t->size = size;
    }
    memmove(t->items + i + 1, t->items + i, (t->count - i) * sizeof(*t->items));
    t->items[i] = item;
    t->count++;
    return true;
}

static void erase(struct table *t, const void *item)
{
    size_t i = above(t, base_of(item));

    if (!i || t->items[i - 1] != item)
        return;
    memmove(t->items + i - 1, t->items + i, (t->count - i) * sizeof(*t->items));
    t->count--;
}

struct block *block_find(uint64_t addr)
{
    return find(&blocks, addr);
}

enum space memory_space(uint64_t addr)
{
    struct block *b = block_find(addr);
    uint64_t base, size;

    if (b && (b->kind == BLOCK_HOST || b->kind == BLOCK_REGISTERED))
        return SPACE_PINNED;
    if (sg_memmap_find(drv.map, addr, &base, &size))
        return SPACE_DEVICE;
    return find(&reservations, addr) ? SPACE_DEAD : SPACE_PAGEABLE;
}

bool memory_live(uint64_t addr, uint64_t size, bool write)
{
    if (size == 0)
        return true;
    if (addr + size < addr)
        return false;
    /* Neighbouring ranges count as one: mappings of cuMemMap are often used as such. */
    while (size) {
        uint64_t base, length, part;
        struct block *b;

        if (!sg_memmap_find(drv.map, addr, &base, &length))
            return false;
        part = base + length - addr;
        if (part > size)
            part = size;
        /* The table is guarded by the lock, which copies do not hold; what they may write was
         * checked when they were queued. */
        if (write && (b = block_find(addr)) && b->readonly)
            return false;
        addr += part;
        size -= part;
    }
    return true;
}

bool memory_mapped(const void *addr, size_t size)
{
    unsigned char state[4096];
    uint64_t at = (uint64_t)(uintptr_t)addr & ~(PAGE - 1);
    uint64_t end;

    if (__builtin_add_overflow((uint64_t)(uintptr_t)addr, size, &end) || end > ADDRESS_END || !at)
        return false;
    while (at < end) {
        uint64_t part = end - at < sizeof(state) * PAGE ? end - at : sizeof(state) * PAGE;

        if (mincore((void *)(uintptr_t)at, part, state) && errno == ENOMEM)
            return false;
        at += part;
    }
    return true;
}

void memory_quiesce(void)
{
    drv.paused++;
    atomic_fetch_add(&drv.resched, 1);
    while (drv.running)
        wait_done();
}

void memory_resume(void)
{
    if (--drv.paused == 0) {
        pool_resume();
        wake_done();
    }
}

/* ---- physical memory ------------------------------------------------------------------------- */

void device_memory_init(struct device *dev)
{
    static const char uuid[15] = "vGPU software G";

    dev->memory_fd = -1;
    dev->chunk_count = dev->chunks_free = dev->total / SOFT_CHUNK;
    list_init(&dev->segments);
    memcpy(dev->uuid.bytes, uuid, sizeof(uuid));
    dev->uuid.bytes[15] = (char)dev->ordinal;
}

static CUresult device_memory_open(struct device *dev)
{
    if (dev->memory_fd >= 0)
        return CUDA_SUCCESS;
    dev->chunk_used = calloc((dev->chunk_count + 63) / 64, sizeof(uint64_t));
    if (!dev->chunk_used)
        return CUDA_ERROR_OUT_OF_MEMORY;
    dev->memory_fd = memfd_create("vgpu-soft-memory", MFD_CLOEXEC);
    if (dev->memory_fd >= 0 && ftruncate(dev->memory_fd, (off_t)dev->total) == 0)
        return CUDA_SUCCESS;
    soft_log("cannot create device memory of %zu bytes: %s", dev->total, strerror(errno));
    if (dev->memory_fd >= 0)
        close(dev->memory_fd);
    dev->memory_fd = -1;
    free(dev->chunk_used);
    dev->chunk_used = NULL;
    return CUDA_ERROR_OUT_OF_MEMORY;
}

static bool used(const struct device *dev, size_t chunk)
{
    return dev->chunk_used[chunk / 64] >> chunk % 64 & 1;
}

static CUresult poison(const struct device *dev, const struct extent *e)
{
    char bytes[65536];
    uint64_t at = e->first * SOFT_CHUNK, end = at + e->count * SOFT_CHUNK;

    memset(bytes, drv.poison, sizeof(bytes));
    for (; at < end; at += sizeof(bytes))
        if (pwrite(dev->memory_fd, bytes, sizeof(bytes), (off_t)at) != sizeof(bytes))
            return CUDA_ERROR_OUT_OF_MEMORY;
    return CUDA_SUCCESS;
}

static void physical_drop(struct physical *p)
{
    struct device *dev = p->dev;

    if (--p->refs)
        return;
    for (size_t i = 0; i < p->extent_count; i++) {
        const struct extent *e = &p->extents[i];

        /* Gives the pages back, so that the next owner finds zeroes and not this one's data. */
        if (fallocate(dev->memory_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                      (off_t)(e->first * SOFT_CHUNK), (off_t)(e->count * SOFT_CHUNK))) {
            soft_log("cannot clear freed device memory: %s", strerror(errno));
            continue; /* then nobody gets these chunks again */
        }
        for (size_t c = e->first; c < e->first + e->count; c++)
            dev->chunk_used[c / 64] &= ~(1ull << c % 64);
        dev->chunks_free += e->count;
    }
    free(p);
}

static CUresult physical_new(struct device *dev, size_t size, struct physical **out)
{
    size_t want = size / SOFT_CHUNK, extents = 0, chunk, best = 0, run = 0;
    struct physical *p;
    CUresult r = device_memory_open(dev);

    if (r)
        return r;
    if (want > dev->chunks_free)
        return CUDA_ERROR_OUT_OF_MEMORY;
    /* In one piece where there is one, else in as many as it takes. */
    for (chunk = 0; chunk < dev->chunk_count && run < want; chunk++) {
        run = used(dev, chunk) ? 0 : run + 1;
        best = chunk + 1 - run;
    }
    if (run == want) {
        extents = 1;
    } else {
        size_t left = want;

        best = 0;
        for (chunk = 0; chunk < dev->chunk_count && left; chunk++) {
            if (used(dev, chunk))
                continue;
            if (chunk == 0 || used(dev, chunk - 1))
                extents++;
            left--;
        }
    }
    p = calloc(1, sizeof(*p) + extents * sizeof(p->extents[0]));
    if (!p)
        return CUDA_ERROR_OUT_OF_MEMORY;
    p->dev = dev;
    p->size = size;
    p->refs = 1;
    for (chunk = best; want; chunk++) {
        struct extent *e = p->extent_count ? &p->extents[p->extent_count - 1] : NULL;

        if (used(dev, chunk))
            continue;
        if (!e || e->first + e->count != chunk) {
            e = &p->extents[p->extent_count++];
            e->first = chunk;
        }
        e->count++;
        dev->chunk_used[chunk / 64] |= 1ull << chunk % 64;
        dev->chunks_free--;
        want--;
    }
    if (drv.poison >= 0) {
        for (size_t i = 0; i < p->extent_count && !r; i++)
            r = poison(dev, &p->extents[i]);
        if (r) {
            physical_drop(p);
            return r;
        }
    }
    *out = p;
    return CUDA_SUCCESS;
}

/* Maps the first size bytes of p over the reserved addresses at base. */
static CUresult physical_map(const struct physical *p, uint64_t base, size_t size)
{
    size_t left = size;

    for (size_t i = 0; i < p->extent_count && left; i++) {
        size_t part = p->extents[i].count * SOFT_CHUNK;

        if (part > left)
            part = left;
        if (mmap((void *)(uintptr_t)base, part, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                 p->dev->memory_fd, (off_t)(p->extents[i].first * SOFT_CHUNK)) == MAP_FAILED)
            return CUDA_ERROR_OUT_OF_MEMORY;
        base += part;
        left -= part;
    }
    return CUDA_SUCCESS;
}

/* ---- addresses ------------------------------------------------------------------------------- */

#define NO_ACCESS (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)

/* Reserves size bytes of addresses, aligned; at hint when it is not 0 and free. 0: none. */
static uint64_t addresses_reserve(size_t size, size_t alignment, uint64_t hint)
{
    uint64_t base, aligned;
    void *at;

    if (hint && hint % alignment == 0 && hint < ADDRESS_END && size < ADDRESS_END - hint) {
        at = mmap((void *)(uintptr_t)hint, size, PROT_NONE, NO_ACCESS | MAP_FIXED_NOREPLACE, -1, 0);
        if (at == (void *)(uintptr_t)hint)
            return hint;
        if (at != MAP_FAILED) /* a kernel older than the flag */
            munmap(at, size);
    }
    if (size >= ADDRESS_END || alignment >= ADDRESS_END)
        return 0;
    at = mmap(NULL, size + alignment, PROT_NONE, NO_ACCESS, -1, 0);
    if (at == MAP_FAILED)
        return 0;
    base = (uint64_t)(uintptr_t)at;
    aligned = (base + alignment - 1) & ~((uint64_t)alignment - 1);
    if (aligned > base)
        munmap(at, aligned - base);
    if (base + alignment > aligned)
        munmap((void *)(uintptr_t)(aligned + size), base + alignment - aligned);
    return aligned;
}

static bool reservation_add(uint64_t base, size_t size, bool segment)
{
    struct reservation *v = malloc(sizeof(*v));

    if (!v)
        return false;
    *v = (struct reservation){base, size, segment};
    if (insert(&reservations, v))
        return true;
    free(v);
    return false;
}

static void reservation_remove(uint64_t base)
{
    struct reservation *v = find(&reservations, base);

    erase(&reservations, v);
    munmap((void *)(uintptr_t)v->base, v->size);
    free(v);
}

/* Takes the memory out from under a range of reserved addresses. */
static void addresses_clear(uint64_t base, size_t size)
{
    if (mmap((void *)(uintptr_t)base, size, PROT_NONE, NO_ACCESS | MAP_FIXED, -1, 0) == MAP_FAILED)
        soft_log("cannot unmap %zu bytes at 0x%llx: %s", size, (unsigned long long)base,
                 strerror(errno));
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static CUresult block_new(enum block_kind kind, uint64_t base, uint64_t size, struct context *ctx,
                          struct device *dev, bool accessible, bool readonly, struct block **out)
{
    struct block *b = calloc(1, sizeof(*b));
    int rc;

    if (!b)
        return CUDA_ERROR_OUT_OF_MEMORY;
    b->base = base;
    b->size = size;
    b->kind = kind;
    b->ctx = ctx;
    b->dev = dev;
    b->id = drv.next_id++;
    b->accessible = accessible;
    b->readonly = readonly;
    list_init(&b->deferred);
    if (!insert(&blocks, b)) {
        free(b);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    rc = accessible ? sg_memmap_add(drv.map, base, size, !readonly) : 0;
    if (rc) {
        erase(&blocks, b);
        free(b);
        return rc == -ENOMEM ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_ERROR_INVALID_VALUE;
    }
    *out = b;
    return CUDA_SUCCESS;
}

/* Nothing runs. Frees the block with what it holds. */
static void block_free(struct block *b)
{
    if (b->accessible)
        sg_memmap_remove(drv.map, b->base);
    erase(&blocks, b);
    switch (b->kind) {
    case BLOCK_DEVICE: {
        struct segment *seg = b->segment;
        size_t unit = (b->base - seg->base) / SOFT_SMALL_UNIT;
        size_t units = (b->size + SOFT_SMALL_UNIT - 1) / SOFT_SMALL_UNIT;

        if (seg->small) {
            for (size_t i = unit; i < unit + units; i++)
                seg->bitmap[i / 64] &= ~(1ull << i % 64);
            seg->units_used -= units;
        }
        if (!seg->small || !seg->units_used) {
            reservation_remove(seg->base);
            physical_drop(seg->phys);
            list_remove(&seg->of_device);
            free(seg);
        }
        if (b->pooled)
            b->dev->pool_used -= b->size;
        break;
    }
    case BLOCK_MAPPED:
        addresses_clear(b->base, b->size);
        physical_drop(b->phys);
        break;
    case BLOCK_HOST:
        munmap((void *)(uintptr_t)b->base, (b->size + PAGE - 1) & ~(PAGE - 1));
        break;
    case BLOCK_REGISTERED:
        break;
    }
    free(b);
}

void memory_collect(void)
{
    LIST_EACH(it, &drv.deferred)
    {
        struct block *b = CONTAINER(it, struct block, deferred);

        list_remove(&b->deferred);
        block_free(b);
    }
}

void memory_release(struct block *b)
{
    if (drv.running)
        list_append(&drv.deferred, &b->deferred);
    else
        block_free(b);
}

void memory_context_destroyed(struct context *ctx)
{
    memory_collect();
    for (size_t i = blocks.count; i-- > 0;) {
        struct block *b = blocks.items[i];

        if (b->ctx == ctx)
            block_free(b);
    }
}

/* Waits until the context's work up to now has ended and nothing touches memory, then frees. */
static CUresult block_free_synchronised(struct block *b)
{
    uint64_t base = b->base, id = b->id;
    struct context *ctx = b->ctx;
    CUresult r = context_wait(ctx);

    if (r)
        return r;
    memory_quiesce();
    b = block_find(base); /* another thread may have freed it meanwhile */
    if (b && b->id == id)
        block_free(b);
    else
        r = CUDA_ERROR_INVALID_VALUE;
    memory_resume();
    return r;
}

/* ---- cuMemAlloc ------------------------------------------------------------------------------ */

static CUresult segment_new(struct device *dev, size_t size, bool small, struct segment **out)
{
    struct segment *seg = calloc(1, sizeof(*seg));
    CUresult r;

    if (!seg)
        return CUDA_ERROR_OUT_OF_MEMORY;
    r = physical_new(dev, size, &seg->phys);
    if (r)
        goto no_memory;
    seg->base = addresses_reserve(size, SOFT_CHUNK, 0);
    r = CUDA_ERROR_OUT_OF_MEMORY;
    if (!seg->base)
        goto no_addresses;
    if (!reservation_add(seg->base, size, true)) {
        munmap((void *)(uintptr_t)seg->base, size);
        goto no_addresses;
    }
    r = physical_map(seg->phys, seg->base, size);
    if (r) {
        reservation_remove(seg->base);
        goto no_addresses;
    }
    seg->size = size;
    seg->small = small;
    list_append(&dev->segments, &seg->of_device);
    *out = seg;
    return CUDA_SUCCESS;
no_addresses:
    physical_drop(seg->phys);
no_memory:
    free(seg);
    return r;
}

/* First free run of units in a small segment; SMALL_UNITS: none. */
static size_t units_find(const struct segment *seg, size_t units)
{
    size_t run = 0;

    if (seg->units_used + units > SMALL_UNITS)
        return SMALL_UNITS;
    for (size_t i = 0; i < SMALL_UNITS; i++) {
        if (i % 64 == 0 && seg->bitmap[i / 64] == ~0ull) {
            run = 0;
            i += 63;
            continue;
        }
        run = seg->bitmap[i / 64] >> i % 64 & 1 ? 0 : run + 1;
        if (run == units)
            return i + 1 - units;
    }
    return SMALL_UNITS;
}

static CUresult allocate_once(struct context *ctx, size_t bytes, struct block **out)
{
    struct device *dev = ctx->dev;
    struct segment *seg = NULL;
    size_t unit = 0, units = (bytes + SOFT_SMALL_UNIT - 1) / SOFT_SMALL_UNIT;
    bool fresh = true;
    CUresult r;

    if (bytes > dev->total)
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (bytes > SMALL_MAX) {
        r = segment_new(dev, (bytes + SOFT_CHUNK - 1) & ~(SOFT_CHUNK - 1), false, &seg);
        if (r)
            return r;
    } else {
        LIST_EACH(it, &dev->segments)
        {
            struct segment *s = CONTAINER(it, struct segment, of_device);

            if (!s->small || (unit = units_find(s, units)) == SMALL_UNITS)
                continue;
            seg = s;
            fresh = false;
            break;
        }
        if (!seg) {
            unit = 0;
            r = segment_new(dev, SOFT_CHUNK, true, &seg);
            if (r)
                return r;
        }
    }
    r = block_new(BLOCK_DEVICE, seg->base + unit * SOFT_SMALL_UNIT, bytes, ctx, dev, true, false,
                  out);
    if (r) {
        if (fresh) {
            reservation_remove(seg->base);
            physical_drop(seg->phys);
            list_remove(&seg->of_device);
            free(seg);
        }
        return r;
    }
    (*out)->segment = seg;
    if (seg->small) {
        for (size_t i = unit; i < unit + units; i++)
            seg->bitmap[i / 64] |= 1ull << i % 64;
        seg->units_used += units;
    }
    if (!fresh)
        memset((void *)(uintptr_t)(*out)->base, drv.poison >= 0 ? drv.poison : 0,
               units * SOFT_SMALL_UNIT);
    return CUDA_SUCCESS;
}

static CUresult allocate(struct context *ctx, size_t bytes, struct block **out)
{
    CUresult r = allocate_once(ctx, bytes, out);

    if (r != CUDA_ERROR_OUT_OF_MEMORY || list_empty(&drv.deferred))
        return r;
    /* Memory freed in stream order may still wait for running work to pause. */
    memory_quiesce();
    memory_collect();
    memory_resume();
    return allocate_once(ctx, bytes, out);
}

CUresult cuMemAlloc_v2(CUdeviceptr *ptr, size_t bytes)
{
    struct context *ctx;
    struct block *b;
    CUresult r = enter_context(&ctx);

    if (r)
        return r;
    if (!ptr || !bytes)
        return leave(CUDA_ERROR_INVALID_VALUE);
    r = allocate(ctx, bytes, &b);
    if (!r)
        *ptr = b->base;
    return leave(r);
}

CUresult cuMemAllocPitch_v2(CUdeviceptr *ptr, size_t *pitch, size_t width, size_t height,
                            unsigned int element_bytes)
{
    size_t row, bytes;
    CUresult r;

    if (!pitch || !width || !height ||
        (element_bytes != 4 && element_bytes != 8 && element_bytes != 16))
        return CUDA_ERROR_INVALID_VALUE;
    if (width > SOFT_MAX_PITCH)
        return CUDA_ERROR_INVALID_VALUE;
    row = (width + SOFT_PITCH_ALIGN - 1) / SOFT_PITCH_ALIGN * SOFT_PITCH_ALIGN;
    if (__builtin_mul_overflow(row, height, &bytes))
        return CUDA_ERROR_OUT_OF_MEMORY;
    r = cuMemAlloc_v2(ptr, bytes);
    if (!r)
        *pitch = row;
    return r;
}

CUresult cuMemFree_v2(CUdeviceptr ptr)
{
    struct context *ctx;
    struct block *b;
    CUresult r = enter_context(&ctx);

    if (r)
        return r;
    if (!ptr)
        return leave(CUDA_SUCCESS);
    b = block_find(ptr);
    if (!b || b->base != ptr || b->kind != BLOCK_DEVICE || b->freeing)
        return leave(CUDA_ERROR_INVALID_VALUE);
    return leave(block_free_synchronised(b));
}

CUresult cuMemGetInfo_v2(size_t *free_bytes, size_t *total_bytes)
{
    struct context *ctx;
    CUresult r = enter_context(&ctx);

    if (r)
        return r;
    if (!free_bytes || !total_bytes)
        return leave(CUDA_ERROR_INVALID_VALUE);
    if (!drv.running)
        memory_collect();
    *free_bytes = ctx->dev->chunks_free * SOFT_CHUNK;
    *total_bytes = ctx->dev->total;
    return leave(CUDA_SUCCESS);
}

CUresult cuMemGetAddressRange_v2(CUdeviceptr *base, size_t *size, CUdeviceptr ptr)
{
    struct context *ctx;
    struct block *b;
    uint64_t from, length;
    CUresult r = enter_context(&ctx);

    if (r)
        return r;
    b = block_find(ptr);
    if (b) {
        from = b->base;
        length = b->size;
    } else if (!sg_memmap_find(drv.map, ptr, &from, &length)) { /* a module's variable? */
        return leave(CUDA_ERROR_NOT_FOUND);
    }
    if (base)
        *base = from;
    if (size)
        *size = length;
    return leave(CUDA_SUCCESS);
}

CUresult cuMemAllocManaged(CUdeviceptr *ptr, size_t bytes, unsigned int flags)
{
    struct context *ctx;
    CUresult r = enter_context(&ctx);

    (void)ptr;
    (void)bytes;
    (void)flags;
    return r ? r : leave(UNSUPPORTED("cuMemAllocManaged", "managed memory"));
}

/* ---- in stream order ------------------------------------------------------------------------- */

static CUresult pool_handle(struct device *dev, CUmemoryPool *pool)
{
    if (!dev->pool)
        dev->pool = handle_new(OBJECT_POOL, dev);
    *pool = AS_HANDLE(CUmemoryPool, dev->pool);
    return dev->pool ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

static CUresult allocate_async(CUdeviceptr *ptr, size_t bytes, const CUmemoryPool *pool,
                               CUstream stream)
{
    struct context *ctx;
    struct device *dev;
    struct stream *s;
    struct block *b;
    CUresult r = enter_context(&ctx);

    if (r)
        return r;
    if (!ptr)
        return leave(CUDA_ERROR_INVALID_VALUE);
    s = stream_get(ctx, stream);
    if (!s)
        return leave(CUDA_ERROR_INVALID_HANDLE);
    dev = s->ctx->dev;
    if (pool && handle_get(HANDLE(*pool), OBJECT_POOL) != dev)
        return leave(CUDA_ERROR_INVALID_VALUE);
    if (!bytes) {
        *ptr = 0;
        return leave(CUDA_SUCCESS);
    }
    r = allocate(s->ctx, bytes, &b);
    if (r)
        return leave(r);
    pool_handle(dev, &(CUmemoryPool){NULL});
    b->pooled = true;
    dev->pool_used += bytes;
    if (dev->pool_used > dev->pool_used_high)
        dev->pool_used_high = dev->pool_used;
    *ptr = b->base;
    return leave(CUDA_SUCCESS);
}

CUresult cuMemAllocAsync(CUdeviceptr *ptr, size_t bytes, CUstream stream)
{
    return allocate_async(ptr, bytes, NULL, stream);
}

CUresult cuMemAllocFromPoolAsync(CUdeviceptr *ptr, size_t bytes, CUmemoryPool pool, CUstream stream)
{
    return allocate_async(ptr, bytes, &pool, stream);
}

CUresult cuMemFreeAsync(CUdeviceptr ptr, CUstream stream)
{
    struct context *ctx;
    struct stream *s;
    struct block *b;
    struct op *op;
    CUresult r = enter_context(&ctx);

    if (r)
        return r;
    if (!ptr)
        return leave(CUDA_SUCCESS);
    r = stream_for_work(ctx, stream, &s);
    if (r)
        return leave(r);
    b = block_find(ptr);
    if (!b || b->base != ptr || b->kind != BLOCK_DEVICE || b->freeing)
        return leave(CUDA_ERROR_INVALID_VALUE);
    op = op_new(OP_FREE);
    if (!op)
        return leave(CUDA_ERROR_OUT_OF_MEMORY);
    b->freeing = true;
    op->block = b;
    op_submit(s, op);
    return leave(CUDA_SUCCESS);
}

static CUresult enter_pool(CUmemoryPool pool, struct device **dev)
{
    CUresult r = enter_healthy();

    if (r)
        return r;
    *dev = handle_get(HANDLE(pool), OBJECT_POOL);
    return *dev ? CUDA_SUCCESS : leave(CUDA_ERROR_INVALID_VALUE);
}

CUresult cuDeviceGetDefaultMemPool(CUmemoryPool *pool, CUdevice dev)
{
    CUresult r = enter();

    if (r)
        return r;
    if (!pool)
        return leave(CUDA_ERROR_INVALID_VALUE);
    return leave(device_get(dev) ? pool_handle(device_get(dev), pool) : CUDA_ERROR_INVALID_DEVICE);
}

CUresult cuDeviceGetMemPool(CUmemoryPool *pool, CUdevice dev)
{
    return cuDeviceGetDefaultMemPool(pool, dev);
}

CUresult cuDeviceSetMemPool(CUdevice dev, CUmemoryPool pool)
{
    struct device *d;
    CUresult r = enter_pool(pool, &d);

    if (r)
        return r;
    return leave(d == device_get(dev) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE);
}

CUresult cuMemPoolCreate(CUmemoryPool *pool, const CUmemPoolProps *props)
{
    if (!pool || !props)
        return CUDA_ERROR_INVALID_VALUE;
    return UNSUPPORTED("cuMemPoolCreate", "a pool beside the default one");
}

CUresult cuMemPoolDestroy(CUmemoryPool pool)
{
    struct device *d;
    CUresult r = enter_pool(pool, &d);

    return r ? r : leave(CUDA_ERROR_INVALID_VALUE); /* the default pool cannot be destroyed */
}

CUresult cuMemPoolTrimTo(CUmemoryPool pool, size_t keep_bytes)
{
    struct device *d;
    CUresult r = enter_pool(pool, &d);

    (void)keep_bytes; /* the pool keeps nothing that is not in use */
    return r ? r : leave(CUDA_SUCCESS);
}

CUresult cuMemPoolSetAttribute(CUmemoryPool pool, CUmemPool_attribute attr, void *value)
{
    struct device *d;
    CUresult r = enter_pool(pool, &d);

    if (r)
        return r;
    if (!value)
        return leave(CUDA_ERROR_INVALID_VALUE);
    switch ((int)attr) {
    case CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES:
        d->pool_reuse[attr - 1] = *(int *)value != 0;
        break;
    case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD:
        d->pool_threshold = *(cuuint64_t *)value;
        break;
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
    case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
        if (*(cuuint64_t *)value)
            return leave(CUDA_ERROR_INVALID_VALUE);
        d->pool_used_high = d->pool_used;
        break;
    default:
        return leave(CUDA_ERROR_INVALID_VALUE);
    }
    return leave(CUDA_SUCCESS);
}

CUresult cuMemPoolGetAttribute(CUmemoryPool pool, CUmemPool_attribute attr, void *value)
{
    struct device *d;
    CUresult r = enter_pool(pool, &d);

    if (r)
        return r;
    if (!value)
        return leave(CUDA_ERROR_INVALID_VALUE);
    switch ((int)attr) {
    case CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES:
        *(int *)value = d->pool_reuse[attr - 1];
        break;
    case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD:
        *(cuuint64_t *)value = d->pool_threshold;
        break;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT:
    case CU_MEMPOOL_ATTR_USED_MEM_CURRENT:
        *(cuuint64_t *)value = d->pool_used;
        break;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
        *(cuuint64_t *)value = d->pool_used_high;
        break;
    default:
        return leave(CUDA_ERROR_INVALID_VALUE);
    }
    return leave(CUDA_SUCCESS);
}

/* ---- host memory ----------------------------------------------------------------------------- */

CUresult cuMemHostAlloc(void **ptr, size_t bytes, unsigned int flags)
{
    const unsigned known =
        CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP | CU_MEMHOSTALLOC_WRITECOMBINED;
    struct context *ctx;
    struct block *b;
    size_t size;
    void *at;
    CUresult r = enter_context(&ctx);

    if (r)
        return r;
    if (!ptr || !bytes || flags & ~known)
        return leave(CUDA_ERROR_INVALID_VALUE);
    if (__builtin_add_overflow(bytes, PAGE - 1, &size))
        return leave(CUDA_ERROR_OUT_OF_MEMORY);
    size &= ~(PAGE - 1);
    at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return leave(CUDA_ERROR_OUT_OF_MEMORY);
    r = block_new(BLOCK_HOST, (uint64_t)(uintptr_t)at, bytes, ctx, ctx->dev, true, false, &b);
    if (r) {
        munmap(at, size);
        return leave(r);
    }
    b->flags = flags;
    *ptr = at;
    return leave(CUDA_SUCCESS);
}

CUresult cuMemAllocHost_v2(void **ptr, size_t bytes)
{
    return cuMemHostAlloc(ptr, bytes, 0);
}

CUresult cuMemFreeHost(void *ptr)
{
    struct context *ctx;
    struct block *b;
    CUresult r = enter_context(&ctx);

    if (r)
        return r;
    b = block_find((uint64_t)(uintptr_t)ptr);
    if (!b || b->base != (uint64_t)(uintptr_t)ptr || b->kind != BLOCK_HOST)
        return leave(CUDA_ERROR_INVALID_VALUE);
    return leave(block_free_synchronised(b));
}

CUresult cuMemHostRegister_v2(void *host, size_t bytes, unsigned int flags)
{
    const unsigned known = CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP |
                           CU_MEMHOSTREGISTER_IOMEMORY | CU_MEMHOSTREGISTER_READ_ONLY;
    uint64_t base = (uint64_t)(uintptr_t)host;
    struct context *ctx;
    struct block *b;
    CUresult r = enter_context(&ctx);

    if (r)
        return r;
    if (!host || !bytes || flags & ~known || base + bytes < base)
        return leave(CUDA_ERROR_INVALID_VALUE);
    if (flags & CU_MEMHOSTREGISTER_IOMEMORY)
        return leave(UNSUPPORTED("cuMemHostRegister", "registering I/O memory"));
    if (overlaps(&blocks, base, bytes))
        return leave(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
    if (overlaps(&reservations, base, bytes) || !memory_mapped(host, bytes))
        return leave(CUDA_ERROR_INVALID_VALUE);
    r = block_new(BLOCK_REGISTERED, base, bytes, ctx, ctx->dev, true,
                  flags & CU_MEMHOSTREGISTER_READ_ONLY, &b);
    if (!r)
        b->flags = flags;
    return leave(r);
}

EXTRA(cuMemHostRegister, (void *host, size_t bytes, unsigned int flags))
{
    return cuMemHostRegister_v2(host, bytes, flags);
}

CUresult cuMemHostUnregister(void *host)
{
    struct context *ctx;
    struct block *b;
    CUresult r = enter_context(&ctx);

    if (r)
        return r;
    if (!host)
        return leave(CUDA_ERROR_INVALID_VALUE);
    b = block_find((uint64_t)(uintptr_t)host);
    if (!b || b->base != (uint64_t)(uintptr_t)host || b->kind != BLOCK_REGISTERED)
        return leave(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
    return leave(block_free_synchronised(b));
}

static struct block *host_block(const void *host)
{
    struct block *b = block_find((uint64_t)(uintptr_t)host);

    return b && (b->kind == BLOCK_HOST || b->kind == BLOCK_REGISTERED) ? b : NULL;
}

CUresult cuMemHostGetDevicePointer_v2(CUdeviceptr *device, void *host, unsigned int flags)
{
    struct context *ctx;
    CUresult r = enter_context(&ctx);

    if (r)
        return r;
    if (!device || flags || !host_block(host))
        return leave(CUDA_ERROR_INVALID_VALUE);
    *device = (CUdeviceptr)(uintptr_t)host;
    return leave(CUDA_SUCCESS);
}

CUresult cuMemHostGetFlags(unsigned int *flags, void *host)
{
    struct context *ctx;
    struct block *b;
    CUresult r = enter_context(&ctx);

    if (r)
        return r;
    b = host_block(host);
    if (!flags || !b || b->kind != BLOCK_HOST)
        return leave(CUDA_ERROR_INVALID_VALUE);
    *flags = b->flags;
    return leave(CUDA_SUCCESS);
}

/* ---- virtual memory management --------------------------------------------------------------- */

CUresult cuMemAddressReserve(CUdeviceptr *ptr, size_t size, size_t alignment, CUdeviceptr hint,
                             unsigned long long flags)
{
    uint64_t base;
    CUresult r = enter_healthy();

    if (r)
        return r;
    if (!ptr || !size || size % SOFT_CHUNK || flags || alignment & (alignment - 1))
        return leave(CUDA_ERROR_INVALID_VALUE);
    if (alignment < SOFT_CHUNK)
        alignment = SOFT_CHUNK;
    base = addresses_reserve(size, alignment, hint);
    if (!base)
        return leave(CUDA_ERROR_OUT_OF_MEMORY);
    if (!reservation_add(base, size, false)) {
        munmap((void *)(uintptr_t)base, size);
        return leave(CUDA_ERROR_OUT_OF_MEMORY);
    }
    *ptr = base;
    return leave(CUDA_SUCCESS);
}

CUresult cuMemAddressFree(CUdeviceptr ptr, size_t size)
{
    struct reservation *v;
    CUresult r = enter_healthy();

    if (r)
        return r;
    v = find(&reservations, ptr);
    if (!v || v->segment || v->base != ptr || v->size != size || overlaps(&blocks, ptr, size))
        return leave(CUDA_ERROR_INVALID_VALUE);
    reservation_remove(ptr);
    return leave(CUDA_SUCCESS);
}

static CUresult check_prop(const CUmemAllocationProp *prop, struct device **dev)
{
    if (!prop || prop->type != CU_MEM_ALLOCATION_TYPE_PINNED)
        return CUDA_ERROR_INVALID_VALUE;
    if (prop->location.type != CU_MEM_LOCATION_TYPE_DEVICE)
        return UNSUPPORTED("cuMemCreate", "memory that is not a device's");
    if (prop->requestedHandleTypes != CU_MEM_HANDLE_TYPE_NONE)
        return UNSUPPORTED("cuMemCreate", "a shareable handle");
    *dev = device_get(prop->location.id);
    return *dev ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

CUresult cuMemGetAllocationGranularity(size_t *granularity, const CUmemAllocationProp *prop,
                                       CUmemAllocationGranularity_flags option)
{
    struct device *dev;
    CUresult r = enter();

    if (r)
        return r;
    if (!granularity || (option != CU_MEM_ALLOC_GRANULARITY_MINIMUM &&
                         option != CU_MEM_ALLOC_GRANULARITY_RECOMMENDED))
        return leave(CUDA_ERROR_INVALID_VALUE);
    r = check_prop(prop, &dev);
    if (!r)
        *granularity = SOFT_CHUNK;
    return leave(r);
}

CUresult cuMemCreate(CUmemGenericAllocationHandle *handle, size_t size,
                     const CUmemAllocationProp *prop, unsigned long long flags)
{
    struct device *dev;
    struct physical *p;
    CUresult r = enter_healthy();

    if (r)
        return r;
    if (!handle || !size || size % SOFT_CHUNK || flags)
        return leave(CUDA_ERROR_INVALID_VALUE);
    r = check_prop(prop, &dev);
    if (!r && size > dev->total)
        r = CUDA_ERROR_OUT_OF_MEMORY;
    if (!r)
        r = physical_new(dev, size, &p);
    if (r)
        return leave(r);
    p->prop = *prop;
    p->handle_refs = 1;
    p->handle = handle_new(OBJECT_PHYSICAL, p);
    if (!p->handle) {
        physical_drop(p);
        return leave(CUDA_ERROR_OUT_OF_MEMORY);
    }
    *handle = p->handle;
    return leave(CUDA_SUCCESS);
}

CUresult cuMemRelease(CUmemGenericAllocationHandle handle)
{
    struct physical *p;
    CUresult r = enter_healthy();

    if (r)
        return r;
    p = handle_get(handle, OBJECT_PHYSICAL);
    if (!p)
        return leave(CUDA_ERROR_INVALID_VALUE);
    if (--p->handle_refs == 0) {
        handle_free(p->handle);
        p->handle = 0;
        physical_drop(p); /* the mappings keep what they need */
    }
    return leave(CUDA_SUCCESS);
}

CUresult cuMemRetainAllocationHandle(CUmemGenericAllocationHandle *handle, void *addr)
{
    struct block *b;
    struct physical *p;
    CUresult r = enter_healthy();

    if (r)
        return r;
    b = block_find((uint64_t)(uintptr_t)addr);
    if (!handle || !b || b->kind != BLOCK_MAPPED)
        return leave(CUDA_ERROR_INVALID_VALUE);
    p = b->phys;
    if (!p->handle) {
        p->handle = handle_new(OBJECT_PHYSICAL, p);
        if (!p->handle)
            return leave(CUDA_ERROR_OUT_OF_MEMORY);
        p->refs++;
    }
    p->handle_refs++;
    *handle = p->handle;
    return leave(CUDA_SUCCESS);
}

CUresult cuMemGetAllocationPropertiesFromHandle(CUmemAllocationProp *prop,
                                                CUmemGenericAllocationHandle handle)
{
    struct physical *p;
    CUresult r = enter_healthy();

    if (r)
        return r;
    p = handle_get(handle, OBJECT_PHYSICAL);
    if (!prop || !p)
        return leave(CUDA_ERROR_INVALID_VALUE);
    *prop = p->prop;
    return leave(CUDA_SUCCESS);
}

CUresult cuMemMap(CUdeviceptr ptr, size_t size, size_t offset, CUmemGenericAllocationHandle handle,
                  unsigned long long flags)
{
    struct reservation *v;
    struct physical *p;
    struct block *b;
    CUresult r = enter_healthy();

    if (r)
        return r;
    p = handle_get(handle, OBJECT_PHYSICAL);
    v = find(&reservations, ptr);
    /* An offset other than zero is reserved for the future in CUDA too. */
    if (!p || !v || v->segment || !size || size % SOFT_CHUNK || ptr % SOFT_CHUNK || offset ||
        flags || size > p->size || size > v->size - (ptr - v->base) || overlaps(&blocks, ptr, size))
        return leave(CUDA_ERROR_INVALID_VALUE);
    r = block_new(BLOCK_MAPPED, ptr, size, NULL, p->dev, false, false, &b);
    if (r)
        return leave(r);
    b->phys = p;
    p->refs++;
    r = physical_map(p, ptr, size);
    if (r)
        block_free(b);
    return leave(r);
}

/* The mapped blocks that make up exactly [ptr, ptr + size), by index in the table; false: none do.
 */
static bool mapped_range(uint64_t ptr, size_t size, size_t *first, size_t *count)
{
    uint64_t at = ptr, end;
    size_t i = above(&blocks, ptr);

    if (!size || !i || __builtin_add_overflow(ptr, size, &end))
        return false;
    *first = i - 1;
    for (i--; i < blocks.count && at < end; i++) {
        const struct block *b = blocks.items[i];

        if (b->base != at || b->kind != BLOCK_MAPPED)
            return false;
        at += b->size;
    }
    *count = i - *first;
    return at == end;
}

CUresult cuMemUnmap(CUdeviceptr ptr, size_t size)
{
    size_t first, count;
    CUresult r = enter_healthy();

    if (r)
        return r;
    if (!mapped_range(ptr, size, &first, &count))
        return leave(CUDA_ERROR_INVALID_VALUE);
    /* Work that was queued before the call still finds the memory. */
    r = context_wait(NULL);
    if (r)
        return leave(r);
    memory_quiesce();
    /* The waits gave the lock up, so look again. */
    if (mapped_range(ptr, size, &first, &count)) {
        for (size_t i = 0; i < count; i++)
            block_free(blocks.items[first]);
    } else {
        r = CUDA_ERROR_INVALID_VALUE;
    }
    memory_resume();
    return leave(r);
}

CUresult cuMemSetAccess(CUdeviceptr ptr, size_t size, const CUmemAccessDesc *desc, size_t count)
{
    size_t first, blocks_in, i;
    CUmemAccess_flags access = CU_MEM_ACCESS_FLAGS_PROT_NONE;
    bool named = false, lowers = false;
    CUresult r = enter_healthy();

    if (r)
        return r;
    if (!desc || !count || !mapped_range(ptr, size, &first, &blocks_in))
        return leave(CUDA_ERROR_INVALID_VALUE);
    for (i = 0; i < count; i++) {
        const struct block *b = blocks.items[first];

        if (desc[i].location.type != CU_MEM_LOCATION_TYPE_DEVICE)
            return leave(UNSUPPORTED("cuMemSetAccess", "access by anything but a device"));
        if (!device_get(desc[i].location.id))
            return leave(CUDA_ERROR_INVALID_DEVICE);
        if (desc[i].flags != CU_MEM_ACCESS_FLAGS_PROT_NONE &&
            desc[i].flags != CU_MEM_ACCESS_FLAGS_PROT_READ &&
            desc[i].flags != CU_MEM_ACCESS_FLAGS_PROT_READWRITE)
            return leave(CUDA_ERROR_INVALID_VALUE);
        /* One memory map serves all devices: the owner's access decides. */
        if (desc[i].location.id == b->dev->ordinal) {
            access = desc[i].flags;
            named = true;
        }
    }
    if (!named)
        return leave(CUDA_SUCCESS);
    for (i = 0; i < blocks_in; i++)
        lowers |= ((struct block *)blocks.items[first + i])->accessible;
    if (lowers) {
        r = context_wait(NULL);
        if (r)
            return leave(r);
        memory_quiesce();
        if (!mapped_range(ptr, size, &first, &blocks_in)) {
            memory_resume();
            return leave(CUDA_ERROR_INVALID_VALUE);
        }
    }
    for (i = 0; i < blocks_in && !r; i++) {
        struct block *b = blocks.items[first + i];

        if (b->accessible)
            sg_memmap_remove(drv.map, b->base);
        b->accessible = access != CU_MEM_ACCESS_FLAGS_PROT_NONE;
        b->readonly = access == CU_MEM_ACCESS_FLAGS_PROT_READ;
        if (b->accessible && sg_memmap_add(drv.map, b->base, b->size, !b->readonly)) {
            b->accessible = false;
            r = CUDA_ERROR_OUT_OF_MEMORY;
        }
    }
    if (lowers)
        memory_resume();
    return leave(r);
}

CUresult cuMemGetAccess(unsigned long long *flags, const CUmemLocation *location, CUdeviceptr ptr)
{
    struct block *b;
    CUresult r = enter_healthy();

    if (r)
        return r;
    b = block_find(ptr);
    if (!flags || !location || location->type != CU_MEM_LOCATION_TYPE_DEVICE ||
        !device_get(location->id) || !b || b->kind != BLOCK_MAPPED)
        return leave(CUDA_ERROR_INVALID_VALUE);
    *flags = !b->accessible ? CU_MEM_ACCESS_FLAGS_PROT_NONE
             : b->readonly  ? CU_MEM_ACCESS_FLAGS_PROT_READ
                            : CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
    return leave(CUDA_SUCCESS);
}

/* ---- what a pointer is ----------------------------------------------------------------------- */

/* The attribute of an address that means something to CUDA, or defaults for one that does not. */
static CUresult pointer_attribute(void *data, CUpointer_attribute attr, uint64_t ptr, bool *known)
{
    struct block *b = block_find(ptr);
    uint64_t base = b ? b->base : 0, size = b ? b->size : 0;
    bool live = b || sg_memmap_find(drv.map, ptr, &base, &size);
    bool host = b && (b->kind == BLOCK_HOST || b->kind == BLOCK_REGISTERED);
    struct context *ctx = b ? b->ctx : live ? context_current() : NULL;
    const struct reservation *v = find(&reservations, ptr);

    *known = live;
    switch ((int)attr) {
    case CU_POINTER_ATTRIBUTE_CONTEXT:
        *(CUcontext *)data = ctx ? AS_HANDLE(CUcontext, ctx->handle) : NULL;
        break;
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
        *(unsigned *)data = !live ? 0 : host ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE;
        break;
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
        *(CUdeviceptr *)data = live ? ptr : 0;
        break;
    case CU_POINTER_ATTRIBUTE_HOST_POINTER:
        *(void **)data = host ? (void *)(uintptr_t)ptr : NULL;
        if (live && !host)
            return CUDA_ERROR_INVALID_VALUE;
        break;
    case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS:
        *(unsigned *)data = b ? b->sync_memops : 0;
        break;
    case CU_POINTER_ATTRIBUTE_BUFFER_ID:
        *(unsigned long long *)data = b ? b->id : base;
        break;
    case CU_POINTER_ATTRIBUTE_IS_MANAGED:
    case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
    case CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE:
        *(unsigned *)data = 0;
        break;
    case CU_POINTER_ATTRIBUTE_IS_HW_DECOMPRESS_CAPABLE:
        *(bool *)data = false;
        break;
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
        *(int *)data = b ? b->dev->ordinal : ctx ? ctx->dev->ordinal : CU_DEVICE_INVALID;
        break;
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
        *(CUdeviceptr *)data = base;
        break;
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
        *(size_t *)data = size;
        break;
    case CU_POINTER_ATTRIBUTE_MAPPED:
        /* Reserved addresses without memory are known, and are not mapped. */
        *known |= v != NULL;
        *(unsigned *)data = live;
        break;
    case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES:
        *(cuuint64_t *)data = 0;
        break;
    case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS:
        *(unsigned *)data = !live || (b && !b->accessible) ? CU_POINTER_ATTRIBUTE_ACCESS_FLAG_NONE
                            : b && b->readonly             ? CU_POINTER_ATTRIBUTE_ACCESS_FLAG_READ
                                               : CU_POINTER_ATTRIBUTE_ACCESS_FLAG_READWRITE;
        break;
    case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE:
        *(CUmemoryPool *)data = b && b->pooled ? AS_HANDLE(CUmemoryPool, b->dev->pool) : NULL;
        break;
    case CU_POINTER_ATTRIBUTE_MAPPING_SIZE:
        *(size_t *)data = size;
        break;
    case CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR:
        *(CUdeviceptr *)data = base;
        break;
    case CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID:
        *(unsigned long long *)data = b ? b->id : base;
        break;
    case CU_POINTER_ATTRIBUTE_P2P_TOKENS:
        return CUDA_ERROR_NOT_SUPPORTED;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
}

CUresult cuPointerGetAttribute(void *data, CUpointer_attribute attr, CUdeviceptr ptr)
{
    uint64_t scratch[2]; /* an error leaves the caller's memory as it was */
    bool known = false;
    CUresult r = enter_healthy();

    if (r)
        return r;
    if (!data)
        return leave(CUDA_ERROR_INVALID_VALUE);
    r = pointer_attribute(scratch, attr, ptr, &known);
    if (!r && !known)
        r = CUDA_ERROR_INVALID_VALUE;
    if (!r)
        r = pointer_attribute(data, attr, ptr, &known);
    return leave(r);
}

CUresult cuPointerGetAttributes(unsigned int count, CUpointer_attribute *attrs, void **data,
                                CUdeviceptr ptr)
{
    bool known;
    CUresult r = enter_healthy();

    if (r)
        return r;
    if (!count || !attrs || !data)
        return leave(CUDA_ERROR_INVALID_VALUE);
    for (unsigned i = 0; i < count && !r; i++) {
        if (!data[i])
            return leave(CUDA_ERROR_INVALID_VALUE);
        r = pointer_attribute(data[i], attrs[i], ptr, &known);
        /* A device address has no host pointer: null, where the single query is an error. */
        if (r && attrs[i] == CU_POINTER_ATTRIBUTE_HOST_POINTER)
            r = CUDA_SUCCESS;
    }
    return leave(r);
}

CUresult cuPointerSetAttribute(const void *value, CUpointer_attribute attr, CUdeviceptr ptr)
{
    struct block *b;
    CUresult r = enter_healthy();

    if (r)
        return r;
    b = block_find(ptr);
    if (!value || attr != CU_POINTER_ATTRIBUTE_SYNC_MEMOPS || !b || b->kind != BLOCK_DEVICE)
        return leave(CUDA_ERROR_INVALID_VALUE);
    b->sync_memops = *(const unsigned *)value != 0;
    return leave(CUDA_SUCCESS);
}

EXTRA(cuMemAllocAsync_ptsz, (CUdeviceptr * ptr, size_t bytes, CUstream stream))
{
    return cuMemAllocAsync(ptr, bytes, per_thread(stream));
}

EXTRA(cuMemAllocFromPoolAsync_ptsz,
      (CUdeviceptr * ptr, size_t bytes, CUmemoryPool pool, CUstream stream))
{
    return cuMemAllocFromPoolAsync(ptr, bytes, pool, per_thread(stream));
}

EXTRA(cuMemFreeAsync_ptsz, (CUdeviceptr ptr, CUstream stream))
{
    return cuMemFreeAsync(ptr, per_thread(stream));
}
