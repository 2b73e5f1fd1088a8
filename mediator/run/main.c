/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vgpu-run - runs a program of this host through a mediator of its own
 *
 * The mediator lives in a private directory and ends with the program. The program finds our
 * libcuda.so.1 first; the mediator keeps the environment that vgpu-run was started with, so that
 * its workers find the real one.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "mediator/run/table.h"

#define EXIT_MEDIATOR 125
#define EXIT_NOT_EXECUTABLE 126
#define EXIT_NOT_FOUND 127
#define START_TIMEOUT_S 120
#define STOP_TIMEOUT_S 10

static const char usage[] =
    "Usage: vgpu-run [OPTION]... [--] PROGRAM [ARGUMENT]...\n"
    "Runs PROGRAM with its CUDA calls going through a mediator that is started for it alone.\n"
    "\n"
    "  --gpu=auto|nvidia|soft   NVIDIA's driver, the software GPU, or the first that works (auto)\n"
    "  --pool=LETTER            pool that the program belongs to, A to Z (A)\n"
    "  --priority=LEVEL         low, medium or high (medium)\n"
    "  --vm-id=N                VM that the program counts as (0)\n"
    "  --stats[=FILE]           at the end, print calls, bytes and GPU time per call to standard\n"
    "                           error or FILE\n"
    "  --json                   print the statistics as JSON\n"
    "  --verbose                show what the mediator logs\n"
    "  --driver=PATH            driver library for the workers, instead of --gpu\n"
    "  --mediator=PATH          the vgpu-mediatord program (found next to this one)\n"
    "  --worker=PATH            the vgpu-worker program (found next to the mediator)\n"
    "  --library-dir=DIR        directory of our libcuda.so.1 (found next to this program)\n"
    "  --version                print the version and exit\n"
    "  --help                   print this and exit\n"
    "\n"
    "Exit status: PROGRAM's, 128 + N when signal N ended it; 125 when the mediator or its GPU "
    "does\n"
    "not start, 126 when PROGRAM cannot be executed, 127 when it is not found.\n";

struct options {
    const char *gpu, *driver, *mediator, *worker, *library, *stats_file;
    const char *pool, *priority;
    long vm_id;
    bool stats, json, verbose;
};

static char directory[80]; /* empty: none yet */
static pid_t mediator;
static volatile pid_t program;
static volatile sig_atomic_t interrupted;

