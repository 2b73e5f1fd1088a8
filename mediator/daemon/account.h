/* SPDX-License-Identifier: Apache-2.0 */
/*
 * account.h - what a VM has used: sums over the shared pages of its workers
 *
 * A worker's page holds claims: each word is read once and bounded to ACCOUNT_MAX, and sums
 * saturate there, so that a broken worker can spoil its own VM's figures and nothing else. Units:
 * ns, bytes.
 */
#ifndef VGPU_ACCOUNT_H
#define VGPU_ACCOUNT_H

#include <stdint.h>

#include <jansson.h>

#include "mediator/common/shm_stats.h"

#define ACCOUNT_MAX (1ull << 53) /* exact in every JSON reader */

struct account_call {
    uint64_t calls, bytes, gpu_ns, host_ns;
};

struct account {
    struct account_call total;
    uint64_t gate_wait_ns;
    uint64_t device_memory_peak; /* of one worker */
    uint64_t device_memory;      /* now; of live workers only */
    struct account_call calls[SHM_OPCODES];
    uint64_t latency[SHM_HISTOGRAM_BUCKETS];
};

/* Adds a worker's page; ended: the worker is gone, so what it held is free. */
void account_add_page(struct account *account, struct shm_page *page, int ended);
void account_add(struct account *account, const struct account *other);

/* Upper end of the bucket that holds the given percentile (1 to 100) of counts; 0 when empty. */
uint64_t account_percentile(const uint64_t *counts, unsigned percent);

/* Puts the figures into object: calls, bytes, gpu_ns, ..., latency_ns {...}, ops [...]. */
void account_to_json(const struct account *account, json_t *object);

#endif
