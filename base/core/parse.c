#include "base/core/parse.h"

#include "base/core/cleanup.h"

#include <errno.h>
#include <string.h>

/* Digits at the start of `s`; -EINVAL if there is none, -ERANGE on overflow. */
static int digits(const char **s, uint64_t *ret)
{
    const char *p = *s;
    uint64_t v = 0;
    if (*p < '0' || *p > '9')
        return -EINVAL;
    for (; *p >= '0' && *p <= '9'; p++) {
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *p - '0', &v))
            return -ERANGE;
    }
    *s = p;
    *ret = v;
    return 0;
}

int parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret)
{
    uint64_t v;
    int r = digits(&s, &v);
    if (r < 0)
        return r;
    if (*s)
        return -EINVAL;
    if (v < min || v > max)
        return -ERANGE;
    *ret = v;
    return 0;
}

struct unit {
    const char *name;
    uint64_t factor;
};

static int with_unit(const char *s, const struct unit *units, size_t n, uint64_t *ret)
{
    uint64_t whole, thousandths = 0;
    int r = digits(&s, &whole);
    if (r < 0)
        return r;
    if (*s == '.') {
        uint64_t place = 100;
        s++;
        if (*s < '0' || *s > '9')
            return -EINVAL;
        for (; *s >= '0' && *s <= '9'; s++, place /= 10)
            thousandths += (uint64_t)(*s - '0') * place;
    }
    for (size_t i = 0; i < n; i++) {
        if (strcmp(s, units[i].name) != 0)
            continue;
        uint64_t v, part;
        if (__builtin_mul_overflow(whole, units[i].factor, &v) ||
            __builtin_mul_overflow(thousandths, units[i].factor, &part) ||
            __builtin_add_overflow(v, part / 1000, ret))
            return -ERANGE;
        return 0;
    }
    return -EINVAL;
}

int parse_duration_ms(const char *s, uint64_t *ret_ms)
{
    static const struct unit units[] = {
        { "", 1000 }, { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 },
    };
    return with_unit(s, units, ARRAY_SIZE(units), ret_ms);
}

int parse_size(const char *s, uint64_t *ret_bytes)
{
    static const struct unit units[] = {
        { "", 1 },
        { "B", 1 },
        { "KiB", 1ULL << 10 },
        { "MiB", 1ULL << 20 },
        { "GiB", 1ULL << 30 },
        { "TiB", 1ULL << 40 },
    };
    return with_unit(s, units, ARRAY_SIZE(units), ret_bytes);
}

int parse_bool(const char *s, int *ret)
{
    static const struct {
        const char *word;
        int value;
    } words[] = {
        { "true", 1 },  { "yes", 1 }, { "on", 1 },  { "1", 1 },
        { "false", 0 }, { "no", 0 },  { "off", 0 }, { "0", 0 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (strcmp(s, words[i].word) == 0) {
            *ret = words[i].value;
            return 0;
        }
    }
    return -EINVAL;
}
