/* SPDX-License-Identifier: Apache-2.0 */
/* entries.h - the table behind cuGetProcAddress; sorted by name, then version */
#ifndef VGPU_SOFTGPU_ENTRIES_H
#define VGPU_SOFTGPU_ENTRIES_H

#include <stddef.h>

struct soft_entry {
    const char *name;
    int version;
    void (*symbol)(void);
    void (*own_stream)(void); /* NULL: the call has no stream */
    int own_stream_version;
};

extern const struct soft_entry soft_entries[];
extern const size_t soft_entry_count;

#endif
