/* SPDX-License-Identifier: Apache-2.0 */
/* channel.c - nvmlInit and nvmlShutdown, the channel and what travels on it */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "guest/libcuda/guest.h" /* VGPU_DRIVER_VERSION_MAX: both libraries must say the same */
#include "guest/libnvml/nvml_guest.h"
#include "protocol/transport/client.h"
#include "vgpu_ops.h"

#define RING_SLOTS 2048
#define REPLIES 8
#define WATCH_STACK (128u << 10)

struct nvml_state nvml_state;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Atomic unsigned users; /* nvmlInit calls that nvmlShutdown has not answered */
static struct vgpu_client *client;
static uint64_t last_use; /* CLOCK_MONOTONIC ns */
static pthread_t watcher;
static bool watcher_made, watcher_runs;

void nvml_say(int level, const char *format, ...)
{
    const char *text = getenv("VGPU_LOG");
    char line[512];
    va_list args;

    if (level > (text && *text ? atoi(text) : NVML_LOG_ERRORS))
        return;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    fprintf(stderr, "vgpu: %s\n", line);
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- fork ---- */

static void before_fork(void)
{
    pthread_mutex_lock(&lock);
}

static void after_fork(void)
{
    pthread_mutex_unlock(&lock);
}

static void make_wake(void)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&wake, &attributes);
    pthread_condattr_destroy(&attributes);
}

/* The channel is found to be the parent's at its next use; the thread was not copied. */
static void in_child(void)
{
    watcher_made = watcher_runs = false;
    make_wake();
    pthread_mutex_init(&lock, NULL);
}

static void prepare(void)
{
    make_wake();
    pthread_atfork(before_fork, after_fork, in_child);
}

/* ---- the channel; lock is held ---- */

static void disconnect(void)
{
    if (client)
        vgpu_client_close(client);
    client = NULL;
}

static void *watch(void *unused)
{
    pthread_mutex_lock(&lock);
    while (client) {
        uint64_t until = last_use + NVML_IDLE_NS;
        struct timespec t = {(time_t)(until / 1000000000u), (long)(until % 1000000000u)};

        if (now_ns() >= until)
            disconnect();
        else
            pthread_cond_timedwait(&wake, &lock, &t);
    }
    watcher_runs = false;
    pthread_mutex_unlock(&lock);
    return NULL;
}

static void start_watch(void)
{
    pthread_attr_t attributes;
    sigset_t all, before;

    if (watcher_runs)
        return;
    if (watcher_made)
        pthread_join(watcher, NULL); /* it has left its loop and takes no lock any more */
    watcher_made = false;
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, WATCH_STACK);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    watcher_made = pthread_create(&watcher, &attributes, watch, NULL) == 0;
    watcher_runs = watcher_made; /* without it the channel stays open until nvmlShutdown */
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
}

static nvmlReturn_t connect_result(int error)
{
    switch (error) {
    case -EACCES:
        return NVML_ERROR_NO_PERMISSION;
    case -EPROTO:
        return NVML_ERROR_LIB_RM_VERSION_MISMATCH;
    case -ENOMEM:
        return NVML_ERROR_MEMORY;
    case -EBUSY:
        return NVML_ERROR_INSUFFICIENT_RESOURCES;
    case -ETIMEDOUT:
        return NVML_ERROR_TIMEOUT;
    default:
        return NVML_ERROR_DRIVER_NOT_LOADED;
    }
}

static nvmlReturn_t connect_host(void)
{
    char error[VGPU_CLIENT_ERROR_BYTES] = "";
    struct vgpu_client_options options = {.arena_bytes = VGPU_ARENA_BYTES_MIN,
                                          .ring_slots = RING_SLOTS,
                                          .reply_count = REPLIES,
                                          .error = error};

    /* A channel that died, or a parent's, is of no use; its worker's successor may be there. */
    if (client && vgpu_channel_usable(&client->channel) != 0)
        disconnect();
    if (client)
        return NVML_SUCCESS;
    int failed = vgpu_client_connect(&options, &client);
    if (failed < 0) {
        client = NULL;
        const char *text = error[0] ? error : strerror(-failed);
        if (!strncmp(text, "vgpu: ", 6)) /* the transport's lines have the prefix already */
            text += 6;
        nvml_say(NVML_LOG_INFO, "NVML: %s", text);
        return connect_result(failed);
    }
    last_use = now_ns();
    start_watch();
    return NVML_SUCCESS;
}

