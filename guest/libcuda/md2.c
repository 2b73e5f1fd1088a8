/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/libcuda/md2.h"

#include <string.h>

/* RFC 1319, section 3.2: a permutation of 0 to 255 made from the digits of pi. */
static const uint8_t substitution[256] = {
    41,  46,  67,  201, 162, 216, 124, 1,   61,  54,  84,  161, 236, 240, 6,   19,  98,  167, 5,
    243, 192, 199, 115, 140, 152, 147, 43,  217, 188, 76,  130, 202, 30,  155, 87,  60,  253, 212,
    224, 22,  103, 66,  111, 24,  138, 23,  229, 18,  190, 78,  196, 214, 218, 158, 222, 73,  160,
    251, 245, 142, 187, 47,  238, 122, 169, 104, 121, 145, 21,  178, 7,   63,  148, 194, 16,  137,
    11,  34,  95,  33,  128, 127, 93,  154, 90,  144, 50,  39,  53,  62,  204, 231, 191, 247, 151,
    3,   255, 25,  48,  179, 72,  165, 181, 209, 215, 94,  146, 42,  172, 86,  170, 198, 79,  184,
    56,  210, 150, 164, 125, 182, 118, 252, 107, 226, 156, 116, 4,   241, 69,  157, 112, 89,  100,
    113, 135, 32,  134, 91,  207, 101, 230, 45,  168, 2,   27,  96,  37,  173, 174, 176, 185, 246,
    28,  70,  97,  105, 52,  64,  126, 15,  85,  71,  163, 35,  221, 81,  175, 58,  195, 92,  249,
    206, 186, 197, 234, 38,  44,  83,  13,  110, 133, 40,  132, 9,   211, 223, 205, 244, 65,  129,
    77,  82,  106, 220, 55,  200, 108, 193, 171, 250, 36,  225, 123, 8,   12,  189, 177, 74,  120,
    136, 149, 139, 227, 99,  232, 109, 233, 203, 213, 254, 59,  0,   29,  57,  242, 239, 183, 14,
    102, 88,  208, 228, 166, 119, 114, 248, 235, 117, 75,  10,  49,  68,  80,  180, 143, 237, 31,
    26,  219, 153, 141, 51,  159, 17,  131, 20};

void vgpu_md2_init(struct vgpu_md2 *md)
{
    memset(md, 0, sizeof(*md));
}

static void process(struct vgpu_md2 *md, const uint8_t block[16])
{
    uint8_t last = md->checksum[15];
    for (int i = 0; i < 16; i++) {
        md->state[16 + i] = block[i];
        md->state[32 + i] = block[i] ^ md->state[i];
        last = md->checksum[i] ^= substitution[block[i] ^ last];
    }
    uint8_t t = 0;
    for (int round = 0; round < 18; round++) {
        for (int i = 0; i < 48; i++)
            t = md->state[i] ^= substitution[t];
        t = (uint8_t)(t + round);
    }
}

void vgpu_md2_update(struct vgpu_md2 *md, const void *data, size_t bytes)
{
    const uint8_t *from = data;
    while (bytes) {
        size_t now = sizeof(md->block) - md->filled;
        if (now > bytes)
            now = bytes;
        memcpy(md->block + md->filled, from, now);
        md->filled += (unsigned)now;
        from += now;
        bytes -= now;
        if (md->filled == sizeof(md->block)) {
            process(md, md->block);
            md->filled = 0;
        }
    }
}

void vgpu_md2_final(struct vgpu_md2 *md, uint8_t digest[VGPU_MD2_BYTES])
{
    unsigned padding = (unsigned)sizeof(md->block) - md->filled;
    memset(md->block + md->filled, (int)padding, padding);
    process(md, md->block);
    uint8_t checksum[16];
    memcpy(checksum, md->checksum, sizeof(checksum));
    process(md, checksum);
    memcpy(digest, md->state, VGPU_MD2_BYTES);
}

void vgpu_hmac_md2(const uint8_t key[16], const void *data, size_t bytes,
                   uint8_t digest[VGPU_MD2_BYTES])
{
    struct vgpu_md2 md;
    uint8_t pad[16];
    for (int i = 0; i < 16; i++)
        pad[i] = key[i] ^ 0x36;
    vgpu_md2_init(&md);
    vgpu_md2_update(&md, pad, sizeof(pad));
    vgpu_md2_update(&md, data, bytes);
    vgpu_md2_final(&md, digest);
    for (int i = 0; i < 16; i++)
        pad[i] = key[i] ^ 0x5c;
    vgpu_md2_init(&md);
    vgpu_md2_update(&md, pad, sizeof(pad));
    vgpu_md2_update(&md, digest, VGPU_MD2_BYTES);
    vgpu_md2_final(&md, digest);
}
