/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/libvgpu/db.h"

#define NOW "CAST(strftime('%s', 'now') AS INTEGER)"

/* ---- values ---- */

bool vgpu_parse_uuid(const char *text, char out[VGPU_UUID_SIZE])
{
    char lower[VGPU_UUID_SIZE];

    if (!text || strnlen(text, VGPU_UUID_SIZE) != VGPU_UUID_SIZE - 1)
        return false;
    for (int i = 0; i < VGPU_UUID_SIZE - 1; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;

        if (dash ? text[i] != '-' : !isxdigit((unsigned char)text[i]))
            return false;
        lower[i] = (char)tolower((unsigned char)text[i]);
    }
    lower[VGPU_UUID_SIZE - 1] = 0;
    if (out)
        memcpy(out, lower, sizeof(lower));
    return true;
}

static const char *const priorities[] = {"low", "medium", "high"};

bool vgpu_parse_priority(const char *text, uint32_t *priority)
{
    for (uint32_t i = 0; text && i < 3; i++) {
        if (!strcmp(text, priorities[i])) {
            *priority = i;
            return true;
        }
    }
    return false;
}

const char *vgpu_priority_name(uint32_t priority)
{
    return priority < 3 ? priorities[priority] : "unknown";
}

void vgpu_vm_socket(const struct vgpu_vm *vm, char out[VGPU_SOCKET_SIZE])
{
    if (vm->socket[0])
        snprintf(out, VGPU_SOCKET_SIZE, "%s", vm->socket);
    else
        snprintf(out, VGPU_SOCKET_SIZE, "/run/vgpu/vms/%s.sock", vm->vm_uuid);
}

void vgpu_vm_defaults(struct vgpu_vm *vm)
{
    *vm = (struct vgpu_vm){.pool_id = 'A', .priority = VGPU_PRIORITY_MEDIUM};
}

/* Text that is shown on terminals and in logs: terminated, UTF-8 and free of control characters. */
static int check_text(const char *what, const char *text, size_t size)
{
    const unsigned char *c = (const unsigned char *)text;

    if (strnlen(text, size) == size)
        return db_fail(VGPU_INVALID_PARAM, "%s must be shorter than %zu bytes", what, size);
    while (*c) {
        int more = *c < 0x80                   ? 0
                   : *c >= 0xc2 && *c < 0xe0   ? 1
                   : (*c & 0xf0) == 0xe0       ? 2
                   : (*c >= 0xf0 && *c < 0xf5) ? 3
                                               : -1;
        uint32_t code = more <= 0 ? *c : *c & (0x3f >> more);

        if (*c < 0x20 || *c == 0x7f || more < 0)
            return db_fail(VGPU_INVALID_PARAM, "%s must be UTF-8 text on one line", what);
        for (c++; more > 0; more--, c++) {
            if ((*c & 0xc0) != 0x80)
                return db_fail(VGPU_INVALID_PARAM, "%s must be UTF-8 text on one line", what);
            code = code << 6 | (*c & 0x3f);
        }
        /* C1 controls move the cursor of some terminals. */
        if (code >= 0x80 && code < 0xa0)
            return db_fail(VGPU_INVALID_PARAM, "%s must be UTF-8 text on one line", what);
    }
    return VGPU_OK;
}

static int check_pool_id(char pool_id)
{
    if (pool_id < 'A' || pool_id > 'Z')
        return db_fail(VGPU_INVALID_PARAM, "a pool is one letter, A to Z");
    return VGPU_OK;
}

static int check_uuid(const char *text, char *out)
{
    if (!vgpu_parse_uuid(text, out))
        return db_fail(VGPU_INVALID_PARAM,
                       "'%.64s' is no VM UUID; expected are 8-4-4-4-12 hexadecimal digits",
                       text ? text : "");
    return VGPU_OK;
}

static int check_range(const char *what, uint32_t value, uint32_t min, uint32_t max)
{
    if (value < min || value > max)
        return db_fail(VGPU_INVALID_PARAM, "%s must be from %u to %u", what, min, max);
    return VGPU_OK;
}

/* ---- audit ---- */

struct row {
    int count; /* 0: there is no such row */
    struct {
        char *name, *value;
        bool quoted;
    } cells[32];
};

static void row_free(struct row *row)
{
    for (int i = 0; i < row->count; i++) {
        free(row->cells[i].name);
        free(row->cells[i].value);
    }
    row->count = 0;
}

