/* codevctl: the table of commands, and the way to each. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/core/parse.h"
#include "supervisor/ctl/ctl.h"

struct command {
    const char *name;
    ctl_run *run;
    int (*exec)(char **argv); /* instead of `run`: takes all that follows */
    const char *options;      /* short names of those it takes */
    int least, most;          /* positional arguments */
    const char *arguments, *help;
};

static ctl_run completion;

static const struct command commands[] = {
    { "status", ctl_status, NULL, "jw", 0, 0, "[--json] [--watch]",
      "services, volumes, plugin, links; exit status 0 only when all is well" },
    { "logs", ctl_logs, NULL, "jfnts", 0, 1, "[-f] [-n N] [--trace ID] [--since 5m] [SERVICE]",
      "the last lines of a service (init is PID 1 itself), or of all; those about one thing" },
    { "events", ctl_events, NULL, "", 0, 0, "", "each change from now on, a line of JSON" },
    { "start", ctl_service, NULL, "j", 1, 1, "SERVICE", "start a service" },
    { "stop", ctl_service, NULL, "j", 1, 1, "SERVICE", "stop a service" },
    { "restart", ctl_service, NULL, "j", 1, 1, "SERVICE", "stop and start a service" },
    { "reload", ctl_reload, NULL, "j", 0, 0, "[--json]",
      "read the configuration again; a bad one changes nothing" },
    { "shutdown", ctl_shutdown, NULL, "j", 0, 0, "", "stop everything in order and end" },
    { "probe", ctl_probe, NULL, "jv", 1, 1, "live|ready|startup [-v]",
      "the verdict of a probe as exit status 0 or 1" },
    { "token", ctl_token, NULL, "", 0, 0, "", "print the token of the web page and the API" },
    { "password", ctl_password, NULL, "", 0, 0, "", "print OpenCode's password" },
    { "open", ctl_open, NULL, "", 0, 0, "", "print a link that logs in to the web page, once" },
    { "accept", NULL, ctl_exec_accept, "", 0, 0, "[OPTIONS]", "test the eleven criteria" },
    { "plugin", ctl_plugin, NULL, "j", 1, 1, "status|install",
      "the bridge plugin: how it is, or put it in its place" },
    { "trust", ctl_trust, NULL, "jN", 0, 2, "[plugin|config|all] [ID] [--now]",
      "what changed in what OpenCode loads since it was accepted; accept it" },
    { "sessions", NULL, ctl_exec_sessions, "", 0, 0, "[COMMAND]",
      "list, show, export, import, abort, attach to OpenCode's sessions" },
    { "backup", NULL, ctl_exec_backup, "", 0, 0, "[--keep N] FOLDER",
      "a consistent copy of OpenCode's and the gateway's state" },
    { "restore", NULL, ctl_exec_backup, "", 0, 0, "FILE|FOLDER",
      "bring a backup back, into an empty volume" },
    { "config", NULL, ctl_exec_config, "", 0, 0, "[--json]",
      "the settings in effect, and where each came from" },
    { "doctor", ctl_doctor, NULL, "j", 0, 0, "[--json]",
      "look for common troubles, say what to do" },
    { "version", ctl_version, NULL, "j", 0, 0, "[--json]",
      "the versions of this program and PID 1" },
    { "completion", completion, NULL, "", 1, 1, "bash", "print the completion script of a shell" },
};

static void put_usage(FILE *out)
{
    (void)fputs("usage: codevctl COMMAND [ARGUMENTS]\n\n", out);
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        (void)fprintf(out, "  %-10s %-32s %s\n", commands[i].name, commands[i].arguments,
                      commands[i].help);
    (void)fputs("\nexit status: 0 ok, 1 not well or failed, 2 wrong usage, 3 no supervisor\n", out);
}

static int usage(const struct command *c)
{
    (void)fprintf(stderr, "usage: codevctl %s %s\n", c->name, c->arguments);
    return CTL_USAGE;
}

static const struct option long_options[] = {
    { "json", no_argument, NULL, 'j' },        { "follow", no_argument, NULL, 'f' },
    { "watch", no_argument, NULL, 'w' },       { "verbose", no_argument, NULL, 'v' },
    { "now", no_argument, NULL, 'N' },         { "lines", required_argument, NULL, 'n' },
    { "trace", required_argument, NULL, 't' }, { "since", required_argument, NULL, 's' },
    { "help", no_argument, NULL, 'h' },        { 0 },
};

