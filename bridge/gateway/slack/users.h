/* Who may start, answer and decide. Fails closed: with no list nobody may. */
#pragma once

#include <stdbool.h>

struct slack;
struct users;

int users_new(struct users **ret, struct slack *s);
void users_free(struct users *u);

/* 1 may, 0 may not, -EAGAIN: not known yet (SLACK_ALLOW=channel_members, not read lately). */
int users_may(struct users *u, const char *id);

/* The same with an answer in any case: `fn` is called at once when it is known, else when Slack
 * has answered; without an answer nobody may. `data` is handed to `fn` exactly once, or to `drop`
 * (may be NULL) when the connector ends before. */
typedef void users_fn(void *data, bool may);
void users_ask(struct users *u, const char *id, users_fn *fn, void (*drop)(void *), void *data);

/* Why somebody may not, and who can change it; mrkdwn. */
const char *users_refusal(const struct users *u);

/* Reads the members again when that is the setting; called now and then. */
void users_refresh(struct users *u);
/* Slack says that somebody joined a channel or left it. Who left ours may no more at once. */
void users_moved(struct users *u, const char *channel, const char *id, bool joined);

/* Names as they are seen in Slack's payloads; the id itself while none is known. */
void users_learn(struct users *u, const char *id, const char *name);
const char *users_name(const struct users *u, const char *id);
