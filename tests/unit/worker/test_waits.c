/* SPDX-License-Identifier: Apache-2.0 */
/* Streams, events, answers that come later, errors that come later, what is measured. */
#include "tests/unit/worker/rig.h"

static volatile uint32_t *flags(void)
{
    return (volatile uint32_t *)rig.heap; /* pinned; zero at the start of each test */
}

static bool stays_unanswered(uint16_t slot)
{
    for (int i = 0; i < 200; i++)
        worker_poll(&rig.worker, i % 2);
    return !rig_answered(slot);
}

static void a_wait_does_not_hold_up_other_records(void **state)
{
    uint32_t module = rig_module(), hold = rig_function(module, "hold"),
             fill = rig_function(module, "fill"), busy = rig_stream(), other = rig_stream();
    uint64_t memory = rig_alloc(4096);

    rig_hold(hold, busy, &flags()[0]);
    uint16_t stream = START(StreamSynchronize, NULL, 0, .stream = busy);
    uint16_t context = START(CtxSynchronize, NULL, 0, .record = {0});
    rig_fill(fill, other, memory, 42, 16);
    assert_int_equal(CALL(StreamSynchronize, NULL, 0, .stream = other), CUDA_SUCCESS);
    assert_int_equal(CALL(CopyOutInline, NULL, 0, .source = memory, .bytes = 4, .stream = other),
                     CUDA_SUCCESS);
    assert_int_equal(*(uint32_t *)rig.reply->payload, 42);
    assert_int_equal(CALL(StreamQuery, NULL, 0, .stream = busy), CUDA_ERROR_NOT_READY);
    assert_true(stays_unanswered(stream));
    assert_true(stays_unanswered(context));
    flags()[0] = 1;
    assert_int_equal(rig_wait(stream), CUDA_SUCCESS);
    assert_int_equal(rig_wait(context), CUDA_SUCCESS);
    assert_int_equal(CALL(StreamQuery, NULL, 0, .stream = busy), CUDA_SUCCESS);
}

/* A thread that keeps launching must not keep another from ever synchronising or freeing. */
static void a_wait_ends_with_what_was_submitted_before_it(void **state)
{
    uint32_t hold = rig_function(rig_module(), "hold"), stream = rig_stream(), idle = rig_stream();
    uint64_t memory = rig_alloc(4096);

    rig_hold(hold, stream, &flags()[0]);
    uint16_t sync = START(StreamSynchronize, NULL, 0, .stream = stream);
    uint16_t all = START(CtxSynchronize, NULL, 0, .record = {0});
    uint16_t freeing = START(MemFree, NULL, 0, .address = memory);
    rig_hold(hold, stream, &flags()[1]);
    rig_hold(hold, idle, &flags()[1]);
    uint16_t later = START(StreamSynchronize, NULL, 0, .stream = stream);
    assert_true(stays_unanswered(freeing));
    flags()[0] = 1;
    assert_int_equal(rig_wait(sync), CUDA_SUCCESS);
    assert_int_equal(rig_wait(all), CUDA_SUCCESS);
    assert_int_equal(rig_wait(freeing), CUDA_SUCCESS);
    assert_true(stays_unanswered(later));
    flags()[1] = 1;
    assert_int_equal(rig_wait(later), CUDA_SUCCESS);
}

static void memory_in_use_is_freed_after_its_kernel(void **state)
{
    uint32_t hold = rig_function(rig_module(), "hold");
    uint64_t memory = rig_alloc(4096);

    rig_hold(hold, 0, &flags()[0]);
    uint16_t first = START(MemFree, NULL, 0, .address = memory);
    uint16_t second = START(MemFree, NULL, 0, .address = memory);
    assert_true(stays_unanswered(first));
    assert_true(device_heap_owns(rig.worker.current->heap, memory));
    flags()[0] = 1;
    assert_int_equal(rig_wait(first), CUDA_SUCCESS);
    assert_int_equal(rig_wait(second), CUDA_ERROR_INVALID_VALUE);
}

