// What the web page shows of a whole pod: the real PID 1, OpenCode with the bridge plugin, the gateway.
import test, { after, before } from "node:test";
import assert from "node:assert/strict";
import { IS_ROOT, eventually } from "./lib/util.mjs";
import { checkAnswer } from "./lib/api.mjs";
import { startPod } from "./lib/pod.mjs";
import { accessible, bash, openPage, screenshots, startBrowser } from "./lib/web.mjs";

const options = { skip: IS_ROOT ? false : "mounts need root" };
let pod, browser, world;
before(async () => {
  if (!IS_ROOT) return;
  pod = await startPod({ volume: "bind" });
  await pod.ready();
  await pod.bridged();
  browser = await startBrowser();
  world = { url: pod.api, token: pod.token };
});
after(async () => {
  await browser?.close();
  await pod?.end();
});
const open = (t, more) => openPage(t, browser, world, more);
const card = (page, text) => page.locator(".card", { hasText: text });
const killGateway = async () => process.kill(await pod.hostPid("gateway"), "SIGKILL");

test("the pod: services, volumes, plugin and links, as PID 1 knows them; news come by themselves", options, async (t) => {
  const page = await open(t);
  await page.getByRole("link", { name: "Pod", exact: true }).click();
  const thing = (list, name) => page.locator(`#pod-${list} .thing`, { has: page.locator("h4", { hasText: name }) });
  for (const name of ["probes", "gateway", "opencode"]) await thing("services", name).locator(".badge", { hasText: "ready" }).waitFor();
  await thing("volumes", ".local").getByText(/^\d.* free/).waitFor();
  await thing("plugin", "Bridge plugin").locator(".badge", { hasText: "ready" }).waitFor();
  await thing("links", "OpenCode").getByText("by the plugin").waitFor();
  await thing("links", "Store").getByText("well").waitFor();
  assert.match(await page.locator("#pod-state").textContent(), /^ready · up .* · codev /);
  process.kill(await pod.hostPid("probes"), "SIGKILL");
  await thing("services", "probes").getByText("1 restart").waitFor({ timeout: 20000 });
});

test("logs: of one service, filtered, by level, with follow; a link from the service leads there", options, async (t) => {
  const page = await open(t, { hash: "#/pod" });
  await page.getByRole("link", { name: "Logs of gateway" }).click();
  const lines = page.locator("#logs-lines .log");
  await lines.filter({ hasText: "listening on" }).first().waitFor();
  assert.equal(await page.locator("#logs-service").inputValue(), "gateway");
  await page.getByLabel("Filter").fill("LISTENING on");
  await eventually("other lines are hidden", async () => (await lines.count()) >= 1 && (await lines.filter({ hasNotText: "listening on" }).count()) === 0);
  await page.getByLabel("Filter").fill("a login from");
  await page.getByText("No line matches.").waitFor();
  // a new line comes by itself: a refused login is logged
  await fetch(`${pod.api}/api/login`, { method: "POST", headers: { "content-type": "application/json" }, body: '{"token":"wrong"}' });
  await lines.filter({ hasText: "a login from" }).first().waitFor();
  await page.locator("#logs-level").selectOption("3");
  await page.getByText("No line matches.").waitFor();
  await page.getByLabel("Filter").fill("");
  await page.locator("#logs-level").selectOption("0");
  await page.locator("#logs-service").selectOption("*");
  await lines.filter({ hasText: "probes" }).first().waitFor();
  await killGateway(); // and it comes back, each line once
  await lines.filter({ hasText: /gateway.*listening on/ }).nth(1).waitFor({ timeout: 30000 });
  const shown = await page.evaluate(() => [...document.querySelectorAll("#logs-lines .log")].map((l) => `${l.querySelector("time").title} ${l.textContent}`));
  assert.equal(new Set(shown).size, shown.length, "no line twice");
});

test("a tool's output is shown; after a restart of the gateway all that was said is read from OpenCode again", options, async (t) => {
  const page = await open(t);
  await page.getByLabel("What should the agent do?").fill(bash("printf 'line %s\\n' 1 2 3"));
  await page.getByRole("button", { name: "Start" }).click();
  await card(page, "printf").getByRole("button", { name: "Allow once" }).click();
  const said = page.locator("#transcript .said.agent", { hasText: "All done." });
  await said.waitFor();
  const before = await page.locator("#transcript > *").allTextContents();
  await page.locator("#transcript summary", { hasText: "printf" }).click();
  assert.match(await page.locator("#transcript .tool pre").textContent(), /line 1\nline 2\nline 3/);
  await killGateway();
  await eventually("the gateway answers", async () => (await fetch(`${pod.api}/api/health`)).ok, 30000);
  await pod.bridged();
  await page.reload();
  await said.waitFor({ timeout: 30000 });
  assert.deepEqual(await page.locator("#transcript > *").allTextContents(), before);
  assert.ok(await page.locator("#session-partly").isHidden());
});

