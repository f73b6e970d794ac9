// The plugin's sources change while the pod runs.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { startPod } from "./lib/pod.mjs";
import { IS_ROOT, eventually } from "./lib/util.mjs";

const skip = IS_ROOT ? false : "needs root for mounts";
const start = (reload) =>
  startPod({ volume: "bind", config: (c) => ({ ...c, trust: "always", plugin: { ...c.plugin, reload } }) });
const bridges = async (pod) => JSON.parse((await pod.service("gateway")).notes.links).bridge.connected;
const append = (pod, text) => fs.appendFileSync(path.join(pod.plugin, "src/index.ts"), `${text}\n`);

test("idle: built anew, and OpenCode restarted once no session is busy; a failing build costs nothing", { skip, timeout: 180000 }, async (t) => {
  const pod = await start("idle");
  t.after(() => pod.end());
  await pod.ready(60000);
  await eventually("the bridge is connected", async () => (await bridges(pod)) >= 1, 30000);
  const first = (await pod.service("opencode")).pid;
  append(pod, "export const broken = ;");
  await eventually("said", () => /the changed plugin cannot be used: OpenCode goes on/.test(pod.log), 60000);
  assert.equal((await pod.service("opencode")).pid, first);

  const source = path.join(pod.plugin, "src/index.ts");
  fs.writeFileSync(source, fs.readFileSync(source, "utf8").replace("export const broken = ;\n", ""));
  fs.appendFileSync(source, 'process.emitWarning("codev reload test");\n');
  await eventually("another OpenCode", async () => {
    const now = (await pod.service("opencode")).pid;
    return now > 0 && now !== first;
  }, 90000);
  await pod.ready(60000);
  assert.match(pod.log, /OpenCode is restarted once no session is busy/);
  assert.match(fs.readFileSync(path.join(pod.plugin, "dist/index.js"), "utf8"), /codev reload test/);
  await eventually("the bridge is connected again", async () => (await bridges(pod)) >= 1, 30000);
});

test("notify: built anew and said; a bundle that does not load is not taken for good", { skip, timeout: 180000 }, async (t) => {
  const pod = await start("notify");
  t.after(() => pod.end());
  await pod.ready(60000);
  const first = (await pod.service("opencode")).pid;
  append(pod, 'throw new Error("not today");');
  await eventually("said", () => /the changed plugin does not load .*not today.*OpenCode goes on/.test(pod.log), 60000);
  const source = path.join(pod.plugin, "src/index.ts");
  fs.writeFileSync(source, fs.readFileSync(source, "utf8").replace('throw new Error("not today");\n', "globalThis.codev = 1;\n"));
  await eventually("said", () => /built anew: codevctl restart opencode loads it/.test(pod.log), 60000);
  assert.equal((await pod.service("opencode")).pid, first);
});
