/* Text for Slack and from Slack. Foreign text is made safe in three ways: what would steer a
 * message (& < >) is escaped, what would hide or reorder it (control characters, bidirectional
 * overrides, zero-width characters) is made visible, and it is cut by characters as Slack counts
 * them: code points, an entity such as &amp; being five. */
#pragma once

#include "base/core/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum text_flags {
    TEXT_ESCAPE = 1 << 0,   /* for mrkdwn and the top-level `text`; not for plain_text, rich_text */
    TEXT_ONE_LINE = 1 << 1, /* line ends and tabs become spaces */
    TEXT_TAME = 1 << 2,     /* for markdown: <!channel>, <@U…>, <#C…> mean nothing */
};

/* Appends `s` in at most `points` characters. What is cut off is shown by a final "…"; neither an
 * entity nor an emoji with its modifiers is split. True when it was cut. */
bool text_put(struct buf *out, const char *s, size_t points, unsigned flags);

/* The same for raw text that people must judge (a command): when too long, its beginning and its
 * end stay, with a line in the middle that says how much is left out. True when it was cut. */
bool text_put_middle(struct buf *out, const char *s, size_t points);

/* Appends what a person typed, as it was meant: mentions of `bot_user` (may be NULL) removed,
 * links and channels as plain text, entities decoded, white space at both ends cut off. */
void text_from_slack(struct buf *out, const char *text, const char *bot_user);

/* A message's ts, "1795280203.314000", and milliseconds since 1970; 0 when it is none. */
int64_t text_ms_of_ts(const char *ts);
void text_ts_of_ms(char ret[40], int64_t ms);
/* "; next at 12:34:56", mrkdwn, in the reader's time zone. Nothing for 0. */
void text_put_next_try(struct buf *out, int64_t at_ms);

/* A user id as Slack writes it: U or W, then capitals and digits. Only such an id is put between
 * <@ and >. */
bool text_is_user_id(const char *s);
