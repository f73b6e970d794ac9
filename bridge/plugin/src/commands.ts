// Commands of the gateway: each is checked, done and answered exactly once.
import { type Api, ApiError, segment } from "./api.js";
import { isId, toRetry, toSession, toolOutput, toolTitle } from "./convert.js";
import type { Directory } from "./directory.js";
import { encodeAnswer } from "./frames.js";
import { LruMap } from "./lru.js";
import { count, cut, errorText, isObject, list, object, text } from "./read.js";
import type { Busy, Json, Session } from "./types.js";

const AT_ONCE_MAX = 64;
const REMEMBERED_MAX = 256;
const REMEMBERED_MS = 10 * 60_000;
const LOAD_ATTEMPTS = 20;
const LOAD_PAUSE_MS = 100;
const TASK_MAX = 262_144;
const MESSAGES_CHARS_MAX = 250_000; // JSON may take six bytes for one character
const PART_CHARS_MAX = 100_000;
const SESSION_KEY = "codev_key"; // in a session's metadata: who began it, and by what
const SESSIONS_LOOKED = 200; // the newest, for one that may have been begun just now

/** The world that commands work on. */
export interface CommandHost {
  /** Of the loaded directory, else of any: every client reaches all directories. */
  api(directory?: string): Api | undefined;
  directories(): Directory[];
  /** The directory of an open request, if the plugin saw it. */
  directoryOf(requestId: string): string | undefined;
  send(text: string): void;
  log(message: string): void;
  now?(): number;
}

class Refusal extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly sessionId?: string,
  ) {
    super(message);
  }
}
const bad = (message: string) => new Refusal("bad_request", message);

/** Reads the fields of one command; each reader throws what is wrong. */
class Fields {
  constructor(readonly frame: Json) {}

  optionalText(name: string, max: number): string | undefined {
    const v = this.frame[name];
    if (v === undefined || v === null) return undefined;
    if (typeof v !== "string") throw bad(`${name} must be text`);
    if (v.length > max) throw bad(`${name} is longer than ${max} characters`);
    return v;
  }
  text(name: string, max: number): string {
    const v = this.optionalText(name, max);
    if (!v) throw bad(`${name} is missing`);
    return v;
  }
  /** An id goes into a URL: OpenCode's ids have a known prefix and no other character. */
  id(name: string, prefix: string): string {
    const v = this.text(name, 256);
    if (!new RegExp(`^${prefix}_[A-Za-z0-9_-]+$`).test(v)) throw bad(`${name} is no ${prefix}_… id`);
    return v;
  }
  optionalId(name: string, prefix: string): string | undefined {
    return this.optionalText(name, 256) ? this.id(name, prefix) : undefined;
  }
  directory(...names: string[]): string | undefined {
    for (const name of names) {
      const v = this.optionalText(name, 4096);
      if (v === undefined || v === "") continue;
      if (!v.startsWith("/") || v.includes("\0")) throw bad(`${name} must be an absolute path`);
      return v;
    }
    return undefined;
  }
  model(): { providerID: string; modelID: string } | undefined {
    const v = this.frame.model;
    if (v === undefined || v === null) return undefined;
    if (!isObject(v) || !isId(v.provider) || !isId(v.model)) throw bad("model must have provider and model");
    return { providerID: v.provider, modelID: v.model };
  }
  count(name: string, otherwise: number): number {
    const v = this.frame[name];
    if (v === undefined || v === null) return otherwise;
    if (typeof v !== "number" || !Number.isInteger(v) || v < 1 || v > 1000) throw bad(`${name} must be 1 to 1000`);
    return v;
  }
  flag(name: string, otherwise: boolean): boolean {
    const v = this.frame[name];
    if (v === undefined || v === null) return otherwise;
    if (typeof v !== "boolean") throw bad(`${name} must be true or false`);
    return v;
  }
  answers(): string[][] {
    const v = this.frame.answers;
    const ok =
      Array.isArray(v) &&
      v.length <= 100 &&
      v.every((a) => Array.isArray(a) && a.length <= 100 && a.every((t) => typeof t === "string" && t.length <= 8192));
    if (!ok) throw bad("answers must be lists of texts");
    return v;
  }
}

