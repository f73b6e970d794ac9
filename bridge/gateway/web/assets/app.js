// The page: login, which part is shown, forms, and what comes over the stream.
import { $, el, retime, say } from "./text.js";
import { Stream, api, login, logout } from "./api.js";
import { listenToPeople, readFocus, watchFor } from "./focus.js";
import { forgetRequests, showRequest, showRequests } from "./cards.js";
import { listenToLogs, showLogs } from "./logs.js";
import { podChanged, podLinks, showPod } from "./pod.js";
import * as session from "./session.js";

/* ------------------------------------------------------------------ connections */

const SLACK = { connected: ["connected", "ok"], connecting: ["connecting…", "wait"], failed: ["failed", "bad"], off: ["off", "off"] };
const WAY = { bridge: ["connected", "ok"], http: ["connected, no plugin", "ok", "In the pod, codevctl plugin status says why; where there is none: codevctl plugin install"], none: ["not reached", "bad"] };

function showLinks(links) {
  const nobody = links.opencode.way === "none" ? "no pod’s plugin is connected, and there is no OpenCode beside this gateway" : "";
  const items = [["OpenCode", WAY[links.opencode.way], links.opencode.reason || nobody], ["Slack", SLACK[links.slack.state], links.slack.reason]];
  if (links.store.reason) items.push(["Store", ["cannot be written", "bad"], links.store.reason]);
  podLinks(links);
  $("links").replaceChildren(
    ...items.map(([name, [text, kind, help] = ["unknown", "wait"], reason]) => {
      const item = el("li", `link ${kind}`, el("span", "name", name), " ", el("span", "state", text));
      if (reason || help) item.title = [reason, help].filter(Boolean).join(" · ");
      return item;
    }),
  );
  const bad = items.filter(([, [, kind] = [], reason]) => kind === "bad" && reason).map(([name, , reason]) => `${name}: ${reason}`);
  degraded = bad.join(" · ");
  showBanner();
}

let degraded = "";
let up = true;
function showBanner() {
  const text = up ? degraded : "No connection to the gateway. Trying again… What you see may be out of date.";
  if ($("banner").textContent !== text) $("banner").textContent = text;
  $("banner").hidden = !text;
  $("banner").classList.toggle("offline", !up);
}

// What is told while the lists are on their way comes after them: they may be older.
let loading = 0;
let held = [];
const afterLists = (fn) => (data) => (loading ? held.push(() => fn(data)) : fn(data));
function listsShown() {
  if (--loading) return;
  for (const tell of held.splice(0)) tell();
}

let goneTimer;
const stream = new Stream({
  up(now) {
    clearTimeout(goneTimer);
    // A restart of a second is nothing to alarm anybody about.
    if (!now) goneTimer = setTimeout(() => ((up = false), showBanner()), 1200);
    else {
      if (!up) say("Connected again");
      up = true;
      showBanner();
    }
  },
  fresh: load,
  request: afterLists((r) => showRequest(r)),
  session: afterLists(session.showSession),
  activity: session.showActivity,
  links: showLinks,
  pod: podChanged,
  focus: readFocus,
  notice(n) {
    $("notice-text").textContent = n.text;
    $("notice").hidden = false;
  },
});

async function loadLists() {
  loading++;
  try {
    const [links, sessions, all, open] = await Promise.all(["/api/health", "/api/sessions", "/api/requests?all=1", "/api/requests"].map((path) => api(path)));
    showLinks(links);
    session.showSessions(sessions.sessions);
    // The list of all is cut: a request may wait for longer than it reaches back.
    const late = new Set(all.requests.map((r) => `${r.pod}/${r.id}`));
    showRequests([...all.requests, ...open.requests.filter((r) => !late.has(`${r.pod}/${r.id}`))]);
  } finally {
    listsShown();
  }
}

async function load() {
  try {
    await loadLists();
    session.refresh();
    podChanged();
    readFocus();
    offer(await api("/api/catalog"));
  } catch (error) {
    if (error.status !== 401) say(error.message);
  }
}

/* ------------------------------------------------------------------ which part is shown */

// What can be chosen for a new session.
function offer(catalog) {
  for (const [id, list] of [["agents", catalog.agents], ["models", catalog.models]])
    $(id).replaceChildren(
      ...list.map((x) => {
        const option = el("option", "", x.name);
        option.value = x.id;
        return option;
      }),
    );
}

const wide = matchMedia("(min-width: 60rem)");

function show(part) {
  document.body.dataset.part = part;
  const apart = part === "pod" || part === "logs"; // these have the page for themselves
  $("start").hidden = part !== "new" && !(part === "home" && wide.matches);
  $("session").hidden = part !== "session";
  $("sessions").hidden = apart || (part !== "home" && !wide.matches);
  $("waiting").hidden = apart;
  $("pod").hidden = part !== "pod";
  $("logs").hidden = part !== "logs";
  $("app").classList.toggle("apart", apart);
  for (const a of $("parts").children) {
    if (a.hash === (apart ? `#/${part}` : "#/")) a.setAttribute("aria-current", "page");
    else a.removeAttribute("aria-current");
  }
  if (part === "new") $("new").setAttribute("aria-current", "page");
  else $("new").removeAttribute("aria-current");
}

