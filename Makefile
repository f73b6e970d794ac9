# codev-init: one non-recursive Makefile; mk/ holds its parts. `make help` lists the targets.
MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all
SHELL := /bin/bash

include mk/flags.mk
include mk/rooms.mk
include mk/build.mk
include mk/deps.mk
include mk/check.mk
include mk/fuzz.mk
include mk/install.mk
include mk/container.mk

.PHONY: all help programs unit-bins clean
all: programs plugin ## build every program and the bridge plugin

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

clean: ## remove what was built
	rm -rf build bridge/plugin/dist
