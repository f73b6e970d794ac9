/* Story 1.5: OpenCode's state is on the persistent volume and stays there. */
#include "acceptance/acceptance.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "base/core/clock.h"
#include "base/core/file.h"
#include "base/core/secrets.h"
#include "base/opencode/api.h"

#define RESTART_TIMEOUT_MS 120000

static char *data_file(const struct accept *a, const char *name)
{
    char *path = NULL;
    return asprintf(&path, "%s/share/opencode/%s", a->state_path, name) < 0 ? NULL : path;
}

void check_mounted(struct accept *a, struct result *r)
{
    struct volume_spec spec = { .path = a->state_path };
    struct volume_report report = { 0 };
    volume_verify(&spec, a->mounts.count ? &a->mounts : NULL, "no mount table", &report);
    const struct finding *f = &report.findings[0];
    if (f->level == FINDING_BAD)
        return result_fail(r, "%s", f->message);
    const struct mount_entry *m = mount_table_at(&a->mounts, a->state_path);
    if (!m)
        return result_fail(r, "%s is no mount point: mount the volume there", a->state_path);
    result_pass(r, "%s on %s (%s, device %u:%u), written, synced and read back", m->source,
                a->state_path, m->fs_type, m->dev_major, m->dev_minor);
}

/* The file is on the state volume's device. 0, or an evidence line in `r`. */
static int on_state_volume(struct accept *a, const char *path, struct stat *st, struct result *r)
{
    if (stat(path, st) < 0) {
        result_fail(r, "%s: %s", path, strerror(errno));
        return -1;
    }
    if (!mount_table_at(&a->mounts, a->state_path)) {
        result_fail(r, "%s is there, but %s is no mount point: it is lost with the pod", path,
                    a->state_path);
        return -1;
    }
    if (st->st_dev != a->state_dev) {
        result_fail(r, "%s is on device %u:%u, the volume at %s is %u:%u", path, major(st->st_dev),
                    minor(st->st_dev), a->state_path, major(a->state_dev), minor(a->state_dev));
        return -1;
    }
    return 0;
}

static int seed_auth(struct accept *a, struct error *e)
{
    char path[96];
    (void)snprintf(path, sizeof path, "/auth/%s", a->provider);
    _cleanup_json_ cJSON *body = cJSON_CreateObject();
    json_add_str(body, "type", "api");
    json_add_str(body, "key", a->key);
    int status = api_call(a->api, "PUT", path, body, 10000, NULL, e);
    if (status < 0)
        return status;
    return status == 200 ? 0 : error_set(e, -EPROTO, "PUT /auth answered %d", status);
}

static int seed_session(struct accept *a, struct error *e)
{
    _cleanup_json_ cJSON *body = cJSON_CreateObject(), *session = NULL;
    json_add_str(body, "title", "codev acceptance");
    int status = api_call(a->api, "POST", "/session", body, 20000, &session, e);
    if (status < 0)
        return status;
    const char *id = json_str(session, "id", NULL);
    if (status != 200 || !id)
        return error_set(e, -EPROTO, "POST /session answered %d", status);
    (void)snprintf(a->session_id, sizeof a->session_id, "%s", id);

    char path[160];
    (void)snprintf(path, sizeof path, "/session/%s/message", a->session_id);
    _cleanup_json_ cJSON *message = cJSON_CreateObject();
    cJSON_AddTrueToObject(message, "noReply"); /* stored, the model is not asked */
    cJSON *parts = cJSON_AddArrayToObject(message, "parts"), *part = cJSON_CreateObject();
    json_add_str(part, "type", "text");
    json_add_str(part, "text", a->message_text);
    cJSON_AddItemToArray(parts, part);
    status = api_call(a->api, "POST", path, message, 20000, NULL, e);
    if (status < 0)
        return status;
    return status == 200 ? 0 : error_set(e, -EPROTO, "POST %s answered %d", path, status);
}

