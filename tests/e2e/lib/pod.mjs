// A whole pod: codev-init as PID 1 of its own PID and mount namespaces, a home on real mounts, the
// real OpenCode, the real plugin from an ai-dev git repository, a scripted model.
import fs from "node:fs";
import path from "node:path";
import { BIN, OPENCODE, TOP, eventually, freePorts, run, sh, sleep, startFakeModel, tempDir } from "./util.mjs";

const PLUGIN = "plugins/opencode-bridge";

// A bare repository that holds the bridge plugin, as the team's ai-dev does.
export function makeAiDev(dir, { withPlugin = true } = {}) {
  const bare = path.join(dir, "ai-dev.git");
  const work = path.join(dir, "ai-dev-work");
  const git = (...args) =>
    sh("git", ["-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "commit.gpgsign=false", ...args]);
  git("init", "-q", "--bare", "-b", "main", bare);
  git("init", "-q", "-b", "main", work);
  fs.writeFileSync(path.join(work, "README.md"), "ai-dev\n");
  if (withPlugin) {
    const to = path.join(work, PLUGIN);
    fs.mkdirSync(to, { recursive: true });
    for (const name of ["package.json", "package-lock.json", "tsconfig.json", "src", ".npmrc"])
      if (fs.existsSync(path.join(TOP, "bridge/plugin", name)))
        fs.cpSync(path.join(TOP, "bridge/plugin", name), path.join(to, name), { recursive: true });
    fs.writeFileSync(path.join(to, ".gitignore"), "node_modules/\ndist/\n");
  }
  git("-C", work, "add", "-A");
  git("-C", work, "commit", "-q", "-m", "plugin: bridge");
  git("-C", work, "push", "-q", bare, "HEAD:main");
  fs.rmSync(work, { recursive: true });
  return bare;
}

// The clone that a pod would make, prepared once per test run and copied: npm runs once.
let golden;
export function goldenCheckout() {
  if (golden) return golden;
  const dir = tempDir("golden");
  const bare = makeAiDev(dir);
  const repo = path.join(dir, "ai-dev");
  sh("git", ["clone", "-q", bare, repo]);
  const plugin = path.join(repo, PLUGIN);
  const done = run(path.join(BIN, "codev-prepare"), [], {
    env: { ...process.env, HOME: dir, CODEV_HOME: dir, CODEV_RUNTIME_DIR: dir, CODEV_PLUGIN_PATH: plugin },
  });
  golden = done.ended.then(({ code, err }) => {
    if (code !== 0 || !fs.existsSync(path.join(plugin, "dist")))
      throw new Error(`cannot prepare the plugin: ${err.slice(-800)}`);
    return { dir, bare, repo };
  });
  process.on("exit", () => fs.rmSync(dir, { recursive: true, force: true }));
  return golden;
}

export const modelConfig = (url) => ({
  model: "fake/fake-1",
  small_model: "fake/fake-1",
  enabled_providers: ["fake"],
  share: "disabled",
  autoupdate: false,
  provider: {
    fake: {
      npm: "@ai-sdk/openai-compatible",
      options: { baseURL: url, apiKey: "none" },
      models: { "fake-1": { name: "Fake 1", tool_call: true, limit: { context: 100000, output: 8000 }, cost: { input: 100, output: 100 } } },
    },
  },
  permission: { bash: "ask", edit: "ask" },
});

// Options:
//   plugin    "prepared" (a checkout ready to use), "clone" (from the bare repository), "none"
//   volume    "ext4" (a loop-mounted image), "bind", or a shell snippet run before PID 1 that may
//             use $STATE (the folder) and $HOME; { mb } sets the image's size
//   sources   "bind" ($HOME/src is a mount of its own) or ""
//   uid       PID 1 and all below it run as this user, without capabilities, as in a real pod
//   prelude   a shell snippet run before PID 1, after the mounts
//   env       more environment;  config: a function from the default config object to the one used
//   slack     what startFakeSlack() returned
export async function startPod(options = {}) {
  const { plugin = "prepared", volume = "ext4", sources = "bind", mb = 700, env = {}, slack, config = (c) => c, uid, prelude = "" } = options;
  const dir = options.dir ?? tempDir("pod");
  const home = path.join(dir, "home");
  const runtime = path.join(dir, "run");
  const [opencodePort, gatewayPort, probesPort] = await freePorts(3);
  const model = options.model ?? (await startFakeModel());
  for (const folder of [".local", "src/repos"]) fs.mkdirSync(path.join(home, folder), { recursive: true });
  fs.mkdirSync(runtime, { recursive: true, mode: 0o700 });
  // Beside what is closed to the agent nothing new can be made, so its own folder for it.
  const tmp = path.join(dir, "tmp");
  fs.mkdirSync(tmp, { recursive: true });
  const repo = path.join(home, "src/repos/ai-dev");
  let url = "";
  if (plugin === "prepared" && !fs.existsSync(repo)) {
    const ready = await goldenCheckout();
    sh("cp", ["-a", ready.repo, repo]);
  } else if (plugin === "clone") {
    url = `file://${fs.existsSync(path.join(dir, "ai-dev.git")) ? path.join(dir, "ai-dev.git") : makeAiDev(dir)}`;
  }
  const modelFile = path.join(dir, "model.json");
  fs.writeFileSync(modelFile, JSON.stringify(modelConfig(model.url)));
  const settings = config({
    home,
    storage: [{ path: path.join(home, ".local"), policy: "degrade", min_free: "16MiB", min_inodes: 100 }],
    plugin: { path: path.join(repo, PLUGIN), url },
    opencode: { hostname: "127.0.0.1", port: opencodePort },
    gateway: { listen: "127.0.0.1", port: gatewayPort },
    probes: { listen: "127.0.0.1", port: probesPort },
    stop_timeout: "15s",
  });
  const configFile = path.join(dir, "codev.yaml");
  fs.writeFileSync(configFile, JSON.stringify(settings, null, 2)); // JSON is YAML
  let mount = volume;
  if (volume === "ext4") {
    const image = path.join(dir, "state.img");
    if (!fs.existsSync(image)) {
      fs.writeFileSync(image, "");
      fs.truncateSync(image, mb * 1024 * 1024);
      sh("mkfs.ext4", ["-q", "-F", "-m", "0", image]);
    }
    mount = `mount -o loop '${image}' "$STATE"`;
  } else if (volume === "bind") {
    mount = `mount --bind "$STATE" "$STATE"`;
  }
  const slackEnv = slack
    ? {
        SLACK_BOT_TOKEN: slack.bot_token,
        SLACK_APP_TOKEN: slack.app_token,
        SLACK_API_URL: slack.api,
        SLACK_CHANNEL_ID: "C0DEV000001",
        SLACK_ALLOWED_USERS: "U0ALICE0001,U0BOB000001",
      }
    : {};
  // The repositories are on a volume of their own, as in the pod.
  if (sources === "bind") mount = `mount --bind "$HOME/src" "$HOME/src"\n${mount || ":"}`;
  // An ordinary user need not reach the folders that this was built in.
  const as = uid ? ordinary(uid, dir) : { before: "", command: "", bin: BIN, opencode: OPENCODE };
  const podEnv = {
    PATH: `${as.bin}:${path.dirname(as.opencode)}:${process.env.PATH}`,
    HOME: home,
    STATE: path.join(home, ".local"),
    CODEV_HOME: home,
    CODEV_CONFIG: configFile,
    CODEV_RUNTIME_DIR: runtime,
    CODEV_PLUGIN_LOG: path.join(tmp, "bridge-plugin.log"),
    OPENCODE_BIN: as.opencode,
    OPENCODE_CONFIG: modelFile,
    CODEV_TOKEN: "test-token-of-the-gateway",
    TMPDIR: tmp,
    LANG: "C.UTF-8",
    ...slackEnv,
    ...env,
  };
  const unshare = run(
    "unshare",
    [
      ...["--mount", "--pid", "--fork", "--mount-proc", "--kill-child=SIGKILL", "--propagation", "private"],
      ...["sh", "-ec", `${mount || ":"}\n${as.before}\n${prelude}\nexec ${as.command} "${as.bin}/codev-init"`],
    ],
    { env: podEnv, cwd: dir },
  );
  const pod = {
    ...{ dir, home, repo, runtime, model, settings, configFile, env: podEnv, child: unshare },
    plugin: path.join(repo, PLUGIN),
    api: `http://127.0.0.1:${gatewayPort}`,
    opencode: `http://127.0.0.1:${opencodePort}`,
    probes: `http://127.0.0.1:${probesPort}`,
    token: podEnv.CODEV_TOKEN,
    get log() {
      return unshare.out;
    },
    // PID 1 as this machine numbers it.
    get pid() {
      return Number(fs.readFileSync(`/proc/${unshare.pid}/task/${unshare.pid}/children`, "utf8").trim().split(" ")[0]);
    },
    // As kubectl exec: a process inside the pod's namespaces.
    exec(command, args = [], more = {}) {
      return run("nsenter", ["-t", String(pod.pid), "-m", "-p", "--", command, ...args], {
        env: { ...podEnv, ...more.env },
        cwd: dir,
        ...more.options,
      });
    },
    async ctl(...args) {
      return pod.exec(path.join(BIN, "codevctl"), args).ended;
    },
    async status() {
      const { out, err } = await pod.ctl("status", "--json");
      if (!out) throw new Error(`no status: ${err}`);
      return JSON.parse(out);
    },
    async service(name) {
      return (await pod.status()).services.find((s) => s.name === name);
    },
    // The service's pid as this machine numbers it (NSpid's first field).
    async hostPid(name) {
      const inner = String((await pod.service(name)).pid);
      for (const entry of fs.readdirSync("/proc").filter((e) => /^\d+$/.test(e))) {
        let text;
        try {
          text = fs.readFileSync(`/proc/${entry}/status`, "utf8");
        } catch {
          continue;
        }
        const ids = /^NSpid:\s+(.*)$/m.exec(text)?.[1].split(/\s+/) ?? [];
        if (ids.length === 2 && ids[1] === inner && sameNamespace(entry, pod.pid)) return Number(entry);
      }
      throw new Error(`no process for ${name}`);
    },
    async fetch(route, init = {}) {
      const response = await fetch(pod.api + route, {
        ...init,
        headers: {
          authorization: `Bearer ${pod.token}`,
          ...(init.body ? { "content-type": "application/json" } : {}),
          ...init.headers,
        },
        signal: AbortSignal.timeout(15000),
      });
      const text = await response.text();
      let body;
      try {
        body = JSON.parse(text);
      } catch {
        body = text;
      }
      return { status: response.status, body };
    },
    async openCodeAuth() {
      const { out } = await pod.ctl("password");
      return `Basic ${Buffer.from(`opencode:${out.trim()}`).toString("base64")}`;
    },
    async oc(route, init = {}) {
      const response = await fetch(pod.opencode + route, {
        ...init,
        headers: {
          authorization: await pod.openCodeAuth(),
          ...(init.body ? { "content-type": "application/json" } : {}),
        },
        signal: AbortSignal.timeout(30000),
      });
      const text = await response.text();
      return { status: response.status, body: text ? JSON.parse(text) : null };
    },
    ready: (ms = 90000) =>
      eventually("the pod is ready", async () => {
        if (unshare.exitCode !== null)
          throw Object.assign(new Error(`codev-init ended: ${pod.log.slice(-1500)} ${unshare.err.slice(-500)}`));
        return (await fetch(`${pod.probes}/readyz`, { signal: AbortSignal.timeout(2000) })).status === 200;
      }, ms),
    // The bridge plugin is connected: it feeds the gateway.
    bridged: (ms = 30000) =>
      eventually("the bridge is connected", async () => (await pod.fetch("/api/health")).body.bridge?.connected >= 1, ms),
    async prompt(text, more = {}) {
      const { status, body } = await pod.fetch("/api/sessions", {
        method: "POST",
        body: JSON.stringify({ prompt: text, title: "Test", ...more }),
      });
      if (status >= 300) throw new Error(`no session: ${status} ${JSON.stringify(body)}`);
      return body.session_id ?? body.id ?? body.session?.id;
    },
    request: (match = () => true, ms = 30000) =>
      eventually("a request waits", async () => {
        const { body } = await pod.fetch("/api/requests");
        return (body.requests ?? body).find((r) => r.state === "pending" && match(r));
      }, ms),
    decide: (id, decision, more = {}) =>
      pod.fetch(`/api/requests/${id}/decision`, { method: "POST", body: JSON.stringify({ decision, ...more }) }),
    async stop(signal = "SIGTERM") {
      if (unshare.exitCode === null && unshare.signalCode === null) {
        try {
          process.kill(pod.pid, signal);
        } catch {
          unshare.kill("SIGKILL");
        }
        const timer = setTimeout(() => unshare.kill("SIGKILL"), 30000);
        await unshare.ended;
        clearTimeout(timer);
      }
      return { code: unshare.exitCode, signal: unshare.signalCode };
    },
    async end() {
      await pod.stop();
      if (!options.model) model.stop();
      for (let i = 0; i < 20; i++) {
        try {
          fs.rmSync(dir, { recursive: true, force: true });
          break;
        } catch {
          await sleep(100);
        }
      }
    },
  };
  return pod;
}

// How a pod becomes an ordinary user's: our programs and OpenCode are mounted into its folder, which
// becomes its own.
function ordinary(uid, dir) {
  const [bin, opencode] = ["codev", "opencode"].map((name) => path.join(dir, name));
  for (const folder of [bin, opencode]) fs.mkdirSync(folder, { recursive: true });
  return {
    before: `
mount --bind '${path.dirname(BIN)}' '${bin}'
mount --bind '${path.dirname(OPENCODE)}' '${opencode}'
find '${dir}' \\( -path '${bin}' -o -path '${opencode}' \\) -prune -o -exec chown -h ${uid}:${uid} {} +`,
    command: `setpriv --reuid ${uid} --regid ${uid} --clear-groups --bounding-set -all --inh-caps -all --no-new-privs`,
    bin: path.join(bin, path.basename(BIN)),
    opencode: path.join(opencode, path.basename(OPENCODE)),
  };
}

function sameNamespace(a, b) {
  try {
    return fs.readlinkSync(`/proc/${a}/ns/pid`) === fs.readlinkSync(`/proc/${b}/ns/pid`);
  } catch {
    return false;
  }
}
