// OpenCode's own HTTP API, through the client that it gives to plugins (in process, with its
// authorisation already in place).
import type { PluginInput } from "@opencode-ai/plugin";
import { errorText, isObject, object, text } from "./read.js";
import type { Json } from "./types.js";

export type ApiErrorCode = "not_found" | "refused" | "failed" | "timeout";

export class ApiError extends Error {
  constructor(
    readonly code: ApiErrorCode,
    message: string,
  ) {
    super(message);
  }
}

export interface ApiRequest {
  query?: Record<string, string | number | boolean | undefined>;
  body?: Json;
  timeoutMs?: number;
}

export interface Api {
  get(path: string, request?: ApiRequest): Promise<unknown>;
  post(path: string, request?: ApiRequest): Promise<unknown>;
}

/** What the generated SDK client answers; only the parts that are used. */
interface RawResult {
  data?: unknown;
  error?: unknown;
  response?: { status?: number };
}
type RawMethod = (options: {
  url: string;
  query?: Record<string, unknown>;
  body?: Json;
  headers?: Record<string, string>;
  signal: AbortSignal;
}) => Promise<RawResult>;
interface RawClient {
  get: RawMethod;
  post: RawMethod;
}

const TIMEOUT_MS = 20_000;

function outcome(result: RawResult): unknown {
  const status = result.response?.status ?? 0;
  if (status >= 200 && status < 300) return result.data;
  const message = describe(result.error) || `OpenCode answered ${status}`;
  if (status === 404) throw new ApiError("not_found", message);
  throw new ApiError(status >= 400 && status < 500 ? "refused" : "failed", message);
}

function describe(error: unknown): string {
  if (typeof error === "string") return error.slice(0, 1000);
  if (!isObject(error)) return "";
  return (text(object(error.data).message) || text(error.message) || text(error.name)).slice(0, 1000);
}

export function createApi(client: PluginInput["client"]): Api {
  // `_client` is the raw client below the generated methods; it alone reaches /permission and /question.
  const raw = (client as unknown as { _client: RawClient })._client;

  async function call(method: "get" | "post", url: string, request: ApiRequest = {}): Promise<unknown> {
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(new ApiError("timeout", `OpenCode did not answer ${method.toUpperCase()} ${url}`));
        abort.abort();
      }, request.timeoutMs ?? TIMEOUT_MS);
    });
    try {
      const answer = raw[method]({
        url,
        signal: abort.signal,
        ...(request.query && { query: defined(request.query) }),
        ...(request.body && { body: request.body, headers: { "content-type": "application/json" } }),
      });
      return outcome(await Promise.race([answer, late]));
    } catch (e) {
      throw e instanceof ApiError ? e : new ApiError("failed", errorText(e));
    } finally {
      clearTimeout(timer);
    }
  }

  return {
    get: (path, request) => call("get", path, request),
    post: (path, request) => call("post", path, request),
  };
}

const defined = (query: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(query).filter(([, v]) => v !== undefined));

export const segment = encodeURIComponent;
