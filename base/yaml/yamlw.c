#include "base/yaml/yamlw.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <yaml.h>

#include "base/core/cleanup.h"
#include "base/core/utf8.h"

struct yamlw {
    yaml_emitter_t emitter;
    struct buf *out;
    int failed;
};

static int put_out(void *data, unsigned char *text, size_t len)
{
    return buf_append(((struct yamlw *)data)->out, text, len) == 0;
}

/* Takes the event over; `made` is what the library said when it was made. */
static void emit(struct yamlw *w, int made, yaml_event_t *event)
{
    if (w->failed) {
        if (made)
            yaml_event_delete(event);
        return;
    }
    if (!made)
        w->failed = -ENOMEM;
    else if (!yaml_emitter_emit(&w->emitter, event))
        w->failed = w->out->failed ? -ENOMEM : -EINVAL;
}

static void scalar(struct yamlw *w, const char *text, size_t len, yaml_scalar_style_t style)
{
    yaml_event_t event;
    int made = yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text, (int)len,
                                            1, 1, style);
    emit(w, made, &event);
}

static void put_key(struct yamlw *w, const char *key)
{
    if (key)
        scalar(w, key, strlen(key), YAML_PLAIN_SCALAR_STYLE);
}

int yamlw_new(struct yamlw **ret, struct buf *out)
{
    struct yamlw *w = calloc(1, sizeof *w);
    if (!w || !yaml_emitter_initialize(&w->emitter)) {
        free(w);
        return -ENOMEM;
    }
    w->out = out;
    yaml_emitter_set_output(&w->emitter, put_out, w);
    yaml_emitter_set_unicode(&w->emitter, 1);
    yaml_emitter_set_width(&w->emitter, -1);
    yaml_event_t event;
    int made = yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING);
    emit(w, made, &event);
    made = yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1);
    emit(w, made, &event);
    yamlw_map(w, NULL);
    *ret = w;
    return 0;
}

int yamlw_finish(struct yamlw *w)
{
    yaml_event_t event;
    yamlw_map_end(w);
    int made = yaml_document_end_event_initialize(&event, 1);
    emit(w, made, &event);
    made = yaml_stream_end_event_initialize(&event);
    emit(w, made, &event);
    int r = w->failed;
    yaml_emitter_delete(&w->emitter);
    free(w);
    return r;
}

void yamlw_map(struct yamlw *w, const char *key)
{
    yaml_event_t event;
    put_key(w, key);
    int made = yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE);
    emit(w, made, &event);
}

void yamlw_map_end(struct yamlw *w)
{
    yaml_event_t event;
    int made = yaml_mapping_end_event_initialize(&event);
    emit(w, made, &event);
}

void yamlw_list(struct yamlw *w, const char *key)
{
    yaml_event_t event;
    put_key(w, key);
    int made =
        yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE);
    emit(w, made, &event);
}

void yamlw_list_end(struct yamlw *w)
{
    yaml_event_t event;
    int made = yaml_sequence_end_event_initialize(&event);
    emit(w, made, &event);
}

void yamlw_text(struct yamlw *w, const char *key, const char *text)
{
    size_t len = strlen(text);
    _cleanup_buf_ struct buf clean = BUF_INIT;
    for (size_t i = 0, n; i < len; i += n) {
        n = utf8_sequence(text + i, len - i);
        (void)(n ? buf_append(&clean, text + i, n) : buf_puts(&clean, "\xEF\xBF\xBD"));
        n = n ? n : 1;
    }
    if (clean.failed && !w->failed)
        w->failed = -ENOMEM;
    put_key(w, key);
    scalar(w, buf_str(&clean), clean.len, YAML_DOUBLE_QUOTED_SCALAR_STYLE);
}

void yamlw_word(struct yamlw *w, const char *key, const char *word)
{
    put_key(w, key);
    scalar(w, word, strlen(word), YAML_PLAIN_SCALAR_STYLE);
}

void yamlw_int(struct yamlw *w, const char *key, int64_t n)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRId64, n);
    yamlw_word(w, key, text);
}
