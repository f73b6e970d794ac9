/* What an agent would try against the pod it works in. Each attack prints a line that begins with
 * WON when it got what it must not have, else why not. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int verdict(long r, const char *what)
{
    if (r >= 0)
        printf("WON %s\n", what);
    else
        printf("lost %s: %s\n", what, strerror(errno));
    return 0;
}

/* The process of that name, or of that number. */
static pid_t find(const char *name)
{
    if (*name >= '0' && *name <= '9')
        return atoi(name);
    DIR *proc = opendir("/proc");
    for (struct dirent *d; proc && (d = readdir(proc));) {
        char path[300], comm[64] = "";
        (void)snprintf(path, sizeof path, "/proc/%s/comm", d->d_name);
        FILE *f = fopen(path, "r");
        if (!f)
            continue;
        if (fgets(comm, sizeof comm, f))
            comm[strcspn(comm, "\n")] = '\0';
        (void)fclose(f);
        if (strcmp(comm, name) == 0) {
            pid_t pid = atoi(d->d_name);
            (void)closedir(proc);
            return pid;
        }
    }
    printf("nobody is called %s\n", name);
    exit(3);
}

static int open_of(pid_t pid, const char *file)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
    return open(path, O_RDONLY);
}

/* ---------------------------------------------------------------- other processes */

static int environ_of(const char *name)
{
    char byte;
    int fd = open_of(find(name), "environ");
    return verdict(fd < 0 ? -1 : read(fd, &byte, 1), "the environment");
}

static int mem_of(const char *name)
{
    return verdict(open_of(find(name), "mem"), "the memory");
}

static int fd_of(const char *name)
{
    char path[64], to[256];
    (void)snprintf(path, sizeof path, "/proc/%d/fd/1", find(name));
    return verdict(readlink(path, to, sizeof to), "the descriptors");
}

static int trace(const char *name)
{
    pid_t pid = find(name);
    long r = ptrace(PTRACE_SEIZE, pid, NULL, NULL);
    if (r >= 0)
        (void)ptrace(PTRACE_INTERRUPT, pid, NULL, NULL);
    return verdict(r, "to trace it");
}

/* An address that is not there: what counts is who says so. */
static int readv_of(const char *name)
{
    char byte;
    struct iovec to = { .iov_base = &byte, .iov_len = 1 };
    struct iovec from = { .iov_base = (void *)(uintptr_t)16, .iov_len = 1 };
    long r = process_vm_readv(find(name), &to, 1, &from, 1, 0);
    return verdict(r < 0 && errno == EFAULT ? 0 : r, "to read its memory");
}

static int getfd_of(const char *name)
{
    int fd = (int)syscall(SYS_pidfd_open, find(name), 0);
    return verdict(fd < 0 ? -1 : syscall(SYS_pidfd_getfd, fd, 1, 0), "a descriptor of it");
}

static int signal_to(const char *name)
{
    return verdict(kill(find(name), SIGCONT), "to signal it");
}

/* All runs of 64 hexadecimal digits in its memory: so our tokens look. */
static int tokens_of(const char *name)
{
    static char data[1 << 20];
    char line[512];
    pid_t pid = find(name);
    int mem = open_of(pid, "mem"), maps = open_of(pid, "maps"), shown = 0;
    FILE *f = maps < 0 ? NULL : fdopen(maps, "r");
    if (mem < 0 || !f)
        return verdict(-1, "the tokens in its memory");
    while (fgets(line, sizeof line, f)) {
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx rw", &from, &to) != 2 || !strstr(line, " rw"))
            continue;
        for (; from < to; from += sizeof data) {
            ssize_t n =
                pread(mem, data, to - from < sizeof data ? to - from : sizeof data, (off_t)from);
            size_t run = 0;
            for (ssize_t i = 0; i < n && shown < 500; i++) {
                run = strchr("0123456789abcdef", data[i]) && data[i] ? run + 1 : 0;
                if (run == 64 && ++shown)
                    printf("TOKEN %.64s\n", data + i - 63);
            }
        }
    }
    return 0;
}

/* ---------------------------------------------------------------- the kernel */

static int try_mount(const char *where)
{
    return verdict(mount("none", where, "tmpfs", 0, NULL), "a mount");
}

static int try_unshare(const char *unused)
{
    (void)unused;
    return verdict(unshare(CLONE_NEWNS), "a mount namespace");
}

static int try_userns(const char *unused)
{
    (void)unused;
    return verdict(unshare(CLONE_NEWUSER), "a user namespace");
}

static int try_clone3(const char *unused)
{
    struct {
        uint64_t flags, rest[7];
    } args = { .flags = CLONE_NEWUSER };
    args.rest[3] = SIGCHLD;
    (void)unused;
    long r = syscall(SYS_clone3, &args, sizeof args);
    if (r == 0)
        _exit(0);
    return verdict(r, "a user namespace by clone3");
}

static int try_bpf(const char *unused)
{
    union bpf_attr attr = { .map_type = BPF_MAP_TYPE_ARRAY };
    attr.key_size = 4;
    attr.value_size = 4;
    attr.max_entries = 1;
    (void)unused;
    return verdict(syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof attr), "bpf");
}

static int try_io_uring(const char *unused)
{
    char params[120] = { 0 };
    (void)unused;
    return verdict(syscall(SYS_io_uring_setup, 1, params), "io_uring");
}

static int try_keyring(const char *unused)
{
    (void)unused;
    return verdict(syscall(SYS_keyctl, 1, "attack"), "a keyring"); /* KEYCTL_JOIN_SESSION_KEYRING */
}

