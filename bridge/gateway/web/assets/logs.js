// The pod's logs: the last lines, and those that come; filtered here.
import { $, el, exact } from "./text.js";
import { serviceNames } from "./pod.js";

const KEPT = 2000;
const DRAWN = 1000;
const RANK = { debug: 0, info: 1, warn: 2, error: 3 };
let source;
let service = "*";
let lines = [];
let seen = "";
let last = -1;
let waiting = []; // lines that came since the last drawing
let drawing = 0;

function textOf(line) {
  if (line.msg !== undefined) return typeof line.msg === "string" ? line.msg : JSON.stringify(line.msg);
  return line.json === undefined ? "" : JSON.stringify(line.json);
}

// By which a line is found: of its trace, its cause, its session.
const IDS = ["trace_id", "caller_trace_id", "request_id", "envelope_id", "session"];
const idsOf = (line) => IDS.map((name) => line[name] ?? "").join(" ").trim();

function wanted(line) {
  const text = $("logs-filter").value.trim().toLowerCase();
  if ((RANK[line.level] ?? 1) < Number($("logs-level").value)) return false;
  return !text || `${line.service} ${textOf(line)} ${idsOf(line)}`.toLowerCase().includes(text);
}

function element(line) {
  const time = el("time", "", new Date(line.ts).toLocaleTimeString(undefined, { hour12: false }));
  time.dateTime = line.ts;
  time.title = line.ts;
  const who = service === "*" ? el("span", "service", line.service, " ") : "";
  const level = RANK[line.level] > 1 ? el("span", "level", line.level, " ") : "";
  const message = el("span", "msg", exact(textOf(line)));
  if (idsOf(line)) message.title = idsOf(line);
  return el("p", `log ${line.level}`, time, " ", who, level, message);
}

const following = () => $("logs-follow").checked;

function scroll() {
  const box = $("logs-lines");
  if (following()) box.scrollTop = box.scrollHeight;
}

function count() {
  const shown = $("logs-lines").querySelectorAll(".log").length;
  $("logs-count").textContent = lines.length === 0 ? "" : shown === lines.length ? `${shown} lines` : `${shown} of ${lines.length} lines`;
  $("logs-none").hidden = shown > 0;
  $("logs-none").textContent = lines.length ? "No line matches." : "No line yet.";
}

function drawAll() {
  waiting = [];
  $("logs-lines").replaceChildren(...lines.filter(wanted).slice(-DRAWN).map(element));
  count();
  scroll();
}

// All that came within one frame at once.
function drawNew() {
  drawing = 0;
  const box = $("logs-lines");
  box.append(...waiting.filter(wanted).slice(-DRAWN).map(element));
  waiting = [];
  while (box.children.length > DRAWN) box.firstElementChild.remove();
  count();
  scroll();
}

function add(line) {
  // After a reconnect the last lines come again.
  if (line.boot_id === seen && line.seq <= last) return;
  seen = line.boot_id;
  last = line.seq;
  lines.push(line);
  waiting.push(line);
  if (lines.length > KEPT) lines.splice(0, lines.length - KEPT);
  drawing ||= requestAnimationFrame(drawNew);
}

function problem(text) {
  $("logs-problem").textContent = text;
  $("logs-problem").hidden = !text;
}

function connect() {
  source?.close();
  source = new EventSource(`/api/logs?service=${encodeURIComponent(service)}&lines=500&follow=1`);
  source.addEventListener("open", () => problem(""));
  source.addEventListener("line", (event) => add(JSON.parse(event.data)));
  source.addEventListener("problem", (event) => {
    source.close();
    problem(JSON.parse(event.data).error.message);
  });
  source.addEventListener("error", () => problem("No connection to the logs. Trying again…"));
}

async function listServices() {
  const names = ["*", "init", ...(await serviceNames())];
  if (!names.includes(service)) names.push(service);
  $("logs-service").replaceChildren(
    ...names.map((name) => {
      const option = el("option", "", name === "*" ? "All services" : name === "init" ? "init (PID 1)" : name);
      option.value = name;
      option.selected = name === service;
      return option;
    }),
  );
}

export function showLogs(name) {
  if (name === undefined) {
    source?.close();
    source = undefined;
    return;
  }
  service = name || "*";
  lines = [];
  last = -1;
  problem("");
  drawAll();
  connect();
  listServices();
}

export function listenToLogs() {
  $("logs-filter").addEventListener("input", drawAll);
  $("logs-level").addEventListener("change", drawAll);
  $("logs-follow").addEventListener("change", scroll);
  $("logs-service").addEventListener("change", () => (location.hash = `#/logs/${encodeURIComponent($("logs-service").value)}`));
  // Who scrolls up reads: what comes does not take the place away.
  $("logs-lines").addEventListener("scroll", () => {
    const box = $("logs-lines");
    const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
    if (atEnd !== following()) $("logs-follow").checked = atEnd;
  });
}
