/* rooms: base/json base/core */
#include "base/core/buf.h"
#include "base/core/clock.h"
#include "base/core/control.h"
#include "base/core/error.h"
#include "base/core/file.h"
#include "base/core/jsonw.h"
#include "base/core/log.h"
#include "base/core/parse.h"
#include "base/core/secrets.h"
#include "base/core/ticket.h"
#include "base/core/utf8.h"
#include "base/json/json.h"
#include "tests/unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char dir[256];

static void make_dir(void)
{
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(dir, sizeof dir, "%s/codev-core-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void remove_dir(void)
{
    ck_assert_int_eq(file_remove_tree(dir), 0);
}

static const char *in_dir(const char *name)
{
    static char path[4][400];
    static size_t next;
    char *p = path[next++ % 4];
    (void)snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

/* --- buf --- */

START_TEST(buf_grows_and_is_always_text)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    ck_assert_str_eq(buf_str(&b), "");
    for (int i = 0; i < 1000; i++)
        ck_assert_int_eq(buf_printf(&b, "%d,", i), 0);
    ck_assert_uint_eq(strlen(buf_str(&b)), b.len);
    ck_assert_ptr_nonnull(strstr(b.data, "998,999,"));
    buf_consume(&b, b.len - 4);
    ck_assert_str_eq(buf_str(&b), "999,");
    buf_consume(&b, 100);
    ck_assert_str_eq(buf_str(&b), "");
}
END_TEST

START_TEST(buf_keeps_its_cap_and_says_so)
{
    _cleanup_buf_ struct buf b = BUF_INIT_MAX(5);
    ck_assert_int_eq(buf_puts(&b, "hello"), 0);
    ck_assert_int_eq(buf_putc(&b, '!'), -EFBIG);
    ck_assert(b.failed);
    ck_assert_str_eq(b.data, "hello");
    ck_assert_int_eq(buf_reserve(&b, SIZE_MAX), -EFBIG);
    buf_reset(&b);
    ck_assert(!b.failed);
    ck_assert_int_eq(buf_printf(&b, "%s", "123456"), -EFBIG);
    ck_assert_uint_eq(b.len, 0);
    ck_assert_ptr_null(buf_take(&b)); /* failed: what is there is not whole */
}
END_TEST

START_TEST(buf_take_hands_over)
{
    struct buf b = BUF_INIT;
    _cleanup_free_ char *empty = buf_take(&b);
    ck_assert_str_eq(empty, "");
    (void)buf_append(&b, "a\0b", 3);
    _cleanup_free_ char *text = buf_take(&b);
    ck_assert_int_eq(memcmp(text, "a\0b\0", 4), 0);
    ck_assert_ptr_null(b.data);
    ck_assert_uint_eq(b.len, 0);
}
END_TEST

/* --- parse --- */

static const struct {
    const char *text;
    int result;
    uint64_t value;
} durations[] = {
    { "250ms", 0, 250 },
    { "5s", 0, 5000 },
    { "2m", 0, 120000 },
    { "1h", 0, 3600000 },
    { "30", 0, 30000 },
    { "0.5", 0, 500 },
    { "1.25s", 0, 1250 },
    { "1.0005s", 0, 1000 },
    { "0", 0, 0 },
    { "", -EINVAL, 0 },
    { "s", -EINVAL, 0 },
    { "-1s", -EINVAL, 0 },
    { " 1s", -EINVAL, 0 },
    { "1 s", -EINVAL, 0 },
    { "1d", -EINVAL, 0 },
    { "1.", -EINVAL, 0 },
    { "1.s", -EINVAL, 0 },
    { "1s2", -EINVAL, 0 },
    { "18446744073709551615h", -ERANGE, 0 },
    { "18446744073709551616", -ERANGE, 0 },
};

START_TEST(duration)
{
    uint64_t ms = 0;
    ck_assert_int_eq(parse_duration_ms(durations[_i].text, &ms), durations[_i].result);
    ck_assert_uint_eq(ms, durations[_i].value);
}
END_TEST

static const struct {
    const char *text;
    int result;
    uint64_t value;
} sizes[] = {
    { "0", 0, 0 },
    { "123", 0, 123 },
    { "64KiB", 0, 65536 },
    { "256MiB", 0, 256ULL << 20 },
    { "1.5GiB", 0, 3ULL << 29 },
    { "2TiB", 0, 2ULL << 40 },
    { "1KB", -EINVAL, 0 },
    { "1kib", -EINVAL, 0 },
    { "KiB", -EINVAL, 0 },
    { "99999999999TiB", -ERANGE, 0 },
};

START_TEST(size)
{
    uint64_t n = 0;
    ck_assert_int_eq(parse_size(sizes[_i].text, &n), sizes[_i].result);
    ck_assert_uint_eq(n, sizes[_i].value);
}
END_TEST

START_TEST(numbers_and_flags)
{
    uint64_t n = 7;
    int flag = 7;
    ck_assert_int_eq(parse_u64("65535", 1, 65535, &n), 0);
    ck_assert_uint_eq(n, 65535);
    ck_assert_int_eq(parse_u64("65536", 1, 65535, &n), -ERANGE);
    ck_assert_int_eq(parse_u64("0", 1, 65535, &n), -ERANGE);
    ck_assert_int_eq(parse_u64("+1", 1, 65535, &n), -EINVAL);
    ck_assert_int_eq(parse_u64("1x", 1, 65535, &n), -EINVAL);
    ck_assert_int_eq(parse_u64("0x10", 0, 65535, &n), -EINVAL);
    ck_assert_int_eq(parse_u64("18446744073709551615", 0, UINT64_MAX, &n), 0);
    ck_assert_uint_eq(n, UINT64_MAX);
    ck_assert_int_eq(parse_bool("yes", &flag), 0);
    ck_assert_int_eq(flag, 1);
    ck_assert_int_eq(parse_bool("off", &flag), 0);
    ck_assert_int_eq(flag, 0);
    ck_assert_int_eq(parse_bool("maybe", &flag), -EINVAL);
}
END_TEST

/* --- utf8 --- */

static const struct {
    const char *text;
    size_t len;
    bool valid;
} sequences[] = {
    { "", 0, true },
    { "abc", 3, true },
    { "\xc3\xa9", 2, true },
    { "\xe2\x82\xac", 3, true },
    { "\xf0\x9f\x94\x8c", 4, true },
    { "\xf4\x8f\xbf\xbf", 4, true },
    { "\x80", 1, false },
    { "\xc0\xaf", 2, false },
    { "\xc3", 1, false },
    { "\xe0\x80\xaf", 3, false },
    { "\xed\xa0\x80", 3, false },
    { "\xf0\x80\x80\x80", 4, false },
    { "\xf4\x90\x80\x80", 4, false },
    { "\xf5\x80\x80\x80", 4, false },
    { "\xff", 1, false },
    { "a\xe2\x82", 3, false },
};

START_TEST(utf8_by_table)
{
    ck_assert(utf8_valid(sequences[_i].text, sequences[_i].len) == sequences[_i].valid);
}
END_TEST

START_TEST(utf8_counts_and_cuts_by_points)
{
    const char *text = "a\xc3\xa9\xe2\x82\xac\xff!";
    ck_assert_uint_eq(utf8_count(text, strlen(text)), 5);
    ck_assert_uint_eq(utf8_prefix(text, strlen(text), 0), 0);
    ck_assert_uint_eq(utf8_prefix(text, strlen(text), 2), 3);
    ck_assert_uint_eq(utf8_prefix(text, strlen(text), 3), 6);
    ck_assert_uint_eq(utf8_prefix(text, strlen(text), 99), strlen(text));
}
END_TEST

/* --- jsonw, json --- */

START_TEST(jsonw_writes_what_json_reads)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    struct jsonw w = JSONW_INIT(&b);
    const char *nasty = "quote\" back\\ nl\n tab\t nul? \x01 \x7f bad\xff caf\xc3\xa9";
    jsonw_object(&w, NULL);
    jsonw_str(&w, "text", nasty);
    jsonw_str(&w, "none", NULL);
    jsonw_int(&w, "int", -5);
    jsonw_uint(&w, "uint", UINT64_MAX);
    jsonw_bool(&w, "yes", true);
    jsonw_array(&w, "list");
    jsonw_int(&w, NULL, 1);
    jsonw_object(&w, NULL);
    jsonw_object_end(&w);
    jsonw_raw(&w, NULL, "[2]", 3);
    jsonw_array_end(&w);
    jsonw_null(&w, "null");
    jsonw_object_end(&w);
    _cleanup_json_ cJSON *j = NULL;
    struct error e = ERROR_INIT;
    ck_assert_msg(json_parse(&j, b.data, b.len, &e) == 0, "%s: %s", e.message, b.data);
    ck_assert_str_eq(json_str(j, "text", ""),
                     "quote\" back\\ nl\n tab\t nul? \x01 \x7f bad\xef\xbf\xbd caf\xc3\xa9");
    ck_assert_int_eq(json_int(j, "int", 0), -5);
    ck_assert(json_bool(j, "yes", false));
    ck_assert_int_eq(cJSON_GetArraySize(json_arr(j, "list")), 3);
    ck_assert_ptr_nonnull(strstr(b.data, "\"uint\":18446744073709551615"));
    ck_assert_ptr_nonnull(strstr(b.data, "\"none\":null"));
}
END_TEST

/* Every byte at every place of a string that is longer than what is looked at at once. */
START_TEST(jsonw_quotes_each_byte_wherever_it_stands)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyz";
    for (int c = 1; c < 0x80; c++) {
        for (size_t at = 0; at < sizeof plain - 1; at++) {
            char text[sizeof plain];
            _cleanup_buf_ struct buf b = BUF_INIT;
            _cleanup_json_ cJSON *j = NULL;
            struct error e = ERROR_INIT;
            memcpy(text, plain, sizeof text);
            text[at] = (char)c;
            jsonw_quote(&b, text, sizeof text - 1);
            ck_assert_msg(json_parse(&j, b.data, b.len, &e) == 0, "%s: %s", e.message, b.data);
            ck_assert_str_eq(cJSON_GetStringValue(j), text);
            bool escaped = c < 0x20 || c == '"' || c == '\\';
            ck_assert_int_eq(b.len == sizeof plain + 1, !escaped);
        }
    }
}
END_TEST

