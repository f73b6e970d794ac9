/* Which check runs when: a table of PID 1's checks and the states of their services. It knows the
 * time only as an argument and starts nothing itself (runner.h does). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHECKS_MAX     128
#define CHECK_TARGETS  8
#define CHECK_NEVER    UINT64_MAX
#define CHECK_MIN_MS   50 /* no check runs more often */
#define CHECK_NAME_MAX 64

enum check_kind { CHECK_READY, CHECK_HEALTH, CHECK_KIND_MAX };
enum check_type { CHECK_HTTP, CHECK_TCP, CHECK_TYPE_MAX };

struct check {
    char service[CHECK_NAME_MAX];
    enum check_kind kind;
    enum check_type type;
    char *targets[CHECK_TARGETS];
    size_t target_count;
    uint64_t interval_ms, timeout_ms;
    bool auth;
    bool running;
    bool outdated; /* its service has moved on while it ran */
    uint64_t started_ms;
    uint64_t due_ms;     /* CHECK_NEVER: its service is not in a state that asks for it */
    uint64_t since_ms;   /* since when it is asked for */
    uint64_t counted_ms; /* when a result last counted; 0: none yet */
};

struct check_service {
    char name[CHECK_NAME_MAX];
    char state[16];
    uint64_t told; /* the number of the event that told it, 0: from `status` */
};

struct checks {
    struct check rows[CHECKS_MAX];
    size_t count;
    struct check_service services[CHECKS_MAX];
    size_t service_count;
    uint64_t events; /* told so far */
};

const char *check_kind_word(enum check_kind k);

/* Replaces the table by an answer to `checks`. 0: it is the same as before; 1: it is another, and
 * every struct check taken before is void; -EBADMSG (and the old table stays) when it is no table,
 * -ENOMEM. */
int checks_load(struct checks *t, const char *json, size_t len, uint64_t now_ms);
void checks_release(struct checks *t);

/* A service's new state. `asked` is checks_now() of when `status` was asked, for a state that comes
 * from there: an event told since then is newer. For an event itself: CHECK_NEVER. */
void checks_state(struct checks *t, const char *service, const char *state, uint64_t asked,
                  uint64_t now_ms);
uint64_t checks_now(const struct checks *t);
/* PID 1 is gone: nothing is known, nothing runs. */
void checks_forget(struct checks *t);

/* The next check to start now, marked as running; NULL: none, then `*ret_wait_ms` says for how long
 * (CHECK_NEVER: until something changes). */
struct check *checks_take(struct checks *t, uint64_t now_ms, uint64_t *ret_wait_ms);
/* It has ended; true when its result is to be reported. It is not when the service has moved on
 * meanwhile. `refused`: nobody listens yet. A readiness check then tries again after
 * CHECK_EAGER_MS, for CHECK_EAGER_FOR_MS, since waiting for its interval would delay the start;
 * what it finds counts once an interval. */
#define CHECK_EAGER_MS     25
#define CHECK_EAGER_FOR_MS 30000
bool checks_done(struct check *c, bool refused, uint64_t now_ms);
