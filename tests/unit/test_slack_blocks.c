/* rooms: bridge/gateway/slack bridge/gateway/slack/render bridge/gateway/slack/wire base/json base/trace base/core */
/* Messages stay within Block Kit's limits whatever the text, and say the right thing in each state
 * of a request. */
#include "bridge/gateway/slack/render/blocks.h"
#include "bridge/gateway/slack/render/permission.h"

#include "base/core/buf.h"
#include "base/core/utf8.h"
#include "tests/unit/run_suite.h"

#include <check.h>
#include <string.h>

/* ---- the limits of facts: a strict reading of what Slack refuses ---- */

static size_t points(const cJSON *text)
{
    ck_assert(cJSON_IsString(text));
    ck_assert(utf8_valid(text->valuestring, strlen(text->valuestring)));
    return utf8_count(text->valuestring, strlen(text->valuestring));
}

static size_t text_of(const cJSON *object, size_t max)
{
    size_t n = points(cJSON_GetObjectItemCaseSensitive(object, "text"));
    ck_assert_uint_ge(n, 1);
    ck_assert_uint_le(n, max);
    return n;
}

static size_t check_button(const cJSON *e)
{
    const cJSON *confirm = json_obj(e, "confirm");
    ck_assert_uint_le(strlen(json_str(e, "value", "")), 2000);
    ck_assert_uint_le(strlen(json_str(e, "action_id", "")), 255);
    if (confirm) {
        (void)text_of(json_obj(confirm, "title"), 100);
        (void)text_of(json_obj(confirm, "text"), 300);
        (void)text_of(json_obj(confirm, "confirm"), 30);
        (void)text_of(json_obj(confirm, "deny"), 30);
    }
    return text_of(json_obj(e, "text"), 75);
}

static size_t check_block(const cJSON *b)
{
    const char *type = json_str(b, "type", "");
    const cJSON *e;
    size_t cost = 125;
    if (strcmp(type, "section") == 0)
        return cost + text_of(json_obj(b, "text"), 3000);
    if (strcmp(type, "markdown") == 0)
        return cost + text_of(b, 12000);
    if (strcmp(type, "input") == 0)
        return cost + text_of(json_obj(b, "label"), 2000);
    ck_assert_int_ge(cJSON_GetArraySize(json_arr(b, "elements")), 1);
    ck_assert_int_le(cJSON_GetArraySize(json_arr(b, "elements")), 10);
    cJSON_ArrayForEach (e, json_arr(b, "elements")) {
        if (strcmp(type, "actions") == 0)
            cost += check_button(e);
        else if (strcmp(type, "context") == 0)
            cost += text_of(e, 3000);
        else if (strcmp(type, "rich_text") == 0)
            cost += text_of(cJSON_GetArrayItem(json_arr(e, "elements"), 0), 1000000);
        else
            ck_abort_msg("a block of type %s", type);
    }
    return cost;
}

static void check_message(const cJSON *m)
{
    const cJSON *b;
    size_t cost = 0;
    (void)text_of(m, 4000);
    ck_assert_int_le(cJSON_GetArraySize(json_arr(m, "blocks")), 50);
    cJSON_ArrayForEach (b, json_arr(m, "blocks")) {
        cost += check_block(b);
    }
    ck_assert_uint_le(cost, 12000);
}

static bool has(const cJSON *m, const char *needle)
{
    _cleanup_free_ char *text = json_print(m);
    return text && strstr(text, needle);
}

/* ---- hostile text of a given length ---- */

static const char *const hostile_units[] = {
    "x",
    "`",
    "```\n",
    "&<>\"",
    "<!channel>",
    "\xf0\x9f\x98\x80",
    "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7",
    "\xd7\xa9\xd7\x9c \xe2\x80\xae",
    "\xff",
    "\x01",
    "\n",
    "e\xcc\x81",
};
static const size_t lengths[] = { 0, 1, 74, 75, 76, 150, 2999, 3000, 3001, 20000 };
#define HOSTILE_ROWS (int)(ARRAY_SIZE(hostile_units) * ARRAY_SIZE(lengths))

static char *hostile(int row)
{
    const char *unit = hostile_units[(size_t)row % ARRAY_SIZE(hostile_units)];
    size_t n = lengths[(size_t)row / ARRAY_SIZE(hostile_units)];
    struct buf b = BUF_INIT;
    for (size_t i = 0; i < n; i++)
        buf_puts(&b, unit);
    buf_puts(&b, "");
    char *text = buf_take(&b);
    return text ? text : strdup("");
}

static char *detail_of(const char *text)
{
    _cleanup_json_ cJSON *j = cJSON_CreateObject();
    cJSON *meta = cJSON_AddObjectToObject(j, "metadata");
    /* Invalid UTF-8 never comes out of a JSON parser. */
    (void)cJSON_AddStringToObject(meta, "command", utf8_valid(text, strlen(text)) ? text : "x");
    cJSON *always = cJSON_AddArrayToObject(j, "always");
    (void)cJSON_AddItemToArray(always,
                               cJSON_CreateString(utf8_valid(text, strlen(text)) ? text : "x"));
    return json_print(j);
}