START_TEST(jsonw_replaces_what_is_no_utf8_wherever_it_stands)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyz";
    for (size_t at = 0; at < sizeof plain - 1; at++) {
        char text[sizeof plain];
        _cleanup_buf_ struct buf b = BUF_INIT;
        _cleanup_buf_ struct buf want = BUF_INIT;
        memcpy(text, plain, sizeof text);
        text[at] = '\xc3'; /* what should follow it does not */
        jsonw_quote(&b, text, sizeof text - 1);
        buf_printf(&want, "\"%.*s\xef\xbf\xbd%s\"", (int)at, plain, plain + at + 1);
        ck_assert_str_eq(b.data, want.data);
    }
}
END_TEST

START_TEST(jsonw_writes_numbers_in_full)
{
    static const int64_t numbers[] = { 0, 7, -7, 10, 1000000007, INT64_MAX, INT64_MIN };
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        char want[32];
        _cleanup_buf_ struct buf b = BUF_INIT;
        struct jsonw w = JSONW_INIT(&b);
        jsonw_int(&w, NULL, numbers[i]);
        (void)snprintf(want, sizeof want, "%lld", (long long)numbers[i]);
        ck_assert_str_eq(b.data, want);
    }
}
END_TEST

static const char *const bad_json[] = {
    "",
    "{",
    "{\"a\":1} x",
    "{\"a\":\"\xff\"}",
    "[1,]",
    "{'a':1}",
    "nul",
    "\"open",
    ("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
     "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"),
};

