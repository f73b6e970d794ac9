/* rooms: bridge/gateway/slack bridge/gateway/slack/render bridge/gateway/slack/wire base/json base/core */
#include "base/core/utf8.h"
#include "bridge/gateway/slack/render/blocks.h"
#include "bridge/gateway/slack/render/text.h"
#include "tests/fuzz/fuzz.h"

/* Nothing that steers a message, hides in it or ends its line. */
static void check_safe(const char *s, unsigned flags)
{
    for (const char *p = s; *p; p++) {
        REQUIRE((unsigned char)*p >= 0x20 ||
                ((*p == '\n' || *p == '\t') && !(flags & TEXT_ONE_LINE)));
        REQUIRE(*p != 0x7f);
        if (!(flags & TEXT_ESCAPE))
            continue;
        REQUIRE(*p != '<' && *p != '>');
        if (*p == '&')
            REQUIRE(strncmp(p, "&amp;", 5) == 0 || strncmp(p, "&lt;", 4) == 0 ||
                    strncmp(p, "&gt;", 4) == 0);
    }
    REQUIRE(!strstr(s, "\xe2\x80\xae") && !strstr(s, "\xe2\x80\x8b")); /* U+202E, U+200B */
}

static void check_put(const char *s, size_t points, unsigned flags)
{
    static const char before[] = "before ";
    _cleanup_buf_ struct buf out = BUF_INIT, all = BUF_INIT;
    buf_puts(&out, before);
    bool cut = text_put(&out, s, points, flags);
    REQUIRE(!out.failed && memcmp(out.data, before, sizeof before - 1) == 0);
    const char *text = out.data + sizeof before - 1;
    size_t len = out.len - (sizeof before - 1);
    REQUIRE(strlen(text) == len && utf8_valid(text, len) && utf8_count(text, len) <= points);
    check_safe(text, flags);
    REQUIRE(!text_put(&all, s, SIZE_MAX, flags));
    REQUIRE(cut == (utf8_count(buf_str(&all), all.len) > points));
    if (!cut)
        REQUIRE(len == all.len && strcmp(text, buf_str(&all)) == 0);
    else if (points > 0) { /* its beginning, and the sign that it is cut */
        REQUIRE(len >= 3 && strcmp(text + len - 3, "\xe2\x80\xa6") == 0);
        REQUIRE(len - 3 <= all.len && strncmp(text, buf_str(&all), len - 3) == 0);
    }
}

static void check_middle(const char *s, size_t points)
{
    _cleanup_buf_ struct buf out = BUF_INIT, all = BUF_INIT;
    bool cut = text_put_middle(&out, s, points);
    (void)text_put(&all, s, SIZE_MAX, 0);
    REQUIRE(!out.failed && utf8_valid(buf_str(&out), out.len));
    REQUIRE(utf8_count(buf_str(&out), out.len) <= points);
    REQUIRE(cut == (utf8_count(buf_str(&all), all.len) > points));
    check_safe(buf_str(&out), 0);
}

static void check_from_slack(const char *s, size_t len)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    text_from_slack(&out, s, "U0BOT");
    REQUIRE(!out.failed && out.len <= len);
    REQUIRE(!utf8_valid(s, len) || utf8_valid(buf_str(&out), out.len));
    if (out.len)
        REQUIRE(!strchr(" \t\r\n", out.data[0]) && !strchr(" \t\r\n", out.data[out.len - 1]));
}

static size_t longest(const cJSON *j)
{
    size_t most = cJSON_IsString(j) ? utf8_count(j->valuestring, strlen(j->valuestring)) : 0;
    const cJSON *c;
    cJSON_ArrayForEach (c, j) {
        size_t n = longest(c);
        most = n > most ? n : most;
    }
    return most;
}

static void check_blocks(const char *s)
{
    _cleanup_json_ cJSON *code = cJSON_CreateArray(), *markdown = cJSON_CreateArray();
    (void)blocks_add_code(code, s);
    (void)blocks_add_markdown(markdown, s);
    REQUIRE(cJSON_GetArraySize(code) == 1 && longest(code) <= BLOCKS_CODE_MAX);
    REQUIRE(cJSON_GetArraySize(markdown) == 1 && longest(markdown) <= 12000);
    _cleanup_free_ char *text = json_print(code);
    REQUIRE(text && utf8_valid(text, strlen(text)));
}

/* Two bytes: how much may stay, and how it is written. A third repeats the text, to make it long.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz in = fuzz_of(data, size);
    if (size > 2048)
        return 0;
    size_t points = fuzz_byte(&in) * 2;
    unsigned flags = fuzz_byte(&in) % 4, times = fuzz_byte(&in) % 16 + 1;
    _cleanup_free_ char *once = fuzz_rest(&in, NULL);
    _cleanup_buf_ struct buf text = BUF_INIT;
    for (unsigned i = 0; i < times; i++)
        buf_puts(&text, once);
    check_put(buf_str(&text), points, flags);
    check_middle(buf_str(&text), points);
    check_from_slack(buf_str(&text), text.len);
    check_blocks(buf_str(&text));
    (void)text_is_user_id(once);
    return 0;
}
