// Events that the gateway has not acknowledged. Bounded: what people can do without goes first,
// what somebody waits for never goes.
import type { EventFrame, EventType } from "./types.js";

/** Which goes first when there is too much: the lowest; KEEP never. */
const KEEP = Number.POSITIVE_INFINITY;
const RANK: Record<EventType, number> = {
  "message.part.streamed": 0,
  usage: 1,
  "tool.executed": 2,
  "agent.milestone": 3,
  "prompt.changed": 3,
  "session.updated": 4,
  "session.created": 5,
  "session.deleted": 5,
  "session.active": 5,
  "session.idle": 5,
  "session.error": 5,
  "permission.asked": KEEP,
  "permission.replied": KEEP,
  "question.asked": KEEP,
  "question.replied": KEEP,
  "state.sync": KEEP,
};
const RANKS = 6;

/** Of events with the same key only the newest matters. */
function keyOf(e: EventFrame): string | undefined {
  if (e.type === "message.part.streamed") return `part ${e.part_id}`;
  if (e.type === "session.updated") return `session ${e.session_id}`;
  if (e.type === "state.sync") return `sync ${e.directory}`;
  return undefined;
}

export interface Unacked {
  seq: number;
  text: string;
}

interface Entry extends Unacked {
  bytes: number;
  rank: number;
  key: string | undefined;
}

export interface BufferLimits {
  events: number;
  bytes: number;
}

export class UnackedBuffer {
  readonly #entries = new Map<number, Entry>(); // by seq, which is the order of insertion
  readonly #byKey = new Map<string, number>();
  readonly #byRank: Set<number>[] = Array.from({ length: RANKS }, () => new Set());
  #bytes = 0;
  dropped = 0;

  constructor(readonly limits: BufferLimits = { events: 2000, bytes: 8 * 1024 * 1024 }) {}

  get size(): number {
    return this.#entries.size;
  }
  get bytes(): number {
    return this.#bytes;
  }

  /** `seq` must be higher than all before. `text` is the frame as it goes over the wire. */
  add(event: EventFrame, text: string): void {
    const key = keyOf(event);
    if (key !== undefined) {
      const older = this.#byKey.get(key);
      if (older !== undefined) this.#remove(older);
      this.#byKey.set(key, event.seq);
    }
    const entry: Entry = { seq: event.seq, text, bytes: Buffer.byteLength(text), rank: RANK[event.type], key };
    this.#entries.set(entry.seq, entry);
    this.#byRank[entry.rank]?.add(entry.seq);
    this.#bytes += entry.bytes;
    while (this.#entries.size > this.limits.events || this.#bytes > this.limits.bytes) {
      if (!this.#dropOne()) break;
    }
  }

  /** The gateway has all up to `seq`. */
  ack(seq: number): void {
    for (const known of this.#entries.keys()) {
      if (known > seq) break;
      this.#remove(known);
    }
  }

  /** What is kept with a number above `seq`, in order. */
  *after(seq: number): Generator<Unacked> {
    for (const entry of this.#entries.values()) if (entry.seq > seq) yield entry;
  }

  #dropOne(): boolean {
    for (const seqs of this.#byRank) {
      const oldest = seqs.values().next();
      if (oldest.done) continue;
      this.#remove(oldest.value);
      this.dropped++;
      return true;
    }
    return false;
  }

  #remove(seq: number): void {
    const entry = this.#entries.get(seq);
    if (!entry) return;
    this.#entries.delete(seq);
    this.#byRank[entry.rank]?.delete(seq);
    if (entry.key !== undefined && this.#byKey.get(entry.key) === seq) this.#byKey.delete(entry.key);
    this.#bytes -= entry.bytes;
  }
}