static struct request request_of(const char *text, const char *detail)
{
    return (struct request){
        .pod = "pod-1",
        .id = "per_1",
        .kind = REQUEST_PERMISSION,
        .session_id = "ses_child",
        .root_session_id = "ses_root",
        .session_title = text,
        .directory = text,
        .permission = "bash",
        .summary = text,
        .detail_json = detail,
        .state = REQUEST_PENDING,
        .outcome = OUTCOME_NONE,
        .reason = text,
        .actor = { "web", "", text },
        .decided_ms = 1700000000000,
    };
}

START_TEST(message__limits_hold)
{
    _cleanup_free_ char *text = hostile(_i), *detail = detail_of(text);
    static const char *const permissions[] = { "bash", "edit", "external_directory", NULL };
    for (size_t p = 0; p < ARRAY_SIZE(permissions); p++)
        for (unsigned state = 0; state < REQUEST_STATE_MAX; state++)
            for (unsigned outcome = 0; outcome < OUTCOME_MAX; outcome++) {
                struct request r = request_of(text, detail);
                r.permission = permissions[p] ? permissions[p] : text;
                r.state = (enum request_state)state;
                r.outcome = (enum request_outcome)outcome;
                r.kind = outcome == OUTCOME_ANSWERED ? REQUEST_QUESTION : REQUEST_PERMISSION;
                _cleanup_json_ cJSON *m = permission_message(&r);
                ck_assert_ptr_nonnull(m);
                check_message(m);
            }
}
END_TEST

START_TEST(modal__limits_hold)
{
    _cleanup_free_ char *text = hostile(_i), *detail = detail_of(text);
    struct request r = request_of(text, detail);
    _cleanup_json_ cJSON *view = permission_reason_modal(&r, "{}");
    const cJSON *b;
    (void)text_of(json_obj(view, "title"), 24);
    (void)text_of(json_obj(view, "submit"), 24);
    (void)text_of(json_obj(view, "close"), 24);
    cJSON_ArrayForEach (b, blocks_of(view)) {
        (void)check_block(b);
    }
}
END_TEST

START_TEST(markdown__limits_hold)
{
    _cleanup_free_ char *text = hostile(_i);
    _cleanup_json_ cJSON *blocks = cJSON_CreateArray();
    (void)blocks_add_markdown(blocks, text);
    (void)check_block(cJSON_GetArrayItem(blocks, 0));
}
END_TEST

static const cJSON *find_block(const cJSON *m, const char *type)
{
    const cJSON *b;
    cJSON_ArrayForEach (b, json_arr(m, "blocks")) {
        if (strcmp(json_str(b, "type", ""), type) == 0)
            return b;
    }
    return NULL;
}

START_TEST(pending__has_four_buttons_and_the_exact_command)
{
    static const char detail[] = "{\"metadata\":{\"command\":\"echo `id` <!channel> && rm -rf /\"},"
                                 "\"always\":[\"echo *\"]}";
    struct request r = request_of("T", detail);
    _cleanup_json_ cJSON *m = permission_message(&r);
    const cJSON *actions = json_arr(find_block(m, "actions"), "elements");
    static const char *const ids[] = { ACTION_ONCE, ACTION_ALWAYS, ACTION_DENY, ACTION_REASON };
    static const char *const styles[] = { "primary", "", "danger", "" };
    ck_assert_int_eq(cJSON_GetArraySize(actions), 4);
    for (int i = 0; i < 4; i++) {
        const cJSON *e = cJSON_GetArrayItem(actions, i);
        ck_assert_str_eq(json_str(e, "action_id", ""), ids[i]);
        ck_assert_str_eq(json_str(e, "style", ""), styles[i]);
        ck_assert_str_eq(json_str(e, "value", ""), "pod-1|per_1");
        ck_assert_int_eq(json_obj(e, "confirm") != NULL, i == 1); /* only the wide grant asks */
    }
    const cJSON *pre = cJSON_GetArrayItem(json_arr(find_block(m, "rich_text"), "elements"), 0);
    ck_assert_str_eq(json_str(pre, "type", ""), "rich_text_preformatted");
    ck_assert_str_eq(json_str(cJSON_GetArrayItem(json_arr(pre, "elements"), 0), "text", ""),
                     "echo `id` <!channel> && rm -rf /");
    ck_assert_str_eq(json_str(m, "text", ""),
                     "Run a command? echo `id` &lt;!channel&gt; &amp;&amp; rm -rf /");
    ck_assert(has(m, "asked by a subagent"));
    ck_assert(has(m, "echo *"));
}
END_TEST

