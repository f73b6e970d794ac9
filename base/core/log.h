/* Log lines of the services (not of PID 1, which has its own). One JSON object a line on stderr,
 * {"level":…,"msg":…}, which PID 1 embeds into its own line; plain text when stderr is a terminal.
 * errno is preserved. Never pass a secret. */
#pragma once

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR, LOG_LEVEL_MAX };

/* `program` is put before text lines and must outlive all calls. Level from CODEV_LOG_LEVEL
 * (debug, info, warn, error), default info. */
void log_init(const char *program);

void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_info(...)  log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
