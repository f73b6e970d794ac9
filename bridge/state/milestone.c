#include "bridge/state/milestone.h"

#include <string.h>

#include "base/core/cleanup.h"

static const struct {
    const char *name, *text;
} table[] = {
    [MILESTONE_SESSION_CREATED] = { "session_created", "session created" },
    [MILESTONE_QUESTION_ANSWERED] = { "question_answered", "question answered" },
    [MILESTONE_PR_CREATED] = { "pr_created", "PR created" },
    [MILESTONE_DEPLOYMENT_CREATED] = { "deployment_created", "deployment created" },
    [MILESTONE_SESSION_ENDED] = { "session_ended", "session ended" },
};
_Static_assert(ARRAY_SIZE(table) == MILESTONE_MAX, "a row for every milestone");

static int find(const char *name)
{
    for (int i = 0; i < MILESTONE_MAX; i++)
        if (strcmp(table[i].name, name) == 0)
            return i;
    return -1;
}

const char *milestone_name(enum milestone m)
{
    return table[m].name;
}

const char *milestone_text(const char *name)
{
    int i = find(name);
    return i < 0 ? name : table[i].text;
}

int milestone_rank(const char *name)
{
    /* First of all the beginning, last of all the end; what is between goes by its time. */
    int i = find(name);
    return i == MILESTONE_SESSION_CREATED ? 0 : i == MILESTONE_SESSION_ENDED ? 2 : 1;
}
