/* Sessions in Slack: one thread each, whose first message is a card with the session's state. The
 * thread is made when the session first needs somebody, or where it was started. */
#pragma once

#include "base/core/buf.h"
#include "bridge/gateway/core/core.h"
#include "bridge/gateway/slack/outbox.h"

struct slack;
struct threads;

int threads_new(struct threads **ret, struct slack *s);
void threads_free(struct threads *t);

/* Makes sure that the thread exists or is on its way. 0; -ENOTCONN when there is no channel to
 * make it in (SLACK_CHANNEL_ID); other -errno. */
int threads_ensure(struct threads *t, const char *pod, const char *session_id);

/* The session was started by the message `ts` in `channel`: that is its thread. `text` names it
 * until it has a title. */
int threads_adopt(struct threads *t, const char *pod, const char *session_id, const char *channel,
                  const char *ts, const char *text);

/* The session changed: its card follows, at most every other second. */
void threads_session_changed(struct threads *t, const struct session *s);

/* Something else that its card shows may have changed. */
void threads_touch(struct threads *t, const char *pod, const char *session_id);

/* Whose thread this is. `*ret_pod` and `*ret_session` are malloc'ed. 0 or -ENOENT. */
int threads_find(struct threads *t, const char *channel, const char *thread_ts, char **ret_pod,
                 char **ret_session);

/* Where the session's thread is; both of 40 bytes. 0 or -ENOENT. */
int threads_place(struct threads *t, const char *pod, const char *session_id, char channel[40],
                  char ts[40]);

/* Says once in each thread with work under way that the pod stops. */
void threads_say_stopping(struct threads *t);

/* Order in which messages of this session's thread are sent. */
void threads_lane(struct buf *out, const char *pod, const char *session_id);

/* The pod of a session that was just begun (its id alone is known then); this gateway's own when
 * the core has not heard of it. malloc'ed. */
char *threads_pod_of(struct threads *t, const char *session_id);
