/* SPDX-License-Identifier: Apache-2.0 */
#include "driver.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct driver drv = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .done = PTHREAD_COND_INITIALIZER,
};

/* ---- small helpers --------------------------------------------------------------------------- */

void soft_log(const char *format, ...)
{
    char line[512];
    va_list args;
    int used = snprintf(line, sizeof(line), "libcuda-soft: ");
    ssize_t written;

    va_start(args, format);
    vsnprintf(line + used, sizeof(line) - used - 1, format, args);
    va_end(args);
    strcat(line, "\n");
    /* One write, so that lines of several threads and processes stay whole. */
    written = write(STDERR_FILENO, line, strlen(line));
    (void)written;
}

long long soft_setting(const char *name, long long fallback, long long min, long long max)
{
    const char *text = getenv(name);
    char *end;
    long long value;

    if (!text || !*text)
        return fallback;
    errno = 0;
    value = strtoll(text, &end, 0);
    if (errno || *end || value < min || value > max) {
        soft_log("%s=%s: not a number from %lld to %lld; %lld is used", name, text, min, max,
                 fallback);
        return fallback;
    }
    return value;
}

uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

bool thread_start(void *(*fn)(void *), void *arg)
{
    pthread_attr_t attr;
    pthread_t id;
    sigset_t all, old;
    int rc;

    /* Signals are for the program's own threads. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    rc = pthread_create(&id, &attr, fn, arg);
    pthread_attr_destroy(&attr);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc)
        soft_log("cannot start a thread: %s", strerror(rc));
    return rc == 0;
}

/* ---- handles --------------------------------------------------------------------------------- */

#define INDEX_BITS 20
#define GENERATION_BITS 20
#define ENTRIES_PER_PAGE 4096u

struct entry {
    void *object; /* NULL: free */
    uint32_t generation;
    uint32_t next_free;
    uint8_t type;
};

static struct entry *pages[(1u << INDEX_BITS) / ENTRIES_PER_PAGE];
static uint32_t entries_used = 1; /* index 0 is never given out */
static uint32_t free_head;        /* 0: none */

static struct entry *entry_at(uint32_t index)
{
    struct entry *page = pages[index / ENTRIES_PER_PAGE];

    return page ? &page[index % ENTRIES_PER_PAGE] : NULL;
}

uint64_t handle_new(enum object_type type, void *object)
{
    uint32_t index = free_head;
    struct entry *e;

    if (index) {
        e = entry_at(index);
        free_head = e->next_free;
    } else {
        if (entries_used >= 1u << INDEX_BITS)
            return 0;
        index = entries_used;
        if (!pages[index / ENTRIES_PER_PAGE]) {
            pages[index / ENTRIES_PER_PAGE] = calloc(ENTRIES_PER_PAGE, sizeof(struct entry));
            if (!pages[index / ENTRIES_PER_PAGE])
                return 0;
        }
        entries_used++;
        e = entry_at(index);
    }
    e->object = object;
    e->type = type;
    return (uint64_t)type << (INDEX_BITS + GENERATION_BITS) |
           (uint64_t)e->generation << INDEX_BITS | index;
}

static struct entry *entry_of(uint64_t handle)
{
    uint32_t index = handle & ((1u << INDEX_BITS) - 1);
    uint32_t generation = handle >> INDEX_BITS & ((1u << GENERATION_BITS) - 1);
    struct entry *e = index && index < entries_used ? entry_at(index) : NULL;

    return e && e->object && e->generation == generation &&
                   handle >> (INDEX_BITS + GENERATION_BITS) == e->type
               ? e
               : NULL;
}

void *handle_get(uint64_t handle, enum object_type type)
{
    struct entry *e = entry_of(handle);

    return e && e->type == type ? e->object : NULL;
}

void handle_free(uint64_t handle)
{
    struct entry *e = entry_of(handle);

    if (!e)
        return;
    e->object = NULL;
    e->generation = (e->generation + 1) & ((1u << GENERATION_BITS) - 1);
    e->next_free = free_head;
    free_head = handle & ((1u << INDEX_BITS) - 1);
}

/* ---- entering and leaving -------------------------------------------------------------------- */

CUresult enter(void)
{
    pthread_mutex_lock(&drv.lock);
    if (drv.initialised)
        return CUDA_SUCCESS;
    pthread_mutex_unlock(&drv.lock);
    return CUDA_ERROR_NOT_INITIALIZED;
}

CUresult enter_healthy(void)
{
    CUresult r = enter();

    if (r == CUDA_SUCCESS && (r = (CUresult)atomic_load(&drv.sticky)) != CUDA_SUCCESS)
        pthread_mutex_unlock(&drv.lock);
    return r;
}

CUresult enter_context(struct context **ctx)
{
    struct thread *self;
    CUresult r = enter();

    if (r)
        return r;
    *ctx = context_current();
    self = thread_self();
    /* A context that was destroyed says so even after a fault: measured on hardware. */
    if (!*ctx && self && self->depth && self->stack[self->depth - 1])
        r = CUDA_ERROR_CONTEXT_IS_DESTROYED;
    else if (atomic_load(&drv.sticky))
        r = (CUresult)atomic_load(&drv.sticky);
    else if (!*ctx)
        r = CUDA_ERROR_INVALID_CONTEXT;
    if (r)
        pthread_mutex_unlock(&drv.lock);
    return r;
}

CUresult leave(CUresult result)
{
    pthread_mutex_unlock(&drv.lock);
    return result;
}

CUresult leave_synchronised(struct context *ctx, CUresult result)
{
    ctx->users++;
    pthread_mutex_unlock(&drv.lock);
    print_flush(ctx);
    pthread_mutex_lock(&drv.lock);
    ctx->users--;
    if (ctx->destroyed)
        wake_done();
    return leave(result);
}

void wait_done(void)
{
    drv.waiters++;
    pthread_cond_wait(&drv.done, &drv.lock);
    drv.waiters--;
}

void wake_done(void)
{
    if (drv.waiters)
        pthread_cond_broadcast(&drv.done);
}

void fault(CUresult sticky, const char *why)
{
    if (atomic_load(&drv.sticky))
        return;
    atomic_store(&drv.sticky, (int)sticky);
    atomic_store(&drv.cancel, 1);
    soft_log("%s; this process gets CUDA error %d from now on", why, (int)sticky);
    sched_run();
    wake_done();
}

/* ---- what kernels print ---------------------------------------------------------------------- */

void print_append(void *context, const char *text, size_t len)
{
    struct context *ctx = context;
    size_t limit;

    pthread_mutex_lock(&ctx->print_lock);
    limit = ctx->limits[CU_LIMIT_PRINTF_FIFO_SIZE];
    if (ctx->print_used + len > ctx->print_size && ctx->print_size < limit) {
        size_t want = ctx->print_size ? ctx->print_size : 4096;
        char *grown;

        while (want < ctx->print_used + len && want < limit)
            want *= 2;
        if (want > limit)
            want = limit;
        grown = realloc(ctx->print_text, want);
        if (grown) {
            ctx->print_text = grown;
            ctx->print_size = want;
        }
    }
    if (ctx->print_used + len > ctx->print_size) {
        /* Hardware overwrites the oldest output when its buffer is full; here none is lost. */
        fwrite(ctx->print_text, 1, ctx->print_used, stdout);
        ctx->print_used = 0;
    }
    if (len > ctx->print_size) {
        fwrite(text, 1, len, stdout);
    } else {
        memcpy(ctx->print_text + ctx->print_used, text, len);
        ctx->print_used += len;
    }
    pthread_mutex_unlock(&ctx->print_lock);
}

void print_flush(struct context *ctx)
{
    pthread_mutex_lock(&ctx->print_lock);
    if (ctx->print_used) {
        fwrite(ctx->print_text, 1, ctx->print_used, stdout);
        fflush(stdout);
        ctx->print_used = 0;
    }
    pthread_mutex_unlock(&ctx->print_lock);
}

/* ---- start ----------------------------------------------------------------------------------- */

static void forked_child(void)
{
    /* The parent's threads do not exist here, so its queues never move: as in CUDA, a child cannot
     * use a driver that its parent initialised. */
    if (!drv.initialised)
        return;
    pthread_mutex_init(&drv.lock, NULL);
    drv.initialised = false;
    drv.forked = true;
}

CUresult cuInit(unsigned int flags)
{
    static bool watching;
    CUresult r = CUDA_SUCCESS;

    if (flags)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&drv.lock);
    if (drv.forked) {
        r = CUDA_ERROR_NOT_INITIALIZED;
    } else if (!drv.initialised) {
        long long megabytes = soft_setting("VGPU_SOFT_MEMORY_MB", 1024, 2, 1 << 24);
        long online = sysconf(_SC_NPROCESSORS_ONLN);

        drv.map = sg_memmap_new();
        if (!drv.map) {
            r = CUDA_ERROR_OUT_OF_MEMORY;
            goto out;
        }
        drv.cores = soft_setting("VGPU_SOFT_CORES", online > 0 ? online : 1, 1, SOFT_MAX_CORES);
        drv.poison = soft_setting("VGPU_SOFT_POISON", -1, 0, 255);
        drv.device_count = soft_setting("VGPU_SOFT_DEVICES", 1, 0, SOFT_MAX_DEVICES);
        list_init(&drv.contexts);
        list_init(&drv.active);
        list_init(&drv.deferred);
        drv.next_seq = 1;
        drv.next_id = 16; /* below: the streams that exist without being created */
        for (int i = 0; i < drv.device_count; i++) {
            drv.devices[i].ordinal = i;
            drv.devices[i].total = (size_t)(megabytes / 2 * 2) << 20;
            device_memory_init(&drv.devices[i]);
        }
        fault_switch_init();
        if (!watching)
            pthread_atfork(NULL, NULL, forked_child);
        watching = true;
        drv.initialised = true;
    }
out:
    if (!r && drv.device_count == 0)
        r = CUDA_ERROR_NO_DEVICE;
    pthread_mutex_unlock(&drv.lock);
    return r;
}

CUresult cuDriverGetVersion(int *version)
{
    if (!version)
        return CUDA_ERROR_INVALID_VALUE;
    *version = SOFT_DRIVER_VERSION;
    return CUDA_SUCCESS;
}

CUresult cuGetExportTable(const void **table, const CUuuid *id)
{
    if (!table || !id)
        return CUDA_ERROR_INVALID_VALUE;
    /* The private tables belong to the guest library, which answers them itself. */
    *table = NULL;
    return CUDA_ERROR_INVALID_VALUE;
}

/* No profiler ever attaches, so there is nothing to start or stop. */
CUresult cuProfilerStart(void)
{
    struct context *ctx;
    CUresult r = enter_context(&ctx);

    return r ? r : leave(CUDA_SUCCESS);
}

CUresult cuProfilerStop(void)
{
    return cuProfilerStart();
}
