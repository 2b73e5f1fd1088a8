/* SPDX-License-Identifier: Apache-2.0 */
/* What an administrator would lose if these failed: the record of who may use the GPU, and how. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "admin/libvgpu/db.h"
#include "admin/libvgpu/schema.h"

#define U1 "11111111-2222-3333-4444-555555555501"
#define U2 "11111111-2222-3333-4444-555555555502"
#define U3 "11111111-2222-3333-4444-555555555503"

struct fixture {
    char dir[64], path[96], other[96];
    struct vgpu_db *db;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    strcpy(f->dir, "/tmp/vgpu-db-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof(f->path), "%s/config.db", f->dir);
    snprintf(f->other, sizeof(f->other), "%s/other.db", f->dir);
    assert_int_equal(vgpu_db_init(&f->db, f->path, VGPU_DB_CREATE), VGPU_OK);
    assert_int_equal(vgpu_db_init_schema(f->db), VGPU_OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char command[128];

    vgpu_db_close(f->db);
    snprintf(command, sizeof(command), "rm -rf %s", f->dir);
    if (system(command) != 0)
        return -1;
    free(f);
    return 0;
}

static int add(struct vgpu_db *db, const char *uuid, uint32_t vm_id, char pool, uint32_t priority)
{
    struct vgpu_vm vm;

    vgpu_vm_defaults(&vm);
    snprintf(vm.vm_uuid, sizeof(vm.vm_uuid), "%.36s", uuid);
    vm.vm_id = vm_id;
    vm.pool_id = pool;
    vm.priority = priority;
    return vgpu_register_vm(db, &vm);
}

static void says(const char *text)
{
    if (!strstr(vgpu_db_error(), text))
        fail_msg("expected \"%s\" in: %s", text, vgpu_db_error());
    assert_null(strchr(vgpu_db_error(), '\n'));
}

static void starts_with_pools_a_and_b(void **state)
{
    struct fixture *f = *state;
    struct vgpu_pool *pools;
    struct vgpu_vm *vms;
    size_t count;

    assert_int_equal(vgpu_list_pools(f->db, &pools, &count), VGPU_OK);
    assert_int_equal(count, 2);
    assert_int_equal(pools[0].pool_id, 'A');
    assert_int_equal(pools[1].pool_id, 'B');
    assert_true(pools[0].enabled && pools[1].enabled);
    assert_true(pools[0].created_at > 1700000000);
    free(pools);
    assert_int_equal(vgpu_list_vms(f->db, NULL, &vms, &count), VGPU_OK);
    assert_int_equal(count, 0);
    assert_null(vms);
    assert_int_equal(vgpu_db_init_schema(f->db), VGPU_OK);
}

static void registers_with_defaults_and_lowest_free_id(void **state)
{
    struct fixture *f = *state;
    struct vgpu_vm vm;
    uint32_t next;
    bool used;

    vgpu_vm_defaults(&vm);
    strcpy(vm.vm_uuid, "AAAAAAAA-2222-3333-4444-555555555501");
    assert_int_equal(vgpu_register_vm(f->db, &vm), VGPU_OK);
    assert_string_equal(vm.vm_uuid, "aaaaaaaa-2222-3333-4444-555555555501");
    assert_int_equal(vm.vm_id, 1);
    assert_int_equal(vm.pool_id, 'A');
    assert_int_equal(vm.priority, VGPU_PRIORITY_MEDIUM);
    assert_int_equal(add(f->db, U2, 3, 'B', 2), VGPU_OK);
    assert_int_equal(vgpu_get_next_vm_id(f->db, &next), VGPU_OK);
    assert_int_equal(next, 2);
    assert_int_equal(add(f->db, U3, 0, 'B', 0), VGPU_OK);
    assert_int_equal(vgpu_get_vm_config(f->db, U3, &vm), VGPU_OK);
    assert_int_equal(vm.vm_id, 2);
    assert_int_equal(vgpu_vm_id_in_use(f->db, 3, &used), VGPU_OK);
    assert_true(used);
    assert_int_equal(vgpu_vm_id_in_use(f->db, 4, &used), VGPU_OK);
    assert_false(used);
    assert_int_equal(vgpu_get_next_vm_id(f->db, &next), VGPU_OK);
    assert_int_equal(next, 4);
}

static void refuses_what_is_taken_or_malformed(void **state)
{
    struct fixture *f = *state;
    static const char *const bad[] = {"",
                                      "x",
                                      "11111111-2222-3333-4444-55555555550",
                                      "11111111-2222-3333-4444-5555555555011",
                                      "11111111-2222-3333-4444-55555555550g",
                                      "111111112222-3333-4444-555555555501-",
                                      "11111111-2222-3333-4444-5555555'; --"};
    struct vgpu_vm vm;

    assert_int_equal(add(f->db, U1, 5, 'A', 1), VGPU_OK);
    assert_int_equal(add(f->db, U1, 0, 'A', 1), VGPU_INVALID_PARAM);
    says("registered already");
    assert_int_equal(add(f->db, U2, 5, 'A', 1), VGPU_INVALID_PARAM);
    says(U1);
    says("the lowest free one is 1");
    assert_int_equal(add(f->db, U2, 0, 'C', 1), VGPU_INVALID_PARAM);
    says("no pool C");
    assert_int_equal(add(f->db, U2, 0, 'a', 1), VGPU_INVALID_PARAM);
    assert_int_equal(add(f->db, U2, 0, 'A', 3), VGPU_INVALID_PARAM);
    assert_int_equal(add(f->db, U2, 0x80000000u, 'A', 1), VGPU_INVALID_PARAM);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (strlen(bad[i]) < VGPU_UUID_SIZE)
            assert_int_equal(add(f->db, bad[i], 0, 'A', 1), VGPU_INVALID_PARAM);
        assert_int_equal(vgpu_get_vm_config(f->db, bad[i], &vm), VGPU_INVALID_PARAM);
    }
    assert_int_equal(vgpu_get_vm_config(f->db, U2, &vm), VGPU_NOT_FOUND);
    assert_int_equal(vgpu_remove_vm(f->db, U2), VGPU_NOT_FOUND);
    assert_int_equal(vgpu_set_vm_pool(f->db, U2, 'A'), VGPU_NOT_FOUND);
    assert_int_equal(vgpu_set_vm_pool(f->db, U1, 'Z'), VGPU_INVALID_PARAM);
    assert_int_equal(vgpu_set_vm_priority(f->db, U1, 7), VGPU_INVALID_PARAM);
    assert_int_equal(vgpu_set_vm_id(f->db, U1, 0), VGPU_INVALID_PARAM);
    vgpu_vm_defaults(&vm);
    strcpy(vm.vm_uuid, U1);
    strcpy(vm.name, "a\033[2Jb");
    assert_int_equal(vgpu_update_vm(f->db, &vm, VGPU_SET_NAME), VGPU_INVALID_PARAM);
    strcpy(vm.name, "\xc3(");
    assert_int_equal(vgpu_update_vm(f->db, &vm, VGPU_SET_NAME), VGPU_INVALID_PARAM);
    strcpy(vm.name, "\xc2\x9b");
    assert_int_equal(vgpu_update_vm(f->db, &vm, VGPU_SET_NAME), VGPU_INVALID_PARAM);
    strcpy(vm.name, "M\xc3\xbcnchen \xf0\x9f\x98\x80");
    assert_int_equal(vgpu_update_vm(f->db, &vm, VGPU_SET_NAME), VGPU_OK);
    strcpy(vm.socket, "relative");
    assert_int_equal(vgpu_update_vm(f->db, &vm, VGPU_SET_SOCKET), VGPU_INVALID_PARAM);
}

static void a_refused_update_changes_nothing(void **state)
{
    struct fixture *f = *state;
    struct vgpu_audit *rows;
    struct vgpu_vm vm, was;
    size_t before, after;

    assert_int_equal(add(f->db, U1, 1, 'A', 1), VGPU_OK);
    assert_int_equal(add(f->db, U2, 2, 'A', 1), VGPU_OK);
    assert_int_equal(vgpu_get_vm_config(f->db, U1, &was), VGPU_OK);
    assert_int_equal(vgpu_list_audit(f->db, 100, &rows, &before), VGPU_OK);
    free(rows);
    vm = was;
    strcpy(vm.name, "other");
    vm.priority = 2;
    vm.vm_id = 2; /* taken */
    assert_int_equal(vgpu_update_vm(f->db, &vm, VGPU_SET_NAME | VGPU_SET_PRIORITY | VGPU_SET_VM_ID),
                     VGPU_INVALID_PARAM);
    assert_int_equal(vgpu_get_vm_config(f->db, U1, &vm), VGPU_OK);
    assert_memory_equal(&vm, &was, sizeof(vm));
    assert_int_equal(vgpu_list_audit(f->db, 100, &rows, &after), VGPU_OK);
    free(rows);
    assert_int_equal(before, after);
}

