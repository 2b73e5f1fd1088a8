/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_daemon.c - the daemon as a process, with scripted workers and scripted clients
 *
 * Arguments: the daemon, the fake worker. Each test has a directory of its own with configuration,
 * run directory and log. Waiting is by condition, with one long time-out for all.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include <jansson.h>

#include "mediator/common/link.h"
#include "protocol/vgpu_regs.h"
#include "tests/unit/daemon/fake_worker.h"

#define PATIENCE_MS 20000
#define VMS 30

static const char *daemon_path, *worker_path;
static char dir[64];
static pid_t daemon_pid;

/* ---- files ---- */

static const char *in_dir(const char *name)
{
    static char paths[4][256];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
    return path;
}

static void put_file(const char *name, const char *text)
{
    char temporary[256];
    FILE *f;

    snprintf(temporary, sizeof(temporary), "%s/.new", dir);
    f = fopen(temporary, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(rename(temporary, in_dir(name)), 0);
}

static char *get_file(const char *name)
{
    FILE *f = fopen(in_dir(name), "r");
    size_t room = 1 << 20, n;
    char *text = calloc(1, room);

    assert_non_null(text);
    if (f) {
        n = fread(text, 1, room - 1, f);
        text[n] = 0;
        fclose(f);
    }
    return text;
}

static bool log_has(const char *what, const char *more)
{
    char *text = get_file("log"), *line, *save = NULL;
    bool found = false;

    for (line = strtok_r(text, "\n", &save); line && !found; line = strtok_r(NULL, "\n", &save))
        found = strstr(line, what) && (!more || strstr(line, more));
    free(text);
    return found;
}

#define WAIT_FOR(condition)                                                                        \
    do {                                                                                           \
        int left_ = PATIENCE_MS / 5;                                                               \
        while (!(condition) && left_--)                                                            \
            usleep(5000);                                                                          \
        if (left_ < 0) {                                                                           \
            char *log_ = get_file("log");                                                          \
            fprintf(stderr, "%s\n", log_);                                                         \
            free(log_);                                                                            \
            fail_msg("waited in vain for " #condition);                                            \
        }                                                                                          \
    } while (0)

/* ---- the daemon ---- */

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool is_up(void)
{
    int fd = connect_to(in_dir("run/control.sock"));

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* Starts the daemon with further arguments, NULL at the end; returns once it answers. */
static void start_daemon(const char *first, ...)
{
    const char *argv[24] = {daemon_path, "--foreground", "--log-level=debug"};
    char config[128], run[128], worker[512];
    unsigned n = 3;
    va_list args;

    snprintf(config, sizeof(config), "--config-dir=%s/etc", dir);
    snprintf(run, sizeof(run), "--run-dir=%s/run", dir);
    snprintf(worker, sizeof(worker), "--worker=%s", worker_path);
    argv[n++] = config;
    argv[n++] = run;
    argv[n++] = worker;
    va_start(args, first);
    for (const char *a = first; a; a = va_arg(args, const char *))
        argv[n++] = a;
    va_end(args);
    daemon_pid = fork();
    if (daemon_pid == 0) {
        int fd = open(in_dir("log"), O_WRONLY | O_CREAT | O_APPEND, 0644);

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(fd, 2);
        setenv("FAKE_DIR", in_dir("pids"), 1);
        execv(daemon_path, (char **)argv);
        _exit(127);
    }
    assert_true(daemon_pid > 0);
    WAIT_FOR(is_up());
}

static int stop_daemon(int signal)
{
    int status = 0;

    if (!daemon_pid)
        return 0;
    kill(daemon_pid, signal);
    waitpid(daemon_pid, &status, 0);
    daemon_pid = 0;
    if (signal == SIGTERM && status) {
        char *log = get_file("log");

        fprintf(stderr, "%s\n", log);
        free(log);
    }
    return status;
}

/* Processes that fake workers left their ids of and that still run. */
static unsigned workers_alive(void)
{
    DIR *d = opendir(in_dir("pids"));
    struct dirent *entry;
    unsigned alive = 0;

    while (d && (entry = readdir(d))) {
        char path[64], state = 0;
        FILE *f;

        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "/proc/%.20s/stat", entry->d_name);
        f = fopen(path, "r");
        if (!f)
            continue;
        if (fscanf(f, "%*d (%*[^)]) %c", &state) == 1 && state != 'Z' && state != 'X')
            alive++;
        fclose(f);
    }
    if (d)
        closedir(d);
    return alive;
}

static json_t *stats(void)
{
    int fd = connect_to(in_dir("run/control.sock"));
    char *text = malloc(1 << 20);
    size_t have = 0;
    ssize_t n;
    json_t *root;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, "stats\n", 6), 6);
    while ((n = read(fd, text + have, (1 << 20) - have - 1)) > 0)
        have += (size_t)n;
    close(fd);
    root = json_loadb(text, have, 0, NULL);
    free(text);
    assert_non_null(root);
    return root;
}

static json_int_t stat_of(const char *vm, const char *key)
{
    json_t *root = stats(), *object;
    json_int_t value = -1;
    size_t i;

    json_array_foreach(json_object_get(root, "vms"), i, object)
    {
        if (!strcmp(json_string_value(json_object_get(object, "name")), vm))
            value = json_integer_value(json_object_get(object, key));
    }
    json_decref(root);
    return value;
}

/* ---- clients ---- */

struct client {
    struct vgpu_link link;
    int doorbell[VGPU_CHANNELS], interrupt[VGPU_CHANNELS];
};

/* 1: a message of this type; 0: the connection was closed. */
static int receive(struct client *c, struct vgpu_link_message *message, uint32_t type)
{
    for (;;) {
        struct pollfd p = {c->link.fd, POLLIN, 0};
        int result = vgpu_link_receive(&c->link, message);

        if (result == VGPU_LINK_CLOSED)
            return 0;
        assert_true(result >= 0);
        if (result == VGPU_LINK_MESSAGE) {
            assert_int_equal(message->msg.type, type);
            return 1;
        }
        if (poll(&p, 1, PATIENCE_MS) != 1) {
            char *log = get_file("log");

            fprintf(stderr, "%s\n", log);
            fail_msg("no message %u came", type);
        }
    }
}

