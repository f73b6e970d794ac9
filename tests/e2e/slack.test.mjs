// The Slack connector: the real gateway between the strict Slack fake and the real OpenCode (by its
// own HTTP API, no plugin). Every test has a gateway and a workspace of its own, and ends with no
// violation of Slack's rules.
import test, { after, afterEach, before, beforeEach, describe } from "node:test";
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { TOP, eventually, sleep, tempDir } from "./lib/util.mjs";
import { ALICE, BOB, CHANNEL, buttons, seen, startHouse, startWorkspace } from "./lib/slack.mjs";

let house, opencode, project, w, dirs;

// A prompt whose scripted model runs one bash command and then answers.
const bash = (command, answer = "All done.") =>
  `please\n@@text I will run a command.\n@@tool bash ${JSON.stringify({ command, description: "Test" })}\n@@then\n@@text ${answer}`;

before(async () => {
  house = await startHouse("slack", { workspace: false });
  ({ opencode, project } = house);
});
after(() => house?.end());
beforeEach(async () => {
  dirs = tempDir("slack-gateway");
  w = await startWorkspace(dirs, opencode);
});
afterEach(async (context) => {
  await w.end({ passed: context.passed });
  fs.rmSync(dirs, { recursive: true, force: true });
});

// ---- what people see and do

const marker = (name) => path.join(project, name);
const all = (query) => w.all(query);
// In any channel.
async function waiting(text, ms = 20000) {
  const found = await w.control("wait", {
    ...{ kind: "message", from: "bot", action_prefix: "allow_once", contains: text, timeout_ms: ms },
  });
  return found.items[0];
}
const settled = (...args) => w.settled(...args);
const click = (...args) => w.click(...args);
const ephemeral = (user, pattern) => w.ephemeral(user, pattern);
const postedOnce = async (text) => {
  const list = (await all("&from=bot")).filter((m) => m._meta.history.some((h) => /allow_once/.test(JSON.stringify(h.blocks ?? "")) && JSON.stringify(h.blocks).includes(text)));
  assert.equal(list.length, 1, `"${text}" is in one message, not in ${list.length}`);
};
const ran = (name) => eventually(`${name} is there`, () => fs.existsSync(marker(name)));

