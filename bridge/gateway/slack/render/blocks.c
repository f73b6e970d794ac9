#include "bridge/gateway/slack/render/blocks.h"

#include "base/core/buf.h"
#include "bridge/gateway/slack/render/text.h"

#include <string.h>

static cJSON *text_object(const char *type, const char *text, size_t max, unsigned flags)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    (void)text_put(&b, text, max, flags);
    cJSON *j = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(j, "type", type);
    (void)cJSON_AddStringToObject(j, "text", b.len ? buf_str(&b) : " ");
    return j;
}

static cJSON *plain(const char *text, size_t max)
{
    cJSON *j = text_object("plain_text", text, max, TEXT_ONE_LINE);
    /* Foreign text holds no :emoji: of ours. */
    (void)cJSON_AddBoolToObject(j, "emoji", false);
    return j;
}

static cJSON *add(cJSON *blocks, const char *type)
{
    cJSON *b = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(b, "type", type);
    if (!cJSON_AddItemToArray(blocks, b)) {
        cJSON_Delete(b);
        return NULL;
    }
    return b;
}

void blocks_add_section(cJSON *blocks, const char *mrkdwn)
{
    cJSON *b = add(blocks, "section");
    /* Escaped already; where it must be cut, an entity cut in two shows as it is: no harm. */
    (void)cJSON_AddItemToObject(b, "text", text_object("mrkdwn", mrkdwn, BLOCKS_SECTION_MAX, 0));
}

bool blocks_add_code(cJSON *blocks, const char *raw)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    bool cut = text_put_middle(&text, raw, BLOCKS_CODE_MAX);
    cJSON *b = add(blocks, "rich_text");
    cJSON *outer = cJSON_AddArrayToObject(b, "elements");
    cJSON *pre = add(outer, "rich_text_preformatted");
    cJSON *inner = cJSON_AddArrayToObject(pre, "elements");
    cJSON *t = add(inner, "text");
    (void)cJSON_AddStringToObject(t, "text", text.len ? buf_str(&text) : " ");
    return cut;
}

void blocks_add_context(cJSON *blocks, const char *mrkdwn, const char *raw)
{
    cJSON *b = add(blocks, "context");
    cJSON *elements = cJSON_AddArrayToObject(b, "elements");
    if (mrkdwn)
        (void)cJSON_AddItemToArray(elements, text_object("mrkdwn", mrkdwn, 2000, 0));
    if (raw)
        (void)cJSON_AddItemToArray(elements, plain(raw, 1000));
}

#define MARKDOWN_MAX 11500 /* of 12,000; the whole message has a limit near 13,000 */

bool blocks_add_markdown(cJSON *blocks, const char *markdown)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    bool cut = text_put(&text, markdown, MARKDOWN_MAX, TEXT_TAME);
    cJSON *b = add(blocks, "markdown");
    (void)cJSON_AddStringToObject(b, "text", text.len ? buf_str(&text) : " ");
    return cut;
}

static void add_confirm(cJSON *button, const struct blocks_confirm *c)
{
    cJSON *j = cJSON_AddObjectToObject(button, "confirm");
    (void)cJSON_AddItemToObject(j, "title", plain(c->title, 100));
    (void)cJSON_AddItemToObject(j, "text", plain(c->text, 300));
    (void)cJSON_AddItemToObject(j, "confirm", plain(c->confirm, 30));
    (void)cJSON_AddItemToObject(j, "deny", plain(c->deny, 30));
}

static void button(cJSON *e, const struct blocks_button *b)
{
    (void)cJSON_AddStringToObject(e, "action_id", b->action_id);
    (void)cJSON_AddItemToObject(e, "text", plain(b->label, 75));
    (void)cJSON_AddStringToObject(e, "value", b->value);
    if (b->style)
        (void)cJSON_AddStringToObject(e, "style", b->style);
    if (b->confirm)
        add_confirm(e, b->confirm);
}

