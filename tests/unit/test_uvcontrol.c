/* rooms: base/uvcontrol base/core */
/* The control client on libuv: lines as they come, the end exactly once, whatever PID 1 does. */
#include "base/uvcontrol/uvcontrol.h"

#include "tests/unit/control_helper.h"

#include "base/core/cleanup.h"
#include "tests/unit/run_suite.h"

static uv_loop_t loop;
static const char *answer;
static bool stay;
static char asked[256], lines[8192], why[256];
static unsigned ends;
static int end_error;
static struct uvcontrol *handle;

static const char *give(const char *line, bool *ret_stay)
{
    (void)snprintf(asked, sizeof asked, "%s", line);
    *ret_stay = stay;
    return answer;
}

static void on_line(void *data, const char *line, size_t len)
{
    ck_assert_ptr_eq(data, &loop);
    ck_assert_uint_eq(strlen(line), len);
    size_t at = strlen(lines);
    (void)snprintf(lines + at, sizeof lines - at, "%.100s|", line);
    if (strcmp(line, "cancel") == 0)
        uvcontrol_cancel(handle);
}

static void on_end(void *data, int error, const char *message)
{
    ck_assert_ptr_eq(data, &loop);
    ends++;
    end_error = error;
    (void)snprintf(why, sizeof why, "%s", message);
    uvcontrol_cancel(handle); /* no harm */
}

static void ask(struct uvcontrol_options o)
{
    static const char *const words[] = { "logs", "a b", "", NULL };
    o.loop = &loop;
    if (!o.words)
        o.words = words;
    o.on_line = on_line;
    o.on_end = on_end;
    o.data = &loop;
    ck_assert_int_eq(uvcontrol_start(&handle, &o), 0);
    ck_assert_uint_eq(ends, 0);
}

static void start(const char *text, bool stays)
{
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    answer = text;
    stay = stays;
    fake_start(&loop, give);
}

static void finish(void)
{
    fake_stop();
    net_close_loop(&loop);
    fake_remove();
}

static const struct {
    const char *answer, *lines;
    int error;
} rows[] = {
    { "{\"ok\":true}\n", "{\"ok\":true}|", 0 },
    { "a\nb\n\nc\n", "a|b||c|", 0 },
    { "{\"error\":{}}\n", "{\"error\":{}}|", 0 },
    { "", "", -EPROTO },
    { "no end", "", -EPROTO },
    { "a\nno end", "a|", -EPROTO },
};

START_TEST(answers_come_as_lines)
{
    start(rows[_i].answer, false);
    ask((struct uvcontrol_options){ 0 });
    net_until(&loop, ends == 1);
    ck_assert_str_eq(asked, "logs a%20b %");
    ck_assert_str_eq(lines, rows[_i].lines);
    ck_assert_int_eq(end_error, rows[_i].error);
    ck_assert((end_error == 0) == (*why == '\0'));
    finish();
    ck_assert_uint_eq(ends, 1);
}
END_TEST

START_TEST(a_stream_outlives_its_timeout)
{
    start("first\n", true);
    ask((struct uvcontrol_options){ .stream = 1, .timeout_ms = 30 });
    net_until(&loop, strcmp(lines, "first|") == 0);
    uint64_t until = uv_hrtime() + 80000000;
    while (uv_hrtime() < until)
        net_turn(&loop);
    ck_assert_uint_eq(ends, 0);
    fake_send(fake.stream, "second\nthi");
    fake_send(fake.stream, "rd\n");
    net_until(&loop, strcmp(lines, "first|second|third|") == 0);
    fake_close(fake.stream);
    net_until(&loop, ends == 1);
    ck_assert_int_eq(end_error, 0);
    finish();
}
END_TEST

START_TEST(silence_times_out)
{
    start(NULL, false);
    ask((struct uvcontrol_options){ .timeout_ms = 30 });
    net_until(&loop, ends == 1);
    ck_assert_int_eq(end_error, -ETIMEDOUT);
    ck_assert_str_eq(why, "PID 1 does not answer");
    finish();
}
END_TEST

START_TEST(too_long_a_line_ends_it)
{
    static char big[2000];
    memset(big, 'x', sizeof big - 1);
    start(big, true);
    ask((struct uvcontrol_options){ .max_line = 1000 });
    net_until(&loop, ends == 1);
    ck_assert_int_eq(end_error, -EFBIG);
    finish();
}
END_TEST

START_TEST(nobody_there_is_told_later)
{
    start("x\n", false);
    fake_stop();
    if (_i == 1) { /* a socket file that nobody listens on */
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_un a = { .sun_family = AF_UNIX };
        (void)snprintf(a.sun_path, sizeof a.sun_path, "%s", fake.path);
        ck_assert_int_eq(bind(fd, (const struct sockaddr *)&a, sizeof a), 0);
        (void)close(fd);
    }
    ask((struct uvcontrol_options){ 0 });
    net_until(&loop, ends == 1);
    ck_assert_int_eq(end_error, _i == 1 ? -ECONNREFUSED : -ENOENT);
    ck_assert(*why);
    net_close_loop(&loop);
    fake_remove();
}
END_TEST

START_TEST(cancelled_is_not_told)
{
    start("cancel\nnever\n", false);
    ask((struct uvcontrol_options){ 0 });
    if (_i == 0)
        uvcontrol_cancel(handle);
    else
        net_until(&loop, strcmp(lines, "cancel|") == 0);
    finish();
    ck_assert_uint_eq(ends, 0);
    ck_assert_ptr_null(strstr(lines, "never"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("uvcontrol");
    TCase *c = tcase_create("client");
    suite_add_tcase(s, c);
    tcase_set_timeout(c, 30);
    tcase_add_loop_test(c, answers_come_as_lines, 0, (int)ARRAY_SIZE(rows));
    tcase_add_test(c, a_stream_outlives_its_timeout);
    tcase_add_test(c, silence_times_out);
    tcase_add_test(c, too_long_a_line_ends_it);
    tcase_add_loop_test(c, nobody_there_is_told_later, 0, 2);
    tcase_add_loop_test(c, cancelled_is_not_told, 0, 2);
    return run_suite(s);
}
