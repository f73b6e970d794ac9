#include "base/yaml/yaml.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "base/core/utf8.h"

struct reader {
    yaml_parser_t parser;
    size_t nodes;
    struct error *e;
};

static const char *const kind_names[] = {
    [YNODE_SCALAR] = "a value",
    [YNODE_SEQUENCE] = "a list",
    [YNODE_MAPPING] = "a mapping",
};
_Static_assert(ARRAY_SIZE(kind_names) == YNODE_KIND_MAX, "a name for every kind");

const char *ynode_kind_name(enum ynode_kind kind)
{
    return kind_names[kind];
}

void ynode_free(struct ynode *n)
{
    while (n) {
        struct ynode *next = n->next;
        ynode_free(n->first); /* no deeper than YNODE_DEPTH_MAX */
        free(n->key);
        free(n->text);
        free(n);
        n = next;
    }
}

const struct ynode *ynode_get(const struct ynode *mapping, const char *key)
{
    if (!mapping || mapping->kind != YNODE_MAPPING)
        return NULL;
    for (const struct ynode *c = mapping->first; c; c = c->next)
        if (strcmp(c->key, key) == 0)
            return c;
    return NULL;
}

bool ynode_is_null(const struct ynode *n)
{
    return n->kind == YNODE_SCALAR && n->plain &&
           (!*n->text || strcmp(n->text, "~") == 0 || strcasecmp(n->text, "null") == 0);
}

static unsigned line_of(const yaml_event_t *event)
{
    return (unsigned)event->start_mark.line + 1;
}

/* 0, or -EBADMSG with what libyaml says. */
static int next_event(struct reader *r, yaml_event_t *event)
{
    if (yaml_parser_parse(&r->parser, event))
        return 0;
    const yaml_parser_t *p = &r->parser;
    if (p->error == YAML_MEMORY_ERROR)
        return error_set_errno(r->e, -ENOMEM, "cannot read YAML");
    if (p->error == YAML_READER_ERROR)
        return error_set(r->e, -EBADMSG, "1: %s at byte %zu", p->problem, p->problem_offset);
    return error_set(r->e, -EBADMSG, "%zu: not valid YAML: %s%s%s", p->problem_mark.line + 1,
                     p->problem ? p->problem : "unknown problem", p->context ? ", " : "",
                     p->context ? p->context : "");
}

/* The core schema's tags say nothing new; others would ask for types that we do not have. */
static int check_tag(struct reader *r, unsigned line, const yaml_char_t *tag)
{
    static const char core[] = "tag:yaml.org,2002:";
    const char *t = (const char *)tag;
    if (!t || strcmp(t, "!") == 0 || strncmp(t, core, sizeof core - 1) == 0)
        return 0;
    return error_set(r->e, -EBADMSG, "%u: the tag %.60s is not supported", line, t);
}

static int check_event(struct reader *r, const yaml_event_t *event)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;
    unsigned line = line_of(event);
    switch ((int)event->type) {
    case YAML_ALIAS_EVENT:
        return error_set(r->e, -EBADMSG, "%u: aliases (*%.60s) are not supported: write it out",
                         line, (const char *)event->data.alias.anchor);
    case YAML_SCALAR_EVENT:
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
        break;
    default:
        return 0;
    }
    if (anchor)
        return error_set(r->e, -EBADMSG, "%u: anchors (&%.60s) are not supported: write it out",
                         line, (const char *)anchor);
    if (event->type == YAML_SCALAR_EVENT &&
        memchr(event->data.scalar.value, '\0', event->data.scalar.length))
        return error_set(r->e, -EBADMSG, "%u: a NUL byte in a value", line);
    return check_tag(r, line, tag);
}

static int new_node(struct reader *r, enum ynode_kind kind, const yaml_event_t *event,
                    struct ynode **ret)
{
    if (++r->nodes > YNODE_COUNT_MAX)
        return error_set(r->e, -EBADMSG, "%u: more than %d values in one file", line_of(event),
                         YNODE_COUNT_MAX);
    bool scalar = kind == YNODE_SCALAR;
    _cleanup_free_ char *text = scalar ? strdup((const char *)event->data.scalar.value) : NULL;
    struct ynode *n = scalar && !text ? NULL : calloc(1, sizeof *n);
    if (!n)
        return error_set_errno(r->e, -ENOMEM, "cannot read YAML");
    n->kind = kind;
    n->line = line_of(event);
    n->column = (unsigned)event->start_mark.column + 1;
    n->plain = scalar && event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    n->text = TAKE_PTR(text);
    *ret = n;
    return 0;
}

static int read_node(struct reader *r, const yaml_event_t *event, int depth, struct ynode **ret);

static int read_items(struct reader *r, struct ynode *parent, int depth)
{
    for (struct ynode **tail = &parent->first;; tail = &(*tail)->next) {
        _cleanup_(yaml_event_delete) yaml_event_t event = { 0 };
        int result = next_event(r, &event);
        if (result < 0)
            return result;
        if (event.type == YAML_SEQUENCE_END_EVENT)
            return 0;
        result = read_node(r, &event, depth + 1, tail);
        if (result < 0)
            return result;
        parent->count++;
    }
}

