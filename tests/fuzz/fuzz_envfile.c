/* rooms: supervisor/config supervisor/plan supervisor/profile supervisor/sandbox base/yaml base/json base/core */
#include "base/core/utf8.h"
#include "supervisor/config/env_file.h"
#include "tests/fuzz/fuzz.h"

static void check_name(const char *s)
{
    REQUIRE(*s && !(*s >= '0' && *s <= '9'));
    REQUIRE(!s[strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")]);
}

static void put_quoted(struct buf *out, const char *value)
{
    buf_putc(out, '\'');
    for (const char *p = value; *p; p++) {
        if (*p == '\'')
            buf_puts(out, "'\\''");
        else
            buf_putc(out, *p);
    }
    buf_puts(out, "'\n");
}

/* What was read, written as a shell would quote it, is read again as the same. */
static void check_again(const struct env_file *f)
{
    _cleanup_buf_ struct buf text = BUF_INIT, warnings = BUF_INIT;
    struct env_file again = { 0 };
    for (size_t i = 0; i < f->count; i++) {
        buf_printf(&text, "export %s=", f->rows[i].name);
        put_quoted(&text, f->rows[i].value);
    }
    REQUIRE(env_file_parse(&again, "f", buf_str(&text), text.len, &warnings) == 0);
    REQUIRE(warnings.len == 0 && again.count == f->count);
    for (size_t i = 0; i < f->count; i++) {
        REQUIRE(strcmp(again.rows[i].name, f->rows[i].name) == 0);
        REQUIRE(strcmp(again.rows[i].value, f->rows[i].value) == 0);
    }
    env_file_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_buf_ struct buf warnings = BUF_INIT;
    struct env_file f = { 0 };
    if (size > 8192)
        return 0;
    REQUIRE(env_file_parse(&f, "f", (const char *)data, size, &warnings) == 0);
    REQUIRE(f.count <= ENV_FILE_VARIABLES);
    REQUIRE(utf8_valid(buf_str(&warnings), warnings.len));
    for (size_t i = 0; i < f.count; i++) {
        const struct env_variable *v = &f.rows[i];
        check_name(v->name);
        REQUIRE(env_file_get(&f, v->name) == v);
        REQUIRE(!strchr(v->value, '\n') && utf8_valid(v->value, strlen(v->value)));
        REQUIRE(v->line >= 1 && v->line <= size + 1);
    }
    check_again(&f);
    env_file_release(&f);
    return 0;
}
