/* SPDX-License-Identifier: Apache-2.0 */
/* serve.c - the loop that takes records and looks after what is in flight */
#include "worker.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <string.h>
#include <unistd.h>

#include "mediator/common/log.h"

#define BATCH 32               /* records between two looks at what is in flight */
#define LINK_LOOK_NS 10000000u /* a busy worker looks this often whether it is to stop */
#define REST_SPIN_NS 30000u    /* work in flight for less than this is polled without a rest */
#define REST_MIN_NS 2000u
#define REST_MAX_NS 1000000u
#define STALL_NS 50000000u
#define REST_GATE_NS 200000u /* before a shut gate, with work in flight */

/* Errors of a kernel after which its context is of no more use. */
static bool ends_context(CUresult result)
{
    switch (result) {
    case CUDA_ERROR_ILLEGAL_ADDRESS:
    case CUDA_ERROR_LAUNCH_TIMEOUT:
    case CUDA_ERROR_HARDWARE_STACK_ERROR:
    case CUDA_ERROR_ILLEGAL_INSTRUCTION:
    case CUDA_ERROR_MISALIGNED_ADDRESS:
    case CUDA_ERROR_INVALID_ADDRESS_SPACE:
    case CUDA_ERROR_INVALID_PC:
    case CUDA_ERROR_LAUNCH_FAILED:
        return true;
    default:
        return false;
    }
}

void worker_answer(struct vgpu_worker *worker, uint16_t opcode, uint32_t reply, CUresult result,
                   const void *payload, uint32_t bytes)
{
    bool synchronising = vgpu_op_table[opcode].op_class == VGPU_CLASS_WAIT ||
                         opcode == VGPU_OP_StreamQuery || opcode == VGPU_OP_EventQuery;

    if (synchronising && worker->deferred_error &&
        (result == CUDA_SUCCESS || result == CUDA_ERROR_NOT_READY)) {
        result = worker->deferred_error;
        vgpu_log(VGPU_LOG_INFO, "deferred_error",
                 LOG_S("call", vgpu_op_name(worker->deferred_opcode)),
                 LOG_S("result", worker_result_name(worker, result)));
        worker->deferred_error = CUDA_SUCCESS;
        bytes = 0;
    }
    if (ends_context(result) && worker->page)
        atomic_store_explicit(&worker->page->faults, 1, memory_order_relaxed);
    if (vgpu_reply_post(&worker->host, reply, result, payload, bytes) != 0)
        worker->violation = "reply slot out of range";
}

/* The guest uses these handles again whatever becomes of the record: its context may be gone. */
static bool outlives_context(uint16_t opcode)
{
    return opcode == VGPU_OP_StreamDestroy || opcode == VGPU_OP_EventDestroy ||
           opcode == VGPU_OP_BlobFree || opcode == VGPU_OP_GraphDestroy ||
           opcode == VGPU_OP_GraphExecDestroy;
}

void worker_execute_record(struct vgpu_worker *worker, const struct vgpu_record *record)
{
    /* Not cleared per record: the decoder clears what it answers with. */
    static struct vgpu_answer answer;
    const struct vgpu_op_info *info = &vgpu_op_table[record->opcode];

    worker->record = record;
    worker->answered_later = false;
    worker->moved = 0;
    if (record->reply != VGPU_REPLY_NONE && worker_reply_promised(worker, record->reply)) {
        worker->violation = "reply slot is named again before its answer";
        return;
    }
    CUresult result = worker_context_enter(worker, record->context);
    if (result != CUDA_SUCCESS && outlives_context(record->opcode)) {
        worker_context_use(worker, NULL);
        result = CUDA_SUCCESS;
    }
    if (result == CUDA_SUCCESS)
        result = worker_execute(worker, record, record->size, &answer);
    else
        answer.size = answer.violation = 0;
    if (answer.violation) {
        worker->violation = answer.reason;
        return;
    }
    if (result != CUDA_SUCCESS && info->release_offset && record->size >= info->request_bytes) {
        uint32_t release;
        memcpy(&release, (const uint8_t *)record + info->release_offset, sizeof(release));
        if (release >= 1 && release <= 256)
            vgpu_host_release(&worker->host, release - 1);
    }
    if (record->reply != VGPU_REPLY_NONE) {
        if (!worker->answered_later)
            worker_answer(worker, record->opcode, record->reply, result, answer.payload,
                          result == CUDA_SUCCESS ? answer.size : 0);
    } else if (result != CUDA_SUCCESS && !worker->deferred_error) {
        worker->deferred_error = result;
        worker->deferred_opcode = record->opcode;
    }
}

/* Work for the GPU: what the scheduler's gate holds back. */
static bool wants_gate(uint16_t opcode)
{
    switch (opcode) {
    case VGPU_OP_Launch:
    case VGPU_OP_Copy:
    case VGPU_OP_CopyInline:
    case VGPU_OP_CopyOutInline:
    case VGPU_OP_CopyWait:
    case VGPU_OP_Copy3D:
    case VGPU_OP_Copy3DWait:
    case VGPU_OP_Memset:
    case VGPU_OP_GraphLaunch:
        return true;
    default:
        return false;
    }
}

/*
 * Work in flight that makes no progress may be waiting for work that has not been submitted: it then
 * gets a piece in spite of the limit.
 */
static bool may_pass(struct vgpu_worker *worker, uint64_t without_progress)
{
    return shm_gate_may_pass(worker->page) ||
           (without_progress > STALL_NS && shm_gate_allows(worker->page));
}

static void say_wake(struct vgpu_worker *worker)
{
    struct vgpu_msg wake;

    worker_link_send(worker->link_fd, WORKER_MSG_WAKE, &wake, sizeof(wake), NULL, 0, MSG_DONTWAIT);
}

