#include "bridge/gateway/slack/render/permission.h"

#include "bridge/gateway/slack/render/blocks.h"
#include "bridge/gateway/slack/render/question.h"
#include "bridge/gateway/slack/render/text.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* What OpenCode asks for, in words, and which of its metadata says it exactly. */
static const struct kind {
    const char *permission, *title;
    const char *fields[2];
} kinds[] = {
    { "bash", "Run a command?", { "command", NULL } },
    { "edit", "Change a file?", { "filepath", "diff" } },
    { "write", "Write a file?", { "filepath", "diff" } },
    { "read", "Read a file?", { "filepath", NULL } },
    { "webfetch", "Fetch a web page?", { "url", NULL } },
    { "websearch", "Search the web?", { "query", NULL } },
    { "task", "Start a subagent?", { "description", NULL } },
    { "external_directory", "Use files outside of the project?", { NULL, NULL } },
    { "doom_loop", "Go on? It repeats the same step.", { NULL, NULL } },
};

static const struct kind *kind_of(const char *permission)
{
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (strcmp(kinds[i].permission, permission) == 0)
            return &kinds[i];
    return NULL;
}

static void put_title(struct buf *out, const struct request *r)
{
    const struct kind *k = kind_of(r->permission);
    if (k) {
        buf_puts(out, k->title);
    } else {
        buf_puts(out, "Use ");
        (void)text_put(out, r->permission, 60, TEXT_ESCAPE | TEXT_ONE_LINE);
        buf_putc(out, '?');
    }
}

static void put_strings(struct buf *out, const cJSON *array)
{
    const cJSON *s;
    cJSON_ArrayForEach (s, array) {
        if (cJSON_IsString(s) && *s->valuestring)
            buf_printf(out, "%s%s", out->len ? "\n" : "", s->valuestring);
    }
}

/* Exactly what is to be allowed, raw. */
static void put_detail(struct buf *out, const struct request *r, const cJSON *detail)
{
    const struct kind *k = kind_of(r->permission);
    const cJSON *meta = json_obj(detail, "metadata");
    for (size_t i = 0; k && i < ARRAY_SIZE(k->fields) && k->fields[i]; i++) {
        const char *value = json_str(meta, k->fields[i], "");
        if (*value)
            buf_printf(out, "%s%s", out->len ? "\n" : "", value);
    }
    if (!out->len)
        put_strings(out, json_arr(detail, "patterns"));
    if (!out->len)
        buf_puts(out, r->summary);
}

static void put_actor(struct buf *out, const struct actor *a)
{
    static const struct {
        const char *connector, *place;
    } places[] = {
        { "web", " on the web page" },
        { "opencode", " in OpenCode" },
        { "api", " by the API" },
        { "deadline", " by the deadline" },
    };
    const char *place = "";
    for (size_t i = 0; i < ARRAY_SIZE(places); i++)
        if (strcmp(places[i].connector, a->connector) == 0)
            place = places[i].place;
    if (strcmp(a->connector, "slack") == 0 && text_is_user_id(a->id)) {
        buf_printf(out, " by <@%s>", a->id);
    } else if (*a->name && strcasecmp(a->name, a->connector) != 0) {
        buf_puts(out, " by ");
        (void)text_put(out, a->name, 60, TEXT_ESCAPE | TEXT_ONE_LINE);
    }
    buf_puts(out, place);
}

static void put_time(struct buf *out, int64_t wall_ms)
{
    time_t s = (time_t)(wall_ms / 1000);
    struct tm tm;
    char fallback[40] = "";
    if (wall_ms > 0 && gmtime_r(&s, &tm) &&
        strftime(fallback, sizeof fallback, "%Y-%m-%d %H:%M UTC", &tm))
        buf_printf(out, ", <!date^%" PRId64 "^{date_short_pretty} {time}|%s>", (int64_t)s,
                   fallback);
}

static void put_reason(struct buf *out, const struct request *r, size_t max)
{
    if (!*r->reason)
        return;
    buf_puts(out, ": ");
    (void)text_put(out, r->reason, max, TEXT_ESCAPE | TEXT_ONE_LINE);
}

