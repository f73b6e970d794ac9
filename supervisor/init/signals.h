/* Names of signals. */
#pragma once

/* "SIGTERM"; "signal 40" for one without a name (in a static buffer). */
const char *signal_name(int signal);
