/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connecting, calling, and losing the other side: over a unix socket with the host in a process of
 * its own, and over a device whose driver is a function of this test.
 */
#include "test.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest/driver/vgpu_uapi.h"
#include "mediator/common/arena_map.h"
#include "mediator/common/link.h"
#include "protocol/transport/client.h"

enum { OP_COUNT = 1, OP_ECHO, OP_EXIT, OP_RELEASE, OP_HANG, OPCODES };

struct call {
    struct vgpu_record record;
    uint32_t thread, word;
    uint64_t value;
};

/* What the host process does once it was asked for a channel. */
enum behaviour {
    SERVE,
    REFUSE_WELCOME,
    OTHER_VERSION,
    REFUSE_CHANNEL,
    FAIL_START,
    SAY_NOTHING,
    BREAK_PROTOCOL,
};

static char socket_path[64];
static char error[VGPU_CLIENT_ERROR_BYTES];

/* ---- the worker's part, in whatever process or thread ---- */

static int serve(struct vgpu_host *host, int doorbell, int other)
{
    static _Alignas(8) uint8_t buffer[VGPU_RECORD_MAX];
    const struct call *call = (const void *)buffer;
    struct vgpu_consumer consumer;
    uint64_t counted = 0, next[16] = {0};

    vgpu_consumer_init(&consumer, host, OPCODES);
    vgpu_host_state(host, VGPU_HOST_READY, 0);
    for (;;) {
        int status = vgpu_ring_next(&consumer, buffer);
        if (status == VGPU_RING_VIOLATION)
            return 3;
        if (status == VGPU_RING_EMPTY) {
            struct pollfd p = {.fd = other, .events = POLLIN};
            if (vgpu_ring_wait(&consumer, doorbell, other, -1) == VGPU_RING_EMPTY &&
                poll(&p, 1, 0) == 1)
                return 0;
            continue;
        }
        switch (call->record.opcode) {
        case OP_COUNT:
            if (call->thread >= 16 || call->value != next[call->thread]++)
                return 4;
            counted++;
            break;
        case OP_ECHO: {
            uint64_t answer[2] = {call->value, counted};
            vgpu_reply_post(host, call->record.reply, call->thread, answer, sizeof(answer));
            break;
        }
        case OP_RELEASE:
            vgpu_host_release(host, call->word);
            break;
        case OP_HANG:
            break;
        case OP_EXIT:
            return 5;
        }
    }
}

static int host_process(int listener, enum behaviour behaviour)
{
    struct vgpu_link link;
    struct vgpu_link_message m;
    struct vgpu_arena_source source = {.backend = VGPU_BACKEND_LOCAL};
    struct vgpu_arena_map map;
    struct vgpu_host host;
    char why[256];

    vgpu_link_init(&link, accept(listener, NULL, NULL), VGPU_LINK_DAEMON);
    for (;;) {
        struct pollfd p = {.fd = link.fd, .events = POLLIN};
        int result = vgpu_link_receive(&link, &m);
        if (result < 0)
            return 10;
        if (result == VGPU_LINK_AGAIN) {
            poll(&p, 1, -1);
            continue;
        }
        if (m.msg.type == VGPU_MSG_HELLO) {
            struct vgpu_msg_welcome w = {
                .msg = {VGPU_MSG_WELCOME, sizeof(w)},
                .version = VGPU_LINK_VERSION + (behaviour == OTHER_VERSION),
                .reason = behaviour == REFUSE_WELCOME ? VGPU_REASON_REFUSED : VGPU_REASON_NONE};
            if (behaviour == BREAK_PROTOCOL)
                w.msg.type = 99;
            if (behaviour != SAY_NOTHING)
                vgpu_link_send(&link, &w, NULL, 0);
            /* Gone at once: the client may still be saying its memory. */
            if (behaviour == OTHER_VERSION || behaviour == REFUSE_WELCOME)
                return 13;
        } else if (m.msg.type == VGPU_MSG_MEMORY) {
            source.region_count = m.memory.count;
            source.regions[0] = m.memory.regions[0];
            source.fds[0] = m.fds[0];
        } else if (m.msg.type == VGPU_MSG_CHANNEL_OPEN) {
            break;
        }
    }
    struct vgpu_msg_channel_state s = {.msg = {VGPU_MSG_CHANNEL_STATE, sizeof(s)},
                                       .channel = m.open.channel,
                                       .serial = m.open.serial,
                                       .state = VGPU_CH_OPEN};
    source.pages = m.open.pages;
    if (!vgpu_fd_is_eventfd(m.fds[0]) || !vgpu_fd_is_eventfd(m.fds[1]))
        return 11;
    int reason = vgpu_arena_map(&source, &map, why, sizeof(why));
    if (reason)
        fprintf(stderr, "host: %s\n", why);
    if (behaviour == REFUSE_CHANNEL)
        reason = VGPU_REASON_LIMIT;
    if (reason) {
        s.state = VGPU_CH_DEAD;
        s.reason = (uint32_t)reason;
    }
    vgpu_link_send(&link, &s, NULL, 0);
    if (reason) {
        struct pollfd p = {.fd = link.fd, .events = POLLIN};
        poll(&p, 1, 5000);
        return 12;
    }
    vgpu_host_init(&host, &map.view, -1);
    if (behaviour == FAIL_START) {
        vgpu_host_state(&host, VGPU_HOST_DEAD, 100);
        pause();
    }
    return serve(&host, m.fds[0], link.fd);
}