static void constraints_hold_without_the_library(void **state)
{
    struct fixture *f = *state;
    static const char *const statements[] = {
        "INSERT INTO pools (pool_id, name) VALUES ('a', 'x')",
        "INSERT INTO pools (pool_id, name) VALUES ('AB', 'x')",
        "INSERT INTO pools (pool_id, name, weight) VALUES ('C', 'x', 0)",
        "INSERT INTO vms (vm_uuid, vm_id) VALUES ('nonsense', 9)",
        "INSERT INTO vms (vm_uuid, vm_id) VALUES (upper('" U2 "') || 'A', 9)",
        "INSERT INTO vms (vm_uuid, vm_id) VALUES ('" U2 "', 0)",
        "INSERT INTO vms (vm_uuid, vm_id) VALUES ('" U2 "', 'x')",
        "INSERT INTO vms (vm_uuid, vm_id) VALUES ('" U2 "', 1)",
        "INSERT INTO vms (vm_uuid, vm_id, pool_id) VALUES ('" U2 "', 9, 'Q')",
        "INSERT INTO vms (vm_uuid, vm_id, priority) VALUES ('" U2 "', 9, 3)",
        "UPDATE vms SET gpu_share = 101",
        "UPDATE vms SET quarantined = 2",
        "UPDATE vms SET socket = 'relative'",
        "DELETE FROM pools WHERE pool_id = 'A'",
        "UPDATE scheduler SET policy = 'best'",
        "INSERT INTO scheduler (id) VALUES (2)",
    };

    assert_int_equal(add(f->db, U1, 1, 'A', 1), VGPU_OK);
    for (unsigned i = 0; i < sizeof(statements) / sizeof(statements[0]); i++) {
        if (db_run(f->db, statements[i], "") != VGPU_INVALID_PARAM)
            fail_msg("accepted: %s", statements[i]);
    }
    assert_int_equal(vgpu_db_check(f->db), VGPU_OK);
}

