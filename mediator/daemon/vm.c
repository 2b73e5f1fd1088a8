/* SPDX-License-Identifier: Apache-2.0 */
#include "mediator/daemon/daemon.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define RETRY_MAX_NS 1000000000ull

static bool is_device(const struct vm *vm)
{
    return vm->socket[0] != 0;
}

static void log_vm(const char *event, const struct vm *vm)
{
    char pool[2] = {(char)vm->identity.pool};

    vgpu_log(VGPU_LOG_INFO, event, LOG_U("vm", vm->identity.vm_id),
             LOG_S("name", vm->identity.name), LOG_S("pool", pool),
             LOG_S("priority", config_priority_name(vm->identity.priority)),
             LOG_S("socket", is_device(vm) ? vm->socket : "local"));
}

/* Closes the socket that only this identity has. */
static void listener_close(struct daemon *d, struct vm *vm)
{
    char path[PATH_MAX + CONFIG_NAME];

    if (vm->listener.fd < 0)
        return;
    loop_close(d, &vm->listener);
    snprintf(path, sizeof(path), "%s/%s", d->run_dir, vm->listener_name);
    unlink(path);
}

static struct vm *vm_new(struct daemon *d, const struct config_identity *identity)
{
    struct vm *vm = calloc(1, sizeof(*vm)), **at = &d->vms;

    if (!vm)
        return NULL;
    vm->identity = *identity;
    vm->retry_at = NEVER;
    vm->listener.fd = -1;
    schedule_vm_join(d, vm);
    while (*at)
        at = &(*at)->next;
    *at = vm;
    return vm;
}

void vm_release(struct daemon *d, struct vm *vm)
{
    struct vm **at = &d->vms;

    if (!vm->removed || vm->clients || vm->workers)
        return;
    while (*at != vm)
        at = &(*at)->next;
    *at = vm->next;
    schedule_vm_leave(d, vm);
    listener_close(d, vm);
    free(vm);
}

static void vm_remove(struct daemon *d, struct vm *vm, const char *why)
{
    vm->removed = true;
    vm->retry_at = NEVER;
    listener_close(d, vm);
    log_vm("vm_removed", vm);
    if (!vm->clients) {
        vm_release(d, vm);
        return;
    }
    /* The last one takes the VM with it, so look at the count before. */
    for (unsigned n = vm->client_count; n; n--)
        client_close(d, vm->clients, VGPU_LOG_INFO, why);
}

/* ---- connecting to devices ---- */

static void retry_later(struct vm *vm, uint64_t now)
{
    vm->retry_delay = vm->retry_delay ? vm->retry_delay * 2 : RETRY_MIN_NS;
    if (vm->retry_delay > RETRY_MAX_NS)
        vm->retry_delay = RETRY_MAX_NS;
    vm->retry_at = now + vm->retry_delay;
}

static void vm_connect(struct daemon *d, struct vm *vm, uint64_t now)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    strcpy(address.sun_path, vm->socket);
    retry_later(vm, now);
    if (fd < 0)
        return;
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        /* A VM that is off has no socket, or one that nobody listens on; anything else is news. */
        if (errno != ENOENT && errno != ECONNREFUSED && errno != EAGAIN && !vm->complained) {
            vgpu_log(VGPU_LOG_WARN, "vm_not_reached", LOG_U("vm", vm->identity.vm_id),
                     LOG_S("name", vm->identity.name), LOG_S("socket", vm->socket),
                     LOG_S("why", strerror(errno)));
            vm->complained = true;
        }
        close(fd);
        return;
    }
    if (client_new(d, vm, fd, false))
        vm->retry_at = NEVER;
}

uint64_t vms_tick(struct daemon *d, uint64_t now)
{
    uint64_t next = NEVER;

    if (d->db && now >= d->db_at) {
        d->db_at = now + CONFIG_DB_POLL_NS;
        if (config_db_poll(d->db)) {
            vms_config_reload(d);
            vms_scan(d);
        }
    }
    if (d->db)
        next = d->db_at;
    for (struct vm *vm = d->vms; vm; vm = vm->next) {
        if (is_device(vm) && now >= vm->retry_at)
            vm_connect(d, vm, now);
        if (vm->retry_at < next)
            next = vm->retry_at;
    }
    return next;
}

/* ---- entries ---- */

static struct vm *find_device(struct daemon *d, const char *name)
{
    for (struct vm *vm = d->vms; vm; vm = vm->next) {
        if (is_device(vm) && !vm->removed && !strcmp(vm->identity.name, name))
            return vm;
    }
    return NULL;
}

