/* SPDX-License-Identifier: Apache-2.0 */
#include "mediator/daemon/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <jansson.h>

#define CONTROL_TIMEOUT_NS 10000000000ull
#define CONTROLS_MAX 16

static void put(json_t *object, const char *key, uint64_t value)
{
    json_object_set_new(object, key, json_integer((json_int_t)value));
}

static void put_schedule(json_t *object, const struct vm *vm)
{
    const struct sched_member *member = &vm->member;

    put(object, "weight", member->weight);
    json_object_set_new(object, "utilization", json_real((double)vm->utilization_ppm / 1e6));
    json_object_set_new(object, "backlogged", json_boolean(member->wants));
    json_object_set_new(object, "in_flight", json_boolean(member->in_flight));
    put(object, "submissions", member->submitted);
    put(object, "charged_ns", member->charged_ns);
    put(object, "wait_ns", member->waited_ns);
    put(object, "wait_max_ns", member->wait_max_ns);
    put(object, "turns", member->turns);
    put(object, "preempted", member->preempted);
    put(object, "throttles", member->throttles);
    json_object_set_new(object, "throttled", json_boolean(member->throttled));
    put(object, "faults", vm->faults);
    put(object, "overruns", vm->overruns);
    put(object, "quarantines", vm->quarantines);
    json_object_set_new(object, "quarantined", json_boolean(schedule_is_quarantined(vm)));
}

static json_t *pools_json(const struct daemon *d)
{
    json_t *pools = json_array();

    for (unsigned i = 0; i < CONFIG_POOLS; i++) {
        char name[2] = {(char)('A' + i)};
        uint64_t gpu_ns = 0, ppm = 0;
        unsigned count = 0, backlogged = 0;
        json_t *pool;

        for (const struct vm *vm = d->vms; vm; vm = vm->next) {
            if (vm->identity.pool != (uint32_t)name[0] || vm->uid == (uid_t)-1)
                continue;
            count++;
            backlogged += vm->member.wants;
            gpu_ns += vm->member.gpu_ns;
            ppm += vm->utilization_ppm;
        }
        if (!count)
            continue;
        pool = json_object();
        json_object_set_new(pool, "name", json_string(name));
        put(pool, "weight", d->pools[i].weight);
        put(pool, "vms", count);
        put(pool, "backlogged", backlogged);
        put(pool, "gpu_ns", gpu_ns);
        json_object_set_new(pool, "utilization", json_real((double)ppm / 1e6));
        json_array_append_new(pools, pool);
    }
    return pools;
}

static json_t *vm_json(struct daemon *d, struct vm *vm)
{
    struct account *sum = calloc(1, sizeof(*sum));
    json_t *object = json_object();
    char pool[2] = {(char)vm->identity.pool};
    unsigned open = 0;

    json_object_set_new(object, "name", json_string(vm->identity.name));
    put(object, "vm_id", vm->identity.vm_id);
    json_object_set_new(object, "pool", json_string(pool));
    json_object_set_new(object, "priority",
                        json_string(config_priority_name(vm->identity.priority)));
    json_object_set_new(object, "backend", json_string(vm->socket[0] ? "device" : "local"));
    put(object, "clients", vm->client_count);
    put(object, "workers", vm->workers);
    for (struct worker *w = d->workers; w; w = w->next) {
        if (w->vm == vm && w->page) {
            open += w->state == WORKER_RUNNING;
            if (sum)
                account_add_page(sum, w->page, 0);
        }
    }
    put(object, "channels_open", open);
    put(object, "channels_opened", vm->opened);
    put(object, "channels_refused", vm->refused);
    put(object, "channels_lost", vm->died);
    put(object, "violations", vm->violations);
    put_schedule(object, vm);
    if (sum) {
        account_add(sum, &vm->past);
        account_to_json(sum, object);
    }
    free(sum);
    return object;
}

static char *stats_text(struct daemon *d)
{
    json_t *root = json_object(), *gpu = json_object(), *vms = json_array();
    char *text;

    put(root, "uptime_ns", now_ns() - d->started);
    json_object_set_new(gpu, "ready", json_boolean(d->driver_settled));
    json_object_set_new(gpu, "driver", json_string(d->candidates[d->candidate].path));
    if (d->failure) {
        json_t *failure = json_string(d->failure_text);

        json_object_set_new(gpu, "failure", failure ? failure : json_string("unknown"));
    }
    if (d->driver_settled) {
        json_t *name = json_string(d->gpu_hello.device_name); /* NULL when it is no UTF-8 */

        json_object_set_new(gpu, "device", name ? name : json_string("unknown"));
        json_object_set_new(gpu, "driver_version", json_integer(d->gpu_hello.driver_version));
        put(gpu, "memory_bytes", d->gpu_hello.device_memory);
    }
    json_object_set_new(root, "gpu", gpu);
    put(root, "workers", d->worker_count);
    put(root, "turns_passed", d->sched.switches);
    json_object_set_new(root, "policy",
                        json_string(d->sched.params.policy == SCHED_FAIR ? "fair" : "rr"));
    put(root, "gpu_busy_ns", d->sched.busy_ns);
    put(root, "contended_ns", d->sched.contended_ns);
    json_object_set_new(root, "pools", pools_json(d));
    for (struct vm *vm = d->vms; vm; vm = vm->next) {
        if (vm->uid != (uid_t)-1)
            json_array_append_new(vms, vm_json(d, vm));
    }
    json_object_set_new(root, "vms", vms);
    text = json_dumps(root, JSON_INDENT(1));
    json_decref(root);
    return text;
}

