/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_run.c - vgpu-run as a process, with the daemon and scripted workers
 *
 * Arguments: vgpu-run, the daemon, the fake worker. Called with --client N it is the program that
 * is run: it opens a channel, rings N times, and ends.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include <jansson.h>

#include "mediator/common/link.h"
#include "mediator/run/table.h"
#include "protocol/vgpu_regs.h"
#include "tests/unit/daemon/fake_worker.h"

#define PATIENCE_MS 20000

static const char *run_path, *daemon_path, *worker_path, *self_path;
static char dir[64];

static const char *in_dir(const char *name)
{
    static char paths[4][256];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
    return path;
}

static bool file_has(const char *name, const char *what)
{
    char text[65536];
    FILE *f = fopen(in_dir(name), "r");
    size_t n;

    if (!f)
        return false;
    n = fread(text, 1, sizeof(text) - 1, f);
    fclose(f);
    text[n] = 0;
    return strstr(text, what) != NULL;
}

#define WAIT_FOR(condition)                                                                        \
    do {                                                                                           \
        int left_ = PATIENCE_MS / 5;                                                               \
        while (!(condition) && left_--)                                                            \
            usleep(5000);                                                                          \
        if (left_ < 0)                                                                             \
            fail_msg("waited in vain for " #condition);                                            \
    } while (0)

/* ---- the program that is run ---- */

static void await(struct vgpu_link *link, struct vgpu_link_message *message)
{
    int result;

    while ((result = vgpu_link_receive(link, message)) == VGPU_LINK_AGAIN) {
        struct pollfd p = {link->fd, POLLIN, 0};

        poll(&p, 1, PATIENCE_MS);
    }
    if (result != VGPU_LINK_MESSAGE)
        exit(30);
}

static int be_client(int rings)
{
    struct vgpu_msg_hello hello = {.msg = {VGPU_MSG_HELLO, sizeof(hello)},
                                   .magic = VGPU_LINK_MAGIC,
                                   .version = VGPU_LINK_VERSION,
                                   .backend = VGPU_BACKEND_LOCAL};
    struct vgpu_msg_memory memory = {.msg.type = VGPU_MSG_MEMORY, .count = 1};
    struct vgpu_msg_channel_open open = {.msg = {VGPU_MSG_CHANNEL_OPEN, sizeof(open)},
                                         .pages = FAKE_SERVE};
    int fds[2] = {eventfd(0, EFD_CLOEXEC), eventfd(0, EFD_CLOEXEC)};
    int region = memfd_create("arena", MFD_CLOEXEC), fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct vgpu_link_message message;
    struct vgpu_link link;

    if (!getenv("VGPU_SOCKET"))
        return 31;
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", getenv("VGPU_SOCKET"));
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        return 32;
    memory.msg.size = offsetof(struct vgpu_msg_memory, regions) + sizeof(memory.regions[0]);
    memory.regions[0].size = 1 << 20;
    vgpu_link_init(&link, fd, VGPU_LINK_CLIENT);
    if (ftruncate(region, 1 << 20) != 0 || vgpu_link_send(&link, &hello, NULL, 0) != 0 ||
        vgpu_link_send(&link, &memory, &region, 1) != 0)
        return 33;
    await(&link, &message);
    if (message.msg.type != VGPU_MSG_WELCOME || message.welcome.reason)
        return 34;
    if (vgpu_link_send(&link, &open, fds, 2) != 0)
        return 35;
    await(&link, &message);
    if (message.msg.type != VGPU_MSG_CHANNEL_STATE || message.state.state != VGPU_CH_OPEN)
        return 36;
    for (int i = 0; i < rings; i++) {
        uint64_t value = 1;

        if (write(fds[0], &value, sizeof(value)) != sizeof(value) ||
            read(fds[1], &value, sizeof(value)) != sizeof(value))
            return 37;
    }
    return 0;
}

/* ---- vgpu-run ---- */

/* Starts vgpu-run with arguments, NULL at the end; its error output goes to "err". */
static pid_t start(const char *first, ...)
{
    const char *argv[24] = {run_path};
    char mediator[512], worker[512], library[128];
    unsigned n = 1;
    va_list args;
    pid_t pid;

    snprintf(mediator, sizeof(mediator), "--mediator=%s", daemon_path);
    snprintf(worker, sizeof(worker), "--worker=%s", worker_path);
    snprintf(library, sizeof(library), "--library-dir=%s/lib", dir);
    argv[n++] = mediator;
    argv[n++] = worker;
    argv[n++] = library;
    va_start(args, first);
    for (const char *a = first; a; a = va_arg(args, const char *))
        argv[n++] = a;
    va_end(args);
    pid = fork();
    if (pid == 0) {
        int out = open(in_dir("out"), O_WRONLY | O_CREAT | O_TRUNC, 0644);
        int err = open(in_dir("err"), O_WRONLY | O_CREAT | O_TRUNC, 0644);

        dup2(out, 1);
        dup2(err, 2);
        setenv("XDG_RUNTIME_DIR", in_dir("run"), 1);
        setenv("FAKE_DIR", in_dir("pids"), 1);
        execv(run_path, (char **)argv);
        _exit(99);
    }
    return pid;
}

static int await_exit(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static unsigned count_entries(const char *path, bool processes)
{
    DIR *d = opendir(path);
    struct dirent *entry;
    unsigned n = 0;

    while (d && (entry = readdir(d))) {
        if (entry->d_name[0] != '.')
            n += !processes || kill(atoi(entry->d_name), 0) == 0;
    }
    if (d)
        closedir(d);
    return n;
}

static bool nothing_is_left(void)
{
    return count_entries(in_dir("run"), false) == 0 && count_entries(in_dir("pids"), true) == 0;
}

static int setup(void **state)
{
    strcpy(dir, "/tmp/vgpu-test-run-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    mkdir(in_dir("run"), 0700);
    mkdir(in_dir("pids"), 0777);
    mkdir(in_dir("lib"), 0755);
    return 0;
}

static int teardown(void **state)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command);
}

static void the_programs_exit_status_is_returned(void **state)
{
    assert_int_equal(await_exit(start("--driver=fake", "true", NULL)), 0);
    assert_int_equal(await_exit(start("--driver=fake", "--", "sh", "-c", "exit 9", NULL)), 9);
    assert_int_equal(await_exit(start("--driver=fake", "sh", "-c", "kill -9 $$", NULL)), 137);
    assert_int_equal(await_exit(start("--driver=fake", "/nonexistent", NULL)), 127);
    assert_int_equal(await_exit(start("--driver=fake", in_dir("lib"), NULL)), 126);
    assert_true(nothing_is_left());
}

static void the_program_finds_our_library_and_the_worker_does_not(void **state)
{
    char path[256];

    assert_int_equal(await_exit(start("--driver=fake", "sh", "-c",
                                      "echo \"$LD_LIBRARY_PATH\"; test -S \"$VGPU_SOCKET\"", NULL)),
                     0);
    snprintf(path, sizeof(path), "%s/lib", dir);
    assert_true(file_has("out", path));
    /* The workers' environment: seen while the program runs. */
    assert_int_equal(await_exit(start("--driver=fake", "sh", "-c",
                                      "sleep 0.1; for p in \"$FAKE_DIR\"/*; do"
                                      " tr '\\0' '\\n' < /proc/${p##*/}/environ; done |"
                                      " grep -e ^VGPU_SOCKET= -e ^LD_LIBRARY_PATH=.*vgpu-test-run",
                                      NULL)),
                     1);
}

static void statistics_are_those_of_the_program(void **state)
{
    json_t *root, *vm;
    char option[256];

    snprintf(option, sizeof(option), "--stats=%s/stats", dir);
    assert_int_equal(await_exit(start("--driver=fake", option, "--json", "--pool=C", "--vm-id=12",
                                      "--priority=high", self_path, "--client", "5", NULL)),
                     0);
    root = json_load_file(in_dir("stats"), 0, NULL);
    assert_non_null(root);
    vm = json_array_get(json_object_get(root, "vms"), 0);
    assert_int_equal(json_integer_value(json_object_get(vm, "vm_id")), 12);
    assert_string_equal(json_string_value(json_object_get(vm, "pool")), "C");
    assert_string_equal(json_string_value(json_object_get(vm, "priority")), "high");
    assert_int_equal(json_integer_value(json_object_get(vm, "calls")), 5);
    assert_int_equal(json_integer_value(json_object_get(vm, "bytes")), 500);
    json_decref(root);

    assert_int_equal(
        await_exit(start("--driver=fake", "--stats", self_path, "--client", "3", NULL)), 0);
    assert_true(file_has("err", "run: VM 0, pool A, priority medium"));
    assert_true(file_has("err", "total"));
    assert_true(file_has("err", "300 B"));
    assert_true(file_has("err", "150 us"));
    assert_true(nothing_is_left());
}

static void signals_reach_the_program_and_everything_is_cleaned_up(void **state)
{
    char script[512];
    pid_t pid;

    snprintf(script, sizeof(script),
             "trap 'exit 42' TERM; : > %s/ready; while :; do sleep 0.01; done", dir);
    pid = start("--driver=fake", "sh", "-c", script, NULL);
    WAIT_FOR(access(in_dir("ready"), F_OK) == 0);
    kill(pid, SIGTERM);
    assert_int_equal(await_exit(pid), 42);
    assert_true(nothing_is_left());
}

static void a_killed_vgpu_run_leaves_nothing_either(void **state)
{
    char script[512];
    int status;
    pid_t pid;

    snprintf(script, sizeof(script), "echo $$ > %s/ready; exec sleep 60", dir);
    pid = start("--driver=fake", "sh", "-c", script, NULL);
    WAIT_FOR(file_has("ready", "\n"));
    assert_false(nothing_is_left());
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    WAIT_FOR(nothing_is_left());

    FILE *f = fopen(in_dir("ready"), "r");
    assert_non_null(f);
    if (fscanf(f, "%d", &pid) == 1)
        kill(pid, SIGKILL);
    fclose(f);
}

static void a_gpu_that_does_not_start_is_said_before_the_program_runs(void **state)
{
    setenv("FAKE_FAIL", "broken.so", 1);
    assert_int_equal(
        await_exit(start("--driver=broken.so", "touch", in_dir("must-not-exist"), NULL)), 125);
    unsetenv("FAKE_FAIL");
    assert_true(file_has("err", "no GPU: broken.so: this driver does not start"));
    assert_int_equal(access(in_dir("must-not-exist"), F_OK), -1);
    assert_true(nothing_is_left());
}

static void wrong_usage_is_told_in_a_line(void **state)
{
    static const struct {
        const char *option, *says;
    } wrong[] = {{"--gpu=amd", "--gpu: must be auto, nvidia or soft"},
                 {"--pool=ab", "--pool: must be one letter"},
                 {"--priority=5", "--priority: must be low, medium or high"},
                 {"--vm-id=-1", "--vm-id: must be a whole number"},
                 {"--vm-id=7x", "--vm-id: must be a whole number"},
                 {"--driver=fake", "which program?"}};

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        const char *program = i + 1 < sizeof(wrong) / sizeof(wrong[0]) ? "true" : NULL;

        assert_int_equal(await_exit(start(wrong[i].option, program, NULL)), 125);
        assert_true(file_has("err", wrong[i].says));
    }
}

