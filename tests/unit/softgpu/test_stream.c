/* SPDX-License-Identifier: Apache-2.0 */
/* A program whose streams run out of order computes garbage. */
#include "soft_test.h"

#include <pthread.h>

static uint32_t word_at(CUdeviceptr p)
{
    uint32_t v;

    /* Not by way of the legacy stream, which would wait for blocking streams. */
    memcpy(&v, (void *)(uintptr_t)p, sizeof(v));
    return v;
}

static CUdeviceptr word(const struct soft *s, unsigned index)
{
    s->flag[index] = 0;
    return (CUdeviceptr)(uintptr_t)&s->flag[index];
}

static void a_stream_runs_its_work_in_order(void **state)
{
    struct soft *s = *state;
    CUdeviceptr p = word(s, 8);

    for (uint32_t d = 1; d <= 9; d++)
        append_digit(s, s->a, p, d);
    ok(cuStreamSynchronize(s->a));
    assert_int_equal(word_at(p), 123456789);
}

static void streams_run_side_by_side(void **state)
{
    struct soft *s = *state;
    CUdeviceptr p = word(s, 8);

    s->flag[0] = 0;
    hold(s, s->a, &s->flag[0]);
    append_digit(s, s->b, p, 5);
    ok(cuStreamSynchronize(s->b));
    assert_int_equal(word_at(p), 5);
    expect(CUDA_ERROR_NOT_READY, cuStreamQuery(s->a));
    ok(cuStreamQuery(s->b));
    let_go(&s->flag[0]);
    ok(cuStreamSynchronize(s->a));
    ok(cuStreamQuery(s->a));
}

static void the_legacy_stream_waits_for_blocking_streams(void **state)
{
    struct soft *s = *state;
    CUdeviceptr p = word(s, 8);
    CUstream blocking;

    ok(cuStreamCreate(&blocking, CU_STREAM_DEFAULT));
    s->flag[0] = 0;
    hold(s, blocking, &s->flag[0]);
    append_digit(s, blocking, p, 1);
    append_digit(s, NULL, p, 2);
    append_digit(s, blocking, p, 3);
    expect(CUDA_ERROR_NOT_READY, cuStreamQuery(NULL));
    assert_int_equal(word_at(p), 0);
    let_go(&s->flag[0]);
    ok(cuStreamSynchronize(blocking));
    assert_int_equal(word_at(p), 123);
    ok(cuStreamDestroy(blocking));
}

static void blocking_streams_wait_for_the_legacy_stream(void **state)
{
    struct soft *s = *state;
    CUdeviceptr p = word(s, 8);
    CUstream one, two;

    ok(cuStreamCreate(&one, CU_STREAM_DEFAULT));
    ok(cuStreamCreate(&two, CU_STREAM_DEFAULT));
    s->flag[0] = 0;
    hold(s, CU_STREAM_LEGACY, &s->flag[0]);
    append_digit(s, one, p, 1);
    ok(cuStreamSynchronize(s->a)); /* nothing there */
    expect(CUDA_ERROR_NOT_READY, cuStreamQuery(one));
    append_digit(s, NULL, p, 2);
    append_digit(s, two, p, 3);
    assert_int_equal(word_at(p), 0);
    let_go(&s->flag[0]);
    ok(cuCtxSynchronize());
    assert_int_equal(word_at(p), 123);
    ok(cuStreamDestroy(one));
    ok(cuStreamDestroy(two));
}

static void non_blocking_streams_ignore_the_legacy_stream(void **state)
{
    struct soft *s = *state;
    CUdeviceptr p = word(s, 8);

    s->flag[0] = s->flag[1] = 0;
    hold(s, NULL, &s->flag[0]);
    append_digit(s, s->a, p, 4);
    ok(cuStreamSynchronize(s->a));
    assert_int_equal(word_at(p), 4);
    let_go(&s->flag[0]);
    ok(cuStreamSynchronize(NULL));
    hold(s, s->a, &s->flag[1]);
    append_digit(s, NULL, p, 2);
    ok(cuStreamSynchronize(NULL));
    assert_int_equal(word_at(p), 42);
    let_go(&s->flag[1]);
    ok(cuStreamSynchronize(s->a));
}

struct other {
    struct soft *s;
    CUdeviceptr p;
};

