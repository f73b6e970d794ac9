// The web page in a real browser, and the HTTP API behind it: the real gateway, the real OpenCode
// reached directly, a scripted model.
import test, { after, before, describe } from "node:test";
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import http from "node:http";
import YAML from "yaml";
import { TOP, eventually } from "./lib/util.mjs";
import { checkAnswer, document, validatorOf } from "./lib/api.mjs";
import { accessible, bash, openPage, screenshots, startBrowser, startGatewayAndOpenCode } from "./lib/web.mjs";

let world, browser;
before(async () => {
  world = await startGatewayAndOpenCode({ env: { CODEV_ALLOWED_HOSTS: "codev.example, .team.example" } });
  browser = await startBrowser();
});
after(async () => {
  await browser?.close();
  await world?.end();
});

const open = (t, options) => openPage(t, browser, world, options);
const card = (page, text) => page.locator(".card", { hasText: text });
const outcome = (page, text) => page.locator(".outcome", { hasText: text });

describe("the page", () => {
  test("Allow once: nothing runs before the click, then it runs, and all pages show who decided", async (t) => {
    const ann = await open(t);
    const bob = await open(t, { name: "Bob" });
    await ann.getByLabel("What should the agent do?").fill(bash("touch allowed-1"));
    await ann.getByRole("button", { name: "Start" }).click();
    await card(ann, "touch allowed-1").waitFor();
    await card(bob, "touch allowed-1").waitFor();
    assert.equal(await card(ann, "touch allowed-1").locator("pre").textContent(), "touch allowed-1");
    assert.match(await ann.title(), /\(1\)/);
    assert.ok(!world.exists("allowed-1"));
    await card(ann, "touch allowed-1").getByRole("button", { name: "Allow once" }).click();
    await world.ran("allowed-1");
    for (const page of [ann, bob]) {
      await outcome(page, "touch allowed-1").waitFor();
      assert.match(await outcome(page, "touch allowed-1").textContent(), /Allowed once by Ann at \d/);
      assert.equal(await card(page, "touch allowed-1").count(), 0);
    }
    await ann.locator("#transcript .said.agent", { hasText: "All done." }).waitFor();
    assert.match(await ann.locator("#transcript .tool").first().textContent(), /done: bash touch allowed-1/);
    const lines = await ann.locator("#transcript > *").allTextContents();
    const at = (text) => lines.findIndex((l) => l.includes(text));
    assert.ok(at("Agent: I will run") < at("Tool, done: bash") && at("Tool, done: bash") < at("Agent: All done."), lines.join("\n"));
  });

  test("deny with a reason: the command does not run, the agent reads the reason", async (t) => {
    const page = await open(t);
    const id = await world.prompt(bash("touch denied-1"));
    const box = card(page, "touch denied-1");
    await box.getByRole("button", { name: "Deny" }).click();
    await box.getByLabel("Why not?").fill("use the <b>other</b> folder");
    await box.getByRole("button", { name: "Deny" }).click();
    await outcome(page, "touch denied-1").waitFor();
    assert.match(await outcome(page, "touch denied-1").textContent(), /Denied by Ann.*use the <b>other<\/b> folder/s);
    await eventually("the model got the reason", async () => (await world.messages(id)).includes("use the <b>other</b> folder"));
    assert.ok(!world.exists("denied-1"));
  });

  test("Always allow: says what it covers; the second time nobody is asked", async (t) => {
    const page = await open(t);
    const id = await world.prompt(bash("mkdir always-1"));
    const box = card(page, "mkdir always-1");
    await box.waitFor();
    assert.match(await box.locator(".hint").textContent(), /covers mkdir \*/);
    await box.getByRole("button", { name: "Always allow" }).click();
    await world.ran("always-1");
    await page.goto(`${world.url}/#/session/codev-0/${id}`);
    await page.getByLabel("Message to the agent").fill(bash("mkdir always-2"));
    await page.keyboard.press("Enter");
    await world.ran("always-2");
    await page.locator("#session-status", { hasText: "Ready" }).waitFor();
  });

  test("a file's change is shown as a diff", async (t) => {
    const page = await open(t);
    const edit = { filePath: path.join(world.project, "notes.sql"), oldString: "", newString: "-- one\ntwo\n" };
    await world.prompt(`go\n@@tool edit ${JSON.stringify(edit)}`);
    const box = card(page, "notes.sql");
    await box.waitFor();
    assert.deepEqual(await box.locator(".line.added").allTextContents(), ["+-- one\n", "+two\n"]);
    await box.getByRole("button", { name: "Allow once" }).click();
    await world.ran("notes.sql");
  });

  test("what is invisible in a command is made visible, and markup stays text", async (t) => {
    const page = await open(t);
    await world.prompt(bash("echo \u202e<img src=x onerror=alert(1)>\u200b > hidden-1"), { title: "<i>title</i>" });
    const box = card(page, "hidden-1");
    await box.waitFor();
    assert.equal(await box.locator("pre").textContent(), "echo U+202E<img src=x onerror=alert(1)>U+200B > hidden-1");
    assert.equal(await page.locator(".card img, .card i").count(), 0);
    await box.getByRole("button", { name: "Deny" }).click();
    await box.getByRole("button", { name: "Deny" }).click();
    await outcome(page, "hidden-1").waitFor();
  });

  test("a question is answered", async (t) => {
    const page = await open(t);
    const ask = { questions: [{ question: "Which colour?", header: "Colour", options: [{ label: "Red", description: "warm" }, { label: "Blue", description: "cold" }] }] };
    const id = await world.prompt(`go\n@@tool question ${JSON.stringify(ask)}`);
    const box = card(page, "Which colour?");
    await box.getByRole("button", { name: "Answer" }).click();
    await box.getByText("Choose or write an answer").waitFor();
    await box.getByLabel("Blue").check();
    await box.getByRole("button", { name: "Answer" }).click();
    await outcome(page, "Which colour?").getByText("Answered by Ann").waitFor();
    await eventually("the model got the answer", async () => /Which colour\?[^}]*Blue/.test((await world.messages(id)).replaceAll("\\", "")));
  });

  test("stop: what the turn asked is shown as gone", async (t) => {
    const page = await open(t);
    const id = await world.prompt(bash("touch stopped-1"));
    await card(page, "touch stopped-1").waitFor();
    await page.goto(`${world.url}/#/session/codev-0/${id}`);
    await page.getByRole("button", { name: "Stop" }).click();
    await outcome(page, "touch stopped-1").getByText("No longer needed").waitFor();
    assert.ok(!world.exists("stopped-1"));
  });

  test("decided over the API: the page shows it; a second decision is told who was first", async (t) => {
    const page = await open(t);
    await world.prompt(bash("touch api-1"));
    await card(page, "touch api-1").waitFor();
    const { id } = await world.request("touch api-1");
    const first = await world.post(`/api/requests/${id}/decision`, { decision: "once" });
    assert.equal(first.status, 200);
    const second = await world.post(`/api/requests/${id}/decision`, { decision: "reject" });
    assert.equal(second.status, 409);
    assert.equal(second.body.request.outcome, "once");
    await outcome(page, "touch api-1").getByText("Allowed once by API").waitFor();
  });

  test("by keyboard alone: log in, find the card, deny with a reason, the focus stays at hand", async (t) => {
    const context = await browser.newContext();
    t.after(() => context.close());
    const page = await context.newPage();
    await world.prompt(bash("touch keys-1"));
    await world.request("touch keys-1");
    await page.goto(world.url);
    await page.locator("#token:focus").waitFor();
    await page.keyboard.type(world.token);
    await page.keyboard.press("Enter");
    await card(page, "touch keys-1").waitFor();
    const focused = () => page.evaluate(() => document.activeElement.textContent.trim() || document.activeElement.tagName);
    const tabTo = async (text) => {
      for (let i = 0; i < 30; i++) {
        await page.keyboard.press("Tab");
        if ((await focused()) === text) return;
      }
      assert.fail(`Tab does not reach ${text}`);
    };
    await tabTo("Deny");
    await page.keyboard.press("Enter");
    assert.equal(await focused(), "TEXTAREA");
    await page.keyboard.press("Escape");
    assert.equal(await focused(), "Deny");
    await page.keyboard.press("Space");
    await page.keyboard.type("no keys");
    await tabTo("Deny");
    await page.keyboard.press("Enter");
    await outcome(page, "no keys").waitFor();
    assert.equal(await focused(), "What waits for you");
    await page.locator("#say", { hasText: "Denied" }).waitFor({ state: "attached" });
  });

  test("the gateway is killed and starts again: the page says so, comes back, and its buttons work", async (t) => {
    const page = await open(t);
    await world.prompt(bash("touch restart-1"));
    await card(page, "touch restart-1").waitFor();
    await world.stopGateway("SIGKILL");
    await page.getByText("No connection to the gateway").waitFor();
    await world.startGateway();
    await page.getByText("No connection to the gateway").waitFor({ state: "hidden", timeout: 20000 });
    await card(page, "touch restart-1").getByRole("button", { name: "Allow once" }).click();
    await world.ran("restart-1");
    await outcome(page, "touch restart-1").getByText("Allowed once by Ann").waitFor();
  });

  test("a link with the token in its fragment logs in; logging out ends the login and its streams", async (t) => {
    const context = await browser.newContext();
    t.after(() => context.close());
    const page = await context.newPage();
    await page.goto(`${world.url}/login#token=${world.token}`);
    await page.locator("#app").waitFor();
    assert.equal(page.url(), `${world.url}/`);
    const [cookie] = await context.cookies();
    assert.deepEqual([cookie.name, cookie.httpOnly, cookie.sameSite, cookie.secure], ["codev_login", true, "Strict", false]);
    assert.ok(!cookie.value.includes(world.token));
    const other = await context.newPage();
    await other.goto(world.url);
    await other.locator("#app").waitFor();
    await page.getByRole("button", { name: "Log out" }).click();
    await page.getByLabel("Token").waitFor();
    await other.getByLabel("Token").waitFor();
    const old = await world.raw("/api/sessions", { auth: "", headers: { cookie: `codev_login=${cookie.value}` } });
    assert.equal(old.status, 401);
  });

  test("fits a phone and a desktop, light and dark, and a check of accessibility finds nothing", async (t) => {
    await world.prompt(bash("echo a-very-long-command-".padEnd(400, "x")), { title: "A long title ".repeat(8) });
    const shoot = screenshots(t);
    const page = await open(t);
    await card(page, "a-very-long-command").waitFor();
    for (const [form, viewport] of [["phone", { width: 360, height: 740 }], ["desktop", { width: 1280, height: 900 }]])
      for (const colorScheme of ["light", "dark"]) {
        await page.setViewportSize(viewport);
        await page.emulateMedia({ colorScheme });
        await shoot(page, `home-${form}-${colorScheme}`);
        await accessible(page);
        const small = await page.evaluate(() => [...document.querySelectorAll(".card button")].filter((b) => b.offsetHeight && b.offsetHeight < 40).length);
        assert.equal(small, 0, "buttons large enough for a finger");
      }
    const request = await world.request("a-very-long-command");
    await world.post(`/api/requests/${request.id}/decision`, { decision: "reject" });
  });

  test("a page load is under 100 KB in all, what the API answers included", async (t) => {
    const page = await open(t);
    await page.locator("#links li").first().waitFor();
    const loads = await page.evaluate(() => performance.getEntries().filter((e) => e.encodedBodySize).map((e) => [new URL(e.name).pathname, e.encodedBodySize]));
    const total = loads.reduce((sum, [, n]) => sum + n, 0);
    for (const file of ["/", "/app.css", "/app.js", "/pod.js", "/api/sessions"]) assert.ok(loads.some(([name]) => name === file), file);
    assert.ok(total < 100 * 1024, `${total} bytes: ${JSON.stringify(loads)}`);
  });

  test("the login is accessible, too", async (t) => {
    const shoot = screenshots(t);
    for (const colorScheme of ["light", "dark"]) {
      const context = await browser.newContext({ viewport: { width: 360, height: 740 }, colorScheme });
      t.after(() => context.close());
      const page = await context.newPage();
      await page.goto(world.url);
      await page.getByLabel("Token").fill("wrong");
      await page.getByRole("button", { name: "Log in" }).click();
      await page.getByText("The token or password is wrong.").waitFor();
      await accessible(page);
      await shoot(page, `login-phone-${colorScheme}`);
    }
  });
});

