/* rooms: supervisor/init base/json base/core */
#include "base/core/utf8.h"
#include "base/json/json.h"
#include "supervisor/init/logline.h"
#include "tests/fuzz/fuzz.h"

/* Where the two judges are known to differ: cJSON wants surrogates in pairs, and reads no number of
 * more than 63 bytes. */
static bool may_differ(const char *text, size_t len)
{
    size_t run = 0;
    for (size_t i = 0; i < len; i++) {
        run = memchr("0123456789+-.eE", text[i], 15) ? run + 1 : 0;
        if (run >= 63 || text[i] == '\\')
            return true;
    }
    return false;
}

/* PID 1 puts a service's JSON into its own lines as it is, so what it takes for JSON must be JSON
 * to everybody. Held against cJSON. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct logline_json found = { 0 };
    _cleanup_json_ cJSON *j = NULL;
    struct error e = ERROR_INIT;
    const char *text = (const char *)data;
    if (size > FUZZ_INPUT_MAX)
        return 0;
    bool ours = logline_json_object(text, size, &found);
    int theirs = json_parse(&j, text, size, &e);
    REQUIRE(theirs == 0 || *e.message);
    if (theirs == 0) {
        _cleanup_free_ char *again = json_print(j);
        _cleanup_json_ cJSON *k = NULL;
        REQUIRE(again && utf8_valid(again, strlen(again)));
        REQUIRE(json_parse(&k, again, strlen(again), &e) == 0);
    }
    if (!ours)
        return 0;
    REQUIRE(utf8_valid(text, size));
    const struct span spans[] = { found.level, found.msg };
    for (size_t i = 0; i < ARRAY_SIZE(spans); i++)
        if (spans[i].at)
            REQUIRE(spans[i].at > text && spans[i].len >= 2 && spans[i].at[0] == '"' &&
                    spans[i].at[spans[i].len - 1] == '"' &&
                    spans[i].at + spans[i].len < text + size);
    if (may_differ(text, size))
        return 0;
    REQUIRE(theirs == 0 && cJSON_IsObject(j));
    REQUIRE((size_t)cJSON_GetArraySize(j) == found.keys);
    return 0;
}