static int row_read(struct vgpu_db *db, struct row *row, const char *sql, const char *key)
{
    sqlite3_stmt *stmt;
    int code = db_prepare(db, &stmt, sql, "t", key), rc;

    row->count = 0;
    if (code)
        return code;
    rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        for (int i = 0; i < sqlite3_column_count(stmt) && i < 32; i++) {
            const char *text = (const char *)sqlite3_column_text(stmt, i);

            row->cells[i].name = strdup(sqlite3_column_name(stmt, i));
            row->cells[i].value = strdup(text ? text : "");
            row->cells[i].quoted = sqlite3_column_type(stmt, i) == SQLITE_TEXT;
            row->count++;
            if (!row->cells[i].name || !row->cells[i].value)
                code = db_fail(VGPU_ERROR, "out of memory");
        }
    } else if (rc != SQLITE_DONE) {
        code = db_fail_sql(db, rc);
    }
    sqlite3_finalize(stmt);
    if (code)
        row_free(row);
    return code;
}

static void put_json(FILE *f, const char *text)
{
    fputc('"', f);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', f);
        if ((unsigned char)*text < 0x20)
            fprintf(f, "\\u%04x", *text);
        else
            fputc(*text, f);
    }
    fputc('"', f);
}

/* The cells of row that other has not, or has otherwise. */
static char *row_difference(const struct row *row, const struct row *other)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    bool first = true;

    if (!f)
        return NULL;
    fputc('{', f);
    for (int i = 0; i < row->count; i++) {
        if (i < other->count && !strcmp(row->cells[i].value, other->cells[i].value))
            continue;
        if (!strcmp(row->cells[i].name, "updated_at") || !strcmp(row->cells[i].name, "created_at"))
            continue;
        if (!first)
            fputs(", ", f);
        first = false;
        put_json(f, row->cells[i].name);
        fputs(": ", f);
        if (row->cells[i].quoted)
            put_json(f, row->cells[i].value);
        else
            fputs(row->cells[i].value, f);
    }
    fputc('}', f);
    if (fclose(f) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

#define VM_ROW "SELECT * FROM vms WHERE vm_uuid = ?1"
#define POOL_ROW "SELECT * FROM pools WHERE pool_id = ?1"
#define SCHEDULER_ROW "SELECT * FROM scheduler WHERE ?1 = 'scheduler'"

/* A change in the making: between change_begin() and change_end() the write lock is held. */
struct change {
    struct vgpu_db *db;
    const char *what, *row_sql;
    char key[40];
    struct row old;
};

static int change_begin(struct change *change, struct vgpu_db *db, const char *what,
                        const char *row_sql, const char *key)
{
    int code = db_ready(db);

    *change = (struct change){.db = db, .what = what, .row_sql = row_sql};
    snprintf(change->key, sizeof(change->key), "%s", key);
    if (!code)
        code = db_begin(db);
    if (code) {
        change->db = NULL;
        return code;
    }
    return row_read(db, &change->old, row_sql, change->key);
}

static int change_end(struct change *change, int code)
{
    struct vgpu_db *db = change->db;
    struct row now = {0};
    char *before = NULL, *after = NULL;

    if (!db)
        return code;
    if (!code)
        code = row_read(db, &now, change->row_sql, change->key);
    if (!code) {
        before = row_difference(&change->old, &now);
        after = row_difference(&now, &change->old);
        if (!before || !after)
            code = db_fail(VGPU_ERROR, "out of memory");
        else
            code = db_run(db,
                          "INSERT INTO audit (who, what, target, old_values, new_values)"
                          " VALUES (?1, ?2, ?3, ?4, ?5)",
                          "ttttt", db->actor, change->what, change->key, before, after);
    }
    free(before);
    free(after);
    row_free(&now);
    row_free(&change->old);
    return db_end(db, code);
}

/* ---- lists ---- */

/* Reads every row into one block; take() fills one element from the statement. */
static int read_list(struct vgpu_db *db, sqlite3_stmt *stmt, size_t size,
                     void (*take)(sqlite3_stmt *stmt, void *element), void **out, size_t *count)
{
    size_t room = 0;
    char *block = NULL;
    int rc, code = VGPU_OK;

    *out = NULL;
    *count = 0;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        if (*count == room) {
            char *larger = realloc(block, (room = room ? room * 2 : 16) * size);

            if (!larger) {
                code = db_fail(VGPU_ERROR, "out of memory");
                break;
            }
            block = larger;
        }
        memset(block + *count * size, 0, size);
        take(stmt, block + (*count)++ * size);
    }
    if (!code && rc != SQLITE_DONE)
        code = db_fail_sql(db, rc);
    sqlite3_finalize(stmt);
    if (code) {
        free(block);
        *count = 0;
        return code;
    }
    *out = block;
    return VGPU_OK;
}

/* ---- pools ---- */

#define POOL_COLUMNS                                                                               \
    "pool_id, name, description, enabled, gpu, weight, created_at, updated_at,"                    \
    " (SELECT count(*) FROM vms WHERE vms.pool_id = pools.pool_id)"