static void copies_answer_with_themselves(void **state)
{
    uint32_t hold = rig_function(rig_module(), "hold"), stream = rig_stream();
    uint64_t memory = rig_alloc(4096);

    SEND(Memset, NULL, 0, .destination = memory, .width = 4096, .height = 1, .value = 5,
         .element = 1);
    assert_int_equal(CALL(CtxSynchronize, NULL, 0, .record = {0}), CUDA_SUCCESS);
    rig_hold(hold, stream, &flags()[0]);
    uint16_t out = START(CopyOutInline, NULL, 0, .source = memory, .bytes = 64, .stream = stream);
    uint16_t copy = START(CopyWait, NULL, 0, .destination = (uintptr_t)rig.heap + 4096,
                          .source = memory, .bytes = 64, .stream = stream);
    rig_hold(hold, stream, &flags()[1]);
    assert_true(stays_unanswered(out));
    flags()[0] = 1;
    assert_int_equal(rig_wait(out), CUDA_SUCCESS);
    assert_int_equal(rig.reply->size, 64);
    assert_int_equal(rig.reply->payload[63], 5);
    assert_int_equal(rig_wait(copy), CUDA_SUCCESS);
    assert_int_equal(rig.heap[4096 + 63], 5);
    flags()[1] = 1;
    rig_drain();
}

static void a_destroyed_stream_is_still_waited_for(void **state)
{
    uint32_t hold = rig_function(rig_module(), "hold"), stream = rig_stream();
    uint64_t memory = rig_alloc(4096);

    rig_hold(hold, stream, &flags()[0]);
    SEND(Copy, NULL, 0, .destination = memory, .source = (uintptr_t)rig.heap + 4096, .bytes = 64,
         .stream = stream, .release = 9);
    uint16_t inside = START(StreamSynchronize, NULL, 0, .stream = stream);
    SEND(StreamDestroy, NULL, 0, .stream = stream);
    assert_int_equal(CALL(StreamQuery, NULL, 0, .stream = stream), CUDA_ERROR_INVALID_HANDLE);
    uint16_t all = START(CtxSynchronize, NULL, 0, .record = {0});
    uint16_t freeing = START(MemFree, NULL, 0, .address = memory);
    assert_true(stays_unanswered(all));
    assert_true(stays_unanswered(inside));
    /* The handle may be used again at once. */
    SEND(StreamCreate, NULL, 0, .stream = stream);
    assert_int_equal(CALL(StreamSynchronize, NULL, 0, .stream = stream), CUDA_SUCCESS);
    assert_int_equal(rig.worker.host.view.shared->release[8], 0);
    flags()[0] = 1;
    assert_int_equal(rig_wait(inside), CUDA_SUCCESS);
    assert_int_equal(rig_wait(all), CUDA_SUCCESS);
    assert_int_equal(rig_wait(freeing), CUDA_SUCCESS);
    assert_int_equal(rig.worker.host.view.shared->release[8], 1);
}

static void a_stream_that_waits_for_an_event_is_not_idle(void **state)
{
    uint32_t hold = rig_function(rig_module(), "hold"), a = rig_stream(), b = rig_stream(),
             event = rig_handle();

    SEND(EventCreate, NULL, 0, .event = event, .flags = CU_EVENT_DISABLE_TIMING);
    rig_hold(hold, a, &flags()[0]);
    SEND(EventRecord, NULL, 0, .event = event, .stream = a);
    SEND(StreamWaitEvent, NULL, 0, .stream = b, .event = event);
    uint16_t slot = START(StreamSynchronize, NULL, 0, .stream = b);
    assert_int_equal(CALL(EventQuery, NULL, 0, .event = event), CUDA_ERROR_NOT_READY);
    uint16_t on_event = START(EventSynchronize, NULL, 0, .event = event);
    assert_true(stays_unanswered(slot));
    assert_true(stays_unanswered(on_event));
    flags()[0] = 1;
    assert_int_equal(rig_wait(slot), CUDA_SUCCESS);
    assert_int_equal(rig_wait(on_event), CUDA_SUCCESS);
    assert_int_equal(CALL(EventQuery, NULL, 0, .event = event), CUDA_SUCCESS);
}

