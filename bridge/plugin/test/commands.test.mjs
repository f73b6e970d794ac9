import assert from "node:assert/strict";
import test from "node:test";
import { assertValid, assertValidFrame, eventually, fakeApi, load } from "./lib/load.mjs";

const { Commands } = await load("commands");

const SESSION = { id: "ses_1", directory: "/d", title: "T", time: { created: 1, updated: 2 } };
function start(routes = {}, { directories = [{ path: "/d", sync: async () => {} }], none = false } = {}) {
  const api = fakeApi(routes);
  const sent = [];
  const log = [];
  let now = 1;
  const commands = new Commands({
    api: () => (none ? undefined : api),
    directories: () => directories,
    directoryOf: (id) => (id === "per_seen" ? "/seen" : undefined),
    send: (text) => sent.push(JSON.parse(text)),
    log: (m) => log.push(m),
    now: () => now,
  });
  let serial = 0;
  const ask = async (type, fields = {}, request_id = `r${++serial}`) => {
    const before = sent.length;
    commands.handle({ type, request_id, ...fields });
    await eventually(`an answer to ${type}`, () => sent.length > before);
    const answer = sent.at(-1);
    assertValidFrame(answer);
    assert.equal(answer.request_id, request_id);
    return answer;
  };
  return { commands, api, sent, log, ask, later: (ms) => (now += ms) };
}
const fail = (code, message = code) => Object.assign(new Error(message), { code });

test("each command calls OpenCode with the right directory and answers", async () => {
  const { ask, api } = start({
    "POST /session": SESSION,
    "POST /session/ses_1/prompt_async": {},
    "GET /session": [SESSION, "rubbish", null],
    "GET /session/status": { ses_1: { type: "busy" } },
    "GET /session/ses_1": SESSION,
    "GET /session/ses_1/message": [
      { info: { id: "msg_1", role: "user", time: { created: 1 } }, parts: [{ id: "p", type: "text", text: "hi" }, { id: "q", type: "file" }] },
      { info: { id: "msg_2", role: "assistant", time: { created: 2, completed: 3 }, error: { name: "E", data: { message: "m" } } }, parts: [{ id: "t", type: "tool", tool: "bash", state: { status: "completed", input: { command: "ls\nx" } } }] },
      { rubbish: true },
    ],
    "POST /session/ses_1/abort": true,
    "POST /permission/per_1/reply": true,
    "POST /permission/per_seen/reply": true,
    "POST /question/que_1/reply": true,
    "POST /question/que_1/reject": true,
  });
  const created = await ask("session.create", { workspace: "/d", task: "do", title: "T", agent: "build", model: { provider: "p", model: "m" } });
  assert.equal(created.session_id, "ses_1");
  assert.deepEqual(api.calls[0].body, { title: "T", agent: "build", model: { id: "m", providerID: "p" } });
  assert.equal(api.calls[0].query.directory, "/d");
  assert.deepEqual(api.calls[1].body, { parts: [{ type: "text", text: "do" }], agent: "build", model: { providerID: "p", modelID: "m" } });
  assert.equal((await ask("session.message", { session_id: "ses_1", text: "x" })).type, "session.message.result");
  assert.equal((await ask("session.list")).sessions.length, 1);
  assert.equal((await ask("session.get", { session_id: "ses_1" })).status, "busy");
  const { messages } = await ask("session.messages", { session_id: "ses_1" });
  assert.deepEqual(messages.map((m) => m.parts.map((p) => p.text)), [["hi"], ["bash: ls…"]]);
  assert.equal(messages[1].error, "m");
  assert.equal((await ask("session.abort", { session_id: "ses_1" })).type, "session.abort.result");
  await ask("permission.reply", { permission_id: "per_1", reply: "once", message: "dropped", directory: "/e" });
  assert.deepEqual([api.calls.at(-1).query, api.calls.at(-1).body], [{ directory: "/e" }, { reply: "once" }]);
  await ask("permission.reply", { permission_id: "per_seen", reply: "reject", message: "why" });
  assert.deepEqual([api.calls.at(-1).query, api.calls.at(-1).body], [{ directory: "/seen" }, { reply: "reject", message: "why" }]);
  await ask("question.reply", { question_id: "que_1", answers: [["a"], []] });
  assert.equal((await ask("question.reject", { question_id: "que_1" })).type, "question.reject.result");
  assert.deepEqual((await ask("state.sync")).directories, ["/d"]);
  assert.equal((await ask("ping")).type, "pong");
});