static void take_pool(sqlite3_stmt *stmt, void *element)
{
    struct vgpu_pool *pool = element;
    char letter[2];

    db_text(stmt, 0, letter, sizeof(letter));
    pool->pool_id = letter[0];
    db_text(stmt, 1, pool->name, sizeof(pool->name));
    db_text(stmt, 2, pool->description, sizeof(pool->description));
    pool->enabled = sqlite3_column_int(stmt, 3);
    db_text(stmt, 4, pool->gpu, sizeof(pool->gpu));
    pool->weight = (uint32_t)sqlite3_column_int64(stmt, 5);
    pool->created_at = sqlite3_column_int64(stmt, 6);
    pool->updated_at = sqlite3_column_int64(stmt, 7);
    pool->vms = (uint32_t)sqlite3_column_int64(stmt, 8);
}

static int pool_missing(char pool_id)
{
    return db_fail(VGPU_NOT_FOUND, "there is no pool %c; vgpu-admin list-pools shows what there is",
                   pool_id);
}

int vgpu_get_pool_info(struct vgpu_db *db, char pool_id, struct vgpu_pool *pool)
{
    char key[2] = {pool_id};
    sqlite3_stmt *stmt;
    int code = db_ready(db), rc;

    if (!code && !pool)
        code = db_fail(VGPU_INVALID_PARAM, "no place for the pool");
    if (!code)
        code = check_pool_id(pool_id);
    if (!code)
        code = db_prepare(db, &stmt, "SELECT " POOL_COLUMNS " FROM pools WHERE pool_id = ?1", "t",
                          key);
    if (code)
        return code;
    rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        take_pool(stmt, pool);
    else if (rc == SQLITE_DONE)
        code = pool_missing(pool_id);
    else
        code = db_fail_sql(db, rc);
    sqlite3_finalize(stmt);
    return code;
}

int vgpu_list_pools(struct vgpu_db *db, struct vgpu_pool **pools, size_t *count)
{
    sqlite3_stmt *stmt;
    int code = db_ready(db);

    if (!code && (!pools || !count))
        code = db_fail(VGPU_INVALID_PARAM, "no place for the list");
    if (!code)
        code = db_prepare(db, &stmt, "SELECT " POOL_COLUMNS " FROM pools ORDER BY pool_id", "");
    return code ? code : read_list(db, stmt, sizeof(**pools), take_pool, (void **)pools, count);
}

static int check_pool(const struct vgpu_pool *pool, uint32_t fields)
{
    int code = check_pool_id(pool->pool_id);

    if (!code && fields & VGPU_SET_NAME) {
        code = check_text("the pool's name", pool->name, sizeof(pool->name));
        if (!code && !pool->name[0])
            code = db_fail(VGPU_INVALID_PARAM, "the pool's name must not be empty");
    }
    if (!code && fields & VGPU_SET_DESCRIPTION)
        code = check_text("the description", pool->description, sizeof(pool->description));
    if (!code && fields & VGPU_SET_GPU) {
        code = check_text("the GPU", pool->gpu, sizeof(pool->gpu));
        if (!code && strspn(pool->gpu, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                       "0123456789-:./") != strlen(pool->gpu))
            code = db_fail(VGPU_INVALID_PARAM, "a GPU is named by UUID, PCI address or index");
    }
    if (!code && fields & VGPU_SET_WEIGHT)
        code = check_range("the pool's weight", pool->weight, 1, 10000);
    return code;
}

int vgpu_create_pool(struct vgpu_db *db, const struct vgpu_pool *given)
{
    struct vgpu_pool pool;
    struct change change;
    char key[2] = {0};
    int code;

    if (!given)
        return db_fail(VGPU_INVALID_PARAM, "no pool given");
    pool = *given;
    if (!pool.weight)
        pool.weight = 100;
    if (!pool.name[0])
        snprintf(pool.name, sizeof(pool.name), "Pool %c", pool.pool_id);
    code = check_pool(&pool, VGPU_SET_NAME | VGPU_SET_DESCRIPTION | VGPU_SET_GPU | VGPU_SET_WEIGHT);
    if (code)
        return code;
    key[0] = pool.pool_id;
    code = change_begin(&change, db, "create-pool", POOL_ROW, key);
    if (!code && change.old.count)
        code = db_fail(VGPU_INVALID_PARAM,
                       "pool %c exists already; change it with: vgpu-admin update-pool --pool=%c",
                       pool.pool_id, pool.pool_id);
    if (!code)
        code = db_run(db,
                      "INSERT INTO pools (pool_id, name, description, enabled, gpu, weight)"
                      " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                      "tttiti", key, pool.name, pool.description, (int64_t)pool.enabled, pool.gpu,
                      (int64_t)pool.weight);
    return change_end(&change, code);
}

