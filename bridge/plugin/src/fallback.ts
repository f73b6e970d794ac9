// While the WebSocket is down, a permission request waits for its answer by plain HTTP
// (PROTOCOL.md §6).
import type { Api } from "./api.js";
import { Backoff } from "./backoff.js";
import { replyPermission } from "./commands.js";
import { errorText, object, text } from "./read.js";
import { traceOf } from "./trace.js";
import type { Json, Permission } from "./types.js";

export interface FallbackOptions {
  url: string;
  token: string;
  pod: string;
  instance: string;
  fetch: typeof fetch;
  log(message: string, trace?: string): void;
  backoff?: () => Backoff;
}

export interface Waiting {
  permission: Permission;
  session_id: string;
  root_session_id: string;
  directory: string;
  api: Api;
}

const ATTEMPT_MS = 70_000; // the gateway answers "pending" after 50 s
const AT_ONCE_MAX = 100;
const DECISIONS = new Set(["once", "always", "reject"]);

export class Fallback {
  readonly #running = new Map<string, AbortController>();

  constructor(readonly options: FallbackOptions) {}

  /** Waits for the decision and tells OpenCode; once per request. */
  start(waiting: Waiting): void {
    const { id } = waiting.permission;
    if (this.#running.has(id) || this.#running.size >= AT_ONCE_MAX) return;
    const abort = new AbortController();
    this.#running.set(id, abort);
    this.options.log(`permission ${id}: asking by HTTP`, traceOf(id));
    this.#wait(waiting, abort.signal)
      .catch((e) => this.options.log(`permission ${id}: ${errorText(e)}`, traceOf(id)))
      .finally(() => {
        if (this.#running.get(id) === abort) this.#running.delete(id);
      });
  }

  stop(permissionId: string): void {
    this.#running.get(permissionId)?.abort();
    this.#running.delete(permissionId);
  }

  /** Stops all but these. */
  keep(permissionIds: ReadonlySet<string>): void {
    for (const id of [...this.#running.keys()]) if (!permissionIds.has(id)) this.stop(id);
  }

  stopAll(): void {
    this.keep(new Set());
  }

  async #wait(waiting: Waiting, signal: AbortSignal): Promise<void> {
    const backoff = this.options.backoff?.() ?? new Backoff(1000, 30_000);
    while (!signal.aborted) {
      const answer = await this.#ask(waiting, signal);
      if (signal.aborted || answer === "gone") return;
      if (answer === "pending") continue;
      if (answer === "failed") {
        await pause(backoff.next(), signal);
        continue;
      }
      await this.#tell(waiting, answer);
      return;
    }
  }

  async #ask(w: Waiting, signal: AbortSignal): Promise<Json | "pending" | "gone" | "failed"> {
    const { permission, api: _, ...at } = w;
    const timeout = new AbortController();
    const timer = setTimeout(() => timeout.abort(), ATTEMPT_MS);
    const onAbort = () => timeout.abort();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      const response = await this.options.fetch(`${this.options.url}/api/opencode/permission`, {
        method: "POST",
        headers: { "content-type": "application/json", authorization: `Bearer ${this.options.token}` },
        body: JSON.stringify({ ...permission, ...at, pod: this.options.pod, instance: this.options.instance }),
        signal: timeout.signal,
        redirect: "error",
      });
      if (response.status === 410) return "gone";
      if (response.status === 202) {
        await response.arrayBuffer();
        await pause(200, signal);
        return "pending";
      }
      if (response.status !== 200) return "failed";
      const answer = object(await response.json());
      return DECISIONS.has(text(answer.decision)) ? answer : "failed";
    } catch {
      return "failed";
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
    }
  }

  async #tell(w: Waiting, answer: Json): Promise<void> {
    const decision = text(answer.decision) as "once" | "always" | "reject";
    this.options.log(`permission ${w.permission.id}: ${decision} by HTTP`, traceOf(w.permission.id));
    await replyPermission(w.api, w.directory, w.permission.id, decision, text(answer.message) || undefined);
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
