/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/transport/client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "guest/driver/vgpu_uapi.h"
#include "mediator/common/link.h"
#include "protocol/transport/futex.h"
#include "protocol/vgpu_regs.h"

#define DEFAULT_DEVICE "/dev/vgpu0"
#define DEFAULT_SOCKET_ARENA (1ull << 30)
#define DEFAULT_DEVICE_ARENA (64ull << 20)
#define SMALLEST_DEVICE_ARENA (8ull << 20) /* not tried below when the guest is short of memory */
#define DEFAULT_TIMEOUT_MS 60000
#define READY_SLICE_MS 20

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

struct connection {
    struct vgpu_client client;
    struct connection *next; /* in live */
    uint8_t *arena;
    uint64_t bytes;
    uint32_t *owner_page;
    pthread_mutex_t lock; /* of link */
    struct vgpu_link link;
    int arena_fd;    /* memfd, or the device */
    int doorbell_fd; /* -1 with the device */
    int interrupt_fd;
    int (*device_ioctl)(int fd, unsigned long request, void *argument);
    uint64_t deadline; /* ns, of connecting */
    char *error;
};

static pthread_mutex_t live_lock = PTHREAD_MUTEX_INITIALIZER;
static struct connection *live;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static int fail(struct connection *c, int err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int fail(struct connection *c, int err, const char *format, ...)
{
    if (c->error) {
        va_list args;
        va_start(args, format);
        vsnprintf(c->error, VGPU_CLIENT_ERROR_BYTES, format, args);
        va_end(args);
    }
    return err;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* ---- fork ---- */

/*
 * The child closes what it inherited: otherwise a child that lives on would keep its dead parent's
 * channel, and the GPU memory behind it, open.
 */
static void close_descriptors(struct connection *c)
{
    close_fd(&c->link.fd);
    close_fd(&c->doorbell_fd);
    close_fd(&c->interrupt_fd);
    close_fd(&c->arena_fd);
}

static void before_fork(void)
{
    pthread_mutex_lock(&live_lock);
}

static void after_fork_parent(void)
{
    pthread_mutex_unlock(&live_lock);
}

static void after_fork_child(void)
{
    for (struct connection *c = live; c; c = c->next)
        close_descriptors(c);
    live = NULL;
    pthread_mutex_unlock(&live_lock);
}

static void watch_forks(void)
{
    pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

static bool is_owner(const struct connection *c)
{
    return atomic_load_explicit(c->client.channel.owner, memory_order_relaxed) != VGPU_OWNER_FORKED;
}

static void set_dead(struct connection *c)
{
    uint32_t alive = VGPU_OWNER_ALIVE;
    atomic_compare_exchange_strong(c->client.channel.owner, &alive, VGPU_OWNER_DEAD);
}

static bool known_dead(const struct connection *c)
{
    return atomic_load_explicit(c->client.channel.owner, memory_order_relaxed) !=
               VGPU_OWNER_ALIVE ||
           atomic_load(&c->client.channel.view.shared->host_state) == VGPU_HOST_DEAD;
}

/* ---- operations of a mediator on the same host ---- */

static void socket_doorbell(void *transport)
{
    struct connection *c = transport;
    uint64_t one = 1;
    int saved = errno;

    /* Not write(): a cancelled thread must not leave here, having taken the announcement back. */
    syscall(SYS_write, c->doorbell_fd, &one, sizeof(one));
    errno = saved;
}

static bool socket_dead(void *transport)
{
    struct connection *c = transport;
    struct vgpu_link_message message;

    if (!is_owner(c))
        return true;
    if (known_dead(c)) {
        set_dead(c);
        return true;
    }
    int saved = errno;
    pthread_mutex_lock(&c->lock);
    int result;
    while ((result = vgpu_link_receive(&c->link, &message)) == VGPU_LINK_MESSAGE) {
        vgpu_link_message_close(&message);
        if (message.msg.type == VGPU_MSG_CHANNEL_STATE && message.state.state != VGPU_CH_OPEN) {
            c->client.reason = message.state.reason;
            set_dead(c);
        }
    }
    if (result < 0) {
        if (!c->client.reason)
            c->client.reason = VGPU_REASON_LINK_LOST;
        set_dead(c);
    }
    pthread_mutex_unlock(&c->lock);
    errno = saved;
    return known_dead(c);
}

static int socket_wait(void *transport, _Atomic uint32_t *word, uint32_t expected,
                       uint32_t timeout_ms)
{
    if (known_dead(transport))
        return -EPIPE;
    return vgpu_futex_wait(word, expected, timeout_ms, true);
}

static const struct vgpu_channel_ops socket_ops = {
    .doorbell = socket_doorbell,
    .wait = socket_wait,
    .dead = socket_dead,
};

/* ---- operations of the device ---- */

static int plain_ioctl(int fd, unsigned long request, void *argument)
{
    return ioctl(fd, request, argument);
}

static void device_doorbell(void *transport)
{
    struct connection *c = transport;
    int saved = errno;

    c->device_ioctl(c->arena_fd, VGPU_IOC_DOORBELL, NULL);
    errno = saved;
}

/* 0, or a negative errno; -EPIPE is remembered. */
static int device_events(struct connection *c, uint64_t *events, uint32_t timeout_ms)
{
    struct vgpu_ioc_wait wait = {.events = *events, .timeout_ms = timeout_ms};
    int saved = errno;
    int err = 0;

    if (c->device_ioctl(c->arena_fd, VGPU_IOC_WAIT, &wait))
        err = -errno;
    errno = saved;
    *events = wait.events;
    if (err == -EPIPE) {
        c->client.reason = wait.reason;
        set_dead(c);
    }
    return err;
}

static int device_wait(void *transport, _Atomic uint32_t *word, uint32_t expected,
                       uint32_t timeout_ms)
{
    struct connection *c = transport;
    uint64_t events = 0;

    if (known_dead(c))
        return -EPIPE;
    int err = device_events(c, &events, 0);
    if (err == -EPIPE)
        return err;
    /* The worker changes the word before it raises the event, so one of the two is seen. */
    if (atomic_load(word) != expected)
        return 0;
    err = device_events(c, &events, timeout_ms);
    return err == -ETIMEDOUT || err == -EPIPE ? err : 0;
}

static bool device_dead(void *transport)
{
    struct connection *c = transport;
    uint64_t events = 0;

    if (!is_owner(c))
        return true;
    if (known_dead(c))
        set_dead(c);
    else
        device_events(c, &events, 0);
    return known_dead(c);
}

static const struct vgpu_channel_ops device_ops = {
    .doorbell = device_doorbell,
    .wait = device_wait,
    .dead = device_dead,
};

/* ---- connecting: what both share ---- */

static const char *advice(uint32_t reason)
{
    switch (reason) {
    case VGPU_REASON_NO_MEDIATOR:
    case VGPU_REASON_LINK_LOST:
        return "start vgpu-mediatord on the host";
    case VGPU_REASON_VERSION:
        return "install the same release in the guest and on the host";
    case VGPU_REASON_LIMIT:
        return "end other GPU programs in this VM, lower VGPU_ARENA_MB, or raise the VM's limits";
    case VGPU_REASON_REFUSED:
        return "give this VM a vGPU in the host's configuration";
    case VGPU_REASON_NO_WORKER:
    case VGPU_REASON_WORKER_DIED:
    case VGPU_REASON_GPU:
        return "see the mediator's log and the GPU's state on the host";
    default:
        return "see the mediator's log on the host";
    }
}

static int refused(struct connection *c, uint32_t reason)
{
    c->client.reason = reason;
    return fail(c, reason == VGPU_REASON_VERSION ? -EPROTO : -ECONNREFUSED,
                "vgpu: the host refused this program: %s (reason %u); %s", vgpu_reason_name(reason),
                reason, advice(reason));
}

static int choose_bytes(struct connection *c, const struct vgpu_client_options *options,
                        uint64_t fallback)
{
    const char *text = getenv("VGPU_ARENA_MB");
    uint64_t bytes = fallback;

    if (options->arena_bytes) {
        bytes = options->arena_bytes;
    } else if (text && *text) {
        char *end;
        unsigned long mb = strtoul(text, &end, 10);
        if (*end || mb < VGPU_ARENA_BYTES_MIN >> 20 || mb > VGPU_ARENA_BYTES_MAX >> 20)
            return fail(c, -EINVAL, "vgpu: VGPU_ARENA_MB=%.32s is not a number from %llu to %llu",
                        text, VGPU_ARENA_BYTES_MIN >> 20, VGPU_ARENA_BYTES_MAX >> 20);
        bytes = (uint64_t)mb << 20;
    }
    if (bytes < VGPU_ARENA_BYTES_MIN || bytes > VGPU_ARENA_BYTES_MAX)
        return fail(c, -EINVAL, "vgpu: an arena of %llu bytes is out of range",
                    (unsigned long long)bytes);
    c->bytes = (bytes + VGPU_ARENA_ALIGN - 1) & ~(VGPU_ARENA_ALIGN - 1);
    return 0;
}

/* The lowest free place in the arena addresses. */
static int map_arena(struct connection *c)
{
    uint64_t at = VGPU_ARENA_ADDRESS_MIN;

    for (; at + c->bytes <= VGPU_ARENA_ADDRESS_MAX; at += VGPU_ARENA_ALIGN) {
        void *want = (void *)(uintptr_t)at;
        void *got = mmap(want, c->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE,
                         c->arena_fd, 0);
        if (got == want) {
            c->arena = got;
            /* A child that wrote here would write into its parent's ring. */
            madvise(got, c->bytes, MADV_DONTFORK);
            return 0;
        }
        /* Kernels before 4.17 take the address as a hint. */
        if (got != MAP_FAILED)
            munmap(got, c->bytes);
        else if (errno != EEXIST)
            break;
    }
    return fail(c, -ENOMEM, "vgpu: cannot map an arena of %llu MiB: %s",
                (unsigned long long)(c->bytes >> 20), strerror(errno));
}

static int set_up_arena(struct connection *c, const struct vgpu_client_options *options,
                        uint32_t notify, const struct vgpu_channel_ops *ops)
{
    struct vgpu_arena_header header;
    struct vgpu_channel *channel = &c->client.channel;

    if (vgpu_layout_plan(&header, (uintptr_t)c->arena, c->bytes, options->ring_slots,
                         options->reply_count, notify))
        return fail(c, -EINVAL, "vgpu: ring and replies do not fit an arena of %llu MiB",
                    (unsigned long long)(c->bytes >> 20));
    header.process_id = (uint32_t)getpid();
    char name[16] = "";
    prctl(PR_GET_NAME, name);
    memcpy(header.process_name, name, sizeof(name));

    /* Fresh pages are zero already; a driver that recycles its own need not be trusted with that.
     */
    memset(c->arena, 0, header.ring_offset);
    memcpy(c->arena, &header, sizeof(header));
    vgpu_view_init(&channel->view, c->arena, &header);
    channel->ops = ops;
    channel->transport = c;

    c->owner_page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (c->owner_page == MAP_FAILED) {
        c->owner_page = NULL;
        return fail(c, -ENOMEM, "vgpu: out of memory");
    }
    if (madvise(c->owner_page, 4096, MADV_WIPEONFORK))
        return fail(c, -errno, "vgpu: this kernel cannot wipe memory on fork (Linux 4.14 can)");
    channel->owner = (_Atomic uint32_t *)c->owner_page;
    atomic_store(channel->owner, VGPU_OWNER_ALIVE);
    return 0;
}

static int left_ms(const struct connection *c)
{
    uint64_t now = vgpu_now_ns();
    return now >= c->deadline ? 0 : (int)((c->deadline - now + 999999) / 1000000);
}

static int wait_until_ready(struct connection *c)
{
    struct vgpu_channel *channel = &c->client.channel;
    _Atomic uint32_t *state = &channel->view.shared->host_state;

    while (atomic_load(state) != VGPU_HOST_READY) {
        if (channel->ops->dead(c)) {
            uint32_t error = atomic_load(&channel->view.shared->error);
            if (c->client.reason)
                return refused(c, c->client.reason);
            return fail(c, -ECONNREFUSED,
                        "vgpu: the worker ended while starting, CUDA error %u; %s", error,
                        advice(VGPU_REASON_GPU));
        }
        if (!left_ms(c))
            return fail(c, -ETIMEDOUT, "vgpu: the worker did not become ready in time; %s",
                        advice(VGPU_REASON_NO_WORKER));
        channel->ops->wait(c, state, VGPU_HOST_STARTING, READY_SLICE_MS);
    }
    return 0;
}

/* ---- connecting to a mediator on this host ---- */

static int open_socket(struct connection *c, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof(address.sun_path))
        return fail(c, -EINVAL, "vgpu: the socket path is too long: %.100s", path);
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail(c, -errno, "vgpu: cannot create a socket: %s", strerror(errno));
    vgpu_link_init(&c->link, fd, VGPU_LINK_CLIENT);
    while (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
        /* A full backlog gives EAGAIN to a non-blocking unix socket. */
        if (errno == EINTR || (errno == EAGAIN && left_ms(c))) {
            if (errno == EAGAIN)
                usleep(5000);
            continue;
        }
        int err = errno == ECONNREFUSED ? ENOENT : errno;
        return fail(c, -err, "vgpu: cannot connect to the mediator at %.100s: %s; %s", path,
                    strerror(errno),
                    err == EACCES ? "ask for access to the socket"
                                  : "start vgpu-mediatord or correct VGPU_SOCKET");
    }
    return 0;
}

static int create_memfd(struct connection *c)
{
    c->arena_fd = memfd_create("vgpu-arena", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (c->arena_fd < 0 || ftruncate(c->arena_fd, (off_t)c->bytes) ||
        fcntl(c->arena_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
        return fail(c, -errno, "vgpu: cannot create an arena of %llu MiB: %s",
                    (unsigned long long)(c->bytes >> 20), strerror(errno));
    c->doorbell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    c->interrupt_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (c->doorbell_fd < 0 || c->interrupt_fd < 0)
        return fail(c, -errno, "vgpu: cannot create an eventfd: %s", strerror(errno));
    return 0;
}

static int lost(struct connection *c)
{
    return fail(c, -ECONNREFUSED, "vgpu: the mediator ended the connection: %s; %s",
                c->link.reason ? c->link.reason : "no reason", advice(VGPU_REASON_REFUSED));
}

static int send_message(struct connection *c, const void *message, const int *fds, unsigned count)
{
    while (vgpu_link_send(&c->link, message, fds, count)) {
        struct pollfd p = {.fd = c->link.fd, .events = POLLOUT};
        if (errno != EAGAIN || !left_ms(c) || poll(&p, 1, left_ms(c)) < 0)
            return lost(c);
    }
    return 0;
}

static int receive_message(struct connection *c, uint32_t type, struct vgpu_link_message *message)
{
    for (;;) {
        int result = vgpu_link_receive(&c->link, message);
        if (result < 0)
            return lost(c);
        if (result == VGPU_LINK_MESSAGE) {
            vgpu_link_message_close(message);
            if (message->msg.type == type)
                return 0;
            continue;
        }
        struct pollfd p = {.fd = c->link.fd, .events = POLLIN};
        int left = left_ms(c);
        if (!left)
            return fail(c, -ETIMEDOUT, "vgpu: the mediator did not answer in time; %s",
                        advice(VGPU_REASON_NO_MEDIATOR));
        if (poll(&p, 1, left) < 0 && errno != EINTR)
            return fail(c, -errno, "vgpu: cannot wait for the mediator: %s", strerror(errno));
    }
}

static int connect_socket(struct connection *c, const struct vgpu_client_options *options,
                          const char *path)
{
    struct vgpu_link_message answer;
    int err;

    if ((err = choose_bytes(c, options, DEFAULT_SOCKET_ARENA)) || (err = open_socket(c, path)) ||
        (err = create_memfd(c)) || (err = map_arena(c)) ||
        (err = set_up_arena(c, options, VGPU_NOTIFY_FUTEX, &socket_ops)))
        return err;
    c->client.vm_id = options->vm_id;
    c->client.pool_id = options->pool_id;
    c->client.priority = options->priority;

    struct vgpu_msg_hello hello = {
        .msg = {VGPU_MSG_HELLO, sizeof(hello)},
        .magic = VGPU_LINK_MAGIC,
        .version = VGPU_LINK_VERSION,
        .backend = VGPU_BACKEND_LOCAL,
        .vm_id = options->vm_id,
        .pool_id = options->pool_id,
        .priority = options->priority,
    };
    struct vgpu_msg_memory memory = {
        .msg = {VGPU_MSG_MEMORY,
                offsetof(struct vgpu_msg_memory, regions) + sizeof(struct vgpu_region)},
        .count = 1,
        .regions = {{.guest_address = 0, .size = c->bytes, .fd_offset = 0}},
    };
    if ((err = send_message(c, &hello, NULL, 0)))
        return err;
    /* A daemon that refused at HELLO may be gone by now, but its WELCOME says why. */
    int unsent = send_message(c, &memory, &c->arena_fd, 1);
    if ((err = receive_message(c, VGPU_MSG_WELCOME, &answer)))
        return err;
    if (answer.welcome.version != VGPU_LINK_VERSION)
        return fail(c, -EPROTO,
                    "vgpu: the mediator speaks link version %u, this library speaks %u; %s",
                    answer.welcome.version, VGPU_LINK_VERSION, advice(VGPU_REASON_VERSION));
    if (answer.welcome.reason)
        return refused(c, answer.welcome.reason);
    if (unsent)
        return unsent;

    struct vgpu_msg_channel_open open = {
        .msg = {VGPU_MSG_CHANNEL_OPEN, sizeof(open)},
        .serial = 1,
        .pages = (uint32_t)(c->bytes >> VGPU_PAGE_SHIFT),
    };
    int events[2] = {c->doorbell_fd, c->interrupt_fd};
    if ((err = send_message(c, &open, events, 2)) ||
        (err = receive_message(c, VGPU_MSG_CHANNEL_STATE, &answer)))
        return err;
    if (answer.state.state != VGPU_CH_OPEN)
        return refused(c, answer.state.reason);
    return 0;
}

/* ---- connecting through the device ---- */

static int create_device_arena(struct connection *c, bool may_shrink)
{
    for (;;) {
        struct vgpu_ioc_arena arena = {.bytes = c->bytes};
        if (c->device_ioctl(c->arena_fd, VGPU_IOC_ARENA, &arena) == 0)
            return 0;
        if (errno == EINTR)
            continue;
        if (errno != ENOMEM || !may_shrink || c->bytes / 2 < SMALLEST_DEVICE_ARENA)
            return fail(c, -errno,
                        "vgpu: the driver gives no arena of %llu MiB: %s; free guest memory, lower "
                        "VGPU_ARENA_MB or raise the driver's arena_max_mb",
                        (unsigned long long)(c->bytes >> 20), strerror(errno));
        c->bytes /= 2;
        c->bytes &= ~(VGPU_ARENA_ALIGN - 1);
    }
}

static int connect_device(struct connection *c, const struct vgpu_client_options *options,
                          const char *path)
{
    struct vgpu_ioc_info info = {0};
    struct vgpu_ioc_open open_channel = {0};
    int err = choose_bytes(c, options, DEFAULT_DEVICE_ARENA);

    if (err)
        return err;
    c->arena_fd = open(path, O_RDWR | O_CLOEXEC);
    if (c->arena_fd < 0 && errno == EACCES)
        return fail(c, -EACCES, "vgpu: no access to %.100s; join the group that owns it", path);
    if (c->arena_fd < 0)
        return fail(c, errno == ENOENT || errno == ENODEV || errno == ENXIO ? -ENOENT : -errno,
                    "vgpu: no GPU here: %.100s: %s, and VGPU_SOCKET is not set; load vgpu.ko in a "
                    "VM, or start the program with vgpu-run on a host",
                    path, strerror(errno));
    if (c->device_ioctl(c->arena_fd, VGPU_IOC_INFO, &info))
        return fail(c, -errno, "vgpu: %.100s is not a vGPU: %s", path, strerror(errno));
    if (info.abi >> 16 != VGPU_ABI_MAJOR)
        return fail(c, -EPROTO, "vgpu: the device speaks ABI %u.%u, this library speaks %u.%u; %s",
                    info.abi >> 16, info.abi & 0xffff, VGPU_ABI_MAJOR, VGPU_ABI_MINOR,
                    advice(VGPU_REASON_VERSION));
    c->client.vm_id = info.vm_id;
    c->client.pool_id = info.pool_id;
    c->client.priority = info.priority;

    if (info.arena_max && c->bytes > info.arena_max)
        c->bytes = info.arena_max & ~(VGPU_ARENA_ALIGN - 1);
    if (c->bytes < VGPU_ARENA_BYTES_MIN)
        return fail(c, -EINVAL, "vgpu: the driver's arena_max_mb is below %llu",
                    VGPU_ARENA_BYTES_MIN >> 20);
    bool chosen = options->arena_bytes || getenv("VGPU_ARENA_MB");
    if ((err = create_device_arena(c, !chosen)) || (err = map_arena(c)) ||
        (err = set_up_arena(c, options, VGPU_NOTIFY_EVENTFD, &device_ops)))
        return err;

    while (c->device_ioctl(c->arena_fd, VGPU_IOC_OPEN, &open_channel)) {
        if (errno == EINTR && left_ms(c))
            continue;
        if (errno == ECONNREFUSED)
            return refused(c, open_channel.reason);
        if (errno == EBUSY)
            return fail(c, -EBUSY,
                        "vgpu: all %u channels of this VM are in use; end other GPU "
                        "programs",
                        VGPU_CHANNELS);
        return fail(c, -errno, "vgpu: the channel does not open: %s; %s", strerror(errno),
                    advice(VGPU_REASON_NO_MEDIATOR));
    }
    return 0;
}

/* ---- the public functions ---- */

static void destroy(struct connection *c)
{
    bool owner = !c->client.channel.owner || is_owner(c);

    vgpu_heap_destroy(c->client.heap);
    vgpu_replies_destroy(c->client.replies);
    vgpu_link_close(&c->link);
    close_descriptors(c);
    if (c->arena && owner)
        munmap(c->arena, c->bytes);
    if (c->owner_page)
        munmap(c->owner_page, 4096);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

int vgpu_client_connect(const struct vgpu_client_options *options, struct vgpu_client **client)
{
    static const struct vgpu_client_options defaults;
    struct connection *c;
    const char *path;
    int err;

    if (!options)
        options = &defaults;
    if (options->error)
        options->error[0] = 0;
    if (posix_memalign((void **)&c, 64, sizeof(*c)))
        return -ENOMEM;
    memset(c, 0, sizeof(*c));
    c->arena_fd = c->doorbell_fd = c->interrupt_fd = c->link.fd = -1;
    c->error = options->error;
    c->device_ioctl = options->device_ioctl ? options->device_ioctl : plain_ioctl;
    c->deadline = vgpu_now_ns() +
                  (options->timeout_ms ? options->timeout_ms : DEFAULT_TIMEOUT_MS) * 1000000ull;
    pthread_mutex_init(&c->lock, NULL);
    pthread_once(&fork_once, watch_forks);

    path = options->socket_path;
    if (!path && !options->device_path)
        path = getenv("VGPU_SOCKET");
    if (path && *path)
        err = connect_socket(c, options, path);
    else
        err = connect_device(c, options,
                             options->device_path ? options->device_path : DEFAULT_DEVICE);
    if (!err)
        err = wait_until_ready(c);
    if (!err) {
        vgpu_producer_init(&c->client.ring, &c->client.channel);
        c->client.replies = vgpu_replies_create(&c->client.channel);
        c->client.heap = vgpu_heap_create(&c->client.channel);
        if (!c->client.replies || !c->client.heap)
            err = fail(c, -ENOMEM, "vgpu: out of memory");
    }
    if (err) {
        destroy(c);
        return err;
    }
    c->error = NULL;
    pthread_mutex_lock(&live_lock);
    c->next = live;
    live = c;
    pthread_mutex_unlock(&live_lock);
    *client = &c->client;
    return 0;
}

void vgpu_client_close(struct vgpu_client *client)
{
    struct connection *c = (struct connection *)client;

    if (!client)
        return;
    pthread_mutex_lock(&live_lock);
    for (struct connection **at = &live; *at; at = &(*at)->next) {
        if (*at == c) {
            *at = c->next;
            break;
        }
    }
    pthread_mutex_unlock(&live_lock);
    destroy(c);
}

bool vgpu_client_dead(struct vgpu_client *client)
{
    return client->channel.ops->dead(client->channel.transport);
}

uint32_t vgpu_channel_take_deferred(struct vgpu_channel *channel, uint32_t *opcode)
{
    struct vgpu_arena_shared *shared = channel->view.shared;

    /* Looking first keeps the line shared in the usual case. */
    if (!atomic_load_explicit(&shared->deferred_error, memory_order_acquire))
        return 0;
    uint32_t which = atomic_load(&shared->deferred_opcode);
    uint32_t error = atomic_exchange(&shared->deferred_error, 0);
    if (opcode)
        *opcode = which;
    return error;
}
