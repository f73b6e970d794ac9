/* The agent's work in its thread while it goes on: pages that are posted, rewritten as they grow,
 * at a pace that Slack allows, and finished when the turn ends: then they hold all of the text, and
 * the last line says what it took. */
#pragma once

#include "bridge/gateway/core/core.h"

struct slack;
struct stream;

int stream_new(struct stream **ret, struct slack *s);
void stream_free(struct stream *st);

void stream_activity(struct stream *st, const struct activity *a);
void stream_session_changed(struct stream *st, const struct session *s);

/* Something else was posted in the session's thread: the text goes on below it. */
void stream_break(struct stream *st, const char *pod, const char *session_id);

/* OpenCode took a prompt: what it then does is shown even if nothing of it is heard before the
 * gateway goes down. Stored with what the caller stores. */
int stream_expect(struct stream *st, const char *pod, const char *session_id);
/* OpenCode is reached. */
void stream_reached(struct stream *st);
/* The pod stops: what was written so far is put into the outbox. */
void stream_flush(struct stream *st);
