#include "bridge/gateway/slack/render/question.h"

#include "bridge/gateway/slack/render/blocks.h"
#include "bridge/gateway/slack/render/permission.h"
#include "bridge/gateway/slack/render/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define OPTION_BUTTONS_MAX 5
#define SHOWN_MAX          12   /* questions in a message; the form has more */
#define SHOWN_POINTS       8000 /* for all of them: a message's limit is near 13,000 */
#define LABELS_POINTS      3000 /* for all labels in a message's list */
#define FORM_MAX           32   /* questions in a form: three blocks each of 100 */
#define FORM_POINTS        20000
#define FORM_OPTIONS       240 /* in all: a form may be 250 kB */
#define BLOCK_ID_MAX       255

static cJSON *detail_of(const struct request *r)
{
    cJSON *detail = NULL;
    return json_parse(&detail, r->detail_json, strlen(r->detail_json), NULL) < 0 ? NULL : detail;
}

static const cJSON *options_of(const cJSON *q)
{
    return json_arr(q, "options");
}

static bool custom(const cJSON *q)
{
    return json_bool(q, "custom", true) || cJSON_GetArraySize(options_of(q)) == 0;
}

static bool many(const cJSON *q)
{
    return json_bool(q, "multiple", false);
}

int question_count(const struct request *r)
{
    _cleanup_json_ cJSON *detail = detail_of(r);
    return cJSON_GetArraySize(json_arr(detail, "questions"));
}

/* ---------------------------------------------------------------- what it says */

/* "*Header*\nThe question" in at most `points` characters. True when something was cut. */
static bool put_question(struct buf *out, const cJSON *q, size_t points)
{
    const char *header = json_str(q, "header", "");
    bool cut = false;
    if (*header) {
        buf_putc(out, '*');
        cut = text_put(out, header, 60, TEXT_ESCAPE | TEXT_ONE_LINE);
        buf_puts(out, "*\n");
    }
    return text_put(out, json_str(q, "question", ""), points, TEXT_ESCAPE) || cut;
}

/* A line for each option, whole, as long as there is room: buttons show little of it. True when
 * something was cut. */
static bool put_options(struct buf *out, const cJSON *q, size_t points)
{
    const cJSON *option;
    size_t left = (size_t)cJSON_GetArraySize(options_of(q)), end = out->len + points, n = 0;
    bool cut = false;
    cJSON_ArrayForEach (option, options_of(q)) {
        _cleanup_buf_ struct buf line = BUF_INIT;
        buf_printf(&line, "\n%zu. *", ++n);
        cut |= text_put(&line, json_str(option, "label", ""), 200, TEXT_ESCAPE | TEXT_ONE_LINE);
        buf_putc(&line, '*');
        if (*json_str(option, "description", "")) {
            buf_puts(&line, " \xe2\x80\x93 ");
            cut |= text_put(&line, json_str(option, "description", ""), 300,
                            TEXT_ESCAPE | TEXT_ONE_LINE);
        }
        if (out->len + line.len > end) {
            buf_printf(out, "\n\xe2\x80\xa6 and %zu more", left);
            return true;
        }
        buf_append(out, buf_str(&line), line.len);
        left--;
    }
    return cut;
}

static bool add_question(cJSON *blocks, const cJSON *q, size_t points)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    bool cut = put_question(&text, q, points / 2);
    cut |= put_options(&text, q, points / 2);
    blocks_add_section(blocks, buf_str(&text));
    return cut;
}

