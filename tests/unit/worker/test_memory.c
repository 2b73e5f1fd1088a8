/* SPDX-License-Identifier: Apache-2.0 */
/* Device memory, pinned memory, copies and fills. */
#include "tests/unit/worker/rig.h"

#define MIB (1ull << 20)

static const struct device_heap *heap(void)
{
    return rig.worker.current->heap;
}

static void allocations_lie_in_the_window_and_apart(void **state)
{
    uint64_t at[64];

    for (int i = 0; i < 64; i++) {
        at[i] = rig_alloc(1 + i * 700);
        assert_int_equal(at[i] % 512, 0);
        assert_in_range(at[i], VGPU_WINDOW_ADDRESS_MIN,
                        VGPU_WINDOW_ADDRESS_MIN + VGPU_WINDOW_ALIGN - 1);
        for (int k = 0; k < i; k++)
            assert_true(at[k] + 1 + k * 700 <= at[i] || at[i] + 1 + i * 700 <= at[k]);
    }
    assert_int_equal(rig.worker.device_memory, 2 * MIB);
    for (int i = 0; i < 64; i += 2)
        rig_free(at[i]);
    for (int i = 1; i < 64; i += 2)
        rig_free(at[i]);
    assert_int_equal(device_heap_idle(heap()), 2 * MIB);
}

static void neighbours_join_when_freed(void **state)
{
    uint64_t a = rig_alloc(MIB / 2), b = rig_alloc(MIB / 2), c = rig_alloc(MIB / 2),
             d = rig_alloc(MIB / 2);

    rig_free(b);
    rig_free(c);
    assert_int_equal(rig_alloc(MIB), b < c ? b : c);
    rig_free(a);
    rig_free(d);
    assert_int_equal(rig.worker.device_memory, 2 * MIB);
}

