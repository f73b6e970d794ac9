/* rooms: bridge/gateway/slack bridge/gateway/slack/render bridge/gateway/slack/wire base/json base/trace base/core */
/* A question of the agent within Block Kit's limits whatever the text, and what people pick as the
 * answer that OpenCode gets. */
#include "bridge/gateway/slack/render/blocks.h"
#include "bridge/gateway/slack/render/permission.h"
#include "bridge/gateway/slack/render/question.h"
#include "bridge/gateway/slack/render/start_form.h"

#include "base/core/buf.h"
#include "base/core/utf8.h"
#include "tests/unit/run_suite.h"

#include <check.h>
#include <string.h>

/* ---- the limits: a strict reading of what Slack refuses ---- */

static size_t text_of(const cJSON *object, size_t max)
{
    const char *text = json_str(object, "text", NULL);
    ck_assert_ptr_nonnull(text);
    ck_assert(utf8_valid(text, strlen(text)));
    size_t n = utf8_count(text, strlen(text));
    ck_assert_uint_ge(n, 1);
    ck_assert_uint_le(n, max);
    return n;
}

static size_t check_option(const cJSON *o)
{
    size_t cost = text_of(json_obj(o, "text"), 75);
    ck_assert_uint_ge(strlen(json_str(o, "value", "")), 1);
    ck_assert_uint_le(strlen(json_str(o, "value", "")), 75);
    if (json_obj(o, "description"))
        cost += text_of(json_obj(o, "description"), 75);
    return cost;
}

/* Each chosen one must be one of the options, to the letter. */
static void check_initial(const cJSON *options, const cJSON *initial)
{
    const cJSON *o;
    bool found = false;
    cJSON_ArrayForEach (o, options)
        found = found || cJSON_Compare(o, initial, true);
    ck_assert(found);
}

static size_t check_element(const cJSON *e, bool in_form)
{
    size_t cost = 0;
    const char *type = json_str(e, "type", "");
    const cJSON *options = json_arr(e, "options"), *o, *group;
    bool ticks = strcmp(type, "radio_buttons") == 0 || strcmp(type, "checkboxes") == 0;
    ck_assert_uint_ge(strlen(json_str(e, "action_id", "")), 1);
    if (strcmp(type, "button") == 0) {
        ck_assert(!in_form);
        cost = text_of(json_obj(e, "text"), 75);
        ck_assert_uint_le(strlen(json_str(e, "value", "")), 2000);
    } else if (strcmp(type, "plain_text_input") == 0) {
        ck_assert(in_form);
        ck_assert_int_le((int)json_num(e, "max_length", 0), 3000);
        const char *initial = json_str(e, "initial_value", "");
        ck_assert_uint_le(utf8_count(initial, strlen(initial)),
                          (size_t)json_num(e, "max_length", 0));
    } else if (json_arr(e, "option_groups")) {
        ck_assert_int_le(cJSON_GetArraySize(json_arr(e, "option_groups")), 100);
        cJSON_ArrayForEach (group, json_arr(e, "option_groups")) {
            (void)text_of(json_obj(group, "label"), 75);
            ck_assert_int_ge(cJSON_GetArraySize(json_arr(group, "options")), 1);
            ck_assert_int_le(cJSON_GetArraySize(json_arr(group, "options")), 100);
            cJSON_ArrayForEach (o, json_arr(group, "options"))
                cost += check_option(o);
        }
    } else {
        ck_assert(ticks || strstr(type, "static_select"));
        ck_assert_int_ge(cJSON_GetArraySize(options), 1);
        ck_assert_int_le(cJSON_GetArraySize(options), ticks ? 10 : 100);
        cJSON_ArrayForEach (o, options)
            cost += check_option(o);
        if (json_obj(e, "initial_option"))
            check_initial(options, json_obj(e, "initial_option"));
        cJSON_ArrayForEach (o, json_arr(e, "initial_options"))
            check_initial(options, o);
    }
    return cost;
}

