/* What the kernel's control groups do for services: kill as a whole, limit memory and processes,
 * tell of out-of-memory kills. And what takes their place where none can be written: the guard's
 * process tree, resident memory looked at now and then, the container's own counters. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "supervisor/cgroup/cgroup.h"
#include "supervisor/init/loop.h"

struct jsonw;
struct proc;
struct service;
struct supervisor;

struct groups {
    struct cgroup_place place;
    struct cgroup_tree tree;
    struct source inotify;
    uint64_t oom_count;     /* the container's counter at the last look */
    bool oom_known;         /* there is such a counter */
    bool adopted;           /* from PID 1's last image; what came since then is new */
    unsigned oom_unclaimed; /* kills that no service's end was laid to yet */
    uint64_t oom_ms;        /* when the last one was seen */
    uint64_t oom_kills;     /* seen since PID 1's start */
    uint64_t looked_ms;
    uint64_t pids_now, pids_max; /* of the container; max 0: no limit or not known */
    bool pids_near;
    struct timer pids_timer, memory_timer;
};

/* A service's share of it. */
struct service_group {
    uint64_t oom_count, limit_count; /* its memory.events at the last look: oom_kill, oom */
    uint64_t oom_ms;                 /* when the last kill was seen; 0: none in this run */
    bool oom_by_own_limit;
    uint64_t oom_kills;  /* since PID 1's start */
    int watch;           /* inotify's, of its pids.events; 0: none */
    uint64_t refused;    /* forks refused, at the last look */
    uint64_t refused_ms; /* when that was last said */
    uint64_t memory;     /* bytes at the last look; 0: not known */
    bool pids_near;      /* it has nearly as many processes as it may, and that was said */
    bool is_new;         /* it was made for this run */
    unsigned over;       /* looks in a row at which it was over its limit */
    bool warned;
};

/* --- groups.c --- */
void groups_init(struct supervisor *sv);
/* Finds the groups that this process is in. */
void groups_look(struct supervisor *sv);
/* After it, before the first service starts; after an exec of PID 1, when those that run were
 * adopted. */
void groups_begin(struct supervisor *sv);
/* Once in each round of the loop: looks at counters that tell nobody of their changes, at most once
 * a second. */
void groups_tick(struct supervisor *sv);
/* What PID 1's image before this one had counted; before groups_begin(). */
void groups_adopt(struct supervisor *sv, uint64_t oom_count, uint64_t oom_kills);
void groups_status(struct jsonw *w, const struct supervisor *sv);
void groups_release(struct supervisor *sv);

/* The descriptor of the service's group for a spawn: of its program, then the group is made and its
 * limits set, or of a hook or check of it. 0: it has none. */
int service_group_open(struct service *s, bool *ret_new);
/* Its program runs: is it where it belongs? */
void service_group_check(struct service *s);
/* Nothing of the service may be left. */
void service_group_kill(struct service *s);
/* The configuration of a running service changed. */
void service_group_changed(struct service *s);
void service_group_remove(struct service *s);
/* For people: how the service's program ended; tells a kill by the kernel for want of memory from
 * one by somebody. */
void service_end_text(struct service *s, int status, char *out, size_t size);

/* --- memory.c --- */
void memory_init(struct supervisor *sv);
/* A service that has a limit was started. */
void memory_watch(struct supervisor *sv);
/* What one look means. Pure but for `g`. */
enum memory_verdict { MEMORY_FINE, MEMORY_NEAR, MEMORY_OVER };
enum memory_verdict memory_judge(struct service_group *g, uint64_t used, uint64_t max);
/* "64 MiB"; returns `out`. */
const char *memory_text(uint64_t bytes, char out[24]);
