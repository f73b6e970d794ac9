/* What services say of themselves: notes that they left with PID 1. */
#include "acceptance/acceptance.h"
#include "base/opencode/api.h"

#include <string.h>

cJSON *note_of(const cJSON *status, const char *service, const char *key)
{
    const cJSON *s;
    cJSON_ArrayForEach (s, json_arr(status, "services")) {
        if (strcmp(json_str(s, "name", ""), service) != 0)
            continue;
        const char *text = json_str(json_obj(s, "notes"), key, NULL);
        cJSON *json = NULL;
        if (text && json_parse(&json, text, strlen(text), NULL) == 0)
            return json;
    }
    return NULL;
}

double note_number_now(const char *service, const char *key, const char *path)
{
    _cleanup_json_ cJSON *status = NULL;
    if (pid1_call((const char *[]){ "status", NULL }, &status, NULL) < 0)
        return -1;
    _cleanup_json_ cJSON *note = note_of(status, service, key);
    const cJSON *n = json_at(note, path);
    return cJSON_IsNumber(n) ? n->valuedouble : -1;
}
