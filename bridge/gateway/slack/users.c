#include "bridge/gateway/slack/users.h"

#include "base/core/clock.h"
#include "base/core/log.h"
#include "bridge/gateway/slack/internal.h"
#include "bridge/gateway/slack/render/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ID_SIZE          34
#define MEMBERS_MAX      20000
#define NAMES_MAX        256
#define WAITING_MAX      64
#define MEMBERS_FRESH_MS 300000 /* also where Slack's word that somebody left was missed */
#define MEMBERS_AGAIN_MS 10000  /* an unknown id makes us read again, but not more often */

typedef char user_id[ID_SIZE];

struct waiting {
    user_id id;
    users_fn *fn;
    void (*drop)(void *);
    void *data;
};

struct users {
    struct slack *s;
    user_id *listed; /* SLACK_ALLOWED_USERS */
    size_t listed_count;
    bool members_may; /* SLACK_ALLOW=channel_members */
    user_id *members, *reading;
    size_t members_count, reading_count;
    uint64_t read_ms; /* when `members` was read; 0: never */
    bool busy, again; /* a reading is under way; somebody moved meanwhile */
    struct waiting waiting[WAITING_MAX];
    size_t waiting_count;
    struct {
        user_id id;
        char name[64];
    } names[NAMES_MAX];
    size_t names_next;
};

static int add_id(user_id **list, size_t *count, size_t max, const char *id)
{
    if (!text_is_user_id(id) || *count >= max)
        return -EINVAL;
    if ((*count & (*count - 1)) == 0) { /* grow at each power of two */
        user_id *grown = reallocarray(*list, *count ? *count * 2 : 8, sizeof *grown);
        if (!grown)
            return -ENOMEM;
        *list = grown;
    }
    (void)snprintf((*list)[(*count)++], sizeof(user_id), "%s", id);
    return 0;
}

static bool has_id(const user_id *list, size_t count, const char *id)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i], id) == 0)
            return true;
    return false;
}

static int read_list(struct users *u, const char *csv)
{
    _cleanup_free_ char *copy = strdup(csv ? csv : "");
    if (!copy)
        return -ENOMEM;
    char *save = NULL;
    for (char *id = strtok_r(copy, ", \t\n", &save); id; id = strtok_r(NULL, ", \t\n", &save)) {
        int r = add_id(&u->listed, &u->listed_count, MEMBERS_MAX, id);
        if (r == -ENOMEM)
            return r;
        if (r < 0)
            log_warn("slack: SLACK_ALLOWED_USERS: \"%s\" is no user id (U…), ignoring", id);
    }
    return 0;
}

int users_new(struct users **ret, struct slack *s)
{
    struct users *u = calloc(1, sizeof *u);
    if (!u)
        return -ENOMEM;
    u->s = s;
    const char *allow = s->set->slack_allow ? s->set->slack_allow : "";
    u->members_may = strcmp(allow, "channel_members") == 0;
    if (*allow && !u->members_may && strcmp(allow, "users") != 0)
        log_warn("slack: SLACK_ALLOW is \"%s\"; it can be users or channel_members. Taking users",
                 allow);
    int r = read_list(u, s->set->slack_allowed_users);
    if (r < 0) {
        users_free(u);
        return r;
    }
    if (!u->listed_count && !u->members_may) {
        static const char nobody[] = "SLACK_ALLOWED_USERS is empty: nobody may start, answer or "
                                     "decide in Slack";
        log_warn("slack: %s", nobody);
        slack_problem(s, PROBLEM_USERS, nobody);
    }
    *ret = u;
    return 0;
}

void users_free(struct users *u)
{
    if (!u)
        return;
    for (size_t i = 0; i < u->waiting_count; i++)
        if (u->waiting[i].drop)
            u->waiting[i].drop(u->waiting[i].data);
    free(u->listed);
    free(u->members);
    free(u->reading);
    free(u);
}

int users_may(struct users *u, const char *id)
{
    if (!text_is_user_id(id))
        return 0;
    if (has_id(u->listed, u->listed_count, id))
        return 1;
    if (!u->members_may)
        return 0;
    uint64_t age = clock_mono_ms() - u->read_ms;
    if (u->read_ms && age < MEMBERS_FRESH_MS && has_id(u->members, u->members_count, id))
        return 1;
    return u->read_ms && age < MEMBERS_AGAIN_MS ? 0 : -EAGAIN;
}

static void answer_waiting(struct users *u)
{
    struct waiting all[WAITING_MAX];
    size_t count = u->waiting_count;
    memcpy(all, u->waiting, count * sizeof all[0]);
    u->waiting_count = 0;
    for (size_t i = 0; i < count; i++)
        all[i].fn(all[i].data, users_may(u, all[i].id) == 1);
}

