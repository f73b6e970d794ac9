#include "bridge/prepare/prepare.h"

#include "base/core/cleanup.h"
#include "base/core/file.h"
#include "base/git/git.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

static void dir_close(DIR **d)
{
    if (*d)
        (void)closedir(*d);
}

static bool folder_empty(const char *path)
{
    _cleanup_(dir_close) DIR *dir = opendir(path);
    if (!dir)
        return false;
    for (struct dirent *d; (d = readdir(dir));)
        if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
            return false;
    return true;
}

static enum found no_plugin(const struct settings *s, struct error *e)
{
    struct stat st;
    if (stat(s->repo_path, &st) < 0) {
        if (errno == ENOENT)
            return FOUND_NO_CHECKOUT;
        (void)error_set_errno(e, -errno, "cannot look at %s", s->repo_path);
        return FOUND_WRONG;
    }
    if (!S_ISDIR(st.st_mode)) {
        (void)error_set(e, -ENOTDIR, "%s is a file, not a checkout of ai-dev", s->repo_path);
        return FOUND_WRONG;
    }
    return folder_empty(s->repo_path) ? FOUND_NO_CHECKOUT : FOUND_NO_PLUGIN;
}

enum found step_find(const struct prepare *p, struct error *e)
{
    const struct settings *s = p->settings;
    struct stat st;
    if (stat(s->plugin_path, &st) < 0) {
        if (errno == ENOENT || errno == ENOTDIR)
            return no_plugin(s, e);
        (void)error_set_errno(e, -errno, "cannot look at %s", s->plugin_path);
        return FOUND_WRONG;
    }
    if (!S_ISDIR(st.st_mode)) {
        (void)error_set(e, -ENOTDIR, "%s is a file, not a plugin folder", s->plugin_path);
        return FOUND_WRONG;
    }
    _cleanup_free_ char *package = path_join(s->plugin_path, "package.json");
    if (!package || stat(package, &st) < 0)
        return FOUND_NO_PLUGIN;
    return FOUND_PLUGIN;
}
