// Services are killed at random under load; everything comes back, nothing is left behind, nothing
// is asked twice. CODEV_CHAOS_SECONDS sets how long (20; `make soak` takes 600), CODEV_CHAOS_SEED
// repeats a run.
import test from "node:test";
import assert from "node:assert/strict";
import fs from "node:fs";
import { startPod } from "./lib/pod.mjs";
import { IS_ROOT, eventually, random, sleep, startFakeSlack } from "./lib/util.mjs";

const seconds = Number(process.env.CODEV_CHAOS_SECONDS ?? 20);
const seed = Number(process.env.CODEV_CHAOS_SEED ?? Date.now() % 100000);

function inNamespaceOf(pid) {
  const ns = fs.readlinkSync(`/proc/${pid}/ns/pid`);
  return fs.readdirSync("/proc").filter((entry) => {
    try {
      return /^\d+$/.test(entry) && fs.readlinkSync(`/proc/${entry}/ns/pid`) === ns;
    } catch {
      return false;
    }
  });
}

const field = (pid, name) => {
  try {
    return new RegExp(`^${name}:\\s+(\\S+)`, "m").exec(fs.readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  } catch {
    return undefined;
  }
};

test("services killed at random under load", { skip: IS_ROOT ? false : "needs root for mounts", timeout: (seconds + 240) * 1000 }, async (t) => {
  const slack = await startFakeSlack(["--rate", "off"]);
  // The restart limit is for services that fail by themselves; here we do it to them.
  const patient = { restart_limit: { count: 100000, window: "1m" }, backoff: { first: "100ms", max: "1s" } };
  const names = ["opencode", "gateway", "probes", "plugin-watch"];
  const pod = await startPod({
    slack,
    config: (c) => ({ ...c, services: Object.fromEntries(names.map((n) => [n, patient])) }),
  });
  t.after(async () => {
    await pod.end();
    slack.stop();
  });
  await pod.ready();
  await pod.bridged();
  t.diagnostic(`seed ${seed}, ${seconds} s`);
  const next = random(seed);
  const deadline = Date.now() + seconds * 1000;
  const killed = Object.fromEntries(names.map((n) => [n, 0]));
  const last = {}; // the pids that were killed last, inside
  let asked = 0;
  let decided = 0;

  const killer = async () => {
    while (Date.now() < deadline) {
      await sleep(300 + next() * 2500);
      const name = names[Math.floor(next() * names.length)];
      try {
        const { pid } = await pod.service(name);
        process.kill(await pod.hostPid(name), "SIGKILL");
        last[name] = pid;
        killed[name]++;
      } catch {
        // it is down already
      }
    }
  };
  const worker = async (n) => {
    for (let i = 0; Date.now() < deadline; i++) {
      const command = `echo chaos-${n}-${i}`;
      try {
        await pod.prompt(`go\n@@tool bash ${JSON.stringify({ command, description: "c" })}\n@@then\n@@text ok`);
        asked++;
        const request = await pod.request((r) => r.summary === command, 8000);
        if ((await pod.decide(request.id, "once")).status < 300) decided++;
      } catch {
        // a service was away: that is what this is about
      }
      await sleep(100);
    }
  };
  await Promise.all([killer(), worker(1), worker(2)]);

  await pod.ready(60000);
  await eventually("every service is back", async () => {
    const { services } = await pod.status();
    return names.every((n) => {
      const { state, pid } = services.find((s) => s.name === n);
      return ["ready", "running"].includes(state) && pid !== last[n]; // its death may not be known yet
    });
  }, 60000);
  await eventually("no request stays undecided on its way", async () => {
    const { body } = await pod.fetch("/api/requests");
    return (body.requests ?? body).every((r) => r.state !== "deciding");
  }, 60000);
  await eventually("no zombie is left", () => inNamespaceOf(pod.pid).every((pid) => field(pid, "State") !== "Z"), 10000);
  const posts = new Map();
  await eventually("what was decided is in Slack", async () => {
    posts.clear();
    for (const message of await slack.control("messages?channel=dev&from=bot")) {
      const id = message.metadata?.event_payload?.id; // unique for each thing that is to be posted
      if (id) posts.set(id, (posts.get(id) ?? 0) + 1);
    }
    return posts.size >= Math.min(6, decided); // at one a second, some still wait
  }, 30000);
  assert.deepEqual([...posts].filter(([, count]) => count > 1), [], "everything was posted once");
  assert.ok(Number(field(pod.pid, "VmRSS")) < 16 * 1024, `PID 1 stays small: ${field(pod.pid, "VmRSS")} KiB`);
  assert.ok(Object.values(killed).reduce((a, b) => a + b) > 0);
  t.diagnostic(`killed ${JSON.stringify(killed)}, asked ${asked}, decided ${decided}, posts ${posts.size}, PID 1 RSS ${field(pod.pid, "VmRSS")} KiB`);
  // It still works.
  await pod.bridged(60000);
  await pod.prompt(`go\n@@tool bash ${JSON.stringify({ command: "echo after-chaos", description: "c" })}\n@@then\n@@text ok`);
  const request = await pod.request((r) => r.summary === "echo after-chaos");
  await eventually("it is in Slack", async () =>
    (await slack.control("messages?channel=dev&from=bot")).some((m) => JSON.stringify(m).includes("echo after-chaos")), 60000);
  assert.ok((await pod.decide(request.id, "once")).status < 300);
  const { code } = await pod.stop();
  assert.equal(code, 0);
});