static void say_hello(struct client *c, int fd, uint32_t backend, uint32_t vm_id, uint32_t pool,
                      uint32_t priority)
{
    struct vgpu_msg_hello hello = {.msg = {VGPU_MSG_HELLO, sizeof(hello)},
                                   .magic = VGPU_LINK_MAGIC,
                                   .version = VGPU_LINK_VERSION,
                                   .backend = backend,
                                   .vm_id = vm_id,
                                   .pool_id = pool,
                                   .priority = priority};
    struct vgpu_msg_memory memory = {.msg.type = VGPU_MSG_MEMORY, .count = 1};
    int region = memfd_create("ram", MFD_CLOEXEC);

    memory.msg.size = offsetof(struct vgpu_msg_memory, regions) + sizeof(memory.regions[0]);
    memory.regions[0].size = 1 << 20;
    assert_int_equal(ftruncate(region, 1 << 20), 0);
    memset(c, 0, sizeof(*c));
    for (unsigned i = 0; i < VGPU_CHANNELS; i++)
        c->doorbell[i] = c->interrupt[i] = -1;
    vgpu_link_init(&c->link, fd, VGPU_LINK_CLIENT);
    assert_int_equal(vgpu_link_send(&c->link, &hello, NULL, 0), 0);
    /* May fail: the daemon may have closed already because of HELLO. */
    vgpu_link_send(&c->link, &memory, &region, 1);
    close(region);
}

/* The reason in WELCOME. */
static uint32_t await_welcome(struct client *c)
{
    struct vgpu_link_message message;

    assert_int_equal(receive(c, &message, VGPU_MSG_WELCOME), 1);
    return message.welcome.reason;
}

static void connect_local(struct client *c)
{
    int fd = connect_to(in_dir("run/local.sock"));

    assert_true(fd >= 0);
    say_hello(c, fd, VGPU_BACKEND_LOCAL, 0, 0, 0);
    assert_int_equal(await_welcome(c), VGPU_REASON_NONE);
}

static void send_open(struct client *c, uint32_t channel, uint32_t serial, uint32_t pages)
{
    struct vgpu_msg_channel_open open = {.msg = {VGPU_MSG_CHANNEL_OPEN, sizeof(open)},
                                         .channel = channel,
                                         .serial = serial,
                                         .pages = pages};
    int fds[2] = {eventfd(0, EFD_CLOEXEC), eventfd(0, EFD_CLOEXEC)};

    if (c->link.backend == VGPU_BACKEND_MEMFD)
        open.runs = 1;
    assert_int_equal(vgpu_link_send(&c->link, &open, fds, 2), 0);
    if (c->doorbell[channel] >= 0) {
        close(c->doorbell[channel]);
        close(c->interrupt[channel]);
    }
    c->doorbell[channel] = fds[0];
    c->interrupt[channel] = fds[1];
}

static void send_close(struct client *c, uint32_t channel, uint32_t serial)
{
    struct vgpu_msg_channel_close close = {
        .msg = {VGPU_MSG_CHANNEL_CLOSE, sizeof(close)}, .channel = channel, .serial = serial};

    assert_int_equal(vgpu_link_send(&c->link, &close, NULL, 0), 0);
}

static void await_state(struct client *c, uint32_t channel, uint32_t serial, uint32_t state,
                        uint32_t reason)
{
    struct vgpu_link_message message;

    assert_int_equal(receive(c, &message, VGPU_MSG_CHANNEL_STATE), 1);
    assert_int_equal(message.state.channel, channel);
    assert_int_equal(message.state.serial, serial);
    assert_int_equal(message.state.state, state);
    assert_int_equal(message.state.reason, reason);
}

static void open_channel(struct client *c, uint32_t channel, uint32_t pages)
{
    send_open(c, channel, 1, pages);
    await_state(c, channel, 1, VGPU_CH_OPEN, VGPU_REASON_NONE);
}

static void ring(struct client *c, uint32_t channel)
{
    uint64_t one = 1;

    assert_int_equal(write(c->doorbell[channel], &one, sizeof(one)), sizeof(one));
}

/* Whether a worker serves the channel. */
static void expect_served(struct client *c, uint32_t channel)
{
    struct pollfd p = {c->interrupt[channel], POLLIN, 0};
    uint64_t value;

    ring(c, channel);
    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    assert_int_equal(read(c->interrupt[channel], &value, sizeof(value)), sizeof(value));
}

static void expect_closed(struct client *c)
{
    struct vgpu_link_message message;

    assert_int_equal(receive(c, &message, 0), 0);
}

static void disconnect(struct client *c)
{
    vgpu_link_close(&c->link);
    for (unsigned i = 0; i < VGPU_CHANNELS; i++) {
        if (c->doorbell[i] >= 0) {
            close(c->doorbell[i]);
            close(c->interrupt[i]);
        }
    }
}

/* ---- devices: they listen ---- */

static int listen_as(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s.sock", dir, name);
    unlink(address.sun_path);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 4), 0);
    return fd;
}

static void put_vm(const char *name, unsigned vm_id, char pool, const char *priority,
                   const char *limits)
{
    char text[512], file[128];

    snprintf(text, sizeof(text),
             "{\"socket\": \"%s/%s.sock\", \"vm_id\": %u, \"pool\": \"%c\", \"priority\": \"%s\", "
             "\"limits\": {%s}}",
             dir, name, vm_id, pool, priority, limits);
    snprintf(file, sizeof(file), "etc/vms.d/%s.json", name);
    put_file(file, text);
}

static int accept_daemon(int listener)
{
    struct pollfd p = {listener, POLLIN, 0};

    if (poll(&p, 1, PATIENCE_MS) != 1) {
        char *log = get_file("log");

        fprintf(stderr, "%s\n", log);
        fail_msg("the daemon did not connect");
    }
    return accept4(listener, NULL, NULL, SOCK_CLOEXEC);
}

static void be_device(struct client *c, int listener, uint32_t vm_id, uint32_t pool,
                      uint32_t priority)
{
    say_hello(c, accept_daemon(listener), VGPU_BACKEND_MEMFD, vm_id, pool, priority);
    c->link.backend = VGPU_BACKEND_MEMFD;
    assert_int_equal(await_welcome(c), VGPU_REASON_NONE);
}

/* ---- tests ---- */

static int setup(void **state)
{
    strcpy(dir, "/tmp/vgpu-daemon-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    chmod(dir, 0755);
    mkdir(in_dir("etc"), 0755);
    mkdir(in_dir("etc/vms.d"), 0755);
    mkdir(in_dir("pids"), 0777);
    chmod(in_dir("pids"), 0777);
    /* The build directory need not be open to other users. */
    put_file("etc/mediatord.conf", "{\"worker_uid_base\": 0, \"cgroup\": \"off\","
                                   "\"stop_grace_ms\": 300, \"quantum_ms\": 5}");
    return 0;
}

static int teardown(void **state)
{
    char command[128];

    if (daemon_pid)
        stop_daemon(SIGKILL);
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command);
}

