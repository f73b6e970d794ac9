/* rooms: supervisor/init supervisor/cgroup supervisor/volumes supervisor/plan supervisor/sandbox base/core */
/* PID 1's logs: lines, JSON from children, masking, rings, and a stdout that nobody reads. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/file.h"
#include "supervisor/init/logline.h"
#include "supervisor/init/logs.h"
#include "tests/unit/run_suite.h"

/* --- JSON, judged --- */

static const struct {
    const char *text;
    bool good;
} objects[] = {
    { "{}", true },
    { "{ \"a\" : [ 1 , -0.5e+3 , true , null , \"x\\u00e9\\n\" , {} ] } ", true },
    { "{\"a\":1,\"a\":2}", true },
    { "{\"a\":0}", true },
    { "", false },
    { "{", false },
    { "}", false },
    { "[]", false },
    { "\"x\"", false },
    { "{\"a\"}", false },
    { "{\"a\":}", false },
    { "{\"a\":1,}", false },
    { "{\"a\":1 \"b\":2}", false },
    { "{a:1}", false },
    { "{\"a\":01}", false },
    { "{\"a\":+1}", false },
    { "{\"a\":1.}", false },
    { "{\"a\":.5}", false },
    { "{\"a\":1e}", false },
    { "{\"a\":tru}", false },
    { "{\"a\":NaN}", false },
    { "{\"a\":\"\t\"}", false },
    { "{\"a\":\"\\x\"}", false },
    { "{\"a\":\"\\u12g4\"}", false },
    { "{\"a\":\"\xff\"}", false },
    { "{\"a\":\"x}", false },
    { "{\"a\":\"x\\\"}", false },
    { "{}{}", false },
    { "{} x", false },
    { "{\"a\":[}]", false },
    { "{\"a\":[1,]}", false },
};

START_TEST(only_whole_objects_are_embedded)
{
    struct logline_json found;
    /* An exact copy, so that a read past its end is seen by the sanitizer. */
    size_t len = strlen(objects[_i].text);
    _cleanup_free_ char *copy = malloc(len ? len : 1);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, objects[_i].text, len);
    ck_assert_msg(logline_json_object(copy, len, &found) == objects[_i].good, "%s",
                  objects[_i].text);
}
END_TEST

START_TEST(deep_nesting_is_no_danger)
{
    struct logline_json found;
    _cleanup_buf_ struct buf deep = BUF_INIT;
    (void)buf_puts(&deep, "{\"a\":");
    for (int i = 0; i < 200000; i++)
        (void)buf_putc(&deep, '[');
    ck_assert(!logline_json_object(deep.data, deep.len, &found));
    buf_reset(&deep);
    (void)buf_puts(&deep, "{\"a\":");
    for (int i = 0; i < 31; i++)
        (void)buf_putc(&deep, '[');
    for (int i = 0; i < 31; i++)
        (void)buf_putc(&deep, ']');
    (void)buf_putc(&deep, '}');
    ck_assert(logline_json_object(deep.data, deep.len, &found));
}
END_TEST

/* Whatever is cut or flipped, nothing outside is read (under the sanitizer) and nothing is called
 * whole that a bracket is missing from. */
START_TEST(a_mutated_object_is_judged_within_its_bounds)
{
    static const char text[] = "{\"level\":\"warn\",\"msg\":\"a \\\"b\\\" \\u00e9 \xc3\xa9\","
                               "\"x\":[1,2.5e3,{\"y\":null}]}";
    struct logline_json found;
    for (size_t n = 0; n < sizeof text - 1; n++) {
        _cleanup_free_ char *cut = malloc(n ? n : 1);
        ck_assert_ptr_nonnull(cut);
        memcpy(cut, text, n);
        ck_assert(!logline_json_object(cut, n, &found));
    }
    for (size_t i = 0; i < sizeof text - 1; i++) {
        for (int c = 0; c < 256; c++) {
            _cleanup_free_ char *copy = malloc(sizeof text - 1);
            ck_assert_ptr_nonnull(copy);
            memcpy(copy, text, sizeof text - 1);
            copy[i] = (char)c;
            (void)logline_json_object(copy, sizeof text - 1, &found);
        }
    }
}
END_TEST

/* --- lines --- */

