// Text of others, put on the page exactly and safely: only ever as text nodes.

export const $ = (id) => document.getElementById(id);

// An element with a class and children (text or elements).
export function el(tag, className, ...children) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  e.append(...children);
  return e;
}

// Characters that show nothing, or turn the order of others around: a command could hide behind
// them. They are shown by their numbers.
const HIDDEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\u{e0000}-\u{e0fff}]/gu;

export function exact(text) {
  const out = document.createDocumentFragment();
  let at = 0;
  for (const found of text.matchAll(HIDDEN)) {
    if (found.index > at) out.append(text.slice(at, found.index));
    const code = found[0].codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
    const mark = el("span", "hidden-character", `U+${code}`);
    mark.title = "an invisible character";
    out.append(mark);
    at = found.index + found[0].length;
  }
  if (at < text.length) out.append(text.slice(at));
  return out;
}

// A diff, line by line; what the heads of files say again about `file` is left out.
export function diff(text, file = "") {
  const out = document.createDocumentFragment();
  let head = true; // inside a hunk a line such as "--- x" is a removed one
  for (const line of text.replace(/\n$/, "").split("\n")) {
    if (line.startsWith("@@")) head = false;
    else if (/^(Index: |diff )/.test(line)) head = true;
    if (head && (/^(={10,}|Index: )/.test(line) || (file && /^(---|\+\+\+) /.test(line) && line.includes(file)))) continue;
    const kind = head ? "meta" : { "@": "hunk", "+": "added", "-": "removed" }[line[0]] ?? "";
    out.append(el("span", `line ${kind}`, exact(line), "\n"));
  }
  return out;
}

// `code` and **what matters** in a line.
function inline(text) {
  const out = document.createDocumentFragment();
  for (const piece of text.split(/(`[^`\n]+`|\*\*[^*\n]+\*\*)/)) {
    if (/^`.+`$/.test(piece)) out.append(el("code", "", piece.slice(1, -1)));
    else if (/^\*\*.+\*\*$/.test(piece)) out.append(el("strong", "", piece.slice(2, -2)));
    else if (piece) out.append(piece);
  }
  return out;
}

// The little of Markdown that models write all the time: headings, points, paragraphs. What is not
// known stays as it was written.
function paragraphs(out, text) {
  let lines = [];
  const flush = () => {
    const whole = lines.join("\n").replace(/^\n+|\s+$/g, "");
    if (whole) out.append(el("p", "", inline(whole)));
    lines = [];
  };
  for (const line of text.split("\n")) {
    const [, heading, point] = /^(?:#{1,6} +(.*?)(?: +#+)?|[-*] +(.*))$/.exec(line) ?? [];
    if (!heading && !point && line.trim()) lines.push(line);
    else flush();
    if (heading) out.append(el("p", "heading", inline(heading)));
    if (point) out.append(el("p", "item", inline(point)));
  }
  flush();
}

// Prose of the agent; fenced code apart.
export function prose(text) {
  const out = document.createDocumentFragment();
  text.split(/^[ \t]*```[^\n]*(?:\n|$)/m).forEach((piece, i) => {
    const trimmed = piece.replace(/^\n+|\s+$/g, "");
    if (!trimmed) return;
    if (i % 2) out.append(pre("Code", trimmed));
    else paragraphs(out, trimmed);
  });
  return out;
}

// A block that scrolls by itself can be scrolled by keyboard.
export function pre(label, ...children) {
  const e = el("pre", "", ...children);
  e.tabIndex = 0;
  e.setAttribute("role", "group");
  e.setAttribute("aria-label", label);
  return e;
}

export function ago(ms, now = Date.now()) {
  const s = Math.max(0, Math.round((now - ms) / 1000));
  if (s < 45) return "just now";
  if (s < 3600) return `${Math.max(1, Math.round(s / 60))} min ago`;
  if (s < 86400) return `${Math.round(s / 3600)} h ago`;
  return new Date(ms).toLocaleDateString(undefined, { day: "numeric", month: "short" });
}

export const clock = (ms) => new Date(ms).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });

// A <time> that says how long ago; retime() keeps it right.
export function setTime(e, ms) {
  e.dateTime = new Date(ms).toISOString();
  e.dataset.ms = ms;
  e.title = new Date(ms).toLocaleString();
  e.textContent = ago(ms);
}
export function retime() {
  for (const e of document.querySelectorAll("time[data-ms]")) {
    const text = ago(Number(e.dataset.ms));
    if (e.textContent !== text) e.textContent = text;
  }
}

// For screen readers, politely.
export function say(text) {
  $("say").textContent = "";
  requestAnimationFrame(() => ($("say").textContent = text));
}