static void a_channel_is_served_and_closed(void **state)
{
    struct client c;
    json_t *root;

    start_daemon("--driver=fake", NULL);
    connect_local(&c);
    open_channel(&c, 3, FAKE_SERVE);
    for (int i = 0; i < 5; i++)
        expect_served(&c, 3);
    assert_int_equal(stat_of("host", "channels_open"), 1);
    send_close(&c, 3, 1);
    await_state(&c, 3, 1, VGPU_CH_FREE, VGPU_REASON_NONE);
    assert_true(log_has("channel_open", "process=fake"));

    /* What the worker counted outlives it. */
    root = stats();
    assert_string_equal(json_string_value(json_object_get(json_object_get(root, "gpu"), "driver")),
                        "fake");
    json_decref(root);
    assert_int_equal(stat_of("host", "channels_open"), 0);
    assert_int_equal(stat_of("host", "channels_opened"), 1);
    assert_int_equal(stat_of("host", "calls"), 5);
    assert_int_equal(stat_of("host", "bytes"), 500);
    assert_int_equal(stat_of("host", "gpu_ns"), 250000);

    /* The same channel again, and one that was never open. */
    send_open(&c, 3, 2, FAKE_SERVE);
    await_state(&c, 3, 2, VGPU_CH_OPEN, VGPU_REASON_NONE);
    send_close(&c, 9, 77);
    await_state(&c, 9, 77, VGPU_CH_FREE, VGPU_REASON_NONE);
    expect_served(&c, 3);
    disconnect(&c);
    assert_int_equal(stop_daemon(SIGTERM), 0);
    assert_int_equal(workers_alive(), 0);
    assert_int_equal(access(in_dir("run/local.sock"), F_OK), -1);
    assert_int_equal(access(in_dir("run/control.sock"), F_OK), -1);
}

static void a_refusal_says_why(void **state)
{
    struct client c;

    put_file("etc/mediatord.conf", "{\"worker_uid_base\": 0, \"cgroup\": \"off\","
                                   "\"limits\": {\"channels\": 2, \"arena_mb\": 1}}");
    start_daemon("--driver=fake", NULL);
    connect_local(&c);
    send_open(&c, 0, 5, FAKE_REFUSE);
    await_state(&c, 0, 5, VGPU_CH_DEAD, VGPU_REASON_BAD_TABLE);
    assert_true(log_has("channel_refused", "run 3 is not in guest memory"));
    send_close(&c, 0, 5);
    await_state(&c, 0, 5, VGPU_CH_FREE, VGPU_REASON_NONE);
    open_channel(&c, 1, FAKE_SERVE);
    send_open(&c, 4, 1, 256); /* 1 MiB, and the other has a page */
    await_state(&c, 4, 1, VGPU_CH_DEAD, VGPU_REASON_LIMIT);
    open_channel(&c, 2, FAKE_SERVE);
    send_open(&c, 3, 1, FAKE_SERVE);
    await_state(&c, 3, 1, VGPU_CH_DEAD, VGPU_REASON_LIMIT);
    expect_served(&c, 1);
    assert_int_equal(stat_of("host", "channels_refused"), 3);
    disconnect(&c);
}

static void a_user_without_an_entry_is_refused(void **state)
{
    struct client c;

    put_file("etc/mediatord.conf",
             "{\"worker_uid_base\": 0, \"cgroup\": \"off\", \"local\": [{\"uid\": 54321}]}");
    start_daemon("--driver=fake", NULL);
    say_hello(&c, connect_to(in_dir("run/local.sock")), VGPU_BACKEND_LOCAL, 0, 0, 0);
    assert_int_equal(await_welcome(&c), VGPU_REASON_REFUSED);
    send_open(&c, 0, 1, FAKE_SERVE);
    await_state(&c, 0, 1, VGPU_CH_DEAD, VGPU_REASON_REFUSED);
    assert_true(log_has("local_refused", "uid="));
    disconnect(&c);
}

static void a_worker_that_dies_ends_only_its_channel(void **state)
{
    struct client c;

    start_daemon("--driver=fake", NULL);
    connect_local(&c);
    open_channel(&c, 0, FAKE_SERVE);
    open_channel(&c, 1, FAKE_CRASH);
    ring(&c, 1);
    await_state(&c, 1, 1, VGPU_CH_DEAD, VGPU_REASON_WORKER_DIED);
    assert_true(log_has("channel_lost", "signal 11"));
    send_open(&c, 2, 1, FAKE_EXIT);
    await_state(&c, 2, 1, VGPU_CH_DEAD, VGPU_REASON_WORKER_DIED);
    expect_served(&c, 0);
    send_close(&c, 1, 1);
    await_state(&c, 1, 1, VGPU_CH_FREE, VGPU_REASON_NONE);
    send_open(&c, 1, 2, FAKE_SERVE);
    await_state(&c, 1, 2, VGPU_CH_OPEN, VGPU_REASON_NONE);
    expect_served(&c, 1);
    assert_int_equal(stat_of("host", "channels_lost"), 1);
    disconnect(&c);
}

static void a_ring_violation_is_told_with_its_text(void **state)
{
    struct client c;

    start_daemon("--driver=fake", NULL);
    connect_local(&c);
    open_channel(&c, 0, FAKE_VIOLATION);
    ring(&c, 0);
    await_state(&c, 0, 1, VGPU_CH_DEAD, VGPU_REASON_PROTOCOL);
    assert_true(log_has("channel_lost", "size 70000 of at most 65536"));
    assert_int_equal(stat_of("host", "violations"), 1);
    disconnect(&c);
}

static void a_worker_that_talks_nonsense_is_ended(void **state)
{
    struct client c;

    start_daemon("--driver=fake", NULL);
    connect_local(&c);
    open_channel(&c, 0, FAKE_GARBAGE);
    await_state(&c, 0, 1, VGPU_CH_DEAD, VGPU_REASON_WORKER_DIED);
    open_channel(&c, 1, FAKE_OUT_OF_ORDER);
    await_state(&c, 1, 1, VGPU_CH_DEAD, VGPU_REASON_WORKER_DIED);
    assert_true(log_has("worker_out_of_order", "malformed"));
    assert_true(log_has("worker_out_of_order", "HELLO"));
    open_channel(&c, 2, FAKE_SERVE);
    expect_served(&c, 2);
    disconnect(&c);
}

static void a_client_that_vanishes_leaves_no_worker(void **state)
{
    struct client c, other;

    put_file("etc/mediatord.conf", "{\"worker_uid_base\": 0, \"cgroup\": \"off\","
                                   "\"stop_grace_ms\": 100, \"spare_workers\": 0}");
    start_daemon("--driver=fake", NULL);
    connect_local(&c);
    connect_local(&other);
    open_channel(&other, 0, FAKE_SERVE);
    open_channel(&c, 0, FAKE_SERVE);
    open_channel(&c, 1, FAKE_STUBBORN);
    open_channel(&c, 2, FAKE_FORK);
    send_open(&c, 3, 1, FAKE_SERVE); /* vanishes while this one waits */
    assert_true(workers_alive() >= 5);
    disconnect(&c);
    WAIT_FOR(workers_alive() == 1 && stat_of("host", "workers") == 1);
    expect_served(&other, 0);
    disconnect(&other);
    WAIT_FOR(stat_of("host", "workers") == 0);
}

