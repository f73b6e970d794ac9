#include "bridge/state/note.h"

#include "base/core/buf.h"
#include "base/core/cleanup.h"
#include "base/core/control.h"
#include "base/core/jsonw.h"
#include "base/core/log.h"

#include <stdio.h>
#include <string.h>

#define SEND_MS 1000

static void say_remote(struct note *n, const struct settings *s, const struct remote *r)
{
    char url[160];
    gitrepo_url_display(s->url, url, sizeof url);
    if (r->state == n->said)
        return;
    if (r->state == REMOTE_CURRENT && n->said == REMOTE_STARTING)
        log_info("the sessions' states are pushed to %s", url);
    else if (r->state == REMOTE_CURRENT)
        log_info("%s has all commits again", url);
    else if (r->state == REMOTE_CONFLICT)
        log_warn("%s, at %s: our commits go to the branch %s; merge it there", r->reason, url,
                 s->side);
    else
        log_warn("%s %s: %s; trying again, commits wait here", url,
                 r->state == REMOTE_REFUSED ? "refuses" : "is away", r->reason);
    n->said = r->state;
}

static void say_local(struct note *n, const char *local)
{
    if (*local && !n->said_local)
        log_warn("%s; trying again, nothing is lost", local);
    else if (!*local && n->said_local)
        log_info("the sessions' states can be kept again");
    n->said_local = *local;
}

static void facts_text(const struct settings *s, const struct note_facts *f, struct buf *out)
{
    const struct remote *r = f->remote;
    struct jsonw w = JSONW_INIT(out);
    char url[160];
    gitrepo_url_display(s->url, url, sizeof url);
    jsonw_object(&w, NULL);
    jsonw_str(&w, "state", *f->local ? "failing" : remote_state_name(r->state));
    jsonw_str(&w, "reason", *f->local ? f->local : r->reason);
    jsonw_str(&w, "remote", url);
    jsonw_str(&w, "branch", r->aside ? s->side : s->branch);
    jsonw_uint(&w, "unpushed", (uint64_t)r->unpushed);
    jsonw_uint(&w, "commits", f->commits);
    jsonw_uint(&w, "pushes", r->pushes);
    jsonw_uint(&w, "failures", r->failed);
    jsonw_uint(&w, "pushed_ms", (uint64_t)f->pushed_ms);
    jsonw_object_end(&w);
}

void note_tell(struct note *n, const struct settings *s, const struct note_facts *facts)
{
    _cleanup_buf_ struct buf text = BUF_INIT, answer = BUF_INIT;
    say_remote(n, s, facts->remote);
    say_local(n, facts->local);
    facts_text(s, facts, &text);
    if (text.failed || strcmp(n->sent, buf_str(&text)) == 0)
        return;
    const char *words[] = { "annotate", "session-state", "git", buf_str(&text), NULL };
    if (control_call(words, SEND_MS, &answer, NULL) == 0) /* alone, nobody asks */
        (void)snprintf(n->sent, sizeof n->sent, "%s", buf_str(&text));
}
