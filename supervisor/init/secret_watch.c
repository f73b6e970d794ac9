/* A mounted Secret that changes: its file is read again by the helper that watches the volumes, and
 * the services that have the secret start anew with it. */
#include "supervisor/init/secret_watch.h"

#include <stdio.h>
#include <string.h>

#include "base/core/cleanup.h"

/* OpenCode's own are not taken over: a restart would end its running turns, and whoever talks to it
 * must have the same as it. */
static bool can_change(const struct secret_store *s, size_t row)
{
    int readers = secret_table[row].readers;
    return s->files[row] && !s->given[row] &&
           !(readers & (SECRET_FOR_OPENCODE | SECRET_FOR_OPENCODE_ENV));
}

void secret_watch_look(const struct supervisor *sv, int fd)
{
    for (size_t i = 0; i < secret_count(); i++) {
        _cleanup_free_ char *value = NULL;
        const char *now = sv->secrets.values[i];
        _cleanup_buf_ struct buf pair = BUF_INIT;
        if (!can_change(&sv->secrets, i) || secret_store_read_file(&sv->secrets, i, &value) < 0 ||
            (now && strcmp(now, value) == 0))
            continue;
        buf_printf(&pair, "%s=%s", secret_table[i].name, value);
        if (!pair.failed)
            (void)helper_put(fd, WATCH_SECRET, pair.data, pair.len);
    }
}

static void restart_readers(struct supervisor *sv, const struct secret_spec *spec)
{
    char why[96];
    (void)snprintf(why, sizeof why, "its secret %s changed", spec->name);
    for (struct service *s = sv->services; s; s = s->next)
        if ((s->cfg->secret_readers & (uint32_t)spec->readers) && !s->removed &&
            s->cfg->type == PLAN_TYPE_DAEMON && s->state != SERVICE_STOPPED)
            service_event(s, EV_RESTART, why);
}

void secret_watch_take(struct supervisor *sv, const void *data, size_t len)
{
    _cleanup_free_ char *pair = strndup(data, len);
    char *eq = pair ? strchr(pair, '=') : NULL;
    if (!eq || sv->phase != PHASE_RUNNING)
        return;
    *eq = '\0';
    const struct secret_spec *spec = secret_find(pair);
    if (spec && can_change(&sv->secrets, (size_t)(spec - secret_table)) &&
        secret_store_set(&sv->secrets, pair, eq + 1) == 0) {
        (void)mask_add(&sv->logs.mask, eq + 1);
        say(sv, LOG_LEVEL_INFO, "the secret %s changed in its file", pair);
        restart_readers(sv, spec);
    }
    explicit_bzero(pair, len);
}