describe("the API", () => {
  const check = (method, route, answer) => {
    checkAnswer(method, route, answer);
    return answer;
  };
  const fits = (name, data) => {
    const validate = validatorOf(name);
    assert.ok(validate(data), `${name}: ${JSON.stringify(validate.errors)} ${JSON.stringify(data)}`);
  };

  test("the document is served as it is", async () => {
    assert.deepEqual(YAML.parse((await world.raw("/api/openapi.yaml", { auth: "" })).text), document);
  });

  test("real answers match the document", async () => {
    check("get", "/api/health", await world.raw("/api/health", { auth: "" }));
    const started = check("post", "/api/sessions", await world.post("/api/sessions", { prompt: bash("touch doc-1"), title: "Doc" }));
    assert.equal(started.status, 201);
    const { session_id: id, pod } = started.body;
    assert.equal(pod, "codev-0");
    const request = await world.request("touch doc-1");
    check("get", "/api/requests", await world.get("/api/requests"));
    check("post", "/api/requests/{id}/decision", await world.post(`/api/requests/${request.id}/decision`, { decision: "once" }));
    await world.ran("doc-1");
    await world.request("touch doc-1", "settled");
    check("post", "/api/requests/{id}/decision", await world.post(`/api/requests/${request.id}/decision`, { decision: "once" }));
    check("get", "/api/requests", await world.get("/api/requests?all=1&pod=codev-0"));
    check("get", "/api/sessions", await world.get("/api/sessions"));
    const one = check("get", "/api/sessions/{id}", await world.get(`/api/sessions/${id}`));
    assert.ok(one.body.transcript.some((e) => e.kind === "tool" && e.text.includes("touch doc-1")));
    assert.equal(check("post", "/api/sessions/{id}/messages", await world.post(`/api/sessions/${id}/messages`, { text: "hello" })).status, 202);
    assert.equal(check("post", "/api/sessions/{id}/abort", await world.raw(`/api/sessions/${id}/abort`, { method: "POST" })).status, 202);
    check("post", "/api/login", await world.post("/api/login", { token: world.token, name: "Doc" }));
    check("post", "/api/logout", await world.raw("/api/logout", { method: "POST" }));
  });

  const json = { "content-type": "application/json" };
  const refused = [
    ["no token", 401, "get", "/api/sessions", { auth: "" }],
    ["a wrong token", 401, "get", "/api/sessions", { auth: "Bearer wrong" }],
    ["a wrong password", 401, "get", "/api/sessions", { auth: `Basic ${btoa("opencode:wrong")}` }],
    ["the bridge's token", 401, "get", "/api/sessions", { auth: "Bearer bridge-token" }],
    ["an unknown session", 404, "get", "/api/sessions/{id}", {}, "/api/sessions/ses_nothing"],
    ["an unknown request", 404, "post", "/api/requests/{id}/decision", { headers: json, body: '{"decision":"once"}' }, "/api/requests/per_nothing/decision"],
    ["a foreign origin", 403, "post", "/api/sessions", { headers: { ...json, origin: "http://evil.example" }, body: '{"prompt":"x"}' }],
    ["a foreign page", 403, "post", "/api/sessions", { headers: { ...json, "sec-fetch-site": "cross-site" }, body: '{"prompt":"x"}' }],
    ["a form", 415, "post", "/api/sessions", { headers: { "content-type": "text/plain" }, body: '{"prompt":"x"}' }],
    ["no JSON", 400, "post", "/api/sessions", { headers: json, body: '{"prompt":' }],
    ["bad UTF-8", 400, "post", "/api/sessions", { headers: json, body: Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]) }],
    ["a list", 422, "post", "/api/sessions", { headers: json, body: "[]" }],
    ["an unknown field", 422, "post", "/api/sessions", { headers: json, body: '{"prompt":"x","shell":"y"}' }],
    ["a long prompt", 422, "post", "/api/sessions", { headers: json, body: JSON.stringify({ prompt: "x".repeat(50001) }) }],
    ["a huge body", 413, "post", "/api/sessions", { headers: json, body: JSON.stringify({ prompt: "x".repeat(300000) }) }],
  ];
  for (const [what, status, method, route, options, url = route] of refused)
    test(`${what}: ${status}`, async () => {
      const answer = await world.raw(url, { method: method.toUpperCase(), ...options });
      assert.equal(answer.status, status, answer.text);
      check(method, route, answer);
    });

  test("OpenCode's password opens it too", async () => {
    const right = await world.raw("/api/sessions", { auth: `Basic ${btoa(`opencode:${world.password}`)}` });
    assert.equal(right.status, 200);
  });

  test("unknown paths and methods", async () => {
    assert.equal((await world.get("/api/nothing")).status, 404);
    const wrong = await world.raw("/api/sessions", { method: "DELETE" });
    assert.equal(wrong.status, 405);
    assert.equal(wrong.headers.get("allow"), "GET, HEAD, POST");
  });

  // fetch() does not let the Host be chosen.
  const withHost = (host, route = "/") =>
    new Promise((resolve, reject) => {
      const request = http.request({ host: "127.0.0.1", port: world.port, path: route, headers: { host } }, (response) => {
        response.resume();
        response.on("end", () => resolve(response.statusCode));
      });
      request.on("error", reject).end();
    });
  test("a foreign Host name is refused everywhere (DNS rebinding)", async () => {
    for (const host of ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example"])
      for (const route of ["/", "/api/health", "/api/sessions"]) assert.equal(await withHost(host, route), 403, `${host} ${route}`);
    for (const host of ["localhost:8000", "[::1]:8000", "codev-0", "codev.example", "a.team.example:443", "codev.ns.svc.cluster.local"])
      assert.equal(await withHost(host), 200, host);
  });

  test("a login's cookie reads, but changes nothing without the page's proof", async () => {
    const login = await world.raw("/api/login", { method: "POST", auth: "", headers: json, body: JSON.stringify({ token: world.token }) });
    const cookie = login.headers.get("set-cookie").split(";")[0];
    assert.match(login.headers.get("set-cookie"), /; Path=\/; Max-Age=\d+; HttpOnly; SameSite=Strict$/);
    const send = (headers) => world.raw("/api/sessions", { method: "POST", auth: "", headers: { ...json, cookie, ...headers }, body: "{}" });
    assert.equal((await world.raw("/api/sessions", { auth: "", headers: { cookie } })).status, 200);
    assert.equal((await send({})).body.error.code, "cross_site");
    assert.equal((await send({ origin: world.url })).body.error.code, "no_proof");
    assert.equal((await send({ origin: world.url, "x-codev-proof": "0".repeat(64) })).body.error.code, "no_proof");
    assert.equal((await send({ origin: world.url, "x-codev-proof": login.body.proof })).status, 422);
    const secure = await world.raw("/api/login", { method: "POST", auth: "", headers: { ...json, "x-forwarded-proto": "https" }, body: JSON.stringify({ token: world.token }) });
    assert.match(secure.headers.get("set-cookie"), /; Secure$/);
  });

  test("headers that protect the page; assets by ETag; the caller's request id", async () => {
    const page = await world.raw("/", { auth: "", headers: { "x-request-id": "abc-1" } });
    assert.match(page.headers.get("content-security-policy"), /default-src 'none'; script-src 'self'/);
    assert.equal(page.headers.get("x-content-type-options"), "nosniff");
    assert.equal(page.headers.get("referrer-policy"), "no-referrer");
    assert.equal(page.headers.get("x-request-id"), "abc-1");
    assert.equal((await world.raw("/", { auth: "", headers: { "x-request-id": "a b" } })).headers.get("x-request-id").length, 16);
    assert.equal((await world.raw("/", { auth: "", headers: { "if-none-match": page.headers.get("etag") } })).status, 304);
    assert.equal((await world.get("/api/sessions")).headers.get("cache-control"), "no-store");
    let size = 0;
    for (const file of ["/", "/app.css", "/icon.svg", ...fs.readdirSync(path.join(TOP, "bridge/gateway/web/assets")).filter((f) => f.endsWith(".js")).map((f) => `/${f}`)]) {
      const answer = await world.raw(file, { auth: "" });
      assert.equal(answer.status, 200, file);
      size += answer.text.length;
    }
    assert.ok(size < 100000, `the page is ${size} bytes`);
  });

  // Reads events until `enough(list)`; then goes away.
  async function events(headers, enough, query = "") {
    const control = new AbortController();
    const list = [];
    const response = await fetch(`${world.url}/api/events${query}`, { headers: { authorization: `Bearer ${world.token}`, ...headers }, signal: AbortSignal.any([control.signal, AbortSignal.timeout(30000)]) });
    if (response.status !== 200) return list;
    assert.equal(response.headers.get("x-accel-buffering"), "no");
    let text = "";
    for await (const chunk of response.body) {
      text += Buffer.from(chunk).toString();
      const whole = text.split("\n\n");
      text = whole.pop();
      for (const frame of whole) list.push(Object.fromEntries(frame.split("\n").map((l) => [l.slice(0, l.indexOf(":")), l.slice(l.indexOf(":") + 2)])));
      if (enough(list)) break;
    }
    control.abort();
    return list;
  }

  test("events resume where the reader stopped; what is too old is said so", async () => {
    const [ready] = await events({}, (l) => l.length >= 1);
    assert.equal(ready.event, "ready");
    await world.prompt(bash("touch events-1"));
    const request = await world.request("touch events-1");
    await world.post(`/api/requests/${request.id}/decision`, { decision: "once" });
    await world.request("touch events-1", "settled");
    const seen = await events({ "last-event-id": ready.id }, (l) => l.some((e) => e.event === "request" && JSON.parse(e.data).state === "settled"));
    assert.equal(seen[0].event, "ready");
    assert.equal(JSON.parse(seen[0].data).resumed, true);
    const mine = seen.filter((e) => e.event === "request" && e.data.includes("touch events-1")).map((e) => JSON.parse(e.data).state);
    assert.deepEqual(mine, ["pending", "deciding", "settled"]);
    const schemas = { request: "Request", session: "Session", activity: "Activity", links: "Links" };
    for (const e of seen) if (schemas[e.event]) fits(schemas[e.event], JSON.parse(e.data));
    const ids = seen.slice(1).map((e) => Number(e.id));
    assert.deepEqual(ids, [...ids].sort((a, b) => a - b), "ids grow");
    const half = seen[Math.floor(seen.length / 2)];
    const rest = await events({}, (l) => l.some((e) => e.event === "request" && JSON.parse(e.data).state === "settled"), `?last_event_id=${half.id}`);
    assert.ok(rest.slice(1).every((e) => Number(e.id) > Number(half.id)));
    for (const last of ["1", "9999999999999999", "x"]) {
      const [first] = await events({ "last-event-id": last }, (l) => l.length >= 1);
      assert.equal(first.event, "reset", last);
    }
  });

  test("too many streams are refused; those that close make room", async () => {
    const control = new AbortController();
    const open = () => fetch(`${world.url}/api/events`, { headers: { authorization: `Bearer ${world.token}` }, signal: control.signal });
    const answers = [];
    while (answers.length < 70 && answers.at(-1)?.status !== 503) answers.push(await open());
    assert.equal(answers.at(-1).status, 503);
    assert.ok(answers.length > 20, `only ${answers.length - 1} streams`);
    control.abort();
    await eventually("there is room again", async () => (await events({}, (l) => l.length >= 1))[0]?.event === "ready");
  });

  test("clients that go away before the answer harm nobody", async () => {
    for (const ms of [0, 1, 5, 20, 50]) {
      const signal = AbortSignal.timeout(ms);
      const body = JSON.stringify({ prompt: "hello" });
      await fetch(`${world.url}/api/sessions`, { method: "POST", body, signal, headers: { ...json, authorization: `Bearer ${world.token}` } }).catch(() => {});
    }
    const { status } = await world.post("/api/sessions", { prompt: "hello" });
    assert.equal(status, 201);
  });

  test("wrong logins are limited, right ones with a long token are not", async () => {
    const attempt = (token) => world.raw("/api/login", { method: "POST", auth: "", headers: json, body: JSON.stringify({ token }) });
    const statuses = [];
    for (let i = 0; i < 25; i++) statuses.push((await attempt(`wrong-${i}`)).status);
    const limited = statuses.indexOf(429);
    assert.ok(limited > 0 && limited <= 10, statuses.join(" "));
    assert.ok(statuses.slice(limited).every((s) => s === 429));
    assert.ok(Number((await attempt("wrong")).headers.get("retry-after")) > 0);
    assert.equal((await attempt(world.token)).status, 200);
  });

  test("the gateway stops while a page is open: the page is told, and comes back", async (t) => {
    const page = await open(t);
    const told = events({}, (l) => l.some((e) => e.event === "stopping"));
    await eventually("both streams are open", async () => page.evaluate(() => !document.getElementById("app").hidden));
    const hanging = world.post("/api/sessions", { prompt: "hello" }).catch((e) => e);
    const stopped = world.stopGateway("SIGTERM");
    assert.ok((await told).some((e) => e.event === "stopping"));
    const ended = await stopped;
    assert.equal(ended.code, 0, ended.err);
    assert.ok([201, 503, undefined].includes((await hanging).status));
    await world.startGateway();
    await world.prompt(bash("touch back-1"));
    await card(page, "touch back-1").waitFor({ timeout: 20000 });
  });
});
