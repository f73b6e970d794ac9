/* rooms: base/yaml base/core */
#include "base/yaml/yaml.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/run_suite.h"

static struct ynode *parse(const char *text)
{
    struct ynode *root = NULL;
    struct error e = ERROR_INIT;
    int r = ynode_parse(&root, text, strlen(text), &e);
    ck_assert_msg(r == 0, "%s", e.message);
    return root;
}

START_TEST(tree_knows_where_its_nodes_stand)
{
    _cleanup_ynode_ struct ynode *root =
        parse("# a comment\na: 1\nlist:\n  - x\n  - 'two words'\nmap: {k: \"v\", empty: }\n");
    ck_assert_int_eq(root->kind, YNODE_MAPPING);
    ck_assert_uint_eq(root->count, 3);
    const struct ynode *a = ynode_get(root, "a"), *list = ynode_get(root, "list");
    ck_assert_str_eq(a->text, "1");
    ck_assert(a->plain);
    ck_assert_uint_eq(a->line, 2);
    ck_assert_uint_eq(a->column, 1);
    ck_assert_int_eq(list->kind, YNODE_SEQUENCE);
    ck_assert_uint_eq(list->count, 2);
    ck_assert_uint_eq(list->line, 3);
    ck_assert_uint_eq(list->first->line, 4);
    ck_assert_str_eq(list->first->next->text, "two words");
    ck_assert(!list->first->next->plain);
    ck_assert_ptr_null(list->first->next->next);
    const struct ynode *map = ynode_get(root, "map");
    ck_assert_uint_eq(ynode_get(map, "k")->line, 6);
    ck_assert_uint_eq(ynode_get(map, "k")->column, 7);
    ck_assert(!ynode_get(map, "k")->plain);
    ck_assert(ynode_is_null(ynode_get(map, "empty")));
    ck_assert_ptr_null(ynode_get(map, "nothing"));
    ck_assert_ptr_null(ynode_get(a, "k"));
}
END_TEST

START_TEST(json_is_yaml)
{
    _cleanup_ynode_ struct ynode *root =
        parse("{\n  \"a\": [1, {\"b\": true}],\n  \"c\": null\n}\n");
    const struct ynode *a = ynode_get(root, "a");
    ck_assert_uint_eq(a->count, 2);
    ck_assert_str_eq(ynode_get(a->first->next, "b")->text, "true");
    ck_assert(ynode_is_null(ynode_get(root, "c")));
}
END_TEST

static const char *const nothing[] = { "", "\n\n", "# only a comment\n", "---\n", "~\n", "null" };

START_TEST(empty_documents_have_no_root)
{
    ck_assert_ptr_null(parse(nothing[_i]));
}
END_TEST

static const struct {
    const char *text, *message;
} bad[] = {
    { "a: 1\nb: 2\na: 3\n", "3: the key 'a' is here a second time (first in line 1)" },
    { "m: {k: 1, k: 2}\n", "1: the key 'k' is here a second time" },
    { "a: [1\nb: 2\n", "2: not valid YAML" },
    { "\ta: 1\n", "1: not valid YAML" },
    { "a: 'open\n", "2: not valid YAML" },
    { "a: &x 1\n", "1: anchors (&x)" },
    { "a: 1\nb: *a\n", "2: aliases (*a)" },
    { "a: &x [1]\n", "1: anchors" },
    { "&x a: 1\n", "1: anchors" },
    { "a: !mine 1\n", "1: the tag !mine" },
    { "a: !<tag:yaml.org,2002:python/name> 1\n---\nb: 1\n", "2: a second document" },
    { "[a]: 1\n", "1: a key must be" },
    { "? {a: 1}\n: 2\n", "1: a key must be" },
    { "a: \"x\\0y\"\n", "1: a NUL byte" },
    { "a: 1\nb: \xff\n", "2: not valid UTF-8" },
    { "a: \x01\n", "1: " },
};

START_TEST(bad_documents_name_the_line)
{
    struct ynode *root = NULL;
    struct error e = ERROR_INIT;
    int r = ynode_parse(&root, bad[_i].text, strlen(bad[_i].text), &e);
    ck_assert_int_eq(r, -EBADMSG);
    ck_assert_ptr_null(root);
    ck_assert_msg(strncmp(e.message, bad[_i].message, strlen(bad[_i].message)) == 0, "%s",
                  e.message);
}
END_TEST

static int parse_status(const char *text, size_t len, struct error *e)
{
    _cleanup_ynode_ struct ynode *root = NULL;
    return ynode_parse(&root, text, len, e);
}

START_TEST(depth_count_and_size_are_bounded)
{
    struct error e = ERROR_INIT;
    char deep[200];
    memset(deep, '[', YNODE_DEPTH_MAX);
    memset(deep + YNODE_DEPTH_MAX, ']', YNODE_DEPTH_MAX);
    ck_assert_int_eq(parse_status(deep, 2 * YNODE_DEPTH_MAX, &e), 0);
    memset(deep, '[', YNODE_DEPTH_MAX + 1);
    memset(deep + YNODE_DEPTH_MAX + 1, ']', YNODE_DEPTH_MAX + 1);
    ck_assert_int_eq(parse_status(deep, 2 * YNODE_DEPTH_MAX + 2, &e), -EBADMSG);
    ck_assert_ptr_nonnull(strstr(e.message, "nested deeper"));
    size_t n = (size_t)YNODE_COUNT_MAX * 2 + 10;
    _cleanup_free_ char *many = malloc(n);
    for (size_t i = 0; i < n; i++)
        many[i] = i % 2 ? '1' : i ? ',' : '[';
    many[n - 1] = ']';
    ck_assert_int_eq(parse_status(many, n, &e), -EBADMSG);
    ck_assert_msg(strstr(e.message, "more than"), "%s", e.message);
    _cleanup_free_ char *big = calloc(1, YNODE_TEXT_MAX + 1);
    memset(big, '\n', YNODE_TEXT_MAX + 1);
    ck_assert_int_eq(parse_status(big, YNODE_TEXT_MAX, &e), 0);
    ck_assert_int_eq(parse_status(big, YNODE_TEXT_MAX + 1, &e), -EBADMSG);
}
END_TEST

/* Every cut of a good document gives a tree or an error, never a crash or a leak. */
START_TEST(cut_anywhere)
{
    static const char text[] = "a: [1, {b: 'c', d: \"e\\n\"}]\nf:\n  - g\n  - h: |\n      i\n";
    for (size_t n = 0; n <= strlen(text); n++) {
        struct error e = ERROR_INIT;
        int r = parse_status(text, n, &e);
        ck_assert(r == 0 || (r == -EBADMSG && e.message[0]));
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("yaml");
    TCase *t = tcase_create("tree");
    tcase_add_test(t, tree_knows_where_its_nodes_stand);
    tcase_add_test(t, json_is_yaml);
    tcase_add_loop_test(t, empty_documents_have_no_root, 0, (int)ARRAY_SIZE(nothing));
    tcase_add_loop_test(t, bad_documents_name_the_line, 0, (int)ARRAY_SIZE(bad));
    tcase_add_test(t, depth_count_and_size_are_bounded);
    tcase_add_test(t, cut_anywhere);
    suite_add_tcase(s, t);
    return run_suite(s);
}
