// codev-prepare on real git repositories, the real npm and the real OpenCode.
import assert from "node:assert/strict";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { describe, test } from "node:test";
import {
  PACKAGE, PLUGIN, PREPARE, canIsolate, git, lookIntoOpenCode, makeWorld, processesOf, startGitServer, tripwire, writePlugin,
} from "./lib/prepare-fixtures.mjs";
import { IS_ROOT, eventually, run, sh } from "./lib/util.mjs";

const INSTALL_STAMP = "node_modules/.codev-stamp";
const BUILD_STAMP = "dist/.codev-stamp";
const exists = (file) => fs.lstatSync(file, { throwIfNoEntry: false }) !== undefined;

// A clone, installed and built.
async function readyWorld(t, options) {
  const world = makeWorld(t, options);
  world.clone();
  const first = await world.prepare();
  assert.equal(first.state, "ready", first.text);
  return world;
}

function assertNotReady(world, result, state, reason) {
  assert.equal(result.code, 0, "degradation is no failure");
  assert.equal(result.state, state);
  assert.match(result.reason, reason);
  assert.match(result.text, /⚠️/);
  assert.ok(!/OPENCODE_CONFIG=/.test(world.read("opencode.env")), "OpenCode is told of no plugin");
}

describe("from nothing to ready", () => {
  test("no checkout, no node_modules, no dist: cloned, installed, built, linked, named", async (t) => {
    const world = makeWorld(t);
    const result = await world.prepare({ CODEV_PLUGIN_URL: world.url });
    assert.equal(result.code, 0);
    assert.equal(result.state, "ready", result.text);
    assert.equal(result.path, world.plugin);
    assert.equal(result.commit, git(world.origin, "rev-parse", "HEAD").trim());
    for (const line of [
      "🔌 Checking for OpenCode bridge plugin...",
      `✅ Found plugin at: ${world.plugin}`,
      "🔧 Setting up OpenCode bridge plugin...",
      "✅ Bridge plugin configured and ready",
    ])
      assert.ok(result.log.includes(line), line);
    assert.equal(fs.readlinkSync(world.link), world.plugin);
    assert.ok(exists(world.at(BUILD_STAMP)) && exists(world.at(INSTALL_STAMP)));
    assert.deepEqual(JSON.parse(world.read("xdg-config/opencode.json")).plugin, [`file://${world.plugin}`]);
    assert.match(world.read("opencode.env"), new RegExp(`^OPENCODE_CONFIG=${world.runtime}/xdg-config/opencode.json$`, "m"));
    assert.equal(git(world.repo, "status", "--porcelain").trim(), "", "the checkout stays clean");
  });

  test("the second run starts nothing and is quick", async (t) => {
    const world = await readyWorld(t);
    const wire = tripwire(world);
    const runs = [];
    // Right after the first run files are too young for the shortcut: that run reads them.
    for (let i = 0; i < 6; i++) runs.push(await world.prepare({ PATH: wire.PATH, CODEV_PLUGIN_URL: world.url }));
    for (const again of runs) {
      assert.equal(again.state, "ready", again.text);
      assert.ok(!/npm /.test(again.text));
    }
    assert.ok(!wire.touched(), "npm, node and git were not started");
    t.diagnostic(`elapsed_ms: ${runs.map((r) => r.elapsed_ms).join(" ")}`);
  });

  test("an unchanged plugin's files are not even read", async (t) => {
    const world = await readyWorld(t);
    // What is younger than a second is read: here everything is old.
    for (const name of fs.readdirSync(world.plugin, { recursive: true }))
      if (!/^(node_modules|dist)/.test(name) && fs.lstatSync(world.at(name)).isFile()) fs.utimesSync(world.at(name), 1e9, 1e9);
    await world.prepare(); // the files changed: built, and written down
    const atime = () => fs.statSync(world.at("src/index.js")).atimeMs;
    await world.prepare();
    fs.utimesSync(world.at("src/index.js"), 1, 1e9); // read by anybody, it would be newer
    if ((fs.readFileSync(world.at("src/index.js")), atime() < 2000)) return t.skip("this file system keeps no times of access");
    fs.utimesSync(world.at("src/index.js"), 1, 1e9);
    assert.equal((await world.prepare()).state, "ready");
    assert.ok(atime() < 2000, "it was read");
  });

  test("over https with a token and a CA of its own", async (t) => {
    const world = makeWorld(t);
    const server = await startGitServer(world, { token: "s3cret-token" });
    t.after(() => server.stop());
    const base = { CODEV_PLUGIN_URL: server.url };

    const untrusted = await world.prepare({ ...base, CODEV_GIT_TOKEN: "s3cret-token" });
    assertNotReady(world, untrusted, "failed", /cannot clone .*(certificate|SSL|TLS)/i);
    assert.ok(!server.seen.some(Boolean), "no token to a server that is not trusted");

    const wrong = await world.prepare({ ...base, CODEV_PLUGIN_CA_FILE: server.ca, CODEV_GIT_TOKEN: "wrong-token" });
    assertNotReady(world, wrong, "failed", /cannot clone/);
    const none = await world.prepare({ ...base, CODEV_PLUGIN_CA_FILE: server.ca });
    assertNotReady(world, none, "failed", /credentials/);
    assert.deepEqual(fs.readdirSync(path.join(world.home, "src/repos")), [".ai-dev.codev-lock"]);

    const file = path.join(world.dir, "token");
    fs.writeFileSync(file, "s3cret-token\n");
    const good = await world.prepare({ ...base, CODEV_PLUGIN_CA_FILE: server.ca, CODEV_PLUGIN_TOKEN_FILE: file });
    assert.equal(good.state, "ready", good.text);
    for (const each of [untrusted, wrong, none, good])
      assert.ok(!/s3cret|wrong-token/.test(each.err + JSON.stringify(each)), "the token is nowhere to be read");
    assert.ok(!fs.readFileSync(path.join(world.repo, ".git/config"), "utf8").includes("s3cret"));
  });

  test("a token is never sent without TLS, and a URL's password is not shown", async (t) => {
    const world = makeWorld(t);
    const asked = [];
    const server = net.createServer((socket) =>
      socket.on("error", () => {}).once("data", (data) => {
        asked.push(String(data));
        socket.end('HTTP/1.1 401 no\r\nwww-authenticate: Basic realm="x"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n');
      }));
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    t.after(() => server.close());
    const url = `http://127.0.0.1:${server.address().port}/origin`;
    const result = await world.prepare({ CODEV_PLUGIN_URL: url, CODEV_GIT_TOKEN: "s3cret-token" });
    assertNotReady(world, result, "failed", /https only/);
    assert.ok(asked.length > 0 && !asked.some((text) => /authorization/i.test(text)));
    const shown = await world.prepare({ CODEV_PLUGIN_URL: "https://joe:hunter2@127.0.0.1:9/x" });
    assert.equal(shown.state, "failed");
    assert.ok(!shown.err.includes("hunter2") && !shown.reason.includes("hunter2"));
  });

  test("without a lock file: npm install, and the checkout stays clean", async (t) => {
    const world = makeWorld(t, { lock: null });
    const result = await world.prepare({ CODEV_PLUGIN_URL: world.url });
    assert.equal(result.state, "ready", result.text);
    assert.match(result.text, /running npm install/);
    assert.ok(!exists(world.at("package-lock.json")));
    assert.ok(exists(world.at("node_modules/dep")));
  });

  test("nothing there and no url; a repository without the plugin", async (t) => {
    const world = makeWorld(t, { plugin: false });
    const nothing = await world.prepare();
    assertNotReady(world, nothing, "missing", /codevctl plugin install/);
    const without = await world.prepare({ CODEV_PLUGIN_URL: world.url });
    assertNotReady(world, without, "missing", /no plugin at .*codevctl plugin install/);
    const off = await world.prepare({ CODEV_PLUGIN_PATH: "" });
    assertNotReady(world, off, "disabled", /plugin.path is empty/);
  });

  test("the supervisor is told", async (t) => {
    const world = await readyWorld(t);
    const lines = [];
    const server = net.createServer((socket) =>
      socket.on("data", (data) => {
        lines.push(String(data).trim());
        socket.end('{"ok":true}\n');
      }));
    await new Promise((resolve) => server.listen(path.join(world.runtime, "control.sock"), resolve));
    t.after(() => server.close());
    const result = await world.prepare();
    assert.equal(lines.length, 1);
    const [command, service, key, text] = lines[0].split(" ");
    assert.deepEqual([command, service, key], ["annotate", "prepare", "plugin"]);
    const told = JSON.parse(decodeURIComponent(text));
    assert.equal(told.state, "ready");
    assert.equal(told.path, world.plugin);
    assert.equal(told.commit, result.commit);
    assert.equal(typeof told.elapsed_ms, "number");
  });
});

