/* SPDX-License-Identifier: Apache-2.0 */
#include "mediator/common/link.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/vgpu_regs.h"

void vgpu_link_init(struct vgpu_link *link, int fd, enum vgpu_link_side side)
{
    memset(link, 0, sizeof(*link));
    link->fd = fd;
    link->side = side;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static void close_all(int *fds, unsigned *count)
{
    for (unsigned i = 0; i < *count; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    *count = 0;
}

void vgpu_link_close(struct vgpu_link *link)
{
    close_all(link->fds, &link->fd_count);
    if (link->fd >= 0)
        close(link->fd);
    link->fd = -1;
    link->in_bytes = 0;
    link->out_bytes = 0;
}

void vgpu_link_message_close(struct vgpu_link_message *message)
{
    close_all(message->fds, &message->fd_count);
}

static int closed(struct vgpu_link *link, const char *reason)
{
    link->reason = reason;
    return VGPU_LINK_CLOSED;
}

static int violation(struct vgpu_link *link, const char *reason)
{
    link->reason = reason;
    close_all(link->fds, &link->fd_count);
    return VGPU_LINK_VIOLATION;
}

/* ---- one check per message: NULL, or what is wrong with it ---- */

static const char *is_valid_hello(const struct vgpu_link *link, const struct vgpu_msg_hello *m)
{
    if (link->greeted)
        return "HELLO came twice";
    if (m->msg.size < offsetof(struct vgpu_msg_hello, backend))
        return "HELLO has the wrong size";
    if (m->magic != VGPU_LINK_MAGIC)
        return "HELLO has no magic";
    /* Another version may have other fields; WELCOME tells the client, and nothing more is read. */
    if (m->version != VGPU_LINK_VERSION)
        return NULL;
    if (m->msg.size != sizeof(*m))
        return "HELLO has the wrong size";
    if (m->backend != VGPU_BACKEND_MEMFD && m->backend != VGPU_BACKEND_GRANT &&
        m->backend != VGPU_BACKEND_LOCAL)
        return "HELLO names an unknown backend";
    return NULL;
}

static const char *is_valid_memory(const struct vgpu_link *link, const struct vgpu_msg_memory *m)
{
    const size_t fixed = offsetof(struct vgpu_msg_memory, regions);

    if (!link->greeted)
        return "MEMORY came before HELLO";
    if (link->backend == VGPU_BACKEND_GRANT)
        return "MEMORY does not go with the grant backend";
    if (m->msg.size < fixed)
        return "MEMORY is too short";
    if (m->count < 1 || m->count > VGPU_LINK_REGIONS)
        return "MEMORY has too few or too many regions";
    if (m->msg.size != fixed + m->count * sizeof(m->regions[0]))
        return "MEMORY's size does not go with its count";
    if (m->reserved)
        return "MEMORY has reserved bits set";
    if (link->backend == VGPU_BACKEND_LOCAL && (m->count != 1 || m->regions[0].guest_address))
        return "MEMORY of a local client is one region at 0";
    for (uint32_t i = 0; i < m->count; i++) {
        const struct vgpu_region *r = &m->regions[i];
        uint64_t end;
        if (!r->size || (r->size | r->guest_address | r->fd_offset) % 4096)
            return "a region is empty or not page aligned";
        if (__builtin_add_overflow(r->guest_address, r->size, &end) ||
            __builtin_add_overflow(r->fd_offset, r->size, &end) || end > INT64_MAX)
            return "a region wraps around";
    }
    return NULL;
}

static const char *is_valid_channel_open(const struct vgpu_link *link,
                                         const struct vgpu_msg_channel_open *m)
{
    if (!link->greeted)
        return "CHANNEL_OPEN came before HELLO";
    if (!link->has_memory && link->backend != VGPU_BACKEND_GRANT)
        return "CHANNEL_OPEN came before MEMORY";
    if (m->msg.size != sizeof(*m))
        return "CHANNEL_OPEN has the wrong size";
    if (m->channel >= VGPU_CHANNELS)
        return "CHANNEL_OPEN names a channel out of range";
    if (m->pages < 1 || m->pages > VGPU_PAGES_MAX)
        return "CHANNEL_OPEN has too few or too many pages";
    if (link->backend == VGPU_BACKEND_LOCAL) {
        if (m->runs || m->table_address)
            return "CHANNEL_OPEN of a local client has a run table";
    } else {
        if (m->runs < 1 || m->runs > VGPU_RUNS_MAX)
            return "CHANNEL_OPEN has too few or too many runs";
        if (m->table_address % 8)
            return "CHANNEL_OPEN's run table is not aligned";
    }
    return NULL;
}

static const char *is_valid_channel_close(const struct vgpu_link *link,
                                          const struct vgpu_msg_channel_close *m)
{
    if (!link->greeted)
        return "CHANNEL_CLOSE came before HELLO";
    if (m->msg.size != sizeof(*m))
        return "CHANNEL_CLOSE has the wrong size";
    if (m->channel >= VGPU_CHANNELS)
        return "CHANNEL_CLOSE names a channel out of range";
    return NULL;
}

static const char *is_valid_welcome(const struct vgpu_link *link, const struct vgpu_msg_welcome *m)
{
    if (link->welcomed)
        return "WELCOME came twice";
    if (m->msg.size < sizeof(*m) || (m->version == VGPU_LINK_VERSION && m->msg.size != sizeof(*m)))
        return "WELCOME has the wrong size";
    return NULL;
}

static const char *is_valid_channel_state(const struct vgpu_link *link,
                                          const struct vgpu_msg_channel_state *m)
{
    if (!link->welcomed)
        return "CHANNEL_STATE came before WELCOME";
    if (m->msg.size != sizeof(*m))
        return "CHANNEL_STATE has the wrong size";
    if (m->channel >= VGPU_CHANNELS)
        return "CHANNEL_STATE names a channel out of range";
    if (m->state != VGPU_CH_OPEN && m->state != VGPU_CH_DEAD && m->state != VGPU_CH_FREE)
        return "CHANNEL_STATE has an unknown state";
    return NULL;
}

/* Which side may receive a message, and how many descriptors come with it (-1: one per region). */
static const struct {
    uint32_t type;
    enum vgpu_link_side receiver;
    int fds;
} messages[] = {
    {VGPU_MSG_HELLO, VGPU_LINK_DAEMON, 0},        {VGPU_MSG_MEMORY, VGPU_LINK_DAEMON, -1},
    {VGPU_MSG_CHANNEL_OPEN, VGPU_LINK_DAEMON, 2}, {VGPU_MSG_CHANNEL_CLOSE, VGPU_LINK_DAEMON, 0},
    {VGPU_MSG_WELCOME, VGPU_LINK_CLIENT, 0},      {VGPU_MSG_CHANNEL_STATE, VGPU_LINK_CLIENT, 0},
};

static const char *check(const struct vgpu_link *link, const struct vgpu_link_message *m)
{
    const char *why = "message has an unknown type";
    unsigned i;

    if (link->foreign)
        return "a message follows a HELLO of another version";

    for (i = 0; i < sizeof(messages) / sizeof(messages[0]); i++)
        if (messages[i].type == m->msg.type && messages[i].receiver == link->side)
            break;
    switch (i < sizeof(messages) / sizeof(messages[0]) ? m->msg.type : 0) {
    case VGPU_MSG_HELLO:
        why = is_valid_hello(link, &m->hello);
        break;
    case VGPU_MSG_MEMORY:
        why = is_valid_memory(link, &m->memory);
        break;
    case VGPU_MSG_CHANNEL_OPEN:
        why = is_valid_channel_open(link, &m->open);
        break;
    case VGPU_MSG_CHANNEL_CLOSE:
        why = is_valid_channel_close(link, &m->close);
        break;
    case VGPU_MSG_WELCOME:
        why = is_valid_welcome(link, &m->welcome);
        break;
    case VGPU_MSG_CHANNEL_STATE:
        why = is_valid_channel_state(link, &m->state);
        break;
    }
    if (why)
        return why;
    unsigned expected = messages[i].fds < 0 ? m->memory.count : (unsigned)messages[i].fds;
    if (m->fd_count != expected)
        return "message has the wrong number of descriptors";
    return NULL;
}

/* What the conversation knows after a valid message. */
static void remember(struct vgpu_link *link, const void *message)
{
    const struct vgpu_msg *msg = message;

    switch (msg->type) {
    case VGPU_MSG_HELLO:
        link->greeted = true;
        link->foreign = ((const struct vgpu_msg_hello *)message)->version != VGPU_LINK_VERSION;
        link->backend = ((const struct vgpu_msg_hello *)message)->backend;
        break;
    case VGPU_MSG_MEMORY:
        link->has_memory = true;
        break;
    case VGPU_MSG_WELCOME:
        link->welcomed = true;
        break;
    }
}

/* ---- receiving ---- */

/* Reads up to `want` bytes; 1 got some, else enum vgpu_link_result. */
static int read_some(struct vgpu_link *link, uint32_t want)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(VGPU_LINK_FDS_MAX * sizeof(int))];
    } control;
    struct iovec iov = {link->in + link->in_bytes, want};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof(control.bytes)};
    ssize_t n;

    do
        n = recvmsg(link->fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return VGPU_LINK_AGAIN;
    if (n < 0)
        return closed(link, "the socket failed");

    bool misplaced = false;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        unsigned count = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        for (unsigned i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
            if (link->fd_count < VGPU_LINK_FDS_MAX) {
                link->fds[link->fd_count++] = fd;
            } else {
                close(fd);
                misplaced = true;
            }
        }
        if (link->in_bytes)
            misplaced = true;
    }
    /* The kernel closed what did not fit. */
    if (msg.msg_flags & MSG_CTRUNC)
        return violation(link, "too many descriptors");
    if (misplaced)
        return violation(link, "descriptors did not come with a message's first byte");
    if (n == 0)
        return closed(link, link->in_bytes ? "the peer went away within a message"
                                           : "the peer closed the connection");
    link->in_bytes += (uint32_t)n;
    return VGPU_LINK_MESSAGE;
}

