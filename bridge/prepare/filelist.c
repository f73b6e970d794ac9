#include "bridge/prepare/filelist.h"

#include "base/core/buf.h"
#include "base/core/file.h"
#include "base/core/parse.h"
#include "base/git/git.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DEPTH_MAX 24
#define RACY_NS   ((uint64_t)1000000000)

static const char *const not_sources[] = { "node_modules", "dist", ".git" };
static const char *const config_files[] = { "config.json", "opencode.json", "opencode.jsonc" };
static const char *const not_modules[] = { ".bin", ".package-lock.json", "@opencode" };
static const char *const not_config[] = { "node_modules",      "package.json", ".gitignore",
                                          "package-lock.json", "bun.lock",     ".git" };

void filelist_release(struct filelist *l)
{
    for (size_t i = 0; i < l->count; i++) {
        free(l->entries[i].path);
        free(l->entries[i].from);
    }
    free(l->entries);
    *l = (struct filelist){ 0 };
}

/* Takes `path` and `from` over. */
static int append(struct filelist *l, char *path, char *from, const struct stat *st)
{
    struct filelist_entry entry = {
        .path = path,
        .from = from,
        .link = S_ISLNK(st->st_mode),
        .ino = st->st_ino,
        .size = (uint64_t)st->st_size,
        .mtime_ns = (uint64_t)st->st_mtim.tv_sec * 1000000000U + (uint64_t)st->st_mtim.tv_nsec,
    };
    int r = 0;
    if (l->count == l->room) {
        size_t room = l->room ? l->room * 2 : 64;
        struct filelist_entry *more = realloc(l->entries, room * sizeof *more);
        if (more) {
            l->entries = more;
            l->room = room;
        } else {
            r = -ENOMEM;
        }
    }
    if (r == 0 && (l->count >= FILELIST_FILES || (l->bytes += entry.size) > FILELIST_BYTES))
        r = -E2BIG;
    if (r < 0) {
        free(path);
        free(from);
        return r;
    }
    l->entries[l->count++] = entry;
    return 0;
}

static bool listed(const struct filelist *l, const char *path)
{
    for (size_t i = 0; i < l->count; i++)
        if (strcmp(l->entries[i].path, path) == 0)
            return true;
    return false;
}

#define IN(names, name) is_in(names, ARRAY_SIZE(names), name)
static bool is_in(const char *const *names, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static bool skipped(const char *name, unsigned flags, bool top)
{
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return true;
    if (top && (flags & FILELIST_DIST) && strcmp(name, "dist") == 0)
        return false;
    return top && (((flags & FILELIST_SOURCES) && IN(not_sources, name)) ||
                   ((flags & FILELIST_CONFIG) && IN(not_config, name)) ||
                   ((flags & FILELIST_MODULES) && IN(not_modules, name)) ||
                   ((flags & FILELIST_NO_CONFIG_FILES) && IN(config_files, name)));
}

struct walk {
    struct filelist *list;
    unsigned flags;
    bool merge; /* others may be in the list: look */
};

static int walk_folder(const struct walk *w, const char *folder, const char *prefix, int depth);

static int walk_entry(const struct walk *w, const char *folder, const char *prefix,
                      const char *name, int depth)
{
    struct stat st;
    _cleanup_free_ char *from = path_join(folder, name);
    _cleanup_free_ char *path = NULL;
    if (!from || asprintf(&path, "%s%s", prefix, name) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    if ((w->flags & FILELIST_FOLLOW ? stat(from, &st) : lstat(from, &st)) < 0)
        return 0; /* gone, or leads nowhere */
    if (S_ISDIR(st.st_mode)) {
        _cleanup_free_ char *below = NULL;
        if (asprintf(&below, "%s/", path) < 0) {
            below = NULL;
            return -ENOMEM;
        }
        return walk_folder(w, from, below, depth + 1);
    }
    if ((!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode)) || (w->merge && listed(w->list, path)))
        return 0;
    return append(w->list, TAKE_PTR(path), TAKE_PTR(from), &st);
}

static void dir_close(DIR **d)
{
    if (*d)
        (void)closedir(*d);
}

static int walk_folder(const struct walk *w, const char *folder, const char *prefix, int depth)
{
    if (depth > DEPTH_MAX)
        return -ELOOP;
    _cleanup_(dir_close) DIR *dir = opendir(folder);
    if (!dir)
        return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
    int r = 0;
    for (struct dirent *d; r == 0 && (d = readdir(dir));)
        if (!skipped(d->d_name, w->flags, depth == 0))
            r = walk_entry(w, folder, prefix, d->d_name, depth);
    return r;
}

int filelist_walk(struct filelist *l, const char *root, const char *prefix, unsigned flags,
                  struct error *e)
{
    struct walk w = { .list = l, .flags = flags, .merge = l->count > 0 };
    if (!l->taken_ns) {
        struct timespec now;
        (void)clock_gettime(CLOCK_REALTIME, &now);
        l->taken_ns = (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
    }
    int r = walk_folder(&w, root, prefix, 0);
    if (r == -E2BIG)
        return error_set(e, r, "%s holds more than %zu files or %llu MiB", root, FILELIST_FILES,
                         (unsigned long long)(FILELIST_BYTES >> 20));
    return r < 0 ? error_set_errno(e, r, "cannot list the files of %s", root) : 0;
}

int filelist_add(struct filelist *l, const char *file, const char *path, struct error *e)
{
    struct stat st;
    if (stat(file, &st) < 0 || !S_ISREG(st.st_mode))
        return 0;
    char *name = strdup(path), *from = strdup(file);
    if (name && from)
        return append(l, name, from, &st);
    free(name);
    free(from);
    return error_set_errno(e, -ENOMEM, "cannot list %s", file);
}

void filelist_drop(struct filelist *l, bool (*drop)(const struct filelist_entry *entry, void *arg),
                   void *arg)
{
    size_t kept = 0;
    for (size_t i = 0; i < l->count; i++) {
        if (!drop(&l->entries[i], arg)) {
            l->entries[kept++] = l->entries[i];
            continue;
        }
        free(l->entries[i].path);
        free(l->entries[i].from);
    }
    l->count = kept;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct filelist_entry *)a)->path,
                  ((const struct filelist_entry *)b)->path);
}

