// Where people are told of things, and that somebody is at this page: a key, a click, a scroll. A page
// that is only open says nothing.
import { $, say } from "./text.js";
import { api } from "./api.js";

const NOW = { slack: "Now: in Slack.", web: "Now: on this page.", both: "Now: in both." };

let active = false;
let last = 0;
let every_ms = 30000;

function show({ focus, told, slack, hold_ms, active_for_ms }) {
  every_ms = Math.min(30000, active_for_ms / 4);
  const minutes = Math.round(hold_ms / 60000);
  const wait = minutes > 1 ? `${minutes} minutes` : `${Math.round(hold_ms / 1000)} seconds`;
  $("focus").hidden = !slack;
  $("focus-choice").value = focus;
  $("focus-now").textContent = NOW[told];
  $("focus").title = `${NOW[told]} What waits here for ${wait} comes to Slack, too; what fails is told in both.`;
}

export const readFocus = () => api("/api/focus").then(show, () => {});

async function choose() {
  try {
    const state = await api("/api/focus", { focus: $("focus-choice").value });
    show(state);
    say(NOW[state.told]);
  } catch (error) {
    say(error.message);
    readFocus();
  }
}

function somebodyIsHere() {
  if (!active || document.hidden || Date.now() - last < every_ms) return;
  last = Date.now();
  api("/api/activity", undefined, { post: true }).then(show, () => (last = 0));
}

export function watchFor(people) {
  active = people;
  last = 0;
  somebodyIsHere();
}

export function listenToPeople() {
  for (const type of ["pointerdown", "keydown", "wheel", "touchmove"])
    addEventListener(type, somebodyIsHere, { passive: true, capture: true });
  document.addEventListener("visibilitychange", somebodyIsHere);
  $("focus-choice").addEventListener("change", choose);
}
