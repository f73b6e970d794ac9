/* rooms: bridge/gateway/slack bridge/gateway/slack/render bridge/gateway/slack/wire base/json base/core */
/* Long output becomes pages: nothing is lost, no character is split, each page fits. */
#include "base/core/utf8.h"
#include "bridge/gateway/slack/render/split.h"
#include "tests/fuzz/fuzz.h"

/* A page that is closed stays what it is when more text follows. */
static void check_stays(const char *text, size_t len, const struct split_limits *limits,
                        const struct split_page *page)
{
    _cleanup_free_ char *longer = malloc(len + 32);
    if (!longer || page->open)
        return;
    memcpy(longer, text, len);
    memcpy(longer + len, "\n\n# More\n\ntext\n", 16);
    struct split_page again = split_first(longer, limits);
    REQUIRE(again.len == page->len && again.large == page->large);
}

static void check_pages(const char *text, size_t len, const struct split_limits *limits)
{
    bool valid = utf8_valid(text, len);
    for (unsigned rounds = 0; len > 0; rounds++) {
        struct split_page page = split_first(text, limits);
        REQUIRE(page.len > 0 && page.len <= len);
        REQUIRE(!page.open || page.len == len);
        REQUIRE(page.large || split_points(text, page.len) <= limits->most);
        REQUIRE(!valid || utf8_valid(text, page.len));
        if (rounds < 4)
            check_stays(text, len, limits, &page);
        text += page.len;
        len -= page.len;
    }
}

/* Two bytes: the limits. A third repeats the text, to make it long. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz in = fuzz_of(data, size);
    if (size > 1024)
        return 0;
    size_t target = fuzz_byte(&in) + 16;
    struct split_limits limits = { target, target + fuzz_byte(&in) * 2 };
    unsigned times = fuzz_byte(&in) % 8 + 1;
    size_t len;
    _cleanup_free_ char *once = fuzz_rest(&in, NULL);
    _cleanup_free_ char *text = NULL;
    len = strlen(once);
    text = malloc(len * times + 1);
    if (!text)
        abort();
    for (unsigned i = 0; i < times; i++)
        memcpy(text + i * len, once, len);
    text[len * times] = '\0';
    check_pages(text, len * times, &limits);
    return 0;
}
