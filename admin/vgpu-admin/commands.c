/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/vgpu-admin/admin.h"

const struct option_spec options[OPT_END] = {
    [OPT_DB] = {"db", "FILE", NULL,
                "the configuration database (environment VGPU_DB; " VGPU_DB_DEFAULT_PATH ")"},
    [OPT_RUN_DIR] =
        {"run-dir", "DIR", NULL,
         "where the mediator's control socket is (environment VGPU_RUN_DIR; /run/vgpu)"},
    [OPT_HYPERVISOR] = {"hypervisor", "NAME", "xe qemu none",
                        "xe, qemu or none (environment VGPU_HYPERVISOR; found out when not given)"},
    [OPT_JSON] = {"json", NULL, NULL, "print JSON"},
    [OPT_YES] = {"yes", NULL, NULL, "answer yes to questions"},
    [OPT_HELP] = {"help", NULL, NULL, "print help and exit"},
    [OPT_VERSION] = {"version", NULL, NULL, "print the version and exit"},
    [OPT_VM_UUID] = {"vm-uuid", "UUID", NULL, "the VM"},
    [OPT_VM_NAME] = {"vm-name", "NAME", NULL, "name of the VM, for people"},
    [OPT_VM_ID] = {"vm-id", "N", NULL, "number of the VM, from 1, unique"},
    [OPT_POOL] = {"pool", "LETTER", "A B", "the pool, A to Z"},
    [OPT_PRIORITY] = {"priority", "LEVEL", "low medium high", "low, medium or high"},
    [OPT_SOCKET] = {"socket", "PATH", NULL,
                    "where the VM's device listens (/run/vgpu/vms/UUID.sock)"},
    [OPT_NO_RESTART] = {"no-restart", NULL, NULL,
                        "leave the VM running; its device changes at its next start"},
    [OPT_NAME] = {"name", "TEXT", NULL, "name of the pool"},
    [OPT_DESCRIPTION] = {"description", "TEXT", NULL, "what the pool is for"},
    [OPT_GPU] = {"gpu", "GPU", NULL,
                 "UUID (of a MIG instance too), PCI address or index; empty: the mediator's"},
    [OPT_ENABLED] = {"enabled", "yes|no", "yes no", "whether VMs of the pool are served"},
    [OPT_WEIGHT] = {"weight", "N", NULL, "share in proportion to others, 1 to 10000"},
    [OPT_GPU_SHARE] = {"gpu-share", "PERCENT", "none", "of the GPU's time, 1 to 100, or none"},
    [OPT_GPU_BURST] = {"gpu-burst", "MS", "none",
                       "GPU time that may be saved up, to 60000, or none"},
    [OPT_SUBMISSIONS] = {"submissions", "N", "none", "per second, or none"},
    [OPT_QUEUE_DEPTH] = {"queue-depth", "N", "none", "submissions in flight, or none"},
    [OPT_MEMORY] = {"memory", "MIB", "none", "of GPU memory, or none"},
    [OPT_WATCHDOG] = {"watchdog", "MS", "none", "a piece of work may take, to 3600000, or none"},
    [OPT_REASON] = {"reason", "TEXT", NULL, "kept with the VM and shown"},
    [OPT_POLICY] = {"policy", "NAME", "fair rr", "fair or rr"},
    [OPT_QUANTUM] = {"quantum", "US", NULL, "length of a turn, 100 to 1000000"},
    [OPT_WEIGHT_LOW] = {"weight-low", "N", NULL, "of priority low, 1 to 10000"},
    [OPT_WEIGHT_MEDIUM] = {"weight-medium", "N", NULL, "of priority medium"},
    [OPT_WEIGHT_HIGH] = {"weight-high", "N", NULL, "of priority high"},
    [OPT_AGING] = {"aging", "MS", "none", "longest wait before a VM goes first, or none"},
    [OPT_LIMIT] = {"limit", "N", NULL, "how many lines (20)"},
    [OPT_INTERVAL] = {"interval", "SECONDS", NULL, "between two pictures (2)"},
    [OPT_COUNT_OF] = {"count", "N", NULL, "end after N pictures"},
};

#define VM BIT(OPT_VM_UUID)
#define LIMITS                                                                                     \
    (BIT(OPT_GPU_SHARE) | BIT(OPT_GPU_BURST) | BIT(OPT_SUBMISSIONS) | BIT(OPT_QUEUE_DEPTH) |       \
     BIT(OPT_MEMORY) | BIT(OPT_WATCHDOG))
