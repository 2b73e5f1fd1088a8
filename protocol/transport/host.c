/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/transport/host.h"

#include <unistd.h>

#include "protocol/transport/futex.h"

void vgpu_host_init(struct vgpu_host *host, const struct vgpu_view *view, int interrupt_fd)
{
    host->view = *view;
    host->interrupt_fd = interrupt_fd;
}

void vgpu_host_wake(struct vgpu_host *host, _Atomic uint32_t *word)
{
    if (host->view.header.notify == VGPU_NOTIFY_FUTEX) {
        vgpu_futex_wake(word, INT_MAX, true);
    } else if (host->interrupt_fd >= 0) {
        /* A full counter means that an interrupt is pending already. */
        uint64_t one = 1;
        ssize_t n = write(host->interrupt_fd, &one, sizeof(one));
        (void)n;
    }
}

/* Takes back the announcement in a *_wanted word; true when somebody had announced a sleep. */
static bool take_wanted(_Atomic uint32_t *wanted)
{
    uint32_t value = atomic_load(wanted);
    /* A failed exchange means that another thread took it, or that the guest plays: wake anyway. */
    if (!(value & 1))
        return false;
    atomic_compare_exchange_strong(wanted, &value, value + 1);
    return true;
}

void vgpu_host_state(struct vgpu_host *host, uint32_t state, uint32_t error)
{
    struct vgpu_arena_shared *shared = host->view.shared;

    atomic_store(&shared->error, error);
    atomic_store(&shared->host_state, state);
    vgpu_host_wake(host, &shared->host_state);
    if (state != VGPU_HOST_DEAD)
        return;
    if (take_wanted(&shared->space_wanted))
        vgpu_host_wake(host, &shared->space_wanted);
    if (take_wanted(&shared->release_wanted))
        vgpu_host_wake(host, &shared->release_wanted);
    for (uint32_t i = 0; i < host->view.header.reply_count; i++)
        if (atomic_load(&host->view.replies[i].sleeping))
            vgpu_host_wake(host, &host->view.replies[i].state);
}

void vgpu_host_space(struct vgpu_host *host)
{
    if (take_wanted(&host->view.shared->space_wanted))
        vgpu_host_wake(host, &host->view.shared->space_wanted);
}

void vgpu_host_deferred_error(struct vgpu_host *host, uint32_t result, uint32_t opcode)
{
    struct vgpu_arena_shared *shared = host->view.shared;
    uint32_t none = 0;

    if (atomic_load(&shared->deferred_error))
        return;
    atomic_store(&shared->deferred_opcode, opcode);
    atomic_compare_exchange_strong(&shared->deferred_error, &none, result);
}

int vgpu_host_release(struct vgpu_host *host, uint32_t word)
{
    struct vgpu_arena_shared *shared = host->view.shared;

    if (word >= sizeof(shared->release) / sizeof(shared->release[0]))
        return -1;
    atomic_store(&shared->release[word], 1);
    if (take_wanted(&shared->release_wanted))
        vgpu_host_wake(host, &shared->release_wanted);
    return 0;
}
