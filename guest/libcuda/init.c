/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cuInit: connecting to the mediator, reserving the window for device memory, and the process's
 * end.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "guest/libcuda/guest.h"
#include "protocol/vgpu_regs.h"
#include "vgpu_rpc.h"

#define WINDOW_STEP (1ull << 40)

struct vgpu_process vgpu;
__thread struct vgpu_thread *vgpu_thread_self __attribute__((tls_model("initial-exec")));

static pthread_mutex_t init_lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- threads --------------------------------------------------------------------------------- */

static pthread_mutex_t thread_lock = PTHREAD_MUTEX_INITIALIZER;
static struct vgpu_thread *threads;
static unsigned thread_count;
static pthread_key_t thread_key;
static pthread_once_t thread_once = PTHREAD_ONCE_INIT;
static bool thread_key_made;

static void thread_end(void *pointer)
{
    struct vgpu_thread *thread = pointer;

    vgpu_thread_self = thread;
    vgpu_thread_streams_end(thread);
    vgpu_thread_self = NULL;

    pthread_mutex_lock(&thread_lock);
    if (thread->next)
        thread->next->prev = thread->prev;
    if (thread->prev)
        thread->prev->next = thread->next;
    else
        threads = thread->next;
    thread_count--;
    pthread_mutex_unlock(&thread_lock);
    free(thread->streams);
    free(thread->stack);
    free(thread);
}

static void make_key(void)
{
    thread_key_made = pthread_key_create(&thread_key, thread_end) == 0;
}

struct vgpu_thread *vgpu_thread_make(void)
{
    static struct vgpu_thread none; /* out of memory: a thread without a context */
    struct vgpu_thread *thread = calloc(1, sizeof(*thread));
    if (!thread)
        return &none;
    pthread_once(&thread_once, make_key);
    if (thread_key_made)
        pthread_setspecific(thread_key, thread);
    pthread_mutex_lock(&thread_lock);
    thread->next = threads;
    if (threads)
        threads->prev = thread;
    threads = thread;
    thread_count++;
    pthread_mutex_unlock(&thread_lock);
    vgpu_thread_self = thread;
    return thread;
}

unsigned vgpu_thread_count(void)
{
    pthread_mutex_lock(&thread_lock);
    unsigned count = thread_count;
    pthread_mutex_unlock(&thread_lock);
    return count;
}

/* ---- start ----------------------------------------------------------------------------------- */

CUresult vgpu_unusable(void)
{
    struct vgpu_client *client = atomic_load_explicit(&vgpu.client, memory_order_acquire);
    if (atomic_load_explicit(&vgpu.ended, memory_order_relaxed))
        return CUDA_ERROR_DEINITIALIZED;
    if (!client || vgpu_channel_usable(&client->channel) != -EPIPE)
        return CUDA_ERROR_NOT_INITIALIZED; /* or connected by cuDriverGetVersion only, or forked */
    return vgpu_gone(client);
}

CUresult vgpu_gone(const struct vgpu_client *client)
{
    uint32_t error =
        atomic_load_explicit(&client->channel.view.shared->error, memory_order_acquire);
    static atomic_int once;
    if (!atomic_exchange(&once, 1))
        vgpu_say(VGPU_LOG_ERRORS, "the GPU is gone: %s; end the program and start it again",
                 client->reason ? vgpu_reason_name(client->reason)
                 : error        ? vgpu_error_name((CUresult)error)
                                : "the connection to the mediator was closed");
    if (client->reason == VGPU_REASON_TIMEOUT)
        return CUDA_ERROR_LAUNCH_TIMEOUT;
    return error ? (CUresult)error : CUDA_ERROR_DEVICE_UNAVAILABLE;
}

static CUresult connect_result(int error)
{
    switch (error) {
    case -EPROTO:
        return CUDA_ERROR_SYSTEM_DRIVER_MISMATCH;
    case -ENOMEM:
        return CUDA_ERROR_OUT_OF_MEMORY;
    case -ECONNREFUSED:
    case -ETIMEDOUT:
        return CUDA_ERROR_DEVICE_UNAVAILABLE;
    default:
        return CUDA_ERROR_NO_DEVICE;
    }
}

