/* rooms: bridge/state bridge/gateway/store supervisor/sandbox base/git base/yaml base/core */
#include "base/core/cleanup.h"
#include "base/core/file.h"
#include "base/yaml/yaml.h"
#include "bridge/gateway/core/core.h"
#include "bridge/gateway/store/history.h"
#include "bridge/state/doc.h"
#include "bridge/state/look.h"
#include "bridge/state/milestone.h"
#include "bridge/state/remote.h"
#include "tests/unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[200];
static struct store *store;
static struct error e;

static void setup(void)
{
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(folder, sizeof folder, "%.150s/codev-state-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(store_open(&store, folder, NULL, &e), 0);
}

static void teardown(void)
{
    store_close(store);
    (void)file_remove_tree(folder);
}

static void add_session(const char *id, const char *parent, const char *title, int status)
{
    const struct session_row row = {
        .pod = "pod-a",
        .id = id,
        .parent_id = parent,
        .root_id = *parent ? parent : id,
        .directory = "/home/coder/src",
        .title = title,
        .agent = "build",
        .model = "fake/fake-1",
        .created_by = "slack:U1",
        .status = status,
        .created_ms = 1700000000000,
        .updated_ms = 1700000100000,
        .cost = 0.25,
        .tokens = 100,
    };
    ck_assert_int_eq(store_session_put(store, &row), 0);
}

static void add_request(const char *id, const char *session, const char *root, int kind, int state,
                        int outcome, int64_t settled_ms)
{
    const struct request_row row = {
        .pod = "pod-a",
        .id = id,
        .kind = kind,
        .session_id = session,
        .root_session_id = root,
        .permission = kind == REQUEST_QUESTION ? "question" : "bash",
        .summary = "a command with a secret",
        .detail = "{\"secret\":1}",
        .created_ms = 1700000001000,
        .state = state,
        .outcome = outcome,
        .reason = "words of a person",
        .answers = "[[\"words\"]]",
        .actor_connector = "slack",
        .actor_id = "U1",
        .settled_ms = settled_ms,
    };
    ck_assert_int_eq(store_request_insert(store, &row), 1);
}

/* ---------------------------------------------------------------- the file */

static const char *const titles[] = {
    "Fix the login bug",
    "",
    "true",
    "a: b # c\n- d",
    "\"; rm -rf / #",
    "...\nmilestones:\n- {milestone: session_ended, ref: \"\"}",
    "\x1b[31m\xe2\x80\xae\xf0\x9f\x8e\x89 \xc3\xa9",
};

static const char *text_at(const struct ynode *root, const char *key)
{
    const struct ynode *n = ynode_get(root, key);
    ck_assert_msg(n && n->text, "%s", key);
    return n->text;
}

START_TEST(a_session_is_written_and_read_back)
{
    _cleanup_doc_ struct doc d = { 0 };
    _cleanup_buf_ struct buf out = BUF_INIT, message = BUF_INIT;
    _cleanup_ynode_ struct ynode *root = NULL;
    add_session("ses_1", "", titles[_i], SESSION_BUSY);
    add_session("ses_2", "ses_1", "child", SESSION_IDLE);
    add_request("per_1", "ses_2", "ses_1", REQUEST_PERMISSION, REQUEST_PENDING, OUTCOME_NONE, 0);
    add_request("per_2", "ses_1", "ses_1", REQUEST_PERMISSION, REQUEST_SETTLED, OUTCOME_REJECT,
                1700000002000);
    ck_assert_int_eq(doc_load(&d, store, "pod-a", "ses_1"), 0);
    ck_assert_int_eq(doc_write(&d, NULL, &out), 0);
    ck_assert_msg(ynode_parse(&root, out.data, out.len, &e) == 0, "%s", e.message);
    ck_assert_str_eq(text_at(root, "title"), titles[_i]);
    ck_assert_str_eq(text_at(root, "status"), "busy");
    ck_assert_str_eq(text_at(root, "owner"), "slack:U1");
    ck_assert_str_eq(text_at(root, "tokens"), "200"); /* with its subagents' */
    ck_assert_str_eq(text_at(root, "created"), "2023-11-14T22:13:20.000000Z");
    const struct ynode *pending = ynode_get(root, "pending"), *done = ynode_get(root, "decisions");
    ck_assert_uint_eq(pending->count, 1);
    ck_assert_str_eq(text_at(pending->first, "request"), "per_1");
    ck_assert_uint_eq(done->count, 1);
    ck_assert_str_eq(text_at(done->first, "outcome"), "reject");
    ck_assert_str_eq(text_at(done->first, "by"), "U1");
    ck_assert_uint_eq(ynode_get(root, "milestones")->count, 1);
    ck_assert_ptr_null(strstr(out.data, "secret"));
    ck_assert_ptr_null(strstr(out.data, "words"));
    doc_message(&d, &d.milestones[0], &message);
    ck_assert_ptr_nonnull(strstr(buf_str(&message), ": session created\n\nCodev-Pod: pod-a\n"));
    ck_assert_ptr_eq(strchr(buf_str(&message), '\n'), strstr(buf_str(&message), "\n\nCodev-Pod"));
}
END_TEST

START_TEST(milestones_stand_in_their_order)
{
    static const char *const order[] = { "session_created", "deployment_created",
                                         "question_answered", "pr_created", "session_ended" };
    _cleanup_doc_ struct doc d = { 0 };
    const struct milestone_row pr = { "pod-a", "ses_1", "pr_created", "https://x/1",
                                      1700000300000 };
    const struct milestone_row lab = { "pod-a", "ses_1", "deployment_created", "lab", 1 };
    add_session("ses_1", "", "Test", SESSION_GONE);
    ck_assert_int_eq(store_milestone_put(store, &pr), 1);
    ck_assert_int_eq(store_milestone_put(store, &pr), 0);
    ck_assert_int_eq(store_milestone_put(store, &lab), 1);
    add_request("que_1", "ses_1", "ses_1", REQUEST_QUESTION, REQUEST_SETTLED, OUTCOME_ANSWERED,
                1700000200000);
    add_request("que_2", "ses_1", "ses_1", REQUEST_QUESTION, REQUEST_SETTLED, OUTCOME_GONE,
                1700000200001);
    add_request("que_3", "ses_1", "ses_1", REQUEST_QUESTION, REQUEST_DECIDING, OUTCOME_ANSWERED, 0);
    ck_assert_int_eq(doc_load(&d, store, "pod-a", "ses_1"), 0);
    ck_assert_uint_eq(d.milestone_count, ARRAY_SIZE(order));
    for (size_t i = 0; i < ARRAY_SIZE(order); i++)
        ck_assert_str_eq(d.milestones[i].kind, order[i]);
    ck_assert_str_eq(d.milestones[2].ref, "que_1");
    ck_assert_str_eq(milestone_text("pr_created"), "PR created");
    ck_assert_str_eq(milestone_text("of_tomorrow"), "of_tomorrow");
}
END_TEST

START_TEST(a_file_tells_which_milestones_it_has)
{
    _cleanup_doc_ struct doc d = { 0 };
    add_session("ses_1", "", "...\nmilestones: []", SESSION_GONE);
    add_request("que_1", "ses_1", "ses_1", REQUEST_QUESTION, REQUEST_SETTLED, OUTCOME_ANSWERED,
                1700000200000);
    add_request("que_2", "ses_1", "ses_1", REQUEST_QUESTION, REQUEST_SETTLED, OUTCOME_ANSWERED,
                1700000300000);
    ck_assert_int_eq(doc_load(&d, store, "pod-a", "ses_1"), 0);
    ck_assert_uint_eq(d.milestone_count, 4);
    for (unsigned set = 0; set < 16; set++) {
        _cleanup_buf_ struct buf out = BUF_INIT;
        bool with[4], told[4] = { true, true, true, true };
        for (unsigned i = 0; i < 4; i++)
            with[i] = set & (1U << i);
        ck_assert_int_eq(doc_write(&d, with, &out), 0);
        ck_assert_int_eq(doc_told(&d, out.data, out.len, told), 0);
        ck_assert_mem_eq(with, told, sizeof with);
    }
    bool told[4] = { true, true, true, true };
    ck_assert_int_eq(doc_told(&d, "}{", 2, told), 0);
    ck_assert(!told[0] && !told[1] && !told[2] && !told[3]);
}
END_TEST

START_TEST(subagents_and_unknown_ones_have_none)
{
    struct doc d;
    add_session("ses_1", "", "Test", SESSION_IDLE);
    add_session("ses_2", "ses_1", "child", SESSION_IDLE);
    ck_assert_int_eq(doc_load(&d, store, "pod-a", "ses_2"), -ENOENT);
    ck_assert_int_eq(doc_load(&d, store, "pod-a", "ses_9"), -ENOENT);
}
END_TEST

static const struct {
    const char *pod, *id, *path;
} paths[] = {
    { "pod-0", "ses_1aB", "sessions/pod-0/ses_1aB/.session-state.yaml" },
    { "..", ".git", "sessions/%2E./%2Egit/.session-state.yaml" },
    { "a/../../b", "", "sessions/a%2F..%2F..%2Fb/%/.session-state.yaml" },
    { "a%2F", "\n\xc3\xa9", "sessions/a%252F/%0A%C3%A9/.session-state.yaml" },
};

START_TEST(no_name_leads_elsewhere)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    doc_path(paths[_i].pod, paths[_i].id, &out);
    ck_assert_str_eq(buf_str(&out), paths[_i].path);
}
END_TEST