static size_t check_block(const cJSON *b)
{
    const char *type = json_str(b, "type", "");
    const cJSON *e;
    size_t cost = 125;
    ck_assert_uint_le(strlen(json_str(b, "block_id", "")), 255);
    if (strcmp(type, "section") == 0)
        return cost + text_of(json_obj(b, "text"), 3000);
    if (strcmp(type, "input") == 0) {
        cost += check_element(json_obj(b, "element"), true);
        return cost + text_of(json_obj(b, "label"), 2000);
    }
    ck_assert_int_ge(cJSON_GetArraySize(json_arr(b, "elements")), 1);
    cJSON_ArrayForEach (e, json_arr(b, "elements")) {
        if (strcmp(type, "context") == 0)
            cost += text_of(e, 3000);
        else
            cost += check_element(e, false);
    }
    return cost;
}

static void check_unique(const cJSON *blocks, const char *key)
{
    const cJSON *a, *b;
    cJSON_ArrayForEach (a, blocks)
        for (b = a->next; b; b = b->next)
            ck_assert(!*json_str(a, key, "") || strcmp(json_str(a, key, ""), json_str(b, key, "")));
}

static void check_blocks(const cJSON *blocks, int max, size_t max_cost)
{
    const cJSON *b;
    size_t cost = 0;
    ck_assert_int_le(cJSON_GetArraySize(blocks), max);
    check_unique(blocks, "block_id");
    cJSON_ArrayForEach (b, blocks) {
        cost += check_block(b);
        if (strcmp(json_str(b, "type", ""), "actions") == 0)
            check_unique(json_arr(b, "elements"), "action_id");
    }
    ck_assert_uint_le(cost, max_cost);
}

/* ---- requests ---- */

static cJSON *question_of(const char *text, size_t options, bool many, bool custom)
{
    cJSON *q = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(q, "options");
    json_add_str(q, "question", text);
    json_add_str(q, "header", text);
    (void)cJSON_AddBoolToObject(q, "multiple", many);
    (void)cJSON_AddBoolToObject(q, "custom", custom);
    for (size_t i = 0; i < options; i++) {
        cJSON *o = cJSON_CreateObject();
        json_add_str(o, "label", text);
        json_add_str(o, "description", text);
        (void)cJSON_AddItemToArray(list, o);
    }
    return q;
}

static struct request request_of(const char *detail)
{
    return (struct request){
        .pod = "pod-1",
        .id = "que_1",
        .kind = REQUEST_QUESTION,
        .session_id = "ses_1",
        .root_session_id = "ses_1",
        .session_title = "T",
        .directory = "/d",
        .permission = "question",
        .summary = "the summary",
        .detail_json = detail,
        .state = REQUEST_PENDING,
        .reason = "",
        .answers_json = "",
        .actor = { "slack", "U1AB", "alice" },
        .decided_ms = 1700000000000,
    };
}

static const char *const units[] = {
    "",   "x",    "&", "<!channel>", "`*_~", "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7",
    "\n", "\x01",
};
static const size_t lengths[] = { 1, 75, 3000 };
static const struct {
    int questions;
    size_t options;
} shapes[] = { { 0, 0 },  { 1, 0 },   { 1, 5 },  { 1, 6 },  { 1, 10 },
               { 1, 11 }, { 1, 150 }, { 3, 12 }, { 40, 3 }, { 50, 200 } };

static char *repeat(const char *unit, size_t n)
{
    struct buf b = BUF_INIT;
    buf_puts(&b, "");
    for (size_t i = 0; i < n; i++)
        buf_puts(&b, unit);
    char *text = buf_take(&b);
    return text ? text : strdup("");
}

static void check_both(const struct request *r)
{
    struct request settled = *r;
    _cleanup_json_ cJSON *picks = question_pick(0);
    _cleanup_json_ cJSON *m = question_message(r), *view = question_modal(r, "{}", picks);
    (void)text_of(m, 4000);
    check_blocks(json_arr(m, "blocks"), 50, 12000);
    check_blocks(blocks_of(view), 100, 1000000);
    (void)text_of(json_obj(view, "title"), 24);
    _cleanup_free_ char *text = json_print(view);
    ck_assert_uint_le(strlen(text), 250000);
    settled.state = REQUEST_SETTLED;
    settled.outcome = OUTCOME_ANSWERED;
    settled.answers_json = r->detail_json; /* anything */
    _cleanup_json_ cJSON *after = question_message(&settled);
    check_blocks(json_arr(after, "blocks"), 50, 12000);
}

