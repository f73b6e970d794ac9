// docs/logs.md: every line of a pod's life has the documented form; one permission request, one call
// of the API, one run of prepare are found by their ids in all programs; collectors read it.
import test, { after, before, describe } from "node:test";
import assert from "node:assert/strict";
import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import Ajv from "ajv";
import { parse } from "yaml";
import { alloyStages, criFile, criJoined, fluentBit, loki, otel } from "./lib/collectors.mjs";
import { startPod } from "./lib/pod.mjs";
import { IS_ROOT, TOP, eventually, startFakeSlack } from "./lib/util.mjs";

const CHANNEL = "C0DEV000001";
const schema = JSON.parse(fs.readFileSync(path.join(TOP, "docs/log.schema.json"), "utf8"));
const fits = new Ajv({ allErrors: true }).compile(schema);
const problems = (line) => (fits(line) ? [] : fits.errors.map((e) => `${e.instancePath} ${e.message}: ${JSON.stringify(line).slice(0, 300)}`));
const traceOf = (id) => crypto.createHash("sha256").update(id).digest("hex").slice(0, 32);
const bash = (command) => `please\n@@text I will run a command.\n@@tool bash ${JSON.stringify({ command, description: "Test" })}\n@@then\n@@text All done.`;

const file = (name) => path.join(TOP, "k8s/logs", name);
const promtail = parse(parse(fs.readFileSync(file("promtail.yaml"), "utf8")).config.snippets.scrapeConfigs)[0].pipeline_stages;
const alloy = alloyStages(file("alloy.alloy"));
const collector = parse(fs.readFileSync(file("otel-collector.yaml"), "utf8"));
const bit = parse(fs.readFileSync(file("fluent-bit.yaml"), "utf8"));

test("the schema takes what it should, and nothing else", () => {
  const good = { ts: "2026-01-02T03:04:05.000006Z", level: "info", service: "gateway", pid: 4, stream: "stderr", msg: "m", boot_id: "b", seq: 1 };
  const trace = "4bf92f3577b34da6a3ce929d0e0e4736";
  for (const more of [{}, { trace_id: trace, span_id: "00f067aa0ba902b7", request_id: "r", envelope_id: "e", session: "ses_1", pod: "p" }, { partial: true }])
    assert.deepEqual(problems({ ...good, ...more }), []);
  const { msg, ...bare } = good;
  assert.deepEqual(problems({ ...bare, json: { any: 1 } }), []);
  for (const wrong of [
    { ...good, ts: "2026-01-02 03:04:05" },
    { ...good, level: "warning" },
    { ...good, seq: 0 },
    { ...good, boot_id: undefined },
    { ...good, trace_id: trace.toUpperCase() },
    { ...good, trace_id: "0".repeat(32) },
    { ...good, span_id: "00f067aa0ba902b7" },
    { ...good, request_id: "a b" },
    { ...good, session: 'a"b' },
    { ...good, json: {} },
    { ...good, other: 1 },
    bare,
  ])
    assert.notDeepEqual(problems(JSON.parse(JSON.stringify(wrong))), [], JSON.stringify(wrong));
});

test("the collectors' files name only fields that a line has, and all of its ids", () => {
  const fields = Object.keys(schema.properties);
  const ids = ["trace_id", "span_id", "caller_trace_id", "request_id", "envelope_id", "session"];
  for (const stages of [promtail, alloy]) {
    const of = (name) => stages.find((s) => s[name])[name];
    for (const name of Object.values(of("json").expressions)) assert.ok(fields.includes(name), name);
    assert.deepEqual(Object.keys(of("labels")).sort(), ["level", "service"]);
    for (const id of ids) assert.ok(id in of("structured_metadata"), id);
  }
  assert.deepEqual(alloy, promtail);
  const operators = collector.receivers["filelog/codev"].operators;
  for (const [, name] of JSON.stringify(operators).matchAll(/attributes\.([a-z_]+)/g)) assert.ok(fields.includes(name), name);
  const { mapping } = operators.find((o) => o.type === "json_parser").severity;
  assert.deepEqual(Object.values(mapping).sort(), [...schema.properties.level.enum].sort());
  const [output] = bit.pipeline.outputs;
  for (const [, name] of `${output.label_keys},${output.structured_metadata}`.matchAll(/\$([a-z_]+)/g)) assert.ok(fields.includes(name), name);
  for (const id of ids) assert.ok(output.structured_metadata.includes(`$${id}`), id);
  assert.deepEqual(Object.keys(collector.service.pipelines.logs).sort(), ["exporters", "receivers"]);
  for (const name of collector.service.pipelines.logs.exporters) assert.ok(collector.exporters[name], name);
});

