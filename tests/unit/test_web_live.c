/* rooms: bridge/gateway/web base/server base/ws base/json base/core */
/* What pages are told: the ring of events, and the transcripts. */
#include "bridge/gateway/web/events.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/core/utf8.h"
#include "bridge/gateway/web/transcript.h"
#include "tests/unit/run_suite.h"

#define FIRST 1000

static struct events events;
static struct transcripts transcripts;

static void setup(void)
{
    events_init(&events, FIRST);
    transcripts = (struct transcripts){ 0 };
}

static void teardown(void)
{
    events_release(&events);
    transcripts_release(&transcripts);
}

static uint64_t emit(const char *json)
{
    return events_emit(&events, "session", json, strlen(json));
}

/* ---------------------------------------------------------------- events */

START_TEST(ids_grow_by_one_and_the_frame_is_whole)
{
    ck_assert_uint_eq(emit("{}"), FIRST);
    ck_assert_uint_eq(emit("{\"a\":1}"), FIRST + 1);
    ck_assert_str_eq(events.ring[(FIRST + 1) % EVENTS_RING_MAX].frame,
                     "id: 1001\nevent: session\ndata: {\"a\":1}\n\n");
}
END_TEST

static enum events_resume resume(const char *last, uint64_t *from)
{
    return events_resume_from(&events, last, from);
}

START_TEST(a_reader_resumes_behind_what_it_has_seen)
{
    uint64_t from;
    for (int i = 0; i < 3; i++)
        emit("{}");
    ck_assert_int_eq((int)resume(NULL, &from), (int)EVENTS_FRESH);
    ck_assert_uint_eq(from, FIRST + 3);
    ck_assert_int_eq((int)resume("", &from), (int)EVENTS_FRESH);
    ck_assert_int_eq((int)resume("999", &from), (int)EVENTS_RESUMED);
    ck_assert_uint_eq(from, FIRST);
    ck_assert_int_eq((int)resume("1001", &from), (int)EVENTS_RESUMED);
    ck_assert_uint_eq(from, FIRST + 2);
    ck_assert_int_eq((int)resume("1002", &from), (int)EVENTS_RESUMED);
    ck_assert_uint_eq(from, FIRST + 3);
}
END_TEST

static const char *const unknown[] = {
    "998", "1003", "0", "18446744073709551615", "99999999999999999999", "x", "-1", " 1001", "1001 ",
};

START_TEST(what_it_saw_elsewhere_resets)
{
    uint64_t from;
    for (int i = 0; i < 3; i++)
        emit("{}");
    ck_assert_int_eq((int)resume(unknown[_i], &from), (int)EVENTS_RESET);
    ck_assert_uint_eq(from, FIRST + 3);
}
END_TEST

START_TEST(the_ring_is_bounded_by_count)
{
    uint64_t from;
    for (int i = 0; i < EVENTS_RING_MAX + 10; i++)
        emit("{}");
    ck_assert_uint_eq(events.next - events.first, EVENTS_RING_MAX);
    ck_assert_int_eq((int)resume("1008", &from), (int)EVENTS_RESET);
    ck_assert_int_eq((int)resume("1009", &from), (int)EVENTS_RESUMED);
    ck_assert_uint_eq(from, FIRST + 10);
}
END_TEST

START_TEST(the_ring_is_bounded_by_bytes)
{
    size_t len = EVENTS_BYTES_MAX / 7; /* and what is around it */
    _cleanup_free_ char *json = malloc(len + 1);
    ck_assert_ptr_nonnull(json);
    memset(json, 'x', len);
    json[len] = '\0';
    for (int i = 0; i < 20; i++) {
        ck_assert_uint_eq(emit(json), FIRST + (uint64_t)i);
        ck_assert_uint_le(events.bytes, EVENTS_BYTES_MAX);
    }
    ck_assert_uint_eq(events.next - events.first, 6);
}
END_TEST

START_TEST(a_superseded_event_is_forgotten_and_its_place_is_no_gap)
{
    uint64_t from, id = emit("{\"old\":1}");
    emit("{}");
    size_t bytes = events.bytes;
    events_supersede(&events, id);
    ck_assert_ptr_null(events.ring[id % EVENTS_RING_MAX].frame);
    ck_assert_uint_lt(events.bytes, bytes);
    ck_assert_int_eq((int)resume("999", &from), (int)EVENTS_RESUMED);
    events_supersede(&events, id); /* again, and what is not there */
    events_supersede(&events, 0);
    events_supersede(&events, events.next);
    ck_assert_uint_eq(events.next - events.first, 2);
}
END_TEST

/* ---------------------------------------------------------------- transcripts */

static int add(const char *session, const char *id, const char *text, const char *status)
{
    struct activity a = {
        .pod = "p",
        .session_id = session,
        .kind = ACTIVITY_TEXT,
        .role = "assistant",
        .message_id = "m",
        .id = id,
        .text = text,
        .status = status,
    };
    return transcripts_add(&transcripts, &a, 5);
}

