/* A sandbox: what a program may do, compiled to one flat block, and its application to the process
 * that is about to become the program. Made by supervisor/profile, carried by the plan; a copy may
 * be handed to a service as a file, so that it can put a program of its own into it.
 *
 * Everything here needs libc only, allocates nothing and opens paths in the calling process: it is
 * meant for the child between fork and exec. PID 1 itself never looks at a path of a sandbox.
 *
 * Means: no_new_privs, capabilities, seccomp (a list of denied calls that get an errno, never a
 * kill), Landlock (files, TCP ports, device ioctls, signals, abstract sockets), resource limits.
 * What the running kernel lacks is told in the report, part by part. */
#pragma once

#include "base/core/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SANDBOX_MAGIC   "codevsbx"
#define SANDBOX_VERSION 1
#define SANDBOX_MAX     ((size_t)256 << 10) /* bytes of a block */
#define SANDBOX_RULES   512                 /* most of each list */
#define SANDBOX_INSNS   4096                /* the kernel's limit of a filter */

/* Where a path of a rule begins. */
enum sandbox_root {
    SANDBOX_ROOT_NONE,    /* absolute */
    SANDBOX_ROOT_RUNTIME, /* the runtime folder, known when PID 1 runs */
    SANDBOX_ROOT_STATE,   /* our own durable state, the same; none: the rule is passed over */
    SANDBOX_ROOT_CWD,     /* the service's working folder; "/" is passed over */
    SANDBOX_ROOT_MAX,
};

enum sandbox_access {
    SANDBOX_READ,   /* files and folders */
    SANDBOX_EXEC,   /* the same, and run programs */
    SANDBOX_WRITE,  /* read, write, make, remove, rename, use devices */
    SANDBOX_WORK,   /* the same, and run programs */
    SANDBOX_HIDDEN, /* an exception: no wider rule reaches it */
    SANDBOX_FIXED,  /* an exception for rules that write: those that only read do reach it */
    SANDBOX_MAKE,   /* no rule: make the folder beforehand (0755), where it can be */
    SANDBOX_ACCESS_MAX,
};

struct sandbox_rule {
    uint32_t access; /* enum sandbox_access */
    uint32_t root;   /* enum sandbox_root */
    uint32_t path;   /* a string; with a root it is what follows, "" for the root itself */
};

struct sandbox_limit {
    uint32_t resource; /* RLIMIT_… */
    uint32_t reserved;
    uint64_t value; /* soft and hard; a hard limit that is lower already stays */
};

enum sandbox_flag {
    SANDBOX_FILES_RULED = 1 << 0, /* without it files are left alone */
    SANDBOX_CONNECT_RULED = 1 << 1,
    SANDBOX_BIND_RULED = 1 << 2,
    SANDBOX_SIGNALS_OWN = 1 << 3,
    SANDBOX_ABSTRACT_OWN = 1 << 4,
    SANDBOX_FLAGS_ALL = (1 << 5) - 1,
};

enum sandbox_port_use { SANDBOX_CONNECT = 1, SANDBOX_BIND = 2 };
struct sandbox_port {
    uint32_t port;
    uint32_t use; /* enum sandbox_port_use */
};

/* The same as the kernel's struct sock_filter. */
struct sandbox_insn {
    uint16_t code;
    uint8_t jt, jf;
    uint32_t k;
};

struct sandbox_slice {
    uint32_t off, count; /* bytes from the block's begin; elements */
};

struct sandbox_header {
    char magic[8];
    uint32_t version;
    uint32_t size; /* of the block, a multiple of 8 */
    uint32_t header_size;
    uint32_t checksum;  /* FNV-1a of all that follows the header */
    uint32_t flags;     /* enum sandbox_flag */
    uint32_t name;      /* a string */
    uint64_t keep_caps; /* bit n: capability n */
    struct sandbox_slice limits, filter, rules, ports;
    struct sandbox_slice scrub;   /* strings: environment names, "*" for any letters */
    struct sandbox_slice control; /* strings: commands of the control socket that it may use */
    struct sandbox_slice strings; /* bytes; the first is NUL, the last too */
};

/* A verified block; it stays the caller's and must stay alive. */
struct sandbox {
    const struct sandbox_header *header;
    const struct sandbox_limit *limits;
    const struct sandbox_insn *filter; /* header->filter.count 0: no seccomp */
    const struct sandbox_rule *rules;
    const struct sandbox_port *ports;
    const uint32_t *scrub, *control;
    const char *strings;
};

