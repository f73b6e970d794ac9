/* What the test_init_* programs begin with: one pod, made before and removed after each test. */
#pragma once

#include "tests/unit/init_pod.h"
#include "tests/unit/run_pod_suite.h"

#define SHELL(text)                                                                                \
    {                                                                                              \
        "/bin/sh", "-c", text                                                                      \
    }

/* What such a program does when a pod starts it as a service: `PROGRAM --role ROLE ARGUMENT`. */
struct role {
    const char *name;
    void (*run)(const char *argument);
};
#define ROLE(role, argument)                                                                       \
    {                                                                                              \
        self, "--role", role, argument                                                             \
    }
static char self[PATH_MAX]; /* set by play_role() */

static struct pod pod;

static inline void open_pod(void)
{
    pod_init(&pod);
}

static inline void close_pod(void)
{
    pod_release(&pod);
}

static inline void start(const struct pod_service *services, size_t count)
{
    pod_write_plan(&pod, services, count, 0, NULL, 0);
    pod_start(&pod);
}

static inline bool status_has(const char *service, const char *text)
{
    return strstr(pod_service_status(service), text) != NULL;
}

/* Inside the pod. */
static inline long pid_of(const char *service)
{
    return pod_number(pod_service_status(service), "pid");
}

static inline long restarts_of(const char *service)
{
    return pod_number(pod_service_status(service), "restarts");
}

/* A file of the pod's folder. */
static inline bool there(const char *name)
{
    return access(pod_path(&pod, name), F_OK) == 0;
}

static inline void touch(const char *name)
{
    ck_assert_int_eq(file_write_atomic(pod_path(&pod, name), "", 0, 0644), 0);
}

/* True: it was started for a role, which has been played. */
static inline bool play_role(int argc, char **argv, const struct role *roles, size_t count)
{
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    for (size_t i = 0; n > 0 && argc == 4 && strcmp(argv[1], "--role") == 0 && i < count; i++) {
        if (strcmp(roles[i].name, argv[2]) == 0) {
            roles[i].run(argv[3]);
            return true;
        }
    }
    return false;
}
