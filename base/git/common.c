#include "base/git/internal.h"

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/file.h"
#include "base/core/log.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

int gitrepo_failed(struct error *e, const char *what)
{
    const git_error *last = git_error_last();
    const char *text = last && last->message ? last->message : "unknown error";
    char line[320];
    (void)snprintf(line, sizeof line, "%s", text);
    for (char *p = line; *p; p++)
        if ((unsigned char)*p < ' ')
            *p = ' ';
    return error_set(e, -EIO, "%s: %s%s", what, line,
                     strstr(line, "hostkey") ? ": is its key in ~/.ssh/known_hosts?" : "");
}

int gitrepo_start(const char *ca_file, struct error *e)
{
    if (git_libgit2_init() < 0)
        return gitrepo_failed(e, "cannot start libgit2");
    /* A volume belongs to whoever made it; what counts is whether we may read and write. libgit2
     * runs no hooks, filters or helpers that a foreign repository could name. */
    (void)git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0);
    (void)git_libgit2_opts(GIT_OPT_ENABLE_FSYNC_GITDIR, 1);
    if (ca_file && *ca_file &&
        git_libgit2_opts(GIT_OPT_SET_SSL_CERT_LOCATIONS, ca_file, NULL) < 0) {
        char what[200];
        (void)snprintf(what, sizeof what, "cannot use the CA file %.150s", ca_file);
        return gitrepo_failed(e, what);
    }
    return 0;
}

static int is_link(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    if (flag == FTW_D && ftw->level == 1 && strcmp(path + ftw->base, "hooks") == 0)
        return FTW_SKIP_SUBTREE; /* libgit2 runs none */
    return flag == FTW_SL || flag == FTW_SLN ? FTW_STOP : FTW_CONTINUE;
}

/* Whatever is in .git may be anybody's work, and libgit2 writes where it leads. */
static int check_folder(const char *git, struct error *e)
{
    _cleanup_free_ char *common = path_join(git, "commondir");
    struct stat st;
    if (!common || lstat(git, &st) < 0)
        return error_set_errno(e, common ? -errno : -ENOMEM, "cannot look at %s", git);
    if (!S_ISDIR(st.st_mode))
        return error_set(e, -ENOTDIR, "%s is not a folder but leads elsewhere", git);
    if (lstat(common, &st) == 0)
        return error_set(e, -ENOTDIR, "%s leads elsewhere", common);
    int r = nftw(git, is_link, 16, FTW_PHYS | FTW_ACTIONRETVAL);
    if (r < 0)
        return error_set_errno(e, -errno, "cannot look through %s", git);
    return r > 0 ? error_set(e, -ENOTDIR, "a link in %s leads elsewhere", git) : 0;
}

int gitrepo_open(const char *path, git_repository **ret, struct error *e)
{
    _cleanup_free_ char *git = path_join(path, ".git");
    int r = git ? check_folder(git, e) : error_set_errno(e, -ENOMEM, "cannot open the checkout");
    if (r < 0)
        return r;
    git_repository *repo = NULL;
    if (git_repository_open_ext(&repo, path, GIT_REPOSITORY_OPEN_NO_SEARCH, NULL) < 0 ||
        git_repository_set_workdir(repo, path, 0) < 0) {
        git_repository_free(repo);
        return gitrepo_failed(e, "cannot open the checkout");
    }
    *ret = repo;
    return 0;
}

int gitrepo_hash(const void *data, size_t len, char ret[GITREPO_HASH_SIZE])
{
    static bool started; /* once: starting costs 5 ms, hashing a file microseconds */
    git_oid oid;
    if (!started && git_libgit2_init() < 0)
        return -EIO;
    started = true;
    if (git_odb_hash(&oid, data, len, GIT_OBJECT_BLOB) < 0)
        return -EIO;
    (void)git_oid_tostr(ret, GITREPO_HASH_SIZE, &oid);
    return 0;
}

void gitrepo_url_display(const char *url, char *out, size_t size)
{
    const char *scheme = strstr(url, "://");
    const char *host = scheme ? scheme + 3 : url;
    const char *end = host + strcspn(host, "/");
    const char *at = NULL;
    for (const char *p = host; p < end; p++)
        if (*p == '@')
            at = p;
    /* git@host:path holds no secret; a user and password in a URL do. */
    if (!scheme || !at)
        (void)snprintf(out, size, "%s", url);
    else
        (void)snprintf(out, size, "%.*s%s", (int)(host - url), url, at + 1);
}

static int credentials(git_credential **out, const char *url, const char *user, unsigned allowed,
                       void *payload)
{
    struct gitrepo_progress *p = payload;
    const struct gitrepo_remote *remote = p->remote;
    /* libgit2 asks again for as long as the server refuses. */
    if (++p->asked > 3) {
        git_error_set_str(GIT_ERROR_HTTP, "the remote refuses the credentials");
        return GIT_EAUTH;
    }
    if (allowed & GIT_CREDENTIAL_USERNAME)
        return git_credential_username_new(out, user ? user : "git");
    if ((allowed & GIT_CREDENTIAL_SSH_KEY) && remote->key_file)
        return git_credential_ssh_key_new(out, user ? user : "git", NULL, remote->key_file, "");
    if ((allowed & GIT_CREDENTIAL_USERPASS_PLAINTEXT) && remote->token) {
        if (strncmp(url, "https://", 8) == 0)
            return git_credential_userpass_plaintext_new(out, "x-access-token", remote->token);
        git_error_set_str(GIT_ERROR_HTTP, "the token is sent over https only");
        return GIT_EAUTH;
    }
    char text[120];
    (void)snprintf(text, sizeof text, "the remote wants credentials: set %s",
                   remote->setting ? remote->setting : "plugin.token_file");
    git_error_set_str(GIT_ERROR_HTTP, text);
    return GIT_EAUTH;
}

static int transfer(const git_indexer_progress *stats, void *payload)
{
    struct gitrepo_progress *p = payload;
    uint64_t now = clock_mono_ms();
    if (now - p->last_ms < 1000)
        return 0;
    p->last_ms = now;
    if (stats->received_objects < stats->total_objects)
        log_info("%s: received %u of %u objects, %zu KiB", p->name, stats->received_objects,
                 stats->total_objects, stats->received_bytes / 1024);
    else
        log_info("%s: resolved %u of %u deltas", p->name, stats->indexed_deltas,
                 stats->total_deltas);
    return 0;
}

int gitrepo_remote_by_url(git_repository *repo, const char *url, git_remote **ret)
{
    git_remote_create_options options;
    (void)git_remote_create_options_init(&options, GIT_REMOTE_CREATE_OPTIONS_VERSION);
    options.repository = repo;
    options.flags = GIT_REMOTE_CREATE_SKIP_INSTEADOF | GIT_REMOTE_CREATE_SKIP_DEFAULT_FETCHSPEC;
    return git_remote_create_with_opts(ret, url, &options);
}

void gitrepo_callbacks(git_remote_callbacks *callbacks, struct gitrepo_progress *progress)
{
    progress->last_ms = clock_mono_ms();
    callbacks->credentials = credentials;
    callbacks->transfer_progress = transfer;
    callbacks->payload = progress;
}
