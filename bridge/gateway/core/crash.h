/* Points of every flow at which a test lets the gateway die by SIGKILL. CODEV_CRASH_AT=NAME, or
 * NAME:N for the Nth time that the point is passed. Refused where somebody could depend on the
 * gateway: below PID 1, and on any address but loopback. Without the variable a point costs one
 * comparison. */
#pragma once

/* Every point: its name, what a test does to pass it, and what is true there. The tests iterate
 * this table (codev-gateway --crash-points). mention   somebody begins a session in Slack and its
 * first prompt asks for a permission reply     somebody answers in its thread slash     somebody
 * begins a session by the command click     somebody decides by a button word      somebody decides
 * by a word in the thread ask       OpenCode asks for a permission bridge    an event comes by a
 * bridge The order is that of the way. */
#define CRASH_POINTS(X)                                                                            \
    X("inbound.received", "mention reply click word", "read; not stored")                          \
    X("inbound.stored", "mention reply click word", "stored; not acknowledged")                    \
    X("inbound.acked", "mention reply click word", "the ack is in the socket's queue")             \
    X("inbound.working", "mention reply click word", "taken up; nothing left yet")                 \
    X("prompt.sending", "mention reply", "its id and the attempt are stored; not sent")            \
    X("prompt.sent", "mention reply", "handed to the way to OpenCode; no answer yet")              \
    X("session.made", "mention", "OpenCode made the session; its prompt was not sent")             \
    X("session.created", "mention", "session and prompt are in OpenCode; not in the store")        \
    X("prompt.answered", "reply mention", "OpenCode took the prompt; not in the store")            \
    X("inbound.done", "mention reply click word", "its end is in the store")                       \
    X("request.stored", "ask", "asked, in the store; nobody was told")                             \
    X("outbox.sending", "ask mention", "a message is marked as being sent; it has not left")       \
    X("outbox.sent", "ask mention", "it left; its answer is not in the store")                     \
    X("outbox.done", "ask mention", "the answer is in the store")                                  \
    X("request.shown", "ask", "a connector acknowledged that it shows the request")                \
    X("request.decided", "click word", "the decision is in the store; OpenCode was not told")      \
    X("reply.sending", "click word", "counted as sent; it has not left")                           \
    X("reply.sent", "click word", "handed to the way to OpenCode; no answer yet")                  \
    X("reply.confirmed", "click word", "OpenCode confirmed; not in the store yet")                 \
    X("request.settled", "click word", "settled in the store; nobody was told")                    \
    X("link.effect", "bridge", "an event's effect and number are in the store; no ack was sent")

/* Reads CODEV_CRASH_AT; `listen` is the gateway's address. 0, -EINVAL when it names no point of the
 * table, -EPERM when it is refused. */
int crash_init(const char *listen);

/* Dies here if this is the chosen point. */
void crash_point(const char *name);

/* Writes the table, a line each: name, ways, what is true there, tabs between. */
void crash_list(void);
