/* trust: what runs in OpenCode's own process and waits for a person's word. codev-prepare writes
 * what differs to the state folder, DIR/trust/KIND.changes: the contents' id, the files, an empty
 * line, the differences. A person accepts the id that was shown; it is written back to
 * DIR/trust/KIND.asked, and codev-prepare takes in what has exactly that id. */
#include "supervisor/ctl/ctl.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/core/clock.h"
#include "base/core/file.h"
#include "base/core/visible.h"

#define CHANGES_MAX ((size_t)8 << 20)
#define PREPARE_MS  (15 * 60 * 1000)
#define ID_SIZE     41

static const char *const kinds[] = { "plugin", "config" };

struct trust {
    char *dir;                            /* "": no state folder */
    char *changes[ARRAY_SIZE(kinds)];     /* NULL: as accepted; without the id */
    char ids[ARRAY_SIZE(kinds)][ID_SIZE]; /* "": it cannot be accepted */
};

static void trust_release(struct trust *t)
{
    free(t->dir);
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        free(t->changes[i]);
}

/* The first line is the id. The rest is safe for a terminal already (bridge/prepare/trust.c). */
static void take_id(struct trust *t, size_t i)
{
    char *text = t->changes[i];
    size_t n = strcspn(text, "\n");
    if (n == ID_SIZE - 1 && strspn(text, "0123456789abcdef") == n)
        (void)snprintf(t->ids[i], ID_SIZE, "%.*s", (int)n, text);
    memmove(text, text + n + (text[n] == '\n'), strlen(text + n) + (text[n] != '\n'));
}

static int trust_read(struct trust *t)
{
    const char *words[] = { "status", NULL };
    _cleanup_json_ cJSON *status = NULL;
    int result = ctl_ask(words, &status);
    if (result != CTL_OK)
        return result;
    t->dir = path_join(json_str(status, "state_dir", ""), "trust");
    for (size_t i = 0; t->dir && i < ARRAY_SIZE(kinds); i++) {
        _cleanup_free_ char *path = NULL;
        if (asprintf(&path, "%s/%s.changes", t->dir, kinds[i]) < 0) {
            path = NULL;
            continue;
        }
        int r = file_read(path, CHANGES_MAX, &t->changes[i], NULL);
        if (r < 0 && r != -ENOENT && r != -ENOTDIR) {
            ctl_complain("cannot read %s: %s", path, strerror(-r));
            return CTL_NOT_WELL;
        }
        if (r == 0)
            take_id(t, i);
    }
    return CTL_OK;
}

static void put_json(const struct trust *t)
{
    _cleanup_json_ cJSON *j = cJSON_CreateObject();
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        cJSON *one = cJSON_AddObjectToObject(j, kinds[i]);
        (void)cJSON_AddStringToObject(one, "state", t->changes[i] ? "changed" : "accepted");
        if (*t->ids[i])
            (void)cJSON_AddStringToObject(one, "id", t->ids[i]);
        if (t->changes[i])
            (void)cJSON_AddStringToObject(one, "changes", t->changes[i]);
    }
    ctl_print_json(j);
}

static void put_changes(const char *text)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    visible_put(&out, text, strlen(text), VISIBLE_LINES); /* once more: it costs nothing */
    (void)fputs(buf_str(&out), stdout);
}

static int show(const struct ctl_options *o, const struct trust *t)
{
    bool waits = false;
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        waits |= t->changes[i] != NULL;
        if (o->json)
            continue;
        if (!t->changes[i]) {
            (void)printf("%s: nothing waits\n", kinds[i]);
            continue;
        }
        (void)printf("%s: changed since it was accepted\n", kinds[i]);
        put_changes(t->changes[i]);
        if (*t->ids[i])
            (void)printf("\nTo accept exactly this:\n  codevctl trust %s %s\n", kinds[i],
                         t->ids[i]);
    }
    if (o->json)
        put_json(t);
    return waits ? CTL_NOT_WELL : CTL_OK;
}

/* --- accepting --- */

static int accept_one(const struct trust *t, size_t i)
{
    _cleanup_free_ char *path = NULL;
    char line[ID_SIZE + 1];
    if (asprintf(&path, "%s/%s.asked", t->dir, kinds[i]) < 0) {
        path = NULL;
        return CTL_NOT_WELL;
    }
    int n = snprintf(line, sizeof line, "%s\n", t->ids[i]);
    int r = file_write_atomic(path, line, (size_t)n, 0600);
    /* Root in a pod of an ordinary user: codev-prepare is to read it. */
    struct stat st;
    if (r == 0 && geteuid() == 0 &&
        (stat(t->dir, &st) < 0 || chown(path, st.st_uid, st.st_gid) < 0))
        r = -errno;
    if (r == 0)
        return CTL_OK;
    ctl_complain("cannot write %s: %s", path, strerror(-r));
    return CTL_NOT_WELL;
}

/* On a terminal: shows it and asks. */
static bool says_yes(const struct trust *t, size_t i)
{
    char answer[16] = "";
    put_changes(t->changes[i]);
    (void)printf("\nAccept this change of the %s? It will run in OpenCode's own process. [y/N] ",
                 i == 0 ? "plugin" : "configuration");
    (void)fflush(stdout);
    return fgets(answer, sizeof answer, stdin) && (*answer == 'y' || *answer == 'Y');
}