START_TEST(question__limits_hold)
{
    for (size_t l = 0; l < ARRAY_SIZE(lengths); l++) {
        _cleanup_free_ char *text = repeat(units[_i], lengths[l]);
        for (size_t s = 0; s < ARRAY_SIZE(shapes); s++) {
            if (lengths[l] > 75 && shapes[s].options > 12)
                continue; /* labels are long enough at 75; this only takes time */
            _cleanup_json_ cJSON *detail = cJSON_CreateObject();
            cJSON *list = cJSON_AddArrayToObject(detail, "questions");
            for (int i = 0; i < shapes[s].questions; i++)
                (void)cJSON_AddItemToArray(
                    list, question_of(text, shapes[s].options, l % 2 == 0, i % 2 == 0));
            _cleanup_free_ char *json = json_print(detail);
            struct request r = request_of(json);
            check_both(&r);
        }
    }
}
END_TEST

START_TEST(question__broken_detail_is_shown)
{
    static const char *const details[] = { "",
                                           "{",
                                           "[]",
                                           "{\"truncated\":true}",
                                           "{\"questions\":[5]}",
                                           "{\"questions\":[{\"options\":[1,null,{}]}]}" };
    struct request r = request_of(details[_i]);
    check_both(&r);
    if (_i < 4) {
        _cleanup_json_ cJSON *m = question_message(&r);
        _cleanup_free_ char *text = json_print(m);
        ck_assert_ptr_nonnull(strstr(text, "the summary"));
        ck_assert_ptr_nonnull(strstr(text, ACTION_DISMISS));
        ck_assert_ptr_null(strstr(text, ACTION_FORM));
    }
}
END_TEST

/* ---- what is offered ---- */

static void put_actions(struct buf *out, const cJSON *m)
{
    const cJSON *b, *e;
    cJSON_ArrayForEach (b, json_arr(m, "blocks")) {
        if (strcmp(json_str(b, "type", ""), "actions") == 0)
            cJSON_ArrayForEach (e, json_arr(b, "elements"))
                buf_printf(out, "%s ", json_str(e, "action_id", ""));
    }
}

static const struct {
    size_t options;
    bool many, custom;
    const char *actions;
} offers[] = {
    { 0, false, true, "answer_form answer_dismiss " },
    { 0, false, false, "answer_form answer_dismiss " },
    { 2, false, true, "answer_option_0 answer_option_1 answer_form answer_dismiss " },
    { 2, false, false, "answer_option_0 answer_option_1 answer_dismiss " },
    { 6, false, true, "answer_pick answer_form answer_dismiss " },
    { 6, false, false, "answer_pick answer_dismiss " },
    { 2, true, true, "answer_pick answer_submit answer_form answer_dismiss " },
    { 2, true, false, "answer_pick answer_submit answer_dismiss " },
};

START_TEST(question__offers_what_fits)
{
    _cleanup_json_ cJSON *detail = cJSON_CreateObject();
    cJSON *list = cJSON_AddArrayToObject(detail, "questions");
    (void)cJSON_AddItemToArray(
        list, question_of("Q", offers[_i].options, offers[_i].many, offers[_i].custom));
    _cleanup_free_ char *json = json_print(detail);
    struct request r = request_of(json);
    _cleanup_buf_ struct buf actions = BUF_INIT;
    _cleanup_json_ cJSON *m = question_message(&r);
    put_actions(&actions, m);
    ck_assert_str_eq(buf_str(&actions), offers[_i].actions);
    r.state = REQUEST_DECIDING;
    _cleanup_json_ cJSON *after = question_message(&r);
    buf_reset(&actions);
    put_actions(&actions, after);
    ck_assert_str_eq(buf_str(&actions), "");
}
END_TEST

START_TEST(question__a_value_too_long_for_a_block_id_takes_the_form)
{
    char pod[250];
    memset(pod, 'p', sizeof pod - 1);
    pod[sizeof pod - 1] = '\0';
    struct request r = request_of("{\"questions\":[{\"question\":\"Q\",\"multiple\":true,"
                                  "\"options\":[{\"label\":\"A\"}]}]}");
    r.pod = pod;
    _cleanup_buf_ struct buf actions = BUF_INIT;
    _cleanup_json_ cJSON *m = question_message(&r);
    check_blocks(json_arr(m, "blocks"), 50, 12000);
    put_actions(&actions, m);
    ck_assert_str_eq(buf_str(&actions), "answer_form answer_dismiss ");
}
END_TEST

