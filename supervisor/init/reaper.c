#include "supervisor/init/reaper.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>

void reaper_add(struct reaper *r, struct child *c)
{
    c->next = r->children;
    r->children = c;
}

void reaper_remove(struct reaper *r, struct child *c)
{
    for (struct child **at = &r->children; *at; at = &(*at)->next) {
        if (*at == c) {
            *at = c->next;
            break;
        }
    }
    c->pid = 0;
}

const struct child *reaper_find(const struct reaper *r, pid_t pid)
{
    for (const struct child *c = r->children; c; c = c->next)
        if (c->pid == pid)
            return c;
    return NULL;
}

static struct child *take(struct reaper *r, pid_t pid)
{
    for (struct child *c = r->children; c; c = c->next) {
        if (c->pid == pid) {
            reaper_remove(r, c);
            return c;
        }
    }
    return NULL;
}

void reaper_collect(struct reaper *r)
{
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG | WUNTRACED);
        if (pid < 0 && errno == EINTR)
            continue;
        if (pid <= 0)
            return;
        if (WIFSTOPPED(status)) {
            /* Guards and helpers are ours: a stopped one would hide what ends below it. */
            if (reaper_find(r, pid))
                (void)kill(pid, SIGCONT);
            continue;
        }
        r->reaped++;
        struct child *c = take(r, pid);
        if (c)
            c->on_exit(c, status);
    }
}
