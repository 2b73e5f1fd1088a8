/* SPDX-License-Identifier: Apache-2.0 */
#include "mediator/daemon/daemon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static void client_ready(struct daemon *d, struct source *source, uint32_t events);

static bool is_device(const struct client *client)
{
    return client->vm->socket[0] != 0;
}

struct client *client_new(struct daemon *d, struct vm *vm, int fd, bool connecting)
{
    struct client *client = calloc(1, sizeof(*client));

    if (!client) {
        close(fd);
        return NULL;
    }
    client->vm = vm;
    client->connecting = connecting;
    client->hello_deadline = now_ns() + HELLO_TIMEOUT_NS;
    for (unsigned i = 0; i < VGPU_LINK_REGIONS; i++)
        client->region_fds[i] = -1;
    for (unsigned i = 0; i < VGPU_CHANNELS; i++)
        client->channels[i].doorbell = client->channels[i].interrupt = -1;
    vgpu_link_init(&client->link, fd, VGPU_LINK_DAEMON);
    client->source = (struct source){client_ready, fd};
    if (loop_add(d, &client->source, connecting ? EPOLLOUT : EPOLLIN) != 0) {
        vgpu_link_close(&client->link);
        free(client);
        return NULL;
    }
    client->next = vm->clients;
    vm->clients = client;
    vm->client_count++;
    return client;
}

static void release_regions(struct client *client)
{
    for (unsigned i = 0; i < VGPU_LINK_REGIONS; i++) {
        if (client->region_fds[i] >= 0)
            close(client->region_fds[i]);
        client->region_fds[i] = -1;
    }
    client->region_count = 0;
}

static void release_open(struct channel *channel)
{
    if (channel->doorbell >= 0)
        close(channel->doorbell);
    if (channel->interrupt >= 0)
        close(channel->interrupt);
    channel->doorbell = channel->interrupt = -1;
    channel->deadline = NEVER;
}

void client_close(struct daemon *d, struct client *client, enum vgpu_log_level level,
                  const char *why)
{
    struct vm *vm = client->vm;
    struct client **at = &vm->clients;

    if (!client->connecting)
        vgpu_log(level, is_device(client) ? "vm_disconnected" : "local_disconnected",
                 LOG_U("vm", vm->identity.vm_id), LOG_S("name", vm->identity.name),
                 LOG_U("pid", client->pid), LOG_S("why", why));
    for (unsigned i = 0; i < VGPU_CHANNELS; i++) {
        struct channel *channel = &client->channels[i];

        release_open(channel);
        if (channel->worker)
            worker_stop(d, channel->worker, false);
    }
    for (struct worker *worker = d->workers; worker; worker = worker->next) {
        if (worker->client == client)
            worker->client = NULL;
    }
    release_regions(client);
    epoll_ctl(d->epoll, EPOLL_CTL_DEL, client->source.fd, NULL);
    vgpu_link_close(&client->link);
    while (*at != client)
        at = &(*at)->next;
    *at = client->next;
    vm->client_count--;
    if (vm->socket[0] && !vm->removed)
        vm->retry_at = now_ns() + (vm->retry_delay ? vm->retry_delay : RETRY_MIN_NS);
    free(client);
    vm_release(d, vm);
}

/* 0, or -1 when that ended the client. */
static int send_message(struct daemon *d, struct client *client, void *message, uint32_t type,
                        uint32_t size)
{
    struct vgpu_msg *head = message;

    head->type = type;
    head->size = size;
    if (vgpu_link_send(&client->link, message, NULL, 0) != 0) {
        /* Not closed here: the caller may still walk this client. The hang-up event does it. */
        shutdown(client->source.fd, SHUT_RDWR);
        return -1;
    }
    loop_modify(d, &client->source,
                EPOLLIN | (vgpu_link_wants_write(&client->link) ? (uint32_t)EPOLLOUT : 0));
    return 0;
}

