// PID 1 beside its peers, measured in one run and printed (nothing is asserted): memory, start-up,
// signals, orphans, idle; and as a supervisor, restarts, stops and logs. A peer that is not installed is
// left out. Needs root.   node bench/init/run.mjs [rounds] [orphans] [plain|supervisor]
import { execFileSync, spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const rounds = Number(process.argv[2] ?? 100);
const orphans = Number(process.argv[3] ?? 20000);
const only = process.argv[4]; // "plain" or "supervisor"
const here = path.dirname(fileURLToPath(import.meta.url));
const bin = process.env.CODEV_BIN_DIR ?? path.join(here, "../../build/gcc/bin");
// Where there is memory for files: a container's /run is one, and discs have their own moods.
const dir = fs.mkdtempSync(path.join(fs.existsSync("/dev/shm") ? "/dev/shm" : os.tmpdir(), "codev-bench-"));
const stamp = path.join(dir, "stamp");
execFileSync("gcc", ["-O2", "-static", "-o", stamp, path.join(here, "stamp.c")]);

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const at = (list, part) => [...list].sort((a, b) => a - b)[Math.min(list.length - 1, Math.floor(list.length * part))];
const here_ = (program) => spawnSync("sh", ["-c", `command -v ${program}`]).status === 0;
let logs = 0;
const newLog = () => path.join(dir, `log${logs++}`);
function lines(log, tag) {
  const text = fs.existsSync(log) ? fs.readFileSync(log, "utf8") : "";
  return text.split("\n").map((l) => l.split(" ")).filter((l) => l[0] === tag).map((l) => ({ value: Number(l[1]), pid: Number(l[2]) }));
}
async function until(what, fn, ms = 30000) {
  for (const end = Date.now() + ms; ;) {
    const got = await fn();
    if (got) return got;
    if (Date.now() > end) throw new Error(`no ${what} within ${ms} ms`);
    await sleep(2);
  }
}
const count = (log, tag, n) => until(`${n} × ${tag}`, () => { const l = lines(log, tag); return l.length >= n && l; });

function memory(pid) {
  const text = fs.readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const kib = (name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(text)[1]);
  return { rss: kib("Rss"), pss: kib("Pss") };
}
function switches(pid) {
  const text = fs.readFileSync(`/proc/${pid}/status`, "utf8");
  return [...text.matchAll(/ctxt_switches:\s+(\d+)/g)].reduce((sum, m) => sum + Number(m[1]), 0);
}
function ticks(pid) { // user and system time, in ms
  const f = fs.readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  return (Number(f[11]) + Number(f[12])) * 10;
}
const cpuMs = (pid) => Number(fs.readFileSync(`/proc/${pid}/schedstat`, "utf8").split(" ")[0]) / 1e6;
const children = (pid) => fs.readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean).map(Number);
const tree = (pid) => [pid, ...children(pid).flatMap(tree)];

const table = [];
const note = (what, who, value, unit) => table.push({ what, who, value, unit });
function print(title, base) {
  if (!table.length) return;
  console.log(`\n${title} (in brackets: as a multiple of ${base})`);
  for (const what of new Set(table.map((r) => r.what))) {
    const rows = table.filter((r) => r.what === what), first = rows.find((r) => r.who === base);
    console.log(`  ${what}, ${rows[0].unit}`);
    for (const r of rows) {
      const ratio = first?.value ? `  (${(r.value / first.value).toFixed(2)})` : "";
      console.log(`    ${r.who.padEnd(14)} ${String(r.value).padStart(9)}${ratio}`);
    }
  }
  table.length = 0;
}

const namespace = ["--pid", "--fork", "--mount-proc", "--kill-child"]; // they are PID 1 in it

// ---- plain ----
const plain = [
  ["codev-init", [path.join(bin, "codev-init"), "--"]],
  ["tini", ["tini", "--"]],
  ["tini-static", ["tini-static", "--"]],
  ["dumb-init", ["dumb-init", "--"]],
  ["catatonit", ["catatonit", "--"]],
].filter(([, argv]) => here_(argv[0]));

