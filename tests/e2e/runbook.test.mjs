// docs/runbook.md: every command in it is run. What `kubectl exec` runs, runs in a pod; of the rest
// kubectl itself must understand each word: it gets as far as asking a server that is not there.
import test, { after, before, describe } from "node:test";
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { startPod } from "./lib/pod.mjs";
import { kubectl } from "./lib/tools.mjs";
import { BIN, IS_ROOT, TOP, eventually, run } from "./lib/util.mjs";

const text = fs.readFileSync(path.join(TOP, "docs/runbook.md"), "utf8");
const commands = [...new Set([...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].flatMap((m) => m[1].trim().split("\n")))];
const inPod = commands.filter((c) => c.startsWith("kubectl exec codev-0 -- ")).map((c) => c.slice("kubectl exec codev-0 -- ".length));
// acceptance.test.mjs runs the criteria with the same options; here, too, would be half a minute.
const criteria = /^codevctl accept( --restart| --story [\d.]+)+$/;
const others = commands.filter((c) => !c.startsWith("kubectl exec codev-0 -- "));

test("the runbook's commands are found, and its links lead somewhere", () => {
  assert.ok(inPod.length > 12 && others.length > 12, commands.join("\n"));
  for (const [, link] of text.matchAll(/\]\(([^)#]+)\)/g)) assert.ok(fs.existsSync(path.join(TOP, "docs", link)), link);
  const headings = new Set([...text.matchAll(/^#+ (.*)$/gm)].map((m) => m[1].toLowerCase().replaceAll(" ", "-")));
  for (const [, anchor] of text.matchAll(/\]\(#([^)]+)\)/g)) assert.ok(headings.has(anchor), anchor);
  const rules = fs.readFileSync(path.join(TOP, "k8s/components/monitoring/prometheusrule.yaml"), "utf8");
  for (const [, named] of rules.matchAll(/Runbook: (.*)\."/g)) assert.ok(headings.has(named.replaceAll(" ", "-")), named);
});

describe("in a pod", { skip: IS_ROOT ? false : "needs root for mounts" }, () => {
  let pod;
  before(async () => {
    pod = await startPod();
    await pod.ready();
    await pod.bridged();
    // something to be followed
    await pod.prompt(`please\n@@tool bash ${JSON.stringify({ command: "true", description: "Test" })}\n@@then\n@@text Done.`);
    const { id } = await pod.request();
    await pod.decide(id, "once");
    await eventually("it is settled", () => pod.log.includes(`${id}: deciding`));
  });
  after(() => pod?.end());

  // Those that judge may end with 1 in a pod whose volume is this small; none may be misunderstood.
  for (const line of inPod.filter((l) => !criteria.test(l) || process.env.CODEV_RUNBOOK_ALL))
    test(line, async () => {
      await pod.ready();
      const script = line.replace(/^codevctl/, path.join(BIN, "codevctl")).replaceAll("/home/coder", pod.home).replaceAll("/tmp/slack-bridge-plugin.log", pod.env.CODEV_PLUGIN_LOG).replace("backup /tmp", `backup ${pod.env.TMPDIR}`);
      const { code, out, err } = await pod.exec("sh", ["-c", script]).ended;
      assert.ok(code === 0 || (code === 1 && /codevctl (status|doctor)/.test(line)), `${code}: ${out}${err}`);
      assert.ok(out || /reload|restart/.test(line), "it says something");
      if (line.includes("--trace")) assert.match(out, /pending → deciding[^]*OpenCode took the decision|deciding → settled/, out);
    });
});

describe("outside", { skip: kubectl ? false : "no kubectl here: make kubectl" }, () => {
  for (const line of others)
    test(line, async () => {
      const env = { ...process.env, KUBECONFIG: "/dev/null", HOME: "/nonexistent" };
      const { code, err } = await run("sh", ["-c", line.replace(/^kubectl/, `${kubectl} --server=http://127.0.0.1:1 --request-timeout=5s`)], { env, cwd: TOP }).ended;
      assert.equal(code, 1, err);
      assert.match(err, /connection refused|was refused/, err);
      assert.doesNotMatch(err, /unknown (flag|command|shorthand)|Usage:/);
    });
});
