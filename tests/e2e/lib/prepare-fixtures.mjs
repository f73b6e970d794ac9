// What the tests of codev-prepare need: small plugins in git repositories, a git server over
// https, the program itself, and a look into the real OpenCode without a network.
import { spawn } from "node:child_process";
import fs from "node:fs";
import https from "node:https";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { BIN, IS_ROOT, OPENCODE, eventually, run, sh, tempDir } from "./util.mjs";

export const PREPARE = path.join(BIN, "codev-prepare");
export const PLUGIN = "plugins/opencode-bridge";

export const git = (dir, ...args) =>
  sh("git", ["-C", dir, "-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "commit.gpgsign=false", ...args]);

// The smallest plugin that OpenCode loads: it leaves a line where PLUGIN_LOG says.
const SOURCE = `import fs from "node:fs";
export const Bridge = async ({ directory }) => {
  if (process.env.PLUGIN_LOG) fs.appendFileSync(process.env.PLUGIN_LOG, "bridge " + directory + "\\n");
  return {};
};
`;

export const PACKAGE = {
  name: "@opencode/bridge-plugin",
  version: "1.0.0",
  type: "module",
  main: "dist/index.js",
  scripts: { build: "node build.cjs" },
  dependencies: { dep: "file:./dep" },
};

const LOCK = {
  ...{ name: PACKAGE.name, version: "1.0.0", lockfileVersion: 3, requires: true },
  packages: {
    "": { name: PACKAGE.name, version: "1.0.0", dependencies: PACKAGE.dependencies },
    dep: { version: "1.0.0" },
    "node_modules/dep": { resolved: "dep", link: true },
  },
};

export function writePlugin(dir, { pkg = PACKAGE, lock = LOCK, build } = {}) {
  fs.mkdirSync(path.join(dir, "src"), { recursive: true });
  fs.mkdirSync(path.join(dir, "dep"), { recursive: true });
  const put = (name, text) => fs.writeFileSync(path.join(dir, name), text);
  put("package.json", typeof pkg === "string" ? pkg : JSON.stringify(pkg, null, 2));
  if (lock) put("package-lock.json", JSON.stringify(lock, null, 2));
  put("dep/package.json", '{"name":"dep","version":"1.0.0"}');
  put("src/index.js", SOURCE);
  put(
    "build.cjs",
    build ?? `require("fs").mkdirSync("dist",{recursive:true});require("fs").copyFileSync("src/index.js","dist/index.js");`,
  );
  put(".gitignore", "node_modules/\ndist/\n");
}

// A world of its own: origin (an ai-dev repository), home, runtime folder.
export function makeWorld(t, options = {}) {
  const dir = tempDir("prepare");
  const home = path.join(dir, "home");
  const world = {
    ...{ dir, home, runtime: path.join(dir, "run"), origin: path.join(dir, "origin") },
    repo: path.join(home, "src/repos/ai-dev"),
    plugin: path.join(home, "src/repos/ai-dev", PLUGIN),
    link: path.join(home, ".config/opencode/node_modules/@opencode/bridge-plugin"),
  };
  fs.mkdirSync(path.join(home, "src/repos"), { recursive: true });
  fs.mkdirSync(world.origin);
  git(world.origin, "init", "-q", "-b", "main");
  fs.writeFileSync(path.join(world.origin, "README.md"), "ai-dev\n");
  if (options.plugin !== false) writePlugin(path.join(world.origin, PLUGIN), options);
  world.commit = (message = "change") => {
    git(world.origin, "add", "-A");
    git(world.origin, "commit", "-q", "-m", message);
  };
  world.commit("first");
  world.clone = () => sh("git", ["clone", "-q", world.origin, world.repo]);
  world.url = `file://${world.origin}`;
  world.at = (name) => path.join(world.plugin, name);
  world.read = (name) => fs.readFileSync(path.join(world.runtime, name), "utf8");
  world.environment = (env = {}) => ({
    ...{ PATH: process.env.PATH, HOME: home, TMPDIR: dir, LANG: "C.UTF-8" },
    ...{ CODEV_HOME: home, CODEV_RUNTIME_DIR: world.runtime },
    ...env,
  });
  world.start = (env, args = ["--json"]) => run(PREPARE, args, { env: world.environment(env), cwd: dir });
  // The same in a mount namespace of its own, after a shell snippet that may use $HOME.
  world.startMounted = (script, env) =>
    run("unshare", ["-m", "--propagation", "private", "sh", "-ec", `${script}\nexec "$0" "$@"`, PREPARE, "--json"], {
      env: world.environment(env),
      cwd: dir,
    });
  world.prepareMounted = (script, env) => finished(world.startMounted(script, env));
  world.prepare = (env, args) => finished(world.start(env, args));
  const finished = async (child) => {
    const { code, signal, out, err } = await child.ended;
    const log = err
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line).msg);
    return { code, signal, log, text: log.join("\n"), err, ...(out ? JSON.parse(out) : {}) };
  };
  t.after(() => fs.rmSync(dir, { recursive: true, force: true }));
  return world;
}

