/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ptx_once.h - loads any text as PTX and runs every kernel of it for a bounded number of
 * instructions
 *
 * For texts that are wrong on purpose: the engine may refuse or fault, never crash.
 */
#ifndef VGPU_TESTS_ENGINE_PTX_ONCE_H
#define VGPU_TESTS_ENGINE_PTX_ONCE_H

#include <stdlib.h>
#include <string.h>

#include "engine.h"

static inline enum sg_status ptx_once(const char *text, size_t len, struct sg_log *log)
{
    struct sg_memmap *map = sg_memmap_new();
    struct sg_runner *runner = sg_runner_new(0);
    struct sg_module *mod = NULL;
    /* Exactly as long as it may be read, so that the sanitizer sees one byte too many. */
    char *copy = malloc(len ? len : 1);
    static _Alignas(16) unsigned char data[4096];
    atomic_int cancel = 1; /* polled once per slice: every warp runs one slice at most */
    enum sg_status s;

    if (len)
        memcpy(copy, text, len);
    s = sg_module_load(map, copy, len, NULL, log, &mod);
    sg_memmap_add(map, (uint64_t)(uintptr_t)data, sizeof(data), true);
    for (size_t k = 0; s == SG_OK && k < sg_module_function_count(mod) && k < 8; k++) {
        struct sg_function *fn = sg_module_function_at(mod, k);
        uint32_t bytes = sg_function_info(fn)->param_bytes;
        uint64_t *params = malloc(bytes + 8);
        struct sg_launch l = {.fn = fn,
                              .map = map,
                              .grid = {1, 1, 1},
                              .block = {40, 2, 1},
                              .dynamic_shared_bytes = 64,
                              .params = params,
                              .cancel = &cancel};
        struct sg_fault f;

        for (uint32_t j = 0; j < bytes / 8; j++)
            params[j] = (uint64_t)(uintptr_t)data + j * 512;
        sg_run_cta(runner, &l, (uint32_t[3]){0, 0, 0}, &f);
        free(params);
    }
    sg_module_free(mod);
    sg_runner_free(runner);
    sg_memmap_free(map);
    free(copy);
    return s;
}

#endif
