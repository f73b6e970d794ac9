// The commands, the Home tab, several pods, and everything that somebody who may not could try: the
// real gateway between the strict Slack fake and the real OpenCode.
import test, { after, before, describe } from "node:test";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { TOP, eventually } from "./lib/util.mjs";
import { connectPlugin } from "./lib/plugin.mjs";
import { ALICE, CHANNEL, elements, seen, startHouse } from "./lib/slack.mjs";

let house, opencode, w;

before(async () => {
  house = await startHouse("slack-commands");
  ({ opencode, w } = house);
});
// The forms that nobody opened.
after(() => house?.end({ excused: ["ack_for_unknown_envelope"] }));

const slash = async (text, user = "alice") => {
  const before = (await w.control(`ephemerals?user=${user}`)).length;
  const { outcome, user_sees } = await w.slash(user, text);
  assert.equal(outcome, "acked");
  const shown = (await w.control(`ephemerals?user=${user}`)).slice(before).at(-1);
  return { text: user_sees, blocks: shown?.blocks ?? [], ts: shown?.ts, seen: `${user_sees}\n${JSON.stringify(shown?.blocks ?? "")}` };
};
const accessories = (answer) => answer.blocks.map((b) => b.accessory).filter(Boolean);
const bash = (command) => `please\n@@tool bash ${JSON.stringify({ command, description: "Test" })}\n@@then\n@@text Done it.`;
const link = (m) => `https://fake.slack.test/archives/${m.channel}/p${m.ts.replace(".", "")}`;
const list = async (what) => w.api(`/api/${what}`).then((b) => b[what] ?? b);
const status = async (id) => (await list("sessions")).find((s) => s.id === id)?.status;

