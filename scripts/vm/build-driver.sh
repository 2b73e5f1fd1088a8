#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# build-driver.sh - vgpu.ko for the test VMs' kernel
#
#   scripts/vm/build-driver.sh DIR
#
# Builds a copy of guest/driver in DIR/vgpu.ko.d, so that several build directories can exist side
# by side, and prints the path of the module as its last line.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
[ $# = 1 ] || { sed -n '3,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 2; }
kernel=$("$here/fetch-kernel.sh" | tail -n 1)

mkdir -p "$1"
work=$(cd "$1" && pwd)/vgpu.ko.d
mkdir -p "$work"
exec 9>"$work/.lock"
flock 9
for file in "$root"/guest/driver/{Makefile,*.[ch]} "$root/protocol/vgpu_regs.h"; do
    cmp -s "$file" "$work/${file##*/}" || cp "$file" "$work/"
done
# One directory may see several kernels; type information would only slow the build down.
headers=$(readlink "$kernel/headers")
[ "$headers" = "$(cat "$work/.kernel" 2>/dev/null)" ] || rm -f "$work"/*.o "$work"/.*.cmd "$work/vgpu.ko"
echo "$headers" >"$work/.kernel"
make -C "$work" KDIR="$headers" CONFIG_DEBUG_INFO_BTF_MODULES= >"$work/log" 2>&1 ||
    { cat "$work/log" >&2; echo "build-driver: failed" >&2; exit 1; }
! grep -i warning: "$work/log" >&2 || { echo "build-driver: the driver must build without warnings" >&2; exit 1; }
echo "$work/vgpu.ko"