START_TEST(a_part_grows_in_its_place)
{
    ck_assert_int_eq(add("s", "a", "Hel", "running"), 1);
    ck_assert_int_eq(add("s", "b", "other", "running"), 1);
    ck_assert_int_eq(add("s", "a", "Hello", "running"), 1);
    ck_assert_int_eq(add("s", "a", "Hello", "running"), 0);
    ck_assert_int_eq(add("s", "a", "Hello", "completed"), 1);
    struct transcript *t = transcripts_find(&transcripts, "p", "s");
    ck_assert_uint_eq(t->count, 2);
    ck_assert_str_eq(t->entries[0].text, "Hello");
    ck_assert_str_eq(t->entries[0].status, "completed");
    ck_assert_uint_lt(t->entries[0].n, t->entries[1].n);
    ck_assert_ptr_null(transcripts_find(&transcripts, "q", "s"));
}
END_TEST

START_TEST(entries_without_an_id_never_merge)
{
    add("s", "", "one", "error");
    add("s", NULL, "one", "error");
    ck_assert_uint_eq(transcripts_find(&transcripts, "p", "s")->count, 2);
}
END_TEST

START_TEST(entries_are_bounded_the_oldest_goes)
{
    char id[32];
    for (int i = 0; i < TRANSCRIPT_ENTRIES_MAX + 5; i++) {
        (void)snprintf(id, sizeof id, "part%04d", i);
        add("s", id, "x", "running");
    }
    struct transcript *t = transcripts_find(&transcripts, "p", "s");
    ck_assert_uint_eq(t->count, TRANSCRIPT_ENTRIES_MAX);
    ck_assert_str_eq(t->entries[0].id, "part0005");
}
END_TEST

START_TEST(bytes_are_bounded_and_long_texts_are_cut_at_a_character)
{
    size_t len = 2 * TRANSCRIPT_TEXT_MAX;
    char id[32];
    _cleanup_free_ char *text = malloc(len + 2);
    ck_assert_ptr_nonnull(text);
    text[0] = 'x'; /* so that the cut falls inside a character */
    for (size_t i = 0; i < len; i += 2)
        memcpy(text + 1 + i, "\xc3\xa4", 2);
    text[len + 1] = '\0';
    for (int i = 0; i < 20; i++) {
        (void)snprintf(id, sizeof id, "part%04d", i);
        add("s", id, text, "running");
        ck_assert_uint_le(transcripts_find(&transcripts, "p", "s")->bytes, TRANSCRIPT_BYTES_MAX);
    }
    struct transcript_entry *e = &transcripts_find(&transcripts, "p", "s")->entries[0];
    ck_assert(e->cut);
    ck_assert_uint_eq(strlen(e->text), TRANSCRIPT_TEXT_MAX - 1);
}
END_TEST

START_TEST(sessions_are_bounded_the_quiet_one_goes)
{
    char id[32];
    for (int i = 0; i < TRANSCRIPT_SESSIONS_MAX; i++) {
        (void)snprintf(id, sizeof id, "s%d", i);
        add(id, "a", "x", "running");
    }
    add("s0", "a", "xy", "running");
    add("new", "a", "x", "running");
    ck_assert_uint_eq(transcripts.count, TRANSCRIPT_SESSIONS_MAX);
    ck_assert_ptr_nonnull(transcripts_find(&transcripts, "p", "s0"));
    ck_assert_ptr_null(transcripts_find(&transcripts, "p", "s1"));
    ck_assert_ptr_nonnull(transcripts_find(&transcripts, "p", "new"));
}
END_TEST

START_TEST(an_entry_is_valid_json_whatever_its_text)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct jsonw w = JSONW_INIT(&out);
    add("s", "a", "line\nbreak \"quoted\" \xff end", "running");
    struct transcript *t = transcripts_find(&transcripts, "p", "s");
    transcript_view(&w, NULL, t, &t->entries[0]);
    ck_assert_ptr_nonnull(strstr(buf_str(&out), "line\\nbreak \\\"quoted\\\" \xef\xbf\xbd end"));
    ck_assert_ptr_null(strchr(buf_str(&out), '\n')); /* an event is one line */
}
END_TEST

/* ---------------------------------------------------------------- what is read from OpenCode */

static int put(bool read, const char *message, const char *id, const char *text, const char *status)
{
    struct activity a = {
        .pod = "p",
        .session_id = "s",
        .kind = ACTIVITY_TEXT,
        .role = "assistant",
        .message_id = message,
        .id = id,
        .text = text,
        .status = status,
    };
    return (read ? transcripts_add_read : transcripts_add)(&transcripts, &a, 5);
}

static void check_texts(const char *expected)
{
    const struct transcript *t = transcripts_find(&transcripts, "p", "s");
    _cleanup_buf_ struct buf all = BUF_INIT;
    for (size_t i = 0; i < t->count; i++)
        buf_printf(&all, "%s ", t->entries[i].text);
    ck_assert_str_eq(buf_str(&all), expected);
}

START_TEST(what_is_read_late_finds_its_place)
{
    put(false, "msg_5", "prt_5", "five", "running");
    put(false, "", "", "error", "error");
    put(true, "msg_1", "prt_1", "one", "completed");
    put(true, "msg_3", "prt_3b", "three-b", "completed");
    put(true, "msg_3", "prt_3a", "three-a", "completed");
    check_texts("one three-a three-b five error ");
    put(false, "msg_6", "prt_6", "six", "running");
    check_texts("one three-a three-b five error six ");
}
END_TEST