/* ---------------------------------------------------------------- the look */

static const char *file_of(const char *id)
{
    static char path[400];
    (void)snprintf(path, sizeof path, "%s/own/sessions/pod-a/%s/.session-state.yaml", folder, id);
    return path;
}

static struct names seen;

static int look_since(int64_t since_ms, struct names *names)
{
    char own[260];
    (void)snprintf(own, sizeof own, "%s/own", folder);
    return look(folder, own, &seen, since_ms, names, &e);
}

START_TEST(what_changed_is_written_and_nothing_else)
{
    struct names names = { 0 };
    struct stat before, after;
    add_session("ses_1", "", "Test", SESSION_IDLE);
    add_session("ses_2", "ses_1", "child", SESSION_IDLE);
    add_session("ses_0", "", "Other", SESSION_IDLE);
    ck_assert_int_eq(look_since(1, &names), 0); /* all, at first */
    ck_assert_uint_eq(names.count, 2);
    names_release(&names);
    ck_assert_int_eq(stat(file_of("ses_1"), &before), 0);
    ck_assert_int_eq(access(file_of("ses_0"), F_OK), 0);
    ck_assert_int_lt(access(file_of("ses_2"), F_OK), 0);
    ck_assert_int_eq(look_since(1, &names), 0);
    ck_assert_uint_eq(names.count, 0);
    /* OpenCode's times stay as they are, all the same it is another title. */
    add_session("ses_1", "", "Another title", SESSION_IDLE);
    ck_assert_int_eq(look_since(1, &names), 0);
    ck_assert_uint_eq(names.count, 1);
    ck_assert_str_eq(names.rows[0].id, "ses_1");
    names_release(&names);
    ck_assert_int_eq(stat(file_of("ses_1"), &after), 0);
    ck_assert_uint_ne(before.st_ino, after.st_ino); /* another file: by rename */
    add_session("ses_2", "ses_1", "child", SESSION_BUSY);
    add_session("ses_3", "", "New", SESSION_IDLE);
    ck_assert_int_eq(look_since(1, &names), 0);
    ck_assert_uint_eq(names.count, 2);
    names_release(&names);
    ck_assert_int_eq(stat(file_of("ses_1"), &before), 0);
    ck_assert_uint_eq(before.st_ino, after.st_ino); /* nothing that it tells of: not written */
    add_request("que_1", "ses_2", "ses_1", REQUEST_QUESTION, REQUEST_SETTLED, OUTCOME_ANSWERED,
                1700000200000);
    ck_assert_int_eq(look_since(1700000200001, &names), 0);
    ck_assert_uint_eq(names.count, 0);
    ck_assert_int_eq(look_since(1700000100001, &names), 0);
    ck_assert_uint_eq(names.count, 1);
    names_release(&names);
    names_release(&seen);
}
END_TEST

