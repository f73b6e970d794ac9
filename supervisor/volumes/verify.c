/* The judgement: each check adds what it finds, in words that name the line of the manifest. */
#include "supervisor/volumes/volumes.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "supervisor/volumes/iotest.h"

#define OLD_PLACE "/share/opencode" /* below the volume: where it was mounted in former days */

static const char *const code_names[] = {
    [FINDING_FINE] = "fine",
    [FINDING_NOT_MOUNTED] = "not_mounted",
    [FINDING_OLD_PLACE] = "old_place",
    [FINDING_SHADOWED] = "shadowed",
    [FINDING_WRONG_FS] = "wrong_fs",
    [FINDING_READ_ONLY] = "read_only",
    [FINDING_NOT_WRITABLE] = "not_writable",
    [FINDING_IO_ERROR] = "io_error",
    [FINDING_LOW_SPACE] = "low_space",
    [FINDING_LOW_INODES] = "low_inodes",
    [FINDING_MISSING] = "missing",
    [FINDING_NO_ANSWER] = "no_answer",
    [FINDING_BAD_MOUNTINFO] = "bad_mountinfo",
    [FINDING_OLD_LAYOUT] = "old_layout",
    [FINDING_MIGRATE_ERROR] = "migrate_error",
};
_Static_assert(ARRAY_SIZE(code_names) == FINDING_CODE_MAX, "a name for every finding");

const char *finding_code_name(enum finding_code code)
{
    return code_names[code];
}

/* Keeps the gravest first; within a level, in the order of the checks. */
static void add(struct volume_report *r, enum finding_level level, enum finding_code code,
                const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static void add(struct volume_report *r, enum finding_level level, enum finding_code code,
                const char *fmt, ...)
{
    if (r->count == VOLUME_FINDINGS_MAX)
        return;
    size_t at = r->count++;
    for (; at > 0 && r->findings[at - 1].level < level; at--)
        r->findings[at] = r->findings[at - 1];
    struct finding *f = &r->findings[at];
    *f = (struct finding){ .level = level, .code = code };
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(f->message, sizeof f->message, fmt, ap);
    va_end(ap);
    for (char *p = f->message; *p; p++)
        if ((unsigned char)*p < ' ')
            *p = '?'; /* a path may hold anything, a finding is one line */
}

static bool is_bad(const struct volume_report *r)
{
    return r->count && r->findings[0].level == FINDING_BAD;
}

/* What a volume should not be. */
static const struct {
    const char *fs;
    enum finding_level level;
    const char *what;
} file_systems[] = {
    { "overlay", FINDING_BAD,
      "it is the image's own file system: mount a PersistentVolumeClaim there" },
    { "aufs", FINDING_BAD,
      "it is the image's own file system: mount a PersistentVolumeClaim there" },
    { "squashfs", FINDING_BAD, "it cannot be written: mount a PersistentVolumeClaim there" },
    { "iso9660", FINDING_BAD, "it cannot be written: mount a PersistentVolumeClaim there" },
    { "tmpfs", FINDING_WARN,
      "it is kept in memory and lost with the pod: use a PersistentVolumeClaim instead of emptyDir" },
    { "ramfs", FINDING_WARN,
      "it is kept in memory and lost with the pod: use a PersistentVolumeClaim instead" },
    { "nfs", FINDING_WARN,
      "OpenCode's SQLite database may be damaged there: use a ReadWriteOnce block volume" },
    { "nfs4", FINDING_WARN,
      "OpenCode's SQLite database may be damaged there: use a ReadWriteOnce block volume" },
    { "cifs", FINDING_WARN,
      "OpenCode's SQLite database may be damaged there: use a ReadWriteOnce block volume" },
};

static bool has_option(const char *options, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = options; *p;) {
        size_t len = strcspn(p, ",");
        if (len == n && memcmp(p, word, n) == 0)
            return true;
        p += len + (p[len] == ',');
    }
    return false;
}

/* Also without a mount of its own: the file system it lies on. */
static void keep_mount(struct volume_report *r, const struct mount_entry *m)
{
    (void)snprintf(r->fs_type, sizeof r->fs_type, "%s", m->fs_type);
    (void)snprintf(r->source, sizeof r->source, "%s", m->source);
    (void)snprintf(r->options, sizeof r->options, "%s", m->mount_options);
}

static void judge_absent(const struct mount_table *t, const char *path, struct volume_report *r)
{
    char old[PATH_MAX];
    const struct mount_entry *on = mount_table_covering(t, path);
    (void)snprintf(old, sizeof old, "%.4000s" OLD_PLACE, path);
    if (mount_table_at(t, old))
        add(r, FINDING_BAD, FINDING_OLD_PLACE,
            "the volume is mounted at %.120s, the old place: in volumeMounts change that mountPath to "
            "%.120s",
            old, path);
    else
        add(r, FINDING_BAD, FINDING_NOT_MOUNTED,
            "no volume is mounted at %.120s (it lies on %s %s), so what is written there is lost with "
            "the container: add to volumeMounts an entry with mountPath: %.120s",
            path, on ? on->fs_type : "?", on ? on->mount_point : "?", path);
}

