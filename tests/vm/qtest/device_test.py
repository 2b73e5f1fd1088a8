#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The vgpu-stub device inside QEMU, driven over QEMU's qtest socket with a mediator played by this
program. The core's own tests cover every corner of its state machine; this one shows that QEMU lends it
what it needs: PCI identity, BAR accesses of every kind, MSI-X, eventfds, guest RAM, a socket that comes
and goes, reset, properties.

    VGPU_QEMU=path/to/qemu-system-x86_64 tests/vm/qtest/device_test.py [-v]

Without VGPU_QEMU it says so and exits with 77, which meson counts as skipped.
"""
import array
import json
import mmap
import os
import re
import select
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

HEADERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "protocol")
WAIT_S = 20  # how long anything may take before the test gives up; nothing is expected to take long


def read_constants():
    """The numbers of vgpu_regs.h and vgpu_link.h, so that there is one place that says them."""
    constants = {}
    for name in ("vgpu_regs.h", "vgpu_link.h"):
        with open(os.path.join(HEADERS, name)) as file:
            text = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)
        for match in re.finditer(r"^#define[ \t]+VGPU_(\w+)[ \t]+(.+)$|^\s+VGPU_(\w+) = (\d+),", text, re.M):
            key, value = match.group(1) or match.group(3), match.group(2) or match.group(4)
            value = re.sub(r"\b(0x[0-9a-f]+|\d+)u\b", r"\1", value)
            value = re.sub(r"VGPU_(\w+)", lambda m: str(constants[m.group(1)]), value)
            constants[key] = eval(value, {"__builtins__": {}})
    return constants


C = type("Constants", (), read_constants())

RAM_MB = 64
BAR0 = 0xE0000000
BAR1 = 0xE0100000
MSI_AREA = 0x200000  # guest RAM that the MSI-X vectors point to, one 4-byte word each
VECTOR_MAGIC = 0x5A00


def wait_for(what, condition):
    deadline = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("did not happen: " + what)
        time.sleep(0.002)


class Qemu:
    def __init__(self, device="pool_id=A,priority=2,vm_id=7", shared=True, extra=()):
        self.dir = tempfile.mkdtemp(prefix="vgpu-qtest-")
        self.link_path = os.path.join(self.dir, "link")
        qtest_path = os.path.join(self.dir, "qtest")
        qmp_path = os.path.join(self.dir, "qmp")
        listeners = []
        for path in (qtest_path, qmp_path):
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(path)
            listener.listen(1)
            listener.settimeout(WAIT_S)
            listeners.append(listener)
        self.log_path = os.path.join(self.dir, "guest-errors")
        self.err_path = os.path.join(self.dir, "stderr")
        command = [os.environ["VGPU_QEMU"], "-nodefaults", "-display", "none", "-m", str(RAM_MB)]
        if shared:
            command += ["-machine", "pc,accel=qtest,memory-backend=ram", "-object",
                        f"memory-backend-memfd,id=ram,size={RAM_MB}M,share=on"]
        else:
            command += ["-machine", "pc,accel=qtest"]
        command += ["-qtest", "unix:" + qtest_path, "-qtest-log", "/dev/null",
                    "-qmp", "unix:" + qmp_path, "-d", "guest_errors", "-D", self.log_path,
                    "-chardev", f"socket,id=link,path={self.link_path},server=on,wait=off",
                    "-device", "vgpu-stub,chardev=link,addr=1e,id=vgpu," + device, *extra]
        with open(self.err_path, "wb") as err:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=err)
        try:
            self.qtest = listeners[0].accept()[0]
            self.qmp = listeners[1].accept()[0]
        except TimeoutError:
            self.close()
            raise AssertionError("QEMU did not start:\n" + self.stderr()) from None
        finally:
            for listener in listeners:
                listener.close()
        self.qtest.settimeout(WAIT_S)
        self.qmp.settimeout(WAIT_S)
        self.qtest_in = self.qtest.makefile("r")
        self.qmp_in = self.qmp.makefile("r")
        json.loads(self.qmp_in.readline())
        self.qmp_command("qmp_capabilities")

    def stderr(self):
        with open(self.err_path, errors="replace") as file:
            return file.read()

    def guest_errors(self):
        if not os.path.exists(self.log_path):
            return []
        with open(self.log_path, errors="replace") as file:
            return [line for line in file if line.startswith("vgpu-stub: vm 7: ")]

    def close(self):
        self.process.kill()
        self.process.wait()
        for name in ("qtest_in", "qmp_in", "qtest", "qmp"):
            if hasattr(self, name):
                getattr(self, name).close()
        shutil.rmtree(self.dir)

    def qmp_command(self, name, **arguments):
        self.qmp.sendall(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
        while True:
            answer = json.loads(self.qmp_in.readline())
            if "event" not in answer:
                return answer

    def command(self, text):
        self.qtest.sendall(text.encode() + b"\n")
        while True:
            line = self.qtest_in.readline().split()
            if not line:
                raise AssertionError("QEMU ended:\n" + self.stderr())
            if line[0] == "IRQ":
                continue
            if line[0] != "OK":
                raise AssertionError(f"qtest: {text}: {line}")
            return int(line[1], 0) if len(line) > 1 else 0

    def config_address(self, offset):
        self.command(f"outl 0xcf8 {0x80000000 | 0x1e << 11 | (offset & ~3):#x}")

    def config_read(self, offset, size=4):
        self.config_address(offset)
        return self.command(f"in{'_bw_l'[size]} {0xcfc + offset % 4:#x}")

    def config_write(self, offset, value, size=4):
        self.config_address(offset)
        self.command(f"out{'_bw_l'[size]} {0xcfc + offset % 4:#x} {value:#x}")

    def read(self, address, size=4):
        return self.command(f"read{'_bw_l___q'[size]} {address:#x}")

    def write(self, address, value, size=4):
        self.command(f"write{'_bw_l___q'[size]} {address:#x} {value:#x}")

    def reset(self):
        self.qmp_command("system_reset")
        # The reset is over once QMP has answered something that the main loop does after it.
        while True:
            if self.qmp_command("query-status")["return"]["status"] in ("running", "prelaunch"):
                break

    def capability(self, wanted):
        offset = self.config_read(0x34, 1)
        for _ in range(48):
            if offset == 0:
                return 0
            if self.config_read(offset, 1) == wanted:
                return offset
            offset = self.config_read(offset + 1, 1)
        raise AssertionError("the capability list does not end")


class Mediator:
    """The daemon's side of the link."""

    def __init__(self, qemu):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(WAIT_S)
        wait_for("QEMU listens", lambda: self.try_connect(qemu.link_path))
        self.fds = []  # came with the message that is being received
        self.memory_fds = []
        self.buffer = b""

    def try_connect(self, path):
        try:
            self.socket.connect(path)
            return True
        except (ConnectionRefusedError, FileNotFoundError):
            return False

    def fill(self, count):
        while len(self.buffer) < count:
            data, ancillary, _, _ = self.socket.recvmsg(count - len(self.buffer), socket.CMSG_SPACE(8 * 4))
            for level, kind, payload in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    fds = array.array("i")
                    fds.frombytes(payload)
                    self.fds += fds
            if not data:
                raise EOFError
            self.buffer += data

    def receive(self):
        """(type, body, descriptors) of the next message."""
        self.fill(8)
        kind, size = struct.unpack("<II", self.buffer)
        assert 8 <= size <= C.LINK_MSG_MAX, size
        self.fill(size)
        body, self.buffer = self.buffer[8:], b""
        fds, self.fds = self.fds, []
        return kind, body, fds

    def expect(self, wanted):
        kind, body, fds = self.receive()
        assert kind == wanted, f"message type {kind}, not {wanted}"
        return body, fds

    def greet(self):
        self.hello, _ = self.expect(C.MSG_HELLO)
        self.memory, self.memory_fds = self.expect(C.MSG_MEMORY)
        self.welcome()
        return self

    def welcome(self, version=None, reason=0):
        self.socket.sendall(struct.pack("<IIII", C.MSG_WELCOME, 16, version or C.LINK_VERSION, reason))

    def channel_state(self, channel, serial, state, reason=0):
        self.socket.sendall(struct.pack("<IIIIII", C.MSG_CHANNEL_STATE, 24, channel, serial, state, reason))

    def is_disconnected(self):
        try:
            while self.socket.recv(4096):
                pass
            return True
        except ConnectionResetError:
            return True

    def close(self):
        self.socket.close()
        for fd in self.fds + self.memory_fds:
            os.close(fd)
        self.fds = self.memory_fds = []


