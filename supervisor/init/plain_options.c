/* The command lines of codev-init's plain mode, of tini 0.19 and of dumb-init 1.2.5. One small
 * reader for all three, to the letter of glibc's getopt, whichever libc we are built with. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/parse.h"
#include "supervisor/init/plain.h"
#include "supervisor/init/plain_say.h"

#define EXIT_USAGE    2 /* our own; the others exit with 1 */
#define EXIT_AS_PEERS 1

static const char own_help[] =
    "usage: codev-init                          run the configured services\n"
    "       codev-init --check [CONFIG]         say whether a configuration is right\n"
    "       codev-init [OPTIONS] -- CMD ARGS... run one command, as a plain init\n"
    "\n"
    "options of the plain init (tini's and dumb-init's; under a link named as one of them it takes\n"
    "that one's and behaves as that one):\n"
    "  -g, --group         send signals to the command's process group\n"
    "  -c, --single-child  send them to the command alone (the default)\n"
    "      --setsid        give the command a session and the terminal, send its group all signals,\n"
    "                      and SIGTERM when the command has ended\n"
    "  -s, --subreaper     reap orphans also when not PID 1\n"
    "  -p SIGNAL           ask for this signal (SIGKILL, ...) when our parent dies\n"
    "  -e STATUS           exit with 0 where the command exits with STATUS; may be repeated\n"
    "  -r, --rewrite A:B   send signal B when A arrives (B 0: nothing); may be repeated\n"
    "  -w                  say so of each orphan that is reaped\n"
    "  -v, --verbose       say what is done; twice or three times: more\n"
    "  -l                  the licence\n"
    "options:\n"
    "  -h, --help          this text\n"
    "  -V, --version       the version\n"
    "\n"
    "environment of the plain init: TINI_SUBREAPER, TINI_KILL_PROCESS_GROUP, TINI_VERBOSITY,\n"
    "DUMB_INIT_DEBUG=1, DUMB_INIT_SETSID=0 or 1\n"
    "\n"
    "Exit status, services: 0 orderly stop; a critical service's own when it gave up; 78 bad\n"
    "configuration, or a volume under the policy `fail`. One command: its own, 128+n when signal n\n"
    "ended it, 127 when it is not there, 126 when it cannot be run. 2: wrong usage.\n"
    "\n"
    "The configuration is read by codev-config; see codev.yaml(5) and codevctl(1).\n";

static const char tini_help[] =
    "%B (tini version 0.19.0)\n"
    "Usage: %B [OPTIONS] PROGRAM -- [ARGS] | --version\n"
    "\n"
    "Execute a program under the supervision of a valid init process (%B)\n"
    "\n"
    "Command line options:\n"
    "\n"
    "  --version: Show version and exit.\n"
    "  -h: Show this help message and exit.\n"
    "  -s: Register as a process subreaper (requires Linux >= 3.4).\n"
    "  -p SIGNAL: Trigger SIGNAL when parent dies, e.g. \"-p SIGKILL\".\n"
    "  -v: Generate more verbose output. Repeat up to 3 times.\n"
    "  -w: Print a warning when processes are getting reaped.\n"
    "  -g: Send signals to the child's process group.\n"
    "  -e EXIT_CODE: Remap EXIT_CODE (from 0 to 255) to 0.\n"
    "  -l: Show license and exit.\n"
    "\n"
    "Environment variables:\n"
    "\n"
    "  TINI_SUBREAPER: Register as a process subreaper (requires Linux >= 3.4).\n"
    "  TINI_VERBOSITY: Set the verbosity level (default: 1).\n"
    "  TINI_KILL_PROCESS_GROUP: Send signals to the child's process group.\n"
    "\n";