describe("a permission request", () => {
  beforeEach(async () => {
    await w.start();
  });

  test("allowed once: buttons in the session's thread, then who did it", async () => {
    const id = await opencode.prompt(bash("echo `date` '<!channel>' > once-1"), "Fix the <build>");
    const m = await waiting("once-1");
    assert.ok(m.thread_ts && m.thread_ts !== m.ts, "it is in a thread");
    const root = (await all(`&ts=${m.thread_ts}`))[0];
    assert.match(root.text, /Fix the &lt;build&gt;/);
    assert.deepEqual(m._meta.notified.broadcasts, []);
    assert.match(seen(m), /echo `date` '<!channel>' > once-1/, "the exact command");
    assert.deepEqual(buttons(m).map((b) => [b.action_id, b.style]), [
      ["allow_once", "primary"], ["allow_always", undefined], ["deny", "danger"], ["deny_reason", undefined],
    ]);
    assert.ok(!fs.existsSync(marker("once-1")), "nothing runs before the click");
    const clicked = await click("alice", m, "allow_once");
    assert.equal(clicked.outcome, "acked");
    assert.ok(clicked.ack_ms < 250, `acknowledged after ${clicked.ack_ms} ms`);
    await ran("once-1");
    await settled(m.ts, new RegExp(`Allowed once by <@${ALICE}>`));
    await eventually("the answer is in the thread", async () =>
      (await all(`&thread_ts=${m.thread_ts}`)).some((x) => x.text === "All done."));
    assert.ok(id);
  });

  test("allowed always, after a question back: the next one is not asked", async () => {
    const id = await opencode.prompt(bash("touch always-1"));
    const m = await waiting("always-1");
    const gate = await click("bob", m, "allow_always", { confirm: undefined });
    assert.equal(gate.outcome, "confirm_dialog_shown");
    assert.match(gate.confirm.text.text, /touch \*/);
    await click("bob", m, "allow_always");
    await ran("always-1");
    await settled(m.ts, new RegExp(`Always allowed by <@${BOB}>`));
    await opencode.api(`/session/${id}/prompt_async`, { parts: [{ type: "text", text: bash("touch always-2") }] });
    await ran("always-2");
  });

  test("denied with a reason, by the form: the agent reads it", async () => {
    const id = await opencode.prompt(bash("echo no > deny-1"));
    const m = await waiting("deny-1");
    await click("alice", m, "deny_reason");
    const view = await w.control("wait", { kind: "view", user: "alice", open: true, callback_id: "deny_with_reason" });
    assert.match(JSON.stringify(view.items[0].blocks), /echo no > deny-1/);
    const sent = await w.control("view_submit", { user: "alice", values: { reason: { text: "use the <other> folder" } } });
    assert.equal(sent.user_sees, "view closed");
    await settled(m.ts, /Denied by <@U0ALICE0001>: use the &lt;other&gt; folder/);
    await eventually("the agent has the reason", async () => (await opencode.messages(id)).includes("use the <other> folder"));
    assert.ok(!fs.existsSync(marker("deny-1")));
  });

  test("denied by a button", async () => {
    await opencode.prompt(bash("echo no > deny-2"));
    const m = await waiting("deny-2");
    await click("bob", m, "deny");
    await settled(m.ts, /Denied by <@U0BOB000001>/);
    assert.ok(!fs.existsSync(marker("deny-2")));
  });

  test("answered with a word in the thread", async () => {
    await opencode.prompt(bash("echo yes > word-1"));
    const m = await waiting("word-1");
    await w.control("message", { user: "mallory", channel: CHANNEL, thread_ts: m.thread_ts, text: "allow" });
    await ephemeral("mallory", /may do this/);
    await w.control("message", { user: "alice", channel: CHANNEL, thread_ts: m.thread_ts, text: "Allow" });
    await ran("word-1");
    await settled(m.ts, /Allowed once by <@U0ALICE0001>/);
    await w.control("message", { user: "alice", channel: CHANNEL, thread_ts: m.thread_ts, text: "deny" });
    await ephemeral("alice", /Nothing waits/);
  });

  test("two people click at once: the first wins, the other is told", async () => {
    await opencode.prompt(bash("echo x >> both-1"));
    const m = await waiting("both-1");
    await Promise.allSettled([click("alice", m, "allow_once"), click("bob", m, "deny")]);
    const done = await settled(m.ts, /by <@/);
    const alice = /<@U0ALICE0001>/.test(seen(done));
    await ephemeral(alice ? "bob" : "alice", /Somebody was first: .*<@U0/);
    if (alice) {
      await ran("both-1");
      assert.equal(fs.readFileSync(marker("both-1"), "utf8"), "x\n");
    }
  });

  test("somebody who may not clicks: told so, and the buttons stay", async () => {
    await opencode.prompt(bash("echo x > mallory-1"));
    const m = await waiting("mallory-1");
    await click("mallory", m, "allow_once");
    const told = await ephemeral("mallory", /not among the people who may/);
    assert.equal(told.thread_ts, m.thread_ts);
    await click("mallory", m, "deny_reason");
    await w.control("message", { user: "mallory", channel: CHANNEL, thread_ts: m.thread_ts, text: "do something bad" });
    const now = (await all(`&ts=${m.ts}`))[0];
    assert.equal(buttons(now).length, 4);
    assert.deepEqual(await w.control("views?open=true"), []);
    await click("alice", m, "deny");
    await settled(m.ts, /Denied/);
    assert.ok(!fs.existsSync(marker("mallory-1")));
  });

  test("answered in OpenCode's own page first: shown, and a late click is told", async () => {
    await opencode.prompt(bash("echo x > own-1"));
    const m = await waiting("own-1");
    const mine = (await opencode.api("/permission")).body.find((p) => JSON.stringify(p).includes("own-1"));
    const stale = { ...m };
    assert.equal((await opencode.api(`/permission/${mine.id}/reply`, { reply: "once" })).status, 200);
    await settled(m.ts, /Allowed once in OpenCode/);
    await ran("own-1");
    await assert.rejects(click("alice", stale, "deny"), /no such element/);
  });

  test("aborted while it waits: shown as gone", async () => {
    const id = await opencode.prompt(bash("echo x > abort-1"));
    const m = await waiting("abort-1");
    await opencode.api(`/session/${id}/abort`, {});
    await settled(m.ts, /No longer waiting/);
  });

  test("a very long command is shortened in the middle, and Slack takes it", async () => {
    await opencode.prompt(bash(`echo '${"\u{1F600}`<&".repeat(1500)}' > long-1`));
    const m = await waiting("long-1");
    assert.match(seen(m), /characters left out/);
    assert.match(seen(m), /Shortened/);
    await eventually("the whole command is in a file in its thread", async () =>
      (await w.control("files")).some((f) => f.content.includes(`echo '${"\u{1F600}`<&".repeat(1500)}' > long-1`)));
    assert.ok((await all(`&thread_ts=${m.thread_ts}`)).some((x) => x.files?.length));
    await click("alice", m, "deny");
    await settled(m.ts, /Denied/);
  });
});

describe("a session", () => {
  beforeEach(async () => {
    await w.start();
  });

  test("started by a mention: its thread is that message; replies go to the agent; !stop", async () => {
    const sent = await w.control("message", {
      ...{ user: "alice", channel: "general", text: `<@U0BOT000001> ${bash("echo 'a & b' > mention-1", "Mentioned.")}` },
    });
    const m = await waiting("mention-1");
    assert.equal(m.channel, sent.channel);
    assert.equal(m.thread_ts, sent.ts);
    await click("alice", m, "allow_once");
    await ran("mention-1");
    const thread = () => w.control(`messages?channel=general&thread_ts=${sent.ts}`);
    await eventually("the answer", async () => (await thread()).some((x) => x.text === "Mentioned."));
    await w.control("message", { user: "bob", channel: "general", thread_ts: sent.ts, text: "@@text Hello &amp; bye." });
    await eventually("the answer to a reply", async () => (await thread()).some((x) => /Hello &amp;/.test(x.text)));
    await w.control("message", { user: "bob", channel: "general", thread_ts: sent.ts, text: bash("sleep 30") });
    const wait = await waiting("sleep 30");
    await w.control("message", { user: "bob", channel: "general", thread_ts: sent.ts, text: "!stop" });
    await ephemeral("bob", /Stopped/);
    await settled(wait.ts, /No longer waiting/, "general");
    const starts = (await w.control("calls?method=chat.postMessage")).filter((c) => c.ok).length;
    assert.ok(starts <= 6, `one session and no double posts: ${starts}`);
  });

  test("started by a direct message", async () => {
    await w.control("message", { user: "bob", channel: "dm", text: "@@text Hello from the DM." });
    await eventually("the answer", async () =>
      (await w.control("messages?user_dm=U0BOB000001")).some((x) => x.text === "Hello from the DM." && x.thread_ts));
  });

  test("started by /opencode start; the other commands answer", async () => {
    const started = await w.control("slash", { user: "alice", channel: "general", command: "/opencode", text: "start @@text Slashed." });
    assert.equal(started.outcome, "acked");
    await w.control("wait", { kind: "view", user: "alice", open: true, callback_id: "start_session" });
    await w.control("view_submit", { user: "alice", values: {} });
    await eventually("the answer", async () => (await all()).some((x) => x.text === "Slashed." && x.thread_ts));
    await ephemeral("alice", /It goes on in its thread in <#C0DEV000001>/);
    for (const [text, pattern] of [
      ["help", /a new session/], ["", /a new session/], ["nonsense", /a new session/],
      ["list", /\d+ session/], ["status", /OpenCode: http/],
    ])
      assert.match((await w.control("slash", { user: "alice", channel: "general", command: "/opencode", text })).user_sees, pattern);
    assert.match((await w.control("slash", { user: "alice", channel: "general", command: "/focus", text: "web" })).user_sees, /Focus: \*web\*/);
    assert.match((await w.control("slash", { user: "mallory", channel: "general", command: "/opencode", text: "start x" })).user_sees, /may do this/);
  });

  test("the Home tab and the message shortcut", async () => {
    await w.control("home_opened", { user: "mallory" });
    const home = await w.control("wait", { kind: "call", method: "views.publish", ok: true });
    assert.match(home.items[0].args.view, /One thread for each session.*<#C0DEV000001>.*not among the people/s);
    const sent = await w.control("message", { user: "bob", channel: "general", text: "@@text By a shortcut." });
    await w.control("shortcut", { user: "bob", channel: "general", ts: sent.ts, callback_id: "send_to_session" });
    await eventually("the answer", async () =>
      (await w.control(`messages?channel=general&thread_ts=${sent.ts}`)).some((x) => x.text === "By a shortcut."));
  });

  test("somebody who may not, the bot's own messages and edits start nothing", async () => {
    const count = async () => (await opencode.api("/session")).body.length;
    const sessions = await count();
    await w.control("message", { user: "mallory", channel: "general", text: "<@U0BOT000001> @@text Evil." });
    await ephemeral("mallory", /may do this/);
    const mine = await w.control("message", { user: "alice", channel: "general", text: "nobody is meant" });
    await w.control("edit", { user: "alice", channel: "general", ts: mine.ts, text: "<@U0BOT000001> now edited" });
    await w.control("message", { user: "mallory", channel: "dm", text: "@@text Evil." });
    await eventually("all events were delivered", async () =>
      (await w.control("acks?type=events_api")).every((e) => e.outcome === "acked"));
    await sleep(300);
    assert.equal(await count(), sessions);
  });

  test("the same message delivered twice is done once", async () => {
    const sent = await w.control("message", { user: "alice", channel: "dm", text: "@@text Only once." });
    const answers = async () => (await w.control(`messages?user_dm=${ALICE}`)).filter((x) => x.text === "Only once.");
    await eventually("the answer", async () => (await answers()).length === 1);
    await w.control("redeliver", { event_id: sent.event_ids[0] });
    await eventually("delivered again", async () =>
      (await w.control(`acks?event_id=${sent.event_ids[0]}`)).filter((e) => e.outcome === "acked").length >= 2);
    await w.control("message", { user: "alice", channel: "dm", text: "@@text And another." });
    await eventually("what came after it is answered", async () =>
      (await w.control(`messages?user_dm=${ALICE}`)).some((x) => x.text === "And another."));
    await sleep(500);
    assert.equal((await answers()).length, 1);
    const prompts = (await w.control(`messages?user_dm=${ALICE}&from=bot`)).filter((x) => x.thread_ts === sent.ts);
    assert.equal(prompts.length, 2, "a card and an answer");
  });
});

describe("Slack's weather", () => {
  beforeEach(async () => {
    await w.start();
  });

  test("the socket is refreshed while a request waits: no gap, the click works", async () => {
    await opencode.prompt(bash("echo x > refresh-1"));
    const m = await waiting("refresh-1");
    const first = (await w.control("connections")).connections.at(-1).id;
    await w.control("disconnect", { reason: "warning", warning_ms: 1500, close_ms: 1500 });
    await eventually("a second connection", async () =>
      (await w.control("connections")).connections.some((c) => c.id !== first && c.state === "open"));
    await eventually("the old one is closed", async () =>
      (await w.control("connections")).connections.find((c) => c.id === first).state === "closed");
    assert.deepEqual((await w.control("connections")).downtime, []);
    await click("alice", m, "allow_once");
    await ran("refresh-1");
    await settled(m.ts, /Allowed once/);
  });

  test("refreshed without a warning: the next is there before the old one goes", async () => {
    await w.control("disconnect", { reason: "refresh_requested", close_ms: 3000 });
    const [old, next] = await eventually("the old one is closed", async () => {
      const c = await w.control("connections");
      return c.open === 1 && c.connections.length === 2 && c.connections[0].closedAt && c.connections;
    });
    assert.ok(next.helloAt && next.helloAt < old.closedAt, JSON.stringify([old, next]));
    // What Slack sent on the old one meanwhile was acknowledged there: it stays for a while.
    assert.ok(old.closedAt - next.helloAt > 1000, `closed ${old.closedAt - next.helloAt} ms after the hello`);
    // The fake sends nothing new to a connection that it asked to go; that lasts for a round trip.
    const gap = Math.max(0, ...(await w.control("connections")).downtime.map((d) => d.ms));
    assert.ok(gap < 1000, `a gap of ${gap} ms`);
  });

  test("the connection is cut while a request waits", async () => {
    await opencode.prompt(bash("echo x > drop-1"));
    const m = await waiting("drop-1");
    await w.control("drop", {});
    await eventually("connected anew", async () => (await w.control("connections")).open === 1);
    await w.connected();
    await click("alice", m, "allow_once");
    await ran("drop-1");
    await settled(m.ts, /Allowed once/);
  });

  test("429 on posting: waits as told, then posts once", async () => {
    await w.control("fail", { method: "chat.postMessage", times: 1, status: 429, retry_after: 2 });
    await opencode.prompt(bash("echo x > slow-1"));
    const m = await waiting("slow-1");
    const calls = await w.control("calls?method=chat.postMessage");
    const refused = calls.find((c) => c.error === "ratelimited");
    const next = calls.find((c) => c.seq > refused.seq);
    assert.ok(next.at - refused.at >= 1900, `${next.at - refused.at} ms after the 429`);
    await postedOnce("slow-1");
    await click("alice", m, "deny");
    await settled(m.ts, /Denied/);
  });

  test("429 on posting: eight waiting posts do not hold up the update of a message", async () => {
    await opencode.prompt(bash("echo x > first-1"));
    const m = await waiting("first-1");
    await w.control("fail", { method: "chat.postMessage", times: 40, status: 429, retry_after: 20 });
    const ids = [];
    for (let i = 0; i < 10; i++) ids.push(await opencode.prompt(bash(`echo x > many-${i}`), `Many ${i}`));
    await eventually("ten wait", async () => (await opencode.api("/permission")).body.filter((p) => ids.includes(p.sessionID)).length === 10);
    await eventually("Slack refuses", async () => (await w.control("calls?method=chat.postMessage")).some((c) => c.error === "ratelimited"));
    const clicked = Date.now();
    await click("alice", m, "allow_once");
    await settled(m.ts, /Allowed once/);
    assert.ok(Date.now() - clicked < 8000, `${Date.now() - clicked} ms`);
    for (const id of ids) await opencode.api(`/session/${id}/abort`, {});
  });

  test("the answer to a post is lost: it is found, not sent again", async () => {
    await w.control("fail", { method: "chat.postMessage", times: 2, mode: "lost_response" });
    await opencode.prompt(bash("echo x > lost-1"));
    const m = await waiting("lost-1");
    await click("alice", m, "allow_once");
    await ran("lost-1");
    await settled(m.ts, /Allowed once/);
    await postedOnce("lost-1");
    const roots = (await all("&from=bot&top_level=true")).filter((x) => x.text === "A test");
    assert.equal(roots.length, 1);
  });

  test("500s and dropped connections: posted once all the same", async () => {
    await w.control("fail", { method: "chat.postMessage", times: 1, status: 500 });
    await w.control("fail", { method: "chat.postMessage", times: 1, mode: "drop" });
    await w.control("fail", { method: "conversations.history", times: 1, status: 503 });
    await opencode.prompt(bash("echo x > fail-1"));
    const m = await waiting("fail-1", 30000);
    await w.control("fail", { method: "chat.update", times: 2, status: 500 });
    await click("alice", m, "deny");
    await settled(m.ts, /Denied/);
    await postedOnce("fail-1");
  });
});

describe("restarts", () => {
  test("killed while the request waits, then clicked", async () => {
    await w.start();
    await opencode.prompt(bash("echo x > kill-0"));
    await waiting("kill-0");
    await w.kill();
    await w.start();
    const m = await waiting("kill-0");
    await click("alice", m, "allow_once");
    await ran("kill-0");
    await settled(m.ts, /Allowed once by <@U0ALICE0001>/);
    await postedOnce("kill-0");
    assert.equal((await all("&from=bot&top_level=true")).filter((x) => x.text === "A test").length, 1);
  });

  test("answered elsewhere while the gateway is away: the message catches up", async () => {
    await w.start();
    await opencode.prompt(bash("echo x > away-1"));
    const m = await waiting("away-1");
    await w.kill();
    const mine = (await opencode.api("/permission")).body.find((p) => JSON.stringify(p).includes("away-1"));
    await opencode.api(`/permission/${mine.id}/reply`, { reply: "once" });
    await w.launch();
    await settled(m.ts, /No longer waiting|Allowed once in OpenCode/);
  });

  test("stopped in order: one note in the active thread, a polite goodbye", async () => {
    await w.start();
    await opencode.prompt(bash("echo x > stop-1"));
    const m = await waiting("stop-1");
    const started = Date.now();
    const { code } = await w.kill("SIGTERM");
    assert.equal(code, 0, w.log.slice(-800));
    assert.ok(Date.now() - started < 4000);
    const notes = (await all(`&thread_ts=${m.thread_ts}`)).filter((x) => /pod is restarting/.test(x.text));
    assert.equal(notes.length, 1);
    assert.equal((await w.control("connections")).connections[0].closedBy, "client");
    await w.start();
    await click("alice", m, "deny");
    await settled(m.ts, /Denied/);
    assert.equal((await all()).filter((x) => /pod is restarting/.test(x.text)).length, 1);
  });
});

describe("set-up", () => {
  const status = (pattern) =>
    eventually(`the status says ${pattern}`, async () => {
      const s = (await w.api("/api/health")).slack;
      return pattern.test(`${s.state}: ${s.reason}`) && s;
    });

  test("no tokens: off, said once", async () => {
    await w.launch({ SLACK_BOT_TOKEN: "", SLACK_APP_TOKEN: "" });
    await status(/^off: no tokens: set SLACK_BOT_TOKEN and SLACK_APP_TOKEN$/);
    assert.equal(w.log.match(/slack: off/g).length, 1);
    assert.deepEqual(await w.control("calls"), []);
  });

  test("one token is missing", async () => {
    await w.launch({ SLACK_APP_TOKEN: "" });
    await status(/^failed: SLACK_APP_TOKEN is missing/);
  });

  const wrong = [
    ["a wrong bot token", { SLACK_BOT_TOKEN: "xo" + "xb-wrong" }, /^failed: auth.test: invalid_auth: the token is wrong/],
    ["a wrong app token", { SLACK_APP_TOKEN: "xa" + "pp-wrong" }, /^failed: apps.connections.open: invalid_auth/],
    ["the two tokens swapped", (s) => ({ SLACK_BOT_TOKEN: s.app_token, SLACK_APP_TOKEN: s.bot_token }), /^failed: apps.connections.open: not_allowed_token_type/],
    ["a channel without the app", { SLACK_CHANNEL_ID: "C0OTHER0001" }, /^failed: not_in_channel \(C0OTHER0001\): invite the app/],
    ["no such channel", { SLACK_CHANNEL_ID: "C0NOPE00001" }, /^failed: channel_not_found \(C0NOPE00001\): set SLACK_CHANNEL_ID/],
    ["nobody is allowed", { SLACK_ALLOWED_USERS: "" }, /^connected: SLACK_ALLOWED_USERS is empty/],
    ["no channel", { SLACK_CHANNEL_ID: "" }, /^connected: SLACK_CHANNEL_ID is not set/],
  ];
  for (const [name, env, pattern] of wrong)
    test(name, async () => {
      await w.launch(typeof env === "function" ? env(w.slack) : env);
      await status(pattern);
    });

  test("the app is removed from the workspace", async () => {
    await w.start();
    await w.control("revoke", { error: "account_inactive" });
    await opencode.prompt(bash("echo x > revoked-1"));
    await status(/^failed: .*account_inactive: the app was removed/);
    await w.control("revoke", { error: null });
    const mine = (await opencode.api("/permission")).body.find((p) => JSON.stringify(p).includes("revoked-1"));
    await opencode.api(`/permission/${mine.id}/reply`, { reply: "reject" });
  });

  test("a missing scope is named", async () => {
    const manifest = path.join(dirs, "manifest.yaml");
    const whole = fs.readFileSync(path.join(TOP, "bridge/slack-app-manifest.yaml"), "utf8");
    fs.writeFileSync(manifest, whole.replace(/^ *- chat:write\n/m, ""));
    w.slack.stop();
    w = await startWorkspace(dirs, opencode, ["--manifest", manifest]);
    await w.start();
    await opencode.prompt(bash("echo x > scope-1"));
    await status(/^failed: chat.postMessage: missing_scope \(chat:write\): add the scope/);
    const mine = (await opencode.api("/permission")).body.find((p) => JSON.stringify(p).includes("scope-1"));
    await opencode.api(`/permission/${mine.id}/reply`, { reply: "reject" });
  });

  test("with nobody allowed, a click is explained", async () => {
    await w.start({ SLACK_ALLOWED_USERS: "" });
    await opencode.prompt(bash("echo x > nobody-1"));
    const m = await waiting("nobody-1");
    await click("alice", m, "allow_once");
    await ephemeral("alice", /SLACK_ALLOWED_USERS` is empty/);
    const mine = (await opencode.api("/permission")).body.find((p) => JSON.stringify(p).includes("nobody-1"));
    await opencode.api(`/permission/${mine.id}/reply`, { reply: "reject" });
    await settled(m.ts, /Denied in OpenCode/);
  });

  test("members of the channel may, by setting", async () => {
    await w.control("member", { user: "mallory", channel: CHANNEL, remove: true });
    await w.start({ SLACK_ALLOWED_USERS: "", SLACK_ALLOW: "channel_members" });
    await w.control("message", { user: "mallory", channel: "general", text: "<@U0BOT000001> @@text Evil." });
    await ephemeral("mallory", /Only members/);
    await opencode.prompt(bash("echo x > members-1"));
    const m = await waiting("members-1");
    await click("bob", m, "allow_once");
    await ran("members-1");
    await settled(m.ts, /Allowed once by <@U0BOB000001>/);
  });

  test("members of the channel may: who leaves it may no more at once, who joins may", async () => {
    await w.start({ SLACK_ALLOWED_USERS: "", SLACK_ALLOW: "channel_members" });
    await opencode.prompt(bash("echo x > moved-1"));
    const m = await waiting("moved-1");
    await click("bob", m, "deny_reason"); // the members are read
    await w.control("wait", { kind: "view", user: "bob", open: true, callback_id: "deny_with_reason" });
    await w.control("member", { user: "bob", channel: CHANNEL, remove: true });
    await eventually("it is known", () => /left the channel/.test(w.log), 5000);
    await w.control("member", { user: "bob", channel: "general", remove: true }); // another one: of no account
    await w.control("member", { user: "bob", channel: "general" });
    const refused = async (text) => (await w.slash("bob", text)).user_sees;
    await refused("list");
    await ephemeral("bob", /Only members/);
    await w.control("member", { user: "bob", channel: CHANNEL });
    await eventually("it is known", () => /joined the channel/.test(w.log), 5000);
    await click("bob", m, "allow_once");
    await ran("moved-1");
    await settled(m.ts, /Allowed once by <@U0BOB000001>/);
  });

  test("members of the channel may, but they can't be read: nobody is shown or starts anything", async () => {
    await w.control("fail", { method: "conversations.members", times: 99, error: "invalid_cursor" });
    await w.start({ SLACK_ALLOWED_USERS: "", SLACK_ALLOW: "channel_members" });
    await opencode.prompt("@@text Hello.", "A secret title");
    for (const text of ["list", "status", "start @@text Evil."]) {
      const { user_sees } = await w.control("slash", { user: "mallory", channel: "general", command: "/opencode", text });
      assert.doesNotMatch(user_sees ?? "", /secret|OpenCode:|Starting/, text);
    }
    await eventually("mallory is refused three times", async () =>
      (await w.control("ephemerals?user=mallory")).filter((e) => /Only members/.test(e.text)).length === 3);
    assert.deepEqual(await w.control("views?open=true"), []);
  });

  test("the agent's answer calls nobody", async () => {
    await w.start();
    await w.control("message", { user: "alice", channel: CHANNEL, text: "<@U0BOT000001> @@text Hi &lt;!channel&gt; there." });
    await eventually("the answer is there", async () =>
      (await all("&from=bot")).find((m) => /Hi <\u2060!channel>/.test(JSON.stringify(m.blocks))));
  });

  test("Slack is away at start: keeps trying, then connects", async () => {
    await w.control("partition", { mode: "refuse" });
    await w.launch();
    await status(/^connecting: .*no answer from Slack/);
    await w.control("partition", { mode: "off" });
    await w.connected();
  });
});