static void *in_own_stream(void *arg)
{
    struct other *o = arg;

    ok(cuCtxSetCurrent(o->s->ctx));
    append_digit(o->s, CU_STREAM_PER_THREAD, o->p, 6);
    ok(cuStreamSynchronize(CU_STREAM_PER_THREAD));
    return NULL;
}

static void each_thread_has_its_own_default_stream(void **state)
{
    struct soft *s = *state;
    struct other o = {s, word(s, 8)};
    unsigned long long id;
    pthread_t t;

    s->flag[0] = 0;
    hold(s, CU_STREAM_PER_THREAD, &s->flag[0]);
    assert_int_equal(pthread_create(&t, NULL, in_own_stream, &o), 0);
    pthread_join(t, NULL);
    assert_int_equal(word_at(o.p), 6);
    expect(CUDA_ERROR_NOT_READY, cuStreamQuery(CU_STREAM_PER_THREAD));
    /* It is a blocking stream. */
    append_digit(s, NULL, o.p, 7);
    assert_int_equal(word_at(o.p), 6);
    let_go(&s->flag[0]);
    ok(cuStreamSynchronize(NULL));
    assert_int_equal(word_at(o.p), 67);
    ok(cuStreamGetId(CU_STREAM_LEGACY, &id));
    assert_int_equal(id, 1);
    ok(cuStreamGetId(CU_STREAM_PER_THREAD, &id));
    assert_int_equal(id, 2);
}

static void an_event_orders_two_streams(void **state)
{
    struct soft *s = *state;
    CUdeviceptr p = word(s, 8);
    CUevent e;

    ok(cuEventCreate(&e, CU_EVENT_DISABLE_TIMING));
    ok(cuEventQuery(e)); /* never recorded: nothing to wait for */
    s->flag[0] = 0;
    hold(s, s->a, &s->flag[0]);
    append_digit(s, s->a, p, 1);
    ok(cuEventRecord(e, s->a));
    ok(cuStreamWaitEvent(s->b, e, 0));
    append_digit(s, s->b, p, 2);
    expect(CUDA_ERROR_NOT_READY, cuEventQuery(e));
    expect(CUDA_ERROR_NOT_READY, cuStreamQuery(s->b));
    let_go(&s->flag[0]);
    ok(cuStreamSynchronize(s->b));
    assert_int_equal(word_at(p), 12);
    ok(cuEventSynchronize(e));
    ok(cuEventQuery(e));
    ok(cuEventDestroy(e));
}

static void a_wait_means_the_recording_at_the_time_of_the_call(void **state)
{
    struct soft *s = *state;
    CUdeviceptr p = word(s, 8);
    CUevent e;

    ok(cuEventCreate(&e, CU_EVENT_DISABLE_TIMING));
    s->flag[0] = s->flag[1] = 0;
    hold(s, s->a, &s->flag[0]);
    ok(cuEventRecord(e, s->a));
    ok(cuStreamWaitEvent(s->b, e, 0));
    append_digit(s, s->b, p, 1);
    /* Recorded anew elsewhere and done at once: b still waits for the first recording. */
    ok(cuEventRecord(e, CU_STREAM_PER_THREAD));
    ok(cuEventSynchronize(e));
    expect(CUDA_ERROR_NOT_READY, cuStreamQuery(s->b));
    assert_int_equal(word_at(p), 0);
    /* Nor does destroying the event change what was queued. */
    ok(cuEventDestroy(e));
    let_go(&s->flag[0]);
    ok(cuStreamSynchronize(s->b));
    assert_int_equal(word_at(p), 1);
}