/* True when something was cut. */
static bool add_questions(cJSON *blocks, const struct request *r, const cJSON *questions)
{
    const cJSON *q;
    size_t n = (size_t)cJSON_GetArraySize(questions), shown = n < SHOWN_MAX ? n : SHOWN_MAX;
    size_t points = shown ? SHOWN_POINTS / shown : 0, i = 0;
    _cleanup_buf_ struct buf more = BUF_INIT, summary = BUF_INIT;
    bool cut = n > shown;
    cJSON_ArrayForEach (q, questions) {
        if (i++ < shown)
            cut |= add_question(blocks, q, points > 2800 ? 2800 : points);
    }
    if (n > shown) {
        buf_printf(&more, "\xe2\x80\xa6 and %zu more questions.", n - shown);
        blocks_add_context(blocks, buf_str(&more), NULL);
    }
    if (n == 0) {
        (void)text_put(&summary, r->summary, 2000, TEXT_ESCAPE);
        blocks_add_section(blocks, buf_str(&summary));
    }
    return cut;
}

static void put_whole(struct buf *out, const cJSON *q)
{
    const cJSON *option;
    size_t n = 0;
    buf_printf(out, "%s%s%s\n", json_str(q, "header", ""), *json_str(q, "header", "") ? "\n" : "",
               json_str(q, "question", ""));
    cJSON_ArrayForEach (option, options_of(q)) {
        const char *more = json_str(option, "description", "");
        buf_printf(out, "%zu. %s%s%s\n", ++n, json_str(option, "label", ""),
                   *more ? " \xe2\x80\x93 " : "", more);
    }
    buf_putc(out, '\n');
}

char *question_whole(const struct request *r)
{
    _cleanup_json_ cJSON *detail = detail_of(r), *scratch = cJSON_CreateArray();
    _cleanup_buf_ struct buf out = BUF_INIT;
    const cJSON *questions = json_arr(detail, "questions"), *q;
    if (!add_questions(scratch, r, questions))
        return NULL;
    cJSON_ArrayForEach (q, questions)
        put_whole(&out, q);
    return out.len ? buf_take(&out) : NULL;
}

/* ---------------------------------------------------------------- choices */

static bool picked(const cJSON *picks, int number)
{
    const cJSON *p;
    cJSON_ArrayForEach (p, picks) {
        if (cJSON_IsNumber(p) && p->valueint == number)
            return true;
    }
    return false;
}

/* The element to choose with, in a message or in a form that has room for `max` options; NULL when
 * there is nothing to choose, or no memory. */
static cJSON *choice_of(const cJSON *q, bool message, size_t max, const cJSON *picks)
{
    char values[BLOCKS_OPTIONS_MAX][8];
    struct blocks_option options[BLOCKS_OPTIONS_MAX];
    const cJSON *option;
    size_t n = 0;
    cJSON_ArrayForEach (option, options_of(q)) {
        if (n == max || n == BLOCKS_OPTIONS_MAX)
            break;
        (void)snprintf(values[n], sizeof values[n], "%zu", n);
        options[n] = (struct blocks_option){
            .value = values[n],
            .label = json_str(option, "label", ""),
            .description = message ? NULL : json_str(option, "description", ""),
            .chosen = picked(picks, (int)n),
        };
        n++;
    }
    return blocks_choice(&(struct blocks_choice){
        .action_id = ACTION_PICK,
        .placeholder = many(q) ? "Choose any number" : "Choose one",
        .many = many(q),
        .list = message && !many(q),
        .label_max = message && n ? LABELS_POINTS / n : 0,
        .options = options,
        .count = n,
    });
}

/* ---------------------------------------------------------------- buttons of the message */

#define BUTTONS_MAX 8

struct row {
    struct blocks_button buttons[BUTTONS_MAX];
    char ids[BUTTONS_MAX][sizeof ACTION_OPTION + 8];
    size_t count;
    const char *value;
};

static void row_add(struct row *row, const char *action_id, const char *label, const char *style,
                    const struct blocks_confirm *confirm)
{
    if (row->count == BUTTONS_MAX)
        return;
    char *id = row->ids[row->count];
    (void)snprintf(id, sizeof row->ids[0], "%s", action_id);
    row->buttons[row->count++] = (struct blocks_button){ id, label, row->value, style, confirm };
}

