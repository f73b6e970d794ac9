/* npm's environment: an allowlist, so that a secret nobody thought of is not in it. */
#pragma once

#include <stdbool.h>

/* NULL-terminated, malloc'ed; NULL when out of memory. `cache_folder`: npm's cache when the home
 * can't hold it, else NULL. */
char **npm_env(const char *cache_folder);
void npm_env_free(char ***env);

/* May NAME=VALUE pass? */
bool npm_env_allows(const char *entry);
