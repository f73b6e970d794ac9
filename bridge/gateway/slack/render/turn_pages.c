/* A turn as messages: what it wrote as Markdown, its tools as small lines between. */
#include "base/core/cleanup.h"
#include "bridge/gateway/slack/render/blocks.h"
#include "bridge/gateway/slack/render/split.h"
#include "bridge/gateway/slack/render/text.h"
#include "bridge/gateway/slack/render/turn.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PAGE_TARGET  3600 /* characters: a few screens of a phone */
#define PAGE_MOST    9000 /* one whole code block; a message holds about 12,000 */
#define TOOL_POINTS  140  /* what a tool's line counts, whatever it says now */
#define TOOL_TITLE   110
#define LINES_POINTS 1800 /* of one block of tool lines */
#define EXCERPT      1500 /* of what is in a file */
#define PAGE_BLOCKS  40   /* of 50 */

struct page {
    cJSON *blocks;
    size_t points;
    struct buf lines; /* of tools, not yet in a block */
    struct buf head;  /* the newest in it, for notifications */
    bool has_text;
    char *file;
};

struct render {
    struct page *pages;
    size_t count, cap;
    bool failed;
};

static struct page *page_new(struct render *r)
{
    if (r->count == r->cap) {
        size_t cap = r->cap ? r->cap * 2 : 4;
        struct page *more = reallocarray(r->pages, cap, sizeof *more);
        if (!more) {
            r->failed = true;
            return NULL;
        }
        r->pages = more;
        r->cap = cap;
    }
    struct page *p = &r->pages[r->count++];
    *p = (struct page){ .blocks = cJSON_CreateArray() };
    return p;
}

static struct page *page_now(struct render *r)
{
    return r->count ? &r->pages[r->count - 1] : page_new(r);
}

static void flush_lines(struct page *p)
{
    if (p->lines.len)
        blocks_add_context(p->blocks, buf_str(&p->lines), NULL);
    buf_reset(&p->lines);
}

static struct page *page_with_room(struct render *r, size_t points)
{
    struct page *p = page_now(r);
    if (p && ((p->points && p->points + points > PAGE_TARGET) ||
              cJSON_GetArraySize(p->blocks) >= PAGE_BLOCKS)) {
        flush_lines(p);
        p = page_new(r);
    }
    return p;
}

/* The last page that may be: what comes after it goes into its file. True: it did. */
static bool put_beyond(struct render *r, const char *text)
{
    struct page *p = r->count ? &r->pages[r->count - 1] : NULL;
    if (r->count < TURN_PAGES_MAX || !p->file)
        return false;
    _cleanup_buf_ struct buf more = BUF_INIT;
    buf_printf(&more, "%s\n\n%s", p->file, text);
    char *joined = buf_take(&more);
    if (joined) {
        free(p->file);
        p->file = joined;
    }
    return true;
}

/* ---------------------------------------------------------------- text */

/* What the agent says counts more than what it runs. */
static void put_head(struct page *p, const char *text, size_t len, bool is_text)
{
    if (p->has_text && !is_text)
        return;
    p->has_text = is_text;
    buf_reset(&p->head);
    buf_append(&p->head, text, len < BLOCKS_FALLBACK_MAX * 4 ? len : BLOCKS_FALLBACK_MAX * 4);
}

/* What does not fit into a message: its beginning here, the whole beside it as a file. */
static void put_excerpt(struct page *p, const char *text, size_t len)
{
    _cleanup_free_ char *whole = strndup(text, len);
    _cleanup_buf_ struct buf shown = BUF_INIT;
    if (!whole)
        return;
    (void)text_put_middle(&shown, whole, EXCERPT);
    (void)blocks_add_code(p->blocks, buf_str(&shown));
    blocks_add_context(p->blocks,
                       ":paperclip: Shortened here. The whole text is in the file below.", NULL);
    free(p->file);
    p->file = TAKE_PTR(whole);
}

static void put_markdown(struct page *p, const char *text, size_t len)
{
    _cleanup_free_ char *piece = strndup(text, len);
    if (!piece || piece[strspn(piece, " \t\r\n")] == '\0') /* Slack takes no empty block */
        return;
    if (blocks_add_markdown(p->blocks, piece)) { /* hostile characters count several times */
        free(p->file);
        p->file = TAKE_PTR(piece);
    }
}

static void put_text(struct render *r, const char *text)
{
    if (put_beyond(r, text))
        return;
    while (*text) {
        struct page *p = page_with_room(r, PAGE_TARGET / 3);
        if (!p)
            return;
        flush_lines(p);
        struct split_limits limits = { PAGE_TARGET - p->points, PAGE_MOST };
        struct split_page s = split_first(text, &limits);
        if (p->points && split_points(text, s.len) + p->points > PAGE_TARGET) {
            p = page_new(r); /* one code block: on a page of its own */
            if (!p)
                return;
        }
        put_head(p, text, s.len, true);
        if (r->count == TURN_PAGES_MAX) {
            put_excerpt(p, text, strlen(text));
            p->points = PAGE_TARGET;
            return;
        }
        if (s.large)
            put_excerpt(p, text, s.len);
        else
            put_markdown(p, text, s.len);
        p->points += split_points(text, s.len);
        text += s.len;
    }
}

