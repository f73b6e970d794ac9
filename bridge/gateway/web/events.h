/* The stream of changes (GET /api/events, Server-Sent Events): a bounded ring that late or
 * returning readers resume from, and the streams that are open. */
#pragma once

#include "base/server/server.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EVENTS_RING_MAX    2048
#define EVENTS_BYTES_MAX   ((size_t)1 << 20) /* who missed more reads the lists again */
#define EVENTS_STREAMS_MAX 64

struct event {
    char *frame; /* "id: …\nevent: …\ndata: …\n\n"; NULL: superseded */
    size_t len;
};

struct events_stream;

struct events {
    struct event ring[EVENTS_RING_MAX]; /* id i is at i % EVENTS_RING_MAX */
    uint64_t first, next;               /* ids in the ring: first ≤ id < next */
    size_t bytes;
    struct events_stream *streams;
    unsigned stream_count;
};

/* Ids go on from `first_id`, above those of any earlier process: what a page has seen before a
 * restart is recognised as too old. */
void events_init(struct events *ev, uint64_t first_id);
void events_release(struct events *ev); /* streams must have ended */

/* Keeps it and sends it to all. `json` must hold no line break. Returns its id; 0: no memory. */
uint64_t events_emit(struct events *ev, const char *type, const char *json, size_t len);
/* A later event says all that this one said: those who resume need not hear it. 0 is ignored. */
void events_supersede(struct events *ev, uint64_t id);
/* To all who listen now; not kept, without an id. */
void events_tell(struct events *ev, const char *type, const char *json);

/* Begins a stream, or answers 500 (-errno). `last_id` (may be the request's): what the reader has
 * seen; NULL or "": nothing, it then hears of new ones only. Begins with the event `ready` (or
 * `reset`, when what was missed is not there any more). The login it ends with: `login`, 0 none. */
int events_stream(struct events *ev, struct server_request *r, const char *const *headers,
                  const char *last_id, uint64_t login);
bool events_full(const struct events *ev);
void events_end_login(struct events *ev, uint64_t login);
void events_end_all(struct events *ev);

/* What a reader with this Last-Event-ID gets: where to go on from (`*ret_from`), and whether
 * something is missing. */
enum events_resume { EVENTS_FRESH, EVENTS_RESUMED, EVENTS_RESET };
enum events_resume events_resume_from(const struct events *ev, const char *last_id,
                                      uint64_t *ret_from);
