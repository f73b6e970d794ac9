/* Who wrote a prompt, and where: what leaves through the gateway is noted before, by its message id
 * in the store. Where OpenCode chooses the id (the API, bridges of the first generation) it is told
 * by session and text, from memory: what a restart forgets was "in OpenCode". */
#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/log.h"
#include "bridge/gateway/core/private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define RECENT_MS 600000 /* a prompt comes back as an event within */

static uint64_t hash(const char *s)
{
    uint64_t h = 14695981039346656037ULL; /* FNV-1a */
    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * 1099511628211ULL;
    return h;
}

void origin_note(struct core *core, const char *pod, const char *session_id, const char *text,
                 const char *message_id, const struct actor *actor)
{
    struct origin *o = &core->origins[core->next_origin++ % CORE_ORIGINS_MAX];
    *o = (struct origin){ .session = hash(session_id),
                          .text = hash(text),
                          .time_ms = clock_mono_ms() };
    (void)snprintf(o->connector, sizeof o->connector, "%s", actor->connector);
    (void)snprintf(o->name, sizeof o->name, "%s", actor->name ? actor->name : "");
    int r =
        message_id ? store_prompt_put(core->store, pod, message_id, actor->connector, o->name) : 0;
    if (r < 0)
        log_warn("cannot store who wrote a message: %s", strerror(-r));
}

static int take(void *data, const char *connector, const char *name)
{
    struct prompt_origin *o = data;
    (void)snprintf(o->connector, sizeof o->connector, "%s", connector);
    (void)snprintf(o->name, sizeof o->name, "%s", name);
    return 0;
}

void core_prompt_origin(struct core *core, const struct activity *a, struct prompt_origin *ret)
{
    *ret = (struct prompt_origin){ .connector = "opencode" };
    if (store_prompt_get(core->store, a->pod, a->message_id, take, ret) == 0)
        return;
    uint64_t now = clock_mono_ms(), session = hash(a->session_id), text = hash(a->text);
    for (size_t i = 0; i < CORE_ORIGINS_MAX; i++) {
        struct origin *o = &core->origins[i];
        if (!*o->connector || o->session != session || o->text != text ||
            now - o->time_ms > RECENT_MS)
            continue;
        (void)take(ret, o->connector, o->name);
        /* From now on by its id; the same text again is somebody else's, perhaps. */
        (void)store_prompt_put(core->store, a->pod, a->message_id, o->connector, o->name);
        o->connector[0] = '\0';
        return;
    }
}
