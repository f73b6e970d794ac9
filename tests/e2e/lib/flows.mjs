// Flows of a working day between a person in Slack, the gateway and the real OpenCode, each with what
// must be true at its end: everything in Slack exactly once, each prompt and each decision in OpenCode
// exactly once. What goes wrong in between is the caller's (crash.test.mjs, lost.test.mjs).
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { BIN, OPENCODE, eventually, freePorts, openCodeApi, run, sleep, startFakeModel, startFakeSlack, tempDir } from "./util.mjs";
import { modelConfig } from "./pod.mjs";

export const CHANNEL = "C0DEV000001";
// As long as a step may take; a restart on a busy machine is within it.
const PATIENCE = 120000;

// A prompt whose scripted model appends a line to a file, once for each time it is worked on.
export const bash = (name) =>
  `please\n@@tool bash ${JSON.stringify({ command: `echo x >> ${name}`, description: "T" })}\n@@then\n@@text Ready ${name}.`;

// The same with a question; the agent reads `"NAME?"="Red"`, once.
export const question = (name) =>
  `please\n@@tool question ${JSON.stringify({
    questions: [{ question: `${name}?`, header: "Which", options: ["Red", "Blue"].map((label) => ({ label, description: label })) }],
  })}\n@@then\n@@text Ready ${name}.`;

