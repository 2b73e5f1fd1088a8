/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decode_seeds.c - first inputs for decode_fuzz: what a well-behaved guest sends
 *
 *   decode_seeds DIRECTORY
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "protocol/transport/layout.h"
#include "tests/fuzz/decode_seeds.h"
#include "vgpu_ops.h"

#define ARENA_BYTES (8u << 20) /* as in decode_fuzz.c */

static uint8_t input[1 << 18];
static size_t used;
static uint64_t heap, window = VGPU_WINDOW_ADDRESS_MIN;

static void add(uint16_t op, const void *request, size_t size, const void *tail, uint16_t bytes)
{
    const uint8_t head[5] = {op & 255, (uint8_t)(op >> 8), bytes & 255, (uint8_t)(bytes >> 8), 1};

    memcpy(input + used, head, sizeof(head));
    memcpy(input + used + 5, (const uint8_t *)request + sizeof(struct vgpu_record),
           size - sizeof(struct vgpu_record));
    used += 5 + size - sizeof(struct vgpu_record);
    if (bytes)
        memcpy(input + used, tail, bytes);
    used += bytes;
}

#define ADD(op, tail, bytes, ...)                                                                  \
    add(VGPU_OP_##op, &(struct vgpu_req_##op){__VA_ARGS__}, VGPU_REQ_BYTES_##op, tail, bytes)

static void save(const char *directory, const char *name)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(input, 1, used, file) != used || fclose(file) != 0) {
        perror(path);
        exit(1);
    }
    used = 0;
}

static void module(void)
{
    ADD(BlobCreate, NULL, 0, .blob = 2, .size = sizeof(FUZZ_PTX));
    ADD(BlobWrite, NULL, 0, .blob = 2, .data = heap, .size = sizeof(FUZZ_PTX), .release = 1);
    ADD(ModuleLoad, NULL, 0, .module = 3, .blob = 2, .info_log = heap + 8192, .info_size = 256,
        .error_log = heap + 12288, .error_size = 256);
    ADD(ModuleGetFunction, "fill", 4, .module = 3, .function = 4);
}