static void row_options(struct row *row, const cJSON *q)
{
    const cJSON *option;
    int n = 0;
    cJSON_ArrayForEach (option, options_of(q)) {
        char id[sizeof ACTION_OPTION + 8];
        (void)snprintf(id, sizeof id, "%s%d", ACTION_OPTION, n++);
        row_add(row, id, json_str(option, "label", ""), NULL, NULL);
    }
}

/* What can't be chosen from a list can be written. */
static void add_left_out(cJSON *blocks, int options)
{
    _cleanup_buf_ struct buf line = BUF_INIT;
    if (options <= BLOCKS_OPTIONS_MAX)
        return;
    buf_printf(&line,
               ":warning: The list holds %d of %d options. For another one, reply with its number "
               "or its text.",
               BLOCKS_OPTIONS_MAX, options);
    blocks_add_context(blocks, buf_str(&line), NULL);
}

static void add_answer_buttons(cJSON *blocks, const struct request *r, const cJSON *questions)
{
    static const struct blocks_confirm sure = { "Dismiss the question?",
                                                "The agent is told that nobody answers, and its "
                                                "turn ends.",
                                                "Dismiss", "Back" };
    const cJSON *q = cJSON_GetArrayItem(questions, 0);
    int n = cJSON_GetArraySize(questions), options = cJSON_GetArraySize(options_of(q));
    _cleanup_buf_ struct buf value = BUF_INIT, block = BUF_INIT;
    permission_value(&value, r->pod, r->id);
    buf_printf(&block, PICK_BLOCK "%s", buf_str(&value));
    struct row row = { .value = buf_str(&value) };
    bool single = n == 1 && options > 0, fits = block.len <= BLOCK_ID_MAX;
    bool boxes = single && fits && many(q), list = single && fits && options > OPTION_BUTTONS_MAX;
    if (boxes || list)
        add_left_out(blocks, options);
    if (boxes || list)
        blocks_add_element(blocks, buf_str(&block), choice_of(q, true, BLOCKS_OPTIONS_MAX, NULL));
    if (boxes)
        row_add(&row, ACTION_SUBMIT, "Submit", "primary", NULL);
    else if (single && !many(q) && options <= OPTION_BUTTONS_MAX)
        row_options(&row, q);
    bool form = n > 0 && row.count == 0 && !list;
    if (n == 0)
        blocks_add_context(blocks, "It waits for an answer on the web page or in OpenCode.", NULL);
    else if (form || custom(q))
        row_add(&row, ACTION_FORM, form ? "Answer\xe2\x80\xa6" : "In your own words\xe2\x80\xa6",
                form ? "primary" : NULL, NULL);
    row_add(&row, ACTION_DISMISS, "Dismiss", NULL, &sure);
    blocks_add_buttons(blocks, "answer", row.buttons, row.count);
}

cJSON *question_message(const struct request *r)
{
    _cleanup_json_ cJSON *detail = detail_of(r), *m = cJSON_CreateObject();
    _cleanup_buf_ struct buf title = BUF_INIT, text = BUF_INIT;
    const cJSON *questions = json_arr(detail, "questions");
    int n = cJSON_GetArraySize(questions);
    if (n > 1)
        buf_printf(&title, "The agent has %d questions", n);
    else
        buf_puts(&title, "The agent has a question");
    if (r->state != REQUEST_PENDING)
        permission_outcome(&text, r);
    else
        buf_puts(&text, buf_str(&title));
    buf_puts(&text, ": ");
    const char *first = json_str(cJSON_GetArrayItem(questions, 0), "question", r->summary);
    (void)text_put(&text, first, 300, TEXT_ESCAPE | TEXT_ONE_LINE);
    json_add_str(m, "text", buf_str(&text));
    cJSON *blocks = cJSON_AddArrayToObject(m, "blocks");
    _cleanup_buf_ struct buf head = BUF_INIT;
    buf_printf(&head, ":question: *%s*", buf_str(&title));
    blocks_add_section(blocks, buf_str(&head));
    if (add_questions(blocks, r, questions))
        blocks_add_context(
            blocks, ":paperclip: Shortened here. The whole text is in the file below.", NULL);
    permission_add_where(blocks, r);
    if (r->state == REQUEST_PENDING)
        add_answer_buttons(blocks, r, questions);
    else
        permission_add_outcome(blocks, r);
    return blocks ? TAKE_PTR(m) : NULL;
}

