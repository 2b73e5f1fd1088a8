/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/vgpu-admin/hypervisor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool hypervisor_find(const char *name, const struct hypervisor **hv)
{
    *hv = NULL;
    if (!name)
        name = getenv("VGPU_HYPERVISOR");
    if (!name || !name[0]) {
        const char *directory = getenv("VGPU_VM_DIR");

        if (access("/etc/xensource-inventory", F_OK) == 0)
            name = "xe";
        else if (access(directory && directory[0] ? directory : "/var/lib/vgpu/vms", R_OK) == 0)
            name = "qemu";
        else
            name = "none";
    }
    if (!strcmp(name, "xe"))
        *hv = &hypervisor_xe;
    else if (!strcmp(name, "qemu"))
        *hv = &hypervisor_qemu;
    else
        return !strcmp(name, "none");
    return true;
}

int hypervisor_get(const struct hypervisor *hv, const char *uuid, struct hv_vm *vm, char *error)
{
    struct hv_vm *vms;
    size_t count;
    int found = 0;

    if (hv->list(&vms, &count, error) != 0)
        return -1;
    for (size_t i = 0; i < count && !found; i++) {
        if (!strcmp(vms[i].uuid, uuid)) {
            *vm = vms[i];
            found = 1;
        }
    }
    free(vms);
    return found;
}

void hypervisor_name(char out[VGPU_NAME_SIZE], const char *text)
{
    size_t n = 0;

    for (; *text && n + 1 < VGPU_NAME_SIZE; text++) {
        bool plain = (unsigned char)*text >= ' ' && (unsigned char)*text < 0x7f;

        out[n++] = plain ? *text : '?';
    }
    out[n] = 0;
}