void blocks_add_section_button(cJSON *blocks, const char *mrkdwn, const struct blocks_button *b)
{
    blocks_add_section(blocks, mrkdwn);
    if (!b || strlen(b->value) > BLOCKS_VALUE_MAX)
        return;
    cJSON *section = cJSON_GetArrayItem(blocks, cJSON_GetArraySize(blocks) - 1);
    cJSON *e = cJSON_AddObjectToObject(section, "accessory");
    (void)cJSON_AddStringToObject(e, "type", "button");
    button(e, b);
}

void blocks_add_buttons(cJSON *blocks, const char *block_id, const struct blocks_button *buttons,
                        size_t count)
{
    cJSON *b = add(blocks, "actions");
    (void)cJSON_AddStringToObject(b, "block_id", block_id);
    cJSON *elements = cJSON_AddArrayToObject(b, "elements");
    for (size_t i = 0; i < count; i++) {
        if (strlen(buttons[i].value) > BLOCKS_VALUE_MAX)
            continue;
        button(add(elements, "button"), &buttons[i]);
    }
    if (cJSON_GetArraySize(elements) == 0) /* an empty actions block is refused */
        cJSON_DeleteItemFromArray(blocks, cJSON_GetArraySize(blocks) - 1);
}

/* ---------------------------------------------------------------- choices */

#define VALUE_MAX  75
#define GROUPS_MAX 100

static cJSON *option_object(const struct blocks_choice *c, const struct blocks_option *o)
{
    cJSON *j = cJSON_CreateObject();
    size_t max = c->label_max && c->label_max < 75 ? c->label_max : 75;
    (void)cJSON_AddItemToObject(j, "text", plain(o->label, max));
    (void)cJSON_AddStringToObject(j, "value", o->value);
    if (o->description && *o->description)
        (void)cJSON_AddItemToObject(j, "description", plain(o->description, 75));
    return j;
}

/* The list that the option goes to; NULL: it is full. */
static cJSON *list_for(cJSON *groups, const struct blocks_option *o, const char **last)
{
    cJSON *group = cJSON_GetArrayItem(groups, cJSON_GetArraySize(groups) - 1);
    const char *name = o->group ? o->group : "";
    if (!group || !*last || strcmp(*last, name) != 0) {
        if (cJSON_GetArraySize(groups) == GROUPS_MAX)
            return NULL;
        group = cJSON_CreateObject();
        (void)cJSON_AddItemToObject(group, "label", plain(name, 75));
        (void)cJSON_AddArrayToObject(group, "options");
        (void)cJSON_AddItemToArray(groups, group);
        *last = name;
    }
    cJSON *list = cJSON_GetObjectItemCaseSensitive(group, "options");
    return cJSON_GetArraySize(list) < BLOCKS_OPTIONS_MAX ? list : NULL;
}

static void add_options(cJSON *element, const struct blocks_choice *c, bool grouped)
{
    cJSON *all = cJSON_AddArrayToObject(element, grouped ? "option_groups" : "options");
    cJSON *chosen = cJSON_CreateArray();
    const char *last = NULL;
    for (size_t i = 0; i < c->count; i++) {
        const struct blocks_option *o = &c->options[i];
        if (strlen(o->value) > VALUE_MAX || !*o->value)
            continue; /* before it makes a group, which must not stay empty */
        cJSON *list = grouped ? list_for(all, o, &last) : all;
        if (!list || cJSON_GetArraySize(list) >= BLOCKS_OPTIONS_MAX)
            continue;
        (void)cJSON_AddItemToArray(list, option_object(c, o));
        if (o->chosen && (c->many || cJSON_GetArraySize(chosen) == 0))
            (void)cJSON_AddItemToArray(chosen, option_object(c, o));
    }
    if (cJSON_GetArraySize(chosen) == 0)
        cJSON_Delete(chosen);
    else if (c->many)
        (void)cJSON_AddItemToObject(element, "initial_options", chosen);
    else {
        (void)cJSON_AddItemToObject(element, "initial_option",
                                    cJSON_DetachItemFromArray(chosen, 0));
        cJSON_Delete(chosen);
    }
}

