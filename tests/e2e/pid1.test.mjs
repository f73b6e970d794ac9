// PID 1 with the real OpenCode: what it leaves behind, how it stops, what it says.
import test from "node:test";
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { spawnSync } from "node:child_process";
import { startPod } from "./lib/pod.mjs";
import { promtool } from "./lib/tools.mjs";
import { IS_ROOT, TOP, eventually, sleep } from "./lib/util.mjs";

const skip = IS_ROOT ? false : "needs root for mounts";

// Pids (as this machine numbers them) of processes whose command line holds `text`.
function processes(text) {
  return fs.readdirSync("/proc").filter((entry) => {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) return false;
    try {
      return fs.readFileSync(`/proc/${entry}/cmdline`, "utf8").replaceAll("\0", " ").includes(text);
    } catch {
      return false;
    }
  });
}

async function leaveStubbornChild(pod, mark) {
  const command = `setsid bash -c 'trap "" TERM HUP INT; exec -a ${mark} sleep 1000' >/dev/null 2>&1 </dev/null & disown; echo started`;
  await pod.prompt(`go\n@@tool bash ${JSON.stringify({ command, description: "Leave a child" })}\n@@then\n@@text ok`);
  const request = await pod.request((r) => JSON.stringify(r).includes(mark));
  await pod.decide(request.id, "once");
  await eventually("the stubborn child runs", () => processes(mark).length > 0);
}

test("a tool child that left its session and ignores SIGTERM is gone after a crash and after stop", { skip }, async (t) => {
  const pod = await startPod({ plugin: "none" });
  t.after(() => pod.end());
  await pod.ready();
  await leaveStubbornChild(pod, "codev-stubborn-1");
  const before = (await pod.service("opencode")).restarts;
  process.kill(await pod.hostPid("opencode"), "SIGKILL");
  await eventually("it is gone after the crash", () => processes("codev-stubborn-1").length === 0);
  await eventually("OpenCode was restarted and is ready", async () => {
    const service = await pod.service("opencode");
    return service.restarts > before && service.ready;
  }, 60000);
  await leaveStubbornChild(pod, "codev-stubborn-2");
  const start = Date.now();
  const { code } = await pod.stop();
  const took = Date.now() - start;
  assert.equal(code, 0);
  assert.equal(processes("codev-stubborn-2").length, 0);
  assert.ok(took < 16000, `the stop fits its budget of 15 s: ${took} ms`);
  t.diagnostic(`stop with a stubborn child: ${took} ms`);
});

test("SIGTERM during start stops cleanly", { skip }, async (t) => {
  for (const wait of [0, 50, 300, 1200]) {
    const pod = await startPod({ plugin: "none" });
    t.after(() => pod.end());
    await eventually("PID 1 exists", () => pod.pid > 0 && fs.readlinkSync(`/proc/${pod.pid}/exe`).endsWith("codev-init"));
    await sleep(wait); // the instant at which the signal comes is what this test varies
    const { code, signal } = await pod.stop();
    assert.ok(code === 0, `after ${wait} ms: exit ${code} ${signal} ${pod.log.slice(-600)}`);
  }
});

// The fixture's runtime folder is below /tmp, where the agent's sandbox then lets nobody make files.
test("without a TMPDIR, and the runtime folder in /tmp, OpenCode starts and its commands have one", { skip }, async (t) => {
  const pod = await startPod({ plugin: "none", env: { TMPDIR: "" } });
  t.after(() => pod.end());
  await pod.ready();
  const command = 'f=$(mktemp) && echo made $f';
  await pod.prompt(`go\n@@tool bash ${JSON.stringify({ command, description: "Make a file" })}\n@@then\n@@text ok`);
  const request = await pod.request();
  await pod.decide(request.id, "once");
  const file = path.join(pod.runtime, "tmp");
  await eventually("a temporary file is there", () => fs.readdirSync(file).some((name) => name.startsWith("tmp.")));
});

test("stdout is blocked: PID 1 answers, the pod becomes ready, lost lines are counted", { skip }, async (t) => {
  const pod = await startPod({
    plugin: "none",
    config: (c) => ({ ...c, services: { chatter: { command: ["sh", "-c", "yes codev-chatter-line | head -c 50000000; exec sleep 1000"] } } }),
  });
  t.after(() => pod.end());
  pod.child.stdout.pause();
  await pod.ready();
  await eventually("lines were dropped and counted", async () => (await pod.status()).stdout_dropped > 0);
  pod.child.stdout.resume();
});

