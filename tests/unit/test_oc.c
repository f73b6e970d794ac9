/* rooms: bridge/gateway/opencode bridge/gateway/core base/trace bridge/gateway/store base/server base/http
 * base/ws base/json base/core */
#include "tests/unit/oc_helper.h"

/* ---------------------------------------------------------------- reaching it */

START_TEST(early_requests_are_never_answered)
{
    swallow = 2;
    run_until(reached);
    ck_assert_uint_ge(probes, 3);
    ck_assert_uint_eq(streams, 1);
}
END_TEST

static bool refused(void)
{
    struct link_state l;
    core_links(core, &l);
    return strstr(l.opencode_reason, "password") != NULL;
}

START_TEST(wrong_password_is_said)
{
    refuse_password = true;
    run_until(refused);
    refuse_password = false;
    run_until(reached);
}
END_TEST

static bool stream_is_gone(void)
{
    return stream == NULL;
}

static const struct way_ops no_ops;

START_TEST(a_bridge_ends_the_stream)
{
    struct way *bridge;
    run_until(reached);
    ck_assert_int_eq(core_way_add(&bridge, core, WAY_BRIDGE, "own", "i", &no_ops, NULL), 0);
    run_until(stream_is_gone);
    struct link_state l;
    core_links(core, &l);
    ck_assert_str_eq(l.opencode, "bridge");
    core_way_remove(bridge);
    run_until(reached);
    ck_assert_uint_eq(streams, 2);
}
END_TEST

START_TEST(a_hub_has_no_direct_way)
{
    struct opencode *none;
    settings.opencode_url = "";
    ck_assert_int_eq(opencode_new(&none, core, NULL, NULL), 0);
    ck_assert_ptr_null(none);
}
END_TEST

/* ---------------------------------------------------------------- events */

START_TEST(asked_and_answered_by_the_stream)
{
    run_until(reached);
    tell(CREATED("ses_1"));
    tell("{\"type\":\"sync\",\"properties\":{}}");
    tell(ASKED("per_1", "ses_1"));
    run_until(per_1_pending);
    tell(REPLIED("per_1", "once"));
    run_until(per_1_once);
}
END_TEST

START_TEST(child_is_looked_up_before)
{
    struct seen s;
    run_until(reached);
    tell(CREATED("ses_1"));
    one_session = SESSION("ses_2", ",\"parentID\":\"ses_1\"");
    tell(ASKED("per_1", "ses_2"));
    run_until(per_1_pending);
    ck_assert(known("per_1", &s));
    ck_assert_str_eq(s.root, "ses_1");
}
END_TEST

START_TEST(unknown_session_becomes_a_root)
{
    run_until(reached);
    tell(ASKED("per_1", "ses_7"));
    run_until(per_1_pending);
}
END_TEST

START_TEST(nonsense_is_passed_over)
{
    static const char junk[] = "data: no json\n\ndata: []\n\ndata: {\"payload\":7}\n\n: x\n\n"
                               "data: {\"payload\":{\"type\":\"permission.asked\"}}\n\n"
                               "data: {\"payload\":{\"type\":\"permission.asked\",\"properties\":"
                               "{\"id\":{}}}}\n\n"
                               "data: {\"payload\":{\"type\":\"message.part.updated\","
                               "\"properties\":{\"part\":[1]}}}\n\n"
                               "data: {\"payload\":{\"type\":\"session.status\",\"properties\":"
                               "{\"sessionID\":\"ses_1\",\"status\":\"busy\"}}}\n\n";
    run_until(reached);
    ck_assert_int_eq(server_stream_write(stream, junk, strlen(junk)), 0);
    tell(ASKED("per_1", "ses_1"));
    run_until(per_1_pending);
    ck_assert_uint_eq(streams, 1);
}
END_TEST

START_TEST(idle_voids)
{
    run_until(reached);
    tell(ASKED("per_1", "ses_1"));
    run_until(per_1_pending);
    tell("{\"type\":\"session.error\",\"properties\":{\"sessionID\":\"ses_1\",\"error\":{"
         "\"name\":\"MessageAbortedError\",\"data\":{\"message\":\"Aborted\"}}}}");
    run_until(per_1_gone);
}
END_TEST

static bool two_texts(void)
{
    return strstr(texts, "|Hello world|") != NULL && strstr(texts, "|bash: ls|completed") != NULL;
}

static enum session_status last_status;
static char last_text[128];

static int see_session(void *data, const struct session *s)
{
    (void)data;
    last_status = s->status;
    (void)snprintf(last_text, sizeof last_text, "%s", s->status_text);
    return 0;
}