/* CTL_OK: what was shown is accepted, or nothing waits (then `*ret_any` stays as it is). */
static int accept_kind(const struct ctl_options *o, const struct trust *t, size_t i, const char *id,
                       bool *ret_any)
{
    bool terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    if (!t->changes[i])
        return CTL_OK;
    if (!*t->ids[i]) {
        ctl_complain("%s: not all of it can be shown, so it cannot be accepted; codevctl restart "
                     "prepare looks again",
                     kinds[i]);
        return CTL_NOT_WELL;
    }
    if (id && strcmp(id, t->ids[i]) != 0) {
        ctl_complain("%s: not what waits now, which is %s: codevctl trust shows it", kinds[i],
                     t->ids[i]);
        return CTL_NOT_WELL;
    }
    if (!id && (!terminal || o->json)) {
        ctl_complain("%s: name what you accept, as codevctl trust shows it: codevctl trust %s ID",
                     kinds[i], kinds[i]);
        return CTL_USAGE;
    }
    if (!id && !says_yes(t, i)) {
        (void)printf("%s: not accepted\n", kinds[i]);
        return CTL_NOT_WELL;
    }
    int result = accept_one(t, i);
    if (result == CTL_OK && !o->json)
        (void)printf("%s: accepted, with exactly that contents\n", kinds[i]);
    *ret_any |= result == CTL_OK;
    return result;
}

/* --- at once --- */

static int order(const char *verb, const char *service)
{
    const char *words[] = { verb, service, NULL };
    _cleanup_json_ cJSON *answer = NULL;
    return ctl_ask(words, &answer);
}

/* OpenCode stops, codev-prepare waits for that and takes the change in, OpenCode waits for
 * codev-prepare: PID 1 has all three orders before it has done the first, and nothing more is ours
 * to do. Whoever is interrupted in between still gives the last one. */
static int give_orders(void)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_BLOCK, &all, &before);
    int result = order("stop", "opencode");
    if (result == CTL_OK) {
        result = order("restart", "prepare");
        int started = order("start", "opencode");
        result = result != CTL_OK ? result : started;
    }
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    return result;
}

/* Until codev-prepare has come to an end. */
static int await_prepare(void)
{
    const char *words[] = { "status", NULL };
    uint64_t deadline = clock_mono_ms() + PREPARE_MS;
    do {
        _cleanup_json_ cJSON *status = NULL;
        int result = ctl_ask(words, &status);
        if (result != CTL_OK)
            return result;
        const char *state = json_str(ctl_find_service(status, "prepare"), "state", "");
        if (strcmp(state, "done") == 0 || strcmp(state, "failed") == 0)
            return CTL_OK;
        (void)nanosleep(&(struct timespec){ .tv_nsec = 100 * 1000000 }, NULL);
    } while (clock_mono_ms() < deadline);
    ctl_complain("prepare does not come to an end: codevctl status");
    return CTL_NOT_WELL;
}

/* Nothing of what was named waits any more. */
static int check_taken(const char *what)
{
    _cleanup_(trust_release) struct trust t = { 0 };
    int result = trust_read(&t);
    for (size_t i = 0; result == CTL_OK && i < ARRAY_SIZE(kinds); i++)
        if (t.changes[i] && (strcmp(what, "all") == 0 || strcmp(what, kinds[i]) == 0))
            result = CTL_NOT_WELL;
    if (result == CTL_NOT_WELL)
        ctl_complain("it was not taken in: codevctl status says why, and codevctl logs prepare");
    return result;
}

static int finish(const struct ctl_options *o, const char *what)
{
    if (!o->now) {
        if (!o->json)
            (void)puts("It counts from the pod's next start; at once, which ends running turns, "
                       "with --now.");
        return CTL_OK;
    }
    int result = give_orders();
    if (result == CTL_OK && !o->json)
        (void)puts("OpenCode stops, the change is taken in, OpenCode starts again; this goes on by "
                   "itself...");
    (void)fflush(stdout);
    if (result == CTL_OK)
        result = await_prepare();
    if (result == CTL_OK)
        result = check_taken(what);
    if (result == CTL_OK && !o->json)
        (void)puts("OpenCode is starting with it.");
    return result;
}

static int accept(const struct ctl_options *o, const struct trust *t, const char *what,
                  const char *id)
{
    bool all = strcmp(what, "all") == 0, any = false, known = all;
    if (all && id) {
        ctl_complain("trust: an id is of one of them: codevctl trust plugin ID");
        return CTL_USAGE;
    }
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        bool meant = all || strcmp(what, kinds[i]) == 0;
        known |= meant;
        int result = meant ? accept_kind(o, t, i, id, &any) : CTL_OK;
        if (result != CTL_OK)
            return result;
    }
    if (!known) {
        ctl_complain("trust: expected plugin, config or all, not '%.40s'", what);
        return CTL_USAGE;
    }
    if (!any && !o->now) {
        if (!o->json)
            (void)puts("nothing waits");
        return CTL_OK;
    }
    return finish(o, what);
}

int ctl_trust(const struct ctl_options *o, int argc, char **argv)
{
    _cleanup_(trust_release) struct trust t = { 0 };
    int result = trust_read(&t);
    if (result != CTL_OK)
        return result;
    return argc > 1 ? accept(o, &t, argv[1], argc > 2 ? argv[2] : NULL) : show(o, &t);
}
