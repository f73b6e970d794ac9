#include "bridge/prepare/trap.h"

#include "base/core/cleanup.h"
#include "base/core/file.h"
#include "base/core/log.h"
#include "bridge/prepare/filelist.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char lock_text[] =
    "{\"lockfileVersion\":3,\"packages\":{\"\":{\"dependencies\":{\"@opencode-ai/plugin\":\"*\"}}}}\n";

static void dir_close(DIR **d)
{
    if (*d)
        (void)closedir(*d);
}

static bool there(const char *folder, const char *name)
{
    _cleanup_free_ char *path = path_join(folder, name);
    struct stat st;
    return path && lstat(path, &st) == 0;
}

static bool holds_files(const char *folder, const char *name)
{
    _cleanup_free_ char *path = path_join(folder, name);
    _cleanup_(dir_close) DIR *dir = path ? opendir(path) : NULL;
    for (struct dirent *d; dir && (d = readdir(dir));)
        if (d->d_name[0] != '.')
            return true;
    return false;
}

static bool has_own_code(const char *folder)
{
    static const char *const names[] = { "plugin", "plugins", "tool", "tools" };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (holds_files(folder, names[i]))
            return true;
    return false;
}

static bool lock_is_ours(const char *path)
{
    _cleanup_free_ char *text = NULL;
    return file_read(path, sizeof lock_text, &text, NULL) == 0 && strcmp(text, lock_text) == 0;
}

void trap_disarm(const char *folder, struct report *report)
{
    _cleanup_free_ char *lock = path_join(folder, "package-lock.json");
    _cleanup_free_ char *modules = path_join(folder, "node_modules");
    struct stat st;
    if (!lock || !modules || stat(folder, &st) < 0 || !S_ISDIR(st.st_mode) ||
        access(folder, W_OK) < 0)
        return; /* OpenCode leaves a folder alone that it can't write to */
    bool ours = lock_is_ours(lock);
    if (has_own_code(folder) || there(folder, "package.json")) {
        if (ours && unlink(lock) == 0)
            log_info("%s has code of its own now: OpenCode may install its dependencies", folder);
        return;
    }
    int r = 0;
    if (!ours && !there(folder, "package-lock.json"))
        r = file_write_atomic(lock, lock_text, strlen(lock_text), 0644);
    if (r == 0 && (ours || lock_is_ours(lock)))
        r = file_mkdir_p(modules, 0755);
    if (r < 0)
        report_note(report, "cannot write to %s: %s; offline, OpenCode may start slowly", folder,
                    strerror(-r));
}

int trap_close(const char *folder, struct error *e)
{
    static const char ignore_text[] = "node_modules\npackage.json\npackage-lock.json\nbun.lock\n"
                                      ".gitignore\n";
    _cleanup_free_ char *lock = path_join(folder, "package-lock.json");
    _cleanup_free_ char *ignore = path_join(folder, ".gitignore");
    _cleanup_free_ char *modules = path_join(folder, "node_modules");
    int r = lock && ignore && modules ? file_mkdir_p(modules, 0755) : -ENOMEM;
    if (r == 0)
        r = filelist_put(lock, lock_text, strlen(lock_text));
    if (r == 0)
        r = filelist_put(ignore, ignore_text, strlen(ignore_text));
    return r < 0 ? error_set_errno(e, r, "cannot write to %s", folder) : 0;
}
