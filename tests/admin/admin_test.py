#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What an administrator sees and relies on: every command of vgpu-admin against a fresh database, every
refusal, and the restart of a VM with the hypervisor failing at each step.

  admin_test.py --admin PROGRAM [NAME...]

The hypervisor here is fake_xe.py, a program with xe's commands that keeps state; a real XCP-ng host
is not needed, and not tested. Prints one line per test and `N passed, N failed`.
"""

import argparse
import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
U1, U2, U3 = (f"6f1c2a5e-0d47-4c1b-9a77-2f2f1b1f7c0{n}" for n in (1, 2, 3))
OPTIONS = None


class Bench:
    """A directory with a database and a state of fake_xe."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="vgpu-admin-")
        self.db = os.path.join(self.directory, "config.db")
        self.state_file = os.path.join(self.directory, "xe.json")
        self.environment = {"PATH": os.environ["PATH"], "VGPU_DB": self.db, "VGPU_HYPERVISOR": "none",
                            "VGPU_RUN_DIR": self.directory, "VGPU_XE": os.path.join(HERE, "fake_xe.py"),
                            "FAKE_XE_STATE": self.state_file, "LC_ALL": "C.UTF-8"}
        self.xe = {"vms": {}, "fail": {}, "fail_after": {}, "fail_times": {}, "calls": []}

    def run(self, *arguments, stdin="", status=0, environment=None):
        done = subprocess.run([OPTIONS.admin, *arguments], input=stdin, capture_output=True, text=True,
                              timeout=120, env=dict(self.environment, **(environment or {})), check=False)
        assert done.returncode == status, \
            f"{arguments}: status {done.returncode}, expected {status}\n{done.stdout}{done.stderr}"
        if status and status != 7:
            assert done.stderr.startswith("vgpu-admin: ") and done.stderr.count("\n") == 1, done.stderr
        return done.stdout + done.stderr

    def json(self, *arguments, **keywords):
        done = self.run(*arguments, "--json", **keywords)
        return json.loads(done[:done.rindex("vgpu-admin: ")] if "vgpu-admin: " in done else done)

    def use_xe(self, power="running"):
        self.environment["VGPU_HYPERVISOR"] = "xe"
        self.xe["vms"] = {U1: {"name": "web1", "power": power, "platform": {"nx": "true", "acpi": "1"}},
                          U2: {"name": "db \x1b[2J", "power": "halted", "platform": {}}}
        self.store()

    def store(self):
        with open(self.state_file, "w", encoding="utf-8") as file:
            json.dump(self.xe, file)

    def load(self):
        with open(self.state_file, encoding="utf-8") as file:
            self.xe = json.load(file)
        return self.xe["vms"]

    def close(self):
        shutil.rmtree(self.directory)


def fresh(bench):
    bench.run("db", "init")


# ---- the record ----

