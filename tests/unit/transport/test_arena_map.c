/* SPDX-License-Identifier: Apache-2.0 */
/* Mapping a guest's arena: the pages of a VM in any order, and every way to lie about them. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mediator/common/arena_map.h"

#define PAGE 4096ull
#define RAM (16ull << 20)        /* each of the guest's two memory regions */
#define HIGH 0x100000000ull      /* where the second begins */
#define PAGES 1024u              /* of the arena: 4 MiB */
#define TABLE (RAM - (1u << 20)) /* guest physical address of the run table */

static struct vgpu_arena_source source;
static struct vgpu_arena_map map;
static struct vgpu_run runs[PAGES];
static uint32_t run_count;
static struct vgpu_arena_header header;
static char why[256];

static int sealed_memfd(uint64_t bytes, int seals)
{
    int fd = memfd_create("ram", MFD_ALLOW_SEALING | MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
    if (seals)
        assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

static void poke(uint64_t address, const void *bytes, size_t count)
{
    int fd = address >= HIGH ? source.fds[1] : source.fds[0];
    off_t at = (off_t)(address >= HIGH ? address - HIGH + PAGE : address);
    assert_int_equal(pwrite(fd, bytes, count, at), count);
}

/* Writes table and header into the guest's memory. */
static void publish(void)
{
    source.runs = run_count;
    if (run_count)
        poke(TABLE, runs, run_count * sizeof(runs[0]));
    poke(runs[0].address, &header, sizeof(header));
}

/* A guest of two regions whose arena is scattered over both. */
static int set_up(void **state)
{
    memset(&source, 0, sizeof(source));
    memset(&map, 0, sizeof(map));
    source.backend = VGPU_BACKEND_MEMFD;
    source.region_count = 2;
    source.fds[0] = sealed_memfd(RAM, F_SEAL_SHRINK | F_SEAL_GROW);
    source.fds[1] = sealed_memfd(RAM + PAGE, F_SEAL_SHRINK | F_SEAL_GROW);
    source.regions[0] = (struct vgpu_region){0, RAM, 0};
    source.regions[1] = (struct vgpu_region){HIGH, RAM, PAGE};
    source.table_address = TABLE;
    source.pages = PAGES;
    assert_int_equal(vgpu_layout_plan(&header, VGPU_ARENA_ADDRESS_MIN + (6u << 20), PAGES * PAGE,
                                      2048, 16, VGPU_NOTIFY_EVENTFD),
                     0);
    memset(runs, 0, sizeof(runs));
    run_count = 0;
    /* Chunks of 1 to 7 pages, taken alternately from both regions, downwards. */
    uint64_t low = 8u << 20, high = HIGH + (12u << 20);
    for (uint32_t left = PAGES, i = 0; left; i++) {
        uint32_t n = 1 + i % 7 < left ? 1 + i % 7 : left;
        uint64_t *at = i % 2 ? &low : &high;
        *at -= (n + 1) * PAGE;
        runs[run_count++] = (struct vgpu_run){*at, n, 0};
        left -= n;
    }
    publish();
    return 0;
}

static int tear_down(void **state)
{
    vgpu_arena_unmap(&map);
    close(source.fds[0]);
    close(source.fds[1]);
    return 0;
}

static bool nothing_mapped(void)
{
    unsigned char resident[PAGES];
    void *base = (void *)(uintptr_t)(VGPU_ARENA_ADDRESS_MIN + (6u << 20));
    return mincore(base, PAGES * PAGE, resident) == -1 && errno == ENOMEM;
}

static void refused(int reason)
{
    why[0] = 0;
    int got = vgpu_arena_map(&source, &map, why, sizeof(why));
    if (got != reason)
        fail_msg("reason %d, not %d (%s)", got, reason, why);
    assert_string_not_equal(why, "");
    assert_null(map.view.base);
    assert_true(nothing_mapped());
}

static void scattered_pages_become_one_range(void **state)
{
    assert_int_equal(vgpu_arena_map(&source, &map, why, sizeof(why)), 0);
    assert_ptr_equal(map.view.base, (void *)(uintptr_t)header.base);
    assert_int_equal(map.bytes, PAGES * PAGE);
    assert_int_equal(map.mappings, run_count);

    /* Both directions, on every page. */
    uint64_t at = 0;
    for (uint32_t i = 0; i < run_count; i++) {
        for (uint32_t k = 0; k < runs[i].count; k++, at += PAGE) {
            uint64_t stamp = 0x1234567800000000ull + at, seen;
            poke(runs[i].address + k * PAGE + 2048, &stamp, sizeof(stamp));
            memcpy(&seen, map.view.base + at + 2048, sizeof(seen));
            assert_int_equal(seen, stamp);
        }
    }
    memcpy(map.view.base + at - 8, "from us", 8);
    char text[8];
    const struct vgpu_run *last = &runs[run_count - 1];
    uint64_t end = last->address + last->count * PAGE;
    assert_int_equal(
        pread(source.fds[end >= HIGH], text, 8, (off_t)(end >= HIGH ? end - HIGH + PAGE : end) - 8),
        8);
    assert_string_equal(text, "from us");
    vgpu_arena_unmap(&map);
    assert_true(nothing_mapped());
}

static void neighbouring_runs_share_a_mapping(void **state)
{
    run_count = 0;
    for (uint32_t i = 0; i < PAGES; i++)
        runs[run_count++] = (struct vgpu_run){HIGH + i * PAGE, 1, 0};
    publish();
    assert_int_equal(vgpu_arena_map(&source, &map, why, sizeof(why)), 0);
    assert_int_equal(map.mappings, 1);
}

static void the_number_of_mappings_is_bounded(void **state)
{
    source.mappings_max = run_count - 1;
    refused(VGPU_REASON_LIMIT);
    source.mappings_max = run_count;
    assert_int_equal(vgpu_arena_map(&source, &map, why, sizeof(why)), 0);
}

static void every_entry_of_the_run_table_is_checked(void **state)
{
    const struct vgpu_run bad[] = {
        {runs[5].address + 1, 1, 0},
        {runs[5].address + 2048, 1, 0},
        {runs[5].address, 0, 0},
        {runs[5].address, runs[5].count + 1, 0},
        {runs[5].address, runs[5].count - 1 ? runs[5].count - 1 : 2, 0},
        {runs[5].address, UINT32_MAX, 0},
        {runs[5].address, 0x80000000u, 0},
        {runs[5].address, runs[5].count, 1},
        {RAM, runs[5].count, 0},
        {RAM - PAGE, 6, 0},
        {HIGH - PAGE, runs[5].count, 0},
        {HIGH + RAM - PAGE, 6, 0},
        {HIGH + RAM, runs[5].count, 0},
        {UINT64_MAX - PAGE + 1, runs[5].count, 0},
        {UINT64_MAX - 2 * PAGE + 1, UINT32_MAX, 0},
        {1ull << 63, runs[5].count, 0},
    };
    const struct vgpu_run good = runs[5];

    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        runs[5] = bad[i];
        publish();
        refused(VGPU_REASON_BAD_TABLE);
    }
    runs[5] = good;
    publish();
    assert_int_equal(vgpu_arena_map(&source, &map, why, sizeof(why)), 0);
}

static void the_table_itself_may_be_anywhere_but_outside(void **state)
{
    const uint64_t bad[] = {RAM - 8,        RAM,        HIGH + RAM - 16, TABLE + 4, HIGH - 16, 1,
                            UINT64_MAX - 7, 1ull << 63, UINT64_MAX - 15};
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        source.table_address = bad[i];
        refused(VGPU_REASON_BAD_TABLE);
    }
    source.table_address = TABLE;
    const uint32_t counts[] = {0, VGPU_RUNS_MAX + 1, UINT32_MAX, run_count + 1, run_count - 1};
    for (unsigned i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        source.runs = counts[i];
        refused(VGPU_REASON_BAD_TABLE);
    }
}

