/* Which OpenCode is installed, and whether it is known to work (SPEC O4). */
#pragma once

#include "bridge/prepare/settings.h"

enum version_verdict {
    VERSION_GOOD,    /* tried */
    VERSION_UNTRIED, /* neither known to work nor to be broken */
    VERSION_BROKEN,  /* known not to work with us */
    VERSION_UNKNOWN, /* it does not tell, or there is none */
    VERSION_MAX,
};

/* Judges "1.18.33"; `*ret_why` is static, "" where there is nothing to say. */
enum version_verdict version_judge(const char *version, const char **ret_why);

/* Finds the version of the program that OpenCode will be, asks it only when the file is another one
 * than last time, tells PID 1, and by opencode.version_check keeps a broken one from starting. */
void version_check(const struct settings *s);