static void send_state(struct daemon *d, struct client *client, uint32_t channel, uint32_t serial,
                       uint32_t state, uint32_t reason)
{
    struct vgpu_msg_channel_state message = {
        .channel = channel, .serial = serial, .state = state, .reason = reason};

    send_message(d, client, &message, VGPU_MSG_CHANNEL_STATE, sizeof(message));
}

void client_channel_started(struct daemon *d, struct client *client, uint32_t channel)
{
    struct channel *c = &client->channels[channel];

    c->state = CHANNEL_OPEN;
    client->vm->opened++;
    send_state(d, client, channel, c->serial, VGPU_CH_OPEN, VGPU_REASON_NONE);
}

void client_channel_dead(struct daemon *d, struct client *client, uint32_t channel, uint32_t reason,
                         const char *text)
{
    struct channel *c = &client->channels[channel];
    bool refused = c->state != CHANNEL_OPEN;

    if (refused)
        client->vm->refused++;
    vgpu_log(VGPU_LOG_WARN, refused ? "channel_refused" : "channel_lost",
             LOG_U("vm", client->vm->identity.vm_id), LOG_S("name", client->vm->identity.name),
             LOG_U("channel", channel), LOG_S("reason", reason_name(reason)), LOG_S("text", text));
    release_open(c);
    c->state = CHANNEL_DEAD;
    send_state(d, client, channel, c->serial, VGPU_CH_DEAD, reason);
}

void client_channel_freed(struct daemon *d, struct client *client, uint32_t channel,
                          uint32_t serial)
{
    vgpu_log(VGPU_LOG_INFO, "channel_closed", LOG_U("vm", client->vm->identity.vm_id),
             LOG_S("name", client->vm->identity.name), LOG_U("channel", channel));
    send_state(d, client, channel, serial, VGPU_CH_FREE, VGPU_REASON_NONE);
}

static void send_welcome(struct daemon *d, struct client *client)
{
    struct vgpu_msg_welcome welcome = {.version = VGPU_LINK_VERSION, .reason = client->refused};

    vgpu_log(VGPU_LOG_INFO, is_device(client) ? "vm_connected" : "local_connected",
             LOG_U("vm", client->vm->identity.vm_id), LOG_S("name", client->vm->identity.name),
             LOG_U("pid", client->pid), LOG_S("refused", reason_name(client->refused)));
    send_message(d, client, &welcome, VGPU_MSG_WELCOME, sizeof(welcome));
}

static void handle_hello(struct daemon *d, struct client *client,
                         const struct vgpu_msg_hello *hello)
{
    const struct config_identity *identity = &client->vm->identity;
    bool local = !is_device(client);

    client->hello_deadline = NEVER;
    client->vm->retry_delay = 0;
    client->vm->complained = false;
    /* A local program that says nothing about itself says zeros. */
    if (local && !hello->vm_id && !hello->pool_id && !hello->priority)
        return;
    if (hello->vm_id != identity->vm_id || hello->pool_id != identity->pool ||
        hello->priority != identity->priority) {
        char claimed[2] = {hello->pool_id >= 'A' && hello->pool_id <= 'Z' ? (char)hello->pool_id
                                                                          : '?'};
        char configured[2] = {(char)identity->pool};

        vgpu_log(VGPU_LOG_WARN, "identity_differs", LOG_U("vm", identity->vm_id),
                 LOG_S("name", identity->name), LOG_S("pool", configured),
                 LOG_S("priority", config_priority_name(identity->priority)),
                 LOG_U("claimed_vm", hello->vm_id), LOG_S("claimed_pool", claimed),
                 LOG_S("claimed_priority", config_priority_name(hello->priority)));
    }
}

/* Whether the client may go on. */
static bool backend_fits(const struct client *client, uint32_t backend)
{
    return (backend == VGPU_BACKEND_LOCAL) == !is_device(client);
}

static void handle_memory(struct client *client, struct vgpu_link_message *message)
{
    release_regions(client);
    client->region_count = message->memory.count;
    for (unsigned i = 0; i < message->memory.count; i++) {
        client->regions[i] = message->memory.regions[i];
        client->region_fds[i] = message->fds[i];
        message->fds[i] = -1;
    }
}

