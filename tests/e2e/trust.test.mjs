// What runs in OpenCode's own process comes from what a person accepted: codev-prepare alone, then
// a whole pod.
import assert from "node:assert/strict";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { test } from "node:test";
import { git, lookIntoOpenCode, tripwire } from "./lib/prepare-fixtures.mjs";
import { startPod } from "./lib/pod.mjs";
import { EVIL, accept, makeTrusted, put, skip } from "./lib/trusted.mjs";
import { BIN, IS_ROOT, OPENCODE, eventually, run, sh, tempDir } from "./lib/util.mjs";

test("the plugin: accepted at first, a change waits and is shown, accepted it counts", { skip }, async (t) => {
  const world = makeTrusted(t);
  const first = await world.prepare();
  assert.equal(first.state, "ready", first.text);
  assert.match(first.text, /the plugin is accepted: found at the first start/);
  assert.ok(world.entry().startsWith(path.join(world.runtime, "xdg-config/codev/plugin-")), world.entry());
  assert.equal(fs.readlinkSync(world.link), world.plugin, "the link leads to the sources");

  put(world.at("src/index.js"), EVIL);
  const wire = tripwire(world);
  const changed = await world.prepare({ PATH: `${wire.PATH}` });
  assert.ok(!wire.touched(), "nothing of it is run, not even its build");
  assert.equal(changed.state, "ready");
  assert.match(changed.trust.plugin, /changed since it was accepted \(1 files changed, 0 added, 0 removed\): codevctl trust plugin/);
  assert.ok(!world.loaded().includes("evil"));

  const shown = accept(world, "plugin");
  assert.match(shown, /changed +\d+ bytes +[0-9a-f]{12} +src\/index.js\n/);
  assert.match(shown, /^\+export const Bridge = async \(\) => \(\{ evil: "yes" \}\);$/m);
  put(world.at("src/index.js"), EVIL + "// once more\n");
  const raced = await world.prepare();
  assert.ok(raced.trust.plugin, "what was accepted is what was shown, and nothing else");
  assert.ok(!world.loaded().includes("evil"));
  accept(world, "plugin");
  const taken = await world.prepare();
  assert.deepEqual(taken.trust, {}, taken.text);
  assert.match(taken.text, /the plugin is accepted: accepted with codevctl trust/);
  assert.ok(world.loaded().includes("once more"));
  assert.equal(fs.readdirSync(path.join(world.state, "trust")).filter((n) => n.startsWith("plugin-")).length, 1);
});

test("what was built is not taken from the agent's hands", { skip }, async (t) => {
  const world = makeTrusted(t);
  await world.prepare();
  const good = world.loaded();
  put(world.at("dist/index.js"), EVIL);
  fs.rmSync(world.at("dist/.codev-stamp"));
  await world.prepare();
  assert.equal(world.loaded(), good, "a bundle alone changes nothing");
  put(world.at("dist/index.js"), EVIL);
  put(world.at("src/index.js"), fs.readFileSync(world.at("src/index.js"), "utf8") + "// mine\n");
  await world.prepare();
  accept(world, "plugin");
  const taken = await world.prepare();
  assert.deepEqual(taken.trust, {}, taken.text);
  assert.match(world.loaded(), /\/\/ mine/, "built anew from what was shown");
});

test("a build that fails leaves the accepted one in use", { skip }, async (t) => {
  const world = makeTrusted(t);
  await world.prepare();
  const good = world.loaded();
  put(world.at("build.cjs"), 'console.error("no such luck"); process.exit(1)');
  await world.prepare();
  accept(world, "plugin");
  const failed = await world.prepare();
  assert.equal(failed.state, "ready");
  assert.match(failed.trust.plugin, /is not taken in: npm run build failed.*no such luck/);
  assert.equal(world.loaded(), good);
});

