/* rooms: supervisor/plan supervisor/sandbox base/core */
#include "supervisor/plan/plan.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "supervisor/plan/plan_writer.h"
#include "tests/unit/run_suite.h"

static void *block;
static size_t size;

static struct plan_list list(struct plan_writer *w, const char *a, const char *b)
{
    const char *items[] = { a, b };
    return plan_writer_list(w, items, b ? 2 : a ? 1 : 0);
}

static void build(void)
{
    struct plan_writer w;
    plan_writer_init(&w);
    w.header.home = plan_writer_str(&w, "/home/coder");
    w.header.environment = list(&w, "A=1", "B=2");
    w.header.stop_timeout_ms = 25000;
    w.header.log_level = 1;
    const char *names[] = { "prepare", "opencode" };
    for (size_t i = 0; i < 2; i++) {
        struct plan_service s = {
            .name = plan_writer_str(&w, names[i]),
            .argv = list(&w, "true", "x"),
            .type = i ? PLAN_TYPE_DAEMON : PLAN_TYPE_ONESHOT,
            .after = i ? list(&w, "prepare", NULL) : (struct plan_list){ 0 },
            .stop_signal = 15,
            .health = { .kind = i ? PLAN_CHECK_HTTP : PLAN_CHECK_NONE,
                        .target = list(&w, "http://127.0.0.1:1/", NULL) },
        };
        plan_writer_service(&w, &s);
    }
    struct plan_volume v = { .path = plan_writer_str(&w, "/home/coder/.local"), .min_free = 5 };
    plan_writer_volume(&w, &v);
    struct error e = ERROR_INIT;
    ck_assert_msg(plan_writer_finish(&w, &block, &size, &e) == 0, "%s", e.message);
    plan_writer_release(&w);
}

static void teardown(void)
{
    free(block);
    block = NULL;
}

START_TEST(opens_what_the_writer_wrote)
{
    struct plan p;
    struct error e = ERROR_INIT;
    ck_assert_int_eq(plan_open(&p, block, size, &e), 0);
    ck_assert_str_eq(plan_string(&p, p.header->home), "/home/coder");
    ck_assert_uint_eq(p.header->services, 2);
    ck_assert_str_eq(plan_item(&p, p.header->environment, 1), "B=2");
    ck_assert_int_eq(plan_service_index(&p, "opencode"), 1);
    ck_assert_int_eq(plan_service_index(&p, "nothing"), -1);
    ck_assert_str_eq(plan_item(&p, p.services[1].after, 0), "prepare");
    ck_assert_str_eq(plan_string(&p, p.volumes[0].path), "/home/coder/.local");
}
END_TEST

static size_t touched; /* so that no read is optimised away */

static void touch_list(const struct plan *p, struct plan_list l)
{
    for (uint32_t i = 0; i < l.count; i++)
        touched += strlen(plan_item(p, l, i));
}

/* Reads everything that PID 1 would. */
static void touch(const struct plan *p)
{
    const struct plan_header *h = p->header;
    touched += strlen(plan_string(p, h->home)) + strlen(plan_string(p, h->config_file));
    touched += strlen(plan_string(p, h->state_dir));
    touch_list(p, h->environment);
    for (uint32_t i = 0; i < h->volumes; i++)
        touched += strlen(plan_string(p, p->volumes[i].path));
    for (uint32_t i = 0; i < h->services; i++) {
        const struct plan_service *s = &p->services[i];
        touched += strlen(plan_string(p, s->name)) + strlen(plan_string(p, s->cwd)) +
                   strlen(plan_string(p, s->user)) + strlen(plan_string(p, s->env_from)) +
                   strlen(plan_string(p, s->sandbox));
        touch_list(p, s->argv);
        touch_list(p, s->after);
        touch_list(p, s->requires);
        touch_list(p, s->env);
        touch_list(p, s->ready.target);
        touch_list(p, s->health.target);
        touch_list(p, s->pre_stop.argv);
        touch_list(p, s->post_start.argv);
    }
}

