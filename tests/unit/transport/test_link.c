/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between client and daemon: what is served, and every malformed one as raw bytes. */
#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mediator/common/link.h"
#include "protocol/vgpu_regs.h"

static struct vgpu_link link_;
static int peer;
static int spare[VGPU_LINK_FDS_MAX * 2];
static int open_before;

static int open_descriptors(void)
{
    DIR *d = opendir("/proc/self/fd");
    int n = 0;
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void connect_as(enum vgpu_link_side side)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    vgpu_link_init(&link_, pair[0], side);
    peer = pair[1];
}

static void disconnect(void)
{
    vgpu_link_close(&link_);
    if (peer >= 0)
        close(peer);
    peer = -1;
}

static int set_up(void **state)
{
    for (unsigned i = 0; i < VGPU_LINK_FDS_MAX * 2; i++)
        spare[i] = eventfd(0, EFD_CLOEXEC);
    open_before = open_descriptors();
    connect_as(VGPU_LINK_DAEMON);
    return 0;
}

static int tear_down(void **state)
{
    disconnect();
    /* Whatever came in, no descriptor stayed. */
    int left = open_descriptors() - open_before;
    for (unsigned i = 0; i < VGPU_LINK_FDS_MAX * 2; i++)
        close(spare[i]);
    assert_int_equal(left, 0);
    return 0;
}

/* Sends raw bytes with fds descriptors. */
static void raw(const void *bytes, size_t count, unsigned fds)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(spare))];
    } control = {.bytes = {0}};
    struct iovec iov = {(void *)(uintptr_t)bytes, count};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

    if (fds) {
        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(fds * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(fds * sizeof(int));
        memcpy(CMSG_DATA(c), spare, fds * sizeof(int));
    }
    assert_int_equal(sendmsg(peer, &msg, MSG_NOSIGNAL), count);
}

static int receive(struct vgpu_link_message *m)
{
    int result = vgpu_link_receive(&link_, m);
    if (result < 0)
        assert_non_null(link_.reason);
    return result;
}

static int receive_one(void)
{
    struct vgpu_link_message m;
    int result = receive(&m);
    if (result == VGPU_LINK_MESSAGE)
        vgpu_link_message_close(&m);
    return result;
}

static struct vgpu_msg_hello hello(uint32_t backend)
{
    return (struct vgpu_msg_hello){.msg = {VGPU_MSG_HELLO, sizeof(struct vgpu_msg_hello)},
                                   .magic = VGPU_LINK_MAGIC,
                                   .version = VGPU_LINK_VERSION,
                                   .backend = backend,
                                   .vm_id = 3,
                                   .pool_id = 'A'};
}

static struct vgpu_msg_memory memory(uint32_t count)
{
    struct vgpu_msg_memory m = {.msg = {VGPU_MSG_MEMORY, 16 + count * 24}, .count = count};
    for (uint32_t i = 0; i < count && i < VGPU_LINK_REGIONS; i++)
        m.regions[i] = (struct vgpu_region){(uint64_t)i << 32, 1u << 20, 0};
    return m;
}

static struct vgpu_msg_channel_open open_channel(void)
{
    return (struct vgpu_msg_channel_open){
        .msg = {VGPU_MSG_CHANNEL_OPEN, sizeof(struct vgpu_msg_channel_open)},
        .channel = 5,
        .serial = 1,
        .table_address = 4096,
        .runs = 1,
        .pages = 1024};
}

static void greet(uint32_t backend)
{
    struct vgpu_msg_hello h = hello(backend);
    raw(&h, sizeof(h), 0);
    assert_int_equal(receive_one(), VGPU_LINK_MESSAGE);
}

/* A daemon that has got HELLO and MEMORY. */
static void start_over(uint32_t backend)
{
    disconnect();
    connect_as(VGPU_LINK_DAEMON);
    greet(backend);
    if (backend != VGPU_BACKEND_GRANT) {
        struct vgpu_msg_memory m = memory(backend == VGPU_BACKEND_LOCAL ? 1 : 2);
        raw(&m, m.msg.size, m.count);
        assert_int_equal(receive_one(), VGPU_LINK_MESSAGE);
    }
}

