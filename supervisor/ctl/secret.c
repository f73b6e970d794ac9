/* What a person needs to log in: token, password, link. */
#include "supervisor/ctl/ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/control.h"
#include "base/core/ticket.h"

static int ask_secret(const char *name, cJSON **ret)
{
    const char *words[] = { "secret", name, NULL };
    int status = ctl_ask(words, ret);
    if (status == CTL_OK && !json_str(*ret, "value", NULL)) {
        ctl_complain("PID 1 has no %s", name);
        status = CTL_NOT_WELL;
    }
    return status;
}

static int put_secret(const char *name)
{
    _cleanup_json_ cJSON *answer = NULL;
    int status = ask_secret(name, &answer);
    if (status == CTL_OK)
        (void)puts(json_str(answer, "value", ""));
    return status;
}

int ctl_token(const struct ctl_options *o, int argc, char **argv)
{
    (void)o;
    (void)argc;
    (void)argv;
    return put_secret("CODEV_TOKEN");
}

int ctl_password(const struct ctl_options *o, int argc, char **argv)
{
    (void)o;
    (void)argc;
    (void)argv;
    return put_secret("OPENCODE_SERVER_PASSWORD");
}

/* The gateway's address from PID 1, which checks it there: "http://127.0.0.1:8000". */
static char *gateway_address(void)
{
    const char *words[] = { "checks", NULL };
    _cleanup_json_ cJSON *answer = NULL;
    const cJSON *c;
    if (ctl_ask(words, &answer) != CTL_OK)
        return NULL;
    cJSON_ArrayForEach (c, json_arr(answer, "checks")) {
        const cJSON *first = cJSON_GetArrayItem(json_arr(c, "target"), 0);
        const char *url = cJSON_IsString(first) ? first->valuestring : "";
        const char *host = strstr(url, "://");
        if (strcmp(json_str(c, "service", ""), "gateway") == 0 && host)
            return strndup(url, (size_t)(host + 3 - url) + strcspn(host + 3, "/?#"));
    }
    ctl_complain("the gateway is not among the services");
    return NULL;
}

int ctl_open(const struct ctl_options *o, int argc, char **argv)
{
    (void)o;
    (void)argc;
    (void)argv;
    struct error e = ERROR_INIT;
    char dir[100], ticket[SECRET_TEXT_SIZE];
    _cleanup_free_ char *address = gateway_address();
    if (!address)
        return CTL_NOT_WELL;
    if (control_runtime_dir(dir, sizeof dir, &e) < 0 || ticket_make(dir, ticket, &e) < 0) {
        ctl_complain("%s. Open %s/login and give the token that `codevctl token` prints", e.message,
                     address);
        return CTL_NOT_WELL;
    }
    /* In the fragment, which a browser sends to no server: it ends up in no access log. */
    (void)printf("%s/login#token=%s\n", address, ticket);
    return CTL_OK;
}