static void announced_pages_must_be_the_tables(void **state)
{
    const uint32_t bad[] = {
        0, PAGES - 1, PAGES + 1, PAGES * 2, VGPU_PAGES_MAX, VGPU_PAGES_MAX + 1, UINT32_MAX};
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        source.pages = bad[i];
        refused(VGPU_REASON_BAD_TABLE);
    }
}

static void the_header_is_checked(void **state)
{
    const struct vgpu_arena_header good = header;

    header.major++;
    publish();
    refused(VGPU_REASON_VERSION);
    header = good;
    header.base = 0x7f0000000000ull;
    publish();
    refused(VGPU_REASON_PROTOCOL);
    header = good;
    header.bytes *= 2;
    publish();
    refused(VGPU_REASON_PROTOCOL);
    header = good;
    header.ring_slots = 3000;
    publish();
    refused(VGPU_REASON_PROTOCOL);
    header = good;
    /* A futex wake would reach nobody in a VM. */
    header.notify = VGPU_NOTIFY_FUTEX;
    publish();
    refused(VGPU_REASON_PROTOCOL);
    header = good;
    memset(header.process_name, 'x', sizeof(header.process_name));
    publish();
    assert_int_equal(vgpu_arena_map(&source, &map, why, sizeof(why)), 0);
    assert_int_equal(strlen(map.view.header.process_name), 15);
}

