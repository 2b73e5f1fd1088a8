/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vgpu_db.h - the configuration database: which VM belongs to which pool, with what priority and
 * limits
 *
 * An SQLite file (write-ahead log), by default /etc/vgpu/vgpu_config.db. Every change is one
 * transaction and leaves one row in the audit table; a change that cannot be made in full is not
 * made at all.
 *
 * Calls return VGPU_OK or one of the codes below; vgpu_db_error() then has one line that says what
 * is wrong and what helps. VGPU_INVALID_PARAM is a value the caller may not use (malformed, out of
 * range, taken, unknown pool), VGPU_NOT_FOUND a VM or pool that is not on record, VGPU_DB_ERROR a
 * database that cannot be read or written (damaged, full disk, read-only, busy for over 5 s).
 *
 * UUIDs are 8-4-4-4-12 hexadecimal digits; either case is taken, lower case is stored and returned.
 * Times are seconds since 1970, UTC. Lists are one malloc()ed block, freed with free(); an empty
 * one is NULL with count 0. A handle serves one thread at a time; any number of processes may have
 * the file open.
 *
 *   struct vgpu_db *db;
 *   if (vgpu_db_init(&db, NULL, VGPU_DB_CREATE) || vgpu_db_init_schema(db))
 *       errx(1, "%s", vgpu_db_error());
 */
#ifndef VGPU_DB_H
#define VGPU_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

#define VGPU_OK 0
#define VGPU_ERROR (-1) /* anything else: out of memory, a file that cannot be copied */
#define VGPU_NOT_FOUND (-2)
#define VGPU_INVALID_PARAM (-3)
#define VGPU_DB_ERROR (-4)

#define VGPU_DB_DEFAULT_PATH "/etc/vgpu/vgpu_config.db"
#define VGPU_DB_ENVIRONMENT "VGPU_DB" /* names another file */
#define VGPU_DB_SCHEMA_VERSION 2

#define VGPU_UUID_SIZE 37
#define VGPU_NAME_SIZE 64
#define VGPU_TEXT_SIZE 256
#define VGPU_SOCKET_SIZE 108
#define VGPU_GPU_SIZE 64
#define VGPU_VM_ID_MAX 2147483647

enum vgpu_priority { VGPU_PRIORITY_LOW, VGPU_PRIORITY_MEDIUM, VGPU_PRIORITY_HIGH };

struct vgpu_db;

struct vgpu_pool {
    char pool_id; /* 'A' to 'Z' */
    char name[VGPU_NAME_SIZE];
    char description[VGPU_TEXT_SIZE];
    bool enabled;
    char gpu[VGPU_GPU_SIZE]; /* UUID (of a MIG instance too), PCI address or index; empty: the
                                daemon's */
    uint32_t weight;         /* 1 to 10000, against other pools on the same GPU */
    int64_t created_at, updated_at;
    uint32_t vms; /* how many are in it; read only */
};

struct vgpu_vm {
    char vm_uuid[VGPU_UUID_SIZE];
    uint32_t vm_id; /* 1 to VGPU_VM_ID_MAX, unique */
    char name[VGPU_NAME_SIZE];
    char pool_id;
    uint32_t priority;             /* enum vgpu_priority */
    char socket[VGPU_SOCKET_SIZE]; /* of the VM's device; empty: /run/vgpu/vms/UUID.sock */
    /* Limits; 0 is none. */
    uint32_t gpu_share;   /* percent of the GPU's time, to 100 */
    uint32_t gpu_burst;   /* ms of GPU time it may save up, to 60000 */
    uint32_t submissions; /* per second, to 100000000 */
    uint32_t queue_depth; /* submissions in flight, to 1048576 */
    uint32_t memory;      /* MiB of GPU memory, to 16777216 */
    uint32_t weight;      /* 1 to 10000; 0: by priority */
    uint32_t watchdog;    /* ms a piece of work may take, to 3600000; 0: the scheduler's */
    bool quarantined;     /* its work is refused */
    char quarantine_reason[VGPU_TEXT_SIZE];
    int64_t created_at, updated_at;
};

/* What vgpu_update_vm() and vgpu_update_pool() take from the structure they are given. */
enum {
    VGPU_SET_NAME = 1 << 0,
    VGPU_SET_POOL = 1 << 1,
    VGPU_SET_PRIORITY = 1 << 2,
    VGPU_SET_VM_ID = 1 << 3,
    VGPU_SET_SOCKET = 1 << 4,
    VGPU_SET_GPU_SHARE = 1 << 5,
    VGPU_SET_GPU_BURST = 1 << 6,
    VGPU_SET_SUBMISSIONS = 1 << 7,
    VGPU_SET_QUEUE_DEPTH = 1 << 8,
    VGPU_SET_MEMORY = 1 << 9,
    VGPU_SET_WEIGHT = 1 << 10,
    VGPU_SET_WATCHDOG = 1 << 11,
    VGPU_SET_QUARANTINE = 1 << 12, /* with its reason */
    VGPU_SET_DESCRIPTION = 1 << 13,
    VGPU_SET_ENABLED = 1 << 14,
    VGPU_SET_GPU = 1 << 15,
};

struct vgpu_vm_filter {
    char pool_id; /* 0: any */
    int priority; /* -1: any */
};

struct vgpu_scheduler {
    char policy[8];       /* "fair" or "rr" */
    uint32_t quantum_us;  /* 100 to 1000000 */
    uint32_t weight[3];   /* by priority, 1 to 10000 */
    uint32_t aging_ms;    /* 1 to 600000; 0: none */
    uint32_t watchdog_ms; /* to 3600000; 0: none */
    int64_t updated_at;
};

