// What waits for a person: a card for each request, and the outcomes of those that are settled.
import { $, clock, diff, el, exact, pre, say, setTime } from "./text.js";
import { api } from "./api.js";

const DECIDED_MAX = 20;
const keyOf = (r) => `${r.pod}/${r.id}`;
const requests = new Map(); // key → request
const cards = new Map(); // key → its <li>, while it is not settled

const WANTS = {
  bash: "Run a command",
  edit: "Change a file",
  write: "Write a file",
  read: "Read a file",
  webfetch: "Fetch a web page",
  websearch: "Search the web",
  external_directory: "Work outside the project folder",
  doom_loop: "Go on, although it repeats itself",
  task: "Start a subagent",
};
const wants = (r) => (r.kind === "question" ? "The agent asks" : WANTS[r.permission] ?? `Use “${r.permission}”`);

const DONE = {
  once: ["Allowed once", "ok"],
  always: ["Allowed always", "ok"],
  reject: ["Denied", "no"],
  answered: ["Answered", "ok"],
  gone: ["No longer needed", "gone"],
};

export function outcomeText(r) {
  const [word] = (r.kind === "question" && r.outcome === "reject") ? ["Dismissed"] : DONE[r.outcome] ?? ["Settled"];
  const by = r.actor?.name && r.outcome !== "gone" ? ` by ${r.actor.name}` : "";
  const via = { slack: " in Slack", opencode: "", web: "", api: " over the API" }[r.actor?.connector] ?? "";
  const at = r.decided_ms ? ` at ${clock(r.decided_ms)}` : "";
  return `${word}${by}${by ? via : ""}${at}`;
}

/* ------------------------------------------------------------------ what it is about */

function field(name, value) {
  return el("p", "field", el("span", "name", name), " ", el("code", "", exact(value)));
}

const texts = (list) => (Array.isArray(list) ? list.filter((x) => typeof x === "string") : []);

function permissionBody(r) {
  const out = document.createDocumentFragment();
  const meta = r.detail.metadata ?? {};
  const text = (v) => (typeof v === "string" ? v : "");
  const file = text(meta.filepath) || text(meta.filePath) || text(meta.path);
  if (text(meta.description)) out.append(el("p", "purpose", exact(meta.description)));
  if (file) out.append(field("File", file));
  if (text(meta.url)) out.append(field("Address", meta.url));
  if (text(meta.command)) out.append(pre("Command", exact(meta.command)));
  if (text(meta.command) && r.directory) out.append(field("in", r.directory));
  if (text(meta.diff)) out.append(pre("Change", diff(meta.diff, file)));
  const patterns = texts(r.detail.patterns);
  if (!text(meta.command) && !file && !text(meta.url))
    out.append(pre("What exactly", exact(patterns.length ? patterns.join("\n") : r.summary)));
  for (const directory of texts(meta.directories)) out.append(field("Folder", directory));
  if (r.detail.truncated)
    out.append(el("p", "problem", "This is too long to be shown whole here. Look at it in OpenCode before you allow it."));
  return out;
}

// The answer of one question, from its controls.
function questionBody(r, form) {
  (r.detail.questions ?? []).forEach((q, i) => {
    const set = el("fieldset", "", el("legend", "", exact(String(q.question ?? ""))));
    for (const option of q.options ?? []) {
      const input = el("input");
      input.type = q.multiple ? "checkbox" : "radio";
      input.name = `q${i}`;
      input.value = String(option.label ?? "");
      const about = option.description ? el("span", "optional", exact(String(option.description))) : "";
      set.append(el("label", "option", input, el("span", "", exact(input.value), " ", about)));
    }
    const own = el("input");
    own.name = `own${i}`;
    own.maxLength = 4000;
    own.autocomplete = "off";
    set.append(el("label", "own", q.options?.length ? "Something else" : "Answer", own));
    form.append(set);
  });
}

function answersOf(r, form) {
  return (r.detail.questions ?? []).map((_, i) => {
    const picked = [...form.querySelectorAll(`[name=q${i}]:checked`)].map((x) => x.value);
    const own = form.elements[`own${i}`].value.trim();
    return own ? [...picked, own] : picked;
  });
}

/* ------------------------------------------------------------------ deciding */

function setBusy(card, busy) {
  card.setAttribute("aria-busy", String(busy));
  for (const b of card.querySelectorAll("button, input, textarea")) b.disabled = busy;
}

function problem(card, text) {
  const p = card.querySelector("article > .problem");
  p.textContent = text;
  p.hidden = !text;
}

