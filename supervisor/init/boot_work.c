#include "supervisor/init/boot_work.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/file.h"
#include "base/core/jsonw.h"
#include "supervisor/init/boot_migrate.h"
#include "supervisor/init/supervisor.h"

#define STATE_DIR_SYSTEM "/var/lib/codev"

struct work {
    int fd;
    const struct supervisor *sv;
    char state_dir[512];
    bool have[SECRET_STORE_MAX]; /* read from a file here: PID 1 alone knows the others */
    bool bad;                    /* a volume is */
    struct buf ledger;           /* the "volumes" of the ledger's line */
    struct jsonw ledger_json;
};

__attribute__((format(printf, 2, 3))) static void note(const struct work *w, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    (void)helper_put(w->fd, BOOT_NOTE, text, strlen(text));
}

static const char hold_text[] = "its files are not all moved into share/opencode";

static void migrate(const struct work *w, uint32_t i, const struct volume_spec *spec,
                    const struct mount_table *mounts, struct volume_report *report)
{
    const struct plan *p = &w->sv->plan->plan;
    const char *home = plan_string(p, p->header->home);
    char text[400] = "";
    if (!boot_migrate_due(home, &p->volumes[i], spec->path, report))
        return;
    /* Before the first step: should this process come to its end in the middle of it. */
    (void)helper_put(w->fd, BOOT_HOLD, hold_text, sizeof hold_text - 1);
    if (boot_migrate(home, &p->volumes[i], spec, mounts, report, text, sizeof text))
        (void)helper_put(w->fd, BOOT_HOLD, "", 0);
    if (*text)
        note(w, "%s", text);
}

static void verify_volumes(struct work *w)
{
    const struct plan *p = &w->sv->plan->plan;
    struct mount_table mounts = { 0 };
    struct error e = ERROR_INIT;
    int r = mount_table_read(&mounts, &e);
    for (uint32_t i = 0; i < p->header->volumes && i < VOLUMES_KEPT; i++) {
        struct boot_volume v = { .index = i };
        struct volume_spec spec = {
            .path = plan_string(p, p->volumes[i].path),
            .min_free = p->volumes[i].min_free,
            .min_inodes = p->volumes[i].min_inodes,
        };
        volume_verify(&spec, r < 0 ? NULL : &mounts, r < 0 ? e.message : NULL, &v.report);
        if (r == 0)
            migrate(w, i, &spec, &mounts, &v.report);
        (void)helper_put(w->fd, BOOT_VOLUME, &v, sizeof v);
        bool ok = v.report.findings[0].level != FINDING_BAD;
        w->bad = w->bad || !ok;
        struct jsonw *j = &w->ledger_json;
        jsonw_object(j, NULL);
        jsonw_str(j, "path", spec.path);
        jsonw_bool(j, "ok", ok);
        jsonw_str(j, "code", finding_code_name(v.report.findings[0].code));
        jsonw_str(j, "fs_type", v.report.fs_type);
        jsonw_str(j, "source", v.report.source);
        jsonw_uint(j, "device", v.report.device);
        jsonw_uint(j, "bytes_free", v.report.bytes_free);
        jsonw_uint(j, "inodes_free", v.report.inodes_free);
        jsonw_object_end(j);
    }
}

/* A folder that is there, ours to write, and closed to others. Tests access, not ownership. */
static int usable(const char *dir, bool make)
{
    struct stat st;
    if (make) {
        int r = file_mkdir_p(dir, 0700);
        if (r < 0)
            return r;
    }
    if (stat(dir, &st) < 0)
        return -errno;
    if (!S_ISDIR(st.st_mode))
        return -ENOTDIR;
    if (access(dir, W_OK | X_OK) < 0)
        return -errno;
    if ((st.st_mode & 077) && st.st_uid == geteuid())
        (void)chmod(dir, 0700);
    return 0;
}

static bool choose(struct work *w, const char *dir, bool make)
{
    int r = usable(dir, make);
    if (r < 0 && make)
        note(w, "the state folder %s cannot be had: %s", dir, strerror(-r));
    if (r < 0)
        return false;
    (void)snprintf(w->state_dir, sizeof w->state_dir, "%s", dir);
    (void)helper_put(w->fd, BOOT_STATE_DIR, dir, strlen(dir));
    return true;
}

static void find_state_dir(struct work *w)
{
    const struct plan *p = &w->sv->plan->plan;
    const char *set = plan_string(p, p->header->state_dir);
    char path[512];
    if (!*set)
        set = env_get(&w->sv->environment, "CODEV_STATE_DIR");
    if (set && *set) {
        (void)choose(w, set, true);
        return;
    }
    (void)snprintf(path, sizeof path, "%s/.local/state/codev", plan_string(p, p->header->home));
    if (!choose(w, STATE_DIR_SYSTEM, false) && !choose(w, path, true))
        note(w, "no state folder: generated tokens and passwords last until this pod ends");
}

