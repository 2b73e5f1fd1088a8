/* SPDX-License-Identifier: Apache-2.0 */
#include "mediator/daemon/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mediator/daemon/spawn.h"

#define SPAWN_DELAY_MIN 500000000ull
#define SPAWN_DELAY_MAX 8000000000ull
#define SPARE_DIED_DELAY 1000000000ull
#define EXIT_GRACE_NS 2000000000ull /* from ENDED or FAILED to the exit */
#define VM_QUERIES_PER_SECOND 4000

const char *reason_name(uint32_t reason)
{
    static const char *const names[] = {"none",        "no-mediator", "link-lost", "bad-table",
                                        "version",     "limit",       "refused",   "no-worker",
                                        "worker-died", "protocol",    "gpu",       "timeout"};

    return reason < sizeof(names) / sizeof(names[0]) ? names[reason] : "unknown";
}

/* ---- driver library ---- */

static void add_candidate(struct daemon *d, const char *path)
{
    snprintf(d->candidates[d->candidate_count++].path, PATH_MAX, "%s", path);
}

/* The software GPU of an installed tree, else of the build tree, else wherever dlopen looks. */
static void add_soft(struct daemon *d)
{
    static const char *const places[] = {"../" VGPU_LIBDIR "/vgpu/libcuda-soft.so.1",
                                         "../" VGPU_LIBDIR "/libcuda-soft.so.1",
                                         "../../lib/vgpu/libcuda-soft.so.1",
                                         "../libcuda-soft.so.1",
                                         "libcuda-soft.so.1",
                                         "../../softgpu/driver/libcuda-soft.so.1"};
    char path[PATH_MAX], real[PATH_MAX];

    for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (snprintf(path, sizeof(path), "%s/%s", d->binary_dir, places[i]) < (int)sizeof(path) &&
            realpath(path, real)) {
            add_candidate(d, real);
            return;
        }
    }
    add_candidate(d, "libcuda-soft.so.1");
}

static void choose_candidates(struct daemon *d)
{
    const char *driver = d->driver_given[0] ? d->driver_given : d->config.driver;
    enum config_gpu gpu = d->gpu_given ? d->gpu : d->config.gpu;

    d->candidate_count = d->candidate = 0;
    d->driver_settled = false;
    /* --gpu on the command line wins over a driver in the file. */
    if (driver[0] && (d->driver_given[0] || !d->gpu_given)) {
        add_candidate(d, driver);
        return;
    }
    if (gpu != CONFIG_GPU_SOFT)
        add_candidate(d, "libcuda.so.1");
    if (gpu != CONFIG_GPU_NVIDIA)
        add_soft(d);
}

static const char *worker_path(const struct daemon *d, char *room)
{
    static const char *const places[] = {"vgpu-worker", "../libexec/vgpu/vgpu-worker",
                                         "../worker/vgpu-worker"};

    if (d->worker_given[0])
        return d->worker_given;
    if (d->config.worker[0])
        return d->config.worker;
    for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (snprintf(room, PATH_MAX, "%s/%s", d->binary_dir, places[i]) < PATH_MAX &&
            access(room, X_OK) == 0)
            return room;
    }
    return "vgpu-worker"; /* fails, with advice */
}

/* ---- processes ---- */

static void worker_ready(struct daemon *d, struct source *source, uint32_t events);

static bool is_assigned(const struct worker *worker)
{
    return worker->vm != NULL;
}

static void worker_kill(struct worker *worker)
{
    if (!worker->reaped) {
        kill(-worker->pid, SIGKILL);
        kill(worker->pid, SIGKILL);
    }
    worker->state = WORKER_KILLED;
    worker->deadline = NEVER;
}

static void note_end(struct worker *worker, uint32_t reason, const char *text)
{
    if (worker->text[0])
        return;
    worker->reason = reason;
    snprintf(worker->text, sizeof(worker->text), "%s", text);
}

static uint32_t free_uid_slot(struct daemon *d)
{
    for (uint32_t i = 0; i < d->config.worker_uid_count; i++) {
        uint32_t slot = (d->uid_next + i) % d->config.worker_uid_count + 1;
        bool used = false;

        for (struct worker *w = d->workers; w; w = w->next)
            used = used || w->uid_slot == slot;
        if (!used) {
            d->uid_next = slot % d->config.worker_uid_count;
            return slot;
        }
    }
    return 0;
}

