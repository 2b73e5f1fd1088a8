#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# check-qemu-api.sh - does the vgpu-stub front end compile against these QEMU sources?
#
#   scripts/check-qemu-api.sh QEMU_SOURCE_DIR...
#
# Compiles the two device files as QEMU would, without configuring or building QEMU: its QAPI headers are
# generated and the few definitions that its configure would find out are given here. That covers every
# use of QEMU's API; linking and running are covered only for the version that build-qemu.sh builds.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
[ $# -gt 0 ] || { sed -n '3,10s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 2; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
failed=0

for source in "$@"; do
    version=$(cat "$source/VERSION")
    generated=$tmp/$version
    mkdir -p "$generated/qapi" "$generated/flat"
    IFS=. read -r major minor micro <<<"$version"
    cat >"$generated/config-host.h" <<CONFIG
#define QEMU_VERSION "$version"
#define QEMU_VERSION_MAJOR $major
#define QEMU_VERSION_MINOR $minor
#define QEMU_VERSION_MICRO $micro
#define CONFIG_LINUX 1
#define CONFIG_POSIX 1
#define CONFIG_EVENTFD 1
#define CONFIG_IOVEC 1
#define CONFIG_MADVISE 1
#define CONFIG_TCG 1
#define HOST_X86_64 1
#define HOST_LONG_BITS 64
#define HAVE_GETLOADAVG_FUNCTION 1
CONFIG
    : >"$generated/config-poison.h"
    python3 "$source/scripts/qapi-gen.py" -o "$generated/qapi" -b "$source/qapi/qapi-schema.json" \
        >"$generated/log" 2>&1 || { cat "$generated/log"; failed=1; continue; }
    cp "$root"/device/vgpu_stub_core.[ch] "$root"/device/qemu/vgpu-{stub.c,compat.h} \
        "$root"/protocol/vgpu_{regs,link}.h "$generated/flat/"
    standard=gnu11
    [ "$major" -ge 5 ] || standard=gnu99 # what QEMU itself is compiled as
    for file in vgpu-stub.c vgpu_stub_core.c; do
        # shellcheck disable=SC2046
        if cc -std=$standard -fsyntax-only -O2 -Wall -Werror -Wundef -Wwrite-strings -Wmissing-prototypes \
            -Wstrict-prototypes -Wredundant-decls -Wold-style-definition -Wtype-limits -Wformat-security \
            -Wformat-y2k -Winit-self -Wignored-qualifiers -Wempty-body -Wnested-externs -Wendif-labels \
            -Wexpansion-to-defined -Wno-missing-include-dirs -Wno-shift-negative-value \
            -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -D_LARGEFILE_SOURCE -DCOMPILING_SYSTEM_VS_USER \
            -I"$generated" -isystem "$source/include" -iquote "$source/include" -iquote "$source" \
            -isystem "$source/linux-headers" -isystem "$source/host/include/generic" \
            -isystem "$source/tcg/i386" $(pkg-config --cflags glib-2.0 pixman-1) \
            "$generated/flat/$file" 2>"$generated/log"; then
            echo "QEMU $version: $file compiles"
        else
            echo "QEMU $version: $file does not compile:"
            head -n 30 "$generated/log"
            failed=1
        fi
    done
done
exit $failed
