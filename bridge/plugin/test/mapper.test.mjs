import assert from "node:assert/strict";
import test from "node:test";
import { assertValidFrame, fakeApi, fixture, load } from "./lib/load.mjs";

const { Directory } = await load("directory");
const { traceOf } = await load("trace");

function open(routes = {}, path = "/home/user/project") {
  const frames = [];
  const log = [];
  const api = fakeApi(routes);
  const directory = new Directory(path, api, {
    emit: (draft, root) =>
      frames.push({ ...draft, seq: frames.length + 1, directory: path, ...(root && { root_session_id: root }) }),
    lastSeq: () => frames.length,
    log: (m) => log.push(m),
  });
  const tell = (type, properties) => directory.handle({ type, properties });
  return { directory, frames, api, log, tell, of: (type) => frames.filter((f) => f.type === type) };
}
const known = (id, parentID) => ({ sessionID: id, info: { id, parentID, directory: "/home/user/project", title: "T", time: { created: 1, updated: 2 } } });

test("a recorded session: permission, rejection, question, abort, error", async () => {
  const { directory, frames, of } = open();
  for (const event of fixture("turns.jsonl")) directory.handle(event);
  await directory.settled();
  directory.close();
  for (const frame of frames) assertValidFrame(frame);
  const counts = {};
  for (const f of frames) counts[f.type] = (counts[f.type] ?? 0) + 1;
  assert.equal(counts["permission.asked"], 2);
  assert.equal(counts["permission.replied"], 2);
  assert.equal(counts["question.asked"], 1);
  assert.equal(counts["question.replied"], 1);
  assert.equal(counts["session.error"], 2);
  // three turns, though OpenCode says idle five times and busy eighteen times
  assert.equal(counts["session.idle"], 3);
  assert.equal(counts["session.active"], 3);
  assert.deepEqual(of("permission.asked")[0].permission, {
    id: "per_1fb2adcc0001c3nSOlIhJ441Yj",
    permission: "bash",
    patterns: ["echo hi"],
    metadata: { command: "echo hi" },
    always: ["echo *"],
    tool: { message_id: "msg_1fb2adc2b001sSyEwpUmqodk8Q", call_id: "call_3_0" },
  });
  assert.deepEqual(of("permission.replied").map((f) => f.reply), ["once", "reject"]);
  const [first] = of("tool.executed").filter((f) => f.status === "completed");
  assert.deepEqual([first.tool, first.title, first.duration_ms], ["bash", "echo hi", 447]);
  assert.equal(first.output, "hi\n");
  assert.deepEqual(of("session.error").map((f) => [f.name, f.aborted, f.status_code]), [
    ["MessageAbortedError", true, undefined],
    ["APIError", false, 401],
  ]);
  const said = of("message.part.streamed").filter((f) => f.role === "assistant" && f.final);
  assert.equal(said[0].content, "I will run a command.");
  assert.ok(of("message.part.streamed").some((f) => f.role === "user" && f.content.startsWith("please do it")));
  assert.equal(of("usage").reduce((n, f) => n + f.tokens.input, 0), 400);
  assert.ok(frames.every((f) => f.root_session_id === f.session_id));
});

test("a request has a trace of its own, all else that of the prompt it belongs to", async () => {
  const { directory, frames, of } = open();
  const events = fixture("turns.jsonl");
  for (const event of events) directory.handle(event);
  await directory.settled();
  for (const [asked, replied] of [["permission.asked", "permission.replied"]])
    for (const f of of(replied)) {
      assert.equal(f.trace_id, traceOf(f.permission_id));
      assert.ok(of(asked).some((a) => a.permission.id === f.permission_id && a.trace_id === f.trace_id));
    }
  assert.equal(of("question.asked")[0].trace_id, traceOf(of("question.asked")[0].question.id));
  // OpenCode's answers name their prompt
  const prompt = new Map();
  for (const { type, properties } of events)
    if (type === "message.updated" && properties.info.role === "assistant") prompt.set(properties.info.id, properties.info.parentID);
  const steps = frames.filter((f) => prompt.has(f.message_id));
  assert.ok(steps.length > 10);
  for (const f of steps) assert.equal(f.trace_id, traceOf(prompt.get(f.message_id)), f.type);
  const turns = new Set(of("session.idle").map((f) => f.trace_id));
  assert.equal(turns.size, 3, "a trace for each turn");
  for (const trace of turns) assert.ok([...prompt.values()].some((id) => traceOf(id) === trace));
  assert.deepEqual(of("session.active").map((f) => f.trace_id), of("session.idle").map((f) => f.trace_id));
});

