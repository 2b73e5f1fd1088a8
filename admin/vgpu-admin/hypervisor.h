/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hypervisor.h - stopping and starting VMs, and what their vGPU device is started with
 *
 * Calls return 0, or -1 with one line in error (HV_ERROR bytes), which holds the hypervisor's own
 * words. They may take minutes; each has a time limit.
 *
 * Only a letter and two numbers ever reach a VM's configuration: the device's options are built
 * from them here, and no text of the database or the command line gets there.
 */
#ifndef VGPU_ADMIN_HYPERVISOR_H
#define VGPU_ADMIN_HYPERVISOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "admin/libvgpu/vgpu_db.h"

#define HV_ERROR 1024

struct hv_vm {
    char uuid[VGPU_UUID_SIZE];
    char name[VGPU_NAME_SIZE]; /* as people named it, made printable */
    bool running;
    bool suspended; /* or paused: neither to be stopped nor set up without harm */
};

/* The properties of a VM's device. */
struct hv_device {
    bool present;
    char pool_id;
    uint32_t priority, vm_id;
};

struct hypervisor {
    const char *name;
    /* One malloc()ed block. */
    int (*list)(struct hv_vm **vms, size_t *count, char *error);
    /* Gracefully, then by force; 0 once the VM is off. */
    int (*stop)(const char *uuid, char *error);
    int (*start)(const char *uuid, char *error);
    /* What the VM has at its next start. */
    int (*get_device)(const char *uuid, struct hv_device *device, char *error);
    int (*set_device)(const char *uuid, const struct hv_device *device, char *error);
};

extern const struct hypervisor hypervisor_xe, hypervisor_qemu;

/*
 * name NULL: $VGPU_HYPERVISOR, or what this host has. *hv is NULL for "none". false when there is
 * none of that name.
 */
bool hypervisor_find(const char *name, const struct hypervisor **hv);
/* 1 and *vm filled in, 0 when the hypervisor does not know the VM, -1 as above. */
int hypervisor_get(const struct hypervisor *hv, const char *uuid, struct hv_vm *vm, char *error);

/* Copies text into a name: bytes that are no printable ASCII become '?'. */
void hypervisor_name(char out[VGPU_NAME_SIZE], const char *text);

/* program.c: runs argv[0] (found in PATH) with a time limit, in seconds; no shell.
 * 0 with its standard output in *output, malloc()ed; -1 with its standard error in error. */
int program_run(const char *const argv[], unsigned limit, char **output, char *error);

#endif
