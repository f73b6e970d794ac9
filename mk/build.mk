# Objects, room libraries, programs, unit tests.
room_lib = $(B)/lib/$(subst /,-,$(1)).a
room_src = $(filter-out $(1)/main.c,$(wildcard $(1)/*.c))

define room_rules
$(call room_lib,$(1)): $$(patsubst %.c,$(B)/obj/%.o,$$(call room_src,$(1)))
	$$(say) AR $$@
	$(Q)mkdir -p $$(@D) && rm -f $$@ && $(AR) rcsD $$@ $$^
endef
$(foreach r,$(ROOMS),$(eval $(call room_rules,$(r))))
archives = $(foreach r,$(1),$(ARCHIVES_$(r)))

# libcurl as an archive, with stand-ins for what its other protocols would need: Debian's shared one
# loads 22 libraries more for them, Kerberos, LDAP and GnuTLS among others.
ifneq (,$(ARCHIVES_base/http))
ABSENT := $(B)/gen/absent.c
$(ABSENT): scripts/absent.sh $(ARCHIVES_base/http)
	$(say) GEN $@
	$(Q)mkdir -p $(@D) && scripts/absent.sh $(ARCHIVES_base/http) >$@.new && mv $@.new $@
$(B)/gen/absent.o: $(ABSENT) base/http/absent/absent.h mk/flags.mk $(FLAGS_STAMP)
	$(say) CC $<
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -c -o $@ $<
$(call room_lib,base/http): $(B)/gen/absent.o
endif

define program_rules
$(B)/bin/$(1): $(B)/obj/$(firstword $(ROOMS_$(1)))/main.o $(foreach r,$(ROOMS_$(1)),$(call room_lib,$(r))) \
	$(call archives,$(ROOMS_$(1))) $(LINK_STAMP)
	$$(say) LINK $$@
	$(Q)mkdir -p $$(@D) && $(CC) $(if $(LDFLAGS_$(1)),$(filter-out -pie,$(ALL_LDFLAGS)) $(LDFLAGS_$(1)),$(ALL_LDFLAGS)) -o $$@ $$< -Wl,--start-group $$(filter %.a,$$^) \
		-Wl,--end-group $(sort $(foreach r,$(ROOMS_$(1)),$(LIBS_$(r))))
endef
$(foreach p,$(filter-out $(if $(STATIC_CC),codev-init),$(PROGRAMS)),$(eval $(call program_rules,$(p))))

$(B)/bin/codev-init: $(STATIC_STAMP)

# PID 1 needs libc alone. Linked statically with musl it takes a fifth of the memory and starts
# without a dynamic linker. The rest, the unit tests and the sanitizers stay with the usual libc.
ifneq (,$(STATIC_CC))
STATIC_OBJ := $(patsubst %.c,$(B)/static/%.o,supervisor/init/main.c \
	$(foreach r,$(ROOMS_codev-init),$(call room_src,$(r))))
$(B)/static/%.o: %.c mk/flags.mk mk/rooms.mk VERSION $(FLAGS_STAMP)
	$(say) MUSL $<
	$(Q)mkdir -p $(@D) && $(STATIC_CC) $(CPPFLAGS) $(STATIC_CPPFLAGS) $(ALL_CFLAGS) $(STATIC_CFLAGS) \
		-MMD -MP -c -o $@ $<
$(B)/bin/codev-init: $(STATIC_OBJ)
	$(say) LINK $@
	$(Q)mkdir -p $(@D) && $(STATIC_CC) $(STATIC_LDFLAGS) -o $@ $(filter %.o,$^)
endif

$(B)/obj/%.o: %.c mk/flags.mk mk/rooms.mk VERSION $(FLAGS_STAMP)
	$(say) CC $<
	$(Q)mkdir -p $(@D) && $(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# The usual filter of system calls is made by libseccomp when this is built, not at every boot.
USUAL_FILTER := $(B)/gen/usual-filter
$(USUAL_FILTER): $(patsubst %,$(B)/obj/supervisor/profile/%.o,main filter denied) $(B)/lib/base-core.a
	$(say) GEN $@
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_LDFLAGS) -o $@.program $^ $(LIBS_supervisor/profile) && \
		$@.program >$@.new && mv $@.new $@
$(B)/obj/supervisor/profile/usual.o: CPPFLAGS += -DUSUAL_FILTER='"$(USUAL_FILTER)"'
$(B)/obj/supervisor/profile/usual.o: $(USUAL_FILTER)

# A unit test links every room, or just those that its first line names: /* rooms: base/core … */
UNIT_SRC := $(wildcard tests/unit/test_*.c)
UNIT_BIN := $(UNIT_SRC:tests/unit/%.c=$(B)/unit/%)
unit_rooms = $(or $(shell sed -n '1s,^/\* rooms: \(.*\) \*/$$,\1,p' $(1)),$(ROOMS))

define unit_rules
$(B)/unit/$(1): $(B)/obj/tests/unit/$(1).o $(foreach r,$(call unit_rooms,tests/unit/$(1).c),$(call room_lib,$(r))) \
	$(call archives,$(call unit_rooms,tests/unit/$(1).c))
	$$(say) LINK $$@
	$(Q)mkdir -p $$(@D) && $(CC) $(ALL_LDFLAGS) -o $$@ $$< -Wl,--start-group $$(filter %.a,$$^) \
		-Wl,--end-group $(sort $(foreach r,$(call unit_rooms,tests/unit/$(1).c),$(LIBS_$(r)))) \
		-lcheck -lsubunit -lm -lrt -lpthread
endef
$(foreach t,$(UNIT_SRC:tests/unit/%.c=%),$(eval $(call unit_rules,$(t))))

# PID 1 with the usual libc and allocations that fail. The sanitizers have an allocator of their own.
$(B)/unit/codev-init-fails: $(B)/obj/supervisor/init/main.o $(B)/obj/tests/unit/fail_alloc.o \
	$(foreach r,$(ROOMS_codev-init),$(call room_lib,$(r))) $(LINK_STAMP)
	$(say) LINK $@
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group
ifeq ($(SANITIZE),)
unit-bins: $(B)/unit/codev-init-fails
endif

# A disk whose power can be cut, for tests; without libfuse3 they say that they are skipped.
.PHONY: volatile-disk
volatile-disk: $(if $(shell pkg-config --exists fuse3 2>/dev/null && echo 1),$(B)/test/volatile-disk)
$(B)/test/volatile-disk: tests/power/volatile-disk.c mk/flags.mk
	$(say) LINK $@
	$(Q)mkdir -p $(@D) && $(CC) $(CPPFLAGS) $(ALL_CFLAGS) $$(pkg-config --cflags fuse3) $< $(ALL_LDFLAGS) -o $@ $$(pkg-config --libs fuse3) -lpthread

# Loaded into OpenCode's process, hence without the sanitizers of this build.
$(B)/lib/codev/codev-fence.so: supervisor/fence/fence.c mk/flags.mk
	$(say) LINK $@
	$(Q)mkdir -p $(@D) && $(CC) $(CPPFLAGS) $(filter-out -fPIE $(SANFLAGS),$(ALL_CFLAGS)) -fPIC -shared \
		-Wl,-z,relro,-z,now,-z,noexecstack,--as-needed -o $@ $<

# What OpenCode is started with when nothing was prepared for it.
GUARD := guard.js guarded.json
$(GUARD:%=$(B)/share/codev/guard/%): $(B)/share/codev/guard/%: supervisor/fence/share/%
	$(Q)mkdir -p $(@D) && cp $< $@

programs: $(PROGRAMS:%=$(B)/bin/%) $(B)/lib/codev/codev-fence.so $(GUARD:%=$(B)/share/codev/guard/%)
unit-bins: $(UNIT_BIN)

-include $(shell test -d $(B) && find $(B)/obj $(B)/static -name '*.d' 2>/dev/null)
