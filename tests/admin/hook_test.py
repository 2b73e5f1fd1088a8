#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The hook that looks at a VM before it starts: it reports what is wrong with the VM's device, keeps no VM
from starting unless told to, and nothing that a VM's administrator writes gets further than a comparison.

  hook_test.py --admin PROGRAM

xe is fake_xe.py. Prints one line per test and `N passed, N failed`.
"""

import argparse
import os
import subprocess
import sys
import traceback

import admin_test
from admin_test import DEVICE, U1, U2, U3, Bench

SCRIPT = os.path.join(admin_test.HERE, "..", "..", "packaging", "xcp-ng", "vgpu-vm-startup.sh")


def start(b, *arguments, environment=None):
    environment = dict(b.environment, VGPU_ADMIN=admin_test.OPTIONS.admin,
                       VGPU_REQUIRE_FILE=os.path.join(b.directory, "require-vgpu"), **(environment or {}))
    done = subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, timeout=120, env=environment,
                          check=False)
    return done.returncode, done.stdout + done.stderr


def hook(b, uuid, **keywords):
    return start(b, "-vmuuid", uuid, "-reason", "clean-boot", **keywords)


def prepare(b):
    b.run("db", "init")
    b.use_xe()
    b.run("register-vm", f"--vm-uuid={U1}", "--priority=high", "--vm-id=7",
          "--vm-name=x\", \"pool\": \"Z\", \"vm_id\": 9")
    b.load()
    b.xe["calls"] = []
    b.store()


def test_a_vm_as_on_record_starts(b):
    prepare(b)
    assert hook(b, U1) == (0, "")
    assert hook(b, U1.upper()) == (0, "")
    assert start(b, U1) == (0, "")


def test_a_vm_that_is_not_registered_is_no_business_of_ours(b):
    prepare(b)
    assert hook(b, U2) == (0, "")
    assert hook(b, U3) == (0, "")
    assert start(b, U2) == (0, "")
    b.load()
    assert b.xe["calls"] == []


def test_what_is_smuggled_is_reported_and_goes_nowhere(b):
    prepare(b)
    good = DEVICE.format("A", 2, 7)
    for value in (good + " -device e1000", good + ",addr=2", good.replace("A", "B"), good + "\n-device e1000",
                  "-device vgpu-stub,pool_id=A,priority=2,vm_id=70", " " + good, "$(touch /tmp/smuggled)",
                  good + "; nx: false", ""):
        b.xe["vms"][U1]["platform"]["device-model-args"] = value
        b.store()
        status, output = hook(b, U1)
        assert status == 1 and "does not have the device that is on record" in output, (value, status, output)
        b.load()
        assert b.xe["vms"][U1]["platform"]["device-model-args"] == value
    assert {call[0] for call in b.xe["calls"]} == {"vm-param-get"}
    status, output = start(b, U1)
    assert status == 0 and "is set up" in output, output
    assert b.load()[U1]["platform"]["device-model-args"] == good


def test_odd_arguments_run_nothing(b):
    prepare(b)
    for uuid in ("", ";reboot", f"{U1};id", f"{U1} --db=/x", "$(id)", "*", U1[:-1], U1 + "0", U1 + "\n"):
        assert hook(b, uuid) == (0, ""), uuid
        assert start(b, uuid)[0] == 2, uuid
    assert start(b)[0] == 2
    assert start(b, U1, U2)[0] == 2
    assert start(b, "-vmuuid")[0] == 0
    b.load()
    assert b.xe["calls"] == []


def test_our_own_trouble_keeps_no_vm_from_starting(b):
    prepare(b)
    broken = [{"VGPU_DB": "/nonexistent"}, {"VGPU_ADMIN": "/nonexistent"}, {"VGPU_ADMIN": "/bin/true"},
              {"VGPU_ADMIN": "/bin/false"}, {"VGPU_XE": "/nonexistent"}]
    for environment in broken:
        environment = dict({"VGPU_ADMIN": admin_test.OPTIONS.admin}, **environment)
        done = subprocess.run([SCRIPT, "-vmuuid", U1, "-reason", "x"], capture_output=True, text=True, timeout=120,
                              env=dict(b.environment, VGPU_REQUIRE_FILE="/nonexistent", **environment), check=False)
        assert done.returncode == 1 and U1 in done.stderr, (environment, done)
    with open(os.path.join(b.directory, "require-vgpu"), "w", encoding="ascii"):
        pass
    assert hook(b, U1) == (0, "")
    assert hook(b, U1, environment={"VGPU_DB": "/nonexistent"})[0] == 2
    assert hook(b, U2) == (0, "")


def main():
    parser = argparse.ArgumentParser(description="Tests of the start hook.")
    parser.add_argument("--admin", required=True, help="the program")
    admin_test.OPTIONS = parser.parse_args()
    admin_test.OPTIONS.admin = os.path.abspath(admin_test.OPTIONS.admin)
    passed = failed = 0
    for name, test in list(globals().items()):
        if not name.startswith("test_"):
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
