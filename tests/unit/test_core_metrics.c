/* rooms: bridge/gateway/core base/trace bridge/gateway/store base/metrics base/json base/core base/uvcontrol */
/* What the core counts, and what it reads of what waits. */
#include "tests/unit/core_helper.h"

#include "base/core/buf.h"
#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "bridge/gateway/core/metrics.h"

static struct buf page;

/* The page has this line. */
static bool says(const char *line)
{
    char want[200];
    buf_reset(&page);
    core_metrics(core, &page);
    (void)snprintf(want, sizeof want, "\n%s\n", line);
    return strstr(buf_str(&page), want) != NULL;
}
#define ck_says(line) ck_assert_msg(says(line), "%s not in %s", line, buf_str(&page))

static void end(void)
{
    buf_release(&page);
    teardown();
}

START_TEST(permissions_by_outcome)
{
    ck_says("codev_gateway_requests_settled_total{kind=\"permission\",outcome=\"once\"} 0");
    ask_for("per_1", "ses_1", "", 1);
    ask_for("per_2", "ses_1", "", 2);
    ask_for("per_3", "ses_2", "", 3);
    ck_says("codev_gateway_requests_total{kind=\"permission\"} 3");
    ck_says("codev_gateway_requests_open{kind=\"permission\",state=\"pending\"} 3");
    ck_assert_int_eq(decide("per_1", OUTCOME_ONCE, "", &ann), 0);
    ck_says("codev_gateway_requests_open{kind=\"permission\",state=\"deciding\"} 1");
    ck_says("codev_gateway_decision_seconds_count{kind=\"permission\"} 1");
    ck_says("codev_gateway_requests_settled_total{kind=\"permission\",outcome=\"once\"} 0");
    replied("per_1", OUTCOME_ONCE);
    replied("per_2", OUTCOME_ALWAYS); /* in OpenCode's own page: a person too */
    idle("ses_2");
    ck_says("codev_gateway_requests_settled_total{kind=\"permission\",outcome=\"once\"} 1");
    ck_says("codev_gateway_requests_settled_total{kind=\"permission\",outcome=\"always\"} 1");
    ck_says("codev_gateway_requests_settled_total{kind=\"permission\",outcome=\"gone\"} 1");
    ck_says("codev_gateway_requests_settled_total{kind=\"permission\",outcome=\"reject\"} 0");
    ck_says("codev_gateway_decision_seconds_count{kind=\"permission\"} 2");
    ck_says("codev_gateway_requests_open{kind=\"permission\",state=\"pending\"} 0");
    ck_says("codev_gateway_requests_oldest_seconds{kind=\"permission\"} 0");
}
END_TEST

/* A request that nobody answers is denied by the gateway: no decision of a person. */
START_TEST(expired)
{
    ask_for("per_1", "ses_1", "", 1);
    core->deadline_ms = 1;
    uint64_t end = clock_mono_ms() + 20000;
    do
        requests_check_deadline(core);
    while (look("per_1").state == REQUEST_PENDING && clock_mono_ms() < end);
    ck_assert_int_eq((int)look("per_1").state, (int)REQUEST_DECIDING);
    replied("per_1", OUTCOME_REJECT);
    ck_says("codev_gateway_requests_settled_total{kind=\"permission\",outcome=\"expired\"} 1");
    ck_says("codev_gateway_requests_settled_total{kind=\"permission\",outcome=\"reject\"} 0");
    ck_says("codev_gateway_decision_seconds_count{kind=\"permission\"} 0");
}
END_TEST