static __attribute__((format(printf, 1, 2))) void complain(const char *format, ...)
{
    va_list args;

    fputs("vgpu-run: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

static const char *in_directory(const char *name)
{
    static char path[128];

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    return path;
}

/* ---- signals ---- */

static void forward(int signal, siginfo_t *info, void *context)
{
    int error = errno;

    interrupted = signal;
    /* From the terminal, the program has had it already. */
    if (program > 0 && info->si_code != SI_KERNEL)
        kill(program, signal);
    errno = error;
}

static const int forwarded[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};

static void catch_signals(void)
{
    struct sigaction action = {.sa_sigaction = forward, .sa_flags = SA_SIGINFO};

    for (unsigned i = 0; i < sizeof(forwarded) / sizeof(forwarded[0]); i++) {
        struct sigaction old;

        /* What nohup and shells have set to be ignored stays so, here and in the program. */
        if (sigaction(forwarded[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(forwarded[i], &action, NULL);
    }
}

/* ---- mediator ---- */

/* First of places, relative to this program, where there is a file; out has PATH_MAX bytes. */
static bool find_near(const char *const *places, char *out)
{
    char self[PATH_MAX], path[2 * PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

    if (n <= 0)
        return false;
    self[n] = 0;
    *strrchr(self, '/') = 0;
    for (; *places; places++) {
        snprintf(path, sizeof(path), "%s/%s", self, *places);
        if (realpath(path, out))
            return true;
    }
    return false;
}

static int make_directory(void)
{
    const char *base = getenv("XDG_RUNTIME_DIR");
    struct stat st;

    /* A unix socket's path has 107 characters. */
    if (!base || base[0] != '/' || strlen(base) > 48 || stat(base, &st) != 0 ||
        st.st_uid != geteuid() || access(base, W_OK) != 0)
        base = "/tmp";
    snprintf(directory, sizeof(directory), "%s/vgpu-run-XXXXXX", base);
    if (!mkdtemp(directory)) {
        complain("no private directory in %s: %s", base, strerror(errno));
        directory[0] = 0;
        return -1;
    }
    return 0;
}

static void remove_directory(void)
{
    static const char *const names[] = {"mediatord.conf", "mediatord.pid", "local.sock",
                                        "control.sock", "metrics.sock"};

    if (!directory[0])
        return;
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        unlink(in_directory(names[i]));
    rmdir(directory);
}

static int write_configuration(const struct options *o)
{
    json_t *root, *local;
    int result;

    local = json_pack("{s:I, s:s, s:i, s:s, s:s}", "uid", (json_int_t)geteuid(), "name", "run",
                      "vm_id", (int)o->vm_id, "pool", o->pool, "priority", o->priority);
    /* Workers run as the program would: whoever may run it may do what they can do. */
    root = json_pack("{s:b, s:i, s:s, s:i, s:[o]}", "measure_gpu_time", o->stats, "worker_uid_base",
                     0, "cgroup", "off", "stop_grace_ms", 1000, "local", local);
    if (!root)
        return -1;
    result = json_dump_file(root, in_directory("mediatord.conf"), 0);
    json_decref(root);
    if (result != 0)
        complain("%s cannot be written: %s", in_directory("mediatord.conf"), strerror(errno));
    return result;
}

/* Where libnvidia-ml.so.1 is when not beside libcuda.so.1, as in a build tree; else the same. */
static const char *nvml_directory(const char *library)
{
    static char path[PATH_MAX];
    char file[PATH_MAX + 32];

    snprintf(file, sizeof(file), "%s/../libnvml/libnvidia-ml.so.1", library);
    if (access(file, F_OK) != 0)
        return library;
    *strrchr(file, '/') = 0;
    return realpath(file, path) ? path : library;
}

/* Takes our libraries' directories out of LD_LIBRARY_PATH, where an outer vgpu-run has put them. */
static void forget_library(const char *library)
{
    const char *old = getenv("LD_LIBRARY_PATH");
    char *copy, *kept, *save = NULL;

    if (!old)
        return;
    copy = strdup(old);
    kept = calloc(1, strlen(old) + 2);
    if (!copy || !kept)
        return;
    for (char *entry = strtok_r(copy, ":", &save); entry; entry = strtok_r(NULL, ":", &save)) {
        if (strcmp(entry, library) && strcmp(entry, nvml_directory(library))) {
            if (kept[0])
                strcat(kept, ":");
            strcat(kept, entry);
        }
    }
    if (strlen(kept) != strlen(old))
        setenv("LD_LIBRARY_PATH", kept, 1);
}

static _Noreturn void become_mediator(const struct options *o, const char *path,
                                      const char *library, pid_t parent)
{
    char run[128], config[128], gpu[32], driver[PATH_MAX + 16], worker[PATH_MAX + 16];
    const char *argv[12] = {"vgpu-mediatord", "--foreground", "--ephemeral", run, config};
    int n = 5;

    setpgid(0, 0); /* the terminal's signals are for the program */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(1);
    forget_library(library);
    unsetenv("NOTIFY_SOCKET");
    snprintf(run, sizeof(run), "--run-dir=%s", directory);
    snprintf(config, sizeof(config), "--config-dir=%s", directory);
    argv[n++] = o->verbose ? "--log-level=debug" : "--log-level=warn";
    if (o->driver) {
        snprintf(driver, sizeof(driver), "--driver=%s", o->driver);
        argv[n++] = driver;
    } else {
        snprintf(gpu, sizeof(gpu), "--gpu=%s", o->gpu);
        argv[n++] = gpu;
    }
    if (o->worker) {
        snprintf(worker, sizeof(worker), "--worker=%s", o->worker);
        argv[n++] = worker;
    }
    execv(path, (char **)argv);
    complain("%s: %s", path, strerror(errno));
    _exit(1);
}

/* What the mediator answers to "stats"; NULL when it does not. */
static json_t *ask_stats(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    json_t *root = NULL;

    strcpy(address.sun_path, in_directory("control.sock"));
    if (fd < 0)
        return NULL;
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
        send(fd, "stats\n", 6, MSG_NOSIGNAL) == 6) {
        struct timeval limit = {10, 0};

        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
        root = json_loadfd(fd, 0, NULL);
    }
    close(fd);
    return root;
}

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Until a GPU is ready or known not to start, so that its trouble is told before the program's. */
static int await_mediator(void)
{
    double end = seconds() + START_TIMEOUT_S;

    while (!interrupted && seconds() < end) {
        json_t *root = ask_stats(), *gpu = json_object_get(root, "gpu");
        const char *failure = json_string_value(json_object_get(gpu, "failure"));
        bool ready = json_is_true(json_object_get(gpu, "ready"));
        int status;

        if (!ready && failure)
            complain("no GPU: %s", failure);
        json_decref(root);
        if (ready || failure)
            return ready ? 0 : -1;
        if (waitpid(mediator, &status, WNOHANG) == mediator) {
            mediator = 0;
            complain("the mediator did not start");
            return -1;
        }
        usleep(2000);
    }
    if (!interrupted)
        complain("the mediator's GPU was not ready within %d s", START_TIMEOUT_S);
    return -1;
}

static void stop_mediator(void)
{
    double end = seconds() + STOP_TIMEOUT_S;
    int status;

    if (mediator <= 0)
        return;
    kill(mediator, SIGTERM);
    while (waitpid(mediator, &status, WNOHANG) == 0) {
        if (seconds() > end) {
            kill(mediator, SIGKILL); /* its workers go with it */
            waitpid(mediator, &status, 0);
            break;
        }
        usleep(1000);
    }
    mediator = 0;
}

/* ---- program ---- */

static _Noreturn void become_program(const char *library, char **argv)
{
    const char *old = getenv("LD_LIBRARY_PATH"), *nvml = nvml_directory(library);
    char *path;

    setenv("VGPU_SOCKET", in_directory("local.sock"), 1);
    if (asprintf(&path, "%s%s%s%s%s", library, nvml != library ? ":" : "",
                 nvml != library ? nvml : "", old && old[0] ? ":" : "", old ? old : "") < 0)
        _exit(EXIT_MEDIATOR);
    setenv("LD_LIBRARY_PATH", path, 1);
    for (unsigned i = 0; i < sizeof(forwarded) / sizeof(forwarded[0]); i++) {
        struct sigaction old_action;

        if (sigaction(forwarded[i], NULL, &old_action) == 0 && old_action.sa_handler != SIG_IGN)
            signal(forwarded[i], SIG_DFL);
    }
    execvp(argv[0], argv);
    complain("%s: %s", argv[0], strerror(errno));
    _exit(errno == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE);
}

static int run_program(const char *library, char **argv)
{
    sigset_t all, before;
    int status;
    pid_t pid;

    /* No signal may fall between the fork and the place where forward() looks. */
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    pid = interrupted ? -1 : fork();
    if (pid == 0) {
        sigprocmask(SIG_SETMASK, &before, NULL);
        become_program(library, argv);
    }
    program = pid;
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (pid < 0) {
        if (interrupted)
            return 128 + interrupted;
        complain("no process: %s", strerror(errno));
        return EXIT_MEDIATOR;
    }
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return EXIT_MEDIATOR;
    }
    program = 0;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int print_stats(const struct options *o, json_t *root)
{
    FILE *out = stderr;
    int result = 0;

    if (!root) {
        complain("the mediator gave no statistics");
        return -1;
    }
    if (o->stats_file) {
        out = fopen(o->stats_file, "we");
        if (!out) {
            complain("--stats: %s: %s", o->stats_file, strerror(errno));
            return -1;
        }
    }
    if (o->json) {
        json_dumpf(root, out, JSON_INDENT(1));
        fputc('\n', out);
    } else {
        table_print(out, root);
    }
    if (out != stderr && fclose(out) != 0)
        result = -1;
    return result;
}

/* ---- options ---- */

static _Noreturn void bad_usage(const char *text)
{
    complain("%s", text);
    fputs("Try: vgpu-run --help\n", stderr);
    exit(EXIT_MEDIATOR);
}

static void parse(int argc, char **argv, struct options *o)
{
    enum {
        GPU = 256,
        POOL,
        PRIORITY,
        VM_ID,
        STATS,
        JSON,
        VERBOSE,
        DRIVER,
        MEDIATOR,
        WORKER,
        LIBRARY,
        VERSION,
        HELP
    };
    static const struct option options[] = {{"gpu", required_argument, NULL, GPU},
                                            {"pool", required_argument, NULL, POOL},
                                            {"priority", required_argument, NULL, PRIORITY},
                                            {"vm-id", required_argument, NULL, VM_ID},
                                            {"stats", optional_argument, NULL, STATS},
                                            {"json", no_argument, NULL, JSON},
                                            {"verbose", no_argument, NULL, VERBOSE},
                                            {"driver", required_argument, NULL, DRIVER},
                                            {"mediator", required_argument, NULL, MEDIATOR},
                                            {"worker", required_argument, NULL, WORKER},
                                            {"library-dir", required_argument, NULL, LIBRARY},
                                            {"version", no_argument, NULL, VERSION},
                                            {"help", no_argument, NULL, HELP},
                                            {NULL, 0, NULL, 0}};
    int option;
    char *end;

    /* "+": the program's own options are not ours. */
    while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
        switch (option) {
        case GPU:
            if (strcmp(optarg, "auto") && strcmp(optarg, "nvidia") && strcmp(optarg, "soft"))
                bad_usage("--gpu: must be auto, nvidia or soft");
            o->gpu = optarg;
            break;
        case POOL:
            if (optarg[0] < 'A' || optarg[0] > 'Z' || optarg[1])
                bad_usage("--pool: must be one letter, A to Z");
            o->pool = optarg;
            break;
        case PRIORITY:
            if (strcmp(optarg, "low") && strcmp(optarg, "medium") && strcmp(optarg, "high"))
                bad_usage("--priority: must be low, medium or high");
            o->priority = optarg;
            break;
        case VM_ID:
            errno = 0;
            o->vm_id = strtol(optarg, &end, 10);
            if (errno || *end || end == optarg || o->vm_id < 0 || o->vm_id > INT32_MAX)
                bad_usage("--vm-id: must be a whole number from 0 to 2147483647");
            break;
        case STATS:
            o->stats = true;
            o->stats_file = optarg;
            break;
        case JSON:
            o->stats = o->json = true;
            break;
        case VERBOSE:
            o->verbose = true;
            break;
        case DRIVER:
            o->driver = optarg;
            break;
        case MEDIATOR:
            o->mediator = optarg;
            break;
        case WORKER:
            o->worker = optarg;
            break;
        case LIBRARY:
            o->library = optarg;
            break;
        case VERSION:
            puts("vgpu-run " VGPU_PACKAGE_VERSION);
            exit(0);
        case HELP:
            fputs(usage, stdout);
            exit(0);
        default:
            fputs("Try: vgpu-run --help\n", stderr);
            exit(EXIT_MEDIATOR);
        }
    }
    if (optind >= argc)
        bad_usage("which program?");
}

/* The directory, absolute, that makes a program find our libcuda.so.1. */
static const char *find_library(const struct options *o)
{
    static const char *const places[] = {"../" VGPU_LIBDIR "/vgpu/libcuda.so.1",
                                         "../../guest/libcuda/libcuda.so.1", NULL};
    static char path[PATH_MAX];

    if (o->library) {
        if (!realpath(o->library, path)) {
            complain("--library-dir: %s: %s", o->library, strerror(errno));
            return NULL;
        }
        return path;
    }
    /* Not the resolved file's directory: the name libcuda.so.1 may be a link into another. */
    for (unsigned i = 0; places[i]; i++) {
        const char *one[] = {places[i], NULL};
        char directory_of[PATH_MAX];
        const char *two[] = {directory_of, NULL};
        char file[PATH_MAX];

        if (!find_near(one, file))
            continue;
        strcpy(directory_of, places[i]);
        *strrchr(directory_of, '/') = 0;
        if (find_near(two, path))
            return path;
    }
    complain("our libcuda.so.1 is not next to this program; say where with --library-dir");
    return NULL;
}

static const char *find_mediator(const struct options *o)
{
    static const char *const places[] = {"../sbin/vgpu-mediatord", "vgpu-mediatord",
                                         "../daemon/vgpu-mediatord", NULL};
    static char path[PATH_MAX];

    if (o->mediator)
        return o->mediator;
    if (find_near(places, path))
        return path;
    complain("vgpu-mediatord is not next to this program; say where with --mediator");
    return NULL;
}

int main(int argc, char **argv)
{
    struct options o = {.gpu = "auto", .pool = "A", .priority = "medium"};
    const char *library, *path;
    int status = EXIT_MEDIATOR;
    pid_t parent = getpid();

    parse(argc, argv, &o);
    library = find_library(&o);
    path = find_mediator(&o);
    if (!library || !path)
        return EXIT_MEDIATOR;
    catch_signals();
    if (make_directory() != 0)
        return EXIT_MEDIATOR;
    if (write_configuration(&o) == 0) {
        mediator = fork();
        if (mediator == 0)
            become_mediator(&o, path, library, parent);
        if (mediator < 0)
            complain("no process: %s", strerror(errno));
        else if (await_mediator() == 0)
            status = run_program(library, argv + optind);
        else if (interrupted)
            status = 128 + interrupted;
    }
    if (o.stats && mediator > 0) {
        json_t *root = ask_stats();

        /* The program's success is not worth more than a report that was asked for. */
        if (print_stats(&o, root) != 0 && status == 0)
            status = EXIT_MEDIATOR;
        json_decref(root);
    }
    stop_mediator();
    remove_directory();
    return status;
}
