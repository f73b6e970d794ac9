// A gateway with a scripted bridge plugin, codev-state beside it, and git repositories to push to.
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import { spawn } from "node:child_process";
import WebSocket from "ws";
import { BIN, eventually, freePorts, run, sh, tempDir } from "./util.mjs";

const TOKEN = "api-token-of-the-test";
const BRIDGE_TOKEN = "bridge-token-of-the-test";
const FILE = ".session-state.yaml";

export async function makeWorld(t, { pod = "pod-a" } = {}) {
  const dir = tempDir("state");
  const state = path.join(dir, "state");
  const origin = path.join(dir, "origin.git");
  fs.mkdirSync(state);
  sh("git", ["init", "-q", "--bare", "-b", "main", origin]);
  const world = { dir, state, origin, pod, url: `file://${origin}`, own: path.join(state, "session-state") };
  const children = new Set();
  const environment = (env) => ({
    ...{ PATH: process.env.PATH, HOME: dir, TMPDIR: dir, LANG: "C.UTF-8", CODEV_POD: pod, CODEV_RUNTIME_DIR: dir },
    ...{ CODEV_STATE_DIR: state, CODEV_LOG_LEVEL: "debug", ...env },
  });
  const start = (program, env) => {
    const child = run(path.join(BIN, program), [], { cwd: dir, env: environment(env) });
    children.add(child);
    child.ended.then(() => children.delete(child));
    return child;
  };
  t.after(async () => {
    world.ws?.terminate();
    for (const child of children) child.kill("SIGKILL");
    await Promise.all([...children].map((c) => c.ended));
    for (let i = 0; i < 20; i++)
      try {
        fs.rmSync(dir, { recursive: true, force: true });
        break;
      } catch {
        await new Promise((done) => setTimeout(done, 100));
      }
  });

  world.git = (...args) => sh("git", ["--git-dir", origin, ...args]);
  world.start = (env = {}) => (world.child = start("codev-state", { CODEV_GATEWAY_STATE_REPO: world.url, ...env }));
  world.said = (text, child = world.child, ms = 30000) =>
    eventually(`codev-state says ${text}`, () => {
      if (child.exitCode !== null) throw new Error(`it ended: ${child.err}`);
      return child.err.includes(text);
    }, ms);
  // Each milestone that a branch's history tells of, oldest first: "session_created", "question_answered que_1".
  world.milestones = (id, branch = "main") =>
    world.git("log", "--reverse", "--format=%(trailers:key=Codev-Session,valueonly,separator=) %(trailers:key=Codev-Milestone,valueonly,separator=)", branch)
      .split("\n").filter((line) => line.startsWith(`${id} `)).map((line) => line.slice(id.length + 1).trim());
  world.committed = (id, milestones, branch = "main", ms = 40000) =>
    eventually(`${id}: ${milestones.join(", ")} on ${branch}`, () => {
      const got = world.milestones(id, branch);
      if (JSON.stringify(got) !== JSON.stringify(milestones)) throw new Error(`${got.join(", ")}; ${world.child?.err.slice(-600)}`);
      return true;
    }, ms);
  world.place = (id) => `sessions/${pod}/${id}/${FILE}`;
  world.file = (id) => fs.readFileSync(path.join(world.own, world.place(id)), "utf8");
  world.pushed = (id, rev = "main") => world.git("show", `${rev}:${world.place(id)}`);

  // ---- the gateway, and what its bridge tells
  let seq = 0;
  const asked = new Map(); // question → session
  world.startGateway = async () => {
    world.port ??= (await freePorts(1))[0];
    world.gateway = start("codev-gateway", {
      ...{ CODEV_GATEWAY_LISTEN: "127.0.0.1", CODEV_GATEWAY_PORT: String(world.port), CODEV_OPENCODE_URL: "" },
      ...{ CODEV_TOKEN: TOKEN, CODEV_BRIDGE_TOKEN: BRIDGE_TOKEN },
    });
    await eventually("the gateway listens", () => world.gateway.err.includes("listening on"));
    world.ws = new WebSocket(`ws://127.0.0.1:${world.port}/ws/bridge`, { headers: { authorization: `Bearer ${BRIDGE_TOKEN}` } });
    world.acked = 0;
    world.ws.on("error", () => {});
    await new Promise((done) => {
      world.ws.on("open", () => send({ type: "hello", protocol: 1, plugin_version: "1", opencode_version: "1.18.33", pod, instance: "i1", directory: "/w", directories: ["/w"], last_seq: seq }));
      world.ws.on("message", (data) => {
        const frame = JSON.parse(data);
        if (frame.type === "welcome") done();
        else if (frame.type === "ack") world.acked = frame.seq;
        else if (frame.type === "question.reply") {
          const id = frame.question_id;
          send({ type: "question.reply.result", request_id: frame.request_id, question_id: id });
          event(asked.get(id), "question.replied", { question_id: id, rejected: false, answers: frame.answers });
        } else if (frame.request_id) send({ type: "error", request_id: frame.request_id, code: "unknown_command", message: "scripted" });
      });
    });
  };
  const send = (frame) => world.ws.send(JSON.stringify(frame));
  const event = (id, type, fields) =>
    send({ type, seq: ++seq, time: new Date().toISOString(), directory: "/w", session_id: id, root_session_id: id, ...fields });
  world.stored = () => eventually("the gateway has stored all", () => world.acked === seq);
  world.fetch = async (route, init = {}) => {
    const response = await fetch(`http://127.0.0.1:${world.port}${route}`, {
      ...init,
      headers: { authorization: `Bearer ${TOKEN}`, ...(init.body ? { "content-type": "application/json" } : {}) },
      signal: AbortSignal.timeout(20000),
    });
    const body = await response.text();
    return { status: response.status, body: body ? JSON.parse(body) : null };
  };
  world.create = async (id, title = "Test") => {
    const now = Date.now();
    event(id, "session.created", { session: { id, directory: "/w", title, agent: "build", model: { provider: "fake", model: "fake-1" }, created_ms: now, updated_ms: now } });
    await world.stored();
  };
  world.ask = async (id, question) => {
    asked.set(question, id);
    const questions = [{ question: "A secret text?", header: "Which", options: [{ label: "One", description: "" }], multiple: false, custom: false }];
    event(id, "question.asked", { question: { id: question, questions } });
    await world.stored();
  };
  world.answer = async (id, question) => {
    const { status, body } = await world.fetch(`/api/requests/${question}/decision`, { method: "POST", body: JSON.stringify({ decision: "answer", answers: [["One"]] }) });
    if (status >= 300) throw new Error(`${status} ${JSON.stringify(body)}`);
    await eventually("the answer is settled", async () =>
      (await world.fetch("/api/requests?all=1")).body.requests.find((r) => r.id === question).state === "settled");
  };
  world.end = async (id) => {
    event(id, "session.deleted", {});
    await world.stored();
  };
  return world;
}

