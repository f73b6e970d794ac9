/* The control socket, docs/control.md: connections, their limits and their deadlines. What a
 * request means is in commands.c. */
#pragma once

#include "base/core/buf.h"
#include "supervisor/init/logs.h"
#include "supervisor/init/loop.h"

#define CONTROL_CONNECTIONS  32
#define CONTROL_LINE_MAX     4096
#define CONTROL_ANNOTATE_MAX 16384
#define CONTROL_DEADLINE_MS  5000
#define CONTROL_OUT_MAX      ((size_t)8 << 20)   /* one answer, and all that wait together */
#define CONTROL_EVENTS_MAX   ((size_t)128 << 10) /* what a reader of events may lag behind */
#define CONTROL_LOGS_CHUNK   ((size_t)32 << 10)  /* of the rings, copied for one reader */
#define CONTROL_WORDS_MAX    8

struct supervisor;
struct control_server;

enum connection_mode {
    CONNECTION_REQUEST, /* its line has not come yet */
    CONNECTION_ANSWER,  /* closes when all is written */
    CONNECTION_RELOAD,  /* waits for the end of a reload */
    CONNECTION_TAIL,    /* gets log lines up to the last one of now */
    CONNECTION_LOGS,    /* follows */
    CONNECTION_EVENTS,
};

struct connection {
    struct control_server *server;
    struct source source; /* fd -1: free */
    struct timer deadline;
    struct buf in, out;
    enum connection_mode mode;
    char service[64]; /* of logs: "*" for all */
    struct log_reader reader;
    bool behind;   /* of CONNECTION_LOGS: there are lines in the rings that it has not had */
    char peer[64]; /* the service that it comes from; "": from none */
};

struct control_server {
    struct supervisor *sv;
    struct source listener;
    int reserve_fd; /* given up for a moment to take and drop a connection when descriptors are out
                     */
    struct connection connections[CONTROL_CONNECTIONS];
};

void control_init(struct control_server *c, struct supervisor *sv);
/* Listens on control.sock in `dir`. 0 or -errno. */
int control_open_socket(struct control_server *c, const char *dir);
/* The same with the listener of PID 1's last image (crash.h); -1: there was none. */
void control_adopt(struct control_server *c, int listener);
void control_close(struct control_server *c);

/* Sends an event (one JSON object, no newline) to those that asked for them. */
void control_event(struct control_server *c, const struct buf *json);
/* Ends every CONNECTION_RELOAD with this answer. */
void control_reload_done(struct control_server *c, const struct buf *json);
/* For logs.on_line. */
struct log_channel;
void control_log_line(void *server, const struct log_channel *channel, const char *line,
                      size_t len);

/* Answers with one line of JSON (newline added) and end of file. */
void connection_answer(struct connection *c, const struct buf *json);
void connection_error(struct connection *c, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Appends raw bytes; the connection is dropped when it lags too far behind. */
void connection_send(struct connection *c, const char *data, size_t len);
/* Sends what is in the rings from c->reader on, as fast as the peer reads. */
void connection_logs(struct connection *c);

/* --- commands.c --- */
void command_run(struct supervisor *sv, struct connection *c, char *line);
