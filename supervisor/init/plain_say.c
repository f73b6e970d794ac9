/* Without stdio, which would cost a plain init a third of its memory. */
#include "supervisor/init/plain_say.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/core/cleanup.h"

enum level { FATAL, WARNING, INFO, DEBUG, TRACE };

/* %a %b numbers, %t text, %e the error's text, %n its number, %s the signal `a` in words. tini's
 * and dumb-init's columns are theirs to the letter: scripts and tests look for them. */
static const struct row {
    enum level level;
    const char *words[PLAIN_MANNER_MAX]; /* own, tini, dumb-init */
} rows[SAY_MAX] = {
    [SAY_FORK_FAILED] = { FATAL,
                          { "cannot make a process: %e", "fork failed: %e",
                            "Unable to fork. Exiting." } },
    [SAY_EXEC_FAILED] = { FATAL, { "cannot run %t: %e", "exec %t failed: %e", "%t: %e" } },
    [SAY_SUBREAPER_FAILED] = { FATAL,
                               { "cannot become a subreaper: %e",
                                 "Failed to register as child subreaper: %e", NULL } },
    [SAY_PDEATHSIG_FAILED] = { FATAL,
                               { "cannot ask for a signal at the parent's death: %e",
                                 "Failed to set up parent death signal", NULL } },
    [SAY_SESSION_FAILED] = { FATAL,
                             { "cannot make a session: %e", "setpgid failed: %e",
                               "Unable to setsid (errno=%n %e). Exiting." } },
    [SAY_TTY_FAILED] = { FATAL,
                         { "cannot hand the terminal over: %e, going on", "tcsetpgrp failed: %e",
                           NULL } },
    [SAY_SEND_FAILED] = { FATAL,
                          { "cannot send signal %a: %e, going on",
                            "Unexpected error when forwarding signal: '%e'", NULL } },
    [SAY_BAD_PARENT_SIGNAL] = { FATAL,
                                { "-p takes a signal's name (SIGKILL), not %t",
                                  "Not a valid option for -p: %t", NULL } },
    [SAY_BAD_STATUS] = { FATAL,
                         { "-e takes an exit status from 0 to 255, not %t",
                           "Not a valid option for -e: %t", NULL } },
    [SAY_BAD_REWRITE] = { FATAL,
                          { "--rewrite takes A:B, two signal numbers (B 0: nothing), not %t", NULL,
                            NULL } },
    [SAY_NO_REAPING] = { WARNING,
                         { "not PID 1 and no subreaper: orphans go elsewhere (-s reaps them here)",
                           "Tini is not running as PID 1 and isn't registered as a child "
                           "subreaper.\nZombie processes will not be re-parented to Tini, so zombie "
                           "reaping won't work.\nTo fix the problem, use the -s option or set the "
                           "environment variable TINI_SUBREAPER to register Tini as a child "
                           "subreaper, or run Tini as PID 1.",
                           NULL } },
    [SAY_ORPHAN] = { WARNING,
                     { "reaped an orphan, pid %a", "Reaped zombie process with pid=%a", NULL } },
    [SAY_CHILD_WAS_DEAD] = { WARNING, { NULL, "Child was dead when forwarding signal", NULL } },
    [SAY_STARTED] = { INFO,
                      { "started %t, pid %a", "Spawned child process '%t' with pid '%a'",
                        "Child spawned with PID %a." } },
    [SAY_EXITED] = { INFO,
                     { "%t ended with status %b", "Main child exited normally (with status '%b')",
                       "A child with PID %a exited with exit status %b." } },
    [SAY_KILLED] = { INFO,
                     { "%t was ended by signal %b",
                       "Main child exited with signal (with signal '%s')",
                       "A child with PID %a was terminated by signal %b." } },
    [SAY_OTHER_EXITED] = { DEBUG,
                           { NULL, NULL, "A child with PID %a exited with exit status %b." } },
    [SAY_OTHER_KILLED] = { DEBUG,
                           { NULL, NULL, "A child with PID %a was terminated by signal %b." } },
    [SAY_RECEIVED] = { DEBUG,
                       { "signal %a came (%s)", "Passing signal: '%s'", "Received signal %a." } },
    [SAY_RECEIVED_CHLD] = { DEBUG, { NULL, "Received SIGCHLD", "Received signal %a." } },
    [SAY_REWRITTEN] = { DEBUG, { "signal %a becomes %b", NULL, "Translating signal %a to %b." } },
    [SAY_FORWARDED] = { DEBUG, { "signal %a sent", NULL, "Forwarded signal %a to children." } },
    [SAY_DROPPED] = { DEBUG,
                      { "nothing sent", NULL, "Not forwarding signal %a to children (ignored)." } },
    [SAY_REAPED] = { DEBUG, { "reaped pid %a", "Reaped child with pid: '%a'", NULL } },
    [SAY_STOPPED] = { INFO, { "the command was stopped by signal %a (%s)", NULL, NULL } },
    [SAY_SUSPENDING] = { DEBUG,
                         { "stopping ourselves too", NULL, "Suspending self due to TTY signal." } },
    [SAY_TTY_KEPT] = { DEBUG,
                       { NULL, NULL, "Unable to detach from controlling tty (errno=%n %e)." } },
    [SAY_TTY_LEFT_AS_LEADER] = { DEBUG,
                                 { NULL, NULL,
                                   "Detached from controlling tty, ignoring the first SIGHUP and "
                                   "SIGCONT we receive." } },
    [SAY_TTY_LEFT] = { DEBUG,
                       { NULL, NULL,
                         "Detached from controlling tty, but was not session leader." } },
    [SAY_TTY_SIGNAL] = { DEBUG, { NULL, NULL, "Ignoring tty hand-off signal %a." } },
    [SAY_TTY_NOT_TAKEN] = { DEBUG,
                            { NULL, NULL, "Unable to attach to controlling tty (errno=%n %e)." } },
    [SAY_SESSION_MADE] = { DEBUG, { NULL, NULL, "setsid complete." } },
    [SAY_CHDIR_FAILED] = { DEBUG, { NULL, NULL, "Unable to chdir(\"/\") (errno=%n %e)" } },
    [SAY_DEBUGGING] = { DEBUG, { NULL, NULL, "Running in debug mode." } },
    [SAY_NO_SESSION] = { DEBUG, { NULL, NULL, "Not running in setsid mode." } },
    [SAY_GOODBYE] = { TRACE,
                      { NULL, "Exiting: child has exited",
                        "Child exited with status %a. Goodbye." } },
};

