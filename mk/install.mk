# Installation below $(DESTDIR)$(PREFIX), and the local run.
PREFIX ?= /usr/local

.PHONY: install install-programs run
install: install-programs ## install below DESTDIR and PREFIX
install-programs: programs
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/codev \
		$(DESTDIR)$(PREFIX)/share/codev/plugin $(DESTDIR)$(PREFIX)/share/codev/guard \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions \
		$(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/man/man5 \
		$(DESTDIR)$(PREFIX)/share/man/man8
	install -m 0755 $(PROGRAMS:%=$(B)/bin/%) $(DESTDIR)$(PREFIX)/bin
	install -m 0644 $(B)/lib/codev/codev-fence.so $(DESTDIR)$(PREFIX)/lib/codev
	install -m 0644 $(GUARD:%=$(B)/share/codev/guard/%) $(DESTDIR)$(PREFIX)/share/codev/guard
	$(B)/bin/codevctl completion bash \
		>$(DESTDIR)$(PREFIX)/share/bash-completion/completions/codevctl
	for page in docs/man/*.[158]; do \
		install -m 0644 $$page $(DESTDIR)$(PREFIX)/share/man/man$${page##*.}; done
	cp -R bridge/plugin/package.json bridge/plugin/package-lock.json bridge/plugin/tsconfig.json \
		bridge/plugin/src $(DESTDIR)$(PREFIX)/share/codev/plugin

run: deps-run programs ## set up and run the whole pod here: PID 1, OpenCode, gateway, probes
	@CODEV_BIN_DIR=$(CURDIR)/$(B)/bin OPENCODE_BIN=$(OPENCODE_BIN) scripts/run.sh