/* ---- picks and answers ---- */

#define COLOURS                                                                                    \
    "{\"question\":\"Q\",\"options\":[{\"label\":\"Red\"},{\"label\":\"Deep Blue\"},"              \
    "{\"label\":\"3\"}]"
static const char one[] = "{\"questions\":[" COLOURS "}]}";
static const char some[] = "{\"questions\":[" COLOURS ",\"multiple\":true}]}";
static const char closed[] = "{\"questions\":[" COLOURS ",\"custom\":false}]}";
static const char two[] = "{\"questions\":[" COLOURS "}," COLOURS ",\"multiple\":true}]}";

static const struct {
    const char *detail, *text, *answers; /* NULL: no answer */
} texts[] = {
    { one, "red", "[[\"Red\"]]" },
    { one, "2", "[[\"Deep Blue\"]]" },
    { one, "3", "[[\"3\"]]" },
    { one, "4", "[[\"4\"]]" },
    { one, "Red, 2", "[[\"Red, 2\"]]" },
    { one, "deep blue please", "[[\"deep blue please\"]]" },
    { one, " ", NULL },
    { some, "Red, 2", "[[\"Red\",\"Deep Blue\"]]" },
    { some, "Red , red,1", "[[\"Red\"]]" },
    { some, "Red, and green", "[[\"Red, and green\"]]" },
    { some, "Red,,", "[[\"Red,,\"]]" },
    { closed, "RED", "[[\"Red\"]]" },
    { closed, "green", NULL },
    { "{", "x", NULL },
};

START_TEST(text__is_read_as_an_answer)
{
    struct request r = request_of(texts[_i].detail);
    _cleanup_json_ cJSON *picks = question_picks_of_text(&r, texts[_i].text);
    _cleanup_free_ char *answers = question_answers(&r, picks);
    if (texts[_i].answers)
        ck_assert_str_eq(answers ? answers : "(none)", texts[_i].answers);
    else
        ck_assert_ptr_null(answers);
}
END_TEST

static const struct {
    const char *detail, *values, *answers, *errors;
} forms[] = {
    { two,
      "{\"pick0\":{\"answer_pick\":{\"selected_option\":{\"value\":\"1\"}}},"
      "\"own0\":{\"words\":{\"value\":null}},"
      "\"pick1\":{\"answer_pick\":{\"selected_options\":[{\"value\":\"0\"},{\"value\":\"2\"}]}},"
      "\"own1\":{\"words\":{\"value\":\"more\"}}}",
      "[[\"Deep Blue\"],[\"Red\",\"3\",\"more\"]]", NULL },
    { two,
      "{\"pick0\":{\"answer_pick\":{\"selected_option\":null}},"
      "\"own0\":{\"words\":{\"value\":\" \\n\"}},"
      "\"pick1\":{\"answer_pick\":{\"selected_options\":[]}},"
      "\"own1\":{\"words\":{\"value\":\"x\"}}}",
      "[[],[\"x\"]]", "{\"pick0\":\"Choose or write an answer.\"}" },
    { one, "{\"pick0\":{\"answer_pick\":{\"selected_option\":{\"value\":\"9\"}}}}", NULL, NULL },
    { one, "{\"pick0\":{\"answer_pick\":{\"selected_option\":{\"value\":\"-1\"}}}}", NULL,
      "{\"pick0\":\"Choose or write an answer.\"}" },
    { closed, "{\"own0\":{\"words\":{\"value\":\"not welcome\"}}}", NULL, NULL },
    { one, "{\"own0\":{\"words\":{}}}", NULL, "{\"own0\":\"Choose or write an answer.\"}" },
    { one, "{}", NULL, NULL },
    { one, "[]", NULL, NULL },
};

