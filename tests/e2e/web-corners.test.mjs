// Corners of the web page in a real browser: several pods behind one gateway (a hub), what is typed
// while the gateway is away, and how each state of the page looks on a phone and on a desktop.
import test, { after, before, describe } from "node:test";
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { BIN, eventually, freePorts, run, tempDir } from "./lib/util.mjs";
import { connectPlugin } from "./lib/plugin.mjs";
import { accessible, openPage, screenshots, startBrowser, touchable } from "./lib/web.mjs";

const TOKEN = "token-of-the-bridge-in-the-test";
const PHONE = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true };
let browser, hub;
before(async () => {
  browser = await startBrowser();
  hub = await startHub();
});
after(async () => {
  await browser?.close();
  await hub?.end();
});

// A gateway that serves other pods only.
async function startHub(env = {}) {
  const dir = tempDir("hub");
  const [port] = await freePorts(1);
  const h = { url: `http://127.0.0.1:${port}`, token: "token-of-the-hub-in-the-test" };
  h.start = async () => {
    h.child = run(path.join(BIN, "codev-gateway"), [], {
      cwd: dir,
      env: {
        ...{ PATH: process.env.PATH, HOME: dir, CODEV_POD: "hub", CODEV_STATE_DIR: dir, CODEV_RUNTIME_DIR: dir, CODEV_OPENCODE_URL: "" },
        ...{ CODEV_GATEWAY_LISTEN: "127.0.0.1", CODEV_GATEWAY_PORT: String(port), CODEV_TOKEN: h.token, CODEV_BRIDGE_TOKEN: TOKEN },
        ...env,
      },
    });
    await eventually("the hub answers", async () => (await fetch(`${h.url}/api/health`)).ok);
  };
  h.kill = async () => {
    h.child.kill("SIGKILL");
    await h.child.ended;
  };
  h.end = async () => {
    await h.kill();
    assert.doesNotMatch(h.child.err, /AddressSanitizer|LeakSanitizer|runtime error/);
    fs.rmSync(dir, { recursive: true, force: true });
  };
  h.pod = (pod, more) => connectPlugin(h.url, { token: TOKEN, pod, ...more });
  await h.start();
  return h;
}
const open = (t, more) => openPage(t, browser, hub, more);
const card = (page, text) => page.locator(".card", { hasText: text });
const outcome = (page, text) => page.locator(".outcome", { hasText: text });

describe("several pods", () => {
  test("the same ids in two pods: each shows where it is, and is answered there", async (t) => {
    const [one, two] = [await hub.pod("pod-one"), await hub.pod("pod-two")];
    t.after(() => (one.close(), two.close()));
    const page = await open(t);
    one.session("ses_same", "Paint the door");
    one.bash("ses_same", "per_same", "paint door");
    await card(page, "paint door").waitFor();
    two.session("ses_same", "Mend the roof");
    two.bash("ses_same", "per_same", "mend roof");
    await card(page, "mend roof").getByText("Mend the roof on pod-two").waitFor();
    await card(page, "paint door").getByText("Paint the door on pod-one").waitFor(); // it was there before there were two
    const row = (title) => page.locator("#session-list li", { hasText: title });
    await row("Paint the door").getByText("pod-one").waitFor();
    await row("Mend the roof").getByText("pod-two").waitFor();

    await card(page, "mend roof").getByRole("button", { name: "Allow once" }).click();
    const reply = await two.told("the decision", (f) => f.type === "permission.reply");
    assert.deepEqual([reply.permission_id, reply.reply], ["per_same", "once"]);
    two.event({ type: "permission.replied", session_id: "ses_same", root_session_id: "ses_same", permission_id: "per_same", reply: "once" });
    await outcome(page, "mend roof").getByText("Allowed once by Ann").waitFor();
    await card(page, "paint door").getByRole("button", { name: "Allow once" }).waitFor();

    await row("Paint the door").getByRole("link").click();
    await page.locator("#session-facts", { hasText: "pod-one" }).waitFor();
    await page.getByLabel("Message to the agent").fill("Blue, please.");
    await page.getByRole("button", { name: "Send" }).click();
    const message = await one.told("what was written", (f) => f.type === "session.message");
    assert.deepEqual([message.session_id, message.text], ["ses_same", "Blue, please."]);
    await page.getByRole("button", { name: "Stop" }).click();
    await one.told("to stop", (f) => f.type === "session.abort" && f.session_id === "ses_same");
    for (const f of two.frames) assert.ok(!["session.message", "session.abort"].includes(f.type), JSON.stringify(f));
    assert.equal(one.frames.filter((f) => f.type === "permission.reply").length, 0);
    assert.deepEqual([...one.problems, ...two.problems], []);
  });

  test("what is asked while the page reads its lists is not lost with them", async (t) => {
    const pod = await hub.pod("pod-late");
    t.after(() => pod.close());
    const page = await open(t);
    pod.session("ses_before", "There before");
    await page.locator("#session-list li", { hasText: "There before" }).waitFor();
    let release, read;
    const held = new Promise((done) => (release = done));
    const wasRead = new Promise((done) => (read = done));
    let left = 2; // the list of all, and of those that are open
    await page.route("**/api/requests*", async (route) => {
      const answer = await route.fetch();
      if (--left === 0) read();
      await held;
      await route.fulfill({ response: answer });
    });
    await page.reload();
    await wasRead;
    const told = page.waitForEvent("console", (m) => m.text() === "told: per_late");
    await page.evaluate(() => {
      const events = new EventSource("/api/events");
      events.addEventListener("request", (e) => JSON.parse(e.data).id === "per_late" && (console.log("told: per_late"), events.close()));
      return new Promise((open) => (events.onopen = open));
    });
    pod.session("ses_late", "Told meanwhile");
    pod.bash("ses_late", "per_late", "late one");
    await told;
    release();
    await page.locator("#session-list li", { hasText: "There before" }).waitFor();
    await page.locator("#session-list li", { hasText: "Told meanwhile" }).waitFor();
    await card(page, "late one").getByRole("button", { name: "Deny" }).waitFor();
    pod.event({ type: "permission.replied", session_id: "ses_late", root_session_id: "ses_late", permission_id: "per_late", reply: "once" });
    await card(page, "late one").waitFor({ state: "detached" });
  });

  test("a plugin of the first generation, which says no hello: its request is shown and answered", async (t) => {
    const old = await hub.pod("default", { protocol: 0 });
    t.after(() => old.close());
    const page = await open(t);
    old.event({ type: "permission.asked", session_id: "ses_old", permission: { id: "per_old", permission: "bash", metadata: { command: "old way" } } });
    await card(page, "old way").getByRole("button", { name: "Deny" }).click();
    await card(page, "old way").getByLabel("Why not?").fill("take the new one");
    await card(page, "old way").getByRole("button", { name: "Deny" }).click();
    const reply = await old.told("the decision", (f) => f.type === "permission.reply");
    assert.deepEqual([reply.permission_id, reply.reply, reply.message], ["per_old", "reject", "take the new one"]);
    old.event({ type: "permission.replied", session_id: "ses_old", permission_id: "per_old", reply: "reject" });
    await outcome(page, "old way").getByText("Denied by Ann").waitFor();
    assert.ok(!old.frames.some((f) => ["welcome", "ack", "ping"].includes(f.type)), JSON.stringify(old.frames));
  });
});

