// The table of crash points (bridge/gateway/core/crash.h), point by point and way by way: the gateway
// is killed right there and started again. After that every message is in Slack exactly once, every
// prompt and every decision reached OpenCode exactly once. Each case has a workspace and a gateway of
// its own; OpenCode is shared.
import test, { after, before, describe } from "node:test";
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { BIN, OPENCODE, eventually, freePorts, run, sh, startFakeModel, startFakeSlack, tempDir } from "./lib/util.mjs";
import { modelConfig } from "./lib/pod.mjs";

const CHANNEL = "C0DEV000001";
const AT_ONCE = 3;
const dir = tempDir("crash");
const project = path.join(dir, "project");
let model, opencode;

// A prompt whose scripted model appends a line to a file, once for each time it is worked on.
const bash = (name) =>
  `please\n@@tool bash ${JSON.stringify({ command: `echo x >> ${name}`, description: "T" })}\n@@then\n@@text Ready ${name}.`;

// The same with a question; the agent reads `"NAME?"="Red"`, once.
const question = (name) =>
  `please\n@@tool question ${JSON.stringify({
    questions: [{ question: `${name}?`, header: "Which", options: ["Red", "Blue"].map((label) => ({ label, description: label })) }],
  })}\n@@then\n@@text Ready ${name}.`;

async function startOpenCode() {
  const [port] = await freePorts(1);
  fs.mkdirSync(project, { recursive: true });
  fs.writeFileSync(path.join(dir, "opencode.json"), JSON.stringify(modelConfig(model.url)));
  const child = run(OPENCODE, ["serve", "--hostname", "127.0.0.1", "--port", String(port)], {
    cwd: project,
    env: {
      ...{ PATH: process.env.PATH, HOME: dir, OPENCODE_CONFIG: path.join(dir, "opencode.json") },
      ...{ OPENCODE_DISABLE_MODELS_FETCH: "1", OPENCODE_DISABLE_AUTOUPDATE: "1", npm_config_offline: "true" },
    },
  });
  const url = `http://127.0.0.1:${port}`;
  const api = async (route, body) => {
    const r = await fetch(`${url}${route}${route.includes("?") ? "&" : "?"}directory=${encodeURIComponent(project)}`, {
      method: body ? "POST" : "GET",
      headers: body ? { "content-type": "application/json" } : {},
      body: body && JSON.stringify(body),
      signal: AbortSignal.timeout(15000),
    });
    const text = await r.text();
    return text ? JSON.parse(text) : null;
  };
  await eventually("OpenCode answers", async () =>
    (await fetch(`${url}/session/status?directory=${encodeURIComponent(project)}`, { signal: AbortSignal.timeout(500) })).status === 200, 60000);
  return { url, api, stop: () => child.kill("SIGKILL") };
}

