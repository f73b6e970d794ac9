/* rooms: bridge/gateway/slack bridge/gateway/slack/render bridge/gateway/slack/wire bridge/gateway/store base/server base/json base/trace base/core */
/* What people did in Slack, from the store to its worker: order, pauses, ids of prompts, and that
 * the wall clock does not matter. The workers are the test's own. */
#include "bridge/gateway/slack/intake.h"

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "bridge/gateway/core/crash.h"
#include "bridge/gateway/slack/answer.h"
#include "bridge/gateway/slack/decide.h"
#include "bridge/gateway/slack/inbound.h"
#include "bridge/gateway/slack/internal.h"
#include "bridge/gateway/slack/requests.h"
#include "bridge/gateway/slack/start.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/run_suite.h"

static long wall_offset_s;

/* Instead of libc's. */
int clock_gettime(clockid_t id, struct timespec *ts)
{
    int r = (int)syscall(SYS_clock_gettime, id, ts);
    if (id == CLOCK_REALTIME)
        ts->tv_sec += wall_offset_s;
    return r;
}

static uv_loop_t loop;
static struct slack slack;
static struct intake *intake;
static char seen[256];
static struct intake_item *held;      /* the last that was handed out */
static struct intake_item *others[8]; /* those before it: nobody works on them */
static size_t other_count;
static void (*work)(struct intake_item *i);

/* ---- what intake.c calls of the rest of the connector */

static void take(struct intake_item *i)
{
    strncat(seen, json_str(i->payload, "n", "?"), sizeof seen - strlen(seen) - 1);
    work(i);
}

void inbound_work(struct slack *s, struct intake_item *i)
{
    (void)s;
    take(i);
}

void decide_work(struct slack *s, struct intake_item *i)
{
    (void)s;
    take(i);
}

void answer_work(struct slack *s, struct intake_item *i)
{
    (void)s;
    take(i);
}

void start_work(struct slack *s, struct intake_item *i)
{
    (void)s;
    take(i);
}

static unsigned offered;

void requests_offer(struct slack *s)
{
    (void)s;
    offered++;
}

void slack_problem(struct slack *s, enum slack_problem p, const char *reason)
{
    (void)s;
    (void)p;
    (void)reason;
}

void core_prompt_id(char ret[PROMPT_ID_SIZE])
{
    static unsigned count;
    (void)snprintf(ret, PROMPT_ID_SIZE, "msg_%u", ++count);
}

void crash_point(const char *name)
{
    (void)name;
}

/* ---- workers */

static void finish(struct intake_item *i)
{
    intake_done(i);
}

static void hold(struct intake_item *i)
{
    if (held && other_count < ARRAY_SIZE(others))
        others[other_count++] = held;
    held = i;
}

static void later_then_finish(struct intake_item *i)
{
    work = finish;
    intake_later(i, 30);
}

/* ---- fixture */

static void open_all(void)
{
    ck_assert_int_eq(intake_new(&intake, &slack), 0);
}

static void setup(void)
{
    struct error e = ERROR_INIT;
    wall_offset_s = 0;
    seen[0] = '\0';
    held = NULL;
    work = finish;
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    slack = (struct slack){ .loop = &loop };
    ck_assert_int_eq(store_open(&slack.store, NULL, NULL, &e), 0);
    open_all();
}

static void teardown(void)
{
    intake_drop(held);
    while (other_count)
        intake_drop(others[--other_count]);
    intake_free(intake);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    store_close(slack.store);
}

static int put(const char *lane, const char *name)
{
    const char *keys[] = { name, NULL };
    cJSON *j = cJSON_CreateObject();
    json_add_str(j, "n", name);
    return intake_put(intake, "message", lane, keys, j);
}

/* Until `want` was seen, at most for `ms`. */
static void until(const char *want, uint64_t ms)
{
    uint64_t end = clock_mono_ms() + ms;
    while (strcmp(seen, want) != 0 && clock_mono_ms() < end) {
        (void)uv_run(&loop, UV_RUN_NOWAIT);
        (void)usleep(1000);
    }
    ck_assert_str_eq(seen, want);
}

START_TEST(each_once_in_order_within_its_lane)
{
    ck_assert_int_eq(put("a", "1"), 1);
    ck_assert_int_eq(put("a", "2"), 1);
    ck_assert_int_eq(put("b", "3"), 1);
    ck_assert_int_eq(put("b", "3"), 0);
    ck_assert_uint_eq(intake_stored(intake), 3);
    work = hold;
    intake_work(intake);
    ck_assert_str_eq(seen, "13");
    intake_work(intake); /* both lanes are being worked on */
    ck_assert_str_eq(seen, "13");
}
END_TEST

/* Stored with a time in an hour, as it was once, a lane would have waited for that hour. */
START_TEST(a_clock_set_back_holds_nothing_up)
{
    ck_assert_int_eq(put("a", "1"), 1);
    work = later_then_finish;
    intake_work(intake);
    wall_offset_s = -3600;
    until("11", 20000);
}
END_TEST

