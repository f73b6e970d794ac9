/* The gateway's core: sessions and requests of all pods, and who decided what. It knows no Slack
 * and no web page: connectors plug into it, and ways to OpenCode (the bridge link, the direct HTTP
 * client) feed it. One loop, one thread; nothing here blocks. Every change is stored before anybody
 * is told of it. Strings in the views below belong to the core and are valid during the call. */
#pragma once

#include "base/core/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct buf;
struct core;

/* ---------------------------------------------------------------- what connectors see */

enum session_status {
    SESSION_IDLE,
    SESSION_BUSY,
    SESSION_RETRY, /* the model is away: OpenCode tries again at `retry_at_ms` */
    SESSION_ERROR, /* the last turn failed: `status_text` */
    SESSION_GONE,  /* OpenCode has it no more */
    SESSION_STATUS_MAX,
};
const char *session_status_name(enum session_status s);

struct session {
    const char *pod, *id; /* together the key */
    const char *directory, *title, *agent, *model;
    const char *created_by; /* "slack:U123", "web:…", "opencode" */
    enum session_status status;
    const char *status_text;
    int64_t retry_at_ms;
    int64_t created_ms, updated_ms; /* wall clock */
    double cost;
    int64_t tokens;
};

enum request_kind { REQUEST_PERMISSION, REQUEST_QUESTION, REQUEST_KIND_MAX };
enum request_state {
    REQUEST_PENDING,  /* waits for a person */
    REQUEST_DECIDING, /* somebody decided; OpenCode has not confirmed yet */
    REQUEST_SETTLED,  /* OpenCode confirmed, or it is gone: `outcome` */
    REQUEST_STATE_MAX,
};
enum request_outcome {
    OUTCOME_NONE,
    OUTCOME_ONCE,
    OUTCOME_ALWAYS,
    OUTCOME_REJECT,
    OUTCOME_ANSWERED, /* questions */
    OUTCOME_GONE,     /* OpenCode has it no more: aborted, restarted */
    OUTCOME_MAX,
};
const char *request_outcome_name(enum request_outcome o); /* "once", … */

struct actor {
    const char *connector; /* "slack", "web", "api", "opencode", "deadline" */
    const char *id;        /* U123; "" when there is none */
    const char *name;      /* for people */
};

struct request {
    const char *pod, *id; /* together the key; `id` is OpenCode's per_… or que_… */
    enum request_kind kind;
    const char *session_id;      /* that asked; a subagent's child session perhaps */
    const char *root_session_id; /* whose thread it belongs to */
    const char *session_title;   /* of the root */
    const char *directory;
    const char *permission; /* "bash", "edit", …; "question" */
    const char *summary;    /* one line for people: the command, the file */
    const char *detail_json; /* {"patterns":[…],"metadata":{…},"always":[…]} or {"questions":[…]} */
    int64_t created_ms;
    enum request_state state;
    enum request_outcome outcome; /* from DECIDING on: what was asked for */
    const char *reason;           /* of a rejection, or why it is gone; "" if none */
    const char *answers_json;     /* of a question: [["label",…],…]; "" when not known */
    struct actor actor;           /* from DECIDING on */
    int64_t decided_ms;
};

enum activity_kind {
    ACTIVITY_TEXT, /* `text`: the whole text so far of part `id` */
    ACTIVITY_TOOL, /* `text`: one line "bash: ls", `status`: running|completed|error */
    ACTIVITY_MILESTONE,
    ACTIVITY_ERROR,
    ACTIVITY_DIFF, /* what the prompt `message_id` changed so far: `text` is JSON,
                      {"files":1,"additions":3,"deletions":0} */
    ACTIVITY_MAX,
};
struct activity {
    const char *pod, *session_id; /* the root's */
    enum activity_kind kind;
    const char *role; /* "assistant", "user" */
    const char *message_id, *id;
    const char *text, *status;
    const char *output; /* of a tool: what it printed so far, cut; NULL: nothing yet, not known */
    bool child;         /* a subagent's */
};

/* How a connector is told. Each may be NULL. None may call back into core_decide and the like
 * synchronously; uv timers and their own answers are the place for that. */
