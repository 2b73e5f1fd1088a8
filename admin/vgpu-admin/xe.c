/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xe.c - XCP-ng, through its command line program
 *
 * The device's options live in the VM's platform map as device-model-args, from which the patched
 * qemu-wrapper builds the device. Other programs' text in that key is never kept or extended: the
 * value is ours or it is not there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/vgpu-admin/hypervisor.h"

#define QUICK 60
#define SHUTDOWN 180
#define START 300

static const char *program(void)
{
    const char *name = getenv("VGPU_XE");

    return name && name[0] ? name : "xe";
}

/* A line as `uuid ( RO)           : VALUE` gives it; NULL when it is another field. */
static const char *field(const char *line, const char *name)
{
    size_t length = strlen(name);
    const char *colon;

    line += strspn(line, " ");
    if (strncmp(line, name, length) || (line[length] != ' ' && line[length] != ':'))
        return NULL;
    colon = strchr(line, ':');
    return colon ? colon + 1 + strspn(colon + 1, " ") : NULL;
}

static int xe_list(struct hv_vm **vms, size_t *count, char *error)
{
    const char *argv[] = {program(),
                          "vm-list",
                          "is-control-domain=false",
                          "is-a-snapshot=false",
                          "params=uuid,name-label,power-state",
                          NULL};
    struct hv_vm *list = NULL;
    char *output, *next;
    size_t n = 0, room = 0;

    if (program_run(argv, QUICK, &output, error) != 0)
        return -1;
    for (char *line = output; line; line = next) {
        const char *value;

        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        if ((value = field(line, "uuid"))) {
            if (n == room) {
                struct hv_vm *larger = realloc(list, (room = room ? room * 2 : 16) * sizeof(*list));

                if (!larger) {
                    snprintf(error, HV_ERROR, "out of memory");
                    free(list);
                    free(output);
                    return -1;
                }
                list = larger;
            }
            memset(&list[n], 0, sizeof(list[n]));
            if (!vgpu_parse_uuid(value, list[n].uuid))
                continue;
            n++;
        } else if (n && (value = field(line, "name-label"))) {
            hypervisor_name(list[n - 1].name, value);
        } else if (n && (value = field(line, "power-state"))) {
            list[n - 1].running = !strncmp(value, "running", 7);
            list[n - 1].suspended = !list[n - 1].running && strncmp(value, "halted", 6) != 0;
        }
    }
    free(output);
    *vms = list;
    *count = n;
    return 0;
}

static int vm_command(const char *command, const char *uuid, const char *more, unsigned limit,
                      char **output, char *error)
{
    char argument[64];
    const char *argv[] = {program(), command, argument, more, NULL};
    char *ignored = NULL;
    int result;

    snprintf(argument, sizeof(argument), "uuid=%s", uuid);
    result = program_run(argv, limit, output ? output : &ignored, error);
    free(ignored);
    return result;
}

static int xe_start(const char *uuid, char *error)
{
    return vm_command("vm-start", uuid, NULL, START, NULL, error);
}

static int xe_stop(const char *uuid, char *error)
{
    char gentle[HV_ERROR], forced[HV_ERROR];
    struct hv_vm vm;

    if (vm_command("vm-shutdown", uuid, NULL, SHUTDOWN, NULL, gentle) == 0)
        return 0;
    if (vm_command("vm-shutdown", uuid, "force=true", QUICK, NULL, forced) == 0)
        return 0;
    /* It may have gone down all the same, in its own time. */
    if (hypervisor_get(&hypervisor_xe, uuid, &vm, error) == 1 && !vm.running)
        return 0;
    snprintf(error, HV_ERROR, "%.480s; by force: %.480s", gentle, forced);
    return -1;
}

static int xe_get_device(const char *uuid, struct hv_device *device, char *error)
{
    const char *names = "param-name=platform";
    char argument[64];
    const char *argv[] = {program(), "vm-param-get", argument, names, NULL};
    unsigned priority, vm_id;
    char pool, *output, *at;
    int end = 0;

    *device = (struct hv_device){0};
    snprintf(argument, sizeof(argument), "uuid=%s", uuid);
    if (program_run(argv, QUICK, &output, error) != 0)
        return -1;
    at = strstr(output, "device-model-args: ");
    if (at &&
        sscanf(at, "device-model-args: -device vgpu-stub,pool_id=%c,priority=%1u,vm_id=%10u%n",
               &pool, &priority, &vm_id, &end) == 3 &&
        strchr("; \n", at[end]) && pool >= 'A' && pool <= 'Z' && priority <= 2)
        *device = (struct hv_device){true, pool, priority, vm_id};
    free(output);
    return 0;
}

static int xe_set_device(const char *uuid, const struct hv_device *device, char *error)
{
    char value[128];

    if (!device->present) {
        char argument[64], *output = NULL;
        const char *argv[] = {program(),
                              "vm-param-remove",
                              argument,
                              "param-name=platform",
                              "param-key=device-model-args",
                              NULL};
        struct hv_device now;
        int result;

        if (xe_get_device(uuid, &now, error) != 0)
            return -1;
        if (!now.present)
            return 0;
        snprintf(argument, sizeof(argument), "uuid=%s", uuid);
        result = program_run(argv, QUICK, &output, error);
        free(output);
        return result;
    }
    snprintf(value, sizeof(value),
             "platform:device-model-args=-device vgpu-stub,pool_id=%c,priority=%u,vm_id=%u",
             device->pool_id, device->priority, device->vm_id);
    return vm_command("vm-param-set", uuid, value, QUICK, NULL, error);
}

const struct hypervisor hypervisor_xe = {"xe",     xe_list,       xe_stop,
                                         xe_start, xe_get_device, xe_set_device};
