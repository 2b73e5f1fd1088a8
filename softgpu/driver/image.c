/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image.c - finds the PTX inside a module image
 *
 * An image is PTX text, or a fat binary: optionally a wrapper {magic, version, pointer}, then a
 * container {magic, version, header size, bytes that follow} with entries {kind, version, header
 * size, payload size, ...}, each for one architecture, stored or compressed. The layout is what
 * open-source readers of these files agree on. Every length is checked against the container, and
 * the container against what is mapped; device machine code (ELF) is passed over.
 */
#include "driver.h"

#include <lz4.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define WRAPPER_MAGIC 0x466243b1u
#define CONTAINER_MAGIC 0xba55ed50u
#define ELF_MAGIC 0x464c457fu
#define KIND_PTX 1
#define KIND_ELF 2
#define FLAG_LZ4 0x2000u
#define FLAG_ZSTD 0x8000u
#define TEXTS_MAX 256u
#define TEXT_BYTES_MAX (512u << 20) /* of one PTX text, unpacked */

struct wrapper {
    uint32_t magic, version;
    const void *data;
    const void *prelinked;
};

struct container {
    uint32_t magic;
    uint16_t version, header_bytes;
    uint64_t bytes; /* after the header */
};

struct entry {
    uint16_t kind, version;
    uint32_t header_bytes;
    uint64_t payload_bytes; /* padded */
    uint32_t packed_bytes;  /* the payload without its padding, when compressed */
    uint32_t unused;
    uint16_t minor, major;
    uint32_t arch;
    uint32_t name_offset, name_bytes;
    uint64_t flags;
    uint64_t reserved;
    uint64_t unpacked_bytes; /* only in headers of 64 bytes and more */
};
_Static_assert(sizeof(struct container) == 16 && sizeof(struct entry) == 64, "file layout");
#define ENTRY_HEADER_MIN offsetof(struct entry, unpacked_bytes)

static CUresult add_text(struct image *image, const char *text, size_t len, unsigned arch,
                         char *owned)
{
    struct image_text *grown;
    size_t at = image->count;

    grown = realloc(image->texts, (image->count + 1) * sizeof(*grown));
    if (!grown) {
        free(owned);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    image->texts = grown;
    /* Highest architecture first; among equals the first found. */
    while (at > 0 && grown[at - 1].arch < arch) {
        grown[at] = grown[at - 1];
        at--;
    }
    grown[at] = (struct image_text){text, strnlen(text, len), arch, owned};
    image->count++;
    return CUDA_SUCCESS;
}

static CUresult add_entry(struct image *image, const struct entry *e, const char *payload)
{
    size_t packed = e->packed_bytes, unpacked = e->unpacked_bytes, got;
    char *text;

    if (!(e->flags & (FLAG_LZ4 | FLAG_ZSTD)))
        return add_text(image, payload, e->payload_bytes, e->arch, NULL);
    if (!packed || packed > e->payload_bytes || !unpacked || unpacked > TEXT_BYTES_MAX)
        return CUDA_ERROR_INVALID_IMAGE;
    text = malloc(unpacked);
    if (!text)
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (e->flags & FLAG_ZSTD) {
        got = ZSTD_decompress(text, unpacked, payload, packed);
        if (ZSTD_isError(got))
            got = 0;
    } else {
        int n = LZ4_decompress_safe(payload, text, (int)packed, (int)unpacked);

        got = n > 0 ? (size_t)n : 0;
    }
    if (!got) {
        free(text);
        return CUDA_ERROR_INVALID_IMAGE;
    }
    return add_text(image, text, got, e->arch, text);
}

static CUresult open_container(const char *data, struct image *image)
{
    const unsigned cc = SOFT_CC_MAJOR * 10 + SOFT_CC_MINOR;
    struct container c;
    uint64_t left;
    bool code = false;

    if (!memory_mapped(data, sizeof(c)))
        return CUDA_ERROR_INVALID_IMAGE;
    memcpy(&c, data, sizeof(c));
    if (c.header_bytes < sizeof(c) || c.bytes > 1ull << 40 ||
        !memory_mapped(data, c.header_bytes + c.bytes))
        return CUDA_ERROR_INVALID_IMAGE;
    data += c.header_bytes;
    left = c.bytes;
    while (left) {
        struct entry e = {0};
        CUresult r;

        if (left < ENTRY_HEADER_MIN)
            return CUDA_ERROR_INVALID_IMAGE;
        memcpy(&e, data, left < sizeof(e) ? ENTRY_HEADER_MIN : sizeof(e));
        if (e.header_bytes < ENTRY_HEADER_MIN || e.header_bytes > left ||
            e.payload_bytes > left - e.header_bytes)
            return CUDA_ERROR_INVALID_IMAGE;
        if (e.header_bytes < sizeof(e))
            e.unpacked_bytes = 0;
        code |= e.kind == KIND_PTX || e.kind == KIND_ELF;
        if (e.kind == KIND_PTX && e.arch <= cc && image->count < TEXTS_MAX) {
            r = add_entry(image, &e, data + e.header_bytes);
            if (r)
                return r;
        }
        data += e.header_bytes + e.payload_bytes;
        left -= e.header_bytes + e.payload_bytes;
    }
    if (image->count)
        return CUDA_SUCCESS;
    return code ? CUDA_ERROR_NO_BINARY_FOR_GPU : CUDA_ERROR_INVALID_IMAGE;
}

CUresult image_open(const void *data, struct image *image)
{
    struct wrapper w;
    uint32_t magic = 0;
    CUresult r;

    *image = (struct image){NULL, 0};
    if (!data || !memory_mapped(data, 1))
        return CUDA_ERROR_INVALID_VALUE;
    if (!*(const char *)data)
        return CUDA_ERROR_INVALID_IMAGE;
    /* No magic number holds a NUL, so text shorter than one is not read past its end. */
    memcpy(&magic, data, strnlen(data, sizeof(magic)));
    if (magic == WRAPPER_MAGIC) {
        if (!memory_mapped(data, sizeof(w)))
            return CUDA_ERROR_INVALID_IMAGE;
        memcpy(&w, data, sizeof(w));
        if ((w.version != 1 && w.version != 2) || !memory_mapped(w.data, sizeof(magic)))
            return CUDA_ERROR_INVALID_IMAGE;
        data = w.data;
        memcpy(&magic, data, sizeof(magic));
        if (magic != CONTAINER_MAGIC)
            return CUDA_ERROR_INVALID_IMAGE;
    }
    if (magic == ELF_MAGIC)
        return CUDA_ERROR_NO_BINARY_FOR_GPU;
    r = magic == CONTAINER_MAGIC ? open_container(data, image)
                                 : add_text(image, data, strlen(data), 0, NULL);
    if (r)
        image_close(image);
    return r;
}

void image_close(struct image *image)
{
    for (size_t i = 0; i < image->count; i++)
        free(image->texts[i].owned);
    free(image->texts);
    *image = (struct image){NULL, 0};
}
