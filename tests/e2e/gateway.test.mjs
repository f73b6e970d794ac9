// The permission flow through the gateway's HTTP API, with no account anywhere: the real OpenCode, a
// scripted model, both ways to OpenCode (the bridge plugin, and its own HTTP API), kills at each
// step.
import test, { after, before, describe } from "node:test";
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { BIN, OPENCODE, TOP, eventually, firstLine, freePorts, run, startFakeModel, tempDir } from "./lib/util.mjs";
import { modelConfig } from "./lib/pod.mjs";

const PLUGIN = path.join(TOP, "bridge/plugin");
const API_TOKEN = "api-token-of-the-test";
const BRIDGE_TOKEN = "bridge-token-of-the-test";
const PASSWORD = "opencode-password-of-the-test";

const bash = (command, answer = "All done.") =>
  `please\n@@text I will run a command.\n@@tool bash ${JSON.stringify({ command, description: "Test" })}\n@@then\n@@text ${answer}`;

// One OpenCode and one gateway. `way`: "bridge" or "http".
async function startPair(way) {
  const dir = tempDir(`gateway-${way}`);
  const home = path.join(dir, "home");
  const project = path.join(dir, "project");
  const state = path.join(dir, "state");
  for (const folder of [path.join(home, ".config/opencode/node_modules"), project, state])
    fs.mkdirSync(folder, { recursive: true });
  fs.writeFileSync(
    path.join(home, ".config/opencode/package-lock.json"),
    '{"lockfileVersion":3,"packages":{"":{"dependencies":{"@opencode-ai/plugin":"*"}}}}',
  );
  const model = await startFakeModel();
  const config = path.join(dir, "config.json");
  fs.writeFileSync(
    config,
    JSON.stringify({ ...modelConfig(model.url), ...(way === "bridge" && { plugin: [`file://${PLUGIN}`] }) }),
  );
  const [opencodePort, gatewayPort] = await freePorts(2);
  const base = { PATH: process.env.PATH, HOME: home, TMPDIR: dir, LANG: "C.UTF-8", CODEV_POD: "pod-a", CODEV_RUNTIME_DIR: dir };
  const pair = { dir, project, way, api: `http://127.0.0.1:${gatewayPort}`, oc: `http://127.0.0.1:${opencodePort}` };

  pair.startOpenCode = async () => {
    const child = run(OPENCODE, ["serve", "--hostname", "127.0.0.1", "--port", String(opencodePort)], {
      cwd: project,
      env: {
        ...base,
        ...{ OPENCODE_CONFIG: config, OPENCODE_DISABLE_MODELS_FETCH: "1", OPENCODE_DISABLE_AUTOUPDATE: "1" },
        ...{ OPENCODE_SERVER_PASSWORD: PASSWORD, CODEV_BRIDGE_TOKEN: BRIDGE_TOKEN },
        ...{ GATEWAY_URL: pair.api, GATEWAY_WS: `${pair.api.replace("http", "ws")}/ws/bridge` },
        CODEV_PLUGIN_LOG: path.join(dir, "plugin.log"),
      },
    });
    pair.opencode = child;
    await firstLine(child, (l) => /listening on/.test(l), 30000);
    await pair.ask(`/session/status?directory=${encodeURIComponent(project)}`); // loads the plugin
  };
  pair.startGateway = async (env = {}) => {
    const child = run(path.join(BIN, "codev-gateway"), [], {
      cwd: dir,
      env: {
        ...base,
        ...{ CODEV_STATE_DIR: state, CODEV_GATEWAY_LISTEN: "127.0.0.1", CODEV_GATEWAY_PORT: String(gatewayPort) },
        ...{ CODEV_OPENCODE_URL: pair.oc, CODEV_OPENCODE_DIRECTORY: project, OPENCODE_SERVER_PASSWORD: PASSWORD },
        ...{ CODEV_TOKEN: API_TOKEN, CODEV_BRIDGE_TOKEN: BRIDGE_TOKEN, CODEV_LOG_LEVEL: "debug" },
        ...env,
      },
    });
    pair.gateway = child;
    await eventually("the gateway listens", () => {
      assert.equal(child.exitCode ?? child.signalCode, null, child.err);
      return /listening on/.test(child.err);
    });
  };
  pair.linked = () =>
    eventually(`OpenCode is reached by ${way}`, async () => (await pair.fetch("/api/health")).body.opencode.way === way, 40000);
  pair.ask = async (route, { method = "GET", body } = {}) => {
    const response = await fetch(pair.oc + route, {
      method,
      body: body && JSON.stringify(body),
      headers: {
        authorization: `Basic ${Buffer.from(`opencode:${PASSWORD}`).toString("base64")}`,
        ...(body && { "content-type": "application/json" }),
      },
      signal: AbortSignal.timeout(20000),
    });
    const text = await response.text();
    return { status: response.status, body: text ? JSON.parse(text) : null };
  };
  pair.fetch = async (route, { method = "GET", body, token = API_TOKEN, ms = 20000 } = {}) => {
    const response = await fetch(pair.api + route, {
      method,
      body: body && JSON.stringify(body),
      headers: { authorization: `Bearer ${token}`, ...(body && { "content-type": "application/json" }) },
      signal: AbortSignal.timeout(ms),
    });
    const text = await response.text();
    return { status: response.status, body: text ? JSON.parse(text) : null };
  };
  pair.prompt = async (text) => {
    const { status, body } = await pair.fetch("/api/sessions", { method: "POST", body: { prompt: text, title: "Test" } });
    assert.ok(status < 300, `no session: ${status} ${JSON.stringify(body)}`);
    return body.session_id;
  };
  pair.requests = async () => (await pair.fetch("/api/requests?all=1")).body.requests;
  pair.request = (text, accept = (r) => r.state === "pending") =>
    eventually(`a request about ${text}`, async () => (await pair.requests()).find((r) => JSON.stringify(r).includes(text) && accept(r)), 40000);
  pair.settled = (text) => pair.request(text, (r) => r.state === "settled");
  pair.decide = (id, decision, more = {}) =>
    pair.fetch(`/api/requests/${id}/decision`, { method: "POST", body: { decision, ...more } });
  pair.marker = (name) => path.join(project, name);
  pair.ran = (name) => eventually(`the command made ${name}`, () => fs.existsSync(pair.marker(name)), 30000);
  pair.messages = async (session) => JSON.stringify((await pair.ask(`/session/${session}/message`)).body);
  pair.end = async () => {
    for (const child of [pair.gateway, pair.opencode]) {
      child?.kill("SIGKILL");
      await child?.ended;
    }
    model.stop();
    fs.rmSync(dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  };
  await pair.startOpenCode();
  await pair.startGateway();
  await pair.linked();
  return pair;
}

// The plugin waits longer after each loss of its link, so its way gets the fewer kills.
const CRASHES = {
  bridge: ["request.stored", "request.decided", "reply.sent"],
  http: ["request.stored", "request.decided", "reply.sending", "reply.sent", "reply.confirmed", "request.settled"],
};

for (const way of ["bridge", "http"]) {
  const skip = way === "bridge" && !fs.existsSync(path.join(PLUGIN, "dist")) ? "the plugin is not built" : false;
  describe(`by ${way}`, { skip, timeout: 600000 }, () => {
    let pair;
    before(async () => (pair = await startPair(way)));
    after(() => pair?.end());

    test("allowed once: the command runs, the request says who", async () => {
      await pair.prompt(bash("touch allowed-once"));
      const request = await pair.request("allowed-once");
      assert.equal(request.summary, "touch allowed-once");
      assert.ok(!fs.existsSync(pair.marker("allowed-once")), "nothing runs before");
      assert.ok((await pair.decide(request.id, "once")).status < 300);
      await pair.ran("allowed-once");
      const done = await pair.settled("allowed-once");
      assert.equal(done.outcome, "once");
      assert.notEqual(done.actor?.connector ?? done.decided_by?.connector, "opencode");
      assert.ok((await pair.decide(request.id, "reject")).status >= 400, "the second decision is refused");
    });

    test("denied with a reason: the model gets it and the turn goes on", async () => {
      const session = await pair.prompt(bash("touch denied-1", "Then not."));
      const request = await pair.request("denied-1");
      assert.ok((await pair.decide(request.id, "reject", { reason: "use the other folder" })).status < 300);
      await eventually("the model got the reason", async () => (await pair.messages(session)).includes("use the other folder"));
      await eventually("the turn went on", async () => (await pair.messages(session)).includes("Then not."));
      assert.equal((await pair.settled("denied-1")).outcome, "reject");
      assert.ok(!fs.existsSync(pair.marker("denied-1")));
    });

    test("denied without a reason: every request of the session is settled by it", async () => {
      const call = (name) => `@@tool bash ${JSON.stringify({ command: `touch ${name}`, description: "T" })}`;
      await pair.prompt(`two at once\n${call("both-1")}\n${call("both-2")}`);
      const first = await pair.request("both-1");
      await pair.request("both-2");
      assert.ok((await pair.decide(first.id, "reject")).status < 300);
      for (const name of ["both-1", "both-2"]) assert.equal((await pair.settled(name)).outcome, "reject");
      assert.match(JSON.stringify(await pair.settled("both-2")), /together/);
      assert.ok(!fs.existsSync(pair.marker("both-1")) && !fs.existsSync(pair.marker("both-2")));
    });

    test("answered in OpenCode's own UI first", async () => {
      await pair.prompt(bash("touch own-ui"));
      const request = await pair.request("own-ui");
      const reply = await pair.ask(`/permission/${request.id}/reply?directory=${encodeURIComponent(pair.project)}`, { method: "POST", body: { reply: "once" } });
      assert.equal(reply.status, 200);
      const done = await pair.settled("own-ui");
      assert.equal(done.outcome, "once");
      assert.match(JSON.stringify(done), /"connector":"opencode"/);
      await pair.ran("own-ui");
    });

    test("a subagent's request belongs to the root session", async () => {
      const task = { description: "Sub", prompt: bash("touch by-child"), subagent_type: "general" };
      const root = await pair.prompt(`go\n@@tool task ${JSON.stringify(task)}\n@@then\n@@text Root done.`);
      const request = await pair.request("touch by-child");
      assert.equal(request.root_session_id, root);
      assert.notEqual(request.session_id, root);
      assert.ok((await pair.decide(request.id, "once")).status < 300);
      await pair.ran("by-child");
      await eventually("the root goes on", async () => (await pair.messages(root)).includes("Root done."));
      assert.equal((await pair.settled("touch by-child")).outcome, "once");
    });

    test("an abort while it waits: the request is gone", async () => {
      const session = await pair.prompt(bash("touch aborted"));
      const request = await pair.request("touch aborted");
      assert.ok((await pair.fetch(`/api/sessions/${session}/abort`, { method: "POST", body: {} })).status < 300);
      assert.equal((await pair.settled("touch aborted")).outcome, "gone");
      assert.ok((await pair.decide(request.id, "once")).status >= 400);
    });

    test("an abort of the root while its subagent waits", async () => {
      const task = { description: "Sub", prompt: bash("touch orphan"), subagent_type: "general" };
      const root = await pair.prompt(`go\n@@tool task ${JSON.stringify(task)}\n@@then\n@@text Root done.`);
      await pair.request("touch orphan");
      assert.ok((await pair.fetch(`/api/sessions/${root}/abort`, { method: "POST", body: {} })).status < 300);
      assert.equal((await pair.settled("touch orphan")).outcome, "gone");
    });

    test("a call by HTTP waits for the same decision", async () => {
      const session = await pair.prompt(bash("touch by-http"));
      const request = await pair.request("by-http");
      const body = { id: request.id, session_id: session, pod: "pod-a" };
      const calls = [1, 2].map(() => pair.fetch("/api/opencode/permission", { method: "POST", body, token: BRIDGE_TOKEN, ms: 60000 }));
      await pair.decide(request.id, "once");
      for (const { status, body: answer } of await Promise.all(calls)) {
        assert.equal(status, 200);
        assert.equal(answer.status, "allow");
        assert.equal(answer.decision, "once");
      }
      await pair.ran("by-http");
      assert.equal((await pair.requests()).filter((r) => r.id === request.id).length, 1, "asked once");
      const late = await pair.fetch("/api/opencode/permission", { method: "POST", body, token: BRIDGE_TOKEN });
      assert.equal(late.body.decision, "once");
      const wrong = await pair.fetch("/api/opencode/permission", { method: "POST", body, token: "wrong" });
      assert.equal(wrong.status, 401);
    });

    test("killed while it waits: decided after, it goes on", async () => {
      await pair.prompt(bash("touch killed-1"));
      const request = await pair.request("killed-1");
      pair.gateway.kill("SIGKILL");
      await pair.gateway.ended;
      await pair.startGateway();
      assert.equal((await pair.request("killed-1")).id, request.id);
      assert.ok((await pair.decide(request.id, "once")).status < 300);
      await pair.ran("killed-1");
      assert.equal((await pair.settled("killed-1")).outcome, "once");
    });

    test("asked and answered while the gateway is down", async () => {
      await pair.linked();
      await pair.prompt(bash("touch down-1"));
      const known = await pair.request("down-1");
      pair.gateway.kill("SIGKILL");
      await pair.gateway.ended;
      const dir = encodeURIComponent(pair.project);
      assert.equal((await pair.ask(`/permission/${known.id}/reply?directory=${dir}`, { method: "POST", body: { reply: "once" } })).status, 200);
      const session = (await pair.ask(`/session?directory=${dir}`, { method: "POST", body: { title: "While down" } })).body.id;
      const parts = [{ type: "text", text: bash("touch down-2") }];
      await pair.ask(`/session/${session}/prompt_async?directory=${dir}`, { method: "POST", body: { parts } });
      await eventually("OpenCode asks", async () => JSON.stringify((await pair.ask(`/permission?directory=${dir}`)).body).includes("down-2"));
      await pair.startGateway();
      const request = await pair.request("down-2");
      // The plugin may ask by HTTP before its WebSocket is back and tells of the session.
      await eventually("its session is known", async () => (await pair.request("down-2")).session_title === "While down");
      await pair.settled("down-1");
      assert.ok((await pair.decide(request.id, "once")).status < 300);
      await pair.ran("down-2");
    });

    for (const point of CRASHES[way])
      test(`killed at ${point}: nothing is lost, nothing is asked twice`, async () => {
        const name = `crash-${point}`;
        const early = point === "request.stored";
        pair.gateway.kill("SIGTERM");
        assert.equal((await pair.gateway.ended).code, 0);
        await pair.startGateway({ CODEV_CRASH_AT: point });
        await pair.linked();
        await pair.prompt(bash(`touch ${name}`)).catch(() => {});
        if (!early) await pair.decide((await pair.request(name)).id, "once").catch(() => {});
        assert.equal((await pair.gateway.ended).signal, "SIGKILL", "it died where it should");
        await pair.startGateway();
        if (early) await pair.decide((await pair.request(name)).id, "once");
        await pair.ran(name);
        const done = await pair.settled(name);
        assert.equal(done.outcome, "once");
        assert.equal((await pair.requests()).filter((r) => JSON.stringify(r).includes(name)).length, 1);
      });

    test("OpenCode is killed while it waits: the request is gone, the next one works", async () => {
      await pair.linked();
      await pair.prompt(bash("touch oc-killed"));
      await pair.request("oc-killed");
      pair.opencode.kill("SIGKILL");
      await pair.opencode.ended;
      await pair.startOpenCode();
      const done = await pair.settled("oc-killed");
      assert.equal(done.outcome, "gone");
      assert.ok(done.reason.length > 0);
      await pair.linked();
      await pair.prompt(bash("touch oc-after"));
      assert.ok((await pair.decide((await pair.request("oc-after")).id, "once")).status < 300);
      await pair.ran("oc-after");
    });

    test("a stop is orderly and quick", async () => {
      const begun = Date.now();
      pair.gateway.kill("SIGTERM");
      const { code } = await pair.gateway.ended;
      assert.equal(code, 0);
      assert.ok(Date.now() - begun < 7000);
      for (const secret of [API_TOKEN, BRIDGE_TOKEN, PASSWORD]) assert.ok(!pair.gateway.err.includes(secret), "no secret in the log");
    });
  });
}
