/* Clocks. Deadlines are monotonic; the wall clock is only for what people and peers read. */
#pragma once

#include <stddef.h>
#include <stdint.h>

uint64_t clock_mono_ms(void); /* CLOCK_MONOTONIC, milliseconds */
uint64_t clock_mono_us(void); /* CLOCK_MONOTONIC, microseconds */
int64_t clock_wall_ms(void);  /* CLOCK_REALTIME, milliseconds since 1970 */

#define CLOCK_RFC3339_SIZE 32
/* The present in UTC as RFC 3339 with microseconds, "2026-01-02T03:04:05.000006Z". */
void clock_rfc3339(char out[CLOCK_RFC3339_SIZE]);
/* The same for a given wall time in microseconds since 1970. */
void clock_rfc3339_at(char out[CLOCK_RFC3339_SIZE], int64_t wall_us);
