#!/bin/bash
# Runs namespaces.py in a network namespace that stands for the machine, where it makes others for containers.
set -u
cd "$(dirname "$0")" || exit 70
python=${CREDBROKER_TEST_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/credbroker/venv}/bin/python
PATH=$PATH:/usr/sbin:/sbin
if [ "$(id -u)" -ne 0 ]; then
    echo 'not run containers: only root can make network namespaces and be other users'
    exit 0
fi
if ! unshare --net --mount sh -c 'mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns && ip link add probe type veth' 2>/dev/null; then
    echo 'not run containers: no network namespace with a veth can be made here'
    exit 0
fi
# shellcheck disable=SC2016 # the inner shell's own argument
exec unshare --net --mount sh -c '
    mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns && ip link set lo up && exec "$0" namespaces.py' "$python"