/* ---------------------------------------------------------------- the form */

static void add_own_words(cJSON *blocks, int i, bool alone, const cJSON *picks)
{
    char block[16];
    const cJSON *p;
    const char *initial = NULL;
    cJSON_ArrayForEach (p, picks) {
        if (cJSON_IsString(p))
            initial = p->valuestring;
    }
    (void)snprintf(block, sizeof block, "own%d", i);
    blocks_add_field(blocks, block, alone ? "Your answer" : "Or in your own words",
                     blocks_input(&(struct blocks_input){
                         .action_id = OWN_WORDS_INPUT,
                         .placeholder = "The agent reads this as it is.",
                         .initial = initial,
                         .max_length = WORDS_MAX,
                         .lines = true,
                     }),
                     !alone);
}

static void add_form_question(cJSON *blocks, const cJSON *q, int i, int count, const cJSON *picks)
{
    char block[16];
    size_t points = FORM_POINTS / (size_t)count, options = FORM_OPTIONS / (size_t)count;
    size_t all = (size_t)cJSON_GetArraySize(options_of(q)),
           held = options < BLOCKS_OPTIONS_MAX ? options : BLOCKS_OPTIONS_MAX;
    _cleanup_buf_ struct buf text = BUF_INIT;
    (void)put_question(&text, q, points > 2800 ? 2800 : points);
    if (all > held)
        buf_printf(&text,
                   "\n:warning: The list holds %zu of %zu options. Another one can be written%s.",
                   held, all, custom(q) ? " below" : " as a reply in the thread");
    blocks_add_section(blocks, buf_str(&text));
    (void)snprintf(block, sizeof block, "pick%d", i);
    cJSON *choice = choice_of(q, false, options, picks);
    bool alone = choice == NULL;
    blocks_add_field(blocks, block, many(q) ? "Choose any number" : "Choose one", choice,
                     custom(q));
    if (custom(q))
        add_own_words(blocks, i, alone, picks);
}

cJSON *question_modal(const struct request *r, const char *metadata, const cJSON *picks)
{
    _cleanup_json_ cJSON *detail = detail_of(r);
    const cJSON *questions = json_arr(detail, "questions"), *q;
    int n = cJSON_GetArraySize(questions), shown = n < FORM_MAX ? n : FORM_MAX, i = 0;
    cJSON *view = blocks_modal(&(struct blocks_modal){
        .callback_id = MODAL_ANSWER,
        .title = n > 1 ? "Answer the questions" : "Answer the question",
        .submit = "Answer",
        .close = "Back",
        .private_metadata = metadata,
    });
    cJSON_ArrayForEach (q, questions) {
        if (i < shown)
            add_form_question(blocks_of(view), q, i, shown, cJSON_GetArrayItem(picks, i));
        i++;
    }
    if (n > shown)
        blocks_add_context(blocks_of(view),
                           "There are more questions than a form can hold: the rest stays "
                           "unanswered. The web page has them all.",
                           NULL);
    return view;
}

/* ---------------------------------------------------------------- picks */

cJSON *question_pick(int option)
{
    cJSON *picks = cJSON_CreateArray(), *one = cJSON_CreateArray();
    (void)cJSON_AddItemToArray(one, cJSON_CreateNumber(option));
    (void)cJSON_AddItemToArray(picks, one);
    return picks;
}