START_TEST(json_refuses)
{
    cJSON *j = NULL;
    struct error e = ERROR_INIT;
    ck_assert_int_eq(json_parse(&j, bad_json[_i], strlen(bad_json[_i]), &e), -EBADMSG);
    ck_assert_ptr_null(j);
    ck_assert(e.message[0]);
}
END_TEST

START_TEST(json_tells_absent_from_wrong)
{
    _cleanup_json_ cJSON *j = NULL;
    const char *text =
        "{\"a\":{\"b\":{\"c\":\"x\"}},\"n\":3,\"s\":\"t\",\"big\":1e300,\"z\":null} \n";
    ck_assert_int_eq(json_parse(&j, text, strlen(text), NULL), 0);
    ck_assert_str_eq(json_str_at(j, "a.b.c", "-"), "x");
    ck_assert_str_eq(json_str_at(j, "a.x.c", "-"), "-");
    ck_assert_str_eq(json_str(j, "n", "-"), "-");
    ck_assert_str_eq(json_str(j, "z", "-"), "-");
    ck_assert_int_eq(json_int(j, "s", 9), 9);
    ck_assert_int_eq(json_int(j, "big", 9), 9);
    ck_assert_int_eq(json_int(j, "n", 9), 3);
    ck_assert_ptr_null(json_obj(j, "n"));
    ck_assert_ptr_null(json_arr(j, "a"));
    ck_assert_str_eq(json_str(NULL, "n", "-"), "-");
}
END_TEST

