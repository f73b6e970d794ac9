/* rooms: bridge/gateway/opencode bridge/gateway/core base/trace bridge/gateway/store base/server base/http
 * base/ws base/json base/core */
#include "tests/unit/oc_helper.h"

/* ---------------------------------------------------------------- orders */

static bool posted(void)
{
    return posts >= 1;
}

static bool posted_twice(void)
{
    return posts >= 2;
}

START_TEST(decision_is_posted)
{
    run_until(reached);
    tell(ASKED("per_1", "ses_1"));
    run_until(per_1_pending);
    ck_assert_int_eq(core_decide(core, "own", "per_1", OUTCOME_REJECT, "use \"x\"", NULL, &ann), 0);
    run_until(posted);
    ck_assert_str_eq(last_post, "/permission/per_1/reply [/w] {\"reply\":\"reject\",\"message\":"
                                "\"use \\\"x\\\"\"}");
}
END_TEST

START_TEST(failure_is_posted_again)
{
    run_until(reached);
    tell(ASKED("per_1", "ses_1"));
    run_until(per_1_pending);
    post_status = 500;
    ck_assert_int_eq(core_decide(core, "own", "per_1", OUTCOME_ONCE, "", NULL, &ann), 0);
    run_until(posted_twice);
    post_status = 200;
    permissions = "[]";
    run_until(per_1_once); /* taken, and listed no more */
}
END_TEST

START_TEST(unknown_there_is_gone)
{
    run_until(reached);
    tell(ASKED("per_1", "ses_1"));
    run_until(per_1_pending);
    post_status = 404;
    ck_assert_int_eq(core_decide(core, "own", "per_1", OUTCOME_ONCE, "", NULL, &ann), 0);
    run_until(per_1_gone);
}
END_TEST

static bool is_refused(void)
{
    struct link_state l;
    core_links(core, &l);
    return strstr(l.opencode_reason, "onnect") != NULL;
}

/* It took the decision and died before it said so. */
START_TEST(death_takes_the_decision_along)
{
    run_until(reached);
    tell(ASKED("per_1", "ses_1"));
    run_until(per_1_pending);
    hold_posts = true;
    ck_assert_int_eq(core_decide(core, "own", "per_1", OUTCOME_ONCE, "", NULL, &ann), 0);
    run_until(posted);
    uint16_t port = server_port(server);
    server_free(server);
    run_until(is_refused);
    hold_posts = false;
    post_status = _i == 0 ? 404 : 500; /* 0: the delivery finds out, 1: the lists do */
    odd_lists = _i == 0;
    open_server(port);
    run_until(per_1_settled);
    ck_assert(per_1_gone());
}
END_TEST

static void writable(bool yes)
{
    ck_assert_int_eq(sqlite3_exec(store->db, yes ? "PRAGMA query_only=0" : "PRAGMA query_only=1",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
}

static bool store_is_bad(void)
{
    struct link_state l;
    core_links(core, &l);
    return *l.store_reason != '\0';
}

/* The stream does not repeat what could not be stored. */
START_TEST(full_disk_is_said_and_read_again)
{
    run_until(reached);
    tell(CREATED("ses_1"));
    writable(false);
    tell(ASKED("per_1", "ses_1"));
    run_until(store_is_bad);
    struct seen s;
    ck_assert(!known("per_1", &s));
    permissions = "[" LISTED("per_1", "ses_1") "]";
    status_map = "{\"ses_1\":{\"type\":\"busy\"}}";
    writable(true);
    run_until(per_1_pending);
    ck_assert(!store_is_bad());
    ck_assert_uint_eq(streams, 1);
}
END_TEST

/* One session of the list is deleted; the child of another still finds its root. */
START_TEST(deleted_session_hides_no_other)
{
    permissions = "[" LISTED("per_1", "ses_gone") "," LISTED("per_2", "ses_2") "]";
    status_map = "{\"ses_gone\":{\"type\":\"busy\"},\"ses_2\":{\"type\":\"busy\"}}";
    one_session = SESSION("ses_2", ",\"parentID\":\"ses_1\"");
    struct seen s;
    run_until(per_2_pending);
    ck_assert(known("per_2", &s));
    ck_assert_str_eq(s.root, "ses_1");
    ck_assert(known("per_1", &s));
    ck_assert_str_eq(s.root, "ses_gone");
}
END_TEST

static int done_error = 1;
static char done_session[64];

static void on_done(void *data, int error, const char *message, const char *session_id)
{
    (void)data;
    (void)message;
    done_error = error;
    (void)snprintf(done_session, sizeof done_session, "%s", session_id);
}

static bool is_done(void)
{
    return done_error != 1;
}

START_TEST(start_creates_and_prompts)
{
    struct session_start s = { .title = "T", .prompt = "go", .model = "p/m/x", .actor = &ann };
    run_until(reached);
    post_answer = SESSION("ses_5", "");
    ck_assert_int_eq(core_session_start(core, &s, on_done, NULL), 0);
    run_until(is_done);
    ck_assert_int_eq(done_error, 0);
    ck_assert_str_eq(done_session, "ses_5");
    ck_assert_uint_eq(posts, 2);
    ck_assert_str_eq(last_post, "/session/ses_5/prompt_async [/w] {\"parts\":[{\"type\":\"text\","
                                "\"text\":\"go\"}],\"model\":{\"providerID\":\"p\",\"modelID\":"
                                "\"m/x\"}}");
}
END_TEST

START_TEST(nobody_there_is_an_answer)
{
    struct session_start s = { .prompt = "go", .actor = &ann };
    settings.opencode_url = "http://127.0.0.1:1";
    ck_assert_int_eq(core_session_start(core, &s, on_done, NULL), 0);
    run_until(is_done);
    ck_assert_int_eq(done_error, -ENOTCONN);
}
END_TEST

/* What a turn says before the events are read would be lost: nothing begins to work until then. */
START_TEST(freed_before_it_is_up)
{
    struct session_start s = { .prompt = "go", .actor = &ann, .message_id = "msg_1" };
    hold_lists = true;
    run_until(is_held);
    tell(ASKED("per_1", "ses_1"));
    ck_assert_int_eq(core_session_start(core, &s, on_done, NULL), 0);
    ck_assert_int_eq(done_error, -ENOTCONN);
    ck_assert_uint_eq(posts, 0);
    opencode_free(oc);
    oc = NULL;
}
END_TEST

START_TEST(freed_in_the_middle)
{
    struct session_start s = { .prompt = "go", .actor = &ann };
    run_until(reached);
    ck_assert_int_eq(core_session_start(core, &s, on_done, NULL), 0);
    opencode_free(oc);
    oc = NULL;
    ck_assert_int_eq(done_error, -ECONNRESET);
}
END_TEST

int main(void)
{
    (void)setenv("CODEV_LOG_LEVEL", "error", 0);
    log_init("test");
    Suite *s = suite_create("opencode");
    TCase *t = tcase_create("orders");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, decision_is_posted);
    tcase_add_test(t, failure_is_posted_again);
    tcase_add_test(t, unknown_there_is_gone);
    tcase_add_loop_test(t, death_takes_the_decision_along, 0, 2);
    tcase_add_test(t, full_disk_is_said_and_read_again);
    tcase_add_test(t, deleted_session_hides_no_other);
    tcase_add_test(t, start_creates_and_prompts);
    tcase_add_test(t, nobody_there_is_an_answer);
    tcase_add_test(t, freed_before_it_is_up);
    tcase_add_test(t, freed_in_the_middle);
    suite_add_tcase(s, t);
    return run_suite(s);
}
