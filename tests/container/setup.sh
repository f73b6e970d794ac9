#!/bin/bash
# setup.sh - make podman/buildah work on a root shell with no systemd, cgroup v1
# in hybrid mode (hugetlb on the v2 tree) and no CAP_SYS_RESOURCE.  Idempotent.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 \
	podman buildah runc crun conmon netavark aardvark-dns iptables containernetworking-plugins \
	mmdebstrap catatonit uidmap fuse-overlayfs containerd python3 iproute2 >/dev/null
# A Docker Engine for docker.test.mjs, taken out of its package, which would start it.
docker=$(dirname "$0")/../../build/docker
if [ ! -x "$docker/usr/sbin/dockerd" ]; then
	mkdir -p "$docker"
	(cd "$docker" && apt-get download -qq docker.io >/dev/null 2>&1 && dpkg-deb -x docker.io_*.deb . &&
		rm -f docker.io_*.deb) || echo "a Docker Engine cannot be had" >&2
fi
mkdir -p /etc/containers/containers.conf.d
nofile=$(ulimit -Hn); nproc=$(ulimit -Hu); max=$(cat /proc/sys/kernel/pid_max)
[ "$nproc" = unlimited ] || [ "$nproc" -gt "$max" ] && nproc=$max
cat >/etc/containers/containers.conf.d/50-local.conf <<CONF
[containers]
# podman asks for 1048576 open files; without CAP_SYS_RESOURCE a hard limit cannot be raised
default_ulimits = ["nofile=$nofile:$nofile", "nproc=$nproc:$nproc"]
[engine]
runtime = "runc"              # crun refuses hybrid cgroups
cgroup_manager = "cgroupfs"   # no systemd
events_logger = "file"
CONF
podman image exists localhost/debian:bookworm-slim || "$(dirname "$0")"/base-image.sh
