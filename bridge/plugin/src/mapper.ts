// From the events of one OpenCode directory to the events of the protocol. What OpenCode repeats is
// told once; what it leaves out (a request that died with its turn) is remembered.
import { isId, toModel, toPermission, toQuestion, toReply, toRetry, toSession, toTokens, toolOutput, toolTitle } from "./convert.js";
import { LruMap } from "./lru.js";
import { Parts } from "./parts.js";
import { count, cut, isObject, list, number, object, oneLine, text, texts } from "./read.js";
import type { Roots } from "./roots.js";
import { traceOf } from "./trace.js";
import type { Draft, EventBody, Json, Model, Permission, SourceEvent } from "./types.js";

const KNOWN_MAX = 2000;
const OUTPUT_MS = 1000; // what a running tool prints is told so often

export type Request = { session_id: string; permission?: Permission };

type Handler = (properties: Json, sessionId: string) => void;

export class Mapper {
  readonly #roles = new LruMap<string, { role: "user" | "assistant"; model?: Model | undefined }>(KNOWN_MAX);
  readonly #tools = new LruMap<string, { status: string; size: number; time: number }>(KNOWN_MAX); // by part: told last
  readonly #todos = new LruMap<string, Set<string>>(200); // session → what was already done
  readonly #status = new LruMap<string, string>(KNOWN_MAX); // session → last status told
  readonly #errors = new LruMap<string, string>(200); // session → last error of this turn
  readonly #changed = new LruMap<string, string>(KNOWN_MAX); // prompt → what it changed, as told
  readonly #steps = new LruMap<string, true>(KNOWN_MAX); // step-finish parts already counted
  readonly #turns = new LruMap<string, string>(KNOWN_MAX); // session → the prompt it works on
  readonly #settled = new LruMap<string, true>(KNOWN_MAX); // requests answered, or dead with their turn
  readonly #open = new Map<string, Request>();
  readonly #parts: Parts;
  readonly #handlers: Record<string, Handler>;

