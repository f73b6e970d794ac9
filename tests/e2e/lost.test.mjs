// It was done, and the answer never came: for each call that the gateway makes to change something, in
// Slack, in OpenCode, over the bridge. After that every message is in Slack exactly once, every prompt
// and every decision reached OpenCode exactly once. `make check` loses each answer once, all in one
// workspace; `make soak` (CODEV_LOST_ALL=1) each in each way, on each flow, in a workspace of its own.
import test, { after, before, describe } from "node:test";
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { TOP, eventually } from "./lib/util.mjs";
import { CHANNEL, bash, check, makeHouse, prompt, startWorld, ways as flows } from "./lib/flows.mjs";
import { startBridgeRelay, startHttpRelay } from "./lib/lossy.mjs";

const whole = process.env.CODEV_LOST_ALL;
const AT_ONCE = 3;
const HOW = ["reset", "5xx", "hang"];

// What else is lost: flows of their own, begun and checked here.
const inThread = async (h, ts) => (await h.all()).filter((m) => m.thread_ts === ts && m.ts !== ts);
const ways = {
  ...flows,
  // A turn is stopped by its button.
  stop: {
    async before(h, name) {
      h.thread = (await h.say(`<@U0BOT000001> @@slow 400 100\n@@text Never ${name}.`)).ts;
      const button = await eventually("the button", async () =>
        (await inThread(h, h.thread)).find((m) => JSON.stringify(m.blocks ?? "").includes("session_stop") && /word\d/.test(JSON.stringify(m.blocks))), 120000);
      await h.click(button, "session_stop");
    },
    async after() {},
    async check(h) {
      const stopped = async () => (await inThread(h, h.thread)).filter((m) => /Stopped after/.test(JSON.stringify(m.blocks ?? "")));
      await eventually("it says so", async () => (await stopped()).length, 120000);
      assert.equal((await stopped()).length, 1);
      const [session] = (await h.world.api("/session?roots=true&limit=300")).filter((s) => s.metadata?.codev_key?.includes(h.thread));
      const status = await h.world.api("/session/status");
      assert.equal(status[session.id], undefined, "nothing works on it");
    },
  },
  // A code block that no message holds becomes a file.
  file: {
    async before(h, name) {
      const answer = path.join(h.world.dir, `${name}.md`);
      fs.writeFileSync(answer, `Look:\n\n\`\`\`\n${`${name} 0123456789 abcdefghijklmnopqrstuvwxyz\n`.repeat(500)}\`\`\`\n\nThat was it.`);
      h.thread = (await h.say(`<@U0BOT000001> @@file ${answer}`)).ts;
    },
    async after() {},
    async check(h, name) {
      const files = async () => (await inThread(h, h.thread)).filter((m) => m.files?.length);
      await eventually("the turn ends", async () => (await inThread(h, h.thread)).some((m) => /Done in/.test(JSON.stringify(m.blocks ?? ""))), 120000);
      await eventually("the file", async () => (await files()).length, 120000);
      assert.equal((await files()).length, 1);
      const stored = (await h.slack.control("files")).find((f) => f.shared && f.content.includes(name));
      assert.ok(stored, "its bytes are there");
    },
  },
  // Somebody who may not is told so: a whisper can't be looked for, so at most once.
  whisper: {
    async before(h, name) {
      await prompt(h, name, bash(name));
      const m = await h.waiting(name);
      await h.slack.control("click", { user: "mallory", channel: CHANNEL, ts: m.ts, action_id: "allow_once", confirm: true });
      await eventually("refused", async () => (await h.told(/not among/)).length > 0, 120000);
      await h.click(m);
    },
    async after() {},
    async check(h, name) {
      await check(h, name);
      assert.equal((await h.told(/not among/)).length, 1);
    },
  },
  home: {
    async before(h) {
      await h.slack.control("home_opened", { user: "alice" });
    },
    async after() {},
    async check(h) {
      await eventually("it is there", async () =>
        (await h.slack.control("calls?method=views.publish")).some((c) => c.ok && !c.lost), 120000);
    },
  },
};