test("a child's events carry the root, asked for once, and stay in order", async () => {
  const { directory, tell, frames, api } = open({
    "GET /session/ses_child": async () => {
      await new Promise((resolve) => setImmediate(resolve));
      return { parentID: "ses_middle" };
    },
    "GET /session/ses_middle": { parentID: "ses_root" },
    "GET /session/ses_root": { id: "ses_root" },
  });
  tell("session.status", { sessionID: "ses_child", status: { type: "busy" } });
  tell("permission.asked", { sessionID: "ses_child", id: "per_1", permission: "bash", patterns: [], metadata: {}, always: [] });
  tell("session.created", known("ses_new"));
  await directory.settled();
  assert.deepEqual(frames.map((f) => [f.type, f.root_session_id]), [
    ["session.active", "ses_root"],
    ["permission.asked", "ses_root"],
    ["session.created", "ses_new"],
  ]);
  assert.equal(api.calls.length, 3);
  tell("session.idle", { sessionID: "ses_child" });
  assert.equal(frames.at(-1).root_session_id, "ses_root", "known by now: at once");
});

test("when the root cannot be found, a request goes out all the same", async () => {
  const { directory, tell, frames } = open();
  tell("permission.asked", { sessionID: "ses_x", id: "per_1", permission: "bash", patterns: [], metadata: {}, always: [] });
  tell("session.status", { sessionID: "ses_x", status: { type: "busy" } });
  await directory.settled();
  for (const frame of frames) assertValidFrame(frame);
  assert.equal(frames[0].root_session_id, "ses_x");
  assert.equal(frames[1].root_session_id, undefined);
});

test("parents in a circle end", async () => {
  const { directory, tell, frames } = open();
  tell("session.created", known("ses_a", "ses_b"));
  tell("session.created", known("ses_b", "ses_a"));
  tell("session.idle", { sessionID: "ses_a" });
  await directory.settled();
  assert.equal(frames.length, 3);
});

test("retry is told with each attempt, busy once", () => {
  const { tell, frames } = open();
  tell("session.created", known("ses_1"));
  const status = (s) => tell("session.status", { sessionID: "ses_1", status: s });
  for (let i = 0; i < 3; i++) status({ type: "busy" });
  for (let i = 0; i < 2; i++) status({ type: "retry", attempt: 1, message: "overloaded", next: 5000 });
  status({ type: "retry", attempt: 2, message: "overloaded", next: 9000 });
  status({ type: "busy" });
  assert.deepEqual(frames.slice(1).map((f) => f.retry?.attempt), [undefined, 1, 2, undefined]);
  for (const frame of frames) assertValidFrame(frame);
});

