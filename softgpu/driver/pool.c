/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool.c - the threads that carry work out
 *
 * N pool threads claim CTAs, in order, from grids whose turn has come: first those of the highest
 * stream priority, in turn among equals. Two copy threads stand for a GPU's copy engines. One
 * thread runs the program's functions, so that they run one at a time, as CUDA promises. A poller
 * looks at memory that streams wait for. All start when first needed and are never joined: a
 * process may exit while a kernel hangs.
 */
#include "driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COPY_THREADS 2
#define POLL_NS 50000

static pthread_cond_t grid_work = PTHREAD_COND_INITIALIZER;
static pthread_cond_t copy_work = PTHREAD_COND_INITIALIZER;
static pthread_cond_t host_work = PTHREAD_COND_INITIALIZER;
static pthread_cond_t poll_work = PTHREAD_COND_INITIALIZER;
static struct link grids = {&grids, &grids}; /* runnable, best priority first */

struct queue {
    struct op **items;
    size_t head, count, size; /* size is a power of two */
};
static struct queue copies, hosts;

static struct op *grid_op(struct grid *g)
{
    return CONTAINER(g, struct op, grid);
}

static bool push(struct queue *q, struct op *op)
{
    if (q->count == q->size) {
        size_t size = q->size ? q->size * 2 : 64;
        struct op **items = malloc(size * sizeof(*items));

        if (!items)
            return false;
        for (size_t i = 0; i < q->count; i++)
            items[i] = q->items[(q->head + i) & (q->size - 1)];
        free(q->items);
        q->items = items;
        q->size = size;
        q->head = 0;
    }
    q->items[(q->head + q->count++) & (q->size - 1)] = op;
    return true;
}

static struct op *pop(struct queue *q)
{
    struct op *op = q->items[q->head];

    q->head = (q->head + 1) & (q->size - 1);
    q->count--;
    return op;
}

void pool_ended_running(void)
{
    if (--drv.running == 0) {
        if (!list_empty(&drv.deferred))
            memory_collect();
        if (drv.paused)
            wake_done();
    }
}

/* ---- kernels --------------------------------------------------------------------------------- */

static void insert_grid(struct grid *g)
{
    struct link *at = &grids;

    LIST_EACH(it, &grids)
    {
        if (CONTAINER(it, struct grid, runnable)->priority > g->priority) {
            at = it;
            break;
        }
    }
    list_append(at, &g->runnable);
}

void pool_push_grid(struct op *op)
{
    insert_grid(&op->grid);
    atomic_fetch_add(&drv.runnable_grids, 1);
    atomic_fetch_add(&drv.resched, 1);
    if (op->grid.total > 1)
        pthread_cond_broadcast(&grid_work);
    else
        pthread_cond_signal(&grid_work);
}

static void retire(struct grid *g)
{
    if (list_empty(&g->runnable))
        return;
    list_remove(&g->runnable);
    atomic_fetch_sub(&drv.runnable_grids, 1);
}

static CUresult fault_code(enum sg_status status)
{
    switch (status) {
    case SG_FAULT_ILLEGAL_ADDRESS:
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    case SG_FAULT_MISALIGNED:
        return CUDA_ERROR_MISALIGNED_ADDRESS;
    case SG_FAULT_ILLEGAL_INSTRUCTION:
        return CUDA_ERROR_ILLEGAL_INSTRUCTION;
    case SG_FAULT_STACK:
        return CUDA_ERROR_HARDWARE_STACK_ERROR;
    default:
        /* trap is 719 or 715 on hardware, by architecture; 719 is what __trap() gives on sm_80. A
         * barrier deadlock hangs on hardware; here it is found, and is a failed launch. */
        return CUDA_ERROR_LAUNCH_FAILED;
    }
}

static void fault_report(const struct grid *g, const struct sg_fault *f)
{
    char why[256];

    snprintf(why, sizeof(why),
             "kernel %s: %s at address 0x%llx, PTX line %u, CTA (%u,%u,%u), thread (%u,%u,%u)",
             sg_function_info(g->launch.fn)->name, sg_status_text(f->status),
             (unsigned long long)f->address, f->ptx_line, f->ctaid[0], f->ctaid[1], f->ctaid[2],
             f->tid[0], f->tid[1], f->tid[2]);
    fault(fault_code(f->status), why);
}

