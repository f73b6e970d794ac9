/* rooms: bridge/gateway/link bridge/gateway/core base/trace bridge/gateway/store base/server base/ws base/json
 * base/core */
/* Decisions as commands, requests by HTTP, and a crash between effect and number. */
#include "tests/unit/link_helper.h"

/* ---------------------------------------------------------------- decisions */

static void reply_taken(struct client *c, const cJSON *cmd)
{
    char s[256];
    (void)snprintf(s, sizeof s,
                   "{\"type\":\"permission.reply.result\",\"request_id\":\"%s\","
                   "\"permission_id\":\"per_1\"}",
                   json_str(cmd, "request_id", ""));
    text(c, s);
}

START_TEST(decision_becomes_a_command)
{
    struct client c;
    ck_assert_int_eq(hello(&c, "i", 0), 0);
    asked(&c, 1, "per_1");
    expect_ack(&c, 1);
    people_allow();
    cJSON *j = expect(&c, "permission.reply");
    ck_assert_str_eq(json_str(j, "permission_id", ""), "per_1");
    ck_assert_str_eq(json_str(j, "reply", ""), "once");
    ck_assert_str_eq(json_str(j, "directory", ""), "/w");
    reply_taken(&c, j);
    cJSON_Delete(j);
    text(&c, "{\"type\":\"permission.replied\",\"seq\":2,\"session_id\":\"ses_1\","
             "\"permission_id\":\"per_1\",\"reply\":\"once\"}");
    expect_ack(&c, 2);
    hang_up(&c);
}
END_TEST

START_TEST(lost_link_asks_again_with_the_same_id)
{
    struct client c;
    ck_assert_int_eq(hello(&c, "i", 0), 0);
    asked(&c, 1, "per_1");
    expect_ack(&c, 1);
    people_allow();
    cJSON *first = expect(&c, "permission.reply");
    hang_up(&c);
    ck_assert_int_eq(hello(&c, "i", 1), 1);
    cJSON *second = expect(&c, "permission.reply");
    ck_assert_str_eq(json_str(first, "request_id", "a"), json_str(second, "request_id", "b"));
    cJSON_Delete(first);
    cJSON_Delete(second);
    kill_gateway();
    start_gateway();
    hang_up(&c);
    ck_assert_int_eq(hello(&c, "i", 1), 1);
    cJSON *third = expect(&c, "permission.reply"); /* the decision survived */
    ck_assert_str_eq(json_str(third, "reply", ""), "once");
    cJSON_Delete(third);
    hang_up(&c);
}
END_TEST

START_TEST(new_instance_is_asked_for_old_directories)
{
    struct client c;
    ck_assert_int_eq(hello(&c, "i", 0), 0);
    text(&c, "{\"type\":\"permission.asked\",\"seq\":1,\"directory\":\"/elsewhere\","
             "\"session_id\":\"s\",\"root_session_id\":\"s\",\"permission\":{\"id\":\"per_9\"}}");
    expect_ack(&c, 1);
    hang_up(&c);
    ck_assert_int_eq(hello(&c, "j", 0), 0);
    cJSON *j = expect(&c, "state.sync");
    ck_assert_str_eq(json_str(j, "directory", ""), "/elsewhere");
    cJSON_Delete(j);
    text(&c, "{\"type\":\"state.sync\",\"seq\":1,\"directory\":\"/elsewhere\",\"session_id\":\"\","
             "\"as_of_seq\":0,\"complete\":true,\"permissions\":[],\"questions\":[],\"busy\":[],"
             "\"sessions\":[]}");
    expect_ack(&c, 1);
    char answer[512];
    ck_assert_int_eq(
        post(TOKEN, "{\"id\":\"per_9\",\"session_id\":\"s\",\"pod\":\"p\"}", answer, sizeof answer),
        410);
    ck_assert_ptr_nonnull(strstr(answer, "restarted"));
    hang_up(&c);
}
END_TEST

START_TEST(first_generation_needs_no_hello)
{
    struct client c;
    char answer[512];
    dial_bridge(&c);
    text(&c, "{\"type\":\"permission.asked\",\"session_id\":\"s\",\"permission\":{\"id\":"
             "\"per_1\",\"permission\":\"bash\"}}");
    text(&c, "{\"type\":\"session.active\",\"session_id\":\"s\"}");
    uint64_t until = clock_mono_ms() + WAIT_MS;
    while (post(TOKEN, "{\"id\":\"per_1\",\"sessionID\":\"s\"}", answer, sizeof answer) != 202)
        ck_assert_uint_lt(clock_mono_ms(), until);
    people_allow();
    cJSON *j = expect(&c, "permission.reply");
    ck_assert_str_eq(json_str(j, "permission_id", ""), "per_1");
    cJSON_Delete(j);
    hang_up(&c);
}
END_TEST