int vgpu_update_pool(struct vgpu_db *db, const struct vgpu_pool *pool, uint32_t fields)
{
    const uint32_t known =
        VGPU_SET_NAME | VGPU_SET_DESCRIPTION | VGPU_SET_ENABLED | VGPU_SET_GPU | VGPU_SET_WEIGHT;
    struct change change;
    char key[2] = {0};
    int code;

    if (!pool || !fields || fields & ~known)
        return db_fail(VGPU_INVALID_PARAM, "nothing of a pool is named to be changed");
    code = check_pool(pool, fields);
    if (code)
        return code;
    key[0] = pool->pool_id;
    code = change_begin(&change, db, "update-pool", POOL_ROW, key);
    if (!code && !change.old.count)
        code = pool_missing(pool->pool_id);
    if (!code && fields & VGPU_SET_NAME)
        code = db_run(db, "UPDATE pools SET name = ?2 WHERE pool_id = ?1", "tt", key, pool->name);
    if (!code && fields & VGPU_SET_DESCRIPTION)
        code = db_run(db, "UPDATE pools SET description = ?2 WHERE pool_id = ?1", "tt", key,
                      pool->description);
    if (!code && fields & VGPU_SET_ENABLED)
        code = db_run(db, "UPDATE pools SET enabled = ?2 WHERE pool_id = ?1", "ti", key,
                      (int64_t)pool->enabled);
    if (!code && fields & VGPU_SET_GPU)
        code = db_run(db, "UPDATE pools SET gpu = ?2 WHERE pool_id = ?1", "tt", key, pool->gpu);
    if (!code && fields & VGPU_SET_WEIGHT)
        code = db_run(db, "UPDATE pools SET weight = ?2 WHERE pool_id = ?1", "ti", key,
                      (int64_t)pool->weight);
    if (!code)
        code = db_run(db, "UPDATE pools SET updated_at = " NOW " WHERE pool_id = ?1", "t", key);
    return change_end(&change, code);
}

int vgpu_remove_pool(struct vgpu_db *db, char pool_id)
{
    struct vgpu_pool pool;
    struct change change;
    char key[2] = {pool_id};
    int code = check_pool_id(pool_id);

    if (code)
        return code;
    code = change_begin(&change, db, "remove-pool", POOL_ROW, key);
    if (!code)
        code = vgpu_get_pool_info(db, pool_id, &pool);
    if (!code && pool.vms)
        code = db_fail(VGPU_INVALID_PARAM,
                       "pool %c is in use by %u VM%s; move %s with: vgpu-admin set-pool", pool_id,
                       pool.vms, pool.vms == 1 ? "" : "s", pool.vms == 1 ? "it" : "them");
    if (!code)
        code = db_run(db, "DELETE FROM pools WHERE pool_id = ?1", "t", key);
    return change_end(&change, code);
}

/* ---- VMs ---- */

#define VM_COLUMNS                                                                                 \
    "vm_uuid, vm_id, name, pool_id, priority, socket, gpu_share, gpu_burst, submissions,"          \
    " queue_depth, memory, weight, watchdog, quarantined, quarantine_reason, created_at,"          \
    " updated_at"

static void take_vm(sqlite3_stmt *stmt, void *element)
{
    struct vgpu_vm *vm = element;
    uint32_t *const numbers[] = {&vm->gpu_share, &vm->gpu_burst, &vm->submissions, &vm->queue_depth,
                                 &vm->memory,    &vm->weight,    &vm->watchdog};
    char letter[2];

    db_text(stmt, 0, vm->vm_uuid, sizeof(vm->vm_uuid));
    vm->vm_id = (uint32_t)sqlite3_column_int64(stmt, 1);
    db_text(stmt, 2, vm->name, sizeof(vm->name));
    db_text(stmt, 3, letter, sizeof(letter));
    vm->pool_id = letter[0];
    vm->priority = (uint32_t)sqlite3_column_int64(stmt, 4);
    db_text(stmt, 5, vm->socket, sizeof(vm->socket));
    for (int i = 0; i < 7; i++)
        *numbers[i] = (uint32_t)sqlite3_column_int64(stmt, 6 + i);
    vm->quarantined = sqlite3_column_int(stmt, 13);
    db_text(stmt, 14, vm->quarantine_reason, sizeof(vm->quarantine_reason));
    vm->created_at = sqlite3_column_int64(stmt, 15);
    vm->updated_at = sqlite3_column_int64(stmt, 16);
}

static int vm_missing(const char *uuid)
{
    return db_fail(VGPU_NOT_FOUND,
                   "VM %s is not registered; vgpu-admin list-vms shows which are, "
                   "vgpu-admin register-vm registers one",
                   uuid);
}

int vgpu_get_vm_config(struct vgpu_db *db, const char *vm_uuid, struct vgpu_vm *vm)
{
    char uuid[VGPU_UUID_SIZE];
    sqlite3_stmt *stmt;
    int code = db_ready(db), rc;

    if (!code && !vm)
        code = db_fail(VGPU_INVALID_PARAM, "no place for the VM");
    if (!code)
        code = check_uuid(vm_uuid, uuid);
    if (!code)
        code =
            db_prepare(db, &stmt, "SELECT " VM_COLUMNS " FROM vms WHERE vm_uuid = ?1", "t", uuid);
    if (code)
        return code;
    rc = sqlite3_step(stmt);
    memset(vm, 0, sizeof(*vm));
    if (rc == SQLITE_ROW)
        take_vm(stmt, vm);
    else if (rc == SQLITE_DONE)
        code = vm_missing(uuid);
    else
        code = db_fail_sql(db, rc);
    sqlite3_finalize(stmt);
    return code;
}

