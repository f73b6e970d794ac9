#include "bridge/gateway/link/link.h"

#include "base/core/buf.h"
#include "base/core/clock.h"
#include "base/core/log.h"
#include "base/core/secrets.h"
#include "bridge/gateway/link/private.h"
#include "bridge/gateway/store/rows.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

const char *link_pod(struct link *l, const char *pod)
{
    const struct settings *own = core_settings(l->core);
    bool ours = own->opencode_url && *own->opencode_url;
    if (!pod || !*pod || strcmp(pod, "default") == 0)
        return ours ? own->pod : "default";
    return pod;
}

/* ---------------------------------------------------------------- one connection */

int conn_send(struct conn *c, cJSON *frame)
{
    _cleanup_json_ cJSON *owned = frame;
    _cleanup_free_ char *text = owned ? json_print(owned) : NULL;
    if (!text)
        return -ENOMEM;
    size_t n = strlen(text);
    if (n > LINK_FRAME_MAX)
        return -EFBIG;
    int r = server_ws_send(c->ws, text, n);
    if (r == 0)
        c->sent_ms = clock_mono_ms();
    return r;
}

static bool has_waiter(void *data, const char *pod, const char *id)
{
    return waiters_has(data, pod, id);
}

/* The core hears of the bridge no more. Its commands fail first, as feed.h asks. */
static void conn_detach(struct conn *c, const char *why)
{
    struct way *way = TAKE_PTR(c->way);
    c->state = CONN_CLOSING;
    commands_fail_all(c, -ECONNRESET, why);
    if (!way)
        return;
    core_way_remove(way);
    log_info("bridge %s/%s: %s", c->pod, c->instance, why);
    if (c->protocol == 0) {
        struct feed f = { c->link->core, c->pod, c->instance, "", 0 };
        (void)core_feed_instance_lost(&f, "the plugin went away", has_waiter, c->link);
    }
}

static void conn_close(struct conn *c, uint16_t code, const char *reason)
{
    if (c->state == CONN_CLOSING)
        return;
    conn_detach(c, reason);
    server_ws_close(c->ws, code, reason);
}

void conn_fail(struct conn *c, const char *code, uint16_t close, const char *message)
{
    if (c->state == CONN_CLOSING)
        return;
    cJSON *frame = cJSON_CreateObject();
    json_add_str(frame, "type", "error");
    json_add_str(frame, "code", code);
    json_add_str(frame, "message", message);
    (void)conn_send(c, frame);
    if (close != LINK_CLOSE_STOPPING)
        log_warn("bridge %s/%s: %s: %s", c->pod ? c->pod : "?", c->instance ? c->instance : "?",
                 code, message);
    conn_close(c, close, code);
}

static void conn_free(struct conn *c)
{
    free(c->pod);
    free(c->instance);
    free(c);
}

/* ---------------------------------------------------------------- hello */

struct missing {
    struct conn *c;
    const cJSON *loaded;
    const char *asked[32];
    size_t n;
};

/* Open requests of this pod in a directory that the new process has not loaded: nobody would ever
 * say that they are gone. Loading the directory does. */
static int missing_directory(void *data, const struct request *r)
{
    struct missing *m = data;
    const cJSON *dir;
    if (strcmp(r->pod, m->c->pod) != 0 || r->directory[0] != '/')
        return 0;
    cJSON_ArrayForEach (dir, m->loaded)
        if (cJSON_IsString(dir) && strcmp(dir->valuestring, r->directory) == 0)
            return 0;
    for (size_t i = 0; i < m->n; i++)
        if (strcmp(m->asked[i], r->directory) == 0)
            return 0;
    if (m->n == ARRAY_SIZE(m->asked))
        return 1;
    m->asked[m->n] = strdup(r->directory);
    m->n += m->asked[m->n] != NULL;
    return 0;
}

static void sync_missing(struct conn *c, const cJSON *hello)
{
    struct missing m = { .c = c, .loaded = json_arr(hello, "directories") };
    (void)core_each_request(c->link->core, true, missing_directory, &m);
    for (size_t i = 0; i < m.n; i++) {
        _cleanup_free_ const char *dir = m.asked[i];
        command_sync(c, dir);
    }
}

