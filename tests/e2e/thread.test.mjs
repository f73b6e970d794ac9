// The main job through every room: PID 1, volumes, plugin, the real OpenCode, a permission request
// in Slack and on the web page, a click, the command runs. And what may go wrong while it waits.
import test, { after, before, describe } from "node:test";
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { startPod } from "./lib/pod.mjs";
import { IS_ROOT, eventually, startFakeSlack } from "./lib/util.mjs";

const skip = IS_ROOT ? false : "needs root for mounts";
const CHANNEL = "dev";

// A prompt whose scripted model runs one bash command and then answers.
const bash = (command, answer = "All done.") =>
  `please\n@@text I will run a command.\n@@tool bash ${JSON.stringify({ command, description: "Test" })}\n@@then\n@@text ${answer}`;

describe("with Slack and the plugin", { skip }, () => {
  let pod, slack;
  before(async () => {
    slack = await startFakeSlack();
    const commit = 'git -C "$HOME/src" -c user.name=t -c user.email=t@localhost commit -q --allow-empty -m first';
    pod = await startPod({ slack, prelude: `git init -q "$HOME/src" && ${commit}` });
    await pod.ready();
    await pod.bridged();
    await eventually("Slack is connected", async () => (await pod.fetch("/api/health")).body.slack?.state === "connected");
    // Some of these tests are at the web page, too.
    await slack.control("slash", { user: "alice", channel: CHANNEL, command: "/focus", text: "slack" });
  });
  after(async () => {
    await pod?.end();
    slack?.stop();
  });

  const marker = (name) => path.join(pod.home, "src", name);
  const session = async (id) => (await pod.oc(`/session/${id}/message`)).body;
  const asked = (text) =>
    slack.control("wait", { kind: "message", from: "bot", action_prefix: "allow", contains: text, timeout_ms: 40000 });
  const shown = async (text) => {
    const message = (await asked(text)).items.at(-1);
    assert.ok(message.ts, "a Slack message with buttons");
    return message;
  };
  const buttons = (message) =>
    (message.blocks ?? []).filter((b) => b.type === "actions").flatMap((b) => b.elements);
  const button = (message, word) => {
    const found = buttons(message).find((e) => e.action_id.includes(word));
    assert.ok(found, `a button ${word} in ${JSON.stringify(buttons(message))}`);
    return found.action_id;
  };
  const click = (user, message, word) =>
    slack.control("click", { user, channel: CHANNEL, ts: message.ts, action_id: button(message, word), confirm: true });
  const settled = (ts, pattern) =>
    eventually(`the Slack message says ${pattern}`, async () => {
      const list = await slack.control(`messages?channel=${CHANNEL}`);
      const message = list.find((m) => m.ts === ts);
      return message && buttons(message).length === 0 && pattern.test(JSON.stringify(message.blocks) + message.text) && message;
    });
  const clean = async () => assert.deepEqual(await slack.control("violations"), []);

  test("allowed once in Slack: the command runs, the message says who", async () => {
    await pod.prompt(bash("echo one > thread-1"));
    const message = await shown("thread-1");
    assert.ok(!fs.existsSync(marker("thread-1")), "nothing runs before the click");
    await click("alice", message, "once");
    await eventually("the command ran", () => fs.existsSync(marker("thread-1")));
    await settled(message.ts, /U0ALICE0001/);
    await clean();
  });

  test("the link of codevctl open logs in to the web page, once", async () => {
    const link = (await pod.ctl("open")).out.trim();
    const token = /^http:\/\/127\.0\.0\.1:\d+\/login#token=([0-9a-f]{64})$/.exec(link)?.[1];
    assert.ok(token, link);
    const login = () =>
      fetch(`${pod.api}/api/login`, {
        method: "POST",
        headers: { "content-type": "application/json", origin: pod.api },
        body: JSON.stringify({ token }),
      });
    const first = await login();
    assert.equal(first.status, 200);
    assert.match(first.headers.get("set-cookie"), /HttpOnly; SameSite=Strict/);
    assert.equal((await login()).status, 401);
  });

  test("denied on the web page with a reason that reaches the model", async () => {
    const id = await pod.prompt(bash("echo no > thread-2"));
    const message = await shown("thread-2");
    const request = await pod.request((r) => JSON.stringify(r).includes("thread-2"));
    assert.equal((await pod.decide(request.id, "reject", { reason: "use the other folder" })).status < 300, true);
    await eventually("the model got the reason", async () => JSON.stringify(await session(id)).includes("use the other folder"));
    await settled(message.ts, /[Dd]enied/);
    assert.ok(!fs.existsSync(marker("thread-2")));
    await clean();
  });

  test("allowed always: the second time nobody is asked", async () => {
    const id = await pod.prompt(bash("truncate -s 0 thread-3"));
    await click("bob", await shown("thread-3"), "always");
    await eventually("the command ran", () => fs.existsSync(marker("thread-3")));
    await pod.fetch(`/api/sessions/${id}/messages`, { method: "POST", body: JSON.stringify({ text: bash("truncate -s 0 thread-3b") }) });
    await eventually("the second one ran unasked", () => fs.existsSync(marker("thread-3b")));
    await clean();
  });

  test("answered in OpenCode's own UI first: Slack shows it, a late click is told so", async () => {
    await pod.prompt(bash("mkdir thread-4"));
    const message = await shown("thread-4");
    const dir = encodeURIComponent(path.join(pod.home, "src"));
    const list = (await pod.oc(`/permission?directory=${dir}`)).body;
    const mine = list.find((p) => JSON.stringify(p).includes("thread-4"));
    assert.ok(mine, "OpenCode lists the request");
    const reply = await pod.oc(`/permission/${mine.id}/reply?directory=${dir}`, { method: "POST", body: JSON.stringify({ reply: "once" }) });
    assert.equal(reply.status, 200);
    await settled(message.ts, /OpenCode/);
    await eventually("the command ran", () => fs.existsSync(marker("thread-4")));
    await clean();
  });

  test("two people click at once: one wins, OpenCode is told once", async () => {
    await pod.prompt(bash("sh -c 'echo x >> thread-5'"));
    const message = await shown("thread-5");
    await Promise.allSettled([click("alice", message, "once"), click("bob", message, "deny")]);
    const done = await settled(message.ts, /U0ALICE0001|U0BOB000001/);
    const won = /U0ALICE0001/.test(JSON.stringify(done.blocks) + done.text);
    if (won) await eventually("the command ran", () => fs.existsSync(marker("thread-5")) && fs.statSync(marker("thread-5")).size > 0);
    else assert.ok(!fs.existsSync(marker("thread-5")));
    if (won) assert.equal(fs.readFileSync(marker("thread-5"), "utf8"), "x\n");
    await clean();
  });

  test("somebody who is not allowed clicks: nothing happens, an explanation only for them", async () => {
    await pod.prompt(bash("rmdir thread-4"));
    const message = await shown("rmdir thread-4");
    await click("mallory", message, "once");
    await eventually("an ephemeral explanation", async () =>
      (await slack.control("ephemerals")).some((m) => JSON.stringify(m).includes("U0MALLORY01") && /allowed/i.test(JSON.stringify(m))));
    const request = await pod.request((r) => JSON.stringify(r).includes("rmdir thread-4"));
    assert.equal(request.state, "pending");
    await click("alice", message, "once");
    await eventually("the command ran", () => !fs.existsSync(marker("thread-4")));
    await clean();
  });

  test("the gateway is killed while the request waits, then the button is clicked", async () => {
    await pod.prompt(bash("touch thread-6"));
    const message = await shown("thread-6");
    process.kill(await pod.hostPid("gateway"), "SIGKILL");
    await eventually("the gateway is back", async () => (await pod.fetch("/api/health")).body.slack?.state === "connected", 30000);
    await click("alice", message, "once");
    await eventually("the command ran", () => fs.existsSync(marker("thread-6")));
    await settled(message.ts, /U0ALICE0001/);
    const posts = (await slack.control(`messages?channel=${CHANNEL}`)).filter((m) => /allow_once/.test(JSON.stringify(m._meta.history)) && /touch thread-6/.test(JSON.stringify(m.blocks ?? "")));
    assert.equal(posts.length, 1, "the request was posted once");
  });

  test("the Slack connection is refreshed and dropped while it waits", async (t) => {
    await pod.prompt(bash("touch thread-7"));
    const message = await shown("thread-7");
    await slack.control("disconnect", { reason: "refresh_requested", close_ms: 1000 });
    await eventually("a new connection", async () => {
      const list = await slack.control("connections");
      return (list.connections ?? list.open ?? list).length >= 1;
    });
    await slack.control("drop", {});
    await eventually("connected again", async () => {
      const text = JSON.stringify((await pod.fetch("/api/health")).body.slack);
      return /"connected"/.test(text);
    });
    await eventually("the click gets through", async () => {
      const answer = await click("alice", message, "once");
      t.diagnostic(`click: ${JSON.stringify(answer).slice(0, 200)}`);
      return answer.outcome === "acked" || answer.ok === true;
    });
    await eventually("the command ran", () => fs.existsSync(marker("thread-7")));
    await settled(message.ts, /U0ALICE0001/);
  });

  test("Slack answers 429: the request is shown when Slack takes it again", async () => {
    await slack.control("fail", { method: "chat.postMessage", times: 2, status: 429, retry_after: 1 });
    await pod.prompt(bash("touch thread-8"));
    await click("alice", await shown("thread-8"), "once");
    await eventually("the command ran", () => fs.existsSync(marker("thread-8")));
    await clean();
  });

  test("what was written elsewhere is quoted in the thread, by the bridge, too", async () => {
    const id = await pod.prompt(bash("touch thread-13"));
    const message = await shown("thread-13");
    await click("alice", message, "once");
    await eventually("the command ran", () => fs.existsSync(marker("thread-13")));
    const dir = encodeURIComponent(path.join(pod.home, "src"));
    const thread = () => slack.control(`messages?channel=${CHANNEL}&thread_ts=${message.thread_ts}`);
    // One after the other: several that wait are one turn.
    const answered = (text) =>
      eventually(`the agent says ${text}`, async () =>
        (await thread()).some((m) => m.blocks?.some((b) => b.type === "markdown" && b.text.includes(text))), 30000);
    const parts = [{ type: "text", text: "by the way\n@@text Noted." }];
    await pod.oc(`/session/${id}/prompt_async?directory=${dir}`, { method: "POST", body: JSON.stringify({ parts }) });
    await answered("Noted.");
    await pod.fetch(`/api/sessions/${id}/messages`, { method: "POST", body: JSON.stringify({ text: "and this\n@@text Also this." }) });
    await answered("Also this.");
    await slack.control("message", { user: "alice", channel: CHANNEL, thread_ts: message.thread_ts, text: "from here\n@@text Heard." });
    await answered("Heard.");
    const quotes = (await thread()).map((m) => m.text).filter((text) => /bust_in_silhouette/.test(text));
    assert.equal(quotes.length, 2, quotes.join("\n"));
    assert.match(quotes[0], /Somebody in OpenCode:\n(&gt;|>)by the way/);
    assert.match(quotes[1], /Somebody by the API:\n(&gt;|>)and this/);
    await clean();
  });

  test("a subagent's request belongs to the thread of its root session", async () => {
    const task = {
      description: "Sub",
      prompt: bash("touch thread-9"),
      subagent_type: "general",
    };
    const id = await pod.prompt(`go\n@@tool task ${JSON.stringify(task)}\n@@then\n@@text Root done.`);
    const request = await pod.request((r) => JSON.stringify(r).includes("thread-9"));
    assert.equal(request.root_session_id, id);
    assert.notEqual(request.session_id, id);
    await click("alice", await shown("thread-9"), "once");
    await eventually("the command ran", () => fs.existsSync(marker("thread-9")));
    await eventually("the root goes on", async () => JSON.stringify(await session(id)).includes("Root done."));
    await clean();
  });

  test("begun in Slack, over the plugin: a reply goes on; the turn ends with what it changed, took and cost", async () => {
    const file = JSON.stringify({ filePath: marker("written.txt"), content: "1\n2\n3\n" });
    const { ts } = await slack.control("message", { user: "alice", channel: CHANNEL, text: `<@U0BOT000001> go\n@@text I write it.\n@@tool write ${file}\n@@then\n@@text Written.` });
    await click("alice", await shown("written.txt"), "once");
    const said = async () => (await slack.control(`messages?channel=${CHANNEL}&from=bot&thread_ts=${ts}`)).map((m) => `${m.text}\n${JSON.stringify(m.blocks)}`).join("\n");
    await eventually("the end of the turn", async () => /Done in \d+ s · 1 file \+3 −0 · 1 tool · \$0\.02 · 220 tokens/.test(await said()), 40000);
    assert.match(await said(), /I write it\.[^]*✓ \*write\*[^]*Written\./);
    await slack.control("message", { user: "bob", channel: CHANNEL, thread_ts: ts, text: "@@text And on." });
    await eventually("the second turn", async () => /And on\.[^]*Done in \d+ s · \$0\.01 · 110 tokens/.test(await said()), 40000);
    await clean();
  });

  test("begun in OpenCode's own UI: it has no thread until it needs somebody", async () => {
    const { body } = await pod.oc("/session", { method: "POST", body: JSON.stringify({ title: "From OpenCode" }) });
    const ask = (text) => pod.oc(`/session/${body.id}/prompt_async`, { method: "POST", body: JSON.stringify({ parts: [{ type: "text", text }] }) });
    const idle = () => eventually("the turn is over", async () => (await pod.fetch(`/api/sessions/${body.id}`)).body.session?.status === "idle" && JSON.stringify(await session(body.id)).includes("Nobody is needed."));
    await ask("@@text Nobody is needed.");
    await idle();
    const roots = async () => (await slack.control(`messages?channel=${CHANNEL}&from=bot&top_level=true`)).filter((m) => /From OpenCode/.test(m.text));
    assert.deepEqual(await roots(), []);
    await ask(bash("touch thread-ui"));
    const message = await shown("thread-ui");
    assert.deepEqual((await roots()).map((m) => m.ts), [message.thread_ts]);
    await click("bob", message, "once");
    await eventually("the command ran", () => fs.existsSync(marker("thread-ui")));
    await clean();
  });

  test("abort while it waits: the request is shown as gone", async () => {
    const id = await pod.prompt(bash("touch thread-10"));
    const message = await shown("thread-10");
    assert.ok((await pod.fetch(`/api/sessions/${id}/abort`, { method: "POST", body: "{}" })).status < 300);
    await settled(message.ts, /gone|no longer|abort|ended/i);
    assert.ok(!fs.existsSync(marker("thread-10")));
    await clean();
  });

  test("OpenCode is killed while it waits: shown as gone, and the next request works", async () => {
    await pod.prompt(bash("touch thread-11"));
    const message = await shown("thread-11");
    process.kill(await pod.hostPid("opencode"), "SIGKILL");
    await settled(message.ts, /gone|no longer|restart|ended/i);
    await pod.ready();
    await pod.bridged();
    await pod.prompt(bash("touch thread-12"));
    await click("alice", await shown("thread-12"), "once");
    await eventually("the command ran", () => fs.existsSync(marker("thread-12")));
    assert.ok(!fs.existsSync(marker("thread-11")));
    await clean();
  });
});