const struct filelist_entry *filelist_search(const struct filelist_entry *entries, size_t count,
                                             const char *path)
{
    const struct filelist_entry key = { .path = (char *)(uintptr_t)path };
    return count ? bsearch(&key, entries, count, sizeof key, by_path) : NULL;
}

const struct filelist_entry *filelist_find(const struct filelist *l, const char *path)
{
    return filelist_search(l->entries, l->count, path);
}

bool filelist_same(const struct filelist_entry *a, size_t a_count, const struct filelist_entry *b,
                   size_t b_count)
{
    if (a_count != b_count)
        return false;
    for (size_t i = 0; i < a_count; i++)
        if (strcmp(a[i].path, b[i].path) != 0 || strcmp(a[i].hash, b[i].hash) != 0)
            return false;
    return true;
}

bool filelist_untouched(const struct filelist_entry *now, const struct filelist_entry *old,
                        uint64_t taken_ns)
{
    return old && old->ino == now->ino && old->size == now->size &&
           old->mtime_ns == now->mtime_ns && now->mtime_ns + RACY_NS < taken_ns;
}

/* No file begins with such a line by chance. */
int filelist_read(const struct filelist_entry *entry, size_t max, char **ret, size_t *len)
{
    char target[PATH_MAX];
    if (!entry->link)
        return file_read(entry->from, max, ret, len);
    ssize_t n = readlink(entry->from, target, sizeof target);
    if (n < 0)
        return errno == EINVAL ? -EAGAIN : -errno; /* no link any more */
    int size = asprintf(ret, "codev symbolic link\n%.*s", (int)n, target);
    if (size < 0)
        return -ENOMEM;
    *len = (size_t)size;
    return 0;
}

static int hash_entry(struct filelist_entry *entry, struct error *e)
{
    _cleanup_free_ char *data = NULL;
    size_t len = 0;
    int r = filelist_read(entry, (size_t)FILELIST_BYTES, &data, &len);
    if (r == 0)
        r = gitrepo_hash(data, len, entry->hash);
    return r < 0 ? error_set_errno(e, r, "cannot read %s", entry->from) : 0;
}

static int take_id(struct filelist *l, struct error *e)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    for (size_t i = 0; i < l->count; i++) {
        buf_printf(&text, "%s %s", l->entries[i].hash, l->entries[i].path);
        buf_putc(&text, '\0');
    }
    int r = text.failed ? -ENOMEM : gitrepo_hash(buf_str(&text), text.len, l->id);
    return r < 0 ? error_set_errno(e, r, "cannot hash a list of files") : 0;
}

