// Where people are told of what needs them: on the web page while somebody is there, else in Slack,
// and always in time. The real gateway and OpenCode, the strict Slack fake, a real browser.
import test, { after, afterEach, before, beforeEach } from "node:test";
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { eventually, tempDir } from "./lib/util.mjs";
import { buttons, seen, startHouse, startWorkspace } from "./lib/slack.mjs";
import { accessible, bash, openPage, startBrowser } from "./lib/web.mjs";

let house, opencode, browser, w, home;

before(async () => {
  [house, browser] = await Promise.all([startHouse("presence", { workspace: false }), startBrowser()]);
  ({ opencode } = house);
});
after(async () => {
  await browser?.close();
  await house?.end();
});
beforeEach(async () => {
  home = tempDir("presence-gateway");
  w = await startWorkspace(home, opencode);
});
afterEach(async (context) => {
  for (const r of (await w.api("/api/requests")).requests) // OpenCode outlives the gateway
    await w.api(`/api/requests/${r.id}/decision`, { method: "POST", body: JSON.stringify({ decision: "reject" }) });
  await w.end({ passed: context.passed });
  fs.rmSync(home, { recursive: true, force: true });
});

const page = (t) => openPage(t, browser, { url: w.url, token: "token-of-the-api" });
const card = (p, text) => p.locator(".card", { hasText: text });
const ran = (name) => eventually(`the command made ${name}`, () => fs.existsSync(path.join(opencode.project, name)));
// The gateway says so once, and from then on Slack would have it already.
const rests = (count = 1) =>
  eventually(`${count} requests rest`, () => (w.child.err + w.child.out).split("waits on the web page, not in Slack yet").length > count);
const inSlack = async (text) => (await w.all("&from=bot")).filter((m) => seen(m).includes(text) && buttons(m).length > 0);
const focus = async (answer, choice = "") => {
  await w.slash("alice", choice, "/focus");
  return w.ephemeral("alice", answer);
};
const told = async () => (await w.api("/api/focus")).told;

test("on the page while somebody is there, in Slack when they have left; both work", async (t) => {
  await w.start({ CODEV_GATEWAY_WEB_ACTIVE: "6s" });
  await opencode.prompt(bash("touch before-anybody"));
  const first = await w.waiting("before-anybody"); // nobody was at the page
  const p = await page(t);
  assert.equal(await told(), "web");
  await opencode.prompt(bash("touch on-the-page"));
  await card(p, "on-the-page").waitFor();
  await rests();
  assert.deepEqual(await inSlack("on-the-page"), []);
  // Listening and reading, as a page in the background and programs do, is nobody's activity.
  const came = await w.waiting("on-the-page");
  assert.equal(await told(), "slack");
  await w.click("alice", came, "allow_once");
  await ran("on-the-page");
  await p.keyboard.press("Tab"); // somebody is there again
  await eventually("that is known", async () => (await told()) === "web");
  await card(p, "before-anybody").getByRole("button", { name: "Allow once" }).click();
  await w.settled(first.ts, /Ann/);
});

test("decided on the page: Slack never asks; a question goes the same way; what fails is told in both", async (t) => {
  await w.start();
  const p = await page(t);
  await opencode.prompt(bash("touch only-here"));
  await card(p, "only-here").getByRole("button", { name: "Allow once" }).click();
  await ran("only-here");
  const questions = [{ question: "Which colour?", header: "Colour", options: [{ label: "Blue", description: "b" }] }];
  await opencode.prompt(`go\n@@tool question ${JSON.stringify({ questions })}\n@@then\n@@text Thanks.`);
  await card(p, "Which colour?").waitFor();
  await rests(2);
  await opencode.prompt("go\n@@status 400", "The failing one");
  const failed = await eventually("Slack is told that it failed", async () => (await w.all("&from=bot")).find((m) => /The turn failed/.test(m.text)));
  assert.match((await w.message(failed.thread_ts)).text, /The failing one/);
  await p.locator("#session-list li", { hasText: "The failing one" }).getByText(/[Ff]ailed/).waitFor();
  for (const text of ["only-here", "Which colour?"]) assert.deepEqual((await w.all("&from=bot")).filter((m) => seen(m).includes(text)), [], text);
  await card(p, "Which colour?").getByLabel("Blue").check();
  await card(p, "Which colour?").getByRole("button", { name: /Answer|Send/ }).click();
  await eventually("it is answered", async () => !(await w.api("/api/requests")).requests.some((r) => /colour/.test(JSON.stringify(r))));
});

test("a focus that was chosen counts, and says what holds; what nobody answers comes in time", async (t) => {
  await w.start({ CODEV_GATEWAY_WEB_HOLD: "8s" });
  await focus(/Focus: \*auto\*.*here in Slack: nobody is at the web page/s);
  await focus(/Focus: \*web\*. You are told on the web page. What nobody answers there within 8 s comes here/, "web");
  await opencode.prompt(bash("touch held"));
  await rests();
  assert.deepEqual(await inSlack("touch held"), []);
  await w.waiting("touch held");
  const p = await page(t);
  await focus(/Focus: \*slack\*. You are told here in Slack\./, "slack");
  await opencode.prompt(bash("touch chosen"));
  await w.waiting("touch chosen");
  // By keyboard, on the page.
  const choice = p.getByLabel("Tell me");
  await eventually("the page shows it", async () => (await choice.inputValue()) === "slack");
  await choice.focus();
  await p.keyboard.press("ArrowDown");
  await eventually("it is chosen", async () => (await w.api("/api/focus")).focus === "web");
  await focus(/Focus: \*web\*/);
  assert.match(await p.locator("#focus-now").textContent(), /on this page/);
  await accessible(p);
});

