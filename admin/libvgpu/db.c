/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/libvgpu/db.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/libvgpu/schema.h"

#define BUSY_MS 5000

static _Thread_local char last_error[PATH_MAX + 512];

const char *vgpu_db_error(void)
{
    return last_error[0] ? last_error : "no error";
}

int db_fail(int code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(last_error, sizeof(last_error), format, args);
    va_end(args);
    for (char *c = last_error; *c; c++) {
        if (*c == '\n')
            *c = ' ';
    }
    return code;
}

int db_fail_sql(struct vgpu_db *db, int rc)
{
    int extended = db->sql ? sqlite3_extended_errcode(db->sql) : rc;
    int error = db->sql ? sqlite3_system_errno(db->sql) : 0;

    switch (rc & 0xff) {
    case SQLITE_FULL:
        return db_fail(VGPU_DB_ERROR,
                       "%s: the disk is full; nothing was changed, free some space and try again",
                       db->path);
    case SQLITE_READONLY:
        return db_fail(VGPU_DB_ERROR,
                       "%s: may not be written; run as root, or as the owner of the file and of "
                       "its directory",
                       db->path);
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_CANTOPEN:
        return db_fail(VGPU_DB_ERROR, "%s: cannot be opened: %s; run as root, or name another file",
                       db->path, error ? strerror(error) : "no access to it or to its directory");
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return db_fail(VGPU_DB_ERROR,
                       "%s: is damaged; put a backup in its place with: vgpu-admin db restore FILE",
                       db->path);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return db_fail(VGPU_DB_ERROR,
                       "%s: another program has held it for %d s; nothing was changed, try again",
                       db->path, BUSY_MS / 1000);
    case SQLITE_NOMEM:
        return db_fail(VGPU_ERROR, "out of memory");
    case SQLITE_CONSTRAINT:
        return db_fail(VGPU_INVALID_PARAM, "the database refuses the value: %s",
                       sqlite3_errmsg(db->sql));
    case SQLITE_IOERR:
        if (extended == SQLITE_IOERR_SHMSIZE || error == ENOSPC || error == EDQUOT ||
            error == EFBIG)
            return db_fail_sql(db, SQLITE_FULL);
        return db_fail(VGPU_DB_ERROR, "%s: cannot be read or written: %s", db->path,
                       error ? strerror(error) : sqlite3_errmsg(db->sql));
    default:
        return db_fail(VGPU_DB_ERROR, "%s: %s", db->path,
                       db->sql ? sqlite3_errmsg(db->sql) : sqlite3_errstr(rc));
    }
}

/* ---- statements ---- */

static int prepare(struct vgpu_db *db, sqlite3_stmt **stmt, const char *sql, const char *binds,
                   va_list args)
{
    int rc = sqlite3_prepare_v2(db->sql, sql, -1, stmt, NULL);

    for (int i = 0; rc == SQLITE_OK && binds[i]; i++) {
        if (binds[i] == 't')
            rc = sqlite3_bind_text(*stmt, i + 1, va_arg(args, const char *), -1, SQLITE_TRANSIENT);
        else
            rc = sqlite3_bind_int64(*stmt, i + 1, va_arg(args, int64_t));
    }
    if (rc == SQLITE_OK)
        return VGPU_OK;
    rc = db_fail_sql(db, rc);
    sqlite3_finalize(*stmt);
    *stmt = NULL;
    return rc;
}

int db_prepare(struct vgpu_db *db, sqlite3_stmt **stmt, const char *sql, const char *binds, ...)
{
    va_list args;
    int code;

    va_start(args, binds);
    code = prepare(db, stmt, sql, binds, args);
    va_end(args);
    return code;
}

int db_run(struct vgpu_db *db, const char *sql, const char *binds, ...)
{
    sqlite3_stmt *stmt;
    va_list args;
    int code, rc;

    va_start(args, binds);
    code = prepare(db, &stmt, sql, binds, args);
    va_end(args);
    if (code)
        return code;
    rc = sqlite3_step(stmt);
    if (rc != SQLITE_DONE && rc != SQLITE_ROW)
        code = db_fail_sql(db, rc);
    sqlite3_finalize(stmt);
    return code;
}

int db_begin(struct vgpu_db *db)
{
    return db_run(db, "BEGIN IMMEDIATE", "");
}

