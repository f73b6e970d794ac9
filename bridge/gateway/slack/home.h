/* The app's Home tab: what waits for an answer, the sessions, how to begin. */
#pragma once

#include "base/json/json.h"

struct slack;

/* The event app_home_opened: publishes the page for that person. */
void home_opened(struct slack *s, const cJSON *event);
/* Publishes it anew. */
void home_show(struct slack *s, const char *user);
