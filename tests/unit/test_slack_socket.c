/* rooms: bridge/gateway/slack bridge/gateway/slack/render bridge/gateway/slack/wire base/json base/trace base/core */
/* Socket Mode: frames read and answered, and the table of the connection's life. */
#include "bridge/gateway/slack/wire/backoff.h"
#include "bridge/gateway/slack/wire/envelope.h"
#include "bridge/gateway/slack/wire/sock_table.h"

#include "base/core/buf.h"
#include "tests/unit/run_suite.h"

#include <check.h>
#include <string.h>

static const struct {
    const char *text;
    enum frame_kind kind;
    const char *id;
} frames[] = {
    { "{\"type\":\"hello\",\"num_connections\":2,\"debug_info\":{\"approximate_connection_time\":"
      "18060}}",
      FRAME_HELLO, "" },
    { "{\"type\":\"disconnect\",\"reason\":\"warning\"}", FRAME_DISCONNECT, "" },
    { "{\"envelope_id\":\"e-1\",\"type\":\"events_api\",\"payload\":{}}", FRAME_EVENTS, "e-1" },
    { "{\"envelope_id\":\"e-1\",\"type\":\"slash_commands\"}", FRAME_SLASH, "e-1" },
    { "{\"envelope_id\":\"e-1\",\"type\":\"interactive\",\"payload\":[]}", FRAME_INTERACTIVE,
      "e-1" },
    { "{\"envelope_id\":\"e-1\",\"type\":\"of_tomorrow\"}", FRAME_UNKNOWN, "e-1" },
    { "{\"envelope_id\":7,\"type\":\"events_api\"}", FRAME_EVENTS, "" },
    { "{\"envelope_id\":\"e\\\"1\",\"type\":\"events_api\"}", FRAME_EVENTS, "" },
    /* Broken, but with an id: acknowledged, else Slack sends it again. */
    { "{\"envelope_id\":\"e-1\",\"type\":\"events_api\",\"payload\":{", FRAME_UNKNOWN, "e-1" },
    { "{\"envelope_id\" : \"e-1\" \xff", FRAME_UNKNOWN, "e-1" },
    { "{\"envelope_id\":\"", FRAME_UNKNOWN, "" },
    { "{\"envelope_id\":", FRAME_UNKNOWN, "" },
    { "{\"envelope_id\"", FRAME_UNKNOWN, "" },
    { "{\"envelope_id\":\"\"", FRAME_UNKNOWN, "" },
    { "", FRAME_UNKNOWN, "" },
    { "[]", FRAME_UNKNOWN, "" },
    { "null", FRAME_UNKNOWN, "" },
    { "\"hello\"", FRAME_UNKNOWN, "" },
    { "{\"type\":{\"type\":\"hello\"}}", FRAME_UNKNOWN, "" },
};

START_TEST(frame_parse__rows)
{
    _cleanup_frame_ struct frame f;
    frame_parse(&f, frames[_i].text, strlen(frames[_i].text));
    ck_assert_uint_eq(f.kind, frames[_i].kind);
    ck_assert_str_eq(f.envelope_id, frames[_i].id);
}
END_TEST

/* Cut anywhere, and with each byte turned into another: nothing but an answer. */
START_TEST(frame_parse__any_damage)
{
    static const char whole[] =
        "{\"envelope_id\":\"0b5d-1\",\"payload\":{\"type\":\"block_actions\","
        "\"user\":{\"id\":\"U1\"},\"actions\":[{\"value\":\"a\\u00e9\"}]},"
        "\"type\":\"interactive\",\"accepts_response_payload\":false}";
    static const unsigned char turned[] = { 0, '"', '\\', '{', '}', 0x80, 0xff };
    for (size_t n = 0; n < sizeof whole; n++) {
        _cleanup_frame_ struct frame cut;
        frame_parse(&cut, whole, n);
        for (size_t k = 0; k < sizeof turned && n < sizeof whole - 1; k++) {
            char copy[sizeof whole];
            memcpy(copy, whole, sizeof whole);
            copy[n] = (char)turned[k];
            _cleanup_frame_ struct frame f;
            frame_parse(&f, copy, sizeof whole - 1);
            ck_assert_uint_lt(f.kind, FRAME_KIND_MAX);
        }
    }
}
END_TEST

