/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon.h - the state of vgpu-mediatord, and which file looks after which part
 *
 *   main.c     options, background, signals
 *   loop.c     epoll, deadlines
 *   vm.c       VM entries: discovery, connection, removal; the local socket
 *   client.c   one connection: HELLO, MEMORY, channels
 *   worker.c   worker processes: spares, assignment, end; the driver library in use
 *   schedule.c gates and allowances of workers, by mediator/sched; watchdog, quarantine
 *   control.c  the control socket; statistics as JSON
 *   metrics.c  the metrics socket; statistics for Prometheus
 *
 * One thread. Nothing blocks but the writing of a statistics file. The daemon never calls CUDA and
 * never maps guest memory: it passes descriptors on.
 *
 * Ownership: a VM owns its clients, a client owns its channels. Workers are owned by the daemon,
 * because a worker may outlive the channel and the client that it served until it is reaped; it
 * then still counts for its VM, which therefore lives until its last worker has been reaped.
 *
 * Deadlines are CLOCK_MONOTONIC ns; NEVER when unset.
 */
#ifndef VGPU_DAEMON_H
#define VGPU_DAEMON_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "mediator/common/link.h"
#include "mediator/common/log.h"
#include "mediator/common/shm_stats.h"
#include "mediator/common/worker_link.h"
#include "mediator/daemon/account.h"
#include "mediator/daemon/cgroup.h"
#include "mediator/daemon/config.h"
#include "mediator/daemon/config_db.h"
#include "mediator/sched/sched.h"

#define NEVER UINT64_MAX
#define CLIENTS_PER_LOCAL 256 /* connections of one local identity */
#define HELLO_TIMEOUT_NS 10000000000ull
#define RETRY_MIN_NS 50000000ull
#define DRIVER_CANDIDATES 2

struct daemon;

/* What epoll hands back. The loop takes one event at a time, so a callback may free any source. */
struct source {
    void (*ready)(struct daemon *d, struct source *source, uint32_t events);
    int fd;
};

struct vm {
    struct vm *next;
    struct config_identity identity;
    char socket[CONFIG_SOCKET]; /* empty: a local identity */
    uid_t uid;                  /* local: whose */
    struct source listener;     /* local, with a socket of its own; fd -1: none */
    char listener_name[CONFIG_NAME];
    bool removed;    /* not configured any more; goes with its last worker */
    bool complained; /* about this socket, since it was last connected */
    uint64_t retry_at, retry_delay;
    struct client *clients; /* of a device at most one */
    unsigned client_count;
    uint64_t asked_since; /* when the second began in which its workers asked VM_QUERY ... */
    unsigned asked;       /* ... this often */
    unsigned workers;     /* not yet reaped, assigned to this VM */
    uint64_t arena_bytes; /* of those */
    struct sched_member member;
    bool wants_now, in_flight_now;                /* while workers are looked at */
    uint64_t past_gpu_ns, past_submitted;         /* of workers that are gone, for the member */
    uint64_t utilization_ppm, utilization_gpu_ns; /* of the last second; gpu_ns at its end */
    uint64_t overruns, faults, quarantines, throttles_logged;
    uint64_t quarantined_until;           /* NEVER: not quarantined */
    uint64_t fault_window, window_faults; /* since when, and how many */
    /* Statistics of what has ended. */
    uint64_t opened, refused, died, violations;
    struct account past;
};

enum channel_state { CHANNEL_FREE, CHANNEL_WAITING, CHANNEL_STARTING, CHANNEL_OPEN, CHANNEL_DEAD };

struct channel {
    enum channel_state state;
    uint32_t serial;
    struct worker *worker; /* STARTING and OPEN */
    /* WAITING: what ASSIGN will need once a spare is ready. */
    struct vgpu_msg_channel_open open;
    int doorbell, interrupt;
    uint64_t order, deadline;
};