// One round of each after the other, so that what else the machine does meets all of them.
async function startUp() {
  const took = new Map([["alone", []], ...plain.map(([who]) => [who, []])]);
  for (let i = 0; i < rounds; i++)
    for (const [who, argv] of [["alone", []], ...plain]) {
      const log = newLog();
      spawnSync(stamp, ["exec", log, ...argv, stamp, "quick", log], { stdio: "ignore" });
      took.get(who).push((lines(log, "main")[0].value - lines(log, "exec")[0].value) / 1000);
      fs.rmSync(log);
    }
  for (const [name, part] of [["median", 0.5], ["least", 0]]) {
    const floor = at(took.get("alone"), part);
    for (const [who] of plain)
      note(`start-up overhead: exec of init → main of its child, less the child alone, ${name}`, who, Math.round(at(took.get(who), part) - floor), "µs");
  }
}

async function atRest() {
  const all = [];
  for (const [who, argv] of plain) {
    const log = newLog();
    const child = spawn(argv[0], [...argv.slice(1), stamp, "catch", log], { stdio: "ignore" });
    await count(log, "main", 1);
    all.push({ who, child, log, took: [] });
  }
  for (const a of all) {
    const m = memory(a.child.pid);
    note("RSS, idle", a.who, m.rss, "KiB");
    a.pss = m.pss;
  }
  for (const a of all) note("PSS, idle", a.who, a.pss, "KiB");
  for (let i = 0; i < rounds * 3; i++)
    for (const a of all) {
      spawnSync(stamp, ["send", a.log, String(a.child.pid), "10"]);
      const caught = await count(a.log, "caught", i + 1);
      a.took.push((caught[i].value - lines(a.log, "send")[i].value) / 1000);
    }
  for (const [name, part] of [["median", 0.5], ["p99", 0.99]])
    for (const a of all) note(`signal → handler in the child, ${name}`, a.who, Math.round(at(a.took, part)), "µs");
  for (const a of all) a.before = switches(a.child.pid);
  await sleep(10000);
  for (const a of all) note("context switches in 10 s, idle", a.who, switches(a.child.pid) - a.before, "");
  for (const a of all) a.child.kill("SIGKILL");
  for (const a of all) for (const m of lines(a.log, "main")) try { process.kill(m.pid, "SIGKILL"); } catch { /* gone */ }
}

// In a PID namespace of its own, as PID 1.
async function flood() {
  for (const [who, argv] of plain) {
    const log = newLog();
    const child = spawn("unshare", [...namespace, ...argv,
      "sh", "-c", `${stamp} flood ${log} ${orphans}; exec ${stamp} main ${log}`], { stdio: "ignore" });
    await until("zombies", () => lines(log, "main").length, 300000);
    const init = children(child.pid)[0];
    note(`most unreaped of ${orphans} orphans`, who, lines(log, "zombies")[0].value, "");
    table.push({ what: `CPU for ${orphans} orphans`, who, value: ticks(init), unit: "ms" });
    child.kill("SIGKILL");
  }
  table.sort((a, b) => (a.what < b.what ? 1 : a.what > b.what ? -1 : 0));
}

// ---- supervisors ----
function codev(home, mode, log, ...more) {
  const config = path.join(home, "codev.yaml");
  const idle = () => ({ command: ["sleep", "1000000"], cwd: "/", sandbox: "none" });
  fs.writeFileSync(config, JSON.stringify({
    storage: [],
    services: {
      probes: { command: [stamp, mode, log, ...more], sandbox: "none", backoff: { first: 0, jitter: 0 }, restart_limit: { count: 0 }, stop: { grace: "300ms" } },
      gateway: idle(), prepare: { command: ["true"], sandbox: "none" }, opencode: idle(), "plugin-watch": idle(),
    },
  }));
  return { argv: [path.join(bin, "codev-init")], env: { CODEV_CONFIG: config, CODEV_RUNTIME_DIR: path.join(home, "run"), HOME: home, CODEV_STATE_DIR: path.join(home, "state") } };
}
function script(file, text) {
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, `#!/bin/sh\n${text}\n`, { mode: 0o755 });
}
const supervisors = [
  ["codev-init", codev, "codev-config"],
  ["s6", (home, mode, log, ...more) => {
    script(path.join(home, "scan/one/run"), `exec ${stamp} ${mode} ${log} ${more.join(" ")}`);
    if (mode === "talk") script(path.join(home, "scan/one/log/run"), `exec s6-log n2 s16000000 ${home}/log.d`);
    return { argv: ["s6-svscan", path.join(home, "scan")] };
  }, "s6-svscan"],
  ["runit", (home, mode, log, ...more) => {
    script(path.join(home, "scan/one/run"), `exec ${stamp} ${mode} ${log} ${more.join(" ")}`);
    fs.mkdirSync(path.join(home, "log.d"));
    if (mode === "talk") script(path.join(home, "scan/one/log/run"), `exec svlogd ${home}/log.d`);
    return { argv: ["runsvdir", path.join(home, "scan")] };
  }, "runsvdir"],
  ["supervisord", (home, mode, log, ...more) => {
    fs.writeFileSync(path.join(home, "s.conf"), `[supervisord]\nnodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile=${home}/pid\n[program:one]\ncommand=${stamp} ${mode} ${log} ${more.join(" ")}\nstdout_logfile=${home}/stdout\nstdout_logfile_maxbytes=16MB\nstdout_logfile_backups=1\nstartsecs=0\nstartretries=1000000\nautorestart=true\nstopwaitsecs=1\n`);
    return { argv: ["supervisord", "-c", path.join(home, "s.conf")] };
  }, "supervisord"],
].filter(([who, , program]) => who === "codev-init" || here_(program));

