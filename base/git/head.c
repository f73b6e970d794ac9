#include "base/git/git.h"

#include "base/core/buf.h"
#include "base/core/cleanup.h"
#include "base/core/file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define REF_MAX    ((size_t)4096)
#define PACKED_MAX ((size_t)8 << 20)

bool gitrepo_is(const char *path)
{
    _cleanup_free_ char *git = path_join(path, ".git");
    struct stat st;
    return git && stat(git, &st) == 0;
}

static bool take_hash(const char *text, char ret[GITREPO_HASH_SIZE])
{
    if (strspn(text, "0123456789abcdef") != GITREPO_HASH_SIZE - 1)
        return false;
    memcpy(ret, text, GITREPO_HASH_SIZE - 1);
    ret[GITREPO_HASH_SIZE - 1] = '\0';
    return true;
}

static char *read_line(const char *folder, const char *name)
{
    _cleanup_free_ char *path = path_join(folder, name);
    char *text = NULL;
    if (!path || file_read(path, REF_MAX, &text, NULL) < 0)
        return NULL;
    text[strcspn(text, "\r\n")] = '\0';
    return text;
}

/* The folder that .git is, or names ("gitdir: …" of a worktree). */
static char *git_folder(const char *path)
{
    _cleanup_free_ char *git = path_join(path, ".git");
    struct stat st;
    if (!git || stat(git, &st) < 0)
        return NULL;
    if (S_ISDIR(st.st_mode))
        return TAKE_PTR(git);
    _cleanup_free_ char *line = read_line(path, ".git");
    if (!line || strncmp(line, "gitdir: ", 8) != 0)
        return NULL;
    return line[8] == '/' ? strdup(line + 8) : path_join(path, line + 8);
}

static int packed_ref(const char *folder, const char *ref, char ret[GITREPO_HASH_SIZE])
{
    _cleanup_free_ char *path = path_join(folder, "packed-refs");
    _cleanup_free_ char *text = NULL;
    if (!path || file_read(path, PACKED_MAX, &text, NULL) < 0)
        return -ENOENT;
    char *next = text;
    for (char *line; (line = strsep(&next, "\n"));) {
        char *space = strchr(line, ' ');
        if (space && strcmp(space + 1, ref) == 0 && take_hash(line, ret))
            return 0;
    }
    return -ENOENT;
}

int gitrepo_head(const char *path, char ret[GITREPO_HASH_SIZE])
{
    _cleanup_free_ char *folder = git_folder(path);
    _cleanup_free_ char *head = folder ? read_line(folder, "HEAD") : NULL;
    if (!head)
        return -ENOENT;
    if (strncmp(head, "ref: ", 5) != 0)
        return take_hash(head, ret) ? 0 : -ENOENT;
    const char *ref = head + 5;
    if (strncmp(ref, "refs/", 5) != 0 || strstr(ref, ".."))
        return -ENOENT;
    /* A worktree's branches are in the folder that `commondir` names. */
    _cleanup_free_ char *common_name = read_line(folder, "commondir");
    _cleanup_free_ char *common = NULL;
    if (common_name)
        common = common_name[0] == '/' ? strdup(common_name) : path_join(folder, common_name);
    else
        common = strdup(folder);
    _cleanup_free_ char *line = common ? read_line(common, ref) : NULL;
    if (line && take_hash(line, ret))
        return 0;
    return common ? packed_ref(common, ref, ret) : -ENOMEM;
}
