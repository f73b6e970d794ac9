/* Commands that are one question to PID 1. */
#include "supervisor/ctl/ctl.h"

#include <stdio.h>
#include <string.h>

int ctl_service(const struct ctl_options *o, int argc, char **argv)
{
    (void)argc;
    const char *words[] = { argv[0], argv[1], NULL };
    _cleanup_free_ char *done = NULL;
    if (asprintf(&done, "%s: %s accepted", argv[1], argv[0]) < 0)
        return CTL_NOT_WELL;
    return ctl_order(o, words, done);
}

int ctl_shutdown(const struct ctl_options *o, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    const char *words[] = { "shutdown", NULL };
    return ctl_order(o, words, "stopping");
}

static void put_names(const char *title, const cJSON *names)
{
    const cJSON *n;
    if (!cJSON_GetArraySize(names))
        return;
    (void)printf("%s:", title);
    cJSON_ArrayForEach (n, names)
        (void)printf(" %s", cJSON_IsString(n) ? n->valuestring : "?");
    (void)putchar('\n');
}

int ctl_reload(const struct ctl_options *o, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    static const char *const lists[] = { "started", "stopped", "restarted" };
    const char *words[] = { "reload", NULL };
    _cleanup_json_ cJSON *answer = NULL;
    int status = ctl_ask(words, &answer);
    if (status != CTL_OK)
        return status;
    if (o->json) {
        ctl_print_json(answer);
        return CTL_OK;
    }
    int changes = 0;
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        changes += cJSON_GetArraySize(json_arr(answer, lists[i]));
        put_names(lists[i], json_arr(answer, lists[i]));
    }
    if (!changes)
        (void)puts("nothing changed");
    return CTL_OK;
}

/* As the Kubernetes API server lists its checks. */
static void put_checks(const cJSON *answer)
{
    const cJSON *c;
    cJSON_ArrayForEach (c, json_arr(answer, "checks")) {
        const char *reason = json_str(c, "reason", "");
        bool ok = json_bool(c, "ok", false);
        (void)printf("[%c]%s %s%s%s\n", ok ? '+' : '-', json_str(c, "name", "?"),
                     ok ? "ok" : "failed", *reason ? ": " : "", reason);
    }
}

int ctl_probe(const struct ctl_options *o, int argc, char **argv)
{
    (void)argc;
    static const char *const names[] = { "live", "ready", "startup" };
    const char *words[] = { "probe", argv[1], NULL };
    bool known = false;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        known |= strcmp(names[i], argv[1]) == 0;
    if (!known) {
        ctl_complain("probe: expected live, ready or startup, not '%.40s'", argv[1]);
        return CTL_USAGE;
    }
    _cleanup_json_ cJSON *answer = NULL;
    int status = ctl_ask(words, &answer);
    if (status != CTL_OK)
        return CTL_NOT_WELL; /* a probe knows 0 and 1 only */
    bool ok = json_bool(answer, "ok", false);
    if (o->json) {
        ctl_print_json(answer);
    } else if (o->verbose || !ok) {
        put_checks(answer);
        (void)printf("%s: %s\n", argv[1], ok ? "ok" : "failed");
    }
    return ok ? CTL_OK : CTL_NOT_WELL;
}

int ctl_version(const struct ctl_options *o, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    const char *words[] = { "version", NULL };
    _cleanup_json_ cJSON *answer = NULL;
    if (o->json)
        (void)printf("{\"codevctl\":\"%s\",\"init\":", CODEV_VERSION);
    else
        (void)puts("codevctl " CODEV_VERSION);
    (void)fflush(stdout);
    int status = ctl_ask(words, &answer);
    if (o->json) {
        _cleanup_free_ char *text = answer ? json_print(answer) : NULL;
        (void)printf("%s}\n", text ? text : "null");
    } else if (answer) {
        (void)printf("codev-init %s, pid %lld\n", json_str(answer, "version", "?"),
                     (long long)json_int(answer, "pid", 0));
    }
    return status;
}
