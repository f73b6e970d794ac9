/* rooms: bridge/gateway/slack bridge/gateway/slack/render bridge/gateway/slack/wire bridge/gateway/store base/metrics base/json base/core */
/* What the Slack connector counts of its calls. */
#include "bridge/gateway/slack/internal.h"
#include "bridge/gateway/slack/metrics.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "tests/unit/run_suite.h"

static struct slack slack;
static struct buf page;

static void setup(void)
{
    struct error e = ERROR_INIT;
    slack = (struct slack){ 0 };
    ck_assert_int_eq(store_open(&slack.store, NULL, NULL, &e), 0);
    slack_counts_init(&slack.counts);
}

static void teardown(void)
{
    store_close(slack.store);
    buf_release(&page);
}

static bool says(const char *line)
{
    char want[200];
    buf_reset(&page);
    slack_metrics(&slack, &page);
    (void)snprintf(want, sizeof want, "\n%s\n", line);
    return strstr(buf_str(&page), want) != NULL;
}
#define ck_says(line) ck_assert_msg(says(line), "%s not in %s", line, buf_str(&page))

static const struct {
    struct api_result r;
    int status;
    const char *result;
} answers[] = {
    { { .ok = true, .code = "" }, 200, "ok" },
    { { .class = SLACK_ERROR_RATE, .code = "ratelimited" }, 429, "rate_limited" },
    { { .class = SLACK_ERROR_RATE, .code = "rate_limited" }, 200, "rate_limited" },
    { { .class = SLACK_ERROR_TOKEN, .code = "invalid_auth" }, 200, "token" },
    { { .class = SLACK_ERROR_SETUP, .code = "not_in_channel" }, 200, "setup" },
    { { .class = SLACK_ERROR_SERVER, .code = "internal_error" }, 500, "server" },
    { { .class = SLACK_ERROR_SERVER, .code = "bad_answer" }, 502, "server" },
    { { .class = SLACK_ERROR_SERVER, .code = "unreachable" }, 0, "unreachable" },
    { { .class = SLACK_ERROR_CONTENT, .code = "invalid_blocks" }, 200, "content" },
    { { .class = SLACK_ERROR_GONE, .code = "message_not_found" }, 200, "gone" },
    { { .class = SLACK_ERROR_OTHER, .code = "of\"tomorrow\n" }, 200, "refused" },
};

START_TEST(calls_by_method_and_result)
{
    char line[160];
    slack_count_call(&slack.counts, SLACK_UPDATE, &answers[_i].r, answers[_i].status, 30000);
    (void)snprintf(line, sizeof line,
                   "codev_gateway_slack_calls_total{method=\"chat.update\",result=\"%s\"} 1",
                   answers[_i].result);
    ck_says(line);
    (void)snprintf(line, sizeof line,
                   "codev_gateway_slack_rate_limited_total{method=\"chat.update\"} %d",
                   answers[_i].status == 429);
    ck_says(line);
    ck_says("codev_gateway_slack_call_seconds_bucket{le=\"0.025\"} 0");
    ck_says("codev_gateway_slack_call_seconds_bucket{le=\"0.05\"} 1");
    /* A code of Slack's is no label, and what was never called has no series. */
    ck_assert_ptr_null(strstr(buf_str(&page), "tomorrow"));
    ck_assert_ptr_null(strstr(buf_str(&page), "views.open\",result"));
}
END_TEST

START_TEST(queues)
{
    static const char *const keys[] = { "k", NULL };
    ck_says("codev_gateway_slack_outbox_messages 0");
    ck_says("codev_gateway_slack_inbound_oldest_seconds 0");
    ck_assert_int_eq(store_outbox_put(slack.store, "slack", "l", "a", "m", "{}", false), 0);
    ck_assert_int_eq(store_inbound_put(slack.store, "slack", keys, "l", "event", "{}"), 1);
    slack.counts.delivered = 3;
    slack.counts.failed = 1;
    ck_says("codev_gateway_slack_outbox_messages 1");
    ck_says("codev_gateway_slack_inbound_waiting 1");
    ck_says("codev_gateway_slack_messages_total{result=\"delivered\"} 3");
    ck_says("codev_gateway_slack_messages_total{result=\"failed\"} 1");
}
END_TEST

START_TEST(the_probes_take_it_as_it_is)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    ck_says("codev_gateway_slack_connections_total 0");
    ck_assert_int_eq(metrics_take(&out, buf_str(&page), page.len, "codev_gateway_"), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("slack metrics");
    TCase *t = tcase_create("page");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, calls_by_method_and_result, 0, sizeof answers / sizeof *answers);
    tcase_add_test(t, queues);
    tcase_add_test(t, the_probes_take_it_as_it_is);
    suite_add_tcase(s, t);
    return run_suite(s);
}
