#include "base/json/json.h"

#include "base/core/utf8.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define JSON_NESTING_MAX 64

/* cJSON nests up to 1000 by itself and recurses as deep; bound it before. */
static bool too_deep(const char *text, size_t len)
{
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > JSON_NESTING_MAX)
                return true;
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return false;
}

int json_parse(cJSON **ret, const char *text, size_t len, struct error *e)
{
    if (!utf8_valid(text, len))
        return error_set(e, -EBADMSG, "not valid UTF-8");
    if (memchr(text, '\0', len))
        return error_set(e, -EBADMSG, "a NUL byte in JSON");
    if (too_deep(text, len))
        return error_set(e, -EBADMSG, "nested deeper than %d", JSON_NESTING_MAX);
    const char *end = NULL;
    cJSON *j = cJSON_ParseWithLengthOpts(text, len, &end, 0);
    size_t at = end ? (size_t)(end - text) : 0;
    if (!j)
        return error_set(e, -EBADMSG, "not valid JSON at byte %zu", at);
    while (at < len && strchr(" \t\r\n", text[at]))
        at++;
    if (at < len) {
        cJSON_Delete(j);
        return error_set(e, -EBADMSG, "something behind the JSON value at byte %zu", at);
    }
    *ret = j;
    return 0;
}

char *json_print(const cJSON *j)
{
    return cJSON_PrintUnformatted(j);
}

static const cJSON *member(const cJSON *j, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(j, key);
}

const char *json_str(const cJSON *j, const char *key, const char *fallback)
{
    const cJSON *m = member(j, key);
    return cJSON_IsString(m) ? m->valuestring : fallback;
}

double json_num(const cJSON *j, const char *key, double fallback)
{
    const cJSON *m = member(j, key);
    return cJSON_IsNumber(m) ? m->valuedouble : fallback;
}

int64_t json_int(const cJSON *j, const char *key, int64_t fallback)
{
    double d = json_num(j, key, NAN);
    return d >= -9007199254740992.0 && d <= 9007199254740992.0 ? (int64_t)d : fallback;
}

bool json_bool(const cJSON *j, const char *key, bool fallback)
{
    const cJSON *m = member(j, key);
    return cJSON_IsBool(m) ? cJSON_IsTrue(m) != 0 : fallback;
}

const cJSON *json_obj(const cJSON *j, const char *key)
{
    const cJSON *m = member(j, key);
    return cJSON_IsObject(m) ? m : NULL;
}

const cJSON *json_arr(const cJSON *j, const char *key)
{
    const cJSON *m = member(j, key);
    return cJSON_IsArray(m) ? m : NULL;
}

const cJSON *json_at(const cJSON *j, const char *path)
{
    char key[64];
    while (j && *path) {
        size_t n = strcspn(path, ".");
        if (n >= sizeof key)
            return NULL;
        memcpy(key, path, n);
        key[n] = '\0';
        j = member(j, key);
        path += n + (path[n] == '.');
    }
    return j;
}

const char *json_str_at(const cJSON *j, const char *path, const char *fallback)
{
    const cJSON *m = json_at(j, path);
    return cJSON_IsString(m) ? m->valuestring : fallback;
}

void json_add_str(cJSON *j, const char *key, const char *value)
{
    if (value)
        cJSON_AddStringToObject(j, key, value);
}
