#include "bridge/gateway/slack/session_list.h"

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "bridge/gateway/slack/internal.h"
#include "bridge/gateway/slack/render/blocks.h"
#include "bridge/gateway/slack/render/permission.h"
#include "bridge/gateway/slack/render/text.h"
#include "bridge/gateway/slack/render/turn.h"
#include "bridge/gateway/slack/requests.h"
#include "bridge/gateway/slack/threads.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>

/* ---------------------------------------------------------------- which */

static bool is_busy(const struct session *s)
{
    return s->status == SESSION_BUSY || s->status == SESSION_RETRY;
}

static bool has_word(const struct session *s, const char *word)
{
    const char *places[] = { s->title, s->id, s->pod, s->directory,
                             session_status_name(s->status) };
    for (size_t i = 0; i < ARRAY_SIZE(places); i++)
        if (strcasestr(places[i], word))
            return true;
    return false;
}

static bool matches(const struct session *s, const struct list_filter *f)
{
    if (f->busy && !is_busy(s))
        return false;
    _cleanup_free_ char *copy = strdup(f->words ? f->words : "");
    char *save = NULL;
    for (char *w = copy ? strtok_r(copy, " \t\n", &save) : NULL; w;
         w = strtok_r(NULL, " \t\n", &save))
        if (!has_word(s, w))
            return false;
    return true;
}

struct finding {
    const struct list_filter *filter;
    struct list_match *first;
    size_t count;
};

static int find_one(void *data, const struct session *s)
{
    struct finding *f = data;
    if (!matches(s, f->filter))
        return 0;
    if (f->count++ == 0)
        *f->first = (struct list_match){ strdup(s->pod), strdup(s->id), strdup(s->title) };
    return 0;
}

size_t list_find(struct slack *s, const struct list_filter *filter, struct list_match *ret)
{
    *ret = (struct list_match){ 0 };
    struct finding f = { filter, ret, 0 };
    (void)core_each_session(s->core, find_one, &f);
    if (f.count && (!ret->pod || !ret->id || !ret->title))
        return 0;
    return f.count;
}

void list_match_release(struct list_match *m)
{
    free(m->pod);
    free(m->id);
    free(m->title);
}

/* ---------------------------------------------------------------- how it looks */

static const char *const marks[SESSION_STATUS_MAX] = {
    [SESSION_IDLE] = ":white_circle: ready",
    [SESSION_BUSY] = ":large_blue_circle: at work",
    [SESSION_RETRY] = ":large_yellow_circle: the model is away, trying again",
    [SESSION_ERROR] = ":red_circle: the last turn failed",
    [SESSION_GONE] = ":black_circle: gone from OpenCode",
};

static void put_ago(struct buf *out, int64_t then_ms)
{
    int64_t min = (clock_wall_ms() - then_ms) / 60000;
    if (min < 1)
        buf_puts(out, "just now");
    else if (min < 60)
        buf_printf(out, "%" PRId64 " min ago", min);
    else if (min < 48 * 60)
        buf_printf(out, "%" PRId64 " h ago", min / 60);
    else
        buf_printf(out, "%" PRId64 " days ago", min / 1440);
}

static bool put_address(const struct slack *s, struct buf *out, const char *channel, const char *ts)
{
    if (!s->team_url || !*s->team_url)
        return false;
    buf_printf(out, "%sarchives/%s/p", s->team_url, channel);
    for (const char *c = ts; *c; c++)
        if (*c != '.')
            buf_putc(out, *c);
    return true;
}

static void put_title(struct buf *out, const char *title)
{
    size_t from = out->len;
    (void)text_put(out, *title ? title : "OpenCode session", 80, TEXT_ESCAPE | TEXT_ONE_LINE);
    for (size_t i = from; i < out->len; i++)
        if (out->data[i] == '|') /* ends the address of a link */
            out->data[i] = '/';
}

