/* SPDX-License-Identifier: GPL-2.0 */
/*
 * vgpu-compat.h - the QEMU API as vgpu-stub.c uses it, from QEMU 4.2 to 10.x
 *
 * Every difference between versions is settled here, so that the device itself reads as one version's
 * code. Include it after "qemu/osdep.h" and instead of QEMU's other headers. Headers that moved are
 * found by where they are, everything else by QEMU's version.
 */
#ifndef VGPU_COMPAT_H
#define VGPU_COMPAT_H

#define VGPU_QEMU_AT_LEAST(major, minor)                                       \
    (QEMU_VERSION_MAJOR > (major) ||                                           \
     (QEMU_VERSION_MAJOR == (major) && QEMU_VERSION_MINOR >= (minor)))

/* pci_device.h left pci.h in 8.0. */
#include "hw/pci/pci.h"
#if __has_include("hw/pci/pci_device.h")
#include "hw/pci/pci_device.h"
#endif
#include "hw/pci/msix.h"

/* Headers that went from hw/ to hw/core/. */
#if __has_include("hw/core/qdev-properties.h")
#include "hw/core/qdev-properties.h"
#else
#include "hw/qdev-properties.h"
#endif
/* DEFINE_PROP_CHR went to its own header in 6.0. */
#if __has_include("hw/core/qdev-properties-system.h")
#include "hw/core/qdev-properties-system.h"
#elif __has_include("hw/qdev-properties-system.h")
#include "hw/qdev-properties-system.h"
#endif

/* exec/ and sysemu/ became system/ in the course of 10.x. */
#if __has_include("system/memory.h")
#include "system/memory.h"
#else
#include "exec/memory.h"
#endif
#if __has_include("system/address-spaces.h")
#include "system/address-spaces.h"
#else
#include "exec/address-spaces.h"
#endif
#if __has_include("system/xen.h")
#include "system/xen.h"
#elif __has_include("sysemu/xen.h")
#include "sysemu/xen.h"
#else
#include "hw/xen/xen.h"
#endif

#include "chardev/char.h"
#include "chardev/char-fe.h"
#include "migration/vmstate.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/event_notifier.h"
#include "qemu/log.h"
#include "qemu/main-loop.h"
#include "qemu/module.h"

/* A chardev's user: CharBackend until CharFrontend in 10.2. */
#if VGPU_QEMU_AT_LEAST(10, 2)
typedef CharFrontend VgpuChardev;
#else
typedef CharBackend VgpuChardev;
#endif

/* Chardev events: an enumeration since 5.0. */
#if VGPU_QEMU_AT_LEAST(5, 0)
typedef QEMUChrEvent VgpuChardevEvent;
#else
typedef int VgpuChardevEvent;
#endif

/* First argument of a chardev's watch function; its users must not touch it since 6.0. */
#if VGPU_QEMU_AT_LEAST(6, 0)
typedef void VgpuWatchChannel;
#else
typedef GIOChannel VgpuWatchChannel;
#endif

/* Properties: const and self-counting since 10.0. */
#if VGPU_QEMU_AT_LEAST(10, 0)
#define VGPU_PROPERTIES static const Property
#define VGPU_PROPERTIES_END
#else
#define VGPU_PROPERTIES static Property
#define VGPU_PROPERTIES_END DEFINE_PROP_END_OF_LIST(),
#endif
#if VGPU_QEMU_AT_LEAST(5, 0)
#define vgpu_set_props(dc, properties) device_class_set_props(dc, properties)
#else
#define vgpu_set_props(dc, properties) ((dc)->props = (properties))
#endif

/* class_init's data: const since 10.1. */
#if VGPU_QEMU_AT_LEAST(10, 1)
typedef const void VgpuClassData;
#else
typedef void VgpuClassData;
#endif

static inline void vgpu_set_reset(DeviceClass *dc, void (*reset)(DeviceState *))
{
#if VGPU_QEMU_AT_LEAST(9, 2)
    device_class_set_legacy_reset(dc, reset);
#else
    dc->reset = reset;
#endif
}

/* Where in its file a RAM block starts: always at 0 before 8.1. */
#if VGPU_QEMU_AT_LEAST(8, 1)
#if __has_include("system/ramblock.h")
#include "system/ramblock.h"
#else
#include "exec/ramblock.h"
#endif
static inline uint64_t vgpu_ram_fd_offset(MemoryRegion *mr)
{
    return mr->ram_block->fd_offset;
}
#else
static inline uint64_t vgpu_ram_fd_offset(MemoryRegion *mr)
{
    return 0;
}
#endif

/* Listeners have a name to be debugged by since 6.2. */
#if VGPU_QEMU_AT_LEAST(6, 2)
#define VGPU_LISTENER_NAME(text) .name = (text),
#else
#define VGPU_LISTENER_NAME(text)
#endif

#endif
