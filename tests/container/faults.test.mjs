// What goes wrong in a pod of k8s/overlays/k8s-lab on containerd, and what people and Kubernetes
// are told: mounts, volumes, wedged and killed services, memory, PID 1 itself.
import test, { after, before, describe } from "node:test";
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { eventually, sh } from "../e2e/lib/util.mjs";
import { cannot, startLab } from "./lib/lab.mjs";

const skip = cannot();
const workload = (objects) => objects.find((o) => o.kind === "StatefulSet").spec.template.spec;
const STOPPED = ["SIGSTOP", "SIGCONT"];

describe("a pod on containerd, in trouble", { skip }, () => {
  let lab;
  before(async () => {
    lab = await startLab();
  });
  after(() => lab?.end());

  // A pod that is taken away at the end of its test.
  async function podFor(t, options) {
    const pod = await lab.pod(options);
    t.after(() => pod.remove());
    return pod;
  }

  test("the state volume at a wrong place: not ready, and told where it belongs", async (t) => {
    const pod = await podFor(t, {
      change: (objects) => {
        const mount = workload(objects).containers[0].volumeMounts.find((m) => m.mountPath === "/home/coder/.local");
        mount.mountPath = "/home/coder/.local/share/opencode";
      },
    });
    await eventually("exec tells it", async () => /change that mountPath to \/home\/coder\/\.local\b/.test((await pod.ctl("status")).out), 30000);
    assert.match(pod.log(), /change that mountPath to \/home\/coder\/\.local\b/);
    assert.equal((await pod.ctl("status")).code, 1);
    const { status, text } = await eventually("readyz answers", () => pod.probe("readyz?verbose"), 20000);
    assert.equal(status, 503);
    assert.match(text, /volumes/);
    assert.equal(pod.isReady, false);
  });

  test("a volume of the old layout is brought into order", async (t) => {
    const state = lab.claim("state");
    fs.mkdirSync(path.join(state, "storage/session"), { recursive: true });
    fs.writeFileSync(path.join(state, "auth.json"), '{"old":{"type":"api","key":"k"}}', { mode: 0o600 });
    sh("chown", ["-R", "1000:1000", state]);
    const pod = await podFor(t, { claims: { state } });
    await pod.ready();
    assert.match(fs.readFileSync(path.join(state, "share/opencode/auth.json"), "utf8"), /old/);
    assert.ok(!fs.existsSync(path.join(state, "auth.json")));
    assert.equal((await pod.ctl("accept", "--only", "A1.5-5", "--quiet")).code, 0);
  });

  test("OpenCode wedged: the supervisor restarts it, the container lives on", async (t) => {
    const pod = await podFor(t);
    await pod.ready();
    const before = await pod.service("opencode");
    process.kill(await pod.servicePid("opencode"), STOPPED[0]);
    await eventually("it is another one", async () => {
      const now = await pod.service("opencode");
      return now.pid !== before.pid && now.state === "ready";
    }, 120000, 500);
    await pod.ready();
    assert.equal(pod.restarts, 0);
  });

  test("a gateway that keeps crashing: degraded, OpenCode untouched", async (t) => {
    const pod = await podFor(t);
    await pod.ready();
    const before = await pod.service("opencode");
    await eventually("it gave up", async () => {
      const gateway = await pod.service("gateway");
      if (/degraded|failed|gave up/.test(JSON.stringify(gateway))) return true;
      if (gateway.pid) process.kill(await pod.servicePid("gateway"), "SIGKILL");
      return false;
    }, 180000, 300);
    assert.equal((await pod.service("opencode")).pid, before.pid);
    assert.equal((await pod.ctl("probe", "live")).code, 0);
    const { code, out } = await pod.ctl("status");
    assert.equal(code, 1);
    assert.match(out, /gateway.*(degraded|failed|gave up)/);
    assert.equal(pod.restarts, 0);
  });

  test("OpenCode killed for its memory: told as that, and started again", async (t) => {
    const pod = await podFor(t);
    await pod.ready();
    const group = `/sys/fs/cgroup/memory${/memory:(\S+)/.exec(fs.readFileSync(`/proc/${await pod.hostPid()}/cgroup`, "utf8"))[1]}`;
    const limit = path.join(group, "memory.limit_in_bytes");
    const kept = fs.readFileSync(limit, "utf8").trim();
    const before = await pod.service("opencode");
    // Just above what cannot be taken back; the next page that OpenCode wants is too much.
    for (let mib = 700; mib > 200; mib -= 10)
      try {
        fs.writeFileSync(limit, String(mib * 2 ** 20));
      } catch {
        break;
      }
    await eventually("another one runs", async () => {
      await pod.oc("/session", { method: "POST", body: JSON.stringify({ title: "x".repeat(1e6) }) }).catch(() => {});
      const now = await pod.service("opencode").catch(() => before);
      return now.pid !== before.pid;
    }, 60000, 50);
    fs.writeFileSync(limit, kept);
    await eventually("it is ready", async () => (await pod.service("opencode")).state === "ready", 60000, 500);
    assert.match(pod.log(), /opencode[^\n]*(out of memory|OOM)/i);
    assert.equal(pod.restarts, 0);
  });

  describe("volumes", () => {
    // A claim on a file system of its own, which can be frozen, filled and lost.
    function ext4(t, mb) {
      const at = lab.claim("state");
      const image = `${at}.img`;
      fs.writeFileSync(image, "");
      fs.truncateSync(image, mb * 2 ** 20);
      sh("mkfs.ext4", ["-q", "-F", "-m", "0", image]);
      sh("mount", ["-o", "loop", image, at]);
      sh("rmdir", [path.join(at, "lost+found")]);
      t.after(() => sh("umount", ["-l", at]));
      return at;
    }
    const unready = (pod, why) =>
      eventually("it is not ready, with the reason", async () => {
        const { status, text } = await pod.probe("readyz?verbose");
        if (status !== 503 || !why.test(text)) throw new Error(`${status} ${text}`);
        return true;
      }, 60000, 500);
    const answers = async (pod) => {
      const from = Date.now();
      const { out } = await pod.ctl("status");
      assert.match(out, /opencode/);
      assert.ok(Date.now() - from < 20000, "PID 1 answers");
      assert.equal((await pod.probe("livez")).status, 200);
    };

    test("full: not ready, ready again when there is room", async (t) => {
      const state = ext4(t, 700);
      const pod = await podFor(t, { claims: { state } });
      await pod.ready();
      sh("fallocate", ["-l", "600M", path.join(state, "ballast")]);
      await unready(pod, /volumes/);
      await answers(pod);
      fs.rmSync(path.join(state, "ballast"));
      await eventually("ready again", async () => (await pod.probe("readyz")).status === 200, 60000, 500);
    });

    test("frozen: not ready, nothing hangs, ready again when it thaws", async (t) => {
      const state = ext4(t, 700);
      const pod = await podFor(t, { claims: { state } });
      await pod.ready();
      sh("fsfreeze", ["-f", state]);
      let frozen = true;
      const thaw = () => frozen && (sh("fsfreeze", ["-u", state]), (frozen = false));
      t.after(thaw);
      await unready(pod, /volumes/);
      await answers(pod);
      thaw();
      await eventually("ready again", async () => (await pod.probe("readyz")).status === 200, 120000, 500);
    });

    test("lost, each access an I/O error: not ready, PID 1 answers", async (t) => {
      const state = ext4(t, 700);
      const pod = await podFor(t, { claims: { state } });
      await pod.ready();
      // EXT4_IOC_SHUTDOWN, without flushing: what a disk that went away looks like.
      sh("python3", ["-c", `import fcntl,os,struct;fcntl.ioctl(os.open(${JSON.stringify(state)},os.O_RDONLY),0x8004587d,struct.pack("I",1))`]);
      await unready(pod, /volumes/);
      await answers(pod);
    });
  });

  test("two pods on one repository volume: the plugin is built once, both are ready", async (t) => {
    const src = lab.sources({ prepared: false });
    const [a, b] = await Promise.all(["codev-0", "codev-1"].map((podName) => podFor(t, { claims: { src }, podName })));
    await Promise.all([a.ready(180000), b.ready(180000)]);
    for (const pod of [a, b])
      await eventually("its bridge is connected", async () => (await pod.api("/api/health")).body.bridge.connected >= 1, 60000, 500);
    const built = [a, b].filter((pod) => /npm (ci|install)|installing/i.test(pod.log()));
    assert.equal(built.length, 1, "only one of them installed");
  });

  test("PID 1 stopped: liveness fails, the container is started again", async (t) => {
    const pod = await podFor(t, {
      // As written but for the grace: its end is a KILL either way, and the test need not wait.
      change: (objects) => (workload(objects).terminationGracePeriodSeconds = 3),
    });
    await pod.ready();
    process.kill(await pod.hostPid(), STOPPED[0]);
    await eventually("another container runs", () => pod.restarts === 1, 240000, 500);
    assert.ok(pod.events.some((e) => /liveness probe/.test(e.text)));
    await pod.ready();
  });
});
