// Trace ids in the form of W3C Trace Context, from OpenCode's own ids: the gateway derives the same
// (base/trace/derive.h), on either way and after any restart.
import { createHash } from "node:crypto";

/** Of a permission request or question, or of the turn that this prompt began. */
export function traceOf(id: string): string {
  return createHash("sha256").update(id).digest("hex").slice(0, 32);
}

export const isTraceId = (value: unknown): value is string =>
  typeof value === "string" && /^[0-9a-f]{32}$/.test(value) && !/^0+$/.test(value);
