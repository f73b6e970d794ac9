/* codev-init: PID 1 of the codev pod. Without a command it supervises the configured services; with
 * one it is a plain init for it. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "supervisor/init/plain.h"
#include "supervisor/init/supervisor.h"

#define EXIT_USAGE 2

static const char usage[] =
    "usage: codev-init                          run the configured services\n"
    "       codev-init [OPTIONS] -- CMD ARGS... run one command, as a plain init\n"
    "\n"
    "options of the plain init:\n"
    "  -g, --group         send signals to the command's process group\n"
    "  -s, --subreaper     reap orphans also when not PID 1\n"
    "  -v, --verbose       say what is done\n"
    "  -r, --rewrite A:B   send signal B when A arrives (B 0: nothing); may be repeated\n"
    "options:\n"
    "  -h, --help          this text\n"
    "  -V, --version       the version\n"
    "\n"
    "Exit status, services: 0 orderly stop; a critical service's own when it gave up; 78 bad\n"
    "configuration, or a volume under the policy `fail`. One command: its own, 128+n when signal n\n"
    "ended it, 127 when it is not there, 126 when it cannot be run. 2: wrong usage.\n"
    "\n"
    "The configuration is read by codev-config; see codev.yaml(5) and codevctl(1).\n";

static const struct option options[] = {
    { "group", no_argument, NULL, 'g' },
    { "subreaper", no_argument, NULL, 's' },
    { "verbose", no_argument, NULL, 'v' },
    { "rewrite", required_argument, NULL, 'r' },
    { "help", no_argument, NULL, 'h' },
    { "version", no_argument, NULL, 'V' },
    { 0 },
};

/* -1: go on; else the exit status. */
static int parse(int argc, char **argv, struct plain_options *plain)
{
    plain_options_init(plain);
    for (int o; (o = getopt_long(argc, argv, "+gsvr:hV", options, NULL)) != -1;) {
        switch (o) {
        case 'g':
            plain->group = true;
            break;
        case 's':
            plain->subreaper = true;
            break;
        case 'v':
            plain->verbose = true;
            break;
        case 'r':
            if (plain_rewrite(plain, optarg) < 0) {
                (void)fprintf(stderr, "codev-init: --rewrite takes A:B, two signal numbers\n");
                return EXIT_USAGE;
            }
            break;
        case 'h':
            (void)fputs(usage, stdout);
            return 0;
        case 'V':
            (void)puts("codev-init " CODEV_VERSION);
            return 0;
        default:
            return EXIT_USAGE;
        }
    }
    return -1;
}

int main(int argc, char **argv)
{
    /* First of all: to PID 1 the kernel drops a signal that is neither blocked nor handled. */
    sigset_t all, original;
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, &original);
    struct plain_options plain;
    int status = parse(argc, argv, &plain);
    if (status >= 0)
        return status;
    if (optind < argc)
        return plain_run(&plain, argv + optind, &original);
    return supervisor_run(original);
}
