/* The logs: what the services write, line by line, and what PID 1 has to say, to stdout, to a ring
 * in memory, and to whoever follows. */
#pragma once

#include "supervisor/init/logline.h"
#include "supervisor/init/output.h"

/* Bytes of JSON lines kept for each service: at least, and at most. */
#define LOG_RING_KEPT ((size_t)256 << 10)
#define LOG_RING_MAX  (LOG_RING_KEPT / 2 * 3)
#define LOG_HELD_MAX  ((size_t)32 << 10)
#define LOG_NAME_MAX  64

struct logs;
struct log_channel;

struct log_stream {
    struct log_channel *channel;
    const char *name; /* "stdout", "stderr" */
    struct source source;
    int write_fd; /* what the service gets */
    struct buf line;
    size_t done; /* bytes of `line` that are emitted already, while it is split into lines */
    bool split;  /* the line in `line` is the rest of a longer one */
    bool more;   /* `line` may hold whole lines yet */
    bool queued;
    bool watched; /* by the loop */
    bool adopted; /* the service has its end already */
    struct log_stream *next_turn;
};

/* Of one service. Its pipes live as long as it does, over all its restarts. */
struct log_channel {
    struct logs *logs;
    char name[LOG_NAME_MAX];
    int pid;                                 /* whose lines these are now; 0: nobody's */
    void (*find_pid)(struct log_channel *c); /* asked when there are lines and pid is 0; or NULL */
    void *arg;
    struct log_stream out, err;
    struct buf ring;   /* entries: struct log_entry, then the line */
    size_t cursor;     /* of logs_read() */
    uint64_t lost_seq; /* the last line that the ring had to give up */
    struct log_channel *next;
};

struct log_entry {
    uint64_t seq;
    uint32_t len; /* of the line that follows, newline included */
    uint32_t padding;
};

struct log_reader {
    uint64_t seq, until; /* the next line, the last one */
    uint64_t lost;       /* the last line that was given up before the last reading */
};

struct logs {
    struct loop *loop;
    struct output output;
    struct mask mask;
    bool text;    /* for people */
    bool holding; /* until it is known for whom: the lines wait in both forms */
    struct buf held_json, held_text;
    struct buf json, text_line; /* the line at work */
    enum log_level level;       /* least level of PID 1's own lines */
    char boot_id[40];
    uint64_t seq;
    struct log_channel own; /* "init" */
    struct log_channel *channels;
    struct log_stream *turns; /* those that have something to read, in the order of their turns */
    /* Called for each line as it is written, in JSON form. */
    void (*on_line)(void *arg, const struct log_channel *c, const char *line, size_t len);
    void *on_line_arg;
};

/* 0, or -errno when stdout cannot be used (everything else works then). */
int logs_init(struct logs *l, struct loop *loop);
void logs_release(struct logs *l);
/* Holds lines back until logs_let_go(), which writes them in the form that `text` then says. At
 * most LOG_HELD_MAX bytes: more lets go by itself. */
void logs_hold(struct logs *l);
void logs_let_go(struct logs *l);

/* The pipes of a channel, for the next image of PID 1 after a fault (crash.h). */
struct log_fds {
    int fds[4]; /* of stdout, then of stderr: where it is read, where it is written; -1: none */
};
void log_channel_save(const struct log_channel *c, struct log_fds *ret);
/* What one stream had read already. */
void log_channel_resume(struct log_channel *c, bool err, bool split, const char *data, size_t len);

/* Makes the pipes, or takes over those of `adopted` (NULL: none). 0 or -errno. */
int log_channel_open(struct log_channel *c, struct logs *l, const char *name,
                     const struct log_fds *adopted);
/* Makes what could not be made before: when something of the service is about to start. */
void log_channel_mend(struct log_channel *c);
void log_channel_close(struct log_channel *c);
/* Reads what is there and ends unfinished lines: when its processes are gone. */
void log_channel_drain(struct log_channel *c);

/* Reads one channel (NULL: all, in order) from its `n`-th last line on to the last one of now, or
 * to `until`, when that is set to something else. */
void logs_reader(const struct logs *l, struct log_reader *ret, const struct log_channel *only,
                 size_t n);
/* Appends the next lines to `out`, as long as there are not `most` bytes in it. True when there are
 * more. Lines that the ring gave up before they were read are left out, which a line of its own
 * says. */
bool logs_read(struct logs *l, struct log_reader *r, const struct log_channel *only, size_t most,
               struct buf *out);
struct log_channel *logs_find(struct logs *l, const char *name);

/* PID 1's own lines. */
void logs_say(struct logs *l, enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* A line about or from something that has no pipes (the config compiler). */
void logs_put(struct log_channel *c, enum log_level level, const char *stream, const char *text,
              size_t len);
