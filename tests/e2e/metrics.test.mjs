// What a pod tells Prometheus: each metric is seen to move by what it counts, and a real Prometheus
// scrapes it by the configuration that k8s/ ships, with its alerts and each query of the dashboard.
import test, { after, before, describe } from "node:test";
import assert from "node:assert/strict";
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import { spawnSync } from "node:child_process";
import { MONITORING, listed, samples, seriesOf, startPrometheus, valueOf } from "./lib/metrics.mjs";
import { startPod } from "./lib/pod.mjs";
import { prometheus as hasPrometheus, promtool } from "./lib/tools.mjs";
import { BIN, IS_ROOT, eventually, freePorts, run, sh, startFakeSlack, tempDir } from "./lib/util.mjs";

const skip = IS_ROOT ? false : "needs root for mounts";
const NO_PROMETHEUS = hasPrometheus ? false : "no Prometheus here: make promtool";
const CHANNEL = "C0DEV000001";
const DEADLINE_MS = 15000; // of a permission that nobody answers

// What no test here makes happen, and where it is: a disk that is full, the kernel's OOM killer, a
// blocked stdout, a container with control groups.
const ELSEWHERE = new Set(["codev_gateway_store_failing", "codev_service_oom_kills_total", "codev_log_lines_dropped_total", "codev_processes", "codev_processes_limit", "codev_gateway_slack_inbound_oldest_seconds", "codev_session_state_unpushed_commits", "codev_session_state_failures_total"]);

// As k8s/overlays/hub: the gateway alone, below PID 1 in its plain mode.
async function startHub() {
  const dir = tempDir("hub");
  const [port] = await freePorts(1);
  const url = `http://127.0.0.1:${port}`;
  const child = run(path.join(BIN, "codev-init"), ["--", path.join(BIN, "codev-gateway")], {
    env: {
      ...{ PATH: process.env.PATH, HOME: dir, CODEV_POD: "hub", CODEV_STATE_DIR: dir, CODEV_RUNTIME_DIR: dir, CODEV_OPENCODE_URL: "" },
      ...{ CODEV_GATEWAY_LISTEN: "127.0.0.1", CODEV_GATEWAY_PORT: String(port), CODEV_BRIDGE_TOKEN: "bridge-token", CODEV_ALLOWED_HOSTS: "codev-hub.internal.example" },
    },
  });
  // Under that name, from nowhere but here.
  const get = (host) =>
    new Promise((done, fail) => {
      http.get({ host: "127.0.0.1", port, path: "/metrics", headers: { host } }, (response) => {
        let text = "";
        response.on("data", (piece) => (text += piece)).on("end", () => done({ status: response.statusCode, text }));
      }).on("error", fail);
    });
  await eventually("the hub answers", async () => (await fetch(`${url}/api/health`)).ok);
  return {
    ...{ url, get },
    async end() {
      child.kill("SIGTERM");
      await child.ended;
      fs.rmSync(dir, { recursive: true, force: true });
    },
  };
}

