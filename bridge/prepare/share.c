#include "bridge/prepare/share.h"

#include "base/core/cleanup.h"
#include "base/core/file.h"
#include "base/core/log.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONFIG_MAX ((size_t)4 << 20)

static const char *const config_files[] = { "config.json", "opencode.json", "opencode.jsonc" };
static const char *const others[] = { "AGENTS.md", "agent", "agents", "command",
                                      "commands",  "mode",  "modes",  "themes" };

/* A link of ours: it names `target` exactly. */
static bool is_own_link(const char *path, const char *target)
{
    char now[PATH_MAX];
    ssize_t n = readlink(path, now, sizeof now - 1);
    if (n < 0)
        return false;
    now[n] = '\0';
    return strcmp(now, target) == 0;
}

static bool has_relative_paths(const char *path)
{
    _cleanup_free_ char *text = NULL;
    static const char *const signs[] = { "\"./", "\"../", "{file:." };
    if (file_read(path, CONFIG_MAX, &text, NULL) < 0)
        return true;
    for (size_t i = 0; i < ARRAY_SIZE(signs); i++)
        if (strstr(text, signs[i]))
            return true;
    return false;
}

static void share_one(const char *from, const char *to, const char *name, bool is_config,
                      struct report *report)
{
    _cleanup_free_ char *target = path_join(from, name);
    _cleanup_free_ char *link = path_join(to, name);
    struct stat st;
    if (!target || !link)
        return;
    bool own = is_own_link(link, target);
    if (access(target, F_OK) < 0) {
        if (own)
            (void)unlink(link);
        return;
    }
    if (is_config && has_relative_paths(target)) {
        if (own)
            (void)unlink(link);
        report_note(report,
                    "%s has relative paths in it: it counts in %s only, not in repositories",
                    target, from);
        return;
    }
    if (lstat(link, &st) == 0)
        return;
    if (file_mkdir_p(to, 0755) < 0 || symlink(target, link) < 0)
        log_debug("cannot link %s: %s, ignoring", link, strerror(errno));
}

/* Has the user a global config file of his own? Then none from the volume is mixed into it. */
static bool has_own_config(const char *from, const char *to)
{
    for (size_t i = 0; i < ARRAY_SIZE(config_files); i++) {
        _cleanup_free_ char *target = path_join(from, config_files[i]);
        _cleanup_free_ char *link = path_join(to, config_files[i]);
        struct stat st;
        if (target && link && lstat(link, &st) == 0 && !is_own_link(link, target))
            return true;
    }
    return false;
}

void share_config(const char *from, const char *to, struct report *report)
{
    _cleanup_free_ char *real_from = realpath(from, NULL);
    _cleanup_free_ char *real_to = realpath(to, NULL);
    if (real_from && real_to && strcmp(real_from, real_to) == 0) {
        report_note(report, "%s is a link to %s: OpenCode loads the plugins in it twice", to, from);
        return;
    }
    bool own = has_own_config(from, to);
    for (size_t i = 0; i < ARRAY_SIZE(config_files) && !own; i++)
        share_one(from, to, config_files[i], true, report);
    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        share_one(from, to, others[i], false, report);
}
