#include "bridge/gateway/core/crash.h"

#include "base/core/cleanup.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

static const char *const points[] = {
#define POINT(name) name,
    CRASH_POINTS(POINT)
#undef POINT
};

static const char *chosen;

int crash_init(void)
{
    const char *name = getenv("CODEV_CRASH_AT");
    chosen = NULL;
    if (!name || !*name)
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(points); i++)
        if (strcmp(points[i], name) == 0)
            chosen = points[i];
    return chosen ? 0 : -EINVAL;
}

void crash_point(const char *name)
{
    if (chosen && strcmp(chosen, name) == 0)
        (void)raise(SIGKILL);
}