test("probes: verdicts by HTTP and by codevctl agree, and say why", { skip }, async (t) => {
  const pod = await startPod({ plugin: "none", volume: "" }); // nothing mounted at .local
  t.after(() => pod.end());
  await eventually("live", async () => (await fetch(`${pod.probes}/livez`)).status === 200);
  await eventually("OpenCode is ready", async () => (await pod.service("opencode")).ready, 60000);
  const response = await fetch(`${pod.probes}/readyz?verbose`);
  const text = await response.text();
  assert.equal(response.status, 503);
  assert.match(text, /mountPath|mount/);
  const { code, out } = await pod.ctl("probe", "ready", "-v");
  assert.equal(code, 1);
  assert.match(out, /mount/);
  assert.equal((await pod.ctl("probe", "live")).code, 0);
  assert.equal((await pod.ctl("status")).code, 1);
});


test("metrics, completion, --watch, and a fault of PID 1 under a running OpenCode", { skip }, async (t) => {
  const pod = await startPod({ plugin: "none" });
  t.after(() => pod.end());
  await pod.ready();

  await t.test("promtool finds nothing to say", { skip: promtool ? false : "no promtool: make promtool" }, async () => {
    const text = await (await fetch(`${pod.probes}/metrics`)).text();
    const judged = spawnSync(promtool, ["check", "metrics"], { input: text, encoding: "utf8" });
    assert.equal(`${judged.stdout}${judged.stderr}`, "");
    assert.equal(judged.status, 0);
    for (const name of ["codev_init_resident_memory_bytes", 'codev_service_cpu_seconds_total{service="opencode"}'])
      assert.ok(Number(new RegExp(`^${name.replaceAll(/[{}"]/g, "\\$&")} (\\S+)$`, "m").exec(text)?.[1]) > 0, name);
  });

  await t.test("the completion knows commands and services", async () => {
    const script = `source <(codevctl completion bash)
      try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _codevctl; echo "\${COMPREPLY[*]}"; }
      try codevctl sta; try codevctl restart op; try codevctl probe l; try codevctl logs --f`;
    const { out } = await pod.exec("bash", ["-c", script]).ended;
    assert.deepEqual(out.trim().split("\n"), ["status start", "opencode", "live", "--follow"]);
  });

  await t.test("status --watch shows it anew until it is ended", async () => {
    const { out } = await pod.exec("sh", ["-c", "timeout 60 codevctl status --watch | grep -m 3 '^codev-init '"]).ended;
    assert.equal(out.match(/: running, ready, live/g)?.length, 3, out);
  });

  await t.test("PID 1 faults: OpenCode, gateway and probes keep their pids, and a session lives on", async () => {
    const id = (await pod.oc("/session", { method: "POST", body: JSON.stringify({ title: "Before" }) })).body.id;
    const pids = async () => Object.fromEntries((await pod.status()).services.map((s) => [s.name, s.pid]));
    const before = await pids();
    const { boot_id } = await pod.status();
    process.kill(pod.pid, "SIGSEGV");
    await eventually("it says so", () => /PID 1 faulted: SIGSEGV/.test(pod.log));
    assert.deepEqual(await eventually("it answers", pids), before);
    assert.equal((await pod.status()).boot_id, boot_id);
    await pod.ready(20000);
    assert.equal((await pod.oc(`/session/${id}`)).body.title, "Before");
    assert.equal((await pod.fetch("/api/health")).status, 200);
    process.kill(await pod.hostPid("opencode"), "SIGKILL");
    await eventually("it restarts what dies", async () => (await pod.service("opencode")).restarts === 1);
    await pod.ready();
  });
  assert.equal((await pod.stop()).code, 0);
});

test("secrets are in nobody's environment or log but where they must be", { skip }, async (t) => {
  const secret = "xoxb-very-secret-token-1234567890";
  const pod = await startPod({
    plugin: "prepared",
    env: { SLACK_BOT_TOKEN: secret, SLACK_APP_TOKEN: "xapp-very-secret-1234567890", SLACK_API_URL: "http://127.0.0.1:9/api/" },
    config: (c) => ({ ...c, services: { leak: { command: ["sh", "-c", `echo token ${secret}; exec sleep 1000`] } } }),
  });
  t.after(() => pod.end());
  await pod.ready();
  await eventually("the leaking service said it", () => /"token \*+"/.test(pod.log));
  assert.ok(!pod.log.includes(secret), "masked in the log");
  for (const name of ["opencode", "gateway", "probes"]) {
    const environ = fs.readFileSync(`/proc/${await pod.hostPid(name)}/environ`, "utf8");
    assert.ok(!environ.includes("very-secret"), `${name}'s environment`);
    assert.ok(!environ.includes(pod.token), `${name}'s environment holds the API token`);
  }
  assert.ok(!fs.readFileSync(`/proc/${pod.pid}/environ`, "utf8").includes("very-secret"), "PID 1's environment");
  assert.ok(!fs.readFileSync(path.join(pod.dir, "tmp/bridge-plugin.log"), "utf8").includes("very-secret"));
});