START_TEST(json_refuses_a_nul_byte)
{
    cJSON *j = NULL;
    ck_assert_int_eq(json_parse(&j, "\"a\0b\"", 5, NULL), -EBADMSG);
}
END_TEST

/* --- file --- */

START_TEST(write_atomic_then_read)
{
    char *text = NULL;
    size_t len = 0;
    struct stat st;
    ck_assert_int_eq(file_write_atomic(in_dir("f"), "one", 3, 0600), 0);
    ck_assert_int_eq(file_write_atomic(in_dir("f"), "second", 6, 0640), 0);
    ck_assert_int_eq(file_read(in_dir("f"), 100, &text, &len), 0);
    ck_assert_str_eq(text, "second");
    ck_assert_uint_eq(len, 6);
    free(text);
    ck_assert_int_eq(stat(in_dir("f"), &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0640);
    ck_assert_int_eq(file_read(in_dir("f"), 5, &text, &len), -EFBIG);
    ck_assert_int_eq(file_read(in_dir("none"), 5, &text, &len), -ENOENT);
    ck_assert_int_eq(file_read(dir, 5, &text, &len), -EISDIR);
    ck_assert_int_eq(mkfifo(in_dir("fifo"), 0600), 0);
    ck_assert_int_eq(file_read(in_dir("fifo"), 5, &text, &len), -EINVAL); /* and does not hang */
    ck_assert_int_eq(file_write_atomic(in_dir("no/such/f"), "x", 1, 0600), -ENOENT);
}
END_TEST

START_TEST(trees_are_made_and_removed)
{
    struct stat st;
    ck_assert_int_eq(file_mkdir_p(in_dir("a/b/c"), 0755), 0);
    ck_assert_int_eq(file_mkdir_p(in_dir("a/b/c"), 0755), 0);
    ck_assert_int_eq(file_write_atomic(in_dir("a/file"), "x", 1, 0600), 0);
    ck_assert_int_eq(file_mkdir_p(in_dir("a/file/x"), 0755), -ENOTDIR);
    ck_assert_int_eq(file_write_atomic(in_dir("keep"), "x", 1, 0600), 0);
    ck_assert_int_eq(symlink(in_dir("keep"), in_dir("a/link")), 0);
    ck_assert_int_eq(file_remove_tree(in_dir("a")), 0);
    ck_assert_int_lt(stat(in_dir("a"), &st), 0);
    ck_assert_int_eq(stat(in_dir("keep"), &st), 0); /* links are not followed */
    ck_assert_int_eq(file_remove_tree(in_dir("a")), 0);
    _cleanup_free_ char *p = path_join("/x/", "y"), *q = path_join("/x", "y");
    ck_assert_str_eq(p, "/x/y");
    ck_assert_str_eq(q, "/x/y");
}
END_TEST

START_TEST(descriptor_flags)
{
    int p[2];
    ck_assert_int_eq(pipe(p), 0);
    ck_assert_int_eq(fd_set_nonblock(p[0], true), 0);
    ck_assert_int_eq(fd_set_cloexec(p[0], true), 0);
    ck_assert(fcntl(p[0], F_GETFL) & O_NONBLOCK);
    ck_assert(fcntl(p[0], F_GETFD) & FD_CLOEXEC);
    ck_assert_int_eq(fd_set_nonblock(p[0], false), 0);
    ck_assert(!(fcntl(p[0], F_GETFL) & O_NONBLOCK));
    (void)close(p[0]);
    (void)close(p[1]);
    ck_assert_int_eq(fd_set_cloexec(p[0], true), -EBADF);
}
END_TEST

/* --- clock, error --- */

START_TEST(time_as_rfc3339)
{
    char text[CLOCK_RFC3339_SIZE];
    clock_rfc3339_at(text, 1767323045000006);
    ck_assert_str_eq(text, "2026-01-02T03:04:05.000006Z");
    clock_rfc3339_at(text, 1767323045000006 + 86399999994); /* and back: clocks are set */
    ck_assert_str_eq(text, "2026-01-03T03:04:05.000000Z");
    clock_rfc3339_at(text, 1767323045654321);
    ck_assert_str_eq(text, "2026-01-02T03:04:05.654321Z");
    clock_rfc3339_at(text, 0);
    ck_assert_str_eq(text, "1970-01-01T00:00:00.000000Z");
    uint64_t a = clock_mono_us(), b = clock_mono_us();
    ck_assert_uint_ge(b, a);
}
END_TEST

START_TEST(error_is_cut_and_optional)
{
    struct error e = ERROR_INIT;
    char big[1000];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    ck_assert_int_eq(error_set(&e, -EINVAL, "%s", big), -EINVAL);
    ck_assert_uint_eq(strlen(e.message), sizeof e.message - 1);
    ck_assert_int_eq(error_set_errno(NULL, -ENOENT, "x"), -ENOENT);
    ck_assert_int_eq(error_set_errno(&e, -ENOENT, "cannot open %s", "it"), -ENOENT);
    ck_assert_str_eq(e.message, "cannot open it: No such file or directory");
    ck_assert_int_eq(e.code, -ENOENT);
}
END_TEST

/* --- log --- */

START_TEST(log_lines_are_json_and_errno_survives)
{
    int p[2];
    char text[512] = "";
    ck_assert_int_eq(pipe(p), 0);
    ck_assert_int_eq(dup2(p[1], STDERR_FILENO), STDERR_FILENO);
    (void)setenv("CODEV_LOG_LEVEL", "warn", 1);
    log_init("test");
    errno = EXDEV;
    log_info("not this one");
    log_warn("a \"quoted\" %d\n", 5);
    ck_assert_int_eq(errno, EXDEV);
    ck_assert_int_gt((int)read(p[0], text, sizeof text - 1), 0);
    ck_assert_str_eq(text, "{\"level\":\"warn\",\"msg\":\"a \\\"quoted\\\" 5\\n\"}\n");
}
END_TEST

/* --- secrets --- */

START_TEST(secrets_come_by_pipe_environment_and_file)
{
    struct secrets s = { 0 };
    struct error e = ERROR_INIT;
    int p[2];
    char number[16];
    const char *handed = "CODEV_TOKEN=from-pipe\nSLACK_BOT_TOKEN=b=c\n";
    ck_assert_int_eq(pipe(p), 0);
    ck_assert_int_eq(fd_write_all(p[1], handed, strlen(handed)), 0);
    (void)close(p[1]);
    (void)snprintf(number, sizeof number, "%d", p[0]);
    (void)setenv("CODEV_SECRETS_FD", number, 1);
    (void)setenv("CODEV_TOKEN", "from-environment", 1);
    (void)setenv("SLACK_APP_TOKEN", "xapp", 1);
    (void)setenv("NTFY_TOPIC_FILE", in_dir("topic"), 1);
    ck_assert_int_eq(file_write_atomic(in_dir("topic"), "from-file\n", 10, 0600), 0);
    ck_assert_msg(secrets_take(SECRET_FOR_GATEWAY, &s, &e) == 0, "%s", e.message);
    ck_assert_str_eq(secrets_get(&s, "CODEV_TOKEN"), "from-pipe");
    ck_assert_str_eq(secrets_get(&s, "SLACK_BOT_TOKEN"), "b=c");
    ck_assert_str_eq(secrets_get(&s, "SLACK_APP_TOKEN"), "xapp");
    ck_assert_str_eq(secrets_get(&s, "NTFY_TOPIC"), "from-file");
    ck_assert_ptr_null(secrets_get(&s, "GITHUB_TOKEN"));
    ck_assert_ptr_null(getenv("SLACK_APP_TOKEN"));
    ck_assert_ptr_null(getenv("CODEV_TOKEN"));
    ck_assert_ptr_null(getenv("CODEV_SECRETS_FD"));
    ck_assert_int_lt(fcntl(p[0], F_GETFD), 0);
    secrets_release(&s);
}
END_TEST

START_TEST(secrets_that_cannot_be_read_are_said)
{
    struct secrets s = { 0 };
    struct error e = ERROR_INIT;
    (void)setenv("GITHUB_TOKEN_FILE", "/does/not/exist", 1);
    ck_assert_int_eq(secrets_take(SECRET_FOR_GATEWAY, &s, &e), -ENOENT);
    ck_assert_ptr_nonnull(strstr(e.message, "GITHUB_TOKEN_FILE"));
    /* A person's `codevctl accept` in a pod without Slack's Secret runs codev-prepare like this. */
    (void)setenv("GITHUB_TOKEN", "ours", 1);
    ck_assert_msg(secrets_take(SECRET_FOR_PREPARE, &s, &e) == 0, "%s", e.message);
    ck_assert_uint_eq(s.count, 0);
    ck_assert_ptr_null(getenv("GITHUB_TOKEN"));
    (void)unsetenv("GITHUB_TOKEN_FILE");
    (void)setenv("CODEV_SECRETS_FD", "zwei", 1);
    ck_assert_int_eq(secrets_take(SECRET_FOR_GATEWAY, &s, &e), -EINVAL);
}
END_TEST

START_TEST(secret_compare_and_generate)
{
    char a[SECRET_TEXT_SIZE], b[SECRET_TEXT_SIZE];
    ck_assert(secret_equal("abc", "abc"));
    ck_assert(!secret_equal("abc", "abd"));
    ck_assert(!secret_equal("ab", "abc"));
    ck_assert(!secret_equal("abca", "abc"));
    ck_assert(!secret_equal("", ""));
    ck_assert(!secret_equal("", "abc"));
    ck_assert_int_eq(secret_generate(a), 0);
    ck_assert_int_eq(secret_generate(b), 0);
    ck_assert_uint_eq(strlen(a), SECRET_TEXT_SIZE - 1);
    ck_assert_uint_eq(strspn(a, "0123456789abcdef"), SECRET_TEXT_SIZE - 1);
    ck_assert_str_ne(a, b);
    ck_assert_ptr_nonnull(secret_find("SLACK_BOT_TOKEN"));
    ck_assert_ptr_null(secret_find("PATH"));
}
END_TEST

/* --- control --- */

START_TEST(control_words_survive_the_way)
{
    const char *words[] = { "annotate", "", "two words", "a%b\n\"\xc3\xa9", "plain-._~/:09", NULL };
    _cleanup_buf_ struct buf line = BUF_INIT;
    control_encode(&line, words);
    ck_assert_uint_eq(line.len, strlen(line.data));
    ck_assert_ptr_eq(strchr(line.data, '\n'), line.data + line.len - 1);
    line.data[line.len - 1] = '\0';
    char *next = line.data;
    for (size_t i = 0; words[i]; i++) {
        char *word = strsep(&next, " ");
        ck_assert_ptr_nonnull(word);
        ck_assert_int_eq(control_decode_word(word), 0);
        ck_assert_str_eq(word, words[i]);
    }
    ck_assert_ptr_null(next);
    static const char *const bad[] = { "a%", "a%4", "a%zz", "%00" };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        char copy[16];
        (void)snprintf(copy, sizeof copy, "%s", bad[i]);
        ck_assert_int_eq(control_decode_word(copy), -EBADMSG);
    }
}
END_TEST