static char *written(const char *msg, bool text)
{
    struct buf out = BUF_INIT;
    struct log_record r = {
        .wall_us = 1767323045000006,
        .level = LOG_LEVEL_INFO,
        .service = "opencode",
        .stream = "stdout",
        .pid = 7,
        .msg = msg,
        .len = strlen(msg),
        .boot_id = "b",
        .seq = 3,
    };
    (text ? logline_text : logline_json)(&out, &r);
    return buf_take(&out);
}

START_TEST(a_line_becomes_one_json_object)
{
    static const struct {
        const char *msg, *part;
    } rows[] = {
        { "plain \"text\"\x01", "\"msg\":\"plain \\\"text\\\"\\u0001\"" },
        { "", "\"msg\":\"\"" },
        { "bad \xff byte", "\"msg\":\"bad \xef\xbf\xbd byte\"" },
        { "{\"level\":\"warn\",\"msg\":\"of \\\"ours\\\"\"}",
          "\"level\":\"warn\",\"service\":\"opencode\",\"pid\":7,\"stream\":\"stdout\","
          "\"msg\":\"of \\\"ours\\\"\"" },
        { "{\"level\":\"error\",\"x\":1}", "\"json\":{\"level\":\"error\",\"x\":1}" },
        { "{\"level\":\"loud\",\"msg\":\"m\"}", "\"json\":{\"level\":\"loud\",\"msg\":\"m\"}" },
        { "{\"level\":\"info\",\"msg\":5}", "\"json\":{\"level\":\"info\",\"msg\":5}" },
        { "{broken", "\"msg\":\"{broken\"" },
    };
    struct logline_json found;
    ck_assert_uint_lt((unsigned)_i, ARRAY_SIZE(rows));
    _cleanup_free_ char *line = written(rows[_i].msg, false);
    ck_assert_msg(strstr(line, rows[_i].part) != NULL, "%s", line);
    ck_assert_ptr_nonnull(strstr(line, "\"ts\":\"2026-01-02T03:04:05.000006Z\""));
    ck_assert(logline_json_object(line, strlen(line) - 1, &found));
    ck_assert_int_eq(line[strlen(line) - 1], '\n');
    ck_assert_ptr_eq(strchr(line, '\n'), line + strlen(line) - 1);
}
END_TEST

static const struct {
    const char *text, *expected;
} coloured[] = {
    { "plain", "plain" },
    { "\033[31mred\033[0m and \033[1;38;5;12mblue\033[m", "red and blue" },
    { "\033[?25l\033[2K\033[1Gprogress", "progress" },
    { "\033]0;a title\atext", "text" },
    { "\033]8;;http://x/\033\\link\033]8;;\033\\", "link" },
    { "\033(Bascii\0337\0338", "ascii" },
    { "\033Pq#0;2\033\\sixel", "sixel" },
    { "cut\033", "cut" },
    { "cut\033[31", "cut" },
    { "cut\033]0;no end", "cut" },
    { "sec\033[1mret", "secret" },
    { "\033[\033[31mx", "x" },
    { "\033[31m\033[0m", "" },
    { "caf\xc3\xa9 \033[1m\xe2\x9c\x93", "caf\xc3\xa9 \xe2\x9c\x93" },
};

START_TEST(what_only_a_terminal_understands_is_left_out)
{
    char text[100];
    (void)snprintf(text, sizeof text, "%s", coloured[_i].text);
    text[logline_strip(text, strlen(text))] = '\0';
    ck_assert_str_eq(text, coloured[_i].expected);
}
END_TEST

START_TEST(text_is_for_people)
{
    _cleanup_free_ char *plain = written("hello", true);
    _cleanup_free_ char *ours = written("{\"level\":\"warn\",\"msg\":\"a \\\"b\\\"\\nc\"}", true);
    ck_assert_str_eq(plain + 8, " opencode | hello\n");
    ck_assert_str_eq(ours + 8, " opencode | warn: a \"b\" c\n");
}
END_TEST

/* --- masking --- */