int main(int argc, char **argv)
{
    struct vgpu_arena_header header;
    struct vgpu_launch_attribute attribute = {.id = 1};
    struct vgpu_jit_option option = {.option = 7, .value = 2};
    uint8_t arguments[sizeof(attribute) + 16];
    const struct {
        uint64_t to;
        uint32_t value, count;
    } fill = {window, 7, 64};

    if (argc != 2 || vgpu_layout_plan(&header, VGPU_ARENA_ADDRESS_MIN, ARENA_BYTES, 2048, 16,
                                      VGPU_NOTIFY_FUTEX) != 0)
        return 2;
    mkdir(argv[1], 0777);
    heap = header.base + header.heap_offset;
    memcpy(arguments, &attribute, sizeof(attribute));
    memcpy(arguments + sizeof(attribute), &fill, sizeof(fill));

    ADD(Init, NULL, 0, .record = {0});
    ADD(DeviceInfo, NULL, 0, .device = 0);
    ADD(CtxCreate, NULL, 0, .context = 9);
    ADD(CtxGetApiVersion, NULL, 0, .context = 9);
    ADD(CtxSetLimit, NULL, 0, .limit = 0, .value = 4096);
    ADD(CtxGetLimit, NULL, 0, .limit = 0);
    ADD(CtxGetStreamPriorityRange, NULL, 0, .record = {0});
    ADD(CtxSynchronize, NULL, 0, .record = {0});
    ADD(CtxDestroy, NULL, 0, .context = 9);
    save(argv[1], "contexts");

    ADD(MemAlloc, NULL, 0, .bytes = 4096);
    ADD(MemAllocPitch, NULL, 0, .width = 100, .height = 10, .element = 4);
    ADD(MemGetInfo, NULL, 0, .record = {0});
    ADD(HostRegister, NULL, 0, .address = heap, .bytes = 65536);
    ADD(CopyInline, "0123456789abcdef", 16, .destination = window, .bytes = 16);
    ADD(Copy, NULL, 0, .destination = window + 4096, .source = window, .bytes = 512);
    ADD(Copy, NULL, 0, .destination = window, .source = heap, .bytes = 512, .release = 3);
    ADD(CopyWait, NULL, 0, .destination = heap + 4096, .source = window, .bytes = 512);
    ADD(CopyOutInline, NULL, 0, .source = window, .bytes = 64);
    ADD(Copy3D, NULL, 0, .destination = window, .source = heap, .destination_pitch = 64,
        .source_pitch = 32, .destination_rows = 4, .source_rows = 2, .width = 16, .height = 2,
        .depth = 3, .release = 4);
    ADD(Copy3DWait, NULL, 0, .destination = heap + 4096, .source = window, .destination_pitch = 64,
        .source_pitch = 32, .width = 16, .height = 2, .depth = 1);
    ADD(Memset, NULL, 0, .destination = window, .pitch = 64, .width = 8, .height = 4, .value = 5,
        .element = 4);
    ADD(HostUnregister, NULL, 0, .address = heap, .bytes = 65536);
    ADD(MemFree, NULL, 0, .address = window);
    save(argv[1], "memory");

    module();
    ADD(FunctionInfo, NULL, 0, .function = 4);
    ADD(MemAlloc, NULL, 0, .bytes = 4096);
    ADD(Launch, &fill, sizeof(fill), .function = 4, .grid = {2, 1, 1}, .block = {64, 1, 1});
    ADD(Launch, arguments, sizeof(arguments), .function = 4, .grid = {2, 1, 1}, .block = {64, 1, 1},
        .attribute_count = 1);
    ADD(CopyOutInline, NULL, 0, .source = window, .bytes = 256);
    ADD(ModuleGetGlobal, "table", 5, .module = 3);
    ADD(ModuleNames, NULL, 0, .module = 3);
    ADD(FuncSetAttribute, NULL, 0, .function = 4, .attribute = 8, .value = 1024);
    ADD(OccupancyMaxActiveBlocks, NULL, 0, .function = 4, .block_size = 64);
    ADD(OccupancyAvailableSharedMemory, NULL, 0, .function = 4, .block_size = 64, .blocks = 1);
    ADD(OccupancyMaxActiveClusters, &attribute, sizeof(attribute), .function = 4, .grid = {1, 1, 1},
        .block = {1, 1, 1}, .attribute_count = 1);
    ADD(ModuleUnload, NULL, 0, .module = 3);
    ADD(BlobFree, NULL, 0, .blob = 2);
    save(argv[1], "module");

    ADD(BlobCreate, NULL, 0, .blob = 2, .size = sizeof(FUZZ_PTX));
    ADD(BlobWrite, NULL, 0, .blob = 2, .data = heap, .size = sizeof(FUZZ_PTX));
    ADD(LibraryLoad, &option, sizeof(option), .library = 3, .blob = 2, .jit_count = 1,
        .info_log = heap, .error_log = heap);
    ADD(LibraryGetKernel, "fill", 4, .library = 3, .kernel = 4);
    ADD(LibraryGetModule, NULL, 0, .library = 3, .module = 5);
    ADD(ModuleGetFunction, "nothing", 7, .module = 5, .function = 6);
    ADD(LibraryGetGlobal, "table", 5, .library = 3);
    ADD(LibraryNames, NULL, 0, .library = 3, .first = 1);
    ADD(KernelSetAttribute, NULL, 0, .kernel = 4, .attribute = 8, .value = 64);
    ADD(Launch, NULL, 0, .function = 6, .grid = {1, 1, 1}, .block = {1, 1, 1});
    ADD(LibraryUnload, NULL, 0, .library = 3);
    save(argv[1], "library");

    ADD(StreamCreate, NULL, 0, .stream = 5, .flags = 1);
    ADD(EventCreate, NULL, 0, .event = 6);
    ADD(EventCreate, NULL, 0, .event = 7);
    ADD(EventRecord, NULL, 0, .event = 6, .stream = 5);
    ADD(StreamWaitEvent, NULL, 0, .stream = 0, .event = 6);
    ADD(EventRecord, NULL, 0, .event = 7, .stream = 5);
    ADD(EventSynchronize, NULL, 0, .event = 7);
    ADD(EventElapsedTime, NULL, 0, .start = 6, .end = 7);
    ADD(StreamQuery, NULL, 0, .stream = 5);
    ADD(StreamSynchronize, NULL, 0, .stream = 5);
    ADD(EventQuery, NULL, 0, .event = 6);
    ADD(StreamDestroy, NULL, 0, .stream = 5);
    ADD(EventDestroy, NULL, 0, .event = 6);
    save(argv[1], "streams");

    /* An image of the input's own: opcode 0 writes it behind the good one. */
    const uint8_t write[5] = {0, 0, 0, 0x20, (sizeof(FUZZ_PTX) + 15) / 16};
    memcpy(input, write, sizeof(write));
    memset(input + 5, ' ', 16u * write[4]);
    memcpy(input + 5, FUZZ_PTX, sizeof(FUZZ_PTX));
    used = 5 + 16u * write[4];
    ADD(BlobCreate, NULL, 0, .blob = 2, .size = 16u * write[4]);
    ADD(BlobWrite, NULL, 0, .blob = 2, .data = heap + 8192, .size = 16u * write[4]);
    ADD(ModuleLoad, NULL, 0, .module = 3, .blob = 2, .info_log = heap, .error_log = heap);
    ADD(ModuleGetFunction, "fill", 4, .module = 3, .function = 4);
    ADD(MemAlloc, NULL, 0, .bytes = 4096);
    ADD(Launch, &fill, sizeof(fill), .function = 4, .grid = {2, 1, 1}, .block = {64, 1, 1});
    ADD(CtxSynchronize, NULL, 0, .record = {0});
    save(argv[1], "image");
    return 0;
}
