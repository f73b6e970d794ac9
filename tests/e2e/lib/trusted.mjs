// A world in which OpenCode has a sandbox, so that it gets copies of what a person accepted.
import fs from "node:fs";
import path from "node:path";
import { makeWorld } from "./prepare-fixtures.mjs";

// The id of what waits, as codevctl writes it back.
export function accept(world, kind) {
  const changes = fs.readFileSync(path.join(world.state, `trust/${kind}.changes`), "utf8");
  fs.writeFileSync(path.join(world.state, `trust/${kind}.asked`), changes.split("\n")[0] + "\n");
  return changes;
}

// A package that is built, and one that is used as it is.
export const BUILT = {
  name: "@opencode/bridge-plugin", version: "1.0.0", type: "module", main: "dist/index.js", scripts: { build: "node build.cjs" },
};
export const PLAIN = { ...BUILT, scripts: {} };

export function makeTrusted(t, options = {}) {
  const world = makeWorld(t, { lock: null, pkg: BUILT, ...options });
  world.state = path.join(world.dir, "state");
  fs.mkdirSync(world.state, { mode: 0o700 });
  world.clone();
  const plain = world.prepare;
  world.prepare = (env) => plain({ CODEV_STATE_DIR: world.state, CODEV_OPENCODE_SANDBOX: "agent", ...env });
  world.entry = () => JSON.parse(world.read("xdg-config/opencode.json")).plugin[0].replace("file://", "");
  world.loaded = () => fs.readFileSync(path.join(world.entry(), "dist/index.js"), "utf8");
  world.config = (name) => path.join(world.runtime, "xdg-config/opencode", name);
  return world;
}
export const put = (file, text) => {
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, text);
};
export const EVIL = 'export const Bridge = async () => ({ evil: "yes" });\n';

// The kernel must separate: without Landlock nothing is asked for.
const probe = makeTrusted({ after() {} });
const on = (await probe.prepare()).code === 0 && fs.existsSync(path.join(probe.state, "trust"));
fs.rmSync(probe.dir, { recursive: true, force: true });
export const skip = on ? false : "needs a kernel with Landlock";
