// What is built from an accepted change is built from what was shown, by what the agent cannot
// touch: not from its files, with its npm, by its settings.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { git, tripwire } from "./lib/prepare-fixtures.mjs";
import { BUILT, EVIL, PLAIN, accept, makeTrusted, put, skip } from "./lib/trusted.mjs";
import { IS_ROOT, eventually } from "./lib/util.mjs";

const needsMounts = IS_ROOT ? false : "needs root for mounts";

// Changed, shown, accepted: what the next run takes in. `change` is the person's own.
async function accepted(t, options, change = (world) => fs.appendFileSync(world.at("src/index.js"), "// mine\n")) {
  const world = makeTrusted(t, options);
  const first = await world.prepare();
  assert.equal(first.state, "ready", first.text);
  change(world);
  await world.prepare();
  world.shown = accept(world, "plugin");
  return world;
}
const trusted = (world) => ({ CODEV_STATE_DIR: world.state, CODEV_OPENCODE_SANDBOX: "agent" });

test("what is changed while it is built is not in it", { skip }, async (t) => {
  // The build waits: that is when the agent writes.
  const build = `const fs=require("fs");fs.writeFileSync(process.env.HOME+"/../building","");
    for(const end=Date.now()+20000;fs.existsSync(${JSON.stringify("WAIT")})&&Date.now()<end;);
    fs.mkdirSync("dist",{recursive:true});fs.copyFileSync("src/index.js","dist/index.js");`;
  const world = await accepted(t, {}, (w) => {
    put(w.at("build.cjs"), build.replace("WAIT", path.join(w.dir, "wait")));
    fs.writeFileSync(path.join(w.dir, "wait"), "");
  });
  const child = world.start(trusted(world));
  await eventually("it builds", () => child.err.includes("running npm run build"));
  put(world.at("src/index.js"), EVIL);
  put(world.at("dist/index.js"), EVIL);
  fs.rmSync(path.join(world.dir, "wait"));
  await child.ended;
  assert.ok(!world.loaded().includes("evil"), "built from what was shown");
  const after = await world.prepare();
  assert.match(after.trust.plugin ?? "", /1 files changed/, "and what was written meanwhile waits");
  assert.ok(!world.loaded().includes("evil"));
});

test("nothing that lay in dist or node_modules before is in it", { skip }, async (t) => {
  const world = await accepted(t, {});
  put(world.at("dist/extra.js"), EVIL);
  put(world.at("node_modules/planted/index.js"), EVIL);
  const taken = await world.prepare();
  assert.deepEqual(taken.trust, {}, taken.text);
  assert.match(world.loaded(), /mine/);
  assert.deepEqual(fs.readdirSync(path.join(world.entry(), "dist")).filter((n) => !n.startsWith(".")), ["index.js"]);
  assert.ok(!fs.existsSync(path.join(world.entry(), "node_modules/planted")));
});

