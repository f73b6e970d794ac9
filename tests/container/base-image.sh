#!/bin/sh
# base-image.sh - build a local image that stands in for debian:bookworm-slim,
# offline, from whatever apt source this machine is configured with.
#
# Afterwards `buildah bud` / `podman build --pull=never` of a Dockerfile that says
# `FROM debian:bookworm-slim` (or debian:bookworm) builds unchanged, with no registry.
#
# Needs root, and: apt-get install -y --no-install-recommends mmdebstrap buildah crun podman
# usage: base-image.sh [extra,packages,to,preinstall]
#
# The image's own apt configuration is the machine's apt source (so that
# `RUN apt-get update && apt-get install` works inside a build).  No host name is
# written in this file.
# shellcheck disable=SC2016 # the hooks are scripts of their own, $1 is their root folder
set -eu
SUITE=${SUITE:-bookworm}
EXTRA=${1:-}
TAG=localhost/debian:${SUITE}-slim
WORK=$(mktemp -d /tmp/baseimg.XXXXXX)
trap 'rm -rf "$WORK"' EXIT INT TERM

# 1. the machine's own sources, as deb822 or one-line, comments dropped
SRC=$WORK/src.sources
if ls /etc/apt/sources.list.d/*.sources >/dev/null 2>&1; then
	for f in /etc/apt/sources.list.d/*.sources; do
		grep -v '^#' "$f"; echo
	done >"$SRC"
else
	SRC=$WORK/src.list
	grep -hv '^#' /etc/apt/sources.list /etc/apt/sources.list.d/*.list >"$SRC" 2>/dev/null || :
fi

# 2. apt settings that matter for reaching the source (snapshot dates, proxies)
apt-config dump | grep -E '^Acquire::(Check-|http|https)' >"$WORK/99local" || :

# certificates this machine trusts beyond the distribution's set (a TLS-intercepting
# proxy, say): clients in a build must trust them too, once ca-certificates is installed
mkdir -p "$WORK/ca"
cp /usr/local/share/ca-certificates/*.crt "$WORK/ca/" 2>/dev/null || :

# 3. the root file system.  --mode=root: real root, no user namespace.
mmdebstrap --mode=root --variant=minbase --quiet \
	--include="usr-is-merged${EXTRA:+,$EXTRA}" \
	--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
	--aptopt="$WORK/99local" \
	--dpkgopt='path-exclude=/usr/share/doc/*' \
	--dpkgopt='path-include=/usr/share/doc/*/copyright' \
	--dpkgopt='path-exclude=/usr/share/man/*' \
	--dpkgopt='path-exclude=/usr/share/info/*' \
	--dpkgopt='path-exclude=/usr/share/locale/*' \
	--dpkgopt='path-include=/usr/share/locale/locale.alias' \
	--customize-hook='rm -f "$1"/etc/hostname "$1"/etc/resolv.conf; : >"$1"/etc/hostname; : >"$1"/etc/resolv.conf' \
	--customize-hook='printf "%s\n" "APT::Install-Recommends \"true\";" "Dir::Cache::pkgcache \"\";" "Dir::Cache::srcpkgcache \"\";" >"$1"/etc/apt/apt.conf.d/docker-clean' \
	--customize-hook="mkdir -p \"\$1\"/usr/local/share/ca-certificates; cp $WORK/ca/* \"\$1\"/usr/local/share/ca-certificates/ 2>/dev/null || :" \
	--customize-hook='printf "#!/bin/sh\nexit 101\n" >"$1"/usr/sbin/policy-rc.d; chmod 755 "$1"/usr/sbin/policy-rc.d' \
	--customize-hook='cd "$1"/etc/apt; for f in sources.list.d/0000*.sources; do [ -f "$f" ] && mv "$f" sources.list.d/debian.sources; done; mv -f apt.conf.d/99mmdebstrap apt.conf.d/99local 2>/dev/null || :' \
	--customize-hook='rm -rf "$1"/var/cache/apt/*.bin "$1"/var/lib/apt/lists/* "$1"/var/log/*.log "$1"/var/log/apt' \
	"$SUITE" "$WORK/rootfs.tar" "$SRC" >"$WORK/log" 2>&1 || { cat "$WORK/log" >&2; exit 1; }

# 4. import it as a local name: that is where podman and buildah look first for a short one
c=$(buildah from scratch)
buildah add -q "$c" "$WORK/rootfs.tar" / >/dev/null
buildah config --cmd '["bash"]' --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$c"
buildah commit -q --rm --timestamp 0 "$c" "$TAG" >/dev/null
buildah tag "$TAG" "localhost/debian:${SUITE}"
buildah images --filter reference="$TAG"