START_TEST(secrets_are_masked_wherever_they_stand)
{
    struct mask m = { 0 };
    ck_assert_int_eq(mask_add(&m, "hunter2-secret"), 0);
    ck_assert_int_eq(mask_add(&m, "with\"quote\\"), 0);
    ck_assert_int_eq(mask_add(&m, "short"), 0); /* too short to be masked */
    static const struct {
        const char *in, *out;
    } rows[] = {
        { "hunter2-secret", "***" },
        { "a hunter2-secrethunter2-secret b", "a ****** b" },
        { "hunter2-secre", "hunter2-secre" },
        { "short", "short" },
        { "x with\"quote\\ y", "x *** y" },
        { "{\"t\":\"with\\\"quote\\\\\"}", "{\"t\":\"***\"}" }, /* as JSON writes it */
        { "", "" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char text[128];
        (void)snprintf(text, sizeof text, "%s", rows[i].in);
        text[mask_apply(&m, text, strlen(text))] = '\0';
        ck_assert_str_eq(text, rows[i].out);
    }
    mask_release(&m);
}
END_TEST

START_TEST(a_secret_that_begins_another_leaves_none_of_it)
{
    char text[] = "abcdef abcdef-more";
    struct mask m = { 0 };
    ck_assert_int_eq(mask_add(&m, "abcdef"), 0);
    ck_assert_int_eq(mask_add(&m, "abcdef-more"), 0);
    text[mask_apply(&m, text, strlen(text))] = '\0';
    ck_assert_str_eq(text, "*** ***");
    mask_release(&m);
}
END_TEST

START_TEST(no_cut_goes_through_a_secret)
{
    struct mask m = { 0 };
    ck_assert_int_eq(mask_add(&m, "abcabcabd"), 0);
    ck_assert_uint_eq(mask_safe_cut(&m, "xxabc", 5), 2);
    ck_assert_uint_eq(mask_safe_cut(&m, "xxabcabcab", 10), 2);
    ck_assert_uint_eq(mask_safe_cut(&m, "xxabcabcabd", 11), 11);
    ck_assert_uint_eq(mask_safe_cut(&m, "xxx", 3), 3);
    ck_assert_uint_eq(mask_safe_cut(&m, "abc", 3), 1); /* never stands still */
    mask_release(&m);
}
END_TEST

/* --- channels: pipes, rings, stdout --- */

static struct loop loop;
static struct logs logs;
static struct log_channel channel;
static int reader; /* of what PID 1 writes to stdout */
static int saved_stdout;

static void open_logs(void)
{
    int fds[2];
    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    reader = fds[0];
    ck_assert_int_eq(fd_set_nonblock(reader, true), 0);
    saved_stdout = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 10);
    ck_assert_int_eq(dup2(fds[1], STDOUT_FILENO), STDOUT_FILENO);
    (void)close(fds[1]);
    ck_assert_int_eq(loop_init(&loop), 0);
    ck_assert_int_eq(logs_init(&logs, &loop), 0);
    ck_assert_int_eq(log_channel_open(&channel, &logs, "svc", NULL), 0);
}

static void close_logs(void)
{
    log_channel_close(&channel);
    logs_release(&logs);
    loop_release(&loop);
    (void)dup2(saved_stdout, STDOUT_FILENO);
    (void)close(saved_stdout);
    (void)close(reader);
}

static void child_writes(const char *data, size_t len)
{
    ck_assert_int_eq(fd_write_all(channel.out.write_fd, data, len), 0);
}

/* Runs the loop until it has nothing to do; timers would block it, so there is one that ends it. */
static void on_quiet(struct timer *t)
{
    *(bool *)t->arg = true;
}

static void settle(void)
{
    bool quiet = false;
    struct timer t = { .fn = on_quiet, .arg = &quiet };
    timer_set(&loop, &t, 5);
    while (!quiet)
        ck_assert_int_eq(loop_once(&loop), 0);
    timer_forget(&loop, &t);
}

static char *stdout_text(void)
{
    struct buf out = BUF_INIT;
    for (;;) {
        char chunk[65536];
        ssize_t n = read(reader, chunk, sizeof chunk);
        if (n <= 0)
            break;
        (void)buf_append(&out, chunk, (size_t)n);
    }
    (void)buf_putc(&out, '\0');
    return buf_take(&out);
}

static size_t count(const char *text, const char *part)
{
    size_t n = 0;
    for (const char *p = text; (p = strstr(p, part)); p += strlen(part))
        n++;
    return n;
}

START_TEST(lines_come_whole_however_they_are_written)
{
    child_writes("one\r\ntw", 7);
    settle();
    child_writes("o\n\nthree", 8);
    settle();
    _cleanup_free_ char *before = stdout_text();
    ck_assert_uint_eq(count(before, "\n"), 2); /* an empty line says nothing */
    ck_assert_ptr_nonnull(strstr(before, "\"msg\":\"one\""));
    ck_assert_ptr_nonnull(strstr(before, "\"msg\":\"two\""));
    ck_assert_ptr_null(strstr(before, "\"msg\":\"\""));
    log_channel_drain(&channel); /* its process is gone: the rest is a line */
    _cleanup_free_ char *after = stdout_text();
    ck_assert_ptr_nonnull(strstr(after, "\"msg\":\"three\""));
}
END_TEST

