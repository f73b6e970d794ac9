#include "supervisor/init/crash.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/file.h"
#include "base/core/parse.h"
#include "supervisor/init/signals.h"
#include "supervisor/init/supervisor.h"

#define ADOPT_VARIABLE "CODEV_ADOPT_FD"
#define STACK_SIZE     (64 << 10)
#define BUILD_ID_MAX   20
#define STATE_MAX      ((size_t)32 << 20)

static const int fault_signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };

static const char magic[8] = "codevcr1";

struct record {
    uint32_t type, len;
};

/* Of the image that writes it: the one that reads it is the same file. */
struct head {
    char magic[8];
    uint32_t size;
    uint8_t build_id[BUILD_ID_MAX];
    struct crash_fault fault;
    char boot_id[40];
    uint64_t started_ms, seq, dropped, dropped_total, reaped, oom_count, oom_kills;
    bool text, holding;
    char config_error[sizeof((struct supervisor *)NULL)->config_error];
    pid_t boot_helper, watch_helper, config_helper;
    int64_t started_wall_ms;
    sigset_t original_mask;
    char runtime_dir[sizeof((struct supervisor *)NULL)->runtime_dir];
    char state_dir[sizeof((struct supervisor *)NULL)->state_dir];
    int listener_fd, notify_fd, abstract_fd;
    enum phase phase;
    bool started_up;
    char hold[sizeof((struct supervisor *)NULL)->hold];
    bool given[SECRET_STORE_MAX]; /* the secrets that stood in the environment */
    struct stop stop;
};

/* All that the handler needs, made before. */
static struct {
    struct supervisor *sv;
    pid_t pid;
    int exe_fd;
    char **envp; /* [0] is for the variable */
    uintptr_t base;
    uint8_t build_id[BUILD_ID_MAX];
    uint32_t count;   /* faults so far, within the window */
    uint64_t last_ms; /* of the last one; 0: none */
    bool adopting;
    volatile sig_atomic_t nesting, state_fd;
    volatile sig_atomic_t stranger, strange_signal;
} armed = { .exe_fd = -1 };

/* --- in the handler: nothing but system calls and memory of our own --- */

static void put_all(int fd, const void *data, size_t len)
{
    const char *p = data;
    while (len) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* what is missing is found missing at the other end */
        p += n;
        len -= (size_t)n;
    }
}

void crash_put2(int fd, enum crash_record type, const void *a, size_t a_len, const void *b,
                size_t b_len)
{
    const struct record r = { .type = (uint32_t)type, .len = (uint32_t)(a_len + b_len) };
    put_all(fd, &r, sizeof r);
    put_all(fd, a, a_len);
    put_all(fd, b, b_len);
}

void crash_put(int fd, enum crash_record type, const void *data, size_t len)
{
    crash_put2(fd, type, data, len, NULL, 0);
}

void crash_keep_fd(int fd, bool keep)
{
    if (fd >= 0)
        (void)fcntl(fd, F_SETFD, keep ? 0 : FD_CLOEXEC);
}

static uint64_t pc_of(const void *context)
{
    const ucontext_t *u = context;
#if defined(__x86_64__)
    uint64_t pc = (uint64_t)u->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    uint64_t pc = (uint64_t)u->uc_mcontext.pc;
#else
    uint64_t pc = 0;
    (void)u;
#endif
    return pc > armed.base ? pc - armed.base : 0;
}

static void save_head(int fd, const struct crash_fault *fault)
{
    const struct supervisor *sv = armed.sv;
    static struct head h; /* not on the small stack */
    memcpy(h.magic, magic, sizeof magic);
    h.size = sizeof h;
    memcpy(h.build_id, armed.build_id, sizeof h.build_id);
    h.fault = *fault;
    memcpy(h.boot_id, sv->logs.boot_id, sizeof h.boot_id);
    h.started_ms = sv->started_ms;
    h.started_wall_ms = sv->started_wall_ms;
    h.seq = sv->logs.seq;
    h.dropped = sv->logs.output.dropped;
    h.dropped_total = sv->logs.output.dropped_total;
    h.text = sv->logs.text;
    h.holding = sv->logs.holding;
    h.oom_count = sv->groups.oom_count;
    h.oom_kills = sv->groups.oom_kills;
    memcpy(h.config_error, sv->config_error, sizeof h.config_error);
    h.boot_helper = sv->boot_helper.child.pid;
    h.watch_helper = sv->watch_helper.child.pid;
    h.config_helper = sv->config_helper.child.pid;
    h.reaped = sv->reaper.reaped;
    h.original_mask = sv->original_mask;
    memcpy(h.runtime_dir, sv->runtime_dir, sizeof h.runtime_dir);
    memcpy(h.state_dir, sv->state_dir, sizeof h.state_dir);
    h.listener_fd = sv->control.listener.fd;
    h.notify_fd = sv->notify.fd;
    h.abstract_fd = sv->notify_abstract.fd;
    h.phase = sv->phase;
    h.started_up = sv->started_up;
    memcpy(h.hold, sv->hold, sizeof h.hold);
    memcpy(h.given, sv->secrets.given, sizeof h.given);
    h.stop = sv->stop;
    crash_put(fd, CRASH_HEAD, &h, sizeof h);
}

