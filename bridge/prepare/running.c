#include "bridge/prepare/running.h"

#include "base/core/cleanup.h"
#include "base/core/control.h"
#include "base/json/json.h"

#include <string.h>

#define ASK_MS 2000

bool opencode_runs(void)
{
    const char *const words[] = { "status", NULL };
    struct error e = ERROR_INIT;
    _cleanup_buf_ struct buf answer = BUF_INIT_MAX((size_t)1 << 20);
    _cleanup_json_ cJSON *status = NULL;
    const cJSON *s;
    if (control_call(words, ASK_MS, &answer, &e) < 0 ||
        json_parse(&status, buf_str(&answer), answer.len, &e) < 0)
        return false;
    cJSON_ArrayForEach (s, json_arr(status, "services"))
        if (strcmp(json_str(s, "name", ""), "opencode") == 0)
            return json_int(s, "pid", 0) > 0;
    return false;
}
