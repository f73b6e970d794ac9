// X2: what an agent tries against its own pod, from its own bash tool. Each attack is seen to succeed
// in a pod without the sandbox, and to fail with it: as root, and as an ordinary user without
// capabilities, as in a real pod.
import test, { after, before, describe } from "node:test";
import assert from "node:assert/strict";
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import { agentCalls, agentRuns } from "./lib/agent.mjs";
import { attacks, secretFiles, terminal, terminalAttacks } from "./lib/attacks.mjs";
import { planted, plantedBundle, told, writes } from "./lib/planted.mjs";
import { modelConfig, startPod } from "./lib/pod.mjs";
import { IS_ROOT, TOP, eventually, sh, sleep, startFakeModel, tempDir } from "./lib/util.mjs";

const skip = IS_ROOT ? false : "needs root for mounts";
const UID = 1000;
const CC = process.env.CC ?? "cc";
const SOURCE = path.join(TOP, "tests/e2e/attack");
const { account: ACCOUNT, filed: FILED } = secretFiles;

// Secrets where Kubernetes and a manifest put them.
const secretsAt = (owner) => `
mount -t tmpfs -o mode=755 none /run
mkdir -p "${path.dirname(ACCOUNT)}" "${path.dirname(FILED)}"
echo account-token > "${ACCOUNT}"
echo github-token-of-a-file > "${FILED}"
chown -R ${owner}:${owner} /run`;

async function startAttacked({ sandbox, uid }) {
  const dir = tempDir("attack");
  const heard = path.join(dir, "heard.jsonl");
  const model = await startFakeModel({ FAKE_LLM_LOG: heard });
  const home = path.join(dir, "home");
  const tools = path.join(home, "src/tools");
  const modelFile = path.join(dir, "attacked.json");
  fs.writeFileSync(heard, "");
  fs.mkdirSync(tools, { recursive: true });
  sh(CC, ["-D_GNU_SOURCE", "-std=gnu17", "-O1", "-o", path.join(tools, "attack"), path.join(SOURCE, "attack.c")]);
  fs.copyFileSync(path.join(SOURCE, "ask.mjs"), path.join(tools, "ask.mjs"));
  for (const name of ["preloaded", "unpacked"])
    sh(CC, ["-shared", "-fPIC", "-D_GNU_SOURCE", `-DMARK="${home}/src/marks/${name}"`, "-o", path.join(tools, `${name}.so`), path.join(SOURCE, "library.c")]);
  const config = modelConfig(model.url);
  config.permission = { bash: "allow", edit: "ask", external_directory: "allow" };
  fs.writeFileSync(modelFile, JSON.stringify(config));
  const pod = await startPod({
    ...{ dir, model, uid, prelude: secretsAt(uid ?? 0) },
    env: { OPENCODE_CONFIG: modelFile, CODEV_TOKEN: "", GITHUB_TOKEN_FILE: FILED, npm_config_offline: "true" },
    config: (c) => ({ ...c, services: { opencode: sandbox ? { limits: { nproc: 700 } } : { sandbox: "none" } } }),
  });
  pod.tools = tools;
  pod.heard = () => fs.readFileSync(heard, "utf8");
  pod.src = path.join(home, "src");
  pod.state = path.join(home, ".local/state/codev");
  await pod.ready();
  pod.token = (await pod.ctl("token")).out.trim();
  await pod.bridged();
  const password = (await pod.ctl("password")).out.trim();
  pod.password = password;
  pod.data = path.join(home, ".local/share/opencode");
  pod.openCodeAuth = async () => `Basic ${Buffer.from(`opencode:${password}`).toString("base64")}`;
  await pod.oc("/auth/somebody", { method: "PUT", body: '{"type":"api","key":"key-of-a-person"}' });
  return { pod, model };
}

// Calls of tools, each allowed by a person.
async function work(pod, calls, ms) {
  let done = false;
  const person = (async () => {
    while (!done) {
      const { body } = await pod.fetch("/api/requests");
      for (const r of (body.requests ?? body).filter((r) => r.state === "pending")) await pod.decide(r.id, "once");
      await sleep(200);
    }
  })();
  try {
    return await agentCalls(pod, calls, ms);
  } finally {
    done = true;
    await person;
  }
}

async function restarted(pod) {
  const old = (await pod.service("opencode")).pid;
  assert.equal((await pod.ctl("restart", "opencode")).code, 0);
  await eventually("another OpenCode is ready", async () => {
    const { pid, state } = await pod.service("opencode");
    return pid !== old && state === "ready";
  }, 120000);
}

