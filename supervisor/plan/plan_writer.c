#include "supervisor/plan/plan_writer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/cleanup.h"

#define SLOTS_FIRST 256

static void fail(struct plan_writer *w, int code)
{
    if (!w->failed)
        w->failed = code;
}

void plan_writer_init(struct plan_writer *w)
{
    *w = (struct plan_writer){
        .strings = BUF_INIT_MAX(PLAN_MAX),
        .pool = BUF_INIT_MAX(PLAN_MAX),
        .services = BUF_INIT_MAX(PLAN_MAX),
        .volumes = BUF_INIT_MAX(PLAN_MAX),
        .profiles = BUF_INIT_MAX(PLAN_MAX),
        .blobs = BUF_INIT_MAX(PLAN_MAX),
    };
    w->slots = calloc(SLOTS_FIRST, sizeof *w->slots);
    w->slot_count = w->slots ? SLOTS_FIRST : 0;
    if (!w->slots)
        fail(w, -ENOMEM);
    int r = buf_putc(&w->strings, '\0'); /* offset 0 is "" */
    if (r < 0)
        fail(w, r);
}

void plan_writer_release(struct plan_writer *w)
{
    buf_release(&w->strings);
    buf_release(&w->pool);
    buf_release(&w->services);
    buf_release(&w->volumes);
    buf_release(&w->profiles);
    buf_release(&w->blobs);
    free(w->slots);
    w->slots = NULL;
}

/* The slot that holds `s`, or the free one where it belongs. At least one slot is always free. */
static uint32_t *slot_of(const struct plan_writer *w, uint32_t *slots, size_t count, const char *s)
{
    size_t i = plan_checksum(s, strlen(s)) & (count - 1);
    while (slots[i] && strcmp(w->strings.data + slots[i] - 1, s) != 0)
        i = (i + 1) & (count - 1);
    return &slots[i];
}

static int grow_slots(struct plan_writer *w)
{
    size_t count = w->slot_count * 2;
    uint32_t *slots = calloc(count, sizeof *slots);
    if (!slots)
        return -ENOMEM;
    for (size_t i = 0; i < w->slot_count; i++)
        if (w->slots[i])
            *slot_of(w, slots, count, w->strings.data + w->slots[i] - 1) = w->slots[i];
    free(w->slots);
    w->slots = slots;
    w->slot_count = count;
    return 0;
}

plan_str plan_writer_str(struct plan_writer *w, const char *s)
{
    if (w->failed || !s || !*s)
        return 0;
    if (w->string_count * 2 >= w->slot_count) {
        int r = grow_slots(w);
        if (r < 0) {
            fail(w, r);
            return 0;
        }
    }
    uint32_t *slot = slot_of(w, w->slots, w->slot_count, s);
    if (*slot)
        return *slot - 1;
    uint32_t at = (uint32_t)w->strings.len;
    int r = buf_append(&w->strings, s, strlen(s) + 1);
    if (r < 0) {
        fail(w, r);
        return 0;
    }
    *slot = at + 1;
    w->string_count++;
    return at;
}

struct plan_list plan_writer_list(struct plan_writer *w, const char *const *items, size_t count)
{
    struct plan_list list = { .first = (uint32_t)(w->pool.len / sizeof(plan_str)),
                              .count = (uint32_t)count };
    for (size_t i = 0; i < count; i++) {
        plan_str s = plan_writer_str(w, items[i]);
        int r = buf_append(&w->pool, &s, sizeof s);
        if (r < 0)
            fail(w, r);
    }
    return count && !w->failed ? list : (struct plan_list){ 0 };
}

void plan_writer_service(struct plan_writer *w, const struct plan_service *s)
{
    int r = buf_append(&w->services, s, sizeof *s);
    if (r < 0)
        fail(w, r);
}

void plan_writer_volume(struct plan_writer *w, const struct plan_volume *v)
{
    int r = buf_append(&w->volumes, v, sizeof *v);
    if (r < 0)
        fail(w, r);
}

void plan_writer_profile(struct plan_writer *w, const char *name, const void *block, size_t size)
{
    const struct plan_profile p = {
        .name = plan_writer_str(w, name),
        .off = (uint32_t)w->blobs.len,
        .size = (uint32_t)size,
    };
    int r = buf_append(&w->profiles, &p, sizeof p);
    if (r == 0)
        r = buf_append(&w->blobs, block, size);
    if (r < 0)
        fail(w, r);
}

/* Appends a part at the next multiple of 8 and says where it went. */
static uint32_t place(struct buf *block, const struct buf *part)
{
    while (block->len % 8)
        if (buf_putc(block, '\0') < 0)
            return 0;
    uint32_t at = (uint32_t)block->len;
    (void)buf_append(block, buf_str(part), part->len);
    return at;
}

static void lay_out(struct plan_writer *w, struct buf *block)
{
    struct plan_header *h = &w->header;
    memcpy(h->magic, PLAN_MAGIC, sizeof h->magic);
    h->version = PLAN_VERSION;
    h->header_size = sizeof *h;
    h->service_size = sizeof(struct plan_service);
    h->volume_size = sizeof(struct plan_volume);
    h->services = (uint32_t)(w->services.len / sizeof(struct plan_service));
    h->volumes = (uint32_t)(w->volumes.len / sizeof(struct plan_volume));
    h->profiles = (uint32_t)(w->profiles.len / sizeof(struct plan_profile));
    h->blobs = (uint32_t)w->blobs.len;
    h->pool = (uint32_t)(w->pool.len / sizeof(plan_str));
    h->strings_len = (uint32_t)w->strings.len;
    (void)buf_append(block, h, sizeof *h); /* its room; written again when all is known */
    h->services_off = place(block, &w->services);
    h->volumes_off = place(block, &w->volumes);
    h->profiles_off = place(block, &w->profiles);
    h->blobs_off = place(block, &w->blobs);
    h->pool_off = place(block, &w->pool);
    h->strings_off = place(block, &w->strings);
    h->size = (uint32_t)block->len;
    if (block->failed)
        return;
    h->checksum = plan_checksum(block->data + sizeof *h, block->len - sizeof *h);
    memcpy(block->data, h, sizeof *h);
}

int plan_writer_finish(struct plan_writer *w, void **ret, size_t *ret_size, struct error *e)
{
    _cleanup_buf_ struct buf block = BUF_INIT_MAX(PLAN_MAX);
    if (!w->failed) {
        lay_out(w, &block);
        if (block.failed)
            w->failed = -EFBIG;
    }
    if (w->failed == -EFBIG)
        return error_set(e, -EFBIG, "the configuration is too large: its plan would pass %zu MiB",
                         PLAN_MAX >> 20);
    if (w->failed)
        return error_set_errno(e, w->failed, "cannot build the plan");
    struct plan check;
    int r = plan_open(&check, block.data, block.len, e);
    if (r < 0)
        return r;
    *ret_size = block.len;
    *ret = buf_take(&block);
    return *ret ? 0 : error_set_errno(e, -ENOMEM, "cannot build the plan");
}