static int64_t opencode_pid(struct error *e)
{
    _cleanup_json_ cJSON *status = NULL;
    int r = pid1_call((const char *[]){ "status", NULL }, &status, e);
    if (r < 0)
        return r;
    const cJSON *service;
    cJSON_ArrayForEach (service, json_arr(status, "services"))
        if (strcmp(json_str(service, "name", ""), "opencode") == 0)
            return json_bool(service, "ready", false) ? json_int(service, "pid", 0) : 0;
    return error_set(e, -ENOENT, "PID 1 knows no service opencode");
}

static int restart_opencode(struct accept *a, struct error *e)
{
    progress(a, "restarting OpenCode…");
    int64_t before = opencode_pid(e);
    if (before < 0)
        return (int)before;
    int r = pid1_call((const char *[]){ "restart", "opencode", NULL }, NULL, e);
    if (r < 0)
        return r;
    uint64_t deadline = clock_mono_ms() + RESTART_TIMEOUT_MS;
    for (;;) {
        int64_t now = opencode_pid(e);
        if (now > 0 && now != before)
            break;
        if (clock_mono_ms() > deadline)
            return error_set(e, -ETIMEDOUT, "OpenCode was not ready again within %d s",
                             RESTART_TIMEOUT_MS / 1000);
        (void)nanosleep(&(struct timespec){ .tv_nsec = 200 * 1000000 }, NULL);
    }
    a->restarted = true;
    return api_wait_ready(a->api, a->directory, RESTART_TIMEOUT_MS, e);
}

/* Nobody's turn is ended for a test. */
static int restart_when_idle(struct accept *a, struct error *e)
{
    a->busy = note_number_now("gateway", "links", "sessions.busy") > 0;
    if (a->busy)
        progress(a, "a session is at work: OpenCode is not restarted");
    return a->busy ? 0 : restart_opencode(a, e);
}

/* Without a restart of our own: is `created_ms` older than this boot, so that it has already lived
 * through one? */
static bool before_this_boot(const struct accept *a, double created_ms)
{
    struct tm tm = { 0 };
    if (!a->boot_started || !strptime(a->boot_started, "%Y-%m-%dT%H:%M:%S", &tm))
        return false;
    return created_ms > 0 && created_ms / 1000 < (double)timegm(&tm);
}

/* An earlier boot stands in the ledger on this volume. */
static bool ledger_has_earlier_boot(const struct accept *a)
{
    const char *dir = json_str(a->status, "state_dir", ""),
               *boot = json_str(a->status, "boot_id", "");
    _cleanup_free_ char *path = path_join(dir, "boots.jsonl"), *text = NULL;
    if (!*dir || !path || file_read(path, 4 << 20, &text, NULL) < 0)
        return false;
    char *next = text;
    for (char *line; (line = strsep(&next, "\n"));)
        if (*line && !strstr(line, boot))
            return true;
    return false;
}

/* Puts a credential, a session and a message there, and restarts OpenCode if that is allowed. Once
 * for all checks. */
static bool seeded(struct accept *a, struct result *r)
{
    if (!a->seeded) {
        a->seeded = true;
        struct stat st;
        _cleanup_free_ char *auth = data_file(a, "auth.json");
        a->auth_is_old = auth && stat(auth, &st) == 0 && ledger_has_earlier_boot(a) &&
                         before_this_boot(a, (double)st.st_mtime * 1000);
        char text[SECRET_TEXT_SIZE];
        struct error *e = &a->seed_error;
        if (secret_generate(text) < 0) {
            (void)error_set(e, -EIO, "no random bytes");
        } else {
            (void)snprintf(a->provider, sizeof a->provider, "codev-acceptance-%.8s", text);
            (void)snprintf(a->key, sizeof a->key, "key-%s", text + 8);
            (void)snprintf(a->message_text, sizeof a->message_text, "codev acceptance %s", text);
            progress(a, "storing a credential, a session and a message…");
            if (seed_auth(a, e) == 0 && seed_session(a, e) == 0 && a->restart)
                (void)restart_when_idle(a, e);
        }
    }
    if (a->seed_error.code) {
        result_fail(r, "%s", a->seed_error.message);
        return false;
    }
    return true;
}

