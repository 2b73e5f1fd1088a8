#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""embed.py OUT NAME=FILE... : writes text files as C string constants."""
import sys

with open(sys.argv[1], "w") as out:
    for item in sys.argv[2:]:
        name, path = item.split("=", 1)
        out.write("static const char %s[] = {" % name)
        with open(path, "rb") as f:
            out.write(",".join(str(b) for b in f.read()))
        out.write(",0};\n")
