/* The clock of bench/init: writes "TAG NANOSECONDS" lines of CLOCK_MONOTONIC to a file.
 *   stamp exec LOG CMD...   a line "exec", then becomes CMD
 *   stamp main LOG          a line "main", then waits for its end
 *   stamp quick LOG         a line "main", then exits
 *   stamp catch LOG         a line "main", then a line "caught" for each SIGUSR1
 *   stamp deaf LOG          the same, but SIGTERM is not heeded
 *   stamp held LOG          as main, while a helper in another session holds its stdout
 *   stamp send LOG PID SIG  a line "send", then the signal
 *   stamp flood LOG COUNT   makes COUNT orphans, a line "zombies N" with the most seen at once
 *   stamp talk LOG MIB      lines of 100 bytes to its stdout (MIB 0: without end), then "talked" */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int out;

static void line(const char *tag, long long value)
{
    char text[96];
    int n = snprintf(text, sizeof text, "%s %lld %d\n", tag, value, (int)getpid());
    if (write(out, text, (size_t)n) < 0)
        _exit(98);
}

static void stamp(const char *tag)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    line(tag, t.tv_sec * 1000000000LL + t.tv_nsec);
}

static void caught(int signal)
{
    (void)signal;
    stamp("caught");
}

static int zombies(void)
{
    DIR *d = opendir("/proc");
    int n = 0;
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[300], text[256];
        if (e->d_name[0] < '0' || e->d_name[0] > '9')
            continue;
        (void)snprintf(path, sizeof path, "/proc/%s/stat", e->d_name);
        int fd = open(path, O_RDONLY);
        ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
        if (fd >= 0)
            (void)close(fd);
        if (len <= 0)
            continue;
        text[len] = '\0';
        const char *paren = strrchr(text, ')');
        n += paren && paren[2] == 'Z';
    }
    if (d)
        (void)closedir(d);
    return n;
}

/* A child whose own child ends at once: as an orphan, since nobody waits for it. */
static void make_orphan(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        (void)fork();
        _exit(0);
    }
    if (pid > 0)
        (void)waitpid(pid, NULL, 0);
}

static void flood(int count)
{
    int most = 0;
    for (int i = 0; i < count; i++) {
        make_orphan();
        if (i % 100 == 99) {
            int n = zombies();
            most = n > most ? n : most;
        }
    }
    line("zombies", most);
}

static void talk(long mib)
{
    enum { WIDTH = 100, LINES = 655 }; /* 64 KiB and not quite */
    static char text[WIDTH * LINES];
    memset(text, 'x', sizeof text);
    for (int i = 1; i <= LINES; i++)
        text[i * WIDTH - 1] = '\n';
    for (long long left = (long long)mib << 20; !mib || left > 0; left -= (long long)sizeof text) {
        for (size_t at = 0; at < sizeof text;) {
            ssize_t n = write(STDOUT_FILENO, text + at, sizeof text - at);
            if (n <= 0)
                _exit(97);
            at += (size_t)n;
        }
    }
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    const char *mode = argv[1];
    out = open(argv[2], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (strcmp(mode, "exec") == 0) {
        stamp("exec");
        (void)execvp(argv[3], argv + 3);
        return 127;
    }
    if (strcmp(mode, "send") == 0) {
        stamp("send");
        return kill((pid_t)atoi(argv[3]), atoi(argv[4])) < 0;
    }
    if (strcmp(mode, "flood") == 0) {
        flood(atoi(argv[3]));
        return 0;
    }
    if (strcmp(mode, "held") == 0 && fork() == 0) {
        (void)setsid();
        (void)signal(SIGTERM, SIG_IGN);
        (void)pause();
    }
    (void)signal(SIGUSR1, caught);
    if (strcmp(mode, "deaf") == 0)
        (void)signal(SIGTERM, SIG_IGN);
    stamp("main");
    if (strcmp(mode, "talk") == 0) {
        talk(atol(argv[3]));
        stamp("talked");
    }
    while (strcmp(mode, "quick") != 0)
        (void)pause();
    return 0;
}
