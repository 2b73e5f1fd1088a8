/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/vgpu-admin/admin.h"
#include "admin/vgpu-admin/hypervisor.h"

static const struct column vm_columns[] = {
    {"vm_id", "VM-ID"},       {"vm_uuid", "VM-UUID"}, {"name", "NAME"}, {"pool", "POOL"},
    {"priority", "PRIORITY"}, {"state", "STATE"},     {NULL, NULL}};
static const struct column vm_fields[] = {{"vm_uuid", "VM-UUID"},
                                          {"name", "Name"},
                                          {"vm_id", "VM-ID"},
                                          {"pool", "Pool"},
                                          {"priority", "Priority"},
                                          {"state", "State"},
                                          {"socket", "Socket"},
                                          {"gpu_share_percent", "GPU share (%)"},
                                          {"gpu_burst_ms", "GPU burst (ms)"},
                                          {"submissions_per_s", "Submissions/s"},
                                          {"queue_depth", "Queue depth"},
                                          {"memory_mib", "Memory (MiB)"},
                                          {"weight", "Weight"},
                                          {"watchdog_ms", "Watchdog (ms)"},
                                          {"quarantine_reason", "Quarantine reason"},
                                          {"created", "Created"},
                                          {"updated", "Updated"},
                                          {NULL, NULL}};

/* 0 stands for no limit in the library, null in JSON. */
static json_t *limit(uint32_t value)
{
    return value ? json_integer(value) : json_null();
}

json_t *vm_json(const struct vgpu_vm *vm)
{
    char letter[2] = {vm->pool_id}, socket[VGPU_SOCKET_SIZE];

    vgpu_vm_socket(vm, socket);
    return json_pack("{s:s, s:I, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, "
                     "s:s, s:o, s:o}",
                     "vm_uuid", vm->vm_uuid, "vm_id", (json_int_t)vm->vm_id, "name", vm->name,
                     "pool", letter, "priority", vgpu_priority_name(vm->priority), "state",
                     vm->quarantined ? "quarantined" : "registered", "socket", socket,
                     "gpu_share_percent", limit(vm->gpu_share), "gpu_burst_ms",
                     limit(vm->gpu_burst), "submissions_per_s", limit(vm->submissions),
                     "queue_depth", limit(vm->queue_depth), "memory_mib", limit(vm->memory),
                     "weight", limit(vm->weight), "watchdog_ms", limit(vm->watchdog), "quarantined",
                     vm->quarantined, "quarantine_reason", vm->quarantine_reason, "created",
                     json_time(vm->created_at), "updated", json_time(vm->updated_at));
}

void print_vm(struct context *c, const struct vgpu_vm *vm)
{
    json_t *object = vm_json(vm);

    if (!c->json)
        print_fields(object, vm_fields);
    print_json(c, object);
}

/* The VM that --vm-uuid names, as it is on record. */
static int on_record(struct context *c, struct vgpu_vm *vm)
{
    char uuid[VGPU_UUID_SIZE];
    int code;

    if (!take_uuid(c, OPT_VM_UUID, uuid))
        return STATUS_USAGE;
    code = vgpu_get_vm_config(c->db, uuid, vm);
    return code ? fail_db(c, code) : STATUS_OK;
}

int cmd_show_vm(struct context *c)
{
    struct vgpu_vm vm;
    int status = on_record(c, &vm);

    if (status == STATUS_OK)
        print_vm(c, &vm);
    return status;
}

int cmd_list_vms(struct context *c)
{
    struct vgpu_vm_filter filter = {.priority = -1};
    struct vgpu_vm *vms;
    uint32_t priority;
    json_t *rows;
    size_t count;
    int code;

    if (!take_pool(c, OPT_POOL, &filter.pool_id) || !take_priority(c, OPT_PRIORITY, &priority))
        return STATUS_USAGE;
    if (c->value[OPT_PRIORITY])
        filter.priority = (int)priority;
    if (filter.pool_id) {
        struct vgpu_pool pool;

        code = vgpu_get_pool_info(c->db, filter.pool_id, &pool);
        if (code)
            return fail_db(c, code);
    }
    code = vgpu_list_vms(c->db, &filter, &vms, &count);
    if (code)
        return fail_db(c, code);
    rows = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(rows, vm_json(&vms[i]));
    free(vms);
    if (!c->json && count)
        print_table(rows, vm_columns);
    else if (!c->json)
        say(c, "No VM is registered%s.",
            filter.pool_id || filter.priority >= 0 ? " that fits" : "");
    print_json(c, rows);
    return STATUS_OK;
}