/* Verifies everything: after it no accessor leaves the block. `block` must be 8-byte aligned. 0, or
 * -EBADMSG with the reason. The filter's meaning is for the kernel to verify. */
int sandbox_open(struct sandbox *ret, const void *block, size_t size, struct error *e);
static inline const char *sandbox_string(const struct sandbox *s, uint32_t at)
{
    return s->strings + at;
}
const char *sandbox_name(const struct sandbox *s);

/* May a program in it use this command of the control socket? */
bool sandbox_allows_command(const struct sandbox *s, const char *command);
/* Is this variable ("K" or "K=V") to be taken out of its environment? */
bool sandbox_scrubs(const struct sandbox *s, const char *variable);

/* --- what the kernel has --- */

struct sandbox_kernel {
    int landlock_abi;   /* 0: none */
    int landlock_error; /* errno, when none */
    bool seccomp;
};
/* Asks the kernel; a handful of system calls that cannot block. */
void sandbox_kernel_probe(struct sandbox_kernel *ret);

/* The means, as `status` names them. */
enum sandbox_part {
    SANDBOX_PART_PRIVILEGES,
    SANDBOX_PART_CAPABILITIES,
    SANDBOX_PART_LIMITS,
    SANDBOX_PART_SYSCALLS,
    SANDBOX_PART_FILES,
    SANDBOX_PART_TRUNCATE,
    SANDBOX_PART_PORTS,
    SANDBOX_PART_DEVICES,
    SANDBOX_PART_SIGNALS,
    SANDBOX_PART_ABSTRACT,
    SANDBOX_PART_MAX,
};
extern const char *const sandbox_part_names[SANDBOX_PART_MAX];

enum sandbox_state {
    SANDBOX_OFF, /* the profile does not ask for it */
    SANDBOX_ON,
    SANDBOX_UNAVAILABLE, /* asked for, and not to be had here */
    SANDBOX_STATE_MAX,
};
extern const char *const sandbox_state_names[SANDBOX_STATE_MAX];

/* What stands around OpenCode beside its sandbox; supervisor/init/means.c. */
enum sandbox_means {
    SANDBOX_MEANS_FENCE,    /* codev-fence.so is loaded into it */
    SANDBOX_MEANS_COMMANDS, /* what it starts gets a sandbox inside its own */
    SANDBOX_MEANS_GUARD,    /* no module from elsewhere is loaded into it */
    SANDBOX_MEANS_ACCEPTED, /* it reads accepted copies of the configuration */
    SANDBOX_MEANS_PROJECT,  /* a project's configuration does not count */
    SANDBOX_MEANS_MAX,
};

struct sandbox_report {
    uint8_t state[SANDBOX_PART_MAX];  /* enum sandbox_state */
    uint8_t error[SANDBOX_PART_MAX];  /* errno of an unavailable one, 0: the kernel is too old */
    uint8_t means[SANDBOX_MEANS_MAX]; /* enum sandbox_state */
    uint16_t missing;                 /* rules whose path is not there: passed over */
    uint16_t rules;                   /* Landlock rules that were made */
};

/* What would be on and what unavailable on that kernel, without doing anything. */
void sandbox_foresee(const struct sandbox *s, const struct sandbox_kernel *k,
                     struct sandbox_report *ret);
/* The first unavailable part, or SANDBOX_PART_MAX. */
enum sandbox_part sandbox_first_unavailable(const struct sandbox_report *r);
/* For people, why a part is unavailable: "needs Landlock ABI 6 (Linux 6.12), this kernel has 3". */
void sandbox_why(enum sandbox_part part, uint8_t error, const struct sandbox_kernel *k, char *out,
                 size_t size);

/* --- application, in the child --- */

struct sandbox_where {
    const char *runtime, *state; /* "" or NULL: there is none */
};

/* First step, as soon as possible and before the user changes: the bounding set. Without
 * CAP_SETPCAP nothing is done, and nothing need be. 0 or -errno. */
int sandbox_limit_caps(const struct sandbox *s);

/* Second step, just before exec, in the working folder: all the rest. Fills the report; parts that
 * cannot be had are told there and are no error. 0; -errno when something failed that should have
 * worked, with its part in `*ret_part`: then the program must not be run. */
int sandbox_apply(const struct sandbox *s, const struct sandbox_where *where,
                  const struct sandbox_kernel *k, struct sandbox_report *report,
                  enum sandbox_part *ret_part);
