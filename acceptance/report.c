/* The verdicts, for people and for programs. */
#include "acceptance/acceptance.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *const format_names[FORMAT_COUNT] = {
    [FORMAT_TABLE] = "table",
    [FORMAT_JSON] = "json",
    [FORMAT_TAP] = "tap",
    [FORMAT_JUNIT] = "junit",
};

const char *outcome_name(enum outcome o)
{
    static const char *const names[OUTCOME_COUNT] = {
        [OUTCOME_PASS] = "pass",
        [OUTCOME_FAIL] = "fail",
        [OUTCOME_NOT_PROVEN] = "not proven",
        [OUTCOME_SKIPPED] = "skipped",
    };
    return names[o];
}

void result_set(struct result *r, enum outcome outcome, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(r->evidence, sizeof r->evidence, fmt, ap);
    va_end(ap);
    r->outcome = outcome;
}

void progress(const struct accept *a, const char *fmt, ...)
{
    if (a->quiet)
        return;
    va_list ap;
    va_start(ap, fmt);
    (void)vfprintf(stderr, fmt, ap);
    va_end(ap);
    (void)fputc('\n', stderr);
}

static size_t count(const struct result *results, enum outcome o)
{
    size_t n = 0;
    for (size_t i = 0; criteria[i].id; i++)
        n += results[i].outcome == o;
    return n;
}

static void print_table(const struct result *results)
{
    for (size_t i = 0; criteria[i].id; i++) {
        const struct result *r = &results[i];
        if (r->outcome == OUTCOME_SKIPPED)
            continue;
        printf("%-7s  %-10s  %5.1f s  %s\n                              %s\n", criteria[i].id,
               outcome_name(r->outcome), (double)r->elapsed_ms / 1000, criteria[i].title,
               r->evidence);
    }
    printf("%zu passed, %zu failed, %zu not proven\n", count(results, OUTCOME_PASS),
           count(results, OUTCOME_FAIL), count(results, OUTCOME_NOT_PROVEN));
    if (count(results, OUTCOME_NOT_PROVEN))
        puts("Not proven is no pass: nothing is wrong, but nothing has shown that it is right.");
}

static void print_json(const struct result *results)
{
    _cleanup_json_ cJSON *top = cJSON_CreateObject();
    cJSON *list = cJSON_AddArrayToObject(top, "criteria");
    for (size_t i = 0; criteria[i].id; i++) {
        if (results[i].outcome == OUTCOME_SKIPPED)
            continue;
        cJSON *c = cJSON_CreateObject();
        json_add_str(c, "id", criteria[i].id);
        json_add_str(c, "story", criteria[i].story);
        json_add_str(c, "title", criteria[i].title);
        json_add_str(c, "outcome", outcome_name(results[i].outcome));
        json_add_str(c, "evidence", results[i].evidence);
        cJSON_AddNumberToObject(c, "elapsed_ms", (double)results[i].elapsed_ms);
        cJSON_AddItemToArray(list, c);
    }
    cJSON_AddNumberToObject(top, "passed", (double)count(results, OUTCOME_PASS));
    cJSON_AddNumberToObject(top, "failed", (double)count(results, OUTCOME_FAIL));
    cJSON_AddNumberToObject(top, "not_proven", (double)count(results, OUTCOME_NOT_PROVEN));
    _cleanup_free_ char *text = json_print(top);
    puts(text ? text : "{}");
}

static void print_tap(const struct result *results)
{
    size_t n = 0;
    for (size_t i = 0; criteria[i].id; i++)
        n += results[i].outcome != OUTCOME_SKIPPED;
    printf("TAP version 14\n1..%zu\n", n);
    n = 0;
    for (size_t i = 0; criteria[i].id; i++) {
        const struct result *r = &results[i];
        if (r->outcome == OUTCOME_SKIPPED)
            continue;
        printf("%sok %zu - %s %s\n# %s: %s\n", r->outcome == OUTCOME_PASS ? "" : "not ", ++n,
               criteria[i].id, criteria[i].title, outcome_name(r->outcome), r->evidence);
    }
}

/* Text or attribute value of XML 1.0. */
static void print_xml(const char *s)
{
    static const char *const entities[256] = {
        ['&'] = "&amp;",
        ['<'] = "&lt;",
        ['>'] = "&gt;",
        ['"'] = "&quot;",
    };
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (entities[c])
            (void)fputs(entities[c], stdout);
        else
            (void)putchar(c < 0x20 ? ' ' : c);
    }
}

static void print_junit(const struct result *results)
{
    size_t bad = count(results, OUTCOME_FAIL) + count(results, OUTCOME_NOT_PROVEN);
    printf("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
           "<testsuite name=\"codev acceptance\" tests=\"%zu\" failures=\"%zu\">\n",
           bad + count(results, OUTCOME_PASS), bad);
    for (size_t i = 0; criteria[i].id; i++) {
        const struct result *r = &results[i];
        if (r->outcome == OUTCOME_SKIPPED)
            continue;
        printf("  <testcase classname=\"%s\" name=\"%s ", criteria[i].story, criteria[i].id);
        print_xml(criteria[i].title);
        printf("\" time=\"%.3f\">", (double)r->elapsed_ms / 1000);
        if (r->outcome != OUTCOME_PASS)
            printf("<failure message=\"%s\">", outcome_name(r->outcome));
        else
            printf("<system-out>");
        print_xml(r->evidence);
        puts(r->outcome != OUTCOME_PASS ? "</failure></testcase>" : "</system-out></testcase>");
    }
    puts("</testsuite>");
}

void report_print(enum format f, const struct result *results)
{
    static void (*const printers[FORMAT_COUNT])(const struct result *) = {
        [FORMAT_TABLE] = print_table,
        [FORMAT_JSON] = print_json,
        [FORMAT_TAP] = print_tap,
        [FORMAT_JUNIT] = print_junit,
    };
    printers[f](results);
}
