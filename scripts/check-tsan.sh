#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the transport with the thread sanitizer and runs both sides of the ring under it.
# usage: scripts/check-tsan.sh [build directory [records per thread]]
set -eu
cd "$(dirname "$0")/.."
build=${1:-build-tsan}
records=${2:-2000}

if [ ! -f "$build/build.ninja" ]; then
    meson setup "$build" -Db_sanitize=thread -Db_lundef=false >/dev/null
fi
ninja -C "$build" -j"${JOBS:-2}" tests/unit/transport/ring_tsan
program="$build/tests/unit/transport/ring_tsan"
# The sanitizer of gcc 12 does not start when the kernel randomises more bits than it expects.
export TSAN_OPTIONS="halt_on_error=1 exitcode=66"
for spin in 0 50; do
    VGPU_SPIN_US=$spin timeout 300 setarch -R "$program" "$records"
done
VGPU_SPIN_US=0 timeout 300 setarch -R "$program" "$records" 2 calls
echo "check-tsan: clean"