static void only_the_start_of_an_allocation_frees_it_and_once(void **state)
{
    uint64_t a = rig_alloc(4096);

    assert_int_equal(CALL(MemFree, NULL, 0, .address = a + 512), CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(CALL(MemFree, NULL, 0, .address = 0), CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(CALL(MemFree, NULL, 0, .address = UINT64_MAX), CUDA_ERROR_INVALID_VALUE);
    rig_free(a);
    assert_int_equal(CALL(MemFree, NULL, 0, .address = a), CUDA_ERROR_INVALID_VALUE);
}

static void impossible_sizes_are_refused(void **state)
{
    assert_int_equal(CALL(MemAlloc, NULL, 0, .bytes = 0), CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(CALL(MemAlloc, NULL, 0, .bytes = UINT64_MAX), CUDA_ERROR_OUT_OF_MEMORY);
    assert_int_equal(CALL(MemAlloc, NULL, 0, .bytes = VGPU_WINDOW_ALIGN), CUDA_ERROR_OUT_OF_MEMORY);
    assert_int_equal(
        CALL(MemAllocPitch, NULL, 0, .width = 100, .height = UINT64_MAX / 512 + 2, .element = 4),
        CUDA_ERROR_OUT_OF_MEMORY);
    assert_int_equal(CALL(MemAllocPitch, NULL, 0, .width = UINT64_MAX, .height = 1, .element = 4),
                     CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(CALL(MemAllocPitch, NULL, 0, .width = 100, .height = 2, .element = 3),
                     CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(CALL(MemAllocPitch, NULL, 0, .width = 100, .height = 2, .element = 4),
                     CUDA_SUCCESS);
    assert_int_equal(ANSWER(MemAllocPitch)->pitch, 512);
    assert_int_equal(rig.worker.device_memory, 2 * MIB);
}

static void memory_runs_out_and_comes_back(void **state)
{
    uint64_t at[8];
    int count = 0;

    while (count < 8 && CALL(MemAlloc, NULL, 0, .bytes = 16 * MIB) == CUDA_SUCCESS)
        at[count++] = ANSWER(MemAlloc)->address;
    assert_in_range(count, 2, 4);
    assert_int_equal(rig.reply->result, CUDA_ERROR_OUT_OF_MEMORY);
    assert_int_equal(CALL(CtxSynchronize, NULL, 0, .record = {0}), CUDA_SUCCESS);
    for (int i = 0; i < count; i++)
        rig_free(at[i]);
    /* What is idle is given back to the driver when something else needs it. */
    rig_free(rig_alloc(48 * MIB));
}

static void idle_memory_of_another_context_is_given_back_when_needed(void **state)
{
    uint32_t second = rig_handle();

    rig_free(rig_alloc(32 * MIB));
    assert_int_equal(rig.worker.device_memory, 32 * MIB);
    assert_int_equal(CALL(CtxCreate, NULL, 0, .context = second), CUDA_SUCCESS);
    rig.context = second;
    rig_free(rig_alloc(48 * MIB));
}

static void the_quota_bounds_what_is_mapped(void **state)
{
    rig.worker.assign.device_memory_limit = 8 * MIB;
    uint64_t a = rig_alloc(4 * MIB);
    assert_int_equal(CALL(MemGetInfo, NULL, 0, .record = {0}), CUDA_SUCCESS);
    assert_int_equal(ANSWER(MemGetInfo)->total, 8 * MIB);
    assert_int_equal(ANSWER(MemGetInfo)->free, 4 * MIB);
    assert_int_equal(CALL(MemAlloc, NULL, 0, .bytes = 5 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
    uint64_t b = rig_alloc(4 * MIB);
    assert_int_equal(CALL(MemAlloc, NULL, 0, .bytes = 1), CUDA_ERROR_OUT_OF_MEMORY);
    rig_free(a);
    rig_free(b);
    assert_int_equal(CALL(MemGetInfo, NULL, 0, .record = {0}), CUDA_SUCCESS);
    assert_int_equal(ANSWER(MemGetInfo)->free, 8 * MIB);
    rig_free(rig_alloc(8 * MIB));
    assert_int_equal(rig.page.device_memory, rig.worker.device_memory);
    assert_int_equal(rig.page.device_memory_peak, 8 * MIB);
}

static void the_quota_bounds_what_limits_set_aside(void **state)
{
    rig.worker.assign.device_memory_limit = 16 * MIB;
    assert_int_equal(
        CALL(CtxSetLimit, NULL, 0, .limit = CU_LIMIT_MALLOC_HEAP_SIZE, .value = 17 * MIB),
        CUDA_ERROR_OUT_OF_MEMORY);
    assert_int_equal(
        CALL(CtxSetLimit, NULL, 0, .limit = CU_LIMIT_MALLOC_HEAP_SIZE, .value = UINT64_MAX),
        CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(
        CALL(CtxSetLimit, NULL, 0, .limit = CU_LIMIT_MALLOC_HEAP_SIZE, .value = 10 * MIB),
        CUDA_SUCCESS);
    assert_int_equal(CALL(MemAlloc, NULL, 0, .bytes = 8 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
    assert_int_equal(
        CALL(CtxSetLimit, NULL, 0, .limit = CU_LIMIT_PRINTF_FIFO_SIZE, .value = 7 * MIB),
        CUDA_ERROR_OUT_OF_MEMORY);
    assert_int_equal(
        CALL(CtxSetLimit, NULL, 0, .limit = CU_LIMIT_MALLOC_HEAP_SIZE, .value = 4 * MIB),
        CUDA_SUCCESS);
    rig_alloc(8 * MIB);
    assert_int_equal(rig.worker.device_memory, 12 * MIB);
}

static void many_allocations_leave_no_holes(void **state)
{
    static uint64_t at[200], bytes[200];
    unsigned seed = 1;

    for (int step = 0; step < 5000; step++) {
        unsigned i = rand_r(&seed) % 200;
        if (at[i]) {
            rig_free(at[i]);
            at[i] = 0;
            continue;
        }
        bytes[i] = 1 + rand_r(&seed) % (i % 10 ? 20000 : 300000);
        if (CALL(MemAlloc, NULL, 0, .bytes = bytes[i]) != CUDA_SUCCESS)
            continue;
        at[i] = ANSWER(MemAlloc)->address;
        for (unsigned k = 0; k < 200; k++) {
            if (k != i && at[k] && at[k] < at[i] + bytes[i] && at[i] < at[k] + bytes[k])
                fail_msg("two allocations overlap");
        }
    }
    for (int i = 0; i < 200; i++) {
        if (at[i])
            rig_free(at[i]);
        at[i] = 0;
    }
    assert_int_equal(device_heap_idle(heap()), rig.worker.device_memory);
}

/* ---- copies ---- */

static void fill_pattern(uint8_t *to, size_t bytes, unsigned seed)
{
    for (size_t i = 0; i < bytes; i++)
        to[i] = (uint8_t)(i * 7 + (i >> 8) + seed);
}

static void inline_copies_arrive_both_ways(void **state)
{
    static uint8_t data[61440];
    uint64_t memory = rig_alloc(sizeof(data));
    uint32_t stream = rig_stream();

    fill_pattern(data, sizeof(data), 1);
    SEND(CopyInline, data, sizeof(data), .destination = memory, .bytes = sizeof(data),
         .stream = stream);
    /* The worker has taken the data: the next record lies in the same buffer. */
    for (uint64_t at = 0; at < sizeof(data); at += VGPU_REPLY_PAYLOAD) {
        uint64_t bytes =
            sizeof(data) - at < VGPU_REPLY_PAYLOAD ? sizeof(data) - at : VGPU_REPLY_PAYLOAD;
        assert_int_equal(
            CALL(CopyOutInline, NULL, 0, .source = memory + at, .bytes = bytes, .stream = stream),
            CUDA_SUCCESS);
        assert_int_equal(rig.reply->size, bytes);
        assert_memory_equal(rig.reply->payload, data + at, bytes);
    }
    rig_free(memory);
}

static void copies_go_between_all_kinds_of_memory(void **state)
{
    uint64_t a = rig_alloc(MIB), b = rig_alloc(MIB);
    uint8_t *pinned = rig.heap, *pageable = rig.heap + 2 * MIB;

    fill_pattern(pinned, 256 << 10, 3);
    SEND(Copy, NULL, 0, .destination = a, .source = (uintptr_t)pinned, .bytes = 256 << 10,
         .release = 1);
    SEND(Copy, NULL, 0, .destination = b, .source = a, .bytes = 256 << 10);
    assert_int_equal(CALL(CopyWait, NULL, 0, .destination = (uintptr_t)pageable, .source = b,
                          .bytes = 256 << 10),
                     CUDA_SUCCESS);
    assert_memory_equal(pageable, pinned, 256 << 10);
    rig_drain();
    assert_int_equal(rig.worker.host.view.shared->release[0], 1);
    /* host to host */
    assert_int_equal(CALL(CopyWait, NULL, 0, .destination = (uintptr_t)pinned + (512 << 10),
                          .source = (uintptr_t)pinned, .bytes = 1000),
                     CUDA_SUCCESS);
    assert_memory_equal(pinned + (512 << 10), pinned, 1000);
}

static void copies_of_nothing_succeed_anywhere(void **state)
{
    SEND(Copy, NULL, 0, .destination = 0, .source = 12345, .bytes = 0, .release = 2);
    SEND(CopyInline, NULL, 0, .destination = 0, .bytes = 0);
    assert_int_equal(CALL(CopyOutInline, NULL, 0, .source = 0, .bytes = 0), CUDA_SUCCESS);
    assert_int_equal(rig.reply->size, 0);
    assert_int_equal(CALL(CopyWait, NULL, 0, .bytes = 0), CUDA_SUCCESS);
    rig_drain();
    assert_int_equal(rig.worker.host.view.shared->release[1], 1);
}

static void copies_outside_memory_are_refused(void **state)
{
    uint64_t memory = rig_alloc(4096);
    static const uint64_t outside[] = {0, 1, 0x400000, VGPU_ARENA_ADDRESS_MIN, UINT64_MAX - 3};

    for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
        assert_int_equal(
            CALL(CopyWait, NULL, 0, .destination = memory, .source = outside[i], .bytes = 4),
            CUDA_ERROR_INVALID_VALUE);
        assert_int_equal(
            CALL(CopyWait, NULL, 0, .destination = outside[i], .source = memory, .bytes = 4),
            CUDA_ERROR_INVALID_VALUE);
        assert_int_equal(CALL(CopyOutInline, NULL, 0, .source = outside[i], .bytes = 4),
                         CUDA_ERROR_INVALID_VALUE);
    }
    /* In the window, but where nothing is mapped, and past the end of the window and the heap. */
    assert_int_not_equal(CALL(CopyWait, NULL, 0, .destination = memory,
                              .source = VGPU_WINDOW_ADDRESS_MIN + VGPU_WINDOW_ALIGN / 2,
                              .bytes = 4),
                         CUDA_SUCCESS);
    assert_int_not_equal(CALL(CopyWait, NULL, 0, .destination = (uintptr_t)rig.heap,
                              .source = VGPU_WINDOW_ADDRESS_MIN + VGPU_WINDOW_ALIGN / 2,
                              .bytes = 4),
                         CUDA_SUCCESS);
    assert_int_equal(CALL(CopyWait, NULL, 0, .destination = memory,
                          .source = VGPU_WINDOW_ADDRESS_MIN + VGPU_WINDOW_ALIGN - 2, .bytes = 4),
                     CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(CALL(CopyWait, NULL, 0, .destination = memory,
                          .source = VGPU_ARENA_ADDRESS_MIN + RIG_ARENA_BYTES - 2, .bytes = 4),
                     CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(CALL(CopyWait, NULL, 0, .destination = memory, .source = (uintptr_t)rig.heap,
                          .bytes = UINT64_MAX),
                     CUDA_ERROR_INVALID_VALUE);
    assert_null(rig.worker.violation);
}

static void an_inline_copy_must_fit_its_record_and_reply(void **state)
{
    uint64_t memory = rig_alloc(1 << 16);

    SEND(CopyInline, "abcd", 4, .destination = memory, .bytes = 5);
    assert_non_null(rig.worker.violation);
    rig.worker.violation = NULL;
    CALL(CopyOutInline, NULL, 0, .source = memory, .bytes = VGPU_REPLY_PAYLOAD + 1);
    assert_non_null(rig.worker.violation);
}

static void release_words_are_set_when_a_copy_fails(void **state)
{
    _Atomic uint32_t *release = rig.worker.host.view.shared->release;

    SEND(Copy, NULL, 0, .destination = 0x1000, .source = 0x1000, .bytes = 4, .release = 3);
    assert_int_equal(release[2], 1);
    SEND(Copy3D, NULL, 0, .destination = 0x1000, .source = 0x1000, .width = 4, .height = 1,
         .depth = 1, .release = 4);
    assert_int_equal(release[3], 1);
    /* also without a context, and with a stream that is not there */
    uint32_t context = rig.context;
    rig.context = 99999;
    SEND(Copy, NULL, 0, .bytes = 4, .release = 5);
    assert_int_equal(release[4], 1);
    rig.context = 0;
    SEND(Copy, NULL, 0, .bytes = 0, .release = 6);
    assert_int_equal(release[5], 1);
    rig.context = context;
    SEND(Copy, NULL, 0, .bytes = 0, .release = 7, .stream = 77777);
    assert_int_equal(release[6], 1);
    assert_int_equal(CALL(CtxSynchronize, NULL, 0, .record = {0}), CUDA_ERROR_INVALID_VALUE);
    SEND(Copy, NULL, 0, .bytes = 0, .release = 257);
    assert_non_null(rig.worker.violation);
}

static void pitched_copies_take_the_bytes_asked_for(void **state)
{
    uint64_t memory = rig_alloc(64 << 10);
    uint8_t *from = rig.heap, *to = rig.heap + (512 << 10);

    fill_pattern(from, 64 << 10, 9);
    SEND(Memset, NULL, 0, .destination = memory, .width = 64 << 10, .height = 1, .value = 0xee,
         .element = 1);
    /* 3 slices of 4 rows of 100 bytes */
    SEND(Copy3D, NULL, 0, .destination = memory, .source = (uintptr_t)from,
         .destination_pitch = 512, .source_pitch = 128, .destination_rows = 8, .source_rows = 4,
         .width = 100, .height = 4, .depth = 3, .release = 1);
    assert_int_equal(CALL(Copy3DWait, NULL, 0, .destination = (uintptr_t)to, .source = memory,
                          .destination_pitch = 512, .source_pitch = 512, .destination_rows = 8,
                          .source_rows = 8, .width = 512, .height = 8, .depth = 3),
                     CUDA_SUCCESS);
    for (int z = 0; z < 3; z++) {
        for (int y = 0; y < 8; y++) {
            for (int x = 0; x < 512; x++) {
                uint8_t want = x < 100 && y < 4 ? from[(z * 4 + y) * 128 + x] : 0xee;
                assert_int_equal(to[(z * 8 + y) * 512 + x], want);
            }
        }
    }
    /* two-dimensional, one row longer than its pitch allows only when there is one row */
    assert_int_equal(CALL(Copy3DWait, NULL, 0, .destination = (uintptr_t)to, .source = memory,
                          .destination_pitch = 16, .source_pitch = 16, .width = 32, .height = 2,
                          .depth = 1),
                     CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(CALL(Copy3DWait, NULL, 0, .destination = (uintptr_t)to, .source = memory,
                          .destination_pitch = UINT64_MAX / 2, .source_pitch = 64, .width = 32,
                          .height = 4, .depth = 1),
                     CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(CALL(Copy3DWait, NULL, 0, .destination = (uintptr_t)to, .source = memory,
                          .destination_pitch = 64, .source_pitch = 64, .destination_rows = 2,
                          .source_rows = UINT64_MAX, .width = 32, .height = 2, .depth = UINT64_MAX),
                     CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(rig.worker.host.view.shared->release[0], 1);
}

static void memsets_fill_their_elements(void **state)
{
    uint64_t memory = rig_alloc(64 << 10);

    SEND(Memset, NULL, 0, .destination = memory, .width = 1000, .height = 1, .value = 0x1234ab,
         .element = 1);
    SEND(Memset, NULL, 0, .destination = memory + 1000, .width = 500, .height = 1,
         .value = 0x1234abcd, .element = 2);
    SEND(Memset, NULL, 0, .destination = memory + 2000, .pitch = 100, .width = 10, .height = 5,
         .value = 0x1234abcd, .element = 4);
    assert_int_equal(CALL(CopyOutInline, NULL, 0, .source = memory, .bytes = 2440), CUDA_SUCCESS);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(rig.reply->payload[i], 0xab);
    for (int i = 0; i < 500; i++)
        assert_int_equal(((const uint16_t *)(rig.reply->payload + 1000))[i], 0xabcd);
    for (int y = 0; y < 5; y++)
        for (int x = 0; x < 10; x++)
            assert_int_equal(((const uint32_t *)(rig.reply->payload + 2000 + y * 100))[x],
                             0x1234abcd);
    /* element 3; more than 2^64 bytes; the arena's own structures */
    SEND(Memset, NULL, 0, .destination = memory, .width = 1, .height = 1, .element = 3);
    assert_int_equal(rig.worker.deferred_error, CUDA_ERROR_INVALID_VALUE);
    rig.worker.deferred_error = CUDA_SUCCESS;
    SEND(Memset, NULL, 0, .destination = memory, .width = 1ull << 62, .height = 1, .element = 4);
    assert_int_equal(rig.worker.deferred_error, CUDA_ERROR_INVALID_VALUE);
    rig.worker.deferred_error = CUDA_SUCCESS;
    SEND(Memset, NULL, 0, .destination = VGPU_ARENA_ADDRESS_MIN, .width = 1, .height = 1,
         .element = 4);
    assert_int_equal(rig.worker.deferred_error, CUDA_ERROR_INVALID_VALUE);
}

static void only_whole_pages_of_the_heap_are_pinned(void **state)
{
    uint64_t page = (uintptr_t)rig.heap + 2 * MIB;

    assert_int_equal(CALL(HostRegister, NULL, 0, .address = page + 1, .bytes = 4096),
                     CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(CALL(HostRegister, NULL, 0, .address = page, .bytes = 0),
                     CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(CALL(HostRegister, NULL, 0, .address = page, .bytes = 4096, .flags = 4),
                     CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(CALL(HostRegister, NULL, 0, .address = page, .bytes = 8192), CUDA_SUCCESS);
    assert_int_not_equal(CALL(HostRegister, NULL, 0, .address = page, .bytes = 8192), CUDA_SUCCESS);
    assert_int_equal(CALL(HostUnregister, NULL, 0, .address = page, .bytes = 8192), CUDA_SUCCESS);
    assert_int_not_equal(CALL(HostUnregister, NULL, 0, .address = page, .bytes = 8192),
                         CUDA_SUCCESS);
    /* The reply slots are pinned as well, but not the guest's to unpin. */
    assert_int_equal(CALL(HostUnregister, NULL, 0,
                          .address = (uintptr_t)rig.worker.host.view.replies, .bytes = 0),
                     CUDA_ERROR_INVALID_VALUE);
    CALL(HostUnregister, NULL, 0, .address = (uintptr_t)rig.worker.host.view.replies,
         .bytes = 4096);
    assert_non_null(rig.worker.violation);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_context, rig_finish)
    const struct CMUnitTest tests[] = {
        TEST(allocations_lie_in_the_window_and_apart),
        TEST(neighbours_join_when_freed),
        TEST(only_the_start_of_an_allocation_frees_it_and_once),
        TEST(impossible_sizes_are_refused),
        TEST(memory_runs_out_and_comes_back),
        TEST(idle_memory_of_another_context_is_given_back_when_needed),
        TEST(the_quota_bounds_what_is_mapped),
        TEST(the_quota_bounds_what_limits_set_aside),
        TEST(many_allocations_leave_no_holes),
        TEST(inline_copies_arrive_both_ways),
        TEST(copies_go_between_all_kinds_of_memory),
        TEST(copies_of_nothing_succeed_anywhere),
        TEST(copies_outside_memory_are_refused),
        TEST(an_inline_copy_must_fit_its_record_and_reply),
        TEST(release_words_are_set_when_a_copy_fails),
        TEST(pitched_copies_take_the_bytes_asked_for),
        TEST(memsets_fill_their_elements),
        TEST(only_whole_pages_of_the_heap_are_pinned),
    };
    return cmocka_run_group_tests(tests, rig_start, NULL);
}
