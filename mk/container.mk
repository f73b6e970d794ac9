# The image and the pod: on podman and on containerd's CRI, as root. What a machine cannot do is said.
CONTAINER_TESTS := $(filter-out %/reproducible.test.mjs,$(wildcard tests/container/*.test.mjs))

.PHONY: image image-slim container reproducible
image: opencode ## the image, built with no registry (root): localhost/codev-init:test
	$(say) IMAGE full
	$(Q)tests/container/build.sh full localhost/codev-init:test

image-slim: image
	$(say) IMAGE slim
	$(Q)tests/container/build.sh slim localhost/codev-init:slim

container: programs image-slim kubectl tests/container/node_modules/.stamp tests/fakes/slack/node_modules/.stamp ## the image and the pod in containers (root)
	@CODEV_BIN_DIR=$(CURDIR)/$(B)/bin OPENCODE_BIN=$(OPENCODE_BIN) CODEV_E2E_TIMEOUT=1800 CODEV_E2E_JOBS=1 \
		scripts/run-e2e.sh $(CONTAINER_TESTS)

reproducible: image kubectl tests/container/node_modules/.stamp ## the image built twice is the same; the unit tests pass in its build (root)
	@CODEV_BIN_DIR=$(CURDIR)/$(B)/bin CODEV_E2E_TIMEOUT=3600 scripts/run-e2e.sh tests/container/reproducible.test.mjs