describe("only what changed is done", () => {
  const ran = (result) => result.log.filter((line) => line.startsWith("running ")).map((line) => line.slice(8));

  test("sources, lock file, node_modules, dist", async (t) => {
    const world = await readyWorld(t);
    const touched = new Date(Date.now() + 5000);
    fs.utimesSync(world.at("src/index.js"), touched, touched);
    assert.deepEqual(ran(await world.prepare()), [], "touched, but the same");
    fs.appendFileSync(world.at("src/index.js"), "// more\n");
    assert.deepEqual(ran(await world.prepare()), ["npm run build"]);
    fs.rmSync(world.at("dist"), { recursive: true });
    assert.deepEqual(ran(await world.prepare()), ["npm run build"]);
    fs.rmSync(world.at("node_modules"), { recursive: true });
    assert.deepEqual(ran(await world.prepare()), ["npm ci"]);
    fs.appendFileSync(world.at("package-lock.json"), "\n");
    assert.deepEqual(ran(await world.prepare()), ["npm ci", "npm run build"]);
    fs.rmSync(world.at("dist/index.js"));
    assert.deepEqual(ran(await world.prepare()), ["npm run build"], "a stamp alone proves nothing");
    assert.deepEqual(ran(await world.prepare()), []);
  });

  test("a copied checkout is not built again", async (t) => {
    const world = await readyWorld(t);
    sh("cp", ["-a", world.repo, `${world.repo}-2`]);
    fs.rmSync(world.repo, { recursive: true });
    fs.renameSync(`${world.repo}-2`, world.repo);
    const wire = tripwire(world);
    assert.equal((await world.prepare({ PATH: wire.PATH })).state, "ready");
    assert.ok(!wire.touched());
  });

  test("a spoiled stamp is no stamp", async (t) => {
    const world = await readyWorld(t);
    for (const text of ["", "codev-stamp 1 5\0garbage\0", "codev-stamp 1 5\0", "\0".repeat(300)]) {
      fs.writeFileSync(world.at(BUILD_STAMP), text);
      assert.deepEqual(ran(await world.prepare()), ["npm run build"]);
    }
  });
});

