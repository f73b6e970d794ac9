/* trust: what runs in OpenCode's own process and waits for a person's word. codev-prepare writes
 * what differs to the state folder, DIR/trust/KIND.changes: the contents' id, the files, an empty
 * line, the differences. Accepting writes that id back, DIR/trust/KIND.asked; codev-prepare takes
 * in what has exactly that id. */
#include "supervisor/ctl/ctl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/core/clock.h"
#include "base/core/file.h"

#define CHANGES_MAX ((size_t)4 << 20)
#define STOP_MS     60000
#define PREPARE_MS  (15 * 60 * 1000)

static const char *const kinds[] = { "plugin", "config" };

struct trust {
    char *dir;                        /* "": no state folder */
    char *changes[ARRAY_SIZE(kinds)]; /* NULL: as accepted */
};

static void trust_release(struct trust *t)
{
    free(t->dir);
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        free(t->changes[i]);
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
    }
    return CTL_OK;
}

static void put_json(const struct trust *t)
{
    _cleanup_json_ cJSON *j = cJSON_CreateObject();
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        cJSON *one = cJSON_AddObjectToObject(j, kinds[i]);
        const char *text = t->changes[i];
        size_t id = text ? strcspn(text, "\n") : 0;
        (void)cJSON_AddStringToObject(one, "state", text ? "changed" : "accepted");
        if (text && text[id])
            (void)cJSON_AddStringToObject(one, "changes", text + id + 1);
    }
    ctl_print_json(j);
}

static int show(const struct ctl_options *o, const struct trust *t)
{
    bool waits = false;
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        const char *text = t->changes[i];
        waits |= text != NULL;
        if (o->json)
            continue;
        if (!text)
            (void)printf("%s: nothing waits\n", kinds[i]);
        else
            (void)printf("%s: changed since it was accepted\n%s\nTo accept it: codevctl trust %s\n",
                         kinds[i], text + strcspn(text, "\n") + 1, kinds[i]);
    }
    if (o->json)
        put_json(t);
    return waits ? CTL_NOT_WELL : CTL_OK;
}

static int accept_one(const struct trust *t, size_t i)
{
    _cleanup_free_ char *path = NULL;
    if (asprintf(&path, "%s/%s.asked", t->dir, kinds[i]) < 0) {
        path = NULL;
        return CTL_NOT_WELL;
    }
    int r = file_write_atomic(path, t->changes[i], strcspn(t->changes[i], "\n") + 1, 0600);
    if (r == 0)
        return CTL_OK;
    ctl_complain("cannot write %s: %s", path, strerror(-r));
    return CTL_NOT_WELL;
}

/* --- at once --- */

/* Until the service is in one of two states. */
static int await(const char *service, const char *a, const char *b, uint64_t timeout_ms)
{
    const char *words[] = { "status", NULL };
    uint64_t deadline = clock_mono_ms() + timeout_ms;
    do {
        _cleanup_json_ cJSON *status = NULL;
        int result = ctl_ask(words, &status);
        if (result != CTL_OK)
            return result;
        const char *state = json_str(ctl_find_service(status, service), "state", "");
        if (strcmp(state, a) == 0 || strcmp(state, b) == 0)
            return CTL_OK;
        (void)nanosleep(&(struct timespec){ .tv_nsec = 100 * 1000000 }, NULL);
    } while (clock_mono_ms() < deadline);
    ctl_complain("%s does not come to an end: codevctl status", service);
    return CTL_NOT_WELL;
}

static int order(const char *verb, const char *service)
{
    const char *words[] = { verb, service, NULL };
    _cleanup_json_ cJSON *answer = NULL;
    return ctl_ask(words, &answer);
}

/* OpenCode is stopped meanwhile: nobody is to change what is being built. It is started again,
 * whatever happens. */
static int take_in_now(void)
{
    int result = order("stop", "opencode");
    if (result != CTL_OK)
        return result;
    result = await("opencode", "stopped", "failed", STOP_MS);
    if (result == CTL_OK)
        result = order("restart", "prepare");
    if (result == CTL_OK)
        result = await("prepare", "done", "failed", PREPARE_MS);
    int started = order("start", "opencode");
    return result != CTL_OK ? result : started;
}

static int finish(const struct ctl_options *o)
{
    if (!o->now) {
        if (!o->json)
            (void)puts(
                "It counts from the pod's next start; at once, which ends running turns, with "
                "--now.");
        return CTL_OK;
    }
    int result = take_in_now();
    _cleanup_(trust_release) struct trust t = { 0 };
    if (result == CTL_OK)
        result = trust_read(&t);
    for (size_t i = 0; result == CTL_OK && i < ARRAY_SIZE(kinds); i++)
        if (t.changes[i])
            result = CTL_NOT_WELL;
    if (result == CTL_NOT_WELL)
        ctl_complain("not all was taken in: codevctl trust, codevctl logs prepare");
    else if (result == CTL_OK && !o->json)
        (void)puts("OpenCode is starting with it.");
    return result;
}

static int accept(const struct ctl_options *o, const struct trust *t, const char *what)
{
    bool all = strcmp(what, "all") == 0, any = false, known = all;
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        bool meant = all || strcmp(what, kinds[i]) == 0;
        known |= meant;
        if (!meant || !t->changes[i])
            continue;
        int result = accept_one(t, i);
        if (result != CTL_OK)
            return result;
        any = true;
        if (!o->json)
            (void)printf("%s: accepted, as `codevctl trust` shows it\n", kinds[i]);
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
    return finish(o);
}

int ctl_trust(const struct ctl_options *o, int argc, char **argv)
{
    _cleanup_(trust_release) struct trust t = { 0 };
    int result = trust_read(&t);
    if (result != CTL_OK)
        return result;
    return argc > 1 ? accept(o, &t, argv[1]) : show(o, &t);
}