#define RESTARTS                                                                                   \
    "Pool, priority and vm_id are properties of the VM's device, which it has from its start. "    \
    "For a "                                                                                       \
    "running VM the command shows what changes, asks, stops the VM, writes the database, sets up " \
    "the device and starts the VM. When a step fails, what was done is undone and the VM started " \
    "as it was; the message says which step it was and how things stand."
#define EXAMPLE_UUID "--vm-uuid=6f1c2a5e-0d47-4c1b-9a77-2f2f1b1f7c01"

const struct command commands[] = {
    {"list-pools", "Pools", "list the pools",
     "Lists every pool with its GPU, weight and number of VMs.", NULL, 0, 0, DB_READ,
     cmd_list_pools, ""},
    {"show-pool", "Pools", "show a pool and its VMs", "Shows one pool and the VMs in it.", NULL,
     BIT(OPT_POOL), 0, DB_READ, cmd_show_pool, "--pool=A"},
    {"create-pool", "Pools", "make a pool", "Makes a pool. Pools A and B are there from the start.",
     NULL, BIT(OPT_POOL),
     BIT(OPT_NAME) | BIT(OPT_DESCRIPTION) | BIT(OPT_GPU) | BIT(OPT_WEIGHT) | BIT(OPT_ENABLED),
     DB_WRITE, cmd_create_pool, "--pool=C --name=Research --weight=300"},
    {"update-pool", "Pools", "change a pool",
     "Changes what is given and leaves the rest. A pool that is not enabled serves none of its "
     "VMs: their CUDA programs end.",
     NULL, BIT(OPT_POOL),
     BIT(OPT_NAME) | BIT(OPT_DESCRIPTION) | BIT(OPT_GPU) | BIT(OPT_WEIGHT) | BIT(OPT_ENABLED),
     DB_WRITE, cmd_update_pool, "--pool=C --gpu=GPU-5c3a61f2-7a8e-1d52-90a4-0e7d1f6a2b11"},
    {"remove-pool", "Pools", "remove a pool", "Removes a pool that no VM belongs to.", NULL,
     BIT(OPT_POOL), 0, DB_WRITE, cmd_remove_pool, "--pool=C"},

    {"scan-vms", "VMs", "list every VM of the hypervisor, by pool",
     "Asks the hypervisor for its VMs and shows them by pool, those that are not registered last.",
     NULL, 0, 0, DB_READ, cmd_scan_vms, ""},
    {"register-vm", "VMs", "put a VM on record",
     "Gives a VM a place in a pool: pool A, priority medium and the lowest free vm_id when "
     "nothing else is said. Its device is set up for its next start, so a running VM is not "
     "restarted.",
     NULL, VM,
     BIT(OPT_VM_NAME) | BIT(OPT_POOL) | BIT(OPT_PRIORITY) | BIT(OPT_VM_ID) | BIT(OPT_SOCKET),
     DB_WRITE, cmd_register_vm, EXAMPLE_UUID " --vm-name=web1 --pool=A --priority=high"},
    {"show-vm", "VMs", "show what is on record about a VM", "Shows everything about one VM.", NULL,
     VM, 0, DB_READ, cmd_show_vm, EXAMPLE_UUID},
    {"list-vms", "VMs", "list the registered VMs", "Lists registered VMs by pool and vm_id.", NULL,
     0, BIT(OPT_POOL) | BIT(OPT_PRIORITY), DB_READ, cmd_list_vms, "--pool=A --priority=high"},
    {"set-pool", "VMs", "move a VM to another pool", RESTARTS, NULL, VM | BIT(OPT_POOL),
     BIT(OPT_NO_RESTART), DB_WRITE, cmd_set_pool, EXAMPLE_UUID " --pool=B"},
    {"set-priority", "VMs", "change a VM's priority", RESTARTS, NULL, VM | BIT(OPT_PRIORITY),
     BIT(OPT_NO_RESTART), DB_WRITE, cmd_set_priority, EXAMPLE_UUID " --priority=high"},
    {"set-vm-id", "VMs", "change a VM's number", RESTARTS, NULL, VM | BIT(OPT_VM_ID),
     BIT(OPT_NO_RESTART), DB_WRITE, cmd_set_vm_id, EXAMPLE_UUID " --vm-id=12"},
    {"update-vm", "VMs", "change several things of a VM at once",
     "Changes what is given, all of it or nothing. " RESTARTS, NULL, VM,
     BIT(OPT_VM_NAME) | BIT(OPT_POOL) | BIT(OPT_PRIORITY) | BIT(OPT_VM_ID) | BIT(OPT_SOCKET) |
         BIT(OPT_NO_RESTART),
     DB_WRITE, cmd_update_vm, EXAMPLE_UUID " --pool=B --priority=low"},
    {"remove-vm", "VMs", "take a VM off the record",
     "Its CUDA programs end at once; the VM itself runs on.", NULL, VM, 0, DB_WRITE, cmd_remove_vm,
     EXAMPLE_UUID},

    {"set-limits", "Limits", "limit what a VM may use",
     "Takes effect at once, on a running VM too. What is not given stays; none takes a limit away.",
     NULL, VM, LIMITS, DB_WRITE, cmd_set_limits, EXAMPLE_UUID " --gpu-share=25 --memory=8192"},
    {"set-weight", "Limits", "give a VM a weight of its own",
     "Overrides the weight that the VM has from its priority; --weight=0 goes back to that.", NULL,
     VM | BIT(OPT_WEIGHT), 0, DB_WRITE, cmd_set_weight, EXAMPLE_UUID " --weight=400"},
    {"quarantine", "Limits", "refuse a VM's work",
     "At once: its CUDA programs end and new ones are refused, until release.", NULL, VM,
     BIT(OPT_REASON), DB_WRITE, cmd_quarantine, EXAMPLE_UUID " --reason='floods the ring'"},
    {"release", "Limits", "end a VM's quarantine",
     "The VM is served again at once, whether the administrator or the mediator had put it there.",
     NULL, VM, 0, DB_WRITE, cmd_release, EXAMPLE_UUID},
    {"scheduler show", "Limits", "show the scheduler's settings",
     "Shows the settings on record, which hold for all pools.", NULL, 0, 0, DB_READ,
     cmd_scheduler_show, ""},
    {"scheduler set", "Limits", "change the scheduler's settings",
     "Changes what is given and leaves the rest. Takes effect at once.", NULL, 0,
     BIT(OPT_POLICY) | BIT(OPT_QUANTUM) | BIT(OPT_WEIGHT_LOW) | BIT(OPT_WEIGHT_MEDIUM) |
         BIT(OPT_WEIGHT_HIGH) | BIT(OPT_AGING) | BIT(OPT_WATCHDOG),
     DB_WRITE, cmd_scheduler_set, "--policy=fair --weight-high=3200"},

    {"status", "Watching", "pools, VMs and what they do",
     "Joins the database with what the mediator knows. Without a running mediator the record alone "
     "is shown.",
     NULL, 0, 0, DB_READ, cmd_status, ""},
    {"top", "Watching", "what VMs do, live",
     "Shows each VM's GPU time, calls and bytes of the last interval, the busiest first.", NULL, 0,
     BIT(OPT_INTERVAL) | BIT(OPT_COUNT_OF), DB_NONE, cmd_top, "--interval=1"},
    {"metrics", "Watching", "what the mediator has counted",
     "Prints the mediator's counters for each VM since it started.", NULL, 0, 0, DB_NONE,
     cmd_metrics, "--json"},
    {"doctor", "Watching", "look for what would keep this host from working",
     "Each line is ok, a warning or a fault, with what to do.", NULL, 0, 0, DB_NONE, cmd_doctor,
     ""},

    {"db init", "Database", "create the database, or bring it up to date",
     "Creates tables and pools A and B; on a database of an older version does what is missing. "
     "Nothing is lost either way.",
     NULL, 0, 0, DB_NONE, cmd_db_init, ""},
    {"db check", "Database", "read all of the database and look for damage",
     "Reads every page, index and reference.", NULL, 0, 0, DB_READ, cmd_db_check, ""},
    {"db backup", "Database", "write a copy of the database",
     "Writes a consistent copy while others go on working; it gets its name once it is checked.",
     "FILE", 0, 0, DB_READ, cmd_db_backup, "/root/vgpu-2026-11-21.db"},
    {"db restore", "Database", "put a backup in the database's place",
     "Checks the backup first. What the database held is kept beside it, as .before-restore, or "
     "as .damaged when it could not be read. The mediator follows within a second.",
     "FILE", 0, 0, DB_NONE, cmd_db_restore, "/root/vgpu-2026-11-21.db"},
    {"db audit", "Database", "who changed what, the newest first",
     "Shows the last changes with the values before and after.", NULL, 0, BIT(OPT_LIMIT), DB_READ,
     cmd_db_audit, "--limit=5"},
};

const unsigned command_count = sizeof(commands) / sizeof(commands[0]);