describe("degradation", () => {
  test("a failing build, then a mended one", async (t) => {
    const world = makeWorld(t, { build: 'console.error("src/index.js: boom at line 3"); process.exit(3);' });
    world.clone();
    assertNotReady(world, await world.prepare(), "failed", /npm run build failed \(exit \d+\): .*boom at line 3/);
    assert.ok(!exists(world.at(BUILD_STAMP)));
    assert.ok(!exists(world.link));
    writePlugin(world.plugin);
    assert.equal((await world.prepare()).state, "ready");
    fs.writeFileSync(world.at("build.cjs"), "process.exit(1)");
    assertNotReady(world, await world.prepare(), "failed", /npm run build failed/);
    assert.ok(!exists(path.join(world.runtime, "xdg-config/opencode.json")), "what named the plugin is gone");
  });

  test("a build that makes no main", async (t) => {
    const world = makeWorld(t, { build: 'require("fs").mkdirSync("dist",{recursive:true})' });
    world.clone();
    assertNotReady(world, await world.prepare(), "failed", /dist\/index.js is not there after the build/);
    assert.ok(!exists(world.at(BUILD_STAMP)));
  });

  test("npm can't be reached, npm is not there", async (t) => {
    const pkg = { ...PACKAGE, dependencies: { "left-out": "1.0.0" } };
    const world = makeWorld(t, { pkg, lock: null });
    world.clone();
    const dead = { npm_config_registry: "http://127.0.0.1:9/", npm_config_fetch_retries: "0" };
    assertNotReady(world, await world.prepare(dead), "failed", /npm install failed.*(ECONNREFUSED|127\.0\.0\.1:9)/);
    assert.ok(!exists(world.at(INSTALL_STAMP)));
    assertNotReady(world, await world.prepare({ PATH: "/nowhere" }), "failed", /npm is not installed/);
  });

  const broken = [
    ["not JSON", '{"name": "x",', /package.json: not valid JSON/],
    ["no object", "[]", /package.json is not a JSON object/],
    ["main outside", '{"main": "../../x.js"}', /"main" must be a path inside the plugin/],
    ["empty", "", /package.json/],
  ];
  for (const [name, pkg, reason] of broken)
    test(`invalid package.json: ${name}`, async (t) => {
      const world = makeWorld(t, { pkg });
      world.clone();
      assertNotReady(world, await world.prepare(), "failed", reason);
    });

  test("the plugin folder is a file; so is the checkout", async (t) => {
    const world = makeWorld(t);
    world.clone();
    fs.rmSync(world.plugin, { recursive: true });
    fs.writeFileSync(world.plugin, "not a folder");
    assertNotReady(world, await world.prepare(), "failed", /is a file, not a plugin folder/);
    fs.rmSync(world.repo, { recursive: true });
    fs.writeFileSync(world.repo, "");
    assertNotReady(world, await world.prepare({ CODEV_PLUGIN_URL: world.url }), "failed", /is a file, not a checkout/);
  });

  test("everything npm starts ends at the timeout", async (t) => {
    const build = `require("child_process").spawn("sleep", ["300"]); setInterval(() => {}, 1000);`;
    const world = makeWorld(t, { build });
    world.clone();
    const result = await world.prepare({ CODEV_PLUGIN_TIMEOUT_MS: "3000" });
    assertNotReady(world, result, "failed", /npm run build took longer than plugin.timeout/);
    assert.ok(result.elapsed_ms >= 2900 && result.elapsed_ms < 6000, `${result.elapsed_ms} ms`);
    await eventually("nothing of it runs", () => processesOf(world).length === 0, 3000);
  });

  test("npm runs without secrets", async (t) => {
    const world = makeWorld(t, {
      build: `const fs=require("fs");fs.writeFileSync("../../../env.json",JSON.stringify(process.env));
        fs.mkdirSync("dist",{recursive:true});fs.copyFileSync("src/index.js","dist/index.js");`,
    });
    world.clone();
    const secret = "sup3r-s3cret";
    const names = ["SLACK_BOT_TOKEN", "CODEV_GIT_TOKEN", "OPENCODE_SERVER_PASSWORD", "CODEV_TOKEN", "ANTHROPIC_API_KEY",
      "AWS_SECRET_ACCESS_KEY", "npm_config_//registry.example/:_authToken"];
    const result = await world.prepare(Object.fromEntries(names.map((name) => [name, secret])));
    assert.equal(result.state, "ready", result.text);
    const env = JSON.parse(fs.readFileSync(path.join(world.home, "src/repos/env.json"), "utf8"));
    assert.ok(!JSON.stringify(env).includes(secret));
    assert.equal(env.CI, "1");
    assert.equal(env.HOME, world.home);
  });
});