// Each call whose answer is lost, and on which flows; the first flow of those with `check` is for
// `make check`. `text` picks the call by what is in it; `times`: how many in a row, so that the
// repetition is lost, too; `with`: what must be lost before, for this call to be made.
const slack = (method, more = {}) => ({ at: "slack", method, ...more });
const opencode = (route, more = {}) => ({ at: "opencode", route, ...more });
const PROMPT = /^POST \/session\/[^/]+\/prompt_async$/;
const table = [
  [slack("chat.postMessage", { text: "allow_once", check: true }), "ask mention form reply"],
  [slack("chat.postMessage", { text: "speech_balloon" }), "mention form"],
  [slack("conversations.history", { with: slack("chat.postMessage", { text: "speech_balloon" }) }), "ask"],
  [slack("conversations.replies", { with: slack("chat.postMessage", { text: "allow_once" }) }), "mention"],
  [slack("chat.update", { text: "Allowed", times: 2, check: true }), "click word"],
  [slack("chat.update", { text: "Answered" }), "pick fill words"],
  [slack("chat.postEphemeral"), "whisper"],
  [slack("views.open", { check: true }), "form deny fill"],
  [slack("views.publish", { times: 2 }), "home"],
  [slack("files.getUploadURLExternal"), "file"],
  [slack("upload"), "file"],
  [slack("files.completeUploadExternal"), "file"],
  [slack("response_url", { check: true }), "form"],
  [slack("apps.connections.open", { early: true }), "ask"],
  [opencode(/^POST \/session$/, { check: true }), "mention form"],
  [opencode(PROMPT, { check: true }), "reply mention form"],
  [opencode(/^GET \/session\/[^/]+\/message\/[^/]+$/, { with: opencode(PROMPT) }), "reply mention"],
  [opencode(/^POST \/permission\/[^/]+\/reply$/, { check: true }), "word click deny"],
  [opencode(/^POST \/question\/[^/]+\/reply$/, { check: true }), "pick fill words"],
  [opencode(/^POST \/session\/[^/]+\/abort$/, { check: true }), "stop"],
];
// The bridge's answers, and the link with them; the first two for `make check`.
const answers = {
  "session.created": "mention",
  "permission.reply.result": "click",
  "session.message.result": "reply",
  "question.reply.result": "pick",
  "session.abort.result": "stop",
};
const nameOf = (call) => `${call.method ?? String(call.route).replaceAll("\\", "")}${call.text ? ` (${call.text})` : ""}${call.with ? ` after ${nameOf(call.with)}` : ""}`;

const sameForm = { form: true, deny: true, fill: true }; // a person has one form open at a time

// These flows side by side in one workspace: { way, name, what }. Nobody clicks, and nothing is judged
// for good, before `used()`: all losses that were armed have happened.
async function runAll(house, cases, used) {
  const lost = () => eventually("each answer was lost", used, 90000);
  const begun = Date.now() - 1000;
  let forms = Promise.resolve();
  const one = async ({ way, name, patient }) => {
    const h = Object.assign(Object.create(house), { way, begun, first() {}, anew() {} });
    if (patient)
      h.waiting = async (...args) => {
        const m = await house.waiting(...args);
        await lost();
        return m;
      };
    await ways[way].before(h, name);
    await ways[way].after(h, name);
    await (ways[way].check ?? check)(h, name);
    await lost();
    await (ways[way].check ?? check)(h, name);
  };
  const ended = await Promise.allSettled(cases.map((c) => (sameForm[c.way] ? (forms = forms.catch(() => {}).then(() => one(c))) : one(c))));
  const failed = ended.flatMap((e, i) => (e.status === "rejected" ? [`${cases[i].what}, ${cases[i].how}, by ${cases[i].way}: ${e.reason.stack}`] : []));
  assert.deepEqual(failed, []);
  const told = (await house.slack.control("ephemerals")).map((e) => `${e.user}: ${e.text}`);
  assert.equal(new Set(told).size, told.length, `nobody is told anything twice: ${told.join("\n")}`);
  assert.deepEqual(told.filter((text) => /could not|failed/.test(text)), [], "nothing is called failed that was done");
}

