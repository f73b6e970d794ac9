/* rooms: supervisor/init supervisor/plan supervisor/sandbox base/core */
/* The room's file itself: commands alone, on a supervisor of straw. */
#include "supervisor/init/commands.c"

#include "base/core/utf8.h"
#include "tests/fuzz/fuzz.h"

static struct supervisor sv;
static struct service straw;
static unsigned answers, acts;

void connection_answer(struct connection *c, const struct buf *json)
{
    (void)c;
    answers++;
    REQUIRE(!json->failed && json->len >= 2 && utf8_valid(json->data, json->len));
    REQUIRE(json->data[0] == '{' && json->data[json->len - 1] == '}');
    REQUIRE(!memchr(json->data, '\n', json->len));
}

void connection_error(struct connection *c, const char *code, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    (void)c;
    va_start(ap, fmt);
    REQUIRE(vsnprintf(text, sizeof text, fmt, ap) > 0 && *code);
    va_end(ap);
    answers++;
}

void connection_send(struct connection *c, const char *data, size_t len)
{
    (void)c;
    (void)data;
    (void)len;
    answers++;
}

void status_json(struct supervisor *s, struct buf *out)
{
    (void)s;
    buf_puts(out, "{}");
}

bool verdict_now(struct supervisor *s, enum verdict_kind kind, struct verdict_check *ret,
                 size_t max, size_t *ret_count)
{
    (void)s;
    (void)ret;
    (void)max;
    REQUIRE(kind < VERDICT_MAX);
    *ret_count = 0;
    return true;
}

struct service *service_find(struct supervisor *s, const char *name)
{
    (void)s;
    return strcmp(name, "a") == 0 ? &straw : NULL;
}

void service_event(struct service *s, enum service_event event, const char *reason)
{
    (void)event;
    acts++;
    REQUIRE(s == &straw && *reason);
}

void service_report(struct service *s, bool health, bool ok, const char *reason)
{
    (void)health;
    (void)ok;
    acts++;
    REQUIRE(s == &straw && reason);
}

int reload_begin(struct supervisor *s)
{
    (void)s;
    acts++;
    return 0;
}

void stop_begin(struct supervisor *s, int status, const char *reason)
{
    (void)s;
    acts++;
    REQUIRE(status == 0 && *reason);
}

struct log_channel *logs_find(struct logs *l, const char *name)
{
    static struct log_channel channel;
    (void)l;
    return strcmp(name, "a") == 0 ? &channel : NULL;
}

void logs_reader(const struct logs *l, struct log_reader *ret, const struct log_channel *only,
                 size_t n)
{
    (void)l;
    (void)only;
    *ret = (struct log_reader){ 0 };
    REQUIRE(n <= LOG_LINES_MAX);
}

void connection_logs(struct connection *c)
{
    REQUIRE(c->mode == CONNECTION_TAIL || c->reader.until == UINT64_MAX);
    answers++;
}

const char *secret_store_get(const struct secret_store *s, const char *name)
{
    (void)s;
    return strcmp(name, "A") == 0 ? "value" : NULL;
}

static void check_notes(void)
{
    size_t bytes = 0;
    for (size_t i = 0; i < SERVICE_NOTES_MAX; i++) {
        struct service_note *n = &straw.notes[i];
        REQUIRE(!n->key == !n->text);
        if (!n->key)
            continue;
        bytes += strlen(n->text);
        REQUIRE(*n->key && strlen(n->key) <= 64 && strlen(n->text) <= SERVICE_NOTE_BYTES);
        for (size_t k = 0; k < i; k++)
            REQUIRE(!straw.notes[k].key || strcmp(straw.notes[k].key, n->key) != 0);
    }
    REQUIRE(bytes <= (size_t)SERVICE_NOTES_MAX * SERVICE_NOTE_BYTES);
}

/* What a line says, encoded anew, says the same. */
static void check_words(const char *line)
{
    _cleanup_free_ char *copy = strdup(line);
    struct request r = { 0 }, again = { 0 };
    const char *words[CONTROL_WORDS_MAX + 1] = { NULL };
    if (!copy || split(&r, copy) < 0)
        return;
    REQUIRE(r.count >= 1 && r.count <= CONTROL_WORDS_MAX);
    for (size_t i = 0; i < r.count; i++)
        words[i] = r.words[i];
    _cleanup_buf_ struct buf text = BUF_INIT;
    control_encode(&text, words);
    REQUIRE(!text.failed && text.data[text.len - 1] == '\n');
    text.data[text.len - 1] = '\0';
    REQUIRE(!strchr(text.data, '\n') && split(&again, text.data) == 0);
    REQUIRE(again.count == r.count);
    for (size_t i = 0; i < r.count; i++)
        REQUIRE(strcmp(again.words[i], r.words[i]) == 0);
}

/* Lines, each a request. Each is answered at once and once, or waits in a mode of its own. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz in = fuzz_of(data, size);
    if (size > CONTROL_ANNOTATE_MAX)
        return 0;
    sv.phase = (enum phase)(size % 2 ? PHASE_RUNNING : PHASE_BOOT);
    while (in.left) {
        _cleanup_free_ char *line = fuzz_line(&in, NULL);
        struct connection c = { .mode = CONNECTION_REQUEST };
        answers = acts = 0;
        check_words(line);
        command_run(&sv, &c, line);
        bool waits = c.mode == CONNECTION_RELOAD || c.mode == CONNECTION_EVENTS;
        REQUIRE(answers == (waits ? 0 : 1) && acts <= 1);
        REQUIRE(c.mode != CONNECTION_LOGS || memchr(c.service, '\0', sizeof c.service));
        check_notes();
    }
    for (size_t i = 0; i < SERVICE_NOTES_MAX; i++) {
        free(straw.notes[i].key);
        free(straw.notes[i].text);
        straw.notes[i] = (struct service_note){ 0 };
    }
    return 0;
}