static void a_conversation_is_served(void **state)
{
    struct vgpu_link_message m;
    struct vgpu_msg_hello h = hello(VGPU_BACKEND_MEMFD);
    struct vgpu_msg_memory mem = memory(8);
    struct vgpu_msg_channel_open o = open_channel();
    struct vgpu_msg_channel_close c = {.msg = {VGPU_MSG_CHANNEL_CLOSE, sizeof(c)}, .channel = 5};

    assert_int_equal(receive(&m), VGPU_LINK_AGAIN);
    raw(&h, sizeof(h), 0);
    raw(&mem, mem.msg.size, 8);
    raw(&o, sizeof(o), 2);
    raw(&c, sizeof(c), 0);
    assert_int_equal(receive(&m), VGPU_LINK_MESSAGE);
    assert_int_equal(m.hello.vm_id, 3);
    assert_int_equal(m.fd_count, 0);
    assert_int_equal(receive(&m), VGPU_LINK_MESSAGE);
    assert_int_equal(m.memory.count, 8);
    assert_int_equal(m.fd_count, 8);
    for (int i = 0; i < 8; i++) {
        assert_true(vgpu_fd_is_eventfd(m.fds[i]));
        assert_true(fcntl(m.fds[i], F_GETFD) & FD_CLOEXEC);
    }
    vgpu_link_message_close(&m);
    assert_int_equal(receive(&m), VGPU_LINK_MESSAGE);
    assert_int_equal(m.open.channel, 5);
    assert_int_equal(m.fd_count, 2);
    vgpu_link_message_close(&m);
    assert_int_equal(receive(&m), VGPU_LINK_MESSAGE);
    assert_int_equal(m.msg.type, VGPU_MSG_CHANNEL_CLOSE);
    assert_int_equal(receive(&m), VGPU_LINK_AGAIN);
    close(peer);
    peer = -1;
    assert_int_equal(receive(&m), VGPU_LINK_CLOSED);
}

static void a_message_may_come_byte_by_byte(void **state)
{
    struct vgpu_msg_hello h = hello(VGPU_BACKEND_MEMFD);
    struct vgpu_msg_memory mem = memory(2);
    struct vgpu_link_message m;

    for (size_t i = 0; i < sizeof(h); i++) {
        assert_int_equal(receive(&m), VGPU_LINK_AGAIN);
        raw((uint8_t *)&h + i, 1, 0);
    }
    assert_int_equal(receive(&m), VGPU_LINK_MESSAGE);
    raw(&mem, 1, 2);
    for (size_t i = 1; i < mem.msg.size; i++) {
        assert_int_equal(receive(&m), VGPU_LINK_AGAIN);
        raw((uint8_t *)&mem + i, 1, 0);
    }
    assert_int_equal(receive(&m), VGPU_LINK_MESSAGE);
    assert_int_equal(m.fd_count, 2);
    vgpu_link_message_close(&m);
}

/* Cut anywhere and followed by the end of the connection: closed, never a message. */
static void every_truncation_is_noticed(void **state)
{
    struct vgpu_msg_memory mem = memory(3);

    for (size_t n = 0; n < mem.msg.size; n++) {
        disconnect();
        connect_as(VGPU_LINK_DAEMON);
        greet(VGPU_BACKEND_MEMFD);
        if (n)
            raw(&mem, n, 3);
        close(peer);
        peer = -1;
        assert_int_equal(receive_one(), VGPU_LINK_CLOSED);
    }
}

static void every_wrong_size_is_a_violation(void **state)
{
    struct vgpu_link_message m;

    for (uint32_t size = 0; size <= VGPU_LINK_MSG_MAX + 8; size++) {
        uint8_t bytes[VGPU_LINK_MSG_MAX + 8] = {0};
        struct vgpu_msg_channel_open o = open_channel();
        if (size == sizeof(o))
            continue;
        start_over(VGPU_BACKEND_MEMFD);
        o.msg.size = size;
        memcpy(bytes, &o, sizeof(o));
        raw(bytes, size < 8 ? 8 : size, 2);
        assert_int_equal(receive(&m), VGPU_LINK_VIOLATION);
    }
    const uint32_t huge[] = {0x7fffffff, 0x80000000u, UINT32_MAX};
    for (unsigned i = 0; i < 3; i++) {
        struct vgpu_msg head = {VGPU_MSG_HELLO, huge[i]};
        disconnect();
        connect_as(VGPU_LINK_DAEMON);
        raw(&head, sizeof(head), 0);
        assert_int_equal(receive(&m), VGPU_LINK_VIOLATION);
    }
}

