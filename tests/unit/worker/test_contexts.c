/* SPDX-License-Identifier: Apache-2.0 */
/* Start, devices, contexts: what a program gets, and what goes with a context. */
#include "tests/unit/worker/rig.h"

static void start_tells_devices_and_window(void **state)
{
    assert_int_equal(CALL(Init, NULL, 0, .record = {0}), CUDA_SUCCESS);
    assert_int_equal(rig.reply->size, VGPU_RSP_BYTES_Init);
    assert_int_equal(ANSWER(Init)->device_count, 1);
    assert_true(ANSWER(Init)->driver_version >= 12000);
    assert_int_equal(ANSWER(Init)->window_bytes % VGPU_WINDOW_ALIGN, 0);
    assert_true(ANSWER(Init)->window_bytes > 0);
}

static void device_info_shows_the_quota_as_memory(void **state)
{
    assert_int_equal(CALL(DeviceInfo, NULL, 0, .device = 0), CUDA_SUCCESS);
    assert_int_equal(ANSWER(DeviceInfo)->total_memory, 64 << 20);
    assert_true(strlen((const char *)ANSWER(DeviceInfo)->name) > 0);
    assert_true(ANSWER(DeviceInfo)->attributes[CU_DEVICE_ATTRIBUTE_WARP_SIZE] == 32);
    assert_true(ANSWER(DeviceInfo)->attribute_valid[0] & (1u << CU_DEVICE_ATTRIBUTE_WARP_SIZE));
    rig.worker.assign.device_memory_limit = 8 << 20;
    assert_int_equal(CALL(DeviceInfo, NULL, 0, .device = 0), CUDA_SUCCESS);
    assert_int_equal(ANSWER(DeviceInfo)->total_memory, 8 << 20);
    assert_int_equal(CALL(DeviceInfo, NULL, 0, .device = 1), CUDA_ERROR_INVALID_DEVICE);
    assert_int_equal(CALL(DeviceInfo, NULL, 0, .device = -1), CUDA_ERROR_INVALID_DEVICE);
}

static void window_is_placed_once_and_in_its_range(void **state)
{
    static const uint64_t bad[][2] = {
        {VGPU_WINDOW_ADDRESS_MIN, VGPU_WINDOW_ALIGN}, /* placed already */
        {VGPU_WINDOW_ADDRESS_MIN - VGPU_WINDOW_ALIGN, VGPU_WINDOW_ALIGN},
        {VGPU_WINDOW_ADDRESS_MAX, VGPU_WINDOW_ALIGN},
        {VGPU_WINDOW_ADDRESS_MIN, 0},
        {VGPU_WINDOW_ADDRESS_MIN + 4096, VGPU_WINDOW_ALIGN},
        {VGPU_WINDOW_ADDRESS_MIN, VGPU_WINDOW_ALIGN + 1},
        {VGPU_WINDOW_ADDRESS_MIN, UINT64_MAX - VGPU_WINDOW_ALIGN + 1},
    };
    uint64_t placed = rig.worker.window_bytes;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        rig.worker.window_bytes = i ? 0 : placed;
        CALL(Window, NULL, 0, .base = bad[i][0], .bytes = bad[i][1]);
        rig.worker.window_bytes = placed;
        assert_non_null(rig.worker.violation);
        rig.worker.violation = NULL;
    }
}

static void primary_context_can_be_retained_again_after_release(void **state)
{
    for (int i = 0; i < 3; i++) {
        uint32_t context = rig_handle();
        rig.context = 0;
        assert_int_equal(CALL(PrimaryRetain, NULL, 0, .context = context), CUDA_SUCCESS);
        rig.context = context;
        uint64_t memory = rig_alloc(4096);
        uint32_t function = rig_function(rig_module(), "fill");
        rig_fill(function, 0, memory, 7, 1024);
        assert_int_equal(CALL(CopyOutInline, NULL, 0, .source = memory + 4092, .bytes = 4),
                         CUDA_SUCCESS);
        assert_int_equal(*(uint32_t *)rig.reply->payload, 7);
        assert_int_equal(CALL(PrimaryRelease, NULL, 0, .context = context), CUDA_SUCCESS);
        assert_int_equal(rig.worker.device_memory, 0);
        /* A thread that still has the context current gets CUDA's answer. */
        assert_int_equal(CALL(CtxSynchronize, NULL, 0, .record = {0}), CUDA_ERROR_INVALID_CONTEXT);
        assert_int_equal(CALL(MemAlloc, NULL, 0, .bytes = 1), CUDA_ERROR_INVALID_CONTEXT);
    }
}

