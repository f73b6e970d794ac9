/* What a plain init says, in the words of the one that it is called as. */
#pragma once

#include "supervisor/init/plain.h"

enum plain_line {
    SAY_FORK_FAILED,
    SAY_EXEC_FAILED,
    SAY_SUBREAPER_FAILED,
    SAY_PDEATHSIG_FAILED,
    SAY_SESSION_FAILED,
    SAY_TTY_FAILED,
    SAY_SEND_FAILED,
    SAY_BAD_PARENT_SIGNAL,
    SAY_BAD_STATUS,
    SAY_BAD_REWRITE,
    SAY_NO_REAPING,
    SAY_ORPHAN,
    SAY_CHILD_WAS_DEAD,
    SAY_STARTED,
    SAY_EXITED,
    SAY_KILLED,
    SAY_OTHER_EXITED,
    SAY_OTHER_KILLED,
    SAY_RECEIVED,
    SAY_RECEIVED_CHLD,
    SAY_REWRITTEN,
    SAY_FORWARDED,
    SAY_DROPPED,
    SAY_REAPED,
    SAY_STOPPED,
    SAY_SUSPENDING,
    SAY_TTY_KEPT,
    SAY_TTY_LEFT_AS_LEADER,
    SAY_TTY_LEFT,
    SAY_TTY_SIGNAL,
    SAY_TTY_NOT_TAKEN,
    SAY_SESSION_MADE,
    SAY_CHDIR_FAILED,
    SAY_DEBUGGING,
    SAY_NO_SESSION,
    SAY_GOODBYE,
    SAY_MAX,
};

struct plain_words {
    int a, b;         /* numbers: a pid, a signal, a status */
    const char *text; /* a name or an argument */
    int error;        /* errno */
};

/* One line, if it is wanted and the one that we are called as has words for it. */
void plain_say(const struct plain_options *o, enum plain_line line, struct plain_words words);

/* The text of --help and the like: to descriptor `fd`, with %P for the program's name, %B for its
 * last part. */
void plain_print(const struct plain_options *o, int fd, const char *text);