test("a plugin that appears where none was waits; what plugin.url brings does not", { skip }, async (t) => {
  const world = makeTrusted(t);
  fs.renameSync(world.repo, `${world.repo}.away`);
  assert.equal((await world.prepare()).state, "missing");
  fs.renameSync(`${world.repo}.away`, world.repo);
  const waits = await world.prepare();
  assert.equal(waits.state, "failed");
  assert.match(waits.reason, /codevctl trust plugin/);
  const loaded = JSON.parse(world.read("xdg-config/opencode.json")).plugin.map((entry) => path.basename(entry));
  assert.deepEqual(loaded, ["guard.js"]); // ours, which keeps others out; not the plugin that waits
  fs.rmSync(world.repo, { recursive: true });
  const cloned = await world.prepare({ CODEV_PLUGIN_URL: world.url });
  assert.equal(cloned.state, "ready", cloned.text);
  assert.match(cloned.text, /accepted: cloned from plugin.url/);
});

test("plugin.update: ff is taken in when it is what plugin.url has, and only then", { skip }, async (t) => {
  const world = makeTrusted(t);
  const env = { CODEV_PLUGIN_URL: world.url, CODEV_PLUGIN_UPDATE: "ff" };
  await world.prepare(env);
  const origin = path.join(world.origin, "plugins/opencode-bridge/src/index.js");
  const upstream = (line) => {
    fs.appendFileSync(origin, `// ${line}\n`);
    world.commit(line);
  };
  upstream("second");
  const taken = await world.prepare(env);
  assert.match(taken.text, /accepted: fetched from plugin.url/);
  assert.match(world.loaded(), /\/\/ second/);
  // A change that git is told to overlook, beside a change of the origin.
  put(world.at("package.json"), fs.readFileSync(world.at("package.json"), "utf8") + "\n");
  git(world.repo, "update-index", "--assume-unchanged", "plugins/opencode-bridge/package.json");
  upstream("third");
  const hidden = await world.prepare(env);
  assert.match(hidden.text, /fast-forwarded/);
  assert.ok(hidden.trust.plugin, "not what the origin has");
  assert.ok(!world.loaded().includes("third"));
});

test("plugin.url counts, not what .git/config says", { skip }, async (t) => {
  const world = makeTrusted(t);
  const env = { CODEV_PLUGIN_URL: world.url, CODEV_PLUGIN_UPDATE: "ff" };
  await world.prepare(env);
  const evil = path.join(world.dir, "evil");
  sh("git", ["clone", "-q", world.origin, evil]);
  put(path.join(evil, "plugins/opencode-bridge/src/index.js"), EVIL);
  git(evil, "commit", "-qam", "evil");
  git(world.repo, "remote", "set-url", "origin", `file://${evil}`);
  git(world.repo, "config", `url.file://${evil}.insteadOf`, world.url);
  const result = await world.prepare(env);
  assert.deepEqual(result.trust, {}, result.text);
  assert.ok(!world.loaded().includes("evil"));
});

test("an update stays in the checkout, wherever .git would lead it", { skip }, async (t) => {
  const world = makeTrusted(t);
  const env = { CODEV_PLUGIN_URL: world.url, CODEV_PLUGIN_UPDATE: "ff" };
  await world.prepare(env);
  const upstream = (line) => {
    fs.appendFileSync(path.join(world.origin, "plugins/opencode-bridge/src/index.js"), `// ${line}\n`);
    world.commit(line);
  };
  const other = path.join(world.dir, "other");
  fs.cpSync(world.repo, other, { recursive: true });
  fs.rmSync(path.join(other, ".git"), { recursive: true });
  git(world.repo, "config", "core.worktree", other);
  upstream("second");
  const taken = await world.prepare(env);
  assert.match(taken.text, /fast-forwarded/);
  assert.match(fs.readFileSync(world.at("src/index.js"), "utf8"), /second/);
  assert.ok(!fs.readFileSync(path.join(other, "plugins/opencode-bridge/src/index.js"), "utf8").includes("second"));

  git(world.repo, "config", "--unset", "core.worktree");
  fs.renameSync(path.join(world.repo, ".git"), path.join(world.dir, "moved.git"));
  upstream("third");
  const leads = {
    "a link": () => fs.symlinkSync(path.join(world.dir, "moved.git"), path.join(world.repo, ".git")),
    "a file": () => put(path.join(world.repo, ".git"), `gitdir: ${path.join(world.dir, "moved.git")}\n`),
  };
  for (const [what, lead] of Object.entries(leads)) {
    lead();
    const refused = await world.prepare(env);
    assert.equal(refused.state, "ready", what);
    assert.match(refused.text, /was not updated: .*\.git is not a folder but leads elsewhere/, what);
    assert.ok(!fs.readFileSync(world.at("src/index.js"), "utf8").includes("third"), what);
    fs.rmSync(path.join(world.repo, ".git"));
  }
});

