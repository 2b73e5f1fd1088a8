#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What one tenant's failure does to the others: programs, workers, the daemon and VMs are killed,
memory runs out, and a client breaks the protocol in every way.

  faults_test.py --build DIR [--vm] [NAME...]

Runs on the software GPU with programs on this host, and with --vm in VMs as well. Prints one line per
test and `N passed, N failed`.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "scripts"))

from lab import Mediator, guest_initramfs, programs  # noqa: E402
from vm import VM, find_accel, find_kernel, find_qemu  # noqa: E402

CLIENT_ERRORS = "CUDA_ERROR_"


class HostJob:
    """A program on this host; the same calls as a job in a VM."""

    def __init__(self, command, environment):
        self.process = subprocess.Popen(command, shell=True, env=environment, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        start_new_session=True)
        self.chunks = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.chunks.append(line.decode(errors="replace"))

    @property
    def output(self):
        return "".join(self.chunks)

    def wait(self, timeout):
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            self.process.wait()
            self.reader.join(5)
            return 124, self.output
        self.reader.join(5)
        return self.process.returncode, self.output

    def wait_for(self, text, timeout):
        deadline = time.monotonic() + timeout
        while text not in self.output:
            if time.monotonic() > deadline or self.process.poll() is not None and not self.reader.is_alive():
                return text in self.output
            time.sleep(0.01)
        return True

    def kill(self, number=signal.SIGKILL):
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass


class Host:
    """Runs programs on this host through the mediator."""

    name = "host"

    def __init__(self, build, mediator):
        self.paths = [os.path.join(build, "tests", "programs"), os.path.join(build, "tests", "faults")]
        self.environment = dict(os.environ, VGPU_SOCKET=mediator.local_socket,
                                LD_LIBRARY_PATH=os.path.join(build, "guest", "libcuda"))
        self.environment["PATH"] = ":".join(self.paths + [os.environ["PATH"]])

    def start(self, command):
        return HostJob(f"exec {command}", self.environment)

    def run(self, command, timeout=120):
        return self.start(command).wait(timeout)


class InVM:
    """Runs programs in a VM."""

    def __init__(self, vm):
        self.vm, self.name = vm, vm.name

    def start(self, command):
        return self.vm.start(command, user="tenant")

    def run(self, command, timeout=120):
        return self.start(command).wait(timeout)


def check(condition, text):
    if not condition:
        raise AssertionError(text)


def works(place, program="vecadd"):
    rc, output = place.run(program)
    check(rc == 0, f"{place.name}: {program} ended with {rc}: {output}")


def bystander(place):
    """A program that must not notice what happens to others."""
    job = place.start("vecadd --seconds 4")
    return job


def unharmed(job):
    rc, output = job.wait(120)
    check(rc == 0, f"the bystander ended with {rc}: {output}")


def workers_settle(mediator, at_most, timeout=30):
    """Waits until no more than at_most workers are left (the spare one included)."""
    deadline = time.monotonic() + timeout
    while len(mediator.worker_pids()) > at_most:
        check(time.monotonic() < deadline, f"workers left: {mediator.worker_pids()}, expected {at_most}")
        time.sleep(0.05)


# ---- the tests; place and other are two tenants ----


def program_killed_in_mid_launch(mediator, place, other):
    watcher = bystander(other)
    victim = place.start("spin --mode hang")
    check(victim.wait_for("running", 60), f"spin did not start: {victim.output}")
    victim.kill()
    victim.wait(30)
    works(place)
    unharmed(watcher)
    workers_settle(mediator, 1)


def worker_killed(mediator, place, other):
    before = set(mediator.worker_pids())
    victim = place.start("spin --mode hang")
    check(victim.wait_for("running", 60), f"spin did not start: {victim.output}")
    watcher = bystander(other)
    time.sleep(1)
    lines = [line for line in mediator.log_text().splitlines() if 'process="spin"' in line or "process=spin" in line]
    check(lines, f"the log does not name the program's worker\n{mediator.log_text()}")
    field = next(word for word in lines[-1].split() if word.startswith(("worker=", "pid=")))
    pid = int(field.split("=")[1])
    check(pid in mediator.worker_pids(), f"worker {pid} is not among {mediator.worker_pids()} (before: {before})")
    os.kill(pid, signal.SIGKILL)
    rc, output = victim.wait(30)
    check(rc not in (0, 124) and CLIENT_ERRORS in output, f"spin ended with {rc}: {output}")
    unharmed(watcher)
    works(place)


def daemon_killed_and_restarted(mediator, place, other):
    victim = place.start("vecadd --seconds 60")
    time.sleep(2)
    mediator.kill()
    rc, output = victim.wait(30)
    check(rc not in (0, 124) and CLIENT_ERRORS in output, f"the running program ended with {rc}: {output}")
    mediator.start()
    deadline = time.monotonic() + 30
    while True:
        rc, output = place.run("vecadd")
        if rc == 0 or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    check(rc == 0, f"after the restart: {rc}: {output}")
    works(other)


