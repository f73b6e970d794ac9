// The way to the gateway: calls, login, and the stream of changes with its reconnects.

const PROOF = "codev-proof";
const SILENT_MS = 40000; // the gateway says something every 15 s

export class ApiError extends Error {
  constructor(status, body) {
    super(body?.error?.message ?? `the gateway answered ${status}`);
    this.status = status;
    this.code = body?.error?.code ?? "";
    this.body = body;
  }
}

// The login's proof is kept by origin, port included; the cookie alone changes nothing.
const proof = () => localStorage.getItem(PROOF) ?? "";

export async function api(path, body, options = {}) {
  const headers = { "x-requested-with": "codev" };
  if (body !== undefined) headers["content-type"] = "application/json";
  if (proof()) headers["x-codev-proof"] = proof();
  let response;
  try {
    response = await fetch(path, {
      method: options.post || body !== undefined ? "POST" : "GET",
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
      signal: AbortSignal.timeout(60000),
    });
  } catch {
    throw new ApiError(0, { error: { message: "the gateway cannot be reached; try again" } });
  }
  const json = await response.json().catch(() => undefined);
  if (response.ok) return json;
  const error = new ApiError(response.status, json);
  if (!options.login && (error.status === 401 || error.code === "no_proof"))
    dispatchEvent(new CustomEvent("login-needed"));
  throw error;
}

export async function login(token, name) {
  const answer = await api("/api/login", name ? { token, name } : { token }, { login: true });
  localStorage.setItem(PROOF, answer.proof);
}

export async function logout() {
  await api("/api/logout", undefined, { post: true });
  localStorage.removeItem(PROOF);
}

// Calls `on.<type>(data)` for each event. `on.fresh()` is called whenever what the page knows may
// be out of date, and then its result is awaited before later events are passed on; `on.up(bool)`
// when the connection comes and goes.
export class Stream {
  #on;
  #source;
  #last = "";
  #wait = 1000;
  #timer;
  #watch;
  #closed = true;

  constructor(on) {
    this.#on = on;
    addEventListener("online", () => this.#retry(0));
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && !this.#source) this.#retry(0);
    });
  }

  open() {
    this.#closed = false;
    this.#connect();
  }

  close() {
    this.#closed = true;
    this.#last = "";
    this.#drop();
  }

  #drop() {
    clearTimeout(this.#timer);
    clearTimeout(this.#watch);
    this.#source?.close();
    this.#source = undefined;
  }

  #retry(ms) {
    if (this.#closed) return;
    this.#drop();
    this.#timer = setTimeout(() => this.#connect(), ms);
  }

  #heard() {
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => this.#lost(), SILENT_MS);
  }

  async #lost() {
    if (this.#closed) return;
    this.#drop();
    this.#on.up(false);
    const wait = this.#wait * (0.75 + Math.random() / 2);
    this.#wait = Math.min(this.#wait * 1.7, 15000);
    this.#retry(wait);
    // EventSource does not tell why: perhaps the login has ended.
    await api("/api/requests").catch(() => {});
  }

  #connect() {
    this.#drop();
    const source = new EventSource(`/api/events${this.#last ? `?last_event_id=${this.#last}` : ""}`);
    this.#source = source;
    this.#heard();
    source.onerror = () => source === this.#source && this.#lost();
    const listen = (type, fn) =>
      source.addEventListener(type, (event) => {
        if (source !== this.#source) return;
        if (event.lastEventId) this.#last = event.lastEventId;
        this.#heard();
        fn(event.data ? JSON.parse(event.data) : {});
      });
    listen("ready", (data) => this.#up(!data.resumed));
    listen("reset", () => this.#up(true));
    listen("beat", () => {});
    for (const type of ["request", "session", "activity", "links", "notice", "pod", "focus"]) listen(type, (data) => this.#on[type](data));
    listen("stopping", () => this.#lost());
  }

  #up(stale) {
    this.#wait = 1000;
    this.#on.up(true);
    if (stale) this.#on.fresh();
  }
}