test("text is told whole, at most each 100 ms; the end at once", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { tell, frames } = open();
  tell("session.created", known("ses_1"));
  frames.length = 0;
  tell("message.updated", { info: { id: "msg_1", role: "assistant" } });
  const part = (text, time = { start: 1 }) =>
    tell("message.part.updated", { part: { id: "prt_1", messageID: "msg_1", sessionID: "ses_1", type: "text", text, time } });
  tell("message.part.delta", { partID: "prt_1", field: "text", delta: "lost: its part is not known" });
  part("");
  const word = (w) => tell("message.part.delta", { partID: "prt_1", field: "text", delta: w });
  for (let i = 0; i < 100; i++) word("a");
  assert.equal(frames.length, 0);
  t.mock.timers.tick(100);
  assert.deepEqual(frames.map((f) => f.content.length), [100]);
  t.mock.timers.tick(1000);
  assert.equal(frames.length, 1, "nothing new, nothing told");
  word("b");
  t.mock.timers.tick(50);
  word("c");
  t.mock.timers.tick(50);
  assert.equal(frames.length, 2);
  word("d");
  t.mock.timers.tick(50);
  assert.equal(frames.length, 2, "100 ms after the last, not after the word before");
  frames.length = 1;
  part(`${"a".repeat(100)}b!`, { start: 1, end: 2 });
  part(`${"a".repeat(100)}b!`, { start: 1, end: 2 });
  t.mock.timers.tick(1000);
  assert.deepEqual(frames.slice(1).map((f) => [f.content.length, f.final]), [[102, true]]);
  word("late");
  part("late");
  t.mock.timers.tick(1000);
  assert.equal(frames.length, 2);
  for (const frame of frames) assertValidFrame(frame);
});

test("a turn that ends in the middle of a text ends the text", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { tell, frames } = open();
  tell("session.created", known("ses_1"));
  tell("message.updated", { info: { id: "msg_1", role: "assistant" } });
  tell("message.part.updated", { part: { id: "prt_1", messageID: "msg_1", sessionID: "ses_1", type: "reasoning", text: "half", time: {} } });
  tell("session.status", { sessionID: "ses_1", status: { type: "idle" } });
  assert.deepEqual(frames.slice(1).map((f) => f.type), ["message.part.streamed", "session.idle"]);
  assert.deepEqual([frames[1].content, frames[1].final, frames[1].kind], ["half", true, "reasoning"]);
});

test("a long text is cut, and said to be", () => {
  const { tell, of } = open();
  tell("session.created", known("ses_1"));
  const text = "😀".repeat(400_000);
  tell("message.part.updated", { part: { id: "prt_1", messageID: "m", sessionID: "ses_1", type: "text", text, time: { end: 1 } } });
  const [frame] = of("message.part.streamed");
  assert.equal(frame.truncated, true);
  assert.equal(frame.content.length, 700_000);
  assert.doesNotMatch(frame.content.slice(-2), /[\uD800-\uDBFF]$/);
});

test("huge metadata is cut to a budget", () => {
  const { tell, of } = open();
  tell("session.created", known("ses_1"));
  const deep = {};
  let at = deep;
  for (let i = 0; i < 1000; i++) at = at.x = {};
  const metadata = { diff: "d".repeat(5e6), many: Array.from({ length: 5000 }, () => "y".repeat(10_000)), deep };
  tell("permission.asked", { sessionID: "ses_1", id: "per_1", permission: "edit", patterns: Array(5000).fill("p".repeat(9000)), metadata, always: [] });
  const [frame] = of("permission.asked");
  assertValidFrame(frame);
  assert.equal(frame.permission.truncated, true);
  assert.ok(JSON.stringify(frame.permission.metadata).length < 300_000);
});

test("events with anything in them do no harm", async () => {
  const { directory, tell, frames } = open();
  tell("session.created", known("ses_1"));
  const values = [undefined, null, 0, -1, NaN, "", "x", "\uD800", [], [[]], {}, { id: 1 }, true, { parentID: "ses_1" }, Object.create(null)];
  const types = ["session.created", "session.updated", "session.deleted", "session.status", "session.idle", "session.error", "message.updated", "message.part.updated", "message.part.delta", "message.part.removed", "permission.asked", "permission.replied", "question.asked", "question.replied", "question.rejected", "todo.updated", "toString", "__proto__", "constructor"];
  const keys = ["info", "part", "status", "error", "todos", "questions", "answers", "metadata", "patterns", "always", "tool", "requestID", "id", "reply"];
  for (const type of types)
    for (const value of values) {
      tell(type, value);
      for (const key of keys) tell(type, { sessionID: "ses_1", id: "per_1", requestID: "per_1", [key]: value });
      tell(type, { sessionID: value, part: { id: "p", messageID: "m", sessionID: "ses_1", type: "tool", callID: "c", tool: "t", state: value } });
      tell(type, { sessionID: "ses_1", part: { id: `p${values.indexOf(value)}`, messageID: "m", sessionID: "ses_1", type: "tool", callID: "c", tool: "t", state: { status: "completed", input: value, title: value, time: value } } });
      tell(type, { sessionID: "ses_1", part: { id: "p2", messageID: "m", sessionID: "ses_1", type: "step-finish", tokens: value, cost: value } });
    }
  await directory.settled();
  directory.close();
  assert.ok(frames.length > 100);
  for (const frame of frames) assertValidFrame(JSON.parse(JSON.stringify(frame)));
});