static void add_device(struct daemon *d, const struct config_vm *entry)
{
    struct vm *vm = vm_new(d, &entry->identity);

    if (!vm)
        return;
    strcpy(vm->socket, entry->socket);
    vm->retry_at = now_ns();
    log_vm("vm_added", vm);
}

static void update_device(struct daemon *d, struct vm *vm, const struct config_vm *entry)
{
    struct config_identity *identity = &vm->identity;

    if (strcmp(vm->socket, entry->socket) || identity->vm_id != entry->identity.vm_id ||
        identity->pool != entry->identity.pool) {
        /* Another VM under an old name: nothing of the old one may go on. */
        vm_remove(d, vm, "its entry now describes another VM");
        add_device(d, entry);
        return;
    }
    /* A record that was written again, though with the same values, ends a quarantine too. */
    if (identity->priority == entry->identity.priority &&
        identity->changed_at == entry->identity.changed_at &&
        !memcmp(&identity->limits, &entry->identity.limits, sizeof(identity->limits)))
        return;
    *identity = entry->identity;
    log_vm("vm_changed", vm);
    schedule_release(d, vm);
    schedule_vm_configure(d, vm);
    d->sweep_at = d->decide_at = 0;
}

static int is_entry(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);

    return entry->d_name[0] != '.' && length > 5 && !strcmp(entry->d_name + length - 5, ".json");
}

/* NULL, or what of entry another entry has already. */
static const char *taken(const struct config_vm *entries, unsigned count,
                         const struct config_vm *entry)
{
    for (unsigned k = 0; k < count; k++) {
        if (entries[k].identity.vm_id == entry->identity.vm_id)
            return "vm_id";
        if (!strcmp(entries[k].socket, entry->socket))
            return "socket";
        if (!strcmp(entries[k].identity.name, entry->identity.name))
            return "name";
    }
    return NULL;
}

void vms_scan(struct daemon *d)
{
    char directory[PATH_MAX + 16], path[PATH_MAX + 300], error[CONFIG_ERROR];
    static struct config_vm entries[CONFIG_VMS];
    static char bad[CONFIG_VMS][CONFIG_NAME]; /* entries whose file is there but wrong */
    unsigned count = 0, bad_count = 0;
    struct dirent **files;
    int n;

    snprintf(directory, sizeof(directory), "%s/vms.d", d->config_dir);
    n = scandir(directory, &files, is_entry, alphasort);
    if (n < 0) {
        if (errno != ENOENT)
            vgpu_log(VGPU_LOG_ERROR, "vms_not_read", LOG_S("directory", directory),
                     LOG_S("why", strerror(errno)));
        n = 0;
        files = NULL;
    }
    for (int i = 0; i < n; i++) {
        struct config_vm entry;
        const char *twice = NULL;
        int length = (int)strlen(files[i]->d_name) - 5;

        snprintf(path, sizeof(path), "%s/%s", directory, files[i]->d_name);
        if (config_load_vm(path, &d->config.limits, &entry, error) != 0) {
            vgpu_log(VGPU_LOG_ERROR, "vm_entry_ignored", LOG_S("error", error));
            if (bad_count < CONFIG_VMS && length < CONFIG_NAME) {
                memcpy(bad[bad_count], files[i]->d_name, (size_t)length);
                bad[bad_count++][length] = 0;
            }
            free(files[i]);
            continue;
        }
        twice = taken(entries, count, &entry);
        if (twice || count == CONFIG_VMS) {
            snprintf(error, sizeof(error),
                     twice ? "%.400s: its %s is another entry's already"
                           : "%.400s: there are too many entries",
                     path, twice);
            vgpu_log(VGPU_LOG_ERROR, "vm_entry_ignored", LOG_S("error", error));
        } else {
            entries[count++] = entry;
        }
        free(files[i]);
    }
    free(files);
    for (size_t i = 0; d->db && i < config_db_count(d->db); i++) {
        struct config_vm entry;
        const char *twice;

        config_db_vm(d->db, i, &d->config.limits, &entry);
        twice = taken(entries, count, &entry);
        if (twice || count == CONFIG_VMS)
            vgpu_log(VGPU_LOG_ERROR, "vm_entry_ignored", LOG_S("name", entry.identity.name),
                     LOG_S("taken", twice ? twice : "every place"));
        else
            entries[count++] = entry;
    }

    for (struct vm *vm = d->vms, *next; vm; vm = next) {
        bool keep = !is_device(vm) || vm->removed;

        next = vm->next;
        for (unsigned k = 0; k < count && !keep; k++)
            keep = !strcmp(entries[k].identity.name, vm->identity.name);
        /* A running VM does not end because somebody mistyped its file. */
        for (unsigned k = 0; k < bad_count && !keep; k++)
            keep = !strcmp(bad[k], vm->identity.name);
        if (!keep)
            vm_remove(d, vm, "its entry was removed");
    }
    for (unsigned k = 0; k < count; k++) {
        struct vm *vm = find_device(d, entries[k].identity.name);

        if (vm)
            update_device(d, vm, &entries[k]);
        else
            add_device(d, &entries[k]);
    }
}