/* A number as we wrote it into an option's value; -1 when it is none. */
static int option_number(const cJSON *option)
{
    const char *value = json_str(option, "value", "");
    size_t digits = strspn(value, "0123456789");
    int n = 0;
    if (digits == 0 || digits > 4 || value[digits])
        return -1;
    for (size_t i = 0; i < digits; i++)
        n = n * 10 + (value[i] - '0');
    return n;
}

static void take_number(cJSON *picks, const cJSON *option)
{
    int n = option_number(option);
    if (n >= 0)
        (void)cJSON_AddItemToArray(picks, cJSON_CreateNumber(n));
}

/* What is chosen in one element. */
static void take_chosen(cJSON *picks, const cJSON *element)
{
    const cJSON *option;
    if (json_obj(element, "selected_option"))
        take_number(picks, json_obj(element, "selected_option"));
    cJSON_ArrayForEach (option, json_arr(element, "selected_options")) {
        take_number(picks, option);
    }
}

cJSON *question_picks_of_message(const cJSON *values)
{
    cJSON *picks = cJSON_CreateArray(), *one = cJSON_CreateArray();
    const cJSON *block;
    cJSON_ArrayForEach (block, values) {
        take_chosen(one, json_obj(block, ACTION_PICK));
    }
    (void)cJSON_AddItemToArray(picks, one);
    return picks;
}

static const cJSON *form_block(const cJSON *values, const char *prefix, int i)
{
    char name[16];
    (void)snprintf(name, sizeof name, "%s%d", prefix, i);
    return json_obj(values, name);
}

static bool blank(const char *s)
{
    return s[strspn(s, " \t\r\n")] == '\0';
}

/* The picks of question `i` of the form; NULL: there is no such question. */
static cJSON *form_picks(const cJSON *values, int i)
{
    const cJSON *choice = form_block(values, "pick", i), *own = form_block(values, "own", i);
    if (!choice && !own)
        return NULL;
    cJSON *one = cJSON_CreateArray();
    take_chosen(one, json_obj(choice, ACTION_PICK));
    const char *words = json_str(json_obj(own, OWN_WORDS_INPUT), "value", "");
    if (!blank(words))
        (void)cJSON_AddItemToArray(one, cJSON_CreateString(words));
    return one;
}

cJSON *question_picks_of_form(const cJSON *values)
{
    cJSON *picks = cJSON_CreateArray();
    for (int i = 0; i < FORM_MAX; i++) {
        cJSON *one = form_picks(values, i);
        if (!one)
            break;
        (void)cJSON_AddItemToArray(picks, one);
    }
    return picks;
}

cJSON *question_form_errors(const cJSON *values)
{
    _cleanup_json_ cJSON *errors = cJSON_CreateObject();
    for (int i = 0; i < FORM_MAX; i++) {
        char name[16];
        _cleanup_json_ cJSON *one = form_picks(values, i);
        if (!one)
            break;
        bool choice = form_block(values, "pick", i) != NULL;
        (void)snprintf(name, sizeof name, "%s%d", choice ? "pick" : "own", i);
        if (cJSON_GetArraySize(one) == 0)
            json_add_str(errors, name, "Choose or write an answer.");
    }
    if (cJSON_GetArraySize(errors) == 0)
        return NULL;
    cJSON *answer = cJSON_CreateObject();
    json_add_str(answer, "response_action", "errors");
    (void)cJSON_AddItemToObject(answer, "errors", TAKE_PTR(errors));
    return answer;
}

/* ---------------------------------------------------------------- words in the thread */

/* The number of the option that `s` names, by its label or its place; -1: none. */
static int option_named(const cJSON *q, const char *s, size_t len)
{
    const cJSON *option;
    int n = 0;
    cJSON_ArrayForEach (option, options_of(q)) {
        const char *label = json_str(option, "label", "");
        char place[16];
        (void)snprintf(place, sizeof place, "%d", n + 1);
        if ((strlen(label) == len && strncasecmp(label, s, len) == 0) ||
            (strlen(place) == len && strncmp(place, s, len) == 0))
            return n;
        n++;
    }
    return -1;
}

