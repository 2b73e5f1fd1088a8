/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_db.h - VMs, pools, limits and scheduler settings from the configuration database
 *
 * The database is looked at, not held: it may appear, be replaced or be damaged at any time. What
 * was read last stays in force while it cannot be read, and one line is logged about that. Values
 * that the daemon does not know how to enforce (queue depth, a pool's GPU) are left alone.
 *
 * A VM's name is its UUID. VMs in quarantine and VMs of a pool that is not enabled are not given:
 * to the daemon they are not there.
 */
#ifndef VGPU_CONFIG_DB_H
#define VGPU_CONFIG_DB_H

#include "mediator/daemon/config.h"

#define CONFIG_DB_POLL_NS 500000000ull

struct config_db;

/* NULL: no memory. The file need not exist. */
struct config_db *config_db_new(const char *path);
void config_db_free(struct config_db *db);
/* Reads the file when it has changed since; whether what the calls below give is new. */
bool config_db_poll(struct config_db *db);
/* Puts scheduler settings and pool weights over what config has; no-op before the first read. */
void config_db_settings(const struct config_db *db, struct config *config);
/* How many VMs there are, and the one at index; limits not on record are the defaults. */
size_t config_db_count(const struct config_db *db);
void config_db_vm(const struct config_db *db, size_t index, const struct config_limits *defaults,
                  struct config_vm *vm);

#endif
