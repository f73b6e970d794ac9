/* What people wrote while nobody listened. Slack delivers an event again for a few minutes only;
 * after an absence the threads of open sessions and the channels are read from where they were read
 * last, and what is found is taken in as if its event had come: once. */
#pragma once

#include <stdbool.h>

struct slack;
struct catchup;

int catchup_new(struct catchup **ret, struct slack *s);
void catchup_free(struct catchup *c);

/* Socket Mode came or went. */
void catchup_link(struct catchup *c, bool up);
/* It is known now who the app is. */
void catchup_ready(struct catchup *c);