/* What may be broken comes last: lists and memory from the heap. */
static void save(int fd)
{
    const struct supervisor *sv = armed.sv;
    crash_keep_fd(sv->control.listener.fd, true);
    crash_keep_fd(sv->notify.fd, true);
    crash_keep_fd(sv->notify_abstract.fd, true);
    for (uint32_t i = 0; i < SECRET_STORE_MAX; i++)
        if (sv->secrets.values[i])
            crash_put2(fd, CRASH_SECRET, &i, sizeof i, sv->secrets.values[i],
                       strlen(sv->secrets.values[i]));
    for (uint32_t i = 0; i < SECRET_STORE_MAX; i++)
        if (sv->secrets.files[i])
            crash_put2(fd, CRASH_SECRET_FILE, &i, sizeof i, sv->secrets.files[i],
                       strlen(sv->secrets.files[i]));
    if (sv->plan) {
        crash_put(fd, CRASH_PLAN, sv->plan->map, sv->plan->size);
        crash_put(fd, CRASH_VOLUMES, sv->volumes, sizeof sv->volumes);
    }
    /* Before the services, whose unfinished lines come behind it. */
    if (sv->logs.output.pending.len)
        crash_put(fd, CRASH_OUTPUT, sv->logs.output.pending.data, sv->logs.output.pending.len);
    if (sv->logs.holding) {
        crash_put(fd, CRASH_HELD_JSON, sv->logs.held_json.data, sv->logs.held_json.len);
        crash_put(fd, CRASH_HELD_TEXT, sv->logs.held_text.data, sv->logs.held_text.len);
    }
    if (sv->plan && sv->phase != PHASE_BOOT) /* they are made anew then */
        services_save(sv, fd);
    crash_put(fd, CRASH_END, NULL, 0);
}

static void put_variable(int fd)
{
    static char text[sizeof ADOPT_VARIABLE + 12] = ADOPT_VARIABLE "=";
    char digits[12];
    size_t n = 0, at = sizeof ADOPT_VARIABLE;
    do
        digits[n++] = (char)('0' + fd % 10);
    while ((fd /= 10));
    while (n)
        text[at++] = digits[--n];
    text[at] = '\0';
    armed.envp[0] = text;
}

static void become_fresh(int fd)
{
    static char name[] = "codev-init";
    char *argv[] = { name, NULL };
    (void)fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
    put_variable(fd);
    (void)syscall(SYS_execveat, armed.exe_fd, "", argv, armed.envp, AT_EMPTY_PATH);
    termination_log("codev-init: PID 1 faulted and could not run itself again");
}

/* A real fault, or abort(), or somebody outside the pod who tests this. From inside, anybody of our
 * uid could end the pod with two signals else. */
static bool is_ours(const siginfo_t *info)
{
    return info->si_code > 0 || info->si_pid == armed.pid || info->si_pid == 0 || armed.pid != 1;
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
    if (getpid() != armed.pid) { /* a guard or helper: a fork of ours, which dies of it */
        struct sigaction sa = { .sa_handler = SIG_DFL };
        (void)sigaction(signal, &sa, NULL);
        if (info->si_code <= 0)
            (void)kill(getpid(), signal); /* libc may still take us for PID 1: clone3 */
        return;
    }
    if (!is_ours(info)) {
        armed.strange_signal = signal;
        armed.stranger = info->si_pid;
        return;
    }
    if (armed.nesting++ == 0) {
        uint64_t now = clock_mono_ms();
        bool again = armed.last_ms && now - armed.last_ms < CRASH_WINDOW_MS;
        const struct crash_fault fault = {
            .signal = signal,
            .code = info->si_code,
            .address = info->si_code > 0 ? (uint64_t)(uintptr_t)info->si_addr : 0,
            .pc = pc_of(context),
            .at_ms = now,
            .count = armed.adopting ? UINT32_MAX : (again ? armed.count : 0) + 1,
        };
        armed.state_fd = memfd_create("state", MFD_ALLOW_SEALING);
        save_head(armed.state_fd, &fault);
        if (!armed.adopting)
            save(armed.state_fd);
    }
    if (armed.nesting < 3 && armed.state_fd >= 0)
        become_fresh(armed.state_fd);
    _exit(128 + signal);
}