describe("killed half-way", () => {
  const slowBuild = `const fs=require("fs");fs.mkdirSync("dist",{recursive:true});
    fs.writeFileSync("dist/index.js","half");
    if(!fs.existsSync("../../../go"))setTimeout(()=>{},300000);
    else fs.copyFileSync("src/index.js","dist/index.js");`;

  test("kill -9 of codev-prepare in a build: no stamp, no process, no lock; built again", async (t) => {
    const world = makeWorld(t, { build: slowBuild });
    world.clone();
    const child = world.start();
    await eventually("the build is half-way", () => exists(world.at("dist/index.js")));
    child.kill("SIGKILL");
    await child.ended;
    await eventually("the build is gone too", () => processesOf(world, "build.cjs").length === 0, 5000);
    assert.ok(!exists(world.at(BUILD_STAMP)));
    fs.writeFileSync(path.join(world.home, "src/repos/go"), "");
    const again = await world.prepare({ CODEV_PLUGIN_TIMEOUT_MS: "20000" });
    assert.equal(again.state, "ready", again.text);
    assert.notEqual(fs.readFileSync(world.at("dist/index.js"), "utf8"), "half");
  });

  test("kill -9 of npm in a build", async (t) => {
    const world = makeWorld(t, { build: slowBuild });
    world.clone();
    const child = world.start();
    await eventually("the build is half-way", () => exists(world.at("dist/index.js")));
    const keeper = fs.readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8").trim();
    const npm = fs.readFileSync(`/proc/${keeper}/task/${keeper}/children`, "utf8").trim();
    process.kill(Number(npm), "SIGKILL");
    const { out } = await child.ended;
    assert.match(JSON.parse(out).reason, /npm run build failed \(signal 9\)/);
    assert.ok(!exists(world.at(BUILD_STAMP)));
    assert.equal(processesOf(world, "build.cjs").length, 0);
    fs.writeFileSync(path.join(world.home, "src/repos/go"), "");
    assert.equal((await world.prepare()).state, "ready");
  });

  test("a spoiled dist is not taken for the old good one when the sources go back", async (t) => {
    const world = await readyWorld(t);
    const good = fs.readFileSync(world.at("build.cjs"), "utf8");
    fs.writeFileSync(world.at("build.cjs"), slowBuild);
    const child = world.start();
    await eventually("the build is half-way", () => fs.readFileSync(world.at("dist/index.js"), "utf8") === "half");
    child.kill("SIGKILL");
    await child.ended;
    fs.writeFileSync(world.at("build.cjs"), good);
    assert.equal((await world.prepare()).state, "ready");
    assert.notEqual(fs.readFileSync(world.at("dist/index.js"), "utf8"), "half");
  });

  test("kill -9 in an install: installed again", async (t) => {
    const scripts = { ...PACKAGE.scripts, install: "test -e ../../../go || sleep 300" };
    const world = makeWorld(t, { pkg: { ...PACKAGE, scripts } });
    world.clone();
    const child = world.start();
    await eventually("node_modules is half-way", () => exists(world.at("node_modules/dep")));
    child.kill("SIGKILL");
    await child.ended;
    assert.ok(!exists(world.at(INSTALL_STAMP)));
    fs.writeFileSync(path.join(world.home, "src/repos/go"), "");
    const again = await world.prepare();
    assert.equal(again.state, "ready", again.text);
    assert.match(again.text, /running npm ci/);
  });

  // A repository of some size, so that a stalled answer leaves part of a pack behind.
  function bigWorld(t) {
    const world = makeWorld(t);
    for (let i = 0; i < 40; i++)
      fs.writeFileSync(path.join(world.origin, `noise-${i}`), Buffer.from(Array.from({ length: 20000 }, () => Math.random() * 256)));
    world.commit("noise");
    return world;
  }

  test("kill -9 in a clone: the half clone never has the name, and goes at the next start", async (t) => {
    const world = bigWorld(t);
    const server = await startGitServer(world, { stall: 300000 });
    t.after(() => server.stop());
    const half = path.join(world.home, "src/repos/.ai-dev.codev-clone");
    const child = world.start({ CODEV_PLUGIN_URL: server.url, CODEV_PLUGIN_CA_FILE: server.ca });
    await eventually("part of the pack is here", () =>
      fs.readdirSync(path.join(half, ".git/objects/pack")).some((name) => fs.statSync(path.join(half, ".git/objects/pack", name)).size > 0));
    child.kill("SIGKILL");
    await child.ended;
    assert.ok(exists(half) && !exists(world.repo));
    const without = await world.prepare();
    assert.equal(without.state, "missing");
    assert.match(without.text, /removed a half clone/);
    assert.ok(!exists(half));
    assert.equal((await world.prepare({ CODEV_PLUGIN_URL: world.url })).state, "ready");
  });

  test("a clone that stalls ends at the timeout", async (t) => {
    const world = bigWorld(t);
    const server = await startGitServer(world, { stall: 300000 });
    t.after(() => server.stop());
    const env = { CODEV_PLUGIN_URL: server.url, CODEV_PLUGIN_CA_FILE: server.ca, CODEV_PLUGIN_TIMEOUT_MS: "2500" };
    const result = await world.prepare(env);
    assertNotReady(world, result, "failed", /cloning .* took longer than plugin.timeout/);
    assert.ok(result.elapsed_ms < 5000);
    assert.deepEqual(fs.readdirSync(path.join(world.home, "src/repos")), [".ai-dev.codev-lock"]);
  });
});

test("a long clone shows its progress, at most a line a second", async (t) => {
  const world = makeWorld(t);
  for (let i = 0; i < 40; i++)
    fs.writeFileSync(path.join(world.origin, `noise-${i}`), Buffer.from(Array.from({ length: 20000 }, () => Math.random() * 256)));
  world.commit("noise");
  const server = await startGitServer(world, { pace: 30 });
  t.after(() => server.stop());
  const begun = Date.now();
  const result = await world.prepare({ CODEV_PLUGIN_URL: server.url, CODEV_PLUGIN_CA_FILE: server.ca });
  assert.equal(result.state, "ready", result.text);
  const lines = result.log.filter((line) => /^clone: received \d+ of \d+ objects, \d+ KiB$/.test(line));
  assert.ok(lines.length >= 1 && lines.length <= (Date.now() - begun) / 1000, lines.join("; "));
});