type Run = (fields: Fields, commands: Commands) => Promise<Json>;

const COMMANDS: Record<string, Run> = {
  ping: async () => ({ type: "pong", time: Date.now() }),

  "session.create": async (f, c) => {
    const directory = f.directory("workspace", "directory") ?? c.firstDirectory();
    const title = f.optionalText("title", 1000);
    const task = f.optionalText("task", TASK_MAX);
    const agent = f.optionalText("agent", 256);
    const model = f.model();
    const key = f.optionalText("key", 256);
    const messageId = f.optionalId("message_id", "msg");
    const again = f.flag("again", false);
    const api = c.api(directory);
    const before = again && key ? await sessionOfKey(api, directory, key) : undefined;
    const made =
      before ??
      (await api.post("/session", {
        query: { directory },
        body: {
          ...(title && { title }),
          ...(agent && { agent }),
          ...(model && { model: { id: model.modelID, providerID: model.providerID } }),
          ...(key && { metadata: { [SESSION_KEY]: key } }),
        },
      }));
    const session = toSession(made);
    if (!session) throw new Refusal("failed", "OpenCode's answer is no session");
    if (task) {
      try {
        await prompt(api, session.id, { message: task, agent, model, messageId, look: before !== undefined });
      } catch (e) {
        throw new Refusal(e instanceof ApiError ? e.code : "failed", `first prompt: ${errorText(e)}`, session.id);
      }
    }
    return { type: "session.created", session_id: session.id, directory: session.directory, session };
  },

  "session.message": async (f, c) => {
    const id = f.id("session_id", "ses");
    const message = f.text("text", TASK_MAX);
    await prompt(c.api(f.directory("directory")), id, {
      message,
      agent: f.optionalText("agent", 256),
      model: f.model(),
      messageId: f.optionalId("message_id", "msg"),
      look: f.flag("again", false),
    });
    return { type: "session.message.result", session_id: id };
  },

  "session.list": async (f, c) => {
    const directory = f.directory("directory") ?? c.firstDirectory();
    const query = {
      directory,
      roots: f.flag("roots", true) || undefined,
      limit: f.count("limit", 100),
      search: f.optionalText("search", 1000) || undefined,
    };
    const api = c.api(directory);
    const [sessions, status] = await Promise.all([
      api.get("/session", { query }),
      api.get("/session/status", { query: { directory } }),
    ]);
    const found = list(sessions).map(toSession).filter((s): s is Session => s !== undefined);
    return { type: "session.list.result", directory, sessions: found, busy: busyList(object(status)) };
  },

  "session.get": async (f, c) => {
    const id = f.id("session_id", "ses");
    const api = c.api(f.directory("directory"));
    const session = toSession(await api.get(`/session/${segment(id)}`));
    if (!session) throw new Refusal("failed", "OpenCode's answer is no session");
    const all = object(await api.get("/session/status", { query: { directory: session.directory } }));
    const state = Object.hasOwn(all, id) ? object(all[id]) : {};
    const retry = toRetry(state);
    const status = retry ? "retry" : state.type === "busy" ? "busy" : "idle";
    return { type: "session.get.result", session, status, ...(retry && { retry }) };
  },

  "session.messages": async (f, c) => {
    const id = f.id("session_id", "ses");
    const query = { limit: f.count("limit", 50) };
    const messages = await c.api(f.directory("directory")).get(`/session/${segment(id)}/message`, { query });
    return { type: "session.messages.result", session_id: id, ...toMessages(messages) };
  },

  "session.abort": async (f, c) => {
    const id = f.id("session_id", "ses");
    const api = c.api(f.directory("directory"));
    await api.get(`/session/${segment(id)}`); // abort itself says yes to any id
    await api.post(`/session/${segment(id)}/abort`);
    return { type: "session.abort.result", session_id: id };
  },

  "permission.reply": async (f, c) => {
    const id = f.id("permission_id", "per");
    const reply = f.text("reply", 16);
    if (reply !== "once" && reply !== "always" && reply !== "reject") throw bad("reply must be once, always or reject");
    const message = f.optionalText("message", 8192);
    const directory = c.requestDirectory(f, id);
    await replyPermission(c.api(directory), directory, id, reply, message);
    return { type: "permission.reply.result", permission_id: id };
  },

  "question.reply": async (f, c) => {
    const id = f.id("question_id", "que");
    const answers = f.answers();
    const directory = c.requestDirectory(f, id);
    await c.api(directory).post(`/question/${segment(id)}/reply`, { query: { directory }, body: { answers } });
    return { type: "question.reply.result", question_id: id };
  },

  "question.reject": async (f, c) => {
    const id = f.id("question_id", "que");
    const directory = c.requestDirectory(f, id);
    await c.api(directory).post(`/question/${segment(id)}/reject`, { query: { directory } });
    return { type: "question.reject.result", question_id: id };
  },

  "state.sync": async (f, c) => {
    const wanted = f.directory("directory");
    let directories = c.host.directories();
    if (wanted !== undefined) {
      directories = await c.load(wanted);
    }
    await Promise.all(directories.map((d) => d.sync()));
    return { type: "state.sync.result", directories: directories.map((d) => d.path) };
  },
};