/* ---- local socket ---- */

static void local_ready(struct daemon *d, struct source *source, uint32_t events);

/* name: of the socket, empty for the usual one. */
static struct vm *find_local(struct daemon *d, uid_t uid, const char *name)
{
    for (struct vm *vm = d->vms; vm; vm = vm->next) {
        if (!is_device(vm) && !vm->removed && vm->uid == uid && !strcmp(vm->listener_name, name))
            return vm;
    }
    return NULL;
}

/* Anybody may connect; who it is decides what for. */
static int listen_local(struct daemon *d, const char *name, struct source *source)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = -1, n;

    n = snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", d->run_dir, name);
    errno = ENAMETOOLONG;
    if (n < (int)sizeof(address.sun_path)) {
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        unlink(address.sun_path);
    }
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        chmod(address.sun_path, 0666) != 0 || listen(fd, 128) != 0) {
        vgpu_log(VGPU_LOG_ERROR, "local_socket_failed", LOG_S("path", address.sun_path),
                 LOG_S("why", strerror(errno)));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    *source = (struct source){local_ready, fd};
    return loop_add(d, source, EPOLLIN);
}

/* The name of the socket that a listener belongs to, empty for the usual one. */
static const char *socket_name(const struct daemon *d, const struct source *source)
{
    for (const struct vm *vm = d->vms; vm; vm = vm->next) {
        if (source == &vm->listener)
            return vm->listener_name;
    }
    return "";
}

static void update_locals(struct daemon *d)
{
    for (struct vm *vm = d->vms, *next; vm; vm = next) {
        bool keep = is_device(vm) || vm->removed || vm->uid == (uid_t)-1;

        next = vm->next;
        for (size_t i = 0; i < d->config.local_count && !keep; i++) {
            const struct config_identity *identity = &d->config.locals[i].identity;

            keep = d->config.locals[i].uid == vm->uid &&
                   !strcmp(d->config.locals[i].socket, vm->listener_name) &&
                   identity->vm_id == vm->identity.vm_id && identity->pool == vm->identity.pool &&
                   !strcmp(identity->name, vm->identity.name);
        }
        if (!keep)
            vm_remove(d, vm, "its user may not use the mediator any more");
    }
    for (size_t i = 0; i < d->config.local_count; i++) {
        const struct config_local *local = &d->config.locals[i];
        struct vm *vm = find_local(d, local->uid, local->socket);

        if (!vm) {
            vm = vm_new(d, &local->identity);
            if (!vm)
                continue;
            vm->uid = local->uid;
            strcpy(vm->listener_name, local->socket);
        } else if (vm->identity.priority != local->identity.priority ||
                   memcmp(&vm->identity.limits, &local->identity.limits,
                          sizeof(vm->identity.limits))) {
            vm->identity = local->identity;
            log_vm("vm_changed", vm);
            schedule_release(d, vm);
            schedule_vm_configure(d, vm);
        }
        if (vm->listener_name[0] && vm->listener.fd < 0)
            listen_local(d, vm->listener_name, &vm->listener);
    }
}

/* Stands for every user that has no identity; serves nothing. */
static struct vm *stranger(struct daemon *d)
{
    return find_local(d, (uid_t)-1, "");
}

static void local_ready(struct daemon *d, struct source *source, uint32_t events)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);
    struct client *client;
    struct vm *vm;
    int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0)
        return;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
        close(fd);
        return;
    }
    vm = find_local(d, peer.uid, socket_name(d, source));
    if (!vm || peer.uid == (uid_t)-1) {
        vgpu_log(VGPU_LOG_WARN, "local_refused", LOG_U("uid", peer.uid), LOG_U("pid", peer.pid),
                 LOG_S("why", "no entry of \"local\" in mediatord.conf is for this user"));
        vm = stranger(d);
    }
    if (!vm || vm->client_count >= CLIENTS_PER_LOCAL) {
        close(fd);
        return;
    }
    client = client_new(d, vm, fd, false);
    if (client) {
        client->pid = peer.pid;
        client->refused = vm->uid == (uid_t)-1 ? VGPU_REASON_REFUSED : VGPU_REASON_NONE;
    }
}