static void not_proven(const struct accept *a, struct result *r, const char *what)
{
    result_set(r, OUTCOME_NOT_PROVEN, "%s, but no restart was seen to keep it: %s", what,
               a->busy ? "a session is at work, so OpenCode was not restarted; run again later"
                       : "run again with --restart");
}

void check_auth(struct accept *a, struct result *r)
{
    if (!seeded(a, r))
        return;
    struct stat st;
    _cleanup_free_ char *path = data_file(a, "auth.json"), *text = NULL;
    if (!path || on_state_volume(a, path, &st, r) < 0)
        return;
    if ((st.st_mode & 07777) != 0600)
        return result_fail(r, "%s has mode %04o, expected 0600", path, st.st_mode & 07777);
    size_t len = 0;
    _cleanup_json_ cJSON *json = NULL;
    struct error e = ERROR_INIT;
    int err = file_read(path, 4 << 20, &text, &len);
    if (err < 0 || json_parse(&json, text, len, &e) < 0)
        return result_fail(r, "%s cannot be read: %s", path, err < 0 ? strerror(-err) : e.message);
    const cJSON *entry = json_obj(json, a->provider);
    if (!entry || strcmp(json_str(entry, "key", ""), a->key) != 0)
        return result_fail(r, "the credential that OpenCode accepted is not in %s", path);
    if (!a->restarted && !a->auth_is_old)
        return not_proven(a, r, "the credential is in auth.json on the volume, mode 0600");
    result_pass(r, "a credential set through the API is in auth.json, mode 0600, device %u:%u%s",
                major(st.st_dev), minor(st.st_dev), a->restarted ? ", also after a restart" : "");
}

/* A session of an earlier boot that is still listed, for the proof without a restart. */
static bool old_session(struct accept *a, const cJSON *list, char *id, size_t size)
{
    const cJSON *s;
    cJSON_ArrayForEach (s, list) {
        const cJSON *created = json_at(s, "time.created");
        if (cJSON_IsNumber(created) && before_this_boot(a, created->valuedouble) &&
            ledger_has_earlier_boot(a)) {
            (void)snprintf(id, size, "%s", json_str(s, "id", ""));
            return true;
        }
    }
    return false;
}

void check_sessions(struct accept *a, struct result *r)
{
    if (!seeded(a, r))
        return;
    struct error e = ERROR_INIT;
    _cleanup_json_ cJSON *list = NULL;
    int status = api_call(a->api, "GET", "/session", NULL, 20000, &list, &e);
    if (status != 200)
        return result_fail(r, "GET /session: %s", status < 0 ? e.message : "refused");
    bool listed = false;
    const cJSON *s;
    cJSON_ArrayForEach (s, list)
        listed |= strcmp(json_str(s, "id", ""), a->session_id) == 0;
    if (!listed)
        return result_fail(r, "the session made through the API is not listed%s",
                           a->restarted ? " after the restart" : "");
    struct stat st;
    _cleanup_free_ char *path = data_file(a, "opencode.db");
    if (!path || on_state_volume(a, path, &st, r) < 0)
        return;
    char old[80] = "";
    if (!a->restarted && !old_session(a, list, old, sizeof old))
        return not_proven(a, r, "the session is listed and opencode.db is on the volume");
    result_pass(r, "session %s is listed %s; opencode.db is on device %u:%u",
                a->restarted ? a->session_id : old,
                a->restarted ? "after a restart" : "and older than this boot", major(st.st_dev),
                minor(st.st_dev));
}

static bool has_text(const cJSON *messages, const char *text)
{
    const cJSON *m, *p;
    cJSON_ArrayForEach (m, messages)
        cJSON_ArrayForEach (p, json_arr(m, "parts"))
            if (!text || strcmp(json_str(p, "text", ""), text) == 0)
                return true;
    return false;
}

