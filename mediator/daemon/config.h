/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.h - the daemon's configuration: DIR/mediatord.conf and DIR/vms.d/NAME.json
 *
 * Both are JSON objects. An unknown key, a wrong type or a value out of range is an error: a typing
 * mistake must not pass as a default. Errors are one line that names file, key and what is allowed.
 *
 * mediatord.conf (every key is optional):
 *   gpu               "auto", "nvidia" or "soft"
 *   driver            path of the driver library; overrides gpu
 *   worker            path of vgpu-worker
 *   quantum_ms        length of a turn, 1 to 1000
 *   spare_workers     workers kept ready, 0 to 16
 *   stop_grace_ms     from STOP to SIGKILL, 0 to 60000
 *   start_timeout_ms  for a worker to get ready or to take a channel, 100 to 600000
 *   max_workers       of all VMs together, 1 to 4096
 *   worker_uid_base   first user id for workers, used when the daemon runs as root; 0: none
 *   worker_uid_count  user ids from there on, 1 to 65536
 *   cgroup            "auto" (below the daemon's own), "off", or a cgroup v2 directory
 *   measure_gpu_time  true or false
 *   log_level         "error", "warn", "info" or "debug"
 *   limits            object, see below: what a VM gets that says nothing else
 *   scheduler         object, see below
 *   local             array of objects {uid, socket, name, vm_id, pool, priority, limits}: who may
 *                     use the local socket, and as whom; with socket, a further socket of that name
 * in the run directory, so that one user may have several identities. Not given: only the daemon's
 * own user and root.
 *
 * scheduler, what sched.h explains (every key is optional; changes take effect at once):
 *   policy            "fair" or "rr"
 *   quantum_min_us    shortest turn, 10 to 1000000
 *   grace_us          how long who pauses keeps the GPU, 0 to 100000
 *   aging_ms          0: off
 *   in_flight_us      measured work a VM may have on the GPU while others wait; 0: any
 *   in_flight_urgent_us  the same while a VM of more weight that only has short bursts is about
 *   weights           object {low, medium, high}, 1 to 100000
 *   pools             object: weight per pool, {"A": 300, "B": 100}; 100 where nothing is said
 *
 * vms.d/NAME.json: socket, vm_id, pool and priority are required, limits is optional.
 *   pool      "A" to "Z"
 *   priority  "low", "medium", "high"
 *   limits    object {channels 1 to 64, arena_mb, device_memory_mb, memory_mb, cpu_percent, weight,
 *             gpu_percent 0 to 100, gpu_burst_ms 1 to 60000, submissions_per_s, submission_burst,
 *             watchdog_ms, quarantine_faults, quarantine_s}; 0 means no limit; weight 0 means what
 *             belongs to the priority, submission_burst 0 a tenth of a second's
 */
#ifndef VGPU_CONFIG_H
#define VGPU_CONFIG_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "mediator/sched/sched.h"

#define CONFIG_POOLS 26
#define CONFIG_NAME 40 /* a UUID fits */
#define CONFIG_ERROR 512
#define CONFIG_SOCKET 108 /* of sockaddr_un */
#define CONFIG_LOCALS 64
#define CONFIG_VMS 4096

enum config_gpu { CONFIG_GPU_AUTO, CONFIG_GPU_NVIDIA, CONFIG_GPU_SOFT };

struct config_limits {
    uint32_t channels;          /* open at once */
    uint64_t arena;             /* bytes of all arenas together; 0: no limit */
    uint64_t device_memory;     /* bytes per worker; 0: no limit */
    uint64_t memory;            /* bytes of host memory of all workers, by cgroup; 0: no limit */
    uint32_t cpu_percent;       /* of one core, of all workers, by cgroup; 0: no limit */
    uint32_t weight;            /* share of the GPU in its pool; 0: by priority */
    uint64_t gpu_percent;       /* of the GPU's time; 0: no limit */
    uint64_t gpu_burst;         /* ns of GPU time that may be used at once after a rest */
    uint64_t submissions;       /* pieces of GPU work per second; 0: no limit */
    uint64_t submission_burst;  /* pieces at once after a rest; 0: a tenth of a second's */
    uint64_t watchdog;          /* ns that one piece of work may take; 0: any */
    uint64_t quarantine_faults; /* faults within the quarantine time that lead to it; 0: never */
    uint64_t quarantine;        /* ns */
};

struct config_identity {
    char name[CONFIG_NAME];
    uint32_t vm_id;
    uint32_t pool;     /* ASCII letter */
    uint32_t priority; /* 0 low, 1 medium, 2 high */
    struct config_limits limits;
    int64_t changed_at; /* of a database record, seconds; 0: from a file */
};

struct config_vm {
    struct config_identity identity;
    char socket[CONFIG_SOCKET];
};

struct config_local {
    struct config_identity identity;
    uid_t uid;
    char socket[CONFIG_NAME]; /* file name in the run directory; empty: the usual one */
};

struct config {
    enum config_gpu gpu;
    char driver[PATH_MAX]; /* empty: by gpu */
    char worker[PATH_MAX]; /* empty: next to the daemon */
    uint64_t quantum_ns, stop_grace_ns, start_timeout_ns;
    uint32_t spare_workers, max_workers;
    uid_t worker_uid_base; /* 0: none */
    uint32_t worker_uid_count;
    char cgroup[PATH_MAX]; /* "auto", "off" or a directory */
    bool measure;
    int log_level; /* enum vgpu_log_level */
    struct config_limits limits;
    struct sched_params scheduler; /* its quantum is quantum_ns */
    uint32_t weights[3];           /* by priority */
    uint32_t pools[CONFIG_POOLS];  /* weights of A to Z */
    struct config_local locals[CONFIG_LOCALS];
    size_t local_count;
};

void config_defaults(struct config *config);

/*
 * Reads path over the defaults; a path that does not exist gives the defaults. 0, or -1 with one
 * line in error (CONFIG_ERROR bytes) and *config unchanged.
 */
int config_load(const char *path, struct config *config, char *error);

/* Reads one VM entry; its name is the file's, without .json. 0, or -1 as above. */
int config_load_vm(const char *path, const struct config_limits *defaults, struct config_vm *vm,
                   char *error);

/* "auto", "nvidia", "soft" to enum config_gpu; false when it is none of them. */
bool config_parse_gpu(const char *text, enum config_gpu *gpu);
bool config_parse_priority(const char *text, uint32_t *priority);
const char *config_priority_name(uint32_t priority);
/* Whether name may be a VM's: 1 to 39 of A-Z a-z 0-9 . _ -, not starting with a dot. */
bool config_name_is_valid(const char *name);

#endif