static void pools_are_made_changed_and_removed(void **state)
{
    struct fixture *f = *state;
    struct vgpu_pool pool = {.pool_id = 'C', .name = "Research", .enabled = true, .weight = 300};

    assert_int_equal(vgpu_create_pool(f->db, &pool), VGPU_OK);
    assert_int_equal(vgpu_create_pool(f->db, &pool), VGPU_INVALID_PARAM);
    says("exists already");
    strcpy(pool.gpu, "GPU-12; rm");
    assert_int_equal(vgpu_update_pool(f->db, &pool, VGPU_SET_GPU), VGPU_INVALID_PARAM);
    strcpy(pool.gpu, "GPU-12");
    pool.enabled = false;
    assert_int_equal(vgpu_update_pool(f->db, &pool, VGPU_SET_GPU | VGPU_SET_ENABLED), VGPU_OK);
    assert_int_equal(add(f->db, U1, 0, 'C', 1), VGPU_OK);
    assert_int_equal(vgpu_get_pool_info(f->db, 'C', &pool), VGPU_OK);
    assert_string_equal(pool.gpu, "GPU-12");
    assert_string_equal(pool.name, "Research");
    assert_false(pool.enabled);
    assert_int_equal(pool.vms, 1);
    assert_int_equal(vgpu_remove_pool(f->db, 'C'), VGPU_INVALID_PARAM);
    says("in use by 1 VM");
    assert_int_equal(vgpu_set_vm_pool(f->db, U1, 'B'), VGPU_OK);
    assert_int_equal(vgpu_remove_pool(f->db, 'C'), VGPU_OK);
    assert_int_equal(vgpu_remove_pool(f->db, 'C'), VGPU_NOT_FOUND);
    assert_int_equal(vgpu_get_pool_info(f->db, 'C', &pool), VGPU_NOT_FOUND);
    assert_int_equal(vgpu_get_pool_info(f->db, '?', &pool), VGPU_INVALID_PARAM);
}