static void every_wrong_number_of_descriptors_is_a_violation(void **state)
{
    for (unsigned n = 0; n <= VGPU_LINK_FDS_MAX * 2; n++) {
        struct vgpu_msg_channel_open o = open_channel();
        struct vgpu_msg_memory m = memory(3);
        struct vgpu_msg_hello h = hello(VGPU_BACKEND_MEMFD);

        start_over(VGPU_BACKEND_MEMFD);
        raw(&o, sizeof(o), n);
        assert_int_equal(receive_one(), n == 2 ? VGPU_LINK_MESSAGE : VGPU_LINK_VIOLATION);
        start_over(VGPU_BACKEND_MEMFD);
        raw(&m, m.msg.size, n);
        assert_int_equal(receive_one(), n == 3 ? VGPU_LINK_MESSAGE : VGPU_LINK_VIOLATION);
        disconnect();
        connect_as(VGPU_LINK_DAEMON);
        raw(&h, sizeof(h), n);
        assert_int_equal(receive_one(), n == 0 ? VGPU_LINK_MESSAGE : VGPU_LINK_VIOLATION);
    }
}

static void descriptors_within_a_message_are_a_violation(void **state)
{
    struct vgpu_msg_channel_open o = open_channel();

    start_over(VGPU_BACKEND_MEMFD);
    raw(&o, 12, 0);
    assert_int_equal(receive_one(), VGPU_LINK_AGAIN);
    raw((uint8_t *)&o + 12, sizeof(o) - 12, 2);
    assert_int_equal(receive_one(), VGPU_LINK_VIOLATION);
}

static void unknown_types_and_the_other_sides_messages_are_violations(void **state)
{
    const uint32_t types[] = {0,  5,  6,         15, VGPU_MSG_WELCOME, VGPU_MSG_CHANNEL_STATE,
                              18, 99, UINT32_MAX};
    for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        uint32_t bytes[8] = {types[i], 16, VGPU_LINK_VERSION, 0};
        start_over(VGPU_BACKEND_MEMFD);
        raw(bytes, 16, 0);
        assert_int_equal(receive_one(), VGPU_LINK_VIOLATION);
    }
}

static void order_is_enforced(void **state)
{
    struct vgpu_msg_memory m = memory(1);
    struct vgpu_msg_channel_open o = open_channel();
    struct vgpu_msg_channel_close c = {.msg = {VGPU_MSG_CHANNEL_CLOSE, sizeof(c)}};
    struct vgpu_msg_hello h = hello(VGPU_BACKEND_MEMFD);

    raw(&m, m.msg.size, 1);
    assert_int_equal(receive_one(), VGPU_LINK_VIOLATION);
    disconnect();
    connect_as(VGPU_LINK_DAEMON);
    raw(&c, sizeof(c), 0);
    assert_int_equal(receive_one(), VGPU_LINK_VIOLATION);
    disconnect();
    connect_as(VGPU_LINK_DAEMON);
    greet(VGPU_BACKEND_MEMFD);
    raw(&o, sizeof(o), 2);
    assert_int_equal(receive_one(), VGPU_LINK_VIOLATION);
    start_over(VGPU_BACKEND_MEMFD);
    raw(&h, sizeof(h), 0);
    assert_int_equal(receive_one(), VGPU_LINK_VIOLATION);
    /* A grant client has no memory to announce. */
    start_over(VGPU_BACKEND_GRANT);
    raw(&o, sizeof(o), 2);
    assert_int_equal(receive_one(), VGPU_LINK_MESSAGE);
    raw(&m, m.msg.size, 1);
    assert_int_equal(receive_one(), VGPU_LINK_VIOLATION);
}