int cmd_register_vm(struct context *c)
{
    const struct hypervisor *hv;
    char error[HV_ERROR] = "";
    struct vgpu_vm vm;
    struct hv_vm known;
    int code, found = 0;

    vgpu_vm_defaults(&vm);
    if (!take_uuid(c, OPT_VM_UUID, vm.vm_uuid) ||
        !take_text(c, OPT_VM_NAME, vm.name, sizeof(vm.name)) ||
        !take_pool(c, OPT_POOL, &vm.pool_id) || !take_priority(c, OPT_PRIORITY, &vm.priority) ||
        !take_number(c, OPT_VM_ID, 1, VGPU_VM_ID_MAX, &vm.vm_id) ||
        !take_text(c, OPT_SOCKET, vm.socket, sizeof(vm.socket)))
        return STATUS_USAGE;
    if (!hypervisor_find(c->value[OPT_HYPERVISOR], &hv))
        return fail(c, STATUS_USAGE, "--hypervisor: must be xe, qemu or none");
    if (hv) {
        found = hypervisor_get(hv, vm.vm_uuid, &known, error);
        if (found > 0 && !vm.name[0])
            strcpy(vm.name, known.name);
    }
    code = vgpu_register_vm(c->db, &vm);
    if (code)
        return fail_db(c, code);
    if (found > 0) {
        struct hv_device device = {true, vm.pool_id, vm.priority, vm.vm_id};

        if (hv->set_device(vm.vm_uuid, &device, error) != 0) {
            code = vgpu_remove_vm(c->db, vm.vm_uuid);
            return fail(c, STATUS_HYPERVISOR, "its device could not be set up: %s; %s", error,
                        code ? "the VM stays registered, and has no device"
                             : "it is not registered");
        }
    }
    say(c, "VM %s is registered.", vm.vm_uuid);
    print_vm(c, &vm);
    if (found > 0 && known.running)
        say(c, "It is running: it gets its device when it is next started.");
    else if (found < 0)
        say(c, "The hypervisor could not be asked: %s", error);
    else if (hv && !found)
        say(c, "%s does not know this VM (yet).", hv->name);
    return STATUS_OK;
}

static int change(struct context *c, uint32_t fields)
{
    struct vgpu_vm old, vm;
    int status = on_record(c, &old);

    if (status != STATUS_OK)
        return status;
    vm = old;
    if (!take_text(c, OPT_VM_NAME, vm.name, sizeof(vm.name)) ||
        !take_pool(c, OPT_POOL, &vm.pool_id) || !take_priority(c, OPT_PRIORITY, &vm.priority) ||
        !take_number(c, OPT_VM_ID, 1, VGPU_VM_ID_MAX, &vm.vm_id) ||
        !take_text(c, OPT_SOCKET, vm.socket, sizeof(vm.socket)))
        return STATUS_USAGE;
    return change_vm(c, &old, &vm, fields);
}

int cmd_set_pool(struct context *c)
{
    return change(c, VGPU_SET_POOL);
}

int cmd_set_priority(struct context *c)
{
    return change(c, VGPU_SET_PRIORITY);
}

int cmd_set_vm_id(struct context *c)
{
    return change(c, VGPU_SET_VM_ID);
}

int cmd_update_vm(struct context *c)
{
    uint32_t fields =
        (c->value[OPT_VM_NAME] ? VGPU_SET_NAME : 0) | (c->value[OPT_POOL] ? VGPU_SET_POOL : 0) |
        (c->value[OPT_PRIORITY] ? VGPU_SET_PRIORITY : 0) |
        (c->value[OPT_VM_ID] ? VGPU_SET_VM_ID : 0) | (c->value[OPT_SOCKET] ? VGPU_SET_SOCKET : 0);

    if (!fields)
        return fail(c, STATUS_USAGE, "say what to change; try: vgpu-admin update-vm --help");
    return change(c, fields);
}

