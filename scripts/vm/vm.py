#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Test VMs: QEMU with the vgpu-stub device, Debian's cloud kernel and make-initramfs.sh's root.

    with VM(initramfs, vgpu=Vgpu(socket="/run/x.sock", pool_id="A", priority=2, vm_id=7)) as vm:
        rc, output = vm.run("lspci -nn", timeout=10)
        job = vm.start("vector-add", user="tenant")   # any number at once
        job.kill(); rc, output = job.wait(10)
        vm.poweroff()

QEMU listens on the device's socket; what plays the mediator connects to it.

Environment: VGPU_QEMU names the QEMU binary (otherwise scripts/build-qemu.sh provides it);
VGPU_ACCEL is kvm or tcg (otherwise kvm where the CPU offers it); VGPU_VM_KEEP=1 keeps the
directories with the console logs.

As a program: vm.py [--memory MB] [--cpus N] [--socket PATH] [--pool A] [--priority N] [--vm-id N]
INITRAMFS COMMAND... boots a VM, runs each COMMAND, prints its output and exits with the first
status that is not 0.
"""

import argparse
import atexit
import ctypes
import os
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass

SCRIPTS = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(SCRIPTS))

BOOT_TIMEOUT = 120  # seconds; a boot takes 2 to 5, but machines can be busy
TIMED_OUT = 124  # exit status of a command that did not end in time

RUN, SIGNAL, HELLO, OUTPUT, EXIT = 1, 2, 16, 17, 18
FRAME = struct.Struct("<III")


class VMError(Exception):
    """The VM did not boot, or ended while it was needed."""


class QemuMissing(Exception):
    """There is no QEMU with the device, and none could be built."""


def last_line(command):
    """Last line that a script prints; its messages go to our standard error."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    except OSError as error:
        raise QemuMissing(f"{command[0]}: {error.strerror}") from error
    lines = done.stdout.split("\n")
    lines = [line for line in lines if line]
    if done.returncode or not lines:
        raise QemuMissing(f"{' '.join(command)} failed with status {done.returncode}")
    return lines[-1]


def find_qemu():
    """Path of a qemu-system-x86_64 that has the vgpu-stub device."""
    return os.environ.get("VGPU_QEMU") or last_line([os.path.join(ROOT, "scripts", "build-qemu.sh")])


def find_kernel():
    """Path of the kernel image that make-initramfs.sh's modules belong to."""
    directory = last_line([os.path.join(SCRIPTS, "fetch-kernel.sh")])
    return os.path.join(directory, "vmlinuz")


def find_accel():
    """"kvm" or "tcg". /dev/kvm alone is no proof: some hosts run only paravirtual guests with it."""
    wanted = os.environ.get("VGPU_ACCEL")
    if wanted:
        return wanted
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            flags = next((line for line in file if line.startswith("flags")), "").split()
        if ("vmx" in flags or "svm" in flags) and os.access("/dev/kvm", os.R_OK | os.W_OK):
            return "kvm"
    except OSError:
        pass
    return "tcg"


def make_initramfs(out, programs=(), libraries=(), files=(), search=(), driver=True):
    """Runs make-initramfs.sh; files are (source, destination) pairs."""
    command = [os.path.join(SCRIPTS, "make-initramfs.sh"), "-o", out]
    for name in search:
        command += ["-L", name]
    for name in programs:
        command += ["--program", name]
    for name in libraries:
        command += ["--library", name]
    for source, destination in files:
        command += ["--file", f"{source}={destination}"]
    if not driver:
        command.append("--no-driver")
    subprocess.run(command, check=True)
    return out


@dataclass
class Vgpu:
    """The VM's vgpu-stub device."""

    socket: str  # path QEMU listens on
    pool_id: str = "A"
    priority: int = 1
    vm_id: int = 1


class Job:
    """A command that runs in a VM."""

    def __init__(self, vm, number):
        self.vm = vm
        self.number = number
        self.returncode = None
        self.chunks = []
        self.ended = threading.Event()

    @property
    def output(self):
        """What it has printed so far."""
        return b"".join(self.chunks).decode(errors="replace")

    def wait(self, timeout=None):
        """(status, output). One that does not end in time is killed: status 124."""
        if not self.ended.wait(timeout):
            self.kill()
            self.ended.wait(10)
            return TIMED_OUT, self.output
        if self.returncode is None:
            raise VMError(f"{self.vm.name}: ended while a command ran\n{self.vm.console_tail()}")
        return self.returncode, self.output

    def wait_for(self, text, timeout):
        """Waits until text is in the output; False when it ended or time is up without."""
        deadline = time.monotonic() + timeout
        while text not in self.output:
            if time.monotonic() > deadline or self.ended.wait(0.01):
                return text in self.output
        return True

    def kill(self, number=signal.SIGKILL):
        """Sends a signal to its process group."""
        self.vm.send(self.number, SIGNAL, struct.pack("<I", number))


