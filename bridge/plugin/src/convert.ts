// OpenCode's objects in the shape of the protocol.
import { count, cut, isObject, list, number, object, oneLine, text, texts } from "./read.js";
import type { Json, Model, Permission, Question, Retry, Session, Tokens, ToolRef } from "./types.js";

const TITLE_MAX = 1000;
const TEXT_MAX = 10_000;
const ITEMS_MAX = 200;
/** Longer values in a request's metadata (whole diffs) are cut. */
const METADATA_TEXT_MAX = 60_000;
const METADATA_DEPTH_MAX = 6;

export function toModel(v: unknown): Model | undefined {
  const o = object(v);
  const provider = cut(text(o.providerID), 256);
  const model = cut(text(o.modelID) || text(o.id), 256); // a message has modelID, a session id
  return provider && model ? { provider, model } : undefined;
}

/** Undefined when it is no session. */
export function toSession(v: unknown): Session | undefined {
  const o = object(v);
  const id = text(o.id);
  const directory = text(o.directory);
  if (!isId(id) || !directory.startsWith("/")) return undefined;
  const time = object(o.time);
  const model = toModel(o.model);
  return {
    id,
    directory,
    title: cut(text(o.title), TITLE_MAX),
    ...(isId(o.parentID) && { parent_id: o.parentID }),
    ...(text(o.agent) && { agent: cut(text(o.agent), 256) }),
    ...(model && { model }),
    ...(typeof o.cost === "number" && { cost: number(o.cost) }),
    ...(isObject(o.tokens) && { tokens: count(Object.values(toTokens(o.tokens)).reduce((a, b) => a + b, 0)) }),
    created_ms: count(time.created),
    updated_ms: count(time.updated),
  };
}

export const isId = (v: unknown): v is string => typeof v === "string" && v.length > 0 && v.length <= 256;

function toTool(v: unknown): ToolRef | undefined {
  const o = object(v);
  return isId(o.messageID) && isId(o.callID) ? { message_id: o.messageID, call_id: o.callID } : undefined;
}

export function toPermission(v: Json): Permission | undefined {
  if (!isId(v.id)) return undefined;
  const tool = toTool(v.tool);
  const budget = { left: 4 * METADATA_TEXT_MAX, truncated: false };
  const metadata = object(shorten(object(v.metadata), METADATA_DEPTH_MAX, budget));
  return {
    id: v.id,
    permission: cut(text(v.permission), 256) || "unknown",
    patterns: shortTexts(v.patterns),
    metadata,
    always: shortTexts(v.always),
    ...(tool && { tool }),
    ...(budget.truncated && { truncated: true }),
  };
}

const shortTexts = (v: unknown): string[] => texts(v).slice(0, ITEMS_MAX).map((s) => cut(s, 4096));

/** A copy with long texts, long lists and deep nesting cut down to a budget. */
function shorten(v: unknown, depth: number, budget: { left: number; truncated: boolean }): unknown {
  if (typeof v === "string") {
    const short = cut(v, Math.max(0, Math.min(METADATA_TEXT_MAX, budget.left)));
    budget.left -= short.length;
    if (short.length < v.length) budget.truncated = true;
    return short;
  }
  if (typeof v !== "object" || v === null) return v;
  budget.left -= 2;
  if (depth <= 0 || budget.left <= 0) {
    budget.truncated = true;
    return Array.isArray(v) ? [] : {};
  }
  if (Array.isArray(v)) {
    if (v.length > ITEMS_MAX) budget.truncated = true;
    return v.slice(0, ITEMS_MAX).map((x) => shorten(x, depth - 1, budget));
  }
  const entries = Object.entries(v);
  if (entries.length > ITEMS_MAX) budget.truncated = true;
  return Object.fromEntries(
    entries.slice(0, ITEMS_MAX).map(([k, x]) => [cut(k, 256), shorten(x, depth - 1, budget)]),
  );
}

export function toQuestion(v: Json): Question | undefined {
  if (!isId(v.id)) return undefined;
  const tool = toTool(v.tool);
  return {
    id: v.id,
    questions: list(v.questions)
      .filter(isObject)
      .slice(0, 50)
      .map((q) => ({
        question: cut(text(q.question), TEXT_MAX),
        header: cut(text(q.header), TITLE_MAX),
        options: list(q.options)
          .filter(isObject)
          .slice(0, ITEMS_MAX)
          .map((o) => ({ label: cut(text(o.label), TITLE_MAX), description: cut(text(o.description), TITLE_MAX) })),
        multiple: q.multiple === true,
        custom: q.custom !== false, // OpenCode's default: free text is welcome
      })),
    ...(tool && { tool }),
  };
}

export function toRetry(v: Json): Retry | undefined {
  if (v.type !== "retry") return undefined;
  return { attempt: count(v.attempt), message: cut(text(v.message), 2000), next_ms: count(v.next) };
}

export function toTokens(v: unknown): Tokens {
  const o = object(v);
  const cache = object(o.cache);
  return {
    input: number(o.input),
    output: number(o.output),
    reasoning: number(o.reasoning),
    cache_read: number(cache.read),
    cache_write: number(cache.write),
  };
}

export const toReply = (v: unknown): "once" | "always" | "reject" =>
  v === "always" || v === "reject" ? v : "once";

const OUTPUT_MAX = 16000;

/** What a tool printed, at its end or so far; of a long one the middle is left out. */
export function toolOutput(state: Json): string {
  const all = text(state.output) || text(object(state.metadata).output);
  if (all.length <= OUTPUT_MAX) return all;
  const head = cut(all, OUTPUT_MAX / 4);
  const tail = all.slice(-(OUTPUT_MAX * 3) / 4).replace(/^[\uDC00-\uDFFF]/, "");
  return `${head}\n… ${all.length - head.length - tail.length} characters left out …\n${tail}`;
}

/** What a tool call is about, in one line: its own title, else the telling part of its input. */
export function toolTitle(state: Json): string {
  const input = object(state.input);
  const own = text(state.title);
  if (own) return oneLine(own, 300);
  for (const key of ["command", "filePath", "pattern", "url", "description", "query", "prompt"]) {
    const value = text(input[key]);
    if (value) return oneLine(value, 300);
  }
  return "";
}