int cmd_remove_vm(struct context *c)
{
    struct hv_device none = {0};
    const struct hypervisor *hv;
    char error[HV_ERROR];
    struct vgpu_vm vm;
    struct hv_vm known;
    int status = on_record(c, &vm), code, found;

    if (status != STATUS_OK)
        return status;
    if (!hypervisor_find(c->value[OPT_HYPERVISOR], &hv))
        return fail(c, STATUS_USAGE, "--hypervisor: must be xe, qemu or none");
    if (!c->yes) {
        say(c, "VM %s%s%s%s loses the GPU now; its CUDA programs end.", vm.vm_uuid,
            vm.name[0] ? " (" : "", vm.name, vm.name[0] ? ")" : "");
        if (!confirm(c, "Do you want to remove it?"))
            return fail(c, STATUS_DECLINED, "nothing was changed");
    }
    code = vgpu_remove_vm(c->db, vm.vm_uuid);
    if (code)
        return fail_db(c, code);
    if (hv) {
        found = hypervisor_get(hv, vm.vm_uuid, &known, error);
        if (found < 0 || (found > 0 && hv->set_device(vm.vm_uuid, &none, error) != 0))
            return fail(c, STATUS_HYPERVISOR,
                        "the VM is off the record, but its device could not be taken from its "
                        "configuration: %s",
                        error);
    }
    say(c, "VM %s is removed.", vm.vm_uuid);
    print_json(c, json_pack("{s:s}", "removed", vm.vm_uuid));
    return STATUS_OK;
}

/* ---- what holds at once ---- */

static int store(struct context *c, const struct vgpu_vm *vm, uint32_t fields, const char *what)
{
    int code = vgpu_update_vm(c->db, vm, fields);
    struct vgpu_vm now;

    if (!code)
        code = vgpu_get_vm_config(c->db, vm->vm_uuid, &now);
    if (code)
        return fail_db(c, code);
    say(c, "VM %s %s.", vm->vm_uuid, what);
    if (c->json)
        print_vm(c, &now);
    return STATUS_OK;
}

int cmd_set_limits(struct context *c)
{
    struct vgpu_vm vm;
    uint32_t fields = (c->value[OPT_GPU_SHARE] ? VGPU_SET_GPU_SHARE : 0) |
                      (c->value[OPT_GPU_BURST] ? VGPU_SET_GPU_BURST : 0) |
                      (c->value[OPT_SUBMISSIONS] ? VGPU_SET_SUBMISSIONS : 0) |
                      (c->value[OPT_QUEUE_DEPTH] ? VGPU_SET_QUEUE_DEPTH : 0) |
                      (c->value[OPT_MEMORY] ? VGPU_SET_MEMORY : 0) |
                      (c->value[OPT_WATCHDOG] ? VGPU_SET_WATCHDOG : 0);
    int status;

    if (!fields)
        return fail(c, STATUS_USAGE, "say what to limit; try: vgpu-admin set-limits --help");
    status = on_record(c, &vm);
    if (status != STATUS_OK)
        return status;
    if (!take_limit(c, OPT_GPU_SHARE, 100, &vm.gpu_share) ||
        !take_limit(c, OPT_GPU_BURST, 60000, &vm.gpu_burst) ||
        !take_limit(c, OPT_SUBMISSIONS, 100000000, &vm.submissions) ||
        !take_limit(c, OPT_QUEUE_DEPTH, 1048576, &vm.queue_depth) ||
        !take_limit(c, OPT_MEMORY, 16777216, &vm.memory) ||
        !take_limit(c, OPT_WATCHDOG, 3600000, &vm.watchdog))
        return STATUS_USAGE;
    return store(c, &vm, fields, "has new limits");
}

int cmd_set_weight(struct context *c)
{
    struct vgpu_vm vm;
    int status = on_record(c, &vm);

    if (status != STATUS_OK)
        return status;
    if (!take_number(c, OPT_WEIGHT, 0, 10000, &vm.weight))
        return STATUS_USAGE;
    return store(c, &vm, VGPU_SET_WEIGHT,
                 vm.weight ? "has a weight of its own" : "has the weight of its priority");
}

int cmd_quarantine(struct context *c)
{
    struct vgpu_vm vm;
    int status = on_record(c, &vm);

    if (status != STATUS_OK)
        return status;
    vm.quarantined = true;
    strcpy(vm.quarantine_reason, "by the administrator");
    if (!take_text(c, OPT_REASON, vm.quarantine_reason, sizeof(vm.quarantine_reason)))
        return STATUS_USAGE;
    return store(c, &vm, VGPU_SET_QUARANTINE, "is in quarantine");
}

