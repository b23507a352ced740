#!/bin/bash
# Boots a real systemd as the first process of its own namespaces, on a throw-away overlay of this machine, and runs
# systemd.py in it. The two share no file that could be written: a booting systemd cleans up /tmp and more. What the
# tests need goes in as copies, or bound read-only; what they said comes out through a pipe. When the first process
# is killed, all of it is gone.

set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/credbroker
venv=${CREDBROKER_TEST_VENV:-$cache/venv}
stage=/srv/credbroker-tests
program=${CREDBROKER_TEST_BIN:-${CARGO_TARGET_DIR:-$cache/target}/debug/credbroker}

for missing in "$venv/bin/moto_server" /lib/systemd/systemd /usr/bin/dbus-daemon; do
    [ -e "$missing" ] || { echo "not run the services: $missing is missing"; exit 0; }
done
if [ "$(id -u)" -ne 0 ]; then
    echo 'not run the services: only root can boot a systemd of its own'
    exit 0
fi
[ -x "$program" ] || { echo "FAILED the services: $program is not built"; exit 1; }

scratch=$(mktemp -d /run/credbroker-machine.XXXXXX) || exit 1
name=$(basename "$scratch")
group=
outer=
first=

# shellcheck disable=SC2317 # called by the trap
# Ends the machine and removes what it left outside: its control group and the scratch directory.
halt() {
    # The first process's death ends every process in its namespace. It is ours only while `unshare` is its parent.
    [ -n "$first" ] && grep -qsx "PPid:	$outer" "/proc/$first/status" && kill -KILL "$first"
    [ -n "$outer" ] && kill -KILL "$outer" 2>/dev/null
    [ -n "$outer" ] && wait "$outer" 2>/dev/null
    for _ in $(seq 50); do
        [ -d "${group:-/nonexistent}" ] || break
        find "$group" -depth -type d -exec rmdir {} + 2>/dev/null
        sleep 0.1
    done
    rm -rf --one-file-system "$scratch"
}
trap halt EXIT
trap 'exit 143' TERM INT HUP

# A control group of its own, in the second version's tree.
for tree in /sys/fs/cgroup /sys/fs/cgroup/unified; do
    [ "$(stat --file-system --format %T "$tree" 2>/dev/null)" = cgroup2fs ] && group=$tree/$name
done
mkdir "${group:-/sys/fs/cgroup/$name}" || { echo 'FAILED the services: no control group can be made here'; exit 1; }

