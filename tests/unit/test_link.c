/* rooms: bridge/gateway/link bridge/gateway/core base/trace bridge/gateway/store base/server base/ws base/json
 * base/core */
/* Opening, frames, acks and replay. */
#include "tests/unit/link_helper.h"

/* ---------------------------------------------------------------- opening */

static const struct {
    const char *headers;
    int status;
    const char *code;
} handshakes[] = {
    { "", 401, "unauthorized" },
    { "Authorization: Bearer wrong\r\n", 401, "unauthorized" },
    { "Authorization: Bearer \r\n", 401, "unauthorized" },
    { "Authorization: Basic " TOKEN "\r\n", 401, "unauthorized" },
    { "Authorization: Bearer " TOKEN "x\r\n", 401, "unauthorized" },
    { "Authorization: Bearer " TOKEN "\r\nOrigin: http://evil.example\r\n", 403, "forbidden" },
    { "Authorization: Bearer " TOKEN "\r\n", 101, NULL },
};

START_TEST(handshake_needs_the_token)
{
    struct client c;
    ck_assert_int_eq(upgrade(&c, handshakes[_i].headers), handshakes[_i].status);
    if (handshakes[_i].code) {
        char want[64];
        uint64_t until = clock_mono_ms() + WAIT_MS;
        (void)snprintf(want, sizeof want, "{\"error\":{\"code\":\"%s\",", handshakes[_i].code);
        while (!strstr(buf_str(&c.in), want))
            ck_assert_msg(more(&c, until), "%s", buf_str(&c.in));
    }
    hang_up(&c);
    gateway_lives();
}
END_TEST

static const char *const bad_first[] = {
    "",
    "no json",
    "[]",
    "\"hello\"",
    "{}",
    "{\"type\":7}",
    "{\"type\":\"\"}",
    "{\"type\":\"hello\",\"protocol\":1}",
    "{\"type\":\"hello\",\"protocol\":1,\"pod\":\"p\",\"instance\":\"\",\"last_seq\":0}",
    "{\"type\":\"hello\",\"protocol\":1,\"pod\":\"p\",\"instance\":\"i\",\"last_seq\":-1}",
    "{\"type\":\"hello\",\"protocol\":1,\"pod\":{},\"instance\":\"i\",\"last_seq\":0}",
    "{\"type\":\"hello\"} {}",
};

START_TEST(bad_first_frame_is_closed_4400)
{
    struct client c;
    dial_bridge(&c);
    text(&c, bad_first[_i]);
    char *s = next(&c);
    ck_assert_msg(s && strstr(s, "\"type\":\"error\""), "%s", s);
    free(s);
    expect_closed(&c, 4400);
}
END_TEST

START_TEST(wrong_protocol_is_closed_4406)
{
    struct client c;
    dial_bridge(&c);
    text(&c, "{\"type\":\"hello\",\"protocol\":2,\"pod\":\"p\",\"instance\":\"i\",\"last_seq\":0}");
    cJSON *j = expect(&c, "error");
    ck_assert_str_eq(json_str(j, "code", ""), "protocol_version");
    cJSON_Delete(j);
    expect_closed(&c, 4406);
}
END_TEST

/* ---------------------------------------------------------------- frames */

