/* rooms: supervisor/init base/core */
/* The room's file itself: its socket is one of a pair here. */
#include "supervisor/init/notify.c"

#include "base/core/utf8.h"
#include "tests/fuzz/fuzz.h"

static struct supervisor sv;
static struct service straw;
static struct notify_message seen;
static unsigned messages;

void service_notify(struct service *s, const struct notify_message *m)
{
    REQUIRE(s == &straw);
    seen = *m;
    messages++;
}

int loop_add(struct loop *l, struct source *s, uint32_t events)
{
    (void)l;
    (void)s;
    (void)events;
    return 0;
}

void loop_close(struct loop *l, struct source *s)
{
    (void)l;
    (void)s;
}

static int fds[2] = { -1, -1 };

static void setup(void)
{
    int on = 1;
    if (fds[0] >= 0)
        return;
    REQUIRE(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds) == 0);
    REQUIRE(setsockopt(fds[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0);
    sv.services = &straw;
    straw.proc.leader = getpid();
    sv.notify = (struct source){ .fd = fds[0], .fn = on_readable, .arg = &sv };
}

static int lowest_free(void)
{
    int fd = dup(fds[1]);
    (void)close(fd);
    return fd;
}

static void send_datagram(const char *text, size_t len, unsigned descriptors)
{
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(32 * sizeof(int))];
    } control = { 0 };
    struct iovec iov = { .iov_len = len };
    memcpy(&iov.iov_base, &text, sizeof text); /* it is only read */
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
    if (descriptors) {
        m.msg_control = control.room;
        m.msg_controllen = CMSG_SPACE(descriptors * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(descriptors * sizeof(int));
        for (unsigned i = 0; i < descriptors; i++)
            memcpy(CMSG_DATA(c) + i * sizeof(int), &fds[1], sizeof(int));
    }
    REQUIRE(sendmsg(fds[1], &m, 0) == (ssize_t)len);
}

/* The same question, asked plainly: is there a line that is exactly READY=1? */
static bool expected(const char *text, size_t len)
{
    static const char ready[] = "READY=1";
    size_t n = sizeof ready - 1;
    const char *nul = memchr(text, '\0', len);
    len = nul ? (size_t)(nul - text) : len;
    for (size_t i = 0; i + n <= len; i++)
        if (memcmp(text + i, ready, n) == 0 && (i == 0 || text[i - 1] == '\n') &&
            (i + n == len || text[i + n] == '\n'))
            return true;
    return false;
}

/* The first byte: how many descriptors come along. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz in = fuzz_of(data, size);
    unsigned first = fuzz_byte(&in);
    if (in.left > 4096) /* is dropped */
        return 0;
    setup();
    int before = lowest_free();
    messages = 0;
    send_datagram(in.at, in.left, first % 33);
    sv.notify.fn(&sv.notify, EPOLLIN);
    REQUIRE(lowest_free() == before);
    REQUIRE(messages == 1);
    REQUIRE(seen.ready == expected(in.at, in.left));
    REQUIRE(seen.main_pid >= 0 && strlen(seen.status) < sizeof seen.status);
    REQUIRE(utf8_valid(seen.status, strlen(seen.status)));
    for (const char *p = seen.status; *p; p++)
        REQUIRE((unsigned char)*p >= 0x20 && *p != 0x7f);
    return 0;
}
