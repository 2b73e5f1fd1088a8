/* SPDX-License-Identifier: Apache-2.0 */
#include "mediator/common/arena_map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#define TMPFS_MAGIC_NUMBER 0x01021994 /* statfs(2) */
#define PAGE (1ull << VGPU_PAGE_SHIFT)

static int refuse(char *why, size_t why_bytes, int reason, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static int refuse(char *why, size_t why_bytes, int reason, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(why, why_bytes, format, args);
    va_end(args);
    return reason;
}

/* ---- memory in memfds: a VM's RAM, or the arena itself ---- */

/* The region that holds [address, address + bytes), or NULL. */
static const struct vgpu_region *region_of(const struct vgpu_arena_source *source, uint64_t address,
                                           uint64_t bytes)
{
    for (uint32_t i = 0; i < source->region_count; i++) {
        const struct vgpu_region *r = &source->regions[i];
        if (address >= r->guest_address && address - r->guest_address < r->size &&
            bytes <= r->size - (address - r->guest_address))
            return r;
    }
    return NULL;
}

static int memfd_read(const struct vgpu_arena_source *source, uint64_t address, void *to,
                      size_t bytes, const char **why)
{
    const struct vgpu_region *r = region_of(source, address, bytes);

    if (!r) {
        *why = "guest address is in no memory region";
        return -1;
    }
    int fd = source->fds[r - source->regions];
    uint64_t offset = r->fd_offset + (address - r->guest_address);
    for (size_t done = 0; done < bytes;) {
        ssize_t n = pread(fd, (uint8_t *)to + done, bytes - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            *why = "guest memory cannot be read";
            return -1;
        }
        done += (size_t)n;
    }
    return 0;
}

static int memfd_map(const struct vgpu_arena_source *source, uint64_t address, uint64_t count,
                     void *at, const char **why)
{
    const struct vgpu_region *r = region_of(source, address, count * PAGE);

    if (!r) {
        *why = "run is in no memory region";
        return -1;
    }
    uint64_t offset = r->fd_offset + (address - r->guest_address);
    if (mmap(at, count * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
             source->fds[r - source->regions], (off_t)offset) == MAP_FAILED) {
        *why = "guest pages cannot be mapped";
        return -1;
    }
    return 0;
}

static const struct vgpu_arena_backend memfd_backend = {"memfd", memfd_read, memfd_map};
static const struct vgpu_arena_backend local_backend = {"local", memfd_read, memfd_map};

static const struct vgpu_arena_backend *backend_of(const struct vgpu_arena_source *source)
{
    switch (source->backend) {
    case VGPU_BACKEND_MEMFD:
        return &memfd_backend;
    case VGPU_BACKEND_LOCAL:
        return &local_backend;
    default:
        return NULL;
    }
}

/* ---- checks ---- */

static int check_region(const struct vgpu_arena_source *source, uint32_t i, char *why,
                        size_t why_bytes)
{
    const struct vgpu_region *r = &source->regions[i];
    struct stat st;
    struct statfs fs;
    uint64_t end;

    if (!r->size || (r->size | r->guest_address | r->fd_offset) % PAGE ||
        __builtin_add_overflow(r->guest_address, r->size, &end) ||
        __builtin_add_overflow(r->fd_offset, r->size, &end) || end > INT64_MAX)
        return refuse(why, why_bytes, VGPU_REASON_BAD_TABLE,
                      "region %u is empty, not page aligned or wraps around", i);
    if (fstat(source->fds[i], &st) || !S_ISREG(st.st_mode))
        return refuse(why, why_bytes, VGPU_REASON_BAD_TABLE, "region %u: not a memory file", i);
    if (fstatfs(source->fds[i], &fs) || fs.f_type != TMPFS_MAGIC_NUMBER)
        return refuse(why, why_bytes, VGPU_REASON_BAD_TABLE,
                      "region %u: not a memfd of ordinary pages (huge pages and files are refused)",
                      i);
    int seals = fcntl(source->fds[i], F_GET_SEALS);
    if (seals < 0 || !(seals & F_SEAL_SHRINK))
        return refuse(why, why_bytes, VGPU_REASON_BAD_TABLE,
                      "region %u: the memfd is not sealed against shrinking", i);
    /* After the seal was seen: now the size cannot go down any more. */
    if (fstat(source->fds[i], &st) || (uint64_t)st.st_size < end)
        return refuse(why, why_bytes, VGPU_REASON_BAD_TABLE,
                      "region %u: ends at %llu, beyond the memfd's %llu bytes", i,
                      (unsigned long long)end, (unsigned long long)st.st_size);
    for (uint32_t k = 0; k < i; k++) {
        const struct vgpu_region *o = &source->regions[k];
        if (r->guest_address < o->guest_address + o->size &&
            o->guest_address < r->guest_address + r->size)
            return refuse(why, why_bytes, VGPU_REASON_BAD_TABLE, "regions %u and %u overlap", k, i);
    }
    return VGPU_REASON_NONE;
}

int vgpu_arena_check_regions(const struct vgpu_arena_source *source, char *why, size_t why_bytes)
{
    if (!backend_of(source))
        return refuse(why, why_bytes, VGPU_REASON_BAD_TABLE, "backend %u is not served",
                      source->backend);
    if (source->region_count < 1 || source->region_count > VGPU_LINK_REGIONS)
        return refuse(why, why_bytes, VGPU_REASON_BAD_TABLE, "%u memory regions",
                      source->region_count);
    for (uint32_t i = 0; i < source->region_count; i++) {
        int reason = check_region(source, i, why, why_bytes);
        if (reason)
            return reason;
    }
    return VGPU_REASON_NONE;
}

/* Checks a private copy of the run table and joins neighbours in it; *count becomes what is left.
 */
static int check_table(const struct vgpu_arena_source *source, struct vgpu_run *runs,
                       uint32_t *count, char *why, size_t why_bytes)
{
    uint64_t total = 0;
    uint32_t kept = 0;

    for (uint32_t i = 0; i < *count; i++) {
        struct vgpu_run run = runs[i];
        if (run.address % PAGE || !run.count || run.reserved)
            return refuse(why, why_bytes, VGPU_REASON_BAD_TABLE,
                          "run %u of %u: address 0x%llx, count %u, reserved 0x%x", i, *count,
                          run.address, run.count, run.reserved);
        total += run.count;
        if (total > source->pages)
            return refuse(why, why_bytes, VGPU_REASON_BAD_TABLE,
                          "run %u: more pages in the runs than the %u announced", i, source->pages);
        const struct vgpu_region *r = region_of(source, run.address, run.count * PAGE);
        if (!r)
            return refuse(why, why_bytes, VGPU_REASON_BAD_TABLE,
                          "run %u: 0x%llx + %u pages is outside the guest's memory", i, run.address,
                          run.count);
        if (kept && runs[kept - 1].address + runs[kept - 1].count * PAGE == run.address &&
            region_of(source, runs[kept - 1].address,
                      (runs[kept - 1].count + (uint64_t)run.count) * PAGE))
            runs[kept - 1].count += run.count;
        else
            runs[kept++] = run;
    }
    if (total != source->pages)
        return refuse(why, why_bytes, VGPU_REASON_BAD_TABLE,
                      "the runs have %llu pages, %u were announced", (unsigned long long)total,
                      source->pages);
    *count = kept;
    return VGPU_REASON_NONE;
}

static int fetch_table(const struct vgpu_arena_source *source,
                       const struct vgpu_arena_backend *backend, struct vgpu_run **out,
                       uint32_t *count, char *why, size_t why_bytes)
{
    const char *what;

    if (source->pages < 1 || source->pages > VGPU_PAGES_MAX)
        return refuse(why, why_bytes, VGPU_REASON_BAD_TABLE, "%u pages", source->pages);
    if (source->backend == VGPU_BACKEND_LOCAL) {
        if (source->runs || source->table_address || source->region_count != 1 ||
            source->regions[0].guest_address)
            return refuse(why, why_bytes, VGPU_REASON_BAD_TABLE,
                          "a local arena is one region without a run table");
    } else if (source->runs < 1 || source->runs > VGPU_RUNS_MAX || source->table_address % 8) {
        return refuse(why, why_bytes, VGPU_REASON_BAD_TABLE, "run table of %u runs at 0x%llx",
                      source->runs, (unsigned long long)source->table_address);
    }

    *count = source->backend == VGPU_BACKEND_LOCAL ? 1 : source->runs;
    struct vgpu_run *runs = calloc(*count, sizeof(*runs));
    if (!runs)
        return refuse(why, why_bytes, VGPU_REASON_LIMIT, "out of memory");
    if (source->backend == VGPU_BACKEND_LOCAL) {
        runs[0].count = source->pages;
    } else if (backend->read(source, source->table_address, runs, *count * sizeof(*runs), &what)) {
        free(runs);
        return refuse(why, why_bytes, VGPU_REASON_BAD_TABLE, "run table at 0x%llx: %s",
                      (unsigned long long)source->table_address, what);
    }
    int reason = check_table(source, runs, count, why, why_bytes);
    if (!reason && *count > (source->mappings_max ? source->mappings_max : VGPU_ARENA_MAPPINGS_MAX))
        reason = refuse(why, why_bytes, VGPU_REASON_LIMIT, "the arena is in %u pieces", *count);
    if (reason)
        free(runs);
    else
        *out = runs;
    return reason;
}

static int map_runs(const struct vgpu_arena_source *source,
                    const struct vgpu_arena_backend *backend, const struct vgpu_run *runs,
                    uint32_t count, const struct vgpu_arena_header *header, char *why,
                    size_t why_bytes)
{
    void *base = (void *)(uintptr_t)header->base;
    uint8_t *at = base;
    void *got = mmap(base, header->bytes, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

    if (got != base) {
        /* Kernels before 4.17 take the address as a hint. */
        if (got != MAP_FAILED)
            munmap(got, header->bytes);
        return refuse(why, why_bytes, VGPU_REASON_LIMIT,
                      "the addresses of the arena at 0x%llx are not free here",
                      (unsigned long long)header->base);
    }
    for (uint32_t i = 0; i < count; i++) {
        const char *what;
        if (backend->map(source, runs[i].address, runs[i].count, at, &what)) {
            int err = errno;
            munmap(base, header->bytes);
            return refuse(why, why_bytes, VGPU_REASON_BAD_TABLE, "run at 0x%llx: %s: %s",
                          runs[i].address, what, strerror(err));
        }
        at += runs[i].count * PAGE;
    }
    return VGPU_REASON_NONE;
}

int vgpu_arena_map(const struct vgpu_arena_source *source, struct vgpu_arena_map *map, char *why,
                   size_t why_bytes)
{
    const struct vgpu_arena_backend *backend = backend_of(source);
    struct vgpu_arena_header header;
    struct vgpu_run *runs = NULL;
    const char *what;
    uint32_t count = 0;

    int reason = vgpu_arena_check_regions(source, why, why_bytes);
    if (reason)
        return reason;
    reason = fetch_table(source, backend, &runs, &count, why, why_bytes);
    if (reason)
        return reason;

    if (backend->read(source, runs[0].address, &header, sizeof(header), &what)) {
        reason = refuse(why, why_bytes, VGPU_REASON_BAD_TABLE, "arena header: %s", what);
        goto out;
    }
    reason = vgpu_layout_check(&header, source->pages * PAGE, &what);
    if (reason) {
        refuse(why, why_bytes, reason, "%s (protocol %u.%u, here %u.%u)", what, header.major,
               header.minor, VGPU_PROTOCOL_MAJOR, VGPU_PROTOCOL_MINOR);
        goto out;
    }
    if (header.notify == VGPU_NOTIFY_FUTEX && source->backend != VGPU_BACKEND_LOCAL) {
        reason = refuse(why, why_bytes, VGPU_REASON_PROTOCOL,
                        "futexes do not reach into a VM, the header asks for them");
        goto out;
    }
    reason = map_runs(source, backend, runs, count, &header, why, why_bytes);
    if (reason)
        goto out;
    vgpu_view_init(&map->view, (void *)(uintptr_t)header.base, &header);
    map->bytes = header.bytes;
    map->mappings = count;
out:
    free(runs);
    return reason;
}

void vgpu_arena_unmap(struct vgpu_arena_map *map)
{
    if (map->view.base)
        munmap(map->view.base, map->bytes);
    memset(map, 0, sizeof(*map));
}
