// The table of crash points (bridge/gateway/core/crash.h), point by point and way by way: the gateway
// is killed right there and started again. After that every message is in Slack exactly once, every
// prompt and every decision reached OpenCode exactly once. Each case has a workspace and a gateway of
// its own; an OpenCode serves one case after the other, because the gateway sees all that goes on there.
import test, { after, before, describe } from "node:test";
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { BIN, run, sh } from "./lib/util.mjs";
import { check, makeHouse, startWorld, ways } from "./lib/flows.mjs";

const AT_ONCE = 3;
let free = []; // worlds that no case has just now

async function runCase(point, way) {
  const name = `${point}-${way}`.replaceAll(".", "-");
  const world = free.pop();
  const h = await makeHouse(world);
  Object.assign(h, { point, way, begun: Date.now() - 1000, prompts: point === "session.created" });
  try {
    if (!ways[way].starts) await h.start(point);
    await ways[way].before(h, name);
    await h.died();
    await ways[way].away?.(h, name);
    await h.start();
    await ways[way].after(h, name);
    await (ways[way].check ?? check)(h, name);
  } catch (e) {
    if (process.env.CRASH_TEST_LOG) fs.writeFileSync(path.join(process.env.CRASH_TEST_LOG, `${name}.log`), `${e.stack}\n${h.gateway?.err}\n${JSON.stringify(await h.all(), null, 1)}\n${JSON.stringify(await h.slack.control("calls"), null, 1)}`);
    throw e;
  } finally {
    await h.end();
    free.push(world);
  }
}

const table = sh(path.join(BIN, "codev-gateway"), ["--crash-points"])
  .trim()
  .split("\n")
  .map((line) => line.split("\t"));

describe("killed at each point of the table", { concurrency: AT_ONCE, timeout: process.env.CODEV_CRASH_ALL ? 3000000 : 600000 }, () => {
  before(async () => {
    free = await Promise.all(Array.from({ length: AT_ONCE }, () => startWorld("crash")));
  });
  after(() => free.forEach((world) => world.stop()));
  const whole = process.env.CODEV_CRASH_ALL;
  for (const [point, list, truth] of table) {
    // `make check` goes the first way of each point, another with each, `make soak` all of them.
    const known = list.split(" ").filter((way) => ways[way]);
    for (const way of whole ? known : known.slice(0, 1)) test(`${point} (${truth}), by ${way}`, () => runCase(point, way));
  }
  test("a point that nobody knows is refused", async () => {
    const env = { PATH: process.env.PATH, CODEV_GATEWAY_LISTEN: "127.0.0.1", CODEV_STATE_DIR: free[0].dir };
    for (const more of [{ CODEV_CRASH_AT: "nowhere" }, { CODEV_CRASH_AT: "inbound.stored", CODEV_SERVICE: "gateway" },
      { CODEV_CRASH_AT: "inbound.stored", CODEV_GATEWAY_LISTEN: "0.0.0.0" }]) {
      const { code, err } = await run(path.join(BIN, "codev-gateway"), [], { env: { ...env, ...more } }).ended;
      assert.equal(code, 78, JSON.stringify(more));
      assert.match(err, /CODEV_CRASH_AT/);
    }
  });
});