/* Until the process ends or the device has faulted. */
static void hang(void)
{
    while (!atomic_load(&drv.cancel))
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void *pool_thread(void *arg)
{
    struct sg_runner *runner = sg_runner_new((uint32_t)(uintptr_t)arg);

    pthread_mutex_lock(&drv.lock);
    if (!runner) {
        fault(CUDA_ERROR_OUT_OF_MEMORY, "no memory for a pool thread");
        pthread_mutex_unlock(&drv.lock);
        return NULL;
    }
    for (;;) {
        struct sg_fault f = {.status = SG_OK};
        enum sg_status status = SG_OK;
        uint64_t mine = 0, i;
        unsigned epoch;
        struct grid *g;

        while (list_empty(&grids) || drv.paused || atomic_load(&drv.sticky))
            pthread_cond_wait(&grid_work, &drv.lock);
        g = CONTAINER(grids.next, struct grid, runnable);
        /* Equals take turns. */
        list_remove(&g->runnable);
        insert_grid(g);
        epoch = atomic_load(&drv.resched);
        g->active++;
        drv.running++;
        pthread_mutex_unlock(&drv.lock);

        if (g->fault == FAULT_HANG) {
            /* One thread per CTA, as the SMs that a kernel without end would hold. */
            if (atomic_fetch_add(&g->next, 1) < g->total)
                hang();
            status = SG_CANCELLED;
        } else if (g->fault == FAULT_ILLEGAL) {
            f.status = status = SG_FAULT_ILLEGAL_ADDRESS;
        }
        while (status == SG_OK && (i = atomic_fetch_add(&g->next, 1)) < g->total) {
            uint64_t x = g->launch.grid[0], y = g->launch.grid[1];
            uint32_t cta[3] = {(uint32_t)(i % x), (uint32_t)(i / x % y), (uint32_t)(i / x / y)};

            status = sg_run_cta(runner, &g->launch, cta, &f);
            mine++;
            if (atomic_load(&drv.resched) != epoch || atomic_load(&drv.runnable_grids) > 1)
                break;
        }

        pthread_mutex_lock(&drv.lock);
        g->active--;
        g->done += mine;
        if (atomic_load(&g->next) >= g->total)
            retire(g);
        pool_ended_running();
        if (status != SG_OK && status != SG_CANCELLED)
            fault_report(g, &f);
        else if (g->done == g->total && g->active == 0 && !atomic_load(&drv.sticky))
            op_complete(grid_op(g));
    }
}

bool pool_start_kernels(void)
{
    static unsigned started;

    while (started < drv.cores && thread_start(pool_thread, (void *)(uintptr_t)started))
        started++;
    return started > 0;
}

void pool_resume(void)
{
    if (!list_empty(&grids))
        pthread_cond_broadcast(&grid_work);
    if (copies.count)
        pthread_cond_broadcast(&copy_work);
}

/* ---- copies ---------------------------------------------------------------------------------- */

void pool_push_copy(struct op *op)
{
    if (push(&copies, op))
        pthread_cond_signal(&copy_work);
    else
        fault(CUDA_ERROR_OUT_OF_MEMORY, "no memory to queue a copy");
}

static void *copy_thread(void *arg)
{
    pthread_mutex_lock(&drv.lock);
    for (;;) {
        struct op *op;
        bool ok;

        while (!copies.count || drv.paused)
            pthread_cond_wait(&copy_work, &drv.lock);
        op = pop(&copies);
        drv.running++;
        pthread_mutex_unlock(&drv.lock);
        ok = op->kind == OP_COPY ? copy_run(&op->copy) : fill_run(&op->fill);
        pthread_mutex_lock(&drv.lock);
        pool_ended_running();
        if (!ok)
            fault(CUDA_ERROR_ILLEGAL_ADDRESS, "a copy or fill reached memory that was freed");
        else
            op_complete(op);
    }
    return arg;
}

bool pool_start_copies(void)
{
    static unsigned started;

    while (started < COPY_THREADS && thread_start(copy_thread, NULL))
        started++;
    return started > 0;
}

/* ---- functions of the program ---------------------------------------------------------------- */

void pool_push_host(struct op *op)
{
    if (push(&hosts, op))
        pthread_cond_signal(&host_work);
    else
        fault(CUDA_ERROR_OUT_OF_MEMORY, "no memory to queue a host function");
}

static void *host_thread(void *arg)
{
    pthread_mutex_lock(&drv.lock);
    for (;;) {
        struct op *op;
        CUresult status;

        while (!hosts.count)
            pthread_cond_wait(&host_work, &drv.lock);
        op = pop(&hosts);
        status = (CUresult)atomic_load(&drv.sticky);
        pthread_mutex_unlock(&drv.lock);
        if (op->kind == OP_CALLBACK)
            ((CUstreamCallback)op->host.fn)(op->host.stream, status, op->host.data);
        else if (!status)
            ((CUhostFn)op->host.fn)(op->host.data);
        pthread_mutex_lock(&drv.lock);
        op_complete(op);
    }
    return arg;
}

bool pool_start_host(void)
{
    static bool started;

    if (!started)
        started = thread_start(host_thread, NULL);
    return started;
}

/* ---- waiting for memory ---------------------------------------------------------------------- */

static void *poll_thread(void *arg)
{
    pthread_mutex_lock(&drv.lock);
    for (;;) {
        while (!drv.value_waits || atomic_load(&drv.sticky))
            pthread_cond_wait(&poll_work, &drv.lock);
        sched_run();
        pthread_mutex_unlock(&drv.lock);
        nanosleep(&(struct timespec){.tv_nsec = POLL_NS}, NULL);
        pthread_mutex_lock(&drv.lock);
    }
    return arg;
}

void pool_poll(void)
{
    pthread_cond_signal(&poll_work);
}

bool pool_start_poller(void)
{
    static bool started;

    if (!started)
        started = thread_start(poll_thread, NULL);
    return started;
}