int vgpu_list_vms(struct vgpu_db *db, const struct vgpu_vm_filter *filter, struct vgpu_vm **vms,
                  size_t *count)
{
    char pool[2] = {filter ? filter->pool_id : 0};
    int priority = filter ? filter->priority : -1;
    sqlite3_stmt *stmt;
    int code = db_ready(db);

    if (!code && (!vms || !count))
        code = db_fail(VGPU_INVALID_PARAM, "no place for the list");
    if (!code && pool[0])
        code = check_pool_id(pool[0]);
    if (!code && (priority < -1 || priority > VGPU_PRIORITY_HIGH))
        code = db_fail(VGPU_INVALID_PARAM, "a priority is 0, 1 or 2");
    if (!code)
        code = db_prepare(db, &stmt,
                          "SELECT " VM_COLUMNS " FROM vms WHERE (?1 = '' OR pool_id = ?1)"
                          " AND (?2 = -1 OR priority = ?2) ORDER BY pool_id, vm_id",
                          "ti", pool, (int64_t)priority);
    return code ? code : read_list(db, stmt, sizeof(**vms), take_vm, (void **)vms, count);
}

int vgpu_get_next_vm_id(struct vgpu_db *db, uint32_t *vm_id)
{
    sqlite3_stmt *stmt;
    int64_t id = 0;
    int code = db_ready(db), rc;

    if (!code && !vm_id)
        code = db_fail(VGPU_INVALID_PARAM, "no place for the number");
    if (!code)
        code = db_prepare(db, &stmt,
                          "SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM vms WHERE vm_id = 1) THEN 1"
                          " ELSE (SELECT min(vm_id) + 1 FROM vms AS v WHERE NOT EXISTS"
                          "  (SELECT 1 FROM vms WHERE vm_id = v.vm_id + 1)) END",
                          "");
    if (code)
        return code;
    rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        id = sqlite3_column_int64(stmt, 0);
    else
        code = db_fail_sql(db, rc);
    sqlite3_finalize(stmt);
    if (!code && id > VGPU_VM_ID_MAX)
        code = db_fail(VGPU_ERROR, "every vm_id is taken");
    if (!code)
        *vm_id = (uint32_t)id;
    return code;
}

/* Who has vm_id; uuid is empty when nobody has. */
static int vm_id_owner(struct vgpu_db *db, uint32_t vm_id, char uuid[VGPU_UUID_SIZE],
                       char name[VGPU_NAME_SIZE])
{
    sqlite3_stmt *stmt;
    int code = db_prepare(db, &stmt, "SELECT vm_uuid, name FROM vms WHERE vm_id = ?1", "i",
                          (int64_t)vm_id);
    int rc;

    uuid[0] = name[0] = 0;
    if (code)
        return code;
    rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        db_text(stmt, 0, uuid, VGPU_UUID_SIZE);
        db_text(stmt, 1, name, VGPU_NAME_SIZE);
    } else if (rc != SQLITE_DONE) {
        code = db_fail_sql(db, rc);
    }
    sqlite3_finalize(stmt);
    return code;
}

int vgpu_vm_id_in_use(struct vgpu_db *db, uint32_t vm_id, bool *in_use)
{
    char uuid[VGPU_UUID_SIZE], name[VGPU_NAME_SIZE];
    int code = db_ready(db);

    if (!code && !in_use)
        code = db_fail(VGPU_INVALID_PARAM, "no place for the answer");
    if (!code)
        code = vm_id_owner(db, vm_id, uuid, name);
    if (!code)
        *in_use = uuid[0] != 0;
    return code;
}