/* ---------------------------------------------------------------- tools */

static void put_tool(struct render *r, const struct turn_entry *e)
{
    struct page *p = put_beyond(r, e->text) ? NULL : page_with_room(r, TOOL_POINTS);
    if (!p)
        return;
    bool failed = strcmp(e->status, "error") == 0, runs = strcmp(e->status, "running") == 0;
    _cleanup_buf_ struct buf line = BUF_INIT;
    buf_puts(&line, e->kind == TURN_NOTE ? "\xf0\x9f\x8f\x81 " /* a flag */
                    : failed             ? "\xe2\x9c\x97 "     /* a cross */
                    : runs               ? "\xe2\x80\xa6 "     /* dots */
                                         : "\xe2\x9c\x93 ");                 /* a tick */
    if (e->child)
        buf_puts(&line, "\xe2\x86\xb3 ");
    size_t tool = strcspn(e->text, ":");
    const char *title = e->text[tool] ? e->text + tool + 1 : "";
    _cleanup_free_ char *name = strndup(e->text, tool);
    if (e->kind == TURN_NOTE || !name) {
        (void)text_put(&line, e->text, TOOL_TITLE, TEXT_ESCAPE | TEXT_ONE_LINE);
    } else {
        buf_putc(&line, '*');
        (void)text_put(&line, name, 40, TEXT_ESCAPE | TEXT_ONE_LINE);
        buf_puts(&line, "* ");
        (void)text_put(&line, title + (*title == ' '), TOOL_TITLE, TEXT_ESCAPE | TEXT_ONE_LINE);
    }
    if (split_points(buf_str(&p->lines), p->lines.len) + split_points(buf_str(&line), line.len) >
        LINES_POINTS)
        flush_lines(p);
    buf_printf(&p->lines, "%s%s", p->lines.len ? "\n" : "", buf_str(&line));
    p->points += TOOL_POINTS;
    put_head(p, e->text, strlen(e->text), false);
}

/* ---------------------------------------------------------------- pages */

static void put_stop(struct page *p, const char *value)
{
    static const char label[] = "Stop";
    struct blocks_button b = { .action_id = ACTION_STOP, .label = label, .value = value };
    blocks_add_buttons(p->blocks, "turn", &b, 1);
}

static uint64_t hash_of(const char *s)
{
    uint64_t h = 14695981039346656037ULL; /* FNV-1a */
    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * 1099511628211ULL;
    return h;
}

static int page_take(struct page *p, struct turn_page *ret)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    (void)text_put(&text, p->head.len ? buf_str(&p->head) : "At work", BLOCKS_FALLBACK_MAX,
                   TEXT_ESCAPE);
    cJSON *m = cJSON_CreateObject();
    json_add_str(m, "text", buf_str(&text));
    if (!m || !p->blocks || !cJSON_AddItemToObject(m, "blocks", p->blocks)) {
        cJSON_Delete(m);
        return -ENOMEM;
    }
    p->blocks = NULL;
    _cleanup_free_ char *printed = json_print(m);
    *ret = (struct turn_page){ m, printed ? hash_of(printed) : 0, p->file };
    p->file = NULL;
    return printed ? 0 : -ENOMEM;
}

static void page_release(struct page *p)
{
    cJSON_Delete(p->blocks);
    buf_release(&p->lines);
    buf_release(&p->head);
    free(p->file);
}

static void put_entries(struct render *r, const struct turn *t)
{
    for (size_t i = 0; i < t->count; i++) {
        const struct turn_entry *e = &t->entries[i];
        struct page *p = r->count ? &r->pages[r->count - 1] : NULL;
        if (e->kind == TURN_TEXT) {
            put_text(r, e->text);
        } else if (e->kind != TURN_BREAK) {
            put_tool(r, e);
        } else if (p && p->points) {
            flush_lines(p);
            p->points = PAGE_TARGET; /* full */
        }
    }
}

int turn_render(const struct turn *t, const char *stop, const struct turn_end *end,
                struct turn_pages *ret)
{
    struct render r = { 0 };
    *ret = (struct turn_pages){ 0 };
    put_entries(&r, t);
    struct page *last = r.count ? &r.pages[r.count - 1] : NULL;
    if (last)
        flush_lines(last);
    if (last && end) {
        _cleanup_buf_ struct buf footer = BUF_INIT;
        turn_footer(&footer, t, end);
        blocks_add_context(last->blocks, buf_str(&footer), NULL);
    } else if (last && stop) {
        put_stop(last, stop);
    }
    ret->page = calloc(r.count ? r.count : 1, sizeof *ret->page);
    int e = r.failed || !ret->page ? -ENOMEM : 0;
    for (size_t i = 0; i < r.count; i++) {
        if (e == 0 && (e = page_take(&r.pages[i], &ret->page[i])) == 0)
            ret->count++;
        page_release(&r.pages[i]);
    }
    free(r.pages);
    if (e < 0)
        turn_pages_release(ret);
    return e;
}

void turn_pages_release(struct turn_pages *p)
{
    for (size_t i = 0; i < p->count; i++) {
        cJSON_Delete(p->page[i].message);
        free(p->page[i].file);
    }
    free(p->page);
    *p = (struct turn_pages){ 0 };
}