// A workspace, a state folder, and gateways one after the other.
async function makeHouse() {
  const folder = tempDir("crash-house");
  const slack = await startFakeSlack();
  await slack.control("config", { retryScheduleMs: [500, 1500, 4000], ackTimeoutMs: 1500 });
  const house = {
    slack,
    async start(point) {
      const [port] = await freePorts(1);
      house.gateway = run(path.join(BIN, "codev-gateway"), [], {
        env: {
          ...{ PATH: process.env.PATH, HOME: dir, CODEV_HOME: dir, CODEV_POD: "pod-1" },
          ...{ CODEV_STATE_DIR: folder, CODEV_RUNTIME_DIR: folder, CODEV_LOG_LEVEL: "debug" },
          ...{ CODEV_OPENCODE_URL: opencode.url, CODEV_OPENCODE_DIRECTORY: project },
          ...{ CODEV_GATEWAY_LISTEN: "127.0.0.1", CODEV_GATEWAY_PORT: String(port), CODEV_TOKEN: "token" },
          ...{ SLACK_BOT_TOKEN: slack.bot_token, SLACK_APP_TOKEN: slack.app_token, SLACK_API_URL: slack.api },
          ...{ SLACK_CHANNEL_ID: CHANNEL, SLACK_ALLOWED_USERS: "U0ALICE0001" },
          ...(point ? { CODEV_CRASH_AT: point } : {}),
        },
      });
      const gateway = house.gateway;
      house.health = async () =>
        (await fetch(`http://127.0.0.1:${port}/api/health`, { headers: { authorization: "Bearer token" }, signal: AbortSignal.timeout(3000) })).json();
      await eventually("connected, or dead already", async () => {
        if (gateway.exitCode !== null || gateway.signalCode !== null) return true;
        const { slack: s, opencode: o } = await house.health();
        return s.state === "connected" && o.way === "http";
      }, 60000);
    },
    async died() {
      const { signal, err } = await Promise.race([
        house.gateway.ended,
        new Promise((_, no) => setTimeout(() => no(new Error(`it was not killed: ${house.gateway.err.slice(-1500)}`)), 50000).unref()),
      ]);
      assert.equal(signal, "SIGKILL", err.slice(-800));
    },
    async end() {
      house.gateway?.kill("SIGKILL");
      await house.gateway?.ended;
      slack.stop();
      fs.rmSync(folder, { recursive: true, force: true });
    },
    all: () => slack.control(`messages?channel=${CHANNEL}`),
    say: (text, thread_ts) => slack.control("message", { user: "alice", channel: "dev", text, thread_ts }),
    async waiting(name, action_prefix = "allow_once") {
      const found = await slack.control("wait", { kind: "message", from: "bot", action_prefix, contains: name, timeout_ms: 50000 });
      return found.items[0];
    },
    // What people see as failed they do again: a click and a form are delivered once only.
    again: (what, fn) =>
      eventually(`${what} is acknowledged`, async () => (await fn()).outcome === "acked", 50000).catch((e) => {
        if (!/no such element|no open view/.test(e.message)) throw e; // it was done by the one before
      }),
    clickOn: (m, action_id) => slack.control("click", { user: "alice", channel: CHANNEL, ts: m.ts, action_id, confirm: true }),
    click: (m, action_id = "allow_once") => house.again("the click", () => house.clickOn(m, action_id)),
    submit: (values) => slack.control("view_submit", { user: "alice", values }),
    async form(callback_id) {
      const found = await slack.control("wait", { kind: "view", user: "alice", open: true, callback_id, timeout_ms: 50000 });
      assert.ok(found.ok, `the form ${callback_id}`);
    },
    // What is under way when the gateway dies; whoever saw it fail does it again.
    begin(what, fn) {
      house.begun_by = { what, fn, heard: fn().then((r) => r.outcome === "acked", () => false) };
    },
    async unlessHeard() {
      const { what, fn, heard } = house.begun_by;
      if (!(await heard)) await house.again(what, fn);
    },
  };
  return house;
}

