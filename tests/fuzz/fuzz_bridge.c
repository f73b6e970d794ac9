/* Frames of a bridge plugin. Every room is linked; what is not needed stays out. */
#include <stdarg.h>

#include "base/core/log.h"
#include "bridge/gateway/core/run.h"
#include "bridge/gateway/link/private.h"
#include "bridge/gateway/store/store.h"
#include "tests/fuzz/fuzz.h"

/* A server of straw: one WebSocket, no sockets. */
static struct conn *user;
static uint16_t closed;

void log_line(enum log_level level, const char *fmt, ...)
{
    char text[4096];
    va_list ap;
    va_start(ap, fmt);
    REQUIRE(level < LOG_LEVEL_MAX && vsnprintf(text, sizeof text, fmt, ap) > 0);
    va_end(ap);
}

void server_ws_set_data(struct server_ws *ws, void *data)
{
    (void)ws;
    user = data;
}

void *server_ws_data(struct server_ws *ws)
{
    (void)ws;
    return user;
}

const char *server_ws_header(struct server_ws *ws, const char *name)
{
    (void)ws;
    return strcmp(name, "authorization") == 0 ? "Bearer t" : NULL;
}

const char *server_ws_peer(struct server_ws *ws)
{
    (void)ws;
    return "127.0.0.1";
}

/* What the plugin gets: frames, none after the end, and no number that it never sent. */
int server_ws_send(struct server_ws *ws, const char *text, size_t len)
{
    _cleanup_json_ cJSON *j = NULL;
    (void)ws;
    REQUIRE(!closed && len <= LINK_FRAME_MAX);
    REQUIRE(json_parse(&j, text, len, NULL) == 0 && *json_str(j, "type", ""));
    if (strcmp(json_str(j, "type", ""), "ack") == 0)
        REQUIRE(user && json_int(j, "seq", -1) >= 0 && json_int(j, "seq", -1) <= user->seen);
    return 0;
}

void server_ws_close(struct server_ws *ws, uint16_t code, const char *reason)
{
    (void)ws;
    REQUIRE(!closed && reason);
    REQUIRE(code == 1000 || code == LINK_CLOSE_STOPPING || code == LINK_CLOSE_BROKEN ||
            code == LINK_CLOSE_BAD_FRAME || code == LINK_CLOSE_PROTOCOL ||
            code == LINK_CLOSE_REPLACED);
    closed = code;
}

/* HTTP calls do not come here. */
enum server_method server_request_method(const struct server_request *r)
{
    (void)r;
    abort();
}
const char *server_request_body(const struct server_request *r, size_t *ret_len)
{
    (void)r;
    (void)ret_len;
    abort();
}
const char *server_request_header(struct server_request *r, const char *name)
{
    (void)r;
    (void)name;
    abort();
}
void server_request_on_gone(struct server_request *r, void (*fn)(void *data), void *data)
{
    (void)r;
    (void)fn;
    (void)data;
    abort();
}
void server_reply(struct server_request *r, int status, const char *content_type,
                  const char *const *headers, const void *body, size_t len)
{
    (void)r;
    (void)status;
    (void)content_type;
    (void)headers;
    (void)body;
    (void)len;
    abort();
}

static int check_request(void *data, const struct request *r)
{
    _cleanup_json_ cJSON *j = NULL;
    (void)data;
    REQUIRE(*r->pod && *r->id);
    REQUIRE(json_parse(&j, r->detail_json, strlen(r->detail_json), NULL) == 0);
    REQUIRE(cJSON_IsObject(j));
    return 0;
}

static void feed(struct link *l, struct server_ws *ws, struct fuzz *in)
{
    for (int i = 0; in->left && i < 64; i++) {
        size_t len = 0;
        _cleanup_free_ char *line = fuzz_line(in, &len);
        link_ws_message(l, ws, line, len, false);
        REQUIRE((user->state == CONN_CLOSING) == (closed != 0));
        REQUIRE(user->acked <= user->stored && user->stored <= user->seen);
    }
}

/* Lines, each a frame, from one plugin, into a gateway with its store in memory. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct settings settings = {
        .pod = "own",
        .version = "t",
        .opencode_url = "",
        .opencode_directory = "/w",
        .bridge_token = "t",
        .token = "a",
    };
    uv_loop_t loop;
    struct store *store = NULL;
    struct core *core = NULL;
    struct link *l = NULL;
    char straw;
    struct server_ws *ws = (struct server_ws *)(void *)&straw; /* never looked into */
    struct fuzz in = fuzz_of(data, size);
    if (size > FUZZ_INPUT_MAX)
        return 0;
    closed = 0;
    REQUIRE(uv_loop_init(&loop) == 0 && store_open(&store, NULL, NULL, NULL) == 0);
    REQUIRE(core_new(&core, &loop, &settings, store, NULL, 0) == 0);
    REQUIRE(link_new(&l, core, NULL, NULL) == 0 && core_start(core) == 0);
    REQUIRE(link_ws_open(l, ws) == 0);
    feed(l, ws, &in);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    REQUIRE(core_each_request(core, false, check_request, NULL) >= 0);
    if (size % 2)
        link_stopping(l);
    link_ws_close(l, ws);
    REQUIRE(!user);
    link_free(l);
    core_free(core);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    store_close(store);
    REQUIRE(uv_loop_close(&loop) == 0);
    return 0;
}