static void primary_context_is_retained_once(void **state)
{
    CALL(PrimaryRetain, NULL, 0, .context = rig_handle());
    assert_non_null(rig.worker.violation);
}

static void a_used_handle_is_refused(void **state)
{
    CALL(CtxCreate, NULL, 0, .context = rig.context);
    assert_non_null(rig.worker.violation);
    rig.worker.violation = NULL;
    CALL(CtxCreate, NULL, 0, .context = 0);
    assert_non_null(rig.worker.violation);
    rig.worker.violation = NULL;
    CALL(CtxCreate, NULL, 0, .context = VGPU_HANDLE_MAX);
    assert_non_null(rig.worker.violation);
}

static void contexts_are_apart(void **state)
{
    uint32_t first = rig.context, second = rig_handle();

    assert_int_equal(CALL(CtxCreate, NULL, 0, .context = second), CUDA_SUCCESS);
    uint64_t a = rig_alloc(1000);
    rig.context = second;
    uint64_t b = rig_alloc(1000);
    uint32_t stream = rig_stream(), module = rig_module();
    uint32_t function = rig_function(module, "fill");
    assert_int_not_equal(a, b);
    rig_fill(function, stream, b, 5, 10);
    assert_int_equal(CALL(StreamSynchronize, NULL, 0, .stream = stream), CUDA_SUCCESS);
    assert_int_equal(CALL(CtxDestroy, NULL, 0, .context = second), CUDA_SUCCESS);

    rig.context = first;
    assert_null(worker_object(&rig.worker, VGPU_TYPE_STREAM, stream));
    assert_null(worker_object(&rig.worker, VGPU_TYPE_MODULE, module));
    assert_null(worker_object(&rig.worker, VGPU_TYPE_FUNCTION, function));
    assert_int_equal(CALL(StreamSynchronize, NULL, 0, .stream = stream), CUDA_ERROR_INVALID_HANDLE);
    assert_int_equal(CALL(MemFree, NULL, 0, .address = b), CUDA_ERROR_INVALID_VALUE);
    rig_free(a);
    assert_int_equal(CALL(CtxDestroy, NULL, 0, .context = first), CUDA_ERROR_INVALID_CONTEXT);
    assert_int_equal(CALL(PrimaryRelease, NULL, 0, .context = second), CUDA_ERROR_INVALID_CONTEXT);
}

/* The driver keeps a stack of contexts per thread; the worker must not fall back into an old one.
 */
static void no_context_is_current_after_destroying_several(void **state)
{
    uint32_t handles[3];
    CUcontext current = NULL;

    for (int i = 0; i < 3; i++) {
        handles[i] = rig_handle();
        assert_int_equal(CALL(CtxCreate, NULL, 0, .context = handles[i]), CUDA_SUCCESS);
    }
    for (int i = 0; i < 3; i++)
        assert_int_equal(CALL(CtxDestroy, NULL, 0, .context = handles[i]), CUDA_SUCCESS);
    rig.context = 0;
    assert_int_equal(CALL(MemAlloc, NULL, 0, .bytes = 1), CUDA_ERROR_INVALID_CONTEXT);
    assert_null(rig.worker.current);
    rig.worker.driver->cuCtxGetCurrent(&current);
    assert_null(current);
}

static void contexts_are_limited(void **state)
{
    CUresult result = CUDA_SUCCESS;

    for (int i = 0; i <= WORKER_CONTEXTS_MAX && result == CUDA_SUCCESS; i++)
        result = CALL(CtxCreate, NULL, 0, .context = rig_handle());
    assert_int_equal(result, CUDA_ERROR_OUT_OF_MEMORY);
    assert_int_equal(rig.worker.context_count, WORKER_CONTEXTS_MAX);
}