async function route(moveFocus) {
  const [, part, pod, id] = location.hash.split("/").map(decoded);
  showPod(part === "pod");
  showLogs(part === "logs" ? (pod ?? "*") : undefined);
  if (part === "session" && pod && id) {
    show("session");
    if (moveFocus) $("session-title").focus();
    if (await session.choose(pod, id)) return;
    say("There is no such session");
    location.replace("#/");
    return;
  }
  session.chooseNone();
  show(["new", "pod", "logs"].includes(part) ? part : "home");
  if (moveFocus && (part === "pod" || part === "logs")) $(`${part}-title`).focus();
  if (moveFocus && part === "new") $("start-prompt").focus();
}

/* ------------------------------------------------------------------ forms */

// Sends a form once; what goes wrong is said beside it.
function onSubmit(form, send) {
  const problem = form.querySelector(".problem");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button.primary");
    if (button.disabled) return;
    problem.hidden = true;
    button.disabled = true;
    try {
      await send();
    } catch (error) {
      problem.textContent = `${error.message[0].toUpperCase()}${error.message.slice(1)}.`;
      problem.hidden = false;
    } finally {
      button.disabled = false;
    }
  });
}

// With a keyboard, Enter sends; on a phone it makes a new line, as everywhere there.
function enterSends(area, hint) {
  const keys = matchMedia("(pointer: fine)").matches;
  hint.textContent = keys ? "Enter sends, Shift+Enter makes a new line" : "";
  area.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing) return;
    if (event.ctrlKey || event.metaKey || (keys && !event.shiftKey)) {
      event.preventDefault();
      area.form.requestSubmit();
    }
  });
}

async function startSession() {
  const body = { prompt: $("start-prompt").value };
  for (const [id, name] of [["start-name", "title"], ["start-directory", "directory"], ["start-agent", "agent"], ["start-model", "model"]])
    if ($(id).value.trim()) body[name] = $(id).value.trim();
  if ($("start-pod").value) body.pod = $("start-pod").value;
  const answer = await api("/api/sessions", body);
  $("start-prompt").value = "";
  location.hash = session.hashOf(answer.pod, answer.session_id);
}

async function stop() {
  $("stop").disabled = true;
  try {
    await session.stopSession();
  } catch (error) {
    $("session-problem").textContent = error.message;
    $("session-problem").hidden = false;
  } finally {
    $("stop").disabled = false;
  }
}

/* ------------------------------------------------------------------ login */

function enter() {
  $("login").hidden = true;
  $("bar").hidden = $("app").hidden = false;
  stream.open();
  watchFor(true);
  route(false);
}

function leave() {
  if (!$("login").hidden) return;
  stream.close();
  watchFor(false);
  showLogs(undefined);
  showPod(false);
  forgetRequests();
  session.showSessions([]);
  session.chooseNone();
  $("bar").hidden = $("app").hidden = $("banner").hidden = true;
  $("login").hidden = false;
  $("token").focus();
}

const decoded = (text) => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
};

// A link's token is in the fragment, which no server sees; it leaves the address at once.
async function fragmentLogin() {
  const found = /^#token=(.+)$/.exec(location.hash);
  if (!found) return false;
  const token = decoded(found[1]);
  history.replaceState(null, "", "/");
  try {
    await login(token, "");
    return true;
  } catch (error) {
    const problem = $("login-form").querySelector(".problem");
    problem.textContent = `This link does not log you in: ${error.message}.`;
    problem.hidden = false;
    return false;
  }
}

async function begin() {
  onSubmit($("login-form"), async () => {
    await login($("token").value.trim(), $("name").value.trim());
    $("token").value = "";
    enter();
  });
  onSubmit($("start-form"), startSession);
  onSubmit($("message-form"), session.sendMessage);
  enterSends($("start-prompt"), $("start-hint"));
  enterSends($("message"), $("message-hint"));
  session.listenToScrolling();
  listenToLogs();
  listenToPeople();
  $("logs-form").addEventListener("submit", (event) => event.preventDefault());
  $("stop").addEventListener("click", stop);
  $("logout").addEventListener("click", () => logout().catch(() => {}).finally(leave));
  $("notice-close").addEventListener("click", () => ($("notice").hidden = true));
  addEventListener("hashchange", () => route(true));
  addEventListener("login-needed", leave);
  addEventListener("waiting-changed", session.drawSessions);
  wide.addEventListener("change", () => show(document.body.dataset.part));
  setInterval(retime, 20000);
  const fresh = await fragmentLogin();
  if (location.pathname === "/login") history.replaceState(null, "", "/");
  const known = fresh || (await api("/api/requests", undefined, { login: true }).then(() => localStorage.getItem("codev-proof"), (e) => e.status !== 401));
  if (known) return enter();
  $("login").hidden = false;
  $("token").focus();
}

begin();
