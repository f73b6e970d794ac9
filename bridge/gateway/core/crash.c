#include "bridge/gateway/core/crash.h"

#include "base/core/cleanup.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *ways, *truth;
} points[] = {
#define POINT(name, ways, truth) { name, ways, truth },
    CRASH_POINTS(POINT)
#undef POINT
};

static const char *chosen;
static unsigned long left; /* times that it is passed until it counts */

static bool is_loopback(const char *address)
{
    return address && (strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0 ||
                       strcmp(address, "localhost") == 0);
}

int crash_init(const char *listen)
{
    const char *name = getenv("CODEV_CRASH_AT");
    chosen = NULL;
    if (!name || !*name)
        return 0;
    const char *service = getenv("CODEV_SERVICE"); /* PID 1 sets it */
    if ((service && *service) || !is_loopback(listen))
        return -EPERM;
    size_t n = strcspn(name, ":");
    left = name[n] ? strtoul(name + n + 1, NULL, 10) : 1;
    for (size_t i = 0; i < ARRAY_SIZE(points); i++)
        if (strlen(points[i].name) == n && strncmp(points[i].name, name, n) == 0)
            chosen = points[i].name;
    return chosen && left > 0 ? 0 : -EINVAL;
}

void crash_point(const char *name)
{
    if (chosen && strcmp(chosen, name) == 0 && --left == 0)
        (void)raise(SIGKILL);
}

void crash_list(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(points); i++)
        (void)printf("%s\t%s\t%s\n", points[i].name, points[i].ways, points[i].truth);
}
