#include "bridge/gateway/slack/render/start_form.h"

#include "base/core/cleanup.h"
#include "bridge/gateway/slack/render/blocks.h"

#include <string.h>

#define INPUT      "value"
#define MODELS_MAX 300 /* a form may be 250 kB */
#define TITLE_MAX  150

/* The fields in their order; `options` end with NULL. Agent and model come from OpenCode. */
static const struct field {
    const char *id, *label, *placeholder;
    bool needed, lines;
    const char *options[8];
} fields[] = {
    { "title", "Task title", "A few words", true, false, { NULL } },
    { "description", "Task description", "What the agent shall do", true, true, { NULL } },
    { "category",
      "Category",
      "Choose one",
      false,
      false,
      { "Feature", "Bug fix", "Refactoring", "Documentation", "Research", "Operations", NULL } },
    { "project", "Project", "Name or id", false, false, { NULL } },
    { "repositories", "Repositories", "Names, with commas", false, false, { NULL } },
    { "complexity", "Complexity", "Choose one", false, false, { "Low", "Medium", "High", NULL } },
    { "priority",
      "Priority",
      "Choose one",
      false,
      false,
      { "Low", "Normal", "High", "Urgent", NULL } },
};

/* ---------------------------------------------------------------- the form */

static void add_text_field(cJSON *blocks, const struct field *f, const char *typed)
{
    bool whole = strcmp(f->id, "description") == 0, first = strcmp(f->id, "title") == 0;
    _cleanup_free_ char *line = strndup(typed, strcspn(typed, "\n"));
    blocks_add_field(blocks, f->id, f->label,
                     blocks_input(&(struct blocks_input){
                         .action_id = INPUT,
                         .placeholder = f->placeholder,
                         .initial = whole   ? typed
                                    : first ? line
                                            : NULL,
                         .max_length = f->lines ? BLOCKS_INPUT_MAX : TITLE_MAX,
                         .lines = f->lines,
                     }),
                     !f->needed);
}

static void add_list(cJSON *blocks, const char *id, const char *label,
                     const struct blocks_option *options, size_t count)
{
    blocks_add_field(blocks, id, label,
                     blocks_choice(&(struct blocks_choice){
                         .action_id = INPUT,
                         .placeholder = "Default",
                         .list = true,
                         .options = options,
                         .count = count,
                     }),
                     true);
}

static void add_field(cJSON *blocks, const struct field *f, const char *typed)
{
    struct blocks_option options[ARRAY_SIZE(f->options)] = { 0 };
    size_t n = 0;
    for (; f->options[n]; n++)
        options[n] = (struct blocks_option){ .value = f->options[n], .label = f->options[n] };
    if (n)
        add_list(blocks, f->id, f->label, options, n);
    else
        add_text_field(blocks, f, typed);
}

static void add_catalog(cJSON *blocks, const cJSON *list, const char *id, const char *label)
{
    struct blocks_option *options = calloc(MODELS_MAX, sizeof *options);
    const cJSON *item;
    size_t n = 0;
    cJSON_ArrayForEach (item, list) {
        const char *value = json_str(item, "id", ""), *group = json_str(item, "group", "");
        if (options && n < MODELS_MAX && *value)
            options[n++] = (struct blocks_option){
                .value = value,
                .label = json_str(item, "name", value),
                .description = json_str(item, "description", ""),
                .group = *group ? group : NULL,
            };
    }
    add_list(blocks, id, label, options, n);
    free(options);
}

static void add_pods(cJSON *blocks, const struct start_form *f)
{
    struct blocks_option options[START_PODS_MAX] = { 0 };
    size_t n = 0;
    for (; n < f->n_pods && n < START_PODS_MAX; n++)
        options[n] = (struct blocks_option){
            .value = f->pods[n],
            .label = f->pods[n],
            .description = n == 0 ? "the default" : NULL,
        };
    if (n > 1)
        add_list(blocks, "pod", "Pod", options, n);
}

cJSON *start_modal(const struct start_form *f)
{
    _cleanup_json_ cJSON *catalog = NULL;
    if (json_parse(&catalog, f->catalog_json, strlen(f->catalog_json), NULL) < 0)
        catalog = NULL;
    cJSON *view = blocks_modal(&(struct blocks_modal){
        .callback_id = MODAL_START,
        .title = "Start a session",
        .submit = "Start",
        .close = "Cancel",
        .private_metadata = f->metadata,
    });
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        add_field(blocks_of(view), &fields[i], f->typed);
    add_pods(blocks_of(view), f);
    add_catalog(blocks_of(view), json_arr(catalog, "agents"), "agent", "Agent");
    add_catalog(blocks_of(view), json_arr(catalog, "models"), "model", "Model");
    return view;
}

/* ---------------------------------------------------------------- what was sent */

const char *start_value(const cJSON *values, const char *id)
{
    const cJSON *e = json_obj(json_obj(values, id), INPUT);
    const cJSON *option = json_obj(e, "selected_option");
    return option ? json_str(option, "value", "") : json_str(e, "value", "");
}

cJSON *start_view_check(const cJSON *payload)
{
    const cJSON *values = json_at(payload, "view.state.values");
    _cleanup_json_ cJSON *errors = cJSON_CreateObject();
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        const char *v = start_value(values, fields[i].id);
        if (fields[i].needed && v[strspn(v, " \t\r\n")] == '\0')
            json_add_str(errors, fields[i].id, "This is needed.");
    }
    if (cJSON_GetArraySize(errors) == 0)
        return NULL;
    cJSON *answer = cJSON_CreateObject();
    json_add_str(answer, "response_action", "errors");
    (void)cJSON_AddItemToObject(answer, "errors", TAKE_PTR(errors));
    return answer;
}

void start_prompt(struct buf *out, const cJSON *values)
{
    bool first = true;
    buf_puts(out, start_value(values, "description"));
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        const char *v = start_value(values, fields[i].id);
        if (fields[i].needed || !*v)
            continue;
        buf_printf(out, "%s%s: %s", first ? "\n\n" : "\n", fields[i].label, v);
        first = false;
    }
}
