/* rooms: bridge/gateway/slack bridge/gateway/slack/render bridge/gateway/slack/wire base/json base/trace base/core */
/* The agent's work as messages: pages on good borders, nothing lost, the last line. */
#include "bridge/gateway/slack/render/turn.h"

#include "base/core/cleanup.h"
#include "base/core/utf8.h"
#include "bridge/gateway/slack/render/split.h"
#include "tests/unit/run_suite.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

/* ---------------------------------------------------------------- borders */

static const struct split_limits small = { 40, 90 };

static const struct row {
    const char *text, *first;
    bool open, large;
} rows[] = {
    { "short", "short", true, false },
    { "", "", true, false },
    { "One paragraph here.\n\nAnother one that is longer.", "One paragraph here.\n\n", false,
      false },
    { "One paragraph here.\n# Heading\nMore text that is longer", "One paragraph here.\n", false,
      false },
    { "First line of some text\nsecond line of some text\n", "First line of some text\n", false,
      false },
    { "many words in one line that has no end at all", "many words in one line that has no end ",
      false, false },
    { "0123456789012345678901234567890123456789012345", "0123456789012345678901234567890123456789",
      false, false },
    /* A code block is never cut: it goes to the next page, or fills one. */
    { "Some words before it.\n```\ncode code code code\n```\n", "Some words before it.\n", false,
      false },
    { "```\n\n\ncode code code code code code code code\n```\nafter",
      "```\n\n\ncode code code code code code code code\n```\n", false, false },
    { "~~~~\n```\ncode code code code code code code code\n~~~\n~~~~\nafter",
      "~~~~\n```\ncode code code code code code code code\n~~~\n~~~~\n", false, false },
    { "```\ncode code code code code code code code",
      "```\ncode code code code code code code code", true, false },
    { "```\ncode code code code code code code code code code code code code code code code code "
      "code\n```\n",
      "```\ncode code code code code code code code code code code code code code code code code "
      "code\n```\n",
      false, true },
    /* Code within a line is none. */
    { "``` not ``` a block\nsecond line of some text", "``` not ``` a block\n", false, false },
};

START_TEST(test_border)
{
    const struct row *r = &rows[_i];
    struct split_page p = split_first(r->text, &small);
    ck_assert_msg(p.len == strlen(r->first) && strncmp(r->text, r->first, p.len) == 0,
                  "\"%s\" begins with \"%.*s\"", r->text, (int)p.len, r->text);
    ck_assert_int_eq(p.open, r->open);
    ck_assert_int_eq(p.large, r->large);
}
END_TEST

/* Whatever comes: pages make up the text, none is empty, characters stay whole, and a closed page
 * stays what it is when more text follows. */
START_TEST(test_border_random)
{
    static const char *const bits[] = { "word ", "\n",    "\n\n",     "```\n",
                                        "~~~\n", "# h\n", "\xc3\xa9", "\xf0\x9f\x98\x80",
                                        "`x` ",  "\xff",  "    ```\n" };
    unsigned seed = (unsigned)_i * 7919 + 1;
    _cleanup_buf_ struct buf text = BUF_INIT;
    for (int n = 0; n < 120; n++) {
        seed = seed * 1103515245 + 12345;
        buf_puts(&text, bits[seed >> 16 & 0xffff ? (seed >> 16) % ARRAY_SIZE(bits) : 0]);
    }
    const char *all = buf_str(&text);
    size_t at = 0;
    while (all[at]) {
        struct split_page p = split_first(all + at, &small);
        ck_assert_uint_gt(p.len, 0);
        ck_assert_uint_le(p.len, strlen(all + at));
        ck_assert((all[at + p.len] & 0xc0) != 0x80 || p.open);
        ck_assert(p.open == false || all[at + p.len] == '\0');
        if (!p.open) {
            _cleanup_free_ char *less = strndup(all + at, p.len + (strlen(all + at) - p.len) / 2);
            struct split_page q = split_first(less, &small);
            ck_assert(q.open || q.len == p.len);
        }
        at += p.len;
    }
}
END_TEST

