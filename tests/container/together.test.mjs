// Several pods that have to do with each other, on containerd: the hub and a pod that reports to it,
// a backup beside a running pod and its restore, a Secret that is rotated.
import test, { after, before, describe } from "node:test";
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { eventually } from "../e2e/lib/util.mjs";
import { memoryLines, memoryOf, watchMemory } from "./lib/memory.mjs";
import { cannot, manifests, secret, startLab, withComponents } from "./lib/lab.mjs";

const skip = cannot();
const podSpec = (objects) => objects.find((o) => ["StatefulSet", "Deployment"].includes(o.kind)).spec.template.spec;
const setEnv = (objects, values) => podSpec(objects).containers[0].env.push(...Object.entries(values).map(([name, value]) => ({ name, value })));
const CHANNEL = "C0DEV000001";

describe("pods on containerd", { skip }, () => {
  let lab;
  before(async () => {
    lab = await startLab();
  });
  after(() => lab?.end());

  test("a rotated Secret: the gateway has the new token, neither pod nor OpenCode is restarted", async () => {
    const slack = await lab.slack();
    const pod = await lab.pod({
      change: (objects) => {
        objects.push(secret("codev-slack", { SLACK_BOT_TOKEN: "xoxb-0-old", SLACK_APP_TOKEN: slack.app_token }));
        setEnv(objects, { SLACK_API_URL: slack.api, SLACK_CHANNEL_ID: CHANNEL }); // Slack is this machine's
      },
    });
    await pod.ready();
    const state = async () => JSON.stringify((await pod.api("/api/health")).body.slack);
    await eventually("the old token is refused", async () => /invalid_auth|failed|refused/.test(await state()), 30000);
    const before = await pod.service("opencode");
    pod.update("slack", { SLACK_BOT_TOKEN: slack.bot_token, SLACK_APP_TOKEN: slack.app_token });
    await eventually("Slack is connected", async () => /"(ok|connected)"/.test(await state()), 90000, 500);
    assert.equal((await pod.service("opencode")).pid, before.pid);
    assert.equal(pod.restarts, 0);
    await pod.stop();
  });

  test("a session with tools and a permission in Slack: the memory of each process", async (t) => {
    const slack = await lab.slack();
    const pod = await lab.pod({
      change: (objects) => {
        objects.push(secret("codev-slack", { SLACK_BOT_TOKEN: slack.bot_token, SLACK_APP_TOKEN: slack.app_token }));
        setEnv(objects, { SLACK_API_URL: slack.api, SLACK_CHANNEL_ID: CHANNEL, SLACK_ALLOWED_USERS: "U0ALICE0001" });
      },
    });
    await pod.ready();
    await eventually("Slack is connected", async () => /"(ok|connected)"/.test(JSON.stringify((await pod.api("/api/health")).body.slack)), 60000, 500);
    const { services } = await pod.status();
    const host = await pod.hostPid();
    const rest = memoryOf(host, services);
    for (const name of ["codev-init", "opencode", "gateway", "probes", "guards"]) assert.ok(rest[name]?.pss > 0, `${name}: ${JSON.stringify(rest)}`);

    const watched = watchMemory(host, services);
    const script = [
      '@@tool read {"filePath":"/home/coder/src/repos/ai-dev/README.md"}',
      '@@tool grep {"pattern":"plugin","path":"/home/coder/src/repos"}',
      "@@then",
      '@@tool bash {"command":"git -C /home/coder/src/repos/ai-dev log --stat | head -200; until [ -e /home/coder/src/was-seen ]; do sleep 0.1; done; echo was-allowed","description":"look"}',
      "@@then",
      "@@slow 300 10",
    ].join("\n");
    const made = await pod.api("/api/sessions", { method: "POST", body: JSON.stringify({ prompt: script, title: "Memory" }) });
    assert.ok(made.status < 300, JSON.stringify(made));
    const asked = await slack.control("wait", { kind: "message", from: "bot", action_prefix: "allow_once", timeout_ms: 60000 });
    const message = asked.items[0];
    const [, action] = /"action_id":"(allow_once[^"]*)"/.exec(JSON.stringify(message));
    const clicked = await slack.control("click", { user: "alice", channel: message.channel, ts: message.ts, action_id: action, confirm: true });
    assert.ok(!clicked.error, JSON.stringify(clicked));
    const id = made.body.session_id;
    await eventually("the command is seen", () => watched.peak.commands?.pss > 0, 60000);
    await pod.exec(["touch", "/home/coder/src/was-seen"]);
    await eventually("the command ran", async () => JSON.stringify((await pod.oc(`/session/${id}/message`)).body).includes("was-allowed\\n"), 60000);
    await eventually("the turn is over", async () => !(await pod.oc("/session/status")).body[id], 60000);
    await watched.end();
    const during = watched.peak;
    const figures = [["rest", rest], ["at most in the session", during], ["after it", memoryOf(host, services)]];
    for (const line of memoryLines(figures)) t.diagnostic(line);
    const ours = Object.entries(during).filter(([name]) => !["opencode", "commands"].includes(name));
    const sum = ours.reduce((all, [, { pss }]) => all + pss, 0);
    t.diagnostic(`figure: memory of all but OpenCode and its commands, at most in the session: ${sum} KiB PSS`);
    assert.equal((await pod.service("opencode")).restarts ?? 0, 0);
    await pod.stop();
  });

  test("the hub: a pod's request reaches its Slack, the decision reaches the pod", async () => {
    const slack = await lab.slack();
    const bridge = secret("codev-bridge", { token: "a-token-that-both-know-0123456789abcdef" });
    const hub = await lab.pod({
      objects: manifests("hub"),
      claims: { "codev-hub": lab.claim("hub") },
      change: (objects) => {
        objects.push(secret("codev-slack", { SLACK_BOT_TOKEN: slack.bot_token, SLACK_APP_TOKEN: slack.app_token }), bridge);
        const map = objects.find((o) => o.kind === "ConfigMap").data;
        map.SLACK_CHANNEL_ID = CHANNEL;
        map.SLACK_ALLOWED_USERS = "U0ALICE0001";
        setEnv(objects, { SLACK_API_URL: slack.api });
      },
    });
    await hub.ready(30000);
    const pod = await lab.pod({
      objects: withComponents("hub-client"),
      change: (objects) => {
        objects.push(bridge);
        podSpec(objects).hostAliases = [{ ip: hub.ip, hostnames: ["codev-hub.ai-dev"] }]; // there is no cluster DNS
      },
    });
    await pod.ready();
    const health = async () => (await (await fetch(`http://${hub.ip}:8000/api/health`)).json());
    await eventually("its bridge is at the hub", async () => (await health()).bridge.connected >= 1, 60000, 500);
    const made = await pod.oc("/session", { method: "POST", body: JSON.stringify({ title: "Through the hub" }) });
    await pod.oc(`/session/${made.body.id}/prompt_async`, {
      method: "POST",
      body: JSON.stringify({ parts: [{ type: "text", text: '@@tool bash {"command":"echo hub-was-here","description":"say"}\n@@then\n@@text done' }] }),
    });
    const asked = await slack.control("wait", { kind: "message", from: "bot", action_prefix: "allow_once", timeout_ms: 30000 });
    const message = asked.items[0];
    const [, action] = /"action_id":"(allow_once[^"]*)"/.exec(JSON.stringify(message));
    const clicked = await slack.control("click", { user: "alice", channel: message.channel, ts: message.ts, action_id: action, confirm: true });
    assert.ok(!clicked.error, JSON.stringify(clicked));
    await eventually("OpenCode went on", async () => JSON.stringify((await pod.oc(`/session/${made.body.id}/message`)).body).includes("hub-was-here\\n"), 30000);
    const stopped = await hub.stop();
    assert.equal(stopped.code, 0, JSON.stringify(stopped));
    await pod.stop();
  });

  test("a backup beside the running pod, restored into an empty claim", async (t) => {
    const pod = await lab.pod();
    await pod.ready();
    const made = await pod.api("/api/sessions", { method: "POST", body: JSON.stringify({ prompt: "@@text kept in the backup", title: "Kept" }) });
    const id = made.body.session_id;
    const said = (p) => eventually("it is said", async () => JSON.stringify((await p.oc(`/session/${id}/message`)).body).includes("kept in the backup"));
    await said(pod);
    await pod.api("/api/sessions", { method: "POST", body: JSON.stringify({ prompt: "@@slow 2000 5", title: "Busy" }) });
    const backup = lab.claim("backup");
    const claims = { "state-codev-0": pod.claims.state, "codev-backup": backup };
    const done = await lab.job(manifests("backup"), claims);
    assert.equal(done.code, 0, done.log);
    t.diagnostic(`figure: backup ${done.log.trim()}`);
    await pod.stop();

    const full = await lab.job(manifests("restore"), claims);
    assert.equal(full.code, 1, "a claim that is not empty is refused");
    const state = lab.claim("state");
    const restored = await lab.job(manifests("restore"), { ...claims, "state-codev-0": state });
    assert.equal(restored.code, 0, restored.log);
    const again = await lab.pod({ claims: { state, src: pod.claims.src } });
    await again.ready();
    await said(again);
    assert.ok(fs.existsSync(path.join(state, "state/codev/gateway.db")));
    await again.stop();
  });
});