// OpenCode with a scripted model; `config` is added to its configuration, `env` to its environment.
export async function startWorld(name, { config = {}, env = {} } = {}) {
  const dir = tempDir(name);
  const project = path.join(dir, "project");
  const model = await startFakeModel();
  const [port] = await freePorts(1);
  fs.mkdirSync(project, { recursive: true });
  fs.writeFileSync(path.join(dir, "opencode.json"), JSON.stringify({ ...modelConfig(model.url), ...config }));
  const child = run(OPENCODE, ["serve", "--hostname", "127.0.0.1", "--port", String(port)], {
    cwd: project,
    env: {
      ...{ PATH: process.env.PATH, HOME: dir, OPENCODE_CONFIG: path.join(dir, "opencode.json") },
      ...{ OPENCODE_DISABLE_MODELS_FETCH: "1", OPENCODE_DISABLE_AUTOUPDATE: "1", npm_config_offline: "true" },
      ...env,
    },
  });
  const url = `http://127.0.0.1:${port}`;
  const ask = openCodeApi(url, project);
  const api = async (...request) => (await ask(...request)).body;
  const stop = () => {
    child.kill("SIGKILL");
    model.stop();
    fs.rmSync(dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  };
  const answers = async () => {
    assert.equal(child.exitCode, null, child.err.slice(-800));
    return (await fetch(`${url}/session/status?directory=${encodeURIComponent(project)}`, { signal: AbortSignal.timeout(5000) })).status === 200;
  };
  await eventually("OpenCode answers", answers, 90000).catch((e) => {
    stop();
    throw e;
  });
  return { dir, project, port, url, api, stop };
}

// A workspace, a state folder, and gateways one after the other. `url`: where the gateway finds
// OpenCode, if not at its own address; `env` is added to the gateway's; `state` is its state folder, if
// it is elsewhere; `bootId` a file that is the machine's boot id for it (root).
export async function makeHouse(world, { url = world.url, env = {}, state, bootId } = {}) {
  const { dir, project } = world;
  const folder = tempDir("house");
  const slack = await startFakeSlack();
  const gateway = path.join(BIN, "codev-gateway");
  const other = 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$1"';
  const command = () => (bootId ? ["unshare", ["-m", "sh", "-c", other, bootId, gateway]] : [gateway, []]);
  await slack.control("config", { retryScheduleMs: [500, 1500, 4000], ackTimeoutMs: 1500 });
  const house = {
    ...{ slack, world },
    async start(point) {
      const [port] = await freePorts(1);
      house.port = port;
      house.gateway = run(...command(), {
        env: {
          ...{ PATH: process.env.PATH, HOME: dir, CODEV_HOME: dir, CODEV_POD: "pod-1" },
          ...{ CODEV_STATE_DIR: state ?? folder, CODEV_RUNTIME_DIR: folder, CODEV_LOG_LEVEL: "debug" },
          ...{ CODEV_OPENCODE_URL: url, CODEV_OPENCODE_DIRECTORY: project },
          ...{ CODEV_GATEWAY_LISTEN: "127.0.0.1", CODEV_GATEWAY_PORT: String(port), CODEV_TOKEN: "token" },
          ...{ SLACK_BOT_TOKEN: slack.bot_token, SLACK_APP_TOKEN: slack.app_token, SLACK_API_URL: slack.api },
          ...{ SLACK_CHANNEL_ID: CHANNEL, SLACK_ALLOWED_USERS: "U0ALICE0001" },
          ...env,
          ...(point ? { CODEV_CRASH_AT: point } : {}),
        },
      });
      const gateway = house.gateway;
      house.health = async () =>
        (await fetch(`http://127.0.0.1:${port}/api/health`, { headers: { authorization: "Bearer token" }, signal: AbortSignal.timeout(3000) })).json();
      await eventually("connected, or dead already", async () => {
        if (gateway.exitCode !== null || gateway.signalCode !== null) return true;
        const { slack: s, opencode: o } = await house.health();
        return s.state === "connected" && o.way === (house.feeds ?? "http");
      }, PATIENCE);
    },
    // Flows that need a gateway beforehand, and another one at the point that matters.
    first: () => house.start(),
    async anew() {
      house.gateway.kill("SIGTERM");
      await house.gateway.ended;
      await house.start(house.point);
    },
    async died() {
      const { signal, err } = await Promise.race([
        house.gateway.ended,
        new Promise((_, no) => setTimeout(() => no(new Error(`it was not killed: ${house.gateway.err.slice(-1500)}`)), PATIENCE).unref()),
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
      const found = await slack.control("wait", { kind: "message", from: "bot", action_prefix, contains: name, timeout_ms: PATIENCE });
      return found.items[0];
    },
    // What people see as failed they do again: a click and a form are delivered once only.
    again: (what, fn) =>
      eventually(`${what} is acknowledged`, async () => {
        try {
          return (await fn()).outcome === "acked";
        } catch (e) {
          if (/no such element|no open view/.test(e.message)) return true; // it was done by the one before
          throw e;
        }
      }, PATIENCE),
    clickOn: (m, action_id) => slack.control("click", { user: "alice", channel: CHANNEL, ts: m.ts, action_id, confirm: true }),
    click: (m, action_id = "allow_once") => house.again("the click", () => house.clickOn(m, action_id)),
    submit: (values) => slack.control("view_submit", { user: "alice", values }),
    async form(callback_id) {
      const found = await slack.control("wait", { kind: "view", user: "alice", open: true, callback_id, timeout_ms: PATIENCE });
      assert.ok(found.ok, `the form ${callback_id}`);
    },
    // What is under way when the gateway dies; whoever saw it fail does it again.
    begin(what, fn) {
      this.begun_by = { what, fn, heard: fn().then((r) => r.outcome === "acked", () => false) };
    },
    async unlessHeard() {
      const { what, fn, heard } = this.begun_by;
      if (!(await heard)) await this.again(what, fn);
    },
  };
  return house;
}

// For each way: what is done until the point is passed, and after the restart. `name` is unique.
export const ways = {
  turn: {
    async before(h, name) {
      h.thread = (await h.say(`<@U0BOT000001> @@text Over ${name}.`)).ts;
    },
    // While nobody listens the turn ends; then all is quiet.
    async away(h, name) {
      const mine = async () => (await h.world.api("/session?roots=true&limit=300")).find((s) => s.metadata?.codev_key?.includes(h.thread));
      await eventually("the turn is over, or did not begin", async () => {
        const s = await mine();
        return !s || (JSON.stringify(await h.world.api(`/session/${s.id}/message`)).includes(`"Over ${name}."`) && !(await h.world.api("/session/status"))[s.id]);
      }, PATIENCE);
    },
    async after() {},
    async check(h, name) {
      const text = `Over ${name}.`;
      const shown = async () => (await h.all()).filter((m) => m.user === "U0BOT000001" && JSON.stringify(m.blocks ?? m.text).includes(text) && m.thread_ts === h.thread);
      await eventually("the turn's answer and what it took are there", async () => (await shown()).some((m) => m.text === text) && (await h.all()).some((m) => m.thread_ts === h.thread && /Done in/.test(JSON.stringify(m.blocks ?? ""))), PATIENCE);
      await sleep(h.prompts ? 20000 : 4000); // what would come twice or by mistake would have come
      assert.deepEqual((await h.all()).filter((m) => m.thread_ts === h.thread && /did not begin to work/.test(JSON.stringify(m.blocks ?? m.text))), []);
      assert.equal((await shown()).filter((m) => m.text === text).length, 1, "its answer is there once");
      const ids = (await h.all()).map((m) => m.metadata?.event_payload?.id).filter(Boolean);
      assert.equal(new Set(ids).size, ids.length, "each message is there once");
      const mine = (await h.world.api("/session?roots=true&limit=300")).filter((s) => s.metadata?.codev_key?.includes(h.thread));
      assert.equal(mine.length, 1, "one session was begun");
      const said = (await h.world.api(`/session/${mine[0].id}/message`)).filter((m) => m.info.role === "user");
      assert.equal(said.length, 1, "one prompt");
    },
  },
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
      await h.first();
      h.thread = (await h.say(`<@U0BOT000001> @@text Begun ${name}.`)).ts;
      await eventually("the session", async () => (await h.all()).some((m) => m.text === `Begun ${name}.`), PATIENCE);
      await h.anew();
      await h.say(bash(name), h.thread);
    },
    async after(h, name) {
      await h.click(await h.waiting(name));
    },
  },
  form: {
    starts: true,
    async before(h, name) {
      await h.first();
      await slackForm(h, name);
      await h.anew();
      h.begin("the form", () => h.submit(h.values));
    },
    async after(h, name) {
      await h.unlessHeard();
      await h.click(await h.waiting(name));
    },
  },
  ask: {
    async before(h, name) {
      await prompt(h, name, bash(name));
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
      await prompt(h, name, question(name));
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
      await prompt(h, name, question(name));
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
      await prompt(h, name, question(name));
      const m = await h.waiting(name, "answer_option_0");
      await h.say("Red", m.thread_ts);
    },
    async after() {},
    check: (h, name) => ways.pick.check(h, name),
  },
};

// As somebody would in OpenCode's own page.
export async function prompt(h, name, text) {
  const { api } = h.world;
  const { id } = await api("/session", { title: name });
  await api(`/session/${id}/prompt_async`, { parts: [{ type: "text", text }] });
}

async function slackForm(h, name) {
  await h.slack.control("slash", { user: "alice", channel: "general", command: "/opencode", text: `start ${name}` });
  await h.form("start_session");
  h.title = name;
  h.values = { description: { value: bash(name) } };
}

// The request is in one message, which says how it ended; the agent read `told` once, and no person
// is told of anything twice or that somebody else was first.
export async function checkSettled(h, name, outcome, told) {
  const about = (x) => JSON.stringify(x.blocks ?? "").includes(name);
  await eventually("the request's message shows how it ended", async () =>
    (await h.all()).some((m) => about(m) && outcome.test(JSON.stringify(m.blocks))), PATIENCE);
  const posts = (await h.all()).filter((m) => m.metadata?.event_payload?.id);
  const shown = posts.filter((m) => about(m) && m._meta.history.concat(m).some((x) => /"(allow_once|answer_option_0)"/.test(JSON.stringify(x.blocks ?? ""))));
  assert.equal(shown.length, 1, `the request is in one message, not in ${shown.length}`);
  const [session] = (await h.world.api("/session?roots=true&limit=300")).filter((s) => s.title === name);
  const read = () => h.world.api(`/session/${session.id}/message`);
  const count = (text) => text.split(JSON.stringify(told).slice(1, -1)).length - 1;
  await eventually("the agent reads it", async () => count(JSON.stringify(await read())) > 0, PATIENCE);
  const tools = (await read()).flatMap((m) => m.parts).filter((p) => p.type === "tool");
  assert.equal(tools.length, 1, "one tool call");
  assert.equal((await read()).filter((m) => m.info.role === "user").length, 1, "nothing of it became a prompt");
  const whispers = (await h.slack.control("ephemerals?user=alice")).map((e) => e.text);
  assert.deepEqual(whispers.filter((t) => /Somebody was first|no longer waiting/.test(t)), []);
}

export async function check(h, name) {
  const { project } = h.world;
  await eventually("the command ran", () => fs.existsSync(path.join(project, name)), PATIENCE);
  await eventually("the request's message shows who allowed it", async () =>
    (await h.all()).some((m) => /Allowed once by <@U0ALICE0001>/.test(JSON.stringify(m.blocks ?? "")) && JSON.stringify(m.blocks).includes(name)), PATIENCE);
  assert.equal(fs.readFileSync(path.join(project, name), "utf8"), "x\n", "the command ran once");
  const posts = (await h.all()).filter((m) => m.metadata?.event_payload?.id);
  const ids = posts.map((m) => m.metadata.event_payload.id);
  assert.equal(new Set(ids).size, ids.length, "each message is there once");
  const shown = posts.filter((m) => m._meta.history.some((x) => /allow_once/.test(JSON.stringify(x.blocks ?? "")) && JSON.stringify(x.blocks).includes(name)));
  assert.equal(shown.length, 1, `the request is in one message, not in ${shown.length}`);
  // Among all sessions one holds the prompt, once.
  let prompts = 0;
  const sessions = await h.world.api("/session?roots=true&limit=300");
  const mine = sessions.filter((s) => (h.thread && s.metadata?.codev_key?.includes(h.thread)) || (h.title && s.title === h.title));
  assert.equal(mine.length, ["mention", "reply", "form"].includes(h.way) ? 1 : 0, "one session was begun");
  for (const s of sessions)
    if (s.time.created > h.begun)
      for (const m of await h.world.api(`/session/${s.id}/message`))
        prompts += m.info.role === "user" && m.parts.some((p) => p.text?.includes(`>> ${name}"`)) ? 1 : 0;
  assert.equal(prompts, 1, "one prompt");
  if (h.thread) {
    // Where OpenCode never answers that it took the prompt, it follows when that is given up.
    const cards = async () =>
      (await h.all()).filter((m) => m.metadata?.event_payload?.id && m.thread_ts === h.thread && /speech_balloon/.test(JSON.stringify(m.blocks ?? "")));
    await eventually("the card is in the thread", async () => (await cards()).length > 0, PATIENCE);
    assert.equal((await cards()).length, 1, "one card in the thread");
  }
}
