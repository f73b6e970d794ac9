# Compiler, flags and the build folder. `make CC=clang`, `make SANITIZE=address,undefined` and
# `make V=1` each get a folder of their own, so that switching rebuilds nothing.
ifeq ($(origin CC),default)
CC := gcc
endif
SANITIZE ?=
comma := ,
VARIANT := $(notdir $(CC))$(if $(SANITIZE),-$(subst $(comma),-,$(SANITIZE)))
B := build/$(VARIANT)

WARN := -Wall -Wextra -Werror -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes \
	-Wmissing-prototypes -Wformat=2 -Wundef -Wvla -Wcast-qual -Wwrite-strings -Wpointer-arith \
	-Wswitch-enum -Wimplicit-fallthrough
ifneq (,$(findstring clang,$(CC)))
WARN += -Wcomma -Wconditional-uninitialized -Wunreachable-code
else
WARN += -Wlogical-op -Wduplicated-cond -Wduplicated-branches -Wformat-signedness \
	-Werror=jump-misses-init
endif

HARDEN := -fstack-protector-strong -fstack-clash-protection -ftrivial-auto-var-init=pattern \
	-fno-common -fno-strict-overflow -fno-delete-null-pointer-checks -fvisibility=hidden
ifeq ($(shell uname -m),x86_64)
HARDEN += -fcf-protection=full
endif
ifeq ($(SANITIZE),)
HARDEN += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
else
SANFLAGS := -fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=all
endif

VERSION := $(shell cat VERSION)
CPPFLAGS += -D_GNU_SOURCE -I. -DCODEV_VERSION='"$(VERSION)"'
CFLAGS   ?= -O2 -g
ALL_CFLAGS := -std=gnu17 $(WARN) $(HARDEN) $(SANFLAGS) -fPIE $(CFLAGS)
ALL_LDFLAGS := -pie -Wl,--build-id=sha1 -Wl,-z,relro,-z,now,-z,noexecstack,-z,defs,--as-needed,--gc-sections $(SANFLAGS) $(LDFLAGS)

# What codev-init alone is built with (see mk/build.mk): musl where its wrapper of gcc is installed;
# STATIC=0 forgoes it. The kernel's headers come last, so that musl's own are taken first. The
# wrapper knows no static position-independent program, hence the start files.
MUSL_DIR := /usr/lib/$(shell uname -m)-linux-musl
STATIC ?= 1
ifeq (gcc 1,$(notdir $(CC)) $(STATIC)$(SANITIZE))
STATIC_CC := $(and $(wildcard $(MUSL_DIR)/rcrt1.o),$(shell command -v musl-gcc))
endif
# libcurl's archive, where there is one (see mk/build.mk); not beside sanitizers.
ifeq (1,$(STATIC)$(SANITIZE))
CURL_ARCHIVE := $(filter /%,$(shell $(CC) -print-file-name=libcurl.a))
endif
STATIC_CPPFLAGS := -idirafter /usr/include -idirafter /usr/include/$(shell uname -m)-linux-gnu
# The same files are checked with the usual libc too; musl's CMSG_NXTHDR() is not clean by that.
STATIC_CFLAGS := -Wno-sign-conversion -ffunction-sections -fdata-sections
STATIC_LDFLAGS := -static -nostartfiles $(MUSL_DIR)/rcrt1.o $(MUSL_DIR)/crti.o \
	-Wl,-pie,--no-dynamic-linker,-z,text,-z,relro,-z,now,-z,noexecstack,--gc-sections,--build-id \
	$(MUSL_DIR)/crtn.o

# What was built with other flags, or linked in the other way, is built anew: these files change
# only with what they say.
define stamp
$(shell mkdir -p $(B); printf '%s' '$(subst ','\'',$(2))' | cmp -s - $(B)/$(1) || printf '%s' '$(subst ','\'',$(2))' >$(B)/$(1))$(B)/$(1)
endef
FLAGS_STAMP := $(call stamp,flags.stamp,$(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(STATIC_CFLAGS))
LINK_STAMP := $(call stamp,link.stamp,$(CC) $(ALL_LDFLAGS))
STATIC_STAMP := $(call stamp,static.stamp,$(and $(STATIC_CC),$(STATIC_CC) $(STATIC_LDFLAGS)))

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-7s %s\n'
endif
