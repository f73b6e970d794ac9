#!/bin/bash
# Runs the whole pod on this machine: codev-init as PID 1 of its own PID and mount namespaces, with
# a home below .run/, a local ai-dev repository holding the bridge plugin, OpenCode, gateway, probes.
# `make run` calls it. As an ordinary user it needs unprivileged user namespaces.
#
# While the pod runs, .run/codevctl runs codevctl inside it, as `kubectl exec` would.
#
# Settings (environment): CODEV_OPENCODE_PORT, CODEV_GATEWAY_PORT, CODEV_PROBES_PORT,
# CODEV_FAKE_MODEL_PORT, CODEV_RUN_DIR, SLACK_BOT_TOKEN, SLACK_APP_TOKEN, SLACK_CHANNEL_ID, SLACK_ALLOWED_USERS, and any model key that
# OpenCode knows (ANTHROPIC_API_KEY, OPENAI_API_KEY, …): with one, the real model answers.
set -eu
cd "$(dirname "$0")/.."

# On a terminal: once more, as a job in the foreground. Ctrl-C then reaches that job and not `make`,
# which so ends with the pod's exit status.
in_foreground() {
	local pgid tpgid
	read -r pgid tpgid < <(ps -o pgid=,tpgid= -p $$)
	[ -t 0 ] && [ -t 2 ] && [ "$pgid" = "$tpgid" ]
}
if [ -z "${RUN_AS_JOB:-}" ] && in_foreground; then
	set -m
	status=0
	RUN_AS_JOB=1 setpriv --pdeathsig TERM scripts/run.sh || status=$?
	exit "$status"
fi
unset RUN_AS_JOB

top=$PWD
: "${CODEV_BIN_DIR:=$top/build/gcc/bin}"
: "${OPENCODE_BIN:?run this by: make run}"
run=${CODEV_RUN_DIR:-$top/.run}
home=$run/home
opencode_port=${CODEV_OPENCODE_PORT:-8080}
gateway_port=${CODEV_GATEWAY_PORT:-8000}
probes_port=${CODEV_PROBES_PORT:-8081}
model_port=${CODEV_FAKE_MODEL_PORT:-8099}

bold='' plain=''
if [ -t 1 ]; then bold=$'\033[1m' plain=$'\033[0m'; fi
say() { printf '%s==>%s %s\n' "$bold" "$plain" "$*"; }
die() { printf 'run: %s\n' "$*" >&2; exit 1; }

busy() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
check_port() { # PORT VARIABLE
	! busy "$1" || die "port $1 is in use. Choose another: $2=… make run"
}

have_model_key() {
	local name
	for name in ANTHROPIC_API_KEY OPENAI_API_KEY OPENROUTER_API_KEY GEMINI_API_KEY \
		GOOGLE_GENERATIVE_AI_API_KEY GROQ_API_KEY MISTRAL_API_KEY XAI_API_KEY DEEPSEEK_API_KEY \
		AWS_ACCESS_KEY_ID AZURE_API_KEY OPENCODE_API_KEY; do
		[ -z "${!name:-}" ] || return 0
	done
	[ -s "$home/.local/share/opencode/auth.json" ] && [ "$(cat "$home/.local/share/opencode/auth.json")" != "{}" ]
}

# The ai-dev repository, as the developer's team would have it: the plugin at plugins/opencode-bridge.
# Each step may be repeated, so a run that was cut off here is made good by the next one.
make_ai_dev() {
	local files=$run/ai-dev-files plugin=plugins/opencode-bridge
	local git=(env GIT_CONFIG_GLOBAL=/dev/null git --git-dir="$run/ai-dev.git" --work-tree="$files")
	git -c init.defaultBranch=main init -q --bare "$run/ai-dev.git"
	rm -rf "${files:?}" "$run/ai-dev.git/index.lock"
	mkdir -p "$files/$plugin"
	cp -R bridge/plugin/package.json bridge/plugin/package-lock.json bridge/plugin/tsconfig.json \
		bridge/plugin/src "$files/$plugin"
	[ ! -e bridge/plugin/.npmrc ] || cp bridge/plugin/.npmrc "$files/$plugin"
	printf 'node_modules/\ndist/\n' >"$files/$plugin/.gitignore"
	"${git[@]}" add -A
	"${git[@]}" diff --cached --quiet ||
		"${git[@]}" -c user.name=codev -c user.email=codev@localhost commit -q -m "plugin: bridge"
}

