#include "bridge/gateway/web/body.h"

#include <errno.h>
#include <string.h>

#include "base/core/utf8.h"

#define FIELDS_MAX 8

static int wrong(struct body_error *e, int status, const char *code, const char *message)
{
    e->status = status;
    e->code = code;
    (void)error_set(&e->e, -EINVAL, "%s", message);
    return -1;
}

/* cJSON ends a string there, silently. */
static bool has_escaped_nul(const char *text, size_t len)
{
    for (size_t i = 0; i + 5 < len; i++) {
        if (text[i] != '\\')
            continue;
        if (memcmp(text + i, "\\u0000", 6) == 0)
            return true;
        i++; /* whatever is escaped, another backslash perhaps */
    }
    return false;
}

int body_parse(cJSON **ret, const char *text, size_t len, struct body_error *e)
{
    if (len > BODY_MAX)
        return wrong(e, 413, "too_big", "the body is over 256 KiB");
    cJSON *j = NULL;
    if (json_parse(&j, text, len, &e->e) < 0) {
        e->status = 400;
        e->code = "bad_json";
        return -1;
    }
    if (cJSON_IsObject(j) && !has_escaped_nul(text, len)) {
        *ret = j;
        return 0;
    }
    bool object = cJSON_IsObject(j);
    cJSON_Delete(j);
    return object ? wrong(e, 422, "bad_field", "a text holds a NUL character")
                  : wrong(e, 422, "bad_field", "the body must be a JSON object");
}

/* ---------------------------------------------------------------- fields */

struct field {
    const char *name;
    size_t max; /* characters; 0: an array */
    bool required;
    bool (*fits)(const char *value); /* NULL: anything */
    const char *expected;            /* for people, with `fits` */
};

static int field_wrong(struct body_error *e, const char *name, const char *what)
{
    e->status = 422;
    e->code = "bad_field";
    (void)error_set(&e->e, -EINVAL, "%.60s: %s", name, what);
    return -1;
}

static int field_check(const struct field *f, const cJSON *value, struct body_error *e)
{
    if (f->max == 0)
        return cJSON_IsArray(value) ? 0 : field_wrong(e, f->name, "must be an array");
    if (!cJSON_IsString(value))
        return field_wrong(e, f->name, "must be a string");
    const char *s = value->valuestring;
    size_t count = utf8_count(s, strlen(s));
    if (count > f->max) {
        e->status = 422;
        e->code = "bad_field";
        (void)error_set(&e->e, -EINVAL, "%s: %zu characters, at most %zu are allowed", f->name,
                        count, f->max);
        return -1;
    }
    if (f->required && s[strspn(s, " \t\r\n")] == '\0')
        return field_wrong(e, f->name, "must not be empty");
    if (f->fits && *s && !f->fits(s))
        return field_wrong(e, f->name, f->expected);
    return 0;
}

/* Puts what is there into `values`, in the order of `fields`; null counts as absent. */
static int fields_read(const cJSON *j, const struct field *fields, size_t n,
                       const cJSON *values[FIELDS_MAX], struct body_error *e)
{
    bool seen[FIELDS_MAX] = { false };
    const cJSON *value;
    cJSON_ArrayForEach (value, j) {
        size_t i = 0;
        while (i < n && strcmp(fields[i].name, value->string) != 0)
            i++;
        if (i == n)
            return field_wrong(e, value->string, "is not a field of this request");
        if (seen[i])
            return field_wrong(e, value->string, "is there twice");
        seen[i] = true;
        if (cJSON_IsNull(value))
            continue;
        if (field_check(&fields[i], value, e) < 0)
            return -1;
        values[i] = value;
    }
    for (size_t i = 0; i < n; i++)
        if (fields[i].required && !values[i])
            return field_wrong(e, fields[i].name, "is missing");
    return 0;
}

static const char *text_of(const cJSON *value)
{
    return value && *value->valuestring ? value->valuestring : NULL;
}

static bool is_line(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            return false;
    return true;
}

static bool is_absolute(const char *s)
{
    return *s == '/' && is_line(s);
}

static bool is_model(const char *s)
{
    const char *slash = strchr(s, '/');
    return slash && slash > s && slash[1] && is_line(s);
}

static bool is_decision(const char *s)
{
    static const char *const all[] = { "once", "always", "reject", "answer" };
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        if (strcmp(all[i], s) == 0)
            return true;
    return false;
}

#define A_LINE "must be one line"