static void lists_filter_and_sort(void **state)
{
    struct fixture *f = *state;
    struct vgpu_vm_filter filter = {.pool_id = 'B', .priority = 2};
    struct vgpu_vm *vms;
    size_t count;

    assert_int_equal(add(f->db, U1, 9, 'B', 2), VGPU_OK);
    assert_int_equal(add(f->db, U2, 4, 'A', 2), VGPU_OK);
    assert_int_equal(add(f->db, U3, 2, 'B', 0), VGPU_OK);
    assert_int_equal(vgpu_list_vms(f->db, NULL, &vms, &count), VGPU_OK);
    assert_int_equal(count, 3);
    assert_int_equal(vms[0].vm_id, 4);
    assert_int_equal(vms[1].vm_id, 2);
    assert_int_equal(vms[2].vm_id, 9);
    free(vms);
    assert_int_equal(vgpu_list_vms(f->db, &filter, &vms, &count), VGPU_OK);
    assert_int_equal(count, 1);
    assert_string_equal(vms[0].vm_uuid, U1);
    free(vms);
    filter.priority = 5;
    assert_int_equal(vgpu_list_vms(f->db, &filter, &vms, &count), VGPU_INVALID_PARAM);
}

static void every_change_is_in_the_audit_table(void **state)
{
    struct fixture *f = *state;
    struct vgpu_scheduler s;
    struct vgpu_audit *rows;
    struct vgpu_vm vm;
    size_t count;

    vgpu_db_set_actor(f->db, "tester");
    assert_int_equal(add(f->db, U1, 0, 'A', 1), VGPU_OK);
    assert_int_equal(vgpu_set_vm_priority(f->db, U1, 2), VGPU_OK);
    assert_int_equal(vgpu_get_vm_config(f->db, U1, &vm), VGPU_OK);
    vm.quarantined = true;
    strcpy(vm.quarantine_reason, "said \"no\"");
    assert_int_equal(vgpu_update_vm(f->db, &vm, VGPU_SET_QUARANTINE), VGPU_OK);
    vm.quarantined = false;
    assert_int_equal(vgpu_update_vm(f->db, &vm, VGPU_SET_QUARANTINE), VGPU_OK);
    assert_int_equal(vgpu_get_scheduler(f->db, &s), VGPU_OK);
    s.aging_ms = 250;
    assert_int_equal(vgpu_set_scheduler(f->db, &s), VGPU_OK);
    strcpy(s.policy, "best");
    assert_int_equal(vgpu_set_scheduler(f->db, &s), VGPU_INVALID_PARAM);
    assert_int_equal(vgpu_remove_vm(f->db, U1), VGPU_OK);
    assert_int_equal(vgpu_list_audit(f->db, 100, &rows, &count), VGPU_OK);
    assert_int_equal(count, 6);
    assert_string_equal(rows[0].what, "remove-vm");
    assert_string_equal(rows[1].what, "scheduler-set");
    assert_string_equal(rows[1].old_values, "{\"aging_ms\": 2000}");
    assert_string_equal(rows[1].new_values, "{\"aging_ms\": 250}");
    assert_string_equal(rows[2].what, "release");
    assert_string_equal(rows[3].what, "quarantine");
    assert_string_equal(rows[3].new_values,
                        "{\"quarantined\": 1, \"quarantine_reason\": \"said \\\"no\\\"\"}");
    assert_string_equal(rows[4].what, "set-priority");
    assert_string_equal(rows[4].who, "tester");
    assert_string_equal(rows[4].target, U1);
    assert_string_equal(rows[4].old_values, "{\"priority\": 1}");
    assert_string_equal(rows[4].new_values, "{\"priority\": 2}");
    assert_string_equal(rows[5].what, "register-vm");
    assert_string_equal(rows[5].old_values, "{}");
    free(rows);
}

