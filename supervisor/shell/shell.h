/* codev-shell: what stands between OpenCode and the programs that it starts. It is OpenCode's
 * SHELL, and the fence (supervisor/fence) sends all other programs by it too: codev-shell --exec
 * PROGRAM ARGV... It takes what is ours out of the environment, closes what was left open, enters
 * one more Landlock domain, and becomes the program. libc only; linked statically, so that
 * LD_PRELOAD and its kind do not reach it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Variables CODEV_RESTORE_NAME=VALUE say what NAME was before PID 1 steered OpenCode: VALUE is put
 * back, an empty one means that there was none. */
#define SHELL_RESTORE "CODEV_RESTORE_"

/* Is this variable ("K=V") ours, or a secret, and not for what the agent runs? */
bool shell_is_ours(const char *variable);

/* The environment of the program: without ours, without what repeats the value of a secret, and
 * with what was steered put back. NULL-terminated, malloc'ed; its strings are those of `vars`.
 * NULL: out of memory. */
char **shell_clean(char *const *vars);

/* The value of `name`, or NULL. */
const char *shell_value(char *const *vars, const char *name);

/* The person's own shell: their SHELL when it can be run and is not `self` (the path of this
 * program), else bash, else sh. */
const char *shell_choose(char *const *vars, const char *self);

/* The sandbox that PID 1 hands to OpenCode for its commands (profile `commands`), a file that
 * CODEV_SANDBOX_COMMANDS names; without that variable, shell_enter_domain(). 0 or 1 as there;
 * -errno: the program must not be run. */
int shell_enter(char *const *vars);

/* One more Landlock domain: what is in it cannot look into (ptrace, /proc/PID/environ, mem, fd)
 * what is outside of it, OpenCode first of all. Files and signals stay as the outer domain has
 * them: each command has a domain of its own, and must be able to end what an earlier one left
 * running. 0; 1 when the kernel has no Landlock; -errno. */
int shell_enter_domain(void);
