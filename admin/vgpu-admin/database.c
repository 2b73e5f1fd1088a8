/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/vgpu-admin/admin.h"

static const char *path_of(struct context *c)
{
    const char *path = c->value[OPT_DB] ? c->value[OPT_DB] : getenv(VGPU_DB_ENVIRONMENT);

    return path && path[0] ? path : VGPU_DB_DEFAULT_PATH;
}

int cmd_db_init(struct context *c)
{
    int before = 0, code = vgpu_db_init(&c->db, c->value[OPT_DB], VGPU_DB_CREATE);

    if (!code)
        code = vgpu_db_schema_version(c->db, &before);
    if (!code)
        code = vgpu_db_init_schema(c->db);
    if (code)
        return fail_db(c, code);
    if (before == VGPU_DB_SCHEMA_VERSION)
        say(c, "%s is up to date (schema %d).", path_of(c), before);
    else if (before)
        say(c, "%s is brought from schema %d to %d.", path_of(c), before, VGPU_DB_SCHEMA_VERSION);
    else
        say(c, "%s is ready, with pools A and B (schema %d).", path_of(c), VGPU_DB_SCHEMA_VERSION);
    print_json(c, json_pack("{s:s, s:i, s:i}", "database", path_of(c), "schema_before", before,
                            "schema", VGPU_DB_SCHEMA_VERSION));
    return STATUS_OK;
}

int cmd_db_check(struct context *c)
{
    struct vgpu_pool *pools = NULL;
    struct vgpu_vm *vms = NULL;
    size_t pool_count = 0, vm_count = 0;
    int code = vgpu_db_check(c->db);

    if (code)
        return fail(c, STATUS_FAULTS, "%s", vgpu_db_error());
    code = vgpu_list_pools(c->db, &pools, &pool_count);
    if (!code)
        code = vgpu_list_vms(c->db, NULL, &vms, &vm_count);
    free(pools);
    free(vms);
    if (code)
        return fail_db(c, code);
    say(c, "%s is whole: %zu pools, %zu VMs.", path_of(c), pool_count, vm_count);
    print_json(c, json_pack("{s:s, s:b, s:I, s:I}", "database", path_of(c), "whole", 1, "pools",
                            (json_int_t)pool_count, "vms", (json_int_t)vm_count));
    return STATUS_OK;
}

int cmd_db_backup(struct context *c)
{
    int code;

    if (access(c->operand, F_OK) == 0 && !c->yes) {
        say(c, "%s exists.", c->operand);
        if (!confirm(c, "Do you want to replace it?"))
            return fail(c, STATUS_DECLINED, "no backup was written");
    }
    code = vgpu_db_backup(c->db, c->operand);
    if (code)
        return fail_db(c, code);
    say(c, "%s is written and checked.", c->operand);
    print_json(c, json_pack("{s:s}", "backup", c->operand));
    return STATUS_OK;
}

int cmd_db_restore(struct context *c)
{
    int code;

    if (!c->yes) {
        say(c, "%s will hold what %s holds.", path_of(c), c->operand);
        if (!confirm(c, "Do you want to restore it?"))
            return fail(c, STATUS_DECLINED, "nothing was changed");
    }
    code = vgpu_db_restore(c->value[OPT_DB], c->operand);
    if (code)
        return fail_db(c, code);
    say(c, "%s is restored from %s.", path_of(c), c->operand);
    print_json(c, json_pack("{s:s, s:s}", "database", path_of(c), "from", c->operand));
    return STATUS_OK;
}

int cmd_db_audit(struct context *c)
{
    static const struct column columns[] = {
        {"at", "WHEN"},    {"who", "WHO"},   {"what", "WHAT"}, {"target", "TARGET"},
        {"old", "BEFORE"}, {"new", "AFTER"}, {NULL, NULL}};
    struct vgpu_audit *rows;
    uint32_t limit = 20;
    json_t *list;
    size_t count;
    int code;

    if (!take_number(c, OPT_LIMIT, 1, 1000000, &limit))
        return STATUS_USAGE;
    code = vgpu_list_audit(c->db, limit, &rows, &count);
    if (code)
        return fail_db(c, code);
    list = json_array();
    for (size_t i = 0; i < count; i++) {
        json_t *row =
            json_pack("{s:I, s:o, s:s, s:s, s:s, s:s, s:s}", "id", (json_int_t)rows[i].id, "at",
                      json_time(rows[i].at), "who", rows[i].who, "what", rows[i].what, "target",
                      rows[i].target, "old", rows[i].old_values, "new", rows[i].new_values);

        if (row)
            json_array_append_new(list, row);
    }
    free(rows);
    if (!c->json)
        print_table(list, columns);
    print_json(c, list);
    return STATUS_OK;
}
