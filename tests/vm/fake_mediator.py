# SPDX-License-Identifier: Apache-2.0
"""The daemon's side of a vgpu-stub device, for tests: speaks vgpu_link.h and maps the guest's pages.

Answers WELCOME by itself; everything else is up to the test, which takes the device's messages one
by one and answers them.
"""

import array
import mmap
import os
import select
import socket
import struct
import threading
import time
from dataclasses import dataclass, field

HELLO, MEMORY, CHANNEL_OPEN, CHANNEL_CLOSE, WELCOME, CHANNEL_STATE = 1, 2, 3, 4, 16, 17
NAMES = {1: "HELLO", 2: "MEMORY", 3: "CHANNEL_OPEN", 4: "CHANNEL_CLOSE"}
OPEN, DEAD, FREE = 2, 4, 0
LINK_MAGIC, LINK_VERSION = 0x4B4E4C56, 1
PAGE = 4096


@dataclass
class Message:
    """One message of the device; fields depend on its type."""

    kind: int
    fields: dict
    fds: list = field(default_factory=list)

    def __getattr__(self, name):
        try:
            return self.fields[name]
        except KeyError:
            raise AttributeError(name) from None


LAYOUTS = {
    HELLO: ("<IIIIII", ("magic", "version", "backend", "vm_id", "pool_id", "priority"), 0),
    CHANNEL_OPEN: ("<IIQII", ("channel", "serial", "table", "runs", "pages"), 2),
    CHANNEL_CLOSE: ("<II", ("channel", "serial"), 0),
}


