/* SPDX-License-Identifier: Apache-2.0 */
/*
 * faults.c - makes a kernel launch go wrong on purpose
 *
 * VGPU_SOFT_FAULT=KIND[:after=N] lets N kernels run and strikes at the next. VGPU_SOFT_FAULT_FILE
 * names a file with the same text; it is read at every launch, and text that differs from the last
 * read arms the switch anew, so that a test can trigger a fault in a process that already runs.
 */
#include "driver.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum fault_kind armed;
static unsigned long long countdown; /* kernels that still run unharmed */
static const char *file_path;
static int file_fd = -1;
static char file_last[64];

static void arm(const char *text, const char *source)
{
    static const struct {
        const char *name;
        enum fault_kind kind;
    } kinds[] = {{"hang", FAULT_HANG}, {"illegal", FAULT_ILLEGAL}, {"vanish", FAULT_VANISH}};
    size_t len = strcspn(text, ": \t\r\n");
    const char *rest = text + len;

    armed = FAULT_NONE;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strlen(kinds[i].name) == len && !strncmp(text, kinds[i].name, len))
            armed = kinds[i].kind;
    countdown = 0;
    if (armed && *rest == ':') {
        char *end = NULL;

        if (!strncmp(rest, ":after=", 7))
            countdown = strtoull(rest + 7, &end, 10);
        if (!end || end == rest + 7 || strspn(end, " \t\r\n") != strlen(end))
            armed = FAULT_NONE;
    }
    if (!armed && len)
        soft_log("%s: '%.40s' is not hang, illegal or vanish, with :after=N", source, text);
}

void fault_switch_init(void)
{
    const char *text = getenv("VGPU_SOFT_FAULT");

    file_path = getenv("VGPU_SOFT_FAULT_FILE");
    /* Opened now when it exists, because a sandboxed process may not open files later. */
    if (file_path && *file_path)
        file_fd = open(file_path, O_RDONLY | O_CLOEXEC);
    else
        file_path = NULL;
    if (text && *text)
        arm(text, "VGPU_SOFT_FAULT");
}

enum fault_kind fault_switch_next(void)
{
    enum fault_kind kind;

    if (file_path) {
        char text[sizeof(file_last)] = "";
        ssize_t got;

        if (file_fd < 0)
            file_fd = open(file_path, O_RDONLY | O_CLOEXEC);
        got = file_fd < 0 ? 0 : pread(file_fd, text, sizeof(text) - 1, 0);
        text[got > 0 ? got : 0] = '\0';
        if (strcmp(text, file_last)) {
            memcpy(file_last, text, sizeof(text));
            if (*text)
                arm(text, "VGPU_SOFT_FAULT_FILE");
        }
    }
    if (!armed)
        return FAULT_NONE;
    if (countdown) {
        countdown--;
        return FAULT_NONE;
    }
    kind = armed;
    armed = FAULT_NONE;
    return kind;
}