int cmd_release(struct context *c)
{
    struct vgpu_vm vm;
    int status = on_record(c, &vm);

    if (status != STATUS_OK)
        return status;
    if (!vm.quarantined && !daemon_quarantines(c, vm.vm_id))
        return fail(c, STATUS_USAGE, "VM %s is not in quarantine", vm.vm_uuid);
    vm.quarantined = false;
    return store(c, &vm, VGPU_SET_QUARANTINE, "is released");
}

/* ---- scan ---- */

struct scan_row {
    const struct hv_vm *vm;
    struct vgpu_vm record;
    bool registered;
};

static int by_pool(const void *a, const void *b)
{
    const struct scan_row *x = a, *y = b;

    if (x->registered != y->registered)
        return x->registered ? -1 : 1;
    if (!x->registered)
        return strcmp(x->vm->name, y->vm->name);
    if (x->record.pool_id != y->record.pool_id)
        return x->record.pool_id < y->record.pool_id ? -1 : 1;
    return x->record.vm_id < y->record.vm_id ? -1 : 1;
}

int cmd_scan_vms(struct context *c)
{
    static const struct column columns[] = {{"vm_id", "VM-ID"},       {"vm_uuid", "VM-UUID"},
                                            {"name", "NAME"},         {"power", "POWER"},
                                            {"priority", "PRIORITY"}, {NULL, NULL}};
    const struct hypervisor *hv;
    char error[HV_ERROR];
    struct scan_row *rows;
    struct vgpu_vm *records;
    struct hv_vm *vms;
    json_t *all;
    size_t count, record_count;
    int code;

    if (!hypervisor_find(c->value[OPT_HYPERVISOR], &hv))
        return fail(c, STATUS_USAGE, "--hypervisor: must be xe, qemu or none");
    if (!hv)
        return fail(c, STATUS_HYPERVISOR,
                    "no hypervisor was found on this host; name it with --hypervisor=xe or "
                    "--hypervisor=qemu");
    code = vgpu_list_vms(c->db, NULL, &records, &record_count);
    if (code)
        return fail_db(c, code);
    if (hv->list(&vms, &count, error) != 0) {
        free(records);
        return fail(c, STATUS_HYPERVISOR, "%s", error);
    }
    all = json_array();
    rows = calloc(count + 1, sizeof(*rows));
    for (size_t i = 0; rows && i < count; i++) {
        rows[i].vm = &vms[i];
        for (size_t k = 0; k < record_count && !rows[i].registered; k++) {
            if (!strcmp(records[k].vm_uuid, vms[i].uuid)) {
                rows[i].record = records[k];
                rows[i].registered = true;
            }
        }
    }
    if (rows)
        qsort(rows, count, sizeof(*rows), by_pool);
    for (size_t i = 0; rows && i < count;) {
        json_t *group = json_array();
        bool registered = rows[i].registered;
        char pool[2] = {rows[i].record.pool_id};
        json_t *row;
        size_t k;

        for (; i < count && rows[i].registered == registered && rows[i].record.pool_id == pool[0];
             i++) {
            row = json_pack("{s:s, s:s, s:s, s:b}", "vm_uuid", rows[i].vm->uuid, "name",
                            rows[i].vm->name, "power", rows[i].vm->running ? "running" : "halted",
                            "registered", registered);
            if (registered) {
                json_object_set_new(row, "pool", json_string(pool));
                json_object_set_new(row, "vm_id", json_integer(rows[i].record.vm_id));
                json_object_set_new(row, "priority",
                                    json_string(vgpu_priority_name(rows[i].record.priority)));
            }
            json_array_append_new(group, row);
        }
        if (registered)
            say(c, "%sPool %s", json_array_size(all) ? "\n" : "", pool);
        else
            say(c, "%sNot registered", json_array_size(all) ? "\n" : "");
        if (!c->json)
            print_table(group, columns);
        json_array_foreach(group, k, row) json_array_append(all, row);
        json_decref(group);
    }
    if (!count)
        say(c, "%s has no VMs.", hv->name);
    print_json(c, all);
    free(rows);
    free(vms);
    free(records);
    return STATUS_OK;
}