START_TEST(form__is_read)
{
    _cleanup_json_ cJSON *values = NULL;
    ck_assert_int_eq(json_parse(&values, forms[_i].values, strlen(forms[_i].values), NULL), 0);
    struct request r = request_of(forms[_i].detail);
    _cleanup_json_ cJSON *picks = question_picks_of_form(values);
    _cleanup_json_ cJSON *errors = question_form_errors(values);
    _cleanup_free_ char *answers = question_answers(&r, picks);
    _cleanup_free_ char *said = errors ? json_print(json_obj(errors, "errors")) : NULL;
    ck_assert_pstr_eq(answers, forms[_i].answers);
    ck_assert_pstr_eq(said, forms[_i].errors);
}
END_TEST

START_TEST(message_state__is_read)
{
    static const char text[] =
        "{\"pick:pod-1|que_1\":{\"answer_pick\":{\"type\":\"checkboxes\",\"selected_options\":"
        "[{\"value\":\"2\"},{\"value\":\"0\"},{\"value\":\"x\"},{\"value\":\"99999\"}]}}}";
    _cleanup_json_ cJSON *values = NULL;
    ck_assert_int_eq(json_parse(&values, text, strlen(text), NULL), 0);
    struct request r = request_of(some);
    _cleanup_json_ cJSON *picks = question_picks_of_message(values);
    _cleanup_free_ char *answers = question_answers(&r, picks);
    ck_assert_pstr_eq(answers, "[[\"3\",\"Red\"]]");
    _cleanup_json_ cJSON *nothing = question_picks_of_message(NULL);
    ck_assert_ptr_null(question_answers(&r, nothing));
}
END_TEST

START_TEST(picks__come_into_the_form)
{
    struct request r = request_of(some);
    _cleanup_json_ cJSON *picks = question_picks_of_text(&r, "Red, 3");
    _cleanup_json_ cJSON *view = question_modal(&r, "{}", picks);
    const cJSON *e = json_obj(cJSON_GetArrayItem(blocks_of(view), 1), "element");
    ck_assert_int_eq(cJSON_GetArraySize(json_arr(e, "initial_options")), 2);
    check_blocks(blocks_of(view), 100, 100000);
}
END_TEST

static const struct {
    enum request_outcome outcome;
    enum request_state state;
    struct actor actor;
    const char *answers, *seen;
} outcomes[] = {
    { OUTCOME_ANSWERED,
      REQUEST_SETTLED,
      { "slack", "U1AB", "a" },
      "[[\"Red\",\"<b>\"],[],[\"x\\ny\"]]",
      "Answered by <@U1AB>: Red, &lt;b&gt;; \xe2\x80\x93; x y, <!date" },
    { OUTCOME_ANSWERED,
      REQUEST_SETTLED,
      { "opencode", "", "OpenCode" },
      "",
      "Answered in OpenCode," },
    { OUTCOME_ANSWERED,
      REQUEST_DECIDING,
      { "web", "", "bob" },
      "[[\"A\"]]",
      "Answering by bob on the web page: A " },
    { OUTCOME_REJECT,
      REQUEST_SETTLED,
      { "web", "", "bob" },
      "",
      "Dismissed by bob on the web page," },
    { OUTCOME_REJECT, REQUEST_DECIDING, { "slack", "U1AB", "a" }, "", "Dismissing by <@U1AB> " },
    { OUTCOME_ANSWERED,
      REQUEST_SETTLED,
      { "web", "", "bob" },
      "{broken",
      "Answered by bob on the web page," },
};

START_TEST(outcome__says_what_was_answered)
{
    struct request r = request_of(one);
    r.outcome = outcomes[_i].outcome;
    r.state = outcomes[_i].state;
    r.actor = outcomes[_i].actor;
    r.answers_json = outcomes[_i].answers;
    _cleanup_buf_ struct buf said = BUF_INIT;
    permission_outcome(&said, &r);
    ck_assert_msg(strncmp(buf_str(&said), outcomes[_i].seen, strlen(outcomes[_i].seen)) == 0, "%s",
                  buf_str(&said));
}
END_TEST

/* ---- the form that starts a session ---- */

static void add_entry(cJSON *list, const char *text, int i, int per_group)
{
    cJSON *j = cJSON_CreateObject();
    _cleanup_buf_ struct buf id = BUF_INIT, group = BUF_INIT;
    buf_printf(&id, "p/%d", i);
    buf_printf(&group, "%d %s", per_group ? i / per_group : 0, text);
    json_add_str(j, "id", buf_str(&id));
    json_add_str(j, "name", text);
    json_add_str(j, "description", text);
    json_add_str(j, "group", per_group ? buf_str(&group) : NULL);
    (void)cJSON_AddItemToArray(list, j);
}

