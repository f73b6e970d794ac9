#!/bin/bash
# Writes what the programs list of themselves into the documents, between their marks: the option
# table, the metrics.
set -eu
cd "$(dirname "$0")/.."
: "${CODEV_BIN_DIR:=build/gcc/bin}"
: "${CODEV_CONFIG_BIN:=$CODEV_BIN_DIR/codev-config}"

put() { # FILE BEGIN END GENERATOR...
	local file=$1 begin=$2 end=$3 part
	shift 3
	part=$(mktemp)
	"$@" >"$part"
	# By the environment: awk would take the backslash of -v as an escape.
	BEGIN="$begin" END="$end" PART="$part" awk '
		$0 == ENVIRON["END"] { skip = 0 }
		!skip { print }
		$0 == ENVIRON["BEGIN"] { while ((getline line < ENVIRON["PART"]) > 0) print line; skip = 1 }
	' "$file" >"$file.new"
	mv "$file.new" "$file"
	rm -f "$part"
}

put docs/config.md '<!-- options: begin -->' '<!-- options: end -->' "$CODEV_CONFIG_BIN" docs
put docs/man/codev.yaml.5 '.\" options: begin' '.\" options: end' "$CODEV_CONFIG_BIN" docs --man

metrics() { # PROGRAM
	printf '\n| name | type | labels | meaning |\n|---|---|---|---|\n'
	"$CODEV_BIN_DIR/$1" --metrics
	printf '\n'
}
for program in probes gateway; do
	put docs/metrics.md "<!-- $program: begin -->" "<!-- $program: end -->" metrics "codev-$program"
done
