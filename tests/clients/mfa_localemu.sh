#!/bin/bash
# Runs mfa_localemu.py in a network namespace of its own, since the emulator listens on every address there is.
set -u
cd "$(dirname "$0")" || exit 70
cache=${XDG_CACHE_HOME:-$HOME/.cache}/credbroker
python=${CREDBROKER_TEST_VENV:-$cache/venv}/bin/python
export LOCALEMU=$cache/localemu/bin/localemu
namespace=(unshare --net)
[ "$(id -u)" -eq 0 ] || namespace=(unshare --user --map-root-user --net)
if ! "${namespace[@]}" true 2>/dev/null; then
    echo 'not run a second opinion on MFA: no network namespace can be made here'
    exit 0
fi
# shellcheck disable=SC2016 # the inner shell's own argument
exec "${namespace[@]}" sh -c 'PATH=$PATH:/usr/sbin:/sbin; ip link set lo up && exec "$0" mfa_localemu.py' "$python"