test("a prompt with an id of the gateway's is one message, looked for when it may be there", async () => {
  const there = new Set();
  const sessions = [];
  const { ask, api } = start({
    "POST /session": ({ body }) => (sessions.push({ ...SESSION, metadata: body.metadata }), SESSION),
    "GET /session": () => sessions,
    "POST /session/ses_1/prompt_async": ({ body }) => (there.add(body.messageID), {}),
    "GET /session/ses_1/message/msg_1": () => {
      if (!there.has("msg_1")) throw fail("not_found");
      return {};
    },
  });
  const prompts = () => api.calls.filter((c) => c.route.endsWith("prompt_async"));
  const message = { session_id: "ses_1", text: "x", message_id: "msg_1" };
  await ask("session.message", { ...message, again: true });
  assert.deepEqual(prompts()[0].body, { messageID: "msg_1", parts: [{ id: "prt_1", type: "text", text: "x" }] });
  await ask("session.message", { ...message, again: true });
  assert.equal(prompts().length, 1, "it was there already");
  assert.equal((await ask("session.message", { ...message, message_id: "../x" })).code, "bad_request");
  there.clear();
  const create = { workspace: "/d", task: "do", key: "k1", message_id: "msg_1" };
  await ask("session.create", { ...create, again: true });
  await ask("session.create", { ...create, again: true });
  assert.equal(sessions.length, 1, "the session was there already");
  assert.deepEqual(sessions[0].metadata, { codev_key: "k1" });
  assert.equal(prompts().length, 2, "and its prompt");
});

test("fields that are missing, wrong or hostile are refused before OpenCode hears of them", async () => {
  const { ask, api } = start();
  const long = "x".repeat(300_000);
  const bad = [
    ["session.create", { workspace: "relative" }],
    ["session.create", { workspace: "/a\0b" }],
    ["session.create", { workspace: 5 }],
    ["session.create", { workspace: "/d", task: long }],
    ["session.create", { workspace: "/d", model: "p/m" }],
    ["session.create", { workspace: "/d", model: { provider: "p" } }],
    ["session.create", { workspace: `/${long}` }],
    ["session.message", { text: "x" }],
    ["session.message", { session_id: "ses_1" }],
    ["session.message", { session_id: "ses_1", text: "" }],
    ["session.message", { session_id: "../../auth/x", text: "x" }],
    ["session.message", { session_id: "ses_1/../../global/dispose", text: "x" }],
    ["session.message", { session_id: "ses_1?directory=/x", text: "x" }],
    ["session.message", { session_id: "per_1", text: "x" }],
    ["session.get", { session_id: ["ses_1"] }],
    ["session.get", { session_id: "ses_1\n" }],
    ["session.list", { limit: 0 }],
    ["session.list", { limit: 1e9 }],
    ["session.list", { limit: "5" }],
    ["session.list", { roots: "yes" }],
    ["permission.reply", { permission_id: "per_1" }],
    ["permission.reply", { permission_id: "per_1", reply: "yes" }],
    ["permission.reply", { permission_id: "per_1/../x", reply: "once" }],
    ["permission.reply", { permission_id: "per_1", reply: "reject", message: long }],
    ["permission.reply", { permission_id: "per_1", reply: "once", directory: "../x" }],
    ["question.reply", { question_id: "que_1" }],
    ["question.reply", { question_id: "que_1", answers: ["a"] }],
    ["question.reply", { question_id: "que_1", answers: [[1]] }],
    ["question.reply", { question_id: "que_1", answers: Array(200).fill([]) }],
    ["state.sync", { directory: "x" }],
  ];
  for (const [type, fields] of bad) {
    const answer = await ask(type, fields);
    assert.equal(answer.code, "bad_request", `${type} ${JSON.stringify(fields).slice(0, 100)}`);
  }
  for (const type of ["nonsense", "__proto__", "constructor", "toString", "hello", "welcome"])
    assert.equal((await ask(type)).code, "unknown_command");
  assert.deepEqual(api.calls, []);
});

