// Secrets, log, settings, the HTTP fallback, the API client, and what the bundle is made of.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import test from "node:test";
import { ROOT, assertValid, eventually, fakeApi, load } from "./lib/load.mjs";

const { takeToken } = await load("secrets");
const { Log } = await load("log");
const { traceOf, isTraceId } = await load("trace");
const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const { Fallback } = await load("fallback");
const { createApi } = await load("api");
const { readSettings, publicUrl } = await load("settings");
const { Backoff } = await load("backoff");

const temp = (t) => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), "bridge-plugin-"));
  t.after(() => fs.rmSync(dir, { recursive: true, force: true }));
  return dir;
};

test("the token comes over the pipe, once, and leaves no trace", async (t) => {
  const dir = temp(t);
  const fifo = path.join(dir, "pipe");
  execFileSync("mkfifo", [fifo]);
  const handOver = (text) => {
    const fd = fs.openSync(fifo, fs.constants.O_RDWR | fs.constants.O_NONBLOCK);
    const end = fs.openSync(fifo, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
    fs.writeSync(fd, text);
    fs.closeSync(fd);
    return end;
  };
  const fd = handOver(`A=b\nCODEV_BRIDGE_TOKEN=from=pipe\n`);
  const env = { CODEV_SECRETS_FD: String(fd), CODEV_BRIDGE_TOKEN: "from env", OTHER: "stays" };
  assert.equal(takeToken(env), "from=pipe");
  assert.deepEqual(env, { OTHER: "stays" });
  assert.throws(() => fs.fstatSync(fd), { code: "EBADF" });

  const without = { CODEV_SECRETS_FD: String(handOver("OTHER=x\nCODEV_BRIDGE_TOKEN")), CODEV_BRIDGE_TOKEN: "from env\n" };
  assert.equal(takeToken(without), "from env");
});

test("a descriptor that is no pipe is left alone", (t) => {
  const fd = fs.openSync(path.join(temp(t), "file"), "w+");
  t.after(() => fs.closeSync(fd));
  fs.writeSync(fd, "CODEV_BRIDGE_TOKEN=x\n", 0);
  for (const name of [String(fd), "0", "1", "2", "-1", "99999", "1e1", "", "x", "../3", "7777777"])
    assert.equal(takeToken({ CODEV_SECRETS_FD: name }), "", name);
  fs.fstatSync(fd);
  assert.equal(takeToken({}), "");
});

test("the log is bounded, one line an entry, and follows no link", (t) => {
  const dir = temp(t);
  const file = path.join(dir, "log");
  const log = new Log(file, TRACE);
  log.write("first\nsecond\u001b[31m");
  log.write("of a request", "warn", traceOf("per_1"));
  const [line, other] = fs.readFileSync(file, "utf8").trimEnd().split("\n").map((l) => JSON.parse(l));
  assert.match(line.ts, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.deepEqual({ ...line, ts: 0 }, { ts: 0, level: "info", msg: "first second [31m", trace_id: TRACE });
  assert.deepEqual({ ...other, ts: 0 }, { ts: 0, level: "warn", msg: "of a request", trace_id: traceOf("per_1") });
  assert.equal(fs.statSync(file).mode & 0o777, 0o600);
  for (let i = 0; i < 1500; i++) log.write("x".repeat(5000));
  assert.ok(fs.statSync(`${file}.1`).size <= 1024 * 1024 + 2100);
  assert.ok(!fs.existsSync(file) || fs.statSync(file).size <= 1024 * 1024);
  fs.symlinkSync(path.join(dir, "victim"), path.join(dir, "trap"));
  new Log(path.join(dir, "trap")).write("x");
  assert.equal(fs.existsSync(path.join(dir, "victim")), false);
  new Log(path.join(dir, "no/such/folder")).write("x");
});

test("a trace id is derived as the gateway does it, and judged by its form", () => {
  assert.equal(traceOf("per_1"), "51286eb77d463f8df03d44eb21920f1a");
  assert.ok(isTraceId(traceOf("msg_x")));
  for (const bad of ["", TRACE.toUpperCase(), TRACE.slice(1), `${TRACE}0`, "0".repeat(32), 7, undefined, `${TRACE}\n`])
    assert.equal(isTraceId(bad), false, String(bad));
});

test("settings have defaults, and URLs are logged without what is secret", () => {
  const s = readSettings({});
  assert.equal(s.gatewayWs, "ws://127.0.0.1:8000/ws/bridge");
  assert.equal(s.gatewayUrl, "http://127.0.0.1:8000");
  assert.equal(s.log, "/tmp/slack-bridge-plugin.log");
  assert.notEqual(s.instance, readSettings({}).instance);
  assert.equal(readSettings({ POD_NAME: "p" }).pod, "p");
  assert.equal(readSettings({ POD_NAME: "p", CODEV_POD: "q" }).pod, "q");
  assert.equal(publicUrl("wss://user:secret@hub:1/ws?token=secret"), "wss://hub:1/ws");
  assert.equal(publicUrl("secret"), "(not a URL)");
});

const permission = { id: "per_1", permission: "bash", patterns: ["x"], metadata: {}, always: [] };
function fallback(answers) {
  const posts = [];
  const log = [];
  const api = fakeApi({ "POST /permission/per_1/reply": true });
  const f = new Fallback({
    ...{ url: "http://gw", token: "tok", pod: "p", instance: "i", log: (m) => log.push(m) },
    backoff: () => new Backoff(1, 2),
    fetch: async (url, init) => {
      posts.push({ url, init, body: JSON.parse(init.body) });
      const next = answers[Math.min(posts.length, answers.length) - 1];
      if (next === "hang")
        return new Promise((_, reject) => init.signal.addEventListener("abort", () => reject(new Error("aborted"))));
      if (next instanceof Error) throw next;
      return new Response(JSON.stringify(next.body ?? {}), { status: next.status ?? 200 });
    },
  });
  const start = () => f.start({ permission, session_id: "ses_c", root_session_id: "ses_1", directory: "/d", api });
  return { f, posts, log, api, start };
}

test("by HTTP: asked again until somebody decides, then OpenCode is told", async () => {
  const { posts, api, start } = fallback([
    new Error("refused"),
    { status: 503 },
    { status: 202 },
    { body: { status: "maybe", decision: "perhaps" } },
    { body: { status: "deny", decision: "reject", decided_by: "Ann", message: "no" } },
  ]);
  start();
  start();
  await eventually("OpenCode is told", () => api.calls.length === 1);
  assert.equal(posts.length, 5);
  for (const post of posts) assertValid("http.permission", post.body);
  assert.equal(posts[0].url, "http://gw/api/opencode/permission");
  assert.equal(posts[0].init.headers.authorization, "Bearer tok");
  assert.deepEqual(api.calls[0].query, { directory: "/d" });
  assert.deepEqual(api.calls[0].body, { reply: "reject", message: "no" });
});

test("by HTTP: ends when the request is gone, when it was answered, when the link is back", async () => {
  const gone = fallback([{ status: 410 }]);
  gone.start();
  await eventually("asked", () => gone.posts.length === 1);
  const hanging = fallback(["hang"]);
  hanging.start();
  hanging.start();
  await eventually("asked", () => hanging.posts.length > 0);
  assert.equal(hanging.posts.length, 1);
  hanging.f.stop("per_1");
  await eventually("cut", () => hanging.posts[0].init.signal.aborted);
  hanging.start();
  await eventually("asked again", () => hanging.posts.length === 2);
  hanging.f.stopAll();
  await eventually("cut", () => hanging.posts[1].init.signal.aborted);
  assert.deepEqual([gone.api.calls, hanging.api.calls], [[], []]);
  assert.equal(gone.posts.length, 1);
});

test("the API client: answers, refusals, silence", async () => {
  const respond = (status, data, error) => async () => ({ data, error, response: { status } });
  const api = (get) => createApi({ _client: { get, post: get } });
  assert.deepEqual(await api(respond(200, { a: 1 })).get("/x"), { a: 1 });
  const code = (get) => api(get).get("/x", { timeoutMs: 20 }).then(() => "ok", (e) => e.code);
  assert.equal(await code(respond(404, undefined, { data: { message: "no" } })), "not_found");
  assert.equal(await code(respond(400)), "refused");
  assert.equal(await code(respond(500, undefined, "boom")), "failed");
  assert.equal(await code(async () => Promise.reject(new Error("net"))), "failed");
  assert.equal(await code(() => { throw new Error("at once"); }), "failed");
  assert.equal(await code(() => new Promise(() => {})), "timeout");
  let late;
  assert.equal(await code(() => new Promise((_, reject) => (late = reject))), "timeout");
  late(new Error("too late to matter")); // must not become an unhandled rejection
  await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(await createApi({}).get("/x").catch((e) => e.code), "failed");
});

test("the bundle needs nothing but node's own modules, and exports one function", async () => {
  const file = path.join(ROOT, "dist/index.js");
  const imports = [...fs.readFileSync(file, "utf8").matchAll(/^import .* from "(.*)";$/gm)].map((m) => m[1]);
  assert.ok(imports.length > 0);
  for (const name of imports) assert.match(name, /^node:/);
  const exported = await import(file);
  assert.deepEqual(Object.keys(exported), ["default"]);
  assert.equal(typeof exported.default, "function");
});

test("types are right", () => {
  const done = spawnSync(process.execPath, [path.join(ROOT, "../node_modules/typescript/bin/tsc"), "--noEmit"], { cwd: ROOT, encoding: "utf8" });
  assert.equal(done.status, 0, done.stdout);
});
