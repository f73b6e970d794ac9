// codev-gateway beside a small gateway on Slack's official Node SDK that does the same permission
// flow, in one run over TLS, printed as figures, ratios and whether a budget is met (nothing is
// asserted). Ours stores every step before it goes on; the peer keeps all in memory. About nine
// minutes.   node bench/gateway/run.mjs [rounds] [events]
import fs from "node:fs/promises";
import path from "node:path";
import { sleep, startOurs, startPeer, until } from "./side.mjs";

const rounds = Number(process.argv[2] ?? 100);
const events = Number(process.argv[3] ?? 100000);
const SPACING_MS = 1400; // Slack takes one post a second in a channel; this measures us, not that
const LIVE = [1, 100, 1000];

const at = (list, part) => [...list].sort((a, b) => a - b)[Math.min(list.length - 1, Math.ceil(list.length * part) - 1)];

/* ------------------------------------------------------------------ what is measured */

async function permission(side, n) {
  const id = `per_${n}_`;
  const asked = performance.now();
  side.event("permission.asked", "ses_0", { permission: { id, permission: "bash", patterns: [`echo ${id}`], metadata: { command: `echo ${id}` }, always: ["echo *"] } });
  const post = await until("the request is in Slack", () => side.posts.get(id));
  await sleep(50); // the answer of the post has arrived, as it has before any person clicks
  const button = post.body.blocks.filter((b) => b.type === "actions").flatMap((b) => b.elements).find((e) => /once/.test(e.action_id));
  const clicked = performance.now();
  const ack = await side.slack.click(post, button);
  const told = await until("OpenCode is told", () => side.replied.get(id));
  return { post: post.at - asked, ack, told: told - clicked };
}

// Each session says something every two seconds while `fn` runs.
async function streaming(side, live, fn) {
  let n = 0;
  const stream = setInterval(() => {
    for (let i = 0; i < Math.max(1, live / 40); i++) side.part((n * 7 + i) % live, n);
    n++;
  }, 50);
  try {
    return await fn();
  } finally {
    clearInterval(stream);
  }
}

async function addSessions(side, live) {
  side.addSessions(live);
  await until("the sessions are known", () => side.acked >= side.seq);
}

// Acks of messages in a thread: each is stored, and goes on to OpenCode.
async function acks(side, live, count = 600) {
  const list = [];
  for (let i = 0; i < count; i++) {
    list.push(await side.slack.say(side.thread, `message ${live} ${i}`));
    await sleep(10);
  }
  return list;
}

// What an acknowledgement of ours waits for at least.
async function disk(side, count = 600) {
  const file = await fs.open(path.join(side.dir, "disk"), "w");
  const list = [];
  for (let i = 0; i < count; i++) {
    const begun = performance.now();
    await file.write(Buffer.alloc(4096));
    await file.datasync();
    list.push(performance.now() - begun);
    await sleep(10);
  }
  await file.close();
  return list;
}

async function flood(side) {
  const first = side.seq;
  const begun = performance.now();
  const cpu = side.cpuMs();
  for (let i = 0; i < events; i++) {
    side.part(i % 1000, i);
    if (i % 200 === 0) while (side.ws.bufferedAmount > 1 << 20) await sleep(1);
  }
  await until("all events are acknowledged", () => side.acked >= side.seq, 120000);
  return { rate: ((side.seq - first) / (performance.now() - begun)) * 1000, core: ((side.seq - first) / Math.max(10, side.cpuMs() - cpu)) * 1000 };
}

/* ------------------------------------------------------------------ the run */

const sides = [];
const missed = [];
const ms = (v) => `${v.toFixed(2)} ms`;
const kib = (v) => `${v.toFixed(0)} KiB`;
const whole = (v) => v.toFixed(0);
// `budget`: what it says, and whether the figure of ours (and the ratio) keeps it.
function row(name, show, values, budget) {
  const shown = (v) => (v === undefined ? "–" : show(v)).padStart(12);
  const ratio = values[1] > 0 ? values[0] / values[1] : undefined;
  const met = budget && budget.met(values[0], ratio);
  if (budget && !met) missed.push(name);
  const verdict = budget ? `${budget.says}: ${met ? "met" : "MISSED"}` : "";
  console.log(`${name.padEnd(48)} ${shown(values[0])} ${shown(values[1])} ${(ratio?.toFixed(3) ?? "–").padStart(8)}  ${verdict}`.trimEnd());
}
const under = (limit, says) => ({ says, met: (v) => v < limit });

