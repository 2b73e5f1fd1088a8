#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What only a machine with an NVIDIA GPU can show.

  check_gpu.py --build DIR [--out DIR] [--initramfs FILE] [--only STAGE,...] [--rounds N]

Needs a finished build; nvcc for the runtime and cuBLAS programs; a prebuilt root file system (and
VGPU_QEMU, VGPU_KERNEL) where the VM tools are not installed. Stages: native, mediated, runtime,
faults, bench, vm. Prints a line per program and `N passed, N failed`.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "scripts"))

from lab import programs  # noqa: E402

STAGES = ["native", "mediated", "runtime", "faults", "bench", "vm"]
SKIPPED = {"spin", "fill"}  # run by other tests


class Run:
    def __init__(self, options):
        self.options = options
        self.build = os.path.abspath(options.build)
        self.vgpu_run = [os.path.join(self.build, "mediator", "run", "vgpu-run"), "--gpu=nvidia"]
        self.passed = self.failed = 0

    def step(self, name, command, timeout=120, show=1, environment=None):
        started = time.monotonic()
        try:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout,
                                  stdin=subprocess.DEVNULL, check=False, text=True, errors="replace",
                                  env=dict(os.environ, **(environment or {})))
            status, output = done.returncode, done.stdout
        except subprocess.TimeoutExpired as error:
            status, output = 124, (error.stdout or b"").decode(errors="replace")
        good = status == 0
        self.passed += good
        self.failed += not good
        lines = output.strip().splitlines()
        shown = lines[-show:] if good else lines[-25:]
        print(f"{'ok    ' if good else 'FAILED'} {name} ({time.monotonic() - started:.1f} s"
              f"{'' if good else f', status {status}'}): " + "\n    ".join(shown), flush=True)
        return good

    def native(self):
        for name, path in programs(self.build).items():
            if name not in SKIPPED:
                self.step(f"native {name}", [path])

    def mediated(self):
        for name, path in programs(self.build).items():
            if name not in SKIPPED:
                self.step(f"mediated {name}", self.vgpu_run + ["--", path])

    def runtime(self):
        if not shutil.which("nvcc"):
            print("skipped: no nvcc on this machine")
            return
        with tempfile.TemporaryDirectory() as scratch:
            for name, source, extra in (("vecadd_static", "runtime_vecadd", ["-cudart=static"]),
                                        ("vecadd_shared", "runtime_vecadd", ["-cudart=shared"]),
                                        ("sgemm", "sgemm", ["-lcublas"])):
                out = os.path.join(scratch, name)
                source = os.path.join(ROOT, "tests", "gpu", f"{source}.cu")
                if not self.step(f"nvcc {name}", ["nvcc", "-O2", "-arch=native", "-o", out, source, *extra], 300):
                    continue
                self.step(f"native {name}", [out])
                self.step(f"mediated {name}", self.vgpu_run + ["--", out], environment={"VGPU_LOG": "2"})

    def faults(self):
        self.step("faults", [sys.executable, os.path.join(ROOT, "tests", "faults", "faults_test.py"), "--build",
                             self.build, "--gpu", "nvidia"], 400, show=20)

    def bench(self):
        out = self.options.out or self.build
        self.step("bench", [sys.executable, os.path.join(ROOT, "bench", "compare.py"), "--mediator",
                            " ".join(self.vgpu_run) + " --", "--rounds", str(self.options.rounds), "--raw",
                            os.path.join(out, "bench-raw.json"), "--",
                            os.path.join(self.build, "bench", "api_bench"), "--json", "-"], 500, show=40)

    def vm(self):
        command = [sys.executable, os.path.join(ROOT, "scripts", "demo.py"), "--build", self.build, "--gpu", "nvidia",
                   "--seconds", "30"]
        if self.options.initramfs:
            command += ["--initramfs", self.options.initramfs]
        self.step("demo", command, 400, show=70)


def main():
    parser = argparse.ArgumentParser(description="What only a machine with an NVIDIA GPU can show.")
    parser.add_argument("--build", default="build")
    parser.add_argument("--out", help="where raw figures go (default: the build directory)")
    parser.add_argument("--initramfs", help="root file system for the VMs, made elsewhere")
    parser.add_argument("--only", default="", metavar="STAGE,...", help=f"of {', '.join(STAGES)}")
    parser.add_argument("--rounds", type=int, default=3, help="of the benchmark (default: 3)")
    options = parser.parse_args()
    chosen = options.only.split(",") if options.only else STAGES
    for name in chosen:
        if name not in STAGES:
            sys.exit(f"check_gpu: no stage '{name}'; there are: {', '.join(STAGES)}")
    run = Run(options)
    for name in chosen:
        print(f"== {name}", flush=True)
        getattr(run, name)()
    print(f"{run.passed} passed, {run.failed} failed")
    return 1 if run.failed else 0


if __name__ == "__main__":
    sys.exit(main())
