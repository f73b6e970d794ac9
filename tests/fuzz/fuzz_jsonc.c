/* rooms: bridge/prepare supervisor/init base/json supervisor/sandbox base/core */
#include <errno.h>

#include "base/json/json.h"
#include "bridge/prepare/jsonc.h"
#include "supervisor/init/logline.h"
#include "tests/fuzz/fuzz.h"

/* Strict JSON is not touched: PID 1's judge of JSON objects is stricter than cJSON. */
static bool strict(const char *text, size_t len)
{
    struct logline_json found;
    return logline_json_object(text, len, &found);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz in = fuzz_of(data, size);
    struct error e = ERROR_INIT;
    size_t len = 0;
    char place[48];
    if (size > FUZZ_INPUT_MAX)
        return 0;
    _cleanup_free_ char *text = fuzz_rest(&in, &len);
    bool before = strict(text, len);
    int r = jsonc_strip(text, len, &e);
    REQUIRE(r == 0 || (r == -EBADMSG && !before && strncmp(e.message, "line ", 5) == 0));
    REQUIRE(text[len] == '\0');
    size_t changed = 0;
    for (size_t i = 0; i < len; i++) {
        REQUIRE(text[i] == (char)data[i] || (text[i] == ' ' && data[i] != '\n'));
        changed += text[i] != (char)data[i];
    }
    REQUIRE(!before || !changed);
    _cleanup_json_ cJSON *j = NULL;
    if (r == 0 && json_parse(&j, text, len, &e) < 0)
        REQUIRE(*e.message);
    jsonc_place((const char *)data, len ? len - 1 : 0, place, sizeof place);
    REQUIRE(strncmp(place, "line ", 5) == 0);
    return 0;
}