test("a form of questions: one choice, several, and own words", options, async (t) => {
  const page = await open(t);
  const ask = {
    questions: [
      { question: "Which colour?", header: "Colour", options: [{ label: "Red", description: "warm" }, { label: "Blue", description: "cold" }] },
      { question: "Which toppings?", header: "Toppings", multiple: true, options: [{ label: "Nuts", description: "" }, { label: "Fruit", description: "" }, { label: "Cream", description: "" }] },
      { question: "What name?", header: "Name", options: [] },
    ],
  };
  const id = await pod.prompt(`go\n@@tool question ${JSON.stringify(ask)}`);
  const box = card(page, "Which colour?");
  await box.getByLabel("Red").check();
  const toppings = box.getByRole("group", { name: "Which toppings?" });
  await toppings.getByLabel("Nuts").check();
  await toppings.getByLabel("Cream").check();
  await box.getByRole("group", { name: "What name?" }).getByLabel("Answer").fill("Æther <b>");
  await accessible(page);
  await screenshots(t)(page, "question-desktop-light");
  await box.getByRole("button", { name: "Answer", exact: true }).click();
  await page.locator(".outcome", { hasText: "Which colour?" }).getByText("Answered by Ann").waitFor();
  await eventually("the model got the answers", async () => {
    const text = JSON.stringify((await pod.oc(`/session/${id}/message`)).body).replaceAll("\\", "");
    return /Which colour\?"="Red".*Which toppings\?"="Nuts, Cream".*What name\?"="Æther <b>"/.test(text);
  });
});

test("all of it fits a phone and a desktop, light and dark, and is accessible", options, async (t) => {
  const shoot = screenshots(t);
  const id = await pod.prompt(bash("ls -la /proc/self", "I looked at it. That is all."), { title: "Look at the process" });
  const request = await pod.request((r) => JSON.stringify(r).includes("/proc/self"));
  await pod.decide(request.id, "once");
  await eventually("the turn ends", async () => (await pod.fetch(`/api/sessions/${id}`)).body.session.status === "idle", 30000);
  await pod.prompt(bash("rm -rf build && make release"), { title: "Build a release" });
  await pod.request((r) => JSON.stringify(r).includes("make release"));
  const views = [
    ["day", "", ".card"],
    ["session", `#/session/${request.pod}/${id}`, "#transcript .said.agent >> text=That is all."],
    ["pod", "#/pod", "#pod-services .thing"],
    ["logs", "#/logs", "#logs-lines .log"],
    ["new", "#/new", "#start-prompt"],
  ];
  const forms = [["phone", { width: 360, height: 740 }], ["desktop", { width: 1280, height: 900 }]];
  const page = await open(t);
  for (const [name, hash, there] of views) {
    await page.goto(`${world.url}/${hash}`);
    await page.locator(there).first().waitFor();
    if (name === "session") await page.locator("#transcript summary").first().click();
    for (const [form, viewport] of forms)
      for (const colorScheme of ["light", "dark"]) {
        await page.setViewportSize(viewport);
        await page.emulateMedia({ colorScheme });
        await shoot(page, `${name}-${form}-${colorScheme}`);
        if ((form === "phone") === (colorScheme === "light")) await accessible(page);
      }
  }
  await page.locator("#parts .count", { hasText: "1 waits for you" }).waitFor();
  const last = await pod.request((r) => JSON.stringify(r).includes("make release"));
  await pod.decide(last.id, "reject");
});

test("the pod, its logs and what can be chosen, over the API, as the document says", options, async () => {
  for (const [route, query] of [["/api/pod", ""], ["/api/logs", "?service=init&lines=50"], ["/api/catalog", ""], ["/api/sessions", ""], ["/api/requests", "?all=1"]]) {
    const response = await fetch(pod.api + route + query, { headers: { authorization: `Bearer ${pod.token}` } });
    const text = await response.text();
    assert.equal(response.status, 200, text);
    checkAnswer("get", route, { status: 200, headers: response.headers, text, body: JSON.parse(text) });
  }
  const { status, body } = await pod.fetch("/api/logs?service=nothing");
  assert.equal(status, 404, JSON.stringify(body));
  assert.equal((await pod.fetch("/api/logs?lines=0")).status, 422);
  assert.equal((await pod.fetch("/api/logs?service=a%20b")).status, 422);
  const logs = await pod.fetch("/api/logs?service=opencode&lines=5");
  assert.ok(logs.body.lines.length > 0 && logs.body.lines.every((l) => l.service === "opencode" && l.seq > 0));
  const { body: catalog } = await pod.fetch("/api/catalog");
  assert.ok(catalog.models.some((m) => m.id === "fake/fake-1"), JSON.stringify(catalog));
});
