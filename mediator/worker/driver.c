/* SPDX-License-Identifier: Apache-2.0 */
#include "worker.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

int worker_driver_load(struct vgpu_worker *worker, const char *path, char *error, size_t bytes)
{
    struct vgpu_driver *driver = calloc(1, sizeof(*driver));

    if (!driver) {
        snprintf(error, bytes, "out of memory");
        return -1;
    }
    worker->driver_library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!worker->driver_library) {
        snprintf(error, bytes, "cannot load the GPU driver library: %s", dlerror());
        free(driver);
        return -1;
    }
    for (const struct vgpu_driver_symbol *symbol = vgpu_driver_symbols; symbol->name; symbol++) {
        void *address = dlsym(worker->driver_library, symbol->name);
        if (!address && symbol->required) {
            snprintf(error, bytes, "%s has no %s: the driver is too old (CUDA 12.0 or later)", path,
                     symbol->name);
            free(driver);
            return -1;
        }
        *(void **)((char *)driver + symbol->offset) = address;
    }
    worker->driver = driver;
    return 0;
}

const struct vgpu_driver *worker_driver(struct vgpu_worker *worker)
{
    return worker->driver;
}

const char *worker_result_name(struct vgpu_worker *worker, CUresult result)
{
    const char *name = NULL;

    worker->driver->cuGetErrorName(result, &name);
    return name ? name : "unknown";
}
