/* rooms: bridge/gateway/core base/trace bridge/gateway/store base/metrics base/json base/core base/uvcontrol */
/* Where people are told of things: the rule for every combination, whose word counts, and what
 * rests on the web page until it is due in Slack. */
#include "tests/unit/core_helper.h"

#include "bridge/gateway/core/presence.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long wall_offset_s;

/* Instead of libc's. */
int clock_gettime(clockid_t id, struct timespec *ts)
{
    int r = (int)syscall(SYS_clock_gettime, id, ts);
    if (id == CLOCK_REALTIME)
        ts->tv_sec += wall_offset_s;
    return r;
}

/* ---------------------------------------------------------------- the rule */

#define NOW    1000000
#define WINDOW 600

enum activity_case { NEVER, ENDED, JUST_ENDED, GOES_ON, OF_THE_FUTURE, ACTIVITY_CASES };
static const int64_t active_at[ACTIVITY_CASES] = {
    [NEVER] = 0,           [ENDED] = NOW - 2 * WINDOW,   [JUST_ENDED] = NOW - WINDOW,
    [GOES_ON] = NOW - 100, [OF_THE_FUTURE] = NOW + 5000, /* the clock was set back: it counts from
                                                            now */
};

enum urgency { NO_URGENCY, URGENT_SOON, URGENT_LATE, URGENT_NOW, URGENT_SINCE, URGENCY_CASES };
static const int64_t urgent_at[URGENCY_CASES] = {
    [URGENT_SOON] = NOW + 10,
    [URGENT_LATE] = NOW + 9999,
    [URGENT_NOW] = NOW,
    [URGENT_SINCE] = NOW - 1,
};

/* S Slack, B both; W the web page, and after it when it comes to Slack: - never, u when it is
 * urgent, a when the activity ends. A column for each urgency. */
static const char *const rule[FOCUS_MAX][ACTIVITY_CASES] = {
    [FOCUS_SLACK] = { "S  S  S  B  B", "S  S  S  B  B", "S  S  S  B  B", "S  S  S  B  B",
                      "S  S  S  B  B" },
    [FOCUS_WEB] = { "W- Wu Wu B  B", "W- Wu Wu B  B", "W- Wu Wu B  B", "W- Wu Wu B  B",
                    "W- Wu Wu B  B" },
    [FOCUS_AUTO] = { "S  S  S  B  B", "S  S  S  B  B", "S  S  S  B  B", "Wa Wu Wa B  B",
                     "Wa Wu Wa B  B" },
};

START_TEST(every_combination)
{
    enum focus focus = (enum focus)(_i / ACTIVITY_CASES);
    unsigned active = (unsigned)_i % ACTIVITY_CASES;
    for (unsigned u = 0; u < URGENCY_CASES; u++)
        for (unsigned weight = 0; weight < WEIGHT_MAX; weight++) {
            const char *want = weight == WEIGHT_CRITICAL ? "B " : &rule[focus][active][u * 3];
            const struct presence p = {
                focus, NOW, active_at[active], WINDOW, (enum weight)weight, urgent_at[u]
            };
            int64_t end = (active == OF_THE_FUTURE ? NOW : active_at[active]) + WINDOW;
            struct presence_verdict v = presence_judge(&p);
            ck_assert_int_eq(v.told, *want == 'S'   ? TOLD_SLACK
                                     : *want == 'W' ? TOLD_WEB
                                                    : TOLD_BOTH);
            ck_assert_int_eq(v.slack_ms, *want != 'W'     ? 0
                                         : want[1] == 'u' ? urgent_at[u]
                                         : want[1] == 'a' ? end
                                                          : 0);
        }
}
END_TEST

START_TEST(urgent_while_it_can_still_be_answered)
{
    ck_assert_int_eq(presence_urgent_at(5000, 600000, 0), 605000);
    ck_assert_int_eq(presence_urgent_at(5000, 600000, 3600000), 605000);
    ck_assert_int_eq(presence_urgent_at(5000, 600000, 60000), 35000);
}
END_TEST

/* ---------------------------------------------------------------- in the core */

static struct settings with_presence;

static void open_here(void)
{
    with_presence = settings;
    with_presence.web_active_ms = with_presence.web_hold_ms = 600000;
    core->settings = &with_presence;
}

static void setup_here(void)
{
    wall_offset_s = 0;
    setup();
    open_here();
}

