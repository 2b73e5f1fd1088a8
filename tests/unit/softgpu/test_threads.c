/* SPDX-License-Identifier: Apache-2.0 */
/* Many threads at once, each checking its own results: what a lost update or wake-up would break.
 */
#include "soft_test.h"

#include <pthread.h>

#define THREADS 16
#define ROUNDS 40
#define WORDS 3000u

static struct soft *soft;
static unsigned calls_back;

static void count(void *arg)
{
    __atomic_fetch_add((unsigned *)arg, 1, __ATOMIC_RELAXED);
}

static void check_words(const uint32_t *p, uint32_t value)
{
    for (unsigned i = 0; i < WORDS; i++)
        assert_int_equal(p[i], value);
}

static void *worker(void *arg)
{
    unsigned id = (unsigned)(uintptr_t)arg;
    uint32_t *host, n = WORDS;
    CUstream stream;
    CUevent event, other;

    ok(cuCtxSetCurrent(soft->ctx));
    ok(cuStreamCreate(&stream, id % 2 ? CU_STREAM_NON_BLOCKING : CU_STREAM_DEFAULT));
    ok(cuEventCreate(&event, id % 3 ? CU_EVENT_DISABLE_TIMING : 0));
    ok(cuMemHostAlloc((void **)&host, WORDS * 4, 0));
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint32_t value = id * 1000 + round;
        CUstream use = round % 5 == 4 ? CU_STREAM_PER_THREAD : round % 7 == 6 ? NULL : stream;
        CUdeviceptr p, q;
        CUmodule module;
        CUfunction fn;

        ok(cuMemAlloc(&p, WORDS * 4));
        ok(cuMemAllocAsync(&q, WORDS * 4, use));
        ok(cuModuleLoadData(&module, soft_kernels));
        ok(cuModuleGetFunction(&fn, module, "fill"));
        ok(cuLaunchKernel(fn, (WORDS + 127) / 128, 1, 1, 128, 1, 1, 0, use,
                          (void *[]){&p, &value, &n}, NULL));
        ok(cuMemcpyDtoDAsync(q, p, WORDS * 4, use));
        ok(cuMemcpyDtoHAsync(host, q, WORDS * 4, use));
        ok(cuLaunchHostFunc(use, count, &calls_back));
        ok(cuEventRecord(event, use));
        ok(cuStreamWaitEvent(CU_STREAM_PER_THREAD, event, 0));
        ok(cuMemFreeAsync(q, CU_STREAM_PER_THREAD));
        if (round % 2)
            ok(cuEventSynchronize(event));
        else
            ok(cuStreamSynchronize(use));
        check_words(host, value);
        ok(cuMemcpyDtoH(host, p, WORDS * 4));
        check_words(host, value);
        if (round % 10 == 9) {
            ok(cuEventCreate(&other, 0));
            ok(cuEventRecord(other, NULL));
            ok(cuEventDestroy(other));
            ok(cuCtxSynchronize());
        }
        ok(cuMemFree(p));
        ok(cuModuleUnload(module));
    }
    ok(cuMemFreeHost(host));
    ok(cuEventDestroy(event));
    ok(cuStreamDestroy(stream));
    return NULL;
}

static void many_threads_share_a_context(void **state)
{
    pthread_t threads[THREADS];
    size_t before, after, total;

    soft = *state;
    ok(cuMemGetInfo(&before, &total));
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, worker, (void *)i), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ok(cuCtxSynchronize());
    ok(cuMemGetInfo(&after, &total));
    assert_int_equal(before, after);
    assert_int_equal(calls_back, THREADS * ROUNDS);
}

static void *own_context(void *arg)
{
    (void)arg;
    for (unsigned round = 0; round < ROUNDS / 4; round++) {
        struct soft mine;
        CUdeviceptr p;
        uint32_t got;

        soft_open(&mine);
        ok(cuMemAlloc(&p, 4));
        ok(cuMemsetD32(p, 0, 1));
        for (uint32_t d = 1; d < 6; d++)
            append_digit(&mine, NULL, p, d);
        ok(cuMemcpyDtoH(&got, p, 4));
        assert_int_equal(got, 12345);
        append_digit(&mine, mine.a, p, 6); /* still queued when the context goes */
        ok(cuCtxDestroy(mine.ctx));
    }
    return NULL;
}

static void contexts_come_and_go(void **state)
{
    pthread_t threads[THREADS / 2];

    (void)state;
    for (unsigned i = 0; i < THREADS / 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, own_context, NULL), 0);
    for (unsigned i = 0; i < THREADS / 2; i++)
        pthread_join(threads[i], NULL);
}

/* Short kernels in long rows, which must come out in order and complete. */
static void deep_queues_stay_in_order(void **state)
{
    struct soft *s = *state;
    CUfunction fill = function(s, "fill");
    uint32_t *host, n = 64;
    CUdeviceptr p;

    ok(cuMemHostAlloc((void **)&host, 4096 * 4, 0));
    p = (CUdeviceptr)(uintptr_t)host;
    for (uint32_t i = 0; i < 20000; i++)
        ok(cuLaunchKernel(fill, 1, 1, 1, 64, 1, 1, 0, i % 2 ? s->a : s->b,
                          (void *[]){&(CUdeviceptr){p + i % 2 * 1024}, &i, &n}, NULL));
    ok(cuCtxSynchronize());
    for (unsigned i = 0; i < 64; i++) {
        assert_int_equal(host[i], 19998);
        assert_int_equal(host[256 + i], 19999);
    }
    ok(cuMemFreeHost(host));
}

static unsigned queued;

static void *queue_much(void *arg)
{
    struct soft *s = arg;
    CUfunction nop;

    ok(cuCtxSetCurrent(s->ctx));
    nop = function(s, "nop");
    for (unsigned i = 0; i < 20000; i++) {
        ok(launch1(nop, s->a, NULL));
        __atomic_fetch_add(&queued, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

/* A program that queues without end behind a kernel that does not end must not take all memory. */
static void a_full_stream_makes_its_callers_wait(void **state)
{
    struct soft *s = *state;
    unsigned before, after = 0;
    pthread_t t;

    s->flag[0] = 0;
    hold(s, s->a, &s->flag[0]);
    assert_int_equal(pthread_create(&t, NULL, queue_much, s), 0);
    do {
        before = after;
        usleep(50000);
        after = __atomic_load_n(&queued, __ATOMIC_RELAXED);
    } while (after != before || after == 0);
    assert_true(after < 20000);
    expect(CUDA_ERROR_NOT_READY, cuStreamQuery(s->a));
    let_go(&s->flag[0]);
    pthread_join(t, NULL);
    assert_int_equal(queued, 20000);
    ok(cuStreamSynchronize(s->a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_threads_share_a_context),
        cmocka_unit_test(contexts_come_and_go),
        cmocka_unit_test(deep_queues_stay_in_order),
        cmocka_unit_test(a_full_stream_makes_its_callers_wait),
    };

    return cmocka_run_group_tests(tests, soft_setup, soft_teardown);
}