int db_end(struct vgpu_db *db, int code)
{
    if (code == VGPU_OK)
        code = db_run(db, "COMMIT", "");
    /* A failed COMMIT may leave the transaction open; the error line stays the first one's. */
    if (!sqlite3_get_autocommit(db->sql))
        sqlite3_exec(db->sql, "ROLLBACK", NULL, NULL, NULL);
    return code;
}

void db_text(sqlite3_stmt *stmt, int column, char *out, size_t size)
{
    const char *text = (const char *)sqlite3_column_text(stmt, column);

    snprintf(out, size, "%s", text ? text : "");
}

static int read_integer(struct vgpu_db *db, const char *sql, int64_t *value)
{
    sqlite3_stmt *stmt;
    int code = db_prepare(db, &stmt, sql, ""), rc;

    if (code)
        return code;
    rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        *value = sqlite3_column_int64(stmt, 0);
    else
        code = db_fail_sql(db, rc);
    sqlite3_finalize(stmt);
    return code;
}

/* ---- opening ---- */

static int resolve(const char *path, char out[PATH_MAX])
{
    if (!path)
        path = getenv(VGPU_DB_ENVIRONMENT);
    if (!path || !path[0])
        path = VGPU_DB_DEFAULT_PATH;
    if (snprintf(out, PATH_MAX, "%s", path) >= PATH_MAX - 32)
        return db_fail(VGPU_INVALID_PARAM, "the path of the database is too long");
    return VGPU_OK;
}

static void find_actor(char *out)
{
    const char *sudo = getenv("SUDO_USER");
    struct passwd *user = getpwuid(getuid());

    if (getuid() == 0 && sudo && sudo[0])
        snprintf(out, VGPU_NAME_SIZE, "%s", sudo);
    else if (user)
        snprintf(out, VGPU_NAME_SIZE, "%s", user->pw_name);
    else
        snprintf(out, VGPU_NAME_SIZE, "uid %u", (unsigned)getuid());
}

void vgpu_db_set_actor(struct vgpu_db *db, const char *who)
{
    snprintf(db->actor, sizeof(db->actor), "%s", who);
}