test("without a build script dist is a source: shown, and needs no npm", { skip }, async (t) => {
  const world = makeTrusted(t, { pkg: PLAIN });
  put(world.at("dist/index.js"), "export const Bridge = async () => ({});\n");
  const wire = tripwire(world);
  assert.equal((await world.prepare()).state, "ready");
  put(world.at("dist/index.js"), EVIL);
  const changed = await world.prepare({ PATH: wire.PATH });
  assert.match(changed.trust.plugin ?? "", /1 files changed/, changed.text);
  assert.match(accept(world, "plugin"), /^\+export const Bridge = async \(\) => \(\{ evil/m);
  assert.ok(!world.loaded().includes("evil"));
  const taken = await world.prepare({ PATH: wire.PATH });
  assert.deepEqual(taken.trust, {}, taken.text);
  assert.match(world.loaded(), /evil/);
  assert.ok(!wire.touched());
});

test("neither the agent's npm nor its npmrc shapes the build", { skip }, async (t) => {
  const world = await accepted(t, {});
  const mark = path.join(world.dir, "started");
  const tool = (file) => {
    put(file, `#!/bin/sh\necho "$0" >>'${mark}'\nexec /bin/sh -c "$3"\n`);
    fs.chmodSync(file, 0o755);
  };
  for (const name of ["npm", "node"]) tool(path.join(world.home, ".local/bin", name));
  tool(path.join(world.home, "shell"));
  put(path.join(world.home, ".npmrc"), `script-shell=${world.home}/shell\n`);
  const PATH = `${world.home}/.local/bin:${process.env.PATH}`;
  const taken = await world.prepare({ PATH });
  assert.deepEqual(taken.trust, {}, taken.text);
  assert.ok(!fs.existsSync(mark), fs.existsSync(mark) && fs.readFileSync(mark, "utf8"));
  assert.match(world.loaded(), /mine/);
});

test("where npm lies in the agent's folders alone, that is said and the accepted plugin stays", { skip }, async (t) => {
  const world = await accepted(t, {});
  const bin = path.join(world.home, ".local/bin");
  fs.mkdirSync(bin, { recursive: true });
  for (const name of ["npm", "node"]) fs.symlinkSync(path.join(path.dirname(process.execPath), name), path.join(bin, name));
  const good = world.loaded();
  const result = await world.prepare({ PATH: bin });
  assert.equal(result.state, "ready");
  assert.match(result.trust.plugin, /there is no node that is closed to the agent: .*\.local\/bin/);
  assert.equal(world.loaded(), good);
});

test("links stay inside, and a program stays a program", { skip }, async (t) => {
  const world = await accepted(t, {}, (w) => {
    put(w.at("package.json"), JSON.stringify({ ...BUILT, scripts: { build: "./build.sh" } }));
    put(w.at("build.sh"), "#!/bin/sh\nmkdir -p dist && cp src/alias.js dist/index.js\n");
    fs.chmodSync(w.at("build.sh"), 0o755);
    fs.symlinkSync("index.js", w.at("src/alias.js"));
  });
  const taken = await world.prepare();
  assert.deepEqual(taken.trust, {}, taken.text);
  put(path.join(world.dir, "secret"), "the secret\n");
  fs.symlinkSync(path.join(world.dir, "secret"), world.at("src/out.js"));
  await world.prepare();
  assert.ok(!accept(world, "plugin").includes("the secret"));
  const refused = await world.prepare();
  assert.match(refused.trust.plugin, /src\/out\.js.*leads out of the plugin/);
});

test("a folder that leads to a read-only one makes nothing the operator's", { skip: skip || needsMounts }, async (t) => {
  const world = makeTrusted(t);
  await world.prepare();
  // A mounted Secret: read-only, and closed to the agent.
  const secret = path.join(world.dir, "secret");
  put(path.join(secret, "..1/token"), "the token\n");
  fs.symlinkSync("..1", path.join(secret, "..data"));
  fs.symlinkSync("..data/token", path.join(secret, "token.md"));
  fs.mkdirSync(path.join(world.home, ".config/opencode"), { recursive: true });
  fs.symlinkSync(secret, path.join(world.home, ".config/opencode/agent"));
  const mount = `mount --bind '${secret}' '${secret}'; mount -o remount,ro,bind '${secret}'`;
  const result = await world.prepareMounted(mount, trusted(world));
  assert.match(result.trust.config ?? "", /codevctl trust config/, result.text);
  assert.ok(!fs.existsSync(world.config("agent/token.md")));
});

test("a mounted ConfigMap is the operator's, and what is gone is not", { skip: skip || needsMounts }, async (t) => {
  const world = makeTrusted(t);
  const own = path.join(world.home, ".config/opencode");
  const map = path.join(world.dir, "map");
  const file = path.join(world.dir, "one.md");
  put(path.join(map, "..1/opencode.json"), '{"username":"anna"}');
  fs.symlinkSync("..1", path.join(map, "..data"));
  fs.symlinkSync("..data/opencode.json", path.join(map, "opencode.json"));
  put(file, "one\n");
  put(path.join(own, "agent/one.md"), "");
  put(path.join(world.home, "src/.opencode/agent/two.md"), "two\n");
  const ro = (from, to) => `mount --bind '${from}' '${to}'; mount -o remount,ro,bind '${to}';`;
  // The folder, and (Kubernetes' subPath) one file of another.
  for (const mount of [ro(map, own), ro(file, path.join(own, "agent/one.md"))]) {
    await world.prepareMounted(mount, trusted(world));
    fs.writeFileSync(path.join(map, "..1/opencode.json"), `{"username":"${mount.length}"}`);
    fs.appendFileSync(file, "more\n");
    const taken = await world.prepareMounted(mount, trusted(world));
    assert.deepEqual(taken.trust, {}, taken.text);
    assert.match(taken.text, /configuration is accepted: on a read-only volume/);
    fs.rmSync(path.join(world.state, "trust"), { recursive: true });
  }
  await world.prepareMounted(ro(map, own), trusted(world));
  fs.rmSync(path.join(world.home, "src/.opencode/agent/two.md"));
  const gone = await world.prepareMounted(ro(map, own), trusted(world));
  assert.match(gone.trust.config ?? "", /0 added, 1 removed/);
});

test("a commondir, and links inside .git, lead no update elsewhere", { skip }, async (t) => {
  const world = makeTrusted(t);
  const env = { CODEV_PLUGIN_URL: world.url, CODEV_PLUGIN_UPDATE: "ff" };
  await world.prepare(env);
  const other = path.join(world.dir, "other.git");
  fs.cpSync(path.join(world.repo, ".git"), other, { recursive: true });
  const before = JSON.stringify(fs.readdirSync(other, { recursive: true }).sort());
  fs.appendFileSync(path.join(world.origin, "plugins/opencode-bridge/src/index.js"), "// second\n");
  world.commit("second");
  const leads = {
    commondir: () => put(path.join(world.repo, ".git/commondir"), other),
    objects: () => (fs.renameSync(path.join(world.repo, ".git/objects"), path.join(world.dir, "o")), fs.symlinkSync(path.join(other, "objects"), path.join(world.repo, ".git/objects"))),
    refs: () => (fs.renameSync(path.join(world.repo, ".git/refs/remotes"), path.join(world.dir, "r")), fs.symlinkSync(path.join(other, "refs/remotes"), path.join(world.repo, ".git/refs/remotes"))),
  };
  const back = {
    commondir: () => fs.rmSync(path.join(world.repo, ".git/commondir")),
    objects: () => (fs.rmSync(path.join(world.repo, ".git/objects")), fs.renameSync(path.join(world.dir, "o"), path.join(world.repo, ".git/objects"))),
    refs: () => (fs.rmSync(path.join(world.repo, ".git/refs/remotes")), fs.renameSync(path.join(world.dir, "r"), path.join(world.repo, ".git/refs/remotes"))),
  };
  for (const what of Object.keys(leads)) {
    leads[what]();
    const refused = await world.prepare(env);
    assert.match(refused.text, /was not updated: .*leads elsewhere/, what);
    assert.equal(JSON.stringify(fs.readdirSync(other, { recursive: true }).sort()), before, what);
    back[what]();
  }
  assert.match((await world.prepare(env)).text, /fast-forwarded/);
  assert.equal(git(world.repo, "status", "--porcelain").trim(), "");
});