START_TEST(what_is_read_never_replaces_something_newer)
{
    put(false, "m", "done", "all of it", "completed");
    ck_assert_int_eq(put(true, "m", "done", "all", "running"), 0);
    put(false, "m", "runs", "so far, more", "running");
    ck_assert_int_eq(put(true, "m", "runs", "so far", "running"), 0);
    check_texts("all of it so far, more ");
    ck_assert_int_eq(put(true, "m", "runs", "so far, more, end", "completed"), 1);
    check_texts("all of it so far, more, end ");
}
END_TEST

START_TEST(what_is_read_is_not_told_and_the_oldest_is_not_put_before_a_full_transcript)
{
    char id[32];
    put(true, "m", "a", "x", "completed");
    ck_assert(!transcripts_find(&transcripts, "p", "s")->dirty);
    for (int i = 0; i < TRANSCRIPT_ENTRIES_MAX; i++) {
        (void)snprintf(id, sizeof id, "part%04d", i);
        put(false, "m", id, "x", "completed");
    }
    ck_assert_int_eq(put(true, "m", "a", "older", "completed"), 0);
    const struct transcript *t = transcripts_find(&transcripts, "p", "s");
    ck_assert_uint_eq(t->count, TRANSCRIPT_ENTRIES_MAX);
    ck_assert_str_eq(t->entries[0].id, "part0000");
}
END_TEST

START_TEST(a_gap_makes_a_whole_transcript_doubtful)
{
    ck_assert_int_eq(transcripts_set_whole(&transcripts, "p", "s"), 0);
    ck_assert(transcripts_find(&transcripts, "p", "s")->whole);
    transcripts_doubt(&transcripts);
    ck_assert(!transcripts_find(&transcripts, "p", "s")->whole);
}
END_TEST

START_TEST(the_middle_of_a_long_output_is_left_out_at_characters)
{
    size_t len = 4 * TRANSCRIPT_OUTPUT_MAX;
    _cleanup_free_ char *output = malloc(len + 2);
    ck_assert_ptr_nonnull(output);
    for (size_t i = 0; i < len; i += 2)
        memcpy(output + i, "\xc3\xa4", 2);
    memcpy(output + len, "\n", 2);
    struct activity a = { .pod = "p",
                          .session_id = "s",
                          .kind = ACTIVITY_TOOL,
                          .id = "t",
                          .text = "bash: ls",
                          .status = "completed",
                          .output = output };
    ck_assert_int_eq(transcripts_add(&transcripts, &a, 5), 1);
    const char *kept = transcripts_find(&transcripts, "p", "s")->entries[0].output;
    ck_assert_uint_lt(strlen(kept), TRANSCRIPT_OUTPUT_MAX + 64);
    ck_assert(utf8_valid(kept, strlen(kept)));
    ck_assert_ptr_nonnull(strstr(kept, " bytes left out "));
    ck_assert_str_eq(kept + strlen(kept) - 3, "\xc3\xa4\n");
    ck_assert_int_eq(transcripts_add(&transcripts, &a, 5), 0);
    a.output = "other";
    ck_assert_int_eq(transcripts_add(&transcripts, &a, 5), 1);
}
END_TEST

static void add_tests(TCase *t)
{
    tcase_add_test(t, ids_grow_by_one_and_the_frame_is_whole);
    tcase_add_test(t, a_reader_resumes_behind_what_it_has_seen);
    tcase_add_loop_test(t, what_it_saw_elsewhere_resets, 0, ARRAY_SIZE(unknown));
    tcase_add_test(t, the_ring_is_bounded_by_count);
    tcase_add_test(t, the_ring_is_bounded_by_bytes);
    tcase_add_test(t, a_superseded_event_is_forgotten_and_its_place_is_no_gap);
    tcase_add_test(t, a_part_grows_in_its_place);
    tcase_add_test(t, entries_without_an_id_never_merge);
    tcase_add_test(t, entries_are_bounded_the_oldest_goes);
    tcase_add_test(t, bytes_are_bounded_and_long_texts_are_cut_at_a_character);
    tcase_add_test(t, sessions_are_bounded_the_quiet_one_goes);
    tcase_add_test(t, an_entry_is_valid_json_whatever_its_text);
    tcase_add_test(t, what_is_read_late_finds_its_place);
    tcase_add_test(t, what_is_read_never_replaces_something_newer);
    tcase_add_test(t, what_is_read_is_not_told_and_the_oldest_is_not_put_before_a_full_transcript);
    tcase_add_test(t, a_gap_makes_a_whole_transcript_doubtful);
    tcase_add_test(t, the_middle_of_a_long_output_is_left_out_at_characters);
}

int main(void)
{
    Suite *s = suite_create("web_live");
    TCase *t = tcase_create("all");
    tcase_add_checked_fixture(t, setup, teardown);
    add_tests(t);
    suite_add_tcase(s, t);
    return run_suite(s);
}