struct connector {
    const char *name; /* "slack" */
    void *data;
    /* New, or its state, outcome or reason changed. After a restart it is called once for each
     * request that is not settled, and for those settled since the connector last
     * acknowledged (core_request_shown). */
    void (*request_changed)(void *data, const struct request *r);
    void (*session_changed)(void *data, const struct session *s);
    void (*activity)(void *data, const struct activity *a);
    void (*links_changed)(void *data);
    /* Where people are told of things. */
    void (*focus_changed)(void *data);
    /* PID 1 tells that a service or a volume is not as it was. */
    void (*pod_changed)(void *data);
    /* A notice for people that belongs to no session ("volume … is full"). */
    void (*notice)(void *data, const char *text);
    /* Appends what it tells Prometheus (base/metrics); names begin with codev_gateway_NAME_. */
    void (*metrics)(void *data, struct buf *out);
    /* The pod stops: say so, flush, then call core_connector_stopped(). `deadline_ms` monotonic. */
    void (*stopping)(void *data, uint64_t deadline_ms);
};

/* Registers; `c` is copied. Before core_start(). */
int core_add_connector(struct core *core, const struct connector *c);
void core_connector_stopped(struct core *core, const char *name);
/* For what must be on the disk before something else happens. NULL while the core goes down. */
struct flush;
struct flush *core_flush(struct core *core);

/* ---------------------------------------------------------------- where people are told */

enum focus { FOCUS_AUTO, FOCUS_SLACK, FOCUS_WEB, FOCUS_MAX };
const char *core_focus_name(enum focus f);    /* "auto", … */
enum focus core_focus_find(const char *name); /* FOCUS_MAX: there is none of that name */
enum told { TOLD_SLACK, TOLD_WEB, TOLD_BOTH };

/* Somebody did something on the web page just now. */
void core_web_activity(struct core *core);
/* From now on this person wants to be told there; of the web page: all who did not say it later.
 * Stored and audited; what rests and is due now is told. 0 or -errno. */
int core_set_focus(struct core *core, const struct actor *actor, enum focus f);

struct focus_state {
    enum focus focus;
    enum told told;          /* where a request is told now */
    int64_t active_until_ms; /* somebody is at the web page, as far as is known; 0: nobody */
    bool slack;              /* there is a Slack to be told in */
};
void core_focus(struct core *core, const struct actor *actor, struct focus_state *ret);

/* For a connector that calls people from elsewhere: true, they are told of the request on the web
 * page. It is told again (request_changed) when they are to be told here, at the latest after
 * gateway.web_hold. */
bool core_request_rests(struct core *core, const struct request *r);
/* It is told here after all: it rests no more. */
void core_request_taken(struct core *core, const char *pod, const char *request_id);
/* One of the session's requests does. */
bool core_session_rests(struct core *core, const char *pod, const char *session_id);
/* Where a milestone of the session is told. What failed is told everywhere. */
enum told core_session_told(struct core *core, const char *pod, const char *session_id);

/* ---------------------------------------------------------------- what connectors ask for */

/* A decision of a person. The first one wins: 0 taken, 1 somebody was first (look at the request),
 * -ENOENT no such request, -EINVAL an outcome that does not fit. `answers_json` for questions:
 * [["label",…],…]. Stored and audited before it returns; sent to OpenCode at once and again until
 * OpenCode confirms. */
int core_decide(struct core *core, const char *pod, const char *request_id,
                enum request_outcome outcome, const char *reason, const char *answers_json,
                const struct actor *actor);

/* What a question that nobody answers in time is answered with, malloc'ed JSON: the option of each
 * that is marked as recommended. NULL when one of them has none, or nothing is answered so. */
char *core_question_default(struct core *core, const struct request *r);

/* A connector has shown this state of the request for good (it was delivered). After the settled
 * state is acknowledged the connector hears of the request no more. */
void core_request_shown(struct core *core, const char *connector, const char *pod,
                        const char *request_id, enum request_state state);

/* Called once with the result: `error` 0 or negative errno with a sentence. */
typedef void core_done_fn(void *data, int error, const char *message, const char *session_id);

struct session_start {
    const char *pod;                            /* NULL: the only one, or the first connected */
    const char *directory;                      /* NULL: the pod's default */
    const char *title, *prompt, *agent, *model; /* NULL: default; model "provider/model" */
    const struct actor *actor;
    /* For who must start it exactly once: `key` names the session in OpenCode, `message_id` (of
     * core_prompt_id()) its prompt; with `again` both are looked for before they are made. */
    const char *key, *message_id; /* NULL: no matter */
    bool again;
};
int core_session_start(struct core *core, const struct session_start *s, core_done_fn *done,
                       void *data);
int core_session_message(struct core *core, const char *pod, const char *session_id,
                         const char *text, const struct actor *actor, core_done_fn *done,
                         void *data);
