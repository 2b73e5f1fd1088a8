/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cuGetExportTable: the private function tables that the CUDA runtime and the libraries above it
 * ask for, as far as they are understood. Ids, sizes and signatures are observations that several
 * public projects publish for interoperability. Word 0 of a table is its size in bytes (not in the
 * context-local storage's). A slot that is not served has a function of its own, which says so in
 * the log once and returns CUDA_ERROR_NOT_SUPPORTED.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest/libcuda/guest.h"
#include "guest/libcuda/md2.h"
#include "guest/libcuda/trace.h"

/* ---- slots that are not served ------------------------------------------------------------------
 */

static CUresult refuse_slot(atomic_int *once, const char *table, int slot)
{
    char name[64];
    snprintf(name, sizeof(name), "private table %s slot %d", table, slot);
    return vgpu_refuse(once, name);
}

#define SLOT_FUNCTION(table, slot)                                                                 \
    static CUresult table##_##slot(void)                                                           \
    {                                                                                              \
        static atomic_int once;                                                                    \
        return refuse_slot(&once, #table, slot);                                                   \
    }
#define SLOT_ENTRY(table, slot) [slot] = (const void *)table##_##slot,

#define TENS(M, t, d)                                                                              \
    M(t, d##0)                                                                                     \
    M(t, d##1)                                                                                     \
    M(t, d##2) M(t, d##3) M(t, d##4) M(t, d##5) M(t, d##6) M(t, d##7) M(t, d##8) M(t, d##9)
#define SLOTS_1_2(M, t) M(t, 1) M(t, 2)
#define SLOTS_1_6(M, t) SLOTS_1_2(M, t) M(t, 3) M(t, 4) M(t, 5) M(t, 6)
#define SLOTS_1_9(M, t) SLOTS_1_6(M, t) M(t, 7) M(t, 8) M(t, 9)
#define SLOTS_1_12(M, t) SLOTS_1_9(M, t) M(t, 10) M(t, 11) M(t, 12)
#define SLOTS_1_14(M, t) SLOTS_1_12(M, t) M(t, 13) M(t, 14)
#define SLOTS_1_16(M, t) SLOTS_1_14(M, t) M(t, 15) M(t, 16)
#define SLOTS_1_25(M, t)                                                                           \
    SLOTS_1_9(M, t) TENS(M, t, 1) M(t, 20) M(t, 21) M(t, 22) M(t, 23) M(t, 24) M(t, 25)
#define SLOTS_1_92(M, t)                                                                           \
    SLOTS_1_9(M, t)                                                                                \
    TENS(M, t, 1)                                                                                  \
    TENS(M, t, 2)                                                                                  \
    TENS(M, t, 3)                                                                                  \
    TENS(M, t, 4) TENS(M, t, 5) TENS(M, t, 6) TENS(M, t, 7) TENS(M, t, 8) M(t, 90) M(t, 91) M(t, 92)

/* A table of words, all slots refused until fill() puts the served ones in. */
#define TABLE(name, words, SLOTS)                                                                  \
    SLOTS(SLOT_FUNCTION, name)                                                                     \
    static const void *name[words] = {(const void *)(uintptr_t)((words) * sizeof(void *)),         \
                                      SLOTS(SLOT_ENTRY, name)};

TABLE(CudartInterface, 13, SLOTS_1_12)
TABLE(ToolsRuntimeCallbackHooks, 7, SLOTS_1_6)
TABLE(ToolsTls, 3, SLOTS_1_2)
TABLE(ContextChecks, 15, SLOTS_1_14)
TABLE(SelfTest, 3, SLOTS_1_2)
TABLE(ToolsContext, 93, SLOTS_1_92)
TABLE(CompilerObjects, 7, SLOTS_1_6)
TABLE(LaunchHelpers, 17, SLOTS_1_16)
SLOT_FUNCTION(CtxCreateBypass, 1)
static const void *CtxCreateBypass[2] = {(const void *)(2 * sizeof(void *)),
                                         SLOT_ENTRY(CtxCreateBypass, 1)};
TABLE(HeapAccess, 3, SLOTS_1_2)
TABLE(DeviceExtendedRt, 26, SLOTS_1_25)
static const void *ContextLocalStorage[3];

/* ---- the runtime's interface -------------------------------------------------------------------
 */

static CUresult cudart_load(CUmodule *module, const void *wrapper)
{
    return vgpu_module_load(module, wrapper, 0, NULL, NULL, true);
}

static CUresult cudart_primary(CUcontext *ctx, CUdevice dev)
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    if (!ctx)
        return CUDA_ERROR_INVALID_VALUE;
    if (dev < 0 || dev >= vgpu.device_count)
        return CUDA_ERROR_INVALID_DEVICE;
    return vgpu_primary_handle(ctx, dev);
}

static CUresult cudart_load_wrapper(CUmodule *module, const void *wrapper, void *a, void *b,
                                    unsigned c)
{
    if (a || b || c)
        return VGPU_REFUSE("private table CudartInterface slot 6 with options");
    return vgpu_module_load(module, wrapper, 0, NULL, NULL, true);
}

static CUresult cudart_nothing(size_t ignored)
{
    (void)ignored;
    return CUDA_SUCCESS;
}

static CUresult cudart_load_container(const void *container, CUmodule *module, void *a, void *b,
                                      unsigned c)
{
    if (a || b || c)
        return VGPU_REFUSE("private table CudartInterface slot 8 with options");
    return vgpu_module_load(module, container, 0, NULL, NULL, true);
}

/* The compilers are the host's, and loaded there when an image needs them. */
static CUresult cudart_load_compilers(void)
{
    return CUDA_SUCCESS;
}

/* ---- hooks of tools: buffers that a profiler would fill
 * ------------------------------------------- */

static uint64_t hooks_large[128];
static uint8_t hooks_small[16];

static CUresult hooks_changed(void)
{
    return CUDA_SUCCESS;
}

static void hooks_large_buffer(void **buffer, size_t *bytes)
{
    *buffer = hooks_large;
    *bytes = sizeof(hooks_large);
}

/*
 * Takes no pointer: what stands in the first argument's register is left over from another call (seen:
 * the current context), so nothing may be written there.
 */
static CUresult hooks_none(void)
{
    return CUDA_SUCCESS;
}

static void hooks_small_buffer(void **buffer, size_t *bytes)
{
    *buffer = hooks_small;
    *bytes = 14;
}

static CUresult tls_current(CUcontext *ctx)
{
    return cuCtxGetCurrent(ctx);
}

/* ---- context-local storage
 * ----------------------------------------------------------------------- */

typedef void storage_destructor(CUcontext ctx, void *key, void *value);

/*
 * Entries are never freed while their context's object lives: a reader needs no lock, which matters
 * because the runtime looks one up with most of its calls. A deleted entry has key NULL.
 */
struct vgpu_local_storage {
    struct vgpu_local_storage *next;
    _Atomic(void *) key;
    _Atomic(void *) value;
    _Atomic(storage_destructor *) destructor;
};

static pthread_mutex_t storage_lock = PTHREAD_MUTEX_INITIALIZER;

static CUresult storage_context(CUcontext ctx, struct vgpu_object **object)
{
    if (unlikely(vgpu_ready() != CUDA_SUCCESS))
        return CUDA_ERROR_INVALID_CONTEXT;
    if (ctx == NULL || ctx == (CUcontext)-1) {
        *object = vgpu_thread()->current;
        if (!*object)
            return CUDA_ERROR_INVALID_CONTEXT;
    } else {
        *object = (struct vgpu_object *)ctx;
    }
    return vgpu_object_is(*object, VGPU_TYPE_CONTEXT) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
}

static struct vgpu_local_storage *storage_find(struct vgpu_object *context, void *key)
{
    struct vgpu_local_storage *entry =
        atomic_load_explicit(&context->state->storage, memory_order_acquire);
    while (entry && atomic_load_explicit(&entry->key, memory_order_acquire) != key)
        entry = entry->next;
    return entry;
}

static CUresult storage_put(CUcontext ctx, void *key, void *value, storage_destructor *destructor)
{
    struct vgpu_object *context;
    CUresult result = storage_context(ctx, &context);
    if (result != CUDA_SUCCESS)
        return result;
    if (!key)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&storage_lock);
    struct vgpu_local_storage *entry = storage_find(context, key);
    if (!entry)
        entry = storage_find(context, NULL);
    if (entry) {
        atomic_store_explicit(&entry->value, value, memory_order_relaxed);
        atomic_store_explicit(&entry->destructor, destructor, memory_order_relaxed);
        atomic_store_explicit(&entry->key, key, memory_order_release);
    } else if ((entry = calloc(1, sizeof(*entry)))) {
        atomic_init(&entry->value, value);
        atomic_init(&entry->destructor, destructor);
        atomic_init(&entry->key, key);
        entry->next = atomic_load_explicit(&context->state->storage, memory_order_relaxed);
        atomic_store_explicit(&context->state->storage, entry, memory_order_release);
    } else {
        result = CUDA_ERROR_OUT_OF_MEMORY;
    }
    pthread_mutex_unlock(&storage_lock);
    return result;
}

static CUresult storage_delete(CUcontext ctx, void *key)
{
    struct vgpu_object *context;
    CUresult result = storage_context(ctx, &context);
    if (result != CUDA_SUCCESS)
        return result;
    if (!key)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&storage_lock);
    struct vgpu_local_storage *entry = storage_find(context, key);
    if (entry)
        atomic_store_explicit(&entry->key, NULL, memory_order_release);
    pthread_mutex_unlock(&storage_lock);
    return entry ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

static CUresult storage_get(void **value, CUcontext ctx, void *key)
{
    struct vgpu_object *context;
    CUresult result = storage_context(ctx, &context);
    if (unlikely(result != CUDA_SUCCESS))
        return result;
    if (unlikely(!value || !key))
        return CUDA_ERROR_INVALID_VALUE;
    const struct vgpu_local_storage *entry = storage_find(context, key);
    if (!entry)
        return CUDA_ERROR_INVALID_HANDLE;
    *value =
        atomic_load_explicit(&((struct vgpu_local_storage *)entry)->value, memory_order_relaxed);
    return CUDA_SUCCESS;
}

void vgpu_storage_destroy(struct vgpu_context *context, CUcontext handle)
{
    struct vgpu_local_storage *entry = atomic_load(&context->storage);
    for (struct vgpu_local_storage *e = entry; e; e = e->next) {
        /* Outside the lock: a destructor may use the storage. */
        void *key = atomic_exchange(&e->key, NULL);
        storage_destructor *destructor = atomic_load(&e->destructor);
        if (key && destructor)
            destructor(handle, key, atomic_load(&e->value));
    }
    if (context->primary)
        return; /* made again, it uses the entries again */
    atomic_store(&context->storage, NULL);
    while (entry) {
        struct vgpu_local_storage *next = entry->next;
        free(entry);
        entry = next;
    }
}

/* ---- checks
 * ---------------------------------------------------------------------------------------- */

static CUresult checks_context(CUcontext ctx, uint32_t *out, void **ignored)
{
    (void)ctx;
    (void)ignored;
    if (out)
        *out = 0;
    return CUDA_SUCCESS;
}

static CUresult checks_process(void)
{
    return CUDA_SUCCESS;
}

/*
 * The runtime compares these 16 bytes with its own. What goes in is what the runtime has been told
 * by other calls, so it is computed here: this process's id, thread and table addresses, the
 * driver's version and the identities of the GPUs.
 */
static CUresult self_test(uint32_t version, uint64_t unix_seconds, uint64_t out[2])
{
    static const uint8_t key[16] = {0x14, 0x6a, 0xdd, 0xae, 0x53, 0xa9, 0xa7, 0x52,
                                    0xaa, 0x08, 0x41, 0x36, 0x0b, 0xf5, 0x5a, 0x9f};
    if (!out)
        return CUDA_ERROR_INVALID_VALUE;
    if (version % 10 < 2) {
        out[0] = version % 10 ? 0x1841181c03cb675cull : 0x3341181c03cb675cull;
        out[1] = 0x8ed383aa1f4cd1e8ull;
        return CUDA_SUCCESS;
    }
    struct {
        uint32_t driver, version, process, thread;
        uint64_t interface, table, function, seconds;
        struct {
            uint8_t uuid[16];
            int32_t domain, bus, device;
        } device[VGPU_DEVICES_MAX];
    } message = {
        .version = version,
        .process = (uint32_t)getpid(),
        .thread = (uint32_t)(uint64_t)pthread_self(),
        .interface = (uint64_t)CudartInterface,
        .table = (uint64_t)SelfTest,
        .function = (uint64_t)SelfTest[1],
        .seconds = unix_seconds,
    };
    int driver;
    CUresult result = cuDriverGetVersion(&driver);
    if (result != CUDA_SUCCESS)
        return result;
    message.driver = (uint32_t)driver;
    for (int i = 0; i < vgpu.device_count; i++) {
        const struct vgpu_device *d;
        result = vgpu_device_info(i, &d);
        if (result != CUDA_SUCCESS)
            return result;
        memcpy(message.device[i].uuid, d->uuid, sizeof(d->uuid));
        message.device[i].domain = d->attributes[CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID];
        message.device[i].bus = d->attributes[CU_DEVICE_ATTRIBUTE_PCI_BUS_ID];
        message.device[i].device = d->attributes[CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID];
    }
    size_t bytes = offsetof(__typeof__(message), device) +
                   (size_t)vgpu.device_count * sizeof(message.device[0]);
    vgpu_hmac_md2(key, &message, bytes, (uint8_t *)out);
    return CUDA_SUCCESS;
}

static CUresult self_test_mode(int ignored)
{
    (void)ignored;
    return CUDA_SUCCESS;
}

/* ---- what cuBLAS asks about contexts and streams
 * --------------------------------------------------- */

/* A stream as these calls name it: never null, the same for the same stream. */
#define PRIVATE_DEFAULT ((void *)1)

static CUresult tools_context_id(CUcontext ctx, uint64_t *id)
{
    unsigned long long value;
    CUresult result = cuCtxGetId(ctx, &value);
    if (result == CUDA_SUCCESS && id)
        *id = value;
    return id ? result : CUDA_ERROR_INVALID_VALUE;
}

static CUresult tools_private_stream(CUcontext ctx, CUstream stream, void **out, int flag)
{
    struct vgpu_object *context, *object;
    (void)flag;
    CUresult result = storage_context(ctx, &context);
    if (result != CUDA_SUCCESS)
        return result;
    if (!out)
        return CUDA_ERROR_INVALID_VALUE;
    if (stream == NULL || stream == CU_STREAM_LEGACY) {
        *out = PRIVATE_DEFAULT;
        return CUDA_SUCCESS;
    }
    object = (struct vgpu_object *)stream;
    if (stream == CU_STREAM_PER_THREAD) {
        result = vgpu_thread_stream(context, &object);
        if (result != CUDA_SUCCESS)
            return result;
    }
    if (!vgpu_object_is(object, VGPU_TYPE_STREAM))
        return CUDA_ERROR_INVALID_HANDLE;
    *out = object;
    return CUDA_SUCCESS;
}

static CUresult tools_stream_id(CUcontext ctx, void *stream, uint64_t *id)
{
    struct vgpu_object *context;
    CUresult result = storage_context(ctx, &context);
    if (result != CUDA_SUCCESS)
        return result;
    if (!id)
        return CUDA_ERROR_INVALID_VALUE;
    if (stream == NULL || stream == PRIVATE_DEFAULT)
        *id = context->state->id;
    else if (vgpu_object_is(stream, VGPU_TYPE_STREAM))
        *id = ((const struct vgpu_object *)stream)->stream.id;
    else
        return CUDA_ERROR_INVALID_HANDLE;
    return CUDA_SUCCESS;
}

static CUresult device_something(uint8_t *out, CUdevice dev)
{
    (void)dev;
    if (out)
        *out = 0;
    return CUDA_SUCCESS;
}

/* ---- the tables by id
 * ------------------------------------------------------------------------------ */

static const struct {
    uint8_t id[16];
    const void **table; /* NULL: known, and refused */
    const char *name;
} tables[] = {
    {{0x6b, 0xd5, 0xfb, 0x6c, 0x5b, 0xf4, 0xe7, 0x4a, 0x89, 0x87, 0xd9, 0x39, 0x12, 0xfd, 0x9d,
      0xf9},
     CudartInterface,
     "CudartInterface"},
    {{0xa0, 0x94, 0x79, 0x8c, 0x2e, 0x74, 0x2e, 0x74, 0x93, 0xf2, 0x08, 0x00, 0x20, 0x0c, 0x0a,
      0x66},
     ToolsRuntimeCallbackHooks,
     "ToolsRuntimeCallbackHooks"},
    {{0x42, 0xd8, 0x5a, 0x81, 0x23, 0xf6, 0xcb, 0x47, 0x82, 0x98, 0xf6, 0xe7, 0x8a, 0x3a, 0xec,
      0xdc},
     ToolsTls,
     "ToolsTls"},
    {{0xc6, 0x93, 0x33, 0x6e, 0x11, 0x21, 0xdf, 0x11, 0xa8, 0xc3, 0x68, 0xf3, 0x55, 0xd8, 0x95,
      0x93},
     ContextLocalStorage,
     "ContextLocalStorage"},
    {{0x26, 0x3e, 0x88, 0x60, 0x7c, 0xd2, 0x61, 0x43, 0x92, 0xf6, 0xbb, 0xd5, 0x00, 0x6d, 0xfa,
      0x7e},
     ContextChecks,
     "ContextChecks"},
    {{0xd4, 0x08, 0x20, 0x55, 0xbd, 0xe6, 0x70, 0x4b, 0x8d, 0x34, 0xba, 0x12, 0x3c, 0x66, 0xe1,
      0xf2},
     SelfTest,
     "SelfTest"},
    {{0x21, 0x31, 0x8c, 0x60, 0x97, 0x14, 0x32, 0x48, 0x8c, 0xa6, 0x41, 0xff, 0x73, 0x24, 0xc8,
      0xf2},
     ToolsContext,
     "ToolsContext"},
    {{0xda, 0x91, 0x51, 0xd3, 0x3a, 0xe6, 0xcc, 0x41, 0xa5, 0xc0, 0x4f, 0x26, 0xd5, 0x33, 0xe3,
      0x28},
     CompilerObjects,
     "CompilerObjects"},
    {{0x17, 0x34, 0xdc, 0x26, 0x80, 0x0d, 0x47, 0x45, 0x87, 0x26, 0xc0, 0xf1, 0xe7, 0xdd, 0x8b,
      0xca},
     LaunchHelpers,
     "LaunchHelpers"},
    {{0x0c, 0xa5, 0x0b, 0x8c, 0x10, 0x04, 0x92, 0x9a, 0x89, 0xa7, 0xd0, 0xdf, 0x10, 0xe7, 0x72,
      0x86},
     CtxCreateBypass,
     "CtxCreateBypass"},
    {{0x19, 0x5b, 0xcb, 0xf4, 0xd6, 0x7d, 0x02, 0x4a, 0xac, 0xc5, 0x1d, 0x29, 0xce, 0xa6, 0x31,
      0xae},
     HeapAccess,
     "HeapAccess"},
    {{0xb1, 0x05, 0x41, 0xe1, 0xf7, 0xc7, 0xc7, 0x4a, 0x9f, 0x64, 0xf2, 0x23, 0xbe, 0x99, 0xf1,
      0xe2},
     DeviceExtendedRt,
     "DeviceExtendedRt"},
    /* Asked for first by the runtime of CUDA 13, which goes another way when it is not there. */
    {{0xf8, 0xcf, 0xf9, 0x51, 0x21, 0x46, 0x8b, 0x4e, 0xb9, 0xe2, 0xfb, 0x46, 0x9e, 0x7c, 0x0d,
      0xd9},
     NULL,
     "RuntimeProbe"},
};

static void fill(void)
{
    CudartInterface[1] = (const void *)cudart_load;
    CudartInterface[2] = (const void *)cudart_primary;
    CudartInterface[6] = (const void *)cudart_load_wrapper;
    CudartInterface[7] = (const void *)cudart_nothing;
    CudartInterface[8] = (const void *)cudart_load_container;
    CudartInterface[10] = NULL; /* as the driver has it */
    CudartInterface[12] = (const void *)cudart_load_compilers;
    ToolsRuntimeCallbackHooks[1] = (const void *)hooks_changed;
    ToolsRuntimeCallbackHooks[2] = (const void *)hooks_large_buffer;
    ToolsRuntimeCallbackHooks[4] = (const void *)hooks_none;
    ToolsRuntimeCallbackHooks[6] = (const void *)hooks_small_buffer;
    ToolsTls[2] = (const void *)tls_current;
    ContextLocalStorage[0] = (const void *)storage_put;
    ContextLocalStorage[1] = (const void *)storage_delete;
    ContextLocalStorage[2] = (const void *)storage_get;
    ContextChecks[2] = (const void *)checks_context;
    ContextChecks[3] = (const void *)checks_process;
    SelfTest[1] = (const void *)self_test;
    SelfTest[2] = (const void *)self_test_mode;
    ToolsContext[4] = (const void *)tools_context_id;
    ToolsContext[39] = (const void *)tools_stream_id;
    ToolsContext[51] = (const void *)tools_private_stream;
    DeviceExtendedRt[13] = (const void *)device_something;
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        if (tables[i].table == ContextLocalStorage)
            continue; /* has no size word, is asked most often, and its misses are no failures */
        if (tables[i].table)
            vgpu_trace_table(tables[i].name, tables[i].table, 1,
                             (unsigned)((uintptr_t)tables[i].table[0] / sizeof(void *)));
    }
}

CUresult cuGetExportTable(const void **table, const CUuuid *id)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (!table || !id)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_once(&once, fill);
    *table = NULL;
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        if (memcmp(tables[i].id, id, sizeof(tables[i].id)) != 0)
            continue;
        vgpu_say(VGPU_LOG_DEBUG, "private table %s asked for", tables[i].name);
        if (!tables[i].table)
            return CUDA_ERROR_NOT_FOUND;
        *table = tables[i].table;
        return CUDA_SUCCESS;
    }
    const uint8_t *b = (const uint8_t *)id;
    vgpu_say(VGPU_LOG_INFO, "unknown private table %02x%02x%02x%02x%02x%02x... asked for", b[0],
             b[1], b[2], b[3], b[4], b[5]);
    return CUDA_ERROR_INVALID_VALUE;
}
