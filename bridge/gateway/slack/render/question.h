/* What a question of the agent looks like in Slack, and how what people pick becomes an answer.
 * Pure. One question with a few options is answered by a button each, with more by a list, several
 * options at once by boxes and a button; everything else, and words of one's own, by a form. Slack
 * only ever holds the number of an option: its text is read from the request. */
#pragma once

#include "base/core/buf.h"
#include "base/json/json.h"
#include "bridge/gateway/core/core.h"

#define ACTION_OPTION   "answer_option_" /* and the option's number */
#define ACTION_PICK     "answer_pick"    /* the list, the boxes */
#define ACTION_SUBMIT   "answer_submit"  /* what is picked in the boxes */
#define ACTION_FORM     "answer_form"    /* opens the form */
#define ACTION_DISMISS  "answer_dismiss"
#define MODAL_ANSWER    "answer_question"
#define PICK_BLOCK      "pick:" /* and the request's value: the block of the list or the boxes */
#define WORDS_MAX       3000
#define OWN_WORDS_INPUT "words"

/* As permission_message(). */
/* All of it as text, malloc'ed, when the message shows only a part; else NULL. */
char *question_whole(const struct request *r);
cJSON *question_message(const struct request *r);

/* The form with all questions of the request. `picks`: what is picked already, or NULL. */
cJSON *question_modal(const struct request *r, const char *metadata, const cJSON *picks);

/* ---- picks: for each question an array of option numbers and texts, [[0],[1,"my own"]] ---- */

/* Of the single question: one option. */
cJSON *question_pick(int option);
/* Of the single question, from the state of a message: what is ticked. Never NULL but for memory.
 */
cJSON *question_picks_of_message(const cJSON *values);
/* Of all, from the state of the form. */
cJSON *question_picks_of_form(const cJSON *values);
/* {"response_action":"errors",…} when something is left open; else NULL. */
cJSON *question_form_errors(const cJSON *values);
/* Of the single question of `r`, from what a person wrote: the number or label of an option,
 * several with commas, or words where they are welcome. NULL: it is no answer. */
cJSON *question_picks_of_text(const struct request *r, const char *text);
/* How many questions the request holds. */
int question_count(const struct request *r);

/* [["label",…],…] as OpenCode wants them, malloc'ed; NULL when the picks do not fit, or nothing is
 * picked at all. */
char *question_answers(const struct request *r, const cJSON *picks);

/* ": Red, Blue; No" for people, mrkdwn; nothing when it is not known. */
void question_put_answers(struct buf *out, const char *answers_json);