class Channel:
    """An opened channel: its pages, doorbell and interrupt."""

    def __init__(self, mediator, message):
        self.mediator = mediator
        self.number = message.channel
        self.serial = message.serial
        self.doorbell, self.interrupt = message.fds
        table = mediator.read(message.table, message.runs * 16)
        self.runs = [struct.unpack_from("<QII", table, i * 16) for i in range(message.runs)]
        self.pages = message.pages

    def check_table(self):
        """The table describes so many pages of guest memory, and no page twice."""
        covered = set()
        for address, count, reserved in self.runs:
            assert address % PAGE == 0 and count >= 1 and reserved == 0, self.runs
            for page in range(address // PAGE, address // PAGE + count):
                assert page not in covered
                covered.add(page)
            self.mediator.slice(address, count * PAGE)
        assert len(covered) == self.pages, (len(covered), self.pages)

    def read(self):
        """The whole arena."""
        return b"".join(self.mediator.read(a, n * PAGE) for a, n, _ in self.runs)

    def write(self, data):
        """The whole arena."""
        done = 0
        for address, count, _ in self.runs:
            self.mediator.write(address, data[done:done + count * PAGE])
            done += count * PAGE

    def wait_doorbell(self, timeout=10):
        """Count of rings since the last call."""
        ready, _, _ = select.select([self.doorbell], [], [], timeout)
        assert ready, f"channel {self.number}: the doorbell did not ring"
        return struct.unpack("<Q", os.read(self.doorbell, 8))[0]

    def raise_interrupt(self):
        """As a worker does that has something for the guest."""
        os.write(self.interrupt, struct.pack("<Q", 1))

    def answer(self, state, reason=0):
        """Tells the device of a new state."""
        self.mediator.send(CHANNEL_STATE, struct.pack("<IIII", self.number, self.serial, state, reason))


class FakeMediator:
    """Connects at once. welcome is the reason sent in WELCOME, None to send none."""

    def __init__(self, path, welcome=0, timeout=10):
        self.regions = []
        self.messages = []
        self.condition = threading.Condition()
        self.closed = False
        self.socket = socket.socket(socket.AF_UNIX)
        deadline = time.monotonic() + timeout
        while True:
            try:
                self.socket.connect(path)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        self.data = b""
        self.fds = []
        threading.Thread(target=self._receive, daemon=True).start()
        self.hello = self.expect(HELLO)
        assert self.hello.magic == LINK_MAGIC and self.hello.version == LINK_VERSION
        self._map(self.expect(MEMORY))
        if welcome is not None:
            self.send(WELCOME, struct.pack("<II", LINK_VERSION, welcome))

    def _receive(self):
        fds = array.array("i")
        try:
            while True:
                data, control, _, _ = self.socket.recvmsg(65536, socket.CMSG_SPACE(8 * 4))
                if not data:
                    break
                for level, kind, content in control:
                    if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                        fds = array.array("i")
                        fds.frombytes(content[:len(content) - len(content) % fds.itemsize])
                        self.fds += fds
                self.data += data
                self._parse()
        except OSError:
            pass
        with self.condition:
            self.closed = True
            self.condition.notify_all()

    def _parse(self):
        while len(self.data) >= 8:
            kind, size = struct.unpack_from("<II", self.data)
            if len(self.data) < size:
                return
            body, self.data = self.data[8:size], self.data[size:]
            if kind == MEMORY:
                count = struct.unpack_from("<I", body)[0]
                fields = {"regions": [struct.unpack_from("<QQQ", body, 8 + 24 * i)
                                      for i in range(count)]}
                wanted = count
            else:
                layout, names, wanted = LAYOUTS[kind]
                fields = dict(zip(names, struct.unpack(layout, body)))
            message = Message(kind, fields, self.fds[:wanted])
            self.fds = self.fds[wanted:]
            with self.condition:
                self.messages.append(message)
                self.condition.notify_all()

    def _map(self, message):
        self.regions = []
        for (address, size, offset), fd in zip(message.regions, message.fds):
            self.regions.append((address, size, mmap.mmap(fd, size, offset=offset)))
            os.close(fd)

    def send(self, kind, body):
        """One message to the device."""
        self.socket.sendall(struct.pack("<II", kind, len(body) + 8) + body)

    def expect(self, kind, timeout=10):
        """The next message, which must be of this type; MEMORY is taken in passing."""
        deadline = time.monotonic() + timeout
        with self.condition:
            while True:
                while self.messages and self.messages[0].kind == MEMORY != kind:
                    self._map(self.messages.pop(0))
                if self.messages:
                    break
                left = deadline - time.monotonic()
                assert not self.closed and left > 0, f"no {NAMES[kind]} from the device"
                self.condition.wait(left)
            message = self.messages.pop(0)
        assert message.kind == kind, f"{NAMES.get(message.kind)} instead of {NAMES[kind]}"
        return message

    def nothing(self, seconds):
        """Nothing arrives for so long."""
        with self.condition:
            return not self.condition.wait_for(lambda: self.messages, seconds)

    def accept(self, timeout=10):
        """Takes a CHANNEL_OPEN and grants it."""
        channel = Channel(self, self.expect(CHANNEL_OPEN, timeout))
        channel.check_table()
        channel.answer(OPEN)
        return channel

    def expect_close(self, channel, timeout=10, answer=True):
        """Takes the CHANNEL_CLOSE of this channel and says that its pages are unmapped."""
        message = self.expect(CHANNEL_CLOSE, timeout)
        assert (message.channel, message.serial) == (channel.number, channel.serial)
        if answer:
            channel.answer(FREE)

    def slice(self, address, size):
        """(map, offset) of guest memory that must be in one region."""
        for start, length, memory in self.regions:
            if start <= address and address + size <= start + length:
                return memory, address - start
        raise AssertionError(f"{size} bytes at {address:#x} are not guest memory")

    def read(self, address, size):
        """Guest memory by guest physical address."""
        memory, offset = self.slice(address, size)
        return memory[offset:offset + size]

    def write(self, address, data):
        """Guest memory by guest physical address."""
        memory, offset = self.slice(address, len(data))
        memory[offset:offset + len(data)] = data

    def close(self):
        """As when the daemon ends."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()