int filelist_hash(struct filelist *l, const struct filelist *known, struct error *e)
{
    if (l->count)
        qsort(l->entries, l->count, sizeof *l->entries, by_path);
    for (size_t i = 0; i < l->count; i++) {
        struct filelist_entry *entry = &l->entries[i];
        const struct filelist_entry *old = known ? filelist_find(known, entry->path) : NULL;
        if (filelist_untouched(entry, old, known ? known->taken_ns : 0)) {
            memcpy(entry->hash, old->hash, sizeof entry->hash);
            continue;
        }
        int r = hash_entry(entry, e);
        if (r < 0)
            return r;
    }
    /* Starting libgit2 for the id alone costs 5 ms. */
    if (known && *known->id && filelist_same(l->entries, l->count, known->entries, known->count)) {
        memcpy(l->id, known->id, sizeof l->id);
        return 0;
    }
    return take_id(l, e);
}

/* --- records: HEAD, then HASH INODE SIZE MTIME PATH for each file, each ended by a NUL --- */

#define HEAD "codev-trust 1 "

static int parse_entry(char *line, struct filelist *l)
{
    struct filelist_entry entry = { 0 };
    char *rest = line, *hash = strsep(&rest, " "), *ino = strsep(&rest, " ");
    char *size = strsep(&rest, " "), *mtime = strsep(&rest, " ");
    struct stat st = { 0 };
    if (!rest || !*rest || strlen(hash) != sizeof entry.hash - 1 ||
        parse_u64(ino, 0, UINT64_MAX, &entry.ino) < 0 ||
        parse_u64(size, 0, FILELIST_BYTES, &entry.size) < 0 ||
        parse_u64(mtime, 0, UINT64_MAX, &entry.mtime_ns) < 0)
        return -EBADMSG;
    st.st_size = (off_t)entry.size;
    char *path = strdup(rest);
    int r = path ? append(l, path, NULL, &st) : -ENOMEM;
    if (r < 0)
        return r;
    struct filelist_entry *at = &l->entries[l->count - 1];
    at->ino = entry.ino;
    at->mtime_ns = entry.mtime_ns;
    memcpy(at->hash, hash, sizeof at->hash);
    return 0;
}

static int parse_record(char *text, size_t len, struct filelist *l)
{
    char *line = text, *end = text + len, *rest = text + strlen(HEAD);
    if (len <= strlen(HEAD) || strncmp(text, HEAD, strlen(HEAD)) != 0 || end[-1] != '\0')
        return -EBADMSG;
    line += strlen(line) + 1;
    char *taken = strsep(&rest, " "), *id = strsep(&rest, " ");
    if (!rest || parse_u64(taken, 0, UINT64_MAX, &l->taken_ns) < 0 ||
        strlen(id) != sizeof l->id - 1 || strlen(rest) >= sizeof l->folder || strchr(rest, '/'))
        return -EBADMSG;
    memcpy(l->id, id, sizeof l->id);
    (void)snprintf(l->folder, sizeof l->folder, "%s", rest);
    int r = 0;
    while (r == 0 && line < end) {
        size_t n = strlen(line) + 1;
        r = parse_entry(line, l);
        line += n;
    }
    return r;
}

int filelist_load(const char *path, struct filelist *ret)
{
    _cleanup_free_ char *text = NULL;
    _cleanup_filelist_ struct filelist l = { 0 };
    size_t len = 0;
    int r = file_read(path, (size_t)8 << 20, &text, &len);
    if (r == 0)
        r = parse_record(text, len, &l);
    if (r < 0)
        return r;
    *ret = l;
    l = (struct filelist){ 0 };
    return 0;
}

int filelist_save(const char *path, const struct filelist *l, struct error *e)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    buf_printf(&out, HEAD "%llu %s %s", (unsigned long long)l->taken_ns, l->id, l->folder);
    buf_putc(&out, '\0');
    for (size_t i = 0; i < l->count; i++) {
        const struct filelist_entry *entry = &l->entries[i];
        buf_printf(&out, "%s %llu %llu %llu %s", entry->hash, (unsigned long long)entry->ino,
                   (unsigned long long)entry->size, (unsigned long long)entry->mtime_ns,
                   entry->path);
        buf_putc(&out, '\0');
    }
    int r = out.failed ? -ENOMEM : file_write_atomic(path, out.data, out.len, 0600);
    return r < 0 ? error_set_errno(e, r, "cannot write %s", path) : 0;
}