test("what another pod cloned while we waited is not ours", { skip }, async (t) => {
  const world = makeTrusted(t);
  fs.renameSync(world.repo, `${world.repo}.away`);
  await world.prepare(); // there was none: what appears waits
  const lock = path.join(path.dirname(world.repo), ".ai-dev.codev-lock");
  const holder = run("flock", [lock, "sh", "-c", "echo held; read line"], { stdio: ["pipe", "pipe", "pipe"] });
  await eventually("the lock is held", () => holder.out.includes("held"));
  const child = world.start({ CODEV_STATE_DIR: world.state, CODEV_OPENCODE_SANDBOX: "agent", CODEV_PLUGIN_URL: world.url });
  await eventually("it waits", () => child.err.includes("which works on the repository volume"));
  fs.renameSync(`${world.repo}.away`, world.repo);
  holder.stdin.end();
  const { out, err } = await child.ended;
  assert.equal(JSON.parse(out).state, "failed", err);
  assert.match(JSON.parse(out).reason, /codevctl trust plugin/);
});

test("no configuration is one too: what appears later waits", { skip }, async (t) => {
  const world = makeTrusted(t);
  await world.prepare();
  assert.deepEqual((await world.prepare()).trust, {}, "the record of nothing can be read");
  put(path.join(world.home, ".config/opencode/opencode.json"), '{"username":"anna"}');
  assert.match((await world.prepare()).trust.config ?? "", /codevctl trust config/);
});

test("a change behind a forged time is shown with the one that is seen", { skip }, async (t) => {
  const world = makeTrusted(t);
  const file = world.at("src/index.js");
  fs.utimesSync(file, 1e9, 1e9);
  await world.prepare();
  fs.writeFileSync(file, "x".repeat(fs.statSync(file).size));
  fs.utimesSync(file, 1e9, 1e9);
  put(world.at("README"), "seen\n");
  await world.prepare();
  assert.match(accept(world, "plugin"), /changed .* src\/index.js\n/);
});

test("a configuration behind a forged time is seen", { skip }, async (t) => {
  const world = makeTrusted(t);
  const file = path.join(world.home, ".config/opencode/opencode.json");
  put(file, '{"username":"anna"}');
  fs.utimesSync(file, 1e9, 1e9);
  await world.prepare();
  fs.writeFileSync(file, '{"username":"evil"}');
  fs.utimesSync(file, 1e9, 1e9);
  assert.match((await world.prepare()).trust.config ?? "", /1 files changed/);
});

test("a record that cannot be read asks, and only one that is not there is a first start", { skip }, async (t) => {
  const spoil = {
    garbage: (record) => fs.writeFileSync(record, "garbage"),
    "nothing in it": (record) => fs.writeFileSync(record, ""),
    "too long": (record) => fs.truncateSync(record, 9 << 20),
    "no file": (record) => (fs.rmSync(record), fs.mkdirSync(record)),
  };
  for (const [what, change] of Object.entries(spoil)) {
    const world = makeTrusted(t);
    put(path.join(world.home, ".config/opencode/opencode.json"), '{"username":"anna"}');
    await world.prepare();
    for (const kind of ["plugin", "config"]) change(path.join(world.state, `trust/${kind}.accepted`));
    const spoiled = await world.prepare();
    assert.match(spoiled.text, /plugin\.accepted of what was accepted cannot be read .*: asking anew/, what);
    assert.match(spoiled.trust.plugin, /codevctl trust plugin/, what);
    assert.match(spoiled.trust.config, /codevctl trust config/, what);
    if (what === "no file") continue;
    accept(world, "plugin");
    accept(world, "config");
    const taken = await world.prepare();
    assert.deepEqual([taken.state, taken.trust], ["ready", {}], `${what}: ${taken.text}`);
  }
});

