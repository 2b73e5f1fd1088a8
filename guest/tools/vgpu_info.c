/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vgpu-info - shows the virtual GPU of this VM: the device's identity as the kernel driver tells
 * it, and the GPU as CUDA programs see it.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define VGPU_CUDA_NO_ALIASES
#include "guest/driver/vgpu_uapi.h"
#include "protocol/cuda_abi.h"
#include "protocol/vgpu_regs.h"

#define GPUS_MAX 16

enum exit_status { EXIT_FINE = 0, EXIT_NO_DEVICE = 1, EXIT_NO_GPU = 2, EXIT_USAGE = 64 };

struct identity {
    bool present;
    int error; /* errno of opening or asking */
    struct vgpu_ioc_info info;
};

struct gpu {
    char name[256], uuid[48], pci[32];
    int major, minor, processors, clock_khz, threads_per_block;
    size_t total, available;
    bool memory_known;
};

struct cuda {
    const char *problem; /* NULL: works */
    char detail[256];
    int version, count;
    struct gpu gpus[GPUS_MAX];
};

static const char usage[] =
    "Usage: vgpu-info [OPTION]...\n"
    "Shows the virtual GPU of this VM.\n"
    "\n"
    "  --json            print JSON\n"
    "  --device=PATH     the virtual GPU's device file (/dev/vgpu0)\n"
    "  --library=PATH    the CUDA driver library (libcuda.so.1)\n"
    "  --no-cuda         only ask the device, do not connect to the GPU\n"
    "  --version         print the version and exit\n"
    "  --help            print this and exit\n"
    "\n"
    "Exit status: 0 when device and GPU answer; 1 when there is no virtual GPU device (and no\n"
    "VGPU_SOCKET in the environment); 2 when the GPU does not answer; 64 for a wrong option.\n";

static void ask_device(const char *path, struct identity *identity)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        identity->error = errno;
        return;
    }
    if (ioctl(fd, VGPU_IOC_INFO, &identity->info) == 0)
        identity->present = true;
    else
        identity->error = errno;
    close(fd);
}

struct calls {
    __typeof__(&cuInit) init;
    __typeof__(&cuDriverGetVersion) version;
    __typeof__(&cuDeviceGetCount) count;
    __typeof__(&cuDeviceGetName) name;
    __typeof__(&cuDeviceGetUuid_v2) uuid;
    __typeof__(&cuDeviceGetPCIBusId) pci;
    __typeof__(&cuDeviceTotalMem_v2) total;
    __typeof__(&cuDeviceGetAttribute) attribute;
    __typeof__(&cuGetErrorName) error_name;
    __typeof__(&cuDevicePrimaryCtxRetain) retain;
    __typeof__(&cuDevicePrimaryCtxRelease_v2) release;
    __typeof__(&cuCtxSetCurrent) set_current;
    __typeof__(&cuMemGetInfo_v2) memory;
};

static bool find_calls(void *library, struct calls *c)
{
    const struct {
        void **to;
        const char *name;
    } list[] = {
        {(void **)&c->init, "cuInit"},
        {(void **)&c->version, "cuDriverGetVersion"},
        {(void **)&c->count, "cuDeviceGetCount"},
        {(void **)&c->name, "cuDeviceGetName"},
        {(void **)&c->uuid, "cuDeviceGetUuid_v2"},
        {(void **)&c->pci, "cuDeviceGetPCIBusId"},
        {(void **)&c->total, "cuDeviceTotalMem_v2"},
        {(void **)&c->attribute, "cuDeviceGetAttribute"},
        {(void **)&c->error_name, "cuGetErrorName"},
        {(void **)&c->retain, "cuDevicePrimaryCtxRetain"},
        {(void **)&c->release, "cuDevicePrimaryCtxRelease_v2"},
        {(void **)&c->set_current, "cuCtxSetCurrent"},
        {(void **)&c->memory, "cuMemGetInfo_v2"},
    };
    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        *list[i].to = dlsym(library, list[i].name);
        if (!*list[i].to)
            return false;
    }
    return true;
}

