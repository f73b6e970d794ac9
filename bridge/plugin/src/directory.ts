// One directory of OpenCode: its events, in order and with their root sessions, and its state.
import type { Api } from "./api.js";
import { toPermission, toQuestion, toRetry, toSession } from "./convert.js";
import { Mapper } from "./mapper.js";
import { errorText, isObject, list, object, text } from "./read.js";
import { Roots } from "./roots.js";
import type { Busy, Draft, Json, Session, SourceEvent } from "./types.js";

const LIST_MS = 5000;
const SESSIONS_MAX = 100;
/** The work that waits for root sessions to be looked up. */
const WAITING_MAX = 10_000;

export interface DirectoryEvents {
  emit(draft: Draft, root: string | undefined): void;
  /** The highest number given to an event so far. */
  lastSeq(): number;
  log(message: string): void;
}

export class Directory {
  readonly roots: Roots;
  readonly mapper: Mapper;
  #queue: Promise<void> = Promise.resolve();
  #waiting = 0;
  #closed = false;

  constructor(
    readonly path: string,
    readonly api: Api,
    readonly events: DirectoryEvents,
  ) {
    this.roots = new Roots(api);
    this.mapper = new Mapper(this.roots, (draft) => this.#rooted(draft));
  }

  handle(event: SourceEvent): void {
    if (!this.#closed) this.mapper.handle(event);
  }

  /** Ends its turns for the gateway; what OpenCode still tells is not heard. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.mapper.close();
  }

  /** Resolves when all that happened until now was emitted. */
  settled(): Promise<void> {
    return this.#queue;
  }

  #rooted(draft: Draft): void {
    if (this.#waiting === 0) {
      const root = draft.session_id === "" ? undefined : this.roots.known(draft.session_id);
      if (root !== undefined || draft.session_id === "") return this.events.emit(draft, root);
    }
    if (this.#waiting >= WAITING_MAX && draft.type === "message.part.streamed") return;
    this.#enqueue(async () => {
      const id = draft.session_id;
      let root = id === "" ? undefined : await this.roots.find(id);
      // somebody waits for an answer: better in a thread of its own than not at all
      if (root === undefined && (draft.type === "permission.asked" || draft.type === "question.asked")) root = id;
      this.events.emit(draft, root);
    });
  }

  #enqueue(work: () => Promise<void>): void {
    this.#waiting++;
    this.#queue = this.#queue
      .then(work)
      .catch((e) => this.events.log(`${this.path}: ${errorText(e)}`))
      .finally(() => {
        this.#waiting--;
      });
  }

  /** Reads from OpenCode what is open and emits `state.sync`. */
  async sync(): Promise<void> {
    if (this.#closed) return;
    await this.settled();
    const asOf = this.events.lastSeq();
    const read = async (path: string, query: Record<string, string | number | boolean> = {}) => {
      try {
        return await this.api.get(path, { query: { directory: this.path, ...query }, timeoutMs: LIST_MS });
      } catch (e) {
        this.events.log(`state of ${this.path}: GET ${path}: ${errorText(e)}`);
        return undefined;
      }
    };
    const [permissions, questions, status, sessions] = await Promise.all([
      read("/permission"),
      read("/question"),
      read("/session/status"),
      read("/session", { roots: true, limit: SESSIONS_MAX }),
    ]);
    for (const s of list(sessions).filter(isObject)) this.roots.learn(text(s.id), text(s.parentID));
    const complete = Array.isArray(permissions) && Array.isArray(questions) && isObject(status);
    const running = object(status);
    const waiting = (items: unknown): Json[] =>
      list(items)
        .filter(isObject)
        // a request of a session that does not run died with its turn; OpenCode lists it for ever
        .filter((r) => Object.hasOwn(running, text(r.sessionID)));
    const sync = {
      complete,
      permissions: await this.#each(waiting(permissions), toPermission),
      questions: await this.#each(waiting(questions), toQuestion),
      busy: await this.#busy(running),
      sessions: this.#sessions(sessions),
    };
    this.#enqueue(async () => {
      // what was settled while OpenCode was asked is not open any more
      const open = ({ value }: { value: { id: string } }) => !this.mapper.isSettled(value.id);
      const permissions = sync.permissions.filter(open);
      const questions = sync.questions.filter(open);
      for (const r of permissions)
        this.mapper.adopt(r.value.id, { session_id: r.session_id, permission: r.value });
      for (const r of questions) this.mapper.adopt(r.value.id, { session_id: r.session_id });
      this.events.emit(
        {
          type: "state.sync",
          session_id: "",
          time: Date.now(),
          as_of_seq: asOf,
          complete: sync.complete,
          permissions: permissions.map(({ value, ...at }) => ({ ...at, permission: value })),
          questions: questions.map(({ value, ...at }) => ({ ...at, question: value })),
          busy: sync.busy,
          sessions: sync.sessions,
        },
        undefined,
      );
    });
    await this.settled();
  }

  async #each<T>(
    requests: Json[],
    convert: (v: Json) => T | undefined,
  ): Promise<{ session_id: string; root_session_id: string; value: T }[]> {
    const found: { session_id: string; root_session_id: string; value: T }[] = [];
    for (const request of requests) {
      const value = convert(request);
      const sessionId = text(request.sessionID);
      if (value === undefined || sessionId === "") continue;
      const root = (await this.roots.find(sessionId)) ?? sessionId;
      found.push({ session_id: sessionId, root_session_id: root, value });
    }
    return found;
  }

  async #busy(running: Json): Promise<Busy[]> {
    const found: Busy[] = [];
    for (const [id, status] of Object.entries(running)) {
      if (id === "" || object(status).type === "idle") continue;
      const root = await this.roots.find(id);
      const retry = toRetry(object(status));
      found.push({ session_id: id, ...(root && { root_session_id: root }), ...(retry && { retry }) });
    }
    return found;
  }

  #sessions(sessions: unknown): Session[] {
    return list(sessions)
      .map(toSession)
      .filter((s): s is Session => s !== undefined && s.directory === this.path && !s.parent_id)
      .sort((a, b) => b.updated_ms - a.updated_ms)
      .slice(0, SESSIONS_MAX);
  }
}
