/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reply.h - reply slots, both sides
 *
 * Guest: a thread keeps the slot it used last, so a synchronous call takes and gives it with one
 * compare-and-swap each on memory no other thread touches. A thread that needs a second slot, or
 * finds none free, takes one that another thread keeps but does not use; when all are in use it
 * blocks. A thread that ends gives its slot back.
 *
 * Host: answers are bounded by the slot, never by what the guest says, and the guest is only woken
 * when it announced that it sleeps.
 */
#ifndef VGPU_TRANSPORT_REPLY_H
#define VGPU_TRANSPORT_REPLY_H

#include <stdint.h>

#include "protocol/transport/channel.h"
#include "protocol/transport/host.h"
#include "protocol/transport/spin.h"

struct vgpu_replies;

/* NULL with errno on lack of memory. channel must outlive it. */
struct vgpu_replies *vgpu_replies_create(struct vgpu_channel *channel);
/* No call may be in progress; threads may still hold slots they do not use. */
void vgpu_replies_destroy(struct vgpu_replies *replies);

/*
 * Takes a slot and makes it ready: put the result into vgpu_record.reply. Blocks while all are in
 * use. Returns the slot, or -EPIPE (channel dead), -EPERM (child of fork()).
 */
int vgpu_reply_begin(struct vgpu_replies *replies);

/*
 * Waits for the answer to the record that named slot. Returns 0: then *reply points to it, its size
 * is at most VGPU_REPLY_PAYLOAD (the check is done here) and stays valid until vgpu_reply_end().
 * -EPIPE: the channel died, no answer will come; -EPERM as above.
 */
int vgpu_reply_wait(struct vgpu_replies *replies, int slot, const struct vgpu_reply **reply);

/* Gives the slot back. After a failed wait as well. */
void vgpu_reply_end(struct vgpu_replies *replies, int slot);

/*
 * Host side: answers slot with result (CUresult) and size bytes of payload. payload may be NULL
 * when size is 0 or when the bytes are already in vgpu_reply_payload(). Returns 0, or -1 when slot
 * or size is out of range (nothing was written). VGPU_REPLY_NONE is out of range.
 */
int vgpu_reply_post(struct vgpu_host *host, uint32_t slot, uint32_t result, const void *payload,
                    uint32_t size);

/* Where the payload of slot is (VGPU_REPLY_PAYLOAD bytes of shared memory, write only), or NULL. */
void *vgpu_reply_payload(struct vgpu_host *host, uint32_t slot);

#endif
