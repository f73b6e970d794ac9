/* Where libcurl's archive is linked in (mk/build.mk): what it would call of libraries for protocols
 * that base/http never lets it use. scripts/absent.sh makes a list of these from the archive. */
#pragma once

#include <stdio.h>
#include <stdlib.h>

/* Not reached by an http or https request with the options of ours. */
#define ABSENT(name)                                                                               \
    void name(void);                                                                               \
    __attribute__((noreturn)) void name(void)                                                      \
    {                                                                                              \
        (void)fputs("libcurl called " #name "(), which is not linked in\n", stderr);               \
        abort();                                                                                   \
    }

/* Reached: at the start, by a name that is not ASCII, by a transfer encoding that nobody asked for.
 * NULL is a failure there, or 0 that all is well. */
#define NOTHING(name)                                                                              \
    void *name(void);                                                                              \
    void *name(void)                                                                               \
    {                                                                                              \
        return NULL;                                                                               \
    }
