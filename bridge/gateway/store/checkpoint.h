/* Moves what was committed from the write-ahead log into the database, in a thread of its own: that
 * takes three fsyncs, 10 to 50 ms on a busy disc, for which no acknowledgement should wait. */
#pragma once

struct sqlite3;
struct checkpoint;

/* For the database `db` at `path` (copied), from now on. Where no thread can be had, SQLite does it
 * at a commit as ever, and NULL is returned. */
struct checkpoint *checkpoint_start(struct sqlite3 *db, const char *path);
/* Waits until one under way is done. Before `db` is closed. NULL is fine. */
void checkpoint_stop(struct checkpoint *c);