describe("update: ff", () => {
  const ff = { CODEV_PLUGIN_UPDATE: "ff" };

  test("clean: forwarded and built anew; never: left alone", async (t) => {
    const world = await readyWorld(t);
    fs.appendFileSync(path.join(world.origin, PLUGIN, "src/index.js"), "// v2\n");
    fs.writeFileSync(path.join(world.origin, PLUGIN, "new file.txt"), "x");
    world.commit("v2");
    const left = await world.prepare();
    assert.notEqual(left.commit, git(world.origin, "rev-parse", "HEAD").trim());
    const result = await world.prepare(ff);
    assert.equal(result.state, "ready");
    assert.equal(result.commit, git(world.origin, "rev-parse", "HEAD").trim());
    assert.match(result.text, /fast-forwarded/);
    assert.match(fs.readFileSync(world.at("dist/index.js"), "utf8"), /v2/);
    assert.equal(git(world.repo, "status", "--porcelain").trim(), "");
    assert.match((await world.prepare(ff)).text, /up to date/);
  });

  const notes = {
    "a dirty checkout": [(w) => fs.appendFileSync(path.join(w.repo, "README.md"), "mine\n"), /uncommitted changes/],
    "own commits": [
      (w) => {
        fs.writeFileSync(path.join(w.repo, "mine"), "x");
        git(w.repo, "add", "-A");
        git(w.repo, "commit", "-q", "-m", "mine");
      },
      /commits that origin\/main has not/,
    ],
    "another branch": [(w) => git(w.repo, "checkout", "-q", "-b", "feature"), /not on branch main/],
    "a detached HEAD": [(w) => git(w.repo, "checkout", "-q", "--detach"), /not on branch main/],
    "an origin that is gone": [(w) => fs.renameSync(w.origin, `${w.origin}-gone`), /not updated: cannot fetch/],
    "a shallow clone": [
      (w) => {
        for (const name of ["b", "c"]) (fs.writeFileSync(path.join(w.origin, name), ""), w.commit(name));
        fs.rmSync(path.join(w.repo, ".git"), { recursive: true });
        sh("git", ["clone", "-q", "--bare", "--depth", "1", "--no-single-branch", w.url, path.join(w.repo, ".git")]);
        git(w.repo, "config", "core.bare", "false");
        git(w.repo, "reset", "-q");
      },
      /shallow clone, which can only be updated by hand/,
    ],
    "no repository": [(w) => fs.rmSync(path.join(w.repo, ".git"), { recursive: true }), /no git checkout/],
  };
  for (const [name, [change, note]] of Object.entries(notes))
    test(`${name}: used as it is, with a note`, async (t) => {
      const world = await readyWorld(t);
      fs.appendFileSync(path.join(world.origin, "README.md"), "theirs\n");
      world.commit("theirs");
      change(world);
      const before = fs.readFileSync(path.join(world.repo, "README.md"), "utf8");
      const result = await world.prepare(ff);
      assert.equal(result.state, "ready", result.text);
      assert.match(result.notes.join("\n"), note);
      assert.equal(fs.readFileSync(path.join(world.repo, "README.md"), "utf8"), before);
    });

  test("an update that was killed half-way is finished; a person's change beside it is kept", async (t) => {
    const world = await readyWorld(t);
    fs.appendFileSync(path.join(world.origin, "README.md"), "v2\n");
    fs.writeFileSync(path.join(world.origin, "other"), "v2\n");
    world.commit("v2");
    const head = git(world.origin, "rev-parse", "HEAD").trim();
    // As a kill between the first file and the branch leaves it.
    const halfWay = () => {
      git(world.repo, "fetch", "-q");
      fs.writeFileSync(path.join(world.repo, "README.md"), "ai-dev\nv2\n");
      fs.writeFileSync(path.join(world.repo, ".git/codev-update"), head);
      fs.writeFileSync(path.join(world.repo, ".git/index.lock"), "");
    };
    halfWay();
    const result = await world.prepare(ff);
    assert.equal(result.commit, head, result.text);
    assert.equal(git(world.repo, "status", "--porcelain").trim(), "");
    git(world.repo, "reset", "-q", "--hard", "HEAD~1");
    halfWay();
    fs.appendFileSync(path.join(world.repo, "README.md"), "mine\n");
    const kept = await world.prepare(ff);
    assert.match(kept.notes.join("\n"), /uncommitted changes/);
    assert.match(fs.readFileSync(path.join(world.repo, "README.md"), "utf8"), /mine/);
  });
});