test("nothing is taken in while OpenCode may be running", { skip }, async (t) => {
  const world = makeTrusted(t);
  await world.prepare();
  put(world.at("src/index.js"), fs.readFileSync(world.at("src/index.js"), "utf8") + "// mine\n");
  await world.prepare();
  accept(world, "plugin");
  let answer;
  const server = net.createServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", () => answer !== null && socket.end(`${answer}\n`));
  });
  await new Promise((resolve) => server.listen(path.join(world.runtime, "control.sock"), resolve));
  t.after(() => server.close());
  const status = (pid) => JSON.stringify({ services: [{ name: "opencode", pid }] });
  for (answer of [status(7), null, "", "{", '{"error":"busy"}']) {
    const waits = await world.prepare();
    assert.match(waits.trust.plugin ?? "", /is not taken in: OpenCode runs/, `${answer}`);
    assert.equal(/PID 1 does not say whether OpenCode runs/.test(waits.text), answer !== status(7), waits.text);
    assert.ok(!world.loaded().includes("mine"));
  }
  answer = status(null);
  const taken = await world.prepare();
  assert.deepEqual(taken.trust, {}, taken.text);
  assert.match(world.loaded(), /mine/);
});

test("the configuration: copied, a change waits, accepted it counts; the user's own files stay", { skip }, async (t) => {
  const world = makeTrusted(t);
  const own = path.join(world.home, ".config/opencode");
  put(path.join(own, "opencode.json"), `{"username":"anna","plugin":["file://${world.plugin}"]}`);
  put(path.join(own, "AGENTS.md"), "be kind\n");
  put(path.join(world.home, "src/.opencode/plugin/mine.js"), "export const Mine = async () => ({});\n");
  const first = await world.prepare();
  assert.equal(first.state, "ready", first.text);
  assert.match(world.read("opencode.env"), new RegExp(`^XDG_CONFIG_HOME=${world.runtime}/xdg-config$`, "m"));
  assert.match(world.read("opencode.env"), /^CODEV_RESTORE_XDG_CONFIG_HOME=$/m);
  assert.deepEqual(JSON.parse(fs.readFileSync(world.config("opencode.json"), "utf8")), { username: "anna", plugin: [] },
    "the plugin is named by its copy alone");
  assert.equal(fs.readFileSync(world.config("AGENTS.md"), "utf8"), "be kind\n");
  assert.ok(fs.existsSync(world.config("plugin/mine.js")));
  assert.ok(!fs.lstatSync(world.config("AGENTS.md")).isSymbolicLink());

  put(path.join(own, "opencode.json"), '{"permission":"allow"}');
  put(path.join(own, "plugin/evil.js"), EVIL);
  put(path.join(world.home, "src/.opencode/plugin/mine.js"), EVIL);
  fs.rmSync(path.join(own, "AGENTS.md"));
  const changed = await world.prepare();
  assert.match(changed.trust.config, /\(2 files changed, 1 added, 1 removed\): codevctl trust config/);
  assert.ok(!fs.existsSync(world.config("plugin/evil.js")));
  assert.ok(!fs.readFileSync(world.config("plugin/mine.js"), "utf8").includes("evil"));
  assert.equal(JSON.parse(fs.readFileSync(world.config("opencode.json"), "utf8")).username, "anna");
  assert.equal(fs.readFileSync(world.config("AGENTS.md"), "utf8"), "be kind\n");

  const shown = accept(world, "config");
  for (const line of [/^changed .* opencode.json$/m, /^added .* plugin\/evil.js$/m, /^removed .* AGENTS.md$/m, /^\+\{"permission":"allow"\}$/m])
    assert.match(shown, line);
  const taken = await world.prepare();
  assert.deepEqual(taken.trust, {});
  assert.ok(fs.existsSync(world.config("plugin/evil.js")));
  assert.equal(fs.readFileSync(path.join(own, "opencode.json"), "utf8"), '{"permission":"allow"}', "byte for byte");
});

