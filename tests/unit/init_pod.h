/* The real codev-init as PID 1 of its own namespaces, with a plan made here: codev-config is
 * replaced by a script beside a copy of the program. For the test_init_* programs. */
#pragma once

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/core/buf.h"
#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/control.h"
#include "base/core/file.h"
#include "supervisor/plan/plan_writer.h"

#define POD_SERVICES 8

/* A service of the plan; what is not set gets a default in pod_write_plan(). */
struct pod_service {
    const char *name;
    const char *argv[8];
    const char *after, *requires;
    const char *check[4]; /* target of `ready` */
    const char *health[4];
    const char *pre_stop[4], *post_start[4];
    const char *user, *env_from;
    struct plan_service p; /* numbers only */
};

struct pod {
    char dir[64];
    char about[96];    /* what this one is about, for the message of a failure */
    pid_t outer, pid1; /* as this machine numbers them */
    int out;           /* what PID 1 writes; -1: given to nobody */
    struct buf log;
    const char *const *env; /* more variables, NULL-terminated */
    rlim_t nofile, nproc;   /* nproc: with a `uid` of its own */
    uid_t uid;
    bool text;     /* log.format of the plan */
    bool own_pid1; /* false: not PID 1, as a child subreaper */
    bool watch_config, cgroup_off;
    bool migrate; /* the volume's files of the old layout may be moved */
    bool own_dev; /* a /dev of its own, with a termination log: dev/termination-log in `dir` */
    bool traced;  /* PID 1 lets the process between trace it, which calls `watch` */
    int (*watch)(pid_t pid1); /* instead of waitpid(): its wait status when it has ended */
    const char *groups[3]; /* control groups to enter: folders; the first may be of version 2… */
    const char *own_v2;    /* …and is then all that this mount point shows of them */
};

static inline const char *pod_path(const struct pod *p, const char *name)
{
    static char paths[4][PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 4];
    (void)snprintf(path, PATH_MAX, "%s/%s", p->dir, name);
    return path;
}

/* "": possible here; else why not. */
static inline const char *pod_impossible(void)
{
    static int made = -1;
    if (geteuid() != 0)
        return "needs root for a PID namespace";
    if (made < 0) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(unshare(CLONE_NEWPID | CLONE_NEWNS) == 0 ? 0 : 1);
        (void)waitpid(pid, &made, 0);
    }
    return made == 0 ? "" : "may not make a PID namespace here";
}

static inline void pod_copy_program(struct pod *p, const char *program)
{
    char self[PATH_MAX] = "", from[PATH_MAX + 32];
    _cleanup_free_ char *data = NULL;
    size_t len;
    ck_assert_int_gt(readlink("/proc/self/exe", self, sizeof self - 1), 0);
    *strrchr(self, '/') = '\0';
    (void)snprintf(from, sizeof from, "%s/%s", self, program);
    ck_assert_msg(file_read(from, (size_t)64 << 20, &data, &len) == 0,
                  "%s is missing: make programs", from);
    ck_assert_int_eq(file_write_atomic(pod_path(p, "codev-init"), data, len, 0755), 0);
}

static inline void pod_config_script(struct pod *p, const char *text)
{
    ck_assert_int_eq(file_write_atomic(pod_path(p, "codev-config"), text, strlen(text), 0755), 0);
}

