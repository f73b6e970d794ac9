/* Named points of the flow at which a test lets the gateway die by SIGKILL: CODEV_CRASH_AT=name.
 * For tests only; without the variable a point costs one comparison. */
#pragma once

/* Every name, in the order of a permission request's way:
 *   request.stored     asked, in the store; nobody was told
 *   request.shown      a connector acknowledged that it shows the request
 *   request.decided    the decision is in the store; OpenCode was not told
 *   reply.sending      counted as sent; it has not left
 *   reply.sent         handed to the way to OpenCode; no answer yet
 *   reply.confirmed    OpenCode confirmed; not in the store yet
 *   request.settled    settled in the store; nobody was told
 *   link.effect        a bridge event's effect and number are in the store; no ack was sent
 *   outbox.sending     a connector's item is marked as being sent; it has not left
 *   outbox.sent        it left; its answer is not in the store
 *   outbox.done        the answer is in the store
 *   session.created    OpenCode made the session; it is not in the store */
#define CRASH_POINTS(X)                                                                            \
    X("request.stored")                                                                            \
    X("request.shown")                                                                             \
    X("request.decided")                                                                           \
    X("reply.sending")                                                                             \
    X("reply.sent")                                                                                \
    X("reply.confirmed")                                                                           \
    X("request.settled")                                                                           \
    X("link.effect")                                                                               \
    X("outbox.sending")                                                                            \
    X("outbox.sent")                                                                               \
    X("outbox.done")                                                                               \
    X("session.created")

/* Reads CODEV_CRASH_AT. 0, or -EINVAL when it names no point of the table. */
int crash_init(void);

/* Dies here if this is the chosen point. */
void crash_point(const char *name);
