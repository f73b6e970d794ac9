// Small helpers of the end-to-end tests: retry with a deadline, free ports, children, files.
import { spawn, execFileSync } from "node:child_process";
import net from "node:net";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const TOP = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../..");
export const BIN = process.env.CODEV_BIN_DIR ?? path.join(TOP, "build/gcc/bin");
export const OPENCODE = process.env.OPENCODE_BIN ?? "opencode";
export const IS_ROOT = process.getuid() === 0;

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// A function of numbers from 0 to 1, the same for the same seed (mulberry32).
export function random(a) {
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

// Calls `fn` until it returns something truthy; throws with the last reason after `ms`.
export async function eventually(what, fn, ms = 20000, every = 100) {
  const deadline = Date.now() + ms;
  let last;
  for (;;) {
    try {
      const value = await fn();
      if (value) return value;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (Date.now() >= deadline)
      throw new Error(`not within ${ms} ms: ${what}${last ? ` (${last.message})` : ""}`);
    await sleep(every);
  }
}

const listenOn = (port) =>
  new Promise((resolve, reject) => {
    const server = net.createServer().on("error", reject);
    server.listen(port, "127.0.0.1", () => resolve(server));
  });

// Below the ports that the kernel gives to connections (32768 and up): until the program listens, one
// of those could be taken by a client.
async function listenBelow() {
  for (let tries = 0; ; tries++)
    try {
      return await listenOn(10000 + Math.floor(Math.random() * 22000));
    } catch (error) {
      if (tries === 100) throw error;
    }
}

export async function freePorts(count) {
  const servers = await Promise.all(Array.from({ length: count }, listenBelow));
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

export function tempDir(prefix) {
  return fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), `codev-${prefix}-`)));
}

export const sh = (command, args, options = {}) =>
  execFileSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], ...options });

// A child whose output is kept, with a promise of its end.
export function run(command, args, options = {}) {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
  child.out = "";
  child.err = "";
  child.stdout?.on("data", (data) => (child.out += data));
  child.stderr?.on("data", (data) => (child.err += data));
  child.ended = new Promise((resolve) =>
    child.on("close", (code, signal) => resolve({ code, signal, out: child.out, err: child.err })),
  );
  child.on("error", (error) => (child.err += error.message));
  return child;
}

// The first line of a child's stdout that `match` accepts.
export function firstLine(child, match = () => true, ms = 15000) {
  return eventually(
    "a line of the child's output",
    () => {
      if (child.exitCode !== null) throw new Error(`it ended: ${child.err.slice(-400)}`);
      return child.out.split("\n").slice(0, -1).find(match);
    },
    ms,
    20,
  );
}

export async function startFakeModel(env = {}) {
  const child = run(process.execPath, [path.join(TOP, "tests/fakes/llm/server.mjs"), "0"], {
    env: { ...process.env, ...env },
  });
  const line = await firstLine(child, (l) => l.includes("http://"));
  return { url: /http:\S+/.exec(line)[0], stop: () => child.kill("SIGKILL") };
}

export async function startFakeSlack(args = []) {
  const child = run(process.execPath, [
    path.join(TOP, "tests/fakes/slack/server.mjs"),
    ...["--port", "0", "--quiet", "true"],
    ...["--manifest", path.join(TOP, "bridge/slack-app-manifest.yaml")],
    ...args,
  ]);
  const info = JSON.parse(await firstLine(child, (l) => l.startsWith("{")));
  const control = async (name, body) => {
    const response = await fetch(info.control + name, {
      method: body === undefined ? "GET" : "POST",
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await response.text();
    let answer;
    try {
      answer = JSON.parse(text);
    } catch {
      answer = text;
    }
    if (!response.ok) throw Object.assign(new Error(`${name}: ${response.status} ${text}`), { status: response.status });
    return answer;
  };
  return { ...info, control, stop: () => child.kill("SIGKILL") };
}

// Asks the OpenCode at `url` about one directory: GET, or POST with a body.
export const openCodeApi = (url, directory) => async (route, body) => {
  const r = await fetch(`${url}${route}${route.includes("?") ? "&" : "?"}directory=${encodeURIComponent(directory)}`, {
    method: body ? "POST" : "GET",
    headers: body ? { "content-type": "application/json" } : {},
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(15000),
  });
  const text = await r.text();
  return { status: r.status, body: text ? JSON.parse(text) : null };
};
