/* What each error of Slack's means for us: wait, ask people to set something right, or give up.
 * Source: the method reference; docs/slack.md lists the same fixes for people. */
#pragma once

#include "base/core/buf.h"

enum slack_error_class {
    SLACK_ERROR_TOKEN,   /* nothing works until somebody changes a token or the app */
    SLACK_ERROR_SETUP,   /* this call does not work until somebody changes a setting */
    SLACK_ERROR_RATE,    /* too fast: later */
    SLACK_ERROR_SERVER,  /* Slack's trouble; part of the work may have been done */
    SLACK_ERROR_CONTENT, /* what we sent is refused: never the same again */
    SLACK_ERROR_GONE,    /* what it is about is there no more */
    SLACK_ERROR_OTHER,   /* refused for good */
    SLACK_ERROR_CLASS_MAX,
};

struct slack_error {
    const char *code;
    enum slack_error_class class;
    const char *fix; /* one sentence for people; "" when there is nothing to do */
};

/* Never NULL: an unknown code is SLACK_ERROR_OTHER without a fix. */
const struct slack_error *slack_error_find(const char *code);

/* Appends "code (scope): fix" for people. `needed` is the scope of missing_scope, or "". */
void slack_error_explain(struct buf *out, const char *code, const char *needed);