static void garbage_ends_its_sender_only(void **state)
{
    static const struct vgpu_msg unknown = {99, 8}, zero = {VGPU_MSG_HELLO, 0},
                                 huge = {VGPU_MSG_HELLO, 1u << 31};
    struct client good, c;
    char junk[4096];
    int fd;

    start_daemon("--driver=fake", NULL);
    connect_local(&good);
    open_channel(&good, 0, FAKE_SERVE);
    for (size_t i = 0; i < sizeof(junk); i++)
        junk[i] = (char)(i * 7919 >> 3);
    const struct {
        const void *bytes;
        size_t size;
    } bad[] = {{junk, sizeof(junk)}, {&unknown, 8}, {&zero, 8}, {&huge, 8}};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char byte;

        fd = connect_to(in_dir("run/local.sock"));
        assert_true(write(fd, bad[i].bytes, bad[i].size) > 0);
        assert_true(read(fd, &byte, 1) <= 0);
        close(fd);
        expect_served(&good, 0);
    }
    assert_true(log_has("protocol_violation", "why="));

    /* A backend that this socket is not for. */
    say_hello(&c, connect_to(in_dir("run/local.sock")), VGPU_BACKEND_MEMFD, 0, 0, 0);
    expect_closed(&c);
    disconnect(&c);
    /* The same channel twice: both of the client's workers end. */
    connect_local(&c);
    open_channel(&c, 5, FAKE_SERVE);
    send_open(&c, 5, 2, FAKE_SERVE);
    expect_closed(&c);
    disconnect(&c);
    assert_true(log_has("local_disconnected", "CHANNEL_OPEN for a channel that is in use"));
    WAIT_FOR(stat_of("host", "workers") == 1);
    expect_served(&good, 0);
    disconnect(&good);
}

static void a_client_of_another_version_is_told_so(void **state)
{
    struct vgpu_msg_hello hello = {.msg = {VGPU_MSG_HELLO, sizeof(hello)},
                                   .magic = VGPU_LINK_MAGIC,
                                   .version = VGPU_LINK_VERSION + 1,
                                   .backend = 77};
    struct client c;

    start_daemon("--driver=fake", NULL);
    memset(&c, 0, sizeof(c));
    for (unsigned i = 0; i < VGPU_CHANNELS; i++)
        c.doorbell[i] = c.interrupt[i] = -1;
    vgpu_link_init(&c.link, connect_to(in_dir("run/local.sock")), VGPU_LINK_CLIENT);
    assert_int_equal(vgpu_link_send(&c.link, &hello, NULL, 0), 0);
    assert_int_equal(await_welcome(&c), VGPU_REASON_VERSION);
    assert_true(log_has("version_refused", NULL));
    disconnect(&c);
}

static void a_killed_daemon_leaves_nothing_and_a_new_one_reconnects(void **state)
{
    int listener = listen_as("web");
    struct client c;

    put_vm("web", 7, 'B', "high", "");
    start_daemon("--driver=fake", NULL);
    be_device(&c, listener, 7, 'B', 2);
    open_channel(&c, 0, FAKE_SERVE);
    open_channel(&c, 1, FAKE_STUBBORN);
    expect_served(&c, 0);
    WAIT_FOR(workers_alive() >= 3); /* with the spare */
    stop_daemon(SIGKILL);
    WAIT_FOR(workers_alive() == 0);
    expect_closed(&c);
    disconnect(&c);
    assert_int_equal(access(in_dir("run/local.sock"), F_OK), 0); /* stale, and no obstacle */

    start_daemon("--driver=fake", NULL);
    be_device(&c, listener, 7, 'B', 2);
    open_channel(&c, 0, FAKE_SERVE);
    expect_served(&c, 0);
    disconnect(&c);
    close(listener);
}

static void a_vm_that_restarts_is_connected_again(void **state)
{
    int listener;
    struct client c;

    put_vm("web", 7, 'A', "low", "");
    start_daemon("--driver=fake", NULL);
    for (int i = 0; i < 3; i++) {
        listener = listen_as("web");
        be_device(&c, listener, 7, 'A', 0);
        open_channel(&c, 0, FAKE_SERVE);
        expect_served(&c, 0);
        close(listener);
        disconnect(&c);
        WAIT_FOR(stat_of("web", "workers") == 0 && stat_of("web", "clients") == 0);
    }
    assert_int_equal(stat_of("web", "channels_opened"), 3);
}

static void identity_is_the_configurations(void **state)
{
    int listener = listen_as("web");
    struct client c;

    put_vm("web", 7, 'B', "low", "");
    start_daemon("--driver=fake", NULL);
    be_device(&c, listener, 1, 'A', 2); /* it claims another */
    open_channel(&c, 0, FAKE_SERVE);
    WAIT_FOR(log_has("identity_differs", "claimed_vm=1"));
    assert_true(log_has("channel_open", "vm=7"));
    assert_true(log_has("channel_open", "priority=low"));
    disconnect(&c);
    close(listener);
}

static void vms_come_and_go_while_it_runs(void **state)
{
    int a = listen_as("a"), b = listen_as("b");
    struct client ca, cb;

    start_daemon("--driver=fake", NULL);
    put_vm("a", 1, 'A', "low", "");
    be_device(&ca, a, 1, 'A', 0);
    open_channel(&ca, 0, FAKE_SERVE);

    /* A bad entry, and one that would be the same VM twice, do not disturb. */
    put_file("etc/vms.d/bad.json", "{\"socket\": \"/x\", \"vm_id\": true}");
    put_vm("twin", 1, 'A', "low", "");
    put_vm("b", 2, 'B', "high", "\"channels\": 1");
    be_device(&cb, b, 2, 'B', 2);
    WAIT_FOR(log_has("vm_entry_ignored", "bad.json"));
    WAIT_FOR(log_has("vm_entry_ignored", "its vm_id is another entry's already"));
    open_channel(&cb, 0, FAKE_SERVE);
    send_open(&cb, 1, 1, FAKE_SERVE);
    await_state(&cb, 1, 1, VGPU_CH_DEAD, VGPU_REASON_LIMIT);

    /* Limits change without a new connection; a mistyped file changes nothing. */
    put_vm("b", 2, 'B', "high", "\"channels\": 2");
    WAIT_FOR(log_has("vm_changed", "name=b"));
    send_close(&cb, 1, 1);
    await_state(&cb, 1, 1, VGPU_CH_FREE, VGPU_REASON_NONE);
    open_channel(&cb, 1, FAKE_SERVE);
    put_file("etc/vms.d/b.json", "{oops");
    WAIT_FOR(log_has("vm_entry_ignored", "b.json:1"));
    expect_served(&cb, 1);

    /* Removed: its connection and its workers end, the other goes on. */
    unlink(in_dir("etc/vms.d/b.json"));
    expect_closed(&cb);
    WAIT_FOR(stat_of("b", "workers") == -1);
    struct pollfd p = {b, POLLIN, 0};
    assert_int_equal(poll(&p, 1, 200), 0); /* and it is not connected again */
    expect_served(&ca, 0);
    disconnect(&ca);
    disconnect(&cb);
    close(a);
    close(b);
}