const question = {
  id: "que_typed",
  questions: [
    { question: "Which colour?", header: "Colour", multiple: false, custom: true, options: [{ label: "Red", description: "warm" }, { label: "Blue", description: "cold" }] },
    { question: "What name?", header: "Name", multiple: false, custom: true, options: [] },
  ],
};

test("what is typed stays: through a gateway that is killed, and through a look at another session", async (t) => {
  let pod = await hub.pod("pod-typed");
  t.after(() => pod.close());
  pod.session("ses_typed", "Typed in");
  pod.session("ses_other", "Another one");
  pod.event({ type: "question.asked", session_id: "ses_typed", root_session_id: "ses_typed", question });
  const page = await open(t, { hash: "#/session/pod-typed/ses_typed" });
  const message = page.getByLabel("Message to the agent");
  await message.fill("half a sentence, and");
  const box = card(page, "Which colour?");
  await box.getByLabel("Blue").check();
  await box.getByRole("group", { name: "What name?" }).getByLabel("Answer").fill("Æther");
  await hub.kill();
  await page.locator("#banner", { hasText: "No connection to the gateway" }).waitFor();
  await message.pressSequentially(" the rest");
  await hub.start();
  await page.locator("#banner", { hasText: "no pod’s plugin is connected" }).waitFor({ timeout: 30000 });
  pod = await hub.pod("pod-typed", { lastSeq: pod.seq });
  await page.locator("#banner").waitFor({ state: "hidden", timeout: 30000 });
  assert.equal(await message.inputValue(), "half a sentence, and the rest");
  assert.ok(await box.getByLabel("Blue").isChecked());

  const row = (title) => page.locator("#session-list li", { hasText: title }).getByRole("link");
  await row("Another one").click();
  await page.locator("#session-title", { hasText: "Another one" }).waitFor();
  assert.equal(await message.inputValue(), "");
  await message.fill("for the other");
  await row("Typed in").click();
  await page.locator("#session-title", { hasText: "Typed in" }).waitFor();
  assert.equal(await message.inputValue(), "half a sentence, and the rest");
  await page.getByRole("button", { name: "Send" }).click();
  const sent = await pod.told("the message", (f) => f.type === "session.message");
  assert.deepEqual([sent.session_id, sent.text], ["ses_typed", "half a sentence, and the rest"]);
  await eventually("the box is empty", async () => (await message.inputValue()) === "");
  await box.getByRole("button", { name: "Answer", exact: true }).click();
  const answer = await pod.told("the answers", (f) => f.type === "question.reply");
  assert.deepEqual(answer.answers, [["Blue"], ["Æther"]]);
  assert.deepEqual(pod.problems, []);
});

