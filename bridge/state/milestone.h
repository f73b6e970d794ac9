/* The milestones at which a session's state is committed. */
#pragma once

enum milestone {
    MILESTONE_SESSION_CREATED,
    MILESTONE_QUESTION_ANSWERED,
    MILESTONE_PR_CREATED,         /* by store_milestone_put(), its URL as `ref` */
    MILESTONE_DEPLOYMENT_CREATED, /* the same, its namespace */
    MILESTONE_SESSION_ENDED,
    MILESTONE_MAX,
};

const char *milestone_name(enum milestone m); /* "session_created", in the store and the file */
/* "session created": for the commit's message. A name that is not in the table stands for itself:
 * of a gateway that is newer. */
const char *milestone_text(const char *name);
/* Where it stands in a session's life, for the order of those of one moment. */
int milestone_rank(const char *name);