/* "1, Blue" of a question that takes several; false when a part is no option. */
static bool take_parts(cJSON *one, const cJSON *q, const char *text)
{
    while (*text) {
        size_t n = strcspn(text, ",");
        const char *s = text + strspn(text, " \t\r\n");
        const char *end = text + n;
        while (end > s && strchr(" \t\r\n", end[-1]))
            end--;
        int option = option_named(q, s, end > s ? (size_t)(end - s) : 0);
        if (option < 0)
            return false;
        if (!picked(one, option))
            (void)cJSON_AddItemToArray(one, cJSON_CreateNumber(option));
        text += n + (text[n] == ',');
    }
    return cJSON_GetArraySize(one) > 0;
}

cJSON *question_picks_of_text(const struct request *r, const char *text)
{
    _cleanup_json_ cJSON *detail = detail_of(r), *one = cJSON_CreateArray();
    const cJSON *q = cJSON_GetArrayItem(json_arr(detail, "questions"), 0);
    int option = option_named(q, text, strlen(text));
    if (option >= 0)
        return question_pick(option);
    if (!many(q) || !take_parts(one, q, text)) {
        if (!custom(q) || blank(text))
            return NULL;
        cJSON_Delete(one);
        one = cJSON_CreateArray();
        (void)cJSON_AddItemToArray(one, cJSON_CreateString(text));
    }
    cJSON *picks = cJSON_CreateArray();
    (void)cJSON_AddItemToArray(picks, TAKE_PTR(one));
    return picks;
}

/* ---------------------------------------------------------------- answers */

/* The labels of one question's picks; NULL when one does not fit. */
static cJSON *labels_of(const cJSON *q, const cJSON *picks)
{
    _cleanup_json_ cJSON *labels = cJSON_CreateArray();
    const cJSON *p;
    cJSON_ArrayForEach (p, picks) {
        const cJSON *option =
            cJSON_IsNumber(p) ? cJSON_GetArrayItem(options_of(q), p->valueint) : NULL;
        if (cJSON_IsString(p) ? !custom(q) : !option)
            return NULL;
        const char *label = option ? json_str(option, "label", "") : p->valuestring;
        (void)cJSON_AddItemToArray(labels, cJSON_CreateString(label));
    }
    return TAKE_PTR(labels);
}

char *question_answers(const struct request *r, const cJSON *picks)
{
    _cleanup_json_ cJSON *detail = detail_of(r), *answers = cJSON_CreateArray();
    const cJSON *q;
    int i = 0, given = 0;
    cJSON_ArrayForEach (q, json_arr(detail, "questions")) {
        cJSON *labels = labels_of(q, cJSON_GetArrayItem(picks, i++));
        if (!labels)
            return NULL;
        given += cJSON_GetArraySize(labels);
        (void)cJSON_AddItemToArray(answers, labels);
    }
    return given ? json_print(answers) : NULL;
}

void question_put_answers(struct buf *out, const char *answers_json)
{
    _cleanup_json_ cJSON *answers = NULL;
    _cleanup_buf_ struct buf text = BUF_INIT;
    const cJSON *one, *label;
    if (json_parse(&answers, answers_json ? answers_json : "",
                   strlen(answers_json ? answers_json : ""), NULL) < 0)
        return;
    cJSON_ArrayForEach (one, answers) {
        buf_puts(&text, one == answers->child ? "" : "; ");
        if (cJSON_GetArraySize(one) == 0)
            buf_puts(&text, "\xe2\x80\x93");
        cJSON_ArrayForEach (label, one) {
            buf_printf(&text, "%s%s", label == one->child ? "" : ", ",
                       cJSON_IsString(label) ? label->valuestring : "");
        }
    }
    if (text.len == 0)
        return;
    buf_puts(out, ": ");
    (void)text_put(out, buf_str(&text), 500, TEXT_ESCAPE | TEXT_ONE_LINE);
}
