/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker_link.h - what the mediator daemon and a worker process say to each other
 *
 * The daemon executes `vgpu-worker --driver PATH` with one SOCK_SEQPACKET socket as descriptor
 * WORKER_LINK_FD. Descriptors 0 and 1 are /dev/null, 2 is where the daemon logs; nothing else is
 * inherited. Before the exec the daemon has set: a process group and a user id of the worker's own
 * (the latter only when the daemon runs as root), resource limits, no new privileges, and SIGKILL
 * as parent-death signal. The socket's end of file means that the daemon is gone: the worker exits.
 *
 *   worker                                       daemon
 *   HELLO    driver loaded, cuInit done   ->                 the worker now waits as a spare;
 *                                                            no CUDA context exists yet
 *   FAILED   driver does not start        ->                 and exits
 *                                         <-     ASSIGN      one channel, with its descriptors
 *   STARTED  arena mapped and valid       ->                 the channel is open
 *   FAILED   refused, with reason         ->                 and exits
 *   WAKE     see shm_stats.h              ->                 any time between STARTED and ENDED
 *   VM_QUERY which processes has my VM    ->                 likewise
 *                                         <-     VM_INFO     the answer, unless its VM asks too
 * often
 *                                         <-     STOP        the channel was closed, or the client
 *                                                            is gone; also allowed before ASSIGN
 *   ENDED    reason and text              ->                 then exits
 *
 * A worker serves one channel in its life. It answers STOP with ENDED (VGPU_REASON_NONE) and exit
 * status 0; the daemon sends SIGKILL to the process group when that takes longer than its grace. An
 * exit without ENDED or FAILED is reported to the client as VGPU_REASON_WORKER_DIED.
 *
 * One message per packet, little-endian, starting with struct vgpu_msg. The daemon trusts a worker
 * no more than it must: it checks type, size, order and the absence of descriptors, and shows text
 * only after replacing what is not printable. Anything else ends the worker.
 */
#ifndef VGPU_WORKER_LINK_H
#define VGPU_WORKER_LINK_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/vgpu_link.h"
#include "protocol/vgpu_regs.h"

#define WORKER_LINK_FD 3
#define WORKER_LINK_VERSION 1
#define WORKER_LINK_MSG_MAX 512
#define WORKER_LINK_TEXT 200
#define WORKER_LINK_NAME 32

enum worker_msg_type {
    WORKER_MSG_HELLO = 1,    /* struct worker_msg_hello */
    WORKER_MSG_FAILED = 2,   /* struct worker_msg_end */
    WORKER_MSG_STARTED = 3,  /* struct worker_msg_started */
    WORKER_MSG_ENDED = 4,    /* struct worker_msg_end */
    WORKER_MSG_WAKE = 5,     /* struct vgpu_msg alone */
    WORKER_MSG_VM_QUERY = 6, /* struct worker_msg_vm_query */
    WORKER_MSG_ASSIGN = 16,  /* struct worker_msg_assign, with descriptors */
    WORKER_MSG_STOP = 17,    /* struct vgpu_msg alone */
    WORKER_MSG_VM_INFO = 18, /* struct worker_msg_vm_info */
};

struct worker_msg_hello {
    struct vgpu_msg msg;
    uint32_t version;       /* WORKER_LINK_VERSION */
    uint32_t device_count;  /* GPUs the driver library offers */
    int32_t driver_version; /* as cuDriverGetVersion gives it */
    uint32_t reserved;      /* 0 */
    uint64_t device_memory; /* bytes, of device 0 */
    char device_name[64];   /* of device 0, NUL-terminated */
};

struct worker_msg_end {
    struct vgpu_msg msg;
    uint32_t reason;             /* VGPU_REASON_* */
    uint32_t result;             /* CUresult behind it, or 0 */
    char text[WORKER_LINK_TEXT]; /* one line for the log, NUL-terminated */
};

struct worker_msg_started {
    struct vgpu_msg msg;
    uint32_t process_id;   /* of the guest process, as it claims */
    uint32_t reserved;     /* 0 */
    char process_name[16]; /* as it claims, NUL-terminated */
};

struct worker_msg_vm_query {
    struct vgpu_msg msg;
    uint32_t first;    /* process to begin with */
    uint32_t reserved; /* 0 */
};

