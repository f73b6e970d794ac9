#include "bridge/prepare/merge.h"

#include "base/core/buf.h"
#include "base/core/file.h"
#include "bridge/prepare/names.h"

#include <stdio.h>
#include <string.h>

/* "{file:./x}" → "{file:/folder/x}", for each in `text`. NULL when out of memory. */
static char *absolute_files(const char *text, const char *folder)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    for (const char *at; (at = strstr(text, "{file:")); text = at + 6) {
        buf_append(&out, text, (size_t)(at + 6 - text));
        if (at[6] != '/' && at[6] != '~')
            buf_printf(&out, "%s/", folder);
    }
    buf_puts(&out, text);
    return buf_take(&out);
}

static int set_string(cJSON *j, char *text)
{
    if (!text)
        return -1;
    int r = cJSON_SetValuestring(j, text) ? 0 : -1;
    free(text);
    return r;
}

static int fix_files(cJSON *j, const char *folder)
{
    if (cJSON_IsString(j) && strstr(j->valuestring, "{file:"))
        return set_string(j, absolute_files(j->valuestring, folder));
    for (cJSON *child = j->child; child; child = child->next)
        if (fix_files(child, folder) < 0)
            return -1;
    return 0;
}

static int fix_plugins(cJSON *list, const char *folder)
{
    cJSON *entry = NULL;
    cJSON_ArrayForEach (entry, list) {
        cJSON *spec = cJSON_IsArray(entry) ? cJSON_GetArrayItem(entry, 0) : entry;
        if (!cJSON_IsString(spec) || strncmp(spec->valuestring, ".", 1) != 0)
            continue;
        _cleanup_free_ char *path = names_path(spec->valuestring, folder);
        if (path && set_string(spec, source_file_url(path)) < 0)
            return -1;
    }
    return 0;
}

static int add_to_list(cJSON *config, const char *name, const char *text)
{
    cJSON *list = cJSON_GetObjectItemCaseSensitive(config, name);
    if (!list)
        list = cJSON_AddArrayToObject(config, name);
    cJSON *entry = text ? cJSON_CreateString(text) : NULL;
    if (!list || !entry || !cJSON_AddItemToArray(list, entry)) {
        cJSON_Delete(entry);
        return -1;
    }
    return 0;
}

static int add_plugin(cJSON *config, const char *plugin)
{
    _cleanup_free_ char *url = source_file_url(plugin);
    return add_to_list(config, "plugin", url);
}

char *merge_config(const struct source *custom, const char *plugin, const char *guard,
                   const char *instructions)
{
    _cleanup_json_ cJSON *config =
        custom && custom->json ? cJSON_Duplicate(custom->json, 1) : cJSON_CreateObject();
    if (!config)
        return NULL;
    /* Without it, OpenCode would write the line into the file by itself. */
    if (!cJSON_GetObjectItemCaseSensitive(config, "$schema") &&
        !cJSON_AddStringToObject(config, "$schema", "https://opencode.ai/config.json"))
        return NULL;
    if (custom &&
        (fix_files(config, custom->folder) < 0 ||
         fix_plugins(cJSON_GetObjectItemCaseSensitive(config, "plugin"), custom->folder) < 0))
        return NULL;
    if ((plugin && add_plugin(config, plugin) < 0) || (guard && add_plugin(config, guard) < 0) ||
        (instructions && add_to_list(config, "instructions", instructions) < 0))
        return NULL;
    return cJSON_Print(config);
}
