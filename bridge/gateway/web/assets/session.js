// Sessions: their list, and the output of the chosen one.
import { $, clock, el, exact, pre, prose, setTime } from "./text.js";
import { api } from "./api.js";
import { showOnly, waitingIn } from "./cards.js";

const sessions = new Map(); // key → session
const rows = new Map(); // key → its <li>
const entries = new Map(); // n → { entry, element } of the shown transcript
let chosen = ""; // key
const drafts = new Map(); // key → what is typed for it, and not sent
let atEnd = true;

const keyOf = (pod, id) => `${pod}/${id}`;
export const hashOf = (pod, id) => `#/session/${encodeURIComponent(pod)}/${encodeURIComponent(id)}`;

function statusText(s) {
  switch (s.status) {
    case "busy":
      return "Working";
    case "retry":
      return s.retry_at_ms ? `Waits for the model, tries again at ${clock(s.retry_at_ms)}` : "Waits for the model";
    case "error":
      return "Failed";
    case "gone":
      return "Gone from OpenCode";
    default:
      return "Ready";
  }
}

/* ------------------------------------------------------------------ list */

function drawRow(s) {
  const key = keyOf(s.pod, s.id);
  let row = rows.get(key);
  if (!row) {
    const link = el("a", "", el("span", "title"), el("span", "line", el("span", "status"), " ", el("span", "pod-name"), " ", el("time")));
    row = el("li", "", link);
    rows.set(key, row);
  }
  const link = row.firstElementChild;
  const waits = waitingIn(s.pod, s.id);
  link.href = hashOf(s.pod, s.id);
  link.querySelector(".title").textContent = s.title || "Untitled session";
  link.querySelector(".pod-name").textContent = severalPods() ? s.pod : "";
  const status = link.querySelector(".status");
  status.className = `status ${waits ? "waits" : s.status}`;
  status.textContent = waits ? "Waits for you" : statusText(s);
  setTime(link.querySelector("time"), s.updated_ms || s.created_ms);
  if (key === chosen) link.setAttribute("aria-current", "page");
  else link.removeAttribute("aria-current");
  return row;
}

const pods = () => [...new Set([...sessions.values()].map((s) => s.pod))].sort();
export const severalPods = () => pods().length > 1;

// Where a new session can be begun; with one pod there is nothing to choose.
function drawPods() {
  const names = pods();
  const select = $("start-pod");
  $("start-pod-label").hidden = names.length < 2;
  if (names.length < 2) return select.replaceChildren();
  const before = select.value;
  if ([...select.options].slice(1).map((o) => o.value).join("\n") === names.join("\n")) return;
  const options = ["", ...names].map((name) => {
    const option = el("option", "", name || "any");
    option.value = name;
    return option;
  });
  select.replaceChildren(...options);
  select.value = names.includes(before) ? before : "";
}

export function drawSessions() {
  const all = [...sessions.values()].sort((a, b) => (b.updated_ms || b.created_ms) - (a.updated_ms || a.created_ms));
  const want = all.map(drawRow);
  const list = $("session-list");
  // Moved only when the order changed: moving an element takes the focus from it.
  if (want.length !== list.children.length || want.some((row, i) => list.children[i] !== row)) {
    const focused = document.activeElement;
    list.replaceChildren(...want);
    if (list.contains(focused)) focused.focus();
  }
  $("sessions-none").hidden = want.length > 0;
  drawHead();
  drawPods();
}

export function showSession(s) {
  sessions.set(keyOf(s.pod, s.id), s);
  drawSessions();
}

export function showSessions(list) {
  sessions.clear();
  rows.clear();
  for (const s of list) sessions.set(keyOf(s.pod, s.id), s);
  drawSessions();
}

/* ------------------------------------------------------------------ the chosen one */

function drawHead() {
  const s = sessions.get(chosen);
  if (!s) return;
  const waits = waitingIn(s.pod, s.id);
  $("session-title").textContent = s.title || "Untitled session";
  $("session-status").textContent = waits ? "Waits for you" : statusText(s);
  $("session-status").className = `status ${waits ? "waits" : s.status}`;
  const facts = [severalPods() ? s.pod : "", s.directory, s.agent, s.model, s.cost > 0 ? `$${s.cost.toFixed(s.cost < 1 ? 3 : 2)}` : ""];
  $("session-facts").textContent = facts.filter(Boolean).join(" · ");
  $("stop").hidden = !["busy", "retry"].includes(s.status);
  $("session-problem").hidden = !s.status_text || s.status === "idle";
  $("session-problem").textContent = s.status_text;
  const gone = s.status === "gone";
  for (const e of $("message-form").elements) e.disabled = gone;
  $("message").placeholder = gone ? "This session is gone from OpenCode" : "Message to the agent";
}

const TOOL = { running: "runs", completed: "done", error: "failed", pending: "waits" };

