/* SPDX-License-Identifier: GPL-2.0 */
/*
 * vgpu-stub - PCI device that connects a guest's GPU arena to the mediator daemon
 *
 * Only what QEMU has to lend to vgpu_stub_core.c is here: properties, the BAR, MSI-X, eventfds, guest
 * RAM as descriptors, and a unix socket chardev. Everything runs under the big QEMU lock.
 *
 *   -chardev socket,id=vgpu,path=PATH,server=on,wait=off
 *   -device vgpu-stub,chardev=vgpu,pool_id=A,priority=2,vm_id=7
 *
 * QEMU listens and the daemon connects, so that either side can restart, and so that nothing has to be
 * opened after QEMU has given up its privileges.
 */
#include "qemu/osdep.h"

#include "vgpu-compat.h"
#include "vgpu_stub_core.h"

#define TYPE_VGPU_STUB "vgpu-stub"
#define VGPU_STUB(obj) OBJECT_CHECK(VgpuStub, (obj), TYPE_VGPU_STUB)

/* Messages that wait for a mediator that is slow to read; more than every channel's OPEN and CLOSE. */
#define OUT_QUEUE_MAX 256

/* Chipsets remap this window at the guest's will, and no operating system puts pages there. */
#define LEGACY_WINDOW_START 0xa0000
#define LEGACY_WINDOW_END 0x100000

typedef struct VgpuStub VgpuStub;

typedef struct VgpuStubChannel {
    VgpuStub *stub;
    EventNotifier doorbell;
    EventNotifier interrupt;
} VgpuStubChannel;

typedef struct VgpuStubRam {
    MemoryRegion *mr; /* referenced, which keeps fd open */
    struct vgpu_stub_region region;
} VgpuStubRam;

typedef struct VgpuStubOut {
    QSIMPLEQ_ENTRY(VgpuStubOut) next;
    size_t size;
    size_t sent;
    unsigned int nfds;
    int fds[VGPU_LINK_FDS_MAX]; /* duplicates, closed with the entry */
    uint8_t bytes[VGPU_LINK_MSG_MAX];
} VgpuStubOut;

struct VgpuStub {
    PCIDevice parent_obj;

    char *pool_id;
    uint32_t priority;
    uint32_t vm_id;
    VgpuChardev chr;

    MemoryRegion registers;
    struct vgpu_stub_core core;
    VgpuStubChannel channels[VGPU_CHANNELS];

    bool connected;
    bool sending;     /* inside qemu_chr_fe_write, where the chardev may report its end */
    bool disconnecting;
    QEMUBH *disconnect_bh;
    guint out_watch;
    unsigned int out_count;
    QSIMPLEQ_HEAD(, VgpuStubOut) out;

    bool listening;
    bool ram_changed; /* and the core does not know yet */
    QEMUBH *ram_bh;
    MemoryListener listener;
    unsigned int ram_count;
    VgpuStubRam ram[VGPU_LINK_REGIONS];
    unsigned int next_ram_count; /* while a change of the map is under way */
    VgpuStubRam next_ram[VGPU_LINK_REGIONS];
};

/* Output: messages are written at once, or queued when the socket is full. */

static void out_free(VgpuStubOut *out)
{
    unsigned int i;

    for (i = 0; i < out->nfds; i++) {
        close(out->fds[i]);
    }
    g_free(out);
}

static void out_clear(VgpuStub *s)
{
    VgpuStubOut *out;

    while ((out = QSIMPLEQ_FIRST(&s->out)) != NULL) {
        QSIMPLEQ_REMOVE_HEAD(&s->out, next);
        out_free(out);
    }
    s->out_count = 0;
    if (s->out_watch) {
        g_source_remove(s->out_watch);
        s->out_watch = 0;
    }
}

/* Bytes written, 0 when the socket is full, -1 when the connection is no good. */
static int out_write(VgpuStub *s, const uint8_t *bytes, size_t size, int *fds,
                     unsigned int nfds)
{
    int ret;

    if (nfds && qemu_chr_fe_set_msgfds(&s->chr, fds, nfds) < 0) {
        return -1;
    }
    s->sending = true;
    errno = 0;
    ret = qemu_chr_fe_write(&s->chr, bytes, size);
    if (ret < 0 && errno == EAGAIN) {
        ret = 0;
    }
    s->sending = false;
    return s->connected ? ret : -1;
}