static int take_option(struct ctl_options *o, int c)
{
    uint64_t n;
    switch (c) {
    case 'j':
        o->json = true;
        break;
    case 'f':
        o->follow = true;
        break;
    case 'w':
        o->watch = true;
        break;
    case 'v':
        o->verbose = true;
        break;
    case 'N':
        o->now = true;
        break;
    case 'n':
        if (parse_u64(optarg, 0, 1000000, &n) < 0) {
            ctl_complain("-n: expected a number of lines, not '%s'", optarg);
            return CTL_USAGE;
        }
        o->lines = (unsigned)n;
        break;
    case 't':
        o->trace = optarg;
        break;
    case 's':
        if (parse_duration_ms(optarg, &o->since_ms) < 0 || !o->since_ms) {
            ctl_complain("--since: expected how long ago (90s, 5m, 1h), not '%s'", optarg);
            return CTL_USAGE;
        }
        break;
    default:
        return CTL_USAGE;
    }
    return CTL_OK;
}

static int run(const struct command *c, int argc, char **argv)
{
    struct ctl_options o = { .lines = CTL_LINES_UNSET };
    if (c->exec)
        return c->exec(argv);
    for (int x; (x = getopt_long(argc, argv, "jfwvn:hN", long_options, NULL)) != -1;) {
        if (x == 'h') {
            (void)printf("usage: codevctl %s %s\n  %s\n", c->name, c->arguments, c->help);
            return CTL_OK;
        }
        if (x == '?')
            return usage(c);
        if (!strchr(c->options, x)) {
            ctl_complain("%s takes no option -%c", c->name, x);
            return usage(c);
        }
        int status = take_option(&o, x);
        if (status != CTL_OK)
            return status;
    }
    int count = argc - optind;
    if (count < c->least || count > c->most)
        return usage(c);
    /* The command's name goes along: start, stop and restart are one function. */
    argv[optind - 1] = argv[0];
    return c->run(&o, count + 1, argv + optind - 1);
}

/* The words that may come as argument number one: those of "live|ready", service names. */
static void put_choices(const struct command *c)
{
    const char *list = c->arguments + strcspn(c->arguments, "abcdefghijklmnopqrstuvwxyzS");
    if (strstr(c->arguments, "SERVICE"))
        (void)fputs("$(_codevctl_services)", stdout);
    else if (c->least == 1)
        for (const char *p = list; *p && *p != ' '; p++)
            (void)putchar(*p == '|' ? ' ' : *p);
}

static void put_options(const struct command *c)
{
    for (const struct option *o = long_options; o->name; o++)
        if (strchr(c->options, o->val) || o->val == 'h')
            (void)printf(" --%s", o->name);
}

/* Made from the table, so that it is always true. */
static int completion(const struct ctl_options *o, int argc, char **argv)
{
    (void)o;
    (void)argc;
    if (strcmp(argv[1], "bash") != 0) {
        ctl_complain("completion: there is one for bash, none for '%.40s'", argv[1]);
        return CTL_USAGE;
    }
    (void)fputs("# bash completion for codevctl(1), printed by: codevctl completion bash\n"
                "_codevctl_services() {\n"
                "    codevctl status --json 2>/dev/null |\n"
                "        grep -o '{\"name\":\"[^\"]*\",\"type\"' | cut -d'\"' -f4\n"
                "}\n"
                "_codevctl() {\n"
                "    local cur=${COMP_WORDS[COMP_CWORD]} words=\n"
                "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        words='help",
                stdout);
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        (void)printf(" %s", commands[i].name);
    (void)fputs("'\n    else\n        case ${COMP_WORDS[1]} in\n", stdout);
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        if (commands[i].exec)
            continue;
        (void)printf("        %s) words=\"", commands[i].name);
        put_choices(&commands[i]);
        put_options(&commands[i]);
        (void)fputs("\" ;;\n", stdout);
    }
    (void)fputs("        esac\n    fi\n"
                "    COMPREPLY=()\n"
                "    while IFS= read -r word; do COMPREPLY+=(\"$word\"); done "
                "< <(compgen -W \"$words\" -- \"$cur\")\n"
                "}\n"
                "complete -F _codevctl codevctl\n",
                stdout);
    return CTL_OK;
}

static bool is_help(const char *word)
{
    return strcmp(word, "help") == 0 || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        put_usage(stderr);
        return CTL_USAGE;
    }
    if (is_help(argv[1])) {
        put_usage(stdout);
        return CTL_OK;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        (void)puts("codevctl " CODEV_VERSION);
        return CTL_OK;
    }
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        if (strcmp(commands[i].name, argv[1]) == 0)
            return run(&commands[i], argc - 1, argv + 1);
    ctl_complain("unknown command '%.60s' (codevctl help lists them)", argv[1]);
    return CTL_USAGE;
}