static int try_add_key(const char *unused)
{
    (void)unused;
    return verdict(syscall(SYS_add_key, "user", "attack", "x", 1, -1), "a key");
}

static int try_perf(const char *unused)
{
    struct perf_event_attr attr = { .type = PERF_TYPE_SOFTWARE, .size = sizeof attr };
    (void)unused;
    return verdict(syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0), "perf events");
}

static int try_userfaultfd(const char *unused)
{
    (void)unused;
    return verdict(syscall(SYS_userfaultfd, 0), "userfaultfd");
}

static int try_mknod(const char *path)
{
    return verdict(mknod(path, S_IFBLK | 0600, makedev(7, 0)), "a block device");
}

static int try_chroot(const char *unused)
{
    (void)unused;
    return verdict(chroot("/tmp"), "chroot");
}

static int try_handle(const char *path)
{
    struct {
        struct file_handle head;
        unsigned char room[128];
    } h = { .head.handle_bytes = 128 };
    int id;
    if (name_to_handle_at(AT_FDCWD, path, &h.head, &id, 0) < 0)
        return verdict(-1, "a handle");
    int at = open(path, O_RDONLY);
    return verdict(at < 0 ? -1 : open_by_handle_at(at, &h.head, O_RDONLY), "a file by its handle");
}

/* ---------------------------------------------------------------- the rest */

static int control(const char *path)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    char answer[4096];
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) < 0)
        return verdict(-1, "to connect");
    if (write(fd, "status\n", 7) != 7)
        return verdict(-1, "to ask");
    ssize_t n = read(fd, answer, sizeof answer - 1);
    answer[n > 0 ? n : 0] = '\0';
    errno = EACCES;
    return verdict(strstr(answer, "\"services\"") ? 0 : -1, "an answer of PID 1");
}

static int left_open(const char *unused)
{
    (void)unused;
    for (int fd = 3; fd < 4096; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            return verdict(fd, "a descriptor that was left open");
    errno = EBADF;
    return verdict(-1, "a descriptor");
}

/* Processes until `limit`, all ended again. */
static int forks(const char *limit)
{
    int wanted = atoi(limit), n = 0;
    pid_t group = getpid();
    (void)setpgid(0, 0);
    (void)signal(SIGTERM, SIG_IGN);
    while (n < wanted) {
        pid_t pid = fork();
        if (pid < 0)
            break;
        if (pid == 0) {
            (void)signal(SIGTERM, SIG_DFL);
            (void)pause();
            _exit(0);
        }
        n++;
    }
    int error = errno;
    (void)sleep(3); /* for others to be seen at work meanwhile */
    (void)kill(-group, SIGTERM);
    while (wait(NULL) > 0)
        ;
    errno = error;
    printf("%d processes\n", n);
    return verdict(n == wanted ? 0 : -1, "as many processes as it liked");
}

static void swap_for(const char *folder, const char *name, const char *library)
{
    char path[4096], fresh[4096];
    size_t len = strlen(name);
    if (len < 4 || (strcmp(name + len - 3, ".so") != 0 && strcmp(name + len - 5, ".node") != 0))
        return;
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    (void)snprintf(fresh, sizeof fresh, "%s/swap-%d", folder, getpid());
    if (link(library, fresh) == 0 && rename(fresh, path) == 0)
        printf("swapped %s\n", path);
    (void)fflush(stdout);
}

/* Whoever unpacks a library into a folder of temporary files gets `library` in its place, for half
 * a minute: swap FOLDER:LIBRARY. */
static int swap_libraries(const char *what)
{
    _Alignas(8) char room[4096], folder[4096];
    (void)snprintf(folder, sizeof folder, "%s", what);
    char *library = strchr(folder, ':');
    int fd = inotify_init1(IN_CLOEXEC);
    if (!library || inotify_add_watch(fd, (*library++ = '\0', folder), IN_CREATE) < 0)
        return verdict(-1, "to watch");
    printf("watching\n");
    (void)fflush(stdout);
    (void)alarm(30);
    for (ssize_t n; (n = read(fd, room, sizeof room)) > 0;)
        for (ssize_t at = 0; at < n;) {
            const void *here = room + at;
            const struct inotify_event *e = here;
            if (e->len)
                swap_for(folder, e->name, library);
            at += (ssize_t)sizeof *e + e->len;
        }
    return 0;
}

static const struct {
    const char *name;
    int (*attack)(const char *argument);
} attacks[] = {
    { "environ", environ_of },
    { "mem", mem_of },
    { "fd", fd_of },
    { "ptrace", trace },
    { "readv", readv_of },
    { "getfd", getfd_of },
    { "signal", signal_to },
    { "tokens", tokens_of },
    { "mount", try_mount },
    { "unshare", try_unshare },
    { "userns", try_userns },
    { "clone3", try_clone3 },
    { "bpf", try_bpf },
    { "io_uring", try_io_uring },
    { "keyring", try_keyring },
    { "add_key", try_add_key },
    { "perf", try_perf },
    { "userfaultfd", try_userfaultfd },
    { "mknod", try_mknod },
    { "chroot", try_chroot },
    { "handle", try_handle },
    { "control", control },
    { "left-open", left_open },
    { "forks", forks },
    { "swap", swap_libraries },
};

int main(int argc, char **argv)
{
    (void)signal(SIGPIPE, SIG_IGN); /* who is turned away says so */
    for (size_t i = 0; argc > 1 && i < sizeof attacks / sizeof *attacks; i++)
        if (strcmp(attacks[i].name, argv[1]) == 0)
            return attacks[i].attack(argc > 2 ? argv[2] : "");
    return 2;
}
