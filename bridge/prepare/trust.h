/* What a person accepted: the plugin and OpenCode's user configuration run in OpenCode's own
 * process, and the agent may write to both. Where OpenCode has a sandbox, it gets copies of what
 * was accepted; they lie in our state folder, and what OpenCode reads of them in the runtime
 * folder.
 *
 * Accepted without asking: what is there at the very first start; what we cloned or fetched from
 * plugin.url ourselves; the plugin that comes with codev-init. All else waits for `codevctl trust`,
 * which names the id of the very contents that were shown. */
#pragma once

#include "bridge/prepare/filelist.h"
#include "bridge/prepare/settings.h"

enum trust_kind { TRUST_PLUGIN, TRUST_CONFIG, TRUST_KIND_MAX };
extern const char *const trust_names[TRUST_KIND_MAX]; /* "plugin", "config" */

struct trust {
    enum trust_kind kind;
    const char *dir;          /* settings.trust_dir */
    bool first;               /* nothing was ever recorded */
    bool spoiled;             /* something was, but what cannot be read: as if all had changed */
    struct filelist accepted; /* as recorded */
    struct filelist now;
};

void trust_release(struct trust *t);
#define _cleanup_trust_ _cleanup_(trust_release)

/* Reads the record; `now` is for the caller to fill. 0 or a negative errno with `e`. */
int trust_open(struct trust *t, enum trust_kind kind, const struct settings *s, struct error *e);

/* After filelist_hash(&t->now): is it what was accepted? */
bool trust_unchanged(const struct trust *t);

/* Did a person accept exactly `now`? */
bool trust_asked_for(const struct trust *t);

/* The accepted copy's folder; malloc'ed, NULL when there is none. */
char *trust_folder(const struct trust *t);

/* Keeps a copy of `files` (NULL: of t->now) and records t->now as accepted; what a person asked for
 * is settled. Killed anywhere, the old copy or the new one counts, whole. */
int trust_accept(struct trust *t, const struct filelist *files, struct error *e);

/* Records t->now without a copy: nothing was there. */
int trust_record_none(struct trust *t, struct error *e);

/* Writes what differs for people (DIR/NAME.changes) and returns a line about it: "2 files changed,
 * 1 added, 0 removed". Removes the file when nothing differs. */
void trust_describe(const struct trust *t, char *line, size_t size);
void trust_settled(const struct trust *t);
