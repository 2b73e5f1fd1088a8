/* SPDX-License-Identifier: Apache-2.0 */
#include "mediator/daemon/daemon.h"
#include "admin/libvgpu/vgpu_db.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define CONFIG_DIR "/etc/vgpu"
#define RUN_DIR "/run/vgpu"

static const char usage[] =
    "Usage: vgpu-mediatord [OPTION]...\n"
    "Lets virtual machines and programs on this host share a GPU.\n"
    "\n"
    "  --foreground          stay in the foreground and log to standard error\n"
    "  --config-dir=DIR      where mediatord.conf and vms.d/ are (" CONFIG_DIR ")\n"
    "  --db=FILE             configuration database (" VGPU_DB_DEFAULT_PATH ", when it is there)\n"
    "  --run-dir=DIR         where the sockets local.sock and control.sock go (" RUN_DIR ")\n"
    "  --gpu=auto|nvidia|soft\n"
    "                        NVIDIA's driver, the software GPU, or the first that works (auto)\n"
    "  --driver=PATH         driver library that workers load, instead of --gpu\n"
    "  --worker=PATH         the vgpu-worker program (next to this one)\n"
    "  --stats-file=FILE     write statistics there at the end and on SIGUSR1\n"
    "  --log-file=FILE       log there (DIR/mediatord.log in the background)\n"
    "  --log-level=LEVEL     error, warn, info or debug (info)\n"
    "  --check               read the configuration, say what is wrong with it, and exit\n"
    "  --ephemeral           remove the run directory at the end, with its configuration\n"
    "  --version             print the version and exit\n"
    "  --help                print this and exit\n"
    "\n"
    "Signals: SIGTERM and SIGINT end it, SIGHUP reads the configuration again (changes are also\n"
    "noticed by themselves), SIGUSR1 writes the statistics file.\n"
    "Options given here win over the configuration file.\n"
    "\n"
    "Exit status: 0 ended by a signal, 1 could not start, 2 wrong usage or configuration.\n";

static __attribute__((format(printf, 1, 2), noreturn)) void die(const char *format, ...)
{
    va_list args;

    fputs("vgpu-mediatord: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(2);
}

static void take_path(char *out, const char *option, const char *value)
{
    char here[PATH_MAX];
    int n;

    if (value[0] == '/')
        n = snprintf(out, PATH_MAX, "%s", value);
    else if (getcwd(here, sizeof(here)))
        n = snprintf(out, PATH_MAX, "%s/%s", here, value);
    else
        die("--%s: the current directory is not known; give an absolute path", option);
    if (!value[0] || n >= PATH_MAX)
        die("--%s: the path is empty or too long", option);
}

static void signals_ready(struct daemon *d, struct source *source, uint32_t events)
{
    struct signalfd_siginfo info;

    if (read(source->fd, &info, sizeof(info)) != sizeof(info))
        return;
    switch (info.ssi_signo) {
    case SIGCHLD:
        workers_reap(d);
        break;
    case SIGHUP:
        vms_config_reload(d);
        vms_scan(d);
        break;
    case SIGUSR1:
        control_write_stats(d);
        break;
    default:
        vgpu_log(VGPU_LOG_INFO, "stopping", LOG_S("signal", strsignal((int)info.ssi_signo)));
        d->stop = true;
    }
}

static int signals_start(struct daemon *d)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    d->signals = (struct source){signals_ready, signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)};
    return d->signals.fd < 0 ? -1 : loop_add(d, &d->signals, EPOLLIN);
}

/* One daemon per run directory: whoever holds the lock owns the sockets there, stale or not. */
static int lock_run_dir(struct daemon *d)
{
    char path[PATH_MAX + 16], text[32] = "";

    if (mkdir(d->run_dir, 0755) != 0 && errno != EEXIST) {
        fprintf(stderr, "vgpu-mediatord: %s cannot be created: %s; create it or use --run-dir\n",
                d->run_dir, strerror(errno));
        return -1;
    }
    snprintf(path, sizeof(path), "%s/mediatord.pid", d->run_dir);
    d->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (d->lock < 0) {
        fprintf(stderr, "vgpu-mediatord: %s: %s; run as the owner of %s or use --run-dir\n", path,
                strerror(errno), d->run_dir);
        return -1;
    }
    if (flock(d->lock, LOCK_EX | LOCK_NB) != 0) {
        ssize_t n = read(d->lock, text, sizeof(text) - 1);

        text[n > 0 ? strcspn(text, "\n") : 0] = 0;
        fprintf(stderr,
                "vgpu-mediatord: another one (pid %s) runs with %s; stop it or use --run-dir\n",
                text[0] ? text : "unknown", d->run_dir);
        return -1;
    }
    if (ftruncate(d->lock, 0) != 0 || dprintf(d->lock, "%d\n", (int)getpid()) < 0)
        return -1;
    return 0;
}

