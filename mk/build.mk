# Objects, room libraries, programs, unit tests.
room_lib = $(B)/lib/$(subst /,-,$(1)).a
room_src = $(filter-out $(1)/main.c,$(wildcard $(1)/*.c))

define room_rules
$(call room_lib,$(1)): $$(patsubst %.c,$(B)/obj/%.o,$$(call room_src,$(1)))
	$$(say) AR $$@
	$(Q)mkdir -p $$(@D) && rm -f $$@ && $(AR) rcsD $$@ $$^
endef
$(foreach r,$(ROOMS),$(eval $(call room_rules,$(r))))

define program_rules
$(B)/bin/$(1): $(B)/obj/$(firstword $(ROOMS_$(1)))/main.o $(foreach r,$(ROOMS_$(1)),$(call room_lib,$(r)))
	$$(say) LINK $$@
	$(Q)mkdir -p $$(@D) && $(CC) $(ALL_LDFLAGS) -o $$@ $$< -Wl,--start-group $$(filter %.a,$$^) \
		-Wl,--end-group $(sort $(foreach r,$(ROOMS_$(1)),$(LIBS_$(r))))
endef
$(foreach p,$(PROGRAMS),$(eval $(call program_rules,$(p))))

$(B)/obj/%.o: %.c mk/flags.mk mk/rooms.mk VERSION
	$(say) CC $<
	$(Q)mkdir -p $(@D) && $(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

UNIT_SRC := $(wildcard tests/unit/test_*.c)
UNIT_BIN := $(UNIT_SRC:tests/unit/%.c=$(B)/unit/%)
ALL_LIBS := $(sort $(foreach r,$(ROOMS),$(LIBS_$(r))))
$(UNIT_BIN): $(B)/unit/%: $(B)/obj/tests/unit/%.o $(foreach r,$(ROOMS),$(call room_lib,$(r)))
	$(say) LINK $@
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_LDFLAGS) -o $@ $< -Wl,--start-group $(filter %.a,$^) \
		-Wl,--end-group $(ALL_LIBS) -lcheck -lsubunit -lm -lrt -lpthread

programs: $(PROGRAMS:%=$(B)/bin/%)
unit-bins: $(UNIT_BIN)

-include $(shell test -d $(B)/obj && find $(B)/obj -name '*.d')