static const struct {
    enum request_state state;
    enum request_outcome outcome;
    struct actor actor;
    const char *reason, *seen;
} outcomes[] = {
    { REQUEST_SETTLED,
      OUTCOME_ONCE,
      { "slack", "U1AB", "alice" },
      "",
      "Allowed once by <@U1AB>, " },
    { REQUEST_SETTLED,
      OUTCOME_ALWAYS,
      { "web", "", "bob" },
      "",
      "Always allowed by bob on the web" },
    { REQUEST_SETTLED,
      OUTCOME_REJECT,
      { "slack", "U1AB", "a" },
      "no <b>",
      "Denied by <@U1AB>: no &lt;b&gt;, " },
    { REQUEST_SETTLED,
      OUTCOME_ONCE,
      { "opencode", "", "opencode" },
      "",
      "Allowed once in OpenCode" },
    { REQUEST_SETTLED, OUTCOME_GONE, { "", "", "" }, "aborted", "No longer waiting: aborted" },
    { REQUEST_SETTLED, OUTCOME_REJECT, { "deadline", "", "" }, "", "Denied by the deadline" },
    { REQUEST_DECIDING, OUTCOME_ONCE, { "slack", "U1AB", "a" }, "", "Allowing once by <@U1AB> " },
    { REQUEST_DECIDING, OUTCOME_REJECT, { "web", "", "<!here>" }, "", "Denying by &lt;!here&gt;" },
    { REQUEST_SETTLED, OUTCOME_ONCE, { "slack", "U1> <!channel", "x<y" }, "", "by x&lt;y" },
};

START_TEST(outcome__is_said_and_buttons_are_gone)
{
    struct request r = request_of("T", "{}");
    r.state = outcomes[_i].state;
    r.outcome = outcomes[_i].outcome;
    r.actor = outcomes[_i].actor;
    r.reason = outcomes[_i].reason;
    _cleanup_json_ cJSON *m = permission_message(&r);
    ck_assert(has(m, outcomes[_i].seen));
    ck_assert_ptr_null(find_block(m, "actions"));
    ck_assert_int_eq(has(m, "hourglass"), r.state == REQUEST_DECIDING);
    ck_assert(r.state != REQUEST_DECIDING || !has(m, "white_check_mark"));
}
END_TEST

START_TEST(detail__missing_or_broken)
{
    static const char *const details[] = { "",
                                           "{",
                                           "[]",
                                           "null",
                                           "{\"metadata\":[]}",
                                           "{\"metadata\":{\"command\":5},\"patterns\":[1,null]}" };
    struct request r = request_of("the summary", details[_i]);
    _cleanup_json_ cJSON *m = permission_message(&r);
    check_message(m);
    ck_assert(has(m, "the summary"));
}
END_TEST

START_TEST(value__comes_back)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    const char *pod, *id;
    permission_value(&b, "pod|with|bars", "per_1");
    ck_assert(permission_value_parse(b.data, &pod, &id));
    ck_assert_str_eq(pod, "pod|with|bars");
    ck_assert_str_eq(id, "per_1");
    char bad[][8] = { "", "x", "|", "|x", "x|" };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        ck_assert(!permission_value_parse(bad[i], &pod, &id));
}
END_TEST

/* Slack refuses a form with an empty group of options. */
START_TEST(choice__too_long_a_value_makes_no_group)
{
    char longest[200];
    memset(longest, 'm', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    struct blocks_option options[] = { { .value = longest, .label = "Long", .group = "first" },
                                       { .value = "short", .label = "Short", .group = "second" } };
    struct blocks_choice c = { .action_id = "model", .options = options, .count = 2 };
    cJSON *e = blocks_choice(&c);
    const cJSON *groups = cJSON_GetObjectItemCaseSensitive(e, "option_groups"), *group;
    ck_assert_int_eq(cJSON_GetArraySize(groups), 1);
    cJSON_ArrayForEach (group, groups)
        ck_assert_int_eq(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(group, "options")), 1);
    cJSON_Delete(e);
    c.count = 1;
    ck_assert_ptr_null(blocks_choice(&c));
}
END_TEST

START_TEST(buttons__too_long_a_value_makes_none)
{
    char value[2100];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    _cleanup_json_ cJSON *blocks = cJSON_CreateArray();
    blocks_add_section(blocks, "");
    const struct blocks_button button = { "a", "A", value, NULL, NULL };
    blocks_add_buttons(blocks, "b", &button, 1);
    ck_assert_int_eq(cJSON_GetArraySize(blocks), 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("slack_blocks");
    TCase *t = tcase_create("blocks");
    tcase_set_timeout(t, 30);
    tcase_add_loop_test(t, message__limits_hold, 0, HOSTILE_ROWS);
    tcase_add_loop_test(t, modal__limits_hold, 0, HOSTILE_ROWS);
    tcase_add_loop_test(t, markdown__limits_hold, 0, HOSTILE_ROWS);
    tcase_add_test(t, pending__has_four_buttons_and_the_exact_command);
    tcase_add_loop_test(t, outcome__is_said_and_buttons_are_gone, 0, (int)ARRAY_SIZE(outcomes));
    tcase_add_loop_test(t, detail__missing_or_broken, 0, 6);
    tcase_add_test(t, value__comes_back);
    tcase_add_test(t, choice__too_long_a_value_makes_no_group);
    tcase_add_test(t, buttons__too_long_a_value_makes_none);
    suite_add_tcase(s, t);
    return run_suite(s);
}
