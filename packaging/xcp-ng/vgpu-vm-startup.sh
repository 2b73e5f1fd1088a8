#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# vgpu-vm-startup.sh - is a VM about to start with the vGPU device that is on record for it?
#
#   /etc/vgpu/vgpu-vm-startup.sh UUID                by hand: sets the device up when it is not
#   /etc/xapi.d/vm-pre-start/20-vgpu -vmuuid UUID -reason REASON
#                                                    called by xapi: looks and reports, no more,
#                                                    since it is too late then for a change
#
# A VM that is not registered is none of our business: no word, status 0. As a hook it ends with 0,
# or 1 after a problem, which xapi logs and goes on; only where the file /etc/vgpu/require-vgpu
# exists does a problem keep the VM from starting (status 2). By hand: 0 or 1, and 2 for wrong usage.
#
# Environment, for tests: VGPU_ADMIN, VGPU_XE, VGPU_REQUIRE_FILE name other files.
set -u
PATH=$PATH:/usr/local/sbin:/usr/sbin:/opt/xensource/bin
admin=${VGPU_ADMIN:-vgpu-admin}
xe=${VGPU_XE:-xe}
require=${VGPU_REQUIRE_FILE:-/etc/vgpu/require-vgpu}
hook=no
uuid=

problem() {
    if [ $hook = no ]; then
        printf 'vgpu-vm-startup: %s\n' "$1" >&2
        exit 1
    fi
    # xapi keeps what a failing hook prints.
    printf 'vgpu: VM %s: %s\n' "$uuid" "$1" >&2
    [ ! -e "$require" ] || exit 2
    exit 1
}

case ${1-} in
-*)
    hook=yes
    while [ $# -ge 2 ]; do
        [ "$1" != -vmuuid ] || uuid=$2
        shift 2
    done
    ;;
*) [ $# = 1 ] && uuid=$1 ;;
esac
hex='[0-9a-fA-F]'
hex4=$hex$hex$hex$hex
# shellcheck disable=SC2254 # these are patterns
case $uuid in
$hex4$hex4-$hex4-$hex4-$hex4-$hex4$hex4$hex4) ;;
*)
    [ $hook = no ] || exit 0
    echo 'usage: vgpu-vm-startup.sh UUID' >&2
    exit 2
    ;;
esac
uuid=$(printf '%s' "$uuid" | tr A-F a-f)

record=$(timeout 20 "$admin" show-vm --vm-uuid="$uuid" --json 2>&1)
case $? in
0) ;;
3) exit 0 ;;
*) problem "its record cannot be read: $(printf '%s' "$record" | tr '\n' ' ' | cut -c 1-300)" ;;
esac
# A member of the object is a line of its own, whatever a name holds: JSON escapes its line ends.
pool=$(printf '%s\n' "$record" | sed -n 's/^  "pool": "\([A-Z]\)",\{0,1\}$/\1/p')
priority=$(printf '%s\n' "$record" | sed -n 's/^  "priority": "\(low\|medium\|high\)",\{0,1\}$/\1/p')
vm_id=$(printf '%s\n' "$record" | sed -n 's/^  "vm_id": \([0-9]\{1,10\}\),\{0,1\}$/\1/p')
case $priority in
low) priority=0 ;;
medium) priority=1 ;;
high) priority=2 ;;
esac
case $pool:$priority:$vm_id in
[A-Z]:[0-2]:[1-9]*) ;;
*) problem 'its record cannot be understood' ;;
esac

expected="-device vgpu-stub,pool_id=$pool,priority=$priority,vm_id=$vm_id"
actual=$(timeout 20 "$xe" vm-param-get uuid="$uuid" param-name=platform \
    param-key=device-model-args 2>/dev/null) || actual=
[ "$actual" != "$expected" ] || exit 0
if [ $hook = no ]; then
    timeout 60 "$xe" vm-param-set uuid="$uuid" "platform:device-model-args=$expected" ||
        problem 'its device could not be set up'
    echo "VM $uuid: its device is set up for its next start: pool $pool, priority $priority, vm_id $vm_id"
    exit 0
fi
problem 'its platform map does not have the device that is on record; vgpu-admin set-pool, or /etc/vgpu/vgpu-vm-startup.sh, sets it'
