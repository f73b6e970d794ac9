// An OpenCode and a gateway that reaches it by OpenCode's own HTTP API, without a supervisor, and a
// browser: for tests of the web page and of the API behind it.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import axe from "axe-core";
import { chromium } from "playwright-core";
import { BIN, OPENCODE, eventually, firstLine, freePorts, run, startFakeModel, tempDir } from "./util.mjs";
import { modelConfig } from "./pod.mjs";

const PASSWORD = "opencode-password-of-the-test";

// A prompt whose scripted model runs one bash command and then answers.
export const bash = (command, answer = "All done.", description = "Test") =>
  `please\n@@text I will run a command.\n@@tool bash ${JSON.stringify({ command, description })}\n@@then\n@@text ${answer}`;

export async function startGatewayAndOpenCode({ env: more = {} } = {}) {
  const dir = tempDir("web");
  const home = path.join(dir, "home");
  const project = path.join(dir, "project");
  for (const folder of [path.join(home, ".config/opencode/node_modules"), project, path.join(dir, "state")])
    fs.mkdirSync(folder, { recursive: true });
  const model = await startFakeModel();
  fs.writeFileSync(path.join(dir, "config.json"), JSON.stringify(modelConfig(model.url)));
  const [opencodePort, gatewayPort] = await freePorts(2);
  const base = { PATH: process.env.PATH, HOME: home, TMPDIR: dir, LANG: "C.UTF-8" };
  const world = {
    ...{ dir, project, token: "token-of-the-gateway-in-the-web-test", password: PASSWORD },
    ...{ url: `http://127.0.0.1:${gatewayPort}`, port: gatewayPort },
  };

  const opencode = run(OPENCODE, ["serve", "--hostname", "127.0.0.1", "--port", String(opencodePort)], {
    cwd: project,
    env: {
      ...base,
      ...{ OPENCODE_CONFIG: path.join(dir, "config.json"), OPENCODE_SERVER_PASSWORD: PASSWORD },
      ...{ OPENCODE_DISABLE_MODELS_FETCH: "1", OPENCODE_DISABLE_AUTOUPDATE: "1", npm_config_offline: "true" },
    },
  });
  await firstLine(opencode, (l) => /listening on/.test(l), 40000);

  world.startGateway = async () => {
    world.gateway = run(path.join(BIN, "codev-gateway"), [], {
      cwd: dir,
      env: {
        ...base,
        ...{ CODEV_POD: "codev-0", CODEV_STATE_DIR: path.join(dir, "state"), CODEV_RUNTIME_DIR: dir },
        ...{ CODEV_GATEWAY_LISTEN: "127.0.0.1", CODEV_GATEWAY_PORT: String(gatewayPort) },
        ...{ CODEV_OPENCODE_URL: `http://127.0.0.1:${opencodePort}`, CODEV_OPENCODE_DIRECTORY: project },
        ...{ OPENCODE_SERVER_PASSWORD: PASSWORD, CODEV_TOKEN: world.token, CODEV_BRIDGE_TOKEN: "bridge-token" },
        ...more,
      },
    });
    await eventually("OpenCode is reached", async () => (await (await fetch(`${world.url}/api/health`)).json()).opencode.way === "http", 40000);
  };
  world.stopGateway = async (signal) => {
    world.gateway.kill(signal);
    return world.gateway.ended;
  };
  // The raw answer, and its JSON if it is any.
  world.raw = async (route, { method = "GET", body, headers = {}, auth = `Bearer ${world.token}` } = {}) => {
    const response = await fetch(world.url + route, {
      method,
      body,
      redirect: "manual",
      headers: { ...(auth && { authorization: auth }), ...headers },
      signal: AbortSignal.timeout(20000),
    });
    const text = await response.text();
    let json;
    try {
      json = JSON.parse(text);
    } catch {
      json = undefined;
    }
    return { status: response.status, headers: response.headers, text, body: json };
  };
  world.get = (route) => world.raw(route);
  world.post = (route, body) =>
    world.raw(route, { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } });
  world.prompt = async (text, extra = {}) => {
    const { status, body } = await world.post("/api/sessions", { prompt: text, ...extra });
    if (status !== 201) throw new Error(`no session: ${status} ${JSON.stringify(body)}`);
    return body.session_id;
  };
  world.request = (text, state = "pending") =>
    eventually(`a request about ${text} is ${state}`, async () =>
      (await world.get("/api/requests?all=1")).body.requests.find((r) => r.state === state && JSON.stringify(r).includes(text)), 40000);
  world.ran = (name) => eventually(`the command made ${name}`, () => fs.existsSync(path.join(project, name)), 30000);
  world.exists = (name) => fs.existsSync(path.join(project, name));
  world.messages = async (id) => {
    const response = await fetch(`http://127.0.0.1:${opencodePort}/session/${id}/message`, {
      headers: { authorization: `Basic ${Buffer.from(`opencode:${PASSWORD}`).toString("base64")}` },
      signal: AbortSignal.timeout(20000),
    });
    return JSON.stringify(await response.json());
  };
  world.end = async () => {
    for (const child of [world.gateway, opencode]) {
      child?.kill("SIGKILL");
      await child?.ended;
    }
    model.stop();
    fs.rmSync(dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  };
  await world.startGateway();
  return world;
}

