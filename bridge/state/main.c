/* codev-state: keeps the state of each session as a file, commits it at milestones, pushes it. */
#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "bridge/state/run.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#define EXIT_USAGE      2
#define EXIT_BAD_CONFIG 78

static const char usage[] =
    "usage: codev-state [--help | --version]\n"
    "Writes a .session-state.yaml for each session of the gateway beside it, commits it at\n"
    "milestones, and pushes that to a git repository. Settings come from the environment:\n"
    "CODEV_STATE_DIR, CODEV_GATEWAY_STATE_REPO, _BRANCH, _TOKEN_FILE, _CA_FILE, CODEV_STATE_TOKEN.\n"
    "See codev-state(8).\n";

/* 0: go on; else the exit status plus one. */
static int options(int argc, char **argv)
{
    if (argc == 1)
        return 0;
    bool help = strcmp(argv[1], "--help") == 0, version = strcmp(argv[1], "--version") == 0;
    if (argc == 2 && version)
        (void)printf("codev-state %s\n", CODEV_VERSION);
    else
        (void)fputs(usage, argc == 2 && help ? stdout : stderr);
    return argc == 2 && (help || version) ? 1 : EXIT_USAGE + 1;
}

static int work(struct settings *s, struct error *e)
{
    int r = settings_read(s, e);
    if (r == 0 && !*s->url)
        r = error_set(e, -EINVAL, "no repository is set: gateway.state_repo");
    if (r == 0 && !*s->state_dir)
        r = error_set(e, -EINVAL, "no state folder: there is nothing to read");
    return r == 0 ? run(s, e) : r;
}

int main(int argc, char **argv)
{
    (void)prctl(PR_SET_DUMPABLE, 0); /* first of all: the token is in our environment */
    int done = options(argc, argv);
    if (done)
        return done - 1;
    log_init("codev-state");
    (void)signal(SIGPIPE, SIG_IGN);
    struct settings s = { 0 };
    struct error e = ERROR_INIT;
    int r = work(&s, &e);
    if (r < 0)
        log_error("%s", e.message);
    settings_release(&s);
    return r == 0 ? EXIT_SUCCESS : r == -EINVAL ? EXIT_BAD_CONFIG : EXIT_FAILURE;
}
