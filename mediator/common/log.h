/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.h - one structured line per event
 *
 *   2026-11-21T10:20:30.123Z info channel_open vm=7 pool=A process="my prog"
 *
 * Values that hold anything but plain printable characters are quoted and escaped, so a guest
 * cannot forge lines or fields. Each (event, vm) has a token bucket: 50 lines at once, 10 a second
 * after that; the next line that passes says suppressed=N. Thread-safe; one write() per line.
 *
 *   vgpu_log(VGPU_LOG_INFO, "channel_open", LOG_U("vm", id), LOG_S("process", name));
 */
#ifndef VGPU_COMMON_LOG_H
#define VGPU_COMMON_LOG_H

#include <stdint.h>

enum vgpu_log_level { VGPU_LOG_ERROR, VGPU_LOG_WARN, VGPU_LOG_INFO, VGPU_LOG_DEBUG };

struct vgpu_log_field {
    const char *key; /* NULL ends the list */
    char kind;       /* 's', 'u', 'i', 'x' */
    union {
        const char *s; /* NULL prints as "-" */
        uint64_t u;
        int64_t i;
    };
};

#define LOG_S(name, value) ((struct vgpu_log_field){.key = (name), .kind = 's', .s = (value)})
#define LOG_U(name, value)                                                                         \
    ((struct vgpu_log_field){.key = (name), .kind = 'u', .u = (uint64_t)(value)})
#define LOG_I(name, value)                                                                         \
    ((struct vgpu_log_field){.key = (name), .kind = 'i', .i = (int64_t)(value)})
#define LOG_X(name, value)                                                                         \
    ((struct vgpu_log_field){.key = (name), .kind = 'x', .u = (uint64_t)(value)})

/* Lines below this level are dropped; INFO at start. */
void vgpu_log_set_level(enum vgpu_log_level level);
/* Where lines go; borrowed, 2 at start. */
void vgpu_log_set_fd(int fd);
/* Opens path for appending and logs there. 0, or -1 with errno and the old target kept. */
int vgpu_log_open(const char *path);
/* A field put on every line of this process, such as worker=4711; key and value are copied. */
void vgpu_log_set_context(const char *key, const char *value);

void vgpu_log_fields(enum vgpu_log_level level, const char *event,
                     const struct vgpu_log_field *fields);

#define vgpu_log(level, event, ...)                                                                \
    vgpu_log_fields(level, event,                                                                  \
                    (const struct vgpu_log_field[]){__VA_ARGS__ __VA_OPT__(, ){.key = NULL}})

#endif
