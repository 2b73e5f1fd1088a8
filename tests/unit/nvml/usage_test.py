#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What NVML says of a VM in which several programs run: its quota, its processes, whether it is busy.

  usage_test.py --build DIR

On the software GPU, with programs of this host that count as one VM.
"""

import argparse
import ctypes
import os
import subprocess
import sys
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
sys.path.insert(0, os.path.join(ROOT, "scripts"))

from lab import Mediator  # noqa: E402

QUOTA_MB = 256
BUILD = None


class Memory(ctypes.Structure):
    _fields_ = [(name, ctypes.c_ulonglong) for name in ("total", "free", "used")]


class Utilization(ctypes.Structure):
    _fields_ = [("gpu", ctypes.c_uint), ("memory", ctypes.c_uint)]


class Process(ctypes.Structure):
    _fields_ = [("pid", ctypes.c_uint), ("used", ctypes.c_ulonglong), ("gpu_instance", ctypes.c_uint),
                ("compute_instance", ctypes.c_uint)]


class Usage(unittest.TestCase):
    def start(self, **config):
        self.mediator = Mediator(BUILD, gpu="soft", config=config)
        self.addCleanup(self.mediator.stop)
        os.environ["VGPU_SOCKET"] = self.mediator.local_socket
        self.nvml = ctypes.CDLL(os.path.join(BUILD, "guest", "libnvml", "libnvidia-ml.so.1"))
        self.call("nvmlInit_v2")
        self.addCleanup(self.nvml.nvmlShutdown)
        self.gpu = ctypes.c_void_p()
        self.call("nvmlDeviceGetHandleByIndex_v2", 0, ctypes.byref(self.gpu))

    def call(self, name, *arguments):
        self.assertEqual(getattr(self.nvml, name)(*arguments), 0, name)

    def program(self, name, *arguments):
        path = os.path.join(BUILD, "guest", "libcuda")
        child = subprocess.Popen([os.path.join(BUILD, "tests", "programs", name), *arguments],
                                 env=dict(os.environ, LD_LIBRARY_PATH=path), stdout=subprocess.DEVNULL)
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        return child

    def processes(self):
        room = ctypes.c_uint(16)
        infos = (Process * 16)()
        self.call("nvmlDeviceGetComputeRunningProcesses_v3", self.gpu, ctypes.byref(room), infos)
        return {infos[i].pid: infos[i].used for i in range(room.value)}

    def busy(self):
        rates = Utilization()
        self.call("nvmlDeviceGetUtilizationRates", self.gpu, ctypes.byref(rates))
        return rates.gpu

    def memory(self):
        memory = Memory()
        self.call("nvmlDeviceGetMemoryInfo", self.gpu, ctypes.byref(memory))
        self.assertEqual(memory.total, memory.free + memory.used)
        return memory

    def wait_for(self, condition):
        deadline = time.monotonic() + 30
        while not condition():
            self.assertLess(time.monotonic(), deadline, "waited in vain")

    def test_a_vm_with_a_quota_sees_the_quota_and_what_is_used_of_it(self):
        self.start(limits={"device_memory_mb": QUOTA_MB})
        self.assertEqual(self.memory().total, QUOTA_MB << 20)
        self.assertEqual(self.memory().used, 0)
        child = self.program("spin", "--mode", "hang")
        self.wait_for(lambda: self.memory().used > 0)
        self.assertEqual(self.memory().used, self.processes()[child.pid])
        child.kill()
        self.wait_for(lambda: self.memory().used == 0)

    def test_every_program_of_the_vm_is_listed_while_it_runs(self):
        self.start()
        self.assertEqual(self.processes(), {})
        children = [self.program("spin", "--mode", "hang") for _ in range(2)]
        self.wait_for(lambda: set(self.processes()) == {child.pid for child in children})
        children[0].kill()
        self.wait_for(lambda: set(self.processes()) == {children[1].pid})

    def test_utilisation_is_that_of_the_programs(self):
        self.start()
        self.assertEqual(self.busy(), 0)
        child = self.program("spin", "--mode", "hang")
        self.wait_for(lambda: self.busy() == 100)
        child.kill()
        self.wait_for(lambda: self.busy() == 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    options, rest = parser.parse_known_args()
    BUILD = os.path.abspath(options.build)
    unittest.main(argv=[sys.argv[0], *rest])
