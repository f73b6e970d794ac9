#!/bin/sh
# A foreign library belongs to one room: its header is included nowhere else.
set -eu
status=0
owner() { # HEADER-PATTERN FOLDER...
	pattern=$1
	shift
	git grep -lE "#[[:space:]]*include <$pattern" -- '*.c' '*.h' | while read -r file; do
		ok=0
		for folder in "$@" tests; do
			case $file in "$folder"/*) ok=1 ;; esac
		done
		[ "$ok" = 1 ] || echo "$file includes <$pattern>, which belongs to: $*"
	done
}
out=$(
	owner 'curl/' base/http
	owner 'libwebsockets.h' base/server base/ws
	owner 'git2' base/git
	owner 'yaml.h' base/yaml
	owner 'sqlite3.h' bridge/gateway/store
	owner 'seccomp.h' supervisor/profile
	owner 'openssl/' base/trace
)
[ -z "$out" ] || { echo "$out"; status=1; }

# PID 1 is libc and nothing else.
out=$(git grep -nE 'include <(uv|cjson|curl|yaml|git2|sqlite3|seccomp|pthread|openssl)' -- \
	supervisor/init supervisor/cgroup supervisor/plan supervisor/volumes supervisor/shell supervisor/sandbox base/core || :)
[ -z "$out" ] || { echo "PID 1 must need libc only:"; echo "$out"; status=1; }

# base knows nothing of the rooms above it.
out=$(git grep -nE '#include "(supervisor|bridge|probes|acceptance)/' -- base || :)
[ -z "$out" ] || { echo "base/ must not include rooms above it:"; echo "$out"; status=1; }

# The gateway's core knows neither connectors nor ways to OpenCode; what Slack is shown and how it is
# spoken to know nothing of the connector around them.
out=$(git grep -nE '#include "bridge/gateway/(link|opencode|slack|web)/' -- bridge/gateway/core bridge/gateway/store || :
	git grep -nE '#include "bridge/gateway/slack/([a-z_]+\.h|wire/)' -- bridge/gateway/slack/render || :
	git grep -nE '#include "bridge/gateway/slack/([a-z_]+\.h|render/)' -- bridge/gateway/slack/wire || :)
[ -z "$out" ] || { echo "layers point one way:"; echo "$out"; status=1; }

# Words that must not stay.
out=$(git grep -nwE 'TODO|FIXME|XXX|HACK' -- '*.c' '*.h' '*.ts' '*.mjs' '*.js' '*.sh' \
	':!scripts/check-rooms.sh' ':!tests/fakes/slack/server.mjs' || :)
[ -z "$out" ] || { echo "left behind:"; echo "$out"; status=1; }
exit $status