static pid_t start_host(enum behaviour behaviour)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(socket_path, sizeof(socket_path), "/tmp/vgpu-test-%d.sock", getpid());
    unlink(socket_path);
    strcpy(address.sun_path, socket_path);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 4), 0);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(60);
        _exit(host_process(listener, behaviour));
    }
    close(listener);
    return pid;
}

static int end_host(pid_t pid)
{
    int status;
    unlink(socket_path);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int connect_to_host(struct vgpu_client **client)
{
    struct vgpu_client_options options = {
        .socket_path = socket_path, .arena_bytes = 32u << 20, .timeout_ms = 20000, .error = error};
    return vgpu_client_connect(&options, client);
}

/* ---- the guest's part ---- */

static int post(struct vgpu_client *client, uint16_t opcode, uint16_t reply, uint32_t thread,
                uint32_t word, uint64_t value)
{
    uint64_t position;
    struct call *call = vgpu_ring_reserve(&client->ring, sizeof(*call), 0, &position);

    if (!call)
        return -errno;
    *call = (struct call){.record = {.opcode = opcode, .reply = reply, .size = sizeof(*call)},
                          .thread = thread,
                          .word = word,
                          .value = value};
    vgpu_ring_commit(&client->ring, position);
    return 0;
}

static int echo(struct vgpu_client *client, uint32_t thread, uint64_t value, uint64_t answer[2])
{
    const struct vgpu_reply *reply;
    int slot = vgpu_reply_begin(client->replies);

    if (slot < 0)
        return slot;
    int err = post(client, OP_ECHO, (uint16_t)slot, thread, 0, value);
    if (!err)
        err = vgpu_reply_wait(client->replies, slot, &reply);
    if (!err) {
        if (reply->result != thread || reply->size != 16)
            err = -EBADMSG;
        memcpy(answer, reply->payload, 16);
    }
    vgpu_reply_end(client->replies, slot);
    return err;
}

static void a_call_is_answered(void **state)
{
    struct vgpu_client *client;
    uint64_t answer[2];
    pid_t host = start_host(SERVE);

    assert_int_equal(connect_to_host(&client), 0);
    assert_string_equal(error, "");
    uintptr_t base = (uintptr_t)client->channel.view.base;
    assert_true(base >= VGPU_ARENA_ADDRESS_MIN && base < VGPU_ARENA_ADDRESS_MAX);
    assert_int_equal(base % VGPU_ARENA_ALIGN, 0);
    for (uint64_t i = 0; i < 1000; i++) {
        assert_int_equal(post(client, OP_COUNT, VGPU_REPLY_NONE, 0, 0, i), 0);
        assert_int_equal(echo(client, 3, i * 7, answer), 0);
        assert_int_equal(answer[0], i * 7);
        assert_int_equal(answer[1], i + 1);
    }
    assert_false(vgpu_client_dead(client));
    vgpu_client_close(client);
    assert_int_equal(end_host(host), 0);
}

static struct vgpu_client *shared_client;
static _Atomic int failures;

static void *call_often(void *argument)
{
    uint32_t thread = (uint32_t)(uintptr_t)argument;
    struct vgpu_client *client = shared_client;
    struct vgpu_stage stage;
    uint64_t answer[2];

    for (uint64_t i = 0; i < 5000; i++) {
        if (post(client, OP_COUNT, VGPU_REPLY_NONE, thread, 0, i))
            atomic_fetch_add(&failures, 1);
        if (i % 16 == 0 && (echo(client, thread, i, answer) || answer[0] != i || answer[1] <= i))
            atomic_fetch_add(&failures, 1);
        if (i % 8 == 0) {
            if (vgpu_stage_get(client->heap, 300000, true, &stage) ||
                post(client, OP_RELEASE, VGPU_REPLY_NONE, thread, stage.word, 0))
                atomic_fetch_add(&failures, 1);
            else
                vgpu_stage_submit(client->heap, &stage);
        }
    }
    return NULL;
}

static void call_from_threads(struct vgpu_client *client)
{
    pthread_t threads[8];
    uint64_t answer[2];

    shared_client = client;
    atomic_store(&failures, 0);
    for (uintptr_t i = 0; i < 8; i++)
        pthread_create(&threads[i], NULL, call_often, (void *)i);
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&failures), 0);
    assert_int_equal(echo(client, 1, 1, answer), 0);
    assert_int_equal(answer[1], 8 * 5000);
}