int vgpu_link_receive(struct vgpu_link *link, struct vgpu_link_message *message)
{
    if (link->fd < 0)
        return closed(link, "the link is closed");
    while (link->in_bytes < sizeof(struct vgpu_msg)) {
        int result = read_some(link, (uint32_t)sizeof(struct vgpu_msg) - link->in_bytes);
        if (result != VGPU_LINK_MESSAGE)
            return result;
    }

    struct vgpu_msg head;
    memcpy(&head, link->in, sizeof(head));
    if (head.size < sizeof(head) || head.size > VGPU_LINK_MSG_MAX)
        return violation(link, "message size is out of range");
    while (link->in_bytes < head.size) {
        int result = read_some(link, head.size - link->in_bytes);
        if (result != VGPU_LINK_MESSAGE)
            return result;
    }

    /* Zeroed: a message that is too short must not look like the one before it. */
    memset(message, 0, sizeof(*message));
    memcpy(message->bytes, link->in, head.size);
    message->fd_count = link->fd_count;
    memcpy(message->fds, link->fds, link->fd_count * sizeof(int));
    const char *why = check(link, message);
    if (why) {
        message->fd_count = 0;
        return violation(link, why);
    }
    link->in_bytes = 0;
    link->fd_count = 0;
    remember(link, message);
    return VGPU_LINK_MESSAGE;
}

