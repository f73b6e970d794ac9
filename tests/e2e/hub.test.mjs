// A hub: one gateway with the one Slack app, and two pods' OpenCodes, each with the real plugin. What
// is one pod's stays one pod's.
import test, { after, before } from "node:test";
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { eventually, startFakeModel, tempDir } from "./lib/util.mjs";
import { ALICE, elements, seen, startOpenCode, startWorkspace } from "./lib/slack.mjs";

const dir = tempDir("hub");
const HUB = { CODEV_POD: "hub", CODEV_OPENCODE_URL: "", CODEV_OPENCODE_DIRECTORY: "" };
const PODS = ["pod-one", "pod-two"];
const pods = {};
let model, w;

const bash = (command) => `@@tool bash ${JSON.stringify({ command, description: "Test" })}\n@@then\n@@text All done.`;
const project = (pod) => path.join(dir, pod, "project");
const there = (pod, name) => fs.existsSync(path.join(project(pod), name));
const bridges = async () => (await w.api("/api/health")).bridge?.connected ?? 0;
const sessions = async () => (await w.api("/api/sessions")).sessions;

async function startPod(pod) {
  const home = path.join(dir, pod);
  fs.mkdirSync(home, { recursive: true });
  pods[pod] = await startOpenCode(home, project(pod), model, { bridge: { url: w.url, pod } });
}
const startHub = async () => {
  await w.launch(HUB);
  await eventually("Slack is connected", async () => (await w.api("/api/health")).slack.state === "connected");
};

before(async () => {
  model = await startFakeModel();
  w = await startWorkspace(dir, { url: "", project: "" });
  await startHub();
  for (const pod of PODS) await startPod(pod); // the first is the default
  await eventually("both bridges", async () => (await bridges()) === 2);
});
after(async () => {
  try {
    await w?.end();
  } finally {
    for (const pod of Object.values(pods)) pod.stop();
    model?.stop();
  }
  fs.rmSync(dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
});

test("each pod's request in a thread of its own; a click reaches that pod, and no other", async () => {
  await pods["pod-one"].prompt(bash("touch one"), "Work on one");
  await pods["pod-two"].prompt(bash("touch two"), "Work on two");
  const [one, two] = [await w.waiting("touch one"), await w.waiting("touch two")];
  assert.notEqual(one.thread_ts, two.thread_ts);
  assert.match(seen(one), /pod-one/);
  assert.match(seen(two), /pod-two/);
  await w.click("alice", two, "deny");
  await w.settled(two.ts, /Denied by <@U0ALICE0001>/);
  assert.ok(!there("pod-one", "one"), "the other one waits still");
  await w.click("bob", one, "allow_once");
  await w.settled(one.ts, /Allowed once by <@U0BOB000001>/);
  await eventually("it ran there", () => there("pod-one", "one"));
  assert.ok(!there("pod-two", "two") && !there("pod-two", "one") && !there("pod-one", "two"));
});

test("the form asks on which pod; a mention takes the first", async () => {
  await w.slash("alice", "start Say hello");
  const view = await w.view("alice", "start_session");
  const pod = view.blocks.find((b) => b.block_id === "pod");
  assert.deepEqual(pod.element.options.map((o) => o.value), PODS);
  await w.submit("alice", { description: { value: "@@text Hello from two." }, pod: { value: "pod-two" } });
  await eventually("the answer", async () => (await w.all("&from=bot")).some((m) => m.text === "Hello from two."));
  await w.control("message", { user: ALICE, channel: "dev", text: "<@U0BOT000001> @@text Hello from one." });
  await eventually("the answer", async () => (await w.all("&from=bot")).some((m) => m.text === "Hello from one."));
  const begun = (await sessions()).filter((s) => s.created_by.startsWith("slack:")).map((s) => s.pod);
  assert.deepEqual(begun.sort(), PODS);
});

test("a pod goes and comes back: what it asked is gone, the other's is not touched", async () => {
  await pods["pod-one"].prompt(bash("touch stays"), "Stays");
  await pods["pod-two"].prompt(bash("touch goes"), "Goes");
  const [stays, goes] = [await w.waiting("touch stays"), await w.waiting("touch goes")];
  pods["pod-two"].stop();
  await eventually("one bridge", async () => (await bridges()) === 1);
  await startPod("pod-two");
  await eventually("both bridges", async () => (await bridges()) === 2);
  await w.settled(goes.ts, /No longer waiting/);
  await w.click("alice", stays, "allow_once");
  await eventually("it ran", () => there("pod-one", "stays"));
  const again = (await sessions()).find((s) => s.title === "Goes");
  await w.reply("alice", goes, "@@text Back again.");
  await eventually("its thread goes on", async () => (await w.all(`&thread_ts=${goes.thread_ts}`)).some((m) => m.text === "Back again."));
  assert.equal(again.pod, "pod-two");
});

test("the hub is killed while both wait: both are asked for once, and both go on", async () => {
  await pods["pod-one"].prompt(bash("touch after-one"), "After one");
  await pods["pod-two"].prompt(bash("touch after-two"), "After two");
  const [one, two] = [await w.waiting("touch after-one"), await w.waiting("touch after-two")];
  await w.kill();
  await startHub();
  await eventually("both bridges", async () => (await bridges()) === 2);
  await w.click("alice", two, "allow_once");
  await w.click("alice", one, "allow_once");
  await Promise.all([one, two].map((m) => w.settled(m.ts, /Allowed once by/)));
  await eventually("both ran", () => there("pod-one", "after-one") && there("pod-two", "after-two"));
  for (const text of ["after-one", "after-two"]) {
    const asked = (await w.all("&from=bot")).filter((m) => m._meta.history.some((h) => elements(h).some((e) => e.action_id === "allow_once") && JSON.stringify(h.blocks).includes(text)));
    assert.equal(asked.length, 1, text);
  }
});