class DeviceCase(unittest.TestCase):
    device = "pool_id=A,priority=2,vm_id=7"
    shared = True

    def setUp(self):
        self.qemu = Qemu(self.device, self.shared)
        self.addCleanup(self.qemu.close)
        self.map_bars()

    def map_bars(self):
        self.qemu.config_write(0x10, BAR0)
        self.qemu.config_write(0x14, BAR1)
        self.qemu.config_write(0x04, 0x6, 2)  # memory space, bus master

    def mediator(self):
        mediator = Mediator(self.qemu)
        self.addCleanup(mediator.close)
        return mediator

    def connect(self):
        mediator = self.mediator().greet()
        wait_for("STATUS shows the link", lambda: self.get(C.REG_STATUS) == C.STATUS_LINK)
        self.put(C.REG_ACK_CONTROL, 1)
        return mediator

    def get(self, register):
        return self.qemu.read(BAR0 + register)

    def put(self, register, value):
        self.qemu.write(BAR0 + register, value)

    def state(self, channel):
        self.put(C.REG_CH_SELECT, channel)
        return self.get(C.REG_CH_STATE), self.get(C.REG_CH_REASON)

    def wait_state(self, channel, state, reason=0):
        wait_for(f"channel {channel} in state {state} for reason {reason}",
                 lambda: self.state(channel) == (state, reason))

    def command(self, channel, command, table=0x300000, runs=2, pages=512):
        self.put(C.REG_CH_SELECT, channel)
        if command == C.CH_CMD_OPEN:
            self.put(C.REG_CH_TABLE_LO, table & 0xFFFFFFFF)
            self.put(C.REG_CH_TABLE_HI, table >> 32)
            self.put(C.REG_CH_RUNS, runs)
            self.put(C.REG_CH_PAGES, pages)
        self.put(C.REG_CH_COMMAND, command)

    def open(self, mediator, channel):
        """An open channel; returns its serial and descriptors."""
        self.command(channel, C.CH_CMD_OPEN)
        body, fds = mediator.expect(C.MSG_CHANNEL_OPEN)
        for fd in fds:
            self.addCleanup(os.close, fd)
        serial = struct.unpack_from("<I", body, 4)[0]
        mediator.channel_state(channel, serial, C.CH_OPEN)
        self.wait_state(channel, C.CH_OPEN)
        return serial, fds

    def enable_msix(self):
        capability = self.qemu.capability(0x11)
        for vector in range(C.MSIX_VECTORS):
            entry = BAR1 + 16 * vector
            self.qemu.write(entry, MSI_AREA + 4 * vector)
            self.qemu.write(entry + 4, 0)
            self.qemu.write(entry + 8, VECTOR_MAGIC + vector)
            self.qemu.write(entry + 12, 0)
        self.qemu.config_write(capability + 2, 0x8000, 2)

    def take_vectors(self):
        """The vectors that were raised since the last look."""
        raised = []
        for vector in range(C.MSIX_VECTORS):
            word = self.qemu.read(MSI_AREA + 4 * vector)
            if word:
                self.assertEqual(word, VECTOR_MAGIC + vector)
                self.qemu.write(MSI_AREA + 4 * vector, 0)
                raised.append(vector)
        return raised

    def wait_vector(self, vector):
        wait_for(f"vector {vector}",
                 lambda: self.qemu.read(MSI_AREA + 4 * vector) == VECTOR_MAGIC + vector)
        self.assertEqual(self.take_vectors(), [vector])


