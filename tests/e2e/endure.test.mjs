// What ten hours bring, in a moment: connection refreshes with and without a warning, connections that
// are reset, a network that stalls, 429s, envelopes that come again under new ids, while people write
// and decide in several sessions. At the end everything is there exactly once, no envelope found the
// gateway without a connection but where the network was to blame, and its memory has not grown.
// CODEV_ENDURE_SECONDS sets how long (10; `make soak` 600), CODEV_ENDURE_SEED repeats a run.
import test from "node:test";
import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { makeHouse, startWorld } from "./lib/flows.mjs";
import { eventually, random, sleep } from "./lib/util.mjs";

const seconds = Number(process.env.CODEV_ENDURE_SECONDS ?? 10);
const seed = Number(process.env.CODEV_ENDURE_SEED ?? Date.now() % 100000);
const PEOPLE = 3; // each with a session of their own
const HEALS_MS = 12000; // after the network was to blame: the back-off, on a busy machine
const GROWTH_KB = 6144;

// In ten hours: how many, at least. A short run has them all, too, only closer together.
const METHODS = ["chat.postMessage", "chat.update", "views.publish", "conversations.replies", "apps.connections.open"];
const troubles = {
  refresh: { times: 12, do: (h) => h.slack.control("disconnect", { reason: "refresh_requested", close_ms: 2000 }) },
  warning: { times: 6, do: (h) => h.slack.control("disconnect", { reason: "warning", warning_ms: 700, close_ms: 1500 }) },
  limited: {
    times: 20,
    do: (h, next) => h.slack.control("fail", { method: METHODS[Math.floor(next() * METHODS.length)], status: 429, retry_after: 1 }),
  },
  again: {
    times: 10,
    async do(h, next) {
      const events = (await h.slack.control("envelopes?type=events_api")).filter((e) => e.outcome === "acked").slice(-20);
      const some = events[Math.floor(next() * events.length)];
      if (some) await h.slack.control("redeliver", { event_id: some.meta.event_id });
    },
  },
  reset: { times: 4, blame: true, do: (h) => h.slack.control("drop", {}) },
  stall: { times: 1, blame: true, do: (h) => h.slack.control("partition", { mode: "blackhole", ms: 1500 }) },
  refused: { times: 1, blame: true, do: (h) => h.slack.control("partition", { mode: "refuse", ms: 1500 }) },
};