static const char *const bad_frames[] = {
    "{\"type\":\"permission.asked\"}",
    "{\"type\":\"permission.asked\",\"seq\":0,\"session_id\":\"s\"}",
    "{\"type\":\"permission.asked\",\"seq\":1.5,\"session_id\":\"s\"}",
    "{\"type\":\"permission.asked\",\"seq\":1e300,\"session_id\":\"s\"}",
    "{\"type\":\"permission.asked\",\"seq\":\"1\",\"session_id\":\"s\"}",
    "{\"type\":\"permission.asked\",\"seq\":1,\"session_id\":\"s\"}",
    "{\"type\":\"permission.asked\",\"seq\":1,\"session_id\":\"s\",\"permission\":[]}",
    "{\"type\":\"permission.asked\",\"seq\":1,\"session_id\":\"s\",\"permission\":{\"id\":7}}",
    "{\"type\":\"permission.asked\",\"seq\":1,\"permission\":{\"id\":\"per_1\"}}",
    "{\"type\":\"permission.replied\",\"seq\":1,\"session_id\":\"s\",\"permission_id\":\"x\"}",
    "{\"type\":\"session.created\",\"seq\":1,\"session_id\":\"s\",\"session\":\"x\"}",
    "{\"type\":\"session.idle\",\"seq\":1,\"session_id\":7}",
    "{\"type\":\"session.idle\",\"seq\":1,\"session_id\":\"\"}",
    "{\"type\":\"usage\",\"seq\":1,\"session_id\":\"s\",\"cost\":-5}",
    "{\"type\":\"state.sync\",\"seq\":1,\"session_id\":\"\"}",
    "{\"type\":\"state.sync\",\"seq\":1,\"as_of_seq\":0,\"permissions\":[1],\"complete\":true}",
    "{\"type\":\"state.sync\",\"seq\":1,\"as_of_seq\":0,\"busy\":[{}],\"complete\":true}",
    "{\"type\":\"message.part.streamed\",\"seq\":1,\"session_id\":\"s\",\"content\":{}}",
    "{\"type\":\"session.idle\",\"seq\":1,\"session_id\":\"s\",\"trace_id\":5}",
    "{\"type\":\"session.idle\",\"seq\":1,\"session_id\":\"s\",\"trace_id\":\"4bf9\"}",
    "{\"type\":\"session.idle\",\"seq\":1,\"trace_id\":\"00000000000000000000000000000000\"}",
    "{\"type\":\"pong\",\"request_id\":5}",
    "{\"type\":\"hello\",\"protocol\":1,\"pod\":\"p\",\"instance\":\"i\",\"last_seq\":0}",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
};

START_TEST(bad_frame_is_closed_4400)
{
    struct client c, other;
    ck_assert_int_eq(hello(&other, "other", 0), 0);
    ck_assert_int_eq(hello(&c, "i", 0), 0);
    text(&c, bad_frames[_i]);
    expect_closed(&c, 4400);
    asked(&other, 1, "per_other"); /* nothing lost for others */
    expect_ack(&other, 1);
    ck_assert_int_eq(hello(&c, "i", 9), 0); /* and nothing of it was taken */
    hang_up(&c);
    hang_up(&other);
}
END_TEST

START_TEST(binary_is_closed_4400)
{
    struct client c;
    ck_assert_int_eq(hello(&c, "i", 0), 0);
    frame(&c, 0x82, "{}", 2);
    expect_closed(&c, 4400);
}
END_TEST

START_TEST(bad_utf8_is_closed_1007)
{
    struct client c;
    ck_assert_int_eq(hello(&c, "i", 0), 0);
    text(&c, "{\"type\":\"\xff\"}");
    expect_closed(&c, 1007);
}
END_TEST

START_TEST(oversized_is_closed_1009)
{
    struct client c;
    size_t n = ((size_t)1 << 20) + 1;
    char *big = malloc(n);
    memset(big, ' ', n);
    ck_assert_int_eq(hello(&c, "i", 0), 0);
    frame(&c, 0x81, big, n);
    free(big);
    expect_closed(&c, 1009);
}
END_TEST

START_TEST(fragments_are_joined)
{
    static const char a[] = "{\"type\":\"session.active\",\"seq\":1,\"ti",
                      b[] = "me\":1,\"directory\":\"/w\",\"session_id\":\"ses_1\"}";
    struct client c;
    ck_assert_int_eq(hello(&c, "i", 0), 0);
    frame(&c, 0x01, a, strlen(a));
    frame(&c, 0x80, b, strlen(b));
    expect_ack(&c, 1);
    hang_up(&c);
}
END_TEST

START_TEST(unknown_is_acked_and_ignored)
{
    struct client c;
    ck_assert_int_eq(hello(&c, "i", 0), 0);
    text(&c, "{\"type\":\"something.new\",\"seq\":3,\"session_id\":\"ses_1\",\"x\":[1,2]}");
    expect_ack(&c, 3);
    text(&c, "{\"type\":\"odd.answer\",\"request_id\":\"nobody:1\"}");
    asked(&c, 4, "per_1");
    expect_ack(&c, 4);
    hang_up(&c);
}
END_TEST

