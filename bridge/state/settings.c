#include "bridge/state/settings.h"

#include "base/core/buf.h"
#include "base/core/cleanup.h"
#include "base/core/file.h"
#include "base/core/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TOKEN_MAX ((size_t)16 << 10)

static const char *env_or(const char *name, const char *fallback)
{
    const char *value = getenv(name);
    return value && *value ? value : fallback;
}

/* A pod's name as part of a branch's name or an address. */
static char *plain(const char *prefix, const char *pod)
{
    struct buf out = BUF_INIT;
    (void)buf_puts(&out, prefix);
    for (const char *c = pod; *c; c++) {
        bool good =
            (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9');
        (void)buf_putc(&out, good ? *c : '-');
    }
    return buf_take(&out);
}

static int read_texts(struct settings *s)
{
    static char host[256];
    const char *pod = env_or("CODEV_POD", env_or("POD_NAME", ""));
    if (!*pod && gethostname(host, sizeof host - 1) == 0)
        pod = host;
    s->pod = *pod ? pod : "pod";
    s->state_dir = env_or("CODEV_STATE_DIR", "");
    s->url = env_or("CODEV_GATEWAY_STATE_REPO", "");
    s->branch = env_or("CODEV_GATEWAY_STATE_BRANCH", "main");
    s->token_file = env_or("CODEV_GATEWAY_STATE_TOKEN_FILE", "");
    s->ca_file = env_or("CODEV_GATEWAY_STATE_CA_FILE", "");
    s->dir = path_join(s->state_dir, "session-state");
    s->repo = s->dir ? path_join(s->dir, "repo.git") : NULL;
    s->author = plain("codev ", s->pod);
    s->email = plain("codev@", s->pod);
    s->side = plain("codev/", s->pod);
    return s->dir && s->repo && s->author && s->email && s->side ? 0 : -ENOMEM;
}

/* A path alone is a repository on a volume. */
static int check_url(const struct settings *s, struct error *e)
{
    static const char *const schemes[] = { "https://", "http://", "ssh://", "git://", "file://" };
    for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
        if (strncmp(s->url, schemes[i], strlen(schemes[i])) == 0)
            return 0;
    return *s->url ? error_set(e, -EINVAL,
                               "CODEV_GATEWAY_STATE_REPO must begin with https://, http://, "
                               "ssh://, git:// or file://")
                   : 0;
}

int settings_read(struct settings *ret, struct error *e)
{
    *ret = (struct settings){ 0 };
    int r = secrets_take(SECRET_FOR_STATE, &ret->secrets, e);
    if (r < 0)
        return r;
    if (read_texts(ret) < 0)
        return error_set_errno(e, -ENOMEM, "cannot read the settings");
    return check_url(ret, e);
}

static void wipe(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}

void settings_release(struct settings *s)
{
    char *const owned[] = { s->dir, s->repo, s->author, s->email, s->side };
    for (size_t i = 0; i < ARRAY_SIZE(owned); i++)
        free(owned[i]);
    wipe(s->token);
    secrets_release(&s->secrets);
    *s = (struct settings){ 0 };
}

void settings_token(struct settings *s)
{
    const char *given = secrets_get(&s->secrets, "CODEV_STATE_TOKEN");
    wipe(TAKE_PTR(s->token));
    s->is_key = false;
    if (!*s->token_file) {
        s->token = given ? strdup(given) : NULL;
        return;
    }
    int r = file_read(s->token_file, TOKEN_MAX, &s->token, NULL);
    if (r < 0) {
        log_warn("cannot read gateway.state_token_file %s: %s, ignoring it", s->token_file,
                 strerror(-r));
        return;
    }
    s->is_key = strncmp(s->token, "-----BEGIN", 10) == 0;
    if (s->is_key)
        wipe(TAKE_PTR(s->token)); /* libgit2 reads it by itself */
    else
        s->token[strcspn(s->token, "\r\n")] = '\0';
}

struct gitrepo_remote settings_remote(const struct settings *s, uint64_t deadline_ms)
{
    return (struct gitrepo_remote){
        .url = s->url,
        .branch = s->branch,
        .token = s->token,
        .key_file = s->is_key ? s->token_file : NULL,
        .ca_file = *s->ca_file ? s->ca_file : NULL,
        .setting = "gateway.state_token_file",
        .deadline_ms = deadline_ms,
        .close_in_child = { -1, -1 },
    };
}