struct client {
    struct source source;
    struct client *next;
    struct vm *vm;
    struct vgpu_link link;
    bool connecting;
    uint32_t refused; /* VGPU_REASON_*: serves no channels */
    pid_t pid;        /* local: of the peer, for the log */
    uint64_t hello_deadline;
    uint32_t region_count;
    struct vgpu_region regions[VGPU_LINK_REGIONS];
    int region_fds[VGPU_LINK_REGIONS];
    struct channel channels[VGPU_CHANNELS];
};

enum worker_state {
    WORKER_LOADING,  /* until HELLO */
    WORKER_SPARE,    /* until ASSIGN */
    WORKER_STARTING, /* until STARTED */
    WORKER_RUNNING,
    WORKER_STOPPING, /* STOP sent, or ENDED or FAILED received: until its deadline */
    WORKER_KILLED,   /* until reaped */
};

struct worker {
    struct source source; /* fd -1: the worker closed its end */
    struct worker *next;
    pid_t pid;
    uint32_t uid_slot; /* plus 1; 0: none */
    enum worker_state state;
    uint64_t deadline;
    unsigned candidate;    /* driver library that it was started with */
    struct vm *vm;         /* from ASSIGN on */
    struct client *client; /* NULL: gone, or the channel was given up */
    uint32_t channel, serial;
    bool was_ready; /* has said HELLO */
    bool reaped;    /* pid is no longer its */
    bool closing;   /* the client has asked for CLOSE: answer FREE when reaped */
    uint64_t arena_bytes;
    uint32_t process_id;   /* of the guest process, as it claims */
    char process_name[16]; /* likewise */
    struct shm_page *page;
    uint64_t progress, progress_at; /* of the watchdog: what was seen last, and when it changed */
    bool blamed;                    /* a fault of this worker has been counted */
    uint32_t reason;                /* why it ended, as far as is known */
    char text[WORKER_LINK_TEXT];
};

struct control {
    struct source source;
    struct control *next;
    bool metrics; /* asked for by connecting to the metrics socket */
    char request[4096];
    size_t request_bytes;
    char *reply;
    size_t reply_bytes, reply_sent;
    uint64_t deadline;
};

struct driver {
    char path[PATH_MAX];
};

struct daemon {
    struct config config;
    struct config_db *db; /* NULL: none */
    uint64_t db_at;       /* when to look at it */
    char run_dir[CONFIG_SOCKET - 16]; /* with room for a socket's name */
    char config_dir[PATH_MAX], stats_file[PATH_MAX], binary_dir[PATH_MAX];
    /* From the command line: these win over the file. */
    bool gpu_given, log_given, ephemeral;
    enum config_gpu gpu;
    char driver_given[PATH_MAX], worker_given[PATH_MAX];
    uint64_t started;
    int epoll;
    bool stop;

    struct source signals, watch, local, control_listener, metrics_listener, timer;
    uint64_t timer_at; /* what timer is set to */
    int lock, vms_watch, config_watch;
    struct vm *vms;
    struct control *controls;
    struct cgroups cgroups;

    struct worker *workers;
    unsigned worker_count;
    uint64_t order;    /* of channels waiting */
    uint64_t spawn_at; /* not before; after a failure */
    uint64_t spawn_delay;
    uint32_t failure; /* VGPU_REASON_*: why the last worker did not start; 0: it did */
    char failure_text[WORKER_LINK_TEXT + 256];
    uint32_t uid_next; /* where to look for a free user id */
    struct driver candidates[DRIVER_CANDIDATES];
    unsigned candidate_count, candidate;
    bool driver_settled; /* candidate has answered HELLO */
    struct worker_msg_hello gpu_hello;

    struct sched sched;
    struct sched_pool pools[CONFIG_POOLS];
    uint64_t decide_at, sweep_at, utilization_at;
};

