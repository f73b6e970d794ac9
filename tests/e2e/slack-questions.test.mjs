// Questions of the agent in Slack: buttons, lists, boxes, the form, words in the thread. The real
// gateway between the strict Slack fake and the real OpenCode.
import test, { after, afterEach, before, beforeEach, describe } from "node:test";
import assert from "node:assert/strict";
import fs from "node:fs";
import { eventually, tempDir } from "./lib/util.mjs";
import { ALICE, BOB, buttons, elements, seen, startHouse, startWorkspace } from "./lib/slack.mjs";

let house, opencode, w, home;

before(async () => {
  house = await startHouse("slack-questions", { workspace: false });
  ({ opencode } = house);
});
after(() => house?.end());
beforeEach(async () => {
  home = tempDir("slack-gateway");
  w = await startWorkspace(home, opencode);
  await w.start();
});
afterEach(async (context) => {
  await w.end({ passed: context.passed });
  fs.rmSync(home, { recursive: true, force: true });
});

const q = (question, labels, more = {}) => ({
  ...{ question, header: question.slice(0, 12), options: labels.map((label) => ({ label, description: `about ${label}` })) },
  ...more,
});
const ask = (...questions) => opencode.prompt(`go\n@@tool question ${JSON.stringify({ questions })}\n@@then\n@@text Thanks.`);
const actions = (m) => elements(m).map((e) => e.action_id);
// The tool's result as the agent reads it.
const told = (id, text) =>
  eventually(`the agent reads ${text}`, async () => (await opencode.messages(id)).includes(JSON.stringify(text).slice(1, -1)));
const open = () => w.control("views?open=true");

