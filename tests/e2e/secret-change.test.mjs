// A Secret that is rotated: the kubelet swaps its file, and the gateway has the new one with no
// restart of the pod or of OpenCode.
import test from "node:test";
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { startPod } from "./lib/pod.mjs";
import { IS_ROOT, eventually, sh, startFakeSlack, tempDir } from "./lib/util.mjs";

test("a Slack token whose file changes", { skip: IS_ROOT ? false : "needs root for mounts" }, async (t) => {
  const slack = await startFakeSlack();
  const dir = tempDir("secret");
  const file = path.join(dir, "SLACK_BOT_TOKEN");
  const put = (value) => {
    fs.writeFileSync(`${file}.new`, value);
    fs.renameSync(`${file}.new`, file);
  };
  put("xoxb-0-revoked\n");
  // Stands in the environment too, which wins over its file: now, and after a fault of PID 1.
  const other = path.join(dir, "SLACK_APP_TOKEN");
  fs.writeFileSync(other, "xapp-0-of-the-file\n");
  const pod = await startPod({ slack, plugin: "none", env: { SLACK_BOT_TOKEN: "", SLACK_BOT_TOKEN_FILE: file, SLACK_APP_TOKEN_FILE: other, CODEV_TOKEN_FILE: path.join(dir, "none") } });
  t.after(async () => {
    await pod.end();
    slack.stop();
    fs.rmSync(dir, { recursive: true });
  });
  await pod.ready();
  const state = async () => JSON.stringify((await pod.fetch("/api/health")).body.slack);
  await eventually("the token is refused", async () => /invalid_auth|failed|refused/.test(await state()));
  const before = await pod.status();
  const pid = (name, status) => status.services.find((s) => s.name === name).pid;

  process.kill(pod.pid, "SIGSEGV");
  await eventually("PID 1 has taken itself over", () => pod.log.includes("PID 1 faulted: SIGSEGV"));
  put(`${slack.bot_token}\n`);
  // The files are read again each 30 s, and at once when a mount changes.
  sh("nsenter", ["-t", String(pod.pid), "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]);
  await eventually("the gateway is another one", async () => pid("gateway", await pod.status()) !== pid("gateway", before), 60000);
  await eventually("Slack is connected", async () => /"(ok|connected)"/.test(await state()), 30000);
  const now = await pod.status();
  assert.equal(pid("opencode", now), pid("opencode", before));
  assert.equal(pid("probes", now), pid("probes", before));
  assert.match(pod.log, /the secret SLACK_BOT_TOKEN changed/);
  assert.doesNotMatch(pod.log, /the secret SLACK_APP_TOKEN changed/);
  assert.ok(!pod.log.includes(slack.bot_token));
});
