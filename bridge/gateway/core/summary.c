#include "bridge/gateway/core/summary.h"

#include "base/core/buf.h"
#include "base/core/cleanup.h"
#include "base/json/json.h"

#include <string.h>

#define SUMMARY_MAX 300

size_t text_cut(const char *s, size_t max)
{
    size_t n = strnlen(s, max + 1);
    if (n <= max)
        return n;
    n = max;
    while (n > 0 && ((unsigned char)s[n] & 0xc0) == 0x80)
        n--;
    return n;
}

static void join_strings(struct buf *out, const cJSON *list)
{
    const cJSON *item;
    cJSON_ArrayForEach (item, list) {
        if (!cJSON_IsString(item) || out->len > SUMMARY_MAX)
            continue;
        if (out->len)
            buf_puts(out, ", ");
        buf_append(out, item->valuestring, text_cut(item->valuestring, SUMMARY_MAX));
    }
}

/* Where the text is: the first of these that is there. */
static const char *const places[] = {
    "metadata.command", "metadata.filepath", "metadata.filePath",  "metadata.path",
    "metadata.url",     "metadata.pattern",  "metadata.directory", "metadata.description",
};

static void find_text(struct buf *out, enum request_kind kind, const cJSON *detail)
{
    if (kind == REQUEST_QUESTION) {
        const cJSON *first = cJSON_GetArrayItem(json_arr(detail, "questions"), 0);
        const char *text = json_str(first, "question", "");
        buf_append(out, text, text_cut(text, SUMMARY_MAX + 4));
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(places) && out->len == 0; i++) {
        const char *text = json_str_at(detail, places[i], "");
        buf_append(out, text, text_cut(text, SUMMARY_MAX + 4));
    }
    if (out->len == 0)
        join_strings(out, json_at(detail, "metadata.directories"));
    if (out->len == 0)
        join_strings(out, json_arr(detail, "patterns"));
}

char *request_summary(enum request_kind kind, const char *permission, const char *detail_json)
{
    _cleanup_json_ cJSON *detail = NULL;
    _cleanup_buf_ struct buf out = BUF_INIT;
    (void)json_parse(&detail, detail_json, strlen(detail_json), NULL);
    if (detail)
        find_text(&out, kind, detail);
    if (out.len == 0)
        buf_append(&out, permission, text_cut(permission, SUMMARY_MAX));
    if (out.len > SUMMARY_MAX) {
        out.len = text_cut(out.data, SUMMARY_MAX - strlen("…"));
        buf_puts(&out, "…");
    }
    for (size_t i = 0; i < out.len; i++)
        if ((unsigned char)out.data[i] < 0x20 || out.data[i] == 0x7f)
            out.data[i] = ' ';
    return buf_take(&out);
}
