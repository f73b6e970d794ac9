/* rooms: bridge/gateway/web base/json base/core */
/* Bodies of requests, friendly and hostile. */
#include "bridge/gateway/web/body.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/buf.h"
#include "tests/unit/run_suite.h"

enum kind { START, MESSAGE, LOGIN, DECISION };

/* Reads a body as its handler does: 0, or the HTTP status. */
static int read_body(enum kind kind, const char *text, size_t len, struct body_error *e)
{
    _cleanup_json_ cJSON *j = NULL;
    struct body_start start;
    struct body_message message;
    struct body_login login;
    struct body_decision decision;
    *e = (struct body_error){ 0 };
    if (body_parse(&j, text, len, e) < 0)
        return e->status;
    int r = -1;
    switch (kind) {
    case START:
        r = body_read_start(j, &start, e);
        break;
    case MESSAGE:
        r = body_read_message(j, &message, e);
        break;
    case LOGIN:
        r = body_read_login(j, &login, e);
        break;
    case DECISION:
        r = body_read_decision(j, &decision, e);
        break;
    }
    return r < 0 ? e->status : 0;
}

static const struct {
    enum kind kind;
    const char *text;
    int status;
} bodies[] = {
    { START, "{\"prompt\":\"x\"}", 0 },
    { START, " {\"prompt\":\"x\",\"title\":null,\"directory\":\"\"} \n", 0 },
    { START, "{\"prompt\":\"x\",\"directory\":\"/a b\",\"model\":\"p/m/n\",\"agent\":\"build\"}",
      0 },
    { START, "{\"prompt\":\"\\ud83d\\ude00\"}", 0 },
    { START, "", 400 },
    { START, "{", 400 },
    { START, "{\"prompt\":\"x\"}{}", 400 },
    { START, "{\"prompt\":\"x\"", 400 },
    { START, "{\"prompt\":\"\xff\"}", 400 },
    { START, "{\"prompt\":\"\xed\xa0\x80\"}", 400 },
    { START, "[]", 422 },
    { START, "\"prompt\"", 422 },
    { START, "null", 422 },
    { START, "{}", 422 },
    { START, "{\"prompt\":null}", 422 },
    { START, "{\"prompt\":\" \\n\\t\"}", 422 },
    { START, "{\"prompt\":1}", 422 },
    { START, "{\"prompt\":[\"x\"]}", 422 },
    { START, "{\"prompt\":\"x\",\"prompt\":\"y\"}", 422 },
    { START, "{\"prompt\":\"x\",\"shell\":\"y\"}", 422 },
    { START, "{\"prompt\":\"x\",\"\":\"y\"}", 422 },
    { START, "{\"prompt\":\"a\\u0000b\"}", 422 },
    { START, "{\"prompt\":\"a\\\\u0000b\"}", 0 }, /* a backslash, then letters */
    { START, "{\"prompt\":\"x\",\"directory\":\"a/b\"}", 422 },
    { START, "{\"prompt\":\"x\",\"directory\":\"/a\\nb\"}", 422 },
    { START, "{\"prompt\":\"x\",\"title\":\"a\\nb\"}", 422 },
    { START, "{\"prompt\":\"x\",\"model\":\"m\"}", 422 },
    { START, "{\"prompt\":\"x\",\"model\":\"/m\"}", 422 },
    { START, "{\"prompt\":\"x\",\"model\":\"p/\"}", 422 },
    { MESSAGE, "{\"text\":\"x\\ny\"}", 0 },
    { MESSAGE, "{\"text\":\"\"}", 422 },
    { MESSAGE, "{\"prompt\":\"x\"}", 422 },
    { LOGIN, "{\"token\":\"x\",\"name\":\"Ann\"}", 0 },
    { LOGIN, "{\"token\":\"x\",\"name\":\"A\\u202enn\"}", 0 },
    { LOGIN, "{\"token\":\"x\",\"name\":\"A\\u0007nn\"}", 422 },
    { LOGIN, "{\"name\":\"Ann\"}", 422 },
    { LOGIN, "{\"token\":true}", 422 },
    { DECISION, "{\"decision\":\"once\"}", 0 },
    { DECISION, "{\"decision\":\"always\",\"reason\":\"\"}", 0 },
    { DECISION, "{\"decision\":\"reject\",\"reason\":\"no\"}", 0 },
    { DECISION, "{\"decision\":\"answer\",\"answers\":[[\"a\"],[]]}", 0 },
    { DECISION, "{\"decision\":\"allow\"}", 422 },
    { DECISION, "{\"decision\":\"\"}", 422 },
    { DECISION, "{\"decision\":\"ONCE\"}", 422 },
    { DECISION, "{\"decision\":\"once\",\"reason\":\"why\"}", 422 },
    { DECISION, "{\"decision\":\"reject\",\"decision\":\"once\"}", 422 },
    { DECISION, "{\"decision\":\"answer\"}", 422 },
    { DECISION, "{\"decision\":\"once\",\"answers\":[]}", 422 },
    { DECISION, "{\"decision\":\"answer\",\"answers\":\"a\"}", 422 },
    { DECISION, "{\"decision\":\"answer\",\"answers\":[\"a\"]}", 422 },
    { DECISION, "{\"decision\":\"answer\",\"answers\":[[1]]}", 422 },
    { DECISION, "{\"decision\":\"answer\",\"answers\":{\"0\":[\"a\"]}}", 422 },
};

