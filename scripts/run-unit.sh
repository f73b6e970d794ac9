#!/bin/bash
# Runs the unit test programs given as arguments, CODEV_UNIT_JOBS (2) at a time, and adds up what
# they say. The output of one that failed is shown, and lines with SKIP or a figure always.
# Last line: unit: N passed, N failed, N skipped.
set -u
: "${CODEV_UNIT_JOBS:=2}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

run_program() { # PROGRAM
	local program=$1 log=$work/${1##*/} status line checks failures errors bad skips
	"$program" >"$log" 2>&1 </dev/null
	status=$?
	line=$(grep -aE '^[0-9]+%: Checks: [0-9]+, Failures: [0-9]+, Errors: [0-9]+' "$log" | tail -1)
	read -r checks failures errors < <(sed -E 's/[^0-9]+/ /g; s/^ *[0-9]+ //' <<<"$line")
	bad=$((${failures:-0} + ${errors:-0}))
	if [ -z "$line" ] || { [ $status -ne 0 ] && [ $bad -eq 0 ]; }; then
		bad=1 checks=${checks:-1}
	fi
	skips=$(grep -acE '^SKIP' "$log")
	{
		printf '  UNIT    %-28s %s\n' "${program##*/}" "${line:-no result (exit $status)}"
		grep -aE '^(SKIP|chaos:)' "$log"
		[ $bad -eq 0 ] || tail -60 "$log"
	} >"$log.report"
	flock "$work" cat "$log.report"
	echo "$((${checks:-0} - bad - skips)) $bad $skips" >>"$work/counts"
}

: >"$work/counts"
for program in "$@"; do
	while [ "$(jobs -rp | wc -l)" -ge "$CODEV_UNIT_JOBS" ]; do
		wait -n
	done
	run_program "$program" &
done
wait
read -r passed failed skipped < <(awk '{p += $1; f += $2; s += $3} END {print p + 0, f + 0, s + 0}' "$work/counts")
[ "$(wc -l <"$work/counts")" -eq $# ] || failed=$((failed + 1))
echo "unit: $passed passed, $failed failed, $skipped skipped"
[ -z "${CODEV_COUNTS:-}" ] || echo "$passed $failed $skipped" >>"$CODEV_COUNTS"
[ "$failed" -eq 0 ]