/* `program`: another codev-init, in the folder of this one; NULL: the real one. */
static inline void pod_init_as(struct pod *p, const char *program)
{
    char script[512];
    *p = (struct pod){ .out = -1, .own_pid1 = true };
    (void)snprintf(p->dir, sizeof p->dir, "/tmp/codev-pod-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(p->dir));
    ck_assert_int_eq(chmod(p->dir, 0755), 0);
    pod_copy_program(p, program ? program : "../bin/codev-init");
    (void)snprintf(script, sizeof script, "#!/bin/sh\ncat '%s/plan' >\"/proc/self/fd/$3\"\n",
                   p->dir);
    pod_config_script(p, script);
    ck_assert_int_eq(setenv("CODEV_RUNTIME_DIR", pod_path(p, "run"), 1), 0);
}

static inline void pod_init(struct pod *p)
{
    pod_init_as(p, NULL);
}

static inline struct plan_list pod_list(struct plan_writer *w, const char *const *items)
{
    size_t n = 0;
    while (items[n])
        n++;
    return plan_writer_list(w, items, n);
}

static inline struct plan_list pod_names(struct plan_writer *w, const char *name)
{
    return name ? plan_writer_list(w, &name, 1) : (struct plan_list){ 0 };
}

static inline uint32_t pod_or(uint32_t value, uint32_t fallback)
{
    return value ? value : fallback;
}

static inline void pod_write_service(struct plan_writer *w, const struct pod_service *s)
{
    struct plan_service r = s->p;
    r.name = plan_writer_str(w, s->name);
    r.argv = pod_list(w, s->argv);
    r.after = pod_names(w, s->after);
    r.requires = pod_names(w, s->requires);
    r.ready.target = pod_list(w, s->check);
    r.ready.interval_ms = pod_or(r.ready.interval_ms, 20);
    r.ready.timeout_ms = pod_or(r.ready.timeout_ms, 2000);
    r.pre_stop.argv = pod_list(w, s->pre_stop);
    r.post_start.argv = pod_list(w, s->post_start);
    r.env_from = plan_writer_str(w, s->env_from ? s->env_from : "");
    r.user = plan_writer_str(w, s->user ? s->user : "");
    r.stop_signal = pod_or(r.stop_signal, SIGTERM);
    r.stop_grace_ms = pod_or(r.stop_grace_ms, 2000);
    r.backoff_first_ms = pod_or(r.backoff_first_ms, 10);
    r.backoff_max_ms = pod_or(r.backoff_max_ms, 1000);
    r.backoff_factor_milli = pod_or(r.backoff_factor_milli, 2000);
    if (s->health[0])
        r.health.target = pod_list(w, s->health);
    else if (r.health.kind == PLAN_CHECK_HTTP || r.health.kind == PLAN_CHECK_TCP)
        r.health.target = pod_names(w, "http://127.0.0.1:1/");
    plan_writer_service(w, &r);
}

/* `volume`: path and policy of one, NULL for none. */
static inline void pod_write_plan(struct pod *p, const struct pod_service *services, size_t count,
                                  uint32_t stop_timeout_ms, const char *volume, uint32_t policy)
{
    struct plan_writer w;
    _cleanup_free_ void *block = NULL;
    size_t size;
    struct error e = ERROR_INIT;
    plan_writer_init(&w);
    w.header.home = plan_writer_str(&w, p->dir);
    w.header.state_dir = plan_writer_str(&w, pod_path(p, "state"));
    w.header.stop_timeout_ms = pod_or(stop_timeout_ms, 10000);
    w.header.watch_config = p->watch_config;
    w.header.cgroup = p->cgroup_off ? PLAN_CGROUP_OFF : PLAN_CGROUP_AUTO;
    w.header.log_level = 1;
    w.header.log_format = p->text ? PLAN_LOG_TEXT : PLAN_LOG_JSON;
    for (size_t i = 0; i < count; i++)
        pod_write_service(&w, &services[i]);
    if (volume) {
        struct plan_volume v = { .path = plan_writer_str(&w, volume),
                                 .policy = (uint16_t)policy,
                                 .migrate = p->migrate };
        plan_writer_volume(&w, &v);
    }
    ck_assert_msg(plan_writer_finish(&w, &block, &size, &e) == 0, "%s", e.message);
    plan_writer_release(&w);
    ck_assert_int_eq(file_write_atomic(pod_path(p, "plan"), block, size, 0644), 0);
}

static inline int pod_make_dev(const struct pod *p)
{
    static const char *const files[] = { "dev/null", "dev/termination-log" };
    if (mkdir(pod_path(p, "dev"), 0755) < 0 && errno != EEXIST)
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        int fd = open(pod_path(p, files[i]), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        if (fd < 0 || close(fd) < 0)
            return -1;
    }
    if (mount("/dev/null", pod_path(p, "dev/null"), NULL, MS_BIND, NULL) < 0)
        return -1;
    return mount(pod_path(p, "dev"), "/dev", NULL, MS_BIND | MS_REC, NULL);
}

static inline void pod_enter_groups(const struct pod *p)
{
    for (size_t i = 0; i < ARRAY_SIZE(p->groups) && p->groups[i]; i++) {
        char path[PATH_MAX];
        (void)snprintf(path, sizeof path, "%s/cgroup.procs", p->groups[i]);
        _cleanup_fd_ int fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0 || write(fd, "0", 1) < 0)
            _exit(94);
    }
    if (p->own_v2 && (unshare(CLONE_NEWCGROUP) < 0 || umount2(p->own_v2, MNT_DETACH) < 0 ||
                      mount("cgroup2", p->own_v2, "cgroup2", 0, NULL) < 0))
        _exit(93);
}

