#include "bridge/prepare/package.h"

#include "base/core/file.h"
#include "base/json/json.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define PACKAGE_MAX ((size_t)1 << 20)

static bool file_there(const char *folder, const char *name)
{
    _cleanup_free_ char *path = path_join(folder, name);
    struct stat st;
    return path && stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* "main", else what "exports" names for ".", else index.js: the order in which OpenCode looks. */
static const char *main_of(const cJSON *j)
{
    const cJSON *exports = cJSON_GetObjectItemCaseSensitive(j, "exports");
    const cJSON *dot =
        cJSON_IsObject(exports) ? cJSON_GetObjectItemCaseSensitive(exports, ".") : exports;
    const char *name = json_str(j, "main", NULL);
    if (!name && cJSON_IsString(dot))
        name = dot->valuestring;
    if (!name)
        name = json_str(dot, "import", json_str(dot, "default", "index.js"));
    while (strncmp(name, "./", 2) == 0)
        name += 2;
    return name;
}

static int interpret(const cJSON *j, const char *path, struct package *ret, struct error *e)
{
    if (!cJSON_IsObject(j))
        return error_set(e, -EBADMSG, "%s is not a JSON object", path);
    const char *name = main_of(j);
    if (!*name || *name == '/' || strstr(name, ".."))
        return error_set(e, -EBADMSG, "%s: \"main\" must be a path inside the plugin", path);
    ret->main = strdup(name);
    if (!ret->main)
        return error_set_errno(e, -ENOMEM, "package.json");
    ret->builds = json_str(json_obj(j, "scripts"), "build", NULL) != NULL;
    ret->needs = cJSON_GetArraySize(json_obj(j, "dependencies")) > 0;
    return 0;
}

int package_read(const char *plugin, struct package *ret, struct error *e)
{
    _cleanup_free_ char *path = path_join(plugin, "package.json");
    _cleanup_free_ char *text = NULL;
    _cleanup_json_ cJSON *j = NULL;
    size_t len = 0;
    if (!path)
        return error_set_errno(e, -ENOMEM, "package.json");
    int r = file_read(path, PACKAGE_MAX, &text, &len);
    if (r < 0)
        return error_set_errno(e, r, "cannot read %s", path);
    struct error why = ERROR_INIT;
    r = json_parse(&j, text, len, &why);
    if (r < 0)
        return error_set(e, r, "%s: %s", path, why.message);
    struct package p = { 0 };
    r = interpret(j, path, &p, e);
    if (r < 0)
        return r;
    p.locked = file_there(plugin, "package-lock.json") || file_there(plugin, "npm-shrinkwrap.json");
    *ret = p;
    return 0;
}

void package_release(struct package *p)
{
    free(p->main);
    *p = (struct package){ 0 };
}

bool package_main_exists(const char *plugin, const struct package *p)
{
    return file_there(plugin, p->main);
}