/* Device memory will have addresses that nothing else in this process can have. */
static CUresult reserve_window(uint64_t bytes)
{
    bytes = (bytes + VGPU_WINDOW_ALIGN - 1) & ~(VGPU_WINDOW_ALIGN - 1);
    if (!bytes || bytes > VGPU_WINDOW_ADDRESS_MAX - VGPU_WINDOW_ADDRESS_MIN)
        return CUDA_ERROR_UNKNOWN;
    for (uint64_t base = VGPU_WINDOW_ADDRESS_MIN; base + bytes <= VGPU_WINDOW_ADDRESS_MAX;
         base += WINDOW_STEP) {
        void *got = mmap((void *)base, bytes, PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
        if (got == MAP_FAILED)
            continue;
        if ((uint64_t)got != base) { /* a kernel that takes the address for a hint */
            munmap(got, bytes);
            continue;
        }
        CUresult result = vgpu_rpc_Window(base, bytes);
        if (result == CUDA_SUCCESS) {
            vgpu.window = base;
            vgpu.window_bytes = bytes;
            return CUDA_SUCCESS;
        }
        munmap(got, bytes);
        if (result != CUDA_ERROR_OUT_OF_MEMORY) /* the range is taken on the host: try the next */
            return result;
    }
    vgpu_say(VGPU_LOG_ERRORS,
             "no free address range of %llu GiB for device memory; is RLIMIT_AS set?",
             (unsigned long long)(bytes >> 30));
    return CUDA_ERROR_OUT_OF_MEMORY;
}

static CUresult start(void)
{
    char error[VGPU_CLIENT_ERROR_BYTES] = "";
    struct vgpu_client_options options = {.error = error};
    struct vgpu_client *client;

    if (vgpu_objects_init() < 0 || vgpu_map_init() < 0)
        return CUDA_ERROR_OUT_OF_MEMORY;
    int failed = vgpu_client_connect(&options, &client);
    if (failed < 0) {
        const char *text = error[0] ? error : strerror(-failed);
        if (!strncmp(text, "vgpu: ", 6)) /* the transport's lines have the prefix already */
            text += 6;
        vgpu_say(VGPU_LOG_ERRORS, "%s", text);
        return connect_result(failed);
    }
    vgpu.arena = (uint64_t)client->channel.view.base;
    vgpu.arena_bytes = client->channel.view.header.bytes;
    /* The generated calls below need the client; other threads wait for init_lock. */
    atomic_store_explicit(&vgpu.client, client, memory_order_release);

    int32_t version = 0, count = 0;
    uint64_t window = 0;
    CUresult result = vgpu_rpc_Init(&version, &count, &window);
    if (result == CUDA_SUCCESS && count <= 0)
        result = CUDA_ERROR_NO_DEVICE;
    if (result == CUDA_SUCCESS)
        result = reserve_window(window);
    if (result != CUDA_SUCCESS) {
        vgpu_say(VGPU_LOG_ERRORS, "the mediator offers no GPU: %s", vgpu_error_name(result));
        atomic_store_explicit(&vgpu.client, NULL, memory_order_release);
        vgpu_client_close(client);
        return result;
    }
    vgpu.driver_version = version < VGPU_DRIVER_VERSION_MAX ? version : VGPU_DRIVER_VERSION_MAX;
    vgpu.device_count = count < VGPU_DEVICES_MAX ? count : VGPU_DEVICES_MAX;
    /* Recursive: destructors of context-local storage run while a primary context ends. */
    pthread_mutexattr_t recursive;
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    for (int i = 0; i < VGPU_DEVICES_MAX; i++)
        pthread_mutex_init(&vgpu.devices[i].lock, &recursive);
    pthread_mutexattr_destroy(&recursive);
    vgpu_say(VGPU_LOG_INFO, "connected: vm %u, pool %c, priority %u, %d GPU(s), driver %d",
             client->vm_id, client->pool_id ? (char)client->pool_id : '-', client->priority, count,
             version);
    return CUDA_SUCCESS;
}

/* Connects, once; under init_lock. A failure may be repaired before the next call. */
static CUresult connected(void)
{
    static bool done;
    struct vgpu_client *client = atomic_load(&vgpu.client);

    if (done && !atomic_load(&vgpu.ready) && client &&
        vgpu_channel_usable(&client->channel) == -EPERM) {
        /* The parent only asked for the version: this child of fork() may start by itself. */
        munmap((void *)vgpu.window, vgpu.window_bytes);
        atomic_store(&vgpu.client, NULL);
        vgpu_client_close(client);
        done = false;
    }
    if (done)
        return CUDA_SUCCESS;
    CUresult result = start();
    done = result == CUDA_SUCCESS;
    return result;
}

CUresult cuInit(unsigned int flags)
{
    if (flags)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&init_lock);
    CUresult result = connected();
    if (result == CUDA_SUCCESS && !atomic_load(&vgpu.ready))
        atomic_store_explicit(&vgpu.ready, atomic_load(&vgpu.client), memory_order_release);
    pthread_mutex_unlock(&init_lock);
    return result == CUDA_SUCCESS ? vgpu_ready() : result;
}

CUresult cuDriverGetVersion(int *version)
{
    if (!version)
        return CUDA_ERROR_INVALID_VALUE;
    if (!atomic_load_explicit(&vgpu.ready, memory_order_acquire)) {
        /* Allowed before cuInit, but only the host knows. Without one, the version of this library:
         * then it is cuInit that says there is no device, and not the runtime that says the driver
         * is too old. */
        pthread_mutex_lock(&init_lock);
        CUresult result = connected();
        pthread_mutex_unlock(&init_lock);
        if (result != CUDA_SUCCESS) {
            *version = VGPU_DRIVER_VERSION_MAX;
            return CUDA_SUCCESS;
        }
    }
    *version = vgpu.driver_version;
    return CUDA_SUCCESS;
}

/*
 * At the end of the process (or of a dlclose) the channel is closed when nobody can be using it:
 * another thread may still be inside a call while exit() runs. The kernel closes what is left.
 */
__attribute__((destructor)) static void finish(void)
{
    struct vgpu_client *client = atomic_load(&vgpu.client);
    atomic_store(&vgpu.ended, true);
    if (!client)
        return;
    if (vgpu_channel_usable(&client->channel) != -EPERM)
        vgpu_memcpy_end();
    unsigned self = vgpu_thread_self != NULL;
    if (vgpu_thread_count() > self)
        return;
    atomic_store(&vgpu.ready, NULL);
    atomic_store(&vgpu.client, NULL);
    if (vgpu.window)
        munmap((void *)vgpu.window, vgpu.window_bytes);
    vgpu_client_close(client);
    if (thread_key_made)
        pthread_key_delete(thread_key); /* no thread may end in code that is gone */
}