START_TEST(bodies_are_judged)
{
    struct body_error e;
    int status = read_body(bodies[_i].kind, bodies[_i].text, strlen(bodies[_i].text), &e);
    ck_assert_msg(status == bodies[_i].status, "%s: %d (%s)", bodies[_i].text, status, e.e.message);
    if (status) {
        ck_assert_ptr_nonnull(e.code);
        ck_assert_str_ne(e.e.message, "");
    }
}
END_TEST

/* {"prompt":"…"} of `n` characters of `unit`. */
static char *long_prompt(const char *unit, size_t n, size_t *len)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    buf_puts(&b, "{\"prompt\":\"");
    for (size_t i = 0; i < n; i++)
        buf_puts(&b, unit);
    buf_puts(&b, "\"}");
    *len = b.len;
    return buf_take(&b);
}

static const struct {
    const char *unit;
    size_t n;
    int status;
} sizes[] = {
    { "x", PROMPT_MAX, 0 },
    { "x", PROMPT_MAX + 1, 422 },
    { "\xf0\x9f\x98\x80", PROMPT_MAX, 0 }, /* four bytes each: characters are counted */
    { "\xf0\x9f\x98\x80", PROMPT_MAX + 1, 422 },
    { "x", BODY_MAX, 413 },
};

START_TEST(a_prompt_is_bounded_in_characters)
{
    struct body_error e;
    size_t len;
    _cleanup_free_ char *text = long_prompt(sizes[_i].unit, sizes[_i].n, &len);
    ck_assert_int_eq(read_body(START, text, len, &e), sizes[_i].status);
}
END_TEST

START_TEST(nesting_and_lists_are_bounded)
{
    struct body_error e;
    char deep[4001];
    memset(deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    ck_assert_int_eq(read_body(DECISION, deep, strlen(deep), &e), 400);
    _cleanup_buf_ struct buf b = BUF_INIT;
    buf_puts(&b, "{\"decision\":\"answer\",\"answers\":[[]");
    for (int i = 1; i < ANSWERS_MAX; i++)
        buf_puts(&b, ",[]");
    size_t fits = b.len;
    buf_puts(&b, "]}");
    ck_assert_int_eq(read_body(DECISION, b.data, b.len, &e), 0);
    b.len = fits;
    buf_puts(&b, ",[]]}");
    ck_assert_int_eq(read_body(DECISION, b.data, b.len, &e), 422);
}
END_TEST

START_TEST(a_nul_byte_is_no_json)
{
    static const char text[] = "{\"prompt\":\"a\0b\"}";
    struct body_error e;
    ck_assert_int_eq(read_body(START, text, sizeof text - 1, &e), 400);
}
END_TEST

START_TEST(what_was_given_is_read)
{
    static const char text[] = "{\"reason\":\"no\",\"decision\":\"reject\"}";
    _cleanup_json_ cJSON *j = NULL;
    struct body_error e = { 0 };
    struct body_decision d;
    ck_assert_int_eq(body_parse(&j, text, sizeof text - 1, &e), 0);
    ck_assert_int_eq(body_read_decision(j, &d, &e), 0);
    ck_assert_str_eq(d.decision, "reject");
    ck_assert_str_eq(d.reason, "no");
    ck_assert_ptr_null(d.answers);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("web_body");
    TCase *t = tcase_create("all");
    tcase_add_loop_test(t, bodies_are_judged, 0, ARRAY_SIZE(bodies));
    tcase_add_loop_test(t, a_prompt_is_bounded_in_characters, 0, ARRAY_SIZE(sizes));
    tcase_add_test(t, nesting_and_lists_are_bounded);
    tcase_add_test(t, a_nul_byte_is_no_json);
    tcase_add_test(t, what_was_given_is_read);
    suite_add_tcase(s, t);
    return run_suite(s);
}
