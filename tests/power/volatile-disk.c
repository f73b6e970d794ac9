/* A disk with a volatile write cache, as a file to be mounted by loop: FUSE shows one file,
 * DIR/disk. Its backing file gets what was written only when somebody flushes (fsync of the file,
 * which is what the loop device makes of a flush). SIGUSR1 is the power cut: of what was not
 * flushed, a random part reaches the backing file, sector by sector; from then on all writes are
 * lost, though each succeeds.
 *
 * usage: volatile-disk BACKING DIR SEED. Writes a line to stdout when it is cut: how many sectors
 * were in the cache and how many of them got through. */
#define FUSE_USE_VERSION 35
#include <fuse.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR ((size_t)512)

static struct {
    pthread_mutex_t lock;
    char *durable, *seen; /* what survives a cut, and what a reader gets */
    bool *dirty;          /* of each sector */
    size_t size;
    bool cut;
    unsigned seed;
} disk = { .lock = PTHREAD_MUTEX_INITIALIZER };

static int get_attributes(const char *path, struct stat *st, struct fuse_file_info *fi)
{
    (void)fi;
    memset(st, 0, sizeof *st);
    st->st_mode = strcmp(path, "/") == 0 ? S_IFDIR | 0700 : S_IFREG | 0600;
    st->st_nlink = 1;
    if (S_ISREG(st->st_mode) && strcmp(path, "/disk") != 0)
        return -ENOENT;
    st->st_size = (off_t)disk.size;
    return 0;
}

static int open_disk(const char *path, struct fuse_file_info *fi)
{
    (void)path;
    fi->direct_io = 1; /* no cache in between that would hold a write back */
    return 0;
}

static size_t within(size_t size, off_t offset)
{
    size_t rest = (size_t)offset < disk.size ? disk.size - (size_t)offset : 0;
    return size < rest ? size : rest;
}

static int read_disk(const char *path, char *buffer, size_t size, off_t offset,
                     struct fuse_file_info *fi)
{
    (void)path;
    (void)fi;
    size = within(size, offset);
    (void)pthread_mutex_lock(&disk.lock);
    memcpy(buffer, disk.seen + offset, size);
    (void)pthread_mutex_unlock(&disk.lock);
    return (int)size;
}

static int write_disk(const char *path, const char *data, size_t size, off_t offset,
                      struct fuse_file_info *fi)
{
    (void)path;
    (void)fi;
    size = within(size, offset);
    (void)pthread_mutex_lock(&disk.lock);
    memcpy(disk.seen + offset, data, size);
    for (size_t at = (size_t)offset / SECTOR; at * SECTOR < (size_t)offset + size; at++)
        disk.dirty[at] = true;
    (void)pthread_mutex_unlock(&disk.lock);
    return (int)size;
}

/* The sectors of the cache reach the disk: all, or each by chance. */
static void write_back(bool all, size_t *ret_cached, size_t *ret_through)
{
    for (size_t at = 0; at * SECTOR < disk.size; at++) {
        if (!disk.dirty[at])
            continue;
        disk.dirty[at] = false;
        ++*ret_cached;
        if (!all && rand_r(&disk.seed) % 2)
            continue;
        memcpy(disk.durable + at * SECTOR, disk.seen + at * SECTOR, SECTOR);
        ++*ret_through;
    }
}

static int sync_disk(const char *path, int data_only, struct fuse_file_info *fi)
{
    size_t cached = 0, through = 0;
    (void)path;
    (void)data_only;
    (void)fi;
    (void)pthread_mutex_lock(&disk.lock);
    if (!disk.cut)
        write_back(true, &cached, &through);
    (void)pthread_mutex_unlock(&disk.lock);
    return 0;
}

static void *wait_for_cut(void *data)
{
    sigset_t *set = data;
    int signum = 0;
    size_t cached = 0, through = 0;
    (void)sigwait(set, &signum);
    (void)pthread_mutex_lock(&disk.lock);
    disk.cut = true;
    write_back(false, &cached, &through);
    (void)pthread_mutex_unlock(&disk.lock);
    (void)printf("cut %zu %zu\n", cached, through);
    (void)fflush(stdout);
    return NULL;
}

static int disk_open(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -1;
    disk.size = (size_t)st.st_size;
    disk.durable = mmap(NULL, disk.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd);
    disk.seen = malloc(disk.size);
    disk.dirty = calloc(disk.size / SECTOR, sizeof *disk.dirty);
    if (disk.durable == MAP_FAILED || !disk.seen || !disk.dirty)
        return -1;
    memcpy(disk.seen, disk.durable, disk.size);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct fuse_operations operations = {
        .getattr = get_attributes,
        .open = open_disk,
        .read = read_disk,
        .write = write_disk,
        .fsync = sync_disk,
    };
    sigset_t set;
    pthread_t thread;
    if (argc != 4 || disk_open(argv[1]) < 0) {
        (void)fprintf(stderr, "usage: volatile-disk BACKING DIR SEED\n");
        return EXIT_FAILURE;
    }
    disk.seed = (unsigned)strtoul(argv[3], NULL, 10);
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGUSR1);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (pthread_create(&thread, NULL, wait_for_cut, &set) != 0)
        return EXIT_FAILURE;
    char foreground[] = "-f", one_thread[] = "-s";
    char *arguments[] = { argv[0], argv[2], foreground, one_thread, NULL };
    return fuse_main(4, arguments, &operations, NULL);
}
