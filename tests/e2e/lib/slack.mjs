// A gateway between the strict Slack fake and the real OpenCode (by its own HTTP API), and what
// people see and do in that Slack.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { BIN, OPENCODE, TOP, eventually, freePorts, openCodeApi, run, startFakeModel, startFakeSlack, tempDir } from "./util.mjs";

export const CHANNEL = "C0DEV000001";
export const ALICE = "U0ALICE0001";
export const BOB = "U0BOB000001";

// `more.models`: besides the one. `more.bridge`: {url, pod} of a gateway to which the plugin connects.
export async function startOpenCode(dir, project, model, more = {}) {
  const [port] = await freePorts(1);
  const config = path.join(dir, "opencode.json");
  const { bridge } = more;
  fs.mkdirSync(project, { recursive: true });
  if (bridge) fs.mkdirSync(path.join(dir, ".config/opencode"), { recursive: true });
  // disarms OpenCode's own dependency install
  const lock = '{"lockfileVersion":3,"packages":{"":{"dependencies":{"@opencode-ai/plugin":"*"}}}}';
  if (bridge) fs.writeFileSync(path.join(dir, ".config/opencode/package-lock.json"), lock);
  const models = { "fake-1": { name: "Fake 1", tool_call: true, limit: { context: 100000, output: 8000 } }, ...more.models };
  fs.writeFileSync(
    config,
    JSON.stringify({
      ...{ model: "fake/fake-1", small_model: "fake/fake-1", enabled_providers: ["fake"], share: "disabled", autoupdate: false },
      provider: { fake: { npm: "@ai-sdk/openai-compatible", options: { baseURL: model.url, apiKey: "none" }, models } },
      permission: { bash: "ask", edit: "ask" },
      ...(bridge && { plugin: [`file://${path.join(TOP, "bridge/plugin")}`] }),
    }),
  );
  const env = {
    ...{ PATH: process.env.PATH, HOME: dir, OPENCODE_CONFIG: config, npm_config_offline: "true" },
    ...(bridge && { GATEWAY_URL: bridge.url, GATEWAY_WS: `${bridge.url.replace("http", "ws")}/ws/bridge` }),
    ...(bridge && { CODEV_BRIDGE_TOKEN: "token-of-the-bridge", CODEV_POD: bridge.pod, CODEV_PLUGIN_LOG: path.join(dir, "bridge.log") }),
  };
  const child = run(OPENCODE, ["serve", "--hostname", "127.0.0.1", "--port", String(port)], {
    cwd: project,
    env: { ...env, OPENCODE_DISABLE_MODELS_FETCH: "1", OPENCODE_DISABLE_AUTOUPDATE: "1" },
  });
  const url = `http://127.0.0.1:${port}`;
  const api = openCodeApi(url, project);
  await eventually("OpenCode answers", async () => {
    assert.equal(child.exitCode, null, child.err);
    const r = await fetch(`${url}/session/status?directory=${encodeURIComponent(project)}`, { signal: AbortSignal.timeout(500) });
    return r.status === 200;
  }, 60000);
  return {
    ...{ url, api, project },
    stop: () => child.kill("SIGKILL"),
    messages: async (id) => JSON.stringify((await api(`/session/${id}/message`)).body),
    // As somebody would in OpenCode's own page.
    async prompt(text, title = "A test") {
      const { body } = await api("/session", { title });
      await api(`/session/${body.id}/prompt_async`, { parts: [{ type: "text", text }] });
      return body.id;
    },
  };
}

