#!/bin/bash
# Runs the whole pod on this machine: codev-init as PID 1 of its own PID and mount namespaces, with
# a home below .run/, a local ai-dev repository holding the bridge plugin, OpenCode, gateway, probes.
# `make run` calls it. As an ordinary user it needs unprivileged user namespaces.
#
# Settings (environment): CODEV_OPENCODE_PORT, CODEV_GATEWAY_PORT, CODEV_PROBES_PORT, CODEV_RUN_DIR,
# SLACK_BOT_TOKEN, SLACK_APP_TOKEN, SLACK_CHANNEL_ID, SLACK_ALLOWED_USERS, and any model key that
# OpenCode knows (ANTHROPIC_API_KEY, OPENAI_API_KEY, …): with one, the real model answers.
set -eu
cd "$(dirname "$0")/.."
top=$PWD
: "${CODEV_BIN_DIR:=$top/build/gcc/bin}"
: "${OPENCODE_BIN:?run this by: make run}"
run=${CODEV_RUN_DIR:-$top/.run}
home=$run/home
opencode_port=${CODEV_OPENCODE_PORT:-8080}
gateway_port=${CODEV_GATEWAY_PORT:-8000}
probes_port=${CODEV_PROBES_PORT:-8081}
model_port=${CODEV_FAKE_MODEL_PORT:-8099}

say() { printf '\033[1m==>\033[0m %s\n' "$*"; }
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
make_ai_dev() {
	local work=$run/ai-dev-work plugin=plugins/opencode-bridge
	[ -d "$run/ai-dev.git" ] || git init -q --bare -b main "$run/ai-dev.git"
	[ -d "$work/.git" ] || git clone -q "$run/ai-dev.git" "$work" 2>/dev/null
	rm -rf "${work:?}/$plugin"
	mkdir -p "$work/$plugin"
	cp -R bridge/plugin/package.json bridge/plugin/package-lock.json bridge/plugin/tsconfig.json \
		bridge/plugin/src "$work/$plugin"
	[ ! -e bridge/plugin/.npmrc ] || cp bridge/plugin/.npmrc "$work/$plugin"
	printf 'node_modules/\ndist/\n' >"$work/$plugin/.gitignore"
	git -C "$work" add -A
	git -C "$work" diff --cached --quiet 2>/dev/null && return 0
	git -C "$work" -c user.name=codev -c user.email=codev@localhost -c commit.gpgsign=false \
		commit -q -m "plugin: bridge" || return 0
	git -C "$work" push -q origin HEAD:main
}

# Without a model key: a scripted model, which answers each prompt by running one command.
use_scripted_model() {
	local script
	script=$(printf '%s\n' \
		'@@text I will look around in the project first. ' \
		'@@tool bash {"command":"pwd; date; ls -la; uname -sr","description":"Look around in the project"}' \
		'@@then' \
		'@@text That command ran in the project folder, after you allowed it. This answer comes from a scripted model; set a model key such as ANTHROPIC_API_KEY and run again for a real one.')
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
	FAKE_LLM_DEFAULT_SCRIPT=$script node tests/fakes/llm/server.mjs "$model_port" >/dev/null &
	model_pid=$!
}

# Waits beside the pod and tells once what to open.
announce() {
	local deadline=$((SECONDS + 300)) told=
	export CODEV_RUNTIME_DIR=$run/runtime
	while [ $SECONDS -lt $deadline ]; do
		if "$CODEV_BIN_DIR/codevctl" probe ready >/dev/null 2>&1; then
			printf '\n'
			say "Ready. Open this in your browser (or reach it on this machine's address):"
			printf '\n      %s\n\n' "$("$CODEV_BIN_DIR/codevctl" open 2>/dev/null || echo "http://127.0.0.1:$gateway_port/")"
			[ -n "${scripted:-}" ] && say "No model key is set: a scripted model answers. Type any prompt there, and allow the command it wants to run."
			say "OpenCode's own page: http://127.0.0.1:$opencode_port/  (user opencode, password: CODEV_RUNTIME_DIR=$run/runtime $CODEV_BIN_DIR/codevctl password)"
			say "Status:  CODEV_RUNTIME_DIR=$run/runtime $CODEV_BIN_DIR/codevctl status"
			say "Ctrl-C stops everything in order."
			return 0
		fi
		if [ -z "$told" ] && [ $SECONDS -gt 20 ]; then
			told=1
			say "Still starting; the first start installs and builds the plugin."
		fi
		sleep 0.5
	done
	say "Not ready after 5 minutes. See: CODEV_RUNTIME_DIR=$run/runtime $CODEV_BIN_DIR/codevctl status"
}

check_port "$opencode_port" CODEV_OPENCODE_PORT
check_port "$gateway_port" CODEV_GATEWAY_PORT
check_port "$probes_port" CODEV_PROBES_PORT
mkdir -p "$run" "$home/.local" "$home/src/repos" "$run/runtime" "$run/tmp"
chmod 700 "$run/runtime"

say "Home of the pod: $home"
make_ai_dev

model_pid='' announce_pid='' scripted=''
cleanup() {
	[ -z "$announce_pid" ] || kill "$announce_pid" 2>/dev/null || :
	[ -z "$model_pid" ] || kill "$model_pid" 2>/dev/null || :
}
trap cleanup EXIT
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

namespaces=(--mount --pid --fork --mount-proc --kill-child=SIGKILL --propagation private)
if [ "$(id -u)" -ne 0 ]; then
	unshare -Ur true 2>/dev/null ||
		die "this user may not make user namespaces (sysctl kernel.unprivileged_userns_clone). Run as root: sudo make run"
	namespaces=(--user --map-root-user "${namespaces[@]}")
fi

announce &
announce_pid=$!
trap '' INT # PID 1 gets Ctrl-C by itself and stops in order; we wait for it
say "Starting codev-init as PID 1 of its own namespaces."
status=0
# shellcheck disable=SC2016 # the inner shell expands it
env HOME="$home" CODEV_HOME="$home" CODEV_CONFIG="$run/codev.yaml" CODEV_RUNTIME_DIR="$run/runtime" \
	CODEV_STATE_DIR= TMPDIR="$run/tmp" OPENCODE_BIN="$OPENCODE_BIN" \
	PATH="$CODEV_BIN_DIR:$PATH" CODEV_PLUGIN_SOURCE="$top/bridge/plugin" \
	unshare "${namespaces[@]}" sh -c '
		mount --bind "$HOME/src" "$HOME/src"
		mount --bind "$HOME/.local" "$HOME/.local"
		exec codev-init' || status=$?
cleanup
say "Stopped (exit status $status)."
exit $status
