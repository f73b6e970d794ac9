/* Runs codev-config, which checks the configuration and writes the plan into a memfd. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/file.h"
#include "supervisor/init/supervisor.h"

#define COMPILE_DEADLINE_MS 10000
#define MESSAGES_MAX        ((size_t)64 << 10)
#define EXIT_NOT_RUN        126
#define EXIT_NOT_FOUND      127

struct compile {
    struct supervisor *sv;
    struct child child; /* codev-config starts nothing of its own: it needs no guard */
    struct timer deadline;
    int memfd, messages_in; /* the write end of its stderr */
    struct source messages;
    struct buf text; /* what it said */
    compile_done *done;
};

static void on_messages(struct source *s, uint32_t events)
{
    struct compile *c = s->arg;
    (void)events;
    for (;;) {
        char chunk[4096];
        ssize_t n = read(s->fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        (void)buf_append(&c->text, chunk, (size_t)n);
    }
}

/* Each line goes to the log as the service "config". */
static void log_messages(struct compile *c, bool failed)
{
    struct log_channel channel = { .logs = &c->sv->logs, .name = "config" };
    const char *p = buf_str(&c->text);
    while (*p) {
        size_t n = strcspn(p, "\n");
        if (n)
            logs_put(&channel, failed ? LOG_LEVEL_ERROR : LOG_LEVEL_WARN, "stderr", p, n);
        p += n + (p[n] == '\n');
    }
    buf_release(&channel.ring);
}

static void release(struct compile *c)
{
    loop_close(&c->sv->loop, &c->messages);
    timer_forget(&c->sv->loop, &c->deadline);
    if (c->child.pid)
        reaper_remove(&c->sv->reaper, &c->child);
    if (c->memfd >= 0)
        (void)close(c->memfd);
    if (c->messages_in >= 0)
        (void)close(c->messages_in);
    buf_release(&c->text);
    if (c->sv->compile == c)
        c->sv->compile = NULL;
    free(c);
}

/* It has said in its last line what was wrong: with the configuration, or with its own start. */
static bool explained(const struct compile *c, int status)
{
    int code = proc_status_code(status);
    return WIFEXITED(status) && c->text.len &&
           (code == EXIT_CONFIG || code == EXIT_NOT_FOUND || code == EXIT_NOT_RUN);
}

/* NULL when a plan is there, else what went wrong, in one sentence. */
static struct plan_block *result(struct compile *c, int status, struct error *e)
{
    if (status == 0)
        return plan_block_map(c->memfd, e);
    if (explained(c, status))
        (void)error_set(e, -EINVAL, "%.*s", (int)strcspn(buf_str(&c->text), "\n"),
                        buf_str(&c->text));
    else /* killed: for want of memory, most likely */
        (void)error_set(e, WIFSIGNALED(status) ? -EINTR : -ECHILD,
                        "codev-config ended with status %d", proc_status_code(status));
    return NULL;
}

static void finish(struct compile *c, struct plan_block *plan, int code, const char *error)
{
    struct supervisor *sv = c->sv;
    compile_done *done = c->done;
    log_messages(c, !plan);
    release(c);
    done(sv, plan, code, error);
}

static void on_exit_status(struct child *child, int status)
{
    struct compile *c = child->arg;
    struct error e = ERROR_INIT;
    if (c->messages.fd >= 0)
        on_messages(&c->messages, EPOLLIN);
    struct plan_block *plan = result(c, status, &e);
    finish(c, plan, e.code, e.message);
}

/* One that hangs on a dead file system may never die; whoever reaps it then, it is nobody's. */
static void on_deadline(struct timer *t)
{
    struct compile *c = t->arg;
    char why[80];
    (void)kill(c->child.pid, SIGKILL);
    (void)snprintf(why, sizeof why, "codev-config did not end within %d s",
                   COMPILE_DEADLINE_MS / 1000);
    finish(c, NULL, -ECHILD, why);
}

/* Where secrets come from is what the sandboxes close. */
static int build_env(struct env *env, void *arg)
{
    const struct supervisor *sv = arg;
    supervisor_environment(sv, env);
    for (size_t i = 0; i < secret_count(); i++) {
        char name[96];
        (void)snprintf(name, sizeof name, "%s_FILE", secret_table[i].name);
        if (sv->secrets.files[i])
            env_set(env, name, sv->secrets.files[i]);
    }
    return 0;
}

static int open_channels(struct compile *c)
{
    int fds[2];
    c->memfd = memfd_create("plan", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (c->memfd < 0 || pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    c->messages.fd = fds[0];
    c->messages_in = fds[1];
    int r = fd_set_nonblock(fds[0], true);
    return r < 0 ? r : loop_add(&c->sv->loop, &c->messages, EPOLLIN);
}

/* The child's side: on success this process is codev-config. */
_Noreturn static void become_config(const struct compile *c)
{
    char fd_text[16], text[300];
    (void)snprintf(fd_text, sizeof fd_text, "%d", c->memfd);
    const char *argv[] = { "codev-config", "compile", "--fd", fd_text, NULL };
    const int keep[] = { c->memfd, c->messages_in };
    const struct spawn_spec spec = {
        .argv = argv,
        .build_env = build_env,
        .env_arg = c->sv,
        .stdout_fd = -1,
        .stderr_fd = c->messages_in,
        .keep_fd = c->memfd,
        .mask = &c->sv->original_mask,
    };
    const struct spawn_wanted wanted = { .command = argv[0], .cwd = "", .user = "" };
    spawn_close_fds(keep, ARRAY_SIZE(keep));
    struct spawn_failure f = spawn_exec(&spec, NULL, NULL);
    spawn_failure_text(&f, &wanted, text, sizeof text);
    (void)dprintf(c->messages_in, "%s\n", text);
    _exit(f.error == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_RUN);
}

int compile_begin(struct supervisor *sv, compile_done *done)
{
    struct compile *c = calloc(1, sizeof *c);
    if (!c)
        return -ENOMEM;
    sv->compiled_wall_ms = clock_wall_ms();
    *c = (struct compile){
        .sv = sv,
        .memfd = -1,
        .messages_in = -1,
        .messages = { .fd = -1, .fn = on_messages, .arg = c },
        .text = BUF_INIT_MAX(MESSAGES_MAX),
        .deadline = { .fn = on_deadline, .arg = c },
        .child = { .on_exit = on_exit_status, .arg = c },
        .done = done,
    };
    int r = open_channels(c);
    pid_t pid = r < 0 ? -1 : fork();
    if (pid == 0)
        become_config(c);
    if (pid < 0) {
        r = r < 0 ? r : -errno;
        release(c);
        return r;
    }
    (void)close(c->messages_in);
    c->messages_in = -1;
    c->child.pid = pid;
    reaper_add(&sv->reaper, &c->child);
    timer_set(&sv->loop, &c->deadline, COMPILE_DEADLINE_MS);
    sv->compile = c;
    return 0;
}

void compile_cancel(struct supervisor *sv)
{
    if (!sv->compile)
        return;
    (void)kill(sv->compile->child.pid, SIGKILL);
    release(sv->compile);
}

void plan_adopt(struct supervisor *sv, struct plan_block *plan)
{
    const struct plan *p = &plan->plan;
    plan_block_unref(sv->plan);
    sv->plan = plan;
    sv->logs.text = p->header->log_format == PLAN_LOG_TEXT;
    logs_let_go(&sv->logs);
    sv->logs.level = (enum log_level)p->header->log_level;
    env_release(&sv->plan_env);
    for (uint32_t i = 0; i < p->header->environment.count; i++)
        env_put(&sv->plan_env, plan_item(p, p->header->environment, i));
    secret_store_take_env(&sv->secrets, &sv->plan_env);
    for (size_t i = 0; i < secret_count(); i++)
        if (sv->secrets.values[i])
            (void)mask_add(&sv->logs.mask, sv->secrets.values[i]);
    config_watch_update(sv);
}
