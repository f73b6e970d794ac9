/* The services' sandboxes, seen from PID 1: what the kernel has for them, what was told of them. */
#include <stdio.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/core/jsonw.h"
#include "supervisor/init/supervisor.h"

bool sandboxes_refused(const struct supervisor *sv, const struct plan *p, char *why, size_t size)
{
    for (uint32_t i = 0; p->header->sandbox_require && i < p->header->profiles; i++) {
        struct sandbox sandbox;
        struct sandbox_report r;
        char reason[160];
        plan_sandbox(p, i, &sandbox);
        sandbox_foresee(&sandbox, &sv->kernel, &r);
        enum sandbox_part part = sandbox_first_unavailable(&r);
        if (part == SANDBOX_PART_MAX)
            continue;
        sandbox_why(part, r.error[part], &sv->kernel, reason, sizeof reason);
        (void)snprintf(why, size, "sandbox.require is true, but profile %.60s cannot have '%s': %s",
                       sandbox_name(&sandbox), sandbox_part_names[part], reason);
        return true;
    }
    return false;
}

void sandboxes_tell(struct supervisor *sv, const struct plan *p)
{
    for (uint32_t i = 0; i < p->header->profiles; i++) {
        struct sandbox sandbox;
        struct sandbox_report r;
        char text[256] = "", reason[160];
        size_t len = 0;
        plan_sandbox(p, i, &sandbox);
        sandbox_foresee(&sandbox, &sv->kernel, &r);
        for (int k = 0; k < SANDBOX_PART_MAX; k++)
            if (r.state[k] == SANDBOX_UNAVAILABLE && len < sizeof text)
                len += (size_t)snprintf(text + len, sizeof text - len, "%s%s", len ? ", " : "",
                                        sandbox_part_names[k]);
        enum sandbox_part first = sandbox_first_unavailable(&r);
        if (first == SANDBOX_PART_MAX)
            continue;
        sandbox_why(first, r.error[first], &sv->kernel, reason, sizeof reason);
        say(sv, LOG_LEVEL_WARN, "sandbox %s goes without: %s (%s)", sandbox_name(&sandbox), text,
            reason);
    }
}

static void put_part(struct jsonw *w, const struct supervisor *sv, const struct sandbox_report *r,
                     enum sandbox_part part)
{
    char detail[160] = "";
    if (r->state[part] == SANDBOX_UNAVAILABLE)
        sandbox_why(part, r->error[part], &sv->kernel, detail, sizeof detail);
    else if (part == SANDBOX_PART_FILES && r->rules)
        (void)snprintf(detail, sizeof detail, "%u rules, %u paths are not there", r->rules,
                       r->missing);
    jsonw_object(w, NULL);
    jsonw_str(w, "name", sandbox_part_names[part]);
    jsonw_str(w, "state", sandbox_state_names[r->state[part]]);
    jsonw_str(w, "detail", detail);
    jsonw_object_end(w);
}

/* What its program told when it entered; before the first start, what is to be expected. */
void sandbox_status(struct jsonw *w, const struct service *s)
{
    struct sandbox sandbox;
    struct sandbox_report r = s->proc.report;
    bool has = peer_sandbox(s, &sandbox);
    if (has && !s->proc.sandboxed)
        sandbox_foresee(&sandbox, &s->sv->kernel, &r);
    jsonw_object(w, "sandbox");
    jsonw_str(w, "profile", has ? sandbox_name(&sandbox) : "none");
    jsonw_bool(w, "entered", has && s->proc.sandboxed);
    jsonw_array(w, "parts");
    for (int i = 0; has && i < SANDBOX_PART_MAX; i++)
        put_part(w, s->sv, &r, (enum sandbox_part)i);
    jsonw_array_end(w);
    means_status(w, s);
    jsonw_object_end(w);
}