test("the user's OPENCODE_CONFIG is a part of it", { skip }, async (t) => {
  const world = makeTrusted(t);
  const file = path.join(world.home, "src/mine.json");
  const env = { OPENCODE_CONFIG: file };
  put(file, '{"username":"anna"}');
  await world.prepare(env);
  put(file, '{"username":"eve"}');
  const changed = await world.prepare(env);
  assert.ok(changed.trust.config);
  assert.equal(JSON.parse(world.read("xdg-config/opencode.json")).username, "anna");
  accept(world, "config");
  await world.prepare(env);
  assert.equal(JSON.parse(world.read("xdg-config/opencode.json")).username, "eve");
});

test("trust: always, no sandbox, no state folder: taken as it is", async (t) => {
  for (const env of [{ CODEV_TRUST: "always" }, { CODEV_OPENCODE_SANDBOX: "none" }, { CODEV_STATE_DIR: "" }]) {
    const world = makeTrusted(t);
    await world.prepare(env);
    put(world.at("src/index.js"), EVIL);
    const result = await world.prepare(env);
    assert.deepEqual(result.trust, {});
    assert.equal(world.entry(), world.plugin);
    assert.ok(world.loaded().includes("evil"));
  }
});

test("an unchanged plugin and configuration are quick", { skip }, async (t) => {
  const world = makeTrusted(t);
  for (let i = 0; i < 40; i++) put(path.join(world.home, `.config/opencode/agent/a${i}.md`), "x".repeat(2000));
  const wire = tripwire(world);
  await world.prepare();
  const runs = [];
  for (let i = 0; i < 6; i++) {
    const again = await world.prepare({ PATH: wire.PATH });
    runs.push(again.elapsed_ms);
    assert.deepEqual(again.trust, {});
  }
  assert.ok(!wire.touched());
  t.diagnostic(`elapsed_ms: ${runs.join(" ")}`);
});

test("OpenCode loads the copies, once each, at once, offline", { skip }, async (t) => {
  const world = makeTrusted(t);
  put(path.join(world.home, ".config/opencode/plugin/mine.js"),
    'import fs from "node:fs";\nexport const Mine = async () => { fs.appendFileSync(process.env.PLUGIN_LOG, "mine\\n"); return {}; };\n');
  await world.prepare();
  put(path.join(world.home, ".config/opencode/plugin/mine.js"), 'throw new Error("not this one")');
  // As in its sandbox: it may not write there. Nor is there a registry to be asked.
  const seen = await lookIntoOpenCode(world, { env: { OPENCODE_DISABLE_PROJECT_CONFIG: "1" } });
  assert.equal(seen.status, 200, JSON.stringify(seen));
  assert.equal(seen.loads.filter((line) => line === "mine").length, 1, JSON.stringify(seen));
  assert.equal(seen.bridges, 1, JSON.stringify(seen));
  assert.ok(seen.first_ms < 15000, "no install is waited for");
});

test("on a terminal what waits is shown and asked for, and the answer is about what was shown", { skip }, async (t) => {
  const world = makeTrusted(t);
  await world.prepare();
  put(world.at("src/index.js"), fs.readFileSync(world.at("src/index.js"), "utf8") + "// mine \x1b[2J\n");
  await world.prepare();
  const changes = path.join(world.state, "trust/plugin.changes");
  const asked = path.join(world.state, "trust/plugin.asked");
  const id = fs.readFileSync(changes, "utf8").split("\n")[0];
  const server = net.createServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", () => socket.end(`${JSON.stringify({ state_dir: world.state, services: [] })}\n`));
  });
  await new Promise((resolve) => server.listen(path.join(world.runtime, "control.sock"), resolve));
  t.after(() => server.close());
  // script(1) gives it a terminal.
  const answer = async (text, meanwhile = () => {}) => {
    const child = run("script", ["-qec", `${path.join(BIN, "codevctl")} trust plugin`, "/dev/null"],
      { env: world.environment({ TERM: "dumb" }), stdio: ["pipe", "pipe", "pipe"] });
    await eventually("it asks", () => child.out.includes("[y/N]"));
    assert.match(child.out, /^\+\/\/ mine \\x1b\[2J\r?$/m);
    meanwhile();
    child.stdin.end(text);
    return (await child.ended).code;
  };
  for (const no of ["n\n", "\n", "\x04"]) {
    assert.equal(await answer(no), 1, JSON.stringify(no));
    assert.ok(!fs.existsSync(asked));
  }
  // Root in the pod of an ordinary user, whose codev-prepare is to read it.
  if (IS_ROOT) fs.chownSync(path.join(world.state, "trust"), 1000, 1000);
  // Something else waits by the time of the answer: what counts is what was shown.
  const text = fs.readFileSync(changes, "utf8");
  assert.equal(await answer("y\n", () => fs.writeFileSync(changes, text.replace(id, "0".repeat(40)))), 0);
  assert.equal(fs.readFileSync(asked, "utf8"), `${id}\n`);
  assert.equal(fs.statSync(asked).uid, IS_ROOT ? 1000 : process.getuid());
});

