#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# fetch-kernel.sh - Debian's cloud kernel, to boot test VMs with
#
#   scripts/vm/fetch-kernel.sh [--print]
#
# Takes the image package that matches the newest installed cloud kernel headers (the package
# linux-headers-cloud-amd64 brings them) and unpacks it once. The last line printed is a directory:
#   vmlinuz  release  headers (link to the headers)  lib/modules/<release>/ (with modules.dep)
#
# It lives in $VGPU_CACHE (default $XDG_CACHE_HOME/vgpu, then ~/.cache/vgpu), one per version.
# --print only prints where it is, and fails when it is not there. VGPU_KERNEL names such a directory
# of another kernel, which is then printed instead.
set -euo pipefail

cache=${VGPU_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vgpu}

say() { printf 'fetch-kernel: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

print=0
for arg in "$@"; do
    case $arg in
    --print) print=1 ;;
    -h|--help) sed -n '3,15s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) die "unknown argument '$arg' (see --help)" ;;
    esac
done

if [ -n "${VGPU_KERNEL:-}" ]; then
    [ -e "$VGPU_KERNEL/vmlinuz" ] || die "VGPU_KERNEL: no kernel in $VGPU_KERNEL"
    echo "$VGPU_KERNEL"
    exit 0
fi
headers=$(find /usr/src -maxdepth 1 -name 'linux-headers-*-cloud-amd64' | sort -V | tail -n 1)
[ -n "$headers" ] || die "no cloud kernel headers; install them with: apt-get install linux-headers-cloud-amd64"
release=${headers##*/linux-headers-}
version=$(dpkg-query -W -f '${Version}' "linux-headers-$release")
result=$cache/kernel-${release}_${version//[^A-Za-z0-9.+-]/_}

if [ -e "$result/vmlinuz" ]; then
    echo "$result"
    exit 0
fi
[ $print = 0 ] || die "not fetched yet: run scripts/vm/fetch-kernel.sh"

for pair in apt-get:apt dpkg-deb:dpkg depmod:kmod flock:util-linux; do
    PATH=$PATH:/sbin:/usr/sbin command -v "${pair%%:*}" >/dev/null || die "install the package ${pair#*:}"
done
mkdir -p "$cache"
exec 9>"$cache/kernel-lock"
flock 9
if [ ! -e "$result/vmlinuz" ]; then
    tmp=$(mktemp -d "$cache/tmp-XXXXXX")
    trap 'rm -rf "$tmp"' EXIT
    trap 'exit 130' INT TERM HUP
    package=linux-image-$release
    say "fetching $package $version"
    fetch() { # the archive may have replaced that version; the ABI in the name is what counts
        (cd "$tmp" && { apt-get -q -o APT::Sandbox::User="$(id -un)" download "$package=$version" ||
            apt-get -q -o APT::Sandbox::User="$(id -un)" download "$package"; }) >"$tmp/log" 2>&1
    }
    if ! fetch; then
        [ "$(id -u)" = 0 ] && apt-get -q update >"$tmp/log" 2>&1 || true
        fetch || { cat "$tmp/log" >&2; die "$package could not be fetched (apt-get update first?)"; }
    fi
    mkdir "$tmp/result"
    dpkg-deb --fsys-tarfile "$tmp"/*.deb | tar -C "$tmp/result" -x ./boot ./lib
    mv "$tmp/result/boot/vmlinuz-$release" "$tmp/result/vmlinuz"
    rm -rf "$tmp/result/boot"
    echo "$release" >"$tmp/result/release"
    ln -s "$headers" "$tmp/result/headers"
    PATH=$PATH:/sbin:/usr/sbin depmod -b "$tmp/result" "$release"
    rm -rf "$result"
    mv "$tmp/result" "$result"
fi
echo "$result"
