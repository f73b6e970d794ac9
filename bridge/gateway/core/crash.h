/* Points of every flow at which a test lets the gateway die by SIGKILL. CODEV_CRASH_AT=NAME, or
 * NAME:N for the Nth time that the point is passed. Refused where somebody could depend on the
 * gateway: below PID 1, and on any address but loopback. Without the variable a point costs one
 * comparison. */
#pragma once

/* Every point: its name, what a test does to pass it, and what is true there. The tests iterate
 * this table (codev-gateway --crash-points). The order is that of the way.
 *
 * mention: somebody begins a session in Slack, and its first prompt asks for a permission.
 * form: the same by the form of /opencode start.
 * reply: somebody answers in a session's thread.
 * click: somebody decides by a button. deny: by the form for a reason. word: by a word in the
 * thread.
 * pick: somebody answers a question by a button. fill: by the form. words: by words in the thread.
 * ask: OpenCode asks for a permission.
 * turn: a session's first turn ends.
 * bridge: an event comes by a bridge. */
#define CRASH_POINTS(X)                                                                            \
    X("inbound.received", "form mention reply click deny word pick fill words",                    \
      "read; not stored")                                                                          \
    X("inbound.stored", "fill mention reply form click deny word pick words",                      \
      "stored; not acknowledged")                                                                  \
    X("inbound.acked", "form mention reply click deny word pick fill words",                       \
      "the ack is in the socket's queue")                                                          \
    X("inbound.working", "pick mention reply form click deny word fill words",                     \
      "taken up; nothing left yet")                                                                \
    X("inbound.noted", "words word", "which request the words are for is stored")                  \
    X("prompt.sending", "mention reply form", "its id and the attempt are stored; not sent")       \
    X("prompt.sent", "reply mention form", "handed to the way to OpenCode; no answer yet")         \
    X("session.made", "form mention", "OpenCode made the session; its prompt was not sent")        \
    X("session.created", "turn mention form",                                                      \
      "session and prompt are in OpenCode; not in the store")                                      \
    X("session.shown", "form mention",                                                             \
      "its thread and that it is done are stored; nothing is "                                     \
      "said yet")                                                                                  \
    X("prompt.answered", "reply", "OpenCode took the prompt; not in the store")                    \
    X("inbound.done", "deny mention reply form click word pick fill words",                        \
      "its end is in the store")                                                                   \
    X("request.stored", "ask", "asked, in the store; nobody was told")                             \
    X("outbox.sending", "ask mention form", "a message is marked as being sent; it has not left")  \
    X("outbox.sent", "ask mention form", "it left; its answer is not in the store")                \
    X("outbox.done", "ask mention form", "the answer is in the store")                             \
    X("request.shown", "ask", "a connector acknowledged that it shows the request")                \
    X("request.decided", "click word deny pick fill words",                                        \
      "the decision is in the store; OpenCode was not told")                                       \
    X("reply.sending", "word click deny pick fill words", "counted as sent; it has not left")      \
    X("reply.sent", "pick click word deny fill words",                                             \
      "handed to the way to OpenCode; no answer yet")                                              \
    X("reply.confirmed", "fill click word deny pick words",                                        \
      "OpenCode confirmed; not in the store yet")                                                  \
    X("request.settled", "words click word deny pick fill",                                        \
      "settled in the store; nobody was told")                                                     \
    X("turn.over", "turn", "a turn ended, in the store; its end is not shown")                     \
    X("turn.shown", "turn", "its end is in the outbox; that is not noted")                         \
    X("link.effect", "bridge", "an event's effect and number are in the store; no ack was sent")

/* Reads CODEV_CRASH_AT; `listen` is the gateway's address. 0, -EINVAL when it names no point of the
 * table, -EPERM when it is refused. */
int crash_init(const char *listen);

/* Dies here if this is the chosen point. */
void crash_point(const char *name);

/* Writes the table, a line each: name, ways, what is true there, tabs between. */
void crash_list(void);
