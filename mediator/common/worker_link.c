/* SPDX-License-Identifier: Apache-2.0 */
#include "mediator/common/worker_link.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static size_t message_size(uint32_t type)
{
    switch (type) {
    case WORKER_MSG_HELLO:
        return sizeof(struct worker_msg_hello);
    case WORKER_MSG_FAILED:
    case WORKER_MSG_ENDED:
        return sizeof(struct worker_msg_end);
    case WORKER_MSG_STARTED:
        return sizeof(struct worker_msg_started);
    case WORKER_MSG_ASSIGN:
        return sizeof(struct worker_msg_assign);
    case WORKER_MSG_VM_QUERY:
        return sizeof(struct worker_msg_vm_query);
    case WORKER_MSG_VM_INFO:
        return sizeof(struct worker_msg_vm_info);
    case WORKER_MSG_WAKE:
    case WORKER_MSG_STOP:
        return sizeof(struct vgpu_msg);
    }
    return 0;
}

const char *worker_msg_name(uint32_t type)
{
    switch (type) {
    case WORKER_MSG_HELLO:
        return "HELLO";
    case WORKER_MSG_FAILED:
        return "FAILED";
    case WORKER_MSG_STARTED:
        return "STARTED";
    case WORKER_MSG_ENDED:
        return "ENDED";
    case WORKER_MSG_WAKE:
        return "WAKE";
    case WORKER_MSG_ASSIGN:
        return "ASSIGN";
    case WORKER_MSG_STOP:
        return "STOP";
    case WORKER_MSG_VM_QUERY:
        return "VM_QUERY";
    case WORKER_MSG_VM_INFO:
        return "VM_INFO";
    }
    return "unknown";
}

int worker_link_send(int fd, uint32_t type, void *message, size_t size, const int *fds,
                     size_t count, int flags)
{
    struct vgpu_msg *head = message;
    struct iovec iov = {message, size};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * WORKER_LINK_FDS_MAX)];
    } control;
    struct msghdr packet = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t sent;

    if (size != message_size(type) || count > WORKER_LINK_FDS_MAX) {
        errno = EINVAL;
        return -1;
    }
    head->type = type;
    head->size = (uint32_t)size;
    if (count) {
        struct cmsghdr *c;

        memset(&control, 0, sizeof(control));
        packet.msg_control = control.bytes;
        packet.msg_controllen = CMSG_SPACE(sizeof(int) * count);
        c = CMSG_FIRSTHDR(&packet);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * count);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * count);
    }
    do
        sent = sendmsg(fd, &packet, flags | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -1 : 0;
}

static void close_all(int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
}

static int is_valid(const union worker_msg *m, size_t got, size_t count)
{
    size_t fds = 0;

    if (got < sizeof(m->msg) || m->msg.size != got || message_size(m->msg.type) != got)
        return 0;
    if (m->msg.type == WORKER_MSG_ASSIGN) {
        if (m->assign.region_count > VGPU_LINK_REGIONS ||
            (m->assign.region_count == 0) != (m->assign.backend == VGPU_BACKEND_GRANT))
            return 0;
        fds = m->assign.region_count + WORKER_ASSIGN_FDS_EXTRA;
    }
    return fds == count;
}

int worker_link_receive(int fd, union worker_msg *message, int *fds, size_t *count, int flags)
{
    struct iovec iov = {message, sizeof(*message)};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * WORKER_LINK_FDS_MAX)];
    } control;
    struct msghdr packet = {.msg_iov = &iov,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = sizeof(control.bytes)};
    size_t room = *count, have = 0;
    int all[WORKER_LINK_FDS_MAX];
    ssize_t got;

    *count = 0;
    do
        got = recvmsg(fd, &packet, flags | MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return -1;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&packet); c; c = CMSG_NXTHDR(&packet, c)) {
        size_t n;

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n && have < WORKER_LINK_FDS_MAX; i++)
            memcpy(&all[have++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
    }
    if (got == 0) {
        close_all(all, have);
        return 0;
    }
    if ((packet.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || have > room ||
        !is_valid(message, (size_t)got, have)) {
        close_all(all, have);
        errno = EPROTO;
        return -1;
    }
    if (have)
        memcpy(fds, all, sizeof(int) * have);
    *count = have;
    switch (message->msg.type) {
    case WORKER_MSG_HELLO:
        message->hello.device_name[sizeof(message->hello.device_name) - 1] = 0;
        break;
    case WORKER_MSG_FAILED:
    case WORKER_MSG_ENDED:
        message->end.text[sizeof(message->end.text) - 1] = 0;
        break;
    case WORKER_MSG_STARTED:
        message->started.process_name[sizeof(message->started.process_name) - 1] = 0;
        break;
    case WORKER_MSG_ASSIGN:
        message->assign.vm_name[sizeof(message->assign.vm_name) - 1] = 0;
        break;
    }
    return 1;
}
