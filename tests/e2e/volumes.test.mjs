// What may be wrong with the state volume, each with a clear line and by policy.
import test from "node:test";
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { startPod } from "./lib/pod.mjs";
import { BIN, IS_ROOT, eventually, sh } from "./lib/util.mjs";

const skip = IS_ROOT ? false : "needs root for mounts";
const OLD = '"$STATE/share/opencode"';

// name, how the volume is set up, what the finding is, what its line must say
const broken = [
  ["not mounted", "", "not_mounted", /mountPath/],
  ["mounted at the old place", `mkdir -p ${OLD}; mount -t tmpfs -o size=64m none ${OLD}`, "old_place", /\.local/],
  ["read-only", 'mount -t tmpfs -o size=64m none "$STATE"; mount -o remount,ro "$STATE"', "read_only", /read-only|readOnly/],
  [
    "full",
    'mount -t tmpfs -o size=8m none "$STATE"; dd if=/dev/zero of="$STATE/fill" bs=64k 2>/dev/null || true',
    /low_space|io_error/,
    /space|full/i,
  ],
];

for (const [name, volume, code, line] of broken) {
  test(`volume ${name}, policy degrade: OpenCode runs, the pod is not ready and says why`, { skip }, async (t) => {
    const pod = await startPod({ plugin: "none", volume });
    t.after(() => pod.end());
    const bad = await eventually("a finding", async () =>
      (await pod.status()).volumes[0]?.findings.find((f) => (code instanceof RegExp ? code.test(f.code) : f.code === code)));
    assert.match(bad.message, line);
    assert.ok(pod.log.includes(bad.message.slice(0, 40).replaceAll('"', '\\"')), "the same line is in the log");
    await eventually("gateway answers", async () => (await pod.fetch("/api/health")).status === 200);
    assert.equal((await pod.ctl("probe", "ready")).code, 1);
  });

  test(`volume ${name}, policy fail: exit 78 with the reason`, { skip }, async (t) => {
    const pod = await startPod({
      plugin: "none",
      volume,
      config: (c) => ({ ...c, storage: [{ ...c.storage[0], policy: "fail" }] }),
    });
    t.after(() => pod.end());
    const { code: status } = await pod.child.ended;
    assert.equal(status, 78);
    assert.match(pod.log, line);
  });
}

test("volume not writable for the user", { skip }, async (t) => {
  // The user of the pod is not root: PID 1 runs as 65534 here.
  const pod = await startPod({
    plugin: "none",
    volume: 'mount -t tmpfs -o size=512m,mode=0755 none "$STATE"; chmod 777 "$(dirname "$CODEV_CONFIG")" "$CODEV_RUNTIME_DIR"; ' +
      'chown -R 65534 "$CODEV_RUNTIME_DIR" "$HOME/src"; ' +
      `exec setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set -all --no-new-privs "${BIN}/codev-init"`,
  });
  t.after(() => pod.end());
  await eventually("a finding", () => /not writable|fsGroup/.test(pod.log), 15000);
  assert.match(pod.log, /fsGroup|runAsUser/);
});

test("a volume of former days: OpenCode's files are moved to where it looks for them", { skip }, async (t) => {
  const key = { fake2: { type: "api", key: "k" } };
  const pod = await startPod({
    plugin: "none",
    volume: `mount -t tmpfs -o size=512m none "$STATE"; mkdir -p "$STATE/storage/session"; echo 1 > "$STATE/storage/session/a"; ` +
      `echo '${JSON.stringify(key)}' > "$STATE/auth.json"; chmod 600 "$STATE/auth.json"`,
  });
  t.after(() => pod.end());
  await pod.ready();
  assert.match(pod.log, /moved 2 files and folders of OpenCode/);
  const at = path.join("/proc", String(pod.pid), "root", pod.home, ".local");
  assert.deepEqual(JSON.parse(fs.readFileSync(path.join(at, "share/opencode/auth.json"), "utf8")), key);
  assert.equal(fs.readFileSync(path.join(at, "share/opencode/storage/session/a"), "utf8"), "1\n");
  assert.ok(!fs.existsSync(path.join(at, "auth.json")) && !fs.existsSync(path.join(at, "storage")));
  assert.match(fs.readFileSync(path.join(at, "share/opencode/codev-moved.txt"), "utf8"), / auth\.json\n$/);
});

test("the boot ledger has a line for each boot", { skip }, async (t) => {
  const pod = await startPod({ plugin: "none", volume: "bind" });
  t.after(() => pod.end());
  await pod.ready();
  await pod.stop();
  const again = await startPod({ plugin: "none", volume: "bind", dir: pod.dir, model: pod.model });
  t.after(() => again.end());
  await again.ready();
  const file = path.join((await again.status()).state_dir, "boots.jsonl");
  const boots = fs.readFileSync(file, "utf8").trim().split("\n").map((l) => JSON.parse(l));
  assert.equal(boots.length, 2);
  assert.notEqual(boots[0].boot_id, boots[1].boot_id);
  for (const key of ["boot_id", "time", "version", "node", "volumes"]) assert.ok(key in boots[1], key);
});

const volume = async (pod) => (await pod.status()).volumes[0];

test("the volume fills up while running: not ready and why; room again: ready", { skip }, async (t) => {
  const pod = await startPod({ plugin: "none", volume: 'mount -t tmpfs -o size=300m none "$STATE"' });
  t.after(() => pod.end());
  await pod.ready();
  const inside = (script) => sh("nsenter", ["-t", String(pod.pid), "-m", "-p", "--", "sh", "-c", script]);
  inside(`dd if=/dev/zero of='${pod.home}/.local/fill' bs=1M count=290 2>/dev/null || true`);
  await eventually("not ready", async () => (await fetch(`${pod.probes}/readyz`)).status === 503, 40000);
  assert.match(await (await fetch(`${pod.probes}/readyz?verbose`)).text(), /MiB/);
  inside(`rm '${pod.home}/.local/fill'`);
  await pod.ready(40000);
});

test("the volume turns read-only while running: seen at once, and seen when it is writable again", { skip }, async (t) => {
  const pod = await startPod({ plugin: "none" });
  t.after(() => pod.end());
  await pod.ready();
  // The kernel refuses to make a mount read-only that has files open for writing.
  for (const name of ["opencode", "gateway"]) {
    await pod.ctl("stop", name);
    await eventually(`${name} has stopped`, async () => (await pod.service(name)).state === "stopped");
  }
  const inside = (script) => sh("nsenter", ["-t", String(pod.pid), "-m", "-p", "--", "sh", "-c", script]);
  inside(`mount -o remount,ro '${pod.home}/.local'`);
  await eventually("a finding", async () => (await volume(pod)).findings.some((f) => f.code === "read_only"), 5000);
  assert.match(pod.log, /read-only/);
  inside(`mount -o remount,rw '${pod.home}/.local'`);
  await eventually("fine again", async () => (await volume(pod)).ok, 5000);
  for (const name of ["gateway", "opencode"]) await pod.ctl("start", name);
  await pod.ready(40000);
});