static const char dumb_help[] =
    "dumb-init v1.2.5\n"
    "Usage: %P [option] command [[arg] ...]\n"
    "\n"
    "dumb-init is a simple process supervisor that forwards signals to children.\n"
    "It is designed to run as PID1 in minimal container environments.\n"
    "\n"
    "Optional arguments:\n"
    "   -c, --single-child   Run in single-child mode.\n"
    "                        In this mode, signals are only proxied to the\n"
    "                        direct child and not any of its descendants.\n"
    "   -r, --rewrite s:r    Rewrite received signal s to new signal r before proxying.\n"
    "                        To ignore (not proxy) a signal, rewrite it to 0.\n"
    "                        This option can be specified multiple times.\n"
    "   -v, --verbose        Print debugging information to stderr.\n"
    "   -h, --help           Print this help message and exit.\n"
    "   -V, --version        Print the current version and exit.\n"
    "\n"
    "Full help is available online at https://github.com/Yelp/dumb-init\n";

static const char dumb_rewrite_help[] =
    "Usage: -r option takes <signum>:<signum>, where <signum> is between 1 and 31.\n"
    "This option can be specified multiple times.\n"
    "Use --help for full usage.\n";

static const char licence[] =
    "codev-init is free software under the MIT licence; see the file LICENSE of its sources.\n";

struct option_row {
    const char *name; /* NULL: no long form */
    char letter;
    bool value;
};

static const struct option_row own_table[] = {
    { "group", 'g', false },   { "single-child", 'c', false },
    { "setsid", 'S', false },  { "subreaper", 's', false },
    { NULL, 'p', true },       { NULL, 'e', true },
    { "rewrite", 'r', true },  { NULL, 'w', false },
    { "verbose", 'v', false }, { NULL, 'l', false },
    { "help", 'h', false },    { "version", 'V', false },
};
static const struct option_row tini_table[] = {
    { NULL, 'p', true },  { NULL, 'h', false }, { NULL, 'v', false }, { NULL, 'w', false },
    { NULL, 'g', false }, { NULL, 'l', false }, { NULL, 'e', true },  { NULL, 's', false },
};
static const struct option_row dumb_table[] = {
    { "help", 'h', false },    { "single-child", 'c', false }, { "rewrite", 'r', true },
    { "verbose", 'v', false }, { "version", 'V', false },
};

static const struct manner {
    const struct option_row *table;
    size_t count;
    bool has_long, permutes; /* getopt_long(); options after the command too, as glibc's getopt */
    int usage_status;
} manners[PLAIN_MANNER_MAX] = {
    [PLAIN_OWN] = { own_table, ARRAY_SIZE(own_table), true, false, EXIT_USAGE },
    [PLAIN_TINI] = { tini_table, ARRAY_SIZE(tini_table), false, true, EXIT_AS_PEERS },
    [PLAIN_DUMB_INIT] = { dumb_table, ARRAY_SIZE(dumb_table), true, false, EXIT_AS_PEERS },
};

struct scan {
    struct plain_options *o;
    const struct manner *manner;
    char **next;      /* the argument to read next */
    char **command;   /* where the next word of the command goes */
    const char *rest; /* of a cluster of letters; "" when none is open */
    const char *value;
};

enum { SCAN_END = -1, SCAN_BAD = '?' };

static void complain(const struct scan *s, const char *what, const char *name, const char *end)
{
    plain_print(s->o, STDERR_FILENO, "%P: ");
    plain_print(s->o, STDERR_FILENO, what);
    (void)!write(STDERR_FILENO, name, strlen(name));
    plain_print(s->o, STDERR_FILENO, end);
}

/* The value is what is left of the word, or the next word. */
static int take_value(struct scan *s, const struct option_row *row, const char *rest)
{
    char letter[2] = { row->letter, '\0' };
    s->value = rest ? rest : *s->next;
    if (!rest && *s->next)
        s->next++;
    if (s->value)
        return row->letter;
    complain(s, "option requires an argument -- '", letter, "'\n");
    return SCAN_BAD;
}

static int next_letter(struct scan *s)
{
    char letter[2] = { *s->rest++, '\0' };
    for (size_t i = 0; i < s->manner->count; i++) {
        const struct option_row *row = &s->manner->table[i];
        /* Options that have only a long form are marked with a capital letter of no use. */
        if (row->letter != *letter || row->letter == 'S')
            continue;
        if (!row->value)
            return row->letter;
        const char *rest = *s->rest ? s->rest : NULL;
        s->rest = "";
        return take_value(s, row, rest);
    }
    complain(s, "invalid option -- '", letter, "'\n");
    return SCAN_BAD;
}

