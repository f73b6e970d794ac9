/* The eleven acceptance criteria: a table of checks that share one context. Each check makes the
 * thing happen and can fail; none harms the pod: scratch folders and sessions of its own, removed
 * at the end. */
#pragma once

#include "base/core/buf.h"
#include "base/core/error.h"
#include "base/json/json.h"
#include "supervisor/volumes/volumes.h"

#include <stdbool.h>
#include <stdint.h>

enum outcome { OUTCOME_PASS, OUTCOME_FAIL, OUTCOME_NOT_PROVEN, OUTCOME_SKIPPED, OUTCOME_COUNT };

struct result {
    enum outcome outcome;
    char evidence[600]; /* one line: what was seen, or what is wrong and what to do */
    uint64_t elapsed_ms;
};

struct api; /* base/opencode/api.h */

struct accept {
    /* options */
    bool restart; /* OpenCode may be restarted */
    bool quiet;   /* no progress on stderr */
    /* the pod, from its environment and PID 1 */
    char *home, *state_path, *plugin_path, *directory, *opencode_url, *opencode_bin, *bin_dir;
    cJSON *status;      /* PID 1's `status`, taken at the start; NULL without a supervisor */
    char *boot_started; /* RFC 3339, of this boot */
    struct mount_table mounts;
    dev_t state_dev; /* device of the state volume; 0: it could not be had */
    struct api *api;
    char *scratch; /* folder beside the plugin, on its volume; made when first needed */
    /* what the storage checks put there, found again after the restart */
    char provider[48], key[80], session_id[80], message_text[96];
    bool seeded, restarted;
    bool busy;        /* a session was at work: OpenCode was not restarted */
    bool auth_is_old; /* auth.json was written in an earlier boot, before we touched it */
    struct error seed_error;
};

struct criterion {
    const char *id;    /* "A1.5-1" */
    const char *story; /* "1.5" */
    const char *title;
    void (*check)(struct accept *a, struct result *r);
};
/* Terminated by a row whose id is NULL. */
extern const struct criterion criteria[];

/* Sets outcome and evidence. */
void result_set(struct result *r, enum outcome outcome, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
#define result_pass(r, ...) result_set(r, OUTCOME_PASS, __VA_ARGS__)
#define result_fail(r, ...) result_set(r, OUTCOME_FAIL, __VA_ARGS__)

/* A line of progress for the person who waits. */
void progress(const struct accept *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A service's note in PID 1's `status`, parsed, the caller's; NULL when there is none. */
cJSON *note_of(const cJSON *status, const char *service, const char *key);
/* A number in one, asked for now; -1 when nobody says. */
double note_number_now(const char *service, const char *key, const char *path);

/* Story 1.5: storage (storage.c). */
void check_mounted(struct accept *a, struct result *r);
void check_auth(struct accept *a, struct result *r);
void check_sessions(struct accept *a, struct result *r);
void check_messages(struct accept *a, struct result *r);
void check_mount_config(struct accept *a, struct result *r);
/* Removes what the storage checks made. */
void storage_cleanup(struct accept *a);

/* Story 1.6: plugin (plugin.c). */
void check_discovered(struct accept *a, struct result *r);
void check_linked(struct accept *a, struct result *r);
void check_on_volume(struct accept *a, struct result *r);
void check_dependencies(struct accept *a, struct result *r);
void check_degradation(struct accept *a, struct result *r);
void check_build(struct accept *a, struct result *r);

/* Output (report.c). `only` and `story` filter; NULL: all. */
enum format { FORMAT_TABLE, FORMAT_JSON, FORMAT_TAP, FORMAT_JUNIT, FORMAT_COUNT };
extern const char *const format_names[FORMAT_COUNT];
const char *outcome_name(enum outcome o);
/* `results` runs in step with `criteria`; SKIPPED rows are left out. */
void report_print(enum format f, const struct result *results);
