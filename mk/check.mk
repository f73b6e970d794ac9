# Tests and everyday checks. Each prints what it did; `make check` is all that a change must pass.
C_FILES := $(shell git ls-files '*.c' '*.h' 2>/dev/null)
SH_FILES := $(shell git ls-files '*.sh' .ci/run 2>/dev/null)

.PHONY: check unit e2e lint check-clang check-sanitize format check-format hdr-check

unit: unit-bins programs ## unit tests (Check)
	@scripts/run-unit.sh $(UNIT_BIN)

format: ## format the C sources
	clang-format -i $(C_FILES)

check-format:
	$(say) FORMAT
	$(Q)clang-format --dry-run --Werror $(C_FILES)

# Every header compiles alone.
hdr-check:
	$(say) HEADERS
	$(Q)for h in $(filter %.h,$(C_FILES)); do \
		echo "#include \"$$h\"" | $(CC) $(CPPFLAGS) $(ALL_CFLAGS) -fsyntax-only -x c - || exit 1; done

# cppcheck does not know cleanup attributes; leaks are found by the sanitizer build.
lint: check-format hdr-check ## format, headers, cppcheck, shellcheck, rooms, manual pages
	$(say) CPPCHECK
	$(Q)cppcheck --quiet -j2 --std=c11 --error-exitcode=1 --enable=warning,portability \
		--inline-suppr --suppress=missingInclude --suppress=unknownMacro --suppress=memleak --suppress=resourceLeak -D_GNU_SOURCE -I. \
		$(filter-out tests/%,$(filter %.c,$(C_FILES)))
	$(say) SHELL
	$(Q)shellcheck $(SH_FILES)
	$(say) ROOMS
	$(Q)scripts/check-rooms.sh
	$(say) MAN
	$(Q)mandoc -Tlint -W warning docs/man/*.[158] >/dev/null

tidy: ## clang-tidy (advice, slow)
	clang-tidy --quiet $(filter-out tests/%,$(filter %.c,$(C_FILES))) -- $(CPPFLAGS) -std=gnu17

check-clang: ## the whole build with clang
	@$(MAKE) --no-print-directory CC=clang programs unit-bins

check-sanitize: ## unit tests with ASan and UBSan
	@$(MAKE) --no-print-directory CC=gcc SANITIZE=address,undefined CFLAGS='-O1 -g' unit

e2e: programs volatile-disk plugin opencode bridge/node_modules/.stamp tests/e2e/node_modules/.stamp tests/container/node_modules/.stamp tests/fakes/slack/node_modules/.stamp ## end-to-end tests on the real OpenCode
	@CODEV_BIN_DIR=$(CURDIR)/$(B)/bin OPENCODE_BIN=$(OPENCODE_BIN) scripts/run-e2e.sh

check: deps ## all tests, with their set-up
	@CODEV_BIN_DIR=$(CURDIR)/$(B)/bin OPENCODE_BIN=$(OPENCODE_BIN) scripts/check.sh

bench: programs plugin opencode ## speed and memory of the whole thread (root)
	@CODEV_BIN_DIR=$(CURDIR)/$(B)/bin OPENCODE_BIN=$(OPENCODE_BIN) node bench/thread.mjs
.PHONY: bench bench-init deps-bench
bench-init: programs deps-bench ## PID 1 beside tini, dumb-init, catatonit, s6, runit, supervisord (root)
	@CODEV_BIN_DIR=$(CURDIR)/$(B)/bin node bench/init/run.mjs $(or $(ROUNDS),100) $(or $(ORPHANS),20000) $(ONLY)
deps-bench:
	@scripts/install-packages.sh $(DEBIAN_BENCH)

.PHONY: soak
soak: programs plugin opencode tests/e2e/node_modules/.stamp tests/fakes/slack/node_modules/.stamp ## the long tests: services killed at random for CHAOS seconds (600), the gateway at each crash point on each way, each system call and allocation of PID 1 failing, the image and the pod in containers
	@CODEV_BIN_DIR=$(CURDIR)/$(B)/bin OPENCODE_BIN=$(OPENCODE_BIN) CODEV_CHAOS_SECONDS=$(or $(CHAOS),600) CODEV_CRASH_ALL=1 \
		CODEV_E2E_TIMEOUT=3600 scripts/run-e2e.sh tests/e2e/chaos.test.mjs tests/e2e/crash.test.mjs
	@$(MAKE) --no-print-directory unit-bins
	@CODEV_FAULTS=all scripts/run-unit.sh $(B)/unit/test_init_faults
	@CODEV_CHAOS_SECONDS=$(or $(CHAOS),600) scripts/run-unit.sh $(B)/unit/test_init_chaos
	@tests/uml/run.sh $(B)/unit/test_init_groups $(B)/unit/test_init_clock
	@$(MAKE) --no-print-directory container reproducible

.PHONY: soak-lost soak-power soak-endure
soak: soak-lost soak-power soak-endure
soak-endure: programs opencode tests/e2e/node_modules/.stamp tests/fakes/slack/node_modules/.stamp ## refreshes, resets, stalls and limits for ENDURE seconds (600; part of soak)
	@CODEV_BIN_DIR=$(CURDIR)/$(B)/bin OPENCODE_BIN=$(OPENCODE_BIN) CODEV_ENDURE_SECONDS=$(or $(ENDURE),600) CODEV_E2E_TIMEOUT=3600 scripts/run-e2e.sh tests/e2e/endure.test.mjs
soak-lost: programs plugin opencode tests/e2e/node_modules/.stamp tests/fakes/slack/node_modules/.stamp ## each answer of Slack, OpenCode and the bridge lost in each way, on each flow (part of soak)
	@CODEV_BIN_DIR=$(CURDIR)/$(B)/bin OPENCODE_BIN=$(OPENCODE_BIN) CODEV_LOST_ALL=1 CODEV_E2E_TIMEOUT=3600 scripts/run-e2e.sh tests/e2e/lost.test.mjs
soak-power: programs volatile-disk opencode tests/e2e/node_modules/.stamp tests/fakes/slack/node_modules/.stamp ## CUTS (50) power cuts while people work (root; part of soak)
	@CODEV_BIN_DIR=$(CURDIR)/$(B)/bin OPENCODE_BIN=$(OPENCODE_BIN) CODEV_POWER_CUTS=$(or $(CUTS),50) CODEV_E2E_TIMEOUT=7200 scripts/run-e2e.sh tests/e2e/power.test.mjs

.PHONY: soak-api
soak: soak-api
soak-api: programs tests/e2e/node_modules/.stamp ## 100,000 hostile requests made from the API's document (part of soak)
	@CODEV_BIN_DIR=$(CURDIR)/$(B)/bin OPENCODE_BIN=$(OPENCODE_BIN) CODEV_API_RUNS=100000 CODEV_E2E_TIMEOUT=3600 scripts/run-e2e.sh tests/e2e/api.test.mjs

.PHONY: bench-gateway
bench-gateway: programs tests/fakes/slack/node_modules/.stamp ## the gateway beside one on Slack's official Node SDK: latency, events, memory, idle
	@CODEV_BIN_DIR=$(CURDIR)/$(B)/bin node bench/gateway/run.mjs $(or $(ROUNDS),100) $(or $(EVENTS),100000)
