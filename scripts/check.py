#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Passes all tests: what `make check` runs.

  check.py [--only STAGE,...] [--skip STAGE,...] [--list] [--fuzz-seconds N]

Builds what it needs (into build/, build-asan/, build-fuzz/, build-tsan/, and a cache outside of the
tree for QEMU and the test kernel). Prints a line per stage, the output of what failed, and last
`N passed, N failed`.
"""

import argparse
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LOGS = os.path.join(ROOT, "check-logs")
CLOSING = re.compile(r"^(?:\w+: )?(\d+) passed, (\d+) failed", re.M)


class Failure(Exception):
    """A stage that could not run its tests; text is shown."""


class Check:
    def __init__(self, options):
        self.options = options
        self.passed = self.failed = 0

    def command(self, name, command, environment=None, timeout=2400, must=True):
        """Runs a command; its output goes to a log. Returns (status, output)."""
        log = os.path.join(LOGS, f"{name}.log")
        with open(log, "wb") as file:
            file.write((" ".join(command) + "\n").encode())
            file.flush()
            try:
                done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=file,
                                      stderr=subprocess.STDOUT, timeout=timeout, check=False,
                                      env=dict(os.environ, **(environment or {})))
                status = done.returncode
            except subprocess.TimeoutExpired:
                status = 124
        with open(log, encoding="utf-8", errors="replace") as file:
            output = file.read()
        if status and must:
            raise Failure(f"{' '.join(command)}: status {status}\n{tail(output)}")
        return status, output

    def meson_build(self, directory, *arguments, environment=None):
        if not os.path.exists(os.path.join(ROOT, directory, "build.ninja")):
            shutil.rmtree(os.path.join(ROOT, directory), ignore_errors=True)
            self.command(f"{directory}-setup", ["meson", "setup", directory, *arguments], environment)
        self.command(f"{directory}-ninja", ["ninja", "-C", directory])

    def meson_test(self, directory, *arguments, environment=None):
        """Counts each test of a build directory."""
        log = os.path.join(ROOT, directory, "meson-logs", "testlog.json")
        if os.path.exists(log):
            os.unlink(log)
        status, output = self.command(f"{directory}-test",
                                      ["meson", "test", "-C", directory, "--no-rebuild", "--print-errorlogs",
                                       *arguments], environment, must=False)
        if not os.path.exists(log):
            raise Failure(f"meson test -C {directory} ran nothing\n{tail(output)}")
        failed = []
        with open(log, encoding="utf-8") as file:
            for line in file:
                result = json.loads(line)
                if result["result"] in ("OK", "EXPECTEDFAIL", "SKIP"):
                    self.passed += result["result"] != "SKIP"
                else:
                    failed.append(result["name"])
        self.failed += len(failed)
        if failed or status:
            self.failed += not failed
            print(tail(output, 120))
        return failed

    def closing_line(self, name, command, environment=None, timeout=2400):
        """A test program that prints `N passed, N failed`."""
        status, output = self.command(name, command, environment, timeout, must=False)
        counts = CLOSING.findall(output)
        ran = re.search(r"^Ran (\d+) tests? in .*\n\n(?:OK|FAILED \((?:failures=(\d+))?(?:, )?(?:errors=(\d+))?)", output, re.M)
        if not counts and ran:  # Python's own test runner
            bad = int(ran[2] or 0) + int(ran[3] or 0)
            counts = [(int(ran[1]) - bad, bad)]
        if not counts:
            raise Failure(f"{' '.join(command)}: status {status}, no closing line\n{tail(output)}")
        passed, failed = map(int, counts[-1])
        self.passed += passed
        self.failed += failed
        if status and not failed:
            self.failed += 1
        if status or failed:
            print(tail(output, 120))

    # ---- stages ----

    def stage_build(self):
        """build: everything, warnings are errors"""
        self.meson_build("build")
        self.passed += 1

    def stage_unit(self):
        """unit tests, and every CUDA program on the software GPU"""
        self.meson_test("build", "--no-suite", "vm", "--no-suite", "fuzz")

    def stage_driver(self):
        """guest kernel driver: builds without warnings, sparse finds nothing"""
        headers = sorted(glob.glob("/usr/src/linux-headers-*-cloud-amd64"))
        if not headers:
            raise Failure("no kernel headers: scripts/install-deps.sh installs them")
        for name, extra in (("driver", ["W=1"]), ("driver-sparse", ["C=2"])):
            self.command(f"{name}-clean", ["make", "-C", "guest/driver", f"KDIR={headers[-1]}", "clean"])
            _, output = self.command(name, ["make", "-C", "guest/driver", f"KDIR={headers[-1]}", *extra])
            if re.search(r"\b(warning|error):", output):
                self.failed += 1
                print(tail(output))
            else:
                self.passed += 1
        self.command("driver-clean", ["make", "-C", "guest/driver", f"KDIR={headers[-1]}", "clean"])

    def stage_asan(self):
        """the unit tests under AddressSanitizer and UndefinedBehaviorSanitizer"""
        self.meson_build("build-asan", "-Db_sanitize=address,undefined", "-Db_lundef=false",
                         "-Dbuildtype=debugoptimized")
        self.meson_test("build-asan", "--no-suite", "programs", "--no-suite", "vm", "--no-suite", "fuzz", "--no-suite", "slow",
                        "--timeout-multiplier", "4",
                        environment={"ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "halt_on_error=1"})

    def stage_tsan(self):
        """both sides of the ring under the thread sanitizer"""
        self.command("tsan", ["scripts/check-tsan.sh"])
        self.passed += 1

    def stage_fuzz(self):
        """decoder, ring, device, PTX parser fuzzed for a bounded time"""
        if not os.path.exists(os.path.join(ROOT, "build-fuzz", "build.ninja")):
            self.command("build-fuzz-setup", ["meson", "setup", "build-fuzz", "-Db_sanitize=address,undefined",
                                              "-Db_lundef=false", "-Dc_args=-fsanitize=fuzzer-no-link",
                                              "-Dbuildtype=debugoptimized"], {"CC": "clang"})
        _, targets = self.command("build-fuzz-targets", ["ninja", "-C", "build-fuzz", "-t", "targets", "all"])
        names = sorted(set(re.findall(r"^(tests/fuzz/(?:\w+_fuzz|decode_seeds)):", targets, re.M)))
        self.command("build-fuzz-ninja", ["ninja", "-C", "build-fuzz", "softgpu/driver/libcuda-soft.so.1", *names])
        fuzzers = [path for path in sorted(glob.glob(os.path.join(ROOT, "build-fuzz", "tests", "fuzz", "*_fuzz")))
                   if os.access(path, os.X_OK)]
        if not fuzzers:
            raise Failure("no fuzz targets were built: is clang's runtime (libclang-rt-14-dev) installed?")
        for path in fuzzers:
            name = os.path.basename(path)
            corpus = os.path.join(LOGS, f"{name}-corpus")
            seeds = os.path.join(ROOT, "tests", "fuzz", "corpus", name)
            os.makedirs(corpus, exist_ok=True)
            command = [path, f"-max_total_time={self.options.fuzz_seconds}", "-timeout=20", "-seed=1",
                       "-rss_limit_mb=4096", f"-artifact_prefix={LOGS}/{name}-", corpus]
            if os.path.isdir(seeds):
                command.append(seeds)
            if name == "decode_fuzz":
                self.command("decode-seeds", [os.path.join(os.path.dirname(path), "decode_seeds"), corpus])
                command += ["-entropic=0", "-dict=" + os.path.join(ROOT, "build-fuzz", "protocol", "vgpu_fuzz.dict")]
            status, output = self.command(name, command, must=False,
                                          timeout=self.options.fuzz_seconds + 240,
                                          environment={"ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
                                                       "UBSAN_OPTIONS": "halt_on_error=1"})
            runs = re.findall(r"Done (\d+) runs", output)
            print(f"        {name}: {runs[-1] if runs else '?'} runs", flush=True)
            if status:
                self.failed += 1
                print(tail(output))
            else:
                self.passed += 1

    def stage_qemu(self):
        """QEMU with the vgpu-stub device (cached), and its register tests"""
        _, output = self.command("qemu", ["scripts/build-qemu.sh"], timeout=3000)
        self.qemu = output.strip().splitlines()[-1]
        os.environ["VGPU_QEMU"] = self.qemu
        self.closing_line("qtest", ["python3", "tests/vm/qtest/device_test.py"])

    def stage_vm(self):
        """guest driver in a VM"""
        self.closing_line("vm-driver", ["python3", "tests/vm/driver_test.py"])

    def stage_faults(self):
        """what one tenant's failure does to the others, on the host and in VMs"""
        self.closing_line("faults", ["python3", "tests/faults/faults_test.py", "--build", "build", "--vm"])

    def stage_admin(self):
        """the administrator's commands on a running mediator and on VMs"""
        self.closing_line("admin-vm", ["python3", "tests/admin/live_test.py", "--build", "build", "--vm"])

    def stage_demo(self):
        """the demonstration"""
        status, output = self.command("demo", ["python3", "scripts/demo.py", "--build", "build", "--seconds", "5"],
                                      must=False)
        if status or not re.search(r"^demo: 2 VMs, \d+ jobs, 0 failed$", output, re.M):
            self.failed += 1
            print(tail(output, 120))
        else:
            self.passed += 1