void list_put_link(struct slack *s, struct buf *out, const char *pod, const char *id,
                   const char *title)
{
    char channel[40], ts[40];
    _cleanup_buf_ struct buf link = BUF_INIT;
    bool linked =
        threads_place(s->threads, pod, id, channel, ts) == 0 && put_address(s, &link, channel, ts);
    if (linked)
        buf_printf(out, "<%s|", buf_str(&link));
    else
        buf_putc(out, '*');
    put_title(out, title);
    buf_putc(out, linked ? '>' : '*');
}

struct pods {
    char *first;
    bool several;
};

static int see_pod(void *data, const struct session *s)
{
    struct pods *p = data;
    if (!p->first)
        p->first = strdup(s->pod);
    else if (strcmp(p->first, s->pod) != 0)
        p->several = true;
    return p->several;
}

/* ---------------------------------------------------------------- lists */

struct listing {
    struct slack *s;
    cJSON *blocks;
    const struct list_filter *filter;
    bool buttons, several_pods;
    size_t count;
};

/* A section with a button at its side. */
static void add_session(struct listing *l, const struct session *s)
{
    _cleanup_buf_ struct buf line = BUF_INIT, value = BUF_INIT;
    char channel[40], ts[40];
    list_put_link(l->s, &line, s->pod, s->id, s->title);
    buf_printf(&line, "\n%s \xc2\xb7 ", marks[s->status]);
    put_ago(&line, s->updated_ms);
    buf_puts(&line, " \xc2\xb7 ");
    (void)text_put(&line, s->directory, 60, TEXT_ESCAPE | TEXT_ONE_LINE);
    if (l->several_pods) {
        buf_puts(&line, " \xc2\xb7 pod ");
        (void)text_put(&line, s->pod, 60, TEXT_ESCAPE | TEXT_ONE_LINE);
    }
    permission_value(&value, s->pod, s->id);
    bool threadless = threads_place(l->s->threads, s->pod, s->id, channel, ts) < 0;
    struct blocks_button button = {
        .action_id = is_busy(s) ? ACTION_STOP : ACTION_RESUME,
        .label = is_busy(s) ? "Stop" : "Open thread",
        .value = buf_str(&value),
    };
    bool useful = is_busy(s) || (threadless && s->status != SESSION_GONE);
    blocks_add_section_button(l->blocks, buf_str(&line), l->buttons && useful ? &button : NULL);
}

static int list_one(void *data, const struct session *s)
{
    struct listing *l = data;
    if (matches(s, l->filter) && l->count++ < LIST_MAX)
        add_session(l, s);
    return 0;
}

size_t list_add_sessions(struct slack *s, cJSON *blocks, const struct list_filter *f, bool buttons)
{
    struct pods pods = { 0 };
    (void)core_each_session(s->core, see_pod, &pods);
    free(pods.first);
    struct listing l = { s, blocks, f, buttons, pods.several, 0 };
    (void)core_each_session(s->core, list_one, &l);
    if (l.count > LIST_MAX) {
        _cleanup_buf_ struct buf more = BUF_INIT;
        buf_printf(&more, "%zu more: `/opencode list WORDS` shows those with these words.",
                   l.count - LIST_MAX);
        blocks_add_context(blocks, buf_str(&more), NULL);
    }
    return l.count;
}

struct requests {
    struct slack *s;
    struct buf *out;
    size_t count, max;
};

static int take_address(void *data, const struct store_place *p)
{
    const struct requests *r = data;
    _cleanup_buf_ struct buf link = BUF_INIT;
    if (put_address(r->s, &link, p->channel, p->ts))
        buf_printf(r->out, "<%s|answer>", buf_str(&link));
    return 0;
}

