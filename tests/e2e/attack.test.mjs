// X2: what an agent tries against its own pod, from its own bash tool. Each attack is seen to succeed
// in a pod without the sandbox, and to fail with it: as root, and as an ordinary user without
// capabilities, as in a real pod.
import test, { after, before, describe } from "node:test";
import assert from "node:assert/strict";
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import { agentCalls, agentRuns } from "./lib/agent.mjs";
import { planted, told, writes } from "./lib/planted.mjs";
import { modelConfig, startPod } from "./lib/pod.mjs";
import { IS_ROOT, TOP, eventually, sh, sleep, startFakeModel, tempDir } from "./lib/util.mjs";

const skip = IS_ROOT ? false : "needs root for mounts";
const UID = 1000;
const SOURCE = path.join(TOP, "tests/e2e/attack");
const ACCOUNT = "/run/secrets/kubernetes.io/serviceaccount/token";
const FILED = "/run/filed/github-token";

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
  sh(process.env.CC ?? "cc", ["-D_GNU_SOURCE", "-std=gnu17", "-O1", "-o", path.join(tools, "attack"), path.join(SOURCE, "attack.c")]);
  fs.copyFileSync(path.join(SOURCE, "ask.mjs"), path.join(tools, "ask.mjs"));
  const config = modelConfig(model.url);
  config.permission = { bash: "allow", edit: "ask", external_directory: "allow" };
  fs.writeFileSync(modelFile, JSON.stringify(config));
  const pod = await startPod({
    ...{ dir, model, uid, prelude: secretsAt(uid ?? 0) },
    env: { OPENCODE_CONFIG: modelFile, CODEV_TOKEN: "", GITHUB_TOKEN_FILE: FILED, npm_config_offline: "true" },
    config: (c) => (sandbox ? c : { ...c, services: { opencode: { sandbox: "none" } } }),
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
  pod.openCodeAuth = async () => `Basic ${Buffer.from(`opencode:${password}`).toString("base64")}`;
  return { pod, model };
}

const read = (file) => `head -c 4 '${file}' >/dev/null && echo "WON ${file}" || echo "lost ${file}"`;
const write = (file) => `(: >> '${file}') 2>/dev/null && echo "WON ${file}" || echo "lost ${file}"`;

// [name, command]; in the command, A is the attack program. `uid`: only for an ordinary user.
function attacks(pod) {
  const A = path.join(pod.tools, "attack");
  const ask = (...args) => `node ${path.join(pod.tools, "ask.mjs")} ${args.join(" ")}`;
  const others = ["1", "codev-gateway", "codev-probes", "g:gateway", "g:opencode"];
  const looks = ["environ", "mem", "fd", "ptrace", "readv", "getfd", "signal"];
  const kernel = [
    ...["unshare", "userns", "clone3", "bpf", "io_uring", "keyring", "add_key", "perf", "userfaultfd", "chroot"],
    ...["mount /mnt", `mknod ${pod.src}/device`, "handle /etc/passwd"],
  ];
  const own = `$(pgrep -x opencode)`;
  return [
    ...others.flatMap((who) => looks.map((how) => [`${how} of ${who}`, `${A} ${how} ${who}`])),
    ...["environ", "mem", "fd", "ptrace", "readv", "getfd"].map((how) => [`${how} of OpenCode`, `${A} ${how} ${own}`]),
    ...kernel.map((call) => [call, `${A} ${call}`]),
    // Escapes: the walls are not made of names, sessions or parents.
    ["a renamed program", `cp ${A} ${pod.src}/codev-init && ${pod.src}/codev-init environ codev-gateway`],
    ["a session of its own", `setsid -w ${A} environ codev-gateway`],
    [
      "a double fork",
      `F=$(mktemp); (setsid sh -c "sleep 0.2; ${A} environ codev-gateway > $F.new; mv $F.new $F" >/dev/null 2>&1 &); ` +
        `for i in $(seq 100); do [ -s $F ] && break; sleep 0.1; done; cat $F`,
    ],
    // Files.
    ["the service account's token", read(ACCOUNT)],
    ["a secret by its file", read(FILED)],
    ["own state: read", read(`${pod.state}/opencode-password`)],
    ["own state: write", write(`${pod.state}/gateway.db`)],
    ["own state: make", write(`${pod.state}/new`)],
    ["the runtime folder: write", write(`${pod.runtime}/new`)],
    ["a login ticket", `cat ${pod.runtime}/login-* 2>/dev/null | grep -qE "[0-9a-f]{32}" && echo WON || echo lost`],
    ["the runtime folder: OpenCode's environment", write(`${pod.runtime}/opencode.env`)],
    ["the control socket", `${A} control ${pod.runtime}/control.sock`],
    ["codevctl", `CODEV_RUNTIME_DIR=${pod.runtime} codevctl status 2>&1 | grep -q plugin-watch && echo WON || echo lost`],
    // Secrets.
    ["the password in the environment", `env | grep -q ${pod.password} && echo WON || echo lost`],
    ["the password of OpenCode", `tr '\\0' '\\n' < /proc/${own}/environ | grep -q SERVER_PASSWORD= && echo WON || echo lost`],
    ["any password anywhere", `cat /proc/[0-9]*/environ 2>/dev/null | grep -aq ${pod.password} && echo WON || echo lost`],
    ["a decision at the gateway", ask("decide", pod.api, pod.state)],
    ["a second bridge", ask("bridge", pod.api, pod.state)],
  ];
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
        [bash(`cat <(echo substituted); diff <(echo a) <(echo a) && mktemp && mkdir -p ~/.cache/new-tool && echo x > ~/.cache/new-tool/x && echo cached`), /substituted[^]*cached/],
        [bash(`echo 'int main(void){return 42;}' > ${folder}/a.c && ${process.env.CC ?? "cc"} -o ${folder}/a ${folder}/a.c && ${folder}/a; echo status $?`), /status 42/],
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

    test("code left for OpenCode to load", async (t) => {
      const list = planted(pod);
      const made = `mkdir -p ${pod.src}/marks && cd ${pod.src}/other && git init -q && git add -A && git -c user.name=a -c user.email=a@localhost commit -q -m one`;
      await agentRuns(pod, [`mkdir -p ${pod.src}/marks`, ...list.map(writes), made]);
      // OpenCode reads all of it again: by itself, after a restart, in another folder.
      const where = `?directory=${encodeURIComponent(pod.src)}`;
      const other = `?directory=${encodeURIComponent(path.join(pod.src, "other"))}`;
      assert.equal((await pod.oc(`/instance/dispose${where}`, { method: "POST" })).status, 200);
      const old = (await pod.service("opencode")).pid;
      assert.equal((await pod.ctl("restart", "opencode")).code, 0);
      await eventually("another OpenCode is ready", async () => {
        const { pid, state } = await pod.service("opencode");
        return pid !== old && state === "ready";
      }, 60000);
      await pod.bridged();
      // Without the sandbox this waits for language servers that never answer.
      await work(pod, [["write", { filePath: `${pod.src}/note.txt`, content: "one\n" }]], 15000).catch(() => {});
      await pod.oc(`/session${other}`, { method: "POST", body: "{}" });
      await pod.oc(`/config${other}`);
      for (const route of ["/mcp", "/vcs", "/vcs/status", "/file/status"]) await pod.oc(route + other).catch(() => {});
      for (const [name] of list.filter(([name]) => name))
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
