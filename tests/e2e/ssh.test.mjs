// plugin.url by ssh: a key from plugin.token_file, and a host that is known.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { makeWorld } from "./lib/prepare-fixtures.mjs";
import { makeKey, startSshServer } from "./lib/ssh.mjs";

async function makeSshWorld(t, options) {
  const world = makeWorld(t, { lock: null, pkg: { name: "@opencode/bridge-plugin", version: "1.0.0", type: "module", main: "src/index.js" } });
  const key = makeKey(world.dir, "key", options?.args);
  const server = await startSshServer(world, { host: makeKey(world.dir, "host"), allowed: key, ...options });
  t.after(() => server.stop());
  const env = { CODEV_PLUGIN_URL: server.url, CODEV_PLUGIN_TOKEN_FILE: key };
  const trust = (file = `${path.join(world.dir, "host")}.pub`) => {
    fs.mkdirSync(path.join(world.home, ".ssh"), { recursive: true });
    const [type, data] = fs.readFileSync(file, "utf8").split(" ");
    fs.writeFileSync(path.join(world.home, ".ssh/known_hosts"), `[127.0.0.1]:${server.port} ${type} ${data}\n`);
  };
  return { world, server, env, key, trust };
}
const leftovers = (world) => fs.readdirSync(path.join(world.home, "src/repos")).filter((name) => name !== ".ai-dev.codev-lock");

test("ssh: cloned with the key of plugin.token_file from a known host", async (t) => {
  const { world, server, env, key, trust } = await makeSshWorld(t);
  trust();
  const result = await world.prepare(env);
  assert.equal(result.state, "ready", result.text);
  assert.deepEqual([...new Set(server.seen.users)], ["git"]);
  const secret = fs.readFileSync(key, "utf8").split("\n")[1];
  assert.ok(!(result.err + JSON.stringify(result)).includes(secret), "the key is nowhere to be read");
  fs.appendFileSync(path.join(world.origin, "plugins/opencode-bridge/src/index.js"), "// second\n");
  world.commit("second");
  assert.match((await world.prepare({ ...env, CODEV_PLUGIN_UPDATE: "ff" })).text, /fast-forwarded/);
});

test("ssh: a host that is not known, or has another key, gets nothing", async (t) => {
  const { world, server, env, trust } = await makeSshWorld(t);
  const unknown = await world.prepare(env);
  assert.equal(unknown.state, "failed");
  assert.match(unknown.reason, /unknown remote ssh hostkey: is its key in ~\/.ssh\/known_hosts\?/);
  trust(`${makeKey(world.dir, "other")}.pub`);
  const other = await world.prepare(env);
  assert.equal(other.state, "failed");
  assert.match(other.reason, /unknown remote ssh hostkey: is its key in ~\/.ssh\/known_hosts\?/);
  assert.deepEqual(server.seen, { users: [], commands: [], refused: 0 }, "no key was even offered");
  assert.deepEqual(leftovers(world), []);
});

test("ssh: a key that the host refuses, and none at all", async (t) => {
  const { world, env, trust } = await makeSshWorld(t);
  trust();
  const refused = await world.prepare({ ...env, CODEV_PLUGIN_TOKEN_FILE: makeKey(world.dir, "wrong") });
  assert.equal(refused.state, "failed");
  assert.match(refused.reason, /cannot clone .*(credentials|authenticat|publickey)/i);
  const none = await world.prepare({ ...env, CODEV_PLUGIN_TOKEN_FILE: "" });
  assert.equal(none.state, "failed");
  assert.match(none.reason, /set plugin\.token_file/);
  assert.deepEqual(leftovers(world), []);
});

test("ssh: a host that says nothing ends at the timeout, and leaves no half clone", async (t) => {
  const { world, env, trust } = await makeSshWorld(t, { stall: true });
  trust();
  const result = await world.prepare({ ...env, CODEV_PLUGIN_TIMEOUT_MS: "3000" });
  assert.equal(result.state, "failed");
  assert.match(result.reason, /took longer than plugin\.timeout/);
  assert.deepEqual(leftovers(world), []);
});