# Without a model key: a scripted model, which answers each prompt by running one command.
use_scripted_model() {
	local script
	script=$(printf '%s\n' \
		'@@text I will look around in the project first. ' \
		'@@tool bash {"command":"pwd; date; ls -la; uname -sr","description":"Look around in the project"}' \
		'@@then' \
		'@@text You allowed the command, and it printed: ' \
		'@@result' \
		'@@text This answer comes from a scripted model, which says the same each time. Set a model key such as ANTHROPIC_API_KEY and run again for a real one.')
	mkdir -p "$home/.config/opencode"
	cat >"$run/opencode-scripted-model.json" <<JSON
{
  "model": "scripted/scripted", "small_model": "scripted/scripted", "enabled_providers": ["scripted"],
  "share": "disabled", "autoupdate": false,
  "provider": {"scripted": {"npm": "@ai-sdk/openai-compatible", "name": "Scripted model",
    "options": {"baseURL": "http://127.0.0.1:$model_port/v1", "apiKey": "none"},
    "models": {"scripted": {"name": "Scripted model", "tool_call": true, "limit": {"context": 100000, "output": 8000}}}}},
  "permission": {"bash": "ask", "edit": "ask"}
}
JSON
	export OPENCODE_CONFIG=$run/opencode-scripted-model.json
	check_port "$model_port" CODEV_FAKE_MODEL_PORT
	FAKE_LLM_DEFAULT_SCRIPT=$script FAKE_LLM_TITLE="Look around (scripted)" setsid setpriv --pdeathsig TERM \
		node tests/fakes/llm/server.mjs "$model_port" >/dev/null </dev/null 9>&- &
	model_pid=$!
}

# A codevctl that looks at the pod from inside, whoever calls it and from wherever.
write_codevctl() {
	cat >"$run/codevctl" <<SH
#!/bin/sh
# Written by scripts/run.sh: codevctl inside the pod of \`make run\`, as \`kubectl exec\` would run it.
pid=\$(cat '$run/pod.pid' 2>/dev/null)
if [ "\$(cat "/proc/\$pid/comm" 2>/dev/null)" != codev-init ]; then
	echo "The pod does not run. Start it by: make run" >&2
	exit 3
fi
cd / || exit
exec nsenter --target "\$pid" ${user_namespace:+--user --preserve-credentials} --mount --pid \\
	env HOME='$home' CODEV_HOME='$home' CODEV_RUNTIME_DIR='$run/runtime' CODEV_CONFIG='$run/codev.yaml' \\
	OPENCODE_BIN='$OPENCODE_BIN' TMPDIR='$run/tmp' '$CODEV_BIN_DIR/codevctl' "\$@"
SH
	chmod +x "$run/codevctl"
}

# What to open, all at once so that no log line falls into it.
what_to_open() { # PATH-OF-CODEVCTL
	printf '\n'
	say "Ready. Open this in a browser on this machine:"
	printf '\n      %s\n\n' "$("$CODEV_BIN_DIR/codevctl" open 2>/dev/null || echo "http://127.0.0.1:$gateway_port/")"
	say "The link works once, within ten minutes. For another: $1 open"
	[ -z "${SSH_CONNECTION:-}" ] ||
		say "From your own machine, first: ssh -L $gateway_port:127.0.0.1:$gateway_port $(id -un)@$(hostname)"
	[ -z "$scripted" ] ||
		say "No model key is set: a scripted model answers. Type any prompt, then allow the command it asks for."
	say "OpenCode's own page: http://127.0.0.1:$opencode_port/ (user opencode; password: $1 password)"
	say "In another terminal: $1 status, $1 doctor, $1 accept --restart"
	say "Ctrl-C stops everything in order."
	printf '\n '
}

