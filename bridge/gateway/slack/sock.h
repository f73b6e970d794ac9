/* Socket Mode: one live connection at nearly all times, acknowledgements before work. */
#pragma once

#include "base/core/error.h"
#include "base/json/json.h"

#include <stdbool.h>

struct slack;
struct sock;

int sock_new(struct sock **ret, struct slack *s, struct error *e);
void sock_start(struct sock *k);
void sock_stop(struct sock *k); /* says goodbye; for good */
void sock_free(struct sock *k);
