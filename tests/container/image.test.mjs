// The image by itself, on podman: what is in it, what it says of itself, how it runs with nothing
// but what it brought.
import test, { describe } from "node:test";
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { TOP, eventually, run, sh, tempDir } from "../e2e/lib/util.mjs";
import { IMAGE, cannot } from "./lib/lab.mjs";

const skip = cannot();
const SLIM = "localhost/codev-init:slim";
const podman = (...args) => sh("podman", args);
const inside = (image, script) =>
  podman("run", "--rm", "--no-healthcheck", "--network", "none", "--entrypoint", "sh", image, "-ec", script);

const HARDENED = ["--read-only", "--read-only-tmpfs=false", "--security-opt", "no-new-privileges", "--cap-drop=ALL", "--pids-limit", "300", "--memory", "1500m"];

// A container that is removed at the end of the test, whatever happens.
function start(t, ...args) {
  const id = podman("run", "-d", "--network", "none", ...args).trim();
  t.after(() => run("podman", ["rm", "-f", "-t", "0", id]).ended);
  return {
    id,
    exec: (...argv) => run("podman", ["exec", id, ...argv]).ended,
    logs: () => sh("sh", ["-c", `podman logs ${id} 2>&1`]),
  };
}

describe("the image", { skip }, () => {
  test("its size, layer by layer", (t) => {
    const total = {};
    for (const image of [IMAGE, SLIM]) {
      const layers = JSON.parse(podman("history", "--format", "json", image)).filter((l) => l.size > 50000);
      for (const { size, CreatedBy: by } of layers)
        t.diagnostic(`figure: layer ${(size / 1e6).toFixed(1)} MB ${by.replace("/bin/sh -c ", "").replace("#(nop) ", "").slice(0, 60)}`);
      total[image] = layers.reduce((sum, l) => sum + l.size, 0) / 1e6;
      t.diagnostic(`figure: image ${image} ${total[image].toFixed(0)} MB`);
    }
    assert.ok(total[SLIM] < total[IMAGE] - 80, "slim has no Node.js");
  });

  test("what it says of itself", () => {
    const [{ Config: config, Healthcheck: health }] = JSON.parse(podman("image", "inspect", IMAGE));
    assert.equal(config.User, "1000:1000");
    assert.deepEqual(config.Entrypoint, ["codev-init"]);
    assert.deepEqual(Object.keys(config.ExposedPorts).sort(), ["8000/tcp", "8080/tcp", "8081/tcp"]);
    assert.deepEqual(health.Test, ["CMD", "codevctl", "probe", "live"]);
    assert.equal(config.Labels["org.opencontainers.image.title"], "codev-init");
    assert.match(config.Labels["org.opencontainers.image.revision"], /^[0-9a-f]{40}$/);
  });

  test("what is in it, and that the bill of materials says the same", (t) => {
    const root = podman("image", "mount", IMAGE).trim();
    t.after(() => podman("image", "unmount", IMAGE));
    const bill = JSON.parse(fs.readFileSync(path.join(root, "usr/local/share/codev/sbom.spdx.json"), "utf8"));
    const out = inside(IMAGE, "npm --version; opencode --version; dpkg-query -W -f '${Package} ${Version}\\n'");
    assert.equal(bill.spdxVersion, "SPDX-2.3");
    const of = (kind) =>
      new Map(bill.packages.filter((p) => !p.comment && p.externalRefs[0].referenceLocator.startsWith(`pkg:${kind}/`)).map((p) => [p.name, p.versionInfo]));
    const [npm, opencode, ...packages] = out.trim().split("\n");
    assert.deepEqual(Object.fromEntries(packages.map((line) => line.split(" "))), Object.fromEntries(of("deb")));
    const linked = bill.packages.filter((p) => p.comment === "linked into the programs of codev-init");
    assert.deepEqual(linked.map((p) => p.name).sort(), ["libc6-dev", "libcurl4-openssl-dev", "libseccomp-dev", "libyaml-dev", "musl-dev"]);
    assert.equal(opencode, of("npm").get("opencode"));
    assert.equal(opencode, fs.readFileSync(path.join(TOP, "OPENCODE_VERSION"), "utf8").trim());
    assert.equal(npm, of("npm").get("npm"));
  });

  test("slim has all but Node.js", () => {
    const out = inside(SLIM, "command -v node npm || echo none; codev-init --version; opencode --version; git --version; rg --version");
    assert.match(out, /^none$/m);
  });

  test("programs are stripped, their symbols are found by build id", (t) => {
    const dir = tempDir("symbols");
    t.after(() => fs.rmSync(dir, { recursive: true }));
    sh(path.join(TOP, "tests/container/build.sh"), ["debug", "localhost/codev-init:debug"]);
    const container = podman("create", "localhost/codev-init:debug", "none").trim();
    sh("sh", ["-c", `podman export ${container} | tar -C ${dir} -x`]);
    podman("rm", container);
    const program = path.join(podman("image", "mount", IMAGE).trim(), "usr/local/bin/codev-gateway");
    t.after(() => podman("image", "unmount", IMAGE));
    assert.doesNotMatch(sh("readelf", ["-S", "-W", program]), /\.(symtab|debug_info)/);
    const id = /Build ID: ([0-9a-f]+)/.exec(sh("readelf", ["-n", program]))[1];
    const symbols = path.join(dir, ".build-id", id.slice(0, 2), `${id.slice(2)}.debug`);
    assert.match(sh("readelf", ["-S", "-W", symbols]), /\.debug_info/);
  });

  test("bash completes codevctl's commands", () => {
    const out = podman("run", "--rm", "--no-healthcheck", "--read-only", "--entrypoint", "bash", IMAGE, "-ic", "complete -p codevctl");
    assert.match(out, /complete .*codevctl/);
  });

  test("as uid 1000 on a read-only root: ready, healthy, confined, stops in order", async (t) => {
    const dir = tempDir("volumes");
    t.after(() => fs.rmSync(dir, { recursive: true }));
    const volumes = ["/home/coder/.local", "/home/coder/src", "/home/coder/.config", "/run/codev", "/tmp"].flatMap((at) => {
      const on = path.join(dir, at.replaceAll("/", "_"));
      fs.mkdirSync(on);
      fs.chownSync(on, 1000, 1000);
      return ["-v", `${on}:${at}`];
    });
    const c = start(t, ...HARDENED, ...volumes, IMAGE);
    await eventually("it is ready", async () => (await c.exec("codevctl", "probe", "ready")).code === 0, 90000, 500);
    assert.equal((await run("podman", ["healthcheck", "run", c.id]).ended).code, 0);
    const status = JSON.parse((await c.exec("codevctl", "status", "--json")).out);
    assert.ok(status.sandbox, JSON.stringify(Object.keys(status)));
    assert.doesNotMatch(JSON.stringify(status.sandbox), /"(off|failed)"/);
    podman("stop", "-t", "30", c.id);
    const [{ State: state }] = JSON.parse(podman("inspect", c.id));
    assert.equal(state.ExitCode, 0);
  });

  for (const user of ["65534:65534", "0:0"])
    test(`as uid ${user.split(":")[0]} with nothing writable at all: it lives, and says what it gave up on`, async (t) => {
      const c = start(t, ...HARDENED, "--no-healthcheck", "--user", user, IMAGE);
      await eventually("its volume is judged", () => /no volume is mounted at/.test(c.logs()), 30000);
      await eventually("OpenCode is tried", () => /service opencode: starting -> backoff/.test(c.logs()), 30000);
      const [{ State: state }] = JSON.parse(podman("inspect", c.id));
      assert.equal(state.Running, true);
      assert.match(c.logs(), /no runtime folder could be had/);
      assert.match(c.logs(), /no state folder/);
      podman("stop", "-t", "30", c.id);
      assert.equal(JSON.parse(podman("inspect", c.id))[0].State.ExitCode, 0, "it stops in order all the same");
    });

  // As `docker run IMAGE -- CMD` with no --init: PID 1 of one command.
  for (const user of ["1000:1000", "65534:65534", "0:0"])
    test(`as the plain init of a command, as uid ${user.split(":")[0]}, with nothing writable`, async (t) => {
      const of = (...argv) => run("podman", ["run", "--rm", "--no-healthcheck", "--network", "none", ...HARDENED, "--user", user, IMAGE, "--", ...argv]).ended;
      const { code, out } = await of("sh", "-c", "tr '\\0' ' ' </proc/1/cmdline; echo; id -u; exit 7");
      assert.equal(code, 7);
      assert.match(out, /^codev-init -- sh /m);
      assert.match(out, new RegExp(`^${user.split(":")[0]}$`, "m"));
      assert.equal((await of("sh", "-c", "kill -9 $$")).code, 137);
      // Orphans are reaped, and SIGTERM arrives.
      const c = start(t, ...HARDENED, "--no-healthcheck", "--user", user, IMAGE, "--", "sh", "-c",
        "for i in 1 2 3 4 5; do (sleep 0.1 & ) ; done; trap 'echo told; exit 3' TERM; echo up; while :; do sleep 0.1; done");
      await eventually("it is up", () => /^up$/m.test(c.logs()), 20000);
      const zombies = async () => (await c.exec("sh", "-c", "cat /proc/[0-9]*/stat")).out.split("\n").filter((l) => /\) Z /.test(l));
      await eventually("no orphan is left", async () => (await zombies()).length === 0, 20000);
      podman("stop", "-t", "20", c.id);
      assert.match(c.logs(), /^told$/m);
      assert.equal(JSON.parse(podman("inspect", c.id))[0].State.ExitCode, 3);
    });
});
