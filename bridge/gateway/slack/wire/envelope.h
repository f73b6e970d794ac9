/* Frames of Socket Mode: told apart, checked, dispatched by a table. Pure but for the handlers. */
#pragma once

#include "base/json/json.h"

#include <stdbool.h>
#include <stddef.h>

enum frame_kind {
    FRAME_HELLO,
    FRAME_DISCONNECT,
    FRAME_EVENTS,
    FRAME_SLASH,
    FRAME_INTERACTIVE,
    FRAME_UNKNOWN, /* with an envelope_id: acknowledged all the same, else Slack repeats it */
    FRAME_KIND_MAX,
};

#define ENVELOPE_ID_SIZE 128

struct frame {
    enum frame_kind kind;
    char envelope_id[ENVELOPE_ID_SIZE]; /* "" when there is none */
    bool accepts_payload;
    const char *reason;   /* of a disconnect; "" if absent. Belongs to `doc` */
    int connections;      /* of hello; 0 if absent */
    int lifetime_s;       /* of hello: approximate_connection_time; 0 if absent */
    const cJSON *payload; /* object, or NULL */
    cJSON *doc;           /* owned; NULL when it was no JSON */
};

/* Never fails: what can't be read is FRAME_UNKNOWN, with the envelope_id found by searching. */
void frame_parse(struct frame *ret, const char *text, size_t len);
void frame_release(struct frame *f);
#define _cleanup_frame_ _cleanup_(frame_release)

/* What a disconnect asks for. */
enum disconnect_kind {
    DISCONNECT_REFRESH, /* warning, refresh_requested, and reasons not known yet */
    DISCONNECT_DISABLED,
    DISCONNECT_TOO_MANY,
};
enum disconnect_kind disconnect_kind_of(const char *reason);

/* The text of an acknowledgement, malloc'ed; `payload` (borrowed) may be NULL. */
char *envelope_ack_text(const char *envelope_id, const cJSON *payload);