// What the tests of a file share: a scripted model, an OpenCode, and a workspace with a running gateway
// if `workspace` is not false. `more` as startOpenCode()'s; `prepare` is called with the project's
// folder first. `end` stops all of it, also what the test put in its place; what went on living would
// keep the file from ending.
export async function startHouse(name, { workspace = true, prepare, ...more } = {}) {
  const dir = tempDir(name);
  const house = { dir, project: path.join(dir, "project") };
  house.end = async (how) => {
    try {
      await house.w?.end(how);
    } finally {
      house.opencode?.stop();
      house.model?.stop();
    }
    fs.rmSync(dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  };
  try {
    fs.mkdirSync(house.project);
    prepare?.(house.project);
    house.model = await startFakeModel();
    house.opencode = await startOpenCode(dir, house.project, house.model, more);
    if (workspace) house.w = await startWorkspace(dir, house.opencode);
    await house.w?.start();
  } catch (error) {
    await house.end().catch(() => {});
    throw error;
  }
  return house;
}

// What is on its way to a process that is stopped is not acknowledged; it comes again. `downs`: when
// each process was told to end, and when it had ended.
const lostToStop = (violation, downs) =>
  violation.kind === "event_not_acked_in_time" &&
  downs.some(({ from, until }) => from <= violation.at && violation.sent_at <= (until ?? Infinity) + 1000);

// The violations of Slack's rules that are the gateway's.
const violationsOf = async (slack, { excused = [], downs = [] }) =>
  (await slack.control("violations")).filter((v) => !excused.includes(v.kind) && !lostToStop(v, downs));

// One workspace with one gateway, which may be killed and started anew.
export async function startWorkspace(dir, opencode, fakeArgs = []) {
  const slack = await startFakeSlack(fakeArgs);
  const state = path.join(dir, "state");
  fs.mkdirSync(state, { recursive: true });
  const w = {
    ...{ slack, control: slack.control, downs: [], earlier: "" },
    get log() {
      return w.earlier + (w.child?.err ?? "") + (w.child?.out ?? "");
    },
    async start(env = {}) {
      await w.launch(env);
      await w.connected();
    },
    async launch(env = {}) {
      const port = (w.port ??= (await freePorts(1))[0]); // the same after a kill: bridges come back to it
      w.child = run(path.join(BIN, "codev-gateway"), [], {
        env: {
          ...{ PATH: process.env.PATH, HOME: dir, CODEV_HOME: dir, CODEV_POD: "pod-1", CODEV_STATE_DIR: state, CODEV_RUNTIME_DIR: dir },
          ...{ CODEV_LOG_LEVEL: "debug", CODEV_OPENCODE_URL: opencode.url, CODEV_OPENCODE_DIRECTORY: opencode.project },
          ...{ CODEV_GATEWAY_LISTEN: "127.0.0.1", CODEV_GATEWAY_PORT: String(port) },
          ...{ CODEV_TOKEN: "token-of-the-api", CODEV_BRIDGE_TOKEN: "token-of-the-bridge" },
          ...{ SLACK_BOT_TOKEN: slack.bot_token, SLACK_APP_TOKEN: slack.app_token, SLACK_API_URL: slack.api },
          ...{ SLACK_CHANNEL_ID: CHANNEL, SLACK_ALLOWED_USERS: `${ALICE},${BOB}` },
          ...env,
        },
      });
      w.url = `http://127.0.0.1:${port}`;
      w.api = async (route, init = {}) => {
        const r = await fetch(`http://127.0.0.1:${port}${route}`, {
          ...init,
          headers: { authorization: "Bearer token-of-the-api", ...(init.body ? { "content-type": "application/json" } : {}) },
          signal: AbortSignal.timeout(5000),
        });
        return r.json();
      };
    },
    connected: () =>
      eventually("Slack and OpenCode are connected", async () => {
        assert.equal(w.child.exitCode, null, w.child.err.slice(-1500));
        const { slack: s, opencode: o } = await w.api("/api/health");
        return (await slack.control("connections")).open >= 1 && s.state === "connected" && o.way === "http";
      }),
    async kill(signal = "SIGKILL") {
      const down = { from: Date.now() };
      w.downs.push(down);
      if (w.child && w.child.exitCode === null && w.child.signalCode === null) w.child.kill(signal);
      const ended = await w.child?.ended;
      down.until = Date.now();
      w.earlier = w.log;
      w.child = undefined;
      return ended;
    },
    // Ends everything; Slack's rules were kept and no token was said.
    async end({ excused = [], passed = true } = {}) {
      await w.kill("SIGTERM");
      const violations = await violationsOf(slack, { excused, downs: w.downs });
      slack.stop();
      if (!passed && process.env.SLACK_TEST_LOG) console.error(w.log);
      assert.deepEqual(violations, []);
      for (const token of [slack.bot_token, slack.app_token]) assert.ok(!w.log.includes(token), "no token in the log");
      assert.doesNotMatch(w.log, /AddressSanitizer|LeakSanitizer|runtime error/);
    },

    // ---- what people see and do
    all: (query = "") => slack.control(`messages?channel=${CHANNEL}${query}`),
    message: async (ts) => (await w.all(`&ts=${ts}`))[0],
    // The message with this text whose buttons wait; no test says the same text twice.
    waiting: (text) =>
      eventually(`a message about ${text} waits`, async () =>
        (await w.all("&from=bot")).find((m) => seen(m).includes(text) && buttons(m).length > 0)),
    settled: (ts, pattern, channel = CHANNEL) =>
      eventually(`the message says ${pattern}`, async () => {
        const m = (await slack.control(`messages?channel=${channel}&ts=${ts}`))[0];
        return m && buttons(m).length === 0 && pattern.test(seen(m)) && m;
      }),
    click: (user, m, action_id, more = {}) =>
      slack.control("click", { user, channel: m.channel, ts: m.ts, action_id, confirm: true, ...more }),
    reply: (user, m, text) => slack.control("message", { user, channel: m.channel, thread_ts: m.thread_ts, text }),
    slash: (user, text, command = "/opencode", channel = "general") => slack.control("slash", { user, channel, command, text }),
    view: async (user, callback_id) =>
      (await slack.control("wait", { kind: "view", user, open: true, callback_id, timeout_ms: 15000 })).items[0],
    submit: (user, values) => slack.control("view_submit", { user, values }),
    ephemeral: (user, pattern) =>
      eventually(`${user} is told ${pattern}`, async () =>
        (await slack.control(`ephemerals?user=${user}`)).find((e) => pattern.test(`${e.text}\n${JSON.stringify(e.blocks ?? "")}`))),
  };
  return w;
}

export const elements = (m) => (m.blocks ?? []).filter((b) => b.type === "actions").flatMap((b) => b.elements);
// Of a request; not the one that stops the turn.
export const buttons = (m) => elements(m).filter((e) => e.type === "button" && e.action_id !== "session_stop");
export const seen = (m) => `${m.text}\n${JSON.stringify(m.blocks)}`;