static void a_worker_learns_of_its_own_vms_workers_alone(void **state)
{
    int a = listen_as("a"), b = listen_as("b");
    struct client ca, cb;

    start_daemon("--driver=fake", NULL);
    put_vm("a", 1, 'A', "low", "");
    put_vm("b", 2, 'A', "low", "");
    be_device(&ca, a, 1, 'A', 0);
    be_device(&cb, b, 2, 'A', 0);
    open_channel(&cb, 0, FAKE_ASK);
    open_channel(&ca, 0, FAKE_ASK);
    for (uint32_t channel = 1; channel < 12; channel++) /* more than one answer holds */
        open_channel(&ca, channel, FAKE_SERVE);
    expect_served(&ca, 0);
    expect_served(&cb, 0);
    assert_int_equal(stat_of("a", "bytes"), 12);
    assert_int_equal(stat_of("b", "bytes"), 1);
    disconnect(&ca);
    disconnect(&cb);
    close(a);
    close(b);
}

static void auto_falls_back_to_the_software_gpu(void **state)
{
    struct client c;
    json_t *root;

    setenv("FAKE_FAIL", "libcuda.so.1", 1);
    start_daemon("--gpu=auto", NULL);
    unsetenv("FAKE_FAIL");
    connect_local(&c);
    open_channel(&c, 0, FAKE_SERVE);
    expect_served(&c, 0);
    assert_true(log_has("worker_not_started", "this driver does not start"));
    root = stats();
    assert_non_null(
        strstr(json_string_value(json_object_get(json_object_get(root, "gpu"), "driver")), "soft"));
    json_decref(root);
    disconnect(&c);
}

static void a_gpu_that_does_not_start_is_told_to_clients(void **state)
{
    struct client c;

    setenv("FAKE_FAIL", "libcuda.so.1", 1);
    start_daemon("--gpu=nvidia", NULL);
    unsetenv("FAKE_FAIL");
    WAIT_FOR(log_has("worker_not_started", "this driver does not start"));
    connect_local(&c);
    send_open(&c, 0, 1, FAKE_SERVE);
    await_state(&c, 0, 1, VGPU_CH_DEAD, VGPU_REASON_GPU);
    disconnect(&c);
}

static void one_vm_is_not_gated_and_several_take_turns(void **state)
{
    int listeners[2] = {listen_as("a"), listen_as("b")};
    struct client c[2];
    json_t *root;

    put_vm("a", 1, 'A', "low", "");
    put_vm("b", 2, 'A', "low", "");
    start_daemon("--driver=fake", NULL);
    be_device(&c[0], listeners[0], 1, 'A', 0);
    be_device(&c[1], listeners[1], 2, 'A', 0);
    open_channel(&c[0], 0, FAKE_GREEDY);
    open_channel(&c[0], 1, FAKE_GREEDY); /* of the same VM: not in each other's way */
    WAIT_FOR(stat_of("a", "calls") > 50);
    assert_int_equal(stat_of("a", "gate_wait_ns"), 0);

    open_channel(&c[1], 0, FAKE_GREEDY);
    WAIT_FOR(stat_of("b", "calls") > 50);
    WAIT_FOR(stat_of("a", "gate_wait_ns") > 10 && stat_of("b", "gate_wait_ns") > 10);
    root = stats();
    assert_true(json_integer_value(json_object_get(root, "turns_passed")) > 5);
    json_decref(root);

    /* Alone again: never gated any more. */
    disconnect(&c[0]);
    WAIT_FOR(stat_of("a", "workers") == 0);
    json_int_t waited = stat_of("b", "gate_wait_ns"), calls = stat_of("b", "calls");
    WAIT_FOR(stat_of("b", "calls") > calls + 50);
    assert_true(stat_of("b", "gate_wait_ns") <= waited + 1);
    disconnect(&c[1]);
    close(listeners[0]);
    close(listeners[1]);
}

/* Two VMs that always want: "a" has weight `weight`, and further limits. */
static void start_two(struct client *c, int *listeners, const char *limits)
{
    listeners[0] = listen_as("a");
    listeners[1] = listen_as("b");
    put_vm("a", 1, 'A', "low", limits);
    put_vm("b", 2, 'A', "low", "");
    start_daemon("--driver=fake", NULL);
    be_device(&c[0], listeners[0], 1, 'A', 0);
    be_device(&c[1], listeners[1], 2, 'A', 0);
    open_channel(&c[0], 0, FAKE_GREEDY);
    open_channel(&c[1], 0, FAKE_GREEDY);
}

static void end_two(struct client *c, int *listeners)
{
    for (unsigned i = 0; i < 2; i++) {
        disconnect(&c[i]);
        close(listeners[i]);
    }
}

static void a_vm_of_three_times_the_weight_gets_three_times_the_gpu(void **state)
{
    struct client c[2];
    int listeners[2];
    json_int_t a, b;

    start_two(c, listeners, "\"weight\": 300");
    a = stat_of("a", "calls");
    b = stat_of("b", "calls");
    WAIT_FOR(stat_of("a", "calls") + stat_of("b", "calls") > a + b + 1500);
    a = stat_of("a", "calls") - a;
    b = stat_of("b", "calls") - b;
    assert_in_range(a * 100 / (a + b), 68, 82);
    /* Changed while both run: the other way round. */
    put_vm("a", 1, 'A', "low", "\"weight\": 100");
    put_vm("b", 2, 'A', "low", "\"weight\": 300");
    WAIT_FOR(stat_of("a", "weight") == 100 && stat_of("b", "weight") == 300);
    a = stat_of("a", "calls");
    b = stat_of("b", "calls");
    WAIT_FOR(stat_of("a", "calls") + stat_of("b", "calls") > a + b + 1500);
    a = stat_of("a", "calls") - a;
    b = stat_of("b", "calls") - b;
    assert_in_range(a * 100 / (a + b), 18, 32);
    end_two(c, listeners);
}

