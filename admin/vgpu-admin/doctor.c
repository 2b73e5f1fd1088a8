/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/vgpu-admin/admin.h"
#include "admin/vgpu-admin/hypervisor.h"

enum verdict { OK, WARNING, FAULT };

struct report {
    struct context *c;
    json_t *lines;
    unsigned faults, warnings;
};

static const char *const verdicts[] = {"ok", "warning", "fault"};

/* help: what to do; NULL when all is well. */
static __attribute__((format(printf, 5, 6))) void line(struct report *r, const char *what,
                                                       enum verdict verdict, const char *help,
                                                       const char *format, ...)
{
    char text[1200];
    json_t *found;
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    r->faults += verdict == FAULT;
    r->warnings += verdict == WARNING;
    found = json_string(text);
    json_array_append_new(r->lines, json_pack("{s:s, s:s, s:o, s:s}", "what", what, "verdict",
                                              verdicts[verdict], "found",
                                              found ? found : json_string("not UTF-8"), "help",
                                              help ? help : ""));
    say(r->c, "%-8s %-11s %s", verdicts[verdict], what, text);
    if (help)
        say(r->c, "%-8s %-11s   -> %s", "", "", help);
}

/* The first line of a small file; false when it cannot be read. */
static bool read_line(const char *path, char *out, size_t size)
{
    FILE *f = fopen(path, "re");
    bool got = f && fgets(out, (int)size, f);

    if (f)
        fclose(f);
    if (got)
        out[strcspn(out, "\n")] = 0;
    return got;
}

static void look_at_database(struct report *r)
{
    struct context *c = r->c;
    struct vgpu_vm *vms = NULL;
    size_t count = 0;
    int code = vgpu_db_init(&c->db, c->value[OPT_DB], VGPU_DB_READONLY);

    if (!code)
        code = vgpu_db_check(c->db);
    if (!code)
        code = vgpu_list_vms(c->db, NULL, &vms, &count);
    if (code) {
        line(r, "database", FAULT, "the message says what to do", "%s", vgpu_db_error());
        return;
    }
    line(r, "database", OK, NULL, "whole, %zu VMs", count);
    for (size_t i = 0; i < count; i++) {
        if (vms[i].quarantined)
            line(r, "quarantine", WARNING,
                 "vgpu-admin release lets it work again, once the reason is gone", "VM %s (%s): %s",
                 vms[i].vm_uuid, vms[i].name, vms[i].quarantine_reason);
    }
    free(vms);
}

static void look_at_mediator(struct report *r)
{
    char error[512];
    json_t *stats = daemon_stats(r->c, error, sizeof(error)), *gpu;
    const char *text;

    if (!stats) {
        line(r, "mediator", FAULT, "start it: systemctl start vgpu-mediatord", "%s", error);
        return;
    }
    line(r, "mediator", OK, NULL, "answers");
    gpu = json_object_get(stats, "gpu");
    text = json_string_value(json_object_get(gpu, "failure"));
    if (text)
        line(r, "GPU", FAULT, "see the mediator's log; nvidia-smi shows whether the driver works",
             "%s", text);
    else if (!json_is_true(json_object_get(gpu, "ready")))
        line(r, "GPU", WARNING, "try again in a few seconds", "the driver is still being loaded");
    else {
        text = json_string_value(json_object_get(gpu, "device"));
        line(r, "GPU", OK, NULL, "%s, driver library %s", text ? text : "unknown",
             json_string_value(json_object_get(gpu, "driver")));
    }
    json_decref(stats);
}

static void look_at_driver(struct report *r)
{
    char text[512];

    if (read_line("/proc/driver/nvidia/version", text, sizeof(text)))
        line(r, "driver", OK, NULL, "%s", text);
    else
        line(r, "driver", WARNING,
             "without it the mediator uses the software GPU: install NVIDIA's driver, modprobe "
             "nvidia",
             "NVIDIA's kernel driver is not loaded");
}