START_TEST(a_long_line_is_split_and_marked)
{
    static char line[40001];
    memset(line, 'x', 40000);
    line[40000] = '\n';
    ck_assert_int_eq(mask_add(&logs.mask, "the-secret-of-all"), 0);
    /* over the cut */
    memcpy(line + LOGLINE_MAX - LOGLINE_ENVELOPE - 5, "the-secret-of-all", 17);
    child_writes(line, sizeof line);
    settle();
    _cleanup_free_ char *text = stdout_text();
    ck_assert_uint_eq(count(text, "\n"), 3);
    ck_assert_uint_eq(count(text, "\"partial\":true"), 2);
    ck_assert_uint_eq(count(text, "***"), 1);
    ck_assert_ptr_null(strstr(text, "secret"));
    ck_assert_ptr_null(strstr(text, "the-s"));
}
END_TEST

static void tail(const struct log_channel *only, size_t n, struct buf *out)
{
    struct log_reader r;
    logs_reader(&logs, &r, only, n);
    ck_assert(!logs_read(&logs, &r, only, SIZE_MAX, out));
}

/* What a container runtime stores is cut at 16 KiB, in the middle of the JSON: none gets there. */
START_TEST(no_line_is_longer_than_what_the_runtime_keeps_whole)
{
    static const char *const fillings[] = { "x", "\"", "\x01", "\xff", "\xe2\x9c\x93", "\\" };
    static char line[3 * LOGLINE_MAX];
    const char *filling = fillings[_i];
    size_t n = strlen(filling), len = 0;
    for (len = 0; len + n <= LOGLINE_MAX; len += n)
        memcpy(line + len, filling, n);
    line[len] = '\n';
    child_writes(line, len + 1);
    settle();
    _cleanup_buf_ struct buf text = BUF_INIT;
    tail(&channel, 100, &text);
    size_t pieces = 0, shown = 0;
    for (const char *at = buf_str(&text), *end; (end = strchr(at, '\n')); at = end + 1, pieces++) {
        struct logline_json found;
        ck_assert_uint_le((size_t)(end - at) + 1, LOGLINE_MAX);
        ck_assert(logline_json_object(at, (size_t)(end - at), &found));
        shown += found.msg.len - 2;
    }
    ck_assert_uint_ge(pieces, 2);
    ck_assert_uint_eq(count(buf_str(&text), "\"partial\":true"), pieces - 1);
    static const size_t each[] = { 1, 2, 6, 3, 3, 2 };
    ck_assert_uint_eq(shown, len / n * each[_i]);
}
END_TEST

START_TEST(an_object_that_fits_is_never_cut)
{
    _cleanup_buf_ struct buf line = BUF_INIT, text = BUF_INIT;
    (void)buf_puts(&line, "{\"a\":["); /* as a text it would take twice as much */
    while (line.len + 6 < LOGLINE_MAX - LOGLINE_ENVELOPE)
        (void)buf_puts(&line, "\"\",");
    (void)buf_puts(&line, "0]}\n");
    child_writes(line.data, line.len);
    settle();
    tail(&channel, 100, &text);
    ck_assert_uint_eq(count(buf_str(&text), "\n"), 1);
    ck_assert_ptr_nonnull(strstr(buf_str(&text), "\"json\":{\"a\":[\"\""));
    ck_assert_uint_le(text.len, LOGLINE_MAX);
}
END_TEST

