// The one bridge of an OpenCode process: all directories share its link, its numbers and its buffer.
import { type Api } from "./api.js";
import { UnackedBuffer } from "./buffer.js";
import { Commands } from "./commands.js";
import { Directory } from "./directory.js";
import { Fallback } from "./fallback.js";
import { encodeEvent } from "./frames.js";
import { Link, type LinkOptions } from "./link.js";
import { errorText, object, text } from "./read.js";
import type { Settings } from "./settings.js";
import type { Draft, EventFrame, Json } from "./types.js";

/** A short loss of the link is no reason to ask by HTTP. */
const FALLBACK_AFTER_MS = 2000;
const RESUME_MS = 20;

export interface BridgeOptions {
  settings: Settings;
  link: LinkOptions;
  fetch: typeof fetch;
  log(message: string, trace?: string): void;
}

export class Bridge {
  readonly #settings: Settings;
  readonly #buffer = new UnackedBuffer();
  readonly #link: Link;
  readonly #commands: Commands;
  readonly #fallback: Fallback;
  readonly #directories = new Map<string, Directory>();
  #anyApi: Api | undefined; // of the directory loaded last: any client reaches all
  #firstDirectory = "/";
  #opencodeVersion = "";
  #started = false;
  #seq = 0;
  #sent = 0; // highest number sent over this link
  #resume: ReturnType<typeof setTimeout> | undefined;
  #fallbackTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(readonly options: BridgeOptions) {
    this.#settings = options.settings;
    this.#link = new Link(
      {
        hello: () => this.#hello(),
        welcome: (after) => this.#welcome(after),
        frame: (frame) => this.#frame(frame),
        lost: () => this.#down(),
        log: options.log,
      },
      options.link,
    );
    this.#commands = new Commands({
      api: (directory) => (directory && this.#directories.get(directory)?.api) || this.#anyApi,
      directories: () => [...this.#directories.values()],
      directoryOf: (id) => [...this.#directories.values()].find((d) => d.mapper.open.has(id))?.path,
      send: (frame) => void this.#link.send(frame),
      log: options.log,
    });
    this.#fallback = new Fallback({
      url: this.#settings.gatewayUrl,
      token: this.#settings.token,
      pod: this.#settings.pod,
      instance: this.#settings.instance,
      fetch: options.fetch,
      log: options.log,
    });
  }

  /** OpenCode loaded a directory. Makes no call before it returns: OpenCode still waits for it. */
  attach(path: string, api: Api): Directory {
    const { log } = this.options;
    const directory = new Directory(path, api, {
      emit: (draft, root) => this.#emit(path, draft, root),
      lastSeq: () => this.#seq,
      log,
    });
    this.#directories.get(path)?.close(); // loaded again: the newer one counts
    this.#directories.set(path, directory);
    this.#anyApi = api;
    if (this.#firstDirectory === "/") this.#firstDirectory = path;
    if (!this.#started) {
      this.#started = true;
      setTimeout(() => void this.#start(api), 0);
    } else if (this.#link.up) {
      setTimeout(() => this.#sync(directory), 0);
    }
    return directory;
  }

  detach(directory: Directory): void {
    directory.close();
    if (this.#directories.get(directory.path) === directory) this.#directories.delete(directory.path);
  }

  async #start(api: Api): Promise<void> {
    try {
      const health = object(await api.get("/global/health", { timeoutMs: 3000 }));
      this.#opencodeVersion = text(health.version).slice(0, 64);
    } catch (e) {
      this.options.log(`OpenCode's version: ${errorText(e)}`);
    }
    this.#down(); // until the first welcome the link is down
    this.#link.start();
  }

  #hello(): Json {
    const paths = [...this.#directories.keys()].slice(0, 1000);
    return {
      type: "hello",
      protocol: 1,
      plugin_version: this.#settings.version,
      opencode_version: this.#opencodeVersion,
      pod: this.#settings.pod,
      instance: this.#settings.instance,
      directory: paths[0] ?? this.#firstDirectory,
      directories: paths,
      last_seq: this.#seq,
      ...(this.#settings.prepareId && { prepare_id: this.#settings.prepareId }),
    };
  }

  #welcome(resumeAfter: number): void {
    clearTimeout(this.#fallbackTimer);
    this.#fallbackTimer = undefined;
    this.#fallback.stopAll();
    this.#buffer.ack(Math.min(resumeAfter, this.#seq));
    this.#sent = 0;
    this.#flush();
    for (const directory of this.#directories.values()) this.#sync(directory);
  }

  #frame(frame: Json): void {
    if (frame.type !== "ack") return this.#commands.handle(frame);
    if (typeof frame.seq === "number") this.#buffer.ack(frame.seq);
  }

  #sync(directory: Directory): void {
    directory.sync().catch((e) => this.options.log(`state of ${directory.path}: ${errorText(e)}`));
  }

  #emit(path: string, draft: Draft, root: string | undefined): void {
    const event: EventFrame = {
      ...draft,
      seq: this.#seq + 1,
      directory: path,
      ...(root !== undefined && { root_session_id: root }),
    };
    const encoded = encodeEvent(event);
    if (encoded === undefined) return this.options.log(`dropped: ${draft.type} is over 1 MiB`);
    const behind = this.#sent < this.#seq;
    this.#seq = event.seq;
    this.#buffer.add(event, encoded);
    if (!behind && this.#link.ready) {
      if (this.#link.send(encoded)) this.#sent = event.seq;
    } else if (this.#link.up) this.#flush();
    if (draft.type === "permission.asked" || draft.type === "question.asked")
      this.options.log(`${draft.type}: ${draft.type === "permission.asked" ? draft.permission.id : draft.question.id}`, draft.trace_id);
    this.#followPermission(draft);
  }

  /** Sends what this link has not seen, as fast as the gateway reads. */
  #flush(): void {
    if (this.#resume) return;
    for (const { seq, text: frame } of this.#buffer.after(this.#sent)) {
      if (!this.#link.ready) {
        if (this.#link.up)
          this.#resume = setTimeout(() => {
            this.#resume = undefined;
            this.#flush();
          }, RESUME_MS);
        return;
      }
      if (!this.#link.send(frame)) return;
      this.#sent = seq;
    }
    this.#sent = this.#seq; // what is missing between was replaced by newer events
  }

  #down(): void {
    if (this.#fallbackTimer) return;
    this.#fallbackTimer = setTimeout(() => {
      this.#fallbackTimer = undefined;
      this.#askByHttp();
    }, FALLBACK_AFTER_MS);
    (this.#fallbackTimer as { unref?: () => void }).unref?.();
  }

  #followPermission(draft: Draft): void {
    if (draft.type === "permission.replied") this.#fallback.stop(draft.permission_id);
    if (draft.type === "permission.asked" && !this.#link.up) this.#down();
    if (draft.type === "session.idle") this.#stopSettled();
  }

  #askByHttp(): void {
    if (this.#link.up) return;
    for (const directory of this.#directories.values())
      for (const request of directory.mapper.open.values()) {
        const { permission, session_id } = request;
        if (!permission) continue;
        const root = directory.roots.known(session_id) ?? session_id;
        const { path, api } = directory;
        this.#fallback.start({ permission, session_id, root_session_id: root, directory: path, api });
      }
  }

  #stopSettled(): void {
    const open = new Set([...this.#directories.values()].flatMap((d) => [...d.mapper.open.keys()]));
    this.#fallback.keep(open);
  }
}