/* ---------------------------------------------------------------- turns */

static struct activity said(enum activity_kind kind, const char *message, const char *id,
                            const char *text, const char *status)
{
    return (struct activity){ .pod = "p",
                              .session_id = "s",
                              .kind = kind,
                              .role = "assistant",
                              .message_id = message,
                              .id = id,
                              .text = text,
                              .status = status };
}

static void add(struct turn *t, int expected, struct activity a)
{
    ck_assert_int_eq(turn_add(t, &a), expected);
}

static void put_page(struct buf *out, const struct turn_page *p)
{
    const cJSON *b;
    cJSON_ArrayForEach (b, json_arr(p->message, "blocks"))
        if (strcmp(json_str(b, "type", ""), "markdown") == 0)
            buf_puts(out, json_str(b, "text", ""));
}

/* All Markdown of all pages. */
static char *written(const struct turn *t, size_t *ret_pages)
{
    struct turn_pages pages;
    _cleanup_buf_ struct buf all = BUF_INIT;
    ck_assert_int_eq(turn_render(t, "v", NULL, &pages), 0);
    for (size_t i = 0; i < pages.count; i++)
        put_page(&all, &pages.page[i]);
    if (ret_pages)
        *ret_pages = pages.count;
    turn_pages_release(&pages);
    return buf_take(&all);
}

static char *printed(const struct turn *t, const struct turn_end *end)
{
    struct turn_pages pages;
    _cleanup_buf_ struct buf all = BUF_INIT;
    ck_assert_int_eq(turn_render(t, "v", end, &pages), 0);
    for (size_t i = 0; i < pages.count; i++) {
        _cleanup_free_ char *text = json_print(pages.page[i].message);
        buf_puts(&all, text);
    }
    turn_pages_release(&pages);
    return buf_take(&all);
}

START_TEST(test_order)
{
    struct turn *t = turn_new("p", "s", 0);
    add(t, 1, said(ACTIVITY_TEXT, "msg_2", "a", "I wi", "running"));
    add(t, 1, said(ACTIVITY_TOOL, "msg_2", "x", "bash: ls <!channel>", "running"));
    add(t, 1, said(ACTIVITY_TEXT, "msg_3", "b", "Then.", "running"));
    add(t, 1, said(ACTIVITY_TEXT, "msg_2", "a", "I will.", "completed"));
    add(t, 0, said(ACTIVITY_TEXT, "msg_2", "a", "I will.", "completed"));
    add(t, 1, said(ACTIVITY_TOOL, "msg_2", "x", "bash: ls <!channel>", "completed"));
    /* Growing text does not shrink; what a turn before it said is not told again. */
    add(t, 0, said(ACTIVITY_TEXT, "msg_3", "b", "Th", "running"));
    add(t, 0, said(ACTIVITY_TEXT, "msg_1", "old", "Old.", "completed"));
    struct activity child = said(ACTIVITY_TEXT, "msg_1", "c", "To itself.", "completed");
    child.child = true;
    add(t, 0, child);
    child = said(ACTIVITY_TOOL, "msg_1", "d", "read: x", "error");
    child.child = true;
    add(t, 1, child);
    struct activity user = said(ACTIVITY_TEXT, "msg_4", "e", "Mine.", "completed");
    user.role = "user";
    add(t, 0, user);
    _cleanup_free_ char *text = written(t, NULL), *all = printed(t, NULL);
    ck_assert_str_eq(text, "I will.Then.");
    ck_assert_msg(strstr(all, "\xe2\x9c\x93 *bash* ls &lt;!channel&gt;"), "%s", all);
    ck_assert_msg(strstr(all, "\xe2\x9c\x97 \xe2\x86\xb3 *read* x"), "%s", all);
    ck_assert(strstr(all, "\"" ACTION_STOP "\""));
    turn_free(t);
}
END_TEST

