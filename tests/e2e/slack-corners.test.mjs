// Corners of the day in Slack: what OpenCode does that no turn of the ordinary kind does, and how its
// thread says so. The real gateway between the strict Slack fake and the real OpenCode.
import test, { after, before } from "node:test";
import assert from "node:assert/strict";
import { eventually } from "./lib/util.mjs";
import { ALICE, CHANNEL, elements, seen, startHouse, startOpenCode } from "./lib/slack.mjs";

let house, opencode, w;

before(async () => {
  house = await startHouse("slack-corners");
  ({ opencode, w } = house);
});
after(() => house?.end());

let count = 0;
// Somebody begins a session by a mention; its thread is that message, and its card the first answer.
async function begin(script) {
  const { ts } = await w.control("message", { user: ALICE, channel: "dev", text: `<@U0BOT000001> corner ${++count}\n${script}` });
  const id = await eventually("its session", async () =>
    (await opencode.api("/session")).body.find((s) => s.metadata?.codev_key?.includes(ts))?.id);
  return { ts, id };
}
const thread = (root) => w.all(`&from=bot&thread_ts=${root.ts}`);
const says = (root, text) => eventually(`it says ${text}`, async () => (await thread(root)).find((m) => text.test(seen(m))), 40000);
const say = (root, text) => w.control("message", { user: ALICE, channel: "dev", thread_ts: root.ts, text });
const bash = (command) => `@@tool bash ${JSON.stringify({ command, description: "Test" })}`;
const prompt = (root, text, more) => opencode.api(`/session/${root.id}/prompt_async`, { parts: [{ type: "text", text }], ...more });
const session = async (root) => (await w.api("/api/sessions")).sessions.find((s) => s.id === root.id);

test("the model is away without end: said, with when it goes on; it can be stopped", async () => {
  const root = await begin("@@status 500");
  const card = await says(root, /the model is away, trying again/);
  const at = /next at <!date\^(\d+)\^\{time_secs\}\|/.exec(seen(card));
  assert.ok(at, seen(card));
  assert.ok(Math.abs(Number(at[1]) - Date.now() / 1000) < 120, "soon");
  const { user_sees } = await w.slash("alice", `status ${root.id}`);
  assert.match(user_sees, /the model is away, trying again.*next at <!date\^\d+\^/);
  assert.ok(elements(card).some((e) => e.action_id === "session_stop"), "with a button to stop it");
  await w.click(ALICE, card, "session_stop");
  await eventually("the card says so", async () => !/trying again/.test(seen(await w.message(card.ts))));
});

test("denied without a reason: all that the session asked is settled, and each message says by whom", async () => {
  const root = await begin(`${bash("touch both-1")}\n${bash("touch both-2")}\n@@then\n@@text Never.`);
  const [one, two] = [await w.waiting("touch both-1"), await w.waiting("touch both-2")];
  assert.equal(one.thread_ts, root.ts);
  await w.click("bob", one, "deny");
  await w.settled(one.ts, /Denied by <@U0BOB000001>/);
  await w.settled(two.ts, /Denied by <@U0BOB000001>[^]*together with another request/);
  assert.deepEqual((await opencode.api("/permission")).body.filter((p) => p.sessionID === root.id), []);
});

test("a model that nobody knows: the error is said once, and the next message works", async () => {
  const root = await begin("@@text Hello.");
  await says(root, /Done in/);
  await prompt(root, "@@text Never.", { model: { providerID: "fake", modelID: "nobody" } });
  await says(root, /The turn failed/);
  await eventually("the session is not at work", async () => (await session(root)).status === "error");
  await prompt(root, "@@text Well again.", { model: { providerID: "fake", modelID: "fake-1" } }); // it keeps the last one
  await says(root, /Well again\./);
  assert.equal((await thread(root)).filter((m) => /The turn failed/.test(m.text)).length, 1, "told twice by OpenCode, said once");
});

test("a message that was refused, sent by somebody who may: it begins a session; sent again, it goes to that one", async () => {
  const { ts } = await w.control("message", { user: "mallory", channel: "dev", text: "<@U0BOT000001> @@text Handed on." });
  await w.ephemeral("mallory", /not among the people/);
  const root = { ts };
  const use = () => w.control("shortcut", { user: ALICE, channel: "dev", ts, callback_id: "send_to_session" });
  const answers = (n) => eventually(`${n} answers`, async () => (await thread(root)).filter((m) => /Handed on\./.test(seen(m))).length === n, 40000);
  await use();
  await answers(1);
  const sessions = (await opencode.api("/session")).body.length;
  await use();
  await answers(2);
  assert.equal((await opencode.api("/session")).body.length, sessions);
});

test("deleted in OpenCode: its thread says so, a reply is not given to another session", async () => {
  const root = await begin("@@text First.");
  await says(root, /Done in/);
  const response = await fetch(`${opencode.url}/session/${root.id}?directory=${encodeURIComponent(opencode.project)}`, { method: "DELETE" });
  assert.equal(response.status, 200);
  await says(root, /gone from OpenCode|deleted in OpenCode/);
  const sessions = (await opencode.api("/session")).body.length;
  await say(root, "@@text To nobody.");
  await w.ephemeral(ALICE, /That did not reach the agent: this session is gone from OpenCode/);
  assert.equal((await opencode.api("/session")).body.length, sessions, "none is begun instead");
  assert.match((await w.slash("alice", `list ${root.id}`)).user_sees + JSON.stringify((await w.control("ephemerals?user=alice")).at(-1).blocks), /gone from OpenCode/);
});

test("deleted in OpenCode while the gateway is away: its thread says so, and no other", async () => {
  const root = await begin("@@text Soon deleted.");
  const other = await begin("@@text Stays.");
  await Promise.all([root, other].map((r) => says(r, /Done in/)));
  await w.kill();
  const response = await fetch(`${opencode.url}/session/${root.id}?directory=${encodeURIComponent(opencode.project)}`, { method: "DELETE" });
  assert.equal(response.status, 200);
  await w.start();
  await says(root, /gone from OpenCode|deleted in OpenCode/);
  assert.equal((await session(root)).status, "gone");
  assert.equal((await session(other)).status, "idle");
});

test("days later, after OpenCode and the gateway began anew: the same thread, and it goes on", async () => {
  const root = await begin("@@text Before the days.");
  await says(root, /Done in/);
  await w.kill("SIGTERM");
  opencode.stop();
  house.opencode = opencode = await startOpenCode(house.dir, house.project, house.model);
  await w.start({ CODEV_OPENCODE_URL: opencode.url });
  const { user_sees } = await w.slash("alice", `resume ${root.id}`);
  assert.match(user_sees, new RegExp(`Reply in its thread, it goes on from there: <https://fake.slack.test/archives/${CHANNEL}/p${root.ts.replace(".", "")}`));
  await say(root, "@@text After the days.");
  await says(root, /After the days\./);
  assert.match(await opencode.messages(root.id), /Before the days\.[^]*After the days\./);
});