/* VGPU_REASON_NONE, or why the VM may not have this channel; *text says it in words. */
static uint32_t check_open(const struct daemon *d, const struct client *client,
                           const struct vgpu_msg_channel_open *open, const char **text)
{
    const struct vm *vm = client->vm;
    const struct config_limits *limits = &vm->identity.limits;
    uint64_t arena = (uint64_t)open->pages << VGPU_PAGE_SHIFT;
    unsigned channels = vm->workers;
    uint64_t arenas = vm->arena_bytes;
    uint32_t reason;

    *text = "";
    if (client->refused) {
        *text = "this client is not served";
        return client->refused;
    }
    if (!open->pages || open->pages > VGPU_PAGES_MAX || open->runs > VGPU_RUNS_MAX ||
        (is_device(client) && (!open->runs || open->runs > open->pages))) {
        *text = "pages or runs out of range";
        return VGPU_REASON_BAD_TABLE;
    }
    if (schedule_is_quarantined(vm)) {
        *text = "the VM is quarantined after repeated faults";
        return VGPU_REASON_REFUSED;
    }
    for (const struct client *c = vm->clients; c; c = c->next) {
        for (unsigned i = 0; i < VGPU_CHANNELS; i++) {
            if (c->channels[i].state == CHANNEL_WAITING) {
                channels++;
                arenas += (uint64_t)c->channels[i].open.pages << VGPU_PAGE_SHIFT;
            }
        }
    }
    if (channels >= limits->channels) {
        *text = "the VM's limit of channels is reached";
        return VGPU_REASON_LIMIT;
    }
    if (limits->arena && arenas + arena > limits->arena) {
        *text = "the VM's limit of arena memory is reached";
        return VGPU_REASON_LIMIT;
    }
    reason = workers_unavailable(d);
    if (reason)
        *text = "no worker can be started";
    return reason;
}

/* Whether the client is still there. */
static bool handle_open(struct daemon *d, struct client *client, struct vgpu_link_message *message)
{
    const struct vgpu_msg_channel_open *open = &message->open;
    struct channel *channel = &client->channels[open->channel];
    const char *text;
    uint32_t reason;

    if (channel->state != CHANNEL_FREE && channel->state != CHANNEL_DEAD) {
        client->vm->violations++;
        client_close(d, client, VGPU_LOG_WARN, "CHANNEL_OPEN for a channel that is in use");
        return false;
    }
    channel->state = CHANNEL_FREE;
    channel->serial = open->serial;
    channel->worker = NULL;
    reason = check_open(d, client, open, &text);
    if (reason) {
        client_channel_dead(d, client, open->channel, reason, text);
        return true;
    }
    channel->state = CHANNEL_WAITING;
    channel->open = *open;
    channel->doorbell = message->fds[0];
    channel->interrupt = message->fds[1];
    message->fds[0] = message->fds[1] = -1;
    channel->order = d->order++;
    channel->deadline = now_ns() + d->config.start_timeout_ns;
    workers_balance(d);
    return true;
}

static void handle_close(struct daemon *d, struct client *client,
                         const struct vgpu_msg_channel_close *close)
{
    struct channel *channel = &client->channels[close->channel];
    struct worker *worker = channel->worker;

    /* One that crossed with our DEAD, or of an earlier life of the channel, is answered too. */
    if (channel->serial != close->serial || channel->state == CHANNEL_FREE) {
        send_state(d, client, close->channel, close->serial, VGPU_CH_FREE, VGPU_REASON_NONE);
        return;
    }
    release_open(channel);
    channel->state = CHANNEL_FREE;
    channel->worker = NULL;
    if (worker)
        worker_stop(d, worker, true); /* FREE follows when its pages are unmapped */
    else
        client_channel_freed(d, client, close->channel, close->serial);
}