test("a frame without a good request_id is not answered", async () => {
  const { commands, sent, log } = start();
  for (const request_id of [undefined, null, 5, "", "a b", "x".repeat(129), "ä", {}]) commands.handle({ type: "ping", request_id });
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(sent, []);
  assert.equal(log.length, 8);
});

test("OpenCode's failures become codes", async () => {
  const { ApiError } = await load("api");
  for (const code of ["not_found", "refused", "failed", "timeout"]) {
    const error = new ApiError(code, `it is ${code}`);
    const { ask } = start({ "GET /session/ses_1": error });
    const answer = await ask("session.get", { session_id: "ses_1" });
    // bundled separately, so another class: what matters is that it is an answer
    assert.ok(["failed", code].includes(answer.code));
    assert.equal(answer.message, `it is ${code}`);
  }
  const none = start({}, { none: true, directories: [] });
  assert.equal((await none.ask("session.get", { session_id: "ses_1" })).code, "failed");
  assert.equal((await none.ask("session.list")).code, "bad_request");
  const odd = start({ "POST /session": "no session" });
  assert.equal((await odd.ask("session.create", { workspace: "/d" })).code, "failed");
});

test("a session whose first prompt failed is named", async () => {
  const { ask } = start({ "POST /session": SESSION, "POST /session/ses_1/prompt_async": fail("refused") });
  const answer = await ask("session.create", { workspace: "/d", task: "x" });
  assert.deepEqual([answer.type, answer.session_id], ["error", "ses_1"]);
});

test("the same request_id is done once, and answered each time it is asked", async () => {
  let release;
  const { commands, sent, ask, api, later } = start({ "POST /session": () => new Promise((resolve) => (release = () => resolve(SESSION))) });
  const frame = { type: "session.create", request_id: "same", workspace: "/d" };
  commands.handle(frame);
  commands.handle(frame); // while it runs: one answer will do
  await eventually("it runs", () => release);
  release();
  await eventually("the answer", () => sent.length === 1);
  await ask("session.create", { workspace: "/d" }, "same");
  assert.equal(sent.length, 2);
  assert.deepEqual(sent[0], sent[1]);
  assert.equal(api.calls.length, 1);
  later(11 * 60_000);
  release = undefined;
  commands.handle(frame);
  await eventually("done again after ten minutes", () => release);
  release();
});

test("at most 64 commands at once", async () => {
  const { commands, sent } = start({ "GET /session/ses_1": () => new Promise(() => {}) });
  for (let i = 0; i < 70; i++) commands.handle({ type: "session.get", request_id: `r${i}`, session_id: "ses_1" });
  await eventually("the rest is refused", () => sent.length === 6);
  for (const answer of sent) {
    assertValid("answer.error", answer);
    assert.equal(answer.code, "busy");
  }
});

test("an answer that is too big is cut or refused", async () => {
  const big = { info: { id: "msg_1", role: "user", time: {} }, parts: [{ id: "p", type: "text", text: "\u0001".repeat(90_000) }] };
  const { ask } = start({
    "GET /session/ses_1/message": Array(50).fill(big),
    "GET /session": Array.from({ length: 1000 }, (_, i) => ({ ...SESSION, id: `ses_${i}`, title: "\u0001".repeat(1000) })),
    "GET /session/status": {},
  });
  const answer = await ask("session.messages", { session_id: "ses_1" });
  assert.equal(answer.truncated, true);
  assert.equal((await ask("session.list", { limit: 1000 })).code, "too_big");
});

test("state.sync loads a directory that is not loaded", async () => {
  const directories = [];
  let calls = 0;
  const { ask } = start(
    {
      "GET /session/status": () => {
        if (++calls === 2) directories.push({ path: "/new", sync: async () => {} });
        return {};
      },
    },
    { directories },
  );
  assert.deepEqual((await ask("state.sync", { directory: "/new" })).directories, ["/new"]);
});
