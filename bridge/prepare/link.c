#include "bridge/prepare/link.h"

#include "base/core/cleanup.h"
#include "base/core/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ASIDE_MAX 100

bool link_is(const char *link, const char *target)
{
    char now[PATH_MAX];
    ssize_t n = readlink(link, now, sizeof now - 1);
    if (n < 0)
        return false;
    now[n] = '\0';
    return strcmp(now, target) == 0;
}

static int move_aside(const char *link, char *moved, size_t moved_size, struct error *e)
{
    for (int n = 1; n <= ASIDE_MAX; n++) {
        if ((size_t)snprintf(moved, moved_size, "%s.replaced-by-codev-%d", link, n) >= moved_size)
            return error_set_errno(e, -ENAMETOOLONG, "cannot move %s aside", link);
        if (renameat2(AT_FDCWD, link, AT_FDCWD, moved, RENAME_NOREPLACE) == 0)
            return 0;
        if (errno != EEXIST)
            return error_set_errno(e, -errno, "cannot move %s aside", link);
    }
    return error_set(e, -EEXIST, "cannot move %s aside: remove old .replaced-by-codev-* beside it",
                     link);
}

int link_put(const char *link, const char *target, char *moved, size_t moved_size, struct error *e)
{
    moved[0] = '\0';
    if (link_is(link, target))
        return 0;
    _cleanup_free_ char *folder = strdup(link);
    _cleanup_free_ char *fresh = NULL;
    if (!folder || asprintf(&fresh, "%s.codev-new", link) < 0) {
        fresh = NULL;
        return error_set_errno(e, -ENOMEM, "link");
    }
    *strrchr(folder, '/') = '\0';
    int r = file_mkdir_p(folder, 0755);
    if (r < 0)
        return error_set_errno(e, r, "cannot make %s", folder);
    if (unlink(fresh) < 0 && errno != ENOENT)
        return error_set_errno(e, -errno, "cannot remove %s", fresh);
    if (symlink(target, fresh) < 0)
        return error_set_errno(e, -errno, "cannot make a link in %s", folder);
    struct stat st;
    if (lstat(link, &st) == 0 && !S_ISLNK(st.st_mode))
        r = move_aside(link, moved, moved_size, e);
    if (r == 0 && rename(fresh, link) < 0)
        r = error_set_errno(e, -errno, "cannot put the link at %s", link);
    if (r < 0)
        (void)unlink(fresh);
    return r;
}