# Waits beside the pod and tells once. Stops waiting when this script is gone.
announce() {
	local deadline=$((SECONDS + 300)) hint_at=$((SECONDS + 15)) ctl=${run#"$PWD"/}/codevctl
	export CODEV_RUNTIME_DIR=$run/runtime
	while [ $SECONDS -lt $deadline ]; do
		kill -0 $$ 2>/dev/null || return 0
		if "$CODEV_BIN_DIR/codevctl" probe ready >/dev/null 2>&1; then
			sleep 0.5 # the last log lines of the start
			printf '%s\n' "$(what_to_open "$ctl")"
			return 0
		fi
		if [ $SECONDS -ge $hint_at ]; then
			hint_at=$((SECONDS + 15))
			say "Still starting (the first start installs and builds the plugin). In another terminal: $ctl status"
		fi
		sleep 0.3
	done
	say "Not ready after 5 minutes. In another terminal: $ctl status"
}

if ! mkdir -p "$run" "$home/.local" "$home/src/repos" "$run/runtime" "$run/tmp" ||
	! chmod 700 "$run/runtime"; then
	die "$run can't be written, or belongs to another user. Choose another folder: CODEV_RUN_DIR=… make run"
fi
exec 9>"$run/lock"
flock --nonblock 9 || die "this pod runs already. Stop it by Ctrl-C in its terminal, or start a second one: CODEV_RUN_DIR=… make run"

check_port "$opencode_port" CODEV_OPENCODE_PORT
check_port "$gateway_port" CODEV_GATEWAY_PORT
check_port "$probes_port" CODEV_PROBES_PORT

say "Home of the pod: $home"
make_ai_dev

model_pid='' announce_pid='' scripted='' user_namespace='' asked_to_stop='' stopping=''
# shellcheck disable=SC2317 # called by the trap
cleanup() {
	[ -z "$announce_pid" ] || kill "$announce_pid" 2>/dev/null || :
	[ -z "$model_pid" ] || kill "$model_pid" 2>/dev/null || :
	rm -f "$run/pod.pid"
}
trap cleanup EXIT
rm -f "$run/pod.pid"
if have_model_key; then
	say "A model key is set: the real model answers."
else
	scripted=1
	use_scripted_model
fi
if [ -n "${SLACK_BOT_TOKEN:-}" ] && [ -n "${SLACK_APP_TOKEN:-}" ]; then
	say "Slack tokens are set: requests go to Slack and to the web page."
else
	say "No Slack tokens: the web page is where requests are answered."
fi

cat >"$run/codev.yaml" <<YAML
# Written by scripts/run.sh at each run.
home: $home
log: {format: text}
storage:
  - {path: $home/.local, policy: warn, min_free: 64MiB, min_inodes: 1000}
plugin:
  path: $home/src/repos/ai-dev/plugins/opencode-bridge
  url: file://$run/ai-dev.git
  update: ff
opencode: {hostname: 127.0.0.1, port: $opencode_port}
gateway: {listen: 127.0.0.1, port: $gateway_port}
probes: {listen: 127.0.0.1, port: $probes_port}
YAML

namespaces=(--mount --pid --fork --kill-child=SIGKILL --propagation private)
if [ "$(id -u)" -ne 0 ]; then
	unshare -Ur true 2>/dev/null ||
		die "this user may not make user namespaces (sysctl kernel.unprivileged_userns_clone). Run as root: sudo make run"
	user_namespace=1
	namespaces=(--user --map-root-user "${namespaces[@]}")
fi
write_codevctl

# Ctrl-C, a closed terminal, a signal: PID 1 is asked to stop, and waited for. The pod is in a session
# of its own, where nothing of the terminal reaches it, and ends when this script is killed.
# Only Ctrl-C again is impatience: PID 1 then hurries.
trap 'asked_to_stop=1' INT
trap '[ -n "$stopping" ] || asked_to_stop=1' TERM HUP
trap '' TSTP # a pod can't be put aside
say "Starting codev-init as PID 1 of its own namespaces."
# /proc is still the outer one when the inner shell reads its PID there. What is set for the caller's
# own OpenCode (XDG_…) must not lead the pod's to the caller's files.
# shellcheck disable=SC2016 # the inner shell expands it
env -u XDG_CONFIG_HOME -u XDG_DATA_HOME -u XDG_STATE_HOME -u XDG_CACHE_HOME -u XDG_RUNTIME_DIR \
	HOME="$home" CODEV_HOME="$home" CODEV_CONFIG="$run/codev.yaml" CODEV_RUNTIME_DIR="$run/runtime" \
	CODEV_STATE_DIR= TMPDIR="$run/tmp" OPENCODE_BIN="$OPENCODE_BIN" \
	PATH="$CODEV_BIN_DIR:$PATH" CODEV_PLUGIN_SOURCE="$top/bridge/plugin" RUN_PID_FILE="$run/pod.pid" \
	setsid setpriv --pdeathsig KILL unshare "${namespaces[@]}" sh -c '
		read -r pid rest </proc/self/stat
		mount -t proc proc /proc &&
		mount --bind "$HOME/src" "$HOME/src" &&
		mount --bind "$HOME/.local" "$HOME/.local" || exit
		echo "$pid" >"$RUN_PID_FILE"
		unset RUN_PID_FILE
		exec codev-init' </dev/null 9>&- &
pod=$!
announce </dev/null 9>&- &
announce_pid=$!
while :; do
	status=0
	wait "$pod" || status=$?
	kill -0 "$pod" 2>/dev/null || break # a signal ends `wait`, not the pod
	if [ -n "$asked_to_stop" ]; then
		until [ -s "$run/pod.pid" ] || ! kill -0 "$pod" 2>/dev/null; do sleep 0.05; done
		kill -TERM "$(cat "$run/pod.pid")" 2>/dev/null || :
		asked_to_stop='' stopping=1
	fi
done
say "Stopped (exit status $status)."
exit "$status"