describe("commands", () => {
  test("nothing there yet: each says what to do", async () => {
    assert.match((await slash("list")).text, /There is no session\. `\/opencode start TEXT` begins one/);
    assert.match((await slash("status")).text, /:large_green_circle: OpenCode: http[^]*0 sessions, 0 at work[^]*Nothing waits/);
    assert.match((await slash("stop")).text, /No session is at work\./);
    assert.match((await slash("resume that one")).text, /There is no session with "that one"/);
    assert.match((await slash("cleanup")).text, /nothing to clean up/);
    for (const text of ["help", ""])
      for (const verb of ["start", "list", "status", "stop", "resume", "cleanup", "help"])
        assert.match((await slash(text)).text, new RegExp(`/opencode ${verb}`));
    assert.match((await slash("fix the & build")).text, /I don't know "fix the &amp; build"\. To begin a session with it, put `start` before it/);
  });

  test("list, status and stop, with words and links", async () => {
    const one = await opencode.prompt("@@slow 900 150", "Repair the | roof");
    const two = await opencode.prompt(bash("touch waits-here"), "Paint the <door>");
    const request = await w.waiting("waits-here");
    await eventually("both are known", async () => (await slash("list")).text === "2 sessions, 2 at work");
    const answer = await slash("list");
    assert.match(answer.seen, /\*Repair the \/ roof\*/);
    assert.match(answer.seen, new RegExp(`<https://fake.slack.test/archives/${CHANNEL}/p\\d+\\|Paint the &lt;door&gt;>`));
    assert.deepEqual(accessories(answer).map((b) => b.text.text), ["Stop", "Stop"]);
    assert.equal(accessories(await slash("list ROOF busy")).length, 1);
    const state = await slash("status");
    assert.match(state.text, /\*Waiting for an answer: 1\*[^]*:lock: Paint the &lt;door&gt;: touch waits-here/);
    assert.ok(state.text.includes(`<${link(request)}|answer>`), state.text);
    assert.match((await slash("status roof")).text, /at work[^]*folder: [^]*id: ses_/);

    const which = await slash("stop");
    assert.match(which.text, /Several are at work\. Which one\?/);
    const roof = which.blocks.find((b) => /roof/.test(b.text?.text));
    await w.control("click", { user: "alice", ephemeral_ts: which.ts, channel: "general", block_id: roof.block_id, action_id: "session_stop" });
    await eventually("that one is stopped", async () => (await status(one)) === "idle" && (await status(two)) === "busy");
    assert.match((await slash("stop roof")).text, /No session is at work with "roof"/);
    assert.match((await slash("stop the door")).text, /Stopping <https/);
    await w.ephemeral("alice", /^Stopped\./);
    await eventually("the other one is stopped", async () => (await status(two)) === "idle");
  });

  test("resume finds a thread or makes one; a reply there goes on", async () => {
    assert.match((await slash("resume door")).text, /Reply in its thread, it goes on from there: <https/);
    const both = await slash("resume");
    assert.match(both.text, /Which one\?/);
    assert.deepEqual(accessories(both).map((b) => b.text.text), ["Open thread"]);
    assert.match((await slash("resume roof")).text, /gets a thread in <#C0DEV000001> now/);
    const root = await eventually("its thread", async () => (await w.all("&from=bot&top_level=true")).find((m) => /roof/.test(m.text)));
    await w.control("message", { user: "alice", channel: "dev", thread_ts: root.ts, text: "@@text On we go." });
    await eventually("the answer", async () => (await w.all(`&thread_ts=${root.ts}`)).some((m) => /On we go\./.test(seen(m)) && /Done in/.test(seen(m))));
  });
});

test("several pods: each session says where it is, and is stopped there", async () => {
  const far = await connectPlugin(w.url, { token: "token-of-the-bridge" });
  far.session("ses_far", "Far away");
  const listed = await eventually("it is listed", async () => {
    const answer = await slash("list");
    return /pod pod-2/.test(answer.seen) && answer;
  });
  assert.match(listed.seen, /pod pod-1/);
  assert.match((await slash("list pod-2")).seen, /\*Far away\*/);
  assert.match((await slash("stop far")).text, /Stopping \*Far away\*/);
  await eventually("its pod is told", () => far.frames.find((f) => f.type === "session.abort" && f.session_id === "ses_far"));
  far.event({ type: "session.idle", session_id: "ses_far", root_session_id: "ses_far" });
  far.close();
  assert.deepEqual(far.problems, []);
});

describe("the Home tab", () => {
  const home = async (user) => {
    const before = (await w.control("calls?method=views.publish")).length;
    await w.control("home_opened", { user });
    return eventually("it is published", async () => {
      const calls = await w.control("calls?method=views.publish");
      return calls.length > before && calls.at(-1).ok && String(calls.at(-1).args.view);
    });
  };
  test("shows your sessions and what waits, to those who may", async () => {
    await opencode.prompt(bash("touch home-1"), "Build the home");
    const request = await w.waiting("home-1");
    const view = await home("alice");
    assert.match(view, /Waiting for an answer: 1/);
    assert.ok(view.includes(link(request)));
    assert.match(view, /Build the home[^]*at work/);
    assert.match(view, /roof/);
    await w.click(ALICE, request, "deny");
    await eventually("nothing waits", async () => /Nothing waits/.test(await home("alice")));
  });
  test("shows nothing of it to others", async () => {
    const view = await home("mallory");
    assert.match(view, /not among the people/);
    assert.doesNotMatch(view, /Build the home|roof|Waiting/);
  });
});

// Every way in that there is. Each leaves no trace but a refusal, told to them alone and audited.
describe("somebody who may not", () => {
  let request, root;
  const count = "import sqlite3, sys; print(sqlite3.connect(f'file:{sys.argv[1]}?mode=ro', uri=True).execute(\"SELECT count(*) FROM audit WHERE what = 'refused' AND actor_id = 'U0MALLORY01'\").fetchone()[0])";
  const audit = () => Number(execFileSync("python3", ["-c", count, path.join(house.dir, "state", "gateway.db")], { encoding: "utf8" }));
  before(async () => {
    await opencode.prompt(bash("touch forbidden"), "Forbidden things");
    request = await w.waiting("touch forbidden");
    root = { ts: request.thread_ts, channel: request.channel };
  });
  const say = (channel, text, thread_ts) => w.control("message", { user: "mallory", channel, text, thread_ts });
  const click = (action_id) => w.control("click", { user: "mallory", channel: "dev", ts: request.ts, action_id, confirm: true });
  // A form that was never opened for them, as a changed client could send it.
  let forms = 0;
  const submit = (callback_id, blocks, action, private_metadata) =>
    w.control("send", {
      json: {
        envelope_id: `forged-${++forms}`,
        type: "interactive",
        accepts_response_payload: true,
        payload: {
          type: "view_submission",
          user: { id: "U0MALLORY01", username: "mallory" },
          view: {
            id: `V0FORGED${forms}`,
            callback_id,
            private_metadata,
            state: { values: Object.fromEntries(blocks.map((b) => [b, { [action]: { type: "plain_text_input", value: "evil" } }])) },
          },
        },
      },
    });
  const meta = (m) => JSON.stringify({ value: elements(m)[0].value, channel: m.channel, thread_ts: m.thread_ts, message_ts: m.ts });
  let responseUrl;
  const paths = {
    "/opencode start": () => w.slash("mallory", "start evil"),
    "/opencode list": () => w.slash("mallory", "list"),
    "/opencode status": () => w.slash("mallory", "status"),
    "/opencode stop": () => w.slash("mallory", "stop"),
    "/opencode resume": () => w.slash("mallory", "resume"),
    "/opencode help": () => w.slash("mallory", "help"),
    "/focus": async () => ({ response_url: responseUrl } = await w.slash("mallory", "web", "/focus")),
    "a mention": () => say("dev", "<@U0BOT000001> evil"),
    "a direct message": () => say("dm", "evil"),
    "a reply": () => say("dev", "evil", root.ts),
    "a stop": () => say("dev", "stop", root.ts),
    "an allow": () => say("dev", "allow", root.ts),
    "the button Allow once": () => click("allow_once"),
    "the button Allow always": () => click("allow_always"),
    "the button Deny": () => click("deny"),
    "the button Deny with reason": () => click("deny_reason"),
    "the button Stop": async () => {
      const card = (await w.all(`&ts=${root.ts}`))[0];
      assert.ok(elements(card).some((e) => e.action_id === "session_stop"), "the card has it");
      return w.control("click", { user: "mallory", channel: "dev", ts: root.ts, action_id: "session_stop" });
    },
    "the form of a denial": () => submit("deny_with_reason", ["reason"], "text", meta(request)),
    "the form of an answer": () => submit("answer_question", ["q0"], "words", meta(request)),
    "the form of a new session": () => submit("start_session", ["title", "description"], "value", responseUrl),
    "the message shortcut": () => w.control("shortcut", { user: "mallory", channel: "dev", ts: root.ts, callback_id: "send_to_session" }),
  };
  for (const [name, act] of Object.entries(paths))
    test(`${name}: refused, told, audited`, async () => {
      const told = () => w.control("ephemerals?user=mallory").then((l) => l.filter((e) => /not among the people/.test(e.text)).length);
      const [audited, before] = [audit(), await told()];
      const begun = (await list("sessions")).length;
      await act();
      await eventually("the explanation", async () => (await told()) === before + 1);
      await eventually("the audit line", () => audit() === audited + 1);
      assert.equal((await list("sessions")).length, begun, "no session");
      assert.deepEqual((await w.control("views?open=true")).filter((v) => v.type === "modal" && v._meta?.user === "U0MALLORY01"), [], "no form");
      const requests = await list("requests");
      assert.equal(requests.find((r) => JSON.stringify(r).includes("touch forbidden")).state, "pending", "no decision");
    });

  // The same where members of a channel may: she is none, and then it can't be read who is.
  for (const [name, prepare] of [
    ["no member of the channel", () => {}],
    ["the members can't be read", () => w.control("fail", { method: "conversations.members", times: 99, error: "invalid_cursor" })],
  ])
    test(`${name}: every way refused, told, audited`, async () => {
      await prepare();
      await w.kill("SIGTERM");
      await w.start({ SLACK_ALLOW: "channel_members", SLACK_ALLOWED_USERS: "", SLACK_CHANNEL_ID: "C0PRIV00001" });
      const told = () => w.control("ephemerals?user=mallory").then((l) => l.filter((e) => /Only members/.test(e.text)).length);
      const [audited, before, begun] = [audit(), await told(), (await list("sessions")).length];
      for (const [i, [way, act]] of Object.entries(paths).entries()) {
        await act();
        await eventually(`${way} is explained`, async () => (await told()) === before + i + 1, 30000);
        await eventually(`${way} is audited`, () => audit() === audited + i + 1);
      }
      assert.equal((await list("sessions")).length, begun, "no session");
      assert.deepEqual((await w.control("views?open=true")).filter((v) => v.type === "modal" && v._meta?.user === "U0MALLORY01"), [], "no form");
      assert.equal((await list("requests")).find((r) => JSON.stringify(r).includes("touch forbidden")).state, "pending", "no decision");
    });
});

// The manifest asks for what is used, and for nothing else.
test("the manifest has each scope that a method needs, and none besides", async () => {
  const source = fs.readFileSync(path.join(TOP, "bridge/gateway/slack/wire/limit.c"), "utf8");
  const methods = [...source.matchAll(/\{ "([a-z]+\.[A-Za-z.]+)", (?:true|false)/g)].map((m) => m[1]);
  assert.ok(methods.includes("chat.postMessage") && methods.length >= 10);
  const { manifest } = await w.control("manifest");
  const scopes = manifest.oauth_config.scopes.bot;
  // What Slack asks for, kind of channel by kind of channel.
  const needs = {
    "auth.test": [], "apps.connections.open": [], "views.open": [], "views.publish": [],
    "chat.postMessage": ["chat:write"], "chat.update": ["chat:write"], "chat.postEphemeral": ["chat:write"],
    "conversations.replies": ["channels:history", "groups:history", "im:history"],
    "conversations.history": ["channels:history", "groups:history", "im:history"],
    "conversations.members": ["channels:read", "groups:read", "im:read"],
    "conversations.info": ["channels:read", "groups:read", "im:read"],
    "users.conversations": ["channels:read", "groups:read", "im:read"],
    "files.getUploadURLExternal": ["files:write"], "files.completeUploadExternal": ["files:write"],
  };
  const events = { "app_mention": ["app_mentions:read"], "message.channels": ["channels:history"], "message.groups": ["groups:history"], "message.im": ["im:history"], "app_home_opened": [], "member_joined_channel": ["channels:read", "groups:read"], "member_left_channel": ["channels:read", "groups:read"] };
  const wanted = new Set(["commands"]);
  for (const m of methods) {
    assert.ok(needs[m], `the scopes of ${m} are written down here`);
    for (const s of needs[m]) wanted.add(s);
  }
  for (const e of manifest.settings.event_subscriptions.bot_events) {
    assert.ok(events[e], `the scopes of ${e} are written down here`);
    for (const s of events[e]) wanted.add(s);
  }
  assert.deepEqual([...scopes].sort(), [...wanted].sort());
  assert.deepEqual(manifest.features.slash_commands.map((c) => c.command), ["/opencode", "/focus"]);
  assert.equal(manifest.settings.socket_mode_enabled, true);
  assert.equal(manifest.settings.interactivity.is_enabled, true);
});