START_TEST(the_oldest_that_waits)
{
    struct request_row row = {
        .pod = POD,
        .id = "per_old",
        .instance = "i1",
        .session_id = "ses_1",
        .root_session_id = "ses_1",
        .directory = "/w",
        .permission = "bash",
        .summary = "ls",
        .detail = "{}",
        .created_ms = clock_wall_ms() - 3600000,
        .state = REQUEST_PENDING,
        .reason = "",
        .answers = "",
        .actor_connector = "",
        .actor_id = "",
        .actor_name = "",
    };
    ck_assert_int_eq(store_request_insert(store, &row), 1);
    ask_for("per_1", "ses_1", "", 1);
    ck_says("codev_gateway_requests_open{kind=\"permission\",state=\"pending\"} 2");
    const char *at = strstr(buf_str(&page), "_oldest_seconds{kind=\"permission\"} ");
    ck_assert_ptr_nonnull(at);
    double age = strtod(strchr(at, ' ') + 1, NULL);
    ck_assert(age >= 3600 && age < 3700);
    ck_says("codev_gateway_requests_oldest_seconds{kind=\"question\"} 0");
}
END_TEST

START_TEST(sessions_by_status)
{
    status("ses_1", SESSION_BUSY, "", 1);
    status("ses_2", SESSION_ERROR, "no", 2);
    status("ses_3", SESSION_RETRY, "later", 3);
    ck_says("codev_gateway_sessions{status=\"busy\"} 1");
    ck_says("codev_gateway_sessions{status=\"error\"} 1");
    ck_says("codev_gateway_sessions{status=\"retry\"} 1");
    ck_says("codev_gateway_sessions{status=\"idle\"} 0");
    struct feed f = feed(4);
    ck_assert_int_eq(core_feed_session_gone(&f, "ses_2"), 0);
    ck_says("codev_gateway_sessions{status=\"error\"} 0");
    ck_says("codev_gateway_sessions{status=\"gone\"} 1");
}
END_TEST

START_TEST(links)
{
    ck_says("codev_gateway_bridges 1");
    ck_says("codev_gateway_opencode_way{way=\"bridge\"} 1");
    ck_says("codev_gateway_slack_state{state=\"off\"} 1");
    close_way();
    ck_says("codev_gateway_bridges 0");
    ck_says("codev_gateway_opencode_way{way=\"none\"} 1");
    ck_says("codev_gateway_opencode_way{way=\"bridge\"} 0");
    open_way("i2");
    core_set_slack_state(core, "failed", "a reason\n\"with\" quotes");
    ck_says("codev_gateway_bridge_connections_total 2");
    ck_says("codev_gateway_bridge_losses_total 1");
    ck_says("codev_gateway_slack_state{state=\"failed\"} 1");
    ck_says("codev_gateway_slack_state{state=\"off\"} 0");
    ck_says("codev_gateway_store_failing 0");
}
END_TEST

/* Names of pods, sessions and people are as many as people make them. */
START_TEST(no_name_of_anybody_is_a_label)
{
    ask_for("per_1", "ses_1", "", 1);
    ck_assert_int_eq(decide("per_1", OUTCOME_REJECT, "a reason", &ann), 0);
    ck_says("codev_gateway_build_info{version=\"t\"} 1");
    static const char *const names[] = { POD, "ses_1", "per_1", "U1", "Ann", "a reason", "/w" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        ck_assert_ptr_null(strstr(buf_str(&page), names[i]));
}
END_TEST

START_TEST(the_probes_take_the_page_as_it_is)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    ck_says("codev_gateway_bridges 1");
    ck_assert_int_eq(metrics_take(&out, buf_str(&page), page.len, "codev_gateway_"), 0);
}
END_TEST

int main(void)
{
    (void)setenv("CODEV_LOG_LEVEL", "error", 0);
    log_init("test");
    Suite *s = suite_create("core metrics");
    TCase *t = tcase_create("page");
    tcase_add_checked_fixture(t, setup, end);
    tcase_add_test(t, permissions_by_outcome);
    tcase_add_test(t, expired);
    tcase_add_test(t, the_oldest_that_waits);
    tcase_add_test(t, sessions_by_status);
    tcase_add_test(t, links);
    tcase_add_test(t, no_name_of_anybody_is_a_label);
    tcase_add_test(t, the_probes_take_the_page_as_it_is);
    suite_add_tcase(s, t);
    return run_suite(s);
}
