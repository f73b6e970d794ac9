/* codev-sessions: OpenCode's sessions from the command line. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/core/buf.h"
#include "base/core/cleanup.h"
#include "base/core/file.h"
#include "base/core/log.h"
#include "base/core/parse.h"
#include "base/http/http.h"
#include "base/opencode/api.h"

#define EXIT_FAILED 1
#define EXIT_USAGE  2
#define TIMEOUT_MS  20000
#define LIST_MOST   50
#define IMPORT_MAX  (256U << 20)

struct ask {
    struct api *api;
    char *url, *password;
    const char *user;
    bool json;
    unsigned most; /* -n */
};

struct command {
    const char *name;
    int (*run)(struct ask *a, const char *id, struct error *e);
    int least, most; /* arguments */
    const char *arguments, *help;
};

static int list(struct ask *a, const char *id, struct error *e);
static int show(struct ask *a, const char *id, struct error *e);
static int export_session(struct ask *a, const char *id, struct error *e);
static int import_session(struct ask *a, const char *id, struct error *e);
static int abort_session(struct ask *a, const char *id, struct error *e);
static int attach(struct ask *a, const char *id, struct error *e);

static const struct command commands[] = {
    { "list", list, 0, 0, "[-n N] [--json]", "the newest sessions of every folder" },
    { "show", show, 1, 1, "ID [-n N] [--json]", "what was said in one" },
    { "export", export_session, 1, 1, "ID >FILE", "all of one, as JSON" },
    { "import", import_session, 0, 0, "<FILE", "what export wrote; the session keeps its id" },
    { "abort", abort_session, 1, 1, "ID", "end its running turn" },
    { "attach", attach, 0, 1, "[ID]",
      "OpenCode's terminal page on this pod's server; without a terminal, how to get it" },
};

static void put_usage(FILE *out)
{
    (void)fputs("usage: codevctl sessions [COMMAND]\n\n", out);
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        (void)fprintf(out, "  %-7s %-20s %s\n", commands[i].name, commands[i].arguments,
                      commands[i].help);
    (void)fputs("\nexit status: 0 done, 1 failed, 2 wrong usage\n", out);
}

/* GET or POST of a path with the session's id in it. 0 or -errno; other statuses are errors. */
static int call(struct ask *a, const char *method, const char *id, const char *rest, cJSON **ret,
                struct error *e)
{
    if (strncmp(id, "ses_", 4) != 0)
        return error_set(e, -ENOENT, "there is no session %.60s", id);
    _cleanup_free_ char *escaped = http_escape(id);
    char path[256];
    if (!escaped ||
        (size_t)snprintf(path, sizeof path, "/session/%s%s", escaped, rest) >= sizeof path)
        return error_set(e, -EINVAL, "no session has such an id: %.60s", id);
    int status = api_call(a->api, method, path, NULL, TIMEOUT_MS, ret, e);
    if (status < 0)
        return status;
    if (status == 404 || status == 400)
        return error_set(e, -ENOENT, "there is no session %.60s", id);
    return status >= 300 ? error_set(e, -EPROTO, "OpenCode answers %d", status) : 0;
}

static void print_json(const cJSON *j)
{
    _cleanup_free_ char *text = json_print(j);
    (void)puts(text ? text : "null");
}

static void when(const cJSON *session, char out[32])
{
    double ms = json_num(cJSON_GetObjectItemCaseSensitive(session, "time"), "updated", 0);
    time_t t = (time_t)(ms / 1000);
    struct tm tm;
    (void)strftime(out, 32, "%Y-%m-%d %H:%M", localtime_r(&t, &tm));
}

/* "busy", "retry" or "idle"; each folder's server part keeps its own list, asked once. */
static const char *state_of(struct ask *a, cJSON *by_folder, const cJSON *session)
{
    const char *folder = json_str(session, "directory", "");
    cJSON *statuses = cJSON_GetObjectItemCaseSensitive(by_folder, folder);
    if (!statuses) {
        _cleanup_free_ char *escaped = http_escape(folder);
        char path[1024];
        (void)snprintf(path, sizeof path, "/session/status?directory=%s", escaped ? escaped : "");
        if (api_call(a->api, "GET", path, NULL, TIMEOUT_MS, &statuses, NULL) != 200 || !statuses)
            statuses = cJSON_CreateObject();
        (void)cJSON_AddItemToObject(by_folder, folder, statuses);
    }
    const cJSON *own = cJSON_GetObjectItemCaseSensitive(statuses, json_str(session, "id", ""));
    return json_str(own, "type", "idle");
}