/** A rejection may carry a message to the model. */
export function replyPermission(
  api: Api,
  directory: string,
  id: string,
  reply: "once" | "always" | "reject",
  message: string | undefined,
): Promise<unknown> {
  const body = { reply, ...(reply === "reject" && message && { message }) };
  return api.post(`/permission/${segment(id)}/reply`, { query: { directory }, body });
}

interface Prompt {
  message: string;
  agent: string | undefined;
  model: { providerID: string; modelID: string } | undefined;
  messageId: string | undefined; // chosen by the gateway: the same again is the same message
  look: boolean; // it may be there already
}

async function prompt(api: Api, session: string, p: Prompt): Promise<void> {
  if (p.messageId && p.look && (await isThere(api, session, p.messageId))) return;
  const body = {
    ...(p.messageId && { messageID: p.messageId }),
    parts: [{ ...(p.messageId && { id: p.messageId.replace("msg_", "prt_") }), type: "text", text: p.message }],
    ...(p.agent && { agent: p.agent }),
    ...(p.model && { model: p.model }),
  };
  await api.post(`/session/${segment(session)}/prompt_async`, { body });
}

async function isThere(api: Api, session: string, message: string): Promise<boolean> {
  try {
    await api.get(`/session/${segment(session)}/message/${segment(message)}`);
    return true;
  } catch (e) {
    if (e instanceof Error && "code" in e && e.code === "not_found") return false;
    throw e;
  }
}

async function sessionOfKey(api: Api, directory: string, key: string): Promise<unknown> {
  const sessions = await api.get("/session", { query: { directory, roots: true, limit: SESSIONS_LOOKED } });
  return list(sessions).find((s) => object(object(s).metadata)[SESSION_KEY] === key);
}

function busyList(status: Json): Busy[] {
  return Object.entries(status)
    .filter(([id, s]) => isId(id) && object(s).type !== "idle")
    .map(([id, s]) => {
      const retry = toRetry(object(s));
      return { session_id: id, ...(retry && { retry }) };
    });
}

/** The newest messages that fit into a frame, oldest first. */
function toMessages(v: unknown): { messages: Json[]; truncated: boolean } {
  const messages: Json[] = [];
  let left = MESSAGES_CHARS_MAX;
  let truncated = false;
  for (const m of list(v).filter(isObject).reverse()) {
    const message = toMessage(m);
    if (!message) continue;
    const size = JSON.stringify(message).length;
    if (size > left) {
      truncated = true;
      break;
    }
    left -= size;
    messages.unshift(message);
  }
  return { messages, truncated };
}

function toMessage(m: Json): Json | undefined {
  const info = object(m.info);
  if (!isId(info.id) || (info.role !== "user" && info.role !== "assistant")) return undefined;
  const time = object(info.time);
  const parts = list(m.parts).filter(isObject).map(toPart).filter((p) => p !== undefined);
  return {
    id: info.id,
    role: info.role,
    created_ms: count(time.created),
    ...(typeof time.completed === "number" && { completed_ms: count(time.completed) }),
    ...(isObject(info.error) && { error: cut(errorText(info.error), 2000) }),
    parts,
  };
}