int body_read_start(const cJSON *j, struct body_start *ret, struct body_error *e)
{
    static const struct field fields[] = {
        { "prompt", PROMPT_MAX, true, NULL, NULL },
        { "title", 200, false, is_line, A_LINE },
        { "directory", 4000, false, is_absolute, "must be an absolute path" },
        { "agent", 100, false, is_line, A_LINE },
        { "model", 200, false, is_model, "must be \"provider/model\"" },
        { "pod", 253, false, is_line, A_LINE },
    };
    const cJSON *v[FIELDS_MAX] = { NULL };
    if (fields_read(j, fields, ARRAY_SIZE(fields), v, e) < 0)
        return -1;
    *ret = (struct body_start){
        .prompt = text_of(v[0]),
        .title = text_of(v[1]),
        .directory = text_of(v[2]),
        .agent = text_of(v[3]),
        .model = text_of(v[4]),
        .pod = text_of(v[5]),
    };
    return 0;
}

int body_read_message(const cJSON *j, struct body_message *ret, struct body_error *e)
{
    static const struct field fields[] = { { "text", PROMPT_MAX, true, NULL, NULL } };
    const cJSON *v[FIELDS_MAX] = { NULL };
    if (fields_read(j, fields, ARRAY_SIZE(fields), v, e) < 0)
        return -1;
    *ret = (struct body_message){ .text = text_of(v[0]) };
    return 0;
}

int body_read_login(const cJSON *j, struct body_login *ret, struct body_error *e)
{
    static const struct field fields[] = {
        { "token", 4000, true, NULL, NULL },
        { "name", 60, false, is_line, A_LINE },
    };
    const cJSON *v[FIELDS_MAX] = { NULL };
    if (fields_read(j, fields, ARRAY_SIZE(fields), v, e) < 0)
        return -1;
    *ret = (struct body_login){ .token = text_of(v[0]), .name = text_of(v[1]) };
    return 0;
}

static bool is_focus(const char *s)
{
    return strcmp(s, "auto") == 0 || strcmp(s, "slack") == 0 || strcmp(s, "web") == 0;
}

int body_read_focus(const cJSON *j, const char **ret, struct body_error *e)
{
    static const struct field fields[] = { { "focus", 10, true, is_focus,
                                             "must be \"auto\", \"slack\" or \"web\"" } };
    const cJSON *v[FIELDS_MAX] = { NULL };
    if (fields_read(j, fields, ARRAY_SIZE(fields), v, e) < 0)
        return -1;
    *ret = text_of(v[0]);
    return 0;
}

static int answers_check(const cJSON *answers, struct body_error *e)
{
    const cJSON *labels, *label;
    if (cJSON_GetArraySize(answers) > ANSWERS_MAX)
        return field_wrong(e, "answers", "are too many");
    cJSON_ArrayForEach (labels, answers) {
        if (!cJSON_IsArray(labels) || cJSON_GetArraySize(labels) > LABELS_MAX)
            return field_wrong(e, "answers", "must hold an array of texts for each question");
        cJSON_ArrayForEach (label, labels)
            if (!cJSON_IsString(label) ||
                utf8_count(label->valuestring, strlen(label->valuestring)) > 4000)
                return field_wrong(e, "answers", "must be texts of at most 4000 characters");
    }
    return 0;
}

int body_read_decision(const cJSON *j, struct body_decision *ret, struct body_error *e)
{
    static const struct field fields[] = {
        { "decision", 20, true, is_decision,
          "must be \"once\", \"always\", \"reject\" or \"answer\"" },
        { "reason", 2000, false, NULL, NULL },
        { "answers", 0, false, NULL, NULL },
    };
    const cJSON *v[FIELDS_MAX] = { NULL };
    if (fields_read(j, fields, ARRAY_SIZE(fields), v, e) < 0)
        return -1;
    bool answer = strcmp(v[0]->valuestring, "answer") == 0;
    if (v[1] && *v[1]->valuestring && strcmp(v[0]->valuestring, "reject") != 0)
        return field_wrong(e, "reason", "goes with \"reject\" only");
    if (answer != (v[2] != NULL))
        return field_wrong(e, "answers", answer ? "is missing" : "go with \"answer\" only");
    if (v[2] && answers_check(v[2], e) < 0)
        return -1;
    *ret = (struct body_decision){
        .decision = v[0]->valuestring,
        .reason = text_of(v[1]),
        .answers = v[2],
    };
    return 0;
}