static gboolean vgpu_stub_writable(VgpuWatchChannel *channel, GIOCondition condition,
                                   void *opaque)
{
    VgpuStub *s = opaque;
    VgpuStubOut *out;

    while ((out = QSIMPLEQ_FIRST(&s->out)) != NULL) {
        int ret = out_write(s, out->bytes + out->sent, out->size - out->sent, out->fds,
                            out->sent == 0 ? out->nfds : 0);

        if (ret < 0) {
            s->out_watch = 0; /* removed by returning */
            vgpu_stub_link_drop(&s->core, "writing to it failed");
            return FALSE;
        }
        out->sent += ret;
        if (out->sent < out->size) {
            return TRUE;
        }
        QSIMPLEQ_REMOVE_HEAD(&s->out, next);
        s->out_count--;
        out_free(out);
    }
    s->out_watch = 0;
    return FALSE;
}

static int vgpu_stub_send(void *opaque, const void *bytes, size_t size, const int *fds,
                          unsigned int nfds)
{
    VgpuStub *s = opaque;
    VgpuStubOut *out;
    int written = 0;
    int msgfds[VGPU_LINK_FDS_MAX];

    if (!s->connected || nfds > VGPU_LINK_FDS_MAX || size > VGPU_LINK_MSG_MAX) {
        return -1;
    }
    if (QSIMPLEQ_EMPTY(&s->out)) {
        if (nfds) {
            memcpy(msgfds, fds, nfds * sizeof(*fds));
        }
        written = out_write(s, bytes, size, msgfds, nfds);
        if (written < 0 || written == size) {
            return written < 0 ? -1 : 0;
        }
    }
    if (s->out_count >= OUT_QUEUE_MAX) {
        return -1;
    }

    out = g_new0(VgpuStubOut, 1);
    memcpy(out->bytes, bytes, size);
    out->size = size;
    out->sent = written;
    while (written == 0 && out->nfds < nfds) {
        int fd = fcntl(fds[out->nfds], F_DUPFD_CLOEXEC, 0);

        if (fd < 0) {
            out_free(out);
            return -1;
        }
        out->fds[out->nfds++] = fd;
    }
    QSIMPLEQ_INSERT_TAIL(&s->out, out, next);
    s->out_count++;
    if (!s->out_watch) {
        s->out_watch = qemu_chr_fe_add_watch(&s->chr, G_IO_OUT | G_IO_HUP,
                                             vgpu_stub_writable, s);
    }
    return s->out_watch ? 0 : -1;
}

/* The connection. */

static void vgpu_stub_disconnect_bh(void *opaque)
{
    VgpuStub *s = opaque;

    if (s->disconnecting) {
        qemu_chr_fe_disconnect(&s->chr);
    }
}

/* The chardev may be in the middle of calling us, so it is closed from the main loop. */
static void vgpu_stub_disconnect(void *opaque)
{
    VgpuStub *s = opaque;

    out_clear(s);
    if (s->connected) {
        s->disconnecting = true;
        qemu_bh_schedule(s->disconnect_bh);
    }
}

static void vgpu_stub_chr_event(void *opaque, VgpuChardevEvent event)
{
    VgpuStub *s = opaque;

    switch (event) {
    case CHR_EVENT_OPENED:
        s->connected = true;
        s->disconnecting = false;
        vgpu_stub_link_up(&s->core);
        break;
    case CHR_EVENT_CLOSED:
        s->connected = false;
        s->disconnecting = false;
        if (!s->sending) { /* otherwise out_write reports it */
            out_clear(s);
            vgpu_stub_link_down(&s->core);
        }
        break;
    default:
        break;
    }
}

static int vgpu_stub_chr_can_read(void *opaque)
{
    return VGPU_LINK_MSG_MAX;
}

