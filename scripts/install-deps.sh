#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# install-deps.sh - installs the Debian packages that building and testing need
#
#   scripts/install-deps.sh [--list]
#
# Does nothing when all are there. Needs root, or sudo. --list prints the packages.
set -euo pipefail

packages=(
    # the C build
    build-essential pkg-config meson ninja-build python3 clang llvm libclang-rt-14-dev
    # libraries of the host side, and of the tests
    libjansson-dev libseccomp-dev liblz4-dev libzstd-dev libsqlite3-dev
    libcmocka-dev
    # the guest's kernel driver
    linux-headers-cloud-amd64 kmod sparse
    # our QEMU
    dpkg-dev libglib2.0-dev libpixman-1-dev libfdt-dev zlib1g-dev flex bison python3-venv xz-utils
    # the test VMs
    busybox-static pciutils cpio binutils file procps
)

say() { printf 'deps: %s\n' "$*"; }

case ${1:-} in
--list) printf '%s\n' "${packages[@]}"; exit 0 ;;
-h|--help) sed -n '3,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
'') ;;
*) say "unknown argument '$1' (see --help)" >&2; exit 2 ;;
esac

if ! command -v apt-get >/dev/null; then
    say "this script knows Debian's apt-get only; install the equivalents of: ${packages[*]}" >&2
    exit 1
fi

missing=()
for package in "${packages[@]}"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} = 0 ]; then
    exit 0
fi

root=()
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { say "run as root, or install: ${missing[*]}" >&2; exit 1; }
    root=(sudo)
fi
say "installing ${missing[*]}"
"${root[@]}" apt-get -q update >/dev/null
DEBIAN_FRONTEND=noninteractive "${root[@]}" apt-get -q -y install --no-install-recommends "${missing[@]}" >/dev/null || {
    say "apt-get could not install: ${missing[*]}" >&2
    exit 1
}
say "done"
