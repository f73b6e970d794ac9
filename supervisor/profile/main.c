/* Part of the build: writes the usual filter (usual.c) to its standard output. */
#include <stdio.h>
#include <unistd.h>

#include "base/core/buf.h"
#include "base/core/file.h"
#include "supervisor/profile/profile.h"

int main(void)
{
    const struct profile usual = { 0 };
    struct buf out = BUF_INIT;
    struct error e = ERROR_INIT;
    int r = filter_make(&usual, &out, &e);
    if (r == 0)
        r = fd_write_all(STDOUT_FILENO, out.data, out.len);
    if (r < 0)
        (void)fprintf(stderr, "usual-filter: %s\n", *e.message ? e.message : "cannot be written");
    buf_release(&out);
    return r < 0;
}