/* Other mounts over it or in it. */
static void judge_others(const struct mount_table *t, const char *path,
                         const struct mount_entry *own, struct volume_report *r)
{
    size_t n = strlen(path);
    const struct mount_entry *seen = mount_table_covering(t, path);
    if (seen && seen != own)
        add(r, FINDING_BAD, FINDING_SHADOWED,
            "the mount at %.100s hides the volume at %.100s: remove that volumeMount, or mount the "
            "volume after it",
            seen->mount_point, path);
    for (size_t i = 0; i < t->count; i++) {
        const struct mount_entry *m = &t->entries[i];
        if (strncmp(m->mount_point, path, n) != 0 || m == own)
            continue;
        if (!m->mount_point[n])
            add(r, FINDING_WARN, FINDING_SHADOWED,
                "two mounts lie on each other at %.120s; the upper one counts: remove one of the "
                "volumeMounts",
                path);
        else if (strcmp(m->mount_point + n, OLD_PLACE) == 0)
            add(r, FINDING_BAD, FINDING_SHADOWED,
                "a second volume is mounted at %.120s and hides OpenCode's data on the one at %.100s: "
                "remove that volumeMount, mountPath: %.100s is enough",
                m->mount_point, path, path);
        else if (m->mount_point[n] == '/' && mount_table_covering(t, m->mount_point) == m)
            add(r, FINDING_WARN, FINDING_SHADOWED,
                "another mount lies inside the volume at %.150s: what is written below it is not on the "
                "volume",
                m->mount_point);
    }
}

static void judge_fs(const char *path, const struct mount_entry *m, struct volume_report *r)
{
    for (size_t i = 0; i < ARRAY_SIZE(file_systems); i++)
        if (strcmp(file_systems[i].fs, m->fs_type) == 0)
            add(r, file_systems[i].level, FINDING_WRONG_FS,
                "the volume at %.150s is of type %s; %s", path, m->fs_type, file_systems[i].what);
    if (has_option(m->mount_options, "ro") || has_option(m->super_options, "ro"))
        add(r, FINDING_BAD, FINDING_READ_ONLY,
            "the volume at %.120s is mounted read-only%s: remove readOnly: true from its volumeMount "
            "and from the pod's volume; if it is not there, the file system failed (see the node's "
            "kernel log)",
            path, has_option(m->mount_options, "ro") ? "" : " (the file system itself)");
}

static void judge_mounts(const char *path, const struct mount_table *t, const char *error,
                         struct volume_report *r)
{
    if (!t) {
        add(r, FINDING_BAD, FINDING_BAD_MOUNTINFO,
            "cannot tell whether a volume is mounted at %.120s: %.200s", path,
            error ? error : "there is no mount table");
        return;
    }
    const struct mount_entry *own = mount_table_at(t, path);
    const struct mount_entry *on = own ? own : mount_table_covering(t, path);
    if (on)
        keep_mount(r, on);
    if (!own) {
        judge_absent(t, path, r);
        return;
    }
    judge_others(t, path, own, r);
    judge_fs(path, own, r);
}

static bool judge_access(const char *path, struct volume_report *r)
{
    struct stat st = { 0 };
    int e = stat(path, &st) < 0 ? errno : S_ISDIR(st.st_mode) ? 0 : ENOTDIR;
    if (e == ENOENT || e == ENOTDIR)
        add(r, FINDING_BAD, FINDING_MISSING,
            "there is no folder at %.120s (%s): add to volumeMounts an entry with mountPath: %.120s",
            path, strerror(e), path);
    else if (e == EACCES)
        add(r, FINDING_BAD, FINDING_NOT_WRITABLE,
            "the volume at %.120s cannot be reached by uid %u: set securityContext.fsGroup: %u on the "
            "pod, or another runAsUser",
            path, (unsigned)geteuid(), (unsigned)getegid());
    else if (e)
        add(r, FINDING_BAD, FINDING_IO_ERROR,
            "the volume at %.120s does not answer (%s): see the node's kernel log and the "
            "PersistentVolume",
            path, strerror(e));
    if (e)
        return false;
    r->device = st.st_dev;
    if (faccessat(AT_FDCWD, path, R_OK | W_OK | X_OK, AT_EACCESS) == 0 || errno == EROFS)
        return true;
    add(r, FINDING_BAD, FINDING_NOT_WRITABLE,
        "the volume at %.120s is not writable for uid %u, gid %u (it belongs to %u:%u, mode %04o): set "
        "securityContext.fsGroup: %u on the pod, or runAsUser: %u",
        path, (unsigned)geteuid(), (unsigned)getegid(), st.st_uid, st.st_gid,
        (unsigned)(st.st_mode & 07777), (unsigned)getegid(), st.st_uid);
    return false;
}

