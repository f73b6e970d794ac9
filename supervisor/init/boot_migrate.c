#include "supervisor/init/boot_migrate.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Only where OpenCode looks: what lies on other volumes is not its data. */
static bool is_state_volume(const char *home, const char *path)
{
    size_t n = strlen(home);
    return strncmp(path, home, n) == 0 && strcmp(path + n, "/.local") == 0;
}

/* The place of that finding; `report->count`: there is none. */
static size_t old_layout(const struct volume_report *report)
{
    size_t i = 0;
    while (i < report->count && report->findings[i].code != FINDING_OLD_LAYOUT)
        i++;
    return i;
}

/* A full volume does not matter for a rename; a broken one does. */
static bool can_rename(const struct volume_report *report)
{
    const struct finding *first = &report->findings[0];
    return first->level != FINDING_BAD || first->code == FINDING_LOW_SPACE ||
           first->code == FINDING_LOW_INODES;
}

bool boot_migrate_due(const char *home, const struct plan_volume *volume, const char *path,
                      const struct volume_report *report)
{
    return volume->migrate && is_state_volume(home, path) && old_layout(report) < report->count;
}

static void refused(const char *path, const char *why, struct finding *f)
{
    (void)snprintf(
        f->message, sizeof f->message,
        "OpenCode's files at the root of the volume at %.80s, once mounted at the old "
        "place, were not moved: %.100s; OpenCode uses share/opencode: move or remove one "
        "of the two",
        path, why);
}

static void failed(const char *path, const char *why, struct finding *f)
{
    *f = (struct finding){ .level = FINDING_BAD, .code = FINDING_MIGRATE_ERROR };
    (void)snprintf(f->message, sizeof f->message,
                   "OpenCode's files at the root of the volume at %.80s are not all moved into "
                   "share/opencode: %.120s; OpenCode is held back, the next start goes on with it",
                   path, why);
}

bool boot_migrate(const char *home, const struct plan_volume *volume,
                  const struct volume_spec *spec, const struct mount_table *mounts,
                  struct volume_report *report, char *note, size_t size)
{
    if (!boot_migrate_due(home, volume, spec->path, report))
        return true;
    if (!can_rename(report))
        return false;
    unsigned moved = 0;
    struct error e = ERROR_INIT;
    int r = volume_migrate(spec->path, &moved, &e);
    if (r == -EEXIST) {
        refused(spec->path, e.message, &report->findings[old_layout(report)]);
    } else if (r < 0) {
        failed(spec->path, e.message, &report->findings[0]);
        return false;
    } else {
        (void)snprintf(note, size,
                       "moved %u files and folders of OpenCode from the root of %.150s into "
                       "share/opencode, where it looks for them; codev-moved.txt there lists them",
                       moved, spec->path);
        volume_verify(spec, mounts, NULL, report);
    }
    return true;
}