static void migrates_from_every_earlier_version(void **state)
{
    struct fixture *f = *state;

    for (int version = 1; version < VGPU_DB_SCHEMA_VERSION; version++) {
        struct vgpu_db *old;
        struct vgpu_vm vm;
        int now;

        unlink(f->other);
        assert_int_equal(db_open(&old, f->other, VGPU_DB_CREATE), VGPU_OK);
        assert_int_equal(db_migrate(old, version), VGPU_OK);
        assert_int_equal(db_run(old,
                                "INSERT INTO vms (vm_uuid, vm_id, name, pool_id, priority)"
                                " VALUES ('" U1 "', 41, 'kept', 'B', 2)",
                                ""),
                         VGPU_OK);
        vgpu_db_close(old);
        assert_int_equal(vgpu_db_init(&old, f->other, 0), VGPU_OK);
        assert_int_equal(vgpu_get_vm_config(old, U1, &vm), VGPU_DB_ERROR);
        says("older version");
        assert_int_equal(vgpu_db_init_schema(old), VGPU_OK);
        assert_int_equal(vgpu_db_schema_version(old, &now), VGPU_OK);
        assert_int_equal(now, VGPU_DB_SCHEMA_VERSION);
        assert_int_equal(vgpu_get_vm_config(old, U1, &vm), VGPU_OK);
        assert_int_equal(vm.vm_id, 41);
        assert_int_equal(vm.priority, 2);
        assert_string_equal(vm.name, "kept");
        assert_int_equal(vm.gpu_share, 0);
        assert_int_equal(vgpu_db_check(old), VGPU_OK);
        vgpu_db_close(old);
    }
}

static void refuses_newer_and_foreign_files(void **state)
{
    struct fixture *f = *state;
    struct vgpu_db *db;
    struct vgpu_vm vm;
    FILE *file;

    assert_int_equal(db_run(f->db, "PRAGMA user_version = 99", ""), VGPU_OK);
    assert_int_equal(vgpu_db_init(&db, f->path, 0), VGPU_OK);
    assert_int_equal(vgpu_get_vm_config(db, U1, &vm), VGPU_DB_ERROR);
    says("newer version");
    assert_int_equal(vgpu_db_init_schema(db), VGPU_DB_ERROR);
    says("newer version");
    vgpu_db_close(db);

    assert_int_equal(db_open(&db, f->other, VGPU_DB_CREATE), VGPU_OK);
    assert_int_equal(db_run(db, "CREATE TABLE mine (x)", ""), VGPU_OK);
    vgpu_db_close(db);
    assert_int_equal(vgpu_db_init(&db, f->other, 0), VGPU_DB_ERROR);
    assert_null(db);
    says("some other program");

    file = fopen(f->other, "w");
    for (int i = 0; i < 2000; i++)
        fputs("no database ", file);
    fclose(file);
    assert_int_equal(vgpu_db_init(&db, f->other, 0), VGPU_DB_ERROR);
    says("is damaged");
    unlink(f->other);
    assert_int_equal(vgpu_db_init(&db, f->other, 0), VGPU_DB_ERROR);
    says("does not exist");
    says("vgpu-admin db init");
    assert_int_equal(access(f->other, F_OK), -1);
}

