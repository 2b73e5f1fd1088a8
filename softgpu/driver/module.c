/* SPDX-License-Identifier: Apache-2.0 */
/*
 * module.c - modules and libraries, their functions, kernels and variables
 *
 * A module belongs to a context. A library does not: it keeps its PTX and becomes a module in each
 * context that uses it, as its variables have storage of their own in each.
 */
#include "driver.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define OPTIONS_MAX 1024u
#define FILE_BYTES_MAX (1ll << 30)
#define ARCH (SOFT_CC_MAJOR * 10 + SOFT_CC_MINOR)

struct library {
    uint64_t handle;
    char *text; /* the PTX that was chosen */
    size_t len;
    struct sg_module *spare; /* loaded to check the PTX; the first context takes it */
    size_t kernel_count;
    struct kernel *kernels;
};

/* ---- JIT options ----------------------------------------------------------------------------- */

struct jit {
    struct sg_log info, error;
    void **info_size, **error_size, **wall_time; /* option values to write results to */
};

static CUresult jit_parse(struct jit *jit, unsigned count, const CUjit_option *options,
                          void **values)
{
    *jit = (struct jit){0};
    if (count > OPTIONS_MAX || (count && (!options || !values)))
        return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; i < count; i++) {
        switch ((int)options[i]) {
        case CU_JIT_INFO_LOG_BUFFER:
            jit->info.text = values[i];
            break;
        case CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES:
            jit->info.size = (uint32_t)(uintptr_t)values[i];
            jit->info_size = &values[i];
            break;
        case CU_JIT_ERROR_LOG_BUFFER:
            jit->error.text = values[i];
            break;
        case CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES:
            jit->error.size = (uint32_t)(uintptr_t)values[i];
            jit->error_size = &values[i];
            break;
        case CU_JIT_WALL_TIME:
            jit->wall_time = &values[i];
            break;
        default:
            /* The rest tunes a compiler that is not there; unknown numbers are errors. */
            if ((unsigned)options[i] >= CU_JIT_NUM_OPTIONS)
                return CUDA_ERROR_INVALID_VALUE;
        }
    }
    /* A size without a buffer, or a buffer without a size, asks for no log. */
    if (!jit->info.text)
        jit->info.size = 0;
    if (!jit->error.text)
        jit->error.size = 0;
    if (jit->info.size)
        jit->info.text[0] = '\0';
    if (jit->error.size)
        jit->error.text[0] = '\0';
    return CUDA_SUCCESS;
}

static void jit_finish(struct jit *jit, uint64_t start_ns)
{
    float ms = (float)((double)(now_ns() - start_ns) / 1e6);

    if (jit->info_size)
        *jit->info_size = (void *)(uintptr_t)jit->info.used;
    if (jit->error_size)
        *jit->error_size = (void *)(uintptr_t)jit->error.used;
    if (jit->wall_time)
        memcpy(jit->wall_time, &ms, sizeof(ms)); /* the value itself is the result */
}

static CUresult load_result(enum sg_status status)
{
    switch (status) {
    case SG_OK:
        return CUDA_SUCCESS;
    case SG_NO_MEMORY:
        return CUDA_ERROR_OUT_OF_MEMORY;
    case SG_UNSUPPORTED_VERSION:
        return CUDA_ERROR_UNSUPPORTED_PTX_VERSION;
    default:
        return CUDA_ERROR_INVALID_PTX;
    }
}

/*
 * Loads the best PTX of an image that the engine takes. On success *chosen is its index. Runs
 * without the lock: parsing takes long and touches nothing shared but the memory map.
 */
static CUresult load_image(const struct image *image, struct jit *jit, struct sg_module **code,
                           size_t *chosen)
{
    CUresult r = CUDA_ERROR_NO_BINARY_FOR_GPU;
    uint64_t start = now_ns();

    for (size_t i = 0; i < image->count; i++) {
        const struct image_text *t = &image->texts[i];

        jit->error.used = jit->info.used = 0;
        r = load_result(sg_module_load(drv.map, t->text, t->len, &jit->info, &jit->error, code));
        *chosen = i;
        if (r != CUDA_ERROR_UNSUPPORTED_PTX_VERSION)
            break;
    }
    jit_finish(jit, start);
    return r;
}

/* ---- modules --------------------------------------------------------------------------------- */