static void publish_in_flight(struct vgpu_worker *worker)
{
    uint32_t count = worker->active_count + worker->work_count;

    if (atomic_load_explicit(&worker->page->in_flight, memory_order_relaxed) != count)
        atomic_store_explicit(&worker->page->in_flight, count, memory_order_relaxed);
}

/* Anything from the daemon ends the worker: STOP, or its own end. */
static bool told_to_stop(struct vgpu_worker *worker)
{
    union worker_msg message;
    int fds[WORKER_LINK_FDS_MAX];
    size_t count = WORKER_LINK_FDS_MAX;
    int got = worker_link_receive(worker->link_fd, &message, fds, &count, MSG_DONTWAIT);

    if (got < 0 && errno == EAGAIN)
        return false;
    if (got <= 0)
        _exit(0); /* the daemon is gone: nobody is left to tell */
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
    return true;
}

/* Sleeps until a doorbell, the daemon, or rest_ns (0: no limit). */
static void rest(struct vgpu_worker *worker, uint64_t rest_ns)
{
    struct pollfd fds[2] = {{.fd = worker->doorbell_fd, .events = POLLIN},
                            {.fd = worker->link_fd, .events = POLLIN}};
    struct timespec limit = {.tv_nsec = (long)rest_ns};

    if (!vgpu_ring_sleep_prepare(&worker->consumer))
        return;
    ppoll(fds, 2, rest_ns ? &limit : NULL, NULL);
    uint64_t count;
    if (fds[0].revents && read(worker->doorbell_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
        vgpu_log(VGPU_LOG_WARN, "doorbell_unreadable", LOG_I("errno", errno));
    vgpu_ring_sleep_finish(&worker->consumer);
    if (fds[1].revents && told_to_stop(worker))
        worker->stop = true;
}

/* One thread writes them all: no locked instruction is needed. */
static void add(_Atomic uint64_t *to, uint64_t amount)
{
    atomic_store_explicit(to, atomic_load_explicit(to, memory_order_relaxed) + amount,
                          memory_order_relaxed);
}

static void count_record(struct vgpu_worker *worker, const struct vgpu_record *record, uint64_t ns)
{
    struct shm_call *call = &worker->page->calls[record->opcode];

    add(&call->calls, 1);
    add(&call->bytes, record->size + worker->moved);
    add(&call->host_ns, ns);
    add(&worker->page->records, 1);
}

_Static_assert(VGPU_OP_LIMIT <= SHM_OPCODES, "every operation has its counters");

unsigned worker_serve_batch(struct vgpu_worker *worker, struct vgpu_record *record, unsigned count)
{
    unsigned served = 0;

    worker->now = vgpu_now_ns();
    while (served < count && !worker->violation) {
        if (!worker->held) {
            int got = vgpu_ring_next(&worker->consumer, record);
            if (got == VGPU_RING_VIOLATION)
                worker->violation = worker->consumer.violation;
            if (got != VGPU_RING_RECORD)
                break;
            worker->held = true;
        }
        if (wants_gate(record->opcode)) {
            if (shm_backlog_set(worker->page))
                say_wake(worker);
            if (!may_pass(worker, worker->now - worker->busy_since))
                break;
            shm_submission_add(worker->page);
        }
        worker->held = false;
        worker_execute_record(worker, record);
        uint64_t now = vgpu_now_ns();
        count_record(worker, record, now - worker->now);
        worker->now = now;
        served++;
    }
    if (served)
        atomic_store_explicit(&worker->page->last_activity, worker->now, memory_order_relaxed);
    return served;
}

void worker_serve(struct vgpu_worker *worker)
{
    static _Alignas(64) uint8_t buffer[VGPU_RECORD_MAX];
    struct vgpu_record *record = (void *)buffer;
    uint64_t looked = worker->busy_since = vgpu_now_ns();

    while (!worker->stop && !worker->violation) {
        bool progress = worker_serve_batch(worker, record, BATCH) > 0;
        uint64_t now = worker->now;

        if (worker_in_flight(worker) && worker_poll(worker, !progress)) {
            progress = true;
            add(&worker->page->completions, 1);
        }
        publish_in_flight(worker);

        if (now - looked > LINK_LOOK_NS) {
            looked = now;
            if (told_to_stop(worker))
                worker->stop = true;
        }
        if (progress) {
            worker->busy_since = now;
            continue;
        }
        if (worker->held) {
            /* The gate is shut; what is in flight still needs looking after. */
            uint64_t before = vgpu_now_ns();
            shm_gate_wait(worker->page, worker_in_flight(worker) ? REST_GATE_NS : 10000000u);
            atomic_fetch_add_explicit(&worker->page->gate_wait_ns, vgpu_now_ns() - before,
                                      memory_order_relaxed);
            continue;
        }
        if (worker_in_flight(worker)) {
            if (shm_backlog_clear(worker->page))
                say_wake(worker);
            uint64_t waited = now - worker->busy_since;
            if (waited < REST_SPIN_NS && worker->consumer.spin.max_ns) {
                vgpu_cpu_relax();
                continue;
            }
            uint64_t rest_ns = waited / 32;
            rest(worker, rest_ns < REST_MIN_NS   ? REST_MIN_NS
                         : rest_ns > REST_MAX_NS ? REST_MAX_NS
                                                 : rest_ns);
            continue;
        }
        if (shm_backlog_clear(worker->page))
            say_wake(worker);
        int got = vgpu_ring_wait(&worker->consumer, worker->doorbell_fd, worker->link_fd, -1);
        if (got == VGPU_RING_VIOLATION)
            worker->violation = worker->consumer.violation;
        else if (got == VGPU_RING_EMPTY && told_to_stop(worker))
            worker->stop = true;
        worker->busy_since = vgpu_now_ns();
    }
}