void control_write_stats(struct daemon *d)
{
    char path[PATH_MAX + 8];
    char *text;
    FILE *f;

    if (!d->stats_file[0])
        return;
    snprintf(path, sizeof(path), "%s.tmp", d->stats_file);
    text = stats_text(d);
    f = text ? fopen(path, "we") : NULL;
    /* Renamed, so that a reader sees the old file or the new one. */
    if (!f || fprintf(f, "%s\n", text) < 0 || fclose(f) != 0 || rename(path, d->stats_file) != 0)
        vgpu_log(VGPU_LOG_ERROR, "stats_not_written", LOG_S("file", d->stats_file),
                 LOG_S("why", strerror(errno)));
    free(text);
}

static void control_free(struct daemon *d, struct control *control)
{
    struct control **at = &d->controls;

    while (*at != control)
        at = &(*at)->next;
    *at = control->next;
    loop_close(d, &control->source);
    free(control->reply);
    free(control);
}

/* To HTTP as it asks; to anything else with the text alone. */
static void answer_metrics(struct daemon *d, struct control *control)
{
    bool http = !strncmp(control->request, "GET ", 4);
    char *text = metrics_text(d);
    int n = -1;

    if (text && http)
        n = asprintf(&control->reply,
                     "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n"
                     "Content-Length: %zu\r\nConnection: close\r\n\r\n%s",
                     strlen(text), text);
    else if (text)
        n = asprintf(&control->reply, "%s", text);
    free(text);
    if (n < 0)
        control->reply = NULL;
    control->reply_bytes = control->reply ? strlen(control->reply) : 0;
    loop_modify(d, &control->source, EPOLLOUT);
}

/* Whether all has come that is to be read before the answer. */
static bool is_complete(const struct control *control)
{
    if (control->metrics && !strncmp(control->request, "GET ", 4))
        return strstr(control->request, "\r\n\r\n") || strstr(control->request, "\n\n");
    return strchr(control->request, '\n') != NULL;
}

static void answer(struct daemon *d, struct control *control)
{
    char *text;

    control->request[strcspn(control->request, "\r\n")] = 0;
    if (control->metrics) {
        answer_metrics(d, control);
        return;
    }
    if (!strcmp(control->request, "stats"))
        text = stats_text(d);
    else
        text = strdup("{\"error\": \"unknown request; known is: stats\"}");
    if (!text || asprintf(&control->reply, "%s\n", text) < 0)
        control->reply = NULL;
    free(text);
    control->reply_bytes = control->reply ? strlen(control->reply) : 0;
    loop_modify(d, &control->source, EPOLLOUT);
}

static void control_ready(struct daemon *d, struct source *source, uint32_t events)
{
    struct control *control = (struct control *)source;
    ssize_t n;

    if (control->reply) {
        n = send(source->fd, control->reply + control->reply_sent,
                 control->reply_bytes - control->reply_sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n > 0)
            control->reply_sent += (size_t)n;
        if (n <= 0 || control->reply_sent == control->reply_bytes)
            control_free(d, control);
        return;
    }
    n = read(source->fd, control->request + control->request_bytes,
             sizeof(control->request) - 1 - control->request_bytes);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n > 0)
        control->request_bytes += (size_t)n;
    if (n <= 0 && !control->request_bytes) {
        control_free(d, control);
    } else if (n <= 0 || is_complete(control) ||
               control->request_bytes == sizeof(control->request) - 1) {
        answer(d, control);
        if (!control->reply)
            control_free(d, control);
    }
}

static void listener_ready(struct daemon *d, struct source *source, uint32_t events)
{
    int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct control *control;
    unsigned count = 0;

    if (fd < 0)
        return;
    for (control = d->controls; control; control = control->next)
        count++;
    control = count < CONTROLS_MAX ? calloc(1, sizeof(*control)) : NULL;
    if (!control) {
        close(fd);
        return;
    }
    control->source = (struct source){control_ready, fd};
    control->metrics = source == &d->metrics_listener;
    control->deadline = now_ns() + CONTROL_TIMEOUT_NS;
    control->next = d->controls;
    d->controls = control;
    if (loop_add(d, &control->source, EPOLLIN) != 0)
        control_free(d, control);
}

uint64_t control_tick(struct daemon *d, uint64_t now)
{
    uint64_t next = NEVER;

    for (struct control *c = d->controls, *after; c; c = after) {
        after = c->next;
        if (now >= c->deadline)
            control_free(d, c);
        else if (c->deadline < next)
            next = c->deadline;
    }
    return next;
}

static int listen_at(struct daemon *d, const char *name, struct source *source)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    mode_t mask;
    int fd, bound;

    snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", d->run_dir, name);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    unlink(address.sun_path);
    mask = umask(0177); /* from its first moment it is its owner's alone */
    bound = fd < 0 ? -1 : bind(fd, (struct sockaddr *)&address, sizeof(address));
    umask(mask);
    if (bound != 0 || listen(fd, 8) != 0) {
        vgpu_log(VGPU_LOG_ERROR, "control_socket_failed", LOG_S("path", address.sun_path),
                 LOG_S("why", strerror(errno)));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    *source = (struct source){listener_ready, fd};
    return loop_add(d, source, EPOLLIN);
}

int control_start(struct daemon *d)
{
    if (listen_at(d, "control.sock", &d->control_listener) != 0)
        return -1;
    return listen_at(d, "metrics.sock", &d->metrics_listener);
}

static void end_listener(struct daemon *d, const char *name, struct source *source)
{
    char path[PATH_MAX + 16];

    loop_close(d, source);
    snprintf(path, sizeof(path), "%s/%s", d->run_dir, name);
    unlink(path);
}

void control_end(struct daemon *d)
{
    while (d->controls)
        control_free(d, d->controls);
    end_listener(d, "control.sock", &d->control_listener);
    end_listener(d, "metrics.sock", &d->metrics_listener);
}
