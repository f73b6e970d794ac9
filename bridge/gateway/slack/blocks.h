/* Builders of Block Kit within its limits (facts in docs/slack.md). Whatever text goes in, Slack
 * takes what comes out: empty text becomes a space, too long text is cut. Results belong to the
 * caller or to the array they were added to; NULL and silently nothing when out of memory. */
#pragma once

#include "base/json/json.h"

#include <stdbool.h>
#include <stddef.h>

#define BLOCKS_SECTION_MAX  3000
#define BLOCKS_CODE_MAX     2800 /* ours: with all the rest it stays below the message's limit */
#define BLOCKS_FALLBACK_MAX 600  /* ours: notification text */
#define BLOCKS_VALUE_MAX    2000

/* `mrkdwn` is markup of ours whose foreign parts went through text_put(TEXT_ESCAPE). */
void blocks_add_section(cJSON *blocks, const char *mrkdwn);
/* Raw text, shown as it is: backticks, markup and mentions in it mean nothing. Too long: its
 * middle is left out. True when something was. */
bool blocks_add_code(cJSON *blocks, const char *raw);
/* One or two small lines; each may be NULL. `mrkdwn` as in a section, `plain` is raw. */
void blocks_add_context(cJSON *blocks, const char *mrkdwn, const char *plain);
/* Standard Markdown, as models write it; up to 12,000 characters. True when it was cut. */
bool blocks_add_markdown(cJSON *blocks, const char *markdown);

struct blocks_confirm {
    const char *title, *text, *confirm, *deny; /* raw; 100, 300, 30, 30 */
};
struct blocks_button {
    const char *action_id; /* distinct within its block */
    const char *label;     /* 75, about 30 are seen */
    const char *value;     /* opaque, at most 2,000 bytes; longer ones make no button */
    const char *style;     /* "primary", "danger" or NULL */
    const struct blocks_confirm *confirm;
};
void blocks_add_buttons(cJSON *blocks, const char *block_id, const struct blocks_button *buttons,
                        size_t count);

struct blocks_modal {
    const char *callback_id;
    const char *title, *submit, *close; /* 24 each */
    const char *private_metadata;       /* 3,000 */
};
/* A modal with no blocks yet; add them to its "blocks". */
cJSON *blocks_modal(const struct blocks_modal *m);
cJSON *blocks_of(cJSON *view);
/* A text field of several lines. */
void blocks_add_input(cJSON *blocks, const char *block_id, const char *action_id, const char *label,
                      const char *placeholder, int max_length, bool optional);