/* Whether the client is still there. */
static bool handle_message(struct daemon *d, struct client *client,
                           struct vgpu_link_message *message)
{
    switch (message->msg.type) {
    case VGPU_MSG_HELLO:
        if (message->hello.version != VGPU_LINK_VERSION) {
            client->refused = VGPU_REASON_VERSION;
            vgpu_log(VGPU_LOG_WARN, "version_refused", LOG_U("vm", client->vm->identity.vm_id),
                     LOG_S("name", client->vm->identity.name),
                     LOG_U("version", message->hello.version), LOG_U("spoken", VGPU_LINK_VERSION));
            send_welcome(d, client);
            return true;
        }
        if (!backend_fits(client, message->hello.backend)) {
            client->vm->violations++;
            client_close(d, client, VGPU_LOG_WARN, "HELLO names a backend this socket is not for");
            return false;
        }
        handle_hello(d, client, &message->hello);
        /* Not after MEMORY: a client may wait for the WELCOME before it makes its arena. */
        send_welcome(d, client);
        return true;
    case VGPU_MSG_MEMORY:
        handle_memory(client, message);
        return true;
    case VGPU_MSG_CHANNEL_OPEN:
        return handle_open(d, client, message);
    case VGPU_MSG_CHANNEL_CLOSE:
        handle_close(d, client, &message->close);
        return true;
    }
    return true;
}

static void client_connected(struct daemon *d, struct client *client)
{
    int error = 0;
    socklen_t size = sizeof(error);

    getsockopt(client->source.fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) {
        client_close(d, client, VGPU_LOG_DEBUG, strerror(error));
        return;
    }
    client->connecting = false;
    loop_modify(d, &client->source, EPOLLIN);
}

static void client_ready(struct daemon *d, struct source *source, uint32_t events)
{
    struct client *client = (struct client *)source;
    struct vgpu_link_message message;

    if (client->connecting) {
        client_connected(d, client);
        return;
    }
    if (events & EPOLLOUT) {
        if (vgpu_link_flush(&client->link) != 0) {
            client_close(d, client, VGPU_LOG_INFO, client->link.reason);
            return;
        }
        if (!vgpu_link_wants_write(&client->link))
            loop_modify(d, source, EPOLLIN);
    }
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return;
    switch (vgpu_link_receive(&client->link, &message)) {
    case VGPU_LINK_AGAIN:
        break;
    case VGPU_LINK_MESSAGE:
        handle_message(d, client, &message);
        vgpu_link_message_close(&message);
        break;
    case VGPU_LINK_CLOSED:
        client_close(d, client, VGPU_LOG_INFO, client->link.reason);
        break;
    case VGPU_LINK_VIOLATION:
        client->vm->violations++;
        vgpu_log(VGPU_LOG_WARN, "protocol_violation", LOG_U("vm", client->vm->identity.vm_id),
                 LOG_S("name", client->vm->identity.name), LOG_U("pid", client->pid),
                 LOG_S("why", client->link.reason));
        client_close(d, client, VGPU_LOG_WARN, client->link.reason);
        break;
    }
}

uint64_t clients_tick(struct daemon *d, uint64_t now)
{
    uint64_t next = NEVER;

    for (struct vm *vm = d->vms, *next_vm; vm; vm = next_vm) {
        next_vm = vm->next;
        for (struct client *client = vm->clients, *next_client; client; client = next_client) {
            next_client = client->next;
            if (now >= client->hello_deadline) {
                /* An idle QEMU that has not realised its device yet is no fault: just try again. */
                client_close(d, client, VGPU_LOG_INFO, "no HELLO in time");
                continue;
            }
            if (client->hello_deadline < next)
                next = client->hello_deadline;
            for (unsigned i = 0; i < VGPU_CHANNELS; i++) {
                struct channel *channel = &client->channels[i];

                if (channel->state != CHANNEL_WAITING)
                    continue;
                if (now >= channel->deadline)
                    client_channel_dead(d, client, i, VGPU_REASON_NO_WORKER,
                                        "no worker got ready in time");
                else if (channel->deadline < next)
                    next = channel->deadline;
            }
        }
    }
    return next;
}
