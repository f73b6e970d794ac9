/* codevctl: what its commands share. */
#pragma once

#include "base/json/json.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

enum ctl_exit {
    CTL_OK = 0,
    CTL_NOT_WELL = 1,      /* not all is well, or the command failed */
    CTL_USAGE = 2,         /* wrong arguments */
    CTL_NO_SUPERVISOR = 3, /* PID 1 cannot be reached */
};

#define CTL_TIMEOUT_MS 10000

#define CTL_LINES_UNSET UINT_MAX
struct ctl_options {
    bool json, follow, watch, verbose, now;
    unsigned lines;    /* -n; 0: not given */
    const char *trace; /* --trace; NULL: not given */
    uint64_t since_ms; /* --since; 0: not given */
};

/* Runs a command with its positional arguments (NULL-terminated). Returns the exit status. */
typedef int ctl_run(const struct ctl_options *o, int argc, char **argv);

ctl_run ctl_status, ctl_logs, ctl_events, ctl_service, ctl_shutdown, ctl_reload, ctl_probe,
    ctl_token, ctl_password, ctl_open, ctl_plugin, ctl_trust, ctl_doctor, ctl_version;

/* Programs of ours that take over: the arguments go on unchanged. They return on failure only. */
int ctl_exec_accept(char **argv);
int ctl_exec_backup(char **argv);
int ctl_exec_sessions(char **argv);
int ctl_exec_config(char **argv);

/* "codevctl: …" on stderr. */
void ctl_complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Asks PID 1 one question (`words` end with NULL). CTL_OK with the answer, which the caller
 * deletes; else the exit status, and the reason has been said on stderr. */
int ctl_ask(const char *const *words, cJSON **ret);

/* The same for an answer that needs no look into it: prints `done` (or the answer itself with
 * --json). */
int ctl_order(const struct ctl_options *o, const char *const *words, const char *done);

/* The exit status for a failed control call. */
int ctl_failure(int code, const struct error *e);

/* Prints JSON and a newline. */
void ctl_print_json(const cJSON *j);

/* The path of a program of ours beside this one; malloc'ed, NULL when out of memory. */
char *ctl_beside(const char *program);

/* A note that a service made about itself, parsed; NULL when there is none. `status` is the whole
 * answer of `status`. The caller deletes it. */
cJSON *ctl_note(const cJSON *status, const char *service, const char *key);
const cJSON *ctl_find_service(const cJSON *status, const char *name);
