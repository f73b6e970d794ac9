// Which session is at the top. A subagent works in a child session; people know its root only.
import { type Api, segment } from "./api.js";
import { LruMap } from "./lru.js";
import { object, text } from "./read.js";

const DEPTH_MAX = 32;
const KNOWN_MAX = 5000;
const LOOKUP_MS = 3000;

export class Roots {
  readonly #parents = new LruMap<string, string>(KNOWN_MAX); // "" for a root

  constructor(readonly api: Api) {}

  /** From a session object of OpenCode. */
  learn(id: string, parent: string | undefined): void {
    if (id) this.#parents.set(id, parent ?? "");
  }

  forget(id: string): void {
    this.#parents.delete(id);
  }

  /** The root, if it can be told without asking. */
  known(id: string): string | undefined {
    let at = id;
    for (let i = 0; i < DEPTH_MAX; i++) {
      const parent = this.#parents.get(at);
      if (parent === undefined) return undefined;
      if (parent === "") return at;
      at = parent;
    }
    return id; // a circle: each is its own root
  }

  /** Asks OpenCode for what it does not know. Undefined when OpenCode can't say. */
  async find(id: string): Promise<string | undefined> {
    for (let i = 0; i < DEPTH_MAX; i++) {
      const root = this.known(id);
      if (root !== undefined) return root;
      const gap = this.#gap(id);
      try {
        const info = object(await this.api.get(`/session/${segment(gap)}`, { timeoutMs: LOOKUP_MS }));
        this.learn(gap, text(info.parentID));
      } catch {
        return undefined;
      }
    }
    return undefined;
  }

  /** The first session on the way up whose parent is not known. */
  #gap(id: string): string {
    let at = id;
    for (let i = 0; i < DEPTH_MAX; i++) {
      const parent = this.#parents.get(at);
      if (!parent) return at;
      at = parent;
    }
    return at;
  }
}