static void eight_threads_share_a_channel_to_another_process(void **state)
{
    struct vgpu_client *client;
    pid_t host = start_host(SERVE);

    assert_int_equal(connect_to_host(&client), 0);
    call_from_threads(client);
    vgpu_client_close(client);
    assert_int_equal(end_host(host), 0);
}

static void a_second_arena_finds_its_own_place(void **state)
{
    struct vgpu_client *first, *second;
    pid_t host = start_host(SERVE);
    assert_int_equal(connect_to_host(&first), 0);
    unlink(socket_path);
    pid_t other = start_host(SERVE);
    assert_int_equal(connect_to_host(&second), 0);
    uint64_t answer[2];

    assert_ptr_equal(second->channel.view.base, first->channel.view.base + (32u << 20));
    assert_int_equal(echo(first, 1, 11, answer), 0);
    assert_int_equal(echo(second, 1, 22, answer), 0);
    assert_int_equal(answer[0], 22);
    assert_int_equal(echo(first, 1, 33, answer), 0);
    assert_int_equal(answer[0], 33);
    vgpu_client_close(first);
    vgpu_client_close(second);
    assert_int_equal(end_host(host), 0);
    assert_int_equal(end_host(other), 0);
}

static void refuse(enum behaviour behaviour, int expected, const char *text)
{
    struct vgpu_client *client = NULL;
    pid_t host = start_host(behaviour);
    struct vgpu_client_options options = {.socket_path = socket_path,
                                          .arena_bytes = 8u << 20,
                                          .timeout_ms = behaviour == SAY_NOTHING ? 100 : 20000,
                                          .error = error};

    assert_int_equal(vgpu_client_connect(&options, &client), expected);
    assert_null(client);
    if (!strstr(error, text))
        fail_msg("\"%s\" does not say \"%s\"", error, text);
    kill(host, SIGKILL);
    end_host(host);
    /* Nothing of the arena is left behind. */
    void *low = (void *)(uintptr_t)VGPU_ARENA_ADDRESS_MIN;
    assert_int_equal(msync(low, 4096, MS_ASYNC), -1);
}

static void refusals_say_why_and_what_to_do(void **state)
{
    for (int i = 0; i < 20; i++) {
        refuse(REFUSE_WELCOME, -ECONNREFUSED, "refused by the host's configuration");
        refuse(OTHER_VERSION, -EPROTO, "speaks link version 2, this library speaks 1; install");
    }
    refuse(REFUSE_CHANNEL, -ECONNREFUSED, "too many channels or too much memory");
    refuse(FAIL_START, -ECONNREFUSED, "CUDA error 100");
    refuse(SAY_NOTHING, -ETIMEDOUT, "did not answer in time");
    refuse(BREAK_PROTOCOL, -ECONNREFUSED, "unknown type");
}

static void no_mediator_and_no_device_is_said(void **state)
{
    struct vgpu_client *client;
    struct vgpu_client_options options = {.socket_path = "/tmp/vgpu-test-nobody.sock",
                                          .error = error};

    assert_int_equal(vgpu_client_connect(&options, &client), -ENOENT);
    assert_non_null(strstr(error, "start vgpu-mediatord"));
    options.socket_path = NULL;
    options.device_path = "/dev/vgpu-test-none";
    assert_int_equal(vgpu_client_connect(&options, &client), -ENOENT);
    assert_non_null(strstr(error, "load vgpu.ko"));
}

