/* One of npm's output pipes, cut into log lines, with an eye on why it may fail. */
#pragma once

#include <stddef.h>

#define NPM_LINE 1024

struct npm_output {
    int fd; /* not owned; -1 after its end */
    char line[NPM_LINE];
    size_t len;
    unsigned lines;  /* logged so far; a flood is cut off */
    char error[400]; /* first line of npm's own complaint */
    char last[400];  /* last line that is not npm's own */
};

void npm_output_begin(struct npm_output *o, int fd); /* makes `fd` non-blocking */
void npm_output_read(struct npm_output *o);          /* what is there now */
void npm_output_end(struct npm_output *o);           /* the same, and the unended line */

/* The one line that tells best why npm failed; "" when it said nothing. */
const char *npm_output_reason(const struct npm_output *err, const struct npm_output *out);