static void submissions_beyond_the_limit_wait(void **state)
{
    struct client c[2];
    int listeners[2];
    json_int_t before;
    json_t *root;

    start_two(c, listeners, "\"submissions_per_s\": 100, \"submission_burst\": 5");
    WAIT_FOR(stat_of("a", "submissions") > 20);
    root = stats();
    before = json_integer_value(json_object_get(root, "uptime_ns"));
    json_decref(root);
    json_int_t from = stat_of("a", "submissions"), other = stat_of("b", "submissions");
    WAIT_FOR(stat_of("a", "submissions") > from + 100);
    from = stat_of("a", "submissions") - from;
    root = stats();
    before = json_integer_value(json_object_get(root, "uptime_ns")) - before;
    json_decref(root);
    assert_true(from <= before / 10000000 + 5 + 1);
    assert_true(stat_of("a", "throttles") > 0);
    assert_true(stat_of("b", "submissions") > other + 100);
    end_two(c, listeners);
}

static void work_over_its_time_is_ended_and_repeated_faults_bring_quarantine(void **state)
{
    int listener = listen_as("a");
    struct client c, other;

    put_vm("a", 1, 'A', "low",
           "\"watchdog_ms\": 60, \"quarantine_faults\": 2, \"quarantine_s\": 3600");
    start_daemon("--driver=fake", NULL);
    be_device(&c, listener, 1, 'A', 0);
    connect_local(&other);
    open_channel(&other, 0, FAKE_HANG); /* nobody has set it a limit */
    open_channel(&c, 3, FAKE_SERVE);
    open_channel(&c, 0, FAKE_HANG);
    await_state(&c, 0, 1, VGPU_CH_DEAD, VGPU_REASON_TIMEOUT);
    assert_int_equal(stat_of("a", "overruns"), 1);
    assert_int_equal(stat_of("a", "faults"), 1);
    open_channel(&c, 1, FAKE_CRASH);
    ring(&c, 1);
    await_state(&c, 1, 1, VGPU_CH_DEAD, VGPU_REASON_WORKER_DIED);
    await_state(&c, 3, 1, VGPU_CH_DEAD, VGPU_REASON_REFUSED);
    assert_int_equal(stat_of("a", "quarantines"), 1);
    send_open(&c, 2, 1, FAKE_SERVE);
    await_state(&c, 2, 1, VGPU_CH_DEAD, VGPU_REASON_REFUSED);
    /* A change of its entry releases it. */
    put_vm("a", 1, 'A', "low", "\"watchdog_ms\": 70");
    WAIT_FOR(log_has("vm_released", "name=a"));
    open_channel(&c, 4, FAKE_SERVE);
    assert_int_equal(stat_of("a", "overruns"), 1);
    disconnect(&other);
    disconnect(&c);
    close(listener);
}

static void failed_work_counts_even_when_its_program_ends_at_once(void **state)
{
    int listener = listen_as("a");
    struct client c;

    put_vm("a", 1, 'A', "low", "\"quarantine_faults\": 2, \"quarantine_s\": 3600");
    start_daemon("--driver=fake", NULL);
    be_device(&c, listener, 1, 'A', 0);
    for (uint32_t i = 0; i < 2; i++) {
        open_channel(&c, i, FAKE_FAULT);
        expect_served(&c, i);
        if (i == 0) {
            send_close(&c, i, 1);
            await_state(&c, i, 1, VGPU_CH_FREE, VGPU_REASON_NONE);
            WAIT_FOR(stat_of("a", "faults") == 1);
        }
    }
    /* The second one goes on: it is found by looking. */
    await_state(&c, 1, 1, VGPU_CH_DEAD, VGPU_REASON_REFUSED);
    assert_int_equal(stat_of("a", "faults"), 2);
    disconnect(&c);
    close(listener);
}

static void a_fault_of_long_ago_does_not_count(void **state)
{
    int listener = listen_as("a");
    struct client c;

    put_vm("a", 1, 'A', "low", "\"quarantine_faults\": 2, \"quarantine_s\": 1");
    start_daemon("--driver=fake", NULL);
    be_device(&c, listener, 1, 'A', 0);
    for (uint32_t i = 0; i < 2; i++) {
        open_channel(&c, i, FAKE_CRASH);
        ring(&c, i);
        await_state(&c, i, 1, VGPU_CH_DEAD, VGPU_REASON_WORKER_DIED);
        usleep(1100000);
    }
    assert_int_equal(stat_of("a", "faults"), 2);
    assert_int_equal(stat_of("a", "quarantines"), 0);
    disconnect(&c);
    close(listener);
}

static void a_user_may_have_several_identities(void **state)
{
    struct client c;
    char text[400];
    int fd;

    snprintf(text, sizeof(text),
             "{\"worker_uid_base\": 0, \"cgroup\": \"off\", \"local\": ["
             "{\"uid\": %u, \"name\": \"one\", \"vm_id\": 1},"
             "{\"uid\": %u, \"name\": \"two\", \"vm_id\": 2, \"socket\": \"two.sock\"},"
             "{\"uid\": %u, \"name\": \"three\", \"vm_id\": 3, \"socket\": \"three.sock\"}]}",
             geteuid(), geteuid(), geteuid() + 1);
    put_file("etc/mediatord.conf", text);
    start_daemon("--driver=fake", NULL);
    fd = connect_to(in_dir("run/two.sock"));
    assert_true(fd >= 0);
    say_hello(&c, fd, VGPU_BACKEND_LOCAL, 0, 0, 0);
    assert_int_equal(await_welcome(&c), VGPU_REASON_NONE);
    open_channel(&c, 0, FAKE_SERVE);
    assert_int_equal(stat_of("two", "channels_open"), 1);
    assert_int_equal(stat_of("one", "channels_open"), 0);
    disconnect(&c);
    /* Somebody else's. */
    fd = connect_to(in_dir("run/three.sock"));
    say_hello(&c, fd, VGPU_BACKEND_LOCAL, 0, 0, 0);
    assert_int_equal(await_welcome(&c), VGPU_REASON_REFUSED);
    disconnect(&c);
    /* An identity that is taken away takes its socket along. */
    snprintf(text, sizeof(text),
             "{\"worker_uid_base\": 0, \"cgroup\": \"off\", \"local\": [{\"uid\": %u, \"name\": "
             "\"one\", \"vm_id\": 1}]}",
             geteuid());
    put_file("etc/mediatord.conf", text);
    WAIT_FOR(access(in_dir("run/two.sock"), F_OK) != 0);
    assert_int_equal(stat_of("one", "channels_open"), 0);
}

