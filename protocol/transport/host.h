/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host.h - the worker's side of a channel: waking the guest, state, errors, releases
 *
 * Everything here may be called from any thread of the worker. Nothing read from the arena decides
 * anything but whether to wake somebody. A worker with VGPU_NOTIFY_FUTEX needs the futex system
 * call, one with VGPU_NOTIFY_EVENTFD needs write() on interrupt_fd.
 */
#ifndef VGPU_TRANSPORT_HOST_H
#define VGPU_TRANSPORT_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/transport/layout.h"

struct vgpu_host {
    struct vgpu_view view;
    int interrupt_fd; /* eventfd, not owned; -1 with VGPU_NOTIFY_FUTEX */
};

/* view must hold a header that vgpu_layout_check() accepted. */
void vgpu_host_init(struct vgpu_host *host, const struct vgpu_view *view, int interrupt_fd);

/* Wakes the threads that sleep on word, an address inside the arena. The word was changed before.
 */
void vgpu_host_wake(struct vgpu_host *host, _Atomic uint32_t *word);

/* Publishes a state (enum vgpu_host_state) and wakes everybody; error is a CUresult for DEAD. */
void vgpu_host_state(struct vgpu_host *host, uint32_t state, uint32_t error);

/* Wakes producers that announced that they sleep for ring space. The consumer calls it. */
void vgpu_host_space(struct vgpu_host *host);

/* Records the error of a deferred call; the first since the guest last took one is kept. */
void vgpu_host_deferred_error(struct vgpu_host *host, uint32_t result, uint32_t opcode);

/* Sets a release word. Returns 0, or -1 when word (from a record) is out of range. */
int vgpu_host_release(struct vgpu_host *host, uint32_t word);

#endif
