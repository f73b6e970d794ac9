/* rooms: bridge/gateway/slack bridge/gateway/slack/render bridge/gateway/slack/wire base/json base/trace base/core */
/* Text for Slack: escaped, made visible, cut without splitting; and text from Slack. */
#include "bridge/gateway/slack/render/text.h"

#include "base/core/cleanup.h"
#include "base/core/utf8.h"
#include "tests/unit/run_suite.h"

#include <check.h>
#include <string.h>

static const struct row {
    const char *in, *out;
    size_t points;
    unsigned flags;
} rows[] = {
    { "plain", "plain", 10, TEXT_ESCAPE },
    { "a<b>&c", "a&lt;b&gt;&amp;c", 100, TEXT_ESCAPE },
    { "a<b>&c", "a<b>&c", 100, 0 },
    { "<!channel> <@U123>", "&lt;!channel&gt; &lt;@U123&gt;", 100, TEXT_ESCAPE },
    { "one\ntwo\tthree", "one two three", 100, TEXT_ONE_LINE },
    { "one\ntwo\tthree", "one\ntwo\tthree", 100, 0 },
    { "12345", "12345", 5, 0 },
    { "123456", "1234\xe2\x80\xa6", 5, 0 },
    { "", "", 5, 0 },
    { "x", "", 0, 0 },
    { "ab&", "ab\xe2\x80\xa6", 4, TEXT_ESCAPE }, /* an entity is five or nothing */
    { "abcdef&", "abcdef\xe2\x80\xa6", 7, TEXT_ESCAPE },
    { "\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80\xe2\x80\xa6", 2, 0 },
    /* A family joined by zero-width joiners and a thumb with a skin tone stay whole or go. */
    { "ab\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7", "ab\xe2\x80\xa6", 4, 0 },
    { "ab\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7x", "ab\xe2\x80\xa6", 5, 0 },
    { "ab\xf0\x9f\x91\x8d\xf0\x9f\x8f\xbdz", "ab\xe2\x80\xa6", 4, 0 },
    { "e\xcc\x81x", "\xe2\x80\xa6", 2, 0 },
    /* What would hide or reorder text is shown. */
    { "ls\xe2\x80\xae"
      "fr",
      "ls[U+202E]fr", 100, 0 },
    { "a\xe2\x80\x8b"
      "b",
      "a[U+200B]b", 100, 0 },
    { "a\x1b[2Jb", "a\xe2\x90\x9b[2Jb", 100, 0 },
    { "a\rb",
      "a\xe2\x90\x8d"
      "b",
      100, 0 },
    { "a\x7f", "a\xe2\x90\xa1", 100, 0 },
    { "a\xc2\x85"
      "b",
      "a[U+0085]b", 100, 0 },
    /* Right-to-left letters themselves are fine. */
    { "\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d", "\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d", 4, 0 },
    { "\xff\xfe", "\xef\xbf\xbd\xef\xbf\xbd", 5, 0 },
    { "\xc3", "\xef\xbf\xbd", 5, 0 },
    { "```rm```", "```rm```", 8, TEXT_ESCAPE },
    /* In Markdown nobody is called, and code that only looks like it stays. */
    { "<!channel>", "<\xe2\x81\xa0!channel>", 100, TEXT_TAME },
    { "`<!here|x>` <@U1> <#C1>", "`<\xe2\x81\xa0!here|x>` <\xe2\x81\xa0@U1> <\xe2\x81\xa0#C1>", 100,
      TEXT_TAME },
    { "<!DOCTYPE html> <!-- a --> x<y <https://a.b>",
      "<!DOCTYPE html> <!-- a --> x<y <https://a.b>", 100, TEXT_TAME },
    { "ab<@U1>", "ab\xe2\x80\xa6", 4, TEXT_TAME },
};

START_TEST(text_put__rows)
{
    const struct row *r = &rows[_i];
    _cleanup_buf_ struct buf b = BUF_INIT;
    (void)text_put(&b, r->in, r->points, r->flags);
    ck_assert_str_eq(buf_str(&b), r->out);
}
END_TEST