def device_memory_exhausted(mediator, place, other):
    watcher = bystander(other)
    rc, output = place.run("faults --mode oom")
    check(rc == 0, f"faults --mode oom ended with {rc}: {output}")
    works(place)
    unharmed(watcher)


def arena_exhausted(mediator, place, other):
    watcher = bystander(other)
    rc, output = place.run("env VGPU_ARENA_MB=32 exhaust")
    check(rc == 0, f"exhaust ended with {rc}: {output}")
    unharmed(watcher)


def illegal_access_stays_with_its_program(mediator, place, other):
    watcher = bystander(other)
    rc, output = place.run("faults --mode illegal")
    check(rc == 0, f"faults --mode illegal ended with {rc}: {output}")
    works(place)
    unharmed(watcher)


def hostile_clients_are_shut_out(mediator, place, other):
    rc, modes = place.run("hostile --list")
    check(rc == 0 and len(modes.split()) > 10, f"hostile --list: {rc}: {modes}")
    watcher = other.start("vecadd --seconds 8")
    for mode in modes.split():
        start = len(mediator.log_text())
        rc, output = place.run(f"hostile {mode} 1", timeout=60)
        check(rc == 0, f"hostile {mode} ended with {rc}: {output}")
        check("died" not in mediator.log_text()[start:], f"hostile {mode}: a worker crashed\n{mediator.log_text()[start:]}")
        if "hostile: closed" in output and mode not in ("random", "flip"):
            check(mediator.wait_log("protocol", 10, start), f"hostile {mode}: closed without a logged reason\n{mediator.log_text()[start:]}")
    unharmed(watcher)
    works(place)


TESTS = [program_killed_in_mid_launch, worker_killed, daemon_killed_and_restarted, device_memory_exhausted,
         arena_exhausted, illegal_access_stays_with_its_program, hostile_clients_are_shut_out]


class Results:
    def __init__(self, wanted):
        self.wanted, self.passed, self.failed = wanted, 0, 0

    def run(self, name, function):
        if self.wanted and not any(word in name for word in self.wanted):
            return
        started = time.monotonic()
        try:
            function()
        except Exception as error:  # every failure is one line and its reason
            self.failed += 1
            print(f"FAILED {name}: {error}", flush=True)
            if not isinstance(error, AssertionError):
                traceback.print_exc()
            return
        self.passed += 1
        print(f"ok     {name} ({time.monotonic() - started:.1f} s)", flush=True)


def main():
    parser = argparse.ArgumentParser(description="What one tenant's failure does to the others.")
    parser.add_argument("--build", default="build")
    parser.add_argument("--vm", action="store_true", help="in VMs too")
    parser.add_argument("--gpu", default="soft", choices=("soft", "nvidia"))
    parser.add_argument("names", nargs="*", help="only tests whose name holds one of these")
    options = parser.parse_args()
    build = os.path.abspath(options.build)
    programs(build)
    results = Results(options.names)
    # Small enough that running out takes no time.
    environment = {"VGPU_SOFT_MEMORY_MB": "256"}

    with Mediator(build, gpu=options.gpu, environment=environment) as mediator:
        place, other = Host(build, mediator), Host(build, mediator)
        for test in TESTS:
            results.run(f"host: {test.__name__}", lambda test=test: test(mediator, place, other))
        if results.failed:
            print(mediator.log_text()[-6000:])

    if options.vm:
        qemu, kernel, accel = find_qemu(), find_kernel(), find_accel()
        scratch = tempfile.mkdtemp(prefix="vgpu-faults-")
        try:
            initramfs = guest_initramfs(build, os.path.join(scratch, "root.cpio"))
            with Mediator(build, gpu=options.gpu, environment=environment) as mediator:
                vms = []
                for number, name in enumerate(("one", "two"), 1):
                    mediator.add_vm(name, number, "AB"[number - 1], "medium")
                    vms.append(VM(initramfs, vgpu=mediator.device(name), name=name, memory=768, qemu=qemu,
                                  kernel=kernel, accel=accel))
                place, other = InVM(vms[0]), InVM(vms[1])
                failed = results.failed
                for test in TESTS:
                    results.run(f"vm: {test.__name__}", lambda test=test: test(mediator, place, other))

                def vm_powered_off_while_running():
                    watcher = bystander(other)
                    victim = place.start("vecadd --seconds 60")
                    time.sleep(2)
                    check(victim.returncode is None, f"vecadd ended early: {victim.output}")
                    vms[0].kill()
                    workers_settle(mediator, 2)
                    unharmed(watcher)
                    workers_settle(mediator, 1)
                    # The same VM comes back on the same socket.
                    again = VM(initramfs, vgpu=mediator.device("one"), name="one", memory=768, qemu=qemu,
                               kernel=kernel, accel=accel)
                    try:
                        works(InVM(again))
                    finally:
                        again.kill()

                results.run("vm: vm_powered_off_while_running", vm_powered_off_while_running)
                if results.failed > failed:
                    print(mediator.log_text()[-6000:])
                for vm in vms:
                    vm.kill()
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    print(f"{results.passed} passed, {results.failed} failed")
    return 1 if results.failed else 0


if __name__ == "__main__":
    sys.exit(main())