def tail(text, lines=60):
    return "\n".join(text.rstrip().splitlines()[-lines:])


def main():
    stages = [name[6:] for name in Check.__dict__ if name.startswith("stage_")]
    parser = argparse.ArgumentParser(description="Passes all tests.")
    parser.add_argument("--only", default="", metavar="STAGE,...", help="only these stages")
    parser.add_argument("--skip", default="", metavar="STAGE,...", help="all but these stages")
    parser.add_argument("--list", action="store_true", help="names the stages")
    parser.add_argument("--fuzz-seconds", type=int, default=8, metavar="N", help="per fuzz target (default: 8)")
    options = parser.parse_args()
    if options.list:
        for name in stages:
            print(f"{name:8} {getattr(Check, 'stage_' + name).__doc__}")
        return 0
    only, skip = set(filter(None, options.only.split(","))), set(filter(None, options.skip.split(",")))
    unknown = (only | skip) - set(stages)
    if unknown:
        sys.exit(f"check: no stage '{unknown.pop()}'; there are: {', '.join(stages)}")
    check = Check(options)
    chosen = [name for name in stages if (not only or name in only) and name not in skip]
    for number, name in enumerate(chosen, 1):
        stage = getattr(check, f"stage_{name}")
        started, failed_before, passed_before = time.monotonic(), check.failed, check.passed
        print(f"[{number}/{len(chosen)}] {stage.__doc__}", flush=True)
        os.makedirs(LOGS, exist_ok=True)
        try:
            stage()
        except Failure as failure:
            check.failed += 1
            print(failure)
            if name == "build":
                break
        print(f"        {check.passed - passed_before} passed, {check.failed - failed_before} failed, "
              f"{time.monotonic() - started:.0f} s", flush=True)
    print(f"{check.passed} passed, {check.failed} failed")
    return 1 if check.failed else 0


if __name__ == "__main__":
    sys.exit(main())
