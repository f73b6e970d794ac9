/* Helpers over cJSON: typed getters that tell absent from wrong, bounded parsing, owned printing.
 */
#pragma once

#include "base/core/cleanup.h"
#include "base/core/error.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline void json_delete_ptr(cJSON **j)
{
    cJSON_Delete(*j);
}
#define _cleanup_json_ _cleanup_(json_delete_ptr)

/* Parses exactly one JSON value: valid UTF-8, nesting at most 64, nothing behind it but white
 * space. 0, -EBADMSG with the place, -ENOMEM. */
int json_parse(cJSON **ret, const char *text, size_t len, struct error *e);

/* Compact text, malloc'ed; NULL when out of memory. */
char *json_print(const cJSON *j);

/* The member as a string, number or bool; `fallback` when absent, null, or of another type. The
 * string belongs to `j`. */
const char *json_str(const cJSON *j, const char *key, const char *fallback);
double json_num(const cJSON *j, const char *key, double fallback);
int64_t json_int(const cJSON *j, const char *key, int64_t fallback);
bool json_bool(const cJSON *j, const char *key, bool fallback);
/* The member if it is an object / array, else NULL. */
const cJSON *json_obj(const cJSON *j, const char *key);
const cJSON *json_arr(const cJSON *j, const char *key);
/* Follows a path of object members, "payload.user.id". NULL when it breaks off. */
const cJSON *json_at(const cJSON *j, const char *path);
const char *json_str_at(const cJSON *j, const char *path, const char *fallback);

/* Adds only when `value` is not NULL. */
void json_add_str(cJSON *j, const char *key, const char *value);
