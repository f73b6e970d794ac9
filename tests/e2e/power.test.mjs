// The power is cut at random moments while people work: the gateway's state lies on an ext4 of its own
// behind a disk with a volatile write cache, which loses what was not flushed, sector by sector by
// chance. People, Slack and OpenCode are outside and remember. After each cut the file system and the
// database are sound, and everything is in Slack exactly once, each prompt and decision reached
// OpenCode exactly once. CODEV_POWER_CUTS sets how often (2; `make soak` 50), CODEV_POWER_SEED repeats.
import test from "node:test";
import assert from "node:assert/strict";
import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { check, makeHouse, startWorld, ways } from "./lib/flows.mjs";
import { databaseProblems, makeDisk, missing } from "./lib/disk.mjs";
import { eventually, random, sleep, tempDir } from "./lib/util.mjs";

const cuts = Number(process.env.CODEV_POWER_CUTS ?? 2);
const seed = Number(process.env.CODEV_POWER_SEED ?? Date.now() % 100000);

test("the power is cut while people work", { skip: missing() || false, timeout: (120 + cuts * 60) * 1000 }, async (t) => {
  const next = random(seed);
  const dir = tempDir("power");
  const world = await startWorld("power");
  const disk = makeDisk(dir, 64);
  const state = path.join(disk.at, "state");
  await disk.on(seed);
  fs.mkdirSync(state, { mode: 0o700 });
  const house = await makeHouse(world, { state, bootId: path.join(dir, "boot_id") });
  t.after(async () => {
    await house.end();
    await disk.end();
    world.stop();
    fs.rmSync(dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  });
  t.diagnostic(`seed ${seed}`);
  const boot = () => fs.writeFileSync(path.join(dir, "boot_id"), `${crypto.randomUUID()}\n`);
  boot();
  await house.start();
  let cached = 0, through = 0, running = 0;

  const cut = async (round) => {
    house.gateway.kill("SIGSTOP"); // nothing leaves it after the cut
    const lost = await disk.cut();
    cached += lost.cached;
    through += lost.through;
    house.gateway.kill("SIGKILL");
    await house.gateway.ended;
    await disk.off();
    await disk.on(seed + round + 1);
    boot();
    assert.equal(databaseProblems(path.join(state, "gateway.db"), dir), "");
    await house.start();
    assert.doesNotMatch(house.gateway.err, /is damaged|cannot be used/);
  };

  for (let round = 0; round < cuts; round++) {
    const begun = Date.now() - 1000;
    const list = ["mention", "reply", "click", "pick", "word"].filter(() => next() < 0.6);
    const one = async (way) => {
      const name = `power-${round}-${way}`;
      const h = Object.assign(Object.create(house), { way, begun, first() {}, anew() {} });
      running++;
      await ways[way].before(h, name);
      await ways[way].after(h, name);
      await (ways[way].check ?? check)(h, name);
      running--;
      return { way, name, h };
    };
    const flows = Promise.allSettled((list.length ? list : ["mention"]).map(one));
    await sleep(next() * 3500);
    await cut(round);
    const ended = await flows;
    const failed = ended.filter((e) => e.status === "rejected").map((e) => e.reason.stack);
    if (failed.length && process.env.CRASH_TEST_LOG) fs.writeFileSync(path.join(process.env.CRASH_TEST_LOG, `power-${round}.log`), [...failed, house.gateway.err, JSON.stringify(await house.all(), null, 1)].join("\n"));
    assert.deepEqual(failed, [], `round ${round} of seed ${seed}`);
    const ids = (await house.all()).map((m) => m.metadata?.event_payload?.id).filter(Boolean);
    assert.equal(new Set(ids).size, ids.length, `each message is there once, round ${round} of seed ${seed}`);
  }
  t.diagnostic(`figure: ${cuts} power cuts; of ${cached} sectors in the disk's cache ${through} got through`);
});
