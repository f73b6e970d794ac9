// The pod: services, volumes, the plugin, and what the gateway is linked to.
import { $, el, exact } from "./text.js";
import { api } from "./api.js";

const REFRESH_MS = 10000; // memory and uptime, while it is looked at
let shown = false;
let timer;
let links;

const GOOD = new Set(["ready", "done", "running"]);
const kindOf = (s) => (s.state === "failed" || s.state === "unhealthy" || s.health === "fail" ? "bad" : s.state === "stopped" ? "off" : GOOD.has(s.state) ? "ok" : "wait");

export function duration(ms) {
  const s = Math.floor(ms / 1000);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 172800) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} days`;
}

export function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) {
    n /= 1024;
    i++;
  }
  return `${n < 10 && i > 0 ? n.toFixed(1) : Math.round(n)} ${units[i]}`;
}

const badge = (kind, text) => el("span", `badge ${kind}`, text);
const line = (text, className = "detail") => el("p", className, exact(text));

function row(title, kind, state, ...details) {
  return el("li", "thing", el("div", "top", el("h4", "", title), badge(kind, state)), ...details.filter(Boolean));
}

function serviceRow(s) {
  const facts = [
    s.pid > 0 && `up ${duration(s.uptime_ms)}`,
    s.restarts > 0 && `${s.restarts} ${s.restarts === 1 ? "restart" : "restarts"}`,
    (s.memory_bytes || s.rss_bytes) > 0 && bytes(s.memory_bytes || s.rss_bytes),
    s.memory_max > 0 && `of ${bytes(s.memory_max)} at most`,
    s.oom_kills > 0 && `${s.oom_kills} times out of memory`,
    s.next_start_ms > 0 && `starts again in ${duration(s.next_start_ms)}`,
    !(s.pid > 0) && s.last_exit && `last: ${s.last_exit}`,
  ];
  const logs = el("a", "", "Logs");
  logs.href = `#/logs/${encodeURIComponent(s.name)}`;
  logs.setAttribute("aria-label", `Logs of ${s.name}`);
  const said = [s.reason, s.health === "fail" && s.health_reason, s.status].filter(Boolean).join(" · ");
  return row(s.name, kindOf(s), s.state, said && line(said), el("p", "facts", facts.filter(Boolean).join(" · ") || "not running", " · ", logs));
}

function meter(used, label) {
  const m = el("progress");
  m.max = 1;
  m.value = used;
  m.className = used > 0.9 ? "bad" : "";
  m.setAttribute("aria-label", label);
  return m;
}

function volumeRow(v) {
  const kind = { ok: "ok", warn: "wait", bad: "bad" }[v.level] ?? (v.ok ? "ok" : "bad");
  const findings = (v.findings ?? []).filter((f) => f.level !== "ok").map((f) => line(f.message, f.level === "bad" ? "problem" : "detail"));
  const used = v.bytes_total > 0 && 1 - v.bytes_free / v.bytes_total;
  const space = v.bytes_total > 0 && el("p", "facts", `${bytes(v.bytes_free)} of ${bytes(v.bytes_total)} free${v.fs_type ? ` · ${v.fs_type}` : ""}`);
  return row(v.path, kind, { ok: "well", wait: "look at it", bad: "not right" }[kind], ...findings, space && meter(used, `${Math.round(used * 100)} percent of ${v.path} is used`), space);
}

const PLUGIN = { ready: "ok", missing: "wait", failed: "bad", disabled: "off" };

function pluginRow(p) {
  if (!p?.state) return row("Bridge plugin", "off", "not known yet");
  const waiting = Object.values(p.trust ?? {}).filter(Boolean).map((t) => line(t, "problem"));
  const facts = [p.path, p.commit && `commit ${p.commit.slice(0, 12)}`].filter(Boolean).join(" · ");
  return row("Bridge plugin", PLUGIN[p.state] ?? "wait", p.state, p.reason && line(p.reason), ...waiting, facts && line(facts, "facts"));
}

function linkRows() {
  if (!links) return [];
  const way = { bridge: "by the plugin", http: "over HTTP", none: "not reached" }[links.opencode.way];
  const rows = [
    row("OpenCode", links.opencode.way === "none" ? "bad" : "ok", way, links.opencode.reason && line(links.opencode.reason), line(`${links.bridge.connected} ${links.bridge.connected === 1 ? "plugin" : "plugins"} connected`, "facts")),
    row("Slack", { connected: "ok", connecting: "wait", failed: "bad", off: "off" }[links.slack.state], links.slack.state, links.slack.reason && line(links.slack.reason)),
    row("Store", links.store.reason ? "bad" : "ok", links.store.reason ? "cannot be written" : "well", links.store.reason && line(links.store.reason)),
  ];
  return rows;
}

export function podLinks(state) {
  links = state;
  $("pod-links").replaceChildren(...linkRows());
}

function draw(pod) {
  const state = [pod.ready ? "ready" : "not ready", pod.phase !== "running" && pod.phase, `up ${duration(pod.uptime_ms)}`, `codev ${pod.version}`];
  $("pod-title").textContent = `Pod ${pod.pod}`;
  $("pod-state").textContent = state.filter(Boolean).join(" · ");
  $("pod-state").className = `status ${pod.ready ? "ok" : "error"}`;
  $("pod-problem").textContent = pod.config_error ?? "";
  $("pod-problem").hidden = !pod.config_error;
  $("pod-services").replaceChildren(...pod.services.map(serviceRow));
  $("pod-volumes").replaceChildren(...pod.volumes.map(volumeRow));
  $("pod-plugin").replaceChildren(pluginRow(pod.plugin));
  $("volumes-none").hidden = pod.volumes.length > 0;
  for (const part of document.querySelectorAll(".of-pid1")) part.hidden = false;
}

// What is drawn keeps its place: the focus is put back on the same link.
async function read() {
  clearTimeout(timer);
  const focused = document.activeElement?.getAttribute?.("aria-label");
  try {
    draw(await api("/api/pod"));
    if (focused) [...document.querySelectorAll("#pod a")].find((a) => a.getAttribute("aria-label") === focused)?.focus();
  } catch (error) {
    $("pod-state").textContent = "";
    $("pod-problem").textContent = error.code === "no_supervisor" ? `This gateway does not reach a codev-init: ${error.message}` : error.message;
    $("pod-problem").hidden = false;
    for (const part of document.querySelectorAll(".of-pid1")) part.hidden = true;
  }
  if (shown && !document.hidden) timer = setTimeout(read, REFRESH_MS);
}

export function showPod(now) {
  shown = now;
  clearTimeout(timer);
  if (shown) read();
}

// Something changed there; changes come in bursts.
export function podChanged() {
  if (!shown || document.hidden) return;
  clearTimeout(timer);
  timer = setTimeout(read, 150);
}

export async function serviceNames() {
  const pod = await api("/api/pod").catch(() => ({ services: [] }));
  return pod.services.map((s) => s.name);
}

document.addEventListener("visibilitychange", () => podChanged());