def test_a_tour_of_the_record(b):
    fresh(b)
    assert "up to date" in b.run("db", "init")
    assert [pool["pool"] for pool in b.json("list-pools")] == ["A", "B"]
    vm = b.json("register-vm", f"--vm-uuid={U1.upper()}", "--vm-name=web1", "--priority=high")
    assert (vm["vm_uuid"], vm["vm_id"], vm["pool"], vm["priority"]) == (U1, 1, "A", "high")
    vm = b.json("register-vm", "--vm-uuid", U2, "--pool", "B", "--vm-id", "9")
    assert (vm["vm_id"], vm["pool"], vm["priority"]) == (9, "B", "medium")
    assert b.json("register-vm", f"--vm-uuid={U3}")["vm_id"] == 2
    assert [vm["vm_uuid"] for vm in b.json("list-vms")] == [U1, U3, U2]
    assert [vm["vm_uuid"] for vm in b.json("list-vms", "--pool=A", "--priority=high")] == [U1]
    assert "No VM" in b.run("list-vms", "--pool=B", "--priority=low")
    lines = b.run("list-vms").splitlines()
    assert lines[0].split() == ["VM-ID", "VM-UUID", "NAME", "POOL", "PRIORITY", "STATE"]
    assert len({line.index(" A " if " A " in line else " B ") for line in lines[1:]}) == 1, lines
    b.run("create-pool", "--pool=C", "--name=Research", "--weight=300", "--description=for students")
    pool = b.json("update-pool", "--pool=C", "--gpu=GPU-5c3a", "--enabled=no")
    assert pool["gpu"] == "GPU-5c3a" and pool["weight"] == 300 and not pool["enabled"]
    assert "is changed" in b.run("set-pool", f"--vm-uuid={U1}", "--pool=C")
    assert [vm["vm_uuid"] for vm in b.json("show-pool", "--pool=C")["members"]] == [U1]
    assert b.json("set-priority", f"--vm-uuid={U1}", "--priority=low")["priority"] == "low"
    assert b.json("set-vm-id", f"--vm-uuid={U1}", "--vm-id=77")["vm_id"] == 77
    vm = b.json("update-vm", f"--vm-uuid={U1}", "--pool=A", "--vm-name=web-1", "--priority=medium")
    assert (vm["pool"], vm["name"], vm["priority"], vm["vm_id"]) == ("A", "web-1", "medium", 77)
    b.run("remove-pool", "--pool=C")
    vm = b.json("set-limits", f"--vm-uuid={U1}", "--gpu-share=25", "--gpu-burst=500", "--submissions=1000",
                "--queue-depth=64", "--memory=8192", "--watchdog=2000")
    assert (vm["gpu_share_percent"], vm["gpu_burst_ms"], vm["submissions_per_s"], vm["queue_depth"],
            vm["memory_mib"], vm["watchdog_ms"]) == (25, 500, 1000, 64, 8192, 2000)
    vm = b.json("set-limits", f"--vm-uuid={U1}", "--gpu-share=none")
    assert vm["gpu_share_percent"] is None and vm["memory_mib"] == 8192
    assert b.json("set-weight", f"--vm-uuid={U1}", "--weight=400")["weight"] == 400
    assert b.json("set-weight", f"--vm-uuid={U1}", "--weight=0")["weight"] is None
    vm = b.json("quarantine", f"--vm-uuid={U1}", "--reason=it's \"bad\"")
    assert vm["state"] == "quarantined" and vm["quarantine_reason"] == "it's \"bad\""
    assert not b.json("release", f"--vm-uuid={U1}")["quarantined"]
    settings = b.json("scheduler", "set", "--policy=rr", "--quantum=2000", "--weight-low=1", "--weight-medium=2",
                      "--weight-high=4", "--aging=none", "--watchdog=5000")
    assert settings == b.json("scheduler", "show")
    assert (settings["policy"], settings["quantum_us"], settings["weight_high"], settings["aging_ms"]) == \
        ("rr", 2000, 4, None)
    status = b.json("status")
    assert not status["mediator_running"] and len(status["vms"]) == 3
    assert "not running" in b.run("status")
    assert "remove-vm needs --vm-uuid" in b.run("remove-vm", status=2)
    assert "nothing was changed" in b.run("remove-vm", f"--vm-uuid={U1}", stdin="no\n", status=6)
    b.run("remove-vm", f"--vm-uuid={U1}", stdin="maybe\nyes\n")
    b.run("show-vm", f"--vm-uuid={U1}", status=3)
    audit = b.json("db", "audit", "--limit=2")
    assert [row["what"] for row in audit] == ["remove-vm", "scheduler-set"]
    assert "is whole" in b.run("db", "check")