/* ---- sending ---- */

bool vgpu_link_wants_write(const struct vgpu_link *link)
{
    return link->out_bytes > 0;
}

int vgpu_link_flush(struct vgpu_link *link)
{
    while (link->out_bytes) {
        ssize_t n = send(link->fd, link->out, link->out_bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return 0;
        if (n < 0) {
            link->reason = "the peer is gone";
            return -1;
        }
        link->out_bytes -= (uint32_t)n;
        memmove(link->out, link->out + n, link->out_bytes);
    }
    return 0;
}

static int enqueue(struct vgpu_link *link, const uint8_t *bytes, size_t count)
{
    if (count > sizeof(link->out) - link->out_bytes) {
        link->reason = "the peer does not read";
        return -1;
    }
    memcpy(link->out + link->out_bytes, bytes, count);
    link->out_bytes += (uint32_t)count;
    return 0;
}

int vgpu_link_send(struct vgpu_link *link, const void *message, const int *fds, unsigned fd_count)
{
    const struct vgpu_msg *head = message;
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(VGPU_LINK_FDS_MAX * sizeof(int))];
    } control = {.bytes = {0}};
    struct iovec iov = {(void *)(uintptr_t)message, head->size};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n;

    if (link->fd < 0 || fd_count > VGPU_LINK_FDS_MAX || head->size > VGPU_LINK_MSG_MAX) {
        errno = EINVAL;
        link->reason = "the link is closed or the message is not a message";
        return -1;
    }
    if (vgpu_link_flush(link))
        return -1;
    if (link->out_bytes) {
        if (!fd_count)
            return enqueue(link, message, head->size);
        errno = EAGAIN;
        link->reason = "the socket is full";
        return -1;
    }
    if (fd_count) {
        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(c), fds, fd_count * sizeof(int));
    }
    do
        n = sendmsg(link->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        if (!fd_count)
            return enqueue(link, message, head->size);
        link->reason = "the socket is full";
        errno = EAGAIN;
        return -1;
    }
    if (n < 0) {
        link->reason = "the peer is gone";
        return -1;
    }
    if ((size_t)n < head->size)
        return enqueue(link, (const uint8_t *)message + n, head->size - (size_t)n);
    return 0;
}

bool vgpu_fd_is_eventfd(int fd)
{
    static const char eventfd_link[] = "anon_inode:[eventfd]";
    char path[40];
    char target[64];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(path, target, sizeof(target));
    return n == (ssize_t)sizeof(eventfd_link) - 1 && memcmp(target, eventfd_link, (size_t)n) == 0;
}
