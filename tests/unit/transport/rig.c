/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "protocol/transport/futex.h"

#define WAIT_MS 15000

static void ring_doorbell(void *transport)
{
    struct rig *rig = transport;
    uint64_t one = 1;

    atomic_fetch_add(&rig->doorbells, 1);
    if (write(rig->doorbell, &one, sizeof(one)) != sizeof(one))
        abort();
}

static int wait_word(void *transport, _Atomic uint32_t *word, uint32_t expected,
                     uint32_t timeout_ms)
{
    struct rig *rig = transport;

    if (atomic_load(&rig->dead))
        return -EPIPE;
    int err = vgpu_futex_wait(word, expected, WAIT_MS, true);
    if (err == -ETIMEDOUT)
        atomic_fetch_add(&rig->lost, 1);
    return err;
}

static bool is_dead(void *transport)
{
    struct rig *rig = transport;
    return atomic_load(&rig->dead) ||
           atomic_load(&rig->channel.view.shared->host_state) == VGPU_HOST_DEAD;
}

static const struct vgpu_channel_ops ops = {ring_doorbell, wait_word, is_dead};

void rig_create(struct rig *rig, uint64_t bytes, uint32_t slots, uint32_t replies)
{
    struct vgpu_arena_header header;

    memset(rig, 0, sizeof(*rig));
    rig->bytes = bytes;
    rig->memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    rig->doorbell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (rig->memory == MAP_FAILED || rig->doorbell < 0 ||
        vgpu_layout_plan(&header, VGPU_ARENA_ADDRESS_MIN, bytes, slots, replies,
                         VGPU_NOTIFY_FUTEX)) {
        perror("rig");
        exit(1);
    }
    memcpy(rig->memory, &header, sizeof(header));
    atomic_store(&rig->owner, VGPU_OWNER_ALIVE);
    rig->channel.owner = &rig->owner;
    rig->channel.ops = &ops;
    rig->channel.transport = rig;
    vgpu_view_init(&rig->channel.view, rig->memory, &header);
    vgpu_host_init(&rig->host, &rig->channel.view, -1);
}

void rig_destroy(struct rig *rig)
{
    munmap(rig->memory, rig->bytes);
    close(rig->doorbell);
}
