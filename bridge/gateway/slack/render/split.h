/* Long Markdown becomes pages that fit into messages. Pure. A page ends where people would end it:
 * at a heading or between paragraphs, else between lines, else between words; a code block stays
 * whole. All pages together are the text, byte for byte. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct split_limits {
    size_t target; /* characters that a page should have at most */
    size_t most;   /* that a page with one whole code block may have */
};

struct split_page {
    size_t len; /* bytes; 0 only for an empty text */
    bool open;  /* it goes to the end of the text, and more text may still belong to it */
    bool large; /* one code block above `most`: no message holds it */
};

/* The first page of `text`, which begins outside of any code block. What was a closed page stays
 * the same page however much text follows. */
struct split_page split_first(const char *text, const struct split_limits *limits);

/* How many characters a message counts for these bytes. */
size_t split_points(const char *text, size_t len);
