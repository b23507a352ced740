#!/bin/bash
# Runs link_local.py in a network namespace whose loopback device has the metadata service's own address.
set -u
cd "$(dirname "$0")" || exit 70
python=${CREDBROKER_TEST_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/credbroker/venv}/bin/python
namespace=(unshare --net)
[ "$(id -u)" -eq 0 ] || namespace=(unshare --user --map-root-user --net)
if ! "${namespace[@]}" true 2>/dev/null; then
    echo 'not run 169.254.169.254: no network namespace can be made here'
    exit 0
fi
# shellcheck disable=SC2016 # the inner shell's own argument
exec "${namespace[@]}" sh -c '
    PATH=$PATH:/usr/sbin:/sbin
    ip link set lo up && ip address add 169.254.169.254/32 dev lo && exec "$0" link_local.py' "$python"