describe("several on one volume", () => {
  for (const cloned of [false, true])
    test(`three at once ${cloned ? "on a checkout" : "with no checkout"}: one works, all end ready`, async (t) => {
      const world = makeWorld(t);
      if (cloned) world.clone();
      const env = (n) => ({ CODEV_PLUGIN_URL: world.url, CODEV_RUNTIME_DIR: path.join(world.dir, `run-${n}`) });
      const results = await Promise.all([1, 2, 3].map((n) => world.prepare(env(n))));
      for (const result of results) assert.equal(result.state, "ready", result.text);
      const count = (line) => results.filter((r) => r.log.includes(line)).length;
      assert.equal(count("running npm ci"), 1);
      assert.equal(count("running npm run build"), 1);
      assert.ok(results.some((r) => /waiting for .* process \d+, which works on/.test(r.text)));
    });

  test("who waits goes on when the holder is killed", async (t) => {
    const build = `const fs=require("fs");fs.mkdirSync("dist",{recursive:true});fs.writeFileSync("dist/index.js","half");
      const wait=()=>fs.existsSync("../../../go")?fs.copyFileSync("src/index.js","dist/index.js"):setTimeout(wait,50);wait();`;
    const world = makeWorld(t, { build });
    world.clone();
    const pod = (n) => world.start({ CODEV_RUNTIME_DIR: path.join(world.dir, `run-${n}`) });
    const holder = pod(1);
    await eventually("the holder's build is half-way", () => exists(world.at("dist/index.js")));
    const waiter = pod(2);
    await eventually("the other one waits", () => /waiting for .* process \d+, which works on/.test(waiter.err));
    holder.kill("SIGKILL");
    fs.writeFileSync(path.join(world.home, "src/repos/go"), "");
    const { out, err } = await waiter.ended;
    assert.equal(JSON.parse(out).state, "ready", err);
    assert.notEqual(fs.readFileSync(world.at("dist/index.js"), "utf8"), "half");
    assert.deepEqual(processesOf(world), []);
  });

  test("a lock that is kept too long ends in a reason", async (t) => {
    const world = makeWorld(t, { build: 'setTimeout(()=>{},300000)' });
    world.clone();
    const holder = world.start({ CODEV_RUNTIME_DIR: path.join(world.dir, "run-2") });
    await eventually("the holder builds", () => processesOf(world, "build.cjs").length > 0);
    const result = await world.prepare({ CODEV_PLUGIN_TIMEOUT_MS: "600" });
    assertNotReady(world, result, "failed", /process \d+ kept the repository volume's lock too long/);
    holder.kill("SIGTERM");
    await holder.ended;
    await eventually("its build ends with it", () => processesOf(world, "build.cjs").length === 0, 5000);
  });
});

describe("the link", () => {
  test("a folder, a file and a wrong link in its place", async (t) => {
    const world = await readyWorld(t);
    fs.rmSync(world.link);
    fs.mkdirSync(world.link);
    fs.writeFileSync(path.join(world.link, "mine"), "kept");
    const folder = await world.prepare();
    assert.equal(fs.readlinkSync(world.link), world.plugin);
    assert.match(folder.notes.join("\n"), /moved to .*\.replaced-by-codev-1/);
    assert.equal(fs.readFileSync(`${world.link}.replaced-by-codev-1/mine`, "utf8"), "kept");
    fs.rmSync(world.link);
    fs.writeFileSync(world.link, "a file");
    await world.prepare();
    assert.equal(fs.readFileSync(`${world.link}.replaced-by-codev-2`, "utf8"), "a file");
    fs.rmSync(world.link);
    fs.symlinkSync("/nowhere", world.link);
    await world.prepare();
    assert.equal(fs.readlinkSync(world.link), world.plugin);
  });

  test("--watch puts it back", async (t) => {
    const world = await readyWorld(t);
    const watch = world.start({}, ["--watch"]);
    t.after(() => watch.kill("SIGKILL"));
    await eventually("it watches", () => /watching the plugin link/.test(watch.err));
    const back = (what) =>
      eventually(what, () => exists(world.link) && fs.readlinkSync(world.link) === world.plugin, 5000);
    fs.rmSync(world.link);
    await back("the link is back");
    fs.rmSync(path.join(world.home, ".config/opencode/node_modules"), { recursive: true });
    await back("the link is back after npm's pruning");
    fs.renameSync(path.join(world.home, ".config/opencode"), path.join(world.home, ".config/old"));
    await back("the link is back after the whole folder");
    fs.rmSync(world.link);
    fs.mkdirSync(world.link);
    await back("a folder in its place is moved aside");
    await eventually("it said so", () => watch.err.split("put the plugin link back").length === 5);
    watch.kill("SIGTERM");
    await watch.ended;
  });
});

describe("OpenCode", { skip: canIsolate ? false : "needs OpenCode and a network namespace" }, () => {
  const put = (file, text) => {
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, text);
  };
  const globalConfig = (world, name = "opencode.jsonc") => path.join(world.home, ".config/opencode", name);

  test("loads the plugin exactly once, at once, offline", async (t) => {
    const world = await readyWorld(t);
    const seen = await lookIntoOpenCode(world);
    assert.equal(seen.bridges, 1, JSON.stringify(seen));
    assert.deepEqual(seen.config.plugin, [`file://${world.plugin}`]);
    assert.ok(seen.first_ms < 5000, `${seen.first_ms} ms`);
    t.diagnostic(`first request: ${seen.first_ms} ms`);
    assert.equal(fs.readlinkSync(world.link), world.plugin, "OpenCode left the link alone");
  });

  test("user keys and comments stay, byte for byte", async (t) => {
    const world = makeWorld(t);
    const text = '// mine\n{\n  "$schema": "https://opencode.ai/config.json",\n  "username": "joe", /* me */\n  "plugin": [],\n}\n';
    put(globalConfig(world), text);
    await world.prepare({ CODEV_PLUGIN_URL: world.url });
    const seen = await lookIntoOpenCode(world);
    assert.equal(seen.bridges, 1, JSON.stringify(seen));
    assert.equal(seen.config.username, "joe");
    assert.equal(fs.readFileSync(globalConfig(world), "utf8"), text);
  });

  const forms = {
    "its URL": (w) => [`file://${w.plugin}`],
    "its path": (w) => [w.plugin],
    "its path with a slash": (w) => [`${w.plugin}/`],
    "its main file": (w) => [`file://${w.plugin}/dist/index.js`],
    "the link": (w) => [`file://${w.link}`],
    "its URL with options": (w) => [[`file://${w.plugin}`, { a: 1 }]],
    "a relative path": (w) => [path.relative(path.dirname(globalConfig(w)), w.plugin).replace(/^(?!\.)/, "./")],
  };
  for (const [name, form] of Object.entries(forms))
    test(`the user names the plugin himself, by ${name}: once`, async (t) => {
      const world = await readyWorld(t);
      put(globalConfig(world), JSON.stringify({ $schema: "https://opencode.ai/config.json", plugin: form(world) }));
      const result = await world.prepare();
      assert.equal(result.state, "ready");
      const seen = await lookIntoOpenCode(world);
      assert.equal(seen.bridges, 1, JSON.stringify(seen));
      assert.equal(seen.config.plugin.length, 1);
    });

  test("the unpublished bare name: said, and still once", async (t) => {
    const world = await readyWorld(t);
    put(globalConfig(world), '{"$schema":"https://opencode.ai/config.json","plugin":["@opencode/bridge-plugin"]}');
    const result = await world.prepare();
    assert.match(result.notes.join("\n"), /nobody has published/);
    const seen = await lookIntoOpenCode(world);
    assert.equal(seen.bridges, 1, JSON.stringify(seen));
    assert.ok(seen.first_ms < 15000, `${seen.first_ms} ms`);
  });

  test("the user's own OPENCODE_CONFIG: both count, his file is untouched", async (t) => {
    const world = await readyWorld(t);
    const mine = path.join(world.dir, "mine/my.jsonc");
    put(path.join(world.dir, "mine/own.js"), 'import fs from "node:fs"; export const Own = async () => { fs.appendFileSync(process.env.PLUGIN_LOG, "own\\n"); return {}; };');
    put(path.join(world.dir, "mine/name.txt"), "joe");
    const text = '{ // mine\n "plugin": ["./own.js"], "username": "{file:./name.txt}" }';
    put(mine, text);
    const env = { OPENCODE_CONFIG: mine };
    assert.equal((await world.prepare(env)).state, "ready");
    const seen = await lookIntoOpenCode(world, { env });
    assert.equal(seen.bridges, 1, JSON.stringify(seen));
    assert.equal(seen.loads.filter((line) => line === "own").length, 1);
    assert.equal(seen.config.username, "joe");
    assert.equal(fs.readFileSync(mine, "utf8"), text);
    assert.equal(fs.statSync(path.join(world.runtime, "xdg-config/opencode.json")).mode & 0o777, 0o600);
  });

  test("OPENCODE_CONFIG that only OpenCode can read, and a broken one", async (t) => {
    const world = await readyWorld(t);
    const mine = path.join(world.dir, "my.json");
    const env = { OPENCODE_CONFIG: mine, SNAP: "false" };
    put(mine, '{"$schema":"https://opencode.ai/config.json","username":"joe","snapshot":{env:SNAP}}');
    await world.prepare(env);
    const unclear = await lookIntoOpenCode(world, { env });
    assert.equal(unclear.bridges, 1, JSON.stringify(unclear));
    assert.equal(unclear.config.username, "joe");
    put(mine, '{"username": ');
    const result = await world.prepare(env);
    assert.match(result.notes.join("\n"), /my.json is not valid JSON \(line 1, column \d+\)/);
    const broken = await lookIntoOpenCode(world, { env });
    assert.equal(broken.bridges, 1, JSON.stringify(broken));
    assert.equal(fs.readFileSync(mine, "utf8"), '{"username": ');
  });

  const invalid = {
    "no JSON": ['{\n  "plugin": [\n', /opencode.json is not valid JSON \(line \d+, column \d+\)/],
    "a wrong type": ['{"$schema":"x","username": 5}', /"username" has the wrong type/],
    "a missing {file:}": ['{"$schema":"x","username": "{file:./gone}"}', /\{file:.\/gone\} cannot be read/],
    "an array": ["[]", /is not a JSON object/],
  };
  for (const [name, [text, reason]] of Object.entries(invalid))
    test(`an invalid global config (${name}): left alone, reported, steered around`, async (t) => {
      const world = await readyWorld(t);
      put(globalConfig(world, "opencode.json"), text);
      const result = await world.prepare();
      assert.equal(result.state, "ready");
      assert.match(result.notes.join("\n"), reason);
      const seen = await lookIntoOpenCode(world);
      assert.ok(seen.up, JSON.stringify(seen));
      assert.equal(seen.bridges, 1);
      assert.equal(fs.readFileSync(globalConfig(world, "opencode.json"), "utf8"), text);
      fs.rmSync(globalConfig(world, "opencode.json"));
      await world.prepare();
      assert.ok(!/XDG_CONFIG_HOME/.test(world.read("opencode.env")), "mended: used again");
    });

  test("an invalid project config on the volume", async (t) => {
    const world = await readyWorld(t);
    put(path.join(world.home, "src/.opencode/opencode.json"), "{");
    const result = await world.prepare();
    assert.match(result.notes.join("\n"), /src\/.opencode\/opencode.json is not valid JSON/);
    const seen = await lookIntoOpenCode(world);
    assert.equal(seen.status, 200, JSON.stringify(seen));
    assert.equal(seen.bridges, 1);
  });

  test("the config on the volume counts in repositories too, and nothing in it loads twice", async (t) => {
    const world = await readyWorld(t);
    const volume = path.join(world.home, "src/.opencode");
    put(path.join(volume, "opencode.json"), '{"$schema":"https://opencode.ai/config.json","username":"joe"}');
    put(path.join(volume, "agent/helper.md"), "---\ndescription: helps\n---\nHelp.\n");
    put(path.join(volume, "plugin/own.js"), 'import fs from "node:fs"; export const Own = async () => { fs.appendFileSync(process.env.PLUGIN_LOG, "own\\n"); return {}; };');
    assert.equal((await world.prepare()).state, "ready");
    const other = path.join(world.home, "src/repos/other");
    fs.mkdirSync(other);
    git(other, "init", "-q");
    const elsewhere = await lookIntoOpenCode(world, { directory: other });
    assert.equal(elsewhere.config.username, "joe", JSON.stringify(elsewhere));
    assert.ok(elsewhere.config.agent.helper);
    assert.equal(elsewhere.bridges, 1);
    const here = await lookIntoOpenCode(world);
    assert.equal(here.bridges, 1, JSON.stringify(here));
    assert.equal(here.loads.filter((line) => line === "own").length, 1);
    fs.rmSync(path.join(volume, "opencode.json"));
    await world.prepare();
    assert.ok(!exists(globalConfig(world, "opencode.json")), "a link that leads nowhere is removed");
  });

  test("without a plugin OpenCode works", async (t) => {
    const world = makeWorld(t, { plugin: false });
    assert.equal((await world.prepare()).state, "missing");
    const seen = await lookIntoOpenCode(world);
    assert.equal(seen.status, 200, JSON.stringify(seen));
    assert.equal(seen.bridges, 0);
  });

  test("a user's package.json and own plugins stay his business; the start stays short", async (t) => {
    const world = await readyWorld(t);
    const folder = path.join(world.home, ".config/opencode");
    assert.ok(exists(path.join(folder, "package-lock.json")));
    put(path.join(folder, "plugin/own.js"), "export const Own = async () => ({});");
    put(path.join(folder, "package.json"), '{"dependencies":{"left-out":"1.0.0"}}');
    await world.prepare();
    assert.ok(!exists(path.join(folder, "package-lock.json")), "our lock does not keep his dependencies away");
    assert.equal(fs.readFileSync(path.join(folder, "package.json"), "utf8"), '{"dependencies":{"left-out":"1.0.0"}}');
    const seen = await lookIntoOpenCode(world);
    assert.equal(seen.bridges, 1, JSON.stringify(seen));
    assert.ok(seen.first_ms < 15000, `${seen.first_ms} ms`);
    t.diagnostic(`first request with OpenCode's own install failing: ${seen.first_ms} ms`);
  });
});

