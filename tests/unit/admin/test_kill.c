/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kills a writer at random points and looks at what it left: the database opens, is whole, and
 * every VM is as the last line about it in the audit table says, so no transaction is there by
 * half.
 *
 *   test-admin-kill ROUNDS [SEED]
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "admin/libvgpu/db.h"

static void write_for_ever(const char *path, unsigned seed, int started)
{
    struct vgpu_db *db;

    srandom(seed);
    if (vgpu_db_init(&db, path, 0) || write(started, "", 1) != 1)
        _exit(1);
    for (;;) {
        struct vgpu_vm vm;
        int code;

        vgpu_vm_defaults(&vm);
        snprintf(vm.vm_uuid, sizeof(vm.vm_uuid), "00000000-0000-0000-0000-%012lx", random() % 20);
        switch (random() % 4) {
        case 0:
            code = vgpu_register_vm(db, &vm);
            break;
        case 1:
            code = vgpu_remove_vm(db, vm.vm_uuid);
            break;
        case 2:
            /* Two columns that must change together. */
            vm.memory = vm.queue_depth = 1 + (uint32_t)(random() % 1000);
            code = vgpu_update_vm(db, &vm, VGPU_SET_MEMORY | VGPU_SET_QUEUE_DEPTH);
            break;
        default:
            code = vgpu_set_vm_pool(db, vm.vm_uuid, random() % 2 ? 'A' : 'B');
        }
        if (code != VGPU_OK && code != VGPU_NOT_FOUND && code != VGPU_INVALID_PARAM) {
            fprintf(stderr, "%s\n", vgpu_db_error());
            _exit(1);
        }
    }
}

static int count(struct vgpu_db *db, const char *sql)
{
    sqlite3_stmt *stmt;
    int result = -1;

    if (db_prepare(db, &stmt, sql, "") == VGPU_OK && sqlite3_step(stmt) == SQLITE_ROW)
        result = sqlite3_column_int(stmt, 0);
    sqlite3_finalize(stmt);
    return result;
}

static int look(const char *path)
{
    struct vgpu_db *db;
    int bad = 0;

    if (vgpu_db_init(&db, path, 0) || vgpu_db_check(db)) {
        fprintf(stderr, "%s\n", vgpu_db_error());
        return 1;
    }
    if (count(db, "SELECT count(*) FROM vms WHERE memory <> queue_depth") != 0) {
        fprintf(stderr, "half of an update is there\n");
        bad = 1;
    }
    if (count(db, "SELECT (SELECT count(*) FROM audit WHERE what = 'register-vm') -"
                  " (SELECT count(*) FROM audit WHERE what = 'remove-vm') -"
                  " (SELECT count(*) FROM vms)") != 0) {
        fprintf(stderr, "VMs and audit table do not agree\n");
        bad = 1;
    }
    if (count(db,
              "SELECT count(*) FROM vms JOIN (SELECT target, new_values, max(id) FROM audit"
              " WHERE json_extract(new_values, '$.memory') IS NOT NULL GROUP BY target) AS a"
              " ON a.target = vm_uuid WHERE memory <> json_extract(new_values, '$.memory')") != 0) {
        fprintf(stderr, "a VM is not as the audit table says\n");
        bad = 1;
    }
    vgpu_db_close(db);
    return bad;
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 30;
    unsigned seed = argc > 2 ? (unsigned)atoi(argv[2]) : (unsigned)time(NULL);
    char dir[] = "/tmp/vgpu-kill-XXXXXX", path[64], command[64];
    struct vgpu_db *db;
    int changes;

    if (!mkdtemp(dir))
        return 1;
    snprintf(path, sizeof(path), "%s/config.db", dir);
    if (vgpu_db_init(&db, path, VGPU_DB_CREATE) || vgpu_db_init_schema(db)) {
        fprintf(stderr, "%s\n", vgpu_db_error());
        return 1;
    }
    vgpu_db_close(db);
    for (int i = 0; i < rounds; i++) {
        int pipes[2], status;
        char byte;
        pid_t pid;

        srandom(seed + (unsigned)i);
        if (pipe(pipes) != 0)
            return 1;
        pid = fork();
        if (pid == 0)
            write_for_ever(path, seed + (unsigned)i, pipes[1]);
        close(pipes[1]);
        if (read(pipes[0], &byte, 1) != 1)
            return 1;
        usleep((useconds_t)(random() % 30000));
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        close(pipes[0]);
        if (!WIFSIGNALED(status) || look(path)) {
            fprintf(stderr, "round %d of seed %u failed; %s is kept\n", i, seed, path);
            return 1;
        }
    }
    if (vgpu_db_init(&db, path, 0))
        return 1;
    changes = count(db, "SELECT count(*) FROM audit");
    vgpu_db_close(db);
    printf("%d kills between %d changes (seed %u): whole every time\n", rounds, changes, seed);
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    return changes > 0 ? system(command) : 1;
}
