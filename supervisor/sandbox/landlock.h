/* Landlock: rules for files and ports, by what the kernel's ABI level has. Called by apply.c. */
#pragma once

#include "supervisor/sandbox/sandbox.h"

/* Rights and scopes that a domain of this sandbox handles at ABI level `abi`; 0 below its level. */
struct landlock_masks {
    uint64_t files, net, scopes;
};
void landlock_masks(const struct sandbox *s, int abi, struct landlock_masks *ret);
/* The rights that an access means, of those that `handled` has. */
uint64_t landlock_rights(enum sandbox_access access, uint64_t handled);

/* The ABI level of the running kernel, or -errno. */
int landlock_abi(void);

/* Puts this process into the domain. Needs no_new_privs (or CAP_SYS_ADMIN). 0 or -errno. */
int landlock_enter(const struct sandbox *s, const struct sandbox_where *where, int abi,
                   struct sandbox_report *report);
