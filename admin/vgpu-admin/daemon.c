/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "admin/vgpu-admin/admin.h"

#define ANSWER_MAX (64u << 20)

json_t *daemon_stats(struct context *c, char *error, size_t size)
{
    const char *directory = c->value[OPT_RUN_DIR] ? c->value[OPT_RUN_DIR] : getenv("VGPU_RUN_DIR");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = 5};
    char *text = NULL, *larger;
    size_t used = 0, room = 0;
    json_t *root = NULL;
    json_error_t why;
    ssize_t n = -1;
    int fd;

    if (!directory || !directory[0])
        directory = "/run/vgpu";
    if (snprintf(address.sun_path, sizeof(address.sun_path), "%s/control.sock", directory) >=
        (int)sizeof(address.sun_path)) {
        snprintf(error, size, "the path of the run directory is too long");
        return NULL;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        snprintf(error, size, "the mediator does not answer at %s: %s", address.sun_path,
                 strerror(errno));
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    if (send(fd, "stats\n", 6, MSG_NOSIGNAL) == 6) {
        do {
            if (room - used < 65536) {
                room += 262144;
                larger = room <= ANSWER_MAX ? realloc(text, room) : NULL;
                if (!larger)
                    break;
                text = larger;
            }
            n = read(fd, text + used, room - used);
            used += n > 0 ? (size_t)n : 0;
        } while (n > 0);
    }
    close(fd);
    if (n == 0)
        root = json_loadb(text, used, 0, &why);
    if (!root)
        snprintf(error, size, "the mediator's answer at %s cannot be understood", address.sun_path);
    free(text);
    return root;
}

bool daemon_quarantines(struct context *c, uint32_t vm_id)
{
    char error[512];
    json_t *stats = daemon_stats(c, error, sizeof(error)), *entry;
    bool result = false;
    size_t i;

    json_array_foreach(json_object_get(stats, "vms"), i, entry)
    {
        const char *backend = json_string_value(json_object_get(entry, "backend"));

        if (json_integer_value(json_object_get(entry, "vm_id")) == vm_id && backend &&
            !strcmp(backend, "device") && json_is_true(json_object_get(entry, "quarantined")))
            result = true;
    }
    json_decref(stats);
    return result;
}