// For each way: what is done until the point is passed, and after the restart. `name` is unique.
const ways = {
  mention: {
    async before(h, name) {
      h.thread = (await h.say(`<@U0BOT000001> ${bash(name)}`)).ts;
    },
    async after(h, name) {
      await h.click(await h.waiting(name));
    },
  },
  reply: {
    starts: true,
    async before(h, name) {
      await h.start();
      h.thread = (await h.say(`<@U0BOT000001> @@text Begun ${name}.`)).ts;
      await eventually("the session", async () => (await h.all()).some((m) => m.text === `Begun ${name}.`), 50000);
      h.gateway.kill("SIGTERM");
      await h.gateway.ended;
      await h.start(h.point);
      await h.say(bash(name), h.thread);
    },
    async after(h, name) {
      await h.click(await h.waiting(name));
    },
  },
  form: {
    starts: true,
    async before(h, name) {
      await h.start();
      await slackForm(h, name);
      h.gateway.kill("SIGTERM");
      await h.gateway.ended;
      await h.start(h.point);
      h.begin("the form", () => h.submit(h.values));
    },
    async after(h, name) {
      await h.unlessHeard();
      await h.click(await h.waiting(name));
    },
  },
  ask: {
    async before(h, name) {
      await prompt(name, bash(name));
    },
    async after(h, name) {
      await h.click(await h.waiting(name));
    },
  },
  click: {
    async before(h, name) {
      await ways.ask.before(h, name);
      h.message = await h.waiting(name);
      h.begin("the click", () => h.clickOn(h.message, "allow_once"));
    },
    async after(h) {
      await h.unlessHeard();
    },
  },
  deny: {
    async before(h, name) {
      await ways.ask.before(h, name);
      h.values = { reason: { text: `Not ${name}` } };
      await h.click(await h.waiting(name), "deny_reason");
      await h.form("deny_with_reason");
      h.begin("the form", () => h.submit(h.values));
    },
    async after(h) {
      await h.unlessHeard();
    },
    check: (h, name) => checkSettled(h, name, /Denied by <@U0ALICE0001>/, `Not ${name}`),
  },
  word: {
    async before(h, name) {
      await ways.ask.before(h, name);
      const m = await h.waiting(name);
      await h.say("allow", m.thread_ts);
    },
    async after() {},
  },
  pick: {
    async before(h, name) {
      await prompt(name, question(name));
      h.message = await h.waiting(name, "answer_option_0");
      h.begin("the click", () => h.clickOn(h.message, "answer_option_0"));
    },
    async after(h) {
      await h.unlessHeard();
    },
    check: (h, name) => checkSettled(h, name, /Answered by <@U0ALICE0001>: Red/, `"${name}?"="Red"`),
  },
  fill: {
    async before(h, name) {
      await prompt(name, question(name));
      await h.click(await h.waiting(name, "answer_form"), "answer_form");
      await h.form("answer_question");
      h.values = { own0: { words: "Red" } };
      h.begin("the form", () => h.submit(h.values));
    },
    async after(h) {
      await h.unlessHeard();
    },
    check: (h, name) => ways.pick.check(h, name),
  },
  words: {
    async before(h, name) {
      await prompt(name, question(name));
      const m = await h.waiting(name, "answer_option_0");
      await h.say("Red", m.thread_ts);
    },
    async after() {},
    check: (h, name) => ways.pick.check(h, name),
  },
};

// As somebody would in OpenCode's own page.
async function prompt(name, text) {
  const { id } = await opencode.api("/session", { title: name });
  await opencode.api(`/session/${id}/prompt_async`, { parts: [{ type: "text", text }] });
}

async function slackForm(h, name) {
  await h.slack.control("slash", { user: "alice", channel: "general", command: "/opencode", text: `start ${name}` });
  await h.form("start_session");
  h.title = name;
  h.values = { description: { value: bash(name) } };
}

// The request is in one message, which says how it ended; the agent read `told` once, and no person
// is told of anything twice or that somebody else was first.
async function checkSettled(h, name, outcome, told) {
  const about = (x) => JSON.stringify(x.blocks ?? "").includes(name);
  await eventually("the request's message shows how it ended", async () =>
    (await h.all()).some((m) => about(m) && outcome.test(JSON.stringify(m.blocks))), 50000);
  const posts = (await h.all()).filter((m) => m.metadata?.event_payload?.id);
  const shown = posts.filter((m) => about(m) && m._meta.history.concat(m).some((x) => /"(allow_once|answer_option_0)"/.test(JSON.stringify(x.blocks ?? ""))));
  assert.equal(shown.length, 1, `the request is in one message, not in ${shown.length}`);
  const [session] = (await opencode.api("/session?roots=true&limit=300")).filter((s) => s.title === name);
  const read = () => opencode.api(`/session/${session.id}/message`);
  const count = (text) => text.split(JSON.stringify(told).slice(1, -1)).length - 1;
  await eventually("the agent reads it", async () => count(JSON.stringify(await read())) > 0, 50000);
  const tools = (await read()).flatMap((m) => m.parts).filter((p) => p.type === "tool");
  assert.equal(tools.length, 1, "one tool call");
  assert.equal((await read()).filter((m) => m.info.role === "user").length, 1, "nothing of it became a prompt");
  const whispers = (await h.slack.control("ephemerals?user=alice")).map((e) => e.text);
  assert.deepEqual(whispers.filter((t) => /Somebody was first|no longer waiting/.test(t)), []);
}