class Registers(DeviceCase):
    def test_pci_identity_is_what_lspci_and_the_driver_look_for(self):
        self.assertEqual(self.qemu.config_read(0), C.PCI_DEVICE << 16 | C.PCI_VENDOR)
        self.assertEqual(self.qemu.config_read(8), C.PCI_CLASS << 16 | C.PCI_REVISION)
        self.qemu.config_write(0x10, 0xFFFFFFFF)
        self.assertEqual(self.qemu.config_read(0x10), 0x100000000 - C.BAR0_BYTES)
        msix = self.qemu.capability(0x11)
        self.assertNotEqual(msix, 0)
        self.assertEqual(self.qemu.config_read(msix + 2, 2) & 0x7FF, C.MSIX_VECTORS - 1)
        self.assertEqual(self.qemu.config_read(msix + 4) & 7, C.MSIX_BAR)

    def test_every_register_after_reset(self):
        fixed = {C.REG_MAGIC: C.MAGIC, C.REG_ABI: C.ABI, C.REG_POOL_ID: ord("A"), C.REG_PRIORITY: 2,
                 C.REG_VM_ID: 7, C.REG_FEATURES: C.FEATURE_GUEST_PHYSICAL, C.REG_CHANNELS: C.CHANNELS}
        for offset in range(0, C.BAR0_BYTES, 4):
            self.assertEqual(self.get(offset), fixed.get(offset, 0), hex(offset))
        write_only = (C.REG_CH_COMMAND, C.REG_DOORBELL, C.REG_ACK_CONTROL, C.REG_ACK_CHANNEL_LO,
                      C.REG_ACK_CHANNEL_HI)
        self.assertEqual(len(self.qemu.guest_errors()), len(write_only))

    def test_channel_registers_keep_good_values_per_channel_and_refuse_bad_ones(self):
        for channel in (0, 1, 63):
            self.put(C.REG_CH_SELECT, channel)
            for register, good, bad in (
                    (C.REG_CH_TABLE_LO, 0xABCDEF00 + channel * 8, (1, 4, 0xFFFFFFFF)),
                    (C.REG_CH_TABLE_HI, 0xFFFFFF00 + channel, ()),
                    (C.REG_CH_RUNS, C.RUNS_MAX - channel, (0, C.RUNS_MAX + 1, 0xFFFFFFFF)),
                    (C.REG_CH_PAGES, C.PAGES_MAX - channel, (0, C.PAGES_MAX + 1, 0xFFFFFFFF)),
                    (C.REG_CH_SELECT, channel, (C.CHANNELS, 0xFFFFFFFF)),
                    (C.REG_IRQ_ENABLE, 1, (2, 0xFFFFFFFF))):
                self.put(register, good)
                for value in bad:
                    before = len(self.qemu.guest_errors())
                    self.put(register, value)
                    self.assertLessEqual(len(self.qemu.guest_errors()), before + 1)
                self.assertEqual(self.get(register), good, hex(register))
        self.put(C.REG_CH_SELECT, 1)
        self.assertEqual(self.get(C.REG_CH_TABLE_LO), 0xABCDEF08)
        self.assertGreater(len(self.qemu.guest_errors()), 0)

    def test_bad_accesses_have_no_effect_and_are_logged(self):
        self.put(C.REG_CH_SELECT, 5)
        count = 0
        for size in (1, 2, 8):
            for offset in (C.REG_MAGIC, C.REG_CH_SELECT):
                self.assertEqual(self.qemu.read(BAR0 + offset, size), 0)
                self.qemu.write(BAR0 + offset, 3, size)
                count += 2
        self.qemu.write(BAR0 + C.REG_CH_SELECT + 1, 3, 4)
        self.assertEqual(self.qemu.read(BAR0 + C.REG_MAGIC + 2, 4), 0)
        self.put(C.REG_MAGIC, 0)
        self.put(C.REG_END, 1)
        self.put(C.BAR0_BYTES - 4, 1)
        count += 5
        self.assertEqual(self.get(C.REG_CH_SELECT), 5)
        self.assertEqual(self.get(C.REG_MAGIC), C.MAGIC)
        self.assertEqual(len(self.qemu.guest_errors()), count)

    def test_a_guest_cannot_flood_the_log(self):
        for _ in range(200):
            self.put(C.REG_MAGIC, 0)
        self.qemu.reset()
        self.map_bars()
        for _ in range(200):
            self.put(C.REG_MAGIC, 0)
        self.assertLess(len(self.qemu.guest_errors()), 40)

    def test_every_register_has_its_reset_value_again_after_a_reset(self):
        self.put(C.REG_IRQ_ENABLE, 1)
        self.command(9, C.CH_CMD_OPEN)
        self.assertEqual(self.state(9), (C.CH_DEAD, C.REASON_NO_MEDIATOR))
        self.qemu.reset()
        self.map_bars()
        for offset in range(C.REG_CH_SELECT, C.REG_END, 4):
            self.assertEqual(self.get(offset), 0, hex(offset))
        self.put(C.REG_CH_SELECT, 9)
        for offset in range(C.REG_CH_TABLE_LO, C.REG_CH_REASON + 4, 4):
            self.assertEqual(self.get(offset), 0, hex(offset))

    def test_the_device_refuses_migration(self):
        answer = self.qemu.qmp_command("migrate", uri="exec:cat>/dev/null")
        self.assertIn("error", answer)
        self.assertIn("vgpu-stub", answer["error"]["desc"])


