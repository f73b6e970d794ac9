// codevctl sessions: what a person does with OpenCode's sessions from a shell in the pod.
import test, { after, before, describe } from "node:test";
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { startPod } from "./lib/pod.mjs";
import { BIN, IS_ROOT, eventually } from "./lib/util.mjs";

const skip = IS_ROOT ? false : "needs root for mounts";

describe("sessions", { skip }, () => {
  let pod, id;
  before(async () => {
    pod = await startPod();
    await pod.ready();
    await pod.bridged();
    id = await pod.prompt("@@text the answer of this session");
    await eventually("it is answered", async () => (await ctl("show", id)).out.includes("the answer of this session"));
  });
  after(() => pod?.end());

  const ctl = (...args) => pod.ctl("sessions", ...args);

  test("list: id, status, folder, last active, title; the busy one is busy", async () => {
    const busy = await pod.prompt("@@slow 3000 20");
    await eventually("both are there, one is busy", async () => {
      const { out, code, err } = await ctl();
      assert.equal(code, 0, err);
      return new RegExp(`^${id} +idle +\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d +/\\S+ +\\S`, "m").test(out) && new RegExp(`^${busy} +busy`, "m").test(out);
    });
    const listed = JSON.parse((await ctl("list", "--json")).out);
    assert.deepEqual(listed.filter((s) => [id, busy].includes(s.id)).map((s) => s.status).sort(), ["busy", "idle"]);
    assert.equal((await ctl("list", "-n", "1")).out.trim().split("\n").length, 2, "a heading and one");

    const aborted = await ctl("abort", busy);
    assert.equal(aborted.code, 0, aborted.err);
    await eventually("it is idle", async () => new RegExp(`^${busy} +idle`, "m").test((await ctl()).out));
  });

  test("show: who said what", async () => {
    const { out } = await ctl("show", id);
    assert.match(out, /^user:\n@@text the answer/m);
    assert.match(out, /^assistant:\nthe answer of this session/m);
    assert.equal(JSON.parse((await ctl("show", id, "--json")).out).messages.length, 2);
  });

  test("export, delete, import: the same session", async () => {
    const all = await ctl("export", id);
    assert.equal(all.code, 0, all.err);
    const { info, messages } = JSON.parse(all.out);
    assert.equal(info.id, id);
    assert.equal(messages.length, 2);
    await pod.oc(`/session/${id}`, { method: "DELETE" });
    assert.equal((await ctl("show", id)).code, 1);
    const file = path.join(pod.dir, "exported.json");
    fs.writeFileSync(file, all.out);
    const back = await pod.exec("sh", ["-c", `cd "$HOME/src" && ${path.join(BIN, "codevctl")} sessions import <'${file}'`]).ended;
    assert.equal(back.code, 0, back.err);
    assert.match((await ctl("show", id)).out, /the answer of this session/);
  });

  test("import takes nothing else", async () => {
    const file = path.join(pod.dir, "else.json");
    for (const text of ["{}", "no json", '{"info":{"id":"x"},"messages":[]}']) {
      fs.writeFileSync(file, text);
      const { code, err } = await pod.exec("sh", ["-c", `${path.join(BIN, "codevctl")} sessions import <'${file}'`]).ended;
      assert.equal(code, 1, text);
      assert.ok(err.startsWith("codevctl sessions: "), err);
    }
  });

  test("attach, without a terminal: the command to type, no password in it", async () => {
    const { out } = await ctl("attach", id);
    assert.match(out, new RegExp(`opencode attach ${pod.opencode} --session ${id} --dir '`));
    assert.ok(!out.includes((await pod.ctl("password")).out.trim()));
  });

  test("what is wrong is said", async () => {
    for (const args of [["show", "ses_none"], ["abort", "ses_none"], ["export", "../../config"], ["attach", "ses_none"]]) {
      const { code, err } = await ctl(...args);
      assert.equal(code, 1, args.join(" "));
      assert.match(err, /no session/);
    }
    assert.equal((await ctl("show")).code, 2);
    assert.equal((await ctl("dance")).code, 2);
  });
});
