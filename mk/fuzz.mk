# Fuzzing. Each tests/fuzz/fuzz_NAME.c is one harness, made of the rooms that its first line names.
# With the usual compiler it only replays tests/fuzz/corpus/NAME; `make fuzz` links libFuzzer.
FUZZ := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
TIME ?= 60
FUZZ_SANITIZE := fuzzer-no-link,address,undefined

ifneq (,$(findstring fuzzer,$(SANITIZE)))
FUZZ_MAIN := -fsanitize=fuzzer
else
FUZZ_MAIN := $(B)/obj/tests/fuzz/replay.o
endif

define fuzz_rules
$(B)/fuzz/$(1): $(B)/obj/tests/fuzz/fuzz_$(1).o $(filter %.o,$(FUZZ_MAIN)) \
		$(foreach r,$(call unit_rooms,tests/fuzz/fuzz_$(1).c),$(call room_lib,$(r))) \
		$(call archives,$(call unit_rooms,tests/fuzz/fuzz_$(1).c))
	$$(say) LINK $$@
	$(Q)mkdir -p $$(@D) && $(CC) $(ALL_LDFLAGS) -o $$@ $$(filter %.o,$$^) \
		$(filter -%,$(FUZZ_MAIN)) -Wl,--start-group $$(filter %.a,$$^) -Wl,--end-group \
		$(sort $(foreach r,$(call unit_rooms,tests/fuzz/fuzz_$(1).c),$(LIBS_$(r))))
endef
$(foreach f,$(FUZZ),$(eval $(call fuzz_rules,$(f))))

.PHONY: fuzz-bins fuzz-replay fuzz fuzz-run
fuzz-bins: $(FUZZ:%=$(B)/fuzz/%)

fuzz-replay: fuzz-bins ## the fuzz corpus, once
	$(Q)for name in $(FUZZ); do \
		timeout 60 $(B)/fuzz/$$name tests/fuzz/corpus/$$name || { \
			echo "fuzz: $$name fails; FUZZ_VERBOSE=1 $(B)/fuzz/$$name tests/fuzz/corpus/$$name"; exit 1; }; \
	done

fuzz: ## fuzz each harness for TIME seconds (FUZZ=NAME: one only)
	@$(MAKE) --no-print-directory CC=clang SANITIZE=$(FUZZ_SANITIZE) CFLAGS='-O1 -g' fuzz-run

# What is found stays in the build folder: new inputs in corpus/, crashes in crashes/.
fuzz-run: fuzz-bins
	$(Q)status=0; for name in $(FUZZ); do \
		mkdir -p $(B)/fuzz/corpus/$$name $(B)/fuzz/crashes; \
		printf '  %-7s %s, %s s\n' FUZZ $$name $(TIME); \
		$(B)/fuzz/$$name -max_total_time=$(TIME) -timeout=10 -rss_limit_mb=2048 -verbosity=0 \
			-print_final_stats=1 -close_fd_mask=1 -artifact_prefix=$(B)/fuzz/crashes/$$name- \
			$(B)/fuzz/corpus/$$name tests/fuzz/corpus/$$name 2>$(B)/fuzz/$$name.log || { \
			status=1; tail -n 40 $(B)/fuzz/$$name.log; }; \
		sed -n 's/^stat::number_of_executed_units: */          runs: /p' $(B)/fuzz/$$name.log; \
	done; exit $$status