static int check_vm(const struct vgpu_vm *vm, uint32_t fields)
{
    int code = VGPU_OK;

    if (fields & VGPU_SET_NAME)
        code = check_text("the VM's name", vm->name, sizeof(vm->name));
    if (!code && fields & VGPU_SET_POOL)
        code = check_pool_id(vm->pool_id);
    if (!code && fields & VGPU_SET_PRIORITY && vm->priority > VGPU_PRIORITY_HIGH)
        code = db_fail(VGPU_INVALID_PARAM, "a priority is low (0), medium (1) or high (2)");
    if (!code && fields & VGPU_SET_VM_ID)
        code = check_range("vm_id", vm->vm_id, 1, VGPU_VM_ID_MAX);
    if (!code && fields & VGPU_SET_SOCKET) {
        code = check_text("the socket", vm->socket, sizeof(vm->socket));
        if (!code && vm->socket[0] && vm->socket[0] != '/')
            code = db_fail(VGPU_INVALID_PARAM, "the socket must be an absolute path");
    }
    if (!code && fields & VGPU_SET_GPU_SHARE)
        code = check_range("the GPU share in percent", vm->gpu_share, 0, 100);
    if (!code && fields & VGPU_SET_GPU_BURST)
        code = check_range("the burst in ms", vm->gpu_burst, 0, 60000);
    if (!code && fields & VGPU_SET_SUBMISSIONS)
        code = check_range("submissions per second", vm->submissions, 0, 100000000);
    if (!code && fields & VGPU_SET_QUEUE_DEPTH)
        code = check_range("the queue depth", vm->queue_depth, 0, 1048576);
    if (!code && fields & VGPU_SET_MEMORY)
        code = check_range("the memory quota in MiB", vm->memory, 0, 16777216);
    if (!code && fields & VGPU_SET_WEIGHT)
        code = check_range("the weight", vm->weight, 0, 10000);
    if (!code && fields & VGPU_SET_WATCHDOG)
        code = check_range("the watchdog in ms", vm->watchdog, 0, 3600000);
    if (!code && fields & VGPU_SET_QUARANTINE)
        code = check_text("the reason", vm->quarantine_reason, sizeof(vm->quarantine_reason));
    return code;
}

/* What only the database knows: the pool exists, the number is free, the socket nobody else's. */
static int check_vm_references(struct vgpu_db *db, const struct vgpu_vm *vm, const char *uuid,
                               uint32_t fields)
{
    char owner[VGPU_UUID_SIZE], name[VGPU_NAME_SIZE];
    struct vgpu_pool pool;
    uint32_t free_id = 0;
    int code = VGPU_OK;

    if (fields & VGPU_SET_POOL) {
        code = vgpu_get_pool_info(db, vm->pool_id, &pool);
        /* The VM is there; it is the value that is wrong. */
        if (code == VGPU_NOT_FOUND)
            code = VGPU_INVALID_PARAM;
    }
    if (!code && fields & VGPU_SET_VM_ID) {
        code = vm_id_owner(db, vm->vm_id, owner, name);
        if (!code && owner[0] && strcmp(owner, uuid)) {
            code = vgpu_get_next_vm_id(db, &free_id);
            if (!code)
                code =
                    db_fail(VGPU_INVALID_PARAM,
                            "vm_id %u belongs to VM %s%s%s%s; the lowest free one is %u", vm->vm_id,
                            owner, name[0] ? " (" : "", name, name[0] ? ")" : "", free_id);
        }
    }
    return code;
}

int vgpu_register_vm(struct vgpu_db *db, struct vgpu_vm *vm)
{
    char uuid[VGPU_UUID_SIZE];
    struct change change;
    int code = vm ? check_uuid(vm->vm_uuid, uuid) : db_fail(VGPU_INVALID_PARAM, "no VM given");
    char pool[2] = {0};
    uint32_t vm_id;

    if (!code)
        code = check_vm(vm, ~(vm->vm_id ? 0u : (uint32_t)VGPU_SET_VM_ID));
    if (code)
        return code;
    vm_id = vm->vm_id;
    pool[0] = vm->pool_id;
    code = change_begin(&change, db, "register-vm", VM_ROW, uuid);
    if (!code && change.old.count)
        code = db_fail(VGPU_INVALID_PARAM,
                       "VM %s is registered already; vgpu-admin show-vm shows it, set-pool, "
                       "set-priority and update-vm change it",
                       uuid);
    if (!code && !vm_id)
        code = vgpu_get_next_vm_id(db, &vm_id);
    else if (!code)
        code = check_vm_references(db, vm, uuid, VGPU_SET_VM_ID);
    if (!code)
        code = check_vm_references(db, vm, uuid, VGPU_SET_POOL);
    if (!code)
        code = db_run(db,
                      "INSERT INTO vms (vm_uuid, vm_id, name, pool_id, priority, socket,"
                      " gpu_share, gpu_burst, submissions, queue_depth, memory, weight, watchdog,"
                      " quarantined, quarantine_reason)"
                      " VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15)",
                      "tittitiiiiiiiit", uuid, (int64_t)vm_id, vm->name, pool,
                      (int64_t)vm->priority, vm->socket, (int64_t)vm->gpu_share,
                      (int64_t)vm->gpu_burst, (int64_t)vm->submissions, (int64_t)vm->queue_depth,
                      (int64_t)vm->memory, (int64_t)vm->weight, (int64_t)vm->watchdog,
                      (int64_t)vm->quarantined, vm->quarantine_reason);
    code = change_end(&change, code);
    return code ? code : vgpu_get_vm_config(db, uuid, vm);
}