static void backup_and_restore(void **state)
{
    struct fixture *f = *state;
    char saved[128], damaged[128];
    struct vgpu_db *db;
    struct vgpu_vm vm;
    int fd;

    assert_int_equal(add(f->db, U1, 7, 'B', 2), VGPU_OK);
    assert_int_equal(vgpu_db_backup(f->db, f->path), VGPU_INVALID_PARAM);
    assert_int_equal(vgpu_db_backup(f->db, f->other), VGPU_OK);
    assert_int_equal(vgpu_remove_vm(f->db, U1), VGPU_OK);
    assert_int_equal(add(f->db, U2, 8, 'A', 0), VGPU_OK);
    /* The open handle sees the restored content. */
    assert_int_equal(vgpu_db_restore(f->path, f->other), VGPU_OK);
    assert_int_equal(vgpu_get_vm_config(f->db, U1, &vm), VGPU_OK);
    assert_int_equal(vm.vm_id, 7);
    assert_int_equal(vgpu_get_vm_config(f->db, U2, &vm), VGPU_NOT_FOUND);
    snprintf(saved, sizeof(saved), "%s.before-restore", f->path);
    assert_int_equal(vgpu_db_init(&db, saved, 0), VGPU_OK);
    assert_int_equal(vgpu_get_vm_config(db, U2, &vm), VGPU_OK);
    vgpu_db_close(db);

    /* A damaged backup replaces nothing. */
    snprintf(damaged, sizeof(damaged), "%s/damaged", f->dir);
    fd = open(damaged, O_WRONLY | O_CREAT, 0600);
    assert_true(write(fd, "SQLite format 3", 16) == 16 && ftruncate(fd, 40960) == 0);
    close(fd);
    assert_int_equal(vgpu_db_restore(f->path, damaged), VGPU_DB_ERROR);
    assert_int_equal(vgpu_get_vm_config(f->db, U1, &vm), VGPU_OK);

    /* A damaged database is set aside and replaced. */
    vgpu_db_close(f->db);
    f->db = NULL;
    fd = open(f->path, O_WRONLY);
    for (int i = 0; i < 6; i++)
        assert_int_equal(pwrite(fd, "garbage garbage garbage garbage", 31, 100 + i * 4096), 31);
    close(fd);
    assert_int_equal(vgpu_db_init(&db, f->path, 0), VGPU_DB_ERROR);
    says("is damaged");
    assert_int_equal(vgpu_db_restore(f->path, f->other), VGPU_OK);
    snprintf(damaged, sizeof(damaged), "%s.damaged", f->path);
    assert_int_equal(access(damaged, F_OK), 0);
    assert_int_equal(vgpu_db_init(&f->db, f->path, 0), VGPU_OK);
    assert_int_equal(vgpu_get_vm_config(f->db, U1, &vm), VGPU_OK);
    assert_int_equal(vgpu_db_check(f->db), VGPU_OK);
}

static void an_older_backup_is_brought_up_to_date(void **state)
{
    struct fixture *f = *state;
    struct vgpu_db *old;
    struct vgpu_vm vm;

    assert_int_equal(db_open(&old, f->other, VGPU_DB_CREATE), VGPU_OK);
    assert_int_equal(db_migrate(old, 1), VGPU_OK);
    assert_int_equal(db_run(old, "INSERT INTO vms (vm_uuid, vm_id) VALUES ('" U3 "', 12)", ""),
                     VGPU_OK);
    vgpu_db_close(old);
    assert_int_equal(vgpu_db_restore(f->path, f->other), VGPU_OK);
    assert_int_equal(vgpu_get_vm_config(f->db, U3, &vm), VGPU_OK);
    assert_int_equal(vm.vm_id, 12);
}

