// Careful reading of values that others wrote: OpenCode's events and answers, the gateway's frames.
import type { Json } from "./types.js";

export const isObject = (v: unknown): v is Json =>
  typeof v === "object" && v !== null && !Array.isArray(v);

export const object = (v: unknown): Json => (isObject(v) ? v : {});
export const text = (v: unknown): string => (typeof v === "string" ? v : "");
export const list = (v: unknown): unknown[] => (Array.isArray(v) ? v : []);
export const texts = (v: unknown): string[] => list(v).filter((x): x is string => typeof x === "string");
export const number = (v: unknown): number => (typeof v === "number" && Number.isFinite(v) ? v : 0);
/** Not negative, whole. */
export const count = (v: unknown): number => Math.max(0, Math.trunc(number(v)));

/** At most `max` UTF-16 units, never half a surrogate pair. */
export function cut(s: string, max: number): string {
  if (s.length <= max) return s;
  const end = /[\uD800-\uDBFF]/.test(s.charAt(max - 1)) ? max - 1 : max;
  return s.slice(0, end);
}

/** The first line, at most `max` units, with an ellipsis where something is left out. */
export function oneLine(s: string, max: number): string {
  const line = s.trim().split(/[\r\n]/, 1)[0] ?? "";
  const whole = line.length === s.trim().length && line.length <= max;
  return whole ? line : `${cut(line, max - 1)}…`;
}

export const errorText = (e: unknown): string => {
  if (e instanceof Error) return e.message || e.name;
  if (isObject(e)) return text(object(e.data).message) || text(e.message) || text(e.name) || "error";
  return String(e);
};
