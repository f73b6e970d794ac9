#include "bridge/gateway/link/private.h"

#include <math.h>
#include <string.h>

#define INTEGER_MAX 9007199254740992.0 /* 2^53 */

const char *frame_opt(const cJSON *frame, const char *key, size_t max)
{
    const cJSON *j = cJSON_GetObjectItemCaseSensitive(frame, key);
    if (!j || cJSON_IsNull(j))
        return "";
    if (!cJSON_IsString(j) || strlen(j->valuestring) > max)
        return NULL;
    return j->valuestring;
}

const char *frame_str(const cJSON *frame, const char *key, size_t max)
{
    const char *s = frame_opt(frame, key, max);
    return s && *s ? s : NULL;
}

int64_t frame_int(const cJSON *frame, const char *key)
{
    const cJSON *j = cJSON_GetObjectItemCaseSensitive(frame, key);
    if (!cJSON_IsNumber(j) || !(j->valuedouble >= 0 && j->valuedouble <= INTEGER_MAX))
        return -1;
    int64_t n = (int64_t)j->valuedouble;
    return (double)n < j->valuedouble ? -1 : n;
}

char *frame_detail(const cJSON *from, const char *const *keys)
{
    _cleanup_json_ cJSON *detail = cJSON_CreateObject();
    for (; detail && *keys; keys++) {
        const cJSON *j = cJSON_GetObjectItemCaseSensitive(from, *keys);
        if (!j)
            continue;
        cJSON *copy = cJSON_Duplicate(j, true);
        if (!copy || !cJSON_AddItemToObject(detail, *keys, copy)) {
            cJSON_Delete(copy);
            return NULL;
        }
    }
    return detail ? json_print(detail) : NULL;
}
