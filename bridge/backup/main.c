/* codev-backup: a consistent copy of the state volume as one archive, and back. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/file.h"
#include "base/core/parse.h"
#include "bridge/backup/tree.h"

#define EXIT_FAILED 1
#define EXIT_USAGE  2
#define NAME_START  "codev-"
#define NAME_END    ".tar.gz"

struct job {
    char *state; /* the state volume */
    const char *place;
    unsigned keep; /* 0: all */
};

static const char usage[] =
    "usage: codevctl backup [--state DIR] [--keep N] FOLDER\n"
    "       codevctl restore [--state DIR] FILE|FOLDER\n"
    "A consistent copy of the state volume (OpenCode's and the gateway's state; default\n"
    "$HOME/.local) as FOLDER/codev-TIME.tar.gz, also while both are writing; and back, into an\n"
    "empty volume only: FILE, or the newest in FOLDER.\n"
    "  --state DIR   another volume\n"
    "  --keep N      afterwards remove all but the newest N\n"
    "Exit status: 0 done, 1 failed (nothing is left half-way), 2 usage.\n";

/* tar(1) in `folder`; its complaints go to our stderr. 0 or -errno with `e`. */
static int run_tar(const char *how, const char *archive, const char *folder, struct error *e)
{
    pid_t pid = fork();
    if (pid < 0)
        return error_set_errno(e, -errno, "cannot start tar");
    if (pid == 0) {
        (void)execlp("tar", "tar", how, archive, "-C", folder, ".", (char *)NULL);
        _exit(127);
    }
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return error_set_errno(e, -errno, "cannot wait for tar");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    return error_set(e, -EIO, "tar failed (status %d)",
                     WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

static int sync_file(const char *path)
{
    _cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static bool is_archive(const char *name)
{
    size_t n = strlen(name), end = sizeof NAME_END - 1;
    return strncmp(name, NAME_START, sizeof NAME_START - 1) == 0 && n > end &&
           strcmp(name + n - end, NAME_END) == 0;
}

static int only_archives(const struct dirent *d)
{
    return is_archive(d->d_name);
}

static int archive_in(const char *folder, const char *staging, char **ret, struct error *e)
{
    char name[64];
    time_t now = time(NULL);
    struct tm tm;
    (void)gmtime_r(&now, &tm);
    (void)strftime(name, sizeof name, NAME_START "%Y%m%dT%H%M%SZ" NAME_END, &tm);
    _cleanup_free_ char *path = path_join(folder, name), *partial = NULL;
    if (!path || asprintf(&partial, "%s/." NAME_START "partial-%d", folder, (int)getpid()) < 0)
        return error_set_errno(e, -ENOMEM, "backup");
    (void)umask(0077);
    int r = run_tar("-czf", partial, staging, e);
    if (r == 0 && ((r = sync_file(partial)) < 0 || rename(partial, path) < 0))
        r = error_set_errno(e, r < 0 ? r : -errno, "cannot keep %s", path);
    if (r < 0)
        (void)unlink(partial);
    else
        *ret = TAKE_PTR(path);
    return r;
}

/* Names hold the time, so their order is that of their age. */
static void forget_old(const char *folder, unsigned keep)
{
    struct dirent **list;
    int n = scandir(folder, &list, only_archives, alphasort);
    for (int i = 0; i < n; i++) {
        _cleanup_free_ char *path = path_join(folder, list[i]->d_name);
        if (keep && path && (unsigned)(n - i) > keep && unlink(path) == 0)
            (void)printf("removed %s\n", path);
        free(list[i]);
    }
    if (n >= 0)
        free(list);
}

static int backup(const struct job *j, struct error *e)
{
    struct stat st;
    if (stat(j->state, &st) < 0)
        return error_set_errno(e, -errno, "cannot read the state volume %s", j->state);
    int r = file_mkdir_p(j->place, 0700);
    if (r < 0)
        return error_set_errno(e, r, "cannot make %s", j->place);
    /* Where the archive goes there is room; beside it, so that a killed backup shows. */
    _cleanup_free_ char *staging = path_join(j->place, ".codev-staging-XXXXXX"), *path = NULL;
    if (!staging || !mkdtemp(staging))
        return error_set_errno(e, -errno, "cannot make a folder in %s", j->place);
    struct tree_count count;
    r = tree_copy(j->state, staging, &count, e);
    if (r == 0)
        r = archive_in(j->place, staging, &path, e);
    (void)file_remove_tree(staging);
    if (r < 0)
        return r;
    (void)printf("%s: %zu files, %zu databases\n", path, count.files, count.databases);
    forget_old(j->place, j->keep);
    return 0;
}

static int find_archive(const char *place, char **ret, struct error *e)
{
    struct stat st;
    if (stat(place, &st) < 0)
        return error_set_errno(e, -errno, "cannot read %s", place);
    if (!S_ISDIR(st.st_mode)) {
        *ret = strdup(place);
        return *ret ? 0 : -ENOMEM;
    }
    struct dirent **list;
    int n = scandir(place, &list, only_archives, alphasort);
    for (int i = 0; i < n; i++) {
        if (i == n - 1)
            *ret = path_join(place, list[i]->d_name);
        free(list[i]);
    }
    if (n >= 0)
        free(list);
    return *ret ? 0 : error_set(e, -ENOENT, "there is no backup in %s", place);
}

/* Everything is unpacked beside its place first; then each part is moved by one rename. */
static int move_up(const char *from, const char *to, struct error *e)
{
    DIR *dir = opendir(from);
    if (!dir)
        return error_set_errno(e, -errno, "cannot read %s", from);
    int r = 0;
    for (struct dirent *d; r == 0 && (d = readdir(dir));) {
        if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
            continue;
        _cleanup_free_ char *a = path_join(from, d->d_name), *b = path_join(to, d->d_name);
        if (!a || !b || rename(a, b) < 0)
            r = error_set_errno(e, -errno, "cannot move %s to its place", d->d_name);
    }
    (void)closedir(dir);
    return r;
}

static int restore(const struct job *j, struct error *e)
{
    _cleanup_free_ char *archive = NULL, *staging = path_join(j->state, ".codev-restore-XXXXXX");
    int r = find_archive(j->place, &archive, e);
    if (r < 0)
        return r;
    r = tree_is_empty(j->state);
    if (r < 0)
        return error_set_errno(e, r, "cannot read %s", j->state);
    if (r == 0)
        return error_set(e, -ENOTEMPTY,
                         "%s is not empty, and nothing is ever written over: give the pod a new "
                         "claim, with the pod scaled to 0",
                         j->state);
    if (!staging || !mkdtemp(staging))
        return error_set_errno(e, -errno, "cannot make a folder in %s", j->state);
    (void)chmod(staging, 0700);
    r = run_tar("-xpzf", archive, staging, e);
    if (r == 0)
        r = move_up(staging, j->state, e);
    (void)file_remove_tree(staging);
    if (r == 0)
        (void)printf("%s: restored into %s\n", archive, j->state);
    return r;
}

static int take_options(int argc, char **argv, struct job *j)
{
    static const struct option longs[] = {
        { "state", required_argument, NULL, 's' },
        { "keep", required_argument, NULL, 'k' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    uint64_t n;
    for (int c; (c = getopt_long(argc, argv, "s:k:h", longs, NULL)) != -1;) {
        if (c == 's') {
            free(j->state);
            j->state = strdup(optarg);
        } else if (c == 'k' && parse_u64(optarg, 1, 10000, &n) == 0) {
            j->keep = (unsigned)n;
        } else {
            (void)fputs(usage, c == 'h' ? stdout : stderr);
            return c == 'h' ? 0 : EXIT_USAGE;
        }
    }
    if (argc - optind != 1) {
        (void)fputs(usage, stderr);
        return EXIT_USAGE;
    }
    j->place = argv[optind];
    return -1;
}

int main(int argc, char **argv)
{
    struct job j = { 0 };
    struct error e = ERROR_INIT;
    const char *home = getenv("CODEV_HOME"), *what = argc > 1 ? argv[1] : "";
    bool back = strcmp(what, "restore") == 0;
    if (!back && strcmp(what, "backup") != 0) {
        (void)fputs(usage, strcmp(what, "--help") == 0 ? stdout : stderr);
        return strcmp(what, "--help") == 0 ? 0 : EXIT_USAGE;
    }
    home = home && *home ? home : getenv("HOME");
    j.state = path_join(home ? home : "/home/coder", ".local");
    int status = take_options(argc - 1, argv + 1, &j);
    if (status < 0) {
        int r =
            !j.state ? error_set_errno(&e, -ENOMEM, "backup") : (back ? restore : backup)(&j, &e);
        status = r < 0 ? EXIT_FAILED : 0;
        if (r < 0)
            (void)fprintf(stderr, "codevctl %s: %s\n", what, e.message);
        else if (fflush(stdout) != 0)
            status = EXIT_FAILED;
    }
    free(j.state);
    return status;
}