function toPart(p: Json): Json | undefined {
  if (!isId(p.id) || p.synthetic === true) return undefined;
  if (p.type === "text" || p.type === "reasoning")
    return { id: p.id, kind: p.type, text: cut(text(p.text), PART_CHARS_MAX) };
  if (p.type !== "tool") return undefined;
  const state = object(p.state);
  const line = `${text(p.tool)}: ${toolTitle(state)}`;
  const output = toolOutput(state) || cut(text(state.error), 2000);
  return { id: p.id, kind: "tool", text: line, status: cut(text(state.status), 64), ...(output && { output }) };
}

interface Remembered {
  answer: string | undefined; // while it runs: none yet
  time: number;
}

export class Commands {
  readonly #remembered = new LruMap<string, Remembered>(REMEMBERED_MAX);
  #running = 0;

  constructor(readonly host: CommandHost) {}

  api(directory?: string): Api {
    const api = this.host.api(directory);
    if (!api) throw new Refusal("failed", "no directory of OpenCode is loaded");
    return api;
  }

  firstDirectory(): string {
    const first = this.host.directories()[0];
    if (!first) throw bad("no directory is loaded: name one");
    return first.path;
  }

  /** Any request makes OpenCode load a directory, and the plugin with it; again while it unloads it. */
  async load(path: string): Promise<Directory[]> {
    for (let attempt = 0; attempt < LOAD_ATTEMPTS; attempt++) {
      await this.api(path).get("/session/status", { query: { directory: path } });
      const loaded = this.host.directories().filter((d) => d.path === path);
      if (loaded.length > 0) return loaded;
      await new Promise((resolve) => setTimeout(resolve, LOAD_PAUSE_MS));
    }
    throw new Refusal("failed", `OpenCode did not load ${path} with the plugin`);
  }

  requestDirectory(f: Fields, requestId: string): string {
    return f.directory("directory") ?? this.host.directoryOf(requestId) ?? this.firstDirectory();
  }

  /** Takes any frame with a `request_id`, or that should have one. Never throws. */
  handle(frame: Json): void {
    const id = frame.request_id;
    if (typeof id !== "string" || !/^[A-Za-z0-9._:-]{1,128}$/.test(id)) {
      this.host.log(`ignored: ${cut(text(frame.type), 60)} without a good request_id`);
      return;
    }
    const now = this.host.now?.() ?? Date.now();
    const before = this.#remembered.get(id);
    if (before && now - before.time < REMEMBERED_MS) {
      if (before.answer !== undefined) this.host.send(before.answer);
      return; // else it runs, and its answer will come
    }
    const type = text(frame.type);
    const run = Object.hasOwn(COMMANDS, type) ? COMMANDS[type] : undefined;
    if (!run) return this.#answer(id, refusal(new Refusal("unknown_command", `unknown command ${cut(type, 60)}`)));
    if (this.#running >= AT_ONCE_MAX) {
      this.#send(id, refusal(new Refusal("busy", `more than ${AT_ONCE_MAX} commands at once`)));
      return; // not remembered: it may be sent again
    }
    this.#running++;
    const entry: Remembered = { answer: undefined, time: now };
    this.#remembered.set(id, entry);
    run(new Fields(frame), this)
      .catch(refusal)
      .then((answer) => this.#answer(id, answer))
      .catch((e) => this.host.log(`${type}: ${errorText(e)}`))
      .finally(() => {
        this.#running--;
      });
  }

  #answer(id: string, answer: Json): void {
    const encoded = this.#send(id, answer);
    this.#remembered.set(id, { answer: encoded, time: this.host.now?.() ?? Date.now() });
  }

  #send(id: string, answer: Json): string {
    const { type, ...rest } = answer;
    const encoded =
      encodeAnswer({ type, request_id: id, ...rest }) ??
      JSON.stringify({ type: "error", request_id: id, code: "too_big", message: "the answer is over 1 MiB" });
    this.host.send(encoded);
    return encoded;
  }
}

function refusal(e: unknown): Json {
  const code = e instanceof Refusal || e instanceof ApiError ? e.code : "failed";
  const session = e instanceof Refusal ? e.sessionId : undefined;
  const message = cut(errorText(e), 2000);
  return { type: "error", code, message, ...(session && { session_id: session }) };
}