/* Every worker and every region of a VM's memory takes a descriptor; the usual 1024 is too few. */
static void raise_file_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 65536) {
        limit.rlim_cur = limit.rlim_max < 65536 ? limit.rlim_max : 65536;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Only what a private daemon's starter and it itself put there: never a whole tree. */
static void remove_run_dir(const struct daemon *d)
{
    static const char *const names[] = {"mediatord.pid", "mediatord.conf", "mediatord.log"};
    char path[PATH_MAX];

    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", d->run_dir, names[i]);
        unlink(path);
    }
    rmdir(d->run_dir);
}

/* Tells systemd, when that started us and asked for it. */
static void notify_systemd(const char *text)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t size;
    int fd;

    if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof(address.sun_path))
        return;
    strcpy(address.sun_path, path);
    size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (path[0] == '@')
        address.sun_path[0] = 0;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&address, size);
    close(fd);
}

/* Goes to the background; the parent exits with 0 once ready is written to, or 1. */
static int background(void)
{
    int ready[2];
    char byte;
    pid_t pid;

    if (pipe2(ready, O_CLOEXEC) != 0)
        die("no pipe: %s", strerror(errno));
    pid = fork();
    if (pid < 0)
        die("no process: %s", strerror(errno));
    if (pid > 0) {
        close(ready[1]);
        _exit(read(ready[0], &byte, 1) == 1 ? 0 : 1);
    }
    close(ready[0]);
    setsid();
    return ready[1];
}

/* Reads every entry, so that a bad one is known before the daemon goes on without it. */
static int check_entries(const struct daemon *d);