static void tell_secret(const struct work *w, const char *name, const char *value)
{
    _cleanup_buf_ struct buf pair = BUF_INIT;
    if (buf_printf(&pair, "%s=%s", name, value) == 0)
        (void)helper_put(w->fd, BOOT_SECRET, pair.data, pair.len);
}

/* O_EXCL, so that of two pods on one volume only one makes it, and a link in its place is not
 * followed; fsync, so that what was handed out is still it after a crash. */
static int create_secret(const char *path, const char *value)
{
    _cleanup_fd_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int r = fd_write_all(fd, value, strlen(value));
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    if (r == 0)
        r = file_sync_folder(path);
    if (r < 0)
        (void)unlink(path);
    return r;
}

static int load_secret(const struct work *w, const char *name, const char *path)
{
    _cleanup_free_ char *text = NULL;
    int r = file_read(path, 4096, &text, NULL);
    if (r < 0)
        return r;
    text[strcspn(text, "\r\n")] = '\0';
    if (!*text)
        return -ENODATA;
    (void)chmod(path, 0600);
    tell_secret(w, name, text);
    return 0;
}

static void secret_of_state(const struct work *w, const struct secret_spec *spec)
{
    char path[640], value[SECRET_TEXT_SIZE];
    (void)snprintf(path, sizeof path, "%s/%s", w->state_dir, spec->state_file);
    int r = load_secret(w, spec->name, path);
    if (r == 0)
        return;
    if (r == -ENODATA) /* begun by a boot that a full disk ended */
        (void)unlink(path);
    if (secret_generate(value) < 0)
        return;
    r = create_secret(path, value);
    if (r == -EEXIST && load_secret(w, spec->name, path) == 0)
        return;
    if (r < 0)
        note(w, "%s cannot be kept in %s: %s; it lasts until this pod ends", spec->name, path,
             strerror(-r));
    tell_secret(w, spec->name, value);
}

/* The kubelet keeps mounted Secrets in memory; who else wrote the file nobody knows. */
static void read_secret_files(struct work *w)
{
    for (size_t i = 0; i < secret_count(); i++) {
        const char *name = secret_table[i].name;
        _cleanup_free_ char *value = NULL;
        if (!w->sv->secrets.files[i] || w->sv->secrets.values[i])
            continue;
        int r = secret_store_read_file(&w->sv->secrets, i, &value);
        if (r < 0) {
            note(w, "cannot read the secret %s_FILE=%s: %s, going on without it", name,
                 w->sv->secrets.files[i], r == -ENODATA ? "it is empty" : strerror(-r));
            continue;
        }
        w->have[i] = true;
        tell_secret(w, name, value);
        explicit_bzero(value, strlen(value));
    }
}

static void write_ledger(struct work *w)
{
    _cleanup_buf_ struct buf line = BUF_INIT;
    struct jsonw j = JSONW_INIT(&line);
    struct error e = ERROR_INIT;
    char ts[CLOCK_RFC3339_SIZE];
    const char *node = env_get(&w->sv->environment, "NODE_NAME");
    clock_rfc3339(ts);
    jsonw_object(&j, NULL);
    jsonw_str(&j, "boot_id", w->sv->logs.boot_id);
    jsonw_str(&j, "time", ts);
    jsonw_str(&j, "version", CODEV_VERSION);
    jsonw_str(&j, "node", node && *node ? node : w->sv->hostname);
    jsonw_raw(&j, "volumes", buf_str(&w->ledger), w->ledger.len);
    jsonw_object_end(&j);
    if (!line.failed && !w->ledger.failed && ledger_append(w->state_dir, line.data, &e) < 0)
        note(w, "the boot ledger was not written: %s", e.message);
}

void boot_work(int fd, void *supervisor)
{
    struct work w = { .fd = fd, .sv = supervisor };
    read_secret_files(&w);
    w.ledger_json = (struct jsonw)JSONW_INIT(&w.ledger);
    jsonw_array(&w.ledger_json, NULL);
    verify_volumes(&w);
    jsonw_array_end(&w.ledger_json);
    find_state_dir(&w);
    if (!w.state_dir[0])
        return;
    for (const struct secret_spec *s = secret_table; s->name; s++)
        if (s->state_file && !w.have[s - secret_table] &&
            !secret_store_get(&w.sv->secrets, s->name))
            secret_of_state(&w, s);
    if (!w.bad)
        (void)helper_put(fd, BOOT_JUDGED, "", 0);
    write_ledger(&w);
    buf_release(&w.ledger);
}

void boot_generate_secrets(struct supervisor *sv)
{
    for (const struct secret_spec *s = secret_table; s->name; s++) {
        char value[SECRET_TEXT_SIZE];
        /* The bridge's token is given where a hub must know it, too. */
        bool wanted = (s->per_boot || s->state_file) && !secret_store_get(&sv->secrets, s->name);
        if (wanted && secret_generate(value) == 0)
            (void)secret_store_set(&sv->secrets, s->name, value);
        explicit_bzero(value, sizeof value);
    }
}