def test_refusals_name_the_fix(b):
    assert "vgpu-admin db init" in b.run("list-vms", status=4)
    fresh(b)
    b.run("register-vm", f"--vm-uuid={U1}", "--vm-id=5")
    for arguments, status, text in [
            (("register-vm", f"--vm-uuid={U1}"), 2, "registered already"),
            (("register-vm", f"--vm-uuid={U2}", "--vm-id=5"), 2, "the lowest free one is 1"),
            (("register-vm", f"--vm-uuid={U2}", "--vm-id=0"), 2, "whole number from 1"),
            (("register-vm", f"--vm-uuid={U2}", "--vm-id=-1"), 2, "whole number"),
            (("register-vm", f"--vm-uuid={U2}", "--vm-id=4294967297"), 2, "whole number"),
            (("register-vm", f"--vm-uuid={U2}", "--vm-id=99999999999999999999"), 2, "whole number"),
            (("register-vm", f"--vm-uuid={U2}", "--pool=Q"), 2, "no pool Q; vgpu-admin list-pools"),
            (("register-vm", f"--vm-uuid={U2}", "--pool=a"), 2, "one letter"),
            (("register-vm", f"--vm-uuid={U2}", "--pool=AB"), 2, "one letter"),
            (("register-vm", f"--vm-uuid={U2}", "--priority=urgent"), 2, "low, medium or high"),
            (("register-vm", f"--vm-uuid={U2}", "--vm-name=a\nb"), 2, "one line"),
            (("register-vm", f"--vm-uuid={U2}", "--socket=x"), 2, "absolute path"),
            (("register-vm", "--vm-uuid=123"), 2, "8-4-4-4-12"),
            (("register-vm", f"--vm-uuid={U2}0"), 2, "8-4-4-4-12"),
            (("register-vm", f"--vm-uuid={U2[:-1]}g"), 2, "8-4-4-4-12"),
            (("register-vm",), 2, "needs --vm-uuid=UUID"),
            (("show-vm", f"--vm-uuid={U2}"), 3, "not registered"),
            (("set-pool", f"--vm-uuid={U1}", "--pool=Q"), 2, "no pool Q"),
            (("set-pool", f"--vm-uuid={U2}", "--pool=A"), 3, "not registered"),
            (("set-limits", f"--vm-uuid={U1}"), 2, "say what to limit"),
            (("set-limits", f"--vm-uuid={U1}", "--gpu-share=101"), 2, "from 1 to 100"),
            (("set-limits", f"--vm-uuid={U1}", "--memory=1e9"), 2, "whole number"),
            (("release", f"--vm-uuid={U1}"), 2, "not in quarantine"),
            (("create-pool", "--pool=A"), 2, "exists already"),
            (("create-pool", "--pool=C", "--gpu=$(reboot)"), 2, "UUID, PCI address or index"),
            (("remove-pool", "--pool=A"), 2, "in use by 1 VM"),
            (("remove-pool", "--pool=Z"), 3, "no pool Z"),
            (("list-vms", "--pool=Z"), 3, "no pool Z"),
            (("scheduler", "set", "--policy=best"), 2, "fair or rr"),
            (("scheduler", "set"), 2, "say what to change"),
            (("scheduler",), 2, "scheduler show, scheduler set"),
            (("list-pools", "--pool=A"), 2, "does not take --pool"),
            (("list-pools", "--colour"), 2, "unknown option --colour"),
            (("list-pools", "more"), 2, "unexpected argument more"),
            (("list-pools", "--json=yes"), 2, "takes no value"),
            (("list-vms", "--pool=A", "--pool=B"), 2, "given twice"),
            (("make-coffee",), 2, "unknown command make-coffee"),
            ((), 2, "no command given"),
            (("scan-vms",), 5, "no hypervisor was found"),
            (("list-vms", "--hypervisor=xe", "--db=/nonexistent/x.db"), 4, "does not exist"),
            (("metrics",), 1, "does not answer"),
            (("db", "restore", "/nonexistent", "--yes"), 4, "does not exist")]:
        output = b.run(*arguments, status=status)
        assert text in output, f"{arguments}: {output}"
    answer = b.json("show-vm", f"--vm-uuid={U2}", status=3)
    assert answer["exit_status"] == 3 and U2 in answer["error"]
    assert len(b.json("list-vms")) == 1