// Each state of the page, as people meet it: no wider than its window, accessible, and on a phone each
// control large enough for a finger. With $CODEV_SHOTS in both colours on both, for a look.
test("each state fits a phone and a desktop, light and dark, is accessible, and can be touched", async (t) => {
  const world = await startHub({ SLACK_BOT_TOKEN: "xo" + "xb-none", SLACK_APP_TOKEN: "xa" + "pp-none", SLACK_API_URL: "http://127.0.0.1:1/api/" });
  t.after(() => world.end());
  const shoot = screenshots(t);
  const pages = await Promise.all([
    openPage(t, browser, world, PHONE),
    openPage(t, browser, world, { viewport: { width: 1280, height: 900 } }),
  ]);
  const state = async (name, hash, there) => {
    for (const [i, page] of pages.entries()) {
      await page.evaluate((h) => (location.hash = h), hash);
      await page.locator(there).first().waitFor();
      for (const colorScheme of process.env.CODEV_SHOTS ? ["light", "dark"] : [i ? "dark" : "light"]) {
        await page.emulateMedia({ colorScheme });
        await shoot(page, `state-${name}-${i ? "desktop" : "phone"}-${colorScheme}`);
        await accessible(page);
      }
      if (!i) await touchable(page);
      const [height, end] = await page.evaluate(() => [document.documentElement.scrollHeight, Math.max(innerHeight, document.getElementById("app").getBoundingClientRect().bottom + scrollY)]);
      assert.ok(height <= end + 4, `${name}: the page is ${height} px long, what is in it ${end}`);
    }
  };
  await state("nothing", "#/", "#sessions-none");
  await state("pod-unknown", "#/pod", "#pod-links .thing");
  const [one, two] = [await world.pod("codev-alice-0", { directory: "/home/coder/src/repos/shop" }), await world.pod("codev-bob-0")];
  t.after(() => (one.close(), two.close()));
  one.session("ses_1", "Fix the login bug");
  one.bash("ses_1", "per_1", "npm test -- --grep login");
  await state("permission", "#/", ".card >> text=npm test");
  one.event({ type: "question.asked", session_id: "ses_1", root_session_id: "ses_1", question: { ...question, id: "que_1" } });
  await state("question", "#/session/codev-alice-0/ses_1", ".card >> text=Which colour?");
  two.session("ses_2", "Write the release notes of the whole quarter, with all that was mended");
  two.bash("ses_2", "per_2", "git log --oneline v1.2.0..HEAD");
  const text = (n) => `## Part ${n}\n\nWhat was **found** in \`src/login.js\`, and why it matters. ${"Some more words of prose. ".repeat(8)}\n\n\`\`\`js\n${Array.from({ length: 12 }, (_, i) => `export const line${i} = "a line of code that is rather long, number ${i}, and goes on for a while until it ends";`).join("\n")}\n\`\`\`\n\n- one\n- two\n`;
  const said = (id, part, role, content) =>
    one.event({ type: "message.part.streamed", session_id: id, root_session_id: id, message_id: `msg_${part}`, part_id: `prt_${part}`, role, kind: "text", content, final: true });
  one.session("ses_3", "Explain the login");
  said("ses_3", 1, "user", "Explain the login to me, please.");
  for (let i = 2; i < 6; i++) said("ses_3", i, "assistant", text(i));
  await state("long", "#/session/codev-alice-0/ses_3", "#transcript >> text=Part 5");
  for (const page of pages) {
    const last = page.locator("#transcript .said").last();
    assert.equal(await last.locator(".heading").textContent(), "Part 5");
    assert.equal(await last.locator("strong").textContent(), "found");
    assert.equal(await last.locator("p code").textContent(), "src/login.js");
    assert.deepEqual(await last.locator(".item").allTextContents(), ["one", "two"]);
  }
  await pages[1].getByRole("button", { name: "Jump to the latest" }).click(); // the check of accessibility scrolled
  const atLatest = (what) =>
    eventually(what, () => pages[1].evaluate(() => {
      const box = document.getElementById("transcript");
      return box.scrollTop > 0 && box.scrollHeight - box.scrollTop - box.clientHeight < 2;
    }));
  await atLatest("the latest is in sight");
  await pages[1].setViewportSize({ width: 1280, height: 600 });
  await atLatest("the latest stays in sight when the window gets smaller");
  await pages[1].setViewportSize({ width: 1280, height: 900 });
  one.event({ type: "session.error", session_id: "ses_3", root_session_id: "ses_3", name: "APIError", message: "The model refused: quota exceeded for this key", aborted: false });
  await state("error", "#/session/codev-alice-0/ses_3", "#session-problem >> text=quota");
  await state("pods", "#/", ".card >> text=on codev-bob-0");
  await state("new", "#/new", "#start-prompt");
  await world.kill();
  for (const page of pages) await page.locator("#banner", { hasText: "No connection" }).waitFor();
  await state("away", "#/", "#banner.offline");
});