/* --- before --- */

/* The linker's name for the program's first byte; a static program has no header that says it. */
extern const char __ehdr_start __attribute__((visibility("hidden")));

/* Where the program lies in memory, and which build of it this is. */
static void find_image(void)
{
    uintptr_t headers = getauxval(AT_PHDR);
    const ElfW(Phdr) *p = (const ElfW(Phdr) *)headers; /* NOLINT: the kernel's word for it */
    size_t n = getauxval(AT_PHNUM);
    for (size_t i = 0; p && i < n; i++)
        if (p[i].p_type == PT_LOAD && p[i].p_offset == 0)
            armed.base = (uintptr_t)&__ehdr_start - p[i].p_vaddr;
    for (size_t i = 0; p && i < n; i++) {
        if (p[i].p_type != PT_NOTE)
            continue;
        const char *at = (const char *)(armed.base + p[i].p_vaddr), *end = at + p[i].p_memsz;
        while ((size_t)(end - at) >= sizeof(ElfW(Nhdr))) {
            ElfW(Nhdr) note;
            memcpy(&note, at, sizeof note);
            size_t name = (note.n_namesz + 3U) & ~3U, desc = (note.n_descsz + 3U) & ~3U;
            if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
                memcmp(at + sizeof note, "GNU", 4) == 0)
                memcpy(armed.build_id, at + sizeof note + name,
                       note.n_descsz < BUILD_ID_MAX ? note.n_descsz : BUILD_ID_MAX);
            if ((size_t)(end - at) - sizeof note < name + desc)
                break;
            at += sizeof note + name + desc;
        }
    }
}

/* The variables as the kernel gave them: they lie below the stack's begin, where nothing of ours
 * writes, and the secrets among them are wiped in place. */
static void keep_environment(void)
{
    size_t n = 0;
    while (environ && environ[n])
        n++;
    armed.envp = calloc(n + 2, sizeof *armed.envp);
    for (size_t i = 0; armed.envp && i < n; i++)
        armed.envp[i + 1] = environ[i];
}

void crash_arm(struct supervisor *sv, const struct crash_fault *last)
{
    static char stack[STACK_SIZE];
    stack_t alternate = { .ss_sp = stack, .ss_size = sizeof stack };
    struct sigaction sa = { .sa_sigaction = on_fault,
                            .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
    sigset_t faults;
    armed.sv = sv;
    armed.pid = getpid();
    armed.count = last ? last->count : 0;
    armed.last_ms = last ? last->at_ms : 0;
    armed.adopting = last != NULL;
    armed.exe_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    find_image();
    keep_environment();
    if (!armed.envp || armed.exe_fd < 0 || sigaltstack(&alternate, NULL) < 0)
        return; /* a fault is the end then */
    (void)sigemptyset(&faults);
    for (size_t i = 0; i < ARRAY_SIZE(fault_signals); i++) {
        (void)sigaction(fault_signals[i], &sa, NULL);
        (void)sigaddset(&faults, fault_signals[i]);
    }
    (void)sigprocmask(SIG_UNBLOCK, &faults, NULL);
}

void crash_report_strangers(struct supervisor *sv)
{
    int pid = armed.stranger;
    if (!pid)
        return;
    armed.stranger = 0;
    say(sv, LOG_LEVEL_WARN, "process %d sent %s to PID 1: no fault of its own, ignored", pid,
        signal_name(armed.strange_signal));
}

/* --- after --- */

void crash_text(const struct crash_fault *f, char out[CRASH_TEXT])
{
    char id[2 * BUILD_ID_MAX + 1] = "";
    for (size_t i = 0; i < BUILD_ID_MAX; i++)
        (void)snprintf(id + 2 * i, 3, "%02x", armed.build_id[i]);
    if (f->code > 0)
        (void)snprintf(out, CRASH_TEXT, "%s at address 0x%llx, program offset 0x%llx, build %s",
                       signal_name(f->signal), (unsigned long long)f->address,
                       (unsigned long long)f->pc, id);
    else
        (void)snprintf(out, CRASH_TEXT, "%s that was sent, build %s", signal_name(f->signal), id);
}

/* One record from `*at` on. False at the end of what is whole. */
static bool next_record(const char **at, const char *end, struct record *r, const char **data)
{
    if ((size_t)(end - *at) < sizeof *r)
        return false;
    memcpy(r, *at, sizeof *r);
    if ((size_t)(end - *at) - sizeof *r < r->len)
        return false;
    *data = *at + sizeof *r;
    *at = *data + r->len;
    return true;
}

static const struct head *head_of(const char *map, size_t size)
{
    struct record r;
    const char *data, *at = map;
    static struct head h;
    if (!next_record(&at, map + size, &r, &data) || r.type != CRASH_HEAD || r.len != sizeof h)
        return NULL;
    memcpy(&h, data, sizeof h);
    bool same = memcmp(h.magic, magic, sizeof magic) == 0 && h.size == sizeof h &&
                memcmp(h.build_id, armed.build_id, sizeof h.build_id) == 0;
    return same ? &h : NULL;
}

static const char *map_state(int fd, size_t *ret_size)
{
    struct stat st;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || !(seals & F_SEAL_WRITE) || fstat(fd, &st) < 0 || st.st_size <= 0 ||
        (size_t)st.st_size > STATE_MAX)
        return NULL;
    void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    *ret_size = (size_t)st.st_size;
    return map == MAP_FAILED ? NULL : map;
}

