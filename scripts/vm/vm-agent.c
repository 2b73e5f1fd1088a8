// SPDX-License-Identifier: Apache-2.0
/*
 * vm-agent - runs a host-side test's commands inside a test VM
 *
 * Both directions of the port carry frames: { u32 id, u32 type, u32 size } little-endian, then size
 * bytes. Any number of commands may run at once; id tells them apart. vm.py is the other side.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    FRAME_RUN = 1,     /* to the guest: shell command, NUL, bytes for its standard input */
    FRAME_SIGNAL = 2,  /* to the guest: u32 signal, for the command's whole process group */
    FRAME_HELLO = 16,  /* from the guest, once */
    FRAME_OUTPUT = 17, /* from the guest: standard output and error, in order */
    FRAME_EXIT = 18,   /* from the guest: u32, 128 + N when killed by signal N */
};

struct frame {
    uint32_t id, type, size;
};

#define COMMANDS 128
#define FRAME_MAX (64u << 20)

struct command {
    uint32_t id;
    pid_t pid;  /* 0: unused */
    int output; /* -1: closed */
    int exited;
    uint32_t status;
    int input; /* -1: closed */
    char *data;
    size_t size, written;
};

static struct command commands[COMMANDS];
static int port;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void write_all(const void *data, size_t size)
{
    const char *p = data;

    while (size > 0) {
        ssize_t n = write(port, p, size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            die("vm-agent: write");
        p += n;
        size -= (size_t)n;
    }
}

static void send_frame(uint32_t id, uint32_t type, const void *data, uint32_t size)
{
    static char buffer[sizeof(struct frame) + 65536];
    struct frame frame = {id, type, size};

    memcpy(buffer, &frame, sizeof(frame));
    if (size)
        memcpy(buffer + sizeof(frame), data, size);
    write_all(buffer, sizeof(frame) + size);
}

static void start(uint32_t id, char *text, size_t size)
{
    size_t length = strnlen(text, size);
    struct command *c = commands;
    int in[2], out[2];

    while (c < commands + COMMANDS && c->pid)
        c++;
    if (c == commands + COMMANDS || length == size) {
        static const char message[] = "vm-agent: too many commands, or no command\n";
        uint32_t status = 126;

        send_frame(id, FRAME_OUTPUT, message, sizeof(message) - 1);
        send_frame(id, FRAME_EXIT, &status, sizeof(status));
        free(text);
        return;
    }
    if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
        die("vm-agent: pipe");
    *c = (struct command){.id = id,
                          .output = out[0],
                          .input = in[1],
                          .data = text,
                          .size = size,
                          .written = length + 1};
    c->pid = fork();
    if (c->pid < 0)
        die("vm-agent: fork");
    if (c->pid == 0) {
        setsid();
        signal(SIGPIPE, SIG_DFL);
        dup2(in[0], 0);
        dup2(out[1], 1);
        dup2(out[1], 2);
        execl("/bin/sh", "sh", "-c", text, (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    fcntl(c->input, F_SETFL, O_NONBLOCK);
}

static void signal_command(uint32_t id, uint32_t number)
{
    for (struct command *c = commands; c < commands + COMMANDS; c++)
        if (c->pid && c->id == id && !c->exited)
            kill(-c->pid, (int)number);
}

static void handle(const struct frame *frame, char *data)
{
    uint32_t number;

    if (frame->type == FRAME_RUN) {
        start(frame->id, data, frame->size);
        return; /* data belongs to the command now */
    }
    if (frame->type == FRAME_SIGNAL && frame->size == sizeof(number)) {
        memcpy(&number, data, sizeof(number));
        signal_command(frame->id, number);
    }
    free(data);
}

static void read_all(void *data, size_t size)
{
    char *p = data;

    while (size > 0) {
        ssize_t n = read(port, p, size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            die("vm-agent: read");
        p += n;
        size -= (size_t)n;
    }
}

static void receive(void)
{
    struct frame frame;
    char *data;

    read_all(&frame, sizeof(frame));
    if (frame.size > FRAME_MAX || !(data = malloc(frame.size + 1)))
        die("vm-agent: frame");
    read_all(data, frame.size);
    data[frame.size] = 0;
    handle(&frame, data);
}

static void feed(struct command *c)
{
    ssize_t n = 0;

    if (c->written < c->size)
        n = write(c->input, c->data + c->written, c->size - c->written);
    if (n > 0)
        c->written += (size_t)n;
    if (c->written == c->size || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        close(c->input);
        c->input = -1;
    }
}

/* 1: there may be more. */
static int drain(struct command *c)
{
    char buffer[65536];
    ssize_t n = read(c->output, buffer, sizeof(buffer));

    if (n > 0) {
        send_frame(c->id, FRAME_OUTPUT, buffer, (uint32_t)n);
    } else if (n == 0) {
        close(c->output);
        c->output = -1;
    }
    return n > 0;
}

/* A background child may keep the pipe open, so its end is not waited for. */
static void finish(struct command *c)
{
    if (c->output >= 0) {
        fcntl(c->output, F_SETFL, O_NONBLOCK);
        while (drain(c))
            ;
    }
    send_frame(c->id, FRAME_EXIT, &c->status, sizeof(c->status));
    if (c->input >= 0)
        close(c->input);
    if (c->output >= 0)
        close(c->output);
    free(c->data);
    c->pid = 0;
}

static void reap(void)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (struct command *c = commands; c < commands + COMMANDS; c++)
            if (c->pid == pid && !c->exited) {
                c->exited = 1;
                c->status = WIFEXITED(status) ? (uint32_t)WEXITSTATUS(status)
                                              : 128u + (uint32_t)WTERMSIG(status);
            }
}

static void on_child(int number)
{
    (void)number; /* only to end ppoll() */
}

/* The port by its name, for which mdev makes no links. */
static int open_port(const char *wanted)
{
    DIR *dir = opendir("/sys/class/virtio-ports");
    struct dirent *entry;
    char path[512], name[128];

    while (dir && (entry = readdir(dir))) {
        FILE *file;

        snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", entry->d_name);
        file = fopen(path, "r");
        if (!file)
            continue;
        if (!fgets(name, sizeof(name), file))
            name[0] = 0;
        fclose(file);
        name[strcspn(name, "\n")] = 0;
        if (strcmp(name, wanted) == 0) {
            snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
            closedir(dir);
            return open(path, O_RDWR | O_CLOEXEC);
        }
    }
    if (dir)
        closedir(dir);
    errno = ENOENT;
    return -1;
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_child};
    struct pollfd fds[1 + 2 * COMMANDS];
    sigset_t block, open_mask;

    if (argc != 2)
        return 2;
    /* The port appears a moment after its driver. */
    for (int i = 0; (port = open_port(argv[1])) < 0; i++) {
        if (i == 1000)
            die(argv[1]);
        usleep(10000);
    }
    signal(SIGPIPE, SIG_IGN);
    sigaction(SIGCHLD, &action, NULL);
    sigemptyset(&block);
    sigaddset(&block, SIGCHLD);
    sigprocmask(SIG_BLOCK, &block, &open_mask);
    sigdelset(&open_mask, SIGCHLD);
    send_frame(0, FRAME_HELLO, NULL, 0);

    for (;;) {
        nfds_t count = 1;

        fds[0] = (struct pollfd){.fd = port, .events = POLLIN};
        for (struct command *c = commands; c < commands + COMMANDS; c++) {
            if (c->pid && c->output >= 0)
                fds[count++] = (struct pollfd){.fd = c->output, .events = POLLIN};
            if (c->pid && c->input >= 0)
                fds[count++] = (struct pollfd){.fd = c->input, .events = POLLOUT};
        }
        int ready = ppoll(fds, count, NULL, &open_mask);

        if (ready < 0 && errno != EINTR)
            die("vm-agent: poll");
        for (nfds_t i = 1; ready > 0 && i < count; i++)
            for (struct command *c = commands; fds[i].revents && c < commands + COMMANDS; c++) {
                if (c->pid && c->output == fds[i].fd && fds[i].events == POLLIN) {
                    drain(c);
                    break;
                }
                if (c->pid && c->input == fds[i].fd && fds[i].events == POLLOUT) {
                    feed(c);
                    break;
                }
            }
        reap();
        for (struct command *c = commands; c < commands + COMMANDS; c++)
            if (c->pid && c->exited)
                finish(c);
        if (ready > 0 && fds[0].revents)
            receive();
    }
}
