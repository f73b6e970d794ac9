/* Ids by which what belongs together is found again in the logs of several programs, in the form of
 * W3C Trace Context (https://www.w3.org/TR/trace-context/): lower-case hex digits, never all zero.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define TRACE_ID_SIZE 33 /* 32 digits and the NUL */
#define SPAN_ID_SIZE  17

bool trace_id_fits(const char *text, size_t len);
bool span_id_fits(const char *text, size_t len);

/* A random trace id. 0 or -errno. */
int trace_new(char ret[TRACE_ID_SIZE]);

/* The header `traceparent`. */
struct traceparent {
    char trace_id[TRACE_ID_SIZE], parent_id[SPAN_ID_SIZE];
    bool sampled;
};
/* False: not of the form that the recommendation (§3.2) demands, to the letter. A later version
 * than 00 may have more at its end. NULL is no header. */
bool traceparent_parse(const char *header, struct traceparent *ret);
