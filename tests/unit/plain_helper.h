/* Starts a plain init, ours or a peer's, and looks at what it does. */
#pragma once

#include <check.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/clock.h"

#define DEADLINE_MS 20000

/* Who is asked: each of the peers' manners by our program under their name, and by themselves. */
enum who { OURS_AS_TINI, TINI, OURS_AS_DUMB_INIT, DUMB_INIT, WHO_MAX };

static char plain_dir[PATH_MAX]; /* holds links to our program */

static inline const char *who_name(int who)
{
    return who < OURS_AS_DUMB_INIT ? "tini" : "dumb-init";
}

/* NULL when that peer is not installed. */
static inline const char *who_path(int who)
{
    static char path[PATH_MAX];
    bool ours = who == OURS_AS_TINI || who == OURS_AS_DUMB_INIT;
    (void)snprintf(path, sizeof path, "%.4000s/%s", ours ? plain_dir : "/usr/bin", who_name(who));
    return access(path, X_OK) == 0 ? path : NULL;
}

/* The links, in a folder of their own; what is in argv[0] decides how the program behaves. */
static inline bool plain_links(void)
{
    static const char *const names[] = { "tini", "dumb-init", "codev-init" };
    char self[PATH_MAX], target[PATH_MAX + 32], link[PATH_MAX + 32];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0)
        return false;
    self[n] = '\0';
    *strrchr(self, '/') = '\0';
    (void)snprintf(target, sizeof target, "%s/../bin/codev-init", self);
    (void)snprintf(plain_dir, sizeof plain_dir, "/tmp/codev-plain-XXXXXX");
    if (!mkdtemp(plain_dir))
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        (void)snprintf(link, sizeof link, "%s/%s", plain_dir, names[i]);
        if (symlink(target, link) < 0)
            return false;
    }
    return true;
}

static inline void plain_links_remove(void)
{
    static const char *const names[] = { "tini", "dumb-init", "codev-init" };
    char link[PATH_MAX + 32];
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        (void)snprintf(link, sizeof link, "%s/%s", plain_dir, names[i]);
        (void)unlink(link);
    }
    (void)rmdir(plain_dir);
}

struct start {
    const char *path;        /* the program */
    const char *const *argv; /* NULL-terminated, from argv[0] */
    const char *env[3];      /* "NAME=value", in addition */
    int input;               /* 0: /dev/null; else a descriptor for its standard input */
    void (*before)(void);    /* in the child, before exec */
};

/* `*ret_out` reads its output and its error output. */
static inline pid_t plain_start(const struct start *s, int *ret_out)
{
    int out[2];
    ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char *const *a;
        memcpy(&a, &s->argv, sizeof a);
        int in = s->input ? s->input : open("/dev/null", O_RDONLY);
        (void)dup2(in, STDIN_FILENO);
        (void)dup2(out[1], STDOUT_FILENO);
        (void)dup2(out[1], STDERR_FILENO);
        /* What the caller ignores (SIGHUP under nohup) is inherited, and meant to be. */
        for (int sig = 1; sig < NSIG; sig++)
            (void)signal(sig, SIG_DFL);
        for (size_t i = 0; i < ARRAY_SIZE(s->env) && s->env[i]; i++) {
            char *copy = strdup(s->env[i]);
            if (copy)
                (void)putenv(copy);
        }
        if (s->before)
            s->before();
        (void)execv(s->path, a);
        _exit(99);
    }
    (void)close(out[1]);
    *ret_out = out[0];
    return pid;
}

static inline int plain_ended(pid_t pid)
{
    uint64_t until = clock_mono_ms() + DEADLINE_MS;
    int status;
    while (waitpid(pid, &status, WNOHANG) != pid) {
        if (clock_mono_ms() > until) {
            (void)kill(pid, SIGKILL);
            ck_abort_msg("it did not end");
        }
        (void)poll(NULL, 0, 2);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Reads until `text` has come; `all` keeps what was read so far. */
struct heard {
    char all[8192];
    size_t len;
};
static inline void plain_await(struct heard *h, int fd, const char *text)
{
    while (!strstr(h->all, text)) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        ck_assert_msg(poll(&p, 1, DEADLINE_MS) == 1, "no '%s' in '%s'", text, h->all);
        ssize_t n = read(fd, h->all + h->len, sizeof h->all - h->len - 1);
        ck_assert_msg(n > 0, "no '%s' in '%s'", text, h->all);
        h->len += (size_t)n;
        h->all[h->len] = '\0';
    }
}

/* All that comes until everybody has closed it. */
static inline void plain_read_all(struct heard *h, int fd)
{
    for (;;) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        ck_assert_msg(poll(&p, 1, DEADLINE_MS) == 1, "no end after '%s'", h->all);
        ssize_t n = read(fd, h->all + h->len, sizeof h->all - h->len - 1);
        if (n <= 0)
            return;
        h->len += (size_t)n;
        h->all[h->len] = '\0';
    }
}

/* The letter of /proc/PID/stat; '-' when there is no such process. */
static inline char process_state(pid_t pid)
{
    char path[64], text[512] = "";
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        (void)close(fd);
    const char *paren = n > 0 ? strrchr(text, ')') : NULL;
    return paren ? paren[2] : '-';
}

static inline void await_state(pid_t pid, const char *states)
{
    uint64_t until = clock_mono_ms() + DEADLINE_MS;
    while (!strchr(states, process_state(pid))) {
        ck_assert_msg(clock_mono_ms() < until, "%d is %c, not one of %s", (int)pid,
                      process_state(pid), states);
        (void)poll(NULL, 0, 2);
    }
}
