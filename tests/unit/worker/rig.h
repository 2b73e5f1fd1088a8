/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rig.h - a worker in this process, on the software GPU, as a guest's records see it
 *
 * The test plays the guest: it fills records, hands them to the worker, and reads reply slots,
 * release words and device memory. Failures end the test (cmocka).
 */
#ifndef TESTS_WORKER_RIG_H
#define TESTS_WORKER_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mediator/worker/worker.h"

#define RIG_ARENA_BYTES (8u << 20)

struct rig {
    struct vgpu_worker worker;
    struct shm_page page;
    uint8_t *heap;            /* the arena's, pinned by rig_context() */
    uint32_t context;         /* handle that records carry */
    uint32_t next_handle;     /* fresh handles */
    struct vgpu_reply *reply; /* the answer of the last call */
};

extern struct rig rig;
extern const char rig_ptx[];
extern const size_t rig_ptx_bytes; /* without the final zero */

/* Group setup: driver, arena, window. Environment for the software GPU is set before. */
int rig_start(void **state);
/* Test setup and teardown: a primary context with the heap pinned; nothing may be left behind. */
int rig_context(void **state);
int rig_finish(void **state);
/* The same without a context. */
int rig_plain(void **state);

uint32_t rig_handle(void);

/* Executes a record; slot VGPU_REPLY_NONE for deferred ones. size: the fixed part. */
void rig_record(uint16_t opcode, void *request, uint32_t size, const void *tail, uint32_t bytes,
                uint16_t slot);
/* A slot nobody uses, marked pending. */
uint16_t rig_slot(void);
bool rig_answered(uint16_t slot);
/* Polls until the slot is answered; rig.reply is the answer. */
CUresult rig_wait(uint16_t slot);
CUresult rig_call(uint16_t opcode, void *request, uint32_t size, const void *tail, uint32_t bytes);
/* Polls until nothing is in flight. */
void rig_drain(void);

/*
 * SEND(Launch, tail, bytes, .grid = ...) for deferred operations, CALL(...) for those with an
 * answer, START(...) for those whose answer is not waited for: the slot.
 */
#define SEND(op, tail, bytes, ...)                                                                 \
    rig_record(VGPU_OP_##op, &(struct vgpu_req_##op){__VA_ARGS__}, VGPU_REQ_BYTES_##op, tail,      \
               bytes, VGPU_REPLY_NONE)
#define CALL(op, tail, bytes, ...)                                                                 \
    rig_call(VGPU_OP_##op, &(struct vgpu_req_##op){__VA_ARGS__}, VGPU_REQ_BYTES_##op, tail, bytes)
#define START(op, tail, bytes, ...)                                                                \
    ({                                                                                             \
        uint16_t slot_ = rig_slot();                                                               \
        rig_record(VGPU_OP_##op, &(struct vgpu_req_##op){__VA_ARGS__}, VGPU_REQ_BYTES_##op, tail,  \
                   bytes, slot_);                                                                  \
        slot_;                                                                                     \
    })
#define ANSWER(op) ((const struct vgpu_rsp_##op *)rig.reply->payload)

/* The usual steps; each fails the test when it does not succeed. */
uint64_t rig_alloc(uint64_t bytes);
void rig_free(uint64_t address);
uint32_t rig_stream(void);
uint32_t rig_blob(const void *data, size_t bytes);
uint32_t rig_module(void);
uint32_t rig_function(uint32_t module, const char *name);

struct fill_args {
    uint64_t to;
    uint32_t value, count;
};
/* fill: to[i] = value for i < count. */
void rig_fill(uint32_t function, uint32_t stream, uint64_t to, uint32_t value, uint32_t count);
/* hold: runs until *flag is not 0. */
void rig_hold(uint32_t function, uint32_t stream, volatile uint32_t *flag);

#endif