static int local_start(struct daemon *d)
{
    struct config_identity nobody = {.name = "strangers", .pool = 'A'};
    struct vm *vm;

    if (listen_local(d, "local.sock", &d->local) != 0)
        return -1;
    vm = vm_new(d, &nobody);
    if (vm)
        vm->uid = (uid_t)-1;
    return 0;
}

/* ---- following the configuration ---- */

void vms_config_reload(struct daemon *d)
{
    char path[PATH_MAX + 32], error[CONFIG_ERROR];
    static struct config config;

    snprintf(path, sizeof(path), "%s/mediatord.conf", d->config_dir);
    if (config_load(path, &config, error) != 0) {
        vgpu_log(VGPU_LOG_ERROR, "config_ignored", LOG_S("error", error),
                 LOG_S("effect", "the old configuration stays in force"));
        return;
    }
    if (config.gpu != d->config.gpu || strcmp(config.driver, d->config.driver) ||
        strcmp(config.cgroup, d->config.cgroup))
        vgpu_log(VGPU_LOG_WARN, "config_needs_restart",
                 LOG_S("keys", "gpu, driver and cgroup are only read when the daemon starts"));
    if (d->db)
        config_db_settings(d->db, &config);
    d->config = config;
    if (!d->log_given)
        vgpu_log_set_level((enum vgpu_log_level)config.log_level);
    vgpu_log(VGPU_LOG_INFO, "config_read", LOG_S("file", path));
    update_locals(d);
    schedule_configure(d);
    d->sweep_at = 0;
    workers_balance(d);
}

static void watch_vms(struct daemon *d)
{
    char path[PATH_MAX + 16];

    snprintf(path, sizeof(path), "%s/vms.d", d->config_dir);
    d->vms_watch = inotify_add_watch(
        d->watch.fd, path, IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ONLYDIR);
}

static void watch_ready(struct daemon *d, struct source *source, uint32_t events)
{
    _Alignas(struct inotify_event) char buffer[8192];
    bool scan = false, reload = false;
    ssize_t got = read(source->fd, buffer, sizeof(buffer));

    for (ssize_t at = 0; at + (ssize_t)sizeof(struct inotify_event) <= got;) {
        const struct inotify_event *event = (const struct inotify_event *)(buffer + at);

        at += (ssize_t)(sizeof(*event) + event->len);
        if (event->mask & IN_Q_OVERFLOW) {
            scan = reload = true;
        } else if (event->wd == d->vms_watch) {
            scan = true;
        } else if (event->wd == d->config_watch && event->len) {
            if (!strcmp(event->name, "mediatord.conf"))
                reload = true;
            if (!strcmp(event->name, "vms.d")) {
                watch_vms(d);
                scan = true;
            }
        }
    }
    if (reload)
        vms_config_reload(d);
    if (scan || reload)
        vms_scan(d); /* also because of the limits that entries take over */
}

int vms_start(struct daemon *d)
{
    d->watch = (struct source){watch_ready, inotify_init1(IN_CLOEXEC | IN_NONBLOCK)};
    d->vms_watch = d->config_watch = -1;
    if (d->watch.fd >= 0 && loop_add(d, &d->watch, EPOLLIN) == 0) {
        d->config_watch = inotify_add_watch(d->watch.fd, d->config_dir,
                                            IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM |
                                                IN_DELETE | IN_CREATE | IN_ONLYDIR);
        watch_vms(d);
    } else {
        vgpu_log(VGPU_LOG_WARN, "config_not_watched", LOG_S("why", strerror(errno)),
                 LOG_S("effect", "send SIGHUP after a change"));
    }
    if (local_start(d) != 0)
        return -1;
    update_locals(d);
    vms_scan(d);
    return 0;
}

void vms_close(struct daemon *d)
{
    char path[PATH_MAX + 16];

    for (struct vm *vm = d->vms, *next; vm; vm = next) {
        next = vm->next;
        for (unsigned n = vm->client_count; n; n--)
            client_close(d, vm->clients, VGPU_LOG_INFO, "the daemon ends");
        listener_close(d, vm);
    }
    loop_close(d, &d->local);
    loop_close(d, &d->watch);
    snprintf(path, sizeof(path), "%s/local.sock", d->run_dir);
    unlink(path);
}