static nvmlReturn_t result_of(CUresult result)
{
    switch (result) {
    case CUDA_SUCCESS:
        return NVML_SUCCESS;
    case CUDA_ERROR_INVALID_DEVICE:
    case CUDA_ERROR_INVALID_VALUE:
        return NVML_ERROR_INVALID_ARGUMENT;
    case CUDA_ERROR_NOT_SUPPORTED:
        return NVML_ERROR_NOT_SUPPORTED;
    case CUDA_ERROR_NOT_READY:
        return NVML_ERROR_TIMEOUT;
    default:
        return NVML_ERROR_UNKNOWN;
    }
}

static nvmlReturn_t call(uint16_t op, const void *in, uint32_t in_bytes, void *out,
                         uint32_t out_bytes, void *tail, uint32_t *tail_bytes)
{
    const struct vgpu_reply *reply;
    nvmlReturn_t result = connect_host();
    uint64_t position;

    if (result != NVML_SUCCESS)
        return result;
    last_use = now_ns();
    int slot = vgpu_reply_begin(client->replies);
    if (slot < 0)
        return NVML_ERROR_GPU_IS_LOST;
    uint32_t size = (uint32_t)sizeof(struct vgpu_record) + in_bytes;
    struct vgpu_record *record = vgpu_ring_reserve(&client->ring, size, 0, &position);
    if (!record) {
        vgpu_reply_end(client->replies, slot);
        return NVML_ERROR_GPU_IS_LOST;
    }
    *record = (struct vgpu_record){.opcode = op, .reply = (uint16_t)slot, .size = size};
    if (in_bytes)
        memcpy(record + 1, in, in_bytes);
    vgpu_ring_commit(&client->ring, position);
    if (vgpu_reply_wait(client->replies, slot, &reply) < 0) {
        vgpu_reply_end(client->replies, slot);
        return NVML_ERROR_GPU_IS_LOST;
    }
    uint32_t bytes = reply->size;
    result = result_of((CUresult)reply->result);
    if (result == NVML_SUCCESS && (bytes < out_bytes || bytes > VGPU_REPLY_PAYLOAD))
        result = NVML_ERROR_UNKNOWN;
    if (result == NVML_SUCCESS) {
        memcpy(out, reply->payload, out_bytes);
        if (tail) {
            bytes -= out_bytes;
            if (bytes > *tail_bytes)
                bytes = *tail_bytes;
            memcpy(tail, reply->payload + out_bytes, bytes);
            *tail_bytes = bytes;
        }
    }
    vgpu_reply_end(client->replies, slot);
    return result;
}

nvmlReturn_t nvml_call(uint16_t op, const void *in, uint32_t in_bytes, void *out,
                       uint32_t out_bytes, void *tail, uint32_t *tail_bytes)
{
    pthread_mutex_lock(&lock);
    nvmlReturn_t result = NVML_ERROR_UNINITIALIZED;
    if (atomic_load(&users))
        result = call(op, in, in_bytes, out, out_bytes, tail, tail_bytes);
    pthread_mutex_unlock(&lock);
    return result;
}

/* ---- start and end ---- */

