/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup.h - a cgroup v2 per VM, so that host memory and CPU time of its workers can be bounded
 *
 * Groups are ROOT/vm-NAME. Best effort: where cgroups are not writable the daemon works without,
 * and says so once.
 */
#ifndef VGPU_CGROUP_H
#define VGPU_CGROUP_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "mediator/daemon/config.h"

struct cgroups {
    char root[PATH_MAX]; /* empty: not used */
    bool complained;
};

/* setting is config.cgroup. With "auto" the daemon moves itself into ROOT/daemon, as cgroup v2
 * wants for a group that has children with controllers. Removes what an earlier daemon left. */
void cgroups_init(struct cgroups *cgroups, const char *setting);
/* Puts a process into the VM's group and sets the group's limits. */
void cgroups_place(struct cgroups *cgroups, const struct config_identity *identity, pid_t pid);
/* Removes the VM's group; it must be empty. */
void cgroups_remove(struct cgroups *cgroups, const char *name);

#endif
