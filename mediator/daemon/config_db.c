/* SPDX-License-Identifier: Apache-2.0 */
#include "mediator/daemon/config_db.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/libvgpu/vgpu_db.h"
#include "mediator/common/log.h"

#define MB (1024ull * 1024)
#define MS 1000000ull
#define US 1000ull

struct config_db {
    char path[PATH_MAX];
    struct vgpu_db *handle; /* NULL: not open */
    bool failed;            /* said so */
    bool read;              /* at least once */
    struct vgpu_scheduler scheduler;
    struct vgpu_pool *pools;
    size_t pool_count;
    struct vgpu_vm *vms; /* those that are served */
    size_t vm_count;
};

struct config_db *config_db_new(const char *path)
{
    struct config_db *db = calloc(1, sizeof(*db));

    if (db && strlen(path) < sizeof(db->path))
        strcpy(db->path, path);
    return db;
}

static void drop(struct config_db *db)
{
    free(db->pools);
    free(db->vms);
    db->pools = NULL;
    db->vms = NULL;
    db->pool_count = db->vm_count = 0;
}

void config_db_free(struct config_db *db)
{
    if (!db)
        return;
    vgpu_db_close(db->handle);
    drop(db);
    free(db);
}

static bool is_served(const struct config_db *db, const struct vgpu_vm *vm)
{
    for (size_t i = 0; i < db->pool_count; i++) {
        if (db->pools[i].pool_id == vm->pool_id)
            return db->pools[i].enabled && !vm->quarantined;
    }
    return false;
}

static int read_all(struct config_db *db)
{
    struct config_db now = {0};
    size_t kept = 0;
    int code = vgpu_get_scheduler(db->handle, &now.scheduler);

    if (!code)
        code = vgpu_list_pools(db->handle, &now.pools, &now.pool_count);
    if (!code)
        code = vgpu_list_vms(db->handle, NULL, &now.vms, &now.vm_count);
    if (code) {
        drop(&now);
        return code;
    }
    for (size_t i = 0; i < now.vm_count; i++) {
        if (is_served(&now, &now.vms[i]))
            now.vms[kept++] = now.vms[i];
    }
    drop(db);
    db->scheduler = now.scheduler;
    db->pools = now.pools;
    db->pool_count = now.pool_count;
    db->vms = now.vms;
    db->vm_count = kept;
    db->read = true;
    return VGPU_OK;
}

bool config_db_poll(struct config_db *db)
{
    bool changed = true;
    int code = VGPU_OK;

    if (db->handle) {
        code = vgpu_db_changed(db->handle, &changed);
        if (!code && !changed)
            return false;
        /* Opened again, since another file may have taken the name. */
        vgpu_db_close(db->handle);
        db->handle = NULL;
    }
    if (!db->read && access(db->path, F_OK) != 0) {
        if (!db->failed)
            vgpu_log(VGPU_LOG_INFO, "database_absent", LOG_S("file", db->path));
        db->failed = true;
        return false;
    }
    code = vgpu_db_init(&db->handle, db->path, VGPU_DB_READONLY);
    /* Looked at first: what is committed while we read is then seen the next time. */
    if (!code)
        code = vgpu_db_changed(db->handle, &changed);
    if (!code)
        code = read_all(db);
    if (!code) {
        vgpu_log(VGPU_LOG_INFO, "database_read", LOG_S("file", db->path),
                 LOG_U("pools", db->pool_count), LOG_U("vms", db->vm_count));
        db->failed = false;
        return true;
    }
    vgpu_db_close(db->handle);
    db->handle = NULL;
    if (!db->failed)
        vgpu_log(VGPU_LOG_ERROR, "database_not_read", LOG_S("error", vgpu_db_error()),
                 LOG_S("effect", "what was read last stays in force"));
    db->failed = true;
    return false;
}

void config_db_settings(const struct config_db *db, struct config *config)
{
    if (!db->read)
        return;
    config->scheduler.policy = !strcmp(db->scheduler.policy, "rr") ? SCHED_RR : SCHED_FAIR;
    config->scheduler.quantum_ns = config->quantum_ns = db->scheduler.quantum_us * US;
    if (config->scheduler.quantum_min_ns > config->quantum_ns)
        config->scheduler.quantum_min_ns = config->quantum_ns;
    config->scheduler.aging_ns = db->scheduler.aging_ms * MS;
    for (unsigned i = 0; i < 3; i++)
        config->weights[i] = db->scheduler.weight[i];
    for (size_t i = 0; i < db->pool_count; i++)
        config->pools[db->pools[i].pool_id - 'A'] = db->pools[i].weight;
}

size_t config_db_count(const struct config_db *db)
{
    return db->vm_count;
}

void config_db_vm(const struct config_db *db, size_t index, const struct config_limits *defaults,
                  struct config_vm *vm)
{
    const struct vgpu_vm *record = &db->vms[index];
    struct config_limits *limits = &vm->identity.limits;
    uint32_t watchdog = record->watchdog ? record->watchdog : db->scheduler.watchdog_ms;

    *vm = (struct config_vm){.identity = {.vm_id = record->vm_id,
                                          .pool = (uint32_t)record->pool_id,
                                          .priority = record->priority,
                                          .limits = *defaults,
                                          .changed_at = record->updated_at}};
    strcpy(vm->identity.name, record->vm_uuid);
    vgpu_vm_socket(record, vm->socket);
    if (record->memory)
        limits->device_memory = record->memory * MB;
    if (record->weight)
        limits->weight = record->weight;
    if (record->gpu_share)
        limits->gpu_percent = record->gpu_share;
    if (record->gpu_burst)
        limits->gpu_burst = record->gpu_burst * MS;
    if (record->submissions)
        limits->submissions = record->submissions;
    if (watchdog)
        limits->watchdog = watchdog * MS;
}