static void replace_older(struct conn *c)
{
    for (struct conn *o = c->link->conns, *next; o; o = next) {
        next = o->next;
        if (o != c && o->state == CONN_LIVE && strcmp(o->pod, c->pod) == 0 &&
            strcmp(o->instance, c->instance) == 0)
            conn_fail(o, "replaced", LINK_CLOSE_REPLACED, "the same instance connected again");
    }
}

static int conn_name(struct conn *c, const char *pod, const char *instance)
{
    c->pod = strdup(pod);
    c->instance = strdup(instance);
    return c->pod && c->instance ? 0 : -ENOMEM;
}

static int conn_live(struct conn *c, int protocol)
{
    c->protocol = protocol;
    c->state = CONN_LIVE;
    replace_older(c);
    int r = core_way_add(&c->way, c->link->core, WAY_BRIDGE, c->pod, c->instance, &bridge_ops, c);
    if (r == 0)
        log_info("bridge %s/%s: connected, protocol %d", c->pod, c->instance, protocol);
    return r;
}

static int send_welcome(struct conn *c)
{
    cJSON *frame = cJSON_CreateObject();
    json_add_str(frame, "type", "welcome");
    cJSON_AddNumberToObject(frame, "protocol", 1);
    json_add_str(frame, "gateway_version", core_settings(c->link->core)->version);
    cJSON_AddNumberToObject(frame, "resume_after", (double)c->stored);
    return conn_send(c, frame);
}

static void on_hello(struct conn *c, const cJSON *hello)
{
    const char *pod = frame_str(hello, "pod", 256), *instance = frame_str(hello, "instance", 256);
    int64_t last = frame_int(hello, "last_seq");
    if (frame_int(hello, "protocol") != 1) {
        conn_fail(c, "protocol_version", LINK_CLOSE_PROTOCOL, "this gateway speaks protocol 1");
        return;
    }
    _log_about_ struct log_about about = {
        .id = { [LOG_TRACE_ID] = json_str(hello, "prepare_id", NULL), [LOG_POD] = pod },
    };
    log_enter(&about);
    if (!pod || !instance || last < 0) {
        conn_fail(c, "bad_frame", LINK_CLOSE_BAD_FRAME, "hello lacks pod, instance or last_seq");
        return;
    }
    int r = conn_name(c, link_pod(c->link, pod), instance);
    if (r == 0)
        r = store_bridge_seq(core_store(c->link->core), c->pod, c->instance, &c->stored);
    if (r == 0 && c->stored > last)
        c->stored = last;
    c->seen = c->acked = c->stored;
    if (r == 0)
        r = send_welcome(c);
    if (r == 0)
        r = conn_live(c, 1);
    if (r == 0)
        core_way_set_build(c->way, json_str(hello, "prepare_id", ""));
    if (r < 0) {
        log_error("cannot serve bridge %s/%s: %s", pod, instance, strerror(-r));
        conn_close(c, LINK_CLOSE_BROKEN, "the gateway cannot serve it");
        return;
    }
    sync_missing(c, hello);
}

/* A plugin of the first generation: it says no hello and has no numbers. */
static int on_first_generation(struct conn *c)
{
    char instance[64];
    (void)snprintf(instance, sizeof instance, "v0-%s-%llu", c->link->boot,
                   (unsigned long long)++c->link->commands);
    const char *pod = server_ws_header(c->ws, "x-codev-pod");
    int r = conn_name(c, link_pod(c->link, pod), instance);
    return r < 0 ? r : conn_live(c, 0);
}

/* ---------------------------------------------------------------- frames */

static void want_ack(struct conn *c);

static void on_live_frame(struct conn *c, const cJSON *frame, const char *type)
{
    const cJSON *id = cJSON_GetObjectItemCaseSensitive(frame, "request_id");
    if (id && !cJSON_IsString(id)) {
        conn_fail(c, "bad_frame", LINK_CLOSE_BAD_FRAME, "request_id is no text");
        return;
    }
    if (id) {
        command_answer(c, frame, type, id->valuestring);
        return;
    }
    int r = strcmp(type, "hello") == 0 ? -EBADMSG : event_take(c, frame, type);
    if (r == -EBADMSG)
        conn_fail(c, "bad_frame", LINK_CLOSE_BAD_FRAME, type);
    else if (r < 0) {
        log_error("bridge %s/%s: %s could not be stored: %s", c->pod, c->instance, type,
                  strerror(-r));
        conn_close(c, LINK_CLOSE_BROKEN, "not stored");
    } else if (c->protocol == 1) {
        want_ack(c);
    }
}

