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
/* A section with a button at its side; NULL: without. */
void blocks_add_section_button(cJSON *blocks, const char *mrkdwn, const struct blocks_button *b);
void blocks_add_buttons(cJSON *blocks, const char *block_id, const struct blocks_button *buttons,
                        size_t count);

#define BLOCKS_OPTIONS_MAX 100 /* of one list; of one group when there are groups */
#define BLOCKS_TICKS_MAX   10  /* radio buttons and checkboxes */

struct blocks_option {
    const char *value;               /* opaque, at most 75 bytes, distinct within its choice */
    const char *label, *description; /* raw, 75 each; description may be NULL */
    const char *group;               /* raw; those of one group follow each other; NULL: none */
    bool chosen;
};
struct blocks_choice {
    const char *action_id, *placeholder;
    bool many;        /* any number of them, else one */
    bool list;        /* a list to open, also for few */
    size_t label_max; /* characters of a label, 0: 75. All text of a message counts */
    const struct blocks_option *options;
    size_t count;
};
/* Radio buttons or checkboxes for up to ten options, a list for more; what Slack does not take is
 * left out. The caller owns it; NULL without any option. */
cJSON *blocks_choice(const struct blocks_choice *c);
/* Adds an interactive element (taken; NULL: nothing) in a block of its own. */
void blocks_add_element(cJSON *blocks, const char *block_id, cJSON *element);
/* The same as a field of a form. */
void blocks_add_field(cJSON *blocks, const char *block_id, const char *label, cJSON *element,
                      bool optional);

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

#define BLOCKS_INPUT_MAX 3000

struct blocks_input {
    const char *action_id, *placeholder;
    const char *initial; /* raw; NULL or "": none; longer than `max_length`: cut */
    int max_length;      /* at most BLOCKS_INPUT_MAX */
    bool lines;          /* several */
};
/* The element of a text field. The caller owns it. */
cJSON *blocks_input(const struct blocks_input *i);