// --- a whole pod ---

const podSkip = skip || (IS_ROOT ? false : "needs root for mounts");
const links = async (pod) => JSON.parse((await pod.service("gateway")).notes.links);
const pluginNote = async (pod) => JSON.parse((await pod.service("prepare")).notes.plugin);
const loadedCopies = (pod) => fs.readdirSync(path.join(pod.runtime, "xdg-config/codev"));

test("a pod: what the agent changed waits, codevctl shows it, accepted it is built in npm's sandbox and loaded",
  { skip: podSkip, timeout: 240000 }, async (t) => {
    const pod = await startPod({ volume: "bind" });
    t.after(() => pod.end());
    await pod.ready(60000);
    await eventually("the bridge is connected", async () => (await links(pod)).bridge.connected >= 1, 30000);
    const before = loadedCopies(pod);
    assert.equal(before.length, 1);

    // As the agent: by its own shell, in its sandbox.
    const plugin = path.join(pod.home, "src/repos/ai-dev/plugins/opencode-bridge");
    const call = async (route, body) => {
      const auth = { authorization: await pod.openCodeAuth(), "content-type": "application/json" };
      const response = await fetch(pod.opencode + route, { method: "POST", headers: auth, body: JSON.stringify(body) });
      assert.ok(response.ok, `${route}: ${response.status}`);
      return response.json();
    };
    const session = await call("/session", {});
    const shell = async (script) => {
      fs.writeFileSync(path.join(pod.home, "src/agent.sh"), script);
      return JSON.stringify((await call(`/session/${session.id}/shell`, { agent: "build", command: "sh ~/src/agent.sh" })).parts);
    };
    const build = `const fs=require("fs");const out=[];for(const f of ${JSON.stringify([
      `${pod.home}/.local/state/codev/trust/plugin.asked`, `${pod.runtime}/escaped`,
    ])}){try{fs.writeFileSync(f,"x");out.push("wrote "+f)}catch(e){out.push(e.code)}}` +
      `console.log("ATTEMPT",...out,Object.keys(process.env).filter((k)=>/TOKEN|PASSWORD|SECRETS_FD/.test(k)).length,process.env.HOME);`;
    const said = await shell(`cd '${plugin}' && echo '// agent was here' >> src/index.ts && cat > probe.cjs <<'END'\n${build}\nEND\n` +
      `sed -i 's|"build": "|"build": "node probe.cjs \\&\\& |' package.json`);
    assert.match(fs.readFileSync(path.join(plugin, "package.json"), "utf8"), /node probe.cjs/, said);
    await shell(`mkdir -p "$HOME/.config/opencode/plugin"; echo 'export const X = async () => ({})' > "$HOME/.config/opencode/plugin/x.js"; ` +
      `printf 'x\\033[8m\\r\\342\\200\\256\\n' > "$HOME/.config/opencode/agent.md"; ` +
      `mkdir -p "$HOME/.opencode/plugin"; echo x > "$HOME/.opencode/plugin/x.js"; echo x > "${pod.runtime}/xdg-config/opencode/x"; true`);
    assert.ok(!fs.existsSync(path.join(pod.home, ".opencode/plugin")), "OpenCode loads from there without asking");
    assert.ok(!fs.existsSync(path.join(pod.runtime, "xdg-config/opencode/x")));

    await pod.ctl("restart", "prepare");
    const note = await eventually("the change is said", async () => {
      const now = await pluginNote(pod);
      return now.trust?.plugin && now;
    }, 30000);
    assert.match(note.trust.plugin, /2 files changed, 1 added, 0 removed/);
    assert.match(note.trust.config, /0 files changed, 2 added, 0 removed/);
    assert.deepEqual(loadedCopies(pod), before);
    assert.match((await pod.ctl("status")).out, /waits: the plugin changed since it was accepted/);
    const shown = await pod.ctl("trust");
    assert.equal(shown.code, 1);
    assert.match(shown.out, /^\+\/\/ agent was here$/m);
    assert.match(shown.out, /added .* plugin\/x\.js/);
    assert.match(shown.out, /^\+x\\x1b\[8m\\x0d\\u\{202e\}$/m);

    assert.ok(!/[\x00-\x08\x0b-\x1f\x7f]/.test(shown.out), "no control character reaches the terminal");
    const id = /codevctl trust plugin ([0-9a-f]{40})$/m.exec(shown.out)[1];

    // Nothing is accepted but what was named, and nothing is done for anything else.
    const opencode = (await pod.service("opencode")).pid;
    for (const [args, code] of [[["plugin"], 2], [["plugin", "0".repeat(40)], 1], [["plugin", id.slice(0, 12)], 1], [["all", id], 2]])
      assert.equal((await pod.ctl("trust", ...args, "--now")).code, code, args.join(" "));
    assert.ok(!fs.existsSync(path.join(pod.home, ".local/state/codev/trust/plugin.asked")));
    assert.equal((await pod.service("opencode")).pid, opencode);

    // Who asked for it may go away at once.
    const asking = pod.exec(path.join(BIN, "codevctl"), ["trust", "plugin", id, "--now"]);
    await eventually("it says that it is at work", () => asking.out.includes("goes on by itself"));
    for (const pid of fs.readFileSync(`/proc/${asking.pid}/task/${asking.pid}/children`, "utf8").trim().split(" "))
      process.kill(Number(pid), "SIGKILL");
    await asking.ended;
    const left = await eventually("it is taken in all the same", async () => {
      const now = JSON.parse((await pod.ctl("trust", "--json")).out);
      return now.plugin.state === "accepted" && now;
    }, 60000);
    assert.equal(left.config.state, "changed", "only what was named");
    await pod.ready(60000);
    assert.notEqual((await pod.service("opencode")).pid, opencode);
    assert.equal(loadedCopies(pod).length, 2);
    assert.match(pod.log, new RegExp(`ATTEMPT EACCES EACCES 0 ${pod.home}/.local/state/codev/build/home`));
    assert.ok(!fs.existsSync(path.join(pod.home, ".local/state/codev/build")));
    await eventually("the bridge is connected again", async () => (await links(pod)).bridge.connected >= 1, 30000);
  });

test("an OpenCode that is known to be broken is not started, and is when told so", { skip: podSkip, timeout: 120000 }, async (t) => {
  // The real one, that gives itself out for another.
  const dir = tempDir("version");
  const program = path.join(dir, "opencode");
  fs.writeFileSync(program, `#!/bin/sh\n[ "$1" = --version ] && { (ls "$HOME/.local/state/codev/"; cat "$HOME/.local/state/codev/opencode-password") >"$HOME/src/saw" 2>&1; echo 2.0.1; exit; }\nexec '${OPENCODE}' "$@"\n`, { mode: 0o755 });
  t.after(() => fs.rmSync(dir, { recursive: true, force: true }));
  const pod = await startPod({
    plugin: "none", volume: "bind", env: { OPENCODE_BIN: program },
  });
  t.after(() => pod.end());
  const opencode = await eventually("it is stopped", async () => {
    const s = await pod.service("opencode");
    return s.state === "stopped" && s;
  }, 30000);
  assert.match(opencode.notes.version, /^2\.0\.1: known to be broken, OpenCode 2 has/);
  // Asked in its sandbox: names of files it sees, what is in them it does not.
  const saw = fs.readFileSync(path.join(pod.home, "src/saw"), "utf8");
  assert.match(saw, /opencode-password: Permission denied\n$/, saw);
  assert.match(pod.log, /is not started; `codevctl start opencode` starts it all the same/);
  assert.match((await pod.ctl("status")).out, /^opencode 2\.0\.1: known to be broken/m);
  await pod.ctl("start", "opencode");
  await pod.ready(60000);
});
