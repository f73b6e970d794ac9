// `make run`: the whole pod on this machine, as a newcomer meets it.
import test from "node:test";
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { spawn, spawnSync } from "node:child_process";
import { BIN, IS_ROOT, OPENCODE, TOP, eventually, freePorts, tempDir } from "./lib/util.mjs";

const able = IS_ROOT || spawnSync("unshare", ["-Ur", "true"]).status === 0;
const skip = able ? false : "needs user namespaces";
const KEYS = /_API_KEY$|^AWS_|^SLACK_|^CODEV_/;

// A terminal in whose shell make runs scripts/run.sh; what it shows is in `screen`.
class Terminal {
  constructor(dir, ports) {
    const own = Object.fromEntries(Object.entries(process.env).filter(([name]) => !KEYS.test(name)));
    const makefile = path.join(dir, "Makefile");
    fs.writeFileSync(makefile, "run:\n\t@scripts/run.sh\n");
    this.screen = "";
    const make = `make --no-print-directory -f ${makefile}`;
    this.child = spawn("script", ["-qec", `bash --norc -ic '${make}; exit $?'`, "/dev/null"], {
      cwd: TOP,
      env: {
        ...own,
        MAKEFLAGS: "",
        CODEV_BIN_DIR: BIN,
        OPENCODE_BIN: OPENCODE,
        CODEV_RUN_DIR: path.join(dir, "run"),
        CODEV_OPENCODE_PORT: ports[0],
        CODEV_GATEWAY_PORT: ports[1],
        CODEV_PROBES_PORT: ports[2],
        CODEV_FAKE_MODEL_PORT: ports[3],
      },
    });
    this.child.stdout.on("data", (data) => (this.screen += data));
    this.end = new Promise((resolve) => this.child.on("close", resolve));
  }
  shows(pattern) {
    return eventually(`${pattern} on the screen`, () => pattern.exec(this.screen), 120000);
  }
  type(text) {
    this.child.stdin.write(text);
  }
}

// The processes whose environment or command line names the folder of the run.
function processesOf(dir) {
  const read = (file) => {
    try {
      return fs.readFileSync(file, "utf8");
    } catch {
      return "";
    }
  };
  return fs
    .readdirSync("/proc")
    .filter((pid) => /^\d+$/.test(pid) && Number(pid) !== process.pid)
    .filter((pid) => (read(`/proc/${pid}/environ`) + read(`/proc/${pid}/cmdline`)).includes(dir))
    .map((pid) => `${pid} ${read(`/proc/${pid}/cmdline`).replaceAll("\0", " ")}`);
}

const nothingLeft = (dir) =>
  eventually("no process left", () => processesOf(dir).length === 0 || undefined).catch(() =>
    assert.deepEqual(processesOf(dir), []),
  );

test("make run: shows what to open, runs once, stops in order however it is asked", { skip }, async (t) => {
  const dir = tempDir("run");
  const ports = (await freePorts(4)).map(String);
  const ctl = (...args) => spawnSync(path.join(dir, "run/codevctl"), args, { encoding: "utf8" });
  let terminal;
  const start = async () => {
    terminal = new Terminal(dir, ports);
    await terminal.shows(/Ctrl-C stops everything in order/);
  };
  t.after(async () => {
    terminal.child.kill("SIGHUP");
    await nothingLeft(dir);
    fs.rmSync(dir, { recursive: true, force: true });
  });

  await start();
  await t.test("the link, and codevctl inside the pod", () => {
    assert.match(terminal.screen, new RegExp(`http://127\\.0\\.0\\.1:${ports[1]}/login#`));
    assert.equal(ctl("status").status, 0);
    assert.match(ctl("status").stdout, /: running, ready, live/);
  });
  await t.test("a second one in the same folder is refused", async () => {
    const second = new Terminal(dir, ports);
    assert.notEqual(await second.end, 0);
    assert.match(second.screen, /runs already/);
    assert.equal(ctl("status").status, 0);
  });
  await t.test("Ctrl-C: make ends with 0, nothing is left", async () => {
    terminal.type("\x03");
    assert.equal(await terminal.end, 0, terminal.screen);
    assert.match(terminal.screen, /stopped: exit status 0/);
    await nothingLeft(dir);
    assert.equal(ctl("status").status, 3);
  });
  await t.test("a closed terminal: the pod stops in order", async () => {
    await start();
    const boots = path.join(dir, "run/home/.local/state/codev/boots.jsonl");
    assert.equal(fs.readFileSync(boots, "utf8").trim().split("\n").length, 2, "the state of before");
    terminal.child.kill("SIGKILL");
    await nothingLeft(dir);
  });
  await t.test("killed: the pod goes too, and the next start is well", async () => {
    await start();
    const init = fs.readFileSync(path.join(dir, "run/pod.pid"), "utf8").trim();
    const parent = (pid) => Number(/\) . (\d+)/.exec(fs.readFileSync(`/proc/${pid}/stat`, "utf8"))[1]);
    process.kill(parent(parent(init)), "SIGKILL");
    await nothingLeft(dir);
    await start();
    assert.equal(ctl("status").status, 0);
    terminal.type("\x03");
    assert.equal(await terminal.end, 0);
  });
});
