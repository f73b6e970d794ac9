#!/bin/bash
# Runs each unit test program and adds up what they say. Last line: N passed, N failed, N skipped.
# Arguments: the programs. Their output is shown when something failed, and lines with SKIP always.
set -u
passed=0 failed=0 skipped=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for program in "$@"; do
	"$program" >"$log" 2>&1
	status=$?
	line=$(grep -aE '^[0-9]+%: Checks: [0-9]+, Failures: [0-9]+, Errors: [0-9]+' "$log" | tail -1)
	read -r checks failures errors < <(sed -E 's/[^0-9]+/ /g; s/^ *[0-9]+ //' <<<"$line")
	bad=$((${failures:-0} + ${errors:-0}))
	if [ -z "$line" ] || { [ $status -ne 0 ] && [ $bad -eq 0 ]; }; then
		bad=1 checks=${checks:-1}
	fi
	skips=$(grep -acE '^SKIP' "$log")
	passed=$((passed + ${checks:-0} - bad - skips)) failed=$((failed + bad)) skipped=$((skipped + skips))
	printf '  UNIT    %-28s %s\n' "${program##*/}" "${line:-no result (exit $status)}"
	grep -aE '^SKIP' "$log"
	[ $bad -eq 0 ] || tail -60 "$log"
done
echo "unit: $passed passed, $failed failed, $skipped skipped"
[ -z "${CODEV_COUNTS:-}" ] || echo "$passed $failed $skipped" >>"$CODEV_COUNTS"
[ $failed -eq 0 ]
