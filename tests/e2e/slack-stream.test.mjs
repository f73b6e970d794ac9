// The agent's work in its thread while it goes on: the real gateway between the strict Slack fake
// and the real OpenCode.
import test, { after, before, describe } from "node:test";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { eventually, tempDir } from "./lib/util.mjs";
import { ALICE, CHANNEL, elements, seen, startHouse, startWorkspace } from "./lib/slack.mjs";

let house, opencode, w;

function prepare(project) {
  const git = (...args) => execFileSync("git", ["-c", "user.name=a", "-c", "user.email=a@example.com", ...args], { cwd: project });
  git("init", "-q");
  fs.writeFileSync(path.join(project, "a.txt"), "one\ntwo\n");
  git("add", ".");
  git("commit", "-qm", "first");
}
before(async () => {
  house = await startHouse("slack-stream", { prepare });
  ({ opencode, w } = house);
});
// A machine that stands still for 3 s: it comes again.
after(() => house?.end({ excused: ["event_not_acked_in_time"] }));

const BOT = "U0BOT000001";
let count = 0;
// Somebody begins a session by a mention; its thread is that message.
const begin = async (script) => {
  const m = await w.control("message", { user: ALICE, channel: "dev", text: `<@${BOT}> task ${++count}\n${script}` });
  return { ts: m.ts, thread_ts: m.ts, channel: CHANNEL };
};
const thread = async (root) => (await w.all(`&thread_ts=${root.ts}`)).filter((m) => m.ts !== root.ts);
const markdown = (m) => (m.blocks ?? []).filter((b) => b.type === "markdown").map((b) => b.text).join("");
const context = (m) => (m.blocks ?? []).filter((b) => b.type === "context").flatMap((b) => b.elements.map((e) => e.text)).join("\n");
const pages = async (root) => (await thread(root)).filter((m) => markdown(m) || /\*(bash|write|read)\*|file below/.test(context(m)));
const footer = /:white_check_mark: Done in \d/;
const done = (root) =>
  eventually("the last line", async () => {
    const list = await pages(root);
    return list.length && footer.test(context(list.at(-1))) && list;
  }, 40000);
const written = (list) => list.map(markdown).join("");