# What the machine has beside this one's files.
install -D -m 755 "$program" "$scratch/tree/usr/local/bin/credbroker"
for unit in system user; do
    install -D -m 644 -t "$scratch/tree/usr/lib/systemd/$unit" "$root/systemd/$unit"/*
done
install -D -m 644 -t "$scratch/tree/usr/lib/sysusers.d" "$root/systemd/sysusers.d"/*
install -D -m 644 -t "$scratch/tree$stage/clients" "$root/tests/clients"/*.py "$root/docs/guides/containers.md"
mkdir "$scratch/tree$stage/out" "$scratch/tree$stage/private" "$scratch/tree$stage/venv"

# Runs inside the new namespaces, up to the moment at which systemd takes over.
cat >"$scratch/boot" <<'END'
set -eu
scratch=$1 venv=$2 venv_inside=$3
mount --make-rprivate /
mkdir "$scratch/layer"
mount -t tmpfs -o mode=755 tmpfs "$scratch/layer"
mkdir "$scratch/layer/upper" "$scratch/layer/work" "$scratch/layer/root"
new=$scratch/layer/root
mount -t overlay -o lowerdir=/,upperdir="$scratch/layer/upper",workdir="$scratch/layer/work" overlay "$new"
mount -t proc proc "$new/proc"
mount -t sysfs -o ro sysfs "$new/sys"
mount -t cgroup2 -o nsdelegate cgroup2 "$new/sys/fs/cgroup" 2>/dev/null || mount -t cgroup2 cgroup2 "$new/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$new/dev"
for device in null zero full random urandom tty; do
    : >"$new/dev/$device"
    mount --bind "/dev/$device" "$new/dev/$device"
done
mkdir "$new/dev/pts" "$new/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$new/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$new/dev/shm"
ln -s pts/ptmx "$new/dev/ptmx"
ln -s /proc/self/fd "$new/dev/fd"
for number in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${number%:*}" "$new/dev/${number#*:}"; done
mount -t tmpfs -o mode=755 tmpfs "$new/run"
mount -t tmpfs -o mode=1777 tmpfs "$new/tmp"
# A quiet machine: nothing that this one has enabled, nothing that would reach for its kernel or its devices.
rm -rf "$new"/etc/systemd/system "$new"/etc/init.d "$new"/etc/rc?.d
mkdir "$new/etc/systemd/system"
for unit in console-getty.service dev-hugepages.mount dev-mqueue.mount getty@.service sys-kernel-debug.mount \
    sys-kernel-tracing.mount systemd-binfmt.service systemd-modules-load.service systemd-networkd.service \
    systemd-remount-fs.service systemd-resolved.service systemd-sysctl.service systemd-timesyncd.service \
    systemd-udevd.service; do
    ln -s /dev/null "$new/etc/systemd/system/$unit"
done
: >"$new/etc/fstab"
echo credbroker-machine >"$new/etc/hostname"
tr -d - </proc/sys/kernel/random/uuid >"$new/etc/machine-id"
cp -a "$scratch/tree/." "$new/"
mount --bind "$venv" "$new$venv_inside"
mount -o remount,bind,ro "$new$venv_inside"
ip link set lo up
mkdir "$new/.outside"
cd "$new"
pivot_root . .outside
umount -l /.outside
# Without this, LoadCredential= gives an empty directory.
mount --make-rshared /
exec env -i container=credbroker-machine PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb \
    /lib/systemd/systemd --system --unit=multi-user.target --log-target=console --log-level=info --show-status=no \
    </dev/null >/dev/null 2>&3
END

(
    echo "$BASHPID" >"$group/cgroup.procs"
    exec setsid unshare --pid --fork --mount --uts --ipc --net --cgroup --kill-child=SIGKILL \
        bash "$scratch/boot" "$scratch" "$venv" "$stage/venv" \
        3>"$scratch/console.log" >"$scratch/setup.log" 2>&1 </dev/null
) &
outer=$!

inside() {
    nsenter --target "$first" --all env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        HOME=/root LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 CREDBROKER_TEST_BIN=/usr/local/bin/credbroker \
        CREDBROKER_TEST_VENV="$stage/venv" CREDBROKER_TEST_OUT="$stage/out" \
        CREDBROKER_TEST_SECRETS="$stage/private/secrets" "$@"
}

for _ in $(seq 200); do
    read -r first _ <"/proc/$outer/task/$outer/children" 2>/dev/null
    [ -n "$first" ] && [ "$(cat "/proc/$first/comm" 2>/dev/null)" = systemd ] && break
    sleep 0.05
done
state=
for _ in $(seq 200); do
    state=$(inside systemctl is-system-running 2>/dev/null)
    case $state in running | degraded) break ;; esac
    sleep 0.1
done
case $state in
    running | degraded) ;;
    *)
        echo "FAILED the services: systemd did not boot ($state)"
        tail -n 20 "$scratch/setup.log" "$scratch/console.log"
        exit 1
        ;;
esac

status=0
inside "$stage/venv/bin/python" "$stage/clients/systemd.py" || status=$?
if [ -n "${CREDBROKER_TEST_OUT:-}" ]; then
    inside tar --create --directory "$stage/out" . | tar --extract --no-same-owner --directory "$CREDBROKER_TEST_OUT"
    cp "$scratch/console.log" "$CREDBROKER_TEST_OUT/systemd-console.log"
fi
[ -n "${CREDBROKER_TEST_SECRETS:-}" ] && inside cat "$stage/private/secrets" >>"$CREDBROKER_TEST_SECRETS"
exit $status
