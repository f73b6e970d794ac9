// The plugin's own log file. OpenCode's terminal belongs to OpenCode: nothing goes there.
import { closeSync, constants, fstatSync, openSync, renameSync, writeSync } from "node:fs";

const MAX_BYTES = 1024 * 1024; // then it becomes <path>.1

export class Log {
  /** Lines that are about nothing else have this trace. */
  constructor(
    readonly path: string,
    readonly trace = "",
  ) {}

  /** One line of JSON; never throws. `/tmp` is everybody's: a symbolic link is not followed. */
  write(message: string, level: "info" | "warn" = "info", trace = this.trace): void {
    try {
      const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | constants.O_NOFOLLOW;
      const fd = openSync(this.path, flags, 0o600);
      let full = false;
      try {
        const msg = message.replace(/[\u0000-\u001f\u007f]+/g, " ").slice(0, 2000);
        const line = { ts: new Date().toISOString(), level, msg, ...(trace && { trace_id: trace }) };
        writeSync(fd, `${JSON.stringify(line)}\n`);
        full = fstatSync(fd).size > MAX_BYTES;
      } finally {
        closeSync(fd);
      }
      if (full) renameSync(this.path, `${this.path}.1`);
    } catch {
      // no log is no reason to fail
    }
  }
}