START_TEST(frame_parse__hello_and_long_ids)
{
    _cleanup_frame_ struct frame f, g, h;
    frame_parse(&f, frames[0].text, strlen(frames[0].text));
    ck_assert_int_eq(f.connections, 2);
    ck_assert_int_eq(f.lifetime_s, 18060);
    static const char absurd[] = "{\"type\":\"hello\",\"num_connections\":1e300,\"debug_info\":{"
                                 "\"approximate_connection_time\":-5}}";
    frame_parse(&g, absurd, sizeof absurd - 1);
    ck_assert_int_eq(g.connections, 0);
    ck_assert_int_eq(g.lifetime_s, 0);
    _cleanup_buf_ struct buf b = BUF_INIT;
    buf_puts(&b, "{\"type\":\"events_api\",\"envelope_id\":\"");
    for (int i = 0; i < 1000; i++)
        buf_putc(&b, 'x');
    buf_puts(&b, "\"}");
    frame_parse(&h, buf_str(&b), b.len);
    ck_assert_str_eq(h.envelope_id, "");
}
END_TEST

START_TEST(ack__with_and_without_payload)
{
    _cleanup_free_ char *bare = envelope_ack_text("e-1", NULL);
    ck_assert_str_eq(bare, "{\"envelope_id\":\"e-1\"}");
    _cleanup_json_ cJSON *payload = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(payload, "text", "hi");
    _cleanup_free_ char *full = envelope_ack_text("e-1", payload);
    ck_assert_str_eq(full, "{\"envelope_id\":\"e-1\",\"payload\":{\"text\":\"hi\"}}");
}
END_TEST

START_TEST(disconnect__reasons)
{
    ck_assert_uint_eq(disconnect_kind_of("warning"), DISCONNECT_REFRESH);
    ck_assert_uint_eq(disconnect_kind_of("refresh_requested"), DISCONNECT_REFRESH);
    ck_assert_uint_eq(disconnect_kind_of("of_tomorrow"), DISCONNECT_REFRESH);
    ck_assert_uint_eq(disconnect_kind_of(""), DISCONNECT_REFRESH);
    ck_assert_uint_eq(disconnect_kind_of("link_disabled"), DISCONNECT_DISABLED);
    ck_assert_uint_eq(disconnect_kind_of("too_many_websockets"), DISCONNECT_TOO_MANY);
}
END_TEST

/* ---- the table, walked as it happens ---- */

#define STEP(event, state, action)                                                                 \
    {                                                                                              \
        SOCK_##event, SOCK_##state, SOCK_DO_##action                                               \
    }
