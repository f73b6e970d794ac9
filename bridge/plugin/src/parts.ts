// Text while it is written: OpenCode tells each word, the gateway wants the whole text now and then.
import { createHash } from "node:crypto";
import { LruMap } from "./lru.js";
import { cut } from "./read.js";

const INTERVAL_MS = 100;
/** Each so many characters more, another interval: a long text is sent whole each time. */
const INTERVAL_PER_CHARS = 16 * 1024;
const CONTENT_MAX = 700_000;
const PARTS_MAX = 200;
const FINISHED_MAX = 500;

export interface PartInfo {
  session_id: string;
  message_id: string;
  part_id: string;
  role: "user" | "assistant";
  kind: "text" | "reasoning";
}

export interface PartUpdate extends PartInfo {
  content: string;
  final: boolean;
  truncated?: boolean;
}

interface Part {
  info: PartInfo;
  content: string;
  sentLength: number;
  timer: ReturnType<typeof setTimeout> | undefined;
}

export class Parts {
  readonly #open = new Map<string, Part>();
  readonly #finished = new LruMap<string, string>(FINISHED_MAX);

  constructor(readonly emit: (update: PartUpdate) => void) {}

  /** The whole text so far; `final` when it is complete. */
  whole(info: PartInfo, content: string, final: boolean): void {
    const id = info.part_id;
    if (final) {
      const digest = createHash("sha1").update(content).digest("hex");
      this.#close(id);
      if (this.#finished.get(id) === digest) return; // OpenCode tells a finished part again
      this.#finished.set(id, digest);
      this.#send(info, content, true);
      return;
    }
    if (this.#finished.has(id)) return;
    const part = this.#open.get(id) ?? this.#begin(info);
    part.content = content;
    this.#schedule(part);
  }

  /** More text of a part that was begun; of an unknown one the beginning is missing, so it waits. */
  delta(partId: string, more: string): void {
    const part = this.#open.get(partId);
    if (!part) return;
    if (part.content.length < 2 * CONTENT_MAX) part.content += more;
    this.#schedule(part);
  }

  /** The turn of this session is over: what is still open will not be finished by OpenCode. */
  finishSession(sessionId: string): void {
    for (const part of [...this.#open.values()]) {
      if (part.info.session_id !== sessionId) continue;
      if (part.content) this.whole(part.info, part.content, true);
      else this.#close(part.info.part_id);
    }
  }

  drop(partId: string): void {
    this.#close(partId);
  }

  close(): void {
    for (const id of [...this.#open.keys()]) this.#close(id);
  }

  #begin(info: PartInfo): Part {
    const part: Part = { info, content: "", sentLength: 0, timer: undefined };
    this.#open.set(info.part_id, part);
    if (this.#open.size > PARTS_MAX) {
      const oldest = this.#open.keys().next();
      if (!oldest.done) this.#close(oldest.value);
    }
    return part;
  }

  #close(id: string): void {
    const part = this.#open.get(id);
    if (part?.timer) clearTimeout(part.timer);
    this.#open.delete(id);
  }

  #schedule(part: Part): void {
    if (part.timer || part.content.length === part.sentLength) return;
    const delay = INTERVAL_MS * (1 + Math.floor(part.content.length / INTERVAL_PER_CHARS));
    part.timer = setTimeout(() => {
      part.timer = undefined;
      if (part.content.length === part.sentLength) return;
      part.sentLength = part.content.length;
      this.#send(part.info, part.content, false);
    }, delay);
  }

  #send(info: PartInfo, content: string, final: boolean): void {
    const short = cut(content, CONTENT_MAX);
    this.emit({ ...info, content: short, final, ...(short.length < content.length && { truncated: true }) });
  }
}
