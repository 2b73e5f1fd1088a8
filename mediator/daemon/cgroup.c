/* SPDX-License-Identifier: Apache-2.0 */
#include "mediator/daemon/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mediator/common/log.h"

#define CGROUP_PATH (PATH_MAX + 128)

static int write_file(const char *directory, const char *file, const char *text)
{
    char path[CGROUP_PATH];
    ssize_t n;
    int fd, error;

    if (snprintf(path, sizeof(path), "%s/%s", directory, file) >= (int)sizeof(path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    n = write(fd, text, strlen(text));
    error = errno;
    close(fd);
    errno = error;
    return n < 0 ? -1 : 0;
}

/* Where the cgroup2 file system is mounted, and which group of it this process is in. */
static bool own_group(char *out)
{
    char line[PATH_MAX], mount[PATH_MAX] = "", group[PATH_MAX] = "";
    FILE *f = fopen("/proc/self/mounts", "re");

    while (f && fgets(line, sizeof(line), f)) {
        char *save, *where;

        if (!strtok_r(line, " ", &save) || !(where = strtok_r(NULL, " ", &save)))
            continue;
        if (!strcmp(strtok_r(NULL, " ", &save) ?: "", "cgroup2"))
            strcpy(mount, where);
    }
    if (f)
        fclose(f);
    f = fopen("/proc/self/cgroup", "re");
    while (f && fgets(line, sizeof(line), f)) {
        line[strcspn(line, "\n")] = 0;
        if (!strncmp(line, "0::", 3))
            strcpy(group, line + 3);
    }
    if (f)
        fclose(f);
    if (!mount[0] || !group[0])
        return false;
    /* Only a service's own group: a login session's or the host's is not ours to divide. */
    if (strlen(group) < 8 || strcmp(group + strlen(group) - 8, ".service"))
        return false;
    return snprintf(out, PATH_MAX, "%s%s", mount, group) < PATH_MAX;
}

static void remove_stale(const char *root)
{
    DIR *dir = opendir(root);
    struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        if (!strncmp(entry->d_name, "vm-", 3))
            unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR);
    }
    if (dir)
        closedir(dir);
}

void cgroups_init(struct cgroups *cgroups, const char *setting)
{
    static const char *const controllers[] = {"+memory", "+cpu"};
    char daemon_group[CGROUP_PATH], pid[16];

    *cgroups = (struct cgroups){.root = ""};
    if (!strcmp(setting, "off"))
        return;
    if (strcmp(setting, "auto")) {
        snprintf(cgroups->root, sizeof(cgroups->root), "%s", setting);
    } else if (!own_group(cgroups->root)) {
        cgroups->root[0] = 0;
        vgpu_log(VGPU_LOG_INFO, "cgroup_unused",
                 LOG_S("why", "the daemon has no cgroup v2 of its own; workers are not grouped"));
        return;
    }
    if (access(cgroups->root, W_OK) != 0) {
        vgpu_log(VGPU_LOG_INFO, "cgroup_unused", LOG_S("group", cgroups->root),
                 LOG_S("why", strerror(errno)));
        cgroups->root[0] = 0;
        return;
    }
    remove_stale(cgroups->root);
    if (!strcmp(setting, "auto")) {
        snprintf(daemon_group, sizeof(daemon_group), "%s/daemon", cgroups->root);
        snprintf(pid, sizeof(pid), "%d", (int)getpid());
        if (mkdir(daemon_group, 0755) == 0 || errno == EEXIST)
            write_file(daemon_group, "cgroup.procs", pid);
    }
    for (unsigned i = 0; i < sizeof(controllers) / sizeof(controllers[0]); i++) {
        if (write_file(cgroups->root, "cgroup.subtree_control", controllers[i]) != 0)
            vgpu_log(VGPU_LOG_INFO, "cgroup_no_controller", LOG_S("controller", controllers[i] + 1),
                     LOG_S("group", cgroups->root), LOG_S("why", strerror(errno)));
    }
}

static int group_path(const struct cgroups *cgroups, const char *name, char *out)
{
    return snprintf(out, CGROUP_PATH, "%s/vm-%s", cgroups->root, name) < CGROUP_PATH ? 0 : -1;
}

void cgroups_place(struct cgroups *cgroups, const struct config_identity *identity, pid_t pid)
{
    char path[CGROUP_PATH], text[64];

    if (!cgroups->root[0] || group_path(cgroups, identity->name, path) != 0)
        return;
    if (mkdir(path, 0755) != 0 && errno != EEXIST)
        goto complain;
    snprintf(text, sizeof(text), "%d", (int)pid);
    if (write_file(path, "cgroup.procs", text) != 0)
        goto complain;
    if (identity->limits.memory)
        snprintf(text, sizeof(text), "%llu", (unsigned long long)identity->limits.memory);
    else
        strcpy(text, "max");
    if (write_file(path, "memory.max", text) != 0 && identity->limits.memory)
        goto complain;
    if (identity->limits.cpu_percent)
        snprintf(text, sizeof(text), "%u 100000", identity->limits.cpu_percent * 1000);
    else
        strcpy(text, "max 100000");
    if (write_file(path, "cpu.max", text) != 0 && identity->limits.cpu_percent)
        goto complain;
    return;
complain:
    if (!cgroups->complained)
        vgpu_log(VGPU_LOG_WARN, "cgroup_failed", LOG_S("group", path),
                 LOG_S("why", strerror(errno)),
                 LOG_S("effect", "limits on host memory and CPU time are not enforced"));
    cgroups->complained = true;
}

void cgroups_remove(struct cgroups *cgroups, const char *name)
{
    char path[CGROUP_PATH];

    if (cgroups->root[0] && group_path(cgroups, name, path) == 0)
        rmdir(path);
}