/* A copy that ends at an inaccessible page, so that one byte too far is a fault. */
static char *fenced(size_t *ret_map)
{
    size_t page = 4096, len = (size + page - 1) / page * page;
    char *map = mmap(NULL, len + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(map, MAP_FAILED);
    ck_assert_int_eq(mprotect(map + len, page, PROT_NONE), 0);
    *ret_map = len;
    return map + len - size / 8 * 8 - (size % 8 ? 8 : 0);
}

START_TEST(a_flipped_byte_never_leads_outside)
{
    static const unsigned char flips[] = { 0x01, 0x80, 0xff, 0x10 };
    size_t map_len, opened = 0;
    char *copy = fenced(&map_len);
    for (size_t i = 0; i < size; i++) {
        memcpy(copy, block, size);
        copy[i] = (char)((unsigned char)copy[i] ^ flips[_i]);
        struct plan p;
        struct error e = ERROR_INIT;
        int r = plan_open(&p, copy, size, &e);
        ck_assert(r == 0 || (r == -EBADMSG && e.message[0]));
        ck_assert(i < sizeof(struct plan_header) || r == -EBADMSG); /* the checksum sees it */
        /* And again as somebody would who can compute checksums. */
        struct plan_header h;
        memcpy(&h, copy, sizeof h);
        h.checksum = plan_checksum(copy + sizeof h, size - sizeof h);
        memcpy(copy, &h, sizeof h);
        if (plan_open(&p, copy, size, &e) == 0) {
            opened++;
            touch(&p);
        }
    }
    ck_assert_uint_gt(opened, 0); /* some values are free: the second half was exercised */
}
END_TEST

START_TEST(a_cut_plan_is_refused)
{
    size_t map_len;
    char *copy = fenced(&map_len);
    memcpy(copy, block, size);
    struct plan p;
    for (size_t n = 0; n < size; n++)
        ck_assert_int_eq(plan_open(&p, copy, n, NULL), -EBADMSG);
}
END_TEST

START_TEST(bad_values_are_refused)
{
    struct plan_header *h = block;
    void *at = (char *)block + h->services_off;
    struct plan_service *s = at;
    switch (_i) {
    case 0:
        s->type = PLAN_TYPE_MAX;
        break;
    case 1:
        s->stop_signal = 0;
        break;
    case 2:
        s->argv.count = 0;
        break;
    case 3:
        s->name = 0;
        break;
    case 4:
        s[1].name = s[0].name;
        break;
    case 5:
        s->health.kind = PLAN_CHECK_MAX;
        break;
    case 6:
        s->ready.kind = PLAN_CHECK_EXEC;
        break;
    case 7:
        s->cwd = h->strings_len; /* the first byte behind them */
        break;
    case 8:
        h->state_dir = h->strings_len;
        break;
    case 9:
        s->after = (struct plan_list){ .first = h->pool, .count = 1 };
        break;
    case 10:
        memcpy((char *)block + h->pool_off, &h->strings_len, sizeof(plan_str));
        break;
    default:
        s->after = (struct plan_list){ .first = UINT32_MAX, .count = 2 };
        break;
    }
    h->checksum = plan_checksum((char *)block + sizeof *h, size - sizeof *h);
    struct plan p;
    struct error e = ERROR_INIT;
    ck_assert_int_eq(plan_open(&p, block, size, &e), -EBADMSG);
    ck_assert(e.message[0]);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("plan");
    TCase *t = tcase_create("plan");
    tcase_add_checked_fixture(t, build, teardown);
    tcase_add_test(t, opens_what_the_writer_wrote);
    tcase_add_loop_test(t, a_flipped_byte_never_leads_outside, 0, 4);
    tcase_add_test(t, a_cut_plan_is_refused);
    tcase_add_loop_test(t, bad_values_are_refused, 0, 12);
    suite_add_tcase(s, t);
    return run_suite(s);
}