int crash_inherited(struct crash_fault *ret)
{
    const char *text = getenv(ADOPT_VARIABLE);
    uint64_t n = 0;
    size_t size = 0;
    bool number = text && parse_u64(text, 3, 1 << 20, &n) == 0;
    environ_wipe(ADOPT_VARIABLE);
    if (!number)
        return -1;
    int fd = (int)n;
    find_image();
    const char *map = map_state(fd, &size);
    const struct head *h = map ? head_of(map, size) : NULL;
    if (h) {
        *ret = h->fault;
        crash_keep_fd(fd, false);
    }
    if (map)
        (void)munmap((void *)(uintptr_t)map, size);
    if (!h)
        (void)close(fd);
    return h ? fd : -1;
}

static void adopt_head(struct supervisor *sv, const struct head *h)
{
    memcpy(sv->logs.boot_id, h->boot_id, sizeof sv->logs.boot_id);
    sv->started_ms = h->started_ms;
    sv->started_wall_ms = h->started_wall_ms;
    sv->logs.seq = h->seq;
    sv->logs.output.dropped = h->dropped;
    sv->logs.output.dropped_total = h->dropped_total;
    sv->logs.text = h->text;
    if (h->holding)
        logs_hold(&sv->logs);
    groups_adopt(sv, h->oom_count, h->oom_kills);
    memcpy(sv->config_error, h->config_error, sizeof sv->config_error);
    helper_adopt(&sv->boot_helper, h->boot_helper);
    helper_adopt(&sv->watch_helper, h->watch_helper);
    helper_adopt(&sv->config_helper, h->config_helper);
    sv->reaper.reaped = h->reaped;
    sv->original_mask = h->original_mask;
    memcpy(sv->runtime_dir, h->runtime_dir, sizeof sv->runtime_dir);
    memcpy(sv->state_dir, h->state_dir, sizeof sv->state_dir);
    sv->phase = h->phase;
    sv->started_up = h->started_up;
    memcpy(sv->hold, h->hold, sizeof sv->hold);
    memcpy(sv->secrets.given, h->given, sizeof sv->secrets.given);
    control_adopt(&sv->control, h->listener_fd);
    notify_adopt(sv, h->notify_fd, h->abstract_fd);
}