test("without the plugin: the direct way, on the web page", { skip }, async (t) => {
  const pod = await startPod({ plugin: "none" });
  t.after(() => pod.end());
  await pod.ready();
  const note = (await pod.service("prepare")).notes.plugin;
  assert.match(note, /missing/);
  const { body } = await pod.fetch("/api/health");
  assert.equal(body.bridge.connected, 0);
  await eventually("OpenCode is reached directly", async () => (await pod.fetch("/api/health")).body.opencode.way === "http");
  await pod.prompt(bash("touch direct-1"));
  const request = await pod.request();
  assert.ok((await pod.decide(request.id, "once")).status < 300);
  await eventually("the command ran", () => fs.existsSync(path.join(pod.home, "src/direct-1")));
  await eventually("the request is settled", async () => {
    const list = (await pod.fetch("/api/requests?all=1")).body;
    return (list.requests ?? list).find((r) => r.id === request.id)?.outcome === "once";
  });
});

test("first boot clones, installs, builds and loads the plugin; the second boot has nothing to do", { skip }, async (t) => {
  const pod = await startPod({ plugin: "clone", volume: "bind" });
  t.after(() => pod.end());
  await pod.ready(180000);
  await pod.bridged();
  for (const line of ["🔌 Checking for OpenCode bridge plugin", "🔧 Setting up OpenCode bridge plugin", "✅ Bridge plugin configured and ready"])
    assert.ok(pod.log.includes(line), line);
  const log = fs.readFileSync(path.join(pod.dir, "tmp/bridge-plugin.log"), "utf8");
  assert.match(log, /Plugin initialized/);
  assert.match(log, /Gateway WebSocket: ws:/);
  await pod.stop();
  const again = await startPod({ plugin: "clone", volume: "bind", dir: pod.dir, model: pod.model });
  t.after(() => again.end());
  await again.ready();
  const note = JSON.parse((await again.service("prepare")).notes.plugin);
  assert.equal(note.state, "ready");
  assert.ok(!/npm/.test(JSON.stringify(again.log.split("\n").filter((l) => l.includes('"prepare"') && l.includes("npm ")))), "no npm");
  t.diagnostic(`warm prepare: ${note.elapsed_ms} ms`);
});