/* The same, exactly once: under a `message_id` of core_prompt_id() that the caller stores before.
 * `again`: it may have been sent before, and is looked for first. */
struct session_prompt {
    const char *pod, *session_id, *text;
    const struct actor *actor;
    const char *message_id;
    bool again;
};
int core_session_prompt(struct core *core, const struct session_prompt *p, core_done_fn *done,
                        void *data);
#define PROMPT_ID_SIZE 32
#define PROMPT_MAX     50000 /* characters; more is -EFBIG */
/* Who wrote a prompt (an activity with the role "user"), and where: "opencode" when it did not come
 * through the gateway. */
struct prompt_origin {
    char connector[16], name[128];
};
void core_prompt_origin(struct core *core, const struct activity *a, struct prompt_origin *ret);
/* What a failed order has to say: `message` if it has one. */
const char *core_error_text(int error, const char *message);
/* A new id as OpenCode makes them for messages: they sort by time. */
void core_prompt_id(char ret[PROMPT_ID_SIZE]);
int core_session_abort(struct core *core, const char *pod, const char *session_id,
                       const struct actor *actor, core_done_fn *done, void *data);

/* What a session said and did of late, read anew from OpenCode: `each` is called for every text and
 * tool, oldest first, with the given pod and session; then `done`, which alone tells failures. */
typedef void core_activity_fn(void *data, const struct activity *a);
int core_session_history(struct core *core, const char *pod, const char *session_id,
                         core_activity_fn *each, core_done_fn *done, void *data);

/* One entry of the audit log: who did what. */
void core_audit(struct core *core, const struct actor *actor, const char *what, const char *object,
                const char *detail);

/* ---------------------------------------------------------------- looking */

/* Newest first. Return non-zero from `fn` to end the walk; that value is returned. */
int core_each_session(struct core *core, int (*fn)(void *data, const struct session *s),
                      void *data);
int core_each_request(struct core *core, bool only_open,
                      int (*fn)(void *data, const struct request *r), void *data);
/* 0 and `fn` called once, or -ENOENT. */
int core_with_session(struct core *core, const char *pod, const char *id,
                      int (*fn)(void *data, const struct session *s), void *data);
int core_with_request(struct core *core, const char *pod, const char *id,
                      int (*fn)(void *data, const struct request *r), void *data);

struct link_state {
    const char *slack, *slack_reason; /* "off", "connecting", "connected", "failed" */
    unsigned bridges;                 /* connected bridge plugins */
    const char *opencode;             /* "bridge", "http", "none": how OpenCode is reached now */
    const char *opencode_reason;
    const char *build;        /* the run of codev-prepare whose plugin is loaded; "" unknown */
    const char *store_reason; /* why nothing can be stored at present; "" when all is well */
};
void core_links(struct core *core, struct link_state *ret);
/* The pods on which a session can be begun now, the one that is taken when none is named first. The
 * names are valid until the loop goes on. How many there are, at most `max`. */
size_t core_pods(struct core *core, const char **ret, size_t max);

/* What can be chosen for a new session on our own pod: {"agents":[{"id","name","description"}],
 * "models":[{"id","name","group"}]}; "" until it was read. Valid until it is set anew. */
const char *core_catalog(struct core *core);
void core_set_catalog(struct core *core, const char *json); /* copied; NULL: unchanged */

/* Tells all connectors (pod_changed). */
void core_pod_changed(struct core *core);

/* A connector tells its own state. */
void core_set_slack_state(struct core *core, const char *state, const char *reason);

/* ---------------------------------------------------------------- what the rooms share */

struct store;       /* bridge/gateway/store */
struct http_client; /* base/http */
struct store *core_store(struct core *core);
struct http_client *core_http(struct core *core);
uv_loop_t *core_loop(struct core *core);

struct settings {
    const char *pod, *version, *state_dir, *runtime_dir;
    const char *opencode_url, *opencode_directory, *opencode_user, *opencode_password;
    const char *listen;
    uint16_t port;
    const char *token, *bridge_token; /* of the API and web page; of the bridge */
    const char *slack_bot_token, *slack_app_token, *slack_channel, *slack_allowed_users,
        *slack_allow, *slack_api_url;
    uint64_t question_timeout_ms;        /* then the recommended options are the answer; 0: never */
    uint64_t web_active_ms, web_hold_ms; /* how long activity counts, a request may rest */
    bool interrupts; /* a message to a session at work stops its turn; else it is queued */
};
const struct settings *core_settings(struct core *core);