static void hello_is_checked(void **state)
{
    for (unsigned i = 0; i < 4; i++) {
        struct vgpu_msg_hello h = hello(VGPU_BACKEND_MEMFD);
        disconnect();
        connect_as(VGPU_LINK_DAEMON);
        if (i == 0)
            h.magic++;
        else
            h.backend = i == 1 ? 0 : i == 2 ? 4 : UINT32_MAX;
        raw(&h, sizeof(h), 0);
        assert_int_equal(receive_one(), VGPU_LINK_VIOLATION);
    }
}

/* Handed out so that WELCOME can name the version, whatever else it contains; nothing may follow.
 */
static void a_hello_of_another_version_is_told_apart(void **state)
{
    struct {
        struct vgpu_msg_hello h;
        uint32_t more[4];
    } h = {.h = hello(77)};
    struct vgpu_msg_memory m = memory(1);

    h.h.msg.size = sizeof(h);
    h.h.version = VGPU_LINK_VERSION + 1;
    raw(&h, sizeof(h), 0);
    assert_int_equal(receive_one(), VGPU_LINK_MESSAGE);
    assert_true(link_.foreign);
    raw(&m, m.msg.size, 1);
    assert_int_equal(receive_one(), VGPU_LINK_VIOLATION);
}

static void memory_is_checked(void **state)
{
    struct vgpu_msg_memory good = memory(2);

    for (unsigned i = 0; i < 12; i++) {
        struct vgpu_msg_memory m = good;
        unsigned fds = 2;
        switch (i) {
        case 0:
            m.count = 0;
            break;
        case 1:
            m.count = 3;
            break;
        case 2:
            m.count = UINT32_MAX;
            break;
        case 3:
            m.count = 0x0aaaaaac; /* count * 24 wraps to a small number */
            break;
        case 4:
            m.reserved = 1;
            break;
        case 5:
            m.regions[1].size = 0;
            break;
        case 6:
            m.regions[1].size = 4097;
            break;
        case 7:
            m.regions[1].guest_address = UINT64_MAX - 4095;
            break;
        case 8:
            m.regions[1].fd_offset = UINT64_MAX - 4095;
            break;
        case 9:
            m.regions[1].fd_offset = 1ull << 63;
            break;
        case 10:
            m.regions[0].size = 1ull << 63;
            m.regions[0].fd_offset = 1ull << 63;
            break;
        case 11:
            m.count = 0;
            m.msg.size = 16;
            fds = 0;
            break;
        }
        disconnect();
        connect_as(VGPU_LINK_DAEMON);
        greet(VGPU_BACKEND_MEMFD);
        raw(&m, m.msg.size, fds);
        if (receive_one() != VGPU_LINK_VIOLATION)
            fail_msg("case %u was accepted", i);
    }
}

static void channel_open_is_checked(void **state)
{
    for (unsigned i = 0; i < 11; i++) {
        struct vgpu_msg_channel_open o = open_channel();
        bool local = i >= 8;
        if (local)
            o.table_address = o.runs = 0;
        switch (i) {
        case 0:
            o.channel = VGPU_CHANNELS;
            break;
        case 1:
            o.channel = UINT32_MAX;
            break;
        case 2:
            o.pages = 0;
            break;
        case 3:
            o.pages = VGPU_PAGES_MAX + 1;
            break;
        case 4:
            o.runs = 0;
            break;
        case 5:
            o.runs = VGPU_RUNS_MAX + 1;
            break;
        case 6:
            o.table_address = 4100;
            break;
        case 7:
            o.runs = UINT32_MAX;
            break;
        case 8:
            o.runs = 1;
            break;
        case 9:
            o.table_address = 4096;
            break;
        case 10:
            o.pages = UINT32_MAX;
            break;
        }
        start_over(local ? VGPU_BACKEND_LOCAL : VGPU_BACKEND_MEMFD);
        raw(&o, sizeof(o), 2);
        if (receive_one() != VGPU_LINK_VIOLATION)
            fail_msg("case %u was accepted", i);
    }
}

