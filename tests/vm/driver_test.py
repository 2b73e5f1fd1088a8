#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""vgpu.ko in a test VM, with this program as the mediator.

    driver_test.py [--work DIR] [NAME...]

Runs the tests whose name contains one of NAME, all without one. The last line is
"N passed, N failed"; status 1 when any failed, 77 when there is no QEMU to run them in.
"""

import argparse
import os
import re
import struct
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "scripts", "vm"))
sys.path.insert(0, HERE)

from fake_mediator import CHANNEL_CLOSE, CHANNEL_OPEN, DEAD, Channel, FakeMediator  # noqa: E402
from vm import VM, QemuMissing, Vgpu, find_qemu, make_initramfs  # noqa: E402

MIB = 1 << 20
BASE = 0x1E0000000000
PARAMETERS = "/sys/module/vgpu/parameters"
NO_MEDIATOR, LINK_LOST, LIMIT, WORKER_DIED = 1, 2, 5, 8


class Guest:
    """The VM under test and what is needed to talk to it."""

    def __init__(self, vm, socket):
        self.vm = vm
        self.socket = socket
        self.mediators = []

    def mediator(self, **options):
        """A mediator, with the guest having noticed it."""
        mediator = FakeMediator(self.socket, **options)
        self.mediators.append(mediator)
        if options.get("welcome", 0) == 0:
            self.wait_link(1)
        return mediator

    def wait_link(self, status):
        """Until INFO says so."""
        deadline = time.monotonic() + 10
        while f"status={status} " not in self.ok("vgpu_devtest open info"):
            assert time.monotonic() < deadline, f"link status is not {status}"

    def ok(self, command, **options):
        """Output of a command that must succeed."""
        rc, output = self.vm.run(command, **options)
        assert rc == 0, f"{command}: status {rc}: {output}"
        return output

    def steps(self, steps, user="tenant"):
        """Starts vgpu_devtest."""
        return self.vm.start(f"exec vgpu_devtest {steps}", user=user)

    def free_mb(self):
        """Free memory of the guest."""
        return int(re.search(r"MemFree: *(\d+)", self.ok("cat /proc/meminfo")).group(1)) // 1024

    def wait_free_mb(self, least):
        """Until so much is free."""
        deadline = time.monotonic() + 10
        while self.free_mb() < least:
            assert time.monotonic() < deadline, f"{self.free_mb()} MiB free, {least} expected"
            time.sleep(0.05)

    def cleanup(self):
        """Between tests: no process, no mediator, a freshly loaded driver."""
        for mediator in self.mediators:
            mediator.close()
        self.mediators = []
        for job in list(self.vm.jobs.values()):
            job.kill()
            job.wait(10)
        self.vm.run("killall -9 vgpu_devtest sleep; sleep 0.05; rm -f /tmp/go*")
        self.reload()

    def reload(self, parameters=""):
        """Loads the driver afresh."""
        deadline = time.monotonic() + 10
        while self.vm.run("! test -e /sys/module/vgpu || rmmod vgpu")[0]:
            assert time.monotonic() < deadline, "rmmod fails"
            time.sleep(0.05)
        self.ok(f"modprobe vgpu {parameters}")
        deadline = time.monotonic() + 10
        while "vgpu" not in self.ok("stat -c %G /dev/vgpu0"):
            assert time.monotonic() < deadline, "mdev did not set the group"
            time.sleep(0.05)


def expect(job, text, timeout=20):
    """The job prints this line."""
    assert job.wait_for(text + "\n", timeout), f"'{text}' is not in: {job.output}"


def pattern(seed, size):
    """What vgpu_devtest's fill writes."""
    return b"".join(struct.pack("<Q", ((seed << 32) + i * 0x9E3779B97F4A7C15) & (1 << 64) - 1)
                    for i in range(size // 8))


def connected(guest, mediator, more="hold", megabytes=4):
    """A process with an open channel: (job, channel)."""
    job = guest.steps(f"open arena-mb={megabytes} map={BASE:#x} connect {more}")
    channel = mediator.accept()
    expect(job, f"connect: channel {channel.number}")
    return job, channel


def test_lspci_shows_the_device(guest):
    assert re.search(r"Processing accelerators \[1200\]: .*\[1af4:1111\] \(rev 01\)",
                     guest.ok("lspci -nn")), guest.ok("lspci -nn")
    details = guest.ok("lspci -v -d 1af4:1111")
    assert "Kernel driver in use: vgpu" in details and "MSI-X: Enable+" in details, details
    assert re.search(r"VM 7, pool B, priority 2, 64 channels", guest.ok("dmesg"))


def test_only_the_group_may_use_it(guest):
    assert "crw-rw---- root vgpu" in guest.ok("stat -c '%A %U %G' /dev/vgpu0")
    assert guest.ok("vgpu_devtest open", user="tenant") == "open: 0\n"
    assert guest.ok("vgpu_devtest open", user="stranger") == "open: EACCES\n"


def test_before_udev_nobody_else_gets_in(guest):
    guest.ok("rmmod vgpu; killall mdev; modprobe vgpu")
    try:
        assert "crw-rw---- root root" in guest.ok("stat -c '%A %U %G' /dev/vgpu0")
    finally:
        guest.ok("mdev -s; mdev -d")


def test_info_says_who_we_are(guest):
    want = "info: abi=1.0 vm_id=7 pool=B priority=2 features=1 status={} arena_max=268435456\n"
    assert want.format(0) in guest.ok("vgpu_devtest open info", user="tenant")
    guest.mediator()
    assert want.format(1) in guest.ok("vgpu_devtest open info", user="tenant")


def test_arena_limits(guest):
    for size, answer in ((0, "EINVAL"), (4096, "EINVAL"), (3 * MIB, "EINVAL"), (2 * MIB + 1, "EINVAL"),
                         (258 * MIB, "ENOMEM"), (1 << 40, "ENOMEM"), ((1 << 64) - 2 * MIB, "ENOMEM"),
                         (2 * MIB, "0"), (64 * MIB, "0")):
        assert f"arena: {answer}\n" in guest.ok(f"vgpu_devtest open arena={size}"), size
    assert guest.ok("vgpu_devtest open arena-mb=2 arena-mb=2").endswith("arena: 0\narena: EBUSY\n")
    guest.ok(f"echo 8 > {PARAMETERS}/arena_max_mb")
    assert "arena_max=8388608\n" in guest.ok("vgpu_devtest open info")
    assert "arena: ENOMEM\n" in guest.ok("vgpu_devtest open arena-mb=10")


def test_all_arenas_together_are_limited(guest):
    guest.ok(f"echo 6 > {PARAMETERS}/total_max_mb")
    job = guest.steps("open arena-mb=4 hold")
    expect(job, "arena: 0")
    assert "arena: ENOMEM\n" in guest.ok("vgpu_devtest open arena-mb=4")
    assert "arena: 0\n" in guest.ok("vgpu_devtest open arena-mb=2")
    job.kill()
    job.wait(10)
    assert "arena: 0\n" in guest.ok("vgpu_devtest open arena-mb=4")


def test_arena_from_fragmented_memory(guest):
    """An arena is had from small pieces too, up to what the run table can hold."""
    mediator = guest.mediator()
    before = guest.free_mb()
    # Where the kernel happens to find whole chunks all the same, memory is broken up anew.
    for _ in range(6):
        # A file in memory that leaves little, of which it then gives back every other page.
        guest.ok("mkdir -p /mnt && mount -t tmpfs -o size=90% none /mnt")
        try:
            guest.ok(f"dd if=/dev/zero of=/mnt/fill bs=1M count={before - 80} 2>/dev/null", timeout=120)
            guest.ok("vgpu_holes /mnt/fill 64")
            job, channel = connected(guest, mediator, "zero fill=5 check=5 hold", megabytes=96)
            expect(job, "check: 0", 60)
            assert channel.read() == pattern(5, 96 * MIB)
            # More than there is: an error for the one who asks, and the OOM killer left alone.
            assert "arena: ENOMEM\n" in guest.ok("vgpu_devtest open arena-mb=128", timeout=120)
            runs = len(channel.runs)
            job.kill()
            mediator.expect_close(channel)
        finally:
            guest.vm.run("umount /mnt")
        if runs > 100:
            break
        guest.wait_free_mb(before - 16)
    assert runs > 100, runs
    assert "Out of memory" not in guest.ok("dmesg")
    guest.wait_free_mb(before - 16)


def test_mmap_rules(guest):
    output = guest.ok("vgpu_devtest open arena-mb=4 map-rules", user="tenant")
    assert output.endswith("map-short: EINVAL\nmap-long: EINVAL\nmap-offset: EINVAL\n"
                           "map-private: EINVAL\nmap-exec: EPERM\nmap-read: 0\n"
                           "map-then-exec: EACCES\n"), output
    assert guest.ok("vgpu_devtest open map").endswith("map: EINVAL\n")


def test_calls_in_the_wrong_order(guest):
    guest.mediator()
    output = guest.ok("vgpu_devtest open connect bell wait=1 arena-mb=2 connect")
    assert output == ("open: 0\nconnect: EINVAL\nbell: ENOTCONN\nwait: ENOTCONN\narena: 0\n"
                      "connect: EINVAL\n"), output


def test_both_sides_see_the_same_pages(guest):
    mediator = guest.mediator()
    job, channel = connected(guest, mediator, "zero fill=1 bell until=/tmp/go check=2 hold", 16)
    expect(job, "zero: 0")
    channel.wait_doorbell()
    assert len(channel.runs) <= 8, channel.runs  # chunks of 2 MiB
    assert channel.read() == pattern(1, 16 * MIB)
    channel.write(pattern(2, 16 * MIB))
    guest.ok("touch /tmp/go")
    expect(job, "check: 0")


def test_pages_are_zeroed_for_their_next_owner(guest):
    mediator = guest.mediator()
    for _ in range(2):
        job, channel = connected(guest, mediator, "zero fill=3", 128)
        mediator.expect_close(channel, 60)
        assert "zero: 0\nfill: 0\n" in job.wait(60)[1]


def test_connect_without_mediator_is_refused(guest):
    output = guest.ok("vgpu_devtest open arena-mb=2 map connect connect", user="tenant")
    assert output.endswith(f"connect: ECONNREFUSED reason {NO_MEDIATOR}\n" * 2), output


def test_connect_refused_by_the_daemon(guest):
    guest.mediator(welcome=6)
    output = guest.ok("vgpu_devtest open arena-mb=2 map connect")
    assert output.endswith("connect: ECONNREFUSED reason 6\n"), output


def test_refused_channel_may_try_again(guest):
    mediator = guest.mediator()
    job = guest.steps("open arena-mb=2 map connect connect connect bell hold")
    refused = Channel(mediator, mediator.expect(CHANNEL_OPEN))
    refused.answer(DEAD, LIMIT)
    mediator.expect_close(refused)
    expect(job, f"connect: ECONNREFUSED reason {LIMIT}")
    channel = mediator.accept()
    expect(job, f"connect: channel {channel.number}\nconnect: EBUSY")
    channel.wait_doorbell()


def test_connect_gives_up_on_a_silent_host(guest):
    guest.ok(f"echo 300 > {PARAMETERS}/open_timeout_ms")
    mediator = guest.mediator()
    job = guest.steps("open arena-mb=2 map connect hold")
    channel = Channel(mediator, mediator.expect(CHANNEL_OPEN))
    mediator.expect_close(channel)
    expect(job, "connect: ETIMEDOUT")


def test_killed_while_connecting(guest):
    mediator = guest.mediator()
    job = guest.steps("open arena-mb=2 map connect hold")
    channel = Channel(mediator, mediator.expect(CHANNEL_OPEN))
    job.kill()
    assert job.wait(5)[0] == 137
    mediator.expect_close(channel)


def test_doorbell_and_interrupt(guest):
    mediator = guest.mediator()
    job, channel = connected(guest, mediator,
                             "wait=0 bell wait=10000 wait=20 wait=10001 until=/tmp/go wait=10000 hold")
    expect(job, "wait: events 0")
    channel.wait_doorbell()
    channel.raise_interrupt()
    expect(job, "wait: events 1\nwait: ETIMEDOUT\nwait: EINVAL")
    channel.raise_interrupt()  # before the guest waits
    time.sleep(0.1)
    guest.ok("touch /tmp/go")
    expect(job, "wait: events 2")


def test_no_wake_up_is_lost(guest):
    """A thousand times, the answer to a doorbell wakes the waiter."""
    mediator = guest.mediator()
    rounds = 300
    job, channel = connected(guest, mediator, "bell wait=10000 " * rounds)
    for _ in range(rounds):
        channel.wait_doorbell()
        channel.raise_interrupt()
    mediator.expect_close(channel, 20)
    assert job.wait(10)[1].endswith(f"wait: events {rounds}\n")


def test_killed_process_closes_its_channel(guest):
    mediator = guest.mediator()
    before = guest.free_mb()
    job, channel = connected(guest, mediator, "fill=1 hold", 128)
    expect(job, "fill: 0", 60)
    job.kill()
    mediator.expect_close(channel, answer=False)
    job.wait(10)
    # The host may still write to these pages, so they are not free yet.
    assert guest.free_mb() < before - 100
    assert channel.read() == pattern(1, 128 * MIB)
    channel.answer(0)
    guest.wait_free_mb(before - 20)


def test_pages_of_a_dead_process_are_freed_when_the_link_goes(guest):
    mediator = guest.mediator()
    before = guest.free_mb()
    job, channel = connected(guest, mediator, megabytes=128)
    job.kill()
    mediator.expect_close(channel, answer=False)
    job.wait(10)
    assert guest.free_mb() < before - 100
    mediator.close()
    guest.wait_free_mb(before - 20)


def test_exiting_and_unmapping_close_the_channel(guest):
    mediator = guest.mediator()
    job, channel = connected(guest, mediator, "")
    mediator.expect_close(channel)
    job.wait(10)
    job, channel = connected(guest, mediator, "unmap bell wait=1 arena-mb=2 map connect hold")
    mediator.expect_close(channel)
    expect(job, "unmap: 0\nbell: EPIPE\nwait: EPIPE reason 0\narena: EBUSY\nmap: EINVAL\nconnect: EBUSY")


def test_mediator_lost_and_found(guest):
    mediator = guest.mediator()
    job, channel = connected(guest, mediator, "wait=10000 bell wait=0 until=/tmp/go")
    mediator.close()
    expect(job, f"wait: EPIPE reason {LINK_LOST}\nbell: EPIPE\nwait: EPIPE reason {LINK_LOST}")
    guest.wait_link(0)
    assert f"reason {NO_MEDIATOR}" in guest.ok("vgpu_devtest open arena-mb=2 map connect")
    mediator = guest.mediator()
    other, channel = connected(guest, mediator, "bell wait=10000 hold")
    channel.wait_doorbell()
    channel.raise_interrupt()
    expect(other, "wait: events 1")
    guest.ok("touch /tmp/go")
    assert job.wait(10)[0] == 0
    assert mediator.nothing(0.2)


def test_worker_death_is_told(guest):
    mediator = guest.mediator()
    job, channel = connected(guest, mediator, "wait=10000 hold")
    channel.answer(DEAD, WORKER_DIED)
    expect(job, f"wait: EPIPE reason {WORKER_DIED}")
    mediator.expect_close(channel)


def test_64_channels(guest):
    mediator = guest.mediator()
    job = guest.steps("many=65 each=64 hold")
    channels = [mediator.accept() for _ in range(64)]
    assert sorted(channel.number for channel in channels) == list(range(64))
    expect(job, "many: 64 then EBUSY")
    for channel in channels:
        channel.wait_doorbell()
        channel.raise_interrupt()
    expect(job, "each: 64")
    for channel in channels:
        assert struct.unpack("<I", channel.read()[:4])[0] == channel.number
    # What an unrelated process gets, and that a slot is used again.
    assert "connect: EBUSY\n" in guest.ok("vgpu_devtest open arena-mb=2 map connect")
    job.kill()
    by_number = {channel.number: channel for channel in channels}
    for _ in range(64):
        message = mediator.expect(CHANNEL_CLOSE)
        by_number.pop(message.channel).answer(0)
    connected(guest, mediator)


def test_all_channels_interrupt_at_once(guest):
    mediator = guest.mediator()
    job = guest.steps("many=64 until=/tmp/go each=64 hold")
    channels = [mediator.accept() for _ in range(64)]
    expect(job, "many: 64")
    for channel in channels:
        channel.raise_interrupt()
    time.sleep(0.2)
    guest.ok("touch /tmp/go")
    expect(job, "each: 64")


def test_fork_child_is_kept_out(guest):
    mediator = guest.mediator()
    job, channel = connected(guest, mediator, "fork bell hold")
    expect(job, "fork: child signal 11\nbell: 0")
    assert "info: abi=1.0" in job.output
    for call in ("arena", "connect", "bell", "wait", "map"):
        assert f"child-{call}: EPERM\n" in job.output, job.output
    channel.wait_doorbell()


def test_channel_ends_with_its_process_though_a_child_has_the_file(guest):
    mediator = guest.mediator()
    before = guest.free_mb()
    job = guest.steps("open-inherited arena-mb=128 map connect orphan hold")
    channel = mediator.accept()
    assert job.wait_for("hold: 0", 10)
    orphan = int(re.search(r"orphan: (\d+)", job.output).group(1))
    guest.ok(f"kill -9 $(cut -d' ' -f4 /proc/{orphan}/stat)")
    mediator.expect_close(channel)
    guest.wait_free_mb(before - 20)
    guest.ok(f"ls -l /proc/{orphan}/fd | grep -q vgpu0 && kill -9 {orphan}")


def test_exec_closes_the_channel(guest):
    mediator = guest.mediator()
    guest.steps("open-inherited arena-mb=2 map connect exec=60")
    mediator.expect_close(mediator.accept())


def test_mapping_survives_what_a_program_may_do(guest):
    mediator = guest.mediator()
    job, channel = connected(guest, mediator, "fill=7 remap hold")
    expect(job, "madvise: 0\nafter-madvise: 0\ngrow: EFAULT\nmove: 0\nafter-move: 0\nsplit: 0\nbell: 0")
    channel.wait_doorbell()
    job.kill()
    mediator.expect_close(channel)


def test_garbage_calls(guest):
    mediator = guest.mediator()
    output = guest.ok("vgpu_devtest open garbage=50000", user="tenant", timeout=120)
    assert output.endswith("garbage: 0 surprises\n"), output
    job, channel = connected(guest, mediator, "hold")
    job.kill()
    mediator.expect_close(channel)


def test_32_bit_programs(guest):
    output = guest.ok("vgpu_devtest open compat", user="tenant")
    assert output.endswith("compat-info: vm_id=7 arena_max=268435456\ncompat-arena-3: EINVAL\n"
                           "compat-arena: 0\n"), output


def test_unloading(guest):
    mediator = guest.mediator()
    job, channel = connected(guest, mediator)
    rc, output = guest.vm.run("rmmod vgpu")
    assert rc != 0, output
    job.kill()
    mediator.expect_close(channel)
    job.wait(10)
    guest.ok("rmmod vgpu && ! test -e /dev/vgpu0")
    guest.reload()
    connected(guest, mediator)


def test_unloading_while_the_host_still_holds_pages(guest):
    mediator = guest.mediator()
    job, channel = connected(guest, mediator, "fill=1 hold")
    expect(job, "fill: 0")
    job.kill()
    mediator.expect_close(channel, answer=False)
    job.wait(10)
    guest.ok("rmmod vgpu", timeout=30)
    assert "host still holds 1024 pages" in guest.ok("dmesg")
    guest.reload()
    # That slot is not the new driver's yet; the next one is.
    other, second = connected(guest, mediator)
    assert second.number != channel.number
    assert channel.read() == pattern(1, 4 * MIB)
    channel.answer(0)
    other.kill()
    mediator.expect_close(second)
    _, third = connected(guest, mediator)
    assert third.number == channel.number


def test_device_taken_away(guest):
    mediator = guest.mediator()
    job, channel = connected(guest, mediator,
                             "wait=10000 bell info until=/tmp/go fill=1 check=1 arena-mb=2 hold")
    address = guest.ok("ls /sys/bus/pci/drivers/vgpu | grep :").strip()
    unbind = guest.vm.start(f"echo {address} > /sys/bus/pci/drivers/vgpu/unbind")
    mediator.expect_close(channel)
    assert unbind.wait(10)[0] == 0
    expect(job, f"wait: EPIPE reason {LINK_LOST}\nbell: EPIPE\ninfo: ENODEV")
    guest.ok(f"echo {address} > /sys/bus/pci/drivers/vgpu/bind")
    guest.ok("touch /tmp/go")
    expect(job, "fill: 0\ncheck: 0\narena: EBUSY")  # its memory is still its own


def test_fewer_vectors(guest):
    guest.reload("vectors=3")
    mediator = guest.mediator()
    job = guest.steps("many=17 each=16 hold")
    channels = [mediator.accept() for _ in range(16)]
    expect(job, "many: 16 then EBUSY")
    assert {channel.number % 8 for channel in channels} == {0, 1}
    for channel in channels:
        channel.wait_doorbell()
        channel.raise_interrupt()
    expect(job, "each: 16")


def test_suspend_is_refused(guest):
    rc, output = guest.vm.run("echo freeze > /sys/power/state")
    assert rc != 0, output
    assert "a VM with a vGPU cannot be suspended" in guest.ok("dmesg")


def build(work):
    """The initramfs with the test programs."""
    programs = []
    for name in ("vgpu_devtest", "vgpu_holes"):
        program = os.path.join(work, name)
        subprocess.run(["cc", "-std=gnu17", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror",
                        "-static", "-o", program, os.path.join(HERE, name + ".c")], check=True)
        programs.append(program)
    return make_initramfs(os.path.join(work, "driver-test.cpio"), programs=programs)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", default=os.path.join(ROOT, "build", "vm"))
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args()
    try:
        qemu = find_qemu()
    except QemuMissing as missing:
        print(f"SKIPPED, no driver test was run: there is no QEMU with the device: {missing}")
        return 77
    tests = [(name, function) for name, function in globals().items() if name.startswith("test_")
             and (not options.names or any(part in name for part in options.names))]
    os.makedirs(options.work, exist_ok=True)
    initramfs = build(options.work)

    passed = failed = 0
    with tempfile.TemporaryDirectory(prefix="vgpu-") as directory:
        socket = os.path.join(directory, "vgpu.sock")
        vm = None
        for name, function in tests:
            try:
                if not vm or not vm.alive:
                    vm = VM(initramfs, qemu=qemu, name="driver-test", cpus=2, memory=512,
                            # Debian's kernel zeroes all memory by itself, which would hide that we do.
                            append="loglevel=7 oops=panic panic_on_warn=1 init_on_alloc=0",
                            vgpu=Vgpu(socket, pool_id="B", priority=2, vm_id=7))
                    guest = Guest(vm, socket)
                function(guest)
                guest.cleanup()
                print(f"ok      {name[5:]}", flush=True)
                passed += 1
            except Exception:  # pylint: disable=broad-except
                traceback.print_exc()
                print(f"FAILED  {name[5:]}", flush=True)
                failed += 1
                if vm:
                    print(vm.console_tail(30), vm.qemu_errors(), sep="\n")
                    vm.kill()
        if vm and vm.alive and vm.poweroff() != 0:
            print("FAILED  power-off")
            failed += 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