static int update_vm(struct vgpu_db *db, const struct vgpu_vm *vm, uint32_t fields,
                     const char *what)
{
    const struct {
        uint32_t field;
        const char *sql;
        uint32_t value;
    } numbers[] = {
        {VGPU_SET_PRIORITY, "UPDATE vms SET priority = ?2 WHERE vm_uuid = ?1", vm->priority},
        {VGPU_SET_VM_ID, "UPDATE vms SET vm_id = ?2 WHERE vm_uuid = ?1", vm->vm_id},
        {VGPU_SET_GPU_SHARE, "UPDATE vms SET gpu_share = ?2 WHERE vm_uuid = ?1", vm->gpu_share},
        {VGPU_SET_GPU_BURST, "UPDATE vms SET gpu_burst = ?2 WHERE vm_uuid = ?1", vm->gpu_burst},
        {VGPU_SET_SUBMISSIONS, "UPDATE vms SET submissions = ?2 WHERE vm_uuid = ?1",
         vm->submissions},
        {VGPU_SET_QUEUE_DEPTH, "UPDATE vms SET queue_depth = ?2 WHERE vm_uuid = ?1",
         vm->queue_depth},
        {VGPU_SET_MEMORY, "UPDATE vms SET memory = ?2 WHERE vm_uuid = ?1", vm->memory},
        {VGPU_SET_WEIGHT, "UPDATE vms SET weight = ?2 WHERE vm_uuid = ?1", vm->weight},
        {VGPU_SET_WATCHDOG, "UPDATE vms SET watchdog = ?2 WHERE vm_uuid = ?1", vm->watchdog},
        {VGPU_SET_QUARANTINE, "UPDATE vms SET quarantined = ?2 WHERE vm_uuid = ?1",
         vm->quarantined},
    };
    char uuid[VGPU_UUID_SIZE], pool[2] = {vm->pool_id};
    struct change change;
    int code = check_uuid(vm->vm_uuid, uuid);

    if (!code)
        code = check_vm(vm, fields);
    if (code)
        return code;
    code = change_begin(&change, db, what, VM_ROW, uuid);
    if (!code && !change.old.count)
        code = vm_missing(uuid);
    if (!code)
        code = check_vm_references(db, vm, uuid, fields);
    if (!code && fields & VGPU_SET_NAME)
        code = db_run(db, "UPDATE vms SET name = ?2 WHERE vm_uuid = ?1", "tt", uuid, vm->name);
    if (!code && fields & VGPU_SET_POOL)
        code = db_run(db, "UPDATE vms SET pool_id = ?2 WHERE vm_uuid = ?1", "tt", uuid, pool);
    if (!code && fields & VGPU_SET_SOCKET)
        code = db_run(db, "UPDATE vms SET socket = ?2 WHERE vm_uuid = ?1", "tt", uuid, vm->socket);
    if (!code && fields & VGPU_SET_QUARANTINE)
        code = db_run(db, "UPDATE vms SET quarantine_reason = ?2 WHERE vm_uuid = ?1", "tt", uuid,
                      vm->quarantined ? vm->quarantine_reason : "");
    for (unsigned i = 0; !code && i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (fields & numbers[i].field)
            code = db_run(db, numbers[i].sql, "ti", uuid, (int64_t)numbers[i].value);
    }
    if (!code)
        code = db_run(db, "UPDATE vms SET updated_at = " NOW " WHERE vm_uuid = ?1", "t", uuid);
    return change_end(&change, code);
}

int vgpu_update_vm(struct vgpu_db *db, const struct vgpu_vm *vm, uint32_t fields)
{
    if (!vm || !fields || fields >= VGPU_SET_DESCRIPTION)
        return db_fail(VGPU_INVALID_PARAM, "nothing of a VM is named to be changed");
    return update_vm(db, vm, fields,
                     fields != VGPU_SET_QUARANTINE ? "update-vm"
                     : vm->quarantined             ? "quarantine"
                                                   : "release");
}

static int named(struct vgpu_vm *vm, const char *vm_uuid)
{
    vgpu_vm_defaults(vm);
    return check_uuid(vm_uuid, vm->vm_uuid);
}

int vgpu_set_vm_pool(struct vgpu_db *db, const char *vm_uuid, char pool_id)
{
    struct vgpu_vm vm;
    int code = named(&vm, vm_uuid);

    vm.pool_id = pool_id;
    return code ? code : update_vm(db, &vm, VGPU_SET_POOL, "set-pool");
}

int vgpu_set_vm_priority(struct vgpu_db *db, const char *vm_uuid, uint32_t priority)
{
    struct vgpu_vm vm;
    int code = named(&vm, vm_uuid);

    vm.priority = priority;
    return code ? code : update_vm(db, &vm, VGPU_SET_PRIORITY, "set-priority");
}

int vgpu_set_vm_id(struct vgpu_db *db, const char *vm_uuid, uint32_t vm_id)
{
    struct vgpu_vm vm;
    int code = named(&vm, vm_uuid);

    vm.vm_id = vm_id;
    return code ? code : update_vm(db, &vm, VGPU_SET_VM_ID, "set-vm-id");
}

