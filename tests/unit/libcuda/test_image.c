/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device code images are sized before they are sent: too short and the GPU gets half a module, too
 * long and the program crashes. Every image here ends at an inaccessible page.
 */
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "guest/libcuda/image.h"

#define AREA (16u << 10)

static uint8_t *area;

static int map_area(void **state)
{
    area = mmap(NULL, AREA + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return area == MAP_FAILED || mprotect(area + AREA, 4096, PROT_NONE);
}

/* A copy whose last byte is the last accessible one. */
static const uint8_t *at_the_end(const void *data, size_t bytes)
{
    return memcpy(area + AREA - bytes, data, bytes);
}

static void ptx_ends_at_its_zero(void **state)
{
    static const char ptx[] = ".version 7.0\n.target sm_70\n";
    struct vgpu_image image;
    const void *at = at_the_end(ptx, sizeof(ptx));
    assert_int_equal(vgpu_image_measure(at, SIZE_MAX, &image), CUDA_SUCCESS);
    assert_int_equal(image.kind, VGPU_IMAGE_PTX);
    assert_ptr_equal(image.data, at);
    assert_int_equal(image.bytes, sizeof(ptx));
}

static void ptx_of_a_file_ends_with_the_file(void **state)
{
    struct vgpu_image image;
    assert_int_equal(vgpu_image_measure(at_the_end("//x", 3), 3, &image), CUDA_SUCCESS);
    assert_int_equal(image.bytes, 3);
    assert_int_equal(vgpu_image_measure(at_the_end("\n", 2), SIZE_MAX, &image), CUDA_SUCCESS);
    assert_int_equal(image.bytes, 2);
}

static void what_is_no_image_is_refused(void **state)
{
    struct vgpu_image image;
    assert_int_equal(vgpu_image_measure(NULL, SIZE_MAX, &image), CUDA_ERROR_INVALID_IMAGE);
    assert_int_equal(vgpu_image_measure(area, 0, &image), CUDA_ERROR_INVALID_IMAGE);
    assert_int_equal(vgpu_image_measure(at_the_end("", 1), SIZE_MAX, &image),
                     CUDA_ERROR_INVALID_IMAGE);
    assert_int_equal(vgpu_image_measure(at_the_end("\x01\x02", 3), SIZE_MAX, &image),
                     CUDA_ERROR_INVALID_IMAGE);
    assert_int_equal(vgpu_image_measure(at_the_end("MZ\x90", 4), 4, &image),
                     CUDA_ERROR_INVALID_IMAGE);
}

struct small_elf {
    Elf64_Ehdr header;
    Elf64_Phdr segment;
    char code[40];
    Elf64_Shdr sections[3];
};

static struct small_elf make_elf(void)
{
    struct small_elf e = {0};
    memcpy(e.header.e_ident, ELFMAG, SELFMAG);
    e.header.e_ident[EI_CLASS] = ELFCLASS64;
    e.header.e_ident[EI_DATA] = ELFDATA2LSB;
    e.header.e_phoff = offsetof(struct small_elf, segment);
    e.header.e_phnum = 1;
    e.header.e_phentsize = sizeof(Elf64_Phdr);
    e.header.e_shoff = offsetof(struct small_elf, sections);
    e.header.e_shnum = 3;
    e.header.e_shentsize = sizeof(Elf64_Shdr);
    e.segment.p_offset = offsetof(struct small_elf, code);
    e.segment.p_filesz = sizeof(e.code);
    e.sections[1].sh_type = SHT_PROGBITS;
    e.sections[1].sh_offset = offsetof(struct small_elf, code);
    e.sections[1].sh_size = sizeof(e.code);
    e.sections[2].sh_type = SHT_NOBITS; /* takes no place in the file */
    e.sections[2].sh_offset = offsetof(struct small_elf, code);
    e.sections[2].sh_size = 1u << 30;
    return e;
}

static void elf_ends_with_its_last_part(void **state)
{
    struct small_elf e = make_elf();
    struct vgpu_image image;
    assert_int_equal(vgpu_image_measure(at_the_end(&e, sizeof(e)), SIZE_MAX, &image), CUDA_SUCCESS);
    assert_int_equal(image.kind, VGPU_IMAGE_ELF);
    assert_int_equal(image.bytes, sizeof(e));

    struct {
        struct small_elf e;
        char data[100];
    } longer = {.e = make_elf()};
    longer.e.sections[1].sh_offset = offsetof(__typeof__(longer), data);
    longer.e.sections[1].sh_size = sizeof(longer.data);
    assert_int_equal(vgpu_image_measure(at_the_end(&longer, sizeof(longer)), SIZE_MAX, &image),
                     CUDA_SUCCESS);
    assert_int_equal(image.bytes, offsetof(__typeof__(longer), data) + sizeof(longer.data));
}

static void truncated_elf_is_refused(void **state)
{
    struct small_elf e = make_elf();
    struct vgpu_image image;
    for (size_t bytes = 4; bytes < sizeof(e); bytes++)
        assert_int_equal(vgpu_image_measure(at_the_end(&e, bytes), bytes, &image),
                         CUDA_ERROR_INVALID_IMAGE);
}

static void malformed_elf_is_refused(void **state)
{
    struct vgpu_image image;
    struct small_elf bad[8];
    for (int i = 0; i < 8; i++)
        bad[i] = make_elf();
    bad[0].header.e_shoff = UINT64_MAX - 8;
    bad[1].header.e_phoff = UINT64_MAX - 8;
    bad[2].header.e_shentsize = 8;
    bad[3].header.e_phentsize = 0;
    bad[4].sections[1].sh_size = UINT64_MAX;
    bad[5].sections[1].sh_offset = UINT64_MAX - 4;
    bad[6].segment.p_filesz = 1ull << 40;
    bad[7].header.e_shnum = 0; /* the count is in the first section */
    bad[7].sections[0].sh_size = UINT64_MAX;
    for (int i = 0; i < 8; i++)
        assert_int_equal(
            vgpu_image_measure(at_the_end(&bad[i], sizeof(bad[i])), sizeof(bad[i]), &image),
            CUDA_ERROR_INVALID_IMAGE);
}

struct small_container {
    uint32_t magic;
    uint16_t version, header_bytes;
    uint64_t body_bytes;
    uint8_t body[50];
} __attribute__((packed));

static const struct small_container good = {0xba55ed50u, 1, 16, 50, {1, 2, 3}};

static void container_says_its_size(void **state)
{
    struct vgpu_image image;
    const void *at = at_the_end(&good, sizeof(good));
    assert_int_equal(vgpu_image_measure(at, SIZE_MAX, &image), CUDA_SUCCESS);
    assert_int_equal(image.kind, VGPU_IMAGE_FAT_BINARY);
    assert_int_equal(image.bytes, sizeof(good));
    for (size_t bytes = 1; bytes < sizeof(good); bytes++)
        assert_int_equal(vgpu_image_measure(at_the_end(&good, bytes), bytes, &image),
                         CUDA_ERROR_INVALID_IMAGE);
    struct small_container bad = good;
    bad.body_bytes = UINT64_MAX;
    assert_int_equal(vgpu_image_measure(at_the_end(&bad, sizeof(bad)), SIZE_MAX, &image),
                     CUDA_ERROR_INVALID_IMAGE);
    bad = good;
    bad.header_bytes = 0;
    assert_int_equal(vgpu_image_measure(at_the_end(&bad, sizeof(bad)), SIZE_MAX, &image),
                     CUDA_ERROR_INVALID_IMAGE);
}

struct wrapper {
    uint32_t magic, version;
    const void *data, *second;
};

static void wrapper_leads_to_its_container(void **state)
{
    struct vgpu_image image;
    struct wrapper w = {0x466243b1u, 1, &good, "a file name"};
    assert_int_equal(vgpu_image_measure(at_the_end(&w, sizeof(w)), SIZE_MAX, &image), CUDA_SUCCESS);
    assert_ptr_equal(image.data, &good);
    assert_int_equal(image.bytes, sizeof(good));
    assert_int_equal(image.prelinked, 0);

    const void *list[] = {&good, &good, NULL};
    w = (struct wrapper){0x466243b1u, 2, &good, list};
    assert_int_equal(vgpu_image_measure(at_the_end(&w, sizeof(w)), SIZE_MAX, &image), CUDA_SUCCESS);
    assert_int_equal(image.prelinked, 2);

    const void *one[] = {&good, NULL};
    w = (struct wrapper){0x466243b1u, 2, NULL, one};
    assert_int_equal(vgpu_image_measure(at_the_end(&w, sizeof(w)), SIZE_MAX, &image), CUDA_SUCCESS);
    assert_ptr_equal(image.data, &good);
}

static void pointers_of_a_file_are_not_followed(void **state)
{
    struct vgpu_image image;
    struct wrapper w = {0x466243b1u, 1, (const void *)0x10, NULL};
    assert_int_equal(vgpu_image_measure(at_the_end(&w, sizeof(w)), sizeof(w), &image),
                     CUDA_ERROR_INVALID_IMAGE);
    w = (struct wrapper){0x466243b1u, 9, &good, NULL};
    assert_int_equal(vgpu_image_measure(at_the_end(&w, sizeof(w)), SIZE_MAX, &image),
                     CUDA_ERROR_INVALID_IMAGE);
    w = (struct wrapper){0x466243b1u, 1, NULL, NULL};
    assert_int_equal(vgpu_image_measure(at_the_end(&w, sizeof(w)), SIZE_MAX, &image),
                     CUDA_ERROR_INVALID_IMAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ptx_ends_at_its_zero),
        cmocka_unit_test(ptx_of_a_file_ends_with_the_file),
        cmocka_unit_test(what_is_no_image_is_refused),
        cmocka_unit_test(elf_ends_with_its_last_part),
        cmocka_unit_test(truncated_elf_is_refused),
        cmocka_unit_test(malformed_elf_is_refused),
        cmocka_unit_test(container_says_its_size),
        cmocka_unit_test(wrapper_leads_to_its_container),
        cmocka_unit_test(pointers_of_a_file_are_not_followed),
    };
    return cmocka_run_group_tests(tests, map_area, NULL);
}