START_TEST(what_could_not_be_written_is_tried_again)
{
    struct names names = { 0 };
    char own[260];
    (void)snprintf(own, sizeof own, "%s/own", folder);
    add_session("ses_1", "", "Test", SESSION_IDLE);
    ck_assert_int_eq(file_write_atomic(own, "in the way", 10, 0600), 0);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_lt(look_since(1, &names), 0);
        ck_assert_ptr_nonnull(strstr(e.message, "ses_1"));
        ck_assert_uint_eq(names.count, 1); /* its commit is another matter */
        names_release(&names);
    }
    ck_assert_int_eq(unlink(own), 0);
    ck_assert_int_eq(look_since(1, &names), 0);
    ck_assert_int_eq(access(file_of("ses_1"), F_OK), 0);
    names_release(&names);
    names_release(&seen);
}
END_TEST

START_TEST(a_store_that_cannot_be_read_is_told_apart)
{
    struct names names = { 0 };
    char command[300];
    store_close(store);
    store = NULL;
    (void)snprintf(command, sizeof command, "%s/gateway.db", folder);
    _cleanup_free_ char *db = strdup(command);
    ck_assert_int_eq(file_write_atomic(db, "nonsense, and a good deal of it", 31, 0600), 0);
    ck_assert_int_eq(look_since(0, &names), -EUCLEAN);
    ck_assert_int_eq(unlink(db), 0);
    ck_assert_int_eq(look_since(0, &names), -ENOENT);
    ck_assert_int_eq(file_write_atomic(db, "", 0, 0600), 0);
    ck_assert_int_eq(look_since(0, &names), -EPROTO); /* just being made */
}
END_TEST