// A PATH whose npm and node leave a mark: shows that they were not started.
export function tripwire(world) {
  const bin = path.join(world.dir, "tripwire");
  const mark = path.join(world.dir, "started");
  fs.mkdirSync(bin, { recursive: true });
  for (const name of ["npm", "node", "git"])
    fs.writeFileSync(path.join(bin, name), `#!/bin/sh\necho ${name} >>'${mark}'\nexit 1\n`, { mode: 0o755 });
  return { PATH: `${bin}:/usr/bin:/bin`, touched: () => fs.existsSync(mark) };
}

// Processes that work in this world's folders: what a killed run may leave behind. By working folder,
// so that other tests on this machine don't count.
export function processesOf(world, name = "") {
  return fs.readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return false;
    try {
      const state = /^State:\s+(\S)/m.exec(fs.readFileSync(`/proc/${pid}/status`, "utf8"))[1];
      const inside = fs.readlinkSync(`/proc/${pid}/cwd`).startsWith(`${world.dir}/`);
      return state !== "Z" && inside && fs.readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(name);
    } catch {
      return false;
    }
  });
}

// git http-backend behind https with a certificate of its own CA. `token`: what Basic auth must
// hold; `stall`: after so many bytes of a pack the answer stops for good; `pace`: ms
// between two pieces of it.
export async function startGitServer(world, { token, stall, pace } = {}) {
  const at = (name) => path.join(world.dir, name);
  const ssl = (...args) => sh("openssl", args);
  ssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", at("ca.key"), "-out", at("ca.pem"), "-days", "2",
    "-subj", "/CN=test ca", "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign");
  ssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", at("tls.key"), "-out", at("tls.csr"), "-subj", "/CN=localhost");
  fs.writeFileSync(at("ext"), "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n");
  ssl("x509", "-req", "-in", at("tls.csr"), "-CA", at("ca.pem"), "-CAkey", at("ca.key"), "-CAcreateserial", "-days", "2",
    "-extfile", at("ext"), "-out", at("tls.pem"));
  const seen = [];
  const server = https.createServer({ key: fs.readFileSync(at("tls.key")), cert: fs.readFileSync(at("tls.pem")) });
  server.on("request", (request, response) => {
    seen.push(request.headers.authorization ?? "");
    const want = `Basic ${Buffer.from(`x-access-token:${token}`).toString("base64")}`;
    if (token && request.headers.authorization !== want) {
      response.writeHead(401, { "www-authenticate": 'Basic realm="git"' }).end();
      return;
    }
    cgi(world, request, response, stall, pace);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    ...{ server, seen, ca: at("ca.pem"), url: `https://localhost:${server.address().port}/origin` },
    stop() {
      server.closeAllConnections();
      server.close();
    },
  };
}

