/* What the files of the connector share. */
#pragma once

#include "base/core/error.h"
#include "base/json/json.h"
#include "bridge/gateway/core/core.h"
#include "bridge/gateway/slack/slack.h"
#include "bridge/gateway/slack/wire/api.h"
#include "bridge/gateway/slack/wire/counts.h"
#include "bridge/gateway/store/store.h"

#include <stdbool.h>

#define CONNECTOR "slack"

/* What keeps the connector from working; each is set and cleared by the part that sees it. The
 * first that is set is what the status says. */
enum slack_problem {
    PROBLEM_BOT,     /* the bot token is refused */
    PROBLEM_SOCKET,  /* the app token is refused, Socket Mode is off, … */
    PROBLEM_CHANNEL, /* SLACK_CHANNEL_ID can't be posted to */
    PROBLEM_POST,    /* a message can't be delivered */
    PROBLEM_NETWORK, /* Slack can't be reached; from here on no failure that people must mend */
    PROBLEM_USERS,   /* nobody may decide: no list, or the channel's members can't be read */
    PROBLEM_STORE,   /* what people do can't be stored, and is not acknowledged */
    PROBLEM_NOTE,    /* works, but not for all: no SLACK_CHANNEL_ID */
    PROBLEM_MAX,
};
#define PROBLEM_FAILED_LAST PROBLEM_POST

struct slack {
    struct core *core;
    struct store *store;
    uv_loop_t *loop;
    const struct settings *set;
    struct api *api;
    struct outbox *outbox;
    struct users *users;
    struct sock *sock;
    struct threads *threads;
    struct stream *stream;
    struct intake *intake;
    struct catchup *catchup;
    struct rebuild *rebuild;   /* NULL: nothing was lost */
    struct timer *check_timer; /* tokens and channel are looked at again */
    struct timer *stop_timer;
    struct slack_counts counts;
    char *team_url; /* of the workspace, ends with "/"; NULL until auth.test answered */
    char *bot_user; /* U… of the app; NULL until auth.test answered */
    char *problems[PROBLEM_MAX];
    char *told; /* what the core was told last: "state reason" */
    bool connected, stopping, stopped, opencode_reached;
};

/* The status that the core shows follows from these. `reason` is copied; NULL clears. */
void slack_problem(struct slack *s, enum slack_problem p, const char *reason);
void slack_connected(struct slack *s, bool connected);

/* Tells one person something in a channel or thread (`thread_ts` NULL: not in a thread). `text` is
 * mrkdwn. */
void slack_whisper(struct slack *s, const char *channel, const char *thread_ts, const char *user,
                   const char *text);