static void note_failure(struct daemon *d, const char *what, const char *why)
{
    snprintf(d->failure_text, sizeof(d->failure_text), "%.250s: %s", what, why);
}

static void spawn_failed(struct daemon *d, uint32_t reason)
{
    d->failure = reason;
    d->spawn_delay = d->spawn_delay ? d->spawn_delay * 2 : SPAWN_DELAY_MIN;
    if (d->spawn_delay > SPAWN_DELAY_MAX)
        d->spawn_delay = SPAWN_DELAY_MAX;
    d->spawn_at = now_ns() + d->spawn_delay;
}

static int spawn(struct daemon *d)
{
    char room[PATH_MAX];
    struct spawn_request request = {.worker = worker_path(d, room),
                                    .driver = d->candidates[d->candidate].path};
    struct worker *worker = calloc(1, sizeof(*worker));
    int fd = -1;

    if (!worker)
        goto failed;
    if (geteuid() == 0 && d->config.worker_uid_base) {
        worker->uid_slot = free_uid_slot(d);
        if (!worker->uid_slot) {
            errno = EAGAIN;
            goto failed;
        }
        request.uid = d->config.worker_uid_base + worker->uid_slot - 1;
    }
    worker->pid = spawn_worker(&request, &fd);
    if (worker->pid < 0)
        goto failed;
    worker->candidate = d->candidate;
    worker->source = (struct source){worker_ready, fd};
    worker->deadline = now_ns() + d->config.start_timeout_ns;
    worker->next = d->workers;
    d->workers = worker;
    d->worker_count++;
    if (loop_add(d, &worker->source, EPOLLIN) != 0)
        worker_kill(worker);
    vgpu_log(VGPU_LOG_DEBUG, "worker_spawned", LOG_U("pid", worker->pid),
             LOG_S("program", request.worker), LOG_S("driver", request.driver),
             LOG_U("uid", request.uid));
    return 0;
failed:
    vgpu_log(VGPU_LOG_ERROR, "worker_not_spawned", LOG_S("why", strerror(errno)));
    note_failure(d, request.worker, strerror(errno));
    free(worker);
    spawn_failed(d, VGPU_REASON_NO_WORKER);
    return -1;
}

/* Workers that may still become spares, or whose failure is not dealt with yet. */
static unsigned count_loading(const struct daemon *d)
{
    unsigned n = 0;

    for (const struct worker *w = d->workers; w; w = w->next)
        n += !w->was_ready;
    return n;
}

static unsigned count_spares(const struct daemon *d)
{
    unsigned n = 0;

    for (const struct worker *w = d->workers; w; w = w->next)
        n += w->state == WORKER_SPARE;
    return n;
}

static unsigned count_assigned(const struct daemon *d)
{
    unsigned n = 0;

    for (const struct worker *w = d->workers; w; w = w->next)
        n += is_assigned(w);
    return n;
}

/* The channel that has waited longest; count: how many wait. */
static struct client *oldest_waiting(const struct daemon *d, uint32_t *channel, unsigned *count)
{
    struct client *found = NULL;
    uint64_t order = NEVER;

    *count = 0;
    for (const struct vm *vm = d->vms; vm; vm = vm->next) {
        for (struct client *client = vm->clients; client; client = client->next) {
            for (uint32_t i = 0; i < VGPU_CHANNELS; i++) {
                if (client->channels[i].state != CHANNEL_WAITING)
                    continue;
                ++*count;
                if (client->channels[i].order < order) {
                    order = client->channels[i].order;
                    found = client;
                    *channel = i;
                }
            }
        }
    }
    return found;
}

uint32_t workers_unavailable(const struct daemon *d)
{
    unsigned waiting;
    uint32_t channel;

    if (d->failure && now_ns() < d->spawn_at && !count_spares(d))
        return d->failure;
    oldest_waiting(d, &channel, &waiting);
    if (count_assigned(d) + waiting >= d->config.max_workers)
        return VGPU_REASON_LIMIT;
    return VGPU_REASON_NONE;
}

/* ---- assignment ---- */

static struct shm_page *create_page(int *fd)
{
    struct shm_page *page;

