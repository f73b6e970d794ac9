// The bridge plugin inside the real OpenCode, with a scripted model and a small gateway that holds
// every frame against the schema.
import test, { after, before, describe } from "node:test";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { startGateway } from "./lib/bridge.mjs";
import { OPENCODE, TOP, eventually, freePorts, sleep, startFakeModel, tempDir } from "./lib/util.mjs";

const PLUGIN = path.join(TOP, "bridge/plugin");
const TOKEN = "bridge-token-4711";

// OpenCode with the plugin in a home of its own. `secrets`: how the token is handed over.
async function startOpenCode(gateway, { dir = tempDir("plugin"), secrets = "pipe", env = {}, model } = {}) {
  const home = path.join(dir, "home");
  for (const name of ["home/.config/opencode/node_modules", "project", "other"])
    fs.mkdirSync(path.join(dir, name), { recursive: true });
  // disarms OpenCode's own dependency install
  fs.writeFileSync(
    path.join(home, ".config/opencode/package-lock.json"),
    '{"lockfileVersion":3,"packages":{"":{"dependencies":{"@opencode-ai/plugin":"*"}}}}',
  );
  const config = path.join(dir, "config.json");
  fs.writeFileSync(
    config,
    JSON.stringify({
      ...{ model: "fake/fake-1", small_model: "fake/fake-1", enabled_providers: ["fake"] },
      ...{ share: "disabled", autoupdate: false, plugin: [`file://${PLUGIN}`] },
      provider: {
        fake: {
          npm: "@ai-sdk/openai-compatible",
          options: { baseURL: model.url, apiKey: "none" },
          models: { "fake-1": { name: "Fake 1", tool_call: true, limit: { context: 100000, output: 8000 } } },
        },
      },
      permission: { bash: "ask", edit: "ask" },
    }),
  );
  const [port] = await freePorts(1);
  const log = path.join(dir, "bridge.log");
  const extra = secrets === "env" ? { CODEV_BRIDGE_TOKEN: TOKEN } : { CODEV_SECRETS_FD: "7" };
  const args = `exec "${OPENCODE}" serve --hostname 127.0.0.1 --port ${port}`;
  // as a supervisor does: a pipe whose writer is gone when OpenCode reads it
  const pipe = `exec 7< <(printf 'OTHER=x\\nCODEV_BRIDGE_TOKEN=%s\\n' "$HANDOVER"); unset HANDOVER; sleep 0.1; ${args}`;
  const child = spawn("bash", ["-c", secrets === "env" ? args : pipe], {
    cwd: path.join(dir, "project"),
    env: {
      ...{ PATH: process.env.PATH, HOME: home, TMPDIR: dir, LANG: "C.UTF-8" },
      ...{ OPENCODE_CONFIG: config, OPENCODE_DISABLE_MODELS_FETCH: "1", OPENCODE_DISABLE_AUTOUPDATE: "1" },
      ...{ GATEWAY_WS: gateway.ws, GATEWAY_URL: gateway.url, CODEV_POD: "pod-a", CODEV_PLUGIN_LOG: log },
      ...(secrets === "env" ? {} : { HANDOVER: TOKEN }),
      ...extra,
      ...env,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const oc = { dir, port, log, child, output: "", project: path.join(dir, "project"), other: path.join(dir, "other") };
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (d) => (oc.output += d));
  oc.ended = new Promise((resolve) => child.on("close", resolve));
  oc.fetch = async (route, { method = "GET", body } = {}) => {
    const response = await fetch(`http://127.0.0.1:${port}${route}`, {
      method,
      ...(body && { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
      signal: AbortSignal.timeout(20000),
    });
    const text = await response.text();
    return text ? JSON.parse(text) : null;
  };
  oc.load = (directory) => oc.fetch(`/session/status?directory=${encodeURIComponent(directory)}`);
  oc.logText = () => (fs.existsSync(log) ? fs.readFileSync(log, "utf8") : "");
  oc.stop = async () => {
    await fetch(`http://127.0.0.1:${port}/global/dispose`, { method: "POST", signal: AbortSignal.timeout(3000) }).catch(() => {});
    child.kill("SIGKILL");
    await oc.ended;
  };
  await eventually("OpenCode listens", () => child.exitCode !== null || /listening on/.test(oc.output), 30000);
  assert.equal(child.exitCode, null, `OpenCode ended: ${oc.output}`);
  return oc;
}

describe("the bridge plugin in OpenCode", { timeout: 300000 }, () => {
  let gateway, model, oc;
  before(async () => {
    model = await startFakeModel();
    gateway = await startGateway({ token: TOKEN });
    oc = await startOpenCode(gateway, { model });
    await oc.load(oc.project);
    await eventually("the plugin says hello", () => gateway.hellos.length === 1);
  });
  after(async () => {
    await oc?.stop();
    await gateway?.down();
    model?.stop();
    if (oc) fs.rmSync(oc.dir, { recursive: true, force: true });
  });
  const create = async (task, more = {}) => {
    const answer = await gateway.command("session.create", { workspace: oc.project, task, title: "Test", ...more });
    assert.equal(answer.type, "session.created", JSON.stringify(answer));
    return answer.session_id;
  };
  const idle = (session) => gateway.event("the turn ends", (e) => e.type === "session.idle" && e.session_id === session);
  const asked = (match) => gateway.event("a permission request", (e) => e.type === "permission.asked" && match(e));
  const of = (session, type) => gateway.events.filter((e) => e.session_id === session && e.type === type);

  test("says hello and tells the state of its directory", async () => {
    const { hello, url, authorization } = gateway.hellos[0];
    assert.equal(url, "/ws/bridge");
    assert.equal(authorization, `Bearer ${TOKEN}`);
    assert.equal(hello.pod, "pod-a");
    assert.equal(hello.directory, oc.project);
    assert.match(hello.opencode_version, /^\d+\.\d+\.\d+/);
    const sync = await gateway.event("state.sync", (e) => e.type === "state.sync" && e.directory === oc.project);
    assert.equal(sync.complete, true);
    assert.deepEqual(sync.permissions, []);
    assert.match(oc.logText(), /Plugin initialized/);
    assert.match(oc.logText(), new RegExp(`Gateway WebSocket: ${gateway.ws}`));
    assert.doesNotMatch(oc.output, /Plugin initialized|Gateway WebSocket/);
    assert.doesNotMatch(oc.logText(), new RegExp(TOKEN));
  });

  test("a command waits for permission and runs when it is allowed", async () => {
    const session = await create('@@text I run it.\n@@tool bash {"command":"echo ran > proof","description":"x"}\n@@then\n@@text All done.');
    const request = await asked((e) => e.session_id === session);
    assert.equal(request.root_session_id, session);
    assert.equal(request.directory, oc.project);
    assert.deepEqual(request.permission.patterns, ["echo ran > proof"]);
    assert.equal(fs.existsSync(path.join(oc.project, "proof")), false);
    const answer = await gateway.command("permission.reply", {
      permission_id: request.permission.id,
      reply: "once",
      directory: oc.project,
    });
    assert.equal(answer.type, "permission.reply.result");
    await idle(session);
    assert.equal(fs.readFileSync(path.join(oc.project, "proof"), "utf8"), "ran\n");
    assert.equal(of(session, "permission.replied")[0].reply, "once");
    assert.deepEqual(of(session, "tool.executed").map((e) => e.status), ["running", "completed"]);
    assert.equal(of(session, "session.idle").length, 1);
    assert.equal(of(session, "session.active").length, 1);
    assert.equal(of(session, "usage").length, 2);
    const said = of(session, "message.part.streamed").filter((e) => e.role === "assistant" && e.final);
    assert.deepEqual(said.map((e) => e.content), ["I run it.", "All done."]);
    const again = await gateway.command("permission.reply", { permission_id: request.permission.id, reply: "once", directory: oc.project });
    assert.equal(again.code, "not_found");
  });

  test("a rejection's reason reaches the model", async () => {
    const session = await create('@@tool bash {"command":"rm -rf x","description":"x"}\n@@then\n@@text Understood.');
    const { permission } = await asked((e) => e.session_id === session);
    await gateway.command("permission.reply", { permission_id: permission.id, reply: "reject", message: "use trash instead", directory: oc.project });
    await idle(session);
    const failed = of(session, "tool.executed").at(-1);
    assert.equal(failed.status, "error");
    assert.match(failed.error, /use trash instead/);
    assert.ok(of(session, "message.part.streamed").some((e) => e.content === "Understood."), "the turn went on");
  });

  test("a subagent's request names the root session", async () => {
    const task = JSON.stringify({
      description: "sub",
      subagent_type: "general",
      prompt: '@@tool bash {"command":"echo child","description":"x"}\n@@then\n@@text child done',
    });
    const session = await create(`@@tool task ${task}\n@@then\n@@text root done`);
    const request = await asked((e) => e.root_session_id === session);
    assert.notEqual(request.session_id, session);
    // both are busy, so the request stays listed when the state is told anew
    gateway.events.length = 0;
    const answer = await gateway.command("state.sync", { directory: oc.project });
    assert.deepEqual(answer.directories, [oc.project]);
    const sync = gateway.events.find((e) => e.type === "state.sync");
    assert.equal(sync.permissions[0]?.root_session_id, session);
    assert.equal(sync.permissions[0]?.permission.id, request.permission.id);
    assert.deepEqual(sync.busy.map((b) => b.root_session_id), [session, session]);
    await gateway.command("permission.reply", { permission_id: request.permission.id, reply: "once" });
    await idle(session);
  });

  test("a question is asked, answered and dismissed", async () => {
    const q = { questions: [{ question: "Which?", header: "H", options: [{ label: "Red", description: "r" }], multiple: false }] };
    const session = await create(`@@tool question ${JSON.stringify(q)}\n@@then\n@@tool question ${JSON.stringify(q)}\n@@then\n@@text ok`);
    const first = await gateway.event("a question", (e) => e.type === "question.asked" && e.session_id === session);
    assert.deepEqual(first.question.questions[0].options, [{ label: "Red", description: "r" }]);
    await gateway.command("question.reply", { question_id: first.question.id, answers: [["Red"]], directory: oc.project });
    const second = await gateway.event("another", (e) => e.type === "question.asked" && e.session_id === session && e !== first);
    await gateway.command("question.reject", { question_id: second.question.id, directory: oc.project });
    await idle(session);
    assert.deepEqual(of(session, "question.replied").map((e) => [e.rejected, e.answers]), [[false, [["Red"]]], [true, []]]);
  });

  test("an aborted turn's request is gone from the state", async () => {
    const session = await create('@@tool bash {"command":"echo never","description":"x"}\n@@then\n@@text x');
    await asked((e) => e.session_id === session);
    assert.equal((await gateway.command("session.abort", { session_id: session })).type, "session.abort.result");
    await idle(session);
    assert.equal(of(session, "session.error")[0].aborted, true);
    const listed = await oc.fetch(`/permission?directory=${encodeURIComponent(oc.project)}`);
    assert.ok(listed.some((r) => r.sessionID === session), "OpenCode still lists it: the test means something");
    gateway.events.length = 0;
    await gateway.command("state.sync", { directory: oc.project });
    const sync = gateway.events.find((e) => e.type === "state.sync");
    assert.ok(!sync.permissions.some((p) => p.session_id === session));
    const unknown = await gateway.command("session.abort", { session_id: "ses_doesnotexist" });
    assert.equal(unknown.code, "not_found");
  });

  test("long text comes whole and coalesced", async () => {
    const session = await create("@@slow 60 15");
    await idle(session);
    const parts = of(session, "message.part.streamed").filter((e) => e.role === "assistant");
    assert.ok(parts.length >= 3 && parts.length <= 15, `${parts.length} frames for 60 words in 0.9 s`);
    const words = Array.from({ length: 60 }, (_, i) => `word${i}`).join(" ");
    assert.equal(parts.at(-1).content.trim(), words);
    assert.equal(parts.at(-1).final, true);
    for (let i = 1; i < parts.length; i++) assert.ok(parts[i].content.startsWith(parts[i - 1].content.trimEnd()));
  });

  test("completed todos are milestones", async () => {
    const todo = (status) => JSON.stringify({ todos: [{ content: "Write it", status, priority: "high" }, { content: "Test it", status: "pending", priority: "high" }] });
    const session = await create(`@@tool todowrite ${todo("in_progress")}\n@@then\n@@tool todowrite ${todo("completed")}\n@@then\n@@text ok`);
    await idle(session);
    assert.deepEqual(of(session, "agent.milestone").map((e) => e.text), ["Write it (1/2)"]);
  });

  test("session commands", async () => {
    const session = await create("hello there", { agent: "build", model: { provider: "fake", model: "fake-1" } });
    await idle(session);
    gateway.events.length = 0;
    assert.equal((await gateway.command("session.message", { session_id: session, text: "second" })).session_id, session);
    await idle(session);
    const list = await gateway.command("session.list", { directory: oc.project });
    assert.ok(list.sessions.some((s) => s.id === session));
    const got = await gateway.command("session.get", { session_id: session });
    assert.equal(got.session.id, session);
    assert.equal(got.status, "idle");
    const { messages, truncated } = await gateway.command("session.messages", { session_id: session });
    assert.equal(truncated, false);
    assert.deepEqual(messages.map((m) => `${m.role}: ${m.parts.find((p) => p.kind === "text").text}`), [
      "user: hello there",
      "assistant: You said: hello there",
      "user: second",
      "assistant: You said: second",
    ]);
    assert.equal((await gateway.command("session.get", { session_id: "ses_unknown" })).code, "not_found");
    assert.equal((await gateway.command("ping")).type, "pong");
  });

  test("a command sent again is done once", async () => {
    const fields = { workspace: oc.project, title: "Only one" };
    const first = await gateway.command("session.create", fields, "same-id");
    const second = await gateway.command("session.create", fields, "same-id");
    assert.equal(second.session_id, first.session_id);
    const { sessions } = await gateway.command("session.list", { directory: oc.project, search: "Only one" });
    assert.equal(sessions.length, 1);
  });

  test("bad commands are answered, bad frames ignored", async () => {
    gateway.raw("{");
    gateway.raw("[1]");
    gateway.raw('{"no":"type"}');
    gateway.raw('{"type":"session.create"}');
    gateway.raw(Buffer.from([1, 2, 3]));
    assert.equal((await gateway.command("ping")).type, "pong");
    assert.equal(gateway.hellos.length, 1, "the link stayed");
  });

  test("two directories share one link", async () => {
    await oc.load(oc.other);
    await gateway.event("state of the other", (e) => e.type === "state.sync" && e.directory === oc.other);
    assert.equal(gateway.hellos.length, 1);
    const answer = await gateway.command("session.create", { workspace: oc.other, task: '@@tool bash {"command":"pwd","description":"x"}\n@@then\n@@text ok' });
    assert.equal(answer.directory, oc.other);
    const request = await asked((e) => e.session_id === answer.session_id);
    assert.equal(request.directory, oc.other);
    // no directory in the command: the plugin remembers it
    const reply = await gateway.command("permission.reply", { permission_id: request.permission.id, reply: "once" });
    assert.equal(reply.type, "permission.reply.result");
    await idle(answer.session_id);
    // a message to a session of the other directory finds it through any client
    gateway.events.length = 0;
    await gateway.command("session.message", { session_id: answer.session_id, text: "again" });
    const active = await gateway.event("active there", (e) => e.type === "session.active" && e.session_id === answer.session_id);
    assert.equal(active.directory, oc.other);
    await idle(answer.session_id);
  });

  test("a directory that is disposed comes back with its next use", async () => {
    const directory = encodeURIComponent(oc.other);
    const { session_id } = await gateway.command("session.create", { workspace: oc.other, task: '@@tool bash {"command":"id","description":"x"}' });
    await asked((e) => e.session_id === session_id);
    gateway.events.length = 0;
    await oc.fetch(`/instance/dispose?directory=${directory}`, { method: "POST" });
    await idle(session_id);
    const answer = await gateway.command("state.sync", { directory: oc.other });
    assert.deepEqual(answer.directories, [oc.other]);
    assert.equal(gateway.hellos.length, 1);
  });

  test("the agent's commands see no token", async () => {
    const look = 'env; ls -l /proc/self/fd; cat /proc/$PPID/environ | tr "\\\\0" "\\\\n"; for f in /proc/$PPID/fd/*; do readlink "$f"; done; cat <&7';
    const session = await create(`@@tool bash {"command":"(${look.replaceAll('"', '\\"')}) > seen 2>&1","description":"x"}\n@@then\n@@text ok`);
    for (let done = false; !done; ) {
      const next = await gateway.event("a request or the end", (e) => e.session_id === session && ((e.type === "permission.asked" && !e.answered) || e.type === "session.idle"));
      done = next.type === "session.idle";
      next.answered = true;
      if (!done) await gateway.command("permission.reply", { permission_id: next.permission.id, reply: "once", directory: oc.project });
    }
    const seen = fs.readFileSync(path.join(oc.project, "seen"), "utf8");
    assert.match(seen, /GATEWAY_WS=/, "it did look");
    assert.doesNotMatch(seen, new RegExp(TOKEN));
    assert.match(seen, /7: Bad file descriptor/);
  });

  test("what happens while the gateway is away is told later, once", async () => {
    const session = await create("first");
    await idle(session);
    const seen = Math.max(...gateway.events.map((e) => e.seq));
    await gateway.down();
    gateway.events.length = 0;
    await oc.fetch(`/session/${session}/prompt_async`, {
      method: "POST",
      body: { parts: [{ type: "text", text: '@@text working\n@@tool bash {"command":"echo late","description":"x"}\n@@then\n@@text done' }] },
    });
    const listed = async () => (await oc.fetch(`/permission?directory=${encodeURIComponent(oc.project)}`)).filter((r) => r.sessionID === session);
    await eventually("OpenCode waits", async () => (await listed()).length === 1);
    await gateway.up();
    const request = await asked((e) => e.session_id === session);
    assert.equal(gateway.hellos.length, 2);
    assert.ok(gateway.hellos[1].hello.last_seq > seen);
    assert.equal(gateway.hellos[1].hello.instance, gateway.hellos[0].hello.instance);
    const sync = await gateway.event("state", (e) => e.type === "state.sync" && e.directory === oc.project && e.seq > request.seq);
    assert.ok(sync.permissions.some((p) => p.permission.id === request.permission.id));
    await gateway.command("permission.reply", { permission_id: request.permission.id, reply: "once", directory: oc.project });
    await idle(session);
    const seqs = gateway.events.map((e) => e.seq);
    assert.ok(Math.min(...seqs) > seen, "nothing that was acked came again");
    assert.deepEqual(seqs, [...new Set(seqs)].sort((a, b) => a - b));
    assert.ok(gateway.events.some((e) => e.type === "message.part.streamed" && e.content === "working"));
  });

  test("events that were not acked come again", async () => {
    gateway.acking = false;
    gateway.events.length = 0;
    const session = await create("unacked");
    await idle(session);
    const before = gateway.events.filter((e) => e.type !== "message.part.streamed" && e.type !== "session.updated");
    gateway.events.length = 0;
    gateway.acking = true;
    gateway.socket.terminate();
    await idle(session);
    for (const e of before) if (e.type !== "state.sync") assert.deepEqual(gateway.events.find((x) => x.seq === e.seq), e);
  });

  test("with the WebSocket down, a request is decided by HTTP", async () => {
    gateway.token = "changed"; // the WebSocket is refused, HTTP is not looked at
    gateway.onPost = () => ({ body: { status: "deny", decision: "reject", decided_by: "Ann", message: "not today" } });
    gateway.socket.terminate();
    const made = await oc.fetch(`/session?directory=${encodeURIComponent(oc.project)}`, { method: "POST", body: {} });
    await oc.fetch(`/session/${made.id}/prompt_async`, {
      method: "POST",
      body: { parts: [{ type: "text", text: '@@tool bash {"command":"echo http","description":"x"}\n@@then\n@@text fine' }] },
    });
    await eventually("it is answered", async () =>
      JSON.stringify(await oc.fetch(`/session/${made.id}/message`)).includes("not today"),
    );
    assert.equal(gateway.posts[0].authorization, `Bearer ${TOKEN}`);
    assert.equal(gateway.posts[0].body.pod, "pod-a");
    assert.equal(gateway.posts[0].body.root_session_id, made.id);
    gateway.token = TOKEN;
    const replied = await gateway.event("told later", (e) => e.type === "permission.replied" && e.session_id === made.id, 60000);
    assert.equal(replied.reply, "reject");
  });

  test("no frame was against the schema", () => {
    assert.deepEqual(gateway.problems, []);
    assert.match(oc.logText(), /connected: gateway test/);
  });
});

test("without a gateway OpenCode works, and the plugin is quiet", { timeout: 60000 }, async () => {
  const model = await startFakeModel();
  const oc = await startOpenCode({ ws: "ws://127.0.0.1:9/ws/bridge", url: "http://127.0.0.1:9" }, { model, secrets: "env" });
  try {
    const { id } = await oc.fetch("/session", { method: "POST", body: {} });
    await oc.fetch(`/session/${id}/message`, { method: "POST", body: { parts: [{ type: "text", text: "alone" }] } });
    assert.match(JSON.stringify(await oc.fetch(`/session/${id}/message`)), /You said: alone/);
    assert.match(oc.logText(), /link: closed/);
    assert.doesNotMatch(oc.output, /link|gateway/i);
  } finally {
    await oc.stop();
    model.stop();
    fs.rmSync(oc.dir, { recursive: true, force: true });
  }
});

test("a gateway address that is no URL is logged, no more", { timeout: 60000 }, async () => {
  const model = await startFakeModel();
  const oc = await startOpenCode({ ws: "not a url", url: "::" }, { model, secrets: "env" });
  try {
    const { id } = await oc.fetch("/session", { method: "POST", body: {} });
    await oc.fetch(`/session/${id}/message`, { method: "POST", body: { parts: [{ type: "text", text: "alone" }] } });
    assert.match(JSON.stringify(await oc.fetch(`/session/${id}/message`)), /You said: alone/);
    await sleep(0);
    assert.match(oc.logText(), /cannot open a WebSocket/);
  } finally {
    await oc.stop();
    model.stop();
    fs.rmSync(oc.dir, { recursive: true, force: true });
  }
});
