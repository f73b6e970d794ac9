/* codev-config: checks the configuration and compiles it to the plan that PID 1 runs. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/core/file.h"
#include "base/core/parse.h"
#include "supervisor/config/compile.h"
#include "supervisor/config/config.h"
#include "supervisor/config/docs.h"
#include "supervisor/config/environ.h"
#include "supervisor/config/print.h"

#define EXIT_USAGE  2
#define EXIT_CONFIG 78 /* sysexits.h's EX_CONFIG, as SPEC'd for PID 1 */
#define FLAGS_MAX   64

static const char usage_text[] =
    "usage: codev-config compile --fd N [options]   write the plan to descriptor N\n"
    "       codev-config check [FILE] [options]     say whether the configuration is right\n"
    "       codev-config print [--json] [options]   show what is in effect, and from where\n"
    "       codev-config docs [--man]               the table of all settings\n"
    "\n"
    "options:\n"
    "  -c, --config FILE     the config file (default: $CODEV_CONFIG, else /etc/codev/codev.yaml)\n"
    "  -s, --set KEY=VALUE   set one option, over all other sources; may be repeated\n"
    "  -h, --help            this text\n"
    "  -V, --version         the version\n";

struct arguments {
    struct config_flags flags;
    const char *set[FLAGS_MAX];
    int fd; /* -1: not given */
    bool json, man;
};

static void put_errors(const struct config *c, int result)
{
    (void)fd_write_all(STDERR_FILENO, buf_str(&c->errors), c->errors.len);
    if (c->errors.failed)
        (void)fprintf(stderr, "codev-config: there are more errors than these\n");
    else if (!c->errors.len)
        (void)fprintf(stderr, "codev-config: cannot load the configuration: %s\n",
                      strerror(-result));
}

/* Loads, and says everything that is wrong. */
static int load(struct config *c, const struct arguments *a)
{
    int r = config_load(c, &a->flags);
    env_file_warn(c, &c->warnings);
    char *next = c->warnings.data;
    for (char *line; next && (line = strsep(&next, "\n"));)
        if (*line)
            (void)fprintf(stderr, "warning: %s\n", line);
    if (r < 0)
        put_errors(c, r);
    return r;
}

static int run_compile(const struct arguments *a)
{
    _cleanup_config_ struct config c = { 0 };
    _cleanup_free_ void *plan = NULL;
    size_t size = 0;
    struct error e = ERROR_INIT;
    if (a->fd < 0) {
        (void)fprintf(stderr, "codev-config compile: --fd N is missing\n");
        return EXIT_USAGE;
    }
    if (load(&c, a) < 0)
        return EXIT_CONFIG;
    int r = config_compile(&c, &plan, &size, &e);
    if (r == 0 && (r = fd_write_all(a->fd, plan, size)) < 0)
        (void)error_set_errno(&e, r, "cannot write the plan to descriptor %d", a->fd);
    if (r < 0)
        (void)fprintf(stderr, "codev-config: %s\n", e.message);
    return r < 0 ? EXIT_CONFIG : EXIT_SUCCESS;
}

static int run_check(const struct arguments *a)
{
    _cleanup_config_ struct config c;
    _cleanup_free_ void *plan = NULL;
    size_t size = 0;
    struct error e = ERROR_INIT;
    if (load(&c, a) < 0)
        return EXIT_CONFIG;
    if (config_compile(&c, &plan, &size, &e) < 0) {
        (void)fprintf(stderr, "codev-config: %s\n", e.message);
        return EXIT_CONFIG;
    }
    (void)printf("%s: %s, %zu service%s, %zu volume%s\n", c.file,
                 c.file_present ? "right" : "not there, the defaults hold", c.service_count,
                 c.service_count == 1 ? "" : "s", c.storage_count, c.storage_count == 1 ? "" : "s");
    return EXIT_SUCCESS;
}

static int put(struct buf *out)
{
    int r = out->failed ? -1 : fd_write_all(STDOUT_FILENO, buf_str(out), out->len);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int run_print(const struct arguments *a)
{
    _cleanup_config_ struct config c;
    _cleanup_buf_ struct buf out = BUF_INIT;
    if (load(&c, a) < 0)
        return EXIT_CONFIG;
    (a->json ? config_print_json : config_print_text)(&c, &out);
    return put(&out);
}

static int run_docs(const struct arguments *a)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    (a->man ? config_docs_mdoc : config_docs_markdown)(&out);
    return put(&out);
}

static const struct command {
    const char *name;
    int (*run)(const struct arguments *a);
    bool takes_file;
} commands[] = {
    { "compile", run_compile, false },
    { "check", run_check, true },
    { "print", run_print, false },
    { "docs", run_docs, false },
};

static int usage(const char *problem, const char *word)
{
    (void)fprintf(stderr, "codev-config: %s%s\n%s", problem, word, usage_text);
    return EXIT_USAGE;
}

/* -1: go on; else the exit status. */
static int parse(int argc, char **argv, struct arguments *a)
{
    static const struct option options[] = {
        { "config", required_argument, NULL, 'c' }, { "set", required_argument, NULL, 's' },
        { "fd", required_argument, NULL, 'f' },     { "json", no_argument, NULL, 'j' },
        { "man", no_argument, NULL, 'm' },          { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, 'V' },      { 0 },
    };
    uint64_t n;
    for (int o; (o = getopt_long(argc, argv, "c:s:hV", options, NULL)) != -1;) {
        switch (o) {
        case 'c':
            a->flags.file = optarg;
            break;
        case 's':
            if (a->flags.set_count == FLAGS_MAX)
                return usage("too many --set", "");
            a->set[a->flags.set_count++] = optarg;
            break;
        case 'f':
            if (parse_u64(optarg, 0, 65535, &n) < 0)
                return usage("--fd: expected a number, not ", optarg);
            a->fd = (int)n;
            break;
        case 'j':
            a->json = true;
            break;
        case 'm':
            a->man = true;
            break;
        case 'h':
            (void)fputs(usage_text, stdout);
            return EXIT_SUCCESS;
        case 'V':
            (void)puts("codev-config " CODEV_VERSION);
            return EXIT_SUCCESS;
        default:
            return EXIT_USAGE;
        }
    }
    return -1;
}

int main(int argc, char **argv)
{
    struct arguments a = { .fd = -1 };
    a.flags.set = a.set;
    int status = parse(argc, argv, &a);
    if (status >= 0)
        return status;
    const char *name = optind < argc ? argv[optind++] : NULL;
    for (size_t i = 0; name && i < ARRAY_SIZE(commands); i++) {
        if (strcmp(commands[i].name, name) != 0)
            continue;
        if (commands[i].takes_file && optind < argc)
            a.flags.file = argv[optind++];
        if (optind < argc)
            return usage("unexpected argument: ", argv[optind]);
        return commands[i].run(&a);
    }
    return name ? usage("unknown command: ", name) : usage("a command is missing", "");
}