static int list(struct ask *a, const char *id, struct error *e)
{
    _cleanup_json_ cJSON *sessions = NULL, *folders = cJSON_CreateObject();
    char path[96];
    (void)id;
    (void)snprintf(path, sizeof path, "/experimental/session?roots=true&limit=%u", a->most);
    int status = api_call(a->api, "GET", path, NULL, TIMEOUT_MS, &sessions, e);
    if (status < 0)
        return status;
    if (status != 200 || !cJSON_IsArray(sessions))
        return error_set(e, -EPROTO, "OpenCode answers %d", status);
    cJSON *s;
    cJSON_ArrayForEach (s, sessions)
        (void)cJSON_AddStringToObject(s, "status", state_of(a, folders, s));
    if (a->json) {
        print_json(sessions);
        return 0;
    }
    (void)printf("%-30s %-6s %-16s %-28s %s\n", "ID", "STATUS", "LAST ACTIVE", "FOLDER", "TITLE");
    cJSON_ArrayForEach (s, sessions) {
        char time_text[32];
        when(s, time_text);
        (void)printf("%-30s %-6s %-16s %-28s %s\n", json_str(s, "id", "?"),
                     json_str(s, "status", ""), time_text, json_str(s, "directory", ""),
                     json_str(s, "title", ""));
    }
    return 0;
}

static void put_message(const cJSON *message)
{
    const cJSON *part;
    (void)printf("\n%s:\n", json_str_at(message, "info.role", "?"));
    cJSON_ArrayForEach (part, json_arr(message, "parts")) {
        const char *type = json_str(part, "type", "");
        if (strcmp(type, "text") == 0)
            (void)printf("%s\n", json_str(part, "text", ""));
        else if (strcmp(type, "tool") == 0)
            (void)printf("[%s: %s %s]\n", json_str(part, "tool", "tool"),
                         json_str_at(part, "state.status", ""),
                         json_str_at(part, "state.title", ""));
    }
}

static int show(struct ask *a, const char *id, struct error *e)
{
    _cleanup_json_ cJSON *session = NULL, *messages = NULL;
    char rest[48];
    (void)snprintf(rest, sizeof rest, "/message?limit=%u", a->most);
    int r = call(a, "GET", id, "", &session, e);
    if (r == 0)
        r = call(a, "GET", id, rest, &messages, e);
    if (r < 0)
        return r;
    if (a->json) {
        (void)cJSON_AddItemToObject(session, "messages", messages);
        messages = NULL;
        print_json(session);
        return 0;
    }
    char time_text[32];
    when(session, time_text);
    (void)printf("%s\n%s, %s, last active %s\n", json_str(session, "title", ""),
                 json_str(session, "id", ""), json_str(session, "directory", ""), time_text);
    const cJSON *m;
    cJSON_ArrayForEach (m, messages)
        put_message(m);
    return 0;
}

/* What `opencode export` writes: {info, messages}. */
static int export_session(struct ask *a, const char *id, struct error *e)
{
    _cleanup_json_ cJSON *session = NULL, *messages = NULL, *all = cJSON_CreateObject();
    int r = call(a, "GET", id, "", &session, e);
    if (r == 0)
        r = call(a, "GET", id, "/message", &messages, e);
    if (r < 0)
        return r;
    (void)cJSON_AddItemToObject(all, "info", TAKE_PTR(session));
    (void)cJSON_AddItemToObject(all, "messages", TAKE_PTR(messages));
    print_json(all);
    return 0;
}

/* In a child: OpenCode's own import, with an empty configuration folder, because it must load
 * neither plugins nor a project's configuration for this. */
