#!/bin/bash
# All that a change must pass. Goes on after a failure, so that one run shows everything.
# Last line: N passed, N failed, N skipped.
set -u
cd "$(dirname "$0")/.." || exit 1
CODEV_COUNTS=$(mktemp)
export CODEV_COUNTS
trap 'rm -f "$CODEV_COUNTS"' EXIT
jobs=$(nproc)

# A step counts as one test; unit and e2e count their own.
step() { # NAME COMMAND...
	local name=$1 start=$SECONDS
	shift
	echo "== $name"
	if "$@"; then
		printf '== %s: ok, %s s\n' "$name" $((SECONDS - start))
		echo "1 0 0" >>"$CODEV_COUNTS"
	else
		printf '== %s: FAILED, %s s\n' "$name" $((SECONDS - start))
		echo "0 1 0" >>"$CODEV_COUNTS"
	fi
}

# What the guest kernel is for runs there, and is not skipped here first.
! command -v linux.uml >/dev/null || export CK_EXCLUDE_TAGS=guest

step "build (gcc)" make -s -j"$jobs" all unit-bins
step "build (clang)" make -s -j"$jobs" check-clang
step "lint" make -s lint
step "unit tests" make -s unit
step "unit tests with ASan and UBSan" make -s -j"$jobs" check-sanitize
step "control groups and clock, in a guest kernel" env -u CK_EXCLUDE_TAGS CK_RUN_CASE=guest \
	tests/uml/run.sh build/gcc/unit/test_init_groups build/gcc/unit/test_init_clock
step "fuzz corpus" make -s -j"$jobs" fuzz-replay
step "fake Slack against the official clients" node tests/fakes/slack/validate.mjs
step "end to end" make -s e2e

read -r passed failed skipped < <(awk '{p += $1; f += $2; s += $3} END {print p + 0, f + 0, s + 0}' "$CODEV_COUNTS")
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