test("what a prompt changed, when it changed", () => {
  const { tell, of } = open();
  tell("session.created", known("ses_1"));
  const info = (...diffs) => ({ info: { id: "msg_1", sessionID: "ses_1", role: "user", summary: { diffs } } });
  tell("message.updated", info());
  const file = { file: "a", patch: "x", additions: 3, deletions: 1 };
  tell("message.updated", info(file));
  tell("message.updated", info(file));
  tell("message.updated", info(file, { file: "b", additions: 2 }));
  assert.deepEqual(of("prompt.changed").map((f) => [f.message_id, f.files, f.additions, f.deletions]), [["msg_1", 1, 3, 1], ["msg_1", 2, 5, 1]]);
  for (const frame of of("prompt.changed")) assertValidFrame(JSON.parse(JSON.stringify(frame)));
});

test("a step is counted once", () => {
  const { tell, of } = open();
  tell("session.created", known("ses_1"));
  tell("message.updated", { info: { id: "msg_1", role: "assistant", providerID: "p", modelID: "m" } });
  const part = { id: "prt_1", messageID: "msg_1", sessionID: "ses_1", type: "step-finish", cost: 0.5, tokens: { input: 1, output: 2, reasoning: 3, cache: { read: 4, write: 5 } } };
  tell("message.part.updated", { part });
  tell("message.part.updated", { part });
  const [frame, ...more] = of("usage");
  assert.deepEqual(more, []);
  assert.deepEqual(frame.tokens, { input: 1, output: 2, reasoning: 3, cache_read: 4, cache_write: 5 });
  assert.deepEqual([frame.cost, frame.model], [0.5, { provider: "p", model: "m" }]);
});

test("milestones: what becomes completed, not what was before the plugin came", () => {
  const { tell, of } = open();
  tell("session.created", known("ses_new"));
  const todos = (sessionID, ...done) =>
    tell("todo.updated", { sessionID, todos: ["one", "two"].map((content) => ({ content, status: done.includes(content) ? "completed" : "pending" })) });
  todos("ses_new", "one");
  todos("ses_new", "one");
  todos("ses_new", "one", "two");
  assert.deepEqual(of("agent.milestone").map((f) => f.text), ["one (1/2)", "two (2/2)"]);
});

const bash = (id, sessionID) => ({ id, sessionID, permission: "bash", patterns: ["x"], metadata: {}, always: [] });
const state = (more = {}) => ({
  "GET /permission": [],
  "GET /question": [],
  "GET /session/status": {},
  "GET /session": [],
  ...more,
});

