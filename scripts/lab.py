# SPDX-License-Identifier: Apache-2.0
"""A mediator and VMs for demonstrations and tests, private to one directory.

    with Mediator(build, gpu="soft") as mediator:
        mediator.add_vm("one", vm_id=1, pool="A", priority="high")
        with VM(initramfs, vgpu=mediator.device("one"), name="one") as vm:
            ...
        mediator.stats()
"""

import glob
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

SCRIPTS = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(SCRIPTS, "vm"))

from vm import Vgpu, end_with_parent, make_initramfs  # noqa: E402

PRIORITIES = {"low": 0, "medium": 1, "high": 2}


class MediatorError(Exception):
    """The mediator did not start, or ended while it was needed."""


def programs(build):
    """Paths of the CUDA test programs in a build directory, by name."""
    found = {}
    for path in sorted(glob.glob(os.path.join(build, "tests", "programs", "*"))):
        if os.path.isfile(path) and os.access(path, os.X_OK) and not path.endswith((".so", ".py", ".a")):
            found[os.path.basename(path)] = path
    if not found:
        raise MediatorError(f"{build} holds no test programs: run make (clang must be installed)")
    return found


def guest_initramfs(build, out):
    """A VM's root file system with driver, libraries and all programs."""
    libraries = [os.path.join(build, "guest", "libcuda", "libcuda.so.1")]
    names = list(programs(build).values())
    names += [os.path.join(build, "tests", "faults", name) for name in ("hostile", "exhaust")]
    names.append(os.path.join(build, "guest", "tools", "vgpu-info"))
    # The library is found at run time by dlopen(), as any CUDA program finds it.
    return make_initramfs(out, programs=names, libraries=libraries)


def others_may_enter(path):
    """Whether every directory down to path is open to all users."""
    while path != "/":
        if not os.stat(path).st_mode & 0o001:
            return False
        path = os.path.dirname(path)
    return True


class Mediator:
    """A vgpu-mediatord with a configuration of its own."""

    def __init__(self, build, gpu="auto", config=None, environment=None, options=()):
        """config: keys of mediatord.conf; environment: added for the daemon and its workers."""
        self.build = os.path.abspath(build)
        self.directory = tempfile.mkdtemp(prefix="vgpu-lab-")
        self.run_dir = os.path.join(self.directory, "run")
        self.config_dir = os.path.join(self.directory, "etc")
        self.log = os.path.join(self.directory, "mediatord.log")
        self.gpu = gpu
        self.options = list(options)
        self.environment = dict(os.environ, **(environment or {}))
        self.vms = {}
        self.process = None
        os.makedirs(os.path.join(self.config_dir, "vms.d"))
        os.makedirs(self.run_dir)
        # Workers run as users of their own: they must be able to pass through.
        os.chmod(self.directory, 0o755)
        settings = {"measure_gpu_time": True, "cgroup": "off"}
        if not others_may_enter(self.build):
            # As root, workers get user ids of their own, which cannot reach a build below /root.
            settings["worker_uid_base"] = 0
        settings.update(config or {})
        with open(os.path.join(self.config_dir, "mediatord.conf"), "w", encoding="utf-8") as file:
            json.dump(settings, file)
        self.start()

    def start(self):
        """Starts the daemon; again after it was killed."""
        command = [
            os.path.join(self.build, "mediator", "daemon", "vgpu-mediatord"), "--foreground",
            f"--config-dir={self.config_dir}", f"--run-dir={self.run_dir}", f"--gpu={self.gpu}",
        ] + self.options
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=self.environment, preexec_fn=end_with_parent)
        deadline = time.monotonic() + 60
        while True:
            if self.process.poll() is not None:
                raise MediatorError(f"vgpu-mediatord ended with status {self.process.returncode}\n{self.log_text()}")
            try:
                if self.stats()["gpu"]["ready"]:
                    return
            except (OSError, ValueError):
                pass
            if time.monotonic() > deadline:
                raise MediatorError(f"the GPU driver did not get ready\n{self.log_text()}")
            time.sleep(0.02)

    def add_vm(self, name, vm_id, pool="A", priority="medium", **limits):
        """Configures a VM while the daemon runs."""
        entry = {"socket": os.path.join(self.directory, f"{name}.sock"), "vm_id": vm_id, "pool": pool,
                 "priority": priority}
        if limits:
            entry["limits"] = limits
        path = os.path.join(self.config_dir, "vms.d", f"{name}.json")
        with open(path + ".new", "w", encoding="utf-8") as file:
            json.dump(entry, file)
        os.rename(path + ".new", path)
        self.vms[name] = entry

    def device(self, name):
        """The device to boot that VM with."""
        entry = self.vms[name]
        return Vgpu(entry["socket"], entry["pool"], PRIORITIES[entry["priority"]], entry["vm_id"])

    @property
    def local_socket(self):
        """Where programs on this host connect (environment VGPU_SOCKET)."""
        return os.path.join(self.run_dir, "local.sock")

    def stats(self):
        """What the daemon knows, as a dictionary."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(os.path.join(self.run_dir, "control.sock"))
            client.sendall(b"stats\n")
            data = b""
            while part := client.recv(65536):
                data += part
        return json.loads(data)

    def vm_stats(self, vm_id):
        """One VM's part of stats(), by its number."""
        return next((vm for vm in self.stats()["vms"] if vm["vm_id"] == vm_id), None)

    def log_text(self):
        """Everything the daemon and its workers have logged."""
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def wait_log(self, text, timeout=20, start=0):
        """Waits until text is in the log behind offset start; whether it is."""
        deadline = time.monotonic() + timeout
        while text not in self.log_text()[start:]:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def worker_pids(self):
        """Processes of this daemon's workers."""
        try:
            done = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.process.pid)],
                                  stdout=subprocess.PIPE, text=True, check=False)
        except OSError as error:
            raise MediatorError(f"ps: {error.strerror}; install procps") from error
        return [int(pid) for pid in done.stdout.split()]

    def kill(self):
        """Ends the daemon at once."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def stop(self):
        """Ends the daemon as an operator does; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.process.returncode

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.stop()
        if not os.environ.get("VGPU_VM_KEEP"):
            shutil.rmtree(self.directory, ignore_errors=True)