// git http-backend for the world's origin, pushes and its hooks included. `server.mode` may be set to
// "hang" (takes connections and never answers) or a status number.
export async function startHttp(t, world) {
  const sockets = new Set();
  const server = http.createServer((request, response) => {
    world.asked = (world.asked ?? 0) + 1;
    if (handle.mode === "hang") return;
    if (typeof handle.mode === "number") return void response.writeHead(handle.mode, { "www-authenticate": 'Basic realm="git"' }).end();
    cgi(world, request, response);
  });
  server.on("connection", (socket) => (sockets.add(socket), socket.on("close", () => sockets.delete(socket))));
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const handle = {
    mode: "",
    url: `http://127.0.0.1:${server.address().port}/origin.git`,
    cut: () => sockets.forEach((socket) => socket.destroy()),
  };
  world.git("config", "http.receivepack", "true");
  t.after(() => (handle.cut(), server.close()));
  return handle;
}

function cgi(world, request, response) {
  const [pathname, query = ""] = request.url.split("?");
  const child = spawn("git", ["http-backend"], {
    env: {
      ...{ PATH: process.env.PATH, HOME: world.dir, GIT_PROJECT_ROOT: world.dir, GIT_HTTP_EXPORT_ALL: "1" },
      ...{ PATH_INFO: pathname, QUERY_STRING: query, REQUEST_METHOD: request.method },
      CONTENT_TYPE: request.headers["content-type"] ?? "",
      ...(request.headers["content-encoding"] ? { HTTP_CONTENT_ENCODING: request.headers["content-encoding"] } : {}),
    },
    stdio: ["pipe", "pipe", "ignore"],
  });
  request.pipe(child.stdin).on("error", () => {});
  const parts = [];
  child.stdout.on("data", (data) => parts.push(data));
  child.stdout.on("end", () => {
    const all = Buffer.concat(parts);
    const at = all.indexOf("\r\n\r\n");
    let status = 200;
    for (const line of all.subarray(0, at).toString().split("\r\n")) {
      const [name, value] = line.split(": ");
      if (name.toLowerCase() === "status") status = Number.parseInt(value, 10);
      else if (name) response.setHeader(name, value ?? "");
    }
    response.writeHead(status);
    response.end(all.subarray(at + 4));
  });
}