async function decide(r, card, body) {
  problem(card, "");
  const held = card.contains(document.activeElement);
  setBusy(card, true);
  if (held) card.querySelector("h3").focus();
  try {
    const answer = await api(`/api/requests/${encodeURIComponent(r.id)}/decision?pod=${encodeURIComponent(r.pod)}`, body);
    showRequest(answer.request);
  } catch (error) {
    if (error.status === 409 && error.body?.request) return showRequest(error.body.request, true);
    setBusy(card, false);
    problem(card, error.status === 404 ? "The gateway does not know this request any more." : `Not sent: ${error.message}`);
  }
}

function button(text, className, onclick) {
  const b = el("button", className, text);
  b.type = onclick ? "button" : "submit";
  if (onclick) b.addEventListener("click", onclick);
  return b;
}

function denyForm(r, card, buttons) {
  const form = $("deny").content.firstElementChild.cloneNode(true);
  const leave = () => {
    form.remove();
    buttons.hidden = false;
    buttons.querySelector(".danger").focus();
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const reason = form.querySelector("textarea").value.trim();
    decide(r, card, reason ? { decision: "reject", reason } : { decision: "reject" });
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape") leave();
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  form.querySelector(".leave").addEventListener("click", leave);
  buttons.hidden = true;
  buttons.after(form);
  form.querySelector("textarea").focus();
}

function permissionButtons(r, card) {
  const buttons = card.querySelector(".buttons");
  const always = texts(r.detail.always);
  buttons.append(button("Allow once", "primary", () => decide(r, card, { decision: "once" })));
  buttons.append(button("Always allow", "", () => decide(r, card, { decision: "always" })));
  buttons.append(button("Deny", "danger", () => denyForm(r, card, buttons)));
  if (!always.length) return;
  const covered = always.includes("*") ? ["every request of this kind"] : always.flatMap((a, i) => [i ? ", " : "", el("code", "", exact(a))]);
  buttons.append(el("p", "hint", "“Always allow” covers ", ...covered, " until OpenCode restarts."));
}

function questionForm(r, card) {
  const form = el("form", "question");
  questionBody(r, form);
  form.append(el("p", "row", button("Answer", "primary"), button("Dismiss", "danger", () => decide(r, card, { decision: "reject" }))));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const answers = answersOf(r, form);
    if (answers.some((a) => a.length === 0)) return problem(card, "Choose or write an answer to each question.");
    decide(r, card, { decision: "answer", answers });
  });
  card.querySelector(".what").append(form);
}

/* ------------------------------------------------------------------ cards and outcomes */

function makeCard(r) {
  const card = $("card").content.firstElementChild.cloneNode(true);
  const where = card.querySelector(".where");
  const id = `request-${++makeCard.serial}`;
  card.querySelector("h3").textContent = wants(r);
  card.querySelector("h3").id = id;
  card.querySelector("article").setAttribute("aria-labelledby", id);
  where.textContent = r.session_title || "Untitled session";
  where.href = `#/session/${encodeURIComponent(r.pod)}/${encodeURIComponent(r.root_session_id)}`;
  setTime(card.querySelector("time"), r.created_ms);
  if (r.kind === "question") questionForm(r, card);
  else {
    card.querySelector(".what").append(permissionBody(r));
    permissionButtons(r, card);
  }
  return card;
}
makeCard.serial = 0;

function placeCard(r) {
  let card = cards.get(keyOf(r));
  if (!card) {
    card = makeCard(r);
    card.dataset.created = r.created_ms;
    card.dataset.session = `${r.pod}/${r.root_session_id}`;
    cards.set(keyOf(r), card);
    const later = [...$("cards").children].find((c) => Number(c.dataset.created) > r.created_ms);
    $("cards").insertBefore(card, later ?? null);
  }
  drawWhere();
  if (r.state !== "deciding") return;
  setBusy(card, true);
  card.classList.add("deciding");
  card.querySelector("form.deny")?.remove();
  const buttons = card.querySelector(".buttons");
  buttons.hidden = false;
  buttons.replaceChildren(el("p", "sent", `${outcomeText(r)}. Telling OpenCode…`));
}

// With several pods each card says where it is, also one that was there before.
function drawWhere() {
  const several = new Set([...requests.values()].map((r) => r.pod)).size > 1;
  for (const [key, card] of cards) {
    const r = requests.get(key);
    const text = `${r?.session_title || "Untitled session"}${several ? ` on ${r.pod}` : ""}`;
    if (r && card.querySelector(".where").textContent !== text) card.querySelector(".where").textContent = text;
  }
}