static void ask_gpu(const struct calls *c, int device, struct gpu *gpu)
{
    CUuuid id = {{0}};
    CUcontext ctx;

    c->name(gpu->name, sizeof(gpu->name), device);
    c->pci(gpu->pci, sizeof(gpu->pci), device);
    c->total(&gpu->total, device);
    c->attribute(&gpu->major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device);
    c->attribute(&gpu->minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device);
    c->attribute(&gpu->processors, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, device);
    c->attribute(&gpu->clock_khz, CU_DEVICE_ATTRIBUTE_CLOCK_RATE, device);
    c->attribute(&gpu->threads_per_block, CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, device);
    if (c->uuid(&id, device) == CUDA_SUCCESS) {
        int at = snprintf(gpu->uuid, sizeof(gpu->uuid), "GPU-");
        for (int i = 0; i < 16; i++)
            at += snprintf(gpu->uuid + at, sizeof(gpu->uuid) - (size_t)at, "%s%02x",
                           i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", (uint8_t)id.bytes[i]);
    }
    /* Free memory is known in a context only; making one is what a program would do as well. */
    if (c->retain(&ctx, device) == CUDA_SUCCESS) {
        size_t total;
        if (c->set_current(ctx) == CUDA_SUCCESS)
            gpu->memory_known = c->memory(&gpu->available, &total) == CUDA_SUCCESS;
        c->set_current(NULL);
        c->release(device);
    }
}

static void ask_cuda(const char *path, struct cuda *cuda)
{
    struct calls c;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        cuda->problem = "the CUDA driver library cannot be loaded";
        snprintf(cuda->detail, sizeof(cuda->detail), "%s", dlerror());
        return;
    }
    if (!find_calls(library, &c)) {
        cuda->problem = "the CUDA driver library lacks calls";
        snprintf(cuda->detail, sizeof(cuda->detail), "%s", path);
        return;
    }
    CUresult result = c.init(0);
    if (result == CUDA_SUCCESS)
        result = c.version(&cuda->version);
    if (result == CUDA_SUCCESS)
        result = c.count(&cuda->count);
    if (result != CUDA_SUCCESS) {
        const char *name = NULL;
        c.error_name(result, &name);
        cuda->problem = "the GPU does not answer";
        snprintf(cuda->detail, sizeof(cuda->detail), "cuInit: %s", name ? name : "unknown error");
        return;
    }
    if (cuda->count > GPUS_MAX)
        cuda->count = GPUS_MAX;
    for (int i = 0; i < cuda->count; i++)
        ask_gpu(&c, i, &cuda->gpus[i]);
}

static const char *priority_name(unsigned priority)
{
    static const char *const names[] = {"low", "medium", "high"};
    return priority < 3 ? names[priority] : "unknown";
}

static void print_text(const char *path, const struct identity *identity, const struct cuda *cuda,
                       bool asked)
{
    if (identity->present) {
        const struct vgpu_ioc_info *i = &identity->info;
        printf("%-14s %s\n", "device", path);
        printf("%-14s %u\n", "vm", i->vm_id);
        printf("%-14s %c\n", "pool",
               i->pool_id >= 'A' && i->pool_id <= 'Z' ? (char)i->pool_id : '?');
        printf("%-14s %s (%u)\n", "priority", priority_name(i->priority), i->priority);
        printf("%-14s %u.%u\n", "abi", i->abi >> 16, i->abi & 0xffff);
        printf("%-14s %s\n", "mediator",
               i->status & VGPU_STATUS_LINK ? "connected" : "not connected");
        printf("%-14s %llu MiB\n", "arena limit", (unsigned long long)(i->arena_max >> 20));
    } else {
        printf("%-14s none (%s: %s)\n", "device", path, strerror(identity->error));
    }
    if (!asked)
        return;
    if (cuda->problem) {
        printf("%-14s none: %s (%s)\n", "gpu", cuda->problem, cuda->detail);
        return;
    }
    printf("%-14s %d.%d\n", "cuda", cuda->version / 1000, cuda->version % 1000 / 10);
    for (int n = 0; n < cuda->count; n++) {
        const struct gpu *g = &cuda->gpus[n];
        printf("%-14s %d: %s\n", "gpu", n, g->name);
        printf("%-14s %s\n", "  uuid", g->uuid);
        printf("%-14s %s\n", "  pci", g->pci);
        printf("%-14s %d.%d\n", "  compute", g->major, g->minor);
        printf("%-14s %d at %d MHz\n", "  processors", g->processors, g->clock_khz / 1000);
        if (g->memory_known)
            printf("%-14s %zu MiB, %zu MiB free\n", "  memory", g->total >> 20, g->available >> 20);
        else
            printf("%-14s %zu MiB\n", "  memory", g->total >> 20);
    }
}

