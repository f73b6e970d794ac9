#!/bin/bash
# Runs the end-to-end tests: every tests/e2e/*.test.mjs, or those named as arguments, one file
# after the other (each starts whole pods). Last line: e2e: N passed, N failed, N skipped.
set -u
cd "$(dirname "$0")/.." || exit 1
: "${CODEV_BIN_DIR:=$PWD/build/gcc/bin}"
: "${OPENCODE_BIN:=$(ls "$PWD"/build/opencode-"$(cat OPENCODE_VERSION)"/node_modules/opencode-linux-*/bin/opencode)}"
export CODEV_BIN_DIR OPENCODE_BIN
files=("$@")
[ ${#files[@]} -gt 0 ] || files=(bridge/plugin/test/*.test.mjs tests/e2e/*.test.mjs)
passed=0 failed=0 skipped=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for file in "${files[@]}"; do
	start=$SECONDS
	timeout --kill-after=10 "${CODEV_E2E_TIMEOUT:-600}" node --test --test-reporter=tap "$file" >"$log" 2>&1 </dev/null
	status=$?
	p=$(sed -n 's/^# pass //p' "$log" | tail -1)
	f=$(sed -n 's/^# fail //p' "$log" | tail -1)
	c=$(sed -n 's/^# cancelled //p' "$log" | tail -1)
	s=$(sed -n 's/^# skipped //p' "$log" | tail -1)
	bad=$((${f:-0} + ${c:-0}))
	[ $status -eq 0 ] || [ $bad -gt 0 ] || bad=1
	passed=$((passed + ${p:-0})) failed=$((failed + bad)) skipped=$((skipped + ${s:-0}))
	printf '  E2E     %-40s %s passed, %s failed, %s skipped, %s s\n' "$file" "${p:-0}" "$bad" "${s:-0}" $((SECONDS - start))
	grep -E "# (SKIP|seed|killed|warm|stop with)" "$log" | sed 's/^ *//'
	[ $bad -eq 0 ] || grep -vE '^ *(#  *)?$' "$log" | tail -150
done
echo "e2e: $passed passed, $failed failed, $skipped skipped"
[ -z "${CODEV_COUNTS:-}" ] || echo "$passed $failed $skipped" >>"$CODEV_COUNTS"
[ $failed -eq 0 ]
