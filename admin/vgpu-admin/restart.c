/* SPDX-License-Identifier: Apache-2.0 */
/*
 * restart.c - changes of what a VM's device was started with
 *
 * Steps: stop, database, device, start. A failure at any of them undoes what was done before in
 * reverse, so that the VM runs with the configuration it had; what could not be undone is said.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/vgpu-admin/admin.h"
#include "admin/vgpu-admin/hypervisor.h"

#define DEVICE_FIELDS (VGPU_SET_POOL | VGPU_SET_PRIORITY | VGPU_SET_VM_ID)

static void show_change(struct context *c, const struct vgpu_vm *old, const struct vgpu_vm *vm)
{
    static const struct column columns[] = {
        {"what", "SETTING"}, {"old", "CURRENT"}, {"new", "NEW"}, {NULL, NULL}};
    char pools[2][2] = {{old->pool_id}, {vm->pool_id}}, ids[2][16];
    json_t *rows;

    if (c->json)
        return;
    snprintf(ids[0], sizeof(ids[0]), "%u", old->vm_id);
    snprintf(ids[1], sizeof(ids[1]), "%u", vm->vm_id);
    rows = json_pack("[{s:s, s:s, s:s}, {s:s, s:s, s:s}, {s:s, s:s, s:s}]", "what", "pool", "old",
                     pools[0], "new", pools[1], "what", "priority", "old",
                     vgpu_priority_name(old->priority), "new", vgpu_priority_name(vm->priority),
                     "what", "vm_id", "old", ids[0], "new", ids[1]);
    say(c, "VM %s%s%s%s", old->vm_uuid, old->name[0] ? " (" : "", old->name,
        old->name[0] ? ")" : "");
    print_table(rows, columns);
    json_decref(rows);
}

/* What has been undone and what could not be, for the message. */
struct outcome {
    char text[4 * HV_ERROR];
};

static __attribute__((format(printf, 2, 3))) void note(struct outcome *o, const char *format, ...)
{
    size_t used = strlen(o->text);
    va_list args;

    va_start(args, format);
    vsnprintf(o->text + used, sizeof(o->text) - used, format, args);
    va_end(args);
}

/* A value that the database will refuse must not cost the VM a restart. */
static int check_first(struct context *c, const struct vgpu_vm *vm, uint32_t fields)
{
    struct vgpu_pool pool;
    struct vgpu_vm *vms;
    size_t count;
    int code = VGPU_OK;

    if (fields & VGPU_SET_POOL) {
        code = vgpu_get_pool_info(c->db, vm->pool_id, &pool);
        if (code)
            return fail(c, code == VGPU_NOT_FOUND ? STATUS_USAGE : STATUS_DATABASE, "%s",
                        vgpu_db_error());
    }
    if (fields & VGPU_SET_VM_ID) {
        code = vgpu_list_vms(c->db, NULL, &vms, &count);
        if (code)
            return fail_db(c, code);
        for (size_t i = 0; i < count; i++) {
            if (vms[i].vm_id == vm->vm_id && strcmp(vms[i].vm_uuid, vm->vm_uuid)) {
                int status = fail(c, STATUS_USAGE, "vm_id %u belongs to VM %s%s%s%s", vm->vm_id,
                                  vms[i].vm_uuid, vms[i].name[0] ? " (" : "", vms[i].name,
                                  vms[i].name[0] ? ")" : "");
                free(vms);
                return status;
            }
        }
        free(vms);
    }
    return STATUS_OK;
}

static int finish(struct context *c, const char *uuid, const char *effect)
{
    struct vgpu_vm now;
    int code = vgpu_get_vm_config(c->db, uuid, &now);

    if (code)
        return fail_db(c, code);
    if (c->json) {
        json_t *object = vm_json(&now);

        json_object_set_new(object, "effect", json_string(effect));
        print_json(c, object);
    }
    say(c, "VM %s is changed. %s", uuid, effect);
    return STATUS_OK;
}