const sandboxed = [
  { name: "in the sandbox, as root", sandbox: true },
  { name: `in the sandbox, as user ${UID}`, sandbox: true, uid: UID },
];
for (const kind of [{ name: "without the sandbox", sandbox: false }, ...sandboxed]) {
  describe(kind.name, { skip }, () => {
    let pod, model;
    before(async () => ({ pod, model } = await startAttacked(kind)));
    after(async () => {
      await pod?.end();
      model?.stop();
    });

    test("status tells each of the means", async () => {
      const { sandbox } = await pod.service("opencode");
      const state = Object.fromEntries(sandbox.means.map((m) => [m.name, m.state]));
      const names = ["fence", "walls around commands", "guard against modules", "accepted copies", "project configuration ignored"];
      assert.deepEqual(state, kind.sandbox ? Object.fromEntries(names.map((name) => [name, "on"])) : {});
      const { out } = await pod.ctl("status");
      for (const name of names) assert.equal(out.includes(`${name} on`), kind.sandbox, out);
    });

    test("attacks from the bash tool", async (t) => {
      const list = attacks(pod);
      assert.match((await pod.ctl("open")).out, /token=[0-9a-f]{64}/); // a ticket that waits
      const before = (await pod.status()).services;
      const outputs = await agentRuns(pod, list.map(([, command]) => command), 180000);
      assert.equal(outputs.length, list.length);
      for (const [i, [name]] of list.entries())
        await t.test(name, () => {
          if (kind.sandbox) assert.doesNotMatch(outputs[i], /^WON/m);
          else assert.match(outputs[i], /^WON/m);
        });
      await t.test("nobody was harmed", async () => {
        const now = (await pod.status()).services;
        assert.deepEqual(now.map((s) => [s.name, s.pid, s.restarts]), before.map((s) => [s.name, s.pid, s.restarts]));
      });
    });

    // A person is asked, and the agent, in another session, answers for them.
    test("a reply to its own permission request", async () => {
      const file = path.join(pod.src, "asked.txt");
      await pod.prompt(`please\n@@tool write ${JSON.stringify({ filePath: file, content: "mine\n" })}\n@@then\n@@text Done.`);
      const request = await pod.request();
      const [said] = await agentRuns(pod, [`node ${pod.tools}/ask.mjs reply ${pod.opencode} ${pod.src}`]);
      if (!kind.sandbox) {
        assert.match(said, /^WON/);
        return eventually("what nobody allowed is written", () => fs.existsSync(file));
      }
      assert.match(said, /^lost the list: 401/);
      assert.ok(!fs.existsSync(file));
      assert.equal((await pod.request()).id, request.id, "it still waits for a person");
      assert.equal((await pod.decide(request.id, "reject")).status, 200);
    });

    test("OpenCode's own tools led astray by a link", async () => {
      const links = ["self", "$(pgrep -x opencode)"].map((who, i) => `ln -sf /proc/${who}/environ ${pod.src}/link-${i}.txt`);
      await agentRuns(pod, [links.join("; ")]);
      const calls = [0, 1].map((i) => ["read", { filePath: path.join(pod.src, `link-${i}.txt`) }]);
      const parts = await work(pod, calls);
      assert.equal(parts.length, links.length);
      for (const { state } of parts) {
        const won = JSON.stringify(state).includes(pod.password);
        assert.equal(won, !kind.sandbox, state.error);
      }
    });

    test("attacks from a terminal", async (t) => {
      const list = terminalAttacks(pod);
      const out = (i) => path.join(pod.src, `terminal-${i}`);
      const script = list.map(([, command], i) => `{ ${command}\n} > ${out(i)}.new 2>&1; mv ${out(i)}.new ${out(i)}`).join("\n");
      const made = await terminal(pod, { command: "/bin/bash", args: ["-c", script] });
      assert.equal(made.status, 200);
      // What makes a program or a shell run other code before it does what it is for.
      const startup = path.join(pod.src, "startup.sh");
      const mark = path.join(pod.src, "marks/startup");
      await agentRuns(pod, [`mkdir -p ${pod.src}/marks; echo 'env >> ${mark}' > ${startup}`]);
      const env = { BASH_ENV: startup, ENV: startup, PROMPT_COMMAND: `. ${startup}`, LD_PRELOAD: path.join(pod.tools, "preloaded.so") };
      assert.equal((await terminal(pod, { env })).status, 200);
      for (const name of ["startup", ...(kind.sandbox ? [] : ["preloaded"])])
        await t.test(`${name}, given to a terminal`, async () => {
          const seen = await eventually(`${name} ran`, () => told(pod, name), 30000);
          if (kind.sandbox) assert.equal(seen, "harmless");
          else assert.match(seen, /^WON/);
        });
      if (kind.sandbox) assert.doesNotMatch(told(pod, "preloaded"), /^WON/);
      for (const [i, [name]] of list.entries())
        await t.test(name, async () => {
          const said = await eventually("its output", () => fs.existsSync(out(i)) && fs.readFileSync(out(i), "utf8"));
          if (kind.sandbox) assert.doesNotMatch(said, /^WON/m);
          else assert.match(said, /^WON/m);
        });
    });

    test("honest work", async (t) => {
      const site = http.createServer((_, res) => res.end("hello from the web\n")).listen(0, "127.0.0.1");
      await new Promise((resolve) => site.once("listening", resolve));
      const folder = path.join(pod.src, "work");
      fs.writeFileSync(path.join(pod.src, "AGENTS.md"), "Marmalade is the word of the day.\n");
      const file = path.join(folder, "one.txt");
      const bash = (command) => ["bash", { command, description: "Test", workdir: pod.src, timeout: 60000 }];
      const git = "git -c user.name=a -c user.email=a@localhost -c init.defaultBranch=main";
      const calls = [
        [bash(`mkdir -p ${folder} && cd ${folder} && ${git} init -q && echo first`), /first/],
        [["write", { filePath: file, content: "alpha\nbeta\n" }], /./],
        [["read", { filePath: file }], /alpha/],
        [["edit", { filePath: file, oldString: "beta", newString: "gamma" }], /./],
        [["grep", { pattern: "gam+a", path: folder }], /one\.txt/],
        [["glob", { pattern: "**/*.txt", path: folder }], /one\.txt/],
        [["webfetch", { url: `http://127.0.0.1:${site.address().port}/`, format: "text" }], /hello from the web/],
        [bash(`cd ${folder} && ${git} add -A && ${git} commit -q -m one && git log --oneline | cat`), / one/],
        [
          bash(
            `cd ${folder} && mkdir -p dep && echo '{"name":"dep","version":"1.0.0"}' > dep/package.json && echo '{"name":"app"}' > package.json && ` +
              `npm install --no-audit --no-fund --offline ./dep && ls -l node_modules/`,
          ),
          /dep/,
        ],
        [bash("seq 200000"), /truncated/i],
        [bash(`tail -qn1 ${pod.data}/tool-output/tool_*`), /^200000$/m],
        [["grep", { pattern: "^19999[0-9]$", path: `${pod.data}/tool-output` }], /199999/],
        [bash(`cat <(echo substituted); diff <(echo a) <(echo a) && mktemp && mkdir -p ~/.cache/new-tool && echo x > ~/.cache/new-tool/x && echo cached`), /substituted[^]*cached/],
        [bash(`echo 'int main(void){return 42;}' > ${folder}/a.c && ${CC} -o ${folder}/a ${folder}/a.c && ${folder}/a; echo status $?`), /status 42/],
        // A server that one command starts is used and ended by others.
        [bash(`node -e 'require("http").createServer((q,s)=>s.end("served")).listen(0,function(){require("fs").writeFileSync("${folder}/port",String(this.address().port))})' >/dev/null 2>&1 & echo $! > ${folder}/pid; for i in $(seq 100); do [ -s ${folder}/port ] && break; sleep 0.1; done; echo started`), /started/],
        [bash(`node -e 'fetch("http://127.0.0.1:"+require("fs").readFileSync("${folder}/port")).then(r=>r.text()).then(console.log)'; ps -o pid= -p $(cat ${folder}/pid) && kill $(cat ${folder}/pid) && echo ended`), /served[^]*ended/],
        [bash(`echo $SHELL ${"$"}{CODEV_RUNTIME_DIR-none} ${"$"}{XDG_CONFIG_HOME-none}`), kind.sandbox ? /^\/\S*sh none none/ : /./],
      ];
      const parts = await work(pod, calls.map(([call]) => call));
      site.close();
      assert.equal(parts.length, calls.length);
      await t.test("the instructions of the working folder reach the model", () => assert.match(pod.heard(), /Marmalade/));
      for (const [i, [[tool, args], expected]] of calls.entries())
        await t.test(`${tool} ${(args.command ?? args.filePath ?? args.pattern ?? args.url).slice(0, 60)}`, () => {
          assert.equal(parts[i].state.status, "completed", JSON.stringify(parts[i].state));
          assert.match(parts[i].state.output, expected);
        });
    });

    // git, started by OpenCode, keeps them in OpenCode's folder.
    test("snapshots of a repository", async () => {
      const folder = path.join(pod.src, "work");
      const where = `?directory=${encodeURIComponent(folder)}`;
      const { body: session } = await pod.oc(`/session${where}`, { method: "POST", body: '{"title":"Snapshots","permission":[{"permission":"*","pattern":"*","action":"allow"}]}' });
      const text = `please\n@@tool write ${JSON.stringify({ filePath: path.join(folder, "two.txt"), content: "delta\n" })}\n@@then\n@@text Done.`;
      await pod.oc(`/session/${session.id}/message${where}`, { method: "POST", body: JSON.stringify({ parts: [{ type: "text", text }] }) });
      const { body: messages } = await pod.oc(`/session/${session.id}/message${where}`);
      const snapshots = messages.flatMap((m) => m.parts).map((p) => p.snapshot).filter(Boolean);
      assert.ok(snapshots.length > 1 && snapshots[0] !== snapshots.at(-1), JSON.stringify(snapshots));
      const reverted = await pod.oc(`/session/${session.id}/revert${where}`, { method: "POST", body: JSON.stringify({ messageID: messages[0].info.id }) });
      assert.equal(reverted.status, 200);
      await eventually("the file is gone again", () => !fs.existsSync(path.join(folder, "two.txt")));
    });

    // Root has no limit of processes.
    const limited = !kind.sandbox || kind.uid;
    if (limited) test("forks without end", async () => {
      const before = (await pod.status()).services;
      let done = false;
      const forks = agentRuns(pod, [`${pod.tools}/attack forks 1500`]).finally(() => (done = true));
      let asked = 0;
      for (; !done; asked++) {
        await pod.status(); // PID 1 answers, and new programs of others start
        await sleep(300);
      }
      assert.match((await forks)[0], kind.sandbox ? /^lost/m : /^WON/m);
      assert.ok(asked > 3, `${asked} answers`);
      const now = (await pod.status()).services;
      assert.deepEqual(now.map((s) => [s.name, s.pid, s.restarts]), before.map((s) => [s.name, s.pid, s.restarts]));
    });

    // No wall stops that; what counts is that it is told, and that nothing of ours is lost. The same
    // for everybody.
    if (kind.uid) test("a volume that is filled", async () => {
      const file = path.join(pod.src, "full.txt");
      await pod.prompt(`please\n@@tool write ${JSON.stringify({ filePath: file, content: "kept\n" })}\n@@then\n@@text Done.`);
      const { id } = await pod.request();
      const filler = path.join(pod.home, ".local/bin/filler");
      const fill = `n=0; for size in 64M 8M 1M 64K 4K; do while fallocate -l $size ${filler}-$n 2>/dev/null; do n=$((n+1)); done; done; echo "$n files"`;
      assert.match((await agentRuns(pod, [fill]))[0], /^[1-9]\d* files/);
      await eventually("the pod is not ready", async () => (await pod.ctl("probe", "ready")).code === 1, 60000);
      const { findings } = (await pod.status()).volumes[0];
      assert.match(findings.map((f) => f.message).join("\n"), /space|full/i);
      assert.equal((await pod.fetch("/api/health")).status, 200);
      assert.equal((await pod.request()).id, id, "what waits is still there");
      assert.ok((await agentRuns(pod, [`rm ${filler}-*; echo removed`]))[0].includes("removed"), "OpenCode works");
      await eventually("the pod is ready again", async () => (await pod.ctl("probe", "ready")).code === 0, 60000);
      await eventually("the decision is taken", async () => (await pod.decide(id, "once")).status === 200);
      await eventually("what was allowed is written", () => fs.existsSync(file));
    });

    test("code left for OpenCode to load", async (t) => {
      const list = planted(pod);
      const made = `mkdir -p ${pod.src}/marks && cd ${pod.src}/other && git init -q && git add -A && git -c user.name=a -c user.email=a@localhost commit -q -m one`;
      await agentRuns(pod, [`mkdir -p ${pod.src}/marks`, ...list.map(writes), made, plantedBundle(pod, "plugin-bundle")]);
      // OpenCode reads all of it again: by itself, after a restart, in another folder.
      const where = `?directory=${encodeURIComponent(pod.src)}`;
      const other = `?directory=${encodeURIComponent(path.join(pod.src, "other"))}`;
      assert.equal((await pod.oc(`/instance/dispose${where}`, { method: "POST" })).status, 200);
      await restarted(pod);
      await pod.bridged();
      // Without the sandbox this waits for language servers that never answer.
      await work(pod, [["write", { filePath: `${pod.src}/note.txt`, content: "one\n" }]], 15000).catch(() => {});
      await pod.oc(`/session${other}`, { method: "POST", body: "{}" });
      await pod.oc(`/config${other}`);
      for (const route of ["/mcp", "/vcs", "/vcs/status", "/file/status"]) await pod.oc(route + other).catch(() => {});
      // A library that OpenCode unpacks when the first terminal is opened.
      const swap = `TMP=\${TMPDIR:-/tmp}; cp ${pod.tools}/unpacked.so $TMP/evil; setsid ${pod.tools}/attack swap $TMP:$TMP/evil > $TMP/swapped 2>&1 & ` +
        `for i in $(seq 100); do grep -q watching $TMP/swapped && break; sleep 0.1; done; cat $TMP/swapped`;
      for (let tries = 0; tries < (kind.sandbox ? 1 : 6) && !told(pod, "unpacked"); tries++) {
        if (tries) await restarted(pod).then(() => pod.bridged()); // it is a race, and each OpenCode unpacks once
        assert.match((await agentRuns(pod, [swap]))[0], /watching/);
        await terminal(pod, {});
      }
      for (const name of [...list.map(([name]) => name).filter(Boolean), "plugin-bundle", "unpacked"])
        await t.test(name, async () => {
          const seen = () => told(pod, name);
          if (kind.sandbox) assert.doesNotMatch(seen(), /^WON/);
          else await eventually(`${name} ran`, () => /^WON/.test(seen()), 10000);
        });
      await t.test("who is asked before an edit", async () => {
        const { body } = await pod.oc(`/config${where}`);
        assert.equal(body.permission.edit, kind.sandbox ? "ask" : "allow");
      });
    });
  });
}

