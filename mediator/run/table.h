/* SPDX-License-Identifier: Apache-2.0 */
/* table.h - the mediator's statistics for people */
#ifndef VGPU_RUN_TABLE_H
#define VGPU_RUN_TABLE_H

#include <stdio.h>

#include <jansson.h>

/* Prints one aligned table per VM that has made calls, by GPU time and then by number of calls. */
void table_print(FILE *out, const json_t *stats);

/* "1.5 ms", "12 MiB": three digits at most before the unit; out has 16 bytes. */
void table_time(char *out, double ns);
void table_bytes(char *out, double bytes);

#endif
