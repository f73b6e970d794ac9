#include "supervisor/init/loop.h"

#include <errno.h>
#include <unistd.h>

#include "base/core/clock.h"

int loop_init(struct loop *l)
{
    *l = (struct loop){ .epoll_fd = epoll_create1(EPOLL_CLOEXEC) };
    return l->epoll_fd < 0 ? -errno : 0;
}

void loop_release(struct loop *l)
{
    if (l->epoll_fd >= 0)
        (void)close(l->epoll_fd);
    l->epoll_fd = -1;
}

int loop_add(struct loop *l, struct source *s, uint32_t events)
{
    struct epoll_event ev = { .events = events, .data.ptr = s };
    return epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, s->fd, &ev) < 0 ? -errno : 0;
}

int loop_change(struct loop *l, struct source *s, uint32_t events)
{
    struct epoll_event ev = { .events = events, .data.ptr = s };
    return epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, s->fd, &ev) < 0 ? -errno : 0;
}

void loop_close(struct loop *l, struct source *s)
{
    if (s->fd < 0)
        return;
    (void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
    (void)close(s->fd);
    s->fd = -1;
    /* What the kernel has already told about it must not reach a source that is gone. */
    for (int i = 0; i < l->batch_count; i++)
        if (l->batch[i].data.ptr == s)
            l->batch[i].data.ptr = NULL;
}

void timer_set_at(struct loop *l, struct timer *t, uint64_t due_ms)
{
    t->due_ms = due_ms ? due_ms : 1;
    if (!t->linked) {
        t->next = l->timers;
        l->timers = t;
        t->linked = true;
    }
}

void timer_set(struct loop *l, struct timer *t, uint64_t delay_ms)
{
    timer_set_at(l, t, clock_mono_ms() + (delay_ms ? delay_ms : 1));
}

void timer_set_now(struct loop *l, struct timer *t)
{
    timer_set_at(l, t, clock_mono_ms());
}

void timer_clear(struct timer *t)
{
    t->due_ms = 0;
}

void timer_forget(struct loop *l, struct timer *t)
{
    for (struct timer **at = &l->timers; *at; at = &(*at)->next) {
        if (*at == t) {
            *at = t->next;
            break;
        }
    }
    t->linked = false;
    t->due_ms = 0;
}

static struct timer *earliest(const struct loop *l)
{
    struct timer *first = NULL;
    for (struct timer *t = l->timers; t; t = t->next)
        if (t->due_ms && (!first || t->due_ms < first->due_ms))
            first = t;
    return first;
}

static int wait_ms(const struct loop *l)
{
    const struct timer *t = earliest(l);
    if (l->more_work)
        return 0;
    if (!t)
        return -1;
    uint64_t now = clock_mono_ms();
    if (t->due_ms <= now)
        return 0;
    uint64_t left = t->due_ms - now;
    return left > 3600000 ? 3600000 : (int)left;
}

/* Looks for the earliest anew after each call, since a callback may set, forget or free any of
 * them. `now` is taken once, and what a callback sets for now may wait for the next round: so this
 * ends. */
static void run_timers(struct loop *l)
{
    uint64_t now = clock_mono_ms();
    size_t most = 0;
    for (const struct timer *t = l->timers; t; t = t->next)
        most++;
    for (struct timer *t; most-- > 0 && (t = earliest(l)) && t->due_ms <= now;) {
        timer_clear(t);
        t->fn(t);
    }
}

int loop_once(struct loop *l)
{
    int n = epoll_wait(l->epoll_fd, l->batch, LOOP_BATCH, wait_ms(l));
    if (n < 0 && errno != EINTR)
        return -errno;
    l->batch_count = n < 0 ? 0 : n;
    for (int i = 0; i < l->batch_count; i++) {
        struct source *s = l->batch[i].data.ptr;
        if (s)
            s->fn(s, l->batch[i].events);
    }
    l->batch_count = 0;
    run_timers(l);
    if (l->more_work)
        l->more_work = l->work(l->work_arg);
    return 0;
}
