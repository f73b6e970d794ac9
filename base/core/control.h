/* Client side of PID 1's control socket; the protocol is docs/control.md. Blocking, with a
 * deadline: for programs without a loop. Those with one write the same line by themselves
 * (control_encode) and read to end of file. */
#pragma once

#include "base/core/buf.h"
#include "base/core/error.h"

#include <stdint.h>
#include <sys/un.h>

/* The runtime folder as docs/control.md says: CODEV_RUNTIME_DIR, /run/codev,
 * $XDG_RUNTIME_DIR/codev, /tmp/codev-UID; the first that holds a control.sock. Copies at most
 * `size` bytes. -ENOENT with a sentence for people when there is none. */
int control_runtime_dir(char *out, size_t size, struct error *e);

/* Appends `words` (NULL-terminated) as one request line, newline included. */
void control_encode(struct buf *out, const char *const *words);

/* Decodes one percent-encoded word in place. 0, or -EBADMSG. */
int control_decode_word(char *word);

/* Connects, sends, reads the whole answer (one line; its newline cut off) into `ret_answer`.
 * -ETIMEDOUT, -ENOENT, -ECONNREFUSED, -EACCES… with `e`. An answer {"error":…} is no failure here.
 */
int control_call(const char *const *words, uint64_t timeout_ms, struct buf *ret_answer,
                 struct error *e);

/* Connects and sends only: the descriptor then yields lines (logs, events) until it ends. */
int control_open(const char *const *words, struct error *e);
