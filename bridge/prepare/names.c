#include "bridge/prepare/names.h"

#include "base/core/buf.h"
#include "base/core/file.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static char *url_decode(const char *s)
{
    char *out = strdup(s), *to = out;
    for (; out && *s; s++) {
        int high = *s == '%' ? hex_value(s[1]) : -1, low = high < 0 ? -1 : hex_value(s[2]);
        *to++ = low < 0 ? *s : (char)(high * 16 + low);
        if (low >= 0)
            s += 2;
    }
    if (out)
        *to = '\0';
    return out;
}

char *source_file_url(const char *path)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                "0123456789-._~/@+,=:";
    _cleanup_buf_ struct buf out = BUF_INIT;
    buf_puts(&out, "file://");
    for (; *path; path++) {
        if (strchr(plain, *path))
            buf_putc(&out, *path);
        else
            buf_printf(&out, "%%%02X", (unsigned char)*path);
    }
    return buf_take(&out);
}

char *names_path(const char *spec, const char *folder)
{
    if (strncmp(spec, "file://", 7) == 0)
        return url_decode(spec + 7);
    if (*spec == '/')
        return strdup(spec);
    if (strncmp(spec, "./", 2) == 0 || strncmp(spec, "../", 3) == 0)
        return path_join(folder, spec);
    return NULL;
}

bool names_leads_into(const char *path, const char *plugin)
{
    _cleanup_free_ char *real = realpath(path, NULL);
    _cleanup_free_ char *home = realpath(plugin, NULL);
    size_t n = home ? strlen(home) : 0;
    return real && home && strncmp(real, home, n) == 0 && (real[n] == '\0' || real[n] == '/');
}

static void judge_entry(struct source *s, const cJSON *entry, const char *plugin)
{
    const cJSON *spec = cJSON_IsArray(entry) ? cJSON_GetArrayItem(entry, 0) : entry;
    if (!cJSON_IsString(spec))
        return;
    size_t n = strlen(PLUGIN_NAME);
    const char *text = spec->valuestring;
    if (strncmp(text, PLUGIN_NAME, n) == 0 && (text[n] == '\0' || text[n] == '@')) {
        s->bare = true;
        return;
    }
    _cleanup_free_ char *path = names_path(text, s->folder);
    if (!path)
        return;
    if (strcmp(path, plugin) == 0) {
        if (s->names == NAMES_NOT)
            s->names = NAMES_SAME;
    } else if (names_leads_into(path, plugin)) {
        s->names = NAMES_OTHERWISE;
    }
}

static bool names_it(const cJSON *entry, const char *folder, const char *plugin)
{
    const cJSON *spec = cJSON_IsArray(entry) ? cJSON_GetArrayItem(entry, 0) : entry;
    _cleanup_free_ char *path = cJSON_IsString(spec) ? names_path(spec->valuestring, folder) : NULL;
    return path && (strcmp(path, plugin) == 0 || names_leads_into(path, plugin));
}

char *names_without(const struct source *s, const char *plugin)
{
    _cleanup_json_ cJSON *copy = cJSON_Duplicate(s->json, 1);
    cJSON *list = cJSON_GetObjectItemCaseSensitive(copy, "plugin");
    for (int i = cJSON_GetArraySize(list); i-- > 0;)
        if (names_it(cJSON_GetArrayItem(list, i), s->folder, plugin))
            cJSON_DeleteItemFromArray(list, i);
    return copy ? cJSON_Print(copy) : NULL;
}

void names_judge(struct source *s, const char *plugin)
{
    const cJSON *entry = NULL;
    cJSON_ArrayForEach (entry, json_arr(s->json, "plugin"))
        judge_entry(s, entry, plugin);
}

static void dir_close(DIR **d)
{
    if (*d)
        (void)closedir(*d);
}

bool source_folder_names(const char *folder, const char *plugin)
{
    static const char *const names[] = { "plugin", "plugins" };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        _cleanup_free_ char *path = path_join(folder, names[i]);
        _cleanup_(dir_close) DIR *dir = path ? opendir(path) : NULL;
        for (struct dirent *d; dir && (d = readdir(dir));) {
            size_t n = strlen(d->d_name);
            if (n < 4 || (strcmp(d->d_name + n - 3, ".js") && strcmp(d->d_name + n - 3, ".ts")))
                continue;
            _cleanup_free_ char *file = path_join(path, d->d_name);
            if (file && names_leads_into(file, plugin))
                return true;
        }
    }
    return false;
}
