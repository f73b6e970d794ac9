/* What a sandboxed program may not ask of the kernel, and why. Everything that developer tools do
 * every day is left alone; what is here reaches for the machine, for other processes' memory, for a
 * namespace in which rights come back, or for kernel code with a long record of holes. */
#include "supervisor/profile/profile.h"

#include <errno.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/core/cleanup.h"

#ifndef CLONE_NEWTIME
#    define CLONE_NEWTIME 0x00000080
#endif
#define NEW_NAMESPACES                                                                             \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |  \
     CLONE_NEWNET)
#define PROTOCOL_MPTCP 262
#define PERSONAS       0x00060008 /* PER_LINUX32, UNAME26, ADDR_NO_RANDOMIZE */

#define ALWAYS(name, group_, reason_)                                                              \
    {                                                                                              \
        .call = (name), .number = -1, .error = EPERM, .group = (group_), .reason = (reason_)       \
    }
#define NEWER(name, number_, group_, reason_)                                                      \
    {                                                                                              \
        .call = (name), .number = (number_), .error = EPERM, .group = (group_),                    \
        .reason = (reason_)                                                                        \
    }
#define WHEN(name, when_, arg_, value_, group_, reason_)                                           \
    {                                                                                              \
        .call = (name), .number = -1, .error = EPERM, .when = (when_), .arg = (arg_),              \
        .value = (value_), .group = (group_), .reason = (reason_)                                  \
    }
#define FAMILY(number_)                                                                            \
    WHEN("socket", DENIED_EQUAL, 0, number_, "sockets", "a socket family nobody needs here")
#define MOUNTS "changes what files are where, and with it what Landlock rules mean"