static void look_at_device(struct report *r)
{
    const char *qemu = getenv("VGPU_QEMU");
    const char *argv[] = {qemu && qemu[0] ? qemu
                          : access("/usr/lib64/xen/bin/qemu-system-i386", X_OK) == 0
                              ? "/usr/lib64/xen/bin/qemu-system-i386"
                              : "qemu-system-x86_64",
                          "-device", "help", NULL};
    char *output, error[HV_ERROR];

    if (program_run(argv, 20, &output, error) != 0) {
        line(r, "QEMU", WARNING, "name it with the environment variable VGPU_QEMU", "%s", error);
        return;
    }
    if (strstr(output, "\"vgpu-stub\""))
        line(r, "QEMU", OK, NULL, "%s has the device vgpu-stub", argv[0]);
    else
        line(r, "QEMU", FAULT, "build QEMU with the device: device/README.md",
             "%s has no device vgpu-stub", argv[0]);
    free(output);
}

static void look_at_iommu(struct report *r)
{
    DIR *dir = opendir("/sys/class/iommu");
    struct dirent *entry;
    unsigned units = 0;
    char text[4096];

    while (dir && (entry = readdir(dir)))
        units += entry->d_name[0] != '.';
    if (dir)
        closedir(dir);
    if (read_line("/sys/hypervisor/type", text, sizeof(text)) && !strcmp(text, "xen")) {
        const char *argv[] = {"xl", "info", NULL};
        char *output, error[HV_ERROR];

        if (program_run(argv, 20, &output, error) != 0) {
            line(r, "IOMMU", WARNING, "run doctor in Dom0, as root", "%s", error);
            return;
        }
        if (strstr(output, "dom0-iommu=strict"))
            line(r, "IOMMU", OK, NULL, "Xen keeps Dom0's devices to Dom0's memory");
        else
            line(r, "IOMMU", WARNING,
                 "add dom0-iommu=strict to Xen's command line (xen-cmdline --set-xen) and reboot",
                 "a GPU in Dom0 can reach the memory of every VM");
        free(output);
    } else if (units) {
        line(r, "IOMMU", OK, NULL, "%u units", units);
    } else {
        line(r, "IOMMU", WARNING, "enable VT-d or AMD-Vi in the firmware, and intel_iommu=on",
             "none is in use: the GPU can reach all memory");
    }
}

static void look_at_sandbox(struct report *r)
{
    char text[512];

    if (read_line("/proc/sys/kernel/seccomp/actions_avail", text, sizeof(text)) &&
        strstr(text, "kill_process"))
        line(r, "sandbox", OK, NULL, "system call filters are available");
    else
        line(r, "sandbox", FAULT, "workers need a kernel with CONFIG_SECCOMP_FILTER",
             "system call filters are not available");
    if (access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0)
        line(r, "cgroups", OK, NULL, "version 2");
    else
        line(r, "cgroups", WARNING, "boot with systemd.unified_cgroup_hierarchy=1",
             "no cgroup version 2: VMs' host memory and CPU time are not limited");
    if (geteuid() == 0)
        line(r, "users", OK, NULL, "as root, workers run as users of their own");
    else
        line(r, "users", WARNING, "run the mediator as root",
             "without root every worker runs as the same user");
}

int cmd_doctor(struct context *c)
{
    struct report r = {.c = c, .lines = json_array()};

    line(&r, "version", OK, NULL, "vgpu-admin %s, schema %d", VGPU_PACKAGE_VERSION,
         VGPU_DB_SCHEMA_VERSION);
    look_at_database(&r);
    look_at_mediator(&r);
    look_at_driver(&r);
    look_at_device(&r);
    look_at_iommu(&r);
    look_at_sandbox(&r);
    say(c, "%u faults, %u warnings", r.faults, r.warnings);
    print_json(c, json_pack("{s:i, s:i, s:o}", "faults", (int)r.faults, "warnings", (int)r.warnings,
                            "lines", r.lines));
    return r.faults ? STATUS_FAULTS : STATUS_OK;
}