#define WORKER_VM_PROCESSES 10

/* One running worker of a VM, as far as the daemon knows: figures are that worker's claims. */
struct worker_vm_process {
    uint64_t device_memory; /* bytes allocated now */
    uint32_t process_id;    /* of the guest process, as it claims */
    uint32_t worker_pid;    /* on the host; not for the guest */
    uint32_t devices;       /* bit per GPU on which it has a context */
    uint32_t reserved;      /* 0 */
    char process_name[16];  /* as it claims, NUL-terminated */
};

struct worker_msg_vm_info {
    struct vgpu_msg msg;
    uint32_t first;         /* as asked */
    uint32_t count;         /* entries that follow, at most WORKER_VM_PROCESSES */
    uint32_t total;         /* running workers of the VM */
    uint32_t busy;          /* how many of them have work on a GPU */
    uint64_t device_memory; /* bytes, of all of them */
    struct worker_vm_process processes[WORKER_VM_PROCESSES]; /* all are sent; unused ones are 0 */
};

#define WORKER_ASSIGN_MEASURE (1u << 0) /* measure GPU time per call */

/*
 * Descriptors, in this order: one per region, doorbell eventfd (the worker reads), interrupt
 * eventfd (the worker writes), memfd of struct shm_page. The worker owns and closes them.
 */
struct worker_msg_assign {
    struct vgpu_msg msg;
    uint32_t vm_id;
    uint32_t pool_id;  /* ASCII letter */
    uint32_t priority; /* 0 low, 1 medium, 2 high */
    uint32_t backend;  /* enum vgpu_backend */
    uint32_t channel;
    uint32_t serial;
    uint64_t table_address;       /* of the run table; 0 for LOCAL */
    uint32_t runs;                /* 0 for LOCAL */
    uint32_t pages;               /* of the arena, 4 KiB each; within what the VM may have */
    uint32_t flags;               /* WORKER_ASSIGN_* */
    uint32_t region_count;        /* 1 to VGPU_LINK_REGIONS; 0 for GRANT */
    uint64_t device_memory_limit; /* bytes of device memory this worker may allocate; 0: no limit */
    char vm_name[WORKER_LINK_NAME];                /* for the log, NUL-terminated */
    struct vgpu_region regions[VGPU_LINK_REGIONS]; /* all are sent; unused ones are 0 */
};

#define WORKER_ASSIGN_FDS_EXTRA 3 /* doorbell, interrupt, shared page */
#define WORKER_LINK_FDS_MAX (VGPU_LINK_REGIONS + WORKER_ASSIGN_FDS_EXTRA)

/* Room for any message, aligned for all of them. */
union worker_msg {
    struct vgpu_msg msg;
    struct worker_msg_hello hello;
    struct worker_msg_end end;
    struct worker_msg_started started;
    struct worker_msg_assign assign;
    struct worker_msg_vm_query vm_query;
    struct worker_msg_vm_info vm_info;
    uint8_t bytes[WORKER_LINK_MSG_MAX];
};

_Static_assert(sizeof(union worker_msg) == WORKER_LINK_MSG_MAX, "every message fits");

/*
 * Fills msg->type and msg->size and sends one packet with count descriptors (they stay the
 * caller's). flags are those of sendmsg; MSG_NOSIGNAL is added. 0, or -1 with errno (EAGAIN: the
 * other side's queue is full; EPIPE: it is gone).
 */
int worker_link_send(int fd, uint32_t type, void *message, size_t size, const int *fds,
                     size_t count, int flags);

/*
 * Receives one packet and checks that its size is that of its type and that it carries exactly the
 * descriptors its type asks for. *count is in: room in fds; out: descriptors received,
 * close-on-exec, the caller's. Text fields come out NUL-terminated. Returns 1: a message; 0: end of
 * file; -1 with errno: EAGAIN with MSG_DONTWAIT, EPROTO for a malformed packet (its descriptors are
 * closed).
 */
int worker_link_receive(int fd, union worker_msg *message, int *fds, size_t *count, int flags);

/* "HELLO" and so on, or "unknown". */
const char *worker_msg_name(uint32_t type);

#endif