static char *scrape(const char *request)
{
    size_t room = 1 << 20, have = 0;
    char *text = malloc(room);
    int fd = connect_to(in_dir("run/metrics.sock"));
    ssize_t n;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, request, strlen(request)), strlen(request));
    while ((n = read(fd, text + have, room - 1 - have)) > 0)
        have += (size_t)n;
    close(fd);
    text[have] = 0;
    return text;
}

static void metrics_are_what_prometheus_reads(void **state)
{
    int listener = listen_as("a");
    struct client c;
    char *text, *line, *save = NULL;
    unsigned values = 0;

    put_vm("a", 7, 'B', "high", "");
    start_daemon("--driver=fake", NULL);
    be_device(&c, listener, 7, 'B', 2);
    open_channel(&c, 0, FAKE_SERVE);
    ring(&c, 0);
    WAIT_FOR(stat_of("a", "calls") == 1);
    text = scrape("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_ptr_equal(strstr(text, "HTTP/1.1 200 OK\r\n"), text);
    assert_non_null(strstr(text, "\r\nContent-Type: text/plain; version=0.0.4\r\n"));
    free(text);
    text = scrape("\n");
#define LABELS "{vm=\"7\",name=\"a\",pool=\"B\",priority=\"high\""
    assert_non_null(strstr(text, "\nvgpu_vm_calls_total" LABELS "} 1\n"));
    assert_non_null(strstr(text, "\nvgpu_vm_gpu_seconds_total" LABELS "} 0.000050000\n"));
    assert_non_null(strstr(text, "\nvgpu_vm_latency_seconds_bucket" LABELS ",le=\"+Inf\"} 1\n"));
    assert_non_null(
        strstr(text, "\nvgpu_vm_latency_seconds_bucket" LABELS ",le=\"0.000016384\"} 0\n"));
    assert_non_null(
        strstr(text, "\nvgpu_vm_latency_seconds_bucket" LABELS ",le=\"0.000065536\"} 1\n"));
    assert_non_null(strstr(text, "\nvgpu_pool_gpu_seconds_total{pool=\"B\"} 0.000050000\n"));
    /* Every value follows the HELP and TYPE of its family, and every family comes once. */
    char family[128] = "";
    for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char name[128], help[128];

        if (sscanf(line, "# HELP %127s", help) == 1) {
            line = strtok_r(NULL, "\n", &save);
            assert_non_null(line);
            assert_int_equal(sscanf(line, "# TYPE %127s", family), 1);
            assert_string_equal(family, help);
            continue;
        }
        assert_int_equal(sscanf(line, "%127[a-z0-9_]", name), 1);
        assert_int_equal(strncmp(name, family, strlen(family)), 0);
        values++;
    }
    assert_true(values > 30);
    free(text);
    disconnect(&c);
    close(listener);
}

static void thirty_vms_at_once(void **state)
{
    static struct client c[VMS];
    int listeners[VMS];
    char name[16];

    put_file("etc/mediatord.conf",
             "{\"worker_uid_base\": 0, \"cgroup\": \"off\", \"spare_workers\": 4}");
    for (unsigned i = 0; i < VMS; i++) {
        snprintf(name, sizeof(name), "vm%u", i);
        listeners[i] = listen_as(name);
        put_vm(name, i + 1, 'A', "medium", "");
    }
    start_daemon("--driver=fake", NULL);
    for (unsigned i = 0; i < VMS; i++)
        be_device(&c[i], listeners[i], i + 1, 'A', 1);
    for (unsigned i = 0; i < VMS; i++) {
        send_open(&c[i], 0, 1, FAKE_SERVE);
        send_open(&c[i], 1, 1, FAKE_SERVE);
    }
    for (unsigned i = 0; i < 2 * VMS; i++) {
        struct vgpu_link_message message;

        /* A VM's two workers may get ready in either order. */
        assert_int_equal(receive(&c[i / 2], &message, VGPU_MSG_CHANNEL_STATE), 1);
        assert_int_equal(message.state.state, VGPU_CH_OPEN);
    }
    for (unsigned i = 0; i < VMS; i++) {
        expect_served(&c[i], 0);
        expect_served(&c[i], 1);
    }
    for (unsigned i = 0; i < VMS; i++) {
        snprintf(name, sizeof(name), "vm%u", i);
        assert_int_equal(stat_of(name, "calls"), 2);
        disconnect(&c[i]);
        close(listeners[i]);
    }
    assert_int_equal(stop_daemon(SIGTERM), 0);
    assert_int_equal(workers_alive(), 0);
}

static void statistics_are_written_when_asked_and_at_the_end(void **state)
{
    char option[128];
    struct client c;
    char *text;

    snprintf(option, sizeof(option), "--stats-file=%s/stats.json", dir);
    start_daemon("--driver=fake", option, NULL);
    connect_local(&c);
    open_channel(&c, 0, FAKE_SERVE);
    kill(daemon_pid, SIGUSR1);
    WAIT_FOR(access(in_dir("stats.json"), F_OK) == 0);
    expect_served(&c, 0);
    assert_int_equal(stop_daemon(SIGTERM), 0);
    text = get_file("stats.json");
    assert_non_null(strstr(text, "\"calls\": 1"));
    free(text);
    disconnect(&c);
}

static int run_daemon(char *out, size_t room, const char *arguments)
{
    char command[1024];
    size_t n;
    FILE *f;

    snprintf(command, sizeof(command), "%s %s 2>&1", daemon_path, arguments);
    f = popen(command, "r");
    assert_non_null(f);
    n = fread(out, 1, room - 1, f);
    out[n] = 0;
    return WEXITSTATUS(pclose(f));
}

static void what_cannot_start_says_why_in_one_line(void **state)
{
    char out[4096], arguments[512];

    assert_int_equal(run_daemon(out, sizeof(out), "--config-dir=/nonexistent/x"), 2);
    assert_non_null(strstr(out, "/nonexistent/x does not exist; create it or use --config-dir"));
    assert_int_equal(run_daemon(out, sizeof(out), "--gpu=amd"), 2);
    assert_non_null(strstr(out, "--gpu: must be auto, nvidia or soft"));
    assert_int_equal(run_daemon(out, sizeof(out), "extra"), 2);

    put_file("etc/mediatord.conf", "{\n \"quantum_ms\": 5,\n}");
    snprintf(arguments, sizeof(arguments), "--foreground --config-dir=%s/etc --run-dir=%s/run", dir,
             dir);
    assert_int_equal(run_daemon(out, sizeof(out), arguments), 2);
    assert_non_null(strstr(out, "mediatord.conf:3:"));
    assert_ptr_equal(strchr(out, '\n'), out + strlen(out) - 1);

    put_file("etc/mediatord.conf", "{}");
    put_file("etc/vms.d/x.json", "{\"socket\": \"/x\"}");
    snprintf(arguments, sizeof(arguments), "--check --config-dir=%s/etc", dir);
    assert_int_equal(run_daemon(out, sizeof(out), arguments), 2);
    assert_non_null(strstr(out, "x.json: key \"vm_id\" is missing"));
    unlink(in_dir("etc/vms.d/x.json"));
    assert_int_equal(run_daemon(out, sizeof(out), arguments), 0);
}