cJSON *blocks_choice(const struct blocks_choice *c)
{
    static const char *const types[2][2] = { { "radio_buttons", "checkboxes" },
                                             { "static_select", "multi_static_select" } };
    bool any = false;
    for (size_t i = 0; i < c->count; i++)
        any = any || (*c->options[i].value && strlen(c->options[i].value) <= VALUE_MAX);
    if (!any)
        return NULL;
    bool grouped = c->options[0].group != NULL;
    bool list = c->list || grouped || c->count > BLOCKS_TICKS_MAX;
    cJSON *e = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(e, "type", types[list][c->many]);
    (void)cJSON_AddStringToObject(e, "action_id", c->action_id);
    if (list && c->placeholder)
        (void)cJSON_AddItemToObject(e, "placeholder", plain(c->placeholder, 150));
    add_options(e, c, grouped);
    return e;
}

void blocks_add_element(cJSON *blocks, const char *block_id, cJSON *element)
{
    if (!element)
        return;
    cJSON *b = add(blocks, "actions");
    (void)cJSON_AddStringToObject(b, "block_id", block_id);
    if (!cJSON_AddItemToArray(cJSON_AddArrayToObject(b, "elements"), element))
        cJSON_Delete(element);
}

void blocks_add_field(cJSON *blocks, const char *block_id, const char *label, cJSON *element,
                      bool optional)
{
    if (!element)
        return;
    cJSON *b = add(blocks, "input");
    (void)cJSON_AddStringToObject(b, "block_id", block_id);
    (void)cJSON_AddItemToObject(b, "label", plain(label, 2000));
    (void)cJSON_AddBoolToObject(b, "optional", optional);
    if (!cJSON_AddItemToObject(b, "element", element))
        cJSON_Delete(element);
}

cJSON *blocks_input(const struct blocks_input *i)
{
    cJSON *e = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(e, "type", "plain_text_input");
    (void)cJSON_AddStringToObject(e, "action_id", i->action_id);
    (void)cJSON_AddBoolToObject(e, "multiline", i->lines);
    (void)cJSON_AddNumberToObject(e, "max_length", i->max_length);
    if (i->placeholder)
        (void)cJSON_AddItemToObject(e, "placeholder", plain(i->placeholder, 150));
    if (i->initial && *i->initial) {
        _cleanup_buf_ struct buf text = BUF_INIT;
        (void)text_put(&text, i->initial, (size_t)i->max_length, i->lines ? 0 : TEXT_ONE_LINE);
        (void)cJSON_AddStringToObject(e, "initial_value", buf_str(&text));
    }
    return e;
}

cJSON *blocks_modal(const struct blocks_modal *m)
{
    cJSON *view = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(view, "type", "modal");
    (void)cJSON_AddStringToObject(view, "callback_id", m->callback_id);
    (void)cJSON_AddItemToObject(view, "title", plain(m->title, 24));
    (void)cJSON_AddItemToObject(view, "submit", plain(m->submit, 24));
    (void)cJSON_AddItemToObject(view, "close", plain(m->close, 24));
    (void)cJSON_AddStringToObject(view, "private_metadata", m->private_metadata);
    (void)cJSON_AddArrayToObject(view, "blocks");
    return view;
}

cJSON *blocks_of(cJSON *view)
{
    return cJSON_GetObjectItemCaseSensitive(view, "blocks");
}

void blocks_add_input(cJSON *blocks, const char *block_id, const char *action_id, const char *label,
                      const char *placeholder, int max_length, bool optional)
{
    blocks_add_field(blocks, block_id, label,
                     blocks_input(&(struct blocks_input){ .action_id = action_id,
                                                          .placeholder = placeholder,
                                                          .max_length = max_length,
                                                          .lines = true }),
                     optional);
}
