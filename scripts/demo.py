#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two VMs run CUDA programs on one GPU through the mediator, and what happened is shown.

Uses the NVIDIA GPU when its driver works, else the built-in software GPU. The last line printed is
`demo: 2 VMs, N jobs, 0 failed`; the exit status is 0 only when no job failed.
"""

import argparse
import os
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lab import Mediator, MediatorError, guest_initramfs  # noqa: E402
from vm import VM, QemuMissing, VMError, find_accel, find_kernel, find_qemu  # noqa: E402

# What a tenant would run; each checks its own result and exits non-zero on a difference.
JOBS = ["vecadd", "matmul", "reduce", "histogram", "scan", "transpose", "blackscholes", "mandelbrot",
        "mergesort", "overlap", "printf"]
VMS = [("alpha", 1, "A", "high"), ("beta", 2, "B", "low")]


def say(text=""):
    print(text, flush=True)


def table(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        say("  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                      for i, (cell, width) in enumerate(zip(row, widths))).rstrip())


def human_bytes(count):
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def human_ns(ns):
    for limit, scale, unit in ((1e3, 1, "ns"), (1e6, 1e3, "us"), (1e9, 1e6, "ms")):
        if ns < limit:
            return f"{ns / scale:.1f} {unit}"
    return f"{ns / 1e9:.2f} s"


class Tenant(threading.Thread):
    """Runs every job once, then goes on until the time is up."""

    def __init__(self, name, vm, until):
        super().__init__(daemon=True)
        self.tenant, self.vm, self.until = name, vm, until
        self.jobs, self.failures = 0, []

    def run(self):
        rounds = 0
        try:
            while rounds == 0 or time.monotonic() < self.until:
                for job in JOBS:
                    if rounds and time.monotonic() >= self.until:
                        break
                    # By its path: the shell has a printf of its own.
                    rc, output = self.vm.run(f"/usr/local/bin/{job}", timeout=300, user="tenant")
                    self.jobs += 1
                    if rounds == 0 or rc:
                        last = output.strip().splitlines()[-1] if output.strip() else "(no output)"
                        say(f"  {self.tenant}: {last}")
                    if rc:
                        self.failures.append(f"{self.tenant}: {job} ended with status {rc}\n{output}")
                rounds += 1
        except VMError as error:
            self.failures.append(str(error))


def main():
    parser = argparse.ArgumentParser(description="Two VMs run CUDA programs on one GPU.")
    parser.add_argument("--build", default="build", help="build directory (default: build)")
    parser.add_argument("--gpu", default="auto", choices=("auto", "nvidia", "soft"))
    parser.add_argument("--seconds", type=float, default=30, help="how long the programs run (default: 30)")
    parser.add_argument("--memory", type=int, default=768, metavar="MB", help="of each VM (default: 768)")
    parser.add_argument("--initramfs", help="root file system of the VMs, made before")
    options = parser.parse_args()

    say("demo: QEMU with the vgpu-stub device (built once, then cached)")
    qemu = find_qemu()
    say("demo: kernel and root file system of the VMs")
    kernel = find_kernel()
    failures, jobs = [], 0
    with tempfile.TemporaryDirectory(prefix="vgpu-demo-") as scratch:
        initramfs = options.initramfs or guest_initramfs(options.build, os.path.join(scratch, "root.cpio"))
        with Mediator(options.build, gpu=options.gpu) as mediator:
            gpu = mediator.stats()["gpu"]
            say(f"demo: mediator runs on {gpu['device']}, {human_bytes(gpu['memory_bytes'])}, driver {gpu['driver']}")
            for name, vm_id, pool, priority in VMS:
                mediator.add_vm(name, vm_id, pool, priority)
            accel = find_accel()
            say(f"demo: booting {len(VMS)} VMs (accelerator: {accel})")
            vms = []
            try:
                for name, *_ in VMS:
                    vms.append(VM(initramfs, vgpu=mediator.device(name), name=name, memory=options.memory,
                                  qemu=qemu, kernel=kernel, accel=accel))
                for vm in vms:
                    for command in ("lspci -nn -d 1af4:1111", "vgpu-info"):
                        rc, output = vm.run(command, timeout=120, user="tenant")
                        say(f"\n{vm.name}$ {command}")
                        say(output.rstrip())
                        if rc:
                            failures.append(f"{vm.name}: {command} ended with status {rc}")
                say(f"\ndemo: running {len(JOBS)} programs in each VM, both at once, for {options.seconds:.0f} s; first round:")
                tenants = [Tenant(vm.name, vm, time.monotonic() + options.seconds) for vm in vms]
                for tenant in tenants:
                    tenant.start()
                for tenant in tenants:
                    tenant.join()
                    jobs += tenant.jobs
                    failures += tenant.failures
                say()
                rows = [("VM", "pool", "priority", "jobs", "calls", "bytes", "GPU time", "p50", "p95", "p99")]
                for tenant, (name, vm_id, pool, priority) in zip(tenants, VMS):
                    stats = mediator.vm_stats(vm_id)
                    latency = stats["latency_ns"]
                    rows.append((name, pool, priority, str(tenant.jobs), str(stats["calls"]),
                                 human_bytes(stats["bytes"]), human_ns(stats["gpu_ns"]),
                                 human_ns(latency["p50"]), human_ns(latency["p95"]), human_ns(latency["p99"])))
                    if not stats["gpu_ns"]:
                        failures.append(f"{name}: no GPU time was measured")
                table(rows)
                say("(latency: from submission on the host to completion on the GPU, per launch, copy or fill)")
            finally:
                for vm in vms:
                    vm.kill()
            if failures:
                say("\n--- the mediator's log ---")
                say(mediator.log_text()[-8000:])
    for failure in failures:
        say(f"FAILED {failure}")
    say(f"\ndemo: {len(VMS)} VMs, {jobs} jobs, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (VMError, QemuMissing, MediatorError) as problem:
        sys.exit(f"demo: {problem}")
    except KeyboardInterrupt:
        sys.exit("demo: interrupted")
