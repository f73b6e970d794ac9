/* codev-prepare: finds, clones, builds and links the bridge plugin, and tells OpenCode about it. */
#include "base/core/buf.h"
#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/log.h"
#include "bridge/prepare/prepare.h"
#include "bridge/prepare/version.h"
#include "bridge/prepare/watch.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#define EXIT_USAGE 2

static const char usage[] =
    "Usage: codev-prepare [--watch] [--json]\n"
    "Finds, clones, builds and links OpenCode's bridge plugin, and writes OpenCode's extra\n"
    "configuration. Exit status 0 also when OpenCode must start without the plugin.\n"
    "\n"
    "  --watch    stay; put the plugin link back; rebuild and reload a changed plugin\n"
    "  --json     print the outcome as JSON on standard output\n"
    "  --help     this text\n"
    "  --version  the version\n"
    "\n"
    "Settings come from the environment: CODEV_PLUGIN_PATH, _URL, _BRANCH, _UPDATE, _TOKEN_FILE,\n"
    "_CA_FILE, _TIMEOUT_MS; CODEV_HOME, CODEV_RUNTIME_DIR, CODEV_OPENCODE_DIRECTORY. See\n"
    "codev-prepare(8).\n";

struct options {
    bool watch, json;
};

/* 0: go on; else the exit status plus one. */
static int read_options(int argc, char **argv, struct options *ret)
{
    static const struct option table[] = {
        { "watch", no_argument, NULL, 'w' },
        { "json", no_argument, NULL, 'j' },
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, 'V' },
        { NULL, 0, NULL, 0 },
    };
    for (int c; (c = getopt_long(argc, argv, "", table, NULL)) != -1;) {
        if (c == 'w')
            ret->watch = true;
        else if (c == 'j')
            ret->json = true;
        else if (c == 'h' || c == 'V') {
            (void)fputs(c == 'h' ? usage : "codev-prepare " CODEV_VERSION "\n", stdout);
            return 1;
        } else {
            (void)fputs("Try: codev-prepare --help\n", stderr);
            return EXIT_USAGE + 1;
        }
    }
    if (optind < argc) {
        (void)fprintf(stderr, "codev-prepare: what is '%s'? Try: codev-prepare --help\n",
                      argv[optind]);
        return EXIT_USAGE + 1;
    }
    return 0;
}

static int run(const struct settings *s, const struct options *options, uint64_t begun)
{
    struct error e = ERROR_INIT;
    if (options->watch) {
        (void)watch_link(s, &e);
        log_error("%s", e.message);
        return EXIT_FAILURE;
    }
    struct report report = { .state = PLUGIN_FAILED };
    _log_about_ struct log_about about = { .id = { [LOG_TRACE_ID] = *s->run ? s->run : NULL } };
    log_enter(&about);
    (void)memcpy(report.run, s->run, sizeof report.run);
    int r = prepare_run(s, &report, &e);
    report.elapsed_ms = clock_mono_ms() - begun;
    if (r < 0) {
        log_error("%s", e.message);
        return EXIT_FAILURE;
    }
    _cleanup_buf_ struct buf json = BUF_INIT;
    report_json(&report, s->plugin_path, &json);
    log_info("prepare took %llu ms", (unsigned long long)report.elapsed_ms);
    report_send(buf_str(&json));
    version_check(s);
    if (options->json)
        (void)printf("%s\n", buf_str(&json));
    return EXIT_SUCCESS;
}

/* Without a runtime folder OpenCode can be told nothing, but it can run. */
static int give_up(const struct error *e)
{
    struct report report = { .state = PLUGIN_FAILED };
    _cleanup_buf_ struct buf json = BUF_INIT;
    report_state(&report, PLUGIN_FAILED, "%s", e->message);
    log_warn("⚠️ %s: OpenCode starts without the bridge plugin", report.reason);
    report_json(&report, "", &json);
    report_send(buf_str(&json));
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    uint64_t begun = clock_mono_ms();
    struct options options = { 0 };
    int done = read_options(argc, argv, &options);
    if (done)
        return done - 1;
    log_init("codev-prepare");
    (void)prctl(PR_SET_DUMPABLE, 0); /* the git token is in our memory */
    (void)signal(SIGPIPE, SIG_IGN);
    struct settings settings = { 0 };
    struct error e = ERROR_INIT;
    int r = settings_read(&settings, &e);
    if (r < 0) {
        log_error("%s", e.message);
        return r == -ENOMEM || options.watch ? EXIT_FAILURE : give_up(&e);
    }
    if (!options.watch && trace_new(settings.run) < 0)
        *settings.run = '\0';
    int status = run(&settings, &options, begun);
    settings_release(&settings);
    return status;
}