void permission_outcome(struct buf *out, const struct request *r)
{
    static const char *const deciding[OUTCOME_MAX] = {
        [OUTCOME_NONE] = "Deciding",          [OUTCOME_ONCE] = "Allowing once",
        [OUTCOME_ALWAYS] = "Allowing always", [OUTCOME_REJECT] = "Denying",
        [OUTCOME_ANSWERED] = "Answering",     [OUTCOME_GONE] = "Closing",
    };
    static const char *const settled[OUTCOME_MAX] = {
        [OUTCOME_NONE] = "Settled",          [OUTCOME_ONCE] = "Allowed once",
        [OUTCOME_ALWAYS] = "Always allowed", [OUTCOME_REJECT] = "Denied",
        [OUTCOME_ANSWERED] = "Answered",     [OUTCOME_GONE] = "No longer waiting",
    };
    bool known = (unsigned)r->outcome < OUTCOME_MAX, done = r->state == REQUEST_SETTLED;
    if (r->kind == REQUEST_QUESTION && r->outcome == OUTCOME_REJECT)
        buf_puts(out, done ? "Dismissed" : "Dismissing");
    else
        buf_puts(out, (done ? settled : deciding)[known ? r->outcome : 0]);
    if (r->outcome != OUTCOME_GONE)
        put_actor(out, &r->actor);
    if (r->outcome == OUTCOME_REJECT || r->outcome == OUTCOME_GONE)
        put_reason(out, r, 500);
    if (r->outcome == OUTCOME_ANSWERED)
        question_put_answers(out, r->answers_json);
    if (r->state == REQUEST_SETTLED)
        put_time(out, r->decided_ms);
    else
        buf_puts(out, " \xe2\x80\xa6");
}

static const char *outcome_emoji(const struct request *r)
{
    static const char *const emoji[OUTCOME_MAX] = {
        [OUTCOME_NONE] = ":white_circle:",         [OUTCOME_ONCE] = ":white_check_mark:",
        [OUTCOME_ALWAYS] = ":white_check_mark:",   [OUTCOME_REJECT] = ":no_entry:",
        [OUTCOME_ANSWERED] = ":white_check_mark:", [OUTCOME_GONE] = ":heavy_minus_sign:",
    };
    if (r->state != REQUEST_SETTLED)
        return ":hourglass_flowing_sand:";
    return emoji[(unsigned)r->outcome < OUTCOME_MAX ? r->outcome : 0];
}

void permission_value(struct buf *out, const char *pod, const char *request_id)
{
    buf_printf(out, "%s|%s", pod, request_id);
}

bool permission_value_parse(char *copy, const char **ret_pod, const char **ret_id)
{
    char *bar = strrchr(copy, '|'); /* an id of OpenCode's holds none */
    if (!bar || bar == copy || !bar[1])
        return false;
    *bar = '\0';
    *ret_pod = copy;
    *ret_id = bar + 1;
    return true;
}

static void add_buttons(cJSON *blocks, const struct request *r, const cJSON *detail)
{
    _cleanup_buf_ struct buf value = BUF_INIT, wide = BUF_INIT, text = BUF_INIT;
    permission_value(&value, r->pod, r->id);
    put_strings(&wide, json_arr(detail, "always"));
    buf_printf(&text,
               "Until OpenCode restarts, it will not ask again, in any session of this "
               "folder, for: %s",
               wide.len ? buf_str(&wide) : "all of this kind");
    const struct blocks_confirm confirm = { "Allow this always?", buf_str(&text), "Allow always",
                                            "Back" };
    const struct blocks_button buttons[] = {
        { ACTION_ONCE, "Allow once", buf_str(&value), "primary", NULL },
        { ACTION_ALWAYS, "Allow always", buf_str(&value), NULL, &confirm },
        { ACTION_DENY, "Deny", buf_str(&value), "danger", NULL },
        { ACTION_REASON, "Deny with reason\xe2\x80\xa6", buf_str(&value), NULL, NULL },
    };
    blocks_add_buttons(blocks, "decision", buttons, ARRAY_SIZE(buttons));
}