test("the state lists what is open, without the ghosts of ended turns", async () => {
  const opened = open(
    state({
      "GET /permission": [bash("per_live", "ses_child"), bash("per_ghost", "ses_idle"), bash("per_void", "ses_root"), { id: 3 }, null],
      "GET /question": [{ id: "que_1", sessionID: "ses_root", questions: [{ question: "q", header: "h", options: [] }] }],
      "GET /session/status": { ses_root: { type: "busy" }, ses_child: { type: "retry", attempt: 1, message: "m", next: 9 } },
      "GET /session": [known("ses_root").info, { ...known("ses_far").info, directory: "/elsewhere" }, { bad: 1 }],
      "GET /session/ses_child": { parentID: "ses_root" },
    }),
  );
  const { directory, tell, frames } = opened;
  // asked in an aborted turn, and the session runs again
  tell("session.created", known("ses_root"));
  tell("permission.asked", bash("per_void", "ses_root"));
  tell("session.idle", { sessionID: "ses_root" });
  await directory.sync();
  const sync = frames.at(-1);
  assertValidFrame(sync);
  assert.equal(sync.as_of_seq, 3);
  assert.equal(sync.complete, true);
  assert.deepEqual(sync.permissions.map((p) => [p.permission.id, p.root_session_id]), [["per_live", "ses_root"]]);
  assert.deepEqual(sync.questions.map((q) => q.question.id), ["que_1"]);
  assert.deepEqual(sync.busy, [
    { session_id: "ses_root", root_session_id: "ses_root" },
    { session_id: "ses_child", root_session_id: "ses_root", retry: { attempt: 1, message: "m", next_ms: 9 } },
  ]);
  assert.deepEqual(sync.sessions.map((s) => s.id), ["ses_root"]);
  assert.ok(directory.mapper.open.has("per_live"), "remembered, to be asked by HTTP");
});

test("what is answered while the state is read is not listed", async () => {
  const opened = open(
    state({
      "GET /permission": async () => {
        opened.tell("permission.replied", { sessionID: "ses_1", requestID: "per_1", reply: "once" });
        return [bash("per_1", "ses_1")];
      },
      "GET /session/status": { ses_1: { type: "busy" } },
    }),
  );
  opened.tell("session.created", known("ses_1"));
  await opened.directory.sync();
  assert.deepEqual(opened.frames.map((f) => f.type), ["session.created", "permission.replied", "state.sync"]);
  assert.deepEqual(opened.frames.at(-1).permissions, []);
});

test("a list that OpenCode does not give makes the state incomplete", async () => {
  const { directory, frames, log } = open(state({ "GET /question": new Error("down") }));
  await directory.sync();
  assert.equal(frames[0].complete, false);
  assert.match(log[0], /GET \/question: down/);
  assertValidFrame(frames[0]);
});

test("an unloaded directory ends its turns and hears no more", () => {
  const { directory, tell, frames } = open();
  tell("session.created", known("ses_1"));
  tell("session.status", { sessionID: "ses_1", status: { type: "busy" } });
  tell("permission.asked", bash("per_1", "ses_1"));
  directory.close();
  directory.close();
  tell("session.status", { sessionID: "ses_1", status: { type: "busy" } });
  assert.deepEqual(frames.slice(1).map((f) => f.type), ["session.active", "permission.asked", "session.idle"]);
  assert.equal(directory.mapper.open.size, 0);
});

test("what a running tool prints is told once a second, and at its end; of a long one the middle goes", (t) => {
  t.mock.timers.enable({ apis: ["Date"] });
  const { tell, of } = open();
  tell("session.created", known("ses_1"));
  const part = (status, state) =>
    tell("message.part.updated", {
      part: { id: "prt_1", messageID: "msg_1", sessionID: "ses_1", type: "tool", tool: "bash", callID: "c1", state: { status, input: { command: "make" }, time: { start: 1, end: 9 }, ...state } },
    });
  part("running", {});
  part("running", { metadata: { output: "one\n" } });
  t.mock.timers.tick(1001);
  part("running", { metadata: { output: "one\ntwo\n" } });
  part("running", { metadata: { output: "one\ntwo\nthree\n" } });
  part("completed", { output: "one\n" + "\u{1f600}".repeat(20000) + "\nlast" });
  part("completed", { output: "again" });
  const told = of("tool.executed");
  for (const frame of told) assertValidFrame({ ...frame, time: 1 });
  assert.deepEqual(told.slice(0, 2).map((f) => [f.status, f.output]), [["running", undefined], ["running", "one\ntwo\n"]]);
  assert.equal(told.length, 3);
  assert.match(told[2].output, /^one\n(\u{1f600})+\n… \d+ characters left out …\n(\u{1f600})+\nlast$/u);
  assert.ok(told[2].output.length < 16100);
});