/* Takes one connection, reads a line, answers and closes. `answer` NULL: does not answer. */
static pid_t serve(const char *answer)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    (void)snprintf(addr.sun_path, sizeof addr.sun_path, "%.80s/control.sock", dir);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    (void)unlink(addr.sun_path);
    ck_assert_int_eq(bind(fd, (const struct sockaddr *)&addr, sizeof addr), 0);
    ck_assert_int_eq(listen(fd, 1), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char line[256];
        int c = accept(fd, NULL, NULL);
        ssize_t n = read(c, line, sizeof line);
        if (answer && n > 0)
            (void)fd_write_all(c, answer, strlen(answer));
        if (!answer)
            n = read(c, line, 1); /* until the other side gives up */
        _exit(n < 0);
    }
    (void)close(fd);
    return pid;
}

static const struct {
    const char *answer;
    int result;
    const char *text;
} answers[] = {
    { "{\"ok\":true}\n", 0, "{\"ok\":true}" },
    { "{}", 0, "{}" },
    { "", -EPROTO, "" },
    { NULL, -ETIMEDOUT, "" },
};

START_TEST(control_call_by_table)
{
    const char *words[] = { "version", NULL };
    _cleanup_buf_ struct buf answer = BUF_INIT;
    struct error e = ERROR_INIT;
    pid_t pid = serve(answers[_i].answer);
    (void)setenv("CODEV_RUNTIME_DIR", dir, 1);
    ck_assert_int_eq(control_call(words, 300, &answer, &e), answers[_i].result);
    ck_assert_str_eq(buf_str(&answer), answers[_i].text);
    ck_assert(answers[_i].result == 0 || e.message[0]);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}
