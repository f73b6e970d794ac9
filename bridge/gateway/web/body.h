/* The bodies of requests: bounded JSON objects, checked field by field. */
#pragma once

#include "base/core/error.h"
#include "base/json/json.h"

#define BODY_MAX    ((size_t)256 << 10)
#define PROMPT_MAX  50000 /* characters */
#define ANSWERS_MAX 16    /* questions in one request */
#define LABELS_MAX  32    /* answers to one question */

struct body_error {
    int status;       /* 400, 413, 422 */
    const char *code; /* static */
    struct error e;
};

/* Exactly one object. 0, or -1 with `e`. */
int body_parse(cJSON **ret, const char *text, size_t len, struct body_error *e);

struct body_start {
    const char *directory, *title, *prompt, *agent, *model, *pod; /* NULL: absent */
};
struct body_message {
    const char *text;
};
struct body_login {
    const char *token, *name;
};
struct body_decision {
    const char *decision, *reason; /* decision: "once", "always", "reject", "answer" */
    const cJSON *answers;          /* [["label",…],…]; NULL: absent */
};

/* Each: the strings belong to `j`. 0, or -1 with `e`: an unknown field, a wrong type, too long,
 * missing. */
int body_read_start(const cJSON *j, struct body_start *ret, struct body_error *e);
int body_read_message(const cJSON *j, struct body_message *ret, struct body_error *e);
int body_read_login(const cJSON *j, struct body_login *ret, struct body_error *e);
/* "auto", "slack" or "web". */
int body_read_focus(const cJSON *j, const char **ret, struct body_error *e);
int body_read_decision(const cJSON *j, struct body_decision *ret, struct body_error *e);
