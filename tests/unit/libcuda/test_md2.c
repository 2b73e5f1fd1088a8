/* SPDX-License-Identifier: Apache-2.0 */
/* Without a right MD2 no program built with CUDA 13's runtime starts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "guest/libcuda/md2.h"

static void digest(const void *data, size_t bytes, size_t step, uint8_t out[16])
{
    struct vgpu_md2 md;
    vgpu_md2_init(&md);
    for (size_t at = 0; at < bytes; at += step)
        vgpu_md2_update(&md, (const uint8_t *)data + at, bytes - at < step ? bytes - at : step);
    vgpu_md2_final(&md, out);
}

static void rfc_1319_vectors(void **state)
{
    static const struct {
        const char *text, *hex;
    } vectors[] = {
        {"", "8350e5a3e24c153df2275c9f80692773"},
        {"a", "32ec01ec4a6dac72c0ab96fb34c0b5d1"},
        {"abc", "da853b0d3f88d99b30283a69e6ded6bb"},
        {"message digest", "ab4f496bfb2a530b219ff33031fe06b0"},
        {"abcdefghijklmnopqrstuvwxyz", "4e8ddff3650292ab5a4108c3aa47940b"},
        {"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
         "da33def2a42df13975352846c30338cd"},
        {"12345678901234567890123456789012345678901234567890123456789012345678901234567890",
         "d5976f79d83d3a0dc9806c3c66f3efd8"},
    };
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        /* In one piece, byte by byte, and across block boundaries. */
        const size_t steps[] = {1000, 1, 7, 16};
        for (size_t s = 0; s < 4; s++) {
            uint8_t out[16];
            char hex[33];
            digest(vectors[i].text, strlen(vectors[i].text), steps[s], out);
            for (int j = 0; j < 16; j++)
                snprintf(hex + 2 * j, 3, "%02x", out[j]);
            assert_string_equal(hex, vectors[i].hex);
        }
    }
}

static void hmac_is_two_nested_digests(void **state)
{
    uint8_t key[16], outer[32], inner[16 + 100], message[100], expected[16], got[16];
    for (int i = 0; i < 16; i++) {
        key[i] = (uint8_t)(17 * i + 3);
        inner[i] = key[i] ^ 0x36;
        outer[i] = key[i] ^ 0x5c;
    }
    for (int i = 0; i < 100; i++)
        inner[16 + i] = message[i] = (uint8_t)(i * i);
    digest(inner, sizeof(inner), sizeof(inner), outer + 16);
    digest(outer, sizeof(outer), sizeof(outer), expected);
    vgpu_hmac_md2(key, message, sizeof(message), got);
    assert_memory_equal(got, expected, 16);
    message[99] ^= 1;
    vgpu_hmac_md2(key, message, sizeof(message), got);
    assert_memory_not_equal(got, expected, 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc_1319_vectors),
        cmocka_unit_test(hmac_is_two_nested_digests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