// The focus stays with what the person does: it goes to the next card, or to the heading.
function removeCard(key) {
  const card = cards.get(key);
  if (!card) return;
  const held = card.contains(document.activeElement);
  const shown = [...$("cards").children].filter((c) => !c.hidden);
  const next = shown[shown.indexOf(card) + 1] ?? shown[shown.indexOf(card) - 1];
  card.remove();
  cards.delete(key);
  if (held) (next?.querySelector("h3") ?? $("waiting-title")).focus();
}

function outcomeItem(r) {
  const [, kind] = DONE[r.outcome] ?? ["", "gone"];
  const item = el("li", `outcome ${kind}`, el("p", "said", outcomeText(r)), el("p", "about", el("span", "unseen", `${wants(r)}: `), el("code", "", exact(r.summary))));
  if (r.reason) item.append(el("p", "reason", exact(r.reason)));
  return item;
}

let justDecided = ""; // the key of what was decided last while this page was open: it stays in sight
function drawOutcomes() {
  const settled = [...requests.values()].filter((r) => r.state === "settled");
  settled.sort((a, b) => (b.decided_ms || b.created_ms) - (a.decided_ms || a.created_ms));
  for (const r of settled.slice(DECIDED_MAX)) requests.delete(keyOf(r));
  const kept = settled.slice(0, DECIDED_MAX);
  const older = kept.filter((r) => keyOf(r) !== justDecided);
  $("just-decided").replaceChildren(...kept.filter((r) => keyOf(r) === justDecided).map(outcomeItem));
  $("outcomes").replaceChildren(...older.map(outcomeItem));
  $("decided").hidden = older.length === 0;
  $("decided-count").textContent = `(${older.length})`;
}

// With a session chosen, the others' cards are counted, not shown.
let only = "";
function drawWhich() {
  let others = 0;
  for (const card of cards.values()) {
    card.hidden = only !== "" && card.dataset.session !== only;
    if (card.hidden) others++;
  }
  $("waiting").classList.toggle("none", cards.size === others);
  $("waiting-none").hidden = cards.size > others;
  $("waiting-none").textContent = others ? "Nothing in this session." : "Nothing waits for you.";
  $("waiting-others").hidden = others === 0;
  $("waiting-others").firstElementChild.textContent = others === 1 ? "1 request waits in another session" : `${others} requests wait in other sessions`;
}

export function showOnly(session) {
  only = session;
  drawWhich();
}

function drawCount() {
  const pending = [...requests.values()].filter((r) => r.state === "pending").length;
  $("parts-count").replaceChildren(String(pending), el("span", "unseen", pending === 1 ? " waits for you" : " wait for you"));
  $("parts-count").hidden = pending === 0;
  document.title = pending ? `(${pending}) codev` : "codev";
  drawWhich();
  dispatchEvent(new CustomEvent("waiting-changed"));
}

// `late`: the person clicked, but somebody was first.
export function showRequest(r, late = false) {
  const before = requests.get(keyOf(r));
  if (before?.state === "settled" && r.state !== "settled") return; // older than what is shown
  requests.set(keyOf(r), r);
  if (r.state === "settled") {
    const shown = cards.has(keyOf(r));
    removeCard(keyOf(r));
    if (shown) justDecided = keyOf(r);
    drawOutcomes();
    if (shown) {
      say(`${late ? "Somebody was first. " : ""}${outcomeText(r)}: ${r.summary}`);
    }
  } else {
    placeCard(r);
    if (!before) say(`${wants(r)}: ${r.summary}`);
  }
  drawCount();
}

// Everything anew: what is not in the list is not there any more.
export function showRequests(list) {
  const keys = new Set(list.map(keyOf));
  for (const key of [...requests.keys()].filter((k) => !keys.has(k))) {
    requests.delete(key);
    removeCard(key);
  }
  for (const r of list) {
    const before = requests.get(keyOf(r));
    if (before && before.state === r.state) requests.set(keyOf(r), r);
    else if (r.state === "settled" && !cards.has(keyOf(r))) requests.set(keyOf(r), r);
    else showRequest(r);
  }
  drawOutcomes();
  drawCount();
}

export const waitingIn = (pod, id) =>
  [...requests.values()].filter((r) => r.state === "pending" && r.pod === pod && r.root_session_id === id).length;

export function forgetRequests() {
  showRequests([]);
}