void module_free(struct module *m)
{
    list_remove(&m->of_context);
    for (size_t i = 0; i < m->function_count; i++)
        handle_free(m->functions[i].handle);
    handle_free(m->handle);
    free(m->functions);
    sg_module_free(m->code);
    free(m);
}

/* Takes code over on success only. */
static CUresult module_new(struct context *ctx, struct sg_module *code, struct library *library,
                           struct module **out)
{
    struct module *m = calloc(1, sizeof(*m));
    size_t count = sg_module_function_count(code);

    if (!m)
        return CUDA_ERROR_OUT_OF_MEMORY;
    list_init(&m->of_context);
    m->functions = calloc(count ? count : 1, sizeof(*m->functions));
    m->handle = handle_new(OBJECT_MODULE, m);
    if (!m->functions || !m->handle)
        goto no_memory;
    for (; m->function_count < count; m->function_count++) {
        struct function *fn = &m->functions[m->function_count];

        fn->handle = handle_new(OBJECT_FUNCTION, fn);
        if (!fn->handle)
            goto no_memory;
        fn->module = m;
        fn->code = sg_module_function_at(code, m->function_count);
        fn->max_dynamic_shared = -1;
        fn->carveout = CU_SHAREDMEM_CARVEOUT_DEFAULT;
    }
    m->ctx = ctx;
    m->code = code;
    m->library = library;
    list_append(&ctx->modules, &m->of_context);
    *out = m;
    return CUDA_SUCCESS;
no_memory:
    module_free(m); /* m->code is not set yet */
    return CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult cuModuleLoadDataEx(CUmodule *mod, const void *data, unsigned int count,
                            CUjit_option *options, void **values)
{
    struct context *ctx;
    struct module *m;
    struct sg_module *code = NULL;
    struct image image;
    struct jit jit;
    uint64_t ctx_handle;
    size_t chosen;
    CUresult r;

    if (!mod || !data)
        return CUDA_ERROR_INVALID_VALUE;
    r = enter_context(&ctx);
    if (r)
        return r;
    ctx->users++;
    ctx_handle = ctx->handle;
    pthread_mutex_unlock(&drv.lock);

    r = jit_parse(&jit, count, options, values);
    if (!r)
        r = image_open(data, &image);
    if (!r) {
        r = load_image(&image, &jit, &code, &chosen);
        image_close(&image);
    }

    pthread_mutex_lock(&drv.lock);
    ctx->users--;
    if (!r && handle_get(ctx_handle, OBJECT_CONTEXT) != ctx)
        r = CUDA_ERROR_CONTEXT_IS_DESTROYED;
    if (!r)
        r = module_new(ctx, code, NULL, &m);
    if (r && code)
        sg_module_free(code);
    if (!r)
        *mod = AS_HANDLE(CUmodule, m->handle);
    if (ctx->destroyed)
        wake_done();
    return leave(r);
}

CUresult cuModuleLoadData(CUmodule *mod, const void *image)
{
    return cuModuleLoadDataEx(mod, image, 0, NULL, NULL);
}

CUresult cuModuleLoadFatBinary(CUmodule *mod, const void *image)
{
    return cuModuleLoadDataEx(mod, image, 0, NULL, NULL);
}

/* The whole of a file, with a NUL after it. */
static CUresult read_file(const char *path, char **out)
{
    struct stat st;
    CUresult r = CUDA_ERROR_FILE_NOT_FOUND;
    char *text = NULL;
    size_t got = 0;
    int fd;

    if (!path)
        return CUDA_ERROR_INVALID_VALUE;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return r;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode))
        goto out;
    r = CUDA_ERROR_OUT_OF_MEMORY;
    if (st.st_size > FILE_BYTES_MAX || !(text = malloc((size_t)st.st_size + 1)))
        goto out;
    while (got < (size_t)st.st_size) {
        ssize_t n = read(fd, text + got, (size_t)st.st_size - got);

        if (n <= 0)
            break;
        got += (size_t)n;
    }
    text[got] = '\0';
    *out = text;
    r = CUDA_SUCCESS;
out:
    close(fd);
    return r;
}

CUresult cuModuleLoad(CUmodule *mod, const char *path)
{
    char *text;
    CUresult r = read_file(path, &text);

    if (r)
        return r;
    r = cuModuleLoadData(mod, text);
    free(text);
    return r;
}