class Link(DeviceCase):
    def test_the_mediator_learns_identity_and_guest_memory(self):
        mediator = self.connect()
        self.assertEqual(struct.unpack("<IIIIII", mediator.hello),
                         (C.LINK_MAGIC, C.LINK_VERSION, C.BACKEND_MEMFD, 7, ord("A"), 2))
        count, reserved = struct.unpack_from("<II", mediator.memory)
        regions = [struct.unpack_from("<QQQ", mediator.memory, 8 + 24 * i) for i in range(count)]
        self.assertEqual(len(mediator.memory), 8 + 24 * count)
        self.assertEqual(len(mediator.memory_fds), count)
        self.assertEqual(reserved, 0)
        # What the guest writes is what the mediator reads there, in every region and at its ends.
        for (address, size, fd_offset), fd in zip(regions, mediator.memory_fds):
            self.assertEqual(size % 4096, 0)
            with mmap.mmap(fd, fd_offset + size) as memory:
                for at in (0, size - 4):
                    self.qemu.write(address + at, 0x1234567 + at)
                    self.assertEqual(struct.unpack_from("<I", memory, fd_offset + at)[0], 0x1234567 + at)
        self.assertTrue(any(a <= 0x100000 and a + s >= RAM_MB << 20 for a, s, _ in regions), regions)
        self.assertFalse(any(a < 0x100000 and a + s > 0xA0000 for a, s, _ in regions), regions)

    def test_open_doorbell_interrupt_close(self):
        mediator = self.connect()
        self.enable_msix()
        self.put(C.REG_IRQ_ENABLE, 1)
        self.command(10, C.CH_CMD_OPEN, table=0x300000)
        self.assertEqual(self.state(10), (C.CH_OPENING, 0))
        body, (doorbell, interrupt) = mediator.expect(C.MSG_CHANNEL_OPEN)
        self.addCleanup(os.close, doorbell)
        self.addCleanup(os.close, interrupt)
        channel, serial, table, runs, pages = struct.unpack("<IIQII", body)
        self.assertEqual((channel, table, runs, pages), (10, 0x300000, 2, 512))
        self.put(C.REG_DOORBELL, 10)  # not open: not delivered
        self.assertEqual(self.take_vectors(), [])
        mediator.channel_state(10, serial, C.CH_OPEN)
        self.wait_vector(0)
        self.assertEqual(self.state(10), (C.CH_OPEN, 0))
        self.assertEqual(self.get(C.REG_IRQ_CONTROL), 1)
        self.put(C.REG_ACK_CONTROL, 1)
        self.assertEqual(self.get(C.REG_IRQ_CONTROL), 0)
        self.assertEqual(select.select([doorbell], [], [], 0)[0], [])

        self.put(C.REG_DOORBELL, 11)
        self.put(C.REG_DOORBELL, 10)
        self.put(C.REG_DOORBELL, 10)
        self.assertEqual(select.select([doorbell], [], [], WAIT_S)[0], [doorbell])
        self.assertEqual(struct.unpack("<Q", os.read(doorbell, 8))[0], 2)

        os.write(interrupt, struct.pack("<Q", 1))
        self.wait_vector(1 + 10 % 8)
        self.assertEqual(self.get(C.REG_IRQ_CHANNEL_LO), 1 << 10)
        os.write(interrupt, struct.pack("<Q", 1))  # still pending: no second message
        self.get(C.REG_MAGIC)
        self.put(C.REG_ACK_CHANNEL_LO, 1 << 10)
        self.assertEqual(self.get(C.REG_IRQ_CHANNEL_HI), 0)

        self.command(10, C.CH_CMD_CLOSE)
        self.assertEqual(self.state(10), (C.CH_CLOSING, 0))
        body, fds = mediator.expect(C.MSG_CHANNEL_CLOSE)
        self.assertEqual((struct.unpack("<II", body), fds), ((10, serial), []))
        mediator.channel_state(10, serial, C.CH_FREE)
        self.wait_state(10, C.CH_FREE)

    def test_all_channels_open_at_once_and_reach_the_right_vector(self):
        mediator = self.connect()
        fds = [self.open(mediator, channel)[1] for channel in range(C.CHANNELS)]
        self.enable_msix()
        self.put(C.REG_ACK_CONTROL, 1)
        self.put(C.REG_IRQ_ENABLE, 1)
        for channel in (0, 7, 8, 31, 32, 63):
            self.put(C.REG_DOORBELL, channel)
            for other in range(C.CHANNELS):
                ready = select.select([fds[other][0]], [], [], WAIT_S if other == channel else 0)[0]
                self.assertEqual(bool(ready), other == channel)
            os.read(fds[channel][0], 8)
            os.write(fds[channel][1], struct.pack("<Q", 1))
            self.wait_vector(1 + channel % 8)
            pending = self.get(C.REG_IRQ_CHANNEL_LO) | self.get(C.REG_IRQ_CHANNEL_HI) << 32
            self.assertEqual(pending, 1 << channel)
            self.put(C.REG_ACK_CHANNEL_LO, pending & 0xFFFFFFFF)
            self.put(C.REG_ACK_CHANNEL_HI, pending >> 32)

    def test_interrupts_while_masked_come_when_enabled(self):
        mediator = self.connect()
        _, (_, interrupt) = self.open(mediator, 2)
        self.enable_msix()
        os.write(interrupt, struct.pack("<Q", 1))
        wait_for("status bit", lambda: self.get(C.REG_IRQ_CHANNEL_LO) == 1 << 2)
        self.put(C.REG_ACK_CONTROL, 1)
        self.assertEqual(self.take_vectors(), [])
        self.put(C.REG_IRQ_ENABLE, 1)
        self.wait_vector(3)

    def test_refusals_reach_the_guest(self):
        mediator = self.connect()
        self.command(0, C.CH_CMD_OPEN)
        body, fds = mediator.expect(C.MSG_CHANNEL_OPEN)
        for fd in fds:
            os.close(fd)
        serial = struct.unpack_from("<I", body, 4)[0]
        mediator.channel_state(0, serial, C.CH_DEAD, C.REASON_NO_WORKER)
        self.wait_state(0, C.CH_DEAD, C.REASON_NO_WORKER)
        self.command(0, C.CH_CMD_CLOSE)
        self.assertEqual(self.state(0), (C.CH_CLOSING, 0))
        mediator.expect(C.MSG_CHANNEL_CLOSE)
        mediator.channel_state(0, serial, C.CH_FREE)
        self.wait_state(0, C.CH_FREE)
        self.open(mediator, 0)

    def test_without_a_mediator_open_is_refused_and_a_later_one_serves(self):
        self.command(0, C.CH_CMD_OPEN)
        self.assertEqual(self.state(0), (C.CH_DEAD, C.REASON_NO_MEDIATOR))
        self.command(0, C.CH_CMD_CLOSE)
        self.open(self.connect(), 0)

    def test_a_lost_mediator_ends_channels_and_the_next_one_serves_again(self):
        self.enable_msix()
        self.put(C.REG_IRQ_ENABLE, 1)
        for _ in range(5):
            mediator = self.mediator().greet()
            self.wait_vector(0)
            self.put(C.REG_ACK_CONTROL, 1)
            self.open(mediator, 20)
            self.open(mediator, 21)
            self.command(21, C.CH_CMD_CLOSE)
            self.put(C.REG_ACK_CONTROL, 1)
            self.take_vectors()
            mediator.close()
            self.wait_vector(0)
            self.assertEqual(self.get(C.REG_STATUS), 0)
            self.assertEqual(self.state(20), (C.CH_DEAD, C.REASON_LINK_LOST))
            self.assertEqual(self.state(21), (C.CH_FREE, 0))
            self.command(20, C.CH_CMD_CLOSE)
            self.put(C.REG_ACK_CONTROL, 1)
            self.take_vectors()

    def test_malformed_messages_end_the_connection_and_not_the_vm(self):
        welcome = struct.pack("<IIII", C.MSG_WELCOME, 16, C.LINK_VERSION, 0)
        for bad in (b"\xff" * 64, struct.pack("<II", C.MSG_WELCOME, 0), struct.pack("<II", 0, 8),
                    struct.pack("<II", C.MSG_CHANNEL_STATE, 4096), welcome + welcome,
                    welcome + struct.pack("<IIIIII", C.MSG_CHANNEL_STATE, 24, 64, 0, C.CH_FREE, 0),
                    struct.pack("<IIIIII", C.MSG_CHANNEL_STATE, 24, 0, 0, C.CH_OPEN, 0)):
            mediator = self.mediator()
            mediator.socket.sendall(bad)
            self.assertTrue(mediator.is_disconnected())
            self.assertEqual(self.get(C.REG_STATUS), 0)
        self.assertIn("mediator disconnected: ", self.qemu.stderr())
        self.open(self.connect(), 0)

    def test_descriptors_from_the_mediator_end_the_connection(self):
        mediator = self.mediator()
        with open("/dev/null") as null:
            socket.send_fds(mediator.socket, [struct.pack("<IIII", C.MSG_WELCOME, 16, 1, 0)], [null.fileno()])
        self.assertTrue(mediator.is_disconnected())
        self.open(self.connect(), 0)

    def test_messages_may_arrive_byte_by_byte(self):
        mediator = self.mediator()
        mediator.expect(C.MSG_HELLO)
        for byte in struct.pack("<IIII", C.MSG_WELCOME, 16, C.LINK_VERSION, 0):
            self.assertEqual(self.get(C.REG_STATUS), 0)
            mediator.socket.sendall(bytes([byte]))
        wait_for("STATUS", lambda: self.get(C.REG_STATUS) == C.STATUS_LINK)

    def test_a_mediator_that_does_not_read_is_dropped_and_never_blocks_the_vm(self):
        mediator = self.connect()
        for serial in range(1, 2000):  # serials guessed, so that the guest can go on asking
            channel = serial % C.CHANNELS
            self.command(channel, C.CH_CMD_OPEN)
            self.command(channel, C.CH_CMD_CLOSE)
            try:
                mediator.channel_state(channel, serial, C.CH_FREE)
            except BrokenPipeError:
                pass
            wait_for("an end of CLOSE", lambda: self.state(channel)[0] in (C.CH_FREE, C.CH_DEAD))
            if self.get(C.REG_STATUS) == 0:
                break
        else:
            self.fail("the link survived 4000 unread messages")
        self.assertEqual(self.get(C.REG_MAGIC), C.MAGIC)
        self.assertIn("does not read", self.qemu.stderr())
        mediator.close()
        self.qemu.reset()
        self.map_bars()
        self.open(self.connect(), 0)

    def test_reset_closes_channels_and_open_waits_for_the_old_pages(self):
        mediator = self.connect()
        serial, (doorbell, _) = self.open(mediator, 1)
        self.qemu.reset()
        self.map_bars()
        body, _ = mediator.expect(C.MSG_CHANNEL_CLOSE)
        self.assertEqual(struct.unpack("<II", body), (1, serial))
        self.assertEqual(self.get(C.REG_STATUS), C.STATUS_LINK)
        self.assertEqual(self.state(1), (C.CH_FREE, 0))
        self.put(C.REG_DOORBELL, 1)
        self.assertEqual(select.select([doorbell], [], [], 0)[0], [])
        self.command(1, C.CH_CMD_OPEN)
        self.assertEqual(self.state(1), (C.CH_OPENING, 0))
        mediator.channel_state(1, serial, C.CH_FREE)
        body, fds = mediator.expect(C.MSG_CHANNEL_OPEN)
        for fd in fds:
            os.close(fd)
        self.assertNotEqual(struct.unpack_from("<I", body, 4)[0], serial)

    def test_a_mediator_may_refuse_the_device(self):
        mediator = self.mediator()
        mediator.expect(C.MSG_HELLO)
        mediator.welcome(version=2, reason=C.REASON_VERSION)
        wait_for("the refusal is logged", lambda: "serves no channels" in self.qemu.stderr())
        self.assertEqual(self.get(C.REG_STATUS), 0)
        self.command(0, C.CH_CMD_OPEN)
        self.assertEqual(self.state(0), (C.CH_DEAD, C.REASON_VERSION))

    def test_the_device_can_be_unplugged_with_channels_open(self):
        mediator = self.connect()
        self.open(mediator, 3)
        self.qemu.qmp_command("device_del", id="vgpu")
        # The guest's part of an unplug on the i440FX's hotplug controller: eject the slot.
        self.qemu.command(f"outl 0xae08 {1 << 0x1e:#x}")
        wait_for("the device is gone", lambda: self.qemu.config_read(0) == 0xFFFFFFFF)
        self.assertTrue(mediator.is_disconnected())


