// The plugin's own log file. OpenCode's terminal belongs to OpenCode: nothing goes there.
import { closeSync, constants, fstatSync, openSync, renameSync, writeSync } from "node:fs";

const MAX_BYTES = 1024 * 1024; // then it becomes <path>.1

export class Log {
  constructor(readonly path: string) {}

  /** One line with the time; never throws. `/tmp` is everybody's: a symbolic link is not followed. */
  write(message: string): void {
    try {
      const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | constants.O_NOFOLLOW;
      const fd = openSync(this.path, flags, 0o600);
      let full = false;
      try {
        const line = message.replace(/[\u0000-\u001f\u007f]+/g, " ").slice(0, 2000);
        writeSync(fd, `${new Date().toISOString()} ${line}\n`);
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
