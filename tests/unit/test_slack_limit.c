/* rooms: bridge/gateway/slack bridge/gateway/slack/render bridge/gateway/slack/wire base/json base/trace base/core */
/* The limits of Slack's Web API in virtual time, and what its errors mean. */
#include "bridge/gateway/slack/wire/errors.h"
#include "bridge/gateway/slack/wire/limit.h"

#include "base/core/cleanup.h"
#include "tests/unit/run_suite.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

/* Calls as often as allowed for `ms`, and counts. */
static unsigned drive(struct limiter *l, enum slack_method m, const char *channel, uint64_t from,
                      uint64_t ms)
{
    unsigned count = 0;
    for (uint64_t now = from; now < from + ms;) {
        uint64_t wait = limiter_wait(l, m, channel, now);
        if (wait == 0) {
            limiter_take(l, m, channel, now);
            limiter_done(l, m);
            count++;
        } else {
            now += wait;
        }
    }
    return count;
}

START_TEST(tiers_are_kept_in_any_minute)
{
    static const struct {
        enum slack_method m;
        unsigned max;
    } tiers[] = { { SLACK_UPDATE, 50 },          { SLACK_REPLIES, 50 },
                  { SLACK_HISTORY, 50 },         { SLACK_CONNECTIONS_OPEN, 50 },
                  { SLACK_POST_EPHEMERAL, 100 }, { SLACK_VIEWS_OPEN, 100 },
                  { SLACK_MEMBERS, 100 },        { SLACK_CHANNEL_INFO, 50 } };
    struct limiter l;
    limiter_init(&l, 1000);
    unsigned first = drive(&l, tiers[_i].m, "", 1000, 60000);
    ck_assert_uint_le(first, tiers[_i].max);
    ck_assert_uint_ge(first, 25);
    ck_assert_uint_le(drive(&l, tiers[_i].m, "", 61000, 60000), tiers[_i].max);
}
END_TEST

START_TEST(posting_one_a_second_per_channel_after_a_burst)
{
    struct limiter l;
    limiter_init(&l, 0);
    unsigned n = drive(&l, SLACK_POST_MESSAGE, "C1", 0, 60000);
    ck_assert_uint_le(n, 60 + 4);
    ck_assert_uint_ge(n, 60);
    (void)drive(&l, SLACK_POST_MESSAGE, "C1", 60000, 1);
    /* Another channel is free, and so is another method there. */
    ck_assert_uint_eq(limiter_wait(&l, SLACK_POST_MESSAGE, "C2", 60000), 0);
    ck_assert_uint_gt(limiter_wait(&l, SLACK_POST_MESSAGE, "C1", 60000), 0);
    ck_assert_uint_eq(limiter_wait(&l, SLACK_UPDATE, "C1", 60000), 0);
}
END_TEST

START_TEST(root_and_request_leave_together)
{
    struct limiter l;
    limiter_init(&l, 5);
    for (int i = 0; i < 4; i++) {
        ck_assert_uint_eq(limiter_wait(&l, SLACK_POST_MESSAGE, "C1", 5), 0);
        limiter_take(&l, SLACK_POST_MESSAGE, "C1", 5);
        limiter_done(&l, SLACK_POST_MESSAGE);
    }
    uint64_t wait = limiter_wait(&l, SLACK_POST_MESSAGE, "C1", 5);
    ck_assert_uint_gt(wait, 0);
    ck_assert_uint_le(wait, 1000);
    ck_assert_uint_eq(limiter_wait(&l, SLACK_POST_MESSAGE, "C1", 5 + wait), 0);
}
END_TEST

START_TEST(workspace_posting_is_bounded)
{
    struct limiter l;
    limiter_init(&l, 0);
    unsigned count = 0;
    for (uint64_t now = 0; now < 60000; now += 10) {
        char channel[16];
        (void)snprintf(channel, sizeof channel, "C%u", (unsigned)(now / 10 % 50));
        if (limiter_wait(&l, SLACK_POST_MESSAGE, channel, now) == 0) {
            limiter_take(&l, SLACK_POST_MESSAGE, channel, now);
            limiter_done(&l, SLACK_POST_MESSAGE);
            count++;
        }
    }
    ck_assert_uint_le(count, 300);
    ck_assert_uint_ge(count, 200);
}
END_TEST

START_TEST(retry_after_rests_one_method_only)
{
    struct limiter l;
    limiter_init(&l, 0);
    limiter_block(&l, SLACK_POST_MESSAGE, 30000, 1000);
    ck_assert_uint_eq(limiter_wait(&l, SLACK_POST_MESSAGE, "C1", 1000), 30000);
    ck_assert_uint_eq(limiter_wait(&l, SLACK_POST_MESSAGE, "C2", 21000), 10000);
    ck_assert_uint_eq(limiter_wait(&l, SLACK_UPDATE, "C1", 1000), 0);
    limiter_block(&l, SLACK_POST_MESSAGE, 1000, 2000); /* never shortens */
    ck_assert_uint_eq(limiter_wait(&l, SLACK_POST_MESSAGE, "C1", 21000), 10000);
    ck_assert_uint_eq(limiter_wait(&l, SLACK_POST_MESSAGE, "C1", 31000), 0);
}
END_TEST

