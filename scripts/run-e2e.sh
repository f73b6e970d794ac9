#!/bin/bash
# Runs the end-to-end tests: every tests/e2e/*.test.mjs, or those named as arguments. Each file
# starts whole pods, which mostly wait: CODEV_E2E_JOBS (3) files run side by side, the largest
# first. Last line: e2e: N passed, N failed, N skipped.
set -u
cd "$(dirname "$0")/.." || exit 1
: "${CODEV_BIN_DIR:=$PWD/build/gcc/bin}"
: "${OPENCODE_BIN:=$(ls "$PWD"/build/opencode-"$(cat OPENCODE_VERSION)"/node_modules/opencode-linux-*/bin/opencode)}"
: "${CODEV_E2E_JOBS:=3}"
export CODEV_BIN_DIR OPENCODE_BIN
files=("$@")
[ ${#files[@]} -gt 0 ] || mapfile -t files < <(wc -c bridge/plugin/test/*.test.mjs tests/e2e/*.test.mjs |
	sed '$d' | sort -rn | awk '{print $2}')
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# One file: its report in one piece, its counts to $work/counts.
run_file() { # FILE NUMBER
	local file=$1 log=$work/$2 start=$SECONDS status p f c s bad
	timeout --kill-after=10 "${CODEV_E2E_TIMEOUT:-600}" node --test --test-reporter=tap "$file" >"$log" 2>&1 </dev/null
	status=$?
	p=$(sed -n 's/^# pass //p' "$log" | tail -1)
	f=$(sed -n 's/^# fail //p' "$log" | tail -1)
	c=$(sed -n 's/^# cancelled //p' "$log" | tail -1)
	s=$(sed -n 's/^# skipped //p' "$log" | tail -1)
	bad=$((${f:-0} + ${c:-0}))
	[ $status -eq 0 ] || [ $bad -gt 0 ] || bad=1
	{
		printf '  E2E     %-40s %s passed, %s failed, %s skipped, %s s\n' "$file" "${p:-0}" "$bad" "${s:-0}" $((SECONDS - start))
		grep -E "# (SKIP|seed|killed|warm|stop with|figure:)" "$log" | sed 's/^ *//'
		[ $bad -eq 0 ] || awk '/^ *ok / {skip = 1} !skip && !/^ *(#( Subtest:.*| *))?$/ {print} /^ *\.\.\.$/ {skip = 0}' "$log" | tail -150
	} >"$log.report"
	flock "$work" cat "$log.report"
	echo "${p:-0} $bad ${s:-0}" >>"$work/counts"
}

: >"$work/counts"
for i in "${!files[@]}"; do
	while [ "$(jobs -rp | wc -l)" -ge "$CODEV_E2E_JOBS" ]; do
		wait -n
	done
	run_file "${files[i]}" "$i" &
done
wait
read -r passed failed skipped < <(awk '{p += $1; f += $2; s += $3} END {print p + 0, f + 0, s + 0}' "$work/counts")
[ "$(wc -l <"$work/counts")" -eq ${#files[@]} ] || failed=$((failed + 1))
echo "e2e: $passed passed, $failed failed, $skipped skipped"
[ -z "${CODEV_COUNTS:-}" ] || echo "$passed $failed $skipped" >>"$CODEV_COUNTS"
[ "$failed" -eq 0 ]