static void reopen(void)
{
    close_core();
    open_core();
    open_way("i1");
    open_here();
}

static int rests(void *data, const struct request *r)
{
    *(bool *)data = core_request_rests(core, r);
    return 0;
}

static bool does_rest(const char *id)
{
    bool it = false;
    ck_assert_int_eq(core_with_request(core, POD, id, rests, &it), 0);
    return it;
}

static void begun_by(const char *session, const char *connector, const char *id)
{
    const struct actor who = { connector, id, "" };
    struct session_start s = { .prompt = "x", .actor = &who };
    ck_assert_int_eq(core_session_start(core, &s, NULL, NULL), 0);
    answer(0, session);
}

START_TEST(rests_until_nobody_is_there)
{
    ask_for("per_1", "ses_1", "ses_1", 1);
    ck_assert(!does_rest("per_1")); /* nobody was ever there */
    core_web_activity(core);
    ask_for("per_2", "ses_2", "ses_2", 2);
    ck_assert(does_rest("per_2"));
    ck_assert(core_session_rests(core, POD, "ses_2"));
    ck_assert(!core_session_rests(core, POD, "ses_1"));
    told[0] = '\0';
    wall_offset_s += 500;
    presence_changed(core);
    ck_assert_str_eq(told, "");
    wall_offset_s += 101;
    presence_changed(core);
    ck_assert_str_eq(told, "per_2:pending:none: ");
    ck_assert(!does_rest("per_2"));
    ck_assert(!core_session_rests(core, POD, "ses_2"));
    presence_changed(core); /* once */
    ck_assert_str_eq(told, "per_2:pending:none: ");
}
END_TEST

START_TEST(rests_no_longer_than_the_hold_whoever_is_there)
{
    core_web_activity(core);
    ask_for("per_1", "ses_1", "ses_1", 1);
    ck_assert(does_rest("per_1"));
    told[0] = '\0';
    for (int i = 0; i < 4; i++) { /* somebody is there all the time */
        wall_offset_s += 180;
        core_web_activity(core);
        presence_changed(core);
        ck_assert_str_eq(told, i < 3 ? "" : "per_1:pending:none: ");
    }
}
END_TEST

START_TEST(its_time_comes_by_itself)
{
    with_presence.web_hold_ms = 300;
    core_web_activity(core);
    ask_for("per_1", "ses_1", "ses_1", 1);
    ck_assert(does_rest("per_1"));
    told[0] = '\0';
    uint64_t end = clock_mono_ms() + 20000;
    while (!*told && clock_mono_ms() < end) {
        (void)uv_run(&loop, UV_RUN_NOWAIT);
        (void)usleep(1000);
    }
    ck_assert_str_eq(told, "per_1:pending:none: ");
}
END_TEST

START_TEST(a_deadline_is_known_in_time)
{
    core->deadline_ms = 60000;
    core_web_activity(core);
    ask_for("per_1", "ses_1", "ses_1", 1);
    ck_assert(does_rest("per_1"));
    wall_offset_s += 31;
    ck_assert(!does_rest("per_1"));
}
END_TEST

START_TEST(decided_there_it_is_never_told_here)
{
    core_web_activity(core);
    ask_for("per_1", "ses_1", "ses_1", 1);
    ck_assert(does_rest("per_1"));
    ck_assert_int_eq(decide("per_1", OUTCOME_ONCE, "", &bob), 0);
    ck_assert(does_rest("per_1")); /* nobody need be asked */
    ck_assert(!core_session_rests(core, POD, "ses_1"));
    told[0] = '\0';
    wall_offset_s += 3600;
    presence_changed(core);
    ck_assert_str_eq(told, "");
}
END_TEST

START_TEST(survives_a_restart)
{
    core_web_activity(core);
    ck_assert_int_eq(core_set_focus(core, &ann, FOCUS_WEB), 0);
    ask_for("per_1", "ses_1", "ses_1", 1);
    ck_assert(does_rest("per_1"));
    reopen();
    struct focus_state f;
    core_focus(core, &ann, &f);
    ck_assert_int_eq(f.focus, FOCUS_WEB);
    ck_assert_int_gt(f.active_until_ms, clock_wall_ms());
    ck_assert(does_rest("per_1"));
    wall_offset_s += 601;
    ck_assert(!does_rest("per_1"));
    core_focus(core, &ann, &f);
    ck_assert_int_eq(f.active_until_ms, 0);
}
END_TEST

