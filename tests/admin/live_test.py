#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The database steers a running mediator, and vgpu-admin restarts real VMs.

  live_test.py --build DIR [--vm] [NAME...]

Runs on the software GPU. With --vm also boots VMs through vgpu-vm, runs CUDA programs in them and moves
them between pools. Prints one line per test and `N passed, N failed`.
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "scripts"))

from lab import Mediator, guest_initramfs  # noqa: E402
from vm import VM, VMError, find_accel, find_kernel, find_qemu  # noqa: E402

U1, U2 = "6f1c2a5e-0d47-4c1b-9a77-2f2f1b1f7c01", "6f1c2a5e-0d47-4c1b-9a77-2f2f1b1f7c02"
OPTIONS = None


class Host:
    """A mediator that follows a database, and the commands of its administrator."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="vgpu-live-")
        os.chmod(self.directory, 0o755)
        self.db = os.path.join(self.directory, "config.db")
        self.vgpu_vm = os.path.join(ROOT, "admin", "vgpu-vm", "vgpu-vm")
        self.environment = dict(os.environ, VGPU_DB=self.db, VGPU_HYPERVISOR="none",
                                VGPU_VM_PROGRAM=self.vgpu_vm, VGPU_VM_DIR=os.path.join(self.directory, "vms"))
        self.admin("db", "init")
        self.mediator = Mediator(OPTIONS.build, gpu="soft", options=[f"--db={self.db}"])
        self.environment["VGPU_RUN_DIR"] = self.mediator.run_dir
        self.defined = []

    def admin(self, *arguments, stdin="", status=0):
        done = subprocess.run([os.path.join(OPTIONS.build, "admin", "vgpu-admin", "vgpu-admin"), *arguments],
                              input=stdin, capture_output=True, text=True, timeout=300, env=self.environment,
                              check=False)
        if OPTIONS.show:
            print(f"$ vgpu-admin {' '.join(arguments)}\n{done.stdout}{done.stderr}", flush=True)
        assert done.returncode == status, f"{arguments}: status {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def vm_tool(self, *arguments, status=0):
        done = subprocess.run([self.vgpu_vm, *arguments], capture_output=True, text=True, timeout=300,
                              env=self.environment, check=False)
        assert done.returncode == status, f"{arguments}: status {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def known(self, uuid):
        """What the mediator has of a VM, or None."""
        return next((vm for vm in self.mediator.stats()["vms"] if vm["name"] == uuid), None)

    def wait(self, what, seconds=20):
        """Waits until what() is true. How long that takes depends on the machine."""
        deadline = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < deadline, f"it did not come about\n{self.mediator.log_text()[-3000:]}"
            time.sleep(0.02)

    def close(self):
        for uuid in self.defined:
            subprocess.run([self.vgpu_vm, "stop", "--force", uuid], env=self.environment, check=False,
                           capture_output=True)
        self.mediator.__exit__()
        shutil.rmtree(self.directory)


# ---- the mediator follows the database ----

def test_changes_reach_a_running_mediator(h):
    h.admin("register-vm", f"--vm-uuid={U1}", "--priority=low")
    h.wait(lambda: h.known(U1))
    assert (h.known(U1)["pool"], h.known(U1)["priority"], h.known(U1)["vm_id"]) == ("A", "low", 1)
    h.admin("set-priority", f"--vm-uuid={U1}", "--priority=high")
    h.wait(lambda: h.known(U1)["priority"] == "high")
    h.admin("set-pool", f"--vm-uuid={U1}", "--pool=B")
    h.wait(lambda: (h.known(U1) or {}).get("pool") == "B")
    h.admin("quarantine", f"--vm-uuid={U1}")
    h.wait(lambda: h.known(U1) is None)
    h.admin("release", f"--vm-uuid={U1}")
    h.wait(lambda: h.known(U1))
    h.admin("update-pool", "--pool=B", "--enabled=no")
    h.wait(lambda: h.known(U1) is None)
    h.admin("update-pool", "--pool=B", "--enabled=yes")
    h.wait(lambda: h.known(U1))
    h.admin("remove-vm", f"--vm-uuid={U1}", "--yes")
    h.wait(lambda: h.known(U1) is None)


def test_both_sources_count(h):
    h.mediator.add_vm("from-json", vm_id=7)
    h.admin("register-vm", f"--vm-uuid={U1}", "--vm-id=8")
    h.admin("register-vm", f"--vm-uuid={U2}", "--vm-id=7")
    h.wait(lambda: h.known(U1) and h.known("from-json"))
    assert h.mediator.wait_log("vm_entry_ignored") and h.known(U2) is None
    h.admin("set-vm-id", f"--vm-uuid={U2}", "--vm-id=9")
    h.wait(lambda: h.known(U2))


def test_a_lost_database_takes_nobody_down(h):
    h.admin("register-vm", f"--vm-uuid={U1}")
    h.wait(lambda: h.known(U1))
    backup = os.path.join(h.directory, "backup.db")
    h.admin("db", "backup", backup)
    for name in (h.db, h.db + "-wal", h.db + "-shm"):
        if os.path.exists(name):
            os.unlink(name)
    with open(h.db, "wb") as file:
        file.write(b"no database " * 2000)
    assert h.mediator.wait_log("database_not_read")
    assert h.known(U1)
    h.admin("db", "restore", backup, "--yes")
    h.admin("register-vm", f"--vm-uuid={U2}")
    h.wait(lambda: h.known(U1) and h.known(U2))


def test_a_mediator_starts_before_its_database(h):
    h.mediator.stop()
    for name in os.listdir(h.directory):
        if name.startswith("config.db"):
            os.unlink(os.path.join(h.directory, name))
    h.mediator.start()
    h.admin("db", "init")
    h.admin("register-vm", f"--vm-uuid={U1}")
    h.wait(lambda: h.known(U1))


# ---- real VMs ----

class Running(VM):
    """A VM that vgpu-vm has started: only its command channel is ours."""

    class Process:
        """Nothing to wait for or to kill."""
        returncode = None

        def poll(self):
            return None

        def kill(self):
            pass

        def wait(self, timeout=None):
            return 0

    def __init__(self, path):
        self.name, self.process, self.channel = "vm", self.Process(), socket.socket(socket.AF_UNIX)
        self.directory = tempfile.mkdtemp(prefix="vgpu-vm-")
        self.console = os.path.join(self.directory, "console.log")
        self.jobs, self.next_job, self.lock, self.hello = {}, 1, threading.Lock(), threading.Event()
        self.channel.connect(path)
        threading.Thread(target=self._receive, daemon=True).start()
        if not self.hello.wait(120):
            raise VMError("the VM did not boot")

    def kill(self):
        self.channel.close()
        shutil.rmtree(self.directory, ignore_errors=True)


def vm_test_a_vm_is_moved_limited_quarantined_and_removed(h):
    h.environment["VGPU_HYPERVISOR"] = "qemu"
    initramfs = guest_initramfs(OPTIONS.build, os.path.join(h.directory, "root.cpio"))
    commands, device = (os.path.join(h.directory, name) for name in ("commands.sock", "device.sock"))
    h.defined.append(U1)
    h.vm_tool("define", U1, "--name=web1", f"--kernel={find_kernel()}", f"--initrd={initramfs}", "--memory=512",
              "--append=console=ttyS0 quiet panic=-1", f"--socket={device}", "--stop-timeout=1",
              f"--qemu={find_qemu()}", f"--accel={find_accel()}",
              "--qemu-arg=-chardev", f"--qemu-arg=socket,id=commands,path={commands},server=on,wait=off",
              "--qemu-arg=-device", "--qemu-arg=virtio-serial-pci",
              "--qemu-arg=-device", "--qemu-arg=virtserialport,chardev=commands,name=vgpu.command")
    assert "Not registered" in h.admin("scan-vms")
    h.admin("register-vm", f"--vm-uuid={U1}", f"--socket={device}", "--priority=low")
    h.vm_tool("start", U1)
    assert json.loads(h.vm_tool("list", "--json"))[0]["status"] == "running"

    def info(vm):
        rc, output = vm.run("vgpu-info", timeout=120)
        assert rc == 0, output
        return " ".join(output.lower().split())

    # The VM ends when its command channel closes, so that stays open until the VM is stopped.
    with Running(commands) as vm:
        before = info(vm)
        rc, output = vm.run("/usr/local/bin/vecadd", timeout=120, user="tenant")
        assert rc == 0, output
        output = h.admin("set-priority", f"--vm-uuid={U1}", "--priority=high", stdin="no\n", status=6)
        assert "nothing was changed" in output
        output = h.admin("update-vm", f"--vm-uuid={U1}", "--pool=B", "--priority=high", "--vm-id=12", stdin="yes\n")
        assert "Do you want to apply these settings? (yes/no):" in output
        assert "runs with the new settings" in output
    with Running(commands) as vm:
        after = info(vm)
        assert after != before and "high" in after and "12" in after, after
        rc, output = vm.run("/usr/local/bin/vecadd", timeout=120, user="tenant")
        assert rc == 0, output
        h.wait(lambda: (h.known(U1) or {}).get("calls"))
        h.admin("set-limits", f"--vm-uuid={U1}", "--memory=64", "--gpu-share=50")
        h.admin("status")
        h.admin("quarantine", f"--vm-uuid={U1}", "--reason=test")
        h.wait(lambda: h.known(U1) is None)
        rc, output = vm.run("/usr/local/bin/vecadd", timeout=120, user="tenant")
        assert rc != 0, output
        h.admin("release", f"--vm-uuid={U1}")
        h.wait(lambda: (h.known(U1) or {}).get("clients"))
        rc, output = vm.run("/usr/local/bin/vecadd", timeout=120, user="tenant")
        assert rc == 0, output
        # A VM that does not start any more: the record must be as it was, and the message must say so.
        path = os.path.join(h.directory, "vms", U1, "vm.json")
        with open(path, encoding="utf-8") as file:
            definition = json.load(file)
        kernel = definition["kernel"]
        definition["kernel"] = kernel + ".gone"
        with open(path, "w", encoding="utf-8") as file:
            json.dump(definition, file)
        output = h.admin("set-pool", f"--vm-uuid={U1}", "--pool=A", "--yes", status=5)
        assert "is OFF" in output
        assert json.loads(h.admin("show-vm", f"--vm-uuid={U1}", "--json"))["pool"] == "B"
        definition["kernel"] = kernel
        with open(path, "w", encoding="utf-8") as file:
            json.dump(definition, file)
    h.vm_tool("start", U1)
    h.admin("remove-vm", f"--vm-uuid={U1}", "--yes")
    assert json.loads(h.vm_tool("list", "--json"))[0]["vgpu"] is None
    h.vm_tool("undefine", U1, status=1)
    h.vm_tool("stop", U1)
    h.vm_tool("undefine", U1)
    h.vm_tool("start", U1, status=3)


def main():
    global OPTIONS
    parser = argparse.ArgumentParser(description="The database, the mediator and VMs together.")
    parser.add_argument("--build", default="build", help="build directory (default: build)")
    parser.add_argument("--vm", action="store_true", help="boot VMs as well")
    parser.add_argument("--show", action="store_true", help="print what vgpu-admin prints")
    parser.add_argument("names", nargs="*", help="only these tests")
    OPTIONS = parser.parse_args()
    OPTIONS.build = os.path.abspath(OPTIONS.build)
    prefixes = ("test_", "vm_test_") if OPTIONS.vm else ("test_",)
    passed = failed = 0
    for name, test in list(globals().items()):
        if not name.startswith(prefixes) or (OPTIONS.names and name.split("test_", 1)[1] not in OPTIONS.names):
            continue
        host = Host()
        try:
            test(host)
            passed += 1
            print(f"ok    {name.split('test_', 1)[1]}", flush=True)
        except Exception:
            failed += 1
            print(f"FAIL  {name}\n{traceback.format_exc()}{host.mediator.log_text()[-2000:]}", flush=True)
        finally:
            host.close()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