class UnsharedMemory(DeviceCase):
    shared = False

    def test_channels_are_refused_with_a_reason_and_a_log_line(self):
        self.assertIn("guest RAM is not in shared memory", self.qemu.stderr())
        mediator = self.mediator()
        mediator.expect(C.MSG_HELLO)
        self.command(0, C.CH_CMD_OPEN)
        self.assertEqual(self.state(0), (C.CH_DEAD, C.REASON_REFUSED))


class OtherIdentity(DeviceCase):
    device = "pool_id=B,priority=0,vm_id=4294967295"

    def test_properties_are_what_the_registers_show(self):
        self.assertEqual(self.get(C.REG_POOL_ID), ord("B"))
        self.assertEqual(self.get(C.REG_PRIORITY), 0)
        self.assertEqual(self.get(C.REG_VM_ID), 0xFFFFFFFF)


class Properties(unittest.TestCase):
    def test_bad_properties_are_refused_with_a_clear_error(self):
        for device, message in (
                ("pool_id=A,priority=1,vm_id=1", "chardev must name a socket chardev"),
                ("chardev=nul,pool_id=A,vm_id=1", "must be a unix socket"),
                ("chardev=link,priority=1,vm_id=1", "pool_id must be one letter"),
                ("chardev=link,pool_id=,vm_id=1", "pool_id must be one letter"),
                ("chardev=link,pool_id=AB,vm_id=1", "pool_id must be one letter"),
                ("chardev=link,pool_id=1,vm_id=1", "pool_id must be one letter"),
                ("chardev=link,pool_id=A,priority=3,vm_id=1", "priority must be 0"),
                ("chardev=link,pool_id=A,priority=1", "vm_id must be given"),
                ("chardev=link,pool_id=A,vm_id=0", "vm_id must be given"),
                ("chardev=link,pool_id=A,vm_id=4294967296", "vm_id"),
                ("chardev=link,pool_id=A,vm_id=-1x", "vm_id")):
            with tempfile.TemporaryDirectory() as directory:
                result = subprocess.run(
                    [os.environ["VGPU_QEMU"], "-machine", "pc,accel=qtest", "-nodefaults", "-display", "none",
                     "-chardev", "null,id=nul", "-chardev",
                     f"socket,id=link,path={directory}/link,server=on,wait=off",
                     "-device", "vgpu-stub," + device],
                    stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=WAIT_S, check=False)
            self.assertNotEqual(result.returncode, 0, device)
            self.assertIn(message, result.stderr, device)


if __name__ == "__main__":
    if not os.environ.get("VGPU_QEMU"):
        print("skipped: VGPU_QEMU does not name a QEMU with vgpu-stub; scripts/build-qemu.sh builds one")
        sys.exit(77)
    unittest.main()
