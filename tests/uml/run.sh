#!/bin/bash
# Runs unit test programs as root in a user-mode-linux guest: a real Linux with the controllers of
# cgroup v2, which many a machine that builds has not. The guest sees this machine's files read-only
# and is one process here. Up in about 3 s.
# Arguments: the programs, below this folder. CK_RUN_CASE in the environment is obeyed. Exit status and output are those of
# scripts/run-unit.sh, run in the guest.
set -eu
cd "$(dirname "$0")/../.."
if ! command -v linux.uml >/dev/null; then
	echo "SKIP control groups v2: no linux.uml (Debian package user-mode-linux)"
	exit 0
fi
out=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill -9 -- "-$pid" 2>/dev/null || :; rm -rf "$out"' EXIT
top=$PWD
{
	echo '#!/bin/sh'
	echo 'export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root CODEV_GUEST=1'
	echo 'mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t tmpfs tmpfs /run'
	echo 'mount -t cgroup2 none /sys/fs/cgroup'
	# shellcheck disable=SC2016
	echo 'for c in memory pids; do echo +$c >/sys/fs/cgroup/cgroup.subtree_control; done'
	# The sources first: they may lie below /tmp, which the tests want to write.
	echo 'mount -t tmpfs tmpfs /mnt; mkdir /mnt/top /mnt/out'
	printf 'mount --bind %q /mnt/top; mount -t hostfs none /mnt/out -o %q\n' "$top" "$out"
	echo 'mount -t devtmpfs dev /dev; ln -s /proc/self/fd /dev/fd'
	echo 'mount -t tmpfs tmpfs /tmp; chmod 1777 /tmp; ip link set lo up 2>/dev/null; cd /mnt/top'
	[ -z "${CK_RUN_CASE:-}" ] || printf 'export CK_RUN_CASE=%q\n' "$CK_RUN_CASE"
	printf 'scripts/run-unit.sh'
	for program in "$@"; do printf ' /mnt/top/%q' "${program#"$top"/}"; done
	echo ' </dev/null >/mnt/out/log 2>&1'
	echo 'echo $? >/mnt/out/status; sync; echo o >/proc/sysrq-trigger; sleep 10'
} >"$out/init"
chmod +x "$out/init"
TMPDIR=/dev/shm setsid linux.uml mem=256M rootfstype=hostfs rootflags=/ ro init="$out/init" con=null con0=null,fd:2 \
	quiet loglevel=3 </dev/null >"$out/console" 2>&1 &
pid=$!
for ((i = 0; i < ${UML_SECONDS:-180} * 5; i++)); do
	kill -0 "$pid" 2>/dev/null || break
	sleep 0.2
done
cat "$out/log" 2>/dev/null || :
[ -s "$out/status" ] || { echo "the guest did not come to its end:"; tail -20 "$out/console"; exit 1; }
# What ran there counts here.
if [ -n "${CODEV_COUNTS:-}" ]; then
	sed -nE 's/^unit: ([0-9]+) passed, ([0-9]+) failed, ([0-9]+) skipped$/\1 \2 \3/p' "$out/log" >>"$CODEV_COUNTS"
fi
exit "$(cat "$out/status")"