START_TEST(start__limits_hold)
{
    static const int counts[] = { 0, 1, 99, 101, 400, 700 };
    _cleanup_free_ char *text = repeat(units[_i], 4000), *name = repeat(units[_i], 90);
    for (size_t c = 0; c < ARRAY_SIZE(counts); c++) {
        _cleanup_json_ cJSON *catalog = cJSON_CreateObject();
        cJSON *agents = cJSON_AddArrayToObject(catalog, "agents");
        cJSON *models = cJSON_AddArrayToObject(catalog, "models");
        for (int i = 0; i < counts[c]; i++) {
            add_entry(agents, name, i, 0);
            add_entry(models, name, i, (int)c * 40);
        }
        _cleanup_free_ char *json = json_print(catalog);
        const char *pods[START_PODS_MAX];
        struct start_form form = {
            .catalog_json = json,
            .pods = pods,
            .n_pods = (size_t)counts[c] < START_PODS_MAX ? (size_t)counts[c] : START_PODS_MAX,
            .typed = text,
            .metadata = "https://hooks/x",
        };
        for (size_t i = 0; i < form.n_pods; i++)
            pods[i] = name;
        _cleanup_json_ cJSON *view = start_modal(&form);
        check_blocks(blocks_of(view), 100, 1000000);
        (void)text_of(json_obj(view, "title"), 24);
        _cleanup_free_ char *all = json_print(view);
        ck_assert_uint_le(strlen(all), 250000);
    }
}
END_TEST

START_TEST(start__prompt_and_errors)
{
    static const char text[] =
        "{\"title\":{\"value\":{\"value\":\"T\"}},\"description\":{\"value\":{\"value\":\"Do\\nit\"}},"
        "\"category\":{\"value\":{\"selected_option\":{\"value\":\"Bug fix\"}}},"
        "\"project\":{\"value\":{\"value\":null}},\"priority\":{\"value\":{\"selected_option\":null}},"
        "\"complexity\":{\"value\":{\"selected_option\":{\"value\":\"High\"}}}}";
    _cleanup_json_ cJSON *values = NULL, *payload = cJSON_CreateObject();
    ck_assert_int_eq(json_parse(&values, text, strlen(text), NULL), 0);
    _cleanup_buf_ struct buf prompt = BUF_INIT;
    start_prompt(&prompt, values);
    ck_assert_str_eq(buf_str(&prompt), "Do\nit\n\nCategory: Bug fix\nComplexity: High");
    cJSON *state = cJSON_AddObjectToObject(cJSON_AddObjectToObject(payload, "view"), "state");
    _cleanup_json_ cJSON *empty = start_view_check(payload);
    ck_assert_str_eq(json_str_at(empty, "errors.title", ""), "This is needed.");
    (void)cJSON_AddItemToObject(state, "values", TAKE_PTR(values));
    ck_assert_ptr_null(start_view_check(payload));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("slack_question");
    TCase *t = tcase_create("question");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, question__limits_hold, 0, (int)ARRAY_SIZE(units));
    tcase_add_loop_test(t, question__broken_detail_is_shown, 0, 6);
    tcase_add_loop_test(t, question__offers_what_fits, 0, (int)ARRAY_SIZE(offers));
    tcase_add_test(t, question__a_value_too_long_for_a_block_id_takes_the_form);
    tcase_add_loop_test(t, text__is_read_as_an_answer, 0, (int)ARRAY_SIZE(texts));
    tcase_add_loop_test(t, form__is_read, 0, (int)ARRAY_SIZE(forms));
    tcase_add_test(t, message_state__is_read);
    tcase_add_loop_test(t, start__limits_hold, 0, (int)ARRAY_SIZE(units));
    tcase_add_test(t, start__prompt_and_errors);
    tcase_add_test(t, picks__come_into_the_form);
    tcase_add_loop_test(t, outcome__says_what_was_answered, 0, (int)ARRAY_SIZE(outcomes));
    suite_add_tcase(s, t);
    return run_suite(s);
}
