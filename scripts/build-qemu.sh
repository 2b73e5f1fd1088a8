#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# build-qemu.sh - QEMU with the vgpu-stub device, from the distribution's own source package
#
#   scripts/build-qemu.sh [--refresh] [--print]
#
# The last line printed is the path of the qemu-system-x86_64 to run; it finds its firmware next to
# itself, and "-L DIR/share/qemu" names it explicitly. --print only prints where the binary for these
# sources would be, and fails when it is not built. --refresh asks the mirror for a newer source
# package first.
#
# Everything lives in $VGPU_CACHE (default $XDG_CACHE_HOME/vgpu, then ~/.cache/vgpu):
#   qemu-<hash>/                one result, complete or absent; keyed by what went into it
#   qemu-tree-<version>-<hash>/ the unpacked and configured QEMU, so that a changed device costs one
#                               object and a link
# The system's apt configuration is only read. VGPU_JOBS sets the number of compile jobs.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${VGPU_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vgpu}
jobs=${VGPU_JOBS:-$(nproc)}
target=x86_64-softmmu
sources=(
    protocol/vgpu_regs.h protocol/vgpu_link.h
    device/vgpu_stub_core.h device/vgpu_stub_core.c
    device/qemu/vgpu-compat.h device/qemu/vgpu-stub.c
)
configure_options=(
    --target-list="$target" --prefix=/usr/local
    --without-default-features --without-default-devices
    --enable-tcg --enable-kvm --enable-trace-backends=nop --disable-debug-info
    --with-devices-x86_64=vgpu
)

say() { printf 'build-qemu: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

refresh=0
print=0
for arg in "$@"; do
    case $arg in
    --refresh) refresh=1 ;;
    --print) print=1 ;;
    -h|--help) sed -n '3,19s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) die "unknown argument '$arg' (see --help)" ;;
    esac
done

# The devices the test VMs use; everything else only costs build time.
devices_mak() {
    cat <<-'MAK'
	CONFIG_I440FX=y
	CONFIG_Q35=y
	CONFIG_VIRTIO_PCI=y
	CONFIG_VIRTIO_BLK=y
	CONFIG_VIRTIO_NET=y
	CONFIG_VIRTIO_SERIAL=y
	CONFIG_VIRTIO_RNG=y
	CONFIG_VIRTIO_SCSI=y
	CONFIG_SERIAL_ISA=y
	CONFIG_IDE_ISA=y
	CONFIG_IDE_PIIX=y
	CONFIG_AHCI_ICH9=y
	CONFIG_HPET=y
	CONFIG_E1000_PCI=y
	CONFIG_ISA_DEBUG=y
	CONFIG_TEST_DEVICES=y
	CONFIG_EDU=y
	CONFIG_PVPANIC_ISA=y
	CONFIG_IOAPIC=y
	CONFIG_VGPU_STUB=y
	MAK
}