CUresult cuModuleUnload(CUmodule mod)
{
    struct context *ctx;
    struct module *m;
    CUresult r = enter_context(&ctx);

    if (r)
        return r;
    m = handle_get(HANDLE(mod), OBJECT_MODULE);
    if (!m || m->library)
        return leave(CUDA_ERROR_INVALID_HANDLE);
    r = context_wait(m->ctx);
    if (r)
        return leave(r);
    memory_quiesce();
    m = handle_get(HANDLE(mod), OBJECT_MODULE); /* the waits gave the lock up */
    if (m)
        module_free(m);
    memory_resume();
    return leave(m ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE);
}

CUresult cuModuleGetLoadingMode(CUmoduleLoadingMode *mode)
{
    CUresult r = enter();

    if (r)
        return r;
    if (!mode)
        return leave(CUDA_ERROR_INVALID_VALUE);
    *mode = CU_MODULE_EAGER_LOADING;
    return leave(CUDA_SUCCESS);
}

static CUresult enter_module(CUmodule mod, struct module **m)
{
    struct context *ctx;
    CUresult r = enter_context(&ctx);

    if (r)
        return r;
    *m = handle_get(HANDLE(mod), OBJECT_MODULE);
    return *m ? CUDA_SUCCESS : leave(CUDA_ERROR_INVALID_HANDLE);
}

static struct function *function_named(struct module *m, const char *name)
{
    struct sg_function *code = sg_module_function(m->code, name);

    for (size_t i = 0; code && i < m->function_count; i++)
        if (m->functions[i].code == code)
            return &m->functions[i];
    return NULL;
}

CUresult cuModuleGetFunction(CUfunction *out, CUmodule mod, const char *name)
{
    struct module *m;
    struct function *fn;
    CUresult r = enter_module(mod, &m);

    if (r)
        return r;
    if (!out || !name || !*name)
        return leave(CUDA_ERROR_INVALID_VALUE);
    fn = function_named(m, name);
    if (!fn)
        return leave(CUDA_ERROR_NOT_FOUND);
    *out = AS_HANDLE(CUfunction, fn->handle);
    return leave(CUDA_SUCCESS);
}

CUresult cuModuleGetFunctionCount(unsigned int *count, CUmodule mod)
{
    struct module *m;
    CUresult r = enter_module(mod, &m);

    if (r)
        return r;
    if (!count)
        return leave(CUDA_ERROR_INVALID_VALUE);
    *count = (unsigned)m->function_count;
    return leave(CUDA_SUCCESS);
}

CUresult cuModuleEnumerateFunctions(CUfunction *fns, unsigned int count, CUmodule mod)
{
    struct module *m;
    CUresult r = enter_module(mod, &m);

    if (r)
        return r;
    if (!fns)
        return leave(CUDA_ERROR_INVALID_VALUE);
    for (unsigned i = 0; i < count && i < m->function_count; i++)
        fns[i] = AS_HANDLE(CUfunction, m->functions[i].handle);
    return leave(CUDA_SUCCESS);
}

static CUresult get_global(struct module *m, CUdeviceptr *ptr, size_t *bytes, const char *name)
{
    uint64_t addr, size;

    if (!name || !*name || (!ptr && !bytes))
        return CUDA_ERROR_INVALID_VALUE;
    if (!sg_module_global(m->code, name, &addr, &size))
        return CUDA_ERROR_NOT_FOUND;
    if (ptr)
        *ptr = addr;
    if (bytes)
        *bytes = size;
    return CUDA_SUCCESS;
}

CUresult cuModuleGetGlobal_v2(CUdeviceptr *ptr, size_t *bytes, CUmodule mod, const char *name)
{
    struct module *m;
    CUresult r = enter_module(mod, &m);

    return r ? r : leave(get_global(m, ptr, bytes, name));
}

/* ---- libraries ------------------------------------------------------------------------------- */

static void library_free(struct library *lib)
{
    for (size_t i = 0; i < lib->kernel_count; i++) {
        handle_free(lib->kernels[i].handle);
        free((char *)lib->kernels[i].name);
    }
    if (lib->handle)
        handle_free(lib->handle);
    if (lib->spare)
        sg_module_free(lib->spare);
    free(lib->kernels);
    free(lib->text);
    free(lib);
}