function cgi(world, request, response, stall, pace) {
  const [pathname, query = ""] = request.url.split("?");
  const child = spawn("git", ["http-backend"], {
    env: {
      ...{ PATH: process.env.PATH, HOME: world.dir, GIT_PROJECT_ROOT: world.dir, GIT_HTTP_EXPORT_ALL: "1" },
      ...{ PATH_INFO: pathname.replace("/origin/", "/origin/.git/"), QUERY_STRING: query },
      ...{ REQUEST_METHOD: request.method, CONTENT_TYPE: request.headers["content-type"] ?? "" },
      ...(request.headers["content-encoding"] ? { HTTP_CONTENT_ENCODING: request.headers["content-encoding"] } : {}),
    },
    stdio: ["pipe", "pipe", "inherit"],
  });
  request.pipe(child.stdin);
  child.stdin.on("error", () => {});
  let head = Buffer.alloc(0);
  let sent = 0;
  let open = false;
  const body = (data) => {
    if (stall !== undefined && pathname.endsWith("git-upload-pack") && sent + data.length > stall) {
      response.write(data.subarray(0, Math.max(0, stall - sent)));
      sent = stall;
      return;
    }
    sent += data.length;
    response.write(data);
    if (pace && pathname.endsWith("git-upload-pack")) {
      child.stdout.pause();
      setTimeout(() => child.stdout.resume(), pace);
    }
  };
  child.stdout.on("data", (data) => {
    if (open) return body(data);
    head = Buffer.concat([head, data]);
    const end = head.indexOf("\r\n\r\n");
    if (end < 0) return;
    open = true;
    let status = 200;
    for (const line of head.subarray(0, end).toString().split("\r\n")) {
      const [name, value] = line.split(": ");
      if (name.toLowerCase() === "status") status = Number.parseInt(value, 10);
      else response.setHeader(name, value);
    }
    response.writeHead(status);
    body(head.subarray(end + 4));
  });
  child.stdout.on("end", () => {
    if (stall === undefined || !pathname.endsWith("git-upload-pack")) response.end();
  });
}

// The real OpenCode on this home with what codev-prepare wrote, in a network of loopback only (so
// that its own npm can't reach anything). Says whether it came up, how long the first request of a
// directory took, what loaded, and the configuration as OpenCode sees it.
export const canIsolate = (() => {
  try {
    sh("unshare", [...(IS_ROOT ? [] : ["-Ur"]), "-n", "ip", "link", "set", "lo", "up"]);
    return fs.existsSync(OPENCODE) || !OPENCODE.includes("/");
  } catch {
    return false;
  }
})();

export async function lookIntoOpenCode(world, { env = {}, directory, script = ":", limit = 30000 } = {}) {
  const log = path.join(world.dir, `plugin-log-${Math.random().toString(36).slice(2)}`);
  fs.writeFileSync(log, "");
  const given = world.read("opencode.env").split("\n").filter(Boolean);
  const told = Object.fromEntries(given.map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]));
  const child = run(
    "unshare",
    [
      ...(IS_ROOT ? [] : ["-Ur"]),
      ...["-n", "-m", "--propagation", "private", "--pid", "--fork", "--kill-child=SIGKILL"],
      ...["sh", "-ec", `ip link set lo up\n${script}\nexec "$0" "$@"`, process.execPath],
      ...[fileURLToPath(import.meta.url), "--look", OPENCODE, directory ?? path.join(world.home, "src"), String(limit)],
    ],
    {
      env: {
        ...world.environment({ OPENCODE_DISABLE_MODELS_FETCH: "1", PLUGIN_LOG: log, ...env }),
        ...told,
      },
      cwd: path.join(world.home, "src"),
    },
  );
  const { out, err } = await child.ended;
  if (!out.trim()) throw new Error(`no answer: ${err.slice(-800)}`);
  const loads = fs.readFileSync(log, "utf8").split("\n").filter(Boolean);
  return { ...JSON.parse(out), loads, bridges: loads.filter((line) => line.startsWith("bridge ")).length };
}

async function look(opencode, directory, limit) {
  const child = spawn(opencode, ["serve", "--port", "4096"], { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (said += data));
  let exit = null;
  child.on("exit", (code) => (exit = code ?? -1));
  const base = "http://127.0.0.1:4096";
  const get = async (route, ms) => {
    const response = await fetch(base + route, { signal: AbortSignal.timeout(ms) });
    return { status: response.status, body: await response.json() };
  };
  const result = { up: false };
  try {
    await eventually("OpenCode answers", async () => exit !== null || (await get("/global/health", 500)).body.healthy, limit);
    if (exit !== null) throw new Error(`OpenCode ended with ${exit}: ${said.slice(-600)}`);
    result.up = true;
    const begun = Date.now();
    const query = `?directory=${encodeURIComponent(directory)}`;
    result.status = (await get(`/session/status${query}`, limit)).status;
    result.first_ms = Date.now() - begun;
    if (result.status === 200) result.config = (await get(`/config${query}`, 5000)).body;
  } catch (error) {
    result.error = error.message;
  }
  console.log(JSON.stringify(result));
  child.kill("SIGKILL");
}

if (process.argv[2] === "--look") await look(process.argv[3], process.argv[4], Number(process.argv[5]));