static const struct walk {
    const char *name;
    struct step {
        enum sock_event event;
        enum sock_state to;
        enum sock_action action;
    } steps[12];
    int count;
} walks[] = {
    { "start",
      { STEP(TIMER, ASKING, ASK), STEP(URL, JOINING, JOIN), STEP(HELLO, UP, PROMOTE) },
      3 },
    { "refresh: the next is there before the current goes",
      { STEP(TIMER, ASKING, ASK), STEP(URL, JOINING, JOIN), STEP(HELLO, UP, PROMOTE),
        STEP(REFRESH, UP_ASKING, ASK), STEP(REFRESH, UP_ASKING, NOTHING),
        STEP(URL, UP_JOINING, JOIN), STEP(REFRESH, UP_JOINING, NOTHING), STEP(HELLO, UP, PROMOTE) },
      8 },
    { "the current goes while the next is asked for",
      { STEP(TIMER, ASKING, ASK), STEP(URL, JOINING, JOIN), STEP(HELLO, UP, PROMOTE),
        STEP(REFRESH, UP_ASKING, ASK), STEP(LOST, ASKING, NOTHING), STEP(URL, JOINING, JOIN),
        STEP(HELLO, UP, PROMOTE) },
      7 },
    { "the current goes while the next joins",
      { STEP(TIMER, ASKING, ASK), STEP(URL, JOINING, JOIN), STEP(HELLO, UP, PROMOTE),
        STEP(REFRESH, UP_ASKING, ASK), STEP(URL, UP_JOINING, JOIN), STEP(LOST, JOINING, NOTHING),
        STEP(HELLO, UP, PROMOTE) },
      7 },
    { "a refresh that fails first",
      { STEP(TIMER, ASKING, ASK), STEP(URL, JOINING, JOIN), STEP(HELLO, UP, PROMOTE),
        STEP(REFRESH, UP_ASKING, ASK), STEP(URL_FAILED, UP_WAITING, RETRY),
        STEP(TIMER, UP_ASKING, ASK), STEP(URL, UP_JOINING, JOIN),
        STEP(NEXT_LOST, UP_WAITING, RETRY), STEP(LOST, DOWN, NOTHING), STEP(TIMER, ASKING, ASK) },
      10 },
    { "lost and found",
      { STEP(TIMER, ASKING, ASK), STEP(URL_FAILED, DOWN, RETRY), STEP(TIMER, ASKING, ASK),
        STEP(URL, JOINING, JOIN), STEP(NEXT_LOST, DOWN, RETRY), STEP(TIMER, ASKING, ASK),
        STEP(URL, JOINING, JOIN), STEP(HELLO, UP, PROMOTE), STEP(LOST, DOWN, RETRY) },
      9 },
    { "switched off",
      { STEP(TIMER, ASKING, ASK), STEP(URL, JOINING, JOIN), STEP(HELLO, UP, PROMOTE),
        STEP(DISABLED, DOWN, REST), STEP(LOST, DOWN, NOTHING), STEP(TIMER, ASKING, ASK) },
      6 },
    { "too many",
      { STEP(TIMER, ASKING, ASK), STEP(URL, JOINING, JOIN), STEP(TOO_MANY, DOWN, REST),
        STEP(NEXT_LOST, DOWN, NOTHING) },
      4 },
};

START_TEST(table__walks)
{
    const struct walk *w = &walks[_i];
    enum sock_state state = SOCK_DOWN;
    for (int i = 0; i < w->count; i++) {
        struct sock_move m = sock_table_move(state, w->steps[i].event);
        ck_assert_msg(m.to == w->steps[i].to && m.action == w->steps[i].action,
                      "%s, step %d: in %s", w->name, i, sock_state_name(state));
        state = m.to;
    }
}
END_TEST

START_TEST(table__stop_ends_all_and_stays)
{
    for (unsigned s = 0; s < SOCK_STATE_MAX; s++) {
        struct sock_move m = sock_table_move((enum sock_state)s, SOCK_STOP);
        ck_assert_uint_eq(m.to, SOCK_STOPPED);
        ck_assert(s == SOCK_STOPPED || m.action == SOCK_DO_STOP);
    }
    for (unsigned e = 0; e < SOCK_EVENT_MAX; e++) {
        struct sock_move m = sock_table_move(SOCK_STOPPED, (enum sock_event)e);
        ck_assert_uint_eq(m.to, SOCK_STOPPED);
        ck_assert_uint_eq(m.action, SOCK_DO_NOTHING);
    }
}
END_TEST

/* Wherever it is, it comes up again when all goes well from then on. */
START_TEST(table__always_comes_up_again)
{
    for (unsigned s = 0; s < SOCK_STOPPED; s++) {
        enum sock_state state = (enum sock_state)s;
        static const enum sock_event well[] = { SOCK_TIMER, SOCK_URL, SOCK_HELLO };
        for (int round = 0; round < 3; round++)
            for (size_t i = 0; i < ARRAY_SIZE(well); i++)
                state = sock_table_move(state, well[i]).to;
        ck_assert_uint_eq(state, SOCK_UP);
    }
}
END_TEST