function entryElement(e) {
  if (e.kind === "tool") {
    const status = TOOL[e.status] ? e.status : "running";
    const line = el(e.output ? "summary" : "p", "", el("span", "unseen", `Tool, ${TOOL[status]}: `));
    const cut = e.text.indexOf(": ");
    if (cut > 0) line.append(el("span", "name", e.text.slice(0, cut)), " ", el("code", "", exact(e.text.slice(cut + 2))));
    else line.append(el("span", "name", e.text));
    if (!e.output) return el("div", `tool ${status}`, line);
    return el("details", `tool ${status}`, line, pre("What it printed", exact(e.output)));
  }
  if (e.kind === "error") return el("p", "failure", el("span", "unseen", "Error: "), e.text);
  if (e.kind === "milestone") return el("p", "milestone", e.text);
  const block = el("div", e.role === "user" ? "said user" : "said agent", el("span", "unseen", e.role === "user" ? "Prompt: " : "Agent: "), e.role === "user" ? el("p", "", e.text) : prose(e.text));
  if (e.cut) block.append(el("p", "hint", "The rest is too long to be shown here; OpenCode has it."));
  return block;
}

// OpenCode's ids sort by time: a text that is still being written may be heard of after the tool
// that follows it. What is of no message (an error) stays where it was heard.
const comesBefore = (a, b) => a.message_id < b.message_id || (a.message_id === b.message_id && a.id <= b.id);

function place(box, e, fresh) {
  const parts = e.message_id ? [...box.children].filter((c) => entries.get(Number(c.dataset.n))?.entry.message_id) : [];
  const earlier = parts.findLast((c) => comesBefore(entries.get(Number(c.dataset.n)).entry, e));
  if (parts.length === 0 || earlier === parts.at(-1)) box.append(fresh);
  else if (earlier) earlier.after(fresh);
  else box.prepend(fresh);
}

function drawEntry(e) {
  if (e.kind === "text" && !e.text.trim()) return;
  const box = $("transcript");
  const fresh = entryElement(e);
  fresh.dataset.n = e.n;
  const old = entries.get(e.n)?.element;
  if (old) {
    if (old.open && fresh.tagName === "DETAILS") fresh.open = true;
    const held = old.contains(document.activeElement);
    old.replaceWith(fresh);
    if (held) fresh.querySelector("summary")?.focus();
  } else {
    box.querySelector(".calm")?.remove();
    place(box, e, fresh);
  }
  entries.set(e.n, { entry: e, element: fresh });
}

function scroll() {
  const box = $("transcript");
  if (atEnd) box.scrollTop = box.scrollHeight;
  $("latest").hidden = atEnd;
}

export function showActivity(e) {
  if (keyOf(e.pod, e.session_id) !== chosen) return;
  drawEntry(e);
  scroll();
}

// False: there is no such session.
export async function choose(pod, id) {
  const key = keyOf(pod, id);
  if (key !== chosen) {
    $("transcript").replaceChildren();
    drafts.set(chosen, $("message").value);
    $("message").value = drafts.get(key) ?? "";
    entries.clear();
    atEnd = true;
  }
  chosen = key;
  showOnly(key);
  drawSessions();
  let answer;
  try {
    answer = await api(`/api/sessions/${encodeURIComponent(id)}?pod=${encodeURIComponent(pod)}`);
  } catch (error) {
    return error.status !== 404;
  }
  if (chosen !== key) return true;
  sessions.set(key, answer.session);
  $("transcript").replaceChildren();
  entries.clear();
  for (const e of answer.transcript) drawEntry(e);
  $("session-partly").hidden = answer.whole;
  if (!entries.size) $("transcript").append(el("p", "calm", "No output yet."));
  drawSessions();
  scroll();
  return true;
}

export function chooseNone() {
  drafts.set(chosen, $("message").value);
  $("message").value = "";
  chosen = "";
  showOnly("");
  drawSessions();
}

// Reads the chosen one again, after something was missed.
export function refresh() {
  if (!chosen) return;
  const at = chosen.indexOf("/");
  choose(chosen.slice(0, at), chosen.slice(at + 1));
}

const chosenPath = () => {
  const s = sessions.get(chosen);
  return [`/api/sessions/${encodeURIComponent(s.id)}`, `?pod=${encodeURIComponent(s.pod)}`];
};

// Sends what is typed for the chosen one. Another may be chosen, and more be typed, until it is taken.
export async function sendMessage() {
  const key = chosen;
  const text = $("message").value;
  const [path, query] = chosenPath();
  atEnd = true;
  await api(`${path}/messages${query}`, { text });
  if (chosen !== key) drafts.delete(key);
  else if ($("message").value === text) $("message").value = "";
}

export async function stopSession() {
  const [path, query] = chosenPath();
  await api(`${path}/abort${query}`, undefined, { post: true });
}

export function listenToScrolling() {
  const box = $("transcript");
  box.addEventListener("scroll", () => {
    atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 60;
    $("latest").hidden = atEnd;
  });
  new ResizeObserver(scroll).observe(box); // a phone is turned, a window made smaller
  $("latest").addEventListener("click", () => {
    atEnd = true;
    scroll();
    box.focus();
  });
}
