/* SPDX-License-Identifier: Apache-2.0 */
/*
 * md2.h - MD2 (RFC 1319) and HMAC over it (RFC 2104)
 *
 * Broken for every security purpose; here because the CUDA runtime's start-up self-test speaks it.
 */
#ifndef VGPU_GUEST_MD2_H
#define VGPU_GUEST_MD2_H

#include <stddef.h>
#include <stdint.h>

#define VGPU_MD2_BYTES 16

struct vgpu_md2 {
    uint8_t state[48];
    uint8_t checksum[16];
    uint8_t block[16];
    unsigned filled; /* bytes of block */
};

void vgpu_md2_init(struct vgpu_md2 *md);
void vgpu_md2_update(struct vgpu_md2 *md, const void *data, size_t bytes);
void vgpu_md2_final(struct vgpu_md2 *md, uint8_t digest[VGPU_MD2_BYTES]);

/* key: 16 bytes, which is MD2's block. */
void vgpu_hmac_md2(const uint8_t key[16], const void *data, size_t bytes,
                   uint8_t digest[VGPU_MD2_BYTES]);

#endif