struct out {
    char text[1024];
    size_t len;
};

static void put(struct out *out, const char *s)
{
    size_t n = strlen(s), room = sizeof out->text - out->len;
    n = n < room ? n : room;
    memcpy(out->text + out->len, s, n);
    out->len += n;
}

static void put_number(struct out *out, int number)
{
    char digits[16], *p = digits + sizeof digits - 1;
    unsigned rest = number < 0 ? 0U - (unsigned)number : (unsigned)number;
    *p = '\0';
    do
        *--p = (char)('0' + rest % 10);
    while (rest /= 10);
    if (number < 0)
        *--p = '-';
    put(out, p);
}

static void put_words(struct out *out, const char *form, const struct plain_words *w, int signal)
{
    for (; *form; form++) {
        char one[2] = { *form, '\0' };
        if (*form != '%') {
            put(out, one);
            continue;
        }
        switch (*++form) {
        case 'a':
            put_number(out, w->a);
            break;
        case 'b':
            put_number(out, w->b);
            break;
        case 'n':
            put_number(out, w->error);
            break;
        case 'e':
            /* The one that the peers show often, and that musl words otherwise. */
            put(out, w->error == ENOTTY ? "Inappropriate ioctl for device" : strerror(w->error));
            break;
        case 's':
            put(out, strsignal(signal));
            break;
        default:
            put(out, w->text ? w->text : "");
            break;
        }
    }
}

/* "[WARN  tini (1)] ", "[dumb-init] ", "codev-init: ". */
static void put_head(struct out *out, enum plain_manner manner, enum level level)
{
    static const char *const levels[] = { "[FATAL tini (", "[WARN  tini (", "[INFO  tini (",
                                          "[DEBUG tini (", "[TRACE tini (" };
    if (manner != PLAIN_TINI) {
        put(out, manner == PLAIN_OWN ? "codev-init: " : "[dumb-init] ");
        return;
    }
    put(out, levels[level]);
    put_number(out, (int)getpid());
    put(out, ")] ");
}

/* Nobody can be told that it failed. */
static void write_all(int fd, const char *p, size_t left)
{
    while (left > 0) {
        ssize_t n = write(fd, p, left);
        if (n <= 0)
            return;
        p += n;
        left -= (size_t)n;
    }
}

void plain_say(const struct plain_options *o, enum plain_line line, struct plain_words words)
{
    const struct row *row = &rows[line];
    const char *form = row->words[o->manner];
    struct out out;
    if (!form || (int)row->level > o->verbosity)
        return;
    out.len = 0;
    put_head(&out, o->manner, row->level);
    put_words(&out, form, &words, line == SAY_KILLED ? words.b : words.a);
    if (out.len == sizeof out.text)
        out.len--;
    out.text[out.len++] = '\n';
    /* tini's own habit: what is no trouble goes to the standard output. */
    bool to_out = o->manner == PLAIN_TINI && row->level >= INFO;
    write_all(to_out ? STDOUT_FILENO : STDERR_FILENO, out.text, out.len);
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

void plain_print(const struct plain_options *o, int fd, const char *text)
{
    while (*text) {
        size_t n = strcspn(text, "%");
        write_all(fd, text, n);
        text += n;
        if (!*text)
            return;
        const char *name = text[1] == 'B' ? last_part(o->name) : o->name;
        write_all(fd, name, strlen(name));
        text += 2;
    }
}