static void vgpu_stub_chr_read(void *opaque, const uint8_t *bytes, int size)
{
    VgpuStub *s = opaque;
    int fds[VGPU_LINK_FDS_MAX];
    int nfds = qemu_chr_fe_get_msgfds(&s->chr, fds, ARRAY_SIZE(fds));
    int i;

    for (i = 0; i < nfds; i++) {
        close(fds[i]);
    }
    vgpu_stub_link_receive(&s->core, bytes, size, nfds > 0 ? nfds : 0);
}

/* Interrupts, logs, time. */

static void vgpu_stub_raise(void *opaque, unsigned int vector)
{
    PCIDevice *pdev = PCI_DEVICE(opaque);

    if (msix_enabled(pdev)) {
        msix_notify(pdev, vector);
    }
}

static void vgpu_stub_guest_error(void *opaque, const char *text)
{
    VgpuStub *s = opaque;

    qemu_log_mask(LOG_GUEST_ERROR, "vgpu-stub: vm %" PRIu32 ": %s\n", s->vm_id, text);
}

static void vgpu_stub_log(void *opaque, const char *text)
{
    VgpuStub *s = opaque;

    info_report("vgpu-stub: vm %" PRIu32 ": %s", s->vm_id, text);
}

static uint64_t vgpu_stub_now_ns(void *opaque)
{
    return (uint64_t)g_get_monotonic_time() * 1000;
}

/* Eventfds. */

static void vgpu_stub_interrupt_ready(void *opaque)
{
    VgpuStubChannel *channel = opaque;
    VgpuStub *s = channel->stub;

    if (event_notifier_test_and_clear(&channel->interrupt)) {
        vgpu_stub_interrupt(&s->core, channel - s->channels);
    }
}

static int vgpu_stub_eventfds_create(void *opaque, unsigned int index, int fds[2])
{
    VgpuStub *s = opaque;
    VgpuStubChannel *channel = &s->channels[index];

    if (event_notifier_init(&channel->doorbell, 0) < 0) {
        return -1;
    }
    if (event_notifier_init(&channel->interrupt, 0) < 0) {
        event_notifier_cleanup(&channel->doorbell);
        return -1;
    }
    fds[0] = event_notifier_get_fd(&channel->doorbell);
    fds[1] = event_notifier_get_fd(&channel->interrupt);
    qemu_set_fd_handler(fds[1], vgpu_stub_interrupt_ready, NULL, channel);
    return 0;
}

static void vgpu_stub_eventfds_close(void *opaque, unsigned int index)
{
    VgpuStub *s = opaque;
    VgpuStubChannel *channel = &s->channels[index];

    qemu_set_fd_handler(event_notifier_get_fd(&channel->interrupt), NULL, NULL, NULL);
    event_notifier_cleanup(&channel->interrupt);
    event_notifier_cleanup(&channel->doorbell);
}

/* With KVM the doorbell of an open channel is signalled by the kernel, without a way through QEMU. */
static void vgpu_stub_doorbell_enable(void *opaque, unsigned int index, bool on)
{
    VgpuStub *s = opaque;
    EventNotifier *doorbell = &s->channels[index].doorbell;

    if (on) {
        memory_region_add_eventfd(&s->registers, VGPU_REG_DOORBELL, 4, true, index, doorbell);
    } else {
        memory_region_del_eventfd(&s->registers, VGPU_REG_DOORBELL, 4, true, index, doorbell);
    }
}

static void vgpu_stub_doorbell_signal(void *opaque, unsigned int index)
{
    VgpuStub *s = opaque;

    event_notifier_set(&s->channels[index].doorbell);
}

/* Guest RAM. */

static unsigned int vgpu_stub_memory(void *opaque, struct vgpu_stub_region *regions)
{
    VgpuStub *s = opaque;
    unsigned int i;

    for (i = 0; i < s->ram_count; i++) {
        regions[i] = s->ram[i].region;
    }
    return s->ram_count;
}

