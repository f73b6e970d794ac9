// codevctl backup and restore: a copy that is taken while OpenCode and the gateway write is whole,
// and an empty volume becomes the pod that was.
import test, { after, before, describe } from "node:test";
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { startPod } from "./lib/pod.mjs";
import { BIN, IS_ROOT, eventually, run, sh, startFakeModel, tempDir } from "./lib/util.mjs";

const skip = IS_ROOT ? false : "needs root for mounts";
const ctl = (...args) => run(path.join(BIN, "codevctl"), args).ended;
const archives = (dir) => fs.readdirSync(dir).sort();

describe("backup", { skip }, () => {
  let pod, store, model; // one model for both pods
  before(async () => {
    store = tempDir("backups");
    model = await startFakeModel();
    pod = await startPod({ volume: "bind", model });
    await pod.ready();
    await pod.bridged();
  });
  after(async () => {
    await pod?.end();
    model?.stop();
    fs.rmSync(store, { recursive: true, force: true });
  });

  const sound = (file) =>
    sh("python3", ["-c", "import sqlite3,sys;print(sqlite3.connect(sys.argv[1]).execute('pragma integrity_check').fetchone()[0])", file]).trim();
  const messages = async (id) => JSON.stringify((await pod.oc(`/session/${id}/message`)).body);

  test("taken while OpenCode writes, restored into an empty volume: the same pod", async () => {
    const done = await pod.prompt("@@text said before the backup");
    await eventually("it is said", async () => (await messages(done)).includes("said before the backup"));
    const busy = await pod.prompt("@@slow 3000 5");
    await eventually("the turn runs", async () => Object.keys((await pod.oc("/session/status")).body).length > 0);
    for (let i = 0; i < 3; i++) {
      const { code, out, err } = await pod.ctl("backup", "--keep", "2", store);
      assert.equal(code, 0, err);
      assert.match(out, /\d+ files, [2-9] databases/);
      await eventually("a second later", () => !archives(store).includes(`codev-${new Date().toISOString().replace(/[-:]|\.\d+/g, "")}.tar.gz`), 5000);
    }
    assert.equal(archives(store).length, 2, "the oldest went, nothing half is left");
    for (const name of archives(store)) assert.equal(fs.statSync(path.join(store, name)).mode & 0o777, 0o600);
    const credentials = fs.existsSync(path.join(pod.home, ".local/share/opencode/auth.json"));
    await pod.stop("SIGKILL");

    const state = path.join(pod.home, ".local");
    const refused = await ctl("restore", "--state", state, store);
    assert.equal(refused.code, 1);
    assert.match(refused.err, /not empty/);
    fs.rmSync(state, { recursive: true });
    fs.mkdirSync(state);
    const restored = await ctl("restore", "--state", state, store);
    assert.equal(restored.code, 0, restored.err);
    assert.equal(sound(path.join(state, "share/opencode/opencode.db")), "ok");
    assert.equal(sound(path.join(state, "state/codev/gateway.db")), "ok");
    assert.equal(fs.existsSync(path.join(state, "share/opencode/auth.json")), credentials);
    assert.deepEqual(fs.readdirSync(state).filter((n) => n.startsWith(".codev")), []);

    pod = await startPod({ volume: "bind", dir: pod.dir, model });
    await pod.ready();
    assert.match(await messages(done), /said before the backup/);
    assert.ok((await pod.oc("/session")).body.some((s) => s.id === busy), "the session that was busy is there");
    const known = (await pod.fetch("/api/sessions")).body;
    assert.ok(JSON.stringify(known).includes(done), "the gateway knows it, too");
  });

  test("a damaged database fails the backup, and leaves nothing", async () => {
    const state = tempDir("damaged");
    const folder = tempDir("none");
    fs.writeFileSync(path.join(state, "x.db"), Buffer.concat([Buffer.from("SQLite format 3\0"), Buffer.alloc(8192, 7)]));
    const { code, err } = await ctl("backup", "--state", state, folder);
    assert.equal(code, 1);
    assert.match(err, /x\.db/);
    assert.deepEqual(fs.readdirSync(folder), []);
    const nothing = await ctl("restore", "--state", state, folder);
    assert.equal(nothing.code, 1);
    assert.match(nothing.err, /no backup/);
    for (const dir of [state, folder]) fs.rmSync(dir, { recursive: true });
  });

  test("an archive that is cut restores nothing", async () => {
    const state = tempDir("cut");
    const cut = path.join(store, "cut.tar.gz");
    const whole = fs.readFileSync(path.join(store, archives(store)[0]));
    fs.writeFileSync(cut, whole.subarray(0, whole.length / 2));
    const { code } = await ctl("restore", "--state", state, cut);
    assert.equal(code, 1);
    assert.deepEqual(fs.readdirSync(state), []);
    fs.rmSync(state, { recursive: true });
  });
});
