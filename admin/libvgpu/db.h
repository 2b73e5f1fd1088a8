/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db.h - what the files of libvgpu share: statements, transactions, errors
 *
 * Every function that returns int returns a VGPU_* code and, when that is not VGPU_OK, has set the
 * line that vgpu_db_error() gives.
 */
#ifndef VGPU_DB_INTERNAL_H
#define VGPU_DB_INTERNAL_H

#include <limits.h>
#include <sqlite3.h>
#include <sys/types.h>

#include "admin/libvgpu/vgpu_db.h"

struct vgpu_db {
    sqlite3 *sql;
    char path[PATH_MAX];
    char actor[VGPU_NAME_SIZE];
    int version; /* PRAGMA user_version when last looked at */
    bool readonly, looked;
    int64_t data_version;
    dev_t device;
    ino_t inode;
};

/* Sets the error line and returns code. */
__attribute__((format(printf, 2, 3))) int db_fail(int code, const char *format, ...);
/* Explains what SQLite last said about this handle. */
int db_fail_sql(struct vgpu_db *db, int rc);
/* VGPU_OK when the schema is the current one. */
int db_ready(struct vgpu_db *db);
/* binds: one letter per value, 't' const char *, 'i' int64_t. */
int db_prepare(struct vgpu_db *db, sqlite3_stmt **stmt, const char *sql, const char *binds, ...);
/* Runs a statement that returns no rows. */
int db_run(struct vgpu_db *db, const char *sql, const char *binds, ...);
/* Takes the write lock, waiting for another writer. */
int db_begin(struct vgpu_db *db);
/* Commits when code is VGPU_OK, else rolls back; returns the outcome. */
int db_end(struct vgpu_db *db, int code);
/* Copies a column's text, cut to size. */
void db_text(sqlite3_stmt *stmt, int column, char *out, size_t size);

/* Opens without looking at the schema. */
int db_open(struct vgpu_db **db, const char *path, unsigned flags);
/* Brings the schema from the version it has to version `to`, in one transaction. */
int db_migrate(struct vgpu_db *db, int to);

#endif