static int open_file(struct vgpu_db *db, unsigned flags)
{
    struct stat st;
    int fd, rc;

    if (stat(db->path, &st) != 0) {
        if (errno != ENOENT)
            return db_fail(VGPU_DB_ERROR, "%s: %s; run as root, or name another file", db->path,
                           strerror(errno));
        if (!(flags & VGPU_DB_CREATE))
            return db_fail(VGPU_DB_ERROR, "%s does not exist; create it with: vgpu-admin db init",
                           db->path);
        fd = open(db->path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
        if (fd < 0)
            return db_fail(VGPU_DB_ERROR, "%s: cannot be created: %s", db->path, strerror(errno));
        close(fd);
    } else if (!S_ISREG(st.st_mode)) {
        return db_fail(VGPU_DB_ERROR, "%s is not a file", db->path);
    } else if (access(db->path, R_OK) != 0) {
        return db_fail(VGPU_DB_ERROR, "%s: %s; run as root, or name another file", db->path,
                       strerror(errno));
    }
    db->readonly = flags & VGPU_DB_READONLY;
    if (stat(db->path, &st) == 0) {
        db->device = st.st_dev;
        db->inode = st.st_ino;
    }
    rc = sqlite3_open_v2(
        db->path, &db->sql,
        (db->readonly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE) | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK)
        return db_fail_sql(db, rc);
    sqlite3_extended_result_codes(db->sql, 0);
    sqlite3_busy_timeout(db->sql, BUSY_MS);
    sqlite3_db_config(db->sql, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    rc = sqlite3_exec(db->sql,
                      "PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL;"
                      "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;",
                      NULL, NULL, NULL);
    return rc == SQLITE_OK ? VGPU_OK : db_fail_sql(db, rc);
}

/* Refuses files that are somebody else's. */
static int look_at_version(struct vgpu_db *db)
{
    int64_t application = 0, version = 0, tables = 0;
    int code = read_integer(db, "PRAGMA user_version", &version);

    if (!code)
        code = read_integer(db, "PRAGMA application_id", &application);
    if (!code)
        code = read_integer(db, "SELECT count(*) FROM sqlite_schema", &tables);
    if (code)
        return code;
    if (application != SCHEMA_APPLICATION_ID && (application || version || tables))
        return db_fail(VGPU_DB_ERROR, "%s is a database of some other program", db->path);
    db->version = (int)version;
    return VGPU_OK;
}

int db_open(struct vgpu_db **out, const char *path, unsigned flags)
{
    struct vgpu_db *db = calloc(1, sizeof(*db));
    int code;

    *out = NULL;
    if (!db)
        return db_fail(VGPU_ERROR, "out of memory");
    find_actor(db->actor);
    code = resolve(path, db->path);
    if (!code)
        code = open_file(db, flags);
    if (code)
        vgpu_db_close(db);
    else
        *out = db;
    return code;
}

int vgpu_db_init(struct vgpu_db **db, const char *path, unsigned flags)
{
    int code;

    if (!db)
        return db_fail(VGPU_INVALID_PARAM, "vgpu_db_init: no place for the handle");
    code = db_open(db, path, flags);
    if (!code)
        code = look_at_version(*db);
    if (code) {
        vgpu_db_close(*db);
        *db = NULL;
    }
    return code;
}

void vgpu_db_close(struct vgpu_db *db)
{
    if (!db)
        return;
    sqlite3_close(db->sql);
    free(db);
}

int vgpu_db_schema_version(struct vgpu_db *db, int *version)
{
    int code = db && version ? look_at_version(db)
                             : db_fail(VGPU_INVALID_PARAM, "vgpu_db_schema_version: no handle");

    if (!code)
        *version = db->version;
    return code;
}

int vgpu_db_changed(struct vgpu_db *db, bool *changed)
{
    int64_t version = 0;
    struct stat st;
    int code;

    if (!db || !changed)
        return db_fail(VGPU_INVALID_PARAM, "vgpu_db_changed: no handle");
    if (stat(db->path, &st) != 0)
        return db_fail(VGPU_DB_ERROR, "%s: %s", db->path, strerror(errno));
    code = read_integer(db, "PRAGMA data_version", &version);
    if (code)
        return code;
    *changed = !db->looked || version != db->data_version || st.st_ino != db->inode ||
               st.st_dev != db->device;
    db->looked = true;
    db->data_version = version;
    return VGPU_OK;
}

static int version_is_newer(struct vgpu_db *db)
{
    return db_fail(VGPU_DB_ERROR,
                   "%s was written by a newer version (schema %d, this one knows up to %d); "
                   "upgrade this program",
                   db->path, db->version, VGPU_DB_SCHEMA_VERSION);
}

int db_ready(struct vgpu_db *db)
{
    if (!db)
        return db_fail(VGPU_INVALID_PARAM, "no database handle");
    if (db->version == VGPU_DB_SCHEMA_VERSION)
        return VGPU_OK;
    /* Another administrator may have brought it up to date since. */
    if (look_at_version(db))
        return VGPU_DB_ERROR;
    if (db->version > VGPU_DB_SCHEMA_VERSION)
        return version_is_newer(db);
    if (db->version < VGPU_DB_SCHEMA_VERSION)
        return db_fail(VGPU_DB_ERROR, "%s %s; run: vgpu-admin db init", db->path,
                       db->version ? "is of an older version" : "is empty");
    return VGPU_OK;
}

int db_migrate(struct vgpu_db *db, int to)
{
    char text[96];
    int code = db_begin(db);

    if (code)
        return code;
    /* Under the write lock, so of two administrators one does it and the other finds it done. */
    code = look_at_version(db);
    if (!code && db->version > VGPU_DB_SCHEMA_VERSION)
        code = version_is_newer(db);
    while (!code && db->version < to) {
        int rc = sqlite3_exec(db->sql, schema_steps[db->version], NULL, NULL, NULL);

        if (rc != SQLITE_OK)
            code = db_fail_sql(db, rc);
        else
            db->version++;
    }
    if (!code) {
        snprintf(text, sizeof(text), "PRAGMA application_id = %d", SCHEMA_APPLICATION_ID);
        code = db_run(db, text, "");
    }
    if (!code) {
        snprintf(text, sizeof(text), "PRAGMA user_version = %d", db->version);
        code = db_run(db, text, "");
    }
    code = db_end(db, code);
    if (code)
        db->version = 0;
    return code;
}

/* The busy handler does not serve the switch to the write-ahead log, which needs the file alone. */
static int use_wal(struct vgpu_db *db)
{
    int rc = SQLITE_OK;

    for (int waited = 0; waited < BUSY_MS; waited += 20) {
        rc = sqlite3_exec(db->sql, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);
        if (rc != SQLITE_BUSY && rc != SQLITE_LOCKED)
            break;
        usleep(20000);
    }
    return rc == SQLITE_OK ? VGPU_OK : db_fail_sql(db, rc);
}

int vgpu_db_init_schema(struct vgpu_db *db)
{
    int code;

    if (!db)
        return db_fail(VGPU_INVALID_PARAM, "no database handle");
    code = look_at_version(db);
    if (code)
        return code;
    if (db->version > VGPU_DB_SCHEMA_VERSION)
        return version_is_newer(db);
    if (db->version < VGPU_DB_SCHEMA_VERSION)
        code = db_migrate(db, VGPU_DB_SCHEMA_VERSION);
    return code ? code : use_wal(db);
}

/* ---- check, backup, restore ---- */

int vgpu_db_check(struct vgpu_db *db)
{
    sqlite3_stmt *stmt;
    char text[256] = "";
    int code = db_ready(db), rc;

    if (code)
        return code;
    code = db_prepare(db, &stmt, "PRAGMA integrity_check(1)", "");
    if (code)
        return code;
    rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        db_text(stmt, 0, text, sizeof(text));
    else
        code = db_fail_sql(db, rc);
    sqlite3_finalize(stmt);
    if (code)
        return code;
    if (strcmp(text, "ok"))
        return db_fail(VGPU_DB_ERROR,
                       "%s: is damaged (%.200s); put a backup in its place with: vgpu-admin db "
                       "restore FILE",
                       db->path, text);
    code = db_prepare(db, &stmt, "PRAGMA foreign_key_check", "");
    if (code)
        return code;
    rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        code = db_fail(VGPU_DB_ERROR, "%s: a VM belongs to a pool that does not exist; %s",
                       db->path, "put a backup in its place with: vgpu-admin db restore FILE");
    else if (rc != SQLITE_DONE)
        code = db_fail_sql(db, rc);
    sqlite3_finalize(stmt);
    return code;
}

/* One transaction in the destination: its readers see the old content or the new. */
static int copy_all(struct vgpu_db *to, struct vgpu_db *from)
{
    sqlite3_backup *backup = sqlite3_backup_init(to->sql, "main", from->sql, "main");
    int rc, waited = 0;

    if (!backup)
        return db_fail_sql(to, sqlite3_errcode(to->sql));
    while ((rc = sqlite3_backup_step(backup, -1)) == SQLITE_BUSY || rc == SQLITE_LOCKED) {
        if (waited >= BUSY_MS)
            break;
        waited += 20;
        usleep(20000);
    }
    sqlite3_backup_finish(backup);
    return rc == SQLITE_DONE ? VGPU_OK : db_fail_sql(to, rc);
}

static int sync_path(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int result = fd < 0 ? -1 : fsync(fd);

    if (fd >= 0)
        close(fd);
    return result;
}

static int publish(const char *temporary, const char *name)
{
    char directory[PATH_MAX];
    char *slash;

    if (sync_path(temporary) != 0 || rename(temporary, name) != 0)
        return db_fail(VGPU_ERROR, "%s: %s", name, strerror(errno));
    snprintf(directory, sizeof(directory), "%s", name);
    slash = strrchr(directory, '/');
    if (slash)
        slash[slash == directory] = 0;
    sync_path(slash ? directory : ".");
    return VGPU_OK;
}

int vgpu_db_backup(struct vgpu_db *db, const char *destination)
{
    char temporary[PATH_MAX];
    struct vgpu_db *copy = NULL;
    struct stat ours, theirs;
    int code;

    if (!db || !destination || !destination[0])
        return db_fail(VGPU_INVALID_PARAM, "a backup needs the name of a file");
    code = vgpu_db_check(db);
    if (code)
        return code;
    if (stat(db->path, &ours) == 0 && stat(destination, &theirs) == 0 &&
        ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino)
        return db_fail(VGPU_INVALID_PARAM, "%s is the database itself; name another file",
                       destination);
    if (snprintf(temporary, sizeof(temporary), "%s.%d.tmp", destination, (int)getpid()) >=
        (int)sizeof(temporary))
        return db_fail(VGPU_INVALID_PARAM, "the name of the backup is too long");
    unlink(temporary);
    code = db_open(&copy, temporary, VGPU_DB_CREATE);
    if (!code)
        code = copy_all(copy, db);
    /* Without the write-ahead log a backup is a single file that can be copied around. */
    if (!code)
        code = db_run(copy, "PRAGMA journal_mode = DELETE", "");
    if (!code)
        code = vgpu_db_check(copy);
    vgpu_db_close(copy);
    if (!code)
        code = publish(temporary, destination);
    if (code)
        unlink(temporary);
    return code;
}

static int set_aside(const char *path)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    char from[PATH_MAX + 8], to[PATH_MAX + 32];

    for (unsigned i = 0; i < 3; i++) {
        snprintf(from, sizeof(from), "%s%s", path, suffixes[i]);
        snprintf(to, sizeof(to), "%s.damaged%s", path, suffixes[i]);
        if (rename(from, to) != 0 && errno != ENOENT)
            return db_fail(VGPU_DB_ERROR, "%s: cannot be set aside: %s", from, strerror(errno));
    }
    return VGPU_OK;
}

int vgpu_db_restore(const char *path, const char *backup)
{
    char target[PATH_MAX], saved[PATH_MAX + 32], temporary[PATH_MAX + 32];
    struct vgpu_db *from = NULL, *to = NULL;
    int code = resolve(path, target);

    if (!code && (!backup || !backup[0]))
        code = db_fail(VGPU_INVALID_PARAM, "name the backup to restore");
    if (!code)
        code = vgpu_db_init(&from, backup, 0);
    /* An old backup is checked as it is now, and brought up to date once it is in place. */
    if (!code && from->version > 0 && from->version < VGPU_DB_SCHEMA_VERSION) {
        struct vgpu_db *upgraded = NULL;

        snprintf(temporary, sizeof(temporary), "%s.%d.tmp", target, (int)getpid());
        unlink(temporary);
        code = db_open(&upgraded, temporary, VGPU_DB_CREATE);
        if (!code)
            code = copy_all(upgraded, from);
        if (!code)
            code = db_migrate(upgraded, VGPU_DB_SCHEMA_VERSION);
        unlink(temporary); /* stays readable through the handle */
        vgpu_db_close(from);
        from = upgraded;
    }
    if (!code)
        code = vgpu_db_check(from);
    if (code) {
        vgpu_db_close(from);
        return code;
    }
    if (access(target, F_OK) == 0) {
        snprintf(saved, sizeof(saved), "%s.before-restore", target);
        code = vgpu_db_init(&to, target, 0);
        if (!code)
            code = vgpu_db_backup(to, saved);
        if (code) {
            bool damaged = strstr(vgpu_db_error(), "is damaged") ||
                           strstr(vgpu_db_error(), "is empty") ||
                           strstr(vgpu_db_error(), "is of an older version");

            vgpu_db_close(to);
            to = NULL;
            code = damaged ? set_aside(target) : code;
        }
    }
    if (!code && !to) {
        /* No file yet: it gets its name when it is complete. */
        snprintf(temporary, sizeof(temporary), "%s.%d.tmp", target, (int)getpid());
        unlink(temporary);
        code = db_open(&to, temporary, VGPU_DB_CREATE);
        if (!code)
            code = copy_all(to, from);
        if (!code)
            code = db_run(to, "PRAGMA journal_mode = DELETE", "");
        vgpu_db_close(to);
        to = NULL;
        if (!code)
            code = publish(temporary, target);
        if (code)
            unlink(temporary);
        if (!code)
            code = vgpu_db_init(&to, target, 0);
    } else if (!code) {
        code = copy_all(to, from);
    }
    vgpu_db_close(from);
    if (!code) {
        code = vgpu_db_init_schema(to);
        if (!code)
            code = db_run(to,
                          "INSERT INTO audit (who, what, target, new_values) VALUES "
                          "(?1, 'restore', 'database', json_object('from', ?2))",
                          "tt", to->actor, backup);
    }
    vgpu_db_close(to);
    return code;
}