async function keepLog(house, name, error) {
  if (!process.env.CRASH_TEST_LOG) return;
  const seen = [await house.all(), await house.slack.control("calls")].map((x) => JSON.stringify(x, null, 1));
  fs.writeFileSync(path.join(process.env.CRASH_TEST_LOG, `${name}.log`), [error.stack, house.gateway?.err, ...seen].join("\n"));
}

// A workspace for these cases, which run side by side; each is { call, how, way, name }.
async function runGroup(world, cases) {
  const relay = await startHttpRelay(world.url);
  const house = await makeHouse(world, { url: relay.url });
  const arm = (call, how) => {
    if (call.with) arm(call.with, how);
    for (let n = 0; n < (call.times ?? 1); n++) {
      if (call.at === "opencode") relay.lose({ route: call.route, how });
      else house.faults.push(house.slack.control("fail", { method: call.method, contains: call.text, mode: "lost_response", how }));
    }
  };
  house.faults = [];
  house.told = async (pattern) => (await house.slack.control("ephemerals")).filter((e) => pattern.test(e.text));
  try {
    for (const { call, how } of cases) if (call.early) arm(call, how);
    await Promise.all(house.faults);
    await house.start();
    for (const { call, how } of cases) if (!call.early) arm(call, how);
    await Promise.all(house.faults);
    await runAll(house, cases, async () => relay.waiting() === 0 && (await house.slack.control("faults")).every((f) => f.left === 0));
  } catch (e) {
    await keepLog(house, cases[0].name, e);
    throw e;
  } finally {
    await house.end();
    relay.stop();
  }
}

describe("the answer never came", { concurrency: AT_ONCE, timeout: 1800000 }, () => {
  let world;
  before(async () => {
    world = await startWorld("lost");
  });
  after(() => world?.stop());
  const cases = table.flatMap(([call, list], row) => {
    if (!whole && !call.check) return [];
    const flowsOf = whole ? list.split(" ") : list.split(" ").slice(0, 1);
    const how = whole ? HOW : [HOW[row % 2]]; // a hang takes as long as we wait for an answer
    return flowsOf.flatMap((way) => how.map((h) => ({ call, way, how: h, what: nameOf(call), patient: call.method === "conversations.replies", name: `lost-${row}-${way}-${h}` })));
  });
  const size = whole ? 1 : Math.ceil(cases.length / AT_ONCE);
  for (let at = 0; at < Math.ceil(cases.length / size); at++) {
    const group = cases.filter((_, i) => (whole ? i === at : i % AT_ONCE === at));
    test(group.map((c) => `${nameOf(c.call)}, ${c.how}, by ${c.way}`).join("; "), () => runGroup(world, group));
  }
});

// With an OpenCode of its own: the bridge tells of all its sessions.
describe("over the bridge", { timeout: 600000 }, () => {
  let world, relay, bridged;
  before(async () => {
    relay = await startBridgeRelay(() => bridged && `ws://127.0.0.1:${bridged.port}`);
    world = await startWorld("lost", {
      config: { plugin: [`file://${path.join(TOP, "bridge/plugin")}`] },
      env: { GATEWAY_WS: `${relay.url}/ws/bridge`, CODEV_POD: "pod-1", CODEV_BRIDGE_TOKEN: "token-of-the-bridge" },
    });
  });
  after(() => {
    world?.stop();
    relay?.stop();
  });
  for (const how of whole ? ["reset", "hang"] : ["reset"])
    test(`over the bridge, ${how}`, async () => {
      const house = await makeHouse(world, { env: { CODEV_BRIDGE_TOKEN: "token-of-the-bridge" } });
      house.feeds = "bridge";
      bridged = house;
      try {
        await house.start();
        for (const [type, way] of Object.entries(answers).slice(0, whole ? undefined : 2)) {
          await eventually("the bridge feeds", async () => (await house.health()).opencode.way === "bridge", 60000);
          relay.lose({ type, how });
          await runAll(house, [{ what: type, how, way, name: `bridge-${way}-${how}` }], () => relay.waiting() === 0);
        }
      } catch (e) {
        await keepLog(house, `bridge-${how}`, e);
        throw e;
      } finally {
        bridged = undefined;
        relay.forget();
        await house.end();
      }
    });
});