static void describe(struct nvml_device *device, int ordinal,
                     const struct vgpu_rsp_DeviceInfo *info)
{
    int n = snprintf(device->uuid, sizeof(device->uuid), "GPU-");

    device->ordinal = ordinal;
    snprintf(device->name, sizeof(device->name), "%.*s", (int)sizeof(device->name) - 1,
             (const char *)info->name);
    for (int i = 0; i < 16; i++)
        n += snprintf(device->uuid + n, sizeof(device->uuid) - (size_t)n, "%s%02x",
                      i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", info->uuid[i]);
    device->domain = (unsigned)info->pci_domain;
    device->bus = (unsigned)info->pci_bus;
    device->device = (unsigned)info->pci_device;
    device->capability_major = info->attributes[CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR];
    device->capability_minor = info->attributes[CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR];
    device->multiprocessors = info->attributes[CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT];
}

static nvmlReturn_t learn(void)
{
    struct vgpu_rsp_Init init;
    nvmlReturn_t result = call(VGPU_OP_Init, NULL, 0, &init, VGPU_RSP_BYTES_Init, NULL, NULL);

    if (result != NVML_SUCCESS)
        return result;
    nvml_state.cuda_version = init.driver_version < VGPU_DRIVER_VERSION_MAX
                                  ? init.driver_version
                                  : VGPU_DRIVER_VERSION_MAX;
    nvml_state.device_count = 0;
    for (int i = 0; i < init.device_count && i < NVML_DEVICES_MAX; i++) {
        struct vgpu_rsp_DeviceInfo info;
        int32_t device = i;

        result = call(VGPU_OP_DeviceInfo, &device, sizeof(device), &info, VGPU_RSP_BYTES_DeviceInfo,
                      NULL, NULL);
        if (result != NVML_SUCCESS)
            return result;
        describe(&nvml_state.devices[i], i, &info);
        nvml_state.device_count++;
    }
    return NVML_SUCCESS;
}

NVML_API nvmlReturn_t nvmlInitWithFlags(unsigned flags);
NVML_API nvmlReturn_t nvmlInit_v2(void);
NVML_API nvmlReturn_t nvmlInit(void);
NVML_API nvmlReturn_t nvmlShutdown(void);

nvmlReturn_t nvmlInitWithFlags(unsigned flags)
{
    nvmlReturn_t result = NVML_SUCCESS;

    pthread_once(&once, prepare);
    pthread_mutex_lock(&lock);
    if (!atomic_load(&users)) {
        result = learn();
        if (result != NVML_SUCCESS)
            disconnect();
        if (result == NVML_ERROR_DRIVER_NOT_LOADED && flags & NVML_INIT_FLAG_NO_GPUS) {
            nvml_state.device_count = 0;
            result = NVML_SUCCESS;
        }
    }
    if (result == NVML_SUCCESS)
        atomic_fetch_add(&users, 1);
    pthread_mutex_unlock(&lock);
    return result;
}

nvmlReturn_t nvmlInit_v2(void)
{
    return nvmlInitWithFlags(0);
}

nvmlReturn_t nvmlInit(void)
{
    return nvmlInitWithFlags(0);
}

nvmlReturn_t nvmlShutdown(void)
{
    pthread_once(&once, prepare);
    pthread_mutex_lock(&lock);
    nvmlReturn_t result = NVML_ERROR_UNINITIALIZED;
    if (atomic_load(&users)) {
        result = NVML_SUCCESS;
        if (atomic_fetch_sub(&users, 1) == 1) {
            disconnect();
            pthread_cond_signal(&wake);
        }
    }
    pthread_mutex_unlock(&lock);
    return result;
}

nvmlReturn_t nvml_ready(void)
{
    return atomic_load(&users) ? NVML_SUCCESS : NVML_ERROR_UNINITIALIZED;
}

nvmlReturn_t nvml_check(nvmlDevice_t device)
{
    nvmlReturn_t result = nvml_ready();

    if (result != NVML_SUCCESS)
        return result;
    for (unsigned i = 0; i < nvml_state.device_count; i++) {
        if (device == &nvml_state.devices[i])
            return NVML_SUCCESS;
    }
    return NVML_ERROR_INVALID_ARGUMENT;
}

/* No code of this library may run once it is unloaded. */
__attribute__((destructor)) static void finish(void)
{
    if (pthread_mutex_trylock(&lock) != 0) /* a call is in progress while the process ends */
        return;
    atomic_store(&users, 0);
    disconnect();
    if (watcher_runs)
        pthread_cond_signal(&wake);
    bool join = watcher_made;
    pthread_mutex_unlock(&lock);
    if (join)
        pthread_join(watcher, NULL);
}
