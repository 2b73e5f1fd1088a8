/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/libcuda/image.h"

#include <ctype.h>
#include <elf.h>
#include <stdbool.h>
#include <string.h>

#define WRAPPER_MAGIC 0x466243b1u
#define CONTAINER_MAGIC 0xba55ed50u
#define CONTAINER_HEADER 16u
#define PRELINKED_MAX 4096u
#define SECTIONS_MAX (1u << 20)

struct wrapper {
    uint32_t magic, version;
    const void *data;
    const void *second; /* version 1: a file name or NULL; version 2: prelinked containers, NULL at
                           the end */
};

struct container {
    uint32_t magic;
    uint16_t version, header_bytes;
    uint64_t body_bytes;
};

static bool within(size_t offset, size_t bytes, size_t limit)
{
    return offset <= limit && bytes <= limit - offset;
}

static CUresult container(const uint8_t *at, size_t limit, struct vgpu_image *out)
{
    struct container c;
    if (!within(0, sizeof(c), limit))
        return CUDA_ERROR_INVALID_IMAGE;
    memcpy(&c, at, sizeof(c));
    if (c.magic != CONTAINER_MAGIC || c.header_bytes < CONTAINER_HEADER ||
        c.body_bytes > VGPU_IMAGE_BYTES_MAX || !within(c.header_bytes, (size_t)c.body_bytes, limit))
        return CUDA_ERROR_INVALID_IMAGE;
    out->kind = VGPU_IMAGE_FAT_BINARY;
    out->data = at;
    out->bytes = c.header_bytes + (size_t)c.body_bytes;
    return CUDA_SUCCESS;
}

static CUresult wrapped(const uint8_t *at, size_t limit, struct vgpu_image *out)
{
    struct wrapper w;
    if (limit != SIZE_MAX)
        return CUDA_ERROR_INVALID_IMAGE;
    memcpy(&w, at, sizeof(w));
    if (w.version == 0 || w.version > 2)
        return CUDA_ERROR_INVALID_IMAGE;
    const void *data = w.data;
    if (w.version == 2 && w.second) {
        const void *const *list = w.second;
        while (out->prelinked < PRELINKED_MAX && list[out->prelinked])
            out->prelinked++;
        /* Nothing linked in advance: the only prelinked container is the code. */
        if (!data && out->prelinked)
            data = list[0];
    }
    if (!data)
        return CUDA_ERROR_INVALID_IMAGE;
    return container(data, SIZE_MAX, out);
}

static CUresult elf(const uint8_t *at, size_t limit, struct vgpu_image *out)
{
    Elf64_Ehdr header;
    if (!within(0, sizeof(header), limit))
        return CUDA_ERROR_INVALID_IMAGE;
    memcpy(&header, at, sizeof(header));
    if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB)
        return CUDA_ERROR_INVALID_IMAGE;

    size_t end = sizeof(header);
    size_t segments = (size_t)header.e_phnum * header.e_phentsize;
    if (header.e_phnum && header.e_phentsize < sizeof(Elf64_Phdr))
        return CUDA_ERROR_INVALID_IMAGE;
    if (header.e_phnum &&
        (header.e_phoff > VGPU_IMAGE_BYTES_MAX || !within((size_t)header.e_phoff, segments, limit)))
        return CUDA_ERROR_INVALID_IMAGE;
    if (header.e_phnum && header.e_phoff + segments > end)
        end = (size_t)header.e_phoff + segments;

    uint64_t count = header.e_shnum;
    if (header.e_shoff) {
        if (header.e_shentsize < sizeof(Elf64_Shdr) || header.e_shoff > VGPU_IMAGE_BYTES_MAX ||
            !within((size_t)header.e_shoff, sizeof(Elf64_Shdr), limit))
            return CUDA_ERROR_INVALID_IMAGE;
        Elf64_Shdr section;
        if (!count) { /* more than the field holds: the first section has the number */
            memcpy(&section, at + header.e_shoff, sizeof(section));
            count = section.sh_size;
        }
        if (count > SECTIONS_MAX ||
            !within((size_t)header.e_shoff, (size_t)count * header.e_shentsize, limit))
            return CUDA_ERROR_INVALID_IMAGE;
        if (header.e_shoff + count * header.e_shentsize > end)
            end = (size_t)(header.e_shoff + count * header.e_shentsize);
        for (uint64_t i = 0; i < count; i++) {
            memcpy(&section, at + header.e_shoff + i * header.e_shentsize, sizeof(section));
            if (section.sh_type == SHT_NULL || section.sh_type == SHT_NOBITS)
                continue;
            if (section.sh_offset > VGPU_IMAGE_BYTES_MAX ||
                section.sh_size > VGPU_IMAGE_BYTES_MAX ||
                !within((size_t)section.sh_offset, (size_t)section.sh_size, limit))
                return CUDA_ERROR_INVALID_IMAGE;
            if (section.sh_offset + section.sh_size > end)
                end = (size_t)(section.sh_offset + section.sh_size);
        }
    }
    for (unsigned i = 0; i < header.e_phnum; i++) {
        Elf64_Phdr segment;
        memcpy(&segment, at + header.e_phoff + (size_t)i * header.e_phentsize, sizeof(segment));
        if (segment.p_offset > VGPU_IMAGE_BYTES_MAX || segment.p_filesz > VGPU_IMAGE_BYTES_MAX ||
            !within((size_t)segment.p_offset, (size_t)segment.p_filesz, limit))
            return CUDA_ERROR_INVALID_IMAGE;
        if (segment.p_offset + segment.p_filesz > end)
            end = (size_t)(segment.p_offset + segment.p_filesz);
    }
    out->kind = VGPU_IMAGE_ELF;
    out->data = at;
    out->bytes = end;
    return CUDA_SUCCESS;
}

static CUresult text(const char *at, size_t limit, struct vgpu_image *out)
{
    /* A directive, a comment or white space: anything else is no PTX. */
    if (!limit || (at[0] != '.' && at[0] != '/' && at[0] != '\n' && !isspace((unsigned char)at[0])))
        return CUDA_ERROR_INVALID_IMAGE;
    size_t most = limit < VGPU_IMAGE_BYTES_MAX ? limit : VGPU_IMAGE_BYTES_MAX;
    size_t length = strnlen(at, most);
    if (length == VGPU_IMAGE_BYTES_MAX)
        return CUDA_ERROR_INVALID_IMAGE;
    out->kind = VGPU_IMAGE_PTX;
    out->data = at;
    out->bytes = length < most ? length + 1 : length;
    return CUDA_SUCCESS;
}

CUresult vgpu_image_measure(const void *image, size_t limit, struct vgpu_image *out)
{
    *out = (struct vgpu_image){0};
    if (!image || !limit)
        return CUDA_ERROR_INVALID_IMAGE;
    uint32_t magic = 0;
    /* Byte by byte: a short text must not be read beyond its end. */
    uint8_t first[4] = {0};
    for (size_t i = 0; i < sizeof(first) && i < limit; i++) {
        first[i] = ((const uint8_t *)image)[i];
        if (!first[i])
            break;
    }
    memcpy(&magic, first, sizeof(magic));
    if (magic == WRAPPER_MAGIC)
        return wrapped(image, limit, out);
    if (magic == CONTAINER_MAGIC)
        return container(image, limit, out);
    if (!memcmp(first, ELFMAG, SELFMAG))
        return elf(image, limit, out);
    return text(image, limit, out);
}