static void an_event_may_go_while_others_wait_for_it(void **state)
{
    uint32_t hold = rig_function(rig_module(), "hold"), event = rig_handle();

    SEND(EventCreate, NULL, 0, .event = event);
    rig_hold(hold, 0, &flags()[0]);
    SEND(EventRecord, NULL, 0, .event = event);
    uint16_t slot = START(EventSynchronize, NULL, 0, .event = event);
    SEND(EventDestroy, NULL, 0, .event = event);
    assert_int_equal(rig_wait(slot), CUDA_ERROR_INVALID_HANDLE);
    flags()[0] = 1;
}

static void events_measure_time(void **state)
{
    uint32_t start = rig_handle(), end = rig_handle(), fill = rig_function(rig_module(), "fill");
    uint64_t memory = rig_alloc(1 << 20);

    SEND(EventCreate, NULL, 0, .event = start);
    SEND(EventCreate, NULL, 0, .event = end);
    SEND(EventRecord, NULL, 0, .event = start);
    rig_fill(fill, 0, memory, 1, 100000);
    SEND(EventRecord, NULL, 0, .event = end);
    assert_int_equal(CALL(EventSynchronize, NULL, 0, .event = end), CUDA_SUCCESS);
    assert_int_equal(CALL(EventElapsedTime, NULL, 0, .start = start, .end = end), CUDA_SUCCESS);
    assert_true(ANSWER(EventElapsedTime)->milliseconds > 0);
}

static void streams_of_another_context_serve_copies_but_no_kernels(void **state)
{
    uint32_t first = rig.context, second = rig_handle(), fill = rig_function(rig_module(), "fill"),
             stream = rig_stream();
    uint64_t memory = rig_alloc(4096);

    assert_int_equal(CALL(CtxCreate, NULL, 0, .context = second), CUDA_SUCCESS);
    rig.context = second;
    SEND(CopyInline, "abcd", 4, .destination = memory, .bytes = 4, .stream = stream);
    assert_int_equal(CALL(CopyOutInline, NULL, 0, .source = memory, .bytes = 4, .stream = stream),
                     CUDA_SUCCESS);
    assert_memory_equal(rig.reply->payload, "abcd", 4);
    assert_int_equal(rig.worker.deferred_error, CUDA_SUCCESS);
    rig_fill(fill, stream, memory, 1, 1);
    assert_int_equal(CALL(StreamSynchronize, NULL, 0, .stream = stream), CUDA_ERROR_INVALID_HANDLE);
    rig.context = first;
}

/* ---- errors that come later ---- */

static void a_deferred_error_is_told_once_by_the_next_synchronising_call(void **state)
{
    uint32_t stream = rig_stream();

    SEND(Launch, NULL, 0, .function = 12345, .grid = {1, 1, 1}, .block = {1, 1, 1});
    SEND(EventRecord, NULL, 0, .event = 4711);
    SEND(Memset, NULL, 0, .destination = 1, .width = 1, .height = 1, .element = 1);
    /* Calls that do not synchronise have answers of their own. */
    assert_int_equal(CALL(MemGetInfo, NULL, 0, .record = {0}), CUDA_SUCCESS);
    assert_int_equal(CALL(CtxGetLimit, NULL, 0, .limit = 0), CUDA_SUCCESS);
    assert_int_equal(CALL(StreamSynchronize, NULL, 0, .stream = stream), CUDA_ERROR_INVALID_HANDLE);
    assert_int_equal(CALL(StreamSynchronize, NULL, 0, .stream = stream), CUDA_SUCCESS);
    assert_int_equal(CALL(CtxSynchronize, NULL, 0, .record = {0}), CUDA_SUCCESS);
    /* A call's own error comes first, the other one stays. */
    SEND(Launch, NULL, 0, .function = 12345, .grid = {1, 1, 1}, .block = {1, 1, 1});
    assert_int_equal(CALL(StreamSynchronize, NULL, 0, .stream = 9999), CUDA_ERROR_INVALID_HANDLE);
    assert_int_equal(rig.worker.deferred_error, CUDA_ERROR_INVALID_HANDLE);
    assert_int_equal(CALL(StreamQuery, NULL, 0, .stream = stream), CUDA_ERROR_INVALID_HANDLE);
    assert_int_equal(CALL(StreamQuery, NULL, 0, .stream = stream), CUDA_SUCCESS);
}