/* The row that `text` names, whole or by a beginning that fits no other; NULL when said why. */
static const struct option_row *find_long(const struct scan *s, const char *text, size_t len)
{
    const struct option_row *found = NULL;
    size_t fits = 0;
    for (size_t i = 0; i < s->manner->count; i++) {
        const struct option_row *row = &s->manner->table[i];
        if (!row->name || strncmp(row->name, text, len) != 0)
            continue;
        found = row;
        fits++;
        if (strlen(row->name) == len)
            return row;
    }
    if (fits == 1)
        return found;
    if (fits == 0) {
        complain(s, "unrecognized option '--", text, "'\n");
        return NULL;
    }
    complain(s, "option '--", text, "' is ambiguous; possibilities:");
    for (size_t i = 0; i < s->manner->count; i++) {
        const char *name = s->manner->table[i].name;
        if (!name || strncmp(name, text, len) != 0)
            continue;
        (void)!write(STDERR_FILENO, " '--", 4);
        (void)!write(STDERR_FILENO, name, strlen(name));
        (void)!write(STDERR_FILENO, "'", 1);
    }
    (void)!write(STDERR_FILENO, "\n", 1);
    return NULL;
}

static int next_long(struct scan *s, const char *text)
{
    size_t len = strcspn(text, "=");
    const char *value = text[len] ? text + len + 1 : NULL;
    const struct option_row *row = find_long(s, text, len);
    if (!row)
        return SCAN_BAD;
    if (value && !row->value) {
        complain(s, "option '--", row->name, "' doesn't allow an argument\n");
        return SCAN_BAD;
    }
    s->value = value ? value : row->value ? *s->next : NULL;
    if (row->value && !s->value) {
        complain(s, "option '--", row->name, "' requires an argument\n");
        return SCAN_BAD;
    }
    if (row->value && !value)
        s->next++;
    return row->letter;
}

/* The next option's letter, SCAN_END or SCAN_BAD. */
static int scan_next(struct scan *s)
{
    bool permutes = s->manner->permutes && !getenv("POSIXLY_CORRECT");
    if (*s->rest)
        return next_letter(s);
    while (*s->next) {
        char *word = *s->next;
        if (strcmp(word, "--") == 0) {
            s->next++;
            return SCAN_END;
        }
        if (word[0] != '-' || !word[1]) {
            if (!permutes)
                return SCAN_END;
            *s->command++ = *s->next++;
            continue;
        }
        s->next++;
        if (word[1] == '-' && s->manner->has_long)
            return next_long(s, word + 2);
        s->rest = word + 1;
        return next_letter(s);
    }
    return SCAN_END;
}

static const struct {
    const char *name;
    int number;
} signal_rows[] = {
    { "SIGHUP", SIGHUP },       { "SIGINT", SIGINT },   { "SIGQUIT", SIGQUIT },
    { "SIGILL", SIGILL },       { "SIGTRAP", SIGTRAP }, { "SIGABRT", SIGABRT },
    { "SIGBUS", SIGBUS },       { "SIGFPE", SIGFPE },   { "SIGKILL", SIGKILL },
    { "SIGUSR1", SIGUSR1 },     { "SIGSEGV", SIGSEGV }, { "SIGUSR2", SIGUSR2 },
    { "SIGPIPE", SIGPIPE },     { "SIGALRM", SIGALRM }, { "SIGTERM", SIGTERM },
    { "SIGCHLD", SIGCHLD },     { "SIGCONT", SIGCONT }, { "SIGSTOP", SIGSTOP },
    { "SIGTSTP", SIGTSTP },     { "SIGTTIN", SIGTTIN }, { "SIGTTOU", SIGTTOU },
    { "SIGURG", SIGURG },       { "SIGXCPU", SIGXCPU }, { "SIGXFSZ", SIGXFSZ },
    { "SIGVTALRM", SIGVTALRM }, { "SIGPROF", SIGPROF }, { "SIGWINCH", SIGWINCH },
    { "SIGSYS", SIGSYS },
};