describe("one question", () => {
  test("a few options are buttons, in the thread of a session that began elsewhere", async () => {
    const id = await ask(q("Which <colour> & why?", ["Red", "Blue"]));
    const m = await w.waiting("Which &lt;colour&gt; &amp; why?");
    assert.notEqual(m.thread_ts, m.ts);
    assert.match((await w.message(m.thread_ts)).text, /A test/);
    assert.deepEqual(actions(m), ["answer_option_0", "answer_option_1", "answer_form", "answer_dismiss"]);
    assert.match(seen(m), /2\. \*Blue\* – about Blue/);
    const clicked = await w.click("alice", m, "answer_option_1");
    assert.ok(clicked.ack_ms < 250, `acknowledged after ${clicked.ack_ms} ms`);
    await w.settled(m.ts, new RegExp(`Answered by <@${ALICE}>: Blue`));
    await told(id, 'why?"="Blue"');
    await eventually("the turn goes on", async () => (await w.all(`&thread_ts=${m.thread_ts}`)).some((x) => x.text === "Thanks."));
  });

  test("many options are a list, and choosing answers", async () => {
    const labels = Array.from({ length: 12 }, (_, i) => `Option ${i + 1}`);
    const id = await ask(q("Which of twelve?", labels));
    const m = await w.waiting("Which of twelve?");
    assert.deepEqual(actions(m), ["answer_pick", "answer_form", "answer_dismiss"]);
    assert.equal(elements(m)[0].options.length, 12);
    await w.click("bob", m, "answer_pick", { selected: "10" });
    await w.settled(m.ts, new RegExp(`Answered by <@${BOB}>: Option 11`));
    await told(id, 'twelve?"="Option 11"');
  });

  test("several at once: boxes and a button; without any it is said", async () => {
    const id = await ask(q("Which ones?", ["A", "B", "C"], { multiple: true }));
    const m = await w.waiting("Which ones?");
    assert.equal(elements(m)[0].type, "checkboxes");
    await w.click("alice", m, "answer_submit");
    await w.ephemeral("alice", /Choose something first/);
    await w.click("alice", m, "answer_pick", { selected: ["0"] });
    await w.click("alice", m, "answer_pick", { selected: ["0", "2"] });
    assert.equal(buttons(await w.message(m.ts)).length, 3, "ticking decides nothing");
    await w.click("alice", m, "answer_submit");
    await w.settled(m.ts, /Answered by <@U0ALICE0001>: A, C/);
    await told(id, 'ones?"="A, C"');
  });

  test("words of one's own, by the form", async () => {
    const id = await ask(q("What name?", []));
    const m = await w.waiting("What name?");
    assert.deepEqual(actions(m), ["answer_form", "answer_dismiss"]);
    await w.click("alice", m, "answer_form");
    const view = await w.view("alice", "answer_question");
    assert.match(seen(view), /What name\?/);
    const empty = await w.submit("alice", { own0: { words: "  " } });
    assert.deepEqual(empty.user_sees, { own0: "Choose or write an answer." });
    const sent = await w.submit("alice", { own0: { words: "Café <&> \u{1F600}" } });
    assert.equal(sent.user_sees, "view closed");
    await w.settled(m.ts, /Answered by <@U0ALICE0001>: Café &lt;&amp;&gt; \u{1F600}/u);
    await told(id, "Café <&> \u{1F600}");
  });

  test("what is ticked in the message is ticked in the form", async () => {
    await ask(q("Ticked before?", ["A", "B"], { multiple: true }));
    const m = await w.waiting("Ticked before?");
    await w.click("alice", m, "answer_pick", { selected: ["1"] });
    await w.click("alice", m, "answer_form");
    await w.view("alice", "answer_question");
    await w.submit("alice", { own0: { words: "and C" } });
    await w.settled(m.ts, /: B, and C/);
  });

  test("dismissed, after a question back: the turn ends", async () => {
    const id = await ask(q("To be dismissed?", ["A"]));
    const m = await w.waiting("To be dismissed?");
    assert.equal((await w.click("bob", m, "answer_dismiss", { confirm: undefined })).outcome, "confirm_dialog_shown");
    await w.click("bob", m, "answer_dismiss");
    await w.settled(m.ts, /Dismissed by <@U0BOB000001>/);
    await told(id, "dismissed this question");
  });

  test("a reply in the thread is the answer: a label, a number, words; !stop is not", async () => {
    for (const [question, reply, answer] of [["By label?", "bLUE", "Blue"], ["By number?", "1", "Red"], ["By words?", "Green & more", "Green & more"]]) {
      const id = await ask(q(question, ["Red", "Blue"]));
      const m = await w.waiting(question);
      await w.reply("alice", m, reply);
      await w.settled(m.ts, new RegExp(`Answered by <@${ALICE}>: ${answer.replace("&", "&amp;")}`));
      await told(id, `${question}"="${answer}"`);
    }
    await ask(q("Stopped?", ["Red"]));
    const m = await w.waiting("Stopped?");
    await w.reply("alice", m, "!stop");
    await w.settled(m.ts, /No longer waiting/);
  });

  test("nobody answers in time: what is recommended, and only that", async () => {
    await w.kill("SIGTERM");
    await w.start({ CODEV_GATEWAY_QUESTION_TIMEOUT: "4s" });
    await ask(q("Without a hint?", ["Left", "Right"]));
    const waits = await w.waiting("Without a hint?");
    assert.doesNotMatch(seen(waits), /Without an answer/);
    const id = await ask(q("Keep it?", ["No", "Yes (Recommended)"]));
    const m = await w.waiting("Keep it?");
    assert.match(seen(m), /Without an answer until <!date[^>]*> it is answered with what is recommended: Yes \(Recommended\)/);
    await w.settled(m.ts, /Answered by the deadline: Yes \(Recommended\)/);
    await told(id, '"Keep it?"="Yes (Recommended)"');
    const still = await w.message(waits.ts);
    assert.ok(actions(still).length > 0, "the other one still waits");
    await w.click("alice", still, "answer_option_0"); // the tests after this one have the same OpenCode
    await w.settled(waits.ts, /: Left/);
  });

  test("only allowed people: nobody else answers, opens the form or dismisses", async () => {
    await ask(q("Not for everybody?", ["A", "B"]));
    const m = await w.waiting("Not for everybody?");
    for (const action of ["answer_option_0", "answer_form", "answer_dismiss"]) await w.click("mallory", m, action);
    await w.reply("mallory", m, "A");
    await eventually("refused four times", async () =>
      (await w.control("ephemerals?user=mallory")).filter((e) => /not among the people/.test(e.text)).length === 4);
    assert.deepEqual(await open(), []);
    assert.equal(buttons(await w.message(m.ts)).length, 4);
    await w.click("alice", m, "answer_option_0");
    await w.settled(m.ts, /: A/);
  });

  test("answered in OpenCode first: shown with the answer, and a form that is open is told", async () => {
    await ask(q("Elsewhere first?", ["A", "B"]));
    const m = await w.waiting("Elsewhere first?");
    await w.click("alice", m, "answer_form");
    await w.view("alice", "answer_question");
    const mine = (await opencode.api("/question")).body.find((x) => JSON.stringify(x).includes("Elsewhere first?"));
    assert.equal((await opencode.api(`/question/${mine.id}/reply`, { answers: [["B"]] })).status, 200);
    await w.settled(m.ts, /Answered in OpenCode: B/);
    await w.submit("alice", { pick0: { answer_pick: "0" } });
    await w.ephemeral("alice", /Somebody was first: Answered in OpenCode: B/);
  });

  test("two people at once: the first wins, the other is told", async () => {
    const id = await ask(q("Two at once?", ["A", "B"]));
    const m = await w.waiting("Two at once?");
    await Promise.allSettled([w.click("alice", m, "answer_option_0"), w.click("bob", m, "answer_option_1")]);
    const done = await w.settled(m.ts, /Answered by <@/);
    const alice = seen(done).includes(ALICE);
    await told(id, alice ? 'once?"="A"' : 'once?"="B"');
  });

  test("hostile and long texts are cut and taken by Slack", async () => {
    const long = (s, n) => s.repeat(n);
    const id = await ask({
      ...{ question: long("<!channel> & \u{1F469}\u200D\u{1F4BB} ", 600), header: long("&", 30), multiple: true },
      options: Array.from({ length: 120 }, (_, i) => ({ label: `${i} ${long("<&>\u{1F600}", 60)}`, description: long("`*_~", 100) })),
    });
    const m = await w.waiting("The agent has a question");
    assert.deepEqual(m._meta.notified.broadcasts, []);
    assert.equal(elements(m)[0].options.length, 100);
    assert.match(seen(m), /The list holds 100 of 120 options\. For another one, reply with its number/);
    const whole = await eventually("the whole text in a file", async () => (await w.control("files"))[0]?.content);
    assert.match(whole, new RegExp(`\n120\\. 119 ${long("<&>\u{1F600}", 60)} – `));
    await w.click("alice", m, "answer_pick", { selected: ["7", "99"] });
    await w.click("alice", m, "answer_form");
    await w.view("alice", "answer_question");
    await w.submit("alice", {});
    await w.settled(m.ts, /Answered by/);
    await told(id, `99 ${long("<&>\u{1F600}", 60)}`);
  });
});

