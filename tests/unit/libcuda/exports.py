#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A program that links or looks up any name of libcuda.so.1 finds it, and nothing else leaks out.

exports.py LIBRARY NAMES
"""
import re
import subprocess
import sys


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


library, names_path = sys.argv[1:]
names = set(open(names_path).read().split())
exported = {line.split()[-1].split("@")[0] for line in output("nm", "-D", "--defined-only", library).splitlines()}
dynamic = output("readelf", "-d", library)
needed = re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic)
failures = []
if exported != names:
    failures.append(f"missing {sorted(names - exported)[:10]}, not in the list {sorted(exported - names)[:10]}")
if re.findall(r"\(SONAME\).*\[(.*)\]", dynamic) != ["libcuda.so.1"]:
    failures.append("soname is not libcuda.so.1")
foreign = [n for n in needed if not re.match(r"(libc\.so|ld-linux|libpthread\.so|libdl\.so|lib(?:a|ub|t)san\.so)", n)]
if foreign:
    failures.append(f"needs {foreign}")
if failures:
    sys.exit("\n".join(failures))
