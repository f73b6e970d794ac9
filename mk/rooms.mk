# The house: which folders are rooms, what each program is made of, and which foreign library
# belongs to which room. A room's library is every .c file of its folder but main.c.
ROOMS := base/core base/metrics base/trace base/json base/yaml base/http base/server base/ws base/git base/uvcontrol base/opencode \
	supervisor/sandbox supervisor/profile \
	supervisor/plan supervisor/volumes supervisor/cgroup supervisor/init supervisor/config supervisor/ctl \
	supervisor/shell \
	bridge/prepare \
	bridge/gateway/store bridge/gateway/core bridge/gateway/link bridge/gateway/opencode \
	bridge/gateway/slack bridge/gateway/slack/render bridge/gateway/slack/wire \
	bridge/gateway/web bridge/gateway bridge/backup bridge/sessions bridge/state \
	probes acceptance

# Foreign libraries, a room each.
LIBS_base/json   := -lcjson
LIBS_base/yaml   := -lyaml
ifneq (,$(CURL_ARCHIVE))
ARCHIVES_base/http := $(CURL_ARCHIVE)
LIBS_base/http   := -lssl -lcrypto -lz -lpthread -luv
else
LIBS_base/http   := -lcurl -luv
endif
LIBS_base/server := -luv
LIBS_base/ws     := -lwebsockets -luv
LIBS_base/uvcontrol := -luv
LIBS_base/git    := -lgit2
LIBS_base/trace  := -lcrypto
LIBS_supervisor/profile := -lseccomp
LIBS_bridge/gateway/store := -lsqlite3 -lpthread
LIBS_bridge/gateway/slack/wire := -lm

# Programs: the folder of main.c first, then the rooms it is wired from (linked as a group).
PROGRAMS := codev-init codev-config codev-shell codevctl codev-prepare codev-gateway codev-probes codev-accept codev-backup codev-sessions codev-state
ROOMS_codev-init    := supervisor/init supervisor/cgroup supervisor/volumes supervisor/plan \
	supervisor/sandbox base/core
ROOMS_codev-config  := supervisor/config supervisor/plan supervisor/profile supervisor/sandbox \
	base/yaml base/core
ROOMS_codev-shell   := supervisor/shell supervisor/sandbox base/core
ROOMS_codevctl      := supervisor/ctl supervisor/volumes base/json base/core
ROOMS_codev-prepare := bridge/prepare supervisor/sandbox base/git base/json base/core
ROOMS_codev-gateway := bridge/gateway bridge/gateway/core bridge/gateway/link \
	bridge/gateway/opencode bridge/gateway/slack bridge/gateway/slack/render bridge/gateway/slack/wire \
	bridge/gateway/web bridge/gateway/store \
	base/http base/server base/ws base/uvcontrol base/json base/metrics base/trace base/core
ROOMS_codev-sessions := bridge/sessions base/opencode base/http base/json base/core
ROOMS_codev-backup  := bridge/backup bridge/gateway/store base/core
ROOMS_codev-state   := bridge/state bridge/gateway/store supervisor/sandbox base/git base/yaml base/core
ROOMS_codev-probes  := probes base/http base/server base/ws base/uvcontrol base/json base/metrics base/core
ROOMS_codev-accept  := acceptance supervisor/volumes base/opencode base/http base/json base/core

# The page's files are embedded in this object.
$(B)/obj/bridge/gateway/web/assets.o: $(wildcard bridge/gateway/web/assets/*) bridge/openapi.yaml

# Nobody may preload anything into codev-shell, and it starts with each command of the agent.
# codev-config stands between PID 1 and its first service: no dynamic linker to wait for.
ifeq ($(SANITIZE),)
LDFLAGS_codev-shell := -static-pie
LDFLAGS_codev-config := -static-pie
endif
