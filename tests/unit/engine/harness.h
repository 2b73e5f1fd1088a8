/* SPDX-License-Identifier: Apache-2.0 */
/*
 * harness.h - loads PTX and runs grids on the calling thread, for the engine's tests
 */
#ifndef VGPU_TESTS_ENGINE_HARNESS_H
#define VGPU_TESTS_ENGINE_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine.h"

#define HEAD ".version 7.8\n.target sm_90\n.address_size 64\n"

struct rig {
    struct sg_memmap *map;
    struct sg_module *mod;
    struct sg_runner *runner;
    struct sg_fault fault;
    atomic_int cancel;
    atomic_ullong instructions;
    char log[512];
    char out[8192];
    size_t nout;
};

static inline void rig_print(void *opaque, const char *text, size_t len)
{
    struct rig *r = opaque;

    if (len > sizeof(r->out) - 1 - r->nout)
        len = sizeof(r->out) - 1 - r->nout;
    memcpy(r->out + r->nout, text, len);
    r->nout += len;
    r->out[r->nout] = 0;
}

static inline enum sg_status rig_load(struct rig *r, const char *ptx)
{
    struct sg_log log = {r->log, sizeof(r->log), 0};

    memset(r, 0, sizeof(*r));
    r->map = sg_memmap_new();
    r->runner = sg_runner_new(3);
    assert_non_null(r->map);
    assert_non_null(r->runner);
    return sg_module_load(r->map, ptx, strlen(ptx), NULL, &log, &r->mod);
}

static inline void rig_open(struct rig *r, const char *ptx)
{
    enum sg_status s = rig_load(r, ptx);

    if (s != SG_OK)
        print_message("%s", r->log);
    assert_int_equal(s, SG_OK);
}

static inline void rig_close(struct rig *r)
{
    sg_module_free(r->mod);
    sg_runner_free(r->runner);
    sg_memmap_free(r->map);
}

static inline void *rig_alloc(struct rig *r, size_t size)
{
    void *p = NULL;

    assert_int_equal(posix_memalign(&p, 256, size), 0);
    memset(p, 0, size);
    assert_int_equal(sg_memmap_add(r->map, (uint64_t)(uintptr_t)p, size, true), 0);
    return p;
}

static inline void rig_free(struct rig *r, void *p)
{
    assert_int_equal(sg_memmap_remove(r->map, (uint64_t)(uintptr_t)p), 0);
    free(p);
}

static inline enum sg_status rig_grid(struct rig *r, const char *name, const uint32_t grid[3],
                                      const uint32_t block[3], uint32_t shared, const void *params)
{
    struct sg_launch l = {
        .fn = sg_module_function(r->mod, name),
        .map = r->map,
        .grid = {grid[0], grid[1], grid[2]},
        .block = {block[0], block[1], block[2]},
        .dynamic_shared_bytes = shared,
        .params = params,
        .grid_id = 7,
        .sm_count = 9,
        .cancel = &r->cancel,
        .print = rig_print,
        .print_opaque = r,
        .instructions = &r->instructions,
    };
    enum sg_status s = SG_OK;

    assert_non_null(l.fn);
    for (uint32_t z = 0; z < grid[2] && s == SG_OK; z++)
        for (uint32_t y = 0; y < grid[1] && s == SG_OK; y++)
            for (uint32_t x = 0; x < grid[0] && s == SG_OK; x++)
                s = sg_run_cta(r->runner, &l, (uint32_t[3]){x, y, z}, &r->fault);
    return s;
}

static inline enum sg_status rig_run(struct rig *r, const char *name, uint32_t grid, uint32_t block,
                                     const void *params)
{
    return rig_grid(r, name, (uint32_t[3]){grid, 1, 1}, (uint32_t[3]){block, 1, 1}, 0, params);
}

#endif