static bool set_parent_signal(struct plain_options *o, const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(signal_rows); i++)
        if (strcmp(signal_rows[i].name, name) == 0)
            o->parent_signal = signal_rows[i].number;
    if (!o->parent_signal)
        plain_say(o, SAY_BAD_PARENT_SIGNAL, (struct plain_words){ .text = name });
    return o->parent_signal != 0;
}

static bool set_to_zero(struct plain_options *o, const char *text)
{
    char *end;
    long status = strtol(text, &end, 10);
    bool good = !*end && status >= 0 && status <= 255 && (o->manner == PLAIN_TINI || *text);
    if (good)
        o->to_zero[status / 32] |= (uint32_t)1 << (status % 32);
    else
        plain_say(o, SAY_BAD_STATUS, (struct plain_words){ .text = text });
    return good;
}

/* "15:2", the whole string. */
static bool set_rewrite(struct plain_options *o, const char *text)
{
    char from[8];
    uint64_t a = 0, b = 0;
    size_t len = strcspn(text, ":");
    bool good = len < sizeof from && text[len];
    if (good) {
        memcpy(from, text, len);
        from[len] = '\0';
        good = parse_u64(from, 1, PLAIN_SIGNALS - 1, &a) == 0 &&
               parse_u64(text + len + 1, 0, PLAIN_SIGNALS - 1, &b) == 0;
    }
    if (good)
        o->rewrite[a] = (int)b;
    else
        plain_say(o, SAY_BAD_REWRITE, (struct plain_words){ .text = text });
    return good;
}

/* The same as dumb-init's sscanf("%d:%d") takes it, with whatever follows. */
static bool set_rewrite_dumb(struct plain_options *o, const char *text)
{
    char *end, *end2;
    long a = strtol(text, &end, 10);
    if (end != text && *end == ':') {
        long b = strtol(end + 1, &end2, 10);
        if (end2 != end + 1 && a >= 1 && a <= 31 && b >= 0 && b <= 31) {
            o->rewrite[a] = (int)b;
            return true;
        }
    }
    plain_print(o, STDERR_FILENO, dumb_rewrite_help);
    return false;
}

static int print_and_exit(const struct plain_options *o, int letter)
{
    static const char *const help[] = { own_help, tini_help, dumb_help };
    static const char *const version[] = { "codev-init " CODEV_VERSION "\n",
                                           "tini version 0.19.0\n", "dumb-init v1.2.5\n" };
    int fd = o->manner == PLAIN_DUMB_INIT ? STDERR_FILENO : STDOUT_FILENO;
    plain_print(o, fd,
                letter == 'h'   ? help[o->manner]
                : letter == 'V' ? version[o->manner]
                                : licence);
    return 0;
}

/* -1: go on; else the status to exit with. */
static int apply(struct scan *s, int letter)
{
    struct plain_options *o = s->o;
    bool good = true;
    switch (letter) {
    case 'g':
        o->group = true;
        o->session = false;
        break;
    case 'c':
        o->group = o->session = false;
        break;
    case 'S':
        o->session = true;
        break;
    case 's':
        o->subreaper = true;
        break;
    case 'w':
        o->warn_reap = true;
        break;
    case 'v':
        o->verbosity = o->manner == PLAIN_DUMB_INIT ? INT_MAX : o->verbosity + 1;
        break;
    case 'p':
        good = set_parent_signal(o, s->value);
        break;
    case 'e':
        good = set_to_zero(o, s->value);
        break;
    case 'r':
        good = o->manner == PLAIN_OWN ? set_rewrite(o, s->value) : set_rewrite_dumb(o, s->value);
        break;
    case 'h':
    case 'l':
    case 'V':
        return print_and_exit(o, letter);
    default:
        if (o->manner == PLAIN_TINI)
            plain_print(o, STDERR_FILENO, tini_help);
        good = false;
        break;
    }
    return good ? -1 : s->manner->usage_status;
}

static bool env_is(const char *name, const char *value)
{
    const char *v = getenv(name);
    return v && strcmp(v, value) == 0;
}