static void numbers_are_printed_with_their_unit(void **state)
{
    static const struct {
        double ns;
        const char *text;
    } times[] = {{0, "0 ns"},        {999, "999 ns"},   {1000, "1.0 us"},      {12340, "12.3 us"},
                 {999999, "1.0 ms"}, {1.5e6, "1.5 ms"}, {123456789, "123 ms"}, {7.2e12, "7200 s"}};
    char out[16];

    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        table_time(out, times[i].ns);
        assert_string_equal(out, times[i].text);
    }
    table_bytes(out, 1536);
    assert_string_equal(out, "1.5 KiB");
    table_bytes(out, 9e15);
    assert_string_equal(out, "8185 TiB");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(the_programs_exit_status_is_returned),
        TEST(the_program_finds_our_library_and_the_worker_does_not),
        TEST(statistics_are_those_of_the_program),
        TEST(signals_reach_the_program_and_everything_is_cleaned_up),
        TEST(a_killed_vgpu_run_leaves_nothing_either),
        TEST(a_gpu_that_does_not_start_is_said_before_the_program_runs),
        TEST(wrong_usage_is_told_in_a_line),
        TEST(numbers_are_printed_with_their_unit),
    };

    if (argc == 3 && !strcmp(argv[1], "--client"))
        return be_client(atoi(argv[2]));
    if (argc < 4) {
        fprintf(stderr, "usage: %s VGPU-RUN DAEMON FAKE-WORKER [FILTER]\n", argv[0]);
        return 2;
    }
    run_path = argv[1];
    daemon_path = argv[2];
    worker_path = argv[3];
    self_path = argv[0];
    if (argc > 4)
        cmocka_set_test_filter(argv[4]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
