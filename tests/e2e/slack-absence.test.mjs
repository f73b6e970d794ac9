// What people write in Slack while the gateway is away, longer than Slack delivers events again.
import test, { after, afterEach, before, beforeEach } from "node:test";
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { eventually, tempDir } from "./lib/util.mjs";
import { CHANNEL, startHouse, startWorkspace } from "./lib/slack.mjs";

let house, opencode, w, home;

before(async () => {
  house = await startHouse("slack-absence", { workspace: false });
  ({ opencode } = house);
});
after(() => house?.end());
beforeEach(async () => {
  home = tempDir("slack-gateway");
  w = await startWorkspace(home, opencode);
  await w.control("config", { retryScheduleMs: [] }); // nothing is delivered again
  await w.start();
});
afterEach(async (context) => {
  await w.end({ excused: ["event_lost"], passed: context.passed });
  fs.rmSync(home, { recursive: true, force: true });
});

const say = (text, thread_ts) => w.control("message", { user: "alice", channel: CHANNEL, text, thread_ts });
const posted = (text) => eventually(`"${text}" is posted`, async () => (await w.all("&from=bot")).find((m) => m.text === text), 50000);
const userPrompts = async (text) => {
  let n = 0;
  for (const s of (await opencode.api("/session?roots=true&limit=300")).body)
    for (const m of (await opencode.api(`/session/${s.id}/message`)).body)
      n += m.info.role === "user" && m.parts.some((p) => p.text?.includes(text)) ? 1 : 0;
  return n;
};
const begin = async (name) => {
  const { ts } = await say(`<@U0BOT000001> @@text Begun ${name}.`);
  await posted(`Begun ${name}.`);
  return ts;
};

test("replies and a mention are taken in once, in order, and again after no further restart", async () => {
  const thread = await begin("first");
  await say("@@text Heard before.", thread);
  await posted("Heard before.");
  await w.kill();
  await say("@@text Answer one.", thread);
  await say("@@text Answer two.", thread);
  await say("<@U0BOT000001> @@text Begun in between.");
  await say("nobody is meant by this");
  for (let i = 0; i < 2; i++) {
    await w.start();
    for (const text of ["Answer two.", "Begun in between."]) await posted(text);
    await w.kill("SIGTERM");
  }
  for (const text of ["Heard before.", "Answer one.", "Answer two.", "Begun in between.", "Begun first."])
    assert.equal(await userPrompts(text), 1, text);
  assert.equal(await userPrompts("nobody is meant"), 0);
});

test("a reply after a turn that failed is taken in, too", async () => {
  const thread = await begin("third");
  await say("@@status 400", thread);
  await eventually("the turn failed", async () => (await w.all("&from=bot")).find((m) => m.thread_ts === thread && /The turn failed/.test(m.text)), 30000);
  await w.kill();
  await say("@@text Tried again.", thread);
  await w.start();
  await posted("Tried again.");
  assert.equal(await userPrompts("Tried again."), 1);
});

// Pages hold fewer messages than were asked for, as Slack's may.
test("many pages, other channels, a first direct message; what was edited and what was deleted", async () => {
  await w.control("config", { pageMax: 3 });
  const thread = await begin("fourth");
  await w.kill();
  for (let i = 0; i < 7; i++) await say(`@@text Page ${i}.`, thread);
  const edited = await say("<@U0BOT000001> @@text Not yet right.");
  await w.control("edit", { user: "alice", channel: CHANNEL, ts: edited.ts, text: "<@U0BOT000001> @@text Now right." });
  const deleted = await say("<@U0BOT000001> @@text Never meant.");
  for (let i = 0; i < 4; i++) await say("meant for nobody");
  await w.control("delete", { user: "alice", channel: CHANNEL, ts: deleted.ts });
  await w.control("message", { user: "bob", channel: "general", text: "<@U0BOT000001> @@text In a channel never seen." });
  await w.control("message", { user: "bob", channel: "dm", text: "@@text In a first direct message." });
  for (let i = 0; i < 2; i++) {
    await w.start();
    for (let n = 0; n < 7; n++) await eventually(`page ${n} is answered`, async () => (await userPrompts(`Page ${n}.`)) === 1, 60000);
    for (const text of ["Now right.", "In a channel never seen.", "In a first direct message."])
      await eventually(text, async () => (await userPrompts(text)) === 1, 60000);
    await eventually("the newest is answered", async () => (await w.all(`&from=bot&thread_ts=${thread}`)).some((m) => JSON.stringify(m.blocks).includes("Page 6.")), 60000);
    await w.kill("SIGTERM");
  }
  for (const text of ["Never meant", "Not yet right", "meant for nobody"]) assert.equal(await userPrompts(text), 0, text);
  const id = (await opencode.api("/session?limit=300")).body.find((x) => x.metadata?.codev_key?.includes(thread)).id;
  const order = [...(await opencode.messages(id)).matchAll(/@@text Page (\d)\./g)].map((m) => m[1]);
  assert.deepEqual(order, [..."0123456"]);
});