async function check(h, name) {
  await eventually("the command ran", () => fs.existsSync(path.join(project, name)), 50000);
  await eventually("the request's message shows who allowed it", async () =>
    (await h.all()).some((m) => /Allowed once by <@U0ALICE0001>/.test(JSON.stringify(m.blocks ?? "")) && JSON.stringify(m.blocks).includes(name)), 50000);
  assert.equal(fs.readFileSync(path.join(project, name), "utf8"), "x\n", "the command ran once");
  const posts = (await h.all()).filter((m) => m.metadata?.event_payload?.id);
  const ids = posts.map((m) => m.metadata.event_payload.id);
  assert.equal(new Set(ids).size, ids.length, "each message is there once");
  const shown = posts.filter((m) => m._meta.history.some((x) => /allow_once/.test(JSON.stringify(x.blocks ?? "")) && JSON.stringify(x.blocks).includes(name)));
  assert.equal(shown.length, 1, `the request is in one message, not in ${shown.length}`);
  // Among all sessions one holds the prompt, once.
  let prompts = 0;
  const sessions = await opencode.api("/session?roots=true&limit=300");
  const mine = sessions.filter((s) => (h.thread && s.metadata?.codev_key?.includes(h.thread)) || (h.title && s.title === h.title));
  assert.equal(mine.length, ["mention", "reply", "form"].includes(h.way) ? 1 : 0, "one session was begun");
  for (const s of sessions)
    if (s.time.created > h.begun)
      for (const m of await opencode.api(`/session/${s.id}/message`))
        prompts += m.info.role === "user" && m.parts.some((p) => p.text?.includes(`>> ${name}"`)) ? 1 : 0;
  assert.equal(prompts, 1, "one prompt");
  if (h.thread) {
    const cards = posts.filter((m) => m.thread_ts === h.thread && /speech_balloon/.test(JSON.stringify(m.blocks ?? "")));
    assert.equal(cards.length, 1, "one card in the thread");
  }
}

async function runCase(point, way) {
  const name = `${point}-${way}`.replaceAll(".", "-");
  const h = await makeHouse();
  Object.assign(h, { point, way, begun: Date.now() - 1000 });
  try {
    if (!ways[way].starts) await h.start(point);
    await ways[way].before(h, name);
    await h.died();
    await h.start();
    await ways[way].after(h, name);
    await (ways[way].check ?? check)(h, name);
  } catch (e) {
    if (process.env.CRASH_TEST_LOG) fs.writeFileSync(path.join(process.env.CRASH_TEST_LOG, `${name}.log`), `${h.gateway?.err}\n${JSON.stringify(await h.all(), null, 1)}\n${JSON.stringify(await h.slack.control("calls"), null, 1)}`);
    throw e;
  } finally {
    await h.end();
  }
}

const table = sh(path.join(BIN, "codev-gateway"), ["--crash-points"])
  .trim()
  .split("\n")
  .map((line) => line.split("\t"));

describe("killed at each point of the table", { concurrency: AT_ONCE, timeout: 600000 }, () => {
  before(async () => {
    model = await startFakeModel();
    opencode = await startOpenCode();
  });
  after(() => {
    opencode?.stop();
    model?.stop();
    fs.rmSync(dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  });
  const whole = process.env.CODEV_CRASH_ALL;
  for (const [point, list, truth] of table) {
    // `make check` goes the first way of each point, another with each, `make soak` all of them.
    const known = list.split(" ").filter((way) => ways[way]);
    for (const way of whole ? known : known.slice(0, 1)) test(`${point} (${truth}), by ${way}`, () => runCase(point, way));
  }
  test("a point that nobody knows is refused", async () => {
    const env = { PATH: process.env.PATH, CODEV_GATEWAY_LISTEN: "127.0.0.1", CODEV_STATE_DIR: dir };
    for (const more of [{ CODEV_CRASH_AT: "nowhere" }, { CODEV_CRASH_AT: "inbound.stored", CODEV_SERVICE: "gateway" },
      { CODEV_CRASH_AT: "inbound.stored", CODEV_GATEWAY_LISTEN: "0.0.0.0" }]) {
      const { code, err } = await run(path.join(BIN, "codev-gateway"), [], { env: { ...env, ...more } }).ended;
      assert.equal(code, 78, JSON.stringify(more));
      assert.match(err, /CODEV_CRASH_AT/);
    }
  });
});
