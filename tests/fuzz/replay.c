/* Runs a harness over files, and over the files of folders, without a fuzzer. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/core/cleanup.h"
#include "base/core/file.h"
#include "tests/fuzz/fuzz.h"

static unsigned count;

static int replay_file(const char *path)
{
    _cleanup_free_ char *text = NULL;
    size_t len = 0;
    int r = file_read(path, (size_t)16 << 20, &text, &len);
    if (r < 0) {
        (void)fprintf(stderr, "cannot read %s: %s\n", path, strerror(-r));
        return r;
    }
    /* A copy of exactly its size, and the name at hand if it is the last one. */
    _cleanup_free_ uint8_t *data = malloc(len ? len : 1);
    if (!data)
        return -ENOMEM;
    memcpy(data, text, len);
    if (getenv("FUZZ_VERBOSE"))
        (void)fprintf(stderr, "%s\n", path);
    (void)LLVMFuzzerTestOneInput(data, len);
    count++;
    return 0;
}

static int replay(const char *path)
{
    struct dirent **names = NULL;
    struct stat st;
    int r = 0, n;
    if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
        return replay_file(path);
    n = scandir(path, &names, NULL, alphasort);
    if (n < 0) {
        (void)fprintf(stderr, "cannot read %s: %s\n", path, strerror(errno));
        return -errno;
    }
    for (int i = 0; i < n; i++) {
        _cleanup_free_ struct dirent *name = names[i];
        _cleanup_free_ char *file = path_join(path, name->d_name);
        if (name->d_name[0] != '.' && r == 0)
            r = file ? replay_file(file) : -ENOMEM;
    }
    free(names);
    return r;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (replay(argv[i]) < 0)
            return 1;
    if (!count) {
        (void)fprintf(stderr, "%s: no input was replayed\n", argv[0]);
        return 1;
    }
    return 0;
}
