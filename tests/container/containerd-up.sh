#!/bin/sh
# containerd-up.sh DIR IMAGE... - start a private containerd (CRI on DIR/c.sock, pid in
# DIR/pid), and copy the named images from podman's store into it.  Then lib/kubelet.mjs runs
# pods on it.  Stop: kill $(cat DIR/pid).  Needs what setup.sh installs.
# The pods' network is a bridge of its own, with no way out but NAT.
set -eu
D=$(mkdir -p "$1" && cd "$1" && pwd); shift
mkdir -p "$D/cni"
PAUSE=$(podman images --format '{{.Repository}}:{{.Tag}}' | grep podman-pause | head -1 || :)
if [ -z "$PAUSE" ]; then   # the pause image is made by the first pod
	podman pod create --name pause-probe >/dev/null; podman pod rm -f pause-probe >/dev/null
	PAUSE=$(podman images --format '{{.Repository}}:{{.Tag}}' | grep podman-pause | head -1)
fi
if ! ip link show cni-codev0 >/dev/null 2>&1; then # tests listen on its address before there is a pod
	ip link add cni-codev0 type bridge
	ip addr add 10.99.0.1/24 dev cni-codev0
	ip link set cni-codev0 up
fi
cat >"$D/cni/10-pod.conflist" <<'CONF'
{"cniVersion":"0.4.0","name":"codev-test","plugins":[
 {"type":"bridge","bridge":"cni-codev0","isGateway":true,"ipMasq":true,
  "ipam":{"type":"host-local","ranges":[[{"subnet":"10.99.0.0/24"}]],"routes":[{"dst":"0.0.0.0/0"}]}},
 {"type":"portmap","capabilities":{"portMappings":true}}]}
CONF
cat >"$D/config.toml" <<CONF
version = 2
root = "$D/root"
state = "$D/state"
[grpc]
  address = "$D/c.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "$D/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$PAUSE"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$D/cni"
CONF
# its own session and no pipe of the caller's: it outlives this script
setsid containerd -c "$D/config.toml" >"$D/log" 2>&1 </dev/null &
echo $! >"$D/pid"
for _ in $(seq 40); do ctr -a "$D/c.sock" version >/dev/null 2>&1 && break; sleep .5; done
for i in "$PAUSE" "$@"; do
	rm -f "$D/img.tar"; podman save -q "$i" -o "$D/img.tar"
	ctr -a "$D/c.sock" -n k8s.io images import "$D/img.tar" >/dev/null
done
rm -f "$D/img.tar"; echo "$D/c.sock"