struct vgpu_audit {
    int64_t id, at;
    char who[VGPU_NAME_SIZE];
    char what[32];                           /* "register-vm" ... */
    char target[40];                         /* a VM's UUID, a pool's letter, or "scheduler" */
    char old_values[1024], new_values[1024]; /* JSON objects with what changed; cut when longer */
};

/* ---- the file ---- */

enum {
    VGPU_DB_CREATE = 1,   /* make the file when it does not exist; its directory must exist */
    VGPU_DB_READONLY = 2, /* for readers that have no right to write */
};

/*
 * Opens path; NULL means $VGPU_DB, or the default. A file whose schema is older is left as it is
 * until vgpu_db_init_schema(); until then the other calls give VGPU_DB_ERROR. On failure *db is
 * NULL.
 */
int vgpu_db_init(struct vgpu_db **db, const char *path, unsigned flags);
void vgpu_db_close(struct vgpu_db *db); /* NULL is fine */
/* Creates tables and pools A and B, or brings an older schema up to date. No-op when current. */
int vgpu_db_init_schema(struct vgpu_db *db);
/* One line about this thread's last call that did not return VGPU_OK. Never NULL. */
const char *vgpu_db_error(void);
/* Name for the audit table instead of the user's; copied. */
void vgpu_db_set_actor(struct vgpu_db *db, const char *who);
int vgpu_db_schema_version(struct vgpu_db *db, int *version);
/*
 * Whether somebody else has committed a change since the last call; true at the first call, and
 * when another file has taken the name (the handle then still reads the old one). Cheap.
 */
int vgpu_db_changed(struct vgpu_db *db, bool *changed);
/* Reads everything: pages, indexes, references, constraints. */
int vgpu_db_check(struct vgpu_db *db);
/* Writes a consistent copy, checked before it takes destination's name (replacing what had it). */
int vgpu_db_backup(struct vgpu_db *db, const char *destination);
/*
 * Puts the content of backup, checked first, into the database at path (NULL as above) in one
 * transaction; programs that have it open see the new content. What was there is first saved as
 * PATH.before-restore; a damaged or empty file is set aside whole as PATH.damaged.
 */
int vgpu_db_restore(const char *path, const char *backup);

/* ---- pools ---- */

int vgpu_get_pool_info(struct vgpu_db *db, char pool_id, struct vgpu_pool *pool);
int vgpu_list_pools(struct vgpu_db *db, struct vgpu_pool **pools, size_t *count); /* by letter */
/* weight 0 means 100; times and vms are ignored. */
int vgpu_create_pool(struct vgpu_db *db, const struct vgpu_pool *pool);
int vgpu_update_pool(struct vgpu_db *db, const struct vgpu_pool *pool, uint32_t fields);
/* A pool with VMs in it is refused: VGPU_INVALID_PARAM. */
int vgpu_remove_pool(struct vgpu_db *db, char pool_id);

/* ---- VMs ---- */

/* Fills in what a VM has when nothing is said: pool A, medium priority, no limits. */
void vgpu_vm_defaults(struct vgpu_vm *vm);
int vgpu_get_vm_config(struct vgpu_db *db, const char *vm_uuid, struct vgpu_vm *vm);
/* vm_id 0: the lowest free one, which is written back, as are the times and the UUID's case. */
int vgpu_register_vm(struct vgpu_db *db, struct vgpu_vm *vm);
int vgpu_set_vm_pool(struct vgpu_db *db, const char *vm_uuid, char pool_id);
int vgpu_set_vm_priority(struct vgpu_db *db, const char *vm_uuid, uint32_t priority);
int vgpu_set_vm_id(struct vgpu_db *db, const char *vm_uuid, uint32_t vm_id);
/* Changes the fields named, all or none, of the VM vm->vm_uuid. */
int vgpu_update_vm(struct vgpu_db *db, const struct vgpu_vm *vm, uint32_t fields);
int vgpu_remove_vm(struct vgpu_db *db, const char *vm_uuid);
/* filter NULL: all. By pool, then vm_id. */
int vgpu_list_vms(struct vgpu_db *db, const struct vgpu_vm_filter *filter, struct vgpu_vm **vms,
                  size_t *count);
/* The lowest that is free, from 1. */
int vgpu_get_next_vm_id(struct vgpu_db *db, uint32_t *vm_id);
int vgpu_vm_id_in_use(struct vgpu_db *db, uint32_t vm_id, bool *in_use);

/* ---- scheduler, audit ---- */

int vgpu_get_scheduler(struct vgpu_db *db, struct vgpu_scheduler *settings);
int vgpu_set_scheduler(struct vgpu_db *db, const struct vgpu_scheduler *settings);
/* The newest first, at most limit. */
int vgpu_list_audit(struct vgpu_db *db, size_t limit, struct vgpu_audit **rows, size_t *count);

/* ---- values ---- */

/* Whether text is a UUID; out, when not NULL, gets it in lower case. */
bool vgpu_parse_uuid(const char *text, char out[VGPU_UUID_SIZE]);
bool vgpu_parse_priority(const char *text, uint32_t *priority); /* "low", "medium", "high" */
const char *vgpu_priority_name(uint32_t priority);              /* "unknown" from 3 on */
/* Where the VM's device listens: its socket, or the default for its UUID. */
void vgpu_vm_socket(const struct vgpu_vm *vm, char out[VGPU_SOCKET_SIZE]);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