/* ---------------------------------------------------------------- ten hours */

/* A Slack in virtual time: it asks for a refresh about once an hour and closes ten seconds later,
 * drops a connection now and then, refuses an address (429), says no hello. */
struct world {
    enum sock_state state;
    uint64_t now, seed, at[SOCK_EVENT_MAX]; /* when each event comes; 0: not under way */
    bool current, next;
    uint64_t down_since, down, refreshes, drops;
    bool closes; /* the one that is up is to be replaced: its end is no accident */
};

static uint64_t chance(struct world *w, uint64_t n)
{
    w->seed = w->seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (w->seed >> 33) % n;
}

static void come(struct world *w, enum sock_event e, uint64_t from, uint64_t to)
{
    w->at[e] = w->now + from + chance(w, to - from);
}

static void act(struct world *w, enum sock_action action)
{
    switch (action) {
    case SOCK_DO_ASK:
        come(w, chance(w, 5) ? SOCK_URL : SOCK_URL_FAILED, 50, 900);
        break;
    case SOCK_DO_JOIN:
        ck_assert_msg(!w->next, "one next connection at a time");
        w->next = true;
        come(w, chance(w, 8) ? SOCK_HELLO : SOCK_NEXT_LOST, 100, 1500);
        break;
    case SOCK_DO_PROMOTE:
        ck_assert(w->next);
        w->current = true;
        w->next = w->closes = false;
        come(w, SOCK_REFRESH, 600000, 7200000);
        come(w, SOCK_LOST, 60000, 14400000);
        break;
    case SOCK_DO_RETRY:
        come(w, SOCK_TIMER, 1, 8000);
        break;
    case SOCK_DO_REST:
        w->current = w->next = false;
        come(w, SOCK_TIMER, 120000, 180000);
        break;
    case SOCK_DO_NOTHING:
    case SOCK_DO_STOP:
        break;
    }
}

static void count_gap(struct world *w, enum sock_event e)
{
    if (w->current && w->down_since) {
        ck_assert_msg(w->now - w->down_since < 240000, "up again soon");
        w->down += w->now - w->down_since;
        w->down_since = 0;
    } else if (!w->current && !w->down_since) {
        ck_assert_msg(e != SOCK_REFRESH && e != SOCK_HELLO && e != SOCK_URL,
                      "no gap by what is done on purpose");
        w->down_since = w->now;
    }
}

static void happen(struct world *w, enum sock_event e)
{
    w->at[e] = 0;
    if (e == SOCK_LOST) {
        w->drops += !w->closes;
        w->current = false;
    } else if (e == SOCK_NEXT_LOST) {
        w->next = false;
    } else if (e == SOCK_REFRESH && w->current) {
        w->refreshes++;
        w->closes = true;
        w->at[SOCK_LOST] = w->now + 30000;
    }
    struct sock_move m = sock_table_move(w->state, e);
    w->state = m.to;
    act(w, m.action);
    count_gap(w, e);
}

START_TEST(table__ten_hours)
{
    struct world w = { .seed = (uint64_t)_i + 1, .now = 1 };
    w.at[SOCK_TIMER] = 1;
    w.down_since = 1;
    while (w.now < 36000000) {
        enum sock_event e = SOCK_EVENT_MAX;
        for (unsigned k = 0; k < SOCK_EVENT_MAX; k++)
            if (w.at[k] && (e == SOCK_EVENT_MAX || w.at[k] < w.at[e]))
                e = (enum sock_event)k;
        ck_assert_msg(e != SOCK_EVENT_MAX, "it never waits for nothing: %s",
                      sock_state_name(w.state));
        w.now = w.at[e];
        happen(&w, e);
    }
    ck_assert_uint_ge(w.refreshes, 2);
    /* Only accidents leave gaps, of some seconds each. */
    ck_assert_uint_le(w.down, (w.drops + 1) * 60000);
}
END_TEST