void check_messages(struct accept *a, struct result *r)
{
    if (!seeded(a, r))
        return;
    struct error e = ERROR_INIT;
    _cleanup_json_ cJSON *messages = NULL, *list = NULL, *of_old = NULL;
    char path[160];
    (void)snprintf(path, sizeof path, "/session/%s/message", a->session_id);
    int status = api_call(a->api, "GET", path, NULL, 20000, &messages, &e);
    if (status != 200 || !has_text(messages, a->message_text))
        return result_fail(r, "the stored message is not read back the same%s%s%s",
                           a->restarted ? " after the restart" : "", e.code ? ": " : "", e.message);
    struct stat st;
    _cleanup_free_ char *db = data_file(a, "opencode.db");
    if (!db || on_state_volume(a, db, &st, r) < 0)
        return;
    if (a->restarted)
        return result_pass(r, "the message is read back the same after a restart (%zu bytes)",
                           strlen(a->message_text));
    char old[80] = "";
    if (api_call(a->api, "GET", "/session", NULL, 20000, &list, &e) == 200 &&
        old_session(a, list, old, sizeof old)) {
        (void)snprintf(path, sizeof path, "/session/%s/message", old);
        if (api_call(a->api, "GET", path, NULL, 20000, &of_old, &e) == 200 &&
            has_text(of_old, NULL))
            return result_pass(r, "messages of session %s, older than this boot, are read back",
                               old);
    }
    not_proven(a, r, "the message is read back the same");
}

void check_mount_config(struct accept *a, struct result *r)
{
    const char *top = a->state_path;
    size_t len = strlen(top);
    const struct mount_entry *at = NULL;
    size_t here = 0;
    for (size_t i = 0; i < a->mounts.count; i++) {
        const struct mount_entry *m = &a->mounts.entries[i];
        if (strcmp(m->mount_point, top) == 0) {
            at = m;
            here++;
        } else if (strncmp(m->mount_point, top, len) == 0 && m->mount_point[len] == '/') {
            return result_fail(r,
                               "another mount lies below the volume: %s on %s. Remove that "
                               "volumeMount",
                               m->source, m->mount_point);
        }
    }
    if (!at)
        return result_fail(r, "nothing is mounted at %s: set mountPath: %s", top, top);
    if (here > 1)
        return result_fail(r, "%zu mounts lie over each other at %s: keep one", here, top);
    struct stat st;
    if (stat(top, &st) < 0)
        return result_fail(r, "%s: %s", top, strerror(errno));
    if (faccessat(AT_FDCWD, top, R_OK | W_OK | X_OK, AT_EACCESS) < 0)
        return result_fail(r, "%s (owner %u, mode %04o) is not usable for uid %u: set fsGroup", top,
                           st.st_uid, st.st_mode & 07777, geteuid());
    if (st.st_mode & S_IWOTH)
        return result_fail(r, "%s is writable for everybody (mode %04o): chmod o-w", top,
                           st.st_mode & 07777);
    result_pass(r,
                "one volume at %s, none at the old place, none over or below it; owner %u:%u, "
                "mode %04o",
                top, st.st_uid, st.st_gid, st.st_mode & 07777);
}

void storage_cleanup(struct accept *a)
{
    struct error e = ERROR_INIT;
    char path[160];
    if (a->session_id[0]) {
        (void)snprintf(path, sizeof path, "/session/%s", a->session_id);
        if (api_call(a->api, "DELETE", path, NULL, 10000, NULL, &e) != 200)
            progress(a, "could not delete the session %s: %s", a->session_id, e.message);
    }
    if (a->provider[0]) {
        (void)snprintf(path, sizeof path, "/auth/%s", a->provider);
        if (api_call(a->api, "DELETE", path, NULL, 10000, NULL, &e) != 200)
            progress(a, "could not remove the credential %s: %s", a->provider, e.message);
    }
}