/* ---------------------------------------------------------------- the remote */

static struct error failure(int code)
{
    struct error f;
    (void)error_set(&f, code, "a reason");
    return f;
}

START_TEST(the_remote_is_asked_first_and_pushed_to_when_there_is_something)
{
    struct remote r;
    remote_init(&r);
    ck_assert_int_eq(remote_next(&r, 0), REMOTE_FETCH);
    remote_fetched(&r, GITREPO_REBASE_CURRENT, 0, "", 1);
    ck_assert_int_eq(r.state, REMOTE_CURRENT);
    ck_assert_int_eq(remote_next(&r, 1), REMOTE_REST);
    ck_assert_uint_eq(remote_due_ms(&r), UINT64_MAX);
    remote_committed(&r, 2);
    ck_assert_int_eq(remote_next(&r, 2), REMOTE_PUSH);
    remote_committed(&r, 1); /* while it is on its way */
    remote_pushed(&r, GITREPO_PUSHED, 2, 3, 0);
    ck_assert_int_eq(r.unpushed, 1);
    ck_assert_int_eq(remote_next(&r, 3), REMOTE_PUSH);
    remote_pushed(&r, GITREPO_PUSHED, 1, 4, 0);
    ck_assert_int_eq(remote_next(&r, 4), REMOTE_REST);
}
END_TEST

static const struct {
    int code;
    enum remote_state state;
} failures[] = {
    { -EIO, REMOTE_AWAY },
    { -ETIMEDOUT, REMOTE_AWAY },
    { -EACCES, REMOTE_REFUSED },
};

START_TEST(failures_wait_longer_and_longer_and_not_for_ever)
{
    struct remote r;
    struct error f = failure(failures[_i].code);
    uint64_t now = 1000, first = 0, last = 0;
    remote_init(&r);
    remote_fetched(&r, GITREPO_REBASE_CURRENT, 0, "", now);
    remote_committed(&r, 1);
    for (uint32_t i = 0; i < 20; i++) {
        ck_assert_int_eq(remote_next(&r, now), REMOTE_PUSH);
        remote_failed(&r, &f, now, i * 997);
        ck_assert_int_eq(r.state, failures[_i].state);
        ck_assert_str_eq(r.reason, "a reason");
        ck_assert_int_eq(remote_next(&r, now), REMOTE_REST);
        last = remote_due_ms(&r) - now;
        first = i ? first : last;
        ck_assert_uint_ge(last, 1500);
        ck_assert_uint_le(last, 375000);
        now += last;
    }
    ck_assert_uint_le(first, 2500);
    ck_assert_uint_ge(last, 225000);
    remote_pushed(&r, GITREPO_PUSHED, 1, now, 0);
    ck_assert_int_eq(r.state, REMOTE_CURRENT);
    ck_assert_str_eq(r.reason, "");
    ck_assert_uint_eq(r.failed, 20);
    remote_committed(&r, 1);
    ck_assert_int_eq(remote_next(&r, now), REMOTE_PUSH); /* at once again */
}
END_TEST