static void a_bad_arena_size_is_said(void **state)
{
    struct vgpu_client *client;
    struct vgpu_client_options options = {.socket_path = "/tmp/vgpu-test-nobody.sock",
                                          .error = error};

    setenv("VGPU_ARENA_MB", "12x", 1);
    assert_int_equal(vgpu_client_connect(&options, &client), -EINVAL);
    assert_non_null(strstr(error, "VGPU_ARENA_MB=12x"));
    setenv("VGPU_ARENA_MB", "4096", 1);
    assert_int_equal(vgpu_client_connect(&options, &client), -EINVAL);
    unsetenv("VGPU_ARENA_MB");
}

/* The other side ends without a word: a caller that waits for a reply is told. */
static void a_worker_that_ends_fails_the_blocked_call(void **state)
{
    struct vgpu_client *client;
    const struct vgpu_reply *reply;
    uint64_t answer[2];
    pid_t host = start_host(SERVE);

    assert_int_equal(connect_to_host(&client), 0);
    int slot = vgpu_reply_begin(client->replies);
    assert_int_equal(post(client, OP_EXIT, (uint16_t)slot, 0, 0, 0), 0);
    assert_int_equal(vgpu_reply_wait(client->replies, slot, &reply), -EPIPE);
    vgpu_reply_end(client->replies, slot);
    assert_true(vgpu_client_dead(client));
    assert_int_equal(client->reason, VGPU_REASON_LINK_LOST);
    assert_int_equal(post(client, OP_COUNT, VGPU_REPLY_NONE, 0, 0, 0), -EPIPE);
    assert_int_equal(echo(client, 0, 0, answer), -EPIPE);
    vgpu_client_close(client);
    assert_int_equal(end_host(host), 5);
}

static void *kill_late(void *argument)
{
    usleep(50000);
    kill((pid_t)(intptr_t)argument, SIGKILL);
    return NULL;
}

static void a_killed_worker_fails_callers_that_wait_for_anything(void **state)
{
    struct vgpu_client *client;
    const struct vgpu_reply *reply;
    struct vgpu_stage stage;
    pthread_t killer;
    pid_t host = start_host(SERVE);

    assert_int_equal(connect_to_host(&client), 0);
    while (vgpu_stage_get(client->heap, 1, false, &stage) == 0)
        vgpu_stage_submit(client->heap, &stage);
    int slot = vgpu_reply_begin(client->replies);
    assert_int_equal(post(client, OP_HANG, (uint16_t)slot, 0, 0, 0), 0);
    pthread_create(&killer, NULL, kill_late, (void *)(intptr_t)host);
    assert_int_equal(vgpu_stage_get(client->heap, 1, true, &stage), -EPIPE);
    assert_int_equal(vgpu_reply_wait(client->replies, slot, &reply), -EPIPE);
    pthread_join(killer, NULL);
    vgpu_client_close(client);
    assert_int_equal(end_host(host), 128 + SIGKILL);
}

