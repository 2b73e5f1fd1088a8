#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times the driver API natively and through the mediator, in turns: what `make bench` runs.

Uses the NVIDIA GPU when its driver works, else the software GPU (quick sizes; its figures say what the
mediation costs on this CPU, nothing about a GPU). Writes bench-raw.json and bench.md into the build
directory and prints the table.
"""

import argparse
import ctypes
import os
import shlex
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def nvidia_works():
    try:
        return ctypes.CDLL("libcuda.so.1").cuInit(0) == 0
    except OSError:
        return False


def main():
    parser = argparse.ArgumentParser(description="Times the driver API natively and through the mediator.")
    parser.add_argument("--build", default="build", help="build directory (default: build)")
    parser.add_argument("--gpu", default="auto", choices=("auto", "nvidia", "soft"))
    parser.add_argument("--rounds", type=int, default=5, help="runs of each, in turns (default: 5)")
    options = parser.parse_args()
    build = os.path.abspath(options.build)
    gpu = options.gpu
    if gpu == "auto":
        gpu = "nvidia" if nvidia_works() else "soft"
    bench = os.path.join(build, "bench", "api_bench")
    runner = os.path.join(build, "mediator", "run", "vgpu-run")
    for path in (bench, runner):
        if not os.path.exists(path):
            sys.exit(f"bench: {path} is not there; run make (clang must be installed)")
    command = [bench, "--json", "-"]
    environment = dict(os.environ)
    mediator = [runner, f"--gpu={gpu}", "--"]
    if gpu == "soft":
        command.append("--quick")
        # Natively the program takes the software GPU's library itself; mediated, the guest's.
        environment["VGPU_LIBCUDA"] = os.path.join(build, "softgpu", "driver", "libcuda-soft.so.1")
        mediator += ["env", "-u", "VGPU_LIBCUDA"]
    print(f"bench: {gpu} GPU, {options.rounds} rounds", file=sys.stderr, flush=True)
    done = subprocess.run([sys.executable, os.path.join(ROOT, "bench", "compare.py"), "--mediator", shlex.join(mediator),
                           "--rounds", str(options.rounds), "--raw", os.path.join(build, "bench-raw.json"), "--"]
                          + command, stdout=subprocess.PIPE, text=True, env=environment, check=False)
    sys.stdout.write(done.stdout)
    if done.returncode == 0:
        with open(os.path.join(build, "bench.md"), "w", encoding="utf-8") as file:
            file.write(done.stdout)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
