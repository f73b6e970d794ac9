// codev-gateway beside a small gateway on Slack's official Node SDK that does the same permission
// flow, in one run, printed as figures and ratios (nothing is asserted). Ours stores every step
// before it goes on; the peer keeps all in memory.   node bench/gateway/run.mjs [rounds] [events]
import { spawn } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { startSlack } from "./slack.mjs";

const require = createRequire(new URL("../../tests/fakes/slack/package.json", import.meta.url));
const WebSocket = require("ws");
const rounds = Number(process.argv[2] ?? 100);
const events = Number(process.argv[3] ?? 100000);
const here = path.dirname(fileURLToPath(import.meta.url));
const bin = process.env.CODEV_BIN_DIR ?? path.join(here, "../../build/gcc/bin");
const SPACING_MS = 1400; // Slack takes one post a second in a channel; this measures us, not that
const LIVE = [1, 100, 1000];

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const at = (list, part) => [...list].sort((a, b) => a - b)[Math.min(list.length - 1, Math.ceil(list.length * part) - 1)];
const freePort = () =>
  new Promise((done) => {
    const server = net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
async function until(what, fn, ms = 20000) {
  for (const end = Date.now() + ms; Date.now() < end; await sleep(10)) {
    const value = await fn();
    if (value) return value;
  }
  throw new Error(`not within ${ms} ms: ${what}`);
}

/* ------------------------------------------------------------------ one side */

class Side {
  constructor(name) {
    this.name = name;
    this.seq = 0;
    this.acked = 0;
    this.replied = new Map(); // permission → performance.now() when "OpenCode" was told
    this.posts = new Map(); // permission → { at, ts, body }
    this.sessions = 0;
  }

  async start(command, args, env) {
    this.slack = await startSlack();
    this.slack.onCall = (method, body, answer, time) => this.called(method, body, answer, time);
    this.port = await freePort();
    this.dir = fs.mkdtempSync(path.join(os.tmpdir(), "codev-bench-"));
    this.child = spawn(command, args, {
      stdio: ["ignore", "ignore", "inherit"],
      env: {
        ...{ PATH: process.env.PATH, HOME: this.dir, SLACK_API_URL: this.slack.api, SLACK_BOT_TOKEN: "xoxb-bench", SLACK_APP_TOKEN: "xapp-bench", SLACK_CHANNEL_ID: "C0DEV000001" },
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

  memory() {
    const text = fs.readFileSync(`/proc/${this.child.pid}/smaps_rollup`, "utf8");
    return Number(/^Pss:\s+(\d+)/m.exec(text)[1]);
  }

  rss() {
    return Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${this.child.pid}/status`, "utf8"))[1]);
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

/* ------------------------------------------------------------------ what is measured */

async function permission(side, n) {
  const id = `per_${n}_`;
  const asked = performance.now();
  side.event("permission.asked", "ses_0", { permission: { id, permission: "bash", patterns: [`echo ${id}`], metadata: { command: `echo ${id}` }, always: ["echo *"] } });
  const post = await until("the request is in Slack", () => side.posts.get(id));
  await sleep(50); // the answer of the post has arrived, as it has before any person clicks
  const button = post.body.blocks.filter((b) => b.type === "actions").flatMap((b) => b.elements).find((e) => /once/.test(e.action_id));
  const clicked = performance.now();
  const ack = await side.slack.click(post, button);
  const told = await until("OpenCode is told", () => side.replied.get(id));
  return { post: post.at - asked, ack, told: told - clicked };
}

// Acks of messages in a thread (each is stored, and goes on to OpenCode) while sessions stream.
async function acks(side, live, count = 200) {
  side.addSessions(live);
  await until("the sessions are known", () => side.acked >= side.seq);
  let n = 0;
  const stream = setInterval(() => {
    for (let i = 0; i < Math.max(1, live / 40); i++) side.part((n * 7 + i) % live, n);
    n++;
  }, 50); // each session says something every two seconds
  const list = [];
  for (let i = 0; i < count; i++) {
    list.push(await side.slack.say(side.thread, `message ${live} ${i}`));
    await sleep(10);
  }
  clearInterval(stream);
  return list;
}

async function flood(side) {
  const first = side.seq;
  const begun = performance.now();
  const cpu = side.cpuMs();
  for (let i = 0; i < events; i++) {
    side.part(i % 1000, i);
    if (i % 200 === 0) while (side.ws.bufferedAmount > 1 << 20) await sleep(1);
  }
  await until("all events are acknowledged", () => side.acked >= side.seq, 120000);
  return { rate: ((side.seq - first) / (performance.now() - begun)) * 1000, core: ((side.seq - first) / Math.max(10, side.cpuMs() - cpu)) * 1000 };
}

/* ------------------------------------------------------------------ the run */

const ours = new Side("codev-gateway");
const peer = new Side("Node SDK");
const sides = [ours, peer];
const row = (name, show, values, budget = "") => {
  const ratio = values[1] > 0 ? (values[0] / values[1]).toFixed(3) : "–";
  console.log(`${name.padEnd(46)} ${show(values[0]).padStart(12)} ${show(values[1]).padStart(12)} ${ratio.padStart(8)}  ${budget}`);
};
const ms = (v) => `${v.toFixed(2)} ms`;
const kib = (v) => `${v.toFixed(0)} KiB`;

try {
  await ours.start(path.join(bin, "codev-gateway"), [], (s) => ({
    ...{ CODEV_POD: "bench", CODEV_STATE_DIR: s.dir, CODEV_RUNTIME_DIR: s.dir, CODEV_LOG_LEVEL: "error", CODEV_OPENCODE_URL: "http://127.0.0.1:9", CODEV_OPENCODE_DIRECTORY: "/w" },
    ...{ CODEV_GATEWAY_LISTEN: "127.0.0.1", CODEV_GATEWAY_PORT: String(s.port), CODEV_TOKEN: "token-of-the-bench", CODEV_BRIDGE_TOKEN: "bridge-token", SLACK_ALLOWED_USERS: "U0ALICE0001" },
  }));
  await peer.start(process.execPath, [path.join(here, "peer.mjs")], (s) => ({ PORT: String(s.port) }));
  for (const side of sides) side.addSessions(1);
  await sleep(2000);
  const base = sides.map((s) => s.memory());
  const baseRss = sides.map((s) => s.rss());

  const flows = sides.map(() => []);
  for (let n = 0; n < rounds; n++) {
    for (const [i, side] of sides.entries()) flows[i].push(await permission(side, n));
    await sleep(SPACING_MS);
  }
  console.log(`${`${rounds} rounds of the permission flow`.padEnd(46)} ${"ours".padStart(12)} ${"Node SDK".padStart(12)} ${"ratio".padStart(8)}  budget`);
  for (const [key, name, budget] of [["post", "request → Slack call arrives", "p99 under 5 ms"], ["told", "click → OpenCode told", "p99 under 5 ms"], ["ack", "click → ack", ""]])
    for (const part of [0.5, 0.99]) row(`${name}, p${part * 100}`, ms, flows.map((f) => at(f.map((x) => x[key]), part)), part > 0.9 ? budget : "");
  for (const side of sides) side.event("session.idle", "ses_0", {});
  await sleep(6000); // the last updates have left
  const rest = sides.map((s) => s.switches());
  await sleep(10000);
  row("idle: context switches in 10 s", String, sides.map((s, i) => s.switches() - rest[i]));
  for (const live of LIVE) {
    const lists = [];
    for (const side of sides) lists.push(await acks(side, live));
    for (const part of [0.5, 0.99]) row(`message → ack, ${live} live sessions, p${part * 100}`, ms, lists.map((l) => at(l, part)), part > 0.9 && live === 1000 ? "p99 under 20 ms" : "");
  }
  await sleep(2000);
  const full = sides.map((s) => s.memory());
  row("memory with 1 session (PSS)", kib, base);
  row("memory with 1 session (RSS)", kib, baseRss);
  row("memory with 1,000 live sessions (PSS)", kib, full);
  row("memory with 1,000 live sessions (RSS)", kib, sides.map((s) => s.rss()), "a tenth of the peer");
  row("memory a live session", kib, full.map((m, i) => (m - base[i]) / 999), "under 20 KiB");
  const rates = [];
  for (const side of sides) rates.push(await flood(side));
  row(`events a second, of ${events}`, (v) => v.toFixed(0), rates.map((r) => r.rate), "20,000");
  row("events a second of its own CPU time", (v) => v.toFixed(0), rates.map((r) => r.core));
  row("memory after that (PSS)", kib, sides.map((s) => s.memory()));
} finally {
  for (const side of sides) if (side.child) await side.end();
}