END_TEST

START_TEST(control_without_a_supervisor)
{
    const char *words[] = { "version", NULL };
    _cleanup_buf_ struct buf answer = BUF_INIT;
    struct error e = ERROR_INIT;
    (void)setenv("CODEV_RUNTIME_DIR", dir, 1);
    ck_assert_int_eq(control_call(words, 300, &answer, &e), -ENOENT);
    ck_assert_ptr_nonnull(strstr(e.message, "CODEV_RUNTIME_DIR"));
}
END_TEST

START_TEST(a_login_ticket_works_once)
{
    char ticket[SECRET_TEXT_SIZE], other[SECRET_TEXT_SIZE], path[512];
    struct error e = ERROR_INIT;
    ck_assert_int_eq(ticket_make(dir, ticket, &e), 0);
    ck_assert_int_eq(ticket_make(dir, other, &e), 0);
    ck_assert_str_ne(ticket, other);
    ck_assert(!ticket_use(dir, ""));
    ck_assert(!ticket_use(dir, "../../etc/passwd"));
    (void)snprintf(path, sizeof path, "%s/logins/login-%.32s", dir, ticket);
    ck_assert_int_eq(access(path, F_OK), 0);
    char guess[SECRET_TEXT_SIZE];
    memcpy(guess, ticket, sizeof guess); /* the file's name tells half of it only */
    guess[40] = guess[40] == '0' ? '1' : '0';
    ck_assert(!ticket_use(dir, guess));
    ck_assert(ticket_use(dir, ticket));
    ck_assert(!ticket_use(dir, ticket));
    ck_assert_int_lt(access(path, F_OK), 0);
    ck_assert(ticket_use(dir, other));
}
END_TEST