describe("several questions in one request", () => {
  const three = (n) => [
    q(`First ${n}?`, ["Red", "Blue"]),
    q(`Second ${n}?`, Array.from({ length: 15 }, (_, i) => `S${i}`), { multiple: true }),
    q(`Third ${n}?`, []),
  ];

  test("one form with all; what is left open is said in the form", async () => {
    const id = await ask(...three("a"));
    const m = await w.waiting("First a?");
    assert.deepEqual(actions(m), ["answer_form", "answer_dismiss"]);
    assert.match(seen(m), /The agent has 3 questions/);
    assert.match(seen(m), /Third a\?/);
    await w.reply("alice", m, "Red");
    await w.ephemeral("alice", /several questions/);
    await w.click("alice", m, "answer_form");
    const view = await w.view("alice", "answer_question");
    const types = view.blocks.filter((b) => b.type === "input").map((b) => b.element.type);
    assert.deepEqual(types, ["radio_buttons", "plain_text_input", "multi_static_select", "plain_text_input", "plain_text_input"]);
    const part = { pick1: { answer_pick: ["3", "14"] }, own2: { words: "Third" } };
    const { user_sees } = await w.submit("alice", part);
    assert.deepEqual(user_sees, { pick0: "Choose or write an answer." });
    assert.equal((await w.submit("alice", { ...part, pick0: { answer_pick: "0" } })).user_sees, "view closed");
    await w.settled(m.ts, /Answered by <@U0ALICE0001>: Red; S3, S14; Third/);
    for (const answer of ['a?"="Red"', 'a?"="S3, S14"', 'a?"="Third"']) await told(id, answer);
  });

  test("forty questions: as many as a form can hold", async () => {
    const id = await ask(...Array.from({ length: 40 }, (_, i) => q(`Question no ${i + 1}?`, ["Yes", "No"])));
    const m = await w.waiting("Question no 1?");
    await w.click("alice", m, "answer_form");
    const view = await w.view("alice", "answer_question");
    const fields = view.blocks.filter((b) => b.block_id.startsWith("pick"));
    assert.equal(fields.length, 32);
    await w.submit("alice", Object.fromEntries(fields.map((b) => [b.block_id, { answer_pick: "1" }])));
    await w.settled(m.ts, /Answered by/);
    await told(id, 'no 32?"="No"');
  });
});

describe("restarts", () => {
  test("buttons, boxes and an open form work after a kill", async () => {
    const first = await ask(q("Before the kill?", ["A", "B"]));
    const second = await ask(q("Boxes before the kill?", ["A", "B"], { multiple: true }));
    const third = await ask(q("Form before the kill?", []));
    const [a, b, c] = [await w.waiting("Before the kill?"), await w.waiting("Boxes before"), await w.waiting("Form before")];
    await w.click("alice", b, "answer_pick", { selected: ["1"] });
    await w.click("bob", c, "answer_form");
    await w.view("bob", "answer_question");
    await w.kill();
    await w.start();
    await w.click("alice", a, "answer_option_0");
    await w.click("alice", b, "answer_submit");
    await w.submit("bob", { own0: { words: "Still here" } });
    await w.settled(a.ts, /: A/);
    await w.settled(b.ts, /: B/);
    await w.settled(c.ts, /: Still here/);
    await told(first, 'kill?"="A"');
    await told(second, 'kill?"="B"');
    await told(third, "Still here");
    const posted = (await w.all("&from=bot")).filter((m) => /kill\?/.test(JSON.stringify(m._meta.history)));
    assert.equal(posted.length, 3, "each in one message");
  });
});