/* Whatever goes in: never longer than asked for, always valid, the same when it fits. */
START_TEST(text_put__never_longer)
{
    static const char hostile[] = "&<>&\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7\xe2\x80\xae"
                                  "e\xcc\x81\xff\x01"
                                  "abc\xc3\xa9";
    for (size_t points = 0; points < 80; points++)
        for (unsigned flags = 0; flags < 4; flags++) {
            _cleanup_buf_ struct buf b = BUF_INIT;
            bool cut = text_put(&b, hostile, points, flags);
            ck_assert_uint_le(utf8_count(buf_str(&b), b.len), points);
            ck_assert(utf8_valid(buf_str(&b), b.len));
            bool dots = b.len >= 3 && strcmp(buf_str(&b) + b.len - 3, "\xe2\x80\xa6") == 0;
            ck_assert_int_eq(cut, points == 0 || dots);
            const char *amp = buf_str(&b);
            while (flags & TEXT_ESCAPE && (amp = strchr(amp, '&'))) {
                ck_assert(!strncmp(amp, "&amp;", 5) || !strncmp(amp, "&lt;", 4) ||
                          !strncmp(amp, "&gt;", 4));
                amp++;
            }
        }
}
END_TEST

START_TEST(text_put_middle__keeps_both_ends)
{
    char in[5001];
    memset(in, 'x', 5000);
    memcpy(in, "BEGIN", 5);
    memcpy(in + 4997, "END", 4);
    _cleanup_buf_ struct buf b = BUF_INIT, whole = BUF_INIT;
    ck_assert(text_put_middle(&b, in, 1000));
    ck_assert_uint_le(utf8_count(buf_str(&b), b.len), 1000);
    ck_assert(strncmp(buf_str(&b), "BEGIN", 5) == 0);
    ck_assert_str_eq(buf_str(&b) + b.len - 3, "END");
    ck_assert_ptr_nonnull(strstr(buf_str(&b), "characters left out"));
    ck_assert(!text_put_middle(&whole, in, 5000));
    ck_assert_str_eq(buf_str(&whole), in);
    for (size_t points = 0; points < 200; points++) {
        _cleanup_buf_ struct buf small = BUF_INIT;
        (void)text_put_middle(&small, in, points);
        ck_assert_uint_le(utf8_count(buf_str(&small), small.len), points);
    }
}
END_TEST

static const struct {
    const char *in, *out;
} from[] = {
    { "<@U0BOT> fix it", "fix it" },
    { "fix <@U0BOT|opencode> it", "fix  it" },
    { "ask <@U1|alice> &amp; &lt;b&gt;", "ask @alice & <b>" },
    { "see <https://x.test/a?b=1&amp;c=2|x.test>", "see https://x.test/a?b=1&c=2" },
    { "<https://x.test>", "https://x.test" },
    { "<mailto:a@b.test|a@b.test>", "a@b.test" },
    { "<#C1|general>", "#general" },
    { "<#C1>", "#C1" },
    { "<!here> now", "here now" },
    { "  \n spaces \t", "spaces" },
    { "a <b", "a <b" },
    { "<>", "<>" },
    { "<|x>", "" },
    { "<@>", "@" },
    { "&amp;lt;", "&lt;" },
    { "", "" },
};

START_TEST(text_from_slack__rows)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    text_from_slack(&b, from[_i].in, "U0BOT");
    ck_assert_str_eq(buf_str(&b), from[_i].out);
}
END_TEST

START_TEST(text_is_user_id__rows)
{
    ck_assert(text_is_user_id("U0ALICE0001"));
    ck_assert(text_is_user_id("W12"));
    ck_assert(!text_is_user_id(""));
    ck_assert(!text_is_user_id("U"));
    ck_assert(!text_is_user_id("u0alice"));
    ck_assert(!text_is_user_id("U1> <!channel"));
    ck_assert(!text_is_user_id("C0GENERAL"));
    ck_assert(!text_is_user_id("U0123456789012345678901234567890123456789"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("slack_text");
    TCase *t = tcase_create("text");
    tcase_add_loop_test(t, text_put__rows, 0, (int)ARRAY_SIZE(rows));
    tcase_add_test(t, text_put__never_longer);
    tcase_add_test(t, text_put_middle__keeps_both_ends);
    tcase_add_loop_test(t, text_from_slack__rows, 0, (int)ARRAY_SIZE(from));
    tcase_add_test(t, text_is_user_id__rows);
    suite_add_tcase(s, t);
    return run_suite(s);
}