    *fd = memfd_create("vgpu-stats", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (*fd < 0)
        return NULL;
    /* Sealed, because a page cut short by the worker would end the daemon with SIGBUS. */
    if (ftruncate(*fd, sizeof(*page)) != 0 ||
        fcntl(*fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
        goto failed;
    fchmod(*fd, 0600);
    page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
    if (page == MAP_FAILED)
        goto failed;
    page->magic = SHM_MAGIC;
    page->version = SHM_VERSION;
    page->bytes = sizeof(*page);
    return page;
failed:
    close(*fd);
    *fd = -1;
    return NULL;
}

/* 0, or -1: the worker is of no use and has been killed. */
static int assign(struct daemon *d, struct worker *worker, struct client *client, uint32_t index)
{
    struct channel *channel = &client->channels[index];
    struct vm *vm = client->vm;
    const struct config_identity *identity = &vm->identity;
    struct worker_msg_assign message = {
        .vm_id = identity->vm_id,
        .pool_id = identity->pool,
        .priority = identity->priority,
        .backend = client->link.backend,
        .channel = index,
        .serial = channel->serial,
        .table_address = channel->open.table_address,
        .runs = channel->open.runs,
        .pages = channel->open.pages,
        .flags = schedule_measures(d, vm) ? WORKER_ASSIGN_MEASURE : 0,
        .region_count = client->region_count,
        .device_memory_limit = identity->limits.device_memory,
    };
    int fds[WORKER_LINK_FDS_MAX], page_fd, sent;
    unsigned n = 0;

    worker->page = create_page(&page_fd);
    if (!worker->page) {
        vgpu_log(VGPU_LOG_ERROR, "no_shared_page", LOG_S("why", strerror(errno)));
        worker_kill(worker);
        return -1;
    }
    snprintf(message.vm_name, sizeof(message.vm_name), "%s", identity->name);
    for (; n < client->region_count; n++) {
        message.regions[n] = client->regions[n];
        fds[n] = client->region_fds[n];
    }
    fds[n++] = channel->doorbell;
    fds[n++] = channel->interrupt;
    fds[n++] = page_fd;
    worker->vm = vm;
    schedule_worker_start(d, worker);
    sent = worker_link_send(worker->source.fd, WORKER_MSG_ASSIGN, &message, sizeof(message), fds, n,
                            MSG_DONTWAIT);
    close(page_fd);
    if (sent != 0) {
        munmap(worker->page, sizeof(*worker->page));
        worker->page = NULL;
        worker->vm = NULL;
        worker_kill(worker);
        return -1;
    }
    close(channel->doorbell);
    close(channel->interrupt);
    channel->doorbell = channel->interrupt = -1;
    channel->deadline = NEVER;
    channel->state = CHANNEL_STARTING;
    channel->worker = worker;
    worker->state = WORKER_STARTING;
    worker->deadline = now_ns() + d->config.start_timeout_ns;
    worker->client = client;
    worker->channel = index;
    worker->serial = channel->serial;
    worker->arena_bytes = (uint64_t)channel->open.pages << VGPU_PAGE_SHIFT;
    vm->workers++;
    vm->arena_bytes += worker->arena_bytes;
    cgroups_place(&d->cgroups, identity, worker->pid);
    return 0;
}

static struct worker *find_spare(const struct daemon *d)
{
    struct worker *found = NULL;

    /* The oldest: the list has the newest first. */
    for (struct worker *w = d->workers; w; w = w->next) {
        if (w->state == WORKER_SPARE)
            found = w;
    }
    return found;
}

void workers_balance(struct daemon *d)
{
    struct client *client;
    struct worker *spare;
    unsigned waiting, have, want;
    uint32_t channel;

    while ((client = oldest_waiting(d, &channel, &waiting)) && (spare = find_spare(d)))
        assign(d, spare, client, channel);

    if (now_ns() < d->spawn_at || d->stop)
        return;
    have = count_loading(d) + count_spares(d);
    want = waiting + d->config.spare_workers;
    /* The first worker tells which driver library works; more would only fail with it. */
    if (!d->driver_settled && want > 1)
        want = 1;
    /* Too many: a channel was given up before its worker got ready, or fewer are configured. */
    for (; have > want && (spare = find_spare(d)); have--)
        worker_stop(d, spare, false);
    while (have < want) {
        if (count_assigned(d) + have >= d->config.max_workers + d->config.spare_workers)
            break;
        if (spawn(d) != 0)
            break;
        have++;
    }
}

static void refuse_waiting(struct daemon *d, uint32_t reason, const char *text)
{
    struct client *client;
    uint32_t channel;
    unsigned count;

    while ((client = oldest_waiting(d, &channel, &count)))
        client_channel_dead(d, client, channel, reason, text);
}

/* ---- messages ---- */

/* The client's channel, when this worker still serves it. */
static struct channel *channel_of(const struct worker *worker)
{
    struct channel *channel;

    if (!worker->client)
        return NULL;
    channel = &worker->client->channels[worker->channel];
    return channel->worker == worker ? channel : NULL;
}

/* Tells the client, once, that the channel is lost. */
static void report_lost(struct daemon *d, struct worker *worker)
{
    struct channel *channel = channel_of(worker);

    if (channel && channel->state != CHANNEL_DEAD) {
        worker->vm->died += channel->state == CHANNEL_OPEN;
        if (worker->reason == VGPU_REASON_PROTOCOL)
            worker->vm->violations++;
        client_channel_dead(d, worker->client, worker->channel, worker->reason, worker->text);
    }
}

static void handle_hello(struct daemon *d, struct worker *worker,
                         const struct worker_msg_hello *hello)
{
    char text[64];

    if (hello->version != WORKER_LINK_VERSION) {
        snprintf(text, sizeof(text), "worker speaks version %u, the daemon %u: install both of one",
                 hello->version, WORKER_LINK_VERSION);
        note_end(worker, VGPU_REASON_VERSION, text);
        worker_kill(worker);
        return;
    }
    if (!hello->device_count) {
        note_end(worker, VGPU_REASON_GPU, "the driver offers no GPU");
        worker_kill(worker);
        return;
    }
    worker->state = WORKER_SPARE;
    worker->was_ready = true;
    worker->deadline = NEVER;
    d->failure = VGPU_REASON_NONE;
    d->spawn_delay = 0;
    d->spawn_at = 0;
    if (!d->driver_settled) {
        d->driver_settled = true;
        d->gpu_hello = *hello;
        vgpu_log(VGPU_LOG_INFO, "gpu_ready", LOG_S("driver", d->candidates[d->candidate].path),
                 LOG_S("device", hello->device_name), LOG_U("devices", hello->device_count),
                 LOG_I("driver_version", hello->driver_version),
                 LOG_U("memory_mb", hello->device_memory >> 20));
    }
    vgpu_log(VGPU_LOG_DEBUG, "worker_spare", LOG_U("pid", worker->pid));
    workers_balance(d);
}

static void handle_started(struct daemon *d, struct worker *worker,
                           const struct worker_msg_started *started)
{
    const struct config_identity *identity = &worker->vm->identity;
    char pool[2] = {(char)identity->pool};

    worker->state = WORKER_RUNNING;
    worker->deadline = NEVER;
    worker->process_id = started->process_id;
    memcpy(worker->process_name, started->process_name, sizeof(worker->process_name));
    vgpu_log(VGPU_LOG_INFO, "channel_open", LOG_U("vm", identity->vm_id),
             LOG_S("name", identity->name), LOG_S("pool", pool),
             LOG_S("priority", config_priority_name(identity->priority)),
             LOG_U("channel", worker->channel), LOG_U("worker", worker->pid),
             LOG_S("process", started->process_name), LOG_U("process_id", started->process_id));
    client_channel_started(d, worker->client, worker->channel);
    d->sweep_at = 0; /* it may be one to watch */
    schedule_update(d);
}

static void handle_end(struct daemon *d, struct worker *worker, const struct worker_msg_end *end)
{
    uint32_t reason = end->reason;

    /* An end nobody asked for always has a reason. */
    if (reason > VGPU_REASON_LAST || reason == VGPU_REASON_NONE)
        reason = VGPU_REASON_WORKER_DIED;
    note_end(worker, reason, end->text[0] ? end->text : "the worker gave no text");
    if (worker->state == WORKER_STARTING || worker->state == WORKER_RUNNING)
        report_lost(d, worker);
    if (worker->state != WORKER_KILLED) {
        worker->state = WORKER_STOPPING;
        worker->deadline = now_ns() + EXIT_GRACE_NS;
    }
}

/* Tells a worker of its own VM's workers, and of no other's. */
static void handle_vm_query(struct daemon *d, struct worker *worker,
                            const struct worker_msg_vm_query *query)
{
    struct worker_msg_vm_info info = {.first = query->first};
    uint64_t now = now_ns();

    /* A guest decides how often its workers ask; turns must not suffer. */
    if (now - worker->vm->asked_since >= 1000000000u) {
        worker->vm->asked_since = now;
        worker->vm->asked = 0;
    }
    if (worker->vm->asked++ >= VM_QUERIES_PER_SECOND)
        return;
    for (const struct worker *w = d->workers; w; w = w->next) {
        if (w->vm != worker->vm || w->state != WORKER_RUNNING)
            continue;
        uint64_t memory = atomic_load_explicit(&w->page->device_memory, memory_order_relaxed);

        if (__builtin_add_overflow(info.device_memory, memory, &info.device_memory))
            info.device_memory = UINT64_MAX;
        info.busy += atomic_load_explicit(&w->page->in_flight, memory_order_relaxed) != 0;
        if (info.total++ < query->first || info.count == WORKER_VM_PROCESSES)
            continue;
        struct worker_vm_process *process = &info.processes[info.count++];

        process->device_memory = memory;
        process->process_id = w->process_id;
        process->worker_pid = (uint32_t)w->pid;
        process->devices = atomic_load_explicit(&w->page->devices, memory_order_relaxed);
        memcpy(process->process_name, w->process_name, sizeof(process->process_name));
    }
    /* A worker that does not read its socket goes without. */
    worker_link_send(worker->source.fd, WORKER_MSG_VM_INFO, &info, sizeof(info), NULL, 0,
                     MSG_DONTWAIT);
}

/* Whether a message of this type may come from a worker in this state. */
static bool is_in_order(enum worker_state state, uint32_t type)
{
    switch (type) {
    case WORKER_MSG_HELLO:
        return state == WORKER_LOADING;
    case WORKER_MSG_STARTED:
        return state == WORKER_STARTING;
    case WORKER_MSG_FAILED:
        return state == WORKER_LOADING || state == WORKER_SPARE || state == WORKER_STARTING;
    case WORKER_MSG_ENDED:
        return state == WORKER_SPARE || state == WORKER_STARTING || state == WORKER_RUNNING;
    case WORKER_MSG_WAKE:
    case WORKER_MSG_VM_QUERY:
        return state == WORKER_RUNNING;
    }
    return false;
}

static bool is_ending(const struct worker *worker)
{
    return worker->state == WORKER_STOPPING || worker->state == WORKER_KILLED;
}

/* 1: read a message; 0: nothing more. */
static int receive(struct daemon *d, struct worker *worker)
{
    union worker_msg message;
    size_t fds = 0;
    int result;

    if (worker->source.fd < 0)
        return 0;
    result = worker_link_receive(worker->source.fd, &message, NULL, &fds, MSG_DONTWAIT);
    if (result < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return 0;
    if (result == 0 || (result < 0 && errno != EPROTO)) {
        /* Closed or dead: without its socket it can do nothing useful. */
        loop_close(d, &worker->source);
        if (!is_ending(worker))
            worker_kill(worker);
        return 0;
    }
    if (is_ending(worker)) {
        /* Its client may have gone because the worker ended the channel: the reason still counts.
         */
        if (result == 1 && message.msg.type == WORKER_MSG_ENDED &&
            message.end.reason == VGPU_REASON_PROTOCOL)
            note_end(worker, message.end.reason, message.end.text);
        return 1;
    }
    if (result < 0 || !is_in_order(worker->state, message.msg.type)) {
        char text[80];

        snprintf(text, sizeof(text), "worker sent %s",
                 result < 0 ? "a malformed message" : worker_msg_name(message.msg.type));
        vgpu_log(VGPU_LOG_ERROR, "worker_out_of_order", LOG_U("pid", worker->pid),
                 LOG_S("text", text), LOG_U("state", worker->state));
        note_end(worker, VGPU_REASON_WORKER_DIED, text);
        worker_kill(worker);
        return 1;
    }
    switch (message.msg.type) {
    case WORKER_MSG_HELLO:
        handle_hello(d, worker, &message.hello);
        break;
    case WORKER_MSG_STARTED:
        handle_started(d, worker, &message.started);
        break;
    case WORKER_MSG_FAILED:
    case WORKER_MSG_ENDED:
        handle_end(d, worker, &message.end);
        break;
    case WORKER_MSG_WAKE:
        schedule_update(d);
        break;
    case WORKER_MSG_VM_QUERY:
        handle_vm_query(d, worker, &message.vm_query);
        break;
    }
    return 1;
}

static void worker_ready(struct daemon *d, struct source *source, uint32_t events)
{
    receive(d, (struct worker *)source);
}

void worker_stop(struct daemon *d, struct worker *worker, bool closing)
{
    struct vgpu_msg stop;

    worker->closing = worker->closing || closing;
    if (!closing)
        worker->client = NULL;
    if (is_ending(worker))
        return;
    worker->state = WORKER_STOPPING;
    worker->deadline = now_ns() + d->config.stop_grace_ns;
    if (worker->page)
        shm_gate_set(worker->page, 1); /* it may be waiting there */
    if (!d->config.stop_grace_ns || worker->source.fd < 0 ||
        worker_link_send(worker->source.fd, WORKER_MSG_STOP, &stop, sizeof(stop), NULL, 0,
                         MSG_DONTWAIT) != 0)
        worker_kill(worker);
}

void worker_fail(struct daemon *d, struct worker *worker, uint32_t reason, const char *text)
{
    worker->blamed = true;
    note_end(worker, reason, text);
    report_lost(d, worker);
    worker_kill(worker);
}

/* ---- end ---- */

/* A worker that never became ready: the next driver library, or no service for a while. */
static void start_failed(struct daemon *d, struct worker *worker)
{
    bool exec = worker->reason == VGPU_REASON_NO_WORKER || worker->reason == VGPU_REASON_VERSION;

    if (worker->reason == VGPU_REASON_WORKER_DIED)
        worker->reason = VGPU_REASON_NO_WORKER;

    bool next = !d->driver_settled && !exec && d->candidate + 1 < d->candidate_count;

    /* That one of several driver libraries is not there is what "auto" is for. */
    vgpu_log(next ? VGPU_LOG_INFO : VGPU_LOG_WARN, "worker_not_started", LOG_U("pid", worker->pid),
             LOG_S("driver", d->candidates[worker->candidate].path),
             LOG_S("reason", reason_name(worker->reason)), LOG_S("text", worker->text));
    note_failure(d, d->candidates[worker->candidate].path, worker->text);
    if (next) {
        d->candidate++;
        vgpu_log(VGPU_LOG_INFO, "gpu_fallback", LOG_S("driver", d->candidates[d->candidate].path));
        return;
    }
    if (!d->driver_settled)
        d->candidate = 0;
    spawn_failed(d, worker->reason);
    if (!find_spare(d))
        refuse_waiting(d, worker->reason, worker->text);
}

static void describe_exit(struct worker *worker, int status)
{
    char text[WORKER_LINK_TEXT];
    uint32_t reason = VGPU_REASON_WORKER_DIED;

    if (WIFSIGNALED(status))
        snprintf(text, sizeof(text), "ended by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) == SPAWN_EXIT_EXEC && !worker->was_ready) {
        reason = VGPU_REASON_NO_WORKER;
        snprintf(text, sizeof(text),
                 "the worker program cannot be executed: check --worker, and that its directory "
                 "is open to the workers' user ids (worker_uid_base)");
    } else if (WEXITSTATUS(status) == SPAWN_EXIT_SETUP && !worker->was_ready) {
        reason = VGPU_REASON_NO_WORKER;
        snprintf(text, sizeof(text), "privileges could not be dropped");
    } else if (!WEXITSTATUS(status) && worker->state == WORKER_STOPPING) {
        reason = VGPU_REASON_NONE;
        snprintf(text, sizeof(text), "as told");
    } else
        snprintf(text, sizeof(text), "ended with status %d", WEXITSTATUS(status));
    note_end(worker, reason, text);
}

static void worker_free(struct daemon *d, struct worker *worker, int status)
{
    struct worker **at = &d->workers;
    struct channel *channel;
    struct vm *vm;
    bool fault;

    worker->reaped = true;
    /* What it said before it died counts. */
    while (receive(d, worker))
        ;
    loop_close(d, &worker->source);
    vm = worker->vm;
    describe_exit(worker, status);
    /* Ended by nobody but itself, with a channel open. */
    fault = vm && !d->stop && channel_of(worker) && !worker->blamed &&
            (worker->reason == VGPU_REASON_WORKER_DIED || worker->reason == VGPU_REASON_PROTOCOL);
    report_lost(d, worker);

    while (*at != worker)
        at = &(*at)->next;
    *at = worker->next;
    d->worker_count--;
    if (vm) {
        vgpu_log(VGPU_LOG_INFO, "worker_ended", LOG_U("vm", vm->identity.vm_id),
                 LOG_S("name", vm->identity.name), LOG_U("channel", worker->channel),
                 LOG_U("pid", worker->pid), LOG_I("status", status),
                 LOG_S("reason", reason_name(worker->reason)), LOG_S("text", worker->text));
        channel = channel_of(worker);
        if (channel)
            channel->worker = NULL;
        if (worker->client && worker->closing)
            client_channel_freed(d, worker->client, worker->channel, worker->serial);
        account_add_page(&vm->past, worker->page, 1);
        schedule_worker_end(d, worker);
        if (!worker->blamed && schedule_saw_fault(worker)) {
            fault = true;
            snprintf(worker->text, sizeof(worker->text), "its work failed on the GPU");
        }
        munmap(worker->page, sizeof(*worker->page));
        vm->workers--;
        vm->arena_bytes -= worker->arena_bytes;
        if (!vm->workers)
            cgroups_remove(&d->cgroups, vm->identity.name);
        if (fault)
            schedule_fault(d, vm, worker->text);
        vm_release(d, vm);
        schedule_update(d);
    } else if (!d->stop && worker->was_ready) {
        vgpu_log(VGPU_LOG_WARN, "spare_ended", LOG_U("pid", worker->pid),
                 LOG_S("text", worker->text));
        d->spawn_at = now_ns() + SPARE_DIED_DELAY;
    } else if (!d->stop) {
        start_failed(d, worker);
    }
    free(worker);
}

void workers_reap(struct daemon *d)
{
    for (;;) {
        siginfo_t info = {0};
        struct worker *worker = d->workers;
        int status = 0;

        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || !info.si_pid)
            break;
        /* What the worker may have started goes with it; the group exists until it is reaped. */
        kill(-info.si_pid, SIGKILL);
        waitpid(info.si_pid, &status, 0);
        while (worker && worker->pid != info.si_pid)
            worker = worker->next;
        if (worker)
            worker_free(d, worker, status);
    }
    workers_balance(d);
}

uint64_t workers_tick(struct daemon *d, uint64_t now)
{
    uint64_t next = NEVER;

    for (struct worker *w = d->workers; w; w = w->next) {
        if (now >= w->deadline) {
            static const char *const late[] = {
                [WORKER_LOADING] = "the driver did not start in time",
                [WORKER_STARTING] = "the worker did not take the channel in time",
                [WORKER_STOPPING] = "the worker did not end in time"};

            vgpu_log(VGPU_LOG_WARN, "worker_late", LOG_U("pid", w->pid),
                     LOG_S("text", late[w->state]));
            note_end(w, w->state == WORKER_LOADING ? VGPU_REASON_GPU : VGPU_REASON_NO_WORKER,
                     late[w->state]);
            worker_kill(w);
        } else if (w->deadline < next) {
            next = w->deadline;
        }
    }
    workers_balance(d);
    if (d->spawn_at > now && d->spawn_at < next)
        next = d->spawn_at;
    return next;
}

void workers_start(struct daemon *d)
{
    choose_candidates(d);
    if (geteuid() != 0)
        vgpu_log(VGPU_LOG_INFO, "workers_share_user", LOG_U("uid", geteuid()),
                 LOG_S("why", "the daemon does not run as root"));
    else if (!d->config.worker_uid_base)
        vgpu_log(VGPU_LOG_INFO, "workers_run_as_root",
                 LOG_S("why", "worker_uid_base is 0 in the configuration"));
    workers_balance(d);
}

void workers_end(struct daemon *d)
{
    d->stop = true;
    for (struct worker *w = d->workers; w; w = w->next) {
        struct channel *channel = channel_of(w);

        /* Their clients are not told one by one: the connection ends. */
        if (channel)
            channel->worker = NULL;
        w->client = NULL;
        worker_kill(w);
    }
    while (d->workers) {
        int status = 0;
        pid_t pid = waitpid(-1, &status, 0);
        struct worker *w = d->workers;

        if (pid < 0 && errno != EINTR)
            break;
        while (w && w->pid != pid)
            w = w->next;
        if (w)
            worker_free(d, w, status);
    }
}
