/* An error that a person will read: a negative errno and one sentence. Passed last, may be NULL. */
#pragma once

struct error {
    int code;          /* negative errno, 0: none */
    char message[480]; /* one line, no newline, no secret */
};

#define ERROR_INIT ((struct error){ 0 })

/* Fills `e` (if not NULL) and returns `code`, so that `return error_set(e, -EINVAL, …);` works.
 * `code` is a negative errno. Longer messages are cut. */
int error_set(struct error *e, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The same, with ": <strerror(-code)>" appended. */
int error_set_errno(struct error *e, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