/* Small answers stay asynchronous in the contexts that remain. */
static void reply_slots_stay_pinned_when_their_context_goes(void **state)
{
    uint32_t first = rig.context, second = rig_handle();
    struct worker_context *context;

    assert_int_equal(CALL(CtxCreate, NULL, 0, .context = second), CUDA_SUCCESS);
    assert_int_equal(CALL(PrimaryRelease, NULL, 0, .context = first), CUDA_SUCCESS);
    context = LIST_FIRST(&rig.worker.contexts);
    assert_int_equal(context->handle, second);
    assert_true(context->replies_registered);
}

static void destroying_a_context_answers_those_who_wait_in_it(void **state)
{
    uint32_t first = rig.context, second = rig_handle(), event = rig_handle();
    volatile uint32_t *flag = (void *)rig.heap;

    assert_int_equal(CALL(CtxCreate, NULL, 0, .context = second), CUDA_SUCCESS);
    rig.context = second;
    uint32_t stream = rig_stream();
    rig_hold(rig_function(rig_module(), "hold"), stream, flag);
    SEND(EventCreate, NULL, 0, .event = event);
    SEND(EventRecord, NULL, 0, .event = event, .stream = stream);
    uint16_t waiting[] = {
        START(CtxSynchronize, NULL, 0, .record = {0}),
        START(StreamSynchronize, NULL, 0, .stream = stream),
        START(EventSynchronize, NULL, 0, .event = event),
    };
    /* A wait that belongs to the context of its stream, wherever the caller is. */
    rig.context = first;
    uint16_t outside = START(StreamSynchronize, NULL, 0, .stream = stream);
    uint16_t outside_event = START(EventSynchronize, NULL, 0, .event = event);
    assert_int_equal(rig.worker.wait_count, 5);
    *flag = 1; /* destroying waits for the kernel */
    assert_int_equal(CALL(CtxDestroy, NULL, 0, .context = second), CUDA_SUCCESS);
    for (int i = 0; i < 3; i++)
        assert_int_equal(rig_wait(waiting[i]), CUDA_ERROR_CONTEXT_IS_DESTROYED);
    assert_int_equal(rig_wait(outside), CUDA_ERROR_CONTEXT_IS_DESTROYED);
    assert_int_equal(rig_wait(outside_event), CUDA_ERROR_CONTEXT_IS_DESTROYED);
    assert_int_equal(rig.worker.wait_count, 0);
}

static void handles_can_be_given_up_without_their_context(void **state)
{
    uint32_t kept = rig.context, second = rig_handle(), stream = rig_stream(), event = rig_handle();

    SEND(EventCreate, NULL, 0, .event = event);
    assert_int_equal(CALL(CtxCreate, NULL, 0, .context = second), CUDA_SUCCESS);
    rig.context = second;
    assert_int_equal(CALL(CtxDestroy, NULL, 0, .context = second), CUDA_SUCCESS);
    SEND(StreamDestroy, NULL, 0, .stream = stream);
    SEND(EventDestroy, NULL, 0, .event = event);
    assert_null(worker_object(&rig.worker, VGPU_TYPE_STREAM, stream));
    assert_null(worker_object(&rig.worker, VGPU_TYPE_EVENT, event));
    assert_int_equal(rig.worker.deferred_error, CUDA_SUCCESS);
    rig.context = kept;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_context, rig_finish)
#define PLAIN(name) cmocka_unit_test_setup_teardown(name, rig_plain, rig_finish)
    const struct CMUnitTest tests[] = {
        PLAIN(start_tells_devices_and_window),
        PLAIN(device_info_shows_the_quota_as_memory),
        PLAIN(window_is_placed_once_and_in_its_range),
        PLAIN(primary_context_can_be_retained_again_after_release),
        TEST(primary_context_is_retained_once),
        TEST(a_used_handle_is_refused),
        TEST(contexts_are_apart),
        TEST(no_context_is_current_after_destroying_several),
        TEST(contexts_are_limited),
        TEST(reply_slots_stay_pinned_when_their_context_goes),
        TEST(destroying_a_context_answers_those_who_wait_in_it),
        TEST(handles_can_be_given_up_without_their_context),
    };
    return cmocka_run_group_tests(tests, rig_start, NULL);
}