/* loop.c */
uint64_t now_ns(void);
/* 0 or -1; events are EPOLL*. */
int loop_add(struct daemon *d, struct source *source, uint32_t events);
void loop_modify(struct daemon *d, struct source *source, uint32_t events);
/* Stops watching and closes. */
void loop_close(struct daemon *d, struct source *source);
void loop_run(struct daemon *d);

/* vm.c */
int vms_start(struct daemon *d); /* -1: logged */
/* Reads the configuration directory again. Bad entries are logged and left as they were. */
void vms_scan(struct daemon *d);
void vms_config_reload(struct daemon *d);
uint64_t vms_tick(struct daemon *d, uint64_t now);
/* Frees a removed VM once nothing refers to it. */
void vm_release(struct daemon *d, struct vm *vm);
void vms_close(struct daemon *d);

/* client.c */
struct client *client_new(struct daemon *d, struct vm *vm, int fd, bool connecting);
/* Ends the connection and every channel of it. */
void client_close(struct daemon *d, struct client *client, enum vgpu_log_level level,
                  const char *why);
/* A worker took the channel, or the channel is lost: tells the client. */
void client_channel_started(struct daemon *d, struct client *client, uint32_t channel);
void client_channel_dead(struct daemon *d, struct client *client, uint32_t channel, uint32_t reason,
                         const char *text);
void client_channel_freed(struct daemon *d, struct client *client, uint32_t channel,
                          uint32_t serial);
uint64_t clients_tick(struct daemon *d, uint64_t now);

/* worker.c */
void workers_start(struct daemon *d);
/* Gives the oldest waiting channels to spares and starts the workers that are wanted. */
void workers_balance(struct daemon *d);
/* Asks an assigned worker to end; closing: the client waits for FREE. */
void worker_stop(struct daemon *d, struct worker *worker, bool closing);
void workers_reap(struct daemon *d);
uint64_t workers_tick(struct daemon *d, uint64_t now);
/* Kills and reaps all. */
void workers_end(struct daemon *d);
/* VGPU_REASON_NONE, or why no worker can be had at the moment. */
uint32_t workers_unavailable(const struct daemon *d);
const char *reason_name(uint32_t reason);

/* Ends a worker that has done wrong; reason and text are told to its client and the log. */
void worker_fail(struct daemon *d, struct worker *worker, uint32_t reason, const char *text);

/* schedule.c */
void schedule_start(struct daemon *d);
void schedule_configure(struct daemon *d);
void schedule_vm_join(struct daemon *d, struct vm *vm);
void schedule_vm_leave(struct daemon *d, struct vm *vm);
/* The VM's priority, pool or limits may have changed. */
void schedule_vm_configure(struct daemon *d, struct vm *vm);
/* Something a worker does has changed: decides anew whose gates are open. */
void schedule_update(struct daemon *d);
/* Whether its workers are to measure GPU time: as configured, or because a limit needs it. */
bool schedule_measures(const struct daemon *d, const struct vm *vm);
/* Before a worker is told about its page; after it is gone. */
void schedule_worker_start(struct daemon *d, struct worker *worker);
void schedule_worker_end(struct daemon *d, struct worker *worker);
uint64_t schedule_tick(struct daemon *d, uint64_t now);
/* A VM did what it should not; repeat offenders are quarantined. */
void schedule_fault(struct daemon *d, struct vm *vm, const char *what);
/* Whether the worker's page tells of a fault on the GPU. */
bool schedule_saw_fault(struct worker *worker);
bool schedule_is_quarantined(const struct vm *vm);
/* A changed configuration entry releases. */
void schedule_release(struct daemon *d, struct vm *vm);

/* control.c */
int control_start(struct daemon *d);
uint64_t control_tick(struct daemon *d, uint64_t now);
void control_end(struct daemon *d);
void control_write_stats(struct daemon *d);

/* metrics.c */
/* Text in Prometheus' exposition format; the caller's, NULL when there is no memory. */
char *metrics_text(struct daemon *d);

#endif