test("the connection alone was away; words older than what they would decide", async () => {
  const bash = (name) => `go\n@@tool bash {"command":"true ${name}","description":"T"}\n@@then\n@@text Done ${name}.`;
  const thread = await begin("second");
  const id = await opencode.prompt(bash("asked-first"), "Old words");
  const first = await w.waiting("true asked-first");
  await w.click("alice", first, "allow_once");
  await eventually("the turn is over", async () => /Done asked-first/.test(await opencode.messages(id)));
  const down = { from: Date.now() };
  w.downs.push(down); // what was on its way on the connection that is cut
  await w.control("partition", { mode: "refuse" });
  await w.control("drop", {});
  down.until = Date.now();
  await say("allow", first.thread_ts);
  await say("@@text After the break.", thread);
  await new Promise((done) => setTimeout(done, 11000)); // an absence, not a short break
  await opencode.api(`/session/${id}/prompt_async`, { parts: [{ type: "text", text: bash("asked-second") }] });
  await eventually("asked again, and the gateway knows", async () => /asked-second/.test(JSON.stringify(await w.api("/api/requests"))));
  await w.control("partition", { mode: "off" });
  await posted("After the break.");
  assert.equal(await userPrompts("After the break."), 1);
  await w.ephemeral("alice", /Nothing waits for a decision/);
  await w.waiting("true asked-second");
  assert.ok((await opencode.api("/permission")).body.some((p) => p.sessionID === id), "it still waits");
});

test("a damaged database is kept aside; threads and what waits are found again, and it is said once", async () => {
  const thread = await begin("before the damage");
  const direct = await w.control("message", { user: "bob", channel: "dm", text: "@@text Direct before." });
  const directly = async (text) => (await w.control("messages?user_dm=U0BOB000001&from=bot")).filter((m) => JSON.stringify(m.blocks).includes(text));
  await eventually("the direct message is answered", async () => (await directly("Direct before.")).length === 1);
  const id = await opencode.prompt('go\n@@tool bash {"command":"echo x >> after-damage","description":"T"}\n@@then\n@@text Done after.', "Kept");
  const m = await w.waiting("after-damage");
  const before = (await w.all("&from=bot")).filter((m) => !m.metadata?.event_payload?.id?.startsWith("page:")).length;
  await w.kill();
  const state = path.join(home, "state");
  const file = path.join(state, "gateway.db");
  for (const name of fs.readdirSync(state)) if (/^gateway\.db-/.test(name)) fs.rmSync(path.join(state, name));
  fs.writeFileSync(file, Buffer.from("this was a database once, before a disk went bad\n".repeat(400)));
  // OpenCode tells what waits before Slack tells where that is shown.
  await w.control("latency", { method: "conversations.history", ms: 5000 });
  for (let i = 0; i < 2; i++) {
    await w.start();
    const said = () => w.all("&from=bot&contains=memory").then((all) => all.filter((x) => /My memory was damaged/.test(x.text)));
    await eventually("it is said", async () => (await said()).length > 0, 50000);
    if (i === 0) {
      assert.match((await said())[0].text, /gateway\.db\.corrupt-\d+/);
      const keys = (await w.all("&from=bot")).map((m) => m.metadata?.event_payload?.id?.split("#")[0]);
      assert.equal(new Set(keys).size, keys.length, `nothing was posted twice: ${keys}`);
      assert.equal(keys.filter((k) => !k.startsWith("page:")).length, before + 1, "the note is all that is new beside what the agent does");
      await w.click("alice", m, "allow_once");
      await w.settled(m.ts, /Allowed once by <@U0ALICE0001>/);
      await eventually("the agent goes on", async () => /Done after/.test(await opencode.messages(id)));
      await say("@@text After the damage.", thread);
      await posted("After the damage.");
      assert.equal((await posted("After the damage.")).thread_ts, thread);
      await w.control("message", { user: "bob", channel: "dm", text: "@@text Direct after.", thread_ts: direct.ts });
      await eventually("the direct message's thread is known", async () => (await directly("Direct after."))[0]?.thread_ts === direct.ts);
    }
    await w.kill("SIGTERM");
    assert.equal((await said()).length, 1, "once");
  }
  assert.ok(fs.readdirSync(state).some((name) => /^gateway\.db\.corrupt-\d+$/.test(name)));
  assert.equal(await userPrompts("Begun before the damage."), 1);
});