START_TEST(a_login_ticket_expires)
{
    char ticket[SECRET_TEXT_SIZE], next[SECRET_TEXT_SIZE], path[512];
    struct timespec old[2] = { { .tv_sec = time(NULL) - TICKET_LIFE_S - 5 },
                               { .tv_sec = time(NULL) - TICKET_LIFE_S - 5 } };
    for (int removed = 0; removed < 2; removed++) {
        ck_assert_int_eq(ticket_make(dir, ticket, NULL), 0);
        (void)snprintf(path, sizeof path, "%s/logins/login-%.32s", dir, ticket);
        ck_assert_int_eq(utimensat(AT_FDCWD, path, old, 0), 0);
        if (removed) /* by the next one that is made */
            ck_assert_int_eq(ticket_make(dir, next, NULL), 0);
        ck_assert_int_eq(access(path, F_OK), removed ? -1 : 0);
        ck_assert(!ticket_use(dir, ticket));
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *s = suite_create("core");
    TCase *t = tcase_create("memory");
    tcase_add_test(t, buf_grows_and_is_always_text);
    tcase_add_test(t, buf_keeps_its_cap_and_says_so);
    tcase_add_test(t, buf_take_hands_over);
    tcase_add_loop_test(t, duration, 0, (int)ARRAY_SIZE(durations));
    tcase_add_loop_test(t, size, 0, (int)ARRAY_SIZE(sizes));
    tcase_add_test(t, numbers_and_flags);
    tcase_add_loop_test(t, utf8_by_table, 0, (int)ARRAY_SIZE(sequences));
    tcase_add_test(t, utf8_counts_and_cuts_by_points);
    tcase_add_test(t, jsonw_writes_what_json_reads);
    tcase_add_test(t, jsonw_quotes_each_byte_wherever_it_stands);
    tcase_add_test(t, jsonw_replaces_what_is_no_utf8_wherever_it_stands);
    tcase_add_test(t, jsonw_writes_numbers_in_full);
    tcase_add_loop_test(t, json_refuses, 0, (int)ARRAY_SIZE(bad_json));
    tcase_add_test(t, json_tells_absent_from_wrong);
    tcase_add_test(t, json_refuses_a_nul_byte);
    tcase_add_test(t, time_as_rfc3339);
    tcase_add_test(t, error_is_cut_and_optional);
    tcase_add_test(t, secret_compare_and_generate);
    tcase_add_test(t, control_words_survive_the_way);
    suite_add_tcase(s, t);
    TCase *f = tcase_create("files");
    tcase_add_unchecked_fixture(f, make_dir, remove_dir);
    tcase_add_test(f, write_atomic_then_read);
    tcase_add_test(f, trees_are_made_and_removed);
    tcase_add_test(f, descriptor_flags);
    tcase_add_test(f, log_lines_are_json_and_errno_survives);
    tcase_add_test(f, secrets_come_by_pipe_environment_and_file);
    tcase_add_test(f, secrets_that_cannot_be_read_are_said);
    tcase_add_test(f, control_without_a_supervisor);
    tcase_add_test(f, a_login_ticket_works_once);
    tcase_add_test(f, a_login_ticket_expires);
    tcase_add_loop_test(f, control_call_by_table, 0, (int)ARRAY_SIZE(answers));
    suite_add_tcase(s, f);
    return s;
}

int main(void)
{
    return run_suite(make_suite());
}