async function start([who, make], mode, { more = [], stdio = "ignore" } = {}) {
  const home = fs.mkdtempSync(path.join(dir, `${who}-`)), log = path.join(home, "log");
  fs.mkdirSync(path.join(home, "src"));
  const { argv, env } = make(home, mode, log, ...more);
  const clean = Object.fromEntries(Object.entries(process.env).filter(([k]) => !k.startsWith("CODEV_")));
  const child = spawn("unshare", [...namespace, stamp, "exec", log, ...argv], { stdio, env: { ...clean, ...env } });
  await sleep(100); // looking at the log takes a processor from what is measured
  await count(log, "main", 1);
  return { who, child, log, home, pid1: children(child.pid)[0] };
}
// What this machine calls a process that has that number in the namespace.
function outer(run, inner) {
  return tree(run.pid1).find((pid) => new RegExp(`^NSpid:.*\\s${inner}$`, "m").test(fs.readFileSync(`/proc/${pid}/status`, "utf8")));
}
async function end(s) {
  const ended = new Promise((done) => s.child.once("exit", done));
  s.child.kill("SIGKILL"); // and with it the namespace
  await ended;
  await sleep(100); // the kernel takes it apart
}

async function supervise(s, mode, name, n, pause) {
  const run = await start(s, mode);
  const took = [];
  for (let i = 0; i < n; i++) {
    await sleep(pause); // s6 and runit do not start a service more than once a second
    const before = lines(run.log, "main");
    spawnSync(stamp, ["send", run.log, String(outer(run, before.at(-1).pid)), "9"]);
    const now = await count(run.log, "main", before.length + 1);
    took.push((now.at(-1).value - lines(run.log, "send").at(-1).value) / 1000);
  }
  note(`killed → running again, ${name}, median`, run.who, Math.round(at(took, 0.5)), "µs");
  note(`killed → running again, ${name}, p99`, run.who, Math.round(at(took, 0.99)), "µs");
  await end(run);
}

// What a plain init needs for the same: the measure of the budget.
function tiniAlone() {
  const took = [];
  for (let i = 0; here_("tini") && i < Math.max(5, rounds / 10); i++) {
    const log = newLog();
    spawnSync(stamp, ["exec", log, "tini", "--", stamp, "quick", log], { stdio: "ignore" });
    took.push((lines(log, "main")[0].value - lines(log, "exec")[0].value) / 1000);
  }
  for (const [name, part] of took.length ? [["median", 0.5], ["least", 0]] : [])
    note(`exec of PID 1 → main of a service, ${name}`, "(tini, plain)", Math.round(at(took, part)), "µs");
}

async function supervisorRest() {
  for (const s of supervisors) {
    const took = [];
    for (let i = 0; i < Math.max(5, rounds / 4); i++) {
      const run = await start(s, "main");
      took.push((lines(run.log, "main")[0].value - lines(run.log, "exec")[0].value) / 1000);
      if (i === 0) {
        await sleep(1500);
        const m = memory(run.pid1);
        note("RSS of PID 1", run.who, m.rss, "KiB");
        note("PSS of PID 1", run.who, m.pss, "KiB");
        const services = s[0] === "codev-init" ? 4 : 1; // the others run that one only
        note("PSS of it and its helpers, for each service", run.who, Math.round(own(run).reduce((sum, pid) => sum + memory(pid).pss, 0) / services), "KiB");
      }
      await end(run);
    }
    note("exec of PID 1 → main of a service, median", s[0], Math.round(at(took, 0.5)), "µs");
    note("exec of PID 1 → main of a service, least", s[0], Math.round(at(took, 0)), "µs");
  }
}

