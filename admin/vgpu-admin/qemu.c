/* SPDX-License-Identifier: Apache-2.0 */
/* qemu.c - VMs that vgpu-vm defines, starts and stops */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "admin/vgpu-admin/hypervisor.h"

#define QUICK 30
#define STOP 120
#define START 120

static const char *program(void)
{
    const char *name = getenv("VGPU_VM_PROGRAM");

    return name && name[0] ? name : "vgpu-vm";
}

static json_t *list_json(char *error)
{
    const char *argv[] = {program(), "list", "--json", NULL};
    json_error_t why;
    json_t *root;
    char *output;

    if (program_run(argv, QUICK, &output, error) != 0)
        return NULL;
    root = json_loads(output, 0, &why);
    if (!root || !json_is_array(root)) {
        snprintf(error, HV_ERROR, "%s list: no list: %s", program(), root ? "" : why.text);
        json_decref(root);
        root = NULL;
    }
    free(output);
    return root;
}

static int qemu_list(struct hv_vm **vms, size_t *count, char *error)
{
    json_t *root = list_json(error), *object;
    size_t i;

    if (!root)
        return -1;
    *count = 0;
    *vms = calloc(json_array_size(root) + 1, sizeof(**vms));
    if (!*vms) {
        snprintf(error, HV_ERROR, "out of memory");
        json_decref(root);
        return -1;
    }
    json_array_foreach(root, i, object)
    {
        struct hv_vm *vm = &(*vms)[*count];
        const char *name = json_string_value(json_object_get(object, "name"));

        if (!vgpu_parse_uuid(json_string_value(json_object_get(object, "uuid")), vm->uuid))
            continue;
        hypervisor_name(vm->name, name ? name : "");
        vm->running = json_is_true(json_object_get(object, "running"));
        (*count)++;
    }
    json_decref(root);
    return 0;
}

static int run(const char *command, const char *uuid, const char *const more[3], unsigned limit,
               char *error)
{
    const char *argv[] = {program(),
                          command,
                          uuid,
                          more ? more[0] : NULL,
                          more ? more[1] : NULL,
                          more ? more[2] : NULL,
                          NULL};
    char *output = NULL;
    int result = program_run(argv, limit, &output, error);

    free(output);
    return result;
}

static int qemu_stop(const char *uuid, char *error)
{
    return run("stop", uuid, NULL, STOP, error);
}

static int qemu_start(const char *uuid, char *error)
{
    return run("start", uuid, NULL, START, error);
}

static int qemu_get_device(const char *uuid, struct hv_device *device, char *error)
{
    json_t *root = list_json(error), *object;
    size_t i;

    *device = (struct hv_device){0};
    if (!root)
        return -1;
    json_array_foreach(root, i, object)
    {
        const char *name = json_string_value(json_object_get(object, "uuid"));
        json_t *vgpu = json_object_get(object, "vgpu");
        const char *pool = json_string_value(json_object_get(vgpu, "pool"));

        if (name && !strcmp(name, uuid) && pool)
            *device = (struct hv_device){
                true, pool[0], (uint32_t)json_integer_value(json_object_get(vgpu, "priority")),
                (uint32_t)json_integer_value(json_object_get(vgpu, "vm_id"))};
    }
    json_decref(root);
    return 0;
}

static int qemu_set_device(const char *uuid, const struct hv_device *device, char *error)
{
    char pool[16], priority[32], vm_id[32];
    const char *more[3] = {pool, priority, vm_id};

    if (!device->present)
        return run("set", uuid, (const char *const[3]){"--no-vgpu", NULL, NULL}, QUICK, error);
    snprintf(pool, sizeof(pool), "--pool=%c", device->pool_id);
    snprintf(priority, sizeof(priority), "--priority=%u", device->priority);
    snprintf(vm_id, sizeof(vm_id), "--vm-id=%u", device->vm_id);
    return run("set", uuid, more, QUICK, error);
}

const struct hypervisor hypervisor_qemu = {"qemu",     qemu_list,       qemu_stop,
                                           qemu_start, qemu_get_device, qemu_set_device};