static void a_client_checks_the_daemon_too(void **state)
{
    struct vgpu_msg_welcome w = {.msg = {VGPU_MSG_WELCOME, sizeof(w)}, .version = 1};
    struct vgpu_msg_channel_state s = {.msg = {VGPU_MSG_CHANNEL_STATE, sizeof(s)},
                                       .state = VGPU_CH_OPEN};
    for (unsigned i = 0; i < 4; i++) {
        struct vgpu_msg_channel_state bad = s;
        disconnect();
        connect_as(VGPU_LINK_CLIENT);
        if (i) {
            raw(&w, sizeof(w), 0);
            assert_int_equal(receive_one(), VGPU_LINK_MESSAGE);
        }
        if (i == 1)
            bad.channel = VGPU_CHANNELS;
        if (i == 2)
            bad.state = VGPU_CH_OPENING;
        if (i == 3)
            raw(&w, sizeof(w), 0);
        else
            raw(&bad, sizeof(bad), 0);
        assert_int_equal(receive_one(), VGPU_LINK_VIOLATION);
    }
}

static void random_bytes_never_leak_or_crash(void **state)
{
    uint64_t seed = 9;

    for (int i = 0; i < 3000; i++) {
        uint32_t bytes[128];
        for (unsigned k = 0; k < 128; k++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            bytes[k] = (uint32_t)(seed >> 40) % 32;
        }
        bytes[0] = 1 + bytes[0] % 5;
        bytes[1] = 8 + bytes[1] * 8;
        start_over(i % 3 ? VGPU_BACKEND_MEMFD : VGPU_BACKEND_LOCAL);
        raw(bytes, bytes[1], bytes[2] % 5);
        receive_one();
    }
}

static void a_peer_that_does_not_read_is_given_up(void **state)
{
    struct vgpu_msg_channel_state s = {.msg = {VGPU_MSG_CHANNEL_STATE, sizeof(s)}};
    unsigned sent = 0;

    while (sent < 1000000 && vgpu_link_send(&link_, &s, NULL, 0) == 0)
        sent++;
    assert_true(sent > VGPU_LINK_OUT_BYTES / sizeof(s) && sent < 1000000);
    assert_true(vgpu_link_wants_write(&link_));
    assert_non_null(strstr(link_.reason, "does not read"));
    /* What was accepted arrives whole and in order once the peer reads again. */
    size_t got = 0;
    uint8_t bytes[65536];
    for (ssize_t n; (n = recv(peer, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0;) {
        got += (size_t)n;
        assert_int_equal(vgpu_link_flush(&link_), 0);
    }
    assert_int_equal(got, sent * sizeof(s));
    assert_false(vgpu_link_wants_write(&link_));
}

static void a_vanished_peer_is_an_error_and_no_signal(void **state)
{
    struct vgpu_msg_welcome w = {.msg = {VGPU_MSG_WELCOME, sizeof(w)}};

    close(peer);
    peer = -1;
    assert_int_equal(vgpu_link_send(&link_, &w, NULL, 0), -1);
    assert_non_null(link_.reason);
}

static void only_eventfds_are_eventfds(void **state)
{
    int pipe_fds[2];

    assert_true(vgpu_fd_is_eventfd(spare[0]));
    assert_int_equal(pipe(pipe_fds), 0);
    assert_false(vgpu_fd_is_eventfd(pipe_fds[0]));
    assert_false(vgpu_fd_is_eventfd(peer));
    assert_false(vgpu_fd_is_eventfd(-1));
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_conversation_is_served),
        TEST(a_message_may_come_byte_by_byte),
        TEST(every_truncation_is_noticed),
        TEST(every_wrong_size_is_a_violation),
        TEST(every_wrong_number_of_descriptors_is_a_violation),
        TEST(descriptors_within_a_message_are_a_violation),
        TEST(unknown_types_and_the_other_sides_messages_are_violations),
        TEST(order_is_enforced),
        TEST(hello_is_checked),
        TEST(a_hello_of_another_version_is_told_apart),
        TEST(memory_is_checked),
        TEST(channel_open_is_checked),
        TEST(a_client_checks_the_daemon_too),
        TEST(random_bytes_never_leak_or_crash),
        TEST(a_peer_that_does_not_read_is_given_up),
        TEST(a_vanished_peer_is_an_error_and_no_signal),
        TEST(only_eventfds_are_eventfds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