START_TEST(a_clock_set_back_while_the_store_fails)
{
    ck_assert_int_eq(put("a", "1"), 1);
    work = hold;
    intake_work(intake);
    intake_drop(held);
    held = NULL;
    work = finish;
    wall_offset_s = -3600;
    until("11", 20000);
}
END_TEST

START_TEST(it_rests_no_longer_than_it_was_told)
{
    ck_assert_int_eq(put("a", "1"), 1);
    ck_assert_int_eq(put("a", "2"), 1);
    work = later_then_finish;
    intake_work(intake);
    intake_work(intake); /* too early */
    ck_assert_str_eq(seen, "1");
    until("112", 20000);
    ck_assert_int_eq(intake_waits(intake, "a"), false);
}
END_TEST

static char note[PROMPT_ID_SIZE];

static int read_note(void *data, const struct inbound_item *i)
{
    (void)data;
    (void)snprintf(note, sizeof note, "%s", i->note);
    return 0;
}

static const char *stored_note(void)
{
    note[0] = '\0';
    ck_assert_int_eq(store_inbound_each(slack.store, CONNECTOR, read_note, NULL), 0);
    return note;
}

static struct intake_item *take_up(const char *seen_then)
{
    until(seen_then, 20000);
    ck_assert_ptr_nonnull(held);
    struct intake_item *i = held;
    held = NULL;
    return i;
}

START_TEST(what_never_left_gets_a_new_id)
{
    char first[PROMPT_ID_SIZE], second[PROMPT_ID_SIZE];
    ck_assert_int_eq(put("a", "1"), 1);
    intake_work(intake);
    ck_assert_str_eq(seen, "1");
    ck_assert_int_eq(put("a", "2"), 1);
    work = hold;
    intake_work(intake);
    struct intake_item *i = take_up("12");
    ck_assert_int_eq(intake_prompt_id(i, first), 0);
    ck_assert_str_eq(stored_note(), first);
    intake_retry(i, -ENOTCONN);
    ck_assert_str_eq(stored_note(), "");
    i = take_up("122");
    ck_assert_int_eq(i->attempts, 1);
    ck_assert_int_eq(intake_prompt_id(i, second), 0);
    ck_assert_str_ne(first, second);
    ck_assert_int_eq(i->attempts, 2);
    intake_done(i);
}
END_TEST

/* It may be in OpenCode under that id, and is looked for there; also when the next attempt surely
 * never left. */
START_TEST(what_may_have_left_keeps_its_id)
{
    char first[PROMPT_ID_SIZE], second[PROMPT_ID_SIZE];
    ck_assert_int_eq(put("a", "1"), 1);
    work = hold;
    intake_work(intake);
    struct intake_item *i = take_up("1");
    ck_assert_int_eq(intake_prompt_id(i, first), 0);
    intake_retry(i, -ETIMEDOUT);
    ck_assert_str_eq(stored_note(), first);
    i = take_up("11");
    ck_assert(i->again);
    ck_assert_int_eq(intake_prompt_id(i, second), 0);
    ck_assert_str_eq(first, second);
    intake_retry(i, -ENOTCONN);
    ck_assert_str_eq(stored_note(), first);
    intake_done(take_up("111"));
}
END_TEST

/* What a former process may have sent has time to arrive; what it had not begun waits for nothing.
 */
START_TEST(after_a_crash)
{
    char id[PROMPT_ID_SIZE];
    ck_assert_int_eq(put("a", "1"), 1);
    ck_assert_int_eq(put("b", "2"), 1);
    work = hold;
    intake_work(intake);
    struct intake_item *b = held;
    ck_assert_int_eq(intake_prompt_id(b, id), 0);
    intake_free(intake);
    intake_drop(b);
    held = NULL;
    seen[0] = '\0';
    work = finish;
    uint64_t begun = clock_mono_ms();
    wall_offset_s = -7200;
    offered = 0;
    open_all();
    ck_assert(intake_unsettled(intake));
    until("12", 20000);
    for (int i = 0; i < 1000 && !offered; i++) {
        (void)uv_run(&loop, UV_RUN_NOWAIT);
        (void)usleep(1000);
    }
    ck_assert_uint_eq(offered, 1);
    ck_assert(!intake_unsettled(intake));
    ck_assert_uint_ge(clock_mono_ms() - begun, 1000);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("slack intake");
    TCase *t = tcase_create("intake");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, each_once_in_order_within_its_lane);
    tcase_add_test(t, a_clock_set_back_holds_nothing_up);
    tcase_add_test(t, a_clock_set_back_while_the_store_fails);
    tcase_add_test(t, it_rests_no_longer_than_it_was_told);
    tcase_add_test(t, what_never_left_gets_a_new_id);
    tcase_add_test(t, what_may_have_left_keeps_its_id);
    tcase_add_test(t, after_a_crash);
    suite_add_tcase(s, t);
    return run_suite(s);
}
