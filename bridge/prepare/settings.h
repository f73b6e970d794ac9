/* What codev-prepare is to do, from the environment (docs/control.md), with the defaults of a pod
 * so that it runs without a supervisor too. */
#pragma once

#include "base/core/error.h"
#include "base/core/trace.h"

#include <stdbool.h>
#include <stdint.h>

enum reload { RELOAD_IDLE, RELOAD_NOW, RELOAD_NOTIFY, RELOAD_OFF, RELOAD_MAX };

struct settings {
    char *home;
    char *runtime_dir;
    char *plugin_path; /* "" : the plugin is switched off */
    char *repo_path;   /* the checkout: two levels above the plugin */
    char *link_path;   /* ~/.config/opencode/node_modules/@opencode/bridge-plugin */
    char *config_home; /* $XDG_CONFIG_HOME, else ~/.config */
    char *directory;   /* where OpenCode works: $HOME/src */
    char *url;         /* "" : never clone */
    char *branch;
    char *token;        /* wiped by settings_release; "" : none */
    char *key_file;     /* ssh key: plugin.token_file, when it holds one; "" : none */
    char *ca_file;      /* "" : the system's */
    char *user_config;  /* the user's own OPENCODE_CONFIG; "" : none */
    char *user_content; /* the user's own OPENCODE_CONFIG_CONTENT; "" : none */
    char *trust_dir;    /* where accepted copies are kept; "": no trust is asked for */
    char *build_dir;    /* where what was accepted is built; "" as trust_dir */
    char *accepted;     /* the accepted copy of the configuration; NULL: the user's own counts */
    bool update;        /* plugin.update: ff */
    enum reload reload; /* what a change of the plugin's sources leads to */
    bool no_project;    /* a project's own OpenCode configuration does not count */
    uint64_t timeout_ms;
    char run[TRACE_ID_SIZE]; /* this run, in the logs; "": none */
};

/* Takes secrets over (base/core/secrets.h) and reads the rest. A value that makes no sense is
 * reported in the log and its default used: a oneshot that gives up would keep OpenCode waiting.
 * Makes the runtime folder. 0, -ENOMEM, or what the runtime folder said, with `e`. */
int settings_read(struct settings *ret, struct error *e);
void settings_release(struct settings *s);
