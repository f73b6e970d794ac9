# `make deps`: everything a fresh Debian 12 needs to build, run and test. Repeating it costs nothing.

DEBIAN_BUILD := gcc libc6-dev musl-tools make pkg-config git ca-certificates \
	libcurl4-openssl-dev libssl-dev libwebsockets-dev libwebsockets-evlib-uv libcjson-dev libgit2-dev \
	libseccomp-dev libuv1-dev libyaml-dev libsqlite3-dev check
DEBIAN_RUN := nodejs npm ripgrep util-linux procps
DEBIAN_TEST := clang clang-format clang-tidy libclang-rt-14-dev cppcheck shellcheck e2fsprogs mount \
	chromium fonts-dejavu-core mandoc openssl curl strace iproute2 tini dumb-init python3 libfuse3-dev fuse3
# A guest kernel for what needs control groups v2; Debian has it for this machine alone.
ifeq ($(shell uname -m),x86_64)
DEBIAN_TEST += user-mode-linux
endif
# What PID 1 is measured beside, for `make bench-init` alone.
DEBIAN_BENCH := tini dumb-init catatonit s6 runit supervisor

# Node.js and npm may come from elsewhere than Debian; a working one is left alone.
ifneq (,$(shell command -v node && command -v npm))
DEBIAN_RUN := $(filter-out nodejs npm,$(DEBIAN_RUN))
endif

OPENCODE_VERSION := $(shell cat OPENCODE_VERSION)
OPENCODE_ARCH := $(if $(filter aarch64,$(shell uname -m)),arm64,x64)
OPENCODE_DIR := build/opencode-$(OPENCODE_VERSION)
OPENCODE_BIN ?= $(CURDIR)/$(OPENCODE_DIR)/node_modules/opencode-linux-$(OPENCODE_ARCH)/bin/opencode
NPM := npm --no-audit --no-fund --no-update-notifier --loglevel=error

.PHONY: deps deps-run deps-debian opencode plugin
deps: deps-debian opencode promtool kubectl bridge/node_modules/.stamp tests/e2e/node_modules/.stamp tests/container/node_modules/.stamp tests/fakes/slack/node_modules/.stamp ## install what building, running and testing need
deps-run: deps-debian-run opencode

.PHONY: deps-debian deps-debian-run
deps-debian:
	@scripts/install-packages.sh $(DEBIAN_BUILD) $(DEBIAN_RUN) $(DEBIAN_TEST)
deps-debian-run:
	@scripts/install-packages.sh $(DEBIAN_BUILD) $(DEBIAN_RUN)

# Prometheus, which scrapes pods in the tests, and promtool, which judges what it gets. Taken out of
# their package, which would start a daemon where it is installed; a test that does without says so.
.PHONY: promtool
promtool: build/promtool/.stamp
build/promtool/.stamp: | deps-debian
	$(Q)mkdir -p $(@D); if (command -v promtool && command -v prometheus) >/dev/null || (cd $(@D) && \
		apt-get download -qq prometheus >/dev/null 2>&1 && dpkg-deb -x prometheus_*.deb . && \
		rm -f prometheus_*.deb); then touch $@; else \
		echo "promtool cannot be had: apt-get update, then make promtool"; fi

# Builds the overlays of k8s/, and judges the commands of the runbook.
.PHONY: kubectl
kubectl: build/kubectl/.stamp
build/kubectl/.stamp: scripts/get-kubectl.sh | deps-debian
	$(Q)mkdir -p $(@D) && scripts/get-kubectl.sh $(@D) && touch $@

opencode: $(OPENCODE_DIR)/.stamp
$(OPENCODE_DIR)/.stamp: OPENCODE_VERSION
	$(say) NPM opencode@$(OPENCODE_VERSION)
	$(Q)mkdir -p $(@D) && $(NPM) install --prefix $(@D) --no-save \
		opencode-linux-$(OPENCODE_ARCH)@$(OPENCODE_VERSION) >/dev/null && touch $@

%/node_modules/.stamp: %/package.json %/package-lock.json
	$(say) NPM $*
	$(Q)cd $* && $(NPM) ci >/dev/null && touch node_modules/.stamp

# Types and checkers of the plugin's own tests. Without a lock: npm 9 and npm 11 do not accept each
# other's for the optional add-ons of what the types pull in. The versions named are exact.
bridge/node_modules/.stamp: bridge/package.json
	$(say) NPM bridge
	$(Q)cd bridge && $(NPM) install >/dev/null && touch node_modules/.stamp

PLUGIN_SRC := $(wildcard bridge/plugin/src/*.ts) bridge/plugin/package.json
plugin: bridge/plugin/dist/index.js ## build the bridge plugin
bridge/plugin/dist/index.js: $(PLUGIN_SRC) bridge/plugin/node_modules/.stamp
	$(say) NPM bridge/plugin
	$(Q)cd bridge/plugin && $(NPM) run build >/dev/null