def end_with_parent():
    """A killed test leaves no VMs behind."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class VM:
    """A running VM, from the constructor's return on. Lost output or a dead VM raise VMError."""

    def __init__(self, initramfs, *, vgpu=None, name="vm", memory=512, cpus=1, append="",
                 arguments=(), boot_timeout=BOOT_TIMEOUT, qemu=None, kernel=None, accel=None):
        """memory in MiB; append is added to the kernel command line, arguments to QEMU's."""
        self.name = name
        self.directory = tempfile.mkdtemp(prefix="vgpu-vm-")
        self.console = os.path.join(self.directory, "console.log")
        self.process = None
        self.channel = None
        self.jobs = {}
        self.next_job = 1
        self.lock = threading.Lock()
        self.hello = threading.Event()
        atexit.register(self.kill)
        try:
            self._boot(initramfs, vgpu, memory, cpus, append, arguments,
                       qemu or find_qemu(), kernel or find_kernel(), accel or find_accel())
            if not self._wait_hello(boot_timeout):
                raise VMError(f"{name}: did not boot\n{self.qemu_errors()}{self.console_tail()}")
        except BaseException:
            self.kill()
            raise

    def _boot(self, initramfs, vgpu, memory, cpus, append, arguments, qemu, kernel, accel):
        commands = os.path.join(self.directory, "commands.sock")
        command = [
            qemu, "-name", self.name, "-nodefaults", "-no-user-config", "-no-reboot",
            "-display", "none", "-vga", "none", "-monitor", "none",
            "-machine", "pc,memory-backend=ram",
            "-accel", "tcg,thread=multi" if accel == "tcg" else accel,
            "-cpu", "host" if accel == "kvm" else "max",
            "-smp", str(cpus), "-m", f"{memory}M",
            "-object", f"memory-backend-memfd,id=ram,size={memory}M,share=on",
            "-kernel", kernel, "-initrd", initramfs,
            "-append", f"console=ttyS0 quiet panic=-1 testvm.name={self.name} {append}",
            "-serial", f"file:{self.console}",
            "-chardev", f"socket,id=commands,path={commands},server=on,wait=off",
            "-device", "virtio-serial-pci",
            "-device", "virtserialport,chardev=commands,name=vgpu.command",
        ]
        firmware = os.path.join(os.path.dirname(os.path.dirname(qemu)), "share", "qemu")
        if os.path.isdir(firmware):
            command += ["-L", firmware]
        if vgpu:
            command += [
                "-chardev", f"socket,id=vgpu,path={vgpu.socket},server=on,wait=off",
                "-device", f"vgpu-stub,chardev=vgpu,pool_id={vgpu.pool_id},"
                           f"priority={vgpu.priority},vm_id={vgpu.vm_id}",
            ]
        command += arguments
        with open(os.path.join(self.directory, "qemu.log"), "wb") as log:
            log.write((shlex.join(command) + "\n").encode())
            log.flush()
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, preexec_fn=end_with_parent)
        self.channel = socket.socket(socket.AF_UNIX)
        deadline = time.monotonic() + 30
        while True:
            try:
                self.channel.connect(commands)
                break
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise VMError(f"{self.name}: QEMU did not start\n{self.qemu_errors()}") from None
                time.sleep(0.01)
        threading.Thread(target=self._receive, daemon=True).start()

    def _wait_hello(self, timeout):
        deadline = time.monotonic() + timeout
        while not self.hello.wait(0.1):
            if self.process.poll() is not None or time.monotonic() > deadline:
                return False
        return True

    def _read(self, size):
        data = b""
        while len(data) < size:
            part = self.channel.recv(size - len(data))
            if not part:
                raise OSError
            data += part
        return data

    def _receive(self):
        try:
            while True:
                number, kind, size = FRAME.unpack(self._read(FRAME.size))
                data = self._read(size)
                if kind == HELLO:
                    self.hello.set()
                    continue
                job = self.jobs.get(number)
                if job and kind == OUTPUT:
                    job.chunks.append(data)
                elif job and kind == EXIT:
                    job.returncode = struct.unpack("<I", data)[0]
                    del self.jobs[number]
                    job.ended.set()
        except OSError:
            for job in list(self.jobs.values()):
                job.ended.set()

    def send(self, number, kind, data):
        """One frame to the agent."""
        try:
            with self.lock:
                self.channel.sendall(FRAME.pack(number, kind, len(data)) + data)
        except OSError as error:
            raise VMError(f"{self.name}: the VM is gone\n{self.console_tail()}") from error

    def start(self, command, *, user=None, stdin=b""):
        """Starts a shell command and returns its Job; user is root unless given."""
        if user:
            command = f"exec su -s /bin/sh -c {shlex.quote(command)} {shlex.quote(user)}"
        with self.lock:
            job = Job(self, self.next_job)
            self.next_job += 1
            self.jobs[job.number] = job
        self.send(job.number, RUN, command.encode() + b"\0" + stdin)
        return job

    def run(self, command, timeout=60, *, user=None, stdin=b""):
        """Runs a shell command: (status, output). Status 124: it did not end in time."""
        return self.start(command, user=user, stdin=stdin).wait(timeout)

    def put(self, source, destination, mode=0o755):
        """Copies a host file into the VM."""
        with open(source, "rb") as file:
            rc, output = self.run(f"cat > {shlex.quote(destination)} && "
                                  f"chmod {mode:o} {shlex.quote(destination)}", stdin=file.read())
        if rc:
            raise VMError(f"{self.name}: {destination}: {output}")

    @property
    def alive(self):
        """Whether QEMU runs."""
        return self.process is not None and self.process.poll() is None

    def poweroff(self, timeout=30):
        """Clean power-off; returns QEMU's exit status, 0 when all is well."""
        try:
            self.start("sync; poweroff -f")
        except VMError:
            pass
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise VMError(f"{self.name}: did not power off\n{self.console_tail()}") from None
        finally:
            self.kill()
        return status

    def kill(self):
        """Ends QEMU at once, as a power failure would. Does nothing when it has ended."""
        if self.alive:
            self.process.kill()
            self.process.wait()
        if self.channel:
            self.channel.close()
        atexit.unregister(self.kill)
        if not os.environ.get("VGPU_VM_KEEP"):
            self._console = self.console_text()
            shutil.rmtree(self.directory, ignore_errors=True)

    def console_text(self):
        """Everything the VM's kernel has printed; also after the VM's end."""
        try:
            with open(self.console, encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return getattr(self, "_console", "")

    def console_tail(self, lines=40):
        """The last lines of the console, for error messages."""
        return "\n".join(self.console_text().splitlines()[-lines:])

    def qemu_errors(self):
        """What QEMU printed."""
        try:
            with open(os.path.join(self.directory, "qemu.log"), encoding="utf-8",
                      errors="replace") as file:
                return file.read()
        except OSError:
            return ""

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.kill()


def main():
    parser = argparse.ArgumentParser(description="Boot a test VM and run commands in it.")
    parser.add_argument("initramfs")
    parser.add_argument("command", nargs="+")
    parser.add_argument("--memory", type=int, default=512, metavar="MB")
    parser.add_argument("--cpus", type=int, default=1, metavar="N")
    parser.add_argument("--socket", help="give the VM a vgpu-stub device that listens here")
    parser.add_argument("--pool", default="A")
    parser.add_argument("--priority", type=int, default=1)
    parser.add_argument("--vm-id", type=int, default=1)
    parser.add_argument("--append", default="", help="kernel command line")
    parser.add_argument("--timeout", type=float, default=600, help="seconds for each command")
    options = parser.parse_args()
    vgpu = None
    if options.socket:
        vgpu = Vgpu(options.socket, options.pool, options.priority, options.vm_id)
    with VM(options.initramfs, vgpu=vgpu, memory=options.memory, cpus=options.cpus,
            append=options.append) as vm:
        for command in options.command:
            rc, output = vm.run(command, options.timeout)
            sys.stdout.write(output)
            sys.stdout.flush()
            if rc:
                return rc
        vm.poweroff()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (VMError, QemuMissing) as problem:
        sys.exit(f"vm.py: {problem}")