static int restart(struct context *c, const struct hypervisor *hv, const struct vgpu_vm *old,
                   const struct vgpu_vm *vm, uint32_t fields, bool running)
{
    struct hv_device device = {true, vm->pool_id, vm->priority, vm->vm_id}, before;
    bool stored = false, set = false, off = false;
    const char *uuid = old->vm_uuid, *step;
    char error[HV_ERROR], why[HV_ERROR];
    struct outcome o = {""};
    struct hv_vm known;
    int status = STATUS_HYPERVISOR;

    if (hv->get_device(uuid, &before, error) != 0)
        return fail(c, STATUS_HYPERVISOR, "nothing was changed: %s", error);
    step = "stopping the VM";
    if (running) {
        say(c, "Stopping the VM ...");
        if (hv->stop(uuid, error) != 0)
            goto undo;
        off = true;
    }
    step = "writing the database";
    if (vgpu_update_vm(c->db, vm, fields) != VGPU_OK) {
        snprintf(error, sizeof(error), "%s", vgpu_db_error());
        status = STATUS_DATABASE;
        goto undo;
    }
    stored = true;
    step = "setting up the device";
    say(c, "Setting up its device ...");
    if (hv->set_device(uuid, &device, error) != 0) {
        set = true; /* it may have been done all the same */
        goto undo;
    }
    set = true;
    step = "starting the VM";
    if (running) {
        say(c, "Starting the VM ...");
        if (hv->start(uuid, error) != 0)
            goto undo;
    }
    return finish(c, uuid,
                  running ? "It runs with the new settings."
                          : "It is halted, and has the new settings when it is started.");

undo:
    if (set && hv->set_device(uuid, &before, why) != 0)
        note(&o, "; its device could NOT be set back: %s", why);
    if (stored && vgpu_update_vm(c->db, old, fields) != VGPU_OK)
        note(&o, "; the database could NOT be set back, it has pool %c, priority %s, vm_id %u: %s",
             vm->pool_id, vgpu_priority_name(vm->priority), vm->vm_id, vgpu_db_error());
    if (running && !off) {
        /* The stop failed: is it up, or did it go down too late? */
        int found = hypervisor_get(hv, uuid, &known, why);

        if (found > 0 && known.running)
            note(&o, "; the VM still runs as it did");
        else if (found > 0)
            off = true;
        else
            note(&o, "; whether the VM runs is not known: %s",
                 found < 0 ? why : "the hypervisor does not know it any more");
    }
    if (off) {
        if (hv->start(uuid, why) == 0)
            note(&o, "; the VM was started again with the settings it had");
        else if (hypervisor_get(hv, uuid, &known, error + strlen(error)) > 0 && known.running)
            note(&o, "; the VM runs with the settings it had");
        else
            note(&o, "; the VM could NOT be started again and is OFF: %s", why);
    } else if (!running) {
        note(&o, "; the VM is halted, as it was");
    }
    return fail(c, status, "%s failed: %.1000s%s", step, error, o.text);
}

int change_vm(struct context *c, const struct vgpu_vm *old, const struct vgpu_vm *vm,
              uint32_t fields)
{
    bool device =
        vm->pool_id != old->pool_id || vm->priority != old->priority || vm->vm_id != old->vm_id;
    const struct hypervisor *hv;
    char error[HV_ERROR];
    struct hv_vm known = {.running = false};
    int code, found = 0, status;

    if (!hypervisor_find(c->value[OPT_HYPERVISOR], &hv))
        return fail(c, STATUS_USAGE, "--hypervisor: must be xe, qemu or none");
    status = check_first(c, vm, fields);
    if (status != STATUS_OK)
        return status;
    if (!device && !(fields & ~DEVICE_FIELDS)) {
        say(c, "VM %s has these settings already; nothing was changed.", old->vm_uuid);
        if (c->json)
            print_vm(c, old);
        return STATUS_OK;
    }
    if (device && hv) {
        found = hypervisor_get(hv, old->vm_uuid, &known, error);
        if (found < 0)
            return fail(c, STATUS_HYPERVISOR,
                        "nothing was changed, since the hypervisor could not be asked: %s", error);
    }
    /* Shutting a suspended VM down would throw its memory away. */
    if (device && found > 0 && known.suspended && !c->value[OPT_NO_RESTART])
        return fail(
            c, STATUS_HYPERVISOR,
            "nothing was changed, since the VM is suspended or paused; resume it or shut it "
            "down first, or use --no-restart");
    if (device)
        show_change(c, old, vm);
    if (device && found > 0 && known.running && !c->value[OPT_NO_RESTART]) {
        say(c, "The VM is running and will be restarted.");
        if (!confirm(c, "Do you want to apply these settings?"))
            return fail(c, STATUS_DECLINED, "nothing was changed; the VM runs as it did");
        return restart(c, hv, old, vm, fields, true);
    }
    if (device && found > 0 && !known.running && !known.suspended)
        return restart(c, hv, old, vm, fields, false);
    code = vgpu_update_vm(c->db, vm, fields);
    if (code)
        return fail_db(c, code);
    if (device && found > 0) {
        struct hv_device next = {true, vm->pool_id, vm->priority, vm->vm_id};

        if (hv->set_device(old->vm_uuid, &next, error) != 0) {
            code = vgpu_update_vm(c->db, old, fields);
            return fail(c, STATUS_HYPERVISOR, "setting up the device failed: %s; %s", error,
                        code ? "the database could NOT be set back" : "nothing was changed");
        }
        return finish(c, old->vm_uuid,
                      "The mediator treats it by the new settings from now on; what its device "
                      "shows in the VM changes when it is next started.");
    }
    return finish(c, old->vm_uuid,
                  !device ? "Its device is not concerned."
                  : hv    ? "The hypervisor does not know this VM: its device is set up when it is "
                            "defined and registered again."
                          : "No hypervisor is known here: start the VM with these settings.");
}
