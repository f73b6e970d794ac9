// How the bridge token reaches the plugin without being in any environment.
import { closeSync, fstatSync, readSync } from "node:fs";

/** A supervisor hands secrets over a pipe, as lines NAME=VALUE, whose write end it has closed. */
const HANDOVER = "CODEV_SECRETS_FD";
const TOKEN = "CODEV_BRIDGE_TOKEN";
const MAX_BYTES = 64 * 1024;

type Env = Record<string, string | undefined>;

/** Reads the pipe once, closes it and forgets its number; else takes the variable, and forgets it. */
export function takeToken(env: Env): string {
  const handed = parse(drain(env));
  const token = handed.get(TOKEN) ?? env[TOKEN] ?? "";
  delete env[TOKEN];
  return token.trim();
}

function drain(env: Env): string {
  const named = env[HANDOVER];
  delete env[HANDOVER];
  if (!named || !/^[0-9]{1,6}$/.test(named)) return "";
  const fd = Number(named);
  if (fd <= 2) return "";
  const parts: Buffer[] = [];
  try {
    if (!fstatSync(fd).isFIFO()) return ""; // the number means something else by now: not ours
    for (let total = 0; total < MAX_BYTES; ) {
      const part = Buffer.alloc(4096);
      const n = readSync(fd, part, 0, part.length, null);
      if (n <= 0) break;
      parts.push(part.subarray(0, n));
      total += n;
    }
  } catch {
    // a bad descriptor: go on with what there is
  }
  try {
    closeSync(fd);
  } catch {
    // it was closed
  }
  return Buffer.concat(parts).toString("utf8");
}

function parse(lines: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const line of lines.split("\n")) {
    const at = line.indexOf("=");
    if (at > 0) found.set(line.slice(0, at), line.slice(at + 1));
  }
  return found;
}
