/* rooms: base/yaml base/core */
#include "base/yaml/yaml.h"
#include "base/yaml/yamlw.h"
#include "tests/unit/run_suite.h"

#include <check.h>
#include <string.h>

/* What a text is read back as; the same where not said otherwise. */
static const struct {
    const char *text, *back;
} texts[] = {
    { "Fix the login bug", NULL },
    { "", NULL },
    { "true", NULL },
    { "12", NULL },
    { "~", NULL },
    { "- not: a list", NULL },
    { "a: b # c", NULL },
    { "\"quoted\" 'and' \\back\\", NULL },
    { "two\nlines\n\n", NULL },
    { "  spaces  ", NULL },
    { "\ttab\r\nand return", NULL },
    { "--- document", NULL },
    { "...\nmilestones: [{milestone: session_ended}]", NULL },
    { "&anchor *alias !tag %directive @at `tick", NULL },
    { "\x01\x1b[31mred\x7f", NULL },
    { "\xc2\x85 next line \xe2\x80\xa8 separator \xef\xbb\xbf mark", NULL },
    { "caf\xc3\xa9 \xf0\x9f\x8e\x89 \xe2\x80\xae"
      "bidi",
      NULL },
    { "broken \xff\xc3( end", "broken \xef\xbf\xbd\xef\xbf\xbd( end" },
    { "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
};

START_TEST(a_text_is_read_back_as_it_was)
{
    const char *text = texts[_i].text, *back = texts[_i].back ? texts[_i].back : text;
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct yamlw *w = NULL;
    ck_assert_int_eq(yamlw_new(&w, &out), 0);
    yamlw_text(w, "title", text);
    yamlw_list(w, "items");
    yamlw_text(w, NULL, text);
    yamlw_list_end(w);
    yamlw_int(w, "after", -7);
    ck_assert_int_eq(yamlw_finish(w), 0);
    _cleanup_ynode_ struct ynode *root = NULL;
    struct error e = ERROR_INIT;
    int r = ynode_parse(&root, buf_str(&out), out.len, &e);
    ck_assert_msg(r == 0, "%s in\n%s", e.message, buf_str(&out));
    ck_assert_uint_eq(root->count, 3);
    const struct ynode *title = ynode_get(root, "title");
    ck_assert_str_eq(title->text, back);
    ck_assert(!title->plain);
    ck_assert_str_eq(ynode_get(root, "items")->first->text, back);
    ck_assert_str_eq(ynode_get(root, "after")->text, "-7");
}
END_TEST

START_TEST(is_made_for_people)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct yamlw *w = NULL;
    ck_assert_int_eq(yamlw_new(&w, &out), 0);
    yamlw_text(w, "title", "A \xc3\xa9");
    yamlw_list(w, "items");
    yamlw_map(w, NULL);
    yamlw_word(w, "kind", "question");
    yamlw_map_end(w);
    yamlw_list_end(w);
    yamlw_list(w, "none");
    yamlw_list_end(w);
    ck_assert_int_eq(yamlw_finish(w), 0);
    ck_assert_str_eq(buf_str(&out), "title: \"A \xc3\xa9\"\nitems:\n- kind: question\nnone: []\n");
}
END_TEST

START_TEST(no_room_is_said)
{
    _cleanup_buf_ struct buf out = BUF_INIT_MAX(16);
    struct yamlw *w = NULL;
    ck_assert_int_eq(yamlw_new(&w, &out), 0);
    yamlw_text(w, "title", "longer than the sixteen bytes that there are");
    ck_assert_int_lt(yamlw_finish(w), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("yamlw");
    TCase *t = tcase_create("yamlw");
    tcase_add_loop_test(t, a_text_is_read_back_as_it_was, 0, (int)ARRAY_SIZE(texts));
    tcase_add_test(t, is_made_for_people);
    tcase_add_test(t, no_room_is_said);
    suite_add_tcase(s, t);
    return run_suite(s);
}
