/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schema.h - the tables of the configuration database and how older ones become current
 *
 * schema_steps[n] turns version n into n + 1, so that a new file and an upgraded one go through the
 * same statements. A step that has been released is never edited; a change is a new step. The
 * version is PRAGMA user_version, and PRAGMA application_id tells our files from others.
 */
#ifndef VGPU_DB_SCHEMA_H
#define VGPU_DB_SCHEMA_H

#define SCHEMA_APPLICATION_ID 0x76475055 /* "vGPU" */

extern const char *const schema_steps[];

#endif
