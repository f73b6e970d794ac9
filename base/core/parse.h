/* The one strict parser of numbers, durations and sizes: the whole string or an error. */
#pragma once

#include <stdint.h>

/* Decimal, no sign, no spaces. -EINVAL malformed, -ERANGE outside [min, max]. */
int parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret);

/* "250ms", "5s", "2m", "1h", or a number of seconds ("0.5", "30") → milliseconds. */
int parse_duration_ms(const char *s, uint64_t *ret_ms);

/* "123", "64KiB", "256MiB", "2GiB", "1TiB" → bytes. */
int parse_size(const char *s, uint64_t *ret_bytes);

/* "true"/"false", "1"/"0", "yes"/"no", "on"/"off". */
int parse_bool(const char *s, int *ret);