static void ram_append(VgpuStub *s, MemoryRegion *mr, const struct vgpu_stub_region *region)
{
    VgpuStubRam *last = s->next_ram_count ? &s->next_ram[s->next_ram_count - 1] : NULL;
    unsigned int i, smallest = 0;

    if (last && last->region.fd == region->fd &&
        last->region.where.guest_address + last->region.where.size ==
            region->where.guest_address &&
        last->region.where.fd_offset + last->region.where.size == region->where.fd_offset) {
        last->region.where.size += region->where.size;
        return;
    }
    if (s->next_ram_count < VGPU_LINK_REGIONS) {
        s->next_ram[s->next_ram_count].mr = mr;
        s->next_ram[s->next_ram_count++].region = *region;
        return;
    }
    /* No room: the smallest stays out, and a run table in it will be refused. */
    for (i = 1; i < VGPU_LINK_REGIONS; i++) {
        if (s->next_ram[i].region.where.size < s->next_ram[smallest].region.where.size) {
            smallest = i;
        }
    }
    if (s->next_ram[smallest].region.where.size < region->where.size) {
        for (i = smallest; i + 1 < VGPU_LINK_REGIONS; i++) {
            s->next_ram[i] = s->next_ram[i + 1];
        }
        s->next_ram[VGPU_LINK_REGIONS - 1].mr = mr;
        s->next_ram[VGPU_LINK_REGIONS - 1].region = *region;
    }
}

/* The part of a section from start to end, guest physical addresses; nothing when it is empty. */
static void ram_append_range(VgpuStub *s, MemoryRegionSection *section, uint64_t start,
                             uint64_t end)
{
    MemoryRegion *mr = section->mr;
    struct vgpu_stub_region region;

    if (start >= end) {
        return;
    }
    region.fd = memory_region_get_fd(mr);
    if (region.fd < 0 || !qemu_ram_is_shared(mr->ram_block)) {
        return;
    }
    region.where.guest_address = start;
    region.where.size = end - start;
    region.where.fd_offset = vgpu_ram_fd_offset(mr) + section->offset_within_region +
                             (start - section->offset_within_address_space);
    ram_append(s, mr, &region);
}

static void vgpu_stub_map_begin(MemoryListener *listener)
{
    VgpuStub *s = container_of(listener, VgpuStub, listener);

    s->next_ram_count = 0;
}

static void vgpu_stub_map_add(MemoryListener *listener, MemoryRegionSection *section)
{
    VgpuStub *s = container_of(listener, VgpuStub, listener);
    MemoryRegion *mr = section->mr;
    uint64_t start = section->offset_within_address_space;
    uint64_t end = start + int128_get64(section->size);

    if (!memory_region_is_ram(mr) || memory_region_is_rom(mr) ||
        memory_region_is_ram_device(mr) || section->readonly) {
        return;
    }
    ram_append_range(s, section, start, MIN(end, LEGACY_WINDOW_START));
    ram_append_range(s, section, MAX(start, LEGACY_WINDOW_END), end);
}

static bool ram_is_same(VgpuStub *s)
{
    unsigned int i;

    if (s->ram_count != s->next_ram_count) {
        return false;
    }
    for (i = 0; i < s->ram_count; i++) {
        const VgpuStubRam *a = &s->ram[i], *b = &s->next_ram[i];

        if (a->mr != b->mr || a->region.fd != b->region.fd ||
            memcmp(&a->region.where, &b->region.where, sizeof(a->region.where)) != 0) {
            return false;
        }
    }
    return true;
}

static void vgpu_stub_map_commit(MemoryListener *listener)
{
    VgpuStub *s = container_of(listener, VgpuStub, listener);
    VgpuStubRam old[VGPU_LINK_REGIONS];
    unsigned int old_count = s->ram_count;
    unsigned int i;

    if (ram_is_same(s)) {
        return;
    }
    memcpy(old, s->ram, sizeof(old));
    memcpy(s->ram, s->next_ram, sizeof(s->ram));
    s->ram_count = s->next_ram_count;
    for (i = 0; i < s->ram_count; i++) {
        memory_region_ref(s->ram[i].mr);
    }
    for (i = 0; i < old_count; i++) {
        memory_region_unref(old[i].mr);
    }
    if (s->listening) {
        s->ram_changed = true;
        qemu_bh_schedule(s->ram_bh);
    }
}

