/* What people do in Slack, each thing exactly once: stored with the keys that tell it from all
 * others before it is acknowledged, worked off in order within its lane, removed when its effect is
 * stored or OpenCode has it. What a crash left is taken up again at the next start. */
#pragma once

#include "base/json/json.h"
#include "bridge/gateway/core/core.h"

#include <stdbool.h>
#include <stdint.h>

struct slack;
struct intake;

int intake_new(struct intake **ret, struct slack *s);
/* What is under way stays stored, and its item valid (`s` NULL) until its owner ends it. */
void intake_free(struct intake *in);

/* `payload` (taken) holds what the kind's worker reads. 1 stored, 0 seen before, -errno: it can't
 * be stored and must not be acknowledged; the status says so. `keys` ends with NULL. Nothing is
 * done from within. */
int intake_put(struct intake *in, const char *kind, const char *lane, const char *const *keys,
               cJSON *payload);
/* How often something was to be stored, also what was there already. */
uint64_t intake_puts(const struct intake *in);
/* How many this process has stored. */
uint64_t intake_stored(const struct intake *in);
/* Something of that lane is not done yet. */
bool intake_waits(struct intake *in, const char *lane);
/* What a former process may have begun is not known yet: a session may belong to a thread that it
 * has not got. Ends after a minute at the latest; requests_offer() is called then. */
bool intake_unsettled(const struct intake *in);
/* OpenCode is back: nothing rests. */
void intake_wake(struct intake *in);
/* Works off what is there. */
void intake_work(struct intake *in);
/* The same when acknowledgements that were queued before have left. */
void intake_soon(struct intake *in);

/* One thing, handed to the worker of its kind, which ends it once by one of the calls below. */
struct intake_item {
    struct intake *in;
    struct slack *s; /* NULL: the connector is gone */
    int64_t id, received_ms;
    cJSON *payload;
    char *note;
    bool again;    /* it may have been carried out before, in part or whole */
    bool fresh_id; /* the note is a prompt's id that no earlier attempt used */
    int attempts;  /* it left that often */
    struct intake_item *next;
};
/* Its effect is stored, or it was answered. Who wants both in one transaction calls
 * store_inbound_done() in it, and this after. */
void intake_done(struct intake_item *i);
/* Back in the queue. */
void intake_later(struct intake_item *i, uint64_t ms);
/* Not ended: the next start goes on with it. NULL is fine. */
void intake_drop(struct intake_item *i);
/* Before it leaves: stores that it may have, under `note`. 0 or -errno, then it must not leave. */
int intake_attempt(struct intake_item *i, const char *note);
/* The same for a prompt, under its OpenCode message id: the one that it left under before, so that
 * it is known what to look for, else a new one. */
int intake_prompt_id(struct intake_item *i, char id[PROMPT_ID_SIZE]);
/* Back in the queue after the order failed with `error`. What surely never left gets a new id with
 * its next attempt: OpenCode takes an id older than the session's newest for a message that was
 * answered already. */
void intake_retry(struct intake_item *i, int error);
/* A failed order: whether it is worth another try (OpenCode is away, no answer came) rather than an
 * answer to the person. */
bool intake_worth(const struct intake_item *i, int error);
/* Trying again is still worth it: not too old, or the store fails and its end can't be stored. */
bool intake_patient(const struct intake_item *i);
/* The pause before it, longer each time. */
uint64_t intake_pause(const struct intake_item *i);
/* The attempt after which the person is told that OpenCode is away: it is no short pause then. */
#define INTAKE_SAY_AT 3
/* Milliseconds since it was received. */
int64_t intake_age(const struct intake_item *i);
