/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "admin/vgpu-admin/admin.h"

static const struct column pool_columns[] = {
    {"pool", "POOL"},     {"name", "NAME"}, {"enabled", "ENABLED"},         {"gpu", "GPU"},
    {"weight", "WEIGHT"}, {"vms", "VMS"},   {"description", "DESCRIPTION"}, {NULL, NULL}};
static const struct column pool_fields[] = {{"pool", "Pool"},
                                            {"name", "Name"},
                                            {"description", "Description"},
                                            {"enabled", "Enabled"},
                                            {"gpu", "GPU"},
                                            {"weight", "Weight"},
                                            {"vms", "VMs"},
                                            {"created", "Created"},
                                            {"updated", "Updated"},
                                            {NULL, NULL}};

static json_t *pool_json(const struct vgpu_pool *pool)
{
    char letter[2] = {pool->pool_id};

    return json_pack("{s:s, s:s, s:s, s:b, s:s, s:I, s:I, s:o, s:o}", "pool", letter, "name",
                     pool->name, "description", pool->description, "enabled", pool->enabled, "gpu",
                     pool->gpu, "weight", (json_int_t)pool->weight, "vms", (json_int_t)pool->vms,
                     "created", json_time(pool->created_at), "updated",
                     json_time(pool->updated_at));
}

int cmd_list_pools(struct context *c)
{
    struct vgpu_pool *pools;
    json_t *rows;
    size_t count;
    int code = vgpu_list_pools(c->db, &pools, &count);

    if (code)
        return fail_db(c, code);
    rows = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(rows, pool_json(&pools[i]));
    free(pools);
    if (!c->json)
        print_table(rows, pool_columns);
    print_json(c, rows);
    return STATUS_OK;
}

static int show(struct context *c, char pool_id)
{
    static const struct column columns[] = {{"vm_id", "VM-ID"}, {"vm_uuid", "VM-UUID"},
                                            {"name", "NAME"},   {"priority", "PRIORITY"},
                                            {"state", "STATE"}, {NULL, NULL}};
    struct vgpu_vm_filter filter = {.pool_id = pool_id, .priority = -1};
    struct vgpu_pool pool;
    struct vgpu_vm *vms = NULL;
    json_t *object, *rows;
    size_t count = 0;
    int code = vgpu_get_pool_info(c->db, pool_id, &pool);

    if (!code)
        code = vgpu_list_vms(c->db, &filter, &vms, &count);
    if (code)
        return fail_db(c, code);
    object = pool_json(&pool);
    rows = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(rows, vm_json(&vms[i]));
    free(vms);
    if (!c->json) {
        print_fields(object, pool_fields);
        if (count) {
            say(c, "%s", "");
            print_table(rows, columns);
        }
    }
    json_object_set_new(object, "members", rows);
    print_json(c, object);
    return STATUS_OK;
}

int cmd_show_pool(struct context *c)
{
    char pool_id = 0;

    return take_pool(c, OPT_POOL, &pool_id) ? show(c, pool_id) : STATUS_USAGE;
}

static bool take(struct context *c, struct vgpu_pool *pool, uint32_t *fields)
{
    const char *enabled = c->value[OPT_ENABLED];

    if (!take_pool(c, OPT_POOL, &pool->pool_id) ||
        !take_text(c, OPT_NAME, pool->name, sizeof(pool->name)) ||
        !take_text(c, OPT_DESCRIPTION, pool->description, sizeof(pool->description)) ||
        !take_text(c, OPT_GPU, pool->gpu, sizeof(pool->gpu)) ||
        !take_number(c, OPT_WEIGHT, 1, 10000, &pool->weight))
        return false;
    if (enabled) {
        if (strcmp(enabled, "yes") && strcmp(enabled, "no")) {
            fail(c, STATUS_USAGE, "--enabled=%.64s: must be yes or no", enabled);
            return false;
        }
        pool->enabled = !strcmp(enabled, "yes");
    }
    *fields = (c->value[OPT_NAME] ? VGPU_SET_NAME : 0) |
              (c->value[OPT_DESCRIPTION] ? VGPU_SET_DESCRIPTION : 0) |
              (c->value[OPT_GPU] ? VGPU_SET_GPU : 0) |
              (c->value[OPT_WEIGHT] ? VGPU_SET_WEIGHT : 0) | (enabled ? VGPU_SET_ENABLED : 0);
    return true;
}

int cmd_create_pool(struct context *c)
{
    struct vgpu_pool pool = {.enabled = true};
    uint32_t fields;
    int code;

    if (!take(c, &pool, &fields))
        return STATUS_USAGE;
    code = vgpu_create_pool(c->db, &pool);
    if (code)
        return fail_db(c, code);
    say(c, "Pool %c is made.", pool.pool_id);
    return c->json ? show(c, pool.pool_id) : STATUS_OK;
}

int cmd_update_pool(struct context *c)
{
    struct vgpu_pool pool = {0};
    uint32_t fields;
    int code;

    if (!take(c, &pool, &fields))
        return STATUS_USAGE;
    if (!fields)
        return fail(c, STATUS_USAGE, "say what to change; try: vgpu-admin update-pool --help");
    code = vgpu_update_pool(c->db, &pool, fields);
    if (code)
        return fail_db(c, code);
    say(c, "Pool %c is changed.", pool.pool_id);
    return c->json ? show(c, pool.pool_id) : STATUS_OK;
}

int cmd_remove_pool(struct context *c)
{
    char pool_id = 0, letter[2] = {0};
    int code;

    if (!take_pool(c, OPT_POOL, &pool_id))
        return STATUS_USAGE;
    code = vgpu_remove_pool(c->db, pool_id);
    if (code)
        return fail_db(c, code);
    letter[0] = pool_id;
    say(c, "Pool %c is removed.", pool_id);
    print_json(c, json_pack("{s:s}", "removed", letter));
    return STATUS_OK;
}