check_tools() {
    local missing=() pair
    for pair in apt-get:apt dpkg-source:dpkg-dev dpkg-deb:dpkg cc:gcc make:make ninja:ninja-build \
        meson:meson flex:flex bison:bison pkg-config:pkg-config python3:python3 xz:xz-utils \
        patch:patch perl:perl flock:util-linux sha256sum:coreutils; do
        command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
    done
    if command -v pkg-config >/dev/null; then
        for pair in glib-2.0:libglib2.0-dev pixman-1:libpixman-1-dev zlib:zlib1g-dev; do
            pkg-config --exists "${pair%%:*}" || missing+=("${pair#*:}")
        done
    fi
    if command -v cc >/dev/null; then
        echo '#include <libfdt.h>' | cc -E -o /dev/null - 2>/dev/null || missing+=(libfdt-dev)
    fi
    if [ ${#missing[@]} -gt 0 ]; then
        say "these packages are missing; install them with:"
        die "    apt-get install ${missing[*]}"
    fi
}

# One sources file with the source and binary indexes of the distribution's own archives.
apt_sources() {
    local codename
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    python3 - "$codename" <<'PY'
import glob, re, sys

codename = sys.argv[1]
ours = re.compile(re.escape(codename) + r"(-updates|-security|/updates)?$")
out = []
for name in glob.glob("/etc/apt/sources.list.d/*.sources"):
    for stanza in re.split(r"\n\s*\n", open(name).read()):
        lines = [l for l in stanza.splitlines() if l.strip() and not l.startswith("#")]
        fields = {l.split(":", 1)[0].lower(): l.split(":", 1)[1].split()
                  for l in lines if ":" in l and not l[0].isspace()}
        suites = [s for s in fields.get("suites", []) if ours.match(s)]
        if not suites or "deb" not in fields.get("types", []) or fields.get("enabled") == ["no"]:
            continue
        kept = [l for l in lines if not re.match(r"(types|suites)\s*:", l, re.I)]
        out.append("\n".join(["Types: deb deb-src", "Suites: " + " ".join(suites)] + kept))
for name in ["/etc/apt/sources.list"] + glob.glob("/etc/apt/sources.list.d/*.list"):
    try:
        text = open(name).read()
    except FileNotFoundError:
        continue
    for line in text.splitlines():
        m = re.match(r"deb\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)\s+(\S.*)$", line.split("#")[0].strip())
        if not m or not ours.match(m.group(3)):
            continue
        stanza = ["Types: deb deb-src", "URIs: " + m.group(2), "Suites: " + m.group(3),
                  "Components: " + m.group(4)]
        for option in (m.group(1) or "").split():
            key, _, value = option.partition("=")
            known = {"signed-by": "Signed-By", "trusted": "Trusted"}.get(key)
            if known:
                stanza.append(known + ": " + value)
        out.append("\n".join(stanza))
print("\n\n".join(out))
PY
}

# Puts the source package and the firmware package into $1, without touching the system's lists.
fetch() {
    local dir=$1 state=$1/apt
    mkdir -p "$state"/{lists/partial,cache/archives/partial}
    apt_sources >"$state/vgpu.sources"
    [ -s "$state/vgpu.sources" ] || die "no apt archive of this distribution is configured in /etc/apt"
    local apt=(apt-get -q -y
        -o Dir::Etc::sourcelist="$state/vgpu.sources" -o Dir::Etc::sourceparts=/dev/null
        -o Dir::State="$state" -o Dir::State::status=/var/lib/dpkg/status -o Dir::Cache="$state/cache"
        -o Acquire::Retries=5 -o Acquire::Languages=none -o APT::Sandbox::User="$(id -un)")
    say "reading the archive's indexes"
    "${apt[@]}" update >"$state/log" 2>&1 || { cat "$state/log" >&2; die "apt-get update failed"; }
    say "fetching QEMU's source package and SeaBIOS"
    (cd "$dir" && "${apt[@]}" --download-only --only-source source qemu && "${apt[@]}" download seabios) \
        >"$state/log" 2>&1 || { cat "$state/log" >&2; die "the source package could not be fetched"; }
}

version_file=$cache/qemu-source-version
mkdir -p "$cache"

result_dir() {
    local version=$1
    (cd "$root" && { sha256sum "${sources[@]}" scripts/build-qemu.sh; echo "$version"; } |
        sha256sum | cut -c1-16 | sed "s|^|$cache/qemu-|")
}

binary_of() { echo "$1/bin/qemu-system-x86_64"; }

if [ -s "$version_file" ] && [ $refresh = 0 ]; then
    result=$(result_dir "$(cat "$version_file")")
    if [ -x "$(binary_of "$result")" ]; then
        binary_of "$result"
        exit 0
    fi
fi
[ $print = 0 ] || die "not built yet: run scripts/build-qemu.sh"

check_tools

# Several callers at once: one builds, the others wait and take its result.
exec 9>"$cache/qemu-lock"
flock -n 9 || { say "another build is running; waiting for it"; flock 9; }

rm -rf "$cache"/tmp-* # of a build that was killed; only the holder of the lock has one
tmp=$(mktemp -d "$cache/tmp-XXXXXX")
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM HUP

options_hash=$({ printf '%s\n' "${configure_options[@]}"; devices_mak; } | sha256sum | cut -c1-8)
tree_of() { echo "$cache/qemu-tree-${1//[^A-Za-z0-9.]/_}-$options_hash"; }

if [ ! -s "$version_file" ] || [ $refresh = 1 ] || [ ! -e "$(tree_of "$(cat "$version_file")")/unpacked" ]; then
    fetch "$tmp"
    version=$(sed -n 's/^Version: //p' "$tmp"/qemu_*.dsc | head -n1)
    [ -n "$version" ] || die "the source package names no version"
    tree=$(tree_of "$version")
    if [ ! -e "$tree/unpacked" ]; then
        say "unpacking QEMU $version"
        mkdir "$tmp/tree"
        dpkg-source --no-check -x "$tmp"/qemu_*.dsc "$tmp/tree/src" >"$tmp/log" 2>&1 ||
            { cat "$tmp/log" >&2; die "the source package could not be unpacked"; }
        dpkg-deb -x "$tmp"/seabios_*.deb "$tmp/tree/seabios"
        touch "$tmp/tree/unpacked"
        rm -rf "$tree"
        mv "$tmp/tree" "$tree"
    fi
    echo "$version" >"$tmp/version"
    mv "$tmp/version" "$version_file"
fi
version=$(cat "$version_file")
tree=$(tree_of "$version")
result=$(result_dir "$version")
if [ -x "$(binary_of "$result")" ]; then # someone else built it while we waited
    binary_of "$result"
    exit 0
fi

# The device becomes hw/misc/vgpu/. Unchanged files keep their times, so nothing is recompiled for them.
put() { # put FILE: from stdin, only when different
    cat >"$tmp/put"
    cmp -s "$tmp/put" "$1" || { mkdir -p "$(dirname "$1")"; cp "$tmp/put" "$1"; }
}
device=$tree/src/hw/misc/vgpu
for file in "${sources[@]}"; do
    put "$device/$(basename "$file")" <"$root/$file"
done
put "$device/Kconfig" <<'KCONFIG'
config VGPU_STUB
    bool
    default y if PCI_DEVICES
    depends on PCI && MSI_NONBROKEN
KCONFIG
set_name=softmmu_ss
grep -q '^system_ss' "$tree/src/hw/misc/meson.build" && set_name=system_ss
put "$device/meson.build" <<MESON
$set_name.add(when: 'CONFIG_VGPU_STUB', if_true: files('vgpu-stub.c', 'vgpu_stub_core.c'))
MESON
grep -qx 'source vgpu/Kconfig' "$tree/src/hw/misc/Kconfig" ||
    echo 'source vgpu/Kconfig' >>"$tree/src/hw/misc/Kconfig"
grep -qx "subdir('vgpu')" "$tree/src/hw/misc/meson.build" ||
    echo "subdir('vgpu')" >>"$tree/src/hw/misc/meson.build"
devices_mak | put "$tree/src/configs/devices/$target/vgpu.mak"

build=$tree/build
if [ ! -e "$tree/configured" ]; then
    say "configuring QEMU $version"
    rm -rf "$build"
    mkdir "$build"
    (cd "$build" && ../src/configure --meson="$(command -v meson)" "${configure_options[@]}") \
        >"$tree/configure.log" 2>&1 || { tail -n 40 "$tree/configure.log" >&2; die "configure failed: $tree/configure.log"; }
    touch "$tree/configured"
fi

say "building qemu-system-x86_64 with $jobs jobs (minutes the first time, seconds after a change of the device)"
(
    last=
    ninja -C "$build" -j"$jobs" qemu-system-x86_64 2>&1 | tee "$tree/build.log" | while IFS= read -r line; do
        [[ $line =~ ^\[([0-9]+)/([0-9]+)\] ]] || continue
        step=$((BASH_REMATCH[1] * 20 / BASH_REMATCH[2]))
        [ "$step" = "$last" ] || { last=$step; say "  ${BASH_REMATCH[1]}/${BASH_REMATCH[2]}"; }
    done
) || { grep -v '^\[' "$tree/build.log" | head -n 60 >&2; die "the build failed: $tree/build.log"; }

firmware=$tmp/result/share/qemu
mkdir -p "$tmp/result/bin" "$firmware"
# The boot ROMs that -kernel needs are assembled from source. QEMU's own rules want a 32-bit C library
# for that, Debian's do not.
if [ ! -e "$tree/roms/built" ]; then
    rm -rf "$tree/roms"
    mkdir "$tree/roms"
    make -f "$tree/src/debian/optionrom.mak" -C "$tree/roms" SRC_PATH="$tree/src" all >"$tree/roms.log" 2>&1 ||
        { tail -n 30 "$tree/roms.log" >&2; die "the option ROMs did not build: $tree/roms.log"; }
    touch "$tree/roms/built"
fi
cp "$tree"/roms/*.bin "$firmware/"
cp "$tree"/seabios/usr/share/seabios/bios*.bin "$firmware/"
cp "$build/qemu-system-x86_64" "$tmp/result/bin/"
echo "$version" >"$tmp/result/VERSION"
"$tmp/result/bin/qemu-system-x86_64" -device help 2>/dev/null | grep -q '"vgpu-stub"' ||
    die "the binary has no vgpu-stub device"
rm -rf "$result"
mv "$tmp/result" "$result"
say "done: QEMU $version with vgpu-stub"
binary_of "$result"
