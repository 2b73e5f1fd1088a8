/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link.h - messages of vgpu_link.h over a unix stream socket
 *
 * Used by the daemon and, through the transport library, by local clients. A message is handed out
 * only when it is complete and valid by itself: known type for this side and this point in the
 * conversation, exact size, exact number of descriptors, every field in range. What a message means
 * for the receiver's own state (is this channel open?) is the receiver's business.
 *
 * Never reads beyond a message, so that descriptors are attributed to the message they came with.
 * Every descriptor received is close-on-exec and either handed out or closed. Not thread-safe.
 */
#ifndef VGPU_COMMON_LINK_H
#define VGPU_COMMON_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/vgpu_link.h"

enum vgpu_link_side {
    VGPU_LINK_DAEMON, /* receives HELLO, MEMORY, CHANNEL_OPEN, CHANNEL_CLOSE */
    VGPU_LINK_CLIENT, /* receives WELCOME, CHANNEL_STATE */
};

enum vgpu_link_result {
    VGPU_LINK_AGAIN = 0,
    VGPU_LINK_MESSAGE = 1,
    VGPU_LINK_CLOSED = -1,    /* the peer is gone: end of file or an error of the socket */
    VGPU_LINK_VIOLATION = -2, /* vgpu_link.reason says what the peer did; close the link */
};

#define VGPU_LINK_OUT_BYTES 8192

struct vgpu_link {
    int fd;
    enum vgpu_link_side side;
    const char *reason; /* constant string; set with CLOSED and VIOLATION */
    uint32_t backend;   /* daemon side: enum vgpu_backend from HELLO */
    bool greeted, has_memory, welcomed;
    bool foreign; /* HELLO had another version: answer WELCOME with VGPU_REASON_VERSION, close */
    uint32_t in_bytes, out_bytes; /* of the buffers below */
    unsigned fd_count;            /* descriptors of the message being received */
    int fds[VGPU_LINK_FDS_MAX];
    _Alignas(8) uint8_t in[VGPU_LINK_MSG_MAX];
    uint8_t out[VGPU_LINK_OUT_BYTES];
};

struct vgpu_link_message {
    union {
        struct vgpu_msg msg;
        struct vgpu_msg_hello hello;
        struct vgpu_msg_memory memory;
        struct vgpu_msg_channel_open open;
        struct vgpu_msg_channel_close close;
        struct vgpu_msg_welcome welcome;
        struct vgpu_msg_channel_state state;
        _Alignas(8) uint8_t bytes[VGPU_LINK_MSG_MAX];
    };
    unsigned fd_count;
    int fds[VGPU_LINK_FDS_MAX]; /* owned by whoever holds the message; -1: taken */
};

/* Takes ownership of fd, a connected stream socket, and makes it non-blocking. */
void vgpu_link_init(struct vgpu_link *link, int fd, enum vgpu_link_side side);
/* Closes the socket and descriptors not handed out. Safe on a link that is closed already. */
void vgpu_link_close(struct vgpu_link *link);

/* enum vgpu_link_result. Never blocks. After MESSAGE the caller owns message->fds. */
int vgpu_link_receive(struct vgpu_link *link, struct vgpu_link_message *message);
/* Closes the descriptors still in the message. */
void vgpu_link_message_close(struct vgpu_link_message *message);

/*
 * Sends a message (its msg.type and msg.size are set by the caller), or queues it when the socket
 * is full; descriptors stay the caller's. Returns 0, or -1: link->reason is set; the peer is gone,
 * or it has not read VGPU_LINK_OUT_BYTES. Messages with descriptors are never queued: errno EAGAIN,
 * try again when writable.
 */
int vgpu_link_send(struct vgpu_link *link, const void *message, const int *fds, unsigned fd_count);
/* Whether something is queued: poll for POLLOUT, then flush. */
bool vgpu_link_wants_write(const struct vgpu_link *link);
int vgpu_link_flush(struct vgpu_link *link);

/* Whether fd is an eventfd: what a doorbell or interrupt descriptor has to be. */
bool vgpu_fd_is_eventfd(int fd);

#endif