START_TEST(test_break)
{
    struct turn *t = turn_new("p", "s", 0);
    size_t pages;
    ck_assert_int_eq(turn_break(t), 0);
    add(t, 1, said(ACTIVITY_TEXT, "msg_1", "a", "One.", "completed"));
    ck_assert_int_eq(turn_break(t), 1);
    ck_assert_int_eq(turn_break(t), 0);
    free(written(t, &pages));
    ck_assert_uint_eq(pages, 1);
    add(t, 1, said(ACTIVITY_TEXT, "msg_1", "b", "Two.", "completed"));
    free(written(t, &pages));
    ck_assert_uint_eq(pages, 2);
    turn_free(t);
}
END_TEST

static void put_lines(struct buf *out, const char *line, size_t count)
{
    for (size_t i = 0; i < count; i++)
        buf_printf(out, "%s %zu\n", line, i);
}

/* Very much text: all of it is in pages and, from the last page on, in its file. */
START_TEST(test_endless)
{
    struct turn *t = turn_new("p", "s", 0);
    _cleanup_buf_ struct buf text = BUF_INIT;
    put_lines(&text, "A line of a text that does not end", 6000);
    add(t, 1, said(ACTIVITY_TEXT, "msg_1", "a", buf_str(&text), "completed"));
    add(t, 1, said(ACTIVITY_TEXT, "msg_1", "b", "The very last.", "completed"));
    struct turn_pages pages;
    ck_assert_int_eq(turn_render(t, NULL, NULL, &pages), 0);
    ck_assert_uint_eq(pages.count, TURN_PAGES_MAX);
    _cleanup_buf_ struct buf all = BUF_INIT;
    for (size_t i = 0; i + 1 < pages.count; i++) {
        put_page(&all, &pages.page[i]);
        ck_assert_ptr_null(pages.page[i].file);
    }
    buf_puts(&all, pages.page[pages.count - 1].file);
    buf_puts(&text, "\n\nThe very last.");
    ck_assert_str_eq(buf_str(&all), buf_str(&text));
    turn_pages_release(&pages);
    /* More than can be kept is said. */
    _cleanup_free_ char *huge = calloc(1, TURN_BYTES_MAX + 1);
    memset(huge, 'x', TURN_BYTES_MAX);
    add(t, 1, said(ACTIVITY_TEXT, "msg_1", "c", huge, "completed"));
    add(t, 0, said(ACTIVITY_TEXT, "msg_1", "c", huge, "completed"));
    _cleanup_buf_ struct buf footer = BUF_INIT;
    turn_footer(&footer, t, &(struct turn_end){ .status = SESSION_IDLE, .text = "" });
    ck_assert(strstr(buf_str(&footer), "too long for here"));
    turn_free(t);
}
END_TEST

START_TEST(test_kept)
{
    struct turn *t = turn_new("p", "s", 1000), *u = turn_new("p", "s", 5);
    add(t, 1, said(ACTIVITY_TEXT, "msg_1", "a", "One \"two\"\n", "completed"));
    add(t, 1, said(ACTIVITY_TOOL, "msg_1", "x", "bash: ls", "running"));
    turn_break(t);
    add(t, 1, said(ACTIVITY_MILESTONE, "", "", "Half (1/2)", "completed"));
    t->shown = calloc(1, sizeof *t->shown);
    t->shown[t->n_shown++] = UINT64_MAX - 1;
    _cleanup_free_ char *json = turn_save(t), *before = printed(t, NULL);
    ck_assert_int_eq(turn_load(u, json), 0);
    _cleanup_free_ char *after = printed(u, NULL);
    ck_assert_str_eq(before, after);
    ck_assert_uint_eq(u->n_shown, 1);
    ck_assert(u->shown[0] == UINT64_MAX - 1);
    ck_assert_int_eq(u->begun_ms, 1000);
    ck_assert_str_eq(u->last, "msg_1");
    ck_assert_int_lt(turn_load(u, "no json"), 0);
    /* After its end only later messages count. */
    ck_assert_int_eq(turn_restart(t, 0, 0, 0), 0);
    add(t, 0, said(ACTIVITY_TEXT, "msg_1", "a", "One", "completed"));
    add(t, 1, said(ACTIVITY_TEXT, "msg_2", "b", "Two", "completed"));
    turn_free(t);
    turn_free(u);
}
END_TEST