const own = (run) => tree(run.pid1).filter((pid) => !/stamp$|sleep$|coreutils$/.test(fs.readlinkSync(`/proc/${pid}/exe`)));

// Each keeps its log in its own way: ours as JSON lines on stdout (/dev/null here), the others in a
// file of their own.
async function talk(s, mib) {
  const run = await start(s, "talk", { more: [mib] });
  await count(run.log, "talked", 1);
  await sleep(500);
  const cpu = own(run).reduce((sum, pid) => sum + cpuMs(pid), 0);
  note("log lines of 100 bytes, for each second of CPU", s[0], Math.round(mib / (cpu / 1000)), "MiB");
  await end(run);
}

// One question to the control socket, as codevctl asks it.
const ask = (run, words) => new Promise((done, failed) => {
  const began = performance.now(), socket = net.connect(path.join(run.home, "run/control.sock"));
  let text = "";
  socket.on("connect", () => socket.write(`${words}\n`));
  socket.on("data", (d) => { text += d; });
  socket.on("end", () => done({ text, ms: performance.now() - began }));
  socket.on("error", failed);
});

// Four writers without end, and a stdout that nobody reads.
async function status() {
  if (!supervisors.length) return;
  const run = await start(supervisors[0], "talk", { more: [0], stdio: ["ignore", "pipe", "ignore"] });
  const took = [];
  const cpu = cpuMs(run.pid1), begun = performance.now();
  for (let i = 0; i < Math.max(200, rounds * 2); i++) {
    took.push((await ask(run, "status")).ms);
    await sleep(5);
  }
  const pid = outer(run, lines(run.log, "main")[0].pid);
  const written = Number(/^wchar: (\d+)/m.exec(fs.readFileSync(`/proc/${pid}/io`, "utf8"))[1]);
  const seconds = (performance.now() - begun) / 1000;
  console.log(`\nwhile a service writes ${Math.round(written / seconds / 1e6)} MB/s and nobody reads stdout`);
  for (const [name, part] of [["median", 0.5], ["p99", 0.99], ["most", 1]])
    console.log(`  status answered after, ${name.padEnd(8)} ${at(took, part).toFixed(2).padStart(7)} ms`);
  console.log(`  RSS of PID 1 ${memory(run.pid1).rss} KiB, its CPU ${Math.round((cpuMs(run.pid1) - cpu) / seconds / 10)} %`);
  await end(run);
}

async function stubborn() {
  if (!supervisors.length) return;
  const [who] = supervisors[0];
  const run = await start(supervisors[0], "deaf");
  const pid = outer(run, lines(run.log, "main")[0].pid);
  const begun = performance.now();
  process.kill(run.pid1, "SIGTERM");
  await until("end", () => !fs.existsSync(`/proc/${pid}`));
  note("stubborn service, its grace 300 ms: gone after", who, Math.round(performance.now() - begun), "ms");
  await end(run);
}

try {
  console.log(`${os.cpus().length} cores, load ${os.loadavg()[0].toFixed(1)}, kernel ${os.release()}; ${rounds} rounds`);
  if (!only || only === "plain") {
    await startUp();
    await atRest();
    print("plain init", "tini");
    await flood();
    print("plain init as PID 1", "tini");
  }
  if (only === "plain") supervisors.length = 0;
  await supervisorRest();
  if (supervisors.length) tiniAlone();
  print("supervisor", "s6");
  for (const s of supervisors) {
    const slow = s[0] === "s6" || s[0] === "runit";
    await supervise(s, "main", "no delay set", slow ? 8 : rounds, slow ? 1100 : 15);
    await supervise(s, "held", "its stdout held by a helper", slow ? 8 : rounds, slow ? 1100 : 15);
  }
  for (const s of supervisors) await talk(s, 200);
  await stubborn();
  print("supervisor, restarts, stops and logs", "s6");
  await status();
} finally {
  fs.rmSync(dir, { recursive: true, force: true });
}
