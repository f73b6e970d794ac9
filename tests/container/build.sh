#!/bin/bash
# build.sh [TARGET] [TAG] - builds the image with no registry: Debian's packages by apt, OpenCode's
# binary from this build folder, onto a base image made of packages (base-image.sh). NO_CACHE=1: all
# of it anew. SHOW=1: with what each step says.
set -eu
cd "$(dirname "$0")/../.."
target=${1:-full}
tag=${2:-localhost/codev-init:test}
tests/container/setup.sh
opencode=$(ls "$PWD"/build/opencode-"$(cat OPENCODE_VERSION)"/node_modules/opencode-linux-*/bin/opencode)
mkdir -p build/image
cmp -s "$opencode" build/image/opencode || cp "$opencode" build/image/opencode
build() {
	podman build --pull=never --format docker --timestamp 0 "$@" --target "$target" ${NO_CACHE:+--no-cache} \
		--build-arg OPENCODE_BIN=build/image/opencode --build-arg REVISION="$(git rev-parse HEAD)" \
		-t "$tag" .
}
if [ -n "${SHOW:-}" ]; then build; else build --quiet >/dev/null; fi