static void on_frame(struct conn *c, const cJSON *frame)
{
    const char *type = frame_str(frame, "type", 256);
    if (!cJSON_IsObject(frame) || !type) {
        conn_fail(c, "bad_frame", LINK_CLOSE_BAD_FRAME, "a frame is an object with a type");
        return;
    }
    if (c->state == CONN_NEW && strcmp(type, "hello") == 0) {
        on_hello(c, frame);
        return;
    }
    if (c->state == CONN_NEW && on_first_generation(c) < 0) {
        conn_close(c, LINK_CLOSE_BROKEN, "the gateway cannot serve it");
        return;
    }
    on_live_frame(c, frame, type);
}

void link_ws_message(struct link *l, struct server_ws *ws, const char *msg, size_t len, bool binary)
{
    (void)l;
    struct conn *c = server_ws_data(ws);
    _cleanup_json_ cJSON *frame = NULL;
    struct error e = ERROR_INIT;
    if (!c || c->state == CONN_CLOSING)
        return;
    c->heard_ms = clock_mono_ms();
    if (binary)
        conn_fail(c, "bad_frame", LINK_CLOSE_BAD_FRAME, "frames are text");
    else if (json_parse(&frame, msg, len, &e) < 0)
        conn_fail(c, "bad_frame", LINK_CLOSE_BAD_FRAME, e.message);
    else
        on_frame(c, frame);
}

/* ---------------------------------------------------------------- acks and timers */

static void conn_ack(struct conn *c)
{
    if (c->state != CONN_LIVE || c->protocol != 1 || c->seen <= c->acked)
        return;
    if (c->seen > c->stored) {
        int r = store_bridge_seq_put(core_store(c->link->core), c->pod, c->instance, c->seen);
        if (r < 0)
            return; /* no ack: it is sent again */
        c->stored = c->seen;
    }
    cJSON *frame = cJSON_CreateObject();
    json_add_str(frame, "type", "ack");
    cJSON_AddNumberToObject(frame, "seq", (double)c->stored);
    if (conn_send(c, frame) == 0)
        c->acked = c->stored;
}

static void on_ack_timer(uv_timer_t *timer)
{
    struct link *l = timer->data;
    for (struct conn *c = l->conns; c; c = c->next)
        conn_ack(c);
}

static void want_ack(struct conn *c)
{
    if (!uv_is_active((uv_handle_t *)&c->link->ack))
        (void)uv_timer_start(&c->link->ack, on_ack_timer, LINK_ACK_MS, 0);
}

/* Often while somebody waits for an answer, else often enough for the pings. */
static uint64_t tick_ms(const struct link *l)
{
    uint64_t idle = l->options.ping_after_ms / 4 + 1;
    bool waits = l->n_waiters > 0;
    for (const struct conn *c = l->conns; c; c = c->next)
        waits = waits || c->n_commands > 0;
    return waits && idle > LINK_TICK_MS ? LINK_TICK_MS : idle;
}

static void on_tick(uv_timer_t *timer)
{
    struct link *l = timer->data;
    uint64_t now = clock_mono_ms();
    for (struct conn *c = l->conns, *next; c; c = next) {
        next = c->next;
        if (c->state == CONN_CLOSING)
            continue;
        commands_expire(c, now);
        if (now - c->heard_ms >= l->options.close_after_ms &&
            (c->protocol == 1 || c->state == CONN_NEW))
            conn_close(c, 1000, "nothing was heard");
        else if (c->state == CONN_LIVE && c->protocol == 1 &&
                 now - c->sent_ms >= l->options.ping_after_ms)
            command_ping(c);
    }
    waiters_expire(l, now);
    (void)uv_timer_start(timer, on_tick, tick_ms(l), 0);
}

static void on_answers(uv_timer_t *timer)
{
    waiters_answer(timer->data);
}

/* ---------------------------------------------------------------- the server's callbacks */