static int adopt_plan(struct supervisor *sv, const char *data, size_t len)
{
    _cleanup_fd_ int fd = memfd_create("plan", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct error e = ERROR_INIT;
    int r = fd < 0 ? -errno : fd_write_all(fd, data, len);
    struct plan_block *plan = r < 0 ? NULL : plan_block_map(fd, &e);
    if (!plan)
        return r < 0 ? r : e.code;
    plan_adopt(sv, plan);
    return 0;
}

/* Its variable was wiped in the strings that this image started with, too. */
static void adopt_secret_file(struct supervisor *sv, const char *data, size_t len)
{
    uint32_t row;
    if (len < sizeof row)
        return;
    memcpy(&row, data, sizeof row);
    if (row < secret_count() && !sv->secrets.files[row])
        sv->secrets.files[row] = strndup(data + sizeof row, len - sizeof row);
}

static void adopt_secret(struct supervisor *sv, const char *data, size_t len)
{
    uint32_t row;
    if (len < sizeof row)
        return;
    memcpy(&row, data, sizeof row);
    if (row >= secret_count())
        return;
    _cleanup_free_ char *value = strndup(data + sizeof row, len - sizeof row);
    if (!value)
        return;
    (void)secret_store_set(&sv->secrets, secret_table[row].name, value);
    (void)mask_add(&sv->logs.mask, value);
    explicit_bzero(value, strlen(value));
}

static int adopt_record(struct supervisor *sv, const struct record *r, const char *data)
{
    switch ((enum crash_record)r->type) {
    case CRASH_SECRET:
        adopt_secret(sv, data, r->len);
        return 0;
    case CRASH_SECRET_FILE:
        adopt_secret_file(sv, data, r->len);
        return 0;
    case CRASH_PLAN:
        return adopt_plan(sv, data, r->len);
    case CRASH_VOLUMES:
        if (r->len == sizeof sv->volumes)
            memcpy(sv->volumes, data, sizeof sv->volumes);
        return 0;
    case CRASH_SERVICE:
        return service_adopt(sv, data, r->len);
    case CRASH_NOTE:
        service_adopt_note(data, r->len);
        return 0;
    case CRASH_LINE:
        service_adopt_line(data, r->len);
        return 0;
    case CRASH_OUTPUT:
        output_line(&sv->logs.output, data, r->len);
        return 0;
    case CRASH_HELD_JSON:
        (void)buf_append(&sv->logs.held_json, data, r->len);
        return 0;
    case CRASH_HELD_TEXT:
        (void)buf_append(&sv->logs.held_text, data, r->len);
        return 0;
    case CRASH_HEAD:
    case CRASH_END:
    case CRASH_RECORD_MAX:
    default:
        return 0;
    }
}

/* 0 when all was there, to the end; what could not be taken over may be missing yet. */
static int adopt_records(struct supervisor *sv, const char *at, const char *end)
{
    struct record r;
    const char *data;
    int result = 0;
    while (next_record(&at, end, &r, &data)) {
        int e = adopt_record(sv, &r, data);
        if (e == -EBADMSG) /* the rest would only be of use with more memory: done without */
            result = e;
        if (r.type == CRASH_END)
            return result;
    }
    return -ENODATA;
}

/* Nothing more can be done: what runs dies with us. */
static void end_now(struct supervisor *sv, const struct crash_fault *fault, const char *reason)
{
    sv->stop.status = 128 + fault->signal;
    say(sv, LOG_LEVEL_ERROR, "%s", reason);
    termination_log(reason);
    sv->loop.stop = true;
}

static void go_on(struct supervisor *sv, const struct head *h, const char *reason)
{
    if (h->phase == PHASE_STOPPING)
        stop_resume(sv, &h->stop);
    reaper_collect(&sv->reaper);
    if (h->phase != PHASE_STOPPING && !sv->plan) {
        sv->phase = PHASE_BOOT;
        boot_begin(sv); /* nothing runs: from the start, with what is known */
    } else if (sv->phase == PHASE_BOOT) {
        boot_begin(sv);
    } else {
        services_adopted(sv);
        volumes_watch_begin(sv);
    }
    if (h->fault.count > 1)
        stop_begin(sv, 128 + h->fault.signal, reason);
}

void crash_adopt(struct supervisor *sv, int fd, const struct crash_fault *fault)
{
    char what[CRASH_TEXT], reason[CRASH_TEXT + 128];
    size_t size = 0;
    const char *map = map_state(fd, &size);
    const struct head *h = map ? head_of(map, size) : NULL;
    crash_text(fault, what);
    (void)prctl(PR_SET_NAME, "codev-init", 0, 0, 0);
    int r = -ENODATA;
    if (h) {
        adopt_head(sv, h);
        r = fault->count > 2 ? 0 : adopt_records(sv, map, map + size);
    }
    if (map)
        (void)munmap((void *)(uintptr_t)map, size);
    (void)close(fd);
    const char *then = r < 0               ? "its state could not be taken over: the pod ends"
                       : fault->count > 2  ? "not for the first time: the pod ends at once"
                       : fault->count == 2 ? "for the second time within a minute: the pod stops"
                                           : "the services go on";
    (void)snprintf(reason, sizeof reason, "PID 1 faulted: %s; %s", what, then);
    if (r < 0 || fault->count > 2) {
        end_now(sv, fault, reason);
        return;
    }
    say(sv, LOG_LEVEL_ERROR, "%s", reason);
    if (fault->count == 1)
        termination_log(reason);
    go_on(sv, h, reason);
    armed.adopting = false;
}