START_TEST(a_change_of_focus_tells_what_rests)
{
    core_web_activity(core);
    ask_for("per_1", "ses_1", "ses_1", 1);
    ck_assert(does_rest("per_1"));
    told[0] = '\0';
    ck_assert_int_eq(core_set_focus(core, &ann, FOCUS_SLACK), 0);
    ck_assert_str_eq(told, "per_1:pending:none: ");
    ck_assert(!does_rest("per_1"));
}
END_TEST

static enum focus focus_now(const struct actor *who)
{
    struct focus_state f;
    core_focus(core, who, &f);
    return f.focus;
}

/* One word each second. */
static void say(const struct actor *who, enum focus f)
{
    wall_offset_s++;
    ck_assert_int_eq(core_set_focus(core, who, f), 0);
}

START_TEST(whose_word_counts)
{
    static const struct actor carl = { "slack", "U3", "Carl" }, page = { "web", "Bob", "Bob" },
                              program = { "api", "", "API" };
    ck_assert_int_eq(focus_now(&ann), FOCUS_AUTO);
    say(&ann, FOCUS_WEB);
    ck_assert_int_eq(focus_now(&ann), FOCUS_WEB);
    ck_assert_int_eq(focus_now(&carl), FOCUS_AUTO); /* nobody else's sessions */
    ck_assert_int_eq(focus_now(&page), FOCUS_WEB);  /* the last word of all */
    ck_assert_int_eq(focus_now(&program), FOCUS_WEB);
    say(&page, FOCUS_SLACK); /* the page speaks for all */
    ck_assert_int_eq(focus_now(&ann), FOCUS_SLACK);
    ck_assert_int_eq(focus_now(&carl), FOCUS_SLACK);
    say(&carl, FOCUS_AUTO); /* and a person, later, for oneself */
    ck_assert_int_eq(focus_now(&carl), FOCUS_AUTO);
    ck_assert_int_eq(focus_now(&ann), FOCUS_SLACK);
    ck_assert_int_eq(focus_now(&page), FOCUS_AUTO);
}
END_TEST

START_TEST(a_session_follows_who_began_it)
{
    begun_by("ses_ann", "slack", "U1");
    begun_by("ses_web", "web", "Bob");
    say(&ann, FOCUS_WEB);
    say(&(struct actor){ "slack", "U3", "Carl" }, FOCUS_SLACK);
    ck_assert_int_eq(core_session_told(core, POD, "ses_ann"), TOLD_WEB);
    ck_assert_int_eq(core_session_told(core, POD, "ses_web"), TOLD_SLACK);
    ask_for("per_1", "ses_child", "ses_ann", 1); /* of a subagent */
    ck_assert(does_rest("per_1"));
    ask_for("per_2", "ses_web", "ses_web", 2);
    ck_assert(!does_rest("per_2"));
}
END_TEST

/* As an earlier version stored it: without a time. */
START_TEST(an_old_choice_counts)
{
    ck_assert_int_eq(store_put(store, "focus:slack:U1", "web"), 0);
    ck_assert_int_eq(focus_now(&ann), FOCUS_WEB);
    ck_assert_int_eq(store_put(store, "focus:slack:U1", "nonsense"), 0);
    ck_assert_int_eq(focus_now(&ann), FOCUS_AUTO);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("core_presence");
    TCase *t = tcase_create("rule");
    tcase_add_loop_test(t, every_combination, 0, FOCUS_MAX * ACTIVITY_CASES);
    tcase_add_test(t, urgent_while_it_can_still_be_answered);
    suite_add_tcase(s, t);
    t = tcase_create("core");
    tcase_add_checked_fixture(t, setup_here, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, rests_until_nobody_is_there);
    tcase_add_test(t, rests_no_longer_than_the_hold_whoever_is_there);
    tcase_add_test(t, its_time_comes_by_itself);
    tcase_add_test(t, a_deadline_is_known_in_time);
    tcase_add_test(t, decided_there_it_is_never_told_here);
    tcase_add_test(t, survives_a_restart);
    tcase_add_test(t, a_change_of_focus_tells_what_rests);
    tcase_add_test(t, whose_word_counts);
    tcase_add_test(t, a_session_follows_who_began_it);
    tcase_add_test(t, an_old_choice_counts);
    suite_add_tcase(s, t);
    return run_suite(s);
}
