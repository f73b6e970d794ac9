/* Inside the opencode room. */
#pragma once

#include "base/core/buf.h"
#include "base/http/http.h"
#include "base/json/json.h"
#include "bridge/gateway/core/feed.h"
#include "bridge/gateway/opencode/opencode.h"

#define OC_DIRECTORIES_MAX 64
#define OC_QUEUE_BYTES_MAX ((size_t)16 << 20)
#define OC_EVENT_MAX       ((size_t)8 << 20)
#define OC_PARTS_MAX       64
#define OC_ROLES_MAX       256
#define OC_TEXT_MAX        ((size_t)512 << 10)
#define OC_CALL_MS         10000
#define OC_LIST_MS         20000

enum oc_state {
    OC_OFF,    /* a bridge feeds */
    OC_WAIT,   /* the timer begins anew */
    OC_PROBE,  /* asks for its health: its port takes requests before it can answer them */
    OC_STREAM, /* the stream is open or being opened; events are queued */
    OC_STATE_MAX,
};

/* Work in order: what was read and what the stream told. */
enum item_kind { ITEM_EVENT, ITEM_STATE, ITEM_MISSING };
struct item {
    struct item *next;
    enum item_kind kind;
    char *directory;
    cJSON *json; /* the event, or {"permissions","questions","status","sessions"} */
    size_t size;
    int64_t before_ms;
};

struct catalog;
struct call; /* an order under way (commands.c) */

struct part {
    char id[80], message_id[80], session_id[80];
    char *directory;
    struct buf text;
    bool dirty;
    uint64_t used; /* for the oldest to go */
};

struct opencode {
    struct core *core;
    struct opencode_options options;
    struct way *way;
    enum oc_state state;
    uint64_t retry_ms;
    uv_timer_t timer, resync_timer, again_timer, parts_timer;
    uint64_t again_ms; /* until what is open is read once more */
    unsigned open_handles;
    bool closing;

    struct http_request *probe, *stream, *lookup;
    struct sse_parser *sse;
    bool connected; /* the first event came */
    uint64_t connected_ms;
    uint64_t grace_until_ms; /* monotonic: the bridge may come back until then */

    char *directories[OC_DIRECTORIES_MAX];
    bool stale[OC_DIRECTORIES_MAX]; /* to be read (again) */
    size_t n_directories;
    struct sync *sync; /* under way (sync.c) */

    struct item *head, **tail;
    size_t queued;
    bool busy;          /* a lookup or the first reading holds the queue */
    unsigned looked_up; /* in a row for one item: parents of parents */
    char *lookup_id, *lookup_directory;

    struct catalog *catalog;
    struct call *calls;
    struct part parts[OC_PARTS_MAX];
    uint64_t part_clock;
    struct {
        char id[80];
        bool user;
    } roles[OC_ROLES_MAX];
    size_t next_role;
    struct {
        char id[80];
        char status[16];
        size_t output; /* bytes of it that were told */
    } tools[OC_ROLES_MAX];
    size_t next_tool;
};

/* ---- opencode.c ---- */
/* URL of `path` (with "?directory=" when `directory` is not NULL); malloc'ed. */
char *oc_url(struct opencode *oc, const char *path, const char *directory);
/* The options of a request to OpenCode, with its password. `url` must live as long. */
struct http_options oc_request(struct opencode *oc, const char *url, http_done_fn *done,
                               void *data);
/* The stream ended or cannot be trusted: begins anew. */
void oc_restart(struct opencode *oc, const char *why);
/* Every answer and failure passes here: a refused connection says that OpenCode is dead. */
void oc_heard(struct opencode *oc, const struct http_response *r);
/* All that was read is applied: OpenCode is reached. */
void oc_ready(struct opencode *oc);
void oc_bridges(void *data, unsigned count); /* struct way_ops */
void oc_add_directory(struct opencode *oc, const char *directory, bool stale);

/* ---- queue.c ---- */
int queue_event(struct opencode *oc, const char *directory, cJSON *event, size_t size);
/* What was read goes before the events that came meanwhile; what is missing is looked at after. */
int queue_state(struct opencode *oc, const char *directory, cJSON *state, int64_t before_ms,
                bool complete);
void queue_clear(struct opencode *oc);
void queue_pump(struct opencode *oc);

/* ---- sync.c ---- */
/* Reads the stale directories, one after the other; queue_pump() after. */
void sync_start(struct opencode *oc);
void sync_cancel(struct opencode *oc);
void sync_later(struct opencode *oc, uint64_t ms);

/* ---- events.c ---- */
void event_apply(struct opencode *oc, const char *directory, const cJSON *event);
void state_apply(struct opencode *oc, const char *directory, const cJSON *state);
void missing_apply(struct opencode *oc, const char *directory, const cJSON *state,
                   int64_t before_ms);
/* As OpenCode has it now; or as it was when something was said of it, which does not bring it back.
 */
void session_apply(struct opencode *oc, const char *directory, const cJSON *info);
void session_heard(struct opencode *oc, const char *directory, const cJSON *info);
/* The session that has to be known before the item can be applied; NULL: none. */
const char *event_session_needed(const cJSON *event);
const char *state_session_needed(struct opencode *oc, const cJSON *state);

/* ---- parts.c ---- */
void part_delta(struct opencode *oc, const char *directory, const cJSON *p);
void part_updated(struct opencode *oc, const char *directory, const cJSON *p);
/* OpenCode's list of messages, each of its texts and tools told to `each`. */
void history_tell(struct opencode *oc, const cJSON *messages, const char *session_id,
                  core_activity_fn *each, void *data);
void part_role(struct opencode *oc, const char *message_id, bool user);
void parts_flush(struct opencode *oc);
void parts_clear(struct opencode *oc);

/* ---- catalog.c ---- */
int catalog_new(struct catalog **ret, struct opencode *oc);
void catalog_free(struct catalog *c);

/* ---- commands.c ---- */
extern const struct way_ops direct_ops;
void calls_cancel(struct opencode *oc);
