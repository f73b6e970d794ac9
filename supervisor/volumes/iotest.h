/* Does a folder keep what is written to it? */
#pragma once

/* Writes a small file, syncs, renames, reads it back, removes it. 0, or -errno with the step's name
 * ("write", "fsync", …). Leaves nothing behind. */
int volume_io_test(const char *folder, const char **ret_step);