START_TEST(one_call_of_a_method_is_on_its_way)
{
    struct limiter l;
    limiter_init(&l, 0);
    limiter_take(&l, SLACK_POST_MESSAGE, "C1", 1000);
    ck_assert_uint_eq(limiter_wait(&l, SLACK_POST_MESSAGE, "C2", 1000), LIMIT_ALONE_MS);
    ck_assert_uint_eq(limiter_wait(&l, SLACK_UPDATE, "C1", 1000), 0);
    limiter_done(&l, SLACK_POST_MESSAGE);
    ck_assert_uint_eq(limiter_wait(&l, SLACK_POST_MESSAGE, "C2", 1000), 0);
    /* One that hangs holds back the next, not those after that one's answer. */
    limiter_take(&l, SLACK_POST_MESSAGE, "C1", 2000);
    limiter_take(&l, SLACK_POST_MESSAGE, "C2", 2000 + LIMIT_ALONE_MS);
    ck_assert_uint_eq(limiter_wait(&l, SLACK_POST_MESSAGE, "C3", 2000 + LIMIT_ALONE_MS),
                      LIMIT_ALONE_MS);
    limiter_done(&l, SLACK_POST_MESSAGE);
    limiter_done(&l, SLACK_POST_MESSAGE);
    limiter_done(&l, SLACK_POST_MESSAGE);
    ck_assert_uint_eq(limiter_wait(&l, SLACK_POST_MESSAGE, "C3", 8000), 0);
}
END_TEST

START_TEST(many_channels_are_bounded)
{
    struct limiter l;
    limiter_init(&l, 0);
    for (unsigned i = 0; i < 10000; i++) {
        char channel[64];
        (void)snprintf(channel, sizeof channel, "C%060u", i); /* longer than any id */
        (void)limiter_wait(&l, SLACK_POST_MESSAGE, channel, i);
        (void)snprintf(channel, sizeof channel, "C%u", i);
        (void)limiter_wait(&l, SLACK_POST_MESSAGE, channel, i);
    }
    ck_assert_uint_eq(limiter_wait(&l, SLACK_POST_MESSAGE, "C9999", 10000), 0);
}
END_TEST

START_TEST(methods_are_found)
{
    for (unsigned m = 0; m < SLACK_METHOD_MAX; m++)
        ck_assert_uint_eq(slack_method_find(slack_methods[m].name), m);
    ck_assert_uint_eq(slack_method_find("chat.nothing"), SLACK_METHOD_MAX);
    /* Those that read no JSON body. */
    ck_assert(!slack_methods[SLACK_REPLIES].json && !slack_methods[SLACK_MEMBERS].json);
    ck_assert(slack_methods[SLACK_CONNECTIONS_OPEN].app_token);
}
END_TEST

START_TEST(errors_say_their_fix)
{
    static const struct {
        const char *code, *needed, *says;
        enum slack_error_class class;
    } rows[] = {
        { "invalid_auth", "", "SLACK_BOT_TOKEN", SLACK_ERROR_TOKEN },
        { "account_inactive", "", "install it again", SLACK_ERROR_TOKEN },
        { "missing_scope", "chat:write", "missing_scope (chat:write): add the scope",
          SLACK_ERROR_SETUP },
        { "not_in_channel", "C1", "/invite", SLACK_ERROR_SETUP },
        { "channel_not_found", "C1", "SLACK_CHANNEL_ID", SLACK_ERROR_SETUP },
        { "ratelimited", "", "ratelimited", SLACK_ERROR_RATE },
        { "fatal_error", "", "fatal_error", SLACK_ERROR_SERVER },
        { "never_heard_of", "", "never_heard_of", SLACK_ERROR_OTHER },
    };
    _cleanup_buf_ struct buf b = BUF_INIT;
    slack_error_explain(&b, rows[_i].code, rows[_i].needed);
    ck_assert_ptr_nonnull(strstr(buf_str(&b), rows[_i].says));
    ck_assert_uint_eq(slack_error_find(rows[_i].code)->class, rows[_i].class);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("slack_limit");
    TCase *t = tcase_create("limit");
    tcase_add_loop_test(t, tiers_are_kept_in_any_minute, 0, 8);
    tcase_add_test(t, posting_one_a_second_per_channel_after_a_burst);
    tcase_add_test(t, root_and_request_leave_together);
    tcase_add_test(t, workspace_posting_is_bounded);
    tcase_add_test(t, retry_after_rests_one_method_only);
    tcase_add_test(t, one_call_of_a_method_is_on_its_way);
    tcase_add_test(t, many_channels_are_bounded);
    tcase_add_test(t, methods_are_found);
    tcase_add_loop_test(t, errors_say_their_fix, 0, 8);
    suite_add_tcase(s, t);
    return run_suite(s);
}
