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
ALL_LDFLAGS := -pie -Wl,--build-id=sha1 -Wl,-z,relro,-z,now,-z,noexecstack,-z,defs,--as-needed $(SANFLAGS) $(LDFLAGS)

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-7s %s\n'
endif