static void a_second_daemon_is_refused(void **state)
{
    char out[4096], arguments[512];

    start_daemon("--driver=fake", NULL);
    snprintf(arguments, sizeof(arguments), "--foreground --config-dir=%s/etc --run-dir=%s/run", dir,
             dir);
    assert_int_equal(run_daemon(out, sizeof(out), arguments), 1);
    assert_non_null(strstr(out, "another one (pid "));
    assert_true(is_up());
}

static void in_the_background_it_is_ready_when_its_starter_returns(void **state)
{
    char out[4096], arguments[512];
    FILE *f;

    snprintf(arguments, sizeof(arguments),
             "--config-dir=%s/etc --run-dir=%s/run --worker=%s --driver=fake", dir, dir,
             worker_path);
    assert_int_equal(run_daemon(out, sizeof(out), arguments), 0);
    assert_true(is_up());
    f = fopen(in_dir("run/mediatord.pid"), "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%d", &daemon_pid), 1);
    fclose(f);
    WAIT_FOR(access(in_dir("run/mediatord.log"), F_OK) == 0);
    kill(daemon_pid, SIGTERM);
    WAIT_FOR(kill(daemon_pid, 0) != 0);
    daemon_pid = 0;

    /* A failure after going there is the starter's exit status too. */
    assert_int_equal(unlink(in_dir("run/mediatord.pid")), 0);
    assert_int_equal(mkdir(in_dir("run/mediatord.pid"), 0755), 0);
    assert_int_equal(run_daemon(out, sizeof(out), arguments), 1);
    assert_non_null(strstr(out, "mediatord.pid: Is a directory"));
}

static void systemd_is_told_when_it_is_ready(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct pollfd p = {socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), POLLIN, 0};
    char text[64] = "";

    snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", dir);
    assert_int_equal(bind(p.fd, (struct sockaddr *)&address, sizeof(address)), 0);
    setenv("NOTIFY_SOCKET", address.sun_path, 1);
    start_daemon("--driver=fake", NULL);
    unsetenv("NOTIFY_SOCKET");
    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    assert_true(read(p.fd, text, sizeof(text) - 1) > 0);
    assert_string_equal(text, "READY=1");
    close(p.fd);
}

static void a_worker_has_a_user_of_its_own(void **state)
{
    char copy[256], command[1024];
    struct client c;
    json_t *root;

    if (geteuid() != 0)
        skip();
    snprintf(copy, sizeof(copy), "%s/worker", dir);
    snprintf(command, sizeof(command), "cp %s %s && chmod 755 %s", worker_path, copy, copy);
    assert_int_equal(system(command), 0);
    put_file("etc/mediatord.conf", "{\"worker_uid_base\": 70000, \"cgroup\": \"off\"}");
    snprintf(command, sizeof(command), "--worker=%s", copy);
    start_daemon("--driver=fake", command, NULL);
    connect_local(&c);
    open_channel(&c, 0, FAKE_SERVE);
    open_channel(&c, 1, FAKE_SERVE);
    root = stats();
    assert_string_equal(json_string_value(json_object_get(json_object_get(root, "gpu"), "device")),
                        "fake uid 70000");
    json_decref(root);
    assert_true(log_has("worker_spawned", "uid=70001"));
    disconnect(&c);
    /* And it dies with the daemon, although its user differs. */
    WAIT_FOR(workers_alive() >= 1);
    stop_daemon(SIGKILL);
    WAIT_FOR(workers_alive() == 0);
}

static void a_worker_program_that_is_missing_is_named(void **state)
{
    struct client c;

    put_file("etc/mediatord.conf", "{\"worker_uid_base\": 0, \"cgroup\": \"off\"}");
    worker_path = "/bin/true"; /* no worker either, but executable: it ends without a word */
    start_daemon("--driver=fake", NULL);
    WAIT_FOR(log_has("worker_not_started", "reason=no-worker"));
    connect_local(&c);
    send_open(&c, 0, 1, FAKE_SERVE);
    await_state(&c, 0, 1, VGPU_CH_DEAD, VGPU_REASON_NO_WORKER);
    disconnect(&c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(a_channel_is_served_and_closed),
        TEST(a_refusal_says_why),
        TEST(a_user_without_an_entry_is_refused),
        TEST(a_worker_that_dies_ends_only_its_channel),
        TEST(a_ring_violation_is_told_with_its_text),
        TEST(a_worker_that_talks_nonsense_is_ended),
        TEST(a_client_that_vanishes_leaves_no_worker),
        TEST(garbage_ends_its_sender_only),
        TEST(a_client_of_another_version_is_told_so),
        TEST(a_killed_daemon_leaves_nothing_and_a_new_one_reconnects),
        TEST(a_vm_that_restarts_is_connected_again),
        TEST(identity_is_the_configurations),
        TEST(vms_come_and_go_while_it_runs),
        TEST(a_worker_learns_of_its_own_vms_workers_alone),
        TEST(auto_falls_back_to_the_software_gpu),
        TEST(a_gpu_that_does_not_start_is_told_to_clients),
        TEST(one_vm_is_not_gated_and_several_take_turns),
        TEST(a_vm_of_three_times_the_weight_gets_three_times_the_gpu),
        TEST(submissions_beyond_the_limit_wait),
        TEST(work_over_its_time_is_ended_and_repeated_faults_bring_quarantine),
        TEST(failed_work_counts_even_when_its_program_ends_at_once),
        TEST(a_fault_of_long_ago_does_not_count),
        TEST(a_user_may_have_several_identities),
        TEST(metrics_are_what_prometheus_reads),
        TEST(thirty_vms_at_once),
        TEST(statistics_are_written_when_asked_and_at_the_end),
        TEST(what_cannot_start_says_why_in_one_line),
        TEST(a_second_daemon_is_refused),
        TEST(in_the_background_it_is_ready_when_its_starter_returns),
        TEST(systemd_is_told_when_it_is_ready),
        TEST(a_worker_has_a_user_of_its_own),
        TEST(a_worker_program_that_is_missing_is_named),
    };

    if (argc < 3) {
        fprintf(stderr, "usage: %s DAEMON FAKE-WORKER [FILTER]\n", argv[0]);
        return 2;
    }
    daemon_path = argv[1];
    worker_path = argv[2];
    if (argc > 3)
        cmocka_set_test_filter(argv[3]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