static void addresses_in_use_are_not_replaced(void **state)
{
    void *at = (void *)(uintptr_t)(header.base + (2u << 20));
    char *ours = mmap(at, PAGE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    assert_ptr_equal(ours, at);
    strcpy(ours, "ours");
    assert_int_equal(vgpu_arena_map(&source, &map, why, sizeof(why)), VGPU_REASON_LIMIT);
    assert_string_equal(ours, "ours");
    munmap(ours, PAGE);
    assert_true(nothing_mapped());
}

static void memory_that_could_shrink_is_refused(void **state)
{
    int sealed = source.fds[1];

    source.fds[1] = sealed_memfd(RAM + PAGE, 0);
    refused(VGPU_REASON_BAD_TABLE);
    assert_non_null(strstr(why, "not sealed"));
    close(source.fds[1]);
    source.fds[1] = sealed_memfd(RAM + PAGE, F_SEAL_GROW | F_SEAL_SEAL);
    refused(VGPU_REASON_BAD_TABLE);
    close(source.fds[1]);
    source.fds[1] = eventfd(0, 0);
    refused(VGPU_REASON_BAD_TABLE);
    close(source.fds[1]);
    source.fds[1] = open("/proc/self/exe", O_RDONLY);
    refused(VGPU_REASON_BAD_TABLE);
    close(source.fds[1]);
    source.fds[1] = -1;
    refused(VGPU_REASON_BAD_TABLE);
    source.fds[1] = sealed;
}

/* Sealed against writing: pages can be read but not mapped for writing, and nothing stays behind.
 */
static void memory_that_cannot_be_written_is_refused(void **state)
{
    int writable = source.fds[0];
    int readonly = sealed_memfd(RAM, 0);
    struct vgpu_run *table = runs;

    assert_int_equal(pwrite(readonly, table, run_count * sizeof(runs[0]), (off_t)TABLE),
                     run_count * sizeof(runs[0]));
    assert_int_equal(fcntl(readonly, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_WRITE), 0);
    source.fds[0] = readonly;
    refused(VGPU_REASON_BAD_TABLE);
    assert_non_null(strstr(why, "cannot be mapped"));
    source.fds[0] = writable;
    close(readonly);
}

static void regions_are_checked(void **state)
{
    const struct vgpu_region bad[] = {
        {HIGH, 0, 0},
        {HIGH, RAM + 1, 0},
        {HIGH + 1, RAM, 0},
        {HIGH, RAM, 1},
        {HIGH, RAM, 2 * PAGE}, /* one page too far */
        {HIGH, RAM + PAGE, PAGE},
        {HIGH, UINT64_MAX - PAGE + 1, 0},
        {HIGH, RAM, UINT64_MAX - PAGE + 1},
        {HIGH, RAM, INT64_MAX - PAGE + 1},
        {UINT64_MAX - PAGE + 1, RAM, 0},
        {0, RAM, 0}, /* overlaps the first */
        {RAM - PAGE, RAM, 0},
    };
    const struct vgpu_region good = source.regions[1];

    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        source.regions[1] = bad[i];
        refused(VGPU_REASON_BAD_TABLE);
    }
    source.regions[1] = good;
    source.region_count = 0;
    refused(VGPU_REASON_BAD_TABLE);
    source.region_count = VGPU_LINK_REGIONS + 1;
    refused(VGPU_REASON_BAD_TABLE);
    source.region_count = UINT32_MAX;
    refused(VGPU_REASON_BAD_TABLE);
    source.region_count = 2;
    source.backend = VGPU_BACKEND_GRANT;
    refused(VGPU_REASON_BAD_TABLE);
    source.backend = 0;
    refused(VGPU_REASON_BAD_TABLE);
}

static void a_local_arena_is_its_memfd(void **state)
{
    struct vgpu_arena_source local = {.backend = VGPU_BACKEND_LOCAL,
                                      .region_count = 1,
                                      .regions = {{0, PAGES * PAGE, 0}},
                                      .pages = PAGES};
    struct vgpu_arena_source memfd = source;

    header.notify = VGPU_NOTIFY_FUTEX;
    local.fds[0] = sealed_memfd(PAGES * PAGE, F_SEAL_SHRINK);
    assert_int_equal(pwrite(local.fds[0], &header, sizeof(header), 0), sizeof(header));
    assert_int_equal(vgpu_arena_map(&local, &map, why, sizeof(why)), 0);
    assert_int_equal(map.mappings, 1);
    vgpu_arena_unmap(&map);

    source = local;
    source.pages = PAGES + 1;
    refused(VGPU_REASON_BAD_TABLE);
    source = local;
    source.runs = 1;
    refused(VGPU_REASON_BAD_TABLE);
    source = local;
    source.table_address = 8;
    refused(VGPU_REASON_BAD_TABLE);
    source = local;
    source.regions[0].guest_address = PAGE;
    refused(VGPU_REASON_BAD_TABLE);
    source = local;
    source.regions[0].size *= 2;
    refused(VGPU_REASON_BAD_TABLE);
    close(local.fds[0]);
    source = memfd;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(scattered_pages_become_one_range),
        TEST(neighbouring_runs_share_a_mapping),
        TEST(the_number_of_mappings_is_bounded),
        TEST(every_entry_of_the_run_table_is_checked),
        TEST(the_table_itself_may_be_anywhere_but_outside),
        TEST(announced_pages_must_be_the_tables),
        TEST(the_header_is_checked),
        TEST(addresses_in_use_are_not_replaced),
        TEST(memory_that_could_shrink_is_refused),
        TEST(memory_that_cannot_be_written_is_refused),
        TEST(regions_are_checked),
        TEST(a_local_arena_is_its_memfd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