describe("volumes and identities", { skip: IS_ROOT ? false : "needs root for mounts" }, () => {
  test("a read-only repository volume: used when ready, a reason when there is work", async (t) => {
    const world = await readyWorld(t);
    const readOnly = 'mount --bind "$HOME/src" "$HOME/src"; mount -o remount,bind,ro "$HOME/src"';
    const ready = await world.prepareMounted(readOnly);
    assert.equal(ready.state, "ready", ready.text);
    fs.appendFileSync(world.at("src/index.js"), "// more\n");
    assertNotReady(world, await world.prepareMounted(readOnly), "failed", /Read-only file system/);
  });

  test("a full volume: no half clone remains", async (t) => {
    const world = makeWorld(t);
    fs.writeFileSync(path.join(world.origin, "noise"), Buffer.from(Array.from({ length: 900000 }, () => Math.random() * 256)));
    world.commit("noise");
    const small = 'mount -t tmpfs -o size=700k none "$HOME/src/repos"; trap \'\' EXIT';
    const left = path.join(world.dir, "left");
    const child = `${small}; "$0" "$@"; ls -A "$HOME/src/repos" >'${left}'; exit`;
    const result = await world.prepareMounted(child, { CODEV_PLUGIN_URL: world.url });
    assertNotReady(world, result, "failed", /cannot clone .*(space|write)/i);
    assert.equal(fs.readFileSync(left, "utf8").trim(), ".ai-dev.codev-lock");
  });

  test("a read-only home: OpenCode gets folders that it can use", async (t) => {
    const world = await readyWorld(t);
    fs.rmSync(path.join(world.home, ".config"), { recursive: true });
    fs.mkdirSync(path.join(world.home, ".local"));
    const result = await world.prepareMounted('mount --bind "$HOME" "$HOME"; mount -o remount,bind,ro "$HOME"; mount -t tmpfs none "$HOME/.local"');
    assert.equal(result.state, "ready", result.text);
    assert.match(result.notes.join("\n"), /the plugin link is not there: .*Read-only/);
    const env = world.read("opencode.env");
    assert.match(env, new RegExp(`^XDG_CONFIG_HOME=${world.runtime}/xdg-config$`, "m"));
    assert.match(env, new RegExp(`^XDG_CACHE_HOME=${world.runtime}/xdg-cache$`, "m"));
    assert.match(env, /^OPENCODE_CONFIG=/m);
  });

  test("a ConfigMap mounted as the config folder, read-only: it counts, and OpenCode answers", async (t) => {
    const world = await readyWorld(t);
    const config = path.join(world.home, ".config/opencode");
    fs.rmSync(config, { recursive: true });
    fs.mkdirSync(path.join(config, "agent"), { recursive: true });
    fs.writeFileSync(path.join(config, "opencode.json"), '{"$schema":"https://opencode.ai/config.json","username":"joe"}');
    fs.writeFileSync(path.join(config, "agent/helper.md"), "---\ndescription: helps\n---\nHelp.\n");
    const readOnly = 'mount --bind "$HOME/.config" "$HOME/.config"; mount -o remount,bind,ro "$HOME/.config"';
    const result = await world.prepareMounted(readOnly);
    assert.equal(result.state, "ready", result.text);
    if (!canIsolate) return;
    const seen = await lookIntoOpenCode(world, { script: readOnly });
    assert.equal(seen.status, 200, JSON.stringify(seen));
    assert.equal(seen.config.username, "joe");
    assert.ok(seen.config.agent.helper);
    assert.equal(seen.bridges, 1);
  });

  test("as an ordinary user, on a checkout of another", async (t) => {
    const world = makeWorld(t);
    fs.chmodSync(world.dir, 0o755);
    const as = (uid) => ({ ...world.environment({ CODEV_PLUGIN_URL: world.url, CODEV_PLUGIN_UPDATE: "ff" }), uid });
    fs.mkdirSync(world.runtime);
    sh("chown", ["-R", "65534:65534", world.home, world.runtime]);
    const go = async (uid) => {
      const { uid: id, ...env } = as(uid);
      const child = run("setpriv", ["--reuid", id, "--regid", id, "--clear-groups", PREPARE, "--json"], { env, cwd: "/" });
      const { out, err } = await child.ended;
      return { ...JSON.parse(out), err };
    };
    const first = await go("65534");
    assert.equal(first.state, "ready", first.err);
    sh("chown", ["-R", "1000:1000", world.runtime, path.join(world.home, ".config")]);
    const other = await go("1000");
    assert.equal(other.state, "ready", other.err);
  });
});

test("--help, --version and wrong words", async (t) => {
  const world = makeWorld(t, { plugin: false });
  assert.match((await world.start({}, ["--help"]).ended).out, /Usage: codev-prepare/);
  assert.match((await world.start({}, ["--version"]).ended).out, /^codev-prepare \d/);
  assert.equal((await world.start({}, ["--nonsense"]).ended).code, 2);
  assert.equal((await world.start({}, ["word"]).ended).code, 2);
});