/*
 * Telling the core may end the link, which changes the memory map again (doorbells). Not from inside a
 * listener, therefore, but from the main loop, or before the guest's next write if that comes first.
 */
static void vgpu_stub_ram_flush(void *opaque)
{
    VgpuStub *s = opaque;

    if (s->ram_changed) {
        s->ram_changed = false;
        vgpu_stub_memory_changed(&s->core);
    }
}

static const MemoryListener vgpu_stub_listener = {
    VGPU_LISTENER_NAME("vgpu-stub")
    .begin = vgpu_stub_map_begin,
    .region_add = vgpu_stub_map_add,
    .region_nop = vgpu_stub_map_add,
    .commit = vgpu_stub_map_commit,
};

static const struct vgpu_stub_ops vgpu_stub_core_ops = {
    .raise = vgpu_stub_raise,
    .guest_error = vgpu_stub_guest_error,
    .log = vgpu_stub_log,
    .now_ns = vgpu_stub_now_ns,
    .eventfds_create = vgpu_stub_eventfds_create,
    .doorbell_enable = vgpu_stub_doorbell_enable,
    .doorbell_signal = vgpu_stub_doorbell_signal,
    .eventfds_close = vgpu_stub_eventfds_close,
    .send = vgpu_stub_send,
    .disconnect = vgpu_stub_disconnect,
    .memory = vgpu_stub_memory,
};

/* BAR0: the core decides about every access, wrong ones included. */

static uint64_t vgpu_stub_mmio_read(void *opaque, hwaddr offset, unsigned int size)
{
    VgpuStub *s = opaque;

    return vgpu_stub_read(&s->core, offset, size);
}

static void vgpu_stub_mmio_write(void *opaque, hwaddr offset, uint64_t value,
                                 unsigned int size)
{
    VgpuStub *s = opaque;

    vgpu_stub_ram_flush(s);
    vgpu_stub_write(&s->core, offset, value, size);
}

static const MemoryRegionOps vgpu_stub_mmio_ops = {
    .read = vgpu_stub_mmio_read,
    .write = vgpu_stub_mmio_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 1, .max_access_size = 8, .unaligned = true },
    .impl = { .min_access_size = 1, .max_access_size = 8, .unaligned = true },
};

static void vgpu_stub_realize(PCIDevice *pdev, Error **errp)
{
    VgpuStub *s = VGPU_STUB(pdev);
    struct vgpu_stub_identity id = {
        .vm_id = s->vm_id,
        .priority = s->priority,
        .backend = xen_enabled() ? VGPU_BACKEND_GRANT : VGPU_BACKEND_MEMFD,
    };
    const char *problem;
    unsigned int i;

    if (s->pool_id && s->pool_id[0] && !s->pool_id[1]) {
        id.pool_id = (unsigned char)s->pool_id[0];
    }
    problem = vgpu_stub_check_identity(&id);
    if (problem) {
        error_setg(errp, "vgpu-stub: %s", problem);
        return;
    }
    if (!qemu_chr_fe_backend_connected(&s->chr)) {
        error_setg(errp, "vgpu-stub: chardev must name a socket chardev on which the mediator connects");
        return;
    }
    if (!object_dynamic_cast(OBJECT(qemu_chr_fe_get_driver(&s->chr)), "chardev-socket")) {
        error_setg(errp, "vgpu-stub: chardev must be a unix socket, descriptors go through it");
        return;
    }

    memory_region_init_io(&s->registers, OBJECT(s), &vgpu_stub_mmio_ops, s, "vgpu-stub-registers",
                          VGPU_BAR0_BYTES);
    pci_register_bar(pdev, 0, PCI_BASE_ADDRESS_SPACE_MEMORY, &s->registers);
    if (msix_init_exclusive_bar(pdev, VGPU_MSIX_VECTORS, VGPU_MSIX_BAR, errp) < 0) {
        return;
    }
    for (i = 0; i < VGPU_MSIX_VECTORS; i++) {
        msix_vector_use(pdev, i);
    }
    for (i = 0; i < VGPU_CHANNELS; i++) {
        s->channels[i].stub = s;
    }
    QSIMPLEQ_INIT(&s->out);
    s->disconnect_bh = qemu_bh_new(vgpu_stub_disconnect_bh, s);
    s->ram_bh = qemu_bh_new(vgpu_stub_ram_flush, s);
    vgpu_stub_init(&s->core, &id, &vgpu_stub_core_ops, s);

    if (id.backend == VGPU_BACKEND_MEMFD) {
        s->listener = vgpu_stub_listener;
        memory_listener_register(&s->listener, &address_space_memory);
        s->listening = true;
        if (s->ram_count == 0) {
            warn_report("vgpu-stub: vm %" PRIu32 ": guest RAM is not in shared memory, so every channel "
                        "will be refused; give the machine a memory-backend-memfd with share=on",
                        s->vm_id);
        }
    }
    /* Last: a mediator that is already there is greeted from inside this call. */
    qemu_chr_fe_set_handlers(&s->chr, vgpu_stub_chr_can_read, vgpu_stub_chr_read,
                             vgpu_stub_chr_event, NULL, s, NULL, true);
}

