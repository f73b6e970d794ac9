#include "bridge/prepare/running.h"

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/control.h"
#include "base/core/log.h"
#include "base/json/json.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#define ASK_MS   2000
#define STOP_MS  60000
#define RETRY_MS 100

enum answer { RUNS_NOT, RUNS, STOPS };

static enum answer look(void)
{
    const char *const words[] = { "status", NULL };
    struct error e = ERROR_INIT;
    _cleanup_buf_ struct buf answer = BUF_INIT_MAX((size_t)1 << 20);
    _cleanup_json_ cJSON *status = NULL;
    const cJSON *s;
    int r = control_call(words, ASK_MS, &answer, &e);
    if (r == -ENOENT)
        return RUNS_NOT; /* no PID 1 of ours here */
    if (r == 0)
        r = json_parse(&status, buf_str(&answer), answer.len, &e);
    if (r == 0 && !json_arr(status, "services"))
        r = error_set(&e, -EBADMSG, "its answer names no services");
    if (r < 0) {
        log_warn("⚠️ PID 1 does not say whether OpenCode runs (%s): taken as running",
                 e.message);
        return RUNS;
    }
    cJSON_ArrayForEach (s, json_arr(status, "services")) {
        if (strcmp(json_str(s, "name", ""), "opencode") != 0)
            continue;
        if (strcmp(json_str(s, "state", ""), "stopping") == 0)
            return STOPS; /* what it left behind may outlive it by a moment */
        return json_int(s, "pid", 0) > 0 ? RUNS : RUNS_NOT;
    }
    return RUNS_NOT;
}

bool opencode_runs(void)
{
    uint64_t deadline = clock_mono_ms() + STOP_MS;
    enum answer answer;
    while ((answer = look()) == STOPS && clock_mono_ms() < deadline)
        (void)poll(NULL, 0, RETRY_MS);
    return answer != RUNS_NOT;
}
