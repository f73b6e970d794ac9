// Speed and memory of the whole thread, measured in one run and printed (nothing is asserted):
// boot to ready beside OpenCode alone, warm prepare, PSS of every process, permission request →
// Slack call, click → OpenCode told. Needs root.   node bench/thread.mjs [rounds]
import fs from "node:fs";
import path from "node:path";
import { startPod, modelConfig } from "../tests/e2e/lib/pod.mjs";
import { OPENCODE, eventually, freePorts, run, startFakeModel, startFakeSlack, tempDir, sleep } from "../tests/e2e/lib/util.mjs";

const rounds = Number(process.argv[2] ?? 5);
const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
const p99 = (list) => [...list].sort((a, b) => a - b)[Math.min(list.length - 1, Math.ceil(list.length * 0.99) - 1)];
const row = (name, value) => console.log(`${name.padEnd(48)} ${value}`);

async function openCodeAlone(model, home) {
  const [port] = await freePorts(1);
  const config = path.join(home, "model.json");
  fs.writeFileSync(config, JSON.stringify(modelConfig(model.url)));
  const src = path.join(home, "src");
  fs.mkdirSync(src, { recursive: true });
  const begun = performance.now();
  const child = run(OPENCODE, ["web", "--hostname", "127.0.0.1", "--port", String(port)], {
    cwd: src,
    env: { ...process.env, HOME: home, OPENCODE_CONFIG: config, OPENCODE_DISABLE_MODELS_FETCH: "1", OPENCODE_DISABLE_AUTOUPDATE: "1" },
  });
  const get = (route, ms) => fetch(`http://127.0.0.1:${port}${route}`, { signal: AbortSignal.timeout(ms) }).then((r) => r.ok);
  await eventually("health", () => get("/global/health", 500), 30000, 20);
  await eventually("instance", () => get(`/session/status?directory=${encodeURIComponent(src)}`, 5000), 30000, 20);
  const took = performance.now() - begun;
  child.kill("SIGKILL");
  await child.ended;
  return took;
}

function memory(pid) {
  const text = fs.readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const kib = (name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(text)[1]);
  return { pss: kib("Pss"), rss: kib("Rss") };
}

function tree(pid, out = []) {
  out.push(pid);
  for (const task of fs.readdirSync(`/proc/${pid}/task`))
    for (const child of fs.readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").trim().split(" ").filter(Boolean))
      tree(Number(child), out);
  return out;
}

const model = await startFakeModel();
const home = tempDir("bench");
await openCodeAlone(model, home); // creates its database
const alone = [];
const pods = [];
const prepare = [];
let pod = await startPod({ model, volume: "bind" });
await pod.ready();
await pod.stop();
for (let i = 0; i < rounds; i++) {
  alone.push(await openCodeAlone(model, home));
  const begun = performance.now();
  const again = await startPod({ model, volume: "bind", dir: pod.dir });
  await eventually("ready", async () => (await fetch(`${again.probes}/readyz`)).status === 200, 60000, 20);
  pods.push(performance.now() - begun);
  prepare.push(JSON.parse((await again.service("prepare")).notes.plugin).elapsed_ms);
  await again.stop();
}
row("OpenCode alone: exec → instance answers", `median ${median(alone).toFixed(0)} ms`);
row("warm pod: exec → /readyz 200", `median ${median(pods).toFixed(0)} ms, ratio ${(median(pods) / median(alone)).toFixed(2)}`);
row("warm prepare", `median ${median(prepare)} ms`);

const slack = await startFakeSlack(["--rate", "off"]);
const live = await startPod({ model, volume: "bind", dir: pod.dir, slack });
await live.ready();
await live.bridged();
await eventually("Slack", async () => (await live.fetch("/api/health")).body.slack?.state === "connected");
await sleep(2000);
let sum = 0;
for (const pid of tree(live.pid)) {
  const name = fs.readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, 2).map((w) => path.basename(w)).join(" ");
  const m = memory(pid);
  if (name.startsWith("codev-")) sum += m.pss;
  row(`memory: ${name}`, `PSS ${(m.pss / 1024).toFixed(1)} MiB, RSS ${(m.rss / 1024).toFixed(1)} MiB`);
}
row("memory: all codev-init processes", `PSS ${(sum / 1024).toFixed(1)} MiB`);

// Clocks of this process: OpenCode's own event stream says when it asked and when it was told, the
// fake says when the call came in.
const seen = new Map(); // "permission.asked <command or id>" → ms
const stream = await fetch(`${live.opencode}/global/event`, { headers: { authorization: await live.openCodeAuth() } });
(async () => {
  let text = "";
  for await (const chunk of stream.body.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
      const event = JSON.parse(text.slice(text.indexOf("data: ") + 6, end)).payload;
      const p = event?.properties;
      if (event?.type === "permission.asked") seen.set(`asked ${p.id}`, performance.timeOrigin + performance.now());
      if (event?.type === "permission.replied") seen.set(`told ${p.requestID}`, performance.timeOrigin + performance.now());
    }
  }
})().catch(() => {});
const toSlack = [];
const toOpenCode = [];
for (let i = 0; i < rounds * 4; i++) {
  await sleep(4000); // Slack takes one post a second in a channel; this measures us, not that
  await live.prompt(`go\n@@tool bash ${JSON.stringify({ command: `echo bench-${i}`, description: "b" })}\n@@then\n@@text ok`);
  const message = (await slack.control("wait", { kind: "message", from: "bot", action_prefix: "allow", contains: `echo bench-${i}`, timeout_ms: 20000 })).items.at(-1);
  const request = await live.request((r) => JSON.stringify(r).includes(`echo bench-${i}`));
  toSlack.push(message._meta.at - (await eventually("asked", () => seen.get(`asked ${request.id}`))));
  const button = message.blocks.filter((b) => b.type === "actions").flatMap((b) => b.elements).find((e) => e.action_id.includes("once"));
  const clicked = performance.timeOrigin + performance.now();
  await slack.control("click", { user: "alice", channel: "dev", ts: message.ts, action_id: button.action_id });
  toOpenCode.push((await eventually("told", () => seen.get(`told ${request.id}`))) - clicked);
}
const times = (list) => `median ${median(list).toFixed(1)} ms, p99 ${p99(list).toFixed(1)} ms, ${list.length} rounds`;
row("OpenCode asks → chat.postMessage in the fake", times(toSlack));
row("click in the fake → OpenCode has been told", times(toOpenCode));
await live.end();
slack.stop();
model.stop();
fs.rmSync(home, { recursive: true, force: true });
fs.rmSync(pod.dir, { recursive: true, force: true });
