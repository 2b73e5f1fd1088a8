/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "admin/vgpu-admin/hypervisor.h"

#define OUTPUT_MAX (64u << 20)

struct stream {
    int fd;
    char *text;
    size_t size;
};

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* 1: more may come; 0: it ended; -1: no memory, or too much of it. */
static int take(struct stream *s)
{
    char buffer[16384], *larger;
    ssize_t n = read(s->fd, buffer, sizeof(buffer));

    if (n < 0 && errno == EINTR)
        return 1;
    if (n <= 0)
        return 0;
    if (s->size + (size_t)n > OUTPUT_MAX)
        return -1;
    larger = realloc(s->text, s->size + (size_t)n + 1);
    if (!larger)
        return -1;
    s->text = larger;
    memcpy(s->text + s->size, buffer, (size_t)n);
    s->size += (size_t)n;
    s->text[s->size] = 0;
    return 1;
}

/* On one line and free of control characters. */
static void tidy(char *text)
{
    size_t length = strlen(text);

    while (length && (unsigned char)text[length - 1] <= ' ')
        text[--length] = 0;
    for (; *text; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            *text = ' ';
    }
}

static pid_t spawn(const char *const argv[], int out, int err)
{
    pid_t pid = fork();
    int null;

    if (pid != 0)
        return pid;
    setpgid(0, 0);
    null = open("/dev/null", O_RDONLY);
    if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
        _exit(127);
    for (int fd = 3; fd < 64; fd++)
        close(fd);
    execvp(argv[0], (char *const *)argv);
    dprintf(2, "%s: %s", argv[0], strerror(errno));
    _exit(127);
}

int program_run(const char *const argv[], unsigned limit, char **output, char *error)
{
    struct stream streams[2] = {{.fd = -1}, {.fd = -1}};
    int64_t deadline = now_ms() + (int64_t)limit * 1000;
    const char *slash = strrchr(argv[0], '/'), *name = slash ? slash + 1 : argv[0];
    int pipes[2][2] = {{-1, -1}, {-1, -1}}, status = 0, result = -1, ended = 0;
    const char *why = NULL;
    pid_t pid;

    *output = NULL;
    if (pipe2(pipes[0], O_CLOEXEC) != 0 || pipe2(pipes[1], O_CLOEXEC) != 0) {
        snprintf(error, HV_ERROR, "%s: %s", name, strerror(errno));
        return -1;
    }
    fflush(NULL);
    pid = spawn(argv, pipes[0][1], pipes[1][1]);
    for (int i = 0; i < 2; i++) {
        close(pipes[i][1]);
        streams[i].fd = pipes[i][0];
    }
    while (pid > 0 && !why && !ended) {
        struct pollfd polls[2] = {{.fd = streams[0].fd, .events = POLLIN},
                                  {.fd = streams[1].fd, .events = POLLIN}};
        int64_t left = deadline - now_ms();

        if (left <= 0) {
            why = "did not end in time";
            break;
        }
        /* What it leaves running may hold the pipes open, so its end is looked for as well. */
        poll(polls, 2, left > 100 ? 100 : (int)left);
        ended = waitpid(pid, &status, WNOHANG) == pid;
        for (int i = 0; i < 2 && !why; i++) {
            while (streams[i].fd >= 0 && poll(&polls[i], 1, 0) > 0) {
                int more = take(&streams[i]);

                if (more < 0) {
                    why = "printed too much";
                    break;
                }
                if (!more) {
                    close(streams[i].fd);
                    streams[i].fd = polls[i].fd = -1;
                }
            }
        }
    }
    if (pid > 0 && !ended) {
        kill(-pid, SIGKILL);
        kill(pid, SIGKILL);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
    }
    for (int i = 0; i < 2; i++) {
        if (streams[i].fd >= 0)
            close(streams[i].fd);
        if (!streams[i].text)
            streams[i].text = calloc(1, 1);
    }
    if (pid < 0) {
        snprintf(error, HV_ERROR, "%s: %s", name, strerror(errno));
    } else if (why) {
        snprintf(error, HV_ERROR, "%s %s: %s (limit %u s)", name, argv[1], why, limit);
    } else if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && streams[0].text) {
        result = 0;
    } else {
        char *words = streams[1].text && streams[1].size ? streams[1].text : streams[0].text;

        tidy(words ? words : (char[]){""});
        snprintf(error, HV_ERROR, "%s %s: %.900s%s(%s %d)", name, argv[1], words ? words : "",
                 words && words[0] ? " " : "", WIFSIGNALED(status) ? "signal" : "exit status",
                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    }
    if (result == 0) {
        *output = streams[0].text;
        streams[0].text = NULL;
    }
    free(streams[0].text);
    free(streams[1].text);
    return result;
}
