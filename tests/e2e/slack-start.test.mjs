// /opencode start and its form, /focus: the real gateway between the strict Slack fake and the real
// OpenCode.
import test, { after, before, describe } from "node:test";
import assert from "node:assert/strict";
import { eventually } from "./lib/util.mjs";
import { seen, startHouse } from "./lib/slack.mjs";

let house, opencode, w;

before(async () => {
  house = await startHouse("slack-start", { models: { "fake-2": { name: "Fake 2", tool_call: true } } });
  ({ opencode, w } = house);
});
after(() => house?.end());

const field = (view, id) => view.blocks.find((b) => b.block_id === id)?.element;
const values = (e) => (e?.option_groups ?? [{ options: e?.options ?? [] }]).flatMap((g) => g.options).map((o) => o.value);
// The form of somebody, with the agents and models that were read from OpenCode.
const form = () =>
  eventually("the form offers agents and models", async () => {
    for (const v of await w.control("views?open=true")) await w.control("view_close", { user: "alice", view_id: v.id });
    await w.slash("alice", "start Fix the login & bug\nIt is broken.");
    const view = await w.view("alice", "start_session");
    return field(view, "model") && view;
  });

describe("/opencode start", () => {
  test("the form opens at once with what was typed; it starts a session with its thread", async () => {
    const view = await form();
    assert.equal(field(view, "title").initial_value, "Fix the login & bug");
    assert.equal(field(view, "description").initial_value, "Fix the login & bug\nIt is broken.");
    for (const id of ["category", "project", "repositories", "complexity", "priority"]) assert.ok(field(view, id), id);
    assert.ok(values(field(view, "agent")).includes("plan") && values(field(view, "agent")).includes("build"));
    assert.ok(!values(field(view, "agent")).includes("general"), "no subagent");
    assert.deepEqual(values(field(view, "model")).sort(), ["fake/fake-1", "fake/fake-2"]);
    const open = (await w.control("calls?method=views.open")).at(-1);
    assert.ok(open.ok);
    assert.deepEqual((await w.submit("alice", { description: { value: " \n" } })).user_sees, { description: "This is needed." });
    const sent = await w.submit("alice", {
      description: { value: "@@text Begun & done." },
      category: { value: "Bug fix" },
      repositories: { value: "web, api" },
      complexity: { value: "High" },
      priority: { value: "Urgent" },
      agent: { value: "plan" },
      model: { value: "fake/fake-2" },
    });
    assert.equal(sent.user_sees, "view closed");
    await w.ephemeral("alice", /It goes on in its thread in <#C0DEV000001>/);
    const card = await eventually("the card", async () =>
      (await w.all("&from=bot&top_level=true")).find((m) => m.text === "Fix the login &amp; bug"));
    assert.match(seen(card), /project/);
    await eventually("the answer is in its thread", async () =>
      (await w.all(`&thread_ts=${card.ts}`)).some((m) => /Begun &amp; done/.test(m.text)));
    const { body } = await opencode.api("/session");
    const session = body.find((s) => s.title === "Fix the login & bug");
    const said = await opencode.messages(session.id);
    assert.match(said, /Category: Bug fix\\nRepositories: web, api\\nComplexity: High\\nPriority: Urgent/);
    assert.match(said, /"agent":"plan"/);
    assert.match(said, /"modelID":"fake-2"/);
  });

  test("only allowed people: no form, and no session of a form that somebody else sends", async () => {
    const { user_sees } = await w.slash("mallory", "start Evil");
    assert.match(user_sees, /not among the people/);
    assert.deepEqual((await w.control("views?open=true")).filter((v) => v._meta?.user !== "U0ALICE0001"), []);
  });

  test("Slack does not open the form: it is said", async () => {
    await w.control("fail", { method: "views.open", times: 1, error: "expired_trigger_id" });
    await w.slash("bob", "start Too late");
    await w.ephemeral("bob", /could not be opened in time/);
  });

  test("text of any length and kind opens it", async () => {
    for (const text of ["", "x".repeat(3500), "\u{1F469}\u200D\u{1F4BB}<!channel>&".repeat(200)]) {
      const before = (await w.control("calls?method=views.open")).length;
      await w.slash("bob", `start ${text}`);
      await eventually("it opens", async () => {
        const calls = await w.control("calls?method=views.open");
        return calls.length > before && calls.at(-1).ok;
      });
      await w.control("view_close", { user: "bob", clear: true });
    }
  });
});

test("/focus is kept, also over a kill", async () => {
  const focus = async (text) => (await w.slash("alice", text, "/focus")).user_sees;
  assert.match(await focus(""), /Focus: \*auto\*/);
  assert.match(await focus("Web"), /Focus: \*web\*/);
  assert.match(await focus("nonsense"), /Focus: \*web\*\. You are told on the web page[^]*Change it/);
  await w.kill();
  await w.start();
  assert.match(await focus(""), /Focus: \*web\*/);
  assert.match((await w.slash("bob", "", "/focus")).user_sees, /Focus: \*auto\*/);
  assert.match((await w.slash("mallory", "web", "/focus")).user_sees, /not among/);
});
