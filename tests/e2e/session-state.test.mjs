// The state of each session in git: files, commits at milestones, a remote that is away, diverged,
// refuses, or hangs, and kills at any moment.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { describe, test } from "node:test";
import { eventually, sh, sleep } from "./lib/util.mjs";
import { startPod } from "./lib/pod.mjs";
import { makeWorld, startHttp } from "./lib/state.mjs";

const git = (dir, ...args) => sh("git", ["-C", dir, "-c", "user.name=t", "-c", "user.email=t@localhost", ...args]);
const clone = (world, name) => (sh("git", ["clone", "-q", world.origin, path.join(world.dir, name)]), path.join(world.dir, name));

// Most of it is waiting.
describe("the state of each session in git", { concurrency: 8 }, () => {
  test("created, answered, ended: a commit each, with what was true then; the file follows every change", async (t) => {
    const world = await makeWorld(t);
    world.start();
    await world.startGateway();
    await world.create("ses_1", 'Fix "the": login\nbug # 1');
    await world.committed("ses_1", ["session_created"]);
    assert.match(world.pushed("ses_1"), /^title: "Fix \\"the\\": login\\nbug # 1"$/m);
    assert.match(world.pushed("ses_1"), /^status: idle$/m);
    assert.equal(world.git("log", "-1", "--format=%s by %an <%ae>").trim(), 'session Fix "the": login\\x0abug # 1: session created by codev pod-a <codev@pod-a>');

    await world.ask("ses_1", "que_1");
    await eventually("the file shows what waits", () => /pending:\n- request: "que_1"\n  kind: question/.test(world.file("ses_1")));
    assert.ok(!world.pushed("ses_1").includes("que_1"), "asking is no milestone");
    await world.answer("ses_1", "que_1");
    await world.committed("ses_1", ["session_created", "question_answered que_1"]);
    assert.match(world.pushed("ses_1"), /decisions:\n- request: "que_1"\n  kind: question\n  permission: "question"\n  outcome: answered\n/);
    assert.ok(!/secret text|One/.test(world.pushed("ses_1")), "no texts of messages");

    await world.end("ses_1");
    await world.committed("ses_1", ["session_created", "question_answered que_1", "session_ended"]);
    assert.match(world.pushed("ses_1"), /^status: ended$/m);
    assert.ok(!world.pushed("ses_1", "main~1").includes("session_ended"), "a commit tells of what was then");
    assert.equal(fs.statSync(path.join(world.own, world.place("ses_1"))).mode & 0o777, 0o600);

    world.child.kill("SIGTERM");
    assert.equal((await world.child.ended).code, 0);
    assert.equal(world.git("fsck", "--strict").trim(), "");
  });

  test("what happened while it was away is committed when it comes, and nothing twice", async (t) => {
    const world = await makeWorld(t);
    await world.startGateway();
    await world.create("ses_1");
    await world.ask("ses_1", "que_1");
    await world.answer("ses_1", "que_1");
    await world.end("ses_1");
    const all = ["session_created", "question_answered que_1", "session_ended"];
    for (let i = 0; i < 2; i++) {
      world.start();
      await world.said("the sessions' states are pushed");
      await world.committed("ses_1", all);
      world.child.kill("SIGTERM");
      assert.equal((await world.child.ended).code, 0);
    }
    // Its own repository is gone, or damaged: what the remote has is not committed again.
    fs.rmSync(path.join(world.own, "repo.git"), { recursive: true });
    world.start();
    await world.create("ses_2");
    await world.committed("ses_2", ["session_created"]);
    await world.committed("ses_1", all);
    world.child.kill("SIGKILL");
    await world.child.ended;
    for (const name of fs.readdirSync(path.join(world.own, "repo.git/objects"))) fs.rmSync(path.join(world.own, "repo.git/objects", name), { recursive: true });
    world.start();
    await world.said("the repository is damaged");
    await world.create("ses_3");
    await world.committed("ses_3", ["session_created"]);
    for (const id of ["ses_2", "ses_3"]) assert.deepEqual(world.milestones(id), ["session_created"]);
    assert.deepEqual(world.milestones("ses_1"), all);
    assert.ok(fs.readdirSync(world.own).some((name) => name.startsWith("repo.git.damaged-")), "it is kept");
  });

  test("a remote that is away is tried again, said once, and gets all", async (t) => {
    const world = await makeWorld(t);
    fs.renameSync(world.origin, `${world.origin}.away`);
    world.start();
    await world.startGateway();
    await world.create("ses_1");
    await world.said("is away");
    await world.ask("ses_1", "que_1");
    await world.answer("ses_1", "que_1");
    await eventually("it was tried again", () => fs.existsSync(path.join(world.own, "repo.git/refs/heads/main")));
    fs.renameSync(`${world.origin}.away`, world.origin);
    await world.committed("ses_1", ["session_created", "question_answered que_1"]);
    await world.said("has all commits again");
    assert.equal(world.child.err.split("is away").length, 2, world.child.err);
    // One who was killed in the middle of a push to a folder leaves this.
    fs.writeFileSync(path.join(world.origin, "refs/heads/main.lock"), "");
    await world.end("ses_1");
    await world.said("or a lock was left in it");
    fs.rmSync(path.join(world.origin, "refs/heads/main.lock"));
    await world.committed("ses_1", ["session_created", "question_answered que_1", "session_ended"]);
  });

  test("others pushed before: our commits are put upon theirs", async (t) => {
    const world = await makeWorld(t);
    world.start();
    await world.startGateway();
    await world.create("ses_1");
    await world.committed("ses_1", ["session_created"]);
    const other = clone(world, "other");
    for (let i = 1; i <= 3; i++) {
      git(other, "pull", "-q", "--rebase");
      fs.mkdirSync(path.join(other, `sessions/pod-b/ses_${i}`), { recursive: true });
      fs.writeFileSync(path.join(other, `sessions/pod-b/ses_${i}/.session-state.yaml`), `id: ${i}\n`);
      git(other, "add", "-A");
      git(other, "commit", "-q", "-m", `other ${i}`);
      git(other, "push", "-q");
      await world.ask("ses_1", `que_${i}`);
      await world.answer("ses_1", `que_${i}`);
      await world.committed("ses_1", ["session_created", ...Array.from({ length: i }, (_, n) => `question_answered que_${n + 1}`)]);
    }
    assert.match(world.child.err, /our commits stand upon theirs now/);
    assert.equal(world.git("ls-tree", "-r", "--name-only", "main").trim().split("\n").length, 4);
    assert.equal(world.git("log", "--merges", "--format=%h", "main"), "");
  });

  test("a real conflict: ours goes to a branch of its own, and back when it was merged", async (t) => {
    const world = await makeWorld(t);
    world.start();
    await world.startGateway();
    await world.create("ses_1");
    await world.committed("ses_1", ["session_created"]);
    const other = clone(world, "other");
    fs.appendFileSync(path.join(other, world.place("ses_1")), "# by a person\n");
    git(other, "commit", "-qam", "a person's");
    git(other, "push", "-q");
    await world.ask("ses_1", "que_1");
    await world.answer("ses_1", "que_1");
    await world.committed("ses_1", ["session_created", "question_answered que_1"], "codev/pod-a");
    await world.said("our commits go to the branch codev/pod-a; merge it there");
    assert.match(world.pushed("ses_1"), /# by a person/);
    await world.end("ses_1");
    await world.committed("ses_1", ["session_created", "question_answered que_1", "session_ended"], "codev/pod-a");
    git(other, "fetch", "-q");
    git(other, "merge", "-q", "-X", "theirs", "-m", "merged", "origin/codev/pod-a");
    git(other, "push", "-q");
    world.child.kill("SIGTERM"); // it would look again after ten minutes
    await world.child.ended;
    world.start();
    await world.create("ses_2");
    await world.committed("ses_2", ["session_created"]);
    assert.deepEqual(world.milestones("ses_1"), ["session_created", "question_answered que_1", "session_ended"]);
  });

  test("a hook, missing rights: said with the reason, once; nothing is lost", async (t) => {
    const world = await makeWorld(t);
    const server = await startHttp(t, world);
    const hook = path.join(world.origin, "hooks/pre-receive");
    fs.writeFileSync(hook, "#!/bin/sh\nexit 1\n", { mode: 0o755 });
    world.start({ CODEV_GATEWAY_STATE_REPO: server.url });
    await world.startGateway();
    await world.create("ses_1");
    await world.said("refuses: the remote refuses the push: pre-receive hook declined");
    await world.ask("ses_1", "que_1");
    await world.answer("ses_1", "que_1");
    fs.rmSync(hook);
    await world.committed("ses_1", ["session_created", "question_answered que_1"]);
    await world.said("has all commits again");
    assert.equal(world.child.err.split("refuses: ").length, 2, world.child.err);
    server.mode = 401;
    await world.end("ses_1");
    await world.said("refuses: cannot push: the remote wants credentials: set gateway.state_token_file");
    server.mode = "";
    await world.committed("ses_1", ["session_created", "question_answered que_1", "session_ended"]);
  });

  test("a remote that takes the connection and never answers: chat goes on, commits are made here", async (t) => {
    const world = await makeWorld(t);
    const server = await startHttp(t, world);
    server.mode = "hang";
    world.start({ CODEV_GATEWAY_STATE_REPO: server.url });
    await world.startGateway();
    await eventually("the remote was asked", () => world.asked > 0);
    await world.create("ses_1");
    await world.ask("ses_1", "que_1");
    await world.answer("ses_1", "que_1");
    const own = path.join(world.own, "repo.git");
    await eventually("committed here", () => sh("git", ["--git-dir", own, "log", "--format=%s", "main"]).includes("question answered"));
    assert.equal((await world.fetch("/api/health")).status, 200);
    assert.equal(world.asked, 1, "it still hangs");
    world.child.kill("SIGTERM");
    assert.equal((await world.child.ended).code, 0, "and stops in time");
    server.mode = "";
    server.cut();
    world.start({ CODEV_GATEWAY_STATE_REPO: server.url });
    await world.committed("ses_1", ["session_created", "question_answered que_1"]);
  });

  test("killed at any moment: every milestone is committed once", async (t) => {
    const world = await makeWorld(t);
    const server = await startHttp(t, world); // what receives is not killed with it
    const rounds = Number(process.env.CODEV_STATE_KILLS ?? 20);
    const expected = new Map();
    await world.startGateway();
    for (let i = 0; i < rounds; i++) {
      const child = world.start({ CODEV_GATEWAY_STATE_REPO: server.url });
      const id = `ses_${i}`;
      const wait = sleep(Math.random() * 400); // where it is then is chance
      await world.create(id);
      await world.ask(id, `que_${i}`);
      await world.answer(id, `que_${i}`);
      expected.set(id, ["session_created", `question_answered que_${i}`]);
      await wait;
      await sleep(Math.random() * 300);
      child.kill("SIGKILL");
      await child.ended;
    }
    world.start({ CODEV_GATEWAY_STATE_REPO: server.url });
    for (const [id, milestones] of expected) await world.committed(id, milestones);
    assert.equal(world.git("rev-list", "--count", "main").trim(), String(rounds * 2));
    assert.equal(world.git("fsck", "--strict").trim(), "");
    assert.ok(!/damaged/.test(world.child.err));
  });

  test("wrong settings are said; another one in the same folder waits, then says so", async (t) => {
    const world = await makeWorld(t);
    for (const [env, reason] of [
      [{ CODEV_GATEWAY_STATE_REPO: "ftp://x/y" }, /must begin with/],
      [{ CODEV_GATEWAY_STATE_REPO: "" }, /no repository is set/],
      [{ CODEV_STATE_DIR: "" }, /no state folder/],
    ]) {
      const { code, err } = await world.start(env).ended;
      assert.equal(code, 78);
      assert.match(err, reason);
    }
    const first = world.start();
    await world.said("the sessions' states are pushed");
    const { code, err } = await world.start().ended;
    assert.equal(code, 1);
    assert.match(err, /another codev-state works in/);
    assert.equal(first.exitCode, null);
  });

  test("in a pod: a service in a sandbox of its own, shown in the status", async (t) => {
    const { dir } = await makeWorld(t); // its folder
    const origin = path.join(dir, "origin.git");
    const pod = await startPod({
      plugin: "none",
      config: (c) => ({ ...c, gateway: { ...c.gateway, state_repo: `file://${origin}` } }),
    });
    t.after(() => pod.end());
    await pod.ready();
    const id = await pod.prompt("hello");
    const commits = () => sh("git", ["--git-dir", origin, "log", "--format=%s", "main"]);
    await eventually("the session is committed", () => commits().includes("session Test: session created"), 40000);
    const service = await pod.service("session-state");
    assert.equal(service.state, "ready");
    assert.equal(service.sandbox.profile, "state");
    const note = () => pod.service("session-state").then((s) => JSON.parse(s.notes.git));
    await eventually("the status shows it", async () => (await note()).state === "current" && (await note()).unpushed === 0);
    assert.match((await pod.ctl("status")).out, /^states +current, file:\S+ branch main$/m);
    // Idle it is also before the gateway hears of the turn; and of what is deleted before that, it hears nothing.
    await eventually("the turn is over", async () => {
      const { status, tokens } = (await pod.fetch("/api/sessions")).body.sessions.find((s) => s.id === id);
      return status === "idle" && tokens > 0;
    }, 40000);
    await pod.oc(`/session/${id}?directory=${encodeURIComponent(path.join(pod.home, "src"))}`, { method: "DELETE" });
    await eventually("its end is committed", () => commits().includes("session Test: session ended"), 40000);
    const { out } = await pod.ctl("logs", "-n", "200", "session-state");
    assert.ok(!/cannot|denied/i.test(out), out);
  });
});