_Noreturn static inline void pod_become_pid1(const struct pod *p, int out)
{
    /* The leak checker would trace PID 1, which does not let itself be traced. */
    const char *env[32] = { "PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/",
                            "ASAN_OPTIONS=detect_leaks=0:quarantine_size_mb=16" };
    char runtime[PATH_MAX];
    size_t n = 3;
    (void)snprintf(runtime, sizeof runtime, "CODEV_RUNTIME_DIR=%s/run", p->dir);
    env[n++] = runtime;
    for (const char *const *v = p->env; v && *v && n < ARRAY_SIZE(env) - 1; v++)
        env[n++] = *v;
    (void)dup2(out, STDOUT_FILENO);
    if (p->own_pid1 && (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
                        mount("proc", "/proc", "proc", 0, NULL) < 0))
        _exit(99);
    if (p->own_dev && pod_make_dev(p) < 0)
        _exit(94);
    pod_enter_groups(p);
    if (p->nofile) {
        struct rlimit r = { p->nofile, p->nofile };
        (void)setrlimit(RLIMIT_NOFILE, &r);
    }
    if (p->nproc) {
        struct rlimit r = { p->nproc, p->nproc };
        (void)setrlimit(RLIMIT_NPROC, &r);
    }
    if (p->uid && (setgid(p->uid) < 0 || setuid(p->uid) < 0))
        _exit(98);
    const char *argv[] = { "codev-init", NULL };
    char *const *a, *const *v;
    const char *const *from = argv, *const *vars = env;
    memcpy(&a, &from, sizeof a);
    memcpy(&v, &vars, sizeof v);
    if (p->traced)
        (void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    (void)execve(pod_path(p, "codev-init"), a, v);
    _exit(97);
}

/* The process between: it makes the namespaces, tells PID 1's number and passes its status on. */
_Noreturn static inline void pod_outer(const struct pod *p, int out, int tell)
{
    int status;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (p->own_pid1 && unshare(CLONE_NEWPID | CLONE_NEWNS) < 0)
        _exit(96);
    pid_t pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        pod_become_pid1(p, out);
    }
    (void)close(out);
    if (write(tell, &pid, sizeof pid) < 0)
        _exit(95);
    if (p->watch)
        status = p->watch(pid);
    else if (waitpid(pid, &status, 0) < 0)
        _exit(95);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

static inline void pod_start(struct pod *p)
{
    int out[2], tell[2];
    ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(tell, O_CLOEXEC), 0);
    p->outer = fork();
    if (p->outer == 0)
        pod_outer(p, out[1], tell[1]);
    (void)close(out[1]);
    (void)close(tell[1]);
    ck_assert_int_eq(read(tell[0], &p->pid1, sizeof p->pid1), sizeof p->pid1);
    (void)close(tell[0]);
    p->out = out[0];
    ck_assert_int_eq(fd_set_nonblock(p->out, true), 0);
}

/* All that PID 1 has written so far. */
static inline const char *pod_log(struct pod *p)
{
    char chunk[65536];
    for (ssize_t n; p->out >= 0 && (n = read(p->out, chunk, sizeof chunk)) > 0;)
        (void)buf_append(&p->log, chunk, (size_t)n);
    return buf_str(&p->log);
}

/* The end of it: what a message of Check's has room for. */
static inline const char *pod_log_end(struct pod *p)
{
    const char *log = pod_log(p);
    size_t len = strlen(log);
    return log + (len > 3000 ? len - 3000 : 0);
}

