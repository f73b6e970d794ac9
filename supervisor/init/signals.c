#include "supervisor/init/signals.h"

#include <signal.h>
#include <stdio.h>

#include "base/core/cleanup.h"

#define ROW(s) [SIG##s] = "SIG" #s

static const char *const names[] = {
    ROW(HUP),  ROW(INT),  ROW(QUIT), ROW(ILL),  ROW(TRAP), ROW(ABRT),   ROW(BUS),   ROW(FPE),
    ROW(KILL), ROW(USR1), ROW(SEGV), ROW(USR2), ROW(PIPE), ROW(ALRM),   ROW(TERM),  ROW(STKFLT),
    ROW(CHLD), ROW(CONT), ROW(STOP), ROW(TSTP), ROW(TTIN), ROW(TTOU),   ROW(URG),   ROW(XCPU),
    ROW(XFSZ), ROW(PROF), ROW(IO),   ROW(PWR),  ROW(SYS),  ROW(VTALRM), ROW(WINCH),
};

const char *signal_name(int signal)
{
    static char other[24];
    if (signal > 0 && (size_t)signal < ARRAY_SIZE(names) && names[signal])
        return names[signal];
    (void)snprintf(other, sizeof other, "signal %d", signal);
    return other;
}
