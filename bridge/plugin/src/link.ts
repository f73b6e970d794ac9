// The WebSocket: opens, says hello, opens again when it is lost. It knows frames, not their meaning.
import { Backoff } from "./backoff.js";
import { FRAME_MAX } from "./frames.js";
import { isObject, text } from "./read.js";
import type { Json } from "./types.js";

/** The part of the browsers' WebSocket that is used. */
export interface Socket {
  readonly bufferedAmount: number;
  onopen: ((e: unknown) => void) | null;
  onmessage: ((e: { data: unknown }) => void) | null;
  onclose: ((e: { code?: number; reason?: string }) => void) | null;
  onerror: ((e: unknown) => void) | null;
  send(data: string): void;
  close(code?: number, reason?: string): void;
}

export interface LinkEvents {
  /** The first frame. */
  hello(): Json;
  /** The gateway has all up to `resumeAfter`. */
  welcome(resumeAfter: number): void;
  frame(frame: Json): void;
  lost(): void;
  log(message: string): void;
}

export interface LinkOptions {
  open(): Socket;
  backoff?: Backoff;
  /** Connection and welcome together. */
  welcomeMs?: number;
  /** Nothing heard for so long, after the gateway showed that it pings: the link is dead. */
  silenceMs?: number;
  /** A link that was welcome for so long was a good one. */
  stableMs?: number;
}

const REFUSALS = new Set(["unauthorized", "protocol_version", "forbidden"]);
const REFUSAL_CLOSES = new Set([4401, 4406]);
/** More than this waiting in the socket: the gateway does not read fast enough. */
const BACKPRESSURE = 1024 * 1024;

export class Link {
  readonly #backoff: Backoff;
  #socket: Socket | undefined;
  #welcome = false;
  #stopped = false;
  #pinged = false;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #deadline: ReturnType<typeof setTimeout> | undefined;
  #stable: ReturnType<typeof setTimeout> | undefined;
  #failures = 0;

  constructor(
    readonly events: LinkEvents,
    readonly options: LinkOptions,
  ) {
    this.#backoff = options.backoff ?? new Backoff();
  }

  get up(): boolean {
    return this.#welcome;
  }

  /** True while more can be sent without filling memory. */
  get ready(): boolean {
    return this.#welcome && (this.#socket?.bufferedAmount ?? 0) < BACKPRESSURE;
  }

  start(): void {
    if (!this.#socket && !this.#retry && !this.#stopped) this.#connect();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#retry);
    this.#lose("stopped", 1000);
  }

  /** False when the link is not there (any more). */
  send(frame: string): boolean {
    const socket = this.#socket;
    if (!socket || !this.#welcome) return false;
    try {
      socket.send(frame);
      return true;
    } catch {
      this.#lose("could not send");
      return false;
    }
  }

  #connect(): void {
    this.#retry = undefined;
    let socket: Socket;
    try {
      socket = this.options.open();
    } catch (e) {
      this.events.log(`cannot open a WebSocket: ${e instanceof Error ? e.message : String(e)}`);
      this.#again();
      return;
    }
    this.#socket = socket;
    this.#pinged = false;
    const mine = (fn: () => void) => {
      try {
        if (this.#socket === socket) fn();
      } catch (e) {
        this.events.log(`link: ${e instanceof Error ? e.message : String(e)}`);
      }
    };
    socket.onopen = () => mine(() => socket.send(JSON.stringify(this.events.hello())));
    socket.onmessage = (e) => mine(() => this.#message(e.data));
    socket.onclose = (e) => mine(() => this.#closed(e.code ?? 0, e.reason ?? ""));
    socket.onerror = () => {}; // a close follows
    this.#expect(this.options.welcomeMs ?? 10_000, "no welcome in time");
  }

  #message(data: unknown): void {
    if (typeof data !== "string") return this.events.log("ignored: a binary frame");
    if (data.length > FRAME_MAX || Buffer.byteLength(data) > FRAME_MAX) return this.#lose("a frame over 1 MiB", 1009);
    let frame: unknown;
    try {
      frame = JSON.parse(data);
    } catch {
      return this.events.log("ignored: a frame that is not JSON");
    }
    if (!isObject(frame) || typeof frame.type !== "string") return this.events.log("ignored: a frame without type");
    if (this.#pinged) this.#expect(this.options.silenceMs ?? 60_000, "the gateway is silent");
    if (frame.type === "error" && frame.request_id === undefined) return this.#refused(frame);
    if (!this.#welcome) {
      if (frame.type === "welcome") this.#welcomed(frame);
      return;
    }
    if (frame.type === "ping" && !this.#pinged) {
      this.#pinged = true;
      this.#expect(this.options.silenceMs ?? 60_000, "the gateway is silent");
    }
    this.events.frame(frame);
  }

  #welcomed(frame: Json): void {
    if (frame.protocol !== 1) {
      this.#backoff.giveWay();
      return this.#lose("the gateway speaks another protocol", 4406);
    }
    clearTimeout(this.#deadline);
    this.#welcome = true;
    this.#failures = 0;
    this.#stable = setTimeout(() => this.#backoff.reset(), this.options.stableMs ?? 10_000);
    this.events.log(`connected: gateway ${text(frame.gateway_version)}`);
    const after = frame.resume_after;
    this.events.welcome(typeof after === "number" && after >= 0 ? after : 0);
  }

  #refused(frame: Json): void {
    const code = text(frame.code);
    this.events.log(`gateway: ${code}: ${text(frame.message)}`);
    if (REFUSALS.has(code)) this.#backoff.giveWay();
  }

  #closed(code: number, reason: string): void {
    if (REFUSAL_CLOSES.has(code)) this.#backoff.giveWay();
    this.#lose(`closed (${code}${reason ? ` ${reason}` : ""})`);
  }

  #expect(ms: number, otherwise: string): void {
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => this.#lose(otherwise), ms);
  }

  #lose(why: string, code?: number): void {
    const socket = this.#socket;
    const was = this.#welcome;
    clearTimeout(this.#deadline);
    clearTimeout(this.#stable);
    this.#socket = undefined;
    this.#welcome = false;
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      try {
        socket.close(code);
      } catch {
        // it may be closed already
      }
    }
    // Each loss of a link is said, of a row of vain attempts the first and then each twentieth.
    if (was || this.#failures % 20 === 0) this.events.log(`link: ${why}`);
    if (!was) this.#failures++;
    if (was) this.events.lost();
    this.#again();
  }

  #again(): void {
    if (this.#stopped || this.#retry) return;
    this.#retry = setTimeout(() => this.#connect(), this.#backoff.next());
    // a pending attempt alone keeps nobody's process alive
    (this.#retry as { unref?: () => void }).unref?.();
  }
}
