#include "supervisor/init/runtime_dir.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/file.h"

/* Never through a link: /tmp is everybody's. */
static int claim(const char *dir, bool parents)
{
    struct stat st;
    int r = parents ? file_mkdir_p(dir, 0700) : 0;
    if (!parents && mkdir(dir, 0700) < 0 && errno != EEXIST)
        r = -errno;
    if (r < 0)
        return r;
    if (lstat(dir, &st) < 0)
        return -errno;
    if (!S_ISDIR(st.st_mode))
        return -ENOTDIR;
    if (st.st_uid != geteuid() && geteuid() != 0)
        return -EPERM;
    if ((st.st_mode & 077) && chmod(dir, 0700) < 0)
        return -errno;
    return access(dir, W_OK | X_OK) < 0 ? -errno : 0;
}

/* A mounted emptyDir belongs to root and is everybody's to write: a folder of our own in it. */
static int claim_inside(const char *dir, char *sub, size_t size)
{
    struct stat st;
    if (lstat(dir, &st) < 0)
        return -errno;
    if (!S_ISDIR(st.st_mode))
        return -ENOTDIR;
    if ((size_t)snprintf(sub, size, "%s/%u", dir, (unsigned)geteuid()) >= size)
        return -ENAMETOOLONG;
    return claim(sub, false);
}

int runtime_dir_open(char *out, size_t size)
{
    char xdg[256] = "", tmp[64];
    const char *set = getenv("CODEV_RUNTIME_DIR"), *base = getenv("XDG_RUNTIME_DIR");
    if (base && *base)
        (void)snprintf(xdg, sizeof xdg, "%s/codev", base);
    (void)snprintf(tmp, sizeof tmp, "/tmp/codev-%u", (unsigned)geteuid());
    const char *places[] = { set && *set ? set : "/run/codev", xdg, tmp };
    size_t count = set && *set ? 1 : ARRAY_SIZE(places);
    int r = -ENOENT;
    for (size_t i = 0; i < count; i++) {
        if (!*places[i])
            continue;
        const char *place = places[i];
        char sub[300];
        r = claim(place, set && *set);
        if (r == -EPERM && claim_inside(place, sub, sizeof sub) == 0) {
            place = sub;
            r = 0;
        }
        if (r == 0)
            return (size_t)snprintf(out, size, "%s", place) < size ? 0 : -ENAMETOOLONG;
    }
    return r;
}