const struct denied denied_table[] = {
    ALWAYS("mount", "mount", MOUNTS),
    ALWAYS("umount2", "mount", MOUNTS),
    ALWAYS("umount", "mount", MOUNTS),
    ALWAYS("pivot_root", "mount", MOUNTS),
    ALWAYS("move_mount", "mount", MOUNTS),
    ALWAYS("open_tree", "mount", MOUNTS),
    NEWER("open_tree_attr", 467, "mount", MOUNTS),
    ALWAYS("fsopen", "mount", MOUNTS),
    ALWAYS("fsconfig", "mount", MOUNTS),
    ALWAYS("fsmount", "mount", MOUNTS),
    ALWAYS("fspick", "mount", MOUNTS),
    ALWAYS("mount_setattr", "mount", MOUNTS),
    ALWAYS("chroot", "mount", "makes another root, in which paths mean other files"),

    WHEN("unshare", DENIED_FLAGS, 0, NEW_NAMESPACES | CLONE_NEWTIME, "namespaces",
         "a namespace of its own gives capabilities back"),
    WHEN("clone", DENIED_FLAGS, 0, NEW_NAMESPACES, "namespaces",
         "a namespace of its own gives capabilities back"),
    { .call = "clone3",
      .number = -1,
      .error = ENOSYS, /* so that libc falls back to clone, whose flags can be looked at */
      .group = "namespaces",
      .reason = "its flags lie in memory, where no filter can see them" },
    ALWAYS("setns", "namespaces", "enters the namespaces of another process"),

    ALWAYS("ptrace", "trace", "reads and steers other processes"),
    ALWAYS("process_vm_readv", "trace", "reads another process's memory"),
    ALWAYS("process_vm_writev", "trace", "writes another process's memory"),
    ALWAYS("process_madvise", "trace", "changes another process's memory"),
    ALWAYS("pidfd_getfd", "trace", "takes descriptors out of another process"),
    ALWAYS("kcmp", "trace", "tells about another process's kernel objects"),
    ALWAYS("perf_event_open", "trace", "watches other processes and the kernel"),
    ALWAYS("lookup_dcookie", "trace", "for profilers of the whole machine"),

    ALWAYS("bpf", "kernel", "runs code in the kernel"),
    ALWAYS("io_uring_setup", "kernel", "does system calls past this filter"),
    ALWAYS("io_uring_enter", "kernel", "does system calls past this filter"),
    ALWAYS("io_uring_register", "kernel", "does system calls past this filter"),
    ALWAYS("userfaultfd", "kernel", "stops the kernel in the middle of a copy: for exploits"),
    ALWAYS("add_key", "keys", "keyrings are shared by all containers of a user"),
    ALWAYS("request_key", "keys", "keyrings are shared by all containers of a user"),
    ALWAYS("keyctl", "keys", "keyrings are shared by all containers of a user"),
    ALWAYS("open_by_handle_at", "kernel", "opens files by number, past every folder's rule"),
    ALWAYS("name_to_handle_at", "kernel", "makes the numbers for open_by_handle_at"),
    ALWAYS("fanotify_init", "kernel", "watches or holds up other processes' file access"),

    ALWAYS("kexec_load", "machine", "starts another kernel"),
    ALWAYS("kexec_file_load", "machine", "starts another kernel"),
    ALWAYS("init_module", "machine", "loads code into the kernel"),
    ALWAYS("finit_module", "machine", "loads code into the kernel"),
    ALWAYS("delete_module", "machine", "unloads code of the kernel"),
    ALWAYS("create_module", "machine", "loads code into the kernel"),
    ALWAYS("query_module", "machine", "tells about code in the kernel"),
    ALWAYS("get_kernel_syms", "machine", "tells about code in the kernel"),
    ALWAYS("reboot", "machine", "restarts the machine; in a pod: ends it"),
    ALWAYS("swapon", "machine", "changes the machine's memory"),
    ALWAYS("swapoff", "machine", "changes the machine's memory"),
    ALWAYS("acct", "machine", "records all processes into a file"),
    ALWAYS("quotactl", "machine", "changes the quotas of a file system"),
    ALWAYS("quotactl_fd", "machine", "changes the quotas of a file system"),
    ALWAYS("nfsservctl", "machine", "steers the kernel's NFS server"),
    ALWAYS("syslog", "machine", "reads and clears the kernel's log, with addresses in it"),
    ALWAYS("vhangup", "machine", "takes the terminal away from everybody"),
    ALWAYS("iopl", "machine", "talks to hardware"),
    ALWAYS("ioperm", "machine", "talks to hardware"),
    ALWAYS("pciconfig_read", "machine", "talks to hardware"),
    ALWAYS("pciconfig_write", "machine", "talks to hardware"),
    ALWAYS("pciconfig_iobase", "machine", "talks to hardware"),
    ALWAYS("uselib", "machine", "an old way to load code"),
    ALWAYS("ustat", "machine", "an old call with a better successor"),
    ALWAYS("sysfs", "machine", "an old call with a better successor"),
    ALWAYS("_sysctl", "machine", "an old call with a better successor"),
    ALWAYS("vm86", "machine", "runs 16-bit code"),
    ALWAYS("vm86old", "machine", "runs 16-bit code"),
    ALWAYS("modify_ldt", "machine", "16-bit segments: only old exploits use them"),
    ALWAYS("mbind", "numa", "moves memory between a machine's nodes"),
    ALWAYS("set_mempolicy", "numa", "moves memory between a machine's nodes"),
    ALWAYS("migrate_pages", "numa", "moves another process's memory"),
    ALWAYS("move_pages", "numa", "moves another process's memory"),

    ALWAYS("settimeofday", "clock", "sets the machine's clock"),
    ALWAYS("stime", "clock", "sets the machine's clock"),
    ALWAYS("clock_settime", "clock", "sets the machine's clock"),
    ALWAYS("clock_settime64", "clock", "sets the machine's clock"),
    ALWAYS("clock_adjtime", "clock", "bends the machine's clock"),
    ALWAYS("clock_adjtime64", "clock", "bends the machine's clock"),
    WHEN("adjtimex", DENIED_ALWAYS, 0, 0, "clock", "bends the machine's clock"),

    WHEN("personality", DENIED_PERSONA, 0, PERSONAS, "personality",
         "old modes that weaken the protection of memory"),
    WHEN("ioctl", DENIED_EQUAL, 1, TIOCSTI, "terminal", "types into somebody else's terminal"),
    WHEN("ioctl", DENIED_EQUAL, 1, TIOCLINUX, "terminal", "pastes into somebody else's terminal"),

    FAMILY(AF_UNSPEC),
    FAMILY(3),
    FAMILY(4),
    FAMILY(5),
    FAMILY(6),
    FAMILY(7),
    FAMILY(8),
    FAMILY(9),
    FAMILY(11),
    FAMILY(12),
    FAMILY(13),
    FAMILY(14),
    FAMILY(15),
    WHEN("socket", DENIED_ABOVE, 0, AF_NETLINK, "sockets", "a socket family nobody needs here"),
    WHEN("socket", DENIED_NETLINK, 0, 0, "sockets", "talks to the kernel past NETLINK_ROUTE"),
    WHEN("socket", DENIED_EQUAL, 2, PROTOCOL_MPTCP, "mptcp",
         "MPTCP goes past Landlock's rules for TCP ports"),
};
const size_t denied_count = ARRAY_SIZE(denied_table);