  constructor(
    readonly roots: Roots,
    readonly emit: (draft: Draft) => void,
    readonly now: () => number = Date.now,
  ) {
    this.#parts = new Parts(({ session_id, ...update }) =>
      this.#tell(session_id, { type: "message.part.streamed", ...update }),
    );
    this.#handlers = {
      "session.created": (p, s) => this.#session("session.created", p, s),
      "session.updated": (p, s) => this.#session("session.updated", p, s),
      "session.deleted": (p, s) => this.#deleted(p, s),
      "session.status": (p, s) => this.#statusChanged(object(p.status), s),
      "session.idle": (_, s) => this.#statusChanged({ type: "idle" }, s),
      "session.error": (p, s) => this.#failed(p, s),
      "message.updated": (p) => this.#message(object(p.info)),
      "message.part.updated": (p) => this.#part(object(p.part)),
      "message.part.delta": (p) => {
        if (p.field === "text") this.#parts.delta(text(p.partID), text(p.delta));
      },
      "message.part.removed": (p) => this.#parts.drop(text(p.partID)),
      "permission.asked": (p, s) => this.#permissionAsked(p, s),
      "permission.replied": (p, s) => this.#permissionReplied(p, s),
      "question.asked": (p, s) => this.#questionAsked(p, s),
      "question.replied": (p, s) => this.#questionReplied(p, s, false),
      "question.rejected": (p, s) => this.#questionReplied(p, s, true),
      "todo.updated": (p, s) => this.#todoUpdated(p, s),
    };
  }

  handle(event: SourceEvent): void {
    const handler = Object.hasOwn(this.#handlers, event.type) ? this.#handlers[event.type] : undefined;
    if (!handler) return;
    const properties = object(event.properties);
    handler(properties, text(properties.sessionID));
  }

  /** Requests that wait for somebody, by id. */
  get open(): ReadonlyMap<string, Request> {
    return this.#open;
  }

  /** OpenCode goes on listing requests of turns that were aborted. */
  isSettled(requestId: string): boolean {
    return this.#settled.has(requestId);
  }

  /** A request that was found in OpenCode's list, not in an event. */
  adopt(requestId: string, request: Request): void {
    if (!this.#settled.has(requestId)) this.#open.set(requestId, request);
  }

  /** The directory is unloaded: all its turns end here. */
  close(): void {
    const sessions = new Set([...this.#open.values()].map((r) => r.session_id));
    for (const [id, status] of this.#status.entries()) if (status !== "idle") sessions.add(id);
    for (const id of sessions) this.#statusChanged({ type: "idle" }, id);
    this.#parts.close();
  }

  #tell(sessionId: string, body: EventBody): void {
    const about = this.#about(body) ?? this.#turns.get(sessionId);
    const trace = about !== undefined && { trace_id: traceOf(about) };
    this.emit({ ...body, session_id: sessionId, time: this.now(), ...trace });
  }

  /** Requests have a trace each, all else belongs to its session's turn. */
  #about(body: EventBody): string | undefined {
    switch (body.type) {
      case "permission.asked":
        return body.permission.id;
      case "permission.replied":
        return body.permission_id;
      case "question.asked":
        return body.question.id;
      case "question.replied":
        return body.question_id;
      case "prompt.changed":
        return body.message_id;
      default:
        return undefined;
    }
  }

  #session(type: "session.created" | "session.updated", p: Json, sessionId: string): void {
    const session = toSession(p.info);
    if (!session) return;
    this.roots.learn(session.id, session.parent_id);
    if (type === "session.created") this.#todos.set(session.id, new Set());
    this.#tell(sessionId || session.id, { type, session });
  }

  #deleted(p: Json, sessionId: string): void {
    const id = sessionId || text(object(p.info).id);
    if (!isId(id)) return;
    this.#parts.finishSession(id);
    this.#voidRequests(id);
    this.#status.delete(id);
    this.#tell(id, { type: "session.deleted" });
  }

  #statusChanged(status: Json, sessionId: string): void {
    if (!isId(sessionId)) return;
    const type = text(status.type);
    if (type === "idle") {
      if (this.#status.get(sessionId) === "idle") return; // told twice after an abort or an error
      this.#parts.finishSession(sessionId);
      this.#voidRequests(sessionId);
      this.#status.set(sessionId, "idle");
      this.#tell(sessionId, { type: "session.idle" });
      return;
    }
    const retry = toRetry(status);
    const mark = retry ? `retry ${retry.attempt} ${retry.next_ms}` : "busy";
    const before = this.#status.get(sessionId);
    if (before === mark) return;
    if (before === undefined || before === "idle") this.#errors.delete(sessionId); // a new turn
    this.#status.set(sessionId, mark);
    this.#tell(sessionId, { type: "session.active", ...(retry && { retry }) });
  }

  #failed(p: Json, sessionId: string): void {
    const error = object(p.error);
    const data = object(error.data);
    const name = cut(text(error.name), 256) || "Error";
    const message = cut(text(data.message) || text(error.message) || name, 4000);
    if (sessionId) {
      const mark = `${name} ${message}`;
      const running = this.#status.get(sessionId) ?? "idle";
      if (running !== "idle" && this.#errors.get(sessionId) === mark) return;
      this.#errors.set(sessionId, mark);
    }
    this.#tell(sessionId, {
      type: "session.error",
      name,
      message,
      ...(typeof data.statusCode === "number" && { status_code: count(data.statusCode) }),
      aborted: name === "MessageAbortedError",
    });
  }

  #message(info: Json): void {
    if (!isId(info.id)) return;
    if (info.role !== "user" && info.role !== "assistant") return;
    this.#turn(info, info.id);
    this.#roles.set(info.id, { role: info.role, model: toModel(info) });
    if (info.role === "user") this.#promptChanged(info.id, text(info.sessionID), list(object(info.summary).diffs));
  }

  /** An answer names its prompt; a prompt that is told again began no other turn. */
  #turn(info: Json, id: string): void {
    if (!isId(info.sessionID)) return;
    if (info.role === "assistant" && isId(info.parentID)) this.#turns.set(info.sessionID, info.parentID);
    if (info.role === "user" && !this.#roles.has(id)) this.#turns.set(info.sessionID, id);
  }

  /** What a prompt changed so far; OpenCode tells the whole each time. */
  #promptChanged(messageId: string, sessionId: string, diffs: unknown[]): void {
    if (diffs.length === 0 || !isId(sessionId)) return;
    const sum = (key: string) => count(diffs.reduce((n: number, d) => n + number(object(d)[key]), 0));
    const [additions, deletions] = [sum("additions"), sum("deletions")];
    const mark = `${diffs.length} ${additions} ${deletions}`;
    if (this.#changed.get(messageId) === mark) return;
    this.#changed.set(messageId, mark);
    this.#tell(sessionId, { type: "prompt.changed", message_id: messageId, files: diffs.length, additions, deletions });
  }

  #part(part: Json): void {
    const { id, messageID, sessionID } = part;
    if (!isId(id) || !isId(messageID) || !isId(sessionID)) return;
    switch (part.type) {
      case "text":
      case "reasoning":
        return this.#textPart(part, part.type, { id, messageID, sessionID });
      case "tool":
        return this.#toolPart(part, { id, messageID, sessionID });
      case "step-finish":
        return this.#stepFinished(part, { id, messageID, sessionID });
    }
  }

  #textPart(part: Json, kind: "text" | "reasoning", at: { id: string; messageID: string; sessionID: string }): void {
    const role = this.#roles.get(at.messageID)?.role ?? "assistant";
    if (part.synthetic === true || part.ignored === true) return; // OpenCode's own additions
    const final = role === "user" || typeof object(part.time).end === "number";
    const info = { session_id: at.sessionID, message_id: at.messageID, part_id: at.id, role, kind };
    this.#parts.whole(info, text(part.text), final);
  }

  #toolPart(part: Json, at: { id: string; messageID: string; sessionID: string }): void {
    const state = object(part.state);
    const { status } = state;
    if (status !== "running" && status !== "completed" && status !== "error") return;
    if (!isId(part.callID) || !isId(part.tool)) return;
    const before = this.#tools.get(at.id);
    const output = toolOutput(state);
    if (before && before.status !== "running") return;
    if (before && status === "running" && (before.size === output.length || this.now() - before.time < OUTPUT_MS)) return;
    this.#tools.set(at.id, { status, size: output.length, time: this.now() });
    const time = object(state.time);
    const duration = status === "running" ? 0 : number(time.end) - number(time.start);
    this.#tell(at.sessionID, {
      type: "tool.executed",
      message_id: at.messageID,
      part_id: at.id,
      call_id: part.callID,
      tool: part.tool,
      title: toolTitle(state),
      status,
      duration_ms: count(duration),
      ...(status === "error" && { error: cut(text(state.error), 2000) }),
      ...(output && { output }),
    });
  }

  #stepFinished(part: Json, at: { id: string; messageID: string; sessionID: string }): void {
    if (this.#steps.has(at.id)) return;
    this.#steps.set(at.id, true);
    const model = this.#roles.get(at.messageID)?.model;
    this.#tell(at.sessionID, {
      type: "usage",
      message_id: at.messageID,
      cost: number(part.cost),
      tokens: toTokens(part.tokens),
      ...(model && { model }),
    });
  }

  #permissionAsked(p: Json, sessionId: string): void {
    const permission = toPermission(p);
    if (!permission || !isId(sessionId) || this.#open.has(permission.id)) return;
    this.#open.set(permission.id, { session_id: sessionId, permission });
    this.#tell(sessionId, { type: "permission.asked", permission });
  }

  #permissionReplied(p: Json, sessionId: string): void {
    const id = p.requestID;
    if (!isId(id) || !isId(sessionId)) return;
    this.#settle(id);
    this.#tell(sessionId, { type: "permission.replied", permission_id: id, reply: toReply(p.reply) });
  }

  #questionAsked(p: Json, sessionId: string): void {
    const question = toQuestion(p);
    if (!question || !isId(sessionId) || this.#open.has(question.id)) return;
    this.#open.set(question.id, { session_id: sessionId });
    this.#tell(sessionId, { type: "question.asked", question });
  }

  #questionReplied(p: Json, sessionId: string, rejected: boolean): void {
    const id = p.requestID;
    if (!isId(id) || !isId(sessionId)) return;
    this.#settle(id);
    const answers = rejected ? [] : list(p.answers).map((a) => texts(a).map((t) => cut(t, 8192)));
    this.#tell(sessionId, { type: "question.replied", question_id: id, rejected, answers });
  }

  /** A todo that became completed is a milestone. Of an old session the first list is only learnt. */
  #todoUpdated(p: Json, sessionId: string): void {
    if (!isId(sessionId)) return;
    const todos = list(p.todos).filter(isObject).slice(0, 500);
    const done = todos.filter((t) => t.status === "completed").map((t) => text(t.content));
    const before = this.#todos.get(sessionId) ?? new Set(done);
    this.#todos.set(sessionId, new Set(done));
    for (const content of done) {
      if (!content || before.has(content)) continue;
      const line = `${oneLine(content, 300)} (${done.length}/${todos.length})`;
      this.#tell(sessionId, { type: "agent.milestone", text: line });
    }
  }

  #settle(id: string): void {
    this.#open.delete(id);
    this.#settled.set(id, true);
  }

  #voidRequests(sessionId: string): void {
    for (const [id, request] of [...this.#open]) if (request.session_id === sessionId) this.#settle(id);
  }
}