static void two_administrators_take_turns(void **state)
{
    struct fixture *f = *state;
    struct vgpu_vm *vms;
    pid_t pids[2];
    size_t count;

    vgpu_db_close(f->db);
    f->db = NULL;
    for (int who = 0; who < 2; who++) {
        pids[who] = fork();
        if (pids[who] == 0) {
            struct vgpu_db *db;
            char uuid[40];
            int bad = vgpu_db_init(&db, f->path, 0);

            for (int i = 0; !bad && i < 40; i++) {
                snprintf(uuid, sizeof(uuid), "00000000-0000-0000-%04x-%012x", who, i);
                bad = add(db, uuid, 0, 'A', 1);
            }
            if (bad)
                fprintf(stderr, "%s\n", vgpu_db_error());
            _exit(bad ? 1 : 0);
        }
    }
    for (int who = 0; who < 2; who++) {
        int status;

        assert_int_equal(waitpid(pids[who], &status, 0), pids[who]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(vgpu_db_init(&f->db, f->path, 0), VGPU_OK);
    assert_int_equal(vgpu_list_vms(f->db, NULL, &vms, &count), VGPU_OK);
    assert_int_equal(count, 80);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(vms[i].vm_id, i + 1);
    free(vms);
}

static void a_held_lock_is_reported(void **state)
{
    struct fixture *f = *state;
    struct vgpu_db *holder;

    assert_int_equal(vgpu_db_init(&holder, f->path, 0), VGPU_OK);
    assert_int_equal(db_begin(holder), VGPU_OK);
    sqlite3_busy_timeout(f->db->sql, 50);
    assert_int_equal(add(f->db, U1, 0, 'A', 1), VGPU_DB_ERROR);
    says("another program has held it");
    vgpu_db_close(holder);
    assert_int_equal(add(f->db, U1, 0, 'A', 1), VGPU_OK);
}

/* Runs in a mount namespace of its own; 77: the machine does not let us have one. */
static int fill_a_disk(const char *dir)
{
    char path[160], uuid[40];
    struct vgpu_db *db;
    struct vgpu_vm *vms;
    size_t registered = 0, count;
    int code = VGPU_OK;

    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", dir, "tmpfs", 0, "size=320k") != 0)
        return 77;
    snprintf(path, sizeof(path), "%s/full.db", dir);
    if (vgpu_db_init(&db, path, VGPU_DB_CREATE) || vgpu_db_init_schema(db))
        return 1;
    while (registered < 5000) {
        snprintf(uuid, sizeof(uuid), "00000000-0000-0000-0000-%012zx", registered);
        code = add(db, uuid, 0, 'A', 1);
        if (code)
            break;
        registered++;
    }
    if (code != VGPU_DB_ERROR || !strstr(vgpu_db_error(), "the disk is full")) {
        fprintf(stderr, "after %zu: %s\n", registered, vgpu_db_error());
        return 2;
    }
    if (vgpu_list_vms(db, NULL, &vms, &count) || count != registered)
        return 3;
    free(vms);
    vgpu_db_close(db);
    if (vgpu_db_init(&db, path, 0) || vgpu_db_check(db) || vgpu_list_vms(db, NULL, &vms, &count) ||
        count != registered)
        return 4;
    if (mount(NULL, dir, NULL, MS_REMOUNT, "size=4m") != 0 || add(db, uuid, 0, 'A', 1))
        return 5;
    return 0;
}

static void a_full_disk_loses_nothing(void **state)
{
    struct fixture *f = *state;
    char dir[128];
    int status;
    pid_t pid;

    snprintf(dir, sizeof(dir), "%s/disk", f->dir);
    assert_int_equal(mkdir(dir, 0700), 0);
    pid = fork();
    if (pid == 0)
        _exit(fill_a_disk(dir));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(status, 0);
}

static int as_nobody(const char *path)
{
    struct vgpu_db *db;
    struct vgpu_pool pool;

    if (setgid(65534) != 0 || setuid(65534) != 0)
        return 77;
    if (vgpu_db_init(&db, path, 0) != VGPU_OK || vgpu_get_pool_info(db, 'A', &pool) != VGPU_OK)
        return 1;
    if (add(db, U1, 0, 'A', 1) != VGPU_DB_ERROR || !strstr(vgpu_db_error(), "may not be written"))
        return 2;
    vgpu_db_close(db);
    if (vgpu_db_init(&db, "/proc/1/environ", 0) != VGPU_DB_ERROR)
        return 3;
    return 0;
}

static void a_file_without_write_permission_is_readable(void **state)
{
    struct fixture *f = *state;
    int status;
    pid_t pid;

    if (getuid() != 0)
        skip();
    assert_int_equal(chmod(f->dir, 0755), 0);
    /* What the write-ahead log adds beside the file takes over its mode. */
    vgpu_db_close(f->db);
    assert_int_equal(chmod(f->path, 0644), 0);
    assert_int_equal(vgpu_db_init(&f->db, f->path, 0), VGPU_OK);
    assert_int_equal(add(f->db, U2, 0, 'A', 1), VGPU_OK);
    pid = fork();
    if (pid == 0) {
        int result = as_nobody(f->path);

        if (result)
            fprintf(stderr, "%s\n", vgpu_db_error());
        _exit(result);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void a_follower_notices_changes_of_others(void **state)
{
    struct fixture *f = *state;
    struct vgpu_db *follower;
    bool changed;

    assert_int_equal(vgpu_db_init(&follower, f->path, VGPU_DB_READONLY), VGPU_OK);
    assert_int_equal(vgpu_db_changed(follower, &changed), VGPU_OK);
    assert_true(changed);
    assert_int_equal(vgpu_db_changed(follower, &changed), VGPU_OK);
    assert_false(changed);
    assert_int_equal(add(f->db, U1, 0, 'A', 1), VGPU_OK);
    assert_int_equal(vgpu_db_changed(follower, &changed), VGPU_OK);
    assert_true(changed);
    assert_int_equal(vgpu_db_changed(follower, &changed), VGPU_OK);
    assert_false(changed);
    assert_int_equal(vgpu_db_backup(f->db, f->other), VGPU_OK);
    assert_int_equal(rename(f->other, f->path), 0);
    assert_int_equal(vgpu_db_changed(follower, &changed), VGPU_OK);
    assert_true(changed);
    vgpu_db_close(follower);
}

static void null_arguments_are_errors(void **state)
{
    struct fixture *f = *state;
    struct vgpu_vm vm;

    assert_int_equal(vgpu_get_vm_config(NULL, U1, &vm), VGPU_INVALID_PARAM);
    assert_int_equal(vgpu_get_vm_config(f->db, NULL, &vm), VGPU_INVALID_PARAM);
    assert_int_equal(vgpu_get_vm_config(f->db, U1, NULL), VGPU_INVALID_PARAM);
    assert_int_equal(vgpu_register_vm(f->db, NULL), VGPU_INVALID_PARAM);
    assert_int_equal(vgpu_update_vm(f->db, NULL, 1), VGPU_INVALID_PARAM);
    assert_int_equal(vgpu_create_pool(f->db, NULL), VGPU_INVALID_PARAM);
    assert_int_equal(vgpu_db_init(NULL, f->path, 0), VGPU_INVALID_PARAM);
    assert_int_equal(vgpu_list_vms(f->db, NULL, NULL, NULL), VGPU_INVALID_PARAM);
    assert_int_equal(vgpu_db_backup(f->db, NULL), VGPU_INVALID_PARAM);
    vgpu_db_close(NULL);
}

static double ms_since(const struct timespec *start)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - start->tv_sec) * 1e3 +
           (double)(now.tv_nsec - start->tv_nsec) / 1e6;
}

static void a_thousand_vms(void **state)
{
    struct fixture *f = *state;
    struct timespec start;
    struct vgpu_vm *vms;
    size_t count;
    char uuid[40];

    assert_int_equal(db_run(f->db, "PRAGMA synchronous = OFF", ""), VGPU_OK);
    for (int i = 0; i < 1000; i++) {
        snprintf(uuid, sizeof(uuid), "00000000-0000-0000-0000-%012x", i);
        assert_int_equal(add(f->db, uuid, 0, i % 2 ? 'A' : 'B', (uint32_t)i % 3), VGPU_OK);
    }
    clock_gettime(CLOCK_MONOTONIC, &start);
    assert_int_equal(vgpu_list_vms(f->db, NULL, &vms, &count), VGPU_OK);
    print_message("1000 VMs listed in %.2f ms\n", ms_since(&start));
    assert_int_equal(count, 1000);
    free(vms);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(starts_with_pools_a_and_b),
        TEST(registers_with_defaults_and_lowest_free_id),
        TEST(refuses_what_is_taken_or_malformed),
        TEST(a_refused_update_changes_nothing),
        TEST(constraints_hold_without_the_library),
        TEST(pools_are_made_changed_and_removed),
        TEST(lists_filter_and_sort),
        TEST(every_change_is_in_the_audit_table),
        TEST(migrates_from_every_earlier_version),
        TEST(refuses_newer_and_foreign_files),
        TEST(backup_and_restore),
        TEST(an_older_backup_is_brought_up_to_date),
        TEST(two_administrators_take_turns),
        TEST(a_held_lock_is_reported),
        TEST(a_full_disk_loses_nothing),
        TEST(a_file_without_write_permission_is_readable),
        TEST(a_follower_notices_changes_of_others),
        TEST(null_arguments_are_errors),
        TEST(a_thousand_vms),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
