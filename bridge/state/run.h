/* codev-state's loop: looks, commits, and asks the remote, until it is told to stop. */
#pragma once

#include "bridge/state/settings.h"

/* 0 after SIGTERM or SIGINT; -errno with `e` when it cannot work at all. */
int run(struct settings *s, struct error *e);