static bool failed(void)
{
    return core_with_session(core, "own", "ses_1", see_session, NULL) == 0 &&
           last_status == SESSION_ERROR && strcmp(last_text, "no such model") == 0;
}

static bool at_work(void)
{
    return core_with_session(core, "own", "ses_1", see_session, NULL) == 0 &&
           last_status == SESSION_BUSY;
}

#define STATUS(type)                                                                                    \
    "{\"type\":\"session.status\",\"properties\":{\"sessionID\":\"ses_1\",\"status\":{\"type\":\"" type \
    "\"}}}"
#define IDLE "{\"type\":\"session.idle\",\"properties\":{\"sessionID\":\"ses_1\"}}"
#define FAILED(session)                                                                            \
    "{\"type\":\"session.error\",\"properties\":{" session "\"error\":{\"name\":\"E\",\"data\":{"  \
    "\"message\":\"no such model\"}}}}"

/* An error ends a turn with no idle after it, or with two; that of a plugin is no session's. */
START_TEST(errors_with_and_without_an_end)
{
    run_until(reached);
    tell(CREATED("ses_1"));
    tell(STATUS("busy"));
    tell(FAILED(""));
    run_until(at_work);
    tell(FAILED("\"sessionID\":\"ses_1\","));
    run_until(failed);
    tell(IDLE);
    tell(IDLE);
    tell(ASKED("per_1", "ses_1")); /* comes after them */
    run_until(per_1_pending);
    ck_assert(failed());
    ck_assert_uint_eq(streams, 1);
}
END_TEST

START_TEST(text_grows_and_tools_are_told)
{
    run_until(reached);
    tell(CREATED("ses_1"));
    tell("{\"type\":\"message.updated\",\"properties\":{\"info\":{\"id\":\"msg_u\",\"role\":"
         "\"user\"}}}");
    tell("{\"type\":\"message.part.updated\",\"properties\":{\"part\":{\"id\":\"prt_u\",\"type\":"
         "\"text\",\"text\":\"do it\",\"messageID\":\"msg_u\",\"sessionID\":\"ses_1\"}}}");
    tell("{\"type\":\"message.part.updated\",\"properties\":{\"part\":{\"id\":\"prt_1\",\"type\":"
         "\"text\",\"text\":\"\",\"messageID\":\"msg_1\",\"sessionID\":\"ses_1\"}}}");
    static const char *const deltas[] = { "Hel", "lo ", "world" };
    for (size_t i = 0; i < 3; i++) {
        char s[256];
        (void)snprintf(s, sizeof s,
                       "{\"type\":\"message.part.delta\",\"properties\":{\"partID\":\"prt_1\","
                       "\"field\":\"text\",\"delta\":\"%s\"}}",
                       deltas[i]);
        tell(s);
    }
    tell("{\"type\":\"message.part.delta\",\"properties\":{\"partID\":\"prt_1\",\"field\":"
         "\"metadata\",\"delta\":\"odd\"}}");
    tell("{\"type\":\"message.part.delta\",\"properties\":{\"partID\":\"prt_thought\",\"field\":"
         "\"text\",\"delta\":\"secret\"}}");
    for (int i = 0; i < 3; i++)
        tell("{\"type\":\"message.part.updated\",\"properties\":{\"part\":{\"id\":\"prt_2\","
             "\"type\":\"tool\",\"tool\":\"bash\",\"sessionID\":\"ses_1\",\"state\":{\"status\":"
             "\"completed\",\"input\":{\"command\":\"ls\"}}}}}");
    run_until(two_texts);
    ck_assert_ptr_nonnull(strstr(texts, "0|ses_1|user|do it|completed;"));
    ck_assert_ptr_null(strstr(texts, "secret"));
    const char *tool = strstr(texts, "bash: ls");
    ck_assert_ptr_null(strstr(tool + 1, "bash: ls")); /* each state once */
}
END_TEST

/* ---------------------------------------------------------------- reading again */

START_TEST(what_waits_is_read)
{
    permissions = "[" LISTED("per_1", "ses_1") "," LISTED("per_2", "ses_2") "]";
    status_map = "{\"ses_1\":{\"type\":\"busy\"}}";
    struct seen s;
    run_until(reached);
    run_until(per_1_pending);
    ck_assert(!known("per_2", &s)); /* its session is idle: an abort left it there */
}
END_TEST

START_TEST(what_is_missing_after_a_cut_is_gone)
{
    run_until(reached);
    tell(ASKED("per_1", "ses_1"));
    tell(ASKED("per_2", "ses_1"));
    run_until(per_2_pending);
    permissions = "[" LISTED("per_2", "ses_1") "]";
    status_map = "{\"ses_1\":{\"type\":\"busy\"}}";
    server_stream_end(stream);
    stream = NULL;
    run_until(per_1_gone);
    ck_assert(per_2_pending());
    ck_assert_uint_eq(streams, 2);
}
END_TEST