/* A turn that nobody heard of is read when the next one is under way already. */
START_TEST(test_missed)
{
    struct turn *t = turn_new("p", "s", 1000);
    add(t, 1, said(ACTIVITY_TEXT, "msg_1", "prt_1", "Before.", "completed"));
    ck_assert_int_eq(turn_restart(t, 0, 0, 0), 0);
    add(t, 1, said(ACTIVITY_TEXT, "msg_5", "prt_5", "Now.", "completed"));
    struct turn_history h = turn_history_begin(t);
    struct activity read[] = {
        said(ACTIVITY_TEXT, "msg_1", "prt_1", "Before.", "completed"),
        said(ACTIVITY_TEXT, "msg_2", "prt_2", "Asked.", "completed"),
        said(ACTIVITY_TEXT, "msg_3", "prt_3", "Missed.", "completed"),
        said(ACTIVITY_TEXT, "msg_5", "prt_5", "Now.", "completed"),
    };
    read[1].role = "user";
    for (size_t i = 0; i < ARRAY_SIZE(read); i++)
        ck_assert_int_eq(turn_add_history(t, &read[i], &h), i == 2);
    _cleanup_free_ char *text = written(t, NULL);
    ck_assert_str_eq(text, "Missed.Now.");
    ck_assert_str_eq(t->id, "msg_3");
    turn_free(t);
}
END_TEST

static const struct footer_row {
    int64_t ms;
    enum session_status status;
    const char *text, *diff;
    double cost;
    int64_t tokens;
    const char *line;
} footers[] = {
    { 12400, SESSION_IDLE, "", NULL, 0, 0, ":white_check_mark: Done in 12 s" },
    { 72000, SESSION_IDLE, "", "{\"files\":1,\"additions\":10,\"deletions\":2}", 0.034, 4210,
      ":white_check_mark: Done in 1 min 12 s \xc2\xb7 1 file +10 \xe2\x88\x92"
      "2 \xc2\xb7 $0.03 \xc2\xb7 4210 tokens" },
    { 3720000, SESSION_IDLE, "aborted", "{\"files\":3,\"additions\":0,\"deletions\":5}", 0.001,
      45678,
      ":black_square_for_stop: Stopped after 1 h 2 min \xc2\xb7 3 files +0 \xe2\x88\x92"
      "5 \xc2\xb7 below $0.01 \xc2\xb7 46k tokens" },
    { -5, SESSION_ERROR, "bad", "not json", 12, 1234567,
      ":x: Failed after 0 s \xc2\xb7 $12.00 \xc2\xb7 1.2M tokens" },
};

START_TEST(test_footer)
{
    const struct footer_row *r = &footers[_i];
    struct turn *t = turn_new("p", "s", 1000);
    ck_assert_int_eq(turn_restart(t, 1000, 1, 10), 0);
    if (r->diff) {
        struct activity a = said(ACTIVITY_DIFF, "msg_1", "", r->diff, "");
        (void)turn_add(t, &a);
        (void)turn_add(t, &a); /* told again: not twice */
    }
    _cleanup_buf_ struct buf line = BUF_INIT;
    turn_footer(
        &line, t,
        &(struct turn_end){ r->status, r->text, 1000 + r->ms, 1 + r->cost, 10 + r->tokens });
    ck_assert_str_eq(buf_str(&line), r->line);
    turn_free(t);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("slack_turn");
    TCase *c = tcase_create("turn");
    tcase_add_loop_test(c, test_border, 0, (int)ARRAY_SIZE(rows));
    tcase_add_loop_test(c, test_border_random, 0, 200);
    tcase_add_test(c, test_order);
    tcase_add_test(c, test_break);
    tcase_add_test(c, test_endless);
    tcase_add_test(c, test_kept);
    tcase_add_test(c, test_missed);
    tcase_add_loop_test(c, test_footer, 0, (int)ARRAY_SIZE(footers));
    suite_add_tcase(s, c);
    return run_suite(s);
}