def test_backup_restore_and_damage(b):
    fresh(b)
    backup = os.path.join(b.directory, "backup.db")
    b.run("register-vm", f"--vm-uuid={U1}")
    b.run("db", "backup", backup)
    assert "no backup was written" in b.run("db", "backup", backup, stdin="no\n", status=6)
    b.run("db", "backup", backup, "--yes")
    b.run("remove-vm", f"--vm-uuid={U1}", "--yes")
    b.run("db", "restore", backup, "--yes")
    assert len(b.json("list-vms")) == 1
    with open(b.db, "r+b") as file:
        for page in range(os.path.getsize(b.db) // 4096):
            file.seek(page * 4096)
            file.write(b"damage" * 20)
    assert "db restore" in b.run("list-vms", status=4)
    assert "db restore" in b.run("db", "check", status=4)
    b.run("db", "restore", backup, "--yes")
    assert len(b.json("list-vms")) == 1 and os.path.exists(b.db + ".damaged")
    with open(backup, "r+b") as file:
        file.truncate(5000)
    b.run("db", "restore", backup, "--yes", status=4)
    assert len(b.json("list-vms")) == 1


def test_who_may_not_write_is_told(b):
    if os.geteuid():
        return
    fresh(b)
    os.chmod(b.directory, 0o755)
    # A copy: the build directory may be closed to other users.
    admin = shutil.copy(OPTIONS.admin, os.path.join(b.directory, "vgpu-admin"))
    for user_command in (["list-vms"], ["register-vm", f"--vm-uuid={U1}"]):
        done = subprocess.run([admin, *user_command], env=b.environment, capture_output=True, text=True,
                              user=65534, group=65534, check=False)
        assert done.returncode == 4 and "run as root" in done.stderr, done.stderr


def test_a_thousand_vms_are_listed(b):
    fresh(b)
    script = "".join(f"INSERT INTO vms (vm_uuid, vm_id, name, pool_id) VALUES "
                     f"('00000000-0000-0000-0000-{n:012x}', {n + 1}, 'vm{n}', '{'AB'[n % 2]}');" for n in range(1000))
    with sqlite3.connect(b.db) as connection:
        connection.executescript("BEGIN;" + script + "COMMIT;")
    connection.close()
    for command in ("list-vms", "status"):
        start = time.monotonic()
        lines = b.run(command).splitlines()
        print(f"  {command}: 1000 VMs in {(time.monotonic() - start) * 1e3:.0f} ms")
        assert len(lines) >= 1001


# ---- the restart ----

DEVICE = "-device vgpu-stub,pool_id={},priority={},vm_id={}"


def register(b, power="running"):
    fresh(b)
    b.use_xe(power)
    b.run("register-vm", f"--vm-uuid={U1}", "--pool=A", "--priority=medium")
    assert b.load()[U1]["platform"]["device-model-args"] == DEVICE.format("A", 1, 1)
    b.xe["calls"] = []


def expect_old(b, power="running"):
    """The VM is as it was, on record, in the hypervisor and running."""
    vm = b.json("show-vm", f"--vm-uuid={U1}")
    assert (vm["pool"], vm["priority"], vm["vm_id"]) == ("A", "medium", 1), vm
    state = b.load()[U1]
    assert state["platform"] == {"nx": "true", "acpi": "1", "device-model-args": DEVICE.format("A", 1, 1)}, state
    assert state["power"] == power, state


def test_a_restart_applies_all_settings(b):
    register(b)
    b.store()
    output = b.run("update-vm", f"--vm-uuid={U1}", "--pool=B", "--priority=high", "--vm-id=42", stdin="yes\n")
    assert "Do you want to apply these settings? (yes/no):" in output
    assert re.search(r"pool +A +B\npriority +medium +high\nvm_id +1 +42\n", output), output
    assert "It runs with the new settings." in output
    state = b.load()[U1]
    assert state["power"] == "running" and state["platform"]["device-model-args"] == DEVICE.format("B", 2, 42)
    assert state["platform"]["nx"] == "true"
    commands = [call[0] for call in b.xe["calls"]]
    assert commands == ["vm-list", "vm-param-get", "vm-shutdown", "vm-param-set", "vm-start"], commands


def test_no_means_nothing_is_touched(b):
    register(b)
    b.store()
    for answer in ("no\n", ""):
        b.run("set-priority", f"--vm-uuid={U1}", "--priority=high", stdin=answer, status=6)
        expect_old(b)
    assert {call[0] for call in b.xe["calls"]} == {"vm-list"}


def test_failure_at_any_step_is_rolled_back(b):
    for command, how, told in [
            ("vm-list", "Lost connection to the server.", "nothing was changed"),
            ("vm-param-get", "Authentication failed", "nothing was changed"),
            ("vm-param-set", "Permission denied by RBAC", "started again with the settings it had"),
            ("vm-param-set", "late Internal error", "started again with the settings it had"),
            ("vm-start", "Not enough memory", "started again with the settings it had"),
            ("vm-start", "late Timed out", "runs with the settings it had")]:
        inner = Bench()
        try:
            register(inner)
            inner.xe["fail"] = {command: how}
            inner.xe["fail_times"] = {command: 1}
            inner.store()
            output = inner.run("set-pool", f"--vm-uuid={U1}", "--pool=B", "--yes", status=5)
            assert how.removeprefix("late ") in output and told in output, output
            expect_old(inner)
        finally:
            inner.close()


def test_a_vm_that_does_not_stop_keeps_its_settings(b):
    register(b)
    b.xe["fail"] = {"vm-shutdown": "The VM did not acknowledge", "vm-shutdown force": "Internal error"}
    b.store()
    output = b.run("set-pool", f"--vm-uuid={U1}", "--pool=B", "--yes", status=5)
    assert "did not acknowledge" in output and "still runs as it did" in output, output
    expect_old(b)
    b.xe["fail"] = {"vm-shutdown": "The VM did not acknowledge"}
    b.store()
    b.run("set-pool", f"--vm-uuid={U1}", "--pool=B", "--yes")
    assert b.load()[U1]["platform"]["device-model-args"] == DEVICE.format("B", 1, 1)


def test_a_vm_that_cannot_be_brought_back_is_told(b):
    register(b)
    b.xe["fail"] = {"vm-start": "No host has enough memory"}
    b.store()
    output = b.run("set-pool", f"--vm-uuid={U1}", "--pool=B", "--yes", status=5)
    assert "starting the VM failed" in output and "is OFF: " in output, output
    expect_old(b, "halted")


def test_a_refused_value_costs_no_restart(b):
    register(b)
    b.run("register-vm", f"--vm-uuid={U2}", "--vm-id=2")
    b.load()
    b.xe["calls"] = []
    b.store()
    b.run("set-vm-id", f"--vm-uuid={U1}", "--vm-id=2", "--yes", status=2)
    b.run("set-pool", f"--vm-uuid={U1}", "--pool=Q", "--yes", status=2)
    assert "already; nothing was changed" in b.run("set-pool", f"--vm-uuid={U1}", "--pool=A")
    expect_old(b)
    assert not [call for call in b.xe["calls"] if call[0] != "vm-list"]


def test_no_restart_leaves_the_vm_running(b):
    register(b)
    b.store()
    output = b.run("set-priority", f"--vm-uuid={U1}", "--priority=low", "--no-restart")
    assert "next started" in output and "?" not in output
    state = b.load()[U1]
    assert state["power"] == "running" and state["platform"]["device-model-args"] == DEVICE.format("A", 0, 1)
    assert "vm-shutdown" not in [call[0] for call in b.xe["calls"]]
    b.xe["fail"] = {"vm-param-set": "Permission denied"}
    b.store()
    assert "nothing was changed" in b.run("set-priority", f"--vm-uuid={U1}", "--priority=high", "--no-restart",
                                          status=5)
    assert b.json("show-vm", f"--vm-uuid={U1}")["priority"] == "low"


def test_a_halted_vm_is_not_started(b):
    register(b, "halted")
    b.store()
    output = b.run("set-priority", f"--vm-uuid={U1}", "--priority=low")
    assert "when it is started" in output and "yes/no" not in output
    assert b.load()[U1]["power"] == "halted"
    assert b.xe["vms"][U1]["platform"]["device-model-args"] == DEVICE.format("A", 0, 1)


def test_a_suspended_vm_is_not_shut_down(b):
    register(b, "suspended")
    b.store()
    assert "resume it" in b.run("set-pool", f"--vm-uuid={U1}", "--pool=B", "--yes", status=5)
    expect_old(b, "suspended")
    assert {call[0] for call in b.xe["calls"]} == {"vm-list"}


def test_scan_groups_by_pool_and_shows_strangers(b):
    register(b)
    output = b.run("scan-vms")
    assert re.search(r"^Pool A\n.*\n +1 +" + U1, output, re.M) and "Not registered" in output, output
    assert "\x1b" not in output
    rows = b.json("scan-vms")
    assert [(row["vm_uuid"], row["registered"]) for row in rows] == [(U1, True), (U2, False)]
    b.xe["fail"] = {"vm-list": "Lost connection to the server."}
    b.store()
    assert "Lost connection" in b.run("scan-vms", status=5)


def test_removal_takes_the_device_away(b):
    register(b)
    b.store()
    b.run("remove-vm", f"--vm-uuid={U1}", "--yes")
    assert b.load()[U1]["platform"] == {"nx": "true", "acpi": "1"}


def test_registration_that_xe_refuses_is_undone(b):
    fresh(b)
    b.use_xe()
    b.xe["fail"] = {"vm-param-set": "Permission denied"}
    b.store()
    assert "it is not registered" in b.run("register-vm", f"--vm-uuid={U1}", status=5)
    assert b.json("list-vms") == []


def test_nothing_of_a_name_reaches_the_hypervisor(b):
    register(b)
    b.store()
    b.run("update-vm", f"--vm-uuid={U1}", "--vm-name=x; -device e1000 $(id) '\"", "--pool=B", "--yes")
    assert b.load()[U1]["platform"]["device-model-args"] == DEVICE.format("B", 1, 1)
    for call in b.xe["calls"]:
        assert "e1000" not in " ".join(call)


# ---- the mediator ----

class FakeDaemon(threading.Thread):
    """Answers `stats` as vgpu-mediatord does."""

    def __init__(self, directory):
        super().__init__(daemon=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(os.path.join(directory, "control.sock"))
        self.listener.listen(8)
        self.asked = 0
        self.quarantined = False

    def run(self):
        while True:
            client, _ = self.listener.accept()
            client.recv(64)
            self.asked += 1
            vm = {"name": "x", "vm_id": 1, "pool": "A", "priority": "high", "backend": "device", "clients": 1,
                  "workers": 1, "channels_open": 1, "channels_opened": 1, "channels_refused": 0,
                  "channels_lost": 2, "violations": 3, "calls": 1000 * self.asked, "bytes": 1 << 20,
                  "utilization": 0.25, "throttled": False, "faults": 4, "submissions": 9,
                  "quarantined": self.quarantined, "gpu_ns": 500_000_000 * self.asked, "gate_wait_ns": 5, "device_memory": 1 << 30,
                  "latency_ns": {"count": 1, "p50": 1000, "p95": 2000, "p99": 3000}, "ops": []}
            stats = {"uptime_ns": 1_000_000_000 * self.asked, "workers": 1, "vms": [vm],
                     "gpu": {"ready": True, "driver": "libx", "device": "Test GPU", "memory_bytes": 80 << 30}}
            client.sendall(json.dumps(stats).encode())
            client.close()


def test_status_top_and_metrics_of_a_mediator(b):
    fresh(b)
    b.run("register-vm", f"--vm-uuid={U1}", "--vm-name=web1")
    b.run("register-vm", f"--vm-uuid={U2}")
    daemon = FakeDaemon(b.directory)
    daemon.start()
    status = b.json("status")
    assert status["pools"][0]["gpu_percent"] == status["vms"][0]["gpu_percent"] == 25
    assert [vm["state"] for vm in status["vms"]] == ["running", "not served"]
    assert status["vms"][0]["channels_lost"] == 2 and status["pools"][0]["running"] == 1
    assert status["gpu"]["device"] == "Test GPU"
    output = b.run("status")
    assert "Test GPU, 81920 MiB" in output and "web1" in output
    assert "not in quarantine" in b.run("release", f"--vm-uuid={U1}", status=2)
    daemon.quarantined = True
    assert b.json("status")["vms"][0]["state"] == "quarantined"
    b.run("release", f"--vm-uuid={U1}")
    rows = b.json("top", "--interval=1", "--count=1")
    assert abs(rows[0]["gpu_percent"] - 50) < 0.01 and abs(rows[0]["calls_per_s"] - 1000) < 0.01
    assert "GPU %" in b.run("top", "--interval=1", "--count=1")
    assert b.json("metrics")["vms"][0]["violations"] == 3
    assert "3.0 us" in b.run("metrics")


def test_doctor_finds_faults(b):
    report = b.json("doctor", status=7)
    lines = {line["what"]: line for line in report["lines"]}
    assert lines["database"]["verdict"] == "fault" and "db init" in lines["database"]["found"]
    assert lines["mediator"]["verdict"] == "fault"
    fresh(b)
    FakeDaemon(b.directory).start()
    done = subprocess.run([OPTIONS.admin, "doctor", "--json"], env=dict(b.environment, VGPU_QEMU="/bin/true"),
                          capture_output=True, text=True, check=False)
    lines = {line["what"]: line for line in json.loads(done.stdout)["lines"]}
    assert lines["database"]["verdict"] == lines["mediator"]["verdict"] == lines["GPU"]["verdict"] == "ok"
    assert lines["QEMU"]["verdict"] == "fault", lines["QEMU"]


# ---- help ----

def test_every_command_is_in_help_completion_and_man_page(b):
    overview = b.run("--help")
    names = re.findall(r"^  ([a-z][-a-z ]*?)  +\S", overview.split("Options of every")[0], re.M)
    assert len(names) > 25, names
    man, bash = b.run("--generate=man"), b.run("--generate=bash")
    subprocess.run(["bash", "-n"], input=bash, text=True, check=True)
    for name in names:
        text = b.run(*name.split(), "--help")
        assert text.startswith(f"Usage: vgpu-admin {name}") and "Example:" in text
        assert ".SS " + name.replace("-", "\\-") in man
        for option in re.findall(r"^  --([-a-z]+)", text, re.M):
            assert f"--{option}" in bash

    def complete(*words):
        script = bash + f"\nCOMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}\n" \
                        "compopt() { :; }\n_vgpu_admin; printf '%s\\n' \"${COMPREPLY[@]}\"\n"
        return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.split()

    assert "set-priority" in complete("vgpu-admin", "set-p")
    assert complete("vgpu-admin", "scheduler", "s") == ["show", "set"]
    assert complete("vgpu-admin", "set-priority", "--priority", "=", "m") == ["medium"]
    assert "--gpu-share=" in complete("vgpu-admin", "set-limits", "--g")


def main():
    global OPTIONS
    parser = argparse.ArgumentParser(description="Tests of vgpu-admin.")
    parser.add_argument("--admin", required=True, help="the program")
    parser.add_argument("names", nargs="*", help="only these tests")
    OPTIONS = parser.parse_args()
    OPTIONS.admin = os.path.abspath(OPTIONS.admin)
    passed = failed = 0
    for name, test in list(globals().items()):
        if not name.startswith("test_") or (OPTIONS.names and name[5:] not in OPTIONS.names):
            continue
        bench = Bench()
        try:
            test(bench)
            passed += 1
            print(f"ok    {name[5:]}", flush=True)
        except Exception:
            failed += 1
            print(f"FAIL  {name[5:]}\n{traceback.format_exc()}", flush=True)
        finally:
            bench.close()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