static void vgpu_stub_exit(PCIDevice *pdev)
{
    VgpuStub *s = VGPU_STUB(pdev);
    unsigned int i;

    vgpu_stub_fini(&s->core);
    qemu_chr_fe_set_handlers(&s->chr, NULL, NULL, NULL, NULL, NULL, NULL, false);
    out_clear(s);
    qemu_chr_fe_disconnect(&s->chr);
    qemu_bh_delete(s->disconnect_bh);
    if (s->listening) {
        s->listening = false;
        memory_listener_unregister(&s->listener);
    }
    qemu_bh_delete(s->ram_bh);
    for (i = 0; i < s->ram_count; i++) {
        memory_region_unref(s->ram[i].mr);
    }
    s->ram_count = 0;
    msix_unuse_all_vectors(pdev);
    msix_uninit_exclusive_bar(pdev);
}

static void vgpu_stub_device_reset(DeviceState *dev)
{
    VgpuStub *s = VGPU_STUB(dev);

    vgpu_stub_reset(&s->core);
}

VGPU_PROPERTIES vgpu_stub_properties[] = {
    DEFINE_PROP_CHR("chardev", VgpuStub, chr),
    DEFINE_PROP_STRING("pool_id", VgpuStub, pool_id),
    DEFINE_PROP_UINT32("priority", VgpuStub, priority, 1),
    DEFINE_PROP_UINT32("vm_id", VgpuStub, vm_id, 0),
    VGPU_PROPERTIES_END
};

/* Channels name pages and processes of this host, so the device cannot go to another one. */
static const VMStateDescription vgpu_stub_vmstate = {
    .name = TYPE_VGPU_STUB,
    .unmigratable = 1,
};

static void vgpu_stub_class_init(ObjectClass *klass, VgpuClassData *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *pc = PCI_DEVICE_CLASS(klass);

    pc->realize = vgpu_stub_realize;
    pc->exit = vgpu_stub_exit;
    pc->vendor_id = VGPU_PCI_VENDOR;
    pc->device_id = VGPU_PCI_DEVICE;
    pc->revision = VGPU_PCI_REVISION;
    pc->class_id = VGPU_PCI_CLASS;
    dc->desc = "GPU mediation stub";
    dc->vmsd = &vgpu_stub_vmstate;
    vgpu_set_reset(dc, vgpu_stub_device_reset);
    vgpu_set_props(dc, vgpu_stub_properties);
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
}

static const TypeInfo vgpu_stub_info = {
    .name = TYPE_VGPU_STUB,
    .parent = TYPE_PCI_DEVICE,
    .instance_size = sizeof(VgpuStub),
    .class_init = vgpu_stub_class_init,
    .interfaces = (InterfaceInfo[]){
        { INTERFACE_CONVENTIONAL_PCI_DEVICE },
        { },
    },
};

static void vgpu_stub_register_types(void)
{
    type_register_static(&vgpu_stub_info);
}

type_init(vgpu_stub_register_types)
