/* rooms: bridge/gateway/slack bridge/gateway/slack/render bridge/gateway/slack/wire base/ws base/json base/core */
/* What is done later comes after what could leave by then, from wherever in the loop it is asked.
 */
#include "bridge/gateway/slack/later.h"

#include <check.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/run_suite.h"

static uv_loop_t loop;
static uv_poll_t socket_poll;
static uv_timer_t timer;
static struct later *later;
static int fds[2], again;
static unsigned written, calls;

static void on_writable(uv_poll_t *poll, int status, int events)
{
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(events, UV_WRITABLE);
    (void)uv_poll_stop(poll);
    written++;
}

/* As an acknowledgement is queued, and then the work behind it. */
static void queue(void)
{
    ck_assert_int_eq(uv_poll_start(&socket_poll, UV_WRITABLE, on_writable), 0);
    later_start(later);
    later_start(later); /* the same call */
}

static void on_later(void *data)
{
    (void)data;
    calls++;
    ck_assert_uint_eq(written, calls);
    if (again-- > 0)
        queue();
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    (void)uv_poll_stop(poll);
    queue();
}

static void on_timer(uv_timer_t *t)
{
    (void)t;
    queue();
}

static void setup(void)
{
    written = calls = 0;
    again = 0;
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    ck_assert_int_eq(uv_poll_init(&loop, &socket_poll, fds[0]), 0);
    ck_assert_int_eq(uv_timer_init(&loop, &timer), 0);
    later = later_new(&loop, on_later, NULL);
    ck_assert_ptr_nonnull(later);
}

static void teardown(void)
{
    uv_close((uv_handle_t *)&socket_poll, NULL);
    uv_close((uv_handle_t *)&timer, NULL);
    later_free(later);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

START_TEST(after_what_was_queued_by_a_reader)
{
    again = 3; /* and then from within itself */
    ck_assert_int_eq(write(fds[1], "x", 1), 1);
    ck_assert_int_eq(uv_poll_start(&socket_poll, UV_READABLE, on_readable), 0);
    (void)uv_run(&loop, UV_RUN_DEFAULT); /* ends, since nothing is left that waits */
    ck_assert_uint_eq(calls, 4);
}
END_TEST

START_TEST(after_what_was_queued_by_a_timer)
{
    ck_assert_int_eq(uv_timer_start(&timer, on_timer, 0, 0), 0);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_uint_eq(calls, 1);
}
END_TEST

START_TEST(freed_while_it_waits)
{
    later_start(later);
    later_free(later);
    later = NULL;
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_uint_eq(calls, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("slack_later");
    TCase *t = tcase_create("later");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, after_what_was_queued_by_a_reader);
    tcase_add_test(t, after_what_was_queued_by_a_timer);
    tcase_add_test(t, freed_while_it_waits);
    suite_add_tcase(s, t);
    return run_suite(s);
}