static void events_measure_time(void **state)
{
    struct soft *s = *state;
    CUevent start, end, untimed;
    float ms = -1;

    ok(cuEventCreate(&start, 0));
    ok(cuEventCreate(&end, CU_EVENT_BLOCKING_SYNC));
    ok(cuEventCreate(&untimed, CU_EVENT_DISABLE_TIMING));
    expect(CUDA_ERROR_INVALID_HANDLE, cuEventElapsedTime(&ms, start, end));
    s->flag[0] = 0;
    ok(cuEventRecord(start, s->a));
    hold(s, s->a, &s->flag[0]);
    ok(cuEventRecord(end, s->a));
    ok(cuEventRecord(untimed, s->a));
    expect(CUDA_ERROR_NOT_READY, cuEventElapsedTime(&ms, start, end));
    usleep(20000);
    let_go(&s->flag[0]);
    ok(cuEventSynchronize(end));
    ok(cuEventElapsedTime(&ms, start, end));
    assert_true(ms >= 20.0f); /* the sleep lies between them */
    ok(cuEventElapsedTime_v2(&ms, end, start));
    assert_true(ms <= -20.0f);
    ok(cuEventSynchronize(untimed));
    expect(CUDA_ERROR_INVALID_HANDLE, cuEventElapsedTime(&ms, start, untimed));
    expect(CUDA_ERROR_INVALID_VALUE, cuEventCreate(&end, 0x80));
    expect(CUDA_ERROR_INVALID_VALUE, cuEventCreate(&end, CU_EVENT_INTERPROCESS));
    ok(cuEventDestroy(start));
    expect(CUDA_ERROR_INVALID_HANDLE, cuEventQuery(start));
}

static uint32_t seen[4];
static unsigned seen_count;

static void note(void *arg)
{
    seen[seen_count++] = *(uint32_t *)arg;
}

static void note_status(CUstream stream, CUresult status, void *arg)
{
    (void)stream;
    seen[seen_count++] = status == CUDA_SUCCESS ? *(uint32_t *)arg : 999;
}

static void host_functions_run_in_stream_order(void **state)
{
    struct soft *s = *state;
    CUdeviceptr p = word(s, 8);
    uint32_t *value = &s->flag[8];

    seen_count = 0;
    append_digit(s, s->a, p, 1);
    ok(cuLaunchHostFunc(s->a, note, value));
    append_digit(s, s->a, p, 2);
    ok(cuStreamAddCallback(s->a, note_status, value, 0));
    append_digit(s, s->a, p, 3);
    ok(cuLaunchHostFunc(s->a, note, value));
    ok(cuStreamSynchronize(s->a));
    assert_int_equal(seen_count, 3);
    assert_int_equal(seen[0], 1);
    assert_int_equal(seen[1], 12);
    assert_int_equal(seen[2], 123);
    expect(CUDA_ERROR_INVALID_VALUE, cuLaunchHostFunc(s->a, NULL, NULL));
}

static void streams_wait_for_and_write_values(void **state)
{
    struct soft *s = *state;
    CUdeviceptr p = word(s, 8), gate = word(s, 16), wide = word(s, 32);

    s->flag[33] = 0;
    ok(cuStreamWaitValue32(s->a, gate, 5, CU_STREAM_WAIT_VALUE_GEQ));
    append_digit(s, s->a, p, 1);
    ok(cuStreamWaitValue64(s->a, wide, 0xf00000000ull, CU_STREAM_WAIT_VALUE_AND));
    append_digit(s, s->a, p, 2);
    usleep(2000);
    assert_int_equal(word_at(p), 0);
    ok(cuStreamWriteValue32(s->b, gate, 6, 0));
    ok(cuStreamSynchronize(s->b));
    while (__atomic_load_n(&s->flag[8], __ATOMIC_ACQUIRE) != 1)
        usleep(100);
    expect(CUDA_ERROR_NOT_READY, cuStreamQuery(s->a));
    ok(cuStreamWriteValue64(s->b, wide, 1ull << 32, 0));
    ok(cuStreamSynchronize(s->a));
    assert_int_equal(word_at(p), 12);
    ok(cuStreamWaitValue32(s->a, gate, 6, CU_STREAM_WAIT_VALUE_EQ));
    ok(cuStreamWaitValue32(s->a, gate, 6, CU_STREAM_WAIT_VALUE_NOR));
    ok(cuStreamSynchronize(s->a));
    expect(CUDA_ERROR_INVALID_VALUE, cuStreamWaitValue32(s->a, gate + 2, 0, 0));
    expect(CUDA_ERROR_INVALID_VALUE, cuStreamWaitValue32(s->a, 0x1000, 0, 0));
    expect(CUDA_ERROR_INVALID_VALUE, cuStreamWriteValue32(s->a, gate, 0, 8));
}