static void tini_environment(struct plain_options *o)
{
    const char *verbosity = getenv("TINI_VERBOSITY");
    o->subreaper = o->subreaper || getenv("TINI_SUBREAPER");
    o->group = o->group || getenv("TINI_KILL_PROCESS_GROUP");
    if (verbosity)
        o->verbosity = (int)strtol(verbosity, NULL, 10);
}

static void dumb_environment(struct plain_options *o)
{
    if (env_is("DUMB_INIT_DEBUG", "1")) {
        o->verbosity = INT_MAX;
        plain_say(o, SAY_DEBUGGING, (struct plain_words){ 0 });
    }
    if (env_is("DUMB_INIT_SETSID", "0")) {
        o->session = false;
        plain_say(o, SAY_NO_SESSION, (struct plain_words){ 0 });
    } else if (o->manner == PLAIN_OWN && env_is("DUMB_INIT_SETSID", "1")) {
        o->session = true;
    }
}

/* In a session of its own nobody but us can tell the command's group to stop and to go on. */
static void stop_with_the_terminal(struct plain_options *o)
{
    static const int signals[] = { SIGTSTP, SIGTTOU, SIGTTIN };
    for (size_t i = 0; o->session && i < ARRAY_SIZE(signals); i++)
        if (o->rewrite[signals[i]] == PLAIN_AS_IS)
            o->rewrite[signals[i]] = SIGSTOP;
}

static int no_command(const struct scan *s)
{
    static const char *const text[] = {
        "%P: a command is missing: %P [OPTIONS] -- CMD ARGS...\n", tini_help,
        "Usage: %P [option] program [args]\nTry %P --help for full usage.\n"
    };
    plain_print(s->o, STDERR_FILENO, text[s->o->manner]);
    return s->manner->usage_status;
}

enum plain_manner plain_manner_of(const char *argv0)
{
    static const struct {
        const char *name;
        enum plain_manner manner;
    } rows[] = { { "tini", PLAIN_TINI },
                 { "tini-static", PLAIN_TINI },
                 { "docker-init", PLAIN_TINI },
                 { "dumb-init", PLAIN_DUMB_INIT } };
    const char *slash = strrchr(argv0, '/');
    const char *name = slash ? slash + 1 : argv0;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (strcmp(rows[i].name, name) == 0)
            return rows[i].manner;
    return PLAIN_OWN;
}

static void defaults(struct plain_options *o, const char *name)
{
    *o = (struct plain_options){ .name = name, .manner = plain_manner_of(name) };
    o->session = o->manner == PLAIN_DUMB_INIT;
    o->verbosity = o->manner == PLAIN_DUMB_INIT ? 0 : 1;
    for (int i = 0; i < PLAIN_SIGNALS; i++)
        o->rewrite[i] = PLAIN_AS_IS;
}

int plain_parse(struct plain_options *o, char **argv, char ***ret_command)
{
    if (!argv[0] || !argv[1]) {
        defaults(o, argv[0] ? argv[0] : "codev-init");
        *ret_command = NULL;
        if (o->manner == PLAIN_OWN)
            return -1;
    } else {
        defaults(o, argv[0]);
    }
    struct scan s = { .o = o, .manner = &manners[o->manner], .rest = "" };
    s.next = s.command = argv[0] ? argv + 1 : argv;
    /* Only alone: else it is the name of a program. */
    if (o->manner == PLAIN_TINI && *s.next && !s.next[1] && strcmp(*s.next, "--version") == 0)
        return print_and_exit(o, 'V');
    for (int letter; (letter = scan_next(&s)) != SCAN_END;) {
        int status = apply(&s, letter);
        if (status >= 0)
            return status;
    }
    while (*s.next)
        *s.command++ = *s.next++;
    *s.command = NULL;
    *ret_command = argv + 1;
    if (!argv[0] || s.command == argv + 1)
        return no_command(&s);
    if (o->manner != PLAIN_DUMB_INIT)
        tini_environment(o);
    if (o->manner != PLAIN_TINI)
        dumb_environment(o);
    stop_with_the_terminal(o);
    return -1;
}
