#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# make-initramfs.sh - the test VMs' root file system, as one initramfs
#
#   scripts/vm/make-initramfs.sh -o OUT [-w DIR] [OPTION...]
#
#   -o OUT              the initramfs to write (cpio, not compressed: that boots fastest)
#   -w DIR              for intermediate files (default: OUT.d)
#   --no-driver         leave vgpu.ko out
#   --program FILE      put FILE into /usr/local/bin, with the shared libraries it needs
#   --library FILE      put FILE into the library directory under its SONAME, and what it needs
#   --file SRC=DEST     put SRC at DEST (a directory with everything in it), mode as it is
#   -L DIR              look for shared libraries here first
#
# Holds busybox, glibc, lspci, the kernel modules for virtio, disks and ext4, vgpu.ko, and the agent
# that vm.py talks to. Users: root, tenant (member of group vgpu), stranger (not a member).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PATH=$PATH:/sbin:/usr/sbin
say() { printf 'make-initramfs: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

out='' work='' driver=1 search=''
programs=() libraries=() files=()
while [ $# -gt 0 ]; do
    case $1 in
    --no-driver) driver=0; shift; continue ;;
    -h|--help) sed -n '3,18s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    esac
    [ $# -ge 2 ] || die "'$1' is unknown or lacks its argument (see --help)"
    case $1 in
    -o) out=$2 ;;
    -w) work=$2 ;;
    -L) search=$search${search:+:}$(cd "$2" && pwd) ;;
    --program) programs+=("$2") ;;
    --library) libraries+=("$2") ;;
    --file) files+=("$2") ;;
    *) die "unknown argument '$1' (see --help)" ;;
    esac
    shift 2
done
[ -n "$out" ] || die "-o is missing (see --help)"
for pair in busybox:busybox-static lspci:pciutils cpio:cpio depmod:kmod cc:gcc; do
    command -v "${pair%%:*}" >/dev/null || die "install the package ${pair#*:}"
done
[ "$(busybox --list | grep -c -x -e mdev -e modprobe -e su)" = 3 ] || die "busybox lacks mdev, modprobe or su: install busybox-static"

mkdir -p "$(dirname "$out")"
work=${work:-$out.d}
mkdir -p "$work"
kernel=$("$here/fetch-kernel.sh" | tail -n 1)
release=$(cat "$kernel/release")

tree=$work/tree
rm -rf "$tree"
libdir=/lib/x86_64-linux-gnu
mkdir -p "$tree"/{bin,dev,etc,lib64,proc,root,run,sys,tmp,home/tenant,home/stranger,usr/bin,usr/local/bin,usr/share/misc} \
    "$tree$libdir"
ln -s bin "$tree/sbin"
ln -s ../../bin "$tree/usr/bin/.busybox"
ln -s ../lib "$tree/usr/lib"

# Puts what an ELF file needs where the dynamic linker looks. Nothing for a static one.
needs() {
    local line path
    { LD_LIBRARY_PATH=$search${search:+:}${LD_LIBRARY_PATH:-} ldd "$1" 2>/dev/null || true; } | while read -r line; do
        case $line in
        *"not found"*) die "$1 needs a library that is not there: $line (give its directory with -L)" ;;
        *"=>"*) path=${line#*=> }; path=${path% (*}
            [ -e "$tree$libdir/${line%% *}" ] || cp -L "$path" "$tree$libdir/${line%% *}" ;;
        /lib64/*) path=${line% (*}
            [ -e "$tree$path" ] || cp -L "$path" "$tree$path" ;;
        esac
    done
}

put_program() { # FILE DEST
    install -D -m 0755 "$1" "$tree$2"
    needs "$1"
}

cp "$(command -v busybox)" "$tree/bin/busybox"
busybox --list | while read -r name; do
    [ "$name" = busybox ] || [ "$name" = lspci ] || ln -s busybox "$tree/bin/$name"
done
put_program "$(command -v lspci)" /usr/bin/lspci
# Names for what a test VM has on its bus, and the classes.
awk '/^[0-9a-f]/ { keep = /^(1af4|8086|1234|10de) / } /^C / { keep = 1 } keep' \
    /usr/share/misc/pci.ids >"$tree/usr/share/misc/pci.ids"

cc -std=gnu17 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -static -o "$work/vm-agent" "$here/vm-agent.c"
install -m 0755 "$work/vm-agent" "$tree/bin/vm-agent"
install -m 0755 "$here/init" "$tree/init"

printf '%s\n' root:x:0:0:root:/root:/bin/sh tenant:x:1000:1000::/home/tenant:/bin/sh \
    stranger:x:1001:1001::/home/stranger:/bin/sh >"$tree/etc/passwd"
printf '%s\n' root:x:0: vgpu:x:900:tenant tenant:x:1000: stranger:x:1001: >"$tree/etc/group"
# What packaging/udev/70-vgpu.rules says, for mdev.
printf '%s\n' 'vgpu[0-9]* root:vgpu 0660' 'null root:root 0666' 'zero root:root 0666' \
    'full root:root 0666' 'u?random root:root 0666' 'tty root:root 0666' 'ptmx root:root 0666' \
    >"$tree/etc/mdev.conf"
echo 'export PATH=/usr/local/bin:/usr/bin:/bin' >"$tree/etc/profile"

modules=$tree/lib/modules/$release
mkdir -p "$modules"
for name in virtio_pci virtio_console virtio_blk virtio_net ext4 overlay squashfs; do
    modprobe -d "$kernel" -S "$release" --show-depends "$name" | while read -r verb path _; do
        [ "$verb" = insmod ] || continue
        file=$modules/${path##*/lib/modules/"$release"/}
        install -D -m 0644 "$path" "$file"
        case $file in *.xz) xz -d -f "$file" ;; esac
    done
done
cp "$kernel/lib/modules/$release"/modules.{order,builtin,builtin.modinfo} "$modules/"
if [ $driver = 1 ]; then
    ko=$("$here/build-driver.sh" "$work" | tail -n 1)
    install -D -m 0644 "$ko" "$modules/updates/vgpu.ko"
fi
depmod -b "$tree" "$release"

for file in ${programs[@]+"${programs[@]}"}; do
    put_program "$file" "/usr/local/bin/${file##*/}"
done
for file in ${libraries[@]+"${libraries[@]}"}; do
    soname=$(objdump -p "$file" | awk '$1 == "SONAME" { print $2 }')
    install -m 0755 "$file" "$tree$libdir/${soname:-${file##*/}}"
    needs "$file"
done
for pair in ${files[@]+"${files[@]}"}; do
    mkdir -p "$(dirname "$tree${pair#*=}")"
    cp -rL "${pair%%=*}" "$tree${pair#*=}"
done

(cd "$tree" && find . -mindepth 1 | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0) >"$out.new"
mv "$out.new" "$out"
say "$out: $(du -h "$out" | cut -f1)"
