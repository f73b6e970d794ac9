/* What the gateway's log lines are about: a request, a turn. */
#include "bridge/gateway/core/private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void request_about(struct request_about *a, const char *pod, const char *id, const char *session_id)
{
    trace_derive(id, &a->ids);
    a->about = (struct log_about){
        .id = { [LOG_TRACE_ID] = a->ids.trace_id,
                [LOG_SPAN_ID] = a->ids.span_id,
                [LOG_SESSION] = session_id,
                [LOG_POD] = pod },
    };
    log_enter(&a->about);
}

void request_about_leave(struct request_about *a)
{
    log_leave(&a->about);
}

/* ---------------------------------------------------------------- turns */

/* The prompt that a session works on, by a hash of its key: what another one overwrites only costs
 * lines their trace. */
struct turn {
    char session[64], message[64];
};

static struct turn *turn_slot(struct core *core, const char *pod, const char *session_id)
{
    uint32_t h = 2166136261U; /* FNV-1a */
    for (const char *p = pod; *p; p++)
        h = (h ^ (unsigned char)*p) * 16777619U;
    for (const char *p = session_id; *p; p++)
        h = (h ^ (unsigned char)*p) * 16777619U;
    return &core->turns[h % CORE_TURNS];
}

void turn_begins(struct core *core, const char *pod, const char *session_id, const char *message_id)
{
    if (!core->turns)
        core->turns = calloc(CORE_TURNS, sizeof *core->turns);
    struct turn *t = core->turns ? turn_slot(core, pod, session_id) : NULL;
    if (!t || strlen(session_id) >= sizeof t->session || strlen(message_id) >= sizeof t->message)
        return;
    (void)snprintf(t->session, sizeof t->session, "%s", session_id);
    (void)snprintf(t->message, sizeof t->message, "%s", message_id);
}

void turn_about(struct request_about *a, struct core *core, const char *pod, const char *session_id)
{
    const struct turn *t = core->turns ? turn_slot(core, pod, session_id) : NULL;
    a->about = (struct log_about){ .id = { [LOG_SESSION] = session_id, [LOG_POD] = pod } };
    if (t && strcmp(t->session, session_id) == 0) {
        trace_derive(t->message, &a->ids);
        a->about.id[LOG_TRACE_ID] = a->ids.trace_id;
        a->about.id[LOG_SPAN_ID] = a->ids.span_id;
    }
    log_enter(&a->about);
}