int vgpu_remove_vm(struct vgpu_db *db, const char *vm_uuid)
{
    char uuid[VGPU_UUID_SIZE];
    struct change change;
    int code = check_uuid(vm_uuid, uuid);

    if (code)
        return code;
    code = change_begin(&change, db, "remove-vm", VM_ROW, uuid);
    if (!code && !change.old.count)
        code = vm_missing(uuid);
    if (!code)
        code = db_run(db, "DELETE FROM vms WHERE vm_uuid = ?1", "t", uuid);
    return change_end(&change, code);
}

/* ---- scheduler, audit ---- */

int vgpu_get_scheduler(struct vgpu_db *db, struct vgpu_scheduler *settings)
{
    sqlite3_stmt *stmt;
    int code = db_ready(db), rc;

    if (!code && !settings)
        code = db_fail(VGPU_INVALID_PARAM, "no place for the settings");
    if (!code)
        code = db_prepare(db, &stmt,
                          "SELECT policy, quantum_us, weight_low, weight_medium, weight_high,"
                          " aging_ms, watchdog_ms, updated_at FROM scheduler WHERE id = 1",
                          "");
    if (code)
        return code;
    rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        db_text(stmt, 0, settings->policy, sizeof(settings->policy));
        settings->quantum_us = (uint32_t)sqlite3_column_int64(stmt, 1);
        for (int i = 0; i < 3; i++)
            settings->weight[i] = (uint32_t)sqlite3_column_int64(stmt, 2 + i);
        settings->aging_ms = (uint32_t)sqlite3_column_int64(stmt, 5);
        settings->watchdog_ms = (uint32_t)sqlite3_column_int64(stmt, 6);
        settings->updated_at = sqlite3_column_int64(stmt, 7);
    } else if (rc == SQLITE_DONE) {
        code = db_fail(VGPU_DB_ERROR,
                       "%s: the scheduler's settings are gone; put a backup in its "
                       "place with: vgpu-admin db restore FILE",
                       db->path);
    } else {
        code = db_fail_sql(db, rc);
    }
    sqlite3_finalize(stmt);
    return code;
}

int vgpu_set_scheduler(struct vgpu_db *db, const struct vgpu_scheduler *s)
{
    struct change change;
    int code = VGPU_OK;

    if (!s || (strncmp(s->policy, "fair", sizeof(s->policy)) &&
               strncmp(s->policy, "rr", sizeof(s->policy))))
        return db_fail(VGPU_INVALID_PARAM, "the policy must be fair or rr");
    code = check_range("the quantum in us", s->quantum_us, 100, 1000000);
    for (int i = 0; !code && i < 3; i++)
        code = check_range("a priority's weight", s->weight[i], 1, 10000);
    if (!code)
        code = check_range("aging in ms", s->aging_ms, 0, 600000);
    if (!code)
        code = check_range("the watchdog in ms", s->watchdog_ms, 0, 3600000);
    if (code)
        return code;
    code = change_begin(&change, db, "scheduler-set", SCHEDULER_ROW, "scheduler");
    if (!code)
        code = db_run(db,
                      "UPDATE scheduler SET policy = ?1, quantum_us = ?2, weight_low = ?3,"
                      " weight_medium = ?4, weight_high = ?5, aging_ms = ?6, watchdog_ms = ?7,"
                      " updated_at = " NOW " WHERE id = 1",
                      "tiiiiii", s->policy, (int64_t)s->quantum_us, (int64_t)s->weight[0],
                      (int64_t)s->weight[1], (int64_t)s->weight[2], (int64_t)s->aging_ms,
                      (int64_t)s->watchdog_ms);
    return change_end(&change, code);
}

static void take_audit(sqlite3_stmt *stmt, void *element)
{
    struct vgpu_audit *row = element;

    row->id = sqlite3_column_int64(stmt, 0);
    row->at = sqlite3_column_int64(stmt, 1);
    db_text(stmt, 2, row->who, sizeof(row->who));
    db_text(stmt, 3, row->what, sizeof(row->what));
    db_text(stmt, 4, row->target, sizeof(row->target));
    db_text(stmt, 5, row->old_values, sizeof(row->old_values));
    db_text(stmt, 6, row->new_values, sizeof(row->new_values));
}

int vgpu_list_audit(struct vgpu_db *db, size_t limit, struct vgpu_audit **rows, size_t *count)
{
    sqlite3_stmt *stmt;
    int code = db_ready(db);

    if (!code && (!rows || !count))
        code = db_fail(VGPU_INVALID_PARAM, "no place for the list");
    if (!code)
        code = db_prepare(db, &stmt,
                          "SELECT id, at, who, what, target, old_values, new_values FROM audit"
                          " ORDER BY id DESC LIMIT ?1",
                          "i", (int64_t)limit);
    return code ? code : read_list(db, stmt, sizeof(**rows), take_audit, (void **)rows, count);
}