static int check_key(struct reader *r, const struct ynode *mapping, const yaml_event_t *event)
{
    if (event->type != YAML_SCALAR_EVENT)
        return error_set(r->e, -EBADMSG, "%u: a key must be a plain word", line_of(event));
    int result = check_event(r, event);
    if (result < 0)
        return result;
    const char *key = (const char *)event->data.scalar.value;
    const struct ynode *first = ynode_get(mapping, key);
    if (first)
        return error_set(r->e, -EBADMSG,
                         "%u: the key '%.60s' is here a second time (first in line %u)",
                         line_of(event), key, first->line);
    return 0;
}

static int read_pairs(struct reader *r, struct ynode *parent, int depth)
{
    for (struct ynode **tail = &parent->first;; tail = &(*tail)->next) {
        _cleanup_(yaml_event_delete) yaml_event_t key = { 0 };
        int result = next_event(r, &key);
        if (result < 0)
            return result;
        if (key.type == YAML_MAPPING_END_EVENT)
            return 0;
        result = check_key(r, parent, &key);
        if (result < 0)
            return result;
        _cleanup_free_ char *name = strdup((const char *)key.data.scalar.value);
        if (!name)
            return error_set_errno(r->e, -ENOMEM, "cannot read YAML");
        _cleanup_(yaml_event_delete) yaml_event_t event = { 0 };
        result = next_event(r, &event);
        if (result < 0)
            return result;
        _cleanup_ynode_ struct ynode *value = NULL;
        result = read_node(r, &event, depth + 1, &value);
        if (result < 0)
            return result;
        value->key = TAKE_PTR(name);
        value->line = line_of(&key);
        value->column = (unsigned)key.start_mark.column + 1;
        *tail = TAKE_PTR(value);
        parent->count++;
    }
}

static int read_node(struct reader *r, const yaml_event_t *event, int depth, struct ynode **ret)
{
    int result = check_event(r, event);
    if (result < 0)
        return result;
    if (depth > YNODE_DEPTH_MAX)
        return error_set(r->e, -EBADMSG, "%u: nested deeper than %d", line_of(event),
                         YNODE_DEPTH_MAX);
    enum ynode_kind kind = event->type == YAML_SCALAR_EVENT           ? YNODE_SCALAR
                           : event->type == YAML_SEQUENCE_START_EVENT ? YNODE_SEQUENCE
                                                                      : YNODE_MAPPING;
    _cleanup_ynode_ struct ynode *n = NULL;
    result = new_node(r, kind, event, &n);
    if (result == 0 && kind == YNODE_SEQUENCE)
        result = read_items(r, n, depth);
    else if (result == 0 && kind == YNODE_MAPPING)
        result = read_pairs(r, n, depth);
    if (result == 0)
        *ret = TAKE_PTR(n);
    return result;
}

static int read_stream(struct reader *r, struct ynode **ret)
{
    for (;;) {
        _cleanup_(yaml_event_delete) yaml_event_t event = { 0 };
        int result = next_event(r, &event);
        if (result < 0)
            return result;
        switch ((int)event.type) {
        case YAML_STREAM_END_EVENT:
            return 0;
        case YAML_STREAM_START_EVENT:
        case YAML_DOCUMENT_END_EVENT:
            break;
        case YAML_DOCUMENT_START_EVENT:
            if (*ret)
                return error_set(r->e, -EBADMSG, "%u: a second document begins here",
                                 line_of(&event));
            break;
        default:
            result = read_node(r, &event, 1, ret);
            if (result < 0)
                return result;
        }
    }
}

int ynode_parse(struct ynode **ret, const char *text, size_t len, struct error *e)
{
    if (len > YNODE_TEXT_MAX)
        return error_set(e, -EBADMSG, "1: larger than %zu KiB", YNODE_TEXT_MAX >> 10);
    struct reader r = { .e = e };
    if (!utf8_valid(text, len)) {
        /* libyaml would take UTF-16 as well, and its message has no line. */
        unsigned line = 1;
        for (size_t i = 0, n; i < len && (n = utf8_sequence(text + i, len - i)); i += n)
            line += text[i] == '\n';
        return error_set(e, -EBADMSG, "%u: not valid UTF-8", line);
    }
    if (!yaml_parser_initialize(&r.parser))
        return error_set_errno(e, -ENOMEM, "cannot read YAML");
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
    _cleanup_ynode_ struct ynode *root = NULL;
    int result = read_stream(&r, &root);
    yaml_parser_delete(&r.parser);
    if (result == 0 && root && ynode_is_null(root)) {
        ynode_free(root);
        root = NULL;
    }
    if (result == 0)
        *ret = TAKE_PTR(root);
    return result;
}