const rss = (pid) => Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${pid}/status`, "utf8"))[1]);

test("ten hours of refreshes, resets, stalls and limits", { timeout: (seconds + 300) * 1000 }, async (t) => {
  const next = random(seed);
  const world = await startWorld("endure");
  const house = await makeHouse(world);
  // What was said of it all, when it fails after many minutes.
  const kept = path.join(os.tmpdir(), `codev-endure-${seed}`);
  const keep = async () => {
    const slack = { envelopes: await house.slack.control("envelopes"), violations: await house.slack.control("violations"), connections: await house.slack.control("connections"), messages: await house.all() };
    fs.mkdirSync(kept, { recursive: true });
    fs.writeFileSync(path.join(kept, "slack.json"), JSON.stringify(slack, null, 1));
    fs.writeFileSync(path.join(kept, "gateway.log"), house.gateway.err);
    t.diagnostic(`kept in ${kept}`);
  };
  let well = false;
  t.after(async () => {
    if (!well) await keep().catch((error) => t.diagnostic(`nothing is kept: ${error.message}`));
    await house.end();
    world.stop();
  });
  t.diagnostic(`seed ${seed}, ${seconds} s`);
  await house.slack.control("config", { ackTimeoutMs: 3000, retryScheduleMs: [300, 1500, 4000, 8000] });
  await house.start();

  const begun = Date.now();
  const over = () => Date.now() - begun > seconds * 1000;
  const blamed = [];
  const counts = Object.fromEntries(Object.keys(troubles).map((k) => [k, 0]));
  // Evenly by chance, so that all of them fit; a longer run has as many more.
  const trouble = async ([name, { times, blame, do: it }]) => {
    const wanted = Math.max(times, Math.round((times * seconds) / 60));
    for (let n = 0; n < wanted; n++) {
      const due = begun + ((n + next()) / wanted) * seconds * 1000;
      await sleep(Math.max(0, due - Date.now()));
      if (blame) blamed.push(Date.now());
      await it(house, next);
      counts[name]++;
    }
  };

  const said = []; // each text is one prompt, and one answer
  const ran = []; // each of these files gets one line
  let warm;
  const person = async (who) => {
    const root = await house.say(`<@U0BOT000001> @@text Begun ${who}.`);
    said.push(`Begun ${who}.`);
    const posted = (text) => eventually(`"${text}" is posted`, async () => (await house.all()).some((m) => m.text === text), 90000);
    await posted(`Begun ${who}.`);
    for (let i = 0; !over(); i++) {
      const name = `endure-${who}-${i}`;
      const text = i % 4 === 3 ? `Ready ${name}.` : `Said ${name}.`;
      if (i % 4 === 3) {
        await house.say(`please\n@@tool bash ${JSON.stringify({ command: `echo x >> ${name}`, description: "T" })}\n@@then\n@@text Ready ${name}.`, root.ts);
        await house.click(await house.waiting(name));
        ran.push(name);
      } else {
        await house.say(`@@text ${text}`, root.ts);
      }
      said.push(text);
      await posted(text);
      if (i === 2) warm ??= rss(house.gateway.pid);
    }
  };
  await Promise.all([...Object.entries(troubles).map(trouble), ...Array.from({ length: PEOPLE }, (_, i) => person(`p${i}`))]);
  const end = Date.now();

  // Everything is there, once.
  const bot = (await house.all()).filter((m) => m.user === "U0BOT000001");
  const ids = bot.map((m) => m.metadata?.event_payload?.id).filter(Boolean);
  assert.equal(new Set(ids).size, ids.length, "each message is there once");
  for (const text of said) assert.equal(bot.filter((m) => m.text === text).length, 1, text);
  for (const name of ran) assert.equal(fs.readFileSync(`${world.project}/${name}`, "utf8"), "x\n", name);
  let prompts = 0;
  for (const s of await world.api("/session?roots=true&limit=300"))
    prompts += (await world.api(`/session/${s.id}/message?limit=2000`)).filter((m) => m.info.role === "user").length;
  assert.equal(prompts, said.length, "each message was one prompt");

  // No gap: each envelope was acknowledged within 3 s on some connection, but near what was the network's.
  // Nor can there be a connection where Slack itself gave no address for one.
  for (const c of await house.slack.control("calls?method=apps.connections.open")) if (c.error === "ratelimited") blamed.push(c.at);
  const envelopes = await house.slack.control("envelopes");
  const near = (at) => blamed.some((b) => at > b - 4000 && at < b + HEALS_MS);
  // A round trip is no gap: the fake sends nothing new to a connection that it asked to go.
  const { downtime } = await house.slack.control("connections");
  const roundTrip = (at) => downtime.some((d) => d.ms <= 1000 && at >= d.from && at <= d.to);
  const late = envelopes.filter((e) => e.outcome && e.outcome !== "acked" && !near(e.at) && !roundTrip(e.at));
  assert.deepEqual(late.map((e) => [e.outcome, e.at - begun, e.meta]), [], "without a connection, or late");
  assert.deepEqual(downtime.filter((d) => d.ms > 1000 && d.from > begun && d.from < end && !near(d.from)), [], "a gap");
  const grown = rss(house.gateway.pid) - (warm ?? rss(house.gateway.pid));
  assert.ok(grown < GROWTH_KB, `memory grew by ${grown} KiB`);
  well = true;
  t.diagnostic(`figure: ${JSON.stringify(counts)}, ${envelopes.length} envelopes, ${said.length} prompts, ${ran.length} decisions; memory ${grown} KiB more`);
});