START_TEST(one_that_is_behind_fetches_and_rests_when_it_never_wins)
{
    struct remote r;
    int rests = 0;
    remote_init(&r);
    remote_fetched(&r, GITREPO_REBASE_CURRENT, 1, "", 0);
    for (uint64_t now = 0; now < 12; now++) {
        uint64_t at = remote_due_ms(&r);
        rests += at > now;
        ck_assert_int_eq(remote_next(&r, at), REMOTE_PUSH);
        remote_pushed(&r, GITREPO_PUSH_BEHIND, 1, now, 0);
        at = remote_due_ms(&r);
        rests += at > now;
        ck_assert_int_eq(remote_next(&r, at), REMOTE_FETCH);
        remote_fetched(&r, GITREPO_REBASED, 1, "", now);
    }
    ck_assert_int_eq(rests, 2);
    ck_assert_int_eq(r.state, REMOTE_AWAY);
}
END_TEST

START_TEST(a_conflict_goes_aside_and_is_looked_at_again)
{
    struct remote r;
    struct error f = failure(-EIO);
    remote_init(&r);
    remote_fetched(&r, GITREPO_REBASE_CONFLICT, 1, "x was changed", 0);
    ck_assert(r.aside);
    ck_assert_int_eq(r.state, REMOTE_CONFLICT);
    ck_assert_int_eq(remote_next(&r, 0), REMOTE_PUSH);
    remote_failed(&r, &f, 0, 0);
    remote_pushed(&r, GITREPO_PUSHED, 1, 5000, 0);
    ck_assert_int_eq(r.state, REMOTE_CONFLICT);
    ck_assert_str_eq(r.reason, "x was changed");
    ck_assert_int_eq(remote_next(&r, 5000), REMOTE_REST);
    ck_assert_int_eq(remote_next(&r, remote_due_ms(&r)), REMOTE_FETCH);
    remote_committed(&r, 1);
    ck_assert_int_eq(remote_next(&r, 5001), REMOTE_PUSH);
    remote_pushed(&r, GITREPO_PUSHED, 1, 5001, 0);
    remote_fetched(&r, GITREPO_REBASE_FORWARDED, 0, "", 700000);
    ck_assert(!r.aside);
    ck_assert_int_eq(r.state, REMOTE_CURRENT);
    ck_assert_uint_eq(remote_due_ms(&r), UINT64_MAX);
}
END_TEST

START_TEST(a_side_branch_of_somebody_else_is_a_refusal)
{
    struct remote r;
    remote_init(&r);
    remote_fetched(&r, GITREPO_REBASE_CONFLICT, 1, "x was changed", 0);
    remote_pushed(&r, GITREPO_PUSH_BEHIND, 1, 0, 0);
    ck_assert_int_eq(r.state, REMOTE_REFUSED);
    ck_assert_int_eq(remote_next(&r, 0), REMOTE_REST);
    ck_assert_int_eq(remote_next(&r, remote_due_ms(&r)), REMOTE_FETCH);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("state");
    TCase *t = tcase_create("state");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, a_session_is_written_and_read_back, 0, (int)ARRAY_SIZE(titles));
    tcase_add_test(t, milestones_stand_in_their_order);
    tcase_add_test(t, a_file_tells_which_milestones_it_has);
    tcase_add_test(t, subagents_and_unknown_ones_have_none);
    tcase_add_loop_test(t, no_name_leads_elsewhere, 0, (int)ARRAY_SIZE(paths));
    tcase_add_test(t, what_changed_is_written_and_nothing_else);
    tcase_add_test(t, what_could_not_be_written_is_tried_again);
    tcase_add_test(t, a_store_that_cannot_be_read_is_told_apart);
    suite_add_tcase(s, t);
    t = tcase_create("remote");
    tcase_add_test(t, the_remote_is_asked_first_and_pushed_to_when_there_is_something);
    tcase_add_loop_test(t, failures_wait_longer_and_longer_and_not_for_ever, 0,
                        (int)ARRAY_SIZE(failures));
    tcase_add_test(t, one_that_is_behind_fetches_and_rests_when_it_never_wins);
    tcase_add_test(t, a_conflict_goes_aside_and_is_looked_at_again);
    tcase_add_test(t, a_side_branch_of_somebody_else_is_a_refusal);
    suite_add_tcase(s, t);
    return run_suite(s);
}