static void read_page(struct users *u, const char *cursor);

static void reading_done(struct users *u, const char *problem)
{
    u->busy = false;
    if (u->again && !problem) { /* the pages may be from before */
        u->again = false;
        u->reading_count = 0;
        free(TAKE_PTR(u->reading));
        read_page(u, "");
        return;
    }
    u->again = false;
    if (!problem) {
        free(u->members);
        u->members = TAKE_PTR(u->reading);
        u->members_count = u->reading_count;
        u->read_ms = clock_mono_ms();
    }
    u->reading_count = 0;
    free(TAKE_PTR(u->reading));
    slack_problem(u->s, PROBLEM_USERS, problem);
    answer_waiting(u);
}

static void on_page(void *data, const struct api_result *r)
{
    struct users *u = data;
    if (!r->ok) {
        reading_done(u, r->message);
        return;
    }
    const cJSON *id;
    cJSON_ArrayForEach (id, json_arr(r->body, "members")) {
        if (cJSON_IsString(id))
            (void)add_id(&u->reading, &u->reading_count, MEMBERS_MAX, id->valuestring);
    }
    const char *cursor = json_str_at(r->body, "response_metadata.next_cursor", "");
    if (*cursor && u->reading_count < MEMBERS_MAX)
        read_page(u, cursor);
    else
        reading_done(u, NULL);
}

static void read_page(struct users *u, const char *cursor)
{
    cJSON *args = cJSON_CreateObject();
    json_add_str(args, "channel", u->s->set->slack_channel);
    json_add_str(args, "limit", "999");
    if (*cursor)
        json_add_str(args, "cursor", cursor);
    u->busy = true;
    int r = api_call(u->s->api, SLACK_MEMBERS, args, 10000, on_page, u);
    if (r < 0)
        reading_done(u, strerror(-r));
}

void users_refresh(struct users *u)
{
    const char *channel = u->s->set->slack_channel;
    if (u->members_may && !u->busy && channel && *channel)
        read_page(u, "");
}

static void forget_member(struct users *u, const char *id)
{
    for (size_t i = 0; i < u->members_count; i++)
        if (strcmp(u->members[i], id) == 0)
            *u->members[i] = '\0';
}

void users_moved(struct users *u, const char *channel, const char *id, bool joined)
{
    const char *ours = u->s->set->slack_channel;
    if (!u->members_may || !ours || strcmp(channel, ours) != 0)
        return;
    log_info("slack: %.33s %s", id, joined ? "joined the channel" : "left the channel");
    if (!joined)
        forget_member(u, id);
    u->again = u->busy;
    if (joined)
        users_refresh(u);
}

void users_ask(struct users *u, const char *id, users_fn *fn, void (*drop)(void *), void *data)
{
    int may = users_may(u, id);
    const char *channel = u->s->set->slack_channel;
    if (may >= 0 || u->waiting_count == WAITING_MAX || !channel || !*channel) {
        fn(data, may == 1);
        return;
    }
    struct waiting *w = &u->waiting[u->waiting_count++];
    *w = (struct waiting){ .fn = fn, .drop = drop, .data = data };
    (void)snprintf(w->id, sizeof w->id, "%s", id);
    users_refresh(u);
}

const char *users_refusal(const struct users *u)
{
    if (u->members_may)
        return "Only members of the session channel may do this (setting `SLACK_ALLOW`).";
    if (!u->listed_count)
        return "Nobody may do this yet: `SLACK_ALLOWED_USERS` is empty. Whoever runs this pod has "
               "to put user ids there (profile, three dots, _Copy member ID_).";
    return "You are not among the people who may do this. Whoever runs this pod can add your "
           "member ID to `SLACK_ALLOWED_USERS`.";
}

void users_learn(struct users *u, const char *id, const char *name)
{
    if (!text_is_user_id(id) || !*name || strcmp(users_name(u, id), name) == 0)
        return;
    size_t at = u->names_next;
    for (size_t i = 0; i < NAMES_MAX; i++)
        if (strcmp(u->names[i].id, id) == 0)
            at = i;
    if (at == u->names_next)
        u->names_next = (u->names_next + 1) % NAMES_MAX;
    (void)snprintf(u->names[at].id, sizeof u->names[at].id, "%s", id);
    struct buf b = BUF_INIT;
    (void)text_put(&b, name, 15, TEXT_ONE_LINE); /* 15 characters fit in any case */
    (void)snprintf(u->names[at].name, sizeof u->names[at].name, "%s", buf_str(&b));
    buf_release(&b);
}

const char *users_name(const struct users *u, const char *id)
{
    for (size_t i = 0; i < NAMES_MAX; i++)
        if (*u->names[i].id && strcmp(u->names[i].id, id) == 0)
            return u->names[i].name;
    return id;
}