START_TEST(the_ring_keeps_the_newest_lines)
{
    char line[128];
    _cleanup_buf_ struct buf out = BUF_INIT;
    for (int i = 0; i < 5000; i++) {
        int n = snprintf(line, sizeof line, "line %d %060d\n", i, i);
        child_writes(line, (size_t)n);
        if (i % 100 == 99) {
            settle();
            free(stdout_text());
        }
        if (i == 2500)
            logs_say(&logs, LOG_LEVEL_INFO, "in between");
    }
    ck_assert_uint_le(channel.ring.len, LOG_RING_MAX);
    ck_assert_uint_ge(channel.ring.len, LOG_RING_KEPT - 1024);
    tail(&channel, 3, &out);
    ck_assert_uint_eq(count(out.data, "\n"), 3);
    ck_assert_ptr_nonnull(strstr(out.data, "line 4997 "));
    ck_assert_ptr_nonnull(strstr(out.data, "line 4999 "));
    buf_reset(&out);
    tail(NULL, 1000000, &out);
    ck_assert_ptr_nonnull(strstr(out.data, "in between"));
    ck_assert_ptr_nonnull(strstr(out.data, "line 4999 "));
    buf_reset(&out);
    tail(logs_find(&logs, "init"), 5, &out);
    ck_assert_uint_eq(count(out.data, "\n"), 1);
    buf_reset(&out);
    tail(NULL, 0, &out);
    ck_assert_uint_eq(out.len, 0);
}
END_TEST

static void write_lines(int from, int to)
{
    char line[128];
    for (int i = from; i < to; i++) {
        int n = snprintf(line, sizeof line, "line %d %060d\n", i, i);
        child_writes(line, (size_t)n);
        if (i % 100 == 99) {
            settle();
            free(stdout_text());
        }
    }
}

START_TEST(a_reader_gets_all_in_pieces_and_hears_of_what_it_missed)
{
    struct log_reader r;
    _cleanup_buf_ struct buf out = BUF_INIT;
    static const char skipped[] = "this reader is too slow: lines were left out";
    size_t lines = 0, rounds = 0;
    write_lines(0, 5000);
    logs_reader(&logs, &r, NULL, 600);
    for (bool more = true; more; rounds++) {
        more = logs_read(&logs, &r, NULL, 4096, &out);
        ck_assert_uint_le(out.len, 4096);
        lines += count(buf_str(&out), "\n");
        ck_assert_ptr_null(strstr(buf_str(&out), skipped));
        buf_reset(&out);
    }
    ck_assert_uint_eq(lines, 600);
    ck_assert_uint_gt(rounds, 10);
    logs_reader(&logs, &r, NULL, 600);
    r.until = UINT64_MAX;
    ck_assert(logs_read(&logs, &r, NULL, 4096, &out));
    buf_reset(&out);
    write_lines(5000, 10000); /* the ring holds some 1500 */
    ck_assert(logs_read(&logs, &r, NULL, 4096, &out));
    ck_assert_ptr_nonnull(strstr(buf_str(&out), skipped));
    buf_reset(&out);
    while (logs_read(&logs, &r, NULL, 65536, &out)) {
        ck_assert_ptr_null(strstr(buf_str(&out), skipped));
        buf_reset(&out);
    }
    ck_assert_ptr_nonnull(strstr(buf_str(&out), "line 9999 "));
}
END_TEST

/* write(2) and its like, by this process. */
static long writes(void)
{
    _cleanup_free_ char *text = NULL;
    const char *at =
        file_read("/proc/self/io", 4096, &text, NULL) == 0 ? strstr(text, "syscw: ") : NULL;
    return at ? strtol(at + 7, NULL, 10) : -1;
}

START_TEST(many_lines_go_out_by_few_writes)
{
    _cleanup_buf_ struct buf lines = BUF_INIT;
    for (int i = 0; i < 200; i++)
        (void)buf_printf(&lines, "number %d\n", i);
    long before = writes();
    child_writes(lines.data, lines.len);
    settle();
    long after = writes();
    _cleanup_free_ char *text = stdout_text();
    const char *at = text;
    for (int i = 0; i < 200; i++) {
        char msg[64];
        (void)snprintf(msg, sizeof msg, "\"msg\":\"number %d\"", i);
        at = strstr(at, msg);
        ck_assert_msg(at != NULL, "%s", msg);
    }
    ck_assert_uint_eq(count(text, "\n"), 200);
    ck_assert_uint_eq(logs.output.pending.cap, 0);
    if (before < 0)
        printf("SKIP this kernel counts no writes\n");
    else
        ck_assert_int_le(after - before, 20);
}
END_TEST

