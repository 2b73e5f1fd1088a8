/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine.h - executes PTX on the CPU
 *
 * The engine turns a PTX module into decoded instructions and runs one CTA at a time on the calling
 * thread: warps of 32 lanes, divergence with reconvergence, shared memory, barriers. It knows nothing
 * of CUDA's contexts, streams or events; softgpu/driver/ builds those on top and decides which thread
 * runs which CTA.
 *
 * Addresses: a device address is the host address of the byte it names. Every access is checked
 * against a memory map of live ranges; an access outside is SG_FAULT_ILLEGAL_ADDRESS. Shared and
 * local memory live in generic-address windows that no live range may overlap.
 *
 * Source of the language: NVIDIA's "Parallel Thread Execution ISA" manual, versions 6.0 to 8.x.
 */
#ifndef VGPU_SOFTGPU_ENGINE_H
#define VGPU_SOFTGPU_ENGINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- memory map ------------------------------------------------------------------------------ */

struct sg_memmap; /* thread-safe; readers (running warps) never block */

struct sg_memmap *sg_memmap_new(void);
void sg_memmap_free(struct sg_memmap *map);
/* Makes [base, base + size) accessible. 0, or -ENOMEM / -EEXIST (overlap) / -EINVAL (empty, wraps). */
int sg_memmap_add(struct sg_memmap *map, uint64_t base, uint64_t size, bool writable);
/* Removes a range added before, by its base. 0 or -ENOENT. The caller ensures no grid still runs. */
int sg_memmap_remove(struct sg_memmap *map, uint64_t base);
/* True when all of [addr, addr + size) lies in one live range (and it is writable, if write). */
bool sg_memmap_check(const struct sg_memmap *map, uint64_t addr, uint64_t size, bool write);
/* The live range that holds addr; false when none. */
bool sg_memmap_find(const struct sg_memmap *map, uint64_t addr, uint64_t *base, uint64_t *size);

/* ---- modules --------------------------------------------------------------------------------- */

/* A text buffer of fixed size for the JIT info and error logs; always NUL-terminated; overflow is cut. */
struct sg_log {
    char *text;
    size_t size; /* bytes, NUL included; 0: discard */
    size_t used; /* bytes written, NUL excluded */
};

enum sg_status {
    SG_OK = 0,
    SG_INVALID_PTX,         /* syntax, unknown instruction, undefined symbol: the log names the line */
    SG_UNSUPPORTED_VERSION, /* .version or .target beyond what the engine knows */
    SG_NO_MEMORY,
    SG_NOT_FOUND,
    SG_INVALID_VALUE,
    SG_FAULT_ILLEGAL_ADDRESS,
    SG_FAULT_MISALIGNED,
    SG_FAULT_TRAP,                /* trap; or brkpt */
    SG_FAULT_ILLEGAL_INSTRUCTION, /* bad indirect branch or call */
    SG_FAULT_STACK,               /* call depth or local memory exhausted */
    SG_FAULT_DEADLOCK,            /* a barrier that can never complete */
    SG_CANCELLED,                 /* *launch.cancel became non-zero */
};

struct sg_module;
struct sg_function;

/*
 * Parses and decodes PTX text (need not be NUL-terminated). Module-scope .global and .const variables
 * get storage, are initialised, and are added to map until the module is freed.
 */
enum sg_status sg_module_load(struct sg_memmap *map, const char *ptx, size_t len, struct sg_log *info,
                              struct sg_log *error, struct sg_module **out);
void sg_module_free(struct sg_module *module);
/* Address and size in bytes of a module-scope variable, by name. */
bool sg_module_global(const struct sg_module *module, const char *name, uint64_t *addr, uint64_t *size);
/* Functions are owned by the module; only .entry functions are listed. */
size_t sg_module_function_count(const struct sg_module *module);
struct sg_function *sg_module_function_at(struct sg_module *module, size_t index);
struct sg_function *sg_module_function(struct sg_module *module, const char *name); /* NULL: none */

struct sg_function_info {
    const char *name;
    uint32_t param_count;
    uint32_t param_bytes;        /* size of the packed parameter buffer */
    uint32_t static_shared_bytes;
    uint32_t local_bytes;        /* per thread */
    uint32_t const_bytes;        /* of the module */
    uint32_t registers;          /* an estimate: 32-bit registers per thread, 16 to 255 */
    uint32_t max_threads;        /* .maxntid product, else 1024 */
    uint32_t ptx_version;        /* 10 * major + minor, as in CU_FUNC_ATTRIBUTE_PTX_VERSION */
    uint32_t target_version;     /* 70 for sm_70 */
};
const struct sg_function_info *sg_function_info(const struct sg_function *fn);
/* Byte offset and size of parameter index in the packed buffer; false past the end. */
bool sg_function_param(const struct sg_function *fn, uint32_t index, uint32_t *offset, uint32_t *size);

/* ---- running --------------------------------------------------------------------------------- */

struct sg_launch {
    struct sg_function *fn;
    struct sg_memmap *map;
    uint32_t grid[3], block[3];
    uint32_t dynamic_shared_bytes;
    const void *params;          /* packed, info.param_bytes long; must stay valid until the grid ends */
    uint64_t grid_id;            /* %gridid */
    uint32_t sm_count;           /* %nsmid */
    const atomic_int *cancel;    /* polled at least every few thousand instructions; may be NULL */
    void (*print)(void *opaque, const char *text, size_t len); /* vprintf output, one call per call */
    void *print_opaque;
    atomic_ullong *instructions; /* thread-instructions executed are added here; may be NULL */
};

struct sg_fault {
    enum sg_status status;
    uint64_t address;   /* of the access that failed, or 0 */
    uint32_t ptx_line;  /* 1-based */
    uint32_t ctaid[3], tid[3];
};

/* One per CPU thread that runs CTAs: registers, shared memory and stacks, kept between CTAs. */
struct sg_runner;
struct sg_runner *sg_runner_new(uint32_t sm_id);
void sg_runner_free(struct sg_runner *runner);
/* Runs one CTA to its end on the calling thread. SG_OK, or the fault (details in *fault). */
enum sg_status sg_run_cta(struct sg_runner *runner, const struct sg_launch *launch,
                          const uint32_t ctaid[3], struct sg_fault *fault);

const char *sg_status_text(enum sg_status status);

#endif