void permission_add_where(cJSON *blocks, const struct request *r)
{
    _cleanup_buf_ struct buf where = BUF_INIT;
    if (*r->session_title)
        buf_printf(&where, "%s \xc2\xb7 ", r->session_title);
    buf_printf(&where, "%s \xc2\xb7 %s", r->directory, r->pod);
    if (*r->root_session_id && strcmp(r->session_id, r->root_session_id) != 0)
        buf_puts(&where, " \xc2\xb7 asked by a subagent");
    blocks_add_context(blocks, NULL, buf_str(&where));
}

void permission_add_outcome(cJSON *blocks, const struct request *r)
{
    _cleanup_buf_ struct buf line = BUF_INIT;
    buf_printf(&line, "%s ", outcome_emoji(r));
    permission_outcome(&line, r);
    blocks_add_section(blocks, buf_str(&line));
}

/* Notification and screen reader; the blocks say the rest. */
static void put_fallback(struct buf *out, const struct request *r, const char *exact)
{
    if (r->state != REQUEST_PENDING) {
        permission_outcome(out, r);
        buf_puts(out, ": ");
    } else {
        put_title(out, r);
        buf_putc(out, ' ');
    }
    (void)text_put(out, exact, 200, TEXT_ESCAPE | TEXT_ONE_LINE);
}

cJSON *permission_message(const struct request *r)
{
    _cleanup_json_ cJSON *detail = NULL, *m = cJSON_CreateObject();
    _cleanup_buf_ struct buf title = BUF_INIT, exact = BUF_INIT, text = BUF_INIT;
    if (json_parse(&detail, r->detail_json, strlen(r->detail_json), NULL) < 0)
        detail = NULL;
    buf_puts(&title, ":lock: *");
    put_title(&title, r);
    buf_puts(&title, "*");
    put_detail(&exact, r, detail);
    put_fallback(&text, r, buf_str(&exact));
    json_add_str(m, "text", buf_str(&text));
    cJSON *blocks = cJSON_AddArrayToObject(m, "blocks");
    blocks_add_section(blocks, buf_str(&title));
    if (blocks_add_code(blocks, buf_str(&exact)))
        blocks_add_context(blocks, ":warning: Shortened. The whole text is in the file below.",
                           NULL);
    permission_add_where(blocks, r);
    if (r->state == REQUEST_PENDING)
        add_buttons(blocks, r, detail);
    else
        permission_add_outcome(blocks, r);
    return blocks ? TAKE_PTR(m) : NULL;
}

char *permission_whole(const struct request *r)
{
    _cleanup_json_ cJSON *detail = NULL;
    _cleanup_buf_ struct buf exact = BUF_INIT, shown = BUF_INIT;
    if (json_parse(&detail, r->detail_json, strlen(r->detail_json), NULL) < 0)
        detail = NULL;
    put_detail(&exact, r, detail);
    return text_put_middle(&shown, buf_str(&exact), BLOCKS_CODE_MAX) ? buf_take(&exact) : NULL;
}

void permission_fingerprint(struct buf *out, const struct request *r)
{
    buf_printf(out, "%d/%d/%s/%s/%s", (int)r->state, (int)r->outcome, r->actor.connector,
               r->actor.id, r->reason);
}

cJSON *permission_reason_modal(const struct request *r, const char *metadata)
{
    _cleanup_json_ cJSON *detail = NULL;
    _cleanup_buf_ struct buf title = BUF_INIT, exact = BUF_INIT;
    if (json_parse(&detail, r->detail_json, strlen(r->detail_json), NULL) < 0)
        detail = NULL;
    cJSON *view = blocks_modal(&(struct blocks_modal){
        .callback_id = MODAL_DENY,
        .title = "Deny with a reason",
        .submit = "Deny",
        .close = "Back",
        .private_metadata = metadata,
    });
    put_title(&title, r);
    put_detail(&exact, r, detail);
    blocks_add_section(blocks_of(view), buf_str(&title));
    (void)blocks_add_code(blocks_of(view), buf_str(&exact));
    blocks_add_input(blocks_of(view), REASON_BLOCK, REASON_INPUT, "What should it do instead?",
                     "The agent reads this and goes on with it.", REASON_MAX, false);
    return view;
}