static int list_request(void *data, const struct request *r)
{
    struct requests *l = data;
    if (r->state != REQUEST_PENDING || l->count++ >= l->max)
        return 0;
    buf_puts(l->out, r->kind == REQUEST_QUESTION ? ":question: " : ":lock: ");
    put_title(l->out, r->session_title);
    buf_puts(l->out, ": ");
    (void)text_put(l->out, r->summary, 100, TEXT_ESCAPE | TEXT_ONE_LINE);
    buf_puts(l->out, " \xc2\xb7 ");
    put_ago(l->out, r->created_ms);
    buf_puts(l->out, " \xc2\xb7 ");
    int e = store_place_get(l->s->store, CONNECTOR, "request", r->pod, r->id, take_address, l);
    if (e == -ENOENT && !requests_known(l->s, r) && core_request_rests(l->s->core, r))
        buf_puts(l->out, "on the web page");
    buf_putc(l->out, '\n');
    return 0;
}

size_t list_put_requests(struct slack *s, struct buf *out, size_t max)
{
    struct requests l = { s, out, 0, max };
    (void)core_each_request(s->core, true, list_request, &l);
    if (l.count > max)
        buf_printf(out, "and %zu more\n", l.count - max);
    return l.count;
}

/* One that people are told of on the web page, and that has no message here. */
static int add_bring(void *data, const struct request *r)
{
    struct listing *l = data;
    _cleanup_buf_ struct buf line = BUF_INIT, value = BUF_INIT;
    if (l->count == LIST_MAX || r->state != REQUEST_PENDING || requests_known(l->s, r) ||
        !core_request_rests(l->s->core, r))
        return 0;
    buf_puts(&line, "On the web page: ");
    (void)text_put(&line, r->summary, 100, TEXT_ESCAPE | TEXT_ONE_LINE);
    permission_value(&value, r->pod, r->id);
    struct blocks_button button = { .action_id = ACTION_BRING,
                                    .label = "Show it here",
                                    .value = buf_str(&value) };
    blocks_add_section_button(l->blocks, buf_str(&line), &button);
    l->count++;
    return 0;
}

void list_add_resting(struct slack *s, cJSON *blocks)
{
    struct listing l = { .s = s, .blocks = blocks };
    (void)core_each_request(s->core, true, add_bring, &l);
}

struct details {
    struct slack *s;
    struct buf *out;
};

static int put_details(void *data, const struct session *s)
{
    struct details *d = data;
    struct buf *out = d->out;
    list_put_link(d->s, out, s->pod, s->id, s->title);
    buf_printf(out, "\n%s", marks[s->status]);
    if (*s->status_text && s->status != SESSION_IDLE) {
        buf_puts(out, ": ");
        (void)text_put(out, s->status_text, 300, TEXT_ESCAPE | TEXT_ONE_LINE);
    }
    text_put_next_try(out, s->status == SESSION_RETRY ? s->retry_at_ms : 0);
    buf_puts(out, "\nlast change ");
    put_ago(out, s->updated_ms);
    const struct {
        const char *name, *value;
    } rows[] = { { "folder", s->directory },
                 { "agent", s->agent },
                 { "model", s->model },
                 { "pod", s->pod },
                 { "id", s->id } };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (*rows[i].value) {
            buf_printf(out, "\n%s: ", rows[i].name);
            (void)text_put(out, rows[i].value, 200, TEXT_ESCAPE | TEXT_ONE_LINE);
        }
    if (s->cost > 0)
        buf_printf(out, "\ncost: $%.2f", s->cost);
    if (s->tokens > 0)
        buf_printf(out, "\ntokens: %" PRId64, s->tokens);
    return 0;
}

void list_put_details(struct slack *s, struct buf *out, const char *pod, const char *id)
{
    struct details d = { s, out };
    (void)core_with_session(s->core, pod, id, put_details, &d);
}

struct counts {
    unsigned all, busy;
};

static int count_session(void *data, const struct session *s)
{
    struct counts *c = data;
    c->all += s->status != SESSION_GONE;
    c->busy += is_busy(s);
    return 0;
}

void list_put_counts(struct slack *s, struct buf *out)
{
    struct counts c = { 0 };
    (void)core_each_session(s->core, count_session, &c);
    buf_printf(out, "%u session%s, %u at work", c.all, c.all == 1 ? "" : "s", c.busy);
}
