/* Logins of browsers, kept in memory and in the store so that they outlive a restart, and the
 * limit on failed attempts. */
#pragma once

#include "base/core/secrets.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;

#define LOGINS_MAX       64 /* the oldest goes for a new one */
#define LOGIN_LIFE_MS    ((int64_t)30 * 24 * 3600 * 1000)
#define LOGIN_NAME_CHARS 60 /* characters */

struct login {
    char key[SECRET_TEXT_SIZE];   /* in the cookie */
    char proof[SECRET_TEXT_SIZE]; /* in the page's own storage */
    char name[4 * LOGIN_NAME_CHARS + 1];
    int64_t created_ms; /* wall clock */
    uint64_t number;    /* in this process */
};

struct logins {
    struct store *store; /* NULL: in memory only */
    uint64_t mark;       /* of the token: another token ends all logins */
    uint64_t last_number;
    struct login rows[LOGINS_MAX];
    size_t count;
};

/* Reads what the store has; what does not hold any more is dropped. */
void logins_init(struct logins *l, struct store *store, const char *token, int64_t now_ms);
/* 0 or -errno; the login holds even when the store fails. `name` is cut. */
int logins_add(struct logins *l, const char *name, int64_t now_ms, const struct login **ret);
/* By the key, in constant time for each; NULL: none, or too old. */
const struct login *logins_find(const struct logins *l, const char *key, int64_t now_ms);
void logins_remove(struct logins *l, uint64_t number);
/* Wipes. */
void logins_release(struct logins *l);

#define LIMITER_ROWS      256 /* the one whose window began first goes for a new one */
#define LIMITER_FAILURES  10
#define LIMITER_WINDOW_MS 60000

struct limiter {
    struct limiter_row {
        char peer[48];
        int64_t since_ms;
        unsigned failures;
    } rows[LIMITER_ROWS];
};

void limiter_failed(struct limiter *l, const char *peer, int64_t now_ms);
/* Seconds until attempts of that peer count again; 0: they do. */
unsigned limiter_wait_s(const struct limiter *l, const char *peer, int64_t now_ms);