static void the_higher_priority_goes_first(void **state)
{
    struct soft *s = *state;
    CUdeviceptr p = word(s, 8);
    CUstream low, high, held[4];
    int least, greatest, got;

    ok(cuCtxGetStreamPriorityRange(&least, &greatest));
    assert_true(greatest < least);
    ok(cuStreamCreateWithPriority(&low, CU_STREAM_NON_BLOCKING, least));
    ok(cuStreamCreateWithPriority(&high, CU_STREAM_NON_BLOCKING, greatest - 100));
    ok(cuStreamGetPriority(high, &got));
    assert_int_equal(got, greatest);
    /* All four cores are busy until both are queued; then one core is let go. */
    for (unsigned i = 0; i < 4; i++) {
        s->flag[i] = 0;
        ok(cuStreamCreate(&held[i], CU_STREAM_NON_BLOCKING));
        hold(s, held[i], &s->flag[i]);
    }
    append_digit(s, low, p, 2);
    append_digit(s, high, p, 1);
    let_go(&s->flag[0]);
    ok(cuStreamSynchronize(low));
    assert_int_equal(word_at(p), 12);
    for (unsigned i = 1; i < 4; i++)
        let_go(&s->flag[i]);
    ok(cuCtxSynchronize());
    for (unsigned i = 0; i < 4; i++)
        ok(cuStreamDestroy(held[i]));
}

static void a_destroyed_stream_finishes_its_work(void **state)
{
    struct soft *s = *state;
    CUdeviceptr p = word(s, 8);
    CUstream gone;

    ok(cuStreamCreate(&gone, CU_STREAM_NON_BLOCKING));
    s->flag[0] = 0;
    hold(s, gone, &s->flag[0]);
    append_digit(s, gone, p, 9);
    ok(cuStreamDestroy(gone));
    expect(CUDA_ERROR_INVALID_HANDLE, cuStreamQuery(gone));
    expect(CUDA_ERROR_INVALID_HANDLE, cuStreamDestroy(gone));
    let_go(&s->flag[0]);
    ok(cuCtxSynchronize());
    assert_int_equal(word_at(p), 9);
}

static void queries_answer(void **state)
{
    struct soft *s = *state;
    CUstreamCaptureStatus capture = CU_STREAM_CAPTURE_STATUS_ACTIVE;
    CUgraph graph;
    CUcontext ctx;
    unsigned flags;
    CUdevice dev;

    ok(cuStreamGetFlags(s->a, &flags));
    assert_int_equal(flags, CU_STREAM_NON_BLOCKING);
    ok(cuStreamGetFlags(NULL, &flags));
    assert_int_equal(flags, CU_STREAM_DEFAULT);
    ok(cuStreamGetCtx(s->a, &ctx));
    assert_ptr_equal(ctx, s->ctx);
    ok(cuStreamGetDevice(s->a, &dev));
    assert_int_equal(dev, 0);
    ok(cuStreamIsCapturing(s->a, &capture));
    assert_int_equal(capture, CU_STREAM_CAPTURE_STATUS_NONE);
    expect(CUDA_ERROR_ILLEGAL_STATE, cuStreamEndCapture(s->a, &graph));
    expect(CUDA_ERROR_INVALID_VALUE, cuStreamCreate(&s->b, 0x10));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_runs_its_work_in_order),
        cmocka_unit_test(streams_run_side_by_side),
        cmocka_unit_test(the_legacy_stream_waits_for_blocking_streams),
        cmocka_unit_test(blocking_streams_wait_for_the_legacy_stream),
        cmocka_unit_test(non_blocking_streams_ignore_the_legacy_stream),
        cmocka_unit_test(each_thread_has_its_own_default_stream),
        cmocka_unit_test(an_event_orders_two_streams),
        cmocka_unit_test(a_wait_means_the_recording_at_the_time_of_the_call),
        cmocka_unit_test(events_measure_time),
        cmocka_unit_test(host_functions_run_in_stream_order),
        cmocka_unit_test(streams_wait_for_and_write_values),
        cmocka_unit_test(the_higher_priority_goes_first),
        cmocka_unit_test(a_destroyed_stream_finishes_its_work),
        cmocka_unit_test(queries_answer),
    };

    return cmocka_run_group_tests(tests, soft_setup, soft_teardown);
}
