/* The runtime folder (docs/control.md). */
#pragma once

#include <stddef.h>

/* Finds or makes it: CODEV_RUNTIME_DIR, /run/codev, $XDG_RUNTIME_DIR/codev, /tmp/codev-UID. It is
 * a folder of our own uid, closed to others, and writable. 0, or -errno of the last place tried. */
int runtime_dir_open(char *out, size_t size);