static void json_string(const char *text)
{
    putchar('"');
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\')
            printf("\\%c", *c);
        else if (*c < 0x20 || *c >= 0x7f)
            printf("\\u%04x", *c);
        else
            putchar(*c);
    }
    putchar('"');
}

static void print_json(const char *path, const struct identity *identity, const struct cuda *cuda,
                       bool asked)
{
    const struct vgpu_ioc_info *i = &identity->info;
    printf("{\n  \"device\": ");
    if (identity->present) {
        char pool[2] = {(char)i->pool_id, 0};
        printf("{\"path\": ");
        json_string(path);
        printf(", \"vm_id\": %u, \"pool\": ", i->vm_id);
        json_string(pool);
        printf(
            ", \"priority\": \"%s\", \"abi\": \"%u.%u\", \"connected\": %s, \"arena_max\": %llu}",
            priority_name(i->priority), i->abi >> 16, i->abi & 0xffff,
            i->status & VGPU_STATUS_LINK ? "true" : "false", (unsigned long long)i->arena_max);
    } else {
        printf("null");
    }
    if (asked && cuda->problem) {
        printf(",\n  \"error\": ");
        json_string(cuda->detail);
    } else if (asked) {
        printf(",\n  \"cuda\": \"%d.%d\",\n  \"gpus\": [", cuda->version / 1000,
               cuda->version % 1000 / 10);
        for (int n = 0; n < cuda->count; n++) {
            const struct gpu *g = &cuda->gpus[n];
            printf("%s\n    {\"name\": ", n ? "," : "");
            json_string(g->name);
            printf(", \"uuid\": ");
            json_string(g->uuid);
            printf(", \"pci\": ");
            json_string(g->pci);
            printf(", \"compute\": \"%d.%d\", \"processors\": %d, \"clock_khz\": %d, "
                   "\"memory_total\": %zu",
                   g->major, g->minor, g->processors, g->clock_khz, g->total);
            if (g->memory_known)
                printf(", \"memory_free\": %zu", g->available);
            printf("}");
        }
        printf("\n  ]");
    }
    printf("\n}\n");
}

int main(int argc, char **argv)
{
    enum { JSON = 1, DEVICE, LIBRARY, NO_CUDA, VERSION, HELP };
    static const struct option options[] = {
        {"json", no_argument, NULL, JSON},
        {"device", required_argument, NULL, DEVICE},
        {"library", required_argument, NULL, LIBRARY},
        {"no-cuda", no_argument, NULL, NO_CUDA},
        {"version", no_argument, NULL, VERSION},
        {"help", no_argument, NULL, HELP},
        {0},
    };
    const char *device = "/dev/vgpu0", *library = "libcuda.so.1";
    bool json = false, ask = true;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case JSON:
            json = true;
            break;
        case DEVICE:
            device = optarg;
            break;
        case LIBRARY:
            library = optarg;
            break;
        case NO_CUDA:
            ask = false;
            break;
        case VERSION:
            puts("vgpu-info " VGPU_VERSION);
            return EXIT_FINE;
        case HELP:
            fputs(usage, stdout);
            return EXIT_FINE;
        default:
            fputs("Try vgpu-info --help.\n", stderr);
            return EXIT_USAGE;
        }
    }
    if (optind != argc) {
        fprintf(stderr, "vgpu-info: '%s' is no option; try vgpu-info --help\n", argv[optind]);
        return EXIT_USAGE;
    }

    struct identity identity = {0};
    static struct cuda cuda;
    ask_device(device, &identity);
    if (ask)
        ask_cuda(library, &cuda);
    if (json)
        print_json(device, &identity, &cuda, ask);
    else
        print_text(device, &identity, &cuda, ask);
    if (ferror(stdout) || fflush(stdout) != 0) {
        fprintf(stderr, "vgpu-info: cannot write: %s\n", strerror(errno));
        return EXIT_NO_DEVICE;
    }
    if (!identity.present && !getenv("VGPU_SOCKET"))
        return EXIT_NO_DEVICE;
    return ask && cuda.problem ? EXIT_NO_GPU : EXIT_FINE;
}