static bool token_fits(const struct settings *s, const char *authorization)
{
    static const char prefix[] = "Bearer ";
    return authorization && s->bridge_token && *s->bridge_token &&
           strncasecmp(authorization, prefix, strlen(prefix)) == 0 &&
           secret_equal(authorization + strlen(prefix), s->bridge_token);
}

int link_ws_open(struct link *l, struct server_ws *ws)
{
    if (l->stopping)
        return 503;
    if (server_ws_header(ws, "origin"))
        return 403;
    if (!token_fits(core_settings(l->core), server_ws_header(ws, "authorization"))) {
        log_warn("a bridge from %s was refused: wrong token", server_ws_peer(ws));
        return 401;
    }
    if (l->n_conns >= LINK_CONNECTIONS_MAX)
        return 503;
    struct conn *c = calloc(1, sizeof *c);
    if (!c)
        return 503;
    *c = (struct conn){ .link = l, .ws = ws, .next = l->conns };
    c->heard_ms = c->sent_ms = clock_mono_ms();
    l->conns = c;
    l->n_conns++;
    server_ws_set_data(ws, c);
    return 0;
}

void link_ws_close(struct link *l, struct server_ws *ws)
{
    struct conn *c = server_ws_data(ws);
    if (!c)
        return;
    server_ws_set_data(ws, NULL);
    if (c->state != CONN_CLOSING)
        conn_detach(c, "the link was lost");
    for (struct conn **p = &l->conns; *p; p = &(*p)->next)
        if (*p == c) {
            *p = c->next;
            break;
        }
    l->n_conns--;
    conn_free(c);
}

void link_stopping(struct link *l)
{
    l->stopping = true;
    for (struct conn *c = l->conns, *next; c; c = next) {
        next = c->next;
        conn_ack(c);
        conn_fail(c, "stopping", LINK_CLOSE_STOPPING, "the gateway goes down");
    }
    waiters_end(l);
}

/* ---------------------------------------------------------------- life */

static uint64_t or_default(uint64_t value, uint64_t fallback)
{
    return value ? value : fallback;
}

int link_new(struct link **ret, struct core *core, const struct link_options *options,
             struct error *e)
{
    struct link *l = calloc(1, sizeof *l);
    if (!l)
        return error_set_errno(e, -ENOMEM, "cannot make the bridge link");
    l->core = core;
    if (options)
        l->options = *options;
    l->options.ping_after_ms = or_default(l->options.ping_after_ms, 20000);
    l->options.close_after_ms = or_default(l->options.close_after_ms, 60000);
    l->options.command_ms = or_default(l->options.command_ms, 30000);
    l->options.permission_ms = or_default(l->options.permission_ms, 50000);
    char random[SECRET_TEXT_SIZE];
    struct connector connector = {
        .name = "http",
        .data = l,
        .request_changed = waiters_request_changed,
    };
    int r = secret_generate(random);
    if (r == 0)
        r = core_add_connector(core, &connector);
    if (r < 0) {
        free(l);
        return error_set_errno(e, r, "cannot make the bridge link");
    }
    memcpy(l->boot, random, sizeof l->boot - 1);
    uv_timer_t *timers[] = { &l->tick, &l->ack, &l->answers };
    for (size_t i = 0; i < ARRAY_SIZE(timers); i++) {
        (void)uv_timer_init(core_loop(core), timers[i]);
        timers[i]->data = l;
        l->open_handles++;
    }
    (void)uv_timer_start(&l->tick, on_tick, tick_ms(l), 0);
    *ret = l;
    return 0;
}

void waiters_wake(struct link *l)
{
    (void)uv_timer_start(&l->answers, on_answers, 0, 0);
}

static void on_closed(uv_handle_t *handle)
{
    struct link *l = handle->data;
    if (--l->open_handles == 0)
        free(l);
}

void link_free(struct link *l)
{
    if (!l)
        return;
    waiters_end(l);
    while (l->conns) {
        struct conn *c = l->conns;
        l->conns = c->next;
        if (c->state != CONN_CLOSING)
            conn_detach(c, "the gateway goes down");
        server_ws_set_data(c->ws, NULL);
        conn_free(c);
    }
    uv_close((uv_handle_t *)&l->tick, on_closed);
    uv_close((uv_handle_t *)&l->ack, on_closed);
    uv_close((uv_handle_t *)&l->answers, on_closed);
}