// codev-prepare did not come to its end: OpenCode starts all the same, and as closed as ever.
test("code left for an OpenCode that nothing was prepared for", { skip }, async (t) => {
  const model = await startFakeModel();
  t.after(() => model.stop());
  const pod = await startPod({
    ...{ model, uid: UID, plugin: "none" },
    env: { OPENCODE_CONFIG: "/nowhere.json", OPENCODE_CONFIG_CONTENT: JSON.stringify({ ...modelConfig(model.url), permission: { edit: "allow" } }) },
    config: (c) => ({ ...c, services: { prepare: { command: ["/bin/true"] } } }),
  });
  t.after(() => pod.end());
  await pod.ready();
  pod.src = path.join(pod.home, "src");
  pod.password = (await pod.ctl("password")).out.trim();
  const state = (await pod.service("opencode")).sandbox.means.map((m) => m.state);
  assert.deepEqual(state, ["on", "on", "on", "on", "on"]);
  // As the agent of an earlier time would have left it.
  const list = planted(pod);
  const script = ["mkdir -p " + path.join(pod.src, "marks"), ...list.map(writes), `chmod -R a+rwX ${pod.src} ${pod.home}/.config`].join("\n");
  assert.equal((await pod.exec("sh", ["-c", script]).ended).code, 0);
  await restarted(pod);
  const where = `?directory=${encodeURIComponent(pod.src)}`;
  const session = await eventually("a session", async () => (await pod.oc(`/session${where}`, { method: "POST", body: "{}" })).body.id, 60000);
  const file = path.join(pod.src, "note.txt");
  const text = `please\n@@tool write ${JSON.stringify({ filePath: file, content: "one\n" })}\n@@then\n@@text Done.`;
  await pod.oc(`/session/${session}/message${where}`, { method: "POST", body: JSON.stringify({ parts: [{ type: "text", text }] }) });
  assert.equal(fs.readFileSync(file, "utf8"), "one\n", "it works");
  for (const [name] of list.filter(([name]) => name)) assert.doesNotMatch(told(pod, name), /^WON/, name);
});