static void size_text(char out[32], uint64_t bytes)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    double n = (double)bytes;
    size_t i = 0;
    for (; n >= 1024 && i + 1 < ARRAY_SIZE(units); i++)
        n /= 1024;
    (void)snprintf(out, 32, i && n < 100 ? "%.1f %s" : "%.0f %s", n, units[i]);
}

static void judge_space(const struct volume_spec *spec, struct volume_report *r)
{
    struct statvfs v;
    char free_text[32], total_text[32], least[32];
    if (statvfs(spec->path, &v) < 0) {
        add(r, FINDING_BAD, FINDING_IO_ERROR,
            "cannot ask the volume at %.120s for its free space: %s", spec->path, strerror(errno));
        return;
    }
    r->bytes_total = (uint64_t)v.f_blocks * v.f_frsize;
    r->bytes_free = (uint64_t)v.f_bavail * v.f_frsize;
    r->inodes_total = v.f_files;
    r->inodes_free = v.f_favail;
    size_text(free_text, r->bytes_free);
    size_text(total_text, r->bytes_total);
    size_text(least, spec->min_free);
    if (r->bytes_free < spec->min_free)
        add(r, FINDING_BAD, FINDING_LOW_SPACE,
            "the volume at %.120s has %s of %s free space, less than min_free (%s): remove files, or "
            "enlarge the PersistentVolumeClaim (resources.requests.storage)",
            spec->path, free_text, total_text, least);
    /* Some file systems (btrfs) count no inodes. */
    if (v.f_files && r->inodes_free < spec->min_inodes)
        add(r, FINDING_BAD, FINDING_LOW_INODES,
            "the volume at %.120s has %" PRIu64 " of %" PRIu64
            " inodes free, less than min_inodes (%" PRIu64
            "): remove small files, or use a PersistentVolume made with more inodes",
            spec->path, r->inodes_free, r->inodes_total, spec->min_inodes);
}

static void judge_layout(const char *path, struct volume_report *r)
{
    const char *name = volume_old_layout(path);
    if (name)
        add(r, FINDING_WARN, FINDING_OLD_LAYOUT,
            "%s lies at the root of the volume at %.120s, one level too high for OpenCode: the volume "
            "was once mounted at the old place; move its files into share/opencode/",
            name, path);
}

static void judge_io(const char *path, struct volume_report *r)
{
    const char *step = "";
    int e = volume_io_test(path, &step);
    if (e < 0)
        add(r, FINDING_BAD, FINDING_IO_ERROR,
            "a test file in the volume at %.120s failed: %s: %s%s", path, step, strerror(-e),
            e == -ENOSPC || e == -EDQUOT
                ? " (it is full: remove files, or enlarge the PersistentVolumeClaim)"
                : " (see the node's kernel log and the PersistentVolume)");
}

static void judge(const struct volume_spec *spec, const struct mount_table *mounts,
                  const char *mounts_error, bool first, struct volume_report *r)
{
    *r = (struct volume_report){ 0 };
    /* Mount points are real paths; a link on the way must not hide the volume. */
    _cleanup_free_ char *real = realpath(spec->path, NULL);
    judge_mounts(real ? real : spec->path, mounts, mounts_error, r);
    if (judge_access(spec->path, r)) {
        judge_space(spec, r);
        bool sound = !is_bad(r);
        bool full = !sound && (r->findings[0].code == FINDING_LOW_SPACE ||
                               r->findings[0].code == FINDING_LOW_INODES);
        /* Looking is not enough later either: a frozen volume, or one whose disk is gone, still
         * tells its free space. One that fills up has been told of, and its last bytes are left. */
        if (sound || (first && full))
            judge_io(spec->path, r);
        if (first && (sound || full))
            judge_layout(spec->path, r);
    }
    if (!r->count) {
        char text[32];
        size_text(text, r->bytes_free);
        add(r, FINDING_OK, FINDING_FINE, "the volume at %.150s is right: %s, %s free", spec->path,
            r->fs_type, text);
    }
}

void volume_verify(const struct volume_spec *spec, const struct mount_table *mounts,
                   const char *mounts_error, struct volume_report *ret)
{
    judge(spec, mounts, mounts_error, true, ret);
}

void volume_watch(const struct volume_spec *spec, const struct mount_table *mounts,
                  const char *mounts_error, struct volume_report *ret)
{
    judge(spec, mounts, mounts_error, false, ret);
}
