// One gateway under measurement: its process, a Slack of its own, and the bridge that feeds it.
import { spawn } from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { startSlack } from "./slack.mjs";

const require = createRequire(new URL("../../tests/fakes/slack/package.json", import.meta.url));
const WebSocket = require("ws");
const here = path.dirname(fileURLToPath(import.meta.url));
const bin = process.env.CODEV_BIN_DIR ?? path.join(here, "../../build/gcc/bin");

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const freePort = () =>
  new Promise((done) => {
    const server = net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
export async function until(what, fn, ms = 20000) {
  for (const end = Date.now() + ms; Date.now() < end; await sleep(10)) {
    const value = await fn();
    if (value) return value;
  }
  throw new Error(`not within ${ms} ms: ${what}`);
}

export class Side {
  constructor(name) {
    this.name = name;
    this.seq = 0;
    this.acked = 0;
    this.replied = new Map(); // permission → performance.now() when "OpenCode" was told
    this.posts = new Map(); // permission → { at, ts, body }
    this.sessions = 0;
  }

  async start(command, args, env) {
    this.dir = fs.mkdtempSync(path.join(os.tmpdir(), "codev-bench-"));
    this.slack = await startSlack(this.dir);
    this.slack.onCall = (method, body, answer, time) => this.called(method, body, answer, time);
    this.port = await freePort();
    this.child = spawn(command, args, {
      stdio: ["ignore", "ignore", "inherit"],
      env: {
        ...{ PATH: process.env.PATH, HOME: this.dir, SSL_CERT_FILE: this.slack.ca, SSL_CERT_DIR: "/etc/ssl/certs", NODE_EXTRA_CA_CERTS: this.slack.ca, SLACK_API_URL: this.slack.api, SLACK_BOT_TOKEN: "xoxb-bench", SLACK_APP_TOKEN: "xapp-bench", SLACK_CHANNEL_ID: "C0DEV000001" },
        ...env(this),
      },
    });
    await until(`${this.name} opens its socket`, () => this.slack.socket);
    await this.link();
  }

  link() {
    return new Promise((done, fail) => {
      this.ws = new WebSocket(`ws://127.0.0.1:${this.port}/ws/bridge`, { headers: { authorization: "Bearer bridge-token" } });
      this.ws.on("error", fail);
      this.ws.on("open", () => this.send({ type: "hello", protocol: 1, plugin_version: "1", opencode_version: "1.18.33", pod: "bench", instance: "i1", directory: "/w", directories: ["/w"], last_seq: 0 }));
      this.ws.on("message", (data) => {
        const time = performance.now();
        const frame = JSON.parse(data);
        if (frame.type === "welcome") return done();
        if (frame.type === "ack") return (this.acked = frame.seq);
        return this.command(frame, time);
      });
    });
  }

  send(frame) {
    this.ws.send(JSON.stringify(frame));
  }

  event(type, session_id, more) {
    this.send({ type, seq: ++this.seq, time: Date.now(), directory: "/w", session_id, root_session_id: session_id, ...more });
  }

  command(frame, time) {
    if (frame.type === "permission.reply") {
      this.replied.set(frame.permission_id, time);
      this.send({ type: "permission.reply.result", request_id: frame.request_id, permission_id: frame.permission_id });
      this.event("permission.replied", "ses_0", { permission_id: frame.permission_id, reply: "once" });
    } else if (frame.type === "session.message") {
      this.send({ type: "session.message.result", request_id: frame.request_id, session_id: frame.session_id });
      this.event("session.active", frame.session_id, {});
      this.event("session.idle", frame.session_id, {});
    } else if (frame.type === "state.sync") this.send({ type: "state.sync.result", request_id: frame.request_id, directories: [] });
    else if (frame.type === "session.messages") this.send({ type: "session.messages.result", request_id: frame.request_id, session_id: frame.session_id, truncated: false, messages: [] });
    else if (frame.type === "ping") this.send({ type: "pong", request_id: frame.request_id, time: Date.now() });
    else this.send({ type: "error", request_id: frame.request_id, code: "unknown_command", message: "bench" });
  }

  called(method, body, answer, time) {
    if (method !== "chat.postMessage") return;
    const id = /per_\d+_/.exec(JSON.stringify(body))?.[0];
    this.thread ??= body.thread_ts ?? answer.ts;
    if (id && !this.posts.has(id)) this.posts.set(id, { at: time, ts: answer.ts, thread_ts: body.thread_ts, body });
  }

  addSessions(count) {
    for (; this.sessions < count; this.sessions++) {
      const id = `ses_${this.sessions}`;
      this.event("session.created", id, { session: { id, directory: "/w", title: `Session ${id}`, created_ms: Date.now(), updated_ms: Date.now() } });
      this.event("session.active", id, {});
    }
  }

  part(session, n, length = 200) {
    this.event("message.part.streamed", `ses_${session}`, { message_id: `msg_${session}`, part_id: `prt_${session}_${Math.floor(n / 20)}`, role: "assistant", kind: "text", content: "x".repeat(length), final: n % 20 === 19 });
  }

  // KiB by /proc/PID/smaps_rollup: what is resident, our share of it, nobody else's, and the heap.
  memory() {
    const text = fs.readFileSync(`/proc/${this.child.pid}/smaps_rollup`, "utf8");
    const of = (key) => Number(new RegExp(`^${key}:\\s+(\\d+)`, "m").exec(text)[1]);
    return { rss: of("Rss"), pss: of("Pss"), own: of("Private_Clean") + of("Private_Dirty"), heap: of("Anonymous") };
  }

  switches() {
    let sum = 0;
    for (const task of fs.readdirSync(`/proc/${this.child.pid}/task`))
      for (const [, n] of fs.readFileSync(`/proc/${this.child.pid}/task/${task}/status`, "utf8").matchAll(/ctxt_switches:\s+(\d+)/g)) sum += Number(n);
    return sum;
  }

  cpuMs() {
    const stat = fs.readFileSync(`/proc/${this.child.pid}/stat`, "utf8").split(") ")[1].split(" ");
    return (Number(stat[11]) + Number(stat[12])) * 10;
  }

  async end() {
    this.ws.terminate();
    this.child.kill("SIGKILL");
    await new Promise((done) => this.child.once("close", done));
    this.slack.stop();
    fs.rmSync(this.dir, { recursive: true, force: true });
  }
}

// What ours asks OpenCode directly, also while a bridge feeds: once a minute.
const answers = { "/agent": [], "/config/providers": { providers: [] } };
async function startOpenCode() {
  const server = http.createServer((request, response) => {
    const answer = answers[request.url.split("?")[0]];
    response.writeHead(answer ? 200 : 404, { "content-type": "application/json" });
    response.end(JSON.stringify(answer ?? {}));
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  server.unref();
  return `http://127.0.0.1:${server.address().port}`;
}

export async function startOurs() {
  const side = new Side("codev-gateway");
  const opencode = await startOpenCode();
  await side.start(path.join(bin, "codev-gateway"), [], (s) => ({
    ...{ CODEV_POD: "bench", CODEV_STATE_DIR: s.dir, CODEV_RUNTIME_DIR: s.dir, CODEV_LOG_LEVEL: "error", CODEV_OPENCODE_URL: opencode, CODEV_OPENCODE_DIRECTORY: "/w" },
    ...{ CODEV_GATEWAY_LISTEN: "127.0.0.1", CODEV_GATEWAY_PORT: String(s.port), CODEV_TOKEN: "token-of-the-bench", CODEV_BRIDGE_TOKEN: "bridge-token", SLACK_ALLOWED_USERS: "U0ALICE0001" },
  }));
  return side;
}

export async function startPeer() {
  const side = new Side("Node SDK");
  await side.start(process.execPath, [path.join(here, "peer.mjs")], (s) => ({ PORT: String(s.port) }));
  return side;
}