export const startBrowser = () =>
  chromium.launch({
    executablePath: process.env.CHROMIUM_BIN ?? "/usr/bin/chromium",
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });

// A page that is logged in; what it complains about fails the test at its end. `world`: url, token.
export async function openPage(t, browser, world, { name = "Ann", hash = "", ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  const errors = [];
  page.on("pageerror", (e) => errors.push(e.message));
  page.on("console", (m) => /Content Security Policy/.test(m.text()) && errors.push(m.text()));
  t.after(async () => {
    await context.close();
    assert.deepEqual(errors, []);
  });
  await page.goto(`${world.url}/${hash}`);
  await page.getByLabel("Token").fill(world.token);
  await page.getByLabel("Your name").fill(name);
  await page.keyboard.press("Enter");
  await page.locator("#app").waitFor();
  return page;
}

// A function that keeps a picture (in $CODEV_SHOTS, for a look) and checks that the page is no wider
// than its window.
export function screenshots(t) {
  const shots = process.env.CODEV_SHOTS ?? tempDir("shots");
  if (!process.env.CODEV_SHOTS) t.after(() => fs.rmSync(shots, { recursive: true }));
  return async (page, name) => {
    await page.screenshot({ path: path.join(shots, `${name}.png`), fullPage: true });
    const [width, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(width <= window, `${name}: ${width} px wide, in a window of ${window}`);
  };
}

// By axe-core, run from outside the page: its Content-Security-Policy lets nothing in.
export async function accessible(page) {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const found = violations.flatMap((v) => v.nodes.map((n) => `${v.id}: ${v.help}: ${n.html.slice(0, 200)} (${n.any.map((a) => a.message).join("; ")})`));
  assert.deepEqual(found, []);
}

// On a phone each control is large enough for a finger; links within a sentence are not meant.
export async function touchable(page) {
  const small = await page.evaluate(() => {
    const controls = "button, select, textarea, summary, input, .button, .parts a, .back a, .others a, #session-list a, .thing a";
    return [...document.querySelectorAll(controls)]
      .map((e) => (e.matches("[type=radio], [type=checkbox]") ? e.closest("label") : e))
      .map((e) => [e, e.getBoundingClientRect()])
      .filter(([e, box]) => e.checkVisibility() && box.height && (box.height < 43.5 || box.width < 43.5))
      .map(([e, box]) => `${e.outerHTML.slice(0, 100)}: ${Math.round(box.width)} × ${Math.round(box.height)}`);
  });
  assert.deepEqual(small, []);
}