/* Lock held. Takes code over, on failure too. */
static CUresult library_new(const struct image_text *t, struct sg_module *code, CUlibrary *out)
{
    struct library *lib = calloc(1, sizeof(*lib));
    size_t count = sg_module_function_count(code);

    if (!lib) {
        sg_module_free(code);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    lib->spare = code;
    lib->text = malloc(t->len ? t->len : 1);
    lib->kernels = calloc(count ? count : 1, sizeof(*lib->kernels));
    lib->handle = handle_new(OBJECT_LIBRARY, lib);
    if (!lib->text || !lib->kernels || !lib->handle)
        goto no_memory;
    memcpy(lib->text, t->text, t->len);
    lib->len = t->len;
    for (; lib->kernel_count < count; lib->kernel_count++) {
        struct kernel *k = &lib->kernels[lib->kernel_count];

        k->library = lib;
        k->max_dynamic_shared = -1;
        k->carveout = CU_SHAREDMEM_CARVEOUT_DEFAULT;
        k->name = strdup(sg_function_info(sg_module_function_at(code, lib->kernel_count))->name);
        if (!k->name)
            goto no_memory;
        k->handle = handle_new(OBJECT_KERNEL, k);
        if (!k->handle) {
            free((char *)k->name);
            goto no_memory;
        }
    }
    *out = AS_HANDLE(CUlibrary, lib->handle);
    return CUDA_SUCCESS;
no_memory:
    library_free(lib);
    return CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult cuLibraryLoadData(CUlibrary *lib, const void *code, CUjit_option *jit_options,
                           void **jit_values, unsigned int jit_count, CUlibraryOption *options,
                           void **values, unsigned int count)
{
    struct sg_module *module = NULL;
    struct image image;
    struct jit jit;
    size_t chosen;
    CUresult r;

    if (!lib || !code || count > OPTIONS_MAX || (count && (!options || !values)))
        return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; i < count; i++)
        if ((unsigned)options[i] >= CU_LIBRARY_NUM_OPTIONS)
            return CUDA_ERROR_INVALID_VALUE;
    r = enter_healthy();
    if (r)
        return r;
    leave(CUDA_SUCCESS);
    r = jit_parse(&jit, jit_count, jit_options, jit_values);
    if (r)
        return r;
    r = image_open(code, &image);
    if (r)
        return r;
    r = load_image(&image, &jit, &module, &chosen);
    if (!r) {
        pthread_mutex_lock(&drv.lock);
        r = leave(library_new(&image.texts[chosen], module, lib));
    }
    image_close(&image);
    return r;
}

CUresult cuLibraryLoadFromFile(CUlibrary *lib, const char *path, CUjit_option *jit_options,
                               void **jit_values, unsigned int jit_count, CUlibraryOption *options,
                               void **values, unsigned int count)
{
    char *text;
    CUresult r = read_file(path, &text);

    if (r)
        return r;
    r = cuLibraryLoadData(lib, text, jit_options, jit_values, jit_count, options, values, count);
    free(text);
    return r;
}

static CUresult enter_library(CUlibrary handle, struct library **lib)
{
    CUresult r = enter_healthy();

    if (r)
        return r;
    *lib = handle_get(HANDLE(handle), OBJECT_LIBRARY);
    return *lib ? CUDA_SUCCESS : leave(CUDA_ERROR_INVALID_HANDLE);
}

CUresult cuLibraryUnload(CUlibrary handle)
{
    struct library *lib;
    CUresult r = enter_library(handle, &lib);

    if (r)
        return r;
    r = context_wait(NULL);
    if (r)
        return leave(r);
    memory_quiesce();
    /* Looked up once more, for the waits gave the lock up. */
    if (handle_get(HANDLE(handle), OBJECT_LIBRARY) == lib) {
        LIST_EACH(c, &drv.contexts)
        {
            LIST_EACH(m, &CONTAINER(c, struct context, all)->modules)
            {
                struct module *module = CONTAINER(m, struct module, of_context);

                if (module->library == lib)
                    module_free(module);
            }
        }
        library_free(lib);
    } else {
        r = CUDA_ERROR_INVALID_HANDLE;
    }
    memory_resume();
    return leave(r);
}

/* The library's module in ctx; loaded on first use. */
static CUresult library_module(struct library *lib, struct context *ctx, struct module **out)
{
    struct sg_module *code = lib->spare;
    CUresult r;

    LIST_EACH(it, &ctx->modules)
    {
        *out = CONTAINER(it, struct module, of_context);
        if ((*out)->library == lib)
            return CUDA_SUCCESS;
    }
    lib->spare = NULL;
    if (!code) {
        struct sg_log none = {0};

        r = load_result(sg_module_load(drv.map, lib->text, lib->len, &none, &none, &code));
        if (r)
            return r;
    }
    r = module_new(ctx, code, lib, out);
    if (r)
        lib->spare = code;
    return r;
}

CUresult cuLibraryGetKernel(CUkernel *kernel, CUlibrary handle, const char *name)
{
    struct library *lib;
    CUresult r = enter_library(handle, &lib);

    if (r)
        return r;
    if (!kernel || !name || !*name)
        return leave(CUDA_ERROR_INVALID_VALUE);
    for (size_t i = 0; i < lib->kernel_count; i++) {
        if (strcmp(lib->kernels[i].name, name))
            continue;
        *kernel = AS_HANDLE(CUkernel, lib->kernels[i].handle);
        return leave(CUDA_SUCCESS);
    }
    return leave(CUDA_ERROR_NOT_FOUND);
}

CUresult cuLibraryGetKernelCount(unsigned int *count, CUlibrary handle)
{
    struct library *lib;
    CUresult r = enter_library(handle, &lib);

    if (r)
        return r;
    if (!count)
        return leave(CUDA_ERROR_INVALID_VALUE);
    *count = (unsigned)lib->kernel_count;
    return leave(CUDA_SUCCESS);
}

CUresult cuLibraryEnumerateKernels(CUkernel *kernels, unsigned int count, CUlibrary handle)
{
    struct library *lib;
    CUresult r = enter_library(handle, &lib);

    if (r)
        return r;
    if (!kernels)
        return leave(CUDA_ERROR_INVALID_VALUE);
    for (unsigned i = 0; i < count && i < lib->kernel_count; i++)
        kernels[i] = AS_HANDLE(CUkernel, lib->kernels[i].handle);
    return leave(CUDA_SUCCESS);
}

/* Enters for a call about a library's module in the current context. */
static CUresult enter_instance(CUlibrary handle, struct module **m)
{
    struct context *ctx;
    struct library *lib;
    CUresult r = enter_context(&ctx);

    if (r)
        return r;
    lib = handle_get(HANDLE(handle), OBJECT_LIBRARY);
    r = lib ? library_module(lib, ctx, m) : CUDA_ERROR_INVALID_HANDLE;
    return r ? leave(r) : CUDA_SUCCESS;
}

CUresult cuLibraryGetModule(CUmodule *mod, CUlibrary handle)
{
    struct module *m;
    CUresult r = enter_instance(handle, &m);

    if (r)
        return r;
    if (!mod)
        return leave(CUDA_ERROR_INVALID_VALUE);
    *mod = AS_HANDLE(CUmodule, m->handle);
    return leave(CUDA_SUCCESS);
}

CUresult cuLibraryGetGlobal(CUdeviceptr *ptr, size_t *bytes, CUlibrary handle, const char *name)
{
    struct module *m;
    CUresult r = enter_instance(handle, &m);

    return r ? r : leave(get_global(m, ptr, bytes, name));
}

CUresult cuLibraryGetManaged(CUdeviceptr *ptr, size_t *bytes, CUlibrary handle, const char *name)
{
    struct library *lib;
    CUresult r = enter_library(handle, &lib);

    (void)ptr;
    (void)bytes;
    if (r)
        return r;
    return leave(name ? CUDA_ERROR_NOT_FOUND : CUDA_ERROR_INVALID_VALUE); /* none is managed */
}

CUresult cuLibraryGetUnifiedFunction(void **fn, CUlibrary handle, const char *symbol)
{
    struct library *lib;
    CUresult r = enter_library(handle, &lib);

    if (r)
        return r;
    return leave(fn && symbol ? CUDA_ERROR_NOT_FOUND : CUDA_ERROR_INVALID_VALUE);
}

/* ---- functions and kernels ------------------------------------------------------------------- */

static CUresult kernel_function(struct context *ctx, struct kernel *k, struct function **out)
{
    struct module *m;
    CUresult r = library_module(k->library, ctx, &m);
    struct function *fn;

    if (r)
        return r;
    fn = function_named(m, k->name);
    if (!fn)
        return CUDA_ERROR_NOT_FOUND;
    *out = fn;
    return CUDA_SUCCESS;
}

CUresult function_resolve(struct context *ctx, CUfunction handle, struct function **out)
{
    struct kernel *k;

    *out = handle_get(HANDLE(handle), OBJECT_FUNCTION);
    if (*out)
        return CUDA_SUCCESS;
    /* A CUkernel may stand where a CUfunction is asked for. */
    k = handle_get(HANDLE(handle), OBJECT_KERNEL);
    return k ? kernel_function(ctx, k, out) : CUDA_ERROR_INVALID_HANDLE;
}

static CUresult enter_function(CUfunction handle, struct function **fn)
{
    struct context *ctx;
    CUresult r = enter_context(&ctx);

    if (r)
        return r;
    r = function_resolve(ctx, handle, fn);
    return r ? leave(r) : CUDA_SUCCESS;
}

static CUresult enter_kernel(CUkernel handle, struct kernel **k)
{
    CUresult r = enter_healthy();

    if (r)
        return r;
    *k = handle_get(HANDLE(handle), OBJECT_KERNEL);
    return *k ? CUDA_SUCCESS : leave(CUDA_ERROR_INVALID_HANDLE);
}

/* The code of a kernel in any module of its library: what is the same in all of them. */
static const struct sg_function *kernel_code(const struct kernel *k)
{
    const struct library *lib = k->library;

    if (lib->spare)
        return sg_module_function(lib->spare, k->name);
    LIST_EACH(c, &drv.contexts)
    {
        LIST_EACH(m, &CONTAINER(c, struct context, all)->modules)
        {
            struct module *module = CONTAINER(m, struct module, of_context);

            if (module->library == lib)
                return sg_module_function(module->code, k->name);
        }
    }
    return NULL;
}

/* A kernel of a library whose only context is gone has its code loaded again. */
static CUresult kernel_code_load(struct kernel *k, const struct sg_function **code)
{
    struct sg_log none = {0};
    CUresult r;

    *code = kernel_code(k);
    if (*code)
        return CUDA_SUCCESS;
    r = load_result(sg_module_load(drv.map, k->library->text, k->library->len, &none, &none,
                                   &k->library->spare));
    if (!r)
        *code = kernel_code(k);
    return r;
}

static unsigned code_registers(const struct sg_function *code)
{
    const struct sg_function_info *info = sg_function_info(code);
    unsigned limit = info->max_threads ? SOFT_REGISTERS_SM / info->max_threads / 8 * 8 : 255;

    /* A compiler keeps to what lets the largest block that the code allows still launch. */
    if (limit > 255)
        limit = 255;
    return info->registers < limit ? info->registers : limit;
}

unsigned function_registers(const struct function *fn)
{
    return code_registers(fn->code);
}

static unsigned max_dynamic(const struct sg_function *code, int configured)
{
    unsigned fixed = sg_function_info(code)->static_shared_bytes;

    if (configured >= 0)
        return (unsigned)configured;
    return fixed < SOFT_SHARED_DEFAULT ? SOFT_SHARED_DEFAULT - fixed : 0;
}

static int kernel_setting(const struct function *fn, size_t offset, int own)
{
    const struct library *lib = fn->module->library;
    const char *name = sg_function_info(fn->code)->name;

    /* What was set for a kernel holds for its functions unless they were set themselves. */
    for (size_t i = 0; lib && own < 0 && i < lib->kernel_count; i++)
        if (!strcmp(lib->kernels[i].name, name))
            return *(const int *)((const char *)&lib->kernels[i] + offset);
    return own;
}

unsigned function_max_dynamic_shared(const struct function *fn)
{
    return max_dynamic(fn->code, kernel_setting(fn, offsetof(struct kernel, max_dynamic_shared),
                                                fn->max_dynamic_shared));
}

static CUresult get_attribute(int *value, CUfunction_attribute attr, const struct sg_function *code,
                              int dynamic, int carveout, int nonportable, int policy)
{
    const struct sg_function_info *info = sg_function_info(code);

    switch ((int)attr) {
    case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
        *value = (int)info->max_threads;
        break;
    case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES:
        *value = (int)info->static_shared_bytes;
        break;
    case CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES:
        *value = (int)info->const_bytes;
        break;
    case CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES:
        *value = (int)info->local_bytes;
        break;
    case CU_FUNC_ATTRIBUTE_NUM_REGS:
        *value = (int)code_registers(code);
        break;
    case CU_FUNC_ATTRIBUTE_PTX_VERSION:
        *value = (int)info->target_version;
        break;
    case CU_FUNC_ATTRIBUTE_BINARY_VERSION:
        *value = ARCH;
        break;
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
        *value = (int)max_dynamic(code, dynamic);
        break;
    case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
        *value = carveout;
        break;
    case CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED:
        *value = nonportable;
        break;
    case CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
        *value = policy;
        break;
    case CU_FUNC_ATTRIBUTE_CACHE_MODE_CA:
    case CU_FUNC_ATTRIBUTE_CLUSTER_SIZE_MUST_BE_SET:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH:
        *value = 0;
        break;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
}

static CUresult set_attribute(CUfunction_attribute attr, int value, const struct sg_function *code,
                              int *dynamic, int *carveout, int *nonportable, int *policy)
{
    switch ((int)attr) {
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
        if (value < 0 ||
            (unsigned)value + sg_function_info(code)->static_shared_bytes > SOFT_SHARED_OPTIN)
            return CUDA_ERROR_INVALID_VALUE;
        *dynamic = value;
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
        if (value < CU_SHAREDMEM_CARVEOUT_DEFAULT || value > CU_SHAREDMEM_CARVEOUT_MAX_SHARED)
            return CUDA_ERROR_INVALID_VALUE;
        *carveout = value;
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED:
        *nonportable = value != 0;
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
        if (value < 0 || value > CU_CLUSTER_SCHEDULING_POLICY_LOAD_BALANCING)
            return CUDA_ERROR_INVALID_VALUE;
        *policy = value;
        return CUDA_SUCCESS;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

CUresult cuFuncGetAttribute(int *value, CUfunction_attribute attr, CUfunction handle)
{
    struct function *fn;
    CUresult r = enter_function(handle, &fn);

    if (r)
        return r;
    if (!value)
        return leave(CUDA_ERROR_INVALID_VALUE);
    return leave(get_attribute(
        value, attr, fn->code,
        kernel_setting(fn, offsetof(struct kernel, max_dynamic_shared), fn->max_dynamic_shared),
        kernel_setting(fn, offsetof(struct kernel, carveout), fn->carveout),
        fn->nonportable_cluster, fn->cluster_policy));
}

CUresult cuFuncSetAttribute(CUfunction handle, CUfunction_attribute attr, int value)
{
    struct function *fn;
    CUresult r = enter_function(handle, &fn);

    if (r)
        return r;
    return leave(set_attribute(attr, value, fn->code, &fn->max_dynamic_shared, &fn->carveout,
                               &fn->nonportable_cluster, &fn->cluster_policy));
}

CUresult cuKernelGetAttribute(int *value, CUfunction_attribute attr, CUkernel handle, CUdevice dev)
{
    const struct sg_function *code;
    struct kernel *k;
    CUresult r = enter_kernel(handle, &k);

    if (r)
        return r;
    if (!value)
        return leave(CUDA_ERROR_INVALID_VALUE);
    if (!device_get(dev))
        return leave(CUDA_ERROR_INVALID_DEVICE);
    r = kernel_code_load(k, &code);
    return leave(r ? r
                   : get_attribute(value, attr, code, k->max_dynamic_shared, k->carveout,
                                   k->nonportable_cluster, k->cluster_policy));
}

CUresult cuKernelSetAttribute(CUfunction_attribute attr, int value, CUkernel handle, CUdevice dev)
{
    const struct sg_function *code;
    struct kernel *k;
    CUresult r = enter_kernel(handle, &k);

    if (r)
        return r;
    if (!device_get(dev))
        return leave(CUDA_ERROR_INVALID_DEVICE);
    r = kernel_code_load(k, &code);
    return leave(r ? r
                   : set_attribute(attr, value, code, &k->max_dynamic_shared, &k->carveout,
                                   &k->nonportable_cluster, &k->cluster_policy));
}

CUresult cuFuncSetCacheConfig(CUfunction handle, CUfunc_cache config)
{
    struct function *fn;
    CUresult r = enter_function(handle, &fn);

    if (r)
        return r;
    if ((unsigned)config > CU_FUNC_CACHE_PREFER_EQUAL)
        return leave(CUDA_ERROR_INVALID_VALUE);
    fn->cache = config;
    return leave(CUDA_SUCCESS);
}

CUresult cuKernelSetCacheConfig(CUkernel handle, CUfunc_cache config, CUdevice dev)
{
    struct kernel *k;
    CUresult r = enter_kernel(handle, &k);

    if (r)
        return r;
    if (!device_get(dev))
        return leave(CUDA_ERROR_INVALID_DEVICE);
    return leave((unsigned)config > CU_FUNC_CACHE_PREFER_EQUAL ? CUDA_ERROR_INVALID_VALUE
                                                               : CUDA_SUCCESS);
}

CUresult cuFuncSetSharedMemConfig(CUfunction handle, CUsharedconfig config)
{
    struct function *fn;
    CUresult r = enter_function(handle, &fn);

    if (r)
        return r;
    return leave((unsigned)config > CU_SHARED_MEM_CONFIG_EIGHT_BYTE_BANK_SIZE
                     ? CUDA_ERROR_INVALID_VALUE
                     : CUDA_SUCCESS);
}

CUresult cuFuncGetModule(CUmodule *mod, CUfunction handle)
{
    struct function *fn;
    CUresult r = enter_function(handle, &fn);

    if (r)
        return r;
    if (!mod)
        return leave(CUDA_ERROR_INVALID_VALUE);
    *mod = AS_HANDLE(CUmodule, fn->module->handle);
    return leave(CUDA_SUCCESS);
}

CUresult cuFuncGetName(const char **name, CUfunction handle)
{
    struct function *fn;
    CUresult r = enter_function(handle, &fn);

    if (r)
        return r;
    if (!name)
        return leave(CUDA_ERROR_INVALID_VALUE);
    *name = sg_function_info(fn->code)->name;
    return leave(CUDA_SUCCESS);
}

static CUresult param_info(const struct sg_function *code, size_t index, size_t *offset,
                           size_t *size)
{
    uint32_t at, bytes;

    if (!offset || index > UINT32_MAX || !sg_function_param(code, (uint32_t)index, &at, &bytes))
        return CUDA_ERROR_INVALID_VALUE;
    *offset = at;
    if (size)
        *size = bytes;
    return CUDA_SUCCESS;
}

CUresult cuFuncGetParamInfo(CUfunction handle, size_t index, size_t *offset, size_t *size)
{
    struct function *fn;
    CUresult r = enter_function(handle, &fn);

    return r ? r : leave(param_info(fn->code, index, offset, size));
}

CUresult cuFuncIsLoaded(CUfunctionLoadingState *state, CUfunction handle)
{
    struct function *fn;
    CUresult r = enter_function(handle, &fn);

    if (r)
        return r;
    if (!state)
        return leave(CUDA_ERROR_INVALID_VALUE);
    *state = CU_FUNCTION_LOADING_STATE_LOADED;
    return leave(CUDA_SUCCESS);
}

CUresult cuFuncLoad(CUfunction handle)
{
    struct function *fn;
    CUresult r = enter_function(handle, &fn);

    return r ? r : leave(CUDA_SUCCESS);
}

CUresult cuKernelGetFunction(CUfunction *out, CUkernel handle)
{
    struct context *ctx;
    struct function *fn;
    struct kernel *k;
    CUresult r = enter_context(&ctx);

    if (r)
        return r;
    k = handle_get(HANDLE(handle), OBJECT_KERNEL);
    if (!k || !out)
        return leave(k ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_INVALID_HANDLE);
    r = kernel_function(ctx, k, &fn);
    if (!r)
        *out = AS_HANDLE(CUfunction, fn->handle);
    return leave(r);
}

CUresult cuKernelGetLibrary(CUlibrary *lib, CUkernel handle)
{
    struct kernel *k;
    CUresult r = enter_kernel(handle, &k);

    if (r)
        return r;
    if (!lib)
        return leave(CUDA_ERROR_INVALID_VALUE);
    *lib = AS_HANDLE(CUlibrary, k->library->handle);
    return leave(CUDA_SUCCESS);
}

CUresult cuKernelGetName(const char **name, CUkernel handle)
{
    struct kernel *k;
    CUresult r = enter_kernel(handle, &k);

    if (r)
        return r;
    if (!name)
        return leave(CUDA_ERROR_INVALID_VALUE);
    *name = k->name;
    return leave(CUDA_SUCCESS);
}

CUresult cuKernelGetParamInfo(CUkernel handle, size_t index, size_t *offset, size_t *size)
{
    const struct sg_function *code;
    struct kernel *k;
    CUresult r = enter_kernel(handle, &k);

    if (r)
        return r;
    r = kernel_code_load(k, &code);
    return leave(r ? r : param_info(code, index, offset, size));
}