describe("while the agent works", () => {
  test("its text grows in the thread, and is complete at the end, with what it took", async () => {
    const begun = performance.now();
    const root = await begin("@@slow 60 150\n@@text The end & <b>.");
    const first = await eventually("the first words", async () => (await pages(root))[0]);
    assert.doesNotMatch(markdown(first), /The end/);
    assert.deepEqual(elements(first).map((b) => b.text.text), ["Stop"]);
    const list = await done(root);
    assert.equal(list.length, 1);
    const words = Array.from({ length: 60 }, (_, i) => `word${i} `).join("");
    assert.equal(written(list), `${words}The end & <b>.`);
    assert.deepEqual(elements(list[0]), []);
    assert.match(context(list[0]), /Done in \d+ s · 110 tokens$/);
    const updates = list[0]._meta.history.length;
    assert.ok(updates >= 3, `it grew: ${updates} versions`);
    const seconds = (performance.now() - begun) / 1000;
    assert.ok(updates <= 2 + 2.4 * seconds, `not faster than Slack allows: ${updates} versions in ${seconds} s`);
  });

  test("tools are a line each; a diff summary at the end", async () => {
    const file = JSON.stringify({ filePath: path.join(house.project, "new.txt"), content: "1\n2\n3\n" });
    const root = await begin(`@@text I will write it.\n@@tool write ${file}\n@@then\n@@text Written.`);
    const request = await w.waiting("new.txt");
    assert.equal(request.thread_ts, root.ts);
    await w.click(ALICE, request, "allow_once");
    const list = await done(root);
    assert.match(list.map(context).join("\n"), /✓ \*write\* new\.txt/);
    assert.match(context(list.at(-1)), /Done in \d+ s · 1 file \+3 −0 · 1 tool · 220 tokens/);
    assert.match(written(list), /I will write it\.[^]*Written\./);
    assert.ok(list.at(-1).ts > request.ts, "what follows the request is below it");
  });

  test("long text: pages on good borders, code blocks whole, not a character lost", async () => {
    const code = (n) => "```js\n" + Array.from({ length: n }, (_, i) => `console.log("line ${i} of ${n}");`).join("\n") + "\n```";
    const text = Array.from({ length: 12 }, (_, i) => `## Part ${i}\n\n${"Some words of prose, with *stars*. ".repeat(20)}\n\n${code(10 + i * 3)}\n\n`).join("") + "The last line.";
    const answer = path.join(house.dir, "long.md");
    fs.writeFileSync(answer, text);
    const root = await begin(`@@file ${answer}`);
    const list = await done(root);
    assert.ok(list.length >= 4 && list.length <= 12, `${list.length} pages`);
    assert.equal(written(list), text);
    for (const m of list) {
      assert.equal((markdown(m).match(/^```/gm) ?? []).length % 2, 0, "a code block is whole");
      assert.ok([...markdown(m)].length <= 9000);
    }
    assert.equal(list.filter((m) => footer.test(context(m))).length, 1);
  });

  test("a code block that no message holds is a file", async () => {
    const code = "```\n" + "0123456789 abcdefghijklmnopqrstuvwxyz\n".repeat(600) + "```";
    const answer = path.join(house.dir, "large.md");
    fs.writeFileSync(answer, `Look:\n\n${code}\n\nThat was it.`);
    await w.control("fail", { method: "files.completeUploadExternal", times: 1, mode: "lost_response" });
    const root = await begin(`@@file ${answer}`);
    const list = await done(root);
    assert.match(list.map(context).join("\n"), /The whole text is in the file below/);
    assert.match(written(list), /Look:[^]*That was it\./);
    const files = await eventually("the file", async () => {
      const all = (await thread(root)).filter((m) => m.files?.length);
      return all.length && all;
    });
    assert.equal(files.length, 1, "once, although the answer was lost");
    const stored = (await w.control("files")).find((f) => f.id === files[0].files[0].id);
    assert.equal(stored.content.trimEnd(), code);
  });

  test("killed in the middle: the same messages go on, nothing is lost or doubled", async () => {
    const root = await begin("@@slow 30 150\n@@text After it.");
    await eventually("the first words", async () => (await pages(root))[0]);
    await w.kill();
    await w.start();
    const list = await done(root);
    assert.equal(list.length, 1);
    const words = Array.from({ length: 30 }, (_, i) => `word${i} `).join("");
    assert.equal(written(list), `${words}After it.`);
  });

  test("the turn ends while the gateway is away: its text is there all the same", async () => {
    const root = await begin("@@slow 12 150\n@@text Ended alone.");
    await eventually("the first words", async () => (await pages(root))[0]);
    await w.kill();
    await eventually("OpenCode is done", async () => Object.keys((await opencode.api("/session/status")).body).length === 0);
    await w.start();
    const list = await done(root);
    assert.match(written(list), /word11 Ended alone\.$/);
    assert.equal(list.length, 1);
  });

  test("the model fails: said in a message of its own", async () => {
    const root = await begin("@@status 400");
    const note = await eventually("the failure", async () => (await thread(root)).find((m) => /The turn failed/.test(m.text)));
    assert.match(note.text, /scripted failure/);
  });
});

describe("a reply while the agent works", () => {
  const shown = (root, text) => eventually(`it says ${text}`, async () => (await thread(root)).find((m) => text.test(seen(m))), 30000);
  const say = (root, text) => w.control("message", { user: ALICE, channel: "dev", thread_ts: root.ts, text });
  const busy = (root) => eventually("the agent writes", async () => (await pages(root))[0], 30000);

  test("is shown as queued, and as read when the agent has read it", async () => {
    const root = await begin("@@slow 14 150\n@@text First.");
    await busy(root);
    await say(root, "@@text Second.");
    const notice = await shown(root, /Queued: the agent is at work/);
    assert.deepEqual(elements(notice).map((b) => b.text.text), ["Send now"]);
    await shown(root, /Second\./);
    const after = await shown(root, /Read by the agent/);
    assert.equal(after.ts, notice.ts);
    assert.deepEqual(elements(after), []);
    const said = await pages(root);
    assert.match(written(said), /First\.[^]*Second\./);
    assert.ok(said.at(-1).ts > notice.ts, "the answer is below the question");
  });

  test("Send now stops the turn, and the agent reads it at once", async () => {
    const root = await begin("@@slow 400 150\n@@text Never said.");
    await busy(root);
    await say(root, "@@text Second at once.");
    const notice = await shown(root, /Queued: the agent is at work/);
    await w.click("mallory", notice, "queued_send_now");
    await w.ephemeral("mallory", /not among the people/);
    await w.click("bob", notice, "queued_send_now");
    await shown(root, /Second at once\./);
    await shown(root, /Sent at once by <@U0BOB000001>/);
    await shown(root, /:black_square_for_stop: Stopped after/);
    const { body } = await opencode.api("/session");
    const session = body.find((s) => s.metadata?.codev_key?.includes(root.ts));
    const said = (await opencode.api(`/session/${session.id}/message`)).body.filter((m) => m.info.role === "user");
    assert.deepEqual(said.map((m) => m.parts.filter((p) => p.type === "text").length), [1, 1], "each message once");
    assert.doesNotMatch(written(await pages(root)), /Never said/);
  });

  test("by setting it stops the turn itself, and the agent reads it at once", async (t) => {
    const others = w;
    const home = tempDir("slack-interrupt");
    t.after(async () => {
      await w.end();
      w = others;
      fs.rmSync(home, { recursive: true, force: true });
    });
    w = await startWorkspace(home, opencode);
    await w.start({ CODEV_GATEWAY_BUSY: "interrupt" });
    const root = await begin("@@slow 400 150\n@@text Never said either.");
    await busy(root);
    await say(root, "@@text Read without a click.");
    await shown(root, /Read without a click\./);
    await shown(root, /Sent at once/);
    await shown(root, /:black_square_for_stop: Stopped after/);
    assert.deepEqual((await thread(root)).filter((m) => /Queued: the agent/.test(seen(m))), []);
    assert.doesNotMatch(written(await pages(root)), /Never said/);
  });

  test("stopped by a word and by the button; what was queued stays to be sent", async () => {
    const root = await begin("@@slow 400 150");
    await busy(root);
    await say(root, "@@text Later then.");
    await shown(root, /Queued: the agent is at work/);
    await say(root, "Stop");
    await w.ephemeral(ALICE, /Stopped/);
    const notice = await shown(root, /Not read yet: the turn was stopped/);
    await w.click(ALICE, notice, "queued_send_now");
    await shown(root, /Later then\.[^]*Done in/);
    await say(root, "@@slow 400 150");
    const live = await eventually("a button", async () => (await pages(root)).find((m) => elements(m).some((e) => e.action_id === "session_stop")), 30000);
    await w.click("mallory", live, "session_stop");
    await w.click(ALICE, live, "session_stop");
    await eventually("stopped twice", async () => (await thread(root)).filter((m) => /Stopped after/.test(seen(m))).length === 2, 30000);
    await eventually("the card has no button", async () => !(await thread(root)).some((m) => elements(m).length));
  });
});