describe("the metrics of a pod with Slack and the plugin", { skip }, () => {
  let pod, slack, hub, prometheus, states;
  const seen = new Set(); // series that were seen above 0
  const page = async () => {
    const text = await (await fetch(`${pod.probes}/metrics`, { signal: AbortSignal.timeout(10000) })).text();
    for (const s of samples(text)) if (s.value > 0) seen.add(s.name);
    return text;
  };
  const value = async (name, labels) => valueOf(await page(), name, labels);
  const counted = (name, labels, least = 1) => eventually(`${name} ${JSON.stringify(labels ?? {})} is at least ${least}`, async () => (await value(name, labels)) >= least, 30000);

  before(async () => {
    slack = await startFakeSlack();
    states = tempDir("states");
    sh("git", ["init", "-q", "--bare", "-b", "main", states]);
    const config = (c) => ({ ...c, gateway: { ...c.gateway, state_repo: `file://${states}` } });
    pod = await startPod({ slack, config, env: { CODEV_PERMISSION_DEADLINE_MS: String(DEADLINE_MS) } });
    await pod.ready();
    await pod.bridged();
    await eventually("Slack is connected", async () => (await pod.fetch("/api/health")).body.slack?.state === "connected");
    await eventually("the sessions' states have a remote", async () => (await page()).includes('codev_session_state{state="current"} 1'));
    hub = await startHub();
    if (hasPrometheus)
      prometheus = await startPrometheus([
        { address: new URL(pod.probes).host, name: "codev", port: "probes", pod: "codev-0" },
        { address: new URL(pod.api).host, name: "codev", port: "gateway", pod: "codev-0" }, // is left out
        { address: new URL(hub.url).host, name: "codev-hub", port: "gateway", pod: "hub-0" },
      ]);
  });
  after(async () => {
    await prometheus?.end();
    await hub?.end();
    await pod?.end();
    slack?.stop();
    if (states) fs.rmSync(states, { recursive: true });
  });

  const bash = (command) => `please\n@@tool bash ${JSON.stringify({ command, description: "Test" })}\n@@then\n@@text Done.`;
  // What is allowed always is not asked again: that one has a command of its own.
  const command = (name) => `${name.startsWith("always") ? "truncate -s 0" : "touch"} metrics-${name}`;
  const ask = async (name) => ({ session: await pod.prompt(bash(command(name))), message: await shown(name) });
  const shown = async (name) => (await slack.control("wait", { kind: "message", from: "bot", action_prefix: "allow", contains: `metrics-${name}`, timeout_ms: 20000 })).items.at(-1);
  const click = (message, word) => {
    const buttons = message.blocks.filter((b) => b.type === "actions").flatMap((b) => b.elements);
    return slack.control("click", { user: "alice", channel: CHANNEL, ts: message.ts, action_id: buttons.find((b) => b.action_id.includes(word)).action_id, confirm: true });
  };
  const settled = (outcome) => ["codev_gateway_requests_settled_total", { kind: "permission", outcome }];

  test("what the programs list is on the page, of that type, with those labels, and promtool is content", async (t) => {
    const text = await page();
    const there = listed();
    const heads = new Map([...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => [name, type]));
    for (const [name, { type }] of there) assert.equal(heads.get(name), type, name);
    for (const name of heads.keys()) assert.ok(there.has(name), `${name} is listed`);
    const series = new Map([...there].flatMap(([name, metric]) => seriesOf(name, metric).map((s) => [s, metric.labels])));
    for (const { name, labels } of samples(text)) assert.deepEqual(Object.keys(labels).filter((l) => l !== "le"), series.get(name), name);
    const all = samples(text).map(({ name, labels }) => name + JSON.stringify(labels));
    assert.equal(new Set(all).size, all.length, "no series twice");
    await t.test("promtool", { skip: promtool ? false : "no promtool: make promtool" }, () => {
      const judged = spawnSync(promtool, ["check", "metrics"], { input: text, encoding: "utf8" });
      assert.equal(`${judged.stdout}${judged.stderr}`, "");
      assert.equal(judged.status, 0);
    });
    assert.equal(valueOf(text, "codev_plugin_state", { state: "ready" }), 1);
    assert.equal(valueOf(text, "codev_probes_gateway_up"), 1);
    assert.equal(valueOf(text, "codev_gateway_slack_state", { state: "connected" }), 1);
    assert.equal(valueOf(text, "codev_gateway_opencode_way", { way: "bridge" }), 1);
  });

  test("a hub tells its own, but to nobody who asks by the name of its ingress", async () => {
    const { status, text } = await hub.get("10.1.2.3:8000");
    assert.equal(status, 200);
    assert.equal(valueOf(text, "codev_gateway_bridges"), 0);
    assert.equal(valueOf(text, "codev_gateway_slack_state", { state: "off" }), 1);
    assert.ok(!text.includes("codev_ready"));
    const refused = await hub.get("codev-hub.internal.example");
    assert.equal(refused.status, 403);
    assert.ok(!refused.text.includes("codev_gateway"));
  });

  test("what the pod's gateway tells is on the probes' page, and names nobody", async () => {
    const own = await (await fetch(`${pod.api}/metrics`)).text();
    const ours = samples(await page());
    assert.ok(samples(own).length > 50);
    for (const { name } of samples(own)) assert.ok(ours.some((s) => s.name === name), name);
    for (const secret of [slack.bot_token, slack.app_token, pod.token, "U0ALICE0001", CHANNEL]) assert.ok(!own.includes(secret), secret);
  });

  test("permissions by outcome, what waits, the time to decision", async () => {
    await pod.prompt(bash(command("left"))); // nobody answers this one
    await counted("codev_gateway_requests_open", { kind: "permission", state: "pending" });
    await counted("codev_gateway_requests_oldest_seconds", { kind: "permission" }, 0.001);
    await counted("codev_gateway_sessions", { status: "busy" });
    for (const [word, outcome] of [["once", "once"], ["deny", "reject"], ["always", "always"]])
      // On a machine that is slow beyond measure the deadline wins: then once more.
      for (let i = 0; ((await value(...settled(outcome))) ?? 0) < 1; i++) {
        assert.ok(i < 3, `never ${outcome}`);
        await click((await ask(`${outcome}-${i}`)).message, word);
        await eventually(`${outcome}, or too late`, async () => (await value(...settled(outcome))) >= 1 || (await value(...settled("expired"))) > 1 + i);
      }
    await counted("codev_gateway_decision_seconds_count", { kind: "permission" }, 3);
    assert.ok((await value("codev_gateway_decision_seconds_sum", { kind: "permission" })) > 0);
    assert.equal(await value("codev_gateway_decision_seconds_bucket", { kind: "permission", le: "+Inf" }), await value("codev_gateway_decision_seconds_count", { kind: "permission" }));
    const gone = await ask("gone");
    await pod.fetch(`/api/sessions/${gone.session}/abort`, { method: "POST", headers: { "content-type": "application/json" } });
    await counted(...settled("gone"));
    await counted(...settled("expired"));
    assert.ok((await value("codev_gateway_requests_total", { kind: "permission" })) >= 5);
  });

  test("Slack: calls, 429, what waits to be sent, acknowledgements, the link", async () => {
    await counted("codev_gateway_slack_calls_total", { method: "chat.postMessage", result: "ok" });
    await counted("codev_gateway_slack_calls_total", { method: "auth.test", result: "ok" });
    assert.ok((await value("codev_gateway_slack_call_seconds_count")) >= (await value("codev_gateway_slack_calls_total", { method: "chat.postMessage" })));
    await counted("codev_gateway_slack_envelopes_total", { type: "interactive", result: "acked" }, 3);
    await slack.control("fail", { method: "chat.postMessage", times: 1, status: 429, retry_after: 4 });
    const asked = ask("limited");
    await counted("codev_gateway_slack_rate_limited_total", { method: "chat.postMessage" });
    assert.equal(await value("codev_gateway_slack_calls_total", { method: "chat.postMessage", result: "rate_limited" }), 1);
    assert.ok(seen.has("codev_gateway_slack_outbox_messages") || (await counted("codev_gateway_slack_outbox_messages")));
    await click((await asked).message, "once");
    await slack.control("slash", { user: "alice", channel: "general", command: "/opencode", text: "status" });
    await counted("codev_gateway_slack_envelopes_total", { type: "slash", result: "acked" });
    await counted("codev_gateway_slack_ack_seconds_count", {}, 5);
    await counted("codev_gateway_slack_messages_total", { result: "delivered" }, 3);
    const before = await value("codev_gateway_slack_connections_total");
    await slack.control("drop", {});
    await counted("codev_gateway_slack_connection_losses_total");
    await counted("codev_gateway_slack_connections_total", {}, before + 1);
    await counted("codev_gateway_slack_state", { state: "connected" });
  });

  test("OpenCode stands still, then dies: work waits, the bridge and the service are counted", async () => {
    const { message } = await ask("last");
    await click(message, "once");
    const opencode = await pod.hostPid("opencode");
    process.kill(opencode, "SIGSTOP");
    await slack.control("message", { user: "alice", channel: CHANNEL, thread_ts: message.thread_ts ?? message.ts, text: "@@text And on." });
    await counted("codev_gateway_slack_inbound_waiting");
    await counted("codev_gateway_slack_envelopes_total", { type: "events", result: "acked" });
    process.kill(opencode, "SIGKILL");
    await counted("codev_service_restarts_total", { service: "opencode" });
    await counted("codev_gateway_bridge_losses_total");
    await counted("codev_gateway_bridge_connections_total", {}, 2);
  });

  test("each metric was seen above 0", async () => {
    await counted("codev_session_state_pushes_total");
    for (const [name, metric] of listed()) if (!ELSEWHERE.has(name)) for (const series of seriesOf(name, metric)) assert.ok(seen.has(series), series);
  });

  describe("Prometheus", { skip: NO_PROMETHEUS }, () => {
    test("scrapes it, by the shipped configuration, and has nothing to say", async () => {
      const { activeTargets } = await prometheus.api("targets");
      for (const { health, lastError } of activeTargets) assert.equal(health, "up", lastError);
      const found = activeTargets.map(({ labels, scrapeUrl }) => [labels.namespace, labels.pod, scrapeUrl]);
      assert.deepEqual(found.sort(), [["test", "codev-0", `${pod.probes}/metrics`], ["test", "hub-0", `${hub.url}/metrics`]]);
      assert.equal(await prometheus.number('sum(up{job="codev"})'), 2);
      assert.equal(await prometheus.number('count(codev_gateway_bridges)'), 2, "nothing twice");
      assert.equal(await prometheus.number('max_over_time(codev_ready{pod="codev-0"}[10m])'), 1);
      assert.ok((await prometheus.number("count_over_time(codev_ready[10m])")) > 5, "again and again");
      const once = await value(...settled("once"));
      await eventually("it has the last value", async () => (await prometheus.number('codev_gateway_requests_settled_total{pod="codev-0",kind="permission",outcome="once"}')) === once);
      const own = await prometheus.page();
      for (const what of ["duplicate_timestamp", "out_of_bounds", "out_of_order"]) assert.equal(valueOf(own, `prometheus_target_scrapes_sample_${what}_total`), 0, what);
      assert.deepEqual(prometheus.log.filter((line) => /"level":"(warn|error)"|duplicate|out.of.order|append failed/i.test(line)), []);
    });

    test("evaluates the alerts without an error, and none is on that must not be", async () => {
      const { groups } = await eventually("all rules were evaluated", async () => {
        const found = await prometheus.api("rules");
        return found.groups.every((g) => g.rules.every((r) => r.health !== "unknown")) && found;
      });
      const rules = groups.flatMap((g) => g.rules);
      assert.ok(rules.length > 15);
      for (const rule of rules) assert.equal(rule.health, "ok", `${rule.name}: ${rule.lastError}`);
      // How fast a busy machine is, is no matter of this test.
      assert.deepEqual(rules.filter((r) => r.state === "firing" && r.name !== "CodevSlackAckSlow").map((r) => r.name), []);
    });

    test("answers each query of the dashboard with something", async () => {
      const { panels, templating } = JSON.parse(fs.readFileSync(path.join(MONITORING, "dashboard.json"), "utf8"));
      for (const panel of panels)
        for (const { expr } of panel.targets ?? []) {
          const query = expr.replaceAll("$namespace", "test").replaceAll("$pod", "codev-0");
          assert.ok((await prometheus.query(query)).length > 0, `${panel.title}: ${query}`);
        }
      for (const { name, query } of templating.list.filter((v) => v.type === "query")) {
        const [, match, label] = /^label_values\((.*), (\w+)\)$/.exec(query.query);
        const values = await prometheus.api(`label/${label}/values`, { "match[]": match.replaceAll("$namespace", "test") });
        assert.deepEqual(values, name === "namespace" ? ["test"] : ["codev-0", "hub-0"]);
      }
    });
  });
});
