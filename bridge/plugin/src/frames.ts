// Frames as text, within the limit of the protocol.
import type { EventFrame } from "./types.js";
import { cut } from "./read.js";

export const FRAME_MAX = 1024 * 1024;

const fits = (s: string): boolean => s.length * 3 <= FRAME_MAX || Buffer.byteLength(s) <= FRAME_MAX;

/** The event as text; a stream part and a list are cut until they fit. Undefined if nothing helps. */
export function encodeEvent(event: EventFrame): string | undefined {
  for (let frame = event; ; ) {
    const encoded = JSON.stringify(frame);
    if (fits(encoded)) return encoded;
    const smaller = shrink(frame);
    if (!smaller) return undefined;
    frame = smaller;
  }
}

function shrink(event: EventFrame): EventFrame | undefined {
  if (event.type === "message.part.streamed" && event.content.length > 0)
    return { ...event, content: cut(event.content, Math.floor(event.content.length / 2)), truncated: true };
  if (event.type === "permission.asked" && !isEmpty(event.permission.metadata))
    return { ...event, permission: { ...event.permission, metadata: {}, truncated: true } };
  if (event.type === "state.sync") {
    if (event.sessions.length > 0) return { ...event, sessions: event.sessions.slice(0, event.sessions.length >> 1) };
    if (event.permissions.some((p) => !isEmpty(p.permission.metadata)))
      return {
        ...event,
        permissions: event.permissions.map((p) => ({
          ...p,
          permission: { ...p.permission, metadata: {}, truncated: true },
        })),
      };
    if (event.permissions.length > 0 || event.questions.length > 0 || event.busy.length > 0)
      return {
        ...event,
        complete: false,
        permissions: half(event.permissions),
        questions: half(event.questions),
        busy: half(event.busy),
      };
  }
  return undefined;
}

const half = <T>(a: T[]): T[] => a.slice(0, a.length >> 1);
const isEmpty = (o: object): boolean => Object.keys(o).length === 0;

/** An answer as text; undefined when it is over the limit. */
export function encodeAnswer(answer: object): string | undefined {
  const encoded = JSON.stringify(answer);
  return fits(encoded) ? encoded : undefined;
}