static void a_deferred_error_takes_the_place_of_a_copys_answer(void **state)
{
    uint64_t memory = rig_alloc(64);

    SEND(Memset, NULL, 0, .destination = 1, .width = 1, .height = 1, .element = 1);
    assert_int_equal(CALL(CopyOutInline, NULL, 0, .source = memory, .bytes = 64),
                     CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(rig.reply->size, 0);
    assert_int_equal(CALL(CopyOutInline, NULL, 0, .source = memory, .bytes = 64), CUDA_SUCCESS);
    assert_int_equal(rig.reply->size, 64);
}

/* ---- a guest that plays with slots and words ---- */

static void a_reply_slot_is_promised_once(void **state)
{
    uint32_t hold = rig_function(rig_module(), "hold"), stream = rig_stream();
    uint64_t memory = rig_alloc(64);
    struct vgpu_req_MemGetInfo other = {0};

    rig_hold(hold, stream, &flags()[0]);
    uint16_t slot = START(CopyOutInline, NULL, 0, .source = memory, .bytes = 64, .stream = stream);
    assert_false(rig_answered(slot));
    rig_record(VGPU_OP_MemGetInfo, &other, VGPU_REQ_BYTES_MemGetInfo, NULL, 0, slot);
    assert_non_null(rig.worker.violation);
    assert_false(rig_answered(slot));
    assert_int_equal(rig.worker.wait_count, 1);
    rig.worker.violation = NULL;
    flags()[0] = 1;
    assert_int_equal(rig_wait(slot), CUDA_SUCCESS);
}

static void every_slot_can_wait_at_once(void **state)
{
    uint32_t hold = rig_function(rig_module(), "hold"),
             count = rig.worker.host.view.header.reply_count;
    uint16_t slots[64];

    assert_in_range(count, 1, 64);
    rig_hold(hold, 0, &flags()[0]);
    for (uint32_t i = 0; i < count; i++)
        slots[i] = START(CtxSynchronize, NULL, 0, .record = {0});
    assert_int_equal(rig.worker.wait_count, count);
    flags()[0] = 1;
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(rig_wait(slots[i]), CUDA_SUCCESS);
}

static void release_words_in_flight_are_bounded(void **state)
{
    uint32_t hold = rig_function(rig_module(), "hold"), stream = rig_stream();
    uint64_t memory = rig_alloc(64);
    int sent = 0;

    rig_hold(hold, stream, &flags()[0]);
    while (!rig.worker.violation && sent < 1000) {
        SEND(Copy, NULL, 0, .destination = memory, .source = (uintptr_t)rig.heap + 4096, .bytes = 4,
             .stream = stream, .release = 1);
        sent++;
    }
    assert_int_equal(sent, 257);
    flags()[0] = 1;
    rig_drain();
}

static void operations_answer_as_their_class_says(void **state)
{
    struct vgpu_req_MemGetInfo sync = {0};
    struct vgpu_req_CtxSetCacheConfig deferred = {0};

    rig_record(VGPU_OP_MemGetInfo, &sync, VGPU_REQ_BYTES_MemGetInfo, NULL, 0, VGPU_REPLY_NONE);
    assert_non_null(rig.worker.violation);
    rig.worker.violation = NULL;
    rig_record(VGPU_OP_CtxSetCacheConfig, &deferred, VGPU_REQ_BYTES_CtxSetCacheConfig, NULL, 0,
               rig_slot());
    assert_non_null(rig.worker.violation);
    rig.worker.violation = NULL;
    rig_record(VGPU_OP_CtxSetCacheConfig, &deferred, VGPU_REQ_BYTES_CtxSetCacheConfig - 1, NULL, 0,
               VGPU_REPLY_NONE);
    assert_non_null(rig.worker.violation);
    rig.worker.violation = NULL;
    rig_record(VGPU_OP_CtxSetCacheConfig, &deferred, VGPU_REQ_BYTES_CtxSetCacheConfig, "x", 1,
               VGPU_REPLY_NONE);
    assert_non_null(rig.worker.violation);
}

/* ---- statistics ---- */

static void measured_work_shows_in_the_statistics(void **state)
{
    uint32_t module = rig_module(), fill = rig_function(module, "fill"), stream = rig_stream();
    uint64_t memory = rig_alloc(1 << 20), latencies = 0;

    rig.worker.assign.flags = WORKER_ASSIGN_MEASURE;
    for (int i = 0; i < 10; i++) {
        rig_fill(fill, i % 2 ? stream : 0, memory, i, 50000);
        SEND(Copy, NULL, 0, .destination = memory, .source = (uintptr_t)rig.heap + 4096,
             .bytes = 4096, .stream = stream, .release = 1 + i);
    }
    assert_int_equal(CALL(CtxSynchronize, NULL, 0, .record = {0}), CUDA_SUCCESS);
    assert_false(worker_in_flight(&rig.worker));
    for (int i = 0; i < 10; i++)
        assert_int_equal(rig.worker.host.view.shared->release[i], 1);
    for (int i = 0; i < SHM_HISTOGRAM_BUCKETS; i++)
        latencies += rig.page.latency[i];
    assert_int_equal(latencies, 20);
    assert_true(rig.page.calls[VGPU_OP_Launch].gpu_ns > 0);
    assert_true(rig.page.gpu_ns >=
                rig.page.calls[VGPU_OP_Launch].gpu_ns + rig.page.calls[VGPU_OP_Copy].gpu_ns);
}

static void a_flood_of_measured_work_is_served(void **state)
{
    uint32_t module = rig_module(), nothing = rig_function(module, "nothing"),
             hold = rig_function(module, "hold"), stream = rig_stream();

    rig.worker.assign.flags = WORKER_ASSIGN_MEASURE;
    rig_hold(hold, stream, &flags()[0]);
    for (int i = 0; i < 6000; i++)
        SEND(Launch, NULL, 0, .function = nothing, .grid = {1, 1, 1}, .block = {1, 1, 1},
             .stream = stream);
    assert_in_range(rig.worker.work_count, 1, 4096);
    uint16_t slot = START(StreamSynchronize, NULL, 0, .stream = stream);
    assert_true(stays_unanswered(slot));
    flags()[0] = 1;
    assert_int_equal(rig_wait(slot), CUDA_SUCCESS);
    assert_int_equal(rig.worker.work_count, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_context, rig_finish)
    const struct CMUnitTest tests[] = {
        TEST(a_wait_does_not_hold_up_other_records),
        TEST(a_wait_ends_with_what_was_submitted_before_it),
        TEST(memory_in_use_is_freed_after_its_kernel),
        TEST(copies_answer_with_themselves),
        TEST(a_destroyed_stream_is_still_waited_for),
        TEST(a_stream_that_waits_for_an_event_is_not_idle),
        TEST(an_event_may_go_while_others_wait_for_it),
        TEST(events_measure_time),
        TEST(streams_of_another_context_serve_copies_but_no_kernels),
        TEST(a_deferred_error_is_told_once_by_the_next_synchronising_call),
        TEST(a_deferred_error_takes_the_place_of_a_copys_answer),
        TEST(a_reply_slot_is_promised_once),
        TEST(every_slot_can_wait_at_once),
        TEST(release_words_in_flight_are_bounded),
        TEST(operations_answer_as_their_class_says),
        TEST(measured_work_shows_in_the_statistics),
        TEST(a_flood_of_measured_work_is_served),
    };
    return cmocka_run_group_tests(tests, rig_start, NULL);
}