// Permission flows and acks with `live` sessions, both sides in turns.
async function latencies(live) {
  const flows = sides.map(() => []);
  const lists = [];
  for (const side of sides) await addSessions(side, live);
  await streaming(sides[0], live, () =>
    streaming(sides[1], live, async () => {
      for (let n = 0; n < rounds; n++) {
        for (const [i, side] of sides.entries()) flows[i].push(await permission(side, live * 1000 + n));
        await sleep(SPACING_MS);
      }
    }),
  );
  for (const side of sides) lists.push(await streaming(side, live, () => acks(side, live)));
  for (const [key, name] of [["post", "request → Slack call arrives"], ["told", "click → OpenCode told"], ["ack", "click → ack"]])
    for (const part of [0.5, 0.99])
      row(`${live} live: ${name}, p${part * 100}`, ms, flows.map((f) => at(f.map((x) => x[key]), part)), part > 0.9 && key !== "ack" ? under(5, "p99 under 5 ms") : undefined);
  const synced = await disk(sides[0]);
  for (const part of [0.5, 0.99]) row(`${live} live: this disk, 4 KiB and fdatasync, p${part * 100}`, ms, [at(synced, part)]);
  for (const part of [0.5, 0.99]) row(`${live} live: message → ack, p${part * 100}`, ms, lists.map((l) => at(l, part)), part > 0.9 ? under(20, "p99 under 20 ms") : undefined);
}

async function idle() {
  for (const side of sides) side.event("session.idle", "ses_0", {});
  await sleep(6000); // the last updates have left
  const before = sides.map((s) => ({ switches: s.switches(), cpu: s.cpuMs() }));
  await sleep(10000);
  row("idle: context switches in 10 s", String, sides.map((s, i) => s.switches() - before[i].switches));
  row("idle: CPU time in 10 s", ms, sides.map((s, i) => s.cpuMs() - before[i].cpu));
}

function memory(base) {
  const full = sides.map((s) => s.memory());
  for (const [key, name] of [["rss", "RSS"], ["pss", "PSS"], ["own", "private"]]) {
    row(`memory with 1 session, ${name}`, kib, base.map((m) => m[key]));
    row(`memory with 1,000 live sessions, ${name}`, kib, full.map((m) => m[key]), { says: "a tenth of the peer", met: (v, ratio) => ratio <= 0.1 });
  }
  row("memory a live session (heap)", (v) => `${v.toFixed(1)} KiB`, full.map((m, i) => (m.heap - base[i].heap) / 999), under(20, "under 20 KiB"));
}

try {
  sides.push(await startOurs());
  sides.push(await startPeer());
  for (const side of sides) side.addSessions(1);
  await sleep(2000);
  const base = sides.map((s) => s.memory());
  console.log(`${`${rounds} rounds of the permission flow at each step`.padEnd(48)} ${"ours".padStart(12)} ${"Node SDK".padStart(12)} ${"ratio".padStart(8)}  budget`);
  for (const live of LIVE) {
    await latencies(live);
    if (live === 1) await idle();
  }
  await sleep(2000);
  memory(base);
  const rates = [];
  for (const side of sides) rates.push(await flood(side));
  row(`events a second, of ${events}`, whole, rates.map((r) => r.rate), { says: "20,000", met: (v) => v >= 20000 });
  row("events a second of its own CPU time", whole, rates.map((r) => r.core), { says: "20,000", met: (v) => v >= 20000 });
  const once = sides.map((s) => s.memory());
  for (const side of sides) await flood(side);
  row("memory after these, private", kib, once.map((m) => m.own));
  row("memory after as many again, private", kib, sides.map((s) => s.memory().own), { says: "bounded", met: (v) => v < once[0].own * 1.1 + 1024 });
  console.log(missed.length ? `missed: ${missed.length}: ${missed.join("; ")}` : "all budgets are met");
} finally {
  for (const side of sides) await side.end();
}
