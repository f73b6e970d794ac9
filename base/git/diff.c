#include "base/git/git.h"

#include "base/git/internal.h"

#include <errno.h>

int gitrepo_diff(const char *name, const void *old, size_t old_len, const void *now, size_t now_len,
                 struct buf *out)
{
    git_patch *patch = NULL;
    git_buf text = GIT_BUF_INIT;
    if (git_libgit2_init() < 0)
        return -EIO;
    int r = git_patch_from_buffers(&patch, old, old_len, name, now, now_len, name, NULL);
    if (r == 0)
        r = git_patch_to_buf(&text, patch);
    if (r == 0)
        r = buf_append(out, text.ptr, text.size);
    git_buf_dispose(&text);
    git_patch_free(patch);
    (void)git_libgit2_shutdown();
    return r < 0 ? -EIO : 0;
}
