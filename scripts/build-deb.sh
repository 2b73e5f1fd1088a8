#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# build-deb.sh - vgpu-guest_<version>_amd64.deb, the guest's side for Debian and Ubuntu
#
#   scripts/build-deb.sh [--build DIR] [--output DIR]
#
# Takes the libraries from the build directory (build/, which must be built) and everything else from
# the tree. The same inputs give the same package: times are those of SOURCE_DATE_EPOCH, by default of
# the last commit. Prints the package's path.
set -euo pipefail
export LC_ALL=C

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$root/build
output=
while [ $# -gt 0 ]; do
    case $1 in
    --build) build=$2; shift 2 ;;
    --output) output=$2; shift 2 ;;
    *) echo "usage: build-deb.sh [--build DIR] [--output DIR]" >&2; exit 2 ;;
    esac
done
output=${output:-$build}
files=$root/packaging/deb
version=$(sed -n "s/^  version : '\(.*\)',$/\1/p" "$root/meson.build")
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct 2>/dev/null || date +%s)}

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
chmod 0755 "$stage"
umask 022
libraries=$stage/usr/lib/x86_64-linux-gnu/vgpu
doc=$stage/usr/share/doc/vgpu-guest
install -d "$libraries" "$doc" "$stage/etc/ld.so.conf.d" "$stage/usr/sbin" "$stage/DEBIAN"

glibc=2.17
for library in libcuda/libcuda.so.1 libnvml/libnvidia-ml.so.1; do
    name=${library##*/}
    [ -f "$build/guest/$library" ] || { echo "build-deb: $build/guest/$library is not built" >&2; exit 1; }
    install -m 0644 "$build/guest/$library" "$libraries/$name"
    strip --strip-unneeded "$libraries/$name"
    ln -s "$name" "$libraries/${name%.1}"
    needs=$(objdump -T "$libraries/$name" | sed -n 's/.*GLIBC_\([0-9.]*\).*/\1/p' | sort -V | tail -n 1)
    glibc=$(printf '%s\n%s\n' "$glibc" "$needs" | sort -V | tail -n 1)
done

make -s -C "$root/guest/driver" install-dkms DESTDIR="$stage" VERSION="$version"
install -m 0644 "$files/00-vgpu.conf" "$stage/etc/ld.so.conf.d/"
install -m 0755 "$files/vgpu-guest-check" "$stage/usr/sbin/"
install -m 0644 "$files/README.md" "$doc/"
{
    echo "The driver's sources in /usr/src are under the GNU General Public License, version 2; on Debian"
    echo "systems it is in /usr/share/common-licenses/GPL-2. The rest is under the Apache License,"
    echo "version 2.0; on Debian systems it is in /usr/share/common-licenses/Apache-2.0."
} > "$doc/copyright"

size=$(du -sk --apparent-size --exclude=DEBIAN "$stage" | cut -f 1)
fill() {
    sed -e "s/@VERSION@/$version/g" -e "s/@SIZE@/$size/" -e "s/@GLIBC@/$glibc/" "$1"
}
fill "$files/control.in" > "$stage/DEBIAN/control"
for script in postinst prerm postrm; do
    fill "$files/$script.in" > "$stage/DEBIAN/$script"
    chmod 0755 "$stage/DEBIAN/$script"
done
install -m 0644 "$files/triggers" "$stage/DEBIAN/triggers"
echo /etc/ld.so.conf.d/00-vgpu.conf > "$stage/DEBIAN/conffiles"
(cd "$stage" && find . -type f -not -path './DEBIAN/*' -printf '%P\0' | sort -z | xargs -0 md5sum) \
    > "$stage/DEBIAN/md5sums"

package=$output/vgpu-guest_${version}_amd64.deb
dpkg-deb --root-owner-group --build "$stage" "$package" > /dev/null
echo "$package"
