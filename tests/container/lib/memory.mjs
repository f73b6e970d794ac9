// The memory of each process of a pod, read on this machine. PSS: shared pages are shared out over
// those who have them, so that the figures add up; RSS: what `ps` says.
import fs from "node:fs";
import { sleep } from "../../e2e/lib/util.mjs";

function rollup(pid) {
  const text = fs.readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const of = (key) => Number(new RegExp(`^${key}:\\s+(\\d+)`, "m").exec(text)?.[1] ?? 0);
  return { pss: of("Pss"), rss: of("Rss") };
}

// Each process of the pid namespace of `pid`, as {inner, host, name}.
function processes(pid) {
  const space = fs.readlinkSync(`/proc/${pid}/ns/pid`);
  return fs
    .readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .flatMap((host) => {
      try {
        if (fs.readlinkSync(`/proc/${host}/ns/pid`) !== space) return [];
        const status = fs.readFileSync(`/proc/${host}/status`, "utf8");
        const inner = Number(/^NSpid:\s+.*?(\d+)$/m.exec(status)[1]);
        return [{ inner, host: Number(host), name: /^Name:\s+(.*)$/m.exec(status)[1] }];
      } catch {
        return []; // it ended
      }
    });
}

// {name: {pss, rss}} in KiB: codev-init, each service of `services` by its pid, the guards together,
// and together what OpenCode and others have started.
export function memoryOf(pid, services) {
  const names = new Map(services.filter((s) => s.pid).map((s) => [s.pid, s.name]));
  names.set(1, "codev-init");
  const sum = {};
  for (const { inner, host, name } of processes(pid)) {
    const who = names.get(inner) ?? (name.startsWith("g:") ? "guards" : "commands");
    try {
      const { pss, rss } = rollup(host);
      const s = (sum[who] ??= { pss: 0, rss: 0 });
      s.pss += pss;
      s.rss += rss;
    } catch {
      continue; // it ended
    }
  }
  return sum;
}

// Looks again and again until `end` is called. `peak`: the largest figure of each until now.
export function watchMemory(pid, services) {
  const peak = {};
  let on = true;
  const loop = (async () => {
    for (; on; await sleep(200))
      for (const [name, { pss, rss }] of Object.entries(memoryOf(pid, services))) {
        const p = (peak[name] ??= { pss: 0, rss: 0 });
        Object.assign(p, { pss: Math.max(p.pss, pss), rss: Math.max(p.rss, rss) });
      }
  })();
  const end = async () => {
    on = false;
    await loop;
  };
  return { peak, end };
}

// One line for each process, for a test's report.
export function memoryLines(figures) {
  const names = [...new Set(figures.flatMap(([, f]) => Object.keys(f)))];
  const part = ([when, f], name) => (f[name] ? `${when} ${f[name].pss} PSS ${f[name].rss} RSS` : `${when} none`);
  return names.map((name) => `figure: memory ${name}, KiB: ${figures.map((f) => part(f, name)).join(", ")}`);
}
