#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The guest's Debian package: built, installed into a directory, beside an NVIDIA package, removed.

  deb_test.py --build DIR

Needs root, because ldconfig and groupadd change into the directory; else it is skipped (status 77).
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
LIBRARIES = "usr/lib/x86_64-linux-gnu"
BUILD = None


def run(*command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options)
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}: status {done.returncode}\n{done.stdout}")
    return done.stdout


class Package(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.work = tempfile.mkdtemp(prefix="vgpu-deb-")
        cls.package = run(os.path.join(ROOT, "scripts", "build-deb.sh"), "--build", BUILD, "--output",
                          cls.work).split()[-1]

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.work)

    def setUp(self):
        """A directory with as much of Debian as packages need when dpkg does not change root."""
        self.root = tempfile.mkdtemp(dir=self.work)
        for name in ("var/lib/dpkg/updates", "var/lib/dpkg/info", "var/lib/dpkg/triggers", "etc/ld.so.conf.d",
                     LIBRARIES, "var/log", "var/cache/ldconfig"):
            os.makedirs(os.path.join(self.root, name))
        # What the package depends on counts as installed: the scripts use the test machine's.
        needs = ("libc6", "passwd", "kmod", "udev", "dkms")
        self.write("var/lib/dpkg/status", "".join(
            f"Package: {name}\nStatus: install ok installed\nVersion: 999\nArchitecture: amd64\n"
            "Maintainer: test <test@localhost>\nDescription: test\n\n" for name in needs))
        for name in needs:
            self.write(f"var/lib/dpkg/info/{name}.list", "/.\n")
        self.write("etc/group", "root:x:0:\n")
        self.write("etc/gshadow", "root:*::\n")
        self.write("etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n")
        self.write("etc/ld.so.conf.d/000_cuda.conf", "/usr/local/cuda/lib64\n")
        self.write("etc/ld.so.conf.d/x86_64-linux-gnu.conf", f"/{LIBRARIES}\n")

    def path(self, name):
        return os.path.join(self.root, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)

    def read(self, name):
        with open(self.path(name), encoding="utf-8") as file:
            return file.read()

    def dpkg(self, *arguments):
        return run("dpkg", f"--root={self.root}", "--force-script-chrootless", *arguments)

    def files(self):
        found = set()
        for directory, _, names in os.walk(self.root):
            found |= {os.path.relpath(os.path.join(directory, name), self.root) for name in names}
        return {name for name in found if not name.startswith("var/") and not name.startswith("etc/ld.so.cache")
                and not re.fullmatch(r"etc/g(roup|shadow)-", name)}

    def loaded(self, name):
        """Where the loader would find name."""
        cache = run("ldconfig", "-r", self.root, "-p")
        return next((line.split("=> ")[1] for line in cache.splitlines() if line.strip().startswith(name + " ")), None)

    def nvidia(self):
        """What matters here of NVIDIA's packages: libraries of the same names in the usual place."""
        stage = tempfile.mkdtemp(dir=self.work)
        os.chmod(stage, 0o755)
        directory = os.path.join(stage, LIBRARIES)
        os.makedirs(directory)
        os.makedirs(os.path.join(stage, "DEBIAN"))
        for source, name in (("libcuda", "libcuda.so.1"), ("libnvml", "libnvidia-ml.so.1")):
            shutil.copy(os.path.join(BUILD, "guest", source, name), os.path.join(directory, name))
        with open(os.path.join(stage, "DEBIAN", "control"), "w", encoding="utf-8") as file:
            file.write("Package: libcuda1\nVersion: 999\nArchitecture: amd64\nMaintainer: test <test@localhost>\n"
                       "Description: test\n")
        package = os.path.join(self.work, "libcuda1.deb")
        run("dpkg-deb", "--root-owner-group", "--build", stage, package)
        return package

    def test_it_holds_what_a_guest_needs(self):
        listing = run("dpkg-deb", "--contents", self.package)
        for name in ("usr/src/vgpu-0.1.0/dkms.conf", "usr/src/vgpu-0.1.0/vgpu_pci.c", "usr/src/vgpu-0.1.0/vgpu_regs.h",
                     "usr/lib/udev/rules.d/70-vgpu.rules", "usr/sbin/vgpu-guest-check",
                     f"{LIBRARIES}/vgpu/libcuda.so.1", f"{LIBRARIES}/vgpu/libnvidia-ml.so.1"):
            self.assertRegex(listing, rf"\sroot/root\s.*\./{re.escape(name)}\n", name)
        fields = run("dpkg-deb", "--field", self.package)
        self.assertRegex(fields, r"Version: \d+\.\d+\.\d+\n")
        self.assertRegex(fields, r"libc6 \(>= 2\.\d+\)")
        self.assertNotIn("@", fields.replace("root@localhost", ""))
        for line in listing.splitlines():
            if not line.startswith("l"):  # nothing for others to write, no setuid
                self.assertRegex(line, r"^[d-]rw.r-.r-[x-] ")

    def test_the_same_tree_gives_the_same_package(self):
        again = run(os.path.join(ROOT, "scripts", "build-deb.sh"), "--build", BUILD, "--output", self.root).split()[-1]
        with open(again, "rb") as one, open(self.package, "rb") as other:
            self.assertEqual(one.read(), other.read())

    def test_maintainer_scripts_are_sound_shell(self):
        control = tempfile.mkdtemp(dir=self.work)
        run("dpkg-deb", "--control", self.package, control)
        for script in ("postinst", "prerm", "postrm"):
            run("sh", "-n", os.path.join(control, script))

    def test_programs_find_our_libraries_and_removal_leaves_nothing(self):
        before = self.files()
        group = self.read("etc/group")
        self.dpkg("--install", self.package)
        for name in ("libcuda.so.1", "libnvidia-ml.so.1"):
            self.assertEqual(self.loaded(name), f"/{LIBRARIES}/vgpu/{name}")
        self.assertRegex(self.read("etc/group"), r"(?m)^vgpu:")
        self.dpkg("--remove", "vgpu-guest")
        self.assertEqual(self.files() - before, {"etc/ld.so.conf.d/00-vgpu.conf"})
        self.assertIsNone(self.loaded("libcuda.so.1"))
        self.dpkg("--purge", "vgpu-guest")
        self.assertEqual(self.files(), before)
        self.assertEqual(self.read("etc/group"), group)

    def test_an_nvidia_package_before_or_after_changes_nothing(self):
        for order in ((self.package, self.nvidia()), (self.nvidia(), self.package)):
            for package in order:
                self.dpkg("--install", package)
            run("ldconfig", "-r", self.root)
            self.assertEqual(self.loaded("libcuda.so.1"), f"/{LIBRARIES}/vgpu/libcuda.so.1")
            self.dpkg("--purge", "vgpu-guest")
            self.assertEqual(self.loaded("libcuda.so.1"), f"/{LIBRARIES}/libcuda.so.1")
            self.dpkg("--purge", "libcuda1")

    def test_an_upgrade_keeps_everything(self):
        self.dpkg("--install", self.package)
        before = self.files()
        self.dpkg("--install", self.package)
        self.assertEqual(self.files(), before)
        self.assertEqual(self.loaded("libcuda.so.1"), f"/{LIBRARIES}/vgpu/libcuda.so.1")

    def test_a_directory_put_before_ours_is_told_when_it_comes(self):
        self.assertNotIn("programs load", self.dpkg("--install", self.package))
        self.write("etc/ld.so.conf.d/--first.conf", f"/{LIBRARIES}\n")
        self.assertIn(f"programs load /{LIBRARIES}/libcuda.so.1", self.dpkg("--install", self.nvidia()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    options, rest = parser.parse_known_args()
    BUILD = os.path.abspath(options.build)
    if os.geteuid() != 0 or not shutil.which("dpkg"):
        print("needs root and dpkg")
        sys.exit(77)
    unittest.main(argv=[sys.argv[0], *rest])
