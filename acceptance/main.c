/* codev-accept: the eleven acceptance criteria, run inside the live pod. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "acceptance/acceptance.h"
#include "acceptance/scratch.h"
#include "base/core/clock.h"
#include "base/core/file.h"
#include "base/core/log.h"
#include "base/opencode/api.h"

#define EXIT_NOT_ALL 1
#define EXIT_USAGE   2
#define EXIT_NO_POD  3
#define CRITERIA_MAX 16

struct options {
    enum format format;
    const char *story, *only;
};

static const char usage[] =
    "usage: codev-accept [--restart] [--story 1.5|1.6] [--only ID]\n"
    "                    [--format table|json|tap|junit] [--quiet]\n"
    "Runs the eleven acceptance criteria inside the live pod, each by making the thing happen.\n"
    "  --restart      OpenCode may be restarted once, when no session is at work: proves that\n"
    "                 state survives it\n"
    "  --story S      only the criteria of that story\n"
    "  --only ID      only that criterion, as A1.6-4\n"
    "  --format F     table (default), json, tap, junit\n"
    "  --quiet        no progress on standard error\n"
    "  --list         the criteria, a line each\n"
    "Exit status: 0 all passed, 1 some did not, 2 usage, 3 no pod to test.\n";

static int parse_options(int argc, char **argv, struct accept *a, struct options *o)
{
    static const struct option longs[] = {
        { "restart", no_argument, NULL, 'r' },
        { "story", required_argument, NULL, 's' },
        { "only", required_argument, NULL, 'o' },
        { "format", required_argument, NULL, 'f' },
        { "quiet", no_argument, NULL, 'q' },
        { "list", no_argument, NULL, 'l' },
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, 'V' },
        { 0 },
    };
    int c;
    while ((c = getopt_long(argc, argv, "rs:o:f:qlhV", longs, NULL)) != -1) {
        switch (c) {
        case 'r':
            a->restart = true;
            break;
        case 's':
            o->story = optarg;
            break;
        case 'o':
            o->only = optarg;
            break;
        case 'q':
            a->quiet = true;
            break;
        case 'f': {
            size_t f = 0;
            while (f < FORMAT_COUNT && strcmp(optarg, format_names[f]) != 0)
                f++;
            if (f == FORMAT_COUNT) {
                fprintf(stderr, "codev-accept: --format %s: expected table, json, tap or junit\n",
                        optarg);
                return EXIT_USAGE;
            }
            o->format = (enum format)f;
            break;
        }
        case 'l':
            for (size_t i = 0; criteria[i].id; i++)
                printf("%s  %s\n", criteria[i].id, criteria[i].title);
            return -1;
        case 'h':
            (void)fputs(usage, stdout);
            return -1;
        case 'V':
            puts("codev-accept " CODEV_VERSION);
            return -1;
        default:
            (void)fputs(usage, stderr);
            return EXIT_USAGE;
        }
    }
    bool known = !o->story && !o->only;
    for (size_t i = 0; criteria[i].id; i++)
        known |= (o->story && strcmp(o->story, criteria[i].story) == 0) ||
                 (o->only && strcmp(o->only, criteria[i].id) == 0);
    if (optind != argc || !known) {
        (void)fputs(optind != argc
                        ? usage
                        : "codev-accept: no such criterion or story; --list names them\n",
                    stderr);
        return EXIT_USAGE;
    }
    return 0;
}

/* A setting: the environment of this exec, else what PID 1 says of itself, else the default below
 * home. */
static char *setting(const char *variable, const char *home, const char *below)
{
    const char *value = getenv(variable);
    return value && *value ? strdup(value) : path_join(home, below);
}

static int set_up(struct accept *a, struct error *e)
{
    int r = pid1_call((const char *[]){ "status", NULL }, &a->status, e);
    if (r < 0)
        return r;
    const char *home = json_str(a->status, "home", getenv("CODEV_HOME"));
    if (!home || !*home)
        home = getenv("HOME");
    a->home = strdup(home ? home : "/home/coder");
    const cJSON *volume = cJSON_GetArrayItem(json_arr(a->status, "volumes"), 0);
    a->state_path = volume && *json_str(volume, "path", "") ? strdup(json_str(volume, "path", ""))
                                                            : path_join(a->home, ".local");
    a->plugin_path =
        setting("CODEV_PLUGIN_PATH", a->home, "src/repos/ai-dev/plugins/opencode-bridge");
    a->directory = setting("CODEV_OPENCODE_DIRECTORY", a->home, "src");
    a->opencode_url = api_find_url();
    const char *bin = getenv("OPENCODE_BIN");
    a->opencode_bin = strdup(bin && *bin ? bin : "opencode");
    a->boot_started = strdup(json_str(a->status, "started", ""));
    char self[512];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(self, '/');
    a->bin_dir = slash ? strndup(self, (size_t)(slash - self)) : strdup("/usr/local/bin");
    struct stat st;
    a->state_dev = stat(a->state_path, &st) == 0 ? st.st_dev : 0;
    (void)mount_table_read(&a->mounts, NULL);
    _cleanup_free_ char *password = api_find_password();
    const char *user = getenv("OPENCODE_SERVER_USERNAME");
    r = api_new(&a->api, a->opencode_url, user && *user ? user : "opencode", password);
    return r < 0 ? error_set_errno(e, r, "cannot set up the HTTP client") : 0;
}

static void tear_down(struct accept *a)
{
    scratch_remove(a);
    api_free(a->api);
    mount_table_release(&a->mounts);
    cJSON_Delete(a->status);
    free(a->home);
    free(a->state_path);
    free(a->plugin_path);
    free(a->directory);
    free(a->opencode_url);
    free(a->opencode_bin);
    free(a->boot_started);
    free(a->bin_dir);
}

static bool wanted(const struct criterion *c, const struct options *o)
{
    return (!o->story || strcmp(o->story, c->story) == 0) &&
           (!o->only || strcmp(o->only, c->id) == 0);
}

static bool run_all(struct accept *a, const struct options *o, struct result *results)
{
    bool all = true;
    for (size_t i = 0; criteria[i].id; i++) {
        struct result *r = &results[i];
        r->outcome = OUTCOME_SKIPPED;
        if (!wanted(&criteria[i], o))
            continue;
        progress(a, "%s  %s", criteria[i].id, criteria[i].title);
        uint64_t begun = clock_mono_ms();
        result_fail(r, "the check came to no verdict");
        criteria[i].check(a, r);
        r->elapsed_ms = clock_mono_ms() - begun;
        progress(a, "%s  %s", criteria[i].id, outcome_name(r->outcome));
        all &= r->outcome == OUTCOME_PASS;
    }
    return all;
}

int main(int argc, char **argv)
{
    log_init("codev-accept");
    struct accept a = { 0 };
    struct options o = { .format = FORMAT_TABLE };
    int r = parse_options(argc, argv, &a, &o);
    if (r != 0)
        return r < 0 ? 0 : r;
    struct error e = ERROR_INIT;
    if (set_up(&a, &e) < 0) {
        fprintf(stderr, "codev-accept: %s\n", e.message);
        tear_down(&a);
        return EXIT_NO_POD;
    }
    struct result results[CRITERIA_MAX] = { 0 };
    bool all = run_all(&a, &o, results);
    storage_cleanup(&a);
    report_print(o.format, results);
    tear_down(&a);
    return all ? 0 : EXIT_NOT_ALL;
}