test("it rests over a restart, the Home tab has it, and brings it", async (t) => {
  await w.start();
  await page(t);
  await opencode.prompt(bash("touch restarted"), "Over a restart");
  await rests();
  await w.kill("SIGKILL");
  await w.start();
  await rests();
  assert.deepEqual(await inSlack("touch restarted"), []);
  await w.control("home_opened", { user: "alice" });
  const view = await eventually("the Home tab", async () => (await w.control("calls?method=views.publish")).at(-1)?.args.view);
  assert.match(String(view), /Over a restart[^]*on the web page/);
  await w.control("view_action", { user: "mallory", home: true, action_id: "request_bring" }).catch(() => {});
  await w.control("view_action", { user: "alice", home: true, action_id: "request_bring" });
  const m = await w.waiting("touch restarted");
  await w.click("bob", m, "allow_once");
  await ran("restarted");
  assert.equal((await w.all("&from=bot")).filter((x) => /allow_once/.test(JSON.stringify(x._meta.history)) && /touch restarted/.test(seen(x))).length <= 1, true);
});

test("what is denied by itself is asked in Slack before", async (t) => {
  await w.start({ CODEV_PERMISSION_DEADLINE_MS: "10000" }); // the first name of gateway.permission_deadline
  await page(t);
  await opencode.prompt(bash("touch in-time"));
  await rests();
  const m = await w.waiting("in-time");
  await w.settled(m.ts, /[Dd]enied.*deadline|deadline.*[Dd]enied/s);
});

test("what is written elsewhere is quoted in the thread, once; what comes from it is not", async (t) => {
  await w.start();
  await w.control("message", { user: "alice", channel: "dev", text: "<@U0BOT000001> @@text Begun." });
  const root = await eventually("the thread", async () => (await w.all()).find((m) => m.text.includes("Begun.") && !m.thread_ts));
  const thread = async () => (await w.all(`&thread_ts=${root.ts}`)).filter((m) => m.ts !== root.ts);
  const says = (text, count = 1) =>
    eventually(`the thread says ${text}`, async () => (await thread()).filter((m) => seen(m).includes(text)).length >= count);
  await says("Done in");
  const id = (await w.api("/api/sessions")).sessions.find((s) => s.created_by.startsWith("slack:")).id;
  await opencode.api(`/session/${id}/prompt_async`, { parts: [{ type: "text", text: "look <here> & there\n@@text Looked." }] });
  await says("Somebody in OpenCode");
  await says("Looked.", 2);
  const p = await page(t);
  await p.goto(`${w.url}/#/session/pod-1/${id}`);
  await p.getByLabel("Message to the agent").fill("again\n@@text Again.");
  await p.getByRole("button", { name: "Send" }).click();
  await says("Ann on the web page");
  await w.reply("alice", { channel: root.channel, thread_ts: root.ts }, "from the thread\n@@text Heard.");
  await says("Heard.");
  await w.kill("SIGKILL"); // somebody writes meanwhile
  await opencode.api(`/session/${id}/prompt_async`, { parts: [{ type: "text", text: "nobody listens\n@@text But it is told." }] });
  await w.start();
  await says("But it is told.", 2);
  await says("nobody listens");
  const quoted = (await thread()).filter((m) => /bust_in_silhouette/.test(seen(m))).map((m) => m.blocks.at(-1).text.text);
  assert.deepEqual(quoted, [
    "&gt;look &lt;here&gt; &amp; there\n&gt;@@text Looked.",
    "&gt;again\n&gt;@@text Again.",
    "&gt;nobody listens\n&gt;@@text But it is told.",
  ]);
});

test("the session's thread says that it waits on the page; a word for Slack brings it", async (t) => {
  await w.start();
  await w.control("message", { user: "alice", channel: "dev", text: `<@U0BOT000001> ${bash("touch in-thread")}` });
  const first = await w.waiting("in-thread");
  const p = await page(t);
  await w.click("alice", first, "allow_once");
  await ran("in-thread");
  await w.reply("alice", first, bash("touch second-in-thread"));
  await card(p, "second-in-thread").waitFor();
  await rests();
  await eventually("the card says so", async () =>
    (await w.all(`&thread_ts=${first.thread_ts}`)).some((m) => /waits for an answer on the web page/.test(seen(m))));
  await focus(/here in Slack/, "slack");
  await w.click("alice", await w.waiting("second-in-thread"), "allow_once");
  await ran("second-in-thread");
  await eventually("the card says so no more", async () =>
    !(await w.all(`&thread_ts=${first.thread_ts}`)).some((m) => /waits for an answer on the web page/.test(seen(m))));
});