/* --- copies --- */

int filelist_put(const char *path, const char *text, size_t len)
{
    _cleanup_fd_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    return fd < 0 ? -errno : fd_write_all(fd, text, len);
}

/* Does a link of that name, with that text, lead out? By its text alone: ".." may only come first,
 * since behind another link it is not what it seems. */
static bool leads_out(const char *path, const char *target)
{
    bool down = false;
    int depth = 0;
    for (const char *p = path; *p; p++)
        depth += *p == '/';
    if (*target == '/')
        return true;
    for (const char *at = target; *at;) {
        size_t n = strcspn(at, "/");
        bool up = n == 2 && strncmp(at, "..", 2) == 0;
        if (up && (down || --depth < 0))
            return true;
        down |= !up && n > 0 && !(n == 1 && *at == '.');
        at += n + (at[n] == '/');
    }
    return false;
}

bool filelist_leads_out(const struct filelist_entry *entry)
{
    char target[PATH_MAX];
    ssize_t n = entry->link ? readlink(entry->from, target, sizeof target - 1) : -1;
    if (n < 0)
        return false;
    target[n] = '\0';
    return leads_out(entry->path, target);
}

/* As a link again. `text` is filelist_read's. */
static int put_link(const char *text, const struct filelist_entry *entry, const char *path)
{
    const char *target = strchr(text, '\n') + 1;
    return leads_out(entry->path, target) || symlink(target, path) == 0 ? 0 : -errno;
}

/* A program stays one; what else its mode says is not ours to keep. */
static int put_file(const char *data, size_t len, const struct filelist_entry *entry,
                    const char *path)
{
    struct stat st;
    int r = filelist_put(path, data, len);
    if (r == 0 && stat(entry->from, &st) == 0 && (st.st_mode & 0100) && chmod(path, 0755) < 0)
        r = -errno;
    return r;
}

static int copy_entry(const struct filelist_entry *entry, const char *to, struct error *e)
{
    _cleanup_free_ char *data = NULL;
    _cleanup_free_ char *path = path_join(to, entry->path);
    char hash[sizeof entry->hash] = "";
    size_t len = 0;
    if (!path)
        return error_set_errno(e, -ENOMEM, "copy");
    int r = filelist_read(entry, (size_t)FILELIST_BYTES, &data, &len);
    if (r == 0 && *entry->hash)
        r = gitrepo_hash(data, len, hash);
    if (r == -EAGAIN || (r == 0 && strcmp(hash, entry->hash) != 0))
        return error_set(e, -EAGAIN, "%s changes while it is read", entry->from);
    char *slash = strrchr(path, '/');
    if (r == 0) {
        *slash = '\0';
        r = file_mkdir_p(path, 0755);
        *slash = '/';
    }
    if (r == 0)
        r = entry->link ? put_link(data, entry, path) : put_file(data, len, entry, path);
    return r < 0 ? error_set_errno(e, r, "cannot copy %s to %s", entry->from, path) : 0;
}

int filelist_copy(const struct filelist *l, const char *to, bool durable, struct error *e)
{
    _cleanup_free_ char *fresh = NULL;
    if (asprintf(&fresh, "%s.new", to) < 0) {
        fresh = NULL;
        return error_set_errno(e, -ENOMEM, "cannot copy to %s", to);
    }
    int r = file_remove_tree(fresh);
    if (r == 0)
        r = file_mkdir_p(fresh, 0755);
    if (r < 0)
        return error_set_errno(e, r, "cannot make %s", fresh);
    for (size_t i = 0; r == 0 && i < l->count; i++)
        r = copy_entry(&l->entries[i], fresh, e);
    _cleanup_fd_ int fd = r < 0 ? -1 : open(fresh, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (r == 0 && (fd < 0 || (durable && syncfs(fd) < 0) || file_remove_tree(to) < 0 ||
                   rename(fresh, to) < 0))
        r = error_set_errno(e, -errno, "cannot put %s in place", to);
    if (r < 0)
        (void)file_remove_tree(fresh);
    return r;
}
