/* After the gateway's state was lost: which message shows what is read back from Slack, by the
 * metadata that each of ours carries. Nothing is posted meanwhile. Then people are told, once.
 * Sessions and what is open come back from OpenCode by themselves. */
#pragma once

struct slack;
struct rebuild;

/* `*ret` NULL: there is nothing to rebuild. 0 or -errno. */
int rebuild_new(struct rebuild **ret, struct slack *s);
void rebuild_free(struct rebuild *b); /* NULL is fine */
/* Slack can be asked now. NULL is fine. */
void rebuild_ready(struct rebuild *b);