static void a_child_of_fork_may_not_use_the_channel(void **state)
{
    struct vgpu_client *client;
    uint64_t answer[2];
    int status;
    pid_t host = start_host(SERVE);

    assert_int_equal(connect_to_host(&client), 0);
    pid_t child = fork();
    if (child == 0) {
        struct vgpu_stage stage;
        int bad = 0;
        bad |= post(client, OP_COUNT, VGPU_REPLY_NONE, 0, 0, 0) != -EPERM;
        bad |= (echo(client, 0, 0, answer) != -EPERM) << 1;
        bad |= (vgpu_stage_get(client->heap, 1, true, &stage) != -EPERM) << 2;
        bad |= !vgpu_client_dead(client) << 3;
        vgpu_client_close(client);
        _exit(bad);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(echo(client, 0, 5, answer), 0);
    vgpu_client_close(client);
    assert_int_equal(end_host(host), 0);
}

/* A child that lives on must not keep its parent's channel open. */
static void a_child_of_fork_does_not_hold_the_channel(void **state)
{
    struct vgpu_client *client;
    pid_t host = start_host(SERVE);

    assert_int_equal(connect_to_host(&client), 0);
    pid_t child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    vgpu_client_close(client);
    assert_int_equal(end_host(host), 0);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

/* ---- the device, with a driver made of this process ---- */

static struct {
    int memory; /* memfd that stands for the device's pages */
    int doorbell, interrupt;
    struct vgpu_ioc_info info;
    int open_errno;
    uint32_t open_reason;
    uint64_t too_large; /* ARENA of more gives ENOMEM */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t events;
    bool dead;
    uint64_t bytes;
    void *host_view;
    struct vgpu_host host;
    pthread_t worker, interrupts;
} device;

static void *device_worker(void *unused)
{
    return (void *)(intptr_t)serve(&device.host, device.doorbell, -1);
}

static void *device_interrupts(void *unused)
{
    uint64_t count;
    while (read(device.interrupt, &count, sizeof(count)) == sizeof(count)) {
        pthread_mutex_lock(&device.lock);
        device.events++;
        pthread_cond_broadcast(&device.changed);
        bool stop = device.dead;
        pthread_mutex_unlock(&device.lock);
        if (stop)
            break;
    }
    return NULL;
}

static int device_wait(struct vgpu_ioc_wait *wait)
{
    struct timespec until;
    int err = 0;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += (long)(wait->timeout_ms % 1000) * 1000000;
    until.tv_sec += wait->timeout_ms / 1000 + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&device.lock);
    while (wait->timeout_ms && !device.dead && device.events == wait->events && !err)
        err = pthread_cond_timedwait(&device.changed, &device.lock, &until);
    if (device.dead) {
        err = EPIPE;
        wait->reason = VGPU_REASON_WORKER_DIED;
    }
    wait->events = device.events;
    pthread_mutex_unlock(&device.lock);
    errno = err;
    return err ? -1 : 0;
}

static int device_open(struct vgpu_ioc_open *open_channel)
{
    struct vgpu_arena_header header;
    struct vgpu_view view;
    const char *why;

    if (device.open_errno) {
        open_channel->reason = device.open_reason;
        errno = device.open_errno;
        return -1;
    }
    device.host_view =
        mmap(NULL, device.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, device.memory, 0);
    memcpy(&header, device.host_view, sizeof(header));
    if (vgpu_layout_check(&header, device.bytes, &why) || header.notify != VGPU_NOTIFY_EVENTFD) {
        errno = EIO;
        return -1;
    }
    vgpu_view_init(&view, device.host_view, &header);
    vgpu_host_init(&device.host, &view, device.interrupt);
    pthread_create(&device.interrupts, NULL, device_interrupts, NULL);
    pthread_create(&device.worker, NULL, device_worker, NULL);
    return 0;
}

static int device_ioctl(int fd, unsigned long request, void *argument)
{
    uint64_t one = 1;

    switch (request) {
    case VGPU_IOC_INFO:
        *(struct vgpu_ioc_info *)argument = device.info;
        return 0;
    case VGPU_IOC_ARENA:
        device.bytes = ((struct vgpu_ioc_arena *)argument)->bytes;
        if (device.too_large && device.bytes > device.too_large) {
            errno = ENOMEM;
            return -1;
        }
        return ftruncate(device.memory, (off_t)device.bytes);
    case VGPU_IOC_OPEN:
        return device_open(argument);
    case VGPU_IOC_DOORBELL:
        return write(device.doorbell, &one, sizeof(one)) == sizeof(one) ? 0 : -1;
    case VGPU_IOC_WAIT:
        return device_wait(argument);
    }
    errno = ENOTTY;
    return -1;
}

static char device_path[32];

static int device_set_up(void **state)
{
    memset(&device, 0, sizeof(device));
    pthread_mutex_init(&device.lock, NULL);
    pthread_cond_init(&device.changed, NULL);
    device.memory = memfd_create("device", MFD_CLOEXEC);
    device.doorbell = eventfd(0, EFD_NONBLOCK);
    device.interrupt = eventfd(0, 0);
    device.info = (struct vgpu_ioc_info){.abi = VGPU_ABI,
                                         .vm_id = 7,
                                         .pool_id = 'B',
                                         .priority = 2,
                                         .status = VGPU_STATUS_LINK,
                                         .arena_max = 48ull << 20};
    snprintf(device_path, sizeof(device_path), "/proc/self/fd/%d", device.memory);
    return 0;
}

static int device_tear_down(void **state)
{
    close(device.memory);
    close(device.doorbell);
    close(device.interrupt);
    return 0;
}

static int connect_to_device(struct vgpu_client **client)
{
    struct vgpu_client_options options = {.device_path = device_path,
                                          .timeout_ms = 20000,
                                          .device_ioctl = device_ioctl,
                                          .error = error};
    return vgpu_client_connect(&options, client);
}

static void stop_device(struct vgpu_client *client)
{
    void *result;

    assert_int_equal(post(client, OP_EXIT, VGPU_REPLY_NONE, 0, 0, 0), 0);
    pthread_join(device.worker, &result);
    assert_int_equal((intptr_t)result, 5);
    pthread_mutex_lock(&device.lock);
    device.dead = true;
    pthread_mutex_unlock(&device.lock);
    vgpu_host_wake(&device.host, NULL);
    pthread_join(device.interrupts, NULL);
}

static void threads_call_through_the_device(void **state)
{
    struct vgpu_client *client;

    assert_int_equal(connect_to_device(&client), 0);
    assert_int_equal(client->vm_id, 7);
    assert_int_equal(client->pool_id, 'B');
    assert_int_equal(client->priority, 2);
    /* The default of 64 MiB gives way to the driver's limit. */
    assert_int_equal(device.bytes, 48u << 20);
    call_from_threads(client);
    stop_device(client);
    assert_true(vgpu_client_dead(client));
    assert_int_equal(client->reason, VGPU_REASON_WORKER_DIED);
    vgpu_client_close(client);
    munmap(device.host_view, device.bytes);
}

static void *stop_device_late(void *argument)
{
    usleep(20000);
    stop_device(argument);
    return NULL;
}

static void a_channel_that_dies_in_the_driver_fails_the_blocked_call(void **state)
{
    struct vgpu_client *client;
    const struct vgpu_reply *reply;
    pthread_t thread;

    assert_int_equal(connect_to_device(&client), 0);
    int slot = vgpu_reply_begin(client->replies);
    assert_int_equal(post(client, OP_HANG, (uint16_t)slot, 0, 0, 0), 0);
    pthread_create(&thread, NULL, stop_device_late, client);
    assert_int_equal(vgpu_reply_wait(client->replies, slot, &reply), -EPIPE);
    pthread_join(thread, NULL);
    vgpu_client_close(client);
    munmap(device.host_view, device.bytes);
}

static void a_guest_short_of_memory_gets_a_smaller_arena(void **state)
{
    struct vgpu_client *client;

    device.too_large = 20ull << 20;
    assert_int_equal(connect_to_device(&client), 0);
    assert_int_equal(device.bytes, 12u << 20);
    stop_device(client);
    vgpu_client_close(client);
    munmap(device.host_view, device.bytes);
    device.too_large = 1;
    assert_int_equal(connect_to_device(&client), -ENOMEM);
    assert_non_null(strstr(error, "arena_max_mb"));
}

static void what_the_device_refuses_is_said(void **state)
{
    struct vgpu_client *client;

    device.info.abi = (VGPU_ABI_MAJOR + 1) << 16;
    assert_int_equal(connect_to_device(&client), -EPROTO);
    assert_non_null(strstr(error, "device speaks ABI 2.0, this library speaks 1.0"));
    device.info.abi = VGPU_ABI;
    device.open_errno = ECONNREFUSED;
    device.open_reason = VGPU_REASON_NO_MEDIATOR;
    assert_int_equal(connect_to_device(&client), -ECONNREFUSED);
    assert_non_null(strstr(error, "no mediator is connected"));
    device.open_reason = VGPU_REASON_VERSION;
    assert_int_equal(connect_to_device(&client), -EPROTO);
    device.open_errno = EBUSY;
    assert_int_equal(connect_to_device(&client), -EBUSY);
    assert_non_null(strstr(error, "channels of this VM are in use"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_is_answered),
        cmocka_unit_test(eight_threads_share_a_channel_to_another_process),
        cmocka_unit_test(a_second_arena_finds_its_own_place),
        cmocka_unit_test(refusals_say_why_and_what_to_do),
        cmocka_unit_test(no_mediator_and_no_device_is_said),
        cmocka_unit_test(a_bad_arena_size_is_said),
        cmocka_unit_test(a_worker_that_ends_fails_the_blocked_call),
        cmocka_unit_test(a_killed_worker_fails_callers_that_wait_for_anything),
        cmocka_unit_test(a_child_of_fork_may_not_use_the_channel),
        cmocka_unit_test(a_child_of_fork_does_not_hold_the_channel),
        cmocka_unit_test_setup_teardown(threads_call_through_the_device, device_set_up,
                                        device_tear_down),
        cmocka_unit_test_setup_teardown(a_channel_that_dies_in_the_driver_fails_the_blocked_call,
                                        device_set_up, device_tear_down),
        cmocka_unit_test_setup_teardown(a_guest_short_of_memory_gets_a_smaller_arena, device_set_up,
                                        device_tear_down),
        cmocka_unit_test_setup_teardown(what_the_device_refuses_is_said, device_set_up,
                                        device_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