static int run_import(const char *file, const char *folder, struct error *e)
{
    const char *program = getenv("OPENCODE_BIN");
    pid_t pid = fork();
    if (pid < 0)
        return error_set_errno(e, -errno, "cannot start opencode");
    if (pid == 0) {
        (void)setenv("XDG_CONFIG_HOME", folder, 1);
        (void)setenv("OPENCODE_DISABLE_PROJECT_CONFIG", "1", 1);
        (void)setenv("npm_config_offline", "true", 1);
        (void)unsetenv("OPENCODE_CONFIG");
        (void)execlp(program && *program ? program : "opencode", "opencode", "import", file,
                     (char *)NULL);
        _exit(127);
    }
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return error_set_errno(e, -errno, "cannot wait for opencode");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    return error_set(e, -EIO, "opencode import failed (status %d)",
                     WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

static int import_session(struct ask *a, const char *id, struct error *e)
{
    char folder[] = "/tmp/codev-import-XXXXXX";
    _cleanup_free_ char *data = NULL, *file = NULL;
    _cleanup_json_ cJSON *json = NULL;
    size_t len = 0;
    (void)a;
    (void)id;
    int r = file_read_fd(STDIN_FILENO, IMPORT_MAX, &data, &len);
    if (r < 0)
        return error_set_errno(e, r, "cannot read standard input");
    r = json_parse(&json, data, len, e);
    if (r < 0)
        return r;
    if (strncmp(json_str_at(json, "info.id", ""), "ses_", 4) != 0 || !json_arr(json, "messages"))
        return error_set(e, -EINVAL, "this is not what codevctl sessions export writes");
    if (!mkdtemp(folder))
        return error_set_errno(e, -errno, "cannot make a folder in /tmp");
    file = path_join(folder, "session.json");
    r = file ? file_write_atomic(file, data, len, 0600) : -ENOMEM;
    r = r < 0 ? error_set_errno(e, r, "cannot write %s", folder) : run_import(file, folder, e);
    (void)file_remove_tree(folder);
    return r;
}

static int abort_session(struct ask *a, const char *id, struct error *e)
{
    _cleanup_json_ cJSON *session = NULL;
    int r = call(a, "GET", id, "", &session, e); /* abort itself knows every id */
    if (r == 0)
        r = call(a, "POST", id, "/abort", NULL, e);
    if (r == 0)
        (void)printf("aborted %s\n", id);
    return r;
}

static int attach(struct ask *a, const char *id, struct error *e)
{
    _cleanup_json_ cJSON *session = NULL;
    int r = id ? call(a, "GET", id, "", &session, e) : 0;
    if (r < 0)
        return r;
    const char *folder = json_str(session, "directory", NULL);
    const char *program = getenv("OPENCODE_BIN");
    program = program && *program ? program : "opencode";
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
        (void)printf("OPENCODE_SERVER_PASSWORD=$(codevctl password) %s attach %s", program, a->url);
        if (id)
            (void)printf(" --session %s --dir '%s'", id, folder ? folder : "");
        (void)puts("");
        return 0;
    }
    const char *args[8] = { "opencode", "attach", a->url };
    size_t n = 3;
    if (id) {
        args[n++] = "--session";
        args[n++] = id;
    }
    if (folder) {
        args[n++] = "--dir";
        args[n++] = folder;
    }
    if (a->password) /* never an argument */
        (void)setenv("OPENCODE_SERVER_PASSWORD", a->password, 1);
    (void)execvp(program, (char *const *)(uintptr_t)args);
    return error_set_errno(e, -errno, "cannot run %s", program);
}

static int set_up(struct ask *a, struct error *e)
{
    const char *user = getenv("OPENCODE_SERVER_USERNAME");
    a->url = api_find_url();
    a->password = api_find_password();
    a->user = user && *user ? user : "opencode";
    int r = a->url ? api_new(&a->api, a->url, a->user, a->password) : -ENOMEM;
    return r < 0 ? error_set_errno(e, r, "cannot set up the HTTP client") : 0;
}

static int take_options(int argc, char **argv, struct ask *a)
{
    static const struct option longs[] = { { "json", no_argument, NULL, 'j' },
                                           { "lines", required_argument, NULL, 'n' },
                                           { "help", no_argument, NULL, 'h' },
                                           { 0 } };
    uint64_t n;
    for (int c; (c = getopt_long(argc, argv, "jn:h", longs, NULL)) != -1;) {
        if (c == 'j') {
            a->json = true;
        } else if (c == 'n' && parse_u64(optarg, 1, 10000, &n) == 0) {
            a->most = (unsigned)n;
        } else {
            put_usage(c == 'h' ? stdout : stderr);
            return c == 'h' ? 0 : EXIT_USAGE;
        }
    }
    return -1;
}

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

int main(int argc, char **argv)
{
    struct ask a = { .most = LIST_MOST };
    struct error e = ERROR_INIT;
    log_init("codev-sessions");
    int status = take_options(argc, argv, &a);
    if (status >= 0)
        return status;
    const struct command *c = find(optind < argc ? argv[optind] : "list");
    int count = argc - optind - 1;
    if (!c || count > c->most || (count < c->least && c->least > 0)) {
        put_usage(stderr);
        return EXIT_USAGE;
    }
    int r = set_up(&a, &e);
    if (r == 0)
        r = c->run(&a, count > 0 ? argv[optind + 1] : NULL, &e);
    if (r < 0)
        (void)fprintf(stderr, "codevctl sessions: %s\n", e.message);
    api_free(a.api);
    free(a.url);
    free(a.password);
    return r < 0 || fflush(stdout) != 0 ? EXIT_FAILED : 0;
}
