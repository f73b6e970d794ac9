#include "base/core/clock.h"
#include "bridge/gateway/store/query.h"

#include <errno.h>

int store_prompt_put(struct store *s, const char *pod, const char *message_id,
                     const char *connector, const char *name)
{
    int r = query_run(s,
                      "INSERT OR REPLACE INTO prompts (pod, id, connector, name, time_ms) VALUES "
                      "(?, ?, ?, ?, ?)",
                      "ssssl", pod, message_id, connector, name, clock_wall_ms());
    return r < 0 ? r : 0;
}

int store_prompt_get(struct store *s, const char *pod, const char *message_id,
                     int (*fn)(void *data, const char *connector, const char *name), void *data)
{
    _cleanup_query_ struct query q = { 0 };
    int r = query_begin(&q, s, "SELECT connector, name FROM prompts WHERE pod = ? AND id = ?", "ss",
                        pod, message_id);
    if (r == 0)
        r = query_step(&q);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    return fn(data, query_text(&q, 0), query_text(&q, 1));
}
