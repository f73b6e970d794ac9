/* The boot ledger: one line of JSON a boot. */
#include "supervisor/volumes/volumes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/core/buf.h"
#include "base/core/cleanup.h"
#include "base/core/file.h"

#define LEDGER_LINE_MAX  ((size_t)8 << 10)
#define LEDGER_BYTES_MAX (LEDGER_LINES_MAX * LEDGER_LINE_MAX)

/* Where the newest `keep` lines of `text` begin. */
static const char *newest(const char *text, size_t len, size_t keep)
{
    const char *p = text + len;
    if (p > text && p[-1] == '\n')
        p--;
    for (size_t lines = 0; p > text; p--)
        if (p[-1] == '\n' && ++lines == keep)
            break;
    return p;
}

static size_t count_lines(const char *text, size_t len)
{
    size_t n = len && text[len - 1] != '\n';
    for (size_t i = 0; i < len; i++)
        n += text[i] == '\n';
    return n;
}

/* Appends; a line that did not fit on the disk is taken away again. `torn`: the last line has no
 * end, a crash cut it. */
static int append(const char *path, const char *line, bool torn)
{
    _cleanup_fd_ int fd =
        open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    _cleanup_buf_ struct buf text = BUF_INIT;
    buf_printf(&text, "%s%s\n", torn ? "\n" : "", line);
    int r = text.failed ? -ENOMEM : fd_write_all(fd, text.data, text.len);
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    if (r == 0 && st.st_size == 0)
        (void)file_sync_folder(path);
    if (r < 0 && ftruncate(fd, st.st_size) < 0)
        return r; /* a torn line stays; the next append ends it */
    return r;
}

static int rewrite(const char *path, const char *kept, size_t len, const char *line)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    buf_append(&text, kept, len);
    buf_printf(&text, "%s%s\n", len && kept[len - 1] != '\n' ? "\n" : "", line);
    return text.failed ? -ENOMEM : file_write_atomic(path, text.data, text.len, 0600);
}

int ledger_append(const char *dir, const char *line, struct error *e)
{
    if (strchr(line, '\n') || strlen(line) > LEDGER_LINE_MAX)
        return error_set(e, -EINVAL,
                         "a line of the boot ledger must be one line of at most %zu bytes",
                         LEDGER_LINE_MAX);
    _cleanup_free_ char *path = path_join(dir, "boots.jsonl");
    _cleanup_free_ char *text = NULL;
    size_t len = 0;
    if (!path)
        return error_set_errno(e, -ENOMEM, "cannot write the boot ledger");
    int r = file_read(path, LEDGER_BYTES_MAX, &text, &len);
    if (r == -ENOENT || r == -EFBIG) { /* nothing there, or not ours: begin anew */
        if (r == -EFBIG)
            (void)unlink(path);
        r = 0;
    }
    if (r == 0 && count_lines(text ? text : "", len) >= LEDGER_LINES_MAX) {
        const char *kept = newest(text, len, LEDGER_LINES_MAX - 1);
        r = rewrite(path, kept, len - (size_t)(kept - text), line);
    } else if (r == 0) {
        r = append(path, line, len && text[len - 1] != '\n');
    }
    return r < 0 ? error_set_errno(e, r, "cannot write the boot ledger %s", path) : 0;
}
