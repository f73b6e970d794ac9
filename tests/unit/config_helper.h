/* A configuration in a folder of its own, loaded and compiled; for the test_config* programs. */
#pragma once

#include "supervisor/config/config.h"

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/file.h"
#include "base/core/log.h"
#include "base/core/secrets.h"
#include "base/json/json.h"
#include "supervisor/config/compile.h"
#include "supervisor/config/docs.h"
#include "supervisor/config/environ.h"
#include "supervisor/config/print.h"
#include "supervisor/plan/plan.h"
#include "tests/unit/run_suite.h"

static char dir[200];
static char file[256], env_path[256];

static inline void make_dir(void)
{
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(dir, sizeof dir, "%s/codev-config-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    (void)snprintf(file, sizeof file, "%s/codev.yaml", dir);
    (void)snprintf(env_path, sizeof env_path, "%s/env.sh", dir);
}

static inline void remove_dir(void)
{
    (void)file_remove_tree(dir);
}

/* Each test runs in a process of its own: its environment is only what it sets. */
static inline void clean_environment(void)
{
    (void)clearenv();
    (void)setenv("HOME", "/home/coder", 1);
}

static inline int load(struct config *c, const char *yaml, const char *env)
{
    ck_assert_int_eq(file_write_atomic(file, yaml, strlen(yaml), 0600), 0);
    if (env) {
        ck_assert_int_eq(file_write_atomic(env_path, env, strlen(env), 0600), 0);
        (void)setenv("CODEV_ENV_FILE", env_path, 1);
    }
    struct config_flags flags = { .file = file };
    return config_load(c, &flags);
}

static inline void load_good(struct config *c, const char *yaml, const char *env)
{
    int r = load(c, yaml, env);
    ck_assert_msg(r == 0, "%s", buf_str(&c->errors));
}

static inline void compile(const struct config *c, struct plan *p, void **block)
{
    size_t size = 0;
    struct error e = ERROR_INIT;
    ck_assert_msg(config_compile(c, block, &size, &e) == 0, "%s", e.message);
    ck_assert_msg(plan_open(p, *block, size, &e) == 0, "%s", e.message);
}

static inline const struct plan_service *find(const struct plan *p, const char *name)
{
    int i = plan_service_index(p, name);
    ck_assert_msg(i >= 0, "%s is not in the plan", name);
    return &p->services[i];
}

/* The value of K in a list of K=V, NULL: none. Fails when it is there twice. */
static inline const char *variable(const struct plan *p, struct plan_list list, const char *name)
{
    const char *value = NULL;
    size_t n = strlen(name);
    for (uint32_t i = 0; i < list.count; i++) {
        const char *s = plan_item(p, list, i);
        if (strncmp(s, name, n) != 0 || s[n] != '=')
            continue;
        ck_assert_msg(!value, "%s twice", name);
        value = s + n + 1;
    }
    return value;
}
