/* PID 1's event loop: one epoll for descriptors, one list of timers. Nothing in it allocates after
 * a source or timer has been set up, and no callback may block. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

#define LOOP_BATCH 32

/* Embedded in its owner; `fn` gets the EPOLL* bits that are set. */
struct source {
    int fd; /* -1: not in the loop; owned by the owner */
    void (*fn)(struct source *s, uint32_t events);
    void *arg;
};

/* Embedded in its owner; fires once. */
struct timer {
    uint64_t due_ms; /* clock_mono_ms(); 0: not set */
    void (*fn)(struct timer *t);
    void *arg;
    struct timer *next;
    bool linked;
};

struct loop {
    int epoll_fd;
    struct timer *timers; /* every timer that was ever set; few, so looking at all is cheapest */
    struct epoll_event batch[LOOP_BATCH];
    int batch_count;
    /* What can wait for its turn: called once in each round, behind all else, while it says that
     * there is more. NULL: nothing. */
    bool (*work)(void *arg);
    void *work_arg;
    bool more_work; /* set by whoever has some */
    bool stop;
};

int loop_init(struct loop *l); /* 0 or -errno */
void loop_release(struct loop *l);

/* `s->fd`, `fn` and `arg` are set by the caller. 0 or -errno; on failure `s->fd` stays as it was.
 */
int loop_add(struct loop *l, struct source *s, uint32_t events);
int loop_change(struct loop *l, struct source *s, uint32_t events);
/* Takes it out and closes its descriptor. Safe inside any callback, also of another source. */
void loop_close(struct loop *l, struct source *s);

/* `fn` and `arg` are set by the caller. A delay of 0 counts as 1 ms. */
void timer_set(struct loop *l, struct timer *t, uint64_t delay_ms);
/* For the end of this round of the loop, or the next one; whoever does that again and again keeps
 * the processor busy. */
void timer_set_now(struct loop *l, struct timer *t);
void timer_set_at(struct loop *l, struct timer *t, uint64_t due_ms);
void timer_clear(struct timer *t);
/* Must be called before a timer's memory goes away. */
void timer_forget(struct loop *l, struct timer *t);

/* One round: waits for descriptors or the next timer, calls what is due. 0 or -errno. */
int loop_once(struct loop *l);