/* ---------------------------------------------------------------- how long it waits */

static uint64_t at_most(struct backoff *b, uint64_t now_ms, bool up, uint64_t told_ms)
{
    uint64_t jitter, least = backoff_wait(b, now_ms, up, told_ms, &jitter);
    ck_assert_uint_eq(least, told_ms);
    return least + jitter;
}

START_TEST(backoff__doubles_up_to_a_ceiling)
{
    static const uint64_t most[] = { 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000 };
    struct backoff b = { 0 };
    for (size_t i = 0; i < ARRAY_SIZE(most); i++)
        ck_assert_uint_eq(at_most(&b, 1 + i, false, 0), most[i]);
    backoff_up(&b, 100, false);
    ck_assert_uint_eq(at_most(&b, 100 + BACKOFF_STABLE_MS - 1, false, 0), 4000); /* too short */
    ck_assert_uint_eq(at_most(&b, 15000, false, 0), 8000);
    backoff_up(&b, 20000, false);
    ck_assert_uint_eq(at_most(&b, 20000 + BACKOFF_STABLE_MS, false, 0), 500);
}
END_TEST

START_TEST(backoff__a_refresh_is_no_end)
{
    struct backoff b = { .failures = 6 };
    backoff_up(&b, 1000, false);
    for (uint64_t t = 2000; t <= 10000; t += 1000)
        backoff_up(&b, t, true);
    ck_assert_uint_eq(b.failures, 3);
    ck_assert_uint_eq(at_most(&b, 11001, false, 0), 500);
}
END_TEST

/* While the old one is there: each failure waits longer; its end is another matter. */
START_TEST(backoff__attempts_for_the_next)
{
    struct backoff b = { 0 };
    backoff_up(&b, 1, false);
    ck_assert_uint_eq(at_most(&b, 100000, true, 0), 500);
    ck_assert_uint_eq(at_most(&b, 101000, true, 1000), 1500);
    ck_assert_uint_eq(at_most(&b, 102000, true, 0), 1000);
    ck_assert_uint_eq(at_most(&b, 103000, true, 0), 2000);
    struct backoff lost = b;
    ck_assert_uint_eq(at_most(&lost, 104000, false, 0), 500);
    ck_assert_uint_eq(at_most(&lost, 104500, false, 0), 1000);
    backoff_up(&b, 105000, true);
    ck_assert_uint_eq(at_most(&b, 106000, true, 0), 500);
}
END_TEST

START_TEST(backoff__what_it_was_told_is_no_failure)
{
    struct backoff b = { 0 };
    for (uint64_t t = 1; t < 20; t++)
        ck_assert_uint_eq(at_most(&b, t, false, 1000), 1500);
    ck_assert_uint_eq(at_most(&b, 20, false, 0), 500);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("slack_socket");
    TCase *t = tcase_create("socket");
    tcase_add_loop_test(t, frame_parse__rows, 0, (int)ARRAY_SIZE(frames));
    tcase_add_test(t, frame_parse__any_damage);
    tcase_add_test(t, frame_parse__hello_and_long_ids);
    tcase_add_test(t, ack__with_and_without_payload);
    tcase_add_test(t, disconnect__reasons);
    tcase_add_loop_test(t, table__walks, 0, (int)ARRAY_SIZE(walks));
    tcase_add_test(t, table__stop_ends_all_and_stays);
    tcase_add_test(t, table__always_comes_up_again);
    tcase_add_loop_test(t, table__ten_hours, 0, 200);
    tcase_add_test(t, backoff__doubles_up_to_a_ceiling);
    tcase_add_test(t, backoff__a_refresh_is_no_end);
    tcase_add_test(t, backoff__attempts_for_the_next);
    tcase_add_test(t, backoff__what_it_was_told_is_no_failure);
    suite_add_tcase(s, t);
    return run_suite(s);
}