START_TEST(first_generation_leaves_nothing_open)
{
    struct client c;
    char answer[512];
    dial_bridge(&c);
    text(&c, "{\"type\":\"permission.asked\",\"session_id\":\"s\",\"permission\":{\"id\":"
             "\"per_1\",\"permission\":\"bash\"}}");
    text(&c, "{\"type\":\"ping\"}");
    shutdown(c.fd, SHUT_WR);
    while (more(&c, clock_mono_ms() + WAIT_MS))
        ;
    hang_up(&c);
    uint64_t until = clock_mono_ms() + WAIT_MS;
    while (post(TOKEN, "{\"id\":\"per_1\",\"session_id\":\"s\"}", answer, sizeof answer) != 410)
        ck_assert_uint_lt(clock_mono_ms(), until);
}
END_TEST

/* ---------------------------------------------------------------- by HTTP */

static const struct {
    const char *token, *body;
    int status;
} calls[] = {
    { "", CALL, 401 },
    { "wrong", CALL, 401 },
    { TOKEN, "", 400 },
    { TOKEN, "[]", 400 },
    { TOKEN, "{\"id\":7,\"session_id\":\"s\"}", 400 },
    { TOKEN, "{\"id\":\"per_1\"}", 400 },
    { TOKEN, "{\"id\":\"per_1\",\"session_id\":\"s\",\"directory\":7}", 400 },
    { TOKEN, CALL, 202 },
    { "api-token", CALL, 202 },
    { TOKEN, "{\"id\":\"per_2\",\"sessionID\":\"s\",\"type\":\"bash\",\"pattern\":\"ls\"}", 202 },
    { TOKEN, "{\"id\":\"per_3\",\"session_id\":\"s\",\"metadata\":\"odd\",\"patterns\":[7]}", 202 },
};

START_TEST(calls_are_checked)
{
    char answer[512];
    ck_assert_int_eq(post(calls[_i].token, calls[_i].body, answer, sizeof answer),
                     calls[_i].status);
    gateway_lives();
}
END_TEST

START_TEST(call_waits_for_the_decision)
{
    char answer[512];
    ck_assert_int_eq(post(TOKEN, CALL, answer, sizeof answer), 202);
    ck_assert_ptr_nonnull(strstr(answer, "pending"));
    people_allow();
    uint64_t until = clock_mono_ms() + WAIT_MS;
    while (post(TOKEN, CALL, answer, sizeof answer) != 200)
        ck_assert_uint_lt(clock_mono_ms(), until);
    ck_assert_ptr_nonnull(strstr(answer, "\"status\":\"allow\""));
    ck_assert_ptr_nonnull(strstr(answer, "\"decision\":\"once\""));
    ck_assert_ptr_nonnull(strstr(answer, "\"decided_by\":\"Ann\""));
    kill_gateway();
    start_gateway();
    ck_assert_int_eq(post(TOKEN, CALL, answer, sizeof answer), 200); /* also after a restart */
}
END_TEST

START_TEST(caller_that_goes_away_takes_nothing_along)
{
    char answer[512];
    static const char call[] = "POST /api/opencode/permission HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                               "Authorization: Bearer " TOKEN "\r\nContent-Type: application/json"
                               "\r\nContent-Length: 45\r\n\r\n" CALL;
    struct client c = { .fd = dial() };
    send_all(c.fd, call, strlen(call));
    hang_up(&c);
    uint64_t until = clock_mono_ms() + WAIT_MS;
    while (post(TOKEN, CALL, answer, sizeof answer) != 202)
        ck_assert_uint_lt(clock_mono_ms(), until);
    gateway_lives();
}
END_TEST

/* ---------------------------------------------------------------- crash */

START_TEST(effect_and_number_are_one)
{
    struct client c;
    char answer[512];
    int status;
    kill_gateway();
    (void)setenv("CODEV_CRASH_AT", "link.effect", 1);
    start_gateway();
    ck_assert_int_eq(hello(&c, "i", 0), 0);
    asked(&c, 1, "per_1");
    ck_assert_int_eq(waitpid(gateway, &status, 0), gateway);
    ck_assert(WIFSIGNALED(status));
    gateway = 0;
    hang_up(&c);
    (void)unsetenv("CODEV_CRASH_AT");
    start_gateway();
    ck_assert_int_eq(hello(&c, "i", 1), 1);
    ck_assert_int_eq(post(TOKEN, CALL, answer, sizeof answer), 202);
    hang_up(&c);
}
END_TEST

#define COUNT(a) ((int)(sizeof(a) / sizeof *(a)))

int main(void)
{
    (void)setenv("CODEV_LOG_LEVEL", "error", 0);
    log_init("test");
    Suite *s = suite_create("link decisions");
    TCase *t = tcase_create("link");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, decision_becomes_a_command);
    tcase_add_test(t, lost_link_asks_again_with_the_same_id);
    tcase_add_test(t, new_instance_is_asked_for_old_directories);
    tcase_add_test(t, first_generation_needs_no_hello);
    tcase_add_test(t, first_generation_leaves_nothing_open);
    tcase_add_loop_test(t, calls_are_checked, 0, COUNT(calls));
    tcase_add_test(t, call_waits_for_the_decision);
    tcase_add_test(t, caller_that_goes_away_takes_nothing_along);
    tcase_add_test(t, effect_and_number_are_one);
    suite_add_tcase(s, t);
    return run_suite(s);
}
