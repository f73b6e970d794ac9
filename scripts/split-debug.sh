#!/bin/sh
# split-debug.sh FOLDER FILE... - strips the programs; their debug symbols go to
# FOLDER/.build-id/XX/YYYY.debug, where gdb looks (set debug-file-directory FOLDER).
set -eu
folder=$1
shift
for file in "$@"; do
	id=$(readelf -n "$file" | sed -n 's/^ *Build ID: //p')
	to=$folder/.build-id/$(printf '%.2s' "$id")/${id#??}.debug
	mkdir -p "${to%/*}"
	objcopy --only-keep-debug --compress-debug-sections "$file" "$to"
	chmod 0644 "$to"
	strip --strip-unneeded "$file"
done