START_TEST(a_blocked_stdout_loses_lines_counts_them_and_says_so)
{
    static char flood[4000];
    memset(flood, 'y', sizeof flood - 1);
    flood[sizeof flood - 1] = '\n';
    uint64_t start = clock_mono_ms();
    for (int i = 0; i < 300; i++) {
        child_writes(flood, sizeof flood);
        settle();
    }
    ck_assert_uint_lt(clock_mono_ms() - start, 20000);
    ck_assert_uint_gt(logs.output.dropped_total, 0);
    ck_assert_uint_le(logs.output.pending.len, OUTPUT_MAX);
    size_t whole = 0;
    bool told = false;
    uint64_t deadline = clock_mono_ms() + 10000;
    while (!told && clock_mono_ms() < deadline) {
        _cleanup_free_ char *text = stdout_text();
        whole += count(text, "\n");
        told = strstr(text, "lines were dropped") != NULL;
        settle();
    }
    ck_assert(told);
    ck_assert_uint_gt(whole, 10);
    ck_assert_uint_eq(logs.output.dropped, 0);
    free(stdout_text());
    child_writes("after\n", 6);
    settle();
    _cleanup_free_ char *text = stdout_text();
    ck_assert_ptr_nonnull(strstr(text, "\"msg\":\"after\""));
}
END_TEST

START_TEST(a_reader_that_is_gone_is_no_disaster)
{
    int other[2];
    ck_assert_int_eq(pipe2(other, O_CLOEXEC), 0);
    (void)signal(SIGPIPE, SIG_IGN); /* PID 1 blocks it */
    ck_assert_int_eq(dup2(other[0], reader), reader);
    for (int i = 0; i < 10; i++) {
        child_writes("x\n", 2);
        settle();
    }
    ck_assert_uint_eq(logs.output.pending.len, 0);
    (void)close(other[0]);
    (void)close(other[1]);
}
END_TEST

/* Lines that a full disk takes are counted; that is said when there is room again. */
START_TEST(a_full_disk_loses_lines_counts_them_and_says_so)
{
    _cleanup_fd_ int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    _cleanup_fd_ int usual = dup(logs.output.source.fd);
    ck_assert_int_ge(full, 0);
    ck_assert_int_eq(dup2(full, logs.output.source.fd), logs.output.source.fd);
    for (int i = 0; i < 10; i++) {
        child_writes("x\n", 2);
        settle();
    }
    ck_assert_uint_eq(logs.output.dropped_total, 10);
    ck_assert_int_eq(dup2(usual, logs.output.source.fd), logs.output.source.fd);
    child_writes("after\n", 6);
    settle();
    _cleanup_free_ char *text = stdout_text();
    ck_assert_ptr_nonnull(strstr(text, "\"msg\":\"after\""));
    ck_assert_ptr_nonnull(strstr(text, "10 lines were dropped"));
    ck_assert_uint_eq(logs.output.dropped_total, 10);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("init_log");
    TCase *pure = tcase_create("lines"), *live = tcase_create("channels");
    tcase_add_loop_test(pure, only_whole_objects_are_embedded, 0, (int)ARRAY_SIZE(objects));
    tcase_add_test(pure, deep_nesting_is_no_danger);
    tcase_add_test(pure, a_mutated_object_is_judged_within_its_bounds);
    tcase_add_loop_test(pure, a_line_becomes_one_json_object, 0, 8);
    tcase_add_loop_test(pure, what_only_a_terminal_understands_is_left_out, 0,
                        ARRAY_SIZE(coloured));
    tcase_add_test(pure, text_is_for_people);
    tcase_add_test(pure, secrets_are_masked_wherever_they_stand);
    tcase_add_test(pure, a_secret_that_begins_another_leaves_none_of_it);
    tcase_add_test(pure, no_cut_goes_through_a_secret);
    tcase_add_checked_fixture(live, open_logs, close_logs);
    tcase_set_timeout(live, 60);
    tcase_add_test(live, lines_come_whole_however_they_are_written);
    tcase_add_test(live, a_long_line_is_split_and_marked);
    tcase_add_loop_test(live, no_line_is_longer_than_what_the_runtime_keeps_whole, 0, 6);
    tcase_add_test(live, an_object_that_fits_is_never_cut);
    tcase_add_test(live, the_ring_keeps_the_newest_lines);
    tcase_add_test(live, a_reader_gets_all_in_pieces_and_hears_of_what_it_missed);
    tcase_add_test(live, many_lines_go_out_by_few_writes);
    tcase_add_test(live, a_blocked_stdout_loses_lines_counts_them_and_says_so);
    tcase_add_test(live, a_full_disk_loses_lines_counts_them_and_says_so);
    tcase_add_test(live, a_reader_that_is_gone_is_no_disaster);
    suite_add_tcase(s, pure);
    suite_add_tcase(s, live);
    return run_suite(s);
}
