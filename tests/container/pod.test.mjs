// The pod of k8s/overlays/k8s-lab, as written, on containerd: it starts, it is accepted before and
// after a restart, its state persists, it stops in time, it follows its ConfigMap and its Secret.
import test, { after, before, describe } from "node:test";
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";
import { criJoined, otel } from "../e2e/lib/collectors.mjs";
import { TOP, eventually } from "../e2e/lib/util.mjs";
import { memoryLines, memoryOf } from "./lib/memory.mjs";
import { cannot, startLab } from "./lib/lab.mjs";

const skip = cannot();
const require = createRequire(import.meta.url);
const Ajv = require("ajv").default;
const { parse } = require("yaml");

const prompt = (pod, text) =>
  pod.api("/api/sessions", { method: "POST", body: JSON.stringify({ prompt: text, title: "Kept" }) });

async function accept(pod, ...args) {
  const { code, out, err } = await pod.ctl("accept", "--format", "json", "--quiet", ...args);
  assert.ok(out.startsWith("{"), `no report: ${out}${err}`);
  const report = JSON.parse(out);
  const odd = report.criteria.filter((c) => c.outcome !== "pass");
  return { code, report, odd };
}

describe("a pod on containerd", { skip }, () => {
  let lab, pod;
  before(async () => {
    lab = await startLab();
  });
  after(() => lab?.end());

  test("cold: started, then ready, with what the manifest asks for in force", async (t) => {
    pod = await lab.pod();
    assert.equal(pod.isReady, false);
    await pod.ready();
    t.diagnostic(`figure: cold start to ready: ${pod.timing.readyAfter} ms`);
    const { out } = await pod.exec(["sh", "-c", "cat /proc/1/status; touch /probe 2>&1; id -u"]);
    assert.match(out, /^Uid:\s+1000\s/m);
    assert.match(out, /^CapBnd:\s+0+$/m);
    assert.match(out, /^NoNewPrivs:\s+1$/m);
    assert.match(out, /^Seccomp:\s+2$/m);
    assert.match(out, /Read-only file system/);
    const { sandbox } = await pod.status();
    const off = JSON.stringify(sandbox).match(/"state":"(off|failed)"/g);
    assert.equal(off, null, JSON.stringify(sandbox));
  });

  test("memory at rest, process by process", async (t) => {
    const figures = memoryOf(await pod.hostPid(), (await pod.status()).services);
    for (const line of memoryLines([["rest", figures]])) t.diagnostic(line);
    const own = Object.entries(figures).filter(([name]) => name !== "opencode").reduce((sum, [, { pss }]) => sum + pss, 0);
    t.diagnostic(`figure: memory of all but OpenCode: ${own} KiB PSS, guards with it`);
    for (const name of ["codev-init", "opencode", "gateway", "probes"]) assert.ok(figures[name]?.pss > 0, name);
  });

  let session;
  test("the eleven criteria, by exec", async (t) => {
    const { report, odd, code } = await accept(pod, "--restart");
    for (const c of report.criteria) t.diagnostic(`${c.id} ${c.outcome} ${c.elapsed_ms} ms: ${c.evidence}`);
    assert.deepEqual(odd, []);
    assert.equal(code, 0);
    assert.equal(pod.restarts, 0, "OpenCode's restart is none of the container's");
  });

  test("a session, its messages and a credential survive a new pod", async (t) => {
    const made = await prompt(pod, "@@text kept across pods");
    assert.ok(made.status < 300, JSON.stringify(made));
    session = made.body.session_id ?? made.body.id;
    const said = () =>
      eventually("the answer is there", async () => JSON.stringify((await pod.oc(`/session/${session}/message`)).body).includes("kept across pods") && true);
    await said();
    const auth = await pod.oc("/auth/codev-test", { method: "PUT", body: JSON.stringify({ type: "api", key: "kept" }) });
    assert.equal(auth.status, 200);

    const stopped = await pod.stop();
    t.diagnostic(`figure: stop: ${stopped.ms} ms`);
    assert.deepEqual([stopped.code, stopped.reason], [0, "Completed"]);

    pod = await lab.pod({ claims: pod.claims });
    await pod.ready();
    t.diagnostic(`figure: warm start to ready: ${pod.timing.readyAfter} ms`);
    await said();
    const file = path.join(pod.claims.state, "share/opencode/auth.json");
    assert.equal(JSON.parse(fs.readFileSync(file, "utf8"))["codev-test"].key, "kept");
    assert.equal(fs.statSync(file).mode & 0o777, 0o600);
  });

  test("the eleven criteria again, in the new pod", async () => {
    const { odd, code } = await accept(pod, "--restart");
    assert.deepEqual(odd, []);
    assert.equal(code, 0);
  });

  test("what the runtime stored of its log: whole lines, each of the documented form, as collectors read it", () => {
    const stored = pod.storedLog();
    const lines = criJoined(stored);
    assert.ok(lines.length > 30, String(lines.length));
    assert.equal(lines.length, stored.length, "none was cut");
    const schema = JSON.parse(fs.readFileSync(path.join(TOP, "docs/log.schema.json"), "utf8"));
    const fits = new Ajv().compile(schema);
    for (const { text } of lines) assert.ok(fits(JSON.parse(text)), `${text}: ${JSON.stringify(fits.errors)}`);
    assert.deepEqual(lines.map(({ text }) => JSON.parse(text).seq), lines.map((_, i) => i + 1));
    const { operators } = parse(fs.readFileSync(path.join(TOP, "k8s/logs/otel-collector.yaml"), "utf8")).receivers["filelog/codev"];
    assert.ok(otel(operators, stored).every((e) => e.severity && e.resource["service.name"]));
  });

  test("the probes are also answered by exec", async () => {
    for (const which of ["live", "ready", "startup"]) assert.equal((await pod.ctl("probe", which)).code, 0);
  });

  test("a changed ConfigMap is taken over with no restart", async () => {
    const before = await pod.service("opencode");
    const map = pod.objects.find((o) => o.kind === "ConfigMap" && o.data["codev.yaml"]);
    pod.update("config", { "codev.yaml": `${map.data["codev.yaml"]}\nservices: {extra: {command: [sleep, infinity]}}\n` });
    await eventually("the new service runs", async () => (await pod.service("extra"))?.state === "ready");
    assert.equal((await pod.service("opencode")).pid, before.pid);
    assert.equal(pod.restarts, 0);
    // A bad one changes nothing and is said.
    pod.update("config", { "codev.yaml": "storrage: []\n" });
    await eventually("the bad key is named", () => /storrage/.test(pod.log()));
    assert.equal((await pod.service("extra")).state, "ready");
    pod.update("config", map.data);
    await eventually("the service is gone", async () => (await pod.service("extra"))?.state !== "ready");
  });

  test("a drain: a turn is running, the stop is orderly and in time", async (t) => {
    const made = await prompt(pod, "@@slow 2000 50");
    assert.ok(made.status < 300);
    await eventually("the turn runs", async () => Object.keys((await pod.oc("/session/status")).body).length > 0);
    const stopped = await pod.stop();
    t.diagnostic(`figure: stop with a running turn: ${stopped.ms} ms`);
    assert.equal(stopped.code, 0, JSON.stringify(stopped));
    assert.match(pod.log(), /"msg":"[^"]*(all services are stopped|stopped)/);
  });
});
