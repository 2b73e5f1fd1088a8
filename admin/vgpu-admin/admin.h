/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin.h - what the files of vgpu-admin share
 *
 *   main.c        options, dispatch
 *   commands.c    the table of commands, from which help, completion and man page are made
 *   help.c        makes them
 *   output.c      tables and JSON
 *   pools.c vms.c settings.c database.c status.c doctor.c   the commands
 *   restart.c     changes of what a VM's device was started with
 *   hypervisor.h  xe.c qemu.c   stopping, starting and setting up VMs
 *   program.c     runs another program by argument vector, with a time limit
 *   daemon.c      asks vgpu-mediatord
 *
 * A command returns one of enum status, and has then printed its result or called fail().
 */
#ifndef VGPU_ADMIN_H
#define VGPU_ADMIN_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "admin/libvgpu/vgpu_db.h"

enum status {
    STATUS_OK = 0,
    STATUS_FAILED = 1,     /* anything else */
    STATUS_USAGE = 2,      /* wrong command, option or value; value taken; pool in use */
    STATUS_NOT_FOUND = 3,  /* no such VM or pool on record */
    STATUS_DATABASE = 4,   /* missing, damaged, busy, not to be written, disk full */
    STATUS_HYPERVISOR = 5, /* the hypervisor refused or failed; the text says where things stand */
    STATUS_DECLINED = 6,   /* the question was answered with no */
    STATUS_FAULTS = 7,     /* doctor found a fault; db check found damage */
};

enum option {
    OPT_DB,
    OPT_RUN_DIR,
    OPT_HYPERVISOR,
    OPT_JSON,
    OPT_YES,
    OPT_HELP,
    OPT_VERSION,
    OPT_VM_UUID,
    OPT_VM_NAME,
    OPT_VM_ID,
    OPT_POOL,
    OPT_PRIORITY,
    OPT_SOCKET,
    OPT_NO_RESTART,
    OPT_NAME,
    OPT_DESCRIPTION,
    OPT_GPU,
    OPT_ENABLED,
    OPT_WEIGHT,
    OPT_GPU_SHARE,
    OPT_GPU_BURST,
    OPT_SUBMISSIONS,
    OPT_QUEUE_DEPTH,
    OPT_MEMORY,
    OPT_WATCHDOG,
    OPT_REASON,
    OPT_POLICY,
    OPT_QUANTUM,
    OPT_WEIGHT_LOW,
    OPT_WEIGHT_MEDIUM,
    OPT_WEIGHT_HIGH,
    OPT_AGING,
    OPT_LIMIT,
    OPT_INTERVAL,
    OPT_COUNT_OF,
    OPT_END
};

#define BIT(option) (1ull << (option))
#define GLOBAL_OPTIONS                                                                             \
    (BIT(OPT_DB) | BIT(OPT_RUN_DIR) | BIT(OPT_HYPERVISOR) | BIT(OPT_JSON) | BIT(OPT_YES) |         \
     BIT(OPT_HELP) | BIT(OPT_VERSION))

struct option_spec {
    const char *name;
    const char *argument; /* NULL: a switch */
    const char *choices;  /* separated by spaces, for completion; NULL: free */
    const char *help;
};

struct context {
    const struct command *command;
    const char *value[OPT_END]; /* NULL: not given; a switch is "" */
    const char *operand;
    bool json, yes;
    struct vgpu_db *db; /* NULL when the command has none */
};

struct command {
    const char *name; /* one or two words */
    const char *group;
    const char *summary;     /* one line */
    const char *description; /* paragraphs separated by \n */
    const char *operand;     /* NULL: takes none */
    uint64_t required, optional;
    enum { DB_NONE, DB_READ, DB_WRITE } database;
    int (*run)(struct context *c);
    const char *example; /* arguments */
};

/* commands.c */
extern const struct command commands[];
extern const unsigned command_count;
extern const struct option_spec options[OPT_END];

/* help.c */
void help_overview(void);
void help_command(const struct command *command);
int help_generate(const char *what); /* "bash" or "man" */

/* output.c */
struct column {
    const char *key, *title;
};
/* Prints one line to standard error, and in JSON mode an object to standard output. */
__attribute__((format(printf, 3, 4))) int fail(struct context *c, int status, const char *format,
                                               ...);
/* Reports the library's last error under the exit status that belongs to code. */
int fail_db(struct context *c, int code);
/* Numbers are aligned to the right. columns ends with a NULL key. */
void print_table(const json_t *rows, const struct column *columns);
void print_fields(const json_t *object, const struct column *columns);
/* In JSON mode prints value; takes the reference. Returns whether it did. */
bool print_json(struct context *c, json_t *value);
/* Text for people; nothing in JSON mode. */
__attribute__((format(printf, 2, 3))) void say(struct context *c, const char *format, ...);
/* Asks on the terminal; --yes answers. */
bool confirm(struct context *c, const char *question);
json_t *json_time(int64_t seconds);
void format_ns(uint64_t ns, char *out, size_t size);

/* values of options; these report what is wrong and return false */
bool take_number(struct context *c, enum option option, uint32_t min, uint32_t max, uint32_t *out);
bool take_limit(struct context *c, enum option option, uint32_t max, uint32_t *out); /* or none */
bool take_text(struct context *c, enum option option, char *out, size_t size);
bool take_pool(struct context *c, enum option option, char *out);
bool take_priority(struct context *c, enum option option, uint32_t *out);
bool take_uuid(struct context *c, enum option option, char *out);

/* vms.c */
json_t *vm_json(const struct vgpu_vm *vm);
void print_vm(struct context *c, const struct vgpu_vm *vm);

/* restart.c: old is on record; fields of VGPU_SET_POOL, _PRIORITY, _VM_ID (and _NAME, _SOCKET). */
int change_vm(struct context *c, const struct vgpu_vm *old, const struct vgpu_vm *wanted,
              uint32_t fields);

/* daemon.c: what the daemon's control socket says to `stats`; NULL with one line in error. */
json_t *daemon_stats(struct context *c, char *error, size_t size);
/* Whether the running daemon has put the VM into quarantine by itself. */
bool daemon_quarantines(struct context *c, uint32_t vm_id);

/* the commands */
int cmd_list_pools(struct context *c);
int cmd_show_pool(struct context *c);
int cmd_create_pool(struct context *c);
int cmd_update_pool(struct context *c);
int cmd_remove_pool(struct context *c);
int cmd_scan_vms(struct context *c);
int cmd_register_vm(struct context *c);
int cmd_show_vm(struct context *c);
int cmd_list_vms(struct context *c);
int cmd_set_pool(struct context *c);
int cmd_set_priority(struct context *c);
int cmd_set_vm_id(struct context *c);
int cmd_update_vm(struct context *c);
int cmd_remove_vm(struct context *c);
int cmd_set_limits(struct context *c);
int cmd_set_weight(struct context *c);
int cmd_quarantine(struct context *c);
int cmd_release(struct context *c);
int cmd_scheduler_show(struct context *c);
int cmd_scheduler_set(struct context *c);
int cmd_status(struct context *c);
int cmd_top(struct context *c);
int cmd_metrics(struct context *c);
int cmd_doctor(struct context *c);
int cmd_db_init(struct context *c);
int cmd_db_check(struct context *c);
int cmd_db_backup(struct context *c);
int cmd_db_restore(struct context *c);
int cmd_db_audit(struct context *c);

#endif