START_TEST(events_during_the_reading_come_after_it)
{
    hold_lists = true;
    permissions = "[" LISTED("per_1", "ses_1") "]";
    status_map = "{\"ses_1\":{\"type\":\"busy\"}}";
    run_until(is_held);
    tell(REPLIED("per_1", "once")); /* between the list and its answer */
    tell(ASKED("per_2", "ses_1"));
    hold_lists = false;
    answer_list(held);
    held = NULL;
    run_until(per_1_once);
    run_until(per_2_pending); /* not listed, but newer than the list */
}
END_TEST

START_TEST(answered_during_the_cut_is_not_gone)
{
    run_until(reached);
    tell(ASKED("per_1", "ses_1"));
    run_until(per_1_pending);
    hold_lists = true;
    server_stream_end(stream);
    stream = NULL;
    run_until(is_held);
    tell(REPLIED("per_1", "once"));
    hold_lists = false;
    answer_list(held);
    held = NULL;
    run_until(per_1_settled);
    ck_assert(per_1_once());
}
END_TEST

static bool lists_again(void)
{
    return list_reads >= 2;
}

START_TEST(no_list_no_conclusion)
{
    run_until(reached);
    tell(ASKED("per_1", "ses_1"));
    run_until(per_1_pending);
    odd_lists = true;
    list_reads = 0;
    server_stream_end(stream);
    stream = NULL;
    run_until(lists_again);
    run_until(reached);
    ck_assert(per_1_pending());
    odd_lists = false;
    run_until(per_1_gone);
}
END_TEST

START_TEST(disposal_is_read_again)
{
    run_until(reached);
    tell(ASKED("per_1", "ses_1"));
    run_until(per_1_pending);
    tell("{\"type\":\"server.instance.disposed\",\"properties\":{\"directory\":\"/w\"}}");
    run_until(per_1_gone);
    ck_assert_uint_eq(streams, 1);
}
END_TEST

/* Said to be connected, the stream does not tell yet: found by the lists. */
START_TEST(what_the_stream_lost_is_found)
{
    status_map = "{\"ses_1\":{\"type\":\"busy\"}}";
    run_until(reached);
    permissions = "[" LISTED("per_1", "ses_1") "]";
    run_until(per_1_pending);
    permissions = "[]";
    run_until(per_1_gone);
    ck_assert_uint_eq(streams, 1);
}
END_TEST

static bool read_more(void)
{
    return list_reads > 0;
}

static uint64_t quiet_until;

static bool quiet_over(void)
{
    return clock_mono_ms() >= quiet_until;
}

/* Reading makes OpenCode load a directory: not for the sake of looking. */
START_TEST(an_idle_pod_is_not_read_again)
{
    run_until(reached);
    list_reads = 0;
    quiet_until = clock_mono_ms() + 200; /* ten times the distance between two readings */
    run_until(quiet_over);
    ck_assert_uint_eq(list_reads, 0);
    tell(ASKED("per_1", "ses_1"));
    run_until(read_more);
}
END_TEST

int main(void)
{
    (void)setenv("CODEV_LOG_LEVEL", "error", 0);
    log_init("test");
    Suite *s = suite_create("opencode");
    TCase *t = tcase_create("direct");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, early_requests_are_never_answered);
    tcase_add_test(t, wrong_password_is_said);
    tcase_add_test(t, a_bridge_ends_the_stream);
    tcase_add_test(t, a_hub_has_no_direct_way);
    tcase_add_test(t, asked_and_answered_by_the_stream);
    tcase_add_test(t, child_is_looked_up_before);
    tcase_add_test(t, unknown_session_becomes_a_root);
    tcase_add_test(t, nonsense_is_passed_over);
    tcase_add_test(t, idle_voids);
    tcase_add_test(t, errors_with_and_without_an_end);
    tcase_add_test(t, text_grows_and_tools_are_told);
    tcase_add_test(t, what_waits_is_read);
    tcase_add_test(t, what_is_missing_after_a_cut_is_gone);
    tcase_add_test(t, events_during_the_reading_come_after_it);
    tcase_add_test(t, answered_during_the_cut_is_not_gone);
    tcase_add_test(t, no_list_no_conclusion);
    tcase_add_test(t, disposal_is_read_again);
    suite_add_tcase(s, t);
    t = tcase_create("again");
    tcase_add_checked_fixture(t, setup_reading_again, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, what_the_stream_lost_is_found);
    tcase_add_test(t, an_idle_pod_is_not_read_again);
    suite_add_tcase(s, t);
    return run_suite(s);
}