int main(int argc, char **argv)
{
    enum {
        GPU = 256,
        CONFIG,
        RUN,
        DRIVER,
        WORKER,
        STATS,
        LOG,
        LEVEL,
        FOREGROUND,
        CHECK,
        EPHEMERAL,
        DATABASE,
        VERSION,
        HELP
    };
    static const struct option options[] = {{"foreground", no_argument, NULL, FOREGROUND},
                                            {"config-dir", required_argument, NULL, CONFIG},
                                            {"run-dir", required_argument, NULL, RUN},
                                            {"gpu", required_argument, NULL, GPU},
                                            {"driver", required_argument, NULL, DRIVER},
                                            {"worker", required_argument, NULL, WORKER},
                                            {"stats-file", required_argument, NULL, STATS},
                                            {"log-file", required_argument, NULL, LOG},
                                            {"log-level", required_argument, NULL, LEVEL},
                                            {"check", no_argument, NULL, CHECK},
                                            {"ephemeral", no_argument, NULL, EPHEMERAL},
                                            {"db", required_argument, NULL, DATABASE},
                                            {"version", no_argument, NULL, VERSION},
                                            {"help", no_argument, NULL, HELP},
                                            {NULL, 0, NULL, 0}};
    static const char *const levels[] = {"error", "warn", "info", "debug"};
    static struct daemon d;
    char path[PATH_MAX + 32], error[CONFIG_ERROR], log_file[PATH_MAX] = "", database[PATH_MAX] = "";
    bool foreground = false, check = false;
    int option, ready = -1, level = -1;
    struct stat st;
    ssize_t n;

    strcpy(d.config_dir, CONFIG_DIR);
    strcpy(d.run_dir, RUN_DIR);
    d.lock = d.signals.fd = d.watch.fd = d.local.fd = d.control_listener.fd =
        d.metrics_listener.fd = -1;
    d.started = now_ns();
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case FOREGROUND:
            foreground = true;
            break;
        case CONFIG:
            take_path(d.config_dir, "config-dir", optarg);
            break;
        case RUN:
            take_path(path, "run-dir", optarg);
            if (strlen(path) >= sizeof(d.run_dir))
                die("--run-dir: must be shorter than %zu characters", sizeof(d.run_dir));
            strcpy(d.run_dir, path);
            break;
        case GPU:
            if (!config_parse_gpu(optarg, &d.gpu))
                die("--gpu: must be auto, nvidia or soft");
            d.gpu_given = true;
            break;
        case DRIVER:
            /* A bare name is left for the dynamic linker to find. */
            if (strchr(optarg, '/'))
                take_path(d.driver_given, "driver", optarg);
            else
                snprintf(d.driver_given, sizeof(d.driver_given), "%s", optarg);
            break;
        case WORKER:
            take_path(d.worker_given, "worker", optarg);
            break;
        case STATS:
            take_path(d.stats_file, "stats-file", optarg);
            break;
        case LOG:
            take_path(log_file, "log-file", optarg);
            break;
        case LEVEL:
            for (int i = 0; i < 4; i++) {
                if (!strcmp(optarg, levels[i]))
                    level = i;
            }
            if (level < 0)
                die("--log-level: must be error, warn, info or debug");
            d.log_given = true;
            break;
        case CHECK:
            check = true;
            break;
        case DATABASE:
            take_path(database, "db", optarg);
            break;
        case EPHEMERAL:
            d.ephemeral = true;
            break;
        case VERSION:
            puts("vgpu-mediatord " VGPU_PACKAGE_VERSION);
            return 0;
        case HELP:
            fputs(usage, stdout);
            return 0;
        default:
            fputs("Try: vgpu-mediatord --help\n", stderr);
            return 2;
        }
    }
    if (optind < argc)
        die("unexpected argument %s; try --help", argv[optind]);
    if (stat(d.config_dir, &st) != 0 || !S_ISDIR(st.st_mode))
        die("configuration directory %s does not exist; create it or use --config-dir",
            d.config_dir);
    snprintf(path, sizeof(path), "%s/mediatord.conf", d.config_dir);
    if (config_load(path, &d.config, error) != 0)
        die("%s", error);
    if (check)
        return check_entries(&d);
    /* A daemon with a directory of its own has nothing to do with the host's database. */
    if (!database[0] && !strcmp(d.config_dir, CONFIG_DIR))
        strcpy(database, VGPU_DB_DEFAULT_PATH);
    if (d.worker_given[0] && access(d.worker_given, X_OK) != 0)
        die("--worker: %s: %s", d.worker_given, strerror(errno));
    n = readlink("/proc/self/exe", d.binary_dir, sizeof(d.binary_dir) - 1);
    if (n > 0)
        *strrchr(d.binary_dir, '/') = 0;

    if (!foreground)
        ready = background();
    if (lock_run_dir(&d) != 0)
        return 1;
    if (!foreground && !log_file[0] &&
        snprintf(log_file, sizeof(log_file), "%s/mediatord.log", d.run_dir) >=
            (int)sizeof(log_file))
        return 1;
    if (log_file[0]) {
        int fd = open(log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);

        if (fd < 0) {
            fprintf(stderr, "vgpu-mediatord: %s: %s; use another --log-file\n", log_file,
                    strerror(errno));
            return 1;
        }
        dup2(fd, 2); /* workers log there too */
        close(fd);
    }
    vgpu_log_set_level((enum vgpu_log_level)(d.log_given ? level : d.config.log_level));
    raise_file_limit();
    d.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (d.epoll < 0 || signals_start(&d) != 0) {
        vgpu_log(VGPU_LOG_ERROR, "not_started", LOG_S("why", strerror(errno)));
        return 1;
    }
    vgpu_log(VGPU_LOG_INFO, "starting", LOG_S("version", VGPU_PACKAGE_VERSION),
             LOG_S("config", d.config_dir), LOG_S("run", d.run_dir), LOG_U("pid", getpid()));
    if (database[0]) {
        d.db = config_db_new(database);
        if (d.db && config_db_poll(d.db))
            config_db_settings(d.db, &d.config);
    }
    cgroups_init(&d.cgroups, d.config.cgroup);
    schedule_start(&d);
    workers_start(&d);
    if (vms_start(&d) != 0 || control_start(&d) != 0) {
        workers_end(&d);
        return 1;
    }
    if (ready >= 0) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        if (chdir("/") != 0 || null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 ||
            write(ready, "", 1) != 1)
            return 1;
        close(null);
        close(ready);
    }
    notify_systemd("READY=1");
    loop_run(&d);
    notify_systemd("STOPPING=1");

    /* Workers first: what they counted last belongs into the statistics. */
    workers_end(&d);
    control_write_stats(&d);
    control_end(&d);
    vms_close(&d);
    config_db_free(d.db);
    if (d.ephemeral)
        remove_run_dir(&d);
    vgpu_log(VGPU_LOG_INFO, "stopped");
    return 0;
}

static int check_entries(const struct daemon *d)
{
    char directory[PATH_MAX + 16], path[PATH_MAX + 300], error[CONFIG_ERROR];
    struct dirent *entry;
    int bad = 0;
    DIR *dir;

    snprintf(directory, sizeof(directory), "%s/vms.d", d->config_dir);
    dir = opendir(directory);
    while (dir && (entry = readdir(dir))) {
        size_t length = strlen(entry->d_name);
        struct config_vm vm;

        if (entry->d_name[0] == '.' || length < 6 || strcmp(entry->d_name + length - 5, ".json"))
            continue;
        snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
        if (config_load_vm(path, &d->config.limits, &vm, error) != 0) {
            fprintf(stderr, "vgpu-mediatord: %s\n", error);
            bad = 2;
        }
    }
    if (dir)
        closedir(dir);
    return bad;
}