/* ---------------------------------------------------------------- acks and replay */

START_TEST(resumes_after_what_is_stored)
{
    struct client c;
    ck_assert_int_eq(hello(&c, "i", 0), 0);
    asked(&c, 1, "per_1");
    asked(&c, 5, "per_2");
    expect_ack(&c, 5);
    hang_up(&c);
    kill_gateway();
    start_gateway();
    ck_assert_int_eq(hello(&c, "i", 7), 5);
    asked(&c, 5, "per_seen"); /* was taken: falls out */
    asked(&c, 6, "per_3");
    expect_ack(&c, 6);
    people_allow();
    for (int i = 0; i < 3; i++) {
        cJSON *j = expect(&c, "permission.reply");
        ck_assert_str_ne(json_str(j, "permission_id", ""), "per_seen");
        cJSON_Delete(j);
    }
    asked(&c, 7, "per_4");
    expect_ack(&c, 7);
    people_allow();
    cJSON *j = expect(&c, "permission.reply");
    ck_assert_str_eq(json_str(j, "permission_id", ""), "per_4");
    cJSON_Delete(j);
    hang_up(&c);
    ck_assert_int_eq(hello(&c, "another", 0), 0); /* its own numbers */
    hang_up(&c);
}
END_TEST

START_TEST(same_instance_replaces_the_older_link)
{
    struct client a, b;
    ck_assert_int_eq(hello(&a, "i", 0), 0);
    ck_assert_int_eq(hello(&b, "i", 0), 0);
    cJSON *j = expect(&a, "error");
    ck_assert_str_eq(json_str(j, "code", ""), "replaced");
    cJSON_Delete(j);
    expect_closed(&a, 4409);
    asked(&b, 1, "per_1");
    expect_ack(&b, 1);
    hang_up(&b);
}
END_TEST

START_TEST(pings_and_closes_the_silent)
{
    struct client c;
    ck_assert_int_eq(hello(&c, "i", 0), 0);
    cJSON *j = expect(&c, "ping");
    ck_assert_int_gt((int)strlen(json_str(j, "request_id", "")), 0);
    cJSON_Delete(j);
    expect_closed(&c, 1000);
}
END_TEST

START_TEST(stop_closes_1001)
{
    struct client c;
    ck_assert_int_eq(hello(&c, "i", 0), 0);
    ck_assert_int_eq(kill(gateway, SIGTERM), 0);
    cJSON *j = expect(&c, "error");
    ck_assert_str_eq(json_str(j, "code", ""), "stopping");
    cJSON_Delete(j);
    expect_closed(&c, 1001);
}
END_TEST

#define COUNT(a) ((int)(sizeof(a) / sizeof *(a)))

int main(void)
{
    (void)setenv("CODEV_LOG_LEVEL", "error", 0);
    log_init("test");
    Suite *s = suite_create("link");
    TCase *t = tcase_create("link");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, handshake_needs_the_token, 0, COUNT(handshakes));
    tcase_add_loop_test(t, bad_first_frame_is_closed_4400, 0, COUNT(bad_first));
    tcase_add_test(t, wrong_protocol_is_closed_4406);
    tcase_add_loop_test(t, bad_frame_is_closed_4400, 0, COUNT(bad_frames));
    tcase_add_test(t, binary_is_closed_4400);
    tcase_add_test(t, bad_utf8_is_closed_1007);
    tcase_add_test(t, oversized_is_closed_1009);
    tcase_add_test(t, fragments_are_joined);
    tcase_add_test(t, unknown_is_acked_and_ignored);
    tcase_add_test(t, resumes_after_what_is_stored);
    tcase_add_test(t, same_instance_replaces_the_older_link);
    tcase_add_test(t, pings_and_closes_the_silent);
    tcase_add_test(t, stop_closes_1001);
    suite_add_tcase(s, t);
    return run_suite(s);
}