/* Waits until `condition` holds, at most 20 s. */
#define POD_EVENTUALLY(p, condition)                                                               \
    do {                                                                                           \
        uint64_t until_ = clock_mono_ms() + 20000;                                                 \
        while (!(condition)) {                                                                     \
            ck_assert_msg(clock_mono_ms() < until_, "%s not within 20 s: %s\n%s", (p)->about,      \
                          #condition, pod_log_end(p));                                             \
            (void)poll(NULL, 0, 5);                                                                \
        }                                                                                          \
    } while (0)

static inline bool pod_says(struct pod *p, const char *text)
{
    return strstr(pod_log(p), text) != NULL;
}

/* What is in the termination log (own_dev). */
static inline const char *pod_termination_log(const struct pod *p)
{
    static char text[4096];
    int fd = open(pod_path(p, "dev/termination-log"), O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    text[n > 0 ? n : 0] = '\0';
    if (fd >= 0)
        (void)close(fd);
    return text;
}

/* One request; its answer in a static buffer, "" when there is none yet. */
static inline const char *pod_ask(const char *const *words)
{
    static struct buf answer;
    struct error e = ERROR_INIT;
    buf_release(&answer);
    return control_call(words, 5000, &answer, &e) < 0 ? "" : buf_str(&answer);
}

#define POD_ASK(...) pod_ask((const char *const[]){ __VA_ARGS__, NULL })

/* The part of the status that belongs to one service, "" when it is not there. */
static inline const char *pod_service_status(const char *name)
{
    static char part[8192];
    char mark[128];
    (void)snprintf(mark, sizeof mark, "{\"name\":\"%s\",", name);
    const char *at = strstr(POD_ASK("status"), mark);
    size_t len = at ? strcspn(at + 1, "{") : 0;
    (void)snprintf(part, sizeof part, "%.*s", (int)len, at ? at : "");
    return part;
}

static inline bool pod_state(const char *name, const char *state)
{
    char mark[64];
    (void)snprintf(mark, sizeof mark, "\"state\":\"%s\"", state);
    return strstr(pod_service_status(name), mark) != NULL;
}

static inline long pod_number(const char *text, const char *key)
{
    char mark[64];
    (void)snprintf(mark, sizeof mark, "\"%s\":", key);
    const char *at = strstr(text, mark);
    return at ? strtol(at + strlen(mark), NULL, 10) : -1;
}

/* Its exit status, at most `ms` from now; -1: it still runs. */
static inline int pod_wait(struct pod *p, uint64_t ms)
{
    uint64_t until = clock_mono_ms() + ms;
    int status;
    for (;;) {
        (void)pod_log(p); /* keeps the pipe empty */
        pid_t pid = waitpid(p->outer, &status, WNOHANG);
        if (pid == p->outer) {
            p->outer = 0;
            (void)pod_log(p);
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        }
        if (clock_mono_ms() >= until)
            return -1;
        (void)poll(NULL, 0, 5);
    }
}

static inline int pod_stop(struct pod *p, uint64_t ms)
{
    ck_assert_int_eq(kill(p->pid1, SIGTERM), 0);
    return pod_wait(p, ms);
}

/* The guard of a service, as this machine numbers it; 0: there is none. */
static inline pid_t pod_guard(const struct pod *p, const char *service)
{
    char path[96], wanted[32], *next = NULL;
    _cleanup_free_ char *children = NULL;
    (void)snprintf(wanted, sizeof wanted, "g:%.13s\n", service);
    (void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)p->pid1, (int)p->pid1);
    if (file_read(path, 65536, &children, NULL) == 0)
        next = children;
    for (const char *pid; next && (pid = strsep(&next, " "));) {
        _cleanup_free_ char *name = NULL;
        (void)snprintf(path, sizeof path, "/proc/%s/comm", pid);
        if (*pid && file_read(path, 64, &name, NULL) == 0 && strcmp(name, wanted) == 0)
            return (pid_t)strtol(pid, NULL, 10);
    }
    return 0;
}

static inline void pod_release(struct pod *p)
{
    if (p->outer > 0) {
        (void)kill(p->pid1, SIGKILL);
        (void)pod_wait(p, 5000);
    }
    if (p->out >= 0)
        (void)close(p->out);
    buf_release(&p->log);
    (void)file_remove_tree(p->dir);
}