test("docs/logs.md has a row for each field", () => {
  const rows = new Set([...fs.readFileSync(path.join(TOP, "docs/logs.md"), "utf8").matchAll(/^\| `([a-z_]+)` \|/gm)].map((m) => m[1]));
  assert.deepEqual([...rows].sort(), Object.keys(schema.properties).sort());
});

test("lines that the runtime cut are joined", () => {
  const line = JSON.stringify({ msg: "é".repeat(20000) });
  const cut = criFile([line, "{}"]);
  assert.equal(cut.length, 4);
  assert.match(cut[0].toString("latin1"), / stdout P /);
  assert.deepEqual(criJoined(cut).map((l) => l.text), [line, "{}"]);
  assert.throws(() => criJoined(cut.slice(0, 1)), /without an end/);
});

describe("a pod's life", { skip: IS_ROOT ? false : "needs root for mounts" }, () => {
  let pod, slack, asked;
  const lines = () => pod.log.split("\n").slice(0, -1).map((l) => JSON.parse(l));
  const about = (trace) => lines().filter((l) => l.trace_id === trace);
  const says = (found, ...wanted) => {
    let at = 0;
    for (const text of wanted) {
      const next = found.findIndex((l, i) => i >= at && l.msg.includes(text));
      assert.ok(next >= 0, `"${text}" after ${at} in\n${found.map((l) => l.msg).join("\n")}`);
      at = next + 1;
    }
  };

  before(async () => {
    slack = await startFakeSlack();
    pod = await startPod({
      slack,
      // one that writes what is hard to keep whole
      config: (c) => ({
        ...c,
        services: {
          loud: {
            type: "oneshot",
            command: ["sh", "-c", `head -c 16384 /dev/zero | tr '\\0' '"'; echo; head -c 40000 /dev/zero | tr '\\0' x; echo; echo '{"level":"info","msg":"not ours","trace_id":"forged"}'; printf 'bad \\377 byte\\n'`],
          },
        },
      }),
    });
    await pod.ready();
    await pod.bridged();
    await eventually("Slack is connected", async () => (await pod.fetch("/api/health")).body.slack?.state === "connected");
  });
  after(async () => {
    await pod?.end();
    slack?.stop();
  });

  test("a run of prepare: its own lines, the plugin's log, the gateway, the status", async () => {
    const { out } = await pod.ctl("plugin", "status", "--json");
    const { prepare_id } = JSON.parse(out);
    assert.match(prepare_id, /^[0-9a-f]{32}$/);
    says(about(prepare_id).filter((l) => l.service === "prepare"), "prepare took");
    says(about(prepare_id).filter((l) => l.service === "gateway"), "connected, protocol 1");
    const log = fs.readFileSync(path.join(pod.dir, "tmp/bridge-plugin.log"), "utf8").trim().split("\n").map((l) => JSON.parse(l));
    assert.ok(log.some((l) => l.msg.startsWith("Plugin initialized") && l.trace_id === prepare_id), JSON.stringify(log));
    const links = JSON.parse((await pod.service("gateway")).notes.links);
    assert.equal(links.bridge.prepare_id, prepare_id);
    assert.match((await pod.ctl("plugin", "status")).out, /^loaded {2}what that run left$/m);
  });

  test("a permission request, answered in Slack: from the plugin to OpenCode's word, and in the audit log", async () => {
    const session = await pod.prompt(bash("touch by-slack"));
    const { id } = await pod.request((r) => r.summary.includes("by-slack"));
    const trace = traceOf(id);
    asked = id;
    const card = await slack.control("wait", { kind: "message", from: "bot", action_prefix: "allow", contains: "by-slack", timeout_ms: 20000 });
    const message = card.items.at(-1);
    const actions = message.blocks.flatMap((b) => b.elements ?? []).map((e) => e.action_id ?? "");
    const clicked = await slack.control("click", { user: "alice", channel: CHANNEL, ts: message.ts, action_id: actions.find((a) => a.startsWith("allow_once")) });
    await eventually("it is settled", () => about(trace).some((l) => /deciding → settled/.test(l.msg)));
    await eventually("Slack shows it", () => about(trace).some((l) => /Slack shows it settled/.test(l.msg)));
    await eventually("the answer to the decision is there", () => about(trace).some((l) => /OpenCode took/.test(l.msg)));
    const found = about(trace);
    says(found, `request ${id} of session ${session}: bash`, "Slack shows it pending", "U0ALICE0001 in Slack answers it", "pending → deciding (once, by slack)", "goes to OpenCode (bridge)", "deciding → settled", "Slack shows it settled");
    says(found, "goes to OpenCode", "OpenCode took the decision");
    for (const l of found) assert.deepEqual([l.service, l.pod, l.span_id], ["gateway", pod.env.CODEV_POD ?? l.pod, found[0].span_id]);
    assert.ok(clicked.envelope_id);
    for (const l of found.filter((l) => /in Slack answers it|pending → deciding/.test(l.msg))) assert.equal(l.envelope_id, clicked.envelope_id);
    const plugin = fs.readFileSync(path.join(pod.dir, "tmp/bridge-plugin.log"), "utf8");
    assert.ok(plugin.split("\n").some((l) => l.includes(trace) && l.includes(`permission.asked: ${id}`)), plugin);
    const { out, err } = await pod.exec("python3", ["-c", AUDIT, path.join((await pod.status()).state_dir, "gateway.db"), trace]).ended;
    const audit = JSON.parse(out || err);
    assert.deepEqual(audit, [["request.deciding.once", clicked.envelope_id]]);
    await eventually("the turn is over", () => lines().some((l) => l.session === session && /busy → idle/.test(l.msg)));
    const turn = lines().find((l) => l.session === session && /busy → idle/.test(l.msg));
    assert.match(turn.trace_id, /^[0-9a-f]{32}$/);
    assert.notEqual(turn.trace_id, trace);
    const { body } = await pod.oc(`/session/${session}/message?directory=${encodeURIComponent(path.join(pod.home, "src"))}`);
    assert.equal(turn.trace_id, traceOf(body.find((m) => m.info.role === "user").info.id), "the prompt's");
  });
  const AUDIT = "import sqlite3,sys,json; print(json.dumps(sqlite3.connect(f'file:{sys.argv[1]}?mode=ro',uri=True).execute(\"SELECT what, cause_id FROM audit WHERE trace_id = ? AND what LIKE 'request.deciding%'\",(sys.argv[2],)).fetchall()))";

  test("a call of the API: the caller's ids in the answer, in the log, in what it causes", async () => {
    const trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    const headers = { "x-request-id": "task-17.a_b", traceparent: `00-${trace}-00f067aa0ba902b7-01` };
    const call = (route, body, more) =>
      fetch(pod.api + route, {
        method: "POST",
        headers: { authorization: `Bearer ${pod.token}`, "content-type": "application/json", ...headers, ...more },
        body: JSON.stringify(body),
      });
    const answer = await call("/api/sessions", { prompt: bash("touch by-api"), title: "By API" });
    assert.equal(answer.headers.get("x-request-id"), "task-17.a_b");
    const { session_id: session } = await answer.json();
    const { id } = await pod.request((r) => r.summary.includes("by-api"));
    const decided = await call(`/api/requests/${id}/decision`, { decision: "once" });
    assert.equal(decided.status, 200);
    await eventually("it is settled", () => about(traceOf(id)).some((l) => /deciding → settled/.test(l.msg)));
    const caused = lines().filter((l) => l.request_id === "task-17.a_b");
    for (const l of caused) assert.equal(l.caller_trace_id, trace);
    says(caused, `session.start: ${session}, by api`, "POST /api/sessions: 201", `request ${id}: pending → deciding (once, by api)`, "POST /api/requests/{}/decision: 200");
    const own = caused.find((l) => l.msg === "POST /api/sessions: 201");
    assert.deepEqual([own.trace_id, own.span_id], [trace, "00f067aa0ba902b7"]);
    assert.equal(caused.find((l) => /pending → deciding/.test(l.msg)).trace_id, traceOf(id));
    const { out } = await pod.ctl("logs", "--trace", trace);
    assert.match(out, /session\.start: /);
    assert.doesNotMatch(out, /prepare took/);
  });

  // No header can carry a control character or go on in another line: the server refuses those.
  test("hostile ids are not taken over", async () => {
    const hostile = [
      ["x-request-id", "a".repeat(65)],
      ["x-request-id", "a b"],
      ["x-request-id", 'a"b'],
      ["x-request-id", "{}"],
      ["x-request-id", "a\\u0000"],
      ["x-request-id", "../../etc"],
      ["traceparent", "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"],
      ["traceparent", `00-${"0".repeat(32)}-00f067aa0ba902b7-01`],
      ["traceparent", "x".repeat(4000)],
    ];
    for (const [name, value] of hostile) {
      const before = lines().length;
      const answer = await fetch(`${pod.api}/api/sessions/ses_none/abort`, { method: "POST", headers: { authorization: `Bearer ${pod.token}`, [name]: value } });
      assert.equal(answer.status, 404);
      assert.match(answer.headers.get("x-request-id"), /^[0-9a-f]{16}$/, value);
      const line = await eventually("its line", () => lines().slice(before).find((l) => l.request_id === answer.headers.get("x-request-id")));
      assert.equal(line.trace_id, undefined);
      assert.equal(line.caller_trace_id, undefined);
    }
  });

  test("codevctl logs: by the request's own id, and since when", async () => {
    const { out } = await pod.ctl("logs", "--trace", asked, "--json");
    const found = out.trim().split("\n").map((l) => JSON.parse(l));
    assert.ok(found.length >= 4);
    for (const l of found) assert.equal(l.trace_id, traceOf(asked));
    assert.equal((await pod.ctl("logs", "--trace", "nobody-has-this")).out, "");
    const recent = (await pod.ctl("logs", "--since", "250ms", "--json")).out.trim().split("\n").filter(Boolean);
    const all = (await pod.ctl("logs", "--since", "1h", "--json")).out.trim().split("\n");
    assert.ok(recent.length < all.length && all.length > 50, `${recent.length} of ${all.length}`);
    assert.equal((await pod.ctl("logs", "--since", "yesterday")).code, 2);
  });

  test("a service crashes, the pod stops: each line fits, none is missing, none is too long", async () => {
    await pod.exec("kill", ["-9", String((await pod.service("gateway")).pid)]).ended;
    await eventually("the gateway is back", async () => (await pod.fetch("/api/health")).status === 200, 30000);
    await pod.stop();
    const all = lines();
    assert.ok(all.length > 80, String(all.length));
    assert.deepEqual(all.flatMap(problems), []);
    assert.equal(new Set(all.map((l) => l.boot_id)).size, 1);
    assert.deepEqual(all.map((l) => l.seq), all.map((_, i) => i + 1), "without holes");
    for (const l of pod.log.split("\n")) assert.ok(Buffer.byteLength(l) + 1 <= 16384, `${Buffer.byteLength(l)} bytes: ${l.slice(0, 80)}`);
    const loud = all.filter((l) => l.service === "loud");
    assert.equal(loud.map((l) => l.msg ?? "").join("").match(/"/g).length, 16384);
    assert.equal(loud.map((l) => l.msg ?? "").join("").match(/x/g).length, 40000);
    assert.deepEqual(loud.find((l) => l.json).json, { level: "info", msg: "not ours", trace_id: "forged" });
    const services = new Set(all.map((l) => l.service));
    for (const name of ["init", "prepare", "opencode", "gateway", "probes"]) assert.ok(services.has(name), name);
    assert.ok(!pod.log.includes(pod.token), "no secret");
    const text = pod.log;
    for (const secret of [slack.bot_token, slack.app_token]) assert.ok(!text.includes(secret), "no secret");
  });

  // What has just been written, as each collector reads it; at 1000 bytes nearly every line is cut.
  for (const most of [16384, 1000])
    test(`collectors read it, cut at ${most} bytes`, () => {
      const raw = pod.log.split("\n").slice(0, -1);
      const all = raw.map((l) => JSON.parse(l));
      const cut = criFile(raw, most);
      assert.equal(cut.some((l) => l.toString("latin1", 0, 60).includes(" stdout P ")), most < 16384, "our lines stay whole");
      const ids = ["trace_id", "span_id", "caller_trace_id", "request_id", "envelope_id", "session", "boot_id"];
      const idsOf = (line) => Object.fromEntries(ids.filter((id) => id in line).map((id) => [id, line[id]]));
      for (const stages of [promtail, alloy])
        loki(stages, cut).forEach((entry, i) => {
          assert.equal(entry.time, all[i].ts);
          assert.equal(entry.line, raw[i]);
          assert.deepEqual(entry.labels, { level: all[i].level, service: all[i].service });
          assert.deepEqual(entry.metadata, idsOf(all[i]));
        });
      otel(collector.receivers["filelog/codev"].operators, cut).forEach((e, i) => {
        const line = all[i];
        assert.equal(e.timestamp, line.ts);
        assert.deepEqual(e.body, line.msg ?? line.json);
        assert.deepEqual([e.severity, e.severityText], [{ debug: 5, info: 9, warn: 13, error: 17 }[line.level], line.level]);
        assert.equal(e.traceId?.toString("hex"), line.trace_id);
        assert.equal(e.spanId?.toString("hex"), line.span_id);
        assert.deepEqual(e.resource, { "service.name": line.service, "service.instance.id": line.boot_id });
        assert.deepEqual([e.attributes.seq, e.attributes.request_id], [line.seq, line.request_id]);
      });
      fluentBit(bit, cut).forEach((e, i) => {
        assert.equal(e.time, all[i].ts);
        assert.deepEqual(e.labels, { level: all[i].level, service: all[i].service });
        assert.deepEqual(e.metadata, idsOf(all[i]));
      });
      assert.ok(all.filter((l) => l.trace_id).length > 10);
    });
});
