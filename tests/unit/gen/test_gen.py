#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares what the generator makes of a small API with golden/, and shows it mistakes to refuse.

  test_gen.py GENERATOR            after a wanted change: test_gen.py GENERATOR --update
"""
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
GENERATOR = Path(sys.argv[1]).resolve()


def generate(ops, exports=None, out=None):
    return subprocess.run([sys.executable, GENERATOR, ops, exports or HERE / "exports.api", HERE / "names.txt", out],
                          capture_output=True, text=True)


class Golden(unittest.TestCase):
    maxDiff = None

    def test_output_is_as_reviewed(self):
        with tempfile.TemporaryDirectory() as directory:
            done = generate(HERE / "example.api", out=directory)
            self.assertEqual(done.returncode, 0, done.stderr)
            made = {p.name: p.read_text() for p in Path(directory).iterdir()}
        self.assertEqual(sorted(made), sorted(p.name for p in (HERE / "golden").iterdir()))
        for name, text in made.items():
            with self.subTest(file=name):
                self.assertEqual(text, (HERE / "golden" / name).read_text())

    def test_order_of_operations_does_not_matter(self):
        parts = (HERE / "example.api").read_text().split("\nop ")
        turned = parts[0] + "".join("\nop " + p for p in [parts[-1].split("\ndriver")[0]] + parts[1:-1])
        turned += "\ndriver" + parts[-1].split("\ndriver", 1)[1]
        with tempfile.TemporaryDirectory() as directory:
            api = Path(directory) / "turned.api"
            api.write_text(turned)
            self.assertEqual(generate(api, out=directory).returncode, 0)
            for name in ("vgpu_ops.h", "vgpu_decode.c"):
                self.assertEqual((Path(directory) / name).read_text(), (HERE / "golden" / name).read_text())


class Refusals(unittest.TestCase):
    def refused(self, text, why, exports=None):
        with tempfile.TemporaryDirectory() as directory:
            api = Path(directory) / "bad.api"
            api.write_text(text)
            if exports is not None:
                exports_path = Path(directory) / "exports.api"
                exports_path.write_text(exports)
            done = generate(api, exports_path if exports is not None else None, directory)
            self.assertNotEqual(done.returncode, 0, "accepted: " + text)
            self.assertIn("vgpu_gen: ", done.stderr)
            self.assertIn(why, done.stderr)
            self.assertFalse((Path(directory) / "vgpu_decode.c").exists(), "half an output was written")

    def field(self, line, why):
        self.refused(f"op 1 A sync\n    {line}\n", why)

    def test_numbers_and_names_are_used_once(self):
        self.refused("op 1 A sync\nop 1 B sync\n", "used before")
        self.refused("op 1 A sync\nop 2 A sync\n", "used before")

    def test_numbers_stay_in_range(self):
        self.refused("op 0 A sync\n", "out of 1..511")
        self.refused("op 512 A sync\n", "out of 1..511")
        self.refused("op -1 A sync\n", "want 'op NUMBER")
        self.refused("op x A sync\n", "want 'op NUMBER")

    def test_classes_are_known(self):
        self.refused("op 1 A later\n", "want 'op NUMBER")
        self.refused("op 1 A\n", "want 'op NUMBER")

    def test_types_are_known(self):
        self.field("in u16 a", "unknown type 'u16'")
        self.field("in ?u32 a", "no handle")
        self.field("in new u32 a", "no handle")
        self.field("in del fn a", "no handle")
        self.field("in u32", "want 'TYPE NAME'")
        self.field("in new", "want 'TYPE NAME'")
        self.field("in u32 A", "no field name")
        self.field("in u32 a b", "want 'TYPE NAME'")

    def test_only_numbers_come_in_arrays(self):
        for kind in ("ctx", "stream", "dev", "release", "addr(4)", "heap(4)"):
            self.field(f"in {kind} a[2]", "no array")
        self.field("in u32 a[0]", "no array of 0")

    def test_ranges_have_a_size_that_is_there(self):
        self.field("in addr a", "needs a size")
        self.field("in addr(size) a", "no unsigned field 'size'")
        self.field("in heap(size) a\n    in i32 size", "no unsigned field 'size'")
        self.field("in heap(size) a\n    in u64 size[2]", "no unsigned field 'size'")

    def test_directions_are_kept(self):
        self.field("in tail a", "cannot be an argument")
        self.field("out bytes a 4", "cannot be a result")
        self.field("out ctx a", "cannot be a result")

    def test_variable_parts_come_last(self):
        self.field("in bytes a 4\n    in u32 b", "only the last field")
        self.field("in bytes a 4\n    in bytes b 4", "only the last field")
        self.field("in bytes a many", "no number of bytes")
        self.field("out tail a\n    out u32 b", "only the last field")

    def test_records_and_replies_fit(self):
        self.field("in bytes a 65521", "record of A exceeds 65536")
        self.field("in u64 a[8191]", "record of A exceeds 65536")
        self.field("out u8[4033] a", "reply of A exceeds 4032")

    def test_fields_are_told_apart(self):
        self.field("in u32 a\n    in u64 a", "two fields of one name")
        self.field("in release a\n    in release b", "two release words")

    def test_deferred_operations_answer_nothing(self):
        self.refused("op 1 A deferred\n    out u32 a\n", "has no reply")

    def test_driver_calls_name_fields(self):
        self.field("host cuOne(b)", "is no field")
        self.field("host cuOne", "want 'host DRIVERCALL(ARGS)'")

    def test_other_lines_are_refused(self):
        self.refused("nonsense\n", "cannot read 'nonsense'")
        self.refused("    in u32 a\n", "cannot read")

    def test_exports_are_checked(self):
        self.refused("op 1 A sync\n", "is not in the list", "cuOther local\n")
        self.refused("op 1 A sync\n", "stands twice", "cuOne local\ncuOne local\n")
        self.refused("op 1 A sync\n", "want 'NAME local|served", "cuOne maybe\n")


if __name__ == "__main__":
    if sys.argv[2:] == ["--update"]:
        sys.exit(generate(HERE / "example.api", out=HERE / "golden").returncode)
    unittest.main(argv=sys.argv[:1])
