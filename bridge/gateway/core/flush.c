#include "bridge/gateway/core/flush.h"

#include "base/core/cleanup.h"
#include "bridge/gateway/store/store.h"

#include <errno.h>

struct waiter {
    flush_fn *fn;
    void *data;
    struct waiter *next;
};

struct flush {
    uv_fs_t request; /* first: what a run that outlives us has */
    uv_loop_t *loop;
    struct store *store;
    struct waiter *running, *next; /* who waits for this run, and for the one after it */
    bool busy, again, dead;
};

int flush_new(struct flush **ret, uv_loop_t *loop, struct store *store)
{
    struct flush *f = calloc(1, sizeof *f);
    if (!f)
        return -ENOMEM;
    f->loop = loop;
    f->store = store;
    *ret = f;
    return 0;
}

/* Takes those off who waited; one that is told may wait again. */
static void tell(struct waiter **list, int error)
{
    while (*list) {
        struct waiter *w = *list;
        *list = w->next;
        flush_fn *fn = w->fn;
        void *data = w->data;
        free(w);
        if (fn)
            fn(data, error);
    }
}

void flush_free(struct flush *f)
{
    if (!f)
        return;
    f->dead = true;
    tell(&f->running, -ECANCELED);
    tell(&f->next, -ECANCELED);
    if (!f->busy)
        free(f);
}

static void begin(struct flush *f);

static void on_synced(uv_fs_t *request)
{
    struct flush *f = (struct flush *)(void *)request;
    int error = (int)request->result;
    uv_fs_req_cleanup(request);
    tell(&f->running, error); /* still busy: who waits again is of the next run */
    f->busy = false;
    if (f->dead)
        free(f);
    else if (f->again)
        begin(f);
}

static void begin(struct flush *f)
{
    f->busy = true;
    f->again = false;
    f->running = TAKE_PTR(f->next);
    int r = uv_fs_fdatasync(f->loop, &f->request, store_log_fd(f->store), on_synced);
    if (r == 0)
        return;
    tell(&f->running, r);
    f->busy = false;
}

int flush_wait(struct flush *f, flush_fn *fn, void *data)
{
    if (f->dead)
        return -ECANCELED;
    if (store_log_fd(f->store) < 0) {
        if (fn)
            fn(data, 0);
        return 0;
    }
    if (fn) {
        struct waiter *w = calloc(1, sizeof *w);
        if (!w)
            return -ENOMEM;
        *w = (struct waiter){ fn, data, NULL };
        struct waiter **at = &f->next;
        while (*at)
            at = &(*at)->next;
        *at = w;
    }
    f->again = true;
    if (!f->busy)
        begin(f);
    return 0;
}

static void forget_in(struct waiter **at, const void *data)
{
    for (; *at; at = &(*at)->next)
        if ((*at)->data == data)
            (*at)->fn = NULL;
}

void flush_forget(struct flush *f, const void *data)
{
    forget_in(&f->running, data);
    forget_in(&f->next, data);
}
